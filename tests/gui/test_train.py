"""The training panel with the real program: started from the form, watched, paused, killed, resumed, thrown away."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QLabel, QMessageBox, QPushButton
from pytestqt.qtbot import QtBot

from engine import EngineError, Epoch, Run, Started, Step, Stopped, TrainingConfig, TrainingEvent, new_run
from engine.training.events import to_json
from gui.panels.train import TrainPanel

LONG = 120_000  # milliseconds: a process that loads torch on a busy machine


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of small pictures, in folders."""
    random = np.random.default_rng(0)
    for name, colour in (("red", (40, 40, 200)), ("blue", (200, 40, 40))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(30):
            image = np.clip(random.normal(colour, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "pictures" / name / f"{number}.png"), image)
    return tmp_path / "pictures"


@pytest.fixture
def endless(pictures: Path) -> TrainingConfig:
    """A run that goes on until somebody ends it, with short epochs."""
    return TrainingConfig(
        data="folder", folder=str(pictures), image_size=32, batch_size=8, augmentation="none", epochs=10_000
    )


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children()}
    yield
    for child in psutil.Process().children():
        if child.pid not in before and "engine.training" in child.cmdline():
            child.kill()
            child.wait()


@pytest.fixture
def panel(qtbot: QtBot) -> TrainPanel:
    return open_panel(qtbot)


def open_panel(qtbot: QtBot) -> TrainPanel:
    panel = TrainPanel()
    qtbot.addWidget(panel)
    panel.resize(1240, 560)
    panel.show()
    qtbot.waitUntil(lambda: panel._search is not None and not panel._search.alive, timeout=LONG)
    return panel


def begin(panel: TrainPanel, qtbot: QtBot, config: TrainingConfig) -> Run:
    panel.form.set_value(config)
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._active() is not None, timeout=LONG)
    run = panel.shown
    assert run is not None
    return run


def first_epoch(panel: TrainPanel, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: len(panel.curves.points.epochs("epoch")) >= 1, timeout=LONG)


def ended(panel: TrainPanel, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: panel._active() is None, timeout=LONG)


def answer(panel: TrainPanel, qtbot: QtBot, text: str) -> None:
    """Press a button of the question that is open."""
    qtbot.waitUntil(lambda: any(box.isVisible() for box in panel.findChildren(QMessageBox)), timeout=LONG)
    box = next(box for box in panel.findChildren(QMessageBox) if box.isVisible())
    qtbot.mouseClick(next(b for b in box.findChildren(QPushButton) if b.text() == text), Qt.MouseButton.LeftButton)


def kill(run: Run) -> None:
    """What `kill -9` does."""
    psutil.Process(json.loads((run.folder / "process.json").read_text())["pid"]).kill()


def write_run(name: str, events: list[TrainingEvent], home: Path, *, config: TrainingConfig | None = None) -> Run:
    run = new_run(config or TrainingConfig(), folder=home / "runs" / name)
    (run.folder / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in events))
    return run


def some_events(*, last: Stopped | None = None) -> list[TrainingEvent]:
    events: list[TrainingEvent] = [
        Started("cpu", "no CUDA device found", 1000, 640, 100, tuple("0123456789"), 4, 20, 0, 0.0)
    ]
    for number in range(1, 31):
        events.append(Step(number, number / 20, 2.3 * 0.97**number, 0.5, 0.01, 1000.0, number * 0.5))
        if number == 20:
            events.append(Epoch(1, 20, 0.9, 0.8, 0.7, 0.85, True, 10.0))
    return [*events, last] if last else events


def test_the_empty_panel_says_what_to_do(panel: TrainPanel) -> None:
    shown = " ".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())
    assert "Press Start training" in shown and f"{TrainingConfig().epochs} times" in shown
    panel.form.set_values({"epochs": 1, "data": "mnist"})
    shown = " ".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())
    assert "“MNIST” once" in shown
    assert not panel.pause_button.isVisible() and not panel.delete_button.isVisible()


