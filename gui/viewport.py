"""Which part of a picture is seen in a widget, and how large: zooming, moving, and the way from one to the other."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSizeF
from PySide6.QtWidgets import QWidget

MOST_ZOOM = 16.0


class Viewport:
    """A picture in a widget: all of it as large as fits, or a part of it.

    Attributes:
        size: of the picture, in pixels.
        zoom: 1 is all of it.
    """

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self.size = QSizeF()
        self.zoom = 1.0
        self._middle = QPointF(0.5, 0.5)  # of what is seen, in shares of the picture

    @property
    def place(self) -> QRectF:
        """Where the whole picture lies in the widget; it may be larger than that."""
        size, wide, high = self.size, self._widget.width(), self._widget.height()
        if size.isEmpty():
            return QRectF(self._widget.rect())
        scale = min(wide / size.width(), high / size.height()) * self.zoom
        width, height = size.width() * scale, size.height() * scale
        return QRectF(wide / 2 - self._middle.x() * width, high / 2 - self._middle.y() * height, width, height)

    @property
    def seen(self) -> QRectF:
        """The part of the widget in which there is picture."""
        return self.place.intersected(QRectF(self._widget.rect()))

    def fit(self) -> None:
        """All of the picture."""
        self.zoom, self._middle = 1.0, QPointF(0.5, 0.5)

    def zoom_by(self, factor: float, about: QPointF | None = None) -> None:
        """Larger or smaller; the point `about` of the widget, its middle by default, stays where it is."""
        about = about or QPointF(self._widget.rect().center())
        before = self.place
        x, y = (about.x() - before.x()) / before.width(), (about.y() - before.y()) / before.height()
        self.zoom = max(1.0, min(MOST_ZOOM, self.zoom * factor))
        after = self.place
        self._middle = QPointF(
            x - (about.x() - self._widget.width() / 2) / after.width(),
            y - (about.y() - self._widget.height() / 2) / after.height(),
        )
        self.keep_inside()

    def drag(self, by: QPointF) -> None:
        """The picture goes with the mouse, which moved by so many pixels of the widget."""
        place = self.place
        self._middle -= QPointF(by.x() / place.width(), by.y() / place.height())
        self.keep_inside()

    def pan(self, right: float, down: float) -> None:
        """What is seen moves, in shares of the widget."""
        self._middle += QPointF(right / self.zoom, down / self.zoom)
        self.keep_inside()

    def keep_inside(self) -> None:
        """No edge of the picture comes into the widget while the one across from it lies outside."""
        place = self.place
        across = min(0.5, self._widget.width() / 2 / max(1.0, place.width()))
        down = min(0.5, self._widget.height() / 2 / max(1.0, place.height()))
        x, y = self._middle.x(), self._middle.y()
        self._middle = QPointF(max(across, min(1 - across, x)), max(down, min(1 - down, y)))

    def on_screen(self, box: tuple[float, float, float, float]) -> QRectF:
        """Where corners x0, y0, x1, y1 of the picture lie in the widget."""
        place = self.place
        scale = place.width() / max(1.0, self.size.width())
        x0, y0, x1, y1 = box
        return QRectF(place.x() + x0 * scale, place.y() + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale)

    def of_picture(self, point: QPointF) -> QPointF:
        """A point of the widget in pixels of the picture."""
        place = self.place
        scale = self.size.width() / max(1.0, place.width())
        return QPointF((point.x() - place.x()) * scale, (point.y() - place.y()) * scale)
