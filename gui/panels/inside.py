"""A look inside the running network: its layers in order, the maps of one of them, one map with its kernel.

`Result.activations` enter; `watch_changed()` says which layer is wanted, which is none while nobody looks. All maps
of a layer are composed into one picture of bytes, so a layer of 256 maps costs one image, not 256 widgets. pyqtgraph is
imported with the first network, after the window is on the screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QFontMetricsF,
    QHideEvent,
    QImage,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import Activations, Layer, ModelCard, ModelState, Result

Maps: TypeAlias = NDArray[np.float32]
Scale: TypeAlias = Literal["map", "layer", "global"]
SCALES: tuple[tuple[Scale, str, str], ...] = (
    ("map", "Each map", "Every map uses all colours: shows weak maps too"),
    ("layer", "Whole layer", "All maps of a layer share one scale: shows which are strong"),
    ("global", "All layers", "One scale for everything looked at so far: shows how strength grows and fades"),
)
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


def compose_tiles(maps: Maps, *, room: tuple[float, float] = (900.0, 160.0)) -> NDArray[np.uint8]:
    """All maps (C, H, W) float32 in one picture (uint8), each with its own scale. For one picture; else use `Tiles`."""
    tiles = Tiles((maps.shape[0], maps.shape[1], maps.shape[2]), room=room)
    return tiles.compose(maps, maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True))


def best_columns(count: int, pitch: tuple[int, int], room: tuple[float, float]) -> int:
    """How many columns make `count` tiles largest in `room` = (width, height)."""

    def size(columns: int) -> float:
        rows = math.ceil(count / columns)
        return min(room[0] / (columns * pitch[1]), room[1] / (rows * pitch[0]))

    return max(range(1, count + 1), key=size)


@dataclass(frozen=True)
class Chip:
    """A layer in the strip."""

    layer: Layer
    title: str
    shape: str
    place: QRect


class LayerStrip(QWidget):
    """The layers as a line of chips, input to output. Signals: `chosen(int)`."""

    chosen = Signal(int)
    HEIGHT = 42

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chips: list[Chip] = []
        self._current = -1
        self._over = -1
        self.setMouseTracking(True)
        self.setFixedHeight(self.HEIGHT)
        self.setAccessibleName("Layers of the network")

    def set_layers(self, layers: tuple[Layer, ...]) -> None:
        self._chips = []
        bold, plain = QFontMetricsF(scaled_font(self, 1.0, bold=True)), QFontMetricsF(self.font())
        x = 0
        for layer in layers:
            title, shape = layer.title, shape_text(layer.shape)
            width = round(max(bold.horizontalAdvance(title), plain.horizontalAdvance(shape))) + 16
            self._chips.append(Chip(layer, title, shape, QRect(x, 0, width, self.HEIGHT)))
            x += width + 14
        self.setFixedWidth(max(1, x - 14))
        self.update()

    def choose(self, number: int) -> None:
        self._current = number
        name = self._chips[number].title if 0 <= number < len(self._chips) else ""
        self.setAccessibleDescription(f"Shown: {name}")
        self.update()

    def place(self, number: int) -> QRect:
        return self._chips[number].place

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        bold = scaled_font(self, 1.0, bold=True)
        for number, chip in enumerate(self._chips):
            place = QRectF(chip.place).adjusted(0.5, 0.5, -0.5, -0.5)
            if not event.rect().intersects(chip.place.adjusted(0, 0, 16, 0)):
                continue
            current = number == self._current
            painter.setPen(QPen(theme.colour("accent" if current else "line"), 1.2 if current else 1.0))
            painter.setBrush(theme.colour("soft" if current else "hover" if number == self._over else "raised"))
            painter.drawRoundedRect(place, 6, 6)
            painter.setFont(bold)
            painter.setPen(theme.colour("accent" if current else "text"))
            half = place.height() / 2
            top = QRectF(place.left(), place.top() + 3, place.width(), half - 2)
            painter.drawText(top, Qt.AlignmentFlag.AlignCenter, chip.title)
            painter.setFont(self.font())
            painter.setPen(theme.colour("dim"))
            painter.drawText(top.translated(0, half - 3), Qt.AlignmentFlag.AlignCenter, chip.shape)
            if number + 1 < len(self._chips):
                x, y = place.right() + 5.5, place.center().y()
                painter.setPen(QPen(theme.colour("quiet"), 1.4))
                painter.drawPolyline([QPointF(x, y - 4), QPointF(x + 4, y), QPointF(x, y + 4)])
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        number = self._at(event)
        if number >= 0:
            self.chosen.emit(number)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        over = self._at(event)
        if over != self._over:
            self._over = over
            self.setCursor(Qt.CursorShape.PointingHandCursor if over >= 0 else Qt.CursorShape.ArrowCursor)
            self.setToolTip(what_it_does(self._chips[over].layer) if over >= 0 else "")
            self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self._over = -1
        self.update()

    def _at(self, event: QMouseEvent) -> int:
        place = event.position().toPoint()
        return next((i for i, chip in enumerate(self._chips) if chip.place.contains(place)), -1)


class Strip(QScrollArea):
    """Holds the strip; the wheel moves it sideways."""

    def __init__(self, strip: LayerStrip) -> None:
        super().__init__()
        self.setWidget(strip)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFixedHeight(LayerStrip.HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.viewport().setAutoFillBackground(False)
        strip.setAutoFillBackground(False)

    def wheelEvent(self, event: QWheelEvent) -> None:
        bar = self.horizontalScrollBar()
        delta = event.angleDelta().y() or event.angleDelta().x()
        bar.setValue(bar.value() - delta)
        event.accept()


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
        self.item = pg.ImageItem(axisOrder="row-major")
        self.box.addItem(self.item)
        self._frame = pg.QtWidgets.QGraphicsRectItem()
        self._frame.setZValue(10)
        self._frame.hide()
        self.box.addItem(self._frame, ignoreBounds=True)
        self._luts: dict[bool, NDArray[np.uint8]] = {}
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

    def recolour(self) -> None:
        self.view.setBackground(theme.colour("base"))
        self._frame.setPen(self._pg.mkPen(theme.colours.accent, width=2.5))

    def show_maps(self, maps: Maps, low: Any, high: Any, *, signed: bool, names: tuple[str, ...] = ()) -> None:
        """Compose and show maps (C, H, W)."""
        shape = (maps.shape[0], maps.shape[1], maps.shape[2])
        if self.tiles is None or self.tiles.shape != shape:
            self._make_tiles(shape, names)
        assert self.tiles is not None
        picture = self.tiles.compose(maps, low, high)
        if signed != self._signed or self.item.lut is None:
            self._signed = signed
            self.item.setLookupTable(self.lut(signed), update=False)
        self.item.setImage(picture, autoLevels=False, levels=(0, 255))
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
            self.item.setImage(self.tiles.picture, autoLevels=False, levels=(0, 255))
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


class InsidePanel(QWidget):
    """Layers, maps, one map enlarged.

    Signals:
        watch_changed(): `wanted_layer` is another one.
        kernels_wanted(ModelCard, str): the weights of a layer, to be handed to `set_kernels`.
    """

    watch_changed = Signal()
    kernels_wanted = Signal(object, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._card: ModelCard | None = None
        self._layer = -1
        self._maps: Maps | None = None
        self._shown_layer = ""
        self._selected = 0
        self._enlarged = False
        self._place = "paper"
        self._signed: set[str] = set()
        self._reach = 0.0  # the largest value seen in any layer, for the scale of all layers
        self._kernels: dict[str, Maps | None] = {}
        self._hover: tuple[int, int, int] | None = None
        self._hover_kernel = False
        self._newest: Activations | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._take_newest)
        self.maps: MapView | None = None
        self.kernel: MapView | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Inside the network")
        self.strip = LayerStrip()
        self.strip.chosen.connect(self.show_layer)
        self._scroll = Strip(self.strip)
        self._earlier: QToolButton
        self._later: QToolButton
        self.scale = QComboBox()
        for value, title, tip in SCALES:
            self.scale.addItem(title, value)
            self.scale.setItemData(self.scale.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.scale.setToolTip("What the brightest colour stands for")
        self.scale.setAccessibleName("Colour scale of")
        self.scale.currentIndexChanged.connect(self._refresh)
        scale_label = QLabel("Scale")
        set_role(scale_label, role="dim")
        scale_label.setBuddy(self.scale)
        self._earlier = self._arrow("Earlier layers", -1)
        self._later = self._arrow("Later layers", 1)
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self._earlier)
        top.addWidget(self._scroll, 1)
        top.addWidget(self._later)
        self._empty = QLabel()
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        set_role(self._empty, role="dim")
        self._side = QWidget()
        self._side.hide()
        self._stage = QHBoxLayout()
        self._stage.setSpacing(12)
        self._stage.addWidget(self._empty, 1)
        self._readout = QLabel()
        self._readout.setAccessibleName("Value under the mouse")
        set_role(self._readout, role="dim")
        self.legend = Legend()
        foot = QHBoxLayout()
        foot.setSpacing(8)
        foot.addWidget(self._readout, 1)
        foot.addWidget(self.legend)
        foot.addSpacing(8)
        foot.addWidget(scale_label)
        foot.addWidget(self.scale)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 4, 16, 8)
        layout.setSpacing(8)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        set_role(self, sheet="true")
        layout.addLayout(top)
        layout.addLayout(self._stage, 1)
        layout.addLayout(foot)
        self._say_empty()
        self._actions = [
            self._action("Next layer", "Ctrl+Right", lambda: self.show_layer(self._layer + 1)),
            self._action("Previous layer", "Ctrl+Left", lambda: self.show_layer(self._layer - 1)),
            self._action("Enlarge or shrink the map", "Return", self.toggle_enlarged),
            self._action("Back to all maps", "Escape", lambda: self.enlarge(False)),
            self._action("Next map", "Right", lambda: self.select(self._selected + 1)),
            self._action("Previous map", "Left", lambda: self.select(self._selected - 1)),
            self._action("Map below", "Down", lambda: self.select(self._selected + self._columns())),
            self._action("Map above", "Up", lambda: self.select(self._selected - self._columns())),
        ]
        theme.changed.connect(self._recolour)
        self._recolour()

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def model_name(self) -> str:
        """Of the network whose layers are shown; empty before the first."""
        return self._card.name if self._card is not None else ""

    @property
    def wanted_layer(self) -> str | None:
        """The layer to watch; None while the panel is out of sight."""
        if not self.isVisible() or self._card is None or not 0 <= self._layer < len(self._card.layers):
            return None
        return self._card.layers[self._layer].name

    @property
    def layer_name(self) -> str:
        """The chosen layer."""
        known = self._card is not None and 0 <= self._layer < len(self._card.layers)
        return self._card.layers[self._layer].name if known and self._card else ""

    @property
    def shown_layer(self) -> str:
        """The layer whose maps are on the screen; empty: none."""
        return self._shown_layer if self._maps is not None else ""

    @property
    def selected(self) -> int:
        return self._selected

    @property
    def enlarged(self) -> bool:
        return self._enlarged

    def menu_actions(self) -> list[QAction]:
        """The panel's keys, for the menu and the list of shortcuts."""
        return self._actions

    def sizeHint(self) -> QSize:
        return QSize(900, 240)

    def minimumSizeHint(self) -> QSize:
        return QSize(320, 170)

    def set_place(self, place: Literal["paper", "picture", "nothing"]) -> None:
        """Where digits would come from: the paper, a picture, or nothing that plays yet."""
        self._place = place
        self.clear()

    def set_model(self, state: ModelState) -> None:
        """Show the layers of another network; keeps the layer of the same name where there is one."""
        if state.phase != "ready" or state.card is None:
            return
        self._make_views()
        before = self.layer_name
        self._card = state.card
        self._signed.clear()
        self._kernels.clear()
        self._reach = 0.0
        self.strip.set_layers(state.card.layers)
        self._enable_arrows()
        names = [layer.name for layer in state.card.layers]
        first = next((i for i, layer in enumerate(state.card.layers) if layer.shape[1] > 1), 0)
        self._layer = names.index(before) if before in names else min(first, len(names) - 1)
        self.strip.choose(self._layer)
        self._selected = 0
        self.enlarge(False)
        self.clear()
        self.watch_changed.emit()

    def set_result(self, result: Result) -> None:
        """Show the maps that came with a result."""
        if result.activations is not None:
            if result.activations.layer == self.layer_name and self.isVisible():
                self._newest = result.activations
                self._soon.start()
        elif not result.regions:
            self._newest = None
            self.clear()

    def set_kernels(self, model: str, layer: str, weights: Maps | None) -> None:
        """The weights of a layer: (out, in, h, w)."""
        if model == self.model_name:
            self._kernels[layer] = weights
            self._refresh()

    def clear(self) -> None:
        """Nothing to look at."""
        self._maps = None
        self._say_empty()
        self.legend.clear()
        self._readout.setText("")
        if self.maps is not None:
            self.maps.clear()
        if self.kernel is not None:
            self.kernel.clear()
        self._show_empty(True)

    def show_layer(self, number: int) -> None:
        """Look into another layer."""
        if self._card is None or not 0 <= number < len(self._card.layers) or number == self._layer:
            return
        self._layer = number
        self.strip.choose(number)
        place = self.strip.place(number)
        self._scroll.ensureVisible(place.center().x(), 20, place.width(), 0)
        self._selected = 0
        self._maps = None
        if self._enlarged:
            self._ask_kernels()
        self.watch_changed.emit()

    def show_layer_named(self, name: str) -> None:
        """Look into the layer of that name."""
        if self._card is not None:
            self.show_layer([layer.name for layer in self._card.layers].index(name))

    def select(self, number: int) -> None:
        """Choose a map."""
        if self._maps is not None and 0 <= number < len(self._maps):
            self._selected = number
            self._refresh()

    def toggle_enlarged(self) -> None:
        self.enlarge(not self._enlarged)

    def enlarge(self, enlarged: bool, number: int | None = None) -> None:
        """One map with its kernel, or all maps."""
        if number is not None:
            self._selected = number
        if enlarged and self._maps is None:
            return
        if enlarged != self._enlarged:
            self._enlarged = enlarged
            self._side.setVisible(enlarged and self._maps is not None)
            if enlarged:
                self._ask_kernels()
        self._refresh()

    # inside ---------------------------------------------------------------------------------------------------------

    def _action(self, text: str, keys: str, slot: Any) -> QAction:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(keys))
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda _=False: slot())
        self.addAction(action)
        return action

    def _arrow(self, tip: str, way: int) -> QToolButton:
        button = QToolButton()
        button.setArrowType(Qt.ArrowType.NoArrow)
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setAutoRepeat(True)
        button.setFixedHeight(LayerStrip.HEIGHT)
        bar = self._scroll.horizontalScrollBar()
        button.clicked.connect(lambda: bar.setValue(bar.value() + way * 160))
        bar.valueChanged.connect(lambda _: self._enable_arrows())
        bar.rangeChanged.connect(lambda *_: self._enable_arrows())
        button.hide()
        return button

    def _enable_arrows(self) -> None:
        bar = self._scroll.horizontalScrollBar()
        needed = self.strip.width() > self.width() - 32
        self._earlier.setVisible(needed)
        self._later.setVisible(needed)
        self._earlier.setEnabled(bar.value() > bar.minimum())
        self._later.setEnabled(bar.value() < bar.maximum())

    def _make_views(self) -> None:
        """The pyqtgraph part, with the first network."""
        if self.maps is not None:
            return
        self.maps, self.kernel = MapView(), MapView()
        self.maps.hovered.connect(lambda found: self._hovered(found, kernel=False))
        self.maps.clicked.connect(self._clicked)
        self.kernel.hovered.connect(lambda found: self._hovered(found, kernel=True))
        self._title = QLabel()
        self._title.setWordWrap(True)
        set_role(self._title, role="title")
        self._facts = QLabel()
        self._facts.setWordWrap(True)
        set_role(self._facts, role="dim")
        self.back = QToolButton()
        self.back.setToolTip("Back to all maps (Esc)")
        self.back.setAccessibleName("Back to all maps")
        self.back.clicked.connect(lambda: self.enlarge(False))
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.back, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self._title, 1)
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addLayout(head)
        words.addWidget(self._facts)
        words.addStretch(1)
        side = QHBoxLayout(self._side)
        side.setContentsMargins(0, 0, 0, 0)
        side.setSpacing(12)
        side.addLayout(words, 2)
        side.addWidget(self.kernel, 3)
        # What to do next lies over the empty maps: taking its place in the layout would lay the panel out anew with
        # the first move of the pen, which is when it must be quick.
        self._stage.removeWidget(self._empty)
        self._stage.addWidget(self.maps, 1)
        self._stage.addWidget(self._side, 2)
        self._empty.setParent(self.maps)
        self.maps.cover(self._empty)
        self._empty.show()
        self._recolour()

    def _take_newest(self) -> None:
        """Once the answer is on the screen: maps may be many, and the answer must not wait for them."""
        seen, self._newest = self._newest, None
        if seen is not None and seen.layer == self.layer_name:
            self._take(seen)

    def _take(self, seen: Activations) -> None:
        self._maps = np.asarray(seen.maps, np.float32)
        if self._shown_layer != seen.layer:
            self._shown_layer = seen.layer
        self._selected = min(self._selected, len(self._maps) - 1)
        self._show_empty(False)
        self._refresh()

    def _refresh(self) -> None:
        maps = self._maps
        if maps is None or self.maps is None or self._card is None:
            return
        lowest, highest = float(maps.min()), float(maps.max())
        name = self.layer_name
        if lowest < -1e-6:
            self._signed.add(name)
        signed = name in self._signed
        self._reach = max(self._reach, -lowest, highest)
        scale: Scale = self.scale.currentData()
        shown = maps[self._selected : self._selected + 1] if self._enlarged else maps
        if scale == "map" and maps.shape[1:] != (1, 1):
            high = np.abs(shown).max(axis=(1, 2), keepdims=True)
            ends = ("−max" if signed else "0", "max of the map")
            if self._enlarged:
                ends = _ends(float(high.max()), signed=signed)
        else:
            high = self._reach if scale == "global" else max(-lowest, highest)
            ends = _ends(float(high), signed=signed)
        low = -high if signed else 0.0
        self.maps.show_maps(shown, low, high, signed=signed, names=() if self._enlarged else self._names(maps))
        self.maps.select(-1 if self._enlarged else self._selected)
        self.legend.set(self.maps.lut(signed), ends)
        if self._enlarged:
            self._show_one(maps, signed=signed)
        self._show_readout()

    def _names(self, maps: Maps) -> tuple[str, ...]:
        if maps.shape[1:] != (1, 1) or self._card is None or len(maps) > 24:
            return ()
        classes = self._card.classes
        return classes if len(classes) == len(maps) else tuple(str(number) for number in range(len(maps)))

    def _unit_name(self, number: int) -> str:
        assert self._card is not None
        layer = self._card.layers[self._layer]
        if layer.shape[1:] == (1, 1):
            classes = self._card.classes
            named = f" “{classes[number]}”" if len(classes) == layer.shape[0] else ""
            return f"unit {number + 1}{named}"
        return f"map {number + 1}"

    def _show_one(self, maps: Maps, *, signed: bool) -> None:
        assert self._card is not None and self.kernel is not None
        layer = self._card.layers[self._layer]
        one = maps[self._selected]
        self._title.setText(f"{layer.title} · {self._unit_name(self._selected)} of {len(maps)}")
        lines = [what_it_does(layer)]
        if one.size > 1:
            lines.append(f"From {number_text(one.min())} to {number_text(one.max())}, mean {number_text(one.mean())}")
        else:
            lines.append(f"Its value: {float(one[0, 0]):.3f}")
        weights = self._kernels.get(layer.name)
        if weights is not None and self._selected < len(weights):
            own = self._shaped(weights[self._selected])
            reach = float(np.abs(own).max()) or 1.0
            self.kernel.show()
            self.kernel.show_maps(own, -reach, reach, signed=True)
            lines.append(_kernel_words(own, reach))
        else:
            self.kernel.hide()
        self._facts.setText("\n".join(lines))

    def _shaped(self, weights: Maps) -> Maps:
        """The weights (in, h, w) of one unit; those of a unit that looks at maps take the maps' shape."""
        assert self._card is not None
        if weights.shape[1:] == (1, 1):
            for layer in reversed(self._card.layers[: self._layer]):
                if layer.shape[1] > 1 and math.prod(layer.shape) == len(weights):
                    return weights.reshape(layer.shape)
                if math.prod(layer.shape) == len(weights):
                    break
        return weights

    def _ask_kernels(self) -> None:
        if self._card is not None:
            layer = self._card.layers[self._layer]
            if layer.weights and layer.name not in self._kernels:
                self.kernels_wanted.emit(self._card, layer.name)

    def _columns(self) -> int:
        return self.maps.tiles.columns if self.maps is not None and self.maps.tiles is not None else 1

    def _clicked(self, number: int) -> None:
        self.setFocus()
        if self._enlarged:
            self.enlarge(False)
        else:
            self.enlarge(True, number)

    def _hovered(self, found: tuple[int, int, int] | None, *, kernel: bool) -> None:
        self._hover, self._hover_kernel = found, kernel
        self._show_readout()

    def _show_readout(self) -> None:
        if self._maps is None or self._card is None:
            return
        if self._hover is None:
            help_text = "Esc: all maps · arrows: other maps" if self._enlarged else "Click one to enlarge it"
            self._readout.setText(help_text)
            return
        number, row, column = self._hover
        if self._hover_kernel:
            weights = self._kernels.get(self.layer_name)
            if weights is not None and self._selected < len(weights):
                own = self._shaped(weights[self._selected])
                if number < len(own) and row < own.shape[1] and column < own.shape[2]:
                    where = f"input {number + 1}, row {row + 1}, column {column + 1}"
                    self._readout.setText(f"weight for {where}: {own[number, row, column]:.4f}")
            return
        number = self._selected if self._enlarged else number
        if number >= len(self._maps) or row >= self._maps.shape[1] or column >= self._maps.shape[2]:
            return
        value = f"{self._maps[number, row, column]:.3f}"
        where = "" if self._maps.shape[1:] == (1, 1) else f", row {row + 1}, column {column + 1}"
        self._readout.setText(f"{self._unit_name(number)}{where}: {value}")

    def _say_empty(self) -> None:
        if self._card is None:
            text = "The layers of the network appear here as soon as it is ready."
        elif self._place == "nothing":
            text = "Choose something to look at, and the feature maps of the chosen layer appear here."
        elif self._place == "picture":
            text = "As soon as something is read in the picture, the feature maps of the chosen layer appear here."
        else:
            text = "Draw a digit, and the feature maps of the chosen layer appear here while you draw."
        self._empty.setText(text)

    def _show_empty(self, empty: bool) -> None:
        if self._empty.isVisibleTo(self) != empty:
            self._empty.setVisible(empty)
            self._side.setVisible(self._enlarged and not empty)

    def _recolour(self) -> None:
        if self.maps is not None and self.kernel is not None:
            self.maps.recolour()
            self.kernel.recolour()
            self.back.setIcon(theme.icon("back"))
        self._earlier.setIcon(theme.icon("left"))
        self._later.setIcon(theme.icon("right"))
        self.update()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        QTimer.singleShot(0, self, self.watch_changed.emit)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._enable_arrows()
        self.legend.setVisible(self.width() > 620)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.watch_changed.emit()


