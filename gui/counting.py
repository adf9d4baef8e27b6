"""What is counted in Live: zones and lines in the picture of a source, remembered for that source.

Results enter frame by frame; the numbers are drawn over the picture (recordings and snapshots have them, too) and go to
whoever shows them. Nothing here is a widget. What is counted is what `Sight` shows, so that one can see what counts;
and `Sight` shows the classes that a place names, whatever else is hidden.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from PySide6.QtCore import QObject, QTimer, Signal

from engine import (
    Counter,
    CountLog,
    CountState,
    EngineError,
    Line,
    Place,
    Values,
    Zone,
    places_from_json,
    places_to_json,
)
from gui.bridge import Call, Errands
from gui.overlay import Area, Overlay
from gui.settings import Settings
from gui.sight import Sight

if TYPE_CHECKING:
    from engine import Event, Frame, Result

Points: TypeAlias = tuple[tuple[float, float], ...]

# Of Okabe and Ito's colours, and others that are as far apart: without red, which is the alarm's.
COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#8976ff", "#9a8b2f")
ARROWS = {"right": "→", "left": "←", "down": "↓", "up": "↑"}
UNDONE = 100  # steps that can be undone
SAVED = 2000  # milliseconds after which what has happened is written down
SOURCES = 24  # of which the numbers are kept while the window is open
ON, NOTICE, SOUND = "counting/on", "counting/notice", "counting/sound"
READY: dict[str, tuple[str, Points]] = {
    "whole": ("Whole picture", ((0, 0), (1, 0), (1, 1), (0, 1))),
    "left": ("Left third", ((0, 0), (1 / 3, 0), (1 / 3, 1), (0, 1))),
    "middle": ("Middle third", ((1 / 3, 0), (2 / 3, 0), (2 / 3, 1), (1 / 3, 1))),
    "right": ("Right third", ((2 / 3, 0), (1, 0), (1, 1), (2 / 3, 1))),
    "upper": ("Upper half", ((0, 0), (1, 0), (1, 0.5), (0, 0.5))),
    "lower": ("Lower half", ((0, 0.5), (1, 0.5), (1, 1), (0, 1))),
    "upright": ("Upright line", ((0.5, 1), (0.5, 0))),
    "level": ("Level line", ((0, 0.5), (1, 0.5))),
}
"""Places that need no mouse: what they are called, and their corners. Two of them are a line."""


class Counting(QObject):
    """The places of the source that plays, and what is counted in them.

    While the window is open every source keeps its numbers, its chart and its log, so one can go back to it. The log
    is also written to the disk, in a thread, and read again when the source is opened next time.

    Attributes:
        places: the zones and lines.
        on: they are counted in, and drawn.
        chosen: name of the one that is looked at; "": none.
        notice, sound: how a person wants to be told of an alarm.
    Signals:
        changed(): the places are others, or another one is looked at, or it was switched on or off.
        counted(): there are new numbers.
        redraw(): something else is to be drawn over the frame that is shown.
        alarm(str): one begins; in words.
        calm(): the last one that held is over.
        failed(EngineError): what was remembered cannot be read, or what has happened cannot be written down.
    """

    changed = Signal()
    counted = Signal()
    redraw = Signal()
    alarm = Signal(str)
    calm = Signal()
    failed = Signal(object)

    def __init__(
        self,
        settings: Settings,
        sight: Sight,
        *,
        live: Callable[[], bool],
        call: Call,
        parent: QObject | None = None,
    ) -> None:
        """The parts of the window that it needs.

        Args:
            live: whether what plays cannot be gone back in.
            call: runs something in a thread and gives what it returns to its second argument here.
        """
        super().__init__(parent)
        self._settings, self._sight, self._live = settings, sight, live
        self._counter = Counter()
        self._counters: dict[str, Counter] = {}  # of each source that was open, the one that plays last
        self._key = ""
        self._disk = Errands(call, self._disk_failed)
        self._unread: set[Counter] = set()  # those whose log is still to be read
        self._told = False  # that the disk is not to be had
        self._unsaved: dict[str, list[Event]] = {}  # of each source, what is not on the disk yet
        self._writing: dict[str, int] = {}  # how many of these are being written just now
        self._saving = QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(SAVED)
        self._saving.timeout.connect(self._save)
        self._active = False
        self._last: Result | None = None
        self._before: list[tuple[tuple[Place, ...], str]] = []  # the places and what was chosen, step by step
        self.on = settings.flag(ON, True)
        self.notice, self.sound = settings.flag(NOTICE, True), settings.flag(SOUND, False)
        self.chosen = ""
        sight.changed.connect(self._count_again)

    # what there is --------------------------------------------------------------------------------------------------

    @property
    def places(self) -> tuple[Place, ...]:
        return self._counter.places

    @property
    def state(self) -> CountState:
        return self._counter.state

    @property
    def log(self) -> tuple[Event, ...]:
        return self._counter.log

    @property
    def values(self) -> tuple[Values, ...]:
        return self._counter.values()

    @property
    def active(self) -> bool:
        """Live is open."""
        return self._active

    @property
    def runs(self) -> bool:
        """A network runs that finds things, in Live."""
        return self._active and self._sight.card is not None

    def place(self, name: str) -> Place | None:
        return next((place for place in self.places if place.name == name), None)

    def colour(self, name: str) -> str:
        """Of a zone or line, on the picture and in the chart."""
        names = [place.name for place in self.places]
        return COLOURS[names.index(name) % len(COLOURS)] if name in names else COLOURS[0]

    # what a person does ---------------------------------------------------------------------------------------------

    def add(self, points: Points, name: str = "") -> str:
        """A zone with these corners, or a line with two; its name. "" if it is too small or there are too many."""
        line = len(points) == 2
        name = self._free_name(name or ("Line" if line else "Zone"), bare=bool(name))
        try:
            place: Place = Line(name, points[0], points[1]) if line else Zone(name, points)
            self._use((*self.places, place), chosen=name)
        except ValueError:
            return ""
        return name

    def replace(self, name: str, place: Place, *, going_on: bool = False) -> bool:
        """Another form, name or alarm; False if that cannot be, for the name is another's.

        Args:
            going_on: it belongs to the step before, with which it is undone.
        """
        places = tuple(place if each.name == name else each for each in self.places)
        try:
            self._use(places, chosen=place.name if self.chosen == name else self.chosen, going_on=going_on)
        except ValueError:
            return False
        return True

    def move_corner(self, name: str, corner: int, point: tuple[float, float], *, going_on: bool = False) -> bool:
        """A corner lies elsewhere; where that would leave nothing of the place it stays, and this is False."""
        place = self.place(name)
        if place is None:
            return False
        points = tuple(point if i == corner else each for i, each in enumerate(place.corners))
        return self._put(place, points, going_on=going_on)

    def move(
        self, name: str, right: float, down: float, *, origin: Points | None = None, going_on: bool = False
    ) -> bool:
        """All of a place lies elsewhere, by so many shares of the picture, as far as the picture goes.

        Args:
            origin: corners that this is counted from; None: where they are.

        Returns:
            Whether it has moved.
        """
        place = self.place(name)
        if place is None:
            return False
        corners = place.corners if origin is None else origin
        across, along = zip(*corners, strict=True)
        right = min(1 - max(across), max(-min(across), right))
        down = min(1 - max(along), max(-min(along), down))
        return self._put(place, tuple((x + right, y + down) for x, y in corners), going_on=going_on)

    def remove(self, name: str) -> None:
        left = tuple(each for each in self.places if each.name != name)
        chosen = left[-1].name if left else ""
        self._use(left, chosen=chosen if self.chosen == name else self.chosen)

    @property
    def can_undo(self) -> bool:
        return bool(self._before)

    def undo(self) -> None:
        """The places as they were one step before; a place that comes back counts from nothing."""
        if self._before:
            places, self.chosen = self._before.pop()
            self._counter.use(places)
            self._changed()

    def choose(self, name: str) -> None:
        """Look at a place."""
        if name != self.chosen:
            self.chosen = name
            self.changed.emit()

    def set_on(self, on: bool) -> None:
        """Count and draw, or not."""
        if on != self.on:
            self.on = on
            self._settings.set(ON, on)
            self._tell_sight()
            self._count_again()
            self.changed.emit()
            self.redraw.emit()

    def set_telling(self, *, notice: bool | None = None, sound: bool | None = None) -> None:
        """How one wants to be told of an alarm from now on; None: as before."""
        self.notice = self.notice if notice is None else notice
        self.sound = self.sound if sound is None else sound
        self._settings.set(NOTICE, self.notice)
        self._settings.set(SOUND, self.sound)

    def start_again(self) -> None:
        """All numbers from nothing, and an empty log, also on the disk."""
        self._counter.start_again()
        self._unread.discard(self._counter)
        if self._key:
            self._unsaved.pop(self._key, None)
            self._disk.do(self._log_file(self._key).remove, lasting=True)
        self._count_again()
        self.counted.emit()
        self.redraw.emit()

    # what happens ---------------------------------------------------------------------------------------------------

    def set_active(self, active: bool) -> None:
        """Live is opened or left."""
        if active != self._active:
            self._active = active
            self._tell_sight()
            self.changed.emit()

    def set_source(self, spec: str) -> None:
        """Another source plays: the places that are remembered for it, and what was counted in them so far."""
        key = f"counting/{hashlib.sha256(spec.encode()).hexdigest()[:16]}"
        self._last = None
        if key == self._key:
            return
        self._rest()
        self._key = key
        known = self._counters.pop(key, None)
        self._counter = self._counters[key] = Counter(self._remembered(key)) if known is None else known
        if known is None:
            self._read(self._counter, key)
        for oldest in list(self._counters)[:-SOURCES]:
            del self._counters[oldest]
        self._before.clear()
        self.chosen = self.places[0].name if self.places else ""
        self._tell_sight()
        self.changed.emit()
        self.counted.emit()

    def take(self, result: Result) -> None:
        """A frame has been read, and `Sight` has taken it."""
        if not self._active or result.detections is None:
            return
        self._last = result
        self._count(result)

    def over(self, frame: Frame, overlay: Overlay | None) -> Overlay | None:
        """What is drawn over a frame, with the zones and lines."""
        if not (self._active and self.on and self.places):
            return overlay
        height, width = frame.image.shape[:2]
        areas = tuple(
            Area(
                tuple((x * width, y * height) for x, y in place.corners),
                self.words(place),
                self.colour(place.name),
                self.alarmed(place.name),
            )
            for place in self.places
        )
        return replace(overlay or Overlay((width, height)), areas=areas)

    def alarmed(self, name: str) -> bool:
        """The alarm of a zone holds."""
        zone = self.state.zones.get(name) if self.runs and self.on else None
        return zone is not None and zone.alarm

    def words(self, place: Place) -> str:
        """A place with its numbers, as it stands on the picture."""
        numbers = self.numbers(place)
        if isinstance(place, Zone) and self.alarmed(place.name):
            numbers = f"{numbers}, {wrong_words(place, self.state.zones[place.name].count)}"
        return f"{place.name}: {numbers}" if numbers else place.name

    def numbers(self, place: Place) -> str:
        """How many are in a zone, or have crossed a line in each direction; "" while nobody counts."""
        if not (self.runs and self.on):
            return ""
        if isinstance(place, Zone):
            zone = self.state.zones.get(place.name)
            return "" if zone is None else str(zone.count)
        line = self.state.lines.get(place.name)
        if line is None:
            return ""
        forth, back = (ARROWS[direction] for direction in place.directions)
        return f"{forth} {line.forth} · {back} {line.back}"

    def close(self) -> None:
        """Write down what is not written yet. To be called when nothing is done in threads any more."""
        self._disk.close()
        self._rest()
        for key, waiting in self._unsaved.items():
            left = waiting[self._writing.get(key, 0) :]
            if left:
                with contextlib.suppress(EngineError):
                    self._log_file(key).append(left)

    # the disk -------------------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """The source that has played is left."""
        self._counter.rest()
        self._save()

    def _save(self) -> None:
        self._saving.stop()
        key = self._key
        if not key:
            self._counter.take_news()
            return
        waiting = self._unsaved.setdefault(key, [])
        waiting += self._counter.take_news()
        if not waiting or key in self._writing:
            return
        some = list(waiting)
        self._writing[key] = len(some)

        def written(_: object) -> None:
            self._writing.pop(key, None)
            if waiting[: len(some)] == some:  # nobody has started again meanwhile
                del waiting[: len(some)]
            self._told = False
            if waiting and key == self._key:
                self._saving.start()

        def failed(error: BaseException) -> None:
            self._writing.pop(key, None)
            self._disk_failed(error)
            if key == self._key:
                self._saving.start()

        self._disk.do(lambda: self._log_file(key).append(some), written, failed, lasting=True)

    def _read(self, counter: Counter, key: str) -> None:
        """What has happened at a source before the window was opened, or before too many others were."""

        def done(log: tuple[Event, ...]) -> None:
            if counter in self._unread:
                self._unread.discard(counter)
                counter.recall(log)
                self.counted.emit()

        self._unread.add(counter)
        self._disk.do(self._log_file(key).read, done)

    def _disk_failed(self, error: BaseException) -> None:
        if not self._told:  # it is tried every few seconds
            self._told = True
            self.failed.emit(error)

    @staticmethod
    def _log_file(key: str) -> CountLog:
        return CountLog(key.rpartition("/")[2])

    # inside ---------------------------------------------------------------------------------------------------------

    def _remembered(self, key: str) -> tuple[Place, ...]:
        """The places of a source, as they were left."""
        text = self._settings.text(key)
        try:
            return places_from_json(text) if text else ()
        except EngineError as error:
            self.failed.emit(error)
            return ()

    def _free_name(self, name: str, *, bare: bool) -> str:
        """This name, with the first number that makes it one of its own."""
        used = {place.name for place in self.places}
        if bare and name not in used:
            return name
        return next(f"{name} {i}" for i in range(2 if bare else 1, len(used) + 3) if f"{name} {i}" not in used)

    def _put(self, place: Place, points: Points, *, going_on: bool) -> bool:
        """Other corners, if something is left of the place; whether they are others."""
        try:
            moved: Place = (
                replace(place, start=points[0], end=points[1])
                if isinstance(place, Line)
                else replace(place, corners=points)
            )
        except ValueError:
            return False
        return moved != place and self.replace(place.name, moved, going_on=going_on)

    def _use(self, places: tuple[Place, ...], *, chosen: str, going_on: bool = False) -> None:
        """These places from now on, a step that can be undone. Raises ValueError where they cannot be."""
        before = (self.places, self.chosen)
        self._counter.use(places)
        if not going_on:
            self._before = [*self._before[-UNDONE:], before]
        self.chosen = chosen
        self._changed()

    def _changed(self) -> None:
        if self._key:
            self._settings.set(self._key, places_to_json(self.places))
        self._tell_sight()
        self._count_again()
        self.changed.emit()
        self.redraw.emit()

    def _tell_sight(self) -> None:
        """Which classes are named by a place that is counted in."""
        places = self.places if self.on and self._active else ()
        self._sight.set_counted(frozenset().union(*(place.classes for place in places)))

    def _count(self, result: Result) -> None:
        shown, frame = self._sight.shown, result.frame
        if shown is None or not self.on or not self.places:
            return
        height, width = frame.image.shape[:2]
        state = self._counter.take(
            shown,
            size=(width, height),
            clock=frame.clock,
            source=frame.source,
            numbering=f"{result.model} {result.generation}",
            live=self._live(),
        )
        if state.events and not self._saving.isActive():
            self._saving.start()
        for event in state.events:
            place = self.place(event.place)
            if event.kind == "alarm" and isinstance(place, Zone):
                self.alarm.emit(f"{place.name}: {event.number}, {wrong_words(place, event.number)}")
        over = any(event.kind == "over" for event in state.events)
        if over and not any(zone.alarm for zone in state.zones.values()):
            self.calm.emit()
        self.counted.emit()

    def _count_again(self) -> None:
        """The last frame, with other places or with what is shown of it now."""
        if self._last is not None and self._active and self._last is self._sight.result:
            self._count(self._last)
            self.redraw.emit()


def wrong_words(zone: Zone, count: int) -> str:
    """Why this number is an alarm."""
    if zone.below is not None and count < zone.below:
        return f"fewer than {zone.below}"
    return f"more than {zone.above}"


def alarm_words(zone: Zone) -> str:
    """When a zone raises the alarm; "": never."""
    limits = [f"under {zone.below}"] if zone.below is not None else []
    limits += [f"over {zone.above}"] if zone.above is not None else []
    return f"{' or '.join(limits)} for {zone.seconds:g} s" if limits else ""


def class_words(place: Place) -> str:
    """What is counted in a place."""
    return ", ".join(sorted(place.classes)) if place.classes else "everything"
