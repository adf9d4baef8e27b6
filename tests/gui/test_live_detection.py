"""Live with a detector: its real window, its own network, recording, writing boxes, going through a video by keys."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QToolButton

from engine import CaptureState, Detections, Frame, Result, SourceInfo
from engine.concurrency import Flag
from engine.vision.detect import Detector
from gui.bridge import Bridge
from gui.exporter import Exporter
from gui.frame import ShortcutList
from gui.live_view import place_text
from gui.recorder import duration, size
from gui.window import MainWindow
from tests.gui.conftest import ONE, open_window, stroke, write_detector


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a grey picture that gets brighter, so that a frame tells its number."""
    path = tmp_path_factory.mktemp("video") / "brighter.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (160, 120))
    for index in range(120):
        writer.write(np.full((120, 160, 3), 2 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def window(qtbot, home: Path) -> Iterator[MainWindow]:
    """The window in Draw, with a detector of our own in the zoo."""
    write_detector(home)
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: ready(window) == "digits", timeout=120_000)
    qtbot.waitUntil(lambda: window.choice.findData("finder") >= 0, timeout=20_000)
    yield window
    window.close()


def ready(window: MainWindow) -> str:
    state = window.bridge.state
    return state.name if state is not None and state.phase == "ready" else ""


def showing(window: MainWindow) -> int:
    frame = window.live.picture.frame
    return -1 if frame is None else frame.index


def play(window: MainWindow, qtbot, path: Path) -> None:
    """Play a video in Live until the detector has looked at it."""
    window.set_mode("live")
    window.live.open(str(path))
    qtbot.waitUntil(lambda: ready(window) == "finder", timeout=120_000)
    qtbot.waitUntil(lambda: window.sight.shown is not None and len(window.sight.shown) == 4, timeout=20_000)


def freeze(window: MainWindow, qtbot) -> None:
    window.live.toggle()
    qtbot.waitUntil(lambda: window.bridge.source_state.phase == "paused")
    qtbot.waitUntil(lambda: showing(window) == window.bridge.source_state.position - 1, timeout=20_000)


def read_to(window: MainWindow, qtbot, index: int) -> None:
    """Wait until a frame is shown with what was found in it."""

    def read() -> bool:
        result = window.live.picture.result
        return result is not None and result.frame.index == showing(window) == index

    qtbot.waitUntil(read, timeout=20_000)


# --- the network of each mode


def test_live_begins_with_the_detector_and_draw_keeps_its_own(window: MainWindow, qtbot, video: Path) -> None:
    assert not window.live.controls.isVisible()
    play(window, qtbot, video)
    assert window.choice.currentData() == "finder" and window.live.controls.isVisible()
    qtbot.waitUntil(lambda: window.answer.reading.text == "4 × person", timeout=20_000)
    assert window.settings.text("live-model") == "", "nobody has chosen it yet"
    window.set_mode("draw")
    assert window.choice.currentData() == "digits"
    stroke(window.canvas, ONE)
    qtbot.waitUntil(lambda: window.answer.reading.text == "1", timeout=20_000)
    window.set_mode("live")
    qtbot.waitUntil(lambda: window.answer.reading.text == "4 × person", timeout=20_000)
    window.use_model("digits")
    window.set_mode("draw")
    window.set_mode("live")
    assert window.choice.currentData() == "digits", "what was chosen in Live stays Live's"
    window.close()
    again = open_window(qtbot)
    assert again.mode == "live" and again._model == "digits"
    again.close()


def test_moving_digits_are_read_by_the_network_for_digits_as_long_as_they_play(
    window: MainWindow, qtbot, video: Path
) -> None:
    window.moving_action.trigger()
    qtbot.waitUntil(
        lambda: len(window.answer.reading.text) > 1 and window.answer.reading.text.isdigit(), timeout=20_000
    )
    assert window.choice.currentData() == "digits" and window.settings.text("live-model") == ""
    play(window, qtbot, video)
    window.moving_action.trigger()
    qtbot.waitUntil(lambda: ready(window) == "digits", timeout=20_000)
    window.use_model("finder")
    qtbot.waitUntil(lambda: ready(window) == "finder", timeout=20_000)
    assert window.settings.text("live-model") == "finder", "now it was chosen, even for digits"


def test_a_detector_chosen_on_paper_leads_to_live(window: MainWindow, qtbot) -> None:
    window.next_action.trigger()
    assert window.mode == "draw" and window._model == "digits", "the keys go through those that read paper"
    window.choice.picked.emit("finder")
    assert window.mode == "live" and window.choice.currentData() == "finder"
    window.set_mode("draw")
    assert window.choice.currentData() == "digits"


def test_results_of_the_network_before_are_not_shown(window: MainWindow, qtbot, video: Path) -> None:
    play(window, qtbot, video)
    late = dataclasses.replace(window.sight.result)
    window.use_model("digits")
    window._take_result(late)
    assert window.sight.result is not late and window.live.picture.result is not late
    qtbot.waitUntil(lambda: ready(window) == "digits", timeout=20_000)
    assert window.sight.card is None and window.sight.result is None
    assert not window.live.controls.isVisible()


def test_a_network_of_live_that_is_gone_gives_way_to_the_one_that_runs(qtbot, home: Path, video: Path) -> None:
    (home / "window.ini").write_text("[General]\nlive-model=was-deleted\n")
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: ready(window) == "digits", timeout=120_000)
    window.set_mode("live")
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    assert window.choice.currentData() == "digits"
    window.live.open(str(video))
    qtbot.waitUntil(lambda: window.live.picture.result is not None, timeout=20_000)
    assert len(window.notices.cards) == 1, "said once"
    window.close()


