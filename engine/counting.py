"""How many are where, and how many went through: zones and lines drawn over a picture, followed over time.

Detections with their numbers enter frame by frame, on the source's own clock. What leaves is how many things are in
each zone now, how many have crossed each line and in which direction, which alarms hold, a log of what has happened,
and the numbers over time. Pure NumPy; nothing here waits, and memory stays bounded however long it runs.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import datetime
import io
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from engine import store
from engine.errors import EngineError
from engine.types import Detections

Point: TypeAlias = tuple[float, float]
"""A place in the picture: shares of its width and of its height, 0 to 1."""

Spot: TypeAlias = Literal["middle", "foot"]
"""Which point of a box says where its thing is: the middle, or the middle of the lower edge (people on a floor)."""

Happening: TypeAlias = Literal["began", "crossed", "alarm", "over", "total"]

MOST_PLACES = 32
MOST_CORNERS = 64
LONGEST_WAIT = 3600.0  # seconds before an alarm
LOG_COLUMNS = ("time", "seconds", "place", "event", "class", "direction", "number")
VALUE_COLUMNS = ("seconds", "place", "what", "least", "most", "pass")

_SMOOTH = 1.0  # seconds over which the number in a zone is a median
_FEWEST = 3  # frames over which it is one at least, where they come slowly
_OLDEST = 5.0  # seconds that such a frame may lie back
_LEAST_AREA = 1e-4  # share of the picture that a zone covers at least
_LEAST_LENGTH = 1e-2  # the same for the length of a line
# How far a thing must be beyond a line to be on the other side: a share of the shorter side of its box, by which
# boxes tremble, and at least and at most so much of the picture's diagonal.
_TREMBLES, _NEAREST, _FARTHEST = 0.1, 0.006, 0.03
_FORGOTTEN = 2.0  # seconds after which a thing that is not seen is not waited for
_TAKEN_OVER = 1.0  # the same for one that may have got another number
_LOG_KEPT = 5000  # events
_LARGEST = 4_000_000  # bytes of a log on the disk, of which the newest events then stay
_LOGS = 200  # of them
_POINTS = 4000  # of one curve
_FINEST = 0.1  # seconds between two of them, until they are too many


@dataclass(frozen=True)
class Zone:
    """A part of the picture in which things are counted.

    Attributes:
        name: for people; no two places have the same.
        corners: of the polygon, in order; where it overlaps itself, what lies within an odd number of rounds is in it.
        classes: what is counted; empty: everything.
        spot: which point of a box has to be in it.
        below: alarm while there are fewer than this; None: never.
        above: alarm while there are more than this; None: never.
        seconds: for which that must have been so.
    """

    name: str
    corners: tuple[Point, ...]
    classes: frozenset[str] = frozenset()
    spot: Spot = "middle"
    below: int | None = None
    above: int | None = None
    seconds: float = 2.0

    def __post_init__(self) -> None:
        _check(self.name, self.corners, self.spot)
        if not 3 <= len(self.corners) <= MOST_CORNERS:
            raise ValueError(f"a zone has 3 to {MOST_CORNERS} corners, not {len(self.corners)}")
        if _extent(self.corners) < _LEAST_AREA:
            raise ValueError("a zone covers some of the picture")
        if self.below is not None and self.below < 1:
            raise ValueError("there are never fewer than none")
        if self.above is not None and self.above < 0:
            raise ValueError("there are always more than that")
        if self.below is not None and self.above is not None and self.below > self.above + 1:
            raise ValueError("every number would raise the alarm")
        if not 0 <= self.seconds <= LONGEST_WAIT:
            raise ValueError(f"an alarm waits for 0 to {LONGEST_WAIT:.0f} seconds")

    def wrong(self, count: int) -> bool:
        """Whether the alarm is for this number."""
        return (self.below is not None and count < self.below) or (self.above is not None and count > self.above)

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of (N, 2) points are in it, by the crossings of a ray to the right (even-odd rule)."""
        corners = np.asarray(self.corners, np.float64)
        ends = np.roll(corners, -1, axis=0)
        x, y = points[:, 0, None], points[:, 1, None]
        spans = (corners[:, 1] > y) != (ends[:, 1] > y)
        rise = ends[:, 1] - corners[:, 1]
        at = corners[:, 0] + (y - corners[:, 1]) / np.where(rise == 0, 1.0, rise) * (ends[:, 0] - corners[:, 0])
        inside: NDArray[np.bool_] = (spans & (x < at)).sum(axis=1) % 2 == 1
        return inside


