"""The access log of Faces: off until it is wanted, signals, the list; and whether somebody is really there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from engine import Detections, FaceMatch, FaceQuality, Frame, Result
from gui.door import DoorPage
from gui.window import MainWindow
from tests.gui.conftest import open_window
from tests.gui.test_faces import NETWORK, enrolled, enter, faces, people, ready_networks, say_yes, settle

NOW = time.time() - 3600  # visits of long ago are deleted by themselves
BOX = (100.0, 100.0, 300.0, 300.0)


@pytest.fixture
def window(qtbot, home: Path, tmp_path: Path) -> Iterator[MainWindow]:
    """The window in Faces, with two people enrolled and the page of the door open."""
    ready_networks(home)
    window = open_window(qtbot)
    enter(window, qtbot)
    enrolled(window, qtbot, tmp_path, 0, 1, shots=1)
    people(window).tab_buttons["door"].click()
    yield window
    window.close()


def door(window: MainWindow) -> DoorPage:
    return people(window).door


def seen(person: int | None, moment: float, *, name: str | None = None, yaw: float = 0.0, pitch: float = 0.0) -> Result:
    """A frame with one face, which is followed."""
    vector = np.eye(8, dtype=np.float32)[0]
    quality = FaceQuality(1.0, 1.0, 1.0, 1.0, yaw, pitch)
    match = FaceMatch(
        BOX, 0.9, np.zeros((5, 2), np.float32), name, 0.8, 0.97, person, quality=quality, embedding=vector
    )
    boxes = Detections(
        np.array([BOX], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int64), ("face",), np.ones(1, np.int64)
    )
    frame = Frame(np.zeros((400, 400, 3), np.uint8), "camera", 0, moment, clock=moment)
    return Result(frame, NETWORK, detections=boxes, faces=(match,))


def stay(window: MainWindow, person: int | None, begun: float, *, name: str | None = None) -> None:
    """Somebody is in sight for three seconds."""
    for number in range(30):
        door(window).set_result(seen(person, begun + number / 10, name=name), now=begun + number / 10)


def switch_on(window: MainWindow, qtbot) -> None:
    door(window).on.click()
    qtbot.waitUntil(lambda: faces(window).log.rules.on and door(window).file.isEnabled(), timeout=20_000)


def ticked(window: MainWindow) -> list[bool]:
    table = door(window).allowed
    items = [table.topLevelItem(row) for row in range(table.topLevelItemCount())]
    return [item.checkState(0) == Qt.CheckState.Checked for item in items if item is not None]


def rows(window: MainWindow) -> list[list[str]]:
    tree = door(window).visits
    items = [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]
    return [[item.text(column) for column in range(1, 4)] for item in items if item is not None]


def test_nothing_is_kept_until_it_is_switched_on(window: MainWindow, qtbot) -> None:
    page = door(window)
    assert people(window).page is page and not page.on.isChecked() and not page.sound.isChecked()
    assert not page.file.isEnabled() and not page.strangers.isEnabled()
    signals: list[object] = []
    page.signal.connect(lambda *found: signals.append(found))
    stay(window, faces(window).people[0].id, NOW, name="Person 0")
    settle(window, qtbot)
    assert rows(window) == [] and signals == []
    assert people(window).tab_buttons["door"].text() == "Door" and not page.clear_button.isEnabled()


def test_who_comes_is_noted_and_signalled_by_colour_sound_and_a_line(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = door(window)
    beeps: list[bool] = []
    monkeypatch.setattr(QApplication, "beep", lambda: beeps.append(True))
    file = tmp_path / "visits.csv"
    monkeypatch.setattr("gui.door.ask_where_to_log", lambda *_: file)
    switch_on(window, qtbot)
    assert people(window).tab_buttons["door"].text() == "Door · on"
    page.file.click()
    qtbot.waitUntil(lambda: faces(window).log.rules.file == file, timeout=20_000)
    page.sound.click()
    first, second = faces(window).people
    page.allowed.topLevelItem(0).setCheckState(0, Qt.CheckState.Checked)
    qtbot.waitUntil(lambda: faces(window).log.rules.allowed == {first.id}, timeout=20_000)
    stay(window, first.id, NOW, name=first.name)
    assert window.live.picture.signalled == "Person 0 may come in"
    stay(window, second.id, NOW + 100, name=second.name)
    assert window.live.picture.signalled == "Person 1 is not on the list"
    stay(window, None, NOW + 200)
    assert window.live.picture.signalled == "Somebody unknown" and len(beeps) == 3
    page.leave()
    wanted = [["somebody unknown", "", "no"], ["Person 1", "97 %", "no"], ["Person 0", "97 %", "yes"]]
    settle(window, qtbot)
    assert rows(window) == wanted
    qtbot.waitUntil(lambda: file.exists() and len(file.read_text().splitlines()) == 4, timeout=20_000)
    window.close()
    again = open_window(qtbot)
    enter(again, qtbot)
    people(again).show_tab("door")
    qtbot.waitUntil(lambda: rows(again) == wanted, timeout=20_000)
    assert (
        door(again).on.isChecked()
        and ticked(again) == [True, False]
        and door(again).file.text() == "Line in visits.csv"
    )
    door(again).clear_button.click()
    qtbot.waitUntil(lambda: rows(again) == [], timeout=20_000)
    assert len(faces(again).people) == 2, "the people stay"
    again.close()


def test_a_locked_gallery_shows_no_visits_and_keeps_none(window: MainWindow, qtbot, tmp_path: Path) -> None:
    switch_on(window, qtbot)
    first = faces(window).people[0]
    stay(window, first.id, NOW, name=first.name)
    qtbot.waitUntil(lambda: len(rows(window)) == 1, timeout=20_000)
    faces(window).set_passphrase("correct horse")
    qtbot.waitUntil(lambda: faces(window).protected, timeout=60_000)
    window.close()
    again = open_window(qtbot)
    enter(again, qtbot)
    people(again).show_tab("door")
    assert people(again).page is people(again).locked
    stay(again, first.id, NOW + 100, name=first.name)
    settle(again, qtbot)
    assert rows(again) == [] and ticked(again) == [] and not door(again).on.isChecked()
    people(again).passphrase.setText("correct horse")
    people(again).unlock_button.click()
    qtbot.waitUntil(lambda: len(rows(again)) == 1, timeout=60_000)
    assert door(again).on.isChecked()
    again.close()


def test_everything_deleted_is_the_log_too(
    window: MainWindow, qtbot, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = say_yes(monkeypatch)
    switch_on(window, qtbot)
    first = faces(window).people[0]
    stay(window, first.id, NOW, name=first.name)
    qtbot.waitUntil(lambda: len(rows(window)) == 1, timeout=20_000)
    people(window).delete_button.click()
    qtbot.waitUntil(lambda: people(window).page is people(window).welcome, timeout=20_000)
    assert "the log of visits" in asked[0] and not list(home.glob("faces.sqlite*"))
    stay(window, first.id, NOW + 100, name=first.name)
    settle(window, qtbot)
    assert rows(window) == [] and not list(home.glob("faces.sqlite*"))
    people(window).start_button.click()
    enrolled(window, qtbot, tmp_path, 2, shots=1)
    people(window).show_tab("door")
    settle(window, qtbot)
    assert not door(window).on.isChecked() and rows(window) == []


MOVES = {"left edge": (-1, 0), "right edge": (1, 0), "Lift": (0, -1), "Lower": (0, 1)}


def test_somebody_who_moves_as_asked_is_there(window: MainWindow, qtbot) -> None:
    page = door(window)
    page.check_button.click()
    assert page.checking and window.live.picture.hint == "Look into the camera."
    place = np.zeros(2)
    for number in range(200):
        asked = next((np.array(move) for words, move in MOVES.items() if words in page.outcome), np.zeros(2))
        place = place + np.clip(0.7 * asked - place, -0.12, 0.12)
        page.set_result(seen(None, number / 10, yaw=float(place[0]), pitch=float(place[1])))
        if not page.checking:
            break
    assert page.outcome == "Somebody is there. As far as this can tell."
    assert window.live.picture.hint == "" and "cannot stop" in page.check_button.toolTip()


def test_a_picture_that_does_not_move_is_nobody(window: MainWindow, qtbot) -> None:
    page = door(window)
    page.check_button.click()
    for number in range(600):
        page.set_result(seen(None, number / 10))
        if not page.checking:
            break
    assert page.outcome == "Not confirmed: that took too long." == window.live.picture.signalled
    page.check_button.click()
    assert page.checking
    page.check_button.click()
    assert not page.checking and page.outcome == ""


def test_a_check_ends_when_nothing_plays_or_nobody_looks(window: MainWindow, qtbot) -> None:
    page = door(window)
    page.check_button.click()
    people(window).show_tab("people")
    assert not page.checking and window.live.picture.hint == ""
    people(window).show_tab("door")
    page._silence.setInterval(10)
    page.check_button.click()
    qtbot.waitUntil(lambda: not page.checking, timeout=20_000)
    assert page.outcome == "Not confirmed: no picture came."
