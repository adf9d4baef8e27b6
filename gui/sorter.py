"""Sort a folder: a network says what is in thousands of pictures, and they are copied or moved into folders by that.

Nothing is done before a person has seen the groups and the sentence that says what will happen, and the button is
pressed; what was done can be undone, also after the program was closed. Files, networks and the making of plans are the
engine's and run in another thread; the page shows what they say.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from PySide6.QtCore import QLocale, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from engine import EngineError, Latest, Worker
from gui.bridge import Call
from gui.files import ask_for_folder, ask_where_to_sort
from gui.picture_groups import Group, GroupList, PictureGrid
from gui.settings import Settings
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import ModelCard, Recogniser, SortItem, SortJournal, SortOutcome, SortPlan, Tagged

Known: TypeAlias = Callable[[], "tuple[ModelCard, Recogniser] | None"]
Work: TypeAlias = Literal["", "look", "apply", "undo"]

ALL, NOTHING, UNREADABLE = "all", "nothing", "unreadable"  # groups that are no tags
ACTIONS = (("copy", "Copy into folders"), ("move", "Move into folders"), ("list", "Only write a list"))
DECIDERS = (("surest", "What is surest decides"), ("largest", "What is largest decides"))
PAUSE = 300  # milliseconds until what was changed is planned again
IN_MENU = 24  # tags that the menu of a picture offers by name
NAMED = 3  # files that a message names
RECENT = 5.0  # seconds over which the pace is counted
WORST_NAMED = 40  # lines of a tooltip


@dataclass
class Progress:
    """How far something is.

    Attributes:
        words: what is done now.
        times: of the last pictures, seconds.
    """

    words: str = ""
    done: int = 0
    total: int = 0
    begun: float = 0.0
    times: collections.deque[tuple[float, int]] = field(default_factory=collections.deque)

    def at(self, done: int, now: float) -> None:
        self.done = done
        self.times.append((now, done))
        while now - self.times[0][0] > RECENT and len(self.times) > 2:
            self.times.popleft()

    @property
    def pace(self) -> float:
        """Pictures a second."""
        if len(self.times) < 2:
            return 0.0
        (first, before), (last, after) = self.times[0], self.times[-1]
        return (after - before) / max(1e-6, last - first)


@dataclass(frozen=True, eq=False)
class Arranged:
    """What a look at all that is known gives.

    Attributes:
        groups: what the list shows.
        plan: None: it is gone through still, or there is no place to sort into.
        error: why there is no plan.
    """

    groups: tuple[Group, ...]
    plan: SortPlan | None = None
    error: EngineError | None = None


class SorterPage(QWidget):
    """The page.

    Attributes:
        groups, grid: tags, and the pictures of one of them.
        network, least, decider, action, target: what a person chooses.
        go_button, apply_button, undo_button, keep_button, stop_button, folder_button, close_button: what can be done.
    Signals:
        closed(): back to where one came from.
        opened(Path): look at this picture.
        failed(BaseException), said(str): for notices and status bar.
        changed(): something on the page is another.
    """

    closed = Signal()
    opened = Signal(object)
    failed = Signal(object)
    said = Signal(str)
    changed = Signal()

    _filled = Signal()
    _ended = Signal(object)

    def __init__(self, call: Call, settings: Settings, known: Known, parent: QWidget | None = None) -> None:
        """
        Args:
            known: the network for faces that runs and who is enrolled; None: there is no open gallery.
        """
        super().__init__(parent)
        self._call, self._settings, self._known = call, settings, known
        self._cards: dict[str, ModelCard] = {}
        self._folder: Path | None = None
        self._looked: ModelCard | None = None  # with which network
        self._tagged: list[Tagged] = []
        self._left_out: list[str] = []
        self._by_hand: dict[Path, str] = {}
        self._arranged = Arranged(())
        self._arranging = self._arrange_again = False
        self._journal: SortJournal | None = None
        self._work: Work = ""
        self._worker: Worker | None = None
        self._cancelled = self._closing = False
        self._progress = Progress()
        # What the worker has to say passes through here, so that one event waits at most.
        self._fresh: collections.deque[Tagged] = collections.deque()
        self._news: Latest[tuple[str, int, int]] = Latest(self._tell)
        self._filled.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self._ended.connect(self._end, Qt.ConnectionType.QueuedConnection)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE)
        self._soon.timeout.connect(self._arrange)
        self._make_widgets()
        self._build()
        theme.changed.connect(self._recolour)
        self._recolour()
        self._show()

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return bool(self._work)

    @property
    def plan(self) -> SortPlan | None:
        """What the button would do; None: it is not known yet."""
        return self._arranged.plan if not self._stale else None

    @property
    def words(self) -> str:
        """How far it is."""
        return self._words.text()

    @property
    def sentence(self) -> str:
        """What will happen."""
        return self._sentence.text()

    def set_cards(self, cards: Sequence[ModelCard]) -> None:
        """The networks there are."""
        known = self._known()
        usable = [card for card in cards if card.task != "faces" or (known is not None and known[0].name == card.name)]
        usable.sort(key=_preference)
        chosen = self.network.currentData() or self._settings.text("sort/network")
        self._cards = {card.name: card for card in usable}
        self.network.blockSignals(True)
        self.network.clear()
        for card in usable:
            self.network.addItem(card.title, card.name)
        self.network.setCurrentIndex(max(0, self.network.findData(chosen)))
        self.network.blockSignals(False)
        self._show_network()

    def begin(self) -> None:
        """The page is shown: is there something that can be undone?"""
        self._find_journal()

    def choose(self, folder: Path) -> None:
        """Take this folder; what was seen in another one is forgotten."""
        if self.busy:
            return
        self._forget()
        self._folder = folder
        self.target.setText(str(folder.parent / f"{folder.name or 'pictures'} sorted"))
        self._show()

    def go(self) -> None:
        """Go through the folder."""
        card = self._cards.get(self.network.currentData() or "")
        if self.busy or self._folder is None or card is None:
            return
        folder = self._folder
        self._forget()
        self._folder, self._looked = folder, card
        self._settings.set("sort/network", card.name)
        known = self._known()
        people = known[1] if known is not None and card.task == "faces" else None
        self._start("look", "Looking for pictures…", lambda: self._look(folder, card, people))
        self._show_network()

    def apply(self) -> None:
        """Do what the sentence says."""
        plan = self.plan
        if self.busy or plan is None or not (plan.going or (plan.action == "list" and plan.items)):
            return

        def work() -> SortOutcome:
            from engine import apply_sorting

            verb = {"copy": "Copying…", "move": "Moving…", "list": "Writing…"}[plan.action]
            return apply_sorting(
                plan, progress=lambda *at: self._news.put((verb, *at)), cancelled=lambda: self._cancelled
            )

        self._start("apply", "", work)

    def undo(self) -> None:
        """Put back what was sorted last."""
        journal = self._journal
        if self.busy or journal is None:
            return

        def work() -> SortOutcome:
            from engine import undo_sorting

            return undo_sorting(
                journal.path,
                progress=lambda *at: self._news.put(("Putting back…", *at)),
                cancelled=lambda: self._cancelled,
            )

        self._start("undo", "Putting back…", work)

    def keep(self) -> None:
        """What was sorted last stays; it cannot be undone any more."""
        journal = self._journal
        if self.busy or journal is None:
            return
        self._journal = None
        self._show()

        def work() -> None:
            from engine import forget_sorting

            forget_sorting(journal.path)

        self._call(work, lambda _: self._find_journal())

    def stop(self) -> None:
        """Go no further; what was found or done stays."""
        self._cancelled = True
        self._show()

    def tag(self, paths: Sequence[Path], label: str | None) -> None:
        """Sort these pictures by another tag ("": by none, they stay; None: by what the network says)."""
        for path in paths:
            if label is None:
                self._by_hand.pop(path, None)
            else:
                self._by_hand[path] = label
        self._soon.start(0)
        self._show()

    def close_page(self) -> None:
        """The window goes: end what is under way between two files, and wait for it."""
        self._closing = self._cancelled = True
        self._soon.stop()
        if self._worker is not None:
            self._worker.stop(timeout=30.0)
            self._worker = None

    # in the worker's thread -----------------------------------------------------------------------------------------

    def _look(self, folder: Path, card: ModelCard, people: Recogniser | None) -> list[str]:
        """Go through a folder; returns what was left out."""
        from engine import find_pictures, open_reader, tag_pictures

        found = find_pictures(folder, cancelled=lambda: self._cancelled)
        self._news.put(("Getting the network ready…", 0, len(found.paths)))
        reader = open_reader(card, cancelled=lambda: self._cancelled)
        if card.task == "faces":
            reader.people = people  # type: ignore[attr-defined]
        for number, tagged in enumerate(tag_pictures(found.paths, reader, cancelled=lambda: self._cancelled), 1):
            self._fresh.append(tagged)
            self._news.put(("", number, len(found.paths)))
        return [f"{left.path}: {left.why}" for left in found.left_out]

    def _tell(self) -> None:
        if not self._closing:
            self._filled.emit()

    # work -----------------------------------------------------------------------------------------------------------

    def _start(self, work: Work, words: str, body: Callable[[], object]) -> None:
        self._work, self._cancelled = work, False
        self._progress = Progress(words, begun=time.monotonic())
        self._news.take()

        def run(stop: object) -> None:
            value: object = None
            try:
                value = body()
            except EngineError as error:
                value = error
            finally:  # an error that nobody expected is told by the thread itself
                if not self._closing:
                    self._ended.emit(value)

        self._worker = Worker("sorting", run).start()
        self._show()

    def _take(self) -> None:
        """News of the worker."""
        news = self._news.take()
        if news is None or not self.busy:
            return
        words, done, total = news
        self._progress.words, self._progress.total = words, total
        self._progress.at(done, time.monotonic())
        self._drain()
        self._show_progress()

    def _drain(self) -> None:
        while self._fresh:
            self._tagged.append(self._fresh.popleft())
        if len(self._tagged) != sum(len(group.items) for group in self._arranged.groups if group.key == ALL):
            self._wait_to_arrange()

    def _end(self, value: object) -> None:
        """The worker has ended."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        work, self._work = self._work, ""
        self._drain()
        error = value if isinstance(value, EngineError) else None
        if error is not None and not (self._cancelled and work == "look"):
            self.failed.emit(error)
        if work == "look":
            self._left_out = value if isinstance(value, list) else []
        elif error is None and value is not None:
            self._report(work, value)
        if work != "look":
            self._find_journal()
        self._soon.stop()
        self._arrange()
        self._show()

    def _report(self, work: Work, outcome: Any) -> None:
        """Say what was done, and what was not."""
        done: SortOutcome = outcome
        if done.written:
            self.said.emit(f"Written: {' and '.join(path.name for path in done.written)}, in {done.written[0].parent}")
        elif work == "undo":
            self.said.emit(f"{_count(done.done)} put back")
        elif done.done:
            self.said.emit(f"{_count(done.done)} {'moved' if self._moved else 'copied'}")
        if done.error is not None:
            self.failed.emit(done.error)
        if done.left:
            verb = "put back" if work == "undo" else "moved" if self._moved else "copied"
            some = "; ".join(f"{left.path.name}: {left.why}" for left in done.left[:NAMED])
            more = f"; and {len(done.left) - NAMED} more" if len(done.left) > NAMED else ""
            self.failed.emit(EngineError(f"{_count(len(done.left))} could not be {verb}.", f"{some}{more}."))

    @property
    def _moved(self) -> bool:
        return self._arranged.plan is not None and self._arranged.plan.action == "move"

    def _find_journal(self) -> None:
        def look() -> SortJournal | None:
            from engine import last_sorting

            return last_sorting()

        def found(journal: SortJournal | None) -> None:
            self._journal = journal
            self._show()

        self._call(look, found)

    def _forget(self) -> None:
        self._tagged, self._left_out, self._by_hand, self._looked = [], [], {}, None
        self._fresh.clear()
        self._arranged = Arranged(())
        self._show_groups()

    # arranging ------------------------------------------------------------------------------------------------------

    @property
    def _stale(self) -> bool:
        """What is on the screen does not show yet what is known."""
        return self._arranging or self._soon.isActive()

    def _wait_to_arrange(self) -> None:
        if not self._soon.isActive():
            self._soon.start(PAUSE + len(self._tagged) // 10)  # what takes longer is done less often

    def _changed(self) -> None:
        """A person wants it otherwise."""
        if self._tagged:
            self._soon.start(PAUSE)
        self._show()

    def _arrange(self) -> None:
        """Put the pictures into groups, and make the plan once all have been gone through."""
        if self._arranging:
            self._arrange_again = True
            return
        if not self._tagged or self._folder is None or self._work in ("apply", "undo"):
            return
        self._arranging, self._arrange_again = True, False
        pictures, folder, looking = list(self._tagged), self._folder, self.busy
        rules: dict[str, Any] = {
            "least": self.least.value() / 100,
            "by": self.decider.currentData(),
            "by_hand": dict(self._by_hand),
        }
        target = self.target.text().strip()
        card = self._looked
        what = {
            "action": self.action.currentData(),
            "model": card.title if card is not None else "",
            "people": card is not None and card.task == "faces",
        }

        def work() -> Arranged:
            from engine import group_pictures, plan_sorting

            plan: SortPlan | None = None
            error: EngineError | None = None
            if not looking and target:
                try:
                    plan = plan_sorting(
                        pictures,
                        folder=folder,
                        target=Path(target).expanduser(),
                        cancelled=lambda: self._closing or self._arrange_again,
                        **what,
                        **rules,
                    )
                except (EngineError, RuntimeError, OSError) as problem:
                    error = problem if isinstance(problem, EngineError) else EngineError(f"{target}: {problem}")
            items = plan.items if plan is not None else group_pictures(pictures, **rules)
            return Arranged(_groups(items), plan, error)

        def done(arranged: Arranged) -> None:
            self._arranging = False
            if not self._tagged or pictures[0] is not self._tagged[0]:
                arranged = Arranged(())  # of the folder before
            self._arranged = arranged
            self._show_groups()
            if self._arrange_again or len(pictures) < len(self._tagged):
                self._wait_to_arrange()
            self._show()

        self._call(work, done)

    def _show_groups(self) -> None:
        chosen = self.groups.chosen
        self.groups.show_groups(self._arranged.groups, chosen or ALL)
        self._show_pictures()

    def _show_pictures(self) -> None:
        group = self.groups.group
        self.grid.show_items(group.items if group is not None else (), plain=group is not None and group.key != ALL)
        self._heading.setText(f"{group.title} · {_count(len(group.items))}" if group is not None else "")

    # the menu of a picture ------------------------------------------------------------------------------------------

    def make_menu(self) -> QMenu | None:
        """What can be done with the chosen pictures; None: none is chosen."""
        items = self.grid.chosen
        if not items:
            return None
        paths = [item.tagged.path for item in items]
        menu = QMenu(self)
        tags = [group.key.removeprefix("tag:") for group in self._arranged.groups if group.tag is not None]
        own = [tag.label for item in items[:1] for tag in item.tagged.tags]
        offered = list(dict.fromkeys([*own, *tags]))[:IN_MENU]
        for label in offered:
            action = menu.addAction(label.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(all(item.label == label for item in items))
            action.triggered.connect(lambda _=False, label=label: self.tag(paths, label))
        menu.addAction("Another tag…").triggered.connect(lambda _=False: self._ask_for_tag(paths))
        menu.addSeparator()
        menu.addAction("No tag: it stays").triggered.connect(lambda _=False: self.tag(paths, ""))
        again = menu.addAction("What the network says")
        again.setEnabled(any(item.by_hand for item in items))
        again.triggered.connect(lambda _=False: self.tag(paths, None))
        menu.addSeparator()
        menu.addAction("Look at it in Live").triggered.connect(lambda _=False: self.opened.emit(paths[0]))
        return menu

    def _ask_for_tag(self, paths: list[Path]) -> None:
        names = sorted(self._looked.classes, key=str.casefold) if self._looked is not None else []
        label, well = QInputDialog.getItem(self, "Another tag", "Sort by this tag:", names, 0, True)
        if well and label.strip():
            self.tag(paths, label.strip())

    def _pop_up(self, place: Any) -> None:
        menu = self.make_menu()
        if menu is not None:
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(place)

    def _dropped(self, key: str) -> None:
        group = next((group for group in self._arranged.groups if group.key == key), None)
        if group is not None and group.tag is not None:
            self.tag([item.tagged.path for item in self.grid.chosen], group.tag)
        elif key == NOTHING:
            self.tag([item.tagged.path for item in self.grid.chosen], "")

    # building -------------------------------------------------------------------------------------------------------

    def _make_widgets(self) -> None:
        self.title = QLabel("Sort a folder")
        self.title.setFont(scaled_font(self.title, 1.3, bold=True))
        self._words = QLabel()
        self._words.setAccessibleName("How far it is")
        set_role(self._words, role="dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(160)
        self.bar.setAccessibleName("Progress")
        self.stop_button = _button("Stop here", "Go no further; what was found or done stays", self.stop)
        self.close_button = _button("Back", "Leave this page (Esc); what is under way goes on", self.closed.emit)
        self.folder_button = _button("Choose a folder…", "Which pictures are to be sorted", self._ask_for_folder)
        self._where = QLabel()
        self._where.setAccessibleName("Folder")
        self._where.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._where.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.network = QComboBox()
        self.network.setMinimumWidth(180)
        self.network.setAccessibleName("Network that looks at the pictures")
        self.network.setToolTip("The network that says what is in the pictures")
        self.network.currentIndexChanged.connect(lambda _: self._network_chosen())
        self.go_button = _button("Go through it", "Look at every picture; no file is touched", self.go)
        self.least = QSlider(Qt.Orientation.Horizontal)
        self.least.setRange(5, 100)
        self.least.setPageStep(5)
        self.least.setFixedWidth(120)
        self.least.setValue(50)
        self.least.setAccessibleName("Least score")
        self.least.setToolTip("A tag decides only if the network is at least as sure as this")
        self.least.valueChanged.connect(self._least_changed)
        self._least_words = QLabel()
        self._least_words.setMinimumWidth(self._least_words.fontMetrics().horizontalAdvance("Sure from 100 % on  "))
        set_role(self._least_words, role="dim")
        self.decider = QComboBox()
        for name, title in DECIDERS:
            self.decider.addItem(title, name)
        self.decider.setAccessibleName("What decides where there are several things")
        self.decider.setToolTip("By what a picture is sorted in which there are several things")
        self.decider.currentIndexChanged.connect(lambda _: self._changed())
        self.groups = GroupList()
        self.groups.picked.connect(self._show_pictures)
        self.groups.dropped.connect(self._dropped)
        self.grid = PictureGrid()
        self.grid.opened.connect(self.opened)
        self.grid.menu_wanted.connect(self._pop_up)
        self.grid.untagged.connect(lambda: self.tag([item.tagged.path for item in self.grid.chosen], ""))
        self._heading = QLabel()
        self._heading.setFont(scaled_font(self._heading, 1.1, bold=True))
        self.action = QComboBox()
        for name, title in ACTIONS:
            self.action.addItem(title, name)
        self.action.setAccessibleName("What to do")
        self.action.setToolTip("Copies leave the pictures where they are")
        self.action.currentIndexChanged.connect(lambda _: self._changed())
        self.target = QLineEdit()
        self.target.setAccessibleName("Folder to sort into")
        self.target.setToolTip("Folders named after the tags are made in here; nothing is overwritten")
        self.target.textChanged.connect(lambda _: self._changed())
        self.target_button = _button("Choose…", "Choose the folder to sort into", self._ask_for_target)
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        self._sentence.setAccessibleName("What will happen")
        self.apply_button = _button("Copy", "Do what the sentence says; it can be undone", self.apply)
        set_role(self.apply_button, primary="true")
        self._last = QLabel()
        self._last.setWordWrap(True)
        self._last.setAccessibleName("What was sorted last")
        set_role(self._last, role="dim")
        self.undo_button = _button("Undo", "Put every picture back where it was", self.undo)
        self.keep_button = _button("Keep it so", "Forget how to undo it; the pictures stay where they are", self.keep)
        self._empty = QLabel()
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        set_role(self._empty, role="dim")
        self._icon = QLabel()
        self._icon.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.first_button = _button("Choose a folder…", "Which pictures are to be sorted", self._ask_for_folder)
        set_role(self.first_button, primary="true")

    def _build(self) -> None:
        head = _row(self.title, (self._words, 1), self.bar, self.stop_button, self.close_button)
        which = QLabel("Network")
        set_role(which, role="dim")
        which.setBuddy(self.network)
        choice = _row(self.folder_button, (self._where, 1), which, self.network, self.go_button)
        rules = _row(self._heading, None, self._least_words, self.least, self.decider)
        right = QVBoxLayout()
        right.setSpacing(8)
        right.addLayout(rules)
        right.addWidget(self.grid, 1)
        body = QHBoxLayout()
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(12)
        body.addWidget(self.groups)
        body.addLayout(right, 1)
        self._results = QWidget()
        self._results.setLayout(body)
        nothing = QVBoxLayout()
        nothing.setSpacing(12)
        nothing.addStretch(1)
        nothing.addWidget(self._icon)
        nothing.addWidget(self._empty)
        nothing.addWidget(self.first_button, 0, Qt.AlignmentFlag.AlignHCenter)
        nothing.addStretch(1)
        self._nothing = QWidget()
        self._nothing.setLayout(nothing)
        self._pages = QStackedLayout()
        self._pages.addWidget(self._nothing)
        self._pages.addWidget(self._results)
        self._foot = QWidget()
        foot = QVBoxLayout(self._foot)
        foot.setContentsMargins(0, 0, 0, 0)
        foot.setSpacing(8)
        into = QLabel("under")
        set_role(into, role="dim")
        into.setBuddy(self.target)
        foot.addLayout(_row(self.action, into, (self.target, 1), self.target_button))
        foot.addLayout(_row((self._sentence, 1), self.apply_button))
        self._before = QWidget()
        before = _row((self._last, 1), self.undo_button, self.keep_button)
        before.setContentsMargins(0, 0, 0, 0)
        self._before.setLayout(before)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 12, 16, 8)
        layout.setSpacing(12)
        layout.addLayout(head)
        layout.addLayout(choice)
        layout.addLayout(self._pages, 1)
        layout.addWidget(self._foot)
        layout.addWidget(self._before)
        self.setFocusProxy(self.folder_button)

    def _ask_for_folder(self) -> None:
        folder = ask_for_folder(self, self._settings)
        if folder is not None:
            self.choose(folder)
            self.go_button.setFocus()

    def _ask_for_target(self) -> None:
        folder = ask_where_to_sort(self, self.target.text())
        if folder is not None:
            self.target.setText(str(folder))

    # showing --------------------------------------------------------------------------------------------------------

    def _network_chosen(self) -> None:
        self._show_network()
        self._changed()

    def _show_network(self) -> None:
        """The rules that fit the network: what has been gone through keeps those of its own."""
        card = self._looked or self._cards.get(self.network.currentData() or "")
        if card is not None:
            usual = round(card.min_score * 100) if card.task == "detection" else 50
            value = int(self._settings.number(f"sort/least/{card.name}", usual))
            self.least.blockSignals(True)
            self.least.setValue(value)
            self.least.blockSignals(False)
        self.decider.setVisible(card is not None and card.task != "classification")
        self._least_words.setText(f"Sure from {self.least.value()} % on")
        self._show()

    def _least_changed(self, value: int) -> None:
        card = self._looked or self._cards.get(self.network.currentData() or "")
        if card is not None:
            self._settings.set(f"sort/least/{card.name}", value)
        self._least_words.setText(f"Sure from {value} % on")
        self._changed()

    def _show(self) -> None:
        """Everything that depends on what is under way and what is known."""
        busy, folder = self.busy, self._folder
        plan = self.plan
        self._where.setText(str(folder) if folder is not None else "No folder has been chosen yet")
        self._where.setToolTip(str(folder) if folder is not None else "")
        resting: tuple[QWidget, ...] = (self.folder_button, self.first_button, self.network)
        for widget in resting:
            widget.setEnabled(not busy)
        ready = folder is not None and bool(self._cards)
        self.go_button.setEnabled(ready and not busy)
        self.go_button.setText("Go through it again" if self._tagged and not busy else "Go through it")
        _make_primary(self.go_button, ready and not self._tagged)
        _make_primary(self.first_button, folder is None)
        self._pages.setCurrentWidget(self._results if self._tagged else self._nothing)
        self.first_button.setVisible(folder is None and not busy)
        self._empty.setText(self._empty_words())
        self._foot.setVisible(bool(self._tagged))
        choices: tuple[QWidget, ...] = (self.action, self.target, self.target_button, self.least, self.decider)
        for widget in (*choices, self.groups, self.grid):
            widget.setEnabled(self._work in ("", "look"))
        self._sentence.setText(self._plan_words())
        self._sentence.setEnabled(not busy)
        count = len(plan.items if plan.action == "list" else plan.going) if plan is not None else 0
        verb = {"copy": "Copy", "move": "Move", "list": "Write the list"}[self.action.currentData()]
        self.apply_button.setText(verb if not count or verb == "Write the list" else f"{verb} {_count(count)}")
        self.apply_button.setEnabled(bool(count) and not busy)
        journal = self._journal
        self._before.setVisible(journal is not None and self._work in ("", "look", "undo"))
        self.undo_button.setEnabled(not busy)
        self.keep_button.setEnabled(not busy)
        if journal is not None:
            when = QLocale().toString(journal.when, "d MMMM, HH:mm")  # type: ignore[call-overload]
            done = "moved" if journal.action == "move" else "copied"
            verb = "was" if journal.files == 1 else "were"
            self._last.setText(f"{_count(journal.files)} {verb} {done} into folders under {journal.target} on {when}.")
        self._show_progress()
        self.changed.emit()

    def _show_progress(self) -> None:
        at, busy = self._progress, self.busy
        self.bar.setVisible(busy)
        self.stop_button.setVisible(busy)
        self.stop_button.setEnabled(not self._cancelled)
        self.bar.setRange(0, at.total)  # of nothing: it moves to and fro
        self.bar.setValue(at.done)
        if self._cancelled and busy:
            self._words.setText("Stopping…")
        elif busy:
            parts = [at.words] if at.words else []
            if at.total and (at.done or not at.words):
                parts.append(f"{at.done:,} of {at.total:,} pictures")
            if at.pace and self._work == "look":
                parts.append(f"{at.pace:.0f} a second" if at.pace >= 3 else f"{at.pace:.1f} a second")
                parts.append(_time_left((at.total - at.done) / at.pace))
            self._words.setText(" · ".join(parts))
        else:
            self._words.setText(self._found_words())
        self._words.setToolTip("\n".join(self._left_out[:WORST_NAMED]))
        if not self._tagged:
            self._empty.setText(self._empty_words())

    def _found_words(self) -> str:
        if not self._tagged:
            return ""
        parts = [_count(len(self._tagged))]
        bad = sum(bool(each.trouble) for each in self._tagged)
        if bad:
            parts.append(f"{bad:,} could not be read")
        if self._left_out:
            parts.append(f"{len(self._left_out):,} left out")
        if self._looked is not None:
            parts.append(f"seen by {self._looked.title}")
        return " · ".join(parts)

    def _empty_words(self) -> str:
        if self._work == "look":
            return self._progress.words or "Looking at the first picture…"
        if not self._cards:
            return "There is no network yet that could look at pictures. Models has some to download."
        if self._folder is None:
            return (
                "A network looks at every picture of a folder and says what is in it;\n"
                "then they can be copied or moved into folders by that, or written into a list."
            )
        return "Choose the network at the right and go through the folder. No file is touched by that."

    def _plan_words(self) -> str:
        if self.busy or not self._tagged:
            return "What will happen is said here once all pictures have been gone through." if self.busy else ""
        if self._arranged.error is not None and not self._stale:
            return str(self._arranged.error)
        if not self.target.text().strip():
            return "Choose a folder to sort into."
        plan = self.plan
        return plan_words(plan) if plan is not None else "One moment…"

    def _recolour(self) -> None:
        self._icon.setPixmap(theme.pixmap("pictures", 48, theme.colours.quiet, self.devicePixelRatioF()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)


def plan_words(plan: SortPlan) -> str:
    """What a plan would do, in a sentence, and what is odd about it in others."""
    stay = f"{plan.staying:,} stay{'s' if plan.staying == 1 else ''}"
    if plan.action == "list":
        count = len(plan.items)
        return f"A list of {_count(count)} will be written as pictures.csv and pictures.json in {plan.target}."
    going, folders = len(plan.going), plan.folders
    verb = "moved" if plan.action == "move" else "copied"
    if going:
        into = f"{folders:,} folder{'s' if folders != 1 else ''}"
        words = f"{_count(going)} will be {verb} into {into} under {plan.target}; {stay}."
    elif plan.there:
        words = f"Nothing is left to do under {plan.target}; {stay}."
    else:
        words = f"Nothing will be {verb}: no picture has a tag that is sure enough; {stay}."
    if plan.there:
        words += f" {plan.there:,} {'is' if plan.there == 1 else 'are'} there already."
    if plan.numbered:
        words += f" {plan.numbered:,} get{'s' if plan.numbered == 1 else ''} a number, as the name is taken."
    if plan.gone:
        words += f" {plan.gone:,} {'is not where it was' if plan.gone == 1 else 'are not where they were'}."
    return words


def _groups(items: Sequence[SortItem]) -> tuple[Group, ...]:
    """All pictures, those without a tag, then by tag."""
    by_tag: dict[str, list[SortItem]] = {}
    nothing, unreadable = [], []
    for item in items:
        if item.label:
            by_tag.setdefault(item.label, []).append(item)
        elif item.tagged.trouble:
            unreadable.append(item)
        else:
            nothing.append(item)
    groups = [Group(ALL, "All pictures", tuple(items)), Group(NOTHING, "Nothing found", tuple(nothing))]
    if unreadable:
        groups.append(Group(UNREADABLE, "Could not be read", tuple(unreadable)))
    groups += [Group(f"tag:{tag}", tag, tuple(by_tag[tag]), tag) for tag in sorted(by_tag, key=str.casefold)]
    return tuple(groups)


def _preference(card: ModelCard) -> tuple[bool, bool, bool, str]:
    """What knows many things of photographs comes first."""
    drawing = card.preprocess.kind == "drawing"
    return (drawing, len(card.classes) < 2, card.task != "detection", card.title.casefold())


def _count(number: int) -> str:
    return f"{number:,} picture{'s' if number != 1 else ''}"


def _time_left(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 100 else f"about {minutes / 60:.0f} h left"


def _button(title: str, tip: str, slot: Callable[[], object]) -> QPushButton:
    button = QPushButton(title)
    button.setToolTip(tip)
    button.setAutoDefault(True)
    button.clicked.connect(lambda _=False: slot())
    return button


def _make_primary(button: QPushButton, primary: bool) -> None:
    wanted = "true" if primary else "false"
    if button.property("primary") != wanted:
        set_role(button, primary=wanted)
        button.style().unpolish(button)
        button.style().polish(button)


def _row(*parts: QWidget | tuple[QWidget, int] | None) -> QHBoxLayout:
    """Widgets side by side; a number is how much of the room it takes, None is room."""
    row = QHBoxLayout()
    row.setSpacing(8)
    for part in parts:
        if part is None:
            row.addStretch(1)
        elif isinstance(part, tuple):
            row.addWidget(*part)
        else:
            row.addWidget(part)
    return row
