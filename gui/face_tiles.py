"""Faces side by side: pictures with a caption, a mark for what is wrong with one, and what has been left out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QByteArray, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QListWidget,
    QListWidgetItem,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from gui.recognised import paint_face
from gui.theme import begin_tile, scaled_font, theme

TILE = Qt.ItemDataRole.UserRole
OUT = Qt.ItemDataRole.UserRole + 1
KEY = Qt.ItemDataRole.UserRole + 2


@dataclass(frozen=True, eq=False)
class Tile:
    """A face in the list.

    Attributes:
        key: what it stands for.
        picture: of the face, or the same packed, to be unpacked when it is first seen.
        caption: below the picture.
        quality: 0..1, a bar in the picture; below 0: none.
        wrong: what is to be said against it; "": nothing.
        tip: when the mouse rests on it.
    """

    key: object
    picture: QImage | bytes
    caption: str = ""
    quality: float = -1.0
    wrong: str = ""
    tip: str = ""

    @functools.cached_property
    def image(self) -> QImage:
        return self.picture if isinstance(self.picture, QImage) else QImage.fromData(QByteArray(self.picture))


class TileDelegate(QStyledItemDelegate):
    """A picture with its caption, framed where it is chosen, dim where it has been left out."""

    def __init__(self, side: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._side = side

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        tile: Tile = index.data(TILE)
        painter.save()
        area = begin_tile(painter, option)
        left_out = bool(index.data(OUT))
        place = QRectF(area.center().x() - self._side / 2, area.y() + 3, self._side, self._side)
        painter.setOpacity(0.3 if left_out else 1.0)
        paint_face(painter, place, tile.image)
        if tile.quality >= 0:
            bar = QRectF(place.x() + 5, place.bottom() - 8, place.width() - 10, 4)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(Qt.GlobalColor.black)
            painter.setOpacity(0.15 if left_out else 0.5)
            painter.drawRoundedRect(bar.adjusted(-1, -1, 1, 1), 3, 3)
            painter.setOpacity(0.3 if left_out else 1.0)
            painter.setBrush(theme.colour("accent" if tile.quality >= 0.35 else "warning"))
            painter.drawRoundedRect(QRectF(bar.x(), bar.y(), max(4.0, bar.width() * tile.quality), 4), 2, 2)
        painter.setOpacity(1.0)
        if tile.wrong:
            painter.drawPixmap(
                round(place.right() - 20),
                round(place.y() + 2),
                theme.pixmap("warning", 18, theme.colours.warning, painter.device().devicePixelRatioF()),
            )
        caption = "left out" if left_out else tile.wrong or tile.caption
        if caption:
            painter.setFont(scaled_font(option.widget, 0.9))
            painter.setPen(theme.colour("warning" if tile.wrong and not left_out else "dim"))
            words = painter.fontMetrics().elidedText(caption, Qt.TextElideMode.ElideRight, int(area.width() - 4))
            text = QRectF(area.x() + 2, place.bottom() + 1, area.width() - 4, area.bottom() - place.bottom() - 1)
            painter.drawText(text, Qt.AlignmentFlag.AlignCenter, words)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(self._side + 14, self._side + option.fontMetrics.height() + 10)


class FaceTiles(QListWidget):
    """The tiles, in rows.

    Signals:
        left_out_changed(): one was left out or taken in again.
        removed(list): the keys of those that a person wants to be rid of (Del).
        opened(object): the key of the one that was double-clicked, or Enter pressed on.
    """

    left_out_changed = Signal()
    removed = Signal(list)
    opened = Signal(object)

    def __init__(self, name: str, *, side: int = 76, leave_out: bool = False, parent: QWidget | None = None) -> None:
        """
        Args:
            name: for those who cannot see it.
            leave_out: a click (or the space bar) leaves a face out; otherwise clicks choose.
        """
        super().__init__(parent)
        self._leave_out = leave_out
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setStyleSheet("QListView { border: 0; background: transparent; }")
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setItemDelegate(TileDelegate(side, self))
        self.setMouseTracking(True)
        self.setAccessibleName(name)
        modes = QAbstractItemView.SelectionMode
        self.setSelectionMode(modes.NoSelection if leave_out else modes.ExtendedSelection)
        if leave_out:
            self.itemClicked.connect(self._toggle)
        self.itemActivated.connect(lambda item: self.opened.emit(item.data(KEY)))
        theme.changed.connect(self.viewport().update)

    def show_tiles(self, tiles: Sequence[Tile]) -> None:
        """Show these; what was left out or chosen stays so."""
        out = {id(item.data(KEY)) for item in self._items() if item.data(OUT)}
        chosen = [item.data(KEY) for item in self.selectedItems()]
        self.blockSignals(True)
        while self.count() > len(tiles):
            self.takeItem(self.count() - 1)
        for row, tile in enumerate(tiles):
            item = self.item(row)
            if item is None:
                item = QListWidgetItem()
                self.addItem(item)
            if item.data(TILE) is not tile:
                item.setData(TILE, tile)
                item.setData(KEY, tile.key)
                item.setData(OUT, id(tile.key) in out)
                item.setToolTip(tile.tip or tile.wrong)
                item.setData(Qt.ItemDataRole.AccessibleTextRole, _spoken(tile, bool(item.data(OUT))))
            if not self._leave_out:
                item.setSelected(tile.key in chosen)
        self.blockSignals(False)
        self.itemSelectionChanged.emit()

    def add_tile(self, tile: Tile) -> None:
        """One more at the end."""
        item = QListWidgetItem()
        item.setData(TILE, tile)
        item.setData(KEY, tile.key)
        item.setToolTip(tile.tip or tile.wrong)
        item.setData(Qt.ItemDataRole.AccessibleTextRole, _spoken(tile, False))
        self.addItem(item)
        self.scrollToItem(item)

    @property
    def kept(self) -> list[object]:
        """The keys of those that have not been left out."""
        return [item.data(KEY) for item in self._items() if not item.data(OUT)]

    @property
    def chosen(self) -> list[object]:
        """The keys of those that are chosen."""
        return [item.data(KEY) for item in self._items() if item.isSelected()]

    def leave_out(self, key: object, out: bool = True) -> None:
        """Leave one out, or take it in again."""
        for item in self._items():
            if item.data(KEY) is key and bool(item.data(OUT)) != out:
                self._toggle(item)

    def _items(self) -> list[QListWidgetItem]:
        return [self.item(row) for row in range(self.count())]

    def _toggle(self, item: QListWidgetItem) -> None:
        item.setData(OUT, not item.data(OUT))
        item.setData(Qt.ItemDataRole.AccessibleTextRole, _spoken(item.data(TILE), bool(item.data(OUT))))
        self.left_out_changed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        item = self.currentItem()
        if self._leave_out and item is not None and event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Delete):
            self._toggle(item)
        elif not self._leave_out and event.key() == Qt.Key.Key_Delete and self.chosen:
            self.removed.emit(self.chosen)
        else:
            super().keyPressEvent(event)


def _spoken(tile: Tile, left_out: bool) -> str:
    quality = f"quality {tile.quality * 100:.0f} %" if tile.quality >= 0 else ""
    return ", ".join(part for part in (tile.caption, quality, tile.wrong, "left out" if left_out else "") if part)
