"""The stage of Live: pictures from a camera, a file, the screen or the moving digits, with what is read in them.

What is shown is the frame that was read, so boxes never lag behind the picture; while no network is ready the
frames are shown as they come.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QFontMetricsF,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
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
from gui.files import ask_for_folder, ask_for_picture_or_video, ask_where_to_save
from gui.settings import Settings
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import Camera, CaptureState, Classification, EngineError, Frame, ModelState, Result, Timings

RECENT = 8
MOST_ZOOM = 16.0


class LivePicture(QWidget):
    """One frame with what was read in it; the wheel zooms, dragging moves.

    Attributes:
        paint_seconds: how long painting takes, smoothed.
    Signals:
        zoomed(float): 1 is all of it.
    """

    zoomed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.paint_seconds = 0.0
        self._frame: Frame | None = None
        self._image = QImage()
        self._result: Result | None = None
        self._zoom = 1.0
        self._middle = QPointF(0.5, 0.5)  # of what is shown, in shares of the picture
        self._drag: QPointF | None = None
        self.setMinimumSize(240, 160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Live picture")

    @property
    def frame(self) -> Frame | None:
        return self._frame

    @property
    def result(self) -> Result | None:
        return self._result

    def show_frame(self, frame: Frame, result: Result | None) -> None:
        height, width = frame.image.shape[:2]
        self._frame = frame
        pixels = QImage(frame.image.data, width, height, frame.image.strides[0], QImage.Format.Format_RGB888)
        self._image = pixels.convertToFormat(QImage.Format.Format_RGB32)  # what Qt scales fastest
        self._result = result
        self.update()

    def clear(self) -> None:
        self._frame, self._result, self._image = None, None, QImage()
        self.update()

    def fit(self) -> None:
        """Show all of the picture, as large as the window lets it be."""
        self._zoom, self._middle = 1.0, QPointF(0.5, 0.5)
        self.zoomed.emit(1.0)
        self.update()

    def zoom(self, factor: float, about: QPointF | None = None) -> None:
        """Larger or smaller; the point `about` of the widget stays where it is."""
        if self._image.isNull():
            return
        about = about or QPointF(self.rect().center())
        before = self._place()
        x, y = (about.x() - before.x()) / before.width(), (about.y() - before.y()) / before.height()
        self._zoom = max(1.0, min(MOST_ZOOM, self._zoom * factor))
        after = self._place()
        self._middle = QPointF(
            x - (about.x() - self.width() / 2) / after.width(), y - (about.y() - self.height() / 2) / after.height()
        )
        self._keep_inside()
        self.zoomed.emit(self._zoom)
        self.update()

    def snapshot(self) -> QImage:
        """The picture in its own size with everything that is drawn over it."""
        image = self._image.copy()
        if not image.isNull():
            painter = QPainter(image)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setFont(self.font())
            self._paint_result(painter, QRectF(image.rect()))
            painter.end()
        return image

    def _keep_inside(self) -> None:
        half = 0.5 / self._zoom
        self._middle = QPointF(max(half, min(1 - half, self._middle.x())), max(half, min(1 - half, self._middle.y())))

    def _place(self) -> QRectF:
        """Where the whole picture lies in the widget."""
        size = self._image.size()
        if size.isEmpty():
            return QRectF(self.rect())
        scale = min(self.width() / size.width(), self.height() / size.height()) * self._zoom
        width, height = size.width() * scale, size.height() * scale
        return QRectF(
            self.width() / 2 - self._middle.x() * width, self.height() / 2 - self._middle.y() * height, width, height
        )

    def _paint_result(self, painter: QPainter, place: QRectF) -> None:
        result, frame = self._result, self._frame
        if result is None or frame is None:
            return
        width = frame.image.shape[1]
        scale = place.width() / width
        headline = _headline(result)
        if headline:  # below what follows, in the corner where it hides least
            font = scaled_font(self, 1.5, bold=True)
            painter.setFont(font)
            metrics = QFontMetricsF(font)
            seen = place.intersected(QRectF(self.rect())) if painter.device() is self else place
            chip = QRectF(0, 0, metrics.horizontalAdvance(headline) + 24, metrics.height() + 8)
            chip.moveBottomLeft(seen.bottomLeft() + QPointF(12, -12))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(16, 18, 22, 190))
            painter.drawRoundedRect(chip, 6, 6)
            painter.setPen(Qt.GlobalColor.white)
            painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, headline)
        painter.setFont(scaled_font(self, 1.0, bold=True))
        parts = any(region.box[2] - region.box[0] < width for region in result.regions) or bool(result.text)
        for region in result.regions if parts else ():
            x0, y0, x1, y1 = region.box
            box = QRectF(place.x() + x0 * scale, place.y() + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale)
            sure = not region.classification.rejected
            paint_box(painter, box.adjusted(-3, -3, 3, 3), region.classification.label if sure else "", sure=sure)

    # Qt -------------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(800, 500)

    def paintEvent(self, event: QPaintEvent) -> None:
        begun = time.perf_counter()
        painter = QPainter(self)
        if not self._image.isNull():
            place = self._place()
            enlarged = place.width() * self.devicePixelRatioF() > 3 * self._image.width()
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, not enlarged)
            painter.drawImage(place, self._image)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_result(painter, place)
        painter.end()
        took = time.perf_counter() - begun
        self.paint_seconds = took if not self.paint_seconds else 0.9 * self.paint_seconds + 0.1 * took

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom(1.2 if event.angleDelta().y() > 0 else 1 / 1.2, event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus()
        if self._zoom > 1.0:
            self._drag = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._drag is not None:
            place, moved = self._place(), event.position() - self._drag
            self._drag = event.position()
            self._middle -= QPointF(moved.x() / place.width(), moved.y() / place.height())
            self._keep_inside()
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._drag = None
        self.unsetCursor()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.fit()


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
            x += 13 + metrics.horizontalAdvance(f"{name} 00.0") + 12
        painter.drawText(QRectF(x, 0, 40, 24), middle, "ms")
        painter.end()


class Welcome(QWidget):
    """What Live shows while nothing plays: what one could look at. Signals: `chosen(str)`: camera, file or digits."""

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
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addStretch(1)
        for name, title in (
            ("camera", "Use the camera"),
            ("digits", "Show moving digits"),
            ("file", "Open a video or picture…"),
            ("retry", "Try again"),
        ):
            button = QPushButton(title)
            button.clicked.connect(lambda _=False, name=name: self.chosen.emit(name))
            self.buttons[name] = button
            row.addWidget(button)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addStretch(1)
        for widget in (self._picture, self._title, self._line):
            widget.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(widget)
        layout.addSpacing(4)
        layout.addLayout(row)
        layout.addStretch(1)
        theme.changed.connect(self._recolour)
        self._icon = "live"
        self.say("live", "Nothing is playing", "Looking for a camera…", ("digits", "file"), "digits")

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
        welcome: what is shown while there is nothing.
    Signals:
        failed(BaseException): a picture that was left out.
        status(str): a word about what has just been done.
        showing(bool): there is a picture now, or none any more.
    """

    failed = Signal(object)
    status = Signal(str)
    showing = Signal(bool)

    def __init__(self, bridge: Bridge, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._settings = settings
        self._active = False
        self._spec = ""
        self._resume = False  # what played when the stage was left plays again when one comes back
        self._cameras: list[Camera] | None = None
        self._state: CaptureState | None = None
        self._last_result = 0.0
        self._timings: Timings | None = None
        self._picker: RegionPicker | None = None
        self.picture = LivePicture()
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
        self.play = self._button("play", "Play or freeze (Space)", self.toggle)
        self.next = self._button("step", "One frame on (.)", self.step)
        self.loop = self._button("loop", "Begin again at the end (L)", self._loop_changed)
        self.loop.setCheckable(True)
        self.loop.setChecked(settings.flag("loop", True))
        self.scrub = QSlider(Qt.Orientation.Horizontal)
        self.scrub.setToolTip("Go to a place in the video")
        self.scrub.setAccessibleName("Place in the video")
        self.scrub.setMinimumWidth(60)
        self.scrub.actionTriggered.connect(self._scrubbed)
        self._where = QLabel()
        set_role(self._where, role="dim")
        self._where.setMinimumWidth(96)
        self._where.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.shot = self._button("snapshot", "Save what is shown as a PNG (Ctrl+Shift+S)", self.snapshot)
        self.whole = self._button("fit", "Fit to the window (Ctrl+0)", self.fit)
        bar = QToolBar()
        bar.setIconSize(QSize(20, 20))
        for widget in (self.source, None, self.play, self.next, self.loop):
            if widget is None:
                bar.addSeparator()
            else:
                bar.addWidget(widget)
        place = QWidget()  # keeps the room when there is no place to go to
        place.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        places = QHBoxLayout(place)
        places.setContentsMargins(0, 0, 0, 0)
        places.addWidget(self.scrub, 1)
        places.addWidget(self._where)
        bar.addWidget(place)
        bar.addSeparator()
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
        foot.addWidget(self._about)
        self._pages = QStackedLayout()
        self._pages.addWidget(self.welcome)
        self._pages.addWidget(self.picture)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(bar)
        around = QVBoxLayout()
        around.setContentsMargins(12, 4, 12, 4)
        around.addLayout(self._pages)
        layout.addLayout(around, 1)
        layout.addLayout(foot)
        self.setFocusProxy(self.picture)
        self._keys = [
            self._key("Play or freeze, on the picture", Qt.Key.Key_Space, self.toggle),
            self._key("Begin again at the end, on the picture", Qt.Key.Key_L, self.loop.click),
            self._key("Larger, on the picture", Qt.Key.Key_Plus, lambda: self.picture.zoom(1.2)),
            self._key("Smaller, on the picture", Qt.Key.Key_Minus, lambda: self.picture.zoom(1 / 1.2)),
        ]
        bridge.preview.connect(self._take_preview)
        bridge.capture.connect(self._take_state)
        theme.changed.connect(self._recolour)
        self.picture.zoomed.connect(lambda zoom: self.whole.setEnabled(zoom > 1.0))
        self._slow = QTimer(self)
        self._slow.setInterval(250)
        self._slow.timeout.connect(self._show_timings)
        self._recolour()
        self._enable()

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

    def open(self, spec: str) -> None:
        """Play a source, as `engine.open_source` names it."""
        self._spec = spec
        self._state = None
        self._timings = None
        self.picture.clear()
        self.picture.fit()
        self._bridge.open(spec)
        self.welcome.say("video", "Opening…", _spec_title(spec), (), "")
        self._turn_to(self.welcome)
        self._enable()

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

    def fit(self) -> None:
        """Show all of the picture."""
        self.picture.fit()

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
            coming = bool(self._spec) and (state is None or state.phase in ("opening", "waiting"))
            self._resume = self.playing or coming
            if state is None or state.info is None or state.info.live:
                self._bridge.close_source()  # also one that is only being opened, which might play unseen
            elif self.playing and source is not None:
                source.pause()

    def set_model(self, state: ModelState) -> None:
        """Another network runs: what was read belongs to the old one."""
        if state.phase == "ready" and self.picture.frame is not None:
            self.picture.show_frame(self.picture.frame, None)

    def set_result(self, result: Result) -> None:
        """Show a frame that has been read."""
        if not self._active or self._bridge.source is None:
            return
        self._last_result = time.perf_counter()
        self._timings = result.timings
        self._show(result.frame, result)

    # inside ---------------------------------------------------------------------------------------------------------

    def _button(self, icon: str, tip: str, slot: Callable[[], None]) -> QToolButton:
        button = QToolButton()
        button.setProperty("icon_name", icon)
        button.setToolTip(tip)
        button.setAccessibleName(tip.split(" (")[0])
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda _=False: slot())
        return button

    def _key(self, text: str, key: Qt.Key, slot: Callable[[], None]) -> QAction:
        action = QAction(text, self.picture)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(lambda _=False: slot())
        self.picture.addAction(action)
        return action

    def _recolour(self) -> None:
        self.source.setIcon(theme.icon("live"))
        for button in (self.play, self.next, self.loop, self.shot, self.whole):
            button.setIcon(theme.icon(button.property("icon_name")))

    def _show(self, frame: Frame, result: Result | None) -> None:
        if not self.shows_picture:
            self._turn_to(self.picture)
            self.picture.setFocus()
            self._enable()
        self.picture.show_frame(frame, result)
        info = self._state.info if self._state is not None else None
        if info is not None and info.frames and not self.scrub.isSliderDown():
            self.scrub.setValue(frame.index)
            self._where.setText(_place_text(frame.index, info.frames, info.fps))

    def _turn_to(self, page: QWidget) -> None:
        before = self.shows_picture
        self._pages.setCurrentWidget(page)
        if self.shows_picture != before:
            self.showing.emit(self.shows_picture)

    def _take_preview(self, frame: Frame) -> None:
        if self._active and time.perf_counter() - self._last_result > 0.4:
            self._show(frame, None)

    def _take_state(self, state: CaptureState) -> None:
        self._state = state
        info = state.info
        source = self._bridge.source
        if source is not None:
            source.loop = self.loop.isChecked()
        if info is not None:
            self._about.setText(f"{info.title} · {info.width} × {info.height}")
            self.source.setText(_short(info.title))
            if info.frames:
                self.scrub.setRange(0, max(0, info.frames - 1))
                self.scrub.setPageStep(max(1, info.frames // 20))
        if state.phase in ("playing", "paused"):
            self._remember(self._spec)
            if state.error is not None:
                self.failed.emit(state.error)
        elif state.phase in ("failed", "waiting") and state.error is not None:
            self._trouble(state.phase, state.error)
        self._enable()

    def _trouble(self, phase: str, error: EngineError) -> None:
        self.picture.clear()
        if phase == "waiting":
            self.welcome.say("live", error.message, error.hint, ("digits", "file"), "")
        else:
            self.welcome.say("warning", error.message, error.hint, ("retry", "digits", "file"), "digits")
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
        self.loop.setEnabled(several)
        self.scrub.setVisible(bool(several and info is not None and info.frames))
        self.shot.setEnabled(self.shows_picture)
        self.whole.setEnabled(False)
        if self.scrub.isHidden():
            self.scrub.setValue(0)
            self._where.setText("")

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
        if self._bridge.source is None and self._state is None:
            if cameras:
                line = f"Hold a sheet with a digit in front of {cameras[0].name}, or look at something else."
                self.welcome.say("live", "Nothing is playing", line, ("camera", "digits", "file"), "camera")
            else:
                line = "Plug one in and open this page again, or see how it works with digits that move by themselves."
                self.welcome.say("live", "No camera found", line, ("digits", "file"), "digits")

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
        self._entry("Whole screen", "screen", lambda: self.open("screen"))
        self._entry("Part of the screen…", "fit", self._pick_region)
        self._entry("Network stream…", "live", self._open_stream)
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


def paint_box(painter: QPainter, box: QRectF, text: str, *, sure: bool) -> None:
    """A frame around something that was read, with its name above it; pale where the network rejects it."""
    colour = QColor("#ffd166" if sure else "#c5cad3")
    shadow = QColor(0, 0, 0, 120 if sure else 60)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(shadow, 3.5))
    painter.drawRoundedRect(box, 3, 3)
    painter.setPen(QPen(colour, 1.6, Qt.PenStyle.SolidLine if sure else Qt.PenStyle.DashLine))
    painter.drawRoundedRect(box, 3, 3)
    if text:
        metrics = QFontMetricsF(painter.font())
        chip = QRectF(0, 0, metrics.horizontalAdvance(text) + 12, metrics.height() + 2)
        chip.moveBottomLeft(box.topLeft() + QPointF(0, -3))
        if chip.top() < 0:
            chip.moveTopLeft(box.topLeft() + QPointF(3, 3))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(chip, 3, 3)
        painter.setPen(QColor("#16181c"))
        painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, text)


def _headline(result: Result) -> str:
    """What is written over the picture."""
    if result.text:
        return result.text
    whole: Classification | None = result.classification
    if whole is None or whole.rejected or not result.regions:
        return ""
    return f"{whole.label} · {float(whole.probabilities[whole.best]) * 100:.0f} %"


def _place_text(index: int, frames: int, fps: float) -> str:
    if fps <= 0 or not math.isfinite(fps) or fps < 2:
        return f"{index + 1} of {frames}"
    return f"{index / fps:.1f} of {frames / fps:.1f} s"


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
