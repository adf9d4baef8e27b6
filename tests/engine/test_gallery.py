"""The gallery of faces: what is kept, what is forgotten, and what nobody else can read or change."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import gallery as module
from engine import sealed
from engine.errors import EngineError, WriteError
from engine.gallery import Gallery, Person, SameNames, Shot, Visit
from engine.types import Floats, Image, ModelCard, Preprocess

MODEL = "faces:abc"
LANDMARKS = np.array([[10, 12], [22, 12.5], [16, 18], [11, 24.25], [21, 24]], np.float32)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork a process")


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second a key would make minutes of these tests; one test makes a key as the program does."""
    monkeypatch.setattr(sealed, "COST", 8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faces" / "faces.sqlite"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    with Gallery(path, clock=lambda: 1_700_000_000.0) as gallery:
        yield gallery


def crop(seed: int = 0, size: int = 32) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def vector(seed: int = 0, length: int = 16) -> Floats:
    values = np.random.default_rng(seed).normal(size=length)
    return (values / np.linalg.norm(values)).astype(np.float32)


def add(gallery: Gallery, person: int, seed: int = 0, *, quality: float = 0.5, source: str = "camera") -> Shot:
    return gallery.add_shot(
        person, crop(seed), LANDMARKS, quality=quality, source=source, embedding=vector(seed), model=MODEL
    )


def fill(gallery: Gallery, people: int = 3, shots: int = 2) -> list[Person]:
    for row in range(people):
        person = gallery.add_person(f"Person {row}", f"note {row}")
        for shot in range(shots):
            add(gallery, person.id, 10 * row + shot, quality=(shot + 1) / 10)
    return gallery.people()


def everything(gallery: Gallery) -> dict[str, Any]:
    """All that can be asked of a gallery, to be compared."""
    vectors, people, shots = gallery.embeddings(MODEL)
    return {
        "people": [(person.id, person.name, person.note, person.shots, person.added) for person in gallery.people()],
        "shots": [
            (shot.id, shot.person, shot.crop.tobytes(), shot.landmarks.tolist(), shot.quality, shot.source, shot.added)
            for person in gallery.people()
            for shot in gallery.shots(person.id)
        ],
        "embeddings": (vectors.tolist(), people.tolist(), shots.tolist()),
        "visits": gallery.visits(),
    }


def on_disk(folder: Path) -> bytes:
    return b"\n".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def check_whole(path: Path) -> None:
    """SQLite's own tests, and every row has its counterpart."""
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        db.close()


# ------------------------------------------------------------------------------------------------ people and shots


def test_nobody_is_there_and_no_file_is_made_by_asking(gallery: Gallery, path: Path) -> None:
    assert not gallery.exists
    assert not gallery.locked
    assert not gallery.protected
    assert gallery.people() == []
    assert gallery.shots(1) == []
    assert gallery.thumbnail(1) is None
    vectors, people, shots = gallery.embeddings(MODEL)
    assert (vectors.shape, people.shape, shots.shape) == ((0, 0), (0,), (0,))
    assert vectors.dtype == np.float32
    assert people.dtype == shots.dtype == np.int64
    assert gallery.missing(MODEL) == []
    assert gallery.count_missing(MODEL) == 0
    assert gallery.visits() == []
    assert gallery.setting("x") == {}
    assert gallery.size() == 0
    gallery.unlock("whatever")
    gallery.delete_all()
    for change in (
        lambda: gallery.rename(1, "A"),
        lambda: gallery.set_note(1, "A"),
        lambda: gallery.delete_person(1),
        lambda: gallery.delete_shot(1),
        lambda: gallery.move_shots([1], 1),
        lambda: gallery.merge(1, [2]),
        lambda: add(gallery, 1),
        lambda: gallery.set_embedding(1, MODEL, vector()),
    ):
        with pytest.raises(EngineError, match="no longer in the gallery"):
            change()
    assert not path.parent.exists()


def test_the_file_lies_with_the_users_data(own_home: Path) -> None:
    with Gallery() as gallery:
        gallery.add_person("Ada")
    assert (own_home / "faces.sqlite").is_file()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_the_folder_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "Fotos & mehr? 100 % #1 ü" / "my faces;mode=ro.db"
    with Gallery(path) as gallery:
        fill(gallery)
        before = everything(gallery)
        gallery.export(path.with_name("copy?.faces"), "secret")
    with Gallery(path) as gallery:
        assert everything(gallery) == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["copy?.faces", "my faces;mode=ro.db"]
    assert [file.name for file in tmp_path.iterdir()] == [path.parent.name]


def test_what_goes_in_comes_out_and_outlives_the_program(gallery: Gallery, path: Path) -> None:
    ada = gallery.add_person("Ada", "sits at the window\nsecond row")
    assert (ada.name, ada.note, ada.shots, ada.added) == ("Ada", "sits at the window\nsecond row", 0, 1_700_000_000.0)
    first = add(gallery, ada.id, 1, quality=0.25, source="IMG 1.jpg")
    second = add(gallery, ada.id, 2, quality=0.75)
    gallery.add_shot(ada.id, crop(3), LANDMARKS, quality=0.5, source="")
    with Gallery(path) as again:
        assert [(person.name, person.note, person.shots) for person in again.people()] == [("Ada", ada.note, 3)]
        shots = again.shots(ada.id)
        assert [shot.id for shot in shots[:2]] == [first.id, second.id]
        np.testing.assert_array_equal(shots[0].crop, crop(1))
        np.testing.assert_array_equal(shots[0].landmarks, LANDMARKS)
        assert (shots[0].quality, shots[0].source, shots[0].person) == (0.25, "IMG 1.jpg", ada.id)
        assert (shots[0].crop.dtype, shots[0].landmarks.dtype) == (np.uint8, np.float32)
        best = again.thumbnail(ada.id)
        assert best is not None
        np.testing.assert_array_equal(best, crop(2))
        vectors, people, ids = again.embeddings(MODEL)
        np.testing.assert_array_equal(vectors, np.stack([vector(1), vector(2)]))
        assert people.tolist() == [ada.id, ada.id]
        assert ids.tolist() == [first.id, second.id]
        assert again.size() >= path.stat().st_size > 0


def test_people_are_listed_by_name_and_may_share_one(gallery: Gallery) -> None:
    for name in ("eve", "Ädam", "Bob", "ADA", "Bob"):
        gallery.add_person(name)
    assert [person.name for person in gallery.people()] == ["ADA", "Bob", "Bob", "eve", "Ädam"]
    assert len({person.id for person in gallery.people()}) == 5


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Ada \n Lovelace\t", "Ada Lovelace"),
        ("'; DROP TABLE people; --", "'; DROP TABLE people; --"),
        ("محمد", "محمد"),
        ("李小龙", "李小龙"),
        ("👩‍🚀 Ada", "👩‍🚀 Ada"),
        ("Zoe\u0308", "Zoe\u0308"),
        ("A\x00B\x1b[31m", "A B [31m"),
        ("half \ud83d of it", "half ? of it"),
        ("n" * 200, "n" * 200),
    ],
)
@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_names_with_odd_characters(path: Path, given: str, kept: str, passphrase: str | None) -> None:
    with Gallery(path, passphrase=passphrase) as gallery:
        assert gallery.add_person(given, given).name == kept
    with Gallery(path, passphrase=passphrase) as gallery:
        (person,) = gallery.people()
        assert person.name == kept
        person.note.encode("utf-8")


