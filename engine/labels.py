"""Pictures whose boxes somebody draws: a folder that keeps them, and the recipe by which a detector is taught them.

Pictures and boxes enter; out come ``train.json`` and ``val.json`` in COCO's format beside the pictures, as
`engine.coco` reads them, and a `TrainingConfig`. Every change is on the disk when its method returns, each file
replaced in one step and a picture before the file that names it, so that whenever the program is killed a whole set is
found again. What others have written into the files (outlines, licences, sources) stays there.

Every class of the set is meant to have a box around each of its objects in every picture: of what has no box the
detector learns that it is none.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from engine import store
from engine.coco import CocoFile, Entry, read_coco
from engine.errors import EngineError
from engine.images import decode_picture
from engine.measure import Truth
from engine.opencv import cv2
from engine.training.config import TrainingConfig
from engine.types import Image, ModelCard

Part: TypeAlias = Literal["train", "val"]

PARTS: tuple[Part, Part] = ("train", "val")
EVERY = 5
"""Every fifth picture is not learnt from but measured with, beginning with the second one."""

ENOUGH = 20
"""So many pictures of an object are enough for a detector that has seen many other things before."""

_PICTURES = "pictures"  # the folder of what is added
_LOOKS = 160  # pictures that an epoch shows, at least: few pictures are shown several times
_EPOCHS = 15  # from a network that knows other things
_EPOCHS_FROM_NOTHING = 60
_WIDTH, _SIZE = 0.5, 224  # of a network that begins with nothing


@dataclass(frozen=True)
class LabelledBox:
    """A box around an object.

    Attributes:
        label: name of its class.
        xyxy: x0, y0, x1, y1 in pixels of the picture.
    """

    label: str
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelledPicture:
    """A picture of the set.

    Attributes:
        number: what it is asked for by; stays the same as long as the picture is in the set, and no other picture
            gets it afterwards.
        file: where it lies, relative to the folder (or its name in a tar file).
        size: (width, height) in pixels; zeros: the file does not say.
        boxes: in the order in which they were drawn.
        part: "val": it is measured with, and nothing is learnt from it.
    """

    number: int
    file: str
    size: tuple[int, int]
    boxes: tuple[LabelledBox, ...]
    part: Part


@dataclass(frozen=True, eq=False)
class RemovedPicture:
    """What `LabelledSet.restore` needs to put a picture back."""

    entry: _Entry = field(repr=False)
    data: bytes | None = field(default=None, repr=False)


class LabelledSet:
    """A folder of pictures with boxes. Use it from one thread at a time.

    Attributes:
        folder: that holds it; it is made with the first picture.
    """

    def __init__(self, folder: Path) -> None:
        """Open a set, or begin one where there is none; nothing is written.

        Raises:
            EngineError: one of its files is damaged or not in COCO's format.
        """
        self.folder = folder
        self._others: dict[Part, dict[str, Any]] = {"train": {}, "val": {}}  # what else the files say
        self._categories: list[dict[str, Any]] = []
        self._entries: dict[int, _Entry] = {}
        self._written: dict[Part, bytes] = {"train": b"", "val": b""}
        self._next_box = 1
        if folder.exists() and not folder.is_dir():
            raise EngineError(f"{folder} is no folder.", "Choose a folder for the pictures with boxes.")
        there = [part for part in PARTS if (folder / f"{part}.json").exists()]
        for part in there:
            self._take(part, self._parsed(folder / f"{part}.json"))
        if len(there) == 1:  # made elsewhere, without a part to measure with
            for count, entry in enumerate(self._entries.values(), 1):
                entry.part = _part_of(count)
        self._next_picture = max(self._entries, default=0) + 1

    # what is there --------------------------------------------------------------------------------------------------

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order in which they were added."""
        return tuple(str(each["name"]) for each in self._categories)

    @property
    def pictures(self) -> tuple[LabelledPicture, ...]:
        """All pictures, in the order in which they were added."""
        return tuple(self._picture(number) for number in sorted(self._entries))

    def read(self, picture: int | RemovedPicture) -> Image:
        """A picture of the set by its number, or one that was taken out, ``(H, W, 3)`` RGB.

        Raises:
            EngineError: it is missing or damaged.
        """
        entry = picture.entry if isinstance(picture, RemovedPicture) else self._entry(picture)
        raw = entry.raw
        if isinstance(picture, RemovedPicture) and picture.data is not None:
            return decode_picture(picture.data, str(raw["file_name"]))
        nothing = Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
        wanted = Entry(str(raw["file_name"]), str(raw.get("tar", "")), nothing, np.zeros((0, 5, 2), np.float32))
        failures: list[EngineError] = []
        file = CocoFile(self.folder / "train.json", self.classes, (wanted,))
        for _, image in file.pictures(failures.append):
            return image
        raise failures[0]

    def file_of(self, number: int) -> Path:
        """Where a picture lies that is in no tar file."""
        return self.folder / str(self._entry(number).raw["file_name"])

    # changing it ----------------------------------------------------------------------------------------------------

    def add(self, picture: Image | Path, boxes: Iterable[LabelledBox] = (), *, name: str = "frame") -> LabelledPicture:
        """Take in a picture with its boxes. Classes that are new are added to the set.

        Args:
            picture: pixels, kept as PNG, or a file: PNG and JPEG are kept as they are, others become PNG. A file that
                lies in the folder stays where it is.
            name: how the file of pixels is to be called.

        Raises:
            EngineError: the file cannot be read, or a box lies outside the picture.
            WriteError: the disk is full; the set is as it was.
        """
        number = self._next_picture
        if isinstance(picture, Path):
            data = _bytes_of(picture)
            height, width = (image := decode_picture(data, str(picture))).shape[:2]
            kind = _kind_of(data)
            data, name = (data, picture.stem) if kind else (_png(image), picture.stem)
        else:
            kind, data = "png", _png(picture)
            height, width = picture.shape[:2]
        placed = _placed(boxes, (width, height))
        file = self._relative(picture) if isinstance(picture, Path) else ""
        raw: dict[str, Any] = {"id": number, "file_name": file, "width": width, "height": height}
        if not file:
            raw["file_name"] = self._free_name(name, number, kind or "png")
            raw["origin"] = "convscope"
        entry = _Entry(raw, _part_of(len(self._entries) + 1, sum(e.part == "val" for e in self._entries.values())))
        return self._put(entry, placed, None if file else data)

    def change(self, number: int, boxes: Iterable[LabelledBox]) -> LabelledPicture:
        """Give a picture these boxes instead. Classes that are new are added to the set.

        Raises:
            EngineError: a box lies outside the picture.
            WriteError: the disk is full; the set is as it was.
        """
        entry = self._entry(number)
        placed = _placed(boxes, self._picture(number).size)
        with self._kept():
            self._set_boxes(entry, placed)
            self._save()
        return self._picture(number)

    def remove(self, number: int) -> RemovedPicture:
        """Take a picture out; what `add` has copied into the folder is deleted.

        Raises:
            WriteError: the folder cannot be written to; the set is as it was.
        """
        entry = self._entry(number)
        with self._kept():
            del self._entries[number]
            self._save()
        data = None
        if entry.raw.get("origin") == "convscope":
            path = self.folder / str(entry.raw["file_name"])
            with contextlib.suppress(OSError):  # then it only takes room
                data = path.read_bytes()
                path.unlink()
        return RemovedPicture(entry, data)

    def restore(self, removed: RemovedPicture, boxes: Iterable[LabelledBox] | None = None) -> LabelledPicture:
        """Put a picture back that `remove` took out, under its number.

        Its file gets another name if there is one of that name now.

        Args:
            boxes: what it has now; None: the boxes that it had.

        Raises:
            EngineError: it is in the set already, or a box lies outside the picture.
            WriteError: the disk is full; the set is as it was.
        """
        entry = _copied(removed.entry)
        number, file = int(entry.raw["id"]), Path(str(entry.raw["file_name"]))
        if number in self._entries:
            raise EngineError(f"{file.name} is in the set already.")
        size = int(entry.raw.get("width") or 0), int(entry.raw.get("height") or 0)
        placed = entry.boxes if boxes is None else _placed(boxes, size)
        if removed.data is not None and (self.folder / file).exists():
            stem = file.stem.removesuffix(f"-{number:04d}")
            entry.raw["file_name"] = self._free_name(stem, number, file.suffix.removeprefix("."))
        return self._put(entry, placed, removed.data)

    def add_class(self, name: str) -> None:
        """Make a class known; nothing, if it is there already.

        Raises:
            EngineError: no name for a class.
        """
        with self._kept():
            self._number_of(class_name(name))
            self._save()

    def rename_class(self, old: str, new: str) -> None:
        """Give a class, and all of its boxes, another name.

        Raises:
            EngineError: there is no such class, another one has that name, or it is none.
        """
        new = class_name(new)
        if old not in self.classes:
            raise EngineError(f"There is no class “{old}”.")
        if new == old:
            return
        if new in self.classes:
            raise EngineError(f"There is a class “{new}” already.", "Give it another name.")
        with self._kept():
            for each in self._categories:
                if each["name"] == old:
                    each["name"] = new
            for entry in self._entries.values():
                entry.boxes = [replace(box, label=new) if box.label == old else box for box in entry.boxes]
            for others in self._others.values():
                for source in others.get("sources", ()):
                    labelled = source.get("labelled_classes", [])
                    source["labelled_classes"] = [new if name == old else name for name in labelled]
            self._save()

    def remove_class(self, name: str) -> None:
        """Forget a class of which there is no box.

        Raises:
            EngineError: there is one.
        """
        used = {each["category_id"] for entry in self._entries.values() for each in entry.kept}
        mine = next((each for each in self._categories if each["name"] == name), None)
        if mine is None:
            return
        if mine["id"] in used or any(box.label == name for entry in self._entries.values() for box in entry.boxes):
            raise EngineError(f"There are boxes of “{name}”.", "Delete them first, or give the class another name.")
        with self._kept():
            self._categories = [each for each in self._categories if each is not mine]
            self._save()

    # teaching -------------------------------------------------------------------------------------------------------

    def recipe(self, start: ModelCard | None = None) -> TrainingConfig:
        """How a detector is taught what is in the set; the folder is ready for it then.

        Args:
            start: a detector of our own shape that has seen many other things (the bundled one). Without it the
                network begins with nothing, which takes longer and more pictures.

        Raises:
            EngineError: there is too little to learn from.
            WriteError: the folder cannot be written to.
        """
        boxed = [entry for entry in self._entries.values() if entry.boxes]
        if len(boxed) < 2:
            raise EngineError(
                "There is too little to learn from: boxes in two pictures are the least.",
                f"Draw boxes around the object in more pictures; about {ENOUGH} are enough.",
            )
        self._save()
        used = [name for name in self.classes if any(box.label == name for entry in boxed for box in entry.boxes)]
        learnt = sum(entry.part == "train" for entry in self._entries.values())
        values: dict[str, Any] = {
            "data": "coco",
            "folder": str(self.folder.absolute()),
            "classes": ", ".join(used) if not any("," in name for name in used) else "",
            "model": "detector",
            "repeats": max(1, -(-_LOOKS // learnt)),
            "batch_size": 8,
            "weight_decay": 0.05,
            "average_weights": 0.99,
        }
        if start is not None and start.architecture == "detector" and start.weights is not None:
            values |= {
                "image_size": start.preprocess.size,
                "width": float(start.arguments.get("width", TrainingConfig().width)),
                "start_from": str(start.weights),
                "frozen": "backbone",  # what many pictures have taught it is not to be forgotten for twenty
                "epochs": _EPOCHS,
                "learning_rate": 0.0008,
            }
        else:
            values |= {
                "image_size": _SIZE,
                "width": _WIDTH,
                "epochs": _EPOCHS_FROM_NOTHING,
                "learning_rate": 0.003,
            }
        return TrainingConfig.from_mapping(values)

    # inside ---------------------------------------------------------------------------------------------------------

    def _parsed(self, path: Path) -> dict[str, Any]:
        try:
            read_coco(path)
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (EngineError, OSError, ValueError) as error:
            message = error.message if isinstance(error, EngineError) else f"{path} cannot be read."
            raise EngineError(message, "Nothing was changed. Mend that file, or begin another set.") from error
        return values

    def _take(self, part: Part, values: dict[str, Any]) -> None:
        """What one of the files says, under the numbers of the set."""
        numbers: dict[int, str] = {}
        for each in sorted(values["categories"], key=lambda each: int(each["id"])):
            name = numbers[int(each["id"])] = str(each["name"])
            if name not in self.classes:
                taken = {int(known["id"]) for known in self._categories}
                free = int(each["id"]) if int(each["id"]) not in taken else max(taken) + 1
                self._categories.append({**each, "id": free, "name": name})
        self._others[part] = {
            key: value for key, value in values.items() if key not in ("images", "annotations", "categories")
        }
        files = {_place(entry) for entry in self._entries.values()}
        mine: dict[int, _Entry] = {}
        for raw in values["images"]:
            key = int(raw["id"])
            if key in mine:
                path = self.folder / f"{part}.json"
                raise EngineError(
                    f"{path} has two pictures of the number {key}.", "Nothing was changed. Mend that file."
                )
            mine[key] = _Entry(dict(raw), part)
        for each in values["annotations"]:
            entry = mine.get(int(each["image_id"]))
            if entry is None:
                continue  # of no picture
            self._next_box = max(self._next_box, int(each.get("id", 0)) + 1)
            label = numbers[int(each["category_id"])]
            if each.get("iscrowd") or each.get("ignore"):
                entry.kept.append({**each, "category_id": self._number_of(label)})
            else:
                x, y, width, height = (float(value) for value in each["bbox"])
                right, bottom = round(x + width, 2), round(y + height, 2)  # as they were before the subtraction
                entry.boxes.append(LabelledBox(label, (x, y, right, bottom)))
                entry.raws.append(dict(each))
        for key, entry in mine.items():
            if _place(entry) in files:
                continue  # killed while it moved from one part to the other: it is in both
            number = key if key not in self._entries else max(self._entries) + 1
            entry.raw["id"] = number
            self._entries[number] = entry

    def _put(self, entry: _Entry, boxes: Sequence[LabelledBox], data: bytes | None) -> LabelledPicture:
        """Take in a picture with the bytes of its file, which is written first; None: the file is there already."""
        number, file = int(entry.raw["id"]), str(entry.raw["file_name"])
        if any(_place(other) == _place(entry) for other in self._entries.values()):
            raise EngineError(f"{file} is in the set already.")
        if data is not None:
            self._write_file(self.folder / file, data)
        try:
            with self._kept():
                self._entries[number] = entry
                self._set_boxes(entry, boxes)
                self._save()
        except BaseException:
            if data is not None and json.dumps(file, ensure_ascii=False).encode() not in self._written[entry.part]:
                with contextlib.suppress(OSError):
                    (self.folder / file).unlink()
            raise
        self._next_picture = max(self._next_picture, number + 1)
        return self._picture(number)

    def _entry(self, number: int) -> _Entry:
        if number not in self._entries:
            raise EngineError("This picture is not in the set any more.")
        return self._entries[number]

    def _picture(self, number: int) -> LabelledPicture:
        entry = self._entries[number]
        size = int(entry.raw.get("width") or 0), int(entry.raw.get("height") or 0)
        return LabelledPicture(number, str(entry.raw["file_name"]), size, tuple(entry.boxes), entry.part)

    def _number_of(self, name: str) -> int:
        """The number of a class, which is added if need be."""
        for each in self._categories:
            if each["name"] == name:
                return int(each["id"])
        number = max((int(each["id"]) for each in self._categories), default=0) + 1
        self._categories.append({"id": number, "name": name})
        return number

    def _set_boxes(self, entry: _Entry, boxes: Sequence[LabelledBox]) -> None:
        """Boxes that are as they were keep what else was known of them."""
        before = list(zip(entry.boxes, entry.raws, strict=True))
        raws: list[dict[str, Any]] = []
        for box in boxes:
            self._number_of(class_name(box.label))
            same = next((pair for pair in before if pair[0] == box), None)
            if same is not None:
                before.remove(same)
                raws.append(same[1])
            else:
                raws.append({"id": self._next_box, "iscrowd": 0})
                self._next_box += 1
        entry.boxes, entry.raws = list(boxes), raws

    def _relative(self, path: Path) -> str:
        """The name of a file of this folder in the set; "" for any other one."""
        try:
            return path.resolve().relative_to(self.folder.resolve()).as_posix()
        except (ValueError, OSError):
            return ""

    def _free_name(self, name: str, number: int, kind: str) -> str:
        stem = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "picture"
        taken = {str(entry.raw["file_name"]) for entry in self._entries.values()}
        for tail in (f"{number:04d}", *(f"{number:04d}-{more}" for more in range(2, 10_000))):
            file = f"{_PICTURES}/{stem}-{tail}.{kind}"
            if file not in taken and not (self.folder / file).exists():
                return file
        raise EngineError(f"There is no free name for a picture in {self.folder}.", "Begin another set.")

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Whatever fails within leaves the set as it was."""
        entries = {number: _copied(entry) for number, entry in self._entries.items()}
        categories = [dict(each) for each in self._categories]
        others = json.loads(json.dumps(self._others))
        try:
            yield
        except BaseException:
            self._entries, self._categories, self._others = entries, categories, others
            raise

    def _save(self) -> None:
        self._write(PARTS)
        # Both parts need boxes. What moves is written where it goes before it is taken from where it was.
        boxed = {part: [e for e in self._entries.values() if e.boxes and e.part == part] for part in PARTS}
        ways: tuple[tuple[Part, Part], ...] = (("val", "train"), ("train", "val"))
        for poor, rich in ways:
            if not boxed[poor] and len(boxed[rich]) > 1:
                boxed[rich][-1].part = poor
                self._write((poor, rich))

    def _write(self, parts: Iterable[Part]) -> None:
        for part in parts:
            data = json.dumps(self._values(part), ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
            path = self.folder / f"{part}.json"
            if self._written[part] != data or not path.exists():
                self._write_file(path, data)
                self._written[part] = data

    @staticmethod
    def _write_file(path: Path, data: bytes) -> None:
        store.replace_file(path, lambda place: place.write_bytes(data))

    def _values(self, part: Part) -> dict[str, Any]:
        numbers = {str(each["name"]): int(each["id"]) for each in self._categories}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        others = self._others[part]
        for number in sorted(self._entries):
            entry = self._entries[number]
            if entry.part != part:
                continue
            images.append(entry.raw)
            for box, raw in zip(entry.boxes, entry.raws, strict=True):
                x0, y0, x1, y1 = box.xyxy
                width, height = x1 - x0, y1 - y0
                placed = {"bbox": [round(value, 2) for value in (x0, y0, width, height)]}
                area = {} if "segmentation" in raw and "area" in raw else {"area": round(width * height, 2)}
                annotations.append({**raw, "image_id": number, "category_id": numbers[box.label], **placed, **area})
            annotations += [{**raw, "image_id": number} for raw in entry.kept]
        if not any(others.values()):  # a picture made elsewhere may have moved: its source is explained in both files
            others = next((each for each in self._others.values() if each), {})
        return {**others, "images": images, "annotations": annotations, "categories": self._categories}


@dataclass(eq=False)
class _Entry:
    """A picture as its file has it: `raw` the picture, `raws` its boxes, `kept` crowds, which nobody changes here."""

    raw: dict[str, Any]
    part: Part
    boxes: list[LabelledBox] = field(default_factory=list)
    raws: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)


def _place(entry: _Entry) -> tuple[str, str]:
    """Where its picture is: the file, and the tar file that has it ("": none)."""
    return str(entry.raw["file_name"]), str(entry.raw.get("tar", ""))


def _copied(entry: _Entry) -> _Entry:
    return _Entry(dict(entry.raw), entry.part, list(entry.boxes), list(entry.raws), list(entry.kept))


def class_name(text: str) -> str:
    """A name as a class may have it.

    Raises:
        EngineError: there is nothing in it, or a comma, which stands between names in a recipe.
    """
    name = " ".join(text.split())
    if not name:
        raise EngineError("A class needs a name.", "Say what the object is called.")
    if "," in name:
        raise EngineError("The name of a class cannot have a comma.", "Commas stand between the names of classes.")
    return name


def _part_of(count: int, measured: int | None = None) -> Part:
    """Where the `count`-th picture goes (from 1), of which `measured` are already in validation."""
    before = (count - 1 + EVERY - 2) // EVERY if measured is None else measured
    return "val" if before < (count + EVERY - 2) // EVERY else "train"


def _placed(boxes: Iterable[LabelledBox], size: tuple[int, int]) -> list[LabelledBox]:
    """Boxes cut at the edges of a picture (of unknown size where that is zero)."""
    width, height = (side or float("inf") for side in size)
    placed: list[LabelledBox] = []
    for box in boxes:
        x0, y0, x1, y1 = box.xyxy
        x0, x1 = (min(max(0.0, x), width) for x in sorted((float(x0), float(x1))))
        y0, y1 = (min(max(0.0, y), height) for y in sorted((float(y0), float(y1))))
        if not (x1 - x0 > 0 and y1 - y0 > 0):
            raise EngineError(f"A box of “{box.label}” lies outside the picture.", "Draw it around the object.")
        placed.append(LabelledBox(class_name(box.label), (round(x0, 2), round(y0, 2), round(x1, 2), round(y1, 2))))
    return placed


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(
            f"The picture {path} cannot be read: {error.strerror or error}.", "Check the path."
        ) from error


def _kind_of(data: bytes) -> str:
    """How a file's name is to end that is kept as it is; "" for other kinds."""
    return "png" if data.startswith(b"\x89PNG") else "jpg" if data.startswith(b"\xff\xd8\xff") else ""


def _png(image: Image) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])
