"""Sorting a folder from the window: what the page says, what a person can change, and that files end where it said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QModelIndex, QPoint, Qt
from PySide6.QtWidgets import QApplication

from engine import EngineError, ModelCard, Preprocess, Tag, Tagged, last_sorting, plan_sorting
from gui import sorter
from gui.bridge import Bridge
from gui.picture_groups import BUDGET, Group, PictureGrid, caption
from gui.settings import Settings
from gui.sorter import ALL, NOTHING, UNREADABLE, SorterPage, plan_words
from tests.gui.conftest import open_window, write_detector


def card(name: str, task: Any = "detection", kind: Any = "letterbox", classes: int = 3) -> ModelCard:
    names = tuple(f"class {number}" for number in range(classes))
    return ModelCard(name, name.title(), task, "small", names, Preprocess(kind, 64, 3, (0.5,) * 3, (0.5,) * 3))


CARDS = (
    card("digits", "classification", "drawing", 10),
    card("face-detector", classes=1),
    card("whole", "classification", "picture"),
    card("boxes"),
    card("faces", "faces", "face", 1),
)
SEEN = {"a": (Tag("cat", 0.9, 0.1), Tag("dog", 0.6, 0.8)), "b": (Tag("cat", 0.7),), "c": (Tag("dog", 0.22),), "d": ()}


def jpeg(level: int = 128) -> bytes:
    return cv2.imencode(".jpg", np.full((96, 144, 3), level, np.uint8))[1].tobytes()


class Reader:
    """What is opened in place of a network: `tag_pictures` is the test's own, too."""

    people: Any = None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures and one that is broken."""
    place = tmp_path / "holiday"
    place.mkdir()
    for name in (*SEEN, "e"):
        (place / f"{name}.jpg").write_bytes(f"picture {name}".encode())
    return place


def tagged(path: Path) -> Tagged:
    status = path.stat()
    trouble = "It is damaged." if path.stem == "e" else ""
    small = b"" if trouble else jpeg()
    return Tagged(path, SEEN.get(path.stem, ()), small, trouble, status.st_size, status.st_mtime_ns)


@pytest.fixture
def page(qtbot, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SorterPage]:
    """The page by itself, with a network that knows the test's pictures."""
    import engine

    monkeypatch.setattr(engine, "open_reader", lambda card, **_: Reader(), raising=False)
    monkeypatch.setattr(
        engine,
        "tag_pictures",
        lambda paths, reader, cancelled: (tagged(path) for path in paths if not cancelled()),
        raising=False,
    )
    bridge = Bridge()
    made = SorterPage(bridge.call, Settings(), lambda: None)
    made.errors = []  # type: ignore[attr-defined]
    made.failed.connect(made.errors.append)  # type: ignore[attr-defined]
    qtbot.addWidget(made)
    made.resize(1100, 700)
    made.show()
    made.set_cards(CARDS)
    made.begin()
    yield made
    made.close_page()
    bridge.close()


def gone_through(qtbot, page: SorterPage, folder: Path) -> None:
    page.choose(folder)
    page.go()
    settled(qtbot, page)


def settled(qtbot, page: SorterPage) -> None:
    """Nothing is under way, and the sentence says what the button would do."""
    qtbot.waitUntil(lambda: not page.busy and page.plan is not None, timeout=60_000)


def counts(page: SorterPage) -> dict[str, int]:
    return {group.key: len(group.items) for group in page.groups.groups.groups}


def press(page: SorterPage, button: Any, qtbot) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_it_says_what_to_do_first_and_offers_what_can_read_photographs(page: SorterPage) -> None:
    assert not page.go_button.isEnabled() and page.first_button.isVisible()
    assert [page.network.itemData(row) for row in range(page.network.count())] == [
        "boxes",
        "whole",
        "face-detector",
        "digits",
    ]
    assert page.action.currentData() == "copy"  # nothing is moved unless somebody asks for it
    page.set_cards(())
    assert "no network" in page._empty.text()


def test_faces_are_offered_while_a_gallery_is_open(qtbot, page: SorterPage) -> None:
    page._known = lambda: (CARDS[-1], "people")  # type: ignore[assignment,return-value]
    page.set_cards(CARDS)
    assert page.network.findData("faces") >= 0


