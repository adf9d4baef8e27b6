"""The measured speed of a network: a median, kept with weights and device."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

from engine import speed, store, zoo
from engine.errors import Cancelled
from tests.engine.conftest import write_network


def test_speed_is_the_median_and_is_kept_with_the_weights(home: Path) -> None:
    card = zoo.model_card("tiny")
    ticks = itertools.count()
    told: list[tuple[int, int]] = []
    found = speed.measure_speed(
        card, progress=lambda done, total: told.append((done, total)), clock=lambda: next(ticks) * 0.005
    )
    assert found.milliseconds == pytest.approx(5.0) and found.slowest == pytest.approx(5.0)
    assert found.pictures == speed.PICTURES == told[-1][0] == told[-1][1]
    assert "CPU" in found.device
    other = zoo.model_card("tiny-colour")
    assert speed.known_speeds([card, other]) == {"tiny": found}
    renamed = dataclasses.replace(card, name="the same weights")
    assert speed.known_speeds([renamed]) == {"the same weights": found}
    assert speed.measure_speed(other).pictures == speed.PICTURES
    assert set(speed.known_speeds([card, other])) == {"tiny", "tiny-colour"}


def test_a_slow_network_is_measured_with_fewer_pictures(home: Path) -> None:
    ticks = itertools.count()
    found = speed.measure_speed(zoo.model_card("tiny"), clock=lambda: next(ticks) * 1.0)
    assert found.pictures == 5


def test_measuring_ends_when_asked(home: Path) -> None:
    done: list[int] = []
    with pytest.raises(Cancelled):
        speed.measure_speed(
            zoo.model_card("tiny"), progress=lambda n, _: done.append(n), cancelled=lambda: len(done) > 3
        )
    assert len(done) == 4


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"random": {"CPU": {"milliseconds": "x"}}}'])
def test_a_damaged_file_of_figures_is_as_good_as_none(text: str, own_home: Path) -> None:
    card = write_network("mine")
    (store.data_folder() / "speeds.json").write_text(text.replace("random", zoo.weights_digest(card)))
    assert speed.known_speeds([card]) == {}
    speed.measure_speed(card)
    assert set(speed.known_speeds([card])) == {"mine"}
