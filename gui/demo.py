"""The real window driven by a script: draws, plays, looks inside, trains a little, and keeps a picture of every scene.

Without a display it runs off-screen. It works in a folder of its own, so what a user has trained or set is neither
shown nor changed. The pictures in the README are made by this.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PySide6.QtCore import QMessageLogContext, QtMsgType
    from PySide6.QtGui import QImage

    from engine import Frame, Result
    from gui.window import MainWindow

SIZE = (1280, 800)
PATIENCE = 180.0  # seconds for anything but training
VIDEO_FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "videos"

Path2D = list[tuple[float, float]]


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Path2D:
    """Points on an ellipse, in degrees from three o'clock, clockwise."""
    steps = max(6, int(abs(end - start) / 8))
    turns = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(x + rx * math.cos(turn), y + ry * math.sin(turn)) for turn in turns]


# Strokes in a box one unit high and 0.66 wide, as a hand draws them.
DIGITS: dict[str, list[Path2D]] = {
    "0": [_arc(0.33, 0.5, 0.3, 0.5, -80, 285)],
    "1": [[(0.16, 0.22), (0.38, 0.0), (0.36, 1.0)]],
    "2": [[*_arc(0.32, 0.28, 0.29, 0.28, -170, 40), (0.03, 0.98), (0.66, 0.97)]],
    "3": [[*_arc(0.28, 0.26, 0.28, 0.26, -150, 95), *_arc(0.28, 0.74, 0.34, 0.26, -85, 150)]],
    "4": [[(0.45, 0.0), (0.02, 0.64), (0.66, 0.62)], [(0.47, 0.36), (0.45, 1.0)]],
    "5": [[(0.58, 0.02), (0.12, 0.03), (0.08, 0.43), *_arc(0.28, 0.69, 0.33, 0.3, -110, 140)]],
    "6": [[*_arc(0.55, 0.62, 0.5, 0.62, -95, -172), *_arc(0.33, 0.7, 0.28, 0.29, 195, -165)]],
    "7": [[(0.02, 0.03), (0.64, 0.03), (0.28, 1.0)]],
    "8": [[(0.33 - 0.29 * math.sin(2 * t), 0.5 - 0.5 * math.cos(t)) for t in (i / 8 for i in range(51))]],
    "9": [[*_arc(0.33, 0.28, 0.27, 0.28, -20, -350), (0.6, 0.35), (0.5, 1.0)]],
}