@pytest.mark.parametrize("name", ["", "  \n", "\x00", "n" * 201])
def test_names_that_cannot_be(gallery: Gallery, name: str) -> None:
    with pytest.raises(EngineError, match="name"):
        gallery.add_person(name)
    assert not gallery.exists
    ada = gallery.add_person("Ada")
    with pytest.raises(EngineError, match="name"):
        gallery.rename(ada.id, name)
    with pytest.raises(EngineError, match="note"):
        gallery.set_note(ada.id, "n" * 10_001)
    assert [person.name for person in gallery.people()] == ["Ada"]


def test_renaming_keeps_the_note_and_the_other_way_round(gallery: Gallery) -> None:
    ada = gallery.add_person("Ada", "first")
    gallery.rename(ada.id, "Ada L.")
    gallery.set_note(ada.id, "second")
    (person,) = gallery.people()
    assert (person.id, person.name, person.note) == (ada.id, "Ada L.", "second")


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_split_and_merge(path: Path, passphrase: str | None) -> None:
    with Gallery(path, passphrase=passphrase) as gallery:
        one, two, three = fill(gallery)
        gallery.add_visit(Visit(0, two.id, 1.0, 2.0, 0.9, True))
        gallery.add_visit(Visit(0, three.id, 3.0, 4.0, 0.9, True))
        other = gallery.add_person("Twin")
        moved = gallery.shots(one.id)[1]
        gallery.move_shots([moved.id, moved.id], other.id)
        assert [shot.id for shot in gallery.shots(other.id)] == [moved.id]
        np.testing.assert_array_equal(gallery.shots(other.id)[0].crop, moved.crop)
        vectors, people, shots = gallery.embeddings(MODEL)
        assert people[shots == moved.id].tolist() == [other.id]
        np.testing.assert_array_equal(vectors[shots == moved.id][0], vector(1))

        gallery.merge(one.id, [two.id, other.id, one.id, two.id])
        assert {person.id: person.shots for person in gallery.people()} == {one.id: 4, three.id: 2}
        assert gallery.people()[0].note == "note 0\nnote 1"
        assert len(gallery.shots(one.id)) == 4
        assert gallery.embeddings(MODEL)[1].tolist() == [one.id] * 4 + [three.id] * 2
        assert [visit.person for visit in gallery.visits()] == [one.id, three.id]
    check_whole(path)


def test_what_is_not_there_is_said_and_nothing_is_changed_by_half(gallery: Gallery) -> None:
    one, two, _ = fill(gallery)
    before = everything(gallery)
    shots = [shot.id for shot in gallery.shots(one.id)]
    for change in (
        lambda: gallery.move_shots([*shots, 999], two.id),
        lambda: gallery.move_shots(shots, 999),
        lambda: gallery.merge(one.id, [two.id, 999]),
        lambda: gallery.merge(999, [one.id]),
        lambda: gallery.delete_person(999),
        lambda: gallery.delete_shot(999),
        lambda: gallery.set_embedding(999, MODEL, vector()),
        lambda: add(gallery, 999),
    ):
        with pytest.raises(EngineError, match="no longer in the gallery"):
            change()
        assert everything(gallery) == before


def test_deleting_takes_all_that_belongs_to_it(gallery: Gallery, path: Path) -> None:
    one, two, three = fill(gallery)
    gallery.add_visit(Visit(0, two.id, 1.0, 2.0, 0.9, True))
    gallery.add_visit(Visit(0, None, 1.5, 2.0, 0.0, False))
    gallery.delete_person(two.id)
    assert [person.id for person in gallery.people()] == [one.id, three.id]
    assert set(gallery.embeddings(MODEL)[1].tolist()) == {one.id, three.id}
    assert [visit.person for visit in gallery.visits()] == [None]
    shot = gallery.shots(one.id)[0].id
    gallery.delete_shot(shot)
    assert shot not in gallery.embeddings(MODEL)[2]
    assert len(gallery.shots(one.id)) == 1
    gallery.close()
    check_whole(path)


def test_numbers_of_the_deleted_are_never_given_again(gallery: Gallery) -> None:
    old = gallery.add_person("Ada")
    shot = add(gallery, old.id)
    gallery.delete_person(old.id)
    new = gallery.add_person("Bob")
    assert new.id != old.id
    assert add(gallery, new.id).id != shot.id


def test_what_is_no_picture_of_a_face_is_refused(gallery: Gallery) -> None:
    ada = gallery.add_person("Ada")
    good: dict[str, Any] = {"quality": 0.5, "source": ""}
    for picture in (crop()[:, :, 0], crop().astype(np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="crop"):
            gallery.add_shot(ada.id, picture, LANDMARKS, **good)
    for places in (LANDMARKS[:4], LANDMARKS * np.float32("nan")):
        with pytest.raises(ValueError, match="landmarks"):
            gallery.add_shot(ada.id, crop(), places, **good)
    for quality in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="quality"):
            gallery.add_shot(ada.id, crop(), LANDMARKS, quality=quality, source="")
    with pytest.raises(ValueError, match="network"):
        gallery.add_shot(ada.id, crop(), LANDMARKS, embedding=vector(), **good)
    with pytest.raises(ValueError, match="network"):
        gallery.add_shot(ada.id, crop(), LANDMARKS, model=MODEL, **good)
    shot = gallery.add_shot(ada.id, crop(), LANDMARKS, **good)
    for wrong in (vector() * np.float32("inf"), np.zeros(4, np.float32), np.zeros(0, np.float32), vector()[None]):
        with pytest.raises(ValueError, match="embedding"):
            gallery.set_embedding(shot.id, MODEL, wrong)
    gallery.set_embedding(shot.id, MODEL, vector())
    other = gallery.add_shot(ada.id, crop(), LANDMARKS, **good)
    with pytest.raises(ValueError, match="another length"):
        gallery.set_embedding(other.id, MODEL, vector(length=8))
    assert len(gallery.embeddings(MODEL)[0]) == 1


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_another_network_makes_its_own_embeddings_from_the_crops(path: Path, passphrase: str | None) -> None:
    other = "sface:def"
    with Gallery(path, passphrase=passphrase) as gallery:
        one, _, _ = fill(gallery)
        assert gallery.count_missing(MODEL) == 0
        assert gallery.missing(MODEL) == []
        assert gallery.count_missing(other) == 6
        seen: list[int] = []
        while shots := gallery.missing(other, limit=4, after=seen[-1] if seen else 0):
            assert len(shots) <= 4
            for shot in shots:
                seen.append(shot.id)
                if len(seen) != 2:  # one that the network cannot make anything of
                    gallery.set_embedding(shot.id, other, vector(int(shot.crop.sum()), 8))
        assert len(seen) == 6
        assert gallery.count_missing(other) == 1
        assert [shot.id for shot in gallery.missing(other)] == [seen[1]]
        vectors, people, ids = gallery.embeddings(other)
        assert vectors.shape == (5, 8)
        assert people.tolist().count(one.id) == 1
        first = gallery.shots(one.id)[0]
        np.testing.assert_array_equal(vectors[ids == first.id][0], vector(int(first.crop.sum()), 8))
        gallery.set_embedding(first.id, other, vector(99, 8))
        vectors, _, ids = gallery.embeddings(other)
        np.testing.assert_array_equal(vectors[ids == first.id][0], vector(99, 8))
        assert gallery.embeddings(MODEL)[0].shape == (6, 16)


