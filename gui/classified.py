"""What a classifier answers: how sure it is of each class, and the very picture that it saw.

Everything that changes with each stroke is painted by one widget of its own, so a new answer lays nothing out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from gui.reading import Place, Reading, line, to_image
from gui.theme import scaled_font, theme

if TYPE_CHECKING:
    from engine import Classification, ModelCard, Region, Result

ALL_CLASSES = 24  # a network with more of them shows the most probable five
TOP = 5
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class ClassBars(QWidget):
    """A bar for every class. Signals: `painted()`."""

    painted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._labels: tuple[str, ...] = ()
        self._shares: list[float] = []
        self._best = -1
        self._reject = -1
        self._label_width = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Probabilities of the classes")

    @property
    def values(self) -> dict[str, float]:
        """What the bars show, by class."""
        return dict(zip(self._labels, self._shares, strict=True))

    @property
    def rows(self) -> int:
        return len(self._labels)

    def rename(self, labels: tuple[str, ...]) -> None:
        """Other names for as many rows as there are."""
        self._labels = labels
        self._label_width = 150.0 + 12
        self.update()

    def set_labels(self, labels: tuple[str, ...], reject: str) -> None:
        """These rows, all empty; `reject` is the row of what is none of them."""
        self._labels = labels
        self._shares = [0.0] * len(labels)
        self._best = -1
        self._reject = labels.index(reject) if reject in labels else -1
        metrics = QFontMetricsF(scaled_font(self, 1.0, bold=True))
        widest = max((metrics.horizontalAdvance(label) for label in labels), default=0.0)
        self._label_width = min(widest, 150.0) + 12
        rows = len(labels)
        self.setMinimumHeight(rows * 18 + 8)
        self.setMaximumHeight(rows * 34 + 8)
        self.updateGeometry()
        self.update()

    def set(self, shares: list[float], best: int) -> None:
        self._shares, self._best = shares, best
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(260, len(self._labels) * 28 + 8)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = QFontMetricsF(self.font())
        rows = max(1, len(self._labels))
        gap = 8.0 if 0 < self._reject == rows - 1 else 0.0
        pitch = (self.height() - gap) / rows
        thick = min(14.0, pitch * 0.56)
        share_width = metrics.horizontalAdvance("100.0 %") + 8
        left = self._label_width
        long = max(8.0, self.width() - left - share_width)
        track, quiet, accent = theme.colour("track"), theme.colour("quiet"), theme.colour("accent")
        text, dim = theme.colour("text"), theme.colour("dim")
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        short = all(len(label) < 3 for number, label in enumerate(self._labels) if number != self._reject)
        label_side = right if short else _LEFT
        bold = scaled_font(self, 1.0, bold=True)
        plain = self.font()
        for row, (label, share) in enumerate(zip(self._labels, self._shares, strict=True)):
            y = row * pitch + (gap if row == self._reject else 0.0)
            best = row == self._best
            painter.setFont(bold if best else plain)
            painter.setPen(text if best else dim)
            if metrics.horizontalAdvance(label) > left - 8:
                label = metrics.elidedText(label, Qt.TextElideMode.ElideRight, left - 12)
            painter.drawText(QRectF(0, y, left - 12, pitch), label_side, label)
            bar = QRectF(left, y + (pitch - thick) / 2, long, thick)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(track)
            painter.drawRoundedRect(bar, 3, 3)
            if share > 0.0005:
                filled = QRectF(bar.topLeft(), QPointF(bar.left() + max(3.0, long * share), bar.bottom()))
                painter.setBrush((quiet if row == self._reject else accent) if best else quiet)
                painter.drawRoundedRect(filled, 3, 3)
            if share >= 0.0005 or best:
                painter.setPen(text if best else dim)
                painter.drawText(QRectF(left + long, y, share_width, pitch), right, f"{share * 100:.1f} %")
        painter.end()
        self.painted.emit()


class InputView(QWidget):
    """The picture that the network saw, every pixel a square.

    With several regions a strip of them below, of which one is chosen. Signals: `chosen(int)`.
    """

    chosen = Signal(int)
    SIDES = (140, 228)  # of the picture: as large as there is room for
    THUMB = 40

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._images: list[QImage] = []
        self._kept: list[np.ndarray] = []  # the pixels that the QImages look at
        self._texts: list[str] = []
        self._current = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMaximumHeight(self.SIDES[1] + 16 + self.THUMB)
        self.setAccessibleName("What the network sees")
        self.setMouseTracking(True)

    @property
    def current(self) -> int:
        return self._current

    def image(self) -> np.ndarray | None:
        """The pixels that are shown."""
        return self._kept[self._current] if self._kept else None

    def set(self, regions: tuple[Region, ...], current: int) -> None:
        self._kept = [np.ascontiguousarray(region.network_input) for region in regions]
        self._images = [to_image(pixels) for pixels in self._kept]
        self._texts = ["?" if region.classification.rejected else region.classification.label for region in regions]
        self._current = current
        several = len(regions) > 1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if several else Qt.FocusPolicy.NoFocus)
        self.update()

    def choose(self, number: int) -> None:
        if 0 <= number < len(self._images) and number != self._current:
            self._current = number
            self.update()
            self.chosen.emit(number)

    def sizeHint(self) -> QSize:
        return QSize(260, self.SIDES[0] + 12 + self.THUMB + 4)

    def minimumSizeHint(self) -> QSize:
        return QSize(self.SIDES[0] + 100, self.SIDES[0] + 12 + self.THUMB + 4)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        ratio = self.devicePixelRatioF()
        side = self._side()
        frame = QRect(0, 0, side, side)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("track"))
        painter.drawRect(frame)
        if self._images:
            image = self._images[self._current]
            # Whole screen pixels for every pixel of the input, so that all squares are of one size.
            cell = max(1.0, (side * ratio) // image.width()) / ratio
            across = min(float(side), cell * image.width()) if image.width() <= side * ratio else float(side)
            place = QRectF((side - across) / 2, (side - across) / 2, across, across)
            painter.fillRect(frame, Qt.GlobalColor.black)
            painter.drawImage(place, image)
        painter.setPen(theme.colour("text"))
        painter.setFont(scaled_font(self, 1.0, bold=True))
        aside = QRect(side + 16, 0, self.width() - side - 16, 22)
        painter.drawText(aside, _LEFT, "What the network sees")
        painter.setFont(self.font())
        painter.setPen(theme.colour("dim"))
        flags = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap)
        painter.drawText(aside.adjusted(0, 26, 0, side - 22), flags, self._hint())
        if len(self._images) > 1:
            self._paint_strip(painter)
        painter.end()

    def _hint(self) -> str:
        if not self._images:
            return "The drawing, made ready for the network, appears here."
        image = self._images[self._current]
        size = f"{image.width()} × {image.height()} pixels"
        if image.format() == QImage.Format.Format_Grayscale8:
            return f"Exactly these {size}: the drawing, centred, scaled and light on dark."
        return f"Exactly these {size}, cut from the middle of the picture."

    def _side(self) -> int:
        free = min(self.height() - 16 - self.THUMB, self.width() // 2)
        return max(self.SIDES[0], min(self.SIDES[1], free))

    def _thumbs(self) -> list[QRect]:
        count = len(self._images)
        pitch = min(self.THUMB + 8, max(12, self.width() // max(1, count)))
        size = min(self.THUMB, pitch - 4)
        return [QRect(2 + i * pitch, self._side() + 12, size, size) for i in range(count)]

    def _paint_strip(self, painter: QPainter) -> None:
        for number, (place, image) in enumerate(zip(self._thumbs(), self._images, strict=True)):
            painter.drawImage(place, image)
            if number == self._current:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(theme.colour("accent"), 2))
                painter.drawRect(place.adjusted(-1, -1, 1, 1))
            badge = QRectF(place.right() - 13, place.bottom() - 15, 14, 16)
            painter.fillRect(badge, theme.colour("accent") if number == self._current else theme.colour("quiet"))
            painter.setPen(theme.colour("on_accent") if number == self._current else theme.colour("base"))
            painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, self._texts[number][:1])

    def _thumb_at(self, place: QPoint) -> int:
        return next((i for i, thumb in enumerate(self._thumbs()) if thumb.contains(place)), -1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if len(self._images) > 1:
            self.choose(self._thumb_at(event.position().toPoint()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        over = len(self._images) > 1 and self._thumb_at(event.position().toPoint()) >= 0
        self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.ArrowCursor)
        self.setToolTip("Show the bars of this digit" if over else "")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right) and len(self._images) > 1:
            self.choose(self._current + (1 if event.key() == Qt.Key.Key_Right else -1))
        else:
            super().keyPressEvent(event)


class ClassifierAnswer(QWidget):
    """Bars and input of the newest result; the words go into `reading`.

    Attributes:
        bars, input: its parts.
        region: whose bars are shown, where several digits were read.
    Signals:
        painted(): the bars are on the screen.
        region_chosen(int): `region` is another one.
    """

    painted = Signal()
    region_chosen = Signal(int)

    def __init__(self, reading: Reading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._result: Result | None = None
        self._card: ModelCard | None = None
        self._order: list[int] | None = None  # for top-5: which classes the rows show
        self._place: Place = "paper"
        self.region = 0
        self.bars = ClassBars()
        self.bars.setFont(scaled_font(self, 1.05))
        self.bars.set_labels((*"0123456789", "not a digit"), "not a digit")
        self.input = InputView()
        self.bars.painted.connect(self.painted)
        self.input.chosen.connect(self._choose)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(12)
        layout.addWidget(self.bars, 3)
        layout.addWidget(line())
        layout.addWidget(self.input, 1)
        layout.addStretch(0)

    def set_place(self, place: Place) -> None:
        self._place = place

    def set_card(self, card: ModelCard) -> None:
        self._card = card
        self._set_rows(card)

    def clear(self) -> None:
        """Nothing has been read."""
        self._result = None
        self._set_region(0)
        self._show_nothing("", "")  # until it has been read again

    def set_result(self, result: Result) -> None:
        if result.detections is not None:
            return  # a late one of a detector
        self._result = result
        if self.region >= len(result.regions):
            self._set_region(0)
        self._show(result)

    def _show(self, result: Result) -> None:
        whole = result.classification
        if whole is None:
            self._show_nothing(*self._why_nothing(result))
            return
        chosen = result.regions[self.region].classification if result.regions else whole
        self.input.set(result.regions, self.region)
        self._show_bars(chosen)
        self._reading.set(*self._words(result, chosen), loud=not self._all_rejected(result, whole))

    def _set_region(self, number: int) -> None:
        """Whose bars are shown; whoever shows maps of the same digit hears of every change."""
        if number != self.region:
            self.region = number
            self.region_chosen.emit(number)

    def _show_nothing(self, headline: str, line: str) -> None:
        """No bars and no input; the words are those for the paper, a picture that plays has its own."""
        self.input.set((), 0)
        self.bars.set([0.0] * self.bars.rows, -1)
        if self._card is None:
            return
        if self._place == "picture" and self._card.preprocess.kind == "drawing":
            self._reading.set("No digit in sight", "Show a sheet with a large, dark digit.", loud=False)
        elif self._place != "paper":
            self._reading.set("Nothing to look at yet", "Choose a source above the picture.", loud=False)
        else:
            self._reading.set(headline, line, loud=False)

    def _why_nothing(self, result: Result) -> tuple[str, str]:
        """What is said of a paper on which no ink was found."""
        if result.frame.blank:
            return "Nothing drawn yet", "Draw a digit: the answer follows the pen."
        digits = self._card is None or self._card.preprocess.digits
        return f"This is not {'a digit' if digits else 'a drawing'}", "Nothing on the paper stands out like ink."

    def _words(self, result: Result, chosen: Classification) -> tuple[str, str]:
        sure = float(chosen.probabilities[chosen.best])
        if self._all_rejected(result, chosen):
            reject = self._card.reject if self._card is not None and self._card.reject else "none of the classes"
            share = float(chosen.probabilities[chosen.labels.index(reject)]) if reject in chosen.labels else sure
            return f"This is {reject}" if reject.startswith("not") else reject, f"{share * 100:.1f} % sure of that"
        if result.text and len(result.regions) > 1:
            read = [region.classification for region in result.regions]
            odd = sum(each.rejected for each in read)
            parts = f"{len(result.text)} digits" if len(result.text) > 1 else "1 digit"
            if odd:
                parts += f" and {odd} {'marks that are' if odd > 1 else 'mark that is'} none"
            kept = [each for each in read if not each.rejected]
            least = min(kept, key=lambda each: float(each.probabilities.max()))
            parts += f" · least sure: {least.label} with {float(least.probabilities.max()) * 100:.1f} %"
            return result.text, parts
        label = result.text or chosen.label
        rival = chosen.ranked()[1] if len(chosen.labels) > 1 else None
        line = f"{sure * 100:.1f} % sure"
        if rival is not None and rival[1] >= 0.02:
            line += f" · or {rival[0]} with {rival[1] * 100:.1f} %"
        return label, line

    @staticmethod
    def _all_rejected(result: Result, whole: Classification) -> bool:
        if result.regions:
            return all(region.classification.rejected for region in result.regions)
        return whole.rejected

    def _set_rows(self, card: ModelCard) -> None:
        if len(card.classes) <= ALL_CLASSES:
            self._order = None
            self.bars.set_labels(card.classes, card.reject)
        else:
            self._order = []
            self.bars.set_labels(("",) * TOP, "")

    def _show_bars(self, answer: Classification) -> None:
        if self._order is None and len(answer.labels) != self.bars.rows:
            return  # a late result of another network
        if self._order is None:
            reject = answer.labels.index(self._card.reject) if self._card and self._card.reject else -1
            best = reject if answer.rejected and reject >= 0 else answer.best
            self.bars.set(answer.probabilities.tolist(), best)
        else:
            ranked = answer.ranked()[:TOP]
            self.bars.rename(tuple(label for label, _ in ranked))
            self.bars.set([share for _, share in ranked], 0)

    def _choose(self, number: int) -> None:
        self._set_region(number)
        if self._result is not None:
            self._show(self._result)
