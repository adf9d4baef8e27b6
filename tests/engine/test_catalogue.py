"""The well-known networks: what is said of them, and their official files on the way into the zoo."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import runpy
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import downloads, networks, store, zoo
from engine.errors import Cancelled, EngineError, WriteError
from engine.types import Download, Frame, ModelCard
from engine.vision import open_reader
from tests.engine.server import FileServer, serving
from tests.engine.test_torchvision_networks import enliven

ROOT = Path(__file__).resolve().parents[2]
TEN = {
    "vgg16",
    "resnet50",
    "inception_v3",
    "efficientnet_b0",
    "mobilenet_v3_large",
    "ssdlite320_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
}


def official_file(card: ModelCard, path: Path, *, seed: int = 3) -> Path:
    """A file of the very form of an official one: the state of torchvision's own network, here with random weights."""
    import torchvision

    torch.manual_seed(seed)
    make = torchvision.models.get_model_builder(card.architecture)
    own = make(weights=None, **({"weights_backbone": None} if card.task == "detection" else {}))
    torch.save(own.state_dict(), path)
    return path


def for_file(card: ModelCard, path: Path, address: str = "https://example.org") -> ModelCard:
    """`card` as if its official file were the one at `path`."""
    record = Download(f"{address}/{path.name}", path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    return dataclasses.replace(card, download=record)


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts cards into the place of the catalogue's."""
    return lambda *cards: monkeypatch.setattr(zoo, "_catalogue", lambda: cards)


@pytest.fixture
def mobile(tmp_path: Path, catalogue: Any) -> tuple[ModelCard, Path]:
    """MobileNetV3's card and its official file, as far as the program can tell."""
    card = next(card for card in zoo.catalogue() if card.name == "mobilenet_v3_large")
    path = official_file(card, tmp_path / "mobilenet_v3_large-5c1a4163.pth")
    card = for_file(card, path)
    catalogue(card)
    return card, path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "_PAUSE", 0.0)
    with serving() as server:
        yield server


def test_the_catalogue_is_what_the_installed_torchvision_says() -> None:
    made = runpy.run_path(str(ROOT / "packaging" / "catalogue.py"))["catalogue"]()
    assert json.loads(json.dumps(made)) == json.loads((ROOT / "resources" / "catalogue.json").read_text("utf-8"))


def test_every_card_says_all_that_one_wants_to_know() -> None:
    cards = [card for card in zoo.catalogue() if card.classes != ("face",)]  # tests/engine/test_opencv_faces.py
    assert {card.name for card in cards} == TEN
    for card in cards:
        assert card.download is not None
        assert card.download.sha256 in card.download.file_name
        assert card.licence and card.notes and card.operations > 0 and card.parameters > 1e6
        assert all(0.1 < share < 1 for share in card.published.values()) and card.published
        assert len(card.classes) == (1000 if card.task == "classification" else 80) == len(set(card.classes))
        assert not card.metrics, "nothing of it was measured here"
        assert not zoo.available(card)
        assert card.boxes == ("corners" if card.task == "detection" else "")
        assert str(card.preprocess.size) in card.notes or card.task == "classification"