def test_a_recogniser_knows_the_people_of_its_network(gallery: Gallery, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    kind = Preprocess("face", 80, 3, (0.5,) * 3, (0.5,) * 3)
    card = ModelCard(
        "mine", "Mine", "faces", "tiny", ("face",), kind, calibration=(9.0, -3.0), threshold=0.4, weights=weights
    )
    model = module.model_id(card)
    assert model.startswith("mine:")
    assert len(module.recogniser(gallery, card)) == 0
    one, two, _ = fill(gallery)
    gallery.set_embedding(gallery.shots(one.id)[0].id, model, vector(1))
    gallery.set_embedding(gallery.shots(two.id)[0].id, model, vector(2))
    known = module.recogniser(gallery, card)
    assert (known.people, known.threshold, known.calibration, known.model) == (
        (one.id, two.id),
        0.4,
        (9.0, -3.0),
        model,
    )
    (match,) = known.match(vector(2)[None])
    assert (match.person, match.name) == (two.id, two.name)
    assert module.recogniser(gallery, card, threshold=0.9).threshold == 0.9


def test_names_and_faces_do_not_show_by_accident(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    ada = gallery.add_person("Secretname", "Secretnote")
    shot = add(gallery, ada.id, source="Secretsource")
    gallery.set_passphrase("Secretpassphrase")
    shown = [repr(gallery.people()), repr(ada), repr(shot), repr(gallery), repr(gallery._key), str(gallery.shots(1))]
    with pytest.raises(EngineError) as error:
        gallery.merge(ada.id, [99])
    shown += [str(error.value), repr(error.value), caplog.text]
    shown += [repr(SameNames(("Secretname",))), str(SameNames(("Secretname", "Secretname")))]
    shown += [repr(Visit(1, 17, 1.0, 2.0, 0.5, True))]
    assert "Secret" not in "".join(shown)
    assert "person=17" not in shown[-1]
    assert "array" not in "".join(shown)


def test_ten_thousand_shots(gallery: Gallery) -> None:
    gallery.add_person("first")
    assert gallery._db is not None
    gallery._db.execute("PRAGMA synchronous = OFF")  # only here: ten thousand waits for the disk say nothing
    tiny = crop(1, 6)
    vectors = np.random.default_rng(1).normal(size=(10_000, 32)).astype(np.float32)
    people = [gallery.add_person(f"P{row:03}").id for row in range(100)]
    for row in range(10_000):
        gallery.add_shot(
            people[row % 100], tiny, LANDMARKS, quality=0.5, source="", embedding=vectors[row], model=MODEL
        )
    found, owners, shots = gallery.embeddings(MODEL)
    assert found.shape == (10_000, 32)
    np.testing.assert_array_equal(found[np.argsort(shots)], vectors)
    assert np.bincount(owners)[people].tolist() == [100] * 100
    assert sum(person.shots for person in gallery.people()) == 10_000
    assert len(gallery.shots(people[0])) == 100
    assert gallery.count_missing("other:1") == 10_000
    assert len(gallery.missing("other:1", limit=10)) == 10
    gallery.merge(people[0], people[1:50])
    assert [person.shots for person in gallery.people() if person.id == people[0]] == [5_000]


# ---------------------------------------------------------------------------------------------------- passphrases


def test_nothing_can_be_read_without_the_passphrase(path: Path) -> None:
    with Gallery(path) as gallery:
        ada = gallery.add_person("Secretname", "Secretnote")
        shot = add(gallery, ada.id, 1, source="Secretsource")
        gallery.add_visit(Visit(0, ada.id, 1.0, 2.0, 0.9, True))
        gallery.set_setting("access", {"file": "Secretfile"})
        before = everything(gallery)
        assert b"Secretname" in on_disk(path.parent)
        pieces = [b"Secret", vector(1).tobytes()[:16], b"\x89PNG", b"landmarks", b"probability"]
        gallery.set_passphrase("correct horse")
        assert gallery.protected
        assert not gallery.locked
        assert everything(gallery) == before
        for piece in pieces:
            assert piece not in on_disk(path.parent), piece
    for piece in pieces:
        assert piece not in on_disk(path.parent), piece

    locked = Gallery(path)
    assert locked.exists
    assert locked.locked
    assert locked.protected
    for ask in (
        locked.people,
        lambda: locked.shots(ada.id),
        lambda: locked.thumbnail(ada.id),
        lambda: locked.embeddings(MODEL),
        lambda: locked.missing(MODEL),
        lambda: locked.add_person("Eve"),
        lambda: locked.delete_shot(shot.id),
        lambda: locked.delete_person(ada.id),
        lambda: locked.set_passphrase(None),
        lambda: locked.export(path.with_name("copy"), "other"),
        locked.visits,
        lambda: locked.setting("access"),
    ):
        with pytest.raises(EngineError, match="locked"):
            ask()
    with pytest.raises(EngineError, match="passphrase is wrong"):
        locked.unlock("correct house")
    assert locked.locked
    with pytest.raises(EngineError, match="passphrase is wrong"):
        Gallery(path, passphrase="")
    locked.unlock("correct horse")
    assert not locked.locked
    assert everything(locked) == before
    assert locked.setting("access") == {"file": "Secretfile"}
    assert sorted(file.name for file in path.parent.iterdir() if "copy" in file.name) == []

    locked.set_passphrase("another")
    assert everything(locked) == before
    locked.close()
    with pytest.raises(EngineError, match="passphrase is wrong"):
        Gallery(path, passphrase="correct horse")
    with Gallery(path, passphrase="another") as gallery:
        assert everything(gallery) == before
        gallery.set_passphrase(None)
        assert not gallery.protected
    with Gallery(path) as gallery:
        assert everything(gallery) == before
        gallery.unlock("none is needed")


def test_a_passphrase_may_come_before_the_first_person(path: Path) -> None:
    with Gallery(path) as gallery:
        gallery.set_passphrase("secret")
        assert gallery.protected
        assert not gallery.locked
        assert not gallery.exists
        gallery.add_person("Secretname")
    assert b"Secretname" not in on_disk(path.parent)
    assert Gallery(path).locked
    with Gallery(path, passphrase="secret") as gallery:
        assert [person.name for person in gallery.people()] == ["Secretname"]


@pytest.mark.parametrize("passphrase", ["", "  "])
def test_an_empty_passphrase_is_none(gallery: Gallery, passphrase: str) -> None:
    fill(gallery)
    with pytest.raises(EngineError, match="cannot be empty"):
        gallery.set_passphrase(passphrase)
    assert not gallery.protected
    with pytest.raises(EngineError, match="cannot be empty"):
        gallery.export(gallery.path.with_name("copy.faces"), passphrase)


def test_a_passphrase_is_the_same_however_its_accents_are_typed(path: Path) -> None:
    with Gallery(path, passphrase=unicodedata.normalize("NFC", "café\ud83d")) as gallery:
        fill(gallery)
    with Gallery(path, passphrase=unicodedata.normalize("NFD", "café\ud83d")) as gallery:
        assert len(gallery.people()) == 3


def test_a_key_is_as_hard_to_make_as_it_should_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert sealed.COST >= 17  # OWASP's advice for scrypt with r = 8, p = 1
    with Gallery(path, passphrase="secret") as gallery:
        gallery.add_person("Ada")
    with Gallery(path, passphrase="secret") as gallery:
        assert len(gallery.people()) == 1


def change_rows(path: Path, statements: str) -> None:
    db = sqlite3.connect(path)
    db.executescript(statements)
    db.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE people SET sealed = (SELECT sealed FROM people WHERE id = 2) WHERE id = 1",  # another's name
        "UPDATE people SET added = added + 1 WHERE id = 1",
        "UPDATE people SET sealed = x'00' WHERE id = 1",
        "UPDATE people SET sealed = zeroblob(length(sealed)) WHERE id = 1",
        "UPDATE shots SET person = 2 WHERE id = 1",  # a stranger's face becomes that of somebody with access
        "UPDATE shots SET quality = 0.99 WHERE id = 1",
        "UPDATE shots SET sealed = (SELECT sealed FROM shots WHERE id = 2) WHERE id = 1",
        "UPDATE embeddings SET sealed = (SELECT sealed FROM embeddings WHERE shot = 3) WHERE shot = 1",
        "UPDATE embeddings SET model = 'other:1'",
        "UPDATE meta SET value = randomblob(16) WHERE key = 'gallery'",
        "DROP TABLE visits; CREATE TABLE visits (id, sealed); INSERT INTO visits VALUES (1, CAST(x'FF' AS TEXT))",
        "DROP TABLE visits; CREATE TABLE visits (id, sealed); INSERT INTO visits VALUES (1, 17)",
        "DROP TABLE visits",
        "UPDATE visits SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'FF' AS BLOB)",
        "UPDATE settings SET key = 'other'",
    ],
)
def test_what_somebody_without_the_passphrase_changes_is_noticed(path: Path, change: str) -> None:
    with Gallery(path, passphrase="secret") as gallery:
        fill(gallery)
        gallery.add_visit(Visit(0, 1, 1.0, 2.0, 0.9, True))
        gallery.set_setting("access", {"allowed": [1]})
    change_rows(path, change)
    with pytest.raises(EngineError, match="changed by another program"), Gallery(path, passphrase="secret") as gallery:
        everything(gallery)
        gallery.embeddings("other:1")
        gallery.setting("other")


