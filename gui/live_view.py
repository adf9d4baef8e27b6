"""The stage of Live: pictures from a camera, a file, the screen or the moving digits, with what is read in them.

What is shown is the frame that was read, so boxes never lag behind the picture; while no network is ready the
frames are shown as they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStackedLayout,
    QToolBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.bridge import Bridge
from gui.canvas import write_picture
from gui.companion_controls import CompanionButton
from gui.companions import Companions
from gui.exporter import Exporter
from gui.files import (
    ask_for_folder,
    ask_for_picture_or_video,
    ask_where_to_export,
    ask_where_to_record,
    ask_where_to_save,
)
from gui.live_picture import LivePicture
from gui.recorder import Recorder, What, default_name, duration, size
from gui.settings import Settings
from gui.sight import Sight
from gui.sight_controls import SightControls
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import Camera, CaptureState, EngineError, Frame, ModelState, RecordingState, Result, SourceInfo, Timings

RECENT = 8
OTHERS = ("file", "folder", "screen", "digits")  # what can be looked at without a camera
JUMP = 5.0  # seconds of a video
LAST = 5.0  # seconds after the end of a source in which its last frame may be read, for what is recorded and written
PATIENCE = (0.4, 5.0)  # seconds without a result after which frames are shown that nobody has read; at least, at most


class TimingStrip(QWidget):
    """Where the time of a frame goes: a bar of shares and the figures."""

    PARTS = (("capture", "#56b4e9"), ("preprocess", "#e69f00"), ("network", "#0072b2"), ("paint", "#009e73"))

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._seconds: tuple[float, ...] = ()
        self.setFixedHeight(24)
        self.setAccessibleName("Time spent on each picture")
        self.setToolTip("Milliseconds spent on one picture: reading it, preparing it, in the network, painting")

    def set(self, seconds: tuple[float, ...]) -> None:
        self._seconds = seconds
        words = ", ".join(f"{name} {s * 1000:.1f} ms" for (name, _), s in zip(self.PARTS, seconds, strict=False))
        self.setAccessibleDescription(words)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._seconds:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = painter.fontMetrics()
        total = sum(self._seconds) or 1.0
        bar = max(0, min(180, self.width() - 470))
        x = 0.0
        for (_, colour), seconds in zip(self.PARTS, self._seconds, strict=True):
            long = bar * seconds / total
            painter.fillRect(QRectF(x, 9, max(0.0, long - 1), 6), QColor(colour))
            x += long
        x = bar + 12.0 if bar else 0.0
        middle = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for (name, colour), seconds in zip(self.PARTS, self._seconds, strict=True):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colour))
            painter.drawRoundedRect(QRectF(x, 8, 8, 8), 2, 2)
            text = f"{name} {seconds * 1000:.1f}"
            painter.setPen(theme.colour("dim"))
            painter.drawText(QRectF(x + 13, 0, 140, 24), middle, text)
            x += 13 + max(metrics.horizontalAdvance(f"{name} 00.0"), metrics.horizontalAdvance(text)) + 12
        painter.drawText(QRectF(x, 0, 40, 24), middle, "ms")
        painter.end()


class Welcome(QWidget):
    """What Live shows while nothing plays: what one could look at. Signals: `chosen(str)`: which button."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = QLabel()
        self._title = QLabel()
        self._title.setFont(scaled_font(self._title, 1.6, bold=True))
        self._line = QLabel()
        set_role(self._line, role="dim")
        self._line.setWordWrap(True)
        self.buttons: dict[str, QPushButton] = {}
        rows = QVBoxLayout()
        rows.setSpacing(8)
        for entries in (
            (("camera", "Use the camera"), ("retry", "Try again")),
            (
                ("file", "Open a video or picture…"),
                ("folder", "Open a folder…"),
                ("screen", "Look at the screen…"),
                ("digits", "Show moving digits"),
            ),
        ):
            row = QHBoxLayout()
            row.setSpacing(8)
            row.addStretch(1)
            for name, title in entries:
                button = QPushButton(title)
                button.clicked.connect(lambda _=False, name=name: self.chosen.emit(name))
                self.buttons[name] = button
                row.addWidget(button)
            row.addStretch(1)
            rows.addLayout(row)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addStretch(1)
        for widget in (self._picture, self._title, self._line):
            widget.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(widget)
        layout.addSpacing(4)
        layout.addLayout(rows)
        layout.addStretch(1)
        theme.changed.connect(self._recolour)
        self._icon = "live"
        self.say("live", "Nothing is playing", "Looking for a camera…", OTHERS, "")

    @property
    def text(self) -> str:
        return self._title.text()

    def say(self, icon: str, title: str, line: str, buttons: tuple[str, ...], primary: str) -> None:
        """A state with the next steps; `primary` is the one that is offered first."""
        self._icon = icon
        self._title.setText(title)
        self._line.setText(line)
        for name, button in self.buttons.items():
            button.setVisible(name in buttons)
            set_role(button, primary="true" if name == primary else "false")
            button.style().unpolish(button)
            button.style().polish(button)
        self._recolour()

    def _recolour(self) -> None:
        self._picture.setPixmap(theme.pixmap(self._icon, 48, theme.colours.quiet, self.devicePixelRatioF()))


