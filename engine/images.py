"""Pictures on their way into a network: reading a file, colour, ink, centring, letter-boxing.

What enters is a picture file, or a picture as a camera or the canvas gives it: ``uint8``, ``(H, W)`` grey,
``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA. What leaves is what a network was trained on. Digits take the road ``to_ink``
→ ``lay_out`` → (the network, once for all pieces) → ``choose``; photographs take ``letterbox`` or
``resize_centre_crop``.

Training and live use share every function here, so that the two can never drift apart. Only NumPy and OpenCV are
imported: the canvas may use this module before torch has been loaded.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.opencv import cv2

Image = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in pixels of the given image; the right and lower edges are exclusive."""

PICTURES = frozenset(
    ".png .jpg .jpeg .jpe .bmp .dib .webp .tif .tiff .gif .pgm .ppm .pbm .pnm .avif .jp2".split()  # noqa: SIM905
)
"""How the names of picture files end, in lower case."""

DIGIT_SIZE = 28
"""Side of the picture that a digit network sees, in pixels (MNIST)."""

_FIELD = 20  # MNIST fits a digit into 20 x 20 before it centres it (LeCun et al. 1998, section III-A)
_WORK = 80  # side to which a large crop is brought before its stroke is measured; 4 pixels a pixel of the field
_THINNEST = 1.7  # strokes thinner than this (in pixels of the field) are thickened: they would fade to grey
_TYPICAL_INK = 205  # mean level of ink weighted by itself; the median over MNIST is 219, its 5th percentile 199
_ONE_DIGIT = 32  # a picture no larger than this holds one digit; there is no room for two
_MOST_MARKS = 12  # more separate marks than this are no number that somebody wrote on a canvas
_MOST_COMPONENTS = 60  # more separate bits of ink than this are a photograph's
_MOST_CUTS = 3  # in one mark
_MAP = 140  # side to which a drawing is reduced for finding its marks
_CUT_COST = -3.0  # log of how much more probable digits must be if ink was cut to get them


# ---------------------------------------------------------------------------------------------------------- files


