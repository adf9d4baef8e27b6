"""What a classifier answers: how sure it is of each class, and the very picture that it saw.

Everything that changes with each stroke is painted by one widget of its own, so a new answer lays nothing out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from gui.reading import Place, Reading, line, to_image
from gui.theme import scaled_font, theme

if TYPE_CHECKING:
    from engine import Classification, ModelCard, Region, Result

ALL_CLASSES = 24  # a network with more of them shows the most probable five
TOP = 5
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class ClassBars(QWidget):
    """A bar for every class; of those that change only what changes is painted. Signals: `painted()`."""

    painted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._labels: tuple[str, ...] = ()
        self._shares: list[float] = []
        self._best = -1
        self._reject = -1
        self._label_width = 0.0
        self._seen: list[tuple[bool, str, int]] = []  # of each row: is it the best, its number, the length of its bar
        self._form: _RowForm | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName("Probabilities of the classes")
        theme.changed.connect(self.update)

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
        """Show these probabilities; `painted` comes also if nothing that one can see has changed."""
        self._shares, self._best = shares, best
        form, before = self._row_form(), self._seen
        self._seen = [self._look(row, form) for row in range(len(shares))]
        for row, (old, new) in enumerate(itertools.zip_longest(before, self._seen)):
            if old != new:
                self.update(form.place(row))
        self.update(0, 0, 1, 1)

    def sizeHint(self) -> QSize:
        return QSize(260, len(self._labels) * 28 + 8)

    def paintEvent(self, event: QPaintEvent) -> None:
        form, touched = self._row_form(), event.region()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(event.rect(), form.ground)
        for row, share in enumerate(self._shares):
            if touched.intersects(form.place(row)):
                self._paint_row(painter, form, row, share)
        painter.end()
        self.painted.emit()

    def _look(self, row: int, form: _RowForm) -> tuple[bool, str, int]:
        share, best = self._shares[row], row == self._best
        number = f"{share * 100:.1f} %" if share >= 0.0005 or best else ""
        return best, number, round(4 * form.long * share) if share > 0.0005 else -1

    def _paint_row(self, painter: QPainter, form: _RowForm, row: int, share: float) -> None:
        best, number, _ = self._look(row, form)
        y, pitch = form.tops[row], form.pitch
        painter.setFont(form.bold if best else form.plain)
        painter.setPen(form.text if best else form.dim)
        painter.drawText(QRectF(0, y, form.left - 12, pitch), form.side, form.labels[row])
        if number:
            painter.drawText(QRectF(form.left + form.long, y, form.share_width, pitch), form.right, number)
        bar = QRectF(form.left, y + (pitch - form.thick) / 2, form.long, form.thick)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(form.track)
        painter.drawRoundedRect(bar, 3, 3)
        if share > 0.0005:
            painter.setBrush(form.accent if best and row != self._reject else form.quiet)
            bar.setWidth(max(3.0, form.long * share))
            painter.drawRoundedRect(bar, 3, 3)

    def _row_form(self) -> _RowForm:
        """Everything about the rows that is the same from one answer to the next."""
        font = self.font()
        key = (self._labels, self._reject, self.width(), self.height(), font.key(), theme.colours)
        if self._form is not None and self._form.key == key:
            return self._form
        metrics = QFontMetricsF(font)
        rows = max(1, len(self._labels))
        gap = 8.0 if 0 < self._reject == rows - 1 else 0.0
        pitch = (self.height() - gap) / rows
        left, share_width = self._label_width, metrics.horizontalAdvance("100.0 %") + 8
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        short = all(len(label) < 3 for number, label in enumerate(self._labels) if number != self._reject)
        self._form = _RowForm(
            key=key,
            tops=[row * pitch + (gap if row == self._reject else 0.0) for row in range(rows)],
            pitch=pitch,
            thick=min(14.0, pitch * 0.56),
            left=left,
            long=max(8.0, self.width() - left - share_width),
            share_width=share_width,
            width=self.width(),
            labels=[
                label
                if metrics.horizontalAdvance(label) <= left - 8
                else metrics.elidedText(label, Qt.TextElideMode.ElideRight, left - 12)
                for label in self._labels
            ],
            side=right if short else _LEFT,
            right=right,
            plain=font,
            bold=scaled_font(self, 1.0, bold=True),
            ground=theme.colour("base"),
            track=theme.colour("track"),
            quiet=theme.colour("quiet"),
            accent=theme.colour("accent"),
            text=theme.colour("text"),
            dim=theme.colour("dim"),
        )
        return self._form


@dataclass(frozen=True, eq=False)
class _RowForm:
    """How the rows of bars are painted in one size, font and theme; lengths in pixels."""

    key: tuple[object, ...]  # what all of it depends on
    tops: list[float]
    pitch: float
    thick: float
    left: float
    long: float
    share_width: float
    width: int
    labels: list[str]
    side: Qt.AlignmentFlag
    right: Qt.AlignmentFlag
    plain: QFont
    bold: QFont
    ground: QColor
    track: QColor
    quiet: QColor
    accent: QColor
    text: QColor
    dim: QColor

    def place(self, row: int) -> QRect:
        """Everything that a row paints on."""
        top = self.tops[min(row, len(self.tops) - 1)]
        return QRectF(0, top, self.width, self.pitch).toAlignedRect()


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
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName("What the network sees")
        self.setMouseTracking(True)
        theme.changed.connect(self.update)

    @property
    def current(self) -> int:
        return self._current

    def image(self) -> np.ndarray | None:
        """The pixels that are shown."""
        return self._kept[self._current] if self._kept else None

    def set(self, regions: tuple[Region, ...], current: int) -> None:
        before, words, several = self._kept, self._hint(), len(self._images) > 1 or len(regions) > 1
        self._kept = [np.ascontiguousarray(region.network_input) for region in regions]
        self._images = [to_image(pixels) for pixels in self._kept]
        self._texts = ["?" if region.classification.rejected else region.classification.label for region in regions]
        self._current = current
        policy = Qt.FocusPolicy.StrongFocus if len(regions) > 1 else Qt.FocusPolicy.NoFocus
        if policy != self.focusPolicy():
            self.setFocusPolicy(policy)
        if several or words != self._hint():
            self.update()
        elif len(before) != len(regions) or not all(map(np.array_equal, before, self._kept)):
            self.update(self._frame())

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
        frame = self._frame()
        side = frame.width()
        if not frame.contains(event.rect()):
            painter.fillRect(event.rect(), theme.colour("base"))
        painter.fillRect(frame, theme.colour("track"))
        if self._images:
            image = self._images[self._current]
            # Whole screen pixels for every pixel of the input, so that all squares are of one size.
            cell = max(1.0, (side * ratio) // image.width()) / ratio
            across = min(float(side), cell * image.width()) if image.width() <= side * ratio else float(side)
            place = QRectF((side - across) / 2, (side - across) / 2, across, across)
            painter.fillRect(frame, Qt.GlobalColor.black)
            painter.drawImage(place, image.convertToFormat(QImage.Format.Format_RGB32))  # enlarged quickest
        if frame.contains(event.rect()):
            painter.end()
            return
        painter.setPen(theme.colour("text"))
        painter.setFont(scaled_font(self, 1.0, bold=True))
        aside = QRect(side + 16, 0, self.width() - side - 16, 0)
        wrapped = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap)
        title = painter.fontMetrics().boundingRect(aside.adjusted(0, 0, 0, side), wrapped, "What the network sees")
        painter.drawText(aside.adjusted(0, 0, 0, side), wrapped, "What the network sees")
        painter.setFont(self.font())
        painter.setPen(theme.colour("dim"))
        painter.drawText(aside.adjusted(0, title.height() + 6, 0, side), wrapped, self._hint())
        if len(self._images) > 1:
            self._paint_strip(painter)
        painter.end()

    def _hint(self) -> str:
        if not self._images:
            return "Exactly what goes into the network appears here."
        image = self._images[self._current]
        size = f"{image.width()} × {image.height()} pixels"
        if image.format() == QImage.Format.Format_Grayscale8:
            return f"Exactly these {size}: the drawing, centred, scaled and light on dark."
        return f"Exactly these {size}, cut from the middle of the picture."

    def _frame(self) -> QRect:
        """Where the picture lies."""
        return QRect(0, 0, self._side(), self._side())

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
        if chosen.many:
            there = chosen.there()
            if not there:
                return "Nothing for sure", f"most likely {chosen.label}, with {sure * 100:.1f} %"
            others = f"{len(there)} of its {len(chosen.labels)} classes are likely there" if len(there) > 1 else ""
            return " · ".join(label for label, _ in there[:3]), others or f"{sure * 100:.1f} % sure"
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
