"""Data sets: every entry is what it says, bad folders are explained, drawing and augmenting repeat with their seed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from engine.commands import _labelled
from engine.data import DATASETS, DataSet, Split, load_folder, load_mnist, load_synthetic_digits
from engine.data.augment import AUGMENTATIONS, warp
from engine.data.mixture import NOT, Sizes, load_mixture, read_drawn
from engine.data.strokes import (
    DIGIT_SHAPES,
    OTHER_SHAPES,
    draw_digits,
    draw_others,
    draw_shape,
    draw_trajectories,
    read_unipen,
    render,
)
from engine.errors import Cancelled, EngineError
from engine.images import Image
from engine.opencv import cv2
from engine.sources import open_source
from engine.training.config import TrainingConfig
from engine.types import NOT_A_DIGIT, ModelCard, Preprocess
from tests.engine.server import FileServer, serving


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(
    folder: Path, *, count: int = 60, packed: bool = False, parts: tuple[str, ...] = ("train", "t10k")
) -> None:
    """A tiny data set in MNIST's files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part in parts:
        arrays = {
            f"{part}-images-idx3-ubyte": rng.integers(0, 256, (count, 28, 28)).astype(np.uint8),
            f"{part}-labels-idx1-ubyte": (np.arange(count) % 10).astype(np.uint8),
        }
        for name, array in arrays.items():
            raw = idx(array)
            (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(raw) if packed else raw)


