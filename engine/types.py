"""The nouns of the engine: frozen, validated at birth, NumPy at the border.

Nothing here knows how a thing is made; tensors never cross this border.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]
Box: TypeAlias = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the frame, x1 and y1 exclusive
Task: TypeAlias = Literal["classification", "detection", "faces"]
BoxLayout: TypeAlias = Literal["", "distances", "corners", "centres"]

NOT_A_DIGIT = "not a digit"


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture on its way through the live flow.

    Attributes:
        image: (H, W, 3) uint8 RGB; of a grey picture the three channels may be one plane seen three times.
        source: what it comes from, for people ("canvas", the camera's name, a file's name).
        index: counts up from 0 within the source.
        time: seconds on the clock of `time.perf_counter` when it was captured.
        drawing: it is ink on a plain ground (the canvas), so a network for drawings need not guess.
        clock: seconds since the source's beginning, on the clock by which things move on from one frame to the next:
            a video's own, however fast it is played; None: a picture by itself.
    """

    image: Image
    source: str
    index: int
    time: float
    drawing: bool = False
    clock: float | None = None

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3 or not self.image.size:
            raise ValueError(f"a frame is (H, W, 3) uint8, not {self.image.shape} {self.image.dtype}")

    @property
    def blank(self) -> bool:
        """Nothing but white."""
        plane = self.image if self.image.strides[2] else self.image[:, :, 0]
        return bool(plane.min() == 255)


