"""From which similarity on a face gets a name: how alike the gallery's faces are, with the line between them.

The line is a slider over two histograms; beside it are the faces that lie nearest to it, so that one sees what a
little more or less would change.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from gui.faces import Faces, Scale
from gui.overlay import share_words
from gui.recognised import paint_face
from gui.theme import OKABE_ITO, scaled_font, set_role, theme

LOW, HIGH = -0.3, 1.0  # similarities that are shown
BINS = 65
STEP = 0.01
SAME, OTHER = OKABE_ITO[2], OKABE_ITO[1]  # colours of pairs of one person, and of two
PAIRS = 4  # that are shown of each kind


class Histogram(QWidget):
    """How many pairs of faces are how alike, and the line from which on a face is named.

    Signals:
        moved(float): a person moves the line; it is where they want it once `settled`.
        settled(float).
    """

    moved = Signal(float)
    settled = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._same = self._other = np.zeros(BINS)
        self._counts = (0, 0)
        self._line = self._suggested = 0.5
        self._dragging = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Similarity from which a face is named")
        self.setToolTip("Drag the line, or use ← and → : more to the left names more faces, also wrong ones")
        theme.changed.connect(self.update)

    @property
    def line(self) -> float:
        return self._line

    def show_scale(self, scale: Scale | None) -> None:
        edges = np.linspace(LOW, HIGH, BINS + 1)
        none = np.zeros(BINS)
        parts = []
        for same in (True, False):
            values = scale.similarity[scale.same == same] if scale is not None else np.zeros(0)
            parts.append(np.histogram(np.clip(values, LOW, HIGH), edges)[0] if len(values) else none)
        self._counts = (int(parts[0].sum()), int(parts[1].sum()))
        self._same, self._other = (part / max(1, part.max()) for part in parts)
        self.update()

    def show_lines(self, line: float, suggested: float) -> None:
        if not self._dragging:
            self._line = line
        self._suggested = suggested
        self.setAccessibleDescription(f"{self._line:.2f}; suggested: {suggested:.2f}")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(360, 150)

    def minimumSizeHint(self) -> QSize:
        return QSize(220, 84)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = self._area()
        wide = area.width() / BINS
        for bars, name in ((self._other, OTHER), (self._same, SAME)):
            colour = QColor(name)
            colour.setAlpha(170)
            for number, high in enumerate(bars):
                if high > 0:
                    tall = max(1.5, high * area.height())
                    x = area.x() + number * wide
                    painter.fillRect(QRectF(x, area.bottom() - tall, max(1.0, wide - 1), tall), colour)
        painter.setPen(QPen(theme.colour("line"), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.setPen(theme.colour("dim"))
        for tick in (0.0, 0.5, 1.0):
            place = QRectF(self._x(tick) - 30, area.bottom() + 1, 60, 16)
            if tick == 1.0:
                place.moveRight(self.width())
            right = Qt.AlignmentFlag.AlignRight if tick == 1.0 else Qt.AlignmentFlag.AlignHCenter
            painter.drawText(place, right | Qt.AlignmentFlag.AlignTop, f"{tick:.1f}")
        self._paint_legend(painter)
        painter.setPen(QPen(theme.colour("quiet"), 1.4, Qt.PenStyle.DashLine))
        x = self._x(self._suggested)
        painter.drawLine(QPointF(x, area.y()), QPointF(x, area.bottom()))
        x = self._x(self._line)
        painter.setPen(QPen(theme.colour("accent"), 2.2))
        painter.drawLine(QPointF(x, area.y() - 4), QPointF(x, area.bottom()))
        painter.setBrush(theme.colour("accent" if self.hasFocus() else "base"))
        painter.drawEllipse(QPointF(x, area.bottom()), 6, 6)
        painter.end()

    def _paint_legend(self, painter: QPainter) -> None:
        metrics = painter.fontMetrics()
        x = 0.0
        for words, colour in ((f"one person ({self._counts[0]})", SAME), (f"two people ({self._counts[1]})", OTHER)):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colour))
            painter.drawRoundedRect(QRectF(x, 4, 9, 9), 2, 2)
            painter.setPen(theme.colour("dim"))
            painter.drawText(
                QRectF(x + 14, 0, 200, 17), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, words
            )
            x += 14 + metrics.horizontalAdvance(words) + 18

    def _area(self) -> QRectF:
        return QRectF(8, 24, self.width() - 16, self.height() - 24 - 18)

    def _x(self, similarity: float) -> float:
        area = self._area()
        return area.x() + (min(HIGH, max(LOW, similarity)) - LOW) / (HIGH - LOW) * area.width()

    def _move_to(self, similarity: float) -> None:
        line = round(min(0.99, max(LOW, similarity)) / STEP) * STEP
        if line != self._line:
            self._line = line
            self.setAccessibleDescription(f"{line:.2f}; suggested: {self._suggested:.2f}")
            self.moved.emit(line)
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._dragging = True
            self.mouseMoveEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragging:
            area = self._area()
            self._move_to(LOW + (event.position().x() - area.x()) / max(1.0, area.width()) * (HIGH - LOW))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._dragging:
            self._dragging = False
            self.settled.emit(self._line)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: -STEP,
            Qt.Key.Key_Right: STEP,
            Qt.Key.Key_PageDown: -10 * STEP,
            Qt.Key.Key_PageUp: 10 * STEP,
        }
        step = steps.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        self._move_to(self._line + step)
        self.settled.emit(self._line)


class PairView(QWidget):
    """Pairs of faces with how probable it is that they are one person's, those above the line marked."""

    HIGH = 62

    def __init__(self, title: str, colour: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._colour = title, colour
        self._pairs: list[tuple[QImage, QImage, str, bool]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(190, 18 + self.HIGH)
        self.setMaximumHeight(130)
        self.setAccessibleName(title)

    @property
    def pairs(self) -> list[tuple[QImage, QImage, str, bool]]:
        """Two faces, the words below them, and whether they lie above the line."""
        return self._pairs

    def show_pairs(self, pairs: Sequence[tuple[QImage, QImage, str, bool]]) -> None:
        self._pairs = list(pairs)
        self.setAccessibleDescription(", ".join(words for _, _, words, _ in self._pairs))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(360, 18 + self.HIGH)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._colour))
        painter.drawRoundedRect(QRectF(0, 4, 9, 9), 2, 2)
        painter.setPen(theme.colour("dim"))
        painter.drawText(QRectF(14, 0, self.width() - 14, 17), Qt.AlignmentFlag.AlignLeft, self._title)
        side = max(40.0, self.height() - 40.0)
        wide = 2 * side + 16
        painter.setFont(scaled_font(self, 0.9))
        for number, (one, other, words, above) in enumerate(self._pairs):
            x = number * wide
            if number and x + wide > self.width() + 12:
                break
            paint_face(painter, QRectF(x, 20, side, side), one)
            paint_face(painter, QRectF(x + side + 2, 20, side, side), other)
            painter.setPen(theme.colour("accent" if above else "dim"))
            painter.drawText(QRectF(x, 20 + side, 2 * side + 2, 18), Qt.AlignmentFlag.AlignCenter, words)
        if not self._pairs:
            painter.setPen(theme.colour("dim"))
            painter.drawText(QRectF(14, 20, self.width() - 14, 20), Qt.AlignmentFlag.AlignLeft, "none yet")
        painter.end()