# --- looking at boxes


def test_keys_go_from_box_to_box_and_the_score_and_classes_hide_them(window: MainWindow, qtbot, video: Path) -> None:
    play(window, qtbot, video)
    freeze(window, qtbot)
    picture = window.live.picture
    picture.setFocus()
    qtbot.keyClick(picture, Qt.Key.Key_Right)
    assert window.sight.chosen is not None
    first = window.sight.chosen.index
    qtbot.keyClick(picture, Qt.Key.Key_Right)
    assert window.sight.chosen.index != first
    assert window.answer.boxes.box.chosen is window.sight.chosen
    assert window.answer.boxes.box.image().shape == (64, 64, 3)
    qtbot.keyClick(picture, Qt.Key.Key_Escape)
    assert window.sight.chosen is None
    for _ in range(13):
        window.more_action.trigger()
    assert window.live.controls.score.value() == 95 and len(window.sight.shown) == 0
    assert window.answer.reading.text == "Nothing in sight"
    window.less_action.trigger()
    window.less_action.trigger()
    assert len(window.sight.shown) == 4 and len(picture.overlay.marks) == 4
    window.sight.show_class("person", False)
    assert len(picture.overlay.marks) == 0


def test_another_source_forgets_what_was_in_sight(window: MainWindow, qtbot, video: Path) -> None:
    play(window, qtbot, video)
    window.sight.choose(0)
    late = dataclasses.replace(window.sight.result)
    window.live.open(str(video))
    assert window.sight.chosen is None and window.sight.past() == []
    qtbot.waitUntil(lambda: window.bridge.source is not None)
    window._take_result(late)
    assert window.sight.result is not late, "of the source before"


# --- going through a video


