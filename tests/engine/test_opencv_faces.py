"""OpenCV's networks for faces: files of their very form, but with weights that can be worked out by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import images, store, zoo
from engine.errors import EngineError
from engine.types import Download, Floats, Frame, ModelCard
from engine.vision import open_reader
from engine.vision.detect import Detector
from engine.vision.faces import FaceReader
from tests.engine import onnx_file
from tests.engine.conftest import face, with_faces
from tests.engine.onnx_file import node, port, tensor


def yunet_file(faces: list[tuple[int, int, float]]) -> bytes:
    """A file that answers as YuNet's does, in a square of 64 pixels: a face at each (row, column) of its finest grid.

    Each is two cells wide and three high around the cell's corner, its landmarks lie 0 to 4 cells to the right.
    """
    tables: dict[str, Floats] = {}
    for stride in (8, 16, 32):
        cells = (64 // stride) ** 2
        tables[f"cls_{stride}"] = np.zeros((1, cells, 1), np.float32)
        tables[f"obj_{stride}"] = np.zeros((1, cells, 1), np.float32)
        tables[f"bbox_{stride}"] = np.zeros((1, cells, 4), np.float32)
        tables[f"kps_{stride}"] = np.zeros((1, cells, 10), np.float32)
    for row, column, score in faces:
        cell = 8 * row + column
        tables["cls_8"][0, cell], tables["obj_8"][0, cell] = score, score
        tables["bbox_8"][0, cell] = (0, 0, np.log(2), np.log(3))
        tables["kps_8"][0, cell, 0::2] = np.arange(5)
    return onnx_file.detector(tables)


def sface_file() -> bytes:
    """A file that answers as SFace's does: the means of 8 x 8 fields of a face of 112 pixels, in red, green, blue."""
    nodes = [
        node("AveragePool", ["data"], ["fields"], kernel_shape=[14, 14], strides=[14, 14]),
        node("Reshape", ["fields", "shape"], ["fc1"]),
    ]
    shape = tensor("shape", np.array([1, 192], np.int64))
    return onnx_file.model(nodes, [port("data", [1, 3, 112, 112])], [port("fc1", [1, 192])], [shape])


def known(name: str, path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> ModelCard:
    """The card of the catalogue, as if its official file were the one at `path`."""
    cards = {card.name: card for card in zoo.catalogue()}
    record = Download(f"https://example.org/{path.name}", path.stat().st_size, digest(path))
    cards[name] = dataclasses.replace(cards[name], download=record, **changes)
    monkeypatch.setattr(zoo, "_catalogue", lambda: tuple(cards.values()))
    return cards[name]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def yunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    card = next(card for card in zoo.catalogue() if card.name == "yunet")
    path = write(tmp_path / "yunet.onnx", yunet_file([(2, 3, 0.9), (5, 5, 0.8)]))
    card = known("yunet", path, monkeypatch, preprocess=dataclasses.replace(card.preprocess, size=64))
    return zoo.import_weights(path, card)


def test_yunet_finds_faces_with_their_landmarks(yunet: ModelCard) -> None:
    assert (yunet.origin, yunet.sha256) == ("downloaded", zoo.weights_digest(yunet))
    reader = open_reader(yunet)
    assert isinstance(reader, Detector)
    assert reader.network.device.title == "CPU · OpenCV" and reader.card.layers == ()
    # A picture of 128 x 96 lies in the square of 64 pixels at a half of its size, 8 pixels below the upper edge.
    frame = Frame(np.zeros((96, 128, 3), np.uint8), "a test", 0, time.perf_counter())
    found = reader.predict(frame, layer="conv").detections
    assert found is not None and found.labels == ("face",) and found.landmarks is not None
    assert found.confidence == pytest.approx([0.9, 0.8], abs=1e-5)
    assert found.xyxy.tolist() == [[32, 0, 64, 40], [64, 40, 96, 88]]
    assert np.allclose(found.landmarks[0], [[48 + 16 * step, 16] for step in range(5)])
    assert found.landmarks.shape == (2, 5, 2)


def test_sface_tells_faces_apart(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "sface.onnx", sface_file())
    kept = zoo.import_weights(path, known("sface", path, monkeypatch))
    try:
        assert kept.weights is not None and kept.weights.read_bytes() == path.read_bytes()
        assert zoo.kernels(kept, "fc1") is None
        reader = open_reader(dataclasses.replace(kept, finder="tiny-finder"))
        assert isinstance(reader, FaceReader)
        assert reader.dimension == 192
        result = reader.predict(Frame(with_faces((1, 1, face(0)), (4, 3, face(3))), "a test", 0, time.perf_counter()))
        assert result.faces is not None and len(result.faces) == 2
        for each in result.faces:
            assert each.network_input is not None and each.embedding is not None
            seen = each.network_input.astype(np.float32)
            both = (seen + seen[:, ::-1]).reshape(8, 14, 8, 14, 3).mean(axis=(1, 3))
            expected = both.transpose(2, 0, 1).ravel()  # red first: the order that the network has learnt
            assert each.embedding @ (expected / np.linalg.norm(expected)) == pytest.approx(1, abs=1e-4)
    finally:
        zoo.remove_model(kept)


def test_a_file_that_opencv_cannot_run_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in (("yunet", b"no ONNX at all"), ("sface", sface_file()[:200]), ("yunet", sface_file())):
        path = write(tmp_path / f"{name}.onnx", data)
        with pytest.raises(EngineError, match=r"cannot run the file of"):
            zoo.import_weights(path, known(name, path, monkeypatch))
        assert not (store.data_folder() / "models" / name).exists()


def test_what_the_catalogue_says_of_them() -> None:
    cards = {card.name: card for card in zoo.catalogue() if "face" in card.classes}
    assert set(cards) == {"yunet", "sface"}
    for card in cards.values():
        assert card.download is not None and len(card.download.sha256) == 64
        assert card.download.url.startswith("https://media.githubusercontent.com/media/opencv/opencv_zoo/")
        assert card.licence and card.notes and card.published and not card.metrics
        with pytest.raises(EngineError, match="not on this computer yet"):
            zoo.model_card(card.name)
    assert (cards["yunet"].task, cards["yunet"].landmarks) == ("detection", 5)
    assert (cards["sface"].task, cards["sface"].finder) == ("faces", "face-detector")
    slope, offset = cards["sface"].calibration
    assert -offset / slope == pytest.approx(0.363)


def test_the_official_yunet_on_real_faces(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_data / "faces"
    path = folder / "reference_models" / "yunet" / "face_detection_yunet_2026may.onnx"
    if not path.is_file():
        pytest.skip("YuNet is not among the real data")
    card = next(card for card in zoo.catalogue() if card.name == "yunet")
    assert card.download is not None
    assert (card.download.sha256, card.download.size) == (digest(path), path.stat().st_size)
    detector = Detector(zoo.import_weights(path, card))
    found = detector.detect(images.read_picture(sorted((folder / "scenes").glob("*.webp"))[0]), floor=0.7)
    assert len(found) and found.landmarks is not None
    inside = (found.landmarks > found.xyxy[:, None, :2]) & (found.landmarks < found.xyxy[:, None, 2:])
    assert inside.mean() > 0.9
    left, right = found.landmarks[:, 0, 0], found.landmarks[:, 1, 0]
    assert (left < right).mean() > 0.9  # the eye at the picture's left comes first
