"""A folder of pictures sorted by what a network sees in them: gone through, planned, carried out, and undone.

What enters is a folder and a `Reader`; what leaves are `Tagged` pictures, a `SortPlan` that says of every picture where
it would go, and files in sub-folders named after their tags, or a list. Nothing is ever overwritten, links are not
followed, and before a file is touched a line of a journal says what is about to be done with it. So `undo_sorting` puts
everything back, also after the program was killed or the disk was full in the middle; and what was changed since stays.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import functools
import io
import itertools
import json
import math
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import filelock

from engine import images, store
from engine.errors import Cancelled, EngineError, WriteError
from engine.opencv import cv2
from engine.sources import is_folder, natural_order
from engine.types import Box, Frame, Image, Result
from engine.vision import Reader

Action: TypeAlias = Literal["copy", "move", "list"]
Decider: TypeAlias = Literal["surest", "largest"]

STRANGER = "somebody unknown"
"""The tag of a face that belongs to nobody in the gallery; it decides only where nobody known is in the picture."""

THUMBNAIL = 144
"""Longer side of the small pictures, in pixels."""

_FLOOR = 0.05  # scores below are not kept: nobody sorts by them
_MOST_TAGS = 40  # of one picture
_BEST = 5  # classes of a whole picture that are kept
_LISTED = ("pictures.csv", "pictures.json")
_VERSION = 1  # of the journal
_KEPT = 20  # journals; of a sorting longer ago nobody wants to undo
_PROGRESS = 0.1  # seconds between two reports
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # what fails once will fail for every other file
# What says that a file system has no hard links, or that the two places lie on different ones.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
_BLOCK = 1 << 20
_SAMPLES, _SAMPLE = 16, 4096  # places of a file that are compared, and bytes in each


class Left(NamedTuple):
    """A file that was left where it is, and why, as the end of a sentence."""

    path: Path
    why: str


# ------------------------------------------------------------------------------------------------- going through


@dataclass(frozen=True)
class Pictures:
    """What a folder holds.

    Attributes:
        folder: without links in its own path.
        paths: of all pictures, in the order in which people count.
        left_out: links, and folders that may not be read.
    """

    folder: Path
    paths: tuple[Path, ...]
    left_out: tuple[Left, ...] = ()


@dataclass(frozen=True)
class Tag:
    """Something that a network sees in a picture. It may be a person's name, so it does not show in `repr`.

    Attributes:
        score: 0..1.
        size: share of the picture that it covers; 1 for what is said of the whole picture.
    """

    label: str = field(repr=False)
    score: float
    size: float = 1.0


@dataclass(frozen=True, eq=False)
class Tagged:
    """A picture that has been gone through.

    Attributes:
        tags: the surest first; a detector gives one for each box.
        thumbnail: JPEG of at most `THUMBNAIL` pixels; empty where there is trouble.
        trouble: why it could not be read; "": it could.
        size, time: of the file in bytes, and when it was written last, in nanoseconds.
    """

    path: Path
    tags: tuple[Tag, ...] = ()
    thumbnail: bytes = field(default=b"", repr=False)
    trouble: str = ""
    size: int = 0
    time: int = 0


def find_pictures(folder: Path, *, cancelled: Callable[[], bool] = lambda: False) -> Pictures:
    """All pictures below `folder`; hidden ones are left out, and links are not followed, wherever they lead.

    Raises:
        EngineError: it is no folder, cannot be read, or holds no pictures; `Cancelled`.
    """
    if not is_folder(folder):
        raise EngineError(f"{folder} is a file.", "Choose the folder it lies in.")
    root = Path(os.path.realpath(folder))
    paths: list[Path] = []
    left: list[Left] = []

    def failed(error: OSError) -> None:
        if Path(error.filename) == root:
            raise EngineError(
                f"The folder {folder} cannot be read: {error.strerror or error}.", "Check that you may open it."
            ) from error
        left.append(Left(Path(error.filename), f"the folder cannot be read: {error.strerror or error}"))

    for place, folders, files in os.walk(root, onerror=failed):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".")]
        left += [Left(here / name, "it is a link to a folder") for name in folders if (here / name).is_symlink()]
        for name in files:
            if cancelled():
                raise Cancelled("The search")
            path = here / name
            if name.startswith(".") or path.suffix.lower() not in images.PICTURES:
                continue
            with contextlib.suppress(OSError):  # it went while we looked
                kind = path.lstat().st_mode
                if stat.S_ISREG(kind):
                    paths.append(path)
                elif stat.S_ISLNK(kind):
                    left.append(Left(path, "it is a link"))
    if not paths:
        raise EngineError(f"There are no pictures in {folder}.", "Choose a folder with PNG or JPEG files in it.")
    return Pictures(root, tuple(sorted(paths, key=natural_order)), tuple(left))


def tag_pictures(
    paths: Iterable[Path], reader: Reader, *, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Tagged]:
    """Each picture with what `reader` sees in it; what cannot be read comes with its trouble. Ends when cancelled."""
    for path in paths:
        if cancelled():
            return
        yield tag_picture(path, reader)


def tag_picture(path: Path, reader: Reader) -> Tagged:
    """One picture with what `reader` sees in it."""
    status = None
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise EngineError(f"{path} is no file.")
        image = images.read_picture(path)
        result = reader.predict(Frame(image, path.name, 0, time.perf_counter()))
        tags, small, trouble = _tags(result, reader.card.reject), _thumbnail(image), ""
    except EngineError as error:
        tags, small, trouble = (), b"", error.message
    except OSError as error:
        tags, small, trouble = (), b"", f"The picture {path} cannot be read: {error.strerror or error}."
    except MemoryError:
        tags, small, trouble = (), b"", f"The picture {path} is too large for this computer's memory."
    size, when = (status.st_size, status.st_mtime_ns) if status is not None else (0, 0)
    return Tagged(path, tags, small, trouble, size, when)


def _tags(result: Result, reject: str) -> tuple[Tag, ...]:
    """What a result says, the surest first."""
    image = result.frame.image
    if result.faces is not None:
        tags = [
            Tag(STRANGER, face.score, _share(face.box, image))
            if face.name is None
            else Tag(face.name, face.probability, _share(face.box, image))
            for face in result.faces
        ]
    elif (found := result.detections) is not None:
        tags = [
            Tag(found.labels[found.class_id[row]], float(found.confidence[row]), _share(found.xyxy[row], image))
            for row in range(len(found))
        ]
    elif len(result.regions) > 1 and result.text:  # several digits are the number that they spell
        read = [region.classification for region in result.regions if not region.classification.rejected]
        tags = [Tag(result.text, min(float(each.probabilities[each.best]) for each in read))]
    elif result.classification is not None and not result.classification.rejected:
        ranked = result.classification.ranked()[: None if result.classification.many else _BEST]
        tags = [Tag(label, score) for label, score in ranked if label != reject]
    else:
        tags = []
    tags = [tag for tag in tags if tag.score >= _FLOOR]
    return tuple(sorted(tags, key=lambda tag: -tag.score)[:_MOST_TAGS])


def _share(box: Box | Any, image: Image) -> float:
    """How much of the picture a box covers."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in box)
    inside = max(0.0, min(x1, width) - max(x0, 0.0)) * max(0.0, min(y1, height) - max(y0, 0.0))
    return inside / (width * height)


