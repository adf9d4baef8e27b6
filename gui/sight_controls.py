"""What is shown of what a detector finds: the least score, and the classes."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QSize,
    QSortFilterProxyModel,
    Qt,
    QTimer,
)
from PySide6.QtGui import QColor, QHideEvent, QKeyEvent, QPainter, QPen, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QPushButton,
    QSlider,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.overlay import ink_on
from gui.sight import Sight
from gui.theme import begin_row, set_role, theme

SEARCHED = 12  # a list of more classes than this can be searched
_COUNT = Qt.ItemDataRole.UserRole
_COLOUR = Qt.ItemDataRole.UserRole + 1
_COUNTED = Qt.ItemDataRole.UserRole + 2


class ClassModel(QAbstractListModel):
    """The classes of the network: name, whether it is shown, colour, and how many are in sight."""

    def __init__(self, sight: Sight, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._sight = sight
        self._names: tuple[str, ...] = ()
        self._found: dict[str, int] = {}
        self.refill()

    def refill(self) -> None:
        """Another network: those that it does well come first."""
        self.beginResetModel()
        card = self._sight.card
        names = card.classes if card is not None else ()
        good = self._sight.good_classes
        self._names = (*(name for name in names if name in good), *(name for name in names if name not in good))
        self._found = {}
        self.endResetModel()

    def look(self) -> None:
        """Count again what is in sight."""
        found = self._sight.found()
        if found != self._found:
            self._found = found
            self._all_changed()

    def tick(self) -> None:
        """Other classes are shown."""
        self._all_changed()

    def _all_changed(self) -> None:
        if self._names:
            self.dataChanged.emit(self.index(0), self.index(len(self._names) - 1))

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        name = self._names[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return name
        if role == Qt.ItemDataRole.CheckStateRole:
            return Qt.CheckState.Checked if name in self._sight.seen else Qt.CheckState.Unchecked
        if role == _COUNT:
            return self._found.get(name, 0)
        if role == _COLOUR:
            return self._sight.colours.get(name, "#999999")
        counted = name in self._sight.counted
        if role == _COUNTED:
            return counted
        if role == Qt.ItemDataRole.ToolTipRole:
            return "A zone or line counts it, so it is shown" if counted else None
        if role == Qt.ItemDataRole.AccessibleTextRole:
            state = "counted, so shown" if counted else "shown" if name in self._sight.seen else "not shown"
            return f"{name}, {state}, {self._found.get(name, 0)} in sight"
        return None

    def setData(
        self, index: QModelIndex | QPersistentModelIndex, value: object, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        name = self._names[index.row()]
        if role != Qt.ItemDataRole.CheckStateRole or name in self._sight.counted:
            return False
        self._sight.show_class(name, value in (Qt.CheckState.Checked, Qt.CheckState.Checked.value))
        return True

    def flags(self, index: QModelIndex | QPersistentModelIndex) -> Qt.ItemFlag:
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable


class ClassDelegate(QStyledItemDelegate):
    """A class in the list: a box in its colour, ticked or not, its name, and how many are in sight."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        painter.save()
        area = begin_row(painter, option)
        on = Qt.CheckState(index.data(Qt.ItemDataRole.CheckStateRole)) == Qt.CheckState.Checked
        colour = QColor(str(index.data(_COLOUR)))
        tick = QRectF(area.left() + 6, area.center().y() - 7, 14, 14)
        painter.setPen(QPen(theme.colour("dim"), 1.2))
        painter.setBrush(colour if on else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(tick, 3, 3)
        if on:
            painter.setPen(QPen(ink_on(colour), 1.8))
            x, y = tick.left(), tick.top()
            painter.drawPolyline([QPoint(round(x + 3), round(y + 7)), QPoint(round(x + 6), round(y + 10))])
            painter.drawPolyline([QPoint(round(x + 6), round(y + 10)), QPoint(round(x + 11), round(y + 4))])
        count = int(index.data(_COUNT))
        painter.setPen(theme.colour("text" if on else "dim"))
        middle = Qt.AlignmentFlag.AlignVCenter
        text = area.adjusted(28, 0, -44, 0)
        name = option.fontMetrics.elidedText(
            str(index.data(Qt.ItemDataRole.DisplayRole)), Qt.TextElideMode.ElideRight, int(text.width())
        )
        painter.drawText(text, Qt.AlignmentFlag.AlignLeft | middle, name)
        if index.data(_COUNTED):
            painter.setPen(theme.colour("dim"))
            beside = text.adjusted(option.fontMetrics.horizontalAdvance(name + "  "), 0, 0, 0)
            painter.drawText(beside, Qt.AlignmentFlag.AlignLeft | middle, "counted")
        if count:
            painter.drawText(area.adjusted(0, 0, -8, 0), Qt.AlignmentFlag.AlignRight | middle, str(count))
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(200, option.fontMetrics.height() + 8)

    def editorEvent(self, event, model, option, index) -> bool:  # type: ignore[no-untyped-def]
        """The whole row is what one clicks to show or hide the class."""
        if event.type() == QEvent.Type.MouseButtonRelease and option.rect.contains(event.position().toPoint()):
            on = Qt.CheckState(index.data(Qt.ItemDataRole.CheckStateRole)) == Qt.CheckState.Checked
            return bool(
                model.setData(
                    index, Qt.CheckState.Unchecked if on else Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole
                )
            )
        return event.type() in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick)


