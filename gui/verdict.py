"""What the curves of a run say, in plain words: where it stands, what to know, how long it will take.

In goes a `History`, out come sentences and numbers; nothing here draws.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path

from engine import History, Started, Step, TrainingConfig

GONE_WRONG = ("nan", "memory", "disk", "error")  # reasons to stop that nobody asked for


def what_happens(history: History, state: str, config: TrainingConfig | None, *, asked: str = "") -> tuple[str, str]:
    """A headline and a remark in plain words about where a run stands.

    `state` is `Run.state`; `asked` is a command that the run has not answered yet.
    """
    started, stopped, epochs = history.started, history.stopped, history.epochs
    now, total = current_epoch(history), started.epochs if started else 0
    skill = _skill(history)
    if asked in ("stop", "cancel") and state != "ended":
        ending = "the best network so far is kept." if asked == "stop" else "nothing will be kept."
        return "Stopping…", f"The run ends at its next step; {ending}"
    if state == "preparing":
        if history.progress is None:
            return "Starting the training process…", "The first start takes a few seconds."
        share = history.progress.share
        done = f" ({share:.0%})" if 0 < share < 1 else ""
        return f"{history.progress.what.rstrip('.…')}…{done}", "Training begins when the pictures are ready."
    if state == "interrupted":
        if started is None:
            return (
                "The training process ended before it began to train.",
                "The details below tell what it said last. Resume starts it once more.",
            )
        whole = [epoch.epoch for epoch in epochs if epoch.step >= epoch.epoch * started.steps_per_epoch]
        go_on = f"goes on after epoch {whole[-1]}, the last whole one." if whole else "starts it from the beginning."
        return f"The training process ended unexpectedly in epoch {max(1, now)} of {total}.", f"Resume {go_on}"
    if state == "ended" and stopped is not None:
        if stopped.reason in GONE_WRONG:
            return stopped.message, stopped.hint
        if not skill:
            return stopped.message, stopped.hint or "There is no network to keep."
        done = "Finished" if stopped.reason == "finished" else f"Stopped in epoch {max(1, now)} of {total}"
        return f"{done}: the network {skill}.", diagnosis(history, ended=True) or _setting(history)
    if state == "paused":
        return f"Paused in epoch {max(1, now)} of {total}.", "Nothing is lost; Resume goes on where it stands."
    if started is None or not history.steps:
        return "The pictures are ready; the first step is next.", _setting(history)
    left = seconds_left(history)
    rest = f"; {duration(left)} left" if left is not None else ""
    if not skill:
        far = percent(history.steps[-1].accuracy)
        so_far = f"it read {far} of the last pictures correctly"
        if _task(history) == "detection":
            so_far = f"its boxes overlap the real ones by {far}"
        elif _task(history) == "tags":
            so_far = f"the class that it was surest of was in {far} of the last pictures"
        elif _task(history) == "faces":
            so_far = f"it knew {far} of the last faces again"
        return f"Epoch 1 of {total}: {so_far}{rest}.", _setting(history)
    return f"Epoch {now} of {total}: the network {skill}{rest}.", diagnosis(history) or _setting(history)


def in_the_background(history: History, state: str, config: TrainingConfig | None, *, name: str) -> tuple[str, float]:
    """A sentence for the status bar about the run `name` while it trains, and the share of it that is done, 0..1."""
    sentence = f"Training {data_title(config) or name}"
    total = history.started.epochs if history.started else 0
    if state == "paused":
        sentence += ": paused"
    elif state == "preparing" or not total:
        sentence += ": preparing"
    else:
        sentence += f": epoch {max(1, current_epoch(history))} of {total}"
        left = seconds_left(history)
        sentence += f", {duration(left)} left" if left is not None else ""
    return sentence, round(share_done(history), 2)


def diagnosis(history: History, *, ended: bool = False) -> str:
    """The one thing about these curves that a person should know, or ""."""
    epochs, best = history.epochs, history.best
    if len(history.steps) >= 60:
        first, last = _mean_loss(history.steps, 10), _mean_loss(reversed(history.steps), 20)
        if last > 1.3 * first:
            return "The loss is rising: a smaller learning rate should help."
        if last > 0.97 * first:
            return "The loss is not falling: try a learning rate ten times smaller, or ten times larger."
    if not epochs or best is None:
        return ""
    newest = epochs[-1]
    # A mean overlap and a mean average precision are not, nor are people who are known and those who are not.
    comparable = _task(history) == "classification"
    if comparable and len(epochs) >= 2 and newest.train_accuracy - newest.validation_accuracy > 0.05:
        return (
            f"It knows the pictures that it learns from much better ({percent(newest.train_accuracy)}) than new ones "
            f"({percent(newest.validation_accuracy)}): it overfits. More augmentation or dropout helps."
        )
    behind = newest.epoch - best.epoch
    if behind >= 3 and behind >= 0.2 * newest.epoch:
        return f"No better since epoch {best.epoch}, whose weights are the ones kept."
    if ended and behind:
        return f"Kept are the weights of epoch {best.epoch}, the best."
    if len(epochs) >= 2 and best is newest:
        gain = newest.validation_accuracy - epochs[-2].validation_accuracy
        if gain > 0.002:
            before = percent(epochs[-2].validation_accuracy)
            if ended:
                return f"It was still getting better (up from {before} an epoch earlier): more epochs may help."
            return f"Still getting better: up from {before} an epoch earlier."
    return ""


def _mean_loss(steps: Iterable[Step], count: int) -> float:
    """Of the first `count` steps whose loss is a number; a run is long, so the others are not looked at."""
    losses = list(itertools.islice((step.loss for step in steps if math.isfinite(step.loss)), count))
    return sum(losses) / len(losses) if losses else math.nan


def current_epoch(history: History) -> int:
    """Number of the epoch that is being trained, 0 before the first step."""
    if not history.steps:
        return 0
    return max(1, math.ceil(history.steps[-1].epoch - 1e-6))


def share_done(history: History) -> float:
    """Share of all steps that have been taken."""
    started = history.started
    if started is None or not history.steps:
        return 0.0
    return min(1.0, history.steps[-1].step / max(1, started.epochs * started.steps_per_epoch))


def seconds_left(history: History) -> float | None:
    """How long the run will go on at its present pace; None while that is not known."""
    started, steps = history.started, history.steps
    if started is None or len(steps) < 8:
        return None
    # The pace of about one epoch: validation is in it, and a machine that got busy shows soon.
    newest, older = steps[-1], steps[max(2, len(steps) - 110)]
    if newest.step <= older.step or newest.time <= older.time:
        return None
    pace = (newest.time - older.time) / (newest.step - older.step)
    return max(0.0, (started.epochs * started.steps_per_epoch - newest.step) * pace)


def percent(share: float) -> str:
    """0.987 → "98.7 %"; with two decimals where they begin to matter."""
    if not math.isfinite(share):
        return "–"
    return f"{100 * share:.{2 if 0.98 <= share < 1 else 1}f}\u00a0%"


def duration(seconds: float) -> str:
    """42 s, 3 min 20 s, 1 h 12 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}\u00a0s"
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60}\u00a0s" if whole < 600 else f"{round(whole / 60)}\u00a0min"
    return f"{whole // 3600}\u00a0h {whole % 3600 // 60}\u00a0min"


