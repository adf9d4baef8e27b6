"""Boxes are where the things are, whatever way the network names them; of what is said twice the surest stays."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from engine import images, runtime, zoo
from engine.errors import EngineError
from engine.types import BoxLayout, Detections, Floats, Frame, Image, ModelCard, Preprocess
from engine.vision import open_reader
from engine.vision.classify import Classifier
from engine.vision.detect import FLOOR, MOST, Decoder, Detector
from engine.vision.faces import FaceReader
from tests.engine.conftest import FIVE, SPOTS, spotted, write_detector


def frame(image: Image) -> Frame:
    return Frame(image, "a camera", 0, time.perf_counter())


def listed(detections: Detections) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (detections.labels[kind], tuple(round(float(value)) for value in box))
        for kind, box in zip(detections.class_id, detections.xyxy, strict=True)
    ]


@pytest.mark.parametrize("layout", ["distances", "corners", "centres"])
def test_boxes_are_where_the_things_are(own_home: Path, layout: BoxLayout) -> None:
    detector = Detector(write_detector(layout, layout=layout))
    image = spotted((2, 3, "red"), (5, 1, "green"))
    result = detector.predict(frame(image), generation=7)
    found = result.detections
    assert found is not None
    # A cell of the network is 80 pixels; the box reaches a cell from its middle to every side.
    assert set(listed(found)) == {("red", (120, 200, 280, 360)), ("green", (360, 40, 520, 200))}
    assert found.confidence == pytest.approx([1, 1], abs=0.01)
    assert found.labels == SPOTS
    assert found.track_id is None
    assert (result.model, result.generation, result.classification, result.regions) == (layout, 7, None, ())
    assert result.network_input is not None
    assert np.array_equal(result.network_input, images.letterbox(image, 64)[0])
    assert result.timings.network > 0


def test_boxes_are_cut_at_the_edge_of_the_frame_and_none_lies_beyond_it(own_home: Path) -> None:
    detector = Detector(write_detector("spots"))
    found = detector.detect(spotted((0, 0, "red"), (7, 5, "green")))
    assert set(listed(found)) == {("red", (0, 0, 120, 120)), ("green", (520, 360, 640, 480))}
    # What lies in the grey around the picture alone is not in the picture.
    placed = images.letterbox(np.zeros((640, 480, 3), np.uint8), 64)[1]
    output = np.zeros((1, 64, 7), np.float32)
    output[0, :, :4] = 0.5
    output[0, [8, 9, 14, 15], 4] = 1.0
    assert listed(detector._in_frame(output, placed, FLOOR)) == [
        ("red", (0, 80, 80, 160)),
        ("red", (400, 80, 480, 160)),
    ]


def test_the_surest_come_first_and_the_unsure_not_at_all(own_home: Path) -> None:
    detector = Detector(write_detector("spots"))
    image = spotted((1, 1, "red"), strength=100) | spotted((4, 1, "red"), strength=250)
    image |= spotted((6, 4, "blue"), strength=round(255 * FLOOR) - 1)
    found = detector.detect(image)
    assert [round(float(score), 1) for score in found.confidence] == [1.0, 0.4]
    lower = detector.detect(image, floor=0.01)
    assert listed(lower)[-1][0] == "blue"
    assert len(detector.detect(np.zeros((48, 64, 3), np.uint8), floor=0.6)) == 0


def test_a_layer_that_is_watched_comes_along(own_home: Path) -> None:
    detector = Detector(write_detector("spots"))
    assert [layer.name for layer in detector.card.layers] == ["pool", "colour"]
    image = spotted((2, 3, "green"))
    plain, watched = detector.predict(frame(image)), detector.predict(frame(image), layer="colour")
    assert plain.activations is None
    assert watched.activations is not None
    assert watched.activations.maps.shape == (3, 8, 8)
    assert watched.activations.maps[1].argmax() == (3 + 1) * 8 + 2
    assert listed(watched.detections or plain.detections) == listed(plain.detections)  # type: ignore[arg-type]
    assert detector.predict(frame(image), layer=runtime.SOFTMAX).activations is None


def test_torch_and_openvino_find_the_same(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = write_detector("spots")
    image = np.zeros((480, 640, 3), np.uint8)
    for cell in range(48):
        image |= spotted((cell % 8, cell // 8, SPOTS[cell % 3]), strength=20 + 4 * cell)
    fast = Detector(card)
    assert fast.network.device.kind == "openvino"
    monkeypatch.setattr(runtime, "_openvino_version", lambda: "")
    slow = Detector(card)
    assert slow.network.device.kind == "torch"
    one, other = fast.detect(image), slow.detect(image)
    assert len(one) == 48
    assert np.allclose(one.xyxy, other.xyxy, atol=1e-3)
    assert np.allclose(one.confidence, other.confidence, atol=1e-5)
    assert (one.class_id == other.class_id).all()


def test_half_the_bits_find_the_same(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenVINO does on processors with tiles for bfloat16."""
    card = write_detector("spots")
    image = spotted((2, 3, "red"), (5, 1, "green"), strength=200) | spotted((1, 1, "blue"), strength=120)
    exact = Detector(card).detect(image)
    monkeypatch.setattr(runtime, "bfloat16_is_fast", lambda: True)
    monkeypatch.setattr(runtime, "_SMALL", 0)
    detector = Detector(card)
    assert detector.network.device.title.endswith("bf16")
    rough = detector.detect(image)
    assert set(listed(rough)) == set(listed(exact))
    assert len(exact) == 3
    assert np.allclose(np.sort(rough.confidence), np.sort(exact.confidence), atol=0.02)


