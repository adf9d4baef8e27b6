"""What a detector answers: what is in sight, what was in sight for the last minute, and the box that is looked at.

`Sight` knows all of it; here it is painted, each part by one widget of its own, so a new answer lays nothing out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QLabel, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from gui.reading import Place, Reading, line, to_image
from gui.sight import SPAN, Chosen, InSight, Sight
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import ModelCard, Result

_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class SightRows(QWidget):
    """A row for every class in sight: its colour, how many, the best score, how many different ones so far.

    Signals:
        chosen(str): a class was clicked.
        painted(): the rows are on the screen.
    """

    chosen = Signal(str)
    painted = Signal()
    PITCH = 24

    def __init__(self, sight: Sight, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sight = sight
        self._rows: list[InSight] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setAccessibleName("What is in sight")

    @property
    def rows(self) -> list[InSight]:
        """Those in sight first, then those that were."""
        return self._rows

    def set(self, rows: list[InSight]) -> None:
        self._rows = rows
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(260, 7 * self.PITCH)

    def minimumSizeHint(self) -> QSize:
        return QSize(240, 5 * self.PITCH)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        bold, plain = scaled_font(self, 1.0, bold=True), self.font()
        metrics = painter.fontMetrics()
        text, dim = theme.colour("text"), theme.colour("dim")
        room = max(1, self.height() // self.PITCH)
        shown = self._rows if len(self._rows) <= room else self._rows[: room - 1]
        so_far = metrics.horizontalAdvance("000 so far") + 8 if any(row.so_far for row in shown) else 0
        percent, times = metrics.horizontalAdvance("100 %") + 8, metrics.horizontalAdvance("× 000")
        right = float(self.width())
        for number, row in enumerate(shown):
            y = float(number * self.PITCH)
            there = row.count > 0
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._sight.colours.get(row.label, "#999999")))
            painter.setOpacity(1.0 if there else 0.4)
            painter.drawRoundedRect(QRectF(1, y + 6, 12, 12), 3, 3)
            painter.setOpacity(1.0)
            painter.setFont(bold if there else plain)
            painter.setPen(text if there else dim)
            name_room = right - 22 - so_far - percent - times
            name = painter.fontMetrics().elidedText(row.label, Qt.TextElideMode.ElideRight, int(name_room))
            painter.drawText(QRectF(22, y, name_room, self.PITCH), _LEFT, name)
            painter.setFont(plain)
            if there:
                place = QRectF(right - so_far - percent - times, y, times, self.PITCH)
                painter.drawText(place, _LEFT, f"× {row.count}")
                painter.drawText(QRectF(right - so_far - percent, y, percent, self.PITCH), _RIGHT, _percent(row.best))
            if row.so_far:
                painter.setPen(dim)
                painter.drawText(QRectF(right - so_far, y, so_far, self.PITCH), _RIGHT, f"{row.so_far} so far")
        if len(shown) < len(self._rows):
            painter.setPen(dim)
            rest = f"and {len(self._rows) - len(shown)} other classes"
            painter.drawText(QRectF(22, len(shown) * self.PITCH, right - 22, self.PITCH), _LEFT, rest)
        painter.end()
        self.painted.emit()

    def _at(self, event: QMouseEvent) -> str:
        number = int(event.position().y()) // self.PITCH
        there = 0 <= number < len(self._rows) and self._rows[number].count > 0
        return self._rows[number].label if there else ""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        label = self._at(event)
        if label:
            self.chosen.emit(label)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        label = self._at(event)
        self.setCursor(Qt.CursorShape.PointingHandCursor if label else Qt.CursorShape.ArrowCursor)
        self.setToolTip(f"Look at the surest “{label}”" if label else "")


class PastChart(QWidget):
    """How many of each class were in sight, second by second: stacked bars in the colours of the classes."""

    def __init__(self, sight: Sight, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sight = sight
        self._past: list[tuple[float, dict[str, float]]] = []
        self.setFixedHeight(76)
        self.setAccessibleName("What was in sight during the last minute")

    @property
    def bars(self) -> list[tuple[float, dict[str, float]]]:
        """Seconds ago, and how many of each class on average."""
        return self._past

    def refresh(self) -> None:
        """Take what there is by now; painted once a second, since nothing but the newest bar would differ."""
        past = self._sight.past()
        if [ago for ago, _ in past] != [ago for ago, _ in self._past] or len(past) < 2:
            self._past = past
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        base = self.height() - 18.0
        most = max((sum(counts.values()) for _, counts in self._past), default=0.0)
        top = max(1, int(np.ceil(most)))
        left = self._left()
        wide = (self.width() - left) / SPAN
        painter.setPen(QPen(theme.colour("line"), 1))
        painter.drawLine(QPointF(left, base), QPointF(self.width(), base))
        painter.setPen(theme.colour("dim"))
        painter.drawText(QRectF(0, -2, left - 6, 16), _RIGHT, str(top) if most else "")
        painter.drawText(QRectF(left, base + 2, 120, 16), _LEFT, "1 minute ago")
        painter.drawText(QRectF(self.width() - 80, base + 2, 80, 16), _RIGHT, "now")
        for ago, counts in self._past:
            x = self.width() - (ago + 1) * wide
            y = base
            for label in sorted(counts):
                high = counts[label] / top * (base - 2)
                y -= high
                painter.fillRect(QRectF(x, y, max(1.0, wide - 1), high), QColor(self._sight.colours.get(label, "#999")))
        painter.end()

    def _left(self) -> float:
        """Where the bars begin, right of the number beside them."""
        return self.fontMetrics().horizontalAdvance("000") + 6.0

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent):
            ago = int((self.width() - event.pos().x()) / ((self.width() - self._left()) / SPAN))
            counts = next((counts for past, counts in self._past if int(past) == ago), None)
            if counts:
                words = ", ".join(f"{label} {count:.1f}".replace(".0", "") for label, count in sorted(counts.items()))
                QToolTip.showText(event.globalPos(), f"{ago} s ago: {words}", self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)


class BoxView(QWidget):
    """The box that is looked at, cut from the picture, and the square that the network saw, with it drawn in."""

    TEXT = 46

    def __init__(self, sight: Sight, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sight = sight
        self._chosen: Chosen | None = None
        self._input: np.ndarray | None = None
        self._crop_image = QImage()
        self._input_image = QImage()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMaximumHeight(300)
        self.setAccessibleName("The box that is looked at, and what the network sees")

    @property
    def chosen(self) -> Chosen | None:
        """What is shown on the left."""
        return self._chosen

    def image(self) -> np.ndarray | None:
        """The pixels that the network saw."""
        return self._input

    def refresh(self) -> None:
        self._chosen = self._sight.chosen
        self._crop_image = QImage() if self._chosen is None else to_image(self._chosen.crop)
        result = self._sight.result
        self._input = None if result is None else result.network_input
        self._input_image = QImage() if self._input is None else to_image(np.ascontiguousarray(self._input))
        self.setAccessibleDescription(" ".join(self._words()))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(260, 150 + 20 + self.TEXT)

    def minimumSizeHint(self) -> QSize:
        return QSize(240, 110 + 20 + self.TEXT)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform | QPainter.RenderHint.Antialiasing)
        side = max(40.0, min((self.width() - 12) / 2, self.height() - 20.0 - self.TEXT))
        left, right = QRectF(0, 20, side, side), QRectF(side + 12, 20, side, side)
        painter.setPen(theme.colour("dim"))
        painter.drawText(QRectF(0, 0, side, 18), _LEFT, "Looked at")
        painter.drawText(QRectF(side + 12, 0, self.width() - side - 12, 18), _LEFT, "What the network sees")
        for place in (left, right):
            painter.fillRect(place, theme.colour("track"))
        if not self._crop_image.isNull():
            inner = _fitted(self._crop_image, left)
            painter.setOpacity(1.0 if self._chosen is not None and self._chosen.index >= 0 else 0.5)
            painter.drawImage(inner, self._crop_image)
            painter.setOpacity(1.0)
        if not self._input_image.isNull():
            painter.drawImage(right, self._input_image)
            self._paint_boxes(painter, right)
        headline, remark = self._words()
        y = 20 + side + 4
        painter.setPen(theme.colour("text"))
        painter.setFont(scaled_font(self, 1.0, bold=True))
        painter.drawText(QRectF(0, y, self.width(), 20), _LEFT, headline)
        painter.setFont(self.font())
        painter.setPen(theme.colour("dim"))
        painter.drawText(QRectF(0, y + 20, self.width(), 20), _LEFT, remark)
        if self._chosen is not None and len(self._chosen.scores) > 1:
            self._paint_scores(painter, QRectF(self.width() - 84, y + 2, 84, 18), self._chosen.scores)
        painter.end()

    def _words(self) -> tuple[str, str]:
        chosen = self._chosen
        if chosen is None:
            shown = self._sight.shown
            if shown is not None and len(shown):
                return "", "Click a box, or press → on the picture."
            return "", ""
        name = f"{chosen.label} {chosen.track}" if chosen.track >= 0 else chosen.label
        wide, high = chosen.box[2] - chosen.box[0], chosen.box[3] - chosen.box[1]
        if chosen.index < 0:
            return f"{name} · out of sight", "This is how it was last."
        remark = f"{wide:.0f} × {high:.0f} pixels"
        if len(chosen.scores) > 1:
            remark += f" · {_percent(sum(chosen.scores) / len(chosen.scores))} on average"
        if chosen.seconds >= 1:
            remark += f" for {chosen.seconds:.0f} s"
        return f"{name} · {_percent(chosen.score)}", remark

    def _paint_boxes(self, painter: QPainter, place: QRectF) -> None:
        """All boxes thin, and the one that is looked at as the picture has it."""
        result, shown = self._sight.result, self._sight.shown
        if result is None or shown is None or self._input is None:
            return
        height, width = result.frame.image.shape[:2]
        boxes = in_input(shown.xyxy, (width, height), len(self._input)) * (place.width() / len(self._input))
        index = self._chosen.index if self._chosen is not None else -1
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setClipRect(place)
        for i in [*(i for i in range(len(boxes)) if i != index), *([index] if index >= 0 else [])]:
            x0, y0, x1, y1 = boxes[i].tolist()
            box = QRectF(place.x() + x0, place.y() + y0, x1 - x0, y1 - y0)
            colour = QColor(self._sight.colours.get(shown.labels[shown.class_id[i]], "#999999"))
            if i == index:
                painter.setPen(QPen(Qt.GlobalColor.white, 4))
                painter.drawRect(box)
            painter.setPen(QPen(colour, 2.2 if i == index else 1.0))
            painter.drawRect(box)
        painter.setClipping(False)

    @staticmethod
    def _paint_scores(painter: QPainter, place: QRectF, scores: tuple[float, ...]) -> None:
        step = place.width() / (len(scores) - 1)
        points = [QPointF(place.x() + i * step, place.bottom() - s * place.height()) for i, s in enumerate(scores)]
        painter.setPen(QPen(theme.colour("line"), 1))
        painter.drawLine(place.bottomLeft(), place.bottomRight())
        painter.setPen(QPen(theme.colour("accent"), 1.4))
        painter.drawPolyline(QPolygonF(points))


class DetectorAnswer(QWidget):
    """Rows, the last minute, and the box that is looked at; the words go into `reading`.

    Signals:
        painted(): the newest result is on the screen.
    """

    painted = Signal()

    def __init__(self, reading: Reading, sight: Sight, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._sight = sight
        self._place: Place = "nothing"
        self.rows = SightRows(sight)
        self.past = PastChart(sight)
        self.box = BoxView(sight)
        title = QLabel("In sight during the last minute")
        set_role(title, role="dim")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.rows, 2)
        layout.addWidget(line())
        layout.addWidget(title)
        layout.addWidget(self.past)
        layout.addWidget(line())
        layout.addWidget(self.box, 3)
        self.rows.painted.connect(self.painted)
        self.rows.chosen.connect(sight.choose_class)
        sight.changed.connect(self._show)
        sight.chosen_changed.connect(self.box.refresh)

    def set_place(self, place: Place) -> None:
        self._place = place

    def set_card(self, card: ModelCard) -> None:
        """Another detector runs; its card is already known to `Sight`."""

    def clear(self) -> None:
        """Nothing has been looked at."""
        self.rows.set([])
        self.past.refresh()
        self.box.refresh()
        if self._place == "picture":
            self._reading.set("", "", loud=False)  # until it has been looked at
        else:
            self._reading.set("Nothing to look at yet", "Choose a source above the picture.", loud=False)

    def set_result(self, result: Result) -> None:
        """Show a result that `Sight` has taken."""
        if result.detections is not None:
            self._show()

    def _show(self) -> None:
        sight = self._sight
        if sight.result is None or sight.shown is None or sight.result.faces is not None:
            return
        rows = sight.in_sight()
        self.rows.set(rows)
        self.past.refresh()
        self.box.refresh()
        self._reading.set(*self._words([row for row in rows if row.count]), loud=False)

    def _words(self, rows: list[InSight]) -> tuple[str, str]:
        if rows:
            total = sum(row.count for row in rows)
            best = max(rows, key=lambda row: row.best)
            line = f"{total} object{'s' if total != 1 else ''} · surest: {best.label} with {_percent(best.best)}"
            return ", ".join(row.label if row.count == 1 else f"{row.count} × {row.label}" for row in rows), line
        if not self._sight.seen:
            return "No class is shown", "Choose some above the picture."
        hidden = sum(self._sight.found().values())
        if hidden:
            return (
                "Nothing to show",
                f"{hidden} in sight, of {'a class that is' if hidden == 1 else 'classes that are'} not shown.",
            )
        return "Nothing in sight", f"of which it is {_percent(self._sight.min_score)} sure or more."


def in_input(boxes: np.ndarray, frame: tuple[int, int], side: int) -> np.ndarray:
    """Boxes (N, 4) of a frame (width, height) in the square of `side` pixels that the network saw.

    The frame lies in the middle of the square, as large as it can be.
    """
    width, height = frame
    factor = side / max(width, height)
    inner = (max(1, round(width * factor)), max(1, round(height * factor)))
    left, top = (side - inner[0]) // 2, (side - inner[1]) // 2
    scale = np.array([inner[0] / width, inner[1] / height] * 2)
    placed: np.ndarray = boxes * scale + np.array([left, top] * 2)
    return placed


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _fitted(image: QImage, place: QRectF) -> QRectF:
    scale = min(place.width() / image.width(), place.height() / image.height())
    inner = QRectF(0, 0, image.width() * scale, image.height() * scale)
    inner.moveCenter(place.center())
    return inner
