"""The curves of a training run while it trains: loss and accuracy, per step and per epoch, and learning rate.

A `History` enters with `show_run`; after it has grown, `refresh` takes in what is new. Points lie in growing NumPy
buffers and are thinned to what the screen can show, so a hundred thousand of them cost as much as a few hundred. What
grows by less than one can see is not drawn anew, since the training needs the processor, too.
"""

from __future__ import annotations

import csv
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPen, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QGraphicsGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine import EngineError, Epoch, History, Step, replace_file
from gui.forms import ChoiceBox
from gui.theme import set_role, theme

Array: TypeAlias = NDArray[np.float64]
XAxis: TypeAlias = Literal["epoch", "step", "time"]

AXIS_TITLES: dict[XAxis, str] = {"epoch": "epochs", "step": "steps", "time": "seconds"}
CHUNK = 5_000  # steps taken in at once: about 8 ms, so that a long history never makes the window stutter
AXIS_WIDTH = 54
VISIBLE = 4.0  # pixels by which a curve must have grown to be drawn anew
SOONEST, LATEST = 0.4, 1.0  # seconds from one drawing to the next, however much or little it has grown
FIRST = 60  # points that are drawn as soon as they come
SLACK = 1.15  # how much larger than its curves a plot may be before its axis follows them
_STEP = ("step", "epoch", "time", "loss", "accuracy", "learning_rate", "images_per_second")
_EPOCH = ("step", "epoch", "time", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
_NONE = np.empty(0)


class Points:
    """A history as columns of numbers that grow at the end; rows that a resume has replaced are dropped.

    Accuracy is kept in percent. Rows are found by identity, so a history that shrank and grew again is noticed.
    """

    def __init__(self) -> None:
        self.history = History()
        self._steps = np.empty((len(_STEP), 1024))
        self._seen: list[Step] = []
        self._epochs: list[Epoch] = []
        self._epoch_table = np.empty((len(_EPOCH), 0))

    def take(self, history: History) -> int:
        """Enter at most `CHUNK` new steps of `history`; the first row that changed, or -1 if none did."""
        changed = -1
        if history is not self.history:
            self.history, self._seen, self._epochs = history, [], []
            self._epoch_table = np.empty((len(_EPOCH), 0))
            changed = 0
        steps = history.steps
        count = min(len(self._seen), len(steps))
        if count < len(self._seen) or (count and steps[count - 1] is not self._seen[-1]):
            # Rows are the same up to some place and different from there on: find it by halving.
            count = bisect_left(range(count), True, key=lambda row: steps[row] is not self._seen[row])
            del self._seen[count:]
            changed = count
        new = steps[count : count + CHUNK]
        if new:
            changed = count if changed < 0 else min(changed, count)
            total = count + len(new)
            if total > self._steps.shape[1]:
                grown = np.empty((len(_STEP), 2 * total))
                grown[:, :count] = self._steps[:, :count]
                self._steps = grown
            self._steps[:, count:total] = np.array(list(map(attrgetter(*_STEP), new)), float).T
            self._steps[_STEP.index("accuracy"), count:total] *= 100
            self._seen += new
        if len(history.epochs) != len(self._epochs) or (self._epochs and history.epochs[-1] is not self._epochs[-1]):
            self._epochs = list(history.epochs)
            table = np.array(list(map(attrgetter(*_EPOCH), self._epochs)), float).reshape(-1, len(_EPOCH)).T
            if history.started is not None:  # an epoch that was broken off lies where it ended
                table[1] = table[0] / history.started.steps_per_epoch
            table[[4, 6]] *= 100
            self._epoch_table = table
            changed = len(self._seen) if changed < 0 else changed
        return changed

    @property
    def seen_epochs(self) -> object:
        """Another object whenever the epochs are others."""
        return self._epochs

    @property
    def complete(self) -> bool:
        """Whether all steps of the history have been entered."""
        return len(self._seen) == len(self.history.steps)

    def __len__(self) -> int:
        return len(self._seen)

    def steps(self, name: str) -> Array:
        """One column of the steps so far (a view)."""
        return self._steps[_STEP.index(name), : len(self._seen)]

    def epochs(self, name: str) -> Array:
        """One column of the epochs so far."""
        return self._epoch_table[_EPOCH.index(name)]

    @property
    def best(self) -> int:
        """Row of the epoch whose weights are kept, or -1."""
        return next((row for row in reversed(range(len(self._epochs))) if self._epochs[row].best), -1)


class Smoothed:
    """An exponential moving average of a growing column; values that are no number are left out.

    Both the sum and the weight are averaged and divided (as Adam corrects its moments, Kingma and Ba 2015), so the
    beginning is not pulled towards zero.
    """

    def __init__(self, keep: float = 0.0) -> None:
        self.keep = keep
        self._sums = np.empty((2, 0))
        self.values: Array = _NONE

    def update(self, column: Array, changed: int) -> Array:
        """The average of `column`, of which the rows before `changed` are as they were the last time."""
        changed = max(0, min(changed, self._sums.shape[1]))
        fresh = column[changed:]
        known = np.isfinite(fresh)
        carried = self._sums[:, changed - 1] if changed else np.zeros(2)
        pair = np.stack([np.where(known, fresh, 0.0), known.astype(float)])
        sums = _decayed_sums(pair, self.keep, carried)
        self._sums = np.concatenate([self._sums[:, :changed], sums], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            new = np.where(known, sums[0] / sums[1], np.nan)
        self.values = np.concatenate([self.values[:changed], new])
        return self.values


def _decayed_sums(rows: Array, keep: float, carried: Array) -> Array:
    """s[t] = keep · s[t-1] + (1 - keep) · x[t] along the last axis of `rows` (2, N), with s[-1] = `carried`.

    Blocks of 64 are multiplied with a triangular matrix; only from block to block Python counts.
    """
    size, count = 64, rows.shape[1]
    if not count:
        return rows
    blocks = -(-count // size)
    padded = np.zeros((2, blocks * size))
    padded[:, :count] = rows
    lag = np.subtract.outer(np.arange(size), np.arange(size))
    matrix = np.where(lag >= 0, (1 - keep) * keep ** np.maximum(lag, 0), 0.0)
    sums = padded.reshape(2, blocks, size) @ matrix.T
    fade = keep ** np.arange(1, size + 1)
    carry = carried
    for block in range(blocks):
        sums[:, block] += carry[:, None] * fade
        carry = sums[:, block, -1]
    return sums.reshape(2, -1)[:, :count]


class CurvesView(QWidget):
    """Loss over accuracy over learning rate and speed, on one x axis, with a row of tools above them.

    Signals:
        comparison_wanted(str): a name was chosen in the list of older runs ("" for none).
        failed(EngineError): a file could not be written.
    """

    comparison_wanted = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        plots: Sequence[Plot] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`plots`: from `make_plots`, where somebody has made them already."""
        super().__init__(parent)
        self._clock = clock
        self.points = Points()
        self.other = Points()
        self._changed = (-1, -1)  # rows of either from which on they have not been drawn as they are
        self._drawn = (0, 0.0, -math.inf)  # how many steps have been, up to where, and when
        self._drawn_epochs: object = None
        self._name = ""
        self._other_name = ""
        self._smooth = {"loss": Smoothed(), "accuracy": Smoothed()}
        self._other_smooth = {"loss": Smoothed(), "accuracy": Smoothed()}
        self._x: XAxis = "epoch"
        self._following = True
        self._hovered: float | None = None
        self._lowest: Plot
        self._more = QTimer(self)
        self._more.setSingleShot(True)
        self._more.setInterval(0)
        self._more.timeout.connect(self.refresh)
        self._resized = QTimer(self)
        self._resized.setSingleShot(True)
        self._resized.setInterval(0)
        self._resized.timeout.connect(self._redraw)

        self.loss, self.accuracy, self.rate = plots or make_plots(self)
        self.plots = (self.loss, self.accuracy, self.rate)
        for plot in self.plots:
            plot.moved.connect(self._hover)
            plot.zoomed.connect(self._on_zoomed)
            plot.reset.connect(self.follow)
            if plot is not self.loss:
                plot.box.setXLink(self.loss.box)

        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        outer.addLayout(self._tools())
        self._canvas = QWidget(self)
        stack = QVBoxLayout(self._canvas)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(4)
        for plot, share in zip(self.plots, (6, 6, 3), strict=True):
            stack.addWidget(plot, share)
        outer.addWidget(self._canvas, 1)
        self._arrange()
        self.set_smoothing(25)
        theme.changed.connect(self._restyle)
        self._restyle()

    # What others ask of it

    def show_run(self, history: History | None, name: str = "") -> None:
        """Show `history` from now on (None: nothing); an earlier zoom is forgotten."""
        self._name = name
        self.points = Points()
        self.points.history = history if history is not None else History()
        for smooth in self._smooth.values():
            smooth.update(_NONE, 0)
        self._following = True
        self._hovered = None
        self._redraw()
        self.refresh()

    def compare(self, history: History | None, name: str = "") -> None:
        """Lay an older run under the one shown (None: no longer)."""
        self._other_name = name if history is not None else ""
        self.other = Points()
        self.other.history = history if history is not None else History()
        index = max(0, self.comparison.findData(self._other_name))
        with QSignalBlocker(self.comparison):
            self.comparison.setCurrentIndex(index)
        self._redraw()
        self.refresh()

    def refresh(self) -> bool:
        """Take in what the histories have got since; a long one in pieces, between which the window lives.

        Returns:
            Whether anything was drawn: not while one would hardly see it.
        """
        new = (self.points.take(self.points.history), self.other.take(self.other.history))
        mine, theirs = (
            min(old, row) if old >= 0 <= row else max(old, row) for old, row in zip(self._changed, new, strict=True)
        )
        self._changed = (mine, theirs)
        if not (self.points.complete and self.other.complete):
            self._more.start()
        drawn = theirs >= 0 or (mine >= 0 and self._worth_drawing(mine))
        if drawn:
            self._redraw(mine, theirs)
        return drawn

    def set_runs(self, names: Sequence[str]) -> None:
        """The runs that may be compared with."""
        wanted = ["", *names]
        if wanted == [self.comparison.itemData(i) for i in range(self.comparison.count())]:
            return
        with QSignalBlocker(self.comparison):
            self.comparison.clear()
            for name in wanted:
                self.comparison.addItem(name or "Compare with…", name)
            self.comparison.setCurrentIndex(max(0, self.comparison.findData(self._other_name)))
        self.comparison.setEnabled(len(names) > 0)
        if self._other_name not in wanted:
            self.compare(None)

    def set_smoothing(self, percent: int) -> None:
        """How far back the thick curves look: 0 (not at all) to 100."""
        self.smoothing.setValue(percent)

    def set_x(self, axis: XAxis) -> None:
        """What runs along the x axes."""
        self.x_choice.setCurrentIndex(self.x_choice.findData(axis))

    @property
    def following(self) -> bool:
        """Whether the axes follow the data; a zoom ends that, `follow` begins it anew."""
        return self._following

    def follow(self) -> None:
        """Show everything, and go on doing so as the curves grow."""
        self._following = True
        self.whole.hide()
        self._set_ranges()

    def read_out(self, x: float | None) -> None:
        """Show the values at `x` on the x axis beside the names of the curves; None: the latest."""
        self._hovered = x
        self._show_values()

    def write_csv(self, path: str) -> None:
        """Every step and epoch as a line of comma-separated values; accuracy in 0..1."""
        history = self.points.history

        def write(place: Path) -> None:
            with place.open("w", newline="", encoding="utf-8") as file:
                out = csv.writer(file)
                out.writerow(("kind", *_STEP, *_EPOCH[3:], "best"))
                for step in history.steps:
                    out.writerow(("step", *attrgetter(*_STEP)(step), *[""] * 5))
                for epoch in history.epochs:
                    place_ = (epoch.step, epoch.epoch, epoch.time)
                    out.writerow(("epoch", *place_, *[""] * 4, *attrgetter(*_EPOCH[3:])(epoch), int(epoch.best)))

        self._write(path, write)

    def write_png(self, path: str) -> None:
        """The curves as a picture, at twice the screen's sharpness."""
        picture = QPixmap(self._canvas.size() * 2)
        picture.setDevicePixelRatio(2)
        picture.fill(theme.colour("base"))
        self._canvas.render(picture)
        self._write(path, lambda place: _save(picture, place))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._resized.start()  # how far points are thinned depends on how many pixels there are for them

    # Inside

    def _tools(self) -> QHBoxLayout:
        self.smoothing = QSlider(Qt.Orientation.Horizontal, self)
        self.smoothing.setRange(0, 100)
        self.smoothing.setFixedWidth(84)
        self.smoothing.setAccessibleName("Smoothing")
        self.smoothing.setToolTip("How far back the thick curves look; 0 shows every point as it is")
        self.smoothing.valueChanged.connect(self._on_smoothing)
        label = QLabel("Smoothing", self)
        label.setBuddy(self.smoothing)
        set_role(label, role="dim")

        self.logarithmic = QToolButton(self)
        self.logarithmic.setText("Log")
        self.logarithmic.setCheckable(True)
        set_role(self.logarithmic, chip=True)
        self.logarithmic.setToolTip(
            "Show the loss on a logarithmic axis: small differences late in a run become visible"
        )
        self.logarithmic.setAccessibleName("Logarithmic loss axis")
        self.logarithmic.toggled.connect(self._on_logarithmic)

        self.details = QToolButton(self)
        self.details.setText("Rate")
        self.details.setCheckable(True)
        set_role(self.details, chip=True)
        self.details.setToolTip("Show the learning rate under the curves")
        self.details.setAccessibleName("Show the learning rate")
        self.details.toggled.connect(self._on_details)

        self.x_choice = ChoiceBox(self)
        for value, title in AXIS_TITLES.items():
            self.x_choice.addItem(title.capitalize(), value)
        self.x_choice.setAccessibleName("X axis")
        self.x_choice.setToolTip("What runs along the x axes")
        self.x_choice.currentIndexChanged.connect(self._on_x)

        self.comparison = ChoiceBox(self)
        self.comparison.addItem("Compare with…", "")
        self.comparison.setEnabled(False)
        self.comparison.setAccessibleName("Compare with an older run")
        self.comparison.setToolTip("Lay an older run under this one, in grey")
        self.comparison.setMinimumContentsLength(12)
        self.comparison.activated.connect(lambda _: self.comparison_wanted.emit(self.comparison.currentData()))

        self.whole = QToolButton(self)
        self.whole.setText("Show all")
        set_role(self.whole, chip=True)
        self.whole.setToolTip("Undo the zoom (or double-click a plot)")
        self.whole.hide()
        self.whole.clicked.connect(self.follow)

        self.export = QToolButton(self)
        self.export.setAccessibleName("Export")
        self.export.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.export)
        menu.addAction("Picture (PNG)…", lambda: self._ask("png", self.write_png))
        menu.addAction("Numbers (CSV)…", lambda: self._ask("csv", self.write_csv))
        self.export.setMenu(menu)
        self.export.setToolTip("Save the curves as a picture or as numbers")

        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(label)
        row.addWidget(self.smoothing)
        row.addWidget(self.logarithmic)
        row.addWidget(self.details)
        row.addWidget(self.x_choice)
        row.addWidget(self.comparison)
        row.addStretch(1)
        row.addWidget(self.whole)
        row.addWidget(self.export)
        return row

    def _worth_drawing(self, mine: int) -> bool:
        """Whether one would see what is new in the steps from row `mine` on."""
        points, history = self.points, self.points.history
        steps, end, when = self._drawn
        if mine < steps or points.seen_epochs is not self._drawn_epochs or history.paused or history.stopped:
            return True
        waited = self._clock() - when
        if len(points) <= FIRST or waited >= LATEST:
            return True
        if waited < SOONEST:
            return False
        low, high = self.loss.box.viewRange()[0]
        grown = (float(points.steps(self._x)[-1]) - end) / max(high - low, 1e-12)
        return grown * self.loss.box.width() >= VISIBLE

    def _redraw(self, mine: int = 0, theirs: int = 0) -> None:
        """Hand the plots their data; rows before `mine` and `theirs` are as they were, -1: all of them, and drawn so.

        Without either everything is handed over again.
        """
        points, other = self.points, self.other
        everything = mine <= 0 and theirs <= 0
        x, ex = points.steps(self._x), points.epochs(self._x)
        best = points.best
        epochs = everything or points.seen_epochs is not self._drawn_epochs
        if points.history.started is not None and points.history.started.task == "detection":
            self.accuracy.legend.rename("Boxes", training="training overlap", validation="validation mAP")
        elif points.history.started is not None and points.history.started.task == "tags":
            self.accuracy.legend.rename("Classes", training="surest is there", validation="validation mAP")
        elif points.history.started is not None and points.history.started.task == "faces":
            self.accuracy.legend.rename("Faces", training="known people", validation="pairs of others")
        else:
            self.accuracy.legend.rename("Accuracy")
        for plot, name in ((self.loss, "loss"), (self.accuracy, "accuracy")):
            raw = points.steps(name)
            smooth = self._smooth[name]
            if mine >= 0:
                smooth.update(raw, mine)
                plot.raw.setData(x, raw)
                plot.smooth.setData(x, smooth.values)
            if epochs:
                plot.validation.setData(ex, points.epochs(f"validation_{name}"), symbol=_symbol(ex))
                kept = slice(best, best + 1) if best >= 0 else slice(0)
                plot.mark_best(ex[kept], points.epochs(f"validation_{name}")[kept])
            if theirs >= 0:
                self._other_smooth[name].update(other.steps(name), theirs)
                plot.other.setData(other.steps(self._x), self._other_smooth[name].values)
                older = other.epochs(self._x)
                plot.other_validation.setData(older, other.epochs(f"validation_{name}"), symbol=_symbol(older))
        if self.details.isChecked():
            self.rate.smooth.setData(x, points.steps("learning_rate"))
            self.rate.other.setData(other.steps(self._x), other.steps("learning_rate"))
        self._changed = (-1, -1)
        self._drawn = (len(points), float(x[-1]) if len(x) else 0.0, self._clock())
        self._drawn_epochs = points.seen_epochs
        if self._following:
            self._set_ranges(calm=not everything)
        for plot in self.plots:
            plot.box.updateMatrix()  # now, not within the next paint, which would then be followed by another
        self._show_values()

    def _set_ranges(self, *, calm: bool = False) -> None:
        """Show all there is; `calm`: and leave an axis alone that fits nearly as well."""
        ends = [1e-9]
        for points in (self.points, self.other):
            ends += [float(column[-1]) for column in (points.steps(self._x), points.epochs(self._x)) if len(column)]
        started, stopped = self.points.history.started, self.points.history.stopped
        if started is not None and stopped is None and len(self.points):
            # While it trains there is room to the right, up to a whole epoch, so that the axis is calm.
            now = float(self.points.steps("epoch")[-1])
            ahead = min(float(started.epochs), math.ceil(now * 1.1 + 1e-9))
            ends.append(float(self.points.steps(self._x)[-1]) * ahead / max(now, 1e-9))
        # One data point has no extent: an empty axis reads 0 to 1.
        self.loss.box.setXRange(0.0, max(ends) if max(ends) > 1e-6 else 1.0, padding=0.015)
        loss = [self._smooth["loss"].values, self.points.epochs("validation_loss")]
        loss += [self._other_smooth["loss"].values[: len(self.other)], self.other.epochs("validation_loss")]
        raw = self.points.steps("loss")
        raw = raw[:: max(1, len(raw) // 4000)]
        known = raw[np.isfinite(raw)]
        if len(known):
            loss.append(np.quantile(known, [0.005, 0.995]))  # one wild batch must not flatten the curve
        low, high = _extent(loss)
        if self.loss.log:
            positive = [column[np.isfinite(column) & (column > 0)] for column in loss]
            low, high = _extent(positive)
            low, high = (math.log10(low), math.log10(high)) if low > 0 else (-1.0, 0.0)
            if high - low < 0.3:
                low, high = low - 0.15, high + 0.15
            self.loss.set_y_range(low, high, padding=0.06, calm=calm)
        else:
            self.loss.set_y_range(0.0, high if high > 0 else 1.0, padding=0.06, calm=calm)
        accuracy = [self._smooth["accuracy"].values, self.points.epochs("validation_accuracy")]
        accuracy += [self._other_smooth["accuracy"].values[: len(self.other)], self.other.epochs("validation_accuracy")]
        low, high = _extent(accuracy)
        raw = self.points.steps("accuracy")
        raw = raw[:: max(1, len(raw) // 4000)]
        known = raw[np.isfinite(raw)]
        if len(known):
            low, high = _extent([np.array([low, high]), np.quantile(known, [0.005, 0.995])])
        if high - low < 0.5:  # a flat line: its noise is not worth the whole plot
            low, high = (0.0, 100.0) if not high else (low - 1, high + 1)
        self.accuracy.set_y_range(max(0.0, low), high, padding=0.09, calm=calm)
        _, high = _extent([self.points.steps("learning_rate"), self.other.steps("learning_rate")])
        self.rate.set_y_range(0.0, high if high > 0 else 1.0, padding=0.1, calm=calm)

    def _show_values(self) -> None:
        """The numbers beside the names of the curves: at the crosshair, or the latest."""
        points, at = self.points, self._hovered
        x, ex = points.steps(self._x)[: self._drawn[0]], points.epochs(self._x)
        step = _nearest(x, at) if len(x) else -1
        epoch = _nearest(ex, at) if len(ex) else -1
        other_x = self.other.epochs(self._x)
        older = _nearest(other_x, at) if len(other_x) else -1
        for plot, name in ((self.loss, "loss"), (self.accuracy, "accuracy")):
            write: Callable[[float], str] = _percent if plot.percent else _number
            plot.legend.show_values(
                training=write(self._smooth[name].values[step]) if step >= 0 else "",
                validation=write(points.epochs(f"validation_{name}")[epoch]) if epoch >= 0 else "",
                best=write(points.epochs(f"validation_{name}")[points.best]) if points.best >= 0 else "",
                other=write(self.other.epochs(f"validation_{name}")[older]) if older >= 0 else "",
                other_name=self._other_name,
            )
            plot.cross(float(x[step]) if at is not None and step >= 0 else None)
        self.rate.legend.show_values(training=_number(points.steps("learning_rate")[step]) if step >= 0 else "")
        self.rate.cross(float(x[step]) if at is not None and step >= 0 else None)
        place = AXIS_TITLES[self._x]
        if at is not None and step >= 0:
            place = f"epoch {points.steps('epoch')[step]:.2f} · step {points.steps('step')[step]:.0f}"
            place += f" · {points.steps('time')[step]:.1f} s"
        self._lowest.name_x_axis(place)

    def _hover(self, x: float | None) -> None:
        self.read_out(x)

    def _on_zoomed(self) -> None:
        self._following = False
        self.whole.show()

    def _on_smoothing(self, percent: int) -> None:
        # Even steps of the slider are even steps of memory: 0, then about 2 to 1,000 points.
        keep = 0.0 if percent == 0 else 1 - 10 ** (-0.3 - 2.7 * percent / 100)
        for smooth in (*self._smooth.values(), *self._other_smooth.values()):
            smooth.keep = keep
        self._redraw()

    def _on_logarithmic(self, on: bool) -> None:
        self.loss.set_log(on)
        self.follow()
        self._show_values()

    def _on_details(self) -> None:
        self._arrange()
        self._redraw()

    def _on_x(self) -> None:
        self._x = self.x_choice.currentData()
        self._hovered = None
        self._redraw()
        self.follow()
        self._arrange()

    def _arrange(self) -> None:
        """The lowest plot carries the numbers of the x axis."""
        self.rate.setVisible(self.details.isChecked())
        self._lowest = self.rate if self.details.isChecked() else self.accuracy
        for plot in self.plots:
            plot.set_x_axis(AXIS_TITLES[self._x] if plot is self._lowest else "")

    def _restyle(self) -> None:
        self.export.setIcon(theme.icon("save"))
        for plot in self.plots:
            plot.restyle()

    def _ask(self, suffix: str, chosen: Callable[[str], None]) -> None:
        titles = {"png": "Pictures (*.png)", "csv": "Comma-separated values (*.csv)"}
        dialog = QFileDialog(self, "Export the curves", f"{self._name or 'curves'}.{suffix}", titles[suffix])
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(suffix)
        dialog.fileSelected.connect(chosen)
        dialog.open()

    def _write(self, path: str, write: Callable[[Path], object]) -> None:
        try:
            replace_file(Path(path), write)
        except EngineError as error:
            self.failed.emit(error)


def make_plots(parent: QWidget) -> Iterator[Plot]:
    """What a `CurvesView` shows, one after the other, since each takes ten milliseconds to make."""
    yield Plot("Loss", parent)
    yield Plot("Accuracy", parent, percent=True)
    yield Plot("Learning rate", parent, small=True)


class Plot(QWidget):
    """One plot with its legend above it, where it hides no data.

    Signals:
        moved(float | None): the pointer is over this x (data units), or has left.
        zoomed: a person changed the range.
        reset: a double click.
    """

    moved = Signal(object)
    zoomed = Signal()
    reset = Signal()

    def __init__(self, title: str, parent: QWidget, *, percent: bool = False, small: bool = False) -> None:
        super().__init__(parent)
        self.percent = percent
        self.small = small
        self.log = False
        self.legend = _Legend(title, self, plain=small)
        axis = _Axis("left", percent=percent)
        self.axis = axis
        self.x_axis = _Axis("bottom")
        self.view = _View(self, axis, self.x_axis)
        self.view.setAccessibleName(f"{title} over time")
        self.box = self.view.box
        self.box.sigRangeChangedManually.connect(lambda _: self.zoomed.emit())
        self.raw = self._curve(1)
        self.other = self._curve(1)
        self.other_validation = self._curve(1)
        self.smooth = self._curve(2)
        self.validation = self._curve(3)
        self._best_line = pg.InfiniteLine(angle=90, movable=False)
        self._best_line.setVisible(False)
        self._best_line.setZValue(-1)
        self._best = self._curve(4)
        self._curves = (self.raw, self.other, self.other_validation, self.smooth, self.validation, self._best)
        self._cross = pg.InfiniteLine(angle=90, movable=False)
        self._cross.setVisible(False)
        self.box.addItem(self._best_line, ignoreBounds=True)
        self.box.addItem(self._cross, ignoreBounds=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(self.view, 1)

    def mark_best(self, x: Array, y: Array) -> None:
        """A ring around the epoch whose weights are kept, and a line down to the axis."""
        self._best.setData(x, y)
        self._best_line.setVisible(len(x) > 0)
        if len(x):
            self._best_line.setPos(float(x[0]))

    def cross(self, x: float | None) -> None:
        self._cross.setVisible(x is not None)
        if x is not None:
            self._cross.setPos(x)

    def set_y_range(self, low: float, high: float, *, padding: float, calm: bool) -> None:
        """Show these values; `calm`: unless they are shown already, and not very small."""
        bottom, top = self.box.viewRange()[1]
        fits = bottom <= low and high <= top and top - bottom <= SLACK * (high - low) * (1 + 2 * padding)
        if not (calm and fits):
            self.box.setYRange(low, high, padding=padding)

    def set_log(self, on: bool) -> None:
        self.log = on
        self.axis.setLogMode(y=on)
        for curve in self._curves:
            curve.setLogMode(False, on)

    def set_x_axis(self, title: str) -> None:
        """Numbers and a title under this plot, or (with "") only the grid."""
        self.x_axis.setStyle(showValues=bool(title))
        height = 40 if title else 6
        self.x_axis.setHeight(height)
        self.view.setMinimumHeight(height + (34 if self.small else 60))
        self.name_x_axis(title)
        self.x_axis.showLabel(bool(title))

    def name_x_axis(self, title: str) -> None:
        """What stands under the numbers."""
        if title != self.x_axis.labelText:  # each call lays the axis out anew
            self.x_axis.setLabel(title or None)

    def restyle(self) -> None:
        """Take the colours of the theme."""
        training, validation = curve_colours()
        grey = theme.colour("quiet")
        self.view.setBackground(theme.colour("base"))
        for axis in (self.axis, self.x_axis):
            axis.setPen(theme.colour("line"))
            axis.setTextPen(theme.colour("dim"))
            axis.setTickFont(self.font())
            axis.setGrid(70)
        faint = QColor(training)
        faint.setAlpha(95)
        self.raw.setPen(pg.mkPen(faint, width=1))
        self.smooth.setPen(pg.mkPen(training, width=1.5 if self.small else 2))
        self.validation.setPen(pg.mkPen(validation, width=2))
        self._symbols(self.validation, validation, 6)
        self.other.setPen(pg.mkPen(grey, width=1.5))
        self.other_validation.setPen(pg.mkPen(grey, width=2, style=Qt.PenStyle.DotLine))
        self._symbols(self.other_validation, grey, 5)
        self._best.setPen(None)
        self._best.setSymbol("o")
        self._best.setSymbolSize(13)
        self._best.setSymbolBrush(None)
        self._best.setSymbolPen(pg.mkPen(theme.colour("text"), width=1.6))
        self._best_line.setPen(pg.mkPen(theme.colour("quiet"), width=1, style=Qt.PenStyle.DotLine))
        self._cross.setPen(pg.mkPen(theme.colour("text", 140), width=1))
        self.legend.restyle(training, validation, grey, theme.colour("text"))

    def _symbols(self, curve: Any, colour: QColor, size: int) -> None:
        curve.setSymbolSize(size)
        curve.setSymbolBrush(colour)
        curve.setSymbolPen(None)

    def _curve(self, layer: int) -> Any:
        curve = pg.PlotDataItem(connect="finite", antialias=True)
        curve.setZValue(layer)
        self.box.addItem(curve)
        curve.opts["autoDownsampleFactor"] = 2.0
        curve.setDownsampling(auto=True, method="peak")
        curve.setClipToView(True)
        return curve


class _View(pg.GraphicsView):
    """The plot's surface: tells where the pointer is, and double click means "show all".

    Laid out like pyqtgraph's own plot but without its menus: a hundred widgets each, of which none was ever seen.
    """

    def __init__(self, plot: Plot, left: _Axis, bottom: _Axis) -> None:
        super().__init__(plot)
        self._plot = plot
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.box = pg.ViewBox(enableMenu=False, defaultPadding=0.0)
        self.box.disableAutoRange()
        inside = pg.GraphicsWidget()
        layout = QGraphicsGridLayout(inside)
        layout.setContentsMargins(1, 3, 11, 1)
        layout.setSpacing(0)
        layout.addItem(left, 0, 0)
        layout.addItem(self.box, 0, 1)
        layout.addItem(bottom, 1, 1)
        layout.setRowStretchFactor(0, 100)
        layout.setColumnStretchFactor(1, 100)
        left.setWidth(AXIS_WIDTH)
        for axis in (left, bottom):
            axis.linkToView(self.box)
            axis.setZValue(0.5)
        self.setCentralItem(inside)
        self.setMouseTracking(True)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        box = self._plot.box
        where = self.mapToScene(event.position().toPoint())
        inside = box.sceneBoundingRect().contains(where)
        self._plot.moved.emit(float(box.mapSceneToView(QPointF(where)).x()) if inside else None)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        super().mouseDoubleClickEvent(event)
        self._plot.reset.emit()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._plot.moved.emit(None)


class _Axis(pg.AxisItem):
    """An axis without powers beside it; accuracy in percent."""

    def __init__(self, side: str, *, percent: bool = False) -> None:
        super().__init__(side)
        self._percent = percent
        self.enableAutoSIPrefix(False)
        self.setStyle(tickLength=0, maxTickLevel=1, tickTextOffset=6, hideOverlappingLabels=True)

    def boundingRect(self) -> QRectF:
        # Labels that would reach out of it are left out; the outermost ones may reach out a little.
        rect: QRectF = super().boundingRect()
        return rect.adjusted(-16, 0, 16, 0) if self.orientation == "bottom" else rect.adjusted(0, -6, 0, 6)

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        if self.logMode:
            return [_number(10**value) for value in values]
        digits = max(0, min(8, -math.floor(math.log10(spacing) + 1e-9))) if spacing > 0 else 0
        sign = " %" if self._percent else ""
        # A little room above 100 % keeps the best point's ring whole, but there is nothing to be read there.
        return ["" if self._percent and value > 100 + 1e-9 else f"{value:.{digits}f}{sign}" for value in values]

    def logTickValues(self, low: float, high: float, size: float, steps: Any) -> list[tuple[float, list[float]]]:
        """Powers of ten, and between them as many of 2, 5 or 2 … 9 as there is room for."""
        for marks in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
            powers = range(math.floor(low), math.ceil(high) + 1)
            values = [power + math.log10(mark) for power in powers for mark in marks]
            values = [value for value in values if low <= value <= high]
            smallest = math.log10(10 / marks[-1]) if len(marks) > 1 else 1.0
            if smallest * size / max(high - low, 1e-9) >= 18:
                break
        return [(1.0, values)]


class _Legend(QWidget):
    """The title of a plot and its curves with their values, in one line above it."""

    def __init__(self, title: str, parent: QWidget, *, plain: bool) -> None:
        super().__init__(parent)
        self._title = QLabel(title, self)
        set_role(self._title, role="title")
        self._title.setMinimumWidth(self._title.fontMetrics().horizontalAdvance("Accuracy") + 12)
        self._names: dict[str, str] = {}
        self._keys: dict[str, _Key] = {}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 0, 8, 0)
        layout.setSpacing(12)
        layout.addWidget(self._title)
        for name in ("training",) if plain else ("training", "validation", "best", "other"):
            key = _Key("" if plain else name, dot=name in ("validation", "other"), ring=name == "best", parent=self)
            self._keys[name] = key
            layout.addWidget(key)
        layout.addStretch(1)

    def rename(self, title: str, **names: str) -> None:
        """Another title, and other names for some of the curves."""
        self._title.setText(title)
        self._names = names

    def show_values(self, *, other_name: str = "", **values: str) -> None:
        for name, key in self._keys.items():
            key.show_value(values.get(name, ""), other_name if name == "other" else self._names.get(name, name))
            if name in ("other", "best"):
                key.setVisible(bool(values.get(name)))

    def restyle(self, training: QColor, validation: QColor, other: QColor, best: QColor) -> None:
        for name, colour in (("training", training), ("validation", validation), ("other", other), ("best", best)):
            if name in self._keys:
                self._keys[name].set_colour(colour)


class _Key(QWidget):
    """A swatch of the curve, its name and a value whose digits do not dance."""

    def __init__(self, name: str, *, dot: bool, ring: bool, parent: QWidget) -> None:
        super().__init__(parent)
        self._named = bool(name)
        self._dot, self._ring = dot, ring
        self._colour = QColor()
        self._label = QLabel(name, self)
        set_role(self._label, role="dim")
        self._value = QLabel(self)
        self._value.setMinimumWidth(self._value.fontMetrics().horizontalAdvance("00.00 %") + 2)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(22, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._label)
        layout.addWidget(self._value)
        self._label.setVisible(self._named)

    def show_value(self, value: str, name: str) -> None:
        self._value.setText(value)
        if self._named:
            short = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, 110)
            self._label.setText(short)
            self._label.setToolTip(name if short != name else "")

    def set_colour(self, colour: QColor) -> None:
        self._colour = colour
        self.update()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = self.height() / 2
        if self._ring:
            painter.setPen(QPen(self._colour, 1.6))
            painter.drawEllipse(QPointF(12, middle), 5, 5)
        else:
            painter.setPen(QPen(self._colour, 2))
            painter.drawLine(QPointF(2, middle), QPointF(18, middle))
        if self._dot:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._colour)
            painter.drawEllipse(QPointF(10, middle), 3, 3)


def curve_colours() -> tuple[QColor, QColor]:
    """Training and validation, of the Okabe–Ito colours, as light or dark as the ground asks for."""
    return (QColor("#56b4e9"), QColor("#e69f00")) if theme.dark else (QColor("#0072b2"), QColor("#d55e00"))


def _symbol(epochs: Array) -> str | None:
    """A dot for every epoch, unless they would lie on top of each other."""
    return "o" if len(epochs) <= 200 else None


def _nearest(column: Array, x: float | None) -> int:
    """Row whose value is nearest to `x` in a rising column; the last one without `x`."""
    if x is None:
        return len(column) - 1
    right = int(np.searchsorted(column, x))
    if right == 0 or right == len(column):
        return max(0, min(right, len(column) - 1))
    return right if column[right] - x < x - column[right - 1] else right - 1


def _extent(columns: Sequence[Array]) -> tuple[float, float]:
    """Least and greatest finite value in all columns; 0, 0 where there is none."""
    known = [column[np.isfinite(column)] for column in columns]
    known = [column for column in known if len(column)]
    if not known:
        return 0.0, 0.0
    return float(min(column.min() for column in known)), float(max(column.max() for column in known))


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "not a number"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e4):
        digits, power = f"{value:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.3g}" if abs(value) >= 100 else f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def _percent(value: float) -> str:
    return f"{value:.2f} %" if math.isfinite(value) else "not a number"


def _save(picture: QPixmap, place: Path) -> None:
    if not picture.save(str(place), "PNG"):
        raise OSError(None, "the picture was refused", str(place))
