"""An hour of Live with faults: from a frame's capture to the end of the painting that shows it, and the memory.

The real window looks through a camera of 30 frames a second, with the bundled detector, while the network for faces
looks along. The camera is made of a real video, where there is one, and takes the place of OpenCV's: the program's own
capture thread reads it. Every few minutes one thing goes wrong: it is unplugged, stalls, changes its resolution (to
3840 × 2160, too), gives damaged pictures, or the network throws. The window has to go on by itself.

The latency is that of every frame that is shown with its result, but for those from the beginning of a fault until
CALM seconds after its end: they are counted apart, also those of 3840 × 2160. Limits: p99 of two frames of the camera,
in the first minutes as in the last; 20 MB more memory an hour, by the line through the medians of all minutes after
the first five; after every fault frames and results go on, and it is said as often as it ought to be.

`python -m benchmarks soak MINUTES` runs for so long (60), `make bench` for a few minutes only.
"""

from __future__ import annotations

import array
import contextlib
import gc
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks import application, real_data, report
from benchmarks.live_detection import on_two_cores
from engine.concurrency import Flag

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from engine import Frame, Result
    from engine.types import Image

MINUTES = 60.0
FPS = 30.0
LIMIT = 2 / FPS
LIMIT_GROWTH = 20.0  # MB an hour
BETWEEN = 150.0  # seconds between the beginnings of two faults; less in a short run, so that all of them happen
CALM = 3.0  # seconds after a fault whose frames are counted apart
PATIENCE = 20.0  # seconds after a fault in which a frame is to be shown with its result
LOADING = 120.0  # seconds at most until the network that looks along has read something: it is converted first
SETTLING = 12.0  # seconds after that, in which the rest of the program is loaded
NOT_YET = 5  # minutes whose memory is left out of the line
GIVES_UP = 3.0  # seconds after which OpenCV's reader tells that a camera gives nothing; engine/opencv.py sets it
BESIDE = "faces"  # the network that looks along


# ---------------------------------------------------------------------------------------------------- what goes wrong


