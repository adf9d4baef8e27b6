"""Adding somebody: the faces that may be kept, from the camera, from pictures or from an album; and a folder of people.

Nothing of it is in the gallery before “Keep” is pressed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QCompleter,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gui.coach import FEWEST, MOST, Coach, quality_words
from gui.face_tiles import FaceTiles, Tile
from gui.faces import Candidate, Faces, Folder, Job, Newcomer
from gui.recognised import paint_quality
from gui.theme import scaled_font, set_role, theme

if TYPE_CHECKING:
    from engine import FaceQuality, Result


class QualityBars(QWidget):
    """How good the face in front of the camera is, side by side."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quality: FaceQuality | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Quality of the face")

    def show_quality(self, quality: FaceQuality | None) -> None:
        self._quality = quality
        self.setAccessibleDescription(quality_words(quality))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, 68)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._quality is not None:
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            paint_quality(painter, QRectF(self.rect()), self._quality)
            painter.end()


class Enrolment(QWidget):
    """Faces that may be kept: what is to be said of them, whose they are, and “Keep”.

    Signals:
        finished(int): it is over; the person that got the faces, or -1 if nothing was kept.
        hint(str): what the coach says, for those who look at the picture; "": nothing more.
    """

    finished = Signal(int)
    hint = Signal(str)

    def __init__(self, faces: Faces, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces = faces
        self._coach: Coach | None = None
        self._job: Job | None = None
        self._candidates: list[Candidate] = []
        self._odd: dict[int, bool] = {}  # by the candidate's id
        self._newcomer: Newcomer | None = None
        self._person: int | None = None  # who gets them; None: whoever the name says
        self._round = 0  # an answer for an enrolment that is over is not shown
        self._busy = False
        self._advice = QLabel()
        self._advice.setWordWrap(True)
        self._advice.setFont(scaled_font(self._advice, 1.35, bold=True))
        self._advice.setAccessibleName("What to do")
        self._count = QLabel()
        set_role(self._count, role="dim")
        self._count.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.quality = QualityBars()
        self.tiles = FaceTiles("Faces that may be kept; a click leaves one out", side=76, leave_out=True)
        self.tiles.left_out_changed.connect(self._left_out)
        self.name = QLineEdit()
        self.name.setPlaceholderText("Name")
        self.name.setAccessibleName("Name")
        self.name.setMaxLength(200)
        completer = QCompleter([])
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.name.setCompleter(completer)
        self.note = QLineEdit()
        self.note.setPlaceholderText("Note (optional)")
        self.note.setAccessibleName("Note")
        self.note.setMaxLength(10_000)
        self._warning = QLabel()
        self._warning.setWordWrap(True)
        self._warning.setAccessibleName("Warning")
        self.same_button = QPushButton()
        self.same_button.clicked.connect(self._it_is_the_same)
        self.keep_button = QPushButton("Keep")
        set_role(self.keep_button, primary="true")
        self.keep_button.clicked.connect(self._keep)
        self.keep_button.setAutoDefault(True)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Keep nothing of this (Esc)")
        self.cancel_button.clicked.connect(self.cancel)
        self.cancel_button.setAutoDefault(True)
        self.name.textChanged.connect(lambda _: self._show())
        self.name.returnPressed.connect(self._keep)
        self.note.returnPressed.connect(self._keep)
        left = QVBoxLayout()
        left.setSpacing(6)
        left.addWidget(self._advice)
        left.addWidget(self._count)
        left.addWidget(self.bar)
        left.addWidget(self.quality)
        left.addStretch(1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.keep_button, 1)
        buttons.addWidget(self.cancel_button)
        right = QVBoxLayout()
        right.setSpacing(6)
        right.addWidget(self.name)
        right.addWidget(self.note)
        right.addWidget(self._warning)
        right.addWidget(self.same_button)
        right.addStretch(1)
        right.addLayout(buttons)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(16)
        for part, wide in ((left, 3), (self.tiles, 5), (right, 3)):
            if isinstance(part, QWidget):
                layout.addWidget(part, wide)
            else:
                layout.addLayout(part, wide)
        self._weighing = QTimer(self)  # several faces that come together are looked at together
        self._weighing.setSingleShot(True)
        self._weighing.setInterval(60)
        self._weighing.timeout.connect(self._weigh)
        theme.changed.connect(self._show)
        self.setFocusProxy(self.name)
        self._show()

    # beginning ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Something has begun and is neither kept nor cancelled."""
        return self._round % 2 == 1

    @property
    def watching(self) -> bool:
        """The coach looks at the frames that come."""
        return self._coach is not None

    @property
    def advice(self) -> str:
        return self._advice.text()

    @property
    def warning(self) -> str:
        return self._warning.text()

    def from_camera(self, person: int | None = None) -> None:
        """Take shots of whoever is in front of the camera."""
        self._begin(person)
        self._coach = Coach()
        self._say("Look at the camera.")
        self._show()

    def from_photos(self, paths: Sequence[Path], person: int | None = None) -> None:
        """Take the faces out of pictures of one person."""
        self._begin(person)
        number = self._round

        def take(face: Candidate) -> None:
            if self._round == number:
                self._add(face)

        def done(job: Job) -> None:
            if self._round == number:
                self._say("These faces were found." if self._candidates else "No face was found that could be kept.")
                self._show()

        self._say("Looking for faces…")
        self._job = self._faces.from_photos(paths, take, done)
        self._show()

    def from_faces(self, candidates: Sequence[Candidate], name: str = "", person: int | None = None) -> None:
        """Faces that are there already, of an album, say."""
        self._begin(person)
        self.name.setText(name)
        self._say("These faces may be kept.")
        for face in candidates:
            self._add(face)

    def pause(self) -> None:
        """Nobody looks at the picture any more: what was taken waits, but nothing more is taken."""
        if self._coach is not None:
            self._coach = None
            self.hint.emit("")
            self._say("These faces may be kept.")
            self._show()

    def cancel(self) -> None:
        """Forget everything."""
        if self.running and not self._busy:
            self._end(-1)

    def set_result(self, result: Result) -> None:
        """A frame that has been read, while the coach looks."""
        if self._coach is None or result.faces is None:
            return
        advice = self._coach.look(result.faces, result.frame.time)
        self._say(advice.hint)
        faces = result.faces
        main = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]), default=None)
        self.quality.show_quality(main.quality if main is not None else None)
        if advice.take >= 0:
            candidate = self._faces.from_match(faces[advice.take], result.frame.source)
            if candidate is not None:
                self._add(candidate)
        if advice.done:
            self._coach = None
            self.hint.emit("")
            self._say("That is enough. Who is it?" if self._person is None else "That is enough.")
            self.name.setFocus()
        self._show()

    # inside ---------------------------------------------------------------------------------------------------------

    def _begin(self, person: int | None) -> None:
        if self.running:
            self._end(-1, tell=False)
        self._round += 1
        self._person = person
        self._candidates, self._odd, self._newcomer = [], {}, None
        self.tiles.clear()
        self.name.clear()
        self.note.clear()
        self.quality.show_quality(None)
        completer = self.name.completer()
        assert completer is not None
        model = completer.model()
        model.setStringList(sorted(set(self._faces.names.values()), key=str.casefold))  # type: ignore[attr-defined]

    def _end(self, person: int, *, tell: bool = True) -> None:
        self._round += 1
        if self._job is not None:
            self._job.cancelled = True
        self._coach = self._job = None
        self._busy = False
        self._weighing.stop()
        self._candidates, self._newcomer = [], None
        self.tiles.clear()
        self.hint.emit("")
        if tell:
            self.finished.emit(person)

    def _add(self, face: Candidate) -> None:
        self._candidates.append(face)
        self.tiles.add_tile(self._tile(face))
        self._weighing.start()
        self._show()

    def _tile(self, face: Candidate) -> Tile:
        odd = self._odd.get(id(face), False)
        words = quality_words(face.quality)
        tip = f"{face.source}\nClick to leave it out" if face.source else "Click to leave it out"
        return Tile(face, face.jpeg, words, face.overall, "does not fit" if odd else "", tip)

    def _left_out(self) -> None:
        if self._coach is not None:
            self._coach.taken = len(self.tiles.kept)
        self._weighing.start()
        self._show()

    @property
    def _kept(self) -> list[Candidate]:
        return [face for face in self.tiles.kept if isinstance(face, Candidate)]

    def _weigh(self) -> None:
        number, asked = self._round, self._kept

        def weighed(newcomer: Newcomer) -> None:
            if self._round != number or [id(face) for face in self._kept] != [id(face) for face in asked]:
                return
            self._newcomer = newcomer
            known = {id(old): new for old, new in zip(asked, newcomer.faces, strict=True)}
            self._odd = {
                id(new): odd for new, odd in zip(newcomer.faces, newcomer.misfits or (False,) * 99, strict=False)
            }
            self._candidates = [known.get(id(face), face) for face in self._candidates]
            self.tiles.show_tiles([self._tile(face) for face in self._candidates])
            self._show()

        if asked:
            self._faces.weigh(asked, weighed)
        else:
            self._newcomer = None
            self._show()

    @property
    def _owner(self) -> int | None:
        """Who gets the faces, if it is someone who is enrolled."""
        return self._person if self._person is not None else self._faces.person_named(self.name.text())

    def _say(self, words: str) -> None:
        self._advice.setText(words)
        if self._coach is not None:
            self.hint.emit(words)

    def _show(self) -> None:
        kept, faces = self._kept, self._faces
        job = self._job
        at_work = job is not None and not job.ended
        camera = self._coach is not None
        self.bar.setVisible(camera or at_work)
        self.quality.setVisible(camera)
        if camera:
            self.bar.setRange(0, MOST)
            self.bar.setValue(len(kept))
            self._count.setText(f"{len(kept)} of {FEWEST} to {MOST} shots · Esc: cancel")
        elif job is not None:
            self.bar.setRange(0, max(1, job.total))
            self.bar.setValue(job.done)
            lines = [f"{job.done} of {job.total} pictures"] if at_work else []
            lines += [f"{name}: {why}" for name, why in job.skipped[-3:]]
            if len(job.skipped) > 3:
                lines.append(f"and {len(job.skipped) - 3} others left out")
            self._count.setText("\n".join(lines))
            self._count.setToolTip("\n".join(f"{name}: {why}" for name, why in job.skipped[:40]))
        else:
            self._count.setText(f"{len(kept)} face{'s' if len(kept) != 1 else ''}")
        owner = self._owner
        names = faces.names
        self.name.setVisible(self._person is None)
        self.note.setVisible(owner is None)
        self.keep_button.setEnabled(
            bool(kept) and (owner is not None or bool(self.name.text().strip())) and not self._busy
        )
        self.keep_button.setText(f"Add to {_short(names.get(owner, ''))}" if owner is not None else "Keep")
        self.keep_button.setToolTip("Put these faces into the gallery (Enter)")
        self.cancel_button.setEnabled(not self._busy)
        warning, like = self._warn(kept, owner)
        colour = theme.colours.warning
        self._warning.setText(warning)
        self._warning.setStyleSheet(f"color: {colour};")
        self._warning.setVisible(bool(warning))
        self.same_button.setVisible(bool(like) and self._person is None)
        self.same_button.setText(f"It is {_short(like)}")

    def _warn(self, kept: list[Candidate], owner: int | None) -> tuple[str, str]:
        """What speaks against keeping them, and the name of the enrolled person whom they resemble too much."""
        found = self._newcomer
        parts, like = [], ""
        if found is not None and found.overlaps and found.person is not None and found.person != owner:
            like = self._faces.names.get(found.person, "")
            if like:
                mine = self.name.text().strip() or "the newcomer"
                parts.append(f"{_short(like)} and {_short(mine)}: these two overlap: {found.similarity:.2f}.")
        odd = sum(self._odd.get(id(face), False) for face in kept)
        if odd:
            parts.append(f"{odd} {'do' if odd > 1 else 'does'} not fit the others. Click to leave out.")
        elif kept and max(face.overall for face in kept) < 0.35 and self._coach is None:
            parts.append("None of these is a good picture.")
        return " ".join(parts), like

    def _it_is_the_same(self) -> None:
        found = self._newcomer
        if found is not None and found.person is not None:
            self.name.setText(self._faces.names.get(found.person, ""))
            self.keep_button.setFocus()

    def _keep(self) -> None:
        if not self.keep_button.isEnabled() or not self.running:
            return
        self._busy = True
        if self._job is not None:
            self._job.cancelled = True
        self._coach = None
        self.hint.emit("")
        number = self._round

        def kept(person: int) -> None:
            if self._round == number:
                self._end(person)

        def failed() -> None:
            if self._round == number:
                self._busy = False
                self._show()

        self._faces.keep(
            self._kept, name=self.name.text(), person=self._owner, note=self.note.text(), done=kept, failed=failed
        )
        self._show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.cancel()
        else:
            super().keyPressEvent(event)


