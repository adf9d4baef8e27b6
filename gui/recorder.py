"""Recording what Live shows: with everything that is drawn over it, or the plain picture of the source."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QFont

from gui.bridge import Bridge
from gui.overlay import Overlay, painted_pixels

if TYPE_CHECKING:
    from engine import Frame, Recording, RecordingState

What: TypeAlias = Literal["drawn", "plain"]


class Recorder(QObject):
    """At most one recording at a time.

    Attributes:
        what: "drawn": what is shown; "plain": every frame of the source.
    Signals:
        ready(): pictures can be handed in from now on.
        changed(): it has begun, grown, or ended.
        ended(RecordingState): the video is in its place, or is not going to be.
    """

    ready = Signal()
    changed = Signal()
    ended = Signal(object)

    _finished = Signal(object)

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self.what: What = "drawn"
        self._recording: Recording | None = None
        self._beginning = False
        self._stopping = False
        self._closed = False
        self._still = False
        self._newest: Frame | None = None
        self._finished.connect(self._end, Qt.ConnectionType.QueuedConnection)
        self._growing = QTimer(self)
        self._growing.setInterval(250)
        self._growing.timeout.connect(self.changed)

    @property
    def on(self) -> bool:
        """A recording is under way, or is being put in its place."""
        return self._recording is not None or self._beginning

    @property
    def state(self) -> RecordingState | None:
        return self._recording.state if self._recording is not None else None

    @property
    def words(self) -> str:
        """How it is getting on."""
        state = self.state
        if state is None:
            return ""
        if state.phase != "recording" or self._stopping:
            return "Saving…"
        left_out = f" · {state.left_out} left out" if state.left_out else ""
        return f"{duration(state.seconds)} · {size(state.size)}{left_out}"

    def start(self, path: Path, what: What, *, fps: float) -> None:
        """Begin; `fps` is the source's frame rate, 0: unknown. What goes wrong is told by the bridge."""
        if self.on:
            return
        self._beginning, self._stopping, self._still = True, False, False
        self.what = what
        self._newest = None

        def begin() -> Recording | None:
            from engine import EngineError, Recording

            try:
                self._recording = recording = Recording(path, on_end=self._tell, fps=fps)
            except EngineError as error:
                self._bridge.report(error)
                return None
            if self._closed:  # the window went meanwhile
                recording.stop()
            return recording

        self._bridge.call(begin, self._begun)
        self.changed.emit()

    def look_for_unfinished(self, found: Callable[[list[Path]], None]) -> None:
        """Tell of the videos that were being written when a window was killed; each is told once."""

        def look() -> list[Path]:
            from engine import left_over

            return left_over()

        self._bridge.call(look, found)

    def stop(self) -> None:
        """End the recording; the video is put in its place beside the window."""
        self._stopping = True
        self._bridge.tap = None
        if self._recording is not None:
            self._recording.stop()
        self.changed.emit()

    def close(self) -> None:
        """End it and wait until the video is complete; nothing is signalled afterwards."""
        self._closed = True
        self._growing.stop()
        if self._recording is not None:
            self._bridge.tap = None
            self._recording.stop(timeout=30.0)
            self._recording = None

    def stand_still(self, still: bool) -> None:
        """What plays is frozen: the time until the next picture does not count."""
        self._still = still
        if self._recording is not None:
            self._recording.gap()

    def take(self, frame: Frame, overlay: Overlay | None, font: QFont) -> None:
        """A picture that is shown now."""
        if self._recording is None or self.what != "drawn":
            return
        if self._still and frame is not self._newest:  # again with what was found in it: in place of itself
            self._recording.gap()
        self._newest = frame
        # Painted in the recording's thread: it may take as long as it takes there.
        self._recording.add(frame.time, lambda: painted_pixels(frame.image, overlay, font))

    # inside ---------------------------------------------------------------------------------------------------------

    def _begun(self, recording: Recording | None) -> None:
        self._beginning = False
        if recording is not None and self._recording is recording:  # it has not ended already
            if self._stopping:
                recording.stop()
            elif self.what == "plain":
                self._bridge.tap = self._plain
            self._growing.start()
            self.ready.emit()
        self.changed.emit()

    def _plain(self, frame: Frame) -> None:
        """A frame of the source, in the capture's thread."""
        recording = self._recording
        if recording is not None:
            if self._still:
                recording.gap()
            recording.add(frame.time, frame.image)

    def _tell(self, state: RecordingState) -> None:
        """In the recording's thread."""
        if not self._closed:
            self._finished.emit(state)

    def _end(self, state: RecordingState) -> None:
        self._recording = None
        self._bridge.tap = None
        self._growing.stop()
        self.changed.emit()
        self.ended.emit(state)


def default_name(now: float | None = None) -> str:
    """What a recording is called unless one says otherwise; `now` in seconds of `time.time`."""
    return time.strftime("recording %Y-%m-%d %H.%M.%S.mp4", time.localtime(now))


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1_000_000:.1f} MB" if count < 1_000_000_000 else f"{count / 1_000_000_000:.2f} GB"
