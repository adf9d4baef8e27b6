"""Learning faces: landmarks that stay on their places, pasted faces, and an embedding that tells people apart."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import zoo
from engine.data import load_synthetic_digits
from engine.data.augment import face
from engine.data.detection import SceneData, compose
from engine.data.faces import FaceSet, load_faces, load_identities
from engine.errors import EngineError
from engine.images import align_face
from engine.measure import verification
from engine.opencv import cv2
from engine.training.config import TrainingConfig
from engine.training.events import Epoch, Started, Stopped
from engine.training.fit import fit

# Where a drawn face has its landmarks, in shares of its box, and what colour is there.
PLACES = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.8], [0.65, 0.8]])
LEFT, RIGHT, NOSE = (20, 20, 230), (230, 20, 20), (20, 200, 20)
COLOURS = (LEFT, RIGHT, NOSE, LEFT, RIGHT)
SKIN = (235, 190, 160)


def draw_face(image: np.ndarray, x: int, y: int, side: int, *, skin: Sequence[int] = SKIN) -> np.ndarray:
    """A face in the square at x, y, and its landmarks ``(5, 2)``."""
    image[y : y + side, x : x + side] = skin
    places = np.array([x, y]) + PLACES * side
    for place, colour in zip(places, COLOURS, strict=True):
        cv2.circle(image, (round(place[0]), round(place[1])), max(1, side // 9), colour, -1)
    return places


def encoded(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return bytes(data)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def write_detection(root: Path, count: int = 40) -> None:
    rng = np.random.default_rng(7)
    (root / "detection").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with tarfile.open(root / "detection" / "images.tar", "w") as archive:
        for number in range(count):
            image = np.full((72, 96, 3), int(rng.integers(60, 120)), np.uint8)
            side = int(rng.integers(24, 40))
            x, y = int(rng.integers(2, 94 - side)), int(rng.integers(2, 70 - side))
            marks = draw_face(image, x, y, side)
            add(archive, f"{number}.png", encoded(image))
            images.append(
                {
                    "id": number,
                    "file_name": f"{number}.png",
                    "width": 96,
                    "height": 72,
                    "split": ("train", "val")[number % 5 == 0],
                }
            )
            annotations.append(
                {
                    "id": number + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [x, y, side, side],
                    "landmarks": marks.ravel().tolist(),
                }
            )
        annotations[1]["landmarks"] = None
        annotations.append({"id": 900, "image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9], "ignore": 1})
    values = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    (root / "detection" / "faces_coco.json").write_text(json.dumps(values), encoding="utf-8")


def write_identities(root: Path, *, people: int = 8, each: int = 8, held: int = 12) -> None:
    """Crops of people who differ in the colours of their faces, turned a little each time."""
    rng = np.random.default_rng(3)
    rows, pairs = [], []
    pictures: dict[str, list[tuple[str, bytes]]] = {"train": [], "val": []}
    for person in range(people + held):
        part = "train" if person < people else "val"
        skin = rng.integers(30, 225, 3).tolist()
        for number in range(each if part == "train" else 4):
            image = np.full((60, 60, 3), int(rng.integers(0, 255)), np.uint8)
            marks = draw_face(image, 8 + int(rng.integers(-3, 4)), 8 + int(rng.integers(-3, 4)), 44, skin=skin)
            name = f"p{person}/{number}.png"
            pictures[part].append((name, encoded(image)))
            flat = {
                f"{p}_{a}": marks[i, j]
                for i, p in enumerate(("eye_l", "eye_r", "nose", "mouth_l", "mouth_r"))
                for j, a in enumerate("xy")
            }
            rows.append(
                {
                    "identity": f"p{person}",
                    "file": name,
                    "archive": f"{part}.tar.gz",
                    "split": part,
                    "landmarks_source": "yunet",
                    **flat,
                }
            )
        if part == "val":
            other = people + (person - people + 1) % held
            pairs += [(person % 2, f"p{person}/{a}.png", f"p{person}/{b}.png", 1) for a, b in ((0, 1), (2, 3))]
            pairs += [(person % 2, f"p{person}/{a}.png", f"p{other}/{a}.png", 0) for a in (0, 1)]
    for part, members in pictures.items():
        with tarfile.open(root / f"{part}.tar.gz", "w:gz") as archive:
            for name, data in members:
                add(archive, name, data)
    with gzip.open(root / "identities.csv.gz", "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    with (root / "pairs_val.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("fold", "file_a", "file_b", "same"))
        lines.writerows(pairs)


def write_empty(folder: Path) -> None:
    """Pictures of which it is known that nobody is in them, and one with somebody."""
    folder.mkdir()
    images = []
    for number in range(6):
        (folder / f"{number}.png").write_bytes(encoded(np.full((80, 100, 3), 40 + 30 * number, np.uint8)))
        images.append({"id": number, "file_name": f"{number}.png", "width": 100, "height": 80})
    values = {
        "images": images,
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 30, 60]}],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "train.json").write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    folder.mkdir()
    write_detection(folder)
    write_identities(folder)
    write_empty(folder.parent / "detection")
    return folder


@pytest.fixture(scope="module")
def scenes(root: Path) -> SceneData:
    return load_faces(root, image_size=96, seed=1)


@pytest.fixture(scope="module")
def faces(root: Path) -> FaceSet:
    return load_identities(root, image_size=32)


def at(image: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    x, y = (int(value) for value in place)
    return image[:, max(0, min(y, image.shape[1] - 1)), max(0, min(x, image.shape[2] - 1))].float()


def test_landmarks_lie_on_their_places_and_one_who_ignores_a_face_is_told(scenes: SceneData) -> None:
    assert scenes.classes == ("face",) and scenes.landmarks == 5
    assert len(scenes.validation) == 8
    boxed = scenes.train.landmarks[1, 0]
    for place, colour in zip(boxed, COLOURS, strict=True):
        assert (at(scenes.train.images[1], place) - torch.tensor(colour)).abs().max() < 40
    assert scenes.train.landmarks[0, 0].isnan().all()
    assert (scenes.train.ignored.sum(dim=(1, 2)) > 0).sum() == 1


def test_faces_are_pasted_only_where_nobody_is(scenes: SceneData) -> None:
    own = 32
    filled = 64
    assert len(scenes.train) == own + filled + 5
    for number in range(own, own + filled + 5):
        for box, label, marks in zip(
            scenes.train.boxes[number], scenes.train.labels[number], scenes.train.landmarks[number], strict=True
        ):
            if label >= 0:
                middle = (box[:2] + box[2:]) / 2
                assert ((marks - middle).abs() < (box[2:] - box[:2])).all()
    assert (scenes.train.labels[own:] >= 0).any()


def test_in_the_mirror_the_eye_at_the_left_is_the_other_one(scenes: SceneData) -> None:
    generator = torch.Generator().manual_seed(2)
    batch = compose(scenes.train, torch.arange(32), 96, generator, mosaic=0.25)
    mirrored = 0
    for owner, box, marks in zip(batch.owner, batch.boxes, batch.landmarks, strict=True):
        if marks.isnan().any() or (box[2:] - box[:2]).min() < 18 or marks.min() < 1 or marks.max() > 94:
            continue
        assert marks[0, 0] < marks[1, 0] and marks[3, 0] < marks[4, 0]
        seen = [at(batch.images[owner], place) * 255 for place in marks]
        turned = bool((seen[0] - torch.tensor(RIGHT)).abs().max() < 90)
        mirrored += turned
        wanted = (RIGHT, LEFT, NOSE, RIGHT, LEFT) if turned else COLOURS
        if all(bool((box[:2] <= place).all() and (place <= box[2:]).all()) for place in marks):
            for shown, colour in zip(seen, wanted, strict=True):
                assert (shown - torch.tensor(colour)).abs().max() < 110
    assert mirrored > 2


def test_a_run_learns_where_faces_and_their_landmarks_are(scenes: SceneData, tmp_path: Path) -> None:
    config = TrainingConfig(
        data="faces", model="face-detector", image_size=96, epochs=30, batch_size=8, learning_rate=0.006, seed=1
    )
    events = list(fit(config, scenes, folder=tmp_path))
    end = events[-1]
    assert isinstance(end, Stopped) and end.reason == "finished" and end.best_accuracy > 0.7
    card = zoo.read_card(tmp_path / "model.json")
    assert card.landmarks == 5 and card.classes == ("face",) and card.arguments == {"landmarks": 5}
    net = zoo.network(card).eval()
    picture = scenes.validation.images[:1].float().div(255)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (scenes.mean, scenes.std))
    with torch.inference_mode():
        answer = net((picture - mean) / std)[0]
    from engine.networks.detector import cell_centres

    centres, strides = cell_centres(96, torch.device("cpu"))
    best = int(answer[:, 4].argmax())
    found = centres[best] + answer[best, 5:].view(5, 2) * strides[best]
    side = float((scenes.validation.boxes[0, 0, 2:] - scenes.validation.boxes[0, 0, :2]).max())
    assert (found - scenes.validation.landmarks[0, 0]).norm(dim=1).mean() < 0.12 * side


def test_identities_are_read_upright(faces: FaceSet) -> None:
    assert faces.people == 8 and len(faces.images) == 64 and len(faces.measured) == 48
    assert faces.images.shape[1:] == (3, 36, 36) and faces.image_size == 32
    assert len(faces.pairs) == 48 and faces.same.sum() == 24
    eye = (torch.tensor([38.2946, 51.6963]) - 56) * 40 / 112 + 18  # 40 pixels of the face would be 112 of all of it
    for image in faces.images[:5]:
        assert (at(image, eye) - torch.tensor(LEFT)).abs().max() < 70


def test_identities_are_seen_from_near(root: Path, faces: FaceSet) -> None:
    larger = load_identities(root, image_size=40, around=1.0)
    assert faces.around == 0.8 and larger.around == 1.0
    near_middle, larger_middle = (
        each.images[:, :, rim : rim + 32, rim : rim + 32] for each, rim in ((faces, 2), (larger, 6))
    )
    assert (near_middle.float() - larger_middle.float()).abs().mean() < 1.0


def test_a_list_that_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="too few people"):
        load_identities(tmp_path)
    (tmp_path / "identities.csv").write_text("identity,file\na,b\n", encoding="utf-8")
    with pytest.raises(EngineError, match="no list of faces"):
        load_identities(tmp_path)
    with pytest.raises(EngineError, match="folder"):
        load_identities(tmp_path / "nowhere")
    with pytest.raises(EngineError, match="multiple of 32"):
        load_faces(root, image_size=100)


def test_an_upright_face_has_its_landmarks_where_networks_expect_them() -> None:
    image = np.full((200, 200, 3), 90, np.uint8)
    marks = draw_face(image, 60, 40, 90)
    turn = cv2.getRotationMatrix2D((100.0, 100.0), 30, 0.8)
    turned = cv2.warpAffine(image, turn, (200, 200))
    moved = np.column_stack([marks, np.ones(5)]) @ turn.T
    upright, straight = align_face(turned, moved, 64), align_face(image, marks, 64)
    assert np.abs(upright[8:-8, 8:-8].astype(int) - straight[8:-8, 8:-8].astype(int)).mean() < 12
    assert align_face(image, marks, 64, rim=4).shape == (72, 72, 3)
    whole = align_face(image, marks, 80)
    assert np.array_equal(align_face(image, marks, 64, around=0.8), whole[8:72, 8:72]), "its middle, as it is"
    assert np.array_equal(align_face(image, np.full((5, 2), 7.0), 16).shape, (16, 16, 3)), "five times the same place"


def test_changed_faces_are_still_those_faces_and_come_back_in_the_size_of_the_input(faces: FaceSet) -> None:
    pictures = faces.images[:16].float() / 255
    changed = face(pictures, torch.Generator().manual_seed(1), size=32)
    assert changed.shape == (16, 3, 32, 32) and changed.min() >= 0 and changed.max() <= 1
    plain = pictures[:, :, 2:-2, 2:-2]
    assert not torch.equal(changed, plain) and (changed - plain).abs().mean() < 0.25
    again = face(pictures, torch.Generator().manual_seed(1), size=32)
    assert torch.equal(changed, again)


def test_a_run_learns_to_tell_people_apart_whom_it_has_never_seen(faces: FaceSet, tmp_path: Path) -> None:
    config = TrainingConfig(
        data="identities", model="faces", image_size=32, epochs=12, batch_size=16, learning_rate=0.003, seed=2
    )
    events = list(fit(config, faces, folder=tmp_path))
    started, end = events[0], events[-1]
    assert isinstance(started, Started) and started.task == "faces" and started.classes == ("face",)
    assert isinstance(end, Stopped) and end.reason == "finished" and "judged rightly" in end.message
    assert end.best_accuracy > 0.85
    measured = [event.train_loss for event in events if isinstance(event, Epoch)]
    assert measured[-1] < measured[3]
    card = zoo.read_card(tmp_path / "model.json")
    assert card.task == "faces" and card.finder == "face-detector" and card.preprocess.kind == "face"
    net = zoo.network(card)  # without the directions of the people it was trained on
    assert card.parameters == sum(p.numel() for p in net.parameters())
    # What was kept is the network alone, and a run that starts from it knows at once what it knew.
    again = dataclasses.replace(
        config, start_from=str(tmp_path / "model.safetensors"), learning_rate=1e-7, weight_decay=0.0, epochs=1
    )
    epoch = next(event for event in fit(again, faces) if isinstance(event, Epoch))
    assert epoch.validation_accuracy == pytest.approx(end.best_accuracy, abs=0.02)


def test_the_protocol_judges_each_fold_by_a_threshold_of_the_others() -> None:
    cosines = np.array([0.9, 0.8, 0.1, 0.2, 0.9, 0.3, 0.2, 0.1], np.float32)
    same = np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
    folds = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    verified = verification(cosines, same, folds)
    assert verified.folds == (1.0, 0.75) and verified.accuracy == pytest.approx(0.875)
    assert 0.2 < verified.threshold < 0.3
    assert verification(-cosines, same, folds).accuracy < 0.6


def test_data_and_network_must_be_for_the_same(faces: FaceSet) -> None:
    with pytest.raises(EngineError, match="faces by person"):
        list(fit(TrainingConfig(data="identities", model="small"), faces))
    digits = load_synthetic_digits(count=200)
    with pytest.raises(EngineError, match="faces by person"):
        list(fit(TrainingConfig(model="faces"), digits))
