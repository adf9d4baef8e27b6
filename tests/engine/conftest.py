"""Small pictures, videos and networks for the tests of the live flow; a converted network is made once for all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.types import NOT_A_DIGIT, ModelCard, Preprocess

DIGITS = tuple("0123456789")


@pytest.fixture(scope="session")
def live_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home that tests share, since converting a network takes seconds; with one untrained network of each kind."""
    home = tmp_path_factory.mktemp("live")
    before = os.environ.get("CONVSCOPE_HOME")
    os.environ["CONVSCOPE_HOME"] = str(home)
    try:
        write_network("tiny")
        write_network("tiny-colour", classes=("cat", "dog", "owl"), preprocess=picture(32))
    finally:
        if before is None:
            os.environ.pop("CONVSCOPE_HOME")
        else:
            os.environ["CONVSCOPE_HOME"] = before
    yield home


@pytest.fixture
def home(live_home: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test in the shared home."""
    monkeypatch.setenv("CONVSCOPE_HOME", str(live_home))
    return live_home


def drawing() -> Preprocess:
    return Preprocess("drawing", 28, 1, (0.1307,), (0.3081,))


def picture(size: int) -> Preprocess:
    return Preprocess("picture", size, 3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def write_network(
    name: str, *, classes: tuple[str, ...] = (*DIGITS, NOT_A_DIGIT), preprocess: Preprocess | None = None, seed: int = 1
) -> ModelCard:
    """A run called `name` with an untrained small network, as a finished training leaves it."""
    import torch
    from safetensors.torch import save_file

    from engine import networks, store, zoo

    preprocess = preprocess or drawing()
    folder = store.runs_folder() / name
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = networks.build("small", classes=len(classes), channels=preprocess.channels, image_size=preprocess.size)
    save_file(net.state_dict(), folder / "model.safetensors")
    card = ModelCard(
        name=name,
        title=name.title(),
        task="classification",
        architecture="small",
        classes=classes,
        preprocess=preprocess,
        reject=NOT_A_DIGIT if NOT_A_DIGIT in classes else "",
        weights=folder / "model.safetensors",
        parameters=sum(weight.numel() for weight in net.parameters()),
        metrics={"validation accuracy": 0.1},
    )
    zoo.write_card(card, folder / "model.json")
    return zoo.model_card(name)


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video whose frames get brighter, so that a frame tells its index."""

    def make(name: str = "clip.avi", frames: int = 12, fps: float = 100.0) -> Path:
        from engine.opencv import cv2

        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
        for index in range(frames):
            writer.write(np.full((48, 64, 3), 8 * index + 5, np.uint8))
        writer.release()
        return path

    return make
