"""Every speed claim of ConvScope as a ratio against a named peer or limit, measured in the same run.

`python -m benchmarks.NAME` runs one and ends with a JSON line; `python -m benchmarks` (make bench) runs them all.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PySide6.QtCore import QEvent
    from PySide6.QtWidgets import QApplication, QWidget

ROOT = Path(__file__).resolve().parent.parent


def report(name: str, *, ratio: float, **figures: Any) -> None:
    """The last line of a benchmark: its figures and its ratio."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": name, "ratio": round(ratio, 3), **rounded}), flush=True)


def real_data() -> Path | None:
    """The folder with real data sets, if this machine has one."""
    folder = Path(os.environ.get("CONVSCOPE_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def on_screen() -> bool:
    """Whether there is a display; without one Qt draws off-screen."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or sys.platform in ("win32", "darwin")


def application() -> QApplication:
    """A Qt application with a data folder of its own, off-screen where there is no display."""
    os.environ["CONVSCOPE_HOME"] = tempfile.mkdtemp()
    if not on_screen():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler
    from PySide6.QtWidgets import QApplication

    def say(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
        if "propagateSizeHints" not in message:  # what the off-screen platform says of every window
            print(message, file=sys.stderr)

    qInstallMessageHandler(say)
    return QApplication(sys.argv)


def mouse(canvas: QWidget, kind: QEvent.Type, x: float, y: float) -> None:
    """A mouse event with the left button at a place given in shares of the canvas."""
    from PySide6.QtCore import QEvent, QPointF, Qt
    from PySide6.QtGui import QMouseEvent
    from PySide6.QtWidgets import QApplication

    button = Qt.MouseButton.LeftButton
    held = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else button
    at = QPointF(x * canvas.width(), y * canvas.height())
    event = QMouseEvent(kind, at, canvas.mapToGlobal(at), button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(canvas, event)
