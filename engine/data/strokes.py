"""Digits as pen strokes, and marks that are no digits, drawn by our own code.

What leaves are pictures as a digit network sees them: ``(28, 28) uint8``, white on black, brought to their place by
the same `engine.images.centre_digit` that a drawing on the canvas goes through. Everything is random through a NumPy
``Generator`` that is handed in, so a seed gives the same pictures on every machine.

A stroke is an array of pen positions ``(P, 2)``, x to the right and y downwards, in the unit square; a drawing is a
list of strokes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.images import DIGIT_SIZE, Image, centre_digit, lay_out, to_ink
from engine.opencv import cv2

Points = npt.NDArray[np.float32]
Drawing = list[Points]

# Each digit in the shapes that people give it. One string is one drawing: strokes are separated by "/", positions are
# "x,y" in hundredths of the box, "!" after a position makes it a corner; between corners the pen moves in a curve.
DIGIT_SHAPES: dict[int, tuple[str, ...]] = {
    0: (
        "50,0 20,12 5,50 20,88 50,100 80,88 95,50 80,12 50,0",
        "52,1 22,14 6,52 22,90 52,100 80,86 93,48 78,12 46,0 30,8",
        "70,5 40,2 14,25 8,62 28,96 58,96 84,70 90,32 72,8 60,10",
        "50,0 78,12 95,50 78,88 50,100 20,88 5,50 20,12 54,1",
        "30,8 12,40 16,80 45,100 78,84 88,45 70,10 38,4",
    ),
    1: (
        "50,0 50,100",
        "54,0 48,50 46,100",
        "28,28! 56,0! 56,100",
        "15,48! 60,0! 60,100",
        "25,22 40,16 56,0! 54,100",
        "30,22! 55,0! 55,100 / 25,100 85,100",
        "12,35! 55,0! 55,100! / 12,99 95,99",
        "45,0! 45,100! 80,98",
        "5,62! 70,0! 72,100",
    ),
    2: (
        "10,25 25,5 50,0 80,10 86,32 65,60 35,84 8,100! 92,100",
        "12,18 40,0 75,6 84,30 62,62 10,98! 50,92 92,98",
        "10,24 32,3 62,0 85,20 74,50 45,80 18,99 4,90 16,78 40,86 66,99 95,92",
        "8,30 20,6 55,0 82,20 70,52 30,88 12,94 10,82 28,80 55,96 80,100 98,84",
        "10,6! 84,4! 8,98! 92,98",
        "15,20 45,0 78,14 74,45 46,78 14,96! 92,88",
        "5,15 35,2 75,2 88,22 70,52 30,80 6,98! 60,99 98,96",
    ),
    3: (
        "12,12 35,0 70,2 85,22 70,42 40,48! 72,54 90,75 70,97 35,100 8,86",
        "12,12 36,0 75,4 82,26 58,45 40,50 46,44 75,54 90,76 70,98 35,100 8,88",
        "10,2! 85,2! 42,42! 75,46 92,70 70,97 35,100 8,88",
        "18,8 55,0 82,18 64,40 36,46! 66,50 80,70 62,94 30,100 12,96",
        "8,10 50,0 80,14 70,38 42,50 28,52 38,42 60,52 72,76 52,98 22,98 6,84",
        "15,18 40,2 72,6 76,32 48,46! 80,58 84,84 52,100 12,92",
    ),
    4: (
        "20,0 10,56! 90,56 / 70,20 68,100",
        "22,0 16,30 18,52 45,56 88,50 / 76,6 68,100",
        "65,100! 65,0! 5,66! 95,66",
        "60,0! 5,64! 96,64 / 66,34 64,100",
        "66,2! 8,62! 92,60 / 62,0 62,100",
        "20,5 12,42 26,56 66,48 82,6! 76,60 70,100",
        "15,2! 12,50! 85,48! / 84,0 84,100",
        "40,0! 8,60! 80,56 / 58,34 48,100",
        "75,0 40,34 5,62! 60,60 98,56 / 78,20 62,60 50,100",
    ),
    5: (
        "85,3! 22,3! 18,45! 50,36 85,55 85,80 60,98 30,100 8,88",
        "26,3! 20,44! 55,36 86,56 82,84 50,100 10,90 / 25,3 88,1",
        "85,5 45,1 20,14 22,38 55,48 82,62 78,90 45,100 10,90",
        "30,4! 16,44 48,40 78,56 76,84 46,100 8,92 / 34,5 92,0",
        "92,2! 30,2! 20,46! 70,48 90,70 70,97 10,98",
        "88,6 60,10 30,5! 18,42 50,38 74,54 72,80 48,98 14,94",
        "20,8! 24,46! 60,38 88,58 76,90 40,100 12,88 / 38,2 90,4",
    ),
    6: (
        "75,0 40,20 15,55 15,80 40,100 75,92 85,70 65,52 35,58 17,78",
        "70,0 24,58 14,82 36,100 72,94 80,70 58,56 26,70",
        "82,12 60,0 30,16 12,56 20,90 50,100 82,84 80,60 52,50 22,66",
        "60,0 30,30 16,66 26,94 56,98 74,78 62,60 38,64 22,84",
        "45,0 18,42 10,78 34,100 70,96 84,76 66,58 30,64 14,82",
        "88,4 50,10 18,46 8,78 30,100 62,96 70,74 48,64 22,74 10,90",
    ),
    7: (
        "8,3! 90,3! 40,100",
        "8,3! 90,3! 45,100 / 26,50 78,48",
        "8,20! 10,4! 90,3! 42,100",
        "6,6 30,3 90,3! 62,40 46,100",
        "6,14 24,0 50,8 88,4! 60,45 42,100 / 30,54 80,44",
        "10,4! 84,2! 70,100",
        "5,22! 12,2 50,6 94,2! 50,50 30,100",
        "8,5! 92,5! 50,98 / 22,56 82,54",
    ),
    8: (
        "75,12 45,0 20,18 35,42 70,58 85,80 50,100 15,80 30,58 68,40 80,18 70,5",
        "50,0 22,10 20,34 50,46 78,34 76,10 50,0 / 50,46 15,60 12,86 50,100 88,86 85,60 50,46",
        "50,46 24,34 24,8 50,0 76,8 76,34 50,46 20,58 14,86 50,100 86,86 80,58 50,46",
        "82,14 55,0 24,14 36,40 66,60 78,84 50,100 22,86 32,60 84,14",
        "30,10 22,30 50,50 80,74 58,98 24,90 26,66 60,42 80,18 58,0 30,8",
        "85,10 50,4 16,22 50,48 82,72 60,98 26,92 18,72 48,50 84,26 88,8",
        "10,8! 88,4! 14,96! 90,94! 12,6",
    ),
    9: (
        "80,15 50,0 18,12 15,38 40,52 70,42 82,18! 80,50 75,100",
        "80,18 50,0 18,12 15,40 45,54 75,42 84,18 85,55 70,92 40,100 15,88",
        "75,20 50,2 20,14 20,42 50,50 76,28! 62,100",
        "70,8 35,2 14,24 30,48 62,44 80,14! 78,60 62,92 30,100 8,92",
        "50,0 22,8 16,34 40,50 72,40 80,18 52,0 / 80,10 76,100",
        "85,10 50,2 25,12 18,34 45,46 78,24 86,8! 84,40 70,72 42,98 14,96 6,86",
        "78,22 58,2 24,8 14,32 36,50 68,42 80,22 80,58 66,92 40,98 22,84 34,74",
        "82,6! 40,2 12,20 30,46 60,40 82,8! 66,50 56,100",
    ),
}

# Letters, signs and little pictures that nobody takes for a digit. Left out on purpose: I, l, O, S, Z, B, G, b, q, g,
# y, D, and all else that in somebody's hand is a digit.
OTHER_SHAPES: tuple[str, ...] = (
    "5,100! 50,0! 95,100 / 22,62 78,62",  # A
    "10,0! 10,100 / 10,0 90,0 / 10,50 75,50",  # F
    "90,0! 10,0! 10,100! 90,100 / 10,50 75,50",  # E
    "10,0 10,100 / 90,0 90,100 / 10,50 90,50",  # H
    "10,0 10,100 / 85,0! 12,52! 90,100",  # K
    "5,100! 10,0! 50,60! 90,0! 95,100",  # M
    "10,100! 10,0! 90,100! 90,0",  # N
    "10,100! 10,0 70,4 86,26 70,48 12,52! 90,100",  # R
    "0,0! 25,100! 50,30! 75,100! 100,0",  # W
    "5,0 95,100 / 95,0 5,100",  # X
    "5,0 50,45 95,0 / 50,45 50,100",  # Y
    "0,0 100,0 / 50,0 50,100",  # T
    "75,35 45,25 15,50 25,85 60,80 78,40! 80,80 98,90",  # a
    "10,20! 10,100! 12,50 30,24 48,40 50,100! 52,50 70,24 90,40 92,100",  # m
    "0,30 15,90 40,80 48,35! 55,90 85,80 95,25",  # w
    "70,40 50,30 32,50 45,72 66,60 70,38 74,70 92,60 92,25 60,0 20,12 4,50 20,90 60,100 90,85",  # @
    "50,5 50,95 / 5,50 95,50",  # +
    "5,30 95,30 / 5,70 95,70",  # =
    "35,0 25,100 / 75,0 65,100 / 5,33 98,30 / 2,68 95,65",  # #
    "50,0 50,100 / 8,25 92,75 / 92,25 8,75",  # *
    "10,90 90,10 / 20,10 5,25 20,40 35,25 20,10 / 80,60 65,75 80,90 95,75 80,60",  # %
    "50,100 5,45 15,8 50,25 85,8 95,45 50,100",  # heart
    "50,0! 80,98! 2,38! 98,38! 20,98! 50,0",  # star
    "0,50 100,50 / 65,15! 100,50! 65,85",  # arrow
    "50,100 50,0 / 15,35! 50,0! 85,35",  # arrow upwards
    "10,100! 10,45! 50,5! 90,45! 90,100! 10,100",  # house
    "10,100! 10,45! 50,5! 90,45! 90,100! 10,100 / 42,100! 42,70! 60,70! 60,100",
    "10,100! 10,40! 90,40! 90,100! 10,100 / 0,42! 50,0! 100,42 / 20,55! 38,55! 38,72! 20,72! 20,55"
    " / 62,100! 62,62! 80,62! 80,100",
    "10,95! 90,95! 90,40! 10,95! 10,40! 90,95 / 10,40! 50,5! 90,40! 10,40",  # the house of Santa Claus
    "50,0 15,15 0,50 15,85 50,100 85,85 100,50 85,15 50,0 / 33,32 33,40 / 67,32 67,40 / 25,62 50,82 75,62",  # smiley
    "50,0 15,15 0,50 15,85 50,100 85,85 100,50 85,15 50,0 / 30,35 38,35 / 62,35 70,35 / 50,45 46,60 54,62"
    " / 28,75 72,75",
    "50,0 15,15 0,50 15,85 50,100 85,85 100,50 85,15 50,0 / 33,30 33,42 / 67,30 67,42 / 28,80 50,64 72,80",  # a sad one
    "30,20 30,40 / 70,20 70,40 / 10,60 50,95 90,60",  # a smile alone
    "50,55 25,55 10,30 30,10 50,15 70,5 92,28 75,55 50,55 / 46,55 45,100 / 56,55 58,100",  # tree
    "50,0! 10,70! 90,70! 50,0 / 50,70 50,100",  # fir
    "2,70! 10,45! 25,45! 38,20! 70,20! 82,45! 98,50! 98,72! 2,70 / 25,62 15,75 25,88 35,75 25,62"
    " / 75,62 65,75 75,88 85,75 75,62",
    "5,50 30,20 65,30 98,75 / 5,50 30,80 65,70 98,25 / 22,42 24,46",  # fish
    "50,40 30,20 50,2 70,20 50,40 / 55,45 80,30 95,50 75,65 55,50 / 48,55 62,80 45,98 32,75 48,55"
    " / 42,48 15,60 4,42 22,28 42,45",
    "50,25 25,50 50,75 75,50 50,25 / 50,0 50,12 / 50,88 50,100 / 0,50 12,50 / 88,50 100,50 / 15,15 25,25"
    " / 85,15 75,25 / 15,85 25,75 / 85,85 75,75",
    "5,10! 95,10! 95,90! 5,90! 5,10 / 5,10! 50,55! 95,10",  # envelope
    "50,5! 98,95! 2,95! 50,5",  # triangle
    "5,5! 95,5! 95,95! 5,95! 5,5 / 5,5 95,95 / 95,5 5,95",
    "5,5! 95,5! 95,95! 5,95! 5,5 / 50,5 50,95 / 5,50 95,50",  # window
    "33,0 33,100 / 67,0 67,100 / 0,33 100,33 / 0,67 100,67",  # noughts and crosses
    # spiral
    "50,50 55,45 60,52 50,60 40,50 50,35 70,42 70,65 45,75 25,55 35,25 70,20 90,50 75,88 35,95 5,65 10,25 45,2",
    "50,0 30,10 30,26 50,34 70,26 70,10 50,0 / 50,34 50,70 / 20,46 80,46 / 50,70 22,100 / 50,70 78,100",  # a man
    # cat
    "20,25 5,5 30,12 50,10 70,12 95,5 80,25 90,50 70,80 50,88 30,80 10,50 20,25 / 35,40 35,46 / 65,40 65,46"
    " / 45,60 55,60",
    "25,75 8,70 5,52 22,45 28,22 55,15 72,32 92,36 96,58 80,74 25,75",  # cloud
    "20,60 20,90! 80,90! 80,60 / 10,60! 90,60 / 50,0 40,20 60,30 50,50",  # cup
    "0,50 8,20 16,50 24,80 32,50 40,20 48,50 56,80 64,50 72,20 80,50 88,80 96,50",  # wave
    "0,20! 14,80! 28,20! 42,80! 56,20! 70,80! 84,20! 98,80",  # zigzag
    "0,50! 20,50! 28,15! 38,95! 48,40! 54,50! 98,50",  # heart beat
    "15,15 85,85 / 50,0 85,15 100,50 85,85 50,100 15,85 0,50 15,15 50,0",  # no entry
    "50,0 15,15 0,50 15,85 50,100 85,85 100,50 85,15 50,0 / 50,30 30,50 50,70 70,50 50,30",  # target
    "20,0! 20,100 / 20,5! 85,20! 20,48",  # flag
    "0,50 25,20 50,45 75,20 100,50 / 50,45 50,90",  # bird
    "20,10 5,40 30,60 30,100! 70,100! 70,60 95,40 80,10 60,25 40,25 20,10",  # shirt
    "20,0! 80,0! 90,100! 58,100! 50,30! 42,100! 10,100! 20,0",  # trousers
)


def parse(shape: str) -> list[list[tuple[float, float, bool]]]:
    """A shape's strokes as lists of ``(x, y, corner)``, x and y in 0..1."""
    strokes = []
    for stroke in shape.split("/"):
        points = []
        for word in stroke.split():
            x, y = word.rstrip("!").split(",")
            points.append((float(x) / 100, float(y) / 100, word.endswith("!")))
        strokes.append(points)
    return strokes


