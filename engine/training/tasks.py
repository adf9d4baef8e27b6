"""What a network is trained for: how a batch is made, what its loss is, and what is measured after an epoch.

`fit` knows optimisers, epochs and checkpoints and nothing of labels or boxes. A `Task` knows the data and is asked for
a loss at every step; a new kind of answer is a new class here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from engine import networks
from engine.data import DataSet
from engine.data.augment import AUGMENTATIONS, colour, face
from engine.data.detection import Batch, SceneData, compose, truth_of
from engine.data.faces import FaceSet
from engine.errors import EngineError
from engine.measure import LEAST_SEEN, USUAL, Truth, average_precision, ranking_precision, verification
from engine.networks.detector import STRIDES, Detector, cell_centres
from engine.runtime import bfloat16_is_fast
from engine.training.assign import detection_loss
from engine.training.config import TrainingConfig
from engine.types import Detections, ModelCard, Preprocess
from engine.types import Task as TaskName
from engine.vision.detect import Decoder


@dataclass(frozen=True, eq=False)
class Loss:
    """What one step gives.

    Attributes:
        loss: to be minimised; a scalar with its graph.
        score: how good the answers were, 0..1; a scalar without.
    """

    loss: Tensor
    score: Tensor


class Task(Protocol):
    """A kind of answer to be learnt.

    Attributes:
        name: as the network's card has it.
        classes: what is told apart.
        arguments: of the network's builder.
        count: training pictures.
        validation_count: pictures that are measured after an epoch.
        measure: what the score of the validation part is, as the card calls it.
        scored: what the scores mean, as `Started.task` has it.
    """

    name: TaskName
    measure: str
    scored: str
    classes: tuple[str, ...]
    arguments: dict[str, Any]
    count: int
    validation_count: int

    def build(self) -> nn.Module:
        """What is trained, freshly initialised."""
        ...

    def network(self, model: nn.Module) -> nn.Module:
        """The part of what is trained that is kept and used."""
        ...

    def loss(self, model: nn.Module, chosen: Tensor, generator: Generator, *, progress: float) -> Loss:
        """Loss of the training pictures `chosen` (N,), changed at random; `progress` (0..1) of the run is done."""
        ...

    def evaluate(self, model: nn.Module) -> tuple[float, float]:
        """Loss and score (0..1) over the validation part; the model is left in evaluation mode."""
        ...

    def card(self) -> dict[str, Any]:
        """The fields of the card that this task knows."""
        ...

    def verdict(self, score: float) -> str:
        """What a score of the validation part means, as the end of a sentence."""
        ...


def task_for(config: TrainingConfig, data: DataSet | SceneData | FaceSet, device: torch.device) -> Task:
    """The task that the data and the network are for.

    Raises:
        EngineError: they are for different ones, or there is too little of the data.
    """
    known = networks.architectures()
    wanted = known[config.model].task if config.model in known else ""
    if isinstance(data, SceneData):
        if wanted == "faces":
            raise EngineError(
                "These data are pictures with boxes, which this network cannot learn.", "Choose the network “detector”."
            )
        if wanted == "classification":
            return Tags(config, data, device)
        return Detection(config, data, device)
    if wanted == "detection":
        raise EngineError(
            f"The network “{config.model}” learns from pictures with boxes.",
            "Choose a COCO folder as the data set, or another network.",
        )
    if isinstance(data, FaceSet):
        if wanted == "classification":
            raise EngineError(
                "These data are faces by person, which this network cannot learn.", "Choose the network “faces”."
            )
        return Verification(config, data, device)
    if wanted == "faces":
        raise EngineError(
            f"The network “{config.model}” learns from faces by person.",
            "Choose “Faces by person” as the data set, or another network.",
        )
    return Classification(config, data, device)


# --------------------------------------------------------------------------------------------------- classification


class Classification:
    """One class a picture: cross entropy and the share of right answers."""

    name: TaskName = "classification"
    measure = "validation accuracy"
    scored = "classification"

    def __init__(self, config: TrainingConfig, data: DataSet, device: torch.device) -> None:
        if len(data.train.labels) < 2:
            raise EngineError("There are too few pictures to train on.", "Each class needs two at least.")
        self._config, self._data, self._device = config, data, device
        self._images = data.train.images.to(device)
        self._labels = data.train.labels.to(device)
        self._mean, self._std = _channels(data.mean, device), _channels(data.std, device)
        self._augment = AUGMENTATIONS[config.augmentation]
        self.classes = data.classes
        self.arguments: dict[str, Any] = {"dropout": config.dropout}
        if config.matters("width"):
            self.arguments["width"] = config.width
        self.count, self.validation_count = len(data.train), len(data.validation)

    def build(self) -> nn.Module:
        channels, size = self._data.train.images.shape[1], self._data.train.images.shape[-1]
        return networks.build(
            self._config.model, classes=len(self.classes), channels=channels, image_size=size, **self.arguments
        )

    def network(self, model: nn.Module) -> nn.Module:
        return model

    def loss(self, model: nn.Module, chosen: Tensor, generator: Generator, *, progress: float) -> Loss:
        labels = self._labels[chosen]
        pictures = self._augment.at(progress)(self._images[chosen].float().div_(255), generator)
        with mixed_precision(self._device):
            logits = model(_normalise(pictures, self._mean, self._std))
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self._config.label_smoothing)
        with torch.no_grad():
            right = (logits.argmax(1) == labels).float().mean()
        return Loss(loss, right)

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> tuple[float, float]:
        model.eval()
        split = self._data.validation
        loss, right = 0.0, 0
        # Few pictures at a time where they are large: validation must never need more memory than training did.
        batch_size = max(1, min(1000, 8 * 1000 * 28 * 28 // split.images[0].numel())) if len(split) else 1
        for start in range(0, len(split), batch_size):
            pictures = split.images[start : start + batch_size].to(self._device)
            labels = split.labels[start : start + batch_size].to(self._device)
            with mixed_precision(self._device):
                logits = model(_normalise(pictures.float().div_(255), self._mean, self._std))
            loss += functional.cross_entropy(logits.float(), labels, reduction="sum").item()
            right += int((logits.argmax(1) == labels).sum())
        count = max(1, len(split))
        return loss / count, right / count

    def card(self) -> dict[str, Any]:
        data = self._data
        channels, size = data.train.images.shape[1], data.train.images.shape[-1]
        return {
            "reject": data.classes[-1] if data.classes[-1].startswith("not a ") else "",
            "preprocess": Preprocess(
                kind="drawing" if channels == 1 and size == 28 else "picture",
                size=size,
                channels=channels,
                mean=tuple(data.mean),
                std=tuple(data.std),
                digits=data.classes[:10] == tuple("0123456789"),
            ),
        }

    def verdict(self, score: float) -> str:
        return f"{score:.2%} of the validation pictures are read correctly"


# ------------------------------------------------------------------------------------------------------------- tags

_PARTS = (1.0, 2.5)  # a picture is learnt from as a whole, and in parts in which few things are large


class _OfScenes:
    """What is the same for all that is learnt from pictures with boxes."""

    def __init__(self, config: TrainingConfig, data: SceneData, device: torch.device) -> None:
        self._config, self._data, self._device = config, data, device
        self._scenes = data.train.to(device)
        self._mean, self._std = _channels(data.mean, device), _channels(data.std, device)
        self.classes = data.classes
        self.arguments: dict[str, Any] = {"width": config.width} if config.matters("width") else {}
        self.count, self.validation_count = len(data.train), len(data.validation)

    def build(self) -> nn.Module:
        return networks.build(
            self._config.model,
            classes=len(self.classes),
            channels=3,
            image_size=self._data.image_size,
            **self.arguments,
        )

    def network(self, model: nn.Module) -> nn.Module:
        return model

    def _preprocess(self, kind: Literal["picture", "letterbox"]) -> Preprocess:
        data = self._data
        return Preprocess(kind, data.image_size, 3, tuple(data.mean), tuple(data.std), digits=False)


class Tags(_OfScenes):
    """Which classes are in a picture: one yes or no for each, from pictures with boxes.

    A class is there if a quarter of one of its boxes is in what the network sees; of a class that the picture's source
    does not label nothing is learnt.
    """

    name: TaskName = "classification"
    measure = "validation mAP"
    scored = "tags"

    def __init__(self, config: TrainingConfig, data: SceneData, device: torch.device) -> None:
        if len(data.classes) < 2:
            raise EngineError("There is only one class in these data.", "Two at least are needed to tell them apart.")
        super().__init__(config, data, device)
        self.arguments["dropout"] = config.dropout

    def loss(self, model: nn.Module, chosen: Tensor, generator: Generator, *, progress: float) -> Loss:
        batch = compose(self._scenes, chosen, self._data.image_size, generator, mosaic=0.0, zoom=_PARTS)
        there = torch.zeros((len(chosen), len(self.classes)), device=self._device)
        there[batch.owner, batch.labels] = 1.0
        pictures = colour(batch.images, generator)
        with mixed_precision(self._device):
            logits = model(_normalise(pictures, self._mean, self._std)).float()
        with torch.no_grad():
            right = there.gather(1, logits.argmax(1, keepdim=True)).mean()
        return Loss(_tag_loss(logits, there, batch.known[:, 0]), right)

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> tuple[float, float]:
        model.eval()
        data, size = self._data, self._data.image_size
        losses, scores, targets = [], [], []
        for start in range(0, len(data.validation), 32):
            rows = range(start, min(start + 32, len(data.validation)))
            seen = [self._middle(row) for row in rows]
            pictures = torch.cat(
                [
                    functional.interpolate(picture[None].float(), size=(size, size), mode="bilinear", antialias=True)
                    for picture, _ in seen
                ]
            )
            there = torch.stack([classes for _, classes in seen])
            with mixed_precision(self._device):
                logits = model(_normalise(pictures.to(self._device).div_(255), self._mean, self._std))
            logits = logits.float().cpu()
            losses.append(float(_tag_loss(logits, there.float(), data.validation.known[start : rows.stop])))
            scores.append(logits)
            targets.append(there)
        if not losses:
            return math.nan, 0.0
        precision = ranking_precision(
            torch.cat(scores).numpy(), torch.cat(targets).numpy(), data.validation.known.numpy()
        )
        measured = precision[np.isfinite(precision)]
        return float(np.mean(losses)), float(measured.mean()) if len(measured) else 0.0

    def _middle(self, row: int) -> tuple[Tensor, Tensor]:
        """The centre of a validation picture, as it is seen in use ``(3, S, S)``, and what is in it ``(C,) bool``."""
        scenes, transform = self._data.validation, self._data.transforms[row]
        wide, high = (float(side) for side in scenes.sizes[row])
        side = max(1, round(min(wide, high)))
        left, top = round(transform.left + (wide - side) / 2), round(transform.top + (high - side) / 2)
        boxes, labels = scenes.boxes[row], scenes.labels[row]
        edges = torch.tensor([left, top, left + side, top + side])
        inside = boxes.maximum(edges[[0, 1, 0, 1]]).minimum(edges[[2, 3, 2, 3]])
        seen, whole = ((each[:, 2:] - each[:, :2]).prod(dim=1) for each in (inside, boxes))
        shown = labels[(labels >= 0) & (seen >= LEAST_SEEN * whole) & (seen > 0)]
        there = torch.zeros(len(self.classes), dtype=torch.bool)
        there[shown] = True
        return scenes.images[row, :, top : top + side, left : left + side], there

    def card(self) -> dict[str, Any]:
        return {
            "many": True,
            "preprocess": self._preprocess("picture"),
        }

    def verdict(self, score: float) -> str:
        return f"the mean average precision of the classes on the validation pictures is {score:.2%}"


def _tag_loss(logits: Tensor, there: Tensor, known: Tensor) -> Tensor:
    """Mean over pictures of the cross entropies of all classes that are known, ``(N, C)`` each."""
    known = known | (there > 0)
    wrong = functional.binary_cross_entropy_with_logits(logits, there, reduction="none")
    return (wrong * known).sum() / max(1, len(logits))


# -------------------------------------------------------------------------------------------------------- detection

_MEASURED = 512  # validation pictures that are measured after each epoch, at most: the whole part takes too long
_SMALL_FROM, _FULL_AFTER = 0.8, 0.4  # pictures begin at this share of their size and are whole after this share
_MOSAICS = 0.25  # share of pictures that are made of four
_CALM_AFTER = 0.75  # from here on no mosaics, so that the network settles on pictures as they are (YOLOX, section 2.1)
_FLOOR = 0.01  # least score of what is measured


class Detection(_OfScenes):
    """Boxes: a task-aligned assignment, and mean average precision at an IoU of 0.5."""

    name: TaskName = "detection"
    measure = "validation mAP@0.5"
    scored = "detection"

    def __init__(self, config: TrainingConfig, data: SceneData, device: torch.device) -> None:
        super().__init__(config, data, device)
        if data.landmarks:
            self.arguments["landmarks"] = data.landmarks
        self.validation_count = min(_MEASURED, self.validation_count)
        self._sure = USUAL

    def build(self) -> nn.Module:
        model = super().build()
        if self._config.frozen == "backbone":
            _detector(model).backbone.requires_grad_(False)
        return model

    def loss(self, model: nn.Module, chosen: Tensor, generator: Generator, *, progress: float) -> Loss:
        if self._config.frozen != "nothing":
            # A few pictures say little of how strong a map usually is; many others have said it before.
            _detector(model).backbone.eval()
        size = self._size_at(progress)
        share = _MOSAICS if progress < _CALM_AFTER else 0.0
        batch = compose(self._scenes, chosen, size, generator, mosaic=share, zoom=self._data.zoom)
        pictures = colour(batch.images, generator)
        with mixed_precision(self._device):
            raw = model(_normalise(pictures, self._mean, self._std))
        detector = _detector(model)
        loss, overlap = detection_loss(
            raw.float(), batch, centres=cell_centres(size, self._device), classes=len(self.classes), model=detector
        )
        return Loss(loss, overlap)

    def _size_at(self, progress: float) -> int:
        """Small pictures first, which cost little, then larger ones (EfficientNetV2, Tan and Le 2021, section 4)."""
        share = _SMALL_FROM + (1 - _SMALL_FROM) * min(1.0, progress / _FULL_AFTER)
        return max(64, round(self._data.image_size * share / 32) * 32)

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> tuple[float, float]:
        model.eval()
        data, scenes = self._data, self._data.validation
        picked = np.linspace(0, len(scenes) - 1, self.validation_count).round().astype(int)
        centres = cell_centres(data.image_size, self._device)
        decoder = Decoder(ModelCard("", "", "detection", "", self.classes, **self.card()))
        found: list[Detections] = []
        truth: list[Truth] = []
        detector = _detector(model)
        losses: list[float] = []
        for start in range(0, len(picked), 16):
            rows = torch.from_numpy(picked[start : start + 16])
            pictures = scenes.images[rows].to(self._device).float().div_(255)
            with mixed_precision(self._device):
                raw = detector.raw(_normalise(pictures, self._mean, self._std)).float()
            there = scenes.labels[rows] >= 0
            owner = torch.arange(len(rows))[:, None].expand_as(there)[there]
            batch = Batch(
                pictures,
                scenes.boxes[rows][there].to(self._device),
                scenes.labels[rows][there].to(self._device),
                owner.to(self._device),
                scenes.known[rows][:, None].expand(-1, 4, -1).to(self._device),
                torch.full((len(rows), 2), float(data.image_size), device=self._device),
                scenes.landmarks[rows][there].to(self._device),
                scenes.ignored[rows].to(self._device),
            )
            loss, _ = detection_loss(raw, batch, centres=centres, classes=len(self.classes), model=detector)
            losses.append(float(loss))
            answers = detector.answer(raw)
            for number, answer in zip(rows.tolist(), answers.cpu().numpy(), strict=True):
                boxes, scores, labels = decoder.boxes(answer, floor=_FLOOR)
                boxes = data.transforms[number].to_original(boxes)
                found.append(Detections(boxes, scores, labels, self.classes))
                truth.append(truth_of(scenes, data.transforms, number))
        measured = average_precision(found, truth, labels=self.classes)
        self._sure = measured.sure
        return float(np.mean(losses)) if losses else math.nan, measured.map50

    def card(self) -> dict[str, Any]:
        return {
            "boxes": "distances",
            "strides": STRIDES,
            "landmarks": self._data.landmarks,
            "min_score": self._sure,
            "preprocess": self._preprocess("letterbox"),
        }

    def verdict(self, score: float) -> str:
        return f"the mean average precision on the validation pictures is {score:.2%}"


def _detector(model: nn.Module) -> Detector:
    assert isinstance(model, Detector)
    return model


# ----------------------------------------------------------------------------------------------------- verification

_SCALE = 32.0  # length that an embedding is given before the softmax
_MARGIN = 0.35  # by which the cosine to one's own person must be larger (CosFace, Wang et al. 2018, equation 4)
_MARGIN_AFTER = 0.15  # the margin grows to its full size over this share of the run
_CENTRES = 2  # of each person: wrong pictures gather at another one than right ones (sub-centres, Deng et al. 2020)


class Verification:
    """Whether two faces are one person's: an embedding learnt by telling the training people apart.

    The training people are classes of a cosine softmax with a margin; what is measured is the protocol of Labeled Faces
    in the Wild on other people: a threshold chosen on nine tenths of the pairs judges the tenth.
    """

    name: TaskName = "faces"
    measure = "validation pairs judged rightly"
    scored = "faces"

    def __init__(self, config: TrainingConfig, data: FaceSet, device: torch.device) -> None:
        self._config, self._data, self._device = config, data, device
        self._images, self._labels = data.images.to(device), data.labels.to(device)
        self._mean, self._std = _channels(data.mean, device), _channels(data.std, device)
        self.classes: tuple[str, ...] = ("face",)
        self.arguments: dict[str, Any] = {"dropout": config.dropout}
        self.count, self.validation_count = len(data.images), len(data.measured)

    def build(self) -> nn.Module:
        network = networks.build(
            self._config.model, classes=1, channels=3, image_size=self._data.image_size, **self.arguments
        )
        return _People(network, self._data.people)

    def network(self, model: nn.Module) -> nn.Module:
        assert isinstance(model, _People)
        return model.network

    def loss(self, model: nn.Module, chosen: Tensor, generator: Generator, *, progress: float) -> Loss:
        assert isinstance(model, _People)
        labels = self._labels[chosen]
        pictures = face(self._images[chosen].float().div_(255), generator, size=self._data.image_size)
        with mixed_precision(self._device):
            embeddings = model.network(_normalise(pictures, self._mean, self._std))
        cosines = model(embeddings.float())
        with torch.no_grad():
            right = (cosines.argmax(1) == labels).float().mean()
        margin = _MARGIN * min(1.0, progress / _MARGIN_AFTER)
        cosines = cosines - margin * functional.one_hot(labels, cosines.shape[1])
        loss = functional.cross_entropy(_SCALE * cosines, labels, label_smoothing=self._config.label_smoothing)
        return Loss(loss, right)

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> tuple[float, float]:
        model.eval()
        data = self._data
        pairs = data.pairs
        embeddings = self.embed(model, data.measured)
        cosines = (embeddings[pairs[:, 0]] * embeddings[pairs[:, 1]]).sum(dim=1)
        # A loss of its own kind: how surely the cosine says the wrong thing, with the threshold that suits best.
        verified = verification(cosines.numpy(), data.same.numpy(), data.folds.numpy())
        spread = functional.softplus(10 * (cosines - verified.threshold) * (1 - 2 * data.same.float())).mean()
        return float(spread), verified.accuracy

    @torch.inference_mode()
    def embed(self, model: nn.Module, images: Tensor) -> Tensor:
        """Embeddings ``(N, D)`` of length 1, on the processor: each of a picture and its mirror image."""
        network = self.network(model).eval()
        rim = (images.shape[-1] - self._data.image_size) // 2
        found = []
        for start in range(0, len(images), 256):
            pictures = images[
                start : start + 256, :, rim : rim + self._data.image_size, rim : rim + self._data.image_size
            ]
            pictures = _normalise(pictures.to(self._device).float().div_(255), self._mean, self._std)
            with mixed_precision(self._device):
                both = network(pictures).float() + network(pictures.flip(3)).float()
            found.append(functional.normalize(both).cpu())
        return torch.cat(found)

    def card(self) -> dict[str, Any]:
        return {
            "finder": "face-detector",
            "preprocess": Preprocess(
                kind="face",
                size=self._data.image_size,
                channels=3,
                mean=tuple(self._data.mean),
                std=tuple(self._data.std),
                digits=False,
                around=self._data.around,
            ),
        }

    def verdict(self, score: float) -> str:
        return f"{score:.2%} of the validation pairs are judged rightly"


class _People(nn.Module):
    """A network for faces under a direction for each person (several: see `_CENTRES`), as it is trained."""

    def __init__(self, network: nn.Module, people: int) -> None:
        super().__init__()
        self.network = network
        dimensions = int(network.dimensions)  # type: ignore[arg-type]
        self.directions = nn.Parameter(torch.empty(people * _CENTRES, dimensions))
        nn.init.normal_(self.directions, std=0.01)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Cosines ``(N, people)`` of embeddings ``(N, D)`` to the nearest direction of each person."""
        cosines = functional.normalize(embeddings) @ functional.normalize(self.directions).T
        nearest: Tensor = cosines.unflatten(1, (-1, _CENTRES)).amax(dim=2)
        return nearest


# ----------------------------------------------------------------------------------------------------------- shared


def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(1, -1, 1, 1)


def _normalise(pictures: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)


def mixed_precision(device: torch.device) -> torch.autocast:
    """bfloat16 where the hardware multiplies it faster: the range of float32, so no loss scaling is needed."""
    if device.type == "cuda":
        enabled = torch.cuda.is_bf16_supported()
    else:
        enabled = device.type == "cpu" and bfloat16_is_fast()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
