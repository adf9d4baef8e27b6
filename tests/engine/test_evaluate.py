"""A detector that finds coloured spots, measured on pictures of which it is known where the spots are."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import zoo
from engine.errors import EngineError
from engine.measure import Precision
from engine.opencv import cv2
from engine.types import Image
from engine.vision.detect import Detector
from engine.vision.evaluate import evaluate
from tests.engine.conftest import spotted

NAMES = {3: "green", 7: "red", 90: "blue", 91: "person"}
IDS = {name: number for number, name in NAMES.items()}

Spot = tuple[int, int, str]


@pytest.fixture
def detector(home: Path) -> Detector:
    return Detector(zoo.model_card("spots"))


def box(x: int, y: int) -> list[float]:
    """What the detector says of a spot that does not touch the edge, as x, y, width, height."""
    return [80 * x - 40, 80 * y - 40, 160, 160]


def encoded(image: Image) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def write(
    folder: Path,
    *pictures: tuple[Sequence[Spot], Sequence[Spot], dict[str, Any]],
    sources: Sequence[dict[str, Any]] = (),
) -> Path:
    """A file with pictures: the spots in it, the boxes that the file tells of, and what else is said of the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    tars: dict[str, list[tuple[str, bytes]]] = {}
    for number, (seen, told, more) in enumerate(pictures, start=10):
        name = f"picture {number}.png"
        data = encoded(spotted(*seen))
        if "tar" in more:
            tars.setdefault(more["tar"], []).append((name, data))
        else:
            (folder / name).write_bytes(data)
        images.append({"id": number, "file_name": name, "width": 640, "height": 480, **more})
        for x, y, label in told:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": IDS[label],
                    "bbox": box(x, y),
                    "area": 25600,
                    "iscrowd": 0,
                }
            )
    for tar, members in tars.items():
        with tarfile.open(folder / tar, "w") as file:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    path = folder / "val.json"
    categories = [{"id": number, "name": name} for number, name in NAMES.items()]
    values = {"images": images, "annotations": annotations, "categories": categories, "sources": list(sources)}
    path.write_text(json.dumps(values))
    return path


def measured(detector: Detector, path: Path, **options: Any) -> Precision:
    return evaluate(detector, path, **options)


def test_what_is_found_where_it_is_is_right(detector: Detector, tmp_path: Path) -> None:
    spots = [(2, 3, "red"), (5, 1, "green")]
    precision = measured(detector, write(tmp_path, (spots, spots, {}), ([(4, 4, "red")], [(4, 4, "red")], {})))
    assert precision.map == pytest.approx(1)
    assert precision.map50 == pytest.approx(1)
    assert precision.ap50 == {"red": pytest.approx(1), "green": pytest.approx(1), "blue": None}
    assert precision.boxes == {"red": 2, "green": 1, "blue": 0}
    assert precision.count == 2


def test_classes_are_told_apart_by_name_whatever_their_numbers(detector: Detector, tmp_path: Path) -> None:
    path = write(tmp_path, ([(2, 3, "red")], [(2, 3, "green")], {}))
    assert measured(detector, path).ap50 == {"red": None, "green": 0.0, "blue": None}


def test_only_some_classes(detector: Detector, tmp_path: Path) -> None:
    path = write(tmp_path, ([(2, 3, "red"), (5, 1, "green")], [(2, 3, "red"), (5, 3, "green")], {}))
    assert measured(detector, path).map50 == pytest.approx(0.5)
    red = measured(detector, path, only=("red",))
    assert (red.map50, red.ap50) == (pytest.approx(1), {"red": pytest.approx(1)})
    with pytest.raises(EngineError, match="The model has no class “person”"):
        measured(detector, path, only=("person",))


def test_pictures_may_lie_in_tars(detector: Detector, tmp_path: Path) -> None:
    one, other = [(2, 3, "red")], [(5, 1, "red")]
    write(tmp_path, (one, one, {"tar": "a.tar"}), (other, other, {"tar": "b.tar"}), (one, one, {}))
    precision = measured(detector, tmp_path)  # a folder means its val.json
    assert precision.map50 == pytest.approx(1)
    assert precision.count == 3