@cache
def _control(shape: str) -> tuple[tuple[Points, tuple[int, ...]], ...]:
    """A shape's control points and, stroke by stroke, where its corners are."""
    out = []
    for stroke in parse(shape):
        points = np.array([p[:2] for p in stroke], np.float32)
        inner = [i for i, p in enumerate(stroke) if p[2] and 0 < i < len(stroke) - 1]
        out.append((points, (0, *inner, len(stroke) - 1)))
    return tuple(out)


def draw_shape(shape: str, rng: np.random.Generator, *, jitter: float = 0.035) -> Drawing:
    """One way of drawing a shape: control points moved at random by ``jitter`` of the box, then curves through them."""
    drawing = []
    for points, corners in _control(shape):
        moved = points + rng.normal(0, jitter, points.shape).astype(np.float32)
        parts = [_curve(moved[a : b + 1]) for a, b in pairwise(corners)]
        drawing.append(np.concatenate(parts))
    return drawing


@cache
def _catmull_rom(count: int, steps: int = 7) -> Points:
    """Weights ``((count - 1) * steps + 1, count)`` of a Catmull-Rom spline through ``count`` points."""
    rows = np.zeros(((count - 1) * steps + 1, count), np.float64)
    for row in range(rows.shape[0]):
        i, t = min(row // steps, count - 2), row / steps - min(row // steps, count - 2)
        weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            rows[row, min(max(i + offset, 0), count - 1)] += weight / 2
    return rows.astype(np.float32)


def _curve(points: Points) -> Points:
    return points if len(points) < 3 else _catmull_rom(len(points)) @ points


# ----------------------------------------------------------------------------------------------------- the hand


def by_hand(
    drawing: Drawing,
    rng: np.random.Generator,
    *,
    tilt: float = 10.0,
    slant: float = 0.22,
    stretch: float = 0.25,
    bend: float = 0.03,
) -> Drawing:
    """The drawing as another hand makes it: tilted (degrees, one sigma), slanted, stretched and slightly bent."""
    angle = np.deg2rad(rng.normal(0, tilt))
    cos, sin = np.cos(angle), np.sin(angle)
    wide = np.exp(rng.normal(0, stretch))
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[wide, rng.normal(0, slant)], [0, 1.0]])
    centre = np.array([0.5, 0.5], np.float32)
    # A slow wave over the whole drawing; neighbouring points move together, so strokes stay smooth.
    waves = rng.normal(0, bend, (2, 2))
    phase = rng.uniform(0, 2 * np.pi, (2, 2))
    speed = rng.uniform(2, 6, (2, 2))
    out = []
    for stroke in drawing:
        turned = (stroke - centre) @ matrix.T.astype(np.float32)
        moved = turned.copy()
        for axis in range(2):
            for along in range(2):
                moved[:, axis] += waves[axis, along] * np.sin(
                    speed[axis, along] * turned[:, along] + phase[axis, along]
                )
        out.append(moved)
    return out