def shape_text(shape: tuple[int, int, int]) -> str:
    """26 × 26 × 32: height, width, number of maps; or how many units."""
    count, height, width = shape
    return f"{count} units" if height == width == 1 else f"{height} × {width} × {count}"


def number_text(value: float) -> str:
    """Two decimals and a real minus sign."""
    return f"{float(value):.2f}".replace("-", "−")


def what_it_does(layer: Layer) -> str:
    """A layer in one plain sentence."""
    title = layer.title.lower()
    for word, sentence in (
        ("relu", "Keeps what is positive, sets the rest to zero."),
        ("gelu", "Keeps what is positive, fades out the rest."),
        ("silu", "Keeps what is positive, fades out the rest."),
        ("pool", "Shrinks each map: keeps what is strongest, or the mean, of each small square."),
        ("softmax", "Turns the last numbers into shares that add up to 100 %."),
        ("norm", "Brings every map to a similar range of values."),
        ("drop", "Switches units off at random, only while training."),
        ("conv", "Slides a small pattern, its kernel, over its input; bright is where it fits."),
        ("fully", "Adds up everything before it, each with a weight of its own."),
        ("fc", "Adds up everything before it, each with a weight of its own."),
        ("linear", "Adds up everything before it, each with a weight of its own."),
    ):
        if word in title:
            return sentence
    return "One stage of the network."


def _kernel_words(own: Maps, reach: float) -> str:
    count, height, width = own.shape
    if height == width == 1:
        return f"Right: its {count} weights; blue negative, red positive, up to {reach:.2f}"
    what = f"its kernel, {height} × {width}" + (f" for each of {count} inputs" if count > 1 else "")
    return f"Right: {what}; blue negative, red positive, up to {reach:.2f}"


def _ends(high: float, *, signed: bool) -> tuple[str, str]:
    text = f"{high:.3g}"
    return (f"−{text}" if signed else "0"), text
