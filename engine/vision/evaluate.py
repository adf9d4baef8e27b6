"""Measuring networks on pictures of which the truth is known.

A detector: a file in COCO's format in, average precision out (`evaluate`); the same for a classifier that says which
classes are in a picture (`evaluate_tags`). A network for faces: a list of pairs of
pictures in, how well it tells one person from two (`verify`); and embeddings of many people in, how well it names those
who are enrolled and leaves strangers unnamed (`open_set`).
"""

from __future__ import annotations

import csv
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from engine.coco import read_coco
from engine.errors import EngineError
from engine.images import decode_picture
from engine.measure import (
    LEAST_SEEN,
    Precision,
    Separation,
    Truth,
    Verified,
    average_precision,
    ranking_precision,
    separation,
    verification,
)
from engine.opencv import cv2
from engine.recognition import Recogniser
from engine.types import Detections, Floats, Frame, Image
from engine.vision.classify import Classifier
from engine.vision.detect import Detector
from engine.vision.faces import FaceReader

_FLOOR = 0.001  # least probability of what is measured: precision at high recall is made of unsure boxes


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
    listed = read_coco(path)
    labels = _shared(detector.card.classes, listed.classes, path, only)
    of_detector = np.array([labels.index(name) if name in labels else -1 for name in detector.card.classes])
    of_file = np.array([labels.index(name) if name in labels else -1 for name in listed.classes])
    found: list[Detections] = []
    truth: list[Truth] = []
    for entry, image in listed.pictures(unreadable):
        everything = detector.detect(image, floor=_FLOOR)
        mine = everything[of_detector[everything.class_id] >= 0]
        found.append(Detections(mine.xyxy, mine.confidence, of_detector[mine.class_id], labels))
        real = entry.truth
        kept = of_file[real.class_id] >= 0
        known = None if real.known is None else frozenset(int(of_file[number]) for number in real.known) - {-1}
        truth.append(Truth(real.xyxy[kept], of_file[real.class_id[kept]], real.crowd[kept], known))
    if not found:
        raise EngineError(
            f"None of the pictures of {path} can be read.",
            "They must lie beside it, or in the tar files that it names.",
        )
    return average_precision(found, truth, labels=labels)


@dataclass(frozen=True)
class TagPrecision:
    """How well a classifier says which classes are in pictures, in 0..1.

    Attributes:
        map: mean of `ap` over the classes that are in any picture.
        ap: average precision of each class by name; None where no picture has it.
        pictures: in how many pictures each class is.
        count: pictures.
    """

    map: float
    ap: Mapping[str, float | None]
    pictures: Mapping[str, int]
    count: int


def evaluate_tags(
    classifier: Classifier, path: Path, *, unreadable: Callable[[EngineError], object] = lambda _: None
) -> TagPrecision:
    """Average precision of the classes that both the classifier and the file know, pictures ranked by probability.

    A class is in a picture if a quarter of one of its boxes is in the part that the network sees.

    Args:
        path: a file in COCO's format, or a folder with a ``val.json``.
        unreadable: is told of each picture that is left out because it cannot be read.

    Raises:
        EngineError: the file is missing or not in COCO's format, none of its pictures can be read, or no class is
            shared.
    """
    path = path / "val.json" if path.is_dir() else path
    listed = read_coco(path)
    labels = _shared(classifier.card.classes, listed.classes, path, ())
    mine = [classifier.card.classes.index(name) for name in labels]
    number = np.array([labels.index(name) if name in labels else -1 for name in listed.classes])
    scores: list[Floats] = []
    there: list[NDArray[np.bool_]] = []
    known: list[NDArray[np.bool_]] = []
    for entry, image in listed.pictures(unreadable):
        (region,) = classifier.predict(Frame(image, "measure", len(scores), 0.0)).regions
        real, edges = entry.truth, np.array(region.box, np.float32)
        inside = np.concatenate(
            [np.maximum(real.xyxy[:, :2], edges[:2]), np.minimum(real.xyxy[:, 2:], edges[2:])], axis=1
        )
        seen, whole = ((each[:, 2:] - each[:, :2]).clip(0).prod(axis=1) for each in (inside, real.xyxy))
        shown = number[real.class_id[(seen >= LEAST_SEEN * whole) & (seen > 0)]]
        here, told = np.zeros(len(labels), bool), np.ones(len(labels), bool)
        here[shown[shown >= 0]] = True
        if real.known is not None:
            told[:] = False
            told[[int(number[each]) for each in real.known if number[each] >= 0]] = True
        scores.append(region.classification.probabilities[mine])
        there.append(here)
        known.append(told | here)
    if not scores:
        raise EngineError(
            f"None of the pictures of {path} can be read.",
            "They must lie beside it, or in the tar files that it names.",
        )
    precision = ranking_precision(np.stack(scores), np.stack(there), np.stack(known))
    measured = precision[np.isfinite(precision)]
    return TagPrecision(
        float(measured.mean()) if len(measured) else 0.0,
        {name: float(share) if np.isfinite(share) else None for name, share in zip(labels, precision, strict=True)},
        {name: int(count) for name, count in zip(labels, np.stack(there).sum(axis=0), strict=True)},
        len(scores),
    )