def write_pictures(folder: Path, count: int, *, level: int = 128, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = np.full((20 + number, 30, 3), level, np.uint8)
        cv2.imwrite(str(folder / f"{number:03}{suffix}"), picture)


# ----------------------------------------------------------------------------------------------------------- the list


def test_the_recipes_choices_are_the_data_sets() -> None:
    described = TrainingConfig.describe()
    assert {value for value, _ in described["data"].choices} == set(DATASETS)
    assert {value for value, _ in described["augmentation"].choices} == set(AUGMENTATIONS)
    listed = [(entry.title, entry.help) for entry in DATASETS.values()]
    for title, help in listed + [(each.title, each.help) for each in AUGMENTATIONS.values()]:
        assert title
        assert help.endswith(".")


def test_a_split_and_a_data_set_refuse_what_does_not_fit() -> None:
    good = Split(torch.zeros((4, 1, 8, 8), dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="uint8"):
        Split(torch.zeros((4, 1, 8, 8)), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels"):
        Split(good.images, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="class"):
        wrong = Split(good.images, torch.full((4,), 2))
        DataSet(name="x", classes=("a", "b"), train=wrong, validation=good, mean=(0.5,), std=(0.5,))
    with pytest.raises(ValueError, match="channel"):
        DataSet(name="x", classes=("a", "b"), train=good, validation=good, mean=(0.5, 0.5), std=(0.5,))


# ---------------------------------------------------------------------------------------------------- drawn by our code


def test_only_some_classes_are_taken_and_renumbered() -> None:
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1)
    split = Split(images, torch.tensor([0, 1, 2, 2, 1, 0]))
    data = DataSet(name="a", classes=("cat", "dog", "owl"), train=split, validation=split, mean=(0.5,), std=(0.5,))
    fewer = data.only(["owl", "cat"])
    assert fewer.classes == ("owl", "cat")
    assert fewer.train.images.flatten().tolist() == [0, 2, 3, 5]
    assert fewer.train.labels.tolist() == fewer.validation.labels.tolist() == [1, 0, 0, 1]
    for wrong, said in (
        (["owl", "cow"], "no class “cow”"),
        (["owl", "owl"], "named twice"),
        (["owl"], "tell owl apart"),
    ):
        with pytest.raises(EngineError, match=said):
            data.only(wrong)


def test_synthetic_digits_are_offline_balanced_and_repeat_with_their_seed() -> None:
    told: list[float] = []
    data = load_synthetic_digits(seed=3, count=600, progress=lambda what, share: told.append(share))
    again = load_synthetic_digits(seed=3, count=600)
    other = load_synthetic_digits(seed=4, count=600)
    assert data.train.images.shape == (540, 1, 28, 28)
    assert data.validation.images.shape == (60, 1, 28, 28)
    assert torch.equal(data.train.images, again.train.images)
    assert not torch.equal(data.train.images, other.train.images)
    assert torch.bincount(torch.cat([data.train.labels, data.validation.labels])).tolist() == [60] * 10
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_drawing_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        load_synthetic_digits(count=2_000, cancelled=lambda: True)


def test_every_shape_draws_inside_its_picture() -> None:
    rng = np.random.default_rng(0)
    assert sorted(DIGIT_SHAPES) == list(range(10))
    for shape in (*OTHER_SHAPES, *(shape for shapes in DIGIT_SHAPES.values() for shape in shapes)):
        drawing = draw_shape(shape, rng)
        ink = render(drawing, 0.08)
        assert ink.any(), shape
        edges = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
        assert not edges.any(), shape


def test_digits_have_the_strokes_and_the_place_of_mnist() -> None:
    images, labels = draw_digits(300, np.random.default_rng(1))
    assert images.shape == (300, 28, 28)
    assert images.dtype == np.uint8
    assert labels[:10].tolist() == list(range(10))
    assert 0.05 < images.mean() / 255 < 0.25
    assert (images.reshape(300, -1).max(axis=1) > 200).all()


@pytest.mark.parametrize("with_photos", [False, True])
def test_what_is_no_digit_is_of_many_kinds(with_photos: bool) -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (90, 120, 3)).astype(np.uint8)
    images = draw_others(300, rng, photos=[photo] if with_photos else [])
    assert images.shape == (300, 28, 28)
    assert images.dtype == np.uint8
    assert len(np.unique(images.reshape(300, -1), axis=0)) > 270
    repeated = draw_others(40, np.random.default_rng(5)), draw_others(40, np.random.default_rng(5))
    assert np.array_equal(*repeated)


UNIPEN = """.LEXICON "0" "1"
.SEGMENT DIGIT 0 ? "1"
.COMMENT 1 4 200
.PEN_DOWN
 100 300
 100 200
.PEN_UP
.DT 100
.SEGMENT DIGIT 1-2 ? "7"
.COMMENT 7 12 201
.PEN_DOWN
 10 90
 50 90
 20 10
.PEN_UP
.PEN_DOWN
 15 50
 45 50
.PEN_UP
"""


def test_unipen_files_are_read_with_their_writers(tmp_path: Path) -> None:
    path = tmp_path / "pen.tra"
    path.write_text(UNIPEN)
    one, seven = read_unipen(path)
    assert (one.label, one.writer, one.index, len(one.strokes)) == (1, 4, 0, 1)
    assert (seven.label, seven.writer, seven.index, len(seven.strokes)) == (7, 12, 1, 2)
    assert seven.strokes[0][0, 1] < seven.strokes[0][2, 1]  # y grows downwards
    assert one.strokes[0].max() <= 1
    images, labels = draw_trajectories([one, seven], 7, np.random.default_rng(0))
    assert images.shape == (7, 28, 28)
    assert set(labels.tolist()) == {1, 7}


def test_a_pen_file_without_digits_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "empty.tra"
    path.write_text("nothing here\n")
    with pytest.raises(EngineError, match="no pen strokes"):
        read_unipen(path)
    with pytest.raises(EngineError, match="cannot be read"):
        read_unipen(tmp_path / "absent.tra")


# --------------------------------------------------------------------------------------------------------- IDX files


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_found_wherever_they_lie(tmp_path: Path, place: str, packed: bool) -> None:
    write_idx(tmp_path / place, packed=packed)
    data = load_mnist(tmp_path, seed=1)
    assert data.train.images.shape[1:] == (1, 28, 28)
    assert len(data.train) + len(data.validation) == 60
    assert data.test is not None
    assert len(data.test) == 60


def test_validation_is_cut_from_the_training_part_and_differs_with_the_seed(tmp_path: Path) -> None:
    write_idx(tmp_path)
    one, again, other = (load_mnist(tmp_path, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.validation.images, again.validation.images)
    assert not torch.equal(one.validation.images, other.validation.images)
    train = {bytes(image.numpy()) for image in one.train.images}
    assert not train & {bytes(image.numpy()) for image in one.validation.images}


def cut_short(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])


def not_idx(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(b"hello")


def torn_gzip(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes())[:-2000])


def other_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(7, np.uint8)))


def many_classes(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.full(60, 40, np.uint8)))


def no_pictures(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((0, 28, 28), np.uint8)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(0, np.uint8)))


