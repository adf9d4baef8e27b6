"""From frames to results: what is seen, where, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from engine import zoo
from engine.errors import EngineError
from engine.opencv import cv2
from engine.sources import MovingDigits
from engine.types import NOT_A_DIGIT, Frame, Image, ModelCard
from engine.vision.classify import Classifier, find_writing


def frame(image: Image, *, drawing: bool = True) -> Frame:
    return Frame(image, "test", 0, 0.0, drawing=drawing)


def canvas(text: str = "", *, size: int = 400, width: int = 16) -> Image:
    """Digits drawn in black on a white square, side by side."""
    image = np.full((size, size, 3), 255, np.uint8)
    cv2.putText(
        image, text, (size // 8, size * 5 // 8), cv2.FONT_HERSHEY_SIMPLEX, size / 70, (0, 0, 0), width, cv2.LINE_AA
    )
    return image


@pytest.fixture
def tiny(home: Path) -> Classifier:
    return Classifier(zoo.model_card("tiny"))


@pytest.fixture
def colour(home: Path) -> Classifier:
    return Classifier(zoo.model_card("tiny-colour"))


@pytest.fixture
def digits(home: Path) -> Classifier:
    """The bundled network; what it can read is its own tests' business, here it tells regions apart."""
    try:
        return Classifier(zoo.model_card("digits"))
    except EngineError as error:
        pytest.skip(f"no bundled network: {error}")


def test_blank_is_nothing_at_all(tiny: Classifier) -> None:
    for grey in (0, 127, 255):
        result = tiny.predict(frame(np.full((300, 200, 3), grey, np.uint8)), layer="conv1")
        assert result.regions == ()
        assert result.classification is None
        assert result.activations is None
        assert result.text == ""


def test_one_drawing_is_one_region_with_the_exact_input(tiny: Classifier) -> None:
    from engine.images import centre_digit, to_ink

    image = canvas("7")
    result = tiny.predict(frame(image), generation=4)
    assert result.generation == 4
    assert result.model == "tiny"
    (region,) = result.regions
    assert result.classification is region.classification
    assert np.array_equal(region.network_input, centre_digit(to_ink(image)))
    assert region.classification.probabilities.sum() == pytest.approx(1, abs=1e-5)
    x0, y0, x1, y1 = region.box
    ink = np.argwhere(image[:, :, 0] < 128)
    assert (x0, y0) <= (ink[:, 1].min(), ink[:, 0].min())
    assert (x1, y1) >= (ink[:, 1].max(), ink[:, 0].max())
    assert result.timings.preprocess > 0
    assert result.timings.network > 0


def test_probabilities_are_those_of_torch(tiny: Classifier) -> None:
    import torch

    card = tiny.card
    result = tiny.predict(frame(canvas("3")))
    seen = result.regions[0].network_input
    normal = (seen.astype(np.float32) / 255 - card.preprocess.mean[0]) / card.preprocess.std[0]
    with torch.inference_mode():
        expected = zoo.network(card)(torch.from_numpy(normal)[None, None]).softmax(1)[0].numpy()
    assert result.classification is not None
    assert np.allclose(result.classification.probabilities, expected, atol=1e-5)


def test_temperature_softens(home: Path, tiny: Classifier) -> None:
    soft = Classifier(dataclasses.replace(tiny.card, temperature=3.0))
    one, other = tiny.predict(frame(canvas("3"))).classification, soft.predict(frame(canvas("3"))).classification
    assert one is not None
    assert other is not None
    assert other.probabilities.max() < one.probabilities.max()
    assert other.label == one.label


