"""Tracking: boxes of one frame after the other become objects with numbers that stay theirs.

After ByteTrack (Zhang et al. 2021, “Multi-Object Tracking by Associating Every Detection Box”): what is sure is matched
with where the known objects should be by now, then what is unsure with the objects that are left, since a box of low
probability where an object is expected is that object, half hidden, and not background. Where an object should be is
told by a Kalman filter that takes it to move on as it did.

One `Tracker` follows one source; time is the source's own, so frames may be left out and their rate may change.
"""

from __future__ import annotations

import dataclasses
import time as clocks

import lap
import numpy as np
from numpy.typing import NDArray

from engine.types import Detections, Frame, Result

_UNSURE = 0.1  # probability below which a box says nothing even where an object is expected
_NEAR = 0.2  # IoU with its expected place from which a sure box may be an object
_NEARER = 0.5  # the same for an unsure box
_AGAIN = 0.3  # the same for a sure box and an object that was seen only once
_TWICE = 0.85  # IoU from which two objects of one class are one that was taken for two

# The filter's noise as shares of the box's height, as in the paper's own code, which counts in frames of 1/30 s. The
# state is centre x, centre y, width by height, height; the third is no length, its noise is not one of the height.
_FRAMES_A_SECOND = 30.0
_SHARES = np.array([1.0, 1.0, 0.0, 1.0])
_PLACE, _PLACE_OF_RATIO = 1 / 20, 1e-2
_SPEED, _SPEED_OF_RATIO = 1 / 160, 1e-5
_SEEN_RATIO = 1e-1

_Matrix = NDArray[np.float64]
_Numbers = NDArray[np.int64]


