"""The window as a person meets it: drawing and reading, modes, layout, memory, looks, notices."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QImage, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QLabel,
    QMessageBox,
    QScrollArea,
    QTabBar,
    QToolButton,
    QWidget,
)

from engine import EngineError, Started, Step, Stopped, TrainingConfig, new_run
from engine.training.events import to_json
from engine.training.runs import RunRecord
from gui.canvas import PAPER
from gui.files import ask_for_picture_or_video, ask_where_to_save
from gui.frame import ShortcutList
from gui.theme import DARK, LIGHT, OKABE_ITO, theme
from gui.window import MODES, PANELS, MainWindow
from tests.gui.conftest import ONE, SEVEN, drop, open_window, stroke


def contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio of two #rrggbb colours."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((light(one), light(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_a_drawn_seven_is_read_and_its_bars_painted(window: MainWindow, qtbot) -> None:
    with qtbot.waitSignal(window.answer.painted, check_params_cb=lambda r: r.text == "7", timeout=20_000):
        stroke(window.canvas, SEVEN)
    assert window.answer.reading.text == "7"
    assert window.answer.bars.values["7"] > 0.9
    seen = window.answer.input.image()
    assert seen.shape == (28, 28) and seen.max() > 200


def test_strokes_made_before_the_network_is_ready_are_read(qtbot, home: Path) -> None:
    window = open_window(qtbot)
    stroke(window.canvas, SEVEN)
    assert window.bridge.state is None or window.bridge.state.phase != "ready"
    assert "Getting the network ready" in window.answer.reading.text
    qtbot.waitUntil(lambda: window.answer.reading.text == "7", timeout=120_000)
    window.close()


def test_several_digits_are_a_number_with_boxes_and_inputs_to_choose(window: MainWindow, qtbot) -> None:
    stroke(window.canvas, SEVEN)
    stroke(window.canvas, ONE)
    qtbot.waitUntil(lambda: window.answer.reading.text == "71", timeout=20_000)
    assert [each.label.text for each in window.canvas._labels] == ["7", "1"]
    assert window.answer.bars.values["7"] > 0.5
    window.answer.input.setFocus()
    qtbot.keyClick(window.answer.input, Qt.Key.Key_Right)
    assert window.answer.bars.values["1"] > 0.5
    qtbot.waitUntil(lambda: window.bridge._wanted_layer[1] == 1)


def test_a_scribble_is_no_digit_and_a_blank_is_nothing(window: MainWindow, qtbot) -> None:
    turns = np.linspace(0, 15, 60)
    stroke(window.canvas, [(420 + 190 * np.sin(t * 2.3), 280 + 170 * np.cos(t * 3.1)) for t in turns])
    qtbot.waitUntil(lambda: window.answer.reading.text == "This is not a digit", timeout=20_000)
    window.clear_action.trigger()
    qtbot.waitUntil(lambda: window.answer.reading.text == "Nothing drawn yet", timeout=20_000)
    assert window.canvas._labels == ()
    window.undo_action.trigger()
    qtbot.waitUntil(lambda: window.answer.reading.text == "This is not a digit", timeout=20_000)


def test_maps_are_those_of_the_digit_whose_bars_are_shown(window: MainWindow, qtbot) -> None:
    stroke(window.canvas, SEVEN)
    stroke(window.canvas, ONE)
    qtbot.waitUntil(lambda: window.answer.reading.text == "71", timeout=20_000)
    shown: list[int] = []  # of which region the maps are
    window.bridge.result.connect(lambda result: shown.append(result.activations.region if result.activations else -1))
    window.answer.input.choose(1)
    qtbot.waitUntil(lambda: shown[-1:] == [1], timeout=20_000)
    window.clear_action.trigger()
    qtbot.waitUntil(lambda: window.answer.reading.text == "Nothing drawn yet", timeout=20_000)
    window.undo_action.trigger()
    qtbot.waitUntil(lambda: window.answer.reading.text == "71", timeout=20_000)
    assert window.answer.region == 0
    qtbot.waitUntil(lambda: shown[-1] == 0, timeout=20_000)


def test_a_picture_is_answered_like_the_strokes_it_shows(window: MainWindow, qtbot, tmp_path: Path) -> None:
    stroke(window.canvas, SEVEN)
    qtbot.waitUntil(lambda: window.answer.reading.text == "7", timeout=20_000)
    bars = dict(window.answer.bars.values)
    red = QImage(*PAPER, QImage.Format.Format_RGB32)
    red.fill(Qt.GlobalColor.white)
    painter = QPainter(red)
    painter.setPen(QPen(Qt.GlobalColor.red, 24, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawPolyline([QPointF(*point) for point in SEVEN])
    painter.end()
    house = QImage(400, 400, QImage.Format.Format_RGB32)
    house.fill(Qt.GlobalColor.white)
    painter = QPainter(house)
    painter.setBrush(Qt.GlobalColor.black)
    painter.drawRect(80, 180, 240, 180)
    painter.drawPolygon([QPoint(60, 180), QPoint(200, 40), QPoint(340, 180)])
    painter.end()
    window.canvas.save(tmp_path / "seven.png")
    qtbot.waitUntil((tmp_path / "seven.png").exists)
    window.canvas.clear()
    qtbot.waitUntil(lambda: window.answer.reading.text == "Nothing drawn yet", timeout=20_000)
    window.canvas.open(tmp_path / "seven.png")
    qtbot.waitUntil(lambda: window.answer.reading.text == "7", timeout=20_000)
    assert window.answer.bars.values == bars
    window.canvas.clear()
    qtbot.waitUntil(lambda: window.answer.reading.text == "Nothing drawn yet", timeout=20_000)
    window.canvas.insert_image(red)
    qtbot.waitUntil(lambda: window.answer.reading.text == "7", timeout=20_000)
    window.canvas.clear()
    window.canvas.insert_image(house)
    qtbot.waitUntil(lambda: window.answer.reading.text == "This is not a digit", timeout=20_000)
    assert window.answer.input.image() is not None, "it was looked at"
    assert [each.label.text for each in window.canvas._labels] == ["not a digit"]


@pytest.mark.parametrize("mode", [mode.name for mode in MODES])
def test_every_mode_draws_itself_with_its_docks(window: MainWindow, qtbot, mode: str) -> None:
    window._mode_actions[mode].trigger()
    assert window.mode == mode
    wanted = next(m for m in MODES if m.name == mode).docks
    assert {panel.name for panel in PANELS if window._docks[panel.name].isVisible()} == set(wanted)
    image = window.grab().toImage()
    assert len({image.pixel(x, y) for x in range(0, image.width(), 40) for y in range(0, image.height(), 40)}) > 3


def test_at_1280_by_800_all_three_places_are_seen_whole(window: MainWindow, qtbot) -> None:
    qtbot.wait(50)
    for widget in (window.canvas, window.answer.bars, window.answer.input, window.inside):
        corner = widget.mapTo(window, QPoint(0, 0))
        assert not widget.visibleRegion().isEmpty()
        assert widget.visibleRegion().boundingRect() == widget.rect(), f"{widget.objectName()} is cut off"
        assert window.rect().contains(corner)
    assert window.canvas.paper.width() >= 480


@pytest.mark.qt_log_ignore("This plugin does not support raise", extend=True)
def test_a_hidden_dock_stays_hidden_in_its_mode_until_the_layout_is_reset(window: MainWindow, qtbot) -> None:
    window._docks["answer"].close()
    window.set_mode("live")
    assert window._docks["answer"].isVisible()
    window.set_mode("draw")
    assert not window._docks["answer"].isVisible()
    window._docks["inside"].setFloating(True)
    window.reset_action.trigger()
    assert window._docks["answer"].isVisible() and not window._docks["inside"].isFloating()
    assert window.dockWidgetArea(window._docks["inside"]) == Qt.DockWidgetArea.BottomDockWidgetArea


def test_layout_mode_pen_and_model_are_remembered(window: MainWindow, qtbot) -> None:
    window.canvas.set_pen_width(31)
    window._docks["inside"].close()
    window.set_theme("dark")
    window.set_mode("models")
    window.close()
    again = open_window(qtbot)
    assert again.mode == "models" and again.canvas.pen_width == 31 and theme.dark
    again.set_mode("draw")
    assert not again._docks["inside"].isVisible() and again._docks["answer"].isVisible()
    assert again._model == "digits"
    again.set_theme("system")
    again.close()


def test_a_forgotten_model_falls_back_to_the_bundled_one(qtbot, home: Path) -> None:
    (home / "window.ini").write_text("[General]\nmodel=was-deleted\n")
    window = open_window(qtbot)
    qtbot.waitUntil(
        lambda: (
            window.bridge.state is not None
            and (window.bridge.state.name, window.bridge.state.phase) == ("digits", "ready")
        ),
        timeout=120_000,
    )
    assert window.choice.currentData() == "digits"
    assert len(window.notices.cards) == 1
    window.close()


def test_the_zoo_is_listed_and_described(window: MainWindow, qtbot) -> None:
    qtbot.waitUntil(lambda: window.choice.findData("digits") >= 0)
    window.set_mode("models")
    assert window.models.chosen.name == "digits"
    assert not window.models.delete_button.isVisible(), "what came with ConvScope is not deleted"
    assert not window.models.use_button.isEnabled()


def test_f1_lists_every_shortcut_of_the_actions(window: MainWindow, qtbot) -> None:
    window.keys_action.trigger()
    dialog = window.findChild(ShortcutList)
    words = {label.text() for label in dialog.findChildren(QLabel)}
    assert {"Undo", "Ctrl+Z", "Thinner pen", "[", "Next layer", "Draw", "Ctrl+1"} <= words
    for _, actions in window._sections:
        for action in actions:
            if not action.shortcut().isEmpty():
                assert action.text().replace("&", "").rstrip("…") in words
    dialog.close()


def test_no_two_actions_of_a_mode_share_a_key(window: MainWindow) -> None:
    keys: dict[str, str] = {}
    for action in window.actions():
        for key in action.shortcuts():
            where = next((mode for each, mode in window._only_in if each is action), "")
            for mode in [where] if where else [mode.name for mode in MODES]:
                assert keys.setdefault(f"{mode} {key.toString()}", action.text()) == action.text()


def test_every_button_has_a_name_and_a_tooltip(window: MainWindow) -> None:
    for mode in MODES:
        window.set_mode(mode.name)
    for button in window.findChildren(QToolButton):
        if button.objectName().startswith("qt_") or isinstance(button.parent(), QTabBar | None):
            continue  # Qt's own
        assert button.toolTip() or button.text(), button
        assert button.accessibleName() or button.text() or button.toolTip(), button


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_every_ground(colours) -> None:
    for ground in (colours.window, colours.base, colours.raised, colours.soft):
        assert contrast(colours.text, ground) >= 7
        assert contrast(colours.dim, ground) >= 4.5
    assert contrast(colours.accent, colours.base) >= 4.5
    assert contrast(colours.on_accent, colours.accent) >= 4.5
    assert len(set(OKABE_ITO)) == 8


def test_the_look_changes_at_once_everywhere(window: MainWindow, qtbot) -> None:
    window.set_theme("light")
    light = window.grab().toImage().pixelColor(4, 60)
    window.set_theme("dark")
    dark = window.grab().toImage().pixelColor(4, 60)
    assert light.lightness() > 200 and dark.lightness() < 60
    assert window.grab().toImage().pixelColor(window.answer.mapTo(window, QPoint(3, 300))).lightness() < 80
    window.set_theme("system")


def test_an_error_is_said_once_and_counted(window: MainWindow, qtbot) -> None:
    for _ in range(3):
        window.bridge.report(EngineError("The file is broken.", "Choose another one."))
    qtbot.waitUntil(lambda: [card.count for card in window.notices.cards] == [3])
    assert len(window.notices.cards) == 1 and window.notices.isVisible()
    card = window.notices.cards[0]
    assert card.details_button is None
    card.close_button.click()
    assert not window.notices.cards and not window.notices.isVisible()


def test_an_error_closes_by_itself_once_it_is_over(
    window: MainWindow, qtbot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gui.notices.READ", 10)

    def broken(*_: object, **__: object) -> None:
        raise FloatingPointError("broken")

    with monkeypatch.context() as patch:
        patch.setattr("engine.vision.classify.Classifier.predict", broken)
        stroke(window.canvas, ONE)
        qtbot.waitUntil(lambda: [card.count for card in window.notices.cards] == [1], timeout=20_000)
        window.notices.settle(EngineError("Another one."))
    assert "could not read this picture" in window.notices.cards[0].key[0]
    assert not window.notices.cards[0]._passing.isActive(), "it goes on"
    stroke(window.canvas, ONE)
    qtbot.waitUntil(lambda: not window.notices.cards, timeout=20_000)
    caplog.clear()


def test_what_happens_again_does_not_close_by_itself(window: MainWindow, qtbot) -> None:
    error = EngineError("The picture is broken.")
    card = window.notices.error(error)
    window.live.recovered.emit(error)
    assert card._passing.isActive()
    window.notices.error(error)
    assert card.count == 2 and not card._passing.isActive()
    window.companions.recovered.emit(error)
    assert card._passing.isActive()


@pytest.mark.parametrize("mode", [mode.name for mode in MODES])
def test_an_error_covers_nothing_that_one_could_press(window: MainWindow, qtbot, mode: str) -> None:
    window.set_mode(mode)
    window.bridge.report(EngineError("The file is broken.", "Choose another one."))
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1)

    def covered() -> list[str]:
        found = []
        for widget in (*window.findChildren(QAbstractButton), *window.findChildren(QComboBox)):
            if widget.isVisible() and not window.notices.isAncestorOf(widget) and not can_be_scrolled(widget):
                seen = widget.visibleRegion().boundingRect().translated(widget.mapTo(window, QPoint(0, 0)))
                if seen.intersects(window.notices.geometry()):
                    found.append(widget.accessibleName() or str(widget))
        return found

    qtbot.waitUntil(lambda: not covered())  # once everything has found its place


def can_be_scrolled(widget: QWidget) -> bool:
    """It is part of a long page, which can be moved from under whatever covers it."""
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea) and parent.verticalScrollBar().maximum() > widget.height():
            return True
        parent = parent.parentWidget()
    return False


def test_a_bug_is_said_in_plain_words_with_the_traceback_folded_under_it(window: MainWindow, qtbot) -> None:
    try:
        raise KeyError("conv7")
    except KeyError as error:
        window.bridge.report(error)
    qtbot.waitUntil(lambda: bool(window.notices.cards))
    card = window.notices.cards[0]
    details = card.findChild(QWidget, "details")
    assert "conv7" not in card.key[0] and card.details_button is not None and not details.isVisible()
    card.details_button.click()
    assert details.isVisible() and "KeyError" in details.toPlainText()


def test_what_was_told_elsewhere_is_not_in_the_way_for_long(
    window: MainWindow, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gui.notices.READ", 10)
    window.notices.error(EngineError("There are no pictures in this folder.", "Choose another one."))
    window.notices.error(ValueError("a bug"))
    assert len(window.notices.cards) == 2 and not any(card._passing.isActive() for card in window.notices.cards)
    window.set_mode("models")
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    assert window.notices.cards[0].details_button is not None, "a mistake of the program's own stays"


def test_only_the_newest_notices_stay(window: MainWindow, qtbot) -> None:
    for number in range(6):
        window.notices.error(EngineError(f"Trouble {number}"))
    assert [card.key[0] for card in window.notices.cards] == ["Trouble 3", "Trouble 4", "Trouble 5"]


def test_a_picture_dropped_onto_the_window_lies_on_the_paper(window: MainWindow, qtbot, tmp_path: Path) -> None:
    image = QImage(120, 80, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.darkRed)
    image.save(str(tmp_path / "red.png"))
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "red.png"))])
    drop(window, data)
    assert window.mode == "draw"
    qtbot.waitUntil(lambda: not window.canvas.empty)
    assert window.canvas.picture()[280, 420].tolist() == [128, 0, 0]


def test_a_closed_window_starts_nothing_any_more(window: MainWindow) -> None:
    window.close()
    begun: list[int] = []
    window.bridge.call(lambda: begun.append(1), lambda _: None)
    window.bridge.refresh_cards()
    assert not window.bridge._workers and not begun


def test_the_window_goes_before_its_threads_end(window: MainWindow, monkeypatch) -> None:
    seen: list[bool] = []
    close = window.bridge.close
    monkeypatch.setattr(window.bridge, "close", lambda: (seen.append(window.isVisible()), close()))
    window.close()
    assert seen == [False]


def test_the_status_bar_tells_of_a_run_without_the_widgets_of_train(qtbot, home: Path) -> None:
    run = new_run(TrainingConfig(data="synthetic-digits"), folder=home / "runs" / "mine")
    started = Started("cpu", "", 1000, 640, 100, tuple("0123456789"), 4, 20, 0, 0.0)
    steps = [Step(n, n / 20, 2.0, 0.5, 0.01, 1000.0, n * 0.5) for n in range(1, 41)]
    process = RunRecord(run.folder)  # what trains, as far as a viewer can see
    for event in (started, *steps):
        process.write(to_json(event))
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: window._work.isVisible(), timeout=60_000)
    assert window._work.text() == "Training Synthetic digits: epoch 2 of 4, 20\u00a0s left"
    assert window._work_bar.value() == 500 and window.train is None
    window._work_cancel.click()
    assert window.mode == "train"
    qtbot.waitUntil(lambda: any(box.isVisible() for box in window.train.findChildren(QMessageBox)), timeout=20_000)
    next(box for box in window.train.findChildren(QMessageBox)).reject()
    assert run.folder.exists() and window._work.isVisible()
    window.close()
    process.close()


def test_a_run_that_ends_in_the_background_is_told_of(qtbot, home: Path) -> None:
    run = new_run(TrainingConfig(data="synthetic-digits"), folder=home / "runs" / "mine")
    process = RunRecord(run.folder)
    window = open_window(qtbot)
    qtbot.waitUntil(lambda: "preparing" in window._work.text(), timeout=60_000)
    process.write(to_json(Stopped("finished", "Done.", "", 1, 0.9, 3.0)))
    process.close()
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1 and not window._work.isVisible(), timeout=60_000)
    assert window.notices.cards[0].key[0] == "The training has ended." and window.train is None
    window.close()


def test_files_are_asked_for_in_the_folder_of_the_last_answer(window: MainWindow, monkeypatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(parent: QWidget, title: str, start: str, kinds: str) -> tuple[str, str]:
        asked.append(start)
        return (str(tmp_path / "drawing"), kinds) if len(asked) < 3 else ("", "")

    monkeypatch.setattr("gui.files.QFileDialog.getSaveFileName", answer)
    monkeypatch.setattr("gui.files.QFileDialog.getOpenFileName", answer)
    first = ask_where_to_save(window, window.settings, title="Save", name="drawing.png")
    assert first == tmp_path / "drawing.png"
    assert ask_for_picture_or_video(window, window.settings) == tmp_path / "drawing"
    assert ask_where_to_save(window, window.settings, title="Save", name="shot.png") is None
    assert asked[1:] == [str(tmp_path), str(tmp_path / "shot.png")]


def test_threads_carry_the_name_of_the_program_once(window: MainWindow, qtbot) -> None:
    window.moving_action.trigger()
    qtbot.waitUntil(lambda: window.live.playing, timeout=20_000)
    names = {thread.name for thread in threading.enumerate()}
    assert {"convscope-inference", "convscope-capture"} <= names


def test_train_is_built_while_nobody_needs_the_window(qtbot, home: Path) -> None:
    window = open_window(qtbot)
    paper = window.canvas.paper.center()
    qtbot.mousePress(window.canvas, Qt.MouseButton.LeftButton, pos=paper)
    qtbot.waitUntil(lambda: window._ahead.isActive(), timeout=60_000)
    qtbot.waitSignal(window._ahead.timeout, timeout=60_000).wait()
    qtbot.waitSignal(window._ahead.timeout, timeout=60_000).wait()
    assert window.canvas.drawing and not hasattr(window._train_ahead, "form"), "not while the pen is down"
    qtbot.mouseRelease(window.canvas, Qt.MouseButton.LeftButton, pos=paper)
    qtbot.waitUntil(lambda: window._train_ahead is not None and not window._ahead.isActive(), timeout=60_000)
    assert window.train is None and window.mode == "draw"
    window.set_mode("train")
    assert window.train is window._train_ahead and window._stack.currentWidget() is window.train
    assert window._stack.count() == len({window._stack.widget(i) for i in range(window._stack.count())})
    window.close()
