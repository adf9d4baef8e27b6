"""The window's side of the gallery: who is enrolled, with which network they are recognised, and what is under way.

What takes time (the file, the networks) is done in another thread, one thing after the other, as `Gallery` and the
networks want it; what the panels show lies here as plain values. What goes through many pictures takes its turn again
after each of them, so a name can be changed while an album is gone through.

No name and no face is ever written to a log, and no sentence of an error carries one.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, Signal
from PySide6.QtGui import QImage

from engine import Cancelled, EngineError, WriteError
from gui.bridge import Call, Errands
from gui.coach import misfits
from gui.files import PICTURES
from gui.reading import own_image
from gui.settings import Settings

if TYPE_CHECKING:
    from engine import AccessLog, FaceMatch, FaceQuality, FaceReader, Gallery, ModelCard, Person, Recogniser, Shot

T = TypeVar("T")
State: TypeAlias = Literal["closed", "none", "locked", "open", "failed"]

CONSENT = "faces/gallery"  # the setting that says that a person wants a gallery
MOST_SHOTS = 20  # of a person that are taken from a folder or an album; the best ones
WORST = 0.08  # quality below which a face is not kept, whoever wants it: it would resemble everybody
CLEAR = 2.0  # a face this much larger (in area) than any other is the one that a picture is of


@dataclass(frozen=True, eq=False)
class Candidate:
    """A face that may be kept; nothing of it is in the gallery. Its picture never shows in `repr`.

    Attributes:
        jpeg: its crop, packed: an album holds thousands.
        landmarks: (5, 2) float32 in the crop.
        quality: None where it was not measured.
        source: what it comes from, for people.
        embedding: (D,) float32 of length 1, of the network `model`; None: not computed.
        width: of its box in pixels of the picture.
    """

    jpeg: bytes = field(repr=False)
    landmarks: NDArray[np.float32] = field(repr=False)
    quality: FaceQuality | None
    source: str = field(repr=False)
    embedding: NDArray[np.float32] | None = field(default=None, repr=False)
    model: str = ""
    width: float = 0.0

    @property
    def image(self) -> QImage:
        """The crop; unpacked each time."""
        return QImage.fromData(QByteArray(self.jpeg))

    @property
    def crop(self) -> NDArray[np.uint8]:
        """(S, S, 3) uint8."""
        image = self.image.convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()

    @property
    def overall(self) -> float:
        return self.quality.overall if self.quality is not None else 0.5


@dataclass(frozen=True, eq=False)
class Newcomer:
    """What is known of some faces that may be kept, before anybody decides.

    Attributes:
        faces: with their embeddings.
        misfits: which of them do not look like the others.
        person, similarity, probability: who is enrolled and resembles them most; None: nobody is.
        overlaps: they would be taken for that person.
    """

    faces: tuple[Candidate, ...]
    misfits: tuple[bool, ...] = ()
    person: int | None = None
    similarity: float = 0.0
    probability: float = 0.0
    overlaps: bool = False


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that has been gone through, and the faces in it."""

    path: Path
    faces: tuple[Candidate, ...]


@dataclass(frozen=True, eq=False)
class Scale:
    """How alike the faces of a gallery are: every shot against the rest of its person, and against all others.

    Attributes:
        similarity: (K,) ascending.
        same: (K,) whether the two are one person's.
        shots: (K, 2) ids of the shot and of the nearest shot that it was compared with.
        owners: whose each shot is.
    """

    similarity: NDArray[np.float32]
    same: NDArray[np.bool_]
    shots: NDArray[np.int64]
    owners: Mapping[int, int]

    def near(self, threshold: float, *, same: bool, most: int) -> list[tuple[int, int, float]]:
        """The pairs of faces around a threshold, the nearest to it first, each pair once."""
        rows = np.flatnonzero(self.same == same)
        rows = rows[np.argsort(np.abs(self.similarity[rows] - threshold), kind="stable")][: 4 * most]
        found: dict[tuple[int, int], float] = {}
        for row in rows.tolist():
            one, other = sorted(self.shots[row].tolist())
            found.setdefault((one, other), float(self.similarity[row]))
        return [(*pair, similarity) for pair, similarity in list(found.items())[:most]]


@dataclass(eq=False)
class Job:
    """Something that goes through many things.

    Attributes:
        words: what, for people.
        skipped: what was left out and why.
    """

    words: str
    done: int = 0
    total: int = 0
    cancelled: bool = False
    ended: bool = False
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(eq=False)
class Folder:
    """A person of a folder of folders: the faces that were found in its pictures."""

    name: str
    faces: list[Candidate] = field(default_factory=list)
    pictures: int = 0