def test_a_folder_is_copied_into_folders_and_undone(qtbot, page: SorterPage, folder: Path) -> None:
    gone_through(qtbot, page, folder)
    assert counts(page) == {ALL: 5, "tag:cat": 2, NOTHING: 2, UNREADABLE: 1}
    target = folder.parent / "holiday sorted"
    assert page.target.text() == str(target) and not target.exists()
    assert page.sentence == f"2 pictures will be copied into 1 folder under {target}; 3 stay."
    assert page.apply_button.text() == "Copy 2 pictures"
    assert "1 could not be read" in page.words
    press(page, page.apply_button, qtbot)
    qtbot.waitUntil(lambda: page.undo_button.isVisible() and not page.busy, timeout=60_000)
    assert sorted(path.name for path in (target / "cat").iterdir()) == ["a.jpg", "b.jpg"]
    assert (folder / "a.jpg").exists()
    settled(qtbot, page)
    assert page.sentence.startswith("Nothing is left to do") and not page.apply_button.isEnabled()
    assert f"2 pictures were copied into folders under {target}" in page._last.text()
    press(page, page.undo_button, qtbot)
    qtbot.waitUntil(lambda: not page.busy and not page.undo_button.isVisible(), timeout=60_000)
    assert not target.exists() and len(list(folder.iterdir())) == 5
    settled(qtbot, page)
    assert page.apply_button.isEnabled() and not page.errors  # type: ignore[attr-defined]


def test_the_rules_change_the_groups_and_the_sentence(qtbot, page: SorterPage, folder: Path) -> None:
    gone_through(qtbot, page, folder)
    page.least.setValue(20)
    assert page.plan is None and not page.apply_button.isEnabled()  # until it is known what it would do
    settled(qtbot, page)
    assert counts(page) == {ALL: 5, "tag:cat": 2, "tag:dog": 1, NOTHING: 1, UNREADABLE: 1}
    assert "into 2 folders" in page.sentence
    page.decider.setCurrentIndex(1)
    settled(qtbot, page)
    assert counts(page)["tag:dog"] == 2
    page.least.setValue(100)
    settled(qtbot, page)
    assert page.sentence == "Nothing will be copied: no picture has a tag that is sure enough; 5 stay."
    page.action.setCurrentIndex(1)
    page.least.setValue(50)
    settled(qtbot, page)
    assert "2 pictures will be moved into" in page.sentence and page.apply_button.text() == "Move 2 pictures"
    page.target.clear()
    qtbot.waitUntil(lambda: page.sentence == "Choose a folder to sort into.")
    page.target.setText(str(folder / "a.jpg"))
    qtbot.waitUntil(lambda: "is a file" in page.sentence, timeout=20_000)
    assert not page.apply_button.isEnabled()


def test_a_picture_is_dragged_to_another_tag_or_given_none(qtbot, page: SorterPage, folder: Path) -> None:
    gone_through(qtbot, page, folder)
    page.least.setValue(20)
    settled(qtbot, page)
    page.groups.choose("tag:cat")
    assert [item.tagged.path.name for item in page.grid.pictures.items] == ["a.jpg", "b.jpg"]
    page.grid.setCurrentIndex(page.grid.pictures.index(0))
    model = page.groups.groups
    rows = {group.key: row for row, group in enumerate(model.groups)}
    data = page.grid.pictures.mimeData([page.grid.currentIndex()])
    onto = Qt.DropAction.CopyAction
    assert not model.dropMimeData(data, onto, -1, -1, model.index(rows[UNREADABLE]))
    assert not model.flags(model.index(rows[ALL])) & Qt.ItemFlag.ItemIsDropEnabled
    assert model.dropMimeData(data, onto, -1, -1, model.index(rows["tag:dog"]))
    settled(qtbot, page)
    assert counts(page)["tag:dog"] == 2 and counts(page)["tag:cat"] == 1
    assert page.groups.chosen == "tag:cat"  # where one was
    page.grid.setCurrentIndex(page.grid.pictures.index(0))
    qtbot.keyClick(page.grid, Qt.Key.Key_Delete)
    settled(qtbot, page)
    assert "tag:cat" not in counts(page) and counts(page)[NOTHING] == 2
    page.groups.choose("tag:dog")
    item = next(item for item in page.grid.pictures.items if item.by_hand)
    assert caption(item) == "dog · by hand"
    page.grid.setCurrentIndex(page.grid.pictures.index(page.grid.pictures.items.index(item)))
    menu = page.make_menu()
    assert menu is not None
    words = [action.text() for action in menu.actions() if not action.isSeparator()]
    assert words == ["cat", "dog", "Another tag…", "No tag: it stays", "What the network says", "Look at it in Live"]
    next(action for action in menu.actions() if action.text() == "What the network says").trigger()
    settled(qtbot, page)
    assert counts(page)["tag:cat"] == 1


