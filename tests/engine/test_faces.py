"""Faces that are patterns of rows on a red square, found and told apart by two networks that need no training."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import images, zoo
from engine.errors import EngineError
from engine.opencv import cv2
from engine.recognition import Recogniser
from engine.types import FaceMatch, Floats, Frame, Image, Result
from engine.vision.faces import FaceFollower, FaceReader
from tests.engine.conftest import FACE_SIDE, FIVE, face, with_faces, write_detector, write_faces

ADA, BEN, CLEO = 10, 20, 30
NAMES = {ADA: "Ada", BEN: "Ben", CLEO: "Cleo"}
TEMPLATE = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]


def still(image: Image) -> Frame:
    return Frame(image, "a photograph", 0, time.perf_counter())


def moving(image: Image, index: int, *, source: str = "a camera", pace: float = 30.0) -> Frame:
    return Frame(image, source, index, time.perf_counter(), clock=index / pace)


@pytest.fixture
def reader(home: Path) -> FaceReader:
    return FaceReader(zoo.model_card("tiny-faces"))


def enrolled(reader: FaceReader, *people: int, patterns: tuple[int, ...] = (0, 1, 2), **options: Any) -> Recogniser:
    """Those of Ada, Ben and Cleo, whose faces are these patterns."""
    faces = np.stack([looked_at(reader, face(pattern)) for pattern in patterns[: len(people)]])
    values = {"calibration": (10.0, -5.0), "threshold": 0.6, "model": reader.model, **options}
    return Recogniser(faces, np.array(people), NAMES, **values)


def looked_at(reader: FaceReader, seen: Image) -> Floats:
    (found,) = read(reader, with_faces((3, 3, seen)))
    assert found.embedding is not None
    return found.embedding


def read(reader: FaceReader, image: Image) -> tuple[FaceMatch, ...]:
    faces = reader.predict(still(image)).faces
    assert faces is not None
    return faces


def test_faces_are_found_turned_upright_and_named(reader: FaceReader) -> None:
    reader.people = enrolled(reader, ADA, BEN)
    result = reader.predict(
        still(with_faces((1, 1, face(1)), (4, 2, face(0, noise=20)), (6, 4, face(5)))), generation=3
    )
    assert (result.model, result.generation) == ("tiny-faces", 3)
    assert result.faces is not None and result.detections is not None
    found = {each.box[:2]: each for each in result.faces}
    assert {corner: each.name for corner, each in found.items()} == {
        (40, 40): "Ben",
        (280, 120): "Ada",
        (440, 280): None,
    }
    for row, each in enumerate(result.faces):
        assert np.allclose(result.detections.xyxy[row], each.box)
        assert result.detections.landmarks is not None
        assert np.array_equal(result.detections.landmarks[row], each.landmarks)
        assert each.embedding is not None and np.linalg.norm(each.embedding) == pytest.approx(1, abs=1e-5)
    assert result.detections.labels == ("face",)
    assert (np.diff(result.detections.confidence) <= 0).all()
    ada, stranger = found[280, 120], found[440, 280]
    assert ada.person == ADA and ada.similarity > 0.9 and ada.probability > 0.95
    # The lengths of what is compared may differ a little; that it is nobody is plain.
    assert abs(stranger.similarity) < 0.2 and stranger.person in (ADA, BEN) and stranger.probability < 0.1


def test_what_is_kept_of_a_face(reader: FaceReader) -> None:
    image = with_faces((4, 2, face(0)))
    (found,) = read(reader, image)
    middle = np.array([360.0, 200.0])
    assert found.box == (280, 120, 440, 280)
    assert np.allclose(found.landmarks, middle + 80 * np.array(FIVE), atol=0.01)
    assert found.network_input is not None and found.network_input.shape == (FACE_SIDE, FACE_SIDE, 3)
    # The landmarks are placed so that the red square fills what the network sees.
    expected = cv2.resize(face(0), (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(found.network_input.astype(int) - expected).mean() < 6
    assert found.crop is not None and found.crop.shape == (160, 160, 3)
    assert found.crop_landmarks is not None
    # The crop is a square of 1.6 times the box, 256 pixels, made 160.
    assert np.allclose(found.crop_landmarks, (found.landmarks - (middle - 128)) * 160 / 256, atol=0.01)
    again = images.align_face(found.crop, found.crop_landmarks, FACE_SIDE)
    assert np.abs(again.astype(int) - found.network_input).mean() < 8
    assert reader.embed(found.crop, found.crop_landmarks[None])[0] @ found.embedding > 0.98  # type: ignore[operator]


def test_an_embedding_does_not_know_left_from_right(reader: FaceReader) -> None:
    half = face(2)
    half[:, :40, 0] = 250
    one, other = looked_at(reader, half), looked_at(reader, half[:, ::-1])
    # The places to which landmarks are brought are not quite symmetrical themselves.
    assert one @ other > 0.99
    landmarks = (np.array([40.0, 40.0]) + 80 * np.array(FIVE)).astype(np.float32)
    plain = [images.align_face(each, landmarks, FACE_SIDE)[None] for each in (half, half[:, ::-1])]
    left, right = (each - each.mean() for each in (reader.network.run(each)[0][0] for each in plain))
    assert left @ right / np.linalg.norm(left) / np.linalg.norm(right) < 0.9  # which the network itself does know


def test_many_faces_are_the_same_as_each_by_itself(reader: FaceReader) -> None:
    some = [face(person % 14, noise=30, seed=person) for person in range(40)]
    landmarks = (np.array([40.0, 40.0]) + 80 * np.array(FIVE)).astype(np.float32)
    alone = np.concatenate([reader.embed(each, landmarks[None]) for each in some])
    upright = [images.align_face(each, landmarks, FACE_SIDE) for each in some]
    together = reader.embed_upright(upright)
    assert together.shape == (40, reader.dimension) == (40, 64)
    assert np.allclose(alone, together, atol=1e-5)
    assert reader.embed_upright([]).shape == (0, 64)
    assert reader.embed(some[0], np.zeros((0, 5, 2), np.float32)).shape == (0, 64)


def test_a_layer_can_be_watched_of_each_face(reader: FaceReader) -> None:
    assert [layer.name for layer in reader.card.layers] == ["pool", "red"]
    image = with_faces((1, 1, face(0)), (4, 2, face(3)))
    for region in (0, 1):
        result = reader.predict(still(image), layer="red", region=region)
        assert result.activations is not None and result.faces is not None
        assert result.activations.region == region and result.activations.maps.shape == (1, 8, 8)
        seen = result.faces[region].network_input
        assert seen is not None
        pooled = cv2.resize(seen, (8, 8), interpolation=cv2.INTER_AREA)[:, :, 0] / 255
        assert np.allclose(result.activations.maps[0], pooled, atol=0.01)
    last = reader.predict(still(image), layer="red", region=9).activations
    assert last is not None and last.region == 1
    assert reader.predict(still(image), layer="no such layer").activations is None
    assert reader.predict(still(with_faces()), layer="red").activations is None


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((3, 2000, 3), 255, np.uint8),
        np.zeros((480, 640, 3), np.uint8),
        np.broadcast_to(np.zeros((90, 70, 1), np.uint8), (90, 70, 3)),
        np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8),
    ],
    ids=["one pixel", "a line", "black", "grey", "noise"],
)
def test_pictures_without_a_face(reader: FaceReader, image: Image) -> None:
    reader.people = enrolled(reader, ADA)
    result = reader.predict(still(image))
    assert result.faces == ()
    assert result.detections is not None and len(result.detections) == 0
    assert result.detections.landmarks is not None and result.detections.landmarks.shape == (0, 5, 2)


def test_half_a_face_at_the_edge_is_one(reader: FaceReader) -> None:
    image = with_faces((0, 0, face(0)), (7, 5, face(1)))
    found = read(reader, image)
    assert {each.box for each in found} == {(0, 0, 120, 120), (520, 360, 640, 480)}
    for each in found:
        assert each.crop is not None and each.crop.shape[0] == each.crop.shape[1]
        assert each.embedding is not None and np.isfinite(each.embedding).all()


def test_two_hundred_faces(own_home: Path) -> None:
    write_detector("fine", size=1536, cell=64, landmarks=FIVE, classes=("face",), offered=())
    reader = FaceReader(write_faces("many", finder="fine"))
    image = np.zeros((1920, 1920, 3), np.uint8)
    for number in range(288):  # cells of 80 pixels, none beside another of its row
        row, column = divmod(number, 12)
        image[80 * row : 80 * row + 80, 160 * column + 80 * (row % 2) : 160 * column + 80 * (row % 2) + 80] = face(
            number % 7
        )
    found = read(reader, image)
    assert len(found) >= 200
    reader.people = Recogniser(
        np.stack([each.embedding for each in found[:1]]),  # type: ignore[misc]
        np.array([ADA]),
        NAMES,
        calibration=(10.0, -5.0),
        threshold=0.6,
    )
    named = [each.name for each in read(reader, image)]
    assert 0.05 < named.count("Ada") / len(named) < 0.4  # one of seven patterns


def test_small_faces_of_a_large_picture_are_found_in_its_parts(reader: FaceReader) -> None:
    """A face of 80 pixels in a picture of 1280: too small for the whole, a cell in a quarter of it."""
    large = np.zeros((1280, 1280, 3), np.uint8)
    large[320:400, 400:480] = face(4)
    assert len(reader.find(large)) == 0
    (found,) = read(reader, large)
    assert np.allclose(found.box, (360, 280, 520, 440), atol=1) or found.box[0] > 300
    centre = (found.box[0] + found.box[2]) / 2, (found.box[1] + found.box[3]) / 2
    assert np.hypot(centre[0] - 440, centre[1] - 360) < 80
    # A moving picture is searched as a whole: there is no time for more.
    assert FaceFollower(reader).predict(moving(large, 0)).faces == ()


def test_a_face_that_fills_the_picture_is_found_with_a_border_around_it(home: Path) -> None:
    reader = FaceReader(zoo.model_card("tiny-faces"))
    seen: list[tuple[int, ...]] = []
    detect = reader.detector.detect

    def note(image: Image, **options: Any) -> Any:
        seen.append(image.shape[:2])
        return detect(image, **options)

    reader.detector.detect = note  # type: ignore[method-assign]
    assert len(reader.find_closely(np.zeros((90, 60, 3), np.uint8))) == 0
    assert seen == [(270, 240), (90, 60)]
    seen.clear()
    found = reader.find_in_crop(face(0))
    assert seen[0] == (240, 240)
    assert (found.xyxy >= 0).all() and (found.xyxy <= 80).all() and len(found) > 0


def test_a_border_is_for_large_faces_alone(reader: FaceReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found small only when a border is put around the picture is more likely none."""
    large = reader.find(with_faces((3, 3, face(0))))
    small = dataclasses.replace(large, xyxy=large.xyxy * np.float32(0.2))
    for found, count in ((large, 1), (small, 0)):
        monkeypatch.setattr(reader, "_framed", lambda *_, found=found: found)
        assert len(reader.find_closely(np.zeros((300, 400, 3), np.uint8))) == count
        assert len(reader.find_in_crop(np.zeros((300, 400, 3), np.uint8))) == 1


