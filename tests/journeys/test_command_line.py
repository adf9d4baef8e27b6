"""`python main.py …` as a person or a script types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "resources" / "models" / "digits.safetensors"


def program(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "main.py", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    """A seven in dark on light, a four in light on dark, a scribble and a picture that is cut short."""
    seven = np.full((300, 300), 255, np.uint8)
    cv2.polylines(seven, [np.array([[80, 70], [210, 70], [130, 240]], np.int32)], False, 0, 18, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "a_seven.png"), seven)
    four = np.zeros((90, 70, 3), np.uint8)
    cv2.polylines(four, [np.array([[30, 10], [12, 50], [58, 50]], np.int32)], False, (255, 255, 255), 6, cv2.LINE_AA)
    cv2.polylines(four, [np.array([[45, 28], [43, 80]], np.int32)], False, (255, 255, 255), 6, cv2.LINE_AA)
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "more" / "b_four.png"), four)
    scribble = np.full((300, 300), 255, np.uint8)
    points = np.random.default_rng(3).integers(30, 270, (40, 1, 2)).astype(np.int32)
    cv2.polylines(scribble, [points], False, 0, 8, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "more" / "c_scribble.png"), scribble)
    return tmp_path


def test_digits_are_read_in_either_polarity_and_a_scribble_is_refused(drawings: Path) -> None:
    read = objects(program("predict", "--json", drawings).stdout)
    assert [Path(one["file"]).name for one in read] == ["a_seven.png", "b_four.png", "c_scribble.png"]
    seven, four, scribble = read
    for one in read:
        assert one["model"] == "digits" and one["task"] == "classification"
        probabilities = [entry["probability"] for entry in one["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1.0, abs=1e-3)
    assert (seven["classes"][0]["label"], seven["rejected"]) == ("7", False)
    assert (four["classes"][0]["label"], four["rejected"]) == ("4", False)
    assert scribble["rejected"] is True


def test_one_bad_file_does_not_lose_the_others(drawings: Path) -> None:
    whole = (drawings / "a_seven.png").read_bytes()
    (drawings / "cut.png").write_bytes(whole[: len(whole) // 3])
    done = program("predict", "--json", drawings / "cut.png", drawings / "a_seven.png", code=2)
    assert [one["classes"][0]["label"] for one in objects(done.stdout)] == ["7"]
    assert "cut.png" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "no such file.png"),
        ("predict", "--model", "digit", "README.md"),
        ("evaluate", "--model", "digits", "--data", "tests"),
        ("train", "no such recipe.toml"),
        ("fly",),
    ],
)
def test_mistakes_are_answered_with_a_sentence(arguments: tuple[str, ...]) -> None:
    done = program(*arguments, code=2)
    assert done.stdout == ""
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_a_video_gives_one_line_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(5):
        frame = np.full((120, 160, 3), 245, np.uint8)
        cv2.line(frame, (70 + 5 * number, 20), (70 + 5 * number, 100), (20, 20, 20), 9)
        writer.write(frame)
    writer.release()
    assert len(objects(program("predict", "--json", path).stdout)) == 5


def test_the_zoo_lists_the_bundled_network() -> None:
    cards = {card["name"]: card for card in objects(program("models", "--json").stdout)}
    digits = cards["digits"]
    assert digits["parameters"] <= 500_000
    assert "digits" in program("models").stdout


def test_the_bundled_network_on_mnist(shared_data: Path) -> None:
    """The card's promise, through the command that anyone can type."""
    result = json.loads(program("evaluate", "--model", "digits", "--data", shared_data / "MNIST", "--json").stdout)
    card = json.loads(BUNDLED.with_suffix(".json").read_text())
    assert result["accuracy"] == pytest.approx(card["metrics"]["MNIST test accuracy"], abs=2e-4)
    assert result["ece"] <= 0.01
    assert np.array(result["confusion"]).sum() == 10_000


def test_fashion_is_not_digits(shared_data: Path) -> None:
    result = json.loads(
        program("evaluate", "--model", "digits", "--data", shared_data / "FashionMNIST", "--json").stdout
    )
    assert result["rejected"] >= 0.95


def test_drawn_digits_through_predict(shared_data: Path) -> None:
    read = objects(program("predict", "--json", shared_data / "drawn_digits").stdout)
    right = [one["classes"][0]["label"] == Path(one["file"]).parent.name and not one["rejected"] for one in read]
    assert len(right) == 2705
    assert np.mean(right) >= 0.98