def test_what_a_source_does_not_label_is_not_punished_there(detector: Detector, tmp_path: Path) -> None:
    strong = ([(2, 3, "red"), (5, 1, "green")], [(2, 3, "red")], {"source": "reds"})
    weak = ([(2, 3, "green")], [(2, 3, "green")], {"source": "all"})
    sources = [{"name": "reds", "labelled_classes": ["red", "person"]}, {"name": "all", "labelled_classes": [*IDS]}]
    precision = measured(detector, write(tmp_path / "known", strong, weak, sources=sources))
    assert precision.ap50 == {"red": pytest.approx(1), "green": pytest.approx(1), "blue": None}
    precision = measured(detector, write(tmp_path / "unknown", strong, weak))
    assert precision.ap50["red"] == pytest.approx(1)
    assert precision.ap50["green"] == pytest.approx(0.5)


def test_pictures_that_cannot_be_read_are_told_and_left_out(detector: Detector, tmp_path: Path) -> None:
    spots = [(2, 3, "red")]
    path = write(tmp_path, (spots, spots, {}), (spots, spots, {"tar": "a.tar"}), (spots, spots, {"tar": "b.tar"}))
    (tmp_path / "b.tar").unlink()
    values = json.loads(path.read_text())
    values["images"] += [{"id": 50, "file_name": "gone.png"}, {"id": 51, "file_name": "no.png", "tar": "a.tar"}]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    values["images"].append({"id": 52, "file_name": "bad.png"})
    path.write_text(json.dumps(values))
    told: list[EngineError] = []
    precision = evaluate(detector, path, unreadable=told.append)
    assert precision.count == 2
    assert precision.boxes["red"] == 2
    said = [error.message for error in told]
    assert len(said) == 4
    for part in ("b.tar", "gone.png", "no.png is not in a.tar", "bad.png"):
        assert sum(part in message for message in said) == 1, part
    (tmp_path / "a.tar").unlink()
    (tmp_path / "picture 10.png").unlink()
    with pytest.raises(EngineError, match="None of the pictures"):
        evaluate(detector, path)


def test_tars_that_are_damaged_or_go_in_circles_are_told(detector: Detector, tmp_path: Path) -> None:
    spots = [(2, 3, "red")]
    path = write(tmp_path, (spots, spots, {}), (spots, spots, {"tar": "a.tar"}))
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(gzip.compress(whole + os.urandom(200_000))[:100_000])  # packed, and cut off
    with tarfile.open(tmp_path / "links.tar", "w") as file:
        link = tarfile.TarInfo("loop.png")
        link.type, link.linkname = tarfile.SYMTYPE, "loop.png"
        file.addfile(link)
    values = json.loads(path.read_text())
    values["images"] += [
        {"id": 60, "file_name": "loop.png", "tar": "links.tar"},
        {"id": 61, "file_name": "behind the end.png", "tar": "a.tar"},
        {"id": 62, "file_name": str(tmp_path)},
    ]
    path.write_text(json.dumps(values))
    told: list[EngineError] = []
    assert evaluate(detector, path, unreadable=told.append).count >= 1
    said = " ".join(error.message for error in told)
    assert "loop.png" in said and "behind the end.png" in said and f"{tmp_path} is no file" in said


def test_a_name_that_is_written_twice_is_one_class(detector: Detector, tmp_path: Path) -> None:
    path = write(tmp_path, ([(2, 3, "red"), (5, 1, "red")], [(2, 3, "red"), (5, 1, "red")], {}))
    values = json.loads(path.read_text())
    values["categories"].append({"id": 1000, "name": "red"})
    values["annotations"][0]["category_id"] = 1000
    path.write_text(json.dumps(values))
    precision = evaluate(detector, path)
    assert precision.boxes["red"] == 2 and precision.map50 == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("no json", "no JSON"),
        ("[]", "no list of “images”"),
        ('{"images": [], "annotations": {}, "categories": []}', "no list of “annotations”"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "red"}]}', "file_name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "has no 'name'"),
        (
            '{"images": [], "annotations": [{"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]}],'
            ' "categories": [{"id": 1, "name": "red"}]}',
            "has no 5",
        ),
        (
            '{"images": [], "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, Infinity, 4]}],'
            ' "categories": [{"id": 1, "name": "red"}]}',
            "the place of a box is no number",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "red"}, {"id": 1, "name": "blue"}]}',
            "two categories have one id",
        ),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "tree"}]}', "one of the model's"),
    ],
)
def test_what_is_no_coco_file_is_said(detector: Detector, tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "val.json").write_text(text)
    with pytest.raises(EngineError, match=what):
        evaluate(detector, tmp_path / "val.json")


def test_a_file_that_is_not_there(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"val\.json cannot be read"):
        evaluate(detector, tmp_path)