def test_listing_the_zoo_loads_nothing_heavy() -> None:
    code = (
        "import sys; from engine import zoo; zoo.catalogue(); zoo.model_cards(); "
        "print(sorted({'torch', 'torchvision', 'openvino', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_not_here_yet_is_not_offered_as_runnable_but_explained() -> None:
    assert not TEN & {card.name for card in zoo.model_cards()}
    with pytest.raises(EngineError, match=r"“ResNet-50” is not on this computer yet: 103 MB") as failure:
        zoo.model_card("resnet50")
    assert "Models page" in failure.value.hint
    assert zoo.taken_names() >= TEN


@pytest.mark.parametrize("name", ["efficientnet_b0", "ssdlite320_mobilenet_v3_large", "fcos_resnet50_fpn"])
def test_an_official_file_becomes_a_model_that_says_what_torchvision_says(
    name: str, tmp_path: Path, catalogue: Any
) -> None:
    import torchvision

    card = next(card for card in zoo.catalogue() if card.name == name)
    path = official_file(card, tmp_path / "any name.pth")
    card = for_file(card, path)
    catalogue(card)
    kept = zoo.import_weights(path, card)
    assert kept.origin == "downloaded" and zoo.available(kept)
    assert zoo.model_card(name) == kept
    assert kept.sha256 == zoo.weights_digest(kept)
    assert (kept.classes, kept.preprocess, kept.published) == (card.classes, card.preprocess, card.published)
    mine = zoo.network(kept).state_dict()
    state = torch.load(path, weights_only=True)
    assert set(mine) <= set(state)
    assert all(torch.equal(values, state[key]) for key, values in mine.items())
    if card.task == "classification":
        own = torchvision.models.get_model_builder(name)(weights=None)
        own.load_state_dict(state)
        inputs = torch.rand(1, 3, 224, 224)
        with torch.inference_mode():
            assert torch.allclose(zoo.network(kept)(inputs), own.eval()(inputs))


def test_inception_sees_what_torchvision_would_show_it(tmp_path: Path) -> None:
    """torchvision normalises twice with the official weights; the card says the same in one step."""
    import torchvision

    card = next(card for card in zoo.catalogue() if card.name == "inception_v3")
    torch.manual_seed(0)
    own = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    net = networks.build("inception_v3", classes=1000, channels=3, image_size=299)
    net.load_state_dict(own.state_dict())
    picture = torch.rand(1, 3, 299, 299)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    mine_mean, mine_std = torch.tensor([card.preprocess.mean, card.preprocess.std])[:, :, None, None]
    with torch.inference_mode():
        expected = own((picture - mean) / std)
        assert torch.allclose(net.eval()((picture - mine_mean) / mine_std), expected, atol=1e-4)


def test_a_detector_from_an_official_file_finds_what_torchvision_finds(
    tmp_path: Path, catalogue: Any, full_precision: None
) -> None:
    import torchvision

    card = next(card for card in zoo.catalogue() if card.name == "ssdlite320_mobilenet_v3_large")
    own: Any = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    net = networks.build(card.architecture, classes=80, channels=3, image_size=320, **card.arguments)
    enliven(net, 320)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d) and module.out_channels % 91 == 0:
                module.weight *= 8  # sure enough of something
    own.load_state_dict(net.state_dict())
    path = tmp_path / "lively.pth"
    torch.save(own.state_dict(), path)
    card = for_file(card, path)
    catalogue(card)
    kept = zoo.import_weights(path, card)
    image = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    found = open_reader(kept).predict(Frame(image, "noise", 0, 0.0)).detections
    own.nms_thresh = 0.6  # as ours
    with torch.inference_mode():
        (expected,) = own([torch.from_numpy(image).permute(2, 0, 1) / 255])
    names = torchvision.models.get_model_weights(card.name).DEFAULT.meta["categories"]
    rows = [row for row, label in enumerate(expected["labels"]) if names[label] in kept.classes][:20]
    assert found is not None and len(found) >= 20 and len(rows) == 20
    for row in rows:
        label = kept.classes.index(names[expected["labels"][row]])
        same = (found.class_id == label) & (np.abs(found.confidence - float(expected["scores"][row])) < 2e-3)
        distance = np.abs(found.xyxy[same] - expected["boxes"][row].numpy()).max(axis=1)
        assert distance.size and distance.min() < 0.5, row


