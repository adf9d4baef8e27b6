"""Objects keep their numbers: side by side, through each other, through gaps, half hidden and at any frame rate."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from engine.types import Detections, Frame, Result
from engine.vision.track import Follower, Tracker, _matched

LABELS = ("person", "dog")

Seen = tuple[float, float, float, float, float, int]  # centre, size, score, class


def detections(seen: Iterable[Seen]) -> Detections:
    rows = np.array(list(seen), np.float64).reshape(-1, 6)
    middle, side = rows[:, :2], rows[:, 2:4]
    return Detections(
        np.concatenate([middle - side / 2, middle + side / 2], axis=1).astype(np.float32),
        rows[:, 4].astype(np.float32),
        rows[:, 5].astype(np.int64),
        LABELS,
    )


def person(x: float, y: float = 200, score: float = 0.9, *, kind: int = 0) -> Seen:
    return (x, y, 60, 150, score, kind)


def numbers(tracker: Tracker, seen: Iterable[Seen], time: float) -> list[int]:
    tracked = tracker.update(detections(seen), time).track_id
    assert tracked is not None
    return [int(number) for number in tracked]


def test_boxes_come_back_as_they_were_with_a_number_each() -> None:
    tracker = Tracker()
    given = detections([person(100), person(300), (500, 100, 40, 40, 0.05, 1)])
    answer = tracker.update(given, 0.0)
    assert answer.xyxy is given.xyxy
    assert answer.confidence is given.confidence
    assert answer.labels == LABELS
    assert answer.track_id is not None
    assert answer.track_id.tolist() == [1, 2, -1]
    assert answer.track_id.dtype == np.int64
    assert numbers(tracker, [], 0.03) == []


@pytest.mark.parametrize("fps", [60.0, 30.0, 10.0])
def test_two_who_walk_through_each_other_keep_their_numbers(fps: float) -> None:
    random = np.random.default_rng(3)
    tracker = Tracker()
    answers: list[list[int]] = []
    for frame in range(int(4 * fps)):
        time = frame / fps
        jitter = random.normal(0, 1.5, 4)
        right, left = 100 + 100 * time, 500 - 100 * time
        seen = [person(right + jitter[0], 200 + jitter[1]), person(left + jitter[2], 215 + jitter[3])]
        if abs(right - left) < 12:  # the detector sees one of them alone
            seen = seen[:1]
        shuffled = seen[::-1] if frame % 2 else seen
        found = numbers(tracker, shuffled, time)
        answers.append(found[::-1] if frame % 2 else found)
    assert all(pair[0] == 1 for pair in answers)
    assert answers[-1] == [1, 2]
    assert {number for pair in answers for number in pair} == {1, 2}


def test_who_is_missed_for_a_while_comes_back_with_the_same_number() -> None:
    tracker = Tracker()
    for frame in range(30):
        time = frame / 30
        gone = 12 <= frame < 24
        found = numbers(tracker, [] if gone else [person(100 + 90 * time)], time)
        assert found == ([] if gone else [1])


def test_who_is_missed_for_longer_is_somebody_new() -> None:
    tracker = Tracker(keep=1.0)
    assert numbers(tracker, [person(100)], 0.0) == [1]
    assert numbers(tracker, [person(100)], 0.1) == [1]
    assert numbers(tracker, [person(100)], 1.05) == [1]
    assert numbers(tracker, [], 1.5) == []
    assert numbers(tracker, [person(100)], 2.2) == [-1]
    assert numbers(tracker, [person(100)], 2.3) == [2]


def test_a_box_of_low_probability_keeps_an_object_but_makes_none() -> None:
    tracker = Tracker(sure=0.5)
    assert numbers(tracker, [person(100), person(400, score=0.3)], 0.0) == [1, -1]
    for frame in range(1, 60):  # half hidden for two seconds, while it walks on
        time = frame / 30
        assert numbers(tracker, [person(100 + 60 * time, score=0.2), person(400, score=0.3)], time) == [1, -1]
    assert numbers(tracker, [person(222), person(400, score=0.3)], 2.0) == [1, -1]
    assert numbers(tracker, [person(224, score=0.06)], 2.1) == [-1]


def test_a_low_box_far_from_where_the_object_should_be_is_not_it() -> None:
    tracker = Tracker()
    assert numbers(tracker, [person(100)], 0.0) == [1]
    assert numbers(tracker, [person(150, score=0.3)], 0.03) == [-1]
    assert numbers(tracker, [person(100)], 0.06) == [1]


def test_what_is_seen_once_is_no_object_yet() -> None:
    tracker = Tracker()
    assert numbers(tracker, [person(100)], 0.0) == [1]
    assert numbers(tracker, [person(100), person(400)], 0.03) == [1, -1]
    assert numbers(tracker, [person(100)], 0.06) == [1]
    assert numbers(tracker, [person(100), person(400)], 0.09) == [1, -1]
    assert numbers(tracker, [person(100), person(401)], 0.12) == [1, 2]


def test_an_object_does_not_change_its_kind() -> None:
    tracker = Tracker()
    assert numbers(tracker, [person(100)], 0.0) == [1]
    assert numbers(tracker, [person(100, kind=1)], 0.03) == [-1]
    assert numbers(tracker, [person(100, kind=1), person(100)], 0.06) == [2, 1]


def test_it_foresees_where_the_object_will_be_however_many_frames_are_left_out() -> None:
    tracker = Tracker()
    for frame in range(12):
        assert numbers(tracker, [person(100 + 10 * frame)], frame / 30) == [1]
    # 0.4 s later it has gone 120 pixels, twice its width: without foresight nothing would overlap.
    assert numbers(tracker, [person(210 + 120)], 11 / 30 + 0.4) == [1]


def test_a_crowd_is_told_apart() -> None:
    random = np.random.default_rng(0)
    tracker = Tracker()
    start = np.array([(100 + 90 * (i % 10), 100 + 170 * (i // 10)) for i in range(60)], np.float64)
    speed = random.uniform(-40, 40, (60, 2))
    for frame in range(20):
        place = start + speed * frame / 30 + random.normal(0, 1, (60, 2))
        seen = [person(x, y) for x, y in place]
        order = random.permutation(60) if frame else np.arange(60)  # numbers are given from left to right
        found = numbers(tracker, [seen[i] for i in order], frame / 30)
        assert [found[list(order).index(i)] for i in range(60)] == list(range(1, 61))


def test_one_object_that_was_taken_for_two_is_one_again() -> None:
    tracker = Tracker()
    for frame in range(10):
        numbers(tracker, [person(100)], frame / 30)
    # A second object turns up, and comes to lie where the first one was when that was lost.
    numbers(tracker, [person(100, score=0.9), person(180)], 10 / 30)
    numbers(tracker, [person(100), person(180)], 11 / 30)
    for step in range(1, 12):
        numbers(tracker, [person(180 - 7 * step)], (11 + step) / 30)
    found = {numbers(tracker, [person(101)], (23 + step) / 30)[0] for step in range(5)}
    assert len(found) == 1
    assert len(tracker._number) == 1


def test_time_does_not_go_back_and_may_stand_still() -> None:
    tracker = Tracker()
    assert numbers(tracker, [person(100)], 5.0) == [1]
    assert numbers(tracker, [person(100)], 5.0) == [1]
    with pytest.raises(ValueError, match="back"):
        tracker.update(detections([person(100)]), 4.9)


def test_nothing_is_kept_for_ever() -> None:
    tracker = Tracker()
    for frame in range(300):
        numbers(tracker, [person(100 + 500 * (frame % 7), 100 + 300 * (frame % 5))], float(frame))
    assert len(tracker._number) <= 2


def test_matches_are_the_best_there_are() -> None:
    random = np.random.default_rng(1)
    for rows, columns in ((3, 3), (2, 5), (5, 2), (1, 1), (4, 4)):
        overlap = random.uniform(0, 1, (rows, columns))
        pairs = _matched(overlap, 0.2)
        assert all(overlap[pair] >= 0.2 for pair in pairs)
        gain = sum(overlap[pair] - 0.2 for pair in pairs)
        small, large = sorted((rows, columns))
        across = overlap if rows <= columns else overlap.T
        best = max(
            sum(max(0.0, across[i, chosen[i]] - 0.2) for i in range(small))
            for chosen in itertools.permutations(range(large), small)
        )
        assert gain == pytest.approx(best)
    assert _matched(np.zeros((0, 4)), 0.2) == []


# --- whatever plays


def result(frame: Frame, *seen: Seen) -> Result:
    return Result(frame, "mine", detections=detections(seen))


def shown(index: int, *, source: str = "clip.mp4", clock: bool = True) -> Frame:
    return Frame(np.zeros((4, 4, 3), np.uint8), source, index, 0.0, clock=index / 25 if clock else None)


def found(answer: Result) -> list[int] | None:
    assert answer.detections is not None
    tracks = answer.detections.track_id
    return None if tracks is None else tracks.tolist()


def test_a_jump_back_or_another_source_begins_anew() -> None:
    follower = Follower(sure=0.3)
    for index in range(3):
        assert found(follower.follow(result(shown(index), person(100 + index)))) == [1]
    follower.follow(result(shown(3), person(103), person(400, score=0.4)))
    assert found(follower.follow(result(shown(4), person(104), person(400, score=0.4)))) == [1, 2]
    assert found(follower.follow(result(shown(2), person(400)))) == [1]
    assert found(follower.follow(result(shown(3), person(400)))) == [1]
    assert found(follower.follow(result(shown(4, source="other.mp4"), person(100)))) == [1]


def test_the_same_frame_again_keeps_its_numbers() -> None:
    follower = Follower(sure=0.3)
    follower.follow(result(shown(0), person(100)))
    frame = shown(1)
    assert found(follower.follow(result(frame, person(100), person(400)))) == [1, -1]
    assert found(follower.follow(result(frame, person(100), person(400)))) == [1, -1]
    assert found(follower.follow(result(shown(2), person(100), person(400)))) == [1, 2]


def test_pictures_by_themselves_are_not_followed() -> None:
    follower = Follower(sure=0.3)
    picture = result(shown(0, clock=False), person(100))
    assert follower.follow(picture) is picture
    drawn = Result(shown(0), "mine")
    assert follower.follow(drawn) is drawn
