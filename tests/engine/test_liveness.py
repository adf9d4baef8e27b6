"""A head that moves on request, and pictures of heads that cannot."""

from __future__ import annotations

import csv
import gzip
import io
import math
import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.liveness import Liveness, LivenessState, Move, screen_pattern
from engine.opencv import cv2
from engine.types import FaceMatch, FaceQuality, Floats, Image
from engine.vision.faces import _pose

_Points = NDArray[np.float64]
FPS = 15

# Eyes, nose and corners of the mouth in widths of a face: a nose lies 38 mm before the eyes, a mouth 8.
_WIDTH = 63 * 2.2
HEAD = np.array([[-31.5, -33, 0], [31.5, -33, 0], [0, 5, -38], [-25, 35, -8], [25, 35, -8]]) / _WIDTH
FLAT = HEAD * (1, 1, 0)
NECK = np.array([0, 0, 90]) / _WIDTH


def landmarks(points: _Points, yaw: float, pitch: float, *, distance: float = 4.0) -> Floats:
    """What a camera sees of points (5, 3) that are turned around the neck (degrees) at a distance in face widths."""
    across, down = math.radians(-yaw), math.radians(pitch)
    turn = np.array([[math.cos(across), 0, math.sin(across)], [0, 1, 0], [-math.sin(across), 0, math.cos(across)]])
    nod = np.array([[1, 0, 0], [0, math.cos(down), -math.sin(down)], [0, math.sin(down), math.cos(down)]])
    moved = (points - NECK) @ (turn @ nod).T + NECK
    places = 600 * moved[:, :2] / (moved[:, 2:] + distance) + (320, 240)
    return places.astype(np.float32)


def face(places: Floats, *, name: str | None = None, size: float = 1.0, embedding: Floats | None = None) -> FaceMatch:
    yaw, pitch = _pose(places)
    return FaceMatch(
        box=(220, 140, 420, 340),
        score=0.9,
        landmarks=places,
        name=name,
        similarity=0.0,
        quality=FaceQuality(size, 1.0, 1.0, 1.0, yaw, pitch),
        embedding=embedding,
    )


WAYS: dict[Move, tuple[float, float]] = {"left": (-30, 0), "right": (30, 0), "up": (0, -18), "down": (0, 18)}


class Actor:
    """Plays somebody in front of the camera, frame by frame.

    Attributes:
        points: what is before the camera, (5, 3).
        obey: which way it goes when a move is asked for.
        pace: share of the way that it goes in one frame.
    """

    def __init__(
        self,
        check: Liveness,
        points: _Points = HEAD,
        *,
        obey: Callable[[Move], Move | None] = lambda move: move,
        pace: float = 0.12,
        noise: float = 0.4,
    ) -> None:
        self.check = check
        self.points = points
        self.obey = obey
        self.pace = pace
        self.noise = noise
        self.time = 100.0
        self.at = (0.0, 0.0)
        self.chance = np.random.default_rng(1)
        self.states: list[LivenessState] = []

    def frame(self, *, track: int = 1, embedding: Floats | None = None, name: str | None = None) -> LivenessState:
        self.time += 1 / FPS
        before = self.states[-1] if self.states else None
        goal = (0.0, 0.0)
        if before is not None and before.phase == "move":
            assert before.move is not None
            move = self.obey(before.move)
            goal = WAYS[move] if move is not None else goal
        steps = [goal[axis] - self.at[axis] for axis in (0, 1)]
        most = [self.pace * abs(reach) for reach in (30, 18)]
        self.at = (
            self.at[0] + min(max(steps[0], -most[0]), most[0]),
            self.at[1] + min(max(steps[1], -most[1]), most[1]),
        )
        places = landmarks(self.points, *self.at)
        places += self.chance.normal(0, self.noise, places.shape).astype(np.float32)
        self.states.append(self.check.see(face(places, embedding=embedding, name=name), track, time=self.time))
        return self.states[-1]

    def play(self, seconds: float = 60.0) -> LivenessState:
        for _ in range(round(seconds * FPS)):
            if self.frame().over:
                break
        return self.states[-1]


