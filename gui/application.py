"""Starts the window. Until it is on the screen only Qt and NumPy are imported; all else follows behind it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import socket
import sys
import types
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from engine import on_thread_failure
from gui.theme import app_icon
from gui.window import MainWindow

_log = logging.getLogger(__name__)

SETTLED = 10_000  # milliseconds after which all that the window always needs is loaded


def application() -> QApplication:
    """The QApplication with ConvScope's name, icon and style; made if there is none yet."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        QGuiApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
        app = QApplication(sys.argv[:1])
    app.setApplicationName("convscope")
    app.setApplicationDisplayName("ConvScope")
    app.setDesktopFileName("convscope")
    app.setStyle("Fusion")
    app.setWindowIcon(app_icon())
    return app


def report_everything(window: MainWindow) -> None:
    """Send what nobody caught, in any thread, down the one road for errors."""

    def uncaught(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            window.close()
            return
        _log.error("uncaught", exc_info=(kind, error, trace))
        window.bridge.report(error)

    sys.excepthook = uncaught
    on_thread_failure(lambda error: uncaught(type(error), error, error.__traceback__))


def no_display() -> str:
    """Why the window has nowhere to be, in a sentence; "": it has. Qt would end the whole program, with a core dump."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return ""
    x11, wayland = os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", "")
    if not x11 and not wayland:
        return "There is no display for the window."
    if (wayland and _wayland_answers(wayland)) or (x11 and _x11_answers()):
        return ""
    return f"The display {x11 or wayland} cannot be reached."


def _x11_answers() -> bool:
    """Asks as Qt does, so that a server that refuses this user counts as none."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:  # Qt will say that it is missing
        return True
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    xcb.xcb_connection_has_error.argtypes = [ctypes.c_void_p]
    xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(None, None)
    failed: int = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not failed


def _wayland_answers(name: str) -> bool:
    path = Path(os.environ.get("XDG_RUNTIME_DIR", "")) / name
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        return True
    return False


def show() -> int:
    """Open the window and run until it is closed; returns the exit code, 2 where there is no display for it."""
    reason = no_display()
    if reason:
        print(
            f"{reason}\nStart ConvScope on a desktop; “python main.py demo --out demo/” works without one.",
            file=sys.stderr,
        )
        return 2
    app = application()
    window = MainWindow()
    report_everything(window)
    screen = app.primaryScreen().availableGeometry()
    if window.first_time and screen.width() < 1500:
        window.showMaximized()
    else:
        window.show()
    # A full garbage collection looks through every object, which takes some fifty milliseconds once pyqtgraph and
    # OpenVINO are loaded: what is there now stays until the end, so it need not be looked through.
    QTimer.singleShot(SETTLED, gc.freeze)
    return app.exec()
