"""Curves of invented histories: growing, resumed, broken, very long."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from engine import Epoch, History, Started, Step, Stopped
from engine.training.events import Paused
from gui.curves import CHUNK, CurvesView, Points, Smoothed
from gui.theme import theme
from gui.verdict import diagnosis, duration, percent, seconds_left, what_happens

PER_EPOCH = 20


def started(epoch: int = 0, epochs: int = 5) -> Started:
    classes = tuple("0123456789")
    return Started("cpu", "no CUDA device found", 1000, 640, 100, classes, epochs, PER_EPOCH, epoch, 0.0)


def step(number: int, loss: float | None = None, accuracy: float = 0.5) -> Step:
    if loss is None:
        loss = 2.3 * 0.98**number
    return Step(number, number / PER_EPOCH, loss, accuracy, 0.01, 1000.0, number * 0.5)


def epoch(number: int, accuracy: float, *, best: bool, train: float = 0.9) -> Epoch:
    return Epoch(number, number * PER_EPOCH, 0.3, train, 0.4, accuracy, best, number * PER_EPOCH * 0.5)


def a_run(steps: int, *, first: int = 1) -> History:
    history = History()
    history.append(started())
    for number in range(first, steps + 1):
        history.append(step(number))
        if number % PER_EPOCH == 0:
            history.append(epoch(number // PER_EPOCH, 0.8 + 0.03 * number / PER_EPOCH, best=True))
    return history


@pytest.fixture
def view(qtbot: QtBot) -> CurvesView:
    view = CurvesView(clock=itertools.count(0.0, 10.0).__next__)
    qtbot.addWidget(view)
    view.resize(700, 420)
    view.show()
    return view


def words(view: CurvesView) -> str:
    return " ".join(label.text() for label in view.findChildren(QLabel) if label.isVisible())


def test_smoothing_is_the_plain_recursion() -> None:
    random = np.random.default_rng(0)
    column = random.normal(size=500)
    column[[0, 7, 300]] = np.nan
    smooth = Smoothed(0.9)
    for end in (1, 3, 64, 65, 200, 500):  # as it grows
        smooth.update(column[:end], len(smooth.values))
    total = weight = 0.0
    for row, value in enumerate(column):
        known = math.isfinite(value)
        total = 0.9 * total + 0.1 * (value if known else 0.0)
        weight = 0.9 * weight + 0.1 * known
        if known:
            assert smooth.values[row] == pytest.approx(total / weight, abs=1e-9)
        else:
            assert math.isnan(smooth.values[row])


def test_points_grow_with_the_history() -> None:
    history, points = a_run(3), Points()
    assert points.take(history) == 0
    history.append(step(4))
    assert points.take(history) == 3
    assert points.take(history) == -1
    assert list(points.steps("step")) == [1, 2, 3, 4]
    assert points.steps("accuracy")[0] == 50.0
    for number in range(5, 3000):
        history.append(step(number))
    points.take(history)
    assert list(points.steps("step")) == list(range(1, 3000))
    assert np.allclose(points.steps("loss"), [s.loss for s in history.steps])


def test_a_resume_replaces_steps(view: CurvesView) -> None:
    history = a_run(50)
    view.show_run(history)
    assert len(view.points) == 50
    last = history.epochs[-1]
    history.append(started(epoch=2))  # back to step 40
    history.append(last)  # a run that goes on tells its last whole epoch again
    view.refresh()
    assert len(view.loss.raw.getData()[0]) == 40
    for number in range(41, 56):
        history.append(step(number, loss=9.0))
    view.refresh()
    assert list(view.points.steps("step")) == list(range(1, 56))
    assert list(view.points.steps("loss")[40:]) == [9.0] * 15
    assert view.points.steps("loss")[39] == history.steps[39].loss
    assert len(view.points.epochs("epoch")) == 2
    x, _ = view.loss.raw.getData()
    assert np.all(np.diff(x) > 0)  # the curve never runs backwards


def test_losses_that_are_no_number_leave_a_gap(view: CurvesView) -> None:
    history = a_run(30)
    history.append(step(31, loss=math.nan))
    history.append(step(32, loss=math.inf))
    view.show_run(history)
    (low, high), (bottom, top) = view.loss.box.viewRange()
    assert all(math.isfinite(value) for value in (low, high, bottom, top))
    assert top < 4
    assert "not a number" in words(view)
    view.logarithmic.setChecked(True)
    assert all(math.isfinite(value) for value in view.loss.box.viewRange()[1])


def test_a_flat_accuracy_keeps_a_readable_axis(view: CurvesView) -> None:
    view.show_run(a_run(15))  # 50 % at every step
    low, high = view.accuracy.box.viewRange()[1]
    assert low < 50 < high and high - low >= 1
    assert view.accuracy.axis.tickStrings([49.5, 100.0, 100.5], 1.0, 0.5) == ["49.5 %", "100.0 %", ""]


def test_nothing_but_nan(view: CurvesView) -> None:
    history = History()
    history.append(started())
    for number in range(1, 10):
        history.append(step(number, loss=math.nan, accuracy=math.nan))
    view.show_run(history)
    view.logarithmic.setChecked(True)
    view.grab()
    assert "not a number" in words(view)


def test_a_hundred_thousand_points_come_in_pieces(view: CurvesView, qtbot: QtBot) -> None:
    history = a_run(100_000)
    view.show_run(history)
    assert 0 < len(view.points) <= CHUNK  # the window lives between the pieces
    qtbot.waitUntil(lambda: view.points.complete, timeout=60_000)
    assert len(view.points) == 100_000
    view.grab()
    drawn = view.loss.raw.curve.getData()[0]
    assert len(drawn) < 20_000  # thinned to what the screen can show
    history.append(step(100_001))
    view.refresh()
    assert len(view.points) == 100_001


def test_what_one_would_hardly_see_is_not_drawn_yet(qtbot: QtBot) -> None:
    now = [0.0]
    view = CurvesView(clock=lambda: now[0])
    qtbot.addWidget(view)
    view.resize(700, 500)
    view.show()
    history = a_run(90)
    view.show_run(history)
    qtbot.waitUntil(lambda: not view._resized.isActive())

    def drawn(seconds: float, *epochs: float) -> bool:
        now[0] += seconds
        for at in epochs:
            history.append(dataclasses.replace(step(len(history.steps) + 1), epoch=at))
        told = view.refresh()
        assert len(view.points) == len(history.steps)
        view.read_out(99.0)  # the last one that is drawn, however many are known
        if told:
            assert len(view.loss.raw.getData()[0]) == len(history.steps)
        return told

    assert not drawn(0.1, 4.6), "a moment ago"
    assert drawn(0.4), "by now one sees it"
    assert not drawn(0.5, 4.601, 4.602), "less than a pixel"
    assert drawn(0.0, 4.7)
    assert not drawn(0.1, 4.701)
    assert drawn(1.0, 4.702), "a second later they are drawn however few they are"
    assert not drawn(0.1)
    history.append(epoch(5, 0.9, best=True))
    assert drawn(0.0), "a whole epoch is drawn at once"
    history.append(Paused(True, 50.0))
    assert drawn(0.0, 4.703), "nothing else comes for a while"


def test_the_axis_of_a_growing_curve_is_calm(view: CurvesView) -> None:
    history = a_run(80)
    view.show_run(history)
    bottom, top = view.loss.box.viewRange()[1]
    history.append(step(81, loss=0.9 * top))
    view.refresh()
    assert view.loss.box.viewRange()[1] == [bottom, top]
    for number in range(82, 130):
        history.append(step(number, loss=3 * top))
    view.refresh()
    assert view.loss.box.viewRange()[1][1] > 2.5 * top


def test_points_are_thinned_to_the_size_that_the_plot_has_now(qtbot: QtBot) -> None:
    view = CurvesView()
    qtbot.addWidget(view)
    view.resize(220, 300)
    view.show_run(a_run(4000))
    view.show()
    qtbot.waitUntil(lambda: view.points.complete)
    qtbot.waitUntil(lambda: not view._resized.isActive())
    narrow = len(view.loss.raw.curve.getData()[0])
    view.resize(1500, 300)
    qtbot.waitUntil(lambda: len(view.loss.raw.curve.getData()[0]) > 1.5 * narrow)


def test_axes_follow_until_a_person_zooms(view: CurvesView, qtbot: QtBot) -> None:
    history = a_run(25)
    view.show_run(history)
    before = view.loss.box.viewRange()[0][1]
    for number in range(26, 90):
        history.append(step(number))
    view.refresh()
    after = view.loss.box.viewRange()[0][1]
    assert view.following and after > before
    assert view.accuracy.box.viewRange()[0][1] == pytest.approx(after)  # linked
    qtbot.waitExposed(view)
    view.grab()
    surface = view.loss.view.viewport()
    centre = QPointF(surface.rect().center())
    wheel = QWheelEvent(
        centre,
        QPointF(surface.mapToGlobal(centre.toPoint())),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(surface, wheel)
    assert not view.following and view.whole.isVisible()
    zoomed = view.loss.box.viewRange()
    for number in range(90, 100):
        history.append(step(number))
    view.refresh()
    assert view.loss.box.viewRange() == zoomed
    qtbot.mouseDClick(surface, Qt.MouseButton.LeftButton, pos=centre.toPoint())
    assert view.following and not view.whole.isVisible()
    assert view.loss.box.viewRange()[0][1] >= 99 / PER_EPOCH


def test_the_pointer_reads_values(view: CurvesView, qtbot: QtBot) -> None:
    history = a_run(60)
    view.show_run(history)
    view.set_smoothing(0)
    view.grab()
    box, surface = view.loss.box, view.loss.view.viewport()
    where = view.loss.view.mapFromScene(box.mapViewToScene(QPointF(1.5, 1.0)))
    qtbot.mouseMove(surface, where)
    qtbot.waitUntil(lambda: "step 30" in view._lowest.x_axis.labelText)
    assert f"{history.steps[29].loss:.4f}".rstrip("0") in words(view)
    view.read_out(None)
    assert view._lowest.x_axis.labelText == "epochs"
    assert f"{history.steps[-1].loss:.4f}".rstrip("0") in words(view)


def test_the_x_axis_may_be_epochs_steps_or_seconds(view: CurvesView) -> None:
    history = a_run(60)
    history.append(Stopped("finished", "", "", 3, 0.89, 30.0))
    view.show_run(history)
    for axis, end in (("epoch", 3.0), ("step", 60.0), ("time", 30.0)):
        view.set_x(axis)  # type: ignore[arg-type]
        assert view.loss.raw.getData()[0][-1] == end
        assert view.loss.validation.getData()[0][-1] == end
        assert view.loss.box.viewRange()[0][1] == pytest.approx(end, rel=0.05)


def test_the_best_epoch_is_marked(view: CurvesView) -> None:
    history = a_run(40)
    history.append(epoch(3, 0.5, best=False))
    view.show_run(history)
    x, y = view.accuracy._best.getData()
    assert list(x) == [2.0] and list(y) == pytest.approx([86.0])


def test_an_older_run_lies_under_this_one(view: CurvesView, qtbot: QtBot) -> None:
    view.set_runs(["older", "oldest"])
    view.show_run(a_run(30), "new")
    with qtbot.waitSignal(view.comparison_wanted) as wanted:
        view.comparison.setCurrentIndex(1)
        view.comparison.activated.emit(1)
    assert wanted.args == ["older"]
    view.compare(a_run(100), "older")
    assert len(view.loss.other.getData()[0]) == 100
    assert view.loss.box.viewRange()[0][1] >= 5.0  # both fit in
    assert "older" in words(view)
    view.set_runs(["oldest"])  # it was deleted
    assert len(view.other) == 0
    assert "older" not in words(view)


def test_a_network_that_was_stopped_within_an_epoch(view: CurvesView) -> None:
    history = a_run(30)
    history.append(dataclasses.replace(epoch(2, 0.9, best=True), step=30))
    view.show_run(history)
    assert list(view.points.epochs("epoch")) == [1.0, 1.5]


def test_export(view: CurvesView, qtbot: QtBot, tmp_path: Path) -> None:
    view.show_run(a_run(40))
    view.write_csv(str(tmp_path / "a.csv"))
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows].count("step") == 40
    assert float(rows[39]["loss"]) == step(40).loss
    assert [float(row["validation_accuracy"]) for row in rows[40:]] == pytest.approx([0.83, 0.86])
    view.write_png(str(tmp_path / "a.png"))
    picture = QImage(str(tmp_path / "a.png"))
    assert picture.width() == 2 * view._canvas.width()
    (tmp_path / "file").touch()
    with qtbot.waitSignal(view.failed):
        view.write_csv(str(tmp_path / "file" / "a.csv"))


def test_colours_follow_the_theme(view: CurvesView) -> None:
    view.show_run(a_run(30))
    seen = []
    for look in ("light", "dark"):
        theme.apply(look)  # type: ignore[arg-type]
        seen.append((view.loss.smooth.opts["pen"].color().name(), view.loss.view.backgroundBrush().color().name()))
    theme.apply("light")
    assert seen[0][0] != seen[1][0]
    assert seen[1][1] == "#25282d"


def test_sentences() -> None:
    history = History()
    assert what_happens(history, "preparing", None)[0] == "Starting the training process…"
    history = a_run(30)
    headline, _ = what_happens(history, "training", None)
    assert headline == "Epoch 2 of 5: the network reads 83.0\u00a0% of digits it has never seen; 35\u00a0s left."
    assert what_happens(history, "paused", None)[0] == "Paused in epoch 2 of 5."
    headline, remark = what_happens(history, "interrupted", None)
    assert "epoch 2 of 5" in headline and "after epoch 1" in remark
    history.append(Stopped("nan", "The loss is no number.", "Lower the rate.", 1, 0.83, 15.0))
    assert what_happens(history, "ended", None) == ("The loss is no number.", "Lower the rate.")


def test_the_pace_is_that_of_the_last_epoch() -> None:
    assert seconds_left(a_run(3)) is None
    assert seconds_left(a_run(30)) == pytest.approx(35.0)
    assert [duration(s) for s in (42.4, 200, 4320)] == ["42\u00a0s", "3\u00a0min 20\u00a0s", "1\u00a0h 12\u00a0min"]
    assert [percent(s) for s in (0.5, 0.9871, 1.0, math.nan)] == ["50.0\u00a0%", "98.71\u00a0%", "100.0\u00a0%", "–"]


@pytest.mark.parametrize(
    ("kind", "says"),
    [("flat", "not falling"), ("rising", "rising"), ("overfit", "overfits"), ("late", "No better since epoch 2")],
)
def test_what_one_should_know(kind: str, says: str) -> None:
    assert diagnosis(a_run(100)) == "Still getting better: up from 92.0\u00a0% an epoch earlier."
    history = History()
    history.append(started(epochs=20))
    for number in range(1, 121):
        loss = {"flat": 2.3, "rising": 2.3 * 1.01**number}.get(kind)
        history.append(step(number, loss=loss))
        if number % PER_EPOCH == 0:
            now = number // PER_EPOCH
            train = 0.99 if kind == "overfit" else 0.9
            history.append(epoch(now, 0.9 - 0.001 * (now > 2), best=now <= 2, train=train))
    assert says in diagnosis(history)


def test_a_run_of_boxes_is_spoken_of_in_its_own_words(view: CurvesView) -> None:
    history = a_run(2 * PER_EPOCH)
    assert history.started is not None
    history.started = dataclasses.replace(history.started, task="detection", classes=("cat", "dog"))
    view.show_run(history)
    said = words(view)
    assert "Boxes" in said and "validation mAP" in said and "Accuracy" not in said
    headline, remark = what_happens(history, "training", None)
    assert "mean average precision of 86.0" in headline
    assert "overfits" not in remark, "the mean overlap in training and the mean average precision are not comparable"
    view.show_run(a_run(2 * PER_EPOCH))
    assert "Accuracy" in words(view) and "mAP" not in words(view)


def test_a_run_of_faces_is_spoken_of_in_its_own_words(view: CurvesView) -> None:
    history = a_run(2 * PER_EPOCH)
    assert history.started is not None
    history.started = dataclasses.replace(history.started, task="faces", classes=("face",))
    view.show_run(history)
    said = words(view)
    assert "known people" in said and "pairs of others" in said and "Accuracy" not in said
    headline, remark = what_happens(history, "training", None)
    assert "86.0\u00a0% of pairs of people" in headline
    assert "overfits" not in remark, "people whom it knows and pairs of others are not comparable"


def test_what_was_left_out_is_said() -> None:
    history = History()
    history.append(dataclasses.replace(started(), skipped=3, first_skipped="cats/7.png"))
    _, remark = what_happens(history, "training", None)
    assert remark.endswith("3 pictures were left out (cats/7.png, …).")
    history.append(dataclasses.replace(started(), skipped=1, first_skipped="cats/7.png cannot be read."))
    assert what_happens(history, "training", None)[1].endswith("1 picture was left out (cats/7.png cannot be read).")
