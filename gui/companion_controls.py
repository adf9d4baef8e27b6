"""Choosing the networks that look along in Live, and how they are getting on."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QHideEvent, QKeyEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.companions import MOST, SHARES, Companions, Row
from gui.frame import describe
from gui.overlay import paint_corners
from gui.theme import scaled_font, set_role, theme

_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class CompanionPicker(QFrame):
    """The networks that could look along, each with a tick and its share of the time; opens below its button.

    Attributes:
        ticks, shares: the fields by the network's name.
    """

    def __init__(self, companions: Companions, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._companions = companions
        set_role(self, notice=True)
        self.setAccessibleName("Networks that look along")
        self.ticks: dict[str, QCheckBox] = {}
        self.shares: dict[str, QComboBox] = {}
        self._title = QLabel()
        self._title.setWordWrap(True)
        set_role(self._title, role="dim")
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self._title)
        layout.addWidget(self._scroll, 1)
        companions.changed.connect(self._refill)
        self._refill()

    def open_below(self, button: QWidget) -> None:
        """Show it; the first network has the keys."""
        rows = self._scroll.widget()
        high = self._title.heightForWidth(340) + (rows.sizeHint().height() if rows is not None else 0) + 32
        self.resize(372, min(460, high))
        place = button.mapToGlobal(QPoint(0, button.height() + 2))
        room = button.screen().availableGeometry()
        place.setX(max(room.left(), min(place.x(), room.right() - self.width())))
        self.move(place)
        self.show()
        first = next((tick for tick in self.ticks.values() if tick.isEnabled()), None)
        (first or self).setFocus(Qt.FocusReason.PopupFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        elif event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.focusNextPrevChild(event.key() == Qt.Key.Key_Down)
        else:
            super().keyPressEvent(event)

    # inside ---------------------------------------------------------------------------------------------------------

    def _refill(self) -> None:
        if list(self.ticks) != [card.name for card in self._companions.cards] or self._scroll.widget() is None:
            self._build()
        words = f"Other networks that look at the same picture, {MOST} at most. Each reads for a share of the time."
        self._title.setText(words if self.ticks else "There is no other network for pictures. Models has more.")
        for name, tick in self.ticks.items():
            on = name in self._companions.chosen
            tick.blockSignals(True)
            tick.setChecked(on)
            tick.blockSignals(False)
            tick.setEnabled(on or not self._companions.full)
            share = self.shares[name]
            share.blockSignals(True)
            share.setCurrentIndex(SHARES.index(self._companions.share(name)))
            share.blockSignals(False)
            share.setEnabled(on)

    def _build(self) -> None:
        rows = QWidget()
        grid = QGridLayout(rows)
        grid.setContentsMargins(0, 0, 4, 0)
        grid.setSpacing(8)
        grid.setColumnStretch(0, 1)
        self.ticks, self.shares = {}, {}
        for number, card in enumerate(self._companions.cards):
            tick = QCheckBox(card.title)
            tick.setToolTip(describe(card))
            tick.toggled.connect(lambda on, name=card.name: self._companions.choose(name, on))
            share = QComboBox()
            for percent in SHARES:
                share.addItem(f"{percent} % of the time", percent)
            share.setToolTip("After each picture it rests; the rest of the time is for others")
            share.setAccessibleName(f"Share of the time for {card.title}")
            share.currentIndexChanged.connect(lambda row, name=card.name: self._companions.set_share(name, SHARES[row]))
            grid.addWidget(tick, number, 0)
            grid.addWidget(share, number, 1)
            self.ticks[card.name], self.shares[card.name] = tick, share
        grid.setRowStretch(len(self.ticks), 1)
        self._scroll.setWidget(rows)
        rows.setAutoFillBackground(False)
        self._scroll.viewport().setAutoFillBackground(False)


class CompanionButton(QToolButton):
    """Opens the list, and says how many look along."""

    def __init__(self, companions: Companions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._companions = companions
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setToolTip("Other networks that look at the same picture (A)")
        self.setAccessibleName("Also: networks that look along")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        set_role(self, chip="true")
        self.picker = CompanionPicker(companions, self)
        self.clicked.connect(lambda _=False: self.pick())
        companions.changed.connect(self._show)
        theme.changed.connect(self._recolour)
        self._show()
        self._recolour()

    def pick(self) -> None:
        """Open the list."""
        self.picker.open_below(self)

    def _show(self) -> None:
        count = len(self._companions.running)
        self.setText(f"Also {count}" if count else "Also")
        self.setAccessibleDescription(", ".join(each.card.title for each in self._companions.running))

    def _recolour(self) -> None:
        self.setIcon(theme.icon("also"))


class CompanionRows(QWidget):
    """For each network that looks along: its name, what it sees, how long a picture takes and how many it reads."""

    PITCH = 44

    def __init__(self, companions: Companions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._companions = companions
        self.rows: list[Row] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Networks that look along")
        self._counting = QTimer(self)  # a number that changes with each picture cannot be read
        self._counting.setInterval(500)
        self._counting.timeout.connect(self.refresh)
        companions.changed.connect(self.refresh)
        theme.changed.connect(self.update)
        self.refresh()

    def refresh(self) -> None:
        """Look again how they are getting on."""
        rows = self._companions.rows()
        if len(rows) != len(self.rows):
            self.setFixedHeight(max(1, 9 + len(rows) * self.PITCH))
        if rows != self.rows:
            self.rows = rows
            self.setAccessibleDescription("; ".join(f"{row.title}: {row.says}, {pace_words(row)}" for row in rows))
            self.update()
        self.setVisible(bool(rows))

    def sizeHint(self) -> QSize:
        return QSize(260, 9 + len(self.rows) * self.PITCH)

    def showEvent(self, event: QShowEvent) -> None:
        self._counting.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._counting.stop()
        super().hideEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(QRectF(0, 0, self.width(), 1), theme.colour("line"))
        bold = scaled_font(self, 1.0, bold=True)
        for number, row in enumerate(self.rows):
            y = 9.0 + number * self.PITCH
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("ink"))
            painter.drawRoundedRect(QRectF(0, y + 2, 18, 18), 3, 3)
            paint_corners(painter, (4, y + 6, 14, y + 16), row.colour, unit=0.5)
            painter.setFont(self.font())
            painter.setPen(theme.colour("dim"))
            figures = pace_words(row)
            room = painter.fontMetrics().horizontalAdvance(figures)
            painter.drawText(QRectF(self.width() - room, y, room, 22), _LEFT, figures)
            painter.setFont(bold)
            painter.setPen(theme.colour("text"))
            wide = self.width() - room - 36
            title = painter.fontMetrics().elidedText(row.title, Qt.TextElideMode.ElideRight, wide)
            painter.drawText(QRectF(26, y, wide, 22), _LEFT, title)
            painter.setFont(self.font())
            wide = self.width() - 26
            says = painter.fontMetrics().elidedText(row.says, Qt.TextElideMode.ElideRight, wide)
            painter.drawText(QRectF(26, y + 20, wide, 20), _LEFT, says)
        painter.end()


def pace_words(row: Row) -> str:
    """How long a picture takes, and how many are read."""
    if not row.seconds:
        return f"{row.share} % of the time"
    took = f"{row.seconds * 1000:.0f} ms" if row.seconds >= 0.01 else f"{row.seconds * 1000:.1f} ms"
    return f"{took} · {row.pace:.1f} a second" if row.pace else took
