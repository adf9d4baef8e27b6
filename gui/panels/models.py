"""The zoo: every network with what is known of it, to use it, to measure it, to get it, or to delete it.

Above are those that can run, below them the well-known ones that are a download away. Whatever takes time happens in
threads (`call`); the panel shows how far it is, and a second click ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, QTimer, Signal, SignalInstance
from PySide6.QtGui import QFontDatabase, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import (
    QButtonGroup,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine import Cancelled, EngineError
from gui.bridge import Call
from gui.files import ask_for_file
from gui.frame import run_folder
from gui.onnx_questions import OnnxQuestions
from gui.settings import Settings
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import ModelCard, OnnxFound, Speed

CARD = Qt.ItemDataRole.UserRole
RUNNING = Qt.ItemDataRole.UserRole + 1
HEADING = Qt.ItemDataRole.UserRole + 2
SHARE = Qt.ItemDataRole.UserRole + 3  # how much of it has been downloaded; -1: it is not being downloaded
ORIGINS = {
    "bundled": "comes with ConvScope",
    "trained": "trained here",
    "downloaded": "downloaded",
    "imported": "imported from a file",
    "random": "not trained",
}
FILTERS = (
    ("", "All", "Every network"),
    ("classification", "Classify", "Networks that say what is on a picture"),
    ("detection", "Detect", "Networks that find things and draw boxes around them"),
    ("faces", "Faces", "Networks that tell whose a face is"),
)


@dataclass(eq=False)
class Job:
    """Something under way for one network.

    Attributes:
        words: what, for people.
        done, total: how far it is, in bytes or pictures.
        cancelled: set by the button, read in the thread.
        begun: when, on the clock of `time.monotonic`.
    """

    kind: str
    words: str
    done: int = 0
    total: int = 0
    cancelled: bool = False
    begun: float = field(default_factory=time.monotonic)

    def progress(self, done: int, total: int) -> None:
        """Called in the thread that works."""
        self.done, self.total = done, total


class CardDelegate(QStyledItemDelegate):
    """A network in the list: title, one line about it, a mark if it runs or is still to be downloaded; or a heading."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        widget = option.widget
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        if heading := index.data(HEADING):
            painter.setFont(scaled_font(widget, 1.0, bold=True))
            painter.setPen(theme.colour("dim"))
            painter.drawText(QRectF(option.rect).adjusted(8, 6, -8, 0), left, heading)
            painter.restore()
            return
        card: ModelCard = index.data(CARD)
        here = card.weights is not None
        area = QRectF(option.rect).adjusted(4.5, 3.5, -4.5, -3.5)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        over = bool(option.state & QStyle.StateFlag.State_MouseOver)
        focused = chosen and bool(option.state & QStyle.StateFlag.State_HasFocus)
        painter.setPen(QPen(theme.colour("accent" if chosen else "line"), 1.6 if focused else 1))
        painter.setBrush(theme.colour("soft" if chosen else "hover" if over else "base" if here else "window"))
        painter.drawRoundedRect(area, 8, 8)
        room = area.adjusted(12, 7, -12, -7)
        running, share = bool(index.data(RUNNING)), float(index.data(SHARE) or 0.0)
        mark = 76.0 if running else 28.0 if not here else 0.0
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
        elif not here:
            theme.icon("save").paint(painter, round(room.right() - 18), round(room.y()), 18, 18)
        painter.setPen(theme.colour("dim"))
        line = painter.fontMetrics().elidedText(_line(card), Qt.TextElideMode.ElideRight, int(room.width()))
        painter.drawText(QRectF(room.x(), room.center().y() + 1, room.width(), room.height() / 2), left, line)
        if share > 0:
            bar = QRectF(area.x() + 8, area.bottom() - 4, area.width() - 16, 2.5)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("track"))
            painter.drawRoundedRect(bar, 1.2, 1.2)
            painter.setBrush(theme.colour("accent"))
            painter.drawRoundedRect(QRectF(bar.x(), bar.y(), bar.width() * share, bar.height()), 1.2, 1.2)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(260, 34 if index.data(HEADING) else 64)


