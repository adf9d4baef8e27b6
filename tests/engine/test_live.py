"""The inference thread: the latest frame wins, networks change under way, one notice for a network that fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.concurrency import Flag
from engine.errors import EngineError
from engine.live import LiveSession, ModelState
from engine.recognition import Recogniser
from engine.runtime import Device
from engine.sources import Capture
from engine.types import Frame, Result
from engine.vision.classify import Classifier
from engine.vision.faces import FaceReader
from tests.engine.conftest import FIVE, face, spotted, with_faces


class Viewer:
    """A session and what it has said, with a way to wait for more."""

    def __init__(self, **options: Any) -> None:
        self.results: list[Result] = []
        self.states: list[ModelState] = []
        self.errors: list[EngineError] = []
        self.recoveries: list[EngineError] = []
        self._news = Flag()
        self.session = LiveSession(
            on_result=self._news.set,
            on_model=self._model,
            on_error=self._error,
            on_recovery=self.recoveries.append,
            **options,
        )
        self.session.start()

    def _model(self, state: ModelState) -> None:
        self.states.append(state)
        self._news.set()

    def _error(self, error: EngineError) -> None:
        self.errors.append(error)
        self._news.set()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Take results as they come until the condition holds."""
        while True:
            self._news.clear()
            if (result := self.session.results.take()) is not None:
                self.results.append(result)
            if condition():
                return
            assert self._news.wait(20), f"nothing happened; {self.phases}, {len(self.results)} results"

    def use(self, name: str) -> None:
        count = len(self.states)
        self.session.use(name)
        self.wait(lambda: len(self.states) > count and self.states[-1].phase != "loading")

    def read(self, index: int = 0) -> Result:
        self.session.submit(drawn(index))
        self.wait(lambda: bool(self.results) and self.results[-1].frame.index == index)
        return self.results[-1]

    @property
    def phases(self) -> list[tuple[str, str]]:
        return [(state.name, state.phase) for state in self.states]


@pytest.fixture
def viewer(home: Path) -> Iterator[Viewer]:
    viewer = Viewer()
    yield viewer
    viewer.session.stop()


def drawn(index: int = 0) -> Frame:
    image = np.full((200, 200, 3), 255, np.uint8)
    image[40:160, 90 : 100 + index % 20] = 0
    return Frame(image, "canvas", index, time.perf_counter(), drawing=True)


def test_ready_tells_device_reason_and_layers(viewer: Viewer) -> None:
    viewer.use("tiny")
    assert viewer.phases == [("tiny", "loading"), ("tiny", "ready")]
    state = viewer.states[-1]
    assert state.device
    assert state.why
    assert state.generation == 1
    assert state.card is not None
    assert state.card.layers[-1].name == "softmax"


