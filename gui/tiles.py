"""Feature maps on the screen: many of them composed into one picture of bytes, and the view that shows it.

A layer of 256 maps costs one image, not 256 widgets. pyqtgraph is imported with the first view, after the window is on
the screen.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from gui.theme import scaled_font, theme

Maps: TypeAlias = NDArray[np.float32]

CELL = 8  # pixels across that a single number (a unit without height and width) is drawn with


class Tiles:
    """Many maps in one picture of bytes: 0 is the gap, 1…255 are values from low to high.

    Attributes:
        picture: (H, W) uint8; the same array is filled again at each `compose`.
        columns, rows: of the grid.
        pitch: (height, width) from one tile to the next in pixels of the picture.
    """

    def __init__(self, shape: tuple[int, int, int], *, room: tuple[float, float]) -> None:
        """A grid for `shape` = (C, H, W) that fills `room` = (width, height) best."""
        count, height, width = shape
        self.shape = shape
        self.tile = (CELL, CELL) if height == width == 1 else (height, width)
        gap = max(1, round(min(self.tile) / 14))
        self.pitch = (self.tile[0] + gap, self.tile[1] + gap)
        self.columns = best_columns(count, self.pitch, room)
        self.rows = math.ceil(count / self.columns)
        self._padded = np.zeros((self.rows * self.pitch[0], self.columns * self.pitch[1]), np.uint8)
        grid = self._padded.reshape(self.rows, self.pitch[0], self.columns, self.pitch[1])
        self._cells = grid.transpose(0, 2, 1, 3)[:, :, : self.tile[0], : self.tile[1]]
        self._values = np.empty(shape, np.float32)
        self.picture = self._padded[: self.rows * self.pitch[0] - gap, : self.columns * self.pitch[1] - gap]

    def compose(self, maps: Maps, low: Any, high: Any) -> NDArray[np.uint8]:
        """Fill the picture with maps (C, H, W) float32; `low` and `high` are numbers or (C, 1, 1)."""
        span = np.maximum(np.asarray(high, np.float32) - np.asarray(low, np.float32), np.float32(1e-12))
        values = self._values
        np.subtract(maps, low, out=values)
        np.multiply(values, np.float32(254.0) / span, out=values)
        np.clip(values, 0.0, 254.0, out=values)
        np.add(values, np.float32(1.0), out=values)
        whole = len(maps) // self.columns
        full = whole * self.columns
        height, width = maps.shape[1:]
        self._cells[:whole] = values[:full].reshape(whole, self.columns, height, width)
        if full < len(maps):
            self._cells[whole, : len(maps) - full] = values[full:]
        return self.picture

    def painted(self, table: list[int]) -> QPixmap:
        """The picture with each byte in its colour of `table` (256 of 0xffRRGGBB)."""
        height, width = self.picture.shape
        bytes_ = QImage(self._padded.data, width, height, self._padded.strides[0], QImage.Format.Format_Indexed8)
        bytes_.setColorTable(table)
        return QPixmap.fromImage(bytes_.convertToFormat(QImage.Format.Format_RGB32))

    def at(self, x: float, y: float) -> tuple[int, int, int] | None:
        """(map, row, column) under a point of the picture; None in a gap."""
        if x < 0 or y < 0:
            return None
        column, row = int(x // self.pitch[1]), int(y // self.pitch[0])
        inner_x, inner_y = int(x % self.pitch[1]), int(y % self.pitch[0])
        number = row * self.columns + column
        if column >= self.columns or number >= self.shape[0]:
            return None
        if inner_x >= self.tile[1] or inner_y >= self.tile[0]:
            return None
        if self.tile != self.shape[1:]:
            inner_x = inner_y = 0
        return number, inner_y, inner_x

    def place(self, number: int) -> QRectF:
        """Where a map lies in the picture."""
        row, column = divmod(number, self.columns)
        return QRectF(column * self.pitch[1], row * self.pitch[0], self.tile[1], self.tile[0])


def best_columns(count: int, pitch: tuple[int, int], room: tuple[float, float]) -> int:
    """How many columns make `count` tiles largest in `room` = (width, height)."""

    def size(columns: int) -> float:
        rows = math.ceil(count / columns)
        return min(room[0] / (columns * pitch[1]), room[1] / (rows * pitch[0]))

    return max(range(1, count + 1), key=size)


class MapView(QWidget):
    """One composed picture, as large as fits, every value a sharp rectangle (a pyqtgraph view).

    Signals:
        hovered(object): (map, row, column) under the mouse, or None.
        clicked(int): a map.
    """

    hovered = Signal(object)
    clicked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        import pyqtgraph as pg

        self._pg = pg
        self.tiles: Tiles | None = None
        self._signed = False
        self._selected = -1
        self._names: list[Any] = []
        self._texts: tuple[str, ...] = ()
        self._cover: QWidget | None = None
        self.view = pg.GraphicsView(self)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.setMouseTracking(True)
        self.box = pg.ViewBox(lockAspect=True, enableMouse=False, enableMenu=False, invertY=True, defaultPadding=0.0)
        self.view.setCentralItem(self.box)
        # pyqtgraph's own image item takes four times as long: it looks levels up and enlarges a picture of indices.
        self.item = pg.QtWidgets.QGraphicsPixmapItem()
        self.box.addItem(self.item, ignoreBounds=True)
        self._frame = pg.QtWidgets.QGraphicsRectItem()
        self._frame.setZValue(10)
        self._frame.hide()
        self.box.addItem(self._frame, ignoreBounds=True)
        self._luts: dict[bool, NDArray[np.uint8]] = {}
        self._tables: dict[bool, list[int]] = {}
        scene = self.view.scene()
        scene.sigMouseMoved.connect(self._moved)
        scene.sigMouseClicked.connect(self._pressed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(60, 60)
        self.recolour()

    def lut(self, signed: bool) -> NDArray[np.uint8]:
        """(256, 4) colours: 0 is clear (the gaps), then the colour map."""
        if signed not in self._luts:
            colours = self._pg.colormap.get("CET-D1" if signed else "viridis").getLookupTable(nPts=255, alpha=True)
            self._luts[signed] = np.vstack([np.zeros((1, 4), np.uint8), colours.astype(np.uint8)])
        return self._luts[signed]

    def _table(self) -> list[int]:
        """What each byte of the picture is painted with; the gaps take the ground's colour."""
        if self._signed not in self._tables:
            colours = [QColor(*rgba).rgb() for rgba in self.lut(self._signed)[1:, :3].tolist()]
            self._tables[self._signed] = [theme.colour("base").rgb(), *colours]
        return self._tables[self._signed]

    def recolour(self) -> None:
        self._tables.clear()
        if self.tiles is not None:
            self.item.setPixmap(self.tiles.painted(self._table()))
        self.view.setBackground(theme.colour("base"))
        self._frame.setPen(self._pg.mkPen(theme.colours.accent, width=2.5))

    def show_maps(self, maps: Maps, low: Any, high: Any, *, signed: bool, names: tuple[str, ...] = ()) -> None:
        """Compose and show maps (C, H, W)."""
        shape = (maps.shape[0], maps.shape[1], maps.shape[2])
        if self.tiles is None or self.tiles.shape != shape:
            self._make_tiles(shape, names)
        assert self.tiles is not None
        self._signed = signed
        self.tiles.compose(maps, low, high)
        self.item.setPixmap(self.tiles.painted(self._table()))
        if not self.item.isVisible():
            self.item.show()
            for name in self._names:
                name.show()

    def clear(self) -> None:
        """Show nothing."""
        self.item.hide()
        self._frame.hide()
        for name in self._names:
            name.hide()

    def cover(self, widget: QWidget) -> None:
        """Keep a widget of its own over the whole view."""
        self._cover = widget
        widget.setGeometry(self.rect())

    def select(self, number: int) -> None:
        """Frame a map; -1: none."""
        self._selected = number
        if self.tiles is None or not 0 <= number < self.tiles.shape[0]:
            self._frame.hide()
            return
        self._frame.setRect(self.tiles.place(number))
        self._frame.show()

    def _make_tiles(self, shape: tuple[int, int, int], names: tuple[str, ...]) -> None:
        for name in self._names:
            self.box.removeItem(name)
        self._names = []
        self.tiles = Tiles(shape, room=(max(40.0, self.width()), max(40.0, self.height())))
        for number, text in enumerate(names):
            place = self.tiles.place(number)
            name = self._pg.TextItem(text, color="#ffffff", fill=(20, 22, 26, 150), anchor=(0.5, 0.5))
            name.setPos(place.center())
            name.setFont(scaled_font(self, 1.0, bold=True))
            self.box.addItem(name, ignoreBounds=True)
            self._names.append(name)
        self._texts = names
        self._fit()
        self.select(self._selected)

    def _fit(self) -> None:
        if self.tiles is not None:
            height, width = self.tiles.picture.shape
            self.box.setRange(QRectF(0, 0, width, height), padding=0.01)

    def _moved(self, place: Any) -> None:
        found = None
        if self.tiles is not None:
            point = self.box.mapSceneToView(place)
            found = self.tiles.at(point.x(), point.y())
        self.view.setCursor(Qt.CursorShape.PointingHandCursor if found else Qt.CursorShape.ArrowCursor)
        self.hovered.emit(found)

    def _pressed(self, event: Any) -> None:
        if self.tiles is not None and event.button() == Qt.MouseButton.LeftButton:
            point = self.box.mapSceneToView(event.scenePos())
            found = self.tiles.at(point.x(), point.y())
            if found is not None:
                self.clicked.emit(found[0])

    def leaveEvent(self, event: QEvent) -> None:
        self.hovered.emit(None)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._cover is not None:
            self._cover.setGeometry(self.rect())
        tiles = self.tiles
        if tiles is None:
            return
        room = (max(40.0, self.width()), max(40.0, self.height()))
        if best_columns(tiles.shape[0], tiles.pitch, room) != tiles.columns:
            shown, texts = self.tiles, self._texts
            self.tiles = None
            self._make_tiles(tiles.shape, texts)
            assert self.tiles is not None
            self.tiles.picture[:] = 0
            flat = [shown.picture[_slices(shown, i)] for i in range(tiles.shape[0])]
            for number, cell in enumerate(flat):
                self.tiles.picture[_slices(self.tiles, number)] = cell
            self.item.setPixmap(self.tiles.painted(self._table()))
        self._fit()


