"""The zoo in the window: facts of a network, using one, deleting one's own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from engine import Download, ModelCard, Preprocess, TrainingConfig, catalogue, data_folder, new_run
from gui.application import report_everything
from gui.onnx_questions import OnnxQuestions
from gui.panels.models import CARD, HEADING, Job, ModelsPanel, facts, figure_text, progress_words, unwrapped
from gui.settings import Settings
from gui.window import MainWindow
from tests.engine import onnx_file
from tests.engine.server import FileServer, serving

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
    qtbot.waitUntil(lambda: window.choice.findData(own_network) >= 0)
    first = window.choice.currentData()
    window.next_action.trigger()
    assert window.choice.currentData() == own_network
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


# --- what is a click away


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the form of an official one; made in another process, so that this one stays without torch."""
    path = tmp_path_factory.mktemp("official") / "mobilenet_v3_large-5c1a4163.pth"
    code = (
        "import sys, torch, torchvision; "
        "torch.save(torchvision.models.mobilenet_v3_large(weights=None).state_dict(), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    return path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, official: Path) -> Iterator[FileServer]:
    """A server that has the file, and a catalogue whose MobileNetV3 lies there."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("engine.downloads._PAUSE", 0.0)
    data = official.read_bytes()
    with serving() as server:
        server.files[official.name] = data
        record = Download(f"{server.address}/{official.name}", len(data), hashlib.sha256(data).hexdigest()[:8])
        cards = tuple(
            dataclasses.replace(card, download=record) if card.name == MOBILE else card for card in catalogue()
        )
        monkeypatch.setattr("engine.zoo._catalogue", lambda: cards)
        yield server


MOBILE = "mobilenet_v3_large"


def open_models(window: MainWindow, qtbot, name: str = MOBILE) -> ModelsPanel:
    window.set_mode("models")
    panel = window.models
    qtbot.waitUntil(lambda: len(listed(panel)) >= 11, timeout=20_000)
    panel.choose(name)
    assert panel.chosen.name == name
    return panel


def words(panel: ModelsPanel) -> dict[str, str]:
    """The facts that are shown."""
    form = panel._facts
    found: dict[str, str] = {}
    for row in range(form.rowCount()):
        name, value = (form.itemAt(row, role).widget() for role in (form.ItemRole.LabelRole, form.ItemRole.FieldRole))
        found[name.text()] = value.text()
    return found


def test_what_can_run_is_above_what_can_be_downloaded_and_the_filter_heeds_the_task(window: MainWindow, qtbot) -> None:
    panel = open_models(window, qtbot, "resnet50")
    headings = [panel.list.item(row).data(HEADING) for row in range(panel.list.count())]
    assert [each for each in headings if each] == ["On this computer", "A click away"]
    assert {card.name for card in listed(panel)} >= {"digits", "resnet50", "fcos_resnet50_fpn"}
    assert window.choice.findData("resnet50") < 0, "the list of networks offers what can run"
    assert panel.download_button.isVisible() and panel.download_button.text() == "Download (103 MB)"
    assert panel.import_button.isVisible() and "resnet50-11ad3fa6.pth" in panel.import_button.toolTip()
    assert not panel.use_button.isVisible() and not panel.measure_button.isVisible()
    shown = words(panel)
    assert shown["Size"] == "25 557 032 weights · 103 MB" and "BSD" in shown["Licence"]
    assert "4.09 billion" in shown["Work"] and shown["Origin"] == "to be downloaded"
    assert {"ImageNet accuracy", "80.86 %"} <= {label.text() for label in panel.findChildren(QLabel)}
    detect = panel._filters.button(2)
    detect.setFocus()
    qtbot.keyClick(detect, Qt.Key.Key_Space)
    assert {card.task for card in listed(panel)} == {"detection"}
    assert panel.chosen.task == "detection"
    panel._filters.button(3).click()
    assert {card.task for card in listed(panel)} == {"faces"}
    shown = words(panel)
    assert shown["Reads"].startswith("faces, turned upright") and shown["Faces are found by"] == panel.chosen.finder
    panel._filters.button(0).click()
    assert {card.task for card in listed(panel)} == {"classification", "detection", "faces"}


def test_a_network_is_downloaded_used_and_deleted(window: MainWindow, server: FileServer, qtbot) -> None:
    panel = open_models(window, qtbot)
    server.hold = threading.Event()
    panel.list.setFocus()
    qtbot.keyClick(panel.list, Qt.Key.Key_Return)
    assert panel.download_button.hasFocus() and not server.asked, "the first Enter only leads to the button"
    qtbot.keyClick(panel.download_button, Qt.Key.Key_Return)
    assert panel.busy(MOBILE) and panel.cancel_button.hasFocus()
    size = panel.chosen.download.size
    qtbot.waitUntil(lambda: 0 < panel.bar.value() <= 500 and " of 22 MB" in panel._progress.text())
    panel.choose("resnet50")
    assert not panel.bar.isVisible() and panel.download_button.isVisible(), "what is shown is of another network"
    server.hold.set()
    qtbot.waitUntil(lambda: MOBILE in here(panel), timeout=60_000)
    assert panel.chosen.name == "resnet50" and size > 20_000_000
    assert window.choice.findData(MOBILE) >= 0
    panel.choose(MOBILE)
    assert panel.use_button.isEnabled() and panel.measure_button.isVisible() and panel.delete_button.isVisible()
    assert words(panel)["Origin"] == "downloaded" and words(panel)["Speed here"] == "not measured yet"
    with qtbot.waitSignal(panel.delete) as asked:
        panel.delete.disconnect(window._delete_model)
        qtbot.keyClick(panel.list, Qt.Key.Key_Delete)
    assert asked.args == [MOBILE]
    window.delete_model(MOBILE)
    qtbot.waitUntil(lambda: MOBILE not in here(panel), timeout=20_000)
    assert not (data_folder() / "models" / MOBILE).exists()


def test_a_download_is_cancelled_and_goes_on_where_it_was(window: MainWindow, server: FileServer, qtbot) -> None:
    panel = open_models(window, qtbot)
    server.hold = threading.Event()
    panel.download_button.click()
    qtbot.waitUntil(lambda: " of 22 MB" in panel._progress.text())
    panel.cancel_button.setFocus()
    qtbot.keyClick(panel.cancel_button, Qt.Key.Key_Escape)
    assert panel._progress.text() == "Cancelling…" and not panel.cancel_button.isEnabled()
    server.hold.set()
    qtbot.waitUntil(lambda: not panel.busy(MOBILE), timeout=20_000)
    assert not window.notices.cards, "who cancels need not be told"
    assert panel.download_button.isVisible() and not panel.bar.isVisible()
    server.asked.clear()
    server.hold = None
    panel.download_button.click()
    qtbot.waitUntil(lambda: MOBILE in here(panel), timeout=60_000)
    assert server.asked[0][1] is not None


def test_without_a_network_one_is_told_the_file_and_can_bring_it(
    window: MainWindow, server: FileServer, official: Path, qtbot, tmp_path: Path, monkeypatch
) -> None:
    panel = open_models(window, qtbot)
    server.status = 404
    panel.download_button.click()
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=20_000)
    message, hint = window.notices.cards[0].key
    assert "does not have" in message and official.name in hint and "Import a file…" in hint
    chosen = [tmp_path / "wrong.pth", official]
    chosen[0].write_bytes(b"another file")
    monkeypatch.setattr("gui.panels.models.ask_for_file", lambda *_, **__: chosen.pop(0))
    panel.import_button.click()
    qtbot.waitUntil(lambda: len(window.notices.cards) == 2, timeout=20_000)
    assert "wrong.pth is not the official file" in window.notices.cards[1].key[0]
    panel.import_button.click()
    qtbot.waitUntil(lambda: MOBILE in here(panel), timeout=60_000)


def test_a_speed_is_measured_shown_and_remembered(window: MainWindow, qtbot) -> None:
    panel = open_models(window, qtbot, "digits")
    panel.measure_button.click()
    assert panel.busy("digits") and panel.cancel_button.isVisible()
    qtbot.waitUntil(lambda: " ms a picture" in words(panel).get("Speed here", ""), timeout=60_000)
    shown = words(panel)["Speed here"]
    assert "CPU · OpenVINO" in shown
    panel._speeds.clear()
    window.bridge.refresh_cards()
    qtbot.waitUntil(lambda: words(panel).get("Speed here") == shown, timeout=20_000)


def test_the_window_closes_while_something_is_under_way(window: MainWindow, server: FileServer, qtbot) -> None:
    panel = open_models(window, qtbot)
    server.hold = threading.Event()
    panel.download_button.click()
    qtbot.waitUntil(lambda: " of 22 MB" in panel._progress.text())
    job = panel._jobs[MOBILE]
    threading.Timer(0.05, server.hold.set).start()
    window.close()
    assert job.cancelled


# --- ONNX


def shelf(folder: Path) -> Path:
    """A detector for three kinds of things that tells nothing about itself."""
    boxes = np.tile(np.array([4, 8, 30, 40], np.float32), (1, 20, 1))
    scores = np.full((1, 20, 3), 0.25, np.float32)
    path = folder / "Shelf.onnx"
    path.write_bytes(onnx_file.detector({"boxes": boxes, "scores": scores}))
    return path


def test_an_onnx_file_is_asked_about_and_imported(window: MainWindow, qtbot, tmp_path: Path, monkeypatch) -> None:
    panel = open_models(window, qtbot, "digits")
    path = shelf(tmp_path)
    monkeypatch.setattr("gui.panels.models.ask_for_file", lambda *_, **__: path)
    panel.onnx_button.click()
    assert not panel.onnx_button.isEnabled() and "Shelf.onnx" in panel._progress.text()
    qtbot.waitUntil(lambda: panel.findChild(OnnxQuestions) is not None, timeout=60_000)
    dialog = panel.findChild(OnnxQuestions)
    assert dialog.title == "Shelf" and set(dialog.answers) == {"classes", "input", "background", "boxes"}
    names = dialog._fields["classes"]
    names.setPlainText("cat\ndog")
    assert not dialog.import_button.isEnabled() and "3 classes; you have named 2" in dialog._wrong.text()
    background = dialog._fields["background"]
    background.setCurrentIndex(background.findData(True))
    assert dialog.import_button.isEnabled(), "without the one that means nothing there are two"
    for field in dialog._fields.values():
        assert field.accessibleName() and field.toolTip()
    dialog._name.setText("Shelf A")
    dialog.import_button.click()
    qtbot.waitUntil(lambda: "shelf-a" in here(panel), timeout=60_000)
    assert panel.chosen.title == "Shelf A" and panel.chosen.classes == ("cat", "dog")
    assert words(panel)["Origin"] == "imported from a file"
    assert panel.delete_button.isVisible() and panel.onnx_button.isEnabled()


def test_an_onnx_file_that_is_none_is_explained(window: MainWindow, qtbot, tmp_path: Path) -> None:
    panel = open_models(window, qtbot, "digits")
    path = tmp_path / "holiday.onnx"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    panel.import_onnx(path)
    qtbot.waitUntil(lambda: len(window.notices.cards) == 1, timeout=60_000)
    assert window.notices.cards[0].key[0].startswith("holiday.onnx is no ONNX file")
    assert panel.onnx_button.isEnabled()


def test_progress_is_told_in_words() -> None:
    job = Job("download", "Connecting…")
    assert progress_words(job, 0.0) == "Connecting…"
    job.progress(34_000_000, 102_500_000)
    assert progress_words(job, 1.0) == "34 MB of 102 MB"
    assert progress_words(job, 4.0) == "34 MB of 102 MB · 8.5 MB a second"
    job.progress(34_000_000, 0)
    assert progress_words(job, 1.0) == "34 MB"
    job.progress(102_500_000, 102_500_000)
    assert progress_words(job, 9.0).startswith("Checking")
    job.cancelled = True
    assert progress_words(job, 9.0) == "Cancelling…"