def read_picture(path: Path) -> Image:
    """A picture file as ``(H, W, 3)`` RGB, the way up that its camera noted, laid over paper as in `to_rgb`.

    Raises:
        EngineError: the file cannot be read, or is no picture or half of one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EngineError(
            f"The picture {path} cannot be read: {error.strerror or error}.", "Check the path."
        ) from error
    return decode_picture(data, str(path))


def decode_picture(data: bytes, name: str) -> Image:
    """The bytes of a picture file as `read_picture` gives it; `name` is what an error calls it."""
    whole = not data.startswith(b"\x89PNG") or b"IEND" in data[-4096:]
    image: Any = None
    if data and whole:
        with contextlib.suppress(cv2.error, MemoryError):
            # The one mode that keeps depth and transparency and also turns the picture upright; GDAL itself reads
            # files alone, never what is in memory.
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_LOAD_GDAL)
    if image is None or not image.size:
        what = "is empty" if not data else "breaks off in the middle" if not whole else "is damaged or no picture"
        raise EngineError(f"The picture {name} {what}.", "Save or download it again, or choose another one.")
    image = _eight_bits(image)
    if image.ndim == 3 and image.shape[2] in (3, 4):
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    elif image.ndim == 3:
        image = image[:, :, 0]
    return to_rgb(image)


def _eight_bits(image: npt.NDArray[Any]) -> Image:
    """Levels of any depth as 0 to 255; numbers that name no full level get the least usual one that holds them."""
    if image.dtype == np.uint8:
        return image
    full: float = 65535
    if image.dtype != np.uint16:
        image = np.nan_to_num(image.astype(np.float64), posinf=0, neginf=0)
        largest = float(image.max())
        full = next((usual for usual in (1, 255, 65535) if largest <= usual), largest)
    return _uint8(np.rint(np.clip(image * (255 / full), 0, 255)))


# --------------------------------------------------------------------------------------------------------- colour


def to_rgb(image: Image) -> Image:
    """Any picture as ``(H, W, 3)`` RGB.

    A transparent picture is laid over white when its visible pixels are dark and over black when they are light, so
    that ink never disappears into the paper.
    """
    if image.ndim == 2:
        return _uint8(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))
    if image.ndim == 3 and image.shape[2] == 1:
        return _uint8(cv2.cvtColor(image[:, :, 0], cv2.COLOR_GRAY2RGB))
    if image.ndim == 3 and image.shape[2] == 3:
        return image
    if image.ndim == 3 and image.shape[2] == 4:
        return _over_paper(image)
    raise ValueError(f"expected an image of shape (H, W), (H, W, 3) or (H, W, 4), not {image.shape}")


def to_grey(image: Image) -> Image:
    """Any picture as ``(H, W)`` grey levels; a transparent one is laid over paper as in `to_rgb`."""
    if image.ndim == 2:
        return image
    if image.ndim == 3 and (image.shape[2] == 1 or (image.shape[2] == 3 and image.strides[2] == 0)):
        return image[:, :, 0]  # one plane, or the same plane seen as red, green and blue
    return _uint8(cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2GRAY))


def _over_paper(image: Image) -> Image:
    alpha = image[:, :, 3:].astype(np.float32) / 255
    if alpha.min(initial=1.0) == 1.0:
        return _uint8(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB))
    grey = cv2.cvtColor(image, cv2.COLOR_RGBA2GRAY)
    level = float((grey[:, :, None] * alpha).sum() / max(float(alpha.sum()), 1 / 255))
    paper = 255 if level < 128 else 0
    return _uint8(np.rint(image[:, :, :3] * alpha + paper * (1 - alpha)))


def _uint8(array: npt.NDArray[np.generic]) -> Image:
    return array.astype(np.uint8, copy=False)


# ------------------------------------------------------------------------------------------------------------ ink


def to_ink(image: Image) -> Image:
    """A drawing, scan or photographed sheet as ``(H, W)`` white ink on black; blank paper gives all zeros.

    Finds the paper's level and on which side of it the ink lies, takes the paper away (also when it is unevenly lit)
    and stretches the ink to full strength. A picture that is already white on black, as MNIST is, passes unchanged.
    """
    grey = to_grey(image)
    if grey.size == 0:
        return np.zeros(grey.shape, np.uint8)
    low, high, _, _ = cv2.minMaxLoc(grey)
    if high - low < 12:
        return np.zeros(grey.shape, np.uint8)
    step = max(1, min(grey.shape) // 128)
    sample = np.ascontiguousarray(grey[::step, ::step])
    counts = np.bincount(sample.ravel(), minlength=256).astype(np.float64)
    paper = _flat_paper(sample, counts, low, high)
    if paper is None:
        return _ink_on_uneven_paper(grey)
    level, dark_ink = paper
    if not dark_ink and level <= 4 and high >= 224:
        return grey
    # The paper of a photograph or a JPEG file is a little restless: what lies close to its level is paper, too.
    # Where the paper is all of one value (the canvas, a scan made black and white) nothing is cut off.
    near = counts[max(0, level - 10) : level + 11].sum()
    restless = near - counts[level] > 0.1 * near
    return _uint8(cv2.LUT(grey, _stretching(level, low if dark_ink else high, restless=restless)))


@lru_cache(maxsize=64)
def _stretching(level: float, end: float, *, restless: bool) -> Image:
    """The strength of ink for each grey level, ``(256,)``: none at that of the paper, full at ``end``."""
    away = min(12.0, 0.15 * abs(end - level)) if restless else 0.0
    start = level + (away if end > level else -away)
    table = np.rint(np.clip((np.arange(256) - start) / (end - start) * 255, 0, 255)).astype(np.uint8)
    table.setflags(write=False)
    return table


def _dark_on_white(grey: Image) -> tuple[Image, int, int] | None:
    """The clearly visible ink of a drawing on white paper, cut to its box, and the box's left and upper edge.

    What `to_ink` gives, without work on the empty paper around; ``None`` where the paper may be anything else.
    """
    rows = grey.min(axis=1)
    low = int(rows.min())
    step = max(1, min(grey.shape) // 128)
    sample = np.ascontiguousarray(grey[::step, ::step])
    white = np.count_nonzero(sample == 255)
    border = sum(
        np.count_nonzero(edge > (low + 255) / 2) for edge in (sample[0], sample[-1], sample[:, 0], sample[:, -1])
    )
    # With more than half of it white, and of its edge half or more light, there is but one answer in `_flat_paper`.
    if low > 255 - 12 or 2 * white <= sample.size or border < sum(sample.shape):
        return None
    near = np.count_nonzero(sample >= 245)
    table = _stretching(255, low, restless=near - white > 0.1 * near)
    faintest = np.count_nonzero(table > 255 // 8)  # the first level that is too light to count as ink
    (down,) = np.nonzero(rows < faintest)
    top, bottom = int(down[0]), int(down[-1]) + 1
    (across,) = np.nonzero(grey[top:bottom].min(axis=0) < faintest)
    left, right = int(across[0]), int(across[-1]) + 1
    return _uint8(cv2.LUT(grey[top:bottom, left:right], table)), left, top


def _flat_paper(sample: Image, counts: npt.NDArray[np.float64], low: float, high: float) -> tuple[int, bool] | None:
    """Level of evenly lit paper and whether its ink is darker; ``None`` where there is no such paper."""
    window = np.convolve(counts, np.ones(17), mode="same")
    level = int(window.argmax())
    level = max(0, level - 8) + int(counts[max(0, level - 8) : level + 9].argmax())
    share = window[level] / counts.sum()
    border = np.concatenate([sample[0], sample[-1], sample[:, 0], sample[:, -1]])
    if share < 0.45 and max(sample.shape) > 64:
        return None
    middle = (low + high) / 2
    # Paper is what there is most of, and what lies along the edge. Neither alone is enough: a stretched 1 may fill
    # more than half of its picture, and a scan cut to its ink is touched by it on all four sides.
    bright = float((sample > middle).mean()) + float((border > middle).mean())
    if bright > 1.0:
        dark_ink, paper = True, counts[int(np.ceil(middle)) :]
        return int(np.ceil(middle)) + int(paper.argmax()), dark_ink
    return int(counts[: int(middle) + 1].argmax()), False


def _ink_on_uneven_paper(grey: Image) -> Image:
    """Ink on paper that is lit unevenly, or a photograph of no paper at all (which stays a thicket of marks)."""
    scale = min(1.0, 480 / max(grey.shape))
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    reach = max(3, max(size) // 8) | 1
    tiny = cv2.resize(small, (max(1, size[0] // 2), max(1, size[1] // 2)), interpolation=cv2.INTER_AREA)
    paper = cv2.medianBlur(tiny, min(reach, 2 * (min(tiny.shape) // 2) - 1 if min(tiny.shape) > 4 else 3))
    paper = cv2.GaussianBlur(cv2.resize(paper, size, interpolation=cv2.INTER_LINEAR), (0, 0), reach / 6)
    darker = cv2.subtract(paper, small)
    lighter = cv2.subtract(small, paper)
    # Ink is where the larger differences are: writing is compact and strong, the paper's grain wide and weak.
    ink = darker if np.square(darker, dtype=np.float32).sum() >= np.square(lighter, dtype=np.float32).sum() else lighter
    full = float(np.percentile(ink, 99.5))
    if full < 12:
        return np.zeros(grey.shape, np.uint8)
    grain = max(float(np.median(ink)) * 3, 0.25 * full)
    table = np.clip((np.arange(256) - grain) / max(0.75 * full - grain, 1.0) * 255, 0, 255)
    ink = cv2.LUT(cv2.medianBlur(_uint8(ink), 3), np.rint(table).astype(np.uint8))
    if scale < 1:
        ink = cv2.resize(ink, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    return _uint8(ink)


# -------------------------------------------------------------------------------------------------------- centring


def ink_box(ink: Image, threshold: int = 0) -> Box | None:
    """The smallest box around all ink brighter than ``threshold``; ``None`` when there is none."""
    seen = ink if threshold <= 0 else cv2.threshold(ink, threshold, 255, cv2.THRESH_TOZERO)[1]
    x, y, w, h = cv2.boundingRect(seen)
    return (x, y, x + w, y + h) if w and h else None


def centre_digit(ink: Image, box: Box | None = None) -> Image:
    """One digit the way MNIST was made: ``(28, 28)`` white on black.

    The ink in ``box`` (all of it without one) is scaled, keeping its proportions, so that its longer side is 20
    pixels, and its centre of mass is put in the middle (LeCun et al. 1998, section III-A). Strokes that would come
    out thinner than MNIST's are thickened first: a thin pen on a large canvas would otherwise fade away. A picture
    that is in this form already comes back as it is.
    """
    whole = box is None
    if box is not None:
        ink = ink[box[1] : box[3], box[0] : box[2]]
    if ink.size == 0:
        return np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    if whole and ink.shape == (DIGIT_SIZE, DIGIT_SIZE) and _is_centred(ink):
        return ink
    peak = int(ink.max())
    around = ink_box(ink, peak // 8)
    if peak == 0 or around is None:
        return np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    return _centred(ink[around[1] : around[3], around[0] : around[2]])


def _centred(crop: Image) -> Image:
    """A digit cut to its ink, scaled and centred."""
    longest = max(crop.shape)
    if longest > 2 * _WORK:  # a plain mean over blocks: fast, and no ink is lost
        crop = _resize(crop, _WORK / longest)
        longest = max(crop.shape)
    crop = _thickened(crop, _FIELD / longest)
    small = _resize(crop, _FIELD / max(crop.shape))
    return _place(_full_strength(small))


def _full_strength(small: Image) -> Image:
    """Grey levels restored after a reduction or a faint pen: the ink of MNIST's strokes is near full white."""
    ink = small.astype(np.float32)
    total = float(ink.sum())
    if total == 0:
        return small
    typical = float(np.square(ink).sum()) / total  # the mean level of the ink, weighted by itself
    gain = max(_TYPICAL_INK / typical, 255 / float(ink.max()))
    return small if gain <= 1.02 else _uint8(cv2.convertScaleAbs(small, alpha=gain))


