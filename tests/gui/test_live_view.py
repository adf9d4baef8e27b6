"""Live: nothing to see, moving digits, a video, and what happens when one goes away and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QUrl
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication

from engine import CaptureState, EngineError, Result, open_source
from gui.window import MainWindow
from tests.gui.conftest import drop, stroke


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of moving digits."""
    path = tmp_path_factory.mktemp("video") / "digits.avi"
    source = open_source("digits:")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (source.info.width, source.info.height))
    for _ in range(60):
        frame = source.read()
        assert frame is not None
        writer.write(np.ascontiguousarray(frame.image[..., ::-1]))
    writer.release()
    source.close()
    return path


def showing(window: MainWindow) -> int:
    frame = window.live.picture.frame
    return -1 if frame is None else frame.index


def test_without_a_source_it_says_what_one_could_look_at(window: MainWindow, qtbot, monkeypatch) -> None:
    monkeypatch.setattr("engine.sources.list_cameras", list)
    window.set_mode("live")
    qtbot.waitUntil(lambda: window.live.welcome.text == "No camera found")
    assert window.live.welcome.buttons["digits"].isVisible()
    assert not window.live.play.isEnabled() and not window.live.shot.isEnabled()
    window.live.welcome.buttons["digits"].click()
    qtbot.waitUntil(lambda: window.live.picture.result is not None, timeout=20_000)


def test_moving_digits_are_read_where_they_are(window: MainWindow, qtbot) -> None:
    window.moving_action.trigger()
    assert window.mode == "live"
    qtbot.waitUntil(
        lambda: window.live.picture.result is not None and len(window.live.picture.result.text) > 1, timeout=20_000
    )
    result = window.live.picture.result
    assert result.frame is window.live.picture.frame, "boxes belong to the picture that is shown"
    assert window.inside.shown_layer or window.inside._newest is not None
    qtbot.waitUntil(lambda: window._pace.text() != "" and "fps" in window._pace.text())
    qtbot.waitUntil(lambda: len(window.live._strip._seconds) == 4)


def test_a_dropped_video_plays_freezes_steps_and_goes_to_a_place(window: MainWindow, qtbot, video: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(video))])
    drop(window, data)
    live = window.live
    qtbot.waitUntil(lambda: live.playing and showing(window) > 3, timeout=20_000)
    assert live.scrub.maximum() == 59
    live.toggle()
    qtbot.waitUntil(lambda: not live.playing)
    qtbot.waitUntil(lambda: window.bridge.source_state.phase == "paused")
    live.scrub.setSliderPosition(40)
    live._scrubbed(0)
    qtbot.waitUntil(lambda: showing(window) == 40, timeout=20_000)
    live.step()
    qtbot.waitUntil(lambda: showing(window) == 41, timeout=20_000)
    live.toggle()
    qtbot.waitUntil(lambda: live.playing)


def test_a_video_ends_or_begins_again(window: MainWindow, qtbot, video: Path) -> None:
    window.set_mode("live")
    window.live.loop.setChecked(False)
    window.live.open(str(video))
    qtbot.waitUntil(lambda: window.live._state is not None and window.live._state.phase == "ended", timeout=30_000)
    window.live.toggle()
    qtbot.waitUntil(lambda: window.live.playing and 0 <= showing(window) < 50, timeout=20_000)


def test_leaving_the_stage_stops_the_video_and_coming_back_goes_on(window: MainWindow, qtbot, video: Path) -> None:
    window.set_mode("live")
    window.live.open(str(video))
    qtbot.waitUntil(lambda: window.live.playing and showing(window) > 1, timeout=20_000)
    window.set_mode("draw")
    qtbot.waitUntil(lambda: window.bridge.source_state.phase == "paused")
    window.set_mode("live")
    qtbot.waitUntil(lambda: window.live.playing)


def test_a_remote_file_that_broke_off_does_not_go_on_unseen(window: MainWindow, qtbot, video: Path) -> None:
    window.set_mode("live")
    window.live.open(str(video))
    qtbot.waitUntil(lambda: window.live.playing and showing(window) > 1, timeout=20_000)
    info = window.bridge.source_state.info
    window.bridge.capture.emit(CaptureState("waiting", info, 2, EngineError("Nothing comes any more.")))
    window.set_mode("draw")  # and now it comes back
    qtbot.waitUntil(lambda: window.bridge.source_state.phase == "paused")
    window.set_mode("live")
    qtbot.waitUntil(lambda: window.live.playing)


def test_leaving_while_a_source_opens_closes_it_and_coming_back_opens_it_again(window: MainWindow, qtbot) -> None:
    window.set_mode("live")
    played: list[object] = []
    window.bridge.preview.connect(played.append)
    window.live.open("digits:")
    window.set_mode("draw")
    qtbot.waitUntil(lambda: not any(worker.alive for worker in window.bridge._workers), timeout=20_000)
    QApplication.processEvents()
    assert window.bridge.source is None and not played
    window.set_mode("live")
    qtbot.waitUntil(lambda: window.live.playing and window.live.picture.result is not None, timeout=20_000)


