"""The command line, run as a user runs it: output, errors and exit codes."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import commands, store, zoo
from engine.gallery import Gallery, model_id
from engine.opencv import cv2
from engine.vision.faces import FaceReader
from tests.engine.conftest import face, spotted, with_faces
from tests.engine.test_evaluate import write as write_scenes
from tests.engine.test_verify import some_pairs, write_pairs
from tests.engine.test_verify import write as write_people

KEYS = {"file", "model", "task", "classes", "rejected"}


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    """Exit code, lines of stdout, stderr."""
    code = commands.run([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def write_bar(path: Path, *, shape: tuple[int, int] = (120, 100)) -> Path:
    image = np.full(shape, 255, np.uint8)
    image[20:100, 45:55] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def write_idx(path: Path, array: Any, *, packed: bool) -> None:
    data = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
    else:
        path.write_bytes(data)


# --- predict


def test_predict_json_has_the_promised_keys(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = write_bar(tmp_path / "one.png")
    code, lines, errors = run(capsys, "predict", "--model", "tiny", "--json", picture)
    assert (code, len(lines), errors) == (0, 1, "")
    answer = json.loads(lines[0])
    assert set(answer) == KEYS
    assert (answer["file"], answer["model"], answer["task"]) == (str(picture), "tiny", "classification")
    probabilities = [each["probability"] for each in answer["classes"]]
    assert len(probabilities) == 11
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert answer["rejected"] is (answer["classes"][0]["label"] == "not a digit")


def test_predict_a_blank_is_rejected(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((50, 50), 255, np.uint8))
    code, lines, _ = run(capsys, "predict", "--model", "tiny", "--json", tmp_path / "blank.png")
    answer = json.loads(lines[0])
    assert code == 0
    assert answer["rejected"] is True
    assert answer["classes"][0] == {"label": "not a digit", "probability": 1.0}
    _, lines, _ = run(capsys, "predict", "--model", "tiny", tmp_path / "blank.png")
    assert lines[0].endswith("not a digit")


def test_predict_reads_numbers_with_their_places(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.full((300, 500, 3), 255, np.uint8)
    cv2.putText(image, "42", (60, 220), cv2.FONT_HERSHEY_SIMPLEX, 7, (0, 0, 0), 16, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "number.png"), image)
    code, lines, errors = run(capsys, "predict", "--json", tmp_path / "number.png")
    if "no model" in errors:
        pytest.skip("no bundled network")
    answer = json.loads(lines[0])
    assert code == 0
    assert set(answer) == KEYS | {"text", "regions"}
    assert answer["text"] == "42"
    left, right = (region["xyxy"] for region in answer["regions"])
    assert 0 <= left[0] < left[2] <= right[0] + 20 < right[2] <= 500
    assert answer["classes"] == answer["regions"][0]["classes"]


def test_one_bad_file_does_not_lose_the_others(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "deep/er/b.png", "c ü.jpg"):
        write_bar(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "notes.txt").write_text("passed over in a folder")
    code, lines, errors = run(capsys, "predict", "--model", "tiny", "--json", tmp_path, tmp_path / "missing.png")
    assert code == 2
    assert {Path(json.loads(line)["file"]).name for line in lines} == {"a.png", "b.png", "c ü.jpg"}
    assert len(errors.splitlines()) == 3
    for name in ("bad.png", "text.mp4", "missing.png"):
        assert name in errors


def test_predict_video_is_a_line_a_frame(
    home: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, errors = run(capsys, "predict", "--model", "tiny-colour", "--json", make_video(frames=7))
    assert (code, errors) == (0, "")
    assert [json.loads(line)["frame"] for line in lines] == list(range(7))
    assert all(set(json.loads(line)) == KEYS | {"frame"} for line in lines)


def test_predict_for_people(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = write_bar(tmp_path / "one.png")
    _, lines, _ = run(capsys, "predict", "--model", "tiny-colour", picture, "--min-score", "0")
    assert lines[0].startswith(f"{picture}: ")
    assert {"cat", "dog", "owl"} <= set(lines[0].replace(",", "").split())


# --- what is asked for wrongly


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict"], "required"),
        (["sing"], "sing"),
        (["predict", "--model", "nobody", "x.png"], "nobody"),
        (["predict", "--model", "tiny", "--min-score", "3", "x.png"], "0 and 1"),
        (["predict", "--model", "tiny", "/nowhere/x.png"], "/nowhere/x.png"),
        (["evaluate", "--model", "tiny", "--data", "/nowhere"], "/nowhere"),
        (["evaluate", "--model", "nobody", "--data", "/nowhere"], "nobody"),
        (["demo"], "--out"),
        (["demo", "--out", "x"], "window"),
        (["train", "/nowhere/run.toml"], "/nowhere/run.toml"),
    ],
)
def test_wrong_requests_end_with_2_and_one_line(
    arguments: list[str], words: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, errors = run(capsys, *arguments)
    assert (code, lines) == (2, [])
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert "Traceback" not in errors


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["predict", "--help"]):
        code, lines, _ = run(capsys, *arguments)
        assert code == 0
        assert lines[0].startswith("usage: python main.py")


def test_demo_is_handed_to_the_window(tmp_path: Path) -> None:
    asked: list[Path] = []
    assert commands.run(["demo", "--out", str(tmp_path)], demo=lambda out: asked.append(out) or 7) == 7
    assert asked == [tmp_path]


def test_an_interrupt_is_clean(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.zoo.model_cards", interrupted)
    code, lines, errors = run(capsys, "models")
    assert (code, lines) == (130, [])
    assert "Traceback" not in errors


def test_a_reader_that_leaves_is_no_error(home: Path, make_video: Callable[..., Path]) -> None:
    main = Path(commands.__file__).parents[1] / "main.py"
    command = [sys.executable, str(main), "predict", "--model", "tiny-colour", "--json", str(make_video(frames=25))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert (process.wait(), errors) == (0, b"")


def as_process(*arguments: object, redirect: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """The program run by a shell, its streams redirected as a user may redirect them."""
    main = Path(commands.__file__).parents[1] / "main.py"
    words = shlex.join([sys.executable, str(main), *map(str, arguments)])
    return subprocess.run(
        ["sh", "-c", f"{words} {redirect}"],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, **variables},
    )


needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="redirects as the POSIX shell does")


@needs_sh
@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"]])
def test_output_that_goes_nowhere(arguments: list[str], home: Path) -> None:
    done = as_process(*arguments, redirect=">&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = as_process(*arguments, redirect=">&- 2>&-")
    assert done.returncode == 0
    done = as_process("predict", "/nowhere/x.png", redirect="2>&-")
    assert (done.returncode, done.stdout) == (2, "")


@needs_sh
def test_full_output_ends_the_work_and_full_stderr_does_not(home: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    for name in ("a.png", "c.png"):
        write_bar(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    for arguments in (["models"], ["predict", "--model", "tiny", tmp_path], ["predict", "--json", tmp_path]):
        done = as_process(*arguments, redirect="> /dev/full")
        assert done.returncode == 2
        assert done.stderr.startswith("The output cannot be written: ")
        assert len(done.stderr.splitlines()) == 1
    done = as_process("predict", "--model", "tiny", tmp_path, redirect="2> /dev/full")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 2


@needs_sh
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_names_that_the_terminal_cannot_show(encoding: str, home: Path, tmp_path: Path) -> None:
    picture = write_bar(tmp_path / "数 ü" / "x.png")
    done = as_process("predict", "--model", "tiny", "--json", picture, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["file"] == str(picture)
    done = as_process("predict", "--model", "tiny", picture, PYTHONIOENCODING=f"{encoding}:strict", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "x.png: " in done.stdout


# --- evaluate


def evaluated(lines: list[str]) -> dict[str, Any]:
    (line,) = lines
    answer: dict[str, Any] = json.loads(line)
    assert {"accuracy", "per_class", "confusion", "ece", "rejected", "count", "classes"} <= set(answer)
    return answer


@pytest.mark.parametrize(
    ("place", "packed", "kind"),
    [("", False, "-idx"), ("raw", True, "-idx"), ("MNIST/raw", False, "-idx"), ("", True, ".idx"), ("", False, ".idx")],
)
def test_evaluate_idx_counts_every_picture(
    place: str, packed: bool, kind: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    images = np.zeros((40, 28, 28), np.uint8)
    images[:, 4:24, 8:20] = random.integers(0, 2, (40, 20, 12), np.uint8) * 255
    labels = np.arange(40, dtype=np.uint8) % 10
    folder = tmp_path / place
    write_idx(folder / f"t10k-images{kind}3-ubyte", images, packed=packed)
    write_idx(folder / f"t10k-labels{kind}1-ubyte", labels, packed=packed)
    write_idx(folder / f"train-images{kind}3-ubyte", images[:3], packed=packed)
    write_idx(folder / f"train-labels{kind}1-ubyte", labels[:3], packed=packed)
    code, lines, errors = run(capsys, "evaluate", "--model", "tiny", "--data", tmp_path, "--json")
    assert (code, errors) == (0, "")
    answer = evaluated(lines)
    assert answer["count"] == 40
    confusion = np.array(answer["confusion"])
    assert confusion.shape == (11, 11)
    assert confusion.sum() == 40
    assert confusion.sum(axis=1).tolist() == [4] * 10 + [0]
    assert answer["accuracy"] == pytest.approx(confusion.diagonal().sum() / 40)
    assert answer["rejected"] == pytest.approx(confusion[:, 10].sum() / 40)
    assert set(answer["per_class"]) == set("0123456789")
    assert 0 <= answer["ece"] <= 1


@pytest.mark.parametrize("shape", [(0, 28, 28), (2, 0, 28)])
def test_evaluate_idx_without_pictures(
    shape: tuple[int, ...], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros(shape, np.uint8), packed=False)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(shape[0], np.uint8), packed=False)
    code, lines, errors = run(capsys, "evaluate", "--model", "tiny", "--data", tmp_path)
    assert (code, lines) == (2, [])
    assert errors.startswith("There are no pictures in t10k-images-idx3-ubyte.")


def test_evaluate_folders_agrees_with_predict(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    random = np.random.default_rng(1)
    for index, label in enumerate(("cat", "dog", "owl", "cat", "cat")):
        path = data / "val" / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 255, (40, 50, 3), np.uint8))
    (data / "train" / "cat").mkdir(parents=True)
    (data / "val" / "cat" / "broken.png").write_bytes(b"broken")
    _, lines, _ = run(capsys, "predict", "--model", "tiny-colour", "--json", data)
    right = [json.loads(line) for line in lines]
    share = sum(each["classes"][0]["label"] == Path(each["file"]).parent.name for each in right) / 5
    code, lines, errors = run(capsys, "evaluate", "--model", "tiny-colour", "--data", data, "--json")
    answer = evaluated(lines)
    assert code == 0
    assert "broken.png" in errors
    assert answer["count"] == 5
    assert answer["accuracy"] == pytest.approx(share)
    assert answer["rejected"] == 0


def test_evaluate_says_which_classes_the_model_has(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bar(tmp_path / "fish" / "1.png")
    code, _, errors = run(capsys, "evaluate", "--model", "tiny-colour", "--data", tmp_path)
    assert code == 2
    assert "fish" in errors
    assert "owl" in errors
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(capsys, "evaluate", "--model", "tiny", "--data", empty)[0] == 2


def test_pictures_of_other_things_should_be_rejected(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bar(tmp_path / "fish" / "1.png")
    code, lines, _ = run(capsys, "evaluate", "--model", "tiny", "--data", tmp_path, "--json")
    answer = evaluated(lines)
    assert code == 0
    assert answer["accuracy"] == answer["rejected"]


# --- models, train


def test_models_lists_the_zoo(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, "models", "--json")
    assert code == 0
    models = {each["name"]: each for each in map(json.loads, lines)}
    assert models["tiny-colour"]["classes"] == ["cat", "dog", "owl"]
    _, lines, _ = run(capsys, "models")
    assert any(line.startswith("tiny-colour ") for line in lines)


def write_recipe(folder: Path) -> Path:
    """The recipe of a run of two epochs on twelve pictures in two classes."""
    for label in ("dark", "light"):
        for index in range(6):
            path = folder / "pictures" / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((16, 16, 3), 20 + index if label == "dark" else 220 + index, np.uint8))
    recipe = folder / "run.toml"
    recipe.write_text(
        'data = "folder"\nfolder = "pictures"\nimage_size = 16\nepochs = 2\nbatch_size = 4\naugmentation = "none"\n'
    )
    return recipe


@needs_sh
def test_training_goes_on_where_nobody_can_listen(own_home: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    done = as_process("train", write_recipe(tmp_path), "--out", tmp_path / "out", redirect="> /dev/full")
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "out" / "events.jsonl").read_text().splitlines()[-1])["reason"] == "finished"


def test_train_hands_over_and_the_model_can_be_used(
    own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine import store

    recipe = write_recipe(tmp_path)
    out = store.runs_folder() / "mine"
    code, lines, errors = run(capsys, "train", recipe, "--out", out)
    assert code == 0, errors
    assert json.loads(lines[-1])["event"] == "stopped"
    code, lines, _ = run(capsys, "predict", "--model", "mine", "--json", tmp_path / "pictures")
    assert code == 0
    assert len(lines) == 12


# --- detectors


def write_spots(path: Path, *spots: tuple[int, int, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(spotted(*spots), cv2.COLOR_RGB2BGR))
    return path


def test_predict_says_what_a_detector_finds(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = write_spots(tmp_path / "spots.png", (2, 3, "red"), (5, 1, "blue"))
    code, lines, errors = run(capsys, "predict", "--model", "spots", "--json", picture)
    assert (code, len(lines), errors) == (0, 1, "")
    answer = json.loads(lines[0])
    assert answer == {
        "file": str(picture),
        "model": "spots",
        "task": "detection",
        "detections": [{"label": "red", "score": 1.0, "xyxy": [120.0, 200.0, 280.0, 360.0]}],
    }
    _, lines, _ = run(capsys, "predict", "--model", "spots", picture)
    assert lines == [f"{picture}: red 100.0% at 120 200 280 360"]
    _, lines, _ = run(capsys, "predict", "--model", "spots", "--json", "--classes", "all", picture)
    assert {box["label"] for box in json.loads(lines[0])["detections"]} == {"red", "blue"}
    _, lines, _ = run(capsys, "predict", "--model", "spots", "--classes", "green", picture)
    assert lines == [f"{picture}: nothing found"]
    code, _, errors = run(capsys, "predict", "--model", "spots", "--classes", "red, tree", picture)
    assert code == 2
    assert "no class “tree”" in errors


def test_predict_leaves_out_what_is_unsure(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = spotted((2, 3, "red"), strength=100)
    cv2.imwrite(str(tmp_path / "faint.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    found: dict[str, int] = {}
    for least in ("0.3", "0.45", "its own"):
        options = [] if least == "its own" else ["--min-score", least]
        _, lines, _ = run(capsys, "predict", "--model", "spots", "--json", *options, tmp_path / "faint.png")
        found[least] = len(json.loads(lines[0])["detections"])
    assert found == {"0.3": 1, "0.45": 0, "its own": 0}


def test_predict_numbers_what_moves_in_a_video_and_exports_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (640, 480))
    for index in range(5):
        image = np.roll(spotted((1, 2, "red")), 8 * index, axis=1)
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    picture = write_spots(tmp_path / "spots.png", (5, 1, "green"))
    out = tmp_path / "found.csv"
    code, lines, errors = run(capsys, "predict", "--model", "spots", "--json", "--out", out, path, picture)
    assert (code, errors) == (0, "")
    answers = [json.loads(line) for line in lines]
    assert [answer.get("frame") for answer in answers] == [0, 1, 2, 3, 4, None]
    assert [answer.get("time") for answer in answers] == [0.0, 0.05, 0.1, 0.15, 0.2, None]
    assert all(answer["detections"][0]["track"] == 1 for answer in answers[:5])
    assert "track" not in answers[5]["detections"][0]
    rows = [line.split(",") for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[0][-1] == "track"
    boxes = sum(len(answer["detections"]) for answer in answers)
    assert len(rows) == boxes + 1
    assert (rows[-1][0], rows[-1][3], rows[-1][-1]) == (str(picture), "green", "")
    _, lines, _ = run(capsys, "predict", "--model", "spots", path)
    assert lines[1].startswith(f"{path}, frame 1: red #1 ")
    # What is less sure than the detector usually shows has a number as well, where it is asked for.
    _, lines, _ = run(capsys, "predict", "--model", "spots", "--json", "--min-score", "0.2", path)
    boxes = [box for line in lines for box in json.loads(line)["detections"]]
    assert any(box["score"] < 0.5 and box["track"] is not None for box in boxes)


def test_export_is_for_detectors_and_for_two_kinds_of_file(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = write_spots(tmp_path / "spots.png", (5, 1, "green"))
    code, lines, errors = run(capsys, "predict", "--model", "tiny", "--out", tmp_path / "a.json", picture)
    assert (code, lines) == (2, [])
    assert "finds no boxes" in errors
    code, lines, errors = run(capsys, "predict", "--model", "spots", "--out", tmp_path / "a.txt", picture)
    assert (code, lines) == (2, [])
    assert ".csv" in errors
    code, _, errors = run(
        capsys, "predict", "--model", "spots", "--out", tmp_path / "a.json", picture, tmp_path / "missing.png"
    )
    assert code == 2
    assert "missing.png" in errors
    assert len(json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["annotations"]) == 1


def test_evaluate_measures_a_detector(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_scenes(
        tmp_path,
        ([(2, 3, "red"), (5, 1, "green")], [(2, 3, "red"), (5, 3, "green")], {}),
        ([(4, 3, "red")], [(4, 3, "red")], {}),
    )
    code, lines, errors = run(capsys, "evaluate", "--model", "spots", "--data", path, "--json")
    assert (code, len(lines), errors) == (0, 1, "")
    answer = json.loads(lines[0])
    assert (answer["model"], answer["data"], answer["count"]) == ("spots", str(path), 2)
    assert answer["map50"] == pytest.approx(0.5)
    assert answer["map"] == pytest.approx(0.5)
    assert answer["per_class"] == {"red": pytest.approx(1), "green": 0.0, "blue": None}
    assert answer["per_class_map"] == {"red": pytest.approx(1), "green": 0.0, "blue": None}
    assert answer["boxes"] == {"red": 2, "green": 1, "blue": 0}
    _, lines, _ = run(capsys, "evaluate", "--model", "spots", "--data", path)
    assert "mAP@0.5 50.00% in 2 pictures" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["red", "green", "blue"]
    assert "2 boxes" in lines[2]
    _, lines, _ = run(capsys, "evaluate", "--model", "spots", "--data", path, "--json", "--classes", "red")
    assert json.loads(lines[0])["map50"] == pytest.approx(1)


def test_evaluate_a_detector_says_what_is_wrong(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, what in (
        (["--model", "spots", "--data", tmp_path / "none.json"], "none.json cannot be read"),
        (["--model", "tiny", "--classes", "red", "--data", tmp_path], "no detector"),
    ):
        code, lines, errors = run(capsys, "evaluate", *arguments)
        assert (code, lines) == (2, [])
        assert what in errors


def test_models_tells_what_is_not_here_yet_and_get_fetches_it(
    own_home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine import zoo
    from tests.engine.test_catalogue import for_file, official_file

    _, lines, _ = run(capsys, "models", "--json")
    models = {each["name"]: each for each in map(json.loads, lines)}
    assert models["digits"]["here"] and not models["resnet50"]["here"]
    assert models["resnet50"]["download"]["url"].endswith("resnet50-11ad3fa6.pth")
    _, lines, _ = run(capsys, "models")
    (line,) = [line for line in lines if line.startswith("resnet50 ")]
    assert "103 MB: python main.py get resnet50" in line
    code, _, errors = run(capsys, "predict", "--model", "resnet50", tmp_path)
    assert code == 2 and "not on this computer yet" in errors
    card = next(card for card in zoo.catalogue() if card.name == "mobilenet_v3_large")
    file = official_file(card, tmp_path / "any.pth")
    monkeypatch.setattr(zoo, "_catalogue", lambda: (for_file(card, file),))
    code, lines, _ = run(capsys, "get", "mobilenet_v3_large", "--file", file)
    assert code == 0 and "is here" in lines[0]
    _, lines, _ = run(capsys, "get", "mobilenet_v3_large", "--json")
    assert json.loads(lines[0])["here"]
    code, _, errors = run(capsys, "get", "digits")
    assert code == 2 and "mobilenet_v3_large" in errors


def test_models_lists_detectors_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, _ = run(capsys, "models", "--json")
    spots = next(each for each in map(json.loads, lines) if each["name"] == "spots")
    assert (spots["task"], spots["classes"]) == ("detection", ["red", "green", "blue"])
    _, lines, _ = run(capsys, "models")
    assert any(line.startswith("spots") and "detection, 3 classes" in line for line in lines)


# --- faces


def write_faces_picture(path: Path, *faces: tuple[int, int, int]) -> Path:
    image = with_faces(*((x, y, face(person)) for x, y, person in faces))
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def enrol(path: Path | None, *names: str, passphrase: str | None = None, model: str = "") -> None:
    """People whose faces are the first patterns."""
    card = zoo.model_card("tiny-faces")
    reader = FaceReader(card)
    with Gallery(path, passphrase=passphrase) as gallery:
        for number, name in enumerate(names):
            (found,) = reader.find(with_faces((3, 3, face(number))))[:1].landmarks  # type: ignore[misc]
            crop, places = with_faces((3, 3, face(number)))[200:360, 200:360], found - 200
            embedding = reader.embed(crop, places[None])[0]
            gallery.add_shot(
                gallery.add_person(name).id,
                crop,
                places,
                quality=1.0,
                source="a test",
                embedding=embedding,
                model=model or model_id(card),
            )


def test_predict_says_who_is_on_a_picture(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = write_faces_picture(tmp_path / "family.png", (1, 1, 1), (4, 3, 5))
    enrol(tmp_path / "mine.sqlite", "Ada", "Ben")
    asked = ("predict", "--model", "tiny-faces", picture, "--gallery", tmp_path / "mine.sqlite")
    code, lines, errors = run(capsys, *asked, "--json")
    assert (code, len(lines), errors) == (0, 1, "")
    answer = json.loads(lines[0])
    assert set(answer) == {"file", "model", "task", "faces"}
    assert (answer["file"], answer["model"], answer["task"]) == (str(picture), "tiny-faces", "faces")
    faces = {tuple(each["xyxy"]): each for each in answer["faces"]}
    assert set(faces) == {(40, 40, 200, 200), (280, 200, 440, 360)}
    ben, stranger = faces[40, 40, 200, 200], faces[280, 200, 440, 360]
    for each in (ben, stranger):
        assert set(each) == {"score", "xyxy", "landmarks", "name", "similarity"}
        assert np.array(each["landmarks"]).shape == (5, 2)
    assert (ben["name"], stranger["name"]) == ("Ben", None)
    assert ben["similarity"] > 0.9 > 0.5 > stranger["similarity"]
    code, lines, _ = run(capsys, *asked)
    assert code == 0
    assert set(lines[0].removeprefix(f"{picture}: ").split(", ")) == {
        f"Ben {1 / (1 + np.exp(5 - 10 * ben['similarity'])):.1%} at 40 40 200 200",
        "unknown at 280 200 440 360",
    }
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((50, 50, 3), np.uint8))
    assert run(capsys, "predict", "--model", "tiny-faces", tmp_path / "empty.png")[1] == [
        f"{tmp_path / 'empty.png'}: nobody found"
    ]


def test_predict_takes_the_users_own_gallery(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = write_faces_picture(tmp_path / "one.png", (2, 2, 0))
    asked = ("predict", "--model", "tiny-faces", "--json", picture)

    def name() -> tuple[str | None, str]:
        code, lines, errors = run(capsys, *asked)
        assert code == 0
        return json.loads(lines[0])["faces"][0]["name"], errors

    own = store.data_folder() / "faces.sqlite"
    assert name() == (None, "")  # nobody is enrolled, and no file is made by looking
    assert not own.exists()
    try:
        enrol(None, "Ada")
        assert name() == ("Ada", "")
        with Gallery() as gallery:
            gallery.delete_all()
        enrol(None, "Ada", model="another:network")
        named, errors = name()
        assert named is None and "has not seen the people" in errors
        with Gallery() as gallery:
            gallery.set_passphrase("open sesame")
        named, errors = name()
        assert named is None and "locked" in errors
    finally:
        with Gallery() as gallery:
            gallery.delete_all()


def test_galleries_that_cannot_be_used_are_said(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = write_faces_picture(tmp_path / "one.png", (2, 2, 0))
    asked = ("predict", "--model", "tiny-faces", picture, "--gallery")
    code, lines, errors = run(capsys, *asked, tmp_path / "gone.sqlite")
    assert (code, lines) == (2, []) and "no gallery" in errors
    enrol(tmp_path / "locked.sqlite", "Ada", passphrase="open sesame")
    code, lines, errors = run(capsys, *asked, tmp_path / "locked.sqlite")
    assert (code, lines) == (2, []) and "locked" in errors and "Ada" not in errors
    code, lines, errors = run(capsys, "predict", "--model", "spots", picture, "--gallery", tmp_path / "locked.sqlite")
    assert (code, lines) == (2, []) and "--gallery" in errors


def test_predict_follows_faces_in_a_video(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    enrol(tmp_path / "mine.sqlite", "Ada")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (640, 480))
    for _ in range(6):
        writer.write(cv2.cvtColor(with_faces((3, 3, face(0))), cv2.COLOR_RGB2BGR))
    writer.release()
    gallery, out = tmp_path / "mine.sqlite", tmp_path / "boxes.csv"
    asked = ("predict", "--model", "tiny-faces", path, "--gallery", gallery, "--json", "--out", out)
    code, lines, errors = run(capsys, *asked)
    assert (code, len(lines), errors) == (0, 6, "")
    answers = [json.loads(line) for line in lines]
    assert [answer["frame"] for answer in answers] == list(range(6))
    assert [answer["faces"][0]["track"] for answer in answers] == [1] * 6
    names = [answer["faces"][0]["name"] for answer in answers]
    assert names[0] is None and names[-1] == "Ada"
    assert len(out.read_text().splitlines()) == 1 + 6


def test_evaluate_a_network_for_faces(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_people(tmp_path / "faces")
    pairs = write_pairs(tmp_path / "pairs.csv", some_pairs())
    asked = ("evaluate", "--model", "tiny-faces", "--data", pairs, "--root", tmp_path / "faces")
    code, lines, errors = run(capsys, *asked, "--json")
    assert (code, len(lines), errors) == (0, 1, "")
    answer = json.loads(lines[0])
    assert answer["accuracy"] == answer["auc"] == 1.0 and answer["eer"] == 0.0
    assert answer["folds"] == {str(fold): 1.0 for fold in range(10)}
    assert answer["tar"] == {"0.1": 1.0, "0.01": None, "0.001": None}
    assert set(answer["refused"]) == {"0.01", "0.001"} and "100 at least" in answer["refused"]["0.01"]
    assert (answer["positive_pairs"], answer["negative_pairs"], answer["left_out"]) == (20, 20, 0)
    code, lines, _ = run(capsys, *asked)
    assert code == 0
    assert "100.00% ± 0.00% of 40 pairs" in lines[0]
    assert any("false accept rate of 0.001 cannot be told from 20 pairs" in line for line in lines)
    assert sum(line.startswith("  fold ") for line in lines) == 10


def test_evaluate_a_network_for_faces_says_what_is_wrong(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, words in (
        (("--root", tmp_path / "gone"), "no folder or archive"),
        ((), "too few pairs"),  # the folder of the list is searched
        (("--classes", "face"), "--classes"),
    ):
        pairs = write_pairs(tmp_path / "pairs.csv", some_pairs()[:2])
        code, lines, errors = run(capsys, "evaluate", "--model", "tiny-faces", "--data", pairs, *more)
        assert (code, lines) == (2, []) and words in errors
    code, lines, errors = run(capsys, "evaluate", "--model", "spots", "--data", pairs, "--root", tmp_path)
    assert (code, lines) == (2, []) and "--root" in errors
