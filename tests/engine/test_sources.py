"""Frames from files, cameras and our own code; the capture thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from engine import sources
from engine.concurrency import Flag
from engine.errors import EngineError
from engine.opencv import cv2
from engine.sources import Camera, Capture, CaptureState, MovingDigits, open_source
from engine.types import Frame

VIDEO_FRAMES = {
    "bottles.mp4": 1189,
    "cars_from_above.mp4": 377,
    "cockatoo_closeup.mp4": 280,
    "kitchen_pancake.mkv": 310,
    "person_at_table.mp4": 250,
    "street_people.mp4": 105,
    "window_plant_wrong_header.avi": 379,
}


class Watcher:
    """Records what a capture hands on and lets the test wait for it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.states: list[CaptureState] = []
        self._news = Flag()

    def on_frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._news.set()

    def on_state(self, state: CaptureState) -> None:
        self.states.append(state)
        self._news.set()

    @property
    def phases(self) -> list[str]:
        return [state.phase for state in self.states]

    def wait(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            if not condition():
                assert self._news.wait(20), f"nothing happened; phases so far: {self.phases}"


def capture(spec: object, watcher: Watcher) -> Capture:
    return Capture(str(spec), on_frame=watcher.on_frame, on_state=watcher.on_state)


# --- opening


def test_video_tells_its_frames_and_can_be_sought_in(make_video: Callable[..., Path]) -> None:
    source = open_source(str(make_video(frames=12)))
    assert (source.info.kind, source.info.width, source.info.height) == ("video", 64, 48)
    assert source.info.frames == 12
    assert not source.info.live
    indices = []
    while (frame := source.read()) is not None:
        assert abs(int(frame.image.mean()) - (8 * frame.index + 5)) <= 3
        indices.append(frame.index)
    assert indices == list(range(12))
    source.seek(7)
    again = source.read()
    assert again is not None
    assert again.index == 7
    assert abs(int(again.image.mean()) - 61) <= 3
    source.close()


def test_a_video_has_a_clock_of_its_own_and_a_picture_has_none(make_video: Callable[..., Path], tmp_path: Path) -> None:
    source = open_source(str(make_video(frames=6, fps=20.0)))
    assert [frame.clock for frame in iter(source.read, None)] == pytest.approx([index / 20 for index in range(6)])
    source.seek(2)
    frame = source.read()
    assert frame is not None
    assert frame.clock == pytest.approx(0.1)
    source.close()
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((20, 20), np.uint8))
    picture = open_source(str(tmp_path / "picture.png")).read()
    assert picture is not None
    assert picture.clock is None


