"""The access log: one visit a stay, whatever the frames say in between."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import sealed
from engine.access import COLUMNS, AccessLog, AccessRules
from engine.errors import EngineError, WriteError
from engine.gallery import Gallery, Visit
from engine.types import FaceMatch, FaceQuality

START = 1_700_000_000.0
STEP = 0.1  # seconds between frames


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gallery]:
    monkeypatch.setattr(sealed, "COST", 8)
    with Gallery(tmp_path / "faces.sqlite") as gallery:
        for name in ("Ada", "Bob"):
            gallery.add_person(name)
        yield gallery


ADA, BOB = 1, 2


@pytest.fixture
def log(gallery: Gallery) -> AccessLog:
    log = AccessLog(gallery, clock=lambda: START)
    log.use(AccessRules(on=True, allowed=frozenset({ADA})))
    return log


def face(
    person: int | None, probability: float = 0.9, *, quality: float = 1.0, looked: bool = True, like: int | None = None
) -> FaceMatch:
    return FaceMatch(
        box=(0, 0, 10, 10),
        score=0.9,
        landmarks=np.zeros((5, 2), np.float32),
        name=None if person is None else {ADA: "Ada", BOB: "Bob"}[person],
        similarity=0.7,
        probability=probability,
        person=like if person is None else person,
        quality=FaceQuality(quality, 1.0, 1.0, 1.0),
        embedding=np.ones(4, np.float32) / 2 if looked else None,
    )


class Film:
    """Hands frames to a log, one every tenth of a second."""

    def __init__(self, log: AccessLog) -> None:
        self.log = log
        self.time = START

    def show(self, seconds: float, *faces: tuple[int, FaceMatch]) -> list[Visit]:
        begun = []
        for _ in range(round(seconds / STEP)):
            self.time += STEP
            begun += self.log.see([face for _, face in faces], [number for number, _ in faces], time=self.time)
        return begun


def test_it_is_off_until_it_is_switched_on(gallery: Gallery) -> None:
    log = AccessLog(gallery)
    assert not log.rules.on
    assert not log.load().on
    film = Film(log)
    assert film.show(10, (1, face(ADA)), (2, face(None))) == []
    assert log.present == ()
    assert not log.unsaved
    log.save()
    assert gallery.visits() == []


def test_a_stay_is_one_visit_however_many_frames(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    (visit,) = film.show(20, (1, face(ADA, 0.8)))
    assert (visit.person, visit.allowed, visit.probability) == (ADA, True, 0.8)
    assert visit.began == pytest.approx(START + STEP)
    film.show(1, (1, face(ADA, 0.95)))
    film.show(1, (1, face(ADA, 0.6)))
    (present,) = log.present
    assert present.probability == 0.95
    left = film.time
    assert film.show(4.8) == []  # away for less than five seconds
    assert film.show(1, (7, face(ADA))) == []
    left = film.time
    film.show(6)
    assert log.present == ()
    assert log.unsaved
    log.save()
    assert not log.unsaved
    (kept,) = gallery.visits()
    assert (kept.person, kept.allowed, kept.probability) == (ADA, True, 0.95)
    assert (kept.began, kept.ended) == (pytest.approx(START + STEP), pytest.approx(left))
    (again,) = film.show(2, (9, face(ADA)))
    assert again.began > left + 5
    log.save()
    assert [each.began for each in gallery.visits()] == [kept.began, again.began]


def test_who_is_not_on_the_list_is_not_allowed(log: AccessLog) -> None:
    film = Film(log)
    visits = film.show(3, (1, face(ADA)), (2, face(BOB)), (3, face(None, like=ADA)))
    assert {visit.person: visit.allowed for visit in visits} == {ADA: True, BOB: False, None: False}
    assert len(visits) == len(log.present) == 3


def test_a_name_that_flickers_begins_nothing(log: AccessLog) -> None:
    film = Film(log)
    for _ in range(20):
        assert film.show(0.3, (1, face(BOB))) == []
        assert film.show(0.3, (1, face(None))) == []
    assert log.see([face(ADA)], None, time=film.time) == []  # a photograph
    assert film.show(5, (-1, face(ADA))) == []  # not followed


def test_who_comes_in_is_nobody_for_a_moment_and_that_is_no_stranger(log: AccessLog) -> None:
    film = Film(log)
    assert film.show(1.5, (1, face(None))) == []
    (visit,) = film.show(2, (1, face(ADA)))
    assert visit.person == ADA
    assert len(log.present) == 1


@pytest.mark.parametrize("unclear", [{"quality": 0.1}, {"looked": False}])
def test_a_face_that_cannot_be_made_out_is_no_stranger(log: AccessLog, unclear: dict[str, float]) -> None:
    film = Film(log)
    assert film.show(10, (1, face(None, **unclear))) == []
    (visit,) = film.show(2, (1, face(ADA)))
    assert film.show(4, (1, face(None, **unclear))) == []
    (present,) = log.present
    assert present.ended > visit.ended + 3  # she is still there
    film.show(10, (1, face(None, **unclear)))
    assert log.present == ()  # but not for ever: it may be somebody else by now


def test_a_stranger_who_turns_out_to_be_somebody_keeps_one_visit(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    (stranger,) = film.show(5, (1, face(None)))
    assert (stranger.person, stranger.allowed, stranger.probability) == (None, False, 0.0)
    log.save()
    assert [visit.person for visit in gallery.visits()] == [None]
    (known,) = film.show(3, (1, face(ADA)))
    assert (known.person, known.allowed, known.began) == (ADA, True, stranger.began)
    log.save()
    (kept,) = gallery.visits()
    assert (kept.person, kept.allowed) == (ADA, True)


def test_somebody_who_looks_aside_is_not_a_stranger_but_a_stranger_in_the_same_place_is(log: AccessLog) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    assert film.show(4, (1, face(None))) == []
    assert film.show(1, (1, face(ADA))) == []
    (stranger,) = film.show(8, (1, face(None)))
    assert stranger.person is None
    (bob,) = film.show(2, (1, face(BOB)))
    assert bob.person == BOB


def test_strangers(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    assert len(film.show(4, (1, face(None)), (2, face(None)))) == 2
    assert film.show(4, (2, face(None)), (3, face(None))) == []  # one of them was lost for a moment
    assert len(log.present) == 2
    film.show(6)
    assert len(film.show(4, (4, face(None)))) == 1
    log.use(AccessRules(on=True, strangers=False))
    log.leave()
    assert film.show(10, (5, face(None))) == []
    log.save()
    assert [visit.person for visit in gallery.visits()] == [None] * 3


def test_two_pictures_of_one_person_are_one_visit(log: AccessLog) -> None:
    assert len(Film(log).show(5, (1, face(ADA)), (2, face(ADA)))) == 1


def test_the_camera_is_switched_off(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    log.leave()
    assert log.present == ()
    assert len(film.show(2, (1, face(ADA)))) == 1
    log.save()
    assert len(gallery.visits()) == 2


def test_a_clock_that_is_set_back_ends_what_was(log: AccessLog) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    film.time -= 7200
    (visit,) = film.show(2, (1, face(ADA)))
    assert visit.began < START
    assert len(log.present) == 1


def test_after_a_pause_the_numbers_are_other_peoples(log: AccessLog) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    film.time += 60
    (stranger,) = film.show(3, (1, face(None)))
    assert stranger.person is None
    assert stranger.began > START + 60


def test_a_long_visit_is_known_even_if_the_program_is_killed(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    log.save()
    film.show(20, (1, face(ADA)))
    assert not log.unsaved
    film.show(15, (1, face(ADA)))
    assert log.unsaved
    log.save()
    (visit,) = gallery.visits()
    assert visit.ended - visit.began > 29


def test_rules_are_kept_with_the_gallery(log: AccessLog, gallery: Gallery, tmp_path: Path) -> None:
    rules = AccessRules(True, frozenset({ADA, BOB}), False, 12.5, 7, tmp_path / "log.csv")
    log.use(rules)
    other = AccessLog(gallery)
    assert other.load() == rules == other.rules
    assert "allowed" not in repr(rules)
    for wrong in ({"on": True}, {"on": True, "allowed": 5}, {}, {"absence": 0}):
        gallery.set_setting("access", wrong)
        assert other.load() == AccessRules()
    for limits in ({"absence": 0.0}, {"absence": 1e9}, {"days": -1}, {"days": 10_000}):
        with pytest.raises(ValueError, match="visit"):
            AccessRules(**limits)  # type: ignore[arg-type]


def test_a_line_for_each_visit(log: AccessLog, gallery: Gallery, tmp_path: Path) -> None:
    file = tmp_path / "new" / "log.csv"
    log.use(AccessRules(True, frozenset({ADA}), file=file))
    gallery.rename(BOB, "Bob, the 2nd")
    film = Film(log)
    film.show(3, (1, face(ADA, 0.9)), (2, face(None)))
    log.save()
    log.save()
    film.show(3, (2, face(BOB, 0.75)))
    film.show(20)
    log.save()
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    assert tuple(rows[0]) == COLUMNS
    assert [row[1:] for row in rows[1:]] == [["Ada", "0.900", "yes"], ["", "", "no"], ["Bob", "0.750", "no"]]
    assert rows[1][0].startswith("2023-11-1")
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    log.use(AccessRules(True, file=file))
    assert len(file.read_text().splitlines()) == 4


def test_a_file_that_cannot_be_written_is_said_and_the_gallery_has_the_visits(
    log: AccessLog, gallery: Gallery, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError):
        log.use(AccessRules(on=True, file=tmp_path / "file" / "log.csv"))
    assert log.rules.file is None
    folder = tmp_path / "stick"
    log.use(AccessRules(on=True, file=folder / "log.csv"))
    (folder / "log.csv").unlink()
    folder.rmdir()
    folder.write_text("pulled out")
    Film(log).show(2, (1, face(ADA)))
    with pytest.raises(WriteError):
        log.save()
    assert len(gallery.visits()) == 1
    assert log.unsaved
    folder.unlink()
    log.save()
    assert not log.unsaved
    assert len(gallery.visits()) == 1
    assert len((folder / "log.csv").read_text().splitlines()) == 2


def test_old_visits_are_deleted(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    log.leave()
    log.save()
    film.time += 29 * 86_400
    film.show(2, (1, face(BOB)))
    log.save()
    assert len(gallery.visits()) == 2
    film.time += 2 * 86_400
    film.show(0.1)
    assert log.unsaved
    log.save()
    assert [visit.person for visit in gallery.visits()] == [BOB]
    log.use(AccessRules(on=True, days=0))
    film.time += 10_000 * 86_400
    film.show(0.1)
    log.save()
    assert len(gallery.visits()) == 1


def test_old_visits_go_although_the_log_is_off(log: AccessLog, gallery: Gallery) -> None:
    Film(log).show(3, (1, face(ADA)), (2, face(None)))
    log.leave()
    log.save()
    assert gallery.visits(most=1) == gallery.visits()[-1:]
    log.use(AccessRules(on=False, days=7))
    AccessLog(gallery, clock=lambda: START + 6 * 86_400).load()
    assert len(gallery.visits()) == 2
    AccessLog(gallery, clock=lambda: START + 8 * 86_400).load()
    assert gallery.visits() == []


def test_fewer_days_hold_at_once(gallery: Gallery) -> None:
    log = AccessLog(gallery, clock=lambda: START + 10 * 86_400)
    log.use(AccessRules(on=True))
    Film(log).show(3, (1, face(ADA)))
    log.leave()
    log.save()
    assert len(gallery.visits()) == 1
    log.use(AccessRules(on=True, days=7))
    assert gallery.visits() == []


def test_a_locked_gallery_is_said_and_nothing_is_lost(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    with Gallery(gallery.path) as other:
        other.set_passphrase("secret")
    with pytest.raises(EngineError, match="locked"):
        log.save()
    with pytest.raises(EngineError, match="locked"):
        log.load()
    assert log.unsaved
    gallery.unlock("secret")
    log.save()
    assert [visit.person for visit in gallery.visits()] == [ADA]
    assert b"allowed" not in b"".join(file.read_bytes() for file in gallery.path.parent.iterdir())


def test_all_is_deleted_with_the_gallery_and_stays_so(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)))
    log.save()
    film.show(60, (1, face(ADA)), (2, face(BOB)))
    gallery.delete_all()
    log.save()
    assert not log.rules.on
    assert log.present == ()
    assert not gallery.exists
    assert film.show(5, (1, face(ADA))) == []


def test_a_visit_goes_with_its_person(log: AccessLog, gallery: Gallery) -> None:
    film = Film(log)
    film.show(2, (1, face(ADA)), (2, face(BOB)))
    log.save()
    eve = gallery.add_person("Eve")
    gallery.delete_person(ADA)
    gallery.merge(eve.id, [BOB])
    film.show(10)
    log.save()
    assert [visit.person for visit in gallery.visits()] == [eve.id]
    film.show(2, (1, face(ADA)))  # the recogniser is a moment behind
    log.save()
    assert [visit.person for visit in gallery.visits()] == [eve.id]
    assert not log.unsaved