class FolderImport(QWidget):
    """A folder for each person: what was found, what was left out and why, and whom to add.

    Signals:
        finished(): it is over.
    """

    finished = Signal()

    def __init__(self, faces: Faces, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces = faces
        self._job: Job | None = None
        self._folders: list[Folder] = []
        self._adding = False
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._words.setFont(scaled_font(self._words, 1.2, bold=True))
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.found = QTreeWidget()
        self.found.setHeaderLabels(["Person", "Faces"])
        self.found.setAccessibleName("People who were found")
        self.found.setRootIsDecorated(False)
        self.found.itemChanged.connect(lambda *_: self._show())
        self.skipped = QTreeWidget()
        self.skipped.setHeaderLabels(["Left out", "Why"])
        self.skipped.setAccessibleName("What was left out and why")
        self.skipped.setRootIsDecorated(False)
        self.add_button = QPushButton("Add")
        set_role(self.add_button, primary="true")
        self.add_button.clicked.connect(self._add)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Esc")
        self.cancel_button.clicked.connect(self.cancel)
        for button in (self.add_button, self.cancel_button):
            button.setAutoDefault(True)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(16)
        layout.setVerticalSpacing(8)
        layout.addWidget(self._words, 0, 0)
        layout.addWidget(self.bar, 0, 1)
        layout.addWidget(self.found, 1, 0)
        layout.addWidget(self.skipped, 1, 1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.cancel_button)
        layout.addLayout(buttons, 2, 0, 1, 2)
        layout.setColumnStretch(0, 1)
        layout.setColumnStretch(1, 1)
        faces.working.connect(self._show)
        self.setFocusProxy(self.found)

    @property
    def running(self) -> bool:
        return self._job is not None

    @property
    def words(self) -> str:
        return self._words.text()

    def begin(self, root: Path) -> None:
        """Go through the folders in a folder."""
        self.found.clear()
        self.skipped.clear()
        self._folders = []
        self._adding = False
        self._job = self._faces.from_folders(root, self._found)
        self._show()

    def cancel(self) -> None:
        """Add nobody, or nobody more."""
        if self._job is not None:
            self._job.cancelled = True
            if not self._adding:
                self._job = None
                self._folders = []
                self.finished.emit()

    def _found(self, job: Job, folders: list[Folder]) -> None:
        if job is not self._job:
            return
        if job.cancelled:  # it could not even begin
            self.cancel()
            return
        self._folders = folders
        self.found.blockSignals(True)
        for folder in folders:
            item = QTreeWidgetItem([folder.name, f"{len(folder.faces)} from {folder.pictures} pictures"])
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(0, Qt.CheckState.Checked)
            if self._faces.person_named(folder.name) is not None:
                item.setText(1, f"{item.text(1)}, added to those that are there")
            self.found.addTopLevelItem(item)
        self.found.blockSignals(False)
        self.skipped.addTopLevelItems([QTreeWidgetItem([name, why]) for name, why in job.skipped])
        for tree in (self.found, self.skipped):
            tree.resizeColumnToContents(0)
        self._show()
        self.add_button.setFocus()

    @property
    def _wanted(self) -> list[Folder]:
        items = (self.found.topLevelItem(row) for row in range(self.found.topLevelItemCount()))
        checked = [item is not None and item.checkState(0) == Qt.CheckState.Checked for item in items]
        return [folder for folder, on in zip(self._folders, checked, strict=True) if on]

    def _show(self) -> None:
        job = self._job
        if job is None:
            return
        count = len(self._wanted)
        people = f"{count} {'people' if count != 1 else 'person'}"
        self.bar.setVisible(not job.ended)
        self.bar.setRange(0, job.total)
        self.bar.setValue(job.done)
        if not job.ended:
            self._words.setText(f"{job.words} {job.done} of {job.total}" if job.total else job.words)
        elif self._folders:
            self._words.setText(f"Found {len(self._folders)} people. {len(job.skipped)} pictures left out.")
        else:
            self._words.setText("No face was found that could be kept.")
        self.add_button.setText(f"Add {people}")
        self.add_button.setEnabled(job.ended and count > 0 and not self._adding)

    def _add(self) -> None:
        self._adding = True

        def done(job: Job) -> None:
            self._job = None
            self._folders = []
            self.finished.emit()

        self._job = self._faces.keep_folders(self._wanted, done)
        self._show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.cancel()
        else:
            super().keyPressEvent(event)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"