def test_a_video_is_gone_through_by_keys(window: MainWindow, qtbot, video: Path) -> None:
    play(window, qtbot, video)
    freeze(window, qtbot)
    picture, live = window.live.picture, window.live
    picture.setFocus()
    qtbot.keyClick(picture, Qt.Key.Key_Home)
    qtbot.waitUntil(lambda: showing(window) == 0, timeout=20_000)
    assert live._where.text() == "0:00.0 / 0:06.0 · 1 / 120"
    qtbot.keyClick(picture, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: showing(window) == 100, timeout=20_000)
    assert live._where.text() == "0:05.0 / 0:06.0 · 101 / 120" and live.scrub.value() == 100
    window.back_action.trigger()
    qtbot.waitUntil(lambda: showing(window) == 99, timeout=20_000)
    assert int(picture.frame.image.mean()) == pytest.approx(198, abs=4), "it is that picture"
    live.previous.click()
    qtbot.waitUntil(lambda: showing(window) == 98, timeout=20_000)
    window.step_action.trigger()
    qtbot.waitUntil(lambda: showing(window) == 99, timeout=20_000)
    qtbot.keyClick(picture, Qt.Key.Key_PageUp)
    qtbot.waitUntil(lambda: showing(window) == 0, timeout=20_000)
    qtbot.keyClick(picture, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: showing(window) == 119, timeout=20_000)
    picture.zoom(4.0)
    left = picture.place_of(0).x() if picture.overlay is not None and picture.overlay.marks else picture.area.x()
    qtbot.keyClick(picture, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert (picture.place_of(0).x() if picture.overlay.marks else picture.area.x()) != left
    assert not live.playing


def test_where_a_frame_is_fits_the_source() -> None:
    film = SourceInfo("a.mp4", "video", 64, 48, 25.0, 1500, live=False)
    assert place_text(0, film) == "0:00.0 / 1:00.0 · 1 / 1500"
    assert place_text(1499, film) == "0:59.9 / 1:00.0 · 1500 / 1500"
    assert place_text(31, SourceInfo("c", "camera", 64, 48, 30.0, None, live=True)) == "0:01.0 · 32"
    assert place_text(1, SourceInfo("f", "pictures", 64, 48, 1.0, 7, live=False)) == "2 of 7"


def test_all_keys_of_live_are_listed(window: MainWindow) -> None:
    window.keys_action.trigger()
    dialog = window.findChild(ShortcutList)
    words = {label.text() for label in dialog.findChildren(QLabel)}
    for text in ("One frame back", "Record what is shown", "Write the boxes to a file", "Classes to show"):
        assert text in words
    for text in ("On the live picture", "Next box", "To the end", "Move up"):
        assert text in words
    dialog.close()


# --- recording


def frames_of(path: Path) -> list[np.ndarray]:
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        ok, image = capture.read()
        if not ok:
            capture.release()
            return found
        found.append(image)


def test_what_is_shown_is_recorded_with_its_boxes(window: MainWindow, qtbot, video: Path, tmp_path: Path) -> None:
    play(window, qtbot, video)
    freeze(window, qtbot)
    live = window.live
    live.jump(float("-inf"))
    read_to(window, qtbot, 0)
    live.record_to(tmp_path / "seen.avi", "drawn")
    qtbot.waitUntil(lambda: live.recorder.state is not None, timeout=20_000)
    assert live.record.toolTip().startswith("End the recording")
    for index in range(1, 6):
        live.step()
        read_to(window, qtbot, index)
    qtbot.waitUntil(lambda: live._recorded_so_far.text().startswith("0:00 · "))
    with qtbot.waitSignal(live.recorder.ended, timeout=20_000) as ended:
        window.record_action.trigger()
    state = ended.args[0]
    assert state.phase == "saved" and state.error is None
    images = frames_of(tmp_path / "seen.avi")
    assert images[0].shape == (120, 160, 3) and len(images) == 6
    coloured = [int((image.max(axis=2).astype(int) - image.min(axis=2) > 40).sum()) for image in images]
    assert min(coloured) > 200, "the boxes are in every picture"
    assert not live.recorder.on and live._recorded_so_far.text() == ""


def test_the_plain_picture_is_recorded_frame_by_frame(window: MainWindow, qtbot, video: Path, tmp_path: Path) -> None:
    window.live.loop.setChecked(False)
    play(window, qtbot, video)
    live = window.live
    with qtbot.waitSignal(live.recorder.ended, timeout=30_000) as ended:
        live.record_to(tmp_path / "plain.avi", "plain")  # it ends with the video
    assert ended.args[0].phase == "saved"
    images = frames_of(tmp_path / "plain.avi")
    light = [float(image.mean()) for image in images]
    assert all(float(image.std()) < 3 for image in images), "nothing is drawn over it"
    assert light == sorted(light) and light[-1] == pytest.approx(238, abs=4)
    fps = cv2.VideoCapture(str(tmp_path / "plain.avi")).get(cv2.CAP_PROP_FPS)
    assert ended.args[0].seconds == pytest.approx(len(images) / fps)


def test_a_frozen_picture_takes_no_time_in_the_recording(
    window: MainWindow, qtbot, video: Path, tmp_path: Path
) -> None:
    play(window, qtbot, video)
    live = window.live
    live.record_to(tmp_path / "steps.avi", "drawn")
    qtbot.waitUntil(lambda: live.recorder.state is not None, timeout=20_000)
    freeze(window, qtbot)
    before = live.recorder.state.seconds
    at = showing(window)
    for step in range(1, 4):
        live.step()
        qtbot.waitUntil(lambda step=step: showing(window) >= at + step, timeout=20_000)
    with qtbot.waitSignal(live.recorder.ended, timeout=20_000) as ended:
        live.toggle_recording()
    assert ended.args[0].phase == "saved" and ended.args[0].seconds < before + 1.0
    assert len(frames_of(tmp_path / "steps.avi")) >= 3


def test_a_place_that_cannot_be_recorded_to_is_said(window: MainWindow, qtbot, video: Path, tmp_path: Path) -> None:
    play(window, qtbot, video)
    (tmp_path / "file").write_text("in the way")
    window.live.record_to(tmp_path / "file" / "seen.mp4", "drawn")
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    qtbot.waitUntil(lambda: not window.live.recorder.on)
    assert window.live.record.toolTip().startswith("Record what")


def test_leaving_and_closing_complete_the_recording(window: MainWindow, qtbot, video: Path, tmp_path: Path) -> None:
    play(window, qtbot, video)
    live = window.live
    live.record_to(tmp_path / "left.mp4", "drawn")
    qtbot.waitUntil(lambda: live.recorder.state is not None and live.recorder.state.pictures > 2, timeout=20_000)
    with qtbot.waitSignal(live.recorder.ended, timeout=20_000):
        window.set_mode("draw")
    assert frames_of(tmp_path / "left.mp4")
    window.set_mode("live")
    qtbot.waitUntil(lambda: live.playing, timeout=20_000)
    live.record_to(tmp_path / "closed.mp4", "plain")
    qtbot.waitUntil(lambda: live.recorder.state is not None and live.recorder.state.pictures > 2, timeout=20_000)
    window.close()
    assert frames_of(tmp_path / "closed.mp4")


def test_an_error_of_the_recording_is_a_notice(window: MainWindow, qtbot, video: Path, tmp_path: Path) -> None:
    play(window, qtbot, video)
    live = window.live
    live.record_to(tmp_path / "short.avi", "drawn")
    qtbot.waitUntil(lambda: live.recorder.state is not None and live.recorder.state.pictures > 2, timeout=20_000)
    live.recorder._recording._free = lambda _: 0  # the disk fills up
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    assert "disk is nearly full" in window.notices.cards[0].key[0]
    assert not live.recorder.on and frames_of(tmp_path / "short.avi")


def test_words_for_a_recording() -> None:
    assert [duration(seconds) for seconds in (0, 61.9, 3725)] == ["0:00", "1:01", "1:02:05"]
    assert [size(count) for count in (900, 25_400_000, 2_310_000_000)] == ["1 kB", "25.4 MB", "2.31 GB"]


# --- writing what is found


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_boxes_are_written_once_for_every_frame(
    window: MainWindow, qtbot, video: Path, tmp_path: Path, suffix: str
) -> None:
    play(window, qtbot, video)
    live, path = window.live, tmp_path / f"boxes{suffix}"
    freeze(window, qtbot)
    live.export_to(path)
    at = showing(window)
    for step in (1, 2, 3):
        live.step()
        qtbot.waitUntil(lambda step=step: showing(window) == at + step, timeout=20_000)
    live.step_back()
    qtbot.waitUntil(lambda: showing(window) == at + 2, timeout=20_000)
    qtbot.waitUntil(lambda: "16 boxes · 4 of 120 frames" in live._recorded_so_far.text())
    with qtbot.waitSignal(live.exporter.ended, timeout=20_000) as ended:
        window.export_action.trigger()
    assert "16 boxes in 4 of 120 frames" in ended.args[0] and not live.exporter.on
    if suffix == ".json":
        coco = json.loads(path.read_text())
        assert [image["frame"] for image in coco["images"]] == [at, at + 1, at + 2, at + 3]
        assert {each["name"] for each in coco["categories"]} >= {"person"} and len(coco["annotations"]) == 16
    else:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 16 and {row["label"] for row in rows} == {"person"}


def test_only_what_is_shown_is_written_and_trouble_is_said(
    window: MainWindow, qtbot, video: Path, tmp_path: Path
) -> None:
    play(window, qtbot, video)
    live = window.live
    freeze(window, qtbot)
    window.sight.show_classes(frozenset())
    live.export_to(tmp_path / "none.csv")
    with qtbot.waitSignal(live.exporter.ended, timeout=20_000) as ended:
        live.open(str(video))  # another source ends it
    assert "0 boxes in 1 of 120 frames" in ended.args[0]
    window.sight.show_classes(frozenset({"person"}))
    (tmp_path / "file").write_text("in the way")
    play(window, qtbot, video)
    live.export_to(tmp_path / "file" / "boxes.csv")
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1 and not live.exporter.on, timeout=20_000)