def test_a_frame_that_comes_late_does_not_take_the_place_of_the_drawing(window: MainWindow, qtbot) -> None:
    window.moving_action.trigger()
    qtbot.waitUntil(lambda: window.live.picture.result is not None, timeout=20_000)
    late = window.live.picture.frame
    window.set_mode("draw")
    window.bridge._on_frame(late)  # the capture thread was in the midst of it
    assert window.bridge._session._last.source == "canvas"
    stroke(window.canvas, [(330.0, 130.0), (540.0, 130.0), (430.0, 430.0)])
    qtbot.waitUntil(lambda: window.answer.reading.text == "7", timeout=20_000)
    window.bridge._on_frame(late)
    read: list[Result] = []
    window.bridge.result.connect(read.append)
    layer = window.bridge.state.card.layers[1].name
    window.inside.show_layer_named(layer)
    qtbot.waitUntil(
        lambda: bool(read) and read[-1].activations is not None and read[-1].activations.layer == layer, timeout=20_000
    )
    assert read[-1].frame.source == "canvas" and read[-1].text == "7"


def test_a_frozen_video_is_read_again_when_one_comes_back(window: MainWindow, qtbot, video: Path) -> None:
    window.set_mode("live")
    window.live.open(str(video))
    qtbot.waitUntil(lambda: window.live.playing and window.live.picture.result is not None, timeout=20_000)
    window.live.toggle()
    qtbot.waitUntil(lambda: window.bridge.source_state.phase == "paused")
    index = showing(window)
    window.set_mode("draw")
    qtbot.waitUntil(lambda: window.answer.reading.text == "Nothing drawn yet", timeout=20_000)
    window.set_mode("live")
    read: list[int] = []
    window.bridge.result.connect(lambda result: read.append(result.frame.index))
    qtbot.waitUntil(lambda: len(read) > 0, timeout=20_000)
    assert showing(window) >= index and not window.live.playing


def test_the_slider_is_there_only_where_the_length_is_known(window: MainWindow, qtbot, video: Path) -> None:
    window.set_mode("live")
    assert not window.live.scrub.isVisible()
    window.live.open(str(video))
    qtbot.waitUntil(lambda: window.live.playing and window.live.scrub.isVisible(), timeout=20_000)
    right = window.live.shot.mapTo(window, QPoint(0, 0))
    window.live.open("digits:")
    qtbot.waitUntil(lambda: window.live.playing and window.live.picture.result is not None, timeout=20_000)
    assert not window.live.scrub.isVisible()
    assert window.live.shot.mapTo(window, QPoint(0, 0)) == right, "the buttons beside it stay where they are"


def test_a_snapshot_has_the_size_of_the_picture_and_its_boxes(window: MainWindow, qtbot, tmp_path: Path) -> None:
    window.moving_action.trigger()
    qtbot.waitUntil(
        lambda: window.live.picture.result is not None and bool(window.live.picture.result.regions), timeout=20_000
    )
    window.live.toggle()
    frame = window.live.picture.frame
    window.live.save_snapshot(tmp_path / "shot.png")
    qtbot.waitUntil((tmp_path / "shot.png").exists, timeout=20_000)
    image = QImage(str(tmp_path / "shot.png"))
    assert (image.width(), image.height()) == (frame.image.shape[1], frame.image.shape[0])
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    pixels = rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3)
    assert (pixels != frame.image).any()


def test_a_file_that_is_no_video_is_explained(window: MainWindow, qtbot, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    window.set_mode("live")
    window.live.open(str(tmp_path / "broken.mp4"))
    qtbot.waitUntil(lambda: window.live._state is not None and window.live._state.phase == "failed", timeout=20_000)
    assert "broken.mp4" in window.live.welcome.text
    assert window.live.welcome.buttons["retry"].isVisible()
    assert str(tmp_path / "broken.mp4") not in window.settings.texts("recent")


@pytest.mark.parametrize("phase", ["waiting", "failed"])
def test_what_is_read_after_the_source_went_does_not_cover_the_page_that_says_so(
    window: MainWindow, qtbot, phase: Literal["waiting", "failed"]
) -> None:
    window.moving_action.trigger()
    live = window.live
    qtbot.waitUntil(lambda: live.picture.result is not None, timeout=20_000)
    live.toggle()
    qtbot.waitUntil(lambda: window.bridge.source_state.phase == "paused")
    late, playing = live.picture.result, window.bridge.source_state
    error = EngineError("The camera is not there any more.", "Plug it in.")
    window.bridge.capture.emit(CaptureState(phase, playing.info, 0, error))
    window._take_result(late)
    live._last_result = 0.0
    live._take_preview(late.frame)
    assert not live.shows_picture and live.welcome.text == error.message
    assert live.welcome.buttons["retry"].isVisible() == (phase == "failed")
    assert live.picture.frame is None and not live.play.isEnabled()
    window.bridge.capture.emit(playing)  # it is back
    window._take_result(late)
    assert live.shows_picture and live.play.isEnabled()


def test_zooming_keeps_the_point_under_the_mouse_and_fit_shows_all(window: MainWindow, qtbot, video: Path) -> None:
    window.set_mode("live")
    window.live.open(str(video))
    qtbot.waitUntil(lambda: showing(window) >= 0, timeout=20_000)
    picture = window.live.picture
    whole = picture.area
    point = QPointF(whole.x() + whole.width() * 0.4, whole.y() + whole.height() * 0.6)
    picture.zoom(3.0, point)
    place = picture.area
    assert place.width() > 2.9 * whole.width()
    assert (point.x() - place.x()) / place.width() == pytest.approx(0.4, abs=1e-6)
    window.fit_action.trigger()
    assert picture.area == whole