def test_a_lock_that_was_changed_opens_nothing(path: Path) -> None:
    with Gallery(path, passphrase="secret") as gallery:
        fill(gallery)
    for lock in ("x''", "x'1F' || substr(value, 2)", "x'FF' || substr(value, 2)"):
        saved = path.read_bytes()
        change_rows(path, f"UPDATE meta SET value = CAST({lock} AS BLOB) WHERE key = 'lock'")
        with pytest.raises(EngineError, match="changed by another program"):
            Gallery(path, passphrase="secret")
        path.write_bytes(saved)
    change_rows(path, "DELETE FROM meta WHERE key = 'lock'")
    with Gallery(path, passphrase="secret") as gallery, pytest.raises(EngineError, match="changed by another program"):
        gallery.people()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE people SET sealed = x'00'",
        "UPDATE people SET sealed = x'020000005b5d'",  # JSON, but no table
        "UPDATE people SET sealed = x'020000007b7d'",  # a table without a name
        "UPDATE shots SET sealed = x'020000007b7d'",
        "UPDATE embeddings SET sealed = x'000102' WHERE shot = 1",
        "UPDATE visits SET sealed = x'020000007b7d'",
    ],
)
def test_rows_that_make_no_sense_are_said_so(path: Path, change: str) -> None:
    with Gallery(path) as gallery:
        fill(gallery)
        gallery.add_visit(Visit(0, 1, 1.0, 2.0, 0.9, True))
    change_rows(path, change)
    with Gallery(path) as gallery:
        with pytest.raises(EngineError, match="damaged"):
            everything(gallery)
        gallery.delete_all()
    assert list(path.parent.iterdir()) == []


# --------------------------------------------------------------------------------------- what is deleted is gone


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_delete_all_leaves_no_byte(path: Path, passphrase: str | None) -> None:
    path.parent.mkdir()
    (path.parent / "unrelated.txt").write_text("stays")
    (path.parent / "faces.damaged.sqlite").write_bytes(b"Secretname of old")
    (path.parent / "faces.damaged-2.sqlite-wal").write_bytes(b"Secretname of old")
    gallery = Gallery(path, passphrase=passphrase)
    for row in range(30):
        person = gallery.add_person(f"Secretname {row}", "Secretnote")
        for shot in range(3):
            add(gallery, person.id, 10 * row + shot, source="Secretsource")
    assert (b"Secretname 7" in on_disk(path.parent)) == (passphrase is None)
    held = path.open("rb")  # what a file that was removed still says to somebody who has it open
    gallery.delete_all()
    rest = held.read()
    held.close()
    assert [file.name for file in path.parent.iterdir()] == ["unrelated.txt"]
    for piece in (b"Secret", b"\x89PNG", b"IDAT", vector(1).tobytes()[:12]):
        assert piece not in rest, piece
    assert not gallery.exists
    assert gallery.people() == []
    assert not gallery.locked
    assert not gallery.protected
    gallery.add_person("Bob")
    assert [person.name for person in gallery.people()] == ["Bob"]
    gallery.close()


@pytest.mark.parametrize("everything", [False, True])
def test_what_is_deleted_is_overwritten_before_the_files_are_made_shorter(
    gallery: Gallery, path: Path, everything: bool
) -> None:
    """What is cut off a file lies on the disk as it was: it must be zeros by then."""
    first = gallery.add_person("Secretname")
    for number in range(8):
        add(gallery, first.id, number, source="Secretsource")
    marks = [b"Secret", *(vector(number).tobytes()[:12] for number in range(8))]
    assert all(mark in on_disk(path.parent) for mark in marks)
    if not everything:
        add(gallery, gallery.add_person("Bob").id, 20)
    shortened: list[list[bytes]] = []

    def look(statement: str) -> None:
        if statement.startswith(("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")):
            there = on_disk(path.parent)
            shortened.append([mark for mark in marks if mark in there])  # SQLite swallows what is raised here

    assert gallery._db is not None
    gallery._db.set_trace_callback(look)
    if everything:
        gallery.delete_all()
    else:
        gallery.delete_person(first.id)
        gallery._db.set_trace_callback(None)
        assert [person.name for person in gallery.people()] == ["Bob"]
    assert len(shortened) >= 2 and not any(shortened)


