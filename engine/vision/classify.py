"""Classification: a frame becomes one batch of network inputs, their logits become a `Result`.

A "drawing" network reads digits: ink is found on its paper, laid out into pieces that may be digits, all of them go
through the network at once, and the best reading is chosen. A "picture" network sees the centre of the whole frame.
The window, the command line and the evaluation all use the one `Classifier`, so none of them can differ.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine import images, runtime, zoo
from engine.opencv import cv2
from engine.types import (
    Activations,
    Box,
    Classification,
    Floats,
    Frame,
    Heat,
    Image,
    ModelCard,
    Region,
    Result,
    Timings,
)

_MOST_AT_ONCE = 64  # inputs in one run of the network
_SURE = 0.8  # least probability of a digit that is searched for in a camera's picture
_SURE_WITHOUT_REJECT = 0.9  # the same for a network that knows nothing but digits


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame ready for the network.

    Attributes:
        inputs: (N, S, S) or (N, S, S, 3) uint8, everything that may be worth reading; N may be 0.
        boxes: where each input lies in the frame.
        layouts: for digits, the pieces of each group of marks: as many rows of `inputs` each as it has pieces.
        searched: height of the camera's picture in which the marks were searched for, so that what is no digit is no
            region either; 0: all of the frame is the drawing.
    """

    inputs: Image
    boxes: tuple[Box, ...]
    layouts: tuple[images.Layout, ...] = ()
    searched: int = 0


