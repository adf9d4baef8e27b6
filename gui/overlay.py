"""What is drawn over a picture: boxes with their names, one line for the picture as a whole, and what other networks
see beside the one that answers: in corners instead of frames, each in one colour, with a legend; and the zones and
lines in which things are counted.

An `Overlay` is made from a result in the GUI thread and never changes; painting one needs nothing but a painter, so a
recording paints it in its own thread onto the picture, in the picture's own size.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPen, QPolygonF

from gui.sight import Sight, person_colour

if TYPE_CHECKING:
    from engine import Classification, FaceMatch, Heat, Result

Rect: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

ALARM = "#d6201f"
SURE, UNSURE = "#ffd166", "#c5cad3"  # what a classifier has read, and what it rejects
MANY = 25  # boxes; of more than these the brief name is enough
CROWD = 60  # boxes; of more than these the frames are as thin as they can be
COVERED = 0.2  # share of what is seen that labels may cover


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
class Beside:
    """What another network sees in the picture.

    Attributes:
        name: of the network, for people.
        colour: of its row in the legend, and of its corners and labels: one for all.
        marks: its boxes, the surest first.
        says: what it says of the picture as a whole, or how it is getting on.
    """

    name: str
    colour: str
    marks: tuple[Mark, ...] = ()
    says: str = ""


@dataclass(frozen=True, eq=False)
class Area:
    """A part of the picture in which something is counted: a polygon, or a line with two ends.

    Attributes:
        points: of its corners, in pixels of the picture.
        text: its name and its numbers.
        colour: of the outline.
        alarm: it is to be seen from afar.
    """

    points: tuple[tuple[float, float], ...]
    text: str
    colour: str
    alarm: bool = False


@dataclass(frozen=True, eq=False)
class Overlay:
    """Everything that is drawn over one picture: the surest boxes first; `chosen` is the one that is looked at."""

    size: tuple[int, int]  # (width, height) of the picture
    marks: tuple[Mark, ...] = ()
    headline: str = ""
    chosen: int = -1
    beside: tuple[Beside, ...] = ()
    areas: tuple[Area, ...] = ()
    heat: tuple[QImage, Rect] | None = None  # where the class was found, and the part of the picture that it covers


def overlay_of(result: Result, sight: Sight) -> Overlay:
    """What is drawn over the frame of `result`, which `sight` has taken."""
    height, width = result.frame.image.shape[:2]
    if result.detections is not None:
        chosen = sight.chosen.index if sight.chosen is not None else -1
        return Overlay((width, height), _detected(sight), chosen=chosen)
    parts = any(region.box[2] - region.box[0] < width for region in result.regions) or bool(result.text)
    marks = []
    for region in result.regions if parts else ():
        answer = region.classification
        rejected = answer.rejected or (answer.many and not answer.there())
        name = "" if rejected else answer.label
        marks.append(Mark(region.box, name, name, UNSURE if rejected else SURE, dashed=rejected, room=3.0))
    heat = None if result.heat is None else (_heat_image(result.heat), result.heat.box)
    return Overlay((width, height), tuple(marks), _headline(result), heat=heat)


def _heat_image(heat: Heat) -> QImage:
    """Nothing where there is nothing, and from dark red through orange to yellow where the class was found."""
    share = heat.values.clip(0, 1)[..., None]
    low, middle, high = (np.array(colour, np.float32) for colour in ((130, 10, 40), (240, 100, 20), (255, 235, 110)))
    colours = np.where(share < 0.5, low + (middle - low) * 2 * share, middle + (high - middle) * (2 * share - 1))
    pixels = np.concatenate([colours, 215 * share**0.8], axis=2).astype(np.uint8)
    height, width = pixels.shape[:2]
    cells = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    # The cells are few, and their edges are not the picture's: they flow into each other.
    smooth = Qt.TransformationMode.SmoothTransformation
    return cells.scaled(16 * width, 16 * height, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)


def _detected(sight: Sight) -> tuple[Mark, ...]:
    shown = sight.shown
    if shown is None:
        return ()
    if sight.faces:
        return tuple(_face_mark(face) for face in sight.faces)
    marks = []
    tracks = shown.track_id.tolist() if shown.track_id is not None else [-1] * len(shown)
    rows = zip(shown.xyxy.tolist(), shown.confidence.tolist(), shown.class_id.tolist(), tracks, strict=True)
    for box, score, number, track in rows:
        label = shown.labels[number]
        name = f"{label} {track}" if track >= 0 else label
        marks.append(Mark(tuple(box), f"{name} · {score * 100:.0f} %", name, sight.colours.get(label, SURE)))
    return tuple(marks)


def _face_mark(face: FaceMatch) -> Mark:
    text, brief = face_words(face)
    named = face.name is not None and face.person is not None
    return Mark(face.box, text, brief, person_colour(face.person or 0) if named else UNSURE)


def face_words(face: FaceMatch) -> tuple[str, str]:
    """Who a face is, in full and briefly. "Unknown" has a figure only where it is more probable than not: a face may
    also remain unknown because it is a little too unlike the person that it resembles most."""
    if face.name is not None:
        return f"{face.name} · {share_words(face.probability)}", face.name
    if face.person is not None and face.probability < 0.5:
        return f"unknown · {share_words(1 - face.probability)}", "unknown"
    return "unknown", "unknown"


def share_words(share: float) -> str:
    """A probability as people read it: nothing is certain."""
    return "> 99 %" if share > 0.995 else "< 1 %" if share < 0.005 else f"{share * 100:.0f} %"


def _headline(result: Result) -> str:
    """What a classifier says of the whole picture."""
    if result.text:
        return result.text
    whole: Classification | None = result.classification
    if whole is None or whole.rejected or not result.regions:
        return ""
    if whole.many:
        return " · ".join(f"{label} {share * 100:.0f} %" for label, share in whole.there()[:3])
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
    if overlay.heat is not None:
        _paint_heat(painter, *overlay.heat, overlay.size, place)
    for area in overlay.areas:
        _paint_area(painter, area, _points(area, overlay.size, place), unit)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    own = len(overlay.marks)
    colours = [other.colour for other in overlay.beside for _ in other.marks]
    marks = (*overlay.marks, *(mark for other in overlay.beside for mark in other.marks))
    boxes = _placed(marks, overlay.size, place, unit)
    left, top, right, bottom = _corners(seen)
    inside = [i for i, box in enumerate(boxes) if box[0] < right and box[2] > left and box[1] < bottom and box[3] > top]
    thin = len(inside) > CROWD
    for i in reversed(inside):  # the surest on top
        if i >= own:
            paint_corners(painter, boxes[i], colours[i - own], unit=unit)
        elif i != overlay.chosen:
            _paint_frame(painter, boxes[i], marks[i], unit=unit, thin=thin)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if overlay.chosen in inside:
        _paint_chosen(painter, boxes[overlay.chosen], marks[overlay.chosen], unit=unit)
    if overlay.headline:
        _paint_headline(painter, overlay.headline, seen, font, unit)
    bold = QFont(font)
    bold.setWeight(QFont.Weight.DemiBold)
    painter.setFont(bold)
    first = [i for i in dict.fromkeys((over, overlay.chosen)) if i in inside]
    order = first + [i for i in inside if i not in first]
    metrics = QFontMetricsF(bold)
    signs = _area_labels(overlay, place, seen, metrics, unit)
    for area, sign in signs:
        _paint_area_label(painter, sign, area, unit)
    kept = [sign for _, sign in signs]
    for i, text, label in label_places(marks, boxes, order, _corners(seen), metrics, unit, kept=kept):
        if i >= own:
            _paint_label_beside(painter, label, text, colours[i - own], unit)
        else:
            _paint_label(painter, label, text, marks[i].colour, unit)
    if overlay.beside:
        _paint_legend(painter, overlay.beside, seen, font, unit)
    painter.restore()


def _paint_heat(painter: QPainter, image: QImage, box: Rect, size: tuple[int, int], place: QRectF) -> None:
    scale = place.width() / max(1, size[0])
    x0, y0, x1, y1 = box
    area = QRectF(place.left() + x0 * scale, place.top() + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(area, image)


def label_places(
    marks: Sequence[Mark],
    boxes: Sequence[Rect],
    order: Sequence[int],
    seen: Rect,
    metrics: QFontMetricsF,
    unit: float = 1.0,
    kept: Sequence[Rect] = (),
) -> list[tuple[int, str, Rect]]:
    """Where the labels go: within `seen`, none upon another and none upon what is `kept` free.

    The first of `order` come first. Where there is no room for a name in full there may be for the brief one;
    otherwise, or where labels would hide too much of the picture, the box goes without: its colour tells the class,
    and the mouse over it or a click its name.
    """
    high = metrics.height() + 2 * unit
    taken = _Taken(seen, 6 * unit, high / 3)
    for rect in kept:
        taken.take(*rect)
    found: list[tuple[int, str, Rect]] = []
    left, top, right, bottom = seen
    widths: dict[str, float] = {}
    room = COVERED * (right - left) * (bottom - top)
    for i in order:
        mark = marks[i]
        if not mark.text or bottom - top < high or (room < 0 and found):
            continue
        x0, y0, x1, y1 = boxes[i]
        x0, y0, x1, y1 = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
        for text in (mark.brief,) if len(order) > MANY and found else dict.fromkeys((mark.text, mark.brief)):
            wide = widths.get(text)
            if wide is None:
                wide = widths[text] = min(metrics.horizontalAdvance(text) + 10 * unit, right - left)
            near = max(left, min(x0 - unit, right - wide))
            far = max(left, min(x1 + unit - wide, right - wide))
            gap = 3 * unit if mark.room else 0.0
            spots = ((near, y0 - high - gap), (near, y0), (near, y1 + gap), (near, y1 - high), (far, y0 - high - gap))
            spot = next(
                ((x, y) for x, y in spots if y >= top and y + high <= bottom and taken.free(x, y, x + wide, y + high)),
                None,
            )
            if spot is None and not found:  # the first one is shown in any case
                spot = (near, max(top, min(y0, bottom - high)))
            if spot is not None:
                label = (spot[0], spot[1], spot[0] + wide, spot[1] + high)
                taken.take(*label)
                room -= wide * high
                found.append((i, text, label))
                break
    return found


class _Taken:
    """Which cells of an area are covered, a row of bits for each row of cells: asking costs next to nothing."""

    def __init__(self, area: Rect, wide: float, high: float) -> None:
        self._left, self._top, _, bottom = area
        self._wide, self._high = wide, high
        self._rows = [0] * (int((bottom - self._top) / high) + 2)

    def free(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        first, last, bits = self._cells(x0, y0, x1, y1)
        return not any(row & bits for row in self._rows[first : last + 1])

    def take(self, x0: float, y0: float, x1: float, y1: float) -> None:
        first, last, bits = self._cells(x0, y0, x1, y1)
        for row in range(first, min(last + 1, len(self._rows))):
            self._rows[row] |= bits

    def _cells(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int]:
        left, right = int((x0 - self._left) / self._wide), int((x1 - self._left) / self._wide)
        first, last = int((y0 - self._top) / self._high), int((y1 - 0.01 - self._top) / self._high)
        return first, last, (1 << right + 1) - (1 << left)


def box_at(overlay: Overlay, place: QRectF, point: QPointF) -> int:
    """The smallest box around a point, so that one within another can be reached; -1: none."""
    x, y = point.x(), point.y()
    around = [
        ((x1 - x0) * (y1 - y0), i)
        for i, (x0, y0, x1, y1) in enumerate(_placed(overlay.marks, overlay.size, place, 1.0))
        if x0 - 3 <= x <= x1 + 3 and y0 - 3 <= y <= y1 + 3
    ]
    return min(around)[1] if around else -1


def _corners(rect: QRectF) -> Rect:
    return rect.left(), rect.top(), rect.right(), rect.bottom()


def _placed(marks: Sequence[Mark], size: tuple[int, int], place: QRectF, unit: float) -> list[Rect]:
    """The boxes where the picture of that size lies, each within it."""
    scale = place.width() / max(1, size[0])
    left, top, right, bottom = _corners(place)
    boxes = []
    for mark in marks:
        x0, y0, x1, y1 = mark.box
        room = mark.room * unit
        boxes.append(
            (
                max(left, left + x0 * scale - room),
                max(top, top + y0 * scale - room),
                min(right, left + x1 * scale + room),
                min(bottom, top + y1 * scale + room),
            )
        )
    return boxes


def _paint_frame(painter: QPainter, box: Rect, mark: Mark, *, unit: float, thin: bool) -> None:
    """Four bars in the colour of the class, in a dark edge that keeps them in sight on any ground."""
    line = max(1, round((1 if thin else 2) * unit))
    if mark.dashed:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(mark.colour), line, Qt.PenStyle.DashLine))
        painter.drawRect(QRectF(box[0], box[1], box[2] - box[0], box[3] - box[1]))
        return
    if not thin:
        _paint_bars(painter, box, line + 2, QColor(0, 0, 0, 110), out=1)
    _paint_bars(painter, box, line, QColor(mark.colour))


def _paint_bars(painter: QPainter, box: Rect, line: int, colour: QColor, *, out: int = 0) -> None:
    x0, y0, x1, y1 = round(box[0]) - out, round(box[1]) - out, round(box[2]) + out, round(box[3]) + out
    wide, high = max(line, x1 - x0), max(line, y1 - y0)
    painter.fillRect(x0, y0, wide, line, colour)
    painter.fillRect(x0, y0 + high - line, wide, line, colour)
    painter.fillRect(x0, y0 + line, line, high - 2 * line, colour)
    painter.fillRect(x0 + wide - line, y0 + line, line, high - 2 * line, colour)


def paint_corners(painter: QPainter, box: Rect, name: str, *, unit: float) -> None:
    """The four corners of a box of another network."""
    line, edge = max(2, round(3 * unit)), max(1, round(unit))
    x0, y0, x1, y1 = (round(side) for side in box)
    wide, high = max(2 * line, x1 - x0), max(2 * line, y1 - y0)
    reach = round(max(2 * line, min(18 * unit, wide / 4, high / 4)))
    for colour, more in ((QColor(0, 0, 0, 150), edge), (QColor(name), 0)):
        for x, along in ((x0, x0), (x0 + wide - line, x0 + wide - reach)):
            for y, down in ((y0, y0), (y0 + high - line, y0 + high - reach)):
                painter.fillRect(along - more, y - more, reach + 2 * more, line + 2 * more, colour)
                painter.fillRect(x - more, down - more, line + 2 * more, reach + 2 * more, colour)


def _paint_chosen(painter: QPainter, box: Rect, mark: Mark, *, unit: float) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, width in ((QColor(0, 0, 0, 190), 8.0), (QColor(Qt.GlobalColor.white), 6.0), (QColor(mark.colour), 3.0)):
        painter.setPen(QPen(colour, width * unit))
        painter.drawRoundedRect(QRectF(box[0], box[1], box[2] - box[0], box[3] - box[1]), 2 * unit, 2 * unit)


def _paint_label(painter: QPainter, place: Rect, text: str, name: str, unit: float) -> None:
    ground = QRectF(place[0], place[1], place[2] - place[0], place[3] - place[1])
    colour, ink = _ground_and_ink(name)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawRoundedRect(ground, 3 * unit, 3 * unit)
    painter.setPen(ink)
    painter.drawText(ground, Qt.AlignmentFlag.AlignCenter, text)


def _paint_label_beside(painter: QPainter, place: Rect, text: str, name: str, unit: float) -> None:
    ground = QRectF(place[0], place[1], place[2] - place[0], place[3] - place[1])
    painter.setPen(QPen(QColor(name), max(1.0, unit)))
    painter.setBrush(QColor(16, 18, 22, 220))
    painter.drawRoundedRect(ground, 3 * unit, 3 * unit)
    painter.drawText(ground, Qt.AlignmentFlag.AlignCenter, text)


def _points(area: Area, size: tuple[int, int], place: QRectF) -> QPolygonF:
    scale = place.width() / max(1, size[0])
    return QPolygonF([QPointF(place.left() + x * scale, place.top() + y * scale) for x, y in area.points])


def _paint_area(painter: QPainter, area: Area, points: QPolygonF, unit: float) -> None:
    """A zone is tinted a little, and more where there is an alarm; its outline is in a dark edge, as boxes are."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    colour = QColor(ALARM if area.alarm else area.colour)
    if len(area.points) > 2:
        ground = QColor(colour)
        ground.setAlpha(80 if area.alarm else 26)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ground)
        painter.drawPolygon(points, Qt.FillRule.OddEvenFill)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    line = 4.0 if area.alarm else 2.5
    for ink, width in ((QColor(0, 0, 0, 130), line + 2), (colour, line)):
        pen = QPen(ink, width * unit)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        if len(area.points) > 2:
            painter.drawPolygon(points)
        else:
            painter.drawPolyline(points)


