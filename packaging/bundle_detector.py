"""Make a finished run of the recipe the bundled detector: `python packaging/bundle_detector.py RUN_FOLDER`.

Writes the run's best weights in half precision to `resources/models/detector.safetensors`, measures every class on the
validation part of the recipe's data through the same `Detector` that the window and `predict` use, decides from that
which classes are offered, and writes the card beside the weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import zoo  # noqa: E402
from engine.training.config import TrainingConfig  # noqa: E402
from engine.types import ModelCard  # noqa: E402
from engine.vision.detect import Detector  # noqa: E402
from engine.vision.evaluate import evaluate  # noqa: E402

MODELS = ROOT / "resources" / "models"
RECIPE = ROOT / "resources" / "recipes" / "detector.toml"
OFFERED_FROM = 0.25  # average precision at an IoU of 0.5 from which a class is offered
ENOUGH = 20  # true boxes without which such a figure says little

VOC = (
    "airplane bicycle bird boat bottle bus car cat chair cow dining_table dog horse motorcycle person potted_plant "
    "sheep couch train tv"
)

NOTES = """\
Trained on 5,169 photographs: PASCAL VOC 2007 trainval (without what is kept for validation), some hundred of COCO 2017,
and small sets of office cameras, a service robot, fruit and cups. A class that a source does not label is not learnt
there as background. Measured on 1,152 other photographs of the same kinds (1,002 of VOC, 110 of COCO, 40 of fruit), so
its figures cannot be compared with published ones. Offered are the classes with an average precision of 0.25 or more on
at least 20 boxes; the others can be switched on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of the run; without it only show the card's figures")
    options = parser.parse_args()
    if options.run is not None:
        bundle(options.run, Path(os.environ.get("CONVSCOPE_DATA", ROOT.parent / "shared" / "data")) / "detection")
    for name, value in zoo.read_card(MODELS / "detector.json").metrics.items():
        print(f"{name:40} {value:.4f}")


def bundle(run: Path, data: Path) -> None:
    """Weights and card of `run` into the resources, with measured figures."""
    recipe, began = TrainingConfig.read(RECIPE).values(), TrainingConfig.read(run / "run.toml").values()
    for name in sorted(recipe.keys() - {"folder", "device"}):
        if recipe[name] != began[name]:
            said = f"the recipe says {recipe[name]!r}, the run was made with {began[name]!r}"
            print(f"{name}: {said}; whoever follows the recipe would get another network", file=sys.stderr)
    weights = MODELS / "detector.safetensors"
    state = load_file(run / "model.safetensors")
    save_file({name: value.to(torch.float16) for name, value in state.items()}, weights)
    card = dataclasses.replace(
        zoo.read_card(run / "model.json"),
        name="detector",
        title="Detector",
        weights=weights,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        parameters=sum(value.numel() for value in state.values()),
        recipe=RECIPE.read_text(encoding="utf-8"),
        licence="MIT",
        origin="bundled",
        notes=NOTES,
        metrics={},
    )
    zoo.write_card(measured(card, data), MODELS / "detector.json")


def measured(card: ModelCard, data: Path) -> ModelCard:
    """The card with its figures and the classes that are offered."""
    detector = Detector(card, interactive=False)
    precision = evaluate(detector, data / "val.json")
    voc = [precision.ap50[name.replace("_", " ")] or 0.0 for name in VOC.split()]
    metrics = {
        "mAP@0.5, the 20 classes of VOC": sum(voc) / len(voc),
        f"mAP@0.5, all {len(card.classes)} classes": precision.map50,
        f"mAP@[.5:.95], all {len(card.classes)} classes": precision.map,
    }
    ranked = sorted(((value or 0.0, name) for name, value in precision.ap50.items()), reverse=True)
    metrics |= {f"AP@0.5 {name} ({precision.boxes[name]} boxes)": value for value, name in ranked}
    offered = {name for value, name in ranked if value >= OFFERED_FROM and precision.boxes[name] >= ENOUGH}
    return dataclasses.replace(
        detector.card,
        offered=tuple(name for name in card.classes if name in offered),
        metrics={name: round(value, 4) for name, value in metrics.items()},
    )


if __name__ == "__main__":
    main()
