"""What a network that finds things or faces has in sight, as far as it is shown: from which score on, of which classes,
which box is looked at.

Results enter, and views (the picture, the answer, the controls) ask for what is to be shown and hear when a person
changes it. Nothing here draws. What is chosen for a network is remembered for that network.
"""

from __future__ import annotations

import collections
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from gui.settings import Settings
from gui.theme import OKABE_ITO

if TYPE_CHECKING:
    from engine import Detections, FaceMatch, Frame, ModelCard, Result

# Those of Okabe and Ito without the grey, and five that differ most from them for people with and without colour
# vision: any two are at least 16 apart in CIELAB, also as people see them who lack one kind of cones (Machado 2009).
BOX_COLOURS = (*OKABE_ITO[:-1], "#8900ff", "#c4ffb1", "#9dffff", "#8976ff", "#c4003b")
SPAN = 60  # seconds of the past that are kept
FINDING = ("detection", "faces")  # tasks whose networks draw boxes
_LONGEST = 1.0  # seconds between two pictures that count as time; more is a pause


def person_colour(person: int) -> str:
    """The colour of a person of the gallery, the same in every picture."""
    return BOX_COLOURS[person % len(BOX_COLOURS)]


def class_colours(classes: tuple[str, ...], offered: tuple[str, ...] = ()) -> dict[str, str]:
    """A colour for every class, the same in every run of the program.

    The name decides; where two names would take the same colour, the one that comes later takes the next that is
    used least, those that are `offered` first.
    """
    used = [0] * len(BOX_COLOURS)
    colours: dict[str, str] = {}
    for name in (*(name for name in offered if name in classes), *classes):
        if name not in colours:
            wish = zlib.crc32(name.encode()) % len(BOX_COLOURS)
            turns = [(wish + i) % len(BOX_COLOURS) for i in range(len(BOX_COLOURS))]
            number = min(turns, key=lambda each: used[each])
            used[number] += 1
            colours[name] = BOX_COLOURS[number]
    return colours


@dataclass(frozen=True, eq=False)
class Chosen:
    """The box that is looked at.

    Attributes:
        index: into `Sight.shown`; -1: it is out of sight, and this is how it was last.
        label, score, box, track: as detected; `track` -1: it has no number.
        crop: (h, w, 3) uint8, its part of the frame.
        seconds: for how long it has been looked at, in sight.
        scores: of every frame since it was chosen, the newest last.
    """

    index: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    track: int
    crop: np.ndarray
    seconds: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class InSight:
    """A class and how much of it there is."""

    label: str
    count: int  # in the newest frame
    best: float  # score
    so_far: int  # different ones since the source began, 0 where none has a number