@pytest.mark.parametrize("seed", range(12))
def test_a_head_that_does_what_is_asked_passes(seed: int) -> None:
    actor = Actor(Liveness(chance=random.Random(seed)))
    assert actor.play().phase == "passed"
    moves = [state.move for state in actor.states if state.move is not None]
    assert len(set(moves)) == 2
    phases = [state.phase for state in actor.states]
    assert [phase for row, phase in enumerate(phases) if phases[row - 1 : row] != [phase]] == [
        "still", "move", "back", "move", "back", "passed",
    ]  # fmt: skip
    progress = [state.progress for state in actor.states]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert actor.states[-1].pattern is None
    assert actor.check.see(None, time=actor.time + 100).phase == "passed"


def test_every_move_is_asked_for_and_no_two_alike_in_a_row() -> None:
    asked: set[Move] = set()
    for seed in range(20):
        check = Liveness(moves=3, chance=random.Random(seed))
        assert all(one != other for one, other in zip(check._moves, check._moves[1:], strict=False))
        asked |= set(check._moves)
    assert asked == set(WAYS)
    assert len({tuple(Liveness(moves=6)._moves) for _ in range(20)}) > 10  # by the system's own chance
    with pytest.raises(ValueError, match="at least one"):
        Liveness(moves=0)


@pytest.mark.parametrize("pace", [0.04, 0.3])
def test_slow_and_quick_heads_pass(pace: float) -> None:
    assert Actor(Liveness(chance=random.Random(5)), pace=pace).play().phase == "passed"


@pytest.mark.parametrize("seed", range(6))
def test_a_picture_of_a_head_that_is_turned_fails(seed: int) -> None:
    actor = Actor(Liveness(chance=random.Random(seed)), FLAT, noise=0.2)
    assert actor.play(120).phase == "failed"
    assert "passed" not in {state.phase for state in actor.states}


