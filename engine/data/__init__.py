"""Data sets: everything a network can be trained on, by name.

In goes a name and, for some, a folder; out comes a `DataSet`: uint8 pictures and labels as tensors in memory, a
training and a validation part, sometimes a test part. A new data set is one entry in `DATASETS`.
"""

from __future__ import annotations

import gzip
import importlib
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.downloads import fetch
from engine.errors import Cancelled, EngineError, WriteError
from engine.images import PICTURES, read_picture, resize_centre_crop
from engine.sources import find_files

if TYPE_CHECKING:
    from engine.data.detection import SceneData
    from engine.data.faces import FaceSet

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_MNIST_MEAN, _MNIST_STD = (0.1307,), (0.3081,)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CUT = 5_000  # pictures of MNIST's training part kept for validation

Progress = Callable[[str, float], None]
"""Told what is being done, in a few words, and which share of it is done, 0..1."""


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures ``(N, C, H, W) uint8`` and their labels ``(N,) int64``, both on the CPU."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(f"images must be (N, C, H, W) uint8, not {tuple(self.images.shape)} {self.images.dtype}")
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be ({len(self.images)},) int64, not {tuple(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class DataSet:
    """What a network is trained on.

    Attributes:
        name: its key in `DATASETS`.
        classes: name of each class; a label is an index into it.
        train: what the network learns from.
        validation: what says, after every epoch, how well it reads pictures that it has not learnt from.
        mean: of each channel over the training part, 0..1.
        std: standard deviation of each channel, 0..1.
        test: kept apart from both; ``None`` where there is none.
        skipped: what could not be read and was left out: the name of a file, or a sentence, each.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test: Split | None = None
    skipped: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for split in (self.train, self.validation, self.test):
            if split is not None and split.images.shape[1:] != self.train.images.shape[1:]:
                raise ValueError("the parts of a data set must have pictures of one size")
            if split is not None and len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()):
                raise ValueError("labels must not be negative")
            if split is not None and len(split) and int(split.labels.max()) >= len(self.classes):
                raise ValueError("a label has no class")
        if not len(self.mean) == len(self.std) == self.train.images.shape[1]:
            raise ValueError("mean and std need one number a channel")

    def only(self, classes: Sequence[str]) -> DataSet:
        """The same with these classes alone, in their order.

        Raises:
            EngineError: one of them is not there, or there is only one.
        """
        if len(classes) < 2:
            raise EngineError(
                f"There is nothing to tell {' and '.join(classes)} apart from.", "Name two classes at least."
            )
        new = renumbered(self.classes, classes)

        def less(split: Split) -> Split:
            kept = new[split.labels] >= 0
            return Split(split.images[kept], new[split.labels[kept]])

        test = None if self.test is None else less(self.test)
        return replace(
            self, classes=tuple(classes), train=less(self.train), validation=less(self.validation), test=test
        )


def renumbered(known: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """The new number of each old class, -1 for those not wanted; the last entry is for -1, no class at all.

    Raises:
        EngineError: a wanted one is not among the known ones, or is named twice.
    """
    for name in wanted:
        if name not in known:
            raise EngineError(f"The data have no class “{name}”.", f"They have: {', '.join(known)}.")
        if wanted.count(name) > 1:
            raise EngineError(f"The class “{name}” is named twice.", "Name each class once.")
    new = torch.full((len(known) + 1,), -1)
    new[torch.tensor([known.index(name) for name in wanted])] = torch.arange(len(wanted))
    return new


class Load(Protocol):
    """How an entry of `DATASETS` is called; all arguments but the folder have a default."""

    def __call__(
        self,
        folder: Path | None = None,
        *,
        seed: int = 0,
        image_size: int = 0,
        progress: Progress = ...,
        cancelled: Callable[[], bool] = ...,
    ) -> DataSet | SceneData | FaceSet:
        """Read, download or draw the data set.

        Args:
            folder: where its files are; ``None`` takes the cache, downloading into it what is missing.
            seed: of everything that chance decides, such as which pictures are kept for validation.
            image_size: side of the pictures in pixels; 0 takes what suits the data.
            progress: told how far it is.
            cancelled: asked often whether to stop.

        Raises:
            EngineError: the files are missing, damaged or of another kind; `Cancelled` when asked to stop.
        """
        ...


@dataclass(frozen=True)
class Entry:
    """One data set in the list: its title, a sentence of help, and how to load it."""

    title: str
    help: str
    load: Load


def _silent(what: str, share: float) -> None:
    pass


def _never() -> bool:
    return False


# ------------------------------------------------------------------------------------------------ drawn by our code


def load_synthetic_digits(
    folder: Path | None = None,
    *,
    seed: int = 0,
    image_size: int = 0,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = _never,
    count: int = 24_000,
) -> DataSet:
    """Digits drawn from stroke shapes by our own code: 10 classes, 28 x 28; needs neither files nor a network.

    A tenth of the ``count`` pictures is for validation.
    """
    from engine.data.strokes import draw_digits

    rng = np.random.default_rng([seed, 28])
    images = np.zeros((count, 28, 28), np.uint8)
    labels = np.zeros(count, np.int64)
    block = 1_000
    for start in range(0, count, block):
        _tell("Drawing digits", start / count, progress, cancelled)
        stop = min(count, start + block)
        images[start:stop], labels[start:stop] = draw_digits(stop - start, rng)
    progress("Drawing digits", 1.0)
    order = rng.permutation(count)
    kept = order[: max(10, count // 10)]
    rest = order[len(kept) :]
    return DataSet(
        name="synthetic-digits",
        classes=DIGITS,
        train=_split(images[rest], labels[rest]),
        validation=_split(images[kept], labels[kept]),
        mean=_MNIST_MEAN,
        std=_MNIST_STD,
    )


# ------------------------------------------------------------------------------------------------------- IDX files


@dataclass(frozen=True)
class IdxFiles:
    """A set in IDX files, as a `Load`: 5,000 of its training pictures are for validation; it has a test part.

    Attributes:
        name: its key in `DATASETS`.
        kind: what torchvision, from whose mirrors it is downloaded, calls it.
        classes, mean, std: as a `DataSet` has them.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(
        self,
        folder: Path | None = None,
        *,
        seed: int = 0,
        image_size: int = 0,
        progress: Progress = _silent,
        cancelled: Callable[[], bool] = _never,
    ) -> DataSet:
        if folder is None:
            folder = _download(self.kind, progress, cancelled)
        elif not folder.is_dir():
            raise EngineError(
                f"There is no folder {folder}.", "Choose the folder with the IDX files, or leave it empty."
            )
        _tell("Reading the pictures", 0.2, progress, cancelled)
        both = read_idx_pair(folder, "train")
        test = read_idx_pair(folder, "t10k")
        if both is None:
            found = " (only the test part)" if test is not None else ""
            raise EngineError(
                f"The training files of {self.kind} are not in {folder}{found}.",
                "It needs train-images-idx3-ubyte and train-labels-idx1-ubyte, gzipped or not.",
            )
        for split in (both, test):
            if split is not None and int(split.labels.max()) >= len(self.classes):
                raise EngineError(
                    f"These IDX files have more than {len(self.classes)} classes.", f"Choose those of {self.kind}."
                )
        train, validation = cut(both, min(_CUT, len(both) // 10 + 1), seed)
        progress("Reading the pictures", 1.0)
        return DataSet(
            name=self.name,
            classes=self.classes,
            train=train,
            validation=validation,
            mean=self.mean,
            std=self.std,
            test=test,
        )


load_mnist = IdxFiles("mnist", "MNIST", DIGITS, _MNIST_MEAN, _MNIST_STD)
load_fashion_mnist = IdxFiles("fashion-mnist", "FashionMNIST", FASHION, (0.2860,), (0.3530,))


def read_idx_pair(folder: Path, part: str) -> Split | None:
    """The ``train`` or ``t10k`` part of a set in IDX files; ``None`` where the files are not there.

    The files may lie in the folder, in ``raw/`` or in ``NAME/raw/`` under it, and may be gzipped.

    Raises:
        EngineError: a file is damaged or holds nothing, or pictures and labels do not belong together.
    """
    images, labels = _find_idx(folder, f"{part}-images-idx3-ubyte"), _find_idx(folder, f"{part}-labels-idx1-ubyte")
    if images is None or labels is None:
        return None
    pictures, names = read_idx(images), read_idx(labels)
    if pictures.ndim != 3 or names.ndim != 1 or len(pictures) != len(names):
        raise EngineError(
            f"{images.name} and {labels.name} do not belong together.", "Take both from the same data set."
        )
    if not pictures.size:
        raise EngineError(f"There are no pictures in {images.name}.", "Download it again.")
    return _split(pictures, names.astype(np.int64))


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of bytes, gzipped or not (format: LeCun's MNIST page).

    Raises:
        EngineError: the file cannot be read or is not such a file.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise EngineError(f"{path.name} cannot be read: {error}.", "Download it again.") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise EngineError(f"{path.name} is not an IDX file of bytes.", "Choose the folder with MNIST's own files.")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    body = raw[4 + 4 * raw[3] :]
    if len(body) != math.prod(shape):
        raise EngineError(f"{path.name} is cut short.", "Download it again.")
    return np.frombuffer(bytearray(body), np.uint8).reshape(shape)  # a copy: tensors made of it can be written to


def _find_idx(folder: Path, name: str) -> Path | None:
    places = [folder, folder / "raw", *sorted(folder.glob("*/raw"))]
    names = [name, name + ".gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"]
    return next((place / file for place in places for file in names if (place / file).is_file()), None)


def cut(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """A split without ``count`` pictures chosen by ``seed``, and those pictures."""
    order = torch.from_numpy(np.random.default_rng([seed, len(split)]).permutation(len(split)))
    kept, rest = order[:count].sort().values, order[count:].sort().values
    return Split(split.images[rest], split.labels[rest]), Split(split.images[kept], split.labels[kept])


def _download(kind: str, progress: Progress, cancelled: Callable[[], bool]) -> Path:
    """The four files of a set from torchvision's mirrors in the cache; only those that are missing are fetched."""
    import torchvision.datasets

    from engine.store import cache_folder

    known = {"MNIST": torchvision.datasets.MNIST, "FashionMNIST": torchvision.datasets.FashionMNIST}[kind]
    folder = cache_folder() / "datasets" / kind / "raw"
    for number, (file, checksum) in enumerate(known.resources):

        def told(done: int, total: int, number: int = number) -> None:
            here = min(1.0, done / total) if total else 0.0
            progress(f"Downloading {kind}", (number + here) / len(known.resources))

        trouble: EngineError | None = None
        for mirror in known.mirrors:
            try:
                fetch(
                    mirror + file,
                    folder / file,
                    checksum=f"md5:{checksum}",
                    otherwise="Choose a folder that has the IDX files, or take the synthetic digits.",
                    progress=told,
                    cancelled=cancelled,
                )
                break
            except (Cancelled, WriteError):
                raise
            except EngineError as error:
                trouble = error
        else:
            raise trouble or EngineError(f"{kind} could not be downloaded.", "")
    return folder


# --------------------------------------------------------------------------------------------------------- folders


def load_folder(
    folder: Path | None = None,
    *,
    seed: int = 0,
    image_size: int = 0,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = _never,
) -> DataSet:
    """Pictures in one sub-folder per class; RGB, made square by resizing and a centre crop.

    With sub-folders ``train`` and ``val`` (or ``validation``, ``test``) these are the parts; otherwise a fifth of each
    class is kept for validation. Files that are no readable picture are left out and listed in ``skipped``.
    """
    if folder is None or not folder.is_dir():
        raise EngineError(
            "There is no such folder of pictures." if folder is None else f"There is no folder {folder}.",
            "Choose a folder that has one sub-folder per class.",
        )
    size = image_size or 64
    parts = {part: next((folder / n for n in names if (folder / n).is_dir()), None) for part, names in _PARTS.items()}
    root = parts["train"] or folder
    classes = _classes(root)
    skipped: list[str] = []

    def read(place: Path, what: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        files = [(path, label) for label, name in enumerate(classes) for path in _pictures(place / name)]
        images, labels = [], []
        for number, (path, label) in enumerate(files):
            if number % 16 == 0:
                _tell(what, number / len(files), progress, cancelled)
            try:
                picture = read_picture(path)
            except EngineError:
                skipped.append(str(path.relative_to(folder)))
                continue
            images.append(resize_centre_crop(picture, size).transpose(2, 0, 1))
            labels.append(label)
        shape = (len(images), 3, size, size)
        return np.array(images, np.uint8).reshape(shape), np.array(labels, np.int64)

    images, labels = read(root, "Reading the pictures")
    present = np.bincount(labels, minlength=len(classes))
    if len(labels) == 0 or (present == 0).any():
        empty = [name for name, number in zip(classes, present, strict=True) if number == 0]
        raise EngineError(
            f"No picture could be read in {', '.join(empty[:3]) or root.name}.",
            "Each class needs at least one readable PNG, JPEG, BMP, WebP or TIFF file.",
        )
    test: Split | None = None
    if parts["train"] is not None and parts["validation"] is not None:
        train = _split(images, labels)
        validation = _split(*read(parts["validation"], "Reading the validation pictures"))
        if len(validation) == 0:
            raise EngineError(
                f"No picture could be read in {parts['validation'].name}/.",
                "It needs the same sub-folders as the training part.",
            )
    else:
        rng = np.random.default_rng([seed, len(labels)])
        kept = np.zeros(len(labels), bool)
        for label in range(len(classes)):
            mine = rng.permutation(np.flatnonzero(labels == label))
            kept[mine[: max(1, len(mine) // 5) if len(mine) > 1 else 0]] = True
        if not kept.any():
            kept[:] = True  # one picture a class: nothing can be kept apart
            train = _split(images, labels)
        else:
            train = _split(images[~kept], labels[~kept])
        validation = _split(images[kept], labels[kept])
    if parts["train"] is not None and parts["test"] is not None:
        test = _split(*read(parts["test"], "Reading the test pictures"))
    progress("Reading the pictures", 1.0)
    return DataSet(
        name="folder",
        classes=classes,
        train=train,
        validation=validation,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        test=test if test is not None and len(test) else None,
        skipped=tuple(skipped),
    )


_PARTS = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}


def _classes(root: Path) -> tuple[str, ...]:
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    names = [name for name in names if any(True for _ in _pictures(root / name))]
    if len(names) < 2:
        raise EngineError(
            f"{root.name} has no classes to tell apart."
            if not names
            else f"{root.name} has only the class {names[0]}.",
            "Put the pictures of each class into a sub-folder with the name of the class; two classes at least.",
        )
    return tuple(names)


def _pictures(folder: Path) -> list[Path]:
    return find_files(folder, PICTURES) if folder.is_dir() else []


# ----------------------------------------------------------------------------------------------------- what they share


def _tell(what: str, share: float, progress: Progress, cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled(what)
    progress(what, share)


def _split(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Split:
    if images.ndim == 3:
        images = images[:, None]
    return Split(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(np.ascontiguousarray(labels)))


def join(splits: Sequence[Split]) -> Split:
    """Several splits one after the other."""
    return Split(torch.cat([s.images for s in splits]), torch.cat([s.labels for s in splits]))


def _in(module: str, name: str) -> Load:
    """A loader of another module of this room, which is imported only when its data are asked for."""

    def load(
        folder: Path | None = None,
        *,
        seed: int = 0,
        image_size: int = 0,
        progress: Progress = _silent,
        cancelled: Callable[[], bool] = _never,
    ) -> DataSet | SceneData | FaceSet:
        loader: Load = getattr(importlib.import_module(f"engine.data.{module}"), name)
        return loader(folder, seed=seed, image_size=image_size, progress=progress, cancelled=cancelled)

    return load


DATASETS: dict[str, Entry] = {
    "synthetic-digits": Entry(
        "Synthetic digits",
        "Digits that ConvScope draws itself; nothing is downloaded.",
        load_synthetic_digits,
    ),
    "mnist": Entry(
        "MNIST",
        "70,000 handwritten digits; downloaded (12 MB) unless a folder has the IDX files.",
        load_mnist,
    ),
    "fashion-mnist": Entry(
        "Fashion-MNIST",
        "70,000 small pictures of clothes, harder than digits; downloaded (31 MB) unless a folder has the IDX files.",
        load_fashion_mnist,
    ),
    "folder": Entry(
        "A folder of pictures",
        "Your own pictures: one sub-folder per class, optionally inside train/ and val/.",
        load_folder,
    ),
    "coco": Entry(
        "A folder of pictures with boxes",
        "Pictures with boxes in COCO's format: train.json and val.json, the pictures beside them or in tar files.",
        _in("detection", "load_coco"),
    ),
    "crops": Entry(
        "What is in the boxes",
        "Every box of a COCO folder as a picture of its own, for a classifier.",
        _in("detection", "load_crops"),
    ),
    "faces": Entry(
        "Faces in pictures",
        "Photographs with boxed faces and their landmarks (faces_coco.json), for a face detector.",
        _in("faces", "load_faces"),
    ),
    "identities": Entry(
        "Faces by person",
        "Crops of faces listed with their person (identities.csv), for a network that tells people apart.",
        _in("faces", "load_identities"),
    ),
    "digits": Entry(
        "All digits",
        "The mix for the bundled network: MNIST, pen strokes, drawn and scanned digits, and what is no digit.",
        _in("mixture", "load_mixture"),
    ),
    "digits-settle": Entry(
        "All digits, mostly MNIST",
        "The same mix with little of all that is not MNIST, for a network that has learnt the whole mix before.",
        _in("mixture", "load_settling"),
    ),
}
"""Every data set by the name that a recipe gives it."""
