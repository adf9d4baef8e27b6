"""Labelled pictures on the disk: COCO files that the trainer reads, that survive anything and teach a detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import store, zoo
from engine.coco import read_coco
from engine.data.detection import load_coco
from engine.errors import EngineError, WriteError
from engine.images import read_picture
from engine.labels import LabelledBox, LabelledSet
from engine.measure import Truth, average_precision
from engine.opencv import cv2
from engine.training.config import TrainingConfig
from engine.training.events import Started, Step, Stopped
from engine.training.fit import fit
from engine.types import Frame
from engine.vision import open_reader
from tests.engine.drawn_things import STAR, scene


def picture(level: int = 120, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def box(label: str = "cup", x: float = 8, y: float = 6, side: float = 20) -> LabelledBox:
    return LabelledBox(label, (x, y, x + side, y + side))


def filled(folder: Path, count: int) -> LabelledSet:
    labelled = LabelledSet(folder)
    for number in range(count):
        labelled.add(picture(10 * number), [box(x=number)])
    return labelled


def parts(folder: Path) -> dict[str, dict]:
    return {part: json.loads((folder / f"{part}.json").read_text(encoding="utf-8")) for part in ("train", "val")}


def test_what_is_added_is_there_again_and_the_trainer_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "my set"
    labelled = LabelledSet(folder)
    assert not folder.exists(), "looking at a folder writes nothing"
    first = labelled.add(picture(40), [box(), box("plate", 30, 10, 15)], name="camera 1")
    second = labelled.add(picture(90), [box("plate")])
    assert first.part == "train" and second.part == "val"
    again = LabelledSet(folder)
    assert again.classes == ("cup", "plate") and again.pictures == labelled.pictures
    assert np.array_equal(again.read(first.number), picture(40)), "what a camera gave is kept without a loss"
    data = load_coco(folder, image_size=64)
    assert data.classes == ("cup", "plate") and len(data.train) == len(data.validation) == 1
    assert data.train.known.all() and (data.train.labels >= 0).sum() == 2
    assert not data.skipped


def test_every_fifth_picture_is_measured_with(tmp_path: Path) -> None:
    labelled = filled(tmp_path, 20)
    assert [each.number for each in labelled.pictures if each.part == "val"] == [2, 7, 12, 17]
    labelled.remove(7)
    added = labelled.add(picture(), [box()])
    assert added.part == "val", "the share stays, whatever is taken out"


def test_both_parts_have_boxes_as_soon_as_two_pictures_have(tmp_path: Path) -> None:
    labelled = LabelledSet(tmp_path)
    first = labelled.add(picture(), [box()])
    empty = labelled.add(picture(), [])  # nothing to find: it would be the one to measure with
    third = labelled.add(picture(), [box()])
    found = {each.number: each.part for each in labelled.pictures}
    assert {found[first.number], found[third.number]} == {"train", "val"} and empty.number in found
    labelled.remove(first.number)
    labelled.add(picture(), [box()])
    assert all(any(each.boxes for each in labelled.pictures if each.part == part) for part in ("train", "val"))
    load_coco(tmp_path, image_size=64)


def test_files_are_kept_as_they_are_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (48, 64, 3), np.uint8)
    sources = {}
    for kind in ("jpg", "png", "bmp"):
        sources[kind] = tmp_path / f"some thing.{kind}"
        cv2.imwrite(str(sources[kind]), noise)
    labelled = LabelledSet(tmp_path / "set")
    for kind, path in sources.items():
        added = labelled.add(path, [box()])
        kept = labelled.file_of(added.number)
        assert kept.suffix == (".jpg" if kind == "jpg" else ".png")
        assert (kept.read_bytes() == path.read_bytes()) == (kind != "bmp")
        assert np.array_equal(labelled.read(added.number), read_picture(path)) and added.size == (64, 48)
    here = tmp_path / "set" / "mine.png"
    here.write_bytes(sources["png"].read_bytes())
    assert labelled.add(here, [box()]).file == "mine.png", "a file in the folder stays where it is"
    with pytest.raises(EngineError, match="already"):
        labelled.add(here, [box()])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(EngineError, match="breaks off"):
        labelled.add(tmp_path / "broken.png", [box()])
    assert len(labelled.pictures) == 4


def test_boxes_are_changed_and_pictures_taken_out_and_put_back(tmp_path: Path) -> None:
    labelled = filled(tmp_path, 4)
    changed = labelled.change(3, [box("cup", 50, 40, 100), box("lid")])
    assert changed.boxes[0].xyxy == (50, 40, 64, 48), "a box ends where the picture does"
    with pytest.raises(EngineError, match="outside"):
        labelled.change(3, [box(x=200)])
    assert LabelledSet(tmp_path).pictures[2] == changed
    kept = labelled.file_of(3)
    removed = labelled.remove(3)
    assert not kept.exists() and [each.number for each in LabelledSet(tmp_path).pictures] == [1, 2, 4]
    assert "pixels" not in repr(removed) and len(repr(removed)) < 100
    back = labelled.restore(removed)
    assert back == changed and kept.exists() and LabelledSet(tmp_path).pictures == labelled.pictures
    labelled.remove(3)
    elsewhere = tmp_path / "own.png"
    cv2.imwrite(str(elsewhere), picture())
    labelled.remove(labelled.add(elsewhere, [box()]).number)
    assert elsewhere.exists(), "what was not copied is not deleted"


def test_a_picture_that_comes_back_takes_nothing_from_those_that_came_after_it(tmp_path: Path) -> None:
    labelled = LabelledSet(tmp_path)
    first, second = (labelled.add(picture(level), [box()], name="clip") for level in (10, 20))
    removed = labelled.remove(second.number)
    third = labelled.add(picture(30), [box()], name="clip")
    assert third.number != second.number and third.file != second.file, "a number is given once"
    back = labelled.restore(removed)
    labelled.remove(third.number)
    again = LabelledSet(tmp_path)
    assert [each.number for each in again.pictures] == [first.number, back.number] and back.file == second.file
    for number, level in ((first.number, 10), (back.number, 20)):
        assert np.array_equal(again.read(number), picture(level))

    removed = labelled.remove(back.number)
    other = labelled.folder / back.file  # somebody else puts a file there meanwhile
    other.write_bytes(b"mine")
    assert np.array_equal(labelled.read(removed), picture(20))
    back = labelled.restore(removed, [box("lid")])
    assert other.read_bytes() == b"mine" and np.array_equal(labelled.read(back.number), picture(20))
    assert [each.label for each in back.boxes] == ["lid"] and LabelledSet(tmp_path).pictures == labelled.pictures
    with pytest.raises(EngineError, match="already"):
        labelled.restore(removed)
    assert np.array_equal(labelled.read(back.number), picture(20))

    own = tmp_path / "own.png"  # lies in the folder, and stays there
    cv2.imwrite(str(own), picture(40))
    removed = labelled.remove(labelled.add(own, [box()]).number)
    assert np.array_equal(labelled.read(removed), picture(40))
    labelled.add(own, [box()])
    with pytest.raises(EngineError, match="already"):
        labelled.restore(removed)


def test_classes_are_added_renamed_and_removed(tmp_path: Path) -> None:
    labelled = filled(tmp_path, 3)
    labelled.add_class("  tall   glass ")
    labelled.add_class("tall glass")
    assert labelled.classes == ("cup", "tall glass")
    labelled.rename_class("cup", "mug")
    assert LabelledSet(tmp_path).classes == ("mug", "tall glass")
    assert {each.label for one in LabelledSet(tmp_path).pictures for each in one.boxes} == {"mug"}
    for name, match in (("tall glass", "already"), (" ", "needs a name"), ("a, b", "comma")):
        with pytest.raises(EngineError, match=match):
            labelled.rename_class("mug", name)
    with pytest.raises(EngineError, match="boxes of “mug”"):
        labelled.remove_class("mug")
    labelled.remove_class("tall glass")
    assert LabelledSet(tmp_path).classes == ("mug",)


def test_a_folder_made_elsewhere_loses_nothing(tmp_path: Path) -> None:
    images = []
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(20 * number))
        images.append({"id": 40 + number, "file_name": f"{number}.png", "width": 64, "height": 48, "licence": 7})
    outline = {"segmentation": [[1, 1, 9, 1, 9, 9]], "area": 32.0, "iscrowd": 0}
    annotations = [
        {"id": 5 + number, "image_id": 40 + number, "category_id": 3, "bbox": [1, 1, 8, 8], **outline}
        for number in range(6)
    ]
    annotations.append({"id": 90, "image_id": 40, "category_id": 9, "bbox": [20, 20, 30, 20], "iscrowd": 1})
    categories = [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat", "supercategory": "animal"}]
    values = {"info": {"by": "somebody"}, "images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "train.json").write_text(json.dumps(values), encoding="utf-8")
    labelled = LabelledSet(tmp_path)
    assert labelled.classes == ("cat", "dog") and not (tmp_path / "val.json").exists()
    assert [each.part for each in labelled.pictures] == ["train", "val", "train", "train", "train", "train"]
    labelled.change(40, [*labelled.pictures[0].boxes, box("dog")])
    found = parts(tmp_path)
    assert found["train"]["info"] == {"by": "somebody"}
    assert all(each["licence"] == 7 for part in found.values() for each in part["images"])
    everything = [each for part in found.values() for each in part["annotations"]]
    assert sum("segmentation" in each for each in everything) == 6 and len(everything) == 8
    crowd = next(each for each in everything if each["iscrowd"])
    assert crowd["id"] == 90 and crowd["category_id"] == 9 and crowd["bbox"] == [20, 20, 30, 20]
    assert len({each["id"] for each in everything}) == 8
    assert found["train"]["categories"][0]["supercategory"] == "animal"
    assert len(load_coco(tmp_path, image_size=64).train) == 5


def test_parts_whose_numbers_and_classes_differ_are_brought_together(tmp_path: Path) -> None:
    for part, names in (("train", ("cat", "dog")), ("val", ("dog", "cow"))):
        images = [{"id": 1, "file_name": f"{part}.png", "width": 64, "height": 48}]
        cv2.imwrite(str(tmp_path / f"{part}.png"), picture())
        categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
        annotations = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8]}]
        values = {"images": images, "annotations": annotations, "categories": categories}
        (tmp_path / f"{part}.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(EngineError, match="different categories"):
        load_coco(tmp_path, image_size=64)
    labelled = LabelledSet(tmp_path)
    assert labelled.classes == ("cat", "dog", "cow")
    assert [(each.file, each.boxes[0].label) for each in labelled.pictures] == [
        ("train.png", "cat"),
        ("val.png", "dog"),
    ]
    config = labelled.recipe()
    assert config.classes == "cat, dog", "of cows there is nothing to learn"
    assert load_coco(tmp_path, image_size=64).classes == ("cat", "dog", "cow")


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("text", ["", "{", '{"images": [], "annotations": []}', "[1]", "\x00\x01"])
def test_a_damaged_file_is_said_so_and_left_alone(tmp_path: Path, part: str, text: str) -> None:
    filled(tmp_path, 3)
    (tmp_path / f"{part}.json").write_text(text, encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(EngineError, match=part) as failure:
        LabelledSet(tmp_path)
    assert "Nothing was changed" in failure.value.hint
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_two_pictures_of_one_number_and_a_file_for_a_folder_are_said_so(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    values = parts(tmp_path)["train"]
    values["images"][1]["id"] = values["images"][0]["id"]
    (tmp_path / "train.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(EngineError, match="two pictures"):
        LabelledSet(tmp_path)
    with pytest.raises(EngineError, match="no folder"):
        LabelledSet(tmp_path / "val.json")


class Killed(BaseException):
    """As if the program ended here."""


def test_a_program_killed_at_any_write_leaves_a_whole_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write of a little history is the last one once; what was there before it is there again."""
    real = store.replace_file

    def history(labelled: LabelledSet) -> None:
        labelled.add(picture(1), [])
        labelled.add(picture(2), [box()])
        labelled.add(picture(3), [box(), box("lid")])
        labelled.add_class("plate")
        labelled.rename_class("cup", "mug")
        labelled.change(2, [box("mug", 3, 3)])
        labelled.remove(3)
        labelled.add(picture(4), [box("mug")])

    last, seen = 0, []
    while True:
        folder, count = tmp_path / str(last), 0

        def write(path: Path, fill, last: int = last) -> None:
            nonlocal count
            count += 1
            if count > last:
                raise Killed
            real(path, fill)

        monkeypatch.setattr(store, "replace_file", write)
        try:
            history(LabelledSet(folder))
        except Killed:
            killed = True
        else:
            killed = False
        monkeypatch.setattr(store, "replace_file", real)
        found = LabelledSet(folder)
        for each in found.pictures:
            assert found.read(each.number).shape == (48, 64, 3), "a picture that is named is there"
        seen.append(len(found.pictures))
        found.add(picture(9), [box("new")])  # and it can be gone on with
        assert LabelledSet(folder).pictures == found.pictures
        if len(found.pictures) > 1 and sum(bool(each.boxes) for each in found.pictures) > 1:
            found.recipe()
            load_coco(folder, image_size=64)
        if not killed:
            break
        last += 1
    assert last > 12 and seen[0] == 0 and seen[-1] == 3 and max(seen) == 3


