"""What a detector finds, as it is filtered, followed, drawn and told; results are made by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter
from PySide6.QtWidgets import QApplication

from engine import Classification, Detections, Frame, ModelCard, ModelState, Preprocess, Region, Result
from engine.images import letterbox
from engine.types import Heat
from gui.bridge import Bridge
from gui.companions import Companions
from gui.detected import in_input
from gui.live_picture import LivePicture, every_pixel
from gui.overlay import ink_on, label_places, overlay_of, paint_overlay, painted_pixels
from gui.panels.answer import AnswerPanel
from gui.settings import Settings
from gui.sight import BOX_COLOURS, Sight, class_colours
from gui.sight_controls import SightControls
from tests.gui.test_window import contrast

CLASSES = ("person", "chair", "car", "dog", "bottle")
GOOD = ("person", "car")


def card(classes: tuple[str, ...] = CLASSES, *, offered: tuple[str, ...] = GOOD, name: str = "finder") -> ModelCard:
    preprocess = Preprocess("letterbox", 64, 3, (0.5,) * 3, (0.5,) * 3)
    return ModelCard(
        name, "Finder", "detection", "detector", classes, preprocess, offered=offered, min_score=0.3, boxes="corners"
    )


def result(
    *found: tuple[str, float, tuple[float, float, float, float]],
    tracks: tuple[int, ...] | None = None,
    index: int = 0,
    clock: float | None = None,
    size: tuple[int, int] = (80, 120),
) -> Result:
    """A result with these boxes; the frame's green tells the place of every pixel."""
    image = np.zeros((*size, 3), np.uint8)
    image[:, :, 1] = np.arange(size[1], dtype=np.uint8)
    moment = 10.0 + (clock if clock is not None else index / 10)
    frame = Frame(image, "clip.mp4", index, moment, clock=clock)
    detections = Detections(
        np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([CLASSES.index(label) for label, _, _ in found], np.int64),
        CLASSES,
        None if tracks is None else np.array(tracks, np.int64),
    )
    return Result(frame, "finder", detections=detections, network_input=np.zeros((64, 64, 3), np.uint8))


PERSON = ("person", 0.9, (10.0, 10.0, 30.0, 60.0))
OTHER = ("person", 0.4, (60.0, 20.0, 80.0, 70.0))
CAR = ("car", 0.7, (40.0, 40.0, 100.0, 75.0))
DOG = ("dog", 0.8, (5.0, 50.0, 20.0, 70.0))
UNSURE = ("person", 0.1, (90.0, 10.0, 95.0, 20.0))


@pytest.fixture
def sight(qtbot) -> Sight:
    sight = Sight(Settings())
    sight.set_card(card())
    return sight


def shown(sight: Sight) -> list[str]:
    assert sight.shown is not None
    return [sight.shown.labels[number] for number in sight.shown.class_id]


# --- what is shown


def test_at_first_the_classes_it_does_well_are_shown_from_the_cards_score_on(sight: Sight) -> None:
    sight.take(result(PERSON, DOG, CAR, OTHER, UNSURE))
    assert shown(sight) == ["person", "car", "person"]
    assert sight.found() == {"person": 2, "car": 1, "dog": 1}, "the list of classes counts what is hidden, too"
    sight.set_min_score(0.05)
    assert len(shown(sight)) == 4
    sight.set_min_score(0.75)
    sight.show_class("dog", True)
    assert shown(sight) == ["person", "dog"]
    sight.show_classes(frozenset())
    assert shown(sight) == []


def test_a_card_that_offers_nothing_shows_all_classes(sight: Sight) -> None:
    sight.set_card(card(offered=(), name="plain"))
    assert sight.visible == frozenset(CLASSES) == sight.good_classes


