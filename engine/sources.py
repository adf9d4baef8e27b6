"""Where frames come from: cameras, videos, pictures, the screen, the network, and digits that move by themselves.

A specification (one line of text) enters `open_source`, a `FrameSource` leaves. `Capture` reads one in a thread of
its own at the source's pace and hands the frames on; pausing, stepping, seeking and the return of an unplugged camera
are its business, so that a source only needs to know how to read.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import functools
import logging
import math
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np

from engine.concurrency import Flag, Lock, Worker
from engine.errors import EngineError
from engine.images import PICTURES, read_picture
from engine.opencv import cv2
from engine.types import Frame, Image

_log = logging.getLogger(__name__)

VIDEOS = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .wmv .flv .ogv .ts .m2ts .3gp .mjpeg .mjpg".split()  # noqa: SIM905
)

Kind: TypeAlias = Literal["camera", "video", "pictures", "screen", "moving digits"]

_TRY_OTHER = "Choose another file, or try the built-in moving digits."
_RETRY_SECONDS = 1.0  # between two attempts to open a camera that was unplugged
_SETTLED = 60  # pictures of one size after which those of another are gone from everywhere
_TRIES = 3  # to read on in a remote file, in one place; then it is damaged there
_UNSURE = 1.0  # seconds by which a header may promise too much: it often only estimates
_PICTURE_SECONDS = 1.0  # for which each picture of a folder is shown
_KEPT_FRAMES, _KEPT_BYTES = 24, 128 << 20  # of a video, so that one can step back without decoding it again
_DAMAGED = 50  # frames of a file in a row that cannot be decoded; after more it has ended
_SKIPPED = 12  # frames that are decoded for nothing rather than looking for the key frame before them


@dataclass(frozen=True)
class Camera:
    """A camera that is plugged in; `index` is the system's number for it."""

    name: str
    index: int
    path: str


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source once it is open.

    Attributes:
        title: for people: the camera's or the file's name.
        kind: what it is.
        width, height: in pixels; of the first picture where they differ.
        fps: frames a second at which it is meant to be played.
        frames: how many there are; None: endless, or not known before the end.
        live: it goes on whether it is read or not, and cannot be paused at a place or sought in.
    """

    title: str
    kind: Kind
    width: int
    height: int
    fps: float
    frames: int | None
    live: bool


class FrameSource(Protocol):
    """An open source. Use it from one thread."""

    info: SourceInfo

    def read(self) -> Frame | None:
        """The next frame, or None at the end. EngineError: this frame cannot be read; the next one may be."""
        ...

    def seek(self, index: int) -> None:
        """Make `index` the next frame; does nothing for a live source."""
        ...

    def close(self) -> None: ...


class _BrokenOff(EngineError):
    """A remote file gives no frame where its header promises one: the connection may be lost, or the file damaged.

    Attributes:
        index: of the frame that is missing.
        believe: to be called to take this for the end of the file.
    """

    def __init__(self, title: str, index: int, believe: Callable[[], None]) -> None:
        super().__init__(f"Nothing comes from {title} any more.", "Open it again.")
        self.index = index
        self.believe = believe


# ----------------------------------------------------------------------------------------------------- opening


def open_source(spec: str) -> FrameSource:
    """Open what `spec` names.

    Args:
        spec: "camera:NAME" or "camera:INDEX" (or "camera:" for the first one); the path of a video, a picture or a
            folder of pictures; "screen" or "screen:x,y,w,h" in pixels; "digits:", the built-in moving digits; or the
            address of a network stream ("rtsp://…", "http://…").

    Raises:
        EngineError: it is not there, or cannot be read.
    """
    if spec == "digits" or spec.startswith("digits:"):
        return MovingDigits()
    if spec == "camera" or spec.startswith("camera:"):
        return _CameraSource(spec.partition(":")[2].strip())
    if spec == "screen" or spec.startswith("screen:"):
        return _ScreenSource(spec.partition(":")[2].strip())
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", spec):
        return _VideoSource(spec, remote=True)
    path = Path(spec)
    if spec.startswith("~") and not os.path.lexists(path):  # otherwise it is the name of a file here
        with contextlib.suppress(RuntimeError):  # nobody of that name has a home
            path = path.expanduser()
    if is_folder(path):
        return _PictureSource(path, find_files(path, PICTURES))
    if path.suffix.lower() in PICTURES:
        return _PictureSource(path, [path])
    return _VideoSource(str(path), remote=False)


def is_folder(path: Path) -> bool:
    """Whether it is a folder rather than a file.

    Raises:
        EngineError: it is neither, or nobody may look.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a name that no file can have
        raise EngineError(f"There is no file or folder {path}.", "Check the path.") from error
    except OSError as error:
        raise EngineError(f"{path} cannot be opened: {error.strerror or error}.", "Check the path.") from error