def render(drawing: Drawing, width: float, *, side: int = 96, pressure: Sequence[float] | None = None) -> Image:
    """Strokes as white ink on black.

    Args:
        drawing: strokes of any extent; the longer side of them all is fitted into the picture.
        width: pen width as a share of the longer side.
        side: length of the drawing's longer side, pixels.
        pressure: one factor on the width per stroke part (a stroke is drawn in ``len(pressure)`` parts).

    Returns:
        ``(h, w) uint8``, cut to the ink with a margin.
    """
    every = np.concatenate(drawing)
    low, high = every.min(axis=0), every.max(axis=0)
    scale = side / max(float((high - low).max()), 1e-6)
    thick = max(1, round(width * side))
    margin = thick + 2
    size = np.ceil((high - low) * scale).astype(int) + 2 * margin + 1
    canvas = np.zeros((int(size[1]), int(size[0])), np.uint8)
    for stroke in drawing:
        points = np.rint(((stroke - low) * scale + margin) * 16).astype(np.int32)
        if len(points) == 1:
            points = np.repeat(points, 2, axis=0)
        if pressure is None:
            cv2.polylines(canvas, [points], False, 255, thick, cv2.LINE_AA, 4)
        else:
            cuts = np.linspace(0, len(points) - 1, len(pressure) + 1).astype(int)
            for a, b, factor in zip(cuts[:-1], cuts[1:], pressure, strict=True):
                cv2.polylines(canvas, [points[a : b + 1]], False, 255, max(1, round(thick * factor)), cv2.LINE_AA, 4)
    return canvas


