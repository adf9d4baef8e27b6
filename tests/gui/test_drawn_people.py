"""The people of the demo: drawn by code, the same each time, and no two alike."""

from __future__ import annotations

from gui.drawn_people import CAST, SIDE, group, portrait


def test_a_portrait_is_the_same_each_time_and_another_take_is_another_picture(qtbot) -> None:
    for looks in CAST.values():
        picture = portrait(looks, take=3)
        assert (picture.width(), picture.height()) == (SIDE, SIDE)
        assert picture == portrait(looks, take=3)
        assert picture != portrait(looks, take=4)


def test_everybody_looks_different_and_stands_at_their_place(qtbot) -> None:
    people = list(CAST.values())
    picture = group(people, take=5)
    assert (picture.width(), picture.height()) == (SIDE * len(people), SIDE)
    places = [picture.copy(place * SIDE, 0, SIDE, SIDE) for place in range(len(people))]
    assert places == [portrait(looks, take=5 + place) for place, looks in enumerate(people)]
    assert all(one != other for number, one in enumerate(places) for other in places[number + 1 :])
