"""Where there is nothing to show a window on, and what the demo lets Qt say."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMessageLogContext, QtMsgType

from gui import application, demo

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As after logging in over the network."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch


def test_without_a_display_there_is_a_sentence_and_no_crash(bare, capsys) -> None:
    assert application.show() == 2
    said = capsys.readouterr().err
    assert said.startswith("There is no display") and "main.py demo --out demo/" in said


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_display_that_does_not_answer_is_named(bare, capsys, name: str) -> None:
    bare.setenv(name, ":987")
    assert application.show() == 2
    assert "The display :987 cannot be reached." in capsys.readouterr().err


def test_a_display_that_answers_will_do_and_so_will_a_platform_that_needs_none(bare) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(folder) / "wayland-7"))
        server.listen()
        bare.setenv("XDG_RUNTIME_DIR", folder)
        bare.setenv("WAYLAND_DISPLAY", "wayland-7")
        assert application.no_display() == ""
    bare.delenv("WAYLAND_DISPLAY")
    bare.setenv("QT_QPA_PLATFORM", "offscreen")
    assert application.no_display() == ""


def test_the_demo_keeps_only_one_message_of_qt_to_itself(capsys) -> None:
    for message in ("This plugin does not support propagateSizeHints()", "This plugin does not support raise()"):
        demo._say(QtMsgType.QtWarningMsg, QMessageLogContext(), message)
    assert capsys.readouterr().err == "This plugin does not support raise()\n"
