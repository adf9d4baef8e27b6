"""A picture on which boxes are drawn: by mouse, or by keys alone.

Boxes enter, changed boxes leave with `edited`; what they mean, where they are kept and how a change is undone is not
known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.overlay import ink_on
from gui.theme import scaled_font, theme
from gui.viewport import Viewport

NEAR = 7.0  # pixels of the screen: so near to an edge the mouse takes hold of it
LEAST = 4.0  # pixels of the screen: a shorter drag is a click
FAR = 10  # pixels of the picture that a key moves with Ctrl
NEW = 0.25  # share of the picture's sides that a box has which is made by a key
UNNAMED = "#ffffff"  # colour of a box whose class is still asked for
_ARROWS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


@dataclass(frozen=True)
class DrawnBox:
    """A box on the picture.

    Attributes:
        label: its class; "": not named yet.
        xyxy: in pixels of the picture.
        score: of a suggestion that nobody has accepted yet, 0..1; below 0: it is meant.
    """

    label: str
    xyxy: tuple[float, float, float, float]
    score: float = -1.0

    @property
    def suggested(self) -> bool:
        return self.score >= 0

    def accepted(self) -> DrawnBox:
        return replace(self, score=-1.0)


Boxes = tuple[DrawnBox, ...]


class LabelPicture(QWidget):
    """The picture; the wheel zooms, the middle button moves it.

    Attributes:
        boxes: what is drawn on it.
        chosen: the box that keys change, -1: none.
        label: the class of the next box; "": it is asked for.
    Signals:
        edited(tuple, str): other boxes; how they were changed, so that a row of small steps is undone as one.
        class_wanted(int): a class was asked for by its number, from 0.
        chosen_changed(): another box is chosen.
    """

    edited = Signal(object, str)
    class_wanted = Signal(int)
    chosen_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.boxes: Boxes = ()
        self.chosen = -1
        self.label = ""
        self._colours: Mapping[str, str] = {}
        self._image = QImage()
        self._words = ""
        self._still = True  # a moving picture cannot be drawn on
        self._view = Viewport(self)
        self._pressed: QPointF | None = None  # of the mouse, in the widget
        self._grip = ""  # what is dragged: "new", "move", or sides as in "left top"
        self._before: DrawnBox | None = None  # the box as it was when the drag began
        self._rubber: DrawnBox | None = None  # the box as it is now, while it is dragged
        self._pan: QPointF | None = None
        self.setMinimumSize(240, 160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Picture with boxes")
        theme.changed.connect(self.update)

    # what one may ask of it -----------------------------------------------------------------------------------------

    def show_picture(self, image: QImage, boxes: Sequence[DrawnBox]) -> None:
        """Another picture."""
        self._image, self._still = image, True
        self.fit()
        self.show_boxes(boxes, -1)

    def show_moving(self, image: QImage, words: str) -> None:
        """A picture that is followed by the next one, and what to say above it."""
        fresh = image.size() != self._image.size()
        self._image, self._words, self._still = image, words, False
        self.boxes, self.chosen, self._rubber, self._grip = (), -1, None, ""
        if fresh:
            self.fit()
        self.update()

    def show_boxes(self, boxes: Sequence[DrawnBox], chosen: int | None = None) -> None:
        """Other boxes on the same picture."""
        self.boxes = tuple(boxes)
        self._rubber, self._grip = None, ""
        self.choose(self.chosen if chosen is None else chosen)
        self.update()

    def set_colours(self, colours: Mapping[str, str]) -> None:
        self._colours = colours
        self.update()

    def clear(self) -> None:
        self.show_picture(QImage(), ())

    @property
    def empty(self) -> bool:
        return self._image.isNull()

    @property
    def dragging(self) -> bool:
        """The mouse is drawing or moving a box."""
        return self._pressed is not None

    def choose(self, index: int) -> None:
        """Have keys change this box; -1: none."""
        index = index if 0 <= index < len(self.boxes) else -1
        changed = index != self.chosen
        self.chosen = index
        self._describe()
        if changed:
            self.chosen_changed.emit()
        self.update()

    def choose_next(self, step: int) -> bool:
        """The next box from left to right, or from right to left; False: that was the last one, none is chosen now."""
        order = sorted(range(len(self.boxes)), key=lambda i: (self.boxes[i].xyxy[0] + self.boxes[i].xyxy[2], i))
        place = order.index(self.chosen) + step if self.chosen >= 0 else (0 if step > 0 else len(order) - 1)
        there = 0 <= place < len(order)
        self.choose(order[place] if there else -1)
        return there

    def put_class(self, label: str) -> None:
        """Give the chosen box a class, which also accepts it, and the next ones, too."""
        self.label = label
        if self.chosen >= 0:
            self._put(replace(self.boxes[self.chosen], label=label).accepted(), "class")

    def accept(self) -> None:
        """Mean the chosen suggestion, and go on to the next one if there is one."""
        if self.chosen < 0:
            self._choose_suggestion()
        elif self.boxes[self.chosen].suggested:
            self._put(self.boxes[self.chosen].accepted(), "accept")
            self._choose_suggestion()

    def accept_all(self) -> None:
        """Mean all suggestions."""
        if any(box.suggested for box in self.boxes):
            self._commit(tuple(box.accepted() for box in self.boxes), "accept all")

    def reject_all(self) -> None:
        """Take all suggestions away."""
        if any(box.suggested for box in self.boxes):
            self.choose(-1)
            self._commit(tuple(box for box in self.boxes if not box.suggested), "reject all")

    def delete(self) -> None:
        """Take the chosen box away."""
        if self.chosen >= 0:
            index = self.chosen
            left = tuple(box for i, box in enumerate(self.boxes) if i != index)
            self.chosen = -1
            self._commit(left, "delete")
            self.choose(min(index, len(left) - 1))

    def add(self) -> None:
        """A box in the middle of what is seen, for the keys to move."""
        if self.empty or not self._still:
            return
        middle = self._view.of_picture(self._view.seen.center())
        half_x, half_y = (side * NEW / 2 / self._view.zoom for side in (self._image.width(), self._image.height()))
        box = self._within(
            (middle.x() - half_x, middle.y() - half_y, middle.x() + half_x, middle.y() + half_y), move=True
        )
        self._commit((*self.boxes, DrawnBox(self.label, box)), "new")
        self.choose(len(self.boxes) - 1)

    def fit(self) -> None:
        """All of the picture."""
        self._view.size = QSizeF(self._image.size())
        self._view.fit()
        self.update()

    def zoom(self, factor: float, about: QPointF | None = None) -> None:
        """Larger or smaller; the point `about` of the widget stays where it is."""
        if self.empty:
            return
        self._view.zoom_by(factor, about)
        self.update()

    def place_of(self, index: int) -> QRectF:
        """Where a box lies in the widget."""
        return self._view.on_screen(self.boxes[index].xyxy)

    # inside ---------------------------------------------------------------------------------------------------------

    def _choose_suggestion(self) -> None:
        self.choose(next((i for i, box in enumerate(self.boxes) if box.suggested), self.chosen))

    def _commit(self, boxes: Boxes, how: str) -> None:
        self.boxes = boxes
        self._describe()
        self.update()
        self.edited.emit(boxes, how)

    def _put(self, box: DrawnBox, how: str) -> None:
        """The chosen box becomes this one."""
        if box != self.boxes[self.chosen]:
            self._commit(tuple(box if i == self.chosen else each for i, each in enumerate(self.boxes)), how)

    def _within(
        self, box: tuple[float, float, float, float], *, move: bool = False
    ) -> tuple[float, float, float, float]:
        """A box inside the picture: moved there, or cut at its edges."""
        x0, y0, x1, y1 = box
        wide, high = float(self._image.width()), float(self._image.height())
        if move:
            x0, x1 = _shifted(x0, x1, wide)
            y0, y1 = _shifted(y0, y1, high)
        x0, x1 = (min(wide, max(0.0, x)) for x in sorted((x0, x1)))
        y0, y1 = (min(high, max(0.0, y)) for y in sorted((y0, y1)))
        return x0, y0, x1, y1

    def _nudge(self, arrow: tuple[int, int], far: bool, *, resize: bool) -> None:
        """Move the chosen box, or its right and lower sides."""
        box = self.boxes[self.chosen].accepted()
        x0, y0, x1, y1 = box.xyxy
        right, down = (side * (FAR if far else 1) for side in arrow)
        if resize:
            x1, y1 = max(x0 + 2, x1 + right), max(y0 + 2, y1 + down)
            self._put(replace(box, xyxy=self._within((x0, y0, x1, y1))), "resize by keys")
        else:
            moved = (x0 + right, y0 + down, x1 + right, y1 + down)
            self._put(replace(box, xyxy=self._within(moved, move=True)), "move by keys")

    def _grip_at(self, point: QPointF) -> str:
        """What of the chosen box lies there: "left", "right bottom", "move" …, or ""."""
        if self.chosen < 0:
            return ""
        area = self.place_of(self.chosen)
        if not area.adjusted(-NEAR, -NEAR, NEAR, NEAR).contains(point):
            return ""
        # In a small box there must be room between its sides for moving it.
        near_x, near_y = min(NEAR, max(2.0, area.width() / 4)), min(NEAR, max(2.0, area.height() / 4))
        sides = []
        if abs(point.x() - area.left()) <= near_x or point.x() < area.left():
            sides.append("left")
        elif abs(point.x() - area.right()) <= near_x or point.x() > area.right():
            sides.append("right")
        if abs(point.y() - area.top()) <= near_y or point.y() < area.top():
            sides.append("top")
        elif abs(point.y() - area.bottom()) <= near_y or point.y() > area.bottom():
            sides.append("bottom")
        return " ".join(sides) or "move"

    def _box_at(self, point: QPointF) -> int:
        """The smallest box around a point; -1: none."""
        around = [
            (area.width() * area.height(), i)
            for i in range(len(self.boxes))
            if (area := self.place_of(i)).adjusted(-3, -3, 3, 3).contains(point)
        ]
        return min(around)[1] if around else -1

    def _drag_to(self, point: QPointF) -> None:
        assert self._pressed is not None
        start, now = self._view.of_picture(self._pressed), self._view.of_picture(point)
        if self._grip == "new":
            box = self._within((start.x(), start.y(), now.x(), now.y()))
            self._rubber = DrawnBox(self.label, box)
        else:
            assert self._before is not None
            x0, y0, x1, y1 = self._before.xyxy
            right, down = now.x() - start.x(), now.y() - start.y()
            if self._grip == "move":
                box = self._within((x0 + right, y0 + down, x1 + right, y1 + down), move=True)
            else:
                sides = self._grip.split()
                box = self._within(
                    (
                        x0 + right * ("left" in sides),
                        y0 + down * ("top" in sides),
                        x1 + right * ("right" in sides),
                        y1 + down * ("bottom" in sides),
                    )
                )
            self._rubber = replace(self._before, xyxy=box).accepted()
        self.update()

    def _point(self, point: QPointF) -> None:
        """The cursor tells what the mouse would do."""
        if self.empty or not self._still:
            self.setCursor(Qt.CursorShape.ArrowCursor)
            return
        grip = self._grip_at(point)
        shapes = {
            "move": Qt.CursorShape.SizeAllCursor,
            "left": Qt.CursorShape.SizeHorCursor,
            "right": Qt.CursorShape.SizeHorCursor,
            "top": Qt.CursorShape.SizeVerCursor,
            "bottom": Qt.CursorShape.SizeVerCursor,
            "left top": Qt.CursorShape.SizeFDiagCursor,
            "right bottom": Qt.CursorShape.SizeFDiagCursor,
            "right top": Qt.CursorShape.SizeBDiagCursor,
            "left bottom": Qt.CursorShape.SizeBDiagCursor,
        }
        self.setCursor(shapes.get(grip, Qt.CursorShape.CrossCursor))

    def _describe(self) -> None:
        if self.chosen >= 0:
            box = self.boxes[self.chosen]
            x0, y0, x1, y1 = box.xyxy
            words = f"{box.label or 'without a class'}, {x1 - x0:.0f} by {y1 - y0:.0f} pixels"
            words = f"Box {self.chosen + 1} of {len(self.boxes)}: {words}{', a suggestion' if box.suggested else ''}"
        else:
            words = f"{len(self.boxes)} boxes" if len(self.boxes) != 1 else "1 box"
        self.setAccessibleDescription(words)

    # painting -------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(800, 500)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if not self.empty:
            place = self._view.place
            enlarged = place.width() * self.devicePixelRatioF() > 3 * self._image.width()
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, not enlarged)
            painter.drawImage(place, self._image)
            dragged = self.chosen if self._rubber is not None and self._grip != "new" else -1
            order = sorted(range(len(self.boxes)), key=lambda i: (i == self.chosen, not self.boxes[i].suggested))
            shown = [self.boxes[i] for i in order if i != dragged]
            if self._rubber is not None:
                shown.append(self._rubber)
            spots: list[QRectF] = []  # what is painted last chooses its place first
            for box in reversed(shown):
                spots.insert(0, self._label_spot(box, spots))
            for box, spot in zip(shown, spots, strict=True):
                chosen = self.boxes[self.chosen] if self.chosen >= 0 else None
                self._paint_box(painter, box, spot, chosen=box is chosen or box is self._rubber)
            if not self._still:
                self._paint_words(painter)
        if self.hasFocus():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.colour("accent"), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _label_font(self, box: DrawnBox) -> QFont:
        return scaled_font(self, 0.95, bold=not box.suggested)

    def _label_spot(self, box: DrawnBox, taken: Sequence[QRectF]) -> QRectF:
        """Where the words of a box stand: above it, or where else nobody else's stand, if there is such a place."""
        area = self._view.on_screen(box.xyxy)
        metrics = QFontMetricsF(self._label_font(box))
        wide, high = metrics.horizontalAdvance(_words(box)) + 10, metrics.height() + 2
        left = max(0.0, min(area.left() - 1, self.width() - wide))
        right = max(0.0, min(area.right() + 1 - wide, self.width() - wide))
        places = [
            QRectF(x, y, wide, high)
            for x in (left, right)
            for y in (area.top() - high, area.top() + 1, area.bottom(), area.bottom() - high)
            if 0 <= y <= self.height() - high
        ]
        free = (place for place in places if not any(place.intersects(other) for other in taken))
        return next(free, places[0] if places else QRectF(left, 0, wide, high))

    def _paint_box(self, painter: QPainter, box: DrawnBox, ground: QRectF, *, chosen: bool) -> None:
        area = self._view.on_screen(box.xyxy)
        colour = QColor(self._colours.get(box.label, UNNAMED))
        line = Qt.PenStyle.DashLine if box.suggested else Qt.PenStyle.SolidLine
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(colour.red(), colour.green(), colour.blue(), 36 if chosen else 0))
        painter.setPen(QPen(QColor(0, 0, 0, 150), 4.0))
        painter.drawRect(area)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour if not box.suggested else QColor(Qt.GlobalColor.white), 2.2, line))
        painter.drawRect(area)
        if chosen:
            painter.setPen(QPen(QColor(Qt.GlobalColor.black), 1))
            painter.setBrush(QColor(Qt.GlobalColor.white))
            xs, ys = (area.left(), area.center().x(), area.right()), (area.top(), area.center().y(), area.bottom())
            for x in xs:
                for y in ys:
                    if (x, y) != (xs[1], ys[1]):
                        painter.drawRect(QRectF(x - 3.5, y - 3.5, 7, 7))
        painter.setFont(self._label_font(box))
        painter.setPen(QPen(colour, 1.6) if box.suggested else Qt.PenStyle.NoPen)
        painter.setBrush(QColor(16, 18, 22, 220) if box.suggested else colour)
        painter.drawRoundedRect(ground, 3, 3)
        painter.setPen(QColor(Qt.GlobalColor.white) if box.suggested else ink_on(colour))
        painter.drawText(ground, Qt.AlignmentFlag.AlignCenter, _words(box))

    def _paint_words(self, painter: QPainter) -> None:
        font = scaled_font(self, 1.2, bold=True)
        metrics = QFontMetricsF(font)
        area = QRectF(0, 0, metrics.horizontalAdvance(self._words) + 28, metrics.height() + 14)
        area.moveCenter(QPointF(self.width() / 2, area.height() / 2 + 12))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(16, 18, 22, 210))
        painter.drawRoundedRect(area, 8, 8)
        painter.setFont(font)
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self._words)

    # mouse and keys -------------------------------------------------------------------------------------------------

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom(1.2 if event.angleDelta().y() > 0 else 1 / 1.2, event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus()
        if self.empty or not self._still:
            return
        if event.button() == Qt.MouseButton.MiddleButton:
            self._pan = event.position()
        elif event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.position()
            over_all = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)  # draws, also upon another box
            self._grip = "new" if over_all else self._grip_at(event.position()) or "new"
            self._before = self.boxes[self.chosen] if self._grip != "new" else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pan is not None:
            self._view.drag(event.position() - self._pan)
            self._pan = event.position()
            self.update()
        elif self._pressed is not None and self._grip:
            moved = event.position() - self._pressed
            if self._rubber is not None or abs(moved.x()) + abs(moved.y()) > LEAST:
                self._drag_to(event.position())
        else:
            self._point(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.MiddleButton:
            self._pan = None
            return
        if event.button() != Qt.MouseButton.LeftButton or self._pressed is None:
            return
        rubber, grip, pressed = self._rubber, self._grip, self._pressed
        self._pressed, self._rubber, self._grip, self._before = None, None, "", None
        if rubber is None:
            self.choose(self._box_at(pressed))  # a click
        elif grip == "new":
            area = self._view.on_screen(rubber.xyxy)
            if min(area.width(), area.height()) >= LEAST:
                self._commit((*self.boxes, rubber), "new")
                self.choose(len(self.boxes) - 1)
        elif min(self._view.on_screen(rubber.xyxy).width(), self._view.on_screen(rubber.xyxy).height()) >= 1:
            self._put(rubber, "drag")
        self._point(event.position())
        self.update()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and self.boxes:
            # Tab goes from box to box, and from the last one on to what comes after the picture.
            if event.key() == Qt.Key.Key_Tab and self.choose_next(1):
                return True
            if event.key() == Qt.Key.Key_Backtab and self.choose_next(-1):
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, held = Qt.Key(event.key()), event.modifiers()
        shift = bool(held & Qt.KeyboardModifier.ShiftModifier)
        control = bool(held & Qt.KeyboardModifier.ControlModifier)
        if key in _ARROWS and self.chosen >= 0:
            self._nudge(_ARROWS[key], control, resize=shift)
        elif key in _ENTER and shift:
            self.accept_all()
        elif key in _ENTER:
            self.accept()
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.delete()
        elif key in (Qt.Key.Key_Insert, Qt.Key.Key_D) and not control:
            self.add()
        elif Qt.Key.Key_1 <= key <= Qt.Key.Key_9 and not control:
            self.class_wanted.emit(key - Qt.Key.Key_1)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom(1.2)
        elif key == Qt.Key.Key_Minus:
            self.zoom(1 / 1.2)
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key == Qt.Key.Key_Escape and self.chosen >= 0:
            self.choose(-1)
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._view.keep_inside()


def _shifted(low: float, high: float, most: float) -> tuple[float, float]:
    """An interval moved to between 0 and `most`."""
    by = max(0.0, -low) - max(0.0, high - most)
    return low + by, high + by


def _words(box: DrawnBox) -> str:
    words = box.label or "what is it?"
    return f"{words} {box.score * 100:.0f} %?" if box.suggested else words