def _area_labels(
    overlay: Overlay, place: QRectF, seen: QRectF, metrics: QFontMetricsF, unit: float
) -> list[tuple[Area, Rect]]:
    """The areas with a label that can be seen: of a zone inside its uppermost corner, of a line at its middle."""
    labels: list[tuple[Area, Rect]] = []
    high = metrics.height() + 4 * unit
    for area in overlay.areas:
        points = _points(area, overlay.size, place)
        bounds = points.boundingRect().adjusted(-1, -1, 1, 1)
        if not area.text or not bounds.intersects(seen):
            continue
        wide = min(metrics.horizontalAdvance(area.text) + 14 * unit, seen.width())
        if len(area.points) > 2:
            top = min((points.at(i) for i in range(len(area.points))), key=lambda point: (point.y(), point.x()))
            x, y = top.x() + 3 * unit, top.y() + 3 * unit
        else:
            x, y = bounds.center().x() - wide / 2, bounds.center().y() - high / 2
        x = max(seen.left(), min(x, seen.right() - wide))
        y = max(seen.top(), min(y, seen.bottom() - high))
        while any(abs(y - other[1]) < high and x < other[2] and other[0] < x + wide for _, other in labels):
            y += high  # zones that begin at the same corner
        labels.append((area, (x, y, x + wide, y + high)))
    return labels


