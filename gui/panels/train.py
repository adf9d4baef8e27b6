"""Train: settings on the left, what happens in the middle, earlier runs on the right.

A run is a process of its own that writes into its folder; this panel starts it, reads the folder and leaves commands
there, nothing more. So a run that was started by an earlier window, or by the command line, is found and shown alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QAction,
    QCloseEvent,
    QColor,
    QDesktopServices,
    QFontDatabase,
    QHideEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QShortcut,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine import (
    EngineError,
    Epoch,
    History,
    Latest,
    Run,
    Started,
    TrainingConfig,
    Worker,
    data_folder,
    new_run,
    runs,
)
from gui.bridge import Call
from gui.curves import CurvesView, Plot, make_plots
from gui.forms import Form
from gui.settings import Settings
from gui.theme import begin_row, scaled_font, set_role, theme
from gui.verdict import (
    GONE_WRONG,
    current_epoch,
    data_title,
    duration,
    in_the_background,
    percent,
    seconds_left,
    share_done,
    what_happens,
)

WATCHING = 250  # milliseconds between two looks at a run that is training, while one can see it
WAITING = 500  # the same while nobody looks, or nothing trains
LOOK_AROUND = 3.0  # seconds between two looks for runs that somebody else has started

_STATE_ROLE = Qt.ItemDataRole.UserRole + 1
_SCORE_ROLE = Qt.ItemDataRole.UserRole + 2
_TONE_ROLE = Qt.ItemDataRole.UserRole + 3
_NAME_ROLE = Qt.ItemDataRole.UserRole
_ENDINGS = {
    "finished": "finished",
    "stopped": "stopped",
    "cancelled": "discarded",
    "nan": "loss is no number",
    "memory": "out of memory",
    "disk": "disk full",
    "error": "failed",
}


@dataclass
class _Known:
    """A run and what was last seen of it."""

    run: Run
    config: TrainingConfig | None
    state: str = "ended"
    alive: bool = False
    starting: bool = False  # its process is being made in another thread
    best: Epoch | None = None
    asked: Literal["", "pause", "resume", "stop", "cancel"] = ""
    earlier: Started | None = None  # what the attempt before said when it began, until this one says so itself

    @property
    def active(self) -> bool:
        return self.state in ("preparing", "training", "paused")


class TrainPanel(QWidget):
    """Start a run, watch it, end it, use what it has learned.

    Signals:
        model_ready(str): a run has written better weights; its name in the zoo.
        use_model(str): the person wants to use this network now.
        notice(EngineError): something to tell.
        background(str, float): a sentence for the status bar and the share done, 0..1; below 0: nothing trains.
        discarded(str): a run and its network have been deleted.
    """

    model_ready = Signal(str)
    use_model = Signal(str)
    notice = Signal(object)
    background = Signal(str, float)
    discarded = Signal(str)

    def __init__(self, parent: QWidget | None = None, *, call: Call | None = None, ahead: bool = False) -> None:
        """A panel at work, or with `ahead` an empty one, for `build_on` and then `begin`.

        Args:
            call: how folders are deleted; without it that is done at once, in this thread.
            ahead: it takes a tenth of a second to build; somebody has the time to do that in pieces.
        """
        super().__init__(parent)
        self._call = call or _at_once
        self._leaving: set[str] = set()  # runs whose folders are being deleted
        self._cancel_soon = False
        self._known: dict[str, _Known] = {}
        self._shown = ""
        self._pending: TrainingConfig | None = None
        self._found: Latest[list[tuple[Run, TrainingConfig | None]]] = Latest()
        self._search: Worker | None = None
        self._begun: Latest[tuple[Run | None, TrainingConfig | None, EngineError | None]] = Latest()
        self._starter: Worker | None = None
        self._ticks = 0
        self._said: tuple[str, float] = ("", -1.0)
        self._settings = Settings()
        self._timer = QTimer(self)
        self._timer.setInterval(WATCHING)
        self._timer.timeout.connect(self._tick)
        self._pieces = self._build()
        if not ahead:
            self.begin()

    # What others ask of it

    def build_on(self) -> bool:
        """Build the next piece, some ten milliseconds of work; False: nothing is left to build."""
        return next(self._pieces, False)

    def begin(self) -> None:
        """Build what is still missing, and look after the runs from now on."""
        while self.build_on():
            pass
        self._timer.start()
        self._look_for_runs()
        self._show_state()

    def start(self) -> None:
        """Train what the form says; asks first if another run is training."""
        try:
            config = self.form.value()
        except EngineError:
            # The complaint stands beside its field, which has the focus now.
            field = self.focusWidget()
            if field is not None:
                self._scroll.ensureWidgetVisible(field)
            return
        active = self._active()
        if self._starter is not None or self._pending is not None:
            return
        if active is None:
            self._launch(config)
            return
        box = self._question(
            "Another run is training",
            f"“{active.run.name}” is still training, and one run trains at a time.",
            "Stopping it keeps its best network so far.",
        )
        go = box.addButton("Stop it and start the new one", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton("Let it train", QMessageBox.ButtonRole.RejectRole))

        def answered() -> None:
            if box.clickedButton() is go:
                self._pending = config
                if active.active:
                    self._ask(active, "stop")
                self._tick()

        box.finished.connect(answered)
        box.open()

    def teach(self, config: TrainingConfig) -> None:
        """Show these settings in the form, and train with them."""
        self.form.set_value(config)
        self.start()

    def select(self, name: str) -> None:
        """Show the curves and the state of the run called `name`."""
        if name == self._shown or name not in self._known:
            return
        self._shown = name
        for row in range(self.list.count()):
            if self.list.item(row).data(_NAME_ROLE) == name:
                self.list.setCurrentRow(row)
        self.curves.show_run(self._known[name].run.history, name)
        self._offer_comparisons()
        self.details.setChecked(False)
        self._show_state()

    def cancel(self) -> None:
        """Ask whether to end the run that trains and throw it away; nothing if none trains."""
        active = self._active()
        if active is not None:
            self._discard(active)
        elif not self._known:  # perhaps it has only not been found yet
            self._cancel_soon = self._search is not None

    @property
    def shown(self) -> Run | None:
        """The run whose curves are shown."""
        known = self._known.get(self._shown)
        return known.run if known else None

    # Building

    def _build(self) -> Iterator[bool]:
        """True after each piece."""
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.setHandleWidth(12)
        split.setChildrenCollapsible(False)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 12)
        layout.addWidget(split)
        yield from self._build_recipe(split)
        yield from self._build_stage(split)
        self._build_list(split)
        split.setStretchFactor(1, 1)
        split.setSizes([300, 690, 228])
        yield True
        self.form.set_values(self._remembered())
        self.form.changed.connect(self._on_form)
        self._on_form()
        start = QShortcut(QKeySequence("Ctrl+Return"), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        start.activated.connect(self.start)
        theme.changed.connect(self._restyle)
        self._restyle()

    def _build_recipe(self, split: QSplitter) -> Iterator[bool]:
        column, layout, head = _column(split, "Settings")
        self._scroll = QScrollArea(column)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        inside_layout = QVBoxLayout(inside)
        inside_layout.setContentsMargins(0, 0, 4, 0)
        self._scroll.setWidget(inside)
        self._scroll.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)
        layout.addWidget(self._scroll, 1)
        self.form = Form(parent=inside)
        self.form.failed.connect(self.notice)
        inside_layout.addWidget(self.form)
        yield True
        self._icons: dict[QToolButton, str] = {}
        for icon, tip, slot in (
            ("open", "Open a recipe (TOML)", self.form.open_recipe),
            ("save", "Save these settings as a recipe (TOML)", self.form.save_recipe),
            ("undo", "Set everything back to the defaults", self.form.reset),
        ):
            button = QToolButton(column)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(slot)
            self._icons[button] = icon
            head.addWidget(button)
        self.start_button = QPushButton("Start training", column)
        set_role(self.start_button, primary=True)
        self.start_button.setMinimumHeight(36)
        self.start_button.setToolTip("Train with these settings in a process of its own (Ctrl+Return)")
        self.start_button.clicked.connect(self.start)
        layout.addWidget(self.start_button)
        column.setMinimumWidth(264)
        yield True

    def _build_stage(self, split: QSplitter) -> Iterator[bool]:
        stage = QWidget(split)
        layout = QVBoxLayout(stage)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)

        self.headline = QLabel(stage)
        self.headline.setWordWrap(True)
        self.headline.setFont(scaled_font(self.headline, 1.15, bold=True))
        self.remark = QLabel(stage)
        self.remark.setWordWrap(True)
        self.remark.setMinimumHeight(self.remark.fontMetrics().height() + 2)
        set_role(self.remark, role="dim")
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.headline)
        words.addWidget(self.remark)
        layout.addLayout(words)

        self.bar = EpochBar(stage)
        layout.addWidget(self.bar)

        self.facts = {name: _Fact(name, stage) for name in ("Epoch", "Speed", "Time left", "Best")}
        self.pause_button = QPushButton("Pause", stage)
        self.pause_button.clicked.connect(self._on_pause)
        self.pause_button.setText("Resume")  # the longer of its two texts: it must not change its width
        self.pause_button.ensurePolished()
        self.pause_button.setMinimumWidth(self.pause_button.sizeHint().width())
        self.stop_button = QPushButton("Stop and keep", stage)
        self.stop_button.setToolTip("End training now and keep the best network so far")
        self.stop_button.clicked.connect(lambda: self._ask(self._known[self._shown], "stop"))
        self.cancel_button = QPushButton("Cancel and discard…", stage)
        self.cancel_button.setToolTip("End training now and delete the run")
        self.cancel_button.clicked.connect(lambda: self._discard(self._known[self._shown]))
        self.details = QToolButton(stage)
        self.details.setText("Details")
        self.details.setCheckable(True)
        set_role(self.details, chip=True)
        self.details.setToolTip("What the training process printed last")
        self.details.toggled.connect(self._on_details)
        row = QHBoxLayout()
        row.setSpacing(8)
        for fact in self.facts.values():
            row.addWidget(fact)
        row.addStretch(1)
        for button in (self.details, self.pause_button, self.stop_button, self.cancel_button):
            button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignBottom)
        layout.addLayout(row)

        self.last_words = QPlainTextEdit(stage)
        self.last_words.setReadOnly(True)
        self.last_words.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.last_words.setMaximumHeight(100)
        self.last_words.setAccessibleName("What the training process printed last")
        layout.addWidget(self.last_words)
        yield True

        self._pages = QStackedWidget(stage)
        layout.addWidget(self._pages, 1)
        self.empty = _Empty(self._pages)
        self._pages.addWidget(self.empty)
        card = QFrame(self._pages)
        set_role(card, card=True)
        self._pages.addWidget(card)
        card_layout = QVBoxLayout(card)
        card_layout.setContentsMargins(8, 8, 8, 4)
        stage.setMinimumWidth(420)
        plots: list[Plot] = []
        for plot in make_plots(card):
            plots.append(plot)
            yield True
        self.curves = CurvesView(card, plots=plots)
        self.curves.comparison_wanted.connect(self._on_comparison)
        self.curves.failed.connect(self.notice)
        card_layout.addWidget(self.curves)
        yield True

    def _build_list(self, split: QSplitter) -> None:
        column, layout, _ = _column(split, "Runs")
        self.list = QListWidget(column)
        self.list.setItemDelegate(_RunDelegate(self.list))
        self.list.setAccessibleName("Training runs")
        self.list.setUniformItemSizes(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.list.currentItemChanged.connect(self._on_chosen)
        self.copy_action = QAction("Use these settings", self.list)
        self.copy_action.triggered.connect(self._on_copy)
        self.folder_action = QAction("Open the folder", self.list)
        self.folder_action.triggered.connect(self._on_folder)
        self.delete_action = QAction("Delete…", self.list)
        self.delete_action.setShortcut(QKeySequence.StandardKey.Delete)
        self.delete_action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self.delete_action.triggered.connect(self._on_delete)
        self.list.addActions([self.copy_action, self.folder_action, self.delete_action])
        self.none_yet = QLabel("Every run is kept here, with its curves, until you delete it.", column)
        self.none_yet.setWordWrap(True)
        self.none_yet.setAlignment(Qt.AlignmentFlag.AlignTop)
        set_role(self.none_yet, role="dim")
        layout.addWidget(self.none_yet, 1)
        layout.addWidget(self.list, 1)
        self.use_button = QPushButton("Use this network", column)
        self.use_button.setToolTip("Read drawings and pictures with the best weights of this run from now on")
        self.use_button.clicked.connect(lambda: self.use_model.emit(self._shown))
        layout.addWidget(self.use_button)
        self.copy_button = QPushButton("Use settings", column)
        self.copy_button.setToolTip("Put the settings of this run into the form")
        self.copy_button.clicked.connect(self._on_copy)
        self.delete_button = QPushButton("Delete…", column)
        self.delete_button.setToolTip("Delete this run, its curves and its network")
        self.delete_button.clicked.connect(self._on_delete)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.copy_button, 1)
        row.addWidget(self.delete_button, 1)
        layout.addLayout(row)
        column.setMinimumWidth(200)

    # Runs

    def _active(self) -> _Known | None:
        return next((known for known in self._known.values() if known.active or known.alive), None)

    def _launch(self, config: TrainingConfig) -> None:
        begun = self._begun

        def launch(stop: Any) -> None:
            try:
                run = new_run(config, name=_new_name(config, _names_on_disk()))
                run.start()
            except EngineError as error:
                begun.put((None, None, error))
            else:
                begun.put((run, config, None))

        # Making a process takes some ten milliseconds, longer than a frame.
        self._starter = Worker("starting a run", launch).start()
        self._after_asking_to_start()

    def _resume(self, known: _Known) -> None:
        active = self._active()
        if active is not None:
            self.notice.emit(
                EngineError(f"“{active.run.name}” is still training, and one run trains at a time.", "Stop it first.")
            )
            return
        begun, run = self._begun, known.run
        known.state, known.starting, known.asked = "preparing", True, ""
        known.earlier = run.history.started

        def resume(stop: Any) -> None:
            try:
                run.start(resume=True)
            except EngineError as error:
                begun.put((run, None, error))
            else:
                begun.put((run, None, None))

        self._starter = Worker("starting a run", resume).start()
        self._after_asking_to_start()

    def _after_asking_to_start(self) -> None:
        self._timer.setInterval(WATCHING)
        self._show_state()

    def _take_begun(self) -> None:
        begun = self._begun.take()
        if begun is None:
            return
        run, config, error = begun
        self._starter = None
        if run is not None and run.name in self._known:
            known = self._known[run.name]
            known.starting, known.alive = False, error is None
            if error is not None:
                known.state = run.state
        elif run is not None:
            self._add(_Known(run, config, "preparing", alive=True), first=True)
            self.select(run.name)
        if error is not None:
            self.notice.emit(error)
        self._show_state()

    def _ask(self, known: _Known, command: Literal["pause", "resume", "stop", "cancel"]) -> None:
        try:
            known.run.command(command)
        except EngineError as error:
            self.notice.emit(error)
            return
        known.asked = command
        self._show_state()

    def _add(self, known: _Known, *, first: bool = False) -> None:
        name = known.run.name
        self._known[name] = known
        item = QListWidgetItem()
        item.setData(_NAME_ROLE, name)
        self.list.insertItem(0 if first else self.list.count(), item)
        self._show_item(known)
        self._offer_comparisons()

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        if name == self._shown:
            self._shown = ""
            self.curves.show_run(None)
        for row in reversed(range(self.list.count())):
            if self.list.item(row).data(_NAME_ROLE) == name:
                self.list.takeItem(row)
        self._offer_comparisons()
        if not self._shown:
            item = self.list.currentItem()
            if item is not None:
                self.select(item.data(_NAME_ROLE))
        self._show_state()

    def _delete(self, run: Run) -> None:
        """Remove a run from the list now and from the disk as soon as may be; a large folder takes a while."""
        name, folder = run.name, run.folder
        self._leaving.add(name)
        self._forget(name)

        def gone(_: object) -> None:
            self._leaving.discard(name)
            if folder.exists():
                error = EngineError(f"“{name}” could not be deleted.", f"Check that {folder} may be written to.")
                self.notice.emit(error)
            self.discarded.emit(name)

        self._call(run.discard, gone)

    def _look_for_runs(self) -> None:
        """Read all runs' folders beside the window's thread: a long history takes a while."""
        if self._search is not None and self._search.alive:
            return
        found = self._found

        def search(stop: Any) -> None:
            seen: list[tuple[Run, TrainingConfig | None]] = []
            for run in runs():
                try:
                    seen.append((run, run.config()))
                except EngineError:
                    seen.append((run, None))
            found.put(seen)

        self._search = Worker("looking for runs", search).start()

    def _take_found(self) -> None:
        found = self._found.take()
        if found is None:
            return
        names = {run.name for run, _ in found}
        for run, config in found:
            if run.name in self._known or run.name in self._leaving:
                continue
            known = _Known(run, config, run.state, alive=run.alive, best=run.history.best)
            self._add(known, first=bool(self._known) and known.active)
        for name in [name for name, known in self._known.items() if name not in names and not known.alive]:
            if not self._known[name].run.folder.exists():
                self._forget(name)
        if not self._shown and self._known:
            active = self._active()
            self.select(active.run.name if active else self.list.item(0).data(_NAME_ROLE))
        self._show_state()
        if self._cancel_soon:
            self._cancel_soon = False
            self.cancel()

    def _tick(self) -> None:
        """Look at what the runs have written since the last time."""
        self._ticks += 1
        self._take_begun()
        self._take_found()
        around = self._ticks % max(1, round(LOOK_AROUND * 1000 / self._timer.interval())) == 0
        if around and self._starter is None and _names_on_disk() != set(self._known):
            self._look_for_runs()
        for known in list(self._known.values()):
            if (known.active or known.alive or around) and not known.starting:
                self._watch(known)
        if self._pending is not None and self._active() is None and self._starter is None:
            config, self._pending = self._pending, None
            self._launch(config)
        self._tell_background()
        busy = self._active() is not None or self._starter is not None
        searching = self._search is not None and self._search.alive
        wanted = WATCHING if (busy and self.isVisible()) or searching else WAITING
        if self._timer.interval() != wanted:
            self._timer.setInterval(wanted)

    def _watch(self, known: _Known) -> None:
        run = known.run
        before, was_alive, steps = known.state, known.alive, len(run.history.steps)
        run.poll()
        known.state = run.state
        known.alive = known.active or run.alive  # asking costs a millisecond
        if known.earlier is not None:
            if known.alive and known.active and run.history.started is known.earlier:
                known.state = "preparing"  # what is known of the training is of the attempt before
            else:
                known.earlier = None
        best_before, best = known.best, run.history.best
        if best is not best_before:
            known.best = best
            if best is not None and run.model is not None:
                self.model_ready.emit(run.name)
        stopped = run.history.stopped
        if known.state != before:
            if known.asked in ("pause", "resume") or not known.active:
                known.asked = ""
            if known.state == "interrupted":
                self.notice.emit(
                    EngineError(
                        f"The training of “{run.name}” ended unexpectedly.",
                        "Press Resume in the training panel to go on after its last whole epoch.",
                    )
                )
            elif known.state == "ended" and stopped is not None and stopped.reason in GONE_WRONG:
                self.notice.emit(EngineError(stopped.message, stopped.hint))
        if stopped is not None and stopped.reason == "cancelled" and not known.alive:
            self._delete(run)
            return
        if known.active or known.state != before or known.alive != was_alive or len(run.history.steps) != steps:
            self._show_item(known)
            if run.name == self._shown:
                if known.state != before or known.alive != was_alive or best is not best_before:
                    self.curves.refresh()
                    self._show_state()
                elif self.isVisible() and (self.curves.refresh() or known.state == "preparing"):
                    self._show_progress(known)  # the words keep step with the curves

    # Showing

    def _show_item(self, known: _Known) -> None:
        name = known.run.name
        best = known.run.history.best
        words = _state_words(known)
        score = percent(best.validation_accuracy) if best else ""
        data = data_title(known.config)
        for row in range(self.list.count()):
            item = self.list.item(row)
            if item.data(_NAME_ROLE) == name:
                values = {
                    _STATE_ROLE: f"{words} · {data}" if data else words,
                    _SCORE_ROLE: score,
                    _TONE_ROLE: _tone(known),
                }
                if any(item.data(role) != value for role, value in values.items()):
                    for role, value in values.items():
                        item.setData(role, value)
                    spoken = ", ".join(part for part in (name, data, words, score and f"best {score}") if part)
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, spoken)
                    item.setToolTip(spoken.replace(", ", "\n"))

    def _show_state(self) -> None:
        """Headline, facts and buttons for the run that is shown."""
        known = self._known.get(self._shown)
        none = known is None
        self.list.setVisible(bool(self._known))
        self.none_yet.setVisible(not self._known)
        self._pages.setCurrentIndex(0 if none else 1)
        for widget in (self.headline, self.remark, self.bar, *self.facts.values()):
            widget.setVisible(not none)
        for button in (self.use_button, self.copy_button, self.delete_button):
            button.setVisible(bool(self._known))
        if known is None:
            for other in (self.pause_button, self.stop_button, self.cancel_button, self.details, self.last_words):
                other.hide()
            self._show_start()
            return
        run, history = known.run, known.run.history
        self._show_progress(known)
        stopped = history.stopped
        resumable = not known.active and run.resumable
        self.pause_button.setVisible(known.active or resumable)
        self.pause_button.setText("Resume" if resumable or known.state == "paused" else "Pause")
        self.pause_button.setToolTip(
            "Go on after the last whole epoch"
            if resumable
            else "Go on training"
            if known.state == "paused"
            else "Let the run wait; nothing is lost"
        )
        self.pause_button.setEnabled(resumable or (known.state in ("training", "paused") and not known.asked))
        for button in (self.stop_button, self.cancel_button):
            button.setVisible(known.active)
            button.setEnabled(known.asked not in ("stop", "cancel"))
        self.use_button.setEnabled(run.model is not None)
        wrong = known.state == "interrupted" or (stopped is not None and stopped.reason in GONE_WRONG)
        self.details.setVisible(wrong)
        self.last_words.setVisible(wrong and self.details.isChecked())
        self.delete_button.setEnabled(not known.active and not known.alive)
        self.delete_action.setEnabled(self.delete_button.isEnabled())
        self.copy_button.setEnabled(known.config is not None)
        self.copy_action.setEnabled(known.config is not None)
        self._show_start()

    def _show_progress(self, known: _Known) -> None:
        """What changes with every step."""
        history = known.run.history
        headline, remark = what_happens(history, known.state, known.config, asked=known.asked)
        self.headline.setText(headline)
        self.remark.setText(remark)
        self.bar.show_run(history, moving=known.state == "preparing")
        self._show_facts(known)

    def _show_start(self) -> None:
        waiting, starting = self._pending is not None, self._starter is not None
        self.start_button.setEnabled(not waiting and not starting)
        self.start_button.setText(
            "Waiting for the other run to stop…" if waiting else "Starting…" if starting else "Start training"
        )

    def _show_facts(self, known: _Known) -> None:
        history = known.run.history
        started, steps, best = history.started, history.steps, history.best
        total = started.epochs if started else (known.config.epochs if known.config else 0)
        now = current_epoch(history)
        self.facts["Epoch"].show_value(f"{now} of {total}" if now else f"– of {total}")
        self.facts["Speed"].show_value(f"{steps[-1].images_per_second:,.0f} images/s" if steps else "–")
        left = seconds_left(history)
        if known.active:
            self.facts["Time left"].show_value(duration(left) if left is not None else "–", "Time left")
        else:
            took = history.stopped.time if history.stopped else (steps[-1].time if steps else 0.0)
            self.facts["Time left"].show_value(duration(took), "Took")
        self.facts["Best"].show_value(percent(best.validation_accuracy) if best else "–")

    def _tell_background(self) -> None:
        active = next((known for known in self._known.values() if known.active), None)
        said = ("", -1.0)
        if active is not None:
            said = in_the_background(active.run.history, active.state, active.config, name=active.run.name)
        if said != self._said:
            self._said = said
            self.background.emit(*said)

    def _offer_comparisons(self) -> None:
        names = [self.list.item(row).data(_NAME_ROLE) for row in range(self.list.count())]
        self.curves.set_runs([name for name in names if name != self._shown])

    def _restyle(self) -> None:
        for button, icon in self._icons.items():
            button.setIcon(theme.icon(icon))
        self.list.viewport().update()

    # What a person does

    def _on_form(self) -> None:
        try:
            config = self.form.value() if self.form.valid else None
        except EngineError:
            config = None
        if config is not None:
            for name, value in config.values().items():
                self._settings.set(f"train/{name}", str(value))
            self.empty.describe(config)

    def _remembered(self) -> dict[str, Any]:
        """The settings of the last session; what an older or newer program wrote and this one does not take is left."""
        values: dict[str, Any] = {}
        for name, default in TrainingConfig().values().items():
            text = self._settings.text(f"train/{name}", str(default))
            try:
                value = type(default)(text)
                TrainingConfig.from_mapping({name: value})
            except (ValueError, EngineError):
                continue
            values[name] = value
        return values

    def _on_chosen(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.select(item.data(_NAME_ROLE))

    def _on_pause(self) -> None:
        known = self._known[self._shown]
        if not known.active:
            self._resume(known)
        else:
            self._ask(known, "resume" if known.state == "paused" else "pause")

    def _discard(self, known: _Known) -> None:
        box = self._question(
            "Cancel and discard",
            f"End “{known.run.name}” and delete what it has learned?",
            "Its network, curves and settings are gone for good; this cannot be undone.",
        )
        go = box.addButton("Cancel and discard", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton("Go on training", QMessageBox.ButtonRole.RejectRole))

        def answered() -> None:
            if box.clickedButton() is go and known.active:
                self._ask(known, "cancel")

        box.finished.connect(answered)
        box.open()

    def _on_delete(self) -> None:
        known = self._known.get(self._shown)
        if known is None or known.alive:
            return
        box = self._question(
            "Delete a run",
            f"Delete “{known.run.name}”?",
            "Its network, curves and settings are gone for good; this cannot be undone.",
        )
        go = box.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton("Keep", QMessageBox.ButtonRole.RejectRole))

        def answered() -> None:
            if box.clickedButton() is go:
                self._delete(known.run)

        box.finished.connect(answered)
        box.open()

    def _on_copy(self) -> None:
        known = self._known.get(self._shown)
        if known is not None and known.config is not None:
            self.form.set_value(known.config)

    def _on_folder(self) -> None:
        if self.shown is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.shown.folder)))

    def _on_comparison(self, name: str) -> None:
        known = self._known.get(name)
        self.curves.compare(known.run.history if known else None, name)

    def _on_details(self, shown: bool) -> None:
        if shown and self.shown is not None:
            self.last_words.setPlainText(self.shown.last_words() or "The process printed nothing.")
        self.last_words.setVisible(shown)

    def _question(self, title: str, text: str, more: str) -> QMessageBox:
        box = QMessageBox(QMessageBox.Icon.Warning, title, text, QMessageBox.StandardButton.NoButton, self)
        box.setInformativeText(more)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return box

    def closeEvent(self, event: QCloseEvent) -> None:
        """The window goes; the run does not."""
        self._timer.stop()
        for worker in (self._search, self._starter):
            if worker is not None:
                worker.stop()
        super().closeEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._timer.start(WATCHING)
        self.curves.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.setInterval(WAITING)


class EpochBar(QProgressBar):
    """How far the run is, with a gap at the end of every epoch."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(0, 10_000)
        self.setTextVisible(False)
        self.setAccessibleName("Progress of the run")
        self.setFixedHeight(6)
        self._epochs = 1
        self._moving = False

    def show_run(self, history: History, *, moving: bool) -> None:
        """`moving`: the share is that of the preparation, which has no epochs."""
        self._moving = moving
        self._epochs = history.started.epochs if history.started is not None and not moving else 1
        share = history.progress.share if moving and history.progress is not None else share_done(history)
        self.setValue(round(10_000 * min(1.0, max(0.0, share))))
        self.setToolTip(f"{share:.0%} done")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        # Beyond some sixty epochs the gaps would be all one sees.
        parts = self._epochs if self._epochs <= 60 else 1
        gap = 3.0 if parts > 1 else 0.0
        width = (self.width() + gap) / parts - gap
        done = self.value() / 10_000 * parts
        for part in range(parts):
            left = part * (width + gap)
            for colour, share in (
                (theme.colour("track"), 1.0),
                (theme.colour("accent"), min(1.0, max(0.0, done - part))),
            ):
                if share > 0:
                    painter.setBrush(theme.colour("quiet") if self._moving and share < 1.0 else colour)
                    painter.drawRoundedRect(
                        QRect(round(left), 0, max(1, round(width * share)), self.height()), 2.5, 2.5
                    )


