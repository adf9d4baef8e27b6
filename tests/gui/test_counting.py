"""Counting in Live: drawing zones and lines with mouse and keys, their numbers, alarms, the panel, the real window."""

from __future__ import annotations

import csv
import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QImage
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QWidget

from engine import Event, Line, Result, Zone
from gui.count_chart import CountChart, time_words
from gui.counting import READY, Counting, alarm_words, class_words
from gui.live_picture import LivePicture
from gui.overlay import ALARM, painted_image
from gui.panels.counting import CountingPanel, PlaceDialog, event_words
from gui.place_tool import PlaceTool
from gui.settings import Settings
from gui.sight import Sight
from gui.window import MainWindow
from tests.gui.conftest import open_window, write_detector
from tests.gui.test_sight import CLASSES, card, result

DOOR = ((0.5, 0.9), (0.5, 0.1))
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
PERSON = ("person", 0.9, (10.0, 20.0, 30.0, 60.0))  # in the left half of 120 × 80 pixels
OTHER = ("person", 0.4, (40.0, 20.0, 56.0, 60.0))
CAR = ("car", 0.8, (90.0, 20.0, 110.0, 60.0))


def at_once(work: Callable[[], Any], done: Callable[[Any], None]) -> None:
    done(work())


class Scene:
    """A picture with what is counted in it; frames come ten times a second."""

    def __init__(self, qtbot: Any) -> None:
        self.qtbot = qtbot
        self.settings = Settings()
        self.sight = Sight(self.settings)
        self.sight.set_card(card())
        self.picture = LivePicture(self.sight)
        self.errands: list[tuple[Callable[[], Any], Callable[[Any], None]]] | None = None
        self.counting = Counting(self.settings, self.sight, live=lambda: False, call=self.call)
        self.picture.layers.append(self.counting.over)
        self.counting.redraw.connect(self.picture.refresh)
        self.counting.set_active(True)
        self.counting.set_source("clip.mp4")
        self.tool = PlaceTool(self.picture, self.counting)
        self.refused: list[str] = []
        self.tool.refused.connect(self.refused.append)
        self.index = 0
        qtbot.addWidget(self.picture)
        self.picture.resize(480, 320)
        self.picture.show()
        qtbot.waitExposed(self.picture)

    def call(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """At once, or as soon as somebody does what is in `errands`."""
        if self.errands is None:
            at_once(work, done)
        else:
            self.errands.append((work, done))

    def see(self, *found: Any, tracks: tuple[int, ...] | None = None, seconds: float = 0.1) -> Result:
        for _ in range(max(1, round(seconds * 10))):
            seen = result(*found, tracks=tracks, index=self.index, clock=self.index / 10)
            self.index += 1
            self.sight.take(seen)
            self.counting.take(seen)
            self.picture.show_frame(seen.frame, seen)
        return seen

    def at(self, x: float, y: float) -> QPoint:
        area = self.picture.area
        place = QPointF(area.left() + x * area.width(), area.top() + y * area.height()).toPoint()
        return QPoint(max(1, place.x()), max(1, place.y()))  # (0, 0) would be the middle of the widget

    def click(self, *points: tuple[float, float]) -> None:
        for x, y in points:
            self.qtbot.mouseClick(self.picture, Qt.MouseButton.LeftButton, pos=self.at(x, y))

    def walk(self) -> None:
        """A person goes to the right, through the middle of the picture."""
        for i in range(12):
            x = 10.0 + 8 * i
            self.see(("person", 0.9, (x, 20.0, x + 6, 60.0)), tracks=(7,))

    def key(self, key: Qt.Key) -> None:
        self.qtbot.keyClick(self.picture, key)

    def numbers(self) -> list[str]:
        return [self.counting.numbers(place) for place in self.counting.places]


@pytest.fixture
def scene(qtbot, own_home: Path) -> Scene:
    return Scene(qtbot)


def near(points: Any, wanted: Any) -> bool:
    return np.allclose(np.array(points, float), np.array(wanted, float), atol=0.01)


# --- drawing


def test_a_zone_is_clicked_and_counted_at_once(scene: Scene) -> None:
    scene.see(PERSON, CAR)
    scene.tool.begin("zone")
    assert scene.picture.hint and scene.tool.drawing == "zone"
    scene.click(*LEFT)
    assert scene.counting.places == () and scene.sight.chosen is None, "clicks are corners now"
    scene.key(Qt.Key.Key_Return)
    (zone,) = scene.counting.places
    assert isinstance(zone, Zone) and zone.name == "Zone 1" and near(zone.corners, LEFT)
    assert scene.tool.drawing is None and not scene.picture.hint
    assert scene.numbers() == ["1"], "in the frame that is shown, although none has come since"
    assert [area.text for area in scene.picture.overlay.areas] == ["Zone 1: 1"]
    scene.click((20 / 120, 0.5))
    assert scene.sight.chosen is not None, "the picture has the mouse again"


def test_a_double_click_or_the_first_corner_closes_a_zone(scene: Scene) -> None:
    scene.see()
    scene.tool.begin("zone")
    scene.click((0.1, 0.1), (0.4, 0.1), (0.4, 0.6))
    scene.qtbot.mouseDClick(scene.picture, Qt.MouseButton.LeftButton, pos=scene.at(0.4, 0.6))
    scene.tool.begin("zone")
    scene.click((0.6, 0.1), (0.9, 0.1), (0.9, 0.6), (0.6, 0.1))
    assert [place.name for place in scene.counting.places] == ["Zone 1", "Zone 2"]
    assert [len(place.corners) for place in scene.counting.places] == [3, 3]
    assert scene.picture.zoomed_in is False, "the double click was not the picture's"


def test_a_line_is_two_clicks(scene: Scene) -> None:
    scene.see()
    scene.tool.begin("line")
    scene.click((0.5, 0.9), (0.5, 0.1))
    (line,) = scene.counting.places
    assert isinstance(line, Line) and near(line.corners, ((0.5, 0.9), (0.5, 0.1)))
    scene.walk()
    assert scene.numbers() == ["→ 1 · ← 0"]


def test_escape_and_backspace_while_drawing(scene: Scene) -> None:
    scene.see(PERSON)
    scene.tool.begin("zone")
    scene.click((0.1, 0.1), (0.9, 0.1), (0.2, 0.9))
    scene.key(Qt.Key.Key_Backspace)
    assert len(scene.tool.corners) == 2
    scene.key(Qt.Key.Key_Enter)
    assert scene.refused and scene.tool.drawing == "zone", "two corners are no zone; one may go on"
    scene.key(Qt.Key.Key_Escape)
    assert scene.tool.drawing is None and scene.counting.places == () and not scene.picture.hint
    scene.click((20 / 120, 0.5))
    assert scene.sight.chosen is not None


def test_what_cannot_be_counted_in_is_refused_in_words(scene: Scene) -> None:
    scene.tool.begin("zone")
    assert scene.tool.drawing is None and "no picture" in scene.refused[-1]
    scene.see()
    scene.tool.begin("zone")
    scene.click((0.5, 0.1), (0.5, 0.5), (0.5, 0.9))
    scene.key(Qt.Key.Key_Return)
    assert scene.counting.places == () and "too small" in scene.refused[-1]


def test_the_place_that_is_drawn_is_seen_and_in_no_snapshot(scene: Scene) -> None:
    scene.see()
    before, plain = scene.picture.grab().toImage(), scene.picture.snapshot()
    scene.tool.begin("zone")
    scene.picture.set_hint("")
    scene.click((0.2, 0.2), (0.8, 0.2), (0.8, 0.8))
    assert scene.picture.grab().toImage() != before
    assert scene.picture.snapshot() == plain


# --- corners


def drag(scene: Scene, start: tuple[float, float], end: tuple[float, float]) -> None:
    scene.qtbot.mousePress(scene.picture, Qt.MouseButton.LeftButton, pos=scene.at(*start))
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    for place in (middle, end):
        scene.qtbot.mouseMove(scene.picture, scene.at(*place))
    scene.qtbot.mouseRelease(scene.picture, Qt.MouseButton.LeftButton, pos=scene.at(*end))


def test_corners_are_dragged_while_their_handles_are_shown(scene: Scene) -> None:
    scene.see(PERSON, CAR)
    first = scene.counting.add(((0.1, 0.1), (0.9, 0.05), (0.4, 0.9), (0.1, 0.9)))
    scene.counting.add(((0.6, 0.1), (0.9, 0.1), (0.9, 0.9)), "Bay")
    drag(scene, (0.4, 0.9), (0.3, 0.5))
    assert scene.counting.place(first).corners[2] == (0.4, 0.9), "no handles, nothing to drag"
    scene.tool.show_handles(True)
    drag(scene, (0.4, 0.9), (0.98, 0.98))
    assert near(scene.counting.place(first).corners[2], (0.98, 0.98)) and scene.counting.chosen == first
    assert scene.numbers()[0] == "2", "the car is in it now"
    drag(scene, (0.98, 0.98), (1.3, 1.3))
    assert near(scene.counting.place(first).corners[2], (1, 1)), "not out of the picture"
    scene.tool.show_handles(False)
    drag(scene, (1, 1), (0.5, 0.5))
    assert near(scene.counting.place(first).corners[2], (1, 1))


def test_all_of_the_chosen_place_is_dragged_by_its_edge_as_far_as_the_picture_goes(scene: Scene) -> None:
    scene.see(PERSON, CAR)
    name = scene.counting.add(((0.1, 0.1), (0.3, 0.1), (0.3, 0.5), (0.1, 0.5)))
    other = scene.counting.add(((0.6, 0.2), (0.9, 0.2)))
    drag(scene, (0.75, 0.2), (0.75, 0.6))
    assert near(scene.counting.place(other).corners, ((0.6, 0.2), (0.9, 0.2))), "no handles, nothing to drag"
    scene.tool.show_handles(True)
    drag(scene, (0.2, 0.1), (0.4, 0.3))
    assert near(scene.counting.place(name).corners[0], (0.1, 0.1)), "another one is looked at"
    drag(scene, (0.75, 0.2), (0.65, 0.6))
    assert near(scene.counting.place(other).corners, ((0.5, 0.6), (0.8, 0.6)))
    scene.counting.choose(name)
    drag(scene, (0.2, 0.3), (0.3, 0.5))
    assert near(scene.counting.place(name).corners[0], (0.1, 0.1)), "inside is the picture's own"
    drag(scene, (0.3, 0.3), (0.9, 1.4))
    assert near(scene.counting.place(name).corners, ((0.7, 0.6), (0.9, 0.6), (0.9, 1.0), (0.7, 1.0)))
    scene.qtbot.mousePress(scene.picture, Qt.MouseButton.LeftButton, pos=scene.at(0.8, 1.0))
    for x, y in ((0.8, 1.0), (0.82, 1.0), (0.99, 0.9), (0.8, 0.8)):
        scene.qtbot.mouseMove(scene.picture, scene.at(x, y))
    scene.qtbot.mouseRelease(scene.picture, Qt.MouseButton.LeftButton, pos=scene.at(0.8, 0.8))
    assert near(scene.counting.place(name).corners, ((0.7, 0.4), (0.9, 0.4), (0.9, 0.8), (0.7, 0.8))), "with the mouse"
    scene.counting.undo()
    assert near(scene.counting.place(name).corners, ((0.7, 0.6), (0.9, 0.6), (0.9, 1.0), (0.7, 1.0))), "one step"


def test_steps_are_undone_one_by_one_and_a_drag_is_one(scene: Scene) -> None:
    scene.see(PERSON, CAR)
    assert not scene.counting.can_undo
    name = scene.counting.add(LEFT)
    before = scene.counting.places
    scene.tool.show_handles(True)
    x, y = LEFT[0]
    scene.qtbot.mousePress(scene.picture, Qt.MouseButton.LeftButton, pos=scene.at(x, y))
    for step in range(1, 6):
        scene.qtbot.mouseMove(scene.picture, scene.at(x + step / 100, y + step / 100))
    scene.qtbot.mouseRelease(scene.picture, Qt.MouseButton.LeftButton, pos=scene.at(x + 0.05, y + 0.05))
    moved = scene.counting.places
    assert not near(moved[0].corners, before[0].corners)
    scene.counting.remove(name)
    assert not scene.counting.places and not scene.counting.chosen
    scene.counting.undo()
    assert scene.counting.places == moved and scene.counting.chosen == name and scene.numbers() == ["1"]
    scene.counting.undo()
    assert near(scene.counting.places[0].corners, before[0].corners)
    scene.counting.undo()
    assert not scene.counting.places and not scene.counting.can_undo
    scene.counting.undo()
    scene.counting.add(LEFT)
    scene.counting.set_source("another")
    assert not scene.counting.can_undo, "another source has steps of its own"


def test_a_corner_stays_where_nothing_of_the_line_would_be_left(scene: Scene) -> None:
    scene.see()
    name = scene.counting.add(((0.2, 0.5), (0.8, 0.5)))
    scene.counting.move_corner(name, 0, (0.8, 0.5))
    assert scene.counting.place(name).corners == ((0.2, 0.5), (0.8, 0.5))


# --- what is drawn


def colours(image: QImage) -> set[str]:
    return {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}


def test_an_alarm_is_red_in_the_picture_in_recordings_and_in_snapshots(scene: Scene) -> None:
    scene.see(PERSON)
    name = scene.counting.add(LEFT)
    told: list[str] = []
    calm: list[bool] = []
    scene.counting.alarm.connect(told.append)
    scene.counting.calm.connect(lambda: calm.append(True))
    assert ALARM not in colours(scene.picture.snapshot()) and scene.counting.colour(name) in colours(
        scene.picture.snapshot()
    )
    scene.counting.replace(name, replace(scene.counting.place(name), name="Shelf A", below=2, seconds=1.0))
    scene.see(PERSON, seconds=0.5)
    assert told == [] and ALARM not in colours(scene.picture.snapshot())
    scene.see(PERSON, seconds=3)
    assert told == ["Shelf A: 1, fewer than 2"], "once"
    assert scene.picture.overlay.areas[0].text == "Shelf A: 1, fewer than 2"
    assert ALARM in colours(scene.picture.snapshot()) and not calm
    blank = QImage(120, 80, QImage.Format.Format_RGB32)
    blank.fill(Qt.GlobalColor.white)
    assert ALARM in colours(painted_image(blank, scene.picture.overlay, QFont()))
    scene.see(PERSON, ("person", 0.9, (40.0, 20.0, 56.0, 60.0)), seconds=2)
    assert ALARM not in colours(scene.picture.snapshot()) and told == ["Shelf A: 1, fewer than 2"]
    assert calm == [True]


def test_what_is_not_shown_is_not_counted(scene: Scene) -> None:
    scene.see(PERSON, OTHER)
    scene.counting.add(LEFT)
    assert scene.numbers() == ["2"]
    scene.sight.set_min_score(0.5)
    scene.see(PERSON, OTHER, seconds=2)
    assert scene.numbers() == ["1"]
    scene.sight.show_classes(frozenset({"car"}))
    scene.see(PERSON, OTHER, seconds=2)
    assert scene.numbers() == ["0"]


def test_what_a_zone_names_is_counted_and_shown_whatever_is_hidden(scene: Scene) -> None:
    scene.sight.show_classes(frozenset({"car"}))
    scene.see(PERSON, CAR)
    name = scene.counting.add(READY["whole"][1])
    assert scene.numbers() == ["1"], "of everything that is shown"
    scene.counting.replace(name, replace(scene.counting.place(name), classes=frozenset({"person"})))
    assert scene.numbers() == ["1"] and scene.sight.shown is not None and len(scene.sight.shown) == 2
    assert scene.sight.visible == {"car"} and scene.sight.seen == {"car", "person"}
    scene.counting.set_on(False)
    assert len(scene.sight.shown) == 1
    scene.counting.set_on(True)
    scene.sight.show_classes(frozenset())
    scene.see(PERSON, CAR, seconds=2)
    assert scene.numbers() == ["1"] and len(scene.sight.shown) == 1
    scene.counting.remove(name)
    assert len(scene.sight.shown) == 0


def test_switched_off_or_elsewhere_nothing_is_counted_or_drawn(scene: Scene) -> None:
    scene.see(PERSON)
    scene.counting.add(LEFT)
    scene.counting.set_on(False)
    assert scene.picture.overlay.areas == () and scene.numbers() == [""]
    assert not Counting(scene.settings, scene.sight, live=lambda: False, call=at_once).on, "remembered"
    scene.counting.set_on(True)
    assert scene.numbers() == ["1"] and len(scene.picture.overlay.areas) == 1
    scene.counting.set_active(False)
    scene.see(CAR)
    assert scene.picture.overlay.areas == ()
    scene.counting.set_active(True)
    scene.sight.set_card(None)
    assert scene.counting.numbers(scene.counting.places[0]) == ""


def test_places_are_remembered_for_each_source(scene: Scene) -> None:
    scene.counting.add(LEFT)
    scene.counting.add(((0.2, 0.5), (0.8, 0.5)))
    places = scene.counting.places
    scene.counting.set_source("camera:Webcam")
    assert scene.counting.places == () and scene.counting.chosen == ""
    scene.counting.add(READY["whole"][1], "Whole picture")
    scene.counting.set_source("clip.mp4")
    assert scene.counting.places == places
    again = Counting(Settings(), scene.sight, live=lambda: False, call=at_once)
    again.set_source("camera:Webcam")
    assert [place.name for place in again.places] == ["Whole picture"]
    again.remove("Whole picture")
    again.set_source("clip.mp4")
    again.set_source("camera:Webcam")
    assert again.places == ()


def test_a_source_that_one_comes_back_to_has_its_log_and_its_numbers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.counting.add(DOOR, "Door")
    scene.walk()
    scene.counting.set_source("camera:Webcam")
    assert scene.counting.log == () and scene.counting.values == ()
    scene.counting.set_source("clip.mp4")
    assert [event.kind for event in scene.counting.log] == ["began", "crossed", "total", "total"]
    assert [values.last[-1] for values in scene.counting.values if len(values.last)] == [1, 0]
    monkeypatch.setattr("gui.counting.SOURCES", 3)
    for other in "abc":
        scene.counting.set_source(other)
    scene.counting.set_source("clip.mp4")
    assert [place.name for place in scene.counting.places] == ["Door"]
    assert not any(len(values.seconds) for values in scene.counting.values), "memory is bounded"


def test_what_has_happened_at_a_source_is_known_when_the_window_is_opened_again(scene: Scene) -> None:
    scene.counting.add(DOOR, "Door")
    scene.walk()
    assert scene.counting._saving.isActive(), "in a moment"
    scene.counting.close()
    again = Scene(scene.qtbot)
    assert [event.kind for event in again.counting.log] == ["began", "crossed", "total", "total"]
    again.walk()
    again.counting.set_source("camera:Webcam")
    assert again.counting.log == ()
    again.counting.set_source("clip.mp4")
    assert [event.kind for event in again.counting.log] == ["began", "crossed", "total", "total"] * 2
    again.counting.start_again()
    assert again.counting.log == ()
    again.counting.close()
    assert Scene(scene.qtbot).counting.log == ()


def test_what_is_done_on_the_disk_is_done_in_its_order(scene: Scene) -> None:
    scene.counting.add(DOOR, "Door")
    scene.walk()
    scene.counting.close()
    again = Scene(scene.qtbot)
    again.errands = errands = []
    again.counting.set_source("camera:Webcam")
    again.counting._counters.clear()
    again.counting.set_source("clip.mp4")
    again.walk()
    assert [event.kind for event in again.counting.log] == ["began", "crossed"], "the disk is slow"
    again.counting._save()
    while errands:
        assert len(errands) == 1, "one after the other"
        at_once(*errands.pop())
    assert [event.kind for event in again.counting.log] == ["began", "crossed", "total", "total", "began", "crossed"]
    again.counting._counters.clear()
    again.counting.set_source("camera:Webcam")
    again.counting._counters.clear()
    again.counting.set_source("clip.mp4")
    again.counting.start_again()
    while errands:
        at_once(*errands.pop())
    assert again.counting.log == (), "what is read when one has started again is of no interest"


def test_a_disk_that_is_not_to_be_had_is_told_once(scene: Scene, own_home: Path) -> None:
    told: list[Any] = []
    scene.counting.failed.connect(told.append)
    (own_home / "counting").write_text("")
    scene.counting.add(DOOR, "Door")
    for _ in range(2):
        scene.walk()
        scene.counting._save()
    assert len(told) == 1 and told[0].hint
    assert len(scene.counting.log) > 1, "it is counted all the same"
    (own_home / "counting").unlink()
    scene.counting._save()
    kept = scene.counting._log_file(scene.counting._key).read()
    assert [event.kind for event in kept] == [event.kind for event in scene.counting.log], "nothing of it is lost"
    scene.counting._save()
    scene.counting.close()
    assert len(scene.counting._log_file(scene.counting._key).read()) >= len(kept), "nor written twice"


def test_what_is_remembered_may_be_damaged(scene: Scene) -> None:
    scene.counting.add(LEFT)
    key = next(key for key in scene.settings._store.allKeys() if key.startswith("counting/") and len(key) > 20)
    scene.settings.set(key, scene.settings.text(key)[:-9])
    told: list[Any] = []
    again = Counting(scene.settings, scene.sight, live=lambda: False, call=at_once)
    again.failed.connect(told.append)
    again.set_source("clip.mp4")
    assert again.places == () and "could not be read" in told[0].message


def test_names_are_their_own(scene: Scene) -> None:
    names = [scene.counting.add(LEFT) for _ in range(3)]
    assert names == ["Zone 1", "Zone 2", "Zone 3"]
    scene.counting.remove("Zone 2")
    assert scene.counting.add(LEFT) == "Zone 2"
    assert scene.counting.add(LEFT, "Left third") == "Left third" and scene.counting.add(LEFT, "Left third") == (
        "Left third 2"
    )
    assert not scene.counting.replace("Zone 1", replace(scene.counting.place("Zone 1"), name="Zone 2"))
    assert scene.counting.place("Zone 1") is not None


# --- the panel


@pytest.fixture
def panel(scene: Scene) -> Iterator[CountingPanel]:
    panel = CountingPanel(scene.counting, scene.tool, scene.sight, scene.settings, call=at_once)
    scene.qtbot.addWidget(panel)
    panel.resize(935, 240)
    panel.show()
    scene.qtbot.waitExposed(panel)
    yield panel
    panel.hide()


def row(panel: CountingPanel, index: int = 0) -> list[str]:
    item = panel.list.topLevelItem(index)
    return [item.text(column) for column in range(4)]


def test_the_empty_panel_says_what_to_do_and_a_ready_made_zone_needs_no_mouse(
    scene: Scene, panel: CountingPanel
) -> None:
    assert panel._nothing.isVisible() and "Press Zone" in panel._nothing.text()
    assert panel._quiet.isVisible() and not panel.edit_button.isEnabled() and not panel.write_button.isEnabled()
    scene.see(PERSON, CAR)
    panel.ready_button.menu().actions()[0].trigger()
    assert row(panel) == ["Whole picture", "everything", "", "2"] and not panel._nothing.isVisible()
    for action in panel.ready_button.menu().actions()[1:]:
        action.trigger()
    kinds = [type(place) for place in scene.counting.places]
    assert kinds.count(Line) == 2 and len(kinds) == len(READY)


def test_buttons_begin_and_end_drawing(scene: Scene, panel: CountingPanel) -> None:
    scene.see()
    assert scene.tool.handles
    panel.zone_button.click()
    assert scene.tool.drawing == "zone" and panel.zone_button.isChecked()
    panel.line_button.click()
    assert scene.tool.drawing == "line" and panel.line_button.isChecked() and not panel.zone_button.isChecked()
    panel.line_button.click()
    assert scene.tool.drawing is None and not panel.line_button.isChecked()
    panel.zone_button.click()
    panel.hide()
    assert scene.tool.drawing is None and not scene.tool.handles


def test_a_refused_drawing_leaves_no_button_pressed(scene: Scene, panel: CountingPanel) -> None:
    panel.zone_button.click()
    assert scene.refused and not panel.zone_button.isChecked()


def test_name_classes_and_alarm_are_edited_and_shown(scene: Scene, panel: CountingPanel) -> None:
    scene.see(PERSON, CAR)
    scene.counting.add(READY["whole"][1])
    panel.list.setFocus()
    panel.edit()
    dialog = panel.dialog
    assert dialog is not None
    dialog.name.setText("  Shelf A ")
    items = [dialog.classes.item(i) for i in range(dialog.classes.count())]
    assert [item.text() for item in items] == list(CLASSES)
    next(item for item in items if item.text() == "person").setCheckState(Qt.CheckState.Checked)
    dialog.below_on.setChecked(True)
    dialog.below.setValue(2)
    dialog.seconds.setValue(0.5)
    dialog.spot.setCurrentIndex(1)
    dialog.accept()
    (zone,) = scene.counting.places
    assert zone == Zone("Shelf A", READY["whole"][1], frozenset({"person"}), "foot", 2, None, 0.5)
    scene.see(PERSON, CAR, seconds=2)
    assert row(panel) == ["Shelf A", "person", "under 2 for 0.5 s", "1"]
    assert scene.counting.alarmed("Shelf A") and panel.list.topLevelItem(0).data(3, Qt.ItemDataRole.UserRole)
    panel._show_numbers()
    assert [panel.model.data(panel.model.index(i, 1)) for i in range(panel.model.rowCount())] == [
        "Alarm, 1 in Shelf A",
        "Begins: clip.mp4",
    ]


def test_what_makes_no_sense_is_said_in_the_dialog(qtbot, own_home: Path) -> None:
    dialog = PlaceDialog(Zone("a", LEFT), ("person",))
    qtbot.addWidget(dialog)
    dialog.taken = lambda name: name == "b"
    for name, below, above, words in (("", 1, 5, "needs a name"), ("b", 1, 5, "another"), ("a", 9, 2, "Every number")):
        dialog.name.setText(name)
        for box, spin, value in ((dialog.below_on, dialog.below, below), (dialog.above_on, dialog.above, above)):
            box.setChecked(True)
            spin.setValue(value)
        dialog.accept()
        assert words in dialog.wrong and dialog.result() == 0
    dialog.below.setValue(2)
    dialog.accept()
    assert not dialog.wrong and dialog.place == Zone("a", LEFT, below=2, above=2)


def test_the_dialog_of_a_line_has_no_alarm_and_many_classes_can_be_searched(qtbot, own_home: Path) -> None:
    line = Line("door", (0.5, 0), (0.5, 1), frozenset({"class 3", "gone"}))
    dialog = PlaceDialog(line, tuple(f"class {i}" for i in range(80)))
    qtbot.addWidget(dialog)
    dialog.show()
    assert not dialog.seconds.isVisible() and dialog.search.isVisible()
    dialog.search.setText("S 7")
    shown = [dialog.classes.item(i).text() for i in range(81) if not dialog.classes.item(i).isHidden()]
    assert shown == ["class 7", *(f"class {i}" for i in range(70, 80))]
    assert dialog.place == line, "what another network finds stays ticked"


def test_keys_of_the_list_edit_and_remove(scene: Scene, panel: CountingPanel) -> None:
    scene.see()
    scene.counting.add(LEFT)
    scene.counting.add(LEFT)
    panel.list.setCurrentItem(panel.list.topLevelItem(0))
    assert scene.counting.chosen == "Zone 1"
    panel.keys[1].trigger()
    assert [place.name for place in scene.counting.places] == ["Zone 2"] and scene.counting.chosen == "Zone 2"
    panel.keys[0].trigger()
    assert panel.dialog is not None
    panel.dialog.reject()
    assert panel.dialog is None
    x = scene.counting.place("Zone 2").corners[0][0]
    next(key for key in panel.keys if key.text() == "Move right").trigger()
    assert scene.counting.place("Zone 2").corners[0][0] == pytest.approx(x + 0.01)
    assert panel.undo_button.isEnabled()
    for _ in range(2):
        panel.undo_button.click()
    assert [place.name for place in scene.counting.places] == ["Zone 1", "Zone 2"]
    for _ in range(2):
        panel.keys[-1].trigger()
    assert not scene.counting.places and not panel.undo_button.isEnabled()


def test_log_and_numbers_are_written_as_tables(scene: Scene, panel: CountingPanel, tmp_path: Path) -> None:
    scene.counting.add(DOOR, "Door")
    said: list[str] = []
    panel.said.connect(said.append)
    scene.walk()
    panel._show_numbers()
    assert panel.write_button.isEnabled()
    assert panel.model.data(panel.model.index(0, 1)) == "Door: person → 1"
    panel.write("log", tmp_path / "log.csv")
    panel.write("numbers", tmp_path / "numbers.csv")
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["event"] for row in rows] == ["began", "crossed"] and rows[1]["direction"] == "right"
    rows = list(csv.DictReader((tmp_path / "numbers.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["place"] for row in rows} == {"Door"} and len(said) == 2
    assert "Door, right: 1" in panel.chart.accessibleDescription()
    scene.counting.start_again()
    panel._show_numbers()
    assert panel.model.rowCount() == 1, "the frame that is shown is the first of the new numbers"
    assert scene.numbers() == ["→ 0 · ← 0"]


def test_the_log_grows_without_moving_what_is_there(scene: Scene, panel: CountingPanel) -> None:
    log = tuple(Event(1000.0 + i, float(i), "crossed", "door", "dog", "up", i) for i in range(5))
    resets: list[bool] = []
    panel.model.modelReset.connect(lambda: resets.append(True))
    panel._often.stop()
    panel.model.show_log(log[:3])
    before = len(resets)
    panel.model.show_log(log)
    panel.model.show_log(log)
    assert len(resets) == before and panel.model.rowCount() == 5
    assert panel.model.data(panel.model.index(0, 1)) == "door: dog ↑ 4" == event_words(log[-1])
    panel.model.show_log(())
    assert panel.model.rowCount() == 0
    moments = (datetime.datetime(2024, 2, 3, 14, 5, 6), datetime.datetime.now())
    panel.model.show_log([Event(each.timestamp(), 75.25, "began", "clip.mp4") for each in moments])
    today, earlier = (panel.model.data(panel.model.index(i, 0)) for i in range(2))
    assert earlier == "2024-02-03 14:05:06" and today.endswith(" · 1:15")


def test_elsewhere_or_with_another_network_the_panel_says_why_nothing_is_counted(
    scene: Scene, panel: CountingPanel
) -> None:
    scene.counting.add(LEFT)
    scene.sight.set_card(None)
    panel._show_numbers()
    assert "choose one at the top" in panel._why.text()
    scene.counting.set_active(False)
    assert "Ctrl+2" in panel._why.text()


def test_everything_in_the_panel_has_a_name_and_a_tip(scene: Scene, panel: CountingPanel) -> None:
    kinds = (QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit)
    dialog = PlaceDialog(Zone("a", LEFT), ("person",))
    scene.qtbot.addWidget(dialog)
    for root, tips in ((panel, True), (dialog, False)):
        for widget in root.findChildren(QWidget):
            if isinstance(widget, kinds) and widget.focusPolicy() != Qt.FocusPolicy.NoFocus and _ours(widget, root):
                text = widget.text() if isinstance(widget, QAbstractButton) else ""
                assert widget.accessibleName() or text, widget
                if tips and isinstance(widget, QAbstractButton):
                    assert widget.toolTip(), text


def _ours(widget: QWidget, root: QWidget) -> bool:
    """Made here, and no part of Qt's own widgets."""
    inner = isinstance(widget.parentWidget(), QAbstractItemView | QAbstractSpinBox)
    return widget.window() is root.window() and not inner and not widget.objectName().startswith("qt_")


# --- the chart


@pytest.mark.parametrize(
    ("seconds", "tenths", "words"),
    [
        (0, False, "0:00"),
        (9.96, True, "0:10.0"),
        (75.25, True, "1:15.2"),
        (3600, False, "1:00:00"),
        (-1, False, "-0:01"),
    ],
)
def test_time_is_told_as_people_read_it(seconds: float, tenths: bool, words: str) -> None:
    assert time_words(seconds, tenths=tenths) == words


def test_the_chart_shows_everything_until_it_is_moved_and_again_after_a_double_click(scene: Scene, qtbot) -> None:
    chart = CountChart(scene.counting.colour)
    qtbot.addWidget(chart)
    chart.resize(400, 200)
    chart.show()
    scene.counting.add(READY["whole"][1])
    scene.counting.add(READY["upright"][1])
    scene.see(PERSON, CAR, seconds=30)
    chart.show_values(scene.counting.values)
    (left, right), (low, high) = chart.box.viewRange()
    assert left == 0 and right == pytest.approx(29.9, abs=0.2) and -0.1 < low < 0 and high > 2
    assert "Whole picture" in chart.accessibleDescription() or "Zone 1, in the zone: 2" in chart.accessibleDescription()
    chart.box.sigRangeChangedManually.emit([True, False])
    scene.see(PERSON, seconds=30)
    chart.show_values(scene.counting.values)
    assert not chart.follows and chart.box.viewRange()[0][1] == pytest.approx(right)
    qtbot.mouseDClick(chart.viewport(), Qt.MouseButton.LeftButton)
    assert chart.follows and chart.box.viewRange()[0][1] == pytest.approx(59.9, abs=0.2)
    chart.show_values(())
    assert chart.accessibleDescription() == ""


def test_a_video_that_plays_over_and_over_keeps_what_it_has_shown(scene: Scene, panel: CountingPanel) -> None:
    scene.counting.add(DOOR, "Door")
    for _ in range(2):
        scene.index = 0
        scene.walk()
    scene.index = 0
    scene.see()
    panel._show_numbers()
    said = [panel.model.data(panel.model.index(i, 1)) for i in range(panel.model.rowCount())]
    assert said == [
        "Begins: clip.mp4",
        "Door: ← 0 in this pass",
        "Door: → 1 in this pass",
        "Door: person → 1",
        "Begins: clip.mp4",
        "Door: ← 0 in this pass",
        "Door: → 1 in this pass",
        "Door: person → 1",
        "Begins: clip.mp4",
    ]
    assert scene.numbers() == ["→ 0 · ← 0"]
    assert "Door, right, before: 1; " in panel.chart.accessibleDescription()
    assert panel.chart.accessibleDescription().endswith("Door, right: 0; Door, left: 0")
    faint = [curve.opacity() for curve in panel.chart._curves.values()]
    assert sorted(faint)[:2] == [pytest.approx(0.45)] * 2 and sorted(faint)[2:] == [1.0, 1.0]
    scene.counting.start_again()
    panel._show_numbers()
    assert len(panel.chart._curves) == 2 and "before" not in panel.chart.accessibleDescription()


def test_words_for_alarms_and_classes() -> None:
    assert alarm_words(Zone("a", LEFT)) == ""
    assert alarm_words(Zone("a", LEFT, below=2, above=5, seconds=1.5)) == "under 2 or over 5 for 1.5 s"
    assert class_words(Zone("a", LEFT)) == "everything"
    assert class_words(Zone("a", LEFT, frozenset({"cup", "bottle"}))) == "bottle, cup"


# --- the window


def test_in_the_window_a_zone_is_drawn_alarms_and_comes_back(qtbot, home: Path, tmp_path: Path) -> None:
    """The real detector of the tests finds a person in each quarter of every picture."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (160, 120))
    for _ in range(60):
        writer.write(np.full((120, 160, 3), 90, np.uint8))
    writer.release()
    write_detector(home)
    window = open_window(qtbot)
    play(window, qtbot, path)
    dock = window._docks["counting"]
    assert not dock.isVisible(), "hidden until it is asked for"
    window.zone_action.trigger()
    qtbot.waitUntil(dock.isVisible)
    panel = window.counting_room.widget
    assert isinstance(panel, CountingPanel) and window.place_tool.drawing == "zone"
    picture = window.live.picture
    for x, y in LEFT:
        area: QRectF = picture.area
        place = QPointF(area.left() + x * (area.width() - 1), area.top() + 1 + y * (area.height() - 2)).toPoint()
        qtbot.mouseClick(picture, Qt.MouseButton.LeftButton, pos=place)
    qtbot.keyClick(picture, Qt.Key.Key_Return)
    counting = window.counting
    (zone,) = counting.places
    qtbot.waitUntil(lambda: counting.numbers(counting.places[0]) == "2", timeout=20_000)
    counting.replace(zone.name, replace(zone, name="Shelf A", below=3, seconds=0.5))
    qtbot.waitUntil(lambda: counting.alarmed("Shelf A"), timeout=20_000)
    assert "Shelf A: 2, fewer than 3" in picture.signalled and not window.notices.cards, "one can see the row"
    qtbot.waitUntil(lambda: ALARM in colours(picture.snapshot()), timeout=20_000)
    dock.hide()
    zone = counting.places[0]
    counting.replace("Shelf A", replace(zone, below=None))
    qtbot.waitUntil(lambda: not counting.alarmed("Shelf A"), timeout=20_000)
    counting.replace("Shelf A", zone)
    qtbot.waitUntil(lambda: any("Shelf A" in card.key[0] for card in window.notices.cards), timeout=20_000)
    dock.show()
    window.set_mode("draw")
    assert not dock.isVisible()
    window.set_mode("live")
    assert dock.isVisible(), "remembered for the mode"
    window.close()
    closed = time.time()
    again = open_window(qtbot)
    play(again, qtbot, path)
    qtbot.waitUntil(lambda: any(event.time < closed for event in again.counting.log), timeout=20_000)
    assert "alarm" in {event.kind for event in again.counting.log if event.time < closed}
    qtbot.waitUntil(lambda: again.counting.state.zones.get("Shelf A") is not None, timeout=20_000)
    assert [place.name for place in again.counting.places] == ["Shelf A"]
    again.close()


def play(window: MainWindow, qtbot: Any, path: Path) -> None:
    qtbot.waitUntil(lambda: window.choice.findData("finder") >= 0, timeout=120_000)
    window.set_mode("live")
    window.use_model("finder")
    window.live.open(str(path))
    qtbot.waitUntil(lambda: window.sight.shown is not None and len(window.sight.shown) == 4, timeout=120_000)