def test_what_is_shown_is_remembered_for_each_network(sight: Sight) -> None:
    sight.set_min_score(0.6)
    sight.show_classes(frozenset({"dog"}))
    sight.set_card(card(name="another"))
    assert (sight.min_score, sight.visible) == (0.3, frozenset(GOOD))
    sight.show_classes(frozenset())
    settings = Settings()
    settings.save()
    again = Sight(settings)
    again.set_card(card())
    assert (again.min_score, again.visible) == (0.6, frozenset({"dog"}))
    again.set_card(card(name="another"))
    assert again.visible == frozenset(), "none is a choice as well"


# --- colours


def test_a_class_has_its_colour_in_every_run_and_neighbours_differ() -> None:
    many = tuple(f"class {number}" for number in range(80))
    colours = class_colours(many)
    assert colours == class_colours(many)
    assert set(colours.values()) == set(BOX_COLOURS)
    few = class_colours(CLASSES, GOOD)
    assert len(set(few.values())) == len(CLASSES)
    assert class_colours((*CLASSES, "horse"), GOOD)["person"] == few["person"]


@pytest.mark.parametrize("colour", BOX_COLOURS)
def test_names_can_be_read_on_every_colour(colour: str) -> None:
    assert contrast(ink_on(QColor(colour)).name(), colour) >= 4.5


def test_colours_differ_for_people_who_see_fewer_of_them() -> None:
    """Machado, Oliveira and Fernandes 2009: what is seen without one kind of cones, of linear RGB."""
    views = (
        np.eye(3),
        np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
        np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
    )
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in BOX_COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    for view in views:
        xyz = np.clip(linear @ view.T, 0, 1) @ to_xyz.T / np.array([0.9505, 1, 1.089])
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
        assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2)) > 15


# --- the box that is looked at


def test_the_box_looked_at_keeps_its_number_whatever_its_rank(sight: Sight) -> None:
    sight.take(result(PERSON, CAR, OTHER, tracks=(4, 7, 9), clock=0.0))
    sight.choose(2)
    assert sight.chosen is not None and (sight.chosen.label, sight.chosen.track) == ("person", 9)
    assert sight.chosen.crop.shape == (50, 20, 3) and sight.chosen.crop[0, 0, 1] == 60
    nearer = ("person", 0.95, (70.0, 20.0, 90.0, 70.0))
    sight.take(result(nearer, PERSON, tracks=(9, 4), index=1, clock=0.5))
    assert sight.chosen.index == 0 and sight.chosen.scores == pytest.approx((0.4, 0.95))
    assert sight.chosen.seconds == pytest.approx(0.5)
    sight.take(result(PERSON, tracks=(4,), index=2, clock=1.0))
    assert sight.chosen.index == -1 and sight.chosen.score == pytest.approx(0.95), "it stays as it was last"
    sight.take(result(PERSON, nearer, tracks=(4, 9), index=3, clock=1.5))
    assert sight.chosen.index == 1


def test_without_numbers_the_box_is_found_by_its_place(sight: Sight) -> None:
    sight.take(result(PERSON, CAR))
    sight.choose(1)
    moved = ("car", 0.5, (45.0, 42.0, 105.0, 78.0))
    on_top = ("person", 0.99, CAR[2])
    sight.take(result(on_top, moved, index=1))
    assert sight.chosen is not None and sight.chosen.index == 1
    sight.take(result(PERSON, index=2))
    assert sight.chosen.index == -1
    sight.choose(-1)
    assert sight.chosen is None


def test_after_a_jump_an_old_number_says_nothing(sight: Sight) -> None:
    sight.take(result(PERSON, CAR, tracks=(1, 2), clock=5.0))
    sight.choose(1)
    sight.take(result(PERSON, DOG, OTHER, tracks=(1, -1, 2), clock=0.0))
    assert sight.chosen is not None and sight.chosen.index == -1, "number 2 is somebody else by now"
    assert [row.so_far for row in sight.in_sight()] == [2]


def test_keys_go_from_box_to_box_from_left_to_right(sight: Sight) -> None:
    sight.choose_next(1)
    assert sight.chosen is None
    sight.take(result(PERSON, CAR, OTHER))
    seen = []
    for _ in range(4):
        sight.choose_next(1)
        assert sight.chosen is not None
        seen.append(sight.chosen.index)
    assert sorted(seen[:3]) == [0, 1, 2] and seen[3] == seen[0] == 0
    sight.choose_next(-1)
    assert sight.chosen.index == seen[2]
    sight.choose_class("person")
    assert sight.chosen.index == 0


