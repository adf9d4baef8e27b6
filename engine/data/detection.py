"""Pictures with boxes: a folder in COCO's format in, tensors and mosaics out.

A `SceneSet` holds all pictures as uint8 tensors on one device. `compose` makes a batch of them: each picture of the
batch shows one scene or a mosaic of four, resized, moved, mirrored and cut, with the boxes moved along. Every class
that a scene's source does not label is known to be unknown there, so that nobody is punished for finding it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from engine.coco import CocoFile, Entry, read_coco
from engine.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    DataSet,
    Progress,
    Split,
    _never,
    _silent,
    _tell,
    renumbered,
)
from engine.errors import EngineError
from engine.images import MIRRORED, Image, Transform, letterbox
from engine.measure import LEAST_SEEN, Truth
from engine.opencv import cv2
from engine.types import Floats

GREY = 114
"""Level of what is no picture, as `engine.images.letterbox` fills it."""


_SIZE = 320  # side of a detector's input where nothing else is asked for
ROOM = 1.15
"""A scene is kept this much larger than the input, so that it can be enlarged without becoming soft."""

_CROP = 96  # side of a crop where nothing else is asked for
_LEAST_CROP = 14  # pixels: a smaller box shows nothing that could be told apart
_MOST_CROPS = 1_200  # of one class
_LEAST_SIDE = 3.0  # pixels of the input


@dataclass(frozen=True, eq=False)
class SceneSet:
    """Pictures with boxes, on one device.

    Attributes:
        images: ``(N, 3, S, S) uint8``; the picture lies in the left upper corner, or in the middle where it is
            letter-boxed, the rest is grey.
        sizes: ``(N, 2) float32``, width and height of the picture in pixels.
        boxes: ``(N, M, 4) float32``, x0, y0, x1, y1 in pixels; rows without a box are zero.
        labels: ``(N, M) int64``, -1 where there is no box.
        known: ``(N, C) bool``, which classes are labelled in the picture wherever they are.
        landmarks: ``(N, M, 5, 2) float32``, of the face in each box; not a number where unknown.
        ignored: ``(N, I, 4) float32``, places (a crowd) of which nothing is learnt, neither that there is something nor
            that there is nothing; rows without one are zero.
    """

    images: Tensor
    sizes: Tensor
    boxes: Tensor
    labels: Tensor
    known: Tensor
    landmarks: Tensor
    ignored: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Tensor) -> SceneSet:
        """Some of the pictures: their numbers, or which they are."""
        return SceneSet(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device) -> SceneSet:
        return SceneSet(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True, eq=False)
class SceneData:
    """What a detector is trained on; `validation` is letter-boxed to the network's input, exactly as in use.

    Attributes:
        name: its key in `DATASETS`.
        classes: name of each class.
        train: ``S`` is somewhat larger than `image_size`.
        validation: ``S`` is `image_size`.
        transforms: where each picture of the validation part lies on its square.
        image_size: side of the network's input in pixels.
        mean, std: of each channel, 0..1.
        skipped: what could not be read and was left out: the name of a file, or a sentence, each.
        landmarks: how many places of each object are known, 0 or the five of a face.
        zoom: least and largest factor by which a picture is resized while it is learnt from.
    """

    name: str
    classes: tuple[str, ...]
    train: SceneSet
    validation: SceneSet
    transforms: tuple[Transform, ...]
    image_size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    skipped: tuple[str, ...] = field(default=())
    landmarks: int = 0
    zoom: tuple[float, float] = (0.75, 1.6)

    def only(self, classes: Sequence[str]) -> SceneData:
        """The same with these classes alone, in their order.

        Raises:
            EngineError: one of them is not there.
        """
        new = renumbered(self.classes, classes)
        old = torch.tensor([self.classes.index(name) for name in classes])

        def less(part: SceneSet) -> SceneSet:
            return replace(part, labels=new[part.labels], known=part.known[:, old])

        train = less(self.train)
        telling = train.known.any(dim=1) | (train.labels >= 0).any(dim=1)  # of the others nothing can be learnt
        return replace(self, classes=tuple(classes), train=train.at(telling), validation=less(self.validation))


# --------------------------------------------------------------------------------------------------------- reading


def load_coco(
    folder: Path | None = None,
    *,
    seed: int = 0,
    image_size: int = 0,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = _never,
) -> SceneData:
    """A folder with ``train.json`` and ``val.json`` as `engine.coco` reads them.

    Args:
        image_size: of the network's input; 0 takes 320. A multiple of 32.

    Raises:
        EngineError: there is no such folder, or nothing in it can be read.
    """
    if folder is None and os.environ.get("CONVSCOPE_DATA"):
        folder = Path(os.environ["CONVSCOPE_DATA"]) / "detection"  # the bundled networks' recipes
    if folder is None or not folder.is_dir():
        raise EngineError(
            "Pictures with boxes need a folder.", "Name one that holds train.json and val.json in COCO's format."
        )
    size = image_size or _SIZE
    if size % 32:
        near = max(32, round(size / 32) * 32)
        raise EngineError("The picture size of a detector must be a multiple of 32.", f"{near} would do.")
    listed = read_coco(folder / "train.json"), read_coco(folder / "val.json")
    if listed[0].classes != listed[1].classes:
        raise EngineError("train.json and val.json have different categories.", "Give both the same list.")
    if not listed[0].classes:
        raise EngineError(f"{listed[0].path} names no categories.", "There must be a class for the boxes to be of.")
    kept = int(size * ROOM) // 2 * 2
    total = sum(len(file.entries) for file in listed)
    count = 0

    def told() -> None:
        nonlocal count
        if count % 50 == 0:
            _tell("Reading pictures", count / max(1, total), progress, cancelled)
        count += 1

    train, _, skipped = _read_part(listed[0], kept, in_corner(kept), told)
    validation, transforms, more = _read_part(listed[1], size, in_middle(size), told)
    progress("Reading pictures", 1.0)
    return SceneData(
        "coco",
        listed[0].classes,
        train,
        validation,
        transforms,
        size,
        skipped=(*skipped, *more),
        landmarks=5 if bool(train.landmarks.isfinite().any()) else 0,
    )


def load_crops(
    folder: Path | None = None,
    *,
    seed: int = 0,
    image_size: int = 0,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = _never,
) -> DataSet:
    """Every box of such a folder as a square picture of its own, with a little of what is around it.

    A class that has many more boxes than others is thinned out, so that it does not drown them.

    Args:
        image_size: side of the pictures; 0 takes 96.

    Raises:
        EngineError: there is no such folder, or nothing in it can be read.
    """
    size = image_size or _CROP
    scenes = load_coco(folder, seed=seed, image_size=_SIZE, progress=progress, cancelled=cancelled)
    rng = np.random.default_rng([seed, 96])
    return DataSet(
        name="crops",
        classes=scenes.classes,
        train=_crops(scenes.train, size, rng),
        validation=_crops(scenes.validation, size, rng),
        mean=scenes.mean,
        std=scenes.std,
        skipped=scenes.skipped,
    )


def _crops(scenes: SceneSet, size: int, rng: np.random.Generator) -> Split:
    picture, row = torch.nonzero(scenes.labels >= 0, as_tuple=True)
    boxes, labels = scenes.boxes[picture, row], scenes.labels[picture, row]
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)
    fine = (boxes[:, 2:] - boxes[:, :2]).amin(dim=1) >= _LEAST_CROP
    chosen: list[int] = []
    for number in range(int(labels.max()) + 1 if len(labels) else 0):
        mine = torch.nonzero(fine & (labels == number)).flatten().numpy()
        chosen += rng.permutation(mine)[:_MOST_CROPS].tolist()
    images = torch.full((len(chosen), 3, size, size), GREY, dtype=torch.uint8)
    for number, index in enumerate(sorted(chosen)):
        half = float(sides[index]) * 0.6
        x, y = ((boxes[index, :2] + boxes[index, 2:]) / 2).tolist()
        image = scenes.images[int(picture[index])].permute(1, 2, 0).numpy()
        scale = size / (2 * half)
        place = np.array([[scale, 0, size / 2 - x * scale], [0, scale, size / 2 - y * scale]])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        square = cv2.warpAffine(
            image, place, (size, size), flags=way, borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY, GREY, GREY)
        )
        images[number] = torch.from_numpy(square).permute(2, 0, 1)
    return Split(images, labels[sorted(chosen)])


def scenes_of(
    pictures: Iterable[tuple[Entry, Image]],
    count: int,
    classes: int,
    size: int,
    place: Callable[[Image], tuple[Image, Transform]],
) -> tuple[SceneSet, tuple[Transform, ...]]:
    """Pictures as `place` lays them on a square of `size`, with what is known of them.

    Args:
        count: how many there are at most.

    Raises:
        EngineError: there is not enough memory.
    """
    try:
        images = torch.full((count, 3, size, size), GREY, dtype=torch.uint8)
    except RuntimeError as error:  # torch's way to say that there is no memory
        raise EngineError(
            f"{count:,} pictures of {size} × {size} pixels need {count * 3 * size**2 / 1e9:.1f} GB of "
            "memory, which this computer does not have free.",
            "Choose a smaller picture size, or write fewer pictures into the JSON file.",
        ) from error
    known = torch.ones((count, classes), dtype=torch.bool)
    sizes: list[tuple[float, float]] = []
    boxes: list[Floats] = []
    labels: list[NDArray[np.int64]] = []
    landmarks: list[Floats] = []
    ignored: list[Floats] = []
    transforms: list[Transform] = []
    for number, (entry, image) in enumerate(pictures):
        square, transform = place(image)
        images[number] = torch.from_numpy(square).permute(2, 0, 1)
        sizes.append((transform.width * transform.scale[0], transform.height * transform.scale[1]))
        truth = entry.truth
        height, width = image.shape[:2]
        inside = truth.xyxy.clip(0, (width, height, width, height))  # some are written to reach over the edge
        solid = (inside[:, 2:] > inside[:, :2]).all(axis=1)  # boxes without an extent are none at all
        rows = ~truth.crowd & solid  # a crowd is no object to learn
        boxes.append(transform.to_square(inside[rows]))
        labels.append(truth.class_id[rows])
        ignored.append(transform.to_square(inside[truth.crowd & solid]))
        places = entry.landmarks[rows].reshape(-1, 2)
        landmarks.append(transform.to_square(np.concatenate([places, places], axis=1))[:, :2].reshape(-1, 10))
        if truth.known is not None:
            known[number] = False
            known[number, sorted(truth.known)] = True
        transforms.append(transform)
    count = len(transforms)
    scenes = SceneSet(
        images[:count],
        torch.tensor(sizes).reshape(-1, 2),
        _padded(boxes, 0.0, 4),
        _padded([each[:, None] for each in labels], -1, 1)[:, :, 0].long(),
        known[:count],
        _padded(landmarks, math.nan, 10).unflatten(2, (5, 2)),
        _padded(ignored, 0.0, 4),
    )
    return scenes, tuple(transforms)


def _padded(rows: Sequence[NDArray[Any]], filler: float, columns: int) -> Tensor:
    """``(N, M, columns) float32`` of N arrays of at most M rows."""
    most = max((len(each) for each in rows), default=0) or 1
    out = torch.full((len(rows), most, columns), filler)
    for number, each in enumerate(rows):
        out[number, : len(each)] = torch.from_numpy(each)
    return out


def _read_part(
    listed: CocoFile, size: int, place: Callable[[Image], tuple[Image, Transform]], told: Callable[[], None]
) -> tuple[SceneSet, tuple[Transform, ...], list[str]]:
    """One part as `scenes_of` has it, and what could not be read."""
    skipped: list[str] = []

    def pictures() -> Iterator[tuple[Entry, Image]]:
        for pair in listed.pictures(lambda error: skipped.append(error.message)):
            told()
            yield pair

    scenes, transforms = scenes_of(pictures(), len(listed.entries), len(listed.classes), size, place)
    if not transforms:
        raise EngineError(f"None of the pictures of {listed.path} can be read.", "Put them beside it.")
    return scenes, transforms, skipped


def in_corner(size: int) -> Callable[[Image], tuple[Image, Transform]]:
    """Lays a picture into the left upper corner of a square of `size`, as large as fits."""

    def place(image: Image) -> tuple[Image, Transform]:
        square, transform = letterbox(image, size, fill=GREY)
        left, top = int(transform.left), int(transform.top)
        return np.roll(square, (-top, -left), (0, 1)), replace(transform, left=0.0, top=0.0)

    return place


def in_middle(size: int) -> Callable[[Image], tuple[Image, Transform]]:
    """Lays a picture into the middle of a square of `size`, as large as fits: as in use."""
    return lambda image: letterbox(image, size, fill=GREY)


# ------------------------------------------------------------------------------------------------------- composing


@dataclass(frozen=True, eq=False)
class Batch:
    """What a detector learns from in one step.

    Attributes:
        images: ``(N, 3, S, S) float32`` in 0..1.
        boxes: ``(K, 4)`` in pixels of the square, of all pictures one after the other.
        labels: ``(K,)``.
        owner: ``(K,)``, which picture each box is in.
        known: ``(N, 4, C) bool``, which classes are labelled in each quarter of each picture.
        split: ``(N, 2)``, x and y where the quarters meet, in pixels: left upper, right upper, left lower, right
            lower; a picture of one scene is all left upper.
        landmarks: ``(K, 5, 2)`` of each box in pixels of the square; not a number where unknown.
        ignored: ``(N, I, 4)``, places of which nothing is learnt; rows without one are zero.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    owner: Tensor
    known: Tensor
    split: Tensor
    landmarks: Tensor
    ignored: Tensor