def _thumbnail(image: Image) -> bytes:
    height, width = image.shape[:2]
    factor = min(1.0, THUMBNAIL / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
    done, packed = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return packed.tobytes() if done else b""


# ------------------------------------------------------------------------------------------------------ planning


@dataclass(frozen=True, eq=False)
class SortItem:
    """A picture in a plan.

    Attributes:
        tag: what decides; None: nothing was found, or a person said that nothing should.
        by_hand: a person said so.
        to: where it goes; None: it stays.
        there: it need not go: it is, or has been brought, where it belongs.
        gone: the file is not where it was.
        numbered: another file has its name where it goes, so it gets a number.
    """

    tagged: Tagged
    tag: Tag | None = field(repr=False)
    by_hand: bool = False
    to: Path | None = field(default=None, repr=False)
    there: bool = False
    gone: bool = False
    numbered: bool = False

    @property
    def label(self) -> str:
        """The tag that decides; "": none."""
        return self.tag.label if self.tag is not None else ""


@dataclass(frozen=True, eq=False)
class SortPlan:
    """What would be done. Nothing has been touched yet.

    Attributes:
        folder: that was gone through.
        target: under which the sub-folders, or the list, are made.
        model: title of the network.
        people: the sub-folders are named like people.
    """

    action: Action
    folder: Path
    target: Path
    items: tuple[SortItem, ...] = field(repr=False)
    model: str = ""
    people: bool = False

    @property
    def going(self) -> list[SortItem]:
        """What is copied or moved."""
        return [item for item in self.items if item.to is not None]

    @property
    def folders(self) -> int:
        """Into how many sub-folders."""
        return len({item.to.parent for item in self.items if item.to is not None})

    @property
    def there(self) -> int:
        """How many are there already."""
        return sum(item.there for item in self.items)

    @property
    def gone(self) -> int:
        """How many are not where they were when they were looked at."""
        return sum(item.gone and not item.there for item in self.items)

    @property
    def staying(self) -> int:
        """How many have no tag, or could not be read."""
        return sum(item.to is None and not item.there and not item.gone for item in self.items)

    @property
    def numbered(self) -> int:
        return sum(item.numbered for item in self.items)


def deciding_tag(tags: Sequence[Tag], *, least: float, by: Decider = "surest") -> Tag | None:
    """The tag that a picture is sorted by, of those with at least the score `least`; None: there is none."""
    enough = [tag for tag in tags if tag.score >= least]
    enough = [tag for tag in enough if tag.label != STRANGER] or enough
    if by == "largest":
        return max(enough, key=lambda tag: (tag.size, tag.score), default=None)
    return max(enough, key=lambda tag: tag.score, default=None)


def group_pictures(
    tagged: Iterable[Tagged], *, least: float, by: Decider = "surest", by_hand: Mapping[Path, str] | None = None
) -> tuple[SortItem, ...]:
    """By what each picture is sorted, without a look at any file.

    Args:
        by_hand: what a person said instead; "": nothing, it stays.
    """
    said = by_hand or {}
    items = []
    for each in tagged:
        if each.path in said:
            label = said[each.path]
            score = max((tag.score for tag in each.tags if tag.label == label), default=1.0)
            items.append(SortItem(each, Tag(label, score) if label else None, by_hand=True))
        else:
            items.append(SortItem(each, None if each.trouble else deciding_tag(each.tags, least=least, by=by)))
    return tuple(items)


def plan_sorting(
    pictures: Sequence[Tagged],
    *,
    action: Action,
    folder: Path,
    target: Path,
    least: float,
    by: Decider = "surest",
    by_hand: Mapping[Path, str] | None = None,
    model: str = "",
    people: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> SortPlan:
    """Where every picture would go; looks at the names in the target folder and changes nothing.

    Args:
        folder: that was gone through.
        target: the folder under which sub-folders are made; need not be there yet.
        by_hand: as `group_pictures` takes it.
        people: the tags are names of people: see `forget_sorted_people`.

    Raises:
        EngineError: the target is a file; `Cancelled`.
    """
    folder, target = Path(os.path.realpath(folder)), Path(os.path.realpath(target))
    if os.path.lexists(target) and not target.is_dir():
        raise EngineError(f"{target} is a file.", "Choose a folder to sort into.")
    items = group_pictures(pictures, least=least, by=by, by_hand=by_hand)
    if action == "list":
        return SortPlan(action, folder, target, items, model, people)
    taken: dict[Path, dict[str, bool]] = {}
    planned = []
    for item in items:
        if cancelled():
            raise Cancelled("The plan")
        planned.append(_placed(item, target, taken, move=action == "move"))
    return SortPlan(action, folder, target, tuple(planned), model, people)


def _placed(item: SortItem, target: Path, taken: dict[Path, dict[str, bool]], *, move: bool) -> SortItem:
    """The item with its place.

    Args:
        taken: the names in the sub-folders, as systems compare them that know no capitals, and whether that file was
            there before and stands for no other picture yet.
    """
    source = item.tagged.path
    if item.tag is None:
        return item
    place = target / folder_name(item.tag.label)
    if place not in taken:
        try:
            taken[place] = dict.fromkeys((name.casefold() for name in os.listdir(place)), True)  # noqa: PTH208 (quick)
        except OSError:  # not there yet; or what it is will be said when something is to go there
            taken[place] = {}
    names = taken[place]
    here = _status(source)
    if here is not None and source.parent == place:
        return _with(item, there=True)
    for name in _names(source.name):
        free = names.get(name.casefold())
        if free is None:
            break
        if free and (here is None or not move):
            status = _status(place / name)
            alike = status is not None and _alike(status, item.tagged)
            if alike and (here is None or _samples_agree(source, place / name)):  # brought here before
                names[name.casefold()] = False
                return _with(item, there=True, gone=here is None)
    if here is None:
        return _with(item, gone=True)
    names[name.casefold()] = False
    return _with(item, to=place / name, numbered=name != source.name)


def _with(item: SortItem, **changes: Any) -> SortItem:
    return SortItem(item.tagged, item.tag, item.by_hand, **changes)


def _alike(status: os.stat_result, tagged: Tagged) -> bool:
    """A file of the same length and date; some file systems know the date to two seconds."""
    return status.st_size == tagged.size and abs(status.st_mtime_ns - tagged.time) <= 2_000_000_000


def _samples_agree(one: Path, other: Path) -> bool:
    """Whether two files of one length have the same bytes in some places; a plan is made too often to read them all."""
    try:
        with one.open("rb") as first, other.open("rb") as second:
            length = os.fstat(first.fileno()).st_size
            for number in range(_SAMPLES):
                place = max(0, length - _SAMPLE) * number // (_SAMPLES - 1)
                first.seek(place)
                second.seek(place)
                if first.read(_SAMPLE) != second.read(_SAMPLE):
                    return False
    except OSError:
        return False
    return True


_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def folder_name(label: str) -> str:
    """A tag as the name of a folder, one that every system takes and that leads nowhere else."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", label).strip(" .")[:80]
    while len(os.fsencode(name)) > 200:
        name = name[:-1]
    name = name.strip(" .")
    return f"_{name}" if not name or _RESERVED.fullmatch(name) else name


def _in_folder(place: Path) -> Callable[[str], bool]:
    """Whether a name is taken there, now."""
    return lambda name: os.path.lexists(place / name)


def _free_name(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or the same with the first number that is free."""
    return next(each for each in _names(name) if not taken(each))


def _names(name: str) -> Iterator[str]:
    """`name`, then the same with numbers."""
    yield name
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (a name, no path)
    for number in itertools.count(2):
        yield f"{stem} ({number}){suffix}"


# -------------------------------------------------------------------------------------------------- carrying out


@dataclass(frozen=True)
class SortOutcome:
    """What has been done.

    Attributes:
        done: files that were copied, moved, put back or (for a list) named in it.
        left: files that were not, and why.
        journal: by which it can be undone; None: there is nothing to undo.
        written: files of a list.
        error: what stopped it; None: nothing did.
        cancelled: a person stopped it.
    """

    done: int
    left: tuple[Left, ...] = ()
    journal: Path | None = None
    written: tuple[Path, ...] = ()
    error: EngineError | None = None
    cancelled: bool = False


@dataclass(frozen=True)
class SortJournal:
    """A sorting that can be undone.

    Attributes:
        action: "copy" or "move".
        files: how many it brought somewhere, and which have not been put back yet.
        when: it was begun, local time.
    """

    path: Path
    action: Action
    folder: Path
    target: Path
    files: int
    when: datetime.datetime


def apply_sorting(
    plan: SortPlan,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> SortOutcome:
    """Carry a plan out, file by file. A full disk stops it; what was done by then is in the journal.

    Raises:
        EngineError: nothing could be begun: another window sorts, or the journal cannot be written.
    """
    if plan.action == "list":
        return _write_list(plan)
    going = plan.going
    if not going:
        return SortOutcome(0)
    with _alone():
        _forget_old()
        path = _new_journal()
        with _Notes(path, new=True) as notes:
            notes.add(
                kind="sorting",
                version=_VERSION,
                when=datetime.datetime.now().isoformat(timespec="seconds"),
                action=plan.action,
                folder=str(plan.folder),
                target=str(plan.target),
                people=plan.people,
            )
            return _Work(plan, notes).run(going, _slowly(progress), cancelled, path)


class _Work:
    """A plan being carried out."""

    def __init__(self, plan: SortPlan, notes: _Notes) -> None:
        self._plan, self._notes = plan, notes
        self._ready: set[Path] = set()  # folders that are known to be there

    def run(
        self,
        going: Sequence[SortItem],
        progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
        journal: Path,
    ) -> SortOutcome:
        done, left = 0, []
        error: EngineError | None = None
        stopped = False
        for number, item in enumerate(going):
            progress(number, len(going))
            if stopped := cancelled():
                break
            try:
                self._bring(number, item)
            except WriteError as problem:  # the journal
                error = problem
                break
            except OSError as problem:
                assert item.to is not None
                if problem.errno in _HOPELESS:
                    error = store.write_error(item.to, problem)
                    break
                left.append(Left(item.tagged.path, _words(problem)))
            else:
                done += 1
        progress(done, len(going))
        if error is not None and done:
            error = WriteError(error.message, f"{error.hint} What was done until then can be undone.")
        if not done:  # nothing to undo but folders, and the attempt that failed
            undo = _Undo(_read_journal(journal), self._notes)
            undo.run(_silently, lambda: False)
            self._notes.close()
            if not undo.left:
                journal.unlink(missing_ok=True)
        return SortOutcome(done, tuple(left), journal if journal.exists() else None, (), error, stopped)

    def _bring(self, number: int, item: SortItem) -> None:
        assert item.to is not None
        source, to = item.tagged.path, item.to
        status = source.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no file any more")
        if not Path(os.path.realpath(source.parent)).is_relative_to(self._plan.folder):
            raise OSError(errno.EINVAL, "a link leads out of the folder")
        self._make_folder(to.parent)
        move = self._plan.action == "move"
        while True:
            # What is about to be done is on the disk before it is done. A copy puts nothing at stake.
            self._notes.add(
                sure=move,
                kind="file",
                number=number,
                source=str(source),
                to=str(to),
                size=status.st_size,
                time=status.st_mtime_ns,
            )
            try:
                if move:
                    _move(source, to, functools.partial(self._arrived, number, to, "copied", sure=True))
                else:
                    _copy(source, to)
                break
            except FileExistsError:  # came since the plan was made
                to = to.with_name(_free_name(source.name, _in_folder(to.parent)))
            except BaseException:
                with contextlib.suppress(WriteError):
                    self._notes.add(kind="failed", number=number)
                raise
        self._arrived(number, to, "done")

    def _arrived(self, number: int, to: Path, kind: str, *, sure: bool = False) -> None:
        status = to.lstat()
        self._notes.add(sure=sure, kind=kind, number=number, size=status.st_size, time=status.st_mtime_ns)

    def _make_folder(self, place: Path) -> None:
        if place in self._ready:
            return
        missing = []
        here = place
        while not os.path.lexists(here):
            missing.append(here)
            here = here.parent
        # The target itself has no links in its path. A link below it could lead anywhere.
        if here.is_relative_to(self._plan.target) and here != self._plan.target and here.is_symlink():
            raise OSError(errno.EINVAL, f"the folder “{here.name}” to sort it into is a link")
        for each in reversed(missing):
            self._notes.add(kind="folder", path=str(each))
            try:
                each.mkdir(exist_ok=True)
            except OSError as error:  # it would fail for all the others, too
                raise store.write_error(each, error) from error
        if not place.is_dir():
            raise OSError(errno.ENOTDIR, f"there is a file called “{place.name}” where its folder should be")
        self._ready.add(place)


def _copy(source: Path, to: Path, *, sure: bool = False) -> None:
    """A copy under a name that nobody has yet, compared with the original; half of one is taken away again.

    Args:
        sure: it has reached the disk when this returns.

    Raises:
        FileExistsError: somebody has that name.
        OSError: anything else.
    """
    with source.open("rb") as reading:
        made = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(made, "wb") as writing:
                _pour(reading, writing)
                if sure:
                    writing.flush()
                    os.fsync(writing.fileno())
            if not _same_bytes(source, to):
                raise OSError(errno.EIO, "what was written is not what was read")
            with contextlib.suppress(OSError):  # a file system that keeps fewer of them
                shutil.copystat(source, to)
        except BaseException:
            with contextlib.suppress(OSError):
                to.unlink()
            raise
    if sure:
        _sync_folder(to.parent)


def _pour(reading: IO[bytes], writing: IO[bytes]) -> None:
    shutil.copyfileobj(reading, writing, _BLOCK)


def _move(source: Path, to: Path, copied: Callable[[], None]) -> None:
    """Give a file another place, under a name that nobody has yet.

    On one file system the file gets its second name first and then loses its first: unlike renaming, that overwrites
    nothing. Otherwise it is copied, compared, and deleted.

    Args:
        copied: called when it has been copied, before the first one is deleted.

    Raises:
        FileExistsError: somebody has that name.
        OSError: anything else; the file is where it was.
    """
    before, linked = source.lstat(), True
    try:
        _link(source, to)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        linked = False
        _copy(source, to, sure=True)
    try:
        if not linked:
            now = source.lstat()
            if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise OSError(errno.EBUSY, "it was changed at that moment")
            copied()
        source.unlink()
    except BaseException:
        with contextlib.suppress(OSError):
            if source.exists():
                to.unlink()
        raise


def _link(source: Path, to: Path) -> None:
    os.link(source, to)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_list(plan: SortPlan) -> SortOutcome:
    """The tags of all pictures as a table and as JSON, under names that nobody has yet."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(("file", "tag", "score", "all tags", "trouble"))
    entries = []
    for item in plan.items:
        path = item.tagged.path
        file = str(path.relative_to(plan.folder)) if path.is_relative_to(plan.folder) else str(path)
        score = round(item.tag.score, 4) if item.tag is not None else None
        every = " ".join(f"{tag.label}={tag.score:.2f}" for tag in item.tagged.tags)
        rows.writerow((file, item.label, "" if score is None else score, every, item.tagged.trouble))
        tags = [
            {"tag": tag.label, "score": round(tag.score, 4), "share": round(tag.size, 4)} for tag in item.tagged.tags
        ]
        entry: dict[str, Any] = {"file": file, "tag": item.label or None, "score": score, "tags": tags}
        if item.by_hand:
            entry["by_hand"] = True
        if item.tagged.trouble:
            entry["trouble"] = item.tagged.trouble
        entries.append(entry)
    whole = {"folder": str(plan.folder), "model": plan.model, "pictures": entries}
    # File names may hold bytes that are no text; they pass as they are.
    texts = (table.getvalue().encode("utf-8", "surrogateescape"), json.dumps(whole, indent=1).encode("utf-8") + b"\n")
    names = [plan.target / name for name in _LISTED]
    number = 2
    while any(os.path.lexists(path) for path in names):  # both have the same number
        names = [plan.target / f"{Path(name).stem} ({number}){Path(name).suffix}" for name in _LISTED]
        number += 1
    for path, text in zip(names, texts, strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as writing:
                writing.write(text)
        except OSError as error:
            if not isinstance(error, FileExistsError):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise store.write_error(path, error) from error
    return SortOutcome(len(plan.items), written=tuple(names))


# ------------------------------------------------------------------------------------------------------- undoing


def last_sorting() -> SortJournal | None:
    """The newest sorting that can be undone, also one of another day, or one that broke off; None: there is none."""
    for path in sorted(_journals(), reverse=True):
        with contextlib.suppress(EngineError):
            record = _read_journal(path)
            files = sum(entry.open for entry in record.entries)
            if files:
                return SortJournal(path, record.action, record.folder, record.target, files, record.when)
    return None


def forget_sorting(journal: Path) -> None:
    """Keep what was sorted as it is; it cannot be undone afterwards, and nothing tells of it any more."""
    with _alone():
        journal.unlink(missing_ok=True)


def forget_sorted_people() -> None:
    """Remove what is noted of sortings by people, whose names are in it; they cannot be undone afterwards.

    Raises:
        EngineError: another window sorts.
        WriteError: one cannot be removed.
    """
    with _alone():
        for path in _journals():
            try:
                with path.open("rb") as file:
                    head = json.loads(file.readline())
            except (OSError, ValueError):
                continue
            if isinstance(head, dict) and head.get("people"):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise store.write_error(path, error) from error


def undo_sorting(
    journal: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> SortOutcome:
    """Put everything back: copies are deleted where the original has the same bytes, what was moved is moved back.

    What was changed since, or whose place somebody else has, stays where it is, and the outcome says so. May be called
    again, also after it was killed. The journal goes when nothing is left to undo.

    Raises:
        EngineError: the journal is not there or cannot be read; another window sorts.
    """
    with _alone():
        record = _read_journal(journal)
        with _Notes(journal, new=False) as notes:
            undo = _Undo(record, notes)
            stopped = undo.run(_slowly(progress), cancelled)
        if not undo.left and not stopped:
            with contextlib.suppress(OSError):
                journal.unlink()
        return SortOutcome(undo.done, tuple(undo.left), journal if journal.exists() else None, cancelled=stopped)


@dataclass
class _Entry:
    """A file in the journal.

    Attributes:
        size, time: that it has if nobody has changed it since.
        done: it has been brought where it was to go; otherwise we were killed on the way, or it failed.
        back: it is being brought back, or was when we were killed.
        over: it has been put back, or never went.
    """

    number: int
    source: Path
    to: Path
    size: int
    time: int
    done: bool = False
    back: bool = False
    over: bool = False

    @property
    def open(self) -> bool:
        """There is something to undo: it has gone somewhere."""
        return not self.over and (self.done or self.back or os.path.lexists(self.to))


@dataclass
class _Record:
    """A journal as it was read."""

    action: Action
    folder: Path
    target: Path
    when: datetime.datetime
    entries: list[_Entry]
    folders: list[Path]


class _Undo:
    """A journal being undone.

    Attributes:
        done: files that were put back.
        left: files that could not be.
    """

    def __init__(self, record: _Record, notes: _Notes) -> None:
        self._record, self._notes = record, notes
        self.done = 0
        self.left: list[Left] = []

    def run(self, progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> bool:
        """True if a person has stopped it."""
        entries = [entry for entry in reversed(self._record.entries) if not entry.over]
        for number, entry in enumerate(entries):
            progress(number, len(entries))
            if cancelled():
                return True
            try:
                put_back = self._uncopy(entry) if self._record.action == "copy" else self._move_back(entry)
            except OSError as error:
                self.left.append(Left(entry.to, _words(error)))
            else:
                self.done += put_back
                entry.over = True
                self._note(kind="undone", number=entry.number)
        for folder in sorted(set(self._record.folders), key=lambda folder: -len(folder.parts)):
            with contextlib.suppress(OSError):  # there is something in it, or it has gone
                folder.rmdir()
        progress(len(entries), len(entries))
        return False

    def _note(self, **values: Any) -> bool:
        """Note something that is not vital: on a full disk, undoing is what makes room."""
        with contextlib.suppress(WriteError):
            self._notes.add(**values)
            return True
        return False

    def _uncopy(self, entry: _Entry) -> bool:
        there = _status(entry.to)
        if there is None:
            return False  # whoever deleted the copy has undone it
        if not stat.S_ISREG(there.st_mode):
            raise OSError(errno.EEXIST, "it is no file any more")
        whole = entry.done or there.st_size >= entry.size
        source = _status(entry.source)
        if source is None:
            if whole:
                raise OSError(errno.ENOENT, "the original has gone, so the copy stays")
            raise OSError(errno.ENOENT, "the original has gone, so what there is of the copy stays")
        if whole and not _same_bytes(entry.source, entry.to):
            changed = (there.st_size, there.st_mtime_ns) != (entry.size, entry.time)
            raise OSError(errno.EEXIST, f"the {'copy' if changed else 'original'} was changed since, so the copy stays")
        if not whole and not _begins(entry.source, entry.to):
            raise OSError(errno.EEXIST, "it is not what was copied, so it stays")
        entry.to.unlink()
        return True

    def _move_back(self, entry: _Entry) -> bool:
        source, to = _status(entry.source), _status(entry.to)
        if source is not None and to is not None:
            # Killed while there were two of it, there or back; or somebody has put a file where it came from.
            if os.path.samestat(source, to) or _same_bytes(entry.source, entry.to):
                if entry.back:  # its date may be what is still missing
                    with contextlib.suppress(OSError):
                        shutil.copystat(entry.to, entry.source)
                entry.to.unlink()
                return True
            if not entry.done and _begins(entry.source, entry.to):
                entry.to.unlink()
                return True
            if not (entry.back and _begins(entry.to, entry.source)):
                if entry.done:
                    raise OSError(errno.EEXIST, f"its place is taken: there is another “{entry.source.name}”")
                return False  # it never went, and this is somebody else's
            entry.source.unlink()
        elif to is None:
            if source is None:
                raise OSError(errno.ENOENT, "it has gone")
            return False  # it never went, or somebody else has put it back
        if not stat.S_ISREG(to.st_mode):
            raise OSError(errno.EEXIST, "it is no file any more")
        if (to.st_size, to.st_mtime_ns) != (entry.size, entry.time):
            raise OSError(errno.EEXIST, "it was changed since, so it stays")
        noted = self._note(sure=True, kind="back", number=entry.number)
        entry.source.parent.mkdir(parents=True, exist_ok=True)
        if not noted and to.st_dev != entry.source.parent.stat().st_dev:
            raise OSError(errno.ENOSPC, "there is no room for what has to be noted first")
        _move(entry.to, entry.source, lambda: None)
        return True


def _status(path: Path) -> os.stat_result | None:
    """None: there is nothing of that name."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _same_bytes(one: Path, other: Path) -> bool:
    return one.lstat().st_size == other.lstat().st_size and _begins(one, other)


def _begins(whole: Path, part: Path) -> bool:
    """Whether a file begins with all of another one."""
    if not (stat.S_ISREG(whole.lstat().st_mode) and stat.S_ISREG(part.lstat().st_mode)):
        return False
    if part.lstat().st_size > whole.lstat().st_size:
        return False
    with whole.open("rb") as first, part.open("rb") as second:
        while block := second.read(_BLOCK):
            if first.read(len(block)) != block:
                return False
    return True


def _words(error: OSError) -> str:
    return error.strerror or str(error)


# --------------------------------------------------------------------------------------------------- the journal


class _Notes:
    """A journal being written: one JSON object a line, each handed to the system before `add` returns."""

    def __init__(self, path: Path, *, new: bool) -> None:
        self._path = path
        kinds = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | (os.O_CREAT | os.O_EXCL if new else 0)
        try:
            self._file = os.open(path, kinds, 0o600)
        except OSError as error:
            raise store.write_error(path, error) from error
        size = os.fstat(self._file).st_size
        if size:
            os.lseek(self._file, size - 1, os.SEEK_SET)
        self._torn = bool(size) and os.read(self._file, 1) != b"\n"  # we were killed within a line

    def add(self, *, sure: bool = False, **values: Any) -> None:
        """
        Args:
            sure: it has reached the disk when this returns, so that not even a power cut loses it.

        Raises:
            WriteError: the disk is full.
        """
        line = (b"\n" if self._torn else b"") + json.dumps(values).encode("ascii") + b"\n"
        self._torn = True
        try:
            while line:
                line = line[os.write(self._file, line) :]
            if sure:
                os.fsync(self._file)
        except OSError as error:
            raise store.write_error(self._path, error) from error
        self._torn = False

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> _Notes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _folder() -> Path:
    return store.data_folder() / "sorted"


def _journals() -> list[Path]:
    return list(_folder().glob("*.jsonl"))


def _new_journal() -> Path:
    """A name that sorts after all the others."""
    stem = f"{time.time_ns():020}"
    return _folder() / f"{stem}-{os.getpid()}.jsonl"


def _forget_old() -> None:
    for path in sorted(_journals())[: -_KEPT + 1]:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else of this user sorts or undoes at the same time.

    Raises:
        EngineError: somebody does.
    """
    lock = filelock.FileLock(_folder() / "lock", timeout=0)
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise EngineError("Another ConvScope is sorting just now.", "Wait until it has finished.") from error
    except OSError as error:
        raise store.write_error(_folder(), error) from error
    try:
        yield
    finally:
        lock.release()


def _read_journal(path: Path) -> _Record:
    """
    Raises:
        EngineError: it is not there, or no journal.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError as error:
        raise EngineError("There is nothing left to undo.") from error
    except OSError as error:
        raise EngineError(f"The journal {path} cannot be read: {error.strerror or error}.") from error
    record: _Record | None = None
    entries: dict[int, _Entry] = {}
    for line in lines:
        try:
            values = json.loads(line)
            kind = values["kind"]
            if kind == "sorting":
                record = _begun(values, path)
            elif kind == "folder" and record is not None:
                record.folders.append(Path(values["path"]))
            elif kind == "file":
                number = int(values["number"])
                places = (Path(values["source"]), Path(values["to"]))
                entries[number] = _Entry(number, *places, int(values["size"]), int(values["time"]))
            elif (entry := entries.get(int(values["number"]))) is not None:
                _note_on(entry, kind, values)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # the line at which we were killed, or at which the disk was full
    if record is None:
        raise EngineError(f"{path} is no journal of a sorting.")
    record.entries = list(entries.values())
    return record


def _begun(values: Mapping[str, Any], path: Path) -> _Record:
    if int(values["version"]) > _VERSION:
        raise EngineError("This was sorted by a newer ConvScope.", f"Undo it with that one; its journal is {path}.")
    action: Action = "move" if values["action"] == "move" else "copy"
    when = datetime.datetime.fromisoformat(values["when"])
    return _Record(action, Path(values["folder"]), Path(values["target"]), when, [], [])


def _note_on(entry: _Entry, kind: str, values: Mapping[str, Any]) -> None:
    if kind in ("copied", "done"):
        entry.size, entry.time = int(values["size"]), int(values["time"])
        entry.done = entry.done or kind == "done"
    elif kind == "back":
        entry.back = True
    elif kind in ("failed", "undone"):
        entry.over = True


def _silently(done: int, total: int) -> None:
    pass


def _slowly(progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """The same, ten times a second at most, and at the end."""
    last = -math.inf

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _PROGRESS:
            last = now
            progress(done, total)

    return report
