"""Detection: a frame becomes one square, the network's candidates become boxes in the frame.

The whole picture is put into a square (letterbox), the network gives some thousand candidates, each a box with a
probability for every class (and with landmarks, where the network finds any), and of those that say the same only the
surest is kept. All networks for detection go this way, our own as well as the well-known ones: how a network names its
boxes is written on its card.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine import images, zoo
from engine.errors import EngineError
from engine.opencv import cv2
from engine.types import Activations, Detections, Floats, Frame, Image, ModelCard, Result, Timings

FLOOR = 0.05
"""Probability below which nothing is reported in live use; who shows boxes asks for more (`ModelCard.min_score`)."""

MOST = 300
"""Boxes of one frame that are reported at most, the surest ones."""

_CANDIDATES = 1000  # the surest ones, among which boxes that say the same are looked for
_SAME = 0.6  # IoU from which two boxes of one class are taken for the same object


class Detector:
    """One network that finds objects in frames. Use it from one thread at a time.

    Attributes:
        card: with its layers filled.
        network: what runs it; knows its device.
    """

    def __init__(
        self, card: ModelCard, *, interactive: bool = True, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Load (and where needed convert) the network and run it once, so that the first frame is not a slow one.

        Args:
            interactive: leave a core to the window.
            cancelled: asked while a conversion runs whether it is still wanted.

        Raises:
            EngineError: the weights are missing, damaged or belong to another network, or the card does not say how
                boxes are named; `Cancelled`.
        """
        self.decoder = Decoder(card)
        self.network = zoo.open_network(card, interactive=interactive, cancelled=cancelled)
        self.card = dataclasses.replace(card, layers=self.network.layers, parameters=self.network.parameters)
        self._names = {layer.name: layer for layer in self.network.layers}
        self.detect(np.zeros((card.preprocess.size, card.preprocess.size, 3), np.uint8))

    def predict(self, frame: Frame, *, layer: str | None = None, region: int = 0, generation: int = 0) -> Result:
        """Find the objects in one frame: all above `FLOOR`, the surest first.

        Args:
            layer: look into this layer as well (unknown to this network: no activations).
            region: means nothing here; the frame is read as one.
            generation: entered in the result.
        """
        begun = time.perf_counter()
        square, placed = self._prepare(frame.image)
        ready = time.perf_counter()
        watched = layer if layer in self._names else None
        output, maps = self.network.run(_batch(square), watched)
        answered = time.perf_counter()
        detections = self._in_frame(output, placed, FLOOR)
        activations = None
        if watched is not None and maps is not None:
            activations = Activations(watched, maps.reshape(self._names[watched].shape))
        done = time.perf_counter()
        return Result(
            frame=frame,
            model=self.card.name,
            generation=generation,
            detections=detections,
            network_input=square,
            activations=activations,
            timings=Timings(max(0.0, begun - frame.time), ready - begun, answered - ready, done - answered),
        )

    def detect(self, image: Image, *, floor: float = FLOOR) -> Detections:
        """The objects in a picture (H, W, 3), the surest first, down to a probability of `floor`.

        A measurement asks for a lower floor than people do: precision at high recall is made of unsure boxes.
        """
        square, placed = self._prepare(image)
        return self._in_frame(self.network.run(_batch(square))[0], placed, floor)

    # ----------------------------------------------------------------------------------------------- inside

    def _prepare(self, image: Image) -> tuple[Image, images.Transform]:
        kind = self.card.preprocess
        return images.letterbox(image if kind.channels == 3 else images.to_grey(image), kind.size)

    def _in_frame(self, output: Floats, placed: images.Transform, floor: float) -> Detections:
        found = self.decoder.detections(output[0], floor=floor)
        places = None if found.landmarks is None else placed.points_to_original(found.landmarks)
        found = dataclasses.replace(found, xyxy=placed.to_original(found.xyxy), landmarks=places)
        inside = (found.xyxy[:, 2:] > found.xyxy[:, :2]).all(axis=1)  # not in the grey around the picture
        return found if inside.all() else found[inside]


def _batch(square: Image) -> Image:
    return square[None, :, :, None] if square.ndim == 2 else square[None]


