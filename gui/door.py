"""The example of an access log: who came, when and how sure that is, with a list of those who may come in.

It is off until a person switches it on, and it is no lock: the page says what it cannot stop. Results enter while the
mode is open; a signal leaves when somebody comes, and hints while it is checked whether somebody is really there. What
is kept lies in the gallery, and all that reads or writes it goes through the errands of `Faces`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gui.faces import Faces
from gui.files import ask_where_to_log
from gui.overlay import share_words
from gui.settings import Settings
from gui.theme import set_role, theme

if TYPE_CHECKING:
    from engine import AccessRules, Gallery, Liveness, LivenessState, ModelCard, Result, Visit

MOST = 200  # visits that are listed
SOUND = "faces/sound"
LOOK_CLOSELY = 5  # frames between two looks for the pattern of a screen, which take a while
SILENCE = 10_000  # milliseconds without a picture after which nobody is there any more
PAUSE = 30_000  # milliseconds before it is tried again to write what could not be written
LONGEST_FILE = 110  # pixels of a file's name
PERSON = Qt.ItemDataRole.UserRole
UNKNOWN = "somebody unknown"
OFF = (
    "The log is off: nothing is kept. Switched on, it notes who comes into the picture and when, while Faces is open: "
    "in the gallery, on this computer alone."
)
EMPTY = "Nobody has come yet. It is noted while Faces is open and a camera or a video plays."
NO_LOCK = "An example, no lock: a photograph may be taken for somebody."
CANNOT = (
    "It asks for two moves of the head and looks for the pattern of a screen. It cannot stop a video or a computed "
    "face that moves as it is asked, a mask, a twin, or whoever controls the camera."
)


class DoorPage(QWidget):
    """The rules, the list of those who may come in, what has happened, and the check whether somebody is there.

    Signals:
        signal(bool, str): something that is to be seen from afar: good or not, and words. Somebody has come and may or
            may not come in; or the check is over.
        hint(str): what the person in front of the camera is to do; "": nothing more.
        camera_wanted(): something has to play for the check.
        keeping(bool): the log is on, or off.
    """

    signal = Signal(bool, str)
    hint = Signal(str)
    camera_wanted = Signal()
    keeping = Signal(bool)

    def __init__(self, faces: Faces, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces, self._settings = faces, settings
        self._saving = False
        self._check: Liveness | None = None
        self._card: ModelCard | None = None  # of the network that the check began with
        self._frames = 0
        self._filling = False
        self._stale = False  # the list is to be read again when it is seen
        self._silence, self._pause = QTimer(self), QTimer(self)
        self._silence.setInterval(SILENCE)
        self._pause.setInterval(PAUSE)
        for timer in (self._silence, self._pause):
            timer.setSingleShot(True)
        self._silence.timeout.connect(self.nothing_plays)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(6)
        grid.addWidget(self._build_rules(), 0, 0)
        grid.addWidget(self._build_allowed(), 0, 1)
        grid.addWidget(self._build_visits(), 0, 2)
        remark = QLabel(NO_LOCK)
        remark.setWordWrap(True)
        remark.setToolTip("Ask whether somebody is really there to make that harder; it does not make it impossible")
        set_role(remark, role="dim")
        grid.addWidget(remark, 1, 0, 1, 2)
        grid.addLayout(self._build_check(), 1, 2)
        grid.setRowStretch(0, 1)
        for column, share in enumerate((3, 2, 6)):
            grid.setColumnStretch(column, share)
        faces.changed.connect(self._fill)
        faces.recognition.connect(self._network_changed)
        self.setFocusProxy(self.on)
        self._fill()

    def _build_rules(self) -> QWidget:
        self.on = QCheckBox("Keep a log of who comes")
        self.on.setToolTip("Off unless you want it; kept in the gallery while Faces is open, and deleted with it")
        self.strangers = QCheckBox("Also of unknown people")
        self.strangers.setToolTip("When somebody came whom nobody has enrolled; no picture is kept")
        self.sound = QCheckBox("Sound")
        self.sound.setToolTip("The computer's own signal when somebody comes, where it is switched on")
        self.sound.setChecked(self._settings.flag(SOUND, False))
        self.sound.toggled.connect(lambda on: self._settings.set(SOUND, on))
        self.file = QCheckBox("Line in a file…")
        self.days = QSpinBox()
        self.days.setRange(0, 3650)
        self.days.lineEdit().setTextMargins(6, 0, 0, 0)
        self.days.setSpecialValueText("for ever")
        self.days.setSuffix(" days")
        self.days.setAccessibleName("For how long visits are kept")
        self.days.setToolTip("Older visits are deleted by themselves")
        days = QLabel("Kept for")
        days.setBuddy(self.days)
        for box in (self.on, self.strangers):
            box.toggled.connect(lambda _: self._use())
        self.days.editingFinished.connect(self._use)
        self.file.clicked.connect(self._choose_file)
        rows = QWidget()
        column = QVBoxLayout(rows)
        column.setContentsMargins(2, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.on)
        column.addWidget(self.strangers)
        for parts in ((self.sound, self.file), (days, self.days)):
            row = QHBoxLayout()
            row.setSpacing(8)
            for part in parts:
                row.addWidget(part)
            row.addStretch(1)
            column.addLayout(row)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(rows)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setMinimumWidth(240)
        rows.setAutoFillBackground(False)
        scroll.viewport().setAutoFillBackground(False)
        return scroll

    def _build_allowed(self) -> QWidget:
        self.allowed = _table("Who may come in", ["May come in"])
        self.allowed.setToolTip("Tick those who may come in")
        self.allowed.header().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.allowed.itemChanged.connect(lambda *_: self._use())
        return self.allowed

    def _build_visits(self) -> QWidget:
        self.visits = _table("Who came", ["When", "Who", "How sure", "Allowed"])
        self.visits.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        header = self.visits.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self._nobody = QLabel(OFF)
        self._nobody.setWordWrap(True)
        self._nobody.setAlignment(Qt.AlignmentFlag.AlignCenter)
        set_role(self._nobody, role="dim")
        room = QVBoxLayout(self.visits.viewport())
        room.setContentsMargins(12, 4, 12, 4)
        room.addWidget(self._nobody)
        return self.visits

    def _build_check(self) -> QHBoxLayout:
        self.clear_button = QPushButton("Delete the log")
        self.clear_button.setToolTip("All visits, at once; the people stay, and so does a file with lines")
        self.clear_button.clicked.connect(self._delete)
        self.check_button = QPushButton("Is somebody there?")
        self.check_button.setToolTip(CANNOT)
        self.check_button.clicked.connect(self.toggle_check)
        for button in (self.clear_button, self.check_button):
            button.setAutoDefault(True)
        self._outcome = QLabel()
        self._outcome.setWordWrap(True)
        self._outcome.setAccessibleName("Whether somebody is there")
        self._outcome.setToolTip(CANNOT)
        self._outcome.setMinimumHeight(2 * self._outcome.fontMetrics().lineSpacing())
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.check_button)
        row.addWidget(self._outcome, 1)
        row.addWidget(self.clear_button)
        return row

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def checking(self) -> bool:
        """It is being checked whether somebody is there."""
        return self._check is not None

    @property
    def outcome(self) -> str:
        """What the last check says."""
        return self._outcome.text()

    def set_result(self, result: Result, now: float | None = None) -> None:
        """A frame that has been read; `now` in seconds since 1970."""
        if result.faces is None or result.detections is None:
            return
        tracks = result.detections.track_id
        numbers = tracks.tolist() if tracks is not None else None
        if self._keeps or self._check is not None:
            self._silence.start()
        log = self._faces.log
        if self._keeps and log is not None:
            for visit in log.see(result.faces, numbers, time=time.time() if now is None else now):
                self._tell(visit)
            self._save()
        if self._check is not None:
            self._look(result, numbers)

    def leave(self) -> None:
        """Nobody is looked at any more."""
        self._silence.stop()
        self._end_check("")
        self._all_left()

    def toggle_check(self) -> None:
        """Begin to check whether somebody is really there, or stop."""
        if self._check is not None:
            self._end_check("")
            return
        from engine import Liveness

        self._check = Liveness(alike=self._faces.threshold)
        self._card = self._faces.card
        self._frames = 0
        self._silence.start()
        self.check_button.setText("Stop")
        self._say("Look into the camera.")
        self.camera_wanted.emit()
        self.hint.emit("Look into the camera.")

    def nothing_plays(self) -> None:
        """No picture comes: there is no camera, it was switched off, or a video has ended."""
        if self._check is not None:
            self._end_check("Not confirmed: no picture came.", good=False)
        self._all_left()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._stale:
            self._list()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if not event.spontaneous():  # another page, not a window that lies in the task bar
            self._end_check("")

    # inside ---------------------------------------------------------------------------------------------------------

    @property
    def _keeps(self) -> bool:
        """The log is on, and the gallery open."""
        log = self._faces.log
        return log is not None and self._faces.state == "open" and log.rules.on

    def _fill(self) -> None:
        """What holds now: rules, people, visits."""
        log, faces = self._faces.log, self._faces
        on = self._keeps
        self.keeping.emit(on)
        self._nobody.setText(EMPTY if on else OFF)
        self._filling = True
        self.on.setChecked(on)
        for part in (self.strangers, self.sound, self.file, self.days):
            part.setEnabled(on)
        if log is None or faces.state != "open":
            self.allowed.clear()
            self._filling = False
            self._show_visits([])
            return
        rules = log.rules
        self.strangers.setChecked(rules.strangers)
        if not self.days.hasFocus():
            self.days.setValue(rules.days)
        self._fill_file(rules.file)
        known = [(item.data(0, PERSON), item.text(0)) for item in self._items()]
        if known != [(person.id, person.name) for person in faces.people]:
            self.allowed.clear()
            for person in faces.people:
                item = QTreeWidgetItem(self.allowed, [person.name])
                item.setData(0, PERSON, person.id)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        for item in self._items():
            ticked = item.data(0, PERSON) in rules.allowed
            item.setCheckState(0, Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        self._filling = False
        self._list()

    def _fill_file(self, file: Path | None) -> None:
        self.file.setChecked(file is not None)
        words = "A table that other programs can read; the gallery's passphrase does not protect it"
        name = "a file…"
        if file is not None:
            name = self.file.fontMetrics().elidedText(file.name, Qt.TextElideMode.ElideMiddle, LONGEST_FILE)
            words = f"{file}\n{words}"
        self.file.setText(f"Line in {name.replace('&', '&&')}")
        self.file.setToolTip(words)

    def _items(self) -> list[QTreeWidgetItem]:
        items = (self.allowed.topLevelItem(row) for row in range(self.allowed.topLevelItemCount()))
        return [item for item in items if item is not None]

    @property
    def _asked(self) -> AccessRules | None:
        """The rules as they are set here."""
        log = self._faces.log
        if log is None:
            return None
        ticked = (item for item in self._items() if item.checkState(0) == Qt.CheckState.Checked)
        return replace(
            log.rules,
            on=self.on.isChecked(),
            strangers=self.strangers.isChecked(),
            allowed=frozenset(item.data(0, PERSON) for item in ticked),
            days=self.days.value(),
        )

    def _use(self, file: Path | None = None, *, no_file: bool = False) -> None:
        rules, log = self._asked, self._faces.log
        if self._filling or rules is None or log is None:
            return
        if file is not None or no_file:
            rules = replace(rules, file=file)
        if rules != log.rules:
            self._faces.errand(lambda: log.use(rules), lambda _: self._fill(), self._failed)

    def _choose_file(self, on: bool) -> None:
        path = ask_where_to_log(self, self._settings) if on else None
        if on and path is None:
            self.file.setChecked(False)
        else:
            self._use(path, no_file=not on)

    def _failed(self, error: BaseException) -> None:
        self._faces.failed.emit(error)
        self._fill()

    def _tell(self, visit: Visit) -> None:
        name = self._who(visit)
        if visit.person is None:
            words = name.capitalize()
        else:
            words = f"{name} may come in" if visit.allowed else f"{name} is not on the list"
        self.signal.emit(visit.allowed, words)
        if self.sound.isChecked():
            QApplication.beep()

    def _who(self, visit: Visit) -> str:
        return UNKNOWN if visit.person is None else self._faces.names.get(visit.person, UNKNOWN)

    def _all_left(self) -> None:
        log = self._faces.log
        if self._keeps and log is not None:
            log.leave()
            self._save()

    def _save(self) -> None:
        """Write what has happened, one time after the other."""
        log = self._faces.log
        if log is None or self._saving or self._pause.isActive() or not log.unsaved:
            return
        self._saving = True

        def saved(_: object) -> None:
            self._saving = False
            self._list()
            self._save()  # what has happened meanwhile

        def failed(error: BaseException) -> None:
            self._saving = False
            self._pause.start()
            self._faces.failed.emit(error)

        self._faces.errand(log.save, saved, failed)

    def _list(self) -> None:
        """Read the last visits; while nobody sees the list, that can wait."""
        self._stale = not self.isVisible()
        if self._stale or self._faces.state != "open":
            return

        def read(gallery: Gallery) -> list[Visit]:
            return gallery.visits(most=MOST)

        self._faces.with_gallery(read, self._show_visits)

    def _show_visits(self, visits: list[Visit]) -> None:
        log = self._faces.log
        if self._faces.state != "open" or log is None:  # it was locked or deleted meanwhile
            visits = []
        here = {visit.id for visit in log.present} if log is not None else set()
        rows = []
        for visit in reversed(visits):
            began = datetime.fromtimestamp(visit.began)
            stay = "here" if visit.id in here else _stay_words(visit.ended - visit.began)
            sure = share_words(visit.probability) if visit.person is not None else ""
            allowed = "yes" if visit.allowed else "no"
            row = QTreeWidgetItem([f"{began:%Y-%m-%d %H:%M:%S} · {stay}", self._who(visit), sure, allowed])
            row.setForeground(3, theme.colour("text" if visit.allowed else "danger"))
            rows.append(row)
        self.visits.clear()
        self.visits.addTopLevelItems(rows)
        self._nobody.setVisible(not rows)
        self.clear_button.setEnabled(bool(rows))

    def _delete(self) -> None:
        self._faces.with_gallery(lambda gallery: gallery.delete_visits(), lambda _: self._list())

    def _network_changed(self) -> None:
        """What another network says of a face cannot be compared with what the one before said."""
        if self._check is not None and self._faces.card is not self._card:
            self._end_check("")

    def _look(self, result: Result, numbers: list[int] | None) -> None:
        check, faces = self._check, result.faces or ()
        assert check is not None
        sizes = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in faces]
        main = sizes.index(max(sizes)) if sizes else -1
        self._frames += 1
        closely = result.frame.image if self._frames % LOOK_CLOSELY == 0 else None
        state = check.see(
            faces[main] if main >= 0 else None,
            numbers[main] if numbers is not None and main >= 0 else 0,
            time=result.frame.time,
            image=closely,
        )
        if state.over:
            self._end_check(_outcome_words(state), good=state.phase == "passed")
        else:
            self._say(state.said)
            self.hint.emit(state.said)

    def _end_check(self, words: str, *, good: bool | None = None) -> None:
        """The check is over, or (`good` None) nobody wants to know any more."""
        if self._check is not None:
            self._check = None
            self.hint.emit("")
        if good is not None:
            self.signal.emit(good, words)
        self.check_button.setText("Is somebody there?")
        self._say(words)

    def _say(self, words: str) -> None:
        self._outcome.setText(words)


def _table(name: str, columns: list[str]) -> QTreeWidget:
    table = QTreeWidget()
    table.setHeaderLabels(columns)
    table.setRootIsDecorated(False)
    table.setUniformRowHeights(True)
    table.setAccessibleName(name)
    table.header().setStretchLastSection(False)
    table.header().setSectionsMovable(False)
    return table


def _stay_words(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 120 else f"{whole // 60} min"


def _outcome_words(state: LivenessState) -> str:
    if state.phase == "passed":
        return f"{state.said} As far as this can tell."
    return f"Not confirmed: {state.said[0].lower()}{state.said[1:]}"
