"""What the scripts that bundle a network share: the run's weights into the resources, and the card that is to be
measured."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import zoo  # noqa: E402
from engine.training.config import TrainingConfig  # noqa: E402
from engine.types import ModelCard  # noqa: E402

MODELS = ROOT / "resources" / "models"
RECIPES = ROOT / "resources" / "recipes"


def main(description: str | None, name: str, bundle: Callable[[Path, Path], ModelCard]) -> None:
    """The command line of such a script: bundle a run, if one is named, and show what the card says.

    Args:
        bundle: takes the run's folder and that of the data, and gives the measured card.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of the run; without it only show the card's figures")
    run = parser.parse_args().run
    if run is not None:
        data = Path(os.environ.get("CONVSCOPE_DATA", ROOT.parent / "shared" / "data"))
        zoo.write_card(bundle(run, data), MODELS / f"{name}.json")
    card = zoo.read_card(MODELS / f"{name}.json")
    widest = max(map(len, card.metrics), default=0)
    for what, value in card.metrics.items():
        print(f"{what:{widest}} {value:.4f}")


def half(run: Path, name: str, *, title: str, recipes: Sequence[str], notes: str) -> ModelCard:
    """Write the run's best weights in half precision to `resources/models`; the card has no figures yet.

    Args:
        recipes: names of the stages, the one that made the run last.
    """
    last = RECIPES / f"{recipes[-1]}.toml"
    wanted, began = TrainingConfig.read(last).values(), TrainingConfig.read(run / "run.toml").values()
    for field in sorted(wanted.keys() - {"folder", "device", "start_from"}):
        if wanted[field] != began[field]:
            said = f"the recipe says {wanted[field]!r}, the run was made with {began[field]!r}"
            print(f"{field}: {said}; whoever follows the recipe would get another network", file=sys.stderr)
    weights = MODELS / f"{name}.safetensors"
    state = load_file(run / "model.safetensors")
    save_file({key: value.to(torch.float16) for key, value in state.items()}, weights)
    weights.chmod(0o644)
    return dataclasses.replace(
        zoo.read_card(run / "model.json"),
        name=name,
        title=title,
        weights=weights,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        recipe="\n".join((RECIPES / f"{recipe}.toml").read_text(encoding="utf-8") for recipe in recipes),
        licence="MIT",
        origin="bundled",
        notes=notes,
        metrics={},
    )
