from __future__ import annotations

from pathlib import Path

import pytest

from engine.store import RESOURCES
from engine.training.config import TrainingConfig


@pytest.mark.parametrize("recipe", sorted((RESOURCES / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(recipe: Path) -> None:
    TrainingConfig.read(recipe)
