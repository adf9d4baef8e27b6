"""Starts the window. Until it is on the screen only Qt and NumPy are imported; all else follows behind it."""

from __future__ import annotations

import logging
import sys
import types

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from engine import on_thread_failure
from gui.theme import app_icon
from gui.window import MainWindow

_log = logging.getLogger(__name__)


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


def show() -> int:
    """Open the window and run until it is closed; returns the exit code."""
    app = application()
    window = MainWindow()
    report_everything(window)
    screen = app.primaryScreen().availableGeometry()
    if window.first_time and screen.width() < 1500:
        window.showMaximized()
    else:
        window.show()
    return app.exec()