def test_a_damaged_picture_hides_no_other_and_is_left_out_of_a_copy(
    gallery: Gallery, path: Path, tmp_path: Path
) -> None:
    person = gallery.add_person("Ann").id
    for number in range(3):
        add(gallery, person, number)
    gallery.close()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        (data,) = db.execute("SELECT sealed FROM shots WHERE id = 2").fetchone()
        db.execute("UPDATE shots SET sealed = ? WHERE id = 2", (data.replace(b"IHDR", b"IXDR"),))
    change_rows(path, "UPDATE shots SET sealed = substr(sealed, 1, 200) WHERE id = 3")
    with Gallery(path) as damaged, Gallery(tmp_path / "other" / "faces.sqlite") as other:
        assert [shot.id for shot in damaged.shots(person)] == [1] and damaged.people()[0].shots == 3
        add(damaged, person, 7)
        assert [shot.id for shot in damaged.missing("another", limit=1, after=1)] == [4], "damaged ones are passed over"
        damaged.delete_shot(4)
        damaged.export(tmp_path / "copy", "secret")
        other.import_people(tmp_path / "copy", "secret")
        assert [(each.name, each.shots) for each in other.people()] == [("Ann", 1)]


def test_a_forgotten_passphrase_does_not_keep_a_gallery_alive(path: Path) -> None:
    with Gallery(path, passphrase="secret") as gallery:
        fill(gallery)
    with Gallery(path) as gallery:
        assert gallery.locked
        gallery.delete_all()
        assert not gallery.locked
    assert list(path.parent.iterdir()) == []


def test_what_is_deleted_or_renamed_is_nowhere_while_the_rest_stays(gallery: Gallery, path: Path) -> None:
    chance = random.Random(1)
    names: dict[int, str] = {}
    gone: list[str] = []
    for step in range(150):
        name = f"<{step}{'x' * chance.randrange(60)}>"
        what = chance.random()
        if what < 0.5 or not names:
            person = gallery.add_person(name, f"note of {name}").id
            add(gallery, person, step, source=f"source of {name}")
        elif what < 0.75:
            person = chance.choice(sorted(names))
            gone.append(names[person])
            gallery.rename(person, name)
            gallery.set_note(person, "")
            for shot in gallery.shots(person):
                gallery.delete_shot(shot.id)
        else:
            gone.append(names.pop(person := chance.choice(sorted(names))))
            gallery.delete_person(person)
            continue
        names[person] = name
    left = on_disk(path.parent)
    assert [name for name in gone if name.encode() in left] == []
    assert all(name.encode() in left for name in names.values())


def test_a_file_that_was_removed_by_another_program_is_begun_anew(gallery: Gallery, path: Path) -> None:
    fill(gallery)
    for file in path.parent.iterdir():
        file.unlink()
    assert gallery.people() == []
    gallery.add_person("Bob")
    with Gallery(path) as again:
        assert [person.name for person in again.people()] == ["Bob"]


