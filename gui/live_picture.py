"""The picture of Live: one frame with what was found in it, to zoom, to move, and to point at boxes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, QSizeF, Qt, QTimer, Signal
from PySide6.QtGui import QFont, QImage, QMouseEvent, QPainter, QPaintEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.companions import Companions
from gui.overlay import (
    Overlay,
    box_at,
    overlay_of,
    paint_hint,
    paint_overlay,
    paint_signal,
    paint_signal_frame,
    painted_image,
)
from gui.reading import to_image
from gui.sight import Sight
from gui.viewport import Viewport

if TYPE_CHECKING:
    from engine import Frame, Result

LARGE = 3_000_000  # pixels; of a larger frame only those are made ready that can be seen
SIGNAL = 4000  # milliseconds
SOON = 60  # milliseconds until what another network has seen is drawn, unless a frame comes before
Layer: TypeAlias = "Callable[[Frame, Overlay | None], Overlay | None]"
Sketch: TypeAlias = Callable[[QPainter, QRectF], None]
_CLICK = 4.0  # pixels: a mouse that moved more than this between press and release has dragged


class LivePicture(QWidget):
    """One frame with what was found in it; the wheel zooms, dragging moves, a click looks at a box.

    Attributes:
        paint_seconds: how long painting takes, smoothed.
        overlay: what is drawn over the frame.
        hint: what the person in front of the camera is to do; drawn large at the top, and in no recording.
        pointer: how the mouse looks while somebody else hears it; None: as it does by itself.
        layers: add to what is drawn over a frame, also in recordings.
        sketches: paint over all that, into the place of the picture in the widget, and in no recording.
    Signals:
        zoomed(float): 1 is all of it.
        seen_beside(): what another network sees is drawn over the frame that is shown already.
    """

    zoomed = Signal(float)
    seen_beside = Signal()

    def __init__(self, sight: Sight, companions: Companions | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.paint_seconds = 0.0
        self.overlay: Overlay | None = None
        self.hint = ""
        self.pointer: Qt.CursorShape | None = None
        self.layers: list[Layer] = []
        self.sketches: list[Sketch] = []
        self._signal: tuple[bool, str] | None = None
        self._signal_ends = QTimer(self)
        self._signal_ends.setSingleShot(True)
        self._signal_ends.setInterval(SIGNAL)
        self._signal_ends.timeout.connect(self.end_signal)
        self._sight, self._companions = sight, companions
        self._frame: Frame | None = None
        self._image = QImage()  # what is painted: of a very large frame every second pixel, or fewer
        self._left_out = 1
        self._view = Viewport(self)
        self._result: Result | None = None
        self._pressed: QPointF | None = None
        self._drag: QPointF | None = None
        self._mouse: QPointF | None = None
        self._over = -1  # the box under the mouse that can be looked at
        self.setMinimumSize(240, 160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Live picture")
        sight.changed.connect(self._draw_again)
        sight.chosen_changed.connect(self._draw_again)
        self._soon = QTimer(self)  # where frames follow each other, the next one shows it: nothing is drawn twice
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON)
        self._soon.timeout.connect(self._draw_beside)
        if companions is not None:
            companions.seen.connect(lambda: self._soon.isActive() or self._soon.start())

    @property
    def frame(self) -> Frame | None:
        return self._frame

    @property
    def result(self) -> Result | None:
        return self._result

    @property
    def zoomed_in(self) -> bool:
        return self._view.zoom > 1.0

    @property
    def label_font(self) -> QFont:
        """Of the names of boxes."""
        return QFont(self.font())

    def show_frame(self, frame: Frame, result: Result | None) -> None:
        """Show a frame and what was found in it; the `Sight` has taken `result` before."""
        if frame is not self._frame:
            self._frame = frame
            self._take_pixels()
        self._result = result
        self._soon.stop()
        self._draw_again()

    def clear(self) -> None:
        self._frame, self._result, self._image, self.overlay = None, None, QImage(), None
        self._view.size, self._left_out = QSizeF(), 1
        self.update()

    @property
    def area(self) -> QRectF:
        """Where the whole picture lies in the widget; it may be larger than that."""
        return self._view.place

    def refresh(self) -> None:
        """Something else is to be drawn over the frame that is shown."""
        self._draw_again()

    def set_hint(self, words: str) -> None:
        """Say something to the person in front of the camera; "": nothing more."""
        if words != self.hint:
            self.hint = words
            self.update()

    def signal(self, good: bool, words: str) -> None:
        """Say something in a colour that is seen from afar, for a few seconds: a frame around the picture."""
        self._signal = (good, words)
        self._signal_ends.start()
        self.update()

    @property
    def signalled(self) -> str:
        """What is said that way now."""
        return self._signal[1] if self._signal is not None else ""

    def end_signal(self) -> None:
        """What was said that way holds no more."""
        self._signal = None
        self.update()

    def fit(self) -> None:
        """Show all of the picture, as large as the window lets it be."""
        self._view.fit()
        self._take_pixels()
        self.zoomed.emit(1.0)
        self.update()

    def zoom(self, factor: float, about: QPointF | None = None) -> None:
        """Larger or smaller; the point `about` of the widget stays where it is."""
        if self._image.isNull():
            return
        self._view.zoom_by(factor, about)
        self._take_pixels()
        self.zoomed.emit(self._view.zoom)
        self.update()

    def pan(self, right: float, down: float) -> None:
        """Move what is seen, in shares of the window."""
        self._view.pan(right, down)
        self.update()

    def snapshot(self) -> QImage:
        """The picture in its own size with everything that is drawn over it."""
        if self._frame is None:
            return QImage()
        return painted_image(to_image(self._frame.image), self.overlay, self.label_font)

    def place_of(self, index: int) -> QRectF:
        """Where a box of the overlay lies in the widget."""
        assert self.overlay is not None
        return self._view.on_screen(self.overlay.marks[index].box)

    def _take_pixels(self) -> None:
        """Make the frame ready for painting, with as many of its pixels as can be seen."""
        if self._frame is None:
            return
        image = self._frame.image
        height, width = image.shape[:2]
        self._view.size = QSizeF(width, height)
        place = self._view.place
        shown = place.width() * self.devicePixelRatioF() * 1.25
        every = max(1, int(width / shown)) if width * height > LARGE and shown >= 1 else 1
        if every > 1:
            image = every_pixel(image, every)
        self._left_out = every
        self._image = to_image(image).convertToFormat(QImage.Format.Format_RGB32)  # what Qt scales fastest

    def _draw_again(self) -> None:
        self.overlay = None if self._result is None else overlay_of(self._result, self._sight)
        if self._companions is not None and self._frame is not None:
            self.overlay = self._companions.over(self._frame, self.overlay)
        if self._frame is not None:
            for layer in self.layers:
                self.overlay = layer(self._frame, self.overlay)
        self._point()
        self.update()

    def _draw_beside(self) -> None:
        self._draw_again()
        self.seen_beside.emit()

    def _point(self) -> None:
        """Find the box under the mouse, whose label is shown whatever it covers."""
        over, before = -1, self._over
        found = self._result is not None and bool(self._result.detections)
        if found and self._mouse is not None and self.overlay is not None:
            over = box_at(self.overlay, self._view.place, self._mouse)
        self._over = over
        if self._drag is None and self.pointer is None:
            self.setCursor(Qt.CursorShape.PointingHandCursor if over >= 0 else Qt.CursorShape.ArrowCursor)
        if over != before:
            self.update()

    # Qt -------------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(800, 500)

    def paintEvent(self, event: QPaintEvent) -> None:
        begun = time.perf_counter()
        painter = QPainter(self)
        place = self._view.place
        if not self._image.isNull():
            enlarged = place.width() * self.devicePixelRatioF() > 3 * self._view.size.width()
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, not enlarged)
            painter.drawImage(place, self._image)
        if self._signal is not None:
            paint_signal_frame(painter, self._signal[0], QRectF(self.rect()))
        if self.overlay is not None:
            paint_overlay(
                painter, self.overlay, place=place, seen=self._view.seen, font=self.label_font, over=self._over
            )
        if not self._image.isNull():
            for sketch in self.sketches:
                sketch(painter, place)
        if self._signal is not None:
            paint_signal(painter, *self._signal, QRectF(self.rect()), self.label_font)
        if self.hint:
            paint_hint(painter, self.hint, QRectF(self.rect()), self.label_font)
        painter.end()
        took = time.perf_counter() - begun
        self.paint_seconds = took if not self.paint_seconds else 0.9 * self.paint_seconds + 0.1 * took

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom(1.2 if event.angleDelta().y() > 0 else 1 / 1.2, event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus()
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._mouse = event.position()
        if self._pressed is not None and self._drag is None and self._view.zoom > 1.0:
            moved = event.position() - self._pressed
            if abs(moved.x()) + abs(moved.y()) > _CLICK:
                self._drag = self._pressed
                self.setCursor(Qt.CursorShape.ClosedHandCursor)
        if self._drag is not None:
            self._view.drag(event.position() - self._drag)
            self._drag = event.position()
            self.update()
        else:
            self._point()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._pressed is not None:
            if self._drag is None:
                self._mouse = event.position()
                self._point()
                self._sight.choose(self._over)
            self._pressed = self._drag = None
            self._point()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._view.keep_inside()
        if self._left_out > 1:
            self._take_pixels()

    def leaveEvent(self, event: QEvent) -> None:
        self._mouse = None
        self._point()


def every_pixel(image: np.ndarray, step: int) -> np.ndarray:
    """Every `step`-th pixel in both directions of (H, W, 3) uint8, as an array of its own."""
    whole = np.ascontiguousarray(image)
    few = np.ascontiguousarray(whole.view("V3")[::step, ::step, 0])  # a pixel is copied as one piece
    return few.view(np.uint8).reshape(*few.shape, 3)