def test_another_network_or_source_forgets_all(sight: Sight, qtbot) -> None:
    sight.take(result(PERSON, tracks=(1,), clock=0.0))
    sight.choose(0)
    with qtbot.waitSignal(sight.chosen_changed):
        sight.forget()
    assert (sight.chosen, sight.shown, sight.past(), sight.in_sight()) == (None, None, [], [])


# --- what is and was in sight


def test_classes_in_sight_are_counted_and_those_gone_stay_listed(sight: Sight) -> None:
    sight.take(result(PERSON, CAR, OTHER, tracks=(1, 2, 3), clock=0.0))
    assert [(row.label, row.count, row.so_far) for row in sight.in_sight()] == [("person", 2, 2), ("car", 1, 1)]
    sight.take(result(PERSON, tracks=(8,), index=1, clock=0.2))
    rows = sight.in_sight()
    assert [(row.label, row.count, row.so_far) for row in rows] == [("person", 1, 3), ("car", 0, 1)]
    assert rows[0].best == pytest.approx(0.9)


def test_the_last_minute_is_kept_second_by_second(sight: Sight) -> None:
    for number in range(10):  # five frames a second
        found = (PERSON, CAR) if number < 5 else (PERSON, OTHER)
        sight.take(result(*found, index=number, clock=number / 5))
    assert sight.past() == [(1.0, {"person": 1.0, "car": 1.0}), (0.0, {"person": 2.0})]
    again = sight.result
    assert again is not None
    sight.take(again)
    assert sight.past()[-1] == (0.0, {"person": 2.0}), "the same frame counts once"
    sight.take(result(PERSON, index=500, clock=100.0))
    assert sight.past()[-1] == (0.0, {"person": 1.0})
    assert len(sight.past()) == 3, "a jump is no minute in which nothing was seen"
    for second in range(200):
        sight.take(result(CAR, index=501 + second, clock=101.0 + second))
    assert len(sight.past()) == 60 and sight.past()[0] == (59.0, {"car": 1.0})


# --- drawing


def rects(places: list[tuple[int, str, tuple[float, float, float, float]]]) -> list[QRectF]:
    return [QRectF(x0, y0, x1 - x0, y1 - y0) for _, _, (x0, y0, x1, y1) in places]


@pytest.mark.parametrize("count", [1, 30, 300])
@pytest.mark.parametrize("zoom", [1.0, 5.0])
def test_labels_stay_in_the_picture_and_never_lie_upon_each_other(sight: Sight, count: int, zoom: float) -> None:
    random = np.random.default_rng(count)
    corners = random.uniform(-10, 110, (count, 2))
    found = [
        ("person", float(score), (float(x), float(y), float(x + w), float(y + h)))
        for (x, y), (w, h), score in zip(
            corners, random.uniform(2, 70, (count, 2)), np.linspace(0.99, 0.31, count), strict=True
        )
    ]
    made = result(*found, tracks=tuple(range(count)))
    sight.take(made)
    overlay = overlay_of(made, sight)
    seen = QRectF(3, 5, 900, 600)
    place = QRectF(3, 5, 900 * zoom, 600 * zoom)
    scale = place.width() / 120
    boxes = [tuple(np.array(mark.box) * scale + (3, 5, 3, 5)) for mark in overlay.marks]
    inside = [i for i, box in enumerate(boxes) if seen.intersects(QRectF(QPointF(*box[:2]), QPointF(*box[2:])))]
    places = label_places(overlay.marks, boxes, inside, (3, 5, 903, 605), QFontMetricsF(QFont()))
    assert places or not inside
    assert all(seen.contains(label) for label in rects(places))
    assert not any(one.intersects(other) for one, other in itertools.combinations(rects(places), 2))
    if inside:
        assert places[0][0] == inside[0], "the surest box has its name"
    assert len(places) == len(inside) or count > 1


