"""Who is it: embeddings of faces against those of enrolled people, with “nobody I know” as an answer.

Embeddings enter, ids and probabilities leave; NumPy alone, so that nothing here knows which network made them, where
they are kept, or what a picture is. A `Recogniser` compares, a `Voter` lets the frames of a moving picture decide
together, `cluster` sorts faces of which nobody knows the names.

How much a face resembles a person is the mean of two cosines: to the nearest of that person's shots, which knows the
one that was taken from the same side, and to the mean of all of them, which no single bad shot can spoil. Measured on
Labeled Faces in the Wild (30 people with 3 shots each, 2 % of the strangers named, the bundled network while it was
still learning), this names 54 % rightly, the nearest shot alone 49 %, the mean of the best two 50 %, the mean of all
shots alone 53 %. Whether a face *is* that person is a question of a threshold, which depends on how many people are
enrolled: each of them is one more chance for a stranger to resemble somebody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.types import FaceQuality, Floats

PEOPLE = 30
"""For how many enrolled people the threshold of a card was measured."""

_Numbers = NDArray[np.int64]

_LEAST_PROBABILITY = 0.9  # no threshold is suggested at which a face would be named with less
_FALSE_NAMES = 0.02  # share of strangers of the gallery's own kind that a suggested threshold may name
_REFUSED = 0.1  # share of a gallery's own shots that no suggested threshold may refuse for their sake
_CHUNK = 2048  # rows that are compared at a time: 2048 x 20,000 numbers are 160 MB
_BLOCK = 1_000_000  # cosines between faces that are looked at a time, while it is found out which hang together
_MOST_KEPT = 1_000_000  # similarities of each kind that a histogram is made of


@dataclass(frozen=True)
class Match:
    """Whom a face resembles most, and whether it is that person.

    Attributes:
        person: id of the person that it resembles most; None: nobody is enrolled.
        name: of that person if the similarity reaches the threshold; None: somebody unknown.
        similarity: to that person, -1..1: the mean of the cosines to the nearest of its shots and to the mean of them.
        probability: calibrated, that both are the same, where that is as likely as not beforehand.
    """

    person: int | None = field(repr=False)
    name: str | None = field(repr=False)
    similarity: float
    probability: float


NOBODY = Match(None, None, 0.0, 0.0)
"""Of a face of which nothing can be said: nobody is enrolled, or it was not looked at."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparisons:
    """Each shot of a gallery read as if it were new: against the rest of its own person, and against everybody else.

    Attributes:
        row: (K,) of the shot among the gallery's embeddings.
        person: (K,) whom it is compared with.
        similarity: (K,) float32, as `Match.similarity`.
        same: (K,) bool, whether the shot is that person's.
    """

    row: _Numbers
    person: _Numbers
    similarity: Floats
    same: NDArray[np.bool_]


