"""Drawing boxes and teaching with them: the picture by mouse and keys, the page with its set, the whole way round."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit

from engine import (
    CaptureState,
    Detections,
    EngineError,
    Frame,
    LabelledBox,
    LabelledSet,
    ModelCard,
    Preprocess,
    Result,
    SourceInfo,
    Timings,
)
from gui.bridge import Bridge
from gui.companions import Companions
from gui.label_picture import DrawnBox, LabelPicture
from gui.labeller import Labeller
from gui.live_view import LiveStage
from gui.settings import Settings
from gui.sight import Sight
from gui.window import MainWindow
from tests.gui.conftest import open_window, write_detector

CUP = DrawnBox("cup", (20.0, 10.0, 60.0, 50.0))
MAYBE = DrawnBox("plate", (100.0, 40.0, 140.0, 90.0), 0.6)


# --- the picture


@pytest.fixture
def picture(qtbot) -> LabelPicture:
    """A picture of 200 x 100 pixels, shown three times as large."""
    picture = LabelPicture()
    qtbot.addWidget(picture)
    picture.resize(600, 300)
    picture.show()
    image = QImage(200, 100, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.gray)
    picture.show_picture(image, (CUP, MAYBE))
    picture.label = "cup"
    return picture


def drag(picture: LabelPicture, start: tuple[float, float], end: tuple[float, float], held=None) -> None:
    """Press at a place of the picture, move, let go."""
    scale = picture._view.place.width() / picture._image.width()
    corner = picture._view.place.topLeft()
    held = held or Qt.KeyboardModifier.NoModifier
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    points = [start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), end]
    kinds = [QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.MouseMove, QEvent.Type.MouseButtonRelease]
    for kind, (x, y) in zip(kinds, [*points, end], strict=True):
        at = QPointF(corner.x() + x * scale, corner.y() + y * scale)
        button = none if kind == QEvent.Type.MouseMove else left
        down = none if kind == QEvent.Type.MouseButtonRelease else left
        QApplication.sendEvent(picture, QMouseEvent(kind, at, picture.mapToGlobal(at), button, down, held))


def near(box: DrawnBox, wanted: tuple[float, float, float, float]) -> bool:
    return bool(np.abs(np.array(box.xyxy) - wanted).max() < 1.0)


def test_a_drag_draws_a_box_of_the_class_at_hand(picture: LabelPicture, qtbot) -> None:
    with qtbot.waitSignal(picture.edited) as told:
        drag(picture, (150, 20), (70, 90))
    assert told.args[1] == "new" and len(picture.boxes) == 3 and picture.chosen == 2
    assert near(picture.boxes[2], (70, 20, 150, 90)) and picture.boxes[2].label == "cup"
    drag(picture, (180, 80), (400, 300))
    assert near(picture.boxes[3], (180, 80, 200, 100)), "it ends where the picture does"
    with qtbot.assertNotEmitted(picture.edited):
        drag(picture, (5, 90), (5.5, 90.5))
    assert picture.chosen == -1, "a click beside all boxes chooses none"


def test_boxes_are_moved_and_resized_by_the_mouse(picture: LabelPicture) -> None:
    drag(picture, (40, 30), (40, 30))
    assert picture.chosen == 0
    drag(picture, (40, 30), (50, 45))
    assert near(picture.boxes[0], (30, 25, 70, 65))
    drag(picture, (70, 65), (90, 75))  # a corner
    assert near(picture.boxes[0], (30, 25, 90, 75))
    drag(picture, (30, 50), (10, 10))  # an edge: only across
    assert near(picture.boxes[0], (10, 25, 90, 75))
    drag(picture, (10, 50), (100, 50))  # over the other edge: it is turned round
    assert near(picture.boxes[0], (90, 25, 100, 75))
    picture.choose(1)
    drag(picture, (120, 60), (121, 61))
    assert not picture.boxes[1].suggested, "who moves a suggestion means it"
    drag(picture, (110, 50), (130, 80), Qt.KeyboardModifier.ControlModifier)
    assert len(picture.boxes) == 3, "with Ctrl one draws upon another box"


def test_everything_can_be_done_by_keys(picture: LabelPicture, qtbot) -> None:
    picture.setFocus()
    key, shift, control = Qt.Key, Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier

    def press(what: Qt.Key, held=Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(picture, what, held)

    press(key.Key_Tab)
    assert picture.chosen == 0 and "Box 1 of 2: cup, 40 by 40" in picture.accessibleDescription()
    press(key.Key_Right)
    press(key.Key_Down, control)
    assert picture.boxes[0].xyxy == (21, 20, 61, 60)
    press(key.Key_Left, shift)
    press(key.Key_Up, shift | control)
    assert picture.boxes[0].xyxy == (21, 20, 60, 50)
    press(key.Key_Tab)
    assert picture.chosen == 1 and "a suggestion" in picture.accessibleDescription()
    press(key.Key_Return)
    assert picture.boxes[1] == MAYBE.accepted()
    with qtbot.waitSignal(picture.class_wanted) as told:
        press(key.Key_3)
    assert told.args == [2]
    press(key.Key_Tab)
    assert picture.chosen == -1, "after the last box Tab goes on to what comes after the picture"
    press(key.Key_Tab)
    press(key.Key_Delete)
    assert picture.boxes == (MAYBE.accepted(),) and picture.chosen == 0
    press(key.Key_D)
    assert len(picture.boxes) == 2 and picture.chosen == 1 and near(picture.boxes[1], (75, 37.5, 125, 62.5))
    press(key.Key_Delete)
    assert len(picture.boxes) == 1
    for _ in range(300):
        press(key.Key_Left, control)
    assert min(box.xyxy[0] for box in picture.boxes) == 0, "no key moves a box out of the picture"
    press(key.Key_Escape)
    assert picture.chosen == -1


def test_suggestions_are_accepted_and_rejected_together(picture: LabelPicture) -> None:
    QTest.keyClick(picture, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert picture.boxes == (CUP, MAYBE.accepted())
    picture.show_boxes((CUP, MAYBE, MAYBE))
    picture.reject_all()
    assert picture.boxes == (CUP,)


def test_zoomed_in_boxes_stay_on_their_things(picture: LabelPicture) -> None:
    picture.zoom(4, QPointF(120, 90))
    drag(picture, (45, 35), (45, 35))
    assert picture.chosen == 0
    drag(picture, (45, 35), (48, 36))
    assert near(picture.boxes[0], (23, 11, 63, 51))
    picture.fit()
    assert picture.place_of(0).left() == pytest.approx(69, abs=2)


# --- the page


@pytest.fixture
def page(qtbot, own_home: Path) -> Iterator[Labeller]:
    """The page by itself, without a network."""
    settings = Settings()
    bridge = Bridge()
    sight = Sight(settings)
    companions = Companions(bridge, settings)
    live = LiveStage(bridge, settings, sight, companions)
    page = Labeller(bridge, settings, live, sight)
    page.failures = []  # type: ignore[attr-defined]
    page.failed.connect(page.failures.append)  # type: ignore[attr-defined]
    for widget in (live, page):
        qtbot.addWidget(widget)
    page.resize(1280, 700)
    page.show()
    yield page
    bridge.close()
    companions.close()


def frame(level: int = 120, index: int = 0, source: str = "camera") -> Frame:
    return Frame(np.full((100, 200, 3), level, np.uint8), source, index, 1.0 + index)


def finder() -> ModelCard:
    return ModelCard(
        "finder",
        "Finder",
        "detection",
        "detector",
        ("person", "plate"),
        Preprocess("letterbox", 64, 3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        boxes="distances",
    )


def found(shown: Frame, *rows: tuple[tuple[float, float, float, float], float, int]) -> Result:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores, numbers = np.array([row[1] for row in rows], np.float32), np.array([row[2] for row in rows], np.int64)
    detections = Detections(boxes, scores, numbers, ("person", "plate"))
    return Result(shown, "finder", 1, Timings(), detections=detections)


def begun(page: Labeller, qtbot, shown: Frame | None = None, result: Result | None = None) -> None:
    page.begin(shown, result)
    qtbot.waitUntil(lambda: page._open and not page.busy)


def settled(page: Labeller, qtbot) -> None:
    qtbot.waitUntil(lambda: not page.busy and not any(sheet.waits for sheet in page.sheets), timeout=20_000)


def name_it(page: Labeller, name: str) -> None:
    QTest.keyClicks(page.name, name)
    QTest.keyClick(page.name, Qt.Key.Key_Return)


def on_disk(page: Labeller) -> LabelledSet:
    return LabelledSet(page.folder)


def test_an_empty_page_says_what_to_do(page: Labeller, qtbot) -> None:
    begun(page, qtbot)
    assert page.empty.isVisible() and page.empty_open.isVisible() and not page.empty_frame.isVisible()
    assert not page.teach_button.isEnabled() and "two" not in page.count.text()
    assert page.count.text() == "0 of about 20 that are enough"
    assert not page.folder.exists(), "looking at the page writes nothing"


def test_a_box_is_named_when_it_is_the_first_and_stored_at_once(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame())
    assert page.picture.isVisible() and not page.empty.isVisible()
    drag(page.picture, (20, 10), (60, 50))
    assert page.name.hasFocus() and "What is it" in page.hint.text()
    settled(page, qtbot)
    assert not page.folder.exists(), "what has no name is not stored"
    name_it(page, " my  cup ")
    settled(page, qtbot)
    (stored,) = on_disk(page).pictures
    assert stored.boxes[0].label == "my cup" and np.abs(np.array(stored.boxes[0].xyxy) - (20, 10, 60, 50)).max() < 1
    assert page.count.text() == "1 of about 20 that are enough" and page.stored.text() == "Stored"
    assert np.array_equal(on_disk(page).read(stored.number), frame().image)
    assert page.list.item(0).text() == "1  my cup · 1 box"
    page.picture.setFocus()
    drag(page.picture, (100, 10), (140, 50))
    assert page.picture.boxes[1].label == "my cup", "the next one is of the same class"


def test_undo_and_redo_go_through_all_pictures(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame(10))
    drag(page.picture, (20, 10), (60, 50))
    name_it(page, "cup")
    page.picture.choose(0)
    for _ in range(5):
        QTest.keyClick(page.picture, Qt.Key.Key_Right)
    page._take_frame(frame(20, 1), None)
    drag(page.picture, (100, 10), (140, 50))
    settled(page, qtbot)
    assert [len(each.boxes) for each in on_disk(page).pictures] == [1, 1]
    page.remove_picture()
    settled(page, qtbot)
    assert len(on_disk(page).pictures) == 1 and len(page.sheets) == 1
    page.undo()
    settled(page, qtbot)
    assert len(on_disk(page).pictures) == 2 and page.where.text() == "2 of 2"
    page.undo()  # the box in the second picture
    settled(page, qtbot)
    assert len(on_disk(page).pictures) == 1, "a picture without a box is none of the set"
    page.undo()  # five steps by keys are one
    settled(page, qtbot)
    assert page.current is page.sheets[0] and near(page.picture.boxes[0], (20, 10, 60, 50))
    settled(page, qtbot)
    for _ in range(2):
        page.redo()
    settled(page, qtbot)
    stored = on_disk(page).pictures
    assert [len(each.boxes) for each in stored] == [1, 1] and stored[0].boxes[0].xyxy[0] == pytest.approx(25, abs=1)


def labelled_frames(page: Labeller, qtbot, count: int) -> None:
    """Frames of a video, each with a box, all of it stored."""
    begun(page, qtbot, frame(10, 0, "clip.avi"))
    for index in range(count):
        if index:
            page._take_frame(frame(10 * (index + 1), index, "clip.avi"), None)
        drag(page.picture, (20, 10), (60, 50))
        if not index:
            name_it(page, "cup")
    settled(page, qtbot)


def levels(page: Labeller) -> list[int]:
    """The brightness of each picture of the set: which of the frames it is."""
    stored = on_disk(page)
    return [int(stored.read(each.number)[0, 0, 0]) for each in stored.pictures]


def test_steps_undone_faster_than_they_are_stored_come_back(page: Labeller, qtbot) -> None:
    labelled_frames(page, qtbot, 3)
    for again in range(2):
        for _ in range(3):
            page.undo()
        if again:
            settled(page, qtbot)
            assert not on_disk(page).pictures and page.stored.text() == ""
        for _ in range(3):
            page.redo()
        settled(page, qtbot)
        assert levels(page) == [10, 20, 30] and page.stored.text() == "Stored"
    for _ in range(3):
        page.undo()
    settled(page, qtbot)
    for sheet in page.sheets:  # each is shown, whether it is in the set or was taken out
        page._show_sheet(sheet)
        qtbot.waitUntil(lambda: not page.busy and not page.picture.empty)
    for _ in range(3):
        page.redo()
    with qtbot.waitSignal(page.teach, timeout=20_000):
        page.begin_teaching()
    assert levels(page) == [10, 20, 30] and not page.failures  # type: ignore[attr-defined]


def test_a_picture_that_comes_back_leaves_the_one_after_it_alone(page: Labeller, qtbot) -> None:
    labelled_frames(page, qtbot, 2)
    page.remove_picture()
    settled(page, qtbot)
    page._take_frame(frame(30, 2, "clip.avi"), None)
    drag(page.picture, (20, 10), (60, 50))
    settled(page, qtbot)
    page._show_sheet(page.sheets[0])
    qtbot.waitUntil(lambda: not page.busy)
    drag(page.picture, (100, 10), (140, 50))
    settled(page, qtbot)
    assert levels(page) == [10, 30]
    for _ in range(3):  # the second box, the third picture's box, the second picture
        page.undo()
    settled(page, qtbot)
    assert levels(page) == [10, 20] and [len(each.boxes) for each in on_disk(page).pictures] == [1, 1]


def test_an_error_that_nobody_expected_holds_nothing_up(page: Labeller, qtbot, monkeypatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise ValueError("nobody expected this")

    labelled_frames(page, qtbot, 2)
    monkeypatch.setattr(LabelledSet, "change", wrong)
    drag(page.picture, (100, 10), (140, 50))
    qtbot.waitUntil(lambda: not page.busy)
    assert isinstance(page.failures[-1], ValueError) and page.stored.text() == "Not stored"  # type: ignore[attr-defined]
    monkeypatch.undo()
    page._take_frame(frame(30, 2), None)
    drag(page.picture, (20, 10), (60, 50))
    settled(page, qtbot)
    assert levels(page) == [10, 20, 30]


def test_a_box_that_was_undone_is_redone_after_another_frame_was_taken(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame(10))
    page.picture.label = "cup"
    drag(page.picture, (20, 10), (60, 50))
    page.undo()
    page._take_frame(frame(20, 1), None)
    page.redo()
    settled(page, qtbot)
    assert page.where.text() == "1 of 2" and len(page.picture.boxes) == 1 and levels(page) == [10]
    page.remove_picture()
    settled(page, qtbot)
    assert page.where.text() == "1 of 1" and levels(page) == []


def test_what_the_network_finds_is_suggested_and_not_stored_until_it_is_meant(page: Labeller, qtbot) -> None:
    page._sight.set_card(finder())
    shown = frame()
    rows = (((10, 10, 50, 50), 0.9, 0), ((100, 20, 160, 80), 0.5, 1), ((0, 0, 9, 9), 0.05, 0))
    begun(page, qtbot, shown, found(shown, *rows))
    assert [box.label for box in page.picture.boxes] == ["person", "plate"], "what is too unsure is not suggested"
    assert page.suggested.text() == "2 suggestions of Finder" and page.accept_button.isVisible()
    settled(page, qtbot)
    assert not page.folder.exists()
    page.picture.choose(1)
    QTest.keyClick(page.picture, Qt.Key.Key_Return)
    settled(page, qtbot)
    assert [box.label for box in on_disk(page).pictures[0].boxes] == ["plate"] and page.classes == ("plate",)
    page._take_result(found(shown, *rows))  # asked once more
    assert [box.suggested for box in page.picture.boxes] == [False, True], "what has a box is not suggested again"
    page.picture.reject_all()
    assert len(page.picture.boxes) == 1


def test_a_picture_with_nothing_to_find_teaches_too(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame())
    QTest.keyClick(page.picture, Qt.Key.Key_X)
    settled(page, qtbot)
    assert page.nothing.isChecked() and page.labelled == 1 and on_disk(page).pictures[0].boxes == ()
    drag(page.picture, (20, 10), (60, 50))
    name_it(page, "cup")
    assert not page.nothing.isChecked() and not page.nothing.isEnabled()
    settled(page, qtbot)
    assert len(on_disk(page).pictures[0].boxes) == 1


def test_keys_give_classes_and_names_can_be_changed(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame())
    QTest.keyClick(page.picture, Qt.Key.Key_N)
    assert page.name.hasFocus()
    name_it(page, "cup")
    QTest.keyClick(page.picture, Qt.Key.Key_N)
    name_it(page, "nib")  # letters that are keys elsewhere
    assert page.classes == ("cup", "nib") and page.picture.label == "nib"
    drag(page.picture, (20, 10), (60, 50))
    QTest.keyClick(page.picture, Qt.Key.Key_1)
    assert page.picture.boxes[0].label == "cup"
    settled(page, qtbot)
    page.rename("cup", "mug")
    settled(page, qtbot)
    assert page.classes == ("mug", "nib") and page.picture.boxes[0].label == "mug"
    assert on_disk(page).pictures[0].boxes[0].label == "mug"
    page.undo()
    page.undo()
    settled(page, qtbot)
    assert page.picture.boxes[0].label == "nib"
    page.rename("cup", "mug")
    settled(page, qtbot)
    page.rename("nib", "mug")
    settled(page, qtbot)
    assert isinstance(page.failures[-1], EngineError) and page.classes == ("mug", "nib")  # type: ignore[attr-defined]
    page.list.setCurrentRow(0)
    page._remove_class()
    settled(page, qtbot)
    assert page.classes == ("nib",)


def test_a_renaming_is_a_step_like_any_other(page: Labeller, qtbot) -> None:
    def names() -> tuple[tuple[str, ...], set[str]]:
        stored = on_disk(page)
        return stored.classes, {each.label for one in stored.pictures for each in one.boxes}

    labelled_frames(page, qtbot, 2)
    page.rename("cup", "mug")
    settled(page, qtbot)
    drag(page.picture, (100, 10), (140, 50))
    settled(page, qtbot)
    assert names() == (("mug",), {"mug"}) and page.classes == ("mug",)
    for _ in range(3):  # faster than it is stored: the second box, the renaming, the second picture's first box
        page.undo()
    settled(page, qtbot)
    assert names() == (("cup",), {"cup"}) and page.classes == ("cup",) and levels(page) == [10]
    for _ in range(3):
        page.redo()
    settled(page, qtbot)
    assert names() == (("mug",), {"mug"}) and [len(each.boxes) for each in on_disk(page).pictures] == [1, 2]
    assert page.picture.label == "mug"

    name_it(page, "cup")  # the old name is another class now
    page.undo()
    page.undo()
    settled(page, qtbot)
    assert "cup" in str(page.failures[-1]) and page.classes == ("mug", "cup")  # type: ignore[attr-defined]
    page.undo()
    settled(page, qtbot)
    assert levels(page) == [10] and names()[1] == {"mug"}, "the steps before it can be undone all the same"


def test_what_is_drawn_while_another_set_is_opened_belongs_to_the_one_before(
    page: Labeller, qtbot, tmp_path: Path
) -> None:
    labelled_frames(page, qtbot, 2)
    before = page.folder
    page.open_set(tmp_path / "another")
    drag(page.picture, (100, 10), (140, 50))
    qtbot.waitUntil(lambda: page.folder == tmp_path / "another" and not page.busy)
    assert [len(each.boxes) for each in LabelledSet(before).pictures] == [1, 2]
    assert page.labelled == 0 and not page.folder.exists()


def test_pictures_are_opened_and_a_damaged_one_is_said_so(page: Labeller, qtbot, tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), np.full((60, 80, 3), 50 * number, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    begun(page, qtbot)
    page.open([tmp_path / "0.jpg", tmp_path / "broken.jpg", tmp_path / "1.jpg", tmp_path / "2.jpg"])
    settled(page, qtbot)
    assert page.where.text() == "1 of 4"
    drag(page.picture, (10, 10), (40, 40))
    name_it(page, "cup")
    QTest.keyClick(page.picture, Qt.Key.Key_PageDown)
    settled(page, qtbot)
    assert len(page.failures) == 1 and "broken.jpg" in str(page.failures[0])  # type: ignore[attr-defined]
    assert page.where.text() == "2 of 3" and page.current is not None and page.current.title == "1.jpg"
    settled(page, qtbot)
    page.open([tmp_path / "broken.jpg"])
    page.remove_picture()  # before it could be read
    settled(page, qtbot)
    assert len(page.failures) == 2 and page.where.text() == "3 of 3"  # type: ignore[attr-defined]
    page.turn(-1)
    settled(page, qtbot)
    drag(page.picture, (10, 10), (40, 40))
    settled(page, qtbot)
    kept = [on_disk(page).file_of(each.number) for each in on_disk(page).pictures]
    assert [path.read_bytes() for path in kept] == [(tmp_path / f"{n}.jpg").read_bytes() for n in (0, 1)]
    assert page.labelled == 2 and page.teach_button.isEnabled()


def test_a_set_is_opened_again_and_another_one_begun(page: Labeller, qtbot, tmp_path: Path) -> None:
    made = LabelledSet(tmp_path / "made elsewhere")
    for number in range(3):
        made.add(np.full((60, 80, 3), 40 * number, np.uint8), [LabelledBox("dog", (5.0, 5.0, 30.0, 40.0))])
    page.open_set(tmp_path / "made elsewhere")
    qtbot.waitUntil(lambda: page.folder == tmp_path / "made elsewhere" and page._open and not page.busy)
    assert page.classes == ("dog",) and page.labelled == 3 and page.where.text() == "3 of 3"
    qtbot.waitUntil(lambda: not page.picture.empty)
    assert [box.label for box in page.picture.boxes] == ["dog"]
    assert page._settings.text("label-set") == str(tmp_path / "made elsewhere")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.json").write_text("{", encoding="utf-8")
    page.open_set(tmp_path / "broken")
    qtbot.waitUntil(lambda: bool(page.failures))  # type: ignore[attr-defined]
    assert page.folder == tmp_path / "made elsewhere" and page.labelled == 3, "the one that was open stays"
    page.open_set(tmp_path / "fresh")
    qtbot.waitUntil(lambda: page.folder == tmp_path / "fresh")
    assert page.labelled == 0 and page.classes == () and page.empty.isVisible()


def test_a_full_disk_is_said_and_the_next_change_is_stored(page: Labeller, qtbot, monkeypatch) -> None:
    begun(page, qtbot, frame())
    monkeypatch.setattr(LabelledSet, "add", full)
    drag(page.picture, (20, 10), (60, 50))
    name_it(page, "cup")
    qtbot.waitUntil(lambda: bool(page.failures) and not page.busy)  # type: ignore[attr-defined]
    assert page.stored.text() == "Not stored" and len(page.picture.boxes) == 1
    monkeypatch.undo()
    page.picture.choose(0)
    QTest.keyClick(page.picture, Qt.Key.Key_Right)
    settled(page, qtbot)
    assert page.stored.text() == "Stored" and len(on_disk(page).pictures) == 1


def full(*_: object, **__: object) -> None:
    raise EngineError("The disk is full.")


def test_a_window_that_goes_stores_what_is_not_stored_yet(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame())
    drag(page.picture, (20, 10), (60, 50))
    name_it(page, "cup")
    drag(page.picture, (100, 10), (140, 50))
    page._bridge.close()  # before anything of it was heard
    page.finish()
    assert [len(each.boxes) for each in on_disk(page).pictures] == [2]


def test_teaching_waits_until_all_is_stored(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame(10))
    for index in range(3):
        drag(page.picture, (20, 10), (60, 50))
        if not index:
            name_it(page, "cup")
        assert page.teach_button.isEnabled() == (index >= 1)
        if index < 2:
            page._take_frame(frame(10 * index, index + 1), None)
    with qtbot.waitSignal(page.teach, timeout=20_000) as told:
        QTest.keyClick(page.picture, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    config = told.args[0]
    assert config.data == "coco" and config.classes == "cup" and Path(config.folder) == page.folder
    values = [json.loads((page.folder / f"{part}.json").read_text(encoding="utf-8")) for part in ("train", "val")]
    assert [len(value["annotations"]) for value in values] == [2, 1]


def test_every_button_has_a_name_and_says_what_it_does(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame())
    for button, _ in page._icons:
        assert button.accessibleName() and button.toolTip()
    for other in (page.teach_button, page.close_button, page.accept_button, page.suggest_button, page.set_button):
        assert other.toolTip()
    assert all(not action.shortcut().isEmpty() and action.text() for action in page.keys)
    assert page.picture.accessibleName() and isinstance(page.name, QLineEdit) and page.name.accessibleName()


class Source:
    """Stands for what plays: keeps what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def seek(self, index: int) -> None:
        self.asked.append(f"seek {index}")

    def stop(self) -> None:
        self.asked.append("stop")


