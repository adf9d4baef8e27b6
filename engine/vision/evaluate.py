"""Measuring a detector on pictures whose boxes are known: a file in COCO's format in, average precision out.

Beyond COCO two things may be said in the file: ``images[].tar`` names the tar file beside it that holds the picture,
and ``sources[]`` (``name``, ``labelled_classes``) with ``images[].source`` which classes have all their boxes in which
pictures. What is found of any other class there is neither right nor wrong.
"""

from __future__ import annotations

import contextlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.images import decode_picture
from engine.measure import Precision, Truth, average_precision
from engine.types import Detections, Image
from engine.vision.detect import Detector

_FLOOR = 0.001  # least probability of what is measured: precision at high recall is made of unsure boxes


@dataclass(frozen=True)
class _Entry:
    """A picture of the file: where it lies, and its boxes."""

    file: str
    tar: str
    truth: Truth


def evaluate(
    detector: Detector,
    path: Path,
    *,
    only: Sequence[str] = (),
    unreadable: Callable[[EngineError], object] = lambda _: None,
) -> Precision:
    """Average precision of the classes that both the detector and the file know.

    Args:
        path: a file in COCO's format, or a folder with a ``val.json``.
        only: measure these of the classes alone; empty: all that are shared.
        unreadable: is told of each picture that is left out because it cannot be read.

    Raises:
        EngineError: the file is missing or not in COCO's format, none of its pictures can be read, or a class of
            `only` is not shared.
    """
    path = path / "val.json" if path.is_dir() else path
    listed = _read_json(path)
    labels = _shared(detector.card.classes, listed, path, only)
    entries = _entries(listed, labels, path)
    number = np.array([labels.index(name) if name in labels else -1 for name in detector.card.classes])
    found: list[Detections] = []
    truth: list[Truth] = []
    for entry, image in _pictures(entries, path.parent, unreadable):
        everything = detector.detect(image, floor=_FLOOR)
        kept = number[everything.class_id] >= 0
        mine = everything[kept]
        found.append(Detections(mine.xyxy, mine.confidence, number[mine.class_id], labels))
        truth.append(entry.truth)
    if not found:
        raise EngineError(
            f"None of the pictures of {path} can be read.",
            "They must lie beside it, or in the tar files that it names.",
        )
    return average_precision(found, truth, labels=labels)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(
            f"{path} cannot be read: {error.strerror or error}.", "Name a JSON file in COCO's format."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _no_coco(path, "it is no JSON") from error
    for part in ("images", "annotations", "categories"):
        if not isinstance(values, dict) or not isinstance(values.get(part), list):
            raise _no_coco(path, f"it has no list of “{part}”")
    checked: dict[str, Any] = values
    return checked


def _no_coco(path: Path, why: str) -> EngineError:
    return EngineError(f"{path} is not in COCO's format: {why}.", "It needs images, annotations and categories.")


def _shared(known: tuple[str, ...], listed: dict[str, Any], path: Path, only: Sequence[str]) -> tuple[str, ...]:
    try:
        there = {str(each["name"]) for each in listed["categories"]}
    except (KeyError, TypeError) as error:
        raise _no_coco(path, "a category has no name") from error
    labels = tuple(name for name in known if name in there)
    for name in only:
        if name not in labels:
            whose = path.name if name in known else "The model"
            raise EngineError(f"{whose} has no class “{name}”.", f"Both have: {', '.join(labels)}.")
    if not labels:
        raise EngineError(
            f"None of the classes of {path.name} is one of the model's.", f"The model knows: {', '.join(known[:20])}."
        )
    return tuple(name for name in labels if name in only) if only else labels


def _entries(listed: dict[str, Any], labels: tuple[str, ...], path: Path) -> list[_Entry]:
    try:
        names = {int(each["id"]): str(each["name"]) for each in listed["categories"]}
        labelled = {
            str(source["name"]): frozenset(labels.index(name) for name in source["labelled_classes"] if name in labels)
            for source in listed.get("sources", ())
            if "labelled_classes" in source
        }
        boxes: dict[int, list[tuple[float, float, float, float, int, bool]]] = {}
        for each in listed["annotations"]:
            x, y, width, height = (float(value) for value in each["bbox"])
            name = names[int(each["category_id"])]
            if name in labels:
                row = (x, y, x + width, y + height, labels.index(name), bool(each.get("iscrowd", 0)))
                boxes.setdefault(int(each["image_id"]), []).append(row)
        entries: list[_Entry] = []
        for each in listed["images"]:
            rows = boxes.get(int(each["id"]), [])
            truth = Truth(
                np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
                np.array([row[4] for row in rows], np.int64),
                np.array([row[5] for row in rows], bool),
                labelled.get(str(each.get("source", ""))),
            )
            entries.append(_Entry(str(each["file_name"]), str(each.get("tar", "")), truth))
        return entries
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_coco(path, f"{type(error).__name__} {error}") from error


def _pictures(
    entries: list[_Entry], folder: Path, unreadable: Callable[[EngineError], object]
) -> Iterator[tuple[_Entry, Image]]:
    """Each entry with its picture, in the order of the file; what cannot be read is told and left out."""
    with contextlib.ExitStack() as opened:
        tars: dict[str, tarfile.TarFile | EngineError] = {}
        for entry in entries:
            if entry.tar and entry.tar not in tars:
                try:
                    tars[entry.tar] = opened.enter_context(tarfile.open(folder / entry.tar))
                except (OSError, tarfile.TarError) as error:
                    why = getattr(error, "strerror", None) or error
                    problem = EngineError(f"{folder / entry.tar} cannot be read: {why}.", "Its pictures are left out.")
                    tars[entry.tar] = problem
                    unreadable(problem)
            try:
                tar = tars.get(entry.tar)
                if isinstance(tar, EngineError):
                    continue
                yield entry, _picture(entry, folder, tar)
            except EngineError as error:
                unreadable(error)


def _picture(entry: _Entry, folder: Path, tar: tarfile.TarFile | None) -> Image:
    try:
        if tar is None:
            return decode_picture((folder / entry.file).read_bytes(), entry.file)
        member = tar.extractfile(entry.file)
        if member is None:
            raise EngineError(f"{entry.file} in {entry.tar} is no file.")
        with member:
            return decode_picture(member.read(), entry.file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise EngineError(f"The picture {entry.file} cannot be read: {why}.") from error
    except (KeyError, tarfile.TarError) as error:
        raise EngineError(f"The picture {entry.file} is not in {entry.tar}.") from error