def _paint_area_label(painter: QPainter, place: Rect, area: Area, unit: float) -> None:
    ground = QRectF(place[0], place[1], place[2] - place[0], place[3] - place[1])
    painter.setPen(QPen(QColor(Qt.GlobalColor.white if area.alarm else area.colour), 1.5 * unit))
    painter.setBrush(QColor(ALARM) if area.alarm else QColor(16, 18, 22, 225))
    painter.drawRoundedRect(ground, 4 * unit, 4 * unit)
    painter.setPen(Qt.GlobalColor.white)
    painter.drawText(ground, Qt.AlignmentFlag.AlignCenter, area.text)


def _paint_legend(painter: QPainter, beside: Sequence[Beside], seen: QRectF, font: QFont, unit: float) -> None:
    """At the foot of the picture, on the right: who sees beside the network that answers, and what they say."""
    metrics = QFontMetricsF(font)
    high, sign = metrics.height() + 2 * unit, 11 * unit
    texts = [f"{other.name} · {other.says}" if other.says else other.name for other in beside]
    wide = min(max(metrics.horizontalAdvance(text) for text in texts) + sign + 26 * unit, seen.width() - 24 * unit)
    area = QRectF(0, 0, wide, len(beside) * high + 8 * unit)
    if area.height() > seen.height() / 2 or wide < 60 * unit:
        return
    area.moveBottomRight(seen.bottomRight() - QPointF(12, 12) * unit)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(16, 18, 22, 190))
    painter.drawRoundedRect(area, 6 * unit, 6 * unit)
    painter.setFont(font)
    for row, (other, text) in enumerate(zip(beside, texts, strict=True)):
        y = area.top() + 4 * unit + row * high
        left, top = area.left() + 9 * unit, y + (high - sign) / 2
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        paint_corners(painter, (left, top, left + sign, top + sign), other.colour, unit=unit / 2)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.GlobalColor.white)
        room = QRectF(left + sign + 7 * unit, y, area.right() - left - sign - 14 * unit, high)
        short = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, short)