@dataclass(frozen=True)
class Line:
    """A line; what crosses it is counted, each direction by itself.

    Attributes:
        name: for people; no two places have the same.
        start, end: of the line.
        classes: what is counted; empty: everything.
        spot: which point of a box has to cross it.
    """

    name: str
    start: Point
    end: Point
    classes: frozenset[str] = frozenset()
    spot: Spot = "middle"

    def __post_init__(self) -> None:
        _check(self.name, self.corners, self.spot)
        if math.dist(self.start, self.end) < _LEAST_LENGTH:
            raise ValueError("a line has a length")

    @property
    def corners(self) -> tuple[Point, Point]:
        return self.start, self.end

    @property
    def directions(self) -> tuple[str, str]:
        """The two directions in words, first the one that is counted as forth: to the right of who looks along it."""
        across, down = self.start[1] - self.end[1], self.end[0] - self.start[0]
        if abs(across) >= abs(down):
            return ("right", "left") if across > 0 else ("left", "right")
        return ("down", "up") if down > 0 else ("up", "down")


Place: TypeAlias = Zone | Line


@dataclass(frozen=True)
class ZoneCount:
    """A zone at one moment.

    Attributes:
        count: how many are in it, the median of about a second.
        alarm: its alarm holds.
    """

    count: int
    alarm: bool = False


@dataclass(frozen=True)
class LineCount:
    """A line at one moment.

    Attributes:
        by_class: how many of each class have gone forth and back.
    """

    by_class: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def forth(self) -> int:
        return sum(pair[0] for pair in self.by_class.values())

    @property
    def back(self) -> int:
        return sum(pair[1] for pair in self.by_class.values())


@dataclass(frozen=True)
class Event:
    """Something that has happened.

    Attributes:
        time: when, in seconds since 1970.
        clock: the same on the clock of what is counted: seconds since it began.
        kind: "began": a source began, or began anew; "crossed": something crossed a line; "alarm" and "over": an alarm
            began or ended; "total": a pass through a source has ended, in which so many have crossed a line.
        place: name of the zone or line; of the source, where one began.
        label: class of what crossed.
        direction: where it went, in words.
        number: how many were in the zone, or have crossed the line in this direction so far.
    """

    time: float
    clock: float
    kind: Happening
    place: str
    label: str = ""
    direction: str = ""
    number: int = 0


@dataclass(frozen=True)
class CountState:
    """What holds now.

    Attributes:
        clock: seconds since counting began; None: of a picture by itself.
        zones, lines: by name.
        events: since the frame before.
    """

    clock: float | None = None
    zones: Mapping[str, ZoneCount] = field(default_factory=dict)
    lines: Mapping[str, LineCount] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, eq=False)
class Values:
    """Numbers over time. All arrays have the same length.

    Attributes:
        place: name of the zone or line.
        what: "in the zone", or a direction.
        seconds: (N,) float64, when each short stretch of time began.
        least, most, last: (N,) int64, of the numbers in that stretch.
        forth: False for the second direction of a line.
        lap: which pass through the source this is, from 1 on; where a video begins anew another one does.
    """

    place: str
    what: str
    seconds: NDArray[np.float64]
    least: NDArray[np.int64]
    most: NDArray[np.int64]
    last: NDArray[np.int64]
    forth: bool = True
    lap: int = 1


# ------------------------------------------------------------------------------------------------- one counter


