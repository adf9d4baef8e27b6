"""Who it is, in two or three dimensions, where the angles can be seen."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from engine import recognition
from engine.errors import EngineError
from engine.recognition import NOBODY, PEOPLE, Match, Recogniser, Voter, cluster
from engine.types import FaceQuality, Floats

ADA, BEN, CLEO = 4, 7, 1
NAMES = {ADA: "Ada", BEN: "Ben", CLEO: "Cleo", 99: "nobody's picture"}
GOOD = FaceQuality(1.0, 1.0, 1.0, 1.0)


def at(*degrees: float) -> Floats:
    """Embeddings in a plane, at these angles."""
    angles = np.radians(np.array(degrees, np.float64))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def likeness(face: float, *shots: float) -> float:
    """The mean of the cosines to the nearest of some shots and to their mean, all of them angles."""
    mean = at(*shots).sum(axis=0)
    return (max(cosine(face - shot) for shot in shots) + float(at(face)[0] @ mean / np.linalg.norm(mean))) / 2


def people(
    shots: Sequence[tuple[int, float]], *, threshold: float = 0.9, calibration: tuple[float, float] = (20.0, -15.0)
) -> Recogniser:
    """A gallery of (person, angle)."""
    ids = np.array([person for person, _ in shots], np.int64)
    embeddings = at(*(angle for _, angle in shots)) if shots else np.zeros((0, 2), np.float32)
    return Recogniser(embeddings, ids, NAMES, calibration=calibration, threshold=threshold)


GALLERY = [(BEN, 90.0), (ADA, 0.0), (BEN, 100.0), (ADA, 10.0), (CLEO, 200.0)]


def test_a_face_is_named_after_whom_it_resembles_most_or_not_at_all() -> None:
    known = people(GALLERY)
    assert (known.people, len(known), known.dimension) == ((CLEO, ADA, BEN), 5, 2)
    near, between, far = known.match(at(-20, 50, 280))
    assert (near.person, near.name) == (ADA, "Ada")
    assert near.similarity == pytest.approx(likeness(-20, 0, 10), abs=1e-6)
    assert near.similarity == pytest.approx((cosine(20) + cosine(25)) / 2, abs=1e-6)
    # Halfway between two people nobody is named, though it is known whom the face resembles.
    assert (between.person, between.name) == (ADA, None) or (between.person, between.name) == (BEN, None)
    assert between.similarity == pytest.approx(likeness(50, 0, 10), abs=1e-6)
    assert (far.person, far.name) == (CLEO, None)
    assert near.probability == pytest.approx(1 / (1 + math.exp(-(20 * near.similarity - 15))), abs=1e-6)


def test_lengths_do_not_matter_and_the_threshold_itself_is_enough() -> None:
    shots = np.array([[5.0, 0.0], [0.0, 0.01]], np.float32)
    known = Recogniser(shots, np.array([ADA, BEN]), NAMES, calibration=(1.0, 0.0), threshold=0.0)
    assert [each.name for each in known.match(at(10, 80) * 100)] == ["Ada", "Ben"]
    assert known.match(np.array([[-1.0, 0.0]], np.float32))[0] == Match(BEN, "Ben", 0.0, 0.5)


def test_nobody_enrolled_is_nobody_known() -> None:
    known = people([])
    assert known.match(at(0, 1)) == [NOBODY, NOBODY]
    assert known.people == ()
    assert [len(each) for each in known.similarities()] == [0, 0]
    assert known.overlap() == [] and known.outliers().tolist() == []
    assert known.suggested_threshold() == pytest.approx(0.9)


def test_embeddings_of_another_network_are_refused() -> None:
    with pytest.raises(EngineError, match="another network"):
        people(GALLERY).match(np.ones((1, 3), np.float32))


@pytest.mark.parametrize(
    ("embeddings", "ids"),
    [
        (np.ones((2, 4), np.float32), [ADA]),
        (np.ones(4, np.float32), [ADA]),
        (np.ones((1, 4), np.float32), [12345]),
        (np.zeros((1, 4), np.float32), [ADA]),
        (np.full((1, 4), np.nan, np.float32), [ADA]),
    ],
)
def test_what_is_no_gallery_is_refused(embeddings: Floats, ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"shape|nobody|direction"):
        Recogniser(embeddings, np.array(ids), NAMES, calibration=(1.0, 0.0), threshold=0.5)


def test_faces_and_names_do_not_show_in_what_is_printed() -> None:
    known = people(GALLERY)
    shown = f"{known!r} {known.match(at(0))!r} {known.comparisons()!r}"
    for name in NAMES.values():
        assert name not in shown
    assert "array" not in shown


def test_a_thousand_shots_of_hundreds_of_people() -> None:
    random = np.random.default_rng(0)
    shots = random.normal(size=(1000, 256)).astype(np.float32)
    ids = random.permutation(np.arange(1000) // 3)
    known = Recogniser(shots, ids, {n: str(n) for n in range(400)}, calibration=(1.0, 0.0), threshold=0.5)
    found = known.match(shots[:200] + 0.3 * random.normal(size=(200, 256)).astype(np.float32))
    assert [each.person for each in found] == ids[:200].tolist()
    assert [each.name for each in found] == [str(each) for each in ids[:200]]


# --- what a gallery says of itself


def test_each_shot_is_compared_as_if_it_were_new() -> None:
    found = people(GALLERY).comparisons()
    listed = {
        (int(row), int(person)): (float(similarity), bool(same))
        for row, person, similarity, same in zip(found.row, found.person, found.similarity, found.same, strict=True)
    }
    assert listed[0, BEN] == (pytest.approx(cosine(10), abs=1e-6), True)  # the other shot, not itself
    assert listed[0, ADA] == (pytest.approx(likeness(90, 0, 10), abs=1e-6), False)
    assert listed[3, BEN] == (pytest.approx(likeness(10, 90, 100), abs=1e-6), False)
    assert (4, CLEO) not in listed  # the only shot of Cleo
    assert len(listed) == 5 * 3 - 1
    same, different = people(GALLERY).similarities()
    assert len(same) == 4 and len(different) == 10


def test_people_who_resemble_each_other_too_much_are_told() -> None:
    assert people(GALLERY).overlap() == []
    alike = people([*GALLERY, (CLEO, 107.0)])
    assert alike.overlap() == [(CLEO, BEN, pytest.approx(likeness(107, 90, 100), abs=1e-6))]
    assert people([*GALLERY, (CLEO, 107.0)], threshold=0.99).overlap() == []


def test_shots_that_do_not_fit_are_told() -> None:
    wrong = people([(ADA, 0.0), (BEN, 90.0), (ADA, 10.0), (ADA, 200.0), (BEN, 95.0), (ADA, 5.0)])
    assert wrong.outliers().tolist() == [3]
    # Nearer to somebody else than to its own.
    swapped = people([(ADA, 0.0), (ADA, 10.0), (ADA, 40.0), (BEN, 42.0), (BEN, 45.0)], threshold=0.8)
    assert swapped.outliers().tolist() == [2]
    assert people([(ADA, 0.0), (ADA, 180.0)]).outliers().tolist() == []
    assert people(GALLERY).outliers().tolist() == []


def test_more_people_need_a_higher_threshold() -> None:
    apart = [(person, 360.0 / 60 * person) for person in range(60)]
    names = {person: str(person) for person, _ in apart}
    random = np.random.default_rng(1)

    def suggested(count: int) -> float:
        shots = random.normal(size=(count, 512)).astype(np.float32)  # nobody resembles anybody
        known = Recogniser(shots, np.arange(count), names, calibration=(20.0, -8.0), threshold=0.6)
        return known.suggested_threshold()

    assert suggested(PEOPLE) == pytest.approx(0.6)
    assert suggested(2 * PEOPLE) == pytest.approx(0.6 + math.log(2) / 20)
    assert suggested(10) == pytest.approx(0.6 - math.log(3) / 20)
    assert suggested(1) == pytest.approx((math.log(9) + 8) / 20)  # never below a probability of 0.9


def test_a_family_needs_a_higher_threshold() -> None:
    usual = people([(ADA, 0.0), (ADA, 4.0), (BEN, 90.0), (BEN, 94.0)], threshold=0.6, calibration=(20.0, -8.0))
    family = people([(ADA, 0.0), (ADA, 4.0), (BEN, 30.0), (BEN, 34.0)], threshold=0.6, calibration=(20.0, -8.0))
    assert usual.suggested_threshold() < 0.6
    assert cosine(34) < family.suggested_threshold() <= cosine(4)
    assert cosine(26) + 1e-6 >= family.suggested_threshold() > cosine(30)
    # Twins cannot be told apart by any threshold: most of their own pictures must still be theirs.
    twins = people([(ADA, 0.0), (ADA, 20.0), (BEN, 2.0), (BEN, 18.0)], threshold=0.6, calibration=(20.0, -8.0))
    assert twins.suggested_threshold() <= cosine(16)


# --- several frames


def tilted(degrees: float) -> tuple[Floats, FaceQuality]:
    return at(degrees)[0], GOOD


def test_a_name_comes_with_the_third_look_and_does_not_flicker() -> None:
    known, voter = people(GALLERY, threshold=cosine(20)), Voter()
    answers = [voter.vote(known, [3], [tilted(31)], time=0.1 * frame)[0] for frame in range(3)]
    assert [(each.person, each.name) for each in answers] == [(ADA, None)] * 3  # 21 degrees from Ada's nearest shot
    voter = Voter()
    said = [
        voter.vote(known, [3], [tilted(angle)], time=0.1 * frame)[0].name
        for frame, angle in enumerate((12, 14, 16, 33, 20, 35, 18))
    ]
    assert said == [None, None, "Ada", "Ada", "Ada", "Ada", "Ada"]
    one_by_one = [known.match(at(angle))[0].name for angle in (12, 14, 16, 33, 20, 35, 18)]
    assert one_by_one.count(None) == 2


def test_two_who_are_alike_do_not_take_turns() -> None:
    known = people([(ADA, 0.0), (BEN, 20.0)], threshold=0.9)
    voter = Voter()
    said = [
        voter.vote(known, [1], [tilted(angle)], time=frame / 10)[0].name
        for frame, angle in enumerate((8, 9, 9, 12, 12, 11, 10))
    ]
    assert said[2:] == ["Ada"] * 5


def test_a_track_that_passed_on_to_somebody_else_is_named_anew() -> None:
    known, voter = people(GALLERY), Voter()
    for frame in range(20):
        before = voter.vote(known, [1], [tilted(5)], time=frame / 10)
    assert before[0].name == "Ada"
    said = [voter.vote(known, [1], [tilted(95)], time=2 + frame / 10)[0].name for frame in range(60)]
    assert said[-1] == "Ben"
    changes = [name for name, after in itertools.pairwise(said) if name != after]
    assert len(changes) <= 2  # Ada, perhaps nobody, Ben


def test_frames_without_a_look_keep_the_name_and_absence_loses_it() -> None:
    known, voter = people(GALLERY), Voter(keep=1.0)
    for frame in range(4):
        voter.vote(known, [1], [tilted(5)], time=frame / 10)
    assert voter.vote(known, [1], [None], time=0.9)[0].name == "Ada"
    assert voter.vote(known, [], [], time=1.5) == []
    assert voter.vote(known, [1], [None], time=1.8)[0].name == "Ada"
    assert voter.vote(known, [1], [None], time=3.0)[0] == NOBODY
    assert voter.embedding(1) is None


def test_a_face_without_a_number_is_not_named_yet() -> None:
    known, voter = people(GALLERY), Voter()
    for frame in range(5):
        (match,) = voter.vote(known, [-1], [tilted(0)], time=frame / 10)
        assert (match.person, match.name) == (ADA, None)
    assert voter.vote(known, [-1], [None], time=0.6) == [NOBODY]
    assert voter.vote(None, [-1, 2], [tilted(0), tilted(0)], time=0.7) == [NOBODY, NOBODY]


def test_better_views_count_more() -> None:
    poor = FaceQuality(1.0, 1.0, 0.1, 1.0)
    known, voter = people([(ADA, 0.0), (BEN, 60.0)]), Voter()
    for frame in range(6):
        look = (at(0)[0], GOOD) if frame == 0 else (at(60)[0], poor)
        (match,) = voter.vote(known, [1], [look], time=frame / 10)
    assert match.person == ADA


def test_another_gallery_names_what_was_seen_already() -> None:
    voter = Voter()
    for frame in range(4):
        voter.vote(None, [1], [tilted(5)], time=frame / 10)
    assert voter.vote(people(GALLERY), [1], [None], time=0.5)[0].name == "Ada"
    assert voter.vote(people([(BEN, 4.0)]), [1], [None], time=0.6)[0].name == "Ben"
    assert voter.vote(None, [1], [None], time=0.7) == [NOBODY]


def test_only_what_is_new_needs_a_look() -> None:
    voter = Voter()
    assert voter.need(1, GOOD, time=0.0) > 3
    for frame in range(5):
        assert voter.need(1, GOOD, time=frame / 10) > 0
        voter.vote(None, [1], [tilted(0)], time=frame / 10)
    assert voter.need(1, GOOD, time=0.5) == 0
    assert voter.need(1, FaceQuality(1, 1, 1, 1, yaw=0.3), time=0.5) > 0
    assert voter.need(1, GOOD, time=0.95) > 0
    assert voter.need(2, GOOD, time=0.5) > voter.need(1, GOOD, time=0.95)
    poor = FaceQuality(0.3, 1, 1, 1)
    for frame in range(5):
        voter.vote(None, [1, 3], [None, (at(0)[0], poor)], time=0.5 + frame / 10)
    assert voter.need(3, poor, time=1.0) == 0
    assert voter.need(3, GOOD, time=1.0) > 0


# --- unknown faces


def test_faces_without_a_name_are_sorted_into_people() -> None:
    random = np.random.default_rng(2)
    centres = random.normal(size=(40, 128))
    truth = random.integers(0, 40, 900)
    faces = centres[truth] + 0.5 * random.normal(size=(900, 128))
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    labels = cluster(faces.astype(np.float32), 0.5)
    assert len({(a, b) for a, b in zip(labels.tolist(), truth.tolist(), strict=True)}) == len(set(truth.tolist()))
    sizes = np.bincount(labels)
    assert (np.diff(sizes) <= 0).all()


def test_one_face_between_two_people_does_not_join_them() -> None:
    labels = cluster(at(0, 1, 2, 60, 61, 62, 31), cosine(35))
    assert labels[0] == labels[1] == labels[2]
    assert labels[3] == labels[4] == labels[5]
    assert labels[0] != labels[3]
    assert cluster(at(0, 60, 30), cosine(10)).tolist() == [0, 1, 2]
    assert cluster(at(50, 0, 1), cosine(10)).tolist() == [1, 0, 0]
    assert cluster(np.zeros((0, 2), np.float32), 0.5).tolist() == []


def test_two_faces_of_one_picture_are_two_people() -> None:
    alike = at(0, 1, 2, 3, 40)
    assert len(set(cluster(alike, cosine(10), pictures=[5, 5, 5, 5, 6]).tolist())) == 5
    labels = cluster(alike, cosine(10), pictures=[1, 2, 1, 3, 4]).tolist()
    assert labels[0] != labels[2] and labels[1] in (labels[0], labels[2]) and labels[3] in (labels[0], labels[2])


@pytest.mark.parametrize("of_pictures", [25, 9])
def test_average_linkage_is_what_it_says(of_pictures: int) -> None:
    """Against the definition: two groups are joined while the mean cosine between them reaches the threshold."""
    random = np.random.default_rng(3)
    for _ in range(20):
        pictures = random.permutation(25) % of_pictures
        faces = random.normal(size=(25, 3)).astype(np.float32)
        faces /= np.linalg.norm(faces, axis=1, keepdims=True)
        cosines = faces.astype(np.float64) @ faces.T.astype(np.float64)
        groups = [[row] for row in range(25)]
        while len(groups) > 1:
            best, one, other = max(
                (
                    (cosines[np.ix_(a, b)].mean(), i, j)
                    for i, a in enumerate(groups)
                    for j, b in enumerate(groups)
                    if i < j and not set(pictures[a]) & set(pictures[b])
                ),
                default=(-1.0, 0, 0),
            )
            if best < 0.6:
                break
            groups[one] += groups.pop(other)
        labels = cluster(faces, 0.6, pictures=pictures.tolist())
        assert {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())} == {
            frozenset(group) for group in groups
        }


@pytest.mark.parametrize("block", [1, 700, 2_000_000])
@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.95, 1.1])
def test_what_hangs_together_is_found_block_by_block(
    block: int, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the definition: whatever can be reached over pairs that are near enough, in the order of the rows."""
    monkeypatch.setattr(recognition, "_BLOCK", block)
    random = np.random.default_rng(7)
    for count in (0, 1, 2, 30, 90):
        faces = random.normal(size=(count, 5)).astype(np.float32)
        faces /= np.linalg.norm(faces, axis=1, keepdims=True)
        near = faces @ faces.T >= threshold
        left, wanted = set(range(count)), []
        while left:
            reached, new = set(), {min(left)}
            while new:
                reached |= new
                new = {column for row in new for column in np.flatnonzero(near[row]).tolist()} - reached
            left -= reached
            wanted.append(sorted(reached))
        assert [group.tolist() for group in recognition._connected(faces, threshold)] == wanted


def test_a_chain_of_faces_hangs_together_and_one_person_takes_little_memory() -> None:
    chain = at(*np.random.default_rng(8).permutation(300))  # a degree from one to the next
    assert [len(group) for group in recognition._connected(chain, cosine(1.5))] == [300]
    alike = at(*np.linspace(0, 5, 3000))
    tracemalloc.start()
    assert [len(group) for group in recognition._connected(alike, cosine(10))] == [3000]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 120e6, "a list of all pairs would be five times that"
