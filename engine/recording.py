"""Videos written while one looks: pictures with their times go in from any thread, a video file comes out.

Nobody who hands a picture in ever waits. One thread makes the pictures (whoever hands one in says how), gives each its
place on an even frame rate by its real time, and encodes them. The file grows in the data folder and moves to the
place that was asked for only once it is complete, so that a memory stick pulled out or a full disk loses nothing.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import re
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from engine import store
from engine.concurrency import Flag, Lock, Worker
from engine.errors import EngineError
from engine.opencv import cv2
from engine.types import Image

_log = logging.getLogger(__name__)

Paint: TypeAlias = Callable[[], Image]

CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
RESERVE = 64 << 20  # bytes of the disk that stay free; a video whose end cannot be written cannot be played
_WAITING = 6  # pictures that wait to be encoded; more are left out
_FIRST = 8  # pictures that are looked at to find the frame rate
_LONGEST = 10.0  # seconds for which one picture may stand


@dataclass(frozen=True)
class RecordingState:
    """How a recording is getting on.

    Attributes:
        phase: "recording"; "saving": it is being completed and put in its place; then "saved", or "failed", after
            which `path` is still a video wherever anything was written (`size` is 0 where nothing was).
        path: where the video is, or will be.
        seconds: of video so far.
        size: bytes so far.
        pictures: handed in and written.
        left_out: handed in while too many waited.
        error: why it ended by itself, or could not be put where it was asked for.
    """

    phase: Literal["recording", "saving", "saved", "failed"]
    path: Path
    seconds: float = 0.0
    size: int = 0
    pictures: int = 0
    left_out: int = 0
    error: EngineError | None = None


@dataclass(frozen=True)
class _Picture:
    time: float
    image: Image | Paint
    joined: bool  # it follows the one before at once, whatever the clock says


class Recording:
    """One video that is being written. `state` may be read from any thread."""

    _count: ClassVar[int] = 0

    def __init__(
        self,
        path: Path,
        *,
        on_end: Callable[[RecordingState], None],
        fps: float = 0.0,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Begin a video; takes some milliseconds.

        Args:
            path: where it shall be; its suffix (".mp4", ".mkv" or ".avi") says how it is written.
            on_end: called once, in the recording's thread, when the file is in its place or is not going to be.
            fps: frames a second at which the pictures are meant to come; 0: find out.
            free: bytes that are free on the disk of a folder.

        Raises:
            EngineError: this cannot be written there, or not in this form.
        """
        self._path = path
        self._codec = CODECS.get(path.suffix.lower(), "")
        if not self._codec:
            raise EngineError(
                f"ConvScope writes no “{path.suffix or path.name}” videos.", f"Choose one of {', '.join(CODECS)}."
            )
        self._on_end = on_end
        self._meant = fps
        self._free = free
        folder = store.data_folder() / "recordings"
        Recording._count += 1
        self._file = folder / f"{path.stem}-{os.getpid()}-{Recording._count}{path.suffix.lower()}"
        self._try_out()
        self._queue: collections.deque[_Picture] = collections.deque()
        self._lock = Lock()  # guards the queue and the three below
        self._joined = True
        self._left_out = 0
        self._ended = False
        self._wake = Flag()
        self._state = RecordingState("recording", path)
        self._writer: Any = None
        self._size = (0, 0)  # (width, height)
        self._fps = 0.0
        self._first: list[tuple[float, Image]] = []  # with their place in seconds, until the frame rate is known
        self._at = 0.0
        self._before: float | None = None  # the clock at the picture before
        self._standing: Image | None = None  # placed, and not written yet: how long it stands is not known
        self._written = 0  # frames in the file
        self._pictures = 0
        self._worker = Worker("recording", self._run).start()

    @property
    def state(self) -> RecordingState:
        return self._state

    def add(self, moment: float, image: Image | Paint) -> None:
        """Hand a picture in; never waits.

        Args:
            moment: when it was taken, in seconds of `time.perf_counter`.
            image: (H, W, 3) uint8 RGB, or what makes it; that is called in the recording's thread.
        """
        with self._lock:
            if self._ended:
                return
            if len(self._queue) >= _WAITING:
                self._left_out += 1
                return
            self._queue.append(_Picture(moment, image, self._joined))
            self._joined = False
        self._wake.set()

    def gap(self) -> None:
        """The next picture follows the one before at once: what plays has stood still."""
        with self._lock:
            self._joined = True

    def stop(self, *, timeout: float = 0.0) -> bool:
        """Complete the video with what has been handed in; True if that is done within `timeout` seconds."""
        with self._lock:
            self._ended = True
        self._wake.set()
        return self._worker.stop(timeout) if timeout else not self._worker.alive

    # ---------------------------------------------------------------------------------------- before it begins

    def _try_out(self) -> None:
        for folder in (self._path.parent, self._file.parent):
            probe = folder / f".{self._file.name}.tmp"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"\0")
            except OSError as error:
                raise store.write_error(folder / self._path.name, error) from error
            finally:
                with contextlib.suppress(OSError):
                    probe.unlink(missing_ok=True)
        if self._path.is_dir():
            raise EngineError(f"{self._path} is a folder.", "Choose another name for the video.")
        if self._free(self._file.parent) < 2 * RESERVE:
            raise EngineError(
                "There is too little room on the disk for a video.", f"Free some space in {self._file.parent}."
            )
        writer = self._open((64, 64), 25.0)
        writer.release()
        self._file.unlink(missing_ok=True)

    def _open(self, size: tuple[int, int], fps: float) -> Any:
        writer = cv2.VideoWriter(str(self._file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*self._codec), fps, size)
        if not writer.isOpened():
            writer.release()
            self._file.unlink(missing_ok=True)
            others = ", ".join(suffix for suffix in CODECS if suffix != self._path.suffix.lower())
            raise EngineError(
                f"This computer cannot write {self._path.suffix} videos.", f"Choose a name that ends in {others}."
            )
        return writer

    # -------------------------------------------------------------------------------- in the recording's thread

    def _run(self, stop: Flag) -> None:
        error: EngineError | None = None
        try:
            while True:
                with self._lock:
                    picture = self._queue.popleft() if self._queue else None
                    ended = self._ended
                if picture is not None:
                    self._take(picture)
                elif ended:
                    break
                else:
                    self._wake.wait()
                    self._wake.clear()
        except EngineError as failure:
            error = failure
        except OSError as failure:  # the disk has gone
            error = store.write_error(self._file, failure)
        except Exception as failure:  # a picture that cannot be painted: what was written is kept
            _log.warning("recording %s", self._path.name, exc_info=True)
            error = EngineError(
                f"The recording ended at {_minutes(self._at)} because a picture could not be drawn.",
                f"What was recorded until then is kept. ({type(failure).__name__}: {failure})",
            )
        with self._lock:
            self._ended = True
            self._queue.clear()
        self._on_end(self._complete(error))

    def _take(self, picture: _Picture) -> None:
        image = picture.image() if callable(picture.image) else picture.image
        if not self._size[0]:
            self._size = (max(2, image.shape[1] & ~1), max(2, image.shape[0] & ~1))  # video has even sides
        if self._before is not None:
            usual = 1 / (self._fps or self._meant or 25.0)
            passed = usual if picture.joined else picture.time - self._before
            self._at += min(_LONGEST, max(0.0, passed))
        self._before = picture.time
        if self._writer is None:
            self._first.append((self._at, image))
            if len(self._first) >= _FIRST:
                self._begin()
        else:
            self._place(self._at, image)
        self._pictures += 1
        self._tell("recording")
        if self._free(self._file.parent) < RESERVE:
            raise EngineError(
                f"The disk is nearly full: the recording ended at {_minutes(self._at)}.",
                f"What was recorded until then is kept. Free some space in {self._file.parent} before the next one.",
            )

    def _begin(self) -> None:
        """The frame rate is known now: write what has waited for it."""
        gaps = [later[0] - earlier[0] for earlier, later in zip(self._first, self._first[1:], strict=False)]
        usual = statistics.median(gap for gap in gaps if gap > 0) if any(gap > 0 for gap in gaps) else 0.0
        found = 1 / usual if usual else self._meant or 25.0
        near = self._meant > 0 and abs(found - self._meant) <= 0.15 * self._meant
        self._fps = self._meant if near else float(min(60, max(1, round(found))))
        self._writer = self._open(self._size, self._fps)
        for at, image in self._first:
            self._place(at, image)
        self._first.clear()

    def _place(self, at: float, image: Image) -> None:
        """Write the picture before as often as it stood; of two in one place the newer one stays."""
        slot = round(at * self._fps)
        if self._standing is not None:
            if slot > self._written:
                ready = cv2.cvtColor(self._fitted(self._standing), cv2.COLOR_RGB2BGR)
                for _ in range(slot - self._written):
                    self._writer.write(ready)
            self._written = max(self._written, slot)
        self._standing = image

    def _fitted(self, image: Image) -> Image:
        """A picture of another size in the middle of the first one's."""
        width, height = self._size
        if image.shape[1] // 2 * 2 == width and image.shape[0] // 2 * 2 == height:
            return np.ascontiguousarray(image[:height, :width])
        scale = min(width / image.shape[1], height / image.shape[0])
        small = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        whole: Image = np.zeros((height, width, 3), np.uint8)
        x, y = (width - small[0]) // 2, (height - small[1]) // 2
        whole[y : y + small[1], x : x + small[0]] = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return whole

    def _complete(self, error: EngineError | None) -> RecordingState:
        """End the file and put it where it belongs; where that fails it stays where it is."""
        self._tell("saving")
        try:
            if self._first:
                self._begin()
            if self._standing is not None:
                self._place(self._at + 1 / self._fps, self._standing)
        except EngineError as failure:
            error = error or failure
        except Exception as failure:  # whoever waits for the end must hear of it all the same
            _log.warning("completing %s", self._path.name, exc_info=True)
            error = error or EngineError(
                "The last pictures of the recording are lost.", f"{type(failure).__name__}: {failure}"
            )
        finally:
            if self._writer is not None:
                self._writer.release()
        if not self._written:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)
            nothing = EngineError("Nothing was recorded.", "Nothing was playing meanwhile.")
            return self._tell("failed", error=error or nothing)
        if not _plays(self._file):
            lost = EngineError("The recording cannot be played.", f"What there is of it lies in {self._file}.")
            return self._tell("failed", path=self._file, error=error or lost)
        try:
            self._move()
        except EngineError as failure:
            kept = EngineError(failure.message, f"The recording is kept as {self._file}. {failure.hint}")
            return self._tell("failed", path=self._file, error=error or kept)
        return self._tell("failed" if error else "saved", error=error)

    def _move(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)  # it may have gone meanwhile
            self._file.replace(self._path)
        except OSError:  # another disk, or a place that cannot be written to any more
            store.replace_file(self._path, lambda temporary: shutil.copyfile(self._file, temporary))
            self._file.unlink(missing_ok=True)

    def _tell(
        self, phase: Literal["recording", "saving", "saved", "failed"], *, path: Path | None = None, error: Any = None
    ) -> RecordingState:
        path = path or self._path
        where = self._file if self._file.exists() else path
        seconds = self._written / self._fps if phase in ("saved", "failed") and self._fps else self._at
        self._state = RecordingState(phase, path, seconds, _size_of(where), self._pictures, self._left_out, error)
        return self._state


def left_over() -> list[Path]:
    """Videos that a process was writing when it was killed, each told once; what cannot be played is deleted."""
    folder, found = store.data_folder() / "recordings", []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        named = _UNFINISHED.fullmatch(path.name)
        if named is None or _runs(int(named["process"])):
            continue
        with contextlib.suppress(OSError):
            if not _plays(path):
                path.unlink()
                continue
            kept = path.with_name(f"{named['stem']} (unfinished){path.suffix}")
            number = 1
            while kept.exists():
                number += 1
                kept = path.with_name(f"{named['stem']} (unfinished {number}){path.suffix}")
            found.append(path.rename(kept))
    return found


_UNFINISHED = re.compile(r"(?P<stem>.+)-(?P<process>\d+)-\d+\.(mp4|mkv|avi)")


def _runs(process: int) -> bool:
    if os.name == "nt":  # a file that is being written cannot be renamed there
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, and is somebody else's
        pass
    return True


def _plays(path: Path) -> bool:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return bool(capture.isOpened() and capture.read()[0])
    finally:
        capture.release()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