class Counter:
    """Follows what a network finds in one picture after the other. Use it from one thread at a time."""

    def __init__(self, places: Iterable[Place] = (), *, wall: Callable[[], float] = time.time) -> None:
        """`wall`: seconds since 1970, for the log."""
        self._wall = wall
        self._kept: list[_ZoneMemory | _LineMemory] = []
        self._tracks: dict[int, _Track] = {}
        self._log: collections.deque[Event] = collections.deque(maxlen=_LOG_KEPT)
        self._news: collections.deque[Event] = collections.deque(maxlen=_LOG_KEPT)  # of it, what is not written yet
        self._source: str | None = None
        self._clock: float | None = None  # of the source, at the newest frame
        self._ahead = 0.0  # what our clock is ahead of the source's: a camera's begins anew when it is plugged in again
        self._read_at = 0.0  # when the newest frame came
        self._began_at = 0.0  # on our clock
        self._live = False
        self._rested = False
        self._lap = 1
        self._numbering = ""
        self._pending: list[Event] = []
        self._state = CountState()
        self.use(places)

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(memory.place for memory in self._kept)

    @property
    def state(self) -> CountState:
        """As `take` said last."""
        return self._state

    @property
    def log(self) -> tuple[Event, ...]:
        """What has happened, the newest last, and no more than some thousands of it."""
        return tuple(self._log)

    def take_news(self) -> tuple[Event, ...]:
        """What has come into the log since this was asked last, for whoever writes it down."""
        news = tuple(self._news)
        self._news.clear()
        return news

    def recall(self, log: Iterable[Event]) -> None:
        """This has happened before, as was written down then."""
        self._log = collections.deque((*log, *self._log), maxlen=_LOG_KEPT)

    def values(self) -> tuple[Values, ...]:
        """The numbers over time of every place. They are thinned so that hours find room.

        First those of the pass before, where there was one: a video that begins anew has shown what it has to show.
        """
        before = (values for memory in self._kept for values in memory.values(self._lap - 1, before=True))
        now = (values for memory in self._kept for values in memory.values(self._lap))
        return (*(values for values in before if len(values.seconds)), *now)

    def use(self, places: Iterable[Place]) -> None:
        """Count in these places from now on.

        A place that was there, also one that has only got another name, goes on. Where its form, its classes or its
        spot are others, what is in sight is looked at anew; what has crossed a line stays counted.

        Raises:
            ValueError: two places have the same name, or there are more than `MOST_PLACES`.
        """
        wanted = tuple(places)
        if len({place.name for place in wanted}) != len(wanted):
            raise ValueError("two places have the same name")
        if len(wanted) > MOST_PLACES:
            raise ValueError(f"at most {MOST_PLACES} places")
        before = {memory.place.name: memory for memory in self._kept}
        names = {place.name for place in wanted}
        renamed = {replace(memory.place, name="-"): memory for name, memory in before.items() if name not in names}
        kept: list[_ZoneMemory | _LineMemory] = []
        for place in wanted:
            memory = before.get(place.name) or renamed.pop(replace(place, name="-"), None)
            if isinstance(memory, _ZoneMemory) and isinstance(place, Zone):
                memory.change(place)
            elif isinstance(memory, _LineMemory) and isinstance(place, Line):
                if not _same_form(place, memory.line):
                    self._forget_passages(memory)
                memory.line = place
            else:
                memory = _memory(place)
            kept.append(memory)
        gone = [memory for memory in self._kept if memory not in kept]
        for memory in gone:
            if isinstance(memory, _LineMemory):
                self._forget_passages(memory)
            elif memory.alarm:
                self._end_alarm(memory, self._own_clock or 0.0, self._wall())
        self._kept = kept
        self._state = self._summary(self._own_clock, ())

    def rest(self) -> None:
        """Nobody looks for a while: alarms end, and so does the pass, but for a live source, which goes on later."""
        wall = self._wall()
        if not self._live:
            self._end_pass(wall)
            self._source = None
        self._tracks.clear()
        for memory in self._kept:
            if isinstance(memory, _ZoneMemory):
                if memory.alarm:
                    self._end_alarm(memory, self._own_clock or 0.0, wall)
                memory.look_anew()
        self._rested = True
        self._state = self._summary(self._own_clock, ())

    def start_again(self) -> None:
        """Forget all numbers and the log; the places stay."""
        self._log.clear()
        self._news.clear()
        self._pending.clear()
        self._source, self._clock, self._ahead, self._lap, self._live = None, None, 0.0, 1, False
        self._tracks.clear()
        self._kept = [_memory(memory.place) for memory in self._kept]
        self._state = CountState()

    def take(
        self,
        detections: Detections,
        *,
        size: tuple[int, int],
        clock: float | None,
        source: str = "",
        numbering: str = "",
        live: bool = False,
    ) -> CountState:
        """What holds with the next frame.

        Where the source is another one, or has jumped back, counting begins anew: in the same places, with the same
        log, which then tells how many have crossed each line in the pass that has ended. A live source whose clock
        begins anew (a camera that was unplugged) goes on.

        Args:
            detections: what is to be counted; lines count only what has a number.
            size: (width, height) of the frame in pixels.
            clock: seconds on the source's clock; the same as before: the same frame, seen again. None: a picture by
                itself, in which nothing moves and alarms do not wait.
            source: its name.
            numbering: whose numbers they are. Those of another network say nothing of what was followed before.
            live: it cannot be gone back in.
        """
        points = {spot: _spots(detections, size, spot) for spot in get_args(Spot)}
        if clock is None:
            return self._still(detections, points)
        now = self._wall()
        self._follow_source(source, clock, live=live, wall=now)
        if numbering != self._numbering:
            self._numbering = numbering
            self._tracks.clear()
        own = self._own_clock
        assert own is not None
        events: list[Event] = []
        self._notice_tracks(detections, size, own)
        for memory in self._kept:
            counted = _counted(memory.place, detections)
            where = points[memory.place.spot]
            if isinstance(memory, _ZoneMemory):
                happened = memory.take(int(memory.zone.contains(where[counted]).sum()), own)
                if happened is not None:
                    events.append(Event(now, own, happened, memory.zone.name, number=memory.count))
            else:
                events += self._cross(memory, detections, where, counted, size, own, now)
                memory.note(own)
        self._log.extend(events)
        self._news.extend(events)
        self._state = self._summary(own, (*self._pending, *events))
        self._pending.clear()
        return self._state

    # inside ---------------------------------------------------------------------------------------------------------

    @property
    def _own_clock(self) -> float | None:
        return None if self._clock is None else self._clock + self._ahead

    def _still(self, detections: Detections, points: Mapping[str, NDArray[np.float64]]) -> CountState:
        zones = {}
        for memory in self._kept:
            if isinstance(memory, _ZoneMemory):
                inside = memory.zone.contains(points[memory.zone.spot][_counted(memory.zone, detections)])
                count = int(inside.sum())
                zones[memory.zone.name] = ZoneCount(count, memory.zone.wrong(count))
        lines = {memory.line.name: LineCount() for memory in self._kept if isinstance(memory, _LineMemory)}
        self._end_pass(self._wall())
        self._live = False
        self._source = None  # what moves after it begins anew
        self._state = CountState(None, zones, lines, tuple(self._pending))
        self._pending.clear()
        return self._state

    def _follow_source(self, source: str, clock: float, *, live: bool, wall: float) -> None:
        before = self._own_clock
        if source != self._source:
            self._begin(source, clock, wall)
        elif self._clock is not None and (clock < self._clock or (live and self._rested)):
            if live and before is not None:
                self._tracks.clear()  # they are numbered from 1 again
                self._ahead = before + max(0.0, wall - self._read_at) - clock
            else:
                self._begin(source, clock, wall)
        self._source, self._clock, self._read_at = source, clock, wall
        self._live, self._rested = live, False

    def _begin(self, source: str, clock: float, wall: float) -> None:
        """Another source, or the same from an earlier place: nothing has been counted in it."""
        self._end_pass(wall)
        self._began_at = clock
        began = Event(wall, clock, "began", source)
        if self._log and self._log[-1].kind == "began":
            self._log.pop()  # gone through by hand: only where it ended is of interest
            if self._news:
                self._news.pop()
        if self._kept:
            self._tell(began)

    def _end_pass(self, wall: float) -> None:
        """What was counted up to here is told, and nothing of it is followed further."""
        own = self._own_clock
        passed = own is not None and own > self._began_at  # and not one frame alone, among which one searches by hand
        self._lap += passed
        for memory in self._kept:
            if isinstance(memory, _ZoneMemory):
                if memory.alarm:
                    self._end_alarm(memory, own or 0.0, wall)
            elif own is not None and memory.crossed:
                for direction, words in enumerate(memory.line.directions):
                    total = memory.total(direction)
                    self._tell(Event(wall, own, "total", memory.line.name, direction=words, number=total))
            memory.end_pass(kept=passed)
        self._tracks.clear()
        self._clock, self._ahead = None, 0.0

    def _end_alarm(self, memory: _ZoneMemory, own: float, wall: float) -> None:
        """Nobody looks any more."""
        memory.alarm = False
        self._tell(Event(wall, own, "over", memory.zone.name, number=memory.count))

    def _tell(self, event: Event) -> None:
        """Something has happened between two frames."""
        self._log.append(event)
        self._news.append(event)
        self._pending.append(event)

    def _forget_passages(self, memory: _LineMemory) -> None:
        for track in self._tracks.values():
            track.passages.pop(memory, None)

    def _summary(self, clock: float | None, events: tuple[Event, ...]) -> CountState:
        zones = {
            memory.zone.name: ZoneCount(memory.count, memory.alarm)
            for memory in self._kept
            if isinstance(memory, _ZoneMemory) and memory.known
        }
        lines = {
            memory.line.name: LineCount({label: (pair[0], pair[1]) for label, pair in memory.crossed.items()})
            for memory in self._kept
            if isinstance(memory, _LineMemory)
        }
        return CountState(clock, zones, lines, events)

    def _notice_tracks(self, detections: Detections, size: tuple[int, int], own: float) -> None:
        """Know again what has been seen before; what got a new number near where one of its class was lost is that."""
        for number in [number for number, track in self._tracks.items() if own - track.seen > _FORGOTTEN]:
            del self._tracks[number]
        if detections.track_id is None:
            return
        numbers = detections.track_id.tolist()
        here = set(numbers)
        for number, class_id, box in zip(
            numbers, detections.class_id.tolist(), detections.xyxy.astype(np.float64) / (*size, *size), strict=True
        ):
            if number < 0:
                continue
            track = self._tracks.get(number)
            if track is None:
                track = self._tracks[number] = _Track(class_id, detections.labels[class_id])
                lost = self._lost_near(box, class_id, here, own, size)
                if lost is not None:
                    track.passages = self._tracks.pop(lost).passages
            track.box, track.seen = box, own

    def _lost_near(
        self, box: NDArray[np.float64], class_id: int, here: set[int], own: float, size: tuple[int, int]
    ) -> int | None:
        nearest, least = None, math.inf
        scale = np.asarray(size, np.float64)
        wide = (box[2:] - box[:2]) * scale
        for number, track in self._tracks.items():
            if number in here or track.class_id != class_id or not 0 < own - track.seen <= _TAKEN_OVER:
                continue
            was = (track.box[2:] - track.box[:2]) * scale
            if (was > 2 * wide).any() or (wide > 2 * was).any():
                continue
            apart = float(np.hypot(*((box[:2] + box[2:] - track.box[:2] - track.box[2:]) / 2 * scale)))
            if apart < least and apart <= max(was.max(), wide.max()):
                nearest, least = number, apart
        return nearest

    def _cross(
        self,
        memory: _LineMemory,
        detections: Detections,
        where: NDArray[np.float64],
        counted: NDArray[np.bool_],
        size: tuple[int, int],
        own: float,
        wall: float,
    ) -> list[Event]:
        events: list[Event] = []
        if detections.track_id is None:
            return events
        for row in np.flatnonzero(counted & (detections.track_id >= 0)).tolist():
            track = self._tracks[int(detections.track_id[row])]
            sides = (track.box[2:] - track.box[:2]) * size
            passage = track.passages.setdefault(memory, _Passage())
            went = passage.step(memory.line, where[row], size, float(sides.min()))
            if went:
                pair = memory.crossed.setdefault(track.label, [0, 0])
                pair[0 if went > 0 else 1] += 1
                direction = memory.line.directions[0 if went > 0 else 1]
                total = memory.total(0 if went > 0 else 1)
                events.append(Event(wall, own, "crossed", memory.line.name, track.label, direction, total))
        return events