@pytest.mark.parametrize("read", [True, False])
def test_the_last_frame_is_waited_for_when_the_source_ends(
    window: MainWindow, qtbot, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: bool
) -> None:
    play(window, qtbot, video)
    live = window.live
    freeze(window, qtbot)
    at = showing(window)
    read_to(window, qtbot, at)
    healthy, reading, go = Detector.predict, Flag(), Flag()

    def slow(self: Detector, frame: Frame, **options: Any) -> Result:
        reading.set()
        assert go.wait(20)
        return healthy(self, frame, **options)

    monkeypatch.setattr(Detector, "predict", slow)
    live.export_to(tmp_path / "boxes.json")
    live.step()
    qtbot.waitUntil(reading.is_set, timeout=20_000)
    live._ending.setInterval(20_000 if read else 10)
    with qtbot.waitSignal(live.exporter.ended, timeout=20_000) as ended:
        window.bridge.capture.emit(CaptureState("ended", window.bridge.source_state.info, at + 2))
        assert live.exporter.on and not live.exporter._stopping
        if read:
            go.set()
    go.set()
    assert ("8 boxes in 2 of 120 frames" if read else "4 boxes in 1 of 120 frames") in ended.args[0]
    images = json.loads((tmp_path / "boxes.json").read_text())["images"]
    assert [image["frame"] for image in images] == [at, at + 1][: 1 + read]