class ModelsPanel(QWidget):
    """The stage of Models.

    Signals:
        use(str): run this network.
        delete(str): remove one that is the user's; whoever listens asks first.
        train_wanted(): train one.
        changed(): there are other networks now than before.
        failed(EngineError): for the notices.
        said(str): for the status bar.
    """

    use = Signal(str)
    delete = Signal(str)
    train_wanted = Signal()
    changed = Signal()
    failed = Signal(object)
    said = Signal(str)

    def __init__(self, *, call: Call, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._call, self._settings = call, settings
        self._running = ""
        self._cards: list[ModelCard] = []
        self._catalogue: list[ModelCard] = []
        self._speeds: dict[str, Speed] = {}
        self._sizes: dict[str, int] = {}
        self._jobs: dict[str, Job] = {}  # by the name of the network; "" for an ONNX file that is being read
        self._wanted = ""  # the network that is to be chosen as soon as it is there
        self._by_hand = False  # a person has chosen what is shown
        self._timer = QTimer(self)
        self._timer.setInterval(100)
        self._timer.timeout.connect(self._show_jobs)
        left = self._build_list()
        scroll = self._build_details()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 12, 16, 12)
        layout.setSpacing(16)
        layout.addLayout(left, 4)
        layout.addWidget(scroll, 7)
        self.setFocusProxy(self.list)
        self._show()

    def _build_list(self) -> QVBoxLayout:
        self.list = QListWidget()
        self.list.setItemDelegate(CardDelegate(self.list))
        self.list.setMouseTracking(True)
        self.list.setAccessibleName("Networks")
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setStyleSheet("QListView { border: 0; background: transparent; }")
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.currentItemChanged.connect(lambda *_: self._chosen_by_hand())
        self.list.itemActivated.connect(self._activate)
        heading = QLabel("Networks")
        heading.setFont(scaled_font(heading, 1.4, bold=True))
        self.onnx_button = QPushButton("Import ONNX…")
        self.onnx_button.setToolTip(
            "Take a network of your own from an ONNX file: a detector (YOLO, SSD and their kin), or one that tells "
            "faces apart (ArcFace and its kin)"
        )
        self.onnx_button.clicked.connect(self._ask_for_onnx)
        self.train_button = QPushButton("Train a new one")
        self.train_button.clicked.connect(self.train_wanted)
        self.train_button.setToolTip("Go to Train (Ctrl+3)")
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(heading, 1)
        head.addWidget(self.onnx_button)
        head.addWidget(self.train_button)
        self._filters = QButtonGroup(self)
        chips = QHBoxLayout()
        chips.setSpacing(8)
        for number, (_, words, help) in enumerate(FILTERS):
            chip = QToolButton()
            chip.setText(words)
            chip.setToolTip(help)
            chip.setAccessibleName(f"Show: {words}")
            chip.setCheckable(True)
            chip.setChecked(number == 0)
            chip.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            set_role(chip, chip="true")
            self._filters.addButton(chip, number)
            chips.addWidget(chip)
        chips.addStretch(1)
        self._filters.idClicked.connect(lambda _: self._fill())
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addLayout(head)
        column.addLayout(chips)
        column.addWidget(self.list, 1)
        return column

    def _build_details(self) -> QScrollArea:
        self._title = QLabel()
        self._title.setWordWrap(True)
        self._title.setFont(scaled_font(self._title, 1.5, bold=True))
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        set_role(self._notes, role="dim")
        self.use_button = QPushButton("Use this network")
        self.use_button.setToolTip("Let this network read what is drawn and seen (Enter in the list)")
        self.use_button.clicked.connect(lambda: self._emit(self.use))
        self.download_button = QPushButton("Download")
        self.download_button.clicked.connect(self._download)
        for button in (self.use_button, self.download_button):
            set_role(button, primary="true")
        self.import_button = QPushButton("Import a file…")
        self.import_button.clicked.connect(self._ask_for_weights)
        self.measure_button = QPushButton("Measure its speed")
        self.measure_button.setToolTip("Run it on some pictures of noise and remember how long one takes")
        self.measure_button.clicked.connect(self._measure)
        self.delete_button = QPushButton("Delete…")
        self.delete_button.setToolTip("Remove this network from this computer (Del in the list)")
        self.delete_button.clicked.connect(lambda: self._emit(self.delete))
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.clicked.connect(self._cancel)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        self._buttons = (
            self.use_button,
            self.download_button,
            self.import_button,
            self.measure_button,
            self.delete_button,
            self.cancel_button,
        )
        for button in self._buttons:
            button.setAutoDefault(True)  # Enter presses it
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self._progress = QLabel()
        self._progress.setWordWrap(True)
        set_role(self._progress, role="dim")
        self._facts = QFormLayout()
        self._facts.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self._facts.setHorizontalSpacing(24)
        self._facts.setVerticalSpacing(8)
        self._measured, self._published, self._about = QLabel("Measured"), QLabel("Published"), QLabel("About it")
        self._measured.setToolTip("By this project or on this computer")
        self._published.setToolTip("By those who made the weights, with their own pictures and programs")
        for heading in (self._measured, self._published, self._about):
            heading.setFont(scaled_font(heading, 1.1, bold=True))
        self._metrics, self._claims = QGridLayout(), QGridLayout()
        for grid in (self._metrics, self._claims):
            grid.setHorizontalSpacing(24)
            grid.setVerticalSpacing(6)
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
        # Room at the end, so that the last button can be scrolled from under a notice.
        inner.setContentsMargins(24, 20, 24, 110)
        inner.setSpacing(12)
        inner.addWidget(self._title)
        inner.addLayout(buttons)
        inner.addWidget(self.bar)
        inner.addWidget(self._progress)
        inner.addSpacing(4)
        inner.addLayout(self._facts)
        for heading, grid in ((self._measured, self._metrics), (self._published, self._claims)):
            inner.addWidget(heading)
            inner.addLayout(grid)
        inner.addWidget(self._about)
        inner.addWidget(self._notes)
        inner.addWidget(self.recipe_button, 0, Qt.AlignmentFlag.AlignLeft)
        inner.addWidget(self._recipe)
        inner.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(card)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._scroll = scroll
        return scroll

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def chosen(self) -> ModelCard | None:
        """The network whose details are shown."""
        item = self.list.currentItem()
        card: ModelCard | None = item.data(CARD) if item is not None else None
        return card

    def choose(self, name: str) -> None:
        """Show the details of a network, now or as soon as it is there."""
        self._wanted, self._by_hand = name, True
        self._fill()

    def set_cards(self, cards: list[ModelCard], running: str) -> None:
        """List these networks, and below them what can be downloaded."""
        self._running, self._cards = running, cards
        self._fill()

        def look() -> tuple[list[ModelCard], dict[str, Speed], dict[str, int]]:
            from engine import catalogue, known_speeds

            sizes = {card.name: size for card in cards if (size := _size(card.weights))}
            return catalogue(), known_speeds(cards), sizes

        self._call(look, self._take_rest)

    def set_current(self, running: str) -> None:
        """Mark the network that runs."""
        self._running = running
        for row in range(self.list.count()):
            item = self.list.item(row)
            if item.data(CARD) is not None:
                item.setData(RUNNING, item.data(CARD).name == running)
        self._show()

    def busy(self, name: str) -> bool:
        """Whether something is under way for this network."""
        return name in self._jobs

    def end(self) -> None:
        """Nothing is to be under way any more: the window closes."""
        self._timer.stop()
        for job in self._jobs.values():
            job.cancelled = True

    # getting one ----------------------------------------------------------------------------------------------------

    def download(self, card: ModelCard) -> None:
        """Get the official weights of a well-known network."""
        from engine import download_model

        job = Job("download", "Connecting…")
        self._start(
            card.name,
            job,
            lambda: download_model(card, progress=job.progress, cancelled=lambda: job.cancelled),
            lambda kept: self._arrived(f"{kept.title} is here"),
        )

    def import_weights(self, card: ModelCard, path: Path) -> None:
        """Take the official weights of a well-known network from a file."""
        from engine import import_weights

        job = Job("import", f"Reading {path.name}…")
        self._start(
            card.name,
            job,
            lambda: import_weights(path, card, cancelled=lambda: job.cancelled),
            lambda kept: self._arrived(f"{kept.title} is here"),
        )

    def import_onnx(self, path: Path) -> None:
        """Take a detector from an ONNX file, after asking what the file does not tell."""
        from engine import read_onnx

        job = Job("import", f"Reading {path.name}…")
        self._start(
            "", job, lambda: read_onnx(path, cancelled=lambda: job.cancelled), lambda found: self._ask(path, found)
        )

    def measure(self, card: ModelCard) -> None:
        """Find out how long this network takes for a picture on this computer."""
        from engine import measure_speed

        job = Job("measure", "Getting the network ready…")

        def measured(speed: Speed) -> None:
            self._speeds[card.name] = speed
            self._show()

        self._start(
            card.name,
            job,
            lambda: measure_speed(card, progress=job.progress, cancelled=lambda: job.cancelled),
            measured,
        )

    # inside ---------------------------------------------------------------------------------------------------------

    def _emit(self, signal: SignalInstance) -> None:
        if self.chosen is not None:
            signal.emit(self.chosen.name)

    def _chosen_by_hand(self) -> None:
        self._by_hand = True
        self._show()

    def _activate(self, item: QListWidgetItem) -> None:
        card: ModelCard | None = item.data(CARD)
        if card is not None and card.weights is not None:
            self.use.emit(card.name)
        elif self.download_button.isVisible():
            self.download_button.setFocus()  # a second Enter begins it: it may be half a gigabyte

    def _download(self) -> None:
        if self.chosen is not None:
            self.download(self.chosen)

    def _measure(self) -> None:
        if self.chosen is not None:
            self.measure(self.chosen)

    def _ask_for_weights(self) -> None:
        card = self.chosen
        if card is None or card.download is None:
            return
        path = ask_for_file(
            self,
            self._settings,
            title=f"The official file of {card.title}: {card.download.file_name}",
            kinds="Weights of PyTorch (*.pth *.pt);;All files (*)",
        )
        if path is not None:
            self.import_weights(card, path)

    def _ask_for_onnx(self) -> None:
        path = ask_for_file(
            self, self._settings, title="A network in an ONNX file", kinds="ONNX (*.onnx);;All files (*)"
        )
        if path is not None:
            self.import_onnx(path)

    def _ask(self, path: Path, found: OnnxFound) -> None:
        dialog = OnnxQuestions(path, found, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self._keep_onnx(path, found, dialog.answers, dialog.title))
        dialog.open()

    def _keep_onnx(self, path: Path, found: OnnxFound, answers: dict[str, Any], title: str) -> None:
        from engine import import_onnx

        job = Job("import", f"Converting {path.name}…")
        self._start(
            "",
            job,
            lambda: import_onnx(path, found, answers, title=title, cancelled=lambda: job.cancelled),
            lambda kept: self._imported(kept),
        )

    def _arrived(self, words: str) -> None:
        self.said.emit(words)
        self.changed.emit()

    def _imported(self, card: ModelCard) -> None:
        self._wanted, self._by_hand = card.name, True
        self._arrived(f"{card.title} was imported")

    def _cancel(self) -> None:
        job = self._job()
        if job is not None:
            job.cancelled = True
            self._show_jobs()

    def _job(self) -> Job | None:
        """What the progress bar shows: of the chosen network, or of the file that is being read."""
        card = self.chosen
        return self._jobs.get("") or (self._jobs.get(card.name) if card is not None else None)

    def _start(self, name: str, job: Job, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        if name in self._jobs:
            return
        self._jobs[name] = job
        self._timer.start()
        self._show()

        def attempt() -> Any:
            try:
                return work()
            except EngineError as error:
                return error

        def done(value: Any) -> None:
            if self._jobs.get(name) is job:
                del self._jobs[name]
            if isinstance(value, EngineError):
                if not isinstance(value, Cancelled):
                    self.failed.emit(value)
            else:
                then(value)
            self._show_jobs()
            self._show()

        self._call(attempt, done)

    def _take_rest(self, found: tuple[list[ModelCard], dict[str, Speed], dict[str, int]]) -> None:
        before = self._catalogue
        self._catalogue, self._speeds, self._sizes = found
        if [card.name for card in before] != [card.name for card in self._catalogue]:
            self._fill()
        else:
            self._show()

    def _fill(self) -> None:
        """List what is to be listed; what was chosen stays chosen."""
        task = FILTERS[max(0, self._filters.checkedId())][0]
        before = self.chosen
        wanted = self._wanted or (before.name if before is not None and self._by_hand else self._running)
        here = {card.name for card in self._cards}
        groups = (
            ("On this computer", self._cards),
            ("A click away", [card for card in self._catalogue if card.name not in here]),
        )
        self.list.blockSignals(True)
        self.list.clear()
        for heading, cards in groups:
            cards = [card for card in cards if not task or card.task == task]
            if cards and self._catalogue:
                item = QListWidgetItem()
                item.setFlags(Qt.ItemFlag.NoItemFlags)
                item.setData(HEADING, heading)
                item.setData(Qt.ItemDataRole.AccessibleTextRole, heading)
                self.list.addItem(item)
            for card in cards:
                item = QListWidgetItem()
                item.setData(CARD, card)
                item.setData(RUNNING, card.name == self._running)
                missing = "" if card.weights is not None else ", to be downloaded"
                item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{card.title}{missing}")
                self.list.addItem(item)
                if card.name == wanted:
                    self.list.setCurrentItem(item)
                    self._wanted = ""
        if self.list.currentItem() is None:
            first = next((row for row in range(self.list.count()) if self.list.item(row).data(CARD)), -1)
            self.list.setCurrentRow(first)
        self.list.blockSignals(False)
        current = self.list.currentItem()
        if current is not None:
            self.list.scrollToItem(current)
        self._show()

    def _show_jobs(self) -> None:
        """How far everything is that is under way."""
        if not self._jobs:
            self._timer.stop()
        for row in range(self.list.count()):
            item = self.list.item(row)
            card = item.data(CARD)
            job = self._jobs.get(card.name) if card is not None else None
            share = job.done / job.total if job is not None and job.kind == "download" and job.total else 0.0
            if item.data(SHARE) != share:
                item.setData(SHARE, share)
        job = self._job()
        for widget in (self.bar, self._progress, self.cancel_button):
            widget.setVisible(job is not None)
        if job is None:
            return
        words = progress_words(job, time.monotonic() - job.begun)
        self._progress.setText(words)
        self.bar.setAccessibleName(words)
        self.cancel_button.setEnabled(not job.cancelled)
        known = bool(job.total) and job.done < job.total
        self.bar.setRange(0, 1000 if known else 0)  # without a known end it moves to and fro
        if known:
            self.bar.setValue(round(1000 * job.done / job.total))

    def _show(self) -> None:
        while self._facts.rowCount():
            self._facts.removeRow(0)
        card = self.chosen
        with_focus = self.focusWidget()
        busy = card is not None and card.name in self._jobs
        here = card is not None and card.weights is not None
        missing = card is not None and not here and card.download is not None
        measured = dict(card.metrics) if card is not None else {}
        published = dict(card.published) if card is not None else {}
        for heading, grid, figures in (
            (self._measured, self._metrics, measured),
            (self._published, self._claims, published),
        ):
            heading.setVisible(bool(figures))
            _show_figures(grid, figures)
        self._about.setVisible(card is not None and bool(card.notes))
        self.recipe_button.setVisible(card is not None and bool(card.recipe))
        self.recipe_button.setChecked(False)
        self._recipe.setText(card.recipe.strip() if card is not None else "")
        self.use_button.setVisible(here)
        self.measure_button.setVisible(here and not busy)
        self.delete_button.setVisible(card is not None and here and not busy and _own(card))
        self.download_button.setVisible(missing and not busy)
        self.import_button.setVisible(missing and not busy)
        self.onnx_button.setEnabled("" not in self._jobs)
        self._show_jobs()
        if with_focus in self._buttons and not with_focus.isVisibleTo(self):
            seen = [button for button in self._buttons if button.isVisibleTo(self) and button.isEnabled()]
            (seen[0] if seen else self.list).setFocus()
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
        if card.download is not None:
            size = _megabytes(card.download.size)
            self.download_button.setText(f"Download ({size})")
            self.download_button.setToolTip(f"From {card.download.url}")
            self.import_button.setToolTip(f"Without a network: bring {card.download.file_name} ({size}) and choose it")
        for name, value in facts(card, size=self._sizes.get(card.name, 0), speed=self._speeds.get(card.name)):
            title, text = QLabel(name), QLabel(value)
            set_role(title, role="dim")
            title.setAlignment(Qt.AlignmentFlag.AlignTop)
            text.setWordWrap(True)
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._facts.addRow(title, text)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        card = self.chosen
        if event.key() == Qt.Key.Key_Delete and card is not None and self.delete_button.isVisible():
            self.delete.emit(card.name)
        elif event.key() == Qt.Key.Key_Escape and self.cancel_button.isVisible():
            self._cancel()
        else:
            super().keyPressEvent(event)


def facts(card: ModelCard, *, size: int = 0, speed: Speed | None = None) -> list[tuple[str, str]]:
    """What is known of a network, as (what, value) in plain words.

    Args:
        size: of its weights file in bytes; 0: unknown.
        speed: what was measured on this computer.
    """
    found: list[tuple[str, str]] = []
    kind = card.preprocess
    colours = "grey" if kind.channels == 1 else "colour"
    square = f"{kind.size} × {kind.size} pixels"
    if kind.kind == "drawing":
        reads = f"drawings, centred, {square}"
    elif kind.kind == "letterbox":
        reads = f"{colours} pictures, the whole, in {square}"
    elif kind.kind == "face":
        reads = f"faces, turned upright, {square}"
    else:
        reads = f"{colours} pictures, the middle, {square}"
    known = [name for name in card.classes if name != card.reject]
    shown = ", ".join(known[:12]) + (f" … ({len(known)} in all)" if len(known) > 12 else "")
    found.append(("Reads", reads))
    if card.task == "faces":
        found.append(("Tells", f"whose a face is, from a similarity of {card.threshold:.2f} on"))
        found.append(("Faces are found by", card.finder or "nothing yet"))
    else:
        found.append(("Finds" if card.task == "detection" else "Classes", shown))
    if card.reject:
        found.append(("Can also say", f"“{card.reject}”"))
    found.append(("Name", card.name))
    found.append(("Architecture", "as in its ONNX file" if card.architecture == "onnx" else card.architecture))
    weights = [f"{card.parameters:,} weights".replace(",", " ")] if card.parameters else []
    if not size and card.weights is None and card.download is not None:
        size = card.download.size
    if size:
        weights.append(_megabytes(size))
    if weights:
        found.append(("Size", " · ".join(weights)))
    if card.operations:
        found.append(("Work", f"{card.operations:.3g} billion multiplications a picture, as published"))
    if card.weights is not None:
        found.append(("Speed here", speed_words(speed) if speed is not None else "not measured yet"))
    origin = ORIGINS.get(card.origin, card.origin)
    found.append(("Origin", origin if card.weights is not None or card.download is None else "to be downloaded"))
    if card.licence:
        found.append(("Licence", card.licence))
    return found


def speed_words(speed: Speed) -> str:
    """A measured speed in a sentence."""
    each = f"{speed.milliseconds:.2g}" if speed.milliseconds < 10 else f"{speed.milliseconds:.0f}"
    rate = f"{1000 / max(speed.milliseconds, 1e-3):,.0f}".replace(",", " ")
    return f"{each} ms a picture, the network alone ({rate} a second) · {speed.device} · {speed.day}"


def progress_words(job: Job, seconds: float) -> str:
    """How far a job is, in words."""
    if job.cancelled:
        return "Cancelling…"
    if job.kind == "measure":
        return f"Measuring: picture {job.done} of {job.total}" if job.total else job.words
    if job.kind == "download" and job.done:
        if job.total and job.done >= job.total:
            return "Checking the file and unpacking its weights…"
        of = f" of {_megabytes(job.total)}" if job.total else ""
        rate = f" · {_megabytes(round(job.done / seconds))} a second" if seconds > 2 else ""
        return f"{_megabytes(job.done)}{of}{rate}"
    return job.words


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


def _show_figures(grid: QGridLayout, figures: dict[str, float]) -> None:
    while (old := grid.takeAt(0)) is not None:
        widget = old.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
    half = (len(figures) + 1) // 2 if len(figures) > 4 else len(figures)
    two = half < len(figures)
    for column, stretch in ((0, two), (2, two), (4, not two)):
        grid.setColumnStretch(column, int(stretch))
    for number, (name, share) in enumerate(figures.items()):
        row, column = (number, 0) if number < half else (number - half, 2)
        text, figure = QLabel(name), QLabel(figure_text(name, share))
        text.setWordWrap(two)
        set_role(text, role="dim")
        grid.addWidget(text, row, column, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(figure, row, column + 1, Qt.AlignmentFlag.AlignTop)


def _own(card: ModelCard) -> bool:
    """Whether the user may delete it."""
    return run_folder(card) is not None or card.origin in ("downloaded", "imported")


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path is not None else 0
    except OSError:
        return 0


def _megabytes(size: int) -> str:
    from engine import megabytes

    return megabytes(size)


def _line(card: ModelCard) -> str:
    figures = list((card.metrics or card.published).items())[:1]
    parts = [f"{value * 100:.1f} % {name}" for name, value in figures if 0 <= value <= 1]
    count = len([name for name in card.classes if name != card.reject])
    parts.append("faces" if card.task == "faces" else f"{count} class{'es' if count != 1 else ''}")
    if card.weights is None and card.download is not None:
        parts.append(_megabytes(card.download.size))
    else:
        parts.append(ORIGINS.get(card.origin, card.origin))
    return " · ".join(parts)
