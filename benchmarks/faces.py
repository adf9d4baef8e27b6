"""Finding faces: ours beside small public detectors, on the same pictures, with the same judge, on two cores.

Peers: OpenCV's YuNet (`cv2.FaceDetectorYN`, two versions of its weights) and the Ultra-Light detector of 320 × 240
(through OpenVINO, as ours). The pictures are the validation part of Face Mask Detection, whose boxes people have drawn;
no detector has made them, nor has ours learnt from them. Boxes smaller than 16 pixels count neither way. Times are
medians for one frame of 640 × 480, everything from the frame to the boxes; the detectors take turns, in several orders,
each with some frames at a time, as in live use.

The peers' weights and the pictures are read from the folder that CONVSCOPE_DATA names; without it nothing is measured.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import real_data, report
from benchmarks.live_detection import on_two_cores

if TYPE_CHECKING:
    from engine.types import Detections, Image

Find = Callable[["Image"], "Detections"]

AT_A_TIME = 20
FLOOR = 0.02
LIMIT_MS = 6.0


def main() -> None:
    cores = on_two_cores()
    data = real_data()
    if data is None or not (data / "faces" / "reference_models").is_dir():
        print("benchmarks/faces.py needs the folder of real data with faces/reference_models (CONVSCOPE_DATA).")
        return
    os.environ.setdefault("CONVSCOPE_HOME", tempfile.mkdtemp())
    finders = {"ours": ours(), **peers(data / "faces" / "reference_models")}
    quality = {name: precision(find, data / "faces" / "detection") for name, find in finders.items()}
    frame = real_frame(data / "faces" / "scenes" / "bbt1.webp")
    took: dict[str, list[float]] = {name: [] for name in finders}
    for order in itertools.islice(itertools.permutations(finders), 0, None, 4):
        for name in order:
            time.sleep(0.1)  # until the threads of the one before have come to rest
            for number in range(AT_A_TIME + 5):
                began = time.perf_counter()
                finders[name](frame)
                if number >= 5:  # the first ones find the caches full of another's things
                    took[name].append(time.perf_counter() - began)
    pace = {name: statistics.median(values) * 1000 for name, values in took.items()}
    print(f"Finding faces, {cores} cores, a frame of 640 × 480")
    for name in finders:
        print(
            f"  {name:28} AP@0.5 {quality[name]:.3f}   {pace[name]:5.1f} ms   × {pace[name] / pace['ours']:.2f} of ours"
        )
    peer = min((name for name in pace if name != "ours"), key=lambda name: pace[name], default="")
    report(
        "faces",
        ratio=pace["ours"] / LIMIT_MS,
        limit="at most 1.0: 6 ms a frame",
        **{f"{name}, ms": pace[name] for name in finders},
        **{f"{name}, AP": quality[name] for name in finders},
        quickest_peer=peer,
    )


def ours() -> Find:
    from engine import zoo
    from engine.vision.detect import Detector

    detector = Detector(zoo.model_card("face-detector"), interactive=False)
    return lambda image: detector.detect(image, floor=FLOOR)


def peers(folder: Path) -> dict[str, Find]:
    """The public detectors whose files are there."""
    found: dict[str, Find] = {}
    for name, file in (("YuNet n", "yunet_n_dynamic.onnx"), ("YuNet 2026", "face_detection_yunet_2026may.onnx")):
        if (folder / "yunet" / file).is_file():
            found[name] = yunet(folder / "yunet" / file)
    if (folder / "ultralight" / "version-RFB-320_simplified.onnx").is_file():
        found["Ultra-Light RFB 320"] = ultralight(folder / "ultralight" / "version-RFB-320_simplified.onnx")
    return found


def yunet(path: Path) -> Find:
    from engine.opencv import cv2

    net = cv2.FaceDetectorYN.create(str(path), "", (640, 480), FLOOR, 0.45, 5000)

    def find(image: Image) -> Detections:
        net.setInputSize((image.shape[1], image.shape[0]))
        rows = net.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        return boxes(np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1), rows[:, 14])

    return find


def ultralight(path: Path) -> Find:
    import openvino

    from engine.opencv import cv2

    net = openvino.Core().compile_model(str(path), "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    grids = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
    priors = np.array(
        [
            ((x + 0.5) * stride / 320, (y + 0.5) * stride / 240, side / 320, side / 240)
            for stride, sides in grids.items()
            for y in range(-(-240 // stride))
            for x in range(-(-320 // stride))
            for side in sides
        ]
    )

    def find(image: Image) -> Detections:
        small = cv2.resize(image, (320, 240)).astype(np.float32)
        answer = net(((small - 127) / 128).transpose(2, 0, 1)[None])
        scores = answer[0][0, :, 1]
        sure = scores > FLOOR
        # Offsets from the priors of SSD with variances of 0.1 and 0.2, as its own code has them.
        moved, prior = answer[1][0][sure], priors[sure]
        middle = prior[:, :2] + 0.1 * moved[:, :2] * prior[:, 2:]
        half = prior[:, 2:] * np.exp(0.2 * moved[:, 2:]) / 2
        whole = np.tile([image.shape[1], image.shape[0]], 2)
        xyxy = np.concatenate([middle - half, middle + half], axis=1) * whole
        sides = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
        kept = np.asarray(cv2.dnn.NMSBoxes(sides.tolist(), scores[sure].tolist(), FLOOR, 0.3), int).reshape(-1)
        return boxes(xyxy[kept], scores[sure][kept])

    return find


def boxes(xyxy: np.ndarray, scores: np.ndarray) -> Detections:
    from engine.types import Detections

    return Detections(xyxy.astype(np.float32), scores.astype(np.float32), np.zeros(len(scores), np.int64), ("face",))


def precision(find: Find, folder: Path) -> float:
    """AP at an IoU of 0.5 on the validation pictures whose boxes were drawn by people."""
    from engine.coco import read_coco
    from engine.measure import average_precision

    path = folder / "faces_coco.json"
    drawn = {each["file_name"] for each in json.loads(path.read_text())["images"] if each["box_source"] == "human"}
    listed = read_coco(path)
    kept = [replace(each, tar="images.tar") for each in listed.entries if each.split == "val" and each.file in drawn]
    found, truth = [], []
    for entry, image in replace(listed, entries=tuple(kept)).pictures():
        found.append(find(image))
        small = (entry.truth.xyxy[:, 2:] - entry.truth.xyxy[:, :2]).max(axis=1, initial=0.0) < 16
        truth.append(replace(entry.truth, crowd=entry.truth.crowd | small))
    return average_precision(found, truth, labels=("face",)).map50


def real_frame(path: Path) -> Image:
    from engine.images import read_picture
    from engine.opencv import cv2

    frame: Image = np.asarray(cv2.resize(read_picture(path), (640, 480)), np.uint8)
    return frame


if __name__ == "__main__":
    main()