class _Fact(QWidget):
    """A number with its name above it."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._name = QLabel(name, self)
        self._name.setFont(scaled_font(self._name, 0.9))
        set_role(self._name, role="dim")
        self._value = QLabel(self)
        set_role(self._value, role="title")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 8, 0)
        layout.setSpacing(0)
        layout.addWidget(self._name)
        layout.addWidget(self._value)
        self._widest = 0

    def show_value(self, value: str, name: str = "") -> None:
        if name:
            self._name.setText(name)
        if value != self._value.text():
            self._value.setText(value)
            # It may grow but not shrink from one moment to the next, or all its neighbours would dance.
            self._widest = max(self._widest, self._value.sizeHint().width())
            self._value.setMinimumWidth(self._widest)


class _Empty(QFrame):
    """What the stage shows before the first run."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        set_role(self, card=True)
        title = QLabel("Train your first network", self)
        title.setFont(scaled_font(title, 1.4, bold=True))
        title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._words = QLabel(self)
        self._words.setWordWrap(True)
        self._words.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self._words.setMinimumHeight(4 * self._words.fontMetrics().lineSpacing())
        set_role(self._words, role="dim")
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addStretch(3)
        self._picture = _Sketch(self)
        layout.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addSpacing(8)
        layout.addWidget(title)
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(self._words, 4)
        middle.addStretch(1)
        layout.addLayout(middle)
        layout.addStretch(3)

    def describe(self, config: TrainingConfig) -> None:
        """Say what Start would do with these settings."""
        fields = TrainingConfig.describe()
        network = dict(fields["model"].choices)[config.model].split(":")[0].lower()
        times = "once" if config.epochs == 1 else f"{config.epochs} times"
        self._words.setText(
            f"Press Start training: the {network} network sees all pictures of “{data_title(config)}” {times}. "
            "Its loss and accuracy are drawn here while it learns, and you can go on drawing or watching meanwhile."
        )