def test_where_several_may_be_true_each_class_has_a_probability_of_its_own(home: Path, colour: Classifier) -> None:
    several = Classifier(dataclasses.replace(zoo.model_card("tiny-colour"), many=True))
    inputs = np.random.default_rng(4).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    logits = np.log(colour.probabilities(inputs))  # up to a number of each row
    odds = several.probabilities(inputs)
    assert several.card.layers[-1].title == "sigmoid" and colour.card.layers[-1].title == "softmax"
    back = np.log(odds / (1 - odds))
    assert np.abs((back - logits) - (back - logits).mean(axis=1, keepdims=True)).max() < 1e-3
    assert np.abs(odds.sum(axis=1) - 1).min() > 1e-3
    answer = several.predict(frame(inputs[0], drawing=False)).classification
    assert answer is not None and answer.many
    assert [label for label, _ in answer.there()] == [label for label, share in answer.ranked() if share >= 0.5]


def test_what_has_several_layers_after_the_last_maps_cannot_tell_where(colour: Classifier) -> None:
    colour.explains = True
    assert not colour.can_explain
    assert colour.predict(frame(np.zeros((32, 32, 3), np.uint8), drawing=False)).heat is None


def test_rejects_by_the_cards_threshold(home: Path, tiny: Classifier) -> None:
    result = tiny.predict(frame(canvas("3"))).classification
    assert result is not None
    share = float(result.probabilities[-1])
    for threshold, rejected in ((share * 0.9, True), (share * 1.1, result.label == NOT_A_DIGIT)):
        card = dataclasses.replace(tiny.card, reject_above=threshold)
        other = Classifier(card).predict(frame(canvas("3"))).classification
        assert other is not None
        assert other.rejected is rejected


def test_a_number_falls_apart_into_digits_by_the_cards_threshold(home: Path, tiny: Classifier) -> None:
    for threshold, rows in ((0.5, [1, 2]), (0.3, [0])):
        reader = Classifier(dataclasses.replace(tiny.card, reject_above=threshold))
        prepared = reader.prepare(frame(canvas("11")))
        assert [layout.spans for layout in prepared.layouts] == [((0, 2), (0, 1), (1, 2))]
        probabilities = np.zeros((3, 11), np.float32)
        probabilities[:, 1], probabilities[:, -1] = (0.2, 0.6, 0.6), 0.4
        assert reader.choose(prepared, probabilities) == rows


def test_watching_a_layer_gives_its_maps_and_the_same_answer(tiny: Classifier) -> None:
    image = frame(canvas("5"))
    plain = tiny.predict(image)
    for layer in tiny.card.layers:
        result = tiny.predict(image, layer=layer.name)
        assert result.activations is not None
        assert result.activations.layer == layer.name
        assert result.activations.maps.shape == layer.shape
        assert result.activations.maps.dtype == np.float32
        assert plain.classification is not None
        assert result.classification is not None
        assert np.allclose(result.classification.probabilities, plain.classification.probabilities, atol=1e-5)
    assert result.activations.layer == "softmax"
    assert np.allclose(result.activations.maps.ravel(), plain.classification.probabilities, atol=1e-5)
    assert tiny.predict(image, layer="no such layer").activations is None


def test_several_digits_are_regions_from_left_to_right(digits: Classifier) -> None:
    result = digits.predict(frame(canvas("407", size=500)), layer="conv1", region=1)
    assert result.text == "407"
    assert [region.classification.label for region in result.regions] == ["4", "0", "7"]
    lefts = [region.box[0] for region in result.regions]
    assert lefts == sorted(lefts)
    assert result.classification is result.regions[0].classification
    assert result.activations is not None
    assert result.activations.region == 1
    alone = digits.predict(frame(np.full((40, 40, 3), 255, np.uint8)), layer="conv1")
    assert alone.activations is None
    far = digits.predict(frame(canvas("407", size=500)), layer="conv1", region=9)
    assert far.activations is not None
    assert far.activations.region == 2


def test_maps_are_those_of_the_region_asked_for(digits: Classifier) -> None:
    image = frame(canvas("407", size=500))
    for region in range(3):
        result = digits.predict(image, layer="conv1", region=region)
        alone = digits.network.run(digits._normalised(result.regions[region].network_input[None]), "conv1")[1]
        assert alone is not None
        assert result.activations is not None
        assert np.allclose(result.activations.maps, alone[0], atol=1e-4)