class FaultyCamera:
    """A camera for `engine.sources` that has the faults it is told to have, from any thread.

    Attributes:
        opened: how many times it has been opened.
        size: (width, height) to which its pictures are scaled; None: as they are.
        damaged: how many of the next pictures arrive damaged: their lower half is noise.
    """

    NAME = "Soak"

    def __init__(self, pictures: Iterator[Image], *, fps: float = FPS) -> None:
        """`pictures` (H, W, 3) uint8 in BGR, without an end; asked for in the capture's thread."""
        self.opened = 0
        self.size: tuple[int, int] | None = None
        self.damaged = 0
        self._pictures = pictures
        self._fps = fps
        self._unplugged = Flag()
        self._plugged_in = 0  # times; what was opened before gives nothing any more
        self._stalled_until = 0.0
        self._due = 0.0
        self._noise = np.random.default_rng(0)

    @property
    def spec(self) -> str:
        """For `open_source`."""
        return f"camera:{self.NAME}"

    def unplug(self) -> None:
        self._unplugged.set()

    def plug_in(self) -> None:
        self._plugged_in += 1
        self._unplugged.clear()

    def stall(self, seconds: float) -> None:
        """Give nothing for so long, though it stays plugged in."""
        self._stalled_until = time.perf_counter() + seconds

    @contextlib.contextmanager
    def in_place(self) -> Iterator[FaultyCamera]:
        """It is the one camera of this machine; files and streams are opened as ever."""
        from engine import sources

        opening = sources.cv2.VideoCapture

        def open_any(what: Any, *how: Any) -> Any:
            return _OpenCamera(self) if isinstance(what, int) else opening(what, *how)

        def listing() -> list[sources.Camera]:
            return [] if self._unplugged.is_set() else [sources.Camera(self.NAME, 0, "")]

        with patch.object(sources.cv2, "VideoCapture", open_any), patch.object(sources, "list_cameras", listing):
            yield self

    def take(self, plugged_in: int) -> Image | None:
        """The next picture once it is due, or None: it is unplugged, has been meanwhile, or gives nothing."""
        now, stalled_until = time.perf_counter(), self._stalled_until
        due = max(now, self._due, stalled_until)
        gives_up = stalled_until > now + GIVES_UP
        gone = self._unplugged.wait(GIVES_UP if gives_up else due - now)
        if gives_up or gone or plugged_in != self._plugged_in:
            return None
        self._due = due + 1 / self._fps
        return self._picture()

    def _picture(self) -> Image:
        from engine.opencv import cv2

        picture, size = next(self._pictures), self.size
        if size is not None:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
        if self.damaged > 0:
            self.damaged -= 1
            picture = picture.copy()
            lower = picture[picture.shape[0] // 2 :]
            lower[:] = self._noise.integers(0, 256, lower.shape, np.uint8)
        return picture


class _OpenCamera:
    """What OpenCV gives for an opened camera, as far as `engine.sources` uses it."""

    def __init__(self, camera: FaultyCamera) -> None:
        self._camera = camera
        self._plugged_in = camera._plugged_in
        camera.opened += 1

    def isOpened(self) -> bool:
        return not self._camera._unplugged.is_set()

    def read(self) -> tuple[bool, Image | None]:
        picture = self._camera.take(self._plugged_in)
        return picture is not None, picture

    def set(self, *_: Any) -> bool:
        return True

    def get(self, *_: Any) -> float:
        return self._camera._fps

    def release(self) -> None:
        pass


@contextlib.contextmanager
def failing_detector() -> Iterator[Flag]:
    """A flag: as long as it is set, the detector throws at every frame."""
    from engine.vision.detect import Detector

    healthy = Detector.predict
    wanted = Flag()

    def predict(self: Detector, frame: Frame, **options: Any) -> Result:
        if wanted.is_set():
            raise RuntimeError("thrown on purpose")
        return healthy(self, frame, **options)

    with patch.object(Detector, "predict", predict):
        yield wanted


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        seconds: after which `end` is called.
        pages, notices: how many times the stage, or a notice, is to say so.
    """

    name: str
    begin: Callable[[], None]
    seconds: float
    end: Callable[[], None] = lambda: None
    pages: int = 0
    notices: int = 0


def faults_of(camera: FaultyCamera, throw: Flag) -> list[Fault]:
    """All that can go wrong, in the order in which it does."""

    def scale(size: tuple[int, int] | None) -> Callable[[], None]:
        return lambda: setattr(camera, "size", size)

    return [
        Fault("unplugged", camera.unplug, 2.0, camera.plug_in, pages=1),
        Fault("network throws", throw.set, 0.3, throw.clear, notices=1),
        Fault("3840 × 2160", scale((3840, 2160)), 4.0, scale(None)),
        Fault("stalls", lambda: camera.stall(2.0), 2.0),
        Fault("640 × 480", scale((640, 480)), 2.0, scale(None)),
        Fault("damaged pictures", lambda: setattr(camera, "damaged", 30), 1.5),
        Fault("stalls for long", lambda: camera.stall(GIVES_UP + 1.0), GIVES_UP + 1.0, pages=1),
    ]


def film() -> Iterator[Image]:
    """Pictures without an end, BGR: a video of people in a street over and over, or discs over a grainy ground."""
    from engine.opencv import cv2

    data = real_data()
    video = data / "videos" / "street_people.mp4" if data else None
    if video is not None and video.is_file():
        capture = cv2.VideoCapture(str(video))
        while True:
            ok, picture = capture.read()
            if ok:
                yield picture
            else:
                capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
    ground = np.random.default_rng(0).integers(90, 160, (720, 1280, 3), np.uint8)
    for number in itertools.count():
        picture = ground.copy()
        for disc in range(6):
            place = (120 + 200 * disc + 2 * (number % 60), 360 + round(225 * float(np.sin(disc + number / 9))))
            cv2.circle(picture, place, 45 + 8 * disc, (40 * disc, 255 - 40 * disc, 120), -1, cv2.LINE_AA)
        yield picture


# ------------------------------------------------------------------------------------------------- what comes of it


@dataclass
class Notes:
    """What is measured. Times in seconds of the frames' clock, memory in MB.

    Attributes:
        captured, latency: of each frame that was shown with its result in calm times.
        during: latencies of the other frames, by the name of the fault.
        memory: once a second.
        newest: when the newest frame that is shown with its result was captured.
        shown: how many frames were shown with their results.
        fault: the one that is under way, or was a moment ago; "": none.
    """

    captured: array.array[float] = field(default_factory=lambda: array.array("d"))
    latency: array.array[float] = field(default_factory=lambda: array.array("d"))
    during: dict[str, array.array[float]] = field(default_factory=dict)
    memory: array.array[float] = field(default_factory=lambda: array.array("d"))
    newest: float = 0.0
    shown: int = 0
    fault: str = ""

    def begin(self) -> None:
        """Forget the frames so far."""
        self.captured, self.latency = array.array("d"), array.array("d")
        self.during.clear()

    def paint(self, frame: Frame, now: float) -> None:
        """A frame has been painted with its result, the first time."""
        self.newest = frame.time
        self.shown += 1
        if self.fault:
            self.during.setdefault(self.fault, array.array("d")).append(now - frame.time)
        else:
            self.captured.append(frame.time)
            self.latency.append(now - frame.time)

    def between(self, begin: float, end: float) -> np.ndarray:
        """Latencies of the frames captured then."""
        captured = np.asarray(self.captured)
        return np.asarray(self.latency)[(captured >= begin) & (captured < end)]

    def by_minute(self) -> np.ndarray:
        """The median of the memory of each whole minute."""
        whole = len(self.memory) // 60
        return np.median(np.asarray(self.memory)[: 60 * whole].reshape(whole, 60), axis=1)


@contextlib.contextmanager
def painting(note: Callable[[Frame, float], None]) -> Iterator[None]:
    """`note` is told of every frame that is painted with its own result for the first time, when it has been."""
    from gui.live_picture import LivePicture

    paint = LivePicture.paintEvent
    last: Frame | None = None

    def timed(self: LivePicture, event: QPaintEvent) -> None:
        nonlocal last
        paint(self, event)
        frame, result = self.frame, self.result
        if frame is not None and frame is not last and result is not None and result.frame is frame:
            last = frame
            note(frame, time.perf_counter())

    with patch.object(LivePicture, "paintEvent", timed):
        yield


def ms(share: float, seconds: np.ndarray | array.array[float]) -> float:
    """A percentile in milliseconds; NaN where nothing was measured."""
    return float(np.percentile(seconds, share)) * 1e3 if len(seconds) else float("nan")


class Turns:
    """Lets one fault after another happen, and sees whether the window goes on after each.

    Attributes:
        happened: all so far.
        recovered: seconds from the end of each until a frame that was captured later is shown with its result.
        lost: names of those after which none was, in PATIENCE seconds.
    """

    def __init__(self, faults: list[Fault], notes: Notes, *, first: float, every: float) -> None:
        """The first one happens at `first`, by the frames' clock, the others `every` seconds after the one before."""
        self.happened: list[Fault] = []
        self.recovered: list[float] = []
        self.lost: list[str] = []
        self._turn = itertools.cycle(faults)
        self._notes = notes
        self._due, self._every = first, every
        self._fault: Fault | None = None
        self._ends = 0.0
        self._over: float | None = None  # when it ended
        self._waiting = False  # for a frame

    def beat(self, now: float, *, more: bool) -> None:
        """To be called often; `more`: there is time for another one."""
        fault = self._fault
        if fault is None:
            if more and now >= self._due:
                self._fault = fault = next(self._turn)
                self.happened.append(fault)
                self._notes.fault = fault.name
                self._due += self._every
                self._ends, self._over = now + fault.seconds, None
                fault.begin()
        elif self._over is None:
            if now >= self._ends:
                fault.end()
                self._over, self._waiting = time.perf_counter(), True
        elif self._waiting:
            self._waiting = False
            if self._notes.newest > self._over:
                self.recovered.append(now - self._over)
            elif now > self._over + PATIENCE:
                self.lost.append(fault.name)
            else:
                self._waiting = True
        elif now > self._over + CALM:
            self._fault, self._notes.fault = None, ""


def main() -> None:
    minutes = float(sys.argv[1]) if sys.argv[1:] else MINUTES
    cores = on_two_cores()
    application()
    import psutil
    from PySide6.QtCore import QEventLoop, Qt, QTimer

    from gui.application import SETTLED, report_everything
    from gui.window import MainWindow

    process, processors = psutil.Process(), psutil.cpu_count() or 1
    camera = FaultyCamera(film())
    notes = Notes()
    pages: list[str] = []
    notices: list[str] = []
    loop = QEventLoop()

    def until(condition: Callable[[], bool]) -> None:
        """Run the event loop as `exec` does until the condition holds."""
        asking = QTimer()
        asking.timeout.connect(lambda: loop.quit() if condition() else None)
        asking.start(20)
        loop.exec()
        asking.stop()

    def busy() -> tuple[float, float]:
        """Seconds for which the processor has worked: for all programs, and for this one."""
        of_all, of_this = psutil.cpu_times(), process.cpu_times()
        idle = of_all.idle + getattr(of_all, "iowait", 0.0)
        return sum(of_all) - idle, of_this.user + of_this.system

    with camera.in_place(), failing_detector() as throw, painting(notes.paint):
        window = MainWindow()
        window.setAttribute(Qt.WidgetAttribute.WA_QuitOnClose, False)
        report_everything(window)
        window.bridge.capture.connect(lambda state: pages.append(state.phase) if state.error is not None else None)
        for failed in (window.bridge.failed, window.live.failed, window.companions.failed, window.counting.failed):
            failed.connect(lambda error: notices.append(str(error)))
        window.resize(1280, 800)
        window.show()
        window.begin()
        window.companions.choose(BESIDE, True)
        window.set_mode("live")
        window.live.open(camera.spec)
        QTimer.singleShot(SETTLED, gc.freeze)  # as the program does
        until(lambda: notes.shown > 0)
        latest = time.perf_counter() + LOADING

        def looks_along() -> bool:
            return any(companion.result is not None for companion in window.companions.running)

        until(lambda: looks_along() or time.perf_counter() > latest)
        begun = time.perf_counter() + SETTLING
        until(lambda: time.perf_counter() > begun)
        notes.begin()
        along = [companion.card.name for companion in window.companions.running if companion.result is not None]

        faults = faults_of(camera, throw)
        end = begun + 60 * minutes
        every = min(BETWEEN, 60 * minutes / (len(faults) + 1))
        turns = Turns(faults, notes, first=begun + every, every=every)
        minute, shown, spent = 1, notes.shown, busy()
        others: list[float] = []  # by minute, the share of the processor that other programs took

        def beat() -> bool:
            nonlocal minute, shown, spent
            now = time.perf_counter()
            turns.beat(now, more=now < end - every / 2)
            if now >= begun + len(notes.memory):
                notes.memory.append(process.memory_info().rss / 2**20)
            if now >= begun + 60 * minute and len(notes.memory) >= 60 * minute:
                frames = notes.between(begun + 60 * (minute - 1), begun + 60 * minute)
                before, spent = spent, busy()
                others.append(max(0.0, (spent[0] - before[0] - (spent[1] - before[1])) / (60 * processors)))
                print(
                    f"minute {minute}: {(notes.shown - shown) / 60:.1f} frames a second, p50 {ms(50, frames):.1f} ms, "
                    f"p99 {ms(99, frames):.1f} ms, {notes.by_minute()[-1]:.0f} MB; {len(turns.happened)} faults, "
                    f"{len(turns.recovered)} recoveries, {len(pages)} pages, {len(notices)} notices; "
                    f"others take {others[-1]:.0%} of the processor",
                    flush=True,
                )
                minute, shown = minute + 1, notes.shown
            return now >= end

        until(beat)
        window.close()

    part = min(600.0, 12 * minutes)
    first, last = notes.between(begun, begun + part), notes.between(end - part, end)
    memory = notes.by_minute()[NOT_YET:]
    hourly = 60 * float(np.polyfit(np.arange(len(memory)), memory, 1)[0]) if len(memory) >= NOT_YET else None
    fifth = max(1, len(notes.memory) // 5)
    difference = float(np.median(notes.memory[-fifth:]) - np.median(notes.memory[:fifth]))
    for name, latencies in notes.during.items():
        print(f"  during “{name}” and {CALM:g} s after: p50 {ms(50, latencies):.1f} ms, p99 {ms(99, latencies):.1f} ms")
    for notice in sorted(set(notices)):
        print(f"  notice, {notices.count(notice)} times: {notice}")
    expected_pages = sum(fault.pages for fault in turns.happened)
    expected_notices = sum(fault.notices for fault in turns.happened)
    worst = max(ms(99, first), ms(99, last))
    report(
        "soak",
        ratio=worst / (LIMIT * 1e3),
        peer="two frames of the camera",
        limit_ms=LIMIT * 1e3,
        first_p50_ms=ms(50, first),
        first_p99_ms=ms(99, first),
        last_p50_ms=ms(50, last),
        last_p99_ms=ms(99, last),
        first_and_last_minutes=part / 60,
        frames=len(notes.latency),
        frames_apart=sum(len(latencies) for latencies in notes.during.values()),
        memory_mb_an_hour=hourly,
        memory_mb_difference=difference,
        limit_memory_mb_an_hour=LIMIT_GROWTH,
        faults=len(turns.happened),
        recoveries=len(turns.recovered),
        slowest_recovery_seconds=max(turns.recovered, default=None),
        not_recovered=turns.lost,
        pages=len(pages),
        expected_pages=expected_pages,
        notices=len(notices),
        expected_notices=expected_notices,
        looking_along=along,
        minutes=minutes,
        cores=cores,
        share_of_others=float(np.mean(others)) if others else None,
        within_limits=bool(
            worst <= LIMIT * 1e3
            and (hourly is None or hourly <= LIMIT_GROWTH)
            and len(turns.recovered) == len(turns.happened)
            and (len(pages), len(notices)) == (expected_pages, expected_notices)
        ),
    )


if __name__ == "__main__":
    main()
