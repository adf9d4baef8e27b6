"""Writing what is found to a file while it plays: COCO's JSON or a table."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from engine import EngineError, Latest, Worker
from gui.bridge import Bridge

if TYPE_CHECKING:
    from engine import DetectionExport, Detections, Frame, SourceInfo

MOST_WAITING = 16  # frames; more are left out rather than kept, each holds its picture


class Exporter(QObject):
    """At most one file at a time, written in a thread of its own; every frame is written once.

    Not every frame of a source is read, so it is said how many of them the file has.

    Signals:
        changed(): it has begun, grown, or ended.
        ended(str): a sentence about the file that is in its place now.
    """

    changed = Signal()
    ended = Signal(str)

    _finished = Signal(str)

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._path: Path | None = None
        self._worker: Worker | None = None
        self._waiting: collections.deque[tuple[Frame, Detections]] = collections.deque()
        self._bell: Latest[bool] = Latest()
        self._info: SourceInfo | None = None
        self._known: set[tuple[str, int]] = set()  # frames of a file that have been taken
        self._newest: Frame | None = None
        self._passed = 0  # frames of the source before `_first`, where a camera was opened again
        self._first = self._last = 0  # indices of the frames that have been taken
        self._stopping = self._closed = False
        self._frames = self._boxes = 0
        self._finished.connect(self._end, Qt.ConnectionType.QueuedConnection)
        self._growing = QTimer(self)
        self._growing.setInterval(250)
        self._growing.timeout.connect(self.changed)

    @property
    def on(self) -> bool:
        return self._worker is not None

    @property
    def words(self) -> str:
        """How it is getting on."""
        if not self.on:
            return ""
        return "Saving…" if self._stopping else f"{self._boxes} boxes · {self._how_many}"

    def start(self, path: Path, info: SourceInfo) -> None:
        """Begin a file of what is found in that source. What goes wrong is told by the bridge."""
        if self.on:
            return
        self._path = path
        self._stopping, self._frames, self._boxes = False, 0, 0
        self._info, self._newest = info, None
        self._known.clear()
        self._passed, self._first, self._last = 0, 0, -1
        self._waiting.clear()
        self._worker = Worker("export", lambda stop: self._run(path)).start()
        self._growing.start()
        self.changed.emit()

    def know(self, info: SourceInfo) -> None:
        """More is known of the source: how many frames there are."""
        if self.on and not self._stopping:
            self._info = info

    def take(self, frame: Frame, detections: Detections) -> None:
        """What is found in a frame, as far as it is shown."""
        if not self.on or self._stopping or self._info is None or frame is self._newest:
            return  # also one that stands still and is read again
        key = (frame.source, frame.index)
        if key in self._known:
            return
        self._count(frame)
        if len(self._waiting) >= MOST_WAITING:
            return
        if not self._info.live:
            self._known.add(key)
        self._waiting.append((frame, detections))
        self._bell.put(True)

    def stop(self) -> None:
        """Finish the file."""
        self._stopping = True
        self._bell.wake()
        self.changed.emit()

    def close(self) -> None:
        """Finish the file and wait until it is whole; nothing is signalled afterwards."""
        self._closed = True
        self._growing.stop()
        self.stop()
        if self._worker is not None:
            self._worker.stop(timeout=10.0)
            self._worker = None

    # inside ---------------------------------------------------------------------------------------------------------

    def _count(self, frame: Frame) -> None:
        """Of how many frames it is one; their indices tell those that nobody has read."""
        assert self._info is not None
        if self._newest is None:
            self._first = frame.index
        elif self._info.live and frame.index <= self._last:  # the camera was opened again, and counts anew
            self._passed += self._last - self._first + 1
            self._first, self._last = 0, -1
        self._first, self._last = min(self._first, frame.index), max(self._last, frame.index)
        self._newest = frame

    @property
    def _how_many(self) -> str:
        """The frames that have been written, out of those that there are."""
        passed = self._passed + self._last - self._first + 1
        there = max(self._frames, self._info.frames if self._info is not None and self._info.frames else passed)
        return f"{self._frames} of {there} frame{'' if there == 1 else 's'}"

    def _run(self, path: Path) -> None:
        """In the export's thread."""
        said = ""
        try:
            from engine import DetectionExport

            with DetectionExport(path) as export:
                self._write(export)
            said = f"Saved as {path} ({self._boxes} boxes in {self._how_many})"
        except EngineError as error:
            self._bridge.report(error)
        finally:
            if not self._closed:
                self._finished.emit(said)

    def _write(self, export: DetectionExport) -> None:
        while True:
            while self._waiting:
                export.add(*self._waiting.popleft())
                self._frames, self._boxes = export.frames, export.boxes
            if self._stopping:
                return
            self._bell.take(None)

    def _end(self, said: str) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._worker = None
        self._growing.stop()
        self._waiting.clear()
        self._newest = None
        self.changed.emit()
        if said:
            self.ended.emit(said)
