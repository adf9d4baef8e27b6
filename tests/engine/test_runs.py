"""Runs as folders and processes: the real training program on a tiny data set, started, paused, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import EngineError
from engine.training import runs as runs_module
from engine.training.config import TrainingConfig
from engine.training.events import Epoch, History, Paused, Started, Step, Stopped, from_json, to_json
from engine.training.runs import Run, RunRecord, new_run

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], object], *, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of small pictures, in folders."""
    random = np.random.default_rng(0)
    for name, colour in (("red", (40, 40, 200)), ("blue", (200, 40, 40))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            image = np.clip(random.normal(colour, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "pictures" / name / f"{number}.png"), image)
    return tmp_path / "pictures"


def config_for(pictures: Path, **values: object) -> TrainingConfig:
    return TrainingConfig.from_mapping(
        {"data": "folder", "folder": str(pictures), "image_size": 32, "batch_size": 8, "augmentation": "none", **values}
    )


def read(run: Run) -> History:
    run.poll()
    return run.history


def test_events_survive_the_trip_through_json() -> None:
    events = [
        Started("cpu", "why", 10, 20, 5, ("a", "b"), 3, 4, 0, 0.0),
        Step(1, 0.1, float("nan"), 0.5, 0.01, 100.0, 0.1),
        Epoch(1, 4, 0.5, 0.6, 0.7, 0.8, True, 1.0),
        Paused(True, 2.0),
        Stopped("finished", "done", "", 1, 0.8, 3.0),
    ]
    for event in events:
        back = from_json(to_json(event))
        assert repr(back) == repr(event)
    assert from_json('{"event": "step", "st') is None
    assert from_json('{"event": "unheard of"}') is None


def test_history_after_a_resume_never_runs_backwards() -> None:
    history = History()
    start = Started("cpu", "", 1, 8, 2, ("a",), 3, 4, 0, 0.0)
    history.append(start)
    for step in range(1, 7):
        history.append(Step(step, step / 4, 1.0, 0.5, 0.1, 1.0, 0.0))
        if step == 4:
            history.append(Epoch(1, 4, 1, 0.5, 1, 0.5, True, 0.0))
    history.append(Started("cpu", "", 1, 8, 2, ("a",), 3, 4, 1, 0.0))
    assert [step.step for step in history.steps] == [1, 2, 3, 4]
    assert [epoch.epoch for epoch in history.epochs] == [1]
    assert history.best is not None and history.best.epoch == 1


def test_a_run_is_a_process_that_can_be_paused_and_stopped(pictures: Path) -> None:
    run = new_run(config_for(pictures, epochs=10_000), name="my run")
    assert run.name == "my-run"
    run.start()
    until(lambda: read(run).epochs)
    assert run.state == "training"
    run.command("pause")
    until(lambda: read(run).paused)
    assert run.state == "paused"
    steps = len(run.history.steps)
    run.poll()
    assert len(run.history.steps) == steps
    with pytest.raises(EngineError, match="training already"):
        Run(run.folder).start()
    run.command("resume")
    until(lambda: len(read(run).steps) > steps)
    run.command("stop")
    until(lambda: read(run).stopped and not run.alive)
    assert run.history.stopped is not None and run.history.stopped.reason == "stopped"
    assert run.state == "ended"
    assert run.model is not None
    assert [other.name for other in runs_module.runs()] == ["my-run"]


def test_cancel_leaves_nothing_behind(pictures: Path) -> None:
    run = new_run(config_for(pictures, epochs=10_000))
    run.start()
    until(lambda: read(run).epochs)
    run.command("cancel")
    until(lambda: read(run).stopped and not run.alive)
    assert run.model is None
    assert runs_module.runs() == []
    assert not run.folder.exists()


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_a_killed_run_says_so_and_goes_on_along_the_same_curve(pictures: Path, tmp_path: Path) -> None:
    config = config_for(pictures, epochs=6)
    whole = new_run(config, folder=tmp_path / "whole")
    whole.start()
    until(lambda: read(whole).stopped)

    run = new_run(config_for(pictures, epochs=6), folder=tmp_path / "killed")
    run.start()
    run.command("pause")  # holds it after some step, so that the kill falls inside the run
    until(lambda: read(run).paused)
    run.command("resume")
    until(lambda: len(read(run).epochs) >= 2)
    run.command("pause")
    until(lambda: read(run).paused or read(run).stopped)
    os.kill(json.loads((run.folder / "process.json").read_text())["pid"], signal.SIGKILL)
    until(lambda: not run.alive)
    if run.history.stopped is None:
        assert run.state == "interrupted"
        assert run.resumable
        with (run.folder / "events.jsonl").open("a") as file:
            file.write('{"event": "step", "step": 99')  # killed in the middle of a line
        run.start(resume=True)
    until(lambda: read(run).stopped and not run.alive)
    fresh = Run(run.folder)
    fresh.poll()
    assert fresh.history.stopped is not None and fresh.history.stopped.reason == "finished"
    assert [s.loss for s in fresh.history.steps] == [s.loss for s in whole.history.steps]
    assert [e.validation_loss for e in fresh.history.epochs] == [e.validation_loss for e in whole.history.epochs]


def test_the_run_outlives_the_process_that_started_it(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    new_run(config_for(pictures, epochs=10_000), folder=folder)
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from engine import Run; "
            "Run(Path(sys.argv[1])).start(); print('started', flush=True); time.sleep(600)",
            str(folder),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert starter.stdout is not None
    starter.stdout.readline()
    starter.kill()
    starter.wait()
    starter.stdout.close()
    run = Run(folder)
    until(lambda: read(run).epochs)
    assert run.alive
    run.command("stop")
    until(lambda: read(run).stopped and not run.alive)


def test_the_command_line_prints_one_event_a_line(pictures: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(config_for(pictures, epochs=1).to_toml())
    command = [sys.executable, "main.py", "train", str(recipe), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kinds = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert kinds[0] == "progress" and kinds[-1] == "stopped" and {"started", "step", "epoch"} <= set(kinds)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stdout == ""
    assert "holds a run already" in again.stderr


def test_a_folder_without_classes_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = new_run(config_for(tmp_path / "empty"))
    run.start()
    until(lambda: read(run).stopped and not run.alive)
    assert run.history.stopped is not None
    assert run.history.stopped.reason == "error"
    assert run.history.stopped.hint


def test_two_processes_never_train_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = RunRecord(tmp_path, since=0)
    monkeypatch.setattr(runs_module.os, "getpid", lambda: -1)  # as another process would see it
    with pytest.raises(EngineError, match="training already"):
        RunRecord(tmp_path, since=0)
    monkeypatch.undo()
    record.close()
    RunRecord(tmp_path, since=0).close()