def test_picture_network_sees_the_middle(colour: Classifier) -> None:
    image = np.zeros((60, 200, 3), np.uint8)
    image[:, 70:130] = (10, 20, 30)
    result = colour.predict(frame(image, drawing=False))
    (region,) = result.regions
    assert region.box == (70, 0, 130, 60)
    assert region.network_input.shape == (32, 32, 3)
    assert (region.network_input[2:-2, 2:-2] == (10, 20, 30)).all()  # the rim is mixed with what lies beside it
    assert result.classification is not None
    assert result.classification.labels == ("cat", "dog", "owl")
    assert result.text == ""


def test_clothes_fill_the_square_and_are_no_number(home: Path, tiny: Classifier) -> None:
    classes = tuple(f"c{i}" for i in range(11))
    preprocess = dataclasses.replace(tiny.card.preprocess, digits=False)
    card: ModelCard = dataclasses.replace(tiny.card, classes=classes, reject="", preprocess=preprocess)
    wearing = Classifier(card)
    image = np.full((300, 400, 3), 255, np.uint8)
    image[50:250, 100:180] = 0
    result = wearing.predict(frame(image))
    (region,) = result.regions
    assert region.network_input[:, 14].min() == 255
    assert region.network_input[:, :6].max() == 0
    assert result.text == ""
    exact = np.random.default_rng(0).integers(0, 200, (28, 28), np.uint8)
    again = wearing.predict(frame(np.repeat(exact[:, :, None], 3, axis=2)))
    assert np.array_equal(again.regions[0].network_input, exact)


def test_classify_agrees_with_predict(digits: Classifier) -> None:
    frames = [frame(canvas(text)) for text in ("1", "", "42", "8")]
    together = digits.classify(frames)
    assert [len(answers) for answers in together] == [1, 0, 2, 1]
    for image, answers in zip(frames, together, strict=True):
        for region, answer in zip(digits.predict(image).regions, answers, strict=True):
            assert np.allclose(region.classification.probabilities, answer.probabilities, atol=1e-4)


# --- a sheet of paper in front of a camera


def test_digits_on_the_moving_sheet_are_read(digits: Classifier) -> None:
    moving = MovingDigits()
    indices = range(30, 3600, 120)  # every number of the first two minutes
    texts = [digits.predict(frame(moving.picture(index), drawing=False)).text for index in indices]
    right = sum(text == moving.truth(index) for text, index in zip(texts, indices, strict=True))
    assert right >= 0.9 * len(texts)


def test_room_without_paper_holds_no_digits(digits: Classifier) -> None:
    random = np.random.default_rng(1)
    small = random.integers(0, 255, (24, 32, 3), np.uint8)
    room = cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)
    result = digits.predict(frame(room, drawing=False))
    assert result.regions == ()
    assert result.classification is None


def test_writing_is_found_on_unevenly_lit_paper_only() -> None:
    random = np.random.default_rng(2)
    image = random.integers(0, 255, (480, 640, 3), np.uint8)  # a restless room
    light = np.linspace(240, 140, 360)[None, :, None]
    image[100:380, 150:510] = np.broadcast_to(light, (280, 360, 3)).astype(np.uint8)
    cv2.line(image, (210, 160), (190, 320), (40, 30, 30), 12)
    cv2.circle(image, (430, 240), 50, (40, 30, 30), 12)
    found = find_writing(image)
    assert len(found) == 2
    places = sorted((x + ink.shape[1] / 2, y + ink.shape[0] / 2) for x, y, ink in found)
    assert np.allclose(places, [(200, 240), (430, 240)], atol=8)
    for _, _, ink in found:
        assert ink[:2].max() == 0
        assert ink.max() == 255


def test_tiny_frames_do_no_harm(tiny: Classifier, colour: Classifier) -> None:
    for shape in ((1, 1, 3), (1, 300, 3), (300, 1, 3), (15, 15, 3), (2, 2, 3)):
        image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        for drawing in (False, True):
            tiny.predict(frame(image, drawing=drawing))
            assert colour.predict(frame(image, drawing=drawing)).classification is not None
