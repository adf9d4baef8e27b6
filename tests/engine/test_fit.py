"""The training loop on a few hundred small pictures: every promise of `fit`, in seconds."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from engine import zoo
from engine.data import DataSet, Split
from engine.data.augment import Augmentation
from engine.errors import EngineError
from engine.training import tasks
from engine.training.config import TrainingConfig
from engine.training.events import Epoch, History, Started, Step, Stopped, TrainingEvent
from engine.training.fit import fit, learning_rate_at

CONFIG = TrainingConfig(
    epochs=3, batch_size=32, learning_rate=0.01, augmentation="light", dropout=0.2, average_weights=0.9
)


def stripes(count: int, seed: int) -> Split:
    """Pictures that a network can learn at once: bars that lie (class 0) or stand (class 1), in noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    images = random.integers(0, 60, (count, 1, 28, 28))
    for image, label in zip(images, labels, strict=True):
        at = random.integers(6, 20)
        bar = image[0, at : at + 3, 4:24] if label == 0 else image[0, 4:24, at : at + 3]
        bar += 180
    return Split(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))


@pytest.fixture(scope="module")
def data() -> DataSet:
    return DataSet(
        name="stripes",
        classes=("lying", "standing"),
        train=stripes(256, 0),
        validation=stripes(64, 1),
        mean=(0.2,),
        std=(0.3,),
    )


def curve(events: list[TrainingEvent]) -> list[float]:
    return [event.loss for event in events if isinstance(event, Step)]


def test_a_run_learns_and_tells_of_it(data: DataSet, tmp_path: Path) -> None:
    events = list(fit(CONFIG, data, folder=tmp_path))
    assert isinstance(events[0], Started)
    assert events[0].steps_per_epoch == 8
    assert [event.epoch for event in events if isinstance(event, Epoch)] == [1, 2, 3]
    assert len(curve(events)) == 24
    end = events[-1]
    assert isinstance(end, Stopped) and end.reason == "finished"
    assert end.best_accuracy > 0.9
    card = zoo.read_card(tmp_path / "model.json")
    assert card.classes == data.classes
    assert card.metrics["validation accuracy"] == pytest.approx(end.best_accuracy)


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(data: DataSet) -> None:
    first = curve(list(fit(CONFIG, data)))
    assert curve(list(fit(CONFIG, data))) == first
    assert curve(list(fit(TrainingConfig(**{**CONFIG.values(), "seed": 1}), data))) != first