def test_the_overlay_is_painted_where_the_boxes_are_at_every_zoom(sight: Sight) -> None:
    made = result(PERSON)
    sight.take(made)
    overlay = overlay_of(made, sight)
    assert (overlay.marks[0].text, overlay.marks[0].colour) == ("person · 90 %", sight.colours["person"])
    for scale in (4.0, 12.0):
        image = QImage(480, 320, QImage.Format.Format_RGB32)
        image.fill(Qt.GlobalColor.black)
        painter = QPainter(image)
        seen = QRectF(0, 0, 480, 320)
        paint_overlay(painter, overlay, place=QRectF(0, 0, 120 * scale, 80 * scale), seen=seen, font=QFont())
        painter.end()
        edge = image.pixelColor(round(10 * scale), round(26 * scale))
        assert edge.name() == sight.colours["person"], "thin, and where the box is"
        assert image.pixelColor(round(10 * scale) + 6, round(26 * scale)).name() == "#000000"


def test_pixels_are_painted_without_a_window_and_the_frame_stays_as_it_is(sight: Sight) -> None:
    made = result(PERSON, size=(400, 602))
    sight.take(made)
    before = made.frame.image.copy()
    painted = painted_pixels(made.frame.image, overlay_of(made, sight), QFont())
    assert painted.shape == before.shape and painted.dtype == np.uint8
    assert np.array_equal(made.frame.image, before)
    changed = (painted != before).any(axis=2)
    assert changed[30, 9:13].any() and not changed[200:, 200:].any()
    assert np.array_equal(painted_pixels(before, None, QFont()), before)


def test_every_second_pixel_of_a_large_frame() -> None:
    image = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    assert np.array_equal(every_pixel(image, 2), image[::2, ::2])
    assert np.array_equal(every_pixel(np.ascontiguousarray(image)[:, 1:], 3), image[::3, 1::3])


def test_boxes_lie_in_the_networks_square_as_the_picture_does() -> None:
    boxes = np.array([[0.0, 0.0, 200.0, 100.0], [100.0, 50.0, 150.0, 75.0]])
    assert in_input(boxes, (200, 100), 64).tolist() == [[0, 16, 64, 48], [32, 32, 48, 40]]
    square, placed = letterbox(np.full((333, 517, 3), 200, np.uint8), 320)
    tall = np.array([[13.0, 20.0, 400.0, 333.0]])
    assert in_input(tall, (517, 333), len(square)) == pytest.approx(placed.to_square(tall), abs=0.01)


# --- the picture under the mouse


@pytest.fixture
def picture(qtbot, sight: Sight) -> LivePicture:
    picture = LivePicture(sight)
    qtbot.addWidget(picture)
    picture.resize(600, 400)
    picture.show()
    return picture


def show(picture: LivePicture, sight: Sight, made: Result) -> None:
    sight.take(made)
    picture.show_frame(made.frame, made)


def test_a_click_looks_at_the_smallest_box_there_and_beside_all_at_none(
    picture: LivePicture, sight: Sight, qtbot
) -> None:
    inner = ("person", 0.5, (60.0, 50.0, 70.0, 60.0))
    show(picture, sight, result(CAR, inner))
    qtbot.mouseClick(picture, Qt.MouseButton.LeftButton, pos=picture.place_of(1).center().toPoint())
    assert sight.chosen is not None and sight.chosen.label == "person"
    assert picture.overlay is not None and picture.overlay.chosen == 1
    qtbot.mouseClick(picture, Qt.MouseButton.LeftButton, pos=(picture.place_of(0).topLeft() + QPointF(4, 4)).toPoint())
    assert sight.chosen.label == "car"
    qtbot.mouseClick(picture, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))
    assert sight.chosen is None and picture.overlay.chosen == -1


