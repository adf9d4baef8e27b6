"""Learning boxes: a COCO folder read, mosaics that keep boxes on their things, the assignment, and a whole run."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import networks, zoo
from engine.data import DATASETS
from engine.data.detection import Batch, SceneData, compose, load_coco, load_crops, truth_of
from engine.errors import EngineError
from engine.images import read_picture
from engine.measure import Precision, average_precision
from engine.networks.detector import BINS, Detector, cell_centres
from engine.opencv import cv2
from engine.training.assign import detection_loss
from engine.training.config import TrainingConfig
from engine.training.events import Epoch, Started, Step, Stopped
from engine.training.fit import fit
from engine.types import Frame
from engine.vision import open_reader
from engine.vision.classify import Classifier
from engine.vision.evaluate import evaluate_tags

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
NAMES = tuple(COLOURS)


def draw(rng: np.random.Generator, width: int, height: int) -> tuple[np.ndarray, list[tuple[list[int], int]]]:
    """A grey picture with one or two filled boxes that do not touch, and those boxes as x, y, w, h with their class."""
    image = np.full((height, width, 3), int(rng.integers(90, 140)), np.uint8)
    boxes = []
    for half in range(int(rng.integers(1, 3))):
        w, h = (int(side) for side in rng.integers(14, 24, 2))
        x = int(rng.integers(2, width // 2 - w - 1)) + half * width // 2
        y = int(rng.integers(2, height - h - 1))
        label = int(rng.integers(2))
        image[y : y + h, x : x + w] = COLOURS[NAMES[label]]
        boxes.append(([x, y, w, h], label))
    return image, boxes


def write_part(folder: Path, name: str, count: int, *, tar: bool = False, seed: int = 0) -> None:
    """One COCO json of drawn pictures, the pictures beside it or in a tar file."""
    rng = np.random.default_rng(seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        width, height = (96, 64) if number % 2 else (72, 96)
        picture, boxes = draw(rng, width, height)
        file = f"{name}-{number}.png"
        cv2.imwrite(str(folder / file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": file, "width": width, "height": height})
        for bbox, label in boxes:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 10 + label, "bbox": bbox, "iscrowd": 0}
            )
    if tar:
        with tarfile.open(folder / f"{name}.tar", "w") as archive:
            for image in images:
                archive.add(folder / image["file_name"], image["file_name"])
                (folder / image["file_name"]).unlink()
                image["tar"] = f"{name}.tar"
    categories = [{"id": 11, "name": "blue"}, {"id": 10, "name": "red"}]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coco")
    write_part(path, "train", 96, tar=True, seed=1)
    write_part(path, "val", 16, seed=2)
    return path


@pytest.fixture(scope="module")
def data(folder: Path) -> SceneData:
    return load_coco(folder, image_size=96)


def inside(image: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    """Mean colour (3,) of the inner part of a box."""
    x0, y0, x1, y1 = box.tolist()
    mx, my = 0.25 * (x1 - x0), 0.25 * (y1 - y0)
    part = image[:, round(y0 + my) : max(round(y0 + my) + 1, round(y1 - my)), round(x0 + mx) : round(x1 - mx) + 1]
    return part.float().mean(dim=(1, 2))


def test_a_coco_folder_is_read_with_its_boxes_in_place(data: SceneData) -> None:
    assert data.classes == NAMES and not data.skipped
    assert len(data.train) == 96 and len(data.validation) == len(data.transforms) == 16
    assert data.validation.images.shape == (16, 3, 96, 96)
    for part in (data.train, data.validation):
        for number in range(len(part)):
            for box, label in zip(part.boxes[number], part.labels[number], strict=True):
                if label >= 0:
                    wanted = torch.tensor(COLOURS[NAMES[int(label)]], dtype=torch.float32)
                    assert (inside(part.images[number], box) - wanted).abs().max() < 12


def test_a_damaged_picture_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    write_part(tmp_path, "train", 4)
    write_part(tmp_path, "val", 2)
    (tmp_path / "train-1.png").write_bytes(b"\x89PNG not really")
    (tmp_path / "train-2.png").unlink()
    read = load_coco(tmp_path, image_size=64)
    assert len(read.train) == 2 and len(read.skipped) == 2
    assert "train-1.png" in read.skipped[0] and "train-2.png" in read.skipped[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values.pop("annotations"),
        lambda values: values["annotations"][0].update(bbox=[1, 2]),
        lambda values: values["annotations"][0].update(category_id=99),
        lambda values: values.update(images=3),
    ],
)
def test_what_is_no_coco_is_said_so(tmp_path: Path, damage: Callable[[dict[str, Any]], None]) -> None:
    write_part(tmp_path, "train", 2)
    write_part(tmp_path, "val", 2)
    change(tmp_path / "train.json", damage)
    with pytest.raises(EngineError, match="COCO"):
        load_coco(tmp_path, image_size=64)


def test_a_folder_without_the_files_and_an_odd_size_are_said_so(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(EngineError, match=r"train\.json"):
        load_coco(tmp_path, image_size=64)
    for size, near in ((100, "96 would do"), (16, "32 would do")):
        with pytest.raises(EngineError, match="multiple of 32") as failure:
            load_coco(folder, image_size=size)
        assert near in failure.value.hint


def test_boxes_end_where_their_picture_does(tmp_path: Path) -> None:
    write_part(tmp_path, "train", 2)
    write_part(tmp_path, "val", 2)

    def edit(values: dict[str, Any]) -> None:
        common = {"image_id": 0, "category_id": 10, "iscrowd": 0}
        values["annotations"] = [
            {"id": 1, "bbox": [-30, -20, 60, 1000], **common},
            {"id": 2, "bbox": [500, 500, 20, 20], **common},  # beside the picture
        ]

    change(tmp_path / "train.json", edit)
    read = load_coco(tmp_path, image_size=96)
    boxes = read.train.boxes[0][read.train.labels[0] >= 0]
    width, height = read.train.sizes[0].tolist()  # of a picture of 72 x 96
    assert boxes.tolist() == [pytest.approx([0, 0, 30 / 72 * width, height])]


def test_more_pictures_than_memory_are_said_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 999 bytes")

    monkeypatch.setattr(torch, "full", greedy)
    with pytest.raises(EngineError, match=r"96 pictures of 72 × 72 pixels need 0\.0 GB"):
        load_coco(folder, image_size=64)


def test_a_file_that_names_no_classes_is_refused(tmp_path: Path) -> None:
    write_part(tmp_path, "train", 2)
    write_part(tmp_path, "val", 2)
    for part in ("train", "val"):
        change(tmp_path / f"{part}.json", lambda values: values.update(annotations=[], categories=[]))
    with pytest.raises(EngineError, match="names no categories"):
        load_coco(tmp_path, image_size=64)


@pytest.mark.parametrize("mosaic", [0.0, 1.0, 0.5])
def test_boxes_stay_on_their_things_through_a_composition(data: SceneData, mosaic: float) -> None:
    batch = compose(data.train, torch.arange(32), 96, torch.Generator().manual_seed(3), mosaic=mosaic)
    assert batch.images.shape == (32, 3, 96, 96)
    assert batch.images.min() >= 0 and batch.images.max() <= 1
    assert len(batch.boxes) > 16 and batch.boxes.min() >= 0 and batch.boxes.max() <= 96
    right = 0
    for box, label, owner in zip(batch.boxes, batch.labels, batch.owner, strict=True):
        red, _, blue = inside(batch.images[int(owner)] * 255, box).tolist()
        right += (red > blue + 60) if label == 0 else (blue > red + 60)
    assert right == len(batch.boxes)


def test_the_same_seed_composes_the_same_batch(data: SceneData) -> None:
    one, two, other = (
        compose(data.train, torch.arange(8), 64, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(one.images, two.images) and torch.equal(one.boxes, two.boxes)
    assert not torch.equal(one.images, other.images)


def test_what_a_source_does_not_label_is_not_known(tmp_path: Path) -> None:
    write_part(tmp_path, "train", 4)
    write_part(tmp_path, "val", 2)

    def edit(values: dict[str, Any]) -> None:
        values["sources"] = [{"name": "half", "labelled_classes": ["blue"]}]
        values["images"][0]["source"] = values["images"][2]["source"] = "half"

    change(tmp_path / "train.json", edit)
    read = load_coco(tmp_path, image_size=64)
    assert read.train.known.tolist() == [[False, True], [True, True], [False, True], [True, True]]
    assert read.only(["blue"]).train.known.flatten().tolist() == [True] * 4
    with pytest.raises(EngineError, match="no class “green”"):
        read.only(["green"])


def test_crops_show_what_their_label_says(folder: Path) -> None:
    crops = load_crops(folder, image_size=32)
    assert crops.train.images.shape[1:] == (3, 32, 32) and len(crops.train) >= 96
    for image, label in zip(crops.train.images, crops.train.labels, strict=True):
        wanted = torch.tensor(COLOURS[NAMES[int(label)]], dtype=torch.float32)
        assert (image[:, 12:20, 12:20].float().mean(dim=(1, 2)) - wanted).abs().max() < 25


def small_detector() -> Detector:
    net = networks.build("detector", classes=2, channels=3, image_size=64, width=0.25)
    assert isinstance(net, Detector)
    return net


def one_box(label: int, known: tuple[bool, bool]) -> Batch:
    return Batch(
        torch.zeros(1, 3, 64, 64),
        torch.tensor([[8.0, 8.0, 40.0, 40.0]]),
        torch.tensor([label]),
        torch.tensor([0]),
        torch.tensor([[known] * 4]),
        torch.full((1, 2), 64.0),
        torch.full((1, 5, 2), torch.nan),
        torch.zeros(1, 1, 4),
    )


def test_nobody_is_punished_for_a_class_that_is_not_labelled_there() -> None:
    net = small_detector()
    centres = cell_centres(64, torch.device("cpu"))
    raw = torch.zeros(1, len(centres[0]), 4 * BINS + 2, requires_grad=True)
    loss, _ = detection_loss(raw, one_box(0, (False, False)), centres=centres, classes=2, model=net)
    loss.backward()
    assert raw.grad is not None
    scores = raw.grad[0, :, 4 * BINS :]
    assert (scores[:, 1] == 0).all(), "an unlabelled class has no say"
    answering = scores[:, 0] != 0
    assert 0 < answering.sum() <= 10, "the cells that answer for the box learn its class all the same"
    points = centres[0][answering]
    assert ((points > 8) & (points < 40)).all()
    raw = raw.detach().requires_grad_()
    loss, _ = detection_loss(raw, one_box(0, (True, True)), centres=centres, classes=2, model=net)
    loss.backward()
    assert raw.grad is not None and (raw.grad[0, :, 4 * BINS + 1] > 0).all(), "where it is labelled, its absence counts"


def test_of_a_crowd_nothing_is_learnt_where_it_stands_and_what_stands_there_is_no_mistake(tmp_path: Path) -> None:
    write_part(tmp_path, "train", 2)
    write_part(tmp_path, "val", 2)

    def crowd(values: dict[str, Any]) -> None:
        values["annotations"].append({"id": 99, "image_id": 0, "category_id": 10, "bbox": [4, 8, 20, 24], "iscrowd": 1})

    change(tmp_path / "train.json", crowd)
    change(tmp_path / "val.json", crowd)
    read = load_coco(tmp_path, image_size=96)
    width, height = (72, 96)  # of picture 0
    assert (read.train.labels[0] >= 0).sum() == (load_coco(tmp_path, image_size=96).train.labels[0] >= 0).sum()
    factor = read.train.images.shape[-1] / max(width, height)
    placed = torch.tensor([4.0, 8.0, 24.0, 32.0]) * factor
    assert (read.train.ignored[0, 0] - placed).abs().max() < 0.6 and (read.train.ignored[1] == 0).all()
    batch = one_box(0, (True, True))
    batch = replace(batch, ignored=torch.tensor([[[40.0, 0.0, 64.0, 64.0]]]))
    centres = cell_centres(64, torch.device("cpu"))
    raw = torch.zeros(1, len(centres[0]), 4 * BINS + 2, requires_grad=True)
    loss, _ = detection_loss(raw, batch, centres=centres, classes=2, model=small_detector())
    loss.backward()
    assert raw.grad is not None
    within = centres[0][:, 0] >= 40
    assert (raw.grad[0, within, 4 * BINS :] == 0).all() and (raw.grad[0, ~within, 4 * BINS + 1] > 0).all()
    truth = truth_of(read.validation, read.transforms, 0)
    assert truth.crowd.sum() == 2 and np.abs(truth.xyxy[truth.crowd][0] - (4, 8, 24, 32)).max() < 0.1


def test_a_picture_without_boxes_has_a_finite_loss() -> None:
    net = small_detector()
    centres = cell_centres(64, torch.device("cpu"))
    batch = one_box(0, (True, True))
    nothing = {name: getattr(batch, name)[:0] for name in ("boxes", "labels", "owner", "landmarks")}
    empty = replace(batch, **nothing)
    loss, overlap = detection_loss(net.raw(batch.images), empty, centres=centres, classes=2, model=net)
    assert torch.isfinite(loss) and overlap == 0


CONFIG = TrainingConfig(
    data="coco", model="detector", width=0.25, image_size=96, epochs=24, batch_size=8, learning_rate=0.004, seed=3
)


def test_a_run_learns_boxes_and_the_card_finds_them(data: SceneData, folder: Path, tmp_path: Path) -> None:
    events = list(fit(CONFIG, data, folder=tmp_path))
    started, end = events[0], events[-1]
    assert isinstance(started, Started) and started.task == "detection"
    assert isinstance(end, Stopped) and end.reason == "finished" and "average precision" in end.message
    assert end.best_accuracy > 0.8
    card = zoo.read_card(tmp_path / "model.json")
    assert card.task == "detection" and card.classes == NAMES and card.boxes == "distances"
    assert card.metrics["validation mAP@0.5"] == pytest.approx(end.best_accuracy)
    reader = open_reader(card)
    picture = read_picture(folder / "val-0.png")
    found = reader.predict(Frame(picture, "test", 0, 0.0)).detections
    assert found is not None and len(found) and found.confidence[0] > 0.2
    x0, y0, x1, y1 = found.xyxy[0]
    middle = picture[int((y0 + y1) / 2), int((x0 + x1) / 2)]
    assert np.abs(middle.astype(int) - COLOURS[NAMES[int(found.class_id[0])]]).max() < 25


def test_a_run_learns_what_is_in_pictures_and_the_card_says_it(
    data: SceneData, folder: Path, tmp_path: Path, home: Path
) -> None:
    config = TrainingConfig(
        data="coco",
        model="objects",
        width=0.25,
        image_size=96,
        epochs=24,
        batch_size=8,
        learning_rate=0.003,
        dropout=0.0,
        seed=3,
    )
    events = list(fit(config, data, folder=tmp_path))
    started, end = events[0], events[-1]
    assert isinstance(started, Started) and started.task == "tags"
    assert isinstance(end, Stopped) and end.reason == "finished" and "average precision of the classes" in end.message
    card = zoo.read_card(tmp_path / "model.json")
    assert card.task == "classification" and card.many and card.classes == NAMES
    classifier = Classifier(card)
    assert classifier.card.layers[-1].title == "sigmoid"
    measured = evaluate_tags(classifier, folder)
    assert set(measured.ap) == {"blue", "red"} and measured.count == 16 and measured.map > 0.9
    assert measured.map == pytest.approx(end.best_accuracy, abs=0.08)  # the trainer's pictures are resized twice
    classifier.explains = True
    picture = read_picture(folder / "val-1.png")[:, :64]
    seen = classifier.predict(Frame(picture, "test", 0, 0.0))
    heat = seen.heat
    assert heat is not None and seen.classification is not None and heat.label == seen.classification.label
    assert heat.box == (0.0, 0.0, 64.0, 64.0) and heat.values.shape == (3, 3)
    net = zoo.network(card).eval()
    pixels = torch.from_numpy(seen.regions[0].network_input.copy()).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(each)[:, None, None] for each in (card.preprocess.mean, card.preprocess.std))
    with torch.inference_mode():
        maps = net.backbone((pixels - mean) / std)[2][0]
        places = torch.einsum("c,chw->hw", net.fc.weight[seen.classification.best], maps)
        logit = net((pixels - mean) / std)[0, seen.classification.best]
    assert float(places.mean() + net.fc.bias[seen.classification.best]) == pytest.approx(float(logit), abs=1e-3)
    wanted = places.clip(0) / max(1e-9, float(places.clip(0).max()))
    assert np.abs(heat.values - wanted.numpy()).max() < 0.01


def test_pictures_of_which_nothing_is_known_are_not_learnt_from(tmp_path: Path) -> None:
    write_part(tmp_path, "train", 4, seed=5)
    write_part(tmp_path, "val", 2)

    def edit(values: dict[str, Any]) -> None:
        values["sources"] = [{"name": "cups", "labelled_classes": []}]
        for picture in values["images"][:2]:
            picture["source"] = "cups"
        values["annotations"] = [each for each in values["annotations"] if each["image_id"] != 0]

    change(tmp_path / "train.json", edit)
    read = load_coco(tmp_path, image_size=64)
    kept = read.only(["red", "blue"]).train
    assert len(read.train) == 4 and len(kept) == 3  # the second has a box, the first neither box nor anything known
    assert torch.equal(kept.images, read.train.images[1:])


def test_a_run_of_boxes_that_was_broken_off_goes_on_along_the_same_curve(data: SceneData, tmp_path: Path) -> None:
    short = TrainingConfig(**{**CONFIG.values(), "epochs": 3})
    whole = list(fit(short, data))
    asked = iter([False] * 14 + [True] * 9)
    list(fit(short, data, folder=tmp_path, stop=lambda: next(asked)))
    rest = list(fit(short, data, folder=tmp_path, resume=True))
    curve = [event.loss for event in whole if isinstance(event, Step)]
    assert [event.loss for event in rest if isinstance(event, Step)] == curve[-24:]
    assert [e for e in whole if isinstance(e, Epoch)][-1].validation_loss == rest[-2].validation_loss  # type: ignore[union-attr]


def test_a_network_and_data_that_do_not_suit_each_other_are_said_so(data: SceneData) -> None:
    with pytest.raises(EngineError, match="pictures with boxes"):
        next(iter(fit(TrainingConfig(data="coco", model="faces"), data)))
    with pytest.raises(EngineError, match="only one class"):
        next(iter(fit(TrainingConfig(data="coco", model="small"), data.only(["red"]))))
    digits = DATASETS["synthetic-digits"].load(count=40)  # type: ignore[call-arg]
    with pytest.raises(EngineError, match="learns from pictures with boxes"):
        next(iter(fit(TrainingConfig(model="detector"), digits)))


def test_the_card_has_the_score_that_suits_the_validation_part(
    data: SceneData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*args: Any, **kwargs: Any) -> Precision:
        return replace(average_precision(*args, **kwargs), sure=0.4)

    monkeypatch.setattr("engine.training.tasks.average_precision", measured)
    list(fit(replace(CONFIG, epochs=1), data, folder=tmp_path))
    assert zoo.read_card(tmp_path / "model.json").min_score == 0.4


def test_a_detector_starts_from_the_backbone_of_a_classifier(data: SceneData, folder: Path, tmp_path: Path) -> None:
    crops = load_crops(folder, image_size=32)
    common = {"width": 0.25, "epochs": 1, "batch_size": 16, "augmentation": "none"}
    list(fit(TrainingConfig(data="crops", model="objects", **common), crops, folder=tmp_path))  # type: ignore[arg-type]
    weights = str(tmp_path / "model.safetensors")
    with_start = {**CONFIG.values(), "epochs": 1, "start_from": weights}
    first = [event.loss for event in fit(TrainingConfig(**with_start), data) if isinstance(event, Step)]
    plain = [
        event.loss for event in fit(TrainingConfig(**{**with_start, "start_from": ""}), data) if isinstance(event, Step)
    ]
    assert first[0] != plain[0]
    with pytest.raises(EngineError, match="another network"):
        next(iter(fit(TrainingConfig(model="small", start_from=weights), DATASETS["synthetic-digits"].load(count=40))))  # type: ignore[call-arg]