def ink_of(drawing: Drawing, rng: np.random.Generator) -> Image:
    """A drawing in ink with a pen, a canvas and a scanner chosen at random; ``(28, 28)``, centred like MNIST.

    Some are drawn with a hair line and some with a felt pen, some pressed unevenly; some are stretched to a square, as
    data sets of scans do; some go through a coarse black-and-white or grey scan of 16 pixels, some are faint.
    """
    kind = rng.random()
    side = int(rng.integers(40, 120))
    width = float(np.exp(rng.uniform(np.log(0.03), np.log(0.2))))
    pressure = rng.uniform(0.6, 1.3, int(rng.integers(2, 6))).tolist() if rng.random() < 0.2 else None
    square = rng.random() < 0.22
    if square:  # strokes may be made square before they are drawn or the picture afterwards
        every = np.concatenate(drawing)
        low, span = every.min(axis=0), np.maximum(np.ptp(every, axis=0), 0.02)
        if rng.random() < 0.5 and span.min() > 0.15 * span.max():
            drawing = [((stroke - low) / span).astype(np.float32) for stroke in drawing]
            square = False
    ink = render(drawing, width, side=side, pressure=pressure)
    if square or kind > 0.7:
        x, y, w, h = cv2.boundingRect(ink)
        ink = ink[y : y + h, x : x + w]
    if kind > 0.82:  # a coarse scan
        height, wide = ink.shape
        long = max(height, wide)
        target = (16, 16) if square else (max(3, round(16 * wide / long)), max(3, round(16 * height / long)))
        ink = cv2.resize(ink, target, interpolation=cv2.INTER_AREA).astype(np.uint8)
        if kind > 0.91:
            cut = rng.uniform(60, 150)
            ink = ((ink > min(cut, 0.8 * float(ink.max()))) * 255).astype(np.uint8)
            if rng.random() < 0.3:  # grains lost and won along the outline
                flip = rng.random(ink.shape) < 0.02
                ink = np.where(flip & (cv2.dilate(ink, np.ones((3, 3), np.uint8)) > 0), 255 - ink, ink).astype(np.uint8)
    elif square:
        long = max(ink.shape)
        ink = cv2.resize(ink, (long, long), interpolation=cv2.INTER_AREA).astype(np.uint8)
    elif kind > 0.7:  # drawn or scanned at the network's own resolution, sometimes faint
        scale = rng.uniform(14, 26) / max(ink.shape)
        size = (max(2, round(ink.shape[1] * scale)), max(2, round(ink.shape[0] * scale)))
        ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    if rng.random() < 0.1:
        ink = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.3, 0.02 * max(ink.shape) + 0.4)).astype(np.uint8)
    return centre_digit(ink)