class Decoder:
    """What a detector's network says, as boxes in its square input. The trainer measures with it, too."""

    def __init__(self, card: ModelCard) -> None:
        """
        Raises:
            EngineError: the card does not say how its network names boxes.
        """
        kind = card.preprocess
        self._layout = card.boxes
        self._size = kind.size
        self._classes = card.classes
        self._places = card.landmarks
        self._columns = 4 + len(card.classes) + 2 * card.landmarks
        self._name = card.name
        if kind.kind != "letterbox" or not card.boxes or (card.boxes == "distances" and not card.strides):
            raise EngineError(
                f"The card of “{card.name}” does not say how its network names boxes.",
                "Its “preprocess” must be a letterbox, and it needs “boxes” and “strides”.",
            )
        self._centres: Floats | None = None
        if card.boxes == "distances":
            grids = [_cells(kind.size, stride) for stride in card.strides]
            self._centres = np.concatenate([centres for centres, _ in grids])
            self._strides = np.concatenate([strides for _, strides in grids])
            self._middles = np.tile(self._centres, 2)
            self._reach = self._strides * np.array([-1, -1, 1, 1], np.float32)

    def boxes(
        self, output: Floats, *, floor: float = FLOOR, most: int = MOST
    ) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """The boxes, probabilities and class numbers of `detections`."""
        found = self.detections(output, floor=floor, most=most)
        return found.xyxy, found.confidence, found.class_id

    def detections(self, output: Floats, *, floor: float = FLOOR, most: int = MOST) -> Detections:
        """The objects that one picture's candidates (A, 4 + classes + 2 x landmarks) speak of, the surest first.

        Of boxes of one class that cover each other by an IoU of 0.6 only the surest stays (non-maximum suppression),
        with its own landmarks.

        Returns:
            At most `most` boxes in pixels of the square, cut at its edges, with probabilities above `floor`. Landmarks
            may lie outside of it: of half a face the other half.

        Raises:
            EngineError: the output is not what the card says.
        """
        fits = output.ndim == 2 and output.shape[1] == self._columns
        if not fits or (self._centres is not None and len(output) != len(self._centres)):
            raise EngineError(
                f"“{self._name}” answers in another form than its card says.",
                "The card and the network belong to different models.",
            )
        # An object may be two things at once: every class of a candidate that is probable enough is one.
        scores = output[:, 4 : 4 + len(self._classes)]
        found = np.flatnonzero(scores > floor)
        rows, classes = np.divmod(found, scores.shape[1])
        sure = scores[rows, classes]
        if len(sure) > _CANDIDATES:
            best = np.argpartition(-sure, _CANDIDATES)[:_CANDIDATES]
            rows, classes, sure = rows[best], classes[best], sure[best]
        xyxy = self._corners(output[rows, :4], rows)
        places = self._landmarks(output[rows, 4 + len(self._classes) :], rows) if self._places else None
        solid = (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)  # nor is anything that is not a number
        if places is not None:
            solid &= np.isfinite(places).all(axis=(1, 2))
        found_boxes = Detections(xyxy, sure, classes, self._classes, None, places)
        return surest(found_boxes if solid.all() else found_boxes[solid], most=most)

    def _corners(self, places: Floats, rows: NDArray[np.int64]) -> Floats:
        """Candidates' first four columns as corners, cut at the edges of the square."""
        if self._centres is not None:
            xyxy = self._middles[rows] + places * self._reach[rows]
        elif self._layout == "centres":
            half = places[:, 2:] / 2
            xyxy = np.concatenate([places[:, :2] - half, places[:, :2] + half], axis=1)
        else:
            xyxy = places
        cut: Floats = xyxy.clip(0, self._size)
        return cut

    def _landmarks(self, columns: Floats, rows: NDArray[np.int64]) -> Floats:
        """Candidates' last columns as landmarks (N, K, 2) in pixels of the square."""
        places = columns.reshape(len(rows), self._places, 2)
        if self._centres is None:
            return places
        found: Floats = self._centres[rows][:, None] + places * self._strides[rows][:, None]
        return found


def surest(found: Detections, *, most: int = MOST) -> Detections:
    """Of boxes of one class that say the same (an IoU of 0.6) the surest, the surest of all first."""
    return found[_suppress(found.xyxy, found.confidence, found.class_id)[:most]]


def _cells(size: int, stride: int) -> tuple[Floats, Floats]:
    """Centres (cells, 2) of a grid's cells, row by row, in pixels, and their side (cells, 1)."""
    side = (np.arange(-(-size // stride), dtype=np.float32) + 0.5) * stride
    x, y = np.meshgrid(side, side)
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    return centres, np.full((len(centres), 1), stride, np.float32)


def _suppress(xyxy: Floats, scores: Floats, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The boxes that stay, the surest first: none covers a surer one of its class by more than `_SAME`."""
    if not len(xyxy):
        return np.zeros(0, np.int64)
    sides = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(sides.tolist(), scores.tolist(), classes.tolist(), 0.0, _SAME)
    return np.asarray(kept, np.int64).reshape(-1)