def test_a_camera_is_looked_through_before_its_next_frame_is_taken(page: Labeller, qtbot) -> None:
    begun(page, qtbot, frame(10))
    source = page._bridge.source = Source()  # type: ignore[assignment]
    page._bridge.source_state = CaptureState("paused", SourceInfo("cam", "camera", 200, 100, 30.0, None, live=True))
    QTest.keyClick(page.picture, Qt.Key.Key_F)
    assert source.asked == ["resume"] and page.frame_button.text() == "Take this frame"
    now = page._bridge.now()
    page._bridge.preview.emit(Frame(np.zeros((100, 200, 3), np.uint8), "cam", 1, now))  # of when it was paused
    QTest.keyClick(page.picture, Qt.Key.Key_F)
    assert page.frame_button.text() == "Take this frame", "there is no fresh picture yet"
    fresh = [Frame(np.full((100, 200, 3), 99, np.uint8), "cam", index, now + index) for index in (1, 2)]
    for each in fresh:
        page._bridge.preview.emit(each)
    drag(page.picture, (20, 10), (60, 50))
    assert not page.picture.boxes, "nothing is drawn on what moves"
    QTest.keyClick(page.picture, Qt.Key.Key_F)
    assert source.asked[-1] == "pause" and page.current is not None and page.current.frame is fresh[1]
    assert len(page.sheets) == 1, "a frame that nobody has touched gives way"
    QTest.keyClick(page.picture, Qt.Key.Key_F)
    QTest.keyClick(page.picture, Qt.Key.Key_Escape)
    assert page.current.frame is fresh[1] and page.frame_button.text() == "Next frame" and source.asked[-1] == "pause"
    page.begin(fresh[1], None)
    assert len(page.sheets) == 1, "the same frame comes onto the desk once"
    page._bridge.source = None