class _Sketch(QWidget):
    """A falling curve, as a hint of what will be here."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFixedSize(150, 78)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(theme.colour("line"))
        bottom, left = self.height() - 4, 6
        painter.drawLine(left, 4, left, bottom)
        painter.drawLine(left, bottom, self.width() - 4, bottom)
        for colour, speed, floor in (("quiet", 3.2, 0.16), ("accent", 5.0, 0.06)):
            pen = painter.pen()
            pen.setColor(theme.colour(colour))
            pen.setWidthF(2.0)
            painter.setPen(pen)
            last: tuple[float, float] | None = None
            for i in range(61):
                share = i / 60
                here = (left + 8 + share * 128, bottom - 6 - (floor + (1 - floor) * math.exp(-speed * share)) * 58)
                if last is not None:
                    painter.drawLine(round(last[0]), round(last[1]), round(here[0]), round(here[1]))
                last = here


class _RunDelegate(QStyledItemDelegate):
    """Two lines a run: its name, then state, data set and best accuracy."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        painter.save()
        inner = begin_row(painter, option).toRect().adjusted(8, 5, -8, -5)
        metrics = painter.fontMetrics()
        line = metrics.height()
        top = QRect(inner.left(), inner.top(), inner.width(), line)
        low = QRect(inner.left(), inner.top() + line + 2, inner.width(), line)
        score = str(index.data(_SCORE_ROLE) or "")
        painter.setPen(theme.colour("text"))
        name = metrics.elidedText(str(index.data(_NAME_ROLE)), Qt.TextElideMode.ElideMiddle, top.width())
        painter.drawText(top, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)
        painter.drawText(low, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, score)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.colour(str(index.data(_TONE_ROLE) or "quiet"))))
        painter.drawEllipse(low.left(), low.center().y() - 3, 7, 7)
        words = low.adjusted(13, 0, -metrics.horizontalAdvance(score) - 8, 0)
        painter.setPen(theme.colour("dim"))
        text = metrics.elidedText(str(index.data(_STATE_ROLE) or ""), Qt.TextElideMode.ElideRight, words.width())
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(120, 2 * option.fontMetrics.height() + 18)


