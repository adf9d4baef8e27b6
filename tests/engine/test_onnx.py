"""Detectors from ONNX files: recognised, asked about, and run in our form; what is none of them is explained."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import store, zoo
from engine.errors import EngineError
from engine.networks import onnx
from engine.types import Frame
from engine.vision import open_reader
from engine.vision.faces import FaceReader
from tests.engine import onnx_file
from tests.engine.conftest import face, with_faces

Floats = NDArray[np.float32]

# Three objects in a square of 64 pixels: corners, class, probability.
BOXES = np.array([[8, 16, 40, 48], [30, 20, 60, 30], [2, 3, 12, 60]], np.float32)
KINDS = np.array([1, 0, 2])
SCORES = np.array([0.9, 0.75, 0.5], np.float32)
NAMES = "{0: 'cat', 1: 'dog', 2: 'owl'}"
COUNT = 20  # candidates; the rest of them is sure of nothing


def candidates(*, boxes: str = "centres", scale: float = 1.0) -> tuple[Floats, Floats]:
    """(A, 4) boxes and (A, 3) probabilities."""
    places, scores = np.zeros((COUNT, 4), np.float32), np.full((COUNT, 3), 0.01, np.float32)
    places[:] = (1, 1, 2, 2)
    places[:3] = BOXES
    if boxes == "centres":
        places = np.concatenate([(places[:, :2] + places[:, 2:]) / 2, places[:, 2:] - places[:, :2]], axis=1)
    elif boxes == "corners-yx":
        places = places[:, [1, 0, 3, 2]]
    scores[np.arange(3), KINDS] = SCORES
    return places * np.float32(scale), scores


def v8() -> Floats:
    return np.concatenate(candidates(), axis=1).T[None]


def v5() -> Floats:
    places, scores = candidates()
    sure = np.full((COUNT, 1), 0.95, np.float32)
    return np.concatenate([places, sure, scores / sure], axis=1)[None]


def finished() -> Floats:
    rows = np.zeros((1, COUNT, 6), np.float32)
    rows[0, :3] = np.column_stack([BOXES, SCORES, KINDS])
    return rows


def write(folder: Path, data: bytes, name: str = "my net.onnx") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def asked(found: onnx.OnnxFound) -> list[str]:
    return [question.name for question in found.questions()]


def boxes_of(card: Any, layer: str | None = None) -> Any:
    """What is found in a wide white picture whose height is a half of its width."""
    reader = open_reader(card)
    frame = Frame(np.full((100, 200, 3), 255, np.uint8), "test", 0, time.perf_counter())
    return reader.predict(frame, layer=layer)


def check(card: Any) -> None:
    """The three objects are found where they are, in pixels of the frame; not the part in the grey above and below."""
    found = boxes_of(card).detections
    scale = 200 / 64
    expected = BOXES * scale - np.array([0, 50, 0, 50], np.float32)
    expected[:, [1, 3]] = expected[:, [1, 3]].clip(0, 100)
    kept = found.confidence > 0.3
    assert np.allclose(found.confidence[kept], SCORES, atol=1e-5)
    assert found.class_id[kept].tolist() == KINDS.tolist()
    assert np.allclose(found.xyxy[kept], expected, atol=0.01)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], dict[str, Any]]] = {
    # what the file is; what is recognised; what is asked; the answers that differ from what is taken as likely
    "v8 with names": (
        {"tables": {"output0": v8()}, "said": {"names": NAMES, "task": "detect"}},
        {"form": "joint", "transposed": True, "objectness": False, "scale": "pixels", "count": 3},
        [],
        {},
    ),
    "v8 without names": (
        {"tables": {"output0": v8()}},
        {"form": "joint", "transposed": True, "objectness": False, "count": 3},
        ["classes", "objectness"],
        {"classes": ["cat", "dog", "owl"]},
    ),
    "v5 with names": (
        {"tables": {"output0": v5()}, "said": {"names": "['cat', 'dog', 'owl']"}},
        {"form": "joint", "transposed": False, "objectness": True, "count": 3},
        [],
        {},
    ),
    "v5 without names": (
        {"tables": {"output": v5()}},
        {"form": "joint", "transposed": False, "objectness": True, "count": 3},
        ["classes", "objectness"],
        {},
    ),
    "end to end": (
        {"tables": {"output0": finished()}, "said": {"names": NAMES, "end2end": "True"}},
        {"form": "final", "boxes": "corners", "scale": "pixels", "count": 3},
        [],
        {},
    ),
    "end to end without names": (
        {"tables": {"output0": finished()}},
        {"form": "final", "boxes": "corners", "count": 0},
        ["classes", "count"],
        {"count": 3},
    ),
    "a v8 that also gives masks": (
        {
            "tables": {
                "output0": np.concatenate([v8(), np.ones((1, 5, COUNT), np.float32)], axis=1),
                "output1": np.ones((1, 5, 16, 16), np.float32),
            },
            "said": {"names": NAMES, "task": "segment"},
        },
        {"form": "joint", "transposed": True, "count": 3},
        [],
        {},
    ),
    "any size and number": (
        {"tables": {"output0": v8()}, "said": {"names": NAMES, "imgsz": "[64, 64]"}, "size": "side", "batch": "n"},
        {"square": 64},
        [],
        {},
    ),
    "any size, not said which": (
        {"tables": {"output0": v8()}, "said": {"names": NAMES}, "size": "side"},
        {"square": 640},
        ["square"],
        {"square": 64},
    ),
    "boxes in shares": (
        {
            "tables": {"output0": v8() / np.array([64] * 4 + [1] * 3, np.float32)[None, :, None]},
            "said": {"names": NAMES},
        },
        {"scale": "shares"},
        [],
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_yolo_is_recognised_and_finds_what_it_should(case: str, tmp_path: Path, own_home: Path) -> None:
    file, known, questions, answers = CASES[case]
    path = write(tmp_path, onnx_file.detector(**file))
    found = zoo.read_onnx(path)
    assert {name: found.facts[name] for name in known} == known
    assert asked(found) == questions
    assert found.made_by == "a test"
    card = zoo.import_onnx(path, found, answers)
    path.unlink()  # it was copied
    assert (card.name, card.title, card.origin, card.task) == ("my-net", "my net", "imported", "detection")
    assert card.preprocess.size == 64 and card.preprocess.kind == "letterbox" and card.preprocess.mean == (0, 0, 0)
    if "classes" in answers or "names" in file.get("said", {}):
        assert card.classes == ("cat", "dog", "owl")
    else:
        assert card.classes == ("class 1", "class 2", "class 3")
    check(card)


def ssd(boxes: str, scale: float, background: bool, *, logits: bool = False) -> dict[str, Floats]:
    places, scores = candidates(boxes=boxes, scale=scale)
    if background:
        scores = np.concatenate([1 - scores.sum(1, keepdims=True), scores], axis=1)
    if logits:
        scores = np.log(scores.clip(1e-6))
    return {"boxes": places[None], "scores": scores[None]}


@pytest.mark.parametrize(
    ("tables", "answers"),
    [
        (ssd("corners", 1 / 64, True), {}),
        (ssd("corners", 1.0, False), {}),
        (ssd("centres", 1.0, True), {}),
        (ssd("corners-yx", 1 / 64, True), {"boxes": "corners-yx"}),
        (ssd("corners", 1 / 64, True, logits=True), {}),
    ],
)
def test_ssd_is_recognised_and_the_rest_is_asked(tables: Any, answers: Any, tmp_path: Path, own_home: Path) -> None:
    path = write(tmp_path, onnx_file.detector(tables))
    found = zoo.read_onnx(path)
    assert found.facts["form"] == "apart" and found.facts["count"] == 3
    assert {"classes", "input", "background", "boxes"} <= set(asked(found))
    question = next(question for question in found.questions() if question.name == "input")
    assert question.value in dict(question.choices)
    card = zoo.import_onnx(path, found, {"classes": ["a", "b", "c"], "input": "signed", **answers})
    assert card.preprocess.mean == card.preprocess.std == (0.5, 0.5, 0.5)
    check(card)


@pytest.mark.parametrize("tensorflow", [True, False])
def test_finished_boxes_in_three_tables(tensorflow: bool, tmp_path: Path, own_home: Path) -> None:
    boxes = np.zeros((1, COUNT, 4), np.float32)
    boxes[0, :3] = BOXES[:, [1, 0, 3, 2]] / 64 if tensorflow else BOXES
    scores, kinds = np.zeros((1, COUNT), np.float32), np.zeros((1, COUNT), np.float32 if tensorflow else np.int64)
    scores[0, :3], kinds[0, :3] = SCORES, KINDS + tensorflow
    tables = {"detection_classes": kinds, "detection_boxes": boxes, "num_detections": np.ones(1, np.float32)}
    tables["detection_scores"] = scores
    if not tensorflow:
        tables = {"boxes": boxes, "labels": kinds, "scores": scores}
    file = onnx_file.detector(tables, last=tensorflow, kind=np.uint8 if tensorflow else np.float32)
    path = write(tmp_path, file)
    found = zoo.read_onnx(path)
    assert found.facts["form"] == "apart-final"
    assert set(asked(found)) == {"classes", "count", "boxes"} | (set() if tensorflow else {"input", "background"})
    answers = {"count": 3} if tensorflow else {"count": 3, "input": "unit"}
    card = zoo.import_onnx(path, found, answers)
    if tensorflow:
        assert np.allclose(card.preprocess.std, 1 / 255)
    check(card)


def test_layers_of_an_imported_network_can_be_looked_into(tmp_path: Path, own_home: Path) -> None:
    said = {"names": NAMES, "author": "A. Owl", "license": "CC0"}
    path = write(tmp_path, onnx_file.detector({"output0": v8()}, said=said))
    card = zoo.import_onnx(path, zoo.read_onnx(path), title="Owls & more")
    assert card.name == "owls-more" and card.licence == "CC0" and "A. Owl" in card.notes
    network = zoo.open_network(card)
    assert [layer.title for layer in network.layers] == ["model.conv.Conv"]
    result = boxes_of(card, network.layers[0].name)
    assert result.activations.maps.shape == (4, 64, 64)
    grey = result.activations.maps[:, 0, 0]
    assert np.allclose(grey, 114 / 255, atol=1e-5), "the picture is between grey bars, in values from 0 to 1"
    assert np.allclose(result.activations.maps[:, 32, 32], 1.0, atol=1e-5)
    assert zoo.kernels(card, network.layers[0].name) is None
    assert "not from ONNX" not in network.device.why and network.device.kind == "openvino"


def test_names_are_free_and_the_model_can_be_removed(tmp_path: Path, own_home: Path) -> None:
    path = write(tmp_path, onnx_file.detector({"output0": v8()}, said={"names": NAMES}), "resnet50.onnx")
    found = zoo.read_onnx(path)
    cards = [zoo.import_onnx(path, found) for _ in range(2)]
    assert [card.name for card in cards] == ["resnet50-2", "resnet50-3"]
    assert {"resnet50-2", "resnet50-3"} <= {card.name for card in zoo.model_cards()}
    zoo.remove_model(cards[0])
    assert not (store.data_folder() / "models" / "resnet50-2").exists()
    with pytest.raises(EngineError, match="neither downloaded nor imported"):
        zoo.remove_model(zoo.model_card("digits"))


@pytest.mark.parametrize("said", [{"stride": "32"}, {}])
def test_a_network_that_finds_nothing_in_noise_is_taken_to_answer_in_pixels(
    said: dict[str, str], tmp_path: Path
) -> None:
    nothing = np.zeros((1, COUNT, 6), np.float32)
    path = write(tmp_path, onnx_file.detector({"output0": nothing}, said={"names": NAMES, "nms": "True", **said}))
    found = onnx.inspect(path)
    assert found.facts["form"] == "final" and found.facts["scale"] == "pixels"
    assert asked(found) == ([] if said else ["scale"])


def test_words_that_nobody_can_show_are_left_out(tmp_path: Path, own_home: Path) -> None:
    said = {"names": r"{0: 'a\x00b\n', 1: '\ud800', 2: 'c'}", "author": "a\0b", "license": "\x1b[31mfree"}
    path = write(tmp_path, onnx_file.detector({"output0": v8()}, said=said))
    card = zoo.import_onnx(path, zoo.read_onnx(path))
    assert card.classes == ("a b", "class 2", "c")
    assert card.licence == "[31mfree" and "a b" in card.notes


def test_a_column_more_or_less_is_a_class_more_or_less(tmp_path: Path, own_home: Path) -> None:
    path = write(tmp_path, onnx_file.detector({"output": v5()}))
    found = zoo.read_onnx(path)
    assert found.count_with({}) == 3 and found.count_with({"objectness": False}) == 4
    assert len(zoo.import_onnx(path, found, {"objectness": False}).classes) == 4


def test_answers_that_do_not_fit_leave_nothing(tmp_path: Path, own_home: Path) -> None:
    path = write(tmp_path, onnx_file.detector({"output0": v8()}))
    found = zoo.read_onnx(path)
    with pytest.raises(EngineError, match="does not fit its 7 classes") as failure:
        zoo.import_onnx(path, found, {"classes": [f"class {n}" for n in range(7)]})
    assert failure.value.hint
    with pytest.raises(EngineError, match="at least one class"):
        zoo.import_onnx(path, zoo.read_onnx(write(tmp_path, onnx_file.detector({"output0": finished()}))))
    assert not list((store.data_folder() / "models").glob("*"))


GOOD = onnx_file.detector({"output0": v8()}, said={"names": NAMES})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "no ONNX file"),
        (b"PK\x03\x04" + bytes(range(256)) * 4, "no ONNX file"),
        (GOOD[:500], "no ONNX file"),
        (GOOD[:-40] + bytes(40), "no ONNX file"),
        (GOOD.replace(b"ReduceMean", b"NoSuchStep"), "operations that OpenVINO does not know"),
        (GOOD.replace(b"floats", b"floatz", 1), "no ONNX file, or a damaged one"),
        (onnx_file.detector({"logits": np.zeros((1, 1000), np.float32)}), "is a classifier"),
        (onnx_file.detector({"map": np.zeros((1, 3, 8, 8), np.float32)}), "does not answer like a detector"),
        (onnx_file.detector({"table": np.zeros((1, 3, 8), np.float32)}), "does not answer like a detector"),
        (
            onnx_file.detector(
                {
                    f"{what}_{side}": np.zeros((1, side, columns), np.float32)
                    for what, columns in (("box", 4), ("class", 2))
                    for side in (64, 16)
                }
            ),
            "does not answer like a detector",
        ),
        (
            onnx_file.detector({"output0": v8()}, said={"names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e'}"}),
            "does not fit the 5 classes",
        ),
        (
            onnx_file.model(
                [onnx_file.node("Identity", ["words"], ["same"])],
                [onnx_file.port("words", [1, 12])],
                [onnx_file.port("same", [1, 12])],
            ),
            "does not take pictures",
        ),
        (
            onnx_file.model(
                [onnx_file.node("Identity", ["images"], ["same"])],
                [onnx_file.port("images", [1, 3, 320, 640])],
                [onnx_file.port("same", [1, 3, 320, 640])],
            ),
            "640 × 320 pixels; only squares",
        ),
        (
            onnx_file.model(
                [onnx_file.node("Identity", ["images"], ["same"])],
                [onnx_file.port("images", [1, 1, 64, 64])],
                [onnx_file.port("same", [1, 1, 64, 64])],
            ),
            "does not take colour pictures",
        ),
        (
            onnx_file.model(
                [onnx_file.node("Add", ["images", "offset"], ["sum"])],
                [onnx_file.port("images", [1, 3, 64, 64])],
                [onnx_file.port("sum", [1, 3, 64, 64])],
                [onnx_file.tensor("offset", np.zeros(1, np.float32), elsewhere="../../etc/passwd")],
            ),
            "weights in other files",
        ),
    ],
)
def test_what_cannot_be_used_is_explained(data: bytes, words: str, tmp_path: Path, own_home: Path) -> None:
    path = write(tmp_path, data)
    with pytest.raises(EngineError, match=words) as failure:
        onnx.inspect(path)
    assert failure.value.hint


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        zoo.read_onnx(tmp_path / "none.onnx")


def test_numbers_are_read_as_protocol_buffers_write_them() -> None:
    data = onnx_file.field(3, 2**40) + onnx_file.field(500, b"abc") + bytes([1 << 3 | 5, 1, 2, 3, 4])
    values = [
        (number, value if isinstance(value, int) else bytes(value)) for number, value in onnx._fields(memoryview(data))
    ]
    assert values == [(3, 2**40), (500, b"abc"), (1, b"\x01\x02\x03\x04")]
    for broken in (b"\xff" * 12, onnx_file.field(2, b"abc")[:-1], b"\x0b", b"\x00\x01"):
        with pytest.raises((ValueError, IndexError)):
            list(onnx._fields(memoryview(broken)))


# --- networks for faces


def embedder(*, flexible: bool = True, softmax: bool = False, scaled: bool = False, size: int = 112) -> bytes:
    """The means of 7 x 7 fields of a face in three colours, as one row of 147 numbers.

    A flexible one takes any number of faces; the other has it written into it that there is one.
    """
    source, constants = "data", []
    nodes = []
    if scaled:
        nodes.append(onnx_file.node("Sub", ["data", "mean"], ["moved"]))
        constants.append(onnx_file.tensor("mean", np.full((1, 1, 1, 1), 127.5, np.float32)))
        source = "moved"
    nodes.append(
        onnx_file.node("Conv", [source, "weights"], ["conv"], kernel_shape=[1, 1]),
    )
    constants.append(onnx_file.tensor("weights", np.eye(3, dtype=np.float32)[:, :, None, None]))
    side = size // 7
    nodes.append(onnx_file.node("AveragePool", ["conv"], ["fields"], kernel_shape=[side, side], strides=[side, side]))
    if flexible:
        nodes.append(onnx_file.node("Flatten", ["fields"], ["row"], axis=1))
    else:
        nodes.append(onnx_file.node("Reshape", ["fields", "shape"], ["row"]))
        constants.append(onnx_file.tensor("shape", np.array([1, 147], np.int64)))
    if softmax:
        nodes.append(onnx_file.node("Softmax", ["row"], ["chances"], axis=1))
    output = onnx_file.port("chances" if softmax else "row", [1, 147])
    return onnx_file.model(nodes, [onnx_file.port("data", [1, 3, size, size])], [output], constants)


@pytest.mark.parametrize("flexible", [True, False], ids=["any number", "one face"])
def test_a_network_for_faces_becomes_one_that_reads_faces(
    flexible: bool, home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = write(tmp_path, embedder(flexible=flexible), "arc face.onnx")
    found = zoo.read_onnx(path)
    assert (found.facts["form"], found.facts["numbers"], found.facts["square"]) == ("embedding", 147, 112)
    assert asked(found) == ["input"] and found.facts["input"] == "signed"
    card = zoo.import_onnx(path, found)
    request.addfinalizer(lambda: zoo.remove_model(card))
    assert (card.task, card.finder, card.classes, card.origin) == ("faces", "face-detector", ("face",), "imported")
    assert (card.preprocess.kind, card.preprocess.mean, card.preprocess.std) == ("face", (0.5,) * 3, (0.5,) * 3)
    assert "was not measured" in card.notes
    reader = open_reader(dataclasses.replace(card, finder="tiny-finder"))
    assert isinstance(reader, FaceReader) and reader.dimension == 147
    image = with_faces((1, 1, face(0)), (4, 1, face(1)), (2, 4, face(2)))
    result = reader.predict(Frame(image, "test", 0, time.perf_counter()), layer="layer 1")
    assert result.faces is not None and len(result.faces) == 3
    for each in result.faces:
        assert each.network_input is not None and each.embedding is not None
        seen = each.network_input.astype(np.float32) / 127.5 - 1
        fields = (seen + seen[:, ::-1]).reshape(7, 16, 7, 16, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()
        assert each.embedding @ (fields / np.linalg.norm(fields)) == pytest.approx(1, abs=1e-4)
    assert [layer.shape for layer in reader.card.layers] == [(3, 112, 112), (3, 7, 7)]
    assert result.activations is not None and result.activations.maps.shape == (3, 7, 7)


def test_a_network_that_scales_its_input_itself_wants_levels_as_they_are(tmp_path: Path) -> None:
    found = onnx.inspect(write(tmp_path, embedder(scaled=True)))
    assert (found.facts["form"], found.facts["input"]) == ("embedding", "bytes")
    assert asked(found) == ["input"]


def test_a_classifier_is_no_network_for_faces(tmp_path: Path) -> None:
    for data in (embedder(softmax=True), embedder(size=336)):
        with pytest.raises(EngineError, match="is a classifier"):
            onnx.inspect(write(tmp_path, data))