def compose(
    scenes: SceneSet,
    chosen: Tensor,
    size: int,
    generator: Generator,
    *,
    mosaic: float = 0.5,
    zoom: tuple[float, float] = (0.75, 1.6),
) -> Batch:
    """Pictures from scenes: resized, moved, mirrored, and a share of them made of four (mosaic, YOLOv4, 2020).

    Args:
        scenes: on the generator's device.
        chosen: ``(N,)``, the scenes to show; a mosaic takes its other three at random.
        size: of the pictures.
        mosaic: share of mosaics, exactly.
        zoom: least and largest size of a scene by itself, as a share of what fills the picture.
    """
    device, count = scenes.images.device, len(chosen)
    fours = round(count * mosaic)
    order = torch.randperm(count, generator=generator, device=device)
    parts = [
        _warped(scenes, chosen[order[:fours], None], size, generator, zoom=(0.6, 1.4), four=True),
        _warped(scenes, chosen[order[fours:], None], size, generator, zoom=zoom, four=False),
    ]
    parts = [part for part in parts if len(part.images)]
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    return Batch(
        torch.cat([first.images, second.images]),
        torch.cat([first.boxes, second.boxes]),
        torch.cat([first.labels, second.labels]),
        torch.cat([first.owner, second.owner + len(first.images)]),
        torch.cat([first.known, second.known]),
        torch.cat([first.split, second.split]),
        torch.cat([first.landmarks, second.landmarks]),
        torch.cat([first.ignored, F.pad(second.ignored, (0, 0, 0, first.ignored.shape[1] - second.ignored.shape[1]))]),
    )


