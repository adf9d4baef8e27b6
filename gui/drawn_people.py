"""People who do not exist: portraits drawn by our own code, so that Faces can be shown without anybody's face.

The bundled networks take them for faces and tell them apart: they were drawn until they were different enough for that.
How well a network tells real people apart is measured elsewhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen, QRadialGradient

SIDE = 480  # pixels of a portrait


@dataclass(frozen=True)
class Looks:
    """What somebody looks like; lengths as shares of the portrait's side."""

    skin: str
    hair: str
    eyes: str
    lips: str
    cloth: str
    wide: float = 0.21
    long: float = 0.28
    fringe: float = 0.08
    nose: float = 0.04
    mouth: float = 0.07
    opened: float = 0.021
    brow: float = 8.0  # pixels
    locks: bool = False
    beard: bool = False
    glasses: bool = False


CAST: dict[str, Looks] = {
    "Ada": Looks(
        "#f0cdb9", "#cd9650", "#46785a", "#be4655", "#8c3c50", 0.19, nose=0.032, opened=0.026, brow=5, locks=True
    ),
    "Ben": Looks("#80563e", "#161210", "#321e14", "#783c3c", "#be963c", 0.205, fringe=0.05, nose=0.058, mouth=0.085),
    "Cai": Looks("#e8bea0", "#aaaaaf", "#506e8c", "#a0645f", "#325a46", 0.2, 0.3, 0.06, glasses=True),
    "Dov": Looks(
        "#a06a4a", "#e0d8c8", "#3c5a6e", "#cc6666", "#3c5078", 0.198, 0.275, 0.045, 0.036, 0.085, 0.0165, 4, beard=True
    ),
}


def portrait(looks: Looks, *, take: int = 0) -> QImage:
    """A picture of somebody, `SIDE` pixels wide and high.

    Args:
        take: another number is another picture: the head moves a little, the light changes.
    """
    chance = random.Random(take)
    turn = chance.uniform(-0.008, 0.008)
    image = QImage(SIDE, SIDE, QImage.Format.Format_RGB32)
    image.fill(QColor("#aab4b9"))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(SIDE / 2, SIDE / 2)
    painter.rotate(chance.uniform(-5, 5))
    zoom = SIDE * chance.uniform(0.96, 1.04)
    painter.scale(zoom, zoom)
    painter.translate(-0.5, -0.5)
    _paint(painter, looks, turn)
    painter.end()
    return _softened(_lit(image, chance.randint(95, 108)))


def group(people: list[Looks], *, take: int) -> QImage:
    """Several people side by side."""
    image = QImage(SIDE * len(people), SIDE, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    for place, looks in enumerate(people):
        painter.drawImage(place * SIDE, 0, portrait(looks, take=take + place))
    painter.end()
    return image


def _paint(painter: QPainter, looks: Looks, turn: float) -> None:
    skin, hair = QColor(looks.skin), QColor(looks.hair)
    wide, long = looks.wide, looks.long
    _oval(painter, 0.5, 1.05, 0.38, 0.25, QColor(looks.cloth))
    painter.fillRect(QRectF(0.42, 0.68, 0.16, 0.22), skin.darker(122))
    if looks.locks:
        _oval(painter, 0.5, 0.55, wide + 0.08, 0.38, hair)
    _oval(painter, 0.5, 0.43, wide + 0.025, 0.32, hair)
    if not looks.locks:
        for x in (0.48 - wide, 0.52 + wide):
            _oval(painter, x, 0.5, 0.03, 0.06, skin.darker(105))
    _oval(painter, 0.5, 0.5, wide, long, skin)
    _oval(painter, 0.5, 0.5 - long * 0.82, wide * 0.95, looks.fringe, hair)
    for side in (-1, 1):
        x = 0.5 + side * 0.085 + turn
        _oval(painter, x, 0.475, 0.055, 0.035, skin.darker(119))
        _oval(painter, x, 0.475, 0.045, looks.opened, QColor("#eeeeee"))
        _oval(painter, x + turn / 2, 0.475, 0.02, 0.02, QColor(looks.eyes))
        _oval(painter, x + turn / 2, 0.475, 0.01, 0.01, QColor("#0c0c0c"))
        _arc(painter, x, 0.472, 0.047, looks.opened + 0.004, QColor("#2d201e"), 3)
        _arc(painter, x, 0.423, 0.058, 0.02, hair.darker(118), looks.brow)
        if looks.glasses:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor("#232328"), 5 / SIDE))
            painter.drawEllipse(QPointF(x, 0.48), 0.075, 0.06)
    tip = 0.5 + 1.5 * turn
    _oval(painter, tip, 0.54, 0.016, 0.07, skin.lighter(107))
    _oval(painter, tip, 0.6, looks.nose, 0.022, skin.darker(114))
    for side in (-1, 1):
        _oval(painter, tip + side * looks.nose * 0.45, 0.608, 0.009, 0.006, skin.darker(220))
    if looks.beard:
        _oval(painter, 0.5, 0.715, wide * 0.72, 0.09, hair.lighter(115))
    _oval(painter, 0.5 + turn, 0.685, looks.mouth, 0.022, QColor(looks.lips))
    painter.fillRect(
        QRectF(0.5 + turn - looks.mouth * 0.9, 0.684, looks.mouth * 1.8, 0.004), QColor(looks.lips).darker(200)
    )
    if looks.beard:
        _oval(painter, 0.5, 0.655, looks.mouth * 1.1, 0.014, hair.lighter(115))


def _oval(painter: QPainter, x: float, y: float, across: float, down: float, colour: QColor) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawEllipse(QPointF(x, y), across, down)


def _arc(painter: QPainter, x: float, y: float, across: float, down: float, colour: QColor, pixels: float) -> None:
    """The upper part of an oval's line."""
    painter.setPen(QPen(colour, pixels / SIDE, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawArc(QRectF(x - across, y - down, 2 * across, 2 * down), 20 * 16, 140 * 16)


def _lit(image: QImage, percent: int) -> QImage:
    """Light from the upper left, darker towards the edges."""
    painter = QPainter(image)
    light = QRadialGradient(QPointF(0.42, 0.48) * SIDE, 0.5 * SIDE)
    light.setColorAt(0.35, QColor(0, 0, 0, max(0, 108 - percent)))
    light.setColorAt(1.0, QColor(0, 0, 0, 70))
    painter.fillRect(image.rect(), light)
    painter.end()
    return image


def _softened(image: QImage) -> QImage:
    """Without hard edges, as a photograph has none."""
    smooth = Qt.TransformationMode.SmoothTransformation
    keep = Qt.AspectRatioMode.IgnoreAspectRatio
    return image.scaled(SIDE // 3, SIDE // 3, keep, smooth).scaled(SIDE, SIDE, keep, smooth)