class Recogniser:
    """Enrolled people, as one network sees them. It never changes; another gallery is another recogniser.

    Attributes:
        names: by id.
        threshold: similarity from which a face is named.
        calibration: slope and offset, as `ModelCard.calibration`.
        model: which network made the embeddings ("name:digest"); "" if that is not known.
    """

    def __init__(
        self,
        embeddings: Floats,
        person_ids: NDArray[np.integer],
        names: Mapping[int, str],
        *,
        calibration: tuple[float, float],
        threshold: float,
        model: str = "",
    ) -> None:
        """
        Args:
            embeddings: (N, D), a row a shot; N may be 0.
            person_ids: (N,) whose shot each is.
            names: of all these people; of people without a shot nobody can be recognised.

        Raises:
            ValueError: the two differ in length, a person has no name, or an embedding is no direction.
        """
        ids = np.asarray(person_ids, np.int64)
        if embeddings.ndim != 2 or ids.shape != embeddings.shape[:1]:
            raise ValueError(f"embeddings of shape {embeddings.shape}, ids of shape {ids.shape}")
        if not set(ids.tolist()) <= set(names):
            raise ValueError("a shot belongs to nobody")
        lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ValueError("an embedding is no direction")
        self.names = dict(names)
        self.threshold = float(threshold)
        self.calibration = (float(calibration[0]), float(calibration[1]))
        self.model = model
        self._order = np.argsort(ids, kind="stable")  # rows by person, so that a person is a stretch of columns
        self._of = ids[self._order]
        self._shots = np.ascontiguousarray((embeddings / np.maximum(lengths, 1e-12))[self._order], np.float32)
        self._people, self._starts = np.unique(self._of, return_index=True)
        self._totals = np.add.reduceat(self._shots, self._starts, axis=0) if len(ids) else self._shots
        self._means = _directions(self._totals)

    def __len__(self) -> int:
        """How many shots there are."""
        return len(self._shots)

    def __repr__(self) -> str:
        return f"Recogniser({len(self._people)} people, {len(self)} shots, threshold {self.threshold:.2f})"

    @property
    def people(self) -> tuple[int, ...]:
        """Ids of those who have a shot, in ascending order."""
        return tuple(self._people.tolist())

    @property
    def dimension(self) -> int:
        """How many numbers an embedding has."""
        return int(self._shots.shape[1])

    def match(self, embeddings: Floats) -> list[Match]:
        """Whom each of some faces (M, D) resembles most, named from `threshold` on.

        Raises:
            EngineError: these embeddings are another network's.
        """
        if not len(self) or not len(embeddings):
            return [NOBODY] * len(embeddings)
        likeness = self.likeness(embeddings)
        best = likeness.argmax(axis=1)
        return [self._matched(int(column), float(row[column])) for row, column in zip(likeness, best, strict=True)]

    def likeness(self, embeddings: Floats) -> Floats:
        """Similarity (M, P) of each of some faces (M, D) to each of `people`.

        Raises:
            EngineError: these embeddings are another network's.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dimension:
            raise EngineError(
                "The enrolled people were seen by another network than this one.",
                "Let the gallery look at its pictures again with the network that is in use.",
            )
        values = _directions(embeddings)
        return _halfway(self._nearest(values @ self._shots.T), values @ self._means.T)

    def named(self, person: int, similarity: float) -> Match:
        """The match with a person of whom it is known already that the face is theirs."""
        return Match(person, self.names[person], similarity, self.probability(similarity))

    def probability(self, similarity: float) -> float:
        """Calibrated probability that two faces of this cosine are the same person's."""
        slope, offset = self.calibration
        return 1 / (1 + math.exp(-min(max(slope * similarity + offset, -50.0), 50.0)))

    # ------------------------------------------------------------------------------------- about the gallery

    def comparisons(self) -> Comparisons:
        """Every shot against the rest of its own person (if there is more of that) and against everybody else.

        These are the similarities that `match` would have found had the shot not been enrolled, so a threshold can be
        judged by them. In a very large gallery not every shot is taken, at most a million comparisons of each kind.
        """
        count, people = len(self), len(self._people)
        step = max(1, math.ceil(count * max(1, people - 1) / _MOST_KEPT))
        rows = np.arange(0, count, step)
        own = np.searchsorted(self._people, self._of)  # column of each shot's person
        parts: list[Floats] = []
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            shots, each = self._shots[some], np.arange(len(some))
            cosines = shots @ self._shots.T
            cosines[each, some] = -np.inf  # a shot says nothing about itself
            to_means = shots @ self._means.T
            others = _directions(self._totals[own[some]] - shots)
            to_means[each, own[some]] = (shots * others).sum(axis=1)
            parts.append(_halfway(self._nearest(cosines), to_means))
        likeness = np.concatenate(parts) if parts else np.zeros((0, people), np.float32)
        is_own = own[rows][:, None] == np.arange(people)[None, :]
        row, column = np.nonzero(np.isfinite(likeness))  # the only shot of a person has nothing of its own
        return Comparisons(
            self._order[rows][row],
            self._people[column],
            likeness[row, column],
            np.ascontiguousarray(is_own[row, column]),
        )

    def similarities(self) -> tuple[Floats, Floats]:
        """Similarities of this gallery's faces to the people they are, and to people they are not (`comparisons`)."""
        found = self.comparisons()
        return found.similarity[found.same], found.similarity[~found.same]

    def suggested_threshold(self, usual: float | None = None) -> float:
        """The threshold for this gallery: what the network's measurement says, corrected by the faces that are there.

        The odds that a stranger resembles somebody grow with the number of people; by the calibration, that is a
        shift of log(people / `PEOPLE`) / slope. If the people resemble each other more than that (a family, say), the
        threshold rises until they are told apart, unless it would refuse more than a tenth of their own shots.

        Args:
            usual: the threshold of the network's card, measured with `PEOPLE` people; None: that of this recogniser.
        """
        slope, offset = self.calibration
        threshold = self.threshold if usual is None else usual
        if slope > 0 and len(self._people):
            shifted = threshold + math.log(len(self._people) / PEOPLE) / slope
            least = (math.log(_LEAST_PROBABILITY / (1 - _LEAST_PROBABILITY)) - offset) / slope
            threshold = max(shifted, min(least, threshold))
        found = self.comparisons()
        if not found.same.all():
            nearest = np.full(len(self), -np.inf, np.float32)  # of each shot, to anybody else
            np.maximum.at(nearest, found.row[~found.same], found.similarity[~found.same])
            strangers = float(np.quantile(nearest[np.isfinite(nearest)], 1 - _FALSE_NAMES))
            own = found.similarity[found.same]
            most = float(np.quantile(own, _REFUSED)) if len(own) else 1.0
            threshold = max(threshold, min(strangers, most))
        return float(min(max(threshold, -1.0), 1.0))

    def overlap(self) -> list[tuple[int, int, float]]:
        """Pairs of people who would be taken for each other, with their similarity, the most alike first.

        A pair is here if a shot of one reaches the threshold with the other.
        """
        found = self.comparisons()
        sure = ~found.same & (found.similarity >= self.threshold)
        owner = np.empty(len(self), np.int64)
        owner[self._order] = self._of
        pairs: dict[tuple[int, int], float] = {}
        for row, person, similarity in zip(found.row[sure], found.person[sure], found.similarity[sure], strict=True):
            pair = (min(int(owner[row]), int(person)), max(int(owner[row]), int(person)))
            pairs[pair] = max(pairs.get(pair, -1.0), float(similarity))
        return sorted(((*pair, similarity) for pair, similarity in pairs.items()), key=lambda each: -each[2])

    def outliers(self) -> _Numbers:
        """Rows of the shots that do not fit their person, in ascending order.

        Such a shot is more probably somebody else than another picture of its person, or resembles somebody else
        more. Of two shots that do not resemble each other neither can be told to be the wrong one, so a person needs
        three.
        """
        found = self.comparisons()
        owner = np.empty(len(self), np.int64)
        owner[self._order] = self._of
        shots = dict(zip(*(each.tolist() for each in np.unique(self._of, return_counts=True)), strict=True))
        own, other = np.full(len(self), np.inf), np.full(len(self), -np.inf)
        own[found.row[found.same]] = found.similarity[found.same]
        np.maximum.at(other, found.row[~found.same], found.similarity[~found.same])
        slope, offset = self.calibration
        even = -offset / slope if slope > 0 else self.threshold
        several = np.array([shots[person] >= 3 for person in owner.tolist()], bool)
        return np.flatnonzero(several & ((own < even) | ((other > own) & (other >= self.threshold))))

    # ----------------------------------------------------------------------------------------------- inside

    def _nearest(self, cosines: Floats) -> Floats:
        """Cosines (M, P) to the nearest shot of each person, of those (M, N) to all shots in their order."""
        if not len(self._starts):
            return np.zeros((len(cosines), 0), np.float32)
        nearest: Floats = np.maximum.reduceat(cosines, self._starts, axis=1)
        return nearest

    def _matched(self, column: int, similarity: float) -> Match:
        person = int(self._people[column])
        name = self.names[person] if similarity >= self.threshold else None
        return Match(person, name, similarity, self.probability(similarity))


