"""Make a finished run of the recipe the bundled detector: `python packaging/bundle_detector.py RUN_FOLDER`.

Writes the run's best weights in half precision to `resources/models/detector.safetensors`, measures every class on the
validation part of the recipe's data through the same `Detector` that the window and `predict` use, decides from that
which classes are offered, and writes the card beside the weights. Makes the network's second form in 8 bits, too, and
measures both; the card's figures are those of the second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import shipped
from quantise import check, quantise

from engine.coco import read_coco
from engine.measure import Precision
from engine.types import ModelCard
from engine.vision.detect import Detector
from engine.vision.evaluate import evaluate

SIZE = 256  # side of the square in use: a little larger than while learning, for small things
SHOWN_FROM = 0.3  # probability; lower ones are often boxes around things that it does not know
OFFERED_FROM = 0.25  # average precision at an IoU of 0.5 from which a class is offered
LOOKED_AT = 300  # pictures from which the ranges of the bytes are chosen
ENOUGH = 20  # true boxes without which such a figure says little

VOC = (
    "airplane bicycle bird boat bottle bus car cat chair cow dining_table dog horse motorcycle person potted_plant "
    "sheep couch train tv"
)

NOTES = """\
Trained on 4,759 photographs: PASCAL VOC 2007 trainval (without what is kept for validation), some hundred of COCO 2017,
and small sets of office cameras, a service robot and fruit. A class that a source does not label is not learnt there as
background. Measured on 1,152 other photographs of the same kinds (1,002 of VOC, 110 of COCO, 40 of fruit), so its
figures cannot be compared with published ones. Offered are the classes with an average precision of 0.25 or more on at
least 20 boxes; the others can be switched on. In the second of the three stages the first 31 of 62 epochs went at the
pace of 80, the next 12 at that of 70."""


def bundle(runs: Sequence[Path], data: Path) -> ModelCard:
    """Weights of the run into the resources, and their card."""
    card = shipped.half(
        runs, "detector", title="Detector", recipes=("crops", "detector", "detector-second"), notes=NOTES
    )
    card = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, size=SIZE))
    learnt = read_coco(data / "detection" / "train.json")
    some = dataclasses.replace(learnt, entries=learnt.entries[:: max(1, len(learnt.entries) // LOOKED_AT)])
    card = quantise(card, (picture for _, picture in some.pictures()))
    return measured(card, data / "detection")


def measured(card: ModelCard, data: Path) -> ModelCard:
    """The card with its figures and the classes that are offered."""
    full = evaluate(Detector(dataclasses.replace(card, quantised=None), interactive=False), data / "val.json")
    detector = Detector(card, interactive=False)
    check(detector.network)
    precision = evaluate(detector, data / "val.json")
    metrics = {
        "mAP@0.5, the 20 classes of VOC": of_voc(precision),
        "in full precision: mAP@0.5, the 20 classes of VOC": of_voc(full),
        f"mAP@0.5, all {len(card.classes)} classes": precision.map50,
        f"mAP@[.5:.95], all {len(card.classes)} classes": precision.map,
    }
    ranked = sorted(((value or 0.0, name) for name, value in precision.ap50.items()), reverse=True)
    metrics |= {f"AP@0.5 {name} ({precision.boxes[name]} boxes)": value for value, name in ranked}
    offered = {name for value, name in ranked if value >= OFFERED_FROM and precision.boxes[name] >= ENOUGH}
    return dataclasses.replace(
        detector.card,
        min_score=SHOWN_FROM,
        offered=tuple(name for name in card.classes if name in offered),
        metrics={name: round(value, 4) for name, value in metrics.items()},
    )


def of_voc(precision: Precision) -> float:
    names = [name.replace("_", " ") for name in VOC.split()]
    return sum(precision.ap50[name] or 0.0 for name in names) / len(names)


if __name__ == "__main__":
    shipped.main(__doc__, "detector", bundle)
