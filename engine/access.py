"""Who came, when, and how sure that is: an optional log over the live flow, with a list of those who may come in.

An example for a course and for one's own door at home, and off until it is switched on. What faces a frame had goes
in; visits come out, one for each stay of a person and not one for each frame. They are kept in the gallery, sealed
like it and deleted with it; where people want it, a line for each is added to a file of theirs, which is not sealed.

It is no lock: a photograph of somebody may be taken for them. `engine.liveness` makes that harder, not impossible.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import store
from engine.concurrency import Lock
from engine.gallery import Gallery, Visit
from engine.types import FaceMatch

COLUMNS = ("time", "name", "probability", "allowed")
"""Of the file of lines; the name of somebody unknown is empty."""

LONGEST_KEPT = 3650  # days
_SETTING = "access"
_KNOWN = 0.5  # seconds for which a face must have the same name before a visit begins
_UNKNOWN = 2.0  # seconds for which it must have none: who has just come in will have one in a moment
_CLEAR = 0.3  # quality from which a face without a name is a stranger's; a blurred one may be anybody's
_OFTEN = 30.0  # seconds after which a visit that goes on is written again
_HOUR = 3600.0


@dataclass(frozen=True)
class AccessRules:
    """How the log is kept.

    Attributes:
        on: it is kept at all.
        allowed: ids of the people who may come in.
        strangers: visits of unknown people are kept, too.
        absence: seconds without being seen after which a visit has ended.
        days: for which visits are kept; 0: until they are deleted.
        file: gets a line for each visit; None: no file does.
    """

    on: bool = False
    allowed: frozenset[int] = field(default=frozenset(), repr=False)
    strangers: bool = True
    absence: float = 5.0
    days: int = 30
    file: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.absence <= _HOUR:
            raise ValueError("a visit ends after 1 second to one hour")
        if not 0 <= self.days <= LONGEST_KEPT:
            raise ValueError(f"visits are kept for 0 to {LONGEST_KEPT} days")


@dataclass(eq=False)
class _Stay:
    """A visit that goes on, or has ended and is not written yet."""

    person: int | None
    name: str
    began: float
    ended: float
    probability: float
    allowed: bool
    row: int = 0  # in the gallery, once it is there
    told: bool = False  # its line is in the file
    written: float | None = None  # until when the gallery knows of it; None: something else has changed

    @property
    def visit(self) -> Visit:
        return Visit(self.row, self.person, self.began, self.ended, self.probability, self.allowed)


@dataclass(eq=False)
class _Track:
    """A face that is followed.

    Attributes:
        person: what the last frames call it.
        since: when they began to.
        sights: how many they are.
        seen: the last of them.
        named: when it had a name last.
        stay: the visit that it belongs to.
    """

    person: int | None
    since: float
    sights: int = 0
    seen: float = 0.0
    named: float = float("-inf")
    stay: _Stay | None = None


class AccessLog:
    """Makes visits of what the live flow sees. `see` never waits; `load`, `use` and `save` read or write files.

    `see` may be called in one thread while another one saves.
    """

    def __init__(self, gallery: Gallery, *, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._gallery = gallery
        self._clock = clock
        self._saving = Lock()  # one writes at a time
        self._lock = Lock()  # guards all below
        self._rules = AccessRules()
        self._tracks: dict[int, _Track] = {}
        self._stays: list[_Stay] = []  # that go on
        self._unsaved: list[_Stay] = []
        self._time = float("-inf")
        self._tidied = float("-inf")

    @property
    def rules(self) -> AccessRules:
        """Those that hold now; off until `load` or `use` was called."""
        return self._rules

    def load(self) -> AccessRules:
        """Follow the rules that the gallery keeps; to be called again when it has been unlocked or deleted.

        Visits that are older than the rules allow are deleted, also where the log is off.

        Raises:
            EngineError: as every call of `Gallery`; it is locked, for instance.
        """
        rules = _rules(self._gallery.setting(_SETTING))
        self._follow(rules)
        self._tidy(rules, self._clock())
        return rules

    def use(self, rules: AccessRules) -> None:
        """Follow these rules from now on and keep them in the gallery.

        Raises:
            EngineError: as every call of `Gallery`.
            WriteError: the file of lines cannot be written to; the rules are as they were.
        """
        if rules.on and rules.file is not None:
            _append(rules.file, "")
        self._gallery.set_setting(_SETTING, _values(rules))
        self._follow(rules)
        self._tidy(rules, self._clock())
        self.save()

    def see(self, faces: Sequence[FaceMatch], tracks: Sequence[int] | None, *, time: float) -> list[Visit]:
        """Take in one frame.

        Args:
            faces: of the frame.
            tracks: their numbers (`Detections.track_id`) in the order of `faces`, -1 where a face is not followed yet;
                None: a picture by itself, which is no visit.
            time: when it was taken, in seconds since 1970.

        Returns:
            Visits that have begun with this frame, or have been somebody unknown's until now. They are in the gallery
            when `save` has been called.
        """
        with self._lock:
            if not self._rules.on or tracks is None:
                return []
            if time < self._time - 1:  # the clock was set back
                self._end()
            self._time = time
            self._forget_the_absent(time)
            begun = []
            for face, number in zip(faces, tracks, strict=True):
                if number >= 0 and (stay := self._seen(face, int(number), time)) is not None:
                    begun.append(stay.visit)
            for stay in self._stays:
                if stay.written is not None and time - stay.written >= _OFTEN:
                    self._note(stay)
            return begun

    @property
    def present(self) -> tuple[Visit, ...]:
        """Visits that go on."""
        with self._lock:
            return tuple(stay.visit for stay in self._stays)

    @property
    def unsaved(self) -> bool:
        """There is something for `save` to do."""
        with self._lock:
            return bool(self._unsaved) or self._due()

    def leave(self) -> None:
        """Everybody's visit has ended: the camera was switched off."""
        with self._lock:
            self._end()

    def save(self) -> None:
        """Write what has happened since the last time, and delete what is older than the rules allow.

        Where the log has been switched off or everything deleted meanwhile, nothing is written and all is forgotten.

        Raises:
            EngineError: as every call of `Gallery`; what could not be written is tried again the next time.
            WriteError: the file of lines cannot be written to; the gallery has the visits nevertheless.
        """
        with self._saving:
            rules = _rules(self._gallery.setting(_SETTING))
            if not rules.on:
                self._follow(rules)
                return
            with self._lock:
                self._rules = rules
                work = [(stay, stay.visit, stay.name) for stay in self._unsaved]
                self._unsaved = []
                tidy, now = self._due(), self._time
            try:
                self._write(work)
                if tidy:
                    self._tidy(rules, now)
                self._tell(work, rules.file)
            except BaseException:
                with self._lock:
                    self._unsaved = [
                        *(stay for stay, _, _ in work if stay.written is None or not stay.told),
                        *(stay for stay in self._unsaved if all(stay is not each for each, _, _ in work)),
                    ]
                raise

    # ----------------------------------------------------------------------------------------------- inside

    def _follow(self, rules: AccessRules) -> None:
        with self._lock:
            self._rules = rules
            if not rules.on:
                self._tracks, self._stays, self._unsaved = {}, [], []

    def _tidy(self, rules: AccessRules, now: float) -> None:
        if rules.days:
            self._gallery.delete_visits(before=now - rules.days * 24 * _HOUR)
            with self._lock:
                self._tidied = now

    def _forget_the_absent(self, time: float) -> None:
        for stay in [stay for stay in self._stays if time - stay.ended > self._rules.absence]:
            self._stays.remove(stay)
            self._note(stay)
        for number in [row for row, track in self._tracks.items() if time - track.seen > self._rules.absence]:
            del self._tracks[number]

    def _seen(self, face: FaceMatch, number: int, time: float) -> _Stay | None:
        """One face of a frame; gives the visit that begins with it."""
        person = face.person if face.name is not None else None
        track = self._tracks.setdefault(number, _Track(person, since=time))
        unclear = face.embedding is None or (face.quality is not None and face.quality.overall < _CLEAR)
        if person is None and unclear:  # it says nothing, but somebody is there
            track.seen = time
            if track.stay is not None and (track.stay.person is None or time - track.named <= self._rules.absence):
                self._go_on(track.stay, time, 0.0)
            return None
        if person != track.person:
            track.person, track.since, track.sights = person, time, 0
        track.sights += 1
        track.seen = time
        if person is None:
            return self._unknown(track, time)
        track.named = time
        stay = next((each for each in self._stays if each.person == person), None)
        if stay is None:
            if track.sights < 2 or time - track.since < _KNOWN:
                return None
            stay = self._begin(track, person, face, time)
            track.stay = stay
            return stay
        track.stay = stay
        self._go_on(stay, time, face.probability)
        return None

    def _begin(self, track: _Track, person: int, face: FaceMatch, time: float) -> _Stay:
        allowed = person in self._rules.allowed
        stay = track.stay
        if stay is not None and stay.person is None and stay in self._stays:  # a stranger turns out to be somebody
            stay.person, stay.name, stay.probability, stay.allowed = person, face.name or "", face.probability, allowed
            stay.ended, stay.told = time, False
        else:
            stay = _Stay(person, face.name or "", track.since, time, face.probability, allowed)
            self._stays.append(stay)
        self._note(stay)
        return stay

    def _unknown(self, track: _Track, time: float) -> _Stay | None:
        """A face without a name: somebody who looks aside for a moment, a stranger, or not decided yet."""
        stay = track.stay if track.stay in self._stays else None
        if stay is not None and (stay.person is None or time - track.named <= self._rules.absence):
            self._go_on(stay, time, 0.0)
            return None
        if not self._rules.strangers or track.sights < 2 or time - track.since < _UNKNOWN:
            return None
        # A stranger who was lost from view for a moment has another number now.
        taken = [each.stay for each in self._tracks.values() if each is not track and each.seen >= time]
        stay = next((each for each in self._stays if each.person is None and each not in taken), None)
        if stay is not None:
            track.stay = stay
            self._go_on(stay, time, 0.0)
            return None
        stay = track.stay = _Stay(None, "", track.since, time, 0.0, False)
        self._stays.append(stay)
        self._note(stay)
        return stay

    @staticmethod
    def _go_on(stay: _Stay, time: float, probability: float) -> None:
        stay.ended = max(stay.ended, time)
        stay.probability = max(stay.probability, probability)

    def _note(self, stay: _Stay) -> None:
        stay.written = None
        if stay not in self._unsaved:
            self._unsaved.append(stay)

    def _end(self) -> None:
        for stay in self._stays:
            self._note(stay)
        self._stays, self._tracks = [], {}

    def _due(self) -> bool:
        return self._rules.on and self._rules.days > 0 and self._time - self._tidied >= _HOUR

    def _write(self, work: Sequence[tuple[_Stay, Visit, str]]) -> None:
        for stay, visit, _ in work:
            if stay.row:
                self._gallery.change_visit(dataclasses.replace(visit, id=stay.row))
            else:
                kept = self._gallery.add_visit(visit)
                if kept is None:  # deleted meanwhile: nothing of it is written anywhere
                    stay.told = True
                else:
                    stay.row = kept.id
            stay.written = visit.ended

    def _tell(self, work: Sequence[tuple[_Stay, Visit, str]], file: Path | None) -> None:
        for stay, visit, name in work:
            if stay.told:
                continue
            if file is not None:
                when = datetime.datetime.fromtimestamp(visit.began).astimezone().isoformat(timespec="seconds")
                text = io.StringIO()
                known = f"{visit.probability:.3f}" if visit.person is not None else ""
                csv.writer(text).writerow((when, name, known, "yes" if visit.allowed else "no"))
                _append(file, text.getvalue())
            with self._lock:
                stay.told = stay.person == visit.person  # or it has turned out meanwhile who the stranger is


def _append(file: Path, line: str) -> None:
    """Add a line to a file; a new one begins with the columns' names."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(number, "ab") as lines:
            if lines.tell() == 0:
                lines.write((",".join(COLUMNS) + "\r\n").encode())
            lines.write(line.encode("utf-8"))
    except OSError as error:
        raise store.write_error(file, error) from error


def _values(rules: AccessRules) -> dict[str, Any]:
    values = dataclasses.asdict(rules)
    return values | {"allowed": sorted(rules.allowed), "file": None if rules.file is None else str(rules.file)}


def _rules(values: Mapping[str, Any]) -> AccessRules:
    """Rules as the gallery keeps them; off where it keeps none, or none that make sense."""
    try:
        file = values.get("file")
        return AccessRules(
            on=values["on"] is True,
            allowed=frozenset(int(person) for person in values["allowed"]),
            strangers=values["strangers"] is True,
            absence=float(values["absence"]),
            days=int(values["days"]),
            file=None if file is None else Path(file),
        )
    except (KeyError, TypeError, ValueError):
        return AccessRules()
