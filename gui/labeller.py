"""The stage on which boxes are drawn around objects, so that a detector can be taught to find them.

It keeps a set of labelled pictures (`engine.LabelledSet`) up to date while one works: every change is stored as soon as
it is made. The set is touched only by errands, in a thread and one after the other; what is shown here is a copy of it.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QColor, QIcon, QImage, QKeyEvent, QKeySequence, QPixmap
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedLayout,
    QToolBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine import EngineError, data_folder
from gui.bridge import Bridge
from gui.files import ask_for_folder, ask_for_pictures
from gui.label_picture import Boxes, DrawnBox, LabelPicture
from gui.live_view import LiveStage
from gui.reading import own_image
from gui.settings import Settings
from gui.sight import Sight, class_colours
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import Frame, LabelledBox, LabelledPicture, LabelledSet, RemovedPicture, Result, TrainingConfig

ENOUGH = 20  # pictures
FEWEST = 2  # pictures with boxes: one to learn from, one to measure with
FIRST_SET = "objects"
START = "detector"  # the network whose knowledge is built upon
MOST_SUGGESTED = 30
SAME = 0.6  # overlap from which on a suggestion is of what has a box already
LATER = 200  # milliseconds
FRESH = 0.25  # seconds: a camera's frames before that are from when it was paused
_UNDONE = 400  # steps that are remembered


@dataclass(frozen=True)
class State:
    """What a person has said of a picture: boxes, that there is nothing to find, that it belongs to the set."""

    boxes: Boxes = ()
    nothing: bool = False
    there: bool = True


@dataclass(eq=False)
class Sheet:
    """A picture on the desk.

    Attributes:
        title: what to call it.
        state: what is drawn on it now.
        pixels: (H, W, 3) uint8, as long as they are needed.
        path: its file, where it comes from one that is not in the set.
        frame: that shows it, for the network.
        number: in the set; None: it is not stored (yet).
        stored: the boxes as they are in the set.
        removed: what brings it back into the set.
        failed: what could not be stored; it is tried again once it has changed.
    """

    title: str
    state: State = field(default_factory=State)
    pixels: np.ndarray | None = None
    path: Path | None = None
    frame: Frame | None = None
    number: int | None = None
    stored: tuple[tuple[str, tuple[float, ...]], ...] = ()
    removed: RemovedPicture | None = None
    failed: State | None = None

    @property
    def meant(self) -> Boxes:
        """The boxes that count."""
        return tuple(box for box in self.state.boxes if not box.suggested and box.label)

    @property
    def counts(self) -> bool:
        """Whether it belongs into the set."""
        return self.state.there and (bool(self.meant) or self.state.nothing)

    @property
    def waits(self) -> bool:
        """Whether the set has it otherwise."""
        if self.failed == self.state:
            return False
        if not self.counts:
            return self.number is not None
        return self.number is None or self.stored != _plain(self.meant)


@dataclass(frozen=True, eq=False)
class Edit:
    """A step that can be undone: a picture is said to be something else."""

    sheet: Sheet
    before: State
    after: State
    how: str

    def about(self, sheet: Sheet) -> bool:
        return self.sheet is sheet

    def renamed(self, old: str, new: str) -> Edit:
        """The same step where a class has another name by now."""
        return replace(self, before=_renamed(self.before, old, new), after=_renamed(self.after, old, new))


@dataclass(frozen=True, eq=False)
class Renaming:
    """A step that can be undone: a class gets another name, in every picture."""

    old: str
    new: str

    def about(self, sheet: Sheet) -> bool:
        return False

    def renamed(self, old: str, new: str) -> Renaming:
        return self


@dataclass(eq=False)
class _Errand:
    work: Callable[[], Any]
    done: Callable[[Any], None]
    undone: Callable[[Exception], None]
    outcome: tuple[Any, Exception | None] | None = None


class Labeller(QWidget):
    """The stage.

    Attributes:
        picture: what is drawn on.
        folder: of the set.
        keys: the actions, for the list of shortcuts.
    Signals:
        closed(): back to the live picture.
        teach(TrainingConfig): train this.
        failed(BaseException), said(str): for notices and status bar.
    """

    closed = Signal()
    teach = Signal(object)
    failed = Signal(object)
    said = Signal(str)

    def __init__(
        self, bridge: Bridge, settings: Settings, live: LiveStage, sight: Sight, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._bridge, self._settings, self._live, self._sight = bridge, settings, live, sight
        self.folder = Path(settings.text("label-set") or str(data_folder() / "labels" / FIRST_SET))
        self._set: LabelledSet | None = None  # touched by errands alone
        self._open = False
        self._opening = False
        self._wanted_set: Path | None = None  # opened once all of this one is stored
        self._had: set[float] = set()  # when the frames were taken that have been on the desk
        self._errands: collections.deque[_Errand] = collections.deque()
        self._running: _Errand | None = None
        self._sheets: list[Sheet] = []
        self._current: Sheet | None = None
        self._classes: list[str] = []
        self._undo: list[Edit | Renaming] = []
        self._redo: list[Edit | Renaming] = []
        self._teaching = False
        self._looking_since = -1.0  # when a moving picture was asked for; below 0: none is shown
        self.picture = LabelPicture()
        self.keys: list[QAction] = []
        self._icons: list[tuple[QToolButton, str]] = []
        self._build()
        self.picture.edited.connect(self._edited)
        self.picture.class_wanted.connect(self._class_by_number)
        self.picture.chosen_changed.connect(self._show_chosen)
        bridge.preview.connect(self._take_preview)
        bridge.result.connect(self._take_result)
        bridge.capture.connect(lambda _: self._enable())
        theme.changed.connect(self._recolour)
        self._recolour()
        self._show_all()

    # building -------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.title = QLabel()
        self.title.setFont(scaled_font(self.title, 1.3, bold=True))
        self.set_button = QPushButton("Set")
        self.set_button.setToolTip("The folder that keeps the pictures and their boxes")
        self._set_menu = QMenu(self.set_button)
        self._set_menu.aboutToShow.connect(self._fill_sets)
        self.set_button.setMenu(self._set_menu)
        self.count = QLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, ENOUGH)
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(120)
        self.bar.setAccessibleName("Labelled pictures")
        self.stored = QLabel()
        set_role(self.stored, role="dim")
        self.teach_button = QPushButton("Teach…")
        set_role(self.teach_button, primary="true")
        self.teach_button.clicked.connect(lambda _=False: self.begin_teaching())
        self.close_button = QPushButton("Back to Live")
        self.close_button.setToolTip("Everything is stored already (Esc)")
        self.close_button.clicked.connect(lambda _=False: self.close_page())
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(self.title)
        head.addWidget(self.set_button)
        head.addStretch(1)
        parts: tuple[QWidget, ...] = (self.stored, self.count, self.bar, self.teach_button, self.close_button)
        for part in parts:
            head.addWidget(part)

        bar = QToolBar()
        bar.setIconSize(QSize(20, 20))
        self.frame_button = self._tool("step", "Take the next frame of the source", "F", self.next_frame)
        self.open_button = self._tool("pictures", "Open pictures…", "O", self._ask_for_pictures)
        self.back_button = self._tool("left", "Previous picture", "PgUp", lambda: self.turn(-1))
        self.on_button = self._tool("right", "Next picture", "PgDown", lambda: self.turn(1))
        self.where = QLabel()
        self.undo_button = self._tool("undo", "Undo", "Ctrl+Z", self.undo)
        self.redo_button = self._tool("redo", "Redo", ("Ctrl+Shift+Z", "Ctrl+Y"), self.redo)
        self.remove_button = self._tool("clear", "Remove this picture", "Ctrl+Del", self.remove_picture)
        self.fit_button = self._tool("fit", "Fit to the window", "Ctrl+0", self.picture.fit)
        for text, button in (("Next frame", self.frame_button), ("Open pictures…", self.open_button)):
            button.setText(text)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            bar.addWidget(button)
        bar.addSeparator()
        bar.addWidget(self.back_button)
        bar.addWidget(self.where)
        bar.addWidget(self.on_button)
        bar.addSeparator()
        for button in (self.undo_button, self.redo_button):
            bar.addWidget(button)
        gap = QWidget()
        gap.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        bar.addWidget(gap)
        for button in (self.remove_button, self.fit_button):
            bar.addWidget(button)

        self.empty = self._build_empty()
        self._pages = QStackedLayout()
        self._pages.addWidget(self.empty)
        self._pages.addWidget(self.picture)
        self.hint = QLabel()
        set_role(self.hint, role="dim")
        self.hint.setWordWrap(True)
        left = QVBoxLayout()
        left.setSpacing(4)
        left.addWidget(bar)
        left.addLayout(self._pages, 1)
        left.addWidget(self.hint)
        body = QHBoxLayout()
        body.setSpacing(16)
        body.addLayout(left, 1)
        body.addWidget(self._build_side())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(6)
        layout.addLayout(head)
        layout.addLayout(body, 1)
        self.setFocusProxy(self.picture)

    def _build_empty(self) -> QWidget:
        page = QWidget()
        title = QLabel("Show it twenty pictures of your object")
        title.setFont(scaled_font(title, 1.6, bold=True))
        words = QLabel(
            "Take frames from the camera or a video, or open pictures, and draw a box around the object wherever it "
            "is. About twenty pictures are enough for a detector to find it by itself."
        )
        words.setWordWrap(True)
        words.setFixedWidth(560)
        set_role(words, role="dim")
        self.empty_frame = QPushButton("Take a frame")
        self.empty_frame.clicked.connect(lambda _=False: self.next_frame())
        self.empty_open = QPushButton("Open pictures…")
        self.empty_open.clicked.connect(lambda _=False: self._ask_for_pictures())
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        row.addWidget(self.empty_frame)
        row.addWidget(self.empty_open)
        row.addStretch(1)
        layout = QVBoxLayout(page)
        layout.setSpacing(12)
        layout.addStretch(1)
        for label in (title, words):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addLayout(row)
        layout.addStretch(1)
        return page

    def _build_side(self) -> QWidget:
        side = QWidget()
        side.setFixedWidth(250)
        heading = QLabel("Classes")
        set_role(heading, role="title")
        self.list = QListWidget()
        self.list.setAccessibleName("Classes; 1 to 9 give the chosen box its class")
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.list.currentRowChanged.connect(self._row_chosen)
        self.list.itemClicked.connect(lambda item: self._put_class(self.list.row(item)))
        self.list.itemActivated.connect(lambda item: self._put_class(self.list.row(item)))
        for text, key, slot in (("Rename…", "F2", self._ask_for_name), ("Remove", "Del", self._remove_class)):
            action = QAction(text, self.list)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(lambda _=False, slot=slot: slot())
            self.list.addAction(action)
        self.name = QLineEdit()
        self.name.setPlaceholderText("New class… (N)")
        self.name.setAccessibleName("Name of a new class")
        self.name.setToolTip("What the object is called; Enter adds it")
        self.name.setMaxLength(60)
        self.name.returnPressed.connect(self._new_class)
        remark = QLabel("Box every object of these classes in every picture: what has no box is learnt to be none.")
        remark.setWordWrap(True)
        set_role(remark, role="dim")
        self.suggested = QLabel()
        self.suggested.setWordWrap(True)
        set_role(self.suggested, role="title")
        self.accept_button = QPushButton("Accept all")
        self.accept_button.setToolTip("Mean all suggestions (Shift+Enter); Enter accepts the chosen one")
        self.accept_button.clicked.connect(lambda _=False: self.picture.accept_all())
        self.reject_button = QPushButton("Reject all")
        self.reject_button.setToolTip("Take all suggestions away; Del takes the chosen one")
        self.reject_button.clicked.connect(lambda _=False: self.picture.reject_all())
        self.suggest_button = QPushButton("Suggest boxes")
        self.suggest_button.setToolTip("Ask the network of Live what it finds here (S)")
        self.suggest_button.clicked.connect(lambda _=False: self.suggest())
        self.nothing = QCheckBox("Nothing to find here (X)")
        self.nothing.setToolTip("A picture without any of the objects also teaches: what looks like one and is none")
        self.nothing.clicked.connect(self._nothing_clicked)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.accept_button, 1)
        row.addWidget(self.reject_button, 1)
        for text, key, slot in (
            ("Name a new class", "N", self.name.setFocus),
            ("Suggest boxes", "S", self.suggest),
            ("Nothing to find here", "X", self.nothing.click),
            ("Teach…", "Ctrl+Return", self.begin_teaching),
        ):
            self._key(text, key, slot)
        layout = QVBoxLayout(side)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(heading)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.name)
        layout.addWidget(remark)
        layout.addSpacing(8)
        layout.addWidget(self.suggested)
        layout.addLayout(row)
        layout.addWidget(self.suggest_button)
        layout.addWidget(self.nothing)
        return side

    def _tool(self, icon: str, tip: str, keys: str | tuple[str, ...], slot: Callable[[], object]) -> QToolButton:
        action = self._key(tip, keys, slot)
        shown = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        button = QToolButton()
        button.setToolTip(f"{tip.rstrip('…')} ({shown})")
        button.setAccessibleName(tip.rstrip("…"))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda _=False: slot())
        self._icons.append((button, icon))
        return button

    def _key(self, text: str, keys: str | tuple[str, ...], slot: Callable[[], object]) -> QAction:
        action = QAction(text, self)
        action.setShortcuts([QKeySequence(key) for key in ((keys,) if isinstance(keys, str) else keys)])
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda _=False: slot())
        self.addAction(action)
        self.keys.append(action)
        return action

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def sheets(self) -> list[Sheet]:
        """The pictures on the desk, in their order."""
        return [sheet for sheet in self._sheets if sheet.state.there]

    @property
    def current(self) -> Sheet | None:
        return self._current

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._classes)

    @property
    def labelled(self) -> int:
        """How many pictures the set has, those included that are being stored."""
        return sum(sheet.counts for sheet in self._sheets)

    @property
    def busy(self) -> bool:
        """Something is being read or stored."""
        return self._running is not None or bool(self._errands)

    def begin(self, frame: Frame | None, result: Result | None) -> None:
        """Label this frame, in which the network has found `result`; None: go on with what is there."""
        if not self._open and not self._opening:
            self._open_set(self.folder)
        if frame is not None and frame.time not in self._had:
            self._take_frame(frame, result)
        elif self._current is None and self.sheets:
            self._show_sheet(self.sheets[-1])
        self._enable()
        self.picture.setFocus()

    def next_frame(self) -> None:
        """Take another frame of the source: of a camera, after having looked at it live."""
        source = self._bridge.source
        state = self._bridge.source_state
        if self._looking_since >= 0:
            frame = self._moving
            if frame is None:
                self.said.emit("There is no picture yet")
            else:
                self._stop_looking()
                self._take_frame(frame, None)
            return
        if source is None:
            if self._live.spec:  # a camera that was given back meanwhile
                self._live.open(self._live.spec)
                self._look()
            return
        info = state.info if state is not None else None
        if info is None:
            return
        if info.live:
            source.resume()
            self._look()
            return
        shown, taken = self._live.picture.frame, self._taken
        newest = max((each for each in (shown, taken) if each is not None), key=lambda each: each.time, default=None)
        index = newest.index if newest is not None else -1
        if info.frames and index >= info.frames - 1:
            self.said.emit("That was the last picture of the source")
            return
        # The next frame of a video shows the same once more; a second later there is something else to see.
        step = 1 if info.kind == "pictures" else max(1, round(info.fps))
        self._wanted_after = self._bridge.now()
        source.pause()
        source.seek(max(0, index) + step)

    def open(self, paths: Sequence[Path]) -> None:
        """Put pictures onto the desk."""
        known = {sheet.path for sheet in self._sheets if sheet.path is not None}
        first: Sheet | None = None
        for path in paths:
            if path not in known:
                sheet = Sheet(path.name, path=path)
                self._sheets.append(sheet)
                first = first or sheet
        if first is not None:
            self._show_sheet(first)

    def turn(self, step: int) -> None:
        """The next picture, or the one before."""
        sheets = self.sheets
        if not sheets:
            return
        if self._current not in sheets:
            self._show_sheet(sheets[-1 if step < 0 else 0])
            return
        place = sheets.index(self._current) + step
        if 0 <= place < len(sheets):
            self._show_sheet(sheets[place])

    def remove_picture(self) -> None:
        """Take the picture that is shown out of the set."""
        sheet, sheets = self._current, self.sheets
        if sheet is not None and sheet in sheets:
            place = sheets.index(sheet)
            self._do(Edit(sheet, sheet.state, replace(sheet.state, there=False), "remove"), show=False)
            left = self.sheets
            self._show_sheet(left[min(place, len(left) - 1)] if left else None)

    def undo(self) -> None:
        if self._undo:
            step = self._undo.pop()
            self._redo.append(step)
            if isinstance(step, Edit):
                self._put(step.sheet, step.before)
            else:
                self._rename_back(step.new, step.old)

    def redo(self) -> None:
        if self._redo:
            step = self._redo.pop()
            self._undo.append(step)
            if isinstance(step, Edit):
                self._put(step.sheet, step.after)
            else:
                self._rename_back(step.old, step.new)

    def suggest(self) -> None:
        """Ask the network what it finds in the picture that is shown."""
        sheet = self._current
        if sheet is None or sheet.pixels is None or self._looking_since >= 0:
            return
        if self._sight.card is None:
            self.said.emit("Choose a network that finds objects (Ctrl+M): its boxes are suggested here")
            return
        if sheet.frame is None:
            from engine import Frame

            sheet.frame = Frame(sheet.pixels, "labels", 0, -1.0)  # of no source, so Live does not show it
        self._bridge.submit(sheet.frame)

    def begin_teaching(self) -> None:
        """Train a detector with the set, once all of it is stored."""
        if self.teach_button.isEnabled():
            self._teaching = True
            self._enable()
            self._store_next()

    def close_page(self) -> None:
        """Back to Live."""
        self._stop_looking()
        self.closed.emit()

    def finish(self) -> None:
        """The window goes and no thread runs any more: store what is not stored yet."""
        errand, self._running = self._running, None
        self._errands.clear()
        self._teaching = False
        if errand is not None and errand.outcome is not None and errand.outcome[1] is None:
            with contextlib.suppress(EngineError):
                errand.done(errand.outcome[0])
        self._errands.clear()
        if self._set is None and any(sheet.waits for sheet in self._sheets):
            from engine import LabelledSet

            with contextlib.suppress(EngineError):
                self._set = LabelledSet(self.folder)
        if self._set is None:
            return
        for sheet in self._waiting:
            with contextlib.suppress(EngineError):
                self._stored_as(sheet, _store(self._set, _Job(sheet)))

    # sets -----------------------------------------------------------------------------------------------------------

    def open_set(self, folder: Path) -> None:
        """Go on with another set; the one that was open is stored."""
        if folder == self.folder and self._open:
            return
        self._wanted_set = folder
        if self._open:
            self._store_next()
        else:
            self._open_wanted()

    def _open_wanted(self) -> None:
        folder, self._wanted_set = self._wanted_set, None
        if folder is not None:
            self._open_set(folder)

    def _open_set(self, folder: Path) -> None:
        drafts = [sheet for sheet in self._sheets if sheet.number is None and not sheet.counts and sheet.state.there]

        def work() -> tuple[LabelledSet, Any]:
            from engine import LabelledSet

            opened = LabelledSet(folder)
            return opened, (opened.classes, opened.pictures)

        def done(found: tuple[LabelledSet, tuple[tuple[str, ...], tuple[LabelledPicture, ...]]]) -> None:
            if not first and self._waiting:  # drawn meanwhile, for the set that is still open
                self._opening, self._wanted_set = False, self._wanted_set or folder
                return
            self._set, (classes, pictures) = found
            named = [name for name in self._classes if first and name not in classes]  # while it was being opened
            self._open, self._opening = True, False
            self.folder = folder
            self._settings.set("label-set", str(folder))
            self._classes = list(classes)
            for name in named:
                self._add_class(name)
            self._undo.clear()
            self._redo.clear()
            fresh = [sheet for sheet in self._sheets if sheet in drafts or (first and sheet.number is None)]
            self._sheets = [*map(_sheet_of, pictures), *fresh]
            if self._current not in self._sheets:
                self._show_sheet(self._sheets[-1] if self._sheets else None)
            if self.picture.label not in self._classes:
                self.picture.label = self._classes[0] if self._classes else ""
            self._show_all()

        def undone(error: Exception) -> None:
            self._opening = False
            self.failed.emit(error)
            self._show_all()

        first = not self._open
        self._opening = True
        self._do_errand(work, done, undone)

    def _fill_sets(self) -> None:
        menu = self._set_menu
        menu.clear()
        root = data_folder() / "labels"
        try:
            found = sorted(path.parent for path in root.glob("*/train.json"))
        except OSError:
            found = []
        for folder in dict.fromkeys((*found, self.folder)):
            action = menu.addAction(folder.name.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(folder == self.folder)
            action.triggered.connect(lambda _=False, folder=folder: self.open_set(folder))
        menu.addSeparator()
        menu.addAction("New set…").triggered.connect(lambda _=False: self._ask_for_set())
        menu.addAction("Open a folder…").triggered.connect(lambda _=False: self._ask_for_folder())

    def _ask_for_set(self) -> None:
        def begin(name: str) -> None:
            name = "".join(letter if letter.isalnum() or letter in "-_ " else "-" for letter in name).strip()
            if name:
                self.open_set(data_folder() / "labels" / name)

        self._ask("New set", "What is it to be called? A network that learns from it takes the name.", "", begin)

    def _ask_for_folder(self) -> None:
        folder = ask_for_folder(self, self._settings)
        if folder is not None:
            self.open_set(folder)

    def _ask_for_pictures(self) -> None:
        self.open(ask_for_pictures(self, self._settings))

    def _ask(self, title: str, words: str, text: str, chosen: Callable[[str], object]) -> None:
        dialog = QInputDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(title)
        dialog.setLabelText(words)
        dialog.setTextValue(text)
        dialog.textValueSelected.connect(chosen)
        dialog.open()

    # pictures -------------------------------------------------------------------------------------------------------

    _moving: Frame | None = None  # the newest frame of a camera that is looked at
    _taken: Frame | None = None  # the last frame that was asked for
    _wanted_after = -1.0  # the next frame that comes after this moment is taken; below 0: none

    def _take_frame(self, frame: Frame, result: Result | None) -> None:
        """A frame becomes a sheet; one that nobody has touched gives way to it."""
        self._had.add(frame.time)
        before = self._current
        if before is not None and before.frame is not None and not before.meant and before.number is None:
            touched = before.state.nothing or any(not box.suggested for box in before.state.boxes)
            steps = (*self._undo, *self._redo)  # one that was undone may be wanted after all
            if not touched and before in self._sheets and not any(step.about(before) for step in steps):
                self._sheets.remove(before)
        title = f"{frame.source} {frame.index + 1}" if frame.source else "frame"
        sheet = Sheet(title, pixels=np.ascontiguousarray(frame.image), frame=frame)
        self._sheets.append(sheet)
        self._show_sheet(sheet, ask=result is None)
        if result is not None:
            self._suggest_of(sheet, result)

    def _show_sheet(self, sheet: Sheet | None, *, ask: bool = True) -> None:
        self._stop_looking()
        before, self._current = self._current, sheet
        if before is not None:
            self._let_go(before)
        if sheet is None:
            self.picture.clear()
        elif sheet.pixels is not None:
            self._show_pixels(sheet, own_image(sheet.pixels), ask=ask)
        else:
            self.picture.clear()
            self._read(sheet)
        self._show_all()

    def _show_pixels(self, sheet: Sheet, image: QImage, *, ask: bool) -> None:
        self.picture.show_picture(image.convertToFormat(QImage.Format.Format_RGB32), sheet.state.boxes)
        if ask and not sheet.state.boxes and not sheet.state.nothing and self._sight.card is not None:
            self.suggest()

    def _let_go(self, sheet: Sheet) -> None:
        """A picture that is not shown, and that the set has as it should be, takes no room here."""
        if sheet is not self._current and sheet.number is not None and not sheet.waits:
            sheet.pixels = sheet.frame = None

    def _read(self, sheet: Sheet) -> None:
        def work() -> tuple[np.ndarray, QImage]:
            from engine import read_picture

            # Errands that were asked for earlier may have put it into the set or taken it out, so where it is found
            # is looked up only now. Until this one is over nothing of it changes.
            kept = sheet.number if sheet.number is not None else sheet.removed
            if kept is not None:
                assert self._set is not None
                pixels = self._set.read(kept)
            else:
                assert sheet.path is not None
                pixels = read_picture(sheet.path)
            return pixels, own_image(pixels).convertToFormat(QImage.Format.Format_RGB32)

        def done(read: tuple[np.ndarray, QImage]) -> None:
            sheet.pixels, image = read
            if sheet is self._current:
                self._show_pixels(sheet, image, ask=True)
                self._show_all()
            else:
                self._let_go(sheet)

        def undone(error: Exception) -> None:
            if sheet not in self._sheets:  # another set was opened
                return
            self.failed.emit(error)
            if sheet.number is None and sheet.removed is None:
                self._drop(sheet)
            self._show_all()

        self._do_errand(work, done, undone)

    def _drop(self, sheet: Sheet) -> None:
        """Off the desk, with no way back."""
        place = self._sheets.index(sheet)
        self._sheets.remove(sheet)
        self._undo = [step for step in self._undo if not step.about(sheet)]
        self._redo = [step for step in self._redo if not step.about(sheet)]
        if sheet is self._current:
            left = self.sheets
            on = next((each for each in self._sheets[place:] if each.state.there), left[-1] if left else None)
            self._show_sheet(on)

    def _look(self) -> None:
        """Show what the camera sees, until a frame of it is taken."""
        self._looking_since = self._bridge.now()
        self._moving = None
        self._pages.setCurrentWidget(self.picture)
        self._enable()
        self.picture.setFocus()

    def _stop_looking(self) -> None:
        if self._looking_since >= 0:
            self._looking_since = -1.0
            self._moving = None
            if self._bridge.source is not None:
                self._bridge.source.pause()

    def _take_preview(self, frame: Frame) -> None:
        if not self.isVisible():
            return
        if self._looking_since >= 0 and frame.time > self._looking_since + FRESH:
            self._moving = frame
            self.picture.show_moving(own_image(frame.image), "F takes this picture")
        elif 0 <= self._wanted_after < frame.time and self._looking_since < 0:
            self._wanted_after = -1.0
            self._taken = frame
            self._take_frame(frame, None)

    def _take_result(self, result: Result) -> None:
        sheet = self._current
        if sheet is not None and sheet.frame is result.frame and self._looking_since < 0:
            self._suggest_of(sheet, result)

    def _suggest_of(self, sheet: Sheet, result: Result) -> None:
        """What the network has found becomes suggestions, except where there is a box already."""
        found = self._sight.filtered(result.detections)
        if found is None:
            return
        if self.picture.dragging and sheet is self._current:  # not while somebody draws
            QTimer.singleShot(LATER, self, lambda: self._suggest_of(sheet, result))
            return
        mine = [box for box in sheet.state.boxes if not box.suggested]
        new: list[DrawnBox] = []
        rows = zip(found.xyxy.tolist(), found.confidence.tolist(), found.class_id.tolist(), strict=True)
        height, width = result.frame.image.shape[:2]
        for (x0, y0, x1, y1), score, number in rows:
            box = (max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1))
            solid = box[2] - box[0] >= 2 and box[3] - box[1] >= 2
            if solid and all(_overlap(box, each.xyxy) < SAME for each in mine) and len(new) < MOST_SUGGESTED:
                new.append(DrawnBox(found.labels[number], box, score))
        sheet.state = replace(sheet.state, boxes=(*mine, *new))
        if sheet is self._current:
            before = self.picture.boxes[self.picture.chosen] if self.picture.chosen >= 0 else None
            boxes = sheet.state.boxes
            self.picture.show_boxes(boxes, boxes.index(before) if before in boxes else -1)
            self._show_all()

    # edits ----------------------------------------------------------------------------------------------------------

    def _edited(self, boxes: Boxes, how: str) -> None:
        sheet = self._current
        if sheet is None:
            return
        nothing = sheet.state.nothing and not any(not box.suggested for box in boxes)
        self._do(Edit(sheet, sheet.state, replace(sheet.state, boxes=boxes, nothing=nothing), how), drawn=True)
        for box in boxes:
            if box.label and not box.suggested and box.label not in self._classes:
                self._add_class(box.label)
        if any(not box.label for box in boxes):
            self.name.setFocus()

    def _nothing_clicked(self, on: bool) -> None:
        sheet = self._current
        if sheet is not None:
            boxes = () if on else sheet.state.boxes
            self._do(Edit(sheet, sheet.state, replace(sheet.state, boxes=boxes, nothing=on), "nothing"))

    def _do(self, edit: Edit, *, show: bool = True, drawn: bool = False) -> None:
        last = self._undo[-1] if self._undo else None
        by_keys = isinstance(last, Edit) and edit.how.endswith("by keys") and last.how == edit.how
        if isinstance(last, Edit) and by_keys and last.sheet is edit.sheet and last.after == edit.before:
            self._undo.pop()
            edit = Edit(edit.sheet, last.before, edit.after, edit.how)
        self._remember(edit)
        edit.sheet.state = edit.after
        if show and not drawn:
            self.picture.show_boxes(edit.after.boxes)
        self._show_all()
        self._store_next()

    def _remember(self, step: Edit | Renaming) -> None:
        self._undo = [*self._undo[-_UNDONE:], step]
        self._redo.clear()

    def _put(self, sheet: Sheet, state: State) -> None:
        """Back to an earlier state, or on to a later one; what it is about is shown."""
        sheet.state = state
        if not state.there:
            if sheet is self._current:
                left = self.sheets
                self._show_sheet(left[-1] if left else None)
        elif sheet is not self._current:
            self._show_sheet(sheet, ask=False)
        else:
            self.picture.show_boxes(state.boxes)
        self._show_all()
        self._store_next()

    # classes --------------------------------------------------------------------------------------------------------

    def _new_class(self) -> None:
        from engine import class_name

        try:
            name = class_name(self.name.text())
        except EngineError as error:
            self.said.emit(str(error))
            return
        self.name.clear()
        if name not in self._classes:
            self._add_class(name)
        self._put_class(self._classes.index(name))
        self.picture.setFocus()

    def _add_class(self, name: str) -> None:
        self._classes.append(name)
        self._show_all()
        if not self._open:  # it is added when the set is there
            return

        def work() -> None:
            assert self._set is not None
            self._set.add_class(name)

        self._do_errand(work, lambda _: None, self.failed.emit)

    def _class_by_number(self, number: int) -> None:
        if number < len(self._classes):
            self._put_class(number)

    def _put_class(self, number: int) -> None:
        """The class of the chosen box, of those that have none yet, and of the next ones."""
        name = self._classes[number]
        self.picture.put_class(name)
        boxes = self.picture.boxes
        if any(not box.label for box in boxes):
            named = tuple(box if box.label else replace(box, label=name) for box in boxes)
            self.picture.show_boxes(named)
            self._edited(named, "class")
        self._show_all()
        self.picture.setFocus()

    def _row_chosen(self, row: int) -> None:
        if 0 <= row < len(self._classes):
            self.picture.label = self._classes[row]

    def _ask_for_name(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self._classes):
            old = self._classes[row]
            self._ask("Rename the class", f"What is “{old}” to be called?", old, lambda new: self.rename(old, new))

    def rename(self, old: str, new: str) -> None:
        """Give a class another name, in every picture; a step that can be undone."""

        def done(name: str) -> None:
            if name != old:
                self._remember(Renaming(old, name))
                self._enable()

        self._rename(old, new, done, self.failed.emit)

    def _rename_back(self, old: str, new: str) -> None:
        """Undo or redo a renaming."""

        def undone(error: Exception) -> None:
            # Later ones build upon it; other steps do not, as they have the names that are there now.
            self._undo = [step for step in self._undo if isinstance(step, Edit)]
            self._redo = [step for step in self._redo if isinstance(step, Edit)]
            self.failed.emit(error)
            self._enable()

        self._rename(old, new, lambda _: None, undone)
        self._enable()

    def _rename(
        self, old: str, new: str, done_as: Callable[[str], None], undone: Callable[[Exception], object]
    ) -> None:
        if not self._open or self._opening:
            return

        def work() -> str:
            from engine import class_name

            assert self._set is not None
            self._set.rename_class(old, new)
            return class_name(new)

        def done(name: str) -> None:
            self._classes = [name if each == old else each for each in self._classes]
            for sheet in self._sheets:
                sheet.state = _renamed(sheet.state, old, name)
                sheet.stored = tuple((name if label == old else label, box) for label, box in sheet.stored)
            self._undo = [step.renamed(old, name) for step in self._undo]
            self._redo = [step.renamed(old, name) for step in self._redo]
            if self.picture.label == old:
                self.picture.label = name
            if self._current is not None:
                self.picture.show_boxes(self._current.state.boxes)
            done_as(name)
            self._show_all()

        self._do_errand(work, done, undone)

    def _remove_class(self) -> None:
        row = self.list.currentRow()
        if not 0 <= row < len(self._classes) or not self._open:
            return
        name = self._classes[row]

        def work() -> None:
            assert self._set is not None
            self._set.remove_class(name)

        def done(_: None) -> None:
            self._classes = [each for each in self._classes if each != name]
            if self.picture.label == name:
                self.picture.label = self._classes[0] if self._classes else ""
            self._show_all()

        self._do_errand(work, done, self.failed.emit)

    # errands --------------------------------------------------------------------------------------------------------

    def _do_errand(
        self, work: Callable[[], Any], done: Callable[[Any], None], undone: Callable[[Exception], Any]
    ) -> None:
        self._errands.append(_Errand(work, done, undone))
        self._next_errand()

    def _next_errand(self) -> None:
        if self._running is not None:
            return
        if not self._errands:
            self._store_next()
            return
        errand = self._running = self._errands.popleft()

        def run() -> None:
            try:
                errand.outcome = errand.work(), None
            except Exception as error:  # whatever it is, all that was drawn since waits behind this errand
                errand.outcome = None, error

        def over(_: None) -> None:
            if self._running is not errand or errand.outcome is None:
                return
            self._running = None
            value, error = errand.outcome
            try:
                if error is None:
                    errand.done(value)
                else:
                    errand.undone(error)
            finally:
                self._next_errand()
                self._show_stored()

        self._bridge.call(run, over)

    @property
    def _waiting(self) -> list[Sheet]:
        """What is to be stored: first what leaves the set, so that it is out of the way of what comes back."""
        return sorted((sheet for sheet in self._sheets if sheet.waits), key=lambda sheet: sheet.counts)

    def _store_next(self) -> None:
        """Store the next sheet that the set has otherwise; once there is none, teach if that was asked for.

        Errands come first, so that a sheet is stored as it is then: under the names that classes have by now.
        """
        if self.busy or not self._open:
            return
        sheet = next(iter(self._waiting), None)
        if sheet is None:
            if self._wanted_set is not None:
                self._open_wanted()
            elif self._teaching:
                self._make_recipe()
            self._show_stored()
            return
        job = _Job(sheet)

        def work() -> _Stored:
            assert self._set is not None
            return _store(self._set, job)

        def undone(error: Exception) -> None:
            self._teaching = False
            sheet.failed = job.state
            self.failed.emit(error)
            self._enable()

        self._do_errand(work, lambda stored: self._stored_as(sheet, stored), undone)
        self._show_stored()

    def _stored_as(self, sheet: Sheet, stored: _Stored) -> None:
        sheet.number, sheet.stored, sheet.removed = stored.number, stored.boxes, stored.removed
        sheet.failed = None
        self._let_go(sheet)

    def _make_recipe(self) -> None:
        self._teaching = False

        def work() -> TrainingConfig:
            from engine import model_card

            assert self._set is not None
            try:
                start = model_card(START)
            except EngineError:
                start = None
            return self._set.recipe(start)

        self._do_errand(work, self.teach.emit, self.failed.emit)
        self._enable()

    # showing --------------------------------------------------------------------------------------------------------

    def _show_all(self) -> None:
        sheets = self.sheets
        sheet = self._current
        looking = self._looking_since >= 0
        self._pages.setCurrentWidget(self.picture if sheet is not None or looking else self.empty)
        self.title.setText("Label")
        self.set_button.setText(self.folder.name or str(self.folder))
        place = sheets.index(sheet) + 1 if sheet in sheets else 0
        self.where.setText(f"{place} of {len(sheets)}" if sheets else "")
        self.where.setToolTip(sheet.title if sheet is not None else "")
        labelled = self.labelled
        self.bar.setValue(min(ENOUGH, labelled))
        self.count.setText(
            f"{labelled} of about {ENOUGH} that are enough"
            if labelled < ENOUGH
            else f"{labelled} pictures; about {ENOUGH} are enough"
        )
        self._show_classes()
        self._show_chosen()
        self._show_stored()
        self._enable()

    def _show_classes(self) -> None:
        counts = collections.Counter(box.label for s in self._sheets if s.state.there for box in s.meant)
        suggested = (box.label for box in self._current.state.boxes) if self._current is not None else ()
        colours = class_colours(tuple(dict.fromkeys((*self._classes, *(name for name in suggested if name)))))
        self.picture.set_colours(colours)
        self.list.blockSignals(True)
        while self.list.count() > len(self._classes):
            self.list.takeItem(self.list.count() - 1)
        while self.list.count() < len(self._classes):
            self.list.addItem(QListWidgetItem())
        for row, name in enumerate(self._classes):
            item = self.list.item(row)
            count = counts.get(name, 0)
            boxes = f"{count} box{'es' if count != 1 else ''}"
            key = f"{row + 1}  " if row < 9 else ""
            item.setText(f"{key}{name} · {boxes}")
            item.setIcon(_swatch(colours[name]))
            item.setToolTip(f"{f'Key {row + 1}: ' if row < 9 else ''}the class of the chosen box and of the next ones")
        if self.picture.label in self._classes:
            self.list.setCurrentRow(self._classes.index(self.picture.label))
        self.list.blockSignals(False)

    def _show_chosen(self) -> None:
        boxes = self.picture.boxes
        suggested = sum(box.suggested for box in boxes)
        card = self._sight.card
        who = card.title if card is not None else "the network"
        if suggested:
            words = f"{suggested} suggestion{'s' if suggested != 1 else ''} of {who}"
        else:
            words = ""
        self.suggested.setText(words)
        for widget in (self.suggested, self.accept_button, self.reject_button):
            widget.setVisible(bool(suggested))
        if self._current is None:
            hint = ""
        elif any(not box.label for box in boxes):
            hint = "What is it? Type its name and press Enter, or press the number of a class."
        elif self.picture.chosen >= 0 and boxes[self.picture.chosen].suggested:
            hint = "Enter: it is one · Del: it is none · 1–9: it is something else · Tab: next box"
        elif self.picture.chosen >= 0:
            hint = "Arrows move it, with Shift they resize it (Ctrl: faster) · 1–9: class · Del · Tab: next box"
        else:
            hint = "Drag to draw a box, or press D · Tab goes from box to box · wheel zooms, middle button moves"
        self.hint.setText(hint)

    def _show_stored(self) -> None:
        if any(sheet.failed == sheet.state for sheet in self._sheets if sheet.failed is not None):
            words = "Not stored"
        elif self._waiting:
            words = "Storing…" if self._open or self._opening else "Not stored"
        else:
            words = "Stored" if any(sheet.number is not None for sheet in self._sheets) else ""
        self.stored.setText(words)
        self.stored.setToolTip(f"In {self.folder}")

    def _enable(self) -> None:
        sheets, sheet = self.sheets, self._current
        place = sheets.index(sheet) if sheet in sheets else -1
        self.back_button.setEnabled(place > 0)
        self.on_button.setEnabled(0 <= place < len(sheets) - 1)
        self.undo_button.setEnabled(bool(self._undo))
        self.redo_button.setEnabled(bool(self._redo))
        self.remove_button.setEnabled(sheet is not None)
        self.fit_button.setEnabled(sheet is not None)
        self.suggest_button.setEnabled(sheet is not None and sheet.pixels is not None)
        self.nothing.setEnabled(sheet is not None and not sheet.meant)
        self.nothing.setChecked(sheet is not None and sheet.state.nothing)
        source = self._bridge.source is not None or bool(self._live.spec)
        looking = self._looking_since >= 0
        self.frame_button.setEnabled(source)
        self.frame_button.setText("Take this frame" if looking else "Next frame")
        tip = "Take what the camera sees now (F)" if looking else "Take the next frame of the source (F)"
        self.frame_button.setToolTip(tip if source else "Nothing plays in Live: choose a source there first")
        self.empty_frame.setVisible(source)
        boxed = sum(bool(each.meant) and each.state.there for each in self._sheets)
        self.teach_button.setEnabled(boxed >= FEWEST and not self._teaching)
        self.teach_button.setText("Teach…" if not self._teaching else "Storing…")
        if boxed < FEWEST:
            tip = f"Draw boxes in {FEWEST} pictures at least; about {ENOUGH} are enough"
        else:
            few = f" About {ENOUGH} pictures are enough; with fewer it finds less." if self.labelled < ENOUGH else ""
            tip = f"Train a detector with these boxes, and watch it learn (Ctrl+Return).{few}"
        self.teach_button.setToolTip(tip)

    def _recolour(self) -> None:
        for button, name in self._icons:
            button.setIcon(theme.icon(name))
        self.picture.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() != Qt.Key.Key_Escape:
            super().keyPressEvent(event)
        elif self.name.hasFocus():
            self.name.clear()
            self.picture.setFocus()
        elif self._looking_since >= 0:
            self._show_sheet(self._current)
        else:
            self.close_page()


# ------------------------------------------------------------------------------------------------------------ storing


class _Job:
    """What is to be stored of a sheet; taken in the window's thread, so that a thread may use it."""

    def __init__(self, sheet: Sheet) -> None:
        self.state, self.counts, self.meant = sheet.state, sheet.counts, sheet.meant
        self.pixels, self.path, self.title = sheet.pixels, sheet.path, sheet.title
        self.number, self.removed = sheet.number, sheet.removed


