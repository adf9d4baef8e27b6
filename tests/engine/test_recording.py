"""Recording: real times become an even frame rate, nobody waits, and what was written is never lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import recording
from engine.concurrency import Flag
from engine.errors import EngineError
from engine.opencv import cv2
from engine.recording import RESERVE, Recording, RecordingState, left_over
from engine.types import Image

PLENTY = 100 * RESERVE


class Ending:
    """Waits for the end of a recording."""

    def __init__(self) -> None:
        self._flag = Flag()
        self._states: list[RecordingState] = []

    def __call__(self, state: RecordingState) -> None:
        self._states.append(state)
        self._flag.set()

    @property
    def state(self) -> RecordingState:
        assert self._flag.wait(20)
        assert len(self._states) == 1, "an end is told of once"
        return self._states[0]


def picture(light: int, *, size: tuple[int, int] = (48, 64)) -> Image:
    return np.full((*size, 3), light, np.uint8)


def record(path: Path, pictures: list[tuple[float, int]], **more: object) -> RecordingState:
    """Record grey pictures of these times and brightnesses, each handed in when the one before is in the file."""
    ending = Ending()
    video = Recording(path, on_end=ending, free=lambda _: PLENTY, **more)  # type: ignore[arg-type]
    for moment, light in pictures:
        done = Flag()

        def paint(light: int = light, done: Flag = done) -> Image:
            done.set()
            return picture(light)

        video.add(moment, paint)
        assert done.wait(20)
    video.stop()
    return ending.state


def lights(path: Path) -> tuple[list[int], float]:
    """The brightness of every frame of a video, and its frame rate."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    found = []
    while True:
        ok, image = capture.read()
        if not ok:
            break
        found.append(round(float(image.mean())))
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return found, fps


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_even_times_give_one_frame_each_at_their_rate(tmp_path: Path, own_home: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    asked = [20 + 8 * index for index in range(24)]
    state = record(path, [(100 + index / 12, light) for index, light in enumerate(asked)])
    assert (state.phase, state.path, state.pictures, state.error) == ("saved", path, 24, None)
    assert state.seconds == pytest.approx(2.0)
    assert state.size == path.stat().st_size > 0
    found, fps = lights(path)
    assert fps == pytest.approx(12, rel=0.01)
    assert found == pytest.approx(asked, abs=4)
    assert not list((own_home / "recordings").iterdir())


def test_a_picture_stands_as_long_as_it_stood_and_a_freeze_takes_no_time(tmp_path: Path) -> None:
    ending = Ending()
    video = Recording(tmp_path / "clip.avi", on_end=ending, fps=10.0, free=lambda _: PLENTY)
    for moment, light in ((0.0, 40), (0.1, 80), (0.6, 120)):  # slow: 80 stands for half a second
        video.add(moment, picture(light))
    video.gap()
    video.add(900.0, picture(200))
    video.stop()
    assert ending.state.phase == "saved"
    found, _ = lights(tmp_path / "clip.avi")
    assert found == pytest.approx([40, 80, 80, 80, 80, 80, 120, 200], abs=4)


def test_of_pictures_closer_than_the_rate_the_newest_stays(tmp_path: Path) -> None:
    times = [(index / 10, 60) for index in range(8)]
    state = record(tmp_path / "clip.avi", [*times, (0.71, 200), (0.72, 220), (0.8, 60)], fps=10.0)
    assert state.pictures == 11
    found, _ = lights(tmp_path / "clip.avi")
    assert found == pytest.approx([60] * 7 + [220, 60], abs=4)


def test_pictures_are_made_in_the_recordings_own_thread_and_keep_their_colours(tmp_path: Path) -> None:
    ending, names = Ending(), []

    def paint() -> Image:
        names.append(threading.current_thread().name)
        return np.full((48, 64, 3), (250, 10, 10), np.uint8)

    video = Recording(tmp_path / "clip.mp4", on_end=ending, free=lambda _: PLENTY)
    video.add(0.0, paint)
    video.add(0.1, paint)
    video.stop()
    assert ending.state.phase == "saved"
    assert names == ["convscope-recording"] * 2
    image = cv2.VideoCapture(str(tmp_path / "clip.mp4")).read()[1]
    assert image[20, 20] == pytest.approx((10, 10, 250), abs=12)


def test_nobody_waits_for_a_slow_disk(tmp_path: Path) -> None:
    ending, entered, go_on = Ending(), Flag(), Flag()

    def slow() -> Image:
        entered.set()
        go_on.wait(20)
        return picture(90)

    video = Recording(tmp_path / "clip.mp4", on_end=ending, free=lambda _: PLENTY)
    video.add(0.0, slow)
    assert entered.wait(20)
    for index in range(1, 30):
        video.add(index / 30, picture(90))
    go_on.set()
    video.stop()
    state = ending.state
    assert state.phase == "saved"
    assert state.left_out == 30 - state.pictures > 0
    assert state.pictures == 1 + recording._WAITING


def test_pictures_of_another_size_lie_in_the_middle(tmp_path: Path) -> None:
    ending = Ending()
    video = Recording(tmp_path / "clip.avi", on_end=ending, fps=10.0, free=lambda _: PLENTY)
    for index, size in enumerate(((48, 64), (49, 65), (96, 64), (10, 300))):
        video.add(index / 10, picture(200, size=size))
    video.stop()
    assert ending.state.phase == "saved"
    capture = cv2.VideoCapture(str(tmp_path / "clip.avi"))
    images = [capture.read()[1] for _ in range(4)]
    assert {image.shape for image in images} == {(48, 64, 3)}
    assert images[1].mean() == pytest.approx(200, abs=3)
    assert images[2][:, :14].mean() < 10 < 190 < images[2][:, 18:46].mean()


def test_a_disk_that_fills_up_ends_the_recording_and_keeps_it(tmp_path: Path) -> None:
    ending, room = Ending(), iter([PLENTY] + [PLENTY] * 10 + [RESERVE - 1] * 10)
    video = Recording(tmp_path / "clip.mp4", on_end=ending, fps=10.0, free=lambda _: next(room))
    ended = False
    for index in range(20):
        done = Flag()
        video.add(index / 10, lambda done=done: (done.set(), picture(80))[1])  # type: ignore[misc]
        ended = not done.wait(1) or ended
        if video.state.phase != "recording":
            break
    state = ending.state
    assert state.phase == "failed"
    assert state.error is not None
    assert "disk is nearly full" in state.error.message
    found, _ = lights(tmp_path / "clip.mp4")
    assert len(found) == state.pictures == 11
    video.add(9.0, picture(1))
    assert video.stop(timeout=5)


def test_too_little_room_is_said_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="too little room"):
        Recording(tmp_path / "clip.mp4", on_end=Ending(), free=lambda _: RESERVE)


