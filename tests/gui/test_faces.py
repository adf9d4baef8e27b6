"""Faces as a person meets it: opening the mode, a gallery, adding, naming, the threshold, albums, passphrases.

Engine and gallery are the real ones; the networks are those of the engine's tests, which need no training.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QInputDialog, QLineEdit, QMessageBox

from engine import EngineError, Gallery, WriteError
from gui.coach import FEWEST
from gui.faces import Faces
from gui.panels.people import PeoplePanel
from gui.window import MainWindow
from tests.engine.conftest import face, with_faces, write_faces
from tests.gui.conftest import SEVEN, drop, open_window, stroke

NETWORK = "tiny-faces"
numbers = itertools.count()


def picture(path: Path, *faces: tuple[int, int, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), with_faces(*faces)[:, :, ::-1])
    return path


def shot(person: int) -> np.ndarray:
    """Another picture of a person."""
    return face(person, noise=25, seed=next(numbers))


@pytest.fixture
def window(qtbot, home: Path) -> Iterator[MainWindow]:
    """The window in Faces, with a network for the faces of the tests ready and the gallery looked for."""
    ready_networks(home)
    window = open_window(qtbot)
    enter(window, qtbot)
    yield window
    window.close()


def ready_networks(home: Path) -> None:
    """A network for the faces of the tests, chosen for Faces."""
    write_faces(NETWORK)
    (home / "window.ini").write_text(f"[General]\nfaces-model={NETWORK}\n")


def enter(window: MainWindow, qtbot, network: str = NETWORK) -> None:
    window.set_mode("faces")
    qtbot.waitUntil(lambda: ready(window) == network or bool(window.notices.cards), timeout=240_000)
    assert not [card.key for card in window.notices.cards]
    qtbot.waitUntil(lambda: faces(window).state not in ("closed",), timeout=20_000)
    qtbot.waitUntil(lambda: faces(window)._errands.idle, timeout=20_000)


def ready(window: MainWindow) -> str:
    state = window.bridge.state
    return state.name if state is not None and state.phase == "ready" else ""


def faces(window: MainWindow) -> Faces:
    assert window.faces.faces is not None
    return window.faces.faces


def people(window: MainWindow) -> PeoplePanel:
    assert window.faces.people is not None
    return window.faces.people


def settle(window: MainWindow, qtbot) -> None:
    """Wait until nothing is to be done any more."""
    qtbot.waitUntil(lambda: faces(window)._errands.idle, timeout=60_000)


def names(window: MainWindow) -> list[str]:
    return [person.name for person in faces(window).people]


def enrolled(window: MainWindow, qtbot, tmp_path: Path, *persons: int, shots: int = 3) -> None:
    """Have people enrolled from a folder for each of them."""
    root = tmp_path / f"root-{next(numbers)}"
    for person in persons:
        for number in range(shots):
            picture(root / f"Person {person}" / f"{number}.png", (2, 2, shot(person)))
    if faces(window).state == "none":
        people(window).start_button.click()
        qtbot.waitUntil(lambda: faces(window).state == "open", timeout=20_000)
    before = len(names(window))
    people(window).add_from_folders(root)
    qtbot.waitUntil(lambda: people(window).folders.add_button.isEnabled(), timeout=60_000)
    people(window).folders.add_button.click()
    qtbot.waitUntil(lambda: len(names(window)) == before + len(persons), timeout=60_000)
    settle(window, qtbot)


def look_at(window: MainWindow, qtbot, path: Path, count: int) -> None:
    """Open a picture and wait until its faces have been read."""
    window.open_path(path)
    qtbot.waitUntil(
        lambda: (
            window.sight.result is not None
            and window.sight.result.frame.source == path.name
            and len(window.sight.faces) == count
        ),
        timeout=60_000,
    )


def labels(window: MainWindow) -> list[str]:
    assert window.live.picture.overlay is not None
    return sorted(mark.brief for mark in window.live.picture.overlay.marks)


# --- the mode


def test_faces_comes_fourth_and_asks_before_it_keeps_anything(window: MainWindow, qtbot, home: Path) -> None:
    keys = [action.shortcut() for action in window._mode_actions.values()][:5]
    assert keys == [QKeySequence(f"Ctrl+{n}") for n in range(1, 6)]
    assert list(window._mode_actions)[:5] == ["draw", "live", "train", "faces", "models"]
    assert window._stack.currentWidget() is window.live and window.choice.currentData() == NETWORK
    panel = people(window)
    assert panel.page is panel.welcome
    assert str(home / "faces.sqlite") in panel.welcome.text.text()
    assert "never leave this computer" in panel.welcome.text.text()
    panel.start_button.click()
    qtbot.waitUntil(lambda: panel.page is panel.empty, timeout=20_000)
    assert not list(home.glob("faces.sqlite*")), "nothing is written before a face is kept"


def test_each_stage_keeps_its_network_and_networks_find_their_stage(window: MainWindow, qtbot) -> None:
    window.set_mode("draw")
    assert window.choice.currentData() == "digits"
    stroke(window.canvas, SEVEN)
    qtbot.waitUntil(lambda: window.answer.reading.text == "7", timeout=60_000)
    window.choice.picked.emit(NETWORK)
    assert window.mode == "faces" and window.settings.text("faces-model") == NETWORK
    window.choice.picked.emit("tiny-finder")
    assert window.mode == "live" and window.choice.currentData() == "tiny-finder"
    window.set_mode("faces")
    assert window.choice.currentData() == NETWORK
    walked = [card.name for card in window._cards if window._stage_for(card.name) == "faces"]
    assert walked == [card.name for card in window._cards if card.task == "faces"], "the keys go through these alone"


def test_without_a_network_for_faces_the_dock_says_so(qtbot, home: Path) -> None:
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: ready(window) == "digits", timeout=120_000)
    qtbot.waitUntil(lambda: bool(window._cards), timeout=20_000)
    for card in window._cards:
        if card.task == "faces":
            window.faces.without(card.name)  # as if it could not be loaded
    window.set_mode("faces")
    panel = people(window)
    assert panel.page is panel.no_network and ready(window) == "digits"
    assert "There is no network" in panel.no_network.title.text()
    panel.models_button.click()
    assert window.mode == "models"
    window.close()


def test_a_stranger_is_unknown_and_can_be_looked_at(window: MainWindow, qtbot, tmp_path: Path) -> None:
    look_at(window, qtbot, picture(tmp_path / "two.png", (1, 1, face(0)), (5, 3, face(1))), 2)
    assert window.mode == "faces" and labels(window) == ["unknown", "unknown"]
    answer = window.answer.faces
    assert window.answer.reading.text == "2 faces" and "Nobody is enrolled" in window.answer.reading.explanation
    assert not answer.name.isEnabled()
    answer.rows.setFocus()
    qtbot.keyClick(answer.rows, Qt.Key.Key_Down)
    assert answer.view.face is window.sight.chosen_face is not None
    assert answer.view.image() is not None and answer.view.image().shape == (32, 32, 3)
    assert "nobody to compare" in answer.view.words()[1]
    first = answer.view.face
    qtbot.keyClick(answer.rows, Qt.Key.Key_Down)
    assert answer.view.face is not first
    window._docks["inside"].show()  # the embedder can be looked into: its maps are of the face that is looked at

    def maps_are_of_the_chosen_face() -> bool:
        maps = window.sight.result.activations
        return maps is not None and maps.region == window.sight.chosen_place

    qtbot.waitUntil(maps_are_of_the_chosen_face, timeout=60_000)
    qtbot.waitUntil(lambda: window.bridge._wanted_layer[1] == window.sight.chosen_place, timeout=20_000)


def test_a_name_is_not_taken_without_a_gallery(window: MainWindow, qtbot, home: Path, tmp_path: Path) -> None:
    look_at(window, qtbot, picture(tmp_path / "one.png", (1, 1, face(0))), 1)
    window.sight.choose(0)
    window.answer.faces.name.setText("Ada")
    window.answer.faces.button.click()
    assert "There is no gallery yet." in [card.key[0] for card in window.notices.cards]
    assert not list(home.glob("faces.sqlite*"))


def test_a_face_in_the_picture_gets_a_name_and_is_recognised_at_once(
    window: MainWindow, qtbot, home: Path, tmp_path: Path
) -> None:
    people(window).start_button.click()
    look_at(window, qtbot, picture(tmp_path / "two.png", (1, 1, face(0)), (5, 3, face(1))), 2)
    window.sight.choose(0)
    answer = window.answer.faces
    answer.name.setText("Ada")
    qtbot.keyClick(answer.name, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: labels(window) == ["Ada", "unknown"], timeout=60_000)
    assert window.answer.reading.text == "Ada, 1 unknown"
    mark = next(mark for mark in window.live.picture.overlay.marks if mark.brief == "Ada")
    assert mark.text.endswith("%")
    assert (home / "faces.sqlite").stat().st_mode & 0o777 == 0o600
    stranger = next(i for i, each in enumerate(window.sight.faces) if each.name is None)
    window.sight.choose(stranger)
    answer.name.setText("ada")
    assert answer.button.text() == "Add to this person"
    answer.name.setText("Ben")
    assert answer.button.text() == "Add"
    answer.button.click()
    qtbot.waitUntil(lambda: labels(window) == ["Ada", "Ben"], timeout=60_000)
    own = next(i for i, each in enumerate(window.sight.faces) if each.name == "Ada")
    window.sight.choose(own)
    answer.name.setText("Carl")
    assert "Ada overlap" in answer.remark


# --- adding


def test_a_folder_for_each_person_tells_what_it_left_out(window: MainWindow, qtbot, tmp_path: Path) -> None:
    root = tmp_path / "family"
    for number in range(3):
        picture(root / "Ada_Lovelace" / f"{number}.png", (2, 2, shot(0)))
        picture(root / "Ben" / f"{number}.png", (2, 2, shot(1)))
    picture(root / "Ben" / "empty.png")
    picture(root / "Ben" / "two.png", (1, 1, shot(1)), (5, 3, shot(0)))
    (root / "Ben" / "broken.png").write_bytes(b"\x89PNG broken")
    (root / "Ben" / "notes.txt").write_text("no picture")
    (root / "Nobody").mkdir()
    people(window).start_button.click()
    people(window).add_from_folders(root)
    page = people(window).folders
    qtbot.waitUntil(lambda: page.add_button.isEnabled(), timeout=60_000)
    why = {page.skipped.topLevelItem(row).text(0): page.skipped.topLevelItem(row).text(1) for row in range(3)}
    assert page.skipped.topLevelItemCount() == 3
    assert why["Ben/empty.png"] == "no face was found" and "which one" in why["Ben/two.png"]
    assert "broken.png" in why["Ben/broken.png"]
    assert [page.found.topLevelItem(row).text(0) for row in range(2)] == ["Ada Lovelace", "Ben"]
    page.found.topLevelItem(1).setCheckState(0, Qt.CheckState.Unchecked)
    assert page.add_button.text() == "Add 1 person"
    page.add_button.click()
    qtbot.waitUntil(lambda: names(window) == ["Ada Lovelace"], timeout=60_000)
    assert people(window).page is people(window).people
    assert faces(window).people[0].shots == 3 and not faces(window).thumbnail(faces(window).people[0].id).isNull()


def test_folders_can_be_cancelled_and_nothing_is_kept(window: MainWindow, qtbot, home: Path, tmp_path: Path) -> None:
    for number in range(30):
        picture(tmp_path / "root" / "Ada" / f"{number}.png", (2, 2, shot(0)))
    people(window).start_button.click()
    qtbot.waitUntil(lambda: faces(window).state == "open")
    people(window).add_from_folders(tmp_path / "root")
    job = people(window).folders._job
    qtbot.waitUntil(lambda: job.done >= 2, timeout=60_000)
    qtbot.keyClick(people(window).folders, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: job.ended, timeout=60_000)
    assert people(window).page is people(window).empty and job.done < job.total
    assert not list(home.glob("faces.sqlite*"))
    people(window).add_from_folders(tmp_path / "root" / "Ada")
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    assert people(window).page is people(window).empty, "there are no folders in it"


def test_photos_of_one_person_are_looked_through_and_kept(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    paths = [picture(tmp_path / f"{n}.png", (2, 2, shot(1))) for n in range(3)]
    paths += [picture(tmp_path / "odd.png", (2, 2, shot(2))), picture(tmp_path / "none.png")]
    page = people(window).enrolment
    people(window).add_from_photos(paths)
    qtbot.waitUntil(
        lambda: (page.tiles.count() == 4 and "do not fit" in page.warning) or "does not fit" in page.warning
    )
    assert "none.png: no face was found" in page._count.text()
    assert not page.keep_button.isEnabled(), "without a name nobody is added"
    page.tiles.leave_out(page.tiles.kept[3])
    qtbot.waitUntil(lambda: page.warning == "", timeout=60_000)
    page.name.setText("Ben")
    page.note.setText("plays the viola")
    qtbot.keyClick(page.name, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: names(window) == ["Ben", "Person 0"], timeout=60_000)
    ben = faces(window).people[0]
    assert (ben.shots, ben.note) == (3, "plays the viola")
    qtbot.waitUntil(lambda: [person.name for person in people(window).people.chosen] == ["Ben"], timeout=20_000)


def test_a_newcomer_who_resembles_somebody_is_told_apart_or_added(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    page = people(window).enrolment
    people(window).add_from_photos([picture(tmp_path / f"{n}.png", (2, 2, shot(0))) for n in range(3)])
    qtbot.waitUntil(lambda: "overlap" in page.warning, timeout=60_000)
    assert "Person 0 and the newcomer: these two overlap: 1.00" in page.warning
    page.same_button.click()
    assert page.keep_button.text() == "Add to Person 0" and page.warning == ""
    page.keep_button.click()
    qtbot.waitUntil(lambda: faces(window).people[0].shots == 6, timeout=60_000)


def test_a_cancelled_enrolment_keeps_nothing(window: MainWindow, qtbot, home: Path, tmp_path: Path) -> None:
    people(window).start_button.click()
    qtbot.waitUntil(lambda: faces(window).state == "open")
    page = people(window).enrolment
    people(window).add_from_photos([picture(tmp_path / "a.png", (2, 2, shot(0)))])
    qtbot.waitUntil(lambda: page.tiles.count() == 1, timeout=60_000)
    page.name.setText("Ada")
    qtbot.keyClick(page, Qt.Key.Key_Escape)
    assert people(window).page is people(window).empty and page.tiles.count() == 0
    settle(window, qtbot)
    assert names(window) == [] and not list(home.glob("faces.sqlite*"))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Somebody moves to and fro before the camera for as long as it takes."""
    path = tmp_path / "somebody.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (640, 480))
    for number in range(150):
        writer.write(np.ascontiguousarray(with_faces((2 + number // 40 % 2, 2, face(1)))[:, :, ::-1]))
    writer.release()
    return path


def test_the_coach_takes_shots_by_itself_from_what_plays(window: MainWindow, qtbot, home: Path, video: Path) -> None:
    people(window).start_button.click()
    window.open_path(video)
    qtbot.waitUntil(lambda: len(window.sight.faces) == 1, timeout=60_000)
    people(window).empty.steps.itemAt(0).widget().click()
    page = people(window).enrolment
    assert people(window).page is page and page.watching
    assert window.live.spec == str(video), "what plays is looked at, no camera is opened"
    qtbot.waitUntil(lambda: page.tiles.count() >= 2, timeout=60_000)
    assert window.live.picture.hint == page.advice != ""
    qtbot.waitUntil(lambda: not page.watching, timeout=120_000)
    assert page.tiles.count() >= FEWEST and window.live.picture.hint == ""
    assert not list(home.glob("faces.sqlite*"))
    page.name.setText("Dora")
    qtbot.waitUntil(lambda: page.keep_button.isEnabled())
    page.keep_button.click()
    qtbot.waitUntil(lambda: labels(window) == ["Dora"], timeout=60_000)


def test_leaving_the_mode_ends_the_coach(window: MainWindow, qtbot, video: Path) -> None:
    people(window).start_button.click()
    window.open_path(video)
    qtbot.waitUntil(lambda: len(window.sight.faces) == 1, timeout=60_000)
    people(window).add_from_camera()
    qtbot.waitUntil(lambda: people(window).enrolment.tiles.count() >= 1, timeout=60_000)
    window.set_mode("draw")
    assert not people(window).enrolment.watching and window.live.picture.hint == ""
    window.set_mode("faces")
    assert people(window).page is people(window).enrolment, "what was taken is still there"


# --- the gallery


def say_yes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever is asked agrees; what was asked is kept."""
    asked: list[str] = []

    def confirm(parent: object, question: str, text: str, yes: str) -> bool:
        asked.append(f"{question} {text}")
        return True

    monkeypatch.setattr("gui.panels.people.confirm", confirm)
    return asked


def test_people_are_renamed_noted_searched_merged_and_split(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1, 2)
    page = people(window).people
    page.list.setFocus()
    page.list.setCurrentRow(0)
    page.keys[0].trigger()
    editor = page.list.findChild(QLineEdit)
    assert editor is not None
    editor.setText("Zoe")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: names(window) == ["Person 1", "Person 2", "Zoe"], timeout=20_000)
    settle(window, qtbot)
    assert [person.name for person in page.chosen] == ["Zoe"], "who was chosen stays chosen"
    page.person.note.setText("next door")
    page.person.note.editingFinished.emit()
    qtbot.waitUntil(lambda: faces(window).people[2].note == "next door", timeout=20_000)
    page.search.setText("DOOR")
    assert [page.list.item(row).isHidden() for row in range(3)] == [True, True, False]
    page.search.clear()
    page.list.clearSelection()
    for row in (0, 1):
        page.list.item(row).setSelected(True)
    assert page.person.title.text() == "2 people are chosen" and page.person.merge_button.isVisible()
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_, **__: ("Person 2 (3 pictures)", True))
    page.person.merge_button.click()
    qtbot.waitUntil(lambda: names(window) == ["Person 2", "Zoe"], timeout=20_000)
    settle(window, qtbot)
    page.list.setCurrentRow(0)
    qtbot.waitUntil(lambda: page.person.tiles.count() == 6, timeout=20_000)
    assert not page.person.tiles.chosen and not page.person.split_button.isEnabled()
    for row in range(3):
        page.person.tiles.item(row).setSelected(True)
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_, **__: ("Ann", True))
    page.person.split_button.click()
    qtbot.waitUntil(lambda: names(window) == ["Ann", "Person 2", "Zoe"], timeout=20_000)
    assert [person.shots for person in faces(window).people] == [3, 3, 3]


def test_pictures_and_people_are_deleted_after_a_question(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = say_yes(monkeypatch)
    enrolled(window, qtbot, tmp_path, 0, 1)
    page = people(window).people
    page.list.setCurrentRow(0)
    qtbot.waitUntil(lambda: page.person.tiles.count() == 3, timeout=20_000)
    page.person.tiles.item(1).setSelected(True)
    qtbot.keyClick(page.person.tiles, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: faces(window).people[0].shots == 2, timeout=20_000)
    settle(window, qtbot)
    page.keys[1].trigger()
    qtbot.waitUntil(lambda: names(window) == ["Person 1"], timeout=20_000)
    assert "this picture" in asked[0] and "“Person 0”" in asked[1] and "2 pictures" in asked[1]


def test_everything_is_deleted_with_one_click_and_one_question(
    window: MainWindow, qtbot, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = say_yes(monkeypatch)
    enrolled(window, qtbot, tmp_path, 0, 1)
    look_at(window, qtbot, picture(tmp_path / "one.png", (1, 1, face(0))), 1)
    qtbot.waitUntil(lambda: labels(window) == ["Person 0"], timeout=60_000)
    people(window).delete_button.click()
    qtbot.waitUntil(lambda: people(window).page is people(window).welcome, timeout=20_000)
    assert len(asked) == 1 and "2 people with their names and notes, 6 pictures" in asked[0]
    assert not list(home.glob("faces.sqlite*"))
    qtbot.waitUntil(lambda: labels(window) == ["unknown"], timeout=60_000)
    assert faces(window).people == () and faces(window).recogniser is None
    window.close()
    again = open_window(qtbot)
    enter(again, qtbot)
    assert people(again).page is people(again).welcome, "the wish for a gallery is forgotten, too"
    again.close()


def test_people_are_gone_although_notes_of_a_sorting_could_not_be_removed(
    window: MainWindow, qtbot, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy() -> None:
        raise EngineError("Another ConvScope is sorting just now.", "Try again.")

    enrolled(window, qtbot, tmp_path, 0)
    monkeypatch.setattr("engine.forget_sorted_people", busy, raising=False)
    faces(window).delete_all()
    qtbot.waitUntil(lambda: people(window).page is people(window).welcome, timeout=20_000)
    assert not list(home.glob("faces.sqlite*")) and faces(window).people == () and faces(window).recogniser is None
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)


def test_what_is_to_be_deleted_is_deleted_although_the_window_goes_at_once(
    window: MainWindow, qtbot, home: Path, tmp_path: Path
) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    assert list(home.glob("faces.sqlite*"))
    waiting = threading.Event()
    faces(window).errand(lambda: waiting.wait(20), lambda _: None)  # the deletion has to queue behind this
    faces(window).delete_all()
    faces(window).close()
    assert not list(home.glob("faces.sqlite*"))
    waiting.set()


def test_what_was_said_of_people_is_done_although_the_window_goes_at_once(
    window: MainWindow, qtbot, home: Path, tmp_path: Path
) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1)
    one, two = (person.id for person in faces(window).people)
    waiting = threading.Event()
    faces(window).errand(lambda: waiting.wait(20), lambda _: None)
    faces(window).delete_people([one])
    faces(window).rename(two, "Eve")
    faces(window).set_passphrase("secret")
    faces(window).close()
    with Gallery(home / "faces.sqlite") as gallery:
        assert gallery.locked
        gallery.unlock("secret")
        assert [person.name for person in gallery.people()] == ["Eve"]
    waiting.set()


def test_a_protected_gallery_asks_for_its_passphrase(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    monkeypatch.setattr("gui.panels.people.ask_for_new_passphrase", lambda *_: "correct horse")
    people(window)._enable_more()
    assert people(window).passphrase_action.text() == "Set a passphrase…"
    people(window).passphrase_action.trigger()
    qtbot.waitUntil(lambda: faces(window).protected, timeout=60_000)
    people(window)._enable_more()
    assert people(window).passphrase_action.text() == "Change the passphrase…"
    window.close()
    again = open_window(qtbot)
    enter(again, qtbot)
    panel = people(again)
    assert panel.page is panel.locked and not panel.unlock_button.isEnabled()
    look_at(again, qtbot, picture(tmp_path / "one.png", (1, 1, face(0))), 1)
    assert labels(again) == ["unknown"]
    panel.passphrase.setText("wrong")
    qtbot.keyClick(panel.passphrase, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "wrong" in panel.locked.text.text(), timeout=60_000)
    assert panel.page is panel.locked and panel.unlock_button.isEnabled()
    panel.passphrase.setText("correct horse")
    panel.unlock_button.click()
    qtbot.waitUntil(lambda: labels(again) == ["Person 0"], timeout=60_000)
    say_yes(monkeypatch)
    panel.open_action.trigger()
    qtbot.waitUntil(lambda: not faces(again).protected, timeout=60_000)
    again.close()


def test_a_copy_is_saved_and_taken_in_again(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1)
    copy = tmp_path / "copy.faces"
    monkeypatch.setattr("gui.panels.people.ask_where_to_save_gallery", lambda *_: copy)
    monkeypatch.setattr("gui.panels.people.ask_for_gallery", lambda *_: copy)
    monkeypatch.setattr("gui.panels.people.ask_for_new_passphrase", lambda *_: "abc")
    people(window).export_action.trigger()
    qtbot.waitUntil(copy.exists, timeout=60_000)
    say_yes(monkeypatch)
    people(window).delete_button.click()
    qtbot.waitUntil(lambda: people(window).page is people(window).welcome, timeout=60_000)
    typed = iter(["nonsense", "abc"])
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (next(typed), True))
    people(window).import_button.click()
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=60_000)
    assert "passphrase is wrong" in window.notices.cards[0].key[0]
    people(window).import_button.click()
    qtbot.waitUntil(lambda: names(window) == ["Person 0", "Person 1"], timeout=60_000)
    settle(window, qtbot)
    look_at(window, qtbot, picture(tmp_path / "one.png", (1, 1, face(1))), 1)
    qtbot.waitUntil(lambda: labels(window) == ["Person 1"], timeout=60_000)


def test_people_of_one_name_in_a_copy_are_asked_about(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.faces"
    with Gallery(tmp_path / "other.sqlite") as other:
        person = other.add_person("Person 0").id
        other.add_shot(person, face(5), np.ones((5, 2), np.float32), quality=0.5, source="elsewhere")
        other.export(copy, "abc")
    enrolled(window, qtbot, tmp_path, 0)
    monkeypatch.setattr("gui.panels.people.ask_for_gallery", lambda *_: copy)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("abc", True))
    shown: list[str] = []

    def ask(box: QMessageBox) -> int:
        shown.append(box.informativeText())
        next(b for b in box.buttons() if b.text() == "They are others").click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", ask)
    people(window).import_action.trigger()
    qtbot.waitUntil(lambda: names(window) == ["Person 0", "Person 0"], timeout=60_000)
    assert shown == ["Person 0"]


def test_a_damaged_gallery_is_said_and_set_aside(qtbot, home: Path, tmp_path: Path) -> None:
    ready_networks(home)
    (home / "faces.sqlite").write_bytes(b"SQLite format 3\x00" + b"damaged" * 500)
    window = open_window(qtbot)
    enter(window, qtbot)
    panel = people(window)
    assert panel.page is panel.broken and panel.broken.title.text()
    assert [path for path in home.iterdir() if path.name.startswith("faces") and path.name != "faces.sqlite"]
    next(panel.broken.steps.itemAt(i).widget() for i in range(2)).click()
    qtbot.waitUntil(lambda: panel.page is panel.welcome, timeout=20_000)
    window.close()


def test_a_gallery_that_cannot_be_opened_can_be_deleted(qtbot, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = say_yes(monkeypatch)
    ready_networks(home)
    (home / "faces.sqlite").write_bytes(b"SQLite format 3\x00" + b"damaged" * 500)
    window = open_window(qtbot)
    enter(window, qtbot)
    panel = people(window)
    assert panel.page is panel.broken
    buttons = [panel.broken.steps.itemAt(i).widget() for i in range(panel.broken.steps.count())]
    next(button for button in buttons if button is not None and button.text() == "Delete everything…").click()
    qtbot.waitUntil(lambda: panel.page is panel.welcome, timeout=20_000)
    assert len(asked) == 1 and not [path for path in home.iterdir() if path.name.startswith("faces.")]
    window.close()


def test_one_damaged_picture_hides_nobody(
    window: MainWindow, qtbot, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1, shots=1)
    faces(window)._gallery.close()
    with contextlib.closing(sqlite3.connect(home / "faces.sqlite")) as db, db:
        (data,) = db.execute("SELECT sealed FROM shots WHERE id = 1").fetchone()
        db.execute("UPDATE shots SET sealed = ? WHERE id = 1", (data.replace(b"IHDR", b"IXDR"),))
    errors: list[EngineError] = []
    faces(window).failed.connect(errors.append)
    faces(window)._refresh()
    faces(window)._refresh()
    settle(window, qtbot)
    assert names(window) == ["Person 0", "Person 1"] and len(errors) == 1 and "1 person" in errors[0].message
    pictures = [faces(window).thumbnail(person.id).isNull() for person in faces(window).people]
    assert pictures == [True, False] and faces(window).recogniser is not None
    say_yes(monkeypatch)
    faces(window).delete_people([faces(window).people[0].id])
    settle(window, qtbot)
    assert names(window) == ["Person 1"]


# --- recognising


def test_another_network_looks_at_the_gallery_by_itself(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1)
    write_faces("other", calibration=(20.0, -12.0), threshold=0.7)
    window.bridge.refresh_cards()
    qtbot.waitUntil(lambda: window.choice.findData("other") >= 0, timeout=20_000)
    words: list[str] = []
    faces(window).working.connect(
        lambda: words.append(faces(window).preparing.words) if faces(window).preparing else None
    )
    window.use_model("other")
    qtbot.waitUntil(lambda: ready(window) == "other", timeout=240_000)
    qtbot.waitUntil(lambda: faces(window).recogniser is not None, timeout=60_000)
    settle(window, qtbot)
    assert "Getting 6 faces ready for this network…" in words
    assert faces(window).recogniser.model.startswith("other:")
    assert people(window).bar.isHidden()
    look_at(window, qtbot, picture(tmp_path / "one.png", (1, 1, face(1))), 1)
    qtbot.waitUntil(lambda: labels(window) == ["Person 1"], timeout=60_000)
    window.use_model(NETWORK)
    qtbot.waitUntil(lambda: ready(window) == NETWORK and labels(window) == ["Person 1"], timeout=60_000)


def test_people_are_recognised_whatever_was_done_while_faces_were_got_ready(
    window: MainWindow, qtbot, tmp_path: Path
) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1, shots=6)
    for name in ("other", "third"):
        write_faces(name, calibration=(20.0, -12.0), threshold=0.7)
    window.bridge.refresh_cards()
    qtbot.waitUntil(lambda: window.choice.findData("third") >= 0, timeout=20_000)
    recogniser = lambda: faces(window).recogniser  # noqa: E731
    window.use_model("other")
    qtbot.waitUntil(lambda: faces(window).preparing is not None, timeout=240_000)
    window.use_model("third")
    qtbot.waitUntil(lambda: recogniser() is not None and recogniser().model.startswith("third:"), timeout=240_000)
    window.use_model("other")
    qtbot.waitUntil(lambda: faces(window).preparing is not None or recogniser() is not None, timeout=240_000)
    window.set_mode("draw")
    settle(window, qtbot)
    window.set_mode("faces")
    qtbot.waitUntil(lambda: recogniser() is not None and recogniser().model.startswith("other:"), timeout=240_000)


def test_who_is_deleted_is_named_no_more_although_the_mode_is_left_at_once(
    window: MainWindow, qtbot, tmp_path: Path
) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1)
    faces(window).delete_people([faces(window).people[0].id])
    window.set_mode("draw")
    qtbot.waitUntil(lambda: names(window) == ["Person 1"], timeout=20_000)
    settle(window, qtbot)
    left = faces(window).recogniser
    assert left is None or len(left.people) == 1
    window.set_mode("faces")
    qtbot.waitUntil(lambda: faces(window).recogniser is not None, timeout=240_000)
    assert len(faces(window).recogniser.people) == 1


def test_the_threshold_decides_and_shows_the_faces_beside_it(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1)
    look_at(window, qtbot, picture(tmp_path / "one.png", (1, 1, face(1, noise=200))), 1)
    qtbot.waitUntil(lambda: labels(window) == ["Person 1"], timeout=60_000)
    people(window).tab_buttons["threshold"].click()
    page = people(window).threshold
    assert people(window).page is page
    assert page.histogram.line == pytest.approx(faces(window).threshold) == pytest.approx(faces(window).suggested)
    qtbot.waitUntil(lambda: bool(page.same.pairs and page.other.pairs), timeout=20_000)
    assert all(not one.isNull() and not other.isNull() for one, other, _, _ in page.same.pairs + page.other.pairs)
    assert all(above for _, _, _, above in page.same.pairs) and not any(a for _, _, _, a in page.other.pairs)
    assert "0 of 6 faces here would stay unknown" in page.words
    for _ in range(9):
        qtbot.keyClick(page.histogram, Qt.Key.Key_PageUp)
    assert page.histogram.line == pytest.approx(0.99)
    qtbot.waitUntil(lambda: labels(window) == ["unknown"], timeout=60_000)
    assert faces(window).threshold == pytest.approx(0.99)
    page.suggest.click()
    qtbot.waitUntil(lambda: labels(window) == ["Person 1"], timeout=60_000)
    assert not page.suggest.isEnabled()


def test_the_threshold_is_remembered_for_the_network(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1)
    faces(window).set_threshold(0.9)
    settle(window, qtbot)
    window.close()
    again = open_window(qtbot)
    enter(again, qtbot)
    qtbot.waitUntil(lambda: faces(again).recogniser is not None, timeout=60_000)
    assert faces(again).recogniser.threshold == pytest.approx(0.9)
    again.close()


# --- albums


def album(tmp_path: Path) -> Path:
    """Ten pictures of three people, one of somebody who comes once, and one of nobody."""
    root = tmp_path / "album"
    for number in range(4):
        picture(root / f"a{number}.png", (1, 1, shot(0)), (5, 3, shot(1)))
        picture(root / "deeper" / f"b{number}.png", (2, 2, shot(2)))
    picture(root / "once.png", (2, 2, shot(4)))
    picture(root / "nobody.png")
    (root / "broken.jpg").write_bytes(b"nothing")
    return root


def groups(window: MainWindow) -> dict[str, int]:
    assert window.faces.album is not None
    return {group.title: len(group.members) for group in window.faces.album.groups}


def test_an_album_is_sorted_by_faces_and_the_unknown_get_names(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(album(tmp_path)))])
    drop(window, data)
    stage = window.faces.album
    assert stage is not None and window._stack.currentWidget() is stage
    wanted = {"Person 0": 4, "Unknown 1": 4, "Unknown 2": 4, "Seen once": 1}
    qtbot.waitUntil(lambda: not stage.running and groups(window) == wanted, timeout=120_000)
    assert stage.words == "11 pictures · 13 faces · 1 left out"
    stage.list.setCurrentRow(0)
    assert not stage.name.isVisible(), "who has a name needs none"
    stage.list.setCurrentRow(3)
    assert not stage.name.isEnabled(), "they may be different people"
    stage.list.setCurrentRow(1)
    assert stage.tiles.count() == 4
    stage.name.setText("Eve")
    qtbot.keyClick(stage.name, Qt.Key.Key_Return)
    wanted = {"Eve": 4, "Person 0": 4, "Unknown 1": 4, "Seen once": 1}
    qtbot.waitUntil(lambda: groups(window) == wanted, timeout=60_000)
    assert names(window) == ["Eve", "Person 0"] and faces(window).people[0].shots == 4
    stage.list.setCurrentRow(2)
    stage.tiles.opened.emit(stage.tiles.item(0).data(Qt.ItemDataRole.UserRole + 2))
    assert window._stack.currentWidget() is window.live and window.mode == "faces"
    qtbot.waitUntil(lambda: len(window.sight.faces) == 1, timeout=60_000)
    assert people(window).back_button.isVisible(), "the album is still there"
    people(window).back_button.click()
    assert window._stack.currentWidget() is stage and groups(window) == wanted
    assert not people(window).back_button.isVisible()


def test_nobody_is_in_a_picture_of_an_album_twice(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    for number in range(3):
        picture(tmp_path / "twins" / f"{number}.png", (1, 1, shot(0)), (5, 3, shot(0)))
    window.faces.open([tmp_path / "twins"])
    stage = window.faces.album
    wanted = {"Person 0": 3, "Unknown 1": 3}
    qtbot.waitUntil(lambda: not stage.running and groups(window) == wanted, timeout=120_000)
    for group in stage.groups:
        assert len({member.path for member in group.members}) == 3


def test_an_album_goes_on_while_one_looks_elsewhere(window: MainWindow, qtbot, tmp_path: Path) -> None:
    for number in range(24):
        picture(tmp_path / ("one", "two")[number % 2] / f"{number}.png", (2, 2, shot(0)))
    window.faces.open([tmp_path / "one", tmp_path / "two"])
    stage = window.faces.album
    qtbot.waitUntil(lambda: stage._job.done >= 2, timeout=60_000)
    assert stage._job.done < 24
    window.set_mode("draw")
    qtbot.waitUntil(lambda: not stage.running, timeout=120_000)
    assert stage._job.done == 24 and stage._job.skipped == []


def test_an_album_can_be_stopped_and_closed(window: MainWindow, qtbot, tmp_path: Path) -> None:
    for number in range(40):
        picture(tmp_path / "many" / f"{number}.png", (2, 2, shot(0)))
    window.faces.open([tmp_path / "many"])
    stage = window.faces.album
    qtbot.waitUntil(lambda: stage._job.done >= 3, timeout=60_000)
    stage.stop_button.click()
    qtbot.waitUntil(lambda: not stage.running, timeout=60_000)
    assert " of 40 pictures" in stage.words and stage._job.done < 40
    qtbot.waitUntil(lambda: len(stage.groups) == 1, timeout=60_000)
    assert "start a gallery" in stage._remark.text() and not stage.name.isEnabled()
    qtbot.keyClick(stage, Qt.Key.Key_Escape)
    assert window._stack.currentWidget() is window.live and stage.groups == []
    window.faces.open([tmp_path])
    empty = tmp_path / "empty"
    empty.mkdir()
    window.faces.open([empty])
    message = "There are no pictures in this folder."
    qtbot.waitUntil(lambda: message in [card.key[0] for card in window.notices.cards], timeout=60_000)


# --- what must not happen


def test_no_picture_and_no_name_shows_in_a_repr_or_an_error(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    candidate = None

    def take(found) -> None:  # type: ignore[no-untyped-def]
        nonlocal candidate
        candidate = found

    done: list[object] = []
    faces(window).from_photos([picture(tmp_path / "Person 0.png", (2, 2, shot(0)))], take, done.append)
    qtbot.waitUntil(lambda: bool(done), timeout=60_000)
    assert "Person" not in repr(candidate) and "jpeg" not in repr(candidate) and "array" not in repr(candidate)
    errors: list[EngineError] = []
    faces(window).failed.connect(errors.append)
    faces(window).rename(faces(window).people[0].id, " ")
    qtbot.waitUntil(lambda: bool(errors), timeout=20_000)
    assert "Person 0" not in f"{errors[0].message} {errors[0].hint}"


def test_a_failed_enrolment_leaves_nobody_behind(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(window, qtbot, tmp_path, 0)
    page = people(window).enrolment
    people(window).add_from_photos([picture(tmp_path / f"{n}.png", (2, 2, shot(1))) for n in range(3)])
    qtbot.waitUntil(lambda: page.tiles.count() == 3 and page._newcomer is not None, timeout=60_000)
    real: Callable[..., object] = Gallery.add_shot
    left = iter([True, False])

    def full(gallery: Gallery, *arguments: object, **named: object) -> object:
        if not next(left):
            raise EngineError("The disk is full.", "Make room.")
        return real(gallery, *arguments, **named)

    monkeypatch.setattr(Gallery, "add_shot", full)
    page.name.setText("Ben")
    page.keep_button.click()
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    assert page.keep_button.isEnabled(), "one may try again"
    monkeypatch.undo()
    faces(window)._refresh()
    settle(window, qtbot)
    assert names(window) == ["Person 0"]


def test_a_full_disk_adds_nobody_and_is_not_called_a_success(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in range(3):
        picture(tmp_path / f"Person {person}" / "one.png", (2, 2, shot(person)))
    people(window).start_button.click()
    qtbot.waitUntil(lambda: faces(window).state == "open", timeout=20_000)
    people(window).add_from_folders(tmp_path)
    qtbot.waitUntil(lambda: people(window).folders.add_button.isEnabled(), timeout=60_000)

    def full(*arguments: object, **named: object) -> object:
        raise WriteError("The disk is full.", "Make room.")

    said: list[str] = []
    faces(window).said.connect(said.append)
    monkeypatch.setattr(Gallery, "add_shot", full)
    people(window).folders.add_button.click()
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    settle(window, qtbot)
    assert names(window) == [] and not said


def test_the_same_pictures_are_taken_once(window: MainWindow, qtbot, tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / "Ann" / f"{number}.png", (2, 2, shot(0)))
    people(window).start_button.click()
    qtbot.waitUntil(lambda: faces(window).state == "open", timeout=20_000)
    said: list[str] = []
    faces(window).said.connect(said.append)
    for _ in range(2):
        people(window).add_from_folders(tmp_path)
        qtbot.waitUntil(lambda: people(window).folders.add_button.isEnabled(), timeout=60_000)
        people(window).folders.add_button.click()
        settle(window, qtbot)
    assert [(person.name, person.shots) for person in faces(window).people] == [("Ann", 2)]
    assert "2 pictures were there already" in said[-1]


def test_everything_in_faces_has_a_name_and_a_place_at_1280_by_800(window: MainWindow, qtbot, tmp_path: Path) -> None:
    enrolled(window, qtbot, tmp_path, 0, 1)
    panel = people(window)
    for tab, parts in (
        ("people", (panel.people.list, panel.people.person.tiles, panel.people.search, panel.more_button)),
        ("threshold", (panel.threshold.histogram, panel.threshold.same, panel.threshold.other)),
        ("door", (panel.door.visits, panel.door.allowed, panel.door.days)),
    ):
        panel.show_tab(tab)
        qtbot.wait(30)
        for part in parts:
            assert part.accessibleName(), part
            assert part.visibleRegion().boundingRect() == part.rect(), f"{part} is cut off"
    door = panel.door
    for box in (door.on, door.strangers, door.sound, door.file, door.check_button, door.clear_button):
        assert box.visibleRegion().boundingRect() == box.rect(), f"{box.text()} is cut off"
    for part in (window.answer.faces.rows, window.answer.faces.view, window.answer.faces.name):
        assert part.visibleRegion().boundingRect() == part.rect() and part.accessibleName()
    assert window.live.height() >= 300
