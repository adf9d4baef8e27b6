"""The mix that the bundled digit network is trained on: many hands, many pens, and what is no digit.

In goes a folder with MNIST, the pen trajectories and the drawn digits; out comes a `DataSet` of eleven classes, the
ten digits and "not a digit". Every picture has gone through the same steps as a drawing on the canvas. What is held
out is decided here, by writer where writers are known, and never seen by training: see `is_held_out`.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.data import DIGITS, DataSet, Progress, Split, _split, _tell, cut, join, read_idx_pair
from engine.data.strokes import Trajectory, draw_digits, draw_others, draw_trajectories, read_unipen
from engine.errors import EngineError
from engine.images import Image, centre_digit, read_picture, to_grey, to_ink
from engine.opencv import cv2
from engine.types import NOT_A_DIGIT

NOT = len(DIGITS)
"""Label of what is no digit."""

_MEAN, _STD = (0.1307,), (0.3081,)


@dataclass(frozen=True)
class Sizes:
    """How many pictures of each kind go into the mix.

    Attributes:
        mnist: how often an epoch shows each picture of MNIST; once would leave it less than half of the mix, and the
            network a little worse at it than one that sees nothing else.
    """

    mnist: int = 2
    trajectories: int = 24_000
    shapes: int = 10_000
    drawn: int = 12_000
    others: int = 26_000
    validation: int = 3_000


_SETTLING = Sizes(trajectories=6_000, shapes=2_000, drawn=8_000, others=6_000)
"""Five pictures of MNIST in six, and enough of everything else for that not to be forgotten."""


@dataclass(frozen=True)
class Drawn:
    """One file of the folder of drawn digits.

    Attributes:
        path: of the image file.
        label: the digit.
        source: which collection it is from.
        number: its number within the collection, the writer's number for pen strokes.
        trajectory: index of the pen trajectory that it was drawn from; -1 for all others.
    """

    path: Path
    label: int
    source: str
    number: int
    trajectory: int = -1

    @property
    def is_held_out(self) -> bool:
        """Whether training never sees it.

        Pen strokes: the writers whose number divides by 5 (6 of 30). Semeion: records from 600 on, the last of four
        groups of writers. All others: every fourth by its number, in the order of the files.
        """
        if self.source == "pendigits":
            return held_out_writer(self.number)
        if self.source == "semeion":
            return self.number >= 600
        return self.number % 4 == 3


def held_out_writer(writer: int) -> bool:
    """Whether none of a pen writer's digits are trained on."""
    return writer % 5 == 0


def read_drawn(folder: Path) -> list[Drawn]:
    """The list of a folder of drawn digits, from its ``labels.csv``.

    Raises:
        EngineError: the list is missing or damaged.
    """
    try:
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: (row["source"], row["path"]))
        found, seen = [], dict[str, int]()
        for row in rows:
            source, name = row["source"], Path(row["path"]).stem
            number, trajectory = seen.get(source, 0), -1
            seen[source] = number + 1
            digits = re.findall(r"\d+", name)
            if source == "pendigits":
                number, trajectory = int(row["writer"]), int(digits[-1])
            elif source == "semeion":
                number = int(digits[-1])
            found.append(Drawn(folder / row["path"], int(row["label"]), source, number, trajectory))
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise EngineError(
            f"The list of drawn digits in {folder} cannot be read.", "It needs labels.csv with path, label and source."
        ) from error
    return found


