"""The digit networks: their shape, and that the bundled weights keep every promise of their card on real data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from engine import networks, zoo
from engine.data import read_idx_pair
from engine.data.mixture import read_drawn
from engine.data.strokes import DIGIT_SHAPES, OTHER_SHAPES, by_hand, draw_shape, render
from engine.images import Image, read_picture, to_rgb
from engine.training.config import TrainingConfig
from engine.types import NOT_A_DIGIT, Frame, Result
from engine.vision.classify import Classifier

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
CARD = RESOURCES / "models" / "digits.json"
RECIPES = [RESOURCES / "recipes" / name for name in ("digits.toml", "digits-mnist.toml", "digits-settle.toml")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        yield Classifier(zoo.read_card(CARD), interactive=False)


def ask(reader: Classifier, picture: npt.NDArray[np.uint8]) -> Result:
    return reader.predict(Frame(to_rgb(picture), "test", 0, 0.0, drawing=True))


def reading(result: Result) -> str:
    """What was read; "" where any part of it, or all, is no digit."""
    refused = any(region.classification.rejected for region in result.regions)
    return "" if refused else result.text


def sheet(shape: str, *, side: float = 560, height: float = 300, width: float = 16, tilt: float = 0.0) -> Image:
    """A canvas, black ink on white, with one shape in the middle of it."""
    rng = np.random.default_rng(0)
    drawing = by_hand(draw_shape(shape, rng, jitter=0.01), rng, tilt=0.01, slant=0.01, stretch=0.01, bend=0.002)
    angle = np.deg2rad(tilt)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    narrow = [(stroke * np.array([0.65, 1.0], np.float32)) @ turn.T for stroke in drawing]
    ink = render(narrow, width / height, side=int(min(height, side - 2 * width - 8)))
    side = int(side)
    out = np.zeros((side, side), np.uint8)
    top, left = (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2
    out[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return (255 - out).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------ architecture


@pytest.mark.parametrize("name", ["small", "digits"])
@pytest.mark.parametrize(("classes", "channels", "size"), [(10, 1, 28), (11, 1, 28), (5, 3, 64), (2, 3, 33)])
def test_networks_build_learn_and_name_their_layers(name: str, classes: int, channels: int, size: int) -> None:
    network = networks.build(name, classes=classes, channels=channels, image_size=size, dropout=0.1)
    assert isinstance(network, nn.Sequential)
    out = network(torch.rand(4, channels, size, size))
    assert out.shape == (4, classes)
    out.sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    names = [layer for layer, _ in network.named_children()]
    assert names[:3] == ["conv1", "norm1", "relu1"]
    assert {"conv2", "pool1", "flatten", "fc1"} <= set(names)
    assert names[-1].startswith("fc")


def test_the_digit_network_is_small_and_has_64_maps_to_look_at() -> None:
    network = networks.build("digits", classes=11, channels=1, image_size=28, dropout=0.0)
    assert sum(p.numel() for p in network.parameters()) <= 500_000
    maps = [module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert 64 in maps


# ---------------------------------------------------------------------------------------------------- what is bundled


def test_the_card_describes_its_weights_and_recipe() -> None:
    card = zoo.read_card(CARD)
    assert card.classes == (*"0123456789", NOT_A_DIGIT)
    assert card.reject == NOT_A_DIGIT
    assert card.weights is not None
    assert hashlib.sha256(card.weights.read_bytes()).hexdigest() == card.sha256
    assert json.loads(CARD.read_text())["weights"] == "digits.safetensors"
    assert 0 < card.parameters <= 500_000
    assert card.recipe == "\n".join(recipe.read_text(encoding="utf-8") for recipe in RECIPES)
    stages = [TrainingConfig.read(recipe) for recipe in RECIPES]
    assert [stage.data for stage in stages] == ["digits", "mnist", "digits-settle"]
    assert {stage.model for stage in stages} == {"digits"}
    assert len({stage.seed for stage in stages}) == 1  # or what one stage keeps out another would learn
    assert "held out" in card.notes


def test_the_card_claims_no_less_than_it_should() -> None:
    metrics = zoo.read_card(CARD).metrics
    assert metrics["MNIST test accuracy"] >= 0.997
    assert metrics["MNIST test rejected"] <= 0.02
    assert metrics["MNIST test expected calibration error"] <= 0.01
    held_out = next(value for name, value in metrics.items() if name.startswith("drawn digits accuracy, held out"))
    assert held_out >= 0.98
    assert metrics["drawn digits rejected, all"] <= 0.02
    assert metrics["Fashion-MNIST test rejected"] >= 0.95


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_on_the_canvas_is_read_large_small_thick_thin_and_tilted(reader: Classifier, digit: int) -> None:
    shape = DIGIT_SHAPES[digit][0]
    cases: tuple[dict[str, float], ...] = (
        {},
        {"height": 440.0, "width": 6.0},
        {"height": 400.0, "width": 50.0},
        {"height": 60.0, "width": 8.0},
        {"tilt": 12.0},
        {"tilt": -12.0},
    )
    for options in cases:
        result = ask(reader, sheet(shape, **options))
        assert reading(result) == str(digit), (options, result.text)


def test_several_digits_are_one_number_with_a_box_each(reader: Classifier) -> None:
    canvas = np.concatenate([sheet(DIGIT_SHAPES[d][0], side=220, height=150, width=14) for d in (4, 0, 7)], axis=1)
    result = ask(reader, canvas)
    assert reading(result) == "407"
    lefts = [region.box[0] for region in result.regions]
    assert lefts == sorted(lefts)
    assert [int(left) // 220 for left in lefts] == [0, 1, 2]


@pytest.mark.parametrize("number", [n for n, shape in enumerate(OTHER_SHAPES) if shape.count(" ") > 8])
def test_little_pictures_are_not_digits(reader: Classifier, number: int) -> None:
    assert reading(ask(reader, sheet(OTHER_SHAPES[number]))) == ""


def test_blank_paper_scribbles_and_noise_are_not_digits(reader: Classifier) -> None:
    rng = np.random.default_rng(0)
    assert ask(reader, np.full((560, 560), 255, np.uint8)).text == ""
    for seed in range(5):
        walk = np.random.default_rng(seed).uniform(0, 1, (30, 2)).astype(np.float32)
        scribble = np.pad(255 - render([walk], 0.04, side=300), 50, constant_values=255)
        assert reading(ask(reader, scribble)) == ""
    assert reading(ask(reader, rng.integers(0, 256, (28, 28)).astype(np.uint8))) == ""
    assert reading(ask(reader, rng.integers(0, 256, (300, 400)).astype(np.uint8))) == ""


def test_mnist_and_fashion_through_predict(reader: Classifier, shared_data: Path) -> None:
    """A tenth of each test part; the card's figures are of all of it."""
    digits, clothes = (read_idx_pair(shared_data / name, "t10k") for name in ("MNIST", "FashionMNIST"))
    assert digits is not None
    assert clothes is not None
    right = [
        reading(ask(reader, image)) == str(int(label))
        for image, label in zip(digits.images[::10, 0].numpy(), digits.labels[::10], strict=True)
    ]
    claimed = reader.card.metrics["MNIST test accuracy"]
    spread = np.sqrt(claimed * (1 - claimed) / len(right))
    assert abs(np.mean(right) - claimed) <= 3 * spread
    refused = [reading(ask(reader, image)) == "" for image in clothes.images[::10, 0].numpy()]
    assert np.mean(refused) >= 0.95


def test_drawn_digits_that_were_held_out_through_predict(reader: Classifier, shared_data: Path) -> None:
    held = [digit for digit in read_drawn(shared_data / "drawn_digits") if digit.is_held_out]
    right = []
    for digit in held:
        right.append(reading(ask(reader, read_picture(digit.path))) == str(digit.label))
    assert np.mean(right) >= 0.98