def test_what_lies_in_a_face_that_fills_the_picture_is_a_part_of_it(
    reader: FaceReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = with_faces((1, 1, face(0)), (5, 3, face(1)))
    two = reader.find_closely(picture)
    assert len(two) == 2
    inside = two[[int(two.xyxy[:, 0].argmin())]]
    filling = dataclasses.replace(inside, xyxy=np.array([[0, 0, 320, 480]], np.float32))
    monkeypatch.setattr(reader, "_framed", lambda *_: filling)
    found = reader.find_closely(picture)
    assert len(found) == 2, "the large one, and the one beside it"
    assert found.xyxy[:, 0].min() == 0 and found.xyxy[:, 0].max() == two.xyxy[:, 0].max()


def test_faces_too_small_to_look_at_are_found_but_nobodys(reader: FaceReader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.people = enrolled(reader, ADA)
    monkeypatch.setattr("engine.vision.faces.LEAST_SIDE", 200)
    (found,) = read(reader, with_faces((3, 3, face(0))))
    assert (found.name, found.person, found.embedding, found.similarity) == (None, None, None, 0.0)


# --- quality


def test_quality_tells_what_is_wrong(reader: FaceReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def quality(upright: Image, *, side: float = 100.0, places: Any = TEMPLATE) -> Any:
        found = reader.find(with_faces((3, 3, face(0))))
        box = np.array([[0, 0, side, side]], np.float32)
        found = dataclasses.replace(found, xyxy=box, landmarks=np.array([places], np.float32))
        return reader.quality(found, 0, upright)

    random = np.random.default_rng(0)
    sharp = np.repeat(np.repeat(random.integers(60, 200, (8, 8, 3)), 8, axis=0), 8, axis=1).astype(np.uint8)
    good = quality(sharp)
    assert good.overall > 0.75 and good.size == good.light == good.sharpness == 1
    assert quality(sharp, side=10).size < 0.4
    assert quality((sharp * 0.1).astype(np.uint8)).light == 0
    assert quality((255 - sharp * 0.1).astype(np.uint8)).light == 0
    assert quality(np.full_like(sharp, 128)).light == 0
    assert (
        quality(cv2.GaussianBlur(sharp, (0, 0), 3)).sharpness
        < 0.5
        < quality(cv2.GaussianBlur(sharp, (0, 0), 0.7)).sharpness
    )
    places = np.array(TEMPLATE)
    left, down = places.copy(), places.copy()
    left[2, 0] -= 16
    down[2, 1] += 10
    assert quality(sharp, places=left).yaw < -0.5 and quality(sharp, places=left).frontal < 0.7
    mirrored = (left * [-1, 1])[[1, 0, 2, 4, 3]]
    assert quality(sharp, places=mirrored).yaw == pytest.approx(-quality(sharp, places=left).yaw, abs=0.02)
    assert quality(sharp, places=down).pitch > quality(sharp).pitch + 0.5
    turned = left @ np.array([[0.8, 0.6], [-0.6, 0.8]])  # the head tilted: turned as before
    assert quality(sharp, places=turned).yaw == pytest.approx(quality(sharp, places=left).yaw, abs=1e-6)
    assert quality(sharp, places=np.zeros((5, 2))).frontal == 0  # no face at all


# --- moving pictures


def test_a_face_that_is_followed_keeps_its_number_and_name(reader: FaceReader) -> None:
    follower = FaceFollower(reader)
    follower.people = enrolled(reader, ADA, BEN)
    results = [
        follower.predict(moving(with_faces((2, 2, face(0, noise=30, seed=index)), (5, 3, face(1))), index))
        for index in range(12)
    ]
    names = [{each.box[0]: each.name for each in result.faces or ()} for result in results]
    assert names[0] == {120: None, 360: None}  # one look names nobody
    assert names[-1] == {120: "Ada", 360: "Ben"}
    first, last = results[0].detections, results[-1].detections
    assert first is not None and last is not None and first.track_id is not None and last.track_id is not None
    assert set(first.track_id.tolist()) == set(last.track_id.tolist()) == {1, 2}
    for result in results:
        assert all(each.embedding is not None for each in result.faces or ())


class Counted:
    """Counts the faces that a reader looks at (without their mirror images)."""

    def __init__(self, reader: FaceReader, monkeypatch: pytest.MonkeyPatch) -> None:
        self.each: list[int] = []
        embedded = reader._embedded

        def count(faces: Any) -> Floats:
            self.each.append(len(faces))
            return embedded(faces)

        monkeypatch.setattr(reader, "_embedded", count)


def test_ten_faces_take_no_more_looks_a_frame_than_two(reader: FaceReader, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = FaceFollower(reader)
    places = [(x, y) for y in (0, 2, 4) for x in (0, 2, 4, 6)][:10]
    counted = Counted(reader, monkeypatch)
    image = with_faces(*((x, y, face(number % 7)) for number, (x, y) in enumerate(places)))
    for index in range(60):
        result = follower.predict(moving(image, index))
    assert len(result.faces or ()) == 10
    assert max(counted.each) == 2
    assert all(each.embedding is not None for each in result.faces or ())
    # Ten faces that hardly change are looked at twice a second each, five times when they are new.
    assert sum(counted.each) <= 10 * 5 + 10 * 4


def test_a_face_that_does_not_change_is_looked_at_twice_a_second(
    reader: FaceReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = FaceFollower(reader)
    counted = Counted(reader, monkeypatch)
    for index in range(90):
        follower.predict(moving(with_faces((3, 3, face(0))), index))
    assert 5 + 4 <= sum(counted.each) <= 5 + 6


def test_the_same_frame_again_is_no_further_vote(reader: FaceReader, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = FaceFollower(reader)
    frame = moving(with_faces((3, 3, face(0))), 0)
    first = follower.predict(frame)
    counted = Counted(reader, monkeypatch)
    again = [follower.predict(frame, layer="red") for _ in range(5)][-1]
    assert sum(counted.each) == 0
    assert again.activations is not None
    follower.people = enrolled(reader, ADA)
    named = follower.predict(frame)
    assert [each.person for each in named.faces or ()] == [ADA]
    assert [each.box for each in named.faces or ()] == [each.box for each in first.faces or ()]


def test_another_source_begins_anew(reader: FaceReader) -> None:
    follower = FaceFollower(reader)
    follower.people = enrolled(reader, ADA, BEN)
    for index in range(6):
        result = follower.predict(moving(with_faces((3, 3, face(0))), index))
    assert [each.name for each in result.faces or ()] == ["Ada"]
    result = follower.predict(moving(with_faces((3, 3, face(1))), 0, source="another"))
    assert [(each.name, each.person) for each in result.faces or ()] == [(None, BEN)]
    photograph = follower.predict(still(with_faces((3, 3, face(1)))))
    assert [each.name for each in photograph.faces or ()] == ["Ben"]
    assert photograph.detections is not None and photograph.detections.track_id is None


# --- who is enrolled


def test_people_whom_another_network_has_seen_are_nobody(reader: FaceReader) -> None:
    image = with_faces((3, 3, face(0)))
    for people in (
        enrolled(reader, ADA, model="other:0123"),
        Recogniser(np.ones((1, 3), np.float32), np.array([ADA]), NAMES, calibration=(1.0, 0.0), threshold=0.0),
        Recogniser(np.zeros((0, 64), np.float32), np.array([], int), {}, calibration=(1.0, 0.0), threshold=0.0),
        None,
    ):
        reader.people = people
        (found,) = read(reader, image)
        assert (found.name, found.person, found.similarity) == (None, None, 0.0)
        assert found.embedding is not None
    reader.people = enrolled(reader, ADA, model="")
    assert read(reader, image)[0].name == "Ada"


def test_a_face_never_shows_in_what_is_printed(reader: FaceReader) -> None:
    reader.people = enrolled(reader, ADA)
    (found,) = read(reader, with_faces((3, 3, face(0))))
    assert found.name == "Ada"
    assert "Ada" not in repr(found) and "array" not in repr(found)


def test_a_finder_that_finds_no_faces_is_refused(home: Path) -> None:
    card = zoo.model_card("tiny-faces")
    for finder, what in (("spots", "“spots” is none"), ("tiny", "“tiny” is none"), ("", "needs a detector")):
        with pytest.raises(EngineError, match=what):
            FaceReader(dataclasses.replace(card, finder=finder))
    with pytest.raises(EngineError, match="no model called"):
        FaceReader(dataclasses.replace(card, finder="gone"))


def test_real_faces_are_told_apart(shared_data: Path) -> None:
    """The bundled networks on a photograph with nine people, twice: everybody resembles themselves most."""
    try:
        reader = FaceReader(zoo.model_card("faces"))
    except EngineError as error:
        pytest.skip(f"the bundled network for faces is not here yet: {error.message}")
    scenes = sorted((shared_data / "faces" / "scenes").glob("*.webp"))
    if not scenes:
        pytest.skip("no photographs of scenes")
    best = max(scenes[:12], key=lambda path: len(reader.find(images.read_picture(path))))
    image = images.read_picture(best)
    result: Result = reader.predict(still(image))
    assert result.faces is not None and len(result.faces) >= 2
    looked = [each for each in result.faces if each.embedding is not None]
    reader.people = Recogniser(
        np.stack([each.embedding for each in looked]),  # type: ignore[misc]
        np.arange(len(looked)),
        {number: str(number) for number in range(len(looked))},
        calibration=reader.card.calibration,
        threshold=reader.card.threshold,
    )
    brighter = np.clip(image.astype(np.int16) + 15, 0, 255).astype(np.uint8)
    again = {tuple(np.round(each.box, -1)): each for each in reader.predict(still(brighter)).faces or ()}
    same = [
        again[key].person == number
        for number, each in enumerate(looked)
        if (key := tuple(np.round(each.box, -1))) in again
    ]
    assert same and sum(same) >= 0.9 * len(same)