# ------------------------------------------------------------------------------------------------------ memory


class _Curve:
    """A number over time, kept in stretches of equal length that become longer when there are too many."""

    def __init__(self) -> None:
        self._step = _FINEST
        self._count = 0
        self._places = np.zeros(256, np.int64)  # of the stretches, counted from the clock's 0
        self._rows = np.zeros((3, 256), np.int64)  # least, most, last

    def add(self, clock: float, value: int) -> None:
        place, count = math.floor(clock / self._step + 1e-6), self._count
        if count and self._places[count - 1] >= place:
            row = self._rows[:, count - 1]
            row[:] = min(row[0], value), max(row[1], value), value
            return
        if count == len(self._places):
            self._places = np.concatenate([self._places, np.zeros_like(self._places)])
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)], axis=1)
        self._places[count] = place
        self._rows[:, count] = value
        self._count = count + 1
        while self._count > _POINTS:
            self._halve()

    def values(self, place: str, what: str, lap: int, *, forth: bool = True) -> Values:
        least, most, last = self._rows[:, : self._count].copy()
        seconds = (self._places[: self._count] * self._step).astype(np.float64)
        return Values(place, what, seconds, least, most, last, forth, lap)

    def _halve(self) -> None:
        """The same in stretches that are twice as long."""
        self._step *= 2
        places, rows = self._places[: self._count] // 2, self._rows[:, : self._count]
        places, first = np.unique(places, return_index=True)
        least, most = np.minimum.reduceat(rows[0], first), np.maximum.reduceat(rows[1], first)
        last = rows[2, np.append(first[1:], self._count) - 1]
        self._count = len(places)
        self._places[: self._count] = places
        self._rows[:, : self._count] = least, most, last


