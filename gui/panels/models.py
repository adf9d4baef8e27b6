"""The zoo: every network with what is known of it, to use it or, if it was trained here, to delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal, SignalInstance
from PySide6.QtGui import QFontDatabase, QPainter, QPen
from PySide6.QtWidgets import (
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from gui.frame import run_folder
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import ModelCard

CARD = Qt.ItemDataRole.UserRole
RUNNING = Qt.ItemDataRole.UserRole + 1
ORIGINS = {
    "bundled": "comes with ConvScope",
    "trained": "trained here",
    "downloaded": "downloaded",
    "random": "not trained",
}


class CardDelegate(QStyledItemDelegate):
    """A network in the list: title, one line about it, a mark if it runs."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        card: ModelCard = index.data(CARD)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(option.rect).adjusted(4.5, 3.5, -4.5, -3.5)
        state = option.state
        chosen = bool(state & QStyle.StateFlag.State_Selected)
        over = bool(state & QStyle.StateFlag.State_MouseOver)
        painter.setPen(QPen(theme.colour("accent" if chosen else "line"), 1))
        painter.setBrush(theme.colour("soft" if chosen else "hover" if over else "base"))
        painter.drawRoundedRect(area, 8, 8)
        widget = option.widget
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        running = bool(index.data(RUNNING))
        room = area.adjusted(12, 8, -12, -8)
        mark = 76.0 if running else 0.0
        painter.setFont(scaled_font(widget, 1.05, bold=True))
        painter.setPen(theme.colour("text"))
        title = painter.fontMetrics().elidedText(card.title, Qt.TextElideMode.ElideMiddle, int(room.width() - mark))
        painter.drawText(QRectF(room.x(), room.y(), room.width(), room.height() / 2), left, title)
        painter.setFont(widget.font())
        if running:
            place = QRectF(room.right() - 66, room.y() - 1, 66, 21)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("accent"))
            painter.drawRoundedRect(place, 10, 10)
            painter.setPen(theme.colour("on_accent"))
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, "running")
        painter.setPen(theme.colour("dim"))
        line = painter.fontMetrics().elidedText(_line(card), Qt.TextElideMode.ElideRight, int(room.width()))
        painter.drawText(QRectF(room.x(), room.center().y() + 1, room.width(), room.height() / 2), left, line)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(260, 68)