def test_another_tag_is_asked_for(qtbot, page: SorterPage, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone_through(qtbot, page, folder)
    page.groups.choose(NOTHING)
    page.grid.selectAll()
    monkeypatch.setattr(sorter.QInputDialog, "getItem", lambda *_: (" a boat ", True))
    menu = page.make_menu()
    assert menu is not None
    next(action for action in menu.actions() if action.text() == "Another tag…").trigger()
    settled(qtbot, page)
    assert counts(page)["tag:a boat"] == 2 and "into 2 folders" in page.sentence


def test_a_list_is_written(qtbot, page: SorterPage, folder: Path) -> None:
    gone_through(qtbot, page, folder)
    page.action.setCurrentIndex(2)
    settled(qtbot, page)
    assert page.sentence.startswith("A list of 5 pictures will be written as pictures.csv and pictures.json in ")
    with qtbot.waitSignal(page.said) as said:
        press(page, page.apply_button, qtbot)
    assert "pictures.csv" in said.args[0]
    assert sorted(path.name for path in (folder.parent / "holiday sorted").iterdir()) == [
        "pictures.csv",
        "pictures.json",
    ]
    assert last_sorting() is None


def test_undo_is_found_again_by_another_window_and_may_be_given_up(qtbot, page: SorterPage, folder: Path) -> None:
    gone_through(qtbot, page, folder)
    page.action.setCurrentIndex(1)
    settled(qtbot, page)
    page.apply()
    qtbot.waitUntil(lambda: page.undo_button.isVisible() and not page.busy, timeout=60_000)
    assert not (folder / "a.jpg").exists()
    bridge = Bridge()
    other = SorterPage(bridge.call, Settings(), lambda: None)
    qtbot.addWidget(other)
    other.show()
    other.begin()
    qtbot.waitUntil(lambda: other.undo_button.isVisible())
    (folder / "a.jpg").write_bytes(b"somebody else's")
    told: list[EngineError] = []
    other.failed.connect(told.append)
    other.undo()
    qtbot.waitUntil(lambda: bool(told) and not other.busy, timeout=60_000)
    assert told[0].message == "1 picture could not be put back." and "place is taken" in told[0].hint
    assert (folder / "b.jpg").exists() and (folder / "a.jpg").read_bytes() == b"somebody else's"
    qtbot.waitUntil(lambda: "1 picture was moved" in other._last.text())
    press(other, other.keep_button, qtbot)
    qtbot.waitUntil(lambda: last_sorting() is None and not other.undo_button.isVisible())
    other.close_page()
    bridge.close()


def test_going_through_can_be_stopped_and_says_how_far_it_is(
    qtbot, page: SorterPage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine

    go_on = threading.Event()

    def slowly(paths: Any, reader: Any, cancelled: Callable[[], bool]) -> Iterator[Tagged]:
        for number, path in enumerate(paths):
            if number == 2:
                go_on.wait(60)
            if cancelled():
                return
            yield tagged(path)

    monkeypatch.setattr(engine, "tag_pictures", slowly, raising=False)
    page.choose(folder)
    page.go()
    qtbot.waitUntil(lambda: "2 of 5 pictures" in page.words, timeout=60_000)
    qtbot.waitUntil(lambda: counts(page).get(ALL) == 2, timeout=60_000)  # what is known is shown
    assert not page.go_button.isEnabled() and not page.apply_button.isEnabled()
    press(page, page.stop_button, qtbot)
    assert page.words == "Stopping…"
    go_on.set()
    settled(qtbot, page)
    assert counts(page)[ALL] == 2 and page.apply_button.text() == "Copy 2 pictures"


def test_a_folder_without_pictures_is_said(qtbot, page: SorterPage, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    page.choose(tmp_path / "empty")
    with qtbot.waitSignal(page.failed) as failed:
        page.go()
    assert "no pictures" in failed.args[0].message
    assert not page.busy and page.go_button.isEnabled()


def test_leaving_by_escape_and_opening_a_picture(qtbot, page: SorterPage, folder: Path) -> None:
    gone_through(qtbot, page, folder)
    page.grid.setFocus()
    page.grid.setCurrentIndex(page.grid.pictures.index(1))
    with qtbot.waitSignal(page.opened) as opened:
        qtbot.keyClick(page.grid, Qt.Key.Key_Return)
    assert opened.args[0] == folder / "b.jpg"
    with qtbot.waitSignal(page.closed):
        qtbot.keyClick(page.grid, Qt.Key.Key_Escape)


def test_everything_has_a_name_for_those_who_cannot_see_it(page: SorterPage) -> None:
    for widget in (page.network, page.least, page.decider, page.groups, page.grid, page.action, page.target, page.bar):
        assert widget.accessibleName(), widget
    for button in (page.folder_button, page.go_button, page.apply_button, page.undo_button, page.keep_button):
        assert button.text() and button.toolTip()


def test_sentences_count_one_and_many(tmp_path: Path) -> None:
    one = tmp_path / "a.jpg"
    one.write_bytes(b"1")
    pictures = [tagged_as(one, "cat"), tagged_as(tmp_path / "gone.jpg", "cat")]
    plan = plan_sorting(pictures, action="move", folder=tmp_path, target=tmp_path / "out", least=0.5)
    assert plan_words(plan) == (
        f"1 picture will be moved into 1 folder under {tmp_path / 'out'}; 0 stay. 1 is not where it was."
    )


def tagged_as(path: Path, label: str) -> Tagged:
    return Tagged(path, (Tag(label, 0.9),), jpeg(), size=1)


def test_ten_thousand_pictures_unpack_only_what_is_seen(qtbot, tmp_path: Path) -> None:
    from engine import group_pictures

    small = jpeg()
    pictures = [Tagged(tmp_path / f"{number}.jpg", (Tag("cat", 0.9),), small) for number in range(10_000)]
    items = group_pictures(pictures, least=0.5)
    grid = PictureGrid()
    qtbot.addWidget(grid)
    grid.resize(900, 600)
    grid.show()
    grid.show_items(items[:9_000], plain=True)
    grid.setCurrentIndex(grid.pictures.index(8_000))
    grid.show_items(items, plain=True)
    assert grid.pictures.rowCount(QModelIndex()) == 10_000
    assert grid.currentIndex().row() == 8_000  # what came at the end disturbs nobody
    delegate = grid._delegate

    def painted() -> bool:
        return bool(delegate._unpacked) and not delegate.missed

    qtbot.waitUntil(painted, timeout=60_000)
    for row in range(0, 10_000, 1_500):
        grid.scrollTo(grid.pictures.index(row), PictureGrid.ScrollHint.PositionAtTop)
        QApplication.processEvents()
        qtbot.waitUntil(painted, timeout=60_000)
    assert 20 < len(delegate._unpacked) <= 600
    assert grid.indexAt(QPoint(30, 30)).isValid() and BUDGET < 0.016


def test_a_group_does_not_tell_its_pictures_in_a_log() -> None:
    assert "Ada" not in repr(Group("tag:1", "Ada", (), "Ada")).replace("tag:", "")


def test_the_real_window_sorts_with_a_real_detector(qtbot, home: Path, tmp_path: Path) -> None:
    write_detector(home, "finder")
    place = tmp_path / "pictures"
    (place / "more").mkdir(parents=True)
    for name in ("1.png", "2.png", "more/1.png"):
        level = np.random.default_rng(len(name)).integers(0, 255, (60, 80, 3), np.uint8)
        cv2.imwrite(str(place / name), level)
    (place / "broken.jpg").write_bytes(b"no picture")
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: window.bridge.state is not None and window.bridge.state.phase == "ready", timeout=240_000)
    qtbot.waitUntil(lambda: window._card("finder") is not None, timeout=60_000)
    window.set_mode("live")
    window.sort_action.trigger()
    assert window.mode == "sort" and not any(window._docks[name].isVisible() for name in ("answer", "inside"))
    page = window.sorter
    page.network.setCurrentIndex(page.network.findData("finder"))
    page.choose(place)
    page.go()
    qtbot.waitUntil(lambda: not page.busy and page.plan is not None, timeout=240_000)
    assert counts(page) == {ALL: 4, "tag:person": 3, NOTHING: 0, UNREADABLE: 1}
    assert "1 gets a number" in page.sentence
    page.apply()
    qtbot.waitUntil(lambda: not page.busy and page.undo_button.isVisible(), timeout=60_000)
    found = sorted(path.name for path in (tmp_path / "pictures sorted" / "person").iterdir())
    assert found == ["1 (2).png", "1.png", "2.png"]
    qtbot.keyClick(page, Qt.Key.Key_Escape)
    assert window.mode == "live"
    window.close()