@dataclass(eq=False)
class _ZoneMemory:
    """What is known of a zone."""

    zone: Zone
    samples: collections.deque[tuple[float, int]] = field(default_factory=collections.deque)
    count: int = 0
    wrong_since: float | None = None
    alarm: bool = False
    curve: _Curve = field(default_factory=_Curve)
    before: _Curve = field(default_factory=_Curve)  # of the pass before

    @property
    def place(self) -> Place:
        return self.zone

    @property
    def known(self) -> bool:
        return bool(self.samples)

    def change(self, zone: Zone) -> None:
        if not _same_form(zone, self.zone):
            self.look_anew()
        self.zone = zone

    def look_anew(self) -> None:
        """What was seen up to now says nothing of what is in it now."""
        self.samples.clear()
        self.wrong_since = None

    def end_pass(self, *, kept: bool) -> None:
        """`kept`: it is the pass before now."""
        self.samples.clear()
        self.before, self.curve = (self.curve if kept else self.before), _Curve()
        self.count, self.wrong_since, self.alarm = 0, None, False

    def take(self, count: int, clock: float) -> Literal["alarm", "over"] | None:
        samples = self.samples
        known = bool(samples)
        if samples and samples[-1][0] >= clock:
            samples.pop()
        samples.append((clock, count))
        while len(samples) > 1 and (
            clock - samples[0][0] > _OLDEST or (clock - samples[0][0] > _SMOOTH and len(samples) > _FEWEST)
        ):
            samples.popleft()
        ordered = sorted(number for _, number in samples)
        low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        self.count = min(max(self.count, low), high) if known else count  # of two medians the one that it was
        self.curve.add(clock, self.count)
        if not self.zone.wrong(self.count):
            self.wrong_since = None
        elif self.wrong_since is None:
            self.wrong_since = clock
        before = self.alarm
        self.alarm = self.wrong_since is not None and (before or clock - self.wrong_since >= self.zone.seconds)
        return None if self.alarm == before else "alarm" if self.alarm else "over"

    def values(self, lap: int, *, before: bool = False) -> list[Values]:
        return [(self.before if before else self.curve).values(self.zone.name, "in the zone", lap)]