def test_the_next_frame_of_a_video_is_a_second_later(page: Labeller, qtbot) -> None:
    begun(page, qtbot)
    source = page._bridge.source = Source()  # type: ignore[assignment]
    page._bridge.source_state = CaptureState("paused", SourceInfo("v", "video", 200, 100, 25.0, 90, live=False), 1)
    for wanted in (25, 50):
        page.next_frame()
        assert source.asked[-1] == f"seek {wanted}"
        page._bridge.preview.emit(Frame(np.zeros((100, 200, 3), np.uint8), "v", wanted, page._bridge.now() + wanted))
        assert page.current is not None and page.current.title == f"v {wanted + 1}"
    page._bridge.source = None


def test_a_damaged_set_stores_nothing_and_another_one_takes_what_was_drawn(
    page: Labeller, qtbot, tmp_path: Path
) -> None:
    page.folder.mkdir(parents=True)
    (page.folder / "train.json").write_text("{", encoding="utf-8")
    page.begin(frame(), None)
    drag(page.picture, (20, 10), (60, 50))
    name_it(page, "cup")
    qtbot.waitUntil(lambda: bool(page.failures) and not page.busy)  # type: ignore[attr-defined]
    assert page.stored.text() == "Not stored"
    page.open_set(tmp_path / "another")
    qtbot.waitUntil(lambda: page.folder == tmp_path / "another" and not page.busy, timeout=20_000)
    settled(page, qtbot)
    assert [box.label for box in on_disk(page).pictures[0].boxes] == ["cup"]