def test_whole_download_from_a_server(mobile: tuple[ModelCard, Path], server: FileServer) -> None:
    card, path = mobile
    card = for_file(card, path, server.address)
    server.files[path.name] = path.read_bytes()
    assert card.download is not None
    server.break_after = [card.download.size // 3]
    told: list[tuple[int, int]] = []
    kept = zoo.download_model(card, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (card.download.size, card.download.size)
    assert zoo.available(kept) and kept.origin == "downloaded"
    folder = store.data_folder() / "models" / card.name
    assert {file.name for file in folder.iterdir()} == {"model.json", "model.safetensors"}
    assert not [file for file in (store.cache_folder() / "downloads").iterdir() if file.suffix == ".pth"]
    assert zoo.own_folder(kept) == folder
    zoo.remove_model(kept)
    assert not folder.exists()
    with pytest.raises(EngineError, match="not on this computer yet"):
        zoo.model_card(card.name)


def test_a_model_that_is_here_survives_a_disk_without_room_and_leftovers_do_not(
    mobile: tuple[ModelCard, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    card, path = mobile
    folder = store.data_folder() / "models" / card.name
    folder.mkdir(parents=True)
    (folder / ".model.safetensors.99.tmp").write_bytes(b"of a process that was ended")
    keep = json.loads(json.dumps({"card": zoo._values(card, Path("/")), "file": str(path)}))
    replace = store.replace_file

    def full(path: Path, write: Any) -> None:
        if path.suffix == ".json":
            raise WriteError("The disk is full.", "")
        replace(path, write)

    with monkeypatch.context() as patched:
        patched.setattr(store, "replace_file", full)
        with pytest.raises(WriteError):
            zoo._keep_weights(**keep)
        assert not folder.exists()
    zoo._keep_weights(**keep)
    assert {file.name for file in folder.iterdir()} == {"model.json", "model.safetensors"}
    monkeypatch.setattr(store, "replace_file", full)
    with pytest.raises(WriteError):
        zoo._keep_weights(**keep)
    assert zoo.available(zoo.model_card(card.name))


def test_offline_names_the_file_the_size_and_the_way_without(
    mobile: tuple[ModelCard, Path], server: FileServer
) -> None:
    card = for_file(*mobile, server.address)
    server.shutdown()
    server.server_close()
    with pytest.raises(EngineError, match="no connection") as failure:
        zoo.download_model(card)
    for word in ("mobilenet_v3_large-5c1a4163.pth", "22 MB", "Import a file…", server.address):
        assert word in failure.value.hint


def test_cancelled_before_it_is_a_model(mobile: tuple[ModelCard, Path]) -> None:
    card, path = mobile
    with pytest.raises(Cancelled):
        zoo.import_weights(path, card, cancelled=lambda: True)
    with pytest.raises(EngineError):
        zoo.model_card(card.name)


def test_another_file_is_named_as_what_it_is(mobile: tuple[ModelCard, Path], tmp_path: Path, catalogue: Any) -> None:
    card, path = mobile
    other = tmp_path / "other.pth"
    other.write_bytes(b"something else")
    with pytest.raises(EngineError, match=r"other.pth is not the official file of “MobileNetV3”") as failure:
        zoo.import_weights(other, card)
    assert path.name in failure.value.hint
    second = for_file(dataclasses.replace(card, name="second", title="Second"), other)
    catalogue(card, second)
    with pytest.raises(EngineError, match="is the official file of “Second”, not of “MobileNetV3”"):
        zoo.import_weights(other, card)
    with pytest.raises(EngineError, match="cannot be read"):
        zoo.import_weights(tmp_path / "missing.pth", card)


class _Bomb:
    """A pickle that leaves a file behind when somebody loads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("what", ["bomb", "bomb of torch", "noise", "half", "numbers", "another network"])
def test_what_is_no_weights_is_not_run_and_not_kept(
    what: str, mobile: tuple[ModelCard, Path], tmp_path: Path, catalogue: Any
) -> None:
    card, path = mobile
    mark = tmp_path / "ran"
    match what:
        case "bomb":
            path.write_bytes(pickle.dumps(_Bomb(mark)))
        case "bomb of torch":
            torch.save(OrderedDict(weight=_Bomb(mark)), path)
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(10_000))
        case "half":
            path.write_bytes(path.read_bytes()[:100_000])
        case "numbers":
            torch.save({"a": 3}, path)
        case _:
            torch.save({"weight": torch.zeros(3)}, path)
    card = for_file(card, path)  # even where the checksum is the right one
    catalogue(card)
    with pytest.raises(EngineError) as failure:
        zoo.import_weights(path, card)
    assert path.name in failure.value.message and failure.value.hint
    assert not mark.exists()
    assert not (store.data_folder() / "models" / card.name).exists()


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="this system has no such limit")
def test_a_process_that_wants_nearly_all_memory_is_told_so() -> None:
    from engine import elsewhere

    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with pytest.raises(EngineError, match="not enough memory"):
        elsewhere.call("builtins:bytearray", what="Reading it", source=int(0.9 * most))


def test_a_process_that_dies_is_a_sentence() -> None:
    from engine import elsewhere

    with pytest.raises(EngineError, match="Reading it failed: the process that did it ended unexpectedly") as failure:
        elsewhere.call("os:_exit", what="Reading it", hint="Try again.", status=3)
    assert failure.value.hint == "Try again."
