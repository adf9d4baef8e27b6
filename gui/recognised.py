"""The answer of a network for faces: who is in sight, and the face that is looked at, which can be given a name here.

`Sight` knows the faces; the names of those who are enrolled come from outside, and a name that a person gives leaves
with `named`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QImage, QKeyEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QCompleter, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from gui.coach import complaint, quality_words
from gui.overlay import face_words, share_words
from gui.reading import Place, Reading, line, own_image
from gui.sight import Sight, person_colour
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import FaceMatch, FaceQuality, ModelCard, Result

_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class FaceRows(QWidget):
    """A row for every face in sight: its picture, the name, how probable it is, how good the face is.

    Signals:
        chosen(int): a face was clicked, or gone to by key; its place in `Sight.faces`.
        painted(): the rows are on the screen.
    """

    chosen = Signal(int)
    painted = Signal()
    PITCH = 48

    def __init__(self, sight: Sight, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sight = sight
        self._rows: list[tuple[int, FaceMatch]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Who is in sight")
        self.setToolTip("Click a face, or go there with ↑ and ↓, to see what the network saw and to name it")

    @property
    def rows(self) -> list[tuple[int, FaceMatch]]:
        """The faces from top to bottom, with their places in `Sight.faces`: those with a name first."""
        return self._rows

    def refresh(self) -> None:
        faces = enumerate(self._sight.faces)
        self._rows = sorted(faces, key=lambda row: (row[1].name is None, row[1].name or "", row[1].box[0]))
        self.setAccessibleDescription(", ".join(face_words(face)[0] for _, face in self._rows))
        self.update()

    def clear(self) -> None:
        self._rows = []
        self.setAccessibleDescription("")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(260, 4 * self.PITCH)

    def minimumSizeHint(self) -> QSize:
        return QSize(220, 2 * self.PITCH)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform | QPainter.RenderHint.Antialiasing)
        room = max(1, self.height() // self.PITCH)
        shown = self._rows if len(self._rows) <= room else self._rows[: room - 1]
        chosen = self._sight.chosen.index if self._sight.chosen is not None else -1
        for number, (index, face) in enumerate(shown):
            self._paint_row(painter, QRectF(0, number * self.PITCH, self.width(), self.PITCH), face, index == chosen)
        if len(shown) < len(self._rows):
            painter.setPen(theme.colour("dim"))
            place = QRectF(8, len(shown) * self.PITCH, self.width() - 8, self.PITCH)
            painter.drawText(place, _LEFT, f"and {len(self._rows) - len(shown)} others")
        painter.end()
        self.painted.emit()

    def _paint_row(self, painter: QPainter, place: QRectF, face: FaceMatch, chosen: bool) -> None:
        if chosen:
            painter.setPen(QPen(theme.colour("accent"), 1.2) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("soft"))
            painter.drawRoundedRect(place.adjusted(0.5, 1.5, -0.5, -1.5), 6, 6)
        paint_face(painter, QRectF(place.x() + 4, place.y() + 4, 40, 40), face.crop)
        text = place.adjusted(54, 4, -8, -4)
        upper, lower = (
            QRectF(text.x(), text.y() + i * text.height() / 2, text.width(), text.height() / 2) for i in (0, 1)
        )
        name, figure = _row_words(face)
        painter.setFont(scaled_font(self, 1.0, bold=face.name is not None))
        if face.name is not None and face.person is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(person_colour(face.person)))
            painter.drawRoundedRect(QRectF(upper.x(), upper.center().y() - 4, 9, 9), 2, 2)
            upper.setLeft(upper.left() + 15)
        painter.setPen(theme.colour("text" if face.name is not None else "dim"))
        wide = painter.fontMetrics().horizontalAdvance(figure) + 8
        elided = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, int(upper.width() - wide))
        painter.drawText(upper, _LEFT, elided)
        painter.drawText(upper, _RIGHT, figure)
        painter.setFont(self.font())
        painter.setPen(theme.colour("dim"))
        side = round(face.box[3] - face.box[1])
        quality = quality_words(face.quality)
        painter.drawText(lower, _LEFT, f"{quality} picture · {side} pixels" if quality else f"{side} pixels")

    def _go(self, step: int) -> None:
        if not self._rows:
            return
        chosen = self._sight.chosen.index if self._sight.chosen is not None else -1
        order = [index for index, _ in self._rows]
        at = order.index(chosen) + step if chosen in order else 0 if step > 0 else len(order) - 1
        self.chosen.emit(order[max(0, min(len(order) - 1, at))])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        number = int(event.position().y()) // self.PITCH
        if 0 <= number < len(self._rows):
            self.chosen.emit(self._rows[number][0])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        over = int(event.position().y()) // self.PITCH < len(self._rows)
        self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.ArrowCursor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self._go(1 if event.key() == Qt.Key.Key_Down else -1)
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()


class FaceView(QWidget):
    """The face that is looked at, cut from the picture, what the network saw of it, and how good it is."""

    TEXT = 44
    BARS = 4 * 17 + 4

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._face: FaceMatch | None = None
        self._there = False
        self._most_like = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMaximumHeight(330)
        self.setAccessibleName("The face that is looked at, and what the network saw")

    @property
    def face(self) -> FaceMatch | None:
        return self._face

    def show_face(self, face: FaceMatch | None, *, there: bool, most_like: str) -> None:
        """`there`: it is in sight; `most_like`: the name of the person that an unknown face resembles most."""
        self._face, self._there, self._most_like = face, there, most_like
        self.setAccessibleDescription(" ".join(self.words()))
        self.update()

    def words(self) -> tuple[str, str]:
        """Who it is, and how alike."""
        face = self._face
        if face is None:
            return "", ""
        headline = face_words(face)[0] if self._there else f"{face_words(face)[1]} · out of sight"
        if face.person is None:
            return headline, "There is nobody to compare it with yet."
        if face.name is not None:
            return headline, f"Similarity {face.similarity:.2f} to the nearest picture"
        like = f"Most like {self._most_like}" if self._most_like else "Most alike"
        return headline, f"{like}: {share_words(face.probability)}, similarity {face.similarity:.2f}"

    def image(self) -> np.ndarray | None:
        """The pixels that the network saw."""
        return self._face.network_input if self._face is not None else None

    def sizeHint(self) -> QSize:
        return QSize(260, 140 + 20 + self.TEXT + self.BARS)

    def minimumSizeHint(self) -> QSize:
        return QSize(220, 90 + 20 + self.TEXT + self.BARS)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform | QPainter.RenderHint.Antialiasing)
        side = max(40.0, min((self.width() - 12) / 2, self.height() - 20.0 - self.TEXT - self.BARS))
        left, right = QRectF(0, 20, side, side), QRectF(side + 12, 20, side, side)
        painter.setPen(theme.colour("dim"))
        painter.drawText(QRectF(0, 0, side, 18), _LEFT, "Looked at")
        painter.drawText(QRectF(side + 12, 0, self.width() - side - 12, 18), _LEFT, "What the network saw")
        face = self._face
        painter.setOpacity(1.0 if self._there or face is None else 0.5)
        paint_face(painter, left, face.crop if face is not None else None)
        paint_face(painter, right, face.network_input if face is not None else None)
        painter.setOpacity(1.0)
        headline, remark = self.words() if face is not None else ("", "Click a face, or press → on the picture.")
        y = 20 + side + 4
        painter.setPen(theme.colour("text"))
        painter.setFont(scaled_font(self, 1.0, bold=True))
        painter.drawText(QRectF(0, y, self.width(), 20), _LEFT, headline)
        painter.setFont(self.font())
        painter.setPen(theme.colour("dim"))
        elided = painter.fontMetrics().elidedText(remark, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(0, y + 20, self.width(), 20), _LEFT, elided)
        if face is not None and face.quality is not None:
            paint_quality(painter, QRectF(0, y + self.TEXT, self.width(), self.BARS - 4), face.quality)
        painter.end()


class FacesAnswer(QWidget):
    """Rows, the face that is looked at, and a place to say who it is; the words go into `reading`.

    Signals:
        painted(): the newest result is on the screen.
        named(FaceMatch, str): a person said who this is.
        face_chosen(): another face is looked at, or it has another place in the result.
    """

    painted = Signal()
    named = Signal(object, str)
    face_chosen = Signal()

    def __init__(self, reading: Reading, sight: Sight, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._sight = sight
        self._place: Place = "nothing"
        self._names: dict[int, str] = {}
        self._region = 0
        self.rows = FaceRows(sight)
        self.view = FaceView()
        self.name = QLineEdit()
        self.name.setPlaceholderText("This is…")
        self.name.setAccessibleName("Who this is")
        self.name.setToolTip("A new name adds a person to the gallery, a known one adds this face to that person")
        self.name.setMaxLength(120)
        completer = QCompleter([])
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        self.name.setCompleter(completer)
        self.button = QPushButton("Add")
        self.button.setToolTip("Keep this face under that name (Enter)")
        self._remark = QLabel()
        self._remark.setWordWrap(True)
        set_role(self._remark, role="dim")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.name, 1)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.rows, 3)
        layout.addWidget(line())
        layout.addWidget(self.view, 4)
        layout.addLayout(row)
        layout.addWidget(self._remark)
        self.rows.painted.connect(self.painted)
        self.rows.chosen.connect(sight.choose)
        self.name.textChanged.connect(lambda _: self._show_name())
        self.name.returnPressed.connect(self._give_name)
        self.button.clicked.connect(self._give_name)
        sight.changed.connect(self._show)
        sight.chosen_changed.connect(self._choose)
        self._show_name()

    @property
    def region(self) -> int:
        """The place in the result of the face that is looked at."""
        return self._region

    @property
    def remark(self) -> str:
        """What is said below the name."""
        return self._remark.text()

    def set_people(self, names: dict[int, str]) -> None:
        """Those who are enrolled, by their ids."""
        self._names = names
        completer = self.name.completer()
        assert completer is not None
        model = completer.model()
        model.setStringList(sorted(set(names.values()), key=str.casefold))  # type: ignore[attr-defined]
        self._show_name()

    def set_place(self, place: Place) -> None:
        self._place = place

    def set_card(self, card: ModelCard) -> None:
        """Another network for faces runs; its card is already known to `Sight`."""

    def clear(self) -> None:
        """Nothing has been looked at."""
        self.rows.clear()
        self.view.show_face(None, there=False, most_like="")
        self._show_name()
        if self._place == "picture":
            self._reading.set("", "", loud=False)  # until it has been looked at
        else:
            self._reading.set("Nobody to look at yet", "Choose a source above the picture.", loud=False)

    def set_result(self, result: Result) -> None:
        """Show a result that `Sight` has taken."""
        if result.faces is not None:
            self._show()

    def _show(self) -> None:
        sight = self._sight
        if sight.result is None or sight.result.faces is None:
            return  # another network's
        self.rows.refresh()
        self._show_chosen()
        self._reading.set(*self._words(), loud=False)

    def _choose(self) -> None:
        if self._sight.card is None or self._sight.card.task != "faces":
            return
        self.name.clear()
        self.rows.update()
        self._show_chosen()

    def _show_chosen(self) -> None:
        face = self._sight.chosen_face
        if self._sight.chosen is None:
            self.view.show_face(None, there=False, most_like="")
        elif face is not None:
            self.view.show_face(face, there=True, most_like=self._names.get(face.person or -1, ""))
        elif self.view.face is not None:
            self.view.show_face(self.view.face, there=False, most_like="")  # as it was last
        place = self._sight.chosen_place
        if place != self._region:
            self._region = place
            self.face_chosen.emit()
        self._show_name()

    def _words(self) -> tuple[str, str]:
        faces = self._sight.faces
        if not faces:
            hidden = len(self._sight.result.faces or ()) if self._sight.result is not None else 0
            return "Nobody in sight", f"{hidden} of which it is less sure." if hidden else ""
        names = sorted(face.name for face in faces if face.name is not None)
        unknown = len(faces) - len(names)
        rest = [f"{unknown} unknown"] if unknown else []
        total = f"{len(faces)} face{'s' if len(faces) != 1 else ''}"
        if not self._names:
            return total, "Nobody is enrolled yet: click a face and say who it is."
        if not names:
            return "Unknown" if unknown == 1 else f"{unknown} unknown", f"{total}, none of someone who is enrolled"
        best = max((face for face in faces if face.name is not None), key=lambda face: face.probability)
        return ", ".join(names + rest), f"{total} · surest: {best.name}, {share_words(best.probability)}"

    def _show_name(self) -> None:
        face = self.view.face
        typed = self.name.text().strip()
        usable = face is not None and face.crop is not None
        self.name.setEnabled(usable)
        self.button.setEnabled(usable and bool(typed))
        known = next((name for name in self._names.values() if name.casefold() == typed.casefold()), None)
        self.button.setText("Add to this person" if typed and known is not None else "Add")
        remark = ""
        if face is not None and typed:
            wrong = complaint(face.quality, face.network_input) if face.quality is not None else ""
            like = self._names.get(face.person or -1, "")
            if like and face.probability >= 0.5 and like.casefold() != typed.casefold():
                remark = f"This face and {like} overlap: {face.similarity:.2f}."
            elif wrong:
                remark = f"The picture is {quality_words(face.quality)}: it will not help much."
        self._remark.setText(remark)

    def _give_name(self) -> None:
        face, typed = self.view.face, self.name.text().strip()
        if face is not None and typed and self.button.isEnabled():
            self.name.clear()
            self.named.emit(face, typed)


def _row_words(face: FaceMatch) -> tuple[str, str]:
    if face.name is not None:
        return face.name, share_words(face.probability)
    full = face_words(face)[0]
    return "unknown", full.partition(" · ")[2]


def paint_face(painter: QPainter, place: QRectF, pixels: np.ndarray | QImage | None) -> None:
    """A picture of a face in a square with round corners; without one, an empty place."""
    radius = min(8.0, place.width() / 8)
    path = QPainterPath()
    path.addRoundedRect(place, radius, radius)
    image = own_image(pixels) if isinstance(pixels, np.ndarray) else pixels
    if image is None or image.isNull():
        painter.fillPath(path, theme.colour("track"))
        return
    painter.save()
    painter.setClipPath(path, Qt.ClipOperation.IntersectClip)
    side = min(image.width(), image.height())
    cut = QRectF((image.width() - side) / 2, (image.height() - side) / 2, side, side)
    painter.drawImage(place, image, cut)
    painter.restore()


def paint_quality(painter: QPainter, place: QRectF, quality: FaceQuality) -> None:
    """Four bars: what helps to recognise a face, and what does not."""
    sides = (
        ("size", quality.size),
        ("light", quality.light),
        ("sharpness", quality.sharpness),
        ("frontal", quality.frontal),
    )
    metrics = painter.fontMetrics()
    label = max(metrics.horizontalAdvance(name) for name, _ in sides) + 10.0
    pitch = place.height() / len(sides)
    for number, (name, share) in enumerate(sides):
        y = place.y() + number * pitch
        painter.setPen(theme.colour("dim"))
        painter.drawText(QRectF(place.x(), y, label, pitch), _LEFT, name)
        track = QRectF(place.x() + label, y + pitch / 2 - 3, place.width() - label - 42, 6)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("track"))
        painter.drawRoundedRect(track, 3, 3)
        painter.setBrush(theme.colour("accent" if share >= 0.35 else "warning"))
        painter.drawRoundedRect(QRectF(track.x(), track.y(), max(6.0, track.width() * share), 6), 3, 3)
        painter.setPen(theme.colour("dim"))
        painter.drawText(QRectF(track.right() + 4, y, 38, pitch), _RIGHT, f"{share * 100:.0f} %")
