"""Faces to learn from: pictures with boxes and landmarks for the finder, crops by person for the embedding.

`load_faces` reads photographs in which faces are boxed and adds three kinds of scenes made here: photographs without a
person, of which nothing is a face, such photographs with faces of known persons pasted into them, so that small and
crowded faces are learnt as well, and crops that a face fills. `load_identities` reads crops that are listed with their
person and their landmarks, and turns each face upright.
"""

from __future__ import annotations

import csv
import gzip
import math
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.coco import CocoFile, Entry, read_coco
from engine.data import Progress, _never, _silent, _tell
from engine.data.detection import ROOM, SceneData, in_corner, in_middle, scenes_of
from engine.errors import EngineError
from engine.images import align_face, decode_picture, mirrored_landmarks
from engine.measure import Truth
from engine.opencv import cv2
from engine.types import Floats, Image

_SIZE = 320
_COLLAGES, _EMPTY, _FILLED = 900, 500, 500  # scenes with pasted faces, without any, and of one face alone
_MOST_PASTED = 7
_SMALLEST, _LARGEST = 12.0, 190.0  # longer side of a pasted face in pixels
_AROUND = 1.3  # side of a listed crop, in longer sides of the face's box
_SLENDER = 0.78  # a face's box is this much narrower than it is high
_IN_ROOMS = ("chair", "couch", "dining table", "bottle", "potted plant", "tv")
_ZOOM = (0.6, 2.0)  # faces are looked for in every size

NEAR = 0.8
"""How much of a face is learnt from, as `engine.images.align_face` has it: eyes, nose and mouth without hair, ears and
chin, which change from one picture of a person to the next."""

_RIM = 1 / 16  # of the side: what is kept around an upright face, to be shifted and turned into
_LISTS = ("identities.csv.gz", "identities.csv")


# --------------------------------------------------------------------------------------------------------- finding


def load_faces(
    folder: Path | None = None,
    *,
    seed: int = 0,
    image_size: int = 0,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = _never,
) -> SceneData:
    """Photographs with boxed faces, photographs without any, and photographs with faces pasted into them.

    Args:
        folder: holds ``detection/faces_coco.json`` (its pictures beside it or in ``images.tar``, each with its
            ``split``); where they are there, crops listed in ``identities.csv.gz`` are pasted into the pictures without
            a person of ``../detection/train.json``.
        image_size: of the network's input; 0 takes 320. A multiple of 32.

    Raises:
        EngineError: there is no such folder, or nothing in it can be read.
    """
    root = _root(folder)
    size = image_size or _SIZE
    if size % 32:
        raise EngineError(
            "The picture size of a detector must be a multiple of 32.", f"{round(size / 32) * 32} would do."
        )
    listed = read_coco(root / "detection" / "faces_coco.json")
    if (root / "detection" / "images.tar").is_file():
        listed = replace(listed, entries=tuple(replace(entry, tar="images.tar") for entry in listed.entries))
    train, validation = (
        replace(listed, entries=tuple(entry for entry in listed.entries if entry.split == part))
        for part in ("train", "val")
    )
    if not train.entries or not validation.entries:
        raise EngineError(f"{listed.path} has no pictures of both splits.", "Each picture needs “split”: train or val.")
    rng = np.random.default_rng([seed, 5])
    empty = _without_people(root.parent / "detection" / "train.json", _COLLAGES + _EMPTY, rng)
    faces = _faces_to_paste(root, 4 * _COLLAGES, rng)
    filled = faces[:_FILLED]
    skipped: list[str] = []
    total = len(listed.entries) + (len(empty.entries) if empty is not None else 0)
    count = 0

    def pictures(file: CocoFile) -> Iterator[tuple[Entry, Image]]:
        nonlocal count
        for pair in file.pictures(lambda error: skipped.append(error.message)):
            if count % 50 == 0:
                _tell("Reading pictures", count / total, progress, cancelled)
            count += 1
            yield pair

    def all_scenes() -> Iterator[tuple[Entry, Image]]:
        yield from pictures(train)
        bare = Entry("", "", _truth(np.zeros((0, 4), np.float32)), np.zeros((0, 5, 2), np.float32))
        for face in filled:
            whole = (0.0, 0.0, float(face.image.shape[1]))
            yield replace(bare, truth=_truth(_box_in(*whole)[None]), landmarks=face.landmarks[None]), face.image
        if empty is None:
            return
        for number, (_, image) in enumerate(pictures(empty)):
            if number < _COLLAGES and faces:
                yield _collage(bare, image, faces, rng)
            else:
                yield bare, image

    kept = int(size * ROOM) // 2 * 2
    count_of = len(train.entries) + len(filled) + (len(empty.entries) if empty is not None else 0)
    scenes, _ = scenes_of(all_scenes(), count_of, 1, kept, in_corner(kept))
    measured, transforms = scenes_of(pictures(validation), len(validation.entries), 1, size, in_middle(size))
    if not len(scenes) or not len(measured):
        raise EngineError(f"None of the pictures of {listed.path} can be read.", "Put them beside it.")
    progress("Reading pictures", 1.0)
    return SceneData(
        "faces",
        ("face",),
        scenes,
        measured,
        transforms,
        size,
        skipped=tuple(skipped),
        landmarks=5,
        zoom=_ZOOM,
    )