def test_a_full_disk_leaves_the_set_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = filled(tmp_path, 4)
    removed = labelled.remove(3)
    before = labelled.pictures, labelled.classes, parts(tmp_path), sorted(tmp_path.rglob("*"))
    real = store.replace_file

    def full(path: Path, fill) -> None:
        if path.suffix == ".json":
            raise WriteError("The disk is full.")
        real(path, fill)

    monkeypatch.setattr(store, "replace_file", full)
    for attempt in (
        lambda: labelled.add(picture(), [box("new")]),
        lambda: labelled.change(1, [box("other")]),
        lambda: labelled.remove(2),
        lambda: labelled.restore(removed, [box("new")]),
        lambda: labelled.rename_class("cup", "mug"),
        lambda: labelled.add_class("plate"),
    ):
        with pytest.raises(WriteError):
            attempt()
        assert (labelled.pictures, labelled.classes, parts(tmp_path), sorted(tmp_path.rglob("*"))) == before
    monkeypatch.setattr(store, "replace_file", real)
    labelled.change(1, [box("other")])
    assert LabelledSet(tmp_path).pictures == labelled.pictures


def test_a_recipe_shows_few_pictures_often_and_begins_with_what_is_known(tmp_path: Path) -> None:
    labelled = filled(tmp_path / "cups", 20)
    plain = labelled.recipe()
    assert plain.model == "detector" and plain.start_from == "" and plain.frozen == "nothing"
    assert plain.repeats == 10 and plain.classes == "cup" and Path(plain.folder) == tmp_path / "cups"
    start = zoo.read_card(trained(tmp_path, labelled, TrainingConfig(**{**plain.values(), **SMALL, "epochs": 1})))
    built = labelled.recipe(start)
    assert built.width == 0.25 and built.image_size == 64 and built.start_from == str(start.weights)
    assert built.frozen == "backbone" and built.epochs < plain.epochs and built.learning_rate < plain.learning_rate
    with pytest.raises(EngineError, match="too little"):
        filled(tmp_path / "one", 1).recipe()