class LiveStage(QWidget):
    """Choosing a source, playing it, and the picture.

    Attributes:
        picture: what is shown.
        controls: what is shown of what a detector finds.
        also: other networks that look along; only in Live.
        recorder, exporter: write videos of it, and files of what is found.
        welcome: what is shown while there is nothing.
    Signals:
        opened(str): another source is opened.
        sorting_wanted(): go where the pictures of a folder are sorted.
        failed(BaseException): a picture that was left out.
        recovered(EngineError): and what it said is over, since the next one is shown.
        status(str): a word about what has just been done.
        showing(bool): there is a picture now, or none any more.
        label_wanted(): boxes are to be drawn on what is shown.
    """

    failed = Signal(object)
    recovered = Signal(object)
    status = Signal(str)
    showing = Signal(bool)
    opened = Signal(str)
    sorting_wanted = Signal()
    label_wanted = Signal()

    def __init__(
        self,
        bridge: Bridge,
        settings: Settings,
        sight: Sight,
        companions: Companions,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._companions = companions
        self._settings = settings
        self._sight = sight
        self._active = False
        self._spec = ""
        self._opened = 0.0  # when
        self._resume = False  # what played when the stage was left plays again when one comes back
        self._cameras: list[Camera] | None = None
        self._state: CaptureState | None = None
        self._last_result = 0.0  # when
        self._read: Frame | None = None  # of the source that plays, the newest one that has been read
        self._patience = PATIENCE[0]
        self._timings: Timings | None = None
        self._picker: RegionPicker | None = None
        self._for_faces = False
        self._looked = False  # for recordings that were not finished
        self.picture = LivePicture(sight, companions)
        self.controls = SightControls(sight)
        self.recorder = Recorder(bridge, self)
        self.recorder.ready.connect(self._record_shown)
        self.recorder.changed.connect(self._show_recording)
        self.recorder.ended.connect(self._recorded)
        self.exporter = Exporter(bridge, self)
        self.exporter.changed.connect(self._show_recording)
        self.exporter.ended.connect(self.status)
        self.welcome = Welcome()
        self.welcome.chosen.connect(self._chosen)
        self.source = QToolButton()
        self.source.setText("Source")
        self.source.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.source.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.source.setToolTip("What to look at")
        self.source.setAccessibleName("Source")
        self.source.setMaximumWidth(280)
        self.source.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._menu = QMenu(self.source)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.source.setMenu(self._menu)
        self.also = CompanionButton(companions)
        self.play = self._button("play", "Play or freeze (Space)", self.toggle)
        self.previous = self._button("step-back", "One frame back (,)", self.step_back)
        self.next = self._button("step", "One frame on (.)", self.step)
        self.loop = self._button("loop", "Begin again at the end (L)", self._loop_changed)
        self.loop.setCheckable(True)
        self.loop.setChecked(settings.flag("loop", True))
        self.heat = self._button("heat", "Where it sees it: what speaks for its answer (H)", self._heat_changed)
        self.heat.setCheckable(True)
        self.heat.setChecked(settings.flag("heat", False))
        self.scrub = QSlider(Qt.Orientation.Horizontal)
        self.scrub.setToolTip("Go to a place in the video")
        self.scrub.setAccessibleName("Place in the video")
        self.scrub.setMinimumWidth(60)
        self.scrub.actionTriggered.connect(self._scrubbed)
        self._where = QLabel()
        set_role(self._where, role="dim")
        self._where.setMinimumWidth(self._where.fontMetrics().horizontalAdvance("00:00.0 / 00:00.0 · 0000 / 0000"))
        self._where.setToolTip("Time and number of the frame that is shown")
        self._where.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.record = self._button("record", "Record what is shown (Ctrl+R)", self.toggle_recording)
        self.record.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self._record_menu = QMenu(self.record)
        for title, what in (("Record what is shown…", "drawn"), ("Record the plain picture…", "plain")):
            action = self._record_menu.addAction(title)
            action.triggered.connect(lambda _=False, what=what: self.begin_recording(what))
        self._record_menu.addSeparator()
        self._export_action = self._record_menu.addAction("Write the boxes to a file…")
        self._export_action.triggered.connect(lambda _=False: self.toggle_export())
        self.record.setMenu(self._record_menu)
        self._recorded_so_far = QLabel()
        self._recorded_so_far.setAccessibleName("Recording")
        self.label = self._button("label", "Label: draw boxes and teach a detector (B)", self.label_wanted.emit)
        self.shot = self._button("snapshot", "Save what is shown as a PNG (Ctrl+Shift+S)", self.snapshot)
        self.whole = self._button("fit", "Fit to the window (Ctrl+0)", self.fit)
        bar = QToolBar()
        bar.setIconSize(QSize(20, 20))
        for widget in (self.source, None, self.play, self.previous, self.next, self.loop):
            if widget is None:
                bar.addSeparator()
            else:
                bar.addWidget(widget)
        self._also_place = bar.insertWidget(bar.actions()[1], self.also)
        place = QWidget()  # keeps the room when there is no place to go to
        place.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        places = QHBoxLayout(place)
        places.setContentsMargins(0, 0, 0, 0)
        places.addWidget(self.scrub, 1)
        places.addWidget(self._where)
        bar.addWidget(place)
        bar.addSeparator()
        self._heat_place = bar.addWidget(self.heat)
        self._heat_place.setVisible(False)
        bar.addWidget(self.record)
        self._label_place = bar.addWidget(self.label)
        bar.addWidget(self.shot)
        bar.addWidget(self.whole)
        self._strip = TimingStrip()
        self._about = QLabel()
        set_role(self._about, role="dim")
        self._about.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        foot = QHBoxLayout()
        foot.setContentsMargins(12, 0, 12, 4)
        foot.setSpacing(16)
        foot.addWidget(self._strip, 1)
        foot.addWidget(self._recorded_so_far)  # not beside the buttons: it grows, and they would have to go
        foot.addWidget(self._about)
        self._pages = QStackedLayout()
        self._pages.addWidget(self.welcome)
        self._pages.addWidget(self.picture)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(bar)
        layout.addWidget(self.controls)
        around = QVBoxLayout()
        around.setContentsMargins(12, 4, 12, 4)
        around.addLayout(self._pages)
        layout.addLayout(around, 1)
        layout.addLayout(foot)
        self.setFocusProxy(self.picture)
        self._keys = [
            self._key("Play or freeze", Qt.Key.Key_Space, self.toggle),
            self._key("Begin again at the end", Qt.Key.Key_L, self.loop.click),
            self._key("Where it sees it", Qt.Key.Key_H, self._toggle_heat),
            self._key("Larger", Qt.Key.Key_Plus, lambda: self.picture.zoom(1.2)),
            self._key("Smaller", Qt.Key.Key_Minus, lambda: self.picture.zoom(1 / 1.2)),
            self._key("Move to the left", "Shift+Left", lambda: self.picture.pan(-0.1, 0)),
            self._key("Move to the right", "Shift+Right", lambda: self.picture.pan(0.1, 0)),
            self._key("Move up", "Shift+Up", lambda: self.picture.pan(0, -0.1)),
            self._key("Move down", "Shift+Down", lambda: self.picture.pan(0, 0.1)),
            self._key("Next box", Qt.Key.Key_Right, lambda: sight.choose_next(1)),
            self._key("Previous box", Qt.Key.Key_Left, lambda: sight.choose_next(-1)),
            self._key("Look at no box", Qt.Key.Key_Escape, lambda: sight.choose(-1)),
            self._key("Five seconds on", Qt.Key.Key_PageDown, lambda: self.jump(JUMP)),
            self._key("Five seconds back", Qt.Key.Key_PageUp, lambda: self.jump(-JUMP)),
            self._key("To the beginning", Qt.Key.Key_Home, lambda: self.jump(float("-inf"))),
            self._key("To the end", Qt.Key.Key_End, lambda: self.jump(float("inf"))),
        ]
        bridge.preview.connect(self._take_preview)
        self.picture.seen_beside.connect(self._seen_beside)
        bridge.capture.connect(self._take_state)
        theme.changed.connect(self._recolour)
        self.picture.zoomed.connect(lambda zoom: self.whole.setEnabled(zoom > 1.0))
        self._ending = QTimer(self)
        self._ending.setSingleShot(True)
        self._ending.setInterval(round(1000 * LAST))
        self._ending.timeout.connect(self._end_recording)
        self._slow = QTimer(self)
        self._slow.setInterval(250)
        self._slow.timeout.connect(self._show_timings)
        self._recolour()
        self._enable()
        bridge.explain(self.heat.isChecked())

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def spec(self) -> str:
        """The source that was opened last."""
        return self._spec

    @property
    def shows_picture(self) -> bool:
        return self._pages.currentWidget() is self.picture

    @property
    def playing(self) -> bool:
        return self._state is not None and self._state.phase == "playing"

    @property
    def moving(self) -> bool:
        """Pictures follow each other: a camera, the screen, or a video that plays."""
        info = self._info
        return self.playing and info is not None and (info.live or info.frames != 1)

    @property
    def endless(self) -> bool:
        """It cannot be gone back in: a camera, the screen, a stream."""
        return self._info is not None and self._info.live

    @property
    def lasting_spec(self) -> str:
        """The source by a name that stays its own, also where it was opened as "the first camera"."""
        first = self._cameras[0].name if self._cameras else ""
        return f"camera:{first}" if self._spec == "camera:" else self._spec

    def plays(self, frame: Frame) -> bool:
        """Whether a frame comes from what is played now, and not from the source before."""
        return self._active and self._bridge.source is not None and frame.time >= self._opened

    def open(self, spec: str) -> None:
        """Play a source, as `engine.open_source` names it."""
        self._end_recording()
        self._sight.forget()
        self._companions.forget()
        self._opened = self._bridge.now()
        self._last_result, self._patience = 0.0, PATIENCE[0]
        self._read = None
        self._spec = spec
        self._state = None
        self._timings = None
        self.picture.clear()
        self.picture.fit()
        self._bridge.open(spec)
        self.source.setText(_short(_spec_title(spec)))
        self.welcome.say("video", "Opening…", _spec_title(spec), (), "")
        self._turn_to(self.welcome)
        self._enable()
        self.opened.emit(spec)

    def toggle(self) -> None:
        """Freeze, or go on."""
        source = self._bridge.source
        if source is None:
            if self._spec:
                self.open(self._spec)
        elif self.playing:
            source.pause()
        else:
            source.resume()

    def step(self) -> None:
        """One frame on."""
        if self._bridge.source is not None:
            self._bridge.source.step()

    def step_back(self) -> None:
        """One frame back."""
        info = self._info
        if self._bridge.source is not None and info is not None and not info.live:
            self._bridge.source.step(-1)

    def jump(self, seconds: float) -> None:
        """Go that many seconds on or back, in something that has a beginning."""
        source, info, frame = self._bridge.source, self._info, self.picture.frame
        if source is None or info is None or info.live or frame is None:
            return
        last = info.frames - 1 if info.frames else None
        wanted = frame.index + seconds * max(info.fps, 1.0)
        if wanted == float("inf") and last is None:
            return  # nobody knows where the end is
        source.seek(int(max(0.0, wanted if last is None else min(wanted, float(last)))))

    def fit(self) -> None:
        """Show all of the picture."""
        self.picture.fit()

    def toggle_recording(self) -> None:
        """Record what is shown, or end the recording."""
        if self.recorder.on:
            self.recorder.stop()
        else:
            self.begin_recording("drawn")

    def begin_recording(self, what: What) -> None:
        """Ask where to, and record what is shown or the plain picture."""
        if not self.shows_picture or self.recorder.on:
            return
        path = ask_where_to_record(self, self._settings, name=default_name())
        if path is not None:
            self.record_to(path, what)

    def record_to(self, path: Path, what: What) -> None:
        """Record from now on."""
        info = self._info
        if info is not None:
            self.recorder.start(path, what, fps=info.fps)
            self.recorder.stand_still(not self.playing)

    def toggle_export(self) -> None:
        """Write what is found to a file from now on, or finish that file."""
        if self.exporter.on:
            self.exporter.stop()
            return
        if not self.shows_picture or self._sight.card is None:
            self.status.emit("There are no boxes to write: choose a network that finds objects, and a source")
            return
        name = Path(self._info.title).stem if self._info is not None else "boxes"
        path = ask_where_to_export(self, self._settings, name=f"{name} boxes.json")
        if path is not None:
            self.export_to(path)

    def export_to(self, path: Path) -> None:
        """Write what is found from now on."""
        info = self._info
        if info is not None:
            self.exporter.start(path, info)
            if self._sight.result is not None and self._sight.shown is not None:
                self.exporter.take(self._sight.result.frame, self._sight.shown)

    def close_recording(self) -> None:
        """The window goes: complete what is being recorded and written."""
        self.recorder.close()
        self.exporter.close()

    def snapshot(self) -> None:
        """Save what is shown now as a PNG."""
        image = self.picture.snapshot()
        if image.isNull():
            self.status.emit("There is no picture to save yet")
            return
        path = ask_where_to_save(self, self._settings, title="Save the snapshot", name="snapshot.png")
        if path is not None:
            self.save_snapshot(path, image)

    def save_snapshot(self, path: Path, image: QImage | None = None) -> None:
        """Write the snapshot, which takes a while for a large picture."""
        shown = image or self.picture.snapshot()
        self._bridge.call(lambda: write_picture(shown, path), lambda _: self.status.emit(f"Saved as {path}"))

    def key_actions(self) -> list[QAction]:
        """The keys of the picture, for the list of shortcuts."""
        return self._keys

    def set_active(self, active: bool) -> None:
        """The stage is shown or left; a camera is given back meanwhile, a file waits where it is.

        Once it has been left, no frame of the source is read any more.
        """
        if active == self._active:
            return
        self._active = active
        self._bridge.hear_source(active)
        source, state = self._bridge.source, self._state
        if active:
            self._slow.start()
            self._find_cameras()
            if not self._looked:
                self._looked = True
                self.recorder.look_for_unfinished(self._tell_unfinished)
            if self._resume:
                self._resume = False
                if source is None:
                    self.open(self._spec)
                else:
                    source.resume()
            elif source is not None and self.picture.frame is not None:
                self._bridge.submit(self.picture.frame)  # it is still there, frozen
        else:
            self._slow.stop()
            self._end_recording()
            coming = bool(self._spec) and (state is None or state.phase in ("opening", "waiting"))
            self._resume = self.playing or coming
            if state is None or state.info is None or state.info.live:
                self._bridge.close_source()  # also one that is only being opened, which might play unseen
            elif self._resume and source is not None:
                source.pause()  # also a remote file that broke off, which would go on unseen

    def set_subject(self, faces: bool) -> None:
        """What is looked for: faces (for which digits that move are nothing to look at), or anything."""
        if faces != self._for_faces:
            self._for_faces = faces
            self._also_place.setVisible(not faces)
            self._label_place.setVisible(not faces)
            self._invite()

    def set_model(self, state: ModelState) -> None:
        """Another network runs, whose card `Sight` has: what was read belongs to the old one."""
        if state.phase == "ready":
            self.controls.set_network()
            self._heat_place.setVisible(state.explains)
            self._invite()
            self._show_recording()
            if self.picture.frame is not None:
                self.picture.show_frame(self.picture.frame, None)

    def set_result(self, result: Result) -> None:
        """Show a frame that has been read; `Sight` has taken the result."""
        if not self.plays(result.frame):
            return
        now = time.perf_counter()
        # A slow network is waited for: frames in between would make its boxes flicker.
        self._patience = max(PATIENCE[0], min(PATIENCE[1], 3 * (now - self._last_result)))
        self._last_result = now
        self._timings = result.timings
        if result.detections is not None and self._sight.shown is not None:
            self.exporter.take(result.frame, self._sight.shown)
        self._read = result.frame
        self._show(result.frame, result)
        if self._ending.isActive() and self._all_read:
            self._end_recording()

    # inside ---------------------------------------------------------------------------------------------------------

    def _button(self, icon: str, tip: str, slot: Callable[[], None]) -> QToolButton:
        button = QToolButton()
        button.setProperty("icon_name", icon)
        button.setToolTip(tip)
        button.setAccessibleName(tip.split(" (")[0])
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda _=False: slot())
        return button

    @property
    def _info(self) -> SourceInfo | None:
        return self._state.info if self._state is not None else None

    def _key(self, text: str, key: Qt.Key | str, slot: Callable[[], None]) -> QAction:
        action = QAction(text, self.picture)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(lambda _=False: slot())
        self.picture.addAction(action)
        return action

    def _recolour(self) -> None:
        self.source.setIcon(theme.icon("live"))
        buttons = (self.play, self.previous, self.next, self.loop, self.heat, self.record)
        for button in (*buttons, self.label, self.shot, self.whole):
            button.setIcon(theme.icon(button.property("icon_name")))

    def _toggle_heat(self) -> None:
        if self._heat_place.isVisible():
            self.heat.click()

    def _heat_changed(self) -> None:
        self._settings.set("heat", self.heat.isChecked())
        self._bridge.explain(self.heat.isChecked())

    def _show(self, frame: Frame, result: Result | None) -> None:
        if self._state is not None and self._state.phase in ("waiting", "failed"):
            return  # it was still being read when its source went; the page that says so stays
        if not self.shows_picture:
            self._turn_to(self.picture)
            self.picture.setFocus()
            self._enable()
        self.picture.show_frame(frame, result)
        self._record_shown()
        info = self._info
        if info is not None and info.frames and not self.scrub.isSliderDown():
            self.scrub.setValue(frame.index)
        if info is not None:
            self._where.setText(place_text(frame.index, info))

    def _turn_to(self, page: QWidget) -> None:
        before = self.shows_picture
        self._pages.setCurrentWidget(page)
        if self.shows_picture != before:
            self.showing.emit(self.shows_picture)

    def _take_preview(self, frame: Frame) -> None:
        if self.plays(frame) and time.perf_counter() - self._last_result > self._patience:
            self._show(frame, None)

    def _take_state(self, state: CaptureState) -> None:
        self._state = state
        info = state.info
        source = self._bridge.source
        if source is not None:
            source.loop = self.loop.isChecked()
        if info is not None:
            self.exporter.know(info)
            self._about.setText(f"{info.title} · {info.width} × {info.height}")
            self.source.setText(_short(info.title))
            if info.frames:
                self.scrub.setRange(0, max(0, info.frames - 1))
                self.scrub.setPageStep(max(1, info.frames // 20))
        if state.phase in ("playing", "paused"):
            self._remember(self._spec)
            if state.error is not None:
                self.failed.emit(state.error)
                self.recovered.emit(state.error)
        elif state.phase in ("failed", "waiting") and state.error is not None:
            self._trouble(state.phase, state.error)
        self.recorder.stand_still(state.phase != "playing")
        if self._ending.isActive():  # it plays again
            self._end_recording()
        elif state.phase in ("failed", "ended"):
            self._end_recording_when_read()
        self._enable()

    def _trouble(self, phase: str, error: EngineError) -> None:
        self.picture.clear()
        if phase == "waiting":
            self.welcome.say("live", error.message, error.hint, self._others, "")
        else:
            self.welcome.say("warning", error.message, error.hint, ("retry", *self._others), "retry")
        self._turn_to(self.welcome)
        self._about.setText("")
        self._where.setText("")

    def _enable(self) -> None:
        state = self._state
        info = state.info if state is not None else None
        running = state is not None and state.phase in ("playing", "paused", "ended")
        file = running and info is not None and not info.live
        several = file and info is not None and info.frames != 1
        self.play.setEnabled(running)
        self.play.setProperty("icon_name", "pause" if self.playing else "play")
        self.play.setIcon(theme.icon(self.play.property("icon_name")))
        self.play.setToolTip("Freeze (Space)" if self.playing else "Play (Space)")
        self.next.setEnabled(several)
        self.previous.setEnabled(several)
        self.loop.setEnabled(several)
        self.scrub.setVisible(bool(several and info is not None and info.frames))
        self.shot.setEnabled(self.shows_picture)
        self.whole.setEnabled(self.picture.zoomed_in)
        if self.scrub.isHidden():
            self.scrub.setValue(0)
        if not running:
            self._where.setText("")
        self._show_recording()

    def _show_recording(self) -> None:
        on = self.recorder.on
        self.record.setEnabled(on or self.shows_picture)
        name = "stop" if on else "record"
        if self.record.property("icon_name") != name:
            self.record.setProperty("icon_name", name)
            self.record.setIcon(theme.icon(name))
        self.record.setToolTip("End the recording (Ctrl+R)" if on else "Record what is shown (Ctrl+R)")
        for action in self._record_menu.actions()[:2]:
            action.setEnabled(not on and self.shows_picture)
        writes = self.exporter.on
        self._export_action.setText("End writing the boxes" if writes else "Write the boxes to a file…")
        self._export_action.setEnabled(writes or (self.shows_picture and self._sight.card is not None))
        self._recorded_so_far.setText(" · ".join(filter(None, (self.recorder.words, self.exporter.words))))

    def _record_shown(self) -> None:
        if self.picture.frame is not None:
            self.recorder.take(self.picture.frame, self.picture.overlay, self.picture.label_font)

    def _seen_beside(self) -> None:
        """What another network sees is drawn over a frame that stands still."""
        if not self.playing and self.shows_picture:
            self._record_shown()

    def _end_recording_when_read(self) -> None:
        """The source has ended: what is recorded and written gets its last frame, too."""
        model = self._bridge.state
        if model is None or model.phase == "failed" or self._all_read:
            self._end_recording()
        elif self.recorder.on or self.exporter.on:
            self._ending.start()

    @property
    def _all_read(self) -> bool:
        """The last frame that the source has given was read."""
        return self._state is not None and self._read is not None and self._read.index + 1 >= self._state.position

    def _end_recording(self) -> None:
        self._ending.stop()
        if self.recorder.on:
            self.recorder.stop()
        if self.exporter.on:
            self.exporter.stop()

    def _tell_unfinished(self, videos: list[Path]) -> None:
        for video in videos:
            self.status.emit(f"A recording was not finished when ConvScope ended. What there is of it: {video}")

    def _recorded(self, state: RecordingState) -> None:
        if state.error is not None:
            self.failed.emit(state.error)
        else:
            self.status.emit(f"Saved as {state.path} ({duration(state.seconds)}, {size(state.size)})")

    def _show_timings(self) -> None:
        source, timings = self._bridge.source, self._timings
        if source is not None and timings is not None:
            self._strip.set(
                (
                    source.read_seconds,
                    timings.preprocess,
                    timings.network + timings.postprocess,
                    self.picture.paint_seconds,
                )
            )
        else:
            self._strip.set(())

    def _scrubbed(self, action: int) -> None:
        if self._bridge.source is not None:
            self._bridge.source.seek(self.scrub.sliderPosition())

    def _loop_changed(self) -> None:
        self._settings.set("loop", self.loop.isChecked())
        if self._bridge.source is not None:
            self._bridge.source.loop = self.loop.isChecked()

    # sources --------------------------------------------------------------------------------------------------------

    def _find_cameras(self) -> None:
        def look() -> list[Camera]:
            from engine import list_cameras

            return list_cameras()

        self._bridge.call(look, self._take_cameras)

    def _take_cameras(self, cameras: list[Camera]) -> None:
        self._cameras = cameras
        self._invite()

    def _invite(self) -> None:
        """Nothing plays: say what could, for the network that would look at it."""
        if self._bridge.source is not None or self._state is not None or self._cameras is None:
            return
        finds = self._for_faces or self._sight.card is not None
        others = self._others
        if self._cameras:
            name = self._cameras[0].name
            line = f"Look through {name}" if finds else f"Hold a sheet with a digit in front of {name}"
            line = f"{line}, or drop a picture here." if self._for_faces else f"{line}, or at something else."
            self.welcome.say("live", "Nothing is playing", line, ("camera", *others), "camera")
        else:
            line = (
                "Plug one in and open this page again, or look at a video, at pictures or at the screen."
                if finds
                else "Plug one in and open this page again, or see how it works with digits that move by themselves."
            )
            self.welcome.say("live", "No camera found", line, others, "file" if finds else "digits")

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(name for name in OTHERS if name != "digits") if self._for_faces else OTHERS

    def _fill_menu(self) -> None:
        menu = self._menu
        menu.clear()
        for camera in self._cameras or []:
            self._entry(camera.name, "live", lambda name=camera.name: self.open(f"camera:{name}"))
        if not self._cameras:
            none = menu.addAction(theme.icon("live"), "No camera found")
            none.setEnabled(False)
        self._find_cameras()
        menu.addSeparator()
        self._entry("Video or picture…", "video", self._open_file)
        self._entry("Folder of pictures…", "pictures", self._open_folder)
        if not self._for_faces:
            self._entry("Sort a folder…", "pictures", self.sorting_wanted.emit)
        self._entry("Whole screen", "screen", lambda: self.open("screen"))
        self._entry("Part of the screen…", "fit", self._pick_region)
        self._entry("Network stream…", "live", self._open_stream)
        if not self._for_faces:
            self._entry("Moving digits", "digits", lambda: self.open("digits:"))
        recent = [spec for spec in self._settings.texts("recent") if spec != "digits:"]
        if recent:
            menu.addSection("Recent")
            for spec in recent:
                self._entry(_spec_title(spec), "", lambda spec=spec: self.open(spec))

    def _entry(self, title: str, icon: str, slot: Callable[..., Any]) -> None:
        action = self._menu.addAction(title.replace("&", "&&"))
        if icon:
            action.setIcon(theme.icon(icon))
        action.triggered.connect(lambda _=False: slot())

    def _chosen(self, what: str) -> None:
        if what == "digits":
            self.open("digits:")
        elif what == "file":
            self._open_file()
        elif what == "folder":
            self._open_folder()
        elif what == "screen":
            self._pick_region()
        elif what == "retry":
            self.open(self._spec)
        else:
            self.open("camera:")

    def _remember(self, spec: str) -> None:
        recent = [spec, *(each for each in self._settings.texts("recent") if each != spec)]
        self._settings.set("recent", recent[:RECENT])

    def _open_file(self) -> None:
        path = ask_for_picture_or_video(self, self._settings)
        if path is not None:
            self.open(str(path))

    def _open_folder(self) -> None:
        path = ask_for_folder(self, self._settings)
        if path is not None:
            self.open(str(path))

    def _open_stream(self) -> None:
        address, ok = QInputDialog.getText(self, "Network stream", "Address (rtsp://… or http://…):")
        if ok and address.strip():
            self.open(address.strip())

    def _pick_region(self) -> None:
        self._picker = RegionPicker()
        self._picker.picked.connect(lambda place: self.open(f"screen:{place}"))
        self._picker.begin()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._about.setVisible(self.width() > 680)


class RegionPicker(QWidget):
    """Covers the screen until a rectangle has been drawn. Signals: `picked(str)`: "x,y,w,h" in screen pixels."""

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__(None, Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._start: QPoint | None = None
        self._area = QRect()
        self._screen_picture = QGuiApplication.primaryScreen().grabWindow(0)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setAccessibleName("Draw a rectangle around the part of the screen to look at")

    def begin(self) -> None:
        self.setGeometry(QGuiApplication.primaryScreen().geometry())
        self.showFullScreen()
        self.activateWindow()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.drawPixmap(self.rect(), self._screen_picture)
        shade = QColor(0, 0, 0, 120)
        if self._area.isEmpty():
            painter.fillRect(self.rect(), shade)
            painter.setPen(Qt.GlobalColor.white)
            painter.setFont(scaled_font(self, 1.6))
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter, "Draw a rectangle around what to look at · Esc: cancel"
            )
        else:
            outside = self.rect()
            for part in (
                QRect(0, 0, outside.width(), self._area.top()),
                QRect(0, self._area.bottom() + 1, outside.width(), outside.height()),
                QRect(0, self._area.top(), self._area.left(), self._area.height()),
                QRect(self._area.right() + 1, self._area.top(), outside.width(), self._area.height()),
            ):
                painter.fillRect(part, shade)
            painter.setPen(QPen(theme.colour("accent"), 2))
            painter.drawRect(self._area)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._start = event.position().toPoint()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._start is not None:
            self._area = QRect(self._start, event.position().toPoint()).normalized()
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        area, ratio = self._area, self.devicePixelRatioF()
        self.close()
        if area.width() >= 16 and area.height() >= 16:
            corner = self.geometry().topLeft() + area.topLeft()
            numbers = (corner.x(), corner.y(), area.width(), area.height())
            self.picked.emit(",".join(str(round(number * ratio)) for number in numbers))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)


def place_text(index: int, info: SourceInfo) -> str:
    """Where a frame is: its time and its number, as far as they mean something for the source."""
    if info.kind == "pictures":
        return f"{index + 1} of {info.frames}" if info.frames else str(index + 1)
    at = clock(index / info.fps)
    if info.frames:
        return f"{at} / {clock(info.frames / info.fps)} · {index + 1} / {info.frames}"
    return f"{at} · {index + 1}"


def clock(seconds: float) -> str:
    """Minutes, seconds and tenths."""
    tenths = int(seconds * 10 + 1e-6)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _short(title: str) -> str:
    return title if len(title) <= 28 else f"{title[:13]}…{title[-13:]}"


def _spec_title(spec: str) -> str:
    if spec.startswith("digits"):
        return "Moving digits"
    if spec.startswith("camera"):
        return spec.partition(":")[2] or "Camera"
    if spec.startswith("screen"):
        return "Part of the screen" if ":" in spec and spec != "screen:" else "Whole screen"
    return spec if "://" in spec else Path(spec).name
