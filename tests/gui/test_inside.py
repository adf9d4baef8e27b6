"""Tiles of feature maps and the panel around them."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt

from gui.theme import theme
from gui.tiles import MapView, Tiles, best_columns
from gui.window import MainWindow
from tests.gui.conftest import SEVEN, stroke


@pytest.mark.parametrize("shape", [(1, 5, 7), (32, 26, 26), (33, 4, 4), (256, 56, 56), (10, 1, 1)])
@pytest.mark.parametrize("room", [(900.0, 160.0), (200.0, 600.0)])
def test_every_map_lies_in_its_place(shape: tuple[int, int, int], room: tuple[float, float]) -> None:
    maps = np.random.default_rng(0).random(shape, np.float32)
    tiles = Tiles(shape, room=room)
    picture = tiles.compose(maps, 0.0, 1.0)
    for number in range(shape[0]):
        place = tiles.place(number).toRect()
        cell = picture[place.top() : place.top() + tiles.tile[0], place.left() : place.left() + tiles.tile[1]]
        expected = (maps[number] * 254 + 1).astype(np.uint8)
        assert np.array_equal(cell, np.broadcast_to(expected, cell.shape))
        found = tiles.at(place.left() + tiles.tile[1] - 1, place.top() + tiles.tile[0] - 1)
        assert found == (number, shape[1] - 1, shape[2] - 1)
    assert tiles.at(-1, 0) is None and tiles.at(1e6, 0) is None
    inside = sum(tiles.tile[0] * tiles.tile[1] for _ in range(shape[0]))
    assert int((picture > 0).sum()) == inside, "gaps are clear"


def test_values_beyond_the_scale_take_its_ends() -> None:
    maps = np.array([[[-5.0, 0.0, 0.5, 1.0, 9.0, np.float32(0.25)]]], np.float32)
    assert Tiles((1, 1, 6), room=(100.0, 100.0)).compose(maps, 0.0, 1.0).tolist() == [[1, 1, 128, 255, 255, 64]]


def test_maps_without_contrast_do_no_harm() -> None:
    assert Tiles((4, 3, 3), room=(100.0, 100.0)).compose(np.zeros((4, 3, 3), np.float32), 0.0, 0.0).max() == 1


def test_maps_are_on_the_screen_in_their_colours(qtbot) -> None:
    view = MapView()
    qtbot.addWidget(view)
    view.resize(300, 300)
    view.show()
    maps = np.zeros((4, 6, 6), np.float32)
    maps[0, :3], maps[3] = 1.0, 0.5
    for signed in (False, True):
        view.show_maps(maps, -1.0 if signed else 0.0, 1.0, signed=signed)
        picture = view.grab().toImage()
        for number, row, share in ((0, 1, 1.0), (0, 4, 0.0), (2, 2, 0.0), (3, 2, 0.5)):
            place = view.tiles.place(number)
            point = view.box.mapViewToScene(QPointF(place.x() + 3, place.y() + row + 0.5)).toPoint()
            expected = view.lut(signed)[1 + int(254 * (share / 2 + 0.5 if signed else share)), :3]
            assert picture.pixelColor(point).getRgb()[:3] == tuple(expected.tolist())
        gap = view.box.mapViewToScene(QPointF(6.5, 3.0)).toPoint()
        assert picture.pixelColor(gap) == theme.colour("base")


def test_a_wide_room_takes_more_columns() -> None:
    assert best_columns(32, (10, 10), (900, 100)) > best_columns(32, (10, 10), (100, 900)) == 2


def test_the_panel_watches_only_while_it_is_seen(window: MainWindow, qtbot) -> None:
    qtbot.waitUntil(lambda: window.inside.wanted_layer is not None)
    window._docks["inside"].close()
    assert window.inside.wanted_layer is None
    assert window.bridge._wanted_layer[0] is None
    window._dock_actions["inside"].trigger()
    qtbot.waitUntil(lambda: window.bridge._wanted_layer[0] == window.inside.layer_name)


def test_empty_the_panel_says_what_to_do(window: MainWindow, qtbot) -> None:
    assert "Draw a digit" in window.inside._empty.text()
    assert window.inside.shown_layer == ""
    window.grab()


def test_maps_of_every_layer_come_while_one_draws(window: MainWindow, qtbot) -> None:
    stroke(window.canvas, SEVEN)
    card = window.bridge.state.card
    for number, layer in enumerate(card.layers):
        window.inside.show_layer(number)
        qtbot.waitUntil(lambda layer=layer: window.inside.shown_layer == layer.name)
        assert window.inside._maps.shape == layer.shape
        window.grab()


def test_keys_walk_through_maps_and_layers(window: MainWindow, qtbot) -> None:
    inside = window.inside
    stroke(window.canvas, SEVEN)
    qtbot.waitUntil(lambda: inside.shown_layer != "")
    inside.setFocus()
    first = inside.layer_name
    qtbot.keyClick(inside, Qt.Key.Key_Right)
    assert inside.selected == 1
    qtbot.keyClick(inside, Qt.Key.Key_Return)
    assert inside.enlarged
    qtbot.waitUntil(lambda: inside.kernel.isVisible())
    layer = window.bridge.state.card.layers[0]
    assert inside._kernels[first].shape[0] == layer.shape[0]
    qtbot.keyClick(inside, Qt.Key.Key_Left)
    assert inside.selected == 0 and inside.enlarged
    qtbot.keyClick(inside, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    assert inside.layer_name != first
    qtbot.waitUntil(lambda: inside.shown_layer == inside.layer_name)
    qtbot.keyClick(inside, Qt.Key.Key_Escape)
    assert not inside.enlarged


def test_a_click_enlarges_a_map_and_the_mouse_reads_values(window: MainWindow, qtbot) -> None:
    inside = window.inside
    stroke(window.canvas, SEVEN)
    qtbot.waitUntil(lambda: inside.shown_layer != "")
    view = inside.maps
    place = view.box.mapViewToScene(view.tiles.place(5).center())
    point = view.view.mapFromScene(place)
    qtbot.mouseMove(view.view.viewport(), point)
    qtbot.waitUntil(lambda: inside._readout.text().startswith("map 6, row"))
    qtbot.mouseClick(view.view.viewport(), Qt.MouseButton.LeftButton, pos=point)
    qtbot.waitUntil(lambda: inside.enlarged)
    assert inside.selected == 5


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_the_scale_can_be_chosen(window: MainWindow, qtbot, scale: int) -> None:
    inside = window.inside
    stroke(window.canvas, SEVEN)
    qtbot.waitUntil(lambda: inside.shown_layer != "")
    inside.scale.setCurrentIndex(scale)
    picture = inside.maps.tiles.picture
    brightest = [
        int(np.abs(picture[int(p.top()) : int(p.bottom()), int(p.left()) : int(p.right())].astype(int) - 128).max())
        for p in (inside.maps.tiles.place(i) for i in range(len(inside._maps)))
    ]
    assert max(brightest) >= (126 if scale < 2 else 60), "the scale of all layers remembers stronger maps seen before"
    if scale == 0:
        assert min(brightest) >= 126, "every map uses all of its colours"
    else:
        assert min(brightest) < 120, "a weak map is pale beside a strong one"