SMALL = {"width": 0.25, "image_size": 64, "repeats": 1}


def trained(tmp_path: Path, labelled: LabelledSet, config: TrainingConfig) -> Path:
    out = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
    data = load_coco(labelled.folder, image_size=config.image_size).only(config.classes.split(", "))
    events = list(fit(config, data, folder=out))
    assert isinstance(events[-1], Stopped) and events[-1].reason == "finished"
    return out / "model.json"


def test_an_epoch_repeats_few_pictures_and_goes_on_along_the_same_curve(tmp_path: Path) -> None:
    labelled = filled(tmp_path / "cups", 6)
    config = TrainingConfig(**{**labelled.recipe().values(), **SMALL, "repeats": 4, "epochs": 2, "batch_size": 5})
    data = load_coco(labelled.folder, image_size=64)
    whole = list(fit(config, data))
    started = whole[0]
    assert isinstance(started, Started) and started.train_images == 5 and started.steps_per_epoch == 4
    asked = iter([False] * 4 + [True] * 9)
    list(fit(config, data, folder=tmp_path / "run", stop=lambda: next(asked)))
    rest = list(fit(config, data, folder=tmp_path / "run", resume=True))
    curve = [event.loss for event in whole if isinstance(event, Step)]
    assert [event.loss for event in rest if isinstance(event, Step)] == curve[4:]