def test_a_place_that_cannot_be_written_to_is_said_before_it_begins(tmp_path: Path, own_home: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "clip.mp4").mkdir()
    for path in (tmp_path / "file" / "clip.mp4", tmp_path / "clip.mp4", tmp_path / "clip.txt", tmp_path / "clip"):
        with pytest.raises(EngineError) as failure:
            Recording(path, on_end=Ending(), free=lambda _: PLENTY)
        assert failure.value.hint
    assert sorted(each.name for each in tmp_path.iterdir()) == ["clip.mp4", "file"]


def test_a_missing_codec_is_said_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, *_: object) -> None: ...

        def isOpened(self) -> bool:
            return False

        def release(self) -> None: ...

    monkeypatch.setattr(recording.cv2, "VideoWriter", Closed)
    with pytest.raises(EngineError, match=r"cannot write \.mp4 videos") as failure:
        Recording(tmp_path / "clip.mp4", on_end=Ending(), free=lambda _: PLENTY)
    assert ".avi" in failure.value.hint


def test_a_folder_that_went_is_made_again(tmp_path: Path) -> None:
    ending = Ending()
    video = Recording(tmp_path / "stick" / "clip.mp4", on_end=ending, free=lambda _: PLENTY)
    (tmp_path / "stick").rmdir()
    video.add(0.0, picture(80))
    video.stop()
    assert ending.state.phase == "saved"
    assert len(lights(tmp_path / "stick" / "clip.mp4")[0]) == 1


def test_a_place_that_cannot_be_reached_any_more_loses_nothing(tmp_path: Path, own_home: Path) -> None:
    ending = Ending()
    video = Recording(tmp_path / "stick" / "clip.mp4", on_end=ending, free=lambda _: PLENTY)
    (tmp_path / "stick").rmdir()
    (tmp_path / "stick").write_text("not a folder any more")
    video.add(0.0, picture(80))
    video.stop()
    state = ending.state
    assert state.phase == "failed"
    assert state.error is not None
    assert state.path.parent == own_home / "recordings"
    assert str(state.path) in state.error.hint
    assert len(lights(state.path)[0]) == 1