def _shared(known: tuple[str, ...], there: tuple[str, ...], path: Path, only: Sequence[str]) -> tuple[str, ...]:
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


# ------------------------------------------------------------------------------------------------ pairs of faces

_FOLDS = 10  # of a list of pairs that names none
_AT_ONCE = 16  # faces that are put into numbers together


@dataclass(frozen=True, eq=False)
class FacePairs:
    """A list of pairs of pictures of faces.

    Attributes:
        first, second: files of each pair.
        same: (P,) whether both are one person.
        fold: (P,) which part of the list each pair belongs to, as its number in `folds`.
        folds: names of the parts.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]
    folds: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class VerifiedPairs:
    """How well a network tells from two pictures whether they are one person.

    Attributes:
        verified: by the protocol of Labeled Faces in the Wild; its folds are those of `folds`.
        folds: names of the parts of the list.
        separation: whatever the threshold.
        pictures: how many files there were.
        without_face: in how many of them no face was found, so that the whole picture was taken for one.
        left_out: pairs of which a picture could not be read.
    """

    verified: Verified
    folds: tuple[str, ...]
    separation: Separation
    pictures: int
    without_face: int
    left_out: int


def read_pairs(path: Path) -> FacePairs:
    """A CSV file with the columns file_a, file_b, same (1 or 0) and, if the parts are not simply ten, fold.

    Raises:
        EngineError: the file cannot be read or is no such list.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in table.fieldnames or () if name}
            missing = [name for name in ("file_a", "file_b", "same") if name not in columns]
            if missing:
                raise _no_pairs(path, f"it has no column {missing[0]}")
            rows = [
                (table.line_num, {name: (row[key] or "").strip() for name, key in columns.items()}) for row in table
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8 with commas"
        raise EngineError(f"{path} cannot be read: {why}.", "Name a CSV file with pairs of pictures.") from error
    same: list[bool] = []
    for line, row in rows:
        word = row["same"].lower()
        if not row["file_a"] or not row["file_b"] or word not in _WORDS:
            raise _no_pairs(path, f"line {line} does not name two files and whether they are the same (1 or 0)")
        same.append(_WORDS[word])
    names = [row["fold"] for _, row in rows] if "fold" in columns else _by_row(len(rows))
    folds = tuple(dict.fromkeys(names))
    return FacePairs(
        tuple(str(PurePosixPath(row["file_a"])) for _, row in rows),
        tuple(str(PurePosixPath(row["file_b"])) for _, row in rows),
        np.array(same, bool),
        np.array([folds.index(name) for name in names], np.int64),
        folds,
    )


_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "same": True,
    "0": False,
    "false": False,
    "no": False,
    "different": False,
}