@dataclass(frozen=True, eq=False)
class _Stored:
    number: int | None
    boxes: tuple[tuple[str, tuple[float, ...]], ...]
    removed: RemovedPicture | None


def _store(labelled: LabelledSet, job: _Job) -> _Stored:
    """Bring the set to what the sheet says."""
    number, removed = job.number, job.removed
    if not job.counts:
        if number is not None:
            removed = labelled.remove(number)
        return _Stored(None, (), removed)
    boxes = _boxes_of(job.meant)
    if number is not None:
        labelled.change(number, boxes)
    elif removed is not None:
        number = labelled.restore(removed, boxes).number
    elif job.path is not None:
        number = labelled.add(job.path, boxes).number
    else:
        assert job.pixels is not None
        number = labelled.add(job.pixels, boxes, name=Path(job.title).stem or "frame").number
    return _Stored(number, _plain(job.meant), None)


def _renamed(state: State, old: str, new: str) -> State:
    boxes = tuple(replace(box, label=new) if box.label == old else box for box in state.boxes)
    return replace(state, boxes=boxes)


def _boxes_of(boxes: Boxes) -> list[LabelledBox]:
    from engine import LabelledBox

    return [LabelledBox(box.label, box.xyxy) for box in boxes]


def _plain(boxes: Boxes) -> tuple[tuple[str, tuple[float, ...]], ...]:
    return tuple((box.label, box.xyxy) for box in boxes)


def _sheet_of(picture: LabelledPicture) -> Sheet:
    boxes = tuple(DrawnBox(box.label, box.xyxy) for box in picture.boxes)
    state = State(boxes, nothing=not boxes)
    return Sheet(Path(picture.file).name, state, number=picture.number, stored=_plain(boxes))


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    sizes = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / max(sizes - wide * high, 1e-9)


def _swatch(colour: str) -> QIcon:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