def _root(folder: Path | None) -> Path:
    if folder is None and os.environ.get("CONVSCOPE_DATA"):
        folder = Path(os.environ["CONVSCOPE_DATA"]) / "faces"  # the bundled networks' recipes
    if folder is None or not folder.is_dir():
        raise EngineError(
            "Faces need a folder.",
            "Name one that holds detection/faces_coco.json or identities.csv, with the pictures.",
        )
    return folder


def _truth(boxes: Floats) -> Truth:
    return Truth(boxes, np.zeros(len(boxes), np.int64), np.zeros(len(boxes), bool))


def _without_people(path: Path, count: int, rng: np.random.Generator) -> CocoFile | None:
    """At most `count` pictures in which nobody is, and of which that is known."""
    if not path.is_file():
        return None
    listed = read_coco(path)
    if "person" not in listed.classes:
        return None
    # Pictures of rooms are left out: in VOC's, people who sit among the furniture often have no box.
    telling = {listed.classes.index(name) for name in ("person", *_IN_ROOMS) if name in listed.classes}
    person = listed.classes.index("person")
    fine = [
        entry
        for entry in listed.entries
        if (entry.truth.known is None or person in entry.truth.known) and not telling & set(entry.truth.class_id)
    ]
    chosen = sorted(rng.permutation(len(fine))[:count])  # in the order of the tar files, which are read from the front
    return replace(listed, entries=tuple(fine[index] for index in chosen))


@dataclass(frozen=True, eq=False)
class _Pasted:
    """A face to paste: its square crop, and its landmarks ``(5, 2)`` in it."""

    image: Image
    landmarks: Floats


def _faces_to_paste(root: Path, count: int, rng: np.random.Generator) -> list[_Pasted]:
    rows = [row for row in _rows(root) if row.split == "train" and row.detected]
    chosen = {rows[index].file: rows[index] for index in rng.permutation(len(rows))[:count]}
    return [
        _Pasted(image, row.landmarks) for row, image in _crops_of(root, list(chosen.values()), lambda message: None)
    ]