def test_dragging_moves_and_chooses_nothing(picture: LivePicture, sight: Sight, qtbot) -> None:
    show(picture, sight, result(CAR))
    picture.zoom(3.0)
    before = picture.place_of(0)
    middle = picture.rect().center()
    qtbot.mousePress(picture, Qt.MouseButton.LeftButton, pos=middle)
    qtbot.mouseMove(picture, middle + QPointF(60, 20).toPoint())
    qtbot.mouseMove(picture, middle + QPointF(80, 30).toPoint())
    qtbot.mouseRelease(picture, Qt.MouseButton.LeftButton, pos=middle + QPointF(80, 30).toPoint())
    assert picture.place_of(0).x() - before.x() == pytest.approx(80, abs=1)
    assert sight.chosen is None
    picture.pan(0.1, 0)
    assert picture.place_of(0).x() - before.x() == pytest.approx(20, abs=1)


def test_a_zoomed_picture_leaves_no_gap_beside_it(picture: LivePicture, sight: Sight) -> None:
    show(picture, sight, result(CAR, size=(80, 60)))  # upright, in a window that is wide
    picture.zoom(1.5, QPointF(0, 0))
    place = picture.area
    assert place.center().x() == pytest.approx(300, abs=0.5), "still narrower than the window: in its middle"
    assert place.top() <= 0 and place.bottom() >= 400
    picture.zoom(6.0, QPointF(0, 0))
    picture.pan(-5.0, -5.0)
    place = picture.area
    assert (place.left(), place.top()) == pytest.approx((0, 0), abs=0.5)
    picture.pan(50.0, 50.0)
    assert (picture.area.right(), picture.area.bottom()) == pytest.approx((600, 400), abs=0.5)


