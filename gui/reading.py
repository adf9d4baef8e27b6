"""The answer in words, and what the answers of all tasks have in common."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QSizePolicy, QWidget

from gui.theme import scaled_font, set_role, theme

Place: TypeAlias = Literal["paper", "picture", "nothing"]
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


_LEAST = 1.1  # times the usual size of type


class Reading(QWidget):
    """The answer in one large line and one small one; shrinks a long number until it fits."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._headline = ""
        self._line = ""
        self._loud = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        theme.changed.connect(self.update)

    @property
    def text(self) -> str:
        return self._headline

    @property
    def explanation(self) -> str:
        return self._line

    def set(self, headline: str, line: str, *, loud: bool) -> None:
        """`loud`: a reading, in large type; otherwise a remark."""
        if (headline, line, loud) != (self._headline, self._line, self._loud):
            if headline != self._headline:
                self.setAccessibleName(f"Reading: {headline}")
            self.update(self._line_place() if (headline, loud) == (self._headline, self._loud) else self.rect())
            self._headline, self._line, self._loud = headline, line, loud
            self.setToolTip(line)  # which may be longer than there is room

    def sizeHint(self) -> QSize:
        return QSize(240, 92)

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 92)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), theme.colour("base"))
        area = QRectF(self.rect())
        if self._line_place().contains(event.rect()):
            pass  # only the line is another one
        elif self._loud:
            painter.setPen(theme.colour("text"))
            painter.setFont(self._fitting(3.9, area.width()))
            painter.drawText(QRectF(0, 0, area.width(), 66), _LEFT, self._elided(painter, area.width()))
        else:
            painter.setPen(theme.colour("text"))
            painter.setFont(self._fitting(1.75, area.width()))
            painter.drawText(QRectF(0, 20, area.width(), 44), _LEFT, self._elided(painter, area.width()))
        painter.setPen(theme.colour("dim"))
        painter.setFont(self.font())
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        line = painter.fontMetrics().elidedText(self._line, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(QRectF(self._line_place()), flags, line)
        painter.end()

    def _line_place(self) -> QRect:
        return QRect(0, 68, self.width(), 24)

    def _elided(self, painter: QPainter, room: float) -> str:
        return painter.fontMetrics().elidedText(self._headline, Qt.TextElideMode.ElideRight, int(room) + 1)

    def _fitting(self, factor: float, room: float) -> QFont:
        """As large as the headline has room, but no smaller than it can be told from the line below it."""
        while True:
            font = scaled_font(self, factor, bold=True)
            wide = QFontMetricsF(font).horizontalAdvance(self._headline)
            if wide <= room or factor <= _LEAST:
                return font
            factor = max(_LEAST, min(0.97, room / wide) * factor)  # type does not shrink evenly


def to_image(pixels: np.ndarray) -> QImage:
    """(h, w) or (h, w, 3) uint8 as a picture that looks at the same memory; keep the pixels as long as it."""
    height, width = pixels.shape[:2]
    kind = QImage.Format.Format_Grayscale8 if pixels.ndim == 2 else QImage.Format.Format_RGB888
    return QImage(pixels.data, width, height, pixels.strides[0], kind)


def own_image(pixels: np.ndarray) -> QImage:
    """The same as a picture with pixels of its own."""
    kept = np.ascontiguousarray(pixels)
    return to_image(kept).copy()


def line() -> QFrame:
    """A line between two parts."""
    frame = QFrame()
    set_role(frame, line=True)
    return frame