def find_files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """All files below `folder` with one of these suffixes, in the order in which people count ("2" before "10").

    Raises:
        EngineError: the folder cannot be read.
    """
    try:
        found = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file()]
    except OSError as error:
        raise EngineError(
            f"The folder {folder} cannot be read: {error.strerror or error}.", "Check that you may open it."
        ) from error
    found = [path for path in found if not path.name.startswith(".")]
    return sorted(found, key=natural_order)


def natural_order(path: Path) -> list[list[tuple[int, str]]]:
    """A key that sorts paths as people count ("2" before "10")."""
    return [_natural(part) for part in path.parts]


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text.casefold())]


# ----------------------------------------------------------------------------------------------------- cameras


def list_cameras() -> list[Camera]:
    """The cameras that are plugged in now, by name; two of the same name are told apart by a number."""
    from cv2_enumerate_cameras import enumerate_cameras

    cameras: list[Camera] = []
    try:
        found = sorted(enumerate_cameras(_camera_backend()), key=lambda each: int(each.index))
    except Exception:  # no such service on this system: then there is no camera for us
        return cameras
    names: dict[str, int] = {}
    for each in found:
        name = str(each.name or f"Camera {each.index}")
        names[name] = names.get(name, 0) + 1
        title = f"{name} ({names[name]})" if names[name] > 1 else name
        cameras.append(Camera(title, int(each.index), str(each.path or "")))
    return cameras


def _camera_backend() -> int:
    system = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_MSMF, "darwin": cv2.CAP_AVFOUNDATION}
    return int(system.get(sys.platform, cv2.CAP_ANY))


class _CameraSource:
    def __init__(self, wanted: str) -> None:
        cameras = list_cameras()
        if wanted.isdecimal():
            chosen = next((each for each in cameras if each.index == int(wanted)), None)
            chosen = chosen or Camera(f"Camera {wanted}", int(wanted), "")
        else:
            near = [each for each in cameras if wanted.casefold() in each.name.casefold()]
            chosen = next((each for each in cameras if each.name == wanted), near[0] if near else None)
        if not cameras and not wanted.isdecimal():
            raise EngineError("No camera was found.", "Plug one in, or open a video or a picture instead.")
        if chosen is None:
            names = ", ".join(each.name for each in cameras)
            raise EngineError(f"There is no camera called “{wanted}”.", f"Cameras found: {names}.")
        self._capture = cv2.VideoCapture(chosen.index, _camera_backend())
        frame = self._capture.read()[1] if self._capture.isOpened() else None
        if frame is None:
            self._capture.release()
            if not cameras:
                raise EngineError("No camera was found.", "Plug one in, or open a video or a picture instead.")
            raise EngineError(
                f"The camera “{chosen.name}” gives no picture.",
                "Another program may be using it: close that one, and check that ConvScope may use the camera.",
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one that has waited
        height, width = frame.shape[:2]
        fps = _sane_rate(self._capture.get(cv2.CAP_PROP_FPS), 30.0)
        self.info = SourceInfo(chosen.name, "camera", width, height, fps, None, live=True)
        self._index = 0
        self._begun = time.perf_counter()

    def read(self) -> Frame | None:
        ok, image = self._capture.read()
        if not ok or image is None:
            return None
        now = time.perf_counter()
        frame = Frame(
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB), self.info.title, self._index, now, clock=now - self._begun
        )
        self._index += 1
        return frame

    def seek(self, index: int) -> None:
        pass

    def close(self) -> None:
        self._capture.release()


# ------------------------------------------------------------------------------------------------------ videos