def _collage(entry: Entry, image: Image, faces: Sequence[_Pasted], rng: np.random.Generator) -> tuple[Entry, Image]:
    """The picture with some faces in it, none over another."""
    image = image.copy()
    height, width = image.shape[:2]
    boxes: list[Floats] = []
    landmarks: list[Floats] = []
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(int(rng.integers(1, _MOST_PASTED + 1))):
        face = faces[int(rng.integers(len(faces)))]
        longer = math.exp(rng.uniform(math.log(_SMALLEST), math.log(min(_LARGEST, 0.7 * min(height, width)))))
        side = max(8, round(longer * _AROUND))
        if side >= min(height, width):
            continue
        left, top = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
        if any(left < x1 and x0 < left + side and top < y1 and y0 < top + side for x0, y0, x1, y1 in taken):
            continue
        taken.append((left, top, left + side, top + side))
        factor = side / face.image.shape[0]
        small = cv2.resize(face.image, (side, side), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        places = face.landmarks * factor
        if rng.random() < 0.5:
            small = small[:, ::-1]
            places = mirrored_landmarks(places, side)
        shine = small.astype(np.float32) * rng.uniform(0.6, 1.25) + rng.uniform(-20, 20)
        mask = _soft(side)[:, :, None]
        under = image[top : top + side, left : left + side].astype(np.float32)
        image[top : top + side, left : left + side] = (shine * mask + under * (1 - mask)).clip(0, 255).astype(np.uint8)
        boxes.append(_box_in(left, top, side))
        landmarks.append((places + np.array([left, top])).astype(np.float32))
    return (
        replace(
            entry,
            truth=_truth(np.array(boxes, np.float32).reshape(-1, 4)),
            landmarks=np.array(landmarks, np.float32).reshape(-1, 5, 2),
        ),
        image,
    )


def _box_in(left: float, top: float, side: float) -> Floats:
    """The box of the face in the middle of a listed crop that was put there."""
    tall = side / _AROUND
    x, y = left + side / 2, top + side / 2
    return np.array([x - tall * _SLENDER / 2, y - tall / 2, x + tall * _SLENDER / 2, y + tall / 2], np.float32)


def _soft(side: int) -> Floats:
    """``(side, side)``, 1 in the middle and falling to 0 at the rim: no edge by which a pasted face could be told."""
    across = np.abs((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1)
    far = (across[None] ** 4 + across[:, None] ** 4) ** 0.25
    soft: Floats = ((1.0 - far) / 0.2).clip(0, 1)
    return soft


# ------------------------------------------------------------------------------------------------------- identities


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Upright faces by person, and pairs of other faces of whom it is known whether they are one person.

    Attributes:
        name: its key in `DATASETS`.
        images: ``(N, 3, S, S) uint8``, turned upright by `engine.images.align_face`.
        labels: ``(N,) int64``, number of the person.
        people: how many.
        measured: ``(V, 3, S, S) uint8``, faces of other people.
        pairs: ``(P, 2) int64``, rows of `measured`.
        same: ``(P,) bool``.
        folds: ``(P,) int64``, the tenth of the protocol that each pair belongs to.
        image_size: side of the network's input in pixels, somewhat less than S.
        around: how much of what is around the face they show, as `engine.images.align_face` has it.
        skipped: what could not be read and was left out.
    """

    name: str
    images: Tensor
    labels: Tensor
    people: int
    measured: Tensor
    pairs: Tensor
    same: Tensor
    folds: Tensor
    image_size: int
    around: float = 1.0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    skipped: tuple[str, ...] = field(default=())


@dataclass(frozen=True, eq=False)
class _Row:
    """A line of the list of crops."""

    person: str
    file: str
    archive: str
    split: str
    detected: bool
    landmarks: Floats


def load_identities(
    folder: Path | None = None,
    *,
    seed: int = 0,
    image_size: int = 0,
    around: float = NEAR,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = _never,
) -> FaceSet:
    """Crops of faces by person.

    Args:
        folder: holds ``identities.csv`` (or ``.csv.gz``; columns identity, file, archive, split, landmarks as ten
            columns or one of ten numbers), the archives that it names, and ``pairs_val.csv`` (fold, file_a, file_b,
            same) of crops whose split is "val".
        image_size: side of the network's input; 0 takes 64.
        around: how much of what is around the face is shown, as `engine.images.align_face` has it.

    Raises:
        EngineError: there is no such folder, or nothing in it can be read.
    """
    root = _root(folder)
    size = image_size or 64
    rim = round(size * _RIM)
    rows = _rows(root)
    learnt = [row for row in rows if row.split.startswith("train")]
    held = [row for row in rows if row.split == "val"]
    people = {name: number for number, name in enumerate(sorted({row.person for row in learnt}))}
    if len(people) < 2 or not held:
        raise EngineError(
            f"The list of crops in {root} has too few people.", "It needs two to train on, and others to measure with."
        )
    skipped: list[str] = []
    done = 0

    def upright(wanted: Sequence[_Row]) -> tuple[Tensor, list[_Row]]:
        nonlocal done
        images = torch.zeros((len(wanted), 3, size + 2 * rim, size + 2 * rim), dtype=torch.uint8)
        read: list[_Row] = []
        for row, image in _crops_of(root, wanted, skipped.append):
            if done % 500 == 0:
                _tell("Reading faces", done / len(rows), progress, cancelled)
            done += 1
            face = align_face(image, row.landmarks, size, around=around, rim=rim)
            images[len(read)] = torch.from_numpy(face).permute(2, 0, 1)
            read.append(row)
        return images[: len(read)], read

    images, read = upright(learnt)
    measured, read_too = upright(held)
    number_of = {row.file: number for number, row in enumerate(read_too)}
    pairs, same, folds = _pairs(root / "pairs_val.csv", number_of)
    progress("Reading faces", 1.0)
    return FaceSet(
        "identities",
        images,
        torch.tensor([people[row.person] for row in read]),
        len(people),
        measured,
        pairs,
        same,
        folds,
        size,
        around,
        skipped=tuple(skipped),
    )


def _rows(root: Path) -> list[_Row]:
    path = next((root / name for name in _LISTS if (root / name).is_file()), None)
    if path is None:
        return []
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="") as file
        ):
            return [_row(values) for values in csv.DictReader(file)]
    except (OSError, EOFError, ValueError, KeyError, csv.Error) as error:
        raise EngineError(
            f"{path.name} is no list of faces: {error!s:.100}.", "See the columns that it needs."
        ) from error


def _row(values: dict[str, str]) -> _Row:
    marks = [float(values[f"{part}_{axis}"]) for part in _PARTS for axis in "xy"]
    return _Row(
        values["identity"],
        values["file"],
        values["archive"],
        values["split"],
        values["landmarks_source"] != "nominal",
        np.array(marks, np.float32).reshape(5, 2),
    )


_PARTS = ("eye_l", "eye_r", "nose", "mouth_l", "mouth_r")


def _crops_of(root: Path, rows: Sequence[_Row], skipped: Callable[[str], object]) -> Iterator[tuple[_Row, Image]]:
    """The pictures of the listed crops, archive by archive, each read from its front to its end."""
    for archive in sorted({row.archive for row in rows}):
        wanted = {row.file: row for row in rows if row.archive == archive}
        try:
            with tarfile.open(root / archive) as tar:
                for member in tar:
                    row = wanted.get(member.name)
                    file = tar.extractfile(member) if row is not None else None
                    if row is None or file is None:
                        continue
                    try:
                        yield row, decode_picture(file.read(), member.name)
                    except EngineError as error:
                        skipped(error.message)
        except (OSError, EOFError, ValueError, tarfile.TarError) as error:
            raise EngineError(f"{archive} cannot be read: {error!s:.100}.", "Put it beside the list.") from error


def _pairs(path: Path, number_of: dict[str, int]) -> tuple[Tensor, Tensor, Tensor]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [line for line in csv.DictReader(file) if {line["file_a"], line["file_b"]} <= number_of.keys()]
            pairs = [(number_of[line["file_a"]], number_of[line["file_b"]]) for line in lines]
            same = [line["same"] == "1" for line in lines]
            folds = [int(line["fold"]) for line in lines]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise EngineError(
            f"{path.name} is no list of pairs: {error!s:.100}.", "See the columns that it needs."
        ) from error
    if not pairs:
        raise EngineError(f"{path.name} names none of the faces that are there.", "It needs pairs of the split “val”.")
    return torch.tensor(pairs), torch.tensor(same), torch.tensor(folds)
