"""The answer panel with results made by hand: many classes, names for classes, rejects, a network that fails."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtGui import QImage

from engine import (
    NOT_A_DIGIT,
    Classification,
    EngineError,
    Frame,
    ModelCard,
    ModelState,
    Preprocess,
    Region,
    Result,
)
from gui.bridge import Bridge
from gui.companions import Companions
from gui.panels.answer import AnswerPanel
from gui.settings import Settings
from gui.sight import Sight
from gui.theme import theme


def card(classes: tuple[str, ...], *, reject: str = "", kind: str = "drawing") -> ModelCard:
    channels = 1 if kind == "drawing" else 3
    preprocess = Preprocess(kind, 28, channels, (0.5,) * channels, (0.5,) * channels)  # type: ignore[arg-type]
    return ModelCard("net", "Net", "classification", "small", classes, preprocess, reject=reject)


def shares(count: int, best: int, value: float) -> np.ndarray:
    probabilities = np.full(count, (1 - value) / (count - 1), np.float32)
    probabilities[best] = value
    return probabilities


def result(*answers: Classification, text: str = "", colour: bool = False, paper: int = 255) -> Result:
    frame = Frame(np.full((40, 60, 3), paper, np.uint8), "canvas", 0, 0.0, drawing=True)
    pixels = np.arange(28 * 28 * (3 if colour else 1), dtype=np.uint8).reshape((28, 28, 3) if colour else (28, 28))
    regions = tuple(Region((i * 20.0, 0.0, i * 20.0 + 15, 30.0), each, pixels) for i, each in enumerate(answers))
    return Result(frame, "net", classification=answers[0] if answers else None, regions=regions, text=text)


@pytest.fixture
def panel(qtbot) -> AnswerPanel:
    panel = AnswerPanel(Sight(Settings()), Companions(Bridge(), Settings()))
    qtbot.addWidget(panel)
    panel.resize(340, 680)
    panel.show()
    return panel


def test_before_a_network_is_ready_it_says_that_one_can_draw(panel: AnswerPanel) -> None:
    panel.set_model(ModelState("net", "loading"))
    assert "Getting the network ready" in panel.reading.text
    panel.set_model(ModelState("net", "failed", error=EngineError("The weights are missing.")))
    assert panel.reading.explanation == "The weights are missing."
    panel.grab()


def test_a_network_that_cannot_be_loaded_leaves_the_answer_of_the_one_that_runs(panel: AnswerPanel, qtbot) -> None:
    names = ("cat", "dog")
    panel.set_model(ModelState("net", "ready", card(names, kind="picture")))
    panel.set_result(result(Classification(names, shares(2, 1, 0.9)), colour=True))
    assert panel.reading.text == "dog"
    panel.set_model(ModelState("other", "loading"))
    qtbot.waitUntil(lambda: "Getting the network ready" in panel.reading.text)
    assert not any(panel.bars.values.values()) and panel.input.image() is None
    panel.set_model(ModelState("other", "failed", error=EngineError("The weights are missing.")))
    assert panel.reading.text == "dog" and panel.bars.values["dog"] == pytest.approx(0.9)


def test_of_a_thousand_classes_the_five_most_probable_are_shown(panel: AnswerPanel) -> None:
    names = tuple(f"kind of bird number {i}" for i in range(1000))
    panel.set_model(ModelState("net", "ready", card(names, kind="picture")))
    for best in (7, 8):
        panel.set_result(result(Classification(names, shares(1000, best, 0.6)), colour=True))
        assert panel.reading.text == names[best] and "60.0 % sure" in panel.reading.explanation
        assert panel.bars.rows == 5 and next(iter(panel.bars.values)) == names[best]
        panel.grab()
    assert panel.input.image().shape == (28, 28, 3)


def test_classes_with_names_are_answered_by_name(panel: AnswerPanel) -> None:
    names = ("T-shirt", "Trouser", "Pullover", "Ankle boot")
    panel.set_model(ModelState("net", "ready", card(names)))
    panel.set_result(result(Classification(names, np.array([0.1, 0.05, 0.8, 0.05], np.float32))))
    assert panel.reading.text == "Pullover"
    assert panel.reading.explanation == "80.0 % sure · or T-shirt with 10.0 %"
    panel.grab()


def test_a_mark_among_digits_is_mentioned(panel: AnswerPanel, qtbot) -> None:
    names = (*"0123456789", NOT_A_DIGIT)
    panel.set_model(ModelState("net", "ready", card(names, reject=NOT_A_DIGIT)))
    seven, one = Classification(names, shares(11, 7, 0.9)), Classification(names, shares(11, 1, 0.7))
    mark = Classification(names, shares(11, 10, 0.8), rejected=True)
    panel.set_result(result(seven, mark, one, text="71"))
    assert panel.reading.text == "71"
    assert panel.reading.explanation == "2 digits and 1 mark that is none · least sure: 1 with 70.0 %"
    with qtbot.waitSignal(panel.region_chosen) as chosen:
        panel.input.choose(1)
    assert chosen.args == [1] and panel.bars.values[NOT_A_DIGIT] == pytest.approx(0.8)
    panel.set_result(result(mark))
    assert panel.reading.text == "This is not a digit" and panel.region == 0
    panel.set_result(result())
    assert panel.reading.text == "Nothing drawn yet" and panel.input.image() is None
    assert set(panel.bars.values.values()) == {0.0}


def test_only_a_blank_paper_is_called_one(panel: AnswerPanel) -> None:
    names = (*"0123456789", NOT_A_DIGIT)
    panel.set_model(ModelState("net", "ready", card(names, reject=NOT_A_DIGIT)))
    assert panel.reading.text == "", "nobody has looked at the paper yet"
    panel.set_result(result(paper=254))
    assert panel.reading.text == "This is not a digit" and "ink" in panel.reading.explanation
    panel.set_result(result())
    assert panel.reading.text == "Nothing drawn yet"


def test_whoever_shows_the_maps_of_a_region_hears_of_every_change(panel: AnswerPanel, qtbot) -> None:
    names = tuple("0123456789")
    panel.set_model(ModelState("net", "ready", card(names)))
    digits = [Classification(names, shares(10, best, 0.9)) for best in (2, 3, 5)]
    told: list[int] = []
    panel.region_chosen.connect(told.append)
    panel.set_result(result(*digits, text="235"))
    panel.input.choose(2)
    panel.set_result(result())
    panel.set_result(result(*digits[:2], text="23"))
    assert told == [2, 0] and panel.region == 0 == panel.input.current
    panel.input.choose(1)
    panel.clear()
    assert told == [2, 0, 1, 0]


def test_a_late_result_of_another_network_changes_no_bars(panel: AnswerPanel) -> None:
    panel.set_model(ModelState("net", "ready", card(tuple("0123456789"))))
    panel.set_result(result(Classification(("a", "b"), np.array([0.9, 0.1], np.float32))))
    assert panel.bars.rows == 10 and set(panel.bars.values.values()) == {0.0}


def test_painted_follows_every_result_that_was_painted(panel: AnswerPanel, qtbot) -> None:
    names = tuple("0123456789")
    panel.set_model(ModelState("net", "ready", card(names)))
    one, two = (result(Classification(names, shares(10, best, 0.9)), text=str(best)) for best in (1, 2))
    seen: list[Result] = []
    panel.painted.connect(seen.append)
    with qtbot.waitSignal(panel.painted):
        panel.set_result(one)
        panel.set_result(two)
    panel.update()
    panel.grab()
    assert seen == [two], "the first was never on the screen, and nothing is said twice"


def test_what_is_painted_in_parts_is_what_is_painted_whole(panel: AnswerPanel, qtbot) -> None:
    """Only what has changed is painted again, so the screen must be as if all had been."""

    def on_the_screen() -> QImage:
        return panel.screen().grabWindow(panel.winId()).toImage().convertToFormat(QImage.Format.Format_RGB32)

    def whole() -> QImage:
        return panel.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)

    names = (*"0123456789", NOT_A_DIGIT)
    panel.set_model(ModelState("net", "ready", card(names, reject=NOT_A_DIGIT)))
    rng = np.random.default_rng(2)
    qtbot.waitExposed(panel)
    for step in range(40):
        answers = []
        for _ in range(rng.integers(0, 4) if step % 5 == 0 else 1):
            powers = np.exp(rng.normal(0, 4, 11))
            answers.append(
                Classification(names, (powers / powers.sum()).astype(np.float32), bool(powers.argmax() == 10))
            )
        text = "".join(each.label for each in answers if not each.rejected)
        with qtbot.waitSignal(panel.painted):
            panel.set_result(result(*answers, text=text, colour=step % 7 == 0))
        if step == 20:
            theme.apply("dark")
        elif step == 30:
            panel.resize(400, 800)
        qtbot.waitUntil(lambda: on_the_screen() == whole())
    theme.apply("light")


def test_the_same_answer_again_is_painted_too(panel: AnswerPanel, qtbot) -> None:
    names = tuple("0123456789")
    panel.set_model(ModelState("net", "ready", card(names)))
    for _ in range(2):
        again = result(Classification(names, shares(10, 3, 0.9)), text="3")
        with qtbot.waitSignal(panel.painted) as painted:
            panel.set_result(again)
        assert painted.args == [again]