def test_video_that_breaks_off_ends_with_the_frames_it_has(make_video: Callable[..., Path]) -> None:
    path = make_video(frames=20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    source = open_source(str(path))
    count = 0
    while source.read() is not None:
        count += 1
    source.close()
    assert 0 < count < 20
    assert source.info.frames == count


def test_header_that_promises_too_much_is_not_believed(make_video: Callable[..., Path]) -> None:
    path = make_video(frames=5)
    data = bytearray(path.read_bytes())
    place = data.index(b"avih") + 8 + 16
    data[place : place + 4] = (1_000_000).to_bytes(4, "little")
    place = data.index(b"strh") + 8 + 32
    data[place : place + 4] = (1_000_000).to_bytes(4, "little")
    path.write_bytes(data)
    source = open_source(str(path))
    assert source.info.frames is None
    count = 0
    while source.read() is not None:
        count += 1
    assert source.info.frames == count == 5
    source.close()


def test_a_jump_behind_the_real_end_finds_it(make_video: Callable[..., Path]) -> None:
    path = make_video(frames=20)
    data = bytearray(path.read_bytes())
    for place in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        data[place : place + 4] = (180).to_bytes(4, "little")
    path.write_bytes(data)
    source = open_source(str(path))
    assert source.info.frames == 180  # may be true: there are bytes enough for them
    source.seek(150)
    assert source.read() is None
    assert source.info.frames == 20
    source.seek(150)
    last = source.read()
    assert last is not None and last.index == 19
    source.seek(4)
    again = source.read()
    source.close()
    assert again is not None and again.index == 4
    assert abs(float(again.image.mean()) - (8 * 4 + 5)) < 4


def test_pictures_of_a_folder_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("p10.png", "p2.png", "p1.jpg", "more/p3.bmp"):
        cv2.imwrite(str(tmp_path / name), np.full((8, 9, 3), 128, np.uint8))
    source = open_source(str(tmp_path))
    assert source.info.frames == 4
    names = []
    while (frame := source.read()) is not None:
        names.append(frame.source)
    assert names == ["p3.bmp", "p1.jpg", "p2.png", "p10.png"]


def test_names_that_look_like_numbers_or_homes_are_names(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("5²", "٣", "x①"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "folder" / name / "1.png"), np.full((8, 9, 3), 128, np.uint8))
    assert open_source(str(tmp_path / "folder")).info.frames == 3
    make_video("~x.avi")
    monkeypatch.chdir(tmp_path)
    source = open_source("~x.avi")
    assert source.info.title == "~x.avi"
    source.close()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert open_source("~/folder").info.frames == 3


@pytest.mark.parametrize("spec", ["~nobody-of-this-name/x.mp4", "x" * 5000, "a\0b", "camera:²"])
def test_names_that_no_file_has_are_explained(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "list_cameras", list)
    with pytest.raises(EngineError) as failure:
        open_source(spec)
    assert failure.value.hint


@pytest.mark.parametrize("case", ["missing", "empty folder", "text as video", "text as picture", "empty file"])
def test_what_cannot_be_opened_says_what_to_do(case: str, tmp_path: Path) -> None:
    path = {
        "missing": tmp_path / "nothing.mp4",
        "empty folder": tmp_path,
        "text as video": tmp_path / "text.mp4",
        "text as picture": tmp_path / "text.png",
        "empty file": tmp_path / "empty.avi",
    }[case]
    if case.startswith("text"):
        path.write_text("no picture at all, only words\n" * 50)
    if case == "empty file":
        path.touch()
    with pytest.raises(EngineError) as failure:
        open_source(str(path))
    assert failure.value.hint
    assert str(tmp_path) in failure.value.message


@pytest.mark.parametrize("spec", ["screen:1,2,3", "screen:0,0,0,10", "screen:left"])
def test_wrong_region_of_the_screen(spec: str) -> None:
    with pytest.raises(EngineError, match="region"):
        open_source(spec)


def test_importing_opencv_leaves_qt_alone() -> None:
    import subprocess

    code = (
        "import os; before = dict(os.environ); import engine.sources; "
        "print({k for k in set(before) | set(os.environ) if before.get(k) != os.environ.get(k)})"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("QT_", "OPENCV_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=clean,
        cwd=Path(sources.__file__).parents[1],
    )
    assert "QT_" not in done.stdout
    assert "LD_LIBRARY_PATH" not in done.stdout


# --- moving digits


def test_moving_digits_move_and_repeat_exactly() -> None:
    one, other = MovingDigits(), open_source("digits:")
    for _ in range(3):
        frame = other.read()
        assert frame is not None
    assert frame.index == 2
    assert np.array_equal(one.picture(2), frame.image)
    assert not np.array_equal(one.picture(2), one.picture(20))
    assert {len(one.truth(index)) for index in range(0, 3000, 100)} == {3}
    assert len(set("".join(one.truth(index) for index in range(0, 9000, 120)))) == 10
    other.seek(50)
    again = other.read()
    assert again is not None
    assert again.index == 50


# --- capture


def test_capture_plays_to_the_end_and_again(make_video: Callable[..., Path]) -> None:
    watcher = Watcher()
    playing = capture(make_video(frames=6), watcher)
    playing.start()
    watcher.wait(lambda: "ended" in watcher.phases)
    assert [frame.index for frame in watcher.frames] == list(range(6))
    assert watcher.phases == ["opening", "playing", "ended"]
    assert watcher.states[-1].position == 6
    assert playing.read_seconds > 0
    playing.resume()
    watcher.wait(lambda: watcher.phases.count("ended") == 2)
    assert [frame.index for frame in watcher.frames[6:]] == list(range(6))
    playing.stop()


def test_capture_loops(make_video: Callable[..., Path]) -> None:
    watcher = Watcher()
    playing = capture(make_video(frames=4), watcher)
    playing.loop = True
    playing.start()
    watcher.wait(lambda: len(watcher.frames) >= 10)
    playing.stop()
    assert [frame.index for frame in watcher.frames[:10]] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert "ended" not in watcher.phases


def test_capture_pauses_steps_and_seeks(make_video: Callable[..., Path]) -> None:
    watcher = Watcher()
    playing = capture(make_video(frames=30), watcher)
    playing.pause()
    playing.start()
    watcher.wait(lambda: "paused" in watcher.phases)
    assert watcher.frames == []
    playing.step()
    watcher.wait(lambda: len(watcher.frames) == 1)
    playing.step()
    watcher.wait(lambda: len(watcher.frames) == 2)
    playing.seek(20)
    watcher.wait(lambda: len(watcher.frames) == 3)
    playing.step()
    watcher.wait(lambda: len(watcher.frames) == 4)
    assert [frame.index for frame in watcher.frames] == [0, 1, 20, 21]
    playing.resume()
    watcher.wait(lambda: "ended" in watcher.phases)
    assert [frame.index for frame in watcher.frames[4:]] == list(range(22, 30))
    playing.stop()


def test_capture_steps_back_also_from_the_end(make_video: Callable[..., Path]) -> None:
    watcher = Watcher()
    playing = capture(make_video(frames=30), watcher)
    playing.start()
    watcher.wait(lambda: "ended" in watcher.phases)
    playing.step(-1)
    watcher.wait(lambda: len(watcher.frames) == 31)
    playing.step(-2)
    watcher.wait(lambda: len(watcher.frames) == 32)
    playing.step()
    watcher.wait(lambda: len(watcher.frames) == 33)
    assert [frame.index for frame in watcher.frames[30:]] == [28, 26, 27]
    playing.seek(1)
    watcher.wait(lambda: len(watcher.frames) == 34)
    for count in (35, 36):
        playing.step(-1)
        watcher.wait(lambda count=count: len(watcher.frames) == count)
    assert [frame.index for frame in watcher.frames[33:]] == [1, 0, 0], "before the first there is nothing"
    assert watcher.phases[-1] == "paused"
    playing.stop()


def test_frames_stepped_back_to_are_those_that_were_played(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_KEPT_FRAMES", 4)  # so that stepping back has to decode again
    source = open_source(str(make_video(frames=30)))
    played = [source.read() for _ in range(30)]
    for index in (*range(29, -1, -1), 7, 8, 2, 25, 24):
        source.seek(index)
        again, before = source.read(), played[index]
        assert again is not None
        assert before is not None
        assert again.index == index
        assert np.array_equal(again.image, before.image)
    source.close()


def test_damaged_frames_of_a_video_are_left_out(make_video: Callable[..., Path]) -> None:
    path = make_video("damaged.avi", frames=30)
    pieces = path.read_bytes().split(b"00dc")  # stands once in the head, and before each frame
    for number in (*range(10, 14), 20):
        pieces[number + 2] = pieces[number + 2][:4] + bytes(len(pieces[number + 2]) - 4)
    path.write_bytes(b"00dc".join(pieces))
    source = open_source(str(path))
    read = list(iter(source.read, None))
    left = [*range(10), *range(14, 20), *range(21, 30)]
    assert [frame.index for frame in read] == left and source.info.frames == 30
    assert [round((float(frame.image.mean()) - 5) / 8) for frame in read] == left
    for wanted, there in ((20, 19), (13, 9), (15, 15)):
        source.seek(wanted)
        frame = source.read()
        assert frame is not None and frame.index == there, "one can step back past them"
    source.close()


def test_capture_of_nothing_fails_with_the_reason(tmp_path: Path) -> None:
    watcher = Watcher()
    playing = capture(tmp_path / "none.mp4", watcher)
    playing.start()
    watcher.wait(lambda: "failed" in watcher.phases)
    assert watcher.states[-1].error is not None
    assert watcher.states[-1].error.hint
    playing.stop()


@pytest.mark.parametrize("what", ["read", "seek"])
def test_an_error_that_nobody_expected_ends_the_capture_with_a_reason(
    what: str, make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise cv2.error("inside the decoder")

    monkeypatch.setattr(sources._VideoSource, what, broken)
    watcher = Watcher()
    playing = capture(make_video(), watcher)
    playing.pause()
    playing.start()
    watcher.wait(lambda: "paused" in watcher.phases)
    (playing.step if what == "read" else lambda: playing.seek(3))()
    watcher.wait(lambda: "failed" in watcher.phases)
    playing.stop()
    assert watcher.phases[-1] == "failed"
    error = watcher.states[-1].error
    assert error is not None
    assert "clip.avi" in error.message
    assert "inside the decoder" in error.hint
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()


def test_one_bad_picture_does_not_lose_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PICTURE_SECONDS", 0.01)
    for name in ("1.png", "3.png"):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8, 3), 99, np.uint8))
    (tmp_path / "2.png").write_bytes(b"no picture")
    watcher = Watcher()
    playing = capture(tmp_path, watcher)
    playing.loop = True
    playing.start()
    watcher.wait(lambda: len(watcher.frames) >= 6)
    playing.loop = False
    watcher.wait(lambda: "ended" in watcher.phases)
    playing.stop()
    assert [frame.source for frame in watcher.frames[:6]] == 3 * ["1.png", "3.png"]
    errors = [state.error for state in watcher.states if state.error]
    assert len(errors) == 1, "said once, and not at every pass"
    assert "2.png" in errors[0].message


def test_stop_ends_a_paused_capture_and_nothing_follows(make_video: Callable[..., Path]) -> None:
    watcher = Watcher()
    playing = capture(make_video(), watcher)
    playing.pause()
    playing.start()
    watcher.wait(lambda: "paused" in watcher.phases)
    playing.stop()
    playing.resume()
    assert watcher.frames == []


# --- cameras


class FakeDevice:
    """Stands in for OpenCV's camera: this machine has none. Gives `left` frames, then is unplugged."""

    plugged: ClassVar[bool] = True
    left: ClassVar[int] = 3
    opened: ClassVar[list[int]]

    def __init__(self, index: int, backend: int) -> None:
        type(self).opened.append(index)

    def isOpened(self) -> bool:
        return type(self).plugged

    def read(self) -> tuple[bool, Any]:
        if type(self).left <= 0:
            type(self).plugged = False
        if not type(self).plugged:
            return False, None
        type(self).left -= 1
        return True, np.full((6, 8, 3), (0, 0, 250), np.uint8)

    def set(self, *_: Any) -> bool:
        return True

    def get(self, *_: Any) -> float:
        return 0.0

    def release(self) -> None:
        pass


@pytest.fixture
def fake_camera(monkeypatch: pytest.MonkeyPatch) -> type[FakeDevice]:
    class Device(FakeDevice):
        opened: ClassVar[list[int]] = []

    monkeypatch.setattr(sources.cv2, "VideoCapture", Device)
    monkeypatch.setattr(sources, "list_cameras", lambda: [Camera("Desk", 2, "")] if Device.plugged else [])
    monkeypatch.setattr(sources, "_RETRY_SECONDS", 0.01)
    return Device


def test_no_camera_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "list_cameras", list)
    for spec in ("camera:", "camera:Desk"):
        with pytest.raises(EngineError, match=r"No camera was found\.") as failure:
            open_source(spec)
        assert "open a video" in failure.value.hint


