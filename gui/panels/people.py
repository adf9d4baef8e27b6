"""The people who are recognised: asking for a gallery, opening it, who is in it, adding somebody, and the threshold.

All work is `Faces`'; here it is shown and asked for. Results enter while somebody is enrolled before the camera.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QStackedLayout,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.door import DoorPage
from gui.enrolment import Enrolment, FolderImport
from gui.face_tiles import FaceTiles, Tile
from gui.faces import Candidate, Faces
from gui.files import (
    ask_for_folder,
    ask_for_gallery,
    ask_for_people_folder,
    ask_for_pictures,
    ask_where_to_save_gallery,
)
from gui.recognised import paint_face
from gui.settings import Settings
from gui.sight import person_colour
from gui.theme import begin_row, scaled_font, set_role, theme
from gui.threshold import ThresholdPage

if TYPE_CHECKING:
    from engine import EngineError, Person, Result, Shot

ROW = 44
PERSON = Qt.ItemDataRole.UserRole


class PersonDelegate(QStyledItemDelegate):
    """A person in the list: picture, name, how many shots, and whether somebody else looks too much alike."""

    def __init__(self, faces: Faces, parent: QWidget) -> None:
        super().__init__(parent)
        self._faces = faces

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        person: Person = index.data(PERSON)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        area = begin_row(painter, option, inset=1, radius=6, ringed=True)
        paint_face(painter, QRectF(area.x() + 4, area.center().y() - 18, 36, 36), self._faces.thumbnail(person.id))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("base"))
        painter.drawEllipse(QRectF(area.x() + 31, area.center().y() + 9, 11, 11))
        painter.setBrush(person_colour(person.id))
        painter.drawEllipse(QRectF(area.x() + 32.5, area.center().y() + 10.5, 8, 8))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        text = area.adjusted(50, 3, -8, -3)
        painter.setFont(scaled_font(option.widget, 1.0, bold=True))
        painter.setPen(theme.colour("text"))
        name = painter.fontMetrics().elidedText(person.name, Qt.TextElideMode.ElideRight, int(text.width()))
        painter.drawText(QRectF(text.x(), text.y(), text.width(), text.height() / 2), left, name)
        painter.setFont(option.widget.font())
        like = self._faces.most_alike(person.id)
        words = shots_words(person.shots) if like is None else f"overlaps with {like[0]}: {like[1]:.2f}"
        painter.setPen(theme.colour("dim" if like is None else "warning"))
        words = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, int(text.width()))
        painter.drawText(QRectF(text.x(), text.center().y(), text.width(), text.height() / 2), left, words)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(180, ROW)

    def updateEditorGeometry(
        self, editor: QWidget, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        place: QRect = option.rect.adjusted(46, 6, -4, -6)
        editor.setGeometry(place)


class Message(QWidget):
    """A page with something to read and the next step: a gallery that is not there, is locked, or cannot be opened."""

    def __init__(self, icon: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon_name = icon
        self._icon = QLabel()
        self._icon.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.title.setFont(scaled_font(self.title, 1.35, bold=True))
        self.text = QLabel()
        self.text.setWordWrap(True)
        set_role(self.text, role="dim")
        self.steps = QHBoxLayout()
        self.steps.setSpacing(8)
        self.steps.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addWidget(self.title)
        column.addWidget(self.text)
        column.addLayout(self.steps)
        column.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(16)
        layout.addWidget(self._icon)
        layout.addLayout(column, 1)
        theme.changed.connect(self._recolour)
        self._recolour()

    def add(self, *widgets: QWidget) -> None:
        """The next steps, from left to right."""
        for widget in widgets:
            self.steps.insertWidget(self.steps.count() - 1, widget)

    def _recolour(self) -> None:
        self._icon.setPixmap(theme.pixmap(self._icon_name, 40, theme.colours.quiet, self.devicePixelRatioF()))


class PersonPage(QWidget):
    """The person who is chosen: the note, the shots, and what may be done; or several, who may be one."""

    def __init__(self, faces: Faces, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces = faces
        self._people: tuple[Person, ...] = ()
        self._shots: list[Shot] = []
        self.title = QLabel()
        self.title.setFont(scaled_font(self.title, 1.1, bold=True))
        self.note = QLineEdit()
        self.note.setPlaceholderText("Note")
        self.note.setAccessibleName("Note")
        self.note.setMaxLength(10_000)
        self.note.editingFinished.connect(self._write_note)
        self.tiles = FaceTiles("Pictures of this person", side=64)
        self.tiles.setToolTip("Choose pictures that are of somebody else, or of no use (Del deletes them)")
        self.tiles.removed.connect(self._delete_shots)
        self.tiles.itemSelectionChanged.connect(self._enable)
        self.add_button = _button("Add pictures", "Add faces to this person", popup=True)
        self.merge_button = _button(
            "Make them one…", "These people are one and the same (Ctrl+click to choose several)"
        )
        self.split_button = _button("Somebody else…", "The chosen pictures are of another person")
        self.delete_button = _button("Delete…", "Delete what is chosen (Del)")
        self.merge_button.clicked.connect(self._merge)
        self.split_button.clicked.connect(self._split)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title)
        head.addWidget(self.note, 1)
        for button in (self.add_button, self.merge_button, self.split_button, self.delete_button):
            head.addWidget(button)
        self._hint = QLabel()
        self._hint.setWordWrap(True)
        set_role(self._hint, role="dim")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addWidget(self._hint)
        layout.addWidget(self.tiles, 1)
        self._enable()

    @property
    def people(self) -> tuple[Person, ...]:
        return self._people

    def show_people(self, people: Sequence[Person]) -> None:
        """One, with all there is; or several, or none."""
        before = self._people[0].id if len(self._people) == 1 else None
        self._people = tuple(people)
        one = self._people[0] if len(self._people) == 1 else None
        if one is not None and (not self.note.hasFocus() or before != one.id):
            self.note.setText(one.note)
        if one is None or before != one.id:
            self._shots = []
            self.tiles.clearSelection()
            self.tiles.clear()
        self._enable()
        if one is not None:
            self._faces.shots(one.id, lambda shots: self._take(one.id, shots))

    def _take(self, person: int, shots: list[Shot]) -> None:
        if len(self._people) != 1 or self._people[0].id != person:
            return
        self._shots = shots
        tiles = []
        for shot in shots:
            wrong = "does not fit" if shot.id in self._faces.outliers else ""
            tip = f"{shot.source}\nquality {shot.quality * 100:.0f} %"
            tiles.append(Tile(shot.id, self._faces.image_of(shot), shot.source, shot.quality, wrong, tip))
        self.tiles.show_tiles(tiles)
        self._enable()

    def _enable(self) -> None:
        one = len(self._people) == 1
        chosen = len(self.tiles.chosen)
        if one:
            self.title.setText(self._people[0].name[:40])
        else:
            self.title.setText(f"{len(self._people)} people are chosen" if self._people else "")
        for widget in (self.note, self.add_button, self.split_button, self.tiles):
            widget.setVisible(one)
        self.merge_button.setVisible(len(self._people) > 1)
        self.delete_button.setVisible(bool(self._people))
        self.split_button.setEnabled(one and 0 < chosen < len(self._shots))
        what = f"{chosen} picture{'s' if chosen != 1 else ''}" if chosen else "this person" if one else "these people"
        self.delete_button.setToolTip(f"Delete {what} (Del)")
        hint = "" if self._people else "Choose somebody on the left, or several with Ctrl."
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))

    def _write_note(self) -> None:
        if len(self._people) == 1 and self.note.text().strip() != self._people[0].note:
            self._faces.set_note(self._people[0].id, self.note.text())

    def _delete_shots(self, keys: list[object]) -> None:
        shots = [key for key in keys if isinstance(key, int)]
        many = f"these {len(shots)} pictures" if len(shots) != 1 else "this picture"
        if shots and confirm(self, f"Delete {many}?", "It cannot be undone.", "Delete"):
            self._faces.delete_shots(shots)

    def delete_chosen(self) -> bool:
        """Delete the pictures that are chosen; False if none is."""
        chosen = self.tiles.chosen
        if chosen:
            self._delete_shots(chosen)
        return bool(chosen)

    def _split(self) -> None:
        shots = [key for key in self.tiles.chosen if isinstance(key, int)]
        names = sorted({person.name for person in self._faces.people} - {self._people[0].name}, key=str.casefold)
        name, ok = QInputDialog.getItem(self, "Somebody else", "These pictures are of:", ["", *names], 0, True)
        if ok and name.strip():
            known = self._faces.person_named(name)
            if known is None:
                self._faces.split(shots, name)
            else:
                self._faces.move(shots, known)

    def _merge(self) -> None:
        names = {f"{person.name} ({shots_words(person.shots)})": person.id for person in self._people}
        labels = list(names)
        chosen, ok = QInputDialog.getItem(
            self, "One and the same", "They are one person. The name that stays:", labels, 0, False
        )
        if ok and chosen in names:
            into = names[chosen]
            self._faces.merge(into, [person.id for person in self._people if person.id != into])


class PeoplePage(QWidget):
    """The list of people with a search, and whoever is chosen in it.

    Signals:
        add(str, int): add pictures ("camera", "photos") to the person of that id.
    """

    add = Signal(str, int)

    def __init__(self, faces: Faces, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces = faces
        self._wanted: int | None = None
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.search.setAccessibleName("Search for a name or a note")
        self.search.setClearButtonEnabled(True)
        for clear in self.search.findChildren(QToolButton):
            clear.setToolTip("Show everybody again")
            clear.setAccessibleName("Show everybody again")
        self.search.textChanged.connect(lambda _: self._filter())
        self.list = QListWidget()
        self.list.setItemDelegate(PersonDelegate(faces, self.list))
        self.list.setAccessibleName("People")
        self.list.setToolTip("F2: rename, Del: delete, Ctrl+click: choose several")
        self.list.setMouseTracking(True)
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setStyleSheet("QListView { border: 0; background: transparent; }")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.keys = [
            self._key("Rename", "F2", self.rename),
            self._key("Delete somebody or their pictures…", "Del", self._delete_people),
        ]
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.itemSelectionChanged.connect(self._choose)
        self.list.itemChanged.connect(self._renamed)
        self.person = PersonPage(faces)
        menu = QMenu(self.person.add_button)
        for title, what in (("From the camera", "camera"), ("From photos…", "photos")):
            menu.addAction(title).triggered.connect(lambda _=False, what=what: self._add_to(what))
        self.person.add_button.setMenu(menu)
        self.person.delete_button.clicked.connect(self.delete)
        left = QVBoxLayout()
        left.setSpacing(6)
        left.addWidget(self.search)
        left.addWidget(self.list, 1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(16)
        layout.addLayout(left, 2)
        layout.addWidget(self.person, 5)
        self.setFocusProxy(self.list)
        faces.recognition.connect(self._look_again)

    @property
    def chosen(self) -> list[Person]:
        people = [item.data(PERSON) for item in self.list.selectedItems()]
        return sorted(people, key=lambda person: person.name.casefold())

    def choose(self, person: int) -> None:
        """Choose somebody, now or as soon as they are there."""
        self._wanted = person
        self.refresh()

    def rename(self) -> None:
        """Give the one who is chosen another name, in the list."""
        if self.list.currentItem() is not None:
            self.list.editItem(self.list.currentItem())

    def refresh(self) -> None:
        """List who is there; who was chosen stays chosen."""
        chosen = {person.id for person in self.chosen}
        if self._wanted is not None and self._wanted in self._faces.names:
            chosen, self._wanted = {self._wanted}, None
        self.list.blockSignals(True)
        people = self._faces.people
        while self.list.count() > len(people):
            self.list.takeItem(self.list.count() - 1)
        for row, person in enumerate(people):
            item = self.list.item(row)
            if item is None:
                item = QListWidgetItem()
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
                self.list.addItem(item)
            item.setData(PERSON, person)
            item.setText(person.name)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{person.name}, {shots_words(person.shots)}")
            item.setSelected(person.id in chosen)
            if person.id in chosen and len(chosen) == 1:
                self.list.setCurrentItem(item)
        if people and not self.list.selectedItems():
            self.list.setCurrentRow(0)
        self.list.blockSignals(False)
        self._filter()
        self._choose()

    def delete(self) -> None:
        """Delete the pictures that are chosen, otherwise the people."""
        if len(self.chosen) == 1 and self.person.delete_chosen():
            return
        people = self.chosen
        if not people:
            return
        shots = sum(person.shots for person in people)
        who = f"“{people[0].name}”" if len(people) == 1 else f"these {len(people)} people"
        text = f"The name, the note and {shots_words(shots)} go. It cannot be undone."
        if confirm(self, f"Delete {who}?", text, "Delete"):
            self._faces.delete_people([person.id for person in people])

    def _look_again(self) -> None:
        self.list.viewport().update()
        self._choose()

    def _choose(self) -> None:
        self.person.show_people(self.chosen)

    def _renamed(self, item: QListWidgetItem) -> None:
        person: Person = item.data(PERSON)
        name = item.text().strip()
        if name and name != person.name:
            self._faces.rename(person.id, name)
        elif item.text() != person.name:
            item.setText(person.name)

    def _filter(self) -> None:
        wanted = self.search.text().strip().casefold()
        for row in range(self.list.count()):
            item = self.list.item(row)
            person: Person = item.data(PERSON)
            item.setHidden(wanted not in person.name.casefold() and wanted not in person.note.casefold())

    def _add_to(self, what: str) -> None:
        if len(self.chosen) == 1:
            self.add.emit(what, self.chosen[0].id)

    def _delete_people(self) -> None:
        self.person.tiles.clearSelection()  # the list has the focus: people are meant, not pictures
        self.delete()

    def _key(self, text: str, key: str, slot: Callable[[], None]) -> QAction:
        action = QAction(text, self.list)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(lambda _=False: slot())
        self.list.addAction(action)
        return action


class PeoplePanel(QWidget):
    """The dock.

    Attributes:
        people, threshold, door, enrolment, folders: its pages.
    Signals:
        camera_wanted(): somebody is to be enrolled before the camera: something has to play.
        album_wanted(Path): go through this folder.
        album_back(): show the album again.
        hint(str): of the coach, for those who look at the picture.
        models_wanted(): there is no network for faces.
    """

    camera_wanted = Signal()
    album_wanted = Signal(object)
    hint = Signal(str)
    models_wanted = Signal()
    album_back = Signal()

    def __init__(self, faces: Faces, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces, self._settings = faces, settings
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        set_role(self, sheet="true")
        self.no_network, self.welcome, self.empty = Message("models"), Message("people"), Message("people")
        self.locked, self.broken = Message("lock"), Message("warning")
        self.passphrase, self.unlock_button = QLineEdit(), _button("Unlock", "Open the gallery (Enter)")
        self._build_messages()
        self.people = PeoplePage(faces)
        self.people.add.connect(self._add_to)
        self.threshold = ThresholdPage(faces)
        self.door = DoorPage(faces, settings)
        self.door.hint.connect(self.hint)
        self.door.camera_wanted.connect(self.camera_wanted)
        self.enrolment = Enrolment(faces)
        self.enrolment.finished.connect(self._enrolled)
        self.enrolment.hint.connect(self.hint)
        self.folders = FolderImport(faces)
        self.folders.finished.connect(self._show)
        self._pages = QStackedLayout()
        self._tab = "people"
        self._album_waits = False
        pages = (
            self.no_network,
            self.welcome,
            self.locked,
            self.broken,
            self.empty,
            self.people,
            self.threshold,
            self.door,
        )
        for page in (*pages, self.enrolment, self.folders):
            self._pages.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 4, 16, 12)
        layout.setSpacing(8)
        layout.addWidget(self._build_head())
        self.door.keeping.connect(self._show_keeping)
        layout.addLayout(self._pages, 1)
        faces.changed.connect(self._show)
        faces.recognition.connect(self._show)
        faces.working.connect(self._show_work)
        self._show()
        self._show_work()

    def _build_head(self) -> QWidget:
        self._head = QWidget()
        row = QHBoxLayout(self._head)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self.add_button = _button("Add somebody", "Add a person to the gallery", popup=True)
        menu = QMenu(self.add_button)
        self.add_actions = {
            name: menu.addAction(title)
            for name, title in (
                ("camera", "From the camera"),
                ("photos", "From photos…"),
                ("folders", "From a folder for each person…"),
            )
        }
        self.add_actions["camera"].triggered.connect(lambda _=False: self.add_from_camera())
        self.add_actions["photos"].triggered.connect(lambda _=False: self.ask_for_photos(None))
        self.add_actions["folders"].triggered.connect(lambda _=False: self._ask_for_folders())
        self.add_button.setMenu(menu)
        self._tabs = QButtonGroup(self)
        row.addWidget(self.add_button)
        row.addSpacing(8)
        self.tab_buttons: dict[str, QToolButton] = {}
        for number, (name, title, tip) in enumerate(
            (
                ("people", "People", "Who is in the gallery"),
                ("threshold", "Threshold", "How alike a face must be to get a name"),
                ("door", "Door", "Who came and when, and who may come in: an example, off by default"),
            )
        ):
            chip = QToolButton()
            chip.setText(title)
            chip.setToolTip(tip)
            chip.setCheckable(True)
            chip.setChecked(number == 0)
            chip.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            chip.clicked.connect(lambda _=False, name=name: self.show_tab(name))
            set_role(chip, chip="true")
            self._tabs.addButton(chip, number)
            self.tab_buttons[name] = chip
            row.addWidget(chip)
        self.album_button = _button("Album…", "Go through a folder of pictures: who is in them, and who is unknown")
        self.album_button.clicked.connect(self.ask_for_album)
        self.back_button = _button("Back to the album", "Whom it found in the pictures is still there")
        self.back_button.clicked.connect(self.album_back)
        row.addSpacing(8)
        row.addWidget(self.album_button)
        row.addWidget(self.back_button)
        self._work = QLabel()
        set_role(self._work, role="dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(120)
        self.bar.setAccessibleName("Progress")
        row.addStretch(1)
        row.addWidget(self._work)
        row.addWidget(self.bar)
        self.more_button = QToolButton()
        self.more_button.setText("Gallery")
        self.more_button.setToolTip("Passphrase and copies")
        self.more_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.more_button.setAccessibleName("Gallery: passphrase and copies")
        more = QMenu(self.more_button)
        self.passphrase_action = more.addAction("Set a passphrase…")
        self.passphrase_action.triggered.connect(lambda _=False: self._ask_for_passphrase())
        self.open_action = more.addAction("Remove the passphrase…")
        self.open_action.triggered.connect(lambda _=False: self._remove_passphrase())
        more.addSeparator()
        self.export_action = more.addAction("Save an encrypted copy…")
        self.export_action.triggered.connect(lambda _=False: self._export())
        self.import_action = more.addAction("Take in an encrypted copy…")
        self.import_action.triggered.connect(lambda _=False: self._import())
        more.aboutToShow.connect(self._enable_more)
        self.more_button.setMenu(more)
        row.addWidget(self.more_button)
        self.delete_button = _button("Delete everything…", "Everybody, all pictures and the file: after one question")
        self.delete_button.clicked.connect(self.delete_everything)
        row.addWidget(self.delete_button)
        return self._head

    def _build_messages(self) -> None:
        self.models_button = _button("Go to Models", "All networks")
        self.models_button.clicked.connect(self.models_wanted)
        self.no_network.add(self.models_button)
        self.set_coming(True)
        self.welcome.title.setText("Nobody is known here")
        self.welcome.text.setText(
            "To recognise people, their names and small pictures of their faces are kept, with the numbers that the "
            "network makes of them, in one file that only you can read:\n"
            f"{_where()}\n"
            "They never leave this computer, and you can delete everything with one click. A passphrase can be set at "
            "any time. Ask the people whom you enrol."
        )
        self.start_button = _button("Start a gallery", "Keep faces of people whom you name")
        set_role(self.start_button, primary="true")
        self.start_button.clicked.connect(self._faces.start_gallery)
        self.import_button = _button("Take in an encrypted copy…", "A gallery that was saved before")
        self.import_button.clicked.connect(self._import)
        self.welcome.add(self.start_button, self.import_button)
        self.locked.title.setText("The gallery is locked")
        self.locked.text.setText("Nobody is recognised until its passphrase has been entered.")
        self.passphrase.setEchoMode(QLineEdit.EchoMode.Password)
        self.passphrase.setPlaceholderText("Passphrase")
        self.passphrase.setAccessibleName("Passphrase of the gallery")
        self.passphrase.setMinimumWidth(240)
        self.passphrase.returnPressed.connect(self._unlock)
        self.passphrase.textChanged.connect(lambda text: self.unlock_button.setEnabled(bool(text)))
        set_role(self.unlock_button, primary="true")
        self.unlock_button.setEnabled(False)
        self.unlock_button.clicked.connect(self._unlock)
        forgotten = _button("Delete everything…", "A forgotten passphrase cannot be found again by anyone")
        forgotten.clicked.connect(self.delete_everything)
        self.locked.add(self.passphrase, self.unlock_button, forgotten)
        again = _button("Try again", "Look for the gallery once more")
        set_role(again, primary="true")
        again.clicked.connect(self._faces.open_again)
        away = _button("Delete everything…", "Begin anew")
        away.clicked.connect(self.delete_everything)
        self.broken.add(again, away)
        self.empty.title.setText("Whom shall it recognise?")
        self.empty.text.setText(
            "Sit in front of the camera for ten seconds; or choose photos, a folder for each person, or click a face "
            "in the picture above and say who it is. Nothing is written before the first face is kept."
        )
        camera = _button("From the camera", "The coach takes five to eight pictures by itself")
        set_role(camera, primary="true")
        camera.clicked.connect(lambda _=False: self.add_from_camera())
        photos = _button("From photos…", "Pictures of one person")
        photos.clicked.connect(lambda _=False: self.ask_for_photos(None))
        folders = _button("From a folder for each person…", "Folders that are named like the people in them")
        folders.clicked.connect(lambda _=False: self._ask_for_folders())
        self.empty.add(camera, photos, folders)

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def page(self) -> QWidget:
        """What is shown."""
        page = self._pages.currentWidget()
        assert page is not None
        return page

    def set_coming(self, coming: bool) -> None:
        """Whether there is a network for faces, which is only being loaded while none runs."""
        title, text = "There is no network for faces", "Choose one in Models; then people can be recognised."
        if coming:
            title, text = "The network for faces gets ready…", "The first time it takes a little longer."
        self.no_network.title.setText(title)
        self.no_network.text.setText(text)
        self.models_button.setVisible(not coming)

    def show_tab(self, name: str) -> None:
        """ "people", "threshold" or "door"."""
        self._tab = name
        self.tab_buttons[name].setChecked(True)
        self._show()

    def set_result(self, result: Result) -> None:
        """A frame that has been read."""
        if self.enrolment.watching and self.isVisible():
            self.enrolment.set_result(result)
        self.door.set_result(result)

    def add_from_camera(self, person: int | None = None) -> None:
        """Have the coach take pictures of whoever is in front of the camera."""
        if self._faces.state == "open":
            self.enrolment.from_camera(person)
            self._turn_to(self.enrolment)
            self.camera_wanted.emit()

    def add_from_photos(self, paths: Sequence[Path], person: int | None = None) -> None:
        """Take the faces out of pictures of one person."""
        if paths and self._faces.state == "open":
            self.enrolment.from_photos(paths, person)
            self._turn_to(self.enrolment)

    def add_from_folders(self, root: Path) -> None:
        """Add everybody who has a folder of pictures in this one."""
        if self._faces.state == "open":
            self.folders.begin(root)
            self._turn_to(self.folders)

    def add_faces(self, faces: Sequence[Candidate], name: str = "") -> None:
        """Faces that are there already."""
        if self._faces.state == "open":
            self.enrolment.from_faces(faces, name)
            self._turn_to(self.enrolment)

    def set_album_waits(self, waits: bool) -> None:
        """Whether there is an album to go back to."""
        self._album_waits = waits
        self._turn_to(self.page)

    def leave(self) -> None:
        """The mode is left: nobody is looked at any more."""
        self.enrolment.pause()
        self.door.leave()

    def cancel(self) -> None:
        """Nothing more of what is being added."""
        self.enrolment.cancel()
        self.folders.cancel()

    def delete_everything(self) -> None:
        """Ask once, saying exactly what goes; then it is gone."""

        def ask(size: int) -> None:
            people = self._faces.people
            shots = sum(person.shots for person in people)
            if people:
                who = f"{len(people)} {'people' if len(people) != 1 else 'person'}"
                what = (
                    f"{who} with their names and notes, {shots_words(shots)}, all numbers made of them and the log of "
                    "visits"
                )
            else:
                what = "The whole gallery with everybody in it"
            file = self._faces.log.rules.file if self._faces.log is not None else None
            stay = "Copies that you saved elsewhere stay" + (f", and so does {file}." if file is not None else ".")
            text = (
                f"{what} ({max(1, size // 1024)} kB on this disk): overwritten and removed, and so are the notes by "
                f"which a folder that was sorted by people could be sorted back. {stay} It cannot be undone."
            )
            if confirm(self, "Delete everything that is known of people?", text, "Delete everything"):
                self.cancel()
                self._faces.delete_all()

        self._faces.size(ask)

    # inside ---------------------------------------------------------------------------------------------------------

    @property
    def _keeps_log(self) -> bool:
        log = self._faces.log
        return log is not None and log.rules.on

    def _show_keeping(self, on: bool) -> None:
        """Whatever page is open, it is to be seen that a log is kept."""
        self.tab_buttons["door"].setText("Door · on" if on else "Door")
        if self.page is self.empty:
            self._show()

    def _turn_to(self, page: QWidget) -> None:
        if self._pages.currentWidget() is not page:
            had = self.isAncestorOf(self.focusWidget()) if self.focusWidget() is not None else False
            self._pages.setCurrentWidget(page)
            if had or page in (self.enrolment, self.folders):
                page.setFocus()
        gallery, empty = page in (self.people, self.threshold, self.door), page is self.empty
        adding = page in (self.enrolment, self.folders)
        self.add_button.setVisible(gallery)
        self.delete_button.setVisible(gallery or (empty and self._faces.stored))
        for chip in self.tab_buttons.values():  # a log may be kept although nobody is enrolled
            chip.setVisible(gallery or (empty and self._keeps_log))
        for widget in (self.album_button, self.more_button):
            widget.setVisible(gallery or empty)
        self.back_button.setVisible(self._album_waits and (gallery or empty))
        self._head.setVisible(not adding and (gallery or empty))

    def _show(self) -> None:
        faces = self._faces
        if faces.state == "open" and (self.enrolment.running or self.folders.running):
            return
        if faces.card is None and not faces.people and faces.state not in ("locked", "failed"):
            page: QWidget = self.no_network
        elif faces.state == "locked":
            page = self.locked
        elif faces.state == "failed":
            page = self.broken
            if faces.error is not None:
                self.broken.title.setText(faces.error.message)
                self.broken.text.setText(faces.error.hint)
        elif faces.state != "open":
            page = self.welcome
            self.start_button.setEnabled(faces.state == "none")
        elif not faces.people:
            page = self.door if self._tab == "door" and self._keeps_log else self.empty
        else:
            page = {"threshold": self.threshold, "door": self.door}.get(self._tab, self.people)
        if page is self.locked and self.page is not page:
            self.passphrase.clear()
        self.people.refresh()
        self._turn_to(page)
        self._show_work()

    def _show_work(self) -> None:
        job = self._faces.preparing
        for widget in (self._work, self.bar):
            widget.setVisible(job is not None)
        if job is not None:
            self._work.setText(job.words)
            self.bar.setRange(0, job.total)
            self.bar.setValue(job.done)

    def _enrolled(self, person: int) -> None:
        if person >= 0:
            self._tab = "people"
            self.tab_buttons["people"].setChecked(True)
            self.people.choose(person)
        self._show()

    def _add_to(self, what: str, person: int) -> None:
        if what == "camera":
            self.add_from_camera(person)
        else:
            self.ask_for_photos(person)

    def ask_for_photos(self, person: int | None = None) -> None:
        """Ask for pictures of one person."""
        self.add_from_photos(ask_for_pictures(self, self._settings), person)

    def _ask_for_folders(self) -> None:
        root = ask_for_people_folder(self, self._settings)
        if root is not None:
            self.add_from_folders(root)

    def ask_for_album(self) -> None:
        """Ask for a folder of pictures and go through it."""
        folder = ask_for_folder(self, self._settings)
        if folder is not None:
            self.album_wanted.emit(folder)

    def _unlock(self) -> None:
        if not self.passphrase.text():
            return
        self.unlock_button.setEnabled(False)

        def wrong(error: EngineError) -> None:
            self.locked.text.setText(f"{error.message} {error.hint}")
            self.passphrase.selectAll()
            self.passphrase.setFocus()
            self.unlock_button.setEnabled(True)

        self._faces.unlock(self.passphrase.text(), wrong)

    def _enable_more(self) -> None:
        there, protected = bool(self._faces.people), self._faces.protected
        self.passphrase_action.setText("Change the passphrase…" if protected else "Set a passphrase…")
        self.passphrase_action.setEnabled(there)
        self.open_action.setVisible(protected)
        self.export_action.setEnabled(there)

    def _ask_for_passphrase(self) -> None:
        words = "Whoever does not know it cannot see who is in the gallery. A forgotten one cannot be found again."
        new = ask_for_new_passphrase(self, "Passphrase of the gallery", words)
        if new:
            self._faces.set_passphrase(new)

    def _remove_passphrase(self) -> None:
        text = "Whoever can read your files can then see who is in it."
        if confirm(self, "Protect the gallery no longer?", text, "Remove the passphrase"):
            self._faces.set_passphrase(None)

    def _export(self) -> None:
        path = ask_where_to_save_gallery(self, self._settings)
        if path is None:
            return
        words = "The copy is encrypted with a passphrase of its own, which is needed to take it in again."
        passphrase = ask_for_new_passphrase(self, "Passphrase of the copy", words)
        if passphrase:
            self._faces.export(path, passphrase)

    def _import(self) -> None:
        path = ask_for_gallery(self, self._settings)
        if path is None:
            return
        passphrase, ok = QInputDialog.getText(
            self, "Take in a copy", "Passphrase of the copy:", QLineEdit.EchoMode.Password
        )
        if not ok or not passphrase:
            return

        def doubtful(error: EngineError, names: tuple[str, ...]) -> None:
            box = QMessageBox(self)
            box.setIcon(QMessageBox.Icon.Question)
            box.setWindowTitle("The same people?")
            box.setText(error.message)
            shown = ", ".join(names[:12]) + (f" and {len(names) - 12} others" if len(names) > 12 else "")
            box.setInformativeText(shown)
            same = box.addButton("They are the same", QMessageBox.ButtonRole.YesRole)
            others = box.addButton("They are others", QMessageBox.ButtonRole.NoRole)
            box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
            box.exec()
            if box.clickedButton() in (same, others):
                merge = box.clickedButton() is same
                self._faces.import_people(path, passphrase, merge=merge, doubtful=doubtful)

        self._faces.import_people(path, passphrase, doubtful=doubtful)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and (self.enrolment.running or self.folders.running):
            self.cancel()
        else:
            super().keyPressEvent(event)


def confirm(parent: QWidget, question: str, text: str, yes: str) -> bool:
    """Ask before something goes for good."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle(yes)
    box.setText(question)
    box.setInformativeText(text)
    button = box.addButton(yes, QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(box.addButton("Keep it", QMessageBox.ButtonRole.RejectRole))
    box.exec()
    return box.clickedButton() is button


def ask_for_new_passphrase(parent: QWidget, title: str, words: str) -> str:
    """A passphrase, typed twice; "": the person thought better of it."""
    dialog = QDialog(parent)
    dialog.setWindowTitle(title)
    text = QLabel(words)
    text.setWordWrap(True)
    first, second = QLineEdit(), QLineEdit()
    for edit, name in ((first, "Passphrase"), (second, "Once more")):
        edit.setEchoMode(QLineEdit.EchoMode.Password)
        edit.setAccessibleName(name)
    remark = QLabel("")
    set_role(remark, role="dim")
    form = QFormLayout()
    form.addRow("Passphrase", first)
    form.addRow("Once more", second)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    good = buttons.button(QDialogButtonBox.StandardButton.Ok)

    def check() -> None:
        one, other = first.text(), second.text()
        good.setEnabled(bool(one) and one == other)
        differ = other and one != other
        short = one and len(one) < 10
        remark.setText("The two differ." if differ else "Short ones are found by trying." if short else "")

    first.textChanged.connect(lambda _: check())
    second.textChanged.connect(lambda _: check())
    check()
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(16, 16, 16, 12)
    layout.setSpacing(12)
    for part in (text, form, remark, buttons):
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    dialog.setMinimumWidth(420)
    QTimer.singleShot(0, dialog, first.setFocus)
    return first.text() if dialog.exec() == QDialog.DialogCode.Accepted else ""


def shots_words(count: int) -> str:
    return f"{count} picture{'s' if count != 1 else ''}"


def _where() -> str:
    from engine import data_folder

    return str(data_folder() / "faces.sqlite")


def _button(text: str, tip: str, *, popup: bool = False) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setAutoDefault(not popup)
    return button
