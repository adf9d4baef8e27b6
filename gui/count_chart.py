"""The chart of Counting: how many are in each zone, and how many have crossed each line so far, over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QGraphicsGridLayout, QSizePolicy, QWidget

from engine import Values
from gui.theme import theme

AXIS_WIDTH = 34
_FAINT = 0.45  # how much one sees of the pass before
SHORTEST = 10.0  # seconds that the chart is wide at least
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


class CountChart(pg.GraphicsView):
    """Steps in the colours of the zones and lines; dashed where something goes back over a line.

    Faint below them is the pass before: a video that plays over and over shows all of itself, and not only its start.

    The wheel zooms and dragging moves in time; a double click shows everything again.
    """

    def __init__(self, colour: Callable[[str], str], parent: QWidget | None = None) -> None:
        """`colour`: of a zone or line by its name."""
        super().__init__(parent)
        self._colour = colour
        self._curves: dict[tuple[str, bool, bool], Any] = {}
        self._follows = True
        self._extent = (0.0, SHORTEST, 1)  # from, to, and the largest number
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 90)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Numbers over time")
        self.setToolTip(
            "Zones: how many are in them. Lines: how many have crossed so far, dashed the other way. "
            "Faint: the pass before, of a video that has begun anew."
        )
        self.box = pg.ViewBox(enableMenu=False, defaultPadding=0.0)
        self.box.disableAutoRange()
        self.box.setMouseEnabled(x=True, y=False)
        self.box.sigRangeChangedManually.connect(self._moved)
        self._left, self._bottom = _WholeNumbers("left"), _Seconds("bottom")
        inside = pg.GraphicsWidget()
        layout = QGraphicsGridLayout(inside)
        layout.setContentsMargins(1, 3, 22, 1)  # half of the last time stands beside the curves
        layout.setSpacing(0)
        layout.addItem(self._left, 0, 0)
        layout.addItem(self.box, 0, 1)
        layout.addItem(self._bottom, 1, 1)
        layout.setRowStretchFactor(0, 100)
        layout.setColumnStretchFactor(1, 100)
        self._left.setWidth(AXIS_WIDTH)
        self._bottom.setHeight(22)
        for axis in (self._left, self._bottom):
            axis.linkToView(self.box)
            axis.setZValue(0.5)
        self.setCentralItem(inside)
        theme.changed.connect(self.restyle)
        self.restyle()
        self._show_range()

    def show_values(self, values: Sequence[Values]) -> None:
        """These numbers, and no others."""
        newest = max((each.lap for each in values), default=1)
        wanted = {(each.place, each.forth, each.lap < newest) for each in values}
        for key in [key for key in self._curves if key not in wanted]:
            self.box.removeItem(self._curves.pop(key))
        first, last, most = math.inf, 0.0, 1
        words = []
        for each in values:
            before = each.lap < newest
            key = (each.place, each.forth, before)
            if key not in self._curves:
                self._curves[key] = self._curve(each, before=before)
            curve = self._curves[key]
            self._pen(curve, each.place, forth=each.forth, before=before)
            curve.setData(*_steps(each))
            if len(each.seconds):
                first, last = min(first, float(each.seconds[0])), max(last, float(each.seconds[-1]))
                most = max(most, int(each.most.max()))
                words.append(f"{each.place}, {each.what}{', before' * before}: {int(each.last[-1])}")
        self.setAccessibleDescription("; ".join(words))
        first = 0.0 if math.isinf(first) else first
        self._extent = (first, max(last, first + SHORTEST), most)
        if self._follows:
            self._show_range()

    def restyle(self) -> None:
        """Take the colours of the theme."""
        self.setBackground(theme.colour("base"))
        for axis in (self._left, self._bottom):
            axis.setPen(theme.colour("line"))
            axis.setTextPen(theme.colour("dim"))
            axis.setTickFont(self.font())
            axis.setGrid(70)

    @property
    def follows(self) -> bool:
        """All of the time is shown, also what comes."""
        return self._follows

    # inside ---------------------------------------------------------------------------------------------------------

    def _moved(self, *_: object) -> None:
        self._follows = False

    def _show_range(self) -> None:
        first, last, most = self._extent
        self.box.setRange(xRange=(first, last), yRange=(-0.03 * most, most * 1.08), padding=0.0)

    def _curve(self, values: Values, *, before: bool) -> Any:
        curve = pg.PlotDataItem(connect="finite", antialias=False, stepMode="right")
        curve.setClipToView(False)
        curve.setZValue((0 if before else 2) + (1 if values.forth else 0))
        curve.setOpacity(_FAINT if before else 1.0)
        self.box.addItem(curve)
        return curve

    def _pen(self, curve: Any, place: str, *, forth: bool, before: bool) -> None:
        style = Qt.PenStyle.SolidLine if forth else Qt.PenStyle.DashLine
        curve.setPen(pg.mkPen(self._colour(place), width=1 if before else 2, style=style))

    # Qt -------------------------------------------------------------------------------------------------------------

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._follows = True
        self._show_range()
        event.accept()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        if getattr(self, "_follows", False) and hasattr(self, "box"):
            self._show_range()


def _steps(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """The curve: where a stretch of time has several numbers, the least and the most of them are on it."""
    seconds = np.repeat(values.seconds, 3)
    return seconds, np.stack([values.least, values.most, values.last], axis=1).ravel().astype(np.float64)


class _WholeNumbers(pg.AxisItem):
    """How many: there are no halves."""

    def __init__(self, side: str) -> None:
        super().__init__(side)
        self.enableAutoSIPrefix(False)
        self.setStyle(tickLength=0, maxTickLevel=0, tickTextOffset=6, hideOverlappingLabels=True)

    def boundingRect(self) -> QRectF:
        rect: QRectF = super().boundingRect()
        return rect.adjusted(0, -6, 0, 6)

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        wanted = max(1.0, (high - low) * 26 / max(size, 1.0))
        power = 10 ** math.floor(math.log10(wanted))
        step = next(power * each for each in (1, 2, 5, 10) if power * each >= wanted - 1e-9)
        return [(max(1.0, step), 0.0)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [f"{value:.0f}" for value in values]


class _Seconds(pg.AxisItem):
    """Time as people read it: 0:05, 12:30, 1:05:00."""

    def __init__(self, side: str) -> None:
        super().__init__(side)
        self.enableAutoSIPrefix(False)
        self.setStyle(tickLength=0, maxTickLevel=0, tickTextOffset=4, hideOverlappingLabels=True)

    def boundingRect(self) -> QRectF:
        rect: QRectF = super().boundingRect()
        return rect.adjusted(-16, 0, 16, 0)

    def tickSpacing(self, low: float, high: float, size: float) -> list[tuple[float, float]]:
        wanted = (high - low) * 70 / max(size, 1.0)
        return [(float(next((step for step in _STEPS if step >= wanted), _STEPS[-1])), 0.0)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [time_words(value, tenths=spacing < 1) for value in values]


def time_words(seconds: float, *, tenths: bool = False) -> str:
    """Minutes and seconds, with hours where there are some."""
    parts = round(abs(seconds) * 10)
    whole, tenth = divmod(parts, 10) if tenths else (round(abs(seconds)), 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    sign = "-" if seconds < 0 and parts else ""
    return f"{sign}{text}.{tenth}" if tenths else f"{sign}{text}"
