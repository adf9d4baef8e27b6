"""Pictures in groups: a list of groups, and the small pictures of one of them. Made for ten thousand.

Small pictures are unpacked when they are first painted, a few milliseconds' worth at a time, and only those seen last
are kept unpacked.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QAbstractListModel,
    QByteArray,
    QMimeData,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QSize,
    QStringListModel,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from gui.theme import begin_row, begin_tile, scaled_font, theme

if TYPE_CHECKING:
    from engine import SortItem

Index = QModelIndex | QPersistentModelIndex

MIME = "application/x-convscope-pictures"
GROUP = Qt.ItemDataRole.UserRole
ITEM = Qt.ItemDataRole.UserRole + 1
SIDE = 112  # of a small picture in the grid
KEPT = 600  # small pictures that are kept unpacked
BUDGET = 0.006  # seconds of one painting that go into unpacking
TAGS_TOLD = 6  # tags in a tooltip


@dataclass(frozen=True, eq=False)
class Group:
    """Pictures that belong together.

    Attributes:
        key: of the group, whatever it is called.
        tag: that its pictures have; None: it is no tag.
    """

    key: str
    title: str = field(repr=False)
    items: tuple[SortItem, ...] = field(repr=False)
    tag: str | None = field(default=None, repr=False)


class GroupModel(QAbstractListModel):
    """The groups. Signals: `dropped(str)`: pictures were dropped onto the group with this key."""

    dropped = Signal(str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.groups: tuple[Group, ...] = ()

    def show_groups(self, groups: tuple[Group, ...]) -> bool:
        """True if the rows are others now, so that nothing is chosen."""
        same = [group.key for group in groups] == [group.key for group in self.groups]
        if same:
            self.groups = groups
            if groups:
                self.dataChanged.emit(self.index(0), self.index(len(groups) - 1))
            return False
        self.beginResetModel()
        self.groups = groups
        self.endResetModel()
        return True

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        return 0 if parent.isValid() else len(self.groups)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        group = self.groups[index.row()]
        if role == GROUP:
            return group
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{group.title}, {len(group.items):,}"
        if role == Qt.ItemDataRole.ToolTipRole and group.tag is not None:
            return f"{group.title}\nDrop pictures here to give them this tag"
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.isValid() and self._takes(index.row()):
            flags |= Qt.ItemFlag.ItemIsDropEnabled
        return flags

    def _takes(self, row: int) -> bool:
        return self.groups[row].tag is not None or self.groups[row].key == "nothing"

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.CopyAction

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        if not data.hasFormat(MIME) or not parent.isValid() or not self._takes(parent.row()):
            return False
        self.dropped.emit(self.groups[parent.row()].key)
        return True


class GroupDelegate(QStyledItemDelegate):
    """A group in the list: its title, and how many pictures."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        group: Group = index.data(GROUP)
        painter.save()
        text = begin_row(painter, option).adjusted(8, 0, -8, 0)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen and option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(theme.colour("accent"), 1.4))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(option.rect).adjusted(2, 2, -2, -2), 4, 4)
        count = f"{len(group.items):,}"
        painter.setFont(scaled_font(option.widget, 1.0))
        room = painter.fontMetrics().horizontalAdvance(count) + 8
        painter.setPen(theme.colour("dim"))
        painter.drawText(text, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, count)
        painter.setFont(scaled_font(option.widget, 1.0, bold=group.tag is not None))
        painter.setPen(theme.colour("text" if group.items else "dim"))
        title = painter.fontMetrics().elidedText(
            group.title, Qt.TextElideMode.ElideRight, max(0, int(text.width() - room))
        )
        painter.drawText(text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(160, option.fontMetrics.height() + 16)


class GroupList(QListView):
    """The list of groups, onto which pictures can be dropped.

    Signals:
        picked(): another one is chosen.
        dropped(str): pictures were dropped onto the group with this key.
    """

    picked = Signal()
    dropped = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.groups = GroupModel(self)
        self.setModel(self.groups)
        self.setItemDelegate(GroupDelegate(self))
        self.setFixedWidth(220)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QListView { border: 0; background: transparent; }")
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DropOnly)
        self.setDragDropOverwriteMode(True)  # onto a group, never between two
        self.setAccessibleName("Tags, and how many pictures have them")
        self.groups.dropped.connect(self.dropped)
        self.selectionModel().currentChanged.connect(lambda *_: self.picked.emit())
        theme.changed.connect(self.viewport().update)

    @property
    def group(self) -> Group | None:
        """The chosen one."""
        index = self.currentIndex()
        return self.groups.groups[index.row()] if index.isValid() else None

    @property
    def chosen(self) -> str:
        """The key of the chosen one; "": none is."""
        group = self.group
        return group.key if group is not None else ""

    def show_groups(self, groups: tuple[Group, ...], chosen: str) -> None:
        """Show these and choose the one with this key, or the first."""
        place = self.verticalScrollBar().value()
        self.selectionModel().blockSignals(True)
        if self.groups.show_groups(groups) and groups:
            row = next((row for row, group in enumerate(groups) if group.key == chosen), 0)
            self.setCurrentIndex(self.groups.index(row))
            self.verticalScrollBar().setValue(place)
        self.selectionModel().blockSignals(False)
        self.viewport().update()

    def choose(self, key: str) -> None:
        """Choose the group with this key."""
        row = next((row for row, group in enumerate(self.groups.groups) if group.key == key), -1)
        if row >= 0:
            self.setCurrentIndex(self.groups.index(row))


