"""Make a finished run of the recipe the bundled face network: `python packaging/bundle_faces.py RUN_FOLDER`.

Writes the run's best weights in half precision to `resources/models/faces.safetensors`, measures them on people who
were not learnt from, through the same `FaceReader` that the window and `predict` use (so with the bundled face
detector's landmarks), fits the calibration and the threshold, and writes the card beside the weights.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shipped
from bundle_face_detector import recall, without_faces

from engine.measure import calibrated, separation, verification
from engine.types import ModelCard
from engine.vision.evaluate import embed_crops, open_set, read_pairs
from engine.vision.faces import FaceReader

STRANGERS_NAMED = 0.02  # of strangers, at most, with 30 people enrolled

NOTES = """\
Trained on 34,805 crops of 5,812 people, most of them of CelebA, two thirds of them only 53 to 60 pixels large. Measured
on the pictures and pairs of Labeled Faces in the Wild, whose people are not among them, as our own face detector turns
them upright. Most of the faces it has learnt from are of film actors and other public people of a few countries; it is
worse with children, with people of other origins, with masks and with profiles, and by how much was not measured. The
training pictures are for research alone: this network is for learning and for use at home, and not for security."""


def bundle(runs: Sequence[Path], data: Path) -> ModelCard:
    """Weights of the run into the resources, and their card."""
    return measured(
        shipped.half(runs, "faces", title="Faces", recipes=("faces", "faces-second"), notes=NOTES),
        data / "faces",
    )


def measured(card: ModelCard, data: Path) -> ModelCard:
    """The card with its figures, its calibration, and the threshold that fits 30 enrolled people."""
    reader = FaceReader(card, interactive=False)
    pairs = read_pairs(data / "pairs_val.csv")
    files = _held(data)
    embeddings, without_face = embed_crops(reader, files, data / "identities_val_lfw.tar.gz")
    row = {name: number for number, name in enumerate(files)}
    first, second = ([row[name] for name in side] for side in (pairs.first, pairs.second))
    cosines = (embeddings[first] * embeddings[second]).sum(axis=1)
    verified = verification(cosines, pairs.same, pairs.fold)
    apart = separation(cosines, pairs.same)
    everyone = open_set(embeddings, [name.split("/")[0] for name in files])
    threshold = everyone.threshold(STRANGERS_NAMED)
    named = "30 enrolled with 3 shots, 2 % of strangers named: share of the enrolled who are named rightly"
    metrics = {
        "LFW pairs judged rightly": verified.accuracy,
        "LFW area under the ROC curve": apart.auc,
        "LFW equal error rate": apart.eer,
        **{f"LFW true accepts at {rate:.1%} false ones": tar or 0.0 for rate, tar in apart.tar.items()},
        named: everyone.named(threshold),
        "strangers named at that threshold": everyone.strangers_named(threshold),
        "crops in which no face was found": float(np.mean(without_face)),
        "photographs: recall of YuNet's boxes of 24 px and more": recall(reader.find_closely, data.parent),
        "photographs: false boxes in one without a person": float(
            np.mean([len(reader.find_closely(image)) for image in without_faces(data.parent)])
        ),
    }
    slope, offset = calibrated(cosines[pairs.same], cosines[~pairs.same])
    return dataclasses.replace(
        reader.card,
        threshold=round(threshold, 4),
        calibration=(round(slope, 4), round(offset, 4)),
        metrics={name: round(value, 4) for name, value in metrics.items()},
    )


def _held(data: Path) -> list[str]:
    """The crops of people who are kept for measuring, in the order of the list."""
    with gzip.open(data / "identities.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [line["file"] for line in csv.DictReader(file) if line["split"] == "val"]


if __name__ == "__main__":
    shipped.main(__doc__, "faces", bundle)