@dataclass(eq=False)
class _LineMemory:
    """What is known of a line; `crossed`: how many of each class have gone forth and back."""

    line: Line
    crossed: dict[str, list[int]] = field(default_factory=dict)
    curves: tuple[_Curve, _Curve] = field(default_factory=lambda: (_Curve(), _Curve()))
    before: tuple[_Curve, _Curve] = field(default_factory=lambda: (_Curve(), _Curve()))  # of the pass before

    @property
    def place(self) -> Place:
        return self.line

    def total(self, direction: int) -> int:
        return sum(pair[direction] for pair in self.crossed.values())

    def note(self, clock: float) -> None:
        for direction, curve in enumerate(self.curves):
            curve.add(clock, self.total(direction))

    def end_pass(self, *, kept: bool) -> None:
        """`kept`: it is the pass before now."""
        self.crossed.clear()
        self.before, self.curves = (self.curves if kept else self.before), (_Curve(), _Curve())

    def values(self, lap: int, *, before: bool = False) -> list[Values]:
        forth, back = self.before if before else self.curves
        first, second = self.line.directions
        return [forth.values(self.line.name, first, lap), back.values(self.line.name, second, lap, forth=False)]


def _memory(place: Place) -> _ZoneMemory | _LineMemory:
    return _ZoneMemory(place) if isinstance(place, Zone) else _LineMemory(place)


@dataclass(eq=False)
class _Track:
    """A thing that is followed.

    Attributes:
        box: where it was last, in shares of the picture.
        seen: when.
        passages: how it stands to each line.
    """

    class_id: int
    label: str
    box: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))
    seen: float = 0.0
    passages: dict[_LineMemory, _Passage] = field(default_factory=dict)