class Demo:
    """The scenes, one method each; `report` grows as they are played."""

    def __init__(self, out: Path, home: Path) -> None:
        from gui.application import application
        from gui.window import MainWindow

        self.out = out
        self.home = home
        self.app = application()
        self.errors: list[str] = []
        self.report: list[dict[str, Any]] = []
        self.last: Result | None = None
        self.window: MainWindow = MainWindow()
        self.window.resize(*SIZE)
        self._shots = 0
        self.window.bridge.failed.connect(lambda error: self.errors.append(str(error)))
        self.window.answer.painted.connect(self._painted)
        self.window.show()
        self.wait(lambda: self._ready, "the network")

    # means ----------------------------------------------------------------------------------------------------------

    @property
    def _ready(self) -> bool:
        state = self.window.bridge.state
        return state is not None and state.phase == "ready"

    def _painted(self, result: Result) -> None:
        self.last = result

    def wait(self, until: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> None:
        """Let the window live until something is so."""
        from PySide6.QtCore import QEventLoop

        from engine import EngineError

        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                raise EngineError(f"The demo waited in vain for {what}.", " ".join(self.errors[-1:]))
            self.app.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 50)

    def settle(self, seconds: float = 0.4) -> None:
        """Let the window live for a moment, so that a picture shows it at rest."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end, "a moment")

    def stroke(self, points: Path2D) -> None:
        """Press the mouse, move along these points of the paper, let go; the window keeps up with every move."""
        from PySide6.QtCore import QEvent, QPointF, Qt
        from PySide6.QtGui import QMouseEvent
        from PySide6.QtWidgets import QApplication

        from gui.canvas import PAPER

        canvas = self.window.canvas
        paper = canvas.paper
        dense: Path2D = [points[0]]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            steps = max(1, round(math.hypot(x1 - x0, y1 - y0) / 12))
            dense += [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(1, steps + 1)]
        last = len(dense) - 1
        for number, (x, y) in enumerate(dense):
            place = QPointF(paper.x() + x * paper.width() / PAPER[0], paper.y() + y * paper.height() / PAPER[1])
            kinds = [QEvent.Type.MouseButtonPress if number == 0 else QEvent.Type.MouseMove]
            if number == last:
                kinds.append(QEvent.Type.MouseButtonRelease)
            for kind in kinds:
                up = kind == QEvent.Type.MouseButtonRelease
                held = Qt.MouseButton.NoButton if up else Qt.MouseButton.LeftButton
                event = QMouseEvent(
                    kind,
                    place,
                    canvas.mapToGlobal(place),
                    Qt.MouseButton.LeftButton,
                    held,
                    Qt.KeyboardModifier.NoModifier,
                )
                QApplication.sendEvent(canvas, event)
            self.app.processEvents()

    def write(self, digits: str, *, left: float, top: float, height: float, gap: float = 0.95) -> None:
        """Draw digits side by side."""
        for number, digit in enumerate(digits):
            x = left + number * height * gap
            for points in DIGITS[digit]:
                self.stroke([(x + px * height, top + py * height) for px, py in points])
        self.read()

    def read(self) -> Result:
        """The result of the drawing as it is now."""
        self.window.canvas.submit()
        asked = self.window.canvas.frames_sent - 1
        self.wait(
            lambda: self.last is not None and self.last.frame.source == "canvas" and self.last.frame.index >= asked,
            "the answer",
        )
        self.settle()
        assert self.last is not None
        return self.last

    def clean(self) -> None:
        self.window.set_mode("draw")
        self.window.canvas.clear()

    def shoot(self, name: str, what: str, *, asked: str | None = None, **more: Any) -> None:
        """Keep a picture of the window and what it says."""
        self.settle()
        self._shots += 1
        file = f"{self._shots:02d}-{name}.png"
        self.window.grab().save(str(self.out / file))
        entry: dict[str, Any] = {"scene": name, "file": file, "what": what, **more}
        if asked is not None:
            entry |= {"asked": asked, "read": self.window.answer.reading.text, "right": None}
            entry["right"] = entry["read"] == asked
        self.report.append(entry)
        print(f"{file}: {what}" + (f"; asked {asked}, read {entry['read']}" if asked is not None else ""), flush=True)

    # scenes ---------------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """All of them, in order."""
        self.window.set_theme("light")
        self.digits()
        self.look_inside()
        self.moving_digits()
        self.video()
        self.train()
        self.zoo()
        self.faces()
        self.dark()

    def digits(self) -> None:
        self.shoot("empty", "the window as it opens")
        self.write("7", left=330, top=110, height=330)
        self.shoot("seven", "a digit, read while it is drawn", asked="7")
        self.clean()
        self.write("2358", left=70, top=170, height=200)
        self.shoot("number", "four digits side by side, read as one number", asked="2358")
        for digit in "0469":
            self.clean()
            self.write(digit, left=330, top=110, height=330)
            self.report_only(digit)
        self.clean()
        turns = [i / 6 for i in range(90)]
        self.stroke([(420 + 190 * math.sin(t * 2.3), 280 + 170 * math.cos(t * 3.1 + 0.4)) for t in turns])
        self.read()
        self.shoot("scribble", "a scribble is not a digit", asked="This is not a digit")
        self.window.canvas.undo()
        self.settle()

    def report_only(self, asked: str) -> None:
        read = self.window.answer.reading.text
        self.report.append({"scene": "digit", "what": "a digit", "asked": asked, "read": read, "right": read == asked})

    def look_inside(self) -> None:
        window, inside = self.window, self.window.inside
        self.clean()
        self.write("4", left=330, top=110, height=330)
        layers = window.bridge.state.card.layers if window.bridge.state and window.bridge.state.card else ()
        first = next((layer.name for layer in layers if "relu" in layer.title.lower()), layers[0].name)
        self.look_at(first)
        self.shoot("feature-maps", f"the maps of {first} while one draws", asked="4")
        kernels = [layer.name for layer in layers if layer.weights and layer.shape[1] > 1]
        self.look_at(kernels[min(1, len(kernels) - 1)])
        inside.enlarge(True, 5)
        self.wait(lambda: inside.kernel is not None and inside.kernel.isVisible(), "the kernel")
        self.shoot("one-map", "one map enlarged, with its kernels")
        inside.enlarge(False)
        self.look_at(layers[-1].name)
        self.shoot("last-layer", "the last layer has a cell for every class")
        self.look_at(first)

    def look_at(self, layer: str) -> None:
        """Look into a layer and wait for its maps."""
        if self.window.inside.layer_name != layer:
            self.window.inside.show_layer_named(layer)
        self.wait(lambda: self.window.inside.shown_layer == layer, f"the maps of {layer}")

    def moving_digits(self) -> None:
        self.window.set_mode("live")
        self.settle()
        self.shoot("live", "Live without a camera offers what can be seen without one")
        self.window.live.open("digits:")
        self.watch(lambda result: len(result.text) > 1, "moving digits")
        self.shoot("moving-digits", "the built-in moving digits", read=self.window.answer.reading.text)

    def video(self) -> None:
        self.window.use_model("digits")  # whatever Live begins with
        self.window.live.open(str(self.make_video()))
        self.watch(lambda result: result.frame.index > 30 and len(result.text) > 1, "the video")
        self.freeze()
        self.shoot("video", "a video file, frozen", read=self.window.answer.reading.text)
        found = sorted(VIDEO_FOLDER.glob("*.mp4")) if VIDEO_FOLDER.is_dir() else []
        if found:
            self.window.live.open(str(found[0]))
            self.watch(lambda result: result.frame.index > 5, f"the video {found[0].name}")
            self.freeze()
            self.shoot("video-without-digits", f"{found[0].name} shows no digit, and none is claimed")
        self.window.set_mode("draw")

    def freeze(self) -> None:
        self.window.live.toggle()
        self.wait(lambda: not self.window.live.playing, "the video to stand still")

    def watch(self, until: Callable[[Result], bool], what: str) -> None:
        """Wait for a result of the source that plays."""
        self.last = None
        self.wait(lambda: self.last is not None and self.last.frame.source != "canvas" and until(self.last), what)
        self.settle(1.0)

    def make_video(self) -> Path:
        """A small video of the moving digits (a stream of JPEG pictures)."""
        from engine import open_source
        from gui.canvas import encoded

        source = open_source("digits:")
        data = bytearray()
        for _ in range(75):
            frame = source.read()
            if frame is None:
                break
            data += encoded(_image(frame), b"jpg", 90)
        source.close()
        path = self.home / "moving digits.mjpeg"
        path.write_bytes(bytes(data))
        return path

    def train(self) -> None:
        from engine import TrainingConfig

        window = self.window
        window.set_mode("train")
        panel = window.train
        panel.form.set_value(TrainingConfig(data="synthetic-digits", model="small", epochs=2))
        self.settle()
        self.shoot("train-form", "Train before the first run")
        panel.start()
        self.wait(lambda: panel.shown is not None and panel.shown.history.epochs, "the first epoch", seconds=900)
        self.shoot("training", "the curves while it trains")
        self.wait(lambda: panel.shown.history.stopped is not None, "the end of the training", seconds=900)
        stopped = panel.shown.history.stopped
        self.shoot("trained", stopped.message, best_accuracy=stopped.best_accuracy, reason=stopped.reason)
        self.wait(lambda: window.choice.findData(panel.shown.name) >= 0, "the new network in the list")
        self.clean()
        window.use_model(panel.shown.name)
        self.wait(lambda: window.inside.model_name == panel.shown.name, "the new network")
        self.write("3", left=330, top=110, height=330)
        self.shoot("own-network", "the network just trained reads the canvas", asked="3")

    def zoo(self) -> None:
        self.window.set_mode("models")
        self.settle()
        self.shoot("models", "all networks, and what is known of one")
        self.window.use_model("digits")
        self.wait(lambda: self.window.inside.model_name == "digits", "the bundled network")

    def faces(self) -> None:
        """People who do not exist are enrolled and found again beside one who is not enrolled."""
        from gui.drawn_people import CAST, group, portrait

        window = self.window
        window.set_mode("faces")
        gallery, panel = window.faces.faces, window.faces.people
        assert gallery is not None and panel is not None
        self.wait(lambda: gallery.card is not None and self._ready, "the network for faces", seconds=900)
        self.wait(lambda: panel.page is panel.welcome and gallery.state == "none", "the question for a gallery")
        self.shoot("faces-welcome", "Faces asks before it keeps anything")
        enrolled = list(CAST)[:-1]
        for name in enrolled:
            folder = self.home / "people" / name
            folder.mkdir(parents=True)
            for take in range(3):
                portrait(CAST[name], take=take).save(str(folder / f"{take}.png"))
        gallery.start_gallery()
        self.wait(lambda: panel.page is panel.empty, "the empty gallery")
        panel.add_from_folders(self.home / "people")
        self.wait(panel.folders.add_button.isEnabled, "the faces in the folders", seconds=900)
        panel.folders.add_button.click()
        self.wait(lambda: gallery.scale is not None and len(gallery.people) == len(enrolled), "everybody's enrolment")
        path = self.home / "a group.png"
        group(list(CAST.values()), take=20).save(str(path))
        window.open_path(path)
        self.watch(lambda result: result.frame.source == path.name and bool(result.faces), "the faces in the group")
        assert self.last is not None and self.last.faces is not None
        found = sorted(self.last.faces, key=lambda face: face.box[0])
        read = ", ".join(face.name or "unknown" for face in found)
        window.sight.choose(0)
        self.settle(1.0)
        self.shoot("faces", "drawn people, found again beside somebody unknown", read=read)
        panel.show_tab("threshold")
        self.wait(lambda: panel.threshold.other.pairs, "the faces beside the threshold")
        self.shoot("faces-threshold", "from which similarity on a face gets a name")
        panel.show_tab("door")
        self.shoot("faces-door", "the log of who comes is off until one wants it")
        window.set_mode("draw")
        self.wait(lambda: window.inside.model_name == "digits", "the network for digits")

    def dark(self) -> None:
        self.window.set_theme("dark")
        self.clean()
        self.write("86", left=210, top=130, height=290)
        self.shoot("dark", "the dark look", asked="86")
        self.window.set_mode("train")
        self.shoot("dark-train", "the dark look of Train")
        self.window.set_theme("light")

    def end(self) -> None:
        self.window.close()
        self.app.processEvents()


def run(out: Path) -> int:
    """Play the demo and write pictures and report.json to `out`; returns 0 if every scene could be played.

    Raises:
        EngineError: `out` cannot be written to, or something the demo waited for never came.
    """
    from PySide6.QtCore import qInstallMessageHandler

    from engine import replace_file
    from gui.application import no_display

    if no_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    out = out.resolve()
    said_to = qInstallMessageHandler(_say)
    before = os.environ.get("CONVSCOPE_HOME")
    with tempfile.TemporaryDirectory(prefix="convscope-demo-", ignore_cleanup_errors=True) as home:
        os.environ["CONVSCOPE_HOME"] = home
        try:
            replace_file(out / "report.json", lambda path: path.write_text("{}\n"))
            demo = Demo(out, Path(home))
            try:
                demo.play()
            finally:
                demo.end()
        finally:
            qInstallMessageHandler(said_to)
            if before is None:
                del os.environ["CONVSCOPE_HOME"]
            else:
                os.environ["CONVSCOPE_HOME"] = before
    asked = [entry for entry in demo.report if "asked" in entry]
    right = sum(entry["right"] for entry in asked)
    report = {"asked": len(asked), "right": right, "errors": demo.errors, "scenes": demo.report}
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    replace_file(out / "report.json", lambda path: path.write_text(text, encoding="utf-8"))
    print(f"{right} of {len(asked)} drawings were read as they were meant; the pictures are in {out}")
    return 0


def _say(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
    """What Qt says, except the one thing that its off-screen platform says at every show and that means nothing."""
    from PySide6.QtCore import qFormatLogMessage

    if message != "This plugin does not support propagateSizeHints()":
        print(qFormatLogMessage(kind, context, message), file=sys.stderr)


def _image(frame: Frame) -> QImage:
    from PySide6.QtGui import QImage

    height, width = frame.image.shape[:2]
    return QImage(frame.image.data, width, height, frame.image.strides[0], QImage.Format.Format_RGB888).copy()
