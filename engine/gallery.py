"""The gallery: the people who are to be recognised, in one SQLite file on this machine and nowhere else.

A person has a name, a note and shots; a shot is a crop of a picture with the five landmarks of the face, and the
embeddings that networks have made of it, each with the id of its network, so that another network can make its own
from the stored crop. Names and faces enter through `Gallery` and leave through it; they are in no `repr`, no log and
no error.

Every change is one transaction of a write-ahead log that is on the disk before the call returns: whatever is killed,
what was said to be done is there and nothing is there by half. What is deleted is overwritten.

With a passphrase the rows are sealed (`engine.sealed`), each bound to the columns beside it and to this gallery, so
that nobody can read a row, change it or give it to another person. How many people, shots and visits there are, when
people and shots were added, how good a shot is and which networks have seen it can still be read. Bringing back an
older copy of the whole file cannot be noticed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import secrets
import sqlite3
import struct
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine import store, zoo
from engine.concurrency import Lock
from engine.errors import EngineError
from engine.opencv import cv2
from engine.recognition import Recogniser
from engine.sealed import BrokenSeal, Key, WrongPassphrase, read_records, unlock_records, write_records
from engine.types import Floats, Image, ModelCard

SCHEMA = 1
LONGEST_NAME = 200
LONGEST_NOTE = 10_000

_APPLICATION = 0x43534661  # "CSFa": what SQLite notes of the program that a file belongs to
_MAGIC = b"ConvScope faces\x01"  # of an exported gallery; the last byte is its version
_PATIENCE = 5.0  # seconds in which a process that deletes everything has done so, or was killed

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, added REAL NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE TABLE shots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    quality REAL NOT NULL, added REAL NOT NULL, sealed BLOB NOT NULL
) STRICT;
CREATE INDEX shots_of ON shots (person, quality);
CREATE TABLE embeddings (
    shot INTEGER NOT NULL REFERENCES shots (id) ON DELETE CASCADE,
    model TEXT NOT NULL, sealed BLOB NOT NULL, UNIQUE (shot, model)
) STRICT;
CREATE TABLE visits (id INTEGER PRIMARY KEY AUTOINCREMENT, sealed BLOB NOT NULL) STRICT;
CREATE TABLE settings (key TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
"""
_IDENTITY = {  # the columns to which the sealed one of a row is bound
    "people": "id, added",
    "shots": "id, person, quality, added",
    "embeddings": "shot, (SELECT person FROM shots WHERE id = shot), model",
    "visits": "id",
    "settings": "key",
}


@dataclass(frozen=True)
class Person:
    """Somebody who is to be recognised.

    Attributes:
        id: never given to another person of this gallery.
        name: for people; two may have the same.
        note: whatever one wants to remember.
        shots: how many there are.
        added: seconds since 1970.
    """

    id: int
    name: str = field(repr=False)
    note: str = field(repr=False)
    shots: int
    added: float


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture of a person's face.

    Attributes:
        id: never given to another shot of this gallery.
        person: whose it is.
        crop: (H, W, 3) uint8 RGB: the face with what is around it, not rotated.
        landmarks: (5, 2) float32 in the crop, as `Detections.landmarks` has them.
        quality: 0 to 1, as `FaceQuality.overall`.
        source: where it comes from, for people: a file's name, a camera's.
        added: seconds since 1970.
    """

    id: int
    person: int
    crop: Image = field(repr=False)
    landmarks: Floats = field(repr=False)
    quality: float
    source: str = field(repr=False)
    added: float


@dataclass(frozen=True)
class Visit:
    """One stay of a person in view, as the access log keeps it.

    Attributes:
        id: never given to another visit of this gallery.
        person: in the gallery; None: somebody unknown.
        began, ended: seconds since 1970; `ended` is when they were last seen.
        probability: calibrated, that it was this person: the best one so far; 0 for somebody unknown.
        allowed: the person was on the allow-list when the visit began.
    """

    id: int
    person: int | None = field(repr=False)
    began: float
    ended: float
    probability: float
    allowed: bool


class SameNames(EngineError):
    """A gallery to be imported holds people whose names are here already, and it is not sure that they are the same.

    Attributes:
        names: theirs; in no message.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        one = len(names) == 1
        super().__init__(
            f"{'One person' if one else f'{len(names)} people'} in that file {'has' if one else 'have'} the name of "
            "somebody who is here already.",
            "Say whether they are the same.",
        )
        self.names = names


def model_id(card: ModelCard) -> str:
    """What a gallery calls the network that made an embedding: the card's name and the digest of its weights.

    Raises:
        EngineError: the weights are missing or damaged.
    """
    return f"{card.name}:{zoo.weights_digest(card)}"


def recogniser(gallery: Gallery, card: ModelCard, *, threshold: float | None = None) -> Recogniser:
    """Everybody of whom a network has made embeddings, ready to be recognised by it.

    Args:
        threshold: similarity from which a face is named (default: the card's).

    Raises:
        EngineError: as every call of `Gallery`, or the network's weights are missing or damaged.
    """
    model = model_id(card)
    names = {person.id: person.name for person in gallery.people()}
    vectors, people, _ = gallery.embeddings(model)
    known = np.isin(people, list(names))  # another process may have entered somebody in between
    return Recogniser(
        vectors[known],
        people[known],
        names,
        calibration=card.calibration,
        threshold=card.threshold if threshold is None else threshold,
        model=model,
    )