class Faces(QObject):
    """People, the network that recognises them, and the work around them.

    Attributes:
        state: "closed": not looked for yet; "none": nobody has asked for a gallery; "locked": it wants its passphrase;
            "failed": `error` says why it cannot be opened.
        people: everyone in the gallery, by name.
        card: of the running network for faces; None: another one runs.
        recogniser: what finds the enrolled ones again; None: not ready, or nobody is enrolled.
        scale: how alike the gallery's faces are.
        outliers: ids of shots that do not fit their person.
        overlaps: pairs of people who would be taken for each other, with their similarity.
        log: of who comes; None: there is no gallery.
        preparing: the work of looking at the gallery with another network.
        protected: it has a passphrase.
        stored: there are files of it.
    Signals:
        changed(): state or people are others.
        recognition(): there is another recogniser: another gallery, network or threshold.
        working(): some work has gone on or ended.
        failed(BaseException): for the notices.
        said(str): for the status bar.
    """

    changed = Signal()
    recognition = Signal()
    working = Signal()
    failed = Signal(object)
    said = Signal(str)

    def __init__(
        self,
        call: Call,
        settings: Settings,
        *,
        tell: Callable[[Recogniser | None], None],
        parent: QObject | None = None,
    ) -> None:
        """
        Args:
            call: runs work in a thread, as `Bridge.call` does.
            tell: hands a recogniser to the live flow.
        """
        super().__init__(parent)
        self._settings, self._tell = settings, tell
        self._errands = Errands(call, self.failed.emit)
        self.state: State = "closed"
        self.error: EngineError | None = None
        self.people: tuple[Person, ...] = ()
        self.card: ModelCard | None = None
        self.recogniser: Recogniser | None = None
        self.scale: Scale | None = None
        self.outliers: frozenset[int] = frozenset()
        self.overlaps: tuple[tuple[int, int, float], ...] = ()
        self.log: AccessLog | None = None
        self.preparing: Job | None = None
        self.protected = False
        self.stored = False
        self._damaged = 0  # people of whom that has been said
        self._thumbnails: dict[int, QImage] = {}
        self._gallery: Gallery | None = None
        self._last_card: ModelCard | None = None
        self._model = ""  # the id under which the running network's embeddings are kept
        self._suggested = 0.5
        self._reader: tuple[str, FaceReader] | None = None  # used in the working thread alone
        self._deleting = False

    # opening --------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Look for the gallery; only the first call does anything."""
        if self.state == "closed" and self._gallery is None:
            self.open_again()

    def open_again(self) -> None:
        """Open the gallery, or try once more."""
        wanted = self._settings.flag(CONSENT, False)

        def open_gallery() -> tuple[Gallery, AccessLog, bool, bool]:
            from engine import AccessLog, Gallery

            gallery = Gallery()
            return gallery, AccessLog(gallery), gallery.exists, gallery.locked

        def opened(found: tuple[Gallery, AccessLog, bool, bool]) -> None:
            self._gallery, self.log, exists, locked = found
            self.error = None
            self._become("locked" if locked else "open" if exists or wanted else "none")

        def failed(error: BaseException) -> None:
            if isinstance(error, EngineError):
                self.error = error
                self._become("failed")
            else:
                self.failed.emit(error)

        self._errands.do(open_gallery, opened, failed)

    def start_gallery(self) -> None:
        """A person wants a gallery; its file is written with the first face that is kept."""
        self._settings.set(CONSENT, True)
        if self._gallery is None:
            self.open_again()
        else:
            self._become("open")

    def unlock(self, passphrase: str, wrong: Callable[[EngineError], None]) -> None:
        """Open a gallery that is protected; `wrong` hears why it stays shut."""

        def failed(error: BaseException) -> None:
            if isinstance(error, EngineError):
                wrong(error)
            else:
                self.failed.emit(error)

        self._errands.do(lambda: self._here.unlock(passphrase), lambda _: self._become("open"), failed)

    def close(self) -> None:
        """The window goes."""
        self._errands.close(lasting=not self._deleting)
        if self._deleting:
            with contextlib.suppress(EngineError):
                self._remove_all()
            self._settings.remove(CONSENT)
            self.log = None
        if self.log is not None and self.log.rules.on:
            self.log.leave()
            with contextlib.suppress(EngineError):  # there is nobody left to tell
                self.log.save()
        if self._gallery is not None:
            self._gallery.close()
        if self.preparing is not None:
            self.preparing.cancelled = True

    # the network ----------------------------------------------------------------------------------------------------

    def set_card(self, card: ModelCard | None) -> None:
        """Another network runs. Faces that it has not seen yet are looked at with it."""
        if card is not None and card.task != "faces":
            card = None
        self.card = card
        if card is not None and card != self._last_card:
            self._last_card = card
            self._take_model("")
        self.recognition.emit()
        if card is None:
            return

        def identify() -> str:
            from engine import model_id

            return model_id(card)

        def identified(model: str) -> None:
            if self.card is card:
                if model != self._model:
                    self._take_model(model)
                self._catch_up()  # also where it is the same: the gallery may have changed while no network ran

        self._errands.do(identify, identified)

    def _take_model(self, model: str) -> None:
        """Nobody is recognised until the network of that id has seen the gallery."""
        self._model = model
        self.recogniser = self.scale = None
        self._tell(None)

    @property
    def threshold(self) -> float:
        """The similarity from which a face is named: a person's choice, or what suits the gallery."""
        if self.card is None:
            return self._suggested
        return self._settings.number(self._threshold_key, self._suggested)

    @property
    def suggested(self) -> float:
        """The threshold that suits the network and this gallery."""
        return self._suggested

    def set_threshold(self, threshold: float | None) -> None:
        """Name faces from this similarity on; None: from the suggested one on, whatever that will be."""
        if self.card is None:
            return
        if threshold is None:
            self._settings.remove(self._threshold_key)
        else:
            self._settings.set(self._threshold_key, round(threshold, 4))
        self._rebuild(look=False)

    def probability(self, similarity: float) -> float:
        """Calibrated: how probable it is that two faces of this similarity are one person's."""
        slope, offset = self.card.calibration if self.card is not None else (1.0, 0.0)
        return float(1 / (1 + np.exp(-np.clip(slope * similarity + offset, -50, 50))))

    # people ---------------------------------------------------------------------------------------------------------

    @property
    def names(self) -> dict[int, str]:
        return {person.id: person.name for person in self.people}

    def person_named(self, name: str) -> int | None:
        """The person of that name, however it is written."""
        wanted = name.strip().casefold()
        return next((person.id for person in self.people if person.name.casefold() == wanted), None)

    def thumbnail(self, person: int) -> QImage:
        return self._thumbnails.get(person, QImage())

    def most_alike(self, person: int) -> tuple[str, float] | None:
        """Who would be taken for this person, and how alike they are."""
        for one, other, similarity in self.overlaps:
            if person in (one, other):
                name = self.names.get(other if person == one else one)
                if name is not None:
                    return name, similarity
        return None

    @staticmethod
    def image_of(shot: Shot) -> QImage:
        """The picture of a shot."""
        return own_image(shot.crop)

    def shots(self, person: int, done: Callable[[list[Shot]], None]) -> None:
        """All pictures of a person; comes with `done`."""
        self._errands.do(lambda: list(self._here.shots(person)), done)

    def pictures(self, shots: Collection[int], done: Callable[[dict[int, QImage]], None]) -> None:
        """The pictures of some shots that are compared in `scale`, by their ids."""
        owners = self.scale.owners if self.scale is not None else {}
        people = {owners[shot] for shot in shots if shot in owners}
        if not people:
            done({})
            return

        def work() -> dict[int, QImage]:
            return {
                shot.id: own_image(shot.crop)
                for person in people
                for shot in self._here.shots(person)
                if shot.id in shots
            }

        self._errands.do(work, done)

    def rename(self, person: int, name: str) -> None:
        self._change(lambda gallery: gallery.rename(person, name))

    def set_note(self, person: int, note: str) -> None:
        self._change(lambda gallery: gallery.set_note(person, note))

    def merge(self, into: int, others: Sequence[int]) -> None:
        """Several people turn out to be one."""
        self._change(lambda gallery: gallery.merge(into, others), "They are one person now")

    def split(self, shots: Sequence[int], name: str) -> None:
        """Some shots turn out to be somebody else's."""

        def work(gallery: Gallery) -> None:
            gallery.move_shots(shots, gallery.add_person(name).id)

        self._change(work, "They are two people now")

    def move(self, shots: Sequence[int], person: int) -> None:
        """Some shots turn out to be of someone else who is enrolled."""
        self._change(lambda gallery: gallery.move_shots(shots, person), "Moved")

    def delete_shots(self, shots: Sequence[int]) -> None:
        def work(gallery: Gallery) -> None:
            for shot in shots:
                gallery.delete_shot(shot)

        self._change(work)

    def delete_people(self, people: Sequence[int]) -> None:
        def work(gallery: Gallery) -> None:
            for person in people:
                gallery.delete_person(person)

        self._change(work, "Deleted")

    def delete_all(self) -> None:
        """Nothing is left: no person, no face, no file, and the wish for a gallery is forgotten, too."""

        def gone(kept: EngineError | None) -> None:
            self._deleting = False
            self._settings.remove(CONSENT)
            self._gallery = self.log = None
            self.open_again()
            self.said.emit("Everything was deleted" if kept is None else "The gallery was deleted")
            if kept is not None:
                self.failed.emit(kept)

        def failed(error: BaseException) -> None:
            self._deleting = False
            self.failed.emit(error)

        self._deleting = True
        self._errands.do(self._remove_all, gone, failed)

    def size(self, done: Callable[[int], None]) -> None:
        """How many bytes the gallery takes."""
        self._errands.do(lambda: self._any.size(), done)

    def set_passphrase(self, new: str | None) -> None:
        """Protect the gallery, or (None) protect it no longer."""
        words = "The gallery is protected now" if new else "The gallery is not protected any more"
        self._change(lambda gallery: gallery.set_passphrase(new), words)

    def export(self, path: Path, passphrase: str) -> None:
        self._errands.do(lambda: self._here.export(path, passphrase), lambda _: self.said.emit(f"Saved as {path}"))

    def import_people(
        self,
        path: Path,
        passphrase: str,
        *,
        merge: bool | None = None,
        doubtful: Callable[[EngineError, tuple[str, ...]], None],
    ) -> None:
        """Take in an exported gallery.

        Args:
            merge: people of one name are one person; None: `doubtful` is asked, with the names.
        """

        def arrived(count: int) -> None:
            self._settings.set(CONSENT, True)
            self.said.emit(f"The people of that file are here now: {count}")
            self._become("open")

        def failed(error: BaseException) -> None:
            from engine import SameNames

            if isinstance(error, SameNames):
                doubtful(error, error.names)
            else:
                self.failed.emit(error)

        self._errands.do(lambda: self._here.import_people(path, passphrase, merge=merge), arrived, failed)

    # adding ---------------------------------------------------------------------------------------------------------

    def weigh(self, faces: Sequence[Candidate], done: Callable[[Newcomer], None]) -> None:
        """Look at faces that may be kept: do they fit each other, and whom do they resemble?"""
        recogniser = self.recogniser
        least = self._even

        def work() -> Newcomer:
            seen = self._embedded(faces)
            vectors = [face.embedding for face in seen if face.embedding is not None]
            odd = tuple(misfits([face.embedding for face in seen], least))
            if not vectors or recogniser is None or not recogniser.people:
                return Newcomer(tuple(seen), odd)
            mean = np.stack(vectors).mean(axis=0, keepdims=True)
            match = recogniser.match(np.asarray(mean, np.float32))[0]
            return Newcomer(tuple(seen), odd, match.person, match.similarity, match.probability, match.name is not None)

        self._errands.do(work, done)

    def keep(
        self,
        faces: Sequence[Candidate],
        *,
        name: str = "",
        person: int | None = None,
        note: str = "",
        done: Callable[[int], None] = lambda _: None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Put faces into the gallery: of a new person of that name, or of one who is enrolled.

        Either all of them are kept or none; then `failed` is called.
        """

        def added(found: tuple[int, int]) -> None:
            owner, kept = found
            self._settings.set(CONSENT, True)
            count = f"{kept} picture{'s' if kept != 1 else ''} added"
            if kept < len(faces):
                count += f", {len(faces) - kept} there already"
            self.said.emit(f"{name.strip()} was added" if person is None else count)
            done(owner)
            self._refresh()

        def wrong(error: BaseException) -> None:
            self.failed.emit(error)
            failed()

        self._errands.do(lambda: self._kept(faces, name=name, note=note, person=person), added, wrong)

    def from_match(self, face: FaceMatch, source: str) -> Candidate | None:
        """A face of the live flow as one that may be kept."""
        if face.crop is None or face.crop_landmarks is None:
            return None
        # its embedding may be of several frames; what is kept belongs to this picture
        return _candidate(face, source, "", with_embedding=False)

    def from_photos(self, paths: Sequence[Path], take: Callable[[Candidate], None], done: Callable[[Job], None]) -> Job:
        """The faces of one person in some pictures: in each the one that it is of."""

        look_at = self._looker()

        def look(path: Path) -> Candidate:
            return self._one_face(look_at(path))

        return self._go_through(
            "Looking for faces…", list(paths), look, lambda _, face: take(face), done, name=lambda path: path.name
        )

    def from_folders(self, root: Path, done: Callable[[Job, list[Folder]], None]) -> Job:
        """A folder for each person, the folder's name being the person's: the best faces of each."""
        folders: dict[str, Folder] = {}

        def pictures() -> list[tuple[str, Path]]:
            found = [
                (folder.name.replace("_", " "), path)
                for folder in sorted(_entries(root))
                if folder.is_dir() and not folder.name.startswith(".")
                for path in sorted(_entries(folder))
                if path.suffix.lower() in PICTURES
            ]
            if not found:
                raise EngineError(
                    "There are no pictures in folders of their own here.",
                    "Make a folder for each person, with the person's name, and put pictures of that person into it.",
                )
            return found

        look_at = self._looker()

        def look(item: tuple[str, Path]) -> Candidate:
            return self._one_face(look_at(item[1]))

        def take(item: tuple[str, Path], face: Candidate) -> None:
            folder = folders.setdefault(item[0], Folder(item[0]))
            folder.pictures += 1
            folder.faces.append(face)
            if len(folder.faces) > MOST_SHOTS:
                worst = min(folder.faces, key=lambda each: each.overall)
                folder.faces.remove(worst)
                job.skipped.append((f"{item[0]}/{worst.source}", f"there were {MOST_SHOTS} better ones"))

        job = self._go_through(
            "Looking for faces…",
            pictures,
            look,
            take,
            lambda job: done(job, sorted(folders.values(), key=lambda each: each.name.casefold())),
            name=lambda item: f"{item[0]}/{item[1].name}",
        )
        return job

    def keep_folders(self, folders: Sequence[Folder], done: Callable[[Job], None]) -> Job:
        """Put the people of some folders into the gallery; who is there already gets more pictures."""

        count = pictures = 0  # of what was added

        def work(folder: Folder) -> int:
            wanted = folder.name.casefold()
            known = next((person.id for person in self._here.people() if person.name.casefold() == wanted), None)
            return self._kept(folder.faces, name=folder.name, person=known)[1]

        def take(folder: Folder, kept: int) -> None:
            nonlocal count, pictures
            count, pictures = count + 1, pictures + kept

        def ended(job: Job) -> None:
            if count:
                self._settings.set(CONSENT, True)
                words = f"{count} {'people' if count != 1 else 'person'} added"
                twice = sum(len(folder.faces) for folder in folders) - pictures
                if twice and not job.skipped and not job.cancelled:
                    words += f"; {twice} picture{'s were' if twice != 1 else ' was'} there already"
                self.said.emit(words)
            if job.skipped:
                left = len(job.skipped)
                self.failed.emit(
                    EngineError(f"{left} {'people' if left != 1 else 'person'} could not be added.", job.skipped[0][1])
                )
            self._refresh()
            done(job)

        return self._go_through("Adding people…", list(folders), work, take, ended, name=lambda folder: folder.name)

    # albums ---------------------------------------------------------------------------------------------------------

    def go_through(self, root: Path | Sequence[Path], take: Callable[[Seen], None], done: Callable[[Job], None]) -> Job:
        """All pictures of a folder and of the folders in it: the faces of each, and who they are."""

        def pictures() -> list[Path]:
            found: list[Path] = []
            for each in [root] if isinstance(root, Path) else root:
                inside = sorted(each.rglob("*")) if each.is_dir() else [each]
                found += [path for path in inside if path.suffix.lower() in PICTURES and path.is_file()]
            if not found:
                where = "in this folder" if isinstance(root, Path) else "among these files"
                raise EngineError(f"There are no pictures {where}.", "Choose another one.")
            return list(dict.fromkeys(found))

        def label(path: Path) -> str:
            return str(path.relative_to(root)) if isinstance(root, Path) else path.name

        return self._go_through(
            "Going through the pictures…", pictures, self._looker(), lambda _, seen: take(seen), done, name=label
        )

    def sort_faces(
        self,
        faces: Sequence[Candidate],
        pictures: Sequence[int],
        done: Callable[[list[tuple[int | None, float]], NDArray[np.int64]], None],
        failed: Callable[[], None],
    ) -> None:
        """Who of the enrolled each face is (None: nobody) with its probability, and the unknown ones in groups.

        `pictures` has the number of the picture that each is from: nobody is in a picture twice, so of two faces that
        resemble the same person the one that resembles them more is that one. The groups come as a number for each
        face, the largest group first; -1 for those that have a name.
        """
        recogniser, threshold = self.recogniser, self.threshold

        def work() -> tuple[list[tuple[int | None, float]], NDArray[np.int64]]:
            from engine import cluster

            vectors = np.stack([vector for face in self._embedded(faces) if (vector := face.embedding) is not None])
            who: list[tuple[int | None, float]] = [(None, 0.0)] * len(faces)
            if recogniser is not None and recogniser.people:
                taken: set[tuple[int, int]] = set()
                matches = recogniser.match(vectors)
                for row in sorted(range(len(matches)), key=lambda row: -matches[row].similarity):
                    match, person = matches[row], None
                    if match.name is not None and match.person is not None:
                        if (pictures[row], match.person) not in taken:
                            person = match.person
                        taken.add((pictures[row], match.person))
                    who[row] = (person, match.probability)
            groups = np.full(len(faces), -1, np.int64)
            unknown = [row for row, (person, _) in enumerate(who) if person is None]
            if unknown:
                groups[unknown] = cluster(vectors[unknown], threshold, pictures=[pictures[row] for row in unknown])
            return who, groups

        def wrong(error: BaseException) -> None:
            self.failed.emit(error)
            failed()

        self._errands.do(work, lambda found: done(*found), wrong)

    # anything else --------------------------------------------------------------------------------------------------

    def errand(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Do some work in the other thread after all that was asked for before, then `done` here."""
        self._errands.do(work, done, failed)

    def with_gallery(self, work: Callable[[Gallery], T], done: Callable[[T], None]) -> None:
        """The same with the gallery."""
        self._errands.do(lambda: work(self._here), done)

    # inside ---------------------------------------------------------------------------------------------------------

    @property
    def _here(self) -> Gallery:
        if self._gallery is None:
            raise EngineError("There is no gallery yet.", "Start one in People.")
        return self._gallery

    @property
    def _any(self) -> Gallery:
        """Also one that cannot be opened: it can be deleted."""
        from engine import Gallery

        return self._gallery if self._gallery is not None else Gallery()

    def _remove_all(self) -> EngineError | None:
        """Delete the gallery; what is returned says why notes of sortings by people are left."""
        from engine import forget_sorted_people

        self._any.delete_all()
        try:
            forget_sorted_people()
        except EngineError as error:
            return error
        return None

    @property
    def _threshold_key(self) -> str:
        return f"threshold/{self._model}"  # other weights have similarities of their own

    @property
    def _even(self) -> float:
        """The similarity at which two faces are as probably one person's as not."""
        slope, offset = self.card.calibration if self.card is not None else (1.0, 0.0)
        return -offset / slope if slope > 0 else 0.3

    def _become(self, state: State) -> None:
        self.state = state
        if state == "open":
            if self.log is not None:
                self._errands.do(self.log.load)
            self._refresh()
        else:
            self.people, self._thumbnails = (), {}
            self.recogniser = self.scale = None
            self.outliers, self.overlaps = frozenset(), ()
            self._tell(None)
            self.recognition.emit()
        self.changed.emit()

    def _change(self, work: Callable[[Gallery], Any], words: str = "") -> None:
        """Do something with the gallery, and show what it is then, also if it went wrong."""

        def done(_: object) -> None:
            if words:
                self.said.emit(words)
            self._refresh()

        def failed(error: BaseException) -> None:
            self.failed.emit(error)
            self._refresh()

        self._errands.do(lambda: work(self._here), done, failed, lasting=True)

    def _refresh(self) -> None:
        """Read again who is there, and have them recognised."""

        def read() -> tuple[list[Person], dict[int, QImage], bool, bool, int]:
            gallery = self._here
            people = gallery.people()
            pictures = {}
            damaged = 0
            for person in people:
                picture = gallery.thumbnail(person.id)
                if picture is not None:
                    pictures[person.id] = own_image(picture)
                elif person.shots:
                    damaged += 1
            return people, pictures, gallery.protected, gallery.size() > 0, damaged

        def show(found: tuple[list[Person], dict[int, QImage], bool, bool, int]) -> None:
            if self.state == "open":
                before = set(self.names)
                people, self._thumbnails, self.protected, self.stored, damaged = found
                self.people = tuple(people)
                if not before <= set(self.names):  # nobody who was deleted is named for another moment
                    self.recogniser = None
                    self._tell(None)
                if damaged > self._damaged:
                    who = f"{damaged} {'people' if damaged != 1 else 'person'}"
                    hint = "Those who have none in the list are meant: delete them and add them anew."
                    self.failed.emit(EngineError(f"Pictures of {who} in the gallery are damaged.", hint))
                self._damaged = damaged
                self.changed.emit()
                self._catch_up()

        self._errands.do(read, show)

    def _catch_up(self) -> None:
        """Look at the faces that the running network has not seen yet; then they are recognised."""
        card, model = self.card, self._model
        if card is None or not model or self.state != "open":
            return

        after = 0  # the shot that was looked at last; used in the working thread alone

        def look(number: int) -> None:
            nonlocal after
            if self._model != model:
                return
            for shot in self._here.missing(model, limit=1, after=after):
                after = shot.id
                vector = self._reader_of(card, model).embed(shot.crop, shot.landmarks[None])[0]
                self._here.set_embedding(shot.id, model, vector)

        def begin(missing: int) -> None:
            if not missing or self._model != model:
                self._rebuild()
                return
            words = f"Getting {missing} face{'s' if missing != 1 else ''} ready for this network…"
            items = range(missing)
            self.preparing = self._go_through(words, items, look, lambda *_: None, ended, name=lambda _: "a face")

        def ended(job: Job) -> None:
            if self.preparing is job:
                self.preparing = None
            if self._model == model:
                self._rebuild()
            else:
                self._catch_up()  # with the network that has come meanwhile
            self.working.emit()

        if self.preparing is None:
            self._errands.do(lambda: self._here.count_missing(model), begin)

    def _rebuild(self, *, look: bool = True) -> None:
        """Recognise by what the gallery is now; `look`: also compare all its faces, which no threshold changes."""
        card, model = self.card, self._model
        if card is None or not model or self.state != "open":
            return
        chosen = self._settings.number(self._threshold_key, float("nan"))

        def build() -> tuple[Recogniser, float, Scale | None, frozenset[int], tuple[tuple[int, int, float], ...]]:
            from engine import recogniser

            gallery = self._here
            usual = recogniser(gallery, card)
            suggested = usual.suggested_threshold()
            found = recogniser(gallery, card, threshold=suggested if np.isnan(chosen) else chosen)
            matrix, owners, ids = gallery.embeddings(model)
            outliers = frozenset(int(ids[row]) for row in found.outliers())
            scale = _scale(found, matrix, owners, ids) if look else None
            return found, suggested, scale, outliers, tuple(found.overlap())

        def built(found: Any) -> None:
            if self._model != model or self.state != "open":
                return
            self.recogniser, self._suggested, scale, self.outliers, self.overlaps = found
            if scale is not None:
                self.scale = scale
            if self.card is not None:
                self._tell(self.recogniser)
            self.recognition.emit()

        self._errands.do(build, built)

    # in the working thread ------------------------------------------------------------------------------------------

    def _reader_of(self, card: ModelCard, model: str) -> FaceReader:
        """A network of one's own: the one of the live flow belongs to another thread."""
        key = f"{card.name}:{card.weights}:{model}"
        if self._reader is None or self._reader[0] != key:
            from engine import open_reader

            reader: Any = open_reader(card)
            self._reader = (key, reader)
        return self._reader[1]

    def _network(self) -> tuple[ModelCard, str]:
        """The network for faces that runs, or that ran last: what is under way goes on while one looks elsewhere."""
        if self._last_card is None or not self._model:
            raise EngineError("No network for faces is running.", "Choose one at the top right.")
        return self._last_card, self._model

    def _looker(self) -> Callable[[Path], Seen]:
        """What gives the faces of a picture, the surest first: all pictures are looked at with one network."""
        network: list[tuple[ModelCard, str]] = []

        def look(path: Path) -> Seen:
            from engine import Frame, read_picture

            if not network:
                network.append(self._network())
            card, model = network[0]
            result = self._reader_of(card, model).predict(Frame(read_picture(path), path.name, 0, 0.0))
            usable = [face for face in result.faces or () if face.embedding is not None and face.crop is not None]
            return Seen(path, tuple(_candidate(face, path.name, model) for face in usable))

        return look

    def _one_face(self, seen: Seen) -> Candidate:
        """The face that a picture is of.

        Raises:
            EngineError: there is none, or it cannot be told which it is, or it is of no use.
        """
        ranked = sorted(seen.faces, key=lambda face: -face.width)
        if not ranked:
            raise EngineError("no face was found")
        if len(ranked) > 1 and ranked[0].width ** 2 < CLEAR * ranked[1].width ** 2:
            raise EngineError(f"there are {len(ranked)} faces: which one is meant?")
        if ranked[0].overall < WORST:
            raise EngineError("the face is too small, too blurred or turned too far")
        return ranked[0]

    def _embedded(self, faces: Iterable[Candidate]) -> list[Candidate]:
        """The same with embeddings of the running network."""
        card, model = self._network()
        seen = []
        for face in faces:
            if face.embedding is None or face.model != model:
                vector = self._reader_of(card, model).embed(face.crop, face.landmarks[None])[0]
                face = replace(face, embedding=vector, model=model)
            seen.append(face)
        return seen

    def _kept(
        self, faces: Sequence[Candidate], *, name: str, note: str = "", person: int | None = None
    ) -> tuple[int, int]:
        """Put faces into the gallery, all or none; whose they are, and how many were not there before."""
        gallery = self._here
        seen = self._embedded(faces)
        owner = gallery.add_person(name, note).id if person is None else person
        there = {_digest(shot.crop) for shot in gallery.shots(owner)} if person is not None else set()
        kept: list[int] = []
        try:
            for face in seen:
                # The same picture twice would make its person look more alike than anybody is.
                if (digest := _digest(face.crop)) not in there:
                    there.add(digest)
                    kept.append(_add(gallery, owner, face))
        except BaseException:
            if person is None:
                gallery.delete_person(owner)
            else:
                for shot in kept:
                    gallery.delete_shot(shot)
            raise
        return owner, len(kept)

    # many things ----------------------------------------------------------------------------------------------------

    def _go_through(
        self,
        words: str,
        items: Sequence[T] | Callable[[], Sequence[T]],
        work: Callable[[T], Any],
        take: Callable[[T, Any], None],
        done: Callable[[Job], None],
        *,
        name: Callable[[T], str],
    ) -> Job:
        """Do the same with many things, one after the other; what fails is left out, and why is kept.

        Args:
            items: or what finds them, in the other thread.
            take: is handed what `work` gave.
            done: hears when all is done or it was cancelled.
        """
        job = Job(words)
        rest: collections.deque[T] = collections.deque()

        def begin(found: Sequence[T]) -> None:
            rest.extend(found)
            job.total = len(rest)
            go_on()

        def end() -> None:
            job.ended = True
            self.working.emit()
            done(job)

        def go_on() -> None:
            self.working.emit()
            if job.cancelled or not rest:
                end()
                return
            item = rest.popleft()

            def fine(value: Any) -> None:
                job.done += 1
                if not job.cancelled:
                    take(item, value)
                go_on()

            def wrong(error: BaseException) -> None:
                job.done += 1
                if isinstance(error, EngineError) and not isinstance(error, WriteError):
                    job.skipped.append((name(item), error.message))
                else:
                    job.cancelled = True  # the next one would fail the same way
                    self.failed.emit(error)
                go_on()

            self._errands.do(lambda: work(item), fine, wrong)

        def nothing(error: BaseException) -> None:
            if not isinstance(error, Cancelled):
                self.failed.emit(error)
            job.cancelled = True
            end()

        if callable(items):
            self._errands.do(items, begin, nothing)
        else:
            known = items
            self._errands.do(lambda: known, begin, nothing)
        return job


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise EngineError(f"The folder {folder} cannot be read: {error.strerror or error}.", "Check it.") from error


def _digest(crop: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(crop).tobytes()).digest()


def _add(gallery: Gallery, person: int, face: Candidate) -> int:
    return gallery.add_shot(
        person,
        face.crop,
        face.landmarks,
        quality=face.overall,
        source=face.source,
        embedding=face.embedding,
        model=face.model,
    ).id


def _candidate(face: FaceMatch, source: str, model: str, *, with_embedding: bool = True) -> Candidate:
    assert face.crop is not None and face.crop_landmarks is not None
    return Candidate(
        packed(face.crop),
        np.asarray(face.crop_landmarks, np.float32),
        face.quality,
        source,
        face.embedding if with_embedding else None,
        model,
        float(max(face.box[2] - face.box[0], face.box[3] - face.box[1])),
    )


def packed(crop: NDArray[np.uint8]) -> bytes:
    """A crop (S, S, 3) as a JPEG picture of high quality, in any thread."""
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    own_image(crop).save(buffer, "JPG", 96)  # type: ignore[call-overload]
    return bytes(data.data())


def _scale(
    recogniser: Recogniser, matrix: NDArray[np.float32], owners: NDArray[np.int64], ids: NDArray[np.int64]
) -> Scale:
    found = recogniser.comparisons()
    order = np.argsort(found.similarity, kind="stable")
    rows, people = found.row[order], found.person[order]
    nearest = np.empty(len(rows), np.int64)
    unit = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    for person in np.unique(people):
        mine = np.flatnonzero(people == person)
        columns = np.flatnonzero(owners == person)
        alike = unit[rows[mine]] @ unit[columns].T
        alike[rows[mine][:, None] == columns[None, :]] = -np.inf  # a shot says nothing about itself
        nearest[mine] = columns[alike.argmax(axis=1)]
    shots = np.stack([ids[rows], ids[nearest]], axis=1)
    return Scale(
        found.similarity[order], found.same[order], shots, dict(zip(ids.tolist(), owners.tolist(), strict=True))
    )