def _warped(
    scenes: SceneSet, chosen: Tensor, size: int, generator: Generator, *, zoom: tuple[float, float], four: bool
) -> Batch:
    """Every picture from one scene of its row of `chosen` ``(N, 1)``, or from that and three more."""
    device, count = scenes.images.device, len(chosen)

    def chance(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    if four:
        others = torch.randint(len(scenes), (count, 3), generator=generator, device=device)
        chosen = torch.cat([chosen, others], dim=1)
    quarters = chosen.shape[1]
    split = size * (0.3 + 0.4 * chance(count, 2)) if four else torch.full((count, 2), float(size), device=device)
    # The region that each scene may paint: (N, Q, 4) x0, y0, x1, y1.
    zero, whole = torch.zeros(count, device=device), torch.full((count,), float(size), device=device)
    x, y = split.unbind(1)
    corners = [(zero, zero, x, y), (x, zero, whole, y), (zero, y, x, whole), (x, y, whole, whole)]
    region = torch.stack([torch.stack(each, dim=1) for each in corners[:quarters]], dim=1)
    # How large each scene becomes, (N, Q, 2) pixels, and how far it lies from its place's corner.
    extent = scenes.sizes[chosen]
    longest = extent.amax(dim=2, keepdim=True)
    low, high = zoom
    factor = size / longest * torch.exp(chance(count, quarters, 1) * np.log(high / low) + np.log(low))
    tilt = torch.exp((chance(count, quarters, 1) * 2 - 1) * 0.12)
    scale = torch.cat([factor * tilt, factor / tilt], dim=2)
    shown = extent * scale
    room = region[..., 2:] - region[..., :2]
    place = chance(count, quarters, 2)
    if four:
        # Scenes meet where the quarters do, with as much of each as there is room for.
        towards = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], device=device)
        place = torch.where(shown <= room, towards.expand_as(place), place)
    offset = region[..., :2] + (room - shown) * place
    mirrored = chance(count, quarters) < 0.5

    # Pixels: each one of the result looks up where it comes from in the scenes of its row, laid side by side.
    side = scenes.images.shape[-1]
    source = scenes.images[chosen]  # (N, Q, 3, side, side)
    sheet = source.permute(0, 2, 3, 1, 4).reshape(count, 3, side, quarters * side).float()
    sheet = sheet.sub_(GREY).div_(255)
    middle = torch.arange(size, device=device) + 0.5
    right = (middle >= split[:, :1]).long()  # (N, size)
    below = (middle >= split[:, 1:]).long()
    quarter = (below[:, :, None] * 2 + right[:, None, :]).clamp_(max=quarters - 1)  # (N, size, size)
    flat = quarter.flatten(1)

    def of(values: Tensor) -> Tensor:
        return values.gather(1, flat).view(count, size, size)

    across = (middle[None, None, :] - of(offset[..., 0])) / of(scale[..., 0])
    down = (middle[None, :, None] - of(offset[..., 1])) / of(scale[..., 1])
    wide, tall = of(extent[..., 0]), of(extent[..., 1])
    across = torch.where(of(mirrored.float()) > 0, wide - across, across)
    outside = (across < 0) | (down < 0) | (across > wide) | (down > tall)
    # Half a pixel away from the edge, so that neither the grey nor the next scene is mixed in.
    across = across.clamp_(min=0.5).minimum(wide - 0.5) + quarter * side
    down = down.clamp_(min=0.5).minimum(tall - 0.5)
    grid = torch.stack([across * (2 / (quarters * side)) - 1, down * (2 / side) - 1], dim=3)
    images = F.grid_sample(sheet, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    images = images.masked_fill_(outside[:, None], 0.0).add_(GREY / 255)

    # Boxes: moved along, cut at the region's edges, left out where little of them is left.
    boxes, labels = scenes.boxes[chosen], scenes.labels[chosen]  # (N, Q, M, 4), (N, Q, M)
    flipped = mirrored[..., None]

    def move(boxes: Tensor) -> Tensor:
        x0, y0, x1, y1 = boxes.unbind(3)
        x0, x1 = torch.where(flipped, extent[..., :1] - x1, x0), torch.where(flipped, extent[..., :1] - x0, x1)
        corners = torch.stack([x0, y0, x1, y1], dim=3)
        return corners * scale.repeat(1, 1, 2)[:, :, None] + offset.repeat(1, 1, 2)[:, :, None]

    moved = move(boxes)
    low_edge, high_edge = region[..., :2].repeat(1, 1, 2)[:, :, None], region[..., 2:].repeat(1, 1, 2)[:, :, None]
    cut = moved.maximum(low_edge).minimum(high_edge)
    seen = (cut[..., 2:] - cut[..., :2]).clamp(min=0)
    area = (moved[..., 2:] - moved[..., :2]).prod(dim=3)
    kept = (labels >= 0) & (seen.prod(dim=3) >= LEAST_SEEN * area) & (seen.amin(dim=3) >= _LEAST_SIDE)
    owner = torch.arange(count, device=device)[:, None, None].expand_as(labels)
    known = scenes.known[chosen]
    if not four:
        known = known.expand(-1, 4, -1)
    # In the mirror a left eye is the right one.
    places = scenes.landmarks[chosen]  # (N, Q, M, 5, 2)
    turned = torch.cat([extent[:, :, None, None, :1] - places[..., :1], places[..., 1:]], dim=4)[:, :, :, MIRRORED]
    places = torch.where(mirrored[:, :, None, None, None], turned, places)
    places = places * scale[:, :, None, None] + offset[:, :, None, None]
    ignored = scenes.ignored[chosen]
    there = (ignored[..., 2:] > ignored[..., :2]).all(dim=3, keepdim=True)
    ignored = (move(ignored).maximum(low_edge).minimum(high_edge) * there).flatten(1, 2)
    return Batch(images, cut[kept], labels[kept], owner[kept], known, split, places[kept], ignored)


def truth_of(scenes: SceneSet, transforms: Sequence[Transform], number: int) -> Truth:
    """What is really in one validation picture, in pixels of the file; what is to be ignored is of every class."""
    transform, there = transforms[number], scenes.labels[number] >= 0
    ignored = scenes.ignored[number]
    ignored = ignored[(ignored[:, 2:] > ignored[:, :2]).all(dim=1)]
    classes = int(scenes.known.shape[1])
    boxes = torch.cat([scenes.boxes[number][there], ignored.repeat_interleave(classes, dim=0)])
    labels = torch.cat([scenes.labels[number][there], torch.arange(classes).repeat(len(ignored))])
    known = frozenset(int(each) for each in torch.nonzero(scenes.known[number]).flatten())
    crowd = np.arange(len(labels)) >= int(there.sum())
    return Truth(transform.to_original(boxes.numpy()), labels.numpy(), crowd, known)
