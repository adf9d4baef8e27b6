"""Pictures of a made-up object among other things on textured grounds, with the boxes of all of them."""

from __future__ import annotations

import numpy as np

from engine.labels import LabelledBox
from engine.opencv import cv2

STAR = "star"  # a yellow star with a blue middle: no detector has seen it before


def ground(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A ground of soft blots and fine grain, in some colour of its own."""
    coarse = rng.normal(0, 1, (height // 40 + 2, width // 40 + 2, 3))
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image = rng.uniform(60, 190, 3) + 28 * soft + rng.normal(0, 6, (height, width, 1))
    return image.clip(0, 255).astype(np.uint8)


def scene(rng: np.random.Generator, width: int = 320, height: int = 240) -> tuple[np.ndarray, list[LabelledBox]]:
    """One or two stars of any size, turned anyhow, among bars, discs and rings of all colours, of which none is one."""
    image = ground(rng, width, height)
    for _ in range(int(rng.integers(3, 7))):
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        size = int(rng.integers(10, 36))
        kind = int(rng.integers(3))
        if kind == 0:
            cv2.circle(image, (x, y), size, colour, -1 if rng.random() < 0.5 else 4, cv2.LINE_AA)
        elif kind == 1:
            corners = cv2.boxPoints(((x, y), (2 * size, size), float(rng.uniform(0, 180))))
            cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        else:
            corners = np.array([[x, y - size], [x + size, y + size], [x - size, y + size]], np.int32)
            cv2.fillPoly(image, [corners], colour, cv2.LINE_AA)
    boxes: list[LabelledBox] = []
    count = int(rng.integers(1, 3))
    for number in range(count):
        outer = float(rng.uniform(22, 52))
        left, right = number * width / count, (number + 1) * width / count
        x, y = rng.uniform(left + outer, right - outer), rng.uniform(outer, height - outer)
        turn = rng.uniform(0, 2 * np.pi) + np.arange(10) * np.pi / 5
        reach = np.where(np.arange(10) % 2, 0.45 * outer, outer)
        points = np.stack([x + reach * np.cos(turn), y + reach * np.sin(turn)], axis=1)
        light = float(rng.uniform(0.75, 1.1))
        cv2.fillPoly(image, [points.round().astype(np.int32)], tuple(min(255, int(c * light)) for c in (240, 200, 30)))
        cv2.circle(image, (round(x), round(y)), round(0.3 * outer), (40, 60, int(200 * light)), -1, cv2.LINE_AA)
        x0, y0 = points.min(axis=0)
        x1, y1 = points.max(axis=0)
        boxes.append(LabelledBox(STAR, (float(x0), float(y0), float(x1), float(y1))))
    return image, boxes
