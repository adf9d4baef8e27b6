"""The paper: strokes in, frames out, at every move of the pen.

Strokes are kept as points, so undo knows no limit and the ink stays crisp at every size of the window. They are drawn
twice as they come, each time only the new piece: into the picture that networks read (one pixel a unit of the paper,
one byte a pixel unless something coloured lies on it) and into the one on the screen.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QPointF, QRect, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QCursor,
    QEnterEvent,
    QFontMetricsF,
    QGuiApplication,
    QImage,
    QImageIOHandler,
    QImageReader,
    QImageWriter,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
    QPointingDevice,
    QRegion,
    QResizeEvent,
    QTabletEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from engine import EngineError, Frame, replace_file
from gui.bridge import Call
from gui.theme import scaled_font, theme

PAPER = (840, 560)  # units; wide enough for a number of four digits
PEN_WIDTHS = (4, 80)
PEN_WIDTH = 24
MARGIN = 12
REST = 0.8  # seconds after which the hand that drew is taken to rest


@dataclass
class Stroke:
    """One line of the pen or the eraser: (x, y, width) in units of the paper."""

    erase: bool
    points: list[tuple[float, float, float]] = field(default_factory=list)
    bounds: QRectF = field(default_factory=QRectF)


@dataclass
class Picture:
    """A picture that lies on the paper; a grey one has the format of grey levels."""

    image: QImage
    bounds: QRectF

    @property
    def coloured(self) -> bool:
        return self.image.format() != QImage.Format.Format_Grayscale8


@dataclass
class Clear:
    """Everything before it is gone."""

    bounds: QRectF = field(default_factory=lambda: QRectF(0, 0, *PAPER))


Item: TypeAlias = Stroke | Picture | Clear


@dataclass(frozen=True)
class Label:
    """What was read at a place of the paper."""

    box: QRectF
    text: str
    sure: bool

    @property
    def key(self) -> tuple[object, ...]:
        """The same for labels that look the same."""
        return (*self.box.getRect(), self.text, self.sure)  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class _Placed:
    """A label as it lies in the widget."""

    label: Label
    box: QRect
    chip: QPixmap  # what is written beside the box
    chip_at: QPointF
    touched: QRegion  # everything that it paints on


class Canvas(QWidget):
    """The paper.

    Signals:
        frame(Frame): the drawing after every change.
        history(bool, bool): whether there is something to undo, to redo.
        width_changed(int): the pen's width.
        tool_changed(bool): the eraser is in hand.
        failed(BaseException): a picture that cannot be read or written.
        status(str): a word about what has just been done.
    """

    frame = Signal(object)
    history = Signal(bool, bool)
    width_changed = Signal(int)
    tool_changed = Signal(bool)
    failed = Signal(object)
    status = Signal(str)

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        call: Call | None = None,
    ) -> None:
        """`call`: how pictures are read and written; without it that is done at once, in this thread."""
        super().__init__(parent)
        self._clock = clock
        self._call = call or self._at_once
        self._items: list[Item] = []
        self._undone: list[Item] = []
        self._stroke: Stroke | None = None
        self._pen_width = PEN_WIDTH
        self._eraser = False
        self._index = 0
        self._clearings = 0  # that were asked for, also of clean paper
        self._sent = 0.0
        self._labels: tuple[_Placed, ...] = ()
        self._chips: dict[tuple[str, bool, float, str], QPixmap] = {}  # what is written beside the boxes
        self._network = QImage(*PAPER, QImage.Format.Format_Grayscale8)
        self._network.fill(Qt.GlobalColor.white)
        self._screen = QImage(1, 1, QImage.Format.Format_RGB32)  # the paper in pixels of the screen
        self._ratio = 1.0
        self._paper = QRect(0, 0, *PAPER)
        self.setObjectName("canvas")
        self.setMinimumSize(240, 160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)  # a move of the pen repaints nothing beneath
        self.setMouseTracking(True)
        self.setAccessibleName("Paper")
        self.setAccessibleDescription("Draw digits here with the mouse, a pen or a finger.")
        theme.changed.connect(self._recolour)

    # what one may ask of it ---------------------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """Nothing has been put on the paper since it was last clean."""
        return not self._items or isinstance(self._items[-1], Clear)

    @property
    def paper(self) -> QRect:
        """Where the paper lies in the widget."""
        return QRect(self._paper)

    @property
    def frames_sent(self) -> int:
        """How often the drawing has been handed on."""
        return self._index

    @property
    def drawing(self) -> bool:
        """The pen is down, or was a moment ago."""
        return self._stroke is not None or self._clock() - self._sent < REST

    @property
    def can_undo(self) -> bool:
        return bool(self._items)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    @property
    def pen_width(self) -> int:
        return self._pen_width

    def set_pen_width(self, width: int) -> None:
        """Width of pen and eraser in units of the paper."""
        width = max(PEN_WIDTHS[0], min(PEN_WIDTHS[1], int(width)))
        if width != self._pen_width:
            self._pen_width = width
            self._shape_cursor()
            self.width_changed.emit(width)

    def widen(self, steps: int) -> None:
        """A little wider or narrower, by a factor, as the eye judges it."""
        wider = self._pen_width * 1.15**steps
        self.set_pen_width(math.ceil(wider) if steps > 0 else math.floor(wider))

    @property
    def eraser(self) -> bool:
        return self._eraser

    def set_eraser(self, eraser: bool) -> None:
        if eraser != self._eraser:
            self._eraser = eraser
            self._shape_cursor()
            self.tool_changed.emit(eraser)

    def picture(self) -> NDArray[np.uint8]:
        """A copy of the drawing, (560, 840, 3) uint8 RGB, dark ink on white.

        Unless something coloured lies on the paper the three channels are one and the same memory.
        """
        width, height = PAPER
        rows = np.frombuffer(self._network.constBits(), np.uint8).reshape(height, self._network.bytesPerLine())
        if self._network.format() == QImage.Format.Format_Grayscale8:
            return np.broadcast_to(rows[:, :width, None].copy(), (height, width, 3))
        return rows[:, : width * 3].reshape(height, width, 3).copy()

    def submit(self) -> None:
        """Have the drawing read as it is now; a picture on the white paper is a scan, which is read like a drawing."""
        self._sent = self._clock()
        self.frame.emit(Frame(self.picture(), "canvas", self._index, self._sent, drawing=True))
        self._index += 1

    def set_labels(self, labels: tuple[Label, ...]) -> None:
        """Draw these boxes over the paper."""
        before, kept = self._labels, {placed.label.key: placed for placed in self._labels}
        self._labels = tuple(kept[label.key] if label.key in kept else self._place(label) for label in labels)
        touched = QRegion()
        for placed in {*before} ^ {*self._labels}:
            touched += placed.touched
        self.update(touched)

    def clear(self) -> None:
        """Clean paper; undo brings the drawing back."""
        self._pen_up()
        self._clearings += 1
        if not self.empty:
            self._add(Clear())

    def undo(self) -> None:
        """Take back the last stroke, picture or clearing."""
        self._pen_up()
        if self._items:
            item = self._items.pop()
            self._undone.append(item)
            self._redraw(item.bounds)

    def redo(self) -> None:
        """Bring back what was undone last."""
        self._pen_up()
        if self._undone:
            item = self._undone.pop()
            self._items.append(item)
            self._redraw(item.bounds)

    def insert_image(self, image: QImage) -> None:
        """Lay a picture on the paper, as large as fits; light digits on a dark ground become dark ink."""
        if not image.isNull():
            room = self._room()
            self._call(lambda: _for_paper(image, room), self._layer())

    def open(self, path: Path) -> None:
        """Lay the picture in a file on the paper; `failed` says what is wrong with it."""
        room = self._room()
        self._call(lambda: _for_paper(_read_picture(path, room), room), self._layer(f"{path.name} lies on the paper"))

    def save(self, path: Path) -> None:
        """Write the drawing as a PNG; `failed` says why that did not work."""
        image = self._network.copy()
        self._call(lambda: write_picture(image, path), lambda _: self.status.emit(f"Saved as {path}"))

    def copy(self) -> None:
        """Put the drawing on the clipboard."""
        QGuiApplication.clipboard().setImage(self._network.copy())
        self.status.emit("The drawing is on the clipboard")

    def paste(self) -> None:
        """Lay the picture on the clipboard (or the picture file copied there) on the paper."""
        data = QGuiApplication.clipboard().mimeData()
        files = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()] if data is not None else []
        if data is not None and data.hasImage():
            self.insert_image(QGuiApplication.clipboard().image())
        elif files:
            self.open(files[0])
        else:
            self.status.emit("There is no picture on the clipboard")

    # items ----------------------------------------------------------------------------------------------------------

    def _since_clear(self) -> list[Item]:
        start = max((i + 1 for i, item in enumerate(self._items) if isinstance(item, Clear)), default=0)
        return self._items[start:]

    def _at_once(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        try:
            value = work()
        except EngineError as error:
            self.failed.emit(error)
        else:
            done(value)

    def _room(self) -> QSize:
        """The most pixels of a picture that can be seen on the paper."""
        return self._screen.size().expandedTo(QSize(*PAPER))

    def _layer(self, status: str = "") -> Callable[[QImage], None]:
        """What lays a picture on the paper once it has been read, unless the paper has been cleared by then."""
        clearings = self._clearings

        def lay(image: QImage) -> None:
            if clearings == self._clearings:
                self._lay(image)
                if status:
                    self.status.emit(status)

        return lay

    def _lay(self, image: QImage) -> None:
        # A picture of the paper's own shape (a drawing that was saved) fills it; any other keeps a margin.
        share = 1.0 if abs(image.width() * PAPER[1] - image.height() * PAPER[0]) < 2 * max(PAPER) else 0.9
        size = QSizeF(image.size()).scaled(QSizeF(*PAPER) * share, Qt.AspectRatioMode.KeepAspectRatio)
        place = QRectF(QPointF((PAPER[0] - size.width()) / 2, (PAPER[1] - size.height()) / 2), size)
        self._add(Picture(image, place))

    def _add(self, item: Item) -> None:
        self._pen_up()  # a stroke that went on would lie before the item in the list, and after it on the paper
        self._items.append(item)
        self._undone.clear()
        self._redraw(item.bounds)

    def _redraw(self, area: QRectF) -> None:
        """Draw everything again that touches `area`, tell the world."""
        coloured = any(isinstance(item, Picture) and item.coloured for item in self._since_clear())
        kind = QImage.Format.Format_RGB888 if coloured else QImage.Format.Format_Grayscale8
        if kind != self._network.format():
            self._network = QImage(*PAPER, kind)
            area = QRectF(0, 0, *PAPER)
        whole = area.adjusted(-2, -2, 2, 2).toAlignedRect() & QRect(0, 0, *PAPER)
        for painter in self._painters():
            painter.setClipRect(whole)
            self._ground(painter, whole)
            for item in self._since_clear():
                if item.bounds.intersects(QRectF(whole)):
                    self._draw(painter, item)
            painter.end()
        self.update(self._to_screen(QRectF(whole)))
        self._announce()

    def _announce(self) -> None:
        self.history.emit(bool(self._items), bool(self._undone))
        self.submit()

    def _painters(self) -> tuple[QPainter, QPainter]:
        network, screen = QPainter(self._network), QPainter(self._screen)
        screen.scale(self._screen.width() / PAPER[0], self._screen.height() / PAPER[1])
        for painter in (network, screen):
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        return network, screen

    def _colours(self, painter: QPainter) -> tuple[QColor, QColor]:
        if painter.device() is self._network:
            return QColor(Qt.GlobalColor.white), QColor(Qt.GlobalColor.black)
        return theme.colour("paper"), theme.colour("ink")

    def _ground(self, painter: QPainter, area: QRect) -> None:
        painter.fillRect(area, self._colours(painter)[0])

    def _draw(self, painter: QPainter, item: Item) -> None:
        if isinstance(item, Picture):
            painter.drawImage(item.bounds, item.image)
        elif isinstance(item, Stroke):
            even = len({width for _, _, width in item.points}) == 1
            if even and item is not self._stroke and painter.device() is self._screen:
                self._draw_whole(painter, item)
                return
            for number in range(len(item.points)):
                self._draw_piece(painter, item, number)

    def _draw_whole(self, painter: QPainter, stroke: Stroke) -> None:
        """A finished stroke in one go: where pieces overlap, their soft edges add up, which the eye sees as beads."""
        self._take_pen(painter, stroke, stroke.points[0][2])
        path = QPainterPath(QPointF(*stroke.points[0][:2]))
        for (x0, y0, _), (x1, y1, _) in itertools.pairwise(stroke.points):
            path.quadTo(x0, y0, (x0 + x1) / 2, (y0 + y1) / 2)
        path.lineTo(*stroke.points[-1][:2])
        if len(stroke.points) == 1:
            painter.drawPoint(path.currentPosition())
        else:
            painter.drawPath(path)

    def _take_pen(self, painter: QPainter, stroke: Stroke, width: float) -> None:
        paper, ink = self._colours(painter)
        pen = QPen(paper if stroke.erase else ink, width)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)

    def _draw_piece(self, painter: QPainter, stroke: Stroke, number: int) -> None:
        """What point `number` adds: a curve through the midpoints, then straight to where the pen is."""
        x, y, width = stroke.points[number]
        self._take_pen(painter, stroke, width)
        if number == 0:
            painter.drawPoint(QPointF(x, y))
            return
        x1, y1, _ = stroke.points[number - 1]
        path = QPainterPath()
        if number == 1:
            path.moveTo(x1, y1)
        else:
            x0, y0, _ = stroke.points[number - 2]
            path.moveTo((x0 + x1) / 2, (y0 + y1) / 2)
        path.quadTo(x1, y1, (x1 + x) / 2, (y1 + y) / 2)
        path.lineTo(x, y)
        painter.drawPath(path)

    # the pen --------------------------------------------------------------------------------------------------------

    def _pen_down(self, place: QPointF, *, pressure: float = 1.0, erase: bool = False) -> None:
        self._pen_up()  # another button or pen was down
        if self.empty:
            self.update(self._invitation())  # it goes
        self._stroke = Stroke(erase or self._eraser)
        self._items.append(self._stroke)
        self._undone.clear()
        self._pen_to(place, pressure)
        self.history.emit(True, False)

    def _pen_to(self, place: QPointF, pressure: float = 1.0) -> None:
        stroke = self._stroke
        if stroke is None:
            return
        scale = PAPER[0] / self._paper.width()
        x, y = (place.x() - self._paper.x()) * scale, (place.y() - self._paper.y()) * scale
        width = self._pen_width * (0.35 + 0.85 * pressure if pressure < 1.0 else 1.0)
        if stroke.points:
            x1, y1, before = stroke.points[-1]
            if abs(x - x1) + abs(y - y1) < 0.5:
                return
            width = (width + 2 * before) / 3  # pressure jitters, ink does not
        stroke.points.append((x, y, width))
        last = stroke.points[-3:]
        reach = max(w for _, _, w in last) / 2 + 2
        left, top = min(p[0] for p in last) - reach, min(p[1] for p in last) - reach
        right, bottom = max(p[0] for p in last) + reach, max(p[1] for p in last) + reach
        touched = QRectF(left, top, right - left, bottom - top)
        stroke.bounds = stroke.bounds.united(touched)
        for painter in self._painters():
            self._draw_piece(painter, stroke, len(stroke.points) - 1)
            painter.end()
        self.update(self._to_screen(touched))
        self.submit()

    def _pen_up(self) -> None:
        if self._stroke is not None:
            stroke, self._stroke = self._stroke, None
            self._repaint_screen(stroke.bounds)
            self.update(self._to_screen(stroke.bounds))
            self.history.emit(bool(self._items), bool(self._undone))

    # places ---------------------------------------------------------------------------------------------------------

    def _to_screen(self, area: QRectF) -> QRect:
        scale = self._paper.width() / PAPER[0]
        place = QRectF(area.x() * scale, area.y() * scale, area.width() * scale, area.height() * scale)
        return place.translated(QPointF(self._paper.topLeft())).toAlignedRect().adjusted(-1, -1, 1, 1)

    def _place(self, label: Label) -> _Placed:
        """Where a label lies in the widget."""
        scale, ratio = self._paper.width() / PAPER[0], self.devicePixelRatioF()
        box = QRectF(label.box.topLeft() * scale, label.box.size() * scale).translated(QPointF(self._paper.topLeft()))
        around = box.adjusted(-5, -5, 5, 5).toRect() & self._paper.adjusted(1, 1, -1, -1)
        pixmap = self._chip(label)
        chip = QRectF(QPointF(0, 0), pixmap.deviceIndependentSize())
        chip.moveBottomLeft(QPointF(around.left(), around.top() - 2))
        if chip.top() < self._paper.top() + 1:  # no room above: beside it
            chip.moveTopLeft(QPointF(around.right() + 4, around.top()))
        chip.moveLeft(min(chip.left(), self._paper.right() - chip.width()))
        chip.moveTo(round(chip.x() * ratio) / ratio, round(chip.y() * ratio) / ratio)  # so that it stays sharp
        line = QRegion(around.adjusted(-1, -1, 1, 1)) - QRegion(around.adjusted(5, 5, -5, -5))
        return _Placed(label, around, pixmap, chip.topLeft(), line + QRegion(chip.toAlignedRect()))

    def _chip(self, label: Label) -> QPixmap:
        """What is written beside the box of a label, painted once."""
        ratio = self.devicePixelRatioF()
        key = (label.text, label.sure, ratio, self.font().key())
        if key not in self._chips:
            if len(self._chips) >= 64:  # a network may know a thousand words
                self._chips.clear()
            font = scaled_font(self, 1.1, bold=True)
            metrics = QFontMetricsF(font)
            size = QSizeF(metrics.horizontalAdvance(label.text) + 12, metrics.height() + 2)
            pixmap = QPixmap(math.ceil(size.width() * ratio), math.ceil(size.height() * ratio))
            pixmap.setDevicePixelRatio(ratio)
            pixmap.fill(Qt.GlobalColor.transparent)
            painter = QPainter(pixmap)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            colour = _label_colour(label)
            colour.setAlpha(225)
            painter.setBrush(colour)
            area = QRectF(QPointF(0, 0), size)
            painter.drawRoundedRect(area, 4, 4)
            painter.setPen(Qt.GlobalColor.white)
            painter.setFont(font)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, label.text)
            painter.end()
            self._chips[key] = pixmap
        return self._chips[key]

    def _lay_out(self) -> None:
        free = self.size() - QSize(2 * MARGIN, 2 * MARGIN)
        size = QSize(*PAPER).scaled(free, Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(3, 2))
        self._paper = QRect(
            (self.width() - size.width()) // 2, (self.height() - size.height()) // 2, size.width(), size.height()
        )
        ratio = self.devicePixelRatioF()
        pixels = QSize(round(size.width() * ratio), round(size.height() * ratio))
        if pixels != self._screen.size():
            self._screen = QImage(pixels, QImage.Format.Format_RGB32)
            self._repaint_screen()
        self._ratio = ratio
        self._labels = tuple(self._place(placed.label) for placed in self._labels)
        self._shape_cursor()

    def _repaint_screen(self, area: QRectF | None = None) -> None:
        """Draw what is on the screen again: all of it, or what touches `area`."""
        whole = QRect(0, 0, *PAPER)
        if area is not None:
            whole &= area.adjusted(-2, -2, 2, 2).toAlignedRect()
        network, painter = self._painters()
        network.end()
        painter.setClipRect(whole)
        self._ground(painter, whole)
        for item in self._since_clear():
            if item.bounds.intersects(QRectF(whole)):
                self._draw(painter, item)
        painter.end()

    def _shape_cursor(self) -> None:
        """A ring as large as the pen, so that one sees what it will touch."""
        ratio = self.devicePixelRatioF()
        across = max(6.0, self._pen_width * self._paper.width() / PAPER[0])
        side = math.ceil(across) + 4
        pixmap = QPixmap(QSize(round(side * ratio), round(side * ratio)))
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ring = QRectF((side - across) / 2, (side - across) / 2, across, across)
        painter.setPen(QPen(QColor(255, 255, 255, 190), 2.5))
        painter.drawEllipse(ring)
        painter.setPen(QPen(QColor("#5a616c"), 1.2, Qt.PenStyle.DashLine if self._eraser else Qt.PenStyle.SolidLine))
        painter.drawEllipse(ring)
        painter.end()
        self.setCursor(QCursor(pixmap, side // 2, side // 2))

    def _recolour(self) -> None:
        self._repaint_screen()
        self.update()

    # Qt -------------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(PAPER[0] + 2 * MARGIN, PAPER[1] + 2 * MARGIN)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._lay_out()

    def enterEvent(self, event: QEnterEvent) -> None:
        if self.devicePixelRatioF() != self._ratio:  # the window moved to another screen
            self._lay_out()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        edge = not self._paper.contains(event.rect())
        if edge:
            painter.fillRect(event.rect(), self.palette().window())
        painter.drawImage(QRectF(self._paper), self._screen)  # pixel for pixel, whatever the screen's density
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if edge:
            painter.setPen(QPen(theme.colour("line"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(self._paper).adjusted(-0.5, -0.5, 0.5, 0.5))
        if self.empty and event.region().intersects(self._invitation()):
            self._paint_invitation(painter)
        for label in self._labels:
            if event.region().intersects(label.touched):
                self._paint_label(painter, label)
        painter.end()

    def _invitation(self) -> QRect:
        middle = self._paper.center()
        return QRect(middle.x() - 250, middle.y() - 60, 500, 120)

    def _paint_invitation(self, painter: QPainter) -> None:
        middle = QRectF(self._paper)
        grey = QColor("#6b727d")
        painter.setPen(grey)
        painter.setFont(scaled_font(self, 1.9))
        painter.drawText(middle.adjusted(0, -18, 0, -18), Qt.AlignmentFlag.AlignCenter, "Draw a digit here")
        painter.setFont(scaled_font(self, 1.05))
        painter.drawText(
            middle.adjusted(0, 22, 0, 22),
            Qt.AlignmentFlag.AlignCenter,
            "or several side by side · or drop or paste a picture",
        )

    def _paint_label(self, painter: QPainter, placed: _Placed) -> None:
        box, colour = placed.box, _label_colour(placed.label)
        colour.setAlpha(150)
        # Piece by piece: one path around it all takes four times as long, and ten times with dashes.
        painter.setPen(QPen(colour, 1))
        for right, bottom, start in ((True, False, 0), (False, False, 90), (False, True, 180), (True, True, 270)):
            x = box.right() - 8 if right else box.left()
            y = box.bottom() - 8 if bottom else box.top()
            painter.drawArc(QRectF(x + 0.5, y + 0.5, 8, 8), start * 16, 90 * 16)
        pieces = _whole if placed.label.sure else _dashes
        for x, wide in pieces(box.left() + 4, box.width() - 8):
            painter.fillRect(x, box.top(), wide, 1, colour)
            painter.fillRect(x, box.bottom(), wide, 1, colour)
        for y, high in pieces(box.top() + 4, box.height() - 8):
            painter.fillRect(box.left(), y, 1, high, colour)
            painter.fillRect(box.right(), y, 1, high, colour)
        painter.drawPixmap(placed.chip_at, placed.chip)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._pen_down(event.position())
        elif event.button() == Qt.MouseButton.RightButton:
            self._pen_down(event.position(), erase=True)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._stroke is not None and event.buttons() != Qt.MouseButton.NoButton:
            self._pen_to(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._pen_to(event.position())
        self._pen_up()

    def tabletEvent(self, event: QTabletEvent) -> None:
        kind = event.type()
        if kind == QTabletEvent.Type.TabletPress:
            rubber = event.pointerType() == QPointingDevice.PointerType.Eraser
            self._pen_down(event.position(), pressure=event.pressure(), erase=rubber)
        elif kind == QTabletEvent.Type.TabletMove:
            self._pen_to(event.position(), event.pressure())
        elif kind == QTabletEvent.Type.TabletRelease:
            self._pen_up()
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if QApplication.keyboardModifiers() & Qt.KeyboardModifier.ControlModifier:
            self.widen(1 if event.angleDelta().y() > 0 else -1)
            event.accept()
        else:
            event.ignore()


def _label_colour(label: Label) -> QColor:
    return QColor("#2460c8") if label.sure else QColor("#8d949f")


def _whole(start: int, length: int) -> list[tuple[int, int]]:
    return [(start, length)]


def _dashes(start: int, length: int) -> list[tuple[int, int]]:
    """Places and lengths of the dashes along a line."""
    return [(start + at, min(4, length - at)) for at in range(0, length, 7)]


def encoded(image: QImage, kind: bytes = b"png", quality: int = -1) -> bytes:
    """A picture as the bytes of a file, lossless unless told otherwise."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QImageWriter(buffer, QByteArray(kind))
    writer.setQuality(quality)
    if not writer.write(image):
        raise EngineError("The picture could not be written.", writer.errorString())
    return bytes(buffer.data().data())