def _halfway(some: Floats, others: Floats) -> Floats:
    return ((some + others) / 2).astype(np.float32)


def _directions(embeddings: Floats) -> Floats:
    """Brought to length 1."""
    values: Floats = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    return values.astype(np.float32)


# ------------------------------------------------------------------------------------------------ several frames

_VOTES = 3  # looks at a face before it is named, so that a single blurred frame names nobody
_MARGIN = 0.03  # a name that was given stays until the similarity has fallen by this below the threshold
_HALF_LIFE = 2.0  # seconds after which an old look counts half: a track may pass on to another person
_LOOKS = 5  # at which a face that is new counts as known
_AGAIN = 0.5  # seconds after which a known face is looked at again
_TURNED = 0.15  # difference in yaw or pitch from which a view is another one
_BETTER = 0.15  # by how much a view must be better to be worth another look
_LEAST_WEIGHT = 0.05  # of a look at the worst of faces


@dataclass
class _Track:
    """What is remembered of one face that is followed.

    Attributes:
        total: (D,) weighted sum of its embeddings.
        looks: how many there were.
        looked: when the last was.
        seen: when the face was in a frame for the last time.
        quality: of the view that was looked at last.
        named: who it is by now.
    """

    total: NDArray[np.float64]
    looks: int
    looked: float
    seen: float
    quality: FaceQuality
    embedding: Floats
    named: int | None = None