def waved(shared_data: Path) -> Iterator[_Points]:
    """Landmarks of real photographs, as flat things a face wide."""
    table = shared_data / "faces" / "identities.csv.gz"
    if not table.is_file():
        pytest.skip(f"no real faces: {table} is absent")
    with gzip.open(table, "rt", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["landmarks_source"] == "yunet" and row["split"] == "val"]
    for row in rows[:: len(rows) // 75]:
        points = np.array(
            [
                [float(row[f"{part}_{axis}"]) for axis in "xy"]
                for part in ("eye_l", "eye_r", "nose", "mouth_l", "mouth_r")
            ]
        )
        points = (points - points.mean(axis=0)) / (2.2 * np.linalg.norm(points[1] - points[0]))
        if max(abs(value) for value in _pose(points.astype(np.float32))) < 0.4:
            yield np.column_stack([points, np.zeros(5)])


def test_photographs_waved_before_the_camera_never_pass(shared_data: Path) -> None:
    chance = random.Random(1)
    played = 0
    for points in waved(shared_data):
        check = Liveness(chance=chance)
        phase, time = 0.0, 0.0
        speeds = [chance.uniform(0.5, 3) for _ in range(2)]
        state = check.see(face(landmarks(points, 0, 0)), time=0.0)
        while not state.over and time < 60:
            time += 1 / FPS
            phase = 0.0 if state.phase == "still" else phase + 1 / FPS
            yaw, pitch = (50 * math.sin(speed * phase) for speed in speeds)
            state = check.see(face(landmarks(points, yaw, pitch, distance=3)), time=time)
        assert state.phase == "failed"
        played += 1
    assert played > 40


def test_pictures_that_are_swapped_fail() -> None:
    """One picture for each pose, held before the camera as it is asked for."""
    actor = Actor(Liveness(chance=random.Random(2)), pace=5.0)
    assert actor.play().phase == "failed"
    assert any("too sudden" in state.said for state in actor.states)


@pytest.mark.parametrize("how", ["opposite", "across", "nothing"])
def test_whoever_does_something_else_fails(how: str) -> None:
    other: dict[str, dict[Move, Move]] = {
        "opposite": {"left": "right", "right": "left", "up": "down", "down": "up"},
        "across": {"left": "up", "right": "down", "up": "left", "down": "right"},
        "nothing": {},
    }
    actor = Actor(Liveness(chance=random.Random(3)), obey=lambda move: other[how].get(move))
    state = actor.play()
    assert state.phase == "failed"
    assert state.said == ("That took too long." if how == "nothing" else "That was another move.")
    assert sum("Once more" in each.said for each in actor.states) > 0


def test_a_recording_of_somebody_who_looks_about_seldom_fits() -> None:
    passed = 0
    for seed in range(40):
        film = random.Random(1000 + seed)
        shown: dict[int, Move] = {}  # what it shows at each request, whatever that is
        actor = Actor(Liveness(chance=random.Random(seed)))

        def show(_: Move, film: random.Random = film, shown: dict[int, Move] = shown, actor: Actor = actor) -> Move:
            phases = [state.phase for state in actor.states]
            requests = sum(phases[row : row + 2] == ["still", "move"] for row in range(len(phases)))
            requests += sum(phases[row : row + 2] == ["back", "move"] for row in range(len(phases)))
            return shown.setdefault(requests, film.choice(list(WAYS)))

        actor.obey = show
        passed += actor.play(120).phase == "passed"
    assert passed <= 14  # three attempts at one in sixteen: seven of forty are to be expected


@pytest.mark.parametrize("what", ["track", "name", "gone"])
def test_a_face_that_changes_places_with_another_begins_anew(what: str) -> None:
    actor = Actor(Liveness(chance=random.Random(1)))
    while actor.frame(name="Ada").phase != "move":
        pass
    if what == "track":
        state = actor.frame(track=2)
    elif what == "name":
        state = actor.frame(name="Bob")
    else:
        assert actor.check.see(None, time=actor.time + 0.5).phase == "move"
        state = actor.check.see(None, time=actor.time + 1.5)
    assert state.phase == "still"
    assert "Once more" in state.said


def test_who_comes_back_must_be_who_went() -> None:
    mine, other = np.eye(2, dtype=np.float32)
    for now, phase in ((mine, "passed"), (other, "failed"), (None, "failed")):
        actor = Actor(Liveness(moves=1, alike=0.5, chance=random.Random(1)))
        state = actor.frame(embedding=mine)
        while not state.over:
            state = actor.frame(embedding=now if state.phase == "back" else mine)
        assert state.phase == phase


def test_a_small_face_or_one_whose_quality_is_unknown_moves_nothing_on() -> None:
    check = Liveness(chance=random.Random(1))
    places = landmarks(HEAD, 0, 0)
    for row in range(40):
        state = check.see(face(places, size=0.2), time=row / FPS)
    assert state.phase == "still"
    assert "closer" in state.said
    unknown = FaceMatch((0, 0, 1, 1), 0.9, places, None, 0.0)
    assert Liveness().see(unknown, time=0.0).phase == "still"


# ------------------------------------------------------------------------------------------------ moiré


def texture(seed: int, size: int = 220) -> Image:
    """Something like skin, hair and light: noise whose strength falls with its fineness, as in photographs."""
    chance = np.random.default_rng(seed)
    places = np.hypot(np.fft.fftfreq(size), np.fft.fftfreq(size)[:, None])
    waves = np.fft.fft2(chance.normal(size=(size, size))) / np.maximum(places, 1 / size) ** 1.2
    plane = np.real(np.fft.ifft2(waves))
    plane = 128 + 45 * (plane - plane.mean()) / plane.std()
    return np.repeat(np.clip(plane, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def filmed(photo: Image, *, dots: float = 0.0, angle: float = 0.1, quality: int = 90) -> Image:
    """A photograph seen by a camera with one pixel for each of its own.

    Args:
        dots: of a screen that shows it, for each pixel of the camera; 0: it is there itself.
        angle: of the screen, radians.
    """
    fine = 5
    size = photo.shape[0]
    light = cv2.resize(photo, (size * fine, size * fine), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    if dots:
        u = (np.arange(size * fine) + 0.5) / fine * dots
        x = (math.cos(angle) * u - math.sin(angle) * u[:, None]) % 1
        y = (math.sin(angle) * u + math.cos(angle) * u[:, None]) % 1
        for channel in range(3):  # each dot has three stripes, and black between
            lit = ((x >= channel / 3) & (x < channel / 3 + 0.25) & (y < 0.75)).astype(np.float32)
            light[..., channel] *= lit / lit.mean()
    light = cv2.GaussianBlur(light, (0, 0), 0.5 * fine)
    seen = cv2.resize(light, (size, size), interpolation=cv2.INTER_AREA)
    seen += np.random.default_rng(7).normal(0, 2, seen.shape)
    done, data = cv2.imencode(".jpg", np.clip(seen, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def whole(image: Image) -> tuple[float, float, float, float]:
    return (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))


@pytest.mark.parametrize("seed", range(3))
def test_a_screen_has_a_pattern_and_a_thing_has_none(seed: int) -> None:
    photo = texture(seed)
    for quality in (95, 75, 40):
        there = filmed(photo, quality=quality)
        assert (screen_pattern(there, whole(there)) or 0.0) < 0.3, quality
    for dots in (0.7, 1.2, 2.6):
        shown = filmed(photo, dots=dots)
        assert (screen_pattern(shown, whole(shown)) or 0.0) > 0.7, dots


def test_where_a_pattern_cannot_be_seen_nothing_is_said() -> None:
    image = texture(1)
    assert screen_pattern(image, (0, 0, 70, 70)) is None
    assert screen_pattern(image, (-200, 0, 100, 300)) is None
    assert screen_pattern(image, (100, 100, 100, 100)) is None
    assert screen_pattern(np.zeros((300, 300, 3), np.uint8), (0, 0, 300, 300)) == 0.0


def test_photographs_of_faces_have_no_pattern_but_on_a_screen_they_have(shared_data: Path) -> None:
    archive = shared_data / "faces" / "identities_train.tar.gz"
    if not archive.is_file():
        pytest.skip(f"no real faces: {archive} is absent")
    there, shown = [], []
    with tarfile.open(archive) as tar:
        for row, member in enumerate(tar):
            file = tar.extractfile(member)
            if row % 25 or file is None:
                continue
            picture = cv2.imdecode(np.frombuffer(io.BytesIO(file.read()).getvalue(), np.uint8), cv2.IMREAD_COLOR)
            if min(picture.shape[:2]) < 128:
                continue
            there.append(screen_pattern(picture, (15, 15, 113, 113)))
            if len(there) % 8 == 0:
                shown.append(screen_pattern(filmed(picture, dots=1.2), (15, 15, 113, 113)))
            if len(there) == 80:
                break
    assert None not in there
    assert sum(value > 0.5 for value in there if value is not None) == 0
    assert sum(value > 0.5 for value in shown if value is not None) >= 8


@pytest.mark.parametrize(("screen", "phase"), [(0.0, "passed"), (1.2, "failed")])
def test_a_screen_fails_even_if_the_head_on_it_moves(screen: float, phase: str) -> None:
    shown = filmed(texture(4), dots=screen)
    image = np.zeros((480, 640, 3), np.uint8)
    image[130:350, 210:430] = shown
    check = Liveness(chance=random.Random(1))
    actor = Actor(check)
    see = check.see
    check.see = lambda face, track, *, time: see(face, track, time=time, image=image)  # type: ignore[method-assign, assignment, misc]
    state = actor.play()
    assert state.phase == phase
    assert state.pattern is not None
    assert (state.pattern > 0.5) == bool(screen)
    assert ("pattern of a screen" in state.said) == bool(screen)