@functools.cache
def _ground_and_ink(name: str) -> tuple[QColor, QColor]:
    colour = QColor(name)
    return colour, ink_on(colour)


def ink_on(colour: QColor) -> QColor:
    """Black or white, whichever is read more easily on this ground (WCAG 2.1, relative luminance)."""
    parts = (colour.redF(), colour.greenF(), colour.blueF())
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return QColor("#111317" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 else "#ffffff")


def _paint_headline(painter: QPainter, text: str, seen: QRectF, font: QFont, unit: float) -> None:
    chip = _chip(painter, text, font, unit)
    chip.moveBottomLeft(seen.bottomLeft() + QPointF(12, -12) * unit)
    _paint_chip(painter, text, chip, unit)


def paint_hint(painter: QPainter, text: str, area: QRectF, font: QFont) -> None:
    """A request to the person in front of the camera, at the top of the picture."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    chip = _chip(painter, text, font, 1.0)
    chip.moveCenter(QPointF(area.center().x(), area.top() + 16 + chip.height() / 2))
    _paint_chip(painter, text, chip, 1.0)


_GOOD, _BAD = "#009e73", "#d55e00"


def paint_signal_frame(painter: QPainter, good: bool, area: QRectF) -> None:
    """A frame in green or red, to be seen from afar; below the overlay, whose labels it must not hide."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(_GOOD if good else _BAD), 10))
    painter.drawRect(area.adjusted(5, 5, -5, -5))


def paint_signal(painter: QPainter, good: bool, text: str, area: QRectF, font: QFont) -> None:
    """The words that belong to such a frame, at its foot."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    colour = QColor(_GOOD if good else _BAD)
    chip = _chip(painter, text, font, 1.0)
    chip.moveCenter(QPointF(area.center().x(), area.bottom() - 24 - chip.height() / 2))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawRoundedRect(chip, 6, 6)
    painter.setPen(ink_on(colour))
    painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, text)


def _chip(painter: QPainter, text: str, font: QFont, unit: float) -> QRectF:
    """A place for a large line; the painter has its font then."""
    large = QFont(font)
    large.setWeight(QFont.Weight.DemiBold)
    if large.pointSizeF() > 0:
        large.setPointSizeF(large.pointSizeF() * 1.5)
    else:
        large.setPixelSize(round(large.pixelSize() * 1.5))
    painter.setFont(large)
    metrics = QFontMetricsF(large)
    return QRectF(0, 0, metrics.horizontalAdvance(text) + 24 * unit, metrics.height() + 8 * unit)


def _paint_chip(painter: QPainter, text: str, chip: QRectF, unit: float) -> None:
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