def test_synthetic_digits_from_the_form(panel: TrainPanel, qtbot: QtBot) -> None:
    """The offline default: points while it trains; then it is stopped, and what it has learned is kept."""
    panel.form.set_values({"epochs": 2})
    told: list[tuple[str, float]] = []
    panel.background.connect(lambda *said: told.append(said))
    run = begin(panel, qtbot, panel.form.value())
    assert run.name == "synthetic-digits-1"
    qtbot.waitUntil(lambda: len(panel.curves.points) >= 3, timeout=LONG)
    assert "of 2" in panel.facts["Epoch"].findChildren(QLabel)[1].text()
    with qtbot.waitSignal(panel.model_ready, timeout=LONG) as ready:
        qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
        assert not panel.stop_button.isEnabled() and panel.headline.text() == "Stopping…"
    assert ready.args == ["synthetic-digits-1"]
    ended(panel, qtbot)
    assert run.model is not None
    assert panel.headline.text().startswith("Stopped in epoch ") and "digits it has never seen" in panel.headline.text()
    assert any("Synthetic digits" in sentence and share >= 0 for sentence, share in told)
    assert told[-1] == ("", -1.0)
    with qtbot.waitSignal(panel.use_model) as used:
        qtbot.mouseClick(panel.use_button, Qt.MouseButton.LeftButton)
    assert used.args == ["synthetic-digits-1"]


def test_a_run_to_its_end(panel: TrainPanel, qtbot: QtBot, pictures: Path) -> None:
    config = TrainingConfig(data="folder", folder=str(pictures), image_size=32, batch_size=16, epochs=2)
    run = begin(panel, qtbot, config)
    ended(panel, qtbot)
    assert run.history.stopped is not None and run.history.stopped.reason == "finished", run.last_words()
    assert panel.headline.text().startswith("Finished: the network recognises ")
    assert len(panel.curves.points) == len(run.history.steps) > 0
    assert len(panel.curves.points.epochs("epoch")) == 2
    assert not panel.pause_button.isVisible() and not panel.cancel_button.isVisible()
    item = panel.list.item(0)
    assert "finished" in item.data(Qt.ItemDataRole.AccessibleTextRole)


def test_pause_resume_and_a_killed_process(panel: TrainPanel, qtbot: QtBot, endless: TrainingConfig) -> None:
    run = begin(panel, qtbot, endless)
    first_epoch(panel, qtbot)
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: run.history.paused and panel.pause_button.text() == "Resume", timeout=LONG)
    assert panel.headline.text().startswith("Paused in epoch ")
    steps = len(run.history.steps)
    qtbot.waitUntil(panel.pause_button.isEnabled, timeout=LONG)
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(run.history.steps) > steps + 5, timeout=LONG)

    with qtbot.waitSignal(panel.notice, timeout=LONG) as notice:
        kill(run)
    assert notice.args is not None and isinstance(notice.args[0], EngineError)
    assert "ended unexpectedly" in notice.args[0].message
    assert "ended unexpectedly" in panel.headline.text() and "Resume" in panel.remark.text()
    assert panel.details.isVisible() and panel.pause_button.text() == "Resume"
    panel.details.click()
    assert panel.last_words.isVisible() and panel.last_words.toPlainText()
    done = run.history.epochs[-1].epoch
    qtbot.mouseClick(panel.pause_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(run.history.epochs) and run.history.epochs[-1].epoch > done + 1, timeout=LONG)
    assert run.history.started is not None and run.history.started.epoch >= done  # not from the beginning
    numbers = list(panel.curves.points.steps("step"))
    assert numbers == sorted(set(numbers))  # the same curve goes on
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    ended(panel, qtbot)


def test_cancel_and_discard_asks_first(panel: TrainPanel, qtbot: QtBot, endless: TrainingConfig) -> None:
    run = begin(panel, qtbot, endless)
    first_epoch(panel, qtbot)
    qtbot.mouseClick(panel.cancel_button, Qt.MouseButton.LeftButton)
    answer(panel, qtbot, "Go on training")
    assert run.alive
    panel.cancel()  # as the status bar's cross does
    answer(panel, qtbot, "Cancel and discard")
    qtbot.waitUntil(lambda: not run.folder.exists(), timeout=LONG)
    qtbot.waitUntil(lambda: panel.list.count() == 0, timeout=LONG)
    assert panel.shown is None and panel.empty.isVisible()


def test_a_second_run_waits_for_the_first_to_stop(panel: TrainPanel, qtbot: QtBot, endless: TrainingConfig) -> None:
    first = begin(panel, qtbot, endless)
    first_epoch(panel, qtbot)
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    answer(panel, qtbot, "Let it train")
    assert first.alive and panel.list.count() == 1
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    answer(panel, qtbot, "Stop it and start the new one")
    qtbot.waitUntil(lambda: panel.shown is not None and panel.shown.name == "pictures-2", timeout=LONG)
    assert first.history.stopped is not None and first.model is not None
    first_epoch(panel, qtbot)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    ended(panel, qtbot)


