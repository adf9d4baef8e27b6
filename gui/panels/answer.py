"""What the network answers, in words and in pictures: for each task an answer of its own below the same headline.

A `Result` enters, `painted(Result)` leaves once it is on the screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from gui.classified import ClassifierAnswer
from gui.companion_controls import CompanionRows
from gui.companions import Companions
from gui.detected import DetectorAnswer
from gui.reading import Place, Reading
from gui.recognised import FacesAnswer
from gui.sight import Sight
from gui.theme import set_role, theme

if TYPE_CHECKING:
    from engine import ModelCard, ModelState, Result


class AnswerPanel(QWidget):
    """The headline, and below it the answer of the running network's task.

    Attributes:
        reading: the headline.
        classes, boxes, faces: the answers of a classifier, of a detector and of a network for faces; the other ones
            are hidden.
        bars, input: of the classifier's answer.
        beside: how the networks that look along are getting on.
    Signals:
        painted(Result): it is on the screen.
        region_chosen(int): whose bars are shown, where several digits were read; which face is looked at.
    """

    painted = Signal(object)
    region_chosen = Signal(int)

    def __init__(self, sight: Sight, companions: Companions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._unpainted: Result | None = None
        self._card: ModelCard | None = None
        self._answers: dict[str, ClassifierAnswer | DetectorAnswer | FacesAnswer]
        self.reading = Reading()
        self.classes = ClassifierAnswer(self.reading)
        self.boxes = DetectorAnswer(self.reading, sight)
        self.bars, self.input = self.classes.bars, self.classes.input
        self.faces = FacesAnswer(self.reading, sight)
        self._answers = {"classification": self.classes, "detection": self.boxes, "faces": self.faces}
        self._current: ClassifierAnswer | DetectorAnswer | FacesAnswer = self.classes
        for answer in self._answers.values():
            answer.painted.connect(self._on_painted)
        self.classes.region_chosen.connect(self.region_chosen)
        self.faces.face_chosen.connect(lambda: self.region_chosen.emit(self.faces.region))
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(16, 8, 16, 12)
        layout.setSpacing(12)
        layout.addWidget(self.reading)
        for answer in self._answers.values():
            layout.addWidget(answer, 1)
            answer.setVisible(answer is self._current)
        self.beside = CompanionRows(companions)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(content)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        content.setAutoFillBackground(False)
        scroll.viewport().setAutoFillBackground(False)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        set_role(self, sheet="true")
        foot = QVBoxLayout()  # always in sight, however long the answer is
        foot.setContentsMargins(16, 0, 16, 0)
        foot.addWidget(self.beside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(scroll, 1)
        outer.addLayout(foot)
        self.setMinimumWidth(280)
        self._place: Place = "paper"
        self._slow = QTimer(self)
        self._slow.setSingleShot(True)
        self._slow.setInterval(400)
        self._slow.timeout.connect(self._say_loading)
        self._last: Result | None = None
        self._say_loading()
        theme.changed.connect(self.update)

    @property
    def region(self) -> int:
        return self.faces.region if self._current is self.faces else self.classes.region

    def sizeHint(self) -> QSize:
        return QSize(340, 620)

    def set_place(self, place: Place) -> None:
        """Where the picture would come from: the paper, a source, or nothing that plays yet."""
        self._place = place
        for answer in self._answers.values():
            answer.set_place(place)
        self.clear()
        if self._card is None:
            self._say_loading()

    def set_model(self, state: ModelState) -> None:
        """Another network is loading, ready or failed; `Sight` has its card before."""
        self._slow.stop()
        if state.phase == "loading":
            if self._card is None:
                self._say_loading()
            else:
                self._slow.start()  # a quick change is not worth a word
        elif state.phase == "failed":
            if self._card is None and state.error is not None:
                self.reading.set("No network is running", state.error.message, loud=False)
            elif self._last is not None:  # the network that ran goes on, and so does its answer
                self.set_result(self._last)
            else:
                self._current.clear()
        elif state.card is not None:
            self._card = state.card
            self._current = self._answers[state.card.task]
            for answer in self._answers.values():
                answer.setVisible(answer is self._current)
            self._current.set_card(state.card)
            self.clear()

    def clear(self) -> None:
        """Nothing has been read."""
        self._last = None
        self._current.clear()

    def set_result(self, result: Result) -> None:
        """Show a result; it is painted with the next frame of the window."""
        self._last = self._unpainted = result
        self._current.set_result(result)

    def _say_loading(self) -> None:
        if self._card is not None:
            self._current.clear()  # the answer of another network does not belong under these words
        meanwhile = {
            "paper": "You can draw already; it is read in a moment.",
            "picture": "The picture plays already; it is looked at in a moment.",
            "nothing": "You can choose a source already.",
        }[self._place]
        self.reading.set("Getting the network ready…", meanwhile, loud=False)

    def _on_painted(self) -> None:
        if self._unpainted is not None:
            result, self._unpainted = self._unpainted, None
            self.painted.emit(result)