class Classifier:
    """One network that reads frames. Use it from one thread at a time.

    Attributes:
        card: with its layers filled.
        network: what runs it; knows its device.
        explains: each result has its `heat`, where `can_explain`; may be set between two frames.
    """

    def __init__(
        self, card: ModelCard, *, interactive: bool = True, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Load (and where needed convert) the network and run it once, so that the first frame is not a slow one.

        Args:
            interactive: leave a core to the window.
            cancelled: asked while a conversion runs whether it is still wanted.

        Raises:
            EngineError: the weights are missing, damaged or belong to another network; `Cancelled`.
        """
        self.network = zoo.open_network(card, interactive=interactive, cancelled=cancelled)
        self.card = dataclasses.replace(card, layers=self.network.layers, parameters=self.network.parameters)
        kind = card.preprocess
        mean, std = np.array(kind.mean, np.float32), np.array(kind.std, np.float32)
        self._scale = (1 / (255 * std)).astype(np.float32)[:, None, None]
        self._shift = (-mean / std).astype(np.float32)[:, None, None]
        self._reject = card.classes.index(card.reject) if card.reject else -1
        self._names = {layer.name: layer for layer in self.network.layers}
        self.explains = False
        self._evidence = _evidence(self.card)
        self._votes: Floats | None = None  # (classes, maps), read when they are first asked for
        self.probabilities(self._blank(1))

    def predict(self, frame: Frame, *, layer: str | None = None, region: int = 0, generation: int = 0) -> Result:
        """Read one frame.

        Args:
            layer: look into this layer as well (unknown to this network: no activations).
            region: of which of the regions.
            generation: entered in the result.
        """
        begun = time.perf_counter()
        prepared = self.prepare(frame)
        batch = self._batch(prepared.inputs)
        ready = time.perf_counter()
        watched = layer if layer in self._names else None
        asked = None if watched == runtime.SOFTMAX else watched
        logits, maps = self.network.run(batch, asked) if len(batch) else (self._no_logits(), None)
        answered = time.perf_counter()
        probabilities = self._probabilities(logits)
        rows = self.choose(prepared, probabilities)
        regions = self.regions(prepared, probabilities, rows)
        activations = None
        if watched is not None and rows:
            region = min(region, len(rows) - 1)
            values = probabilities if maps is None else maps
            shape = self._names[watched].shape
            activations = Activations(watched, np.ascontiguousarray(values[rows[region]]).reshape(shape), region)
        heat = None
        if self.explains and self._evidence is not None and rows:
            known = None if maps is None or asked != self._evidence[0] else maps[rows[0] : rows[0] + 1]
            heat = self._heat(batch[rows[0] : rows[0] + 1], regions[0], known)
        done = time.perf_counter()
        return Result(
            frame=frame,
            model=self.card.name,
            generation=generation,
            heat=heat,
            classification=regions[0].classification if regions else None,
            regions=regions,
            text=self.text(regions),
            activations=activations,
            timings=Timings(max(0.0, begun - frame.time), ready - begun, answered - ready, done - answered),
        )

    @property
    def can_explain(self) -> bool:
        """Whether this network's shape can tell where it found a class: its answer is a mean over places."""
        return self._evidence is not None

    def _heat(self, batch: Floats | Image, region: Region, maps: Floats | None) -> Heat | None:
        """What each place adds to the likeliest class: the mean over them is the class's logit."""
        assert self._evidence is not None
        spread, last = self._evidence
        if maps is None:
            maps = self.network.run(batch, spread)[1]
        if self._votes is None:
            weights = zoo.kernels(self.card, last)
            if weights is None or weights.shape[:2] != (len(self.card.classes), self._names[spread].shape[0]):
                self._evidence = None  # a file without them, or another shape than the layers tell
                return None
            self._votes = weights.reshape(weights.shape[:2])
        assert maps is not None
        best = region.classification.best
        values: Floats = np.tensordot(self._votes[best], maps[0], axes=1).astype(np.float32).clip(0)
        values /= max(float(values.max()), 1e-9)
        return Heat(region.classification.label, values, region.box)

    def classify(self, frames: Sequence[Frame]) -> list[tuple[Classification, ...]]:
        """What is in each of several frames, read together: the classification of each of its regions."""
        prepared = [self.prepare(frame) for frame in frames]
        inputs = np.concatenate([each.inputs for each in prepared])
        parts = [
            self.probabilities(inputs[start : start + _MOST_AT_ONCE]) for start in range(0, len(inputs), _MOST_AT_ONCE)
        ]
        probabilities = np.concatenate([self._no_logits(), *parts])
        answers: list[tuple[Classification, ...]] = []
        first = 0
        for each in prepared:
            mine = probabilities[first : first + len(each.boxes)]
            first += len(each.boxes)
            answers.append(tuple(self.classification(mine[row]) for row in self.choose(each, mine)))
        return answers

    def prepare(self, frame: Frame) -> Prepared:
        """Everything in the frame that may be worth reading, as inputs of the network."""
        kind = self.card.preprocess
        if kind.kind == "picture":
            return self._prepare_picture(frame)
        if not kind.digits:
            return self._prepare_shape(frame)
        if frame.drawing:
            return self._prepare_layouts([(0, 0, images.lay_out_drawing(frame.image))], searched=0)
        return self._prepare_layouts(
            [(x, y, images.lay_out(ink)) for x, y, ink in find_writing(frame.image)], searched=frame.image.shape[0]
        )

    def probabilities(self, inputs: Image) -> Floats:
        """Calibrated probabilities (N, C) of network inputs (N, S, S) or (N, S, S, 3) uint8."""
        return self._probabilities(self.network.run(self._batch(inputs))[0])

    def choose(self, prepared: Prepared, probabilities: Floats) -> list[int]:
        """Which of the inputs are the regions of the frame, from left to right."""
        if self.card.preprocess.kind == "picture" or not self.card.preprocess.digits:
            return list(range(len(prepared.boxes)))
        rows: list[int] = []
        first = 0
        for layout in prepared.layouts:
            mine = probabilities[first : first + len(layout)]
            chosen = images.choose(layout, mine, self._reject, reject_above=self.card.reject_above)
            rows += [first + row for row in chosen]
            first += len(layout)
        if prepared.searched:
            return self._plausible(prepared, probabilities, rows)
        return rows

    def regions(self, prepared: Prepared, probabilities: Floats, rows: Sequence[int]) -> tuple[Region, ...]:
        """The chosen rows as regions."""
        return tuple(
            Region(prepared.boxes[row], self.classification(probabilities[row]), prepared.inputs[row]) for row in rows
        )

    def classification(self, probabilities: Floats) -> Classification:
        """One row of probabilities with the card's names and its rule for rejecting."""
        return Classification(self.card.classes, probabilities, self._rejects(probabilities), self.card.many)

    def text(self, regions: Sequence[Region]) -> str:
        """The number that the accepted regions spell; empty for a network that reads no digits."""
        if self.card.preprocess.kind != "drawing" or not self.card.preprocess.digits:
            return ""
        read = [region.classification for region in regions if not region.classification.rejected]
        return "".join(each.label for each in read if each.label != self.card.reject)

    # ----------------------------------------------------------------------------------------------- inside

    def _rejects(self, probabilities: Floats) -> bool:
        if self._reject < 0:
            return False
        return bool(probabilities[self._reject] >= self.card.reject_above or probabilities.argmax() == self._reject)

    def _plausible(self, prepared: Prepared, probabilities: Floats, rows: list[int]) -> list[int]:
        """What was read in a camera's picture without what is only clutter, from left to right."""
        sure = _SURE if self._reject >= 0 else _SURE_WITHOUT_REJECT
        rows = [row for row in rows if probabilities[row].max() >= sure and not self._rejects(probabilities[row])]
        boxes = np.array(prepared.boxes).reshape(-1, 4)
        wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        bar = wide < 0.35 * high  # reads as a 1, and rooms are full of them
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        clear = [row for row in rows if not bar[row]]
        tallest = max((high[row] for row in clear or rows), default=0.0)
        kept: list[int] = []
        for row in rows:
            if not bar[row]:
                likely = high[row] >= 0.3 * tallest
            else:
                near = not clear or np.abs(centre[clear] - centre[row]).max(axis=1).min() < 3 * tallest
                likely = near and high[row] >= max(0.12 * prepared.searched, 0.5 * tallest)
            if likely:
                kept.append(row)
        return sorted(kept, key=lambda row: float(centre[row, 0]))

    def _prepare_layouts(self, groups: Sequence[tuple[int, int, images.Layout]], *, searched: int) -> Prepared:
        groups = [group for group in groups if len(group[2])]
        if not groups:
            return Prepared(self._blank(0), (), (), searched)
        boxes = [
            (float(x0 + x), float(y0 + y), float(x1 + x), float(y1 + y))
            for x, y, layout in groups
            for x0, y0, x1, y1 in layout.boxes
        ]
        digits = np.concatenate([layout.inputs for _, _, layout in groups])
        return Prepared(self._sized(digits), tuple(boxes), tuple(layout for _, _, layout in groups), searched)

    def _prepare_shape(self, frame: Frame) -> Prepared:
        """One drawing of something other than digits, such as clothes: the ink fills the square."""
        size = self.card.preprocess.size
        height, width = frame.image.shape[:2]
        if height == width == size:  # in the network's own form already
            grey = images.to_grey(frame.image)
            return Prepared(self._sized(grey[None]), ((0.0, 0.0, float(width), float(height)),))
        ink = images.to_ink(frame.image)
        box = images.ink_box(ink, int(ink.max()) // 8)
        if box is None:
            return Prepared(self._blank(0), ())
        x0, y0, x1, y1 = box
        square, _ = images.letterbox(ink[y0:y1, x0:x1], size, fill=0)
        return Prepared(self._sized(square[None]), ((float(x0), float(y0), float(x1), float(y1)),))

    def _prepare_picture(self, frame: Frame) -> Prepared:
        kind = self.card.preprocess
        height, width = frame.image.shape[:2]
        image = frame.image if kind.channels == 3 else images.to_grey(frame.image)
        seen = images.resize_centre_crop(image, kind.size, resize=kind.resize)
        side = min(height, width) * kind.size / max(kind.resize, kind.size)
        x, y = (width - side) / 2, (height - side) / 2
        return Prepared(seen[None], ((x, y, x + side, y + side),))

    def _blank(self, count: int) -> Image:
        kind = self.card.preprocess
        shape = (count, kind.size, kind.size) if kind.channels == 1 else (count, kind.size, kind.size, 3)
        return np.zeros(shape, np.uint8)

    def _sized(self, drawings: Image) -> Image:
        """Grey drawings (N, h, w) as this network's inputs."""
        kind = self.card.preprocess
        if drawings.shape[1] != kind.size:
            way = cv2.INTER_AREA if drawings.shape[1] > kind.size else cv2.INTER_LINEAR
            drawings = np.stack([cv2.resize(each, (kind.size, kind.size), interpolation=way) for each in drawings])
        return drawings if kind.channels == 1 else np.repeat(drawings[..., None], 3, axis=3)

    def _batch(self, inputs: Image) -> Floats | Image:
        """Inputs in the form that the network takes fastest."""
        if self.card.preprocess.kind == "drawing":
            return self._normalised(inputs)
        return inputs[..., None] if inputs.ndim == 3 else inputs

    def _normalised(self, inputs: Image) -> Floats:
        planes = inputs[:, None] if inputs.ndim == 3 else inputs.transpose(0, 3, 1, 2)
        normal: Floats = planes * self._scale
        normal += self._shift
        return normal

    def _probabilities(self, logits: Floats) -> Floats:
        powers = logits / np.float32(self.card.temperature)
        if self.card.many:
            each: Floats = 1 / (1 + np.exp(-powers.clip(-60, 60)))
            return each
        powers -= powers.max(axis=1, keepdims=True)
        np.exp(powers, out=powers)
        powers /= powers.sum(axis=1, keepdims=True)
        result: Floats = powers
        return result

    def _no_logits(self) -> Floats:
        return np.zeros((0, len(self.card.classes)), np.float32)


def _evidence(card: ModelCard) -> tuple[str, str] | None:
    """The last layer with places and the one layer of weights between their mean and the answer; None: it is not so."""
    spread = [number for number, layer in enumerate(card.layers) if layer.shape[1] * layer.shape[2] > 1]
    if not spread or card.preprocess.kind != "picture":
        return None
    weighed = [layer for layer in card.layers[spread[-1] + 1 :] if layer.weights]
    if len(weighed) != 1 or weighed[0].shape != (len(card.classes), 1, 1):
        return None
    return card.layers[spread[-1]].name, weighed[0].name


# ------------------------------------------------------------------------------------- writing held into a camera

_WORK_SIDE = 480  # longest side, in pixels, of the picture in which writing is searched for
_CONTRAST = 0.22  # ink is darker than the paper around it by this share of the paper's level
_INK_CONTRAST = 0.3  # the same for the darker part of a mark: what is drawn with a pen has a clear core
_PAPER_LEVEL = 80  # grey level of paper in poor light
_PAPER_SPREAD = 0.05  # standard deviation of the paper around a mark, as a share of its level
_BAR_SPREAD = 0.03  # the same around an upright bar
_PAPER_TINT = 0.45  # how coloured paper may look in the light of a lamp
_MOST_GROUPS = 8  # of marks that are read in one picture, the largest first


def find_writing(image: Image) -> list[tuple[int, int, Image]]:
    """The groups of dark marks on light, even paper in a camera's picture.

    A mark is kept if it has the proportions of a digit or of a part of one and nothing but even paper around it, which
    hardly anything in a room has. Marks that lie as close together as the digits of a number form a group.

    Returns:
        For each group the left and upper corner of its crop in pixels of `image`, and the crop as white ink on black.
    """
    height, width = image.shape[:2]
    factor = max(1, -(-max(height, width) // _WORK_SIDE))  # a whole number: OpenCV means over blocks much faster
    rows, columns = height // factor, width // factor
    if min(rows, columns) < 16:
        return []
    colour = image
    if factor > 1:
        whole = image[: rows * factor, : columns * factor]
        colour = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    small = images.to_grey(colour)
    reach = (max(rows, columns) // 12) | 1  # wider than any stroke
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    darker = cv2.subtract(paper, small)
    marks = ((darker > 18) & (darker > _CONTRAST * paper)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=8)
    x, y, w, h, area = (stats[1:, column] for column in range(5))
    tall = np.maximum(h, w)
    likely = (
        (tall >= 0.03 * rows)
        & (h <= 0.9 * rows)
        & (w <= 0.5 * columns)
        & (area >= 12)
        & (area >= 0.04 * w * h)
        & (x > 0)
        & (y > 0)
        & (x + w < columns)
        & (y + h < rows)
    )
    candidates = [int(index) for index in np.flatnonzero(likely)]
    if len(candidates) > 400:  # a thicket, not a sheet of paper
        return []
    kept = [index for index in candidates if _is_writing(small, colour, marks, darker, labels, index + 1, stats)]
    groups = [group for group in _neighbours(stats[1:], kept) if max(int(h[i]) for i in group) >= 0.05 * rows]
    groups.sort(key=lambda group: -max(int(h[i]) for i in group))
    found: list[tuple[int, int, Image]] = []
    for group in groups[:_MOST_GROUPS]:
        found.append(_group_ink(image, factor, labels, stats, group))
    return found


def _is_writing(
    grey: Image, colour: Image, marks: Image, darker: Image, labels: np.ndarray, index: int, stats: np.ndarray
) -> bool:
    """Whether a mark is clearly darker than what surrounds it, and that is light, even and hardly coloured: paper."""
    x, y, w, h = (int(value) for value in stats[index][:4])
    bar = w < 0.35 * h  # rooms are full of upright edges: a 1 needs more paper around it
    margin = max(4, round((0.45 if bar else 0.15) * max(w, h)))
    rows, columns = grey.shape
    part = (
        slice(max(0, y - margin), min(rows, y + h + margin)),
        slice(max(0, x - margin), min(columns, x + w + margin)),
    )
    # The soft rim of the strokes is neither ink nor paper.
    paper = cv2.dilate(marks[part], np.ones((5, 5), np.uint8)) == 0
    around = grey[part][paper].astype(np.float64)
    if around.size < 0.25 * paper.size:
        return False
    level = float(around.mean())
    if level < _PAPER_LEVEL:
        return False
    # Light falls off evenly across a sheet, so what counts is the deviation from a plane.
    down, across = np.nonzero(paper)
    places = np.stack([np.ones_like(down), down, across], axis=1).astype(np.float64)
    plane = np.linalg.lstsq(places.T @ places, places.T @ around, rcond=None)[0]
    if float((around - places @ plane).std()) > (_BAR_SPREAD if bar else _PAPER_SPREAD) * level:
        return False
    dark = darker[part][labels[part] == index]
    if float(np.percentile(dark, 75)) < _INK_CONTRAST * level:
        return False
    tint = colour[part][paper].mean(axis=0)
    return float(tint.max() - tint.min()) <= _PAPER_TINT * float(tint.max())


def _neighbours(stats: np.ndarray, kept: Sequence[int]) -> list[list[int]]:
    """Marks gathered into groups, each with all that lie as close as digits of a number or parts of a digit do."""
    groups: list[list[int]] = []
    for index in kept:
        joined = [index]
        for group in list(groups):
            if any(_close(stats[index], stats[other]) for other in group):
                joined += group
                groups.remove(group)
        groups.append(joined)
    return groups


def _close(one: Sequence[int], other: Sequence[int]) -> bool:
    ax, ay, aw, ah = (int(value) for value in one[:4])
    bx, by, bw, bh = (int(value) for value in other[:4])
    tall = max(ah, bh)
    apart = max(ax, bx) - min(ax + aw, bx + bw)
    above = max(ay, by) - min(ay + ah, by + bh)
    return apart < 0.6 * tall and above < (0.15 * tall if apart < 0 else -0.3 * min(ah, bh))


def _group_ink(
    image: Image, factor: int, labels: np.ndarray, stats: np.ndarray, group: Sequence[int]
) -> tuple[int, int, Image]:
    boxes = stats[np.array(group) + 1]
    x0, y0 = int(boxes[:, 0].min()), int(boxes[:, 1].min())
    x1, y1 = int((boxes[:, 0] + boxes[:, 2]).max()), int((boxes[:, 1] + boxes[:, 3]).max())
    margin = max(4, (y1 - y0) // 6)
    rows, columns = labels.shape
    x0, y0, x1, y1 = max(0, x0 - margin), max(0, y0 - margin), min(columns, x1 + margin), min(rows, y1 + margin)
    mine = np.isin(labels[y0:y1, x0:x1], np.array(group) + 1).astype(np.uint8)
    mine = cv2.dilate(mine, np.ones((5, 5), np.uint8))
    left, top = x0 * factor, y0 * factor
    crop = images.to_grey(np.ascontiguousarray(image[top : y1 * factor, left : x1 * factor]))
    mine = cv2.resize(mine, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_NEAREST)
    paper = int(np.median(crop[mine == 0])) if (mine == 0).any() else 255
    return left, top, images.to_ink(np.where(mine > 0, crop, np.uint8(paper)))