def load_mixture(
    folder: Path | None = None,
    *,
    seed: int = 0,
    image_size: int = 0,
    progress: Progress,
    cancelled: Callable[[], bool],
    sizes: Sizes | None = None,
) -> DataSet:
    """Draw and gather the mix.

    Args:
        folder: has ``MNIST/``, ``pendigits/``, ``drawn_digits/`` and, if wanted, ``photos/``; ``None`` takes the folder
            that the environment variable ``CONVSCOPE_DATA`` names.
        seed: of every picture that is drawn.
        image_size: not used; the pictures are 28 x 28.
        progress: told how far it is.
        cancelled: asked often whether to stop.
        sizes: how much of each kind.

    Raises:
        EngineError: something is missing.
    """
    folder = folder or (Path(os.environ["CONVSCOPE_DATA"]) if os.environ.get("CONVSCOPE_DATA") else None)
    if folder is None or not folder.is_dir():
        raise EngineError(
            "The digits of the bundled network's recipe are not here.",
            "Name their folder in the recipe or in the environment variable CONVSCOPE_DATA; "
            "it holds MNIST, pendigits and drawn_digits.",
        )
    sizes = sizes or Sizes()
    rng = np.random.default_rng([seed, 11])
    _tell("Reading MNIST", 0.0, progress, cancelled)
    mnist, mnist_test = read_idx_pair(folder / "MNIST", "train"), read_idx_pair(folder / "MNIST", "t10k")
    if mnist is None:
        raise EngineError(f"There is no MNIST in {folder}.", "It needs the folder MNIST with the IDX files.")
    train_mnist, validation_mnist = cut(mnist, sizes.validation, seed)

    drawn = read_drawn(folder / "drawn_digits")
    taken = {digit.trajectory for digit in drawn}
    pen = [
        digit
        for digit in read_unipen(folder / "pendigits" / "pendigits-orig.tra")
        if not held_out_writer(digit.writer) and digit.index not in taken
    ]
    # One writer more is kept for validation, so that the choice of the best epoch does not use what is held out.
    watched = [digit for digit in pen if digit.writer == 7]
    pen = [digit for digit in pen if digit.writer != 7]
    photos = _photos(folder / "photos")
    digits = train_mnist.images[:, 0].numpy()

    def blocks(
        what: str, share: tuple[float, float], count: int, draw: Callable[[int], tuple[Image, npt.NDArray[np.int64]]]
    ) -> Split:
        parts, block = [], 1_000
        for start in range(0, count, block):
            _tell(what, share[0] + (share[1] - share[0]) * start / count, progress, cancelled)
            parts.append(_split(*draw(min(block, count - start))))
        return join(parts)

    def trajectories(digits: list[Trajectory]) -> Callable[[int], tuple[Image, npt.NDArray[np.int64]]]:
        return lambda count: draw_trajectories(digits, count, rng)

    def others(count: int) -> tuple[Image, npt.NDArray[np.int64]]:
        some = digits[rng.integers(0, len(digits), 2_000)]
        return draw_others(count, rng, digits=some, photos=photos), np.full(count, NOT, np.int64)

    few = max(100, sizes.validation // 6)
    files = [digit for digit in drawn if not digit.is_held_out and digit.source != "pendigits"]
    train = join(
        [
            *[train_mnist] * sizes.mnist,
            blocks("Drawing pen strokes", (0.05, 0.3), sizes.trajectories, trajectories(pen)),
            blocks("Drawing digits", (0.3, 0.5), sizes.shapes, lambda count: draw_digits(count, rng)),
            _redrawn(files, sizes.drawn, rng),
            blocks("Drawing what is no digit", (0.6, 0.95), sizes.others, others),
        ]
    )
    validation = join(
        [
            validation_mnist,
            blocks("Drawing for validation", (0.95, 0.97), few, trajectories(watched)),
            blocks("Drawing for validation", (0.97, 0.98), few, lambda count: draw_digits(count, rng)),
            blocks("Drawing for validation", (0.98, 1.0), 2 * few, others),
        ]
    )
    held = [digit for digit in drawn if digit.is_held_out]
    test = join([_as_they_are(held), *([mnist_test] if mnist_test is not None else [])])
    progress("Drawing for validation", 1.0)
    return DataSet(
        name="digits",
        classes=(*DIGITS, NOT_A_DIGIT),
        train=train,
        validation=validation,
        mean=_MEAN,
        std=_STD,
        test=test,
    )


load_settling = functools.partial(load_mixture, sizes=_SETTLING)
"""What a network that has learnt the whole mix settles on: mostly MNIST, the same pictures held out for the same seed.

MNIST is the harder to read to the last digit, and a network that sees little else reads it better; one that sees
nothing else forgets what is no digit (measured: 2 of 10 pictures of clothes are taken for digits instead of 1 of 100).
"""


def _as_they_are(files: list[Drawn]) -> Split:
    images = np.stack([centre_digit(to_ink(read_picture(digit.path))) for digit in files])
    return _split(images, np.array([digit.label for digit in files], np.int64))


def _redrawn(files: list[Drawn], count: int, rng: np.random.Generator) -> Split:
    """``count`` pictures from a few files: stretched, slanted, thickened or thinned before they are centred."""
    inks = [to_ink(read_picture(digit.path)) for digit in files]
    images = np.zeros((count, 28, 28), np.uint8)
    labels = np.zeros(count, np.int64)
    order = np.concatenate([rng.permutation(len(files)) for _ in range(-(-count // len(files)))])[:count]
    for i, which in enumerate(order):
        ink, labels[i] = inks[int(which)], files[int(which)].label
        if rng.random() < 0.75:
            x, y, w, h = cv2.boundingRect(ink)
            wide, high = 56 * np.exp(rng.normal(0, 0.18, 2)) * (w, h) / max(w, h)
            soft = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_AREA
            ink = cv2.resize(ink[y : y + h, x : x + w], (max(6, int(wide)), max(6, int(high))), interpolation=soft)
            ink = cv2.copyMakeBorder(ink, 14, 14, 14, 14, cv2.BORDER_CONSTANT, value=0)
            middle = (ink.shape[1] / 2, ink.shape[0] / 2)
            turn = cv2.getRotationMatrix2D(middle, float(rng.normal(0, 6)), 1.0)
            slant = float(rng.normal(0, 0.12))
            turn[0] += slant * turn[1] - np.array([0, 0, slant * middle[1]])
            ink = cv2.warpAffine(ink, turn, (ink.shape[1], ink.shape[0]), flags=cv2.INTER_LINEAR)
            side = int(rng.integers(2, 5))
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            chance = rng.random()
            if chance < 0.35:
                ink = cv2.dilate(ink, kernel)
            elif chance < 0.6:
                thinner = cv2.erode(ink, kernel)
                ink = thinner if thinner.sum() > 0.4 * ink.sum() else ink
        images[i] = centre_digit(ink.astype(np.uint8))
    return _split(images, labels)


def _photos(folder: Path) -> list[Image]:
    """The photographs that may be cut up; those from ImageNet (names with ``in_``) are for tests alone."""
    if not folder.is_dir():
        return []
    photos = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"} and not path.name.startswith("in_"):
            with contextlib.suppress(EngineError):
                photos.append(to_grey(read_picture(path)))
    return photos
