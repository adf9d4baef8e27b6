"""Make a finished run of the recipe the bundled picture classifier: `python packaging/bundle_objects.py RUN_FOLDER`.

Writes the run's best weights in half precision to `resources/models/objects.safetensors`, measures every class on the
validation part of the recipe's data through the same `Classifier` that the window and `predict` use, and writes the
card beside the weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import shipped

from engine.types import ModelCard
from engine.vision.classify import Classifier
from engine.vision.evaluate import evaluate_tags

RECIPES = ("crops", "detector", "detector-second", "objects")

NOTES = """\
Says which of 23 things are in the middle square of a picture; each class has a probability of its own. Trained on the
photographs of the bundled detector, whose backbone it began as: PASCAL VOC 2007 trainval (without what is kept for
validation), some hundred of COCO 2017, and small sets of office cameras, a service robot and fruit. Measured on 1,152
other photographs of the same kinds, so its figures cannot be compared with published ones."""


def bundle(runs: Sequence[Path], data: Path) -> ModelCard:
    """Weights of the run into the resources, and their card."""
    card = shipped.half(runs, "objects", title="Objects", recipes=RECIPES, notes=NOTES)
    return measured(card, data / "detection")


def measured(card: ModelCard, data: Path) -> ModelCard:
    """The card with its figures."""
    classifier = Classifier(card, interactive=False)
    precision = evaluate_tags(classifier, data / "val.json")
    ranked = sorted(((value or 0.0, name) for name, value in precision.ap.items()), reverse=True)
    metrics = {f"mAP, all {len(card.classes)} classes": precision.map}
    metrics |= {f"AP {name} (in {precision.pictures[name]} pictures)": value for value, name in ranked}
    return dataclasses.replace(classifier.card, metrics={name: round(value, 4) for name, value in metrics.items()})


if __name__ == "__main__":
    shipped.main(__doc__, "objects", bundle)
