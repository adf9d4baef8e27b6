"""What was found, as files that other programs read."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from engine.errors import EngineError, WriteError
from engine.export import COLUMNS, RESERVE, DetectionExport
from engine.types import Detections, Frame

LABELS = ("cup", "dog")


def found(*rows: tuple[float, float, float, float, float, int], tracks: list[int] | None = None) -> Detections:
    values = np.array(rows, np.float32).reshape(-1, 6)
    numbers = None if tracks is None else np.array(tracks, np.int64)
    return Detections(values[:, :4], values[:, 4], values[:, 5].astype(np.int64), LABELS, numbers)


def frame(index: int = 0, *, clock: float | None = None) -> Frame:
    return Frame(np.zeros((480, 640, 3), np.uint8), "clip ü, 1.mp4", index, 0.0, clock=clock)


def write(path: Path) -> None:
    with DetectionExport(path) as export:
        export.add(frame(), found((10, 20, 110.25, 70, 0.9, 1)), file="pictures/a.jpg")
        export.add(frame(3, clock=0.12), found((1, 2, 3, 4, 0.5, 0), (5, 6, 9, 8, 0.25, 1), tracks=[7, -1]))
        export.add(frame(4, clock=0.16), found())
        assert (export.frames, export.boxes) == (3, 3)
        assert not path.exists()


def test_coco_json_is_read_by_cocos_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "found.json"
    write(path)
    coco = COCO(str(path))
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["cup", "dog"]
    pictures = coco.loadImgs(sorted(coco.getImgIds()))
    assert pictures[0] == {"id": 1, "file_name": "pictures/a.jpg", "width": 640, "height": 480}
    assert pictures[1] == {
        "id": 2,
        "file_name": "clip ü, 1.mp4",
        "width": 640,
        "height": 480,
        "frame": 3,
        "time": 0.12,
    }
    assert len(pictures) == 3
    (first,) = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert first["bbox"] == [10, 20, 100.25, 50]
    assert first["area"] == pytest.approx(5012.5)
    assert (first["iscrowd"], first["score"], "track_id" in first) == (0, 0.9, False)
    boxes = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
    assert [coco.cats[each["category_id"]]["name"] for each in boxes] == ["cup", "dog"]
    assert [each.get("track_id") for each in boxes] == [7, None]
    assert {path.name for path in path.parent.iterdir()} == {"found.json"}


def test_csv_has_a_line_a_box(tmp_path: Path) -> None:
    path = tmp_path / "found.CSV"
    write(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1:] == [
        ["pictures/a.jpg", "", "", "dog", "0.9000", "10.0", "20.0", "110.2", "70.0", ""],
        ["clip ü, 1.mp4", "3", "0.120", "cup", "0.5000", "1.0", "2.0", "3.0", "4.0", "7"],
        ["clip ü, 1.mp4", "3", "0.120", "dog", "0.2500", "5.0", "6.0", "9.0", "8.0", ""],
    ]


@pytest.mark.parametrize("name", ["found.json", "found.csv"])
def test_nothing_found_is_a_whole_file(tmp_path: Path, name: str) -> None:
    DetectionExport(tmp_path / name).close()
    text = (tmp_path / name).read_text(encoding="utf-8")
    if name.endswith("json"):
        assert json.loads(text) == {"annotations": [], "images": [], "categories": []}
    else:
        assert text.strip() == ",".join(COLUMNS)


def test_two_networks_one_after_the_other_share_their_classes(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    with DetectionExport(path) as export:
        export.add(frame(), found((1, 2, 3, 4, 0.5, 0)))
        one = found((1, 2, 3, 4, 0.5, 0))
        export.add(frame(), Detections(one.xyxy, one.confidence, one.class_id, ("dog", "tree")))
    values = json.loads(path.read_text(encoding="utf-8"))
    names = {each["id"]: each["name"] for each in values["categories"]}
    assert list(names.values()) == ["cup", "dog", "tree"]
    assert [names[each["category_id"]] for each in values["annotations"]] == ["cup", "dog"]


@pytest.mark.parametrize("name", ["found.json", "found.csv"])
def test_what_does_not_come_to_its_end_leaves_the_file_before_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), DetectionExport(path) as export:
        export.add(frame(), found((1, 2, 3, 4, 0.5, 0)))
        raise ZeroDivisionError
    discarded = DetectionExport(path)
    discarded.discard()
    discarded.close()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


class Full:
    """A file on a disk that has no room from now on, except for what is given back."""

    def __init__(self, file: Any, why: int) -> None:
        self.file, self.why, self.room = file, why, 10

    def write(self, text: memoryview) -> int:
        taken = min(len(text), self.room)
        self.room -= taken
        if not taken:
            raise OSError(self.why, "No room")
        return int(self.file.write(text[:taken]))

    def truncate(self, size: int) -> int:
        self.room = 64 << 10  # the other list goes
        return int(self.file.truncate(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def fill(export: DetectionExport, why: int = errno.ENOSPC) -> None:
    export._file = Full(export._file, why)  # type: ignore[assignment]
    export._open[0] = export._file


def written(path: Path) -> tuple[int, int]:
    """How many frames and boxes there are in a whole file."""
    if path.suffix == ".json":
        coco = json.loads(path.read_text(encoding="utf-8"))
        return len(coco["images"]), len(coco["annotations"])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(None not in row.values() for row in rows), "each line is whole"
    return len({row["frame"] for row in rows}), len(rows)


@pytest.mark.parametrize("name", ["found.json", "found.csv"])
@pytest.mark.parametrize("how", ["nearly full", "full", "gone"])
def test_a_full_disk_is_said_and_what_was_written_is_kept(tmp_path: Path, name: str, how: str) -> None:
    path = tmp_path / name
    room = [RESERVE]
    many = found(*[(1, 2, 3, 4, 0.5, 0)] * 300)
    with pytest.raises(WriteError) as failure, DetectionExport(path, free=lambda folder: room[0]) as export:
        export.add(frame(0, clock=0.0), many)
        export.add(frame(1, clock=0.04), many)
        if how == "nearly full":
            room[0] -= 1
        else:
            fill(export, errno.ENOSPC if how == "full" else errno.EIO)
        export.add(frame(2, clock=0.08), many)
    assert written(path) == (2, 600) == (export.frames, export.boxes)
    assert "kept" in failure.value.hint and "600 boxes" in failure.value.hint
    assert ("ends after 2 frames" in failure.value.message) == (how != "gone")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["found.json", "found.csv"])
def test_a_disk_that_is_full_from_the_beginning_or_at_the_end_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    many = found(*[(1, 2, 3, 4, 0.5, 0)] * 300)
    with pytest.raises(WriteError, match="disk is full"), DetectionExport(path, free=lambda folder: 0) as export:
        export.add(frame(), many)
    if name.endswith("json"):
        export = DetectionExport(path)
        export.add(frame(), many)
        fill(export)
        with pytest.raises(WriteError, match="disk is full"):
            export.close()
        export.close()
    assert list(tmp_path.iterdir()) == []


def test_names_and_folders_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"found\.txt"):
        DetectionExport(tmp_path / "found.txt")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError):
        DetectionExport(tmp_path / "file" / "found.json")