def test_a_file_that_cannot_be_removed_is_said(gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(gallery)
    aside = path.with_name("faces.damaged.sqlite")
    aside.write_bytes(b"Secretname")
    unlink = Path.unlink

    def kept(file: Path, missing_ok: bool = False) -> None:
        if file == aside:
            raise PermissionError(13, "Permission denied")
        unlink(file, missing_ok)

    monkeypatch.setattr(Path, "unlink", kept)
    with pytest.raises(WriteError, match=r"faces\.damaged\.sqlite"):
        gallery.delete_all()
    assert [file.name for file in path.parent.iterdir()] == [aside.name]
    assert set(aside.read_bytes()) == {0}


def test_where_an_open_file_cannot_be_removed_it_is_empty_and_used_again(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where another window has it open."""
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    fill(gallery)

    def kept(file: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "It is being used by another process")

    with monkeypatch.context() as windows:
        windows.setattr(Path, "unlink", kept)
        gallery.delete_all()
        assert b"Person" not in on_disk(path.parent)
        assert gallery.people() == []
        gallery.add_person("Bob")
        assert [person.name for person in gallery.people()] == ["Bob"]
    with Gallery(path) as again:
        assert [person.name for person in again.people()] == ["Bob"]


# --------------------------------------------------------------------------------------------- files and processes


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_user_may_read_any_of_its_files(path: Path) -> None:
    before = os.umask(0)
    try:
        with Gallery(path) as gallery:
            fill(gallery)
            files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
            assert files == dict.fromkeys(("faces.sqlite", "faces.sqlite-wal", "faces.sqlite-shm"), 0o600)
            gallery.export(path.with_name("copy.faces"), "secret")
            assert stat.S_IMODE(path.with_name("copy.faces").stat().st_mode) == 0o600
        path.chmod(0o644)
        with Gallery(path) as gallery:
            gallery.people()
            for file in path.parent.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    finally:
        os.umask(before)


def test_a_newer_gallery_is_left_alone(path: Path) -> None:
    with Gallery(path) as gallery:
        fill(gallery)
    change_rows(path, f"PRAGMA user_version = {module.SCHEMA + 1}")
    before = path.read_bytes()
    with Gallery(path) as gallery:
        for ask in (gallery.people, lambda: gallery.add_person("Eve"), lambda: gallery.locked):
            with pytest.raises(EngineError, match="newer ConvScope"):
                ask()
        assert path.read_bytes() == before
        gallery.delete_all()
    assert list(path.parent.iterdir()) == []


def test_the_file_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    change_rows(path, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES ('Secret')")
    before = path.read_bytes()
    with Gallery(path) as gallery:
        for ask in (gallery.people, lambda: gallery.add_person("Eve"), gallery.delete_all):
            with pytest.raises(EngineError, match="another program"):
                ask()
    assert path.read_bytes() == before


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "no database":
        data = bytearray(b"This is not a database at all. " * 300)
    elif how == "its beginning":
        data[:64] = bytes(64)
    elif how == "its tables":
        data[100:4096] = os.urandom(3996)
    elif how == "cut off":
        del data[4096:]
    elif how == "its middle":
        for start in range(4096, len(data), 4096):
            data[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["no database", "its beginning", "its tables", "cut off", "its middle"])
def test_a_damaged_gallery_is_set_aside_and_never_overwritten(path: Path, how: str) -> None:
    for round_ in ("", "-2"):
        with Gallery(path) as gallery:
            fill(gallery)
        damage(path, how)
        before = path.read_bytes()
        with Gallery(path) as gallery:
            with pytest.raises(EngineError, match=rf"set aside as faces\.damaged{round_}\.sqlite"):
                everything(gallery)
            assert path.with_name(f"faces.damaged{round_}.sqlite").read_bytes() == before
            assert not path.exists()
            assert gallery.people() == []
            gallery.add_person("Bob")
            assert [person.name for person in gallery.people()] == ["Bob"]
            gallery.close()
        path.unlink()
    with Gallery(path) as gallery:
        gallery.add_person("Bob")
        gallery.delete_all()
    assert list(path.parent.iterdir()) == []


def test_a_file_that_was_only_begun_is_nobody(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Gallery(path) as gallery:
        assert gallery.people() == []
        assert not gallery.locked
        gallery.set_passphrase("secret")
        gallery.add_person("Ada")
        assert gallery.protected
    assert Gallery(path).locked


def test_a_full_disk_is_said_and_changes_nothing(gallery: Gallery, path: Path) -> None:
    ada, _, _ = fill(gallery)
    for row in range(200):  # sealed, they need more room
        gallery.add_person(str(row))
    before = everything(gallery)
    assert gallery._db is not None
    (pages,) = gallery._db.execute("PRAGMA page_count").fetchone()
    gallery._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(WriteError, match="disk is full"):
        for seed in range(100, 200):
            gallery.add_shot(ada.id, crop(seed, 160), LANDMARKS, quality=0.5, source="")
    with pytest.raises(WriteError, match="disk is full"):
        gallery.set_passphrase("secret")
    assert everything(gallery) == before
    assert not gallery.protected
    gallery._db.execute("PRAGMA max_page_count = 100000")
    gallery.add_shot(ada.id, crop(1, 160), LANDMARKS, quality=0.5, source="")
    check_whole(path)


def test_everything_can_be_deleted_where_nothing_can_be_written(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(gallery)
    monkeypatch.setattr(module, "_emptied", lambda *_: False)
    held = path.open("rb")
    gallery.delete_all()
    rest = held.read()
    held.close()
    assert set(rest) == {0}
    assert list(path.parent.iterdir()) == []
    assert gallery.people() == []


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with Gallery(tmp_path / "file" / "faces.sqlite") as gallery:
        assert gallery.people() == []
        with pytest.raises(WriteError):
            gallery.add_person("Ada")
        with pytest.raises(WriteError):
            Gallery(tmp_path / "other.sqlite").export(tmp_path / "file" / "copy.faces", "secret")


def test_two_windows_see_one_gallery(gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Gallery(path) as other:
        ada = gallery.add_person("Ada")
        assert [person.name for person in other.people()] == ["Ada"]
        add(other, ada.id)
        assert gallery.people()[0].shots == 1
        other.set_passphrase("secret")
        assert gallery.locked
        with pytest.raises(EngineError, match="locked"):
            gallery.add_person("Eve")
        gallery.unlock("secret")
        assert gallery.people()[0].shots == 1
        other.delete_all()
        assert gallery.people() == []
        assert not gallery.exists
        gallery.add_person("Bob")
        assert gallery.protected  # it is still the passphrase that was given here
        with pytest.raises(EngineError, match="locked"):
            other.people()
        other.unlock("secret")
        assert [person.name for person in other.people()] == ["Bob"]


def test_another_process_that_writes_without_end_is_said(gallery: Gallery, path: Path) -> None:
    fill(gallery)
    assert gallery._db is not None
    gallery._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert len(gallery.people()) == 3  # reading goes on
    with pytest.raises(EngineError, match="Another ConvScope"):
        gallery.add_person("Eve")
    other.execute("ROLLBACK")
    other.close()
    gallery.add_person("Eve")


_WRITER = """
import sys, numpy as np
from pathlib import Path
from engine.gallery import Gallery
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
places = np.ones((5, 2), np.float32)
print("ready", flush=True)
sys.stdin.readline()
with Gallery(path) as gallery:
    person = gallery.add_person(name)
    for row in range(count):
        picture = np.full((16, 16, 3), row % 256, np.uint8)
        vector = np.full(8, row + 1, np.float32)
        gallery.add_shot(person.id, picture, places, quality=0.5, source="", embedding=vector, model="m:1")
        print(row, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _WRITER, str(path), name, str(count)]
    process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_write_at_once_and_both_are_heard(path: Path) -> None:
    with writer(path, "one", 40) as one, writer(path, "two", 40) as two:
        for process in (one, two):  # both make the file
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate()[0].split()[-1] for process in (one, two)] == ["39", "39"]
        assert (one.returncode, two.returncode) == (0, 0)
    with Gallery(path) as gallery:
        assert [(person.name, person.shots) for person in gallery.people()] == [("one", 40), ("two", 40)]
        assert len(gallery.embeddings("m:1")[0]) == 80
    check_whole(path)


def test_a_process_that_is_killed_loses_nothing_that_it_has_said(path: Path) -> None:
    for number, said in enumerate((0, 3, 17)):
        with writer(path, f"victim {number}", 100_000) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            while int(process.stdout.readline()) < said:
                pass
            process.kill()
        with Gallery(path) as gallery:
            (victim,) = [person for person in gallery.people() if person.name == f"victim {number}"]
            assert victim.shots > said
            assert (gallery.embeddings("m:1")[1] == victim.id).sum() == victim.shots
            assert [shot.crop[0, 0, 0] for shot in gallery.shots(victim.id)] == [
                row % 256 for row in range(victim.shots)
            ]
        check_whole(path)


def killed(work: Callable[[], None], gallery: Gallery, after: int) -> bool:
    """Do `work` in a process of its own that is killed (as by kill -9) at the `after`-th step of SQLite's machine.

    Returns whether it was killed, not done.
    """
    child = os.fork()
    if child == 0:
        try:
            steps = 0
            connect = sqlite3.connect

            def step() -> int:
                nonlocal steps
                steps += 1
                if steps >= after:
                    os.kill(os.getpid(), signal.SIGKILL)
                return 0

            def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
                db: sqlite3.Connection = connect(*arguments, **options)
                db.set_progress_handler(step, 7)
                db.set_trace_callback(lambda _: step() and None)
                return db

            sqlite3.connect = watched  # type: ignore[assignment]
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@forks
@pytest.mark.parametrize("passphrase", [None, "secret"])
@pytest.mark.parametrize(
    "what", ["begin", "add person", "add shot", "move", "merge", "delete", "passphrase", "import", "rename", "embed"]
)
def test_kill_at_every_step_leaves_before_or_after(tmp_path: Path, what: str, passphrase: str | None) -> None:
    start = tmp_path / "start.sqlite"
    copy_ = tmp_path / "copy.faces"
    with Gallery(start, passphrase=passphrase) as gallery:
        if what != "begin":
            fill(gallery, 2, 1)
            gallery.add_visit(Visit(0, 2, 1.0, 2.0, 0.9, True))
            gallery.export(copy_, "other")
    key = gallery._key
    works: dict[str, Callable[[Gallery], object]] = {
        "begin": lambda gallery: gallery.add_person("Eve"),
        "add person": lambda gallery: gallery.add_person("Eve"),
        "add shot": lambda gallery: add(gallery, 1, 5),
        "move": lambda gallery: gallery.move_shots([1], 2),
        "merge": lambda gallery: gallery.merge(1, [2]),
        "delete": lambda gallery: gallery.delete_person(2),
        "passphrase": lambda gallery: gallery.set_passphrase("new one"),
        "import": lambda gallery: gallery.import_people(copy_, "other", merge=False),
        "rename": lambda gallery: gallery.rename(1, "Somebody else"),
        "embed": lambda gallery: gallery.set_embedding(1, MODEL, vector(77)),
    }
    if what == "import":
        with Gallery(tmp_path / "third.sqlite") as third:
            fill(third, 3, 1)
            third.rename(1, "Newcomer")
            third.delete_shot(2)
            third.export(copy_, "other")

    def fresh(folder: Path) -> Gallery:
        folder.mkdir()
        if start.exists():
            (folder / "faces.sqlite").write_bytes(start.read_bytes())
        gallery = Gallery(folder / "faces.sqlite", clock=lambda: 5.0)
        gallery._key = copy.copy(key)
        return gallery

    def seen(folder: Path) -> dict[str, Any]:
        for word in (passphrase, "new one"):
            gallery = Gallery(folder / "faces.sqlite")
            try:
                if word is not None and gallery.exists:
                    gallery.unlock(word)
            except EngineError:
                continue
            if not gallery.locked:
                with gallery:
                    return everything(gallery)
        raise AssertionError("no passphrase fits")

    with fresh(tmp_path / "whole") as gallery:
        before = everything(gallery)
        works[what](gallery)
        after = everything(gallery)
    if what not in ("passphrase",):
        assert before != after

    outcomes = []
    step = 1
    while True:
        folder = tmp_path / f"kill {step}"
        gallery = fresh(folder)
        dead = killed(lambda: works[what](gallery), gallery, step)  # noqa: B023
        found = seen(folder)
        assert found in (before, after), f"neither before nor after when killed at step {step}"
        check_whole(folder / "faces.sqlite") if (folder / "faces.sqlite").exists() else None
        outcomes.append(found == after)
        if not dead:
            break
        step += 1 + step // 4  # ever longer strides: the first steps open the file, the last ones clean it
    assert outcomes[-1]
    assert len(outcomes) > 8
    if before != after:
        assert not outcomes[0]
        assert outcomes == sorted(outcomes)


@forks
def test_kill_while_all_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    start = tmp_path / "start.sqlite"
    with Gallery(start) as gallery:
        fill(gallery)
        before = everything(gallery)
    step, deleted = 1, 0
    while True:
        folder = tmp_path / f"kill {step}"
        folder.mkdir()
        (folder / "faces.sqlite").write_bytes(start.read_bytes())
        gallery = Gallery(folder / "faces.sqlite")
        dead = killed(gallery.delete_all, gallery, step)
        with Gallery(folder / "faces.sqlite") as again:
            if again.people():
                assert everything(again) == before
                assert not deleted
            else:
                deleted += 1
                assert b"Person" not in on_disk(folder)
                assert not (folder / "faces.sqlite").exists()  # whoever comes next ends what was begun
                again.add_person("Bob")
                assert [person.name for person in again.people()] == ["Bob"]
        if not dead:
            break
        step += 1 + step // 4
    assert deleted > 1


@forks
def test_a_passphrase_set_by_a_process_that_is_killed_leaves_nothing_readable(tmp_path: Path) -> None:
    start = tmp_path / "start.sqlite"
    with Gallery(start) as gallery:
        fill(gallery)
    step, sealed = 1, 0
    while True:
        folder = tmp_path / f"kill {step}"
        folder.mkdir()
        (folder / "faces.sqlite").write_bytes(start.read_bytes())
        gallery = Gallery(folder / "faces.sqlite")
        dead = killed(lambda: gallery.set_passphrase("secret"), gallery, step)  # noqa: B023
        with Gallery(folder / "faces.sqlite") as again:
            if again.locked:
                sealed += 1
                assert b"Person" not in on_disk(folder)
        if not dead:
            break
        step += 1 + step // 4
    assert sealed > 1


# ------------------------------------------------------------------------------------------- exported galleries


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_a_gallery_travels_in_one_encrypted_file(tmp_path: Path, path: Path, passphrase: str | None) -> None:
    file = tmp_path / "new folder" / "copy.faces"
    with Gallery(path, passphrase=passphrase, clock=lambda: 1_700_000_000.0) as gallery:
        people = fill(gallery)
        gallery.set_embedding(gallery.shots(people[0].id)[0].id, "other:1", vector(5, 8))
        gallery.add_visit(Visit(0, 1, 1.0, 2.0, 0.9, True))
        gallery.export(file, "for the road")
        before = everything(gallery)
        with pytest.raises(EngineError, match="Choose another name"):
            gallery.export(path, "for the road")
    for piece in (b"Person", b"camera", b"PNG", vector(1).tobytes()[:12]):
        assert piece not in file.read_bytes()
    assert [each.name for each in file.parent.iterdir()] == ["copy.faces"]

    with Gallery(tmp_path / "other.sqlite") as other:
        assert other.import_people(file, "for the road") == 3
        after = everything(other)
        assert {**after, "visits": []} == {**before, "visits": []}
        assert after["visits"] == []
        assert other.embeddings("other:1")[0].tolist() == [vector(5, 8).tolist()]
        # The same file once more: everybody has the name and the shots of somebody here, and nothing is doubled.
        assert other.import_people(file, "for the road") == 3
        assert everything(other) == after


def test_same_names_are_asked_about(tmp_path: Path, gallery: Gallery) -> None:
    file = tmp_path / "copy.faces"
    fill(gallery)
    gallery.export(file, "secret")
    with Gallery(tmp_path / "other.sqlite") as other:
        namesake = other.add_person("PERSON 1", "tall")
        add(other, namesake.id, 500)
        before = everything(other)
        with pytest.raises(SameNames, match=r"^One person in that file has the name of somebody") as asked:
            other.import_people(file, "secret")
        assert asked.value.names == ("Person 1",)
        assert everything(other) == before

        assert other.import_people(file, "secret", merge=False) == 3
        names = [(person.name, person.shots) for person in other.people()]
        assert names == [("Person 0", 2), ("PERSON 1", 1), ("Person 1", 2), ("Person 2", 2)]
        # From now on it is sure who each of them is, whatever is answered.
        assert other.import_people(file, "secret") == 3
        assert other.import_people(file, "secret", merge=True) == 3
        assert [(person.name, person.shots) for person in other.people()] == names
    with Gallery(tmp_path / "third.sqlite") as third:
        namesake = third.add_person("person 1", "tall")
        add(third, namesake.id, 500)
        assert third.import_people(file, "secret", merge=True) == 3
        people = [(person.name, person.note, person.shots) for person in third.people()]
        assert people == [("Person 0", "note 0", 2), ("person 1", "tall\nnote 1", 3), ("Person 2", "note 2", 2)]


def test_an_empty_gallery_travels_too(tmp_path: Path) -> None:
    Gallery(tmp_path / "none.sqlite").export(tmp_path / "copy.faces", "secret")
    with Gallery(tmp_path / "other.sqlite") as other:
        assert other.import_people(tmp_path / "copy.faces", "secret") == 0
        assert not other.exists


def test_a_changed_byte_or_a_wrong_passphrase_brings_nothing_in(tmp_path: Path, gallery: Gallery) -> None:
    file = tmp_path / "copy.faces"
    ada = gallery.add_person("Ada")
    add(gallery, ada.id, 1)
    gallery.add_person("Bob")
    gallery.export(file, "secret")
    data = file.read_bytes()
    with Gallery(tmp_path / "other.sqlite") as other:

        def refused(changed: bytes, passphrase: str = "secret") -> None:
            file.write_bytes(changed)
            with pytest.raises(EngineError, match=r"passphrase is wrong|no exported gallery|newer ConvScope"):
                other.import_people(file, passphrase)
            assert not other.exists

        refused(data, "Secret")
        refused(data, "")
        chance = random.Random(3)
        places = {*range(80), *range(len(data) - 30, len(data)), *(chance.randrange(len(data)) for _ in range(150))}
        for place in sorted(places):
            refused(data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :])
        for length in (0, 1, 16, 60, 67, 68, 72, 200, len(data) - 20, len(data) - 1):
            refused(data[:length])
        refused(data + b"\0")
        refused(os.urandom(5000))
        # Whole records left out, doubled or swapped.
        records, at = [], sealed.head_size(module._MAGIC)
        while at < len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "little")
            records.append(data[at:end])
            at = end
        head = data[: sealed.head_size(module._MAGIC)]
        assert len(records) == 4
        refused(head + b"".join(records[:2]))
        refused(head + b"".join(records[:2] + records[3:]))
        refused(head + b"".join([records[0], *records]))
        refused(head + b"".join([records[2], records[1], records[0], records[3]]))
        file.write_bytes(data)
        assert other.import_people(file, "secret") == 2


