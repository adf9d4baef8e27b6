"""What the scripts that bundle a network share: a run's weights into the resources, and the card that is to be
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


def main(
    description: str | None, name: str, bundle: Callable[[Sequence[Path], Path], ModelCard], *, several: bool = False
) -> None:
    """The command line of such a script: bundle what is named, and show what the card says.

    Args:
        bundle: takes the folders of the runs and that of the data, and gives the measured card.
        several: more than one run may be named.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="*", help="folder of the run; without it only show the card's figures")
    runs = parser.parse_args().run
    if len(runs) > 1 and not several:
        parser.error("name one run")
    if runs:
        data = Path(os.environ.get("CONVSCOPE_DATA", ROOT.parent / "shared" / "data"))
        zoo.write_card(bundle(runs, data), MODELS / f"{name}.json")
    card = zoo.read_card(MODELS / f"{name}.json")
    widest = max(map(len, card.metrics), default=0)
    for what, value in card.metrics.items():
        print(f"{what:{widest}} {value:.4f}")


def half(runs: Sequence[Path], name: str, *, title: str, recipes: Sequence[str], notes: str) -> ModelCard:
    """Write a run's best weights in half precision to `resources/models`; the card has no figures yet.

    Args:
        runs: of several the mean of their weights is taken. All but the first may know only the first classes; for the
            others they count as if they were the first run.
        recipes: names of the stages, the one that made the first run last.
    """
    last = RECIPES / f"{recipes[-1]}.toml"
    wanted, began = TrainingConfig.read(last).values(), TrainingConfig.read(runs[0] / "run.toml").values()
    for field in sorted(wanted.keys() - {"folder", "device", "start_from"}):
        if wanted[field] != began[field]:
            said = f"the recipe says {wanted[field]!r}, the run was made with {began[field]!r}"
            print(f"{field}: {said}; whoever follows the recipe would get another network", file=sys.stderr)
    weights = MODELS / f"{name}.safetensors"
    first, *others = (load_file(run / "model.safetensors") for run in runs)
    mean = {}
    for key, value in first.items():
        same = [torch.cat([other[key], value[len(other[key]) :]]) for other in others]
        mean[key] = torch.stack([value, *same]).float().mean(0)
    save_file({key: value.half().contiguous() for key, value in mean.items()}, weights)
    weights.chmod(0o644)
    return dataclasses.replace(
        zoo.read_card(runs[0] / "model.json"),
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
