"""Sorting a folder: what is found, what decides, where it goes; and that nothing is ever lost, whatever happens."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import sorting, store
from engine.errors import Cancelled, EngineError
from engine.opencv import cv2
from engine.sorting import (
    STRANGER,
    Action,
    SortPlan,
    Tag,
    Tagged,
    apply_sorting,
    deciding_tag,
    find_pictures,
    folder_name,
    forget_sorted_people,
    forget_sorting,
    group_pictures,
    last_sorting,
    plan_sorting,
    tag_picture,
    tag_pictures,
    undo_sorting,
)
from engine.types import Image
from engine.vision import open_reader
from tests.engine.conftest import face, spotted, with_faces

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process that was forked")
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
needs_rights = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="whoever runs this may write everywhere"
)


def write(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def seen(path: Path, *tags: Tag | str, trouble: str = "") -> Tagged:
    """What has been seen in a file, which is written where it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"this is {path.name} in {path.parent.name} ".encode() * 3000)
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    status = path.stat()
    given = tuple(Tag(tag, 0.9) if isinstance(tag, str) else tag for tag in tags)
    return Tagged(path, given, trouble=trouble, size=status.st_size, time=status.st_mtime_ns)


def few(folder: Path) -> list[Tagged]:
    """Five pictures: two cats of one name, a dog, one in which nothing is, one that cannot be read."""
    return [
        seen(folder / "a.jpg", "cat"),
        seen(folder / "more" / "a.jpg", "cat"),
        seen(folder / "b.jpg", "dog"),
        seen(folder / "nothing.jpg"),
        seen(folder / "bad.jpg", trouble="It is damaged."),
    ]


def plan(pictures: list[Tagged], folder: Path, target: Path, action: Action = "move", **more: Any) -> SortPlan:
    return plan_sorting(pictures, action=action, folder=folder, target=target, least=0.5, **more)