class Sight(QObject):
    """The filter, the newest result, and a minute of the past.

    Attributes:
        card: of the running network, if it finds things.
        min_score: what is less probable is not shown.
        visible: the classes that a person wants to see.
        counted: those that a zone or line counts; they are shown in any case, so that one sees what is counted.
        colours: of every class.
        result: the newest one.
        shown: its detections, filtered.
        faces: who they are, in the same order, where a network for faces runs.
        chosen: the box that is looked at.
    Signals:
        changed(): something else is shown of the same result.
        chosen_changed(): another box is looked at, or none.
    """

    changed = Signal()
    chosen_changed = Signal()

    def __init__(self, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.card: ModelCard | None = None
        self.min_score = 0.25
        self.visible: frozenset[str] = frozenset()
        self.counted: frozenset[str] = frozenset()
        self.colours: dict[str, str] = {}
        self.result: Result | None = None
        self.shown: Detections | None = None
        self.faces: tuple[FaceMatch, ...] = ()
        self.chosen: Chosen | None = None
        self._chosen_since = 0.0
        self._numbers: dict[str, set[int]] = {}
        self._seconds = 0.0  # for which something has been in sight of the network
        self._before: Frame | None = None
        self._past: collections.deque[tuple[int, int, dict[str, int]]] = collections.deque(maxlen=SPAN)

    # the network and its filter -------------------------------------------------------------------------------------

    def set_card(self, card: ModelCard | None) -> None:
        """Another network runs; what was chosen for it before is chosen again."""
        if card is not None and card.task not in FINDING:
            card = None
        if card is not None and self.card is not None and card.name == self.card.name and card == self.card:
            self.forget()
            return
        self.card = card
        self.forget()
        if card is not None:
            self.colours = class_colours(card.classes, card.offered)
            self.min_score = self._settings.number(f"score/{card.name}", card.min_score)
            known = self._settings.texts(f"classes/{card.name}")
            # one empty name stands for none: a list without entries is not kept
            kept = frozenset(name for name in known if name in card.classes)
            self.visible = kept if kept or known == ["-"] else self.good_classes
        self.changed.emit()

    @property
    def good_classes(self) -> frozenset[str]:
        """Those that the network does well; all where its card names none."""
        if self.card is None:
            return frozenset()
        return frozenset(name for name in self.card.offered if name in self.card.classes) or frozenset(
            self.card.classes
        )

    def set_min_score(self, score: float) -> None:
        if self.card is not None and score != self.min_score:
            self.min_score = score
            self._settings.set(f"score/{self.card.name}", round(score, 4))
            self._filter_again()

    def show_classes(self, names: frozenset[str]) -> None:
        """Show these classes and no others."""
        if self.card is not None and names != self.visible:
            self.visible = names
            self._settings.set(f"classes/{self.card.name}", sorted(names) or ["-"])
            self._filter_again()

    def show_class(self, name: str, on: bool) -> None:
        self.show_classes(self.visible | {name} if on else self.visible - {name})

    def set_counted(self, names: frozenset[str]) -> None:
        """These classes are counted somewhere."""
        if names != self.counted:
            self.counted = names
            self._filter_again()

    @property
    def seen(self) -> frozenset[str]:
        """The classes of this network that are shown, for whatever reason."""
        classes = self.card.classes if self.card is not None else ()
        return frozenset(name for name in classes if name in self.visible or name in self.counted)

    # results --------------------------------------------------------------------------------------------------------

    def take(self, result: Result) -> None:
        """The newest result; views are told of it by whoever hands it here."""
        again = self.result is not None and result.frame is self.result.frame
        self.result = result
        if self._before is not None and not _goes_on(self._before, result.frame):
            self._begin_anew()
        self._filter()
        if not again:
            self._count(result)
        self._follow()

    def forget(self) -> None:
        """Another source or another network: nothing has been seen."""
        self.result = self.shown = None
        self.faces = ()
        self._numbers.clear()
        self._past.clear()
        self._seconds, self._before = 0.0, None
        if self.chosen is not None:
            self.chosen = None
            self.chosen_changed.emit()

    def filtered(self, detections: Detections | None) -> Detections | None:
        """What is to be shown of these."""
        return None if detections is None else detections[self._mask(detections)]

    def found(self) -> dict[str, int]:
        """How many of every class there are in the newest frame, also of those that are not shown."""
        every = self.result.detections if self.result is not None else None
        if every is None:
            return {}
        ids, counts = np.unique(every.class_id[every.confidence >= self.min_score], return_counts=True)
        return {every.labels[i]: int(count) for i, count in zip(ids, counts, strict=True)}

    def in_sight(self) -> list[InSight]:
        """The classes that are shown now, most of them first, then those that were there before."""
        shown, rows = self.shown, []
        if shown is not None:
            for number in np.unique(shown.class_id):
                mask = shown.class_id == number
                label = shown.labels[number]
                so_far = len(self._numbers.get(label, ()))
                rows.append(InSight(label, int(mask.sum()), float(shown.confidence[mask].max()), so_far))
        rows.sort(key=lambda row: (-row.count, row.label))
        gone = sorted((label for label in self._numbers if label in self.seen), key=str)
        there = {row.label for row in rows}
        return rows + [InSight(label, 0, 0.0, len(self._numbers[label])) for label in gone if label not in there]

    def past(self) -> list[tuple[float, dict[str, float]]]:
        """For every second of the last minute: how long ago it was, and how many of each class were shown."""
        now = int(self._seconds)
        return [
            (float(now - second), {label: count / frames for label, count in counts.items()})
            for second, frames, counts in self._past
            if now - second < SPAN
        ]

    @property
    def chosen_face(self) -> FaceMatch | None:
        """The face that is looked at, while it is in sight."""
        chosen = self.chosen
        return self.faces[chosen.index] if chosen is not None and 0 <= chosen.index < len(self.faces) else None

    @property
    def chosen_place(self) -> int:
        """Where the box that is looked at stands in the result, of which not all is shown; 0 for none."""
        every = self.result.detections if self.result is not None else None
        if every is None or self.chosen is None or self.chosen.index < 0:
            return 0
        return int(np.flatnonzero(self._mask(every))[self.chosen.index])

    # the box that is looked at --------------------------------------------------------------------------------------

    def choose(self, index: int) -> None:
        """Look at a box of `shown`; -1: at none."""
        if self.shown is None or not 0 <= index < len(self.shown):
            if self.chosen is not None:
                self.chosen = None
                self.chosen_changed.emit()
            return
        self._chosen_since = self._seconds
        self.chosen = self._look_at(index, ())
        self.chosen_changed.emit()

    def choose_next(self, step: int) -> None:
        """The next box from left to right (`step` 1) or from right to left (-1)."""
        if self.shown is None or not len(self.shown):
            return
        middles = self.shown.xyxy[:, 0] + self.shown.xyxy[:, 2]
        order = np.argsort(middles, kind="stable").tolist()
        if self.chosen is None or self.chosen.index < 0:
            self.choose(order[0 if step > 0 else -1])
        else:
            self.choose(order[(order.index(self.chosen.index) + step) % len(order)])

    def choose_class(self, label: str) -> None:
        """The surest box of a class."""
        if self.shown is not None:
            rows = [i for i, number in enumerate(self.shown.class_id) if self.shown.labels[number] == label]
            scores = self.shown.confidence
            self.choose(max(rows, key=lambda i: float(scores[i]), default=-1))

    # inside ---------------------------------------------------------------------------------------------------------

    def _mask(self, detections: Detections) -> NDArray[np.bool_]:
        """Which of these are shown."""
        mask: NDArray[np.bool_] = detections.confidence >= self.min_score
        if len(detections):
            wanted = np.array([name in self.visible or name in self.counted for name in detections.labels], bool)
            mask &= wanted[detections.class_id]
        return mask

    def _filter(self) -> None:
        """Find out what is shown of the newest result."""
        result = self.result
        every = result.detections if result is not None else None
        self.shown = self.filtered(every)
        self.faces = ()
        if result is not None and result.faces is not None and every is not None:
            shown = zip(result.faces, self._mask(every), strict=True)
            self.faces = tuple(face for face, is_shown in shown if is_shown)

    def _filter_again(self) -> None:
        if self.result is not None:
            self._filter()
            self._follow()
        self.changed.emit()

    def _begin_anew(self) -> None:
        """Objects are numbered from 1 again: an old number says nothing any more."""
        self._numbers.clear()
        if self.chosen is not None:
            self.chosen = replace(self.chosen, track=-1, index=-1)

    def _count(self, result: Result) -> None:
        frame, before = result.frame, self._before
        if before is not None:
            one, other = before.clock, frame.clock
            passed = other - one if one is not None and other is not None else frame.time - before.time
            self._seconds += min(_LONGEST, max(0.0, passed))
        self._before = frame
        second = int(self._seconds)
        if not self._past or self._past[-1][0] != second:
            self._past.append((second, 0, {}))
        _, frames, counts = self._past[-1]
        shown = self.shown
        if shown is not None:
            for number, count in zip(*np.unique(shown.class_id, return_counts=True), strict=True):
                label = shown.labels[number]
                counts[label] = counts.get(label, 0) + int(count)
            if shown.track_id is not None:
                for number, track in zip(shown.class_id.tolist(), shown.track_id.tolist(), strict=True):
                    if track >= 0:
                        self._numbers.setdefault(shown.labels[number], set()).add(track)
        self._past[-1] = (second, frames + 1, counts)

    def _follow(self) -> None:
        """Find the box that was looked at in the newest frame: by its number, otherwise by its place."""
        chosen, shown = self.chosen, self.shown
        if chosen is None or shown is None:
            return
        index = -1
        if chosen.track >= 0 and shown.track_id is not None:
            index = next((i for i, track in enumerate(shown.track_id.tolist()) if track == chosen.track), -1)
        elif len(shown):
            overlap = _overlap(np.asarray(chosen.box, np.float32), shown.xyxy)
            overlap[[shown.labels[number] != chosen.label for number in shown.class_id]] = 0
            index = int(overlap.argmax()) if overlap.max() >= 0.3 else -1
        self.chosen = self._look_at(index, chosen.scores) if index >= 0 else replace(chosen, index=-1)

    def _look_at(self, index: int, before: tuple[float, ...]) -> Chosen:
        assert self.shown is not None and self.result is not None
        shown, image = self.shown, self.result.frame.image
        x0, y0, x1, y1 = (float(side) for side in shown.xyxy[index])
        height, width = image.shape[:2]
        left, top = int(max(0, min(width - 1, x0))), int(max(0, min(height - 1, y0)))
        right, bottom = int(max(left + 1, min(width, np.ceil(x1)))), int(max(top + 1, min(height, np.ceil(y1))))
        score = float(shown.confidence[index])
        return Chosen(
            index,
            shown.labels[shown.class_id[index]],
            score,
            (x0, y0, x1, y1),
            -1 if shown.track_id is None else int(shown.track_id[index]),
            np.ascontiguousarray(image[top:bottom, left:right]),
            self._seconds - self._chosen_since,
            (*before[-299:], score),
        )


def _goes_on(before: Frame, frame: Frame) -> bool:
    """Whether objects keep their numbers from one frame to the other."""
    if before.clock is None or frame.clock is None:
        return before.clock is frame.clock
    return before.source == frame.source and before.clock <= frame.clock


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with each of (N, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    sizes = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    whole: np.ndarray = common / np.maximum(sizes - common, 1e-9)
    return whole
