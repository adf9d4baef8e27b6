"""The training loop: `fit(config, data)` is a plain generator of events.

Enters a `TrainingConfig` and data whose pictures live as uint8 tensors on the device; they are augmented there in
whole batches, so no worker processes are needed (after cifar10-airbench, K. Jordan 2024). What is learnt from them,
classes or boxes, is the business of a `Task`. Leaves `TrainingEvent`s and, if a folder is given, `checkpoint.pt` after
each epoch and the best weights with their card.

Pausing is not asking for the next event. Every epoch seeds its own random choices from (seed, epoch), so a resumed
run sees exactly the batches, augmentations and dropout masks that an uninterrupted one would have seen.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import math
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from engine import store, zoo
from engine.data import DataSet
from engine.data.detection import SceneData
from engine.data.faces import FaceSet
from engine.errors import EngineError, WriteError
from engine.training.config import TrainingConfig
from engine.training.events import Epoch, Started, Step, Stopped, TrainingEvent
from engine.training.tasks import task_for
from engine.types import ModelCard

STEPS_SHOWN = 100  # `Step` events an epoch, at most: enough for a smooth curve, little enough to cost nothing
FIRST_STEPS_SHOWN = 20  # these one by one, so that a curve has points within the first second

_MAY_CHANGE = ("folder", "start_from", "device")  # settings that a resumed run may have otherwise
_NAN = (
    "The loss is no longer a number, so training has stopped.",
    "Lower the learning rate (a tenth is a good try); the best weights so far are kept.",
)


def fit(
    config: TrainingConfig,
    data: DataSet | SceneData | FaceSet,
    *,
    folder: Path | None = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[TrainingEvent]:
    """Train a network and tell of it; the last event is always a `Stopped`.

    Args:
        folder: where checkpoint, best weights and card go; None keeps nothing.
        resume: go on from the checkpoint in `folder`, if there is one.
        stop: asked before every step; True ends the run and keeps its best weights.
        clock: seconds; only differences within a step count, so pauses do not.

    Raises:
        EngineError: the device is not there or the data do not suit the network (before the first event). What goes
            wrong later (NaN loss, memory, disk) is the reason of the `Stopped` event.
    """
    device, why = choose_device(config.device)
    training: _Training | None = None
    try:
        going_on = resume and folder is not None and (folder / "checkpoint.pt").exists()
        training = _Training(config, data, device, start_from="" if going_on else config.start_from)
        if resume and folder is not None:
            training.load(folder)
        yield training.started(why)
        if training.last_epoch is not None:
            yield training.last_epoch
        yield from _epochs(training, folder, stop, clock)
    except WriteError as error:
        assert training is not None
        yield training.stopped("disk", error.message, error.hint)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        too_much = EngineError(
            "There was not enough memory for this network and batch size.",
            "Choose a smaller batch size or picture size.",
        )
        if training is None:
            raise too_much from error
        yield training.stopped("memory", too_much.message, f"{too_much.hint} The best weights so far are kept.")


def _epochs(
    training: _Training, folder: Path | None, stop: Callable[[], bool], clock: Callable[[], float]
) -> Iterator[TrainingEvent]:
    """From where `training` stands to the end, with a `Stopped` last."""
    epochs = training.config.epochs
    while training.epoch < epochs:
        for step in training.run_epoch(stop, clock):
            yield step
            if not math.isfinite(step.loss):
                yield training.stopped("nan", *_NAN)
                return
        stopped_early = training.unfinished
        if stopped_early and training.step == training.epoch * training.steps_per_epoch:
            break  # asked to stop between two epochs: there is nothing new to validate
        epoch = training.validate(clock)
        if not math.isfinite(epoch.validation_loss):
            yield epoch
            yield training.stopped("nan", *_NAN)
            return
        if folder is not None:
            if epoch.best:
                training.save_model(folder)
            if not stopped_early:
                training.save(folder)
        yield epoch
        if stopped_early:
            break
    if training.epoch < epochs:
        yield training.stopped("stopped", "Stopped as asked; the best weights are kept.", "")
    else:
        yield training.stopped("finished", f"Finished: {training.task.verdict(training.best_accuracy)}.", "")


def choose_device(wanted: str) -> tuple[torch.device, str]:
    """The device to train on and, in a few words, why.

    Raises:
        EngineError: a device was named that this machine does not have.
    """
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda"), torch.cuda.get_device_name()
    if wanted in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps"), "Apple GPU"
    if wanted in ("auto", "cpu"):
        why = "no CUDA device found" if wanted == "auto" else "as asked"
        return torch.device("cpu"), f"{why}, {torch.get_num_threads()} threads"
    raise EngineError(f"This machine has no {wanted.upper()} device.", "Set the device to “Best available”.")


def learning_rate_at(config: TrainingConfig, progress: float) -> float:
    """The learning rate where `progress` (0..1) of all steps are done.

    "one-cycle" rises linearly over the first quarter and falls along a cosine to nearly zero (after L. N. Smith and
    N. Topin 2018); being a function of progress alone, it has no state that a resume could lose.
    """
    peak = config.learning_rate
    match config.schedule:
        case "one-cycle":
            rise = 0.25
            if progress < rise:
                return peak * (0.04 + 0.96 * progress / rise)
            return peak * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))))
        case "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * progress))
        case "step":
            return peak * (1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01)
    return peak


class _Training:
    """Model, optimiser and where they stand; everything that a checkpoint holds."""

    def __init__(
        self, config: TrainingConfig, data: DataSet | SceneData | FaceSet, device: torch.device, *, start_from: str = ""
    ) -> None:
        self.task = task_for(config, data, device)
        torch.manual_seed(config.seed)
        self.config, self.data, self.device = config, data, device
        self.model = self.task.build()
        self.model.to(device).to(memory_format=torch.channels_last)
        if start_from:
            _start_from(Path(start_from), self.task.network(self.model), self.task.classes)
        self.averaged = copy.deepcopy(self.model) if config.average_weights else None
        self.optimiser = _optimiser(config, self.model)
        self.repeats = config.repeats if config.matters("repeats") else 1
        count = self.task.count * self.repeats
        self.batch_size = min(config.batch_size, count)
        # A last batch of one picture has no variance, which batch normalisation needs: leave it out.
        self.steps_per_epoch = max(1, count // self.batch_size + (count % self.batch_size > 1))
        self.epoch = 0  # whole epochs done
        self.step = 0
        self.seconds = 0.0
        self.unfinished = False  # the last epoch was broken off
        self.best_epoch, self.best_accuracy, self.best_loss = 0, 0.0, math.inf
        self.epoch_loss, self.epoch_accuracy = math.nan, math.nan
        self.last_epoch: Epoch | None = None  # the last whole one

    def started(self, why: str) -> Started:
        return Started(
            device=str(self.device),
            why=why,
            parameters=sum(p.numel() for p in self.model.parameters()),
            train_images=self.task.count,
            validation_images=self.task.validation_count,
            classes=self.task.classes,
            epochs=self.config.epochs,
            steps_per_epoch=self.steps_per_epoch,
            epoch=self.epoch,
            time=self.seconds,
            task=self.task.scored,
            skipped=len(self.data.skipped),
            first_skipped=self.data.skipped[0] if self.data.skipped else "",
        )

    def run_epoch(self, stop: Callable[[], bool], clock: Callable[[], float]) -> Iterator[Step]:
        """One pass over the training set; ends early, with `unfinished` set, when `stop` says so."""
        config = self.config
        seed = (config.seed * 1_000_003 + self.epoch * 7919 + 1) % 2**63
        torch.manual_seed(seed)  # dropout
        generator = torch.Generator(self.device).manual_seed(seed)
        shuffle = torch.Generator().manual_seed(seed)
        passes = [torch.randperm(self.task.count, generator=shuffle) for _ in range(self.repeats)]
        order = torch.cat(passes).to(self.device)
        total = config.epochs * self.steps_per_epoch
        every = max(1, self.steps_per_epoch // STEPS_SHOWN)
        sums = torch.zeros(4, device=self.device)  # loss and score since the last event; of the whole epoch
        shown_steps, shown_pictures, shown_seconds, epoch_pictures = 0, 0, 0.0, 0
        self.model.train()
        self.unfinished = False
        for index in range(self.steps_per_epoch):
            if stop():
                self.unfinished = True
                break
            began = clock()
            rate = learning_rate_at(config, self.step / total)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
            answer = self.task.loss(self.model, chosen, generator, progress=self.step / total)
            self.optimiser.zero_grad(set_to_none=True)
            answer.loss.backward()
            self.optimiser.step()
            self.step += 1
            self._average()
            with torch.no_grad():
                now = torch.stack([answer.loss.detach(), answer.score]) * len(chosen)
                sums += torch.cat([now, now])
            shown_steps += 1
            shown_pictures += len(chosen)
            epoch_pictures += len(chosen)
            showing = shown_steps >= every or self.step <= FIRST_STEPS_SHOWN or index + 1 == self.steps_per_epoch
            mean_loss, accuracy = (sums[:2] / shown_pictures).tolist() if showing else (0.0, 0.0)
            if showing:
                self.epoch_loss, self.epoch_accuracy = (sums[2:] / epoch_pictures).tolist()
            took = clock() - began
            self.seconds += took
            shown_seconds += took
            if showing:
                yield Step(
                    step=self.step,
                    epoch=self.step / self.steps_per_epoch,
                    loss=mean_loss,
                    accuracy=accuracy,
                    learning_rate=rate,
                    images_per_second=shown_pictures / max(shown_seconds, 1e-9),
                    time=self.seconds,
                )
                sums[:2] = 0
                shown_steps, shown_pictures, shown_seconds = 0, 0, 0.0

    def validate(self, clock: Callable[[], float]) -> Epoch:
        """Close the epoch: measure the weights that would be kept, and whether they are the best so far."""
        began = clock()
        loss, accuracy = self.task.evaluate(self.kept_model)
        self.seconds += clock() - began
        number = self.epoch + 1
        best = math.isfinite(loss) and (accuracy, -loss) >= (self.best_accuracy, -self.best_loss)
        if best:
            self.best_epoch, self.best_accuracy, self.best_loss = number, accuracy, loss
        said = Epoch(
            epoch=number,
            step=self.step,
            train_loss=self.epoch_loss,
            train_accuracy=self.epoch_accuracy,
            validation_loss=loss,
            validation_accuracy=accuracy,
            best=best,
            time=self.seconds,
        )
        if not self.unfinished:
            self.epoch, self.last_epoch = number, said
        return said

    @property
    def kept_model(self) -> nn.Module:
        return self.averaged if self.averaged is not None else self.model

    def stopped(self, reason: Any, message: str, hint: str) -> Stopped:
        return Stopped(reason, message, hint, self.best_epoch, self.best_accuracy, self.seconds)

    def _average(self) -> None:
        """Exponential moving average of the weights, with a short memory at first so that the start is forgotten."""
        if self.averaged is None:
            return
        decay = min(self.config.average_weights, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.averaged.parameters()), [p.detach() for p in self.model.parameters()], 1 - decay
            )
            for kept, current in zip(self.averaged.buffers(), self.model.buffers(), strict=True):
                if kept.is_floating_point():
                    kept.lerp_(current, 1 - decay)
                else:
                    kept.copy_(current)

    def save_model(self, folder: Path) -> None:
        """Write the weights that are kept, and the card that makes them a model of the zoo."""
        weights = {
            name: value.detach().cpu().contiguous()
            for name, value in self.task.network(self.kept_model).state_dict().items()
            if not name.endswith("num_batches_tracked")  # only training needs it
        }
        # Made in memory first: on a full disk the libraries' own writers raise errors of their own.
        data = safetensors.torch.save(weights)
        store.replace_file(folder / "model.safetensors", lambda temporary: temporary.write_bytes(data))
        zoo.write_card(self.card(folder), folder / "model.json")

    def card(self, folder: Path) -> ModelCard:
        config, task = self.config, self.task
        return ModelCard(
            name=folder.name,
            title=folder.name,
            task=task.name,
            architecture=config.model,
            arguments=task.arguments,
            classes=task.classes,
            weights=folder / "model.safetensors",
            parameters=sum(p.numel() for p in task.network(self.model).parameters()),
            metrics={task.measure: self.best_accuracy, "validation loss": self.best_loss},
            notes=f"Trained on {self.data.name}, epoch {self.best_epoch} of {config.epochs}.",
            recipe=config.to_toml(),
            licence="yours",
            origin="trained",
            **task.card(),
        )

    def save(self, folder: Path) -> None:
        """Write the checkpoint: what is needed to go on after the last whole epoch."""
        state = {
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": {
                name: getattr(self, name)
                for name in ("epoch", "step", "seconds", "best_epoch", "best_accuracy", "best_loss")
            },
            "last_epoch": None if self.last_epoch is None else dataclasses.asdict(self.last_epoch),
            "config": {k: v for k, v in dataclasses.asdict(self.config).items() if k not in _MAY_CHANGE},
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        store.replace_file(folder / "checkpoint.pt", lambda temporary: temporary.write_bytes(buffer.getbuffer()))

    def load(self, folder: Path) -> None:
        """Go back to where the checkpoint in `folder` stands, if there is one."""
        path = folder / "checkpoint.pt"
        if path.exists():
            self._load(path)
        with contextlib.suppress(EngineError):
            # Weights kept after the checkpoint (the run was stopped within an epoch) are only replaced by better ones.
            kept = zoo.read_card(folder / "model.json").metrics
            accuracy, loss = kept.get(self.task.measure, 0.0), kept.get("validation loss", math.inf)
            if (accuracy, -loss) > (self.best_accuracy, -self.best_loss):
                self.best_epoch, self.best_accuracy, self.best_loss = self.epoch + 1, accuracy, loss

    def _load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if any(getattr(self.config, k) != v for k, v in state["config"].items()):
                raise EngineError(
                    "The settings have changed since this run began, so it cannot go on.",
                    "Start a new run with the new settings.",
                )
            self.model.load_state_dict(state["model"])
            if self.averaged is not None:
                self.averaged.load_state_dict(state["averaged"])
            self.optimiser.load_state_dict(state["optimiser"])
            for name, value in state["progress"].items():
                setattr(self, name, value)
            self.last_epoch = None if state["last_epoch"] is None else Epoch(**state["last_epoch"])
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
            raise EngineError(
                f"The checkpoint {path.name} is damaged, so the run cannot go on from it.",
                "Start the run anew; its best weights so far are still in its folder.",
            ) from error


def _start_from(path: Path, model: nn.Module, classes: tuple[str, ...]) -> None:
    """Take the weights in a file wherever the network has some of that name and shape.

    Where the card beside the file names other classes, those that both have keep what is known of them.
    """
    try:
        weights = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise EngineError(
            f"The run cannot start from the weights in {path.name}.",
            f"It must be a .safetensors file ({str(error).splitlines()[0]}).",
        ) from error
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if not any(value.ndim > 1 for value in fitting.values()):
        raise EngineError(
            f"The weights in {path.name} belong to another network.", "Choose the network that they were trained for."
        )
    known: tuple[str, ...] = ()
    with contextlib.suppress(EngineError):  # it is weights alone
        known = zoo.read_card(path.with_suffix(".json")).classes
    common = [name for name in classes if name in known]
    if common and len(known) != len(classes):
        mine, theirs = ([each.index(name) for name in common] for each in (classes, known))
        for name, value in weights.items():
            rows = own.get(name)
            # Of two networks of one architecture only the layers of the classes differ in shape.
            if rows is None or rows.shape == value.shape or value.ndim != rows.ndim:
                continue
            if len(rows) == len(classes) and len(value) == len(known) and rows.shape[1:] == value.shape[1:]:
                rows = rows.clone()
                rows[mine] = value[theirs].to(rows)
                fitting[name] = rows
    model.load_state_dict(fitting, strict=False)


def _optimiser(config: TrainingConfig, model: nn.Module) -> torch.optim.Optimizer:
    # Decaying biases and the scales of normalisation only hurts (He et al. 2019, "Bag of tricks").
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate, fused=True)