class Voter:
    """Lets the frames in which a face is followed decide together who it is. Use it from one thread at a time.

    It also tells whose embedding is worth computing again: that of a face that is new, that has turned, or was not
    looked at for a while. Where somebody sits still before the camera, that is two frames a second.
    """

    def __init__(self, *, keep: float = 1.0) -> None:
        """
        Args:
            keep: seconds after which a face that is not seen is forgotten.
        """
        self._keep = keep
        self._tracks: dict[int, _Track] = {}

    def need(self, track: int, quality: FaceQuality, *, time: float) -> float:
        """How much a face should be looked at now, the neediest most; 0: not at all.

        Args:
            track: its number, -1 where it has none yet.
            quality: of its view in this frame.
            time: of the frame, seconds on the source's clock.
        """
        known = self._tracks.get(track)
        if known is None:
            return 3.0 + quality.overall
        if known.looks < _LOOKS:
            return 2.0 + quality.overall
        waited = time - known.looked
        before = known.quality
        turned = max(abs(quality.yaw - before.yaw), abs(quality.pitch - before.pitch)) > _TURNED
        if waited >= _AGAIN or turned or quality.overall > before.overall + _BETTER:
            return 1.0 + min(waited, 1.0)
        return 0.0

    def vote(
        self,
        people: Recogniser | None,
        tracks: Sequence[int],
        looks: Sequence[tuple[Floats, FaceQuality] | None],
        *,
        time: float,
    ) -> list[Match]:
        """Who the faces of one frame are, by all that was seen of each so far.

        Args:
            people: among whom; None: nobody is enrolled.
            tracks: number of each face, -1 where it has none yet: nobody votes for that one.
            looks: embedding (D,) and quality of each that was looked at in this frame.
            time: of the frame, seconds on the source's clock; never less than before.
        """
        self._tracks = {track: each for track, each in self._tracks.items() if time - each.seen <= self._keep}
        for track, look in zip(tracks, looks, strict=True):
            if track >= 0 and look is not None:
                self._count(track, look[0], look[1], time)
            if track in self._tracks:
                self._tracks[track].seen = time
        return [
            self._decide(people, self._tracks[track])
            if track in self._tracks
            else self._at_first_sight(people, None if look is None else look[0])
            for track, look in zip(tracks, looks, strict=True)
        ]

    def embedding(self, track: int) -> Floats | None:
        """What was seen at the last look at a face, (D,) of length 1; None: it was never looked at."""
        known = self._tracks.get(track)
        return None if known is None else known.embedding

    # ----------------------------------------------------------------------------------------------- inside

    def _count(self, track: int, embedding: Floats, quality: FaceQuality, time: float) -> None:
        weighted = embedding.astype(np.float64) * max(quality.overall, _LEAST_WEIGHT)
        known = self._tracks.get(track)
        if known is None:
            self._tracks[track] = _Track(weighted, 1, time, time, quality, embedding)
            return
        known.total = known.total * 0.5 ** ((time - known.looked) / _HALF_LIFE) + weighted
        known.looks += 1
        known.looked, known.quality, known.embedding = time, quality, embedding

    def _decide(self, people: Recogniser | None, track: _Track) -> Match:
        if people is None or not len(people):
            track.named = None
            return NOBODY
        likeness = people.likeness(track.total.astype(np.float32)[None])[0]
        ids = people.people
        best = int(likeness.argmax())
        person, similarity = ids[best], float(likeness[best])
        if track.named in ids:
            before = float(likeness[ids.index(track.named)])
            if before >= people.threshold - _MARGIN and similarity < before + _MARGIN:
                return people.named(track.named, before)
        track.named = person if similarity >= people.threshold and track.looks >= _VOTES else None
        if track.named is None:
            return Match(person, None, similarity, people.probability(similarity))
        return people.named(person, similarity)

    def _at_first_sight(self, people: Recogniser | None, embedding: Floats | None) -> Match:
        if people is None or embedding is None:
            return NOBODY
        found = people.match(embedding[None])[0]
        return Match(found.person, None, found.similarity, found.probability)


# ------------------------------------------------------------------------------------------------ unknown faces