def test_a_picture_is_painted_once_for_a_result_and_zoom_shows_all_pixels(
    picture: LivePicture, sight: Sight, qtbot, monkeypatch
) -> None:
    monkeypatch.setattr("gui.live_picture.LARGE", 1000)
    big = result(PERSON, size=(1200, 1800))
    show(picture, sight, big)
    assert picture._image.width() == 900, "as many as can be seen"
    assert picture.snapshot().width() == 1800
    picture.zoom(8.0)
    assert picture._image.width() == 1800
    picture.fit()
    painted: list[int] = []

    class Counter(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint:
                painted.append(1)
            return False

    counter = Counter()
    QApplication.processEvents()
    picture.installEventFilter(counter)
    for index in range(3):
        show(picture, sight, result(PERSON, CAR, index=index))
    QApplication.processEvents()
    assert painted == [1], "what nobody saw is not painted"


# --- the answer


@pytest.fixture
def panel(qtbot, sight: Sight) -> AnswerPanel:
    panel = AnswerPanel(sight, Companions(Bridge(), Settings()))
    qtbot.addWidget(panel)
    panel.resize(340, 680)
    panel.show()
    panel.set_place("picture")
    panel.set_model(ModelState("finder", "ready", card()))
    return panel


def answer(panel: AnswerPanel, sight: Sight, made: Result) -> None:
    sight.take(made)
    panel.set_result(made)


def test_the_answer_tells_what_is_in_sight(panel: AnswerPanel, sight: Sight, qtbot) -> None:
    assert panel.boxes.isVisible() and not panel.classes.isVisible()
    made = result(PERSON, DOG, CAR, OTHER, tracks=(1, 2, 3, 4), clock=0.0)
    with qtbot.waitSignal(panel.painted) as painted:
        answer(panel, sight, made)
    assert painted.args == [made]
    assert panel.reading.text == "2 × person, car"
    assert panel.reading.explanation == "3 objects · surest: person with 90 %"
    assert [row.label for row in panel.boxes.rows.rows] == ["person", "car"]
    assert panel.boxes.past.bars == [(0.0, {"person": 2.0, "car": 1.0})]
    assert panel.boxes.box.image() is made.network_input and panel.boxes.box.chosen is None
    sight.show_class("dog", True)
    assert "dog" in panel.reading.text
    panel.grab()


def test_a_click_on_a_class_looks_at_its_surest_box(panel: AnswerPanel, sight: Sight, qtbot) -> None:
    answer(panel, sight, result(CAR, OTHER, PERSON))
    rows = panel.boxes.rows
    qtbot.mouseClick(rows, Qt.MouseButton.LeftButton, pos=QPointF(40, rows.PITCH / 2).toPoint())
    chosen = panel.boxes.box.chosen
    assert chosen is not None and (chosen.label, chosen.score) == ("person", pytest.approx(0.9))
    assert "person · 90 %" in panel.boxes.box.accessibleDescription()
    panel.grab()
    answer(panel, sight, result(CAR, index=1))
    assert "out of sight" in panel.boxes.box.accessibleDescription()
    panel.grab()


def test_why_there_are_no_boxes_is_said(panel: AnswerPanel, sight: Sight) -> None:
    answer(panel, sight, result(UNSURE))
    assert panel.reading.text == "Nothing in sight" and "30 %" in panel.reading.explanation
    answer(panel, sight, result(DOG, index=1))
    assert panel.reading.explanation == "1 in sight, of a class that is not shown."
    sight.show_classes(frozenset())
    assert panel.reading.text == "No class is shown"
    panel.set_place("nothing")
    assert panel.reading.text == "Nothing to look at yet"


def test_a_network_that_takes_its_time_is_announced(panel: AnswerPanel, sight: Sight, qtbot) -> None:
    answer(panel, sight, result(PERSON))
    panel.set_model(ModelState("slow", "loading"))
    assert panel.reading.text == "person", "a quick change is not worth a word"
    qtbot.waitUntil(lambda: panel.reading.text == "Getting the network ready…")
    assert "plays" in panel.reading.explanation
    panel.set_model(ModelState("finder", "ready", card()))
    assert panel.reading.text == ""


def test_a_classifier_brings_its_own_answer_back(panel: AnswerPanel, sight: Sight) -> None:
    digits = ModelCard("d", "D", "classification", "small", ("0", "1"), Preprocess("drawing", 28, 1, (0.5,), (0.5,)))
    sight.set_card(digits)
    panel.set_model(ModelState("d", "ready", digits))
    assert panel.classes.isVisible() and not panel.boxes.isVisible() and sight.card is None
    panel.set_result(result(PERSON))
    assert panel.bars.rows == 2, "a late result of the detector changes nothing"


# --- the controls


@pytest.fixture
def controls(qtbot, sight: Sight) -> SightControls:
    controls = SightControls(sight)
    qtbot.addWidget(controls)
    controls.show()
    return controls


def names(controls: SightControls) -> list[str]:
    rows = controls.picker.rows
    return [str(rows.index(row, 0).data()) for row in range(rows.rowCount())]


def test_the_score_is_a_slider_and_two_keys(controls: SightControls, sight: Sight) -> None:
    assert controls.score.value() == 30 and controls._percent.text() == "30 %"
    controls.score.setValue(55)
    assert sight.min_score == pytest.approx(0.55) and controls._percent.text() == "55 %"
    controls.change_score(-5)
    assert sight.min_score == pytest.approx(0.5)
    sight.set_min_score(0.8)
    assert controls.score.value() == 80


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)  # a popup, off-screen
def test_classes_are_ticked_searched_and_counted(controls: SightControls, sight: Sight, qtbot) -> None:
    many = (*CLASSES, *(f"thing {number}" for number in range(20)))
    sight.set_card(card(many))
    controls.set_network()
    sight.take(result(PERSON, DOG, OTHER))
    controls.classes.click()
    picker = controls.picker
    assert picker.isVisible() and picker.search.isVisible()
    assert names(controls)[:2] == list(GOOD), "those it does well come first"
    assert controls.classes.text() == "2 of 25 classes"
    picker.model.look()
    counts = {
        name: picker.rows.index(row, 0).data(Qt.ItemDataRole.UserRole) for row, name in enumerate(names(controls))
    }
    assert (counts["person"], counts["dog"], counts["car"]) == (2, 1, 0)
    qtbot.keyClicks(picker.search, "DOG")
    assert names(controls) == ["dog"]
    qtbot.keyClick(picker.search, Qt.Key.Key_Down)
    qtbot.keyClick(picker.list, Qt.Key.Key_Space)
    assert sight.visible == {"person", "car", "dog"} and shown(sight) == ["person", "dog", "person"]
    qtbot.mouseClick(
        picker.list.viewport(),
        Qt.MouseButton.LeftButton,
        pos=picker.list.visualRect(picker.rows.index(0, 0)).center(),
    )
    assert sight.visible == {"person", "car"}
    picker.buttons["all"].click()
    assert sight.visible == {"person", "car", "dog"}, "all of those that were searched for"
    picker.search.clear()
    picker.buttons["none"].click()
    assert sight.visible == frozenset()
    picker.buttons["all"].click()
    assert sight.visible == frozenset(many) and controls.classes.text() == "All classes"
    picker.buttons["good"].click()
    assert sight.visible == frozenset(GOOD)
    picker.grab()
    sight.set_counted(frozenset({"dog"}))
    row = names(controls).index("dog")
    assert "counted" in picker.rows.index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert not picker.rows.setData(picker.rows.index(row, 0), Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert shown(sight) == ["person", "dog", "person"] and controls.classes.text() == "3 of 25 classes"
    qtbot.keyClicks(picker.search, "nothing is called so")
    assert picker.nothing.isVisible() and not picker.list.isVisible()
    picker.close()
    controls.classes.click()
    assert len(names(controls)) == 25 and picker.list.isVisible() and not picker.search.text()
    picker.close()


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)  # a popup, off-screen
def test_few_classes_need_no_search_and_a_classifier_no_controls(controls: SightControls, sight: Sight) -> None:
    controls.pick_classes()
    assert not controls.picker.search.isVisible() and controls.picker.buttons["good"].isVisible()
    sight.set_card(None)
    controls.set_network()
    assert not controls.isVisible() and not controls.picker.isVisible()


