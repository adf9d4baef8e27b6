"""Networks that look along: which ones, what is drawn of what they see, what is said of them; at first with sessions
that say what the test tells them, then in the real window with real networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QImage

from engine import (
    Classification,
    Detections,
    EngineError,
    FaceMatch,
    Frame,
    Gallery,
    Latest,
    ModelCard,
    ModelState,
    Preprocess,
    Region,
    Result,
    Timings,
)
from gui.bridge import Bridge
from gui.companion_controls import CompanionButton, CompanionRows, pace_words
from gui.companions import COLOURS, FRESH, Companions
from gui.overlay import Beside, Mark, Overlay, box_at, painted_pixels
from gui.settings import Settings
from gui.window import MainWindow
from tests.engine.conftest import face, with_faces, write_faces
from tests.gui.conftest import open_window, write_detector


def card(name: str, task: Any = "detection", kind: Any = "letterbox") -> ModelCard:
    classes = ("face",) if task == "faces" else ("cat", "dog")
    return ModelCard(name, name.title(), task, "small", classes, Preprocess(kind, 64, 3, (0.5,) * 3, (0.5,) * 3))


CARDS = (
    card("main"),
    card("boxes"),
    card("faces", "faces", "face"),
    card("whole", "classification", "picture"),
    card("digits", "classification", "drawing"),
    card("more"),
)


class Scripted:
    """A session that says what a test has it say, and notes what it is asked."""

    made: ClassVar[list[Scripted]] = []

    def __init__(self, *, on_result: Any, on_model: Any, on_error: Any, on_recovery: Any, share: float) -> None:
        self.results: Latest[Result] = Latest(on_result)
        self.ready, self.fail, self.recover, self.share = on_model, on_error, on_recovery, share
        self.frames: list[Frame] = []
        self.people: Any = None
        self.name, self.running = "", False
        self.made.append(self)

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def use(self, name: str) -> None:
        self.name = name

    def submit(self, frame: Frame) -> None:
        self.frames.append(frame)

    def set_share(self, share: float) -> None:
        self.share = share

    def set_people(self, people: Any) -> None:
        self.people = people


class Stage:
    """`Companions` with what it needs, its sessions scripted."""

    def __init__(self, qtbot: Any) -> None:
        self._qtbot = qtbot
        self.bridge, self.settings = Bridge(), Settings()
        self.companions = Companions(self.bridge, self.settings)
        self.said: list[EngineError] = []
        self.companions.failed.connect(self.said.append)
        self.companions.set_cards(CARDS)
        self.companions.set_main("main")
        self.companions.set_active(True)

    def session(self, name: str) -> Scripted:
        return next(each for each in Scripted.made if each.name == name and each.running)

    def ready(self, name: str) -> Scripted:
        """That network is loaded."""
        session = self.session(name)
        loaded = next(each for each in CARDS if each.name == name)
        session.ready(ModelState(name, "ready", loaded, generation=1))
        companion = next(each for each in self.companions.running if each.card.name == name)
        self._qtbot.waitUntil(lambda: companion.state is not None)
        return session

    def sees(self, name: str, result: Result) -> None:
        companion = next(each for each in self.companions.running if each.card.name == name)
        self.session(name).results.put(result)
        self._qtbot.waitUntil(lambda: companion.result is result)


@pytest.fixture
def stage(qtbot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr("engine.live.LiveSession", Scripted)
    Scripted.made.clear()
    stage = Stage(qtbot)
    yield stage
    stage.companions.close()
    stage.bridge.close()


def frame(seconds: float = 0.0, *, source: str = "clip", clock: bool = True) -> Frame:
    """That many seconds after the first one, of a source of ten a second."""
    image = np.full((100, 200, 3), 90, np.uint8)
    return Frame(image, source, round(10 * seconds), 1000.0 + seconds, clock=seconds if clock else None)


def boxes(shown: Frame, *found: tuple[str, float], seconds: float = 0.02) -> Result:
    detections = Detections(
        np.array([(20 + 40 * i, 20, 50 + 40 * i, 80) for i in range(len(found))], np.float32).reshape(-1, 4),
        np.array([score for _, score in found], np.float32),
        np.array([("cat", "dog").index(label) for label, _ in found], np.int64),
        ("cat", "dog"),
    )
    return Result(shown, "boxes", 1, detections=detections, timings=Timings(waiting=1.0, network=seconds))


def people(shown: Frame, *names: str | None, known: bool = True) -> Result:
    faces = tuple(
        FaceMatch((20.0, 20.0, 60.0, 70.0), 0.9, np.zeros((5, 2), np.float32), name, 0.7, 0.9, 1 if known else None)
        for name in names
    )
    count = len(names)
    detections = Detections(
        np.full((count, 4), 20, np.float32) + np.array([0, 0, 40, 50], np.float32),
        np.full(count, 0.9, np.float32),
        np.zeros(count, np.int64),
        ("face",),
    )
    return Result(shown, "faces", 1, faces=faces, detections=detections)


def running(companions: Companions) -> list[str]:
    return [each.card.name for each in companions.running]


# --- which ones


def test_what_reads_pictures_may_look_along_except_for_what_answers(stage: Stage) -> None:
    assert [each.name for each in stage.companions.cards] == ["boxes", "faces", "whole", "more"]
    stage.companions.choose("boxes", True)
    stage.companions.choose("faces", True)
    assert running(stage.companions) == ["boxes", "faces"]
    stage.companions.set_main("boxes")
    assert [each.name for each in stage.companions.cards] == ["main", "faces", "whole", "more"]
    assert running(stage.companions) == ["faces"], "nobody looks twice"
    stage.companions.set_main("main")
    assert sorted(running(stage.companions)) == ["boxes", "faces"], "it had not been switched off"


def test_they_look_while_live_is_open_and_are_remembered(stage: Stage, qtbot) -> None:
    stage.companions.choose("boxes", True)
    stage.companions.set_share("boxes", 50)
    session = stage.session("boxes")
    assert session.share == 0.5
    first, second = frame(), frame()
    stage.bridge.submit(first)
    stage.companions.set_active(False)
    stage.bridge.submit(second)
    assert session.frames == [first] and session.running
    stage.companions.set_active(True)
    stage.bridge.submit(second)
    assert session.frames == [first, second]
    again = Companions(stage.bridge, stage.settings)
    assert again.chosen == {"boxes": 50}
    stage.companions.choose("boxes", False)
    assert stage.companions.chosen == {} and Companions(stage.bridge, stage.settings).chosen == {}
    stage.bridge.submit(frame())
    assert len(session.frames) == 2
    qtbot.waitUntil(lambda: not session.running)


def test_nothing_is_loaded_before_live_is_opened_and_its_network_ready(qtbot, monkeypatch) -> None:
    monkeypatch.setattr("engine.live.LiveSession", Scripted)
    Scripted.made.clear()
    bridge, settings = Bridge(), Settings()
    settings.set("also", ["boxes", "long gone"])
    companions = Companions(bridge, settings)
    companions.set_cards(CARDS)
    companions.set_active(True)
    assert not Scripted.made
    companions.set_main("main")
    assert [each.name for each in Scripted.made] == ["boxes"] and companions.chosen == {"boxes": 25}
    companions.close()
    assert not Scripted.made[0].running
    bridge.close()


def test_three_at_most(stage: Stage, qtbot) -> None:
    button = CompanionButton(stage.companions)
    qtbot.addWidget(button)
    for name in ("boxes", "faces", "whole", "more"):
        button.picker.ticks[name].click()
    assert running(stage.companions) == ["boxes", "faces", "whole"] and button.text() == "Also 3"
    assert len({each.colour for each in stage.companions.running}) == 3
    assert not button.picker.ticks["more"].isEnabled()
    button.picker.ticks["faces"].click()
    assert button.picker.ticks["more"].isEnabled()
    button.picker.ticks["more"].click()
    assert running(stage.companions) == ["boxes", "whole", "more"]
    assert sorted(each.colour for each in stage.companions.running) == sorted(COLOURS)


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)  # a popup, off-screen
def test_the_list_is_opened_and_gone_through_by_keys(stage: Stage, qtbot) -> None:
    button = CompanionButton(stage.companions)
    qtbot.addWidget(button)
    button.show()
    button.pick()
    picker = button.picker
    first, share = picker.ticks["boxes"], picker.shares["boxes"]
    qtbot.waitUntil(picker.isVisible)
    assert picker.focusWidget() is first and not share.isEnabled()
    qtbot.keyClick(first, Qt.Key.Key_Space)
    assert running(stage.companions) == ["boxes"] and share.isEnabled() and share.currentText() == "25 % of the time"
    share.setFocus()
    qtbot.keyClick(share, Qt.Key.Key_Up)
    assert stage.session("boxes").share == 0.1
    qtbot.keyClick(picker, Qt.Key.Key_Escape)
    assert not picker.isVisible()


def test_one_that_is_gone_or_cannot_be_loaded_is_switched_off_and_said_once(stage: Stage, qtbot) -> None:
    for name in ("faces", "whole"):
        stage.companions.choose(name, True)
    stage.session("whole").ready(ModelState("whole", "failed", error=EngineError("The weights are missing.")))
    qtbot.waitUntil(lambda: len(stage.said) == 1)
    assert "“Whole” has been switched off" in stage.said[0].message and "The weights are missing." in stage.said[0].hint
    assert running(stage.companions) == ["faces"]
    stage.companions.set_cards([each for each in CARDS if each.name != "faces"])
    assert len(stage.said) == 2 and "“Faces” is not there any more" in stage.said[1].message
    assert not stage.companions.running and not stage.companions.chosen
    stage.companions.set_cards(CARDS)
    assert not stage.companions.running and len(stage.said) == 2
    qtbot.waitUntil(lambda: not any(each.running for each in Scripted.made))


def test_one_that_cannot_read_a_picture_says_so_and_goes_on(stage: Stage, qtbot) -> None:
    over: list[EngineError] = []
    stage.companions.recovered.connect(over.append)
    stage.companions.choose("boxes", True)
    session = stage.ready("boxes")
    error = EngineError("It could not read this picture.", "It broke.")
    session.fail(error)
    qtbot.waitUntil(lambda: len(stage.said) == 1)
    assert "“Boxes” could not read a picture" in stage.said[0].message and "It broke." in stage.said[0].hint
    assert running(stage.companions) == ["boxes"] and stage.companions.chosen == {"boxes": 25}
    assert stage.settings.texts("also") == ["boxes"], "it looks along at the next start, too"
    assert stage.companions.rows()[0].says == "cannot read the pictures" and not over
    session.recover(error)
    stage.sees("boxes", boxes(frame(), ("cat", 0.9)))
    assert over == stage.said and stage.companions.rows()[0].says == "cat"
    session.fail(error)
    qtbot.waitUntil(lambda: len(stage.said) == 2)
    stage.companions.choose("boxes", False)
    assert over == stage.said, "it has been switched off by hand"


def test_whoever_looks_along_knows_the_same_people(stage: Stage) -> None:
    told: list[ModelCard | None] = []
    stage.companions.faces.connect(told.append)
    stage.companions.choose("faces", True)
    assert told == []
    stage.ready("faces")
    assert [each.name if each else "" for each in told] == ["faces"]
    enrolled: Any = object()
    stage.bridge.set_people(enrolled)
    assert stage.session("faces").people is enrolled
    stage.companions.choose("boxes", True)
    assert stage.session("boxes").people is enrolled, "it may be one for faces, too"
    stage.companions.set_active(False)
    assert told[-1] is None


# --- what they see


def test_what_they_see_is_drawn_over_frames_of_the_same_moment(stage: Stage) -> None:
    stage.companions.choose("boxes", True)
    over = stage.companions.over
    read = frame()
    drawn = over(read, None)
    assert drawn is not None and drawn.beside[0].says == "getting ready…" and drawn.size == (200, 100)
    stage.ready("boxes")
    stage.sees("boxes", boxes(read, ("cat", 0.9), ("dog", 0.6), ("dog", 0.2)))

    def marks(shown: Frame) -> list[str]:
        drawn = over(shown, Overlay((200, 100), headline="mine"))
        assert drawn is not None and drawn.headline == "mine" and [each.name for each in drawn.beside] == ["Boxes"]
        return [mark.text for mark in drawn.beside[0].marks]

    found = ["cat · 90 %", "dog · 60 %"]  # and not what is less probable than the network's own least score
    assert marks(read) == found
    assert marks(frame(0.5 * FRESH)) == found
    assert marks(frame(2 * FRESH)) == []
    assert marks(frame(source="another")) == []
    assert marks(Frame(read.image, "clip", 50, read.time, clock=2 * FRESH)) == [], "another place of the video"
    assert marks(frame(0.1, clock=False)) == []
    stage.companions.forget()
    assert marks(read) == [] and stage.companions.rows()[0].says == ""
    stage.companions.set_active(False)
    assert over(read, None) is None


def test_a_picture_by_itself_has_only_what_was_seen_in_it(stage: Stage) -> None:
    stage.companions.choose("whole", True)
    stage.ready("whole")
    one, again, other = frame(clock=False), frame(clock=False), frame(0.1, clock=False)
    answer = Classification(("cat", "dog"), np.array([0.25, 0.75], np.float32))
    region = Region((50.0, 0.0, 150.0, 100.0), answer, np.zeros((64, 64, 3), np.uint8))
    stage.sees("whole", Result(one, "whole", 1, classification=answer, regions=(region,)))
    drawn = [stage.companions.over(each, None).beside[0] for each in (one, again, other)]  # type: ignore[union-attr]
    assert [each.says for each in drawn] == ["dog · 75 %", "dog · 75 %", ""]
    assert not drawn[0].marks, "one line, and no box, although it has not seen the edges"
    assert stage.companions.rows()[0].says == "dog · 75 %"


def test_faces_have_names_only_where_there_is_somebody_to_compare_them_with(stage: Stage) -> None:
    stage.companions.choose("faces", True)
    stage.ready("faces")
    shown = frame()

    def texts() -> list[str]:
        drawn = stage.companions.over(shown, None)
        assert drawn is not None
        return [mark.brief for mark in drawn.beside[0].marks]

    stage.sees("faces", people(shown, None, None, known=False))
    assert texts() == ["face", "face"] and stage.companions.rows()[0].says == "2 × face"
    stage.sees("faces", people(shown, "Ada", None))
    assert texts() == ["Ada", "unknown"] and stage.companions.rows()[0].says == "Ada, unknown"
    stage.sees("faces", people(shown))
    assert stage.companions.rows()[0].says == "nothing in sight"


def test_the_answer_says_how_they_are_getting_on(stage: Stage, qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = CompanionRows(stage.companions)
    qtbot.addWidget(rows)
    assert rows.isHidden()
    stage.companions.choose("boxes", True)
    assert not rows.isHidden() and pace_words(rows.rows[0]) == "25 % of the time"
    stage.ready("boxes")
    now = [Bridge.now()]
    monkeypatch.setattr(Bridge, "now", staticmethod(lambda: now[0]))
    for number in range(5):
        now[0] += 0.5
        stage.sees("boxes", boxes(frame(), ("cat", 0.9), ("cat", 0.8), seconds=0.01 * (number + 1)))
    rows.refresh()
    assert rows.rows[0].says == "2 × cat" and pace_words(rows.rows[0]) == "30 ms · 2.0 a second"
    assert "Boxes: 2 × cat, 30 ms" in rows.accessibleDescription()
    rows.resize(300, rows.height())
    rows.show()
    rows.grab()
    now[0] += 60
    rows.refresh()
    assert pace_words(rows.rows[0]) == "30 ms", "nothing moves any more"
    stage.companions.choose("boxes", False)
    assert rows.isHidden()


# --- how it is drawn


def test_others_are_drawn_in_corners_with_a_legend_and_cannot_be_clicked() -> None:
    plain = np.full((400, 600, 3), 128, np.uint8)
    mark = Mark((100.0, 100.0, 260.0, 260.0), "", "", "#ff0000")
    mine = painted_pixels(plain, Overlay((600, 400), (mark,)), QFont())
    beside = Overlay((600, 400), beside=(Beside("Faces", "#00ff00", (mark,)),))
    other = painted_pixels(plain, beside, QFont())

    def coloured(picture: np.ndarray, x: int, y: int) -> bool:
        around = picture[y - 4 : y + 5, x - 4 : x + 5].astype(int)
        return bool((np.ptp(around, axis=2) > 100).any())

    corner, middle = (100, 100), (180, 100)
    assert coloured(mine, *corner) and coloured(mine, *middle)
    assert coloured(other, *corner) and not coloured(other, *middle)
    foot = (slice(340, 400), slice(440, 600))
    assert np.array_equal(mine[foot], plain[foot]) and not np.array_equal(other[foot], plain[foot])
    assert box_at(beside, QRectF(0, 0, 600, 400), QPointF(180, 180)) == -1
    tiny = painted_pixels(np.full((24, 24, 3), 128, np.uint8), Overlay((24, 24), beside=beside.beside), QFont())
    assert tiny.shape == (24, 24, 3), "there is no room for a legend"


# --- the real window


@pytest.fixture
def window(qtbot, home: Path) -> Iterator[MainWindow]:
    """The window in Live with a detector of ours that answers, and a network for faces that may look along."""
    write_detector(home)
    write_faces("tiny-faces")
    (home / "window.ini").write_text("[General]\nfaces-model=tiny-faces\n")
    window = open_window(qtbot)
    window.set_mode("live")
    qtbot.waitUntil(lambda: ready(window) == "finder", timeout=240_000)
    qtbot.waitUntil(lambda: bool(window.companions.cards), timeout=20_000)
    yield window
    window.close()


def ready(window: MainWindow) -> str:
    state = window.bridge.state
    return state.name if state is not None and state.phase == "ready" else ""


def open_faces(window: MainWindow, qtbot, folder: Path) -> None:
    """Show a picture with two faces until the detector has read it."""
    path = folder / "two.png"
    cv2.imwrite(str(path), with_faces((1, 1, face(0)), (5, 3, face(1)))[:, :, ::-1])
    window.live.open(str(path))
    qtbot.waitUntil(lambda: window.sight.shown is not None and len(window.sight.shown) == 4, timeout=20_000)


def seen(window: MainWindow) -> list[str]:
    """What is drawn of what looks along."""
    overlay = window.live.picture.overlay
    return sorted(mark.brief for each in overlay.beside for mark in each.marks) if overlay is not None else []


def test_a_network_for_faces_looks_along_without_a_gallery(window: MainWindow, qtbot, tmp_path: Path, home) -> None:
    open_faces(window, qtbot, tmp_path)
    alone = window.live.picture.snapshot()
    window.companions.choose("tiny-faces", True)
    qtbot.waitUntil(lambda: seen(window) == ["face", "face"], timeout=240_000)
    assert window.sight.shown is not None and len(window.sight.shown) == 4, "the detector's boxes are there as before"
    assert window.live.picture.snapshot() != alone
    qtbot.waitUntil(lambda: [row.says for row in window.answer.beside.rows] == ["2 × face"], timeout=20_000)
    assert not (home / "faces.sqlite").exists()
    target = tmp_path / "shot.png"
    window.live.save_snapshot(target)
    qtbot.waitUntil(target.exists, timeout=20_000)
    qtbot.waitUntil(lambda: not QImage(str(target)).isNull(), timeout=20_000)
    assert QImage(str(target)).convertToFormat(QImage.Format.Format_RGB32) == (
        window.live.picture.snapshot().convertToFormat(QImage.Format.Format_RGB32)
    )
    window.set_mode("models")
    assert window.answer.beside.isHidden() and not window.live.also.isVisible()
    window.set_mode("live")
    qtbot.waitUntil(window.live.also.isVisible)
    assert seen(window) == ["face", "face"], "the picture stands still, and so does what was seen in it"
    window.set_mode("faces")
    qtbot.waitUntil(lambda: not window.live.also.isVisible())
    assert seen(window) == []
    qtbot.waitUntil(lambda: ready(window) == "tiny-faces", timeout=240_000)
    window.close()
    again = open_window(qtbot)
    assert list(again.companions.chosen) == ["tiny-faces"]
    again.close()


def test_who_is_enrolled_is_named_by_a_network_that_looks_along(
    window: MainWindow, qtbot, tmp_path: Path, home: Path
) -> None:
    from engine import model_card, model_id, open_reader

    reader: Any = open_reader(model_card("tiny-faces"))
    result = reader.predict(Frame(with_faces((2, 2, face(1))), "shot", 0, 0.0))
    with_gallery = Gallery()
    person = with_gallery.add_person("Ben")
    (match,) = result.faces
    with_gallery.add_shot(
        person.id,
        match.crop,
        match.crop_landmarks,
        quality=0.9,
        source="shot",
        embedding=match.embedding,
        model=model_id(model_card("tiny-faces")),
    )
    with_gallery.close()
    window.companions.choose("tiny-faces", True)
    open_faces(window, qtbot, tmp_path)
    qtbot.waitUntil(lambda: seen(window) == ["Ben", "unknown"], timeout=240_000)
    assert window.faces.people is None, "what belongs to the mode Faces alone is not made for this"
    window.set_mode("faces")
    qtbot.waitUntil(lambda: ready(window) == "tiny-faces" and window.sight.result is not None, timeout=60_000)
    qtbot.waitUntil(lambda: sorted(each.name or "" for each in window.sight.faces) == ["", "Ben"], timeout=20_000)


def test_one_that_throws_does_not_touch_what_answers(
    window: MainWindow, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Result:
        raise FloatingPointError("broken")

    open_faces(window, qtbot, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("engine.vision.faces.FaceFollower.predict", broken)
        window.companions.choose("tiny-faces", True)
        qtbot.waitUntil(lambda: bool(window.notices.cards), timeout=240_000)
    assert "goes on" in window.notices.cards[0].key[0] and len(window.notices.cards) == 1
    assert list(window.companions.chosen) == ["tiny-faces"] and window.live.also.text() != "Also"
    assert window.live.picture.result is not None and ready(window) == "finder"
    window.bridge.submit(window.live.picture.frame)
    qtbot.waitUntil(lambda: seen(window) == ["face", "face"], timeout=20_000)
    caplog.clear()