# --- the whole window


@pytest.fixture
def window(qtbot, home: Path) -> Iterator[MainWindow]:
    """The window in Live, with a detector that finds four persons everywhere and a video."""
    write_detector(home)
    path = home / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (160, 120))
    for index in range(60):
        writer.write(np.full((120, 160, 3), 4 * index, np.uint8))
    writer.release()
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: window.choice.findData("finder") >= 0, timeout=120_000)
    window.set_mode("live")
    window.live.open(str(path))
    qtbot.waitUntil(lambda: window.sight.shown is not None and len(window.sight.shown) == 4, timeout=120_000)
    yield window
    window.close()


def test_a_frame_of_live_is_labelled_with_all_the_room_there_is(window: MainWindow, qtbot) -> None:
    window._docks["counting"].show()
    window._dock_by_hand("counting", True)
    qtbot.waitUntil(lambda: window._front_dock() == "counting")
    docks = {name: dock.isVisible() for name, dock in window._docks.items()}
    QTest.mouseClick(window.live.label, Qt.MouseButton.LeftButton)
    page = window.labeller
    assert page is not None and window.labelling and page.isVisible()
    assert not any(dock.isVisible() for dock in window._docks.values()), "the page has the room for itself"
    qtbot.waitUntil(lambda: page.current is not None and len(page.picture.boxes) == 4, timeout=20_000)
    page.picture.reject_all()
    drag_in(page.picture)
    name_it(page, "cup")
    settled(page, qtbot)
    assert page.labelled == 1 and page.frame_button.isEnabled()
    page.close_page()
    assert not window.labelling and {name: dock.isVisible() for name, dock in window._docks.items()} == docks
    qtbot.waitUntil(lambda: window._front_dock() == "counting")


def drag_in(picture: LabelPicture) -> None:
    place = picture._view.place
    start = QPoint(round(place.x() + place.width() * 0.2), round(place.y() + place.height() * 0.2))
    end = QPoint(round(place.x() + place.width() * 0.6), round(place.y() + place.height() * 0.7))
    QTest.mousePress(picture, Qt.MouseButton.LeftButton, pos=start)
    at = QPointF(end)
    left = Qt.MouseButton.LeftButton
    held = Qt.KeyboardModifier.ControlModifier
    move = QMouseEvent(QEvent.Type.MouseMove, at, picture.mapToGlobal(at), Qt.MouseButton.NoButton, left, held)
    QApplication.sendEvent(picture, move)
    QTest.mouseRelease(picture, left, pos=end)