def test_damaged_settings_give_what_the_card_says(own_home: Path, qtbot) -> None:
    (own_home / "window.ini").write_text("[score]\nfinder=much\n[classes]\nfinder=unicorn\n")
    sight = Sight(Settings())
    sight.set_card(card())
    assert (sight.min_score, sight.visible) == (0.3, frozenset(GOOD))


def looked_at(probabilities: list[float], *, many: bool, heat: Heat | None = None) -> Result:
    """What a classifier says of a black picture whose middle it sees."""
    frame = Frame(np.zeros((480, 960, 3), np.uint8), "test", 0, 0.0)
    answer = Classification(("cat", "dog", "car"), np.array(probabilities, np.float32), many=many)
    region = Region((240.0, 0.0, 720.0, 480.0), answer, np.zeros((32, 32, 3), np.uint8))
    return Result(frame, "looks", classification=answer, regions=(region,), heat=heat)


def test_of_several_classes_in_a_picture_all_that_are_likely_are_named(sight: Sight) -> None:
    assert overlay_of(looked_at([0.9, 0.05, 0.05], many=False), sight).headline == "cat · 90 %"
    assert overlay_of(looked_at([0.7, 0.1, 0.9], many=True), sight).headline == "car 90 % · cat 70 %"
    unsure = overlay_of(looked_at([0.3, 0.1, 0.2], many=True), sight)
    assert unsure.headline == "" and [(mark.text, mark.dashed) for mark in unsure.marks] == [("", True)]


def test_heat_glows_where_the_class_was_found_and_only_there(sight: Sight) -> None:
    values = np.zeros((4, 4), np.float32)
    values[2, 3] = 1.0
    result = looked_at([0.9, 0.05, 0.05], many=False, heat=Heat("cat", values, (240.0, 0.0, 720.0, 480.0)))
    pixels = painted_pixels(result.frame.image, overlay_of(result, sight), QFont()).astype(int)
    hot, cold, outside = pixels[300, 660], pixels[440, 300], pixels[300, 60]
    assert hot[0] > 150 and hot[0] > hot[2]
    assert cold.max() < 12 and outside.max() == 0
