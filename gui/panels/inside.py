"""A look inside the running network: its layers in order, the maps of one of them, one map with its kernel.

`Result.activations` enter; `watch_changed()` says which layer is wanted, which is none while nobody looks. The maps
themselves are drawn by `gui.tiles`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QFontMetricsF,
    QHideEvent,
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
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.theme import scaled_font, set_role, theme
from gui.tiles import Legend, Maps, MapView

if TYPE_CHECKING:
    from engine import Activations, Layer, ModelCard, ModelState, Result

Scale: TypeAlias = Literal["map", "layer", "global"]
SCALES: tuple[tuple[Scale, str, str], ...] = (
    ("map", "Each map", "Every map uses all colours: shows weak maps too"),
    ("layer", "Whole layer", "All maps of a layer share one scale: shows which are strong"),
    ("global", "All layers", "One scale for everything looked at so far: shows how strength grows and fades"),
)


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
        ("sigmoid", "Turns each of the last numbers into a share of its own: how likely that class is there."),
        ("norm", "Brings every map to a similar range of values."),
        ("drop", "Switches units off at random, only while training."),
        ("conv", "Strong is where its kernel fits the input."),
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
        return f"Right: its {count} weights, red positive, up to {reach:.2f}"
    what = f"its kernel, {height} × {width}" + (f" for each of {count} inputs" if count > 1 else "")
    return f"Right: {what}, red positive, up to {reach:.2f}"


def _ends(high: float, *, signed: bool) -> tuple[str, str]:
    text = f"{high:.3g}"
    return (f"−{text}" if signed else "0"), text
