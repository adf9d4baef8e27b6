"""The soak in small: everything that can go wrong with a source or a network, one after the other, while it records."""

from __future__ import annotations

import gc
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import soak
from benchmarks.soak import Fault, FaultyCamera, failing_detector, faults_of
from engine import CaptureState, Frame
from gui.window import MainWindow
from tests.gui.conftest import open_window, write_detector

SIZE = (160, 120)
PATIENCE = 60_000  # milliseconds; all of it takes a few seconds where nothing else runs


def grey() -> Iterator[np.ndarray]:
    """Pictures that get brighter, over and over."""
    for number in itertools.count():
        yield np.full((SIZE[1], SIZE[0], 3), 20 + number % 200, np.uint8)


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyCamera]:
    monkeypatch.setattr(soak, "GIVES_UP", 0.6)
    monkeypatch.setattr("engine.sources._RETRY_SECONDS", 0.05)
    with FaultyCamera(grey()).in_place() as camera:
        yield camera


@pytest.fixture
def window(qtbot, home: Path, camera: FaultyCamera) -> Iterator[MainWindow]:
    """Live looks through the camera with a detector that finds four persons in every picture."""
    write_detector(home)
    window = open_window(qtbot)
    window.set_mode("live")
    window.live.open(camera.spec)
    shown_since(window, qtbot, 0.0)
    yield window
    window.close()


def shown_since(window: MainWindow, qtbot, moment: float, size: tuple[int, int] = SIZE) -> None:
    """Wait until a frame of that size, captured after that moment, is shown with what was found in it."""

    def shown() -> bool:
        result = window.live.picture.result
        return (
            window.live.shows_picture
            and result is not None
            and result.frame is window.live.picture.frame
            and result.frame.time > moment
            and result.frame.image.shape[1::-1] == size
            and result.detections is not None
            and len(result.detections) == 4
        )

    qtbot.waitUntil(shown, timeout=PATIENCE)


def our_threads() -> Counter[str]:
    return Counter(thread.name for thread in threading.enumerate() if thread.name.startswith("convscope"))


def frames_in_memory() -> list[Frame]:
    """The camera's frames that somebody still holds."""
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is Frame and each.source == FaultyCamera.NAME]


def test_live_and_its_recording_outlast_every_fault(
    window: MainWindow, qtbot, camera: FaultyCamera, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live, picture = window.live, window.live.picture
    states: list[CaptureState] = []
    notices: list[str] = []
    window.bridge.capture.connect(states.append)
    for failed in (window.bridge.failed, live.failed, window.companions.failed, window.counting.failed):
        failed.connect(lambda error: notices.append(str(error)))
    qtbot.waitUntil(lambda: our_threads() == {"convscope-capture": 1, "convscope-inference": 1}, timeout=PATIENCE)

    live.record_to(tmp_path / "all of it.avi", "drawn")
    qtbot.waitUntil(lambda: live.recorder.state is not None and live.recorder.state.pictures > 0, timeout=PATIENCE)

    with failing_detector() as throw:
        faults = {fault.name: fault for fault in faults_of(camera, throw)}

        def pages() -> list[str]:
            return [state.phase for state in states if state.error is not None]

        def goes_on_after(fault: Fault) -> None:
            before = live.recorder.state.pictures
            fault.end()
            shown_since(window, qtbot, window.bridge.now())
            qtbot.waitUntil(lambda: live.recorder.state.pictures > before, timeout=PATIENCE)

        fault = faults.pop("unplugged")
        fault.begin()
        qtbot.waitUntil(lambda: pages() == ["waiting"], timeout=PATIENCE)
        assert not live.shows_picture and "not there any more" in live.welcome.text
        goes_on_after(fault)

        fault = faults.pop("network throws")
        fault.begin()
        qtbot.waitUntil(lambda: len(notices) == 1 and picture.result is None, timeout=PATIENCE)  # many were not read
        goes_on_after(fault)
        assert [card.count for card in window.notices.cards] == [1]
        assert window.notices.cards[0]._passing.isActive(), "it is over, and the notice goes by itself"

        for name, size in (("3840 × 2160", (3840, 2160)), ("640 × 480", (640, 480))):
            fault = faults.pop(name)
            fault.begin()
            shown_since(window, qtbot, 0.0, size)
            goes_on_after(fault)

        fault = faults.pop("damaged pictures")
        fault.begin()
        qtbot.waitUntil(lambda: camera.damaged == 0, timeout=PATIENCE)
        goes_on_after(fault)

        opened = camera.opened
        camera.stall(0.3)
        goes_on_after(faults.pop("stalls"))
        assert camera.opened == opened and pages() == ["waiting"], "it was only late"

        camera.stall(1.2)
        qtbot.waitUntil(lambda: pages() == ["waiting"] * 2, timeout=PATIENCE)
        goes_on_after(faults.pop("stalls for long"))
        assert not faults, "each has happened"

    assert len(notices) == 1 and "could not read this picture" in notices[0]
    assert pages() == ["waiting"] * 2 and states[-1].phase == "playing"
    assert picture.overlay is not None and len(picture.overlay.marks) == 4
    caplog.clear()  # the frame that the network could not read

    assert live.recorder.on, "one recording through it all"
    with qtbot.waitSignal(live.recorder.ended, timeout=PATIENCE) as ended:
        live.toggle_recording()
    state = ended.args[0]
    assert state.phase == "saved" and state.error is None
    recording, pictures = cv2.VideoCapture(str(tmp_path / "all of it.avi")), 0
    size = recording.get(cv2.CAP_PROP_FRAME_WIDTH), recording.get(cv2.CAP_PROP_FRAME_HEIGHT)
    while recording.grab():
        pictures += 1
    assert size == SIZE and pictures > len(soak.faults_of(camera, throw))
    assert state.seconds == pytest.approx(pictures / recording.get(cv2.CAP_PROP_FPS), abs=0.1)
    recording.release()

    qtbot.waitUntil(lambda: our_threads() == {"convscope-capture": 1, "convscope-inference": 1}, timeout=PATIENCE)
    kept = frames_in_memory()
    assert 0 < len(kept) < 12 and {frame.image.shape[1::-1] for frame in kept} == {SIZE}, "none is kept for good"