@dataclass(frozen=True, eq=False)
class Classification:
    """Calibrated probabilities of the classes, in the order of the card.

    Attributes:
        labels: names of the classes.
        probabilities: (C,) float32; sums to 1 unless several classes may be true (`ModelCard.many`).
        rejected: the network says that this is none of its classes.
        many: each class has a probability of its own; several may be there, or none.
    """

    labels: tuple[str, ...]
    probabilities: Floats
    rejected: bool = False
    many: bool = False

    def __post_init__(self) -> None:
        if self.probabilities.shape != (len(self.labels),):
            raise ValueError(f"{len(self.labels)} labels, probabilities of shape {self.probabilities.shape}")

    @property
    def best(self) -> int:
        return int(self.probabilities.argmax())

    @property
    def label(self) -> str:
        return self.labels[self.best]

    def ranked(self) -> list[tuple[str, float]]:
        """All classes with their probabilities, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.labels[i], float(self.probabilities[i])) for i in order]

    def there(self) -> list[tuple[str, float]]:
        """The classes that are more likely in the picture than not, where there may be several, the likeliest first."""
        return [(label, share) for label, share in self.ranked() if share >= 0.5]


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes of one frame as a struct of arrays; all arrays have the same length N.

    Attributes:
        xyxy: (N, 4) float32, pixels of the frame.
        confidence: (N,) float32 in 0..1.
        class_id: (N,) int64, index into `labels`.
        labels: names of the classes.
        track_id: (N,) int64, -1 where the box is not tracked.
        landmarks: (N, K, 2) float32, pixels of the frame, of a network that finds places in what it boxes: of a
            face the eye at the picture's left, the other eye, the nose, the left corner of the mouth, the right one.
    """

    xyxy: Floats
    confidence: Floats
    class_id: NDArray[np.int64]
    labels: tuple[str, ...]
    track_id: NDArray[np.int64] | None = None
    landmarks: Floats | None = None

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4) or self.confidence.shape != (n,) or self.class_id.shape != (n,):
            raise ValueError("the arrays of Detections differ in length")
        if self.track_id is not None and self.track_id.shape != (n,):
            raise ValueError("track_id differs in length")
        if self.landmarks is not None and (self.landmarks.ndim != 3 or self.landmarks.shape[::2] != (n, 2)):
            raise ValueError("landmarks differ in length")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, mask: Any) -> Detections:
        tracks = None if self.track_id is None else self.track_id[mask]
        places = None if self.landmarks is None else self.landmarks[mask]
        return Detections(self.xyxy[mask], self.confidence[mask], self.class_id[mask], self.labels, tracks, places)


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the frame that a classifier has read by itself.

    Attributes:
        box: where it lies in the frame.
        classification: what was read there.
        network_input: exactly what the network saw, before normalisation: (h, w) or (h, w, 3) uint8.
    """

    box: Box
    classification: Classification
    network_input: Image


@dataclass(frozen=True, eq=False)
class Activations:
    """The output of one layer for one region of the frame.

    Attributes:
        layer: name of the layer in the card's `feature_layers`.
        maps: (C, H, W) float32; a fully connected layer gives (C, 1, 1).
        region: index into `Result.regions`.
    """

    layer: str
    maps: Floats
    region: int = 0


@dataclass(frozen=True)
class Timings:
    """Seconds that one frame spent in each part of the live flow."""

    waiting: float = 0.0  # from capture until a worker took it
    preprocess: float = 0.0
    network: float = 0.0
    postprocess: float = 0.0

    @property
    def total(self) -> float:
        return self.waiting + self.preprocess + self.network + self.postprocess


@dataclass(frozen=True, eq=False)
class Result:
    """What a vision task says of one frame; what a task does not give is None or empty.

    A detector gives `detections` (all that it found, from the lowest useful score on: whoever shows them chooses) and
    `network_input`, the very square that it saw, (S, S, 3) uint8.
    A network for faces gives `faces`, and `detections` of the class "face" in the same order.
    For a classifier `classification` is the whole frame's (of the first region, where there are several) and
    `regions` holds every part that was read, from left to right; `text` is the number that they spell; `heat` is where
    the likeliest class was found, if that was asked for and the network's shape can tell.
    """

    frame: Frame
    model: str
    generation: int = 0
    classification: Classification | None = None
    regions: tuple[Region, ...] = ()
    text: str = ""
    detections: Detections | None = None
    network_input: Image | None = None
    faces: tuple[FaceMatch, ...] | None = None
    activations: Activations | None = None
    heat: Heat | None = None
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, eq=False)
class Heat:
    """Where a classifier found what speaks for a class (class activation map, Zhou et al. 2016).

    Attributes:
        label: the class.
        values: (h, w) float32, what each cell adds to the class, as a share of the most that any adds; 0 where it
            speaks against it.
        box: x0, y0, x1, y1 of the part of the frame that the cells cover, in pixels.
    """

    label: str
    values: Floats
    box: Box


@dataclass(frozen=True)
class FaceQuality:
    """How well a face can be recognised, each by itself 0 (useless) to 1 (as good as it gets).

    Attributes:
        size: of the face in pixels, against what the network wants to see.
        light: neither dark nor burnt out, with some contrast.
        sharpness: not blurred.
        frontal: turned towards the camera.
        yaw: how far it is turned: -1 to the picture's left, 0 frontal, 1 to the right.
        pitch: the same, -1 up to 1 down.
    """

    size: float
    light: float
    sharpness: float
    frontal: float
    yaw: float = 0.0
    pitch: float = 0.0

    @property
    def overall(self) -> float:
        """As good as its worst side."""
        return min(self.size, self.light, self.sharpness, self.frontal)


@dataclass(frozen=True, eq=False)
class FaceMatch:
    """A face and who it is. Biometric data: its pictures and numbers never show in `repr`, so never in a log.

    Attributes:
        box: of the face in the frame.
        score: probability that this is a face.
        landmarks: (5, 2) float32 in the frame, as `Detections.landmarks` has them.
        name: of the person; None: a stranger, or nobody is enrolled.
        similarity: to the person that it resembles most, -1..1, made of cosines (`engine.recognition`); 0 where nobody
            is enrolled.
        probability: calibrated, that this face and that person are the same.
        person: id of that person in the gallery, also of the one that a stranger resembles most; None: nobody enrolled.
        quality: of the face, where it was measured.
        embedding: (D,) float32 of length 1.
        crop: (S, S, 3) uint8: the face with what is around it, not rotated; `crop_landmarks` (5, 2) lie in it.
        network_input: (s, s, 3) uint8: what the network saw, turned upright.
    """

    box: Box
    score: float
    landmarks: Floats = field(repr=False)
    name: str | None = field(repr=False)
    similarity: float
    probability: float = 0.0
    person: int | None = field(default=None, repr=False)
    quality: FaceQuality | None = None
    embedding: Floats | None = field(default=None, repr=False)
    crop: Image | None = field(default=None, repr=False)
    crop_landmarks: Floats | None = field(default=None, repr=False)
    network_input: Image | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Preprocess:
    """How a frame becomes the input of one network. Weights carry it with them.

    Attributes:
        kind: "drawing": ink is found and becomes white on black; "picture": the short side is resized and the
            centre cropped; "letterbox": the whole picture in the middle of the square, the rest of it grey; "face":
            a face turned upright by its landmarks (`engine.images.align_face`).
        digits: for "drawing": each digit is a region of its own, scaled and centred as MNIST was made; otherwise
            all ink is one thing whose longer side fills the square (as Fashion-MNIST was made).
        size: side of the square input in pixels.
        channels: 1 (grey) or 3 (RGB).
        mean, std: per channel, of values in 0..1.
        resize: for "picture", the short side before the crop; 0 means `size`.
        around: for "face", how much of what is around the face is seen, as `align_face` has it.
    """

    kind: Literal["drawing", "picture", "letterbox", "face"]
    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int = 0
    digits: bool = True
    around: float = 1.0


@dataclass(frozen=True)
class Layer:
    """A layer that can be looked into.

    Attributes:
        name: name of the node in the network ("conv1").
        title: what people read ("conv1", "ReLU", "fully connected").
        shape: (C, H, W) of its output for one input.
        weights: name of its kernel in the weights file, (out, in, h, w) or (out, in), or "" if it has none.
    """

    name: str
    title: str
    shape: tuple[int, int, int]
    weights: str = ""


@dataclass(frozen=True)
class Download:
    """Where the weights of a well-known network are to be had from those who made them.

    Attributes:
        url: of the official file.
        size: of that file in bytes, as published: to the kilobyte.
        sha256: the first digits of its SHA-256 in hexadecimal, as the file's name holds them.
    """

    url: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class ModelCard:
    """Everything about one model; the same object serves training, live use, evaluation and export.

    Attributes:
        name: unique in the zoo; what `--model` takes.
        title: for people.
        architecture: name in the registry of `engine.networks`.
        arguments: keyword arguments of that builder besides classes, channels and image_size.
        classes: names, in the order of the outputs.
        reject: the class that means "none of these", or "".
        reject_above: an input is rejected where the probability of `reject` reaches this.
        temperature: logits are divided by it before the softmax (Guo et al. 2017), so probabilities are calibrated.
        many: several classes may be in one picture, or none: each has a probability of its own, from a sigmoid in place
            of the softmax.
        layers: filled when the card is written or the network first built.
        weights: the safetensors file; None: the network is built with random weights.
        quantised: of a bundled network, its graph in OpenVINO's form, as the runtime would convert it, with the
            multiplications in 8 bits: what processors run that multiply bytes in hardware; None: there is none.
        sha256: of the weights file; "" if unknown (a run of one's own).
        boxes: how a detector's output (N, A, 4 + classes) names the place of each of its A candidates, all in pixels
            of the network's input; the classes' columns hold probabilities. "distances": left, top, right and bottom
            of the cell's centre, in cells, for the grids of `strides` one after the other, each row by row; "corners":
            x0, y0, x1, y1; "centres": x, y of the middle, width, height.
        strides: for "distances", the side of a cell of each grid in pixels.
        offered: the classes that are shown unless others are asked for: those that it does well; empty: all.
        min_score: what is less probable is not shown unless asked for.
        landmarks: how many places a detector finds in each object: its output has as many more pairs of columns after
            the classes, x and y as `boxes` tells ("distances": from the cell's centre, in cells).
        finder: for "faces", the detector in the zoo that finds them.
        calibration: for "faces", slope a and offset b: two faces of cosine c are the same person with probability
            1 / (1 + exp(-(a c + b))), measured where as many pairs are the same as not.
        threshold: for "faces", the cosine from which a face is named, unless people choose another.
        metrics: what was measured, by name, such as {"MNIST test accuracy": 0.9972}.
        published: what those who made the weights have measured, by name.
        operations: multiplications for one picture as published, in billions (10^9); 0 if unknown.
        download: where the official weights are to be had, if they are not this project's.
        origin: "bundled", "trained", "downloaded", "imported" (a file of the user's) or "random".
    """

    name: str
    title: str
    task: Task
    architecture: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reject: str = ""
    reject_above: float = 0.5
    temperature: float = 1.0
    many: bool = False
    boxes: BoxLayout = ""
    strides: tuple[int, ...] = ()
    offered: tuple[str, ...] = ()
    min_score: float = 0.25
    landmarks: int = 0
    finder: str = ""
    calibration: tuple[float, float] = (1.0, 0.0)
    threshold: float = 0.5
    layers: tuple[Layer, ...] = ()
    weights: Path | None = None
    quantised: Path | None = None
    sha256: str = ""
    parameters: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)
    operations: float = 0.0
    download: Download | None = None
    notes: str = ""
    recipe: str = ""
    licence: str = ""
    origin: Literal["bundled", "trained", "downloaded", "imported", "random"] = "trained"