def draw_digits(count: int, rng: np.random.Generator) -> tuple[Image, npt.NDArray[np.int64]]:
    """``count`` digits from the shapes above, every class and every shape equally often in the long run.

    Returns:
        Pictures ``(count, 28, 28) uint8`` and labels ``(count,) int64``.
    """
    labels = np.arange(count, dtype=np.int64) % 10
    images = np.zeros((count, DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    for i, label in enumerate(labels):
        images[i] = ink_of(_digit(int(label), rng), rng)
    return images, labels


def _digit(label: int, rng: np.random.Generator) -> Drawing:
    shapes = DIGIT_SHAPES[label]
    drawing = draw_shape(shapes[int(rng.integers(len(shapes)))], rng)
    # Most digits are taller than wide; a 1 is left narrow.
    every = np.array([0.66 if label != 1 else 0.55, 1.0], np.float32)
    return by_hand([stroke * every for stroke in drawing], rng)


# ----------------------------------------------------------------------------------------------- pen trajectories


@dataclass(frozen=True)
class Trajectory:
    """One digit as a tablet recorded it.

    Attributes:
        label: the digit.
        writer: number of the writer as the file gives it.
        index: how manieth digit of the file it is, from 0.
        strokes: pen positions in the unit square, y downwards.
    """

    label: int
    writer: int
    index: int
    strokes: Drawing


def read_unipen(path: Path) -> list[Trajectory]:
    """The digits of a UNIPEN text file such as the UCI set's ``pendigits-orig.tra``.

    ``.SEGMENT DIGIT n ? "8"`` names the digit, ``.COMMENT digit writer number`` its writer; the points lie between
    ``.PEN_DOWN`` and ``.PEN_UP`` with y upwards.

    Raises:
        EngineError: the file cannot be read or holds no digit.
    """
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise EngineError(f"The pen file {path.name} cannot be read.", str(error)) from error
    digits: list[Trajectory] = []
    label, writer, index, position, strokes, points = -1, -1, -1, 0, list[Points](), list[tuple[float, float]]()

    def finish() -> None:
        if label >= 0 and strokes:
            every = np.concatenate(strokes)
            low, span = every.min(axis=0), max(float(np.ptp(every, axis=0).max()), 1.0)
            placed = [((stroke - low) / span).astype(np.float32) for stroke in strokes]
            digits.append(Trajectory(label, writer, index, placed))

    down = False
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == ".SEGMENT" and len(words) >= 5 and words[1] == "DIGIT":
            finish()
            strokes, writer = [], -1
            name = words[4].strip('"')
            label = int(name) if name.isdigit() and len(name) == 1 else -1
            index = position
            position += 1
        elif words[0] == ".COMMENT" and len(words) >= 3 and words[2].isdigit() and label >= 0:
            writer = int(words[2])
        elif words[0] == ".PEN_DOWN":
            down, points = True, []
        elif words[0] == ".PEN_UP":
            if points:
                strokes.append(np.array(points, np.float32))
            down = False
        elif down and len(words) == 2:
            points.append((float(words[0]), -float(words[1])))
    finish()
    if not digits:
        raise EngineError(f"{path.name} holds no pen strokes of digits.", "Choose a UNIPEN file with DIGIT segments.")
    return digits


def draw_trajectories(
    trajectories: Sequence[Trajectory], count: int, rng: np.random.Generator
) -> tuple[Image, npt.NDArray[np.int64]]:
    """``count`` pictures of recorded digits, each drawn by another hand and pen than the last time.

    Returns:
        Pictures ``(count, 28, 28) uint8`` and labels ``(count,) int64``.
    """
    images = np.zeros((count, DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    labels = np.zeros(count, np.int64)
    order = np.concatenate([rng.permutation(len(trajectories)) for _ in range(-(-count // len(trajectories)))])
    for i, which in enumerate(order[:count]):
        digit = trajectories[int(which)]
        drawing = by_hand(digit.strokes, rng, tilt=7.0, slant=0.15, stretch=0.15, bend=0.02)
        images[i], labels[i] = ink_of(drawing, rng), digit.label
    return images, labels


# ------------------------------------------------------------------------------------------------------- no digits


def draw_others(
    count: int,
    rng: np.random.Generator,
    *,
    digits: Image | None = None,
    photos: Sequence[Image] = (),
) -> Image:
    """``count`` pictures of what is no digit, ``(count, 28, 28) uint8``.

    Letters and signs, little pictures, scribbles, filled silhouettes with folds and patterns, several digits in one
    picture, grids and dots, noise, blanks; parts of photographs where ``photos`` (grey or RGB) are given.

    Args:
        count: how many.
        rng: where chance comes from.
        digits: ``(N, 28, 28)`` pictures of digits to put side by side; drawn here without them.
        photos: photographs to cut pieces from.
    """
    if digits is None or len(digits) == 0:
        digits = draw_digits(200, rng)[0]
    pool = digits
    makers: list[tuple[float, Callable[[], Image]]] = [
        (0.22, lambda: _sign(rng)),
        (0.10, lambda: _scribble(rng)),
        (0.26, lambda: _silhouette(rng)),
        (0.17, lambda: _several(pool, rng)),
        (0.03, lambda: _pattern(rng)),
        (0.03, lambda: _noise(rng)),
        (0.10, lambda: _as_input(_scene(rng), rng)),
        (0.01, lambda: np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)),
    ]
    if photos:
        makers.append((0.12, lambda: _piece_of_photo(photos, rng)))
    shares = np.array([share for share, _ in makers])
    which = rng.choice(len(makers), size=count, p=shares / shares.sum())
    images = np.zeros((count, DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    for i, k in enumerate(which):
        images[i] = makers[int(k)][1]()
    return images


def _sign(rng: np.random.Generator) -> Image:
    shape = OTHER_SHAPES[int(rng.integers(len(OTHER_SHAPES)))]
    drawing = by_hand(draw_shape(shape, rng, jitter=0.03), rng, slant=0.12, stretch=0.2)
    if rng.random() < 0.15:  # two signs, or a sign with a line through it
        extra = OTHER_SHAPES[int(rng.integers(len(OTHER_SHAPES)))]
        moved = by_hand(draw_shape(extra, rng), rng)
        shift = rng.uniform(-0.4, 0.4, 2).astype(np.float32)
        drawing = drawing + [stroke * np.float32(rng.uniform(0.5, 1.0)) + shift for stroke in moved]
    return ink_of(drawing, rng)


def _scribble(rng: np.random.Generator) -> Image:
    """To and fro without a plan: a walk of the pen with much curvature, or a hatched patch."""
    if rng.random() < 0.4:  # hatching
        strokes = int(rng.integers(8, 26))
        t = np.linspace(0, 1, strokes)
        x = np.where(np.arange(strokes) % 2, 0.0, 1.0) + rng.normal(0, 0.12, strokes)
        points = np.stack([x, t * rng.uniform(0.4, 1.2) + rng.normal(0, 0.03, strokes)], axis=1).astype(np.float32)
        drawing = [points if rng.random() < 0.5 else _curve(points)]
    elif rng.random() < 0.4:  # loops
        turns = rng.uniform(3, 9)
        t = np.linspace(0, turns * 2 * np.pi, 120)
        radius = 0.4 + 0.1 * np.sin(t * rng.uniform(0.2, 0.7) + rng.uniform(0, 6))
        drift = rng.uniform(0, 1.6) * t / t[-1]
        points = np.stack([radius * np.cos(t) + drift, radius * rng.uniform(0.5, 1.3) * np.sin(t)], axis=1)
        drawing = [points.astype(np.float32)]
    else:
        drawing = []
        for _ in range(int(rng.integers(1, 4))):
            drawing.append(_curve(rng.uniform(0, 1, (int(rng.integers(8, 22)), 2)).astype(np.float32)))
    return ink_of(by_hand(drawing, rng, tilt=60), rng)


# Outlines of things that one wears or carries, as half of a symmetric shape: (half width, height), top to bottom.
_HALVES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.12, 0.02), (0.22, 0.0), (0.48, 0.12), (0.5, 0.3), (0.34, 0.34), (0.32, 0.3), (0.33, 1.0)),  # T-shirt
    ((0.1, 0.02), (0.2, 0.0), (0.36, 0.1), (0.46, 0.8), (0.34, 0.84), (0.27, 0.4), (0.28, 0.96)),  # pullover
    ((0.1, 0.04), (0.2, 0.0), (0.34, 0.08), (0.42, 0.9), (0.32, 0.92), (0.28, 0.45), (0.3, 1.0)),  # coat
    ((0.1, 0.0), (0.15, 0.02), (0.18, 0.25), (0.14, 0.45), (0.24, 0.98)),  # dress
    ((0.08, 0.0), (0.14, 0.06), (0.2, 0.16), (0.15, 0.34), (0.18, 1.0)),  # narrow dress
    ((0.2, 0.0), (0.22, 0.5), (0.26, 1.0), (0.1, 1.0), (0.03, 0.25)),  # trousers
    ((0.15, 0.0), (0.17, 0.5), (0.16, 1.0), (0.05, 1.0), (0.02, 0.2)),  # narrow trousers
    ((0.4, 0.35), (0.46, 0.4), (0.5, 1.0)),  # bag
    ((0.1, 0.04), (0.34, 0.02), (0.3, 0.3), (0.34, 1.0)),  # vest
)
_SIDES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.0, 0.45), (0.1, 0.3), (0.3, 0.35), (0.55, 0.5), (0.9, 0.58), (1.0, 0.7), (0.98, 0.8), (0.0, 0.8)),  # sneaker
    ((0.02, 0.0), (0.4, 0.02), (0.42, 0.4), (0.8, 0.62), (1.0, 0.76), (0.98, 0.95), (0.02, 0.95)),  # boot
    (
        (0.05, 0.0),
        (0.35, 0.0),
        (0.4, 0.5),
        (0.95, 0.72),
        (1.0, 0.85),
        (0.4, 0.82),
        (0.2, 0.7),
        (0.12, 1.0),
        (0.02, 1.0),
    ),
    (
        (0.0, 0.3),
        (0.2, 0.5),
        (0.5, 0.65),
        (0.95, 0.7),
        (1.0, 0.82),
        (0.5, 0.84),
        (0.14, 0.62),
        (0.1, 0.84),
        (0.02, 0.84),
    ),
)


def _silhouette(rng: np.random.Generator) -> Image:
    """A filled outline with shading, folds, patterns and seams, as a garment or a bag on black looks."""
    side = 64
    canvas = np.zeros((side, side), np.uint8)
    chance = rng.random()
    if chance < 0.5:
        half = np.array(_HALVES[int(rng.integers(len(_HALVES)))])
        half = half * np.exp(rng.normal(0, 0.12, 2)) + rng.normal(0, 0.015, half.shape)
        left = half[::-1] * np.array([-1.0, 1.0])
        outline = np.concatenate([half, left]) + np.array([0.5, 0.0])
    elif chance < 0.85:
        outline = np.array(_SIDES[int(rng.integers(len(_SIDES)))])
        outline = outline * np.exp(rng.normal(0, 0.12, 2)) + rng.normal(0, 0.02, outline.shape)
        if rng.random() < 0.5:
            outline[:, 0] = 1 - outline[:, 0]
    else:
        corners = int(rng.integers(5, 11))
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = rng.uniform(0.25, 0.55, corners)
        outline = np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], axis=1)
        outline *= np.exp(rng.normal(0, 0.2, 2))
    outline = (outline - outline.min(axis=0)) / max(float(np.ptp(outline, axis=0).max()), 1e-6)
    points = np.rint((outline * (side - 8) + 4) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, 4)
    if rng.random() < 0.2:  # a handle, a strap, a collar
        x, y, w, h = cv2.boundingRect(canvas)
        middle = (x + w // 2, y + int(h * rng.uniform(0, 0.3)))
        axes = (max(2, int(w * rng.uniform(0.15, 0.4))), max(2, int(h * rng.uniform(0.1, 0.45))))
        if y > axes[1]:
            cv2.ellipse(canvas, middle, axes, 0, 180, 360, 255, int(rng.integers(1, 5)), cv2.LINE_AA)
    mask = canvas.astype(np.float32) / 255
    shade = _texture(side, rng)
    picture = (mask * shade).clip(0, 255)
    for _ in range(int(rng.integers(0, 4))):  # seams, soles, prints, buttons
        a, b = rng.integers(0, side, 2), rng.integers(0, side, 2)
        level = float(rng.uniform(0, 255))
        part = np.zeros((side, side), np.uint8)
        if rng.random() < 0.5:
            cv2.line(part, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 255, int(rng.integers(1, 6)), cv2.LINE_AA)
        else:
            low, high = np.minimum(a, b), np.maximum(a, b)
            cv2.rectangle(part, (int(low[0]), int(low[1])), (int(high[0]), int(high[1])), 255, -1)
        weight = part.astype(np.float32) / 255 * mask
        picture = picture * (1 - weight) + level * weight
    if rng.random() < 0.4:
        tilt = float(rng.normal(0, 10))
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), tilt, 1.0)
        picture = cv2.warpAffine(picture, turn, (side, side))
    ink = np.rint(picture).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:  # as Fashion-MNIST is made: as large as the picture, not centred like a digit
        return _filling(ink, rng)
    return centre_digit(ink)


