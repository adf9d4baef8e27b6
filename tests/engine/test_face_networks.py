"""The bundled networks for faces: their size, and that they keep the promises of their cards on real pictures."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import zoo
from engine.errors import EngineError
from engine.images import read_picture
from engine.measure import separation
from engine.opencv import cv2
from engine.store import RESOURCES
from engine.types import Frame, Image, ModelCard
from engine.vision.detect import Detector
from engine.vision.evaluate import embed_crops
from engine.vision.faces import FaceReader
from tests.engine.conftest import turned_jpeg

FINDER, EMBEDDER = (RESOURCES / "models" / f"{name}.json" for name in ("face-detector", "faces"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceReader]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        yield FaceReader(zoo.read_card(EMBEDDER), interactive=False)


def figure(card: ModelCard, starts: str) -> float:
    (value,) = (value for name, value in card.metrics.items() if name.startswith(starts))
    return value


@pytest.mark.parametrize(("path", "most"), [(FINDER, 1_500_000), (EMBEDDER, 8_000_000)], ids=("finder", "embedder"))
def test_the_weights_are_those_of_the_card_and_no_larger_than_they_may_be(path: Path, most: int) -> None:
    card = zoo.read_card(path)
    assert card.weights is not None and card.origin == "bundled" and card.recipe and "research" in card.notes
    data = card.weights.read_bytes()
    assert hashlib.sha256(data).hexdigest() == card.sha256
    assert len(data) <= 16_000_000 and card.parameters <= most
    assert card.parameters == sum(p.numel() for p in zoo.network(card).parameters())


def test_the_cards_claim_no_less_than_they_should() -> None:
    finder, embedder = zoo.read_card(FINDER), zoo.read_card(EMBEDDER)
    assert figure(finder, "AP@0.5, human boxes") >= 0.85
    assert figure(finder, "false boxes") <= 0.1
    assert figure(finder, "recall") >= 0.70
    assert figure(embedder, "LFW pairs judged rightly") >= 0.92
    assert figure(embedder, "strangers named") <= 0.02
    assert figure(embedder, "photographs: recall") >= 0.95 and figure(embedder, "photographs: false boxes") <= 0.1
    assert embedder.finder == finder.name and finder.landmarks == 5


def test_an_empty_room_has_no_faces(reader: FaceReader) -> None:
    wall = np.linspace(40, 220, 640).astype(np.uint8)[None, :, None].repeat(480, axis=0).repeat(3, axis=2)
    for image in (np.full((480, 640, 3), 128, np.uint8), wall):
        assert reader.predict(Frame(image, "test", 0, 0.0)).faces == ()


def test_a_photograph_of_two_people_has_two_faces_with_their_landmarks_in_place(
    reader: FaceReader, shared_data: Path
) -> None:
    faces = reader.predict(
        Frame(read_picture(shared_data / "faces" / "scenes" / "two_people.webp"), "test", 0, 0.0)
    ).faces
    assert faces is not None
    large = [face for face in faces if face.box[3] - face.box[1] > 100]
    assert len(large) == 2 and len(faces) <= 3, "two people, and at most one mistake"
    for face in large:
        x0, y0, x1, y1 = face.box
        eye, other, nose, corner, end = face.landmarks
        assert x0 < eye[0] < nose[0] < other[0] < x1 and y0 < eye[1] < nose[1] < corner[1] < y1
        assert corner[0] < end[0]


@pytest.mark.parametrize("name", ["bbt1", "bbt2", "bbt5", "couple"])
def test_each_face_of_a_photograph_is_found_once(reader: FaceReader, shared_data: Path, name: str) -> None:
    found = reader.find_closely(read_picture(shared_data / "faces" / "scenes" / f"{name}.webp"))
    assert len(found) > 1
    middles, sides = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2, (found.xyxy[:, 2:] - found.xyxy[:, :2]).max(axis=1)
    for row in range(1, len(found)):
        away = np.linalg.norm(middles[:row] - middles[row], axis=1)
        assert (away > 0.3 * np.maximum(sides[:row], sides[row])).all()


def test_a_photograph_may_be_mirrored_turned_grey_clear_or_huge(
    reader: FaceReader, shared_data: Path, tmp_path: Path
) -> None:
    image = read_picture(shared_data / "faces" / "scenes" / "two_people.webp")
    there = {6: np.rot90(image, 1), 3: np.rot90(image, 2), 8: np.rot90(image, 3)}
    made: dict[str, Image] = {"mirrored": image[:, ::-1], "grey": image.mean(axis=2, keepdims=True).repeat(3, axis=2)}
    for orientation, held in there.items():  # as a camera stores it that was held so
        (tmp_path / "held.jpg").write_bytes(turned_jpeg(np.ascontiguousarray(held), orientation))
        made[f"held {orientation}"] = read_picture(tmp_path / "held.jpg")
    clear = np.dstack([image[:, :, ::-1], np.full(image.shape[:2], 255, np.uint8)])
    cv2.imwrite(str(tmp_path / "clear.png"), clear)
    made["clear"] = read_picture(tmp_path / "clear.png")
    made["huge"] = np.full((4320, 7680, 3), 128, np.uint8)
    large = cv2.resize(image, None, fx=2, fy=2)
    made["huge"][1000 : 1000 + large.shape[0], 3000 : 3000 + large.shape[1]] = large
    for name, picture in made.items():
        faces = reader.predict(Frame(np.ascontiguousarray(picture, np.uint8), "test", 0, 0.0)).faces
        assert faces is not None
        least = 60 if name == "huge" else 100
        assert len([face for face in faces if face.box[3] - face.box[1] > least]) == 2, name


def test_a_drawn_face_is_nobody(reader: FaceReader) -> None:
    """Whether it is found or not: it is no reason to stumble, and like no one."""
    paper = np.full((480, 640, 3), 255, np.uint8)
    cv2.circle(paper, (320, 240), 130, (230, 190, 160), -1)
    for x in (275, 365):
        cv2.circle(paper, (x, 200), 16, (40, 40, 40), -1)
    cv2.ellipse(paper, (320, 300), (55, 25), 0, 0, 180, (160, 40, 40), 8)
    faces = reader.predict(Frame(paper, "drawing", 0, 0.0)).faces
    assert faces is not None and len(faces) <= 1 and not any(face.name for face in faces)


@pytest.mark.parametrize("name", ["kate_siegel", "obama", "biden"])
def test_landmarks_lie_where_they_are_however_large_the_face_is(
    reader: FaceReader, shared_data: Path, name: str
) -> None:
    image = read_picture(shared_data / "faces" / "scenes" / f"{name}.webp")
    face = reader.find_closely(image)[[0]]
    x0, y0, x1, y1 = face.xyxy[0].round().astype(int)
    around = round(0.15 * (y1 - y0))
    left, top = max(0, x0 - around), max(0, y0 - around)
    cut = np.ascontiguousarray(image[top : y1 + around, left : x1 + around])
    near = reader.find_closely(cut)[[0]]
    assert face.landmarks is not None and near.landmarks is not None
    eyes = np.linalg.norm(face.landmarks[0, 0] - face.landmarks[0, 1])
    off = np.linalg.norm(near.landmarks[0] + [left, top] - face.landmarks[0], axis=1).mean() / eyes
    assert off < 0.2, "the face that fills its picture has the same landmarks"


@pytest.mark.parametrize("name", ["bbt_amy1", "bbt_raj3", "bbt_stuart3"])
def test_of_a_face_that_fills_its_picture_no_eye_is_taken_for_one(
    reader: FaceReader, shared_data: Path, name: str
) -> None:
    image = read_picture(shared_data / "faces" / "scenes" / f"{name}.webp")
    found = reader.find_closely(image)
    assert len(found) == 1
    assert (found.xyxy[0, 2:] - found.xyxy[0, :2]).max() > 0.8 * image.shape[0]


def test_a_face_is_boxed_better_at_a_closer_look(reader: FaceReader, shared_data: Path) -> None:
    image = read_picture(shared_data / "faces" / "scenes" / "two_people.webp")
    found = reader.find_closely(image)
    assert len(found) == 2
    shifted = np.array([12, -9, 12, -9], np.float32)
    rough = dataclasses.replace(found, xyxy=found.xyxy + shifted)
    again = reader.look_closer(image, rough)
    order = [int(np.abs(again.xyxy[:, 0] - left).argmin()) for left in found.xyxy[:, 0]]
    assert np.abs(again.xyxy[order] - found.xyxy).max() < 6


def test_the_finder_finds_what_its_card_says(shared_data: Path, reader: FaceReader) -> None:
    folder = shared_data / "faces" / "scenes"
    detector: Detector = reader.detector
    there = found = 0
    for scene in json.loads((folder / "scenes.json").read_text(encoding="utf-8"))[::4]:
        boxes = np.array([face["bbox"] for face in scene["faces_yunet"]], np.float32).reshape(-1, 4)
        boxes = boxes[boxes[:, 2:].max(axis=1) >= 24]
        middles = boxes[:, :2] + boxes[:, 2:] / 2
        got = detector.detect(read_picture(folder / scene["file"]), floor=detector.card.min_score).xyxy
        there += len(middles)
        found += sum(bool(((got[:, :2] < place) & (place < got[:, 2:])).all(axis=1).any()) for place in middles)
    assert there > 40 and found / there >= figure(detector.card, "recall") - 0.1


def test_one_persons_faces_are_nearer_than_those_of_two(shared_data: Path, reader: FaceReader) -> None:
    with (shared_data / "faces" / "pairs_val.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))[::40]
    files = sorted({line[side] for line in lines for side in ("file_a", "file_b")})
    embeddings, without = embed_crops(reader, files, shared_data / "faces" / "identities_val_lfw.tar.gz")
    assert without.mean() < 0.1
    row = {name: number for number, name in enumerate(files)}
    cosines = np.array([embeddings[row[line["file_a"]]] @ embeddings[row[line["file_b"]]] for line in lines])
    same = np.array([line["same"] == "1" for line in lines])
    card = reader.card
    assert separation(cosines, same).auc > figure(card, "LFW area under the ROC curve") - 0.06
    slope, offset = card.calibration
    right = (1 / (1 + np.exp(-(slope * cosines + offset))) > 0.5) == same
    assert right.mean() > figure(card, "LFW pairs judged rightly") - 0.08


def test_a_card_whose_finder_is_missing_says_so(reader: FaceReader) -> None:
    with pytest.raises(EngineError, match="nobody"):
        FaceReader(dataclasses.replace(reader.card, finder="nobody"))