def test_going_back_to_the_network_before_loads_nothing_unless_its_weights_are_new(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Counted(Classifier):
        def __init__(self, card: Any, **more: Any) -> None:
            opened.append(card.name)
            super().__init__(card, **more)

    monkeypatch.setattr("engine.vision.classify.Classifier", Counted)
    for name in ("tiny", "tiny-colour", "tiny", "tiny-colour", "tiny"):
        viewer.use(name)
        assert viewer.states[-1].phase == "ready"
        assert viewer.read(len(viewer.states)).model == name
    assert opened == ["tiny", "tiny-colour"]
    assert viewer.states[-1].generation == 5
    weights = viewer.states[-1].card.weights  # type: ignore[union-attr]
    assert weights is not None
    os.utime(weights, ns=(1, 1))
    viewer.use("tiny")
    assert opened == ["tiny", "tiny-colour", "tiny"]


def test_what_was_drawn_while_loading_is_read_when_ready(viewer: Viewer) -> None:
    viewer.session.submit(drawn(3))
    viewer.session.use("tiny")
    viewer.wait(lambda: bool(viewer.results))
    assert viewer.results[0].frame.index == 3
    assert viewer.results[0].model == "tiny"


def test_a_result_for_the_last_frame_always_comes(viewer: Viewer) -> None:
    viewer.use("tiny")
    for index in range(200):
        viewer.session.submit(drawn(index))
    viewer.wait(lambda: bool(viewer.results) and viewer.results[-1].frame.index == 199)
    indices = [result.frame.index for result in viewer.results]
    assert indices == sorted(indices)


def test_watching_reads_the_same_frame_again(viewer: Viewer) -> None:
    viewer.use("tiny")
    assert viewer.read(1).activations is None
    viewer.session.watch("conv1")
    viewer.wait(lambda: viewer.results[-1].activations is not None)
    again = viewer.results[-1]
    assert again.frame.index == 1
    assert again.activations is not None
    assert again.activations.layer == "conv1"
    assert again.timings.waiting == 0
    viewer.session.watch(None)
    viewer.wait(lambda: viewer.results[-1].activations is None)


def test_another_network_reads_the_same_frame_again(viewer: Viewer) -> None:
    viewer.use("tiny")
    first = viewer.read(2)
    viewer.session.watch("softmax")
    viewer.session.use("tiny-colour")
    viewer.wait(lambda: viewer.results[-1].model == "tiny-colour")
    second = viewer.results[-1]
    assert second.frame is first.frame
    assert (first.generation, second.generation) == (1, 2)
    assert second.activations is not None
    assert second.activations.maps.shape == (3, 1, 1)
    changed = next(i for i, result in enumerate(viewer.results) if result.generation == 2)
    assert all(result.model == "tiny-colour" for result in viewer.results[changed:])


def test_only_the_last_network_asked_for_runs(viewer: Viewer) -> None:
    for name in ("tiny", "tiny-colour", "tiny", "tiny-colour"):
        viewer.session.use(name)
    viewer.wait(lambda: bool(viewer.states) and viewer.phases[-1] == ("tiny-colour", "ready"))
    assert viewer.read(5).model == "tiny-colour"


def test_unknown_network_fails_and_the_one_before_goes_on(viewer: Viewer) -> None:
    viewer.use("tiny")
    viewer.use("no such network")
    state = viewer.states[-1]
    assert state.phase == "failed"
    assert state.error is not None
    result = viewer.read(4)
    assert result.model == "tiny"
    assert result.generation == state.generation


def test_a_bug_while_loading_is_a_failure_with_a_sentence(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("engine.zoo.open_network", explode)
    viewer.use("tiny")
    assert viewer.states[-1].phase == "failed"
    assert viewer.states[-1].error is not None
    assert "tiny" in viewer.states[-1].error.message
    caplog.clear()


def test_a_network_that_has_to_leave_the_gpu_says_so_once_and_goes_on(viewer: Viewer) -> None:
    viewer.use("tiny")
    network = viewer.session._reader.network  # type: ignore[union-attr]
    network.device = Device("torch", "CPU · PyTorch", "the GPU ran out of memory")
    told = len(viewer.states)
    for index in (1, 2):
        result = viewer.read(index)
    assert [(state.phase, state.why) for state in viewer.states[told:]] == [("ready", "the GPU ran out of memory")]
    assert result.generation == viewer.states[-1].generation
    assert [error.message for error in viewer.errors] == ["“Tiny” goes on on the processor: the GPU ran out of memory."]
    viewer.use("tiny")
    assert viewer.session._reader.network is not network, "chosen again, it tries the GPU again"  # type: ignore[union-attr]


def test_a_finder_of_faces_that_has_to_leave_the_gpu_is_told_too(viewer: Viewer) -> None:
    viewer.use("tiny-faces")
    finder = viewer.session._reader.detector.network  # type: ignore[union-attr]
    finder.device = Device("torch", "CPU · PyTorch", "the GPU ran out of memory")
    viewer.read(1)
    assert viewer.states[-1].why == "the GPU ran out of memory" and len(viewer.errors) == 1


def test_failing_frames_give_one_notice_until_one_works_again(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    viewer.use("tiny")
    healthy = Classifier.predict
    seen: list[int] = []
    read = Flag()

    def failing(self: Classifier, frame: Frame, **options: Any) -> Result:
        seen.append(frame.index)
        read.set()
        if frame.index < 100:
            raise FloatingPointError("broken")
        return healthy(self, frame, **options)

    monkeypatch.setattr(Classifier, "predict", failing)

    def feed(index: int) -> None:
        read.clear()
        viewer.session.submit(drawn(index))
        assert read.wait(20)

    for index in range(5):
        feed(index)
    viewer.wait(lambda: bool(viewer.errors))
    assert len(viewer.errors) == 1 and not viewer.recoveries
    assert viewer.errors[0].message
    viewer.read(100)
    assert len(viewer.errors) == 1 and viewer.recoveries == viewer.errors
    viewer.read(101)
    assert len(viewer.recoveries) == 1, "said once"
    feed(6)
    viewer.wait(lambda: len(viewer.errors) == 2)
    assert seen == [0, 1, 2, 3, 4, 100, 101, 6]
    viewer.use("tiny-colour")  # which has not failed yet
    assert viewer.recoveries == viewer.errors[:2]
    caplog.clear()


def test_a_slow_network_loses_frames_but_not_time(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer.use("tiny")
    healthy = Classifier.predict
    go = Flag()

    def slow(self: Classifier, frame: Frame, **options: Any) -> Result:
        assert go.wait(20)
        go.clear()
        return healthy(self, frame, **options)

    monkeypatch.setattr(Classifier, "predict", slow)
    submitted = Flag()
    captured: list[int] = []

    def on_frame(frame: Frame) -> None:
        viewer.session.submit(frame)
        captured.append(frame.index)
        if len(captured) >= 10:
            submitted.set()

    source = Capture("digits:", on_frame=on_frame, on_state=lambda state: None)
    source.start()
    assert submitted.wait(20)  # ten frames while the network is busy with its first
    go.set()
    viewer.wait(lambda: len(viewer.results) == 1)
    go.set()
    viewer.wait(lambda: len(viewer.results) == 2)
    source.stop()
    go.set()
    assert viewer.results[0].frame.index <= 1
    assert viewer.results[1].frame.index >= 9
    assert viewer.session.frames.dropped >= 7


def test_stop_while_idle_or_busy_ends_the_thread(home: Path) -> None:
    idle = Viewer()
    idle.session.stop()
    assert not idle.session._worker.alive
    busy = Viewer()
    busy.use("tiny")
    for index in range(50):
        busy.session.submit(drawn(index))
    busy.session.stop()
    assert not busy.session._worker.alive
    before = len(busy.states)
    busy.session.use("tiny-colour")
    busy.session.submit(drawn(1))
    assert len(busy.states) == before


# --- detectors


def moved(index: int, *, clock: bool = True, source: str = "clip.mp4") -> Frame:
    image = np.roll(spotted((1, 2, "red")), 8 * index, axis=1)
    return Frame(image, source, index, time.perf_counter(), clock=index / 25 if clock else None)


def test_what_plays_is_followed_and_a_jump_back_begins_anew(viewer: Viewer) -> None:
    viewer.use("spots")
    assert viewer.states[-1].card is not None
    assert viewer.states[-1].card.task == "detection"

    def tracks(frame: Frame) -> list[int] | None:
        viewer.session.submit(frame)
        viewer.wait(lambda: bool(viewer.results) and viewer.results[-1].frame is frame)
        found = viewer.results[-1].detections
        assert found is not None
        assert len(found)
        return None if found.track_id is None else [int(found.track_id[0])]

    assert [tracks(moved(index)) for index in range(4)] == [[1]] * 4
    assert tracks(moved(1)) == [1]
    assert tracks(moved(30, source="other.mp4")) == [1]
    assert tracks(moved(0, clock=False)) is None


def test_looking_into_a_layer_keeps_the_numbers(viewer: Viewer) -> None:
    viewer.use("spots")
    viewer.session.submit(moved(0))
    viewer.wait(lambda: bool(viewer.results))
    viewer.session.watch("colour")
    viewer.wait(lambda: viewer.results[-1].activations is not None)
    first, again = viewer.results[0].detections, viewer.results[-1].detections
    assert first is not None and first.track_id is not None
    assert again is not None and again.track_id is not None
    assert again.track_id.tolist() == first.track_id.tolist()
    assert first.track_id[0] == 1


# --- a share of the time


class Paced(Viewer):
    """A session of a quarter of the time, on a clock by which every picture takes `seconds`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.now = 0.0
        self.seen: list[int] = []
        super().__init__(share=0.25, clock=lambda: self.now)
        healthy = Classifier.predict

        def slow(reader: Classifier, frame: Frame, **options: Any) -> Result:
            self.now += seconds
            self.seen.append(frame.index)
            return healthy(reader, frame, **options)

        monkeypatch.setattr(Classifier, "predict", slow)


def test_after_each_frame_a_session_rests_as_its_share_of_the_time_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Paced(monkeypatch, 0.2)
    rests: list[float] = []
    monkeypatch.setattr(viewer.session.frames, "rest", rests.append)
    try:
        viewer.use("tiny")
        for index in range(3):
            viewer.read(index)
        viewer.session.set_share(0.5)
        viewer.read(3)
        viewer.session.set_share(1.0)
        viewer.read(4)
    finally:
        viewer.session.stop()
    assert rests == pytest.approx([0.6, 0.6, 0.6, 0.2])


def test_while_it_rests_the_newest_frame_waits_and_nobody_else_does(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Paced(monkeypatch, 1000.0)  # each is followed by a rest of most of an hour
    try:
        viewer.use("tiny")
        viewer.read(0)
        for index in range(1, 6):
            viewer.session.submit(drawn(index))
        assert viewer.session.results.take() is None
        viewer.session.set_share(0.1)  # whatever is asked of it ends the rest
        viewer.wait(lambda: viewer.results[-1].frame.index == 5)
        viewer.session.submit(drawn(6))
        viewer.use("tiny-colour")
        viewer.wait(lambda: viewer.results[-1].model == "tiny-colour")
        viewer.session.submit(drawn(7))
    finally:
        viewer.session.stop()
    assert not viewer.session._worker.alive
    assert viewer.seen == [0, 5, 6]


def test_a_session_with_a_share_takes_it_easy_while_frame_after_frame_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    healthy = Classifier.predict

    def failing(self: Classifier, frame: Frame, **options: Any) -> Result:
        if frame.index < 100:
            raise FloatingPointError("broken")
        return healthy(self, frame, **options)

    monkeypatch.setattr(Classifier, "predict", failing)
    viewer = Viewer(share=0.25, clock=lambda: 0.0)
    rests: list[float] = []
    rested = Flag()

    def rest(seconds: float) -> None:
        rests.append(seconds)
        rested.set()

    monkeypatch.setattr(viewer.session.frames, "rest", rest)
    try:
        viewer.use("tiny")
        for index in (*range(7), 100, 7):
            rested.clear()
            viewer.session.submit(drawn(index))
            assert rested.wait(20)
    finally:
        viewer.session.stop()
    assert rests == [0, 0, 0, 0, 5, 5, 5, 0, 0]
    assert len(viewer.errors) == 2 and len(viewer.recoveries) == 1
    caplog.clear()


def test_a_session_that_fails_or_rests_holds_no_other_one_back(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beside = Paced(monkeypatch, 1000.0)
    healthy = Classifier.predict

    def failing(self: Classifier, frame: Frame, **options: Any) -> Result:
        if self.card.name == "tiny-colour":
            raise FloatingPointError("broken")
        return healthy(self, frame, **options)

    monkeypatch.setattr(Classifier, "predict", failing)
    try:
        beside.use("tiny-colour")
        viewer.use("tiny")
        for index in range(4):
            beside.session.submit(drawn(index))
            assert viewer.read(index).model == "tiny"
        beside.wait(lambda: bool(beside.errors))
        assert not viewer.errors and len(beside.errors) == 1
    finally:
        beside.session.stop()
    caplog.clear()


# --- faces


def passing(index: int, *, clock: bool = True) -> Frame:
    """Two faces that move to the right, the upper one by less than its own width a frame."""
    image = np.roll(with_faces((1, 1, face(0)), (3, 3, face(1))), 4 * index, axis=1)
    return Frame(image, "a camera", index, time.perf_counter(), clock=index / 25 if clock else None)


def people(*names: str) -> Recogniser:
    """People whose faces are the first patterns, seen by the network that runs."""
    from engine import zoo

    reader = FaceReader(zoo.model_card("tiny-faces"))
    places = np.array([[40.0, 40.0]]) + 80 * np.array(FIVE)
    faces = [reader.embed(face(number), places[None].astype(np.float32))[0] for number in range(len(names))]
    ids = np.arange(len(names))
    return Recogniser(
        np.stack(faces), ids, dict(enumerate(names)), calibration=(10.0, -5.0), threshold=0.6, model=reader.model
    )


def names_of(result: Result) -> list[str | None]:
    """From above to below."""
    assert result.faces is not None
    return [each.name for each in sorted(result.faces, key=lambda each: each.box[1])]


def test_faces_are_followed_named_and_numbered(viewer: Viewer) -> None:
    viewer.session.set_people(people("Ada", "Ben"))
    viewer.use("tiny-faces")
    said: list[list[str | None]] = []
    for index in range(6):
        frame = passing(index)
        viewer.session.submit(frame)
        viewer.wait(lambda frame=frame: bool(viewer.results) and viewer.results[-1].frame is frame)  # type: ignore[misc]
        result = viewer.results[-1]
        said.append(names_of(result))
        assert result.detections is not None and result.detections.track_id is not None
        assert sorted(result.detections.track_id.tolist()) == [1, 2]
    assert said[0] == [None, None]  # one frame alone names nobody
    assert said[-1] == ["Ada", "Ben"]


def test_other_people_are_looked_for_in_the_frame_that_is_shown(viewer: Viewer) -> None:
    viewer.use("tiny-faces")
    frame = passing(0, clock=False)
    viewer.session.submit(frame)
    viewer.wait(lambda: bool(viewer.results))
    assert names_of(viewer.results[-1]) == [None, None]
    for known, expected in (
        (people("Ada"), ["Ada", None]),
        (people("Eve", "Ben"), ["Eve", "Ben"]),
        (None, [None, None]),
    ):
        count = len(viewer.results)
        viewer.session.set_people(known)
        viewer.wait(lambda count=count: len(viewer.results) > count)  # type: ignore[misc]
        assert names_of(viewer.results[-1]) == expected
        assert viewer.results[-1].frame is frame
        assert viewer.results[-1].timings.waiting == 0


def test_people_stay_known_when_networks_change(viewer: Viewer) -> None:
    viewer.session.set_people(people("Ada"))
    viewer.use("spots")
    frame = passing(0, clock=False)
    viewer.session.submit(frame)
    viewer.wait(lambda: bool(viewer.results))
    assert viewer.results[-1].faces is None
    viewer.use("tiny-faces")
    viewer.wait(lambda: viewer.results[-1].model == "tiny-faces")
    assert names_of(viewer.results[-1]) == ["Ada", None]


def test_looking_into_a_face(viewer: Viewer) -> None:
    viewer.use("tiny-faces")
    viewer.session.submit(passing(0))
    viewer.wait(lambda: bool(viewer.results))
    viewer.session.watch("red", 1)
    viewer.wait(lambda: viewer.results[-1].activations is not None)
    again = viewer.results[-1]
    assert again.activations is not None and (again.activations.layer, again.activations.region) == ("red", 1)
    assert again.detections is not None and viewer.results[0].detections is not None
    assert np.array_equal(again.detections.track_id, viewer.results[0].detections.track_id)  # type: ignore[arg-type]