@dataclass(eq=False)
class _Passage:
    """How a thing stands to a line.

    Attributes:
        side: on which it has surely been last: 1 to the right of who looks along the line, -1 to the left; 0: on none.
        point: where it was last.
        at: where it has gone through the line prolonged last, in lengths of the line from its start.
    """

    side: int = 0
    point: NDArray[np.float64] | None = None
    at: float = math.nan

    def step(self, line: Line, point: NDArray[np.float64], size: tuple[int, int], shorter: float) -> int:
        """It is here now: 1 or -1 when that makes it cross the line, to that side; otherwise 0.

        It crosses only once it is clear of the line: a box that trembles on it does not.
        """
        scale = np.asarray(size, np.float64)
        start, end = np.asarray(line.start) * scale, np.asarray(line.end) * scale
        along = end - start
        length = float(np.hypot(*along))
        here = point * scale - start
        away = float(along[0] * here[1] - along[1] * here[0]) / length
        if self.point is not None:
            there = self.point * scale - start
            was = float(along[0] * there[1] - along[1] * there[0]) / length
            if (was >= 0) != (away >= 0):
                self.at = float((there + was / (was - away) * (here - there)) @ along) / length**2
        self.point = point
        diagonal = float(np.hypot(*scale))
        if abs(away) <= min(max(_TREMBLES * shorter, _NEAREST * diagonal), _FARTHEST * diagonal):
            return 0
        side = 1 if away > 0 else -1
        crossed = self.side == -side and 0 <= self.at <= 1
        self.side = side
        return side if crossed else 0


# ------------------------------------------------------------------------------------------------------- files


def places_to_json(places: Iterable[Place]) -> str:
    """Places as a text that `places_from_json` reads."""
    return json.dumps([_to_dict(place) for place in places], ensure_ascii=False)


def places_from_json(text: str) -> tuple[Place, ...]:
    """Places from what `places_to_json` made.

    Raises:
        EngineError: it is damaged.
    """
    try:
        rows = json.loads(text)
        places = tuple(_from_dict(row) for row in rows)
        Counter(places)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EngineError(
            "What was to be counted here could not be read.", "Draw the zones and lines again."
        ) from error
    return places


def write_log(path: Path, log: Sequence[Event]) -> None:
    """What has happened as a table with `LOG_COLUMNS`, UTF-8.

    Raises:
        WriteError: the folder cannot be written to or the disk is full.
    """
    rows: list[tuple[object, ...]] = []
    for event in log:
        moment = datetime.datetime.fromtimestamp(event.time).astimezone().isoformat(timespec="milliseconds")
        number: object = "" if event.kind == "began" else event.number
        clock = f"{event.clock:.3f}"
        rows.append((moment, clock, event.place, event.kind, event.label, event.direction, number))
    _write_table(path, LOG_COLUMNS, rows)