class ThresholdPage(QWidget):
    """The histogram, what its line means in words, and the faces beside the line."""

    def __init__(self, faces: Faces, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces = faces
        self._images: dict[int, QImage] = {}
        self.histogram = Histogram()
        self.histogram.moved.connect(lambda _: self._show_words())
        self.histogram.settled.connect(faces.set_threshold)
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._meaning = QLabel()
        self._meaning.setWordWrap(True)
        set_role(self._meaning, role="dim")
        self.suggest = QPushButton("Use the suggested one")
        self.suggest.clicked.connect(lambda: faces.set_threshold(None))
        self.suggest.setToolTip("What suits this network and this gallery; it moves as people are added")
        self.same = PairView("One person, nearest to the line", SAME)
        self.other = PairView("Two people, nearest to the line", OTHER)
        pairs, words = QVBoxLayout(), QVBoxLayout()
        pairs.setSpacing(4)
        pairs.addWidget(self.same, 1)
        pairs.addWidget(self.other, 1)
        words.setSpacing(6)
        words.addWidget(self._words)
        words.addWidget(self._meaning)
        words.addWidget(self.suggest, 0, Qt.AlignmentFlag.AlignLeft)
        words.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(20)
        layout.addWidget(self.histogram, 8)
        layout.addLayout(pairs, 7)
        layout.addLayout(words, 6)
        self._looking = QTimer(self)  # the faces come once the line rests for a moment
        self._looking.setSingleShot(True)
        self._looking.setInterval(120)
        self._looking.timeout.connect(self._look)
        faces.recognition.connect(self.refresh)
        self.setFocusProxy(self.histogram)
        self.refresh()

    @property
    def words(self) -> str:
        """What the line means."""
        return self._words.text()

    def refresh(self) -> None:
        faces = self._faces
        self.histogram.show_scale(faces.scale)
        self.histogram.show_lines(faces.threshold, faces.suggested)
        self.suggest.setEnabled(abs(faces.threshold - faces.suggested) > STEP / 2)
        self._show_words()

    def _show_words(self) -> None:
        faces, line = self._faces, self.histogram.line
        sure = share_words(faces.probability(line))
        parts = [f"A face gets a name from {line:.2f} on ({sure})."]
        scale = faces.scale
        if scale is not None and len(scale.same):
            own, others = scale.similarity[scale.same], scale.similarity[~scale.same]
            if len(own):
                parts.append(f"{int((own < line).sum())} of {len(own)} faces here would stay unknown.")
            if len(others):
                parts.append(f"{int((others >= line).sum())} of {len(others)} would be taken for others.")
        else:
            parts.append("With two people or more, and several pictures of each, their faces are compared here.")
        self._words.setText(" ".join(parts))
        self._meaning.setText(
            "Left of the line is “unknown”. Further right, fewer strangers get a name, and more friends get none."
        )
        if self.isVisible():
            self._looking.start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._looking.start()

    def _look(self) -> None:
        scale, line = self._faces.scale, self.histogram.line
        pairs = {same: scale.near(line, same=same, most=PAIRS) if scale is not None else [] for same in (True, False)}
        wanted = {shot for found in pairs.values() for one, other, _ in found for shot in (one, other)}

        def show(images: dict[int, QImage]) -> None:
            for same, view in ((True, self.same), (False, self.other)):
                view.show_pairs(
                    [
                        (
                            images.get(one, QImage()),
                            images.get(other, QImage()),
                            share_words(self._faces.probability(similarity)),
                            similarity >= line,
                        )
                        for one, other, similarity in pairs[same]
                    ]
                )

        self._faces.pictures(wanted, show)