def test_a_frame_of_a_camera_that_stands_still_is_written_once(qtbot, tmp_path: Path) -> None:
    bridge = Bridge()
    exporter = Exporter(bridge)
    info = SourceInfo("Desk", "camera", 8, 6, 30.0, None, live=True)
    box = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ("cup",))
    exporter.start(tmp_path / "boxes.json", info)
    for index in (10, 14, 3):  # two that nobody has read lie between each; then it was plugged in again
        frame = Frame(np.zeros((6, 8, 3), np.uint8), "Desk", index, 0.1 * index, clock=0.1 * index)
        exporter.take(frame, box)
        exporter.take(frame, box)
        exporter.take(frame, box)
    with qtbot.waitSignal(exporter.ended, timeout=20_000) as ended:
        exporter.stop()
    assert "3 boxes in 3 of 9 frames" in ended.args[0]
    exporter.close()
    bridge.close()


def test_the_menu_beside_record_offers_what_is_possible(window: MainWindow, qtbot, video: Path) -> None:
    window.set_mode("live")
    live = window.live
    assert not live.record.isEnabled()
    play(window, qtbot, video)
    shown, plain, _, boxes = live._record_menu.actions()
    assert live.record.popupMode() == QToolButton.ToolButtonPopupMode.MenuButtonPopup
    assert shown.isEnabled() and plain.isEnabled() and boxes.isEnabled()
    window.use_model("digits")
    qtbot.waitUntil(lambda: ready(window) == "digits", timeout=20_000)
    assert not boxes.isEnabled()
