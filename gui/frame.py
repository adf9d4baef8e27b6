"""The frame of the window: heads of docks, the list of networks at the top right, the list of keys under F1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence, QPainter, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDockWidget,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine import data_folder
from gui.theme import begin_row, scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import ModelCard


class Dock(QDockWidget):
    """A dock that says when a person closes it. Signals: `closed_by_hand()`."""

    closed_by_hand = Signal()

    def closeEvent(self, event: QCloseEvent) -> None:
        super().closeEvent(event)
        self.closed_by_hand.emit()


class Later(QWidget):
    """Room for a widget that is made a moment after it is first to be seen. Signals: `made(QWidget)`."""

    made = Signal(object)

    def __init__(self, make: Callable[[], QWidget], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make = make
        self.widget: QWidget | None = None
        self._room = QVBoxLayout(self)
        self._room.setContentsMargins(0, 0, 0, 0)

    def make(self) -> QWidget:
        """What it is room for."""
        if self.widget is None:
            self.widget = self._make()
            self._room.addWidget(self.widget)
            self.setFocusProxy(self.widget)
            self.made.emit(self.widget)
        return self.widget

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.widget is None:  # the window shows first
            QTimer.singleShot(0, self, self.make)


class DockTitle(QWidget):
    """The head of a dock: its name, and buttons to tear it off and to hide it. Drag it to move the dock."""

    def __init__(self, dock: QDockWidget) -> None:
        super().__init__(dock)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        set_role(self, sheet="true")
        title = QLabel(dock.windowTitle())
        set_role(title, role="title")
        self.float_button = self._button(f"Tear “{dock.windowTitle()}” off, or put it back")
        self.float_button.clicked.connect(lambda: dock.setFloating(not dock.isFloating()))
        self.close_button = self._button(f"Hide “{dock.windowTitle()}” (View brings it back)")
        self.close_button.clicked.connect(dock.close)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 6, 8, 2)
        layout.setSpacing(4)
        layout.addWidget(title, 1)
        layout.addWidget(self.float_button)
        layout.addWidget(self.close_button)
        self.recolour()

    def recolour(self) -> None:
        self.float_button.setIcon(theme.icon("float"))
        self.close_button.setIcon(theme.icon("close"))

    @staticmethod
    def _button(tip: str) -> QToolButton:
        button = QToolButton()
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setIconSize(QSize(16, 16))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        set_role(button, small="true")
        return button


class ChoiceDelegate(QStyledItemDelegate):
    """A network in the list: its title, and a line about it."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        painter.save()
        text = begin_row(painter, option).adjusted(8, 4, -8, -4)
        for row, (role, colour) in enumerate(
            ((Qt.ItemDataRole.DisplayRole, "text"), (Qt.ItemDataRole.ToolTipRole, "dim"))
        ):
            painter.setPen(theme.colour(colour))
            painter.setFont(scaled_font(option.widget, 1.0, bold=row == 0))
            half = QRectF(text.x(), text.y() + row * text.height() / 2, text.width(), text.height() / 2)
            line = painter.fontMetrics().elidedText(
                str(index.data(role)), Qt.TextElideMode.ElideRight, int(half.width())
            )
            painter.drawText(half, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, line)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(240, 2 * option.fontMetrics.height() + 14)


class NetworkChoice(QComboBox):
    """The zoo as a list; says when it is about to be opened. Signals: `opening()`, `picked(str)`."""

    opening = Signal()
    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumWidth(260)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMaxVisibleItems(12)
        self.setItemDelegate(ChoiceDelegate(self))
        self.setAccessibleName("Running network")
        self.setToolTip("The network that reads (Ctrl+M)")
        self.activated.connect(lambda row: self.picked.emit(self.itemData(row)))

    def fill(self, cards: list[ModelCard], current: str) -> None:
        """List these networks; the current one stays chosen."""
        wanted = [(card.title, card.name, describe(card)) for card in cards]
        shown = [
            (self.itemText(i), self.itemData(i), self.itemData(i, Qt.ItemDataRole.ToolTipRole))
            for i in range(self.count())
        ]
        if wanted != shown:
            self.blockSignals(True)
            self.clear()
            for row, (title, name, tip) in enumerate(wanted):
                self.addItem(title, name)
                self.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
            self.blockSignals(False)
        self.show_current(current)

    def show_current(self, name: str) -> None:
        self.setCurrentIndex(self.findData(name))

    def showPopup(self) -> None:
        self.opening.emit()
        super().showPopup()


class ShortcutList(QDialog):
    """What F1 shows."""

    def __init__(self, sections: list[tuple[str, list[QAction]]], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        content = QWidget()
        columns = QHBoxLayout(content)
        columns.setContentsMargins(0, 0, 12, 0)
        columns.setSpacing(48)
        shown = [(title, [a for a in actions if not a.shortcut().isEmpty()]) for title, actions in sections]
        shown = [(title, actions) for title, actions in shown if actions]
        total = sum(len(actions) + 2 for _, actions in shown)
        filled = 0
        grid = self._column(columns)
        for title, actions in shown:
            if columns.count() == 1 and filled + len(actions) / 2 > total / 2:
                grid = self._column(columns)
            filled += len(actions) + 2
            row = grid.rowCount()
            heading = QLabel(title)
            heading.setFont(scaled_font(heading, 1.1, bold=True))
            if row > 1:
                grid.setRowMinimumHeight(row, 12)
                row += 1
            grid.addWidget(heading, row, 0, 1, 2)
            for number, action in enumerate(actions, row + 1):
                keys = QLabel(
                    " or ".join(key.toString(QKeySequence.SequenceFormat.NativeText) for key in action.shortcuts())
                )
                set_role(keys, role="dim")
                grid.addWidget(QLabel(action.text().replace("&", "").rstrip("…")), number, 0)
                grid.addWidget(keys, number, 1, Qt.AlignmentFlag.AlignRight)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(content)
        close = QPushButton("Close")
        close.clicked.connect(self.accept)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 16, 16, 12)
        layout.setSpacing(12)
        layout.addWidget(scroll)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        hint = content.sizeHint()
        room = parent.screen().availableGeometry()
        self.resize(min(hint.width() + 64, room.width() - 80), min(hint.height() + 96, room.height() - 80))

    @staticmethod
    def _column(columns: QHBoxLayout) -> QGridLayout:
        column = QVBoxLayout()
        grid = QGridLayout()
        grid.setHorizontalSpacing(32)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(0, 1)
        column.addLayout(grid)
        column.addStretch(1)
        columns.addLayout(column, 1)
        return grid


def run_folder(card: ModelCard) -> Path | None:
    """The folder of the run that a network was trained in here; only such a network can be deleted."""
    if card.origin != "trained" or card.weights is None or card.weights.parent.parent != data_folder() / "runs":
        return None
    return card.weights.parent


def describe(card: ModelCard) -> str:
    """A line about a network: what it is for, and where it comes from."""
    origin = {
        "bundled": "built in",
        "trained": "trained here",
        "downloaded": "downloaded",
        "imported": "imported from a file",
    }
    kinds = len(card.offered or card.classes)
    if card.task == "faces":
        purpose = "tells people apart"
    elif card.task == "detection":
        purpose = "finds faces" if card.classes == ("face",) else f"finds {kinds} kinds of things"
    elif card.preprocess.digits:
        purpose = "reads digits"
    else:
        purpose = f"knows {kinds} classes"
    return f"{purpose} · {origin.get(card.origin, 'not trained')}"