def test_a_file_by_somebody_who_knows_the_passphrase_is_not_believed_blindly(tmp_path: Path) -> None:
    file = tmp_path / "copy.faces"
    key = sealed.Key.made("secret")
    picture = module._encoded(crop())
    person = {"kind": "person", "person": 1, "name": "Ada", "note": "", "added": 1.0}
    shot = {"kind": "shot", "person": 1, "quality": 0.5, "added": 1.0, "picture": len(picture), "vectors": {}}
    shot |= {"landmarks": LANDMARKS.tolist(), "source": ""}
    good = [module._packed(person), module._packed(shot, picture)]
    other_length = [*good, module._packed(shot | {"vectors": {MODEL: 12}}, module._encoded(crop(5)) + bytes([1] * 12))]
    other_length[-1] = module._packed(
        shot | {"vectors": {MODEL: 12}, "picture": len(module._encoded(crop(5)))}, module._encoded(crop(5)) + b"\1" * 12
    )
    for records in (
        [b"no record"],
        [module._packed({"kind": "else", "person": 1, "added": 1.0})],
        [module._packed(person | {"name": ""})],
        [module._packed(person | {"name": 5})],
        [module._packed(person | {"person": [1]})],
        [module._packed(person | {"added": float("nan")})],
        good[1:],
        [good[0], module._packed(shot | {"quality": 7}, picture)],
        [good[0], module._packed(shot | {"picture": -1}, picture)],
        [good[0], module._packed(shot | {"landmarks": [1, 2]}, picture)],
        [good[0], module._packed(shot, picture + b"more")],
        [good[0], module._packed(shot | {"picture": 8}, b"no image")],
        [good[0], module._packed(shot | {"vectors": {MODEL: 5}}, picture + b"\1" * 5)],
        [good[0], module._packed(shot | {"vectors": {MODEL: 8}}, picture + bytes(8))],
        other_length,
    ):
        with file.open("wb") as written:
            sealed.write_records(written, key, module._MAGIC, iter(records))
        with Gallery(tmp_path / "faces.sqlite") as gallery:
            if records is other_length:
                add(gallery, gallery.add_person("Eve").id)
            with pytest.raises(EngineError, match="has been changed"):
                gallery.import_people(file, "secret")
            assert [person.name for person in gallery.people()] == (["Eve"] if records is other_length else [])
    with file.open("wb") as written:
        sealed.write_records(written, key, module._MAGIC, iter(good))
    with Gallery(tmp_path / "faces.sqlite") as gallery:
        assert gallery.import_people(file, "secret") == 1


