"""What is counted in zones and at lines: walkers, tremblers, things that are lost and found, alarms, hours, files."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from engine import EngineError
from engine.counting import (
    LOG_COLUMNS,
    MOST_PLACES,
    VALUE_COLUMNS,
    Counter,
    CountLog,
    CountState,
    Line,
    Place,
    Zone,
    places_from_json,
    places_to_json,
    write_log,
    write_values,
)
from engine.errors import WriteError
from engine.types import Detections
from engine.vision.track import Tracker

LABELS = ("person", "bottle", "dog")
SIZE = (640, 480)
LEFT = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
UPRIGHT = Line("door", (0.5, 0.0), (0.5, 1.0))  # seen along it, the right is the left of the picture

Seen = tuple[float, float, int, str]  # middle in pixels, number, class


def found(*seen: Seen, side: tuple[float, float] = (40, 100)) -> Detections:
    middle = np.array([(x, y) for x, y, _, _ in seen], np.float64).reshape(-1, 2)
    half = np.array(side) / 2
    return Detections(
        np.concatenate([middle - half, middle + half], axis=1).astype(np.float32),
        np.full(len(seen), 0.9, np.float32),
        np.array([LABELS.index(label) for _, _, _, label in seen], np.int64),
        LABELS,
        np.array([number for _, _, number, _ in seen], np.int64),
    )


class Scene:
    """A counter with frames of a source that comes 20 times a second, and a clock on the wall."""

    def __init__(self, *places: Place, live: bool = False, fps: float = 20.0) -> None:
        self.wall = 1_700_000_000.0
        self.counter = Counter(places, wall=lambda: self.wall)
        self.clock = 0.0
        self.live, self.fps = live, fps
        self.happened: list[tuple[str, str, str, str]] = []

    def see(self, *seen: Seen, source: str = "clip.mp4", side: tuple[float, float] = (40, 100)) -> CountState:
        state = self.counter.take(found(*seen, side=side), size=SIZE, clock=self.clock, source=source, live=self.live)
        self.happened += [(e.kind, e.place, e.label, e.direction) for e in state.events if e.kind != "began"]
        self.clock += 1 / self.fps
        self.wall += 1 / self.fps
        return state

    def walk(self, path: Iterable[tuple[float, float]], number: int = 1, label: str = "person") -> CountState:
        state = self.counter.state
        for x, y in path:
            state = self.see((x, y, number, label))
        return state

    def stay(self, seconds: float, *seen: Seen) -> CountState:
        state = self.counter.state
        for _ in range(round(seconds * self.fps)):
            state = self.see(*seen)
        return state


def steps(start: tuple[float, float], end: tuple[float, float], count: int = 40) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(*np.linspace(start, end, count).T, strict=True)]


def in_zone(state: CountState, name: str = "left") -> int:
    return state.zones[name].count


def crossings(state: CountState, name: str = "door") -> tuple[int, int]:
    return state.lines[name].forth, state.lines[name].back


# --- lines


@pytest.mark.parametrize("count", [3, 7, 40, 300])
@pytest.mark.parametrize("spot", ["middle", "foot"])
def test_a_walker_crosses_once_in_the_right_direction(count: int, spot: str) -> None:
    door = dataclasses.replace(UPRIGHT, spot=spot)
    scene = Scene(door)
    assert crossings(scene.walk(steps((100, 200), (540, 260), count))) == (0, 1)
    assert crossings(scene.walk(steps((540, 260), (100, 200), count))) == (1, 1)
    forth, back = door.directions
    assert [direction for _, _, _, direction in scene.happened] == [back, forth] == ["right", "left"]


def test_any_line_and_any_walk_agree_with_the_sides_on_which_they_begin_and_end() -> None:
    """Whoever walks in a jagged line from one side to the other within its length has crossed it once on balance."""
    random = np.random.default_rng(5)
    for _ in range(60):
        angle, middle = random.uniform(0, 2 * math.pi), random.uniform(0.4, 0.6, 2)
        along = np.array([math.cos(angle), math.sin(angle)])
        line = Line("door", tuple(middle - 0.39 * along), tuple(middle + 0.39 * along))
        across = np.array([-along[1], along[0]])
        shares = np.concatenate([[-1.0], random.uniform(-1, 1, 30), [1.0]])  # of the way across, there and back
        offsets = random.uniform(-0.5, 0.5, len(shares))
        places = middle + 0.3 * shares[:, None] * across + 0.3 * offsets[:, None] * along
        scene = Scene(line)
        for x, y in places * SIZE:
            state = scene.see((x, y, 1, "person"), side=(8, 8))
        forth, back = crossings(state)
        assert forth - back == 1, "to the right of who looks along the line is forth"
        # Every change of side that is large enough to be one is counted, and nothing else is.
        clear = [math.copysign(1, share) for share in shares if abs(share) > 0.2]
        assert forth + back >= sum(1 for one, other in itertools.pairwise(clear) if one != other)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (Line("a", (0.5, 0.9), (0.5, 0.1)), ("right", "left")),
        (Line("a", (0.5, 0.1), (0.5, 0.9)), ("left", "right")),
        (Line("a", (0.1, 0.5), (0.9, 0.5)), ("down", "up")),
        (Line("a", (0.9, 0.6), (0.1, 0.5)), ("up", "down")),
    ],
)
def test_directions_are_those_in_which_one_sees_things_go(line: Line, words: tuple[str, str]) -> None:
    assert line.directions == words
    scene = Scene(line)
    sideways = words[0] in ("left", "right")
    ends = ((100.0, 240.0), (540.0, 240.0)) if sideways else ((320.0, 60.0), (320.0, 420.0))
    scene.walk(steps(*ends))
    assert scene.happened == [("crossed", "a", "person", "right" if sideways else "down")]


def test_a_box_that_trembles_on_the_line_is_not_counted_over_and_over() -> None:
    random = np.random.default_rng(1)
    scene = Scene(UPRIGHT)
    scene.walk(steps((200, 240), (318, 240)))
    for _ in range(400):
        state = scene.see((320 + random.uniform(-3.9, 3.9), 240 + random.uniform(-5, 5), 1, "person"))
    assert crossings(state) == (0, 0), "it stands on the line"
    assert crossings(scene.walk(steps((320, 240), (420, 240)))) == (0, 1)
    random_walk = [(320 + random.uniform(-3.9, 3.9), 240.0) for _ in range(200)]
    assert crossings(scene.walk([*random_walk, (200, 240)])) == (1, 1)


def test_who_turns_round_on_the_line_has_not_crossed_it() -> None:
    scene = Scene(UPRIGHT)
    assert crossings(scene.walk(steps((200, 240), (322, 240)) + steps((322, 240), (200, 240)))) == (0, 0)


def test_who_walks_round_its_end_has_not_crossed_it_but_who_comes_back_through_it_has() -> None:
    scene = Scene(Line("door", (0.5, 0.3), (0.5, 1.0)))
    round_the_end = (
        steps((200, 300), (200, 60), 20) + steps((200, 60), (440, 60), 20) + steps((440, 60), (440, 300), 20)
    )
    assert crossings(scene.walk(round_the_end)) == (0, 0)
    assert crossings(scene.walk(steps((440, 300), (200, 300)))) == (1, 0)


def test_what_is_not_seen_while_it_crosses_is_counted_when_it_is_found_again() -> None:
    scene = Scene(UPRIGHT)
    scene.walk(steps((200, 240), (300, 240), 10))
    scene.stay(0.5)
    assert crossings(scene.walk(steps((345, 240), (500, 240), 10))) == (0, 1), "the same number"
    scene.stay(3)
    scene.walk(steps((200, 240), (290, 240), 10), number=4)
    scene.stay(0.5)
    assert crossings(scene.walk(steps((350, 240), (500, 240), 10), number=9)) == (0, 2), "another, close by"
    scene.stay(3)
    scene.walk(steps((200, 240), (290, 240), 10), number=11)
    scene.stay(0.5)
    assert crossings(scene.walk([(560.0, 240.0)] * 20, number=12)) == (0, 2), "far away: somebody else"
    scene.walk(steps((200, 240), (290, 240), 10), number=21)
    scene.stay(0.3)
    assert crossings(scene.walk([(350.0, 240.0)] * 20, number=22, label="dog")) == (0, 2), "of another class"


def test_a_number_that_is_taken_over_does_not_count_twice_when_the_old_one_comes_back() -> None:
    scene = Scene(UPRIGHT)
    scene.walk(steps((200, 240), (300, 240), 10))
    scene.walk(steps((310, 240), (370, 240), 10), number=2)
    assert crossings(scene.walk(steps((370, 240), (500, 240), 10), number=1)) == (0, 1)


def test_classes_are_counted_by_themselves_and_others_not_at_all() -> None:
    scene = Scene(UPRIGHT, dataclasses.replace(UPRIGHT, name="dogs", classes=frozenset({"dog"})))
    for x, _ in steps((200, 0), (460, 0)):
        state = scene.see((x, 100, 1, "person"), (660 - x, 200, 2, "dog"), (x, 350, 3, "dog"))
    assert state.lines["door"].by_class == {"person": (0, 1), "dog": (1, 1)}
    assert state.lines["dogs"].by_class == {"dog": (1, 1)}


def test_what_has_no_number_is_in_zones_but_crosses_no_line() -> None:
    scene = Scene(UPRIGHT, LEFT)
    for x, y in steps((100, 240), (540, 240)):
        state = scene.see((x, y, -1, "person"))
    assert crossings(state) == (0, 0)
    boxes = dataclasses.replace(found((100, 240, 1, "person")), track_id=None)
    state = scene.counter.take(boxes, size=SIZE, clock=99.0, source="clip.mp4")
    assert in_zone(state) == 1 and crossings(state) == (0, 0)


def test_with_the_tracker_a_crowd_that_is_missed_now_and_then_is_counted_rightly() -> None:
    random = np.random.default_rng(11)
    tracker, counter = Tracker(), Counter([UPRIGHT])
    people = [(60.0, 520.0, y, 40.0 * i) for i, y in enumerate((90.0, 210.0, 330.0))]
    for frame in range(260):
        seen: list[Seen] = []
        for start, way, y, delay in people:
            x = start + way * max(0.0, min(1.0, (frame - delay) / 120))
            if random.random() > 0.15:
                seen.append((x + random.normal(0, 1.5), y + random.normal(0, 1.5), 0, "person"))
        boxes = tracker.update(dataclasses.replace(found(*seen), track_id=None), frame / 25)
        state = counter.take(boxes, size=SIZE, clock=frame / 25)
    assert crossings(state) == (0, 3)


# --- zones


def test_a_zone_tells_what_lies_in_it_by_the_middle_or_the_foot() -> None:
    floor = Zone("floor", ((0, 0.6), (1, 0.6), (1, 1), (0, 1)), spot="foot")
    shelf = Zone("shelf", ((0, 0), (1, 0), (1, 0.5), (0, 0.5)), frozenset({"bottle"}))
    state = Scene(floor, shelf).see((100, 260, 1, "person"), (200, 100, 2, "bottle"), (300, 470, 3, "dog"))
    assert in_zone(state, "floor") == 2, "also a box whose lower edge lies below the picture"
    assert in_zone(state, "shelf") == 1


def test_any_polygon_agrees_with_the_area_that_it_covers() -> None:
    random = np.random.default_rng(2)
    points = random.uniform(0, 1, (40_000, 2))
    concave = Zone("z", ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.4), (0.1, 0.9)))
    corners = np.array(concave.corners)
    ends = np.roll(corners, -1, axis=0)
    area = abs((corners[:, 0] * ends[:, 1] - ends[:, 0] * corners[:, 1]).sum()) / 2  # the shoelace formula
    assert concave.contains(points).mean() == pytest.approx(area, abs=0.01)
    assert concave.contains(np.array([(0.5, 0.3), (0.5, 0.6), (0.2, 0.7), (0.95, 0.5)])).tolist() == [
        True,
        False,
        True,
        False,
    ]
    turned = dataclasses.replace(concave, corners=concave.corners[::-1])
    assert (turned.contains(points) == concave.contains(points)).all()


def test_a_missed_box_does_not_flicker_and_what_is_gone_is_gone_within_a_second() -> None:
    scene = Scene(LEFT)
    three = [(100.0, 100.0 * i, i, "bottle") for i in (1, 2, 3)]
    assert in_zone(scene.see(*three)) == 3, "at once"
    random = np.random.default_rng(4)
    for _ in range(200):
        seen = [each for each in three if random.random() > 0.06]
        assert in_zone(scene.see(*seen)) == 3
    assert in_zone(scene.stay(0.3, *three[:2])) == 3
    assert in_zone(scene.stay(0.7, *three[:2])) == 2


def test_frames_that_come_slowly_are_smoothed_too() -> None:
    scene = Scene(LEFT, fps=1.0)
    one = (100.0, 100.0, 1, "bottle")
    for seen in ([one], [one], [], [one], [one], []):
        assert in_zone(scene.see(*seen)) == 1
    assert in_zone(scene.see()) == 0


def test_the_same_frame_again_counts_once_with_what_is_shown_of_it_now() -> None:
    scene = Scene(LEFT, UPRIGHT)
    one, two = (100.0, 100.0, 1, "bottle"), (100.0, 300.0, 2, "bottle")
    scene.see(one)
    for _ in range(30):
        state = scene.counter.take(found(one, two), size=SIZE, clock=scene.clock - 1 / 20, source="clip.mp4")
    assert in_zone(state) == 1 or in_zone(state) == 2
    assert len(scene.counter.values()[0].seconds) == 1


# --- alarms


def test_an_alarm_begins_after_its_seconds_and_ends() -> None:
    shelf = dataclasses.replace(LEFT, name="shelf A", classes=frozenset({"bottle"}), below=2, seconds=3.0)
    scene = Scene(shelf)
    one, two = (100.0, 100.0, 1, "bottle"), (100.0, 300.0, 2, "bottle")
    person = (200.0, 200.0, 3, "person")
    assert not scene.stay(5, one, two).zones["shelf A"].alarm
    assert not scene.stay(3, one, person).zones["shelf A"].alarm, "half a second until it is believed, then three"
    state = scene.stay(1, one, person)
    assert state.zones["shelf A"].alarm and in_zone(state, "shelf A") == 1
    state = scene.stay(2, one, two)
    assert not state.zones["shelf A"].alarm
    assert scene.happened == [("alarm", "shelf A", "", ""), ("over", "shelf A", "", "")]
    alarm, over = scene.counter.log[1:]
    assert (alarm.number, over.number) == (1, 2)
    assert alarm.clock == pytest.approx(8.5, abs=0.1) and over.time - alarm.time == pytest.approx(1, abs=0.2)


def test_an_alarm_that_is_over_before_its_seconds_never_was() -> None:
    scene = Scene(dataclasses.replace(LEFT, below=1, seconds=2.0))
    for _ in range(5):
        scene.stay(1.5)
        scene.stay(1.5, (100.0, 100.0, 1, "dog"))
    assert scene.happened == []


@pytest.mark.parametrize("count", range(5))
def test_limits_are_meant_as_they_are_said(count: int) -> None:
    scene = Scene(dataclasses.replace(LEFT, below=2, above=3, seconds=0.0))
    state = scene.see(*((100.0, 100.0 + 50 * i, i, "dog") for i in range(count)))
    assert state.zones["left"].alarm == (count < 2 or count > 3)


# --- what begins anew


def test_a_source_that_jumps_back_or_another_one_begins_anew_with_the_same_places() -> None:
    scene = Scene(dataclasses.replace(LEFT, below=5, seconds=0.5), UPRIGHT)
    state = scene.walk(steps((100, 240), (540, 240)))
    assert crossings(state) == (0, 1) and state.zones["left"].alarm
    scene.clock = 0.1
    state = scene.see((100, 240, 1, "person"))
    assert crossings(state) == (0, 0) and in_zone(state) == 1 and not state.zones["left"].alarm
    assert [event.kind for event in state.events] == ["over", "total", "total", "began"]
    assert [values.seconds.tolist() for values in scene.counter.values()[3:]] == [[0.1]] * 3
    assert crossings(scene.walk([(540.0, 240.0)])) == (0, 1), "as it was known since the jump"
    state = scene.see((100, 240, 1, "person"), source="other.mp4")
    assert crossings(state) == (0, 0)
    assert [event.kind for event in scene.counter.log] == [
        "began",
        "alarm",
        "crossed",
        "over",
        "total",
        "total",
        "began",
        "crossed",
        "total",
        "total",
        "began",
    ]
    assert scene.counter.log[-1].place == "other.mp4"
    assert scene.counter.places == (dataclasses.replace(LEFT, below=5, seconds=0.5), UPRIGHT)


def test_what_a_pass_has_counted_stays_to_be_seen_when_a_video_begins_anew(tmp_path: Path) -> None:
    scene = Scene(UPRIGHT, dataclasses.replace(UPRIGHT, name="dogs", classes=frozenset({"dog"})), LEFT)
    there_and_back = steps((100, 240), (540, 240)) + steps((540, 240), (100, 240)) + steps((100, 240), (540, 240))
    for count in (2, 1, 2):
        scene.clock = 0.0
        assert crossings(scene.walk(there_and_back if count == 2 else there_and_back[:40]))[1] == count
    totals = [event for event in scene.counter.log if event.kind == "total"]
    assert [(event.place, event.direction, event.number) for event in totals] == [
        *(("door", "left", 1), ("door", "right", 2)),
        *(("door", "left", 0), ("door", "right", 1)),
    ], "what nothing has crossed says nothing"
    assert totals[0].clock == pytest.approx(119 / 20) and totals[2].clock == pytest.approx(39 / 20)
    write_log(tmp_path / "log.csv", scene.counter.log)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["number"] for row in rows if row["event"] == "total"] == ["1", "2", "0", "1"]
    scene.counter.start_again()
    assert scene.counter.log == () and {values.lap for values in scene.counter.values()} == {1}


def test_the_numbers_of_the_pass_before_are_kept_beside_those_of_this_one(tmp_path: Path) -> None:
    scene = Scene(UPRIGHT, LEFT)
    scene.walk(steps((100, 240), (540, 240)))
    first = scene.counter.values()
    assert [values.lap for values in first] == [1] * 3
    scene.clock = 0.0
    scene.walk(steps((540, 240), (100, 240))[:10])
    both = scene.counter.values()
    assert [values.lap for values in both] == [1] * 3 + [2] * 3
    for one, other in zip(first, both[:3], strict=True):
        assert (one.place, one.what) == (other.place, other.what) and (one.last == other.last).all()
    assert [len(values.seconds) for values in both[3:]] == [5] * 3
    for moment in (8.0, 3.0, 1.0):  # somebody looks for a place by hand
        scene.clock = moment
        scene.see()
    write_values(tmp_path / "values.csv", scene.counter.values())
    rows = list(csv.DictReader((tmp_path / "values.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["pass"] for row in rows} == {"2", "3"}, "single frames are no pass"


def test_a_walk_is_not_put_together_from_two_sides_of_a_jump() -> None:
    scene = Scene(UPRIGHT)
    scene.walk(steps((100, 240), (250, 240)))
    scene.clock = 0.0
    assert crossings(scene.walk([(540.0, 240.0)])) == (0, 0)


def test_numbers_of_another_network_are_others() -> None:
    counter = Counter([UPRIGHT])
    for clock, x, network in ((0.0, 100, "a"), (0.1, 540, "b"), (0.2, 100, "b"), (0.3, 540, "b")):
        state = counter.take(found((x, 240, 1, "person")), size=SIZE, clock=clock, numbering=network)
    assert crossings(state) == (1, 1)


def test_going_through_a_video_by_hand_leaves_one_line_in_the_log() -> None:
    scene = Scene(LEFT)
    for moment in (9.0, 8.0, 5.0, 5.5, 2.0):
        scene.clock = moment
        scene.see()
    assert [event.kind for event in scene.counter.log] == ["began"]


def test_a_camera_that_was_unplugged_goes_on() -> None:
    scene = Scene(UPRIGHT, live=True)
    scene.walk(steps((100, 240), (540, 240)))
    begun = scene.counter.state.clock
    scene.clock, scene.wall = 0.0, scene.wall + 60
    state = scene.walk([(100.0, 240.0), (110.0, 240.0)])
    assert crossings(state) == (0, 1), "its number is another's now: nobody has crossed"
    assert state.clock == pytest.approx(begun + 60, abs=0.2)
    assert crossings(scene.walk(steps((110, 240), (540, 240)))) == (0, 2)
    assert len(scene.counter.values()[0].seconds) > 30


def test_a_camera_that_one_comes_back_to_goes_on_and_its_alarm_begins_anew() -> None:
    scene = Scene(UPRIGHT, dataclasses.replace(LEFT, above=0, seconds=1.0), live=True)
    scene.walk(steps((540, 240), (100, 240)))
    scene.stay(2, (100, 240, 1, "person"))
    assert scene.counter.state.zones["left"].alarm
    begun = scene.counter.state.clock
    scene.counter.rest()
    assert scene.counter.log[-1].kind == "over" and scene.counter.state.zones == {}
    assert crossings(scene.counter.state) == (1, 0)
    scene.clock, scene.wall = begun + 0.5, scene.wall + 60  # it has been on for longer by now than it was before
    state = scene.see((540, 240, 1, "person"), (100, 400, 2, "person"))
    assert state.clock == pytest.approx(begun + 60, abs=0.2)
    assert crossings(state) == (1, 0), "its number is another's now: nobody has crossed"
    assert in_zone(state) == 1 and not state.zones["left"].alarm, "as long as it takes"
    assert "total" not in {event.kind for event in scene.counter.log}


def test_a_video_that_one_leaves_has_ended_its_pass() -> None:
    scene = Scene(UPRIGHT)
    scene.walk(steps((100, 240), (540, 240)))
    scene.counter.rest()
    assert [event.kind for event in scene.counter.log] == ["began", "crossed", "total", "total"]
    assert {values.lap: bool(len(values.seconds)) for values in scene.counter.values()} == {1: True, 2: False}
    scene.counter.rest()
    scene.see()
    assert [event.kind for event in scene.counter.log][3:] == ["total", "began"]


def test_a_picture_by_itself_is_counted_at_once() -> None:
    shelf = dataclasses.replace(LEFT, below=2, seconds=60.0)
    counter = Counter([shelf, UPRIGHT])
    state = counter.take(found((100, 100, -1, "bottle")), size=SIZE, clock=None)
    assert state.zones["left"].count == 1 and state.zones["left"].alarm and state.clock is None
    assert counter.take(found(), size=SIZE, clock=None).zones["left"].count == 0
    assert counter.log == () and all(not len(values.seconds) for values in counter.values())


def test_start_again_forgets_everything_but_the_places() -> None:
    scene = Scene(LEFT, UPRIGHT)
    scene.walk(steps((100, 240), (540, 240)))
    scene.counter.start_again()
    assert scene.counter.log == () and scene.counter.state == CountState()
    state = scene.see((540, 240, 1, "person"))
    assert crossings(state) == (0, 0) and in_zone(state) == 0 and len(scene.counter.log) == 1


# --- other places


def test_other_places_leave_the_rest_as_it_is() -> None:
    scene = Scene(LEFT, UPRIGHT)
    scene.walk(steps((100, 240), (540, 240)))
    renamed = dataclasses.replace(UPRIGHT, name="gate")
    right = Zone("right", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    scene.counter.use([renamed, right, LEFT])
    assert scene.counter.places == (renamed, right, LEFT)
    assert crossings(scene.counter.state, "gate") == (0, 1), "another name"
    assert "right" not in scene.counter.state.zones, "nothing is known of it yet"
    state = scene.see((540, 240, 1, "person"))
    assert in_zone(state, "right") == 1 and in_zone(state) == 0
    moved = dataclasses.replace(renamed, start=(0.9, 0.0), end=(0.9, 1.0))
    scene.counter.use([moved, right])
    assert crossings(scene.walk(steps((540, 240), (620, 240))), "gate") == (0, 2), "moved: what it counted stays"
    scene.counter.use([])
    assert scene.see().zones == {} and scene.counter.values() == ()


def test_a_zone_that_is_moved_is_counted_with_the_next_frame() -> None:
    scene = Scene(LEFT)
    scene.stay(2, (540, 240, 1, "person"))
    scene.counter.use([dataclasses.replace(LEFT, corners=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))])
    assert in_zone(scene.see((540, 240, 1, "person"))) == 1


def test_a_zone_that_goes_takes_its_alarm_with_it() -> None:
    scene = Scene(dataclasses.replace(LEFT, below=1, seconds=0.0), UPRIGHT)
    assert scene.see().zones["left"].alarm
    scene.counter.use([UPRIGHT])
    assert [event.kind for event in scene.see().events] == ["over"]
    assert [event.kind for event in scene.counter.log] == ["began", "alarm", "over"]


def test_places_are_few_and_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="same name"):
        Counter([LEFT, dataclasses.replace(UPRIGHT, name="left")])
    many = [dataclasses.replace(UPRIGHT, name=f"line {i}") for i in range(MOST_PLACES + 1)]
    Counter(many[:-1])
    with pytest.raises(ValueError, match="at most"):
        Counter(many)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "  "}, "name"),
        ({"corners": ((0, 0), (1, 1))}, "corners"),
        ({"corners": ((0, 0), (1, 0), (1.2, 1))}, "shares"),
        ({"corners": ((0, 0), (math.nan, 0), (1, 1))}, "shares"),
        ({"corners": ((0.5, 0), (0.5, 0.5), (0.5, 1))}, "covers"),
        ({"spot": "head"}, "point"),
        ({"below": 0}, "fewer"),
        ({"above": -1}, "more"),
        ({"below": 3, "above": 1}, "every number"),
        ({"seconds": -1.0}, "waits"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(LEFT, **change)


def test_a_line_has_a_length() -> None:
    with pytest.raises(ValueError, match="length"):
        Line("l", (0.5, 0.5), (0.5, 0.501))


# --- hours


def test_hours_fit_in_memory_and_keep_their_peaks() -> None:
    scene = Scene(LEFT, UPRIGHT, fps=0.5)
    one = (100.0, 240.0, 1, "person")
    for second in range(0, 6 * 3600, 2):
        scene.see(*([one] if 10_000 <= second < 10_008 else []))
    zone, forth, back = scene.counter.values()
    for values in (zone, forth, back):
        assert 1000 < len(values.seconds) <= 4000
        assert (np.diff(values.seconds) > 0).all()
    assert zone.seconds[-1] == pytest.approx(6 * 3600, abs=20)
    assert zone.most.max() == 1, "eight seconds of six hours can still be seen"
    peak = zone.seconds[zone.most.argmax()]
    assert peak == pytest.approx(10_000, abs=20)
    assert len(scene.counter.log) == 1


def test_the_log_is_bounded_and_the_newest_stay() -> None:
    scene = Scene(Line("a", (0.5, 0), (0.5, 1)), *(Line(f"l{i}", (0.5, 0), (0.5, 1)) for i in range(30)))
    for _ in range(120):
        scene.see((100, 240, 1, "dog"))
        scene.see((540, 240, 1, "dog"))
    log = scene.counter.log
    assert len(log) == 5000 and log[-1].number == 120 and log[0].kind == "crossed"


# --- files


def test_places_survive_being_written_and_read() -> None:
    places = (
        dataclasses.replace(
            LEFT, name="Régal, „A“", classes=frozenset({"bottle", "dog"}), below=2, above=9, seconds=4.5
        ),
        dataclasses.replace(UPRIGHT, classes=frozenset({"person"}), spot="foot"),
    )
    assert places_from_json(places_to_json(places)) == places
    assert places_from_json(places_to_json(())) == ()


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "7",
        "null",
        "[1]",
        '["zone"]',
        '[{"kind": "zone"}]',
        '[{"kind": "circle", "name": "a", "points": [], "classes": [], "spot": "middle"}]',
        "[" * 100_000,
        places_to_json([LEFT]).replace("0.5", "7.5"),
        places_to_json([LEFT]).replace("0.5", "NaN"),
        places_to_json([LEFT]).replace('"left"', "5"),
        places_to_json([LEFT]).replace('"below": null', '"below": "x"'),
        json.dumps(json.loads(places_to_json([LEFT])) * 2),
    ],
)
def test_damaged_places_are_told_in_words(damage: str) -> None:
    with pytest.raises(EngineError, match="could not be read") as told:
        places_from_json(damage)
    assert told.value.hint


def test_log_and_numbers_become_tables(tmp_path: Path) -> None:
    scene = Scene(dataclasses.replace(LEFT, name='shelf, "A"', below=1, seconds=0.5), UPRIGHT)
    scene.walk(steps((100, 240), (540, 240)))
    scene.stay(2)
    write_log(tmp_path / "log.csv", scene.counter.log)
    rows = list(csv.reader((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert tuple(rows[0]) == LOG_COLUMNS
    assert [row[3] for row in rows[1:]] == ["began", "crossed", "alarm"]
    assert rows[2][2:] == ["door", "crossed", "person", "right", "1"]
    assert rows[3][2:] == ['shelf, "A"', "alarm", "", "", "0"]
    assert rows[1][0].startswith("2023-11-1") and float(rows[2][1]) == pytest.approx(1.0, abs=0.2)
    write_values(tmp_path / "values.csv", scene.counter.values())
    rows = list(csv.reader((tmp_path / "values.csv").read_text(encoding="utf-8").splitlines()))
    assert tuple(rows[0]) == VALUE_COLUMNS
    assert rows[1] == ["0.0", 'shelf, "A"', "in the zone", "1", "1", "1"]
    assert rows[-1][1:] == ["door", "right", "1", "1", "1"]


def test_a_log_is_written_down_bit_by_bit_and_read_again(own_home: Path) -> None:
    scene = Scene(dataclasses.replace(LEFT, name="Régal\u2028 „A“", below=1, seconds=0.5), UPRIGHT)
    log = CountLog("clip")
    assert log.read() == ()
    for _ in range(2):
        scene.clock = 0.0
        scene.walk(steps((100, 240), (540, 240)))
        scene.stay(2)
        log.append(scene.counter.take_news())
    assert scene.counter.take_news() == ()
    scene.counter.rest()
    log.append(scene.counter.take_news())
    assert {event.kind for event in scene.counter.log} == {"began", "crossed", "alarm", "over", "total"}
    assert log.read() == scene.counter.log
    again = Scene(UPRIGHT)
    again.see()
    again.counter.recall(log.read())
    assert again.counter.log[:-1] == scene.counter.log and again.counter.log[-1].kind == "began"
    again.counter.start_again()
    assert again.counter.log == () == again.counter.take_news()
    log.remove()
    log.remove()
    assert log.read() == () and not log.path.exists()


def test_going_through_a_video_by_hand_is_one_line_on_the_disk_too(own_home: Path) -> None:
    scene, log = Scene(LEFT), CountLog("clip")
    for moment in (9.0, 8.0, 5.0, 2.0):
        scene.clock = moment
        scene.see()
        if moment != 8.0:
            log.append(scene.counter.take_news())
    assert log.read() == scene.counter.log


def test_what_is_damaged_in_a_log_is_passed_over(own_home: Path) -> None:
    log = CountLog("clip")
    scene = Scene(UPRIGHT)
    scene.walk(steps((100, 240), (540, 240)))
    log.append(scene.counter.log)
    whole = log.path.read_bytes()
    damage = (b"", b"\xff\xfe", b"{}", b"7", b"[" * 100_000, b'[1, 2, "began"]', b'[NaN, 0, "began", "a", "", "", 0]')
    damage += (b'[1e300, 0, "began", "a", "", "", 0]', b'[1, 0, "seen", "a", "", "", 0]', b'[1, 0, [], "a", "", "", 0]')
    damage += (b'[1, 0, "crossed", "a", "b", "away", 1]', b'[1, Infinity, "began", "a", "", "", 0]', whole[:40])
    log.path.write_bytes(b"\n".join(damage))
    log.append(scene.counter.log)
    assert log.read() == scene.counter.log, "also after half a line"


def test_logs_on_the_disk_are_bounded(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.counting._LOG_KEPT", 50)
    monkeypatch.setattr("engine.counting._LARGEST", 20_000)
    monkeypatch.setattr("engine.counting._LOGS", 3)
    scene = Scene(UPRIGHT)
    scene.walk(steps((100, 240), (540, 240)))
    crossed = scene.counter.log[1]
    log = CountLog("door")
    for number in range(100):
        log.append([dataclasses.replace(crossed, number=10 * number + i) for i in range(10)])
        assert log.path.stat().st_size < 21_000
    assert [event.number for event in log.read()] == list(range(950, 1000))
    for index in range(6):
        other = CountLog(f"camera {index}")
        other.append([crossed])
        os.utime(other.path, (index, index))
    assert sorted(path.stem for path in log.path.parent.iterdir()) == ["camera 4", "camera 5", "door"]


def test_a_log_that_cannot_be_read_or_written_is_told(own_home: Path) -> None:
    log = CountLog("clip")
    log.path.mkdir(parents=True)
    with pytest.raises(EngineError, match="could not be read"):
        log.read()
    with pytest.raises(WriteError):
        log.append([])
    with pytest.raises(WriteError):
        log.remove()


def test_a_table_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        write_log(tmp_path / "file" / "log.csv", ())
