"""The one window: a stage, an answer, a look inside, and the network that runs, in the same places whatever one does.

Modes (what is on the stage) and panels (the docks) are lists; everything else, menus, keys, the list under F1, what is
remembered, follows from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QByteArray,
    QEvent,
    QObject,
    QRectF,
    QSize,
    Qt,
    QTimer,
)
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QGuiApplication,
    QKeySequence,
)
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QProgressBar,
    QSizePolicy,
    QSlider,
    QStackedWidget,
    QToolBar,
    QToolButton,
    QWidget,
)

from gui.background import Background
from gui.bridge import Bridge
from gui.canvas import PEN_WIDTHS, Canvas, Label
from gui.companions import Companions
from gui.counting import Counting
from gui.faces_mode import FacesMode
from gui.files import PICTURES, ask_for_picture_or_video, ask_where_to_save
from gui.frame import Dock, DockTitle, Later, NetworkChoice, ShortcutList, run_folder
from gui.live_view import LiveStage
from gui.notices import Notices
from gui.panels.answer import AnswerPanel
from gui.panels.inside import InsidePanel
from gui.place_tool import Kind, PlaceTool
from gui.reading import Place
from gui.settings import Settings
from gui.sight import Sight
from gui.theme import Choice, set_role, theme

if TYPE_CHECKING:
    from engine import ModelCard, ModelState, Recogniser, Result, Timings, TrainingConfig
    from gui.labeller import Labeller

DEFAULT_MODEL = "digits"
LIVE_MODEL = "detector"  # what Live starts with, where it is there
LOOKING = ("live", "faces")  # modes in which the live picture is on the stage
CHOICES = {"draw": "model", "live": "live-model", "faces": "faces-model"}  # where a stage's network is remembered
LAYOUT_VERSION = 2
BUILD_PAUSE = 100  # milliseconds between two pieces of what is built before it is opened


@dataclass(frozen=True)
class Mode:
    """Something one can do: what it puts on the stage, and which docks it opens with."""

    name: str
    title: str
    help: str
    stage: Callable[[MainWindow], QWidget]
    docks: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """A dock."""

    name: str
    title: str
    help: str
    area: Qt.DockWidgetArea
    widget: Callable[[MainWindow], QWidget]
    key: str


MODES = (
    Mode("draw", "Draw", "Draw digits and see them read", lambda w: w.draw, ("answer", "inside")),
    Mode("live", "Live", "Camera, video, pictures, screen", lambda w: w.live, ("answer", "inside")),
    Mode("train", "Train", "Train a network and watch it learn", lambda w: w.make_train(), ()),
    Mode("faces", "Faces", "Find faces, and say whose they are", lambda w: w.faces.make_stage(), ("answer", "people")),
    Mode("models", "Models", "All networks and what is known of them", lambda w: w.make_models(), ()),
)
# Not among the modes at the top: one goes there from Live or from the menu, and comes back.
SORT = Mode("sort", "Sort a folder…", "Sort a folder of pictures by what is in them", lambda w: w.make_sorter(), ())
PAGES = (*MODES, SORT)
PANELS = (
    Panel(
        "answer",
        "Answer",
        "What the network answers and what it saw",
        Qt.DockWidgetArea.RightDockWidgetArea,
        lambda w: w.answer,
        "F7",
    ),
    Panel(
        "inside",
        "Inside the network",
        "The feature maps of every layer",
        Qt.DockWidgetArea.BottomDockWidgetArea,
        lambda w: w.inside,
        "F8",
    ),
    Panel(
        "people",
        "People",
        "Who is recognised: adding people, the gallery, the threshold",
        Qt.DockWidgetArea.BottomDockWidgetArea,
        lambda w: w.faces.dock,
        "F9",
    ),
    Panel(
        "counting",
        "Counting",
        "Zones and lines in the live picture: how many are there, how many went through, alarms",
        Qt.DockWidgetArea.BottomDockWidgetArea,
        lambda w: w.counting_room,
        "F6",
    ),
)


class DrawStage(QWidget):
    """The paper between its tools: left what draws, right what goes in and out."""

    def __init__(
        self, canvas: Canvas, drawing: list[QAction], exchange: list[QAction], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.width_slider = QSlider(Qt.Orientation.Vertical)
        self.width_slider.setRange(*PEN_WIDTHS)
        self.width_slider.setValue(canvas.pen_width)
        self.width_slider.setFixedSize(32, 96)
        self.width_slider.setToolTip("Width of pen and eraser ([ and ], or Ctrl and the wheel)")
        self.width_slider.setAccessibleName("Pen width")
        self.width_slider.valueChanged.connect(canvas.set_pen_width)
        canvas.width_changed.connect(self.width_slider.setValue)
        left, right = _tools("Drawing", drawing[:2]), _tools("Pictures", exchange)
        left.addWidget(_spacer(4))
        left.addWidget(self.width_slider)
        left.addWidget(_spacer(4))
        left.addActions(drawing[2:])
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(0)
        layout.addWidget(left, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(canvas, 1)
        layout.addWidget(right, 0, Qt.AlignmentFlag.AlignTop)
        self.setFocusProxy(canvas)


class MainWindow(QMainWindow):
    """The window.

    Attributes:
        bridge, canvas, answer, inside, live, notices: its parts.
        faces: the mode of that name: the gallery, its panel, the album.
        sight: what the network has in sight, for all who show it.
        companions: other networks that look at the pictures of Live.
        counting, place_tool, counting_room: what is counted in Live, drawing zones and lines, and room for their panel.
        mode: name of the mode it is in.
        first_time: nothing is known yet of the place and size it should have.
    """

    def __init__(self, *, settings: Settings | None = None) -> None:
        super().__init__()
        self.setWindowTitle("ConvScope")
        self.setObjectName("main")
        self.setAcceptDrops(True)
        self.setDockOptions(
            QMainWindow.DockOption.AllowNestedDocks
            | QMainWindow.DockOption.AllowTabbedDocks
            | QMainWindow.DockOption.AnimatedDocks
        )
        self.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        self.settings = settings or Settings()
        theme.apply(self._theme_choice())
        self.draw: DrawStage
        self.bridge: Bridge = Bridge(self)
        self._background = Background(self.bridge.call, self)  # until Train is opened
        self.canvas: Canvas = Canvas(call=self.bridge.call)
        self.sight: Sight = Sight(self.settings, self)
        self.companions: Companions = Companions(self.bridge, self.settings, self)
        self.answer: AnswerPanel = AnswerPanel(self.sight, self.companions)
        self.inside: InsidePanel = InsidePanel()
        self.live: LiveStage = LiveStage(self.bridge, self.settings, self.sight, self.companions)
        self.faces: FacesMode = FacesMode(self.bridge, self.settings, live=self.live, answer=self.answer, parent=self)
        self.counting: Counting = Counting(
            self.settings, self.sight, live=lambda: self.live.endless, call=self.bridge.call, parent=self
        )
        self.place_tool: PlaceTool = PlaceTool(self.live.picture, self.counting)
        self.counting_room: Later = Later(self._make_counting)
        self.live.picture.layers.append(self.counting.over)
        self.train: Any = None
        self._train_ahead: Any = None  # what is built of it before it is opened
        self._stages_loaded = False  # or being loaded
        self._ahead = QTimer(self)
        self._ahead.setInterval(BUILD_PAUSE)
        self._ahead.timeout.connect(self._build_ahead)
        self.models: Any = None
        self.labeller: Labeller | None = None  # made when boxes are to be drawn for the first time
        self.sorter: Any = None
        self.mode = ""
        self._came_from = ""  # the mode before a page, whereto it leads back
        self._furnished = ""  # what the docks are set up for: a mode, or "labels"
        self._front: dict[str, str] = {}  # of each, the dock that lay in front of others when it was left
        self._paused_to_label = False  # it plays on once no boxes are drawn any more
        self._cards: list[ModelCard] = []
        # Each stage remembers a network of its own; "": not chosen yet.
        self._models = {stage: self.settings.text(key) for stage, key in CHOICES.items()}
        self._models["draw"] = self._models["draw"] or DEFAULT_MODEL
        self._stage = "draw"  # the one of them that was there last
        self._guest = ""  # reads what Live's own network cannot read, while that plays
        self._model = self._models["draw"]
        self._begun = False
        self._graphs = False
        self._running = ""  # the network whose results come
        self._share = -1.0  # of the training in the background that is done
        self.first_time = False
        self._icons: list[tuple[QAction, str]] = []
        self._only_in: list[tuple[QAction, tuple[str, ...]]] = []
        self._stages: dict[str, QWidget] = {}
        self._read_times: list[float] = []
        self._timings: Timings | None = None
        self._sections: list[tuple[str, list[QAction]]] = []
        self._build_actions()
        self.draw = DrawStage(
            self.canvas,
            [self.pen_action, self.eraser_action, self.undo_action, self.redo_action, self.clear_action],
            [self.open_action, self.save_action, self.copy_action, self.paste_action],
        )
        self._stack = QStackedWidget()
        self.setCentralWidget(self._stack)
        self._build_docks()
        self._build_bar()
        self._build_menus()
        self._build_status()
        self.notices = Notices(self)
        self._connect()
        self._recolour()
        self._restore()
        self.canvas.setFocus()
        self._stack.installEventFilter(self)

    # start and end --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Load the engine behind the window; happens by itself once the window has been painted."""
        if self._begun:
            return
        self._begun = True
        self.bridge.call(_load_graphs, self._graphs_loaded)
        self.bridge.start(self._model)
        self.bridge.refresh_cards()
        if self.canvas.empty:
            self.canvas.submit()

    def closeEvent(self, event: QCloseEvent) -> None:
        self._remember()
        self.hide()  # a camera or a network that is being loaded may take a while to end
        if self.train is not None:
            self.train.close()
        if self.models is not None:
            self.models.end()
        if self.sorter is not None:
            self.sorter.close_page()
        self.live.close_recording()
        self.companions.close()
        self.bridge.close()
        self.counting.close()
        if self.labeller is not None:
            self.labeller.finish()
        self.faces.close()
        super().closeEvent(event)

    # modes ----------------------------------------------------------------------------------------------------------

    def set_mode(self, name: str) -> None:
        """Put another stage up; what was under way there waits, a training run goes on."""
        mode = next((mode for mode in PAGES if mode.name == name), MODES[0])
        if mode.name == self.mode:
            return
        if self.mode != SORT.name:
            self._came_from = self.mode
        self.mode = mode.name
        self.notices.move_on()
        if mode.name not in self._stages:
            QGuiApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
            try:
                self._stages[mode.name] = mode.stage(self)
            finally:
                QGuiApplication.restoreOverrideCursor()
            if self._stack.indexOf(self._stages[mode.name]) < 0:
                self._stack.addWidget(self._stages[mode.name])
        self._stack.setCurrentWidget(self._stages[mode.name])
        self._mode_actions[mode.name].setChecked(True)
        self._furnish(mode)
        if mode.name in self._models:
            self._stage = mode.name
            self._run(self._model_of(mode.name))
        self.live.set_subject(mode.name == "faces")
        self.companions.set_active(mode.name == "live")
        self.counting.set_active(mode.name == "live")
        self.live.set_active(self._stages[mode.name] is self.live or self.labelling)
        self.faces.set_active(mode.name == "faces")
        self._live_showing(self.live.shows_picture)
        for place in self._choice_places:
            place.setVisible(mode.name != SORT.name)  # which has a choice of its own
        self.canvas.set_labels(())
        self._read_times.clear()
        self._pace.setText("")
        if mode.name == "draw":
            self.canvas.submit()
            self.canvas.setFocus()
        elif mode.name == "models":
            self.bridge.refresh_cards()
        elif mode.name == SORT.name:
            self.sorter.set_cards(self._cards)
            self.sorter.begin()
        self._stages[mode.name].setFocus()

    def _furnish(self, mode: Mode) -> None:
        """The actions and docks of a mode; while boxes are drawn the stage has the room, and keys, for itself."""
        place = "labels" if self.labelling else mode.name
        self._front[self._furnished] = self._front_dock()
        self._furnished = place
        for action, where in self._only_in:
            action.setEnabled(place in where)
        self._history_changed(self.canvas.can_undo, self.canvas.can_redo)
        for panel in PANELS:
            self._docks[panel.name].setVisible(not self.labelling and self._dock_wanted(mode, panel.name))
        front = self._docks.get(self._front.get(place, ""))
        if front is not None and not front.isHidden():
            front.raise_()

    def _front_dock(self) -> str:
        """Which of several docks on one place lies in front; "": there is no choice."""
        for name, dock in self._docks.items():
            if not dock.isHidden() and self.tabifiedDockWidgets(dock) and not dock.visibleRegion().isEmpty():
                return name
        return ""

    @property
    def labelling(self) -> bool:
        """Boxes are being drawn on the stage of Live."""
        return self.mode == "live" and self.labeller is not None and self._stages.get("live") is self.labeller

    def label(self) -> None:
        """Draw boxes on what Live shows, to teach a detector with them."""
        self.set_mode("live")
        if self.labeller is None:
            from gui.labeller import Labeller

            self.labeller = Labeller(self.bridge, self.settings, self.live, self.sight)
            self.labeller.failed.connect(self.notices.error)
            self.labeller.said.connect(lambda text: self.statusBar().showMessage(text, 8000))
            self.labeller.closed.connect(self._end_labelling)
            self.labeller.teach.connect(self._teach)
            self._stack.addWidget(self.labeller)
            self._sections.append(("While labelling", self.labeller.keys))
        if self.labelling:
            return
        frame, result = self.live.picture.frame, self.live.picture.result
        self._paused_to_label = self.live.moving
        if self.bridge.source is not None:
            self.bridge.source.pause()
        self._put_on_live(self.labeller)
        self.labeller.begin(frame if self.live.shows_picture else None, result)

    def _end_labelling(self) -> None:
        if self._stages.get("live", self.live) is not self.live:
            self._put_on_live(self.live)
            if self._paused_to_label and self.mode == "live" and not self.live.playing:
                self.live.toggle()

    def _put_on_live(self, stage: QWidget) -> None:
        """The live picture, or the page on which boxes are drawn."""
        self._stages["live"] = stage
        if self.mode == "live":
            self._stack.setCurrentWidget(stage)
            self._furnish(next(mode for mode in MODES if mode.name == "live"))
            stage.setFocus()

    def _teach(self, config: TrainingConfig) -> None:
        """Train what has been labelled; in Live the network can be chosen as soon as it has learnt something."""
        self._end_labelling()
        self.set_mode("train")
        self.train.teach(config)

    def make_train(self) -> QWidget:
        """The stage of Train; made when first asked for, so that the start stays quick."""
        if self.train is None:
            self._background.stop()
            self._show_background("", -1.0)  # until the panel has found what trains
            self.train = self._train_ahead or self._new_train()
            self.train.notice.connect(self.notices.error)
            self.train.model_ready.connect(self._model_ready)
            self.train.use_model.connect(self._use_trained)
            self.train.background.connect(self._show_background)
            self.train.discarded.connect(self._discarded)
            self.train.begin()
        widget: QWidget = self.train
        return widget

    def make_models(self) -> QWidget:
        """The stage of Models."""
        from gui.panels.models import ModelsPanel

        self.models = ModelsPanel(call=self.bridge.call, settings=self.settings)
        self.models.changed.connect(self.bridge.refresh_cards)
        self.models.failed.connect(self.notices.error)
        self.models.said.connect(lambda text: self.statusBar().showMessage(text, 4000))
        self.models.use.connect(self.use_model)
        self.models.delete.connect(self._delete_model)
        self.models.train_wanted.connect(lambda: self.set_mode("train"))
        self.models.set_cards(self._cards, self._model)
        panel: QWidget = self.models
        return panel

    def make_sorter(self) -> QWidget:
        """The page on which a folder is sorted."""
        from gui.sorter import SorterPage

        self.sorter = SorterPage(self.bridge.call, self.settings, self._enrolled)
        self.sorter.closed.connect(lambda: self.set_mode(self._came_from or "live"))
        self.sorter.opened.connect(self._look_at)
        self.sorter.failed.connect(self.notices.error)
        self.sorter.said.connect(lambda text: self.statusBar().showMessage(text, 8000))
        page: QWidget = self.sorter
        return page

    def _enrolled(self) -> tuple[ModelCard, Recogniser] | None:
        """The network for faces that runs, and who is enrolled."""
        faces = self.faces.faces
        if faces is None or faces.card is None or faces.recogniser is None or not faces.people:
            return None
        return faces.card, faces.recogniser

    def _look_at(self, path: Path) -> None:
        """Show one picture in Live."""
        self.set_mode("live")
        self.live.open(str(path))

    def _make_counting(self) -> QWidget:
        from gui.panels.counting import CountingPanel

        panel = CountingPanel(self.counting, self.place_tool, self.sight, self.settings, call=self.bridge.call)
        panel.said.connect(lambda text: self.statusBar().showMessage(text, 8000))
        return panel

    # the network ----------------------------------------------------------------------------------------------------

    def use_model(self, name: str) -> None:
        """Run another network on the stage one is at; what is there is read with it at once.

        Paper is for networks that read drawings: choosing another one leads to Live, or to Faces.
        """
        self._stage = self._stage_for(name)
        self._models[self._stage] = name
        self.settings.set(CHOICES[self._stage], name)
        self._guest = ""
        if self.mode in self._models and self.mode != self._stage:
            self.set_mode(self._stage)
        else:
            self._run(name)
            if self.mode not in self._models:
                self.statusBar().showMessage(f"It reads in {self._stage.title()} from now on", 8000)

    def _stage_for(self, name: str) -> str:
        """Where a network can be used: where one is, or else in Live, or in Faces."""
        card = self._card(name)
        if card is not None and card.task == "faces":
            return "faces"
        if self._stage == "faces" and card is not None:
            return "live"
        return "live" if self._stage == "draw" and not self._fits_paper(name) else self._stage

    def _run(self, name: str) -> None:
        """Have a network read, without a person having chosen it for the stage."""
        if not name or (name == self._model and self._begun):
            return
        self._model = name
        self.choice.show_current(name)
        if self._begun:
            self.bridge.use(name)
        if self.models is not None:
            self.models.set_current(name)

    def _model_of(self, stage: str) -> str:
        """The network that a stage starts with."""
        if stage == "live":
            first = LIVE_MODEL if self._card(LIVE_MODEL) is not None else self._models["draw"]
            return self._guest or self._models["live"] or first
        if stage == "faces":
            return self.faces.network(self._cards, self._models["faces"])
        return self._models["draw"]

    def _card(self, name: str) -> ModelCard | None:
        return next((card for card in self._cards if card.name == name), None)

    def _fits_paper(self, name: str) -> bool:
        card = self._card(name)
        return card is None or card.preprocess.kind == "drawing"

    def _source_opened(self, spec: str) -> None:
        """The moving digits are read by a network for digits, whichever Live has; what comes then by its own again."""
        guest = ""
        if spec.startswith("digits"):
            card = self._card(self._model_of("live"))
            if card is not None and not self._fits_paper(card.name):
                drawn = self._card(self._models["draw"])
                digits = drawn is not None and drawn.preprocess.kind == "drawing" and drawn.preprocess.digits
                guest = self._models["draw"] if digits else DEFAULT_MODEL
        self._guest = guest
        if self._stage == "live":
            self._run(self._model_of("live"))

    def _use_trained(self, name: str) -> None:
        self._stage = "draw"
        self._end_labelling()
        self.use_model(name)
        self.set_mode(self._stage)

    def _model_ready(self, name: str) -> None:
        self.bridge.refresh_cards()
        if name == self._model:  # its newest weights
            self.bridge.use(name)
        self.companions.reload(name)

    def _discarded(self, name: str) -> None:
        self._forget_model(name)
        self.bridge.refresh_cards()

    def _forget_model(self, name: str) -> None:
        """A network is not there any more: whoever had chosen it goes back to the bundled one."""
        self._cards = [card for card in self._cards if card.name != name]
        self._guest = "" if self._guest == name else self._guest
        for stage, key in CHOICES.items():
            if self._models[stage] == name:
                self._models[stage] = DEFAULT_MODEL if stage == "draw" else ""
                self.settings.set(key, self._models[stage])
        self._run(self._model_of(self._stage))

    def _take_cards(self, cards: list[ModelCard]) -> None:
        self._cards = cards
        self._run(self._model_of(self._stage))  # what Live starts with is known now
        self.choice.fill(cards, self._model)
        self.companions.set_cards(cards)
        if self.sorter is not None:
            self.sorter.set_cards(cards)
        if self.models is not None:
            self.models.set_cards(cards, self._model)

    def _take_model(self, state: ModelState) -> None:
        if state.phase == "ready":
            self.sight.set_card(state.card)
            self.faces.set_card(state.card)
            self.companions.set_main(state.name)
        self.answer.set_model(state)
        if self._graphs or state.phase != "ready":
            self.inside.set_model(state)
        self.live.set_model(state)
        if state.phase == "loading":
            self._device.setText("Getting the network ready…")
        elif state.phase == "ready":
            self._device.setText(" · ".join(part for part in (state.device, state.why) if part))
            self._device.setToolTip("Where the network runs, and why there")
            self._running = state.name
        elif state.error is not None:
            self._device.setText("The network could not be loaded")
            self.notices.error(state.error)
            if state.name == self._model:
                self._without(state.name)

    def _without(self, name: str) -> None:
        """A network cannot be loaded: the one that ran goes on, or the bundled one is taken."""
        self._guest = "" if self._guest == name else self._guest
        self.faces.without(name)
        for stage, key in CHOICES.items():
            if stage == "faces":
                self._models[stage] = "" if self._models[stage] == name else self._models[stage]
            elif self._models[stage] == name or (stage == self._stage and not self._models[stage]):
                self._models[stage] = self._running or DEFAULT_MODEL
                self.settings.set(key, self._models[stage])
        if self._running:
            self._model = self._running  # it still reads
            self.choice.show_current(self._model)
            if self.models is not None:
                self.models.set_current(self._model)
        elif name != DEFAULT_MODEL:
            self._run(DEFAULT_MODEL)

    def _graphs_loaded(self, loaded: bool) -> None:
        """pyqtgraph is there: the look inside can be built, without a pause in which the pen would hang."""
        self._graphs = loaded
        state = self.bridge.state
        if state is not None:
            self.inside.set_model(state)
        self._ahead.start()

    def _build_ahead(self) -> None:
        """Load the other stages and build Train, a little further while the pen rests, so that they open at once.

        A run that outlived the window before is looked for then, too: all that takes the interpreter from the pen.
        """
        if self.train is not None:
            self._ahead.stop()
        elif self.canvas.drawing:
            return
        elif not self._stages_loaded:
            self._stages_loaded = True
            self._ahead.stop()
            self._background.start()
            self.bridge.call(_load_stages, lambda _: self._ahead.start())
        elif self._train_ahead is None:
            self._train_ahead = self._new_train()
        elif not self._train_ahead.build_on():
            self._ahead.stop()

    def _new_train(self) -> Any:
        from gui.panels.train import TrainPanel

        panel = TrainPanel(call=self.bridge.call, ahead=True)
        self._stack.addWidget(panel)
        return panel

    def _delete_model(self, name: str) -> None:
        card = self._card(name)
        if card is None:
            return
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Delete this network?")
        if run_folder(card) is not None:
            box.setText(f"Delete “{card.title}” and its training run?")
            box.setInformativeText("Its weights and curves are removed from this computer. This cannot be undone.")
        else:
            box.setText(f"Delete “{card.title}” from this computer?")
            again = "downloaded again" if card.origin == "downloaded" else "imported again from its file"
            box.setInformativeText(f"It can be {again}.")
        yes = box.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton("Keep it", QMessageBox.ButtonRole.RejectRole))
        box.exec()
        if box.clickedButton() is yes:
            self.delete_model(name)

    def delete_model(self, name: str) -> None:
        """Remove a network that was trained here, with its run, or one that was downloaded or imported."""
        card = self._card(name)
        if card is None:
            return
        folder, title = run_folder(card), card.title

        def remove() -> None:
            from engine import EngineError, Run, remove_model

            if folder is None:
                remove_model(card)
                return
            run = Run(folder)
            if run.alive:
                raise EngineError("This network is still being trained.", "Stop the training first, in Train.")
            run.discard()
            if folder.exists():
                raise EngineError(f"“{title}” could not be deleted.", f"Check that {folder} may be written to.")

        self.bridge.call(remove, lambda _: self._discarded(name))

    # results --------------------------------------------------------------------------------------------------------

    def _take_result(self, result: Result) -> None:
        from_paper = result.frame.source == "canvas"
        if from_paper != (self.mode not in LOOKING) or result.model != self._model:
            return  # of the stage or of the network before
        if not from_paper and not self.live.plays(result.frame):
            return  # of the source before
        if result.detections is not None:
            self.sight.take(result)
            self.counting.take(result)
        self.answer.set_result(result)
        self.inside.set_result(result)
        if from_paper:
            self.canvas.set_labels(labels_of(result))
        else:
            self.live.set_result(result)
            self.faces.set_result(result)
        if self.mode in self._models:  # elsewhere nothing is read but what was on the stage before
            self._count(result)

    def _count(self, result: Result) -> None:
        now = self.bridge.now()
        self._read_times = [time for time in self._read_times if now - time < 1.0]
        self._read_times.append(now)
        self._timings = result.timings

    def _show_pace(self) -> None:
        """Twice a second: a number that changes with each frame cannot be read."""
        now = self.bridge.now()
        self._read_times = [time for time in self._read_times if now - time < 1.0]
        if not self._read_times or self._timings is None:
            self._pace.setText("")
            return
        work = self._timings.total - self._timings.waiting
        count = len(self._read_times)
        unit = "fps" if self.mode in LOOKING else f"reading{'s' if count != 1 else ''} a second"
        self._pace.setText(f"{count} {unit} · {work * 1000:.1f} ms each")

    # files ----------------------------------------------------------------------------------------------------------

    def open_path(self, path: Path) -> None:
        """A picture goes onto the paper (in Draw) or the stage (in Live and Faces); a video or folder is played."""
        if self.mode == "draw" and path.suffix.lower() in PICTURES:
            self.canvas.open(path)
        elif self.mode == "faces":
            self.faces.open([path])
        elif self.mode == SORT.name and path.is_dir():
            self.sorter.choose(path)
        elif self.labelling and self.labeller is not None and path.suffix.lower() in PICTURES:
            self.labeller.open([path])
        else:
            self._end_labelling()
            self.set_mode("live")
            self.live.open(str(path))

    def _open_drawing(self) -> None:
        path = ask_for_picture_or_video(self, self.settings)
        if path is not None:
            self.open_path(path)

    def _save_drawing(self) -> None:
        path = ask_where_to_save(self, self.settings, title="Save the drawing", name="drawing.png")
        if path is not None:
            self.canvas.save(path)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        data = event.mimeData()
        if data.hasImage() or any(url.isLocalFile() for url in data.urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        data = event.mimeData()
        files = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
        if files and self.mode == "faces":
            self.faces.open(files)
        elif self.labelling and self.labeller is not None and all(p.suffix.lower() in PICTURES for p in files):
            self.labeller.open(files)
        elif files:
            self.open_path(files[0])
        elif data.hasImage():
            self.set_mode("draw")
            self.canvas.insert_image(data.imageData())
        event.acceptProposedAction()

    # building -------------------------------------------------------------------------------------------------------

    def _add(
        self,
        text: str,
        slot: Callable[..., Any],
        *,
        keys: str | tuple[str, ...] = (),
        icon: str = "",
        tip: str = "",
        checkable: bool = False,
        only_in: str | tuple[str, ...] = (),
    ) -> QAction:
        action = QAction(text, self)
        keys = (keys,) if isinstance(keys, str) else keys
        action.setShortcuts([QKeySequence(key) for key in keys])
        action.setCheckable(checkable)
        tip = tip or text.replace("&", "").rstrip("…")
        action.setStatusTip(tip)
        action.setToolTip(
            f"{tip} ({QKeySequence(keys[0]).toString(QKeySequence.SequenceFormat.NativeText)})" if keys else tip
        )
        if checkable:
            action.toggled.connect(slot)
        else:
            action.triggered.connect(lambda _=False: slot())
        if icon:
            self._icons.append((action, icon))
        if only_in:
            self._only_in.append((action, (only_in,) if isinstance(only_in, str) else only_in))
        self.addAction(action)
        return action

    def _build_actions(self) -> None:
        canvas, live = self.canvas, self.live
        self.pen_action = self._add(
            "&Pen", lambda on: canvas.set_eraser(not on), keys="P", icon="pen", checkable=True, only_in="draw"
        )
        self.eraser_action = self._add(
            "&Eraser",
            lambda on: canvas.set_eraser(on),
            keys="E",
            icon="eraser",
            tip="Eraser; the right mouse button erases too",
            checkable=True,
            only_in="draw",
        )
        tools = QActionGroup(self)
        tools.addAction(self.pen_action)
        tools.addAction(self.eraser_action)
        self.pen_action.setChecked(True)
        self.thinner_action = self._add("T&hinner pen", lambda: canvas.widen(-1), keys="[", only_in="draw")
        self.wider_action = self._add("&Wider pen", lambda: canvas.widen(1), keys="]", only_in="draw")
        self.undo_action = self._add(
            "&Undo", canvas.undo, keys="Ctrl+Z", icon="undo", tip="Undo a stroke", only_in="draw"
        )
        self.redo_action = self._add("&Redo", canvas.redo, keys=("Ctrl+Shift+Z", "Ctrl+Y"), icon="redo", only_in="draw")
        self.clear_action = self._add(
            "C&lear the paper", canvas.clear, keys=("Del", "Ctrl+Backspace"), icon="clear", only_in="draw"
        )
        self.copy_action = self._add("&Copy drawing", canvas.copy, keys="Ctrl+C", icon="copy", only_in="draw")
        self.paste_action = self._add(
            "Pa&ste picture",
            canvas.paste,
            keys="Ctrl+V",
            icon="paste",
            tip="Paste a picture onto the paper",
            only_in="draw",
        )
        self.open_action = self._add(
            "&Open picture or video…", self._open_drawing, keys="Ctrl+O", icon="open", tip="Open a picture or a video"
        )
        self.save_action = self._add("&Save drawing…", self._save_drawing, keys="Ctrl+S", icon="save", only_in="draw")
        self.quit_action = self._add("&Quit", self.close, keys="Ctrl+Q")
        self._mode_actions: dict[str, QAction] = {}
        group = QActionGroup(self)
        for number, mode in enumerate(MODES, 1):

            def go(on: bool, name: str = mode.name) -> None:
                if on:
                    self.set_mode(name)

            action = self._add(mode.title, go, keys=f"Ctrl+{number}", icon=mode.name, tip=mode.help, checkable=True)
            group.addAction(action)
            self._mode_actions[mode.name] = action

        def sort(on: bool) -> None:
            if on:
                self.set_mode(SORT.name)

        self.sort_action = self._add(
            "Sort a &folder…", sort, keys="Ctrl+Shift+O", icon="pictures", tip=SORT.help, checkable=True
        )
        group.addAction(self.sort_action)
        self._mode_actions[SORT.name] = self.sort_action
        self.live.sorting_wanted.connect(lambda: self.set_mode(SORT.name))
        self.play_action = self._add(
            "&Play or freeze",
            live.toggle,
            keys="Ctrl+Space",
            icon="play",
            tip="Play or freeze the picture",
            only_in=LOOKING,
        )
        self.step_action = self._add("&One frame on", live.step, keys=".", icon="step", only_in=LOOKING)
        self.back_action = self._add("One frame &back", live.step_back, keys=",", icon="step-back", only_in=LOOKING)
        self.record_action = self._add(
            "&Record what is shown…",
            live.toggle_recording,
            keys="Ctrl+R",
            icon="record",
            tip="Record what is shown as a video, or end the recording",
            only_in=LOOKING,
        )
        self.plain_action = self._add(
            "Record the p&lain picture…",
            lambda: live.begin_recording("plain"),
            keys="Ctrl+Shift+R",
            tip="Record the source as a video, without what is drawn over it",
            only_in=LOOKING,
        )
        self.export_action = self._add(
            "&Write the boxes to a file…",
            live.toggle_export,
            keys="Ctrl+E",
            tip="Write what is found to a file (COCO or a table) while it plays, or finish that file",
            only_in=LOOKING,
        )
        self.less_action = self._add(
            "Show what is &less sure", lambda: live.controls.change_score(-5), keys="[", only_in=LOOKING
        )
        self.more_action = self._add(
            "Show only what is &more sure", lambda: live.controls.change_score(5), keys="]", only_in=LOOKING
        )
        self.also_action = self._add("Look with &other networks, too…", live.also.pick, keys="A", only_in="live")
        self.label_action = self._add(
            "Dr&aw boxes and teach a detector…",
            self.label,
            keys="B",
            icon="label",
            tip="Draw boxes around objects and teach a detector to find them",
            only_in="live",
        )
        self.classes_action = self._add("&Classes to show…", live.controls.pick_classes, keys="C", only_in=LOOKING)
        self.zone_action = self._add("Count in a &zone", lambda: self._draw_place("zone"), keys="Z", only_in="live")
        self.line_action = self._add("Count at a l&ine", lambda: self._draw_place("line"), keys="X", only_in="live")
        self.snapshot_action = self._add(
            "&Snapshot…",
            live.snapshot,
            keys="Ctrl+Shift+S",
            icon="snapshot",
            tip="Save what is shown as a PNG",
            only_in=LOOKING,
        )
        self.fit_action = self._add("&Fit to the window", live.fit, keys="Ctrl+0", icon="fit", only_in=LOOKING)
        self.moving_action = self._add(
            "&Moving digits",
            self._play_digits,
            icon="digits",
            tip="Play digits that ConvScope moves over the picture; needs no camera",
        )
        for action in self.faces.actions.values():
            self._only_in.append((action, ("faces",)))
            self.addAction(action)
        self.choose_action = self._add("&Choose network", lambda: self.choice.showPopup(), keys="Ctrl+M")
        self.next_action = self._add("&Next network", lambda: self._walk(1), keys="Ctrl+PgDown")
        self.previous_action = self._add("&Previous network", lambda: self._walk(-1), keys="Ctrl+PgUp")
        self.reset_action = self._add("&Reset layout", self.reset_layout, tip="Put every panel back in its place")
        self.full_action = self._add("F&ull screen", self._full_screen, keys="F11", checkable=True)
        self.keys_action = self._add("&Keyboard shortcuts", self.show_shortcuts, keys="F1", icon="keyboard")
        self.about_action = self._add("&About ConvScope", self._about)

    def _build_docks(self) -> None:
        self._docks: dict[str, Dock] = {}
        self._dock_actions: dict[str, QAction] = {}
        self._titles: list[DockTitle] = []
        for panel in PANELS:
            dock = Dock(panel.title, self)
            dock.setObjectName(panel.name)
            dock.setWidget(panel.widget(self))
            title = DockTitle(dock)
            dock.setTitleBarWidget(title)
            self._titles.append(title)
            self._docks[panel.name] = dock
            self._place_dock(panel)
            action = dock.toggleViewAction()
            action.setShortcut(QKeySequence(panel.key))
            action.setStatusTip(panel.help)
            action.triggered.connect(lambda on, name=panel.name: self._dock_by_hand(name, on))
            dock.closed_by_hand.connect(lambda name=panel.name: self._dock_by_hand(name, False))
            self.addAction(action)
            self._dock_actions[panel.name] = action

    def _place_dock(self, panel: Panel) -> None:
        """Put a dock where it belongs: two of one area lie one upon the other."""
        dock = self._docks[panel.name]
        self.addDockWidget(panel.area, dock)
        before = next((each for each in PANELS if each.area == panel.area), panel)
        if before is not panel:
            self.tabifyDockWidget(self._docks[before.name], dock)

    def _build_bar(self) -> None:
        bar = QToolBar("Modes")
        bar.setObjectName("modes")
        bar.setMovable(False)
        bar.setIconSize(QSize(20, 20))
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        bar.toggleViewAction().setVisible(False)
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        for mode in MODES:
            bar.addAction(self._mode_actions[mode.name])
            button = bar.widgetForAction(self._mode_actions[mode.name])
            set_role(button, mode="true")
            button.setAccessibleName(f"{mode.title}: {mode.help}")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        gap = QWidget()
        gap.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        bar.addWidget(gap)
        label = QLabel("Network")
        set_role(label, role="dim")
        self.choice = NetworkChoice()
        label.setBuddy(self.choice)
        self._choice_places = [bar.addWidget(each) for each in (label, _spacer(8), self.choice)]
        bar.addWidget(_spacer(8))
        self.addToolBar(Qt.ToolBarArea.TopToolBarArea, bar)

    def _build_menus(self) -> None:
        themes = QMenu("&Theme", self)
        group = QActionGroup(self)
        for choice, title in (("system", "Like the &system"), ("light", "&Light"), ("dark", "&Dark")):
            action = QAction(title, self)
            action.setCheckable(True)
            action.setChecked(self._theme_choice() == choice)
            action.triggered.connect(lambda _=False, choice=choice: self.set_theme(choice))
            group.addAction(action)
            themes.addAction(action)
        sections: tuple[tuple[str, list[QAction | QMenu | None]], ...] = (
            (
                "&File",
                [
                    self.open_action,
                    self.save_action,
                    self.snapshot_action,
                    None,
                    self.sort_action,
                    None,
                    self.quit_action,
                ],
            ),
            (
                "&Edit",
                [
                    self.undo_action,
                    self.redo_action,
                    None,
                    self.copy_action,
                    self.paste_action,
                    self.clear_action,
                    None,
                    self.pen_action,
                    self.eraser_action,
                    self.thinner_action,
                    self.wider_action,
                ],
            ),
            ("&Go to", [self._mode_actions[mode.name] for mode in MODES]),
            (
                "&Live",
                [
                    self.moving_action,
                    None,
                    self.play_action,
                    self.step_action,
                    self.back_action,
                    self.fit_action,
                    None,
                    self.less_action,
                    self.more_action,
                    self.classes_action,
                    self.also_action,
                    self.zone_action,
                    self.line_action,
                    self.label_action,
                    None,
                    self.record_action,
                    self.plain_action,
                    self.export_action,
                ],
            ),
            ("F&aces", [*self.faces.actions.values()]),
            (
                "&Network",
                [self.choose_action, self.next_action, self.previous_action, None, *self.inside.menu_actions()],
            ),
            (
                "&View",
                [
                    *(self._dock_actions[panel.name] for panel in PANELS),
                    self.reset_action,
                    None,
                    themes,
                    self.full_action,
                ],
            ),
            ("&Help", [self.keys_action, self.about_action]),
        )
        for title, entries in sections:
            menu = self.menuBar().addMenu(title)
            listed: list[QAction] = []
            for entry in entries:
                if entry is None:
                    menu.addSeparator()
                elif isinstance(entry, QMenu):
                    menu.addMenu(entry)
                else:
                    menu.addAction(entry)
                    listed.append(entry)
            self._sections.append((title.replace("&", ""), listed))
            if title == "&Live":
                self._sections.append(("On the live picture", self.live.key_actions()))

    def _build_status(self) -> None:
        bar = self.statusBar()
        bar.setSizeGripEnabled(False)
        self._device = QLabel("Getting the network ready…")
        self._device.setAccessibleName("Device")
        self._pace = QLabel("")
        self._pace.setToolTip("Pictures read in the last second, and how long the newest took")
        self._pace.setAccessibleName("Pace")
        self._work = QLabel("")
        self._work.setAccessibleName("Work in the background")
        self._work_bar = QProgressBar()
        self._work_bar.setRange(0, 1000)
        self._work_bar.setTextVisible(False)
        self._work_bar.setFixedWidth(120)
        self._work_bar.setAccessibleName("Progress of the training")
        self._work_cancel = QToolButton()
        self._work_cancel.setToolTip("Cancel the training and discard it")
        self._work_cancel.setAccessibleName("Cancel the training")
        self._work_cancel.clicked.connect(self._cancel_background)
        for widget in (self._work, self._work_bar, self._work_cancel):
            widget.hide()
        bar.addWidget(self._device)
        for widget in (self._pace, self._work, self._work_bar, self._work_cancel):
            bar.addPermanentWidget(widget)
        self._pace_timer = QTimer(self)
        self._pace_timer.setInterval(500)
        self._pace_timer.timeout.connect(self._show_pace)
        self._pace_timer.start()

    def _connect(self) -> None:
        self.bridge.failed.connect(self.notices.error)
        self.bridge.recovered.connect(self.notices.settle)
        self.bridge.model.connect(self._take_model)
        self.bridge.result.connect(self._take_result)
        self.bridge.cards.connect(self._take_cards)
        self.canvas.frame.connect(self.bridge.submit)
        self.canvas.history.connect(self._history_changed)
        self.canvas.failed.connect(self.notices.error)
        self.canvas.status.connect(lambda text: self.statusBar().showMessage(text, 4000))
        self.canvas.tool_changed.connect(self._tool_changed)
        self.live.failed.connect(self.notices.error)
        self.live.recovered.connect(self.notices.settle)
        self.live.showing.connect(self._live_showing)
        self.live.opened.connect(self._source_opened)
        self.live.opened.connect(lambda _: self.counting.set_source(self.live.lasting_spec))
        self.live.opened.connect(lambda _: self.place_tool.cancel())
        self.counting.redraw.connect(self.live.picture.refresh)
        self.counting.alarm.connect(self._tell_alarm)
        self.counting.calm.connect(self._end_alarm)
        self.counting.failed.connect(self.notices.error)
        self.place_tool.refused.connect(lambda text: self.statusBar().showMessage(text, 8000))
        self.live.label_wanted.connect(self.label)
        self.live.status.connect(lambda text: self.statusBar().showMessage(text, 8000))
        self.choice.picked.connect(self.use_model)
        self.choice.opening.connect(self.bridge.refresh_cards)
        self.answer.region_chosen.connect(lambda _: self._watch())
        self.inside.watch_changed.connect(self._watch)
        self._background.said.connect(self._show_background)
        self._background.model_ready.connect(self._model_ready)
        self.inside.kernels_wanted.connect(self._load_kernels)
        theme.changed.connect(self._recolour)
        self.companions.failed.connect(self.notices.error)
        self.companions.recovered.connect(self.notices.settle)
        self.companions.faces.connect(self.faces.set_beside)
        self.bridge.capture.connect(self.faces.set_source)
        self.faces.failed.connect(self.notices.error)
        self.faces.said.connect(lambda text: self.statusBar().showMessage(text, 8000))
        self.faces.stage_wanted.connect(self._show_stage)
        self.faces.dock_wanted.connect(self._show_people)
        self.faces.models_wanted.connect(lambda: self.set_mode("models"))

    def _draw_place(self, kind: Kind) -> None:
        self._docks["counting"].show()
        self._dock_by_hand("counting", True)
        self.counting_room.make()
        self.place_tool.begin(kind)

    def _tell_alarm(self, words: str) -> None:
        if self.counting.notice:
            self.live.picture.signal(False, words)
            if not self.counting_room.isVisible():  # where the row is red, and the card would lie upon the log
                self.notices.say(f"Alarm in {words}", "Counting, in Live")
        if self.counting.sound:
            QApplication.beep()

    def _end_alarm(self) -> None:
        if self.mode == "live":  # in Faces the signal is the door's
            self.live.picture.end_signal()

    def _show_people(self) -> None:
        self._docks["people"].show()
        self._docks["people"].raise_()

    def _show_stage(self, stage: QWidget) -> None:
        """Something else on the stage of Faces: an album, or the live picture again."""
        self._stages["faces"] = stage
        if self._stack.indexOf(stage) < 0:
            self._stack.addWidget(stage)
        if self.mode == "faces":
            self._stack.setCurrentWidget(stage)
            self.live.set_active(stage is self.live)
            self._live_showing(stage is self.live and self.live.shows_picture)
            stage.setFocus()

    def _live_showing(self, picture: bool) -> None:
        place: Place = "paper" if self.mode not in LOOKING else "picture" if picture else "nothing"
        self.answer.set_place(place)
        self.inside.set_place(place)

    def _watch(self) -> None:
        self.bridge.watch(self.inside.wanted_layer, self.answer.region)

    def _load_kernels(self, card: ModelCard, layer: str) -> None:
        def read() -> Any:
            from engine import kernels

            return card.name, layer, kernels(card, layer)

        self.bridge.call(read, lambda found: self.inside.set_kernels(*found))

    def _history_changed(self, undo: bool, redo: bool) -> None:
        here = self.mode == "draw"
        self.undo_action.setEnabled(here and undo)
        self.redo_action.setEnabled(here and redo)
        self.clear_action.setEnabled(here and not self.canvas.empty)

    def _tool_changed(self, eraser: bool) -> None:
        (self.eraser_action if eraser else self.pen_action).setChecked(True)

    def _play_digits(self) -> None:
        self.set_mode("live")
        self.live.open("digits:")

    def _walk(self, step: int) -> None:
        names = [self.choice.itemData(row) for row in range(self.choice.count())]
        names = [name for name in names if self._stage_for(name) == self._stage]
        if names:
            place = names.index(self._model) if self._model in names else -1
            self.use_model(names[(place + step) % len(names)])

    # background work ------------------------------------------------------------------------------------------------

    def _show_background(self, text: str, share: float) -> None:
        """Training in the background; a share below 0: none."""
        if share < 0 <= self._share and self.mode != "train":
            card = self.notices.say("The training has ended.", "What it has learned is in the list of networks.")
            card.add_action("Look at it").clicked.connect(lambda: self.set_mode("train"))
        self._share = share
        for widget in (self._work, self._work_bar, self._work_cancel):
            widget.setVisible(share >= 0)
        self._work.setText(text)
        self._work_bar.setValue(round(share * 1000))

    def _cancel_background(self) -> None:
        if self.train is None:
            self.set_mode("train")
        self.train.cancel()

    # looks and memory -----------------------------------------------------------------------------------------------

    def _theme_choice(self) -> Choice:
        choice = self.settings.text("theme", "system")
        return "light" if choice == "light" else "dark" if choice == "dark" else "system"

    def set_theme(self, choice: Choice) -> None:
        """Light, dark, or as the system is."""
        self.settings.set("theme", choice)
        theme.apply(choice)

    def _recolour(self) -> None:
        for action, name in self._icons:
            action.setIcon(theme.icon(name))
        self._work_cancel.setIcon(theme.icon("close"))
        for title in self._titles:
            title.recolour()

    def _dock_wanted(self, mode: Mode, dock: str) -> bool:
        return self.settings.flag(f"docks/{mode.name}-{dock}", dock in mode.docks)

    def _dock_by_hand(self, dock: str, shown: bool) -> None:
        self.settings.set(f"docks/{self.mode}-{dock}", shown)
        if shown:
            self._docks[dock].raise_()

    def reset_layout(self) -> None:
        """Every panel back where it was at first, in all modes."""
        for mode in PAGES:
            for panel in PANELS:
                self.settings.remove(f"docks/{mode.name}-{panel.name}")
        mode = next(mode for mode in PAGES if mode.name == self.mode)
        for panel in PANELS:
            dock = self._docks[panel.name]
            dock.setFloating(False)
            self._place_dock(panel)
            dock.setVisible(panel.name in mode.docks)
        self._default_sizes()

    def _default_sizes(self) -> None:
        height = max(200, round(self.height() * 0.33))
        width = max(320, min(440, round(self.width() * 0.27)))
        self.resizeDocks([self._docks["answer"]], [width], Qt.Orientation.Horizontal)
        below = [self._docks[panel.name] for panel in PANELS if panel.area == Qt.DockWidgetArea.BottomDockWidgetArea]
        self.resizeDocks(below, [height] * len(below), Qt.Orientation.Vertical)

    def _restore(self) -> None:
        geometry, state = self.settings.raw("geometry"), self.settings.raw("state")
        if geometry.isEmpty() or not self.restoreGeometry(geometry):
            screen = QGuiApplication.primaryScreen().availableGeometry()
            self.resize(min(1440, screen.width()), min(900, screen.height()))
            self.move(screen.center() - self.rect().center())
            self.first_time = True
        self.canvas.set_pen_width(int(self.settings.number("pen", self.canvas.pen_width)))
        self.set_mode(self.settings.text("mode", MODES[0].name))
        if state.isEmpty() or not self.restoreState(state, LAYOUT_VERSION):
            self._sized = False
        else:
            self._sized = True
            mode = next(mode for mode in PAGES if mode.name == self.mode)
            for panel in PANELS:
                self._docks[panel.name].setVisible(self._dock_wanted(mode, panel.name))

    def _remember(self) -> None:
        self.settings.set("geometry", self.saveGeometry())
        self.settings.set("state", QByteArray(self.saveState(LAYOUT_VERSION)))
        self.settings.set("mode", self.mode)
        self.settings.set("pen", self.canvas.pen_width)
        self.settings.save()

    def _full_screen(self, on: bool) -> None:
        self.setWindowState(
            self.windowState() | Qt.WindowState.WindowFullScreen
            if on
            else self.windowState() & ~Qt.WindowState.WindowFullScreen
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:  # the first one; nothing heavy was to delay it
            watched.removeEventFilter(self)
            QTimer.singleShot(0, self, self.begin)
        return False

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and not self._sized:
            self._sized = True
            QTimer.singleShot(0, self, self._default_sizes)
        return super().event(event)

    # help -----------------------------------------------------------------------------------------------------------

    def show_shortcuts(self) -> None:
        """The keys of all actions, read from the actions themselves."""
        dialog = ShortcutList([*self._sections, ("In the list of people", self.faces.keys())], self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _about(self) -> None:
        QMessageBox.about(
            self,
            "About ConvScope",
            "<h3>ConvScope</h3><p>A desktop laboratory for convolutional neural networks: draw, look, train, "
            "and see inside the network while it works.</p><p>MIT licence.</p>",
        )


def _load_graphs() -> bool:
    """Import what draws graphs; in a thread of its own, because it takes a fifth of a second."""
    import pyqtgraph

    return bool(pyqtgraph.__version__)


def _load_stages() -> None:
    """Import the stages that are made when first asked for, so that the first time does not take long either."""
    import gui.panels.models
    import gui.panels.people
    import gui.panels.train  # noqa: F401


def labels_of(result: Result) -> tuple[Label, ...]:
    """The regions of a drawing as labels over it."""
    return tuple(
        Label(
            QRectF(region.box[0], region.box[1], region.box[2] - region.box[0], region.box[3] - region.box[1]),
            "not a digit" if region.classification.rejected else region.classification.label,
            not region.classification.rejected,
        )
        for region in result.regions
    )


def _tools(title: str, actions: list[QAction]) -> QToolBar:
    """A column of tools."""
    bar = QToolBar(title)
    bar.setOrientation(Qt.Orientation.Vertical)
    bar.setIconSize(QSize(20, 20))
    bar.addActions(actions)
    return bar


def _spacer(width: int) -> QWidget:
    spacer = QWidget()
    spacer.setFixedSize(width, width)
    return spacer