def test_files_that_cannot_be_read_or_written(tmp_path: Path, gallery: Gallery) -> None:
    fill(gallery)
    with pytest.raises(EngineError, match="cannot be read"):
        gallery.import_people(tmp_path / "absent.faces", "secret")
    with pytest.raises(EngineError, match="cannot be read"):
        gallery.import_people(tmp_path, "secret")
    file = tmp_path / "copy.faces"
    file.write_text("before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(WriteError, match="disk is full"):
            gallery.export(file, "secret")
    assert file.read_text() == "before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.faces", "faces"]
    with pytest.raises(EngineError, match="no exported gallery"):
        gallery.import_people(file, "secret")
    gallery.export(file, "secret")
    assert gallery.import_people(file, "secret") == 3


# ---------------------------------------------------------------------------------------------- visits and settings


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_visits_and_settings_are_kept(path: Path, passphrase: str | None) -> None:
    with Gallery(path, passphrase=passphrase) as gallery:
        assert gallery.add_visit(Visit(0, None, 10.0, 20.0, 0.75, True)) is None
        assert not gallery.exists
        fill(gallery)
        assert gallery.add_visit(Visit(0, 4, 10.0, 20.0, 0.75, True)) is None
        first = gallery.add_visit(Visit(0, 3, 10.0, 20.0, 0.75, True))
        assert first is not None
        gallery.add_visit(Visit(0, None, 5.0, 30.0, 0.0, False))
        gallery.set_setting("access", {"on": True, "allowed": [1, 2]})
        gallery.set_setting("access", {"on": False})
    with Gallery(path, passphrase=passphrase) as gallery:
        assert [visit.began for visit in gallery.visits()] == [5.0, 10.0]
        longer = Visit(first.id, 3, 10.0, 25.0, 0.875, True)
        gallery.change_visit(longer)
        assert gallery.visits()[1] == longer
        assert [visit.began for visit in gallery.visits(since=30.0)] == [5.0]
        assert gallery.setting("access") == {"on": False}
        assert gallery.delete_visits(before=30.0) == 1
        gallery.change_visit(longer)  # it was deleted meanwhile, and stays so
        assert [visit.began for visit in gallery.visits()] == [5.0]
        assert gallery.delete_visits() == 1
        assert gallery.visits() == []