class Tracker:
    """Numbers the objects of one source, from 1 on. Use it from one thread at a time."""

    def __init__(self, *, sure: float = 0.5, keep: float = 1.0) -> None:
        """
        Args:
            sure: probability from which a box is matched first, and from which it may be a new object.
            keep: seconds for which an object that is not seen is waited for.
        """
        self._sure = sure
        self._keep = keep
        self._time: float | None = None
        self._count = 0
        self._class_id = np.zeros(0, np.int64)
        self._number = np.zeros(0, np.int64)  # -1: seen only once so far
        self._born = np.zeros(0)  # times on the source's clock
        self._seen = np.zeros(0)
        self._lost = np.zeros(0, bool)  # not found in the frame before
        # Each of the four parts of the state is filtered by itself: its value, its speed in a frame of 1/30 s, and the
        # variances of both and between them, (objects, 4).
        self._value, self._speed = np.zeros((0, 4)), np.zeros((0, 4))
        self._spread, self._between, self._spread_of_speed = (np.zeros((0, 4)) for _ in range(3))

    def update(self, detections: Detections, time: float) -> Detections:
        """The same detections with the number of each one's object, -1 where it is (not yet) one.

        An object gets its number in the second frame in which it is found; in the first frame of all at once.

        Args:
            detections: of the next frame, down to low probabilities.
            time: of that frame, seconds on the source's clock; never less than before.

        Raises:
            ValueError: time went back. Another tracker must follow what comes after a jump.
        """
        first = self._time is None
        passed = 0.0 if self._time is None else time - self._time
        if passed < 0:
            raise ValueError(f"time went back by {-passed:.3f} s")
        self._time = time
        self._forget(time - self._seen > self._keep)
        self._foresee(passed * _FRAMES_A_SECOND)

        boxes, scores = detections.xyxy.astype(np.float64), detections.confidence
        overlap = _overlap(_corners(self._value), boxes)
        overlap[self._class_id[:, None] != detections.class_id[None, :]] = 0
        sure, unsure = scores >= self._sure, (scores < self._sure) & (scores >= _UNSURE)
        known = self._number >= 0
        owner = np.full(len(detections), -1, np.int64)  # row of the object that each box belongs to
        found = np.zeros(len(known), bool)
        for objects, candidates, least in (
            (known, sure, _NEAR),
            (known & ~self._lost, unsure, _NEARER),
            (~known, sure, _AGAIN),
        ):
            rows, columns = np.flatnonzero(objects & ~found), np.flatnonzero(candidates & (owner < 0))
            for row, column in _matched(overlap[np.ix_(rows, columns)], least):
                owner[columns[column]] = rows[row]
                found[rows[row]] = True

        matched = np.flatnonzero(owner >= 0)
        self._see(owner[matched], _state(boxes[matched]), time)
        self._lost = ~found
        for row in np.sort(owner[matched]):
            if self._number[row] < 0:
                self._number[row] = self._next()
        new = np.flatnonzero(sure & (owner < 0))
        owner[new] = len(known) + np.arange(len(new))
        self._begin(_state(boxes[new]), detections.class_id[new], time, numbered=first)
        numbers = np.where(owner >= 0, np.append(self._number, -1)[owner], -1)
        self._forget(self._lost & (self._number < 0))
        self._forget(self._doubles())
        return dataclasses.replace(detections, track_id=numbers)

    # -------------------------------------------------------------------------------------------- the filter

    def _foresee(self, frames: float) -> None:
        """Move every object on by so many frames of 1/30 s."""
        self._speed[self._lost, 2:] = 0  # what is hidden is not taken to grow or shrink
        self._value = self._value + frames * self._speed
        place, speed = self._noise(_PLACE, _PLACE_OF_RATIO), self._noise(_SPEED, _SPEED_OF_RATIO)
        self._spread = self._spread + frames * (2 * self._between + frames * self._spread_of_speed + place)
        self._between = self._between + frames * self._spread_of_speed
        self._spread_of_speed = self._spread_of_speed + frames * speed

    def _see(self, rows: _Numbers, states: _Matrix, time: float) -> None:
        """Correct these objects by where they were found."""
        noise = self._noise(_PLACE, _SEEN_RATIO)[rows]
        spread, between = self._spread[rows], self._between[rows]
        gain, gain_of_speed = spread / (spread + noise), between / (spread + noise)
        missed = states - self._value[rows]
        self._value[rows] += gain * missed
        self._speed[rows] += gain_of_speed * missed
        self._spread[rows] = (1 - gain) * spread
        self._between[rows] = (1 - gain) * between
        self._spread_of_speed[rows] -= gain_of_speed * between
        self._seen[rows] = time

    def _begin(self, states: _Matrix, class_id: _Numbers, time: float, *, numbered: bool) -> None:
        count = len(states)
        numbers = np.array([self._next() if numbered else -1 for _ in range(count)], np.int64)
        self._class_id = np.concatenate([self._class_id, class_id])
        self._number = np.concatenate([self._number, numbers])
        self._born = np.concatenate([self._born, np.full(count, time)])
        self._seen = np.concatenate([self._seen, np.full(count, time)])
        self._lost = np.concatenate([self._lost, np.zeros(count, bool)])
        self._value = np.concatenate([self._value, states])
        self._speed = np.concatenate([self._speed, np.zeros((count, 4))])
        height = states[:, 3:]
        spread = (2 * _PLACE * height * _SHARES + _PLACE_OF_RATIO * (1 - _SHARES)) ** 2
        of_speed = (10 * _SPEED * height * _SHARES + _SPEED_OF_RATIO * (1 - _SHARES)) ** 2
        self._spread = np.concatenate([self._spread, spread])
        self._between = np.concatenate([self._between, np.zeros((count, 4))])
        self._spread_of_speed = np.concatenate([self._spread_of_speed, of_speed])

    def _noise(self, share: float, of_ratio: float) -> _Matrix:
        """Variances (objects, 4) of a noise that is a share of the height."""
        variances: _Matrix = (share * self._value[:, 3:] * _SHARES + of_ratio * (1 - _SHARES)) ** 2
        return variances

    # ------------------------------------------------------------------------------------------ bookkeeping

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _forget(self, which: NDArray[np.bool_]) -> None:
        if not which.any():
            return
        kept = ~which
        for name in ("class_id", "number", "born", "seen", "lost", "value", "speed", "spread", "between"):
            setattr(self, f"_{name}", getattr(self, f"_{name}")[kept])
        self._spread_of_speed = self._spread_of_speed[kept]

    def _doubles(self) -> NDArray[np.bool_]:
        """Of each lost object that lies where a found one of its class is, the one that was known for less time."""
        which = np.zeros(len(self._lost), bool)
        lost, found = np.flatnonzero(self._lost), np.flatnonzero(~self._lost)
        if not len(lost) or not len(found):
            return which
        corners = _corners(self._value)
        same = self._class_id[lost][:, None] == self._class_id[found][None, :]
        for row, column in zip(*np.nonzero(same & (_overlap(corners[lost], corners[found]) > _TWICE)), strict=True):
            one, other = lost[row], found[column]
            shorter = self._seen[one] - self._born[one] <= self._seen[other] - self._born[other]
            which[one if shorter else other] = True
        return which


