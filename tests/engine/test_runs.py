"""Runs as folders and processes: the real training program on a tiny data set, started, paused, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine import data as data_module
from engine.concurrency import Worker
from engine.data import DataSet, Split
from engine.errors import EngineError
from engine.training import program
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
    assert from_json(to_json(events[1]).replace("0.5", '"half"')) is None
    assert from_json(to_json(events[-1]).replace("finished", "bored")) is None
    assert from_json("[" * 100_000) is None


def test_history_after_a_resume_never_runs_backwards() -> None:
    history = History()
    start = Started("cpu", "", 1, 8, 2, ("a",), 3, 4, 0, 0.0)
    history.append(start)
    for step in range(1, 7):
        history.append(Step(step, step / 4, 1.0, 0.5, 0.1, 1.0, 0.0))
        if step == 4:
            history.append(Epoch(1, 4, 1, 0.5, 1, 0.5, True, 0.0))
    history.append(Started("cpu", "", 1, 8, 2, ("a",), 3, 4, 1, 0.0))
    history.append(Epoch(1, 4, 1, 0.5, 1, 0.5, True, 0.0))  # told again
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
    config = config_for(pictures, epochs=40)
    whole = new_run(config, folder=tmp_path / "whole")
    whole.start()
    until(lambda: read(whole).stopped)

    run = new_run(config, folder=tmp_path / "killed")
    run.start()
    until(lambda: len(read(run).epochs) >= 2)
    run.command("pause")  # holds it after some step, so that the kill falls inside the run
    until(lambda: read(run).paused)
    os.kill(json.loads((run.folder / "process.json").read_text())["pid"], signal.SIGKILL)
    until(lambda: not run.alive)
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


def test_two_processes_never_train_in_one_folder(tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    assert Run(tmp_path).alive
    with pytest.raises(EngineError, match="training already"):
        RunRecord(tmp_path)
    record.close()
    assert not Run(tmp_path).alive
    RunRecord(tmp_path).close()


def test_nonsense_in_the_files_of_a_run_is_passed_over(tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    for line in ("null", "[]", "3", '{"command": []}', '{"command": "fly"}', "[" * 100_000, '{"command": "stop"}'):
        with (tmp_path / "commands.jsonl").open("a") as file:
            file.write(line + "\n")
    assert record.commands() == ["stop"]
    record.close()
    (tmp_path / "process.json").write_text('{"pid": "a"}')
    assert not Run(tmp_path).alive


def test_commands_meant_for_an_earlier_process_do_not_count(tmp_path: Path) -> None:
    Run(tmp_path).command("cancel")
    record = RunRecord(tmp_path)
    Run(tmp_path).command("pause")
    assert record.commands() == ["pause"]
    record.close()


def test_a_run_takes_no_name_of_a_bundled_model() -> None:
    assert (ROOT / "resources" / "models" / "digits.json").exists()
    assert new_run(TrainingConfig(), name="digits").name == "digits-2"


def test_a_finished_run_is_not_trained_over_by_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run(TrainingConfig(), folder=tmp_path / "run")
    (run.folder / "events.jsonl").write_text(to_json(Stopped("finished", "", "", 1, 0.9, 1.0)) + "\n")
    assert program.main([str(run.folder / "run.toml"), "--out", str(run.folder)]) == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(("data", "classes"), [("synthetic-digits", "person"), ("folder", " , ")])
def test_classes_that_have_no_say_or_name_nothing_leave_all(
    data: str, classes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A form keeps what was typed into a field that another choice has hidden since."""
    split = Split(torch.zeros((4, 1, 28, 28), dtype=torch.uint8), torch.arange(4) % 2)
    small = DataSet(data, ("a", "b"), split, split, (0.5,), (0.5,), skipped=("b/broken.png", "b/empty.png"))
    monkeypatch.setitem(data_module.DATASETS, data, data_module.Entry("", "", lambda folder, **_: small))
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    run = new_run(TrainingConfig(data=data, classes=classes, epochs=1), folder=tmp_path / "run")
    assert program.main([str(run.folder / "run.toml"), "--out", str(run.folder)]) == 0
    assert capsys.readouterr().err == "Left out, since it cannot be read (2): b/broken.png\n"
    started = read(run).started
    assert started is not None and started.classes == ("a", "b")


def test_loading_tells_how_far_it_is_and_a_pause_meanwhile_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program in this process, with a data set that takes its time."""
    run = new_run(TrainingConfig(epochs=1, batch_size=2, augmentation="none"), folder=tmp_path / "run")

    def slow(
        folder: Path | None, *, progress: Callable[[str, float], None], cancelled: Callable[[], bool], **_: object
    ) -> DataSet:
        run.command("pause")
        for part in range(20):
            cancelled()
            progress("Reading the pictures", part / 20)
            time.sleep(0.02)  # stands for work
        images = torch.randint(0, 255, (8, 1, 28, 28), dtype=torch.uint8)
        split = Split(images, torch.arange(8) % 2)
        return DataSet(name="slow", classes=("a", "b"), train=split, validation=split, mean=(0.5,), std=(0.5,))

    monkeypatch.setitem(data_module.DATASETS, "synthetic-digits", data_module.Entry("", "", slow))
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    seen: list[bool] = []

    def let_go_on(stop: threading.Event) -> None:
        until(lambda: read(run).started is not None and run.history.paused)
        seen.append(not run.history.steps or run.state == "paused")
        run.command("resume")

    viewer = Worker("viewer", let_go_on).start()
    assert program.main([str(run.folder / "run.toml"), "--out", str(run.folder), "--heed-from", "0"]) == 0
    assert viewer.stop()
    assert seen == [True]
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(0 < event["share"] < 1 for event in said if event["event"] == "progress")


def test_a_module_of_ones_own_in_the_working_folder_does_no_harm(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    run = new_run(config_for(Path("pictures"), epochs=1))
    assert run.config().folder == str(pictures)
    run.start()
    until(lambda: read(run).stopped or not run.alive)
    assert run.history.stopped is not None and run.history.stopped.reason == "finished"
