"""Small pictures, videos and networks for the tests of the live flow; a converted network is made once for all."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.opencv import cv2
from engine.types import NOT_A_DIGIT, BoxLayout, Image, ModelCard, Preprocess

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
        write_detector("spots")
        write_faces("tiny-faces")
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


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are computed in single precision on whatever processor."""
    from engine import runtime

    monkeypatch.setattr(runtime, "bfloat16_is_fast", lambda: False)


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


SPOTS = ("red", "green", "blue")


def register_spots() -> None:
    """Enter a detector that needs no training: cells of some pixels are red, green or blue, and grey is nothing.

    The box of a cell reaches one cell from its middle to every side. Landmarks, in cells from the middle, are the same
    in every cell.
    """
    import torch
    from torch import nn

    from engine import networks

    class Spots(nn.Module):
        def __init__(
            self, classes: int, layout: str, size: int, cell: int, landmarks: Sequence[Sequence[float]]
        ) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(cell)
            self.colour = nn.Conv2d(3, classes, 1, bias=False)
            with torch.no_grad():
                self.colour.weight.copy_((2 * torch.eye(3) - 1)[:classes, :, None, None])
            middle = (torch.arange(size // cell) + 0.5) * cell
            y, x = torch.meshgrid(middle, middle, indexing="ij")
            middles = torch.stack([x.flatten(), y.flatten()], dim=1)
            places = {
                "distances": torch.ones(len(middles), 4),
                "corners": torch.cat([middles - cell, middles + cell], dim=1),
                "centres": torch.cat([middles, torch.full_like(middles, 2.0 * cell)], dim=1),
            }
            self.register_buffer("places", places[layout][None], persistent=False)
            self.marked = bool(landmarks)
            marks = torch.tensor([list(place) for place in landmarks]).reshape(1, 1, -1)
            self.register_buffer("marks", marks.repeat(1, len(middles), 1), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = self.colour(self.pool(x)).flatten(2).transpose(1, 2)
            columns = [self.places.expand(len(x), -1, -1), scores]
            if self.marked:
                columns.append(self.marks.expand(len(x), -1, -1))
            return torch.cat(columns, dim=2)

    def spots(
        *,
        classes: int,
        channels: int,
        image_size: int,
        layout: str = "distances",
        cell: int = 8,
        landmarks: Sequence[Sequence[float]] = (),
        **_: object,
    ) -> nn.Module:
        return Spots(classes, layout, image_size, cell, landmarks)

    if "spots" not in networks._ARCHITECTURES:
        networks.register("spots", title="Spots", help="For tests.", teachable=False)(spots)


def write_detector(
    name: str,
    *,
    layout: BoxLayout = "distances",
    size: int = 64,
    cell: int = 8,
    landmarks: Sequence[tuple[float, float]] = (),
    classes: tuple[str, ...] = SPOTS,
    offered: tuple[str, ...] = ("red", "green"),
) -> ModelCard:
    """A run called `name` with the detector of red, green and blue spots."""
    from safetensors.torch import save_file

    from engine import networks, store, zoo

    register_spots()
    folder = store.runs_folder() / name
    folder.mkdir(parents=True)
    arguments: dict[str, Any] = {"layout": layout, "cell": cell, "landmarks": [list(place) for place in landmarks]}
    net = networks.build("spots", classes=len(classes), channels=3, image_size=size, **arguments)
    save_file(net.state_dict(), folder / "model.safetensors")
    card = ModelCard(
        name=name,
        title=name.title(),
        task="detection",
        architecture="spots",
        arguments=arguments,
        classes=classes,
        preprocess=Preprocess("letterbox", size, 3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        boxes=layout,
        strides=(cell,) if layout == "distances" else (),
        offered=offered,
        min_score=0.5,
        landmarks=len(landmarks),
        weights=folder / "model.safetensors",
        parameters=9,
    )
    zoo.write_card(card, folder / "model.json")
    return zoo.model_card(name)


def spotted(*spots: tuple[int, int, str], shape: tuple[int, int] = (480, 640), strength: int = 255) -> Image:
    """A black picture with a square spot of a colour at each (x, y): a cell of the network that the tests use.

    For a network of 64 pixels a picture of 640 x 480 becomes 64 x 48, its left upper corner at (0, 8): a cell is 80
    pixels wide, and `x` and `y` count cells of the picture.
    """
    image = np.zeros((*shape, 3), np.uint8)
    for x, y, colour in spots:
        image[80 * y : 80 * y + 80, 80 * x : 80 * x + 80, SPOTS.index(colour)] = strength
    return image


FIVE = ((-0.158, -0.038), (0.156, -0.04), (0.0, 0.14), (-0.129, 0.325), (0.131, 0.323))
"""Landmarks of a face that fills one cell, in cells from its middle: what is turned upright is that cell."""

FACE_SIDE = 32


def register_rows() -> None:
    """Enter a network for faces that needs no training: how bright each of 8 x 8 fields is, against their mean."""
    import torch
    from torch import nn

    from engine import networks

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(FACE_SIDE // 8)
            self.red = nn.Conv2d(3, 1, 1, bias=False)
            with torch.no_grad():
                self.red.weight.copy_(torch.tensor([1.0, 0.0, 0.0])[None, :, None, None])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            fields = self.red(self.pool(x)).flatten(1)
            return fields - fields.mean(dim=1, keepdim=True)

    def rows(*, classes: int, channels: int, image_size: int, **_: object) -> nn.Module:
        return Rows()

    if "rows" not in networks._ARCHITECTURES:
        networks.register("rows", title="Rows", help="For tests.", teachable=False, task="faces")(rows)


def write_faces(name: str, *, finder: str = "tiny-finder", **changes: Any) -> ModelCard:
    """A run called `name` with a network for the faces of `stranger`, and the detector that finds them."""
    from safetensors.torch import save_file

    from engine import networks, store, zoo

    if finder == "tiny-finder" and not (store.runs_folder() / finder).exists():
        # Eight cells across, as the other spots; but its input is not much smaller than the pictures of the tests.
        write_detector(finder, size=512, cell=64, landmarks=FIVE, classes=("face",), offered=())
    register_rows()
    folder = store.runs_folder() / name
    folder.mkdir(parents=True)
    net = networks.build("rows", classes=1, channels=3, image_size=FACE_SIDE)
    save_file(net.state_dict(), folder / "model.safetensors")
    values: dict[str, Any] = {
        "name": name,
        "title": name.title(),
        "task": "faces",
        "architecture": "rows",
        "classes": ("face",),
        "preprocess": Preprocess("face", FACE_SIDE, 3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "finder": finder,
        "calibration": (10.0, -5.0),
        "threshold": 0.5,
        "weights": folder / "model.safetensors",
        "parameters": 3,
    }
    zoo.write_card(ModelCard(**{**values, **changes}), folder / "model.json")
    return zoo.model_card(name)


def face(person: int, *, noise: int = 0, seed: int = 0) -> Image:
    """A red square of 80 pixels that the networks of `write_faces` take for a face: a pattern of rows.

    Persons 0 to 6 do not resemble each other at all (cosine 0); 7 to 13 are their opposites.
    """
    pattern = [(-1) ** bin((person % 7 + 1) & row).count("1") for row in range(8)]  # a Walsh function
    level = 200 + (-1) ** (person // 7) * 50 * np.repeat(pattern, 10)
    image = np.zeros((80, 80, 3), np.int64)
    image[:, :, 0] = level[:, None]
    if noise:
        image[:, :, 0] += np.random.default_rng(seed).integers(-noise, noise + 1, (80, 80))
    return image.clip(0, 255).astype(np.uint8)


def with_faces(*faces: tuple[int, int, Image], shape: tuple[int, int] = (480, 640)) -> Image:
    """A black picture with faces at cells (x, y), as `spotted` counts them."""
    image = np.zeros((*shape, 3), np.uint8)
    for x, y, seen in faces:
        image[80 * y : 80 * y + 80, 80 * x : 80 * x + 80] = seen
    return image


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


def turned_jpeg(picture: Image, orientation: int) -> bytes:
    """A JPEG file with a camera's note of how it was held (EXIF 2.3, tag 0x0112)."""
    data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    note = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:]
