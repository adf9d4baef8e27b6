"""What a run says while it trains, and the record that is kept of it.

Events are frozen, become one JSON object a line and come back as the same event: the run's process writes them, the
window, the command line and the tests read them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias, get_args


@dataclass(frozen=True)
class Started:
    """The data are loaded and the first step is next (again after a resume, then with `epoch` > 0).

    Attributes:
        task: "classification": every accuracy is the share of right answers. "detection": that of the training batches
            is the mean overlap (IoU) of boxes with those that they answer for, that of the validation part the mean
            average precision at an IoU of 0.5. "tags": the share of pictures that have the class that is given the
            highest probability, and the mean average precision of the classes. "faces": that of the training batches is
            the share of faces given to the right person, that of the validation part the share of pairs judged rightly.
        skipped: how many files of the data could not be read and were left out.
        first_skipped: the first of them, or what is wrong with it.
    """

    event: ClassVar[str] = "started"
    device: str
    why: str
    parameters: int
    train_images: int
    validation_images: int
    classes: tuple[str, ...]
    epochs: int
    steps_per_epoch: int
    epoch: int
    time: float
    task: str = "classification"
    skipped: int = 0
    first_skipped: str = ""


@dataclass(frozen=True)
class Progress:
    """Work before the first step: `what` is a sentence ("Downloading MNIST"), `share` in 0..1."""

    event: ClassVar[str] = "progress"
    what: str
    share: float
    time: float


@dataclass(frozen=True)
class Step:
    """The mean over a few steps.

    Attributes:
        step: steps taken since the run began, over all epochs.
        loss, accuracy: of the training batches since the last `Step`; accuracy in 0..1.
        learning_rate: of the last of these steps.
        images_per_second: training throughput, pauses left out.
        time: seconds of training so far, pauses left out.
    """

    event: ClassVar[str] = "step"
    step: int
    epoch: float
    loss: float
    accuracy: float
    learning_rate: float
    images_per_second: float
    time: float


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch; `best` says that its weights are the ones kept."""

    event: ClassVar[str] = "epoch"
    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    best: bool
    time: float


@dataclass(frozen=True)
class Paused:
    """The run waits (`paused`), or goes on again."""

    event: ClassVar[str] = "paused"
    paused: bool
    time: float


Reason: TypeAlias = Literal["finished", "stopped", "cancelled", "nan", "memory", "disk", "error"]
REASONS: tuple[str, ...] = get_args(Reason)


@dataclass(frozen=True)
class Stopped:
    """The end of the run, in a sentence; `best_epoch` is 0 if no weights were kept."""

    event: ClassVar[str] = "stopped"
    reason: Reason
    message: str
    hint: str
    best_epoch: int
    best_accuracy: float
    time: float


TrainingEvent: TypeAlias = Started | Progress | Step | Epoch | Paused | Stopped
_KINDS: dict[str, type[Any]] = {kind.event: kind for kind in (Started, Progress, Step, Epoch, Paused, Stopped)}


def to_json(event: TrainingEvent) -> str:
    """One line of JSON; a number that is not finite becomes null, since JSON has no word for it."""
    values = {"event": event.event, **dataclasses.asdict(event)}
    return json.dumps({k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()})


def from_json(line: str) -> TrainingEvent | None:
    """The event in a line; None for a line that is damaged or of an unknown kind (a run killed while writing)."""
    try:
        values = json.loads(line)
        kind = _KINDS[values.pop("event")]
        for spec in dataclasses.fields(kind):
            if spec.default is not dataclasses.MISSING and spec.name not in values:
                continue  # a run from before the field was thought of
            if values[spec.name] is None:
                values[spec.name] = math.nan
            if spec.type == "tuple[str, ...]":
                values[spec.name] = tuple(values[spec.name])
            elif spec.type in ("int", "float") and not isinstance(values[spec.name], int | float):
                return None
        event: TrainingEvent = kind(**values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return None if isinstance(event, Stopped) and event.reason not in REASONS else event


@dataclass
class History:
    """Everything a run has said so far; append-only.

    After a resume the steps and epochs that are trained again replace the ones of the lost attempt, so a curve never
    runs backwards.
    """

    started: Started | None = None
    progress: Progress | None = None
    steps: list[Step] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    paused: bool = False
    stopped: Stopped | None = None

    def append(self, event: TrainingEvent) -> None:
        match event:
            case Started():
                self.started, self.progress, self.paused, self.stopped = event, None, False, None
                first_step = event.epoch * event.steps_per_epoch
                while self.steps and self.steps[-1].step > first_step:
                    self.steps.pop()
                while self.epochs and self.epochs[-1].epoch >= event.epoch:
                    self.epochs.pop()  # the last whole epoch is told again, in case it was never written
            case Progress():
                self.progress, self.stopped = event, None
            case Step():
                self.steps.append(event)
            case Epoch():
                self.epochs.append(event)
            case Paused():
                self.paused = event.paused
            case Stopped():
                self.stopped = event

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights are kept."""
        kept = [epoch for epoch in self.epochs if epoch.best]
        return kept[-1] if kept else None
