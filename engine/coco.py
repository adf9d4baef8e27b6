"""Pictures with boxes in COCO's format: a JSON file in, its pictures with what is known of them out.

Beyond COCO some things may be said in the file: ``images[].tar`` names the tar file beside it that holds the picture,
``images[].split`` the part of the data that it belongs to, ``annotations[].ignore`` that a box is neither right nor
wrong, ``annotations[].landmarks`` five places of a face (x, y each), and ``sources[]`` (``name``, ``labelled_classes``)
with ``images[].source`` which classes have all their boxes in which pictures. Of any other class nothing can be told
there, neither by a trainer nor by a measurement.
"""

from __future__ import annotations

import contextlib
import json
import math
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.images import decode_picture
from engine.measure import Truth
from engine.types import Floats, Image

# What opening and reading a tar file raises: packed ones, damaged ones, those with links that go in a circle.
_UNREADABLE = (OSError, ValueError, EOFError, zlib.error, LZMAError, tarfile.TarError, RecursionError)


@dataclass(frozen=True, eq=False)
class Entry:
    """A picture of the file.

    Attributes:
        file: its name, relative to the JSON file or inside the tar file.
        tar: the tar file that holds it, or "".
        truth: its boxes; the class numbers count in `CocoFile.classes`.
        landmarks: (N, 5, 2) float32, the landmarks of the face in each box in pixels; not a number where unknown.
        split: the part of the data that it belongs to ("train", "val"), where the file says so.
    """

    file: str
    tar: str
    truth: Truth
    landmarks: Floats
    split: str = ""


@dataclass(frozen=True, eq=False)
class CocoFile:
    """A file in COCO's format.

    Attributes:
        path: of the JSON file.
        classes: names of its categories, in the order of their ids, each once.
        entries: its pictures, in the order of the file.
    """

    path: Path
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]

    def pictures(self, unreadable: Callable[[EngineError], object] = lambda _: None) -> Iterator[tuple[Entry, Image]]:
        """Each entry with its picture, in the order of the file; what cannot be read is told and left out."""
        with contextlib.ExitStack() as opened:
            tars: dict[str, tarfile.TarFile | None] = {}
            for entry in self.entries:
                if entry.tar and entry.tar not in tars:
                    tars[entry.tar] = None
                    try:
                        tars[entry.tar] = opened.enter_context(tarfile.open(self.path.parent / entry.tar))
                    except _UNREADABLE as error:
                        unreadable(
                            EngineError(f"{entry.tar} cannot be read: {_why(error)}.", "Its pictures are left out.")
                        )
                tar = tars.get(entry.tar)
                if entry.tar and tar is None:
                    continue
                try:
                    picture = _read(entry, self.path.parent, tar)
                except EngineError as error:
                    unreadable(error)
                else:
                    yield entry, picture


def read_coco(path: Path) -> CocoFile:
    """What a JSON file in COCO's format says; no picture is opened.

    Raises:
        EngineError: the file is missing or not in COCO's format.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {_why(error)}.", "Name a JSON file in COCO's format.") from error
    except (ValueError, RecursionError) as error:
        raise _no_coco(path, "it is no JSON") from error
    for part in ("images", "annotations", "categories"):
        if not isinstance(values, dict) or not isinstance(values.get(part), list):
            raise _no_coco(path, f"it has no list of “{part}”")
    try:
        return _coco(path, values)
    except KeyError as error:
        raise _no_coco(path, f"something in it has no {error.args[0]!r}, or names one that is not there") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise _no_coco(path, f"something in it is of another kind ({error})") from error


def _coco(path: Path, values: dict[str, Any]) -> CocoFile:
    categories = sorted(((int(each["id"]), str(each["name"])) for each in values["categories"]), key=lambda c: c[0])
    classes = tuple(dict.fromkeys(name for _, name in categories))  # some exporters write one name twice
    number = {key: classes.index(name) for key, name in categories}
    if len(number) < len(categories):
        raise ValueError("two categories have one id")
    labelled = {
        str(source["name"]): frozenset(classes.index(name) for name in source["labelled_classes"] if name in classes)
        for source in values.get("sources", ())
        if "labelled_classes" in source
    }
    boxes: dict[int, list[tuple[float, float, float, float, int, bool]]] = {}
    places: dict[int, list[list[float]]] = {}
    for each in values["annotations"]:
        x, y, width, height = (float(value) for value in each["bbox"])
        if not all(map(math.isfinite, (x, y, width, height))):
            raise ValueError("the place of a box is no number")
        crowd = bool(each.get("iscrowd") or each.get("ignore"))
        row = (x, y, x + width, y + height, number[int(each["category_id"])], crowd)
        boxes.setdefault(int(each["image_id"]), []).append(row)
        marks = [float(value) for value in each.get("landmarks") or ()]
        places.setdefault(int(each["image_id"]), []).append(marks if len(marks) == 10 else [math.nan] * 10)
    entries: list[Entry] = []
    for each in values["images"]:
        rows = boxes.get(int(each["id"]), [])
        truth = Truth(
            np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
            np.array([row[4] for row in rows], np.int64),
            np.array([row[5] for row in rows], bool),
            labelled.get(str(each.get("source", ""))),
        )
        landmarks = np.array(places.get(int(each["id"]), []), np.float32).reshape(-1, 5, 2)
        entries.append(
            Entry(str(each["file_name"]), str(each.get("tar", "")), truth, landmarks, str(each.get("split", "")))
        )
    return CocoFile(path, classes, tuple(entries))


def _no_coco(path: Path, why: str) -> EngineError:
    return EngineError(f"{path} is not in COCO's format: {why}.", "It needs images, annotations and categories.")


def _read(entry: Entry, folder: Path, tar: tarfile.TarFile | None) -> Image:
    try:
        if tar is None:
            path = folder / entry.file
            if path.exists() and not path.is_file():  # a device or a pipe would be read for ever
                raise EngineError(f"The picture {entry.file} is no file.")
            return decode_picture(path.read_bytes(), entry.file)
        member = tar.extractfile(entry.file)
        if member is None:
            raise EngineError(f"The picture {entry.file} in {entry.tar} is no file.")
        with member:
            return decode_picture(member.read(), entry.file)
    except KeyError as error:
        raise EngineError(f"The picture {entry.file} is not in {entry.tar}.") from error
    except _UNREADABLE as error:
        raise EngineError(f"The picture {entry.file} cannot be read: {_why(error)}.") from error


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
