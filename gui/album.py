"""The album: a folder of pictures, gone through for faces. Who is enrolled is named; the unknown are sorted into
groups of what looks like one person each, which can be given a name.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QCompleter,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from gui.coach import quality_words
from gui.face_tiles import FaceTiles, Tile
from gui.faces import WORST, Candidate, Faces, Job, Seen
from gui.overlay import share_words
from gui.recognised import paint_face
from gui.theme import begin_row, scaled_font, set_role, theme

GROUP = Qt.ItemDataRole.UserRole
ENOUGH = 8  # faces of a group that are kept when it gets a name; the best ones
SHOWN = 400  # tiles at most: nobody looks at more
PAUSE = 2000  # milliseconds between two sortings while faces still come


@dataclass(frozen=True, eq=False)
class Found:
    """A face in the album.

    Attributes:
        who: the enrolled person; None: unknown.
        probability: calibrated, that it is that person.
    """

    face: Candidate
    path: Path
    who: int | None = None
    probability: float = 0.0


@dataclass(frozen=True, eq=False)
class Group:
    """Faces that belong together.

    Attributes:
        title: the name, or what is known instead.
        person: who it is, of those who are enrolled.
        members: the best first.
    """

    title: str
    person: int | None
    members: tuple[Found, ...]

    @functools.cached_property
    def image(self) -> QImage:
        return self.members[0].face.image

    @property
    def pictures(self) -> int:
        return len({found.path for found in self.members})


class GroupDelegate(QStyledItemDelegate):
    """A group in the list: its best face, who it is, in how many pictures."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        group: Group = index.data(GROUP)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        area = begin_row(painter, option, radius=6, ringed=True)
        paint_face(painter, QRectF(area.x() + 6, area.center().y() - 24, 48, 48), group.image)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        text = area.adjusted(66, 6, -8, -6)
        for half, (words, bold) in enumerate(((group.title, group.person is not None), (_count(group), False))):
            painter.setFont(scaled_font(option.widget, 1.0, bold=bold))
            painter.setPen(theme.colour("text" if half == 0 else "dim"))
            words = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, int(text.width()))
            place = QRectF(text.x(), text.y() + half * text.height() / 2, text.width(), text.height() / 2)
            painter.drawText(place, left, words)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(220, 62)