def _by_row(count: int) -> list[str]:
    return (
        [str(row * _FOLDS // count) for row in range(count)] if count > _FOLDS else [str(row) for row in range(count)]
    )


def verify(
    reader: FaceReader,
    path: Path,
    root: Path,
    *,
    unreadable: Callable[[EngineError], object] = lambda _: None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> VerifiedPairs:
    """Measure a network for faces by the protocol of Labeled Faces in the Wild on a list of pairs.

    Args:
        path: of the list, see `read_pairs`.
        root: the folder, or the tar file (packed or not), in which the list's files lie.
        unreadable: is told of each picture that cannot be read; its pairs are left out.
        progress: is told how many pictures of how many have been looked at.

    Raises:
        EngineError: the list or the archive cannot be read, or what can be read of it is too little to measure by.
    """
    pairs = read_pairs(path)
    _check_enough(pairs.same, pairs.fold, f"{path} has")
    names = list(dict.fromkeys((*pairs.first, *pairs.second)))
    embeddings, without_face = embed_crops(reader, names, root, unreadable=unreadable, progress=progress)
    there = [row for row in range(len(names)) if np.isfinite(embeddings[row]).all()]
    known = {names[row]: embeddings[row] for row in there}
    kept = np.array(
        [one in known and other in known for one, other in zip(pairs.first, pairs.second, strict=True)], bool
    )
    same, fold = pairs.same[kept], pairs.fold[kept]
    cosines = np.array(
        [float(known[pairs.first[row]] @ known[pairs.second[row]]) for row in np.flatnonzero(kept)], np.float32
    )
    _check_enough(same, fold, f"{root} has the pictures of")
    folds = tuple(pairs.folds[number] for number in np.unique(fold))
    return VerifiedPairs(
        verification(cosines, same, fold),
        folds,
        separation(cosines, same),
        len(known),
        int(without_face[there].sum()),
        int((~kept).sum()),
    )


def _check_enough(same: NDArray[np.bool_], fold: NDArray[np.int64], what: str) -> None:
    """
    Raises:
        EngineError: nothing can be measured by these pairs; `what` begins the sentence that says how many there are.
    """
    count, others, folds = int(same.sum()), int((~same).sum()), len(np.unique(fold))
    if not count or not others or folds < 2:
        raise EngineError(
            f"There are too few pairs: {what} {count} of one person and {others} of different people, in {folds} "
            f"fold{'s' if folds != 1 else ''}.",
            "It needs some of both kinds, and two folds at least. Check that the files of the list lie in the folder "
            "or archive that was named as root.",
        )


def embed_crops(
    reader: FaceReader,
    names: Sequence[str],
    root: Path,
    *,
    unreadable: Callable[[EngineError], object] = lambda _: None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Pictures of one face each, turned upright by the reader's own detector and put into numbers, each once.

    Of several faces that are found in a picture the one is taken that is large and near the middle; where none is
    found, the whole picture is taken for the face.

    Args:
        names: files in `root`, a folder or a tar file, each once, with "/" between folder and file.
        unreadable: is told of each picture that cannot be read.
        progress: is told how many pictures of how many have been looked at.

    Returns:
        (N, D) embeddings of length 1, not a number where the picture cannot be read; (N,) where no face was found.

    Raises:
        EngineError: there is no such folder, or the archive cannot be read.
    """
    place: dict[str, int] = {name: row for row, name in enumerate(names)}
    embeddings = np.full((len(names), reader.dimension), np.nan, np.float32)
    without_face = np.zeros(len(names), bool)
    waiting: list[tuple[int, Image]] = []

    def embed() -> None:
        if waiting:
            embeddings[[row for row, _ in waiting]] = reader.embed_upright([upright for _, upright in waiting])
            waiting.clear()

    for done, (name, image) in enumerate(_crops(names, root, unreadable), start=1):
        upright, found = upright_face(reader, image)
        without_face[place[name]] = not found
        waiting.append((place[name], upright))
        if len(waiting) == _AT_ONCE:
            embed()
        progress(done, len(names))
    embed()
    return embeddings, without_face


def upright_face(reader: FaceReader, image: Image) -> tuple[Image, bool]:
    """The one face of a crop as the network sees it, and whether a face was found (else it is the whole crop)."""
    found = reader.find_in_crop(image)
    if len(found):
        height, width = image.shape[:2]
        boxes = found.xyxy
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        off = np.hypot(*((boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([width / 2, height / 2])).T)
        best = int((sides - 2 * off).argmax())
        face = reader.look_closer(image, found[[best]])
        return reader.upright(image, face)[0], True
    size = reader.card.preprocess.size
    way = cv2.INTER_AREA if min(image.shape[:2]) > size else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(image, (size, size), interpolation=way)), False


_BROKEN = (OSError, ValueError, EOFError, zlib.error, LZMAError, tarfile.TarError, RecursionError)


def _crops(
    names: Iterable[str], root: Path, unreadable: Callable[[EngineError], object]
) -> Iterator[tuple[str, Image]]:
    """The pictures of these files, in an order that suits where they lie; of what cannot be read is told."""
    if root.is_dir():
        for name in names:
            try:
                path = root / name
                if path.exists() and not path.is_file():  # a device or a pipe would be read for ever
                    raise EngineError(f"The picture {name} is no file.")
                yield name, decode_picture(path.read_bytes(), name)
            except EngineError as error:
                unreadable(error)
            except _BROKEN as error:
                unreadable(EngineError(f"The picture {name} cannot be read: {_why(error)}."))
        return
    if not root.is_file():
        raise EngineError(f"There is no folder or archive {root}.", "Name where the pictures lie.")
    wanted = set(names)
    try:
        with tarfile.open(root) as archive:
            for member in archive:  # in the order of the file: a packed one cannot be read in another
                name = str(PurePosixPath(member.name))
                if name not in wanted or not member.isfile():
                    continue
                file = archive.extractfile(member)
                assert file is not None
                data = file.read()
                wanted.remove(name)
                try:
                    yield name, decode_picture(data, name)
                except EngineError as error:
                    unreadable(error)
    except _BROKEN as error:
        raise EngineError(
            f"{root} cannot be read: {_why(error)}.", "Name a folder, or a tar file with the pictures (.tar, .tar.gz)."
        ) from error
    for name in sorted(wanted):
        unreadable(EngineError(f"The picture {name} is not in {root.name}."))


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _no_pairs(path: Path, why: str) -> EngineError:
    return EngineError(
        f"{path} is no list of pairs: {why}.",
        "Its first line must name file_a, file_b and same, and fold if there is one.",
    )


# ------------------------------------------------------------------------------------------- people and strangers


@dataclass(frozen=True, eq=False)
class OpenSet:
    """How enrolled people and strangers compare with those who are enrolled.

    Attributes:
        known: (K,) similarity of each further picture of an enrolled person to whom it resembles most.
        right: (K,) whether that is who it is.
        strangers: (S,) the same similarity of each stranger.
        rounds: how often other people were drawn.
    """

    known: Floats
    right: NDArray[np.bool_]
    strangers: Floats
    rounds: int

    def named(self, threshold: float) -> float:
        """Share of the pictures of enrolled people that get the right name."""
        return float((self.right & (self.known >= threshold)).mean())

    def strangers_named(self, threshold: float) -> float:
        """Share of the strangers who are taken for somebody."""
        return float((self.strangers >= threshold).mean())

    def threshold(self, share: float) -> float:
        """The least threshold at which no larger share of the strangers is taken for somebody."""
        ranked = np.sort(self.strangers)[::-1]
        allowed = int(share * len(ranked) + 1e-9)
        if allowed >= len(ranked):
            return -1.0
        return min(1.0, float(np.nextafter(ranked[allowed], np.float32(2))))


def open_set(
    embeddings: Floats,
    identities: Sequence[str],
    *,
    people: int = 30,
    shots: int = 3,
    strangers: int = 500,
    rounds: int = 20,
    seed: int = 0,
) -> OpenSet:
    """Enrol some people with a few pictures each and see whether their other pictures, and strangers, get a name.

    In every round others are drawn: people of whom there are more pictures than `shots`, at most five of which are
    compared, so that nobody counts for much more than another; and one picture of each of some of the remaining people.

    Args:
        embeddings: (N, D), of length 1.
        identities: who is in each picture.

    Raises:
        ValueError: there are not so many people with so many pictures.
    """
    random = np.random.default_rng(seed)
    names, of = np.unique(np.asarray(identities), return_inverse=True)
    rows = [np.flatnonzero(of == number) for number in range(len(names))]
    able = np.array([number for number, mine in enumerate(rows) if len(mine) > shots], np.int64)
    if len(able) < people or len(names) < people + strangers:
        raise ValueError(
            f"{len(able)} people with more than {shots} pictures and {len(names)} in all are too few for {people} "
            f"people and {strangers} strangers"
        )
    known: list[float] = []
    right: list[bool] = []
    unknown: list[float] = []
    for _ in range(rounds):
        chosen = random.choice(able, people, replace=False)
        mixed = [random.permutation(rows[number]) for number in chosen]
        recogniser = Recogniser(
            embeddings[np.concatenate([each[:shots] for each in mixed])],
            np.repeat(np.arange(people), shots),
            dict.fromkeys(range(people), ""),
            calibration=(1.0, 0.0),
            threshold=-1.0,
        )
        for number, each in enumerate(mixed):
            for match in recogniser.match(embeddings[each[shots : shots + _MOST_OF_ONE]]):
                known.append(match.similarity)
                right.append(match.person == number)
        others = random.choice(np.setdiff1d(np.arange(len(names)), chosen), strangers, replace=False)
        seen = np.array([random.choice(rows[number]) for number in others])
        unknown += [match.similarity for match in recogniser.match(embeddings[seen])]
    return OpenSet(np.array(known, np.float32), np.array(right, bool), np.array(unknown, np.float32), rounds)


_MOST_OF_ONE = 5  # pictures of one enrolled person that are compared in a round