class PictureModel(QStringListModel):
    """The pictures of a group.

    Its rows are counted by Qt's own list of as many strings, all empty: laying ten thousand out asks for their count as
    many times.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.items: tuple[SortItem, ...] = ()

    def show_items(self, items: tuple[SortItem, ...]) -> None:
        """Show these; whatever stays in its place stays chosen."""
        known = self.items
        grown = len(items) >= len(known) > 0 and all(
            old.tagged is new.tagged for old, new in zip(known, items, strict=False)
        )
        self.items = items
        if not grown:
            self.setStringList([""] * len(items))
        elif len(items) > len(known):
            self.insertRows(len(known), len(items) - len(known))

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        item = self.items[index.row()]
        if role == ITEM:
            return item
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return ", ".join(part for part in (item.tagged.path.name, caption(item)) if part)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(item)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsDragEnabled

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        data = QMimeData()
        data.setData(MIME, QByteArray(str(len(indexes)).encode()))
        return data


class PictureDelegate(QStyledItemDelegate):
    """A small picture, what it is sorted by, and the file's name.

    Attributes:
        plain: all of them have one tag, so it is not said of each.
        missed: a picture could not be painted yet; paint again.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.plain = False
        self.missed = False
        self._until = 0.0
        self._idle = True  # nothing has been unpacked in this painting
        self._unpacked: collections.OrderedDict[Path, QPixmap] = collections.OrderedDict()

    def begin(self) -> None:
        """A painting begins."""
        self.missed = False
        self._idle = True
        self._until = time.thread_time() + BUDGET  # of our own work, not of what others do meanwhile

    def forget(self) -> None:
        self._unpacked.clear()

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        item: SortItem = index.data(ITEM)
        painter.save()
        area = begin_tile(painter, option)
        place = QRectF(area.center().x() - SIDE / 2, area.y() + 4, SIDE, SIDE)
        self._paint_picture(painter, place, item)
        line = painter.fontMetrics().height()
        words = QRectF(area.x() + 4, place.bottom() + 2, area.width() - 8, line)
        said = _score(item) if self.plain else caption(item)
        for text, bold, colour in ((said, item.by_hand, "text"), (item.tagged.path.name, False, "dim")):
            painter.setFont(scaled_font(option.widget, 0.9, bold=bold))
            painter.setPen(theme.colour("warning" if item.tagged.trouble and colour == "text" else colour))
            elided = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, int(words.width()))
            painter.drawText(words, Qt.AlignmentFlag.AlignCenter, elided)
            words.translate(0, line)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(SIDE + 20, SIDE + 2 * option.fontMetrics.height() + 14)

    def _paint_picture(self, painter: QPainter, place: QRectF, item: SortItem) -> None:
        if item.tagged.trouble or not item.tagged.thumbnail:
            icon = theme.pixmap("warning", 32, theme.colours.warning, painter.device().devicePixelRatioF())
            painter.drawPixmap(QRectF(place.center().x() - 16, place.center().y() - 16, 32, 32).toRect(), icon)
            return
        pixmap = self._picture(item)
        if pixmap is None or pixmap.isNull():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("track"))
            painter.drawRoundedRect(place, 4, 4)
            return
        size = pixmap.size().scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio)
        inner = QRectF(0, 0, size.width(), size.height())
        inner.moveCenter(place.center())
        painter.drawPixmap(inner, pixmap, QRectF(pixmap.rect()))

    def _picture(self, item: SortItem) -> QPixmap | None:
        """The small picture; None: there is no time left to unpack it now."""
        path = item.tagged.path
        pixmap = self._unpacked.get(path)
        if pixmap is not None:
            self._unpacked.move_to_end(path)
            return pixmap
        if time.thread_time() > self._until and not self._idle:  # one at least, or a slow machine would never end
            self.missed = True
            return None
        self._idle = False
        pixmap = QPixmap()
        pixmap.loadFromData(QByteArray(item.tagged.thumbnail))
        self._unpacked[path] = pixmap
        if len(self._unpacked) > KEPT:
            self._unpacked.popitem(last=False)
        return pixmap