def _at_once(work: Callable[[], Any], done: Callable[[Any], None]) -> None:
    done(work())


def _state_words(known: _Known) -> str:
    stopped = known.run.history.stopped
    if known.state == "ended" and stopped is not None:
        return _ENDINGS.get(stopped.reason, "ended")  # another version of ConvScope may know more reasons
    return known.state


def _tone(known: _Known) -> str:
    """The colour of a run's dot, by its name in the theme."""
    stopped = known.run.history.stopped
    if known.state in ("preparing", "training"):
        return "accent"
    if known.state in ("paused", "interrupted"):
        return "warning"
    return "danger" if stopped is not None and stopped.reason in GONE_WRONG else "quiet"


def _new_name(config: TrainingConfig, taken: set[str]) -> str:
    """What the run will be called, in the zoo too: the data set and a number that rises."""
    stem = re.sub(r"[^\w]+", "-", data_title(config).lower()).strip("-") or "run"
    numbers = [
        int(name.removeprefix(f"{stem}-")) for name in taken if re.fullmatch(re.escape(stem) + r"-\d{1,6}", name)
    ]
    return f"{stem}-{max(numbers, default=0) + 1}"


def _names_on_disk() -> set[str]:
    try:
        return {path.parent.name for path in (data_folder() / "runs").glob("*/run.toml")}
    except OSError:
        return set()


def _column(parent: QWidget, title: str) -> tuple[QWidget, QVBoxLayout, QHBoxLayout]:
    column = QWidget(parent)
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(8)
    head = QHBoxLayout()
    head.setSpacing(2)
    label = QLabel(title, column)
    label.setFont(scaled_font(label, 1.15, bold=True))
    label.setMinimumHeight(28)
    label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    head.addWidget(label, 1)
    layout.addLayout(head)
    return column, layout, head