@pytest.mark.parametrize("damage", [cut_short, not_idx, torn_gzip, other_labels, many_classes, no_pictures])
def test_damaged_idx_files_are_explained(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write_idx(tmp_path)
    damage(tmp_path)
    with pytest.raises(EngineError) as caught:
        load_mnist(tmp_path)
    assert caught.value.hint


def test_absent_idx_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not in"):
        load_mnist(tmp_path)
    write_idx(tmp_path, parts=("t10k",))
    with pytest.raises(EngineError, match="only the test part"):
        load_mnist(tmp_path)
    with pytest.raises(EngineError, match="no folder"):
        load_mnist(tmp_path / "absent")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A mirror on this machine with a tiny MNIST, named after one that is not there."""
    import torchvision.datasets

    write_idx(tmp_path / "web", packed=True)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("engine.downloads._PAUSE", 0.0)
    with serving() as server:
        server.files = {path.name: path.read_bytes() for path in (tmp_path / "web").iterdir()}
        resources = [(name, hashlib.md5(body).hexdigest()) for name, body in sorted(server.files.items())]
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:1/", f"{server.address}/"])
        yield server


def test_mnist_is_downloaded_once_with_progress(mirror: FileServer) -> None:
    told: list[tuple[str, float]] = []
    data = load_mnist(progress=lambda what, share: told.append((what, share)))
    assert len(data.train) + len(data.validation) == 60
    downloading = [share for what, share in told if what == "Downloading MNIST"]
    assert downloading == sorted(downloading) and downloading[-1] == 1.0
    assert len(mirror.asked) == 4
    assert len(load_mnist().train) == len(data.train)
    assert len(mirror.asked) == 4, "nothing is fetched the second time"


def test_a_download_that_fails_or_is_cancelled_leaves_nothing_half(mirror: FileServer, own_home: Path) -> None:
    with pytest.raises(Cancelled):
        load_mnist(cancelled=lambda: True)
    mirror.files["train-images-idx3-ubyte.gz"] = b"something else"
    with pytest.raises(EngineError, match="not the file that was expected") as caught:
        load_mnist()
    assert "synthetic" in caught.value.hint
    left = [path.name for path in own_home.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not [name for name in left if name.endswith(".part") or "train-images" in name]


def test_the_real_files_are_what_they_should_be(shared_data: Path) -> None:
    data = load_mnist(shared_data / "MNIST")
    assert (len(data.train), len(data.validation)) == (55_000, 5_000)
    assert data.test is not None
    assert torch.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    everything = torch.bincount(data.train.labels) + torch.bincount(data.validation.labels)
    assert everything.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert float(data.train.images.float().mean() / 255) == pytest.approx(data.mean[0], abs=0.002)
    with pytest.raises(EngineError, match="only the test part"):
        DATASETS["fashion-mnist"].load(shared_data / "FashionMNIST")


# ----------------------------------------------------------------------------------------------------------- folders


def test_a_folder_of_classes_is_cut_by_class(tmp_path: Path) -> None:
    write_pictures(tmp_path / "light", 10, level=250)
    write_pictures(tmp_path / "dark", 5, level=5, suffix=".jpg")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("no class")
    data = load_folder(tmp_path, image_size=32)
    assert data.classes == ("dark", "light")
    assert data.train.images.shape == (12, 3, 32, 32)
    assert sorted(data.validation.labels.tolist()) == [0, 1, 1]
    for split in (data.train, data.validation):
        levels = split.images.float().mean(dim=(1, 2, 3))
        assert torch.equal((levels > 128).long(), split.labels)


def test_parts_that_are_there_already_are_kept(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        for name in ("a", "b"):
            write_pictures(tmp_path / part / name, count)
    data = load_folder(tmp_path, image_size=16)
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 4, 6)


def test_unreadable_files_are_left_out_and_counted(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a", 3)
    write_pictures(tmp_path / "b", 3)
    (tmp_path / "b" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "b" / "empty.jpg").write_bytes(b"")
    data = load_folder(tmp_path)
    assert sorted(data.skipped) == ["b/broken.png", "b/empty.jpg"]
    assert len(data.train) + len(data.validation) == 6


def test_folders_without_classes_are_explained(tmp_path: Path) -> None:
    for make, says in (
        (lambda: None, "no classes"),
        (lambda: write_pictures(tmp_path, 3), "no classes"),
        (lambda: write_pictures(tmp_path / "one", 3), "only the class one"),
    ):
        make()
        with pytest.raises(EngineError, match=says) as caught:
            load_folder(tmp_path)
        assert "sub-folder" in caught.value.hint
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "bad.png").write_bytes(b"x")
    with pytest.raises(EngineError, match="No picture could be read in two"):
        load_folder(tmp_path)
    with pytest.raises(EngineError):
        load_folder(None)
    with pytest.raises(EngineError):
        load_folder(tmp_path / "absent")


def test_training_sees_the_pixels_that_predict_and_evaluate_see(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = cv2.imencode(".jpg", rng.integers(0, 256, (24, 24, 3)).astype(np.uint8))[1].tobytes()
    held = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # by a camera on its side
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(
            photo[:2] + b"\xff\xe1" + struct.pack(">H", len(held) + 2) + held + photo[2:]
        )
        cv2.imwrite(str(tmp_path / name / "2.png"), rng.integers(0, 256, (24, 24, 4)).astype(np.uint8))
        cv2.imwrite(str(tmp_path / name / "3.tif"), rng.random((24, 24)).astype(np.float32))
        cv2.imwrite(str(tmp_path / name / "4.dib"), rng.integers(0, 256, (24, 24)).astype(np.uint8))
        (tmp_path / name / ".hidden.png").write_bytes(b"no picture")
    data = load_folder(tmp_path, image_size=24)
    assert data.skipped == ()
    trained = np.concatenate([data.train.images.numpy(), data.validation.images.numpy()]).transpose(0, 2, 3, 1)
    source = open_source(str(tmp_path))
    shown = []
    while (frame := source.read()) is not None:
        shown.append(frame.image)
    card = ModelCard("x", "x", "classification", "small", ("one", "two"), Preprocess("picture", 24, 3, (0,), (1,)))
    evaluated = [image for image, _ in _labelled(tmp_path, card)]
    for seen in (shown, evaluated):
        assert sorted(image.tobytes() for image in seen) == sorted(image.tobytes() for image in trained)


def test_real_folders_of_photographs_load(shared_data: Path) -> None:
    data = load_folder(shared_data / "imagefolder" / "hymenoptera", image_size=48)
    assert data.classes == ("ants", "bees")
    assert (len(data.train), len(data.validation)) == (244, 153)


# ------------------------------------------------------------------------------------------------------- the mixture


def test_the_mixture_holds_out_what_it_says(shared_data: Path) -> None:
    sizes = Sizes(trajectories=300, shapes=100, drawn=200, others=200, validation=300)
    data = load_mixture(shared_data, seed=2, progress=lambda what, share: None, cancelled=lambda: False, sizes=sizes)
    assert data.classes == (*"0123456789", NOT_A_DIGIT)
    assert (data.train.labels == NOT).sum() == 200
    assert len(data.train) == 2 * (60_000 - 300) + 300 + 100 + 200 + 200
    drawn = read_drawn(shared_data / "drawn_digits")
    held = [digit for digit in drawn if digit.is_held_out]
    assert {digit.source for digit in held} == {"hwd1000", "mouse50", "pendigits", "semeion", "usps"}
    assert 0.2 < len(held) / len(drawn) < 0.3
    assert data.test is not None
    assert len(data.test) == len(held) + 10_000
    pen = {t.index: t for t in read_unipen(shared_data / "pendigits" / "pendigits-orig.tra")}
    for digit in drawn:
        if digit.source == "pendigits":
            assert (pen[digit.trajectory].label, pen[digit.trajectory].writer) == (digit.label, digit.number)


def test_the_mixture_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVSCOPE_DATA", raising=False)
    with pytest.raises(EngineError, match="not here"):
        DATASETS["digits"].load()
    with pytest.raises(EngineError, match="no MNIST"):
        DATASETS["digits"].load(tmp_path)
    write_idx(tmp_path / "MNIST" / "raw", count=50)
    with pytest.raises(EngineError, match="drawn digits"):
        DATASETS["digits"].load(tmp_path)


def test_a_damaged_list_of_drawn_digits_is_explained(tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], ["0/a.png", "zero"]])
    with pytest.raises(EngineError, match="cannot be read"):
        read_drawn(tmp_path)


# ---------------------------------------------------------------------------------------------------- augmentation


def pictures(channels: int) -> torch.Tensor:
    images: Image = draw_digits(64, np.random.default_rng(0))[0]
    return (torch.from_numpy(images).float() / 255)[:, None].repeat(1, channels, 1, 1)


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentations_keep_shape_and_range_and_repeat(name: str, channels: int) -> None:
    images = pictures(channels)
    kept = images.clone()
    one, again, other = (AUGMENTATIONS[name](images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == images.shape
    assert one.dtype == torch.float32
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1
    assert torch.equal(one, again)
    assert torch.equal(images, kept), "an augmentation must not change what it is given"
    assert torch.equal(one, other) == (name == "none")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_augmentations_take_the_smallest_batches(count: int) -> None:
    for augmentation in AUGMENTATIONS.values():
        assert augmentation(pictures(1)[:count], torch.Generator().manual_seed(0)).shape == (count, 1, 28, 28)


def test_a_warp_by_nothing_changes_nothing() -> None:
    images = pictures(1)
    assert torch.allclose(warp(images, torch.Generator().manual_seed(0)), images, atol=1e-4)


def test_digits_stay_inside_the_picture() -> None:
    images = pictures(1)
    for name in ("light", "handwriting", "strong"):
        changed = AUGMENTATIONS[name](images, torch.Generator().manual_seed(0))
        assert float(changed.sum() / images.sum()) == pytest.approx(1, abs=0.25)
