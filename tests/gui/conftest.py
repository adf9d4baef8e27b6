"""The window for tests: off-screen, with the bundled network, converted once for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QMouseEvent
from PySide6.QtWidgets import QApplication

from engine import ModelCard, Preprocess
from gui.canvas import PAPER, Canvas
from gui.window import MainWindow

SEVEN = [(330.0, 130.0), (540.0, 130.0), (430.0, 430.0)]
ONE = [(640.0, 130.0), (635.0, 430.0)]


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def home(own_home: Path, converted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, except for the converted networks, which take seconds to make.

    Live starts with the detector that `write_detector` makes, which is quick and finds the same everywhere, or reads
    digits without it.
    """
    monkeypatch.setattr("gui.window.LIVE_MODEL", "finder")
    (own_home / "cache").symlink_to(converted, target_is_directory=True)
    return own_home


def open_window(qtbot) -> MainWindow:
    window = MainWindow()
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    return window


@pytest.fixture
def window(qtbot, home: Path) -> Iterator[MainWindow]:
    """The window with its network ready."""
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: window.bridge.state is not None and window.bridge.state.phase == "ready", timeout=120_000)
    yield window
    window.close()


def mouse(canvas: Canvas, kind: QEvent.Type, x: float, y: float, button: Qt.MouseButton = Qt.MouseButton.LeftButton):
    """A mouse event at a place of the paper."""
    paper = canvas.paper
    place = QPointF(paper.x() + x * paper.width() / PAPER[0], paper.y() + y * paper.height() / PAPER[1])
    held = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else button
    event = QMouseEvent(kind, place, canvas.mapToGlobal(place), button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(canvas, event)


def drop(window: MainWindow, data: QMimeData) -> None:
    """Drag something over the window and let it go there."""
    place = QPointF(400, 300)
    kinds = (Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(place.toPoint(), kinds[0], data, kinds[1], kinds[2])
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(window, QDropEvent(place, kinds[0], data, kinds[1], kinds[2]))


def stroke(canvas: Canvas, points: list[tuple[float, float]], button: Qt.MouseButton = Qt.MouseButton.LeftButton):
    """Press, move through points of the paper in small steps, let go."""
    mouse(canvas, QEvent.Type.MouseButtonPress, *points[0], button)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for share in np.linspace(0.1, 1.0, 10):
            mouse(canvas, QEvent.Type.MouseMove, x0 + (x1 - x0) * share, y0 + (y1 - y0) * share, button)
    mouse(canvas, QEvent.Type.MouseButtonRelease, *points[-1], button)


def write_detector(home: Path, name: str = "finder") -> None:
    """A run with a detector that finds four persons in every picture: its last layers are set by hand."""
    import torch
    from safetensors.torch import save_file

    from engine import networks, zoo

    classes = ("person", "chair", "car")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = networks.build("detector", classes=len(classes), channels=3, image_size=64, width=0.25)
    state = net.state_dict()
    for grid in range(3):
        for part in ("boxes", "scores"):
            state[f"{part}.{grid}.weight"].zero_()
        state[f"scores.{grid}.bias"].fill_(-9.0)
        state[f"boxes.{grid}.bias"].fill_(-20.0)
        state[f"boxes.{grid}.bias"][1::16] = 20.0  # one cell to every side
    state["scores.2.bias"][0] = 2.0  # a person in each of the four coarse cells, with 88 %
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")
    card = ModelCard(
        name,
        "Finder",
        "detection",
        "detector",
        classes,
        Preprocess("letterbox", 64, 3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        arguments={"width": 0.25},
        boxes="distances",
        strides=(8, 16, 32),
        offered=("person", "car"),
        min_score=0.3,
        weights=folder / "model.safetensors",
    )
    zoo.write_card(card, folder / "model.json")