class AlbumStage(QWidget):
    """The stage while an album is looked at.

    Signals:
        closed(): back to the live picture.
        opened(Path): look at this picture.
    """

    closed = Signal()
    opened = Signal(object)

    def __init__(self, faces: Faces, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._faces = faces
        self._job: Job | None = None
        self._found: list[Found] = []
        self._groups: list[Group] = []
        self._sorted = 0  # how many faces the groups were made of
        self._sorting = False
        self._where = ""
        self.title = QLabel()
        self.title.setFont(scaled_font(self.title, 1.3, bold=True))
        self._words = QLabel()
        set_role(self._words, role="dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(160)
        self.bar.setAccessibleName("Progress")
        self.stop_button = QPushButton("Stop here")
        self.stop_button.setToolTip("Go through no more pictures; what was found stays")
        self.stop_button.clicked.connect(self.stop)
        self.close_button = QPushButton("Back to the live picture")
        self.close_button.setToolTip("Close the album (Esc)")
        self.close_button.clicked.connect(self.close_album)
        for button in (self.stop_button, self.close_button):
            button.setAutoDefault(True)
        self.list = QListWidget()
        self.list.setItemDelegate(GroupDelegate(self.list))
        self.list.setAccessibleName("Who is in the pictures")
        self.list.setMouseTracking(True)
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setStyleSheet("QListView { border: 0; background: transparent; }")
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.currentItemChanged.connect(lambda *_: self._show_group())
        self.tiles = FaceTiles("Faces of this group; Enter opens the picture", side=88)
        self.tiles.opened.connect(self._open)
        self.tiles.itemSelectionChanged.connect(self._show_name)
        self._heading = QLabel()
        self._heading.setFont(scaled_font(self._heading, 1.1, bold=True))
        self._heading.setWordWrap(True)
        self.name = QLineEdit()
        self.name.setPlaceholderText("Who is this?")
        self.name.setAccessibleName("Who this is")
        self.name.setMaxLength(200)
        completer = QCompleter([])
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.name.setCompleter(completer)
        self.name.textChanged.connect(lambda _: self._show_name())
        self.name.returnPressed.connect(self._give_name)
        self.name_button = QPushButton("Name them")
        set_role(self.name_button, primary="true")
        self.name_button.clicked.connect(self._give_name)
        self._remark = QLabel()
        self._remark.setWordWrap(True)
        set_role(self._remark, role="dim")
        self._build()
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(PAUSE)
        self._again.timeout.connect(self._sort)
        faces.working.connect(self._show_progress)
        faces.recognition.connect(self._resort)
        faces.changed.connect(self._show_name)
        theme.changed.connect(self.update)
        self.setFocusProxy(self.list)
        self._show_progress()
        self._show_group()

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(self.title)
        head.addWidget(self._words, 1)
        head.addWidget(self.bar)
        head.addWidget(self.stop_button)
        head.addWidget(self.close_button)
        naming = QHBoxLayout()
        naming.setSpacing(8)
        naming.addWidget(self.name, 1)
        naming.addWidget(self.name_button)
        right = QVBoxLayout()
        right.setSpacing(8)
        right.addWidget(self._heading)
        right.addLayout(naming)
        right.addWidget(self._remark)
        right.addWidget(self.tiles, 1)
        body = QHBoxLayout()
        body.setSpacing(16)
        body.addWidget(self.list, 2)
        body.addLayout(right, 5)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 12, 16, 8)
        layout.setSpacing(12)
        layout.addLayout(head)
        layout.addLayout(body, 1)

    # what one may ask of it -----------------------------------------------------------------------------------------

    @property
    def groups(self) -> list[Group]:
        return self._groups

    @property
    def begun(self) -> bool:
        """There is an album, whether it is being gone through or not."""
        return self._job is not None

    @property
    def running(self) -> bool:
        return self._job is not None and not self._job.ended

    @property
    def words(self) -> str:
        """How far it is."""
        return self._words.text()

    def begin(self, root: Path | Sequence[Path]) -> None:
        """Go through a folder, or through some pictures."""
        self.stop()
        self._found, self._groups, self._sorted = [], [], 0
        self.list.clear()
        self._where = root.name or str(root) if isinstance(root, Path) else f"{len(root)} pictures"
        self.title.setText(f"Album · {self._where}")
        self._job = self._faces.go_through(root, self._take, self._done)
        self._show_progress()
        self._show_group()

    def stop(self) -> None:
        """Go through no more."""
        if self._job is not None:
            self._job.cancelled = True

    def close_album(self) -> None:
        """Forget all that was found and not named."""
        self.stop()
        self._job = None
        self._found, self._groups, self._sorted = [], [], 0
        self.list.clear()
        self._show_group()
        self.closed.emit()

    # inside ---------------------------------------------------------------------------------------------------------

    def _take(self, seen: Seen) -> None:
        self._found += [Found(face, seen.path) for face in seen.faces]
        if not self._again.isActive() and not self._sorting:
            self._again.start()

    def _done(self, job: Job) -> None:
        if job is self._job:
            self._show_progress()
            self._again.stop()
            self._sort()

    def _resort(self) -> None:
        """Other people are known now, or the line lies elsewhere."""
        self._sorted = -1
        if self._found and not self._sorting:
            self._sort()

    def _sort(self) -> None:
        if self._sorting or len(self._found) == self._sorted or not self._found:
            return
        asked = [found for found in self._found if found.face.embedding is not None]
        self._sorting, self._sorted = True, len(self._found)

        def sorted_out(who: list[tuple[int | None, float]], numbers: NDArray[np.int64]) -> None:
            self._sorting = False
            if not asked or not self._found or asked[0] is not self._found[0]:
                return  # of the album before
            self._group(asked, who, numbers)
            if len(self._found) != self._sorted:
                self._again.start()

        def failed() -> None:
            self._sorting = False

        number = {path: i for i, path in enumerate(dict.fromkeys(found.path for found in asked))}
        pictures = [number[found.path] for found in asked]
        self._faces.sort_faces([found.face for found in asked], pictures, sorted_out, failed)

    def _group(self, asked: list[Found], who: list[tuple[int | None, float]], numbers: NDArray[np.int64]) -> None:
        named: dict[int, list[Found]] = {}
        unknown: dict[int, list[Found]] = {}
        for found, (person, probability), number in zip(asked, who, numbers.tolist(), strict=True):
            each = Found(found.face, found.path, person, probability)
            if person is not None:
                named.setdefault(person, []).append(each)
            else:
                unknown.setdefault(number, []).append(each)
        names = self._faces.names
        groups = [
            _grouped(names.get(person, ""), person, members)
            for person, members in sorted(named.items(), key=lambda item: names.get(item[0], "").casefold())
        ]
        several = [members for _, members in sorted(unknown.items()) if len(members) > 1]
        groups += [_grouped(f"Unknown {i}", None, members) for i, members in enumerate(several, 1)]
        once = [members[0] for members in unknown.values() if len(members) == 1]
        if once:
            groups.append(_grouped("Seen once", None, once))
        before = self._current
        row = self.list.currentRow()
        self._groups = groups
        self.list.blockSignals(True)
        self.list.clear()
        for group in groups:
            item = QListWidgetItem()
            item.setData(GROUP, group)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{group.title}, {_count(group)}")
            self.list.addItem(item)
        self.list.setCurrentRow(_like(before, groups, row))
        self.list.blockSignals(False)
        self._show_group()

    @property
    def _current(self) -> Group | None:
        item = self.list.currentItem()
        group: Group | None = item.data(GROUP) if item is not None else None
        return group

    def _show_group(self) -> None:
        group = self._current
        self._heading.setText(f"{group.title} · {_count(group)}" if group is not None else "")
        tiles = []
        for found in group.members[:SHOWN] if group is not None else ():
            sure = share_words(found.probability) if found.who is not None else quality_words(found.face.quality)
            tip = f"{found.path.name}\nDouble-click to look at the picture"
            tiles.append(Tile(id(found), found.face.jpeg, sure, -1.0, "", tip))
        self.tiles.clear()
        self.tiles.show_tiles(tiles)
        self.name.clear()
        completer = self.name.completer()
        assert completer is not None
        names = sorted(set(self._faces.names.values()), key=str.casefold)
        completer.model().setStringList(names)  # type: ignore[attr-defined]
        self._show_name()

    def _chosen(self) -> list[Found]:
        """The faces that would get the name: those that are chosen, or all; the best of them."""
        group = self._current
        if group is None:
            return []
        chosen = set(self.tiles.chosen)
        members = [found for found in group.members if id(found) in chosen] if chosen else list(group.members)
        good = [found for found in members if found.face.overall >= WORST]
        return good[:ENOUGH]

    def _show_name(self) -> None:
        group, faces = self._current, self._faces
        asking = group is not None and (group.person is None or bool(self.tiles.chosen))
        ready = faces.state == "open"
        once = group is not None and group.person is None and group.title == "Seen once" and not self.tiles.chosen
        self.name.setVisible(asking)
        self.name_button.setVisible(asking)
        self.name.setEnabled(ready and not once)
        self.name_button.setEnabled(ready and not once and bool(self.name.text().strip()) and bool(self._chosen()))
        known = faces.person_named(self.name.text())
        self.name_button.setText("Add to this person" if known is not None else "Name them")
        if not asking:
            words = "Choose a face to say that it is somebody else's." if group is not None else ""
        elif not ready:
            words = "To give names, start a gallery below, in People."
        elif once:
            words = "These faces resemble no other. Choose one to name it."
        else:
            count = len(self._chosen())
            words = f"The {count} best faces are kept." if count > 1 else "This face is kept." if count else ""
            words = words or "These faces are too poor to recognise anybody by."
        self._remark.setText(words)

    def _give_name(self) -> None:
        if not self.name_button.isEnabled():
            return
        name = self.name.text()
        faces = [found.face for found in self._chosen()]
        self.name.clear()
        self._faces.keep(faces, name=name, person=self._faces.person_named(name))

    def _open(self, key: object) -> None:
        group = self._current
        found = next((each for each in group.members if id(each) == key), None) if group is not None else None
        if found is not None:
            self.opened.emit(found.path)

    def _show_progress(self) -> None:
        job = self._job
        running = self.running
        self.bar.setVisible(running)
        self.stop_button.setVisible(running)
        if job is None:
            self._words.setText("")
            return
        self.bar.setRange(0, job.total)
        self.bar.setValue(job.done)
        parts = [f"{job.done} of {job.total} pictures" if running or job.cancelled else f"{job.done} pictures"]
        parts.append(f"{len(self._found)} face{'s' if len(self._found) != 1 else ''}")
        if job.skipped:
            parts.append(f"{len(job.skipped)} left out")
            self._words.setToolTip("\n".join(f"{name}: {why}" for name, why in job.skipped[:40]))
        self._words.setText(" · ".join(parts) if job.total or job.ended else job.words)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close_album()
        else:
            super().keyPressEvent(event)


def _grouped(title: str, person: int | None, members: list[Found]) -> Group:
    best = tuple(sorted(members, key=lambda found: -found.face.overall))
    return Group(title, person, best)


def _count(group: Group) -> str:
    faces = f"{len(group.members)} face{'s' if len(group.members) != 1 else ''}"
    return f"{faces} in {group.pictures} picture{'s' if group.pictures != 1 else ''}"


def _like(before: Group | None, groups: list[Group], row: int) -> int:
    """The row of the group that was chosen before: it may be known under a name by now."""
    if before is None or not groups:
        return 0 if groups else -1
    faces = {id(found.face) for found in before.members}
    shared = [sum(id(found.face) in faces for found in group.members) for group in groups]
    return int(np.argmax(shared)) if max(shared) else min(row, len(groups) - 1)
