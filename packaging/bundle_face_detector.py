"""Make a finished run of the recipe the bundled face detector: `python packaging/bundle_face_detector.py RUN_FOLDER`.

Writes the run's best weights in half precision to `resources/models/face-detector.safetensors`, measures them through
the same `Detector` that the window and `predict` use, on pictures that were not learnt from, and writes the card
beside them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import shipped
from pycocotools import mask
from quantise import check, quantise

from engine.coco import read_coco
from engine.images import read_picture
from engine.measure import Truth, average_precision
from engine.types import Detections, Image, ModelCard
from engine.vision.detect import Detector

SIZE = 608  # side of the square in use: larger than while learning, since a face in a room is small
SHOWN = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
LOOKED_AT = 300  # pictures from which the ranges of the bytes are chosen
FALSE_BOXES = 0.1  # of a photograph without a face, at most

NOTES = """\
Trained on 1,102 pictures with 3,900 faces (of the set Face Mask Detection, boxed by people, most of them masked; of
CelebA, boxed by OpenCV's YuNet, whose landmarks all faces have), on 500 photographs without a person, on 900 with
faces of CelebA pasted into them and on 500 crops that a face fills; in two stages, of which the first had 700
photographs without a person, in some of which people sat all the same, and no crops. Measured on others: AP on the
boxes drawn by people that are at least 16 pixels large; recall of what YuNet finds from 24 pixels on in 48 photographs
of groups, crowds and single faces; false boxes on photographs of COCO without a person. The training pictures are for
research alone: this network is for learning and for use at home, and not for deciding about people."""


def bundle(runs: Sequence[Path], data: Path) -> ModelCard:
    """Weights of the run into the resources, and their card."""
    stages = ("face-detector", "face-detector-settle")
    card = shipped.half(runs, "face-detector", title="Face detector", recipes=stages, notes=NOTES)
    card = dataclasses.replace(card, preprocess=dataclasses.replace(card.preprocess, size=SIZE))
    return measured(quantise(card, learnt(data)), data)


def learnt(data: Path) -> Iterator[Image]:
    """Some of the pictures that it has learnt from."""
    listed = read_coco(data / "faces" / "detection" / "faces_coco.json")
    entries = [each for each in listed.entries if each.split == "train"]
    entries = [dataclasses.replace(each, tar="images.tar") for each in entries[:: max(1, len(entries) // LOOKED_AT)]]
    return (image for _, image in dataclasses.replace(listed, entries=tuple(entries)).pictures())


def measured(card: ModelCard, data: Path) -> ModelCard:
    """The card with its figures, and the least probability that is shown: the lowest with few enough false boxes."""
    full = Detector(dataclasses.replace(card, quantised=None), interactive=False)
    detector = Detector(card, interactive=False)
    check(detector.network)
    empty = [detector.detect(image, floor=SHOWN[0]).confidence for image in without_faces(data)]
    false = {score: float(np.mean([(found >= score).sum() for found in empty])) for score in SHOWN}
    shown = next((score for score in SHOWN if false[score] <= FALSE_BOXES), SHOWN[-1])
    metrics = {
        "AP@0.5, human boxes of 16 px and more": precision(detector, data, human=True),
        "in full precision: AP@0.5, human boxes of 16 px and more": precision(full, data, human=True),
        "AP@0.5, all validation boxes": precision(detector, data, human=False),
        f"recall of YuNet's boxes of 24 px and more at {shown}": recall(
            lambda image: detector.detect(image, floor=shown), data
        ),
        f"false boxes in a photograph without a person at {shown}": false[shown],
    }
    return dataclasses.replace(
        detector.card, min_score=shown, metrics={name: round(value, 4) for name, value in metrics.items()}
    )


def precision(detector: Detector, data: Path, *, human: bool) -> float:
    """AP at an IoU of 0.5 on the validation part; if `human`, boxes below 16 pixels are neither right nor wrong."""
    path = data / "faces" / "detection" / "faces_coco.json"
    drawn = {each["file_name"] for each in json.loads(path.read_text())["images"] if each["box_source"] == "human"}
    listed = read_coco(path)
    entries = [each for each in listed.entries if each.split == "val" and (not human or each.file in drawn)]
    listed = dataclasses.replace(listed, entries=tuple(dataclasses.replace(each, tar="images.tar") for each in entries))
    found: list[Detections] = []
    truth: list[Truth] = []
    for entry, image in listed.pictures():
        found.append(detector.detect(image, floor=0.001))
        real = entry.truth
        small = (real.xyxy[:, 2:] - real.xyxy[:, :2]).max(axis=1, initial=0.0) < 16 if human else False
        truth.append(dataclasses.replace(real, crowd=real.crowd | small))
    return average_precision(found, truth, labels=("face",)).map50


def recall(find: Callable[[Image], Detections], data: Path) -> float:
    """Share of the faces that YuNet finds in the scenes, from 24 pixels on, which are found with an IoU of 0.5."""
    folder = data / "faces" / "scenes"
    there = got = 0
    for scene in json.loads((folder / "scenes.json").read_text(encoding="utf-8")):
        boxes = np.array([face["bbox"] for face in scene["faces_yunet"]], np.float32).reshape(-1, 4)
        boxes = boxes[boxes[:, 2:].max(axis=1) >= 24]
        found = find(read_picture(folder / scene["file"])).xyxy
        there += len(boxes)
        if len(boxes) and len(found):
            sides = np.concatenate([found[:, :2], found[:, 2:] - found[:, :2]], axis=1)
            overlap = mask.iou(boxes.astype(float), sides.astype(float), [0] * len(sides))
            got += int((overlap.max(axis=1) >= 0.5).sum())
    return got / there


def without_faces(data: Path) -> list[Image]:
    """COCO's photographs without a person in the validation parts. (VOC's leave out people who sit in rooms.)"""
    listed = read_coco(data / "faces" / "detection" / "faces_coco.json")
    entries = [each for each in listed.entries if each.split == "val" and not len(each.truth.xyxy)]
    listed = dataclasses.replace(listed, entries=tuple(dataclasses.replace(each, tar="images.tar") for each in entries))
    path = data / "detection" / "val.json"
    coco = {each["file_name"] for each in json.loads(path.read_text())["images"] if each["source"] == "coco2017"}
    others = read_coco(path)
    person = others.classes.index("person")
    fine = [each for each in others.entries if each.file in coco and person not in each.truth.class_id]
    others = dataclasses.replace(others, entries=tuple(fine))
    return [image for _, image in listed.pictures()] + [image for _, image in others.pictures()]


if __name__ == "__main__":
    shipped.main(__doc__, "face-detector", bundle)
