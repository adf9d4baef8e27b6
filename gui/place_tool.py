"""Drawing zones and lines on the live picture with the mouse, and moving them or their corners."""

from __future__ import annotations

from typing import Literal, TypeAlias

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QAction, QColor, QKeyEvent, QMouseEvent, QPainter, QPen, QPolygonF

from gui.counting import Counting, Points
from gui.live_picture import LivePicture

Kind: TypeAlias = Literal["zone", "line"]

REACH = 9.0  # pixels from a corner within which the mouse takes it
EDGE = 5.0  # pixels from the edge of the place that is looked at within which the mouse takes all of it
SAME = 4.0  # pixels within which two clicks are one
HINTS: dict[Kind, str] = {
    "zone": "Click the corners · Enter: done · Esc: none",
    "line": "Click the two ends · Esc: none",
}
_DONE = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class PlaceTool(QObject):
    """Hears the mouse on the picture before the picture does.

    While a place is drawn, every click is a corner of it. Otherwise the corners of places that are there can be taken
    and dragged, and all of the place that is looked at by its edge, but only while `handles` are shown; everything else
    is left to the picture.

    Attributes:
        drawing: what is drawn; None: nothing.
        corners: so far, in shares of the picture.
        handles: the corners of all places are shown.
    Signals:
        changed(): it begins or ends to draw.
        drawn(str): the name of a new place.
        refused(str): why there is none.
    """

    changed = Signal()
    drawn = Signal(str)
    refused = Signal(str)

    def __init__(self, picture: LivePicture, counting: Counting, parent: QObject | None = None) -> None:
        super().__init__(parent or picture)
        self._picture, self._counting = picture, counting
        self.drawing: Kind | None = None
        self.corners: list[tuple[float, float]] = []
        self.handles = False
        self._mouse: QPointF | None = None
        self._held: tuple[str, int] | None = None  # the corner that is dragged, or -1 for all of the place
        self._from: tuple[float, float] = (0.0, 0.0)  # where the mouse took it
        self._origin: Points = ()  # its corners then
        self._dragged = False
        picture.installEventFilter(self)
        picture.sketches.append(self._paint)

    def begin(self, kind: Kind) -> None:
        """Draw a place: the next clicks are its corners."""
        if self._picture.frame is None:
            self.refused.emit("There is no picture yet: open a camera, a video or a picture first")
            self.changed.emit()  # a button that was pressed is not
            return
        self.drawing, self.corners, self._held = kind, [], None
        self._picture.set_hint(HINTS[kind])
        self._picture.setFocus()
        self._point(Qt.CursorShape.CrossCursor)
        self._picture.update()
        self.changed.emit()

    def cancel(self) -> None:
        """Draw nothing."""
        if self.drawing is not None:
            self._end()

    def hear(self, action: QAction) -> None:
        """Let a key work on the picture, too."""
        self._picture.addAction(action)

    def show_handles(self, on: bool) -> None:
        """Whether corners can be dragged."""
        self.handles = on
        if not on:
            self._held = None
            self.cancel()
        self._picture.update()

    # inside ---------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self.drawing, self.corners = None, []
        self._picture.set_hint("")
        self._point(None)
        self._picture.update()
        self.changed.emit()

    def _close(self) -> None:
        """The zone is complete."""
        if len(self.corners) < (2 if self.drawing == "line" else 3):
            self.refused.emit("A zone has three corners or more: click them, then press Enter")
            return
        points: Points = tuple(self.corners)
        self._end()
        name = self._counting.add(points)
        if name:
            self.drawn.emit(name)
        else:
            self.refused.emit("That was too small to count anything in, or there are too many zones already")

    def _point(self, shape: Qt.CursorShape | None) -> None:
        if self._picture.pointer is not shape:
            self._picture.pointer = shape
            self._picture.setCursor(shape if shape is not None else Qt.CursorShape.ArrowCursor)

    def _share(self, at: QPointF) -> tuple[float, float]:
        area = self._picture.area
        x, y = (at.x() - area.left()) / area.width(), (at.y() - area.top()) / area.height()
        return min(1.0, max(0.0, x)), min(1.0, max(0.0, y))

    def _at(self, point: tuple[float, float]) -> QPointF:
        area = self._picture.area
        return QPointF(area.left() + point[0] * area.width(), area.top() + point[1] * area.height())

    def _corner_at(self, at: QPointF) -> tuple[str, int] | None:
        """The nearest corner in reach; those of the place that is looked at come first."""
        if not self.handles or not self._counting.on:
            return None
        found: list[tuple[bool, float, tuple[str, int]]] = []
        for place in self._counting.places:
            for i, corner in enumerate(place.corners):
                away = self._at(corner) - at
                distance = (away.x() ** 2 + away.y() ** 2) ** 0.5
                if distance <= REACH:
                    found.append((place.name != self._counting.chosen, distance, (place.name, i)))
        return min(found)[2] if found else None

    def _edge_at(self, at: QPointF) -> tuple[str, int] | None:
        """The place that is looked at, if one of its edges is in reach."""
        place = self._counting.place(self._counting.chosen) if self.handles and self._counting.on else None
        if place is None:
            return None
        points = [self._at(corner) for corner in place.corners]
        ends = zip(points, points[1:] if len(points) == 2 else [*points[1:], points[0]], strict=False)
        return (place.name, -1) if any(_away(at, start, end) <= EDGE for start, end in ends) else None

    def _take(self, at: QPointF) -> tuple[str, int] | None:
        return self._corner_at(at) or self._edge_at(at)

    def _press(self, at: QPointF) -> bool:
        if self.drawing is None:
            self._held, self._from, self._dragged = self._take(at), self._share(at), False
            if self._held is not None:
                place = self._counting.place(self._held[0])
                self._origin = place.corners if place is not None else ()
                self._counting.choose(self._held[0])
                self._picture.setFocus()
            return self._held is not None
        near = [self._at(corner) - at for corner in self.corners]
        if len(near) >= 3 and near[0].manhattanLength() <= REACH:
            self._close()
        elif not near or near[-1].manhattanLength() > SAME:
            self.corners.append(self._share(at))
            if self.drawing == "line" and len(self.corners) == 2:
                self._close()
        self._picture.update()
        return True

    def _move(self, at: QPointF) -> bool:
        self._mouse = at
        if self._held is not None:
            (name, corner), (x, y) = self._held, self._share(at)
            if corner >= 0:
                moved = self._counting.move_corner(name, corner, (x, y), going_on=self._dragged)
            else:
                right, down = x - self._from[0], y - self._from[1]
                moved = self._counting.move(name, right, down, origin=self._origin, going_on=self._dragged)
            self._dragged |= moved  # all of a drag is one step, which begins with the first change
            return True
        if self.drawing is not None:
            self._picture.update()
            return True
        over = self._take(at) is not None
        self._point(Qt.CursorShape.SizeAllCursor if over else None)
        return over

    def _release(self) -> bool:
        held, self._held = self._held, None
        return held is not None or self.drawing is not None

    def _key(self, event: QKeyEvent) -> bool:
        if self.drawing is None:
            return False
        if event.key() == Qt.Key.Key_Escape:
            self._end()
        elif event.key() in _DONE:
            self._close()
        elif event.key() == Qt.Key.Key_Backspace and self.corners:
            self.corners.pop()
            self._picture.update()
        else:
            return False
        return True

    def _paint(self, painter: QPainter, place: QRectF) -> None:
        """The corners that can be taken, and what is being drawn. A sketch of the picture."""
        if not self.handles and self.drawing is None:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.drawing is None and self._counting.on:
            for each in self._counting.places:
                chosen = each.name == self._counting.chosen
                colour = QColor(self._counting.colour(each.name))
                for corner in each.corners:
                    _paint_handle(painter, self._at(corner), colour, 5.5 if chosen else 4.0)
        if self.drawing is not None:
            points = [self._at(corner) for corner in self.corners]
            path = [*points, self._mouse] if self._mouse is not None and points else points
            for ink, width in ((QColor(0, 0, 0, 150), 4.0), (QColor(Qt.GlobalColor.white), 2.0)):
                painter.setPen(QPen(ink, width, Qt.PenStyle.SolidLine))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawPolyline(QPolygonF(path))
            for at in points:
                _paint_handle(painter, at, QColor(Qt.GlobalColor.white), 5.0)

    # Qt -------------------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if isinstance(event, QMouseEvent):
            left = event.button() == Qt.MouseButton.LeftButton
            if kind == QEvent.Type.MouseButtonPress and left:
                return self._press(event.position())
            if kind == QEvent.Type.MouseMove:
                return self._move(event.position())
            if kind == QEvent.Type.MouseButtonRelease and left:
                return self._release()
            if kind == QEvent.Type.MouseButtonDblClick and left:
                if self.drawing is not None:
                    if self.drawing == "zone":
                        self._close()
                    return True
                return self._take(event.position()) is not None
        elif kind == QEvent.Type.Leave:
            self._mouse = None
        elif isinstance(event, QKeyEvent) and self.drawing is not None:
            if kind == QEvent.Type.ShortcutOverride and event.key() in (Qt.Key.Key_Escape, *_DONE):
                event.accept()  # the picture's own keys wait
                return True
            if kind == QEvent.Type.KeyPress:
                return self._key(event)
        return False


def _away(point: QPointF, start: QPointF, end: QPointF) -> float:
    """How far a point is from the way between two others."""
    along, there = end - start, point - start
    length = QPointF.dotProduct(along, along)
    share = min(1.0, max(0.0, QPointF.dotProduct(there, along) / length)) if length else 0.0
    left = there - along * share
    return float(QPointF.dotProduct(left, left) ** 0.5)


def _paint_handle(painter: QPainter, at: QPointF, colour: QColor, radius: float) -> None:
    painter.setPen(QPen(QColor(0, 0, 0, 200), 1.5))
    painter.setBrush(colour)
    painter.drawEllipse(at, radius, radius)
