"""Counting: the zones and lines of what plays in Live, their numbers over time, and what has happened.

All of it is `Counting`'s; here it is shown and asked for. What changes with every frame is shown four times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QColor, QHideEvent, QIcon, QKeySequence, QPainter, QPixmap, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QTableView,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from engine import Event, Line, Place, Zone
from gui.count_chart import CountChart, time_words
from gui.counting import ARROWS, READY, Counting, alarm_words, class_words
from gui.files import ask_where_to_write_table
from gui.forms import ChoiceBox
from gui.place_tool import PlaceTool
from gui.settings import Settings
from gui.theme import set_role, theme

if TYPE_CHECKING:
    from gui.sight import Sight

OFTEN = 250  # milliseconds between two looks at the numbers
_SIDES = {"Left": (-0.01, 0.0), "Right": (0.01, 0.0), "Up": (0.0, -0.01), "Down": (0.0, 0.01)}  # shares of the picture
SEARCHED = 12  # a list of more classes than this can be searched
EMPTY = (
    "Nothing is counted yet. Press Zone and click the corners around a shelf, a table or a queue in the picture, or "
    "Line and the two ends of a threshold. Ready-made ones need no mouse."
)
NO_LIVE = "Counting is for Live (Ctrl+2): open a camera, a video or a picture there."
NO_NETWORK = "No detector runs: choose one at the top right."
NOTHING_YET = "Nothing has happened yet: what crosses a line, and alarms that begin and end, are listed here."


class CountingPanel(QWidget):
    """The list of places, the chart, the log.

    Signals:
        said(str): a word about what has just been done.
    """

    said = Signal(str)

    def __init__(
        self,
        counting: Counting,
        tool: PlaceTool,
        sight: Sight,
        settings: Settings,
        *,
        call: Callable[[Callable[[], Any], Callable[[Any], None]], None],
        parent: QWidget | None = None,
    ) -> None:
        """`call`: runs something in a thread and gives what it returns to its second argument here."""
        super().__init__(parent)
        self._counting, self._tool, self._sight, self._settings = counting, tool, sight, settings
        self._call = call
        self._filling = False
        self.dialog: PlaceDialog | None = None
        grid = QGridLayout(self)
        grid.setContentsMargins(16, 2, 16, 10)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(6)
        grid.addLayout(self._build_tools(), 0, 0)
        grid.addWidget(self._build_list(), 1, 0)
        grid.addLayout(self._build_list_foot(), 2, 0)
        self.chart = CountChart(counting.colour)
        grid.addWidget(self.chart, 0, 1, 3, 1)
        grid.addLayout(self._build_alarm(), 0, 2)
        grid.addWidget(self._build_log(), 1, 2)
        grid.addLayout(self._build_log_foot(), 2, 2)
        grid.setRowStretch(1, 1)
        for column, share in enumerate((8, 7, 10)):
            grid.setColumnStretch(column, share)
        self._often = QTimer(self)
        self._often.setInterval(OFTEN)
        self._often.timeout.connect(self._show_numbers)
        counting.changed.connect(self._fill)
        counting.counted.connect(self._show_alarms)
        tool.changed.connect(self._show_tool)
        theme.changed.connect(self._recolour)
        self.setFocusProxy(self.zone_button)
        self._fill()

    def _build_tools(self) -> QHBoxLayout:
        self.zone_button, self.line_button = QToolButton(), QToolButton()
        for button, title, kind, tip in (
            (
                self.zone_button,
                "Zone",
                "zone",
                "Click the corners of a zone in the picture; what is in it is counted (Z)",
            ),
            (
                self.line_button,
                "Line",
                "line",
                "Click the two ends of a line; what crosses it is counted by direction (X)",
            ),
        ):
            button.setText(title)
            button.setToolTip(tip)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            set_role(button, chip="true")
            button.setCheckable(True)
            button.clicked.connect(lambda on, kind=kind: self._tool.begin(kind) if on else self._tool.cancel())
        self.ready_button = QToolButton()
        self.ready_button.setText("Ready-made")
        self.ready_button.setToolTip("Zones and lines that need no mouse")
        self.ready_button.setAccessibleName("Ready-made zones and lines")
        self.ready_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.ready_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        menu = QMenu(self.ready_button)
        for key, (title, _) in READY.items():
            menu.addAction(title).triggered.connect(lambda _=False, key=key: self.add_ready(key))
        self.ready_button.setMenu(menu)
        self.on = QCheckBox("Count")
        self.on.setToolTip("Count, and draw the zones and lines over the picture")
        self.on.clicked.connect(self._counting.set_on)
        row = QHBoxLayout()
        row.setSpacing(8)
        for widget in (self.zone_button, self.line_button, self.ready_button):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(self.on)
        return row

    def _build_list(self) -> QWidget:
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Name", "Counts", "Alarm", "Now"])
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setAccessibleName("Zones and lines")
        self.list.setMinimumWidth(250)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionsMovable(False)
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.currentItemChanged.connect(lambda item, _: self._choose(item))
        self.list.itemActivated.connect(lambda *_: self.edit())
        self.keys: list[QAction] = []
        keys: list[tuple[str, str, Callable[[], None]]] = [("Edit", "F2", self.edit), ("Remove", "Del", self.remove)]
        for side, by in _SIDES.items():
            keys.append((f"Move {side.lower()}", f"Ctrl+{side}", partial(self._nudge, *by)))
        for title, key, slot in keys:
            action = QAction(title, self.list)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(lambda _=False, slot=slot: slot())
            self.list.addAction(action)
            self.keys.append(action)
        undo = QAction("Undo", self)
        undo.setShortcut(QKeySequence.StandardKey.Undo)
        undo.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        undo.triggered.connect(lambda _=False: self.undo())
        self._tool.hear(undo)
        self.addAction(undo)
        self.keys.append(undo)
        self._nothing = _remark(self.list, EMPTY)
        return self.list

    def _build_list_foot(self) -> QHBoxLayout:
        self.edit_button, self.remove_button = QPushButton("Edit…"), QPushButton("Remove")
        self.undo_button = QPushButton("Undo")
        self.undo_button.setToolTip("The zones and lines as they were one step before (Ctrl+Z)")
        self.undo_button.clicked.connect(self.undo)
        self.edit_button.setToolTip("Name, what is counted, and when there is an alarm (Enter)")
        self.remove_button.setToolTip("Remove the chosen zone or line (Del)")
        self.edit_button.clicked.connect(self.edit)
        self.remove_button.clicked.connect(self.remove)
        self._why = QLabel()
        self._why.setWordWrap(True)
        set_role(self._why, role="dim")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.edit_button)
        row.addWidget(self.remove_button)
        row.addWidget(self.undo_button)
        row.addWidget(self._why, 1)
        return row

    def _build_alarm(self) -> QHBoxLayout:
        self.notice, self.sound = QCheckBox("Notice"), QCheckBox("Sound")
        self.notice.setToolTip("Say so in the window when an alarm begins; the zone is red in any case")
        self.sound.setToolTip("The computer's own signal when an alarm begins, where it is switched on")
        self.notice.setChecked(self._counting.notice)
        self.sound.setChecked(self._counting.sound)
        self.notice.toggled.connect(lambda on: self._counting.set_telling(notice=on))
        self.sound.toggled.connect(lambda on: self._counting.set_telling(sound=on))
        label = QLabel("At an alarm")
        set_role(label, role="dim")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(label)
        row.addWidget(self.notice)
        row.addWidget(self.sound)
        row.addStretch(1)
        return row

    def _build_log(self) -> QWidget:
        self.model = LogModel(self)
        self.log = QTableView()
        self.log.setModel(self.model)
        self.log.setAccessibleName("What has happened, the newest first")
        self.log.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.log.setShowGrid(False)
        self.log.setTabKeyNavigation(False)
        self.log.verticalHeader().hide()
        self.log.verticalHeader().setDefaultSectionSize(self.log.fontMetrics().height() + 8)
        header = self.log.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(0, self.log.fontMetrics().horizontalAdvance("00:00:00 · 0:00:00") + 16)
        self.log.setMinimumWidth(250)
        self._quiet = _remark(self.log, NOTHING_YET)
        return self.log

    def _build_log_foot(self) -> QHBoxLayout:
        self.again_button = QPushButton("Start again")
        self.again_button.setToolTip("All numbers from nothing, an empty chart and an empty log; the zones stay")
        self.again_button.clicked.connect(self._ask_start_again)
        self.write_button = QPushButton("Write as CSV…")
        self.write_button.setToolTip("A table for a spreadsheet: what has happened, or the numbers over time")
        menu = QMenu(self.write_button)
        menu.addAction("What has &happened…").triggered.connect(lambda _=False: self._ask_to_write("log"))
        menu.addAction("The &numbers over time…").triggered.connect(lambda _=False: self._ask_to_write("numbers"))
        self.write_button.setMenu(menu)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        row.addWidget(self.again_button)
        row.addWidget(self.write_button)
        return row

    # what one may ask of it -----------------------------------------------------------------------------------------

    def add_ready(self, key: str) -> None:
        """One of the places that need no mouse."""
        title, points = READY[key]
        if not self._counting.add(points, title):
            self.said.emit("There are too many zones and lines already")
        else:
            self.list.setFocus()

    def edit(self) -> None:
        """Ask for the name, the classes and the alarm of the chosen place."""
        place = self._counting.place(self._counting.chosen)
        if place is None or self.dialog is not None:
            return
        card = self._sight.card
        self.dialog = PlaceDialog(place, card.classes if card is not None else (), self)
        self.dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        name = place.name
        self.dialog.taken = lambda other: other != name and self._counting.place(other) is not None
        self.dialog.accepted.connect(lambda: self._edited(name))
        self.dialog.finished.connect(self._end_dialog)
        self.dialog.open()

    def remove(self) -> None:
        """Remove the chosen place."""
        name = self._counting.chosen
        if name:
            self._counting.remove(name)
            self.said.emit(f"“{name}” is not counted any more (Ctrl+Z brings it back)")

    def undo(self) -> None:
        """The places as they were one step before."""
        self._counting.undo()

    def write(self, what: str, path: Path) -> None:
        """Write what has happened ("log") or the "numbers" over time, which takes a while where there are many."""
        log, values = self._counting.log, self._counting.values

        def work() -> None:
            from engine import write_log, write_values

            if what == "log":
                write_log(path, log)
            else:
                write_values(path, values)

        self._call(work, lambda _: self.said.emit(f"Saved as {path}"))

    # inside ---------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Places, what is chosen, and what can be done."""
        counting = self._counting
        self._filling = True
        self.on.setChecked(counting.on)
        self.list.clear()
        for place in counting.places:
            row = QTreeWidgetItem(
                [
                    place.name,
                    class_words(place),
                    alarm_words(place) if isinstance(place, Zone) else "",
                    counting.numbers(place),
                ]
            )
            row.setIcon(0, _swatch(counting.colour(place.name), self.devicePixelRatioF()))
            row.setTextAlignment(3, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            row.setToolTip(
                0,
                "Enter or a double click: name, classes, alarm. Drag its corners or its edge in the picture, "
                "or move it with Ctrl and the arrow keys.",
            )
            row.setToolTip(1, class_words(place))
            self.list.addTopLevelItem(row)
            if place.name == counting.chosen:
                self.list.setCurrentItem(row)
        self._filling = False
        there = bool(counting.places)
        for button in (self.edit_button, self.remove_button):
            button.setEnabled(there)
        self.undo_button.setEnabled(counting.can_undo)
        self._nothing.setVisible(not there)
        self._show_why()
        self._show_numbers()

    def _show_why(self) -> None:
        """Why nothing is counted, if that is so."""
        live, card = self._counting.active, self._sight.card
        why = "" if live and card is not None else NO_NETWORK if live else NO_LIVE
        self._nothing.setText(EMPTY if live else NO_LIVE)
        self._why.setText(why if self._counting.places else "")

    def _show_numbers(self) -> None:
        """What changes all the time."""
        self._show_alarms()
        if not self.isVisible():
            return
        self.model.show_log(self._counting.log)
        self._quiet.setVisible(not self.model.rowCount())
        for button in (self.again_button, self.write_button):
            button.setEnabled(bool(self.model.rowCount()))
        self.chart.show_values(self._counting.values)
        self._show_why()

    def _show_alarms(self) -> None:
        """The numbers of the list, which are few: an alarm is to be seen at once."""
        if not self.isVisible():
            return
        for index, place in enumerate(self._counting.places):
            row = self.list.topLevelItem(index)
            numbers = self._counting.numbers(place)
            if row is not None and row.text(3) != numbers:
                row.setText(3, numbers)
            alarm = self._counting.alarmed(place.name)
            if row is not None and row.data(3, Qt.ItemDataRole.UserRole) != alarm:
                row.setData(3, Qt.ItemDataRole.UserRole, alarm)
                for column in range(4):
                    row.setForeground(column, theme.colour("danger" if alarm else "text"))

    def _show_tool(self) -> None:
        self.zone_button.setChecked(self._tool.drawing == "zone")
        self.line_button.setChecked(self._tool.drawing == "line")

    def _choose(self, row: QTreeWidgetItem | None) -> None:
        if row is not None and not self._filling:
            self._counting.changed.disconnect(self._fill)  # the list itself stays as it is
            self._counting.choose(row.text(0))
            self._counting.changed.connect(self._fill)

    def _nudge(self, right: float, down: float) -> None:
        self._counting.move(self._counting.chosen, right, down)

    def _edited(self, name: str) -> None:
        dialog = self.dialog
        if dialog is not None and not self._counting.replace(name, dialog.place):
            self.said.emit("There is another zone or line of that name")

    def _end_dialog(self) -> None:
        self.dialog = None

    def _ask_start_again(self) -> None:
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Start again?")
        box.setText("Begin to count from nothing?")
        box.setInformativeText(
            "The numbers, the chart and the log of this source are emptied, also what the log holds of earlier days. "
            "The zones and lines stay."
        )
        yes = box.addButton("Start again", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton("Go on", QMessageBox.ButtonRole.RejectRole))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        yes.clicked.connect(self._counting.start_again)
        box.open()

    def _ask_to_write(self, what: str) -> None:
        title = "Write what has happened" if what == "log" else "Write the numbers over time"
        name = "counting log.csv" if what == "log" else "counting numbers.csv"
        path = ask_where_to_write_table(self, self._settings, title=title, name=name)
        if path is not None:
            self.write(what, path)

    def _recolour(self) -> None:
        self._fill()

    # Qt -------------------------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._tool.show_handles(True)
        self._often.start()
        self._fill()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if not event.spontaneous():
            self._tool.show_handles(False)
        self._often.stop()


class LogModel(QAbstractTableModel):
    """What has happened, the newest first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._events: Sequence[Event] = ()

    def show_log(self, log: Sequence[Event]) -> None:
        """This log, which has only grown, most often."""
        if len(log) == len(self._events) and (not log or log[-1] is self._events[-1]):
            return
        grown = len(log) - len(self._events)
        if grown > 0 and self._events and log[len(self._events) - 1] is self._events[-1]:
            self.beginInsertRows(QModelIndex(), 0, grown - 1)
            self._events = log
            self.endInsertRows()
        else:
            self.beginResetModel()
            self._events = log
            self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._events)

    def columnCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 2

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return ("When", "What has happened")[section]
        return None

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        event = self._events[len(self._events) - 1 - index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            if index.column():
                return event_words(event)
            moment = datetime.fromtimestamp(event.time)
            if moment.date() != datetime.now().date():
                return f"{moment:%Y-%m-%d %H:%M:%S}"
            exactly = role == Qt.ItemDataRole.ToolTipRole
            return f"{moment:%H:%M:%S} · {time_words(event.clock, tenths=exactly)}"
        if role == Qt.ItemDataRole.ForegroundRole:
            return theme.colour({"alarm": "danger", "began": "dim"}.get(event.kind, "text"))
        return None


class PlaceDialog(QDialog):
    """Name, classes, point and alarm of one place.

    Attributes:
        taken: whether a name is another place's.
    """

    def __init__(self, place: Place, classes: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._place = place
        self.taken: Callable[[str], bool] = lambda _: False
        zone = place if isinstance(place, Zone) else None
        self.setWindowTitle("Zone" if zone is not None else "Line")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.setHorizontalSpacing(12)
        form.setVerticalSpacing(8)
        self.name = QLineEdit(place.name)
        self.name.setMaxLength(60)
        self.name.setAccessibleName("Name")
        self.name.selectAll()
        form.addRow("Name", self.name)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search the classes")
        self.search.setAccessibleName("Search the classes")
        self.classes = QListWidget()
        self.classes.setAccessibleName("What is counted; nothing ticked: everything")
        self.classes.setMaximumHeight(150)
        names = (*classes, *sorted(place.classes - set(classes)))
        for name in names:
            item = QListWidgetItem(name, self.classes)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if name in place.classes else Qt.CheckState.Unchecked)
        self.search.textChanged.connect(self._search)
        self.search.setVisible(len(names) > SEARCHED)
        what = QVBoxLayout()
        what.setSpacing(4)
        what.addWidget(self.search)
        what.addWidget(self.classes)
        remark = QLabel("Nothing ticked: everything that is shown is counted.")
        set_role(remark, role="dim")
        what.addWidget(remark)
        form.addRow("Counts", what)
        self.spot = ChoiceBox()
        self.spot.setMinimumContentsLength(26)
        self.spot.setAccessibleName("Which point of a box counts")
        self.spot.setToolTip("Bottles on a shelf: the middle. People on a floor that is seen from above: the foot.")
        for title, value in (("by the middle of its box", "middle"), ("by its foot: the lower edge", "foot")):
            self.spot.addItem(title, value)
        self.spot.setCurrentIndex(self.spot.findData(place.spot))
        form.addRow("Where it is", self.spot)
        self.below_on, self.below = self._limit("fewer than", zone.below if zone else None, low=1, usual=1)
        self.above_on, self.above = self._limit("more than", zone.above if zone else None, low=0, usual=5)
        self.seconds = QDoubleSpinBox()
        self.seconds.setRange(0, 3600)
        self.seconds.setDecimals(1)
        self.seconds.setValue(zone.seconds if zone else 2.0)
        self.seconds.setSuffix(" s")
        self.seconds.lineEdit().setTextMargins(6, 0, 0, 0)
        self.seconds.setAccessibleName("For at least so many seconds")
        if zone is not None:
            for title, box, spin in (("Alarm", self.below_on, self.below), ("", self.above_on, self.above)):
                row = QHBoxLayout()
                row.setSpacing(8)
                row.addWidget(box)
                row.addWidget(spin)
                row.addStretch(1)
                form.addRow(title, row)
            form.addRow("… for at least", self.seconds)
        self._wrong = QLabel()
        self._wrong.setWordWrap(True)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel, parent=self
        )
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addLayout(form)
        layout.addWidget(self._wrong)
        layout.addWidget(self.buttons)
        self.setMinimumWidth(400)

    @property
    def place(self) -> Place:
        """As it is set here. Raises ValueError where that makes no sense."""
        items = (self.classes.item(row) for row in range(self.classes.count()))
        classes = frozenset(item.text() for item in items if item.checkState() == Qt.CheckState.Checked)
        name, spot = self.name.text().strip(), self.spot.currentData()
        if isinstance(self._place, Line):
            return replace(self._place, name=name, classes=classes, spot=spot)
        below = self.below.value() if self.below_on.isChecked() else None
        above = self.above.value() if self.above_on.isChecked() else None
        return replace(
            self._place,
            name=name,
            classes=classes,
            spot=spot,
            below=below,
            above=above,
            seconds=round(self.seconds.value(), 1),
        )

    def accept(self) -> None:
        """Close it, if what is set makes sense; otherwise say what does not."""
        wrong = ""
        name = self.name.text().strip()
        if not name:
            wrong = "It needs a name."
        elif self.taken(name):
            wrong = "There is another zone or line of that name."
        else:
            try:
                _ = self.place
            except ValueError:
                wrong = "Every number would raise this alarm: let “fewer than” be the smaller one."
        self._wrong.setText(wrong)
        if not wrong:
            super().accept()

    @property
    def wrong(self) -> str:
        """What makes no sense; "": everything does."""
        return self._wrong.text()

    def _limit(self, words: str, value: int | None, *, low: int, usual: int) -> tuple[QCheckBox, QSpinBox]:
        box, spin = QCheckBox(words), QSpinBox()
        box.setAccessibleName(f"Alarm when there are {words}")
        box.setMinimumWidth(box.fontMetrics().horizontalAdvance("fewer than") + 40)
        spin.setRange(low, 999)
        spin.setAccessibleName(f"Alarm when there are {words} this")
        spin.lineEdit().setTextMargins(6, 0, 0, 0)
        spin.setValue(usual if value is None else value)
        spin.setEnabled(value is not None)
        box.setChecked(value is not None)
        box.toggled.connect(spin.setEnabled)
        return box, spin

    def _search(self, text: str) -> None:
        for row in range(self.classes.count()):
            item = self.classes.item(row)
            item.setHidden(text.strip().casefold() not in item.text().casefold())


def event_words(event: Event) -> str:
    """What has happened, in a line."""
    if event.kind == "crossed":
        return f"{event.place}: {event.label} {ARROWS[event.direction]} {event.number}"
    if event.kind == "alarm":
        return f"Alarm, {event.number} in {event.place}"
    if event.kind == "over":
        return f"Alarm over, {event.number} in {event.place}"
    if event.kind == "total":
        return f"{event.place}: {ARROWS[event.direction]} {event.number} in this pass"
    return f"Begins: {event.place}"


def _swatch(colour: str, ratio: float) -> QIcon:
    picture = QPixmap(round(14 * ratio), round(14 * ratio))
    picture.fill(Qt.GlobalColor.transparent)
    picture.setDevicePixelRatio(ratio)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawRoundedRect(1, 1, 12, 12, 3, 3)
    painter.end()
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # the colour is data
    return icon


def _remark(view: QAbstractItemView, text: str) -> QLabel:
    """What a list says while it is empty."""
    remark = QLabel(text)
    remark.setWordWrap(True)
    remark.setAlignment(Qt.AlignmentFlag.AlignCenter)
    set_role(remark, role="dim")
    room = QVBoxLayout(view.viewport())
    room.setContentsMargins(12, 4, 12, 4)
    room.addWidget(remark)
    return remark