class _VideoSource:
    """A video file, or a stream from the network."""

    def __init__(self, address: str, *, remote: bool) -> None:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 8000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 8000] if remote else []
        self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened() and not remote:
            self._capture = cv2.VideoCapture(address, cv2.CAP_ANY)
        title = address if remote else Path(address).name
        self._waiting: Any = self._capture.read()[1] if self._capture.isOpened() else None
        if self._waiting is None:
            self._capture.release()
            if remote:
                raise EngineError(f"Nothing comes from {address}.", "Check the address and that the sender is on.")
            size = _size_of(Path(address))
            what = "is empty" if size == 0 else "is damaged or no video"
            raise EngineError(f"{address} {what}.", _TRY_OTHER)
        height, width = self._waiting.shape[:2]
        fps = _sane_rate(self._capture.get(cv2.CAP_PROP_FPS), 25.0)
        promised = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # A header may promise anything: a frame in fewer bytes than this is not believed.
        believed = promised > 0 and (remote or promised * 40 <= _size_of(Path(address)))
        frames = int(promised) if believed else None
        live = remote and frames is None  # otherwise it is a file that lies elsewhere
        self._remote = remote
        self.info = SourceInfo(title, "video", width, height, fps, frames, live)
        self._begun = time.perf_counter()
        self._index = 0  # of the frame that is read next
        self._decoded = 0  # of the frame that the decoder gives next
        self._seen = 1  # frames of which one knows that they are there
        self._damaged: set[int] = set()  # frames that could not be decoded
        self._recent: collections.deque[tuple[int, Image]] = collections.deque(
            maxlen=max(2, min(_KEPT_FRAMES, _KEPT_BYTES // (height * width * 3)))
        )

    def read(self) -> Frame | None:
        image = next((each for index, each in self._recent if index == self._index), None)
        if image is None:
            image = self._decode()
        if image is None:
            missing = (self.info.frames or 0) - self._index
            if self._remote and missing > _UNSURE * self.info.fps:
                raise _BrokenOff(self.info.title, self._index, self._find_end)
            if not self.info.live:
                self._find_end()
            return None
        now = time.perf_counter()
        clock = now - self._begun if self.info.live else self._index / self.info.fps
        frame = Frame(image, self.info.title, self._index, now, clock=clock)
        self._index += 1
        return frame

    def _find_end(self) -> None:
        """Now the number of frames is known, whatever the header says."""
        self.info = dataclasses.replace(self.info, frames=self._end())

    def _end(self) -> int:
        """How many frames there are, where there is none at `_index`: after a jump the last one may lie far before."""
        there, missing = self._seen, self._index
        if there == missing:
            return there
        while there < missing:
            middle = (there + missing) // 2
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, middle)
            if self._capture.grab():
                there = middle + 1
            else:
                missing = middle
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        self._waiting, self._decoded = None, 0
        self._recent.clear()
        return there

    def _decode(self) -> Image | None:
        """The frame at `_index`, or the next one if that is damaged; what is decoded on the way there is kept, too."""
        begin = self._decoded
        oldest = self._recent[0][0] if self._recent else self._decoded
        if oldest - _SKIPPED <= self._index < oldest:  # a step back: the ones before it are wanted next
            begin = max(0, self._index - (self._recent.maxlen or 2) + 1)
        elif not 0 <= self._index - self._decoded <= _SKIPPED:
            begin = self._index
        if begin != self._decoded:
            self._waiting = None
            self._recent.clear()
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, begin)
            self._decoded = begin
        damaged = 0
        while True:
            image, self._waiting = self._waiting, None
            if image is None:
                ok, image = self._capture.read()
                if not ok or image is None:
                    damaged += 1
                    if damaged > self._tolerated:
                        return None
                    continue
            rgb: Image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            self._damaged.update(range(self._decoded, self._decoded + damaged))
            index, self._decoded, damaged = self._decoded + damaged, self._decoded + damaged + 1, 0
            self._seen = max(self._seen, self._decoded)
            if not self.info.live:
                self._recent.append((index, rgb))
            if index >= self._index:
                self._index = index
                return rgb

    @property
    def _tolerated(self) -> int:
        """Frames in a row that may be damaged before it is the end: OpenCV tells both in the same way."""
        missing = (self.info.frames or 0) - self._decoded
        return 0 if self._remote else min(_DAMAGED, missing - 1)

    def seek(self, index: int) -> None:
        if not self.info.live:
            self._index = max(0, index if self.info.frames is None else min(index, self.info.frames - 1))
            while self._index > 0 and self._index in self._damaged:  # or one could not step back past them
                self._index -= 1

    def close(self) -> None:
        self._recent.clear()
        self._capture.release()