def data_title(config: TrainingConfig | None) -> str:
    """What people call the data set of a config."""
    if config is None:
        return ""
    title = dict(TrainingConfig.describe()["data"].choices).get(config.data, config.data)
    if config.data in ("folder", "coco") and config.folder:
        return Path(config.folder).name
    return title.split(" (")[0]


def _skill(history: History) -> str:
    """ "reads 98.7 % of digits it has never seen", of the newest whole epoch, or of the best when it has ended."""
    shown = history.best if history.stopped is not None else (history.epochs[-1] if history.epochs else None)
    if shown is None:
        return ""
    if _task(history) == "faces":
        return f"judges {percent(shown.validation_accuracy)} of pairs of people it has never seen rightly"
    if _task(history) in ("detection", "tags"):
        return f"reaches a mean average precision of {percent(shown.validation_accuracy)} on pictures it has never seen"
    classes = history.started.classes if history.started else ()
    digits = set(map(str, range(10))) <= set(classes)
    verb, what = ("reads", "digits") if digits else ("recognises", "pictures")
    return f"{verb} {percent(shown.validation_accuracy)} of {what} it has never seen"


def _task(history: History) -> str:
    return history.started.task if history.started is not None else "classification"


def _setting(history: History) -> str:
    started = history.started
    if started is None:
        return ""
    where = "the processor" if started.device == "cpu" else f"{started.why or started.device}"
    return (
        f"It learns from {started.train_images:,} pictures and is tested on {started.validation_images:,} others; "
        f"{started.parameters:,} weights, on {where}.{_left_out(started)}"
    )


def _left_out(started: Started) -> str:
    if not started.skipped:
        return ""
    pictures = "picture was" if started.skipped == 1 else "pictures were"
    example = started.first_skipped.rstrip(".")
    return f" {started.skipped:,} {pictures} left out ({example}{', …' if started.skipped > 1 else ''})."
