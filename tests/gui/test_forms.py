"""The form says exactly what `TrainingConfig` says: every field, every wrong value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QScrollArea, QToolButton
from pytestqt.qtbot import QtBot

from engine import EngineError, Field, TrainingConfig
from gui.forms import FolderEdit, Form, NumberBox

FIELDS = TrainingConfig.describe()
DEFAULTS = TrainingConfig().values()


@pytest.fixture
def form(qtbot: QtBot) -> Form:
    form = Form()
    qtbot.addWidget(form)
    form.show()
    return form


def another(name: str, info: Field) -> Any:
    """An allowed value of a field that is not its default."""
    default = DEFAULTS[name]
    if info.choices:
        return next(value for value, _ in info.choices if value != default)
    if isinstance(default, int):
        return default + 16  # no picture has a side of 1 to 15 pixels
    if isinstance(default, float):
        assert info.high is not None
        return (default + info.high) / 7
    return "/somewhere/else"


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_comes_out_as_it_went_in(form: Form, qtbot: QtBot, name: str) -> None:
    config = TrainingConfig.from_mapping({name: another(name, FIELDS[name])})
    with qtbot.waitSignal(form.changed):
        form.set_value(config)
    assert form.value() == config
    form.reset()
    assert form.value() == TrainingConfig()


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_labelled_explained_and_resettable(form: Form, qtbot: QtBot, name: str) -> None:
    info, editor = FIELDS[name], form.editor(name)
    assert editor.accessibleName() == info.label
    assert info.help[:20] in editor.toolTip()
    label = next(label for label in form.findChildren(QLabel) if label.buddy() is editor)
    assert label.text() == info.label
    if info.only_for is not None:
        form.set_values({info.only_for[0]: info.only_for[1][0]})
    reset = next(b for b in form.findChildren(QToolButton) if b.accessibleName() == f"Reset {info.label}")
    assert not reset.isVisible()
    form.set_values({name: another(name, info)})
    assert reset.isVisible()
    with qtbot.waitSignal(form.changed):
        reset.click()
    assert getattr(form.value(), name) == DEFAULTS[name]
    assert not reset.isVisible()


@pytest.mark.parametrize("name", [name for name, value in DEFAULTS.items() if isinstance(value, (int, float))])
def test_a_wrong_number_is_explained_beside_its_field(form: Form, name: str) -> None:
    info, box = FIELDS[name], form.editor(name)
    assert isinstance(box, NumberBox) and info.high is not None
    if info.only_for is not None:
        form.set_values({info.only_for[0]: info.only_for[1][0]})
    for text in (str(info.high * 2 + 1), "-5", "much", ""):
        box.lineEdit().setText(text)
        assert info.label in form.error_of(name)
        assert not form.valid
        with pytest.raises(EngineError, match=info.label):
            form.value()
        assert QApplication.focusWidget() in (None, box, box.lineEdit())
    box.set_value(DEFAULTS[name])
    assert form.error_of(name) == ""
    assert getattr(form.value(), name) == DEFAULTS[name]


@pytest.mark.parametrize("name", [name for name, info in FIELDS.items() if info.only_for])
def test_a_field_that_does_not_matter_is_not_shown(form: Form, name: str) -> None:
    only = FIELDS[name].only_for
    assert only is not None
    for value, _ in FIELDS[only[0]].choices:
        form.set_values({only[0]: value})
        assert form.editor(name).isVisible() == (value in only[1])


def test_a_wrong_value_in_a_hidden_field_does_not_stand_in_the_way(form: Form) -> None:
    form.set_values({"data": "folder", "image_size": 9999})
    assert not form.valid
    form.set_values({"data": "synthetic-digits"})
    assert form.valid
    assert form.value().image_size == DEFAULTS["image_size"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-4", 3e-4), ("0.001", 0.001), ("0,02", 0.02), (" 1E-2 ", 0.01), ("5", 5.0)],
)
def test_numbers_as_people_type_them(form: Form, qtbot: QtBot, text: str, value: float) -> None:
    box = form.editor("learning_rate")
    assert isinstance(box, NumberBox)
    box.lineEdit().clear()
    qtbot.keyClicks(box.lineEdit(), text)
    assert form.value().learning_rate == value


def test_a_fraction_is_no_number_of_epochs(form: Form) -> None:
    box = form.editor("epochs")
    assert isinstance(box, NumberBox)
    box.lineEdit().setText("2.5")
    assert "whole number" in form.error_of("epochs")


def test_steps_suit_the_number(form: Form, qtbot: QtBot) -> None:
    def walk(name: str, start: float, key: Qt.Key, times: int = 1) -> object:
        box = form.editor(name)
        assert isinstance(box, NumberBox)
        box.set_value(start)
        for _ in range(times):
            qtbot.keyClick(box, key)
        return box.value()

    assert walk("batch_size", 256, Qt.Key.Key_Up) == 512
    assert walk("batch_size", 200, Qt.Key.Key_Up) == 256
    assert walk("batch_size", 1, Qt.Key.Key_Down) == 1
    assert walk("learning_rate", 0.005, Qt.Key.Key_Up) == 0.01
    assert walk("learning_rate", 0.005, Qt.Key.Key_Down, 2) == 0.001
    assert walk("learning_rate", 0.005, Qt.Key.Key_PageDown) == 0.0005
    assert walk("dropout", 0.1, Qt.Key.Key_Up, 2) == 0.3
    assert walk("dropout", 0.1, Qt.Key.Key_Down) == 0.09
    assert walk("dropout", 0.0, Qt.Key.Key_Up) == 0.01
    assert walk("dropout", 0.9, Qt.Key.Key_Up) == 0.9
    assert walk("epochs", 4, Qt.Key.Key_Up) == 5
    assert walk("epochs", 300, Qt.Key.Key_Down) == 290
    assert walk("weight_decay", 0.01, Qt.Key.Key_Down) == 0.009


def test_scrolling_over_a_field_does_not_change_it(qtbot: QtBot) -> None:
    form = Form()
    area = QScrollArea()
    qtbot.addWidget(area)
    area.setWidget(form)
    area.show()
    for name in ("data", "epochs"):
        editor = form.editor(name)
        editor.clearFocus()
        before = form.value()
        spot = QPointF(editor.rect().center())
        wheel = QWheelEvent(
            spot,
            QPointF(editor.mapToGlobal(spot.toPoint())),
            QPoint(),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(editor, wheel)
        assert form.value() == before


def test_titles_stand_for_values_in_lists(form: Form) -> None:
    for name, info in FIELDS.items():
        if info.choices:
            combo = form.editor(name)
            assert isinstance(combo, QComboBox)
            assert [(combo.itemData(i), combo.itemText(i)) for i in range(combo.count())] == list(info.choices)


def test_a_folder_is_dropped(form: Form, tmp_path: Path) -> None:
    form.set_values({"data": "folder"})
    edit = form.editor("folder")
    assert isinstance(edit, FolderEdit)
    (tmp_path / "picture.png").touch()
    for dropped in (tmp_path, tmp_path / "picture.png"):
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(dropped))])
        how = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        enter = QDragEnterEvent(QPoint(3, 3), *how)
        edit.setText("")
        QApplication.sendEvent(edit, enter)
        assert enter.isAccepted()
        QApplication.sendEvent(edit, QDropEvent(QPointF(3, 3), *how))
        assert form.value().folder == str(tmp_path)


def test_recipes_are_saved_and_opened(form: Form, qtbot: QtBot, tmp_path: Path) -> None:
    config = TrainingConfig(data="mnist", epochs=7, learning_rate=3e-4, optimiser="sgd")
    form.set_value(config)
    form.write_recipe(str(tmp_path / "a.toml"))
    assert TrainingConfig.read(tmp_path / "a.toml") == config
    form.reset()
    form.read_recipe(str(tmp_path / "a.toml"))
    assert form.value() == config
    (tmp_path / "b.toml").write_text("epochs = 0\n")
    with qtbot.waitSignal(form.failed) as failed:
        form.read_recipe(str(tmp_path / "b.toml"))
    assert failed.args is not None and "Epochs" in str(failed.args[0])
    assert form.value() == config


def test_other_data_bring_settings_that_suit_them(form: Form) -> None:
    form.set_values({"epochs": 7})
    data = form.editor("data")
    assert isinstance(data, QComboBox)
    data.setCurrentIndex(data.findData("coco"))
    value = form.value()
    assert (value.model, value.batch_size, value.average_weights) == ("detector", 16, 0.999)
    assert value.epochs == 7, "what somebody has chosen stays"
    data.setCurrentIndex(data.findData("mnist"))
    assert form.value() == TrainingConfig(data="mnist", epochs=7)
    form.set_value(TrainingConfig(data="coco", model="detector", batch_size=256))
    assert form.value().batch_size == 256, "a recipe is shown as it is"
