"""The zoo in the window: facts of a network, using one, deleting one's own."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest

from engine import ModelCard, Preprocess, TrainingConfig, new_run
from gui.application import report_everything
from gui.panels.models import CARD, ModelsPanel, facts, figure_text, unwrapped
from gui.settings import Settings
from gui.window import MainWindow

RESOURCES = Path(__file__).resolve().parents[2] / "resources" / "models"


@pytest.fixture
def own_network(home: Path) -> str:
    """A finished run whose network is the bundled one under another name."""
    run = new_run(TrainingConfig(), name="mine")
    card = json.loads((RESOURCES / "digits.json").read_text(encoding="utf-8"))
    card |= {"name": run.name, "title": "My own", "weights": "model.safetensors", "origin": "trained"}
    (run.folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    shutil.copy(RESOURCES / "digits.safetensors", run.folder / "model.safetensors")
    return run.name


def picture_card() -> ModelCard:
    return ModelCard(
        name="resnet",
        title="ResNet",
        task="classification",
        architecture="resnet50",
        classes=tuple(f"class {i}" for i in range(1000)),
        preprocess=Preprocess("picture", 224, 3, (0.5,) * 3, (0.5,) * 3),
        parameters=25_000_000,
        metrics={"top-1": 0.8034, "validation loss": 0.05},
        weights=Path("resnet.safetensors"),
        notes="One line\nthat goes on.\nAnother sentence.",
        origin="downloaded",
    )


def alone(qtbot) -> ModelsPanel:
    """The panel without a window; what would happen in a thread is left undone."""
    panel = ModelsPanel(call=lambda work, done: None, settings=Settings())
    qtbot.addWidget(panel)
    return panel


def here(panel: ModelsPanel) -> list[str]:
    """Names of the networks in the list that can run."""
    return [card.name for card in listed(panel) if card.weights is not None]


def listed(panel: ModelsPanel) -> list[ModelCard]:
    cards = [panel.list.item(row).data(CARD) for row in range(panel.list.count())]
    return [card for card in cards if card is not None]


def test_an_empty_zoo_says_what_to_do(qtbot) -> None:
    panel = alone(qtbot)
    panel.set_cards([], "")
    panel.show()
    assert panel.chosen is None and not panel.use_button.isVisible()
    assert "Train one" in panel._notes.text()


def test_facts_are_in_plain_words(qtbot) -> None:
    found = dict(facts(picture_card()))
    assert found["Reads"] == "colour pictures, the middle, 224 × 224 pixels"
    assert found["Classes"].endswith("(1000 in all)") and found["Size"] == "25 000 000 weights"
    assert figure_text("top-1", 0.8034) == "80.34 %" and figure_text("validation loss", 0.05) == "0.05"
    assert unwrapped(picture_card().notes) == "One line that goes on.\nAnother sentence."
    panel = alone(qtbot)
    panel.set_cards([picture_card()], "digits")
    panel.show()
    with qtbot.waitSignal(panel.use) as asked:
        panel.use_button.click()
    assert asked.args == ["resnet"]


def test_a_network_of_ones_own_is_used_and_deleted(window: MainWindow, own_network: str, qtbot, home: Path) -> None:
    window.set_mode("models")
    qtbot.waitUntil(lambda: own_network in here(window.models))
    window.models.choose(own_network)
    assert window.models.delete_button.isVisible()
    window.models.use_button.click()
    qtbot.waitUntil(
        lambda: window.bridge.state.name == own_network and window.bridge.state.phase == "ready", timeout=120_000
    )
    assert window.choice.currentData() == own_network and not window.models.use_button.isEnabled()
    window.delete_model(own_network)
    qtbot.waitUntil(lambda: own_network not in here(window.models), timeout=20_000)
    assert not (home / "runs" / own_network).exists()
    qtbot.waitUntil(
        lambda: window.bridge.state.name == "digits" and window.bridge.state.phase == "ready", timeout=120_000
    )


def test_a_network_whose_recipe_is_lost_can_be_deleted(window: MainWindow, own_network: str, qtbot, home: Path) -> None:
    """It is no run any more for those who list runs."""
    (home / "runs" / own_network / "run.toml").unlink()
    window.set_mode("models")
    qtbot.waitUntil(lambda: own_network in here(window.models))
    window.models.choose(own_network)
    assert window.models.delete_button.isVisible()
    window.delete_model(own_network)
    qtbot.waitUntil(lambda: own_network not in here(window.models), timeout=20_000)
    assert not (home / "runs" / own_network).exists()


def test_delete_is_not_offered_where_it_cannot_work_and_says_why_when_it_did_not(
    window: MainWindow, own_network: str, qtbot, home: Path, monkeypatch
) -> None:
    window.set_mode("models")
    panel = window.models
    qtbot.waitUntil(lambda: own_network in here(panel))
    panel.choose(own_network)
    card = panel.chosen
    panel.set_cards([dataclasses.replace(card, weights=home / "elsewhere" / "model.safetensors")], "digits")
    assert not panel.delete_button.isVisible()
    panel.set_cards([card], "digits")
    assert panel.delete_button.isVisible()
    monkeypatch.setattr("engine.store.remove_folder", lambda folder: None)
    window.delete_model(own_network)
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    assert window.notices.cards[0].key[0] == "“My own” could not be deleted."


def test_keys_walk_through_the_networks(window: MainWindow, own_network: str, qtbot) -> None:
    window.bridge.refresh_cards()
    qtbot.waitUntil(lambda: window.choice.count() == 2)
    first = window.choice.currentData()
    window.next_action.trigger()
    assert window.choice.currentData() != first
    window.previous_action.trigger()
    assert window.choice.currentData() == first
    qtbot.waitUntil(lambda: window.bridge.state.name == first and window.bridge.state.phase == "ready", timeout=120_000)


def test_what_nobody_caught_becomes_a_notice(window: MainWindow, qtbot, monkeypatch, caplog) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("threading.excepthook", sys.__excepthook__)
    report_everything(window)
    try:
        raise ZeroDivisionError("in a slot")
    except ZeroDivisionError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1)
    assert "uncaught" in caplog.text
    caplog.clear()