class ClassPicker(QFrame):
    """The list of classes, with a search where there are many; opens below its button."""

    def __init__(self, sight: Sight, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._sight = sight
        self.setObjectName("classes")
        set_role(self, notice=True)
        self.model = ClassModel(sight, self)
        self.rows = QSortFilterProxyModel(self)
        self.rows.setSourceModel(self.model)
        self.rows.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search the classes")
        self.search.setAccessibleName("Search the classes")
        self.search.textChanged.connect(self._search)
        self.search.installEventFilter(self)
        self.list = QListView()
        self.list.setModel(self.rows)
        self.list.setItemDelegate(ClassDelegate(self.list))
        self.list.setUniformItemSizes(True)
        self.list.setMouseTracking(True)
        self.list.setAccessibleName("Classes that are shown")
        self.list.installEventFilter(self)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        self.buttons: dict[str, QPushButton] = {}
        for name, title, tip in (
            ("all", "All", "Show all classes"),
            ("none", "None", "Show no class"),
            ("good", "Those it does well", "Show the classes that this network finds reliably"),
        ):
            button = QPushButton(title)
            button.setToolTip(tip)
            button.setAutoDefault(False)
            button.clicked.connect(lambda _=False, name=name: self.show_these(name))
            self.buttons[name] = button
            buttons.addWidget(button)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self.search)
        layout.addLayout(buttons)
        layout.addWidget(self.list, 1)
        self.nothing = QLabel("No class is called so")
        set_role(self.nothing, role="dim")
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.nothing.hide()
        layout.addWidget(self.nothing, 1)
        self._counting = QTimer(self)  # a number that changes with each frame cannot be read
        self._counting.setInterval(250)
        self._counting.timeout.connect(self.model.look)
        sight.changed.connect(self.model.tick)

    def refill(self) -> None:
        """The classes of another network."""
        self.search.clear()
        self.model.refill()
        card = self._sight.card
        classes = card.classes if card is not None else ()
        self.search.setVisible(len(classes) > SEARCHED)
        self.buttons["good"].setVisible(card is not None and self._sight.good_classes != frozenset(classes))

    def _search(self, text: str) -> None:
        self.rows.setFilterFixedString(text)
        self.list.setVisible(bool(self.rows.rowCount()))
        self.nothing.setVisible(not self.rows.rowCount())

    def show_these(self, which: str) -> None:
        """ "all", "none" or "good"; while something is searched for, "all" and "none" mean what was found."""
        card = self._sight.card
        if card is None:
            return
        found = frozenset(
            str(self.rows.data(self.rows.index(row, 0), Qt.ItemDataRole.DisplayRole))
            for row in range(self.rows.rowCount())
        )
        if which == "good":
            self._sight.show_classes(self._sight.good_classes)
        else:
            self._sight.show_classes(self._sight.visible | found if which == "all" else self._sight.visible - found)

    def open_below(self, button: QWidget) -> None:
        self.search.clear()
        rows = self.model.rowCount()
        row = self.list.sizeHintForRow(0) if rows else 24
        high = min(460, self.sizeHint().height() - self.list.sizeHint().height() + rows * row + 8)
        self.resize(max(300, self.sizeHint().width()), max(160, high))
        place = button.mapToGlobal(QPoint(0, button.height() + 2))
        room = button.screen().availableGeometry()
        place.setX(min(place.x(), room.right() - self.width()))
        if place.y() + self.height() > room.bottom():
            place.setY(max(room.top(), button.mapToGlobal(QPoint(0, 0)).y() - self.height() - 2))
        self.move(place)
        self.model.look()
        self.show()
        (self.search if self.search.isVisible() else self.list).setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        self._counting.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._counting.stop()
        super().hideEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if watched is self.search and event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.list.setFocus()
                if self.rows.rowCount():
                    self.list.setCurrentIndex(self.rows.index(0, 0))
                return True
            if watched is self.list and event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter):
                index = self.list.currentIndex()
                if index.isValid():
                    on = Qt.CheckState(index.data(Qt.ItemDataRole.CheckStateRole)) == Qt.CheckState.Checked
                    state = Qt.CheckState.Unchecked if on else Qt.CheckState.Checked
                    self.rows.setData(index, state, Qt.ItemDataRole.CheckStateRole)
                return True
        return False


