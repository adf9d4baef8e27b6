"""The coach of an enrolment: what it says, and which faces it takes. Faces are made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine import FaceMatch, FaceQuality
from gui.coach import FEWEST, MOST, SECONDS, Advice, Coach, complaint, misfits, quality_words

GOOD = FaceQuality(1.0, 1.0, 1.0, 1.0)


def face(quality: FaceQuality = GOOD, *, side: float = 100.0, level: int = 128) -> FaceMatch:
    places = np.zeros((5, 2), np.float32)
    seen = np.full((64, 64, 3), level, np.uint8)
    return FaceMatch((0.0, 0.0, side, side), 0.9, places, None, 0.0, quality=quality, network_input=seen)


def turned(yaw: float, pitch: float = 0.0) -> FaceMatch:
    return face(FaceQuality(1.0, 1.0, 1.0, 1.0, yaw, pitch))


def session(coach: Coach, faces: list[list[FaceMatch]], *, pace: float = 0.1) -> list[Advice]:
    return [coach.look(each, number * pace) for number, each in enumerate(faces)]


@pytest.mark.parametrize(
    ("faces", "word"),
    [
        ([], "Nobody"),
        ([face(), face(side=90)], "two faces"),
        ([face(FaceQuality(0.1, 1, 1, 1))], "Too small"),
        ([face(FaceQuality(1, 0.1, 1, 1), level=20)], "Too dark"),
        ([face(FaceQuality(1, 0.1, 1, 1), level=240)], "Too bright"),
        ([face(FaceQuality(1, 1, 0.1, 1))], "Blurred"),
        ([face(FaceQuality(1, 1, 1, 0.1))], "Turned too far"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_taken(faces: list[FaceMatch], word: str) -> None:
    coach = Coach()
    said = session(coach, [faces] * 100)
    assert all(word in advice.hint and advice.take < 0 and not advice.done for advice in said)
    assert coach.taken == 0


def test_somebody_far_behind_does_not_matter_and_the_one_in_front_is_taken() -> None:
    assert Coach().look([face(side=30), face()], 0.0).take == 1


def test_one_who_turns_is_done_within_ten_seconds_and_one_who_does_not_soon_after() -> None:
    for pose in (lambda n: turned(0.5 * np.sin(n / 8), 0.4 * np.cos(n / 11)), lambda n: turned(0.0)):
        coach = Coach()
        said = list(itertools.takewhile(lambda a: not a.done, session(coach, [[pose(n)] for n in range(200)])))
        assert FEWEST <= coach.taken <= MOST
        assert len(said) * 0.1 <= SECONDS + 3


def test_the_poses_that_are_missing_are_asked_for() -> None:
    coach = Coach()
    first = coach.look([turned(0.0)], 0.0)
    assert first.take == 0 and "one side" in first.hint
    assert coach.look([turned(0.0)], 0.6).take < 0, "it shows nothing new"
    second = coach.look([turned(0.4)], 0.7)
    assert second.take == 0 and "other side" in second.hint
    third = coach.look([turned(-0.4)], 1.4)
    assert third.take == 0 and "chin" in third.hint
    assert "chin" not in coach.look([turned(0.0, 0.4)], 2.1).hint


def test_what_is_put_away_makes_room_and_a_clock_that_begins_anew_does_no_harm() -> None:
    coach = Coach()
    session(coach, [[turned(0.0)]] * 200)
    assert coach.look([turned(0.0)], 21.0).done
    coach.taken = 1
    again = coach.look([turned(0.0)], 0.0)
    assert again.take == 0 and not again.done and coach.taken == 2


def test_faces_that_do_not_fit_are_found_from_three_on() -> None:
    one, other = np.eye(4, dtype=np.float32)[:2]
    assert misfits([one, other], 0.3) == [False, False]
    assert misfits([one, other, one, None, one], 0.3) == [False, True, False, False, False]


def test_quality_in_words_names_the_worst_side() -> None:
    assert quality_words(GOOD) == "good" and quality_words(FaceQuality(1, 0.5, 1, 1)) == "fair"
    assert quality_words(FaceQuality(1, 1, 0.1, 0.2)) == "blurred" and quality_words(None) == ""
    assert complaint(GOOD) == ""
