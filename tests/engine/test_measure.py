"""Figures that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engine.measure import (
    Precision,
    Truth,
    average_precision,
    calibrated,
    calibration_error,
    ranking_precision,
    separation,
    verification,
)
from engine.types import Detections

LABELS = ("cup", "dog", "tree")
HERE, ELSEWHERE = (10.0, 10.0, 50.0, 90.0), (200.0, 10.0, 260.0, 70.0)
CUP, DOG, TREE = range(3)

Box = tuple[float, float, float, float]


def found(*boxes: tuple[Box, int, float]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in boxes], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in boxes], np.float32),
        np.array([kind for _, kind, _ in boxes], np.int64),
        LABELS,
    )


def real(*boxes: tuple[Box, int], crowd: Sequence[bool] = (), known: frozenset[int] | None = None) -> Truth:
    return Truth(
        np.array([box for box, _ in boxes], np.float32).reshape(-1, 4),
        np.array([kind for _, kind in boxes], np.int64),
        np.array(crowd or [False] * len(boxes), bool),
        known,
    )


def measured(*pictures: tuple[Detections, Truth]) -> Precision:
    return average_precision([one for one, _ in pictures], [other for _, other in pictures], labels=LABELS)


def test_all_right_is_one_and_classes_that_are_not_there_do_not_count() -> None:
    answer = measured((found((HERE, CUP, 0.9), (ELSEWHERE, DOG, 0.2)), real((HERE, CUP), (ELSEWHERE, DOG))))
    assert answer.map == pytest.approx(1)
    assert answer.map50 == pytest.approx(1)
    assert answer.ap50 == {"cup": pytest.approx(1), "dog": pytest.approx(1), "tree": None}
    assert answer.boxes == {"cup": 1, "dog": 1, "tree": 0}
    assert answer.count == 1


def test_a_wrong_box_costs_only_if_it_is_surer_than_a_right_one() -> None:
    truth = real((HERE, CUP))
    assert measured((found((HERE, CUP, 0.9), (ELSEWHERE, CUP, 0.5)), truth)).map50 == pytest.approx(1)
    assert measured((found((HERE, CUP, 0.5), (ELSEWHERE, CUP, 0.9)), truth)).map50 == pytest.approx(0.5)


def test_scores_are_compared_across_pictures() -> None:
    answer = measured((found((HERE, CUP, 0.9)), real((HERE, CUP))), (found((HERE, CUP, 0.95)), real()))
    assert answer.map50 == pytest.approx(0.5)


def test_a_box_of_three_quarters_counts_up_to_that_overlap() -> None:
    thin = (10.0, 10.0, 50.0, 10 + 0.77 * 80)
    answer = measured((found((thin, CUP, 0.9)), real((HERE, CUP))))
    assert answer.map50 == pytest.approx(1)
    assert answer.map == pytest.approx(0.6)  # IoU 0.50, 0.55, … 0.75 of ten


def test_one_object_is_found_once_and_what_was_missed_costs() -> None:
    twice = found((HERE, CUP, 0.9), (HERE, CUP, 0.8))
    answer = measured((twice, real((HERE, CUP), (ELSEWHERE, CUP))))
    assert answer.map50 == pytest.approx(51 / 101)  # precision 1 at the recalls 0, 0.01, … 0.5


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong() -> None:
    crowd = (0.0, 0.0, 300.0, 300.0)
    answer = measured(
        (found((HERE, CUP, 0.5), (ELSEWHERE, CUP, 0.9)), real((HERE, CUP), (crowd, CUP), crowd=(False, True)))
    )
    assert answer.map50 == pytest.approx(1)
    assert answer.boxes["cup"] == 1


def test_classes_that_a_source_does_not_label_are_not_punished_there() -> None:
    dogs_only = real((ELSEWHERE, DOG), known=frozenset({DOG}))
    answer = measured(
        (found((HERE, CUP, 0.95), (ELSEWHERE, DOG, 0.9)), dogs_only), (found((HERE, CUP, 0.9)), real((HERE, CUP)))
    )
    assert answer.ap50 == {"cup": pytest.approx(1), "dog": pytest.approx(1), "tree": None}
    everything = real((ELSEWHERE, DOG))
    answer = measured(
        (found((HERE, CUP, 0.95), (ELSEWHERE, DOG, 0.9)), everything), (found((HERE, CUP, 0.9)), real((HERE, CUP)))
    )
    assert answer.ap50["cup"] == pytest.approx(0.5)


def test_a_box_of_a_class_that_its_source_labels_only_here_and_there_is_not_asked_for() -> None:
    answer = measured((found(), real((HERE, CUP), known=frozenset())), (found((HERE, CUP, 0.9)), real((HERE, CUP))))
    assert answer.ap50["cup"] == pytest.approx(1)
    assert answer.boxes["cup"] == 1


def test_nothing_found_is_zero_and_nothing_to_find_is_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert measured((found(), real((HERE, CUP)))).ap50 == {"cup": 0.0, "dog": None, "tree": None}
    nothing = measured((found((HERE, CUP, 0.9)), real()))
    assert (nothing.map, nothing.map50) == (0, 0)
    assert set(nothing.ap.values()) == {None}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        (0.9, 0.0, 0.25),  # every score will do: the usual one
        (0.12, 0.0, 0.1),  # a network that is never sure shows something all the same
        (0.62, 0.47, 0.5),  # wrong boxes are kept out
        (0.32, 0.62, 0.25),  # wrong ones are surer than right ones, so nothing keeps them out
        (0.0, 0.9, 0.25),  # there is nothing to choose from
    ],
)
def test_the_best_score_shows_what_is_right_and_hides_what_is_wrong(
    right: float, wrong: float, expected: float
) -> None:
    boxes = [(HERE, CUP, right), (ELSEWHERE, CUP, wrong)]
    answer = measured(*[(found(*(box for box in boxes if box[2])), real((HERE, CUP)))] * 50)
    assert answer.sure == pytest.approx(expected)


def test_the_best_score_is_that_of_all_classes_together() -> None:
    many = [(found((HERE, CUP, 0.9), (HERE, DOG, 0.3), (ELSEWHERE, DOG, 0.13)), real((HERE, CUP), (HERE, DOG)))] * 4
    assert measured(*many).sure == pytest.approx(0.25)
    rarely = [(found((HERE, CUP, 0.9), (HERE, DOG, 0.17)), real((HERE, CUP), (HERE, DOG)))] * 4
    assert measured(*rarely).sure == pytest.approx(0.15)


def test_one_box_of_few_does_not_move_the_best_score() -> None:
    right = (found((HERE, CUP, 0.9)), real((HERE, CUP)))
    wrong = (found((HERE, CUP, 0.9), (ELSEWHERE, CUP, 0.57)), real((HERE, CUP)))
    assert measured(right, right, right, wrong).sure == pytest.approx(0.25)
    assert measured(*[right] * 30, *[wrong] * 10).sure == pytest.approx(0.6)


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        average_precision([found()], [real(), real()], labels=LABELS)
    with pytest.raises(ValueError, match="class 3"):
        average_precision([found((HERE, 3, 0.5))], [real()], labels=LABELS)
    with pytest.raises(ValueError, match="length"):
        Truth(np.zeros((2, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, bool))


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    confidences = np.array([0.9] * 10 + [0.6] * 10)
    hits = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    assert calibration_error(confidences, hits) == pytest.approx(0.5 * 0.0 + 0.5 * 0.3)


def test_pictures_are_ranked_by_class_and_what_cannot_be_told_does_not_count() -> None:
    scores = np.array([[0.9, 0.2, 0.5], [0.8, 0.9, 0.4], [0.7, 0.1, 0.3], [0.95, 0.3, 0.2]], np.float32)
    there = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]], bool)
    known = np.ones((4, 3), bool)
    first, second, third = ranking_precision(scores, there, known)
    assert first == pytest.approx((1 / 2 + 2 / 4) / 2)  # second and last of four
    assert second == 1 and np.isnan(third)
    known[3, 0] = False  # the surest of the first class may be right after all
    assert ranking_precision(scores, there, known)[0] == pytest.approx((1 / 1 + 2 / 3) / 2)


# --- faces


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    same = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    cosines = np.array([0.9, 0.5, 0.2, 0.6, 0.2, 0.1, 0.0], np.float32)
    found = separation(cosines, same)
    assert found.auc == pytest.approx((4 + 3 + 2.5) / 12)
    assert (found.same, found.different) == (3, 4)
    perfect = separation(np.array([0.9, 0.1], np.float32), np.array([True, False]))
    assert (perfect.auc, perfect.eer) == (1.0, 0.0)
    assert separation(np.array([0.1, 0.9], np.float32), np.array([True, False])).auc == 0.0
    with pytest.raises(ValueError, match="different people"):
        separation(cosines, np.ones(7, bool))


def test_the_equal_error_is_where_both_errors_are_equal() -> None:
    same = np.repeat([True, False], 10)
    cosines = np.concatenate([np.arange(10) + 0.5, np.arange(10) - 4.0]).astype(np.float32)
    # At 2.6, say: three of ten are refused, three of ten (3, 4, 5) accepted.
    assert separation(cosines, same).eer == pytest.approx(0.3)
    assert separation(np.zeros(20, np.float32), same).eer == pytest.approx(0.5)


def test_true_accepts_at_a_rate_of_false_ones_that_the_pairs_can_tell() -> None:
    others = np.arange(100) / 100
    mine = np.array([0.985, 0.95, 0.905, 0.88, 0.5])
    same = np.arange(105) < 5
    found = separation(np.concatenate([mine, others]).astype(np.float32), same)
    # One of a hundred may be accepted: 0.99 alone lies above 0.98; ten of them: above 0.89.
    assert found.tar == {0.1: pytest.approx(0.6), 0.01: pytest.approx(0.2), 0.001: None}
    few = separation(np.array([0.9, 0.1], np.float32), np.array([True, False]))
    assert few.tar == {0.1: None, 0.01: None, 0.001: None}
    # Pairs that are alike to the last bit are accepted all together or not at all.
    level = separation(np.array([0.5] * 50 + [0.5] * 50, np.float32), np.arange(100) < 50)
    assert level.tar[0.1] == 0.0


def test_calibration_is_the_odds_that_there_are() -> None:
    random = np.random.default_rng(0)
    # Two normal distributions of one width: the log odds are a straight line, slope (m1 - m2) / s^2.
    same, different = random.normal(0.5, 0.15, 20_000), random.normal(0.1, 0.15, 60_000)
    slope, offset = calibrated(same.astype(np.float32), different.astype(np.float32))
    assert slope == pytest.approx(0.4 / 0.15**2, rel=0.03)
    assert -offset / slope == pytest.approx(0.3, abs=0.005)
    apart = calibrated(np.array([0.9, 0.8], np.float32), np.array([0.1, 0.2, 0.15], np.float32))
    assert all(np.isfinite(apart)) and apart[0] > 0 and 0.2 < -apart[1] / apart[0] < 0.8


def test_each_fold_is_judged_by_the_threshold_of_the_others() -> None:
    # The fold of its own has its cosines moved: the threshold of the others judges it wrongly.
    cosines = np.array([0.9, 0.8, 0.1, 0.2] * 3 + [0.45, 0.4, -0.3, -0.2], np.float32)
    same = np.array([True, True, False, False] * 4)
    folds = np.repeat([0, 1, 2, 9], 4)
    found = verification(cosines, same, folds)
    assert found.folds == (1.0, 1.0, 1.0, 0.5)
    assert found.accuracy == pytest.approx(3.5 / 4)
    assert 0.2 < found.threshold < 0.4