class Follower:
    """Numbers the objects of whatever plays: each source, and each stretch of one that runs forward, from 1 on.

    Attributes:
        stretch: counts these.
    """

    def __init__(self, *, sure: float) -> None:
        """
        Args:
            sure: see `Tracker`; what is shown to people should have a number, so the least score that is shown.
        """
        self.stretch = 0
        self._sure = sure
        self._tracker = Tracker(sure=sure)
        self._last: Frame | None = None
        self._clock = 0.0  # of that frame
        self._numbers: _Numbers | None = None

    def follow(self, result: Result) -> Result:
        """The result with the numbers of its objects; as it is where nothing was detected, or nothing moves.

        The last frame may come again (another layer is watched): its objects keep their numbers.
        """
        if result.detections is None or result.frame.clock is None:
            return result
        begun = clocks.perf_counter()
        tracked = self.number(result.frame, result.detections)
        took = result.timings.postprocess + clocks.perf_counter() - begun
        timings = dataclasses.replace(result.timings, postprocess=took)
        return dataclasses.replace(result, detections=tracked, timings=timings)

    def number(self, frame: Frame, detections: Detections) -> Detections:
        """The objects of a frame that has a clock, with their numbers; see `Tracker.update` and `follow`."""
        assert frame.clock is not None
        before = self._last
        if frame is before and self._numbers is not None and len(self._numbers) == len(detections):
            return dataclasses.replace(detections, track_id=self._numbers)
        goes_on = before is not None and before.source == frame.source and self._clock <= frame.clock
        if not goes_on:
            self._tracker = Tracker(sure=self._sure)
            self.stretch += 1
        tracked = self._tracker.update(detections, frame.clock)
        self._last, self._clock, self._numbers = frame, frame.clock, tracked.track_id
        return tracked


def _state(boxes: _Matrix) -> _Matrix:
    """Corners (N, 4) as centre x, centre y, width by height, height."""
    width, height = boxes[:, 2] - boxes[:, 0], np.maximum(boxes[:, 3] - boxes[:, 1], 1e-3)
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, width / height, height], axis=1)


def _corners(states: _Matrix) -> _Matrix:
    height = np.maximum(states[:, 3], 1e-3)
    half = np.stack([np.maximum(states[:, 2], 0) * height, height], axis=1) / 2
    return np.concatenate([states[:, :2] - half, states[:, :2] + half], axis=1)


def _overlap(some: _Matrix, others: _Matrix) -> _Matrix:
    """IoU (N, M) of boxes (N, 4) and (M, 4)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (some, others)]
    overlap: _Matrix = shared / np.maximum(areas[0][:, None] + areas[1][None, :] - shared, 1e-9)
    return overlap


def _matched(overlap: _Matrix, least: float) -> list[tuple[int, int]]:
    """The pairs of rows and columns that together overlap most, each by at least `least`."""
    if not overlap.size:
        return []
    _, column_of, _ = lap.lapjv(1 - overlap, extend_cost=True, cost_limit=1 - least)
    return [(row, int(column)) for row, column in enumerate(column_of) if column >= 0 and overlap[row, column] >= least]