def cluster(embeddings: Floats, threshold: float, *, pictures: Sequence[int] | None = None) -> _Numbers:
    """Sorts faces into people nobody has named: the number of each one's group, the largest group first.

    Groups grow as long as the mean cosine between the faces of two of them reaches the threshold (average linkage), so
    one face between two people does not join them. A face that resembles no other is a group of its own.

    Args:
        embeddings: (N, D), of length 1.
        threshold: cosine from which two faces are taken for one person.
        pictures: (N,) the number of the picture that each is from: nobody is in a picture twice. None: not known.

    Returns:
        (N,) numbers from 0 on; groups of one size in the order in which they appear.
    """
    count = len(embeddings)
    values = _directions(embeddings)
    labels = np.zeros(count, np.int64)
    seen_in = np.arange(count) if pictures is None else np.asarray(pictures, np.int64)
    groups = 0
    for members in _connected(values, threshold):
        for group in _average_linkage(values[members], threshold, seen_in[members].tolist()):
            labels[members[group]] = groups
            groups += 1
    sizes = np.bincount(labels, minlength=groups)
    first = np.full(groups, count)
    np.minimum.at(first, labels, np.arange(count))
    rank = np.empty(groups, np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(groups)
    return rank[labels] if count else labels


def _connected(values: Floats, threshold: float) -> list[_Numbers]:
    """Rows that hang together by cosines from the threshold on: no group of theirs reaches beyond these.

    In blocks of at most `_BLOCK` cosines, so memory does not depend on how many faces are one person's.
    """
    count = len(values)
    least = np.arange(count)  # of the rows that each is known to hang together with
    step = max(1, _BLOCK // max(1, count))
    for start in range(0, count, step):
        near = values[start : start + step] @ values[start:].T >= threshold
        while True:
            # Only what joins two groups is of interest; among faces of one person that is next to nothing soon.
            near &= least[start : start + step, None] != least[start:]
            rows, columns = np.nonzero(near)
            if not len(rows):
                break
            one, other = least[start + rows], least[start + columns]
            np.minimum.at(least, np.maximum(one, other), np.minimum(one, other))
            while ((further := least[least]) != least).any():
                least = further
    order = np.argsort(least, kind="stable")
    edges = np.flatnonzero(np.diff(least[order])) + 1
    return [each for each in np.split(order, edges) if len(each)]


def _average_linkage(values: Floats, threshold: float, pictures: Sequence[int]) -> list[_Numbers]:
    """Groups of rows, none with two of one picture, by the chain of nearest neighbours (Murtagh 1983).

    The mean cosine between two groups is the product of their mean vectors, so no table of all pairs is needed. That
    two groups may not be joined once they share a picture only ever makes them less similar, so the chain still finds
    what joining the two nearest groups again and again would find.
    """
    count = len(values)
    means = values.astype(np.float64)
    sizes = np.ones(count)
    alive = np.ones(count, bool)
    members: list[list[int]] = [[row] for row in range(count)]
    holders: dict[int, set[int]] = {}  # of each picture, the groups with a face of it
    for row, picture in enumerate(pictures):
        holders.setdefault(picture, set()).add(row)
    shared = [[picture] if len(holders[picture]) > 1 else [] for picture in pictures]  # of each group
    done: list[list[int]] = []
    chain: list[int] = []
    while alive.any():
        if not chain:
            chain.append(int(alive.argmax()))
        top = chain[-1]
        similar = means @ means[top]
        similar[~alive] = -np.inf
        similar[top] = -np.inf
        for picture in shared[top]:
            similar[list(holders[picture])] = -np.inf
        nearest = int(similar.argmax())
        if len(chain) > 1 and similar[chain[-2]] >= similar[nearest] - 1e-12:
            nearest = chain[-2]
        if not np.isfinite(similar[nearest]) or similar[nearest] < threshold:
            done.append(members[top])  # its nearest is too far, and never comes nearer
            alive[top] = False
            chain.pop()
        elif len(chain) > 1 and nearest == chain[-2]:
            chain.pop()
            chain.pop()
            total = sizes[top] + sizes[nearest]
            means[nearest] = (sizes[top] * means[top] + sizes[nearest] * means[nearest]) / total
            sizes[nearest] = total
            for picture in shared[top]:
                holders[picture] ^= {top, nearest}
            shared[nearest] += shared[top]
            members[nearest] += members[top]
            alive[top] = False
        else:
            chain.append(nearest)
    return [np.sort(np.array(group, np.int64)) for group in done]