class SightControls(QWidget):
    """The row below the tools of Live while a detector runs."""

    def __init__(self, sight: Sight, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sight = sight
        title = QLabel("Score at least")
        set_role(title, role="dim")
        self.score = QSlider(Qt.Orientation.Horizontal)
        self.score.setRange(5, 95)
        self.score.setPageStep(10)
        self.score.setFixedWidth(160)
        self.score.setAccessibleName("Least score of what is shown")
        self.score.setToolTip("What the network is less sure of is not shown ([ and ])")
        title.setBuddy(self.score)
        self._percent = QLabel()
        self._percent.setMinimumWidth(self._percent.fontMetrics().horizontalAdvance("100 %"))
        self.classes = QToolButton()
        self.classes.setToolTip("Which classes are shown (C)")
        self.classes.setAccessibleName("Classes that are shown")
        self.classes.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.classes.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        set_role(self.classes, chip="true")
        self.picker = ClassPicker(sight, self)
        self.classes.clicked.connect(self.pick_classes)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 0, 12, 4)
        layout.setSpacing(8)
        layout.addWidget(title)
        layout.addWidget(self.score)
        layout.addWidget(self._percent)
        layout.addSpacing(8)
        layout.addWidget(self.classes)
        layout.addStretch(1)
        self.score.valueChanged.connect(lambda value: sight.set_min_score(value / 100))
        sight.changed.connect(self._show)
        self.set_network()

    def set_network(self) -> None:
        """Another network runs; there is something to control only if it is a detector."""
        card = self._sight.card
        self.setVisible(card is not None)
        self.classes.setVisible(card is not None and len(card.classes) > 1)
        self.picker.hide()
        self.picker.refill()
        self._show()

    def change_score(self, step: int) -> None:
        """More (5) or less (-5) sure, in percent."""
        if self._sight.card is not None:
            self.score.setValue(self.score.value() + step)

    def pick_classes(self) -> None:
        """Open the list of classes."""
        if self._sight.card is not None and len(self._sight.card.classes) > 1:
            self.picker.open_below(self.classes)

    def _show(self) -> None:
        sight = self._sight
        percent = round(sight.min_score * 100)
        self.score.blockSignals(True)
        self.score.setValue(percent)
        self.score.blockSignals(False)
        self._percent.setText(f"{percent} %")
        every = len(sight.card.classes) if sight.card is not None else 0
        shown = len(sight.seen)
        self.classes.setText("All classes" if shown == every else f"{shown} of {every} classes")