def tree(*roots: Path) -> dict[str, tuple[bytes, int] | None]:
    """All files with their bytes and dates, and all folders."""
    found: dict[str, tuple[bytes, int] | None] = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            found[str(path)] = (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
    return found


def journals() -> list[Path]:
    return list((store.data_folder() / "sorted").glob("*.jsonl"))


# -------------------------------------------------------------------------------------------------- going through


def test_pictures_are_found_in_all_folders_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.png", "deep/er/1.JPG", ".hidden.jpg", ".git/2.jpg", "notes.txt"):
        seen(tmp_path / name)
    found = find_pictures(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found.paths] == ["9.png", "10.jpg", "deep/er/1.JPG"]
    assert found.left_out == ()


@needs_links
def test_links_are_not_followed_and_said(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    seen(folder / "a.jpg")
    seen(outside / "b.jpg")
    (folder / "link.jpg").symlink_to(outside / "b.jpg")
    (folder / "linked").symlink_to(outside, target_is_directory=True)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    found = find_pictures(folder)
    assert found.paths == (folder / "a.jpg",)
    assert {left.path.name: left.why for left in found.left_out} == {
        "link.jpg": "it is a link",
        "linked": "it is a link to a folder",
        "round": "it is a link to a folder",
    }


@needs_links
def test_a_folder_may_itself_be_named_by_a_link(tmp_path: Path) -> None:
    seen(tmp_path / "real" / "a.jpg")
    (tmp_path / "alias").symlink_to(tmp_path / "real", target_is_directory=True)
    assert find_pictures(tmp_path / "alias").paths == (tmp_path / "real" / "a.jpg",)


def test_a_folder_without_pictures_a_file_and_no_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no pictures"):
        find_pictures(tmp_path)
    with pytest.raises(EngineError, match="is a file"):
        find_pictures(seen(tmp_path / "a.jpg").path)
    with pytest.raises(EngineError, match="There is no file or folder"):
        find_pictures(tmp_path / "nowhere")
    with pytest.raises(Cancelled):
        find_pictures(tmp_path, cancelled=lambda: True)


@needs_rights
def test_a_folder_that_may_not_be_opened_is_left_out(tmp_path: Path) -> None:
    seen(tmp_path / "a.jpg")
    seen(tmp_path / "closed" / "b.jpg")
    (tmp_path / "closed").chmod(0)
    try:
        found = find_pictures(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert found.paths == (tmp_path / "a.jpg",)
    assert found.left_out[0].path.name == "closed" and "cannot be read" in found.left_out[0].why


def test_a_detector_gives_a_tag_for_every_box(home: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", spotted((1, 1, "red"), (5, 3, "green")))
    broken = tmp_path / "b.png"
    broken.write_bytes(path.read_bytes()[:200])
    nothing = write(tmp_path / "c.png", np.full((480, 640, 3), 128, np.uint8))
    reader = open_reader(sorting_card("spots"))
    tagged = list(tag_pictures([path, broken, nothing, tmp_path / "gone.png"], reader))
    assert sorted(tag.label for tag in tagged[0].tags if tag.score > 0.9) == ["green", "red"]
    assert all(0 < tag.size < 0.2 for tag in tagged[0].tags)
    assert tagged[0].size == path.stat().st_size and not tagged[0].trouble
    small = cv2.imdecode(np.frombuffer(tagged[0].thumbnail, np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (108, 144, 3)
    assert "breaks off" in tagged[1].trouble and not tagged[1].tags and not tagged[1].thumbnail
    assert not [tag for tag in tagged[2].tags if tag.score > 0.6]
    assert "cannot be read" in tagged[3].trouble


def sorting_card(name: str) -> Any:
    from engine import zoo

    return zoo.model_card(name)


def test_a_classifier_gives_its_likeliest_classes(home: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", spotted((1, 1, "red")))
    tagged = tag_picture(path, open_reader(sorting_card("tiny-colour")))
    assert {tag.label for tag in tagged.tags} <= {"cat", "dog", "owl"} and tagged.tags
    assert [tag.score for tag in tagged.tags] == sorted((tag.score for tag in tagged.tags), reverse=True)
    assert all(tag.size == 1.0 for tag in tagged.tags)


def test_faces_are_tagged_with_names_and_strangers_with_none(home: Path, tmp_path: Path) -> None:
    from engine.recognition import Recogniser
    from engine.vision.faces import FaceReader

    reader = open_reader(sorting_card("tiny-faces"))
    assert isinstance(reader, FaceReader)
    path = write(tmp_path / "a.png", with_faces((1, 1, face(1)), (5, 3, face(2))))
    assert {tag.label for tag in tag_picture(path, reader).tags} == {STRANGER}
    from engine.types import Frame

    faces = reader.predict(Frame(with_faces((3, 3, face(1))), "", 0, 0.0)).faces
    assert faces is not None and faces[0].embedding is not None
    reader.people = Recogniser(
        faces[0].embedding[None], np.array([1]), {1: "Ada"}, calibration=(10.0, -5.0), threshold=0.5, model=reader.model
    )
    tagged = tag_picture(path, reader)
    assert {tag.label for tag in tagged.tags} == {"Ada", STRANGER}
    assert "Ada" not in repr(tagged)
    decides = deciding_tag(tagged.tags, least=0.3)
    assert decides is not None and decides.label == "Ada"


def test_going_through_ends_when_it_is_cancelled(home: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.png", spotted((1, 1, "red"))) for number in range(5)]
    tagged: list[Tagged] = []
    for each in tag_pictures(paths, open_reader(sorting_card("spots")), cancelled=lambda: len(tagged) == 2):
        tagged.append(each)
    assert len(tagged) == 2


# -------------------------------------------------------------------------------------------------------- deciding


def test_the_surest_or_the_largest_box_decides() -> None:
    tags = (Tag("cup", 0.9, 0.02), Tag("sofa", 0.6, 0.5), Tag("wall", 0.2, 0.9))
    surest, largest = (deciding_tag(tags, least=0.5, by=by) for by in ("surest", "largest"))
    assert surest is not None and surest.label == "cup"
    assert largest is not None and largest.label == "sofa"
    assert deciding_tag(tags, least=0.95) is None


def test_a_person_has_the_last_word(tmp_path: Path) -> None:
    pictures = few(tmp_path)
    said = {tmp_path / "a.jpg": "dog", tmp_path / "b.jpg": "", tmp_path / "nothing.jpg": "snow"}
    items = group_pictures(pictures, least=0.5, by_hand=said)
    assert [item.label for item in items] == ["dog", "cat", "", "snow", ""]
    assert [item.by_hand for item in items] == [True, False, True, True, False]


def test_names_of_folders_lead_nowhere_else() -> None:
    assert folder_name("cell phone") == "cell phone"
    assert folder_name("../../etc") == "_.._etc"
    assert folder_name("a/b\\c:d\n") == "a_b_c_d_"
    assert folder_name("..") == "_" and folder_name("") == "_" and folder_name("con") == "_con"
    assert len(os.fsencode(folder_name("ü" * 300))) <= 200


def test_a_plan_says_what_would_happen_and_touches_nothing(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(tmp_path)
    made = plan(pictures, folder, target)
    assert [item.to and str(item.to.relative_to(target)) for item in made.items] == [
        "cat/a.jpg",
        "cat/a (2).jpg",
        "dog/b.jpg",
        None,
        None,
    ]
    assert (len(made.going), made.folders, made.staying, made.numbered, made.there) == (3, 2, 2, 1, 0)
    assert tree(tmp_path) == before
    with pytest.raises(EngineError, match="is a file"):
        plan(pictures, folder, pictures[0].path)
    with pytest.raises(Cancelled):
        plan(pictures, folder, target, cancelled=lambda: True)


def test_names_that_differ_in_capitals_clash(tmp_path: Path) -> None:
    pictures = [seen(tmp_path / "1" / "IMG.JPG", "cat"), seen(tmp_path / "2" / "img.jpg", "cat")]
    made = plan(pictures, tmp_path, tmp_path / "out")
    assert [item.to.name for item in made.going if item.to] == ["IMG.JPG", "img (2).jpg"]


def test_what_is_in_its_folder_already_stays(tmp_path: Path) -> None:
    pictures = [seen(tmp_path / "cat" / "a.jpg", "cat"), seen(tmp_path / "b.jpg", "cat")]
    made = plan(pictures, tmp_path, tmp_path)
    assert [item.there for item in made.items] == [True, False]
    assert made.going[0].to == tmp_path / "cat" / "b.jpg"


# --------------------------------------------------------------------------------------------------- carrying out


@pytest.mark.parametrize("action", ["copy", "move"])
def test_pictures_come_into_folders_and_back(tmp_path: Path, action: Action) -> None:
    folder, target = tmp_path / "in", tmp_path / "new" / "out"
    pictures = few(folder)
    before = tree(tmp_path)
    told: list[tuple[int, int]] = []
    outcome = apply_sorting(plan(pictures, folder, target, action), progress=lambda *at: told.append(at))
    assert (outcome.done, outcome.left, outcome.error) == (3, (), None)
    assert told[-1] == (3, 3)
    after = {path.removeprefix(str(tmp_path)): value for path, value in tree(tmp_path).items() if value}
    assert after["/new/out/cat/a.jpg"] == before[str(folder / "a.jpg")]  # its bytes and its date
    assert after["/new/out/cat/a (2).jpg"] == before[str(folder / "more" / "a.jpg")]
    assert ("/in/a.jpg" in after) == (action == "copy")
    again = plan(pictures, folder, target, action)
    assert (len(again.going), again.there, again.staying) == (0, 3, 2)  # nothing is done twice
    last = last_sorting()
    assert last is not None and outcome.journal == last.path
    assert (last.action, last.files, last.target, last.folder) == (action, 3, target, folder)
    undone = undo_sorting(last.path)
    assert (undone.done, undone.left, undone.journal) == (3, (), None)
    assert tree(tmp_path) == before
    assert last_sorting() is None and journals() == []
    with pytest.raises(EngineError, match="nothing left to undo"):
        undo_sorting(last.path)


def test_nothing_is_overwritten_though_it_came_after_the_plan(tmp_path: Path) -> None:
    for action in ("copy", "move"):
        folder, target = tmp_path / action, tmp_path / f"{action} out"
        pictures = few(folder)
        made = plan(pictures, folder, target, action)
        for name in ("a.jpg", "a (2).jpg"):
            seen(target / "cat" / name)
        before = tree(tmp_path / action, target)
        outcome = apply_sorting(made)
        assert outcome.done == 3
        kept = tree(target)
        assert all(kept[path] == value for path, value in before.items() if path.startswith(str(target)))
        assert (target / "cat" / "a (3).jpg").exists() and (target / "cat" / "a (4).jpg").exists()
        assert outcome.journal is not None
        assert undo_sorting(outcome.journal).left == ()
        assert tree(tmp_path / action, target) == before


def test_what_has_gone_or_become_a_link_meanwhile_is_left(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    made = plan(few(folder), folder, target)
    (folder / "b.jpg").unlink()
    if sys.platform != "win32":
        outside = seen(tmp_path / "else" / "a.jpg").path
        (folder / "a.jpg").unlink()
        (folder / "a.jpg").symlink_to(outside)
    outcome = apply_sorting(made)
    assert outcome.done == (1 if sys.platform != "win32" else 2)
    assert (folder / "b.jpg") in {left.path for left in outcome.left}
    if sys.platform != "win32":
        assert (folder / "a.jpg").is_symlink() and outside.exists()


@needs_links
def test_links_lead_neither_out_of_the_folder_nor_out_of_the_target(tmp_path: Path) -> None:
    folder, target, outside = tmp_path / "in", tmp_path / "out", tmp_path / "else"
    pictures = few(folder)
    outside.mkdir()
    target.mkdir()
    (target / "dog").symlink_to(outside, target_is_directory=True)
    made = plan(pictures, folder, target)
    (folder / "more").rename(tmp_path / "elsewhere")
    (folder / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    outcome = apply_sorting(made)
    assert outcome.done == 1
    why = {str(left.path.relative_to(folder)): left.why for left in outcome.left}
    assert why["more/a.jpg"] == "a link leads out of the folder"
    assert "is a link" in why["b.jpg"]
    assert list(outside.iterdir()) == [] and (tmp_path / "elsewhere" / "a.jpg").exists()


@needs_rights
def test_a_target_that_may_not_be_written_to_is_said_once_and_nothing_is_touched(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    target.mkdir()
    before = tree(tmp_path)
    target.chmod(0o500)
    try:
        for action in ("copy", "move"):
            outcome = apply_sorting(plan(pictures, folder, target, action))
            assert outcome.error is not None and "could not be written" in outcome.error.message
            assert (outcome.done, outcome.journal) == (0, None)
        with pytest.raises(EngineError, match="could not be written"):
            apply_sorting(plan(pictures, folder, target, "list"))
    finally:
        target.chmod(0o700)
    assert tree(tmp_path) == before and journals() == []


@needs_rights
def test_a_folder_from_which_nothing_may_be_taken_keeps_everything(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(folder)
    made = plan(pictures, folder, target)
    for place in (folder / "more", folder):
        place.chmod(0o500)
    try:
        outcome = apply_sorting(made)
    finally:
        for place in (folder, folder / "more"):
            place.chmod(0o700)
    assert outcome.done == 0 and len(outcome.left) == 3
    assert tree(folder) == before
    assert not [path for path in target.rglob("*") if path.is_file()]


def test_it_ends_between_two_files_when_it_is_cancelled(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(tmp_path)
    asked = iter([False, True])
    outcome = apply_sorting(plan(pictures, folder, target), cancelled=lambda: next(asked))
    assert outcome.cancelled and outcome.done == 1 and outcome.journal is not None
    undone = undo_sorting(outcome.journal, cancelled=lambda: True)
    assert undone.cancelled and undone.done == 0 and undone.journal is not None
    assert undo_sorting(outcome.journal).done == 1
    assert tree(tmp_path) == before


def test_one_sorts_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    made = plan(few(folder), folder, tmp_path / "out")

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(EngineError, match="Another ConvScope"):
            apply_sorting(made)

    assert apply_sorting(made, progress=meanwhile).done == 3


def test_a_list_is_a_table_and_json_and_replaces_no_other(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    made = plan(few(folder), folder, target, "list", model="A network")
    assert made.going == [] and made.items[0].label == "cat"
    before = tree(folder)
    for names in (("pictures.csv", "pictures.json"), ("pictures (2).csv", "pictures (2).json")):
        outcome = apply_sorting(made)
        assert [path.name for path in outcome.written] == list(names) and outcome.done == 5
        with outcome.written[0].open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows[0] == {"file": "a.jpg", "tag": "cat", "score": "0.9", "all tags": "cat=0.90", "trouble": ""}
        assert rows[4]["trouble"] == "It is damaged."
        whole = json.loads(outcome.written[1].read_text(encoding="utf-8"))
        assert whole["model"] == "A network"
        tags = [{"tag": "cat", "score": 0.9, "share": 1.0}]
        assert whole["pictures"][0] == {"file": "a.jpg", "tag": "cat", "score": 0.9, "tags": tags}
        assert whole["pictures"][3]["tag"] is None
    assert tree(folder) == before and last_sorting() is None


def test_a_name_that_is_no_text_comes_back(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("names are text there")
    folder, target = tmp_path / "in", tmp_path / "out"
    odd = folder / os.fsdecode(b"caf\xe9.jpg")
    pictures = [seen_odd(odd)]
    outcome = apply_sorting(plan(pictures, folder, target))
    assert [os.fsencode(path.name) for path in (target / "cat").iterdir()] == [b"caf\xe9.jpg"]
    assert apply_sorting(plan(pictures, folder, target, "list")).done == 1
    assert outcome.journal is not None
    undo_sorting(outcome.journal)
    assert [os.fsencode(path.name) for path in folder.iterdir()] == [b"caf\xe9.jpg"]


def seen_odd(path: Path) -> Tagged:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"odd")
    return Tagged(path, (Tag("cat", 0.9),), size=3, time=path.stat().st_mtime_ns)


# --------------------------------------------------------------------------------------------- the disk is full


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the target lay on another file system."""

    def link(source: Path, to: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(sorting, "_link", link)


def test_between_file_systems_files_are_copied_compared_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(tmp_path)
    elsewhere(monkeypatch)
    outcome = apply_sorting(plan(pictures, folder, target))
    assert outcome.done == 3 and not (folder / "a.jpg").exists()
    assert tree(target)[str(target / "cat" / "a.jpg")] == before[str(folder / "a.jpg")]
    assert outcome.journal is not None
    assert undo_sorting(outcome.journal).left == ()
    assert tree(tmp_path) == before


def test_a_copy_that_differs_from_its_original_does_not_cost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(tmp_path)
    elsewhere(monkeypatch)
    monkeypatch.setattr(sorting, "_pour", lambda reading, writing: writing.write(b"x" + reading.read()[1:]))
    outcome = apply_sorting(plan(pictures, folder, target))
    assert outcome.done == 0 and outcome.error is not None
    assert tree(tmp_path) == before


@pytest.mark.parametrize("crossing", [False, True])
@pytest.mark.parametrize("action", ["copy", "move"])
def test_a_full_disk_stops_it_and_what_was_done_can_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Action, crossing: bool
) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(tmp_path)
    full = iter([False, True])
    if crossing or action == "copy":
        elsewhere(monkeypatch)
        pour = sorting._pour

        def half(reading: Any, writing: Any) -> None:
            if next(full):
                writing.write(reading.read(100))
                raise OSError(errno.ENOSPC, "No space left on device")
            pour(reading, writing)

        monkeypatch.setattr(sorting, "_pour", half)
    else:
        link = sorting._link

        def no_room(source: Path, to: Path) -> None:
            if next(full):
                raise OSError(errno.ENOSPC, "No space left on device")
            link(source, to)

        monkeypatch.setattr(sorting, "_link", no_room)
    outcome = apply_sorting(plan(pictures, folder, target, action))
    assert outcome.done == 1 and outcome.error is not None
    assert "The disk is full" in outcome.error.message and "can be undone" in outcome.error.hint
    assert not (target / "cat" / "a (2).jpg").exists()  # half a picture is none
    monkeypatch.undo()
    monkeypatch.setenv("CONVSCOPE_HOME", str(outcome.journal.parent.parent) if outcome.journal else "")
    assert outcome.journal is not None
    assert undo_sorting(outcome.journal).done == 1
    assert tree(tmp_path) == before


def journal_is_full(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The disk with the journal takes so many lines and half of another one."""
    write_now, lines = os.write, iter(range(1000))

    def limited(file: int, data: bytes) -> int:
        if next(lines) < after:
            return write_now(file, data)
        with_some = data[: len(data) // 2]
        if len(with_some) > 4 and not with_some.startswith(b"?"):
            write_now(file, with_some)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sorting.os, "write", limited)


@pytest.mark.parametrize("after", range(9))
@pytest.mark.parametrize("action", ["copy", "move"])
def test_nothing_is_touched_that_could_not_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Action, after: int
) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(tmp_path)
    made = plan(pictures, folder, target, action)
    with monkeypatch.context() as patched:
        journal_is_full(patched, after)
        try:
            outcome = apply_sorting(made)
        except EngineError as error:
            assert "The disk is full" in error.message and after == 0
            outcome = None
        else:
            assert outcome.error is not None and "The disk is full" in outcome.error.message
    last = last_sorting()
    if last is not None:
        assert undo_sorting(last.path).left == ()
    assert tree(tmp_path) == before


def test_undoing_makes_room_also_where_nothing_can_be_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for action in ("copy", "move"):
        folder, target = tmp_path / action, tmp_path / f"{action} out"
        pictures = few(folder)
        before = tree(folder)
        outcome = apply_sorting(plan(pictures, folder, target, action))
        assert outcome.journal is not None
        with monkeypatch.context() as patched:
            journal_is_full(patched, 0)
            undone = undo_sorting(outcome.journal)
        assert (undone.done, undone.left) == (3, ())
        assert tree(folder) == before


# ------------------------------------------------------------------------------------------ what was changed since


def test_undo_keeps_what_was_changed_and_says_so(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    outcome = apply_sorting(plan(few(folder), folder, target))
    assert outcome.journal is not None
    (target / "cat" / "a.jpg").write_bytes(b"turned by ninety degrees")  # changed
    seen(folder / "b.jpg", "dog")
    (folder / "b.jpg").write_bytes(b"another one in its place")
    (target / "cat" / "a (2).jpg").unlink()  # gone
    held = tree(tmp_path)
    undone = undo_sorting(outcome.journal)
    assert undone.done == 0 and undone.journal is not None
    assert {left.path.name: left.why for left in undone.left} == {
        "a.jpg": "it was changed since, so it stays",
        "b.jpg": "its place is taken: there is another “b.jpg”",
        "a (2).jpg": "it has gone",
    }
    assert tree(tmp_path) == held
    again = undo_sorting(outcome.journal)
    assert again.left == undone.left and tree(tmp_path) == held
    (folder / "b.jpg").unlink()  # its place is free again
    assert undo_sorting(outcome.journal).done == 1
    last = last_sorting()
    assert last is not None and last.files == 2
    forget_sorting(last.path)
    assert last_sorting() is None


def test_a_copy_is_deleted_only_while_the_original_has_the_same_bytes(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    outcome = apply_sorting(plan(few(folder), folder, target, "copy"))
    assert outcome.journal is not None
    copy, second, third = target / "cat" / "a.jpg", target / "cat" / "a (2).jpg", target / "dog" / "b.jpg"
    status = copy.stat()
    data = copy.read_bytes()
    copy.write_bytes(b"X" + data[1:])  # of the same length and, with some programs, of the same date
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "more" / "a.jpg").write_bytes(b"the original, improved")
    (folder / "b.jpg").unlink()
    undone = undo_sorting(outcome.journal)
    assert undone.done == 0
    why = {left.path: left.why for left in undone.left}
    assert "was changed since" in why[copy] and "original was changed" in why[second]
    assert why[third] == "the original has gone, so the copy stays"
    assert copy.exists() and second.exists() and third.exists()


def test_folders_that_hold_something_else_by_now_stay(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    outcome = apply_sorting(plan(few(folder), folder, target))
    seen(target / "cat" / "mine.jpg")
    assert outcome.journal is not None
    undo_sorting(outcome.journal)
    assert [path.name for path in (target / "cat").iterdir()] == ["mine.jpg"]
    assert not (target / "dog").exists()


def test_the_folder_something_came_from_is_made_again(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    pictures = few(folder)
    before = tree(folder)
    outcome = apply_sorting(plan(pictures, folder, target))
    (folder / "more").rmdir()
    assert outcome.journal is not None
    assert undo_sorting(outcome.journal).left == ()
    assert tree(folder) == before


def test_sortings_by_people_are_forgotten_with_the_people(tmp_path: Path) -> None:
    for name, people in (("things", False), ("people", True)):
        folder = tmp_path / name
        apply_sorting(plan([seen(folder / "a.jpg", "Anna")], folder, tmp_path / f"{name} sorted", people=people))
    assert len(journals()) == 2
    forget_sorted_people()
    (kept,) = journals()
    assert "things sorted" in kept.read_text() and (tmp_path / "people sorted" / "Anna" / "a.jpg").exists()


def test_several_sortings_are_undone_one_after_the_other(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    outcomes = [apply_sorting(plan(few(folder), folder, tmp_path / "out", "copy")) for folder in (first, second)]
    for outcome in reversed(outcomes):
        last = last_sorting()
        assert last is not None and last.path == outcome.journal
        undo_sorting(last.path)
    assert last_sorting() is None and not (tmp_path / "out").exists()


def test_a_journal_of_a_newer_program_or_none_at_all_is_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.jsonl"
    head = {"kind": "sorting", "version": 9, "action": "move", "folder": "/", "target": "/", "when": "2026-01-01"}
    newer.write_text(json.dumps(head) + "\n")
    with pytest.raises(EngineError, match="newer ConvScope"):
        undo_sorting(newer)
    newer.write_text("nothing\n[1]\n{}\n")
    with pytest.raises(EngineError, match="no journal"):
        undo_sorting(newer)


def test_the_journal_is_for_its_owner_alone(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("rights are others there")
    outcome = apply_sorting(plan(few(tmp_path / "in"), tmp_path / "in", tmp_path / "out"))
    assert outcome.journal is not None
    assert stat.S_IMODE(outcome.journal.stat().st_mode) == 0o600


# ---------------------------------------------------------------------------------------------------------- kills


def killed(step: int, late: bool, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed at its n-th step that changes a disk; False: it had fewer.

    Args:
        late: right after that step instead of right before it; of a file that is being filled: in its middle.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True
        assert os.WEXITSTATUS(status) == 0
        return False
    try:
        steps = iter(range(10_000))

        def at(function: Callable[..., Any], *, middle: Callable[..., Any] | None = None) -> Callable[..., Any]:
            def counted(*args: Any, **more: Any) -> Any:
                mine = next(steps) == step
                if mine and not late:
                    os.kill(os.getpid(), signal.SIGKILL)
                if mine and middle is not None:
                    middle(*args)
                    os.kill(os.getpid(), signal.SIGKILL)
                try:
                    return function(*args, **more)
                finally:
                    if mine:
                        os.kill(os.getpid(), signal.SIGKILL)

            return counted

        def half_filled(reading: Any, writing: Any) -> None:
            writing.write(reading.read(70_000))
            writing.flush()

        write_now = os.write
        for name in ("open", "fsync", "link"):
            setattr(os, name, at(getattr(os, name)))
        os.write = at(os.write, middle=lambda file, data: write_now(file, data[: len(data) // 2]))  # type: ignore[assignment]
        sorting._pour = at(sorting._pour, middle=half_filled)
        sorting.shutil.copystat = at(sorting.shutil.copystat)  # type: ignore[assignment]
        for name in ("unlink", "mkdir", "rmdir"):
            setattr(Path, name, at(getattr(Path, name)))
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


@needs_fork
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", ["copy", "move", "move elsewhere"])
def test_killed_at_any_step_everything_can_be_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, late: bool
) -> None:
    action: Action = "copy" if kind == "copy" else "move"
    if kind == "move elsewhere":
        elsewhere(monkeypatch)
    for step in range(1000):
        room = tmp_path / str(step)
        folder, target = room / "in", room / "out"
        pictures = few(folder)
        before = tree(room)
        made = plan(pictures, folder, target, action)
        if not killed(step, late, lambda made=made: apply_sorting(made)):
            assert step > 15
            break
        contents = {value[0] for value in tree(room).values() if value is not None}
        assert all(value[0] in contents for value in before.values() if value is not None)  # nothing is lost
        last = last_sorting()
        if last is not None:
            assert undo_sorting(last.path).left == ()
        assert tree(folder) == before_in(before, folder), (kind, step)
        assert not [path for path in target.rglob("*") if path.is_file()], (kind, step)
        for journal in journals():  # killed before the first file: there is nothing to undo
            forget_sorting(journal)


def before_in(before: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {path: value for path, value in before.items() if path.startswith(f"{folder}{os.sep}")}


@needs_fork
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", ["copy", "move", "move elsewhere"])
def test_an_undo_that_was_killed_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, late: bool
) -> None:
    action: Action = "copy" if kind == "copy" else "move"
    if kind == "move elsewhere":
        elsewhere(monkeypatch)
    for step in range(1000):
        room = tmp_path / str(step)
        folder, target = room / "in", room / "out"
        pictures = few(folder)
        before = tree(room)
        outcome = apply_sorting(plan(pictures, folder, target, action))
        assert outcome.done == 3 and outcome.journal is not None
        if not killed(step, late, lambda journal=outcome.journal: undo_sorting(journal)):
            assert step > 8
            break
        if outcome.journal.exists():
            undone = undo_sorting(outcome.journal)
            assert undone.left == (), (kind, step)
        assert tree(room) == before, (kind, step)
