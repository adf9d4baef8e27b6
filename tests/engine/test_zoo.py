"""Cards, their weights, and what is done about damaged ones."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from engine import runtime, store, zoo
from engine.errors import EngineError
from engine.types import Download, Layer, ModelCard, Preprocess
from tests.engine.conftest import write_network


def full_card(folder: Path) -> ModelCard:
    """A card in which no field has its default."""
    return ModelCard(
        name="all",
        title="Everything",
        task="classification",
        architecture="small",
        classes=("ä", "b", "none"),
        preprocess=Preprocess("picture", 32, 3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), resize=40, digits=False),
        arguments={"dropout": 0.25},
        reject="none",
        reject_above=0.4,
        temperature=1.5,
        many=True,
        boxes="distances",
        strides=(8, 16),
        offered=("b",),
        min_score=0.4,
        landmarks=5,
        finder="eyes",
        calibration=(9.0, -2.0),
        threshold=0.4,
        layers=(Layer("conv1", "conv1", (16, 32, 32), "conv1.weight"), Layer("relu1", "ReLU", (16, 32, 32))),
        weights=folder / "deep" / "weights.safetensors",
        quantised=folder / "deep" / "int8.xml",
        sha256="00",
        parameters=12,
        metrics={"accuracy": 0.5},
        published={"accuracy": 0.6},
        operations=1.5,
        download=Download("https://example.org/weights-0123abcd.pth", 1000, "0123abcd"),
        notes="notes",
        recipe="epochs = 1\n",
        licence="MIT",
        origin="downloaded",
    )


def test_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    card = full_card(tmp_path)
    default = {spec.name: spec.default for spec in dataclasses.fields(card) if spec.default is not dataclasses.MISSING}
    assert all(getattr(card, name) != value for name, value in default.items()), "a field would not be tested"
    zoo.write_card(card, tmp_path / "card.json")
    assert json.loads((tmp_path / "card.json").read_text())["weights"] == "deep/weights.safetensors"
    assert json.loads((tmp_path / "card.json").read_text())["quantised"] == "deep/int8.xml"
    assert zoo.read_card(tmp_path / "card.json") == card


def test_a_moved_folder_still_finds_its_weights(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    zoo.write_card(full_card(tmp_path / "old"), tmp_path / "old" / "card.json")
    (tmp_path / "old").rename(tmp_path / "new")
    assert zoo.read_card(tmp_path / "new" / "card.json").weights == tmp_path / "new" / "deep" / "weights.safetensors"


def test_a_graph_in_8_bits_is_taken_from_bundled_cards_alone(own_home: Path) -> None:
    folder = write_network("mine").weights
    assert folder is not None
    path = folder.parent / "model.json"
    values = json.loads(path.read_text()) | {"quantised": "/tmp/anything.onnx"}
    path.write_text(json.dumps(values))
    assert zoo.read_card(path).quantised is not None
    assert zoo.model_card("mine").quantised is None
    assert zoo.model_card("detector").quantised is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", None),
        ("classes", []),
        ("architecture", 3),
        ("preprocess", {}),
        ("preprocess", {"kind": "drawing", "size": 28, "channels": 1, "mean": [0.1, 0.2], "std": [0.3]}),
        ("preprocess", {"kind": "drawing", "size": 28, "channels": 1, "mean": [0.1], "std": [0]}),
        ("preprocess", {"kind": "drawing", "size": 28, "channels": 1, "mean": [0.1], "std": [float("nan")]}),
        ("preprocess", {"kind": "drawing", "size": 28, "channels": 1, "mean": [float("inf")], "std": [0.3]}),
        ("preprocess", {"kind": "drawing", "size": 28.5, "channels": 1, "mean": [0.1], "std": [0.3]}),
        ("preprocess", {"kind": "drawing", "size": 28, "channels": True, "mean": [0.1], "std": [0.3]}),
        ("preprocess", {"kind": [], "size": 28, "channels": 1, "mean": [0.1], "std": [0.3]}),
        ("preprocess", {"kind": "drawing", "size": 28, "channels": 1, "mean": [0.1], "std": [0.3], "digits": 2}),
        ("preprocess", {"kind": "drawing", "size": 28, "channels": 1, "mean": [0.1], "std": [0.3], "resize": "x"}),
        ("reject", "unheard of"),
        ("reject", 4),
        ("reject_above", "x"),
        ("reject_above", float("nan")),
        ("temperature", 0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", 10**400),
        ("task", "cooking"),
        ("task", ["classification"]),
        ("parameters", "x"),
        ("parameters", -1),
        ("parameters", 10**400),
        ("metrics", {"a": "b"}),
        ("metrics", {"a": float("nan")}),
        ("metrics", [1]),
        ("metrics", None),
        ("arguments", [1]),
        ("arguments", None),
        ("layers", 5),
        ("layers", [3]),
        ("layers", [{"name": "conv1", "title": "conv1", "shape": [1, 2], "weights": ""}]),
        ("layers", [{"name": "conv1", "shape": [1, 2, 3]}]),
        ("weights", 3),
        ("weights", "a\0b"),
        ("quantised", 5),
        ("published", {"a": "b"}),
        ("operations", -1),
        ("download", "https://example.org"),
        ("download", {"url": "file:///etc/passwd", "size": 3, "sha256": "0123abcd"}),
        ("download", {"url": "https://example.org/a", "size": 3, "sha256": "0123"}),
        ("notes", 3),
        ("licence", None),
        ("origin", "stolen"),
    ],
)
def test_damaged_card_is_an_error(field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    zoo.write_card(full_card(tmp_path), path)
    values = json.loads(path.read_text())
    values[field] = value
    path.write_text(json.dumps(values))
    with pytest.raises(EngineError, match="damaged") as failure:
        zoo.read_card(path)
    assert failure.value.hint


@pytest.mark.parametrize(
    "text", ["", "[" * 200_000, "3", "null", "[]", "{}", "\ud800".encode("utf-8", "surrogatepass")]
)
def test_what_is_no_card_at_all_is_an_error(text: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EngineError, match="damaged"):
        zoo.read_card(path)


def test_fields_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    zoo.write_card(full_card(tmp_path), path)
    values = json.loads(path.read_text())
    for part in (values, values["preprocess"], values["layers"][0]):
        part["smell"] = "new"
    path.write_text(json.dumps(values))
    assert zoo.read_card(path) == full_card(tmp_path)


@pytest.mark.parametrize("arguments", [{"dropout": "x"}, {"classes": 3}])
def test_arguments_that_make_no_network_are_an_error(arguments: dict[str, object], own_home: Path) -> None:
    with pytest.raises(EngineError) as failure:
        zoo.network(dataclasses.replace(write_network("mine"), arguments=arguments))
    assert failure.value.hint


def test_run_is_a_card_named_by_its_folder_and_hides_nothing(home: Path, tmp_path: Path) -> None:
    names = [card.name for card in zoo.model_cards()]
    assert {"tiny", "tiny-colour"} <= set(names)
    broken = store.runs_folder() / "broken"
    broken.mkdir()
    (broken / "model.json").write_text("{ half a card")
    try:
        assert [card.name for card in zoo.model_cards()] == names
        assert len(zoo.damaged()) == 1
        with pytest.raises(EngineError, match="damaged"):
            zoo.model_card("broken")
    finally:
        (broken / "model.json").unlink()
        broken.rmdir()


def test_newest_run_comes_first_and_a_changed_card_is_read_again(own_home: Path) -> None:
    for age, name in enumerate(("young", "old")):
        folder = store.runs_folder() / name
        zoo.write_card(full_card(folder), folder / "model.json")
        os.utime(folder / "model.json", (1_000_000 - age, 1_000_000 - age))
    trained = [card.name for card in zoo.model_cards() if card.origin == "trained"]
    assert trained == ["young", "old"]
    path = store.runs_folder() / "old" / "model.json"
    zoo.write_card(dataclasses.replace(full_card(path.parent), parameters=77), path)
    assert zoo.model_card("old").parameters == 77


def test_unknown_name_gets_similar_ones(home: Path) -> None:
    with pytest.raises(EngineError, match="no model called “tinny”") as failure:
        zoo.model_card("tinny")
    assert "tiny" in failure.value.hint


def test_run_named_like_a_bundled_model_neither_hides_nor_mimics_it(own_home: Path) -> None:
    before = [card.name for card in zoo.model_cards()]
    folder = store.runs_folder() / "digits"
    zoo.write_card(full_card(folder), folder / "model.json")
    assert [card.name for card in zoo.model_cards()] == before
    assert zoo.model_card("digits").origin == "bundled"
    (error,) = zoo.damaged()
    assert str(folder) in error.message
    folder.rename(folder.with_name("mine"))
    assert zoo.damaged() == []
    assert zoo.model_card("mine").origin == "trained"


def test_bundled_weights_are_the_ones_of_their_cards() -> None:
    for card in zoo.model_cards():
        assert card.sha256, card.name
        assert zoo.weights_digest(card) == card.sha256


def test_kernels_are_the_weights(home: Path) -> None:
    from torch import nn

    card = zoo.model_card("tiny")
    kinds: set[type[nn.Module]] = set()
    for name, module in zoo.network(card).named_modules():
        kernels = zoo.kernels(card, name)
        if isinstance(module, nn.Conv2d | nn.Linear):
            kinds.add(type(module))
            assert kernels is not None
            assert kernels.ndim == 4
            assert np.array_equal(kernels.reshape(module.weight.shape), module.weight.detach().numpy())
        else:
            assert kernels is None, name
    assert kinds == {nn.Conv2d, nn.Linear}
    assert zoo.kernels(card, "softmax") is None


def test_changed_weights_are_noticed(own_home: Path) -> None:
    card = write_network("mine")
    card = dataclasses.replace(card, sha256=zoo.weights_digest(card))
    assert card.weights is not None
    data = bytearray(card.weights.read_bytes())
    data[-1] ^= 1
    card.weights.write_bytes(data)
    with pytest.raises(EngineError, match="checksum"):
        zoo.open_network(card)


def test_converting_imports_nothing_from_the_working_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = dataclasses.replace(zoo.model_card("tiny"), arguments={"dropout": 0.125})  # not converted by another test
    folder = runtime.converted_folder(card, zoo.weights_digest(card))
    for name in ("random", "json", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is not the module that was meant')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert not folder.exists()
    zoo._convert_elsewhere(card, lambda: False)
    assert (folder / "about.json").exists()


@pytest.mark.parametrize("what", ["pickle", "half", "empty", "missing", "another network"])
def test_damaged_weights_are_an_error(what: str, own_home: Path, tmp_path: Path) -> None:
    card = write_network("mine")
    assert card.weights is not None
    match what:
        case "pickle":
            ran = tmp_path / "ran"
            card.weights.write_bytes(pickle.dumps(_Bomb(ran)))
        case "half":
            card.weights.write_bytes(card.weights.read_bytes()[:2000])
        case "empty":
            card.weights.write_bytes(b"")
        case "missing":
            card.weights.unlink()
        case "another network":
            card = dataclasses.replace(card, architecture="digits")
    with pytest.raises(EngineError) as failure:
        zoo.open_network(card)
    assert failure.value.hint
    assert not (tmp_path / "ran").exists()
    if what != "another network":
        with pytest.raises(EngineError):
            zoo.kernels(card, "conv1")


class _Bomb:
    """A pickle that leaves a file behind when somebody loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.mark,)  # type: ignore[return-value]
