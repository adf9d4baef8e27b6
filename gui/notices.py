"""The one road for errors: a card near the bottom of the window, in plain words, with what to do next.

Nothing waits for an answer. The same message again counts up on the card it already has; what a programmer wants to
know is folded under it. A card about trouble stays until it is closed, the trouble is over, or one turns to another
page.
"""

from __future__ import annotations

import traceback

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from engine import EngineError
from gui.theme import set_role, theme

MOST = 3  # cards shown at once; an older one makes room
WIDTH = 460
READ = 12_000  # milliseconds for which a card stays that closes by itself
BOTTOM = 84  # free below the cards: the status bar and the last row of controls above it


class Notice(QFrame):
    """One message. Signals: `closed()`."""

    closed = Signal()

    def __init__(self, message: str, hint: str, details: str, *, warning: bool, parent: QWidget) -> None:
        super().__init__(parent)
        self.key = (message, hint)
        self.count = 1
        self._icon_name = "warning" if warning else "info"
        set_role(self, notice=True)
        self.setAccessibleName(message)
        self.setAccessibleDescription(hint)
        self.setFixedWidth(WIDTH)
        self._icon = QLabel()
        self._message = QLabel(message)
        self._message.setWordWrap(True)
        self._message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(self._message, role="title")
        self._counter = QLabel()
        set_role(self._counter, role="dim")
        self._counter.hide()
        self.close_button = QToolButton()
        self.close_button.setToolTip("Close this message")
        self.close_button.setAccessibleName("Close this message")
        self.close_button.clicked.connect(self.closed)
        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self._message, 1)
        top.addWidget(self._counter, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(12, 8, 8, 12)
        self._layout.setSpacing(4)
        self._layout.addLayout(top)
        if hint:
            advice = QLabel(hint)
            advice.setWordWrap(True)
            advice.setIndent(28)
            advice.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            set_role(advice, role="dim")
            self._layout.addWidget(advice)
        self._foot = QHBoxLayout()
        self._foot.setContentsMargins(28, 4, 0, 0)
        self._foot.setSpacing(8)
        self._layout.addLayout(self._foot)
        self.details_button: QPushButton | None = None
        if details:
            self.details_button = QPushButton("Details")
            self.details_button.setCheckable(True)
            self._foot.addWidget(self.details_button)
            text = QPlainTextEdit(details)
            text.setObjectName("details")
            text.setReadOnly(True)
            text.setMaximumHeight(160)
            text.setAccessibleName("Details of this message")
            text.hide()
            self.details_button.toggled.connect(text.setVisible)
            self._layout.addWidget(text)
        self._foot.addStretch(1)
        self._passing = QTimer(self)
        self._passing.setSingleShot(True)
        self._passing.setInterval(READ)
        self._passing.timeout.connect(self.closed)
        self.recolour()

    def pass_by(self) -> None:
        """Stay long enough to be read, and then close; unless the same happens again."""
        self._passing.start()

    def add_action(self, title: str) -> QPushButton:
        """A button with the next step; the card closes when it is pressed."""
        button = QPushButton(title)
        set_role(button, primary=True)
        self._foot.insertWidget(0, button)
        button.clicked.connect(self.closed)
        return button

    def again(self) -> None:
        self._passing.stop()
        self.count += 1
        self._counter.setText(f"{self.count} times")
        self._counter.show()

    def recolour(self) -> None:
        ratio = self.devicePixelRatioF()
        colour = theme.colours.warning if self._icon_name == "warning" else theme.colours.accent
        self._icon.setPixmap(theme.pixmap(self._icon_name, 20, colour, ratio))
        self.close_button.setIcon(theme.icon("close"))


class Notices(QWidget):
    """The stack of cards, floating over `window`; takes no room where there is none."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self.setObjectName("notices")
        self.cards: list[Notice] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(8)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Minimum)
        window.installEventFilter(self)
        theme.changed.connect(self._recolour)
        self.hide()

    def error(self, error: BaseException) -> Notice:
        """Show what went wrong; an unexpected error says so and folds its traceback under it."""
        if isinstance(error, EngineError):
            cause = error.__cause__
            details = "".join(traceback.format_exception(cause)) if cause is not None else ""
            return self._show(error.message, error.hint, details, warning=True)
        details = "".join(traceback.format_exception(error))
        return self._show(
            "Something in ConvScope went wrong.",
            "Your work is kept, and you can go on. If it happens again, please report it with the details.",
            details,
            warning=True,
        )

    def say(self, message: str, hint: str = "") -> Notice:
        """Good news or a piece of advice; closes by itself."""
        card = self._show(message, hint, "", warning=False)
        card.pass_by()
        return card

    def settle(self, error: EngineError) -> None:
        """What this error said is over: its card closes by itself, once it can have been read."""
        for card in self.cards:
            if card.key == (error.message, error.hint):
                card.pass_by()

    def move_on(self) -> None:
        """A person has turned to something else: what was told before is not in the way for long."""
        for card in self.cards:
            if card.details_button is None:
                card.pass_by()

    def clear(self) -> None:
        for card in list(self.cards):
            self._close(card)

    def _show(self, message: str, hint: str, details: str, *, warning: bool) -> Notice:
        for card in self.cards:
            if card.key == (message, hint):
                card.again()
                self._place()
                return card
        while len(self.cards) >= MOST:
            self._close(self.cards[0])
        card = Notice(message, hint, details, warning=warning, parent=self)
        card.closed.connect(lambda: self._close(card))
        if card.details_button is not None:
            card.details_button.toggled.connect(lambda _: QTimer.singleShot(0, self, self._place))
        card.close_button.setShortcut(QKeySequence())
        self.cards.append(card)
        self._layout.addWidget(card)
        self._place()
        return card

    def _close(self, card: Notice) -> None:
        if card in self.cards:
            self.cards.remove(card)
            self._layout.removeWidget(card)
            card.hide()
            card.deleteLater()
            self._place()

    def _place(self) -> None:
        window = self._window
        if not self.cards:
            self.hide()
            return
        height = sum(
            card.heightForWidth(WIDTH) if card.hasHeightForWidth() else card.sizeHint().height() for card in self.cards
        )
        height += self._layout.spacing() * (len(self.cards) - 1)
        left = max(16, (window.width() - WIDTH) // 2)  # between the form's and the list's buttons
        self.setGeometry(left, max(0, window.height() - height - BOTTOM), WIDTH, height)
        self.show()
        self.raise_()

    def _recolour(self) -> None:
        for card in self.cards:
            card.recolour()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._place()
        return False