def test_a_run_that_was_killed_goes_on_along_the_same_curve(data: DataSet, tmp_path: Path) -> None:
    whole = list(fit(CONFIG, data, folder=tmp_path / "whole"))
    broken = tmp_path / "broken"
    history = History()
    for event in fit(CONFIG, data, folder=broken):
        history.append(event)
        if isinstance(event, Step) and event.step == 12:  # in the middle of the second epoch
            break
    rest = list(fit(CONFIG, data, folder=broken, resume=True))
    assert isinstance(rest[0], Started) and rest[0].epoch == 1
    for event in rest:
        history.append(event)
    assert [step.loss for step in history.steps] == curve(whole)
    expected = [(e.train_loss, e.validation_loss, e.best) for e in whole if isinstance(e, Epoch)]
    assert [(e.train_loss, e.validation_loss, e.best) for e in history.epochs] == expected
    assert (broken / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_stopping_keeps_what_was_learnt(data: DataSet, tmp_path: Path) -> None:
    seen: list[TrainingEvent] = []
    for event in fit(CONFIG, data, folder=tmp_path, stop=lambda: len(curve(seen)) >= 5):
        seen.append(event)
    assert isinstance(seen[-1], Stopped) and seen[-1].reason == "stopped"
    assert len(curve(seen)) == 5
    assert (tmp_path / "model.safetensors").exists()


def test_nan_ends_the_run_with_a_sentence_and_keeps_the_best_weights(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def poison(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return pictures * math.nan if steps > 12 else pictures

    monkeypatch.setitem(tasks.AUGMENTATIONS, "light", Augmentation("", "", poison))
    events = list(fit(CONFIG, data, folder=tmp_path))
    end = events[-1]
    assert isinstance(end, Stopped) and end.reason == "nan"
    assert "learning rate" in end.hint
    assert end.best_epoch == 1
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize(("limit", "kept"), [(20_000, False), (400_000, True)])
def test_a_full_disk_ends_the_run_with_a_sentence(data: DataSet, tmp_path: Path, limit: int, kept: bool) -> None:
    """The system itself refuses to write: the weights (about 230 kB), or only the checkpoint (about 700 kB)."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        end = list(fit(CONFIG, data, folder=tmp_path))[-1]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(end, Stopped) and end.reason == "disk"
    assert "could not be written" in end.message and end.hint
    assert (tmp_path / "model.safetensors").exists() is kept
    assert not list(tmp_path.glob(".*.tmp"))


def test_an_epoch_whose_end_was_never_written_is_told_again(data: DataSet, tmp_path: Path) -> None:
    whole = list(fit(CONFIG, data, folder=tmp_path / "whole"))
    history = History()
    for event in fit(CONFIG, data, folder=tmp_path / "run"):
        if isinstance(event, Epoch) and event.epoch == 2:
            break  # killed after the checkpoint, before the event was on the disk
        history.append(event)
    for event in fit(CONFIG, data, folder=tmp_path / "run", resume=True):
        history.append(event)
    expected = [(e.epoch, e.validation_loss) for e in whole if isinstance(e, Epoch)]
    assert [(e.epoch, e.validation_loss) for e in history.epochs] == expected


def test_weights_kept_by_a_stop_are_only_replaced_by_better_ones(data: DataSet, tmp_path: Path) -> None:
    steps: list[TrainingEvent] = []
    for event in fit(CONFIG, data, folder=tmp_path, stop=lambda: len(curve(steps)) >= 20):
        steps.append(event)
    card = zoo.read_card(tmp_path / "model.json")
    zoo.write_card(
        dataclasses.replace(card, metrics={"validation accuracy": 1.0, "validation loss": 0.0}), tmp_path / "model.json"
    )
    before = (tmp_path / "model.safetensors").read_bytes()
    rest = list(fit(CONFIG, data, folder=tmp_path, resume=True))
    assert [event.best for event in rest if isinstance(event, Epoch) and event.epoch == 3] == [False]
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_too_little_memory_ends_the_run_with_a_sentence(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 999 bytes")

    monkeypatch.setitem(tasks.AUGMENTATIONS, "light", Augmentation("", "", greedy))
    end = list(fit(CONFIG, data))[-1]
    assert isinstance(end, Stopped) and end.reason == "memory"
    assert "batch size" in end.hint


def test_a_run_can_start_from_the_weights_of_another(data: DataSet, tmp_path: Path) -> None:
    list(fit(CONFIG, data, folder=tmp_path))
    again = dataclasses.replace(CONFIG, start_from=str(tmp_path / "model.safetensors"), learning_rate=1e-7, epochs=1)
    epoch = next(event for event in fit(again, data) if isinstance(event, Epoch))
    assert epoch.validation_accuracy > 0.9
    other = dataclasses.replace(again, model="digits")
    for config in (other, dataclasses.replace(again, start_from=str(tmp_path / "absent.safetensors"))):
        with pytest.raises(EngineError, match="weights in"):
            list(fit(config, data))


def test_a_damaged_checkpoint_is_said_to_be_damaged(data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(EngineError, match="damaged"):
        list(fit(CONFIG, data, folder=tmp_path, resume=True))


def test_a_checkpoint_of_other_settings_is_refused(data: DataSet, tmp_path: Path) -> None:
    list(fit(CONFIG, data, folder=tmp_path, stop=lambda: (tmp_path / "checkpoint.pt").exists()))
    other = TrainingConfig(**{**CONFIG.values(), "learning_rate": 0.5})
    with pytest.raises(EngineError, match="settings have changed"):
        list(fit(other, data, folder=tmp_path, resume=True))


def test_a_missing_device_is_said_to_be_missing(data: DataSet) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(EngineError, match="no CUDA device"):
        list(fit(TrainingConfig(device="cuda"), data))


@pytest.mark.parametrize("schedule", [choice for choice, _ in TrainingConfig.describe()["schedule"].choices])
def test_schedules_stay_within_the_learning_rate(schedule: str) -> None:
    config = TrainingConfig(schedule=schedule, learning_rate=0.1)
    rates = [learning_rate_at(config, step / 100) for step in range(101)]
    assert all(0 <= rate <= 0.1 for rate in rates)
    assert max(rates) == pytest.approx(0.1)
    if schedule != "constant":
        assert rates[-1] < 0.01


def test_saved_weights_are_the_averaged_ones_and_finite(data: DataSet, tmp_path: Path) -> None:
    list(fit(CONFIG, data, folder=tmp_path))
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in weights.values())
    name = next(iter(weights))
    assert not torch.equal(weights[name], checkpoint["model"][name])
