from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.training.config import TrainingConfig


def test_every_field_says_what_it_is() -> None:
    for name, field in TrainingConfig.describe().items():
        assert field.label and field.help and field.group, name
        if field.choices:
            assert getattr(TrainingConfig(), name) in dict(field.choices)


def test_toml_comes_back_as_the_same_config(tmp_path: Path) -> None:
    config = TrainingConfig(
        data="folder", folder=str(tmp_path / 'a "quoted" \\ folder'), learning_rate=3e-4, epochs=7, dropout=0
    )
    path = tmp_path / "run.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert TrainingConfig.read(path) == config


def test_a_relative_folder_lies_beside_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('data = "folder"\nfolder = "pictures"\n')
    assert TrainingConfig.read(path).folder == str(tmp_path / "pictures")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "Epochs must lie between 1 and 10000, not 0."),
        ({"epochs": "three"}, "Epochs must be a whole number, not 'three'."),
        ({"epochs": True}, "Epochs must be a whole number, not True."),
        ({"learning_rate": float("nan")}, "Learning rate must lie between"),
        ({"optimiser": "adamax"}, "Optimiser cannot be 'adamax'."),
        ({"momentum": 0.9}, "There is no training setting called “momentum”."),
    ],
)
def test_a_wrong_setting_is_named_in_a_sentence(values: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError) as caught:
        TrainingConfig.from_mapping(values)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_damaged_recipe_says_where(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("epochs = = 3")
    with pytest.raises(EngineError, match=r"not valid TOML.*line 1"):
        TrainingConfig.read(path)
    with pytest.raises(EngineError, match="cannot be read"):
        TrainingConfig.read(tmp_path / "none.toml")


def test_the_choices_are_what_the_registries_hold() -> None:
    """The form lists names without importing torch, so they are written twice; this holds the two together."""
    from engine.data import DATASETS
    from engine.data.augment import AUGMENTATIONS
    from engine.networks import architectures

    choices = {name: {value for value, _ in field.choices} for name, field in TrainingConfig.describe().items()}
    assert choices["data"] == set(DATASETS)
    assert choices["augmentation"] == set(AUGMENTATIONS)
    assert choices["model"] == {name for name, one in architectures().items() if one.teachable}


def test_a_setting_matters_only_where_it_has_a_say() -> None:
    digits = TrainingConfig(data="mnist", classes="person")
    boxes = TrainingConfig(data="coco", model="detector", classes="person")
    without_say = {name for name in TrainingConfig.describe() if not boxes.matters(name)}
    assert without_say == {"augmentation", "dropout", "label_smoothing"}
    assert boxes.matters("classes") and not digits.matters("classes")
    assert digits.matters("dropout") and not digits.matters("width")


def test_a_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 3  # type: ignore[misc]
