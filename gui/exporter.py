"""Writing what is found to a file while it plays: COCO's JSON or a table."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from engine import EngineError, Latest, Worker
from gui.bridge import Bridge

if TYPE_CHECKING:
    from engine import DetectionExport, Detections, Frame

MOST_WAITING = 16  # frames; more are left out rather than kept, each holds its picture


class Exporter(QObject):
    """At most one file at a time, written in a thread of its own; every frame of a file is written once.

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
        self._known: set[tuple[str, int]] | None = None  # what has been written; None: nothing comes twice
        self._stopping = self._closed = False
        self._boxes = self._left_out = 0
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
        left_out = f" · {self._left_out} frames left out" if self._left_out else ""
        return "Saving…" if self._stopping else f"{self._boxes} boxes written{left_out}"

    def start(self, path: Path, *, live: bool) -> None:
        """Begin; `live`: no frame of the source comes twice. What goes wrong is told by the bridge."""
        if self.on:
            return
        self._path = path
        self._stopping, self._boxes, self._left_out = False, 0, 0
        self._known = None if live else set()
        self._waiting.clear()
        self._worker = Worker("export", lambda stop: self._run(path)).start()
        self._growing.start()
        self.changed.emit()

    def take(self, frame: Frame, detections: Detections) -> None:
        """What is found in a frame, as far as it is shown."""
        if not self.on or self._stopping:
            return
        if self._known is not None:
            key = (frame.source, frame.index)
            if key in self._known:
                return
            self._known.add(key)
        if len(self._waiting) >= MOST_WAITING:
            self._left_out += 1
            return
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

    def _run(self, path: Path) -> None:
        """In the export's thread."""
        said = ""
        try:
            from engine import DetectionExport

            with DetectionExport(path) as export:
                self._write(export)
            said = f"Saved as {path} ({export.boxes} boxes in {export.frames} frames)"
        except EngineError as error:
            self._bridge.report(error)
        finally:
            if not self._closed:
                self._finished.emit(said)

    def _write(self, export: DetectionExport) -> None:
        while True:
            while self._waiting:
                export.add(*self._waiting.popleft())
                self._boxes = export.boxes
            if self._stopping:
                return
            self._bell.take(None)

    def _end(self, said: str) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._worker = None
        self._growing.stop()
        self._waiting.clear()
        self.changed.emit()
        if said:
            self.ended.emit(said)