def _sane_rate(fps: float, otherwise: float) -> float:
    return fps if math.isfinite(fps) and 1.0 <= fps <= 240.0 else otherwise


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


# ---------------------------------------------------------------------------------------------------- pictures


class _PictureSource:
    """One picture or all pictures of a folder; one that cannot be read is reported and the next one is shown."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        if not files:
            raise EngineError(f"There are no pictures in {path}.", "Choose a folder with PNG or JPEG files in it.")
        self._files = files
        self._next = 0
        height, width, failure = 0, 0, None
        for file in files:
            try:
                height, width = read_picture(file).shape[:2]
                break
            except EngineError as error:
                failure = failure or error
        if not width and failure is not None:
            if len(files) == 1:
                raise failure
            raise EngineError(f"None of the {len(files)} pictures in {path} can be read.", failure.message)
        self.info = SourceInfo(path.name, "pictures", width, height, 1 / _PICTURE_SECONDS, len(files), live=False)

    def read(self) -> Frame | None:
        if self._next >= len(self._files):
            return None
        index, self._next = self._next, self._next + 1
        file = self._files[index]
        return Frame(read_picture(file), file.name, index, time.perf_counter())

    def seek(self, index: int) -> None:
        self._next = min(max(index, 0), len(self._files) - 1)

    def close(self) -> None:
        pass


# -------------------------------------------------------------------------------------------------- the screen


class _ScreenSource:
    def __init__(self, region: str) -> None:
        box = [int(part) for part in re.findall(r"-?\d+", region)]
        if region and (len(box) != 4 or box[2] < 1 or box[3] < 1):
            raise EngineError(
                f"“{region}” is no region of the screen.", "Write it as screen:x,y,width,height in pixels."
            )
        self._index = 0
        self._begun = time.perf_counter()
        try:
            import mss

            self._screen: Any = mss.MSS() if hasattr(mss, "MSS") else mss.mss()  # its name since 10.2, and before
            whole = self._screen.monitors[0]
            self._area = {"left": box[0], "top": box[1], "width": box[2], "height": box[3]} if box else dict(whole)
            image = self._grab()
        except Exception as error:
            self.close()
            raise EngineError(
                "The screen cannot be read.",
                "Check that the region lies on the screen and that the system lets ConvScope record it.",
            ) from error
        height, width = image.shape[:2]
        self.info = SourceInfo("Screen", "screen", width, height, 30.0, None, live=True)

    def read(self) -> Frame | None:
        try:
            image = self._grab()
        except Exception as error:
            raise EngineError("The screen cannot be read any more.", "Choose the region again.") from error
        now = time.perf_counter()
        frame = Frame(image, "Screen", self._index, now, clock=now - self._begun)
        self._index += 1
        return frame

    def _grab(self) -> Image:
        shot = self._screen.grab(self._area)
        pixels = np.frombuffer(shot.bgra, np.uint8).reshape(shot.height, shot.width, 4)
        rgb: Image = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB)
        return rgb

    def seek(self, index: int) -> None:
        pass

    def close(self) -> None:
        screen = getattr(self, "_screen", None)
        if screen is not None:
            screen.close()


# ----------------------------------------------------------------------------------------------- moving digits


class MovingDigits:
    """Digits that are drawn by our own code and move about on a sheet of paper: shows that the live flow works.

    The same index always gives the same picture, so it can be sought in like a file. `truth` says what is written.
    """

    WIDTH: ClassVar[int] = 640
    HEIGHT: ClassVar[int] = 400
    _SECONDS: ClassVar[float] = 4.0  # after which other digits are written
    _DIGITS: ClassVar[int] = 3
    _SHAPES: ClassVar[tuple[str, ...]] = (  # pen positions in hundredths of the box; "/" lifts the pen, "!" is a corner
        "50,0 20,14 8,50 20,86 50,100 80,86 92,50 80,14 50,0",
        "28,25! 55,0! 55,100",
        "12,24 28,4 52,0 82,14 82,36 58,66 10,100! 92,100",
        "14,12 40,0 76,8 80,32 44,47! 82,58 90,80 66,98 34,100 8,88",
        "60,0! 8,68! 92,68 / 70,36! 68,100",
        "84,0! 24,0! 18,44! 50,36 84,52 86,80 56,100 12,92",
        "72,0 34,26 12,62 24,92 54,100 84,86 80,58 50,50 18,68",
        "10,2! 88,2! 58,44 40,100",
        "50,46 20,30 26,6 50,0 76,8 78,30 50,46 16,68 22,94 52,100 82,92 82,66 50,46",
        "82,28 68,4 38,2 18,24 30,50 60,50 82,26! 80,66 66,100",
    )

    def __init__(self) -> None:
        self.info = SourceInfo("Moving digits", "moving digits", self.WIDTH, self.HEIGHT, 30.0, None, live=False)
        self._next = 0
        random = np.random.default_rng(7)
        down, across = np.mgrid[0 : self.HEIGHT, 0 : self.WIDTH].astype(np.float32)
        light = 0.86 + 0.14 * (across / self.WIDTH) - 0.10 * (down / self.HEIGHT)  # as from a lamp at the upper right
        grain = random.normal(0, 1.6, (self.HEIGHT, self.WIDTH, 1)).astype(np.float32)
        paper = light[:, :, None] * np.array([246, 241, 228], np.float32) + grain
        self._paper: Image = np.clip(paper, 0, 255).astype(np.uint8)

    def truth(self, index: int) -> str:
        """The digits in the frame of that index, from left to right."""
        random = np.random.default_rng(int(index / (self._SECONDS * self.info.fps)) + 1)
        return "".join(str(random.integers(10)) for _ in range(self._DIGITS))

    def read(self) -> Frame | None:
        clock = self._next / self.info.fps
        frame = Frame(self.picture(self._next), self.info.title, self._next, time.perf_counter(), clock=clock)
        self._next += 1
        return frame

    def picture(self, index: int) -> Image:
        """The picture of that index, (400, 640, 3) uint8."""
        image = self._paper.copy()
        seconds = index / self.info.fps
        cell = self.WIDTH / self._DIGITS
        for place, label in enumerate(self.truth(index)):
            phase = 2 * math.pi * (seconds / (3.1 + 0.7 * place) + place / self._DIGITS)
            x = cell * (place + 0.5) + 0.13 * cell * math.sin(phase)
            y = self.HEIGHT * (0.5 + 0.17 * math.cos(0.8 * phase))
            size = 0.36 * self.HEIGHT * (1 + 0.2 * math.sin(0.6 * phase + place))
            turn = 0.2 * math.sin(0.9 * phase + 2 * place)
            along = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
            for stroke in _pen_paths(self._SHAPES[int(label)]):
                points = (stroke - 0.5) * (0.62 * size, size) @ along.T + (x, y)
                fixed = np.rint(points * 16).astype(np.int32)
                cv2.polylines(image, [fixed], False, (38, 42, 74), max(2, round(0.085 * size)), cv2.LINE_AA, 4)
        return image

    def seek(self, index: int) -> None:
        self._next = max(0, index)

    def close(self) -> None:
        pass


@functools.cache
def _pen_paths(shape: str) -> tuple[np.ndarray, ...]:
    """The strokes of a shape as (P, 2) points of smooth curves in the unit square (Catmull and Rom 1974)."""
    paths: list[np.ndarray] = []
    for stroke in shape.split("/"):
        points: list[np.ndarray] = []
        corners: list[bool] = []
        for word in stroke.split():
            corners.append(word.endswith("!"))
            points.append(np.array([float(part) for part in word.rstrip("!").split(",")]) / 100)
        path = [points[0]]
        closed = bool((points[0] == points[-1]).all()) and not corners[0]
        for i in range(len(points) - 1):
            a, b = points[i], points[i + 1]
            first, last = i == 0, i + 2 == len(points)
            before = a if corners[i] or (first and not closed) else points[i - 1 if i else -2]
            after = b if corners[i + 1] or (last and not closed) else points[1 if last else i + 2]
            into, out = (b - before) / 2, (after - a) / 2
            for t in np.linspace(0.125, 1, 8):
                path.append(
                    (2 * t**3 - 3 * t**2 + 1) * a
                    + (t**3 - 2 * t**2 + t) * into
                    + (3 * t**2 - 2 * t**3) * b
                    + (t**3 - t**2) * out
                )
        paths.append(np.array(path))
    return tuple(paths)


# ------------------------------------------------------------------------------------------------------ capture


@dataclass(frozen=True)
class CaptureState:
    """What a capture is doing.

    Attributes:
        phase: "waiting": the camera was unplugged, or the stream or remote file broke off; it is opened again as soon
            as it is back, a file at the place where it was.
        info: of the source, once it was open; `frames` is corrected at the end of a file whose header was wrong.
        position: frames handed on, or index of the next one in something that can be sought in.
        error: why it failed or waits; while playing: why a picture was left out, told once for each.
    """

    phase: Literal["opening", "playing", "paused", "ended", "waiting", "failed"]
    info: SourceInfo | None = None
    position: int = 0
    error: EngineError | None = None


class Capture:
    """One capture thread: reads a source at its own pace and hands the frames on.

    Attributes:
        loop: begin again at the end of a file.
        read_seconds: how long one read takes, smoothed.
    """

    def __init__(
        self, spec: str, *, on_frame: Callable[[Frame], None], on_state: Callable[[CaptureState], None]
    ) -> None:
        """Both are called in the capture thread; `on_state` whenever something other than the position changes."""
        self.loop = False
        self.read_seconds = 0.0
        self._spec = spec
        self._on_frame = on_frame
        self._on_state = on_state
        self._lock = Lock()  # guards the three wishes below
        self._paused = False
        self._steps = 0
        self._seek: int | None = None
        self._wake = Flag()
        self._ending = False
        self._position = 0
        self._broken_off = (-1, 0)  # a remote file: at which index, how many times in a row
        self._left_out: set[int] = set()  # pictures of which has been told that they cannot be read
        self._info: SourceInfo | None = None
        self._worker = Worker("capture", self._run)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """End the thread and close the source; nothing is called any more once this returns."""
        self._ending = True
        self._wake.set()
        self._worker.stop(timeout=15.0)

    def pause(self) -> None:
        self._wish(paused=True)

    def resume(self) -> None:
        """Go on; after the end of a file, from its beginning."""
        self._wish(paused=False)

    def step(self, by: int = 1) -> None:
        """One frame on (`by` = 1) or back (-1; not in a live source), and stay paused there."""
        self._wish(paused=True, steps=by)

    def seek(self, index: int) -> None:
        """Go to a frame of a file; it is shown even while paused."""
        self._wish(seek=max(0, index))

    def _wish(self, *, paused: bool | None = None, steps: int = 0, seek: int | None = None) -> None:
        with self._lock:
            self._paused = self._paused if paused is None else paused
            self._steps += steps
            self._seek = self._seek if seek is None else seek
        self._wake.set()

    # ------------------------------------------------------------------------------- in the capture thread

    def _run(self, stop: Flag) -> None:
        source: FrameSource | None = None
        self._tell("opening")
        try:
            source = self._open()
            while source is not None and not self._ending:
                if self._play(source):
                    source.close()
                    _return_memory()
                    source = self._reopen()
                else:
                    self._rest(source)
        except EngineError as error:
            self._tell("failed", error)
        finally:
            if source is not None:
                source.close()
            _return_memory()

    def _open(self) -> FrameSource:
        try:
            source = open_source(self._spec)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"{self._spec} cannot be opened.", f"{type(error).__name__}: {error}") from error
        self._info = source.info
        return source

    def _play(self, source: FrameSource) -> bool:
        """Hand on frames until the end; True if it must be opened again."""
        phase: Literal["playing", "paused"] | None = None
        due = time.perf_counter()
        seconds = 1 / source.info.fps
        failures = 0
        shape, settled = (0, 0), 0  # of the pictures, and how many have come since it changed
        while not self._ending:
            self._wake.clear()
            with self._lock:
                paused, seek = self._paused, self._seek
                self._seek = None
                steps, self._steps = self._steps, max(0, self._steps - 1)
            if steps < 0 and seek is None and not source.info.live:
                seek = max(0, self._position - 1 + steps)  # the next one is shown: the one before that, and back
            if phase != ("paused" if paused else "playing"):
                phase = "paused" if paused else "playing"
                due = time.perf_counter()
                self._tell(phase)
            if seek is not None and not source.info.live:
                with _explained(source):
                    source.seek(seek)
                self._position = seek
                due = time.perf_counter()
            elif paused and steps <= 0:
                self._wake.wait()
                continue
            begun = time.perf_counter()
            try:
                with _explained(source):
                    frame = source.read()
                failures = 0
            except _BrokenOff as broken:
                if self._try_again(broken.index):
                    return True
                with _explained(source):
                    broken.believe()
                frame = None
            except EngineError as error:
                failures += 1
                if source.info.kind != "pictures" or failures > (source.info.frames or 0):
                    raise
                left_out, self._position = self._position, self._position + 1
                if left_out not in self._left_out:  # said once, however often a folder is gone through
                    self._left_out.add(left_out)
                    self._tell(phase, error)
                continue
            took = time.perf_counter() - begun
            self.read_seconds = took if not self.read_seconds else 0.9 * self.read_seconds + 0.1 * took
            self._info = source.info
            if self._ending:
                break
            if frame is None:
                if source.info.live:
                    return True
                if not (self.loop and self._position and not paused):
                    return False
                with _explained(source):
                    source.seek(0)
                self._position = 0
                continue
            self._position = frame.index + 1
            self._broken_off = (-1, 0)
            self._on_frame(frame)
            settled = settled + 1 if frame.image.shape[:2] == shape else 0
            if settled == _SETTLED:
                _return_memory()  # of the larger pictures from before, which nobody holds by now
            shape = frame.image.shape[:2]
            if source.info.kind == "camera" or (source.info.live and source.info.kind == "video"):
                continue  # its own pace: read waits for the next frame
            due += seconds
            now = time.perf_counter()
            if now - due > 0.25:  # too slow for its pace: play as fast as possible, without making up for it
                due = now
            while due > now and not self._ending and not self._wake.is_set():
                self._wake.wait(due - now)
                now = time.perf_counter()
        return False

    def _try_again(self, index: int) -> bool:
        """A remote file broke off there: whether to open it again, and go on there."""
        before, times = self._broken_off
        times = times + 1 if index == before else 1
        self._broken_off = (index, times)
        if times > _TRIES:
            return False
        with self._lock:
            self._seek = index if self._seek is None else self._seek
        return True

    def _rest(self, source: FrameSource) -> None:
        """The end of a file: wait until somebody wants to see more of it."""
        if self._ending:
            return
        with self._lock:
            self._paused = False
            self._steps = 0
        self._tell("ended")
        while not self._ending:
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                if self._seek is None and self._paused and not self._steps:
                    self._paused = False  # there is nothing to pause
                    continue
                if self._seek is None and self._steps >= 0:
                    self._seek = 0
            return

    def _reopen(self) -> FrameSource | None:
        """A camera that was unplugged, or a stream or remote file that broke off, once it is back."""
        name = self._info.title if self._info else self._spec
        if self._info is not None and self._info.kind == "camera":
            self._spec = f"camera:{name}"  # by name: its number may be another one when it comes back
            error = EngineError(
                f"The camera “{name}” is not there any more.", "It goes on when it is plugged in again."
            )
        else:
            error = EngineError(f"Nothing comes from {name} any more.", "It goes on when the sender is back.")
        self._tell("waiting", error)
        while not self._ending:
            self._wake.clear()
            if not self._ending:
                self._wake.wait(_RETRY_SECONDS)
            if self._ending:
                break
            with contextlib.suppress(EngineError):
                return self._open()
        return None

    def _tell(self, phase: Any, error: EngineError | None = None) -> None:
        if not self._ending:
            self._on_state(CaptureState(phase, self._info, self._position, error))


def _return_memory() -> None:
    """Have the C library give back what freed pictures have left behind, where it would keep it (glibc does)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def _explained(source: FrameSource) -> Iterator[None]:
    """What a source did not expect (an error inside OpenCV) leaves as an `EngineError`, too."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        _log.warning("reading %s", source.info.title, exc_info=True)
        raise EngineError(
            f"{source.info.title} cannot be read any further.", f"Open it again. ({type(error).__name__}: {error})"
        ) from error