class Gallery:
    """The people in one file. May be used from any thread; calls wait for each other, so not from the window's.

    The file is made with the first person. Another process may have it open as well.

    Besides what is said below, every call may raise an EngineError: the gallery is locked; another process is writing
    and does not end; the file was made by a newer ConvScope, is no gallery, has been changed by somebody without the
    passphrase, or is damaged (then it has been set aside beside its place, and the next call finds an empty gallery);
    WriteError: the disk is full, or the folder may not be written to. Nothing is changed then.
    """

    def __init__(
        self, path: Path | None = None, *, passphrase: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Name the file; with a passphrase it is opened, too.

        Args:
            path: of the file (default: `faces.sqlite` in the folder of this user's data).
            passphrase: unlocks the gallery, or will lock it once it is made, if it is not there yet.
            clock: seconds since 1970.

        Raises:
            EngineError: the passphrase is wrong.
        """
        self.path = path if path is not None else store.data_folder() / "faces.sqlite"
        self._clock = clock
        self._guard = Lock()  # guards all below
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # which file `_db` has open
        self._key: Key | None = None  # that of the file, or the one that it will get
        if passphrase is not None:
            if self.path.exists():
                self.unlock(passphrase)
            else:
                self._key = Key.made(passphrase)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._guard:
            self._close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ the whole of it

    @property
    def exists(self) -> bool:
        """There is a file."""
        return self.path.exists()

    @property
    def protected(self) -> bool:
        """It has a passphrase."""
        with self._using() as at:
            return at.lock is not None or at.key is not None

    @property
    def locked(self) -> bool:
        """It has a passphrase that has not been given yet, or that another process has changed since."""
        with self._using() as at:
            return at.lock is not None and at.key is None

    def size(self) -> int:
        """Bytes on the disk, with those of galleries that were set aside."""
        total = 0
        for path in [*self._files(), *self._set_aside()]:
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total

    def unlock(self, passphrase: str) -> None:
        """Open a gallery that is locked; takes about half a second. Does nothing to one without a passphrase.

        Raises:
            EngineError: the passphrase is wrong.
        """
        with self._using() as at:
            lock = at.lock
        if lock is not None:
            try:
                key = Key.opened(lock, passphrase)
            except BrokenSeal:
                raise _changed() from None
            with self._guard:
                self._key = key

    def set_passphrase(self, new: str | None) -> None:
        """Lock the gallery with another passphrase, or with none; all rows are written anew, under a new key.

        Raises:
            EngineError: the gallery is locked, or the passphrase is empty.
        """
        key = None if new is None else Key.made(new)
        with self._changing() as at:
            changed = _Rows(at.db, at.gallery, at.lock if key is None else key.lock, key)
            for table, identity in _IDENTITY.items():
                for (row,) in at.db.execute(f"SELECT rowid FROM {table}").fetchall():
                    sealed, *bound = at.db.execute(
                        f"SELECT sealed, {identity} FROM {table} WHERE rowid = ?", (row,)
                    ).fetchone()
                    data = changed.seal(at.open(sealed, table, *bound), table, *bound)
                    at.db.execute(f"UPDATE {table} SET sealed = ? WHERE rowid = ?", (data, row))
            at.db.execute("DELETE FROM meta WHERE key = 'lock'")
            if key is not None:
                at.db.execute("INSERT INTO meta VALUES ('lock', ?)", (key.lock,))
                at.db.execute("INSERT OR REPLACE INTO meta VALUES ('rewritten', x'01')")
            at.forget()
        with self._guard:
            self._key = key
        self._clean()

    def delete_all(self) -> None:
        """Delete all people, visits and settings, also of a gallery that is locked, damaged or of a newer ConvScope.

        Rows are overwritten, the files removed; so are galleries that were set aside. What the disk itself keeps of
        overwritten files (as flash memory and snapshots do) is out of reach.

        Raises:
            WriteError: a file could not be removed.
            EngineError: the file is no gallery.
        """
        with self._guard:
            try:
                db = self._connected()
                emptied = db is None or _emptied(db, self.path)
            except (sqlite3.Error, EngineError) as error:
                if isinstance(error, _Foreign):
                    raise
                emptied = False
            self._close()
            self._key = None
            failed = None
            for path in [*self._files(), *self._set_aside()]:
                try:
                    _remove(path, overwrite=not emptied or path not in self._files())
                except FileNotFoundError:
                    continue
                except OSError as error:
                    # An emptied file that another process has open (on Windows) is removed by the next to open it.
                    failed = failed if emptied and path in self._files() else (path, error)
            if failed is not None:
                raise store.write_error(*failed) from failed[1]

    # ------------------------------------------------------------------------------------------------- people

    def people(self) -> list[Person]:
        """Everybody, in the order of their names."""
        with self._reading() as at:
            rows = at.db.execute(
                "SELECT id, added, sealed, (SELECT count(*) FROM shots WHERE person = people.id) FROM people"
            ).fetchall()
            people = [
                Person(row, *_named(at.open(sealed, "people", row, added)), shots, added)
                for row, added, sealed, shots in rows
            ]
        return sorted(people, key=lambda person: (_folded(person.name), person.id))

    def add_person(self, name: str, note: str = "") -> Person:
        """Enter somebody; the first one makes the file.

        Raises:
            EngineError: the name is empty, or it or the note is too long.
        """
        name, note = _name(name), _note(note)
        with self._changing(create=True) as at:
            added = float(self._clock())
            return Person(_add_person(at, name, note, added), name, note, 0, added)

    def rename(self, person: int, name: str) -> None:
        """Give somebody another name.

        Raises:
            EngineError: there is no such person, or the name is empty or too long.
        """
        self._change_person(person, name=_name(name))

    def set_note(self, person: int, note: str) -> None:
        """Replace somebody's note.

        Raises:
            EngineError: there is no such person, or the note is too long.
        """
        self._change_person(person, note=_note(note))

    def merge(self, into: int, others: Iterable[int]) -> None:
        """They are one person: `into` gets the shots, notes and visits of the others, who are deleted.

        Raises:
            EngineError: one of them is not there.
        """
        gone = [other for other in dict.fromkeys(others) if other != into]
        with self._changing() as at:
            _, notes = _person(at, into)
            for other in gone:
                notes = _together(notes, _person(at, other)[1])
                _move(at, [row for (row,) in at.db.execute("SELECT id FROM shots WHERE person = ?", (other,))], into)
                _hand_over_visits(at, other, into)
                at.db.execute("DELETE FROM people WHERE id = ?", (other,))
            _write_person(at, into, note=notes[:LONGEST_NOTE])
            at.forget()
        self._clean()

    def delete_person(self, person: int) -> None:
        """Delete somebody with all shots and visits.

        Raises:
            EngineError: there is no such person.
        """
        with self._changing() as at:
            _hand_over_visits(at, person, None)
            _need(at.db.execute("DELETE FROM people WHERE id = ?", (person,)).rowcount)
            at.forget()
        self._clean()

    # -------------------------------------------------------------------------------------------------- shots

    def shots(self, person: int) -> list[Shot]:
        """All of somebody's that can be read, the oldest first; none where there is no such person."""
        with self._reading() as at:
            return _shots(at, "WHERE person = ? ORDER BY id", person)

    def thumbnail(self, person: int) -> Image | None:
        """The crop of the best shot that can be read, (H, W, 3) uint8; None where there is none."""
        with self._reading() as at:
            best = _shots(at, "WHERE person = ? ORDER BY quality DESC, id", person, limit=1)
        return best[0].crop if best else None

    def add_shot(
        self,
        person: int,
        crop: Image,
        landmarks: Floats,
        *,
        quality: float,
        source: str,
        embedding: Floats | None = None,
        model: str = "",
    ) -> Shot:
        """Keep a picture of somebody's face.

        Args:
            crop: (H, W, 3) uint8 RGB.
            landmarks: (5, 2) in its pixels.
            quality: 0 to 1.
            source: where it comes from, for people.
            embedding: (D,) that `model` (`model_id`) has made of it; None: not made yet.

        Raises:
            EngineError: there is no such person.
        """
        _check_picture(crop, landmarks, quality)
        if (embedding is None) == bool(model):
            raise ValueError("an embedding comes with the id of its network")
        picture, places, source = _encoded(crop), np.array(landmarks, np.float32), _clean_text(source)
        data = _packed({"landmarks": places.tolist(), "source": source}, picture)
        with self._changing() as at:
            _person(at, person)
            added = float(self._clock())
            shot = _add_shot(at, person, float(quality), added, data)
            if embedding is not None:
                _set_embedding(at, shot, person, model, embedding)
        return Shot(shot, person, crop, places, float(quality), source, added)

    def move_shots(self, shots: Iterable[int], person: int) -> None:
        """Give shots to another person. (To split somebody in two: `add_person`, then this.)

        Raises:
            EngineError: a shot or the person is not there.
        """
        with self._changing() as at:
            _person(at, person)
            _move(at, list(dict.fromkeys(shots)), person)

    def delete_shot(self, shot: int) -> None:
        """Delete one shot.

        Raises:
            EngineError: there is no such shot.
        """
        with self._changing() as at:
            _need(at.db.execute("DELETE FROM shots WHERE id = ?", (shot,)).rowcount, "picture")
            at.forget()
        self._clean()

    # --------------------------------------------------------------------------------------------- embeddings

    def embeddings(self, model: str) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        """All embeddings that one network (`model_id`) has made.

        Returns:
            (N, D) float32, the person of each (N,) int64, the shot of each (N,) int64, ordered by person and shot;
            (0, 0) where there is none.
        """
        with self._reading() as at:
            rows = at.db.execute(
                "SELECT shot, person, embeddings.sealed FROM embeddings JOIN shots ON shots.id = shot"
                " WHERE model = ? ORDER BY person, shot",
                (model,),
            ).fetchall()
            vectors = [at.open(sealed, "embeddings", shot, person, model) for shot, person, sealed in rows]
        sizes = {len(vector) for vector in vectors}
        if len(sizes) > 1 or any(size % 4 for size in sizes):
            raise _changed()
        matrix = np.frombuffer(b"".join(vectors), "<f4").astype(np.float32).reshape(len(rows), -1 if rows else 0)
        numbers = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
        return matrix, numbers[:, 1].copy(), numbers[:, 0].copy()

    def missing(self, model: str, *, limit: int | None = None, after: int = 0) -> list[Shot]:
        """The shots that a network (`model_id`) has not seen yet, the oldest first.

        Args:
            limit: no more than these: a thousand crops are a hundred megabytes.
            after: only shots with a larger id, to go on behind one that could not be embedded.
        """
        with self._reading() as at:
            which = (
                "WHERE id > ? AND NOT EXISTS (SELECT 1 FROM embeddings WHERE shot = shots.id AND model = ?) ORDER BY id"
            )
            return _shots(at, which, after, model, limit=limit)

    def count_missing(self, model: str) -> int:
        """How many shots a network (`model_id`) has not seen yet."""
        with self._reading() as at:
            (count,) = at.db.execute(
                "SELECT (SELECT count(*) FROM shots) - (SELECT count(*) FROM embeddings WHERE model = ?)", (model,)
            ).fetchone()
        return int(count)

    def set_embedding(self, shot: int, model: str, vector: Floats) -> None:
        """Keep what a network (`model_id`) has made of a shot, (D,), in the place of what it made before.

        Raises:
            EngineError: there is no such shot.
        """
        with self._changing() as at:
            row = at.db.execute("SELECT person FROM shots WHERE id = ?", (shot,)).fetchone()
            _need(row is not None, "picture")
            _set_embedding(at, shot, row[0], model, vector)

    # -------------------------------------------------------------------------------------- what comes and goes

    def export(self, path: Path, passphrase: str) -> None:
        """Write all people and shots with their embeddings to one encrypted file; visits and settings stay here.

        Raises:
            EngineError: the passphrase is empty.
            WriteError: the file cannot be written; what was there is as it was.
        """
        if path.resolve() == self.path.resolve():
            raise EngineError("The gallery itself is in this file.", "Choose another name for the copy.")
        key = Key.made(passphrase)
        with self._reading() as at:

            def write(temporary: Path) -> None:
                number = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
                with os.fdopen(number, "wb") as file:
                    write_records(file, key, _MAGIC, _records(at))
                    file.flush()
                    os.fsync(file.fileno())

            store.replace_file(path, write)

    def import_people(self, path: Path, passphrase: str, *, merge: bool | None = None) -> int:
        """Take in what `export` wrote: all of it, or nothing.

        Somebody who has the name and a shot of a person here is that person. Shots that are here already are left out.

        Args:
            merge: whoever has the name of a person here is that person; False: is another one; None: ask.

        Returns:
            How many people the file holds.

        Raises:
            EngineError: the file cannot be read, the passphrase is wrong, or a byte of the file has been changed.
            SameNames: `merge` must be said.
        """
        try:
            with path.open("rb") as file:
                key, head = _unlocked_file(file, passphrase)
                arriving: dict[int, tuple[str, set[bytes]]] = {}
                for record, blob in _read(file, key, head):  # all of it, before anything is written
                    if record["kind"] == "person":
                        arriving[record["person"]] = (record["name"], set())
                    else:
                        arriving[record["person"]][1].add(hashlib.sha256(blob[: record["picture"]]).digest())
                with self._changing(create=bool(arriving)) as at:
                    _take_in(at, _read(file, key, head), _places(at, arriving, merge))
        except OSError as error:
            raise EngineError(
                f"{path.name} cannot be read: {error.strerror or error}.", "Check that it is there."
            ) from error
        return len(arriving)

    # ------------------------------------------------------------------------------- visits, for `engine.access`

    def visits(self, *, since: float = float("-inf"), most: int | None = None) -> list[Visit]:
        """All that ended at `since` (seconds since 1970) or later, in the order in which they began.

        Args:
            most: of all visits only so many, those that were added last, are looked at.
        """
        with self._reading() as at:
            limit = -1 if most is None else most
            rows = at.db.execute("SELECT id, sealed FROM visits ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
            visits = [_visit(row, at.open(sealed, "visits", row)) for row, sealed in rows]
        return sorted((visit for visit in visits if visit.ended >= since), key=lambda visit: (visit.began, visit.id))

    def add_visit(self, visit: Visit) -> Visit | None:
        """Keep a visit; it comes back with its id. None: that person has been deleted, or everything has."""
        with self._changing() as at:
            if not at.gallery or (visit.person is not None and not _enrolled(at, visit.person)):
                return None
            row = at.db.execute("INSERT INTO visits (sealed) VALUES (x'')").lastrowid or 0
            visit = dataclasses.replace(visit, id=row)
            _write_visit(at, visit)
        return visit

    def change_visit(self, visit: Visit) -> None:
        """Replace the visit of this id; does nothing where it has been deleted."""
        with self._changing() as at:
            row = at.db.execute("SELECT sealed FROM visits WHERE id = ?", (visit.id,)).fetchone()
            if row is None:
                return
            if visit.person is not None and not _enrolled(at, visit.person):  # merged with somebody meanwhile
                visit = dataclasses.replace(visit, person=_visit(visit.id, at.open(row[0], "visits", visit.id)).person)
            _write_visit(at, visit)

    def delete_visits(self, *, before: float = float("inf")) -> int:
        """Delete all that ended before `before` (seconds since 1970); says how many."""
        with self._changing() as at:
            rows = at.db.execute("SELECT id, sealed FROM visits").fetchall()
            old = [row for row, sealed in rows if _visit(row, at.open(sealed, "visits", row)).ended < before]
            at.db.executemany("DELETE FROM visits WHERE id = ?", [(row,) for row in old])
            if old:
                at.forget()
        if old:
            self._clean()
        return len(old)

    def setting(self, key: str) -> dict[str, Any]:
        """What `set_setting` has kept; empty where it has not."""
        with self._reading() as at:
            row = at.db.execute("SELECT sealed FROM settings WHERE key = ?", (key,)).fetchone()
            return {} if row is None else _unpacked(at.open(row[0], "settings", key))[0]

    def set_setting(self, key: str, values: dict[str, Any]) -> None:
        """Keep values (as JSON holds them) with the people that they are about."""
        with self._changing(create=True) as at:
            sealed = at.seal(_packed(values), "settings", key)
            at.db.execute("INSERT OR REPLACE INTO settings (key, sealed) VALUES (?, ?)", (key, sealed))

    # ------------------------------------------------------------------------------------------------- inside

    def _change_person(self, person: int, *, name: str | None = None, note: str | None = None) -> None:
        with self._changing() as at:
            _write_person(at, person, name=name, note=note)
            at.forget()
        self._clean()

    @contextlib.contextmanager
    def _using(self) -> Iterator[_Rows]:
        """The file as it is, or an empty one in its place; neither locked nor unlocked matters."""
        with self._guard, self._explained():
            db = self._connected()
            if db is None:
                with contextlib.closing(_nobody()) as nobody:
                    yield _Rows(nobody, b"", None, self._key)
            else:
                yield self._rows(db)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[_Rows]:
        """One state of the file, whatever others write meanwhile."""
        with self._using() as at, _transaction(at.db, "BEGIN"):
            yield self._unlocked(at)

    @contextlib.contextmanager
    def _changing(self, *, create: bool = False) -> Iterator[_Rows]:
        """One change, all or nothing. Where there is no file and none shall be made, there is nobody to change."""
        with self._guard, self._explained():
            db = self._connected(create=create)
            with contextlib.ExitStack() as stack:
                if db is None:
                    db = stack.enter_context(contextlib.closing(_nobody()))
                stack.enter_context(_transaction(db, "BEGIN IMMEDIATE"))
                yield self._unlocked(self._rows(db))

    def _rows(self, db: sqlite3.Connection) -> _Rows:
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        lock = meta.get("lock")
        key = self._key if self._key is not None and self._key.lock == lock else None
        return _Rows(db, meta.get("gallery", b""), lock, key)

    def _unlocked(self, at: _Rows) -> _Rows:
        # Looked at inside the transaction: another process may have set a passphrase a moment ago.
        at = self._rows(at.db) if at.gallery else at
        if at.lock is not None and at.key is None:
            raise EngineError("The gallery of faces is locked.", "Enter its passphrase.")
        return at

    def _connected(self, *, create: bool = False) -> sqlite3.Connection | None:
        """The open file; None where there is none."""
        if self._db is not None and self._file != _identity(self.path):
            self._close()  # another process has deleted everything
        if self._db is None:
            self._open(create=create)
        if self._db is not None and _noted(self._db, "closing"):
            self._let_go()
            return self._connected(create=create)
        return self._db

    def _open(self, *, create: bool) -> None:
        if create and not self.path.exists():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise store.write_error(self.path, error) from error
        if not self.path.exists():
            return
        for path in self._files():
            with contextlib.suppress(OSError):
                path.chmod(0o600)
        self._file = _identity(self.path)
        uri = self.path.resolve().as_uri() + "?mode=rw"
        self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            self._db.text_factory = lambda data: data.decode("utf-8", "replace")
            with _transaction(self._db, "BEGIN"):  # one state of it, whoever makes it just now
                made = _is_made(self._db)
            if not made and not create:
                self._close()  # begun by somebody who was killed
                return
            for pragma in ("secure_delete = ON", "foreign_keys = ON", "temp_store = MEMORY", "trusted_schema = OFF"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute("PRAGMA synchronous = FULL")  # a committed row outlives a power cut, too
            _write_ahead(self._db)
            if not made:
                _make(self._db, self._key)
        except BaseException:
            self._close()
            raise
        self._clean_connection()

    def _close(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _clean(self) -> None:
        """Overwrite what was deleted, in the file and in its log; where another process is in the way, later."""
        with self._guard:
            self._clean_connection()

    def _clean_connection(self) -> None:
        if self._db is not None and not self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                if _noted(self._db, "deleted"):
                    # SQLite has overwritten the rows (secure_delete), but only in its log, which is not made shorter
                    # before they are overwritten in the file, nor the file before that.
                    if not _overwritten(self._db, self.path):
                        return
                    (pages,) = self._db.execute("PRAGMA page_count").fetchone()
                    (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
                    if 4 * free > pages or _noted(self._db, "rewritten"):
                        self._db.execute("VACUUM")
                    busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    if not busy:
                        self._db.execute("DELETE FROM meta WHERE key IN ('deleted', 'rewritten')")

    def _let_go(self) -> None:
        """Another process is deleting everything: let it; where it was killed at that, do what it has left."""
        assert self._db is not None
        end = time.monotonic() + _PATIENCE
        while self._file == _identity(self.path):
            if time.monotonic() >= end:
                _emptied(self._db, self.path)
                self._close()
                with contextlib.suppress(OSError):
                    for path in self._files():
                        path.unlink(missing_ok=True)
                if self.path.exists():  # this system keeps a file that somebody has open: it is as good as new
                    with contextlib.closing(sqlite3.connect(self.path)) as db, db:
                        db.execute("DELETE FROM meta WHERE key = 'closing'")
                break
            time.sleep(0.02)
        self._close()

    def _files(self) -> list[Path]:
        # The file itself last: while it is there, what was begun with the others can be finished.
        return [self.path.with_name(self.path.name + suffix) for suffix in ("-shm", "-wal", "-journal", "")]

    def _set_aside(self) -> list[Path]:
        stem, suffix = self.path.stem, self.path.suffix
        start = f"{stem}.damaged"
        with contextlib.suppress(OSError):
            return sorted(
                path
                for path in self.path.parent.iterdir()
                if path.name.startswith(start) and suffix in path.name[len(start) :]
            )
        return []

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What SQLite says, in plain words."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._said(error) from error

    def _said(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return store.write_error(self.path, OSError(errno.ENOSPC, ""))
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return EngineError("Another ConvScope is using the gallery of faces.", "Try again in a moment.")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._put_aside()
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            why = errno.EIO if code == sqlite3.SQLITE_IOERR else errno.EACCES
            return store.write_error(self.path, OSError(why, os.strerror(why)))
        return error

    def _put_aside(self) -> EngineError:
        ours = self._file == _identity(self.path)
        self._close()
        if not ours:
            return EngineError("The gallery of faces was deleted by another ConvScope.", "Try again.")
        for number in range(1, 1000):
            name = f"{self.path.stem}.damaged{'' if number == 1 else f'-{number}'}{self.path.suffix}"
            there = self.path.with_name(name)
            if not there.exists():
                break
        try:
            # The log first: without its log, a file that stays in its place would be a different gallery.
            for suffix in ("-wal", ""):
                old = self.path.with_name(self.path.name + suffix)
                if old.exists():
                    old.rename(there.with_name(there.name + suffix))
            self.path.with_name(self.path.name + "-shm").unlink(missing_ok=True)
        except OSError as error:
            return store.write_error(there, error)
        return EngineError(
            f"The gallery of faces is damaged. Nothing was deleted: it has been set aside as {there.name}.",
            "A new gallery begins with the next person; import a copy if there is one.",
        )


class _Foreign(EngineError):
    """The file belongs to another program."""


# ---------------------------------------------------------------------------------------------------- the file


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _write_ahead(db: sqlite3.Connection) -> None:
    """Changes go to a log beside the file. SQLite does not wait here where another process does the same just now."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() >= end:
                raise
            time.sleep(0.02)


def _is_made(db: sqlite3.Connection) -> bool:
    """Whether a file holds a gallery; False: nothing yet."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application == 0 and version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return False
    if application != _APPLICATION:
        raise _Foreign("The file of the gallery of faces belongs to another program.", "Move it elsewhere.")
    if version > SCHEMA:
        raise EngineError("The gallery of faces was made by a newer ConvScope.", "Update ConvScope.")
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}
    if not {"meta", *_IDENTITY} <= tables:
        raise _changed()
    return True


def _make(db: sqlite3.Connection, key: Key | None) -> None:
    """Begin an empty gallery in one step."""
    with _transaction(db, "BEGIN IMMEDIATE"):
        if not _is_made(db):  # another process may have been faster
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('gallery', ?)", (secrets.token_bytes(16),))
            if key is not None:
                db.execute("INSERT INTO meta VALUES ('lock', ?)", (key.lock,))
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {SCHEMA}")


def _nobody() -> sqlite3.Connection:
    """An empty gallery in memory: what one reads where there is no file."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(_TABLES)
    return db


def _noted(db: sqlite3.Connection, key: str) -> bool:
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (key,)).fetchone() is not None


def _overwritten(db: sqlite3.Connection, path: Path) -> bool:
    """Bring zeros over all that was deleted: in the file, and in its log; False where another process is in the way.

    SQLite shortens both without overwriting what it cuts off. What was deleted lies in the log as zeros: first these go
    into the file. Then the log, which begins anew, is filled with zeros to the length that it had.
    """
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    if busy:
        return False
    try:
        length = path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        return True  # there is none
    if length:
        with _transaction(db, "BEGIN IMMEDIATE"):
            db.execute("INSERT OR REPLACE INTO meta VALUES ('filling', zeroblob(?))", (length,))
        with _transaction(db, "BEGIN IMMEDIATE"):
            db.execute("DELETE FROM meta WHERE key = 'filling'")
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    return not busy


def _emptied(db: sqlite3.Connection, path: Path) -> bool:
    """Delete every row and overwrite it; True if nothing of them is left in the file and its log."""
    try:
        with _transaction(db, "BEGIN IMMEDIATE"):
            for table in _IDENTITY:
                db.execute(f"DELETE FROM {table}")
            db.execute("DELETE FROM sqlite_sequence")
            db.execute("DELETE FROM meta WHERE key IN ('lock', 'deleted', 'rewritten')")
            # Whoever opens the file from now on removes it before anything else.
            db.execute("INSERT OR REPLACE INTO meta VALUES ('closing', x'01')")
        if not _overwritten(db, path):
            return False
        db.execute("VACUUM")
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False
    return not busy


def _remove(path: Path, *, overwrite: bool) -> None:
    if overwrite:
        with contextlib.suppress(OSError), path.open("r+b") as file:
            left = path.stat().st_size
            while left > 0:
                left -= file.write(bytes(min(left, 1 << 20)))
            file.flush()
            os.fsync(file.fileno())
    path.unlink()


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


# ------------------------------------------------------------------------------------------------- sealed rows


@dataclass(frozen=True)
class _Rows:
    """The rows of a gallery within one transaction.

    Attributes:
        gallery: its random identity; empty where there is no file.
        lock: what the file keeps of its passphrase; None: it has none.
        key: that fits the lock, if it is known.
    """

    db: sqlite3.Connection
    gallery: bytes
    lock: bytes | None
    key: Key | None

    def seal(self, data: bytes, table: str, *row: object) -> bytes:
        return data if self.key is None else self.key.seal(data, self._bound(table, *row))

    def open(self, sealed: bytes, table: str, *row: object) -> bytes:
        if not isinstance(sealed, bytes):  # whoever changes a file may put anything anywhere
            raise _changed()
        if self.key is None:
            return sealed
        try:
            return self.key.open(sealed, self._bound(table, *row))
        except BrokenSeal:
            raise _changed() from None

    def forget(self) -> None:
        """Note that something was deleted, so that it is overwritten even if this process ends now."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES ('deleted', x'01')")

    def _bound(self, *row: object) -> bytes:
        return json.dumps([self.gallery.hex(), *row]).encode()


def _changed() -> EngineError:
    return EngineError(
        "The gallery of faces has been changed by another program, or is damaged.",
        "Import a copy if there is one, or delete the gallery.",
    )


def _packed(values: dict[str, Any], blob: bytes = b"") -> bytes:
    head = json.dumps(values).encode()
    return struct.pack("<I", len(head)) + head + blob


def _unpacked(data: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        (size,) = struct.unpack_from("<I", data)
        values = json.loads(data[4 : 4 + size])
    except (struct.error, ValueError):
        raise _changed() from None
    if not isinstance(values, dict):
        raise _changed()
    return values, data[4 + size :]


# ------------------------------------------------------------------------------------------------ rows of people


def _need(found: object, what: str = "person") -> None:
    if not found:
        raise EngineError(f"This {what} is no longer in the gallery.", "It was deleted in the meantime.")


def _named(data: bytes) -> tuple[str, str]:
    values, _ = _unpacked(data)
    if not isinstance(values.get("name"), str) or not isinstance(values.get("note"), str):
        raise _changed()
    return values["name"], values["note"]


def _person(at: _Rows, person: int) -> tuple[str, str]:
    row = at.db.execute("SELECT sealed, added FROM people WHERE id = ?", (person,)).fetchone()
    _need(row is not None)
    return _named(at.open(row[0], "people", person, row[1]))


def _enrolled(at: _Rows, person: int) -> bool:
    return at.db.execute("SELECT 1 FROM people WHERE id = ?", (person,)).fetchone() is not None


def _add_person(at: _Rows, name: str, note: str, added: float) -> int:
    row = at.db.execute("INSERT INTO people (added, sealed) VALUES (?, x'')", (added,)).lastrowid or 0
    sealed = at.seal(_packed({"name": name, "note": note}), "people", row, added)
    at.db.execute("UPDATE people SET sealed = ? WHERE id = ?", (sealed, row))
    return row


def _write_person(at: _Rows, person: int, *, name: str | None = None, note: str | None = None) -> None:
    before = _person(at, person)
    values = {"name": before[0] if name is None else name, "note": before[1] if note is None else note}
    (added,) = at.db.execute("SELECT added FROM people WHERE id = ?", (person,)).fetchone()
    sealed = at.seal(_packed(values), "people", person, added)
    at.db.execute("UPDATE people SET sealed = ? WHERE id = ?", (sealed, person))


def _shots(at: _Rows, which: str, *arguments: object, limit: int | None = None) -> list[Shot]:
    """Those that can be read, no more than `limit`. A broken seal is an error: somebody has changed the file."""
    shots: list[Shot] = []
    for row, person, quality, added, sealed in at.db.execute(
        f"SELECT id, person, quality, added, sealed FROM shots {which}", arguments
    ):
        if len(shots) == limit:
            break
        values, picture = _unpacked(at.open(sealed, "shots", row, person, quality, added))
        landmarks, source = _shot_values(values)
        with contextlib.suppress(EngineError):  # one damaged picture is no reason not to see the others
            shots.append(Shot(row, person, _decoded(picture), landmarks, quality, source, added))
    return shots


def _shot_values(values: dict[str, Any]) -> tuple[Floats, str]:
    try:
        landmarks = np.array(values["landmarks"], np.float32)
        source = values["source"]
    except (KeyError, TypeError, ValueError):
        raise _changed() from None
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all() or not isinstance(source, str):
        raise _changed()
    return landmarks, source


def _add_shot(at: _Rows, person: int, quality: float, added: float, data: bytes) -> int:
    values = (person, quality, added)
    row = at.db.execute(
        "INSERT INTO shots (person, quality, added, sealed) VALUES (?, ?, ?, x'')", values
    ).lastrowid or 0  # fmt: skip
    at.db.execute("UPDATE shots SET sealed = ? WHERE id = ?", (at.seal(data, "shots", row, *values), row))
    return row


def _move(at: _Rows, shots: list[int], person: int) -> None:
    for shot in shots:
        row = at.db.execute("SELECT person, quality, added, sealed FROM shots WHERE id = ?", (shot,)).fetchone()
        _need(row is not None, "picture")
        before, quality, added, sealed = row
        # A row is bound to its person, so it is sealed anew, and so are the embeddings.
        sealed = at.seal(at.open(sealed, "shots", shot, before, quality, added), "shots", shot, person, quality, added)
        at.db.execute("UPDATE shots SET person = ?, sealed = ? WHERE id = ?", (person, sealed, shot))
        for model, vector in at.db.execute("SELECT model, sealed FROM embeddings WHERE shot = ?", (shot,)).fetchall():
            data = at.open(vector, "embeddings", shot, before, model)
            at.db.execute(
                "UPDATE embeddings SET sealed = ? WHERE shot = ? AND model = ?",
                (at.seal(data, "embeddings", shot, person, model), shot, model),
            )


def _set_embedding(at: _Rows, shot: int, person: int, model: str, vector: Floats) -> None:
    data = np.ascontiguousarray(vector, "<f4")
    if data.ndim != 1 or not np.isfinite(data).all() or not data.any():
        raise ValueError(f"an embedding is (D,) finite numbers, not all of them 0; this one is {data.shape}")
    sealed = at.seal(data.tobytes(), "embeddings", shot, person, model)
    other = at.db.execute(
        "SELECT length(sealed) FROM embeddings WHERE model = ? AND shot != ? LIMIT 1", (model, shot)
    ).fetchone()
    if other is not None and other[0] != len(sealed):
        raise ValueError("the other embeddings of this network have another length")
    at.db.execute(
        "INSERT INTO embeddings VALUES (?, ?, ?) ON CONFLICT (shot, model) DO UPDATE SET sealed = excluded.sealed",
        (shot, model, sealed),
    )


def _visit(row: int, data: bytes) -> Visit:
    values, _ = _unpacked(data)
    try:
        return Visit(row, **values)
    except TypeError:
        raise _changed() from None


def _write_visit(at: _Rows, visit: Visit) -> None:
    values = dataclasses.asdict(visit)
    sealed = at.seal(_packed({name: value for name, value in values.items() if name != "id"}), "visits", visit.id)
    at.db.execute("UPDATE visits SET sealed = ? WHERE id = ?", (sealed, visit.id))


def _hand_over_visits(at: _Rows, person: int, to: int | None) -> None:
    """Give somebody's visits to another person, or delete them."""
    for row, sealed in at.db.execute("SELECT id, sealed FROM visits").fetchall():
        visit = _visit(row, at.open(sealed, "visits", row))
        if visit.person != person:
            continue
        if to is None:
            at.db.execute("DELETE FROM visits WHERE id = ?", (row,))
        else:
            _write_visit(at, dataclasses.replace(visit, person=to))


# ------------------------------------------------------------------------------------------- texts and pictures


def _clean_text(text: str) -> str:
    """Without what cannot be written to a file: halves of letters, as names of files may hold them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _name(name: str) -> str:
    """One line, without signs that cannot be seen at its ends or that control a screen."""
    name = "".join(" " if unicodedata.category(sign) == "Cc" else sign for sign in _clean_text(name))
    name = " ".join(name.split())
    if not name:
        raise EngineError("A person needs a name.", "Any name will do; it can be changed later.")
    if len(name) > LONGEST_NAME:
        raise EngineError(f"A name may have {LONGEST_NAME} letters.", "Write the rest into the note.")
    return name


def _note(note: str) -> str:
    note = _clean_text(note).strip()
    if len(note) > LONGEST_NOTE:
        raise EngineError(f"A note may have {LONGEST_NOTE} letters.", "Make it shorter.")
    return note


def _folded(name: str) -> str:
    """A name as it is compared: upper and lower case and ways of writing an accent make no difference."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _together(note: str, other: str) -> str:
    return note if not other or other in note else f"{note}\n{other}" if note else other


def _check_picture(crop: Image, landmarks: Floats, quality: float) -> None:
    if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or not crop.size:
        raise ValueError(f"a crop is (H, W, 3) uint8, not {crop.shape} {crop.dtype}")
    if np.shape(landmarks) != (5, 2) or not np.isfinite(landmarks).all():
        raise ValueError("landmarks are (5, 2) finite numbers")
    if not 0 <= quality <= 1:
        raise ValueError("quality is 0 to 1")


def _encoded(crop: Image) -> bytes:
    # Without loss: another network sees what the first one saw.
    return bytes(cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1])


def _decoded(data: bytes) -> Image:
    picture = None
    with contextlib.suppress(cv2.error):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise _changed()
    crop: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return crop


def _readable(data: bytes) -> bool:
    try:
        _decoded(data)
    except EngineError:
        return False
    return True


# ---------------------------------------------------------------------------------------------- exported files


def _records(at: _Rows) -> Iterator[bytes]:
    """Everybody, each followed by their shots."""
    for person, added in at.db.execute("SELECT id, added FROM people ORDER BY id").fetchall():
        name, note = _person(at, person)
        yield _packed({"kind": "person", "person": person, "name": name, "note": note, "added": added})
        for (shot,) in at.db.execute("SELECT id FROM shots WHERE person = ? ORDER BY id", (person,)).fetchall():
            quality, taken, sealed = at.db.execute(
                "SELECT quality, added, sealed FROM shots WHERE id = ?", (shot,)
            ).fetchone()
            values, picture = _unpacked(at.open(sealed, "shots", shot, person, quality, taken))
            if not _readable(picture):
                continue  # a copy with a damaged picture in it would be refused as a whole
            rows = at.db.execute("SELECT model, sealed FROM embeddings WHERE shot = ? ORDER BY model", (shot,))
            vectors = {model: at.open(each, "embeddings", shot, person, model) for model, each in rows.fetchall()}
            values |= {"kind": "shot", "person": person, "quality": quality, "added": taken, "picture": len(picture)}
            values |= {"vectors": {model: len(vector) for model, vector in vectors.items()}}
            yield _packed(values, picture + b"".join(vectors.values()))


def _unlocked_file(file: BinaryIO, passphrase: str) -> tuple[Key, bytes]:
    magic = file.read(len(_MAGIC))
    if magic[:-1] != _MAGIC[:-1]:
        raise EngineError("This file is no exported gallery of faces.", "Choose one that ConvScope has exported.")
    if magic > _MAGIC:
        raise EngineError("This gallery was exported by a newer ConvScope.", "Update ConvScope.")
    file.seek(0)
    try:
        return unlock_records(file, _MAGIC, passphrase)
    except (BrokenSeal, WrongPassphrase):
        raise _wrong_or_changed() from None


def _read(file: BinaryIO, key: Key, head: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What `_records` gave; an error at the first byte that is not as it was."""
    seen: set[int] = set()
    records = read_records(file, key, head)
    while True:
        try:
            record = next(records, None)
            if record is None:
                return
            values, blob = _unpacked(record)
            _check_record(values, blob, seen)
        except (BrokenSeal, EngineError, KeyError, TypeError, ValueError, AttributeError):
            raise _wrong_or_changed() from None
        yield values, blob


def _check_record(values: dict[str, Any], blob: bytes, seen: set[int]) -> None:
    """Raises an error of the ordinary kinds where a record is not as `_records` makes it."""
    good = np.isfinite(float(values["added"])) and isinstance(values["person"], int)
    if values["kind"] == "person":
        _name(values["name"])
        _note(values["note"])
        seen.add(values["person"])
    else:
        vectors = values["vectors"]
        sizes = [values["picture"], *vectors.values()]
        good &= values["kind"] == "shot" and values["person"] in seen and 0 <= float(values["quality"]) <= 1
        good &= all(isinstance(size, int) and size > 0 for size in sizes) and sum(sizes) == len(blob)
        _shot_values(values)
        _decoded(blob[: values["picture"]])
    if not good:
        raise ValueError("no record of a gallery")


def _wrong_or_changed() -> EngineError:
    return EngineError(
        "The passphrase is wrong, or the file has been changed or is damaged.", "Try again, or use another copy."
    )


def _places(at: _Rows, arriving: dict[int, tuple[str, set[bytes]]], merge: bool | None) -> dict[int, int]:
    """The people here whom arriving ones are; who is in there not is a new person."""
    here: dict[str, list[int]] = {}
    for (person,) in at.db.execute("SELECT id FROM people ORDER BY id").fetchall():
        here.setdefault(_folded(_person(at, person)[0]), []).append(person)
    places: dict[int, int] = {}
    doubtful: list[str] = []
    for number, (name, pictures) in arriving.items():
        alike = here.get(_folded(name), [])
        same = [person for person in alike if pictures & _digests(at, person)]
        if same:
            places[number] = same[0]
        elif alike and merge is None:
            doubtful.append(name)
        elif alike and merge:
            places[number] = alike[0]
    if doubtful:
        raise SameNames(tuple(doubtful))
    return places


def _digests(at: _Rows, person: int) -> set[bytes]:
    rows = at.db.execute("SELECT id, person, quality, added, sealed FROM shots WHERE person = ?", (person,))
    pictures = (_unpacked(at.open(row[4], "shots", *row[:4]))[1] for row in rows.fetchall())
    return {hashlib.sha256(picture).digest() for picture in pictures}


def _take_in(at: _Rows, records: Iterator[tuple[dict[str, Any], bytes]], places: dict[int, int]) -> None:
    known: dict[int, set[bytes]] = {}
    for values, blob in records:
        number = values["person"]
        if values["kind"] == "person":
            if number in places:
                known[number] = _digests(at, places[number])
                note = _together(_person(at, places[number])[1], values["note"])
                _write_person(at, places[number], note=note[:LONGEST_NOTE])
            else:
                added = float(values["added"])
                places[number] = _add_person(at, _name(values["name"]), _note(values["note"]), added)
                known[number] = set()
            continue
        picture, rest = blob[: values["picture"]], blob[values["picture"] :]
        digest = hashlib.sha256(picture).digest()
        if digest in known[number]:
            continue
        known[number].add(digest)
        data = _packed({"landmarks": values["landmarks"], "source": values["source"]}, picture)
        shot = _add_shot(at, places[number], float(values["quality"]), float(values["added"]), data)
        for model, size in values["vectors"].items():
            vector, rest = rest[:size], rest[size:]
            try:
                _set_embedding(at, shot, places[number], model, np.frombuffer(vector, "<f4").astype(np.float32))
            except ValueError:  # not as long as those that the same network has made here
                raise _wrong_or_changed() from None