class PictureGrid(QListView):
    """The pictures of a group, in rows; they can be dragged onto another group.

    Signals:
        opened(Path): double-clicked, or Enter.
        untagged(): the chosen ones are to have no tag (Del).
        menu_wanted(QPoint): what can be done with the chosen ones; a place on the screen.
    """

    opened = Signal(object)
    untagged = Signal()
    menu_wanted = Signal(QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pictures = PictureModel(self)
        self.setModel(self.pictures)
        self._delegate = PictureDelegate(self)
        self.setItemDelegate(self._delegate)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setMouseTracking(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QListView { border: 0; background: transparent; }")
        self.setAccessibleName("Pictures of this tag; Enter opens one, T gives another tag, Del gives none")
        self.activated.connect(lambda index: self.opened.emit(index.data(ITEM).tagged.path))
        theme.changed.connect(self.viewport().update)

    @property
    def chosen(self) -> list[SortItem]:
        """Those that are chosen, in their order."""
        rows = sorted(index.row() for index in self.selectionModel().selectedIndexes())
        return [self.pictures.items[row] for row in rows]

    def show_items(self, items: tuple[SortItem, ...], *, plain: bool) -> None:
        """Show these; `plain`: they have one tag, which need not be said of each."""
        self._delegate.plain = plain
        if not items:
            self._delegate.forget()
        if items is not self.pictures.items:
            place = self.verticalScrollBar().value()
            self.pictures.show_items(items)
            self.verticalScrollBar().setValue(place)
        self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        self._delegate.begin()
        super().paintEvent(event)
        if self._delegate.missed:
            QTimer.singleShot(0, self.viewport(), self.viewport().update)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            self.menu_wanted.emit(event.globalPos())
        else:
            self._menu_at_current()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete and self.chosen:
            self.untagged.emit()
        elif event.key() == Qt.Key.Key_T and not event.modifiers() and self.chosen:
            self._menu_at_current()
        elif event.key() == Qt.Key.Key_Escape:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def _menu_at_current(self) -> None:
        self.menu_wanted.emit(self.viewport().mapToGlobal(self.visualRect(self.currentIndex()).center()))


def caption(item: SortItem) -> str:
    """What a picture is sorted by."""
    if item.tagged.trouble:
        return "could not be read"
    return f"{item.label} · {_score(item)}" if item.label else "nothing found" if not item.by_hand else "stays"


def _score(item: SortItem) -> str:
    if item.tagged.trouble:
        return "could not be read"
    if item.tag is None:
        return "stays" if item.by_hand else ""
    return "by hand" if item.by_hand else f"{item.tag.score * 100:.0f} %"


def _tip(item: SortItem) -> str:
    """Where it is, what was seen in it, and where it goes."""
    lines = [str(item.tagged.path)]
    if item.tagged.trouble:
        lines.append(item.tagged.trouble)
    lines += [f"{tag.label} {tag.score * 100:.0f} %" for tag in item.tagged.tags[:TAGS_TOLD]]
    if item.to is not None:
        lines.append(f"goes to {item.to}")
    elif item.there:
        lines.append("is where it belongs already")
    return "\n".join(lines)