def test_a_frozen_backbone_stays_and_known_classes_keep_what_is_known_of_them(tmp_path: Path) -> None:
    import safetensors.torch
    import torch

    labelled = filled(tmp_path / "cups", 6)
    labelled.change(1, [box("cup"), box("plate", 30)])
    first = zoo.read_card(
        trained(tmp_path, labelled, TrainingConfig(**{**labelled.recipe().values(), **SMALL, "epochs": 1}))
    )
    assert first.weights is not None and first.classes == ("cup", "plate")
    labelled.change(2, [box("lid"), box("plate", 30), box("knob", 40, 30, 8)])
    config = TrainingConfig(
        **{**labelled.recipe(first).values(), "epochs": 1, "repeats": 1, "learning_rate": 1e-7, "average_weights": 0.0}
    )
    assert config.classes == "cup, plate, lid, knob"
    second = zoo.read_card(trained(tmp_path, labelled, config))
    assert second.weights is not None
    old, new = safetensors.torch.load_file(first.weights), safetensors.torch.load_file(second.weights)
    backbone = [name for name in old if name.startswith("backbone.")]
    assert backbone and all(torch.equal(old[name], new[name]) for name in backbone)
    assert any(not torch.equal(old[name], new[name]) for name in old if name.startswith("heads."))
    for grid in range(3):
        before, after = old[f"scores.{grid}.weight"], new[f"scores.{grid}.weight"]
        assert after.shape[0] == 4 and torch.allclose(before, after[:2], atol=1e-5)