def write_picture(image: QImage, path: Path) -> None:
    """Write a picture as PNG; slow for a large one.

    Raises:
        EngineError: the folder cannot be written to or the disk is full.
    """
    data = encoded(image)
    replace_file(path, lambda temporary: temporary.write_bytes(data))


def _read_picture(path: Path, room: QSize) -> QImage:
    """The picture in a file; one much larger than `room` is made smaller while it is decoded, where its kind can."""
    reader = QImageReader(str(path))
    reader.setAutoTransform(True)
    reader.setDecideFormatFromContent(True)
    size = reader.size()
    if reader.transformation() & QImageIOHandler.Transformation.TransformationRotate90:  # it is turned after decoding
        room = room.transposed()
    if size.isValid() and (size.width() > room.width() or size.height() > room.height()):
        reader.setScaledSize(size.scaled(room, Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(1, 1)))
    image = reader.read()
    if image.isNull():
        missing = not path.exists()
        raise EngineError(
            f"{path.name} does not exist." if missing else f"{path.name} is not a picture that can be read.",
            "Choose a PNG, JPEG, BMP, GIF or WebP file.",
        )
    return image


def _for_paper(image: QImage, room: QSize) -> QImage:
    """A picture as it will lie on the paper: no larger than `room`, opaque, and dark on light."""
    if image.width() > room.width() or image.height() > room.height():
        kept, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        image = image.scaled(room, kept, smooth)
    if image.hasAlphaChannel():
        ground = QImage(image.size(), QImage.Format.Format_RGB32)
        ground.fill(Qt.GlobalColor.black if _light_ink(image) else Qt.GlobalColor.white)
        painter = QPainter(ground)
        painter.drawImage(0, 0, image)
        painter.end()
        image = ground
    image = image.convertToFormat(QImage.Format.Format_RGB32)  # what is painted fastest
    if _light_on_dark(image):
        image.invertPixels(QImage.InvertMode.InvertRgb)
    return image.convertToFormat(QImage.Format.Format_Grayscale8) if image.isGrayscale() else image


def _light_ink(image: QImage) -> bool:
    """What there is of a picture that can be seen through is light: it was made for a dark ground."""
    small = image.scaled(64, 64).convertToFormat(QImage.Format.Format_RGBA8888)
    rows = np.frombuffer(small.constBits(), np.uint8).reshape(64, small.bytesPerLine())
    pixels = rows[:, :256].reshape(64, 64, 4).astype(np.float64)
    weight = float(pixels[..., 3].sum())
    return weight > 0 and float((pixels[..., :3].mean(2) * pixels[..., 3]).sum()) / weight > 160


def _light_on_dark(image: QImage) -> bool:
    """A grey picture with a dark border, such as a digit of MNIST."""
    small = image.scaled(64, 64).convertToFormat(QImage.Format.Format_RGB888)
    with contextlib.suppress(ValueError):
        rows = np.frombuffer(small.constBits(), np.uint8).reshape(64, small.bytesPerLine())
        pixels = rows[:, :192].reshape(64, 64, 3).astype(np.int16)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        grey = float((pixels.max(2) - pixels.min(2)).mean()) < 8.0
        return grey and float(border.mean()) < 90.0 and float(np.median(border)) < 90.0
    return False
