"""Pictures on their way into a network: ink from any paper, MNIST's centring, digits side by side, boxes and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engine.data import read_idx_pair
from engine.data.strokes import DIGIT_SHAPES, by_hand, draw_shape, render
from engine.errors import EngineError
from engine.images import (
    Image,
    Layout,
    centre_digit,
    choose,
    ink_box,
    lay_out,
    lay_out_drawing,
    letterbox,
    read_picture,
    resize_centre_crop,
    stroke_width,
    to_grey,
    to_ink,
    to_rgb,
)
from engine.opencv import cv2
from tests.engine.conftest import turned_jpeg


def canvas(
    digits: list[int], *, side: int = 560, height: int = 200, width: float = 18, gap: int = 40, seed: int = 0
) -> Image:
    """White ink on black, as the canvas gives it: digits side by side, ``height`` pixels tall."""
    rng = np.random.default_rng(seed)
    out = np.zeros((side, side), np.uint8)
    x = 20
    for digit in digits:
        drawing = by_hand(draw_shape(DIGIT_SHAPES[digit][0], rng, jitter=0.01), rng, tilt=1, slant=0.02, stretch=0.05)
        narrow = [stroke * np.array([0.6, 1.0], np.float32) for stroke in drawing]
        ink = render(narrow, width / height, side=height)
        ink = ink[: side - 40, : side - x]
        out[40 : 40 + ink.shape[0], x : x + ink.shape[1]] = ink
        x += ink.shape[1] + gap
    return out


def scene(seed: int = 0) -> Image:
    """Something like a photograph."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (12, 16, 3)).astype(np.float32)
    fine = rng.normal(0, 12, (240, 320, 3))
    return (cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC) + fine).clip(0, 255).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_half_a_picture_is_an_error(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = tmp_path / f"half{suffix}"
    data = cv2.imencode(suffix, noise)[1].tobytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(EngineError) as failure:
        read_picture(path)
    assert failure.value.hint


def test_a_picture_is_read_the_way_up_that_its_camera_noted(tmp_path: Path) -> None:
    picture = np.full((16, 32, 3), 255, np.uint8)
    picture[:, :8] = (200, 0, 0)
    for orientation, turn in ((1, 0), (6, 3), (3, 2), (8, 1)):
        (tmp_path / "p.jpg").write_bytes(turned_jpeg(picture, orientation))
        upright = np.rot90(picture, turn)
        read = read_picture(tmp_path / "p.jpg")
        assert read.shape == upright.shape
        assert np.abs(read.astype(int) - upright).max() < 40, orientation


def test_a_transparent_picture_lies_on_paper_that_its_ink_shows_on(tmp_path: Path) -> None:
    ink = np.zeros((4, 5, 4), np.uint8)
    for level in (0, 140, 255):
        ink[1, 1] = (level, level, level, 255)
        cv2.imwrite(str(tmp_path / "p.png"), ink)
        read = read_picture(tmp_path / "p.png")
        assert read[1, 1].tolist() == [level] * 3
        assert read[0, 0].tolist() == [255 if level < 128 else 0] * 3
        raw = cv2.cvtColor(ink, cv2.COLOR_BGRA2RGBA)
        assert np.array_equal(to_grey(raw), to_grey(read))


@pytest.mark.parametrize(
    ("suffix", "kind", "full"),
    [
        (".png", np.uint8, 255),
        (".png", np.uint16, 65535),
        (".tif", np.uint16, 65535),
        (".tif", np.float32, 1),
        (".tif", np.float32, 255),
        (".tif", np.float64, 65535),
        (".tif", np.int32, 65535),
    ],
)
def test_levels_of_any_depth_become_eight_bits(suffix: str, kind: type, full: float, tmp_path: Path) -> None:
    red = np.zeros((4, 5, 3), np.float64)
    red[:, :, 2] = [0, 0.2, 0.4, 0.8, 1]
    grey = red[:, :, 2]
    for levels, channels in ((grey, [0, 1, 2]), (red, [0])):
        path = tmp_path / f"ä{suffix}"
        assert cv2.imwrite(str(tmp_path / f"p{suffix}"), (levels * full).astype(kind))
        (tmp_path / f"p{suffix}").rename(path)
        read = read_picture(path)
        assert read.shape == (4, 5, 3)
        assert read.dtype == np.uint8
        for channel in range(3):
            expected = [0, 51, 102, 204, 255] if channel in channels else [0] * 5
            assert read[0, :, channel].tolist() == expected


def test_numbers_that_are_no_levels_are_black(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.tif"), np.array([[np.nan, np.inf, -np.inf, -3, 0.5, 1]], np.float32))
    assert read_picture(tmp_path / "p.tif")[0, :, 0].tolist() == [0, 0, 0, 0, 128, 255]


# ------------------------------------------------------------------------------------------------------------ colour


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_any_picture_becomes_grey_and_rgb(shape: tuple[int, ...]) -> None:
    picture = np.full(shape, 255, np.uint8)
    assert to_grey(picture).shape == (5, 7)
    assert to_rgb(picture).shape == (5, 7, 3)
    assert to_rgb(picture).min() == 255


def test_a_transparent_drawing_keeps_its_ink_whatever_its_colour() -> None:
    for level in (0, 255):
        picture = np.zeros((40, 40, 4), np.uint8)
        picture[10:30, 18:22] = (level, level, level, 255)
        ink = to_ink(picture)
        assert ink_box(ink) == (18, 10, 22, 30)


# --------------------------------------------------------------------------------------------------------------- ink


def test_ink_is_the_same_from_either_polarity() -> None:
    ink = canvas([5])
    assert np.array_equal(to_ink(ink), ink)
    assert np.array_equal(to_ink(255 - ink), ink)
    assert np.array_equal(to_ink(to_rgb(255 - ink)), ink)


@pytest.mark.parametrize("level", [0, 97, 255])
def test_blank_paper_has_no_ink(level: int) -> None:
    assert not to_ink(np.full((60, 80), level, np.uint8)).any()
    assert len(lay_out(to_ink(np.full((60, 80), level, np.uint8)))) == 0


def test_faint_ink_is_brought_to_full_strength() -> None:
    faint = (255 - canvas([3]) // 6).astype(np.uint8)
    assert to_ink(faint).max() == 255
    assert ink_box(to_ink(faint), 128) == ink_box(canvas([3]), 128)


def test_ink_is_found_on_unevenly_lit_paper() -> None:
    drawn = canvas([7], side=400, height=260, width=24)
    light = np.linspace(90, 230, 400)[None, :] * np.linspace(0.8, 1.0, 400)[:, None]
    grain = np.random.default_rng(0).normal(0, 3, drawn.shape)
    photo = (light * (1 - drawn / 255 * 0.7) + grain).clip(0, 255).astype(np.uint8)
    ink = to_ink(photo)
    overlap = ((ink > 127) & (drawn > 127)).sum() / ((ink > 127) | (drawn > 127)).sum()
    assert overlap > 0.75


def test_the_smallest_pictures_do_not_fail() -> None:
    rng = np.random.default_rng(0)
    for height in range(1, 7):
        for width in range(1, 7):
            picture = rng.integers(0, 256, (height, width)).astype(np.uint8)
            layout = lay_out(to_ink(picture))
            assert layout.inputs.shape[1:] == (28, 28)
    assert to_ink(np.zeros((0, 0), np.uint8)).shape == (0, 0)


def test_mnist_passes_unchanged(shared_data: Path) -> None:
    test = read_idx_pair(shared_data / "MNIST", "t10k")
    assert test is not None
    for picture in test.images[:500, 0].numpy():
        ink = to_ink(picture)
        assert np.array_equal(ink, picture)
        assert np.array_equal(centre_digit(ink), picture)


def test_mnist_is_centred_as_it_was_made(shared_data: Path) -> None:
    """Off the middle of a larger sheet, a digit comes back to where MNIST has it."""
    test = read_idx_pair(shared_data / "MNIST", "t10k")
    assert test is not None
    same = 0
    for picture in test.images[:300, 0].numpy():
        sheet = np.zeros((60, 50), np.uint8)
        sheet[3:31, 19:47] = picture
        same += np.array_equal(centre_digit(sheet), picture)
    assert same > 180  # the others lose a faint edge and are resampled


def test_every_drawn_digit_is_found_with_its_polarity(shared_data: Path) -> None:
    files = sorted((shared_data / "drawn_digits").glob("*/*.png"))[::9]
    for path in files:
        picture = to_grey(read_picture(path))
        for version in (picture, 255 - picture):
            ink = to_ink(version)
            assert np.corrcoef(ink.ravel(), (255 - picture).ravel())[0, 1] > 0.5, path.name


# ---------------------------------------------------------------------------------------------------------- centring


@pytest.mark.parametrize("height", [12, 40, 200, 480])
@pytest.mark.parametrize("share", [0.02, 0.08, 0.2])
def test_a_digit_of_any_size_and_pen_fills_the_field_and_stays_visible(height: int, share: float) -> None:
    ink = canvas([3], height=height, width=max(1.0, share * height))
    small = centre_digit(ink)
    box = ink_box(small, 40)
    assert box is not None
    assert 18 <= max(box[2] - box[0], box[3] - box[1]) <= 20
    moments = cv2.moments(small)
    assert moments["m10"] / moments["m00"] == pytest.approx(14, abs=0.6)
    assert moments["m01"] / moments["m00"] == pytest.approx(14, abs=0.6)
    assert stroke_width(small) > 1.4
    assert small.max() >= 224


def test_stroke_width_is_measured_in_pixels_whatever_the_contrast() -> None:
    for width in (2, 5, 9):
        ink = np.zeros((60, 140), np.uint8)
        ink[20 : 20 + width, 10:130] = 255
        assert stroke_width(ink) == pytest.approx(width, rel=0.25)
        assert stroke_width(ink // 3) == pytest.approx(stroke_width(ink), rel=0.02)


def test_centring_a_box_of_nothing_is_black() -> None:
    assert not centre_digit(np.zeros((40, 40), np.uint8)).any()
    assert not centre_digit(np.zeros((40, 40), np.uint8), (5, 5, 5, 20)).any()


# ------------------------------------------------------------------------------------------------------------ layout


def certain(layout: Layout, spans: set[tuple[int, int]]) -> npt.NDArray[np.float64]:
    """Probabilities of a network that is sure of the pieces with these spans and that the others are no digits."""
    rows = np.full((len(layout), 11), 0.001)
    for row, span in enumerate(layout.spans):
        rows[row, 3 if span in spans else 10] = 0.99
    return rows / rows.sum(axis=1, keepdims=True)


def test_digits_side_by_side_are_offered_one_by_one_and_together() -> None:
    ink = canvas([1, 2, 7], height=140)
    layout = lay_out(ink)
    assert layout.spans[0] == (0, 3)
    assert {(0, 1), (1, 2), (2, 3)} <= set(layout.spans)
    chosen = choose(layout, certain(layout, {(0, 1), (1, 2), (2, 3)}), 10)
    assert [layout.spans[row] for row in chosen] == [(0, 1), (1, 2), (2, 3)]
    lefts = [layout.boxes[row][0] for row in chosen]
    assert lefts == sorted(lefts)
    assert choose(layout, certain(layout, set()), 10) == [0]


def test_a_broken_digit_stays_one_where_the_network_says_so() -> None:
    ink = canvas([4], height=300)
    box = ink_box(ink)
    assert box is not None
    middle = (box[0] + box[2]) // 2
    ink[:, middle - 6 : middle + 6] = 0
    layout = lay_out(ink)
    assert len(layout) > 1
    whole = certain(layout, {layout.spans[0]})
    assert choose(layout, whole, 10) == [0]


def test_the_bar_over_a_five_belongs_to_it() -> None:
    ink = np.zeros((300, 300), np.uint8)
    cv2.ellipse(ink, (140, 200), (60, 60), 0, -120, 140, 255, 14)
    cv2.line(ink, (100, 60), (200, 60), 255, 14)
    assert lay_out(ink).spans == ((0, 1),)


def test_touching_digits_can_be_cut() -> None:
    ink = np.zeros((200, 400), np.uint8)
    cv2.circle(ink, (80, 100), 60, 255, 12)
    cv2.circle(ink, (210, 100), 70, 255, 12)
    layout = lay_out(ink)
    assert any(layout.cuts)
    chosen = choose(layout, certain(layout, {(0, 1), (1, 2)}), 10)
    assert [layout.spans[row] for row in chosen] == [(0, 1), (1, 2)]


def test_a_neighbours_ink_is_left_out_of_a_piece() -> None:
    ink = np.zeros((200, 300), np.uint8)
    cv2.line(ink, (40, 180), (140, 20), 255, 12)
    cv2.line(ink, (110, 180), (210, 20), 255, 12)
    layout = lay_out(ink)
    single = layout.inputs[layout.spans.index((0, 1))]
    alone = np.zeros_like(ink)
    cv2.line(alone, (40, 180), (140, 20), 255, 12)
    assert np.abs(single.astype(int) - centre_digit(alone)).mean() < 8


def test_a_small_picture_holds_one_digit() -> None:
    ink = np.zeros((28, 28), np.uint8)
    ink[5:23, 6:9] = 255
    ink[5:23, 17:20] = 255
    assert lay_out(ink).spans == ((0, 1),)


def test_a_photograph_stays_one_piece_or_few() -> None:
    layout = lay_out(to_ink(scene()))
    assert 1 <= len(layout) < 40
    assert layout.inputs.dtype == np.uint8


def drawing(kind: str, rng: np.random.Generator) -> Image:
    """Lines as somebody may draw them: over the edge, grey, on paper of any kind."""
    ink = np.zeros((280, 420), np.uint8)
    for _ in range(rng.integers(1, 7)):
        start, reach = rng.integers([40, 40], [380, 240]), 400 if rng.random() < 0.2 else 60
        points = start + rng.integers(-reach, reach, (rng.integers(2, 5), 2))
        level = int(rng.integers(40, 256)) if rng.random() < 0.3 else 255
        cv2.polylines(ink, [points.astype(np.int32)], False, level, int(rng.integers(2, 30)), cv2.LINE_AA)
    match kind:
        case "dark on white":
            return 255 - ink
        case "one plane seen three times":
            return np.broadcast_to((255 - ink)[:, :, None], (*ink.shape, 3))
        case "white on dark":
            return ink
        case "on grey paper":
            return np.minimum(255 - ink, np.uint8(rng.integers(180, 255)))
        case "of a JPEG file":
            return np.asarray(cv2.imdecode(cv2.imencode(".jpg", 255 - ink)[1], 0), np.uint8)
        case _:
            coloured = np.repeat((255 - ink)[:, :, None], 3, axis=2)
            coloured[80:160, 100:200] = rng.integers(0, 256, 3)
            return coloured


@pytest.mark.parametrize(
    "kind",
    ["dark on white", "one plane seen three times", "white on dark", "on grey paper", "of a JPEG file", "coloured"],
)
def test_the_quick_way_lays_a_drawing_out_exactly_like_the_long_one(kind: str) -> None:
    rng = np.random.default_rng(5)
    several = 0
    for _ in range(60):
        picture = drawing(kind, rng)
        quick, long = lay_out_drawing(picture), lay_out(to_ink(picture))
        assert (quick.boxes, quick.spans, quick.cuts) == (long.boxes, long.spans, long.cuts)
        assert np.array_equal(quick.inputs, long.inputs)
        several += len(quick) > 1
    assert several > 10


@pytest.mark.parametrize(
    "picture", [np.full((90, 120), 255, np.uint8), np.zeros((0, 0), np.uint8), canvas([3])[:28, :28]]
)
def test_the_quick_way_takes_blank_empty_and_small_pictures(picture: Image) -> None:
    quick, long = lay_out_drawing(picture), lay_out(to_ink(picture))
    assert quick.boxes == long.boxes and np.array_equal(quick.inputs, long.inputs)


def test_choosing_without_a_class_for_the_rest() -> None:
    layout = lay_out(canvas([1, 7], height=200))
    rows = np.full((len(layout), 10), 0.1)
    rows[0] = 0.02
    rows[0, 4] = 0.3
    rows[1:, 1] = 0.9
    assert len(choose(layout, rows)) == 2


# ---------------------------------------------------------------------------------------------------- square pictures


@pytest.mark.parametrize("shape", [(480, 640, 3), (640, 480, 3), (7, 333), (333, 7, 3), (640, 640, 3), (1, 1, 3)])
def test_letterbox_and_back_is_exact(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    square, transform = letterbox(picture, 320)
    assert square.shape == (320, 320, *shape[2:])
    height, width = shape[:2]
    boxes = np.array([[0, 0, width, height], [0.25 * width, 0.1 * height, 0.5 * width, 0.9 * height]], np.float32)
    there = transform.to_square(boxes)
    assert there.min() >= 0
    assert there.max() <= 320
    assert np.allclose(transform.to_original(there), boxes, atol=1e-3)
    outside = np.array([[-50, -50, 400, 400]], np.float32)
    assert np.allclose(transform.to_original(outside), [[0, 0, width, height]], atol=1e-3)


@pytest.mark.parametrize("side", [1280, 1281, 1283])
def test_letterbox_averages_what_is_too_fine_to_be_seen(side: int) -> None:
    stripes = np.zeros((64, side), np.uint8)
    stripes[:, ::2] = 200
    small = letterbox(stripes, 320)[0][156:164]
    assert small.min() >= 85 and small.max() <= 115, "stripes of one pixel must come out grey"


def test_letterbox_puts_the_picture_where_the_transform_says() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[40:60, 100:140] = 255
    square, transform = letterbox(picture, 100)
    x0, y0, x1, y1 = transform.to_square(np.array([[100, 40, 140, 60]]))[0].astype(int)
    assert square[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].min() == 255
    assert square[0, 0, 0] == 114


@pytest.mark.parametrize("shape", [(100, 300, 3), (300, 100, 3), (64, 64), (3, 900, 3)])
def test_centre_crop_keeps_the_middle(shape: tuple[int, ...]) -> None:
    picture = np.zeros(shape, np.uint8)
    picture[shape[0] // 2, shape[1] // 2] = 255
    out = resize_centre_crop(picture, 64, resize=72)
    assert out.shape == (64, 64, *shape[2:])
