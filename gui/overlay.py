"""What is drawn over a picture: boxes with their names, and one line for the picture as a whole.

An `Overlay` is made from a result in the GUI thread and never changes; painting one needs nothing but a painter, so a
recording paints it in its own thread onto the picture, in the picture's own size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPen

if TYPE_CHECKING:
    from engine import Classification, Result
    from gui.sight import Sight

SURE, UNSURE = "#ffd166", "#c5cad3"  # what a classifier has read, and what it rejects
CROWD = 60  # boxes; of more than these the frames are as thin as they can be
MOST_LABELS = 120


@dataclass(frozen=True, eq=False)
class Mark:
    """One box.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the picture.
        text: its name in full; "": none.
        brief: a shorter name, for where there is no room.
        colour: of frame and label.
        dashed: the network rejects it.
        room: how far the frame lies outside the box, in pixels of the screen.
    """

    box: tuple[float, float, float, float]
    text: str
    brief: str
    colour: str
    dashed: bool = False
    room: float = 0.0


@dataclass(frozen=True, eq=False)
class Overlay:
    """Everything that is drawn over one picture: the surest boxes first; `chosen` is the one that is looked at."""

    size: tuple[int, int]  # (width, height) of the picture
    marks: tuple[Mark, ...] = ()
    headline: str = ""
    chosen: int = -1


def overlay_of(result: Result, sight: Sight) -> Overlay:
    """What is drawn over the frame of `result`, which `sight` has taken."""
    height, width = result.frame.image.shape[:2]
    if result.detections is not None:
        chosen = sight.chosen.index if sight.chosen is not None else -1
        return Overlay((width, height), _detected(sight), chosen=chosen)
    parts = any(region.box[2] - region.box[0] < width for region in result.regions) or bool(result.text)
    marks = []
    for region in result.regions if parts else ():
        rejected = region.classification.rejected
        name = "" if rejected else region.classification.label
        marks.append(Mark(region.box, name, name, UNSURE if rejected else SURE, dashed=rejected, room=3.0))
    return Overlay((width, height), tuple(marks), _headline(result))


def _detected(sight: Sight) -> tuple[Mark, ...]:
    shown = sight.shown
    if shown is None:
        return ()
    marks = []
    tracks = shown.track_id.tolist() if shown.track_id is not None else [-1] * len(shown)
    rows = zip(shown.xyxy.tolist(), shown.confidence.tolist(), shown.class_id.tolist(), tracks, strict=True)
    for box, score, number, track in rows:
        label = shown.labels[number]
        name = f"{label} {track}" if track >= 0 else label
        marks.append(Mark(tuple(box), f"{name} · {score * 100:.0f} %", name, sight.colours.get(label, SURE)))
    return tuple(marks)


def _headline(result: Result) -> str:
    """What a classifier says of the whole picture."""
    if result.text:
        return result.text
    whole: Classification | None = result.classification
    if whole is None or whole.rejected or not result.regions:
        return ""
    return f"{whole.label} · {float(whole.probabilities[whole.best]) * 100:.0f} %"


# ------------------------------------------------------------------------------------------------------- painting


def paint_overlay(
    painter: QPainter, overlay: Overlay, *, place: QRectF, seen: QRectF, font: QFont, unit: float = 1.0, over: int = -1
) -> None:
    """Draw it.

    Args:
        place: where the whole picture lies.
        seen: the part of it that can be seen; no label leaves it.
        font: of the labels.
        unit: the width of thin things: 1 on the screen, more on a large picture.
        over: the box under the mouse, whose label is shown whatever it covers.
    """
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    boxes = _placed(overlay, place, unit)
    inside = [
        i for i, box in enumerate(boxes) if box.intersects(seen) or (seen.contains(box.topLeft()) and not box.isEmpty())
    ]
    crowd = len(inside) > CROWD
    for i in reversed(inside):  # the surest on top
        if i != overlay.chosen:
            _paint_frame(painter, boxes[i], overlay.marks[i], unit=unit, thin=crowd)
    if overlay.chosen in inside:
        _paint_chosen(painter, boxes[overlay.chosen], overlay.marks[overlay.chosen], unit=unit)
    if overlay.headline:
        _paint_headline(painter, overlay.headline, seen, font, unit)
    bold = QFont(font)
    bold.setWeight(QFont.Weight.DemiBold)
    painter.setFont(bold)
    first = [i for i in (over, overlay.chosen) if i in inside]
    order = first + [i for i in inside if i not in first]
    for i, text, label in label_places(overlay.marks, boxes, order, seen, QFontMetricsF(bold), unit):
        _paint_label(painter, label, text, QColor(overlay.marks[i].colour), unit)
    painter.restore()


def label_places(
    marks: Sequence[Mark],
    boxes: Sequence[QRectF],
    order: Sequence[int],
    seen: QRectF,
    metrics: QFontMetricsF,
    unit: float = 1.0,
) -> list[tuple[int, str, QRectF]]:
    """Where the labels go: within `seen`, and none upon another.

    The first of `order` come first. Where there is no room for a name in full there may be for the brief one;
    otherwise the box goes without (its colour tells the class, and the mouse over it or a click its name).
    """
    taken = np.empty((MOST_LABELS, 4), np.float64)
    count = 0
    found: list[tuple[int, str, QRectF]] = []
    high = metrics.height() + 2 * unit
    widths: dict[str, float] = {}
    for i in order:
        mark = marks[i]
        if not mark.text or count >= MOST_LABELS:
            continue
        box = boxes[i].intersected(seen)
        for text in (mark.text, mark.brief) if mark.brief != mark.text else (mark.text,):
            if text not in widths:
                widths[text] = metrics.horizontalAdvance(text) + 10 * unit
            wide = min(widths[text], seen.width())
            left = max(seen.left(), min(box.left() - unit, seen.right() - wide))
            right = max(seen.left(), min(box.right() + unit - wide, seen.right() - wide))
            gap = 3 * unit if mark.room else 0.0
            tops = (
                (left, box.top() - high - gap),
                (left, box.top()),
                (left, box.bottom() + gap),
                (left, box.bottom() - high),
                (right, box.top() - high - gap),
                (right, box.bottom() + gap),
            )
            spot = next(
                (
                    (x, y)
                    for x, y in tops
                    if y >= seen.top()
                    and y + high <= seen.bottom()
                    and not _covers(taken[:count], x, y, x + wide, y + high)
                ),
                None,
            )
            if spot is None and i == order[0] and not count and seen.height() >= high:
                spot = (left, max(seen.top(), min(box.top(), seen.bottom() - high)))
            if spot is not None:
                taken[count] = (*spot, spot[0] + wide, spot[1] + high)
                count += 1
                found.append((i, text, QRectF(*spot, wide, high)))
                break
    return found


def box_at(overlay: Overlay, place: QRectF, point: QPointF) -> int:
    """The smallest box around a point, so that one within another can be reached; -1: none."""
    around = [
        (box.width() * box.height(), i)
        for i, box in enumerate(_placed(overlay, place, 1.0))
        if box.adjusted(-3, -3, 3, 3).contains(point)
    ]
    return min(around)[1] if around else -1


def _placed(overlay: Overlay, place: QRectF, unit: float) -> list[QRectF]:
    """The boxes where the picture lies, each within it."""
    scale = place.width() / max(1, overlay.size[0])
    boxes = []
    for mark in overlay.marks:
        x0, y0, x1, y1 = mark.box
        room = mark.room * unit
        box = QRectF(place.x() + x0 * scale, place.y() + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale)
        boxes.append(box.adjusted(-room, -room, room, room).intersected(place))
    return boxes


def _covers(taken: np.ndarray, x0: float, y0: float, x1: float, y1: float) -> bool:
    return bool(
        len(taken) and ((taken[:, 0] < x1) & (taken[:, 2] > x0) & (taken[:, 1] < y1) & (taken[:, 3] > y0)).any()
    )


def _paint_frame(painter: QPainter, box: QRectF, mark: Mark, *, unit: float, thin: bool) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if not thin:  # a dark edge keeps the frame in sight on any ground
        painter.setPen(QPen(QColor(0, 0, 0, 60 if mark.dashed else 120), 3.4 * unit))
        painter.drawRoundedRect(box, 2 * unit, 2 * unit)
    style = Qt.PenStyle.DashLine if mark.dashed else Qt.PenStyle.SolidLine
    painter.setPen(QPen(QColor(mark.colour), (1.0 if thin else 1.6) * unit, style))
    painter.drawRoundedRect(box, 2 * unit, 2 * unit)


def _paint_chosen(painter: QPainter, box: QRectF, mark: Mark, *, unit: float) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, width in ((QColor(0, 0, 0, 160), 7.0), (QColor(Qt.GlobalColor.white), 5.0), (QColor(mark.colour), 2.4)):
        painter.setPen(QPen(colour, width * unit))
        painter.drawRoundedRect(box, 2 * unit, 2 * unit)


def _paint_label(painter: QPainter, place: QRectF, text: str, colour: QColor, unit: float) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawRoundedRect(place, 3 * unit, 3 * unit)
    painter.setPen(ink_on(colour))
    painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)


def ink_on(colour: QColor) -> QColor:
    """Black or white, whichever is read more easily on this ground (WCAG 2.1, relative luminance)."""
    parts = (colour.redF(), colour.greenF(), colour.blueF())
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return QColor("#111317" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 else "#ffffff")


def _paint_headline(painter: QPainter, text: str, seen: QRectF, font: QFont, unit: float) -> None:
    large = QFont(font)
    large.setWeight(QFont.Weight.DemiBold)
    if large.pointSizeF() > 0:
        large.setPointSizeF(large.pointSizeF() * 1.5)
    else:
        large.setPixelSize(round(large.pixelSize() * 1.5))
    painter.setFont(large)
    metrics = QFontMetricsF(large)
    chip = QRectF(0, 0, metrics.horizontalAdvance(text) + 24 * unit, metrics.height() + 8 * unit)
    chip.moveBottomLeft(seen.bottomLeft() + QPointF(12, -12) * unit)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(16, 18, 22, 190))
    painter.drawRoundedRect(chip, 6 * unit, 6 * unit)
    painter.setPen(Qt.GlobalColor.white)
    painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, text)


def painted_image(image: QImage, overlay: Overlay | None, font: QFont) -> QImage:
    """A picture of its own size with the overlay on it; labels are as large as they look on a screen that it fills.

    May be called in any thread.
    """
    image = image.copy()
    if overlay is not None and not image.isNull():
        unit = max(0.75, min(image.width() / 1100, image.height() / 700))
        own = QFont(font)
        own.setPixelSize(max(10, round(14 * unit)))
        area = QRectF(image.rect())
        painter = QPainter(image)
        paint_overlay(painter, overlay, place=area, seen=area, font=own, unit=unit)
        painter.end()
    return image


def painted_pixels(pixels: np.ndarray, overlay: Overlay | None, font: QFont) -> np.ndarray:
    """The same of (H, W, 3) uint8 pixels, which stay as they are."""
    height, width = pixels.shape[:2]
    image = QImage(pixels.data, width, height, pixels.strides[0], QImage.Format.Format_RGB888)
    done = painted_image(image, overlay, font)
    rows = np.frombuffer(done.constBits(), np.uint8).reshape(height, done.bytesPerLine())
    return rows[:, : width * 3].reshape(height, width, 3).copy()