def test_what_larger_pictures_have_left_behind_is_given_back(
    fake_camera: type[FakeDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []
    watcher = Watcher()
    sizes = iter([1, 9, 9, 9, 9, *[1] * 1000])

    def read(device: FakeDevice) -> tuple[bool, Any]:
        side = next(sizes)
        return True, np.zeros((6 * side, 8 * side, 3), np.uint8)

    monkeypatch.setattr(fake_camera, "read", read)
    monkeypatch.setattr(sources, "_SETTLED", 3)
    monkeypatch.setattr(sources, "_return_memory", lambda: given_back.append(len(watcher.frames)))
    play = capture("camera:Desk", watcher)
    play.start()
    watcher.wait(lambda: len(given_back) >= 2)
    play.stop()
    assert given_back[:2] == [4, 8], "three pictures after each change of their size"
    assert len(given_back) == 3, "and at the end"


def test_camera_by_name_in_true_colours(fake_camera: type[FakeDevice]) -> None:
    source = open_source("camera:Desk")
    assert fake_camera.opened == [2]
    assert (source.info.title, source.info.live, source.info.frames) == ("Desk", True, None)
    frame = source.read()
    assert frame is not None
    assert frame.image[0, 0].tolist() == [250, 0, 0]
    source.close()
    with pytest.raises(EngineError, match="no camera called") as failure:
        open_source("camera:Ceiling")
    assert "Desk" in failure.value.hint


def test_a_camera_cannot_be_stepped_back(fake_camera: type[FakeDevice]) -> None:
    watcher = Watcher()
    playing = capture("camera:Desk", watcher)
    playing.pause()
    playing.start()
    watcher.wait(lambda: "paused" in watcher.phases)
    playing.step(-1)
    playing.step(2)
    watcher.wait(lambda: len(watcher.frames) >= 1)
    playing.stop()
    assert watcher.phases == ["opening", "paused"] and watcher.frames[0].index == 0


def test_unplugged_camera_goes_on_when_it_is_back(fake_camera: type[FakeDevice]) -> None:
    watcher = Watcher()
    playing = capture("camera:Desk", watcher)
    playing.start()
    watcher.wait(lambda: "waiting" in watcher.phases)
    seen = len(watcher.frames)
    assert seen == 2  # one of the three is spent on finding out the size
    assert watcher.states[-1].error is not None
    fake_camera.left, fake_camera.plugged = 5, True
    watcher.wait(lambda: len(watcher.frames) > seen)
    watcher.wait(lambda: watcher.phases.count("waiting") == 2)
    playing.stop()
    assert watcher.phases == ["opening", "playing", "waiting", "playing", "waiting"]


# --- files behind the network


class FakeFile:
    """Stands in for OpenCV's reader of a file behind http: 40 frames are promised, each as bright as its number."""

    connections: ClassVar[int]
    broken: ClassVar[dict[int, int]]  # the first frame that does not come any more, by number of the connection
    later: ClassVar[int] = 40  # and in all connections after those

    def __init__(self, *_: Any) -> None:
        type(self).connections += 1
        self.end = type(self).broken.get(self.connections, type(self).later)
        self.place = 0

    def isOpened(self) -> bool:
        return True

    def grab(self) -> bool:
        return self.read()[0]

    def read(self) -> tuple[bool, Any]:
        if self.place >= self.end:
            return False, None
        self.place += 1
        return True, np.full((6, 8, 3), self.place - 1, np.uint8)

    def set(self, _: int, place: float) -> bool:
        self.place = int(place)
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 200.0, cv2.CAP_PROP_FRAME_COUNT: 40.0}[what]

    def release(self) -> None:
        pass


@pytest.fixture
def fake_file(monkeypatch: pytest.MonkeyPatch) -> type[FakeFile]:
    class File(FakeFile):
        connections: ClassVar[int] = 0
        broken: ClassVar[dict[int, int]] = {}

    monkeypatch.setattr(sources.cv2, "VideoCapture", File)
    monkeypatch.setattr(sources, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(sources, "_UNSURE", 0.01)
    return File


REMOTE = "http://somewhere/clip.mp4"


def test_a_remote_file_that_stalls_goes_on_where_it_was(fake_file: type[FakeFile]) -> None:
    fake_file.broken = {1: 20, 2: 20, 3: 30}
    watcher = Watcher()
    playing = capture(REMOTE, watcher)
    playing.start()
    watcher.wait(lambda: "ended" in watcher.phases)
    playing.stop()
    assert [frame.index for frame in watcher.frames] == list(range(40))
    assert [int(frame.image[0, 0, 0]) for frame in watcher.frames] == list(range(40)), "and it is those frames"
    assert watcher.phases == ["opening", "playing", *3 * ["waiting", "playing"], "ended"]
    assert {state.info.frames for state in watcher.states if state.info} == {40}
    assert all((state.error is not None) == (state.phase == "waiting") for state in watcher.states)


def test_a_place_of_a_remote_file_that_was_looked_for_is_shown_when_it_is_back(fake_file: type[FakeFile]) -> None:
    fake_file.broken = {1: 20}
    watcher = Watcher()
    playing = capture(REMOTE, watcher)
    playing.pause()
    playing.start()
    watcher.wait(lambda: "paused" in watcher.phases)
    playing.seek(30)
    watcher.wait(lambda: len(watcher.frames) == 1)
    playing.stop()
    assert watcher.frames[0].index == 30
    assert watcher.phases == ["opening", "paused", "waiting", "paused"]


def test_a_remote_file_that_is_damaged_ends_there(fake_file: type[FakeFile]) -> None:
    fake_file.later = 20
    watcher = Watcher()
    playing = capture(REMOTE, watcher)
    playing.start()
    watcher.wait(lambda: "ended" in watcher.phases)
    assert [frame.index for frame in watcher.frames] == list(range(20))
    assert fake_file.connections == 4 and watcher.phases.count("waiting") == 3
    assert watcher.states[-1].info is not None
    assert watcher.states[-1].info.frames == 20
    playing.resume()
    watcher.wait(lambda: watcher.phases.count("ended") == 2)
    playing.stop()
    assert fake_file.connections == 4, "now one knows"


def test_a_header_that_promises_a_little_too_much_is_no_stall(
    fake_file: type[FakeFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_UNSURE", 1.0)
    fake_file.later = 38
    watcher = Watcher()
    playing = capture(REMOTE, watcher)
    playing.start()
    watcher.wait(lambda: "ended" in watcher.phases)
    playing.stop()
    assert len(watcher.frames) == 38 and watcher.phases == ["opening", "playing", "ended"]


# --- real videos


@pytest.mark.parametrize("name", VIDEO_FRAMES)
def test_every_shared_video_plays_to_its_end(name: str, shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = shared_data / "videos" / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    source = open_source(str(path))
    count = 0
    while source.read() is not None:
        count += 1
    assert count == VIDEO_FRAMES[name]
    assert source.info.frames == count
    source.seek(5)
    frame = source.read()
    assert frame is not None
    assert frame.index == 5
    source.close()
    assert capfd.readouterr().err == ""