def test_a_new_window_finds_the_run_that_still_trains(panel: TrainPanel, qtbot: QtBot, endless: TrainingConfig) -> None:
    run = begin(panel, qtbot, endless)
    first_epoch(panel, qtbot)
    other = open_panel(qtbot)
    qtbot.waitUntil(lambda: other.shown is not None, timeout=LONG)
    assert other.shown is not None and other.shown.name == run.name
    first_epoch(other, qtbot)
    points = len(other.curves.points)
    qtbot.waitUntil(lambda: len(other.curves.points) > points, timeout=LONG)
    qtbot.mouseClick(other.stop_button, Qt.MouseButton.LeftButton)
    ended(other, qtbot)
    ended(panel, qtbot)  # the first window sees it as well
    assert panel.headline.text().startswith("Stopped")


def test_a_run_that_cannot_begin_says_why(panel: TrainPanel, qtbot: QtBot, tmp_path: Path) -> None:
    with qtbot.waitSignal(panel.notice, timeout=LONG) as notice:
        begin(panel, qtbot, TrainingConfig(data="folder", folder=str(tmp_path / "nowhere")))
    assert notice.args is not None
    assert panel.headline.text() == notice.args[0].message
    assert panel.remark.text() == notice.args[0].hint
    assert panel.details.isVisible() and not panel.use_button.isEnabled()


def test_a_wrong_setting_starts_nothing(panel: TrainPanel, qtbot: QtBot, own_home: Path) -> None:
    panel.form.set_values({"seed": -1})
    qtbot.mouseClick(panel.start_button, Qt.MouseButton.LeftButton)
    assert "Seed" in panel.form.error_of("seed")
    assert panel._starter is None and not (own_home / "runs").exists()


def test_runs_of_earlier_days(qtbot: QtBot, own_home: Path) -> None:
    write_run("a", some_events(), own_home, config=TrainingConfig(epochs=4, seed=7))
    bad = Stopped("memory", "There was not enough memory.", "Choose a smaller batch size.", 1, 0.85, 15.0)
    write_run("b", some_events(last=bad), own_home)
    panel = open_panel(qtbot)
    qtbot.waitUntil(lambda: panel.list.count() == 2, timeout=LONG)
    panel.select("b")
    assert (panel.headline.text(), panel.remark.text()) == (bad.message, bad.hint)
    panel.select("a")
    qtbot.waitUntil(lambda: len(panel.curves.points) == 30)
    assert panel.headline.text() == "The training process ended unexpectedly in epoch 2 of 4."
    assert "interrupted" in panel.list.currentItem().data(Qt.ItemDataRole.AccessibleTextRole)
    panel.copy_button.click()
    assert panel.form.value().seed == 7
    panel.curves.comparison.setCurrentIndex(1)
    panel.curves.comparison.activated.emit(1)
    qtbot.waitUntil(lambda: len(panel.curves.other) == 30)
    panel.select("b")
    panel.delete_button.click()
    answer(panel, qtbot, "Keep")
    assert panel.list.count() == 2
    panel.delete_button.click()
    answer(panel, qtbot, "Delete")
    qtbot.waitUntil(lambda: panel.list.count() == 1, timeout=LONG)
    assert not (own_home / "runs" / "b").exists()
    qtbot.waitUntil(lambda: panel.shown is not None and panel.shown.name == "a")


def test_a_run_that_the_command_line_started_appears(panel: TrainPanel, qtbot: QtBot, own_home: Path) -> None:
    write_run("elsewhere", some_events(), own_home)
    qtbot.waitUntil(lambda: panel.list.count() == 1, timeout=LONG)
    assert panel.shown is not None and panel.shown.name == "elsewhere"


def test_settings_outlive_the_window(panel: TrainPanel, qtbot: QtBot) -> None:
    panel.form.set_values({"epochs": 9, "learning_rate": 3e-4, "optimiser": "sgd"})
    panel.form.editor("seed").set_value("many")  # type: ignore[attr-defined]
    expected = TrainingConfig(epochs=9, learning_rate=3e-4, optimiser="sgd")
    assert open_panel(qtbot).form.value() == expected
    stored: QSettings = panel._settings._store
    stored.setValue("train/dropout", "17")  # what a newer program may have allowed
    stored.setValue("train/model", "vanished")
    assert open_panel(qtbot).form.value() == expected