def _texture(side: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    base = np.full((side, side), rng.uniform(90, 250), np.float32)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    base += float(rng.normal(0, 60)) * (x - 0.5) + float(rng.normal(0, 60)) * (y - 0.5)
    if rng.random() < 0.5:  # folds
        coarse = rng.normal(0, rng.uniform(10, 60), (int(rng.integers(2, 9)), int(rng.integers(2, 9)))).astype(
            np.float32
        )
        base += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.3:  # stripes or checks
        angle = rng.uniform(0, np.pi)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(10, 60))
        base += float(rng.uniform(20, 110)) * wave
    if rng.random() < 0.5:  # cloth
        base += rng.normal(0, rng.uniform(5, 45), (side, side)).astype(np.float32)
    return base.astype(np.float32)


def _filling(ink: Image, rng: np.random.Generator) -> Image:
    """The ink with its longer side 22 to 28 pixels in the middle of the picture, as catalogue pictures are cut."""
    x, y, w, h = cv2.boundingRect(ink)
    if not w or not h:
        return np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    scale = rng.uniform(22, 28) / max(w, h)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = cv2.resize(ink[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA)
    out = np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    left, top = (DIGIT_SIZE - size[0]) // 2, (DIGIT_SIZE - size[1]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    return out


def _several(digits: Image, rng: np.random.Generator) -> Image:
    """Two to four digits side by side, apart or just touching, in the place of one."""
    parts = []
    for which in rng.integers(0, len(digits), int(rng.choice([2, 2, 2, 3, 4]))):
        part = digits[int(which)]
        left, top, w, h = cv2.boundingRect(part)
        if not w or not h:
            continue
        tall = int(rng.integers(26, 34))
        size = (max(3, round(w * tall / h)) if h > 4 else w, tall)
        parts.append(cv2.resize(part[top : top + h, left : left + w], size, interpolation=cv2.INTER_LINEAR))
    total = sum(part.shape[1] for part in parts) + 12 * len(parts) + 8
    canvas = np.zeros((48, total), np.uint8)
    x = 2
    for part in parts:
        y = int(rng.integers(4, 48 - part.shape[0] - 3))
        here = canvas[y : y + part.shape[0], x : x + part.shape[1]]
        np.maximum(here, part, out=here)
        x += part.shape[1] + int(rng.integers(-2, 10))
    return centre_digit(canvas)


def _pattern(rng: np.random.Generator) -> Image:
    side = 64
    canvas = np.zeros((side, side), np.uint8)
    if rng.random() < 0.5:
        gap = int(rng.integers(7, 24))
        thick = int(rng.integers(1, 5))
        for at in range(int(rng.integers(1, gap)), side, gap):
            cv2.line(canvas, (at, 0), (at, side), 255, thick)
            if rng.random() < 0.85:
                cv2.line(canvas, (0, at), (side, at), 255, thick)
    else:
        for _ in range(int(rng.integers(2, 30))):
            spot = rng.integers(0, side, 2)
            cv2.circle(canvas, (int(spot[0]), int(spot[1])), int(rng.integers(1, 6)), 255, -1, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(0, 90)), 1.2)
    return centre_digit(cv2.warpAffine(canvas, turn, (side, side)).astype(np.uint8))