class CountLog:
    """What has happened at one source, in a file that is only added to while there is room in it.

    A line an event. What is damaged, such as the line at which the program was killed, is passed over.
    """

    def __init__(self, name: str) -> None:
        """`name`: of the source, as a file may be called."""
        self.path = store.data_folder() / "counting" / f"{name}.jsonl"

    def read(self) -> tuple[Event, ...]:
        """The newest of it, at most as many as a `Counter` keeps; nothing was written: nothing.

        Raises:
            EngineError: it cannot be read.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise EngineError(
                f"What has been counted here before could not be read: {error.strerror or error}.",
                f"Check that {self.path} may be read.",
            ) from error
        events: list[Event] = []
        for event in map(_event, lines):
            if event is None:
                continue
            if event.kind == "began" and events and events[-1].kind == "began":
                events.pop()  # as in a log that was never closed
            events.append(event)
        return tuple(events[-_LOG_KEPT:])

    def append(self, events: Sequence[Event]) -> None:
        """This has happened since.

        Raises:
            WriteError: the folder cannot be written to or the disk is full.
        """
        # Each line begins with its end: what follows half a line is still a line of its own.
        data = "".join(f"\n{json.dumps(_row(event), ensure_ascii=False)}" for event in events).encode()
        try:
            new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(data)
                size = file.tell()
            if size > _LARGEST:
                kept = b"".join(b"\n" + line for line in self.path.read_bytes().splitlines()[-_LOG_KEPT:])
                store.replace_file(self.path, lambda temporary: temporary.write_bytes(kept))
        except OSError as error:
            raise store.write_error(self.path, error) from error
        if new:
            self._make_room()

    def remove(self) -> None:
        """Forget it.

        Raises:
            WriteError: it is still there.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise store.write_error(self.path, error) from error

    def _make_room(self) -> None:
        """The logs of sources at which nothing has happened for the longest go."""
        with contextlib.suppress(OSError):  # another window may do the same
            logs = sorted(self.path.parent.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
            for path in logs[:-_LOGS]:
                if path != self.path:
                    path.unlink(missing_ok=True)


def write_values(path: Path, values: Sequence[Values]) -> None:
    """The numbers over time as a table with `VALUE_COLUMNS`, one stretch of time of one place a line, UTF-8.

    Raises:
        WriteError: the folder cannot be written to or the disk is full.
    """
    rows = [
        (f"{seconds:.1f}", each.place, each.what, least, most, each.lap)
        for each in values
        for seconds, least, most in zip(each.seconds.tolist(), each.least.tolist(), each.most.tolist(), strict=True)
    ]
    _write_table(path, VALUE_COLUMNS, rows)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    data = text.getvalue().encode()
    store.replace_file(path, lambda temporary: temporary.write_bytes(data))


def _row(event: Event) -> list[object]:
    return [event.time, event.clock, event.kind, event.place, event.label, event.direction, event.number]


def _event(line: bytes) -> Event | None:
    """An event from a line of a `CountLog`; None: it is none."""
    try:
        moment, clock, kind, place, label, direction, number = json.loads(line)
        event = Event(float(moment), float(clock), kind, place, label, direction, int(number))
        datetime.datetime.fromtimestamp(event.time)
    except (ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None
    words = ("left", "right", "up", "down") if kind in ("crossed", "total") else ("",)
    well = kind in get_args(Happening) and isinstance(place, str) and isinstance(label, str) and direction in words
    return event if well and math.isfinite(event.clock) else None


def _to_dict(place: Place) -> dict[str, Any]:
    common = {"name": place.name, "classes": sorted(place.classes), "spot": place.spot}
    points = [list(point) for point in place.corners]
    if isinstance(place, Line):
        return {"kind": "line", "points": points, **common}
    alarm = {"below": place.below, "above": place.above, "seconds": place.seconds}
    return {"kind": "zone", "points": points, **common, **alarm}


def _from_dict(row: Mapping[str, Any]) -> Place:
    points = tuple((float(x), float(y)) for x, y in row["points"])
    name, classes, spot = row["name"], frozenset(row["classes"]), row["spot"]
    if not isinstance(name, str) or not all(isinstance(each, str) for each in classes):
        raise ValueError("names are texts")
    if row["kind"] == "line":
        start, end = points
        return Line(name, start, end, classes, spot)
    if row["kind"] != "zone":
        raise ValueError("neither zone nor line")
    below, above = (None if row[limit] is None else int(row[limit]) for limit in ("below", "above"))
    return Zone(name, points, classes, spot, below, above, float(row["seconds"]))


# ----------------------------------------------------------------------------------------------------- geometry


def _same_form(one: Place, other: Place) -> bool:
    """Whether the same things are counted in both."""
    return (one.corners, one.classes, one.spot) == (other.corners, other.classes, other.spot)


def _check(name: str, corners: Sequence[Point], spot: str) -> None:
    if not name.strip():
        raise ValueError("a place has a name")
    if spot not in get_args(Spot):
        raise ValueError(f"no such point of a box: {spot}")
    if not all(0 <= number <= 1 for point in corners for number in point):
        raise ValueError("places are shares of the picture, 0 to 1")


def _extent(corners: Sequence[Point]) -> float:
    """Area of the box around a polygon: one that overlaps itself may have none of its own."""
    across, down = zip(*corners, strict=True)
    return (max(across) - min(across)) * (max(down) - min(down))


def _spots(detections: Detections, size: tuple[int, int], spot: Spot) -> NDArray[np.float64]:
    """(N, 2): where things are, in shares of the picture."""
    boxes = detections.xyxy.astype(np.float64)
    down = boxes[:, 3] if spot == "foot" else (boxes[:, 1] + boxes[:, 3]) / 2
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2 / size[0], down / size[1]], axis=1).clip(0, 1 - 1e-9)


def _counted(place: Place, detections: Detections) -> NDArray[np.bool_]:
    if not place.classes:
        return np.ones(len(detections), bool)
    wanted = np.array([label in place.classes for label in detections.labels], bool)
    counted: NDArray[np.bool_] = wanted[detections.class_id]
    return counted