def _is_centred(ink: Image) -> bool:
    around = ink_box(ink)
    if around is None or ink.max() < 224:
        return False
    side = max(around[2] - around[0], around[3] - around[1])
    moments = cv2.moments(ink)
    middle = DIGIT_SIZE / 2
    off = max(abs(moments["m10"] / moments["m00"] - middle), abs(moments["m01"] / moments["m00"] - middle))
    return _FIELD - 2 <= side <= _FIELD and off <= 0.75


def stroke_width(ink: Image) -> float:
    """Mean width of the strokes in pixels: twice the ink over the length of its outline.

    Both are measured softly, as sums of grey levels and of gradients, so that neither contrast nor anti-aliasing
    changes the answer.
    """
    padded = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0).astype(np.float32)
    across = padded[:-1, 1:] - padded[:-1, :-1]
    down = padded[1:, :-1] - padded[:-1, :-1]
    outline = float(cv2.sumElems(cv2.magnitude(across, down))[0])
    return 2 * float(cv2.sumElems(ink)[0]) / outline if outline else 0.0


def _thickened(crop: Image, scale: float) -> Image:
    """The crop with strokes of at least the thinnest width once it has been reduced by ``scale``."""
    width = stroke_width(crop) * scale
    if width >= _THINNEST:
        return crop
    if scale > 0.5:  # too coarse to thicken by whole pixels
        crop = _resize(crop, 2.0)
        scale /= 2
    grow = (_THINNEST + 0.2 - width) / scale
    side = max(2, round(grow + 1))
    pad = side // 2 + 1
    crop = _uint8(cv2.copyMakeBorder(crop, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0))
    crop = _uint8(cv2.dilate(crop, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))))
    around = ink_box(crop, int(crop.max()) // 8)
    return crop if around is None else crop[around[1] : around[3], around[0] : around[2]]


def _resize(image: Image, scale: float) -> Image:
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    if size == (image.shape[1], image.shape[0]):
        return image
    return _uint8(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def _place(small: Image) -> Image:
    """A picture no larger than the field, its centre of mass in the middle of 28 x 28 as far as it fits."""
    moments = cv2.moments(small)
    if moments["m00"] == 0:
        return np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    height, width = small.shape
    middle = DIGIT_SIZE / 2  # measured: the centres of mass of MNIST's digits lie within half a pixel of (14, 14)
    x = min(max(round(middle - moments["m10"] / moments["m00"]), 0), DIGIT_SIZE - width)
    y = min(max(round(middle - moments["m01"] / moments["m00"]), 0), DIGIT_SIZE - height)
    out = np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    out[y : y + height, x : x + width] = small
    return out


# ---------------------------------------------------------------------------------------------------------- layout


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything in a drawing that may be one digit, ready for the network in one batch.

    Attributes:
        inputs: ``(K, 28, 28)`` centred pieces; the first is the whole drawing. K is 0 for a blank.
        boxes: of each piece, in pixels of the ink.
        spans: the marks that each piece covers, from the first to before the last, counted from the left.
        cuts: how many places of each piece's left edge had to be cut through ink (touching digits): 0 or 1.
    """

    inputs: Image
    boxes: tuple[Box, ...]
    spans: tuple[tuple[int, int], ...]
    cuts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.boxes)


def lay_out(ink: Image) -> Layout:
    """Marks side by side grouped in every way that could make digits of them.

    Ink that hangs together or lies one above the other is one mark: the bar of a 5 stays with it, broken strokes of
    one digit may still be joined with their neighbours. A mark that is wider than a digit may also be cut where it is
    thinnest. Which grouping is right is for `choose` to say, once the network has read all pieces.

    Args:
        ink: ``(H, W) uint8``, white on black, as `to_ink` gives it.
    """
    peak = int(ink.max(initial=0))
    around = ink_box(ink, peak // 8) if peak else None
    if around is None:
        return Layout(np.zeros((0, DIGIT_SIZE, DIGIT_SIZE), np.uint8), (), (), ())
    x0, y0, x1, y1 = around
    first = centre_digit(ink)
    if max(ink.shape) <= _ONE_DIGIT:
        return Layout(first[None], (around,), ((0, 1),), (0,))
    return _grouped(ink[y0:y1, x0:x1], peak, first, (x0, y0))


def lay_out_drawing(image: Image) -> Layout:
    """``lay_out(to_ink(image))`` of any picture; quick where dark ink lies on white paper, as on the canvas."""
    grey = to_grey(image)
    found = _dark_on_white(grey) if max(grey.shape) > _ONE_DIGIT and grey.size else None
    if found is None:
        return lay_out(to_ink(grey))
    inner, left, top = found
    return _grouped(inner, 255, _centred(inner), (left, top))


def _grouped(inner: Image, peak: int, first: Image, corner: tuple[int, int]) -> Layout:
    """The layout of ``inner``, ink cut to its box with its upper left ``corner`` at this place of the drawing.

    Args:
        peak: the strongest ink in it.
        first: all of it as one centred digit.
    """
    x0, y0 = corner
    whole = (x0, y0, x0 + inner.shape[1], y0 + inner.shape[0])
    alone = Layout(first[None], (whole,), ((0, 1),), (0,))
    scale = min(1.0, _MAP / max(inner.shape))
    size = (max(1, round(inner.shape[1] * scale)), max(1, round(inner.shape[0] * scale)))
    small = cv2.resize(inner, size, interpolation=cv2.INTER_AREA) if scale < 1 else inner
    _, seen = cv2.threshold(small, peak // 10, 255, cv2.THRESH_BINARY)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(seen, connectivity=8)
    if count > _MOST_COMPONENTS:
        return alone
    found: list[list[int]] = stats[1:count].tolist()
    marks = _marks(found, max(size))
    if len(marks) > _MOST_MARKS:
        return alone
    extents = [_extent([found[i] for i in mark]) for mark in marks]
    if not marks or (len(marks) == 1 and not _is_wide(extents[0])):
        return alone
    owner = np.full(count, -1, np.int16)  # mark of each connected component; specks have none
    for number, mark in enumerate(marks):
        for component in mark:
            owner[component + 1] = number
    where, extents, cut_before = _cut_wide(owner[labels], extents)
    n = len(extents)
    if n <= 1:
        return alone
    tallest = max(box[3] - box[1] for box in extents)
    inputs, boxes, spans, cuts = [first], [whole], [(0, n)], [0]
    for start in range(n):
        for stop in range(start + 1, min(n, start + 3) + 1):
            if (start, stop) == (0, n):
                continue
            box = _union(extents[start:stop])
            high, wide = box[3] - box[1], box[2] - box[0]
            if high < 0.35 * tallest or (stop - start > 1 and wide > 1.5 * high):
                continue
            piece, place = _cut_out(inner, where, box, start, stop, size)
            inputs.append(centre_digit(piece))
            boxes.append((place[0] + x0, place[1] + y0, place[2] + x0, place[3] + y0))
            spans.append((start, stop))
            cuts.append(int(start in cut_before))
    return Layout(np.stack(inputs), tuple(boxes), tuple(spans), tuple(cuts))


def choose(
    layout: Layout, probabilities: npt.NDArray[np.floating], reject: int = -1, *, reject_above: float = 0.5
) -> list[int]:
    """The pieces that read the drawing best, from left to right, as rows of the layout; a blank has none.

    Of all ways to split the marks the one is taken whose pieces are most probably all digits (the product of their
    best probabilities, found by dynamic programming). If even then a piece is no digit, the whole drawing is one.

    Args:
        layout: from `lay_out`.
        probabilities: ``(K, C)`` of its inputs.
        reject: which class means "no digit"; -1 where the network has none.
        reject_above: a piece whose probability of that class reaches this is no digit.
    """
    if len(layout) <= 1:
        return list(range(len(layout)))
    digits = np.array(probabilities, np.float64)
    if reject >= 0:
        rejected = digits[:, reject] >= reject_above
        digits = np.delete(digits, reject, axis=1)
    else:
        rejected = np.zeros(len(digits), bool)
    score = np.log(np.maximum(digits.max(axis=1), 1e-9)) + np.array(layout.cuts) * _CUT_COST
    n = max(stop for _, stop in layout.spans)
    best: list[tuple[float, int]] = [(0.0, -1)] + [(-np.inf, -1)] * n
    for end in range(1, n + 1):
        for row, (start, stop) in enumerate(layout.spans):
            if stop == end and best[start][0] + score[row] > best[end][0]:
                best[end] = (best[start][0] + score[row], row)
    chosen: list[int] = []
    end = n
    while end > 0 and best[end][1] >= 0:
        chosen.insert(0, best[end][1])
        end = layout.spans[best[end][1]][0]
    if end > 0 or not chosen or any(rejected[row] for row in chosen):
        return [0]
    return chosen


def _marks(stats: list[list[int]], side: int) -> list[list[int]]:
    """Connected components (rows of OpenCV's statistics) gathered into marks, from left to right; specks left out."""
    big = [i for i, row in enumerate(stats) if max(row[2], row[3]) >= max(2, 0.05 * side)]
    marks: list[tuple[float, float, list[int]]] = []
    for i in sorted(big, key=lambda i: stats[i][0]):
        left, right = float(stats[i][0]), float(stats[i][0] + stats[i][2])
        mine = [i]
        for other in list(marks):
            shared = min(right, other[1]) - max(left, other[0])
            if shared > 0.4 * min(right - left, other[1] - other[0]):
                left, right = min(left, other[0]), max(right, other[1])
                mine = other[2] + mine
                marks.remove(other)
        marks.append((left, right, mine))
    return [mark[2] for mark in sorted(marks, key=lambda mark: mark[0] + mark[1])]


def _extent(rows: list[list[int]]) -> Box:
    """The box around connected components."""
    return _union([(x, y, x + w, y + h) for x, y, w, h, *_ in rows])


def _union(boxes: list[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _is_wide(box: Box) -> bool:
    """Wider than a digit, so that there may be two."""
    high, wide = box[3] - box[1], box[2] - box[0]
    return wide > 1.1 * high and high > 8


def _cut_wide(where: npt.NDArray[np.int16], extents: list[Box]) -> tuple[npt.NDArray[np.int16], list[Box], set[int]]:
    """Marks wider than a digit split where their ink reaches least far; says before which marks was cut."""
    if not any(_is_wide(box) for box in extents):
        return where, extents, set()
    out: list[Box] = []
    cut_before: set[int] = set()
    result = np.full_like(where, -1)
    for number, (x0, y0, x1, y1) in enumerate(extents):
        mine = where[y0:y1, x0:x1] == number
        edges = [0, x1 - x0]
        if _is_wide((x0, y0, x1, y1)):
            # How far the ink of a column reaches from top to bottom: little where two digits touch, all of the height
            # in the middle of a 0, which holds as little ink.
            high = y1 - y0
            reach = high - mine.argmax(axis=0) - mine[::-1].argmax(axis=0)
            for thin in np.argsort(reach, kind="stable").tolist():
                if reach[thin] > 0.5 * high or len(edges) > _MOST_CUTS + 1:
                    break
                if min(abs(thin - edge) for edge in edges) > 0.35 * high:
                    edges.append(thin)
        for index, (a, b) in enumerate(pairwise(sorted(edges))):
            part = mine[:, a:b]
            x, y, w, h = cv2.boundingRect(part.astype(np.uint8))
            if not w:
                continue
            if index:
                cut_before.add(len(out))
            result[y0:y1, x0 + a : x0 + b][part] = len(out)
            out.append((x0 + a + x, y0 + y, x0 + a + x + w, y0 + y + h))
    return result, out, cut_before


def _cut_out(
    inner: Image, where: npt.NDArray[np.int16], box: Box, start: int, stop: int, size: tuple[int, int]
) -> tuple[Image, Box]:
    """The ink of the marks ``start`` to ``stop`` without that of their neighbours, and its box."""
    fx, fy = inner.shape[1] / size[0], inner.shape[0] / size[1]
    big = (
        max(0, int((box[0] - 0.5) * fx)),
        max(0, int((box[1] - 0.5) * fy)),
        min(inner.shape[1], int(np.ceil((box[2] + 0.5) * fx))),
        min(inner.shape[0], int(np.ceil((box[3] + 0.5) * fy))),
    )
    piece = inner[big[1] : big[3], big[0] : big[2]]
    around = where[box[1] : box[3], box[0] : box[2]]
    foreign = (around >= 0) & ((around < start) | (around >= stop))
    if foreign.any():
        mask = cv2.resize(foreign.astype(np.uint8), (piece.shape[1], piece.shape[0]), interpolation=cv2.INTER_NEAREST)
        piece = np.where(mask > 0, np.uint8(0), piece)
    return piece, big


# ------------------------------------------------------------------------------------------------ square pictures


@dataclass(frozen=True)
class Transform:
    """How a picture was placed on a square: ``placed = original * scale + (left, top)``.

    Attributes:
        scale: factors of x and of y (they differ by less than a pixel over the picture).
        left: empty pixels to the left of the picture.
        top: empty pixels above it.
        width: of the original, pixels.
        height: of the original, pixels.
    """

    scale: tuple[float, float]
    left: float
    top: float
    width: int
    height: int

    def to_original(self, boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Boxes ``(N, 4)`` x0, y0, x1, y1 on the square as boxes in the original picture, cut at its edges."""
        most = np.array([self.width, self.height] * 2, np.float32)
        cut: npt.NDArray[np.float32] = self._scaled(boxes, True).clip(0, most)
        return cut

    def to_square(self, boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Boxes ``(N, 4)`` in the original picture as boxes on the square."""
        return self._scaled(boxes, False)

    def points_to_original(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Points ``(..., 2)`` x, y on the square as points of the original picture, or beyond its edges."""
        moved, scale = np.array([self.left, self.top]), np.array(self.scale)
        return ((np.asarray(points, np.float64) - moved) / scale).astype(np.float32)

    def _scaled(self, boxes: npt.NDArray[np.floating], back: bool) -> npt.NDArray[np.float32]:
        scale = np.array([*self.scale, *self.scale], np.float64)
        moved = np.array([self.left, self.top, self.left, self.top], np.float64)
        values = np.asarray(boxes, np.float64)
        return ((values - moved) / scale if back else values * scale + moved).astype(np.float32)


def letterbox(image: Image, size: int, *, fill: int = 114) -> tuple[Image, Transform]:
    """The whole picture in the middle of a ``size`` x ``size`` square, its proportions kept, the rest filled.

    Returns:
        ``(size, size)`` or ``(size, size, C)`` pixels, and the `Transform` that takes boxes there and back exactly.
    """
    height, width = image.shape[:2]
    factor = size / max(height, width)
    wide, high = max(1, round(width * factor)), max(1, round(height * factor))
    left, top = (size - wide) // 2, (size - high) // 2
    square = np.full((size, size, *image.shape[2:]), fill, np.uint8)
    inside = square[top : top + high, left : left + wide]
    inside[:] = _resized(image, (wide, high)).reshape(inside.shape)
    return square, Transform((wide / width, high / height), float(left), float(top), width, height)


_FACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Where the five landmarks of a face lie in an upright picture of 112 x 112 (ArcFace, Deng et al. 2019, its code)."""


def align_face(
    image: Image, landmarks: npt.NDArray[np.floating], size: int, *, around: float = 1.0, rim: int = 0
) -> Image:
    """A face turned upright and scaled so that its landmarks lie where networks for faces expect them.

    The similarity (rotation, scale, shift) that brings them there best in the sense of least squares is Umeyama's
    (1991, equations 40 to 42).

    Args:
        image: ``(H, W, 3)``.
        landmarks: ``(5, 2)`` in its pixels, in the order of `engine.types.Detections.landmarks`.
        size: side of the square that comes back, without its rim.
        around: how many times that side is the side of the square, in its middle, on which the landmarks have their
            places: less than 1 shows eyes, nose and mouth alone, more than 1 what is around the face as well.
        rim: pixels of what is around the square which come back with it, so the whole is ``size + 2 * rim`` wide.
    """
    side = size + 2 * rim
    targets = _targets(size, around) + rim
    place = _similarity(np.asarray(landmarks, np.float64), targets)
    # Where the face is larger than the result, its pixels are averaged first, or it would be full of steps.
    shrink = math.hypot(place[0, 0], place[1, 0])
    if shrink < 0.5:
        factor = min(1.0, 2 * shrink)
        smaller = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        scale = np.array([smaller[0] / image.shape[1], smaller[1] / image.shape[0]])
        image = _uint8(cv2.resize(image, smaller, interpolation=cv2.INTER_AREA))
        place = _similarity(np.asarray(landmarks, np.float64) * scale, targets)
    return _uint8(cv2.warpAffine(image, place, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


MIRRORED = (1, 0, 2, 4, 3)
"""Which of a face's landmarks each of them becomes in the mirror."""


def mirrored_landmarks(landmarks: npt.NDArray[np.floating], width: float) -> npt.NDArray[np.floating]:
    """Where the landmarks ``(5, 2)`` of a face lie in the mirror image of a picture that is so wide."""
    return np.stack([width - landmarks[:, 0], landmarks[:, 1]], axis=1)[list(MIRRORED)]


def from_upright(
    landmarks: npt.NDArray[np.floating], size: int, *, around: float = 1.0
) -> Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float32]]:
    """What takes points ``(..., 2)`` of the face that `align_face` has turned upright back into its picture."""
    there = _similarity(np.asarray(landmarks, np.float64), _targets(size, around))
    turn = np.linalg.inv(there[:, :2])

    def back(points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        return ((np.asarray(points, np.float64) - there[:, 2]) @ turn.T).astype(np.float32)

    return back


def _targets(size: int, around: float) -> npt.NDArray[np.float64]:
    """Where the landmarks lie in an upright face of `size` pixels."""
    inner = size / around
    targets: npt.NDArray[np.float64] = _FACE * (inner / 112) + (size - inner) / 2
    return targets


def upright_places(landmarks: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Where the landmarks ``(5, 2)`` of a face come to lie when `align_face` turns it upright, in 112 x 112."""
    places = np.asarray(landmarks, np.float64)
    matrix = _similarity(places, _FACE)
    moved: npt.NDArray[np.float64] = places @ matrix[:, :2].T + matrix[:, 2]
    return moved


def crop_square(
    image: Image, box: tuple[float, float, float, float], *, around: float, most: int
) -> tuple[Image, Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float32]]]:
    """A square cut out around the middle of a box; beyond the picture its edge goes on.

    Args:
        image: ``(H, W, 3)``.
        box: x0, y0, x1, y1 in its pixels.
        around: side of the square, of the longer side of the box.
        most: pixels to which a larger square is reduced.

    Returns:
        ``(S, S, 3)``, and what takes points ``(..., 2)`` of the picture into it.
    """
    x0, y0, x1, y1 = box
    side = max(1, round(around * max(x1 - x0, y1 - y0)))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    height, width = image.shape[:2]
    # A square that lies outside altogether shows the nearest edge.
    columns = (min(max(left, 0), width - 1), max(min(left + side, width), 1))
    rows = (min(max(top, 0), height - 1), max(min(top + side, height), 1))
    size = min(side, most)
    factor = size / side
    inner = image[rows[0] : rows[1], columns[0] : columns[1]]
    # Reduced before its edges go on: what goes on may be larger than the picture by far.
    edges = [round((place - start) * factor) for start, ends in ((left, columns), (top, rows)) for place in ends]
    (near_x, far_x), (near_y, far_y) = (
        (min(max(near, 0), size - 1), min(max(far, 1), size)) for near, far in (edges[:2], edges[2:])
    )
    wide, high = max(1, far_x - near_x), max(1, far_y - near_y)
    small = inner if inner.shape[:2] == (high, wide) else cv2.resize(inner, (wide, high), interpolation=_best(factor))
    padding = (near_y, size - near_y - high, near_x, size - near_x - wide)
    out = cv2.copyMakeBorder(small, *padding, cv2.BORDER_REPLICATE) if any(padding) else small
    corner = np.array([left, top], np.float64)

    def placed(points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        return ((np.asarray(points, np.float64) - corner) * factor).astype(np.float32)

    return np.ascontiguousarray(_uint8(out)), placed


def _similarity(places: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The ``(2, 3)`` matrix of the similarity that takes places ``(K, 2)`` to targets best (for a point: no change)."""
    middle, there = places.mean(axis=0), targets.mean(axis=0)
    moved, wanted = places - middle, targets - there
    spread = float((moved**2).sum())
    if not np.isfinite(spread) or spread < 1e-9:
        return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    # In the plane Umeyama's solution without reflection is one complex factor.
    real = float((moved * wanted).sum()) / spread
    turn = float((moved[:, 0] * wanted[:, 1] - moved[:, 1] * wanted[:, 0]).sum()) / spread
    matrix = np.array([[real, -turn], [turn, real]])
    return np.column_stack([matrix, there - matrix @ middle])


def resize_centre_crop(image: Image, size: int, *, resize: int = 0) -> Image:
    """The middle of the picture as a ``size`` x ``size`` square, after its shorter side has become ``resize`` pixels.

    ImageNet's way is ``size=224, resize=256``; without ``resize`` the shorter side becomes ``size``.
    """
    height, width = image.shape[:2]
    factor = max(resize, size) / min(height, width)
    inner = (max(size, round(width * factor)), max(size, round(height * factor)))
    scaled = image if inner == (width, height) else _uint8(cv2.resize(image, inner, interpolation=_best(factor)))
    scaled = scaled.reshape(inner[1], inner[0], *image.shape[2:])
    left, top = (inner[0] - size) // 2, (inner[1] - size) // 2
    return np.ascontiguousarray(scaled[top : top + size, left : left + size])


def _best(factor: float) -> int:
    return cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR


def _resized(image: Image, to: tuple[int, int]) -> Image:
    """A picture of another size (width, height), quickly: halved while it is twice as large, then interpolated.

    Averaging by exactly 2 is what OpenCV does fast; its averaging by another factor takes 4 to 20 times as long as
    this. An odd last row or column is left out.
    """
    while image.shape[1] >= 2 * to[0] and image.shape[0] >= 2 * to[1]:
        wide, high = image.shape[1] // 2, image.shape[0] // 2
        image = _uint8(cv2.resize(image[: 2 * high, : 2 * wide], (wide, high), interpolation=cv2.INTER_AREA))
    return image if image.shape[1::-1] == to else _uint8(cv2.resize(image, to, interpolation=cv2.INTER_LINEAR))