def _slices(tiles: Tiles, number: int) -> tuple[slice, slice]:
    place = tiles.place(number).toRect()
    return slice(place.top(), place.top() + tiles.tile[0]), slice(place.left(), place.left() + tiles.tile[1])


class Legend(QWidget):
    """The colour map with what its ends stand for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lut: NDArray[np.uint8] | None = None
        self._image = QImage()
        self._ends = ("", "")
        self.setFixedSize(270, 22)
        self.setAccessibleName("Colour scale")

    def set(self, lut: NDArray[np.uint8], ends: tuple[str, str]) -> None:
        if lut is not self._lut:
            self._lut = lut
            colours = np.ascontiguousarray(lut[1:, :3])
            self._image = QImage(colours.data, 255, 1, 255 * 3, QImage.Format.Format_RGB888).copy()
        elif ends == self._ends:
            return
        self._ends = ends
        self.setAccessibleDescription(f"from {ends[0]} to {ends[1]}")
        self.update()

    def clear(self) -> None:
        self._lut = None
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._lut is None:
            return
        painter = QPainter(self)
        painter.setPen(theme.colour("dim"))
        metrics = painter.fontMetrics()
        middle = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        right = self.width() - metrics.horizontalAdvance(self._ends[1]) - 8
        painter.drawText(QRectF(self.rect()), middle, self._ends[1])
        painter.drawImage(QRectF(right - 96, 6, 96, 10), self._image)
        painter.drawText(QRectF(0, 0, right - 104, 22), middle, self._ends[0])
        painter.end()