def test_an_ending_that_this_version_does_not_know_is_still_an_ending(qtbot: QtBot, own_home: Path) -> None:
    run = write_run("newer", some_events(last=Stopped("finished", "Done.", "", 1, 0.85, 15.0)), own_home)
    panel = open_panel(qtbot)
    qtbot.waitUntil(lambda: run.name in panel._known, timeout=LONG)
    known = panel._known[run.name]
    known.run.history.stopped = dataclasses.replace(known.run.history.stopped, reason="struck by lightning")
    panel._show_item(known)
    panel._show_state()
    assert panel.list.item(0).toolTip().split("\n")[2] == "ended"


def test_a_deleted_run_leaves_the_list_at_once_and_the_disk_in_another_thread(qtbot: QtBot, own_home: Path) -> None:
    run = write_run("old", some_events(last=Stopped("finished", "Done.", "", 1, 0.85, 15.0)), own_home)
    asked: list[tuple[Any, Any]] = []
    panel = TrainPanel(call=lambda work, done: asked.append((work, done)))
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitUntil(lambda: panel.list.count() == 1, timeout=LONG)
    panel.delete_button.click()
    answer(panel, qtbot, "Delete")
    qtbot.waitUntil(lambda: panel.list.count() == 0)
    assert run.folder.exists() and len(asked) == 1
    panel._look_for_runs()
    qtbot.waitUntil(lambda: not panel._search.alive, timeout=LONG)
    panel._tick()
    assert panel.list.count() == 0, "what is being deleted does not come back"
    work, done = asked.pop()
    with qtbot.waitSignal(panel.discarded) as told:
        done(work())
    assert told.args == ["old"] and not run.folder.exists()


def test_a_run_that_cannot_be_deleted_says_so_and_stays(
    qtbot: QtBot, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run("old", some_events(last=Stopped("finished", "Done.", "", 1, 0.85, 15.0)), own_home)
    monkeypatch.setattr("engine.store.remove_folder", lambda folder: None)  # what a folder that is read-only does
    panel = open_panel(qtbot)
    qtbot.waitUntil(lambda: panel.list.count() == 1, timeout=LONG)
    panel.delete_button.click()
    with qtbot.waitSignal(panel.notice) as told:
        answer(panel, qtbot, "Delete")
    assert "could not be deleted" in told.args[0].message
    qtbot.waitUntil(lambda: panel.list.count() == 1, timeout=LONG)


def test_after_resume_the_attempt_before_is_not_told_of_again(
    qtbot: QtBot, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_events(last=Stopped("stopped", "Stopped.", "", 1, 0.85, 15.0))
    run = write_run("old", events, own_home)

    def start(self: Run, *, resume: bool = False) -> None:
        self.history.stopped = None
        alive.append(self.name)

    alive: list[str] = []
    monkeypatch.setattr(Run, "start", start)
    monkeypatch.setattr(Run, "alive", property(lambda self: self.name in alive))
    panel = open_panel(qtbot)
    qtbot.waitUntil(lambda: panel.pause_button.isVisible() and panel.pause_button.text() == "Resume", timeout=LONG)
    panel.pause_button.click()
    qtbot.waitUntil(lambda: panel._starter is None and panel._known["old"].alive, timeout=LONG)
    for _ in range(3):
        panel._tick()
        assert panel.headline.text() == "Starting the training process…"
    with (run.folder / "events.jsonl").open("a") as file:
        for event in events[:3]:
            file.write(to_json(event) + "\n")
    qtbot.waitUntil(lambda: panel.headline.text().startswith("Epoch"), timeout=LONG)


def test_built_in_pieces_it_rests_until_it_begins(qtbot: QtBot) -> None:
    panel = TrainPanel(ahead=True)
    qtbot.addWidget(panel)
    pieces = 0
    while panel.build_on():
        pieces += 1
        assert panel._search is None and not panel._timer.isActive()
    assert pieces >= 6 and not panel.build_on()
    panel.begin()
    assert panel._search is not None and panel._timer.isActive()
    assert panel.form.valid and len(panel.curves.plots) == 3
    panel.show()
    qtbot.waitUntil(lambda: panel._search is not None and not panel._search.alive, timeout=LONG)
    assert panel.start_button.isEnabled() and panel.empty.isVisible()
    panel.close()