def _noise(rng: np.random.Generator) -> Image:
    size = int(rng.choice([28, 28, 14, 7, 40]))
    noise = rng.random((size, size))
    level = rng.uniform(0, 0.97)
    ink = ((noise > level) * rng.uniform(100, 255) if rng.random() < 0.5 else noise * 255).astype(np.uint8)
    if rng.random() < 0.4:
        ink = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.5, 1.5)).astype(np.uint8)
    if rng.random() < 0.5:
        return cv2.resize(ink, (DIGIT_SIZE, DIGIT_SIZE), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return centre_digit(ink)


def _scene(rng: np.random.Generator) -> Image:
    """Something like a photograph: shapes over one another, each with its own light, a soft lens and grain."""
    height, width = int(rng.integers(70, 150)), int(rng.integers(70, 150))
    side = max(height, width)
    picture = _texture(side, rng)[:height, :width].copy()
    for _ in range(int(rng.integers(4, 16))):
        mask = np.zeros((height, width), np.uint8)
        centre = rng.uniform(0, 1, 2) * (width, height)
        reach = np.exp(rng.uniform(np.log(0.06), np.log(0.5), 2)) * side
        if rng.random() < 0.5:
            axes = (max(1, int(reach[0])), max(1, int(reach[1])))
            middle = (int(centre[0]), int(centre[1]))
            cv2.ellipse(mask, middle, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
        else:
            points = centre + rng.normal(0, 1, (int(rng.integers(3, 7)), 2)) * reach
            cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        weight = mask.astype(np.float32) / 255
        own = _texture(side, rng)[:height, :width]
        picture = np.asarray(picture * (1 - weight) + own * weight, np.float32)
    if rng.random() < 0.7:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 2.5))), np.float32)
    grain = rng.normal(0, rng.uniform(0, 8), picture.shape)
    return np.rint(picture + grain).clip(0, 255).astype(np.uint8)


def _piece_of_photo(photos: Sequence[Image], rng: np.random.Generator) -> Image:
    photo = photos[int(rng.integers(len(photos)))]
    height, width = photo.shape[:2]
    side = int(min(height, width) * rng.uniform(0.15, 1.0))
    y, x = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    piece = photo[y : y + side, x : x + side]
    if side > 160:
        piece = cv2.resize(piece, (160, 160), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return _as_input(piece, rng)


def _as_input(picture: Image, rng: np.random.Generator) -> Image:
    """A picture of no drawing on its way to the network: through the search for ink, or as it is."""
    if rng.random() < 0.3:  # as a small picture on black would come in
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return cv2.resize(grey, (DIGIT_SIZE, DIGIT_SIZE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    layout = lay_out(to_ink(picture))
    if not len(layout):
        return np.zeros((DIGIT_SIZE, DIGIT_SIZE), np.uint8)
    return layout.inputs[0]