def test_the_card_knows_who_reads_it(home: Path) -> None:
    assert isinstance(open_reader(zoo.model_card("spots")), Detector)
    assert isinstance(open_reader(zoo.model_card("tiny-colour")), Classifier)
    assert isinstance(open_reader(zoo.model_card("tiny-faces")), FaceReader)


# --- candidates


def card(**changes: object) -> ModelCard:
    kind = Preprocess("letterbox", 64, 3, (0.0,) * 3, (1.0,) * 3)
    plain = ModelCard("mine", "Mine", "detection", "spots", ("cat", "dog"), kind, boxes="corners")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def candidates(*rows: tuple[float, float, float, float, float, float]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 6)


def test_of_what_is_said_twice_the_surest_stays_in_each_class() -> None:
    boxes, scores, classes = Decoder(card()).boxes(
        candidates(
            (10, 10, 30, 30, 0.6, 0.0),
            (11, 10, 31, 30, 0.9, 0.8),  # the same cat, surer; and a dog
            (20, 10, 40, 30, 0.5, 0.0),  # another cat beside it
        )
    )
    assert scores == pytest.approx([0.9, 0.8, 0.5])
    assert classes.tolist() == [0, 1, 0]
    assert boxes[:, 0].tolist() == [11, 11, 20]
    assert (boxes.dtype, scores.dtype, classes.dtype) == (np.float32, np.float32, np.int64)


def test_there_is_a_most_and_what_is_no_box_is_none() -> None:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 60, (4000, 2))
    many = np.concatenate([corner, corner + 2, random.uniform(0.1, 1, (4000, 2))], axis=1).astype(np.float32)
    _, scores, _ = Decoder(card()).boxes(many)
    assert len(scores) == MOST
    assert (np.diff(scores) <= 0).all()
    assert scores[0] == many[:, 4:].max()
    nan = float("nan")
    odd = candidates((5, 5, 5, 9, 0.9, 0), (nan, 1, 5, 9, 0.9, 0), (9, 9, 5, 5, 0.9, 0), (1, 1, 4, 4, nan, 0.7))
    boxes, scores, classes = Decoder(card()).boxes(odd)
    assert (boxes.tolist(), classes.tolist()) == ([[1, 1, 4, 4]], [1])
    assert [each.shape for each in Decoder(card()).boxes(candidates())] == [(0, 4), (0,), (0,)]


def test_distances_count_in_cells_of_each_grid() -> None:
    decoder = Decoder(card(boxes="distances", strides=(16, 32)))
    output = np.zeros((16 + 4, 6), np.float32)
    output[4 * 1 + 2] = (0.5, 1, 1.5, 0.25, 0.9, 0)  # row 1, column 2 of the first grid: centre (40, 24)
    output[16 + 1] = (0.5, 0.5, 0.5, 0.5, 0, 0.8)  # row 0, column 1 of the second: centre (48, 16)
    boxes, _, classes = decoder.boxes(output)
    assert boxes.tolist() == [[32, 8, 64, 28], [32, 0, 64, 32]]
    assert classes.tolist() == [0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"boxes": ""},
        {"boxes": "distances"},
        {"preprocess": Preprocess("picture", 64, 3, (0.0,) * 3, (1.0,) * 3)},
    ],
)
def test_a_card_that_does_not_say_how_boxes_are_named_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(EngineError, match="names boxes"):
        Decoder(card(**wrong))


def test_an_answer_that_is_not_the_cards_is_refused() -> None:
    with pytest.raises(EngineError, match="another form"):
        Decoder(card()).boxes(np.zeros((10, 7), np.float32))
    with pytest.raises(EngineError, match="another form"):
        Decoder(card(boxes="distances", strides=(16,))).boxes(np.zeros((15, 6), np.float32))


# --- landmarks


