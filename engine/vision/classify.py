"""Classification: a frame becomes one batch of network inputs, their logits become a `Result`.

A "drawing" network reads digits: ink is found on its paper, laid out into pieces that may be digits, all of them go
through the network at once, and the best reading is chosen. A "picture" network sees the centre of the whole frame.
The window, the command line and the evaluation all use the one `Classifier`, so none of them can differ.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import images, runtime, zoo
from engine.opencv import cv2
from engine.types import Activations, Box, Classification, Floats, Frame, Image, ModelCard, Region, Result, Timings


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame ready for the network.

    Attributes:
        inputs: (N, S, S) or (N, S, S, 3) uint8, everything that may be worth reading; N may be 0.
        boxes: where each input lies in the frame.
        layout: what `images.choose` needs to pick among them; None: all are read.
    """

    inputs: Image
    boxes: tuple[Box, ...]
    layout: Any = None


class Classifier:
    """One network that reads frames. Use it from one thread at a time.

    Attributes:
        card: with its layers filled.
        network: what runs it; knows its device.
    """

    def __init__(self, card: ModelCard, *, interactive: bool = True) -> None:
        """Load (and where needed convert) the network and run it once, so that the first frame is not a slow one.

        Raises:
            EngineError: the weights are missing, damaged or belong to another network.
        """
        self.network = zoo.open_network(card, interactive=interactive)
        self.card = dataclasses.replace(card, layers=self.network.layers, parameters=self.network.parameters)
        kind = card.preprocess
        mean, std = np.array(kind.mean, np.float32), np.array(kind.std, np.float32)
        self._scale = (1 / (255 * std)).astype(np.float32)[:, None, None]
        self._shift = (-mean / std).astype(np.float32)[:, None, None]
        self._reject = card.classes.index(card.reject) if card.reject else -1
        self._names = {layer.name: layer for layer in self.network.layers}
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
        normal = self._normalised(prepared.inputs)
        ready = time.perf_counter()
        watched = layer if layer in self._names else None
        asked = None if watched == runtime.SOFTMAX else watched
        logits, maps = self.network.run(normal, asked) if len(normal) else (self._no_logits(), None)
        answered = time.perf_counter()
        probabilities = self._softmax(logits)
        rows = self.choose(prepared, probabilities)
        regions = self.regions(prepared, probabilities, rows)
        activations = None
        if watched is not None and rows:
            region = min(region, len(rows) - 1)
            values = probabilities if maps is None else maps
            shape = self._names[watched].shape
            activations = Activations(watched, np.ascontiguousarray(values[rows[region]]).reshape(shape), region)
        done = time.perf_counter()
        return Result(
            frame=frame,
            model=self.card.name,
            generation=generation,
            classification=regions[0].classification if regions else None,
            regions=regions,
            text=self.text(regions),
            activations=activations,
            timings=Timings(max(0.0, begun - frame.time), ready - begun, answered - ready, done - answered),
        )

    def prepare(self, frame: Frame) -> Prepared:
        """Everything in the frame that may be worth reading, as inputs of the network."""
        kind = self.card.preprocess
        if kind.kind == "picture":
            return self._prepare_picture(frame)
        ink = images.to_ink(frame.image)
        box = images.ink_box(ink)
        if box is None:
            return Prepared(self._blank(0), ())
        return Prepared(self._sized([images.centre_digit(ink)]), (box,))

    def probabilities(self, inputs: Image) -> Floats:
        """Calibrated probabilities (N, C) of network inputs (N, S, S) or (N, S, S, 3) uint8."""
        return self._softmax(self.network.run(self._normalised(inputs))[0])

    def choose(self, prepared: Prepared, probabilities: Floats) -> list[int]:
        """Which of the inputs are the regions of the frame, from left to right."""
        return list(range(len(prepared.boxes)))

    def regions(self, prepared: Prepared, probabilities: Floats, rows: Sequence[int]) -> tuple[Region, ...]:
        """The chosen rows as regions."""
        return tuple(
            Region(prepared.boxes[row], self.classification(probabilities[row]), prepared.inputs[row]) for row in rows
        )

    def classification(self, probabilities: Floats) -> Classification:
        """One row of probabilities with the card's names and its rule for rejecting."""
        rejected = self._reject >= 0 and float(probabilities[self._reject]) >= self.card.reject_above
        return Classification(self.card.classes, probabilities, rejected)

    def text(self, regions: Sequence[Region]) -> str:
        """The number that the accepted regions spell; empty for a network that reads no digits."""
        if self.card.preprocess.kind != "drawing":
            return ""
        labels = [region.classification.label for region in regions if not region.classification.rejected]
        return "".join(label for label in labels if label != self.card.reject and len(label) == 1)

    # ----------------------------------------------------------------------------------------------- inside

    def _prepare_picture(self, frame: Frame) -> Prepared:
        kind = self.card.preprocess
        image = frame.image
        if kind.channels == 1:
            image = images.to_ink(image) if frame.drawing else images.to_grey(image)
        height, width = image.shape[:2]
        short = max(kind.resize or kind.size, kind.size)
        scale = short / min(height, width)
        side = min(kind.size / scale, height, width)  # in pixels of the frame: cut first, then there is less to resize
        x, y = (width - side) / 2, (height - side) / 2
        box = (x, y, x + side, y + side)
        x0, y0 = int(x), int(y)
        cut = image[y0 : y0 + max(1, round(side)), x0 : x0 + max(1, round(side))]
        if cut.shape[0] != kind.size or cut.shape[1] != kind.size:
            way = cv2.INTER_AREA if cut.shape[0] > kind.size else cv2.INTER_LINEAR
            cut = cv2.resize(cut, (kind.size, kind.size), interpolation=way).astype(np.uint8, copy=False)
        return Prepared(np.ascontiguousarray(cut)[None], (box,))

    def _blank(self, count: int) -> Image:
        kind = self.card.preprocess
        shape = (count, kind.size, kind.size) if kind.channels == 1 else (count, kind.size, kind.size, 3)
        return np.zeros(shape, np.uint8)

    def _sized(self, digits: Sequence[Image]) -> Image:
        """28 x 28 digits as this network's inputs."""
        kind = self.card.preprocess
        if kind.size != images.DIGIT_SIZE:
            size = (kind.size, kind.size)
            digits = [cv2.resize(each, size, interpolation=cv2.INTER_AREA).astype(np.uint8) for each in digits]
        batch = np.stack(digits)
        return batch if kind.channels == 1 else np.repeat(batch[..., None], 3, axis=3)

    def _normalised(self, inputs: Image) -> Floats:
        planes = inputs[:, None] if inputs.ndim == 3 else inputs.transpose(0, 3, 1, 2)
        normal: Floats = planes * self._scale
        normal += self._shift
        return normal

    def _softmax(self, logits: Floats) -> Floats:
        powers = logits / np.float32(self.card.temperature)
        powers -= powers.max(axis=1, keepdims=True)
        np.exp(powers, out=powers)
        powers /= powers.sum(axis=1, keepdims=True)
        result: Floats = powers
        return result

    def _no_logits(self) -> Floats:
        return np.zeros((0, len(self.card.classes)), np.float32)