class ModelsPanel(QWidget):
    """The stage of Models.

    Signals:
        use(str): run this network.
        delete(str): remove one that was trained here; whoever listens asks first.
        train_wanted(): train one.
    """

    use = Signal(str)
    delete = Signal(str)
    train_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._running = ""
        self.list = QListWidget()
        self.list.setItemDelegate(CardDelegate(self.list))
        self.list.setMouseTracking(True)
        self.list.setAccessibleName("Networks")
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setStyleSheet("QListView { border: 0; background: transparent; }")
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.currentItemChanged.connect(lambda *_: self._show())
        self.list.itemActivated.connect(lambda item: self.use.emit(item.data(CARD).name))
        heading = QLabel("Networks")
        heading.setFont(scaled_font(heading, 1.4, bold=True))
        train = QPushButton("Train a new one")
        train.clicked.connect(self.train_wanted)
        train.setToolTip("Go to Train (Ctrl+3)")
        head = QHBoxLayout()
        head.addWidget(heading, 1)
        head.addWidget(train)
        left = QVBoxLayout()
        left.setSpacing(8)
        left.addLayout(head)
        left.addWidget(self.list, 1)
        self._title = QLabel()
        self._title.setWordWrap(True)
        self._title.setFont(scaled_font(self._title, 1.5, bold=True))
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        set_role(self._notes, role="dim")
        self.use_button = QPushButton("Use this network")
        set_role(self.use_button, primary="true")
        self.use_button.clicked.connect(lambda: self._emit(self.use))
        self.delete_button = QPushButton("Delete…")
        self.delete_button.clicked.connect(lambda: self._emit(self.delete))
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.use_button)
        buttons.addWidget(self.delete_button)
        buttons.addStretch(1)
        self._facts = QFormLayout()
        self._facts.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self._facts.setHorizontalSpacing(24)
        self._facts.setVerticalSpacing(8)
        self._measured, self._about = QLabel("Measured"), QLabel("About it")
        for heading in (self._measured, self._about):
            heading.setFont(scaled_font(heading, 1.1, bold=True))
        self._metrics = QGridLayout()
        self._metrics.setHorizontalSpacing(24)
        self._metrics.setVerticalSpacing(6)
        self.recipe_button = QPushButton("Show the recipe")
        self.recipe_button.setToolTip("The settings that this network was trained with")
        self.recipe_button.setCheckable(True)
        self._recipe = QLabel()
        self._recipe.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._recipe.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._recipe.setAccessibleName("Recipe")
        self._recipe.hide()
        self.recipe_button.toggled.connect(self._recipe.setVisible)
        card = QFrame()
        set_role(card, card=True)
        inner = QVBoxLayout(card)
        inner.setContentsMargins(24, 20, 24, 20)
        inner.setSpacing(12)
        inner.addWidget(self._title)
        inner.addLayout(buttons)
        inner.addSpacing(4)
        inner.addLayout(self._facts)
        inner.addSpacing(8)
        inner.addWidget(self._measured)
        inner.addLayout(self._metrics)
        inner.addSpacing(8)
        inner.addWidget(self._about)
        inner.addWidget(self._notes)
        inner.addSpacing(8)
        inner.addWidget(self.recipe_button, 0, Qt.AlignmentFlag.AlignLeft)
        inner.addWidget(self._recipe)
        inner.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(card)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._scroll = scroll
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 12, 16, 12)
        layout.setSpacing(16)
        layout.addLayout(left, 4)
        layout.addWidget(scroll, 7)
        self.setFocusProxy(self.list)
        self._show()

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def chosen(self) -> ModelCard | None:
        """The network whose details are shown."""
        item = self.list.currentItem()
        card: ModelCard | None = item.data(CARD) if item is not None else None
        return card

    def set_cards(self, cards: list[ModelCard], running: str) -> None:
        """List these networks."""
        self._running = running
        before = self.chosen.name if self.chosen is not None else running
        self.list.blockSignals(True)
        self.list.clear()
        for card in cards:
            item = QListWidgetItem()
            item.setData(CARD, card)
            item.setData(RUNNING, card.name == running)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, card.title)
            self.list.addItem(item)
            if card.name == before:
                self.list.setCurrentItem(item)
        if self.list.currentItem() is None and cards:
            self.list.setCurrentRow(0)
        self.list.blockSignals(False)
        self._show()

    def set_current(self, running: str) -> None:
        """Mark the network that runs."""
        self._running = running
        for row in range(self.list.count()):
            item = self.list.item(row)
            item.setData(RUNNING, item.data(CARD).name == running)
        self._show()

    # inside ---------------------------------------------------------------------------------------------------------

    def _emit(self, signal: SignalInstance) -> None:
        if self.chosen is not None:
            signal.emit(self.chosen.name)

    def _show(self) -> None:
        while self._facts.rowCount():
            self._facts.removeRow(0)
        while (old := self._metrics.takeAt(0)) is not None:
            widget = old.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        card = self.chosen
        self._measured.setVisible(card is not None and bool(card.metrics))
        self._about.setVisible(card is not None and bool(card.notes))
        self.recipe_button.setVisible(card is not None and bool(card.recipe))
        self.recipe_button.setChecked(False)
        self._recipe.setText(card.recipe.strip() if card is not None else "")
        self.use_button.setVisible(card is not None)
        self.delete_button.setVisible(card is not None and run_folder(card) is not None)
        if card is None:
            self._title.setText("No network yet")
            self._notes.setText("Train one: it takes a minute and needs no download.")
            return
        self._title.setText(card.title)
        self._notes.setText(unwrapped(card.notes))
        self._notes.setVisible(bool(card.notes))
        runs = card.name == self._running
        self.use_button.setEnabled(not runs)
        self.use_button.setText("This network is running" if runs else "Use this network")
        for name, value in facts(card):
            title, text = QLabel(name), QLabel(value)
            set_role(title, role="dim")
            text.setWordWrap(True)
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._facts.addRow(title, text)
        half = (len(card.metrics) + 1) // 2 if len(card.metrics) > 4 else len(card.metrics)
        two = half < len(card.metrics)
        for column, stretch in ((0, two), (2, two), (4, not two)):
            self._metrics.setColumnStretch(column, int(stretch))
        for number, (name, share) in enumerate(card.metrics.items()):
            row, column = (number, 0) if number < half else (number - half, 2)
            text, figure = QLabel(name), QLabel(figure_text(name, share))
            text.setWordWrap(True)
            set_role(text, role="dim")
            self._metrics.addWidget(text, row, column, Qt.AlignmentFlag.AlignTop)
            self._metrics.addWidget(figure, row, column + 1, Qt.AlignmentFlag.AlignTop)


def facts(card: ModelCard) -> list[tuple[str, str]]:
    """What is known of a network, as (what, value) in plain words."""
    found: list[tuple[str, str]] = []
    kind = card.preprocess
    if kind.kind == "drawing":
        reads = f"drawings, centred, {kind.size} × {kind.size} pixels"
    else:
        reads = f"{'grey' if kind.channels == 1 else 'colour'} pictures, the middle, {kind.size} × {kind.size} pixels"
    known = [name for name in card.classes if name != card.reject]
    shown = ", ".join(known[:12]) + (f" … ({len(known)} in all)" if len(known) > 12 else "")
    found.append(("Reads", reads))
    found.append(("Classes", shown))
    if card.reject:
        found.append(("Can also say", f"“{card.reject}”"))
    found.append(("Name", card.name))
    found.append(("Architecture", card.architecture))
    if card.parameters:
        found.append(("Size", f"{card.parameters:,} weights".replace(",", " ")))
    found.append(("Origin", ORIGINS.get(card.origin, card.origin)))
    if card.licence:
        found.append(("Licence", card.licence))
    return found


def figure_text(name: str, value: float) -> str:
    """A measured figure: shares as percent, all else as it is."""
    return f"{value * 100:.2f} %" if 0 <= value <= 1 and "loss" not in name.lower() else f"{value:.4g}"


def unwrapped(text: str) -> str:
    """A text whose lines were broken for a file, as paragraphs: a line that ends no sentence goes on in the next."""
    paragraphs: list[str] = []
    for line in text.splitlines():
        goes_on = paragraphs and paragraphs[-1] and paragraphs[-1][-1] not in ".:;!?"
        if goes_on and line.strip():
            paragraphs[-1] += f" {line.strip()}"
        else:
            paragraphs.append(line.strip())
    return "\n".join(paragraphs)


def _line(card: ModelCard) -> str:
    parts = [f"{value * 100:.2f} %" for _, value in list(card.metrics.items())[:1] if 0 <= value <= 1]
    return " · ".join([*parts, f"{len(card.classes)} classes", ORIGINS.get(card.origin, card.origin)])