def test_landmarks_go_with_their_boxes() -> None:
    decoder = Decoder(card(landmarks=2))
    rows = np.zeros((4, 10), np.float32)
    rows[0] = (10, 10, 30, 30, 0.6, 0, 1, 1, 1, 1)
    rows[1] = (11, 10, 31, 30, 0.9, 0, 15, 16, -5, 70)  # the same cat, surer; one landmark is outside of the square
    rows[2] = (40, 10, 60, 30, 0.7, 0, 45, 16, 50, 17)
    rows[3] = (5, 40, 25, 60, 0.8, 0, float("nan"), 16, 50, 17)  # nothing that has no place
    found = decoder.detections(rows)
    assert found.landmarks is not None
    assert found.landmarks.dtype == np.float32
    assert found.landmarks.tolist() == [[[15, 16], [-5, 70]], [[45, 16], [50, 17]]]
    assert [each.shape for each in decoder.boxes(rows)] == [(2, 4), (2,), (2,)]
    empty = decoder.detections(rows, floor=0.95)
    assert empty.landmarks is not None and empty.landmarks.shape == (0, 2, 2)
    with pytest.raises(EngineError, match="another form"):
        decoder.detections(rows[:, :6])
    assert Decoder(card()).detections(rows[:, :6]).landmarks is None


def test_landmarks_count_in_cells_from_the_centre() -> None:
    decoder = Decoder(card(boxes="distances", strides=(16, 32), landmarks=1))
    output = np.zeros((16 + 4, 8), np.float32)
    output[4 * 1 + 2] = (0.5, 1, 1.5, 0.25, 0.9, 0, 0.25, -0.5)  # centre (40, 24)
    output[16 + 1] = (0.5, 0.5, 0.5, 0.5, 0, 0.8, -1, 2)  # centre (48, 16)
    found = decoder.detections(output)
    assert found.landmarks is not None
    assert found.landmarks.tolist() == [[[44, 16]], [[16, 80]]]


def test_landmarks_lie_in_the_frame(own_home: Path) -> None:
    """Each landmark of a spot lies where it was trained to lie, also where the picture was put into a square."""
    detector = Detector(write_detector("spots", landmarks=FIVE))
    found = detector.detect(spotted((2, 3, "red"), (5, 1, "green")))
    assert found.landmarks is not None
    middles = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
    assert {tuple(middle) for middle in middles.tolist()} == {(200, 280), (440, 120)}
    assert np.allclose(found.landmarks, middles[:, None] + 80 * np.array(FIVE, np.float32)[None], atol=0.01)


@pytest.mark.parametrize("name", ["detector", "face-detector"])
def test_in_bytes_a_bundled_detector_finds_what_it_finds_in_full(name: str, own_home: Path, shared_data: Path) -> None:
    if runtime.best_device().kind != "openvino" or not runtime._bytes_are_fast():
        pytest.skip("there is a GPU, or the processor has no instructions that multiply bytes")
    card = zoo.model_card(name)
    assert card.quantised is not None and card.quantised.is_file()
    in_bytes, in_full = Detector(card), Detector(dataclasses.replace(card, quantised=None))
    assert in_bytes.network.device.title.endswith("int8") and not in_full.network.device.title.endswith("int8")

    square = images.letterbox(images.read_picture(shared_data / "photos" / "cat.jpg"), card.preprocess.size)[0][None]
    for layer in (card.layers[1].name, card.layers[len(card.layers) // 2].name):
        one, other = (np.ravel(each.network.run(square, layer)[1]) for each in (in_bytes, in_full))
        assert np.corrcoef(one, other)[0, 1] > 0.98, layer

    def missed(found: Detections, other: Detections) -> int:
        """How many of the boxes that are shown have none of their class in their place among the others'."""
        shown = found[found.confidence >= card.min_score]
        likely = other[other.confidence >= card.min_score - 0.1]
        inner = np.minimum(shown.xyxy[:, None, 2:], likely.xyxy[:, 2:]) - np.maximum(
            shown.xyxy[:, None, :2], likely.xyxy[:, :2]
        )
        both = inner.clip(0).prod(axis=2)
        areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (shown.xyxy, likely.xyxy)]
        same = both / (areas[0][:, None] + areas[1] - both) > 0.6
        return int((~(same & (shown.class_id[:, None] == likely.class_id)).any(axis=1)).sum())

    counted = np.zeros(3)
    for path in sorted((shared_data / "photos").glob("*.jpg")):
        picture = images.read_picture(path)
        one, other = in_bytes.detect(picture), in_full.detect(picture)
        shown = (one.confidence >= card.min_score).sum() + (other.confidence >= card.min_score).sum()
        counted += (shown, missed(one, other), missed(other, one))
    assert counted[0] >= 10
    assert counted[1:].sum() <= 0.1 * counted[0], counted