def test_a_picture_that_cannot_be_drawn_ends_it_and_what_there_was_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Image:
        raise RuntimeError("no such colour")

    ending = Ending()
    video = Recording(tmp_path / "clip.mp4", on_end=ending, free=lambda _: PLENTY)
    for moment, image in ((0.0, picture(50)), (0.1, picture(50)), (0.2, broken), (0.3, picture(50))):
        video.add(moment, image)  # type: ignore[arg-type]
    state = ending.state
    assert state.phase == "failed"
    assert state.error is not None
    assert "no such colour" in state.error.hint
    assert len(lights(tmp_path / "clip.mp4")[0]) == 2
    caplog.clear()


def test_an_end_is_told_of_even_if_the_last_pictures_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ending = Ending()
    video = Recording(tmp_path / "clip.mp4", on_end=ending, fps=10.0, free=lambda _: PLENTY)
    for index in range(recording._FIRST - 1):  # so few that they wait until the end
        done = Flag()
        video.add(index / 10, lambda done=done: (done.set(), picture(80))[1])  # type: ignore[misc]
        assert done.wait(20)
    whole = video._fitted

    def fails_later(image: Image) -> Image:
        if video._written >= 3:
            raise MemoryError("no room for a picture")
        return whole(image)

    monkeypatch.setattr(video, "_fitted", fails_later)
    video.stop()
    state = ending.state
    assert state.phase == "failed"
    assert state.error is not None and "no room for a picture" in state.error.hint
    assert len(lights(tmp_path / "clip.mp4")[0]) == 3
    caplog.clear()


def test_nothing_recorded_leaves_nothing_behind(tmp_path: Path, own_home: Path) -> None:
    (tmp_path / "clip.mp4").write_text("an older one")
    ending = Ending()
    Recording(tmp_path / "clip.mp4", on_end=ending, free=lambda _: PLENTY).stop()
    assert ending.state.phase == "failed"
    assert (tmp_path / "clip.mp4").read_text() == "an older one"
    assert not list((own_home / "recordings").iterdir())


def test_a_video_that_is_there_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("an older one")
    ending = Ending()
    video = Recording(tmp_path / "clip.mp4", on_end=ending, free=lambda _: PLENTY)
    video.add(0.0, picture(50))
    assert (tmp_path / "clip.mp4").read_text() == "an older one"
    video.stop()
    assert ending.state.phase == "saved"
    assert len(lights(tmp_path / "clip.mp4")[0]) == 1


def test_the_state_grows_while_it_records(tmp_path: Path) -> None:
    ending = Ending()
    video = Recording(tmp_path / "clip.avi", on_end=ending, fps=10.0, free=lambda _: PLENTY)
    seen: list[RecordingState] = []

    def look(light: int) -> Callable[[], Image]:
        def paint() -> Image:
            seen.append(video.state)
            return picture(light)

        return paint

    done = Flag()
    for index in range(5):
        video.add(index / 10, look(index))
    video.add(0.5, lambda: (done.set(), picture(9))[1])  # type: ignore[arg-type,return-value]
    assert done.wait(20)
    assert [state.pictures for state in seen] == [0, 1, 2, 3, 4]
    assert seen[-1].seconds == pytest.approx(0.3)
    assert {state.phase for state in seen} == {"recording"}
    video.stop()
    assert ending.state.pictures == 6


def test_what_a_killed_window_was_recording_is_found_once(tmp_path: Path, own_home: Path) -> None:
    folder = own_home / "recordings"
    folder.mkdir(parents=True)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    whole = tmp_path / "clip.avi"
    record(whole, [(number / 10, 100) for number in range(20)])
    for name in (f"walk-{pid}-1.avi", f"walk-{pid}-2.avi", f"walk-{os.getpid()}-9.avi", "mine.avi"):
        (folder / name).write_bytes(whole.read_bytes())
    (folder / f"walk-{pid}-3.mp4").write_bytes(b"\0" * 5000)
    found = left_over()
    assert [path.name for path in found] == ["walk (unfinished).avi", "walk (unfinished 2).avi"]
    assert all(lights(path)[0] for path in found)
    there = {path.name for path in folder.iterdir()}
    assert there == {*(path.name for path in found), f"walk-{os.getpid()}-9.avi", "mine.avi"}
    assert left_over() == []


def test_a_disk_that_went_is_said_and_what_there_was_is_kept(tmp_path: Path) -> None:
    ending = Ending()
    asked = 0

    def free(folder: Path) -> int:
        nonlocal asked
        asked += 1
        if asked > 14:
            raise OSError(errno.EIO, "gone")
        return PLENTY

    video = Recording(tmp_path / "clip.avi", on_end=ending, fps=10, free=free)
    moment = 0.0
    while video.state.phase == "recording":
        video.add(moment, picture(90))
        moment += 0.1
    error = ending.state.error
    assert error is not None and "could not be drawn" not in error.message and (tmp_path / "clip.avi").exists()
