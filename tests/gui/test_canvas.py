"""The paper: strokes by mouse events, undo without end, pictures in and out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import (
    QGuiApplication,
    QImage,
    QImageIOHandler,
    QImageWriter,
    QInputDevice,
    QPainter,
    QPointingDevice,
    QTabletEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication

from engine import Frame
from gui.bridge import Bridge
from gui.canvas import PAPER, Canvas, Label, Picture
from tests.gui.conftest import ONE, SEVEN, mouse, stroke


@pytest.fixture
def canvas(qtbot) -> Canvas:
    canvas = Canvas()
    qtbot.addWidget(canvas)
    canvas.resize(900, 620)
    canvas.show()
    return canvas


def ink(canvas: Canvas) -> int:
    return int((canvas.picture() < 128).sum())


def test_every_move_of_the_pen_is_handed_on(canvas: Canvas) -> None:
    frames: list[Frame] = []
    canvas.frame.connect(frames.append)
    mouse(canvas, QEvent.Type.MouseButtonPress, 200, 200)
    for x in range(210, 300, 10):
        before = len(frames)
        mouse(canvas, QEvent.Type.MouseMove, x, 200)
        assert len(frames) == before + 1
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert all(frame.drawing and frame.image.shape == (PAPER[1], PAPER[0], 3) for frame in frames)
    dark = [int((frame.image < 128).sum()) for frame in frames]
    assert dark == sorted(dark) and dark[0] < dark[-1]


def test_only_something_coloured_makes_a_frame_three_planes(canvas: Canvas) -> None:
    frames: list[Frame] = []
    canvas.frame.connect(frames.append)
    canvas.submit()
    assert frames[-1].blank
    stroke(canvas, SEVEN)
    drawn = frames[-1].image
    assert drawn.strides[2] == 0 and not frames[-1].blank, "one plane, seen three times"
    stroke(canvas, ONE)
    assert int((drawn < 128).sum()) < int((frames[-1].image < 128).sum()), "a frame that was sent stays as it was"
    grey, red = QImage(60, 40, QImage.Format.Format_RGB32), QImage(60, 40, QImage.Format.Format_RGB32)
    grey.fill(Qt.GlobalColor.lightGray)
    red.fill(Qt.GlobalColor.darkRed)
    canvas.insert_image(grey)
    assert frames[-1].image.strides[2] == 0 and frames[-1].image[280, 420].tolist() == [192] * 3
    canvas.undo()
    before = canvas.picture()
    canvas.insert_image(red)
    assert frames[-1].image.strides[2] == 1 and frames[-1].image[280, 420].tolist() == [128, 0, 0]
    canvas.undo()
    assert frames[-1].image.strides[2] == 0 and np.array_equal(frames[-1].image, before)
    canvas.redo()
    canvas.clear()
    assert frames[-1].blank and frames[-1].image.strides[2] == 0


def test_ink_lies_where_the_mouse_was(canvas: Canvas) -> None:
    stroke(canvas, [(100, 100), (700, 500)])
    picture = canvas.picture()[..., 0]
    assert picture[300, 400] < 30 and picture[100, 700] == 255 and picture[500, 100] == 255


def test_a_stroke_has_the_width_of_the_pen(canvas: Canvas) -> None:
    for width in (8, 40):
        canvas.clear()
        canvas.set_pen_width(width)
        stroke(canvas, [(100, 300), (700, 300)])
        column = canvas.picture()[:, 400, 0]
        assert abs(int((column < 128).sum()) - width) <= 1


def test_undo_and_redo_know_no_limit(canvas: Canvas) -> None:
    pictures = [canvas.picture()]
    for number in range(60):
        stroke(canvas, [(50 + number * 12, 60 + number % 7 * 60), (60 + number * 12, 150 + number % 5 * 60)])
        pictures.append(canvas.picture())
    for picture in pictures[-2::-1]:
        canvas.undo()
        assert np.array_equal(canvas.picture(), picture)
    assert not canvas.can_undo
    for picture in pictures[1:]:
        canvas.redo()
        assert np.array_equal(canvas.picture(), picture)
    assert not canvas.can_redo


def test_a_new_stroke_ends_redo(canvas: Canvas) -> None:
    stroke(canvas, SEVEN)
    canvas.undo()
    assert canvas.can_redo
    stroke(canvas, ONE)
    assert not canvas.can_redo


def test_clearing_can_be_undone(canvas: Canvas) -> None:
    stroke(canvas, SEVEN)
    drawn = canvas.picture()
    canvas.clear()
    assert canvas.empty and ink(canvas) == 0
    canvas.undo()
    assert np.array_equal(canvas.picture(), drawn)


def test_the_eraser_and_the_right_button_take_ink_away(canvas: Canvas) -> None:
    stroke(canvas, [(100, 300), (700, 300)])
    full = ink(canvas)
    stroke(canvas, [(200, 250), (200, 350)], Qt.MouseButton.RightButton)
    less = ink(canvas)
    canvas.set_eraser(True)
    stroke(canvas, [(500, 250), (500, 350)])
    assert full > less > ink(canvas)
    canvas.undo()
    canvas.undo()
    assert ink(canvas) == full


def test_strokes_survive_resizing_unchanged(canvas: Canvas) -> None:
    stroke(canvas, SEVEN)
    before = canvas.picture()
    canvas.resize(500, 400)
    assert np.array_equal(canvas.picture(), before)
    stroke(canvas, [(100, 500), (700, 500)])
    assert canvas.picture()[500, 400, 0] < 30


def test_ink_is_sharp_and_in_its_place_on_a_dense_screen(qtbot, monkeypatch) -> None:
    monkeypatch.setattr(Canvas, "devicePixelRatioF", lambda self: 2.0)
    canvas = Canvas()
    qtbot.addWidget(canvas)
    canvas.resize(900, 620)
    canvas.show()
    stroke(canvas, [(100, 100), (700, 500)])
    screen = canvas._screen
    assert (screen.width(), screen.height()) == (2 * canvas.paper.width(), 2 * canvas.paper.height())
    for x, y, dark in ((400, 300, True), (700, 100, False), (100, 500, False), (690, 493, True)):
        colour = screen.pixelColor(x * screen.width() // PAPER[0], y * screen.height() // PAPER[1])
        assert (colour.lightness() < 60) == dark


def test_a_tablet_presses_wider_lines(canvas: Canvas) -> None:
    def tablet(kind: QEvent.Type, x: float, pressure: float) -> None:
        place = QPointF(canvas.paper.x() + x, canvas.paper.y() + 200)
        event = QTabletEvent(
            kind,
            QPointingDevice.primaryPointingDevice(),
            place,
            canvas.mapToGlobal(place),
            pressure,
            0,
            0,
            0,
            0,
            0,
            Qt.KeyboardModifier.NoModifier,
            Qt.MouseButton.LeftButton,
            Qt.MouseButton.LeftButton,
        )
        QApplication.sendEvent(canvas, event)

    widths = []
    for pressure in (0.1, 0.9):
        canvas.clear()
        tablet(QEvent.Type.TabletPress, 100, pressure)
        for x in range(110, 500, 10):
            tablet(QEvent.Type.TabletMove, x, pressure)
        tablet(QEvent.Type.TabletRelease, 500, 0.0)
        widths.append(max(int((column < 128).sum()) for column in canvas.picture()[:, 300:400, 0].T))
    assert widths[0] < 0.7 * widths[1]
    assert QInputDevice.devices() is not None


def test_keys_and_wheel_change_the_width(canvas: Canvas, qtbot) -> None:
    before = canvas.pen_width
    with qtbot.waitSignal(canvas.width_changed):
        canvas.widen(2)
    assert canvas.pen_width > before
    canvas.widen(-100)
    assert canvas.pen_width == 4


def test_the_wheel_alone_is_left_to_others(canvas: Canvas) -> None:
    before = canvas.pen_width
    middle = QPointF(canvas.rect().center())
    event = QWheelEvent(
        middle,
        canvas.mapToGlobal(middle),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas, event)
    assert canvas.pen_width == before


def test_saving_and_opening_gives_the_same_drawing(canvas: Canvas, tmp_path: Path) -> None:
    stroke(canvas, SEVEN)
    drawn = canvas.picture()
    canvas.save(tmp_path / "seven.png")
    canvas.clear()
    canvas.open(tmp_path / "seven.png")
    assert np.array_equal(canvas.picture(), drawn)
    canvas.undo()
    assert ink(canvas) == 0


def test_what_cannot_be_opened_or_saved_is_said(canvas: Canvas, tmp_path: Path, qtbot) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for path in (tmp_path / "broken.png", tmp_path / "missing.png"):
        with qtbot.waitSignal(canvas.failed) as told:
            canvas.open(path)
        assert path.name in told.args[0].message and told.args[0].hint
    assert canvas.empty
    with qtbot.waitSignal(canvas.failed):
        canvas.save(tmp_path / "broken.png" / "below a file.png")


def test_copy_and_paste(canvas: Canvas) -> None:
    stroke(canvas, SEVEN)
    drawn = canvas.picture()
    canvas.copy()
    canvas.clear()
    canvas.paste()
    assert np.array_equal(canvas.picture(), drawn)
    canvas.undo()
    assert canvas.empty


def test_labels_leave_nothing_behind_when_they_move_or_go(canvas: Canvas, qtbot) -> None:
    def on_the_screen() -> QImage:
        return canvas.screen().grabWindow(canvas.winId()).toImage().convertToFormat(QImage.Format.Format_RGB32)

    def whole() -> QImage:
        return canvas.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)

    stroke(canvas, SEVEN)
    qtbot.waitUntil(lambda: on_the_screen() == whole())
    clean = whole()
    places = (QRectF(300, 100, 280, 350), QRectF(310, 120, 260, 380), QRectF(2, 2, 90, 60), QRectF(700, 400, 138, 158))
    for number, place in enumerate(places):
        canvas.set_labels((Label(place, str(number), sure=number % 2 == 0), Label(places[-1], "not a digit", False)))
        qtbot.waitUntil(lambda: on_the_screen() == whole())
        assert whole() != clean
    canvas.set_labels(())
    qtbot.waitUntil(lambda: on_the_screen() == clean)


def test_pasting_without_a_picture_says_so(canvas: Canvas, qtbot) -> None:
    QGuiApplication.clipboard().setText("words")
    with qtbot.waitSignal(canvas.status):
        canvas.paste()
    assert canvas.empty


def test_a_light_digit_on_dark_becomes_dark_ink(canvas: Canvas) -> None:
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 13:16] = 255
    canvas.insert_image(QImage(digit.data, 28, 28, 28, QImage.Format.Format_Grayscale8).copy())
    picture = canvas.picture()[..., 0]
    assert picture[280, 425] < 60 and picture[20, 20] == 255 and picture[280, 250] > 200


def test_a_picture_on_the_paper_is_read_like_a_drawing(canvas: Canvas) -> None:
    frames: list[Frame] = []
    canvas.frame.connect(frames.append)
    photograph = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    canvas.insert_image(QImage(photograph.data, 80, 60, 240, QImage.Format.Format_RGB888).copy())
    stroke(canvas, ONE)
    assert len(frames) > 2 and all(frame.drawing for frame in frames), "the paper is white, not a room before a camera"


def test_what_happens_in_the_middle_of_a_stroke_ends_it(canvas: Canvas) -> None:
    photograph = QImage(60, 40, QImage.Format.Format_RGB32)
    photograph.fill(Qt.GlobalColor.darkRed)

    def begin() -> None:
        mouse(canvas, QEvent.Type.MouseButtonPress, 100, 100)
        mouse(canvas, QEvent.Type.MouseMove, 300, 100)

    def go_on() -> None:
        mouse(canvas, QEvent.Type.MouseMove, 300, 400)
        mouse(canvas, QEvent.Type.MouseButtonRelease, 100, 500)

    begin()
    canvas.clear()
    go_on()
    assert canvas.empty and ink(canvas) == 0
    canvas.undo()
    assert not canvas.empty and ink(canvas) > 0
    canvas.undo()
    begin()
    canvas.undo()
    go_on()
    assert not canvas.can_undo and ink(canvas) == 0
    begin()
    canvas.insert_image(photograph)
    go_on()
    canvas.undo()
    assert not canvas.empty and canvas.picture()[100, 200, 0] < 30 and canvas.picture()[300, 300, 0] == 255


def test_a_large_picture_is_read_beside_the_window_and_no_larger_than_can_be_seen(qtbot, tmp_path: Path) -> None:
    bridge = Bridge()
    canvas = Canvas(call=bridge.call)
    qtbot.addWidget(canvas)
    canvas.resize(900, 620)
    canvas.show()
    photograph = QImage(4000, 3000, QImage.Format.Format_RGB32)
    photograph.fill(Qt.GlobalColor.darkRed)
    photograph.save(str(tmp_path / "photograph.jpg"))
    canvas.open(tmp_path / "photograph.jpg")
    assert canvas.empty, "nothing has been read in this thread"
    with qtbot.waitSignal(canvas.status):
        pass
    (item,) = canvas._items
    assert isinstance(item, Picture) and item.image.height() == max(PAPER[1], canvas.paper.height())
    assert canvas.picture()[280, 420, 0] > 100
    canvas.save(tmp_path / "saved.png")
    assert not (tmp_path / "saved.png").exists(), "nothing has been written in this thread"
    with qtbot.waitSignal(canvas.status):
        pass
    assert QImage(str(tmp_path / "saved.png")).width() == PAPER[0]
    with qtbot.waitSignal(bridge.failed) as told:
        canvas.open(tmp_path / "missing.png")
    assert "missing.png" in told.args[0].message
    bridge.close()


def test_a_picture_that_is_still_being_read_when_the_paper_is_cleared_does_not_come(qtbot) -> None:
    reading: list[Callable[[], None]] = []
    canvas = Canvas(call=lambda work, done: reading.append(lambda: done(work())))
    qtbot.addWidget(canvas)
    picture = QImage(60, 40, QImage.Format.Format_RGB32)
    picture.fill(Qt.GlobalColor.black)
    canvas.insert_image(picture)
    canvas.clear()
    canvas.insert_image(picture)
    reading[0]()
    assert canvas.empty, "it was asked for before the paper was cleared"
    reading[1]()
    assert not canvas.empty


def test_a_turned_photograph_keeps_its_shape(canvas: Canvas, tmp_path: Path) -> None:
    """A camera held upright stores its picture lying, with a word about it."""
    photograph = QImage(3000, 2000, QImage.Format.Format_RGB32)
    photograph.fill(Qt.GlobalColor.darkRed)
    writer = QImageWriter(str(tmp_path / "upright.jpg"))
    writer.setTransformation(QImageIOHandler.Transformation.TransformationRotate90)
    assert writer.write(photograph)
    canvas.open(tmp_path / "upright.jpg")
    (item,) = canvas._items
    assert isinstance(item, Picture) and item.image.height() == canvas._room().height()
    assert item.image.width() == pytest.approx(item.image.height() * 2 / 3, abs=1)


@pytest.mark.parametrize("colour", [Qt.GlobalColor.black, Qt.GlobalColor.white], ids=["dark", "light"])
def test_ink_without_a_ground_is_dark_on_the_paper(canvas: Canvas, colour: Qt.GlobalColor) -> None:
    digit = QImage(60, 90, QImage.Format.Format_ARGB32)
    digit.fill(Qt.GlobalColor.transparent)
    painter = QPainter(digit)
    painter.fillRect(25, 10, 10, 70, colour)
    painter.end()
    canvas.insert_image(digit)
    picture = canvas.picture()[..., 0]
    assert picture[280, 420] < 30 and picture[20, 20] == 255 and picture[280, 300] == 255
