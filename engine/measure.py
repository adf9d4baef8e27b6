"""How good a network is, in figures: average precision of boxes and classes, calibration, faces told apart.

Answers and truth enter as arrays, figures leave; where the pictures come from and which network answered is not known
here, so that the training loop, the command line and a script all measure with the same code.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.types import Detections, Floats

USUAL = 0.25
"""Score from which boxes are shown where nothing else is known of a network (`ModelCard.min_score`)."""

LEAST_SEEN = 0.25
"""Share of a box that must be in what a network sees for the thing to be there, in learning as in measuring."""

_SURE = np.arange(2, 13) / 20  # scores among which the best one is looked for
_CHANCE = 0.02  # share of the best F1 that says nothing
_MOST_OF_A_CLASS = 100  # detections of one class in one picture that count (COCO's rule)
_BINS = 15  # of confidence, for the calibration error (Guo et al. 2017)


@dataclass(frozen=True, eq=False)
class Truth:
    """The boxes that are really in one picture.

    Attributes:
        xyxy: (N, 4) float32, pixels of the picture.
        class_id: (N,) int64.
        crowd: (N,) bool: the box holds many of its class, so what is found in it is neither right nor wrong.
        known: the classes of which every one in this picture has a box; None: all of them. Of any other class nothing
            can be told here, and what was found or not found of it does not count.
    """

    xyxy: Floats
    class_id: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    known: frozenset[int] | None = None

    def __post_init__(self) -> None:
        n = len(self.class_id)
        if self.xyxy.shape != (n, 4) or self.class_id.shape != (n,) or self.crowd.shape != (n,):
            raise ValueError("the arrays of Truth differ in length")


@dataclass(frozen=True)
class Precision:
    """Average precision of boxes, each figure in 0..1 (Lin et al. 2014; cocodataset.org/#detection-eval).

    Attributes:
        map: mean of the AP over IoU 0.50, 0.55, … 0.95 and over all classes of which there are true boxes; 0 if there
            are none at all.
        map50: the same at IoU 0.50 alone.
        ap, ap50: of each class by name; None where there is no true box of it.
        boxes: how many true boxes of each class were counted (those of crowds are not).
        count: pictures.
        sure: the score from which on boxes are best shown: where precision and recall at IoU 0.50 are highest together
            (the mean of the classes' F1), and of scores that do as well (within 2 %, or one box of few) the one next
            to 0.25.
    """

    map: float
    map50: float
    ap: dict[str, float | None]
    ap50: dict[str, float | None]
    boxes: dict[str, int]
    count: int
    sure: float = USUAL


def average_precision(found: Iterable[Detections], truth: Sequence[Truth], *, labels: Sequence[str]) -> Precision:
    """COCO's average precision, by COCO's own code (pycocotools), of boxes of all sizes.

    Args:
        found: what was found in each picture; `class_id` counts in `labels`. Scores as low as they come: the precision
            at high recall is made of them.
        truth: what is there, in the same order of pictures.
        labels: names of the classes. A class with no true box enters neither mean.

    Raises:
        ValueError: the two differ in length, or a class is none of `labels`.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    true_boxes: list[dict[str, Any]] = []
    found_boxes: list[dict[str, Any]] = []
    for number, (detections, real) in enumerate(zip(found, truth, strict=True)):
        for xyxy, class_id, crowd in zip(real.xyxy, real.class_id, real.crowd, strict=True):
            if real.known is None or int(class_id) in real.known:
                box = _annotation(len(true_boxes), number, xyxy, int(class_id), len(labels))
                true_boxes.append({**box, "iscrowd": int(crowd)})
        for xyxy, class_id, score in zip(detections.xyxy, detections.class_id, detections.confidence, strict=True):
            if real.known is None or int(class_id) in real.known:
                box = _annotation(len(found_boxes), number, xyxy, int(class_id), len(labels))
                found_boxes.append({**box, "iscrowd": 0, "score": float(score)})
    names = [{"id": number, "name": label} for number, label in enumerate(labels)]
    pictures = [{"id": number} for number in range(len(truth))]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress, and there is no asking it not to
        sides = []
        for boxes in (true_boxes, found_boxes):
            side = COCO()
            side.dataset = {"images": pictures, "categories": names, "annotations": boxes}
            side.createIndex()
            sides.append(side)
        measuring = COCOeval(*sides, iouType="bbox")
        measuring.params.areaRng, measuring.params.areaRngLbl = [[0, 1e10]], ["all"]
        measuring.params.maxDets = [_MOST_OF_A_CLASS]
        counts = dict.fromkeys(labels, 0)
        for box in true_boxes:
            counts[labels[box["category_id"]]] += not box["iscrowd"]
        if not true_boxes:
            return Precision(0.0, 0.0, dict.fromkeys(labels), dict.fromkeys(labels), counts, len(truth))
        measuring.evaluate()
        measuring.accumulate()
    precision = measuring.eval["precision"][:, :, :, 0, 0]  # IoU, recall, class; -1 where there is no true box
    ap = {label: _mean(precision[:, :, number]) for number, label in enumerate(labels)}
    ap50 = {label: _mean(precision[0, :, number]) for number, label in enumerate(labels)}
    sure = _best_score(measuring.evalImgs, [counts[label] for label in labels])
    return Precision(_mean(precision) or 0.0, _mean(precision[0]) or 0.0, ap, ap50, counts, len(truth), sure)


def _best_score(judged: Sequence[dict[str, Any] | None], counts: Sequence[int]) -> float:
    """`Precision.sure` from what COCO's code says of each picture and class, and the true boxes of each class."""
    right, wrong = np.zeros((2, len(counts), len(_SURE)))
    for one in judged:
        if one is not None:
            counted = ~one["dtIgnore"][0].astype(bool)
            shown = np.array(one["dtScores"])[:, None] >= _SURE
            matched = one["dtMatches"][0] > 0
            right[one["category_id"]] += shown[counted & matched].sum(axis=0)
            wrong[one["category_id"]] += shown[counted & ~matched].sum(axis=0)
    there = np.array(counts) > 0
    both = 2 * right[there] / (right[there] + wrong[there] + np.array(counts)[there, None])  # F1 of each class
    together = both.mean(axis=0)
    if not together.max() > 0:
        return USUAL
    as_good = _SURE[together >= (1 - max(_CHANCE, 1 / sum(counts))) * together.max()]
    return float(as_good[np.abs(as_good - USUAL).argmin()])


def _annotation(number: int, picture: int, xyxy: Floats, class_id: int, classes: int) -> dict[str, Any]:
    if not 0 <= class_id < classes:
        raise ValueError(f"class {class_id} is none of {classes}")
    x0, y0, x1, y1 = (float(value) for value in xyxy)
    # Numbers from 1 on: COCO's code takes a match with number 0 for no match.
    return {
        "id": number + 1,
        "image_id": picture,
        "category_id": class_id,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
    }


def _mean(precision: NDArray[np.float64]) -> float | None:
    there = precision[precision > -1]
    return float(there.mean()) if there.size else None


def ranking_precision(scores: Floats, there: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of each class where pictures are ranked by its score (Everingham et al. 2010, section 4.2, with
    every point of the curve): the mean, over the pictures that have it, of the share of right ones down to there.

    Args:
        scores: (N, C) of each class in each picture.
        there: (N, C) whether the class is in the picture.
        known: (N, C) whether that can be told; what cannot does not count.

    Returns:
        (C,), not a number for a class that no picture has.
    """
    precision = np.full(scores.shape[1], math.nan)
    for number in range(scores.shape[1]):
        rows = np.flatnonzero(known[:, number])
        ranked = there[rows[np.argsort(-scores[rows, number], kind="stable")], number]
        if ranked.any():
            precision[number] = float((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean())
    return precision


def calibration_error(confidences: NDArray[np.floating], hits: NDArray[np.bool_]) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3) over 15 equally wide bins.

    Args:
        confidences: (N,) probability of each answer, 0..1.
        hits: (N,) whether that answer was right.
    """
    bins = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    gaps = np.bincount(bins, confidences, _BINS) - np.bincount(bins, hits.astype(float), _BINS)
    return float(np.abs(gaps).sum() / max(1, counts.sum()))


@dataclass(frozen=True, eq=False)
class Verified:
    """How well a cosine tells whether two faces are one person's, by the protocol of Labeled Faces in the Wild.

    Attributes:
        accuracy: mean over the folds of the share of pairs judged rightly, each by the threshold that suits the other
            folds best (Huang et al. 2007, “View 2”).
        folds: that share of each fold.
        threshold: the cosine that suits all pairs best.
    """

    accuracy: float
    folds: tuple[float, ...]
    threshold: float


def verification(cosines: Floats, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> Verified:
    """The protocol of `Verified` on pairs: the cosine ``(P,)`` of each, whether it is one person, and its fold."""
    shares = []
    for fold in np.unique(folds):
        here = folds == fold
        threshold = _best_threshold(cosines[~here], same[~here])
        shares.append(float(((cosines[here] >= threshold) == same[here]).mean()))
    return Verified(float(np.mean(shares)), tuple(shares), _best_threshold(cosines, same))


FALSE_ACCEPTS = (0.1, 0.01, 0.001)
"""Shares of pairs of different people that are taken for one, at which it is usual to ask for the others."""


@dataclass(frozen=True)
class Separation:
    """How far the cosines of one person's pairs lie from those of different people's, whatever the threshold.

    Attributes:
        auc: probability that a pair of one person has the larger cosine (area under the ROC curve).
        eer: the error rate where as large a share of one kind is judged wrongly as of the other.
        tar: by rates of false accepts, the share of one person's pairs that is accepted (true accept rate); None where
            the pairs are too few to tell: of so few not one may be accepted.
        same, different: how many pairs of each kind there are.
    """

    auc: float
    eer: float
    tar: dict[float, float | None]
    same: int
    different: int


def separation(
    cosines: Floats, same: NDArray[np.bool_], *, false_accepts: Sequence[float] = FALSE_ACCEPTS
) -> Separation:
    """The ROC curve of pairs in figures: the cosine ``(P,)`` of each, and whether it is one person.

    A pair is accepted if its cosine is larger than the threshold; at a rate of false accepts f of N pairs of different
    people, no more than f N of them are.

    Raises:
        ValueError: all pairs are of one kind.
    """
    mine, others = np.sort(cosines[same].astype(np.float64)), np.sort(cosines[~same].astype(np.float64))
    if not len(mine) or not len(others):
        raise ValueError("there must be pairs of one person and pairs of different people")
    below = np.searchsorted(others, mine, side="left")
    level = np.searchsorted(others, mine, side="right") - below
    auc = float((below + level / 2).mean() / len(others))
    thresholds = np.unique(np.concatenate([mine, others]))
    refused = np.searchsorted(mine, thresholds, side="right") / len(mine)
    accepted = 1 - np.searchsorted(others, thresholds, side="right") / len(others)
    # Between two thresholds both rates are taken to be straight lines, which cross at the one that is sought.
    refused, accepted = np.concatenate([[0.0], refused]), np.concatenate([[1.0], accepted])
    after = int((refused >= accepted).argmax())
    gap, gap_after = accepted[after - 1] - refused[after - 1], refused[after] - accepted[after]
    part = gap / (gap + gap_after) if gap + gap_after > 0 else 0.0
    eer = float(refused[after - 1] + part * (refused[after] - refused[after - 1]))
    tar: dict[float, float | None] = {}
    for rate in false_accepts:
        count = math.floor(rate * len(others) + 1e-9)
        enough = 1 <= count < len(others)
        tar[rate] = float((mine > others[len(others) - 1 - count]).mean()) if enough else None
    return Separation(auc, eer, tar, len(mine), len(others))


def calibrated(same: Floats, different: Floats) -> tuple[float, float]:
    """Slope a and offset b by which 1 / (1 + exp(-(a c + b))) is the probability that a cosine c is one person's.

    Logistic regression (Platt 1999) in which both kinds weigh the same however many there are, so the probability is
    that of two faces which are one person's as likely as not. Fitted by Newton's method.

    Args:
        same, different: cosines of pairs of one person, and of two; at least one of each.
    """
    cosines = np.concatenate([same, different]).astype(np.float64)
    sides = np.stack([cosines, np.ones_like(cosines)], axis=1)
    # Two targets a little inside 0 and 1, as Platt has them: pairs that a threshold separates have no best slope.
    targets = np.concatenate(
        [np.full(len(same), (len(same) + 1) / (len(same) + 2)), np.full(len(different), 1 / (len(different) + 2))]
    )
    weights = np.concatenate([np.full(len(same), 0.5 / len(same)), np.full(len(different), 0.5 / len(different))])
    found = np.zeros(2)

    def loss(values: NDArray[np.float64]) -> float:
        logits = sides @ values
        return float((weights * (np.logaddexp(0, logits) - targets * logits)).sum())

    for _ in range(100):
        chance = 1 / (1 + np.exp(-(sides @ found)))
        slope = sides.T @ (weights * (chance - targets))
        curve = (sides * (weights * chance * (1 - chance))[:, None]).T @ sides + 1e-12 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        before, length = loss(found), 1.0
        while loss(found - length * step) > before and length > 1e-6:
            length /= 2
        found = found - length * step
        if np.abs(length * step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def _best_threshold(cosines: Floats, same: NDArray[np.bool_]) -> float:
    """The cosine from which calling a pair the same is right most often, halfway between two pairs."""
    order = np.argsort(-cosines, kind="stable")
    ranked, right = cosines[order], same[order]
    hits: NDArray[np.int64] = np.cumsum(right) - np.cumsum(
        ~right
    )  # of the first k called the same, against none of them
    best = int(hits.argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 1e-3
    return float((ranked[best] + below) / 2)