def measured(card_file: Path, *, seed: int, count: int = 16) -> float:
    """AP at an IoU of 0.5 in new scenes, which nobody has learnt from."""
    reader = open_reader(zoo.read_card(card_file))
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for number in range(count):
        image, boxes = scene(rng)
        answer = reader.predict(Frame(image, "test", number, 0.0)).detections
        assert answer is not None
        found.append(answer)
        corners = np.array([each.xyxy for each in boxes], np.float32)
        truth.append(Truth(corners, np.zeros(len(boxes), np.int64), np.zeros(len(boxes), bool)))
    return average_precision(found, truth, labels=(STAR,)).map50


def twenty_scenes(folder: Path) -> LabelledSet:
    rng = np.random.default_rng(1)
    labelled = LabelledSet(folder)
    for _ in range(20):
        image, boxes = scene(rng)
        labelled.add(image, boxes)
    return labelled


def test_twenty_pictures_of_a_new_object_are_enough_for_a_detector_that_knows_others(tmp_path: Path) -> None:
    """The bundled detector has never seen such a star; it is fine-tuned as the window would do it."""
    file = store.RESOURCES / "models" / "detector.json"
    if not file.exists():
        pytest.skip("the bundled detector is not there yet")
    labelled = twenty_scenes(tmp_path / "stars")
    config = labelled.recipe(zoo.read_card(file))
    # Half of the time that people give it: enough here, where one thread has to do.
    config = TrainingConfig(**{**config.values(), "epochs": 8})
    card = trained(tmp_path, labelled, config)
    assert zoo.read_card(card).classes == (STAR,)
    assert measured(card, seed=99) > 0.7


def test_a_detector_that_begins_with_nothing_learns_from_twenty_pictures_too(tmp_path: Path) -> None:
    labelled = twenty_scenes(tmp_path / "stars")
    config = TrainingConfig(**{**labelled.recipe().values(), "width": 0.25, "image_size": 128, "epochs": 24})
    assert measured(trained(tmp_path, labelled, config), seed=99) > 0.6


def test_the_files_are_those_that_other_programs_read(tmp_path: Path) -> None:
    filled(tmp_path, 6)
    for part, count in (("train", 5), ("val", 1)):
        file = read_coco(tmp_path / f"{part}.json")
        assert file.classes == ("cup",) and len(file.entries) == count
        values = parts(tmp_path)[part]
        for each in values["annotations"]:
            x, y, width, height = each["bbox"]
            assert each["area"] == width * height and each["iscrowd"] == 0 and x >= 0 and y >= 0
        assert len({each["id"] for each in values["annotations"]}) == len(values["annotations"])
