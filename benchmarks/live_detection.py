"""Detecting in a video of 640 × 480 on two cores: from a decoded frame to the result, against three peers.

1. The bare inference of the same network in OpenVINO, its input ready: what everything around it costs. Limit × 1.25.
2. The same network in eager torch with torchvision's own steps before and after it. At least 3 times its pace.
3. ultralytics' YOLO11n (random weights) asked by its own `predict` at the same input size, where that is installed: at
   least 1.5 times its pace. It runs in a process of its own, since it changes settings of OpenCV and torch.

The frames are a real video's where this machine has one. Every figure is a median; ours and the first two peers take
turns, in every order, each with all frames at a time, as in live use: frame by frame, torch's threads, which go on
spinning for a while, and its caches would be in the way of whoever comes next. Without the bundled detector its
architecture is measured with random weights, which find nothing: then there are no boxes to be sorted out afterwards,
and the last line says so.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import real_data, report

if TYPE_CHECKING:
    from engine.types import ModelCard
    from engine.vision.detect import Detector

FRAMES = 48
CORES = 2
LIMIT_BARE, LIMIT_TORCH, LIMIT_YOLO = 1.25, 3.0, 1.5

_YOLO = """
import sys, time
import numpy as np
from ultralytics import YOLO
import torch
torch.set_num_threads(int(sys.argv[3]))
frames = np.load(sys.argv[1])[..., ::-1]
model = YOLO("yolo11n.yaml", task="detect", verbose=False)
took = []
for number in range(int(sys.argv[4])):
    frame = np.ascontiguousarray(frames[number % len(frames)])
    began = time.perf_counter()
    model.predict(frame, imgsz=int(sys.argv[2]), device="cpu", verbose=False)
    took.append(time.perf_counter() - began)
print(float(np.median(took[8:])))
"""


def main() -> None:
    cores = on_two_cores()
    os.environ.setdefault("CONVSCOPE_HOME", tempfile.mkdtemp())
    from engine import Frame, zoo
    from engine.vision.detect import Detector

    card = detector_card()
    frames = pictures()
    detector = Detector(card, interactive=False)
    size = card.preprocess.size
    random = card.weights is None
    print(f"{card.title}, {size} × {size}, {detector.network.parameters:,} parameters, {detector.network.device.title}")
    bare, torch_road = bare_inference(detector), in_torch(card, zoo.network(card))

    roads: dict[str, Callable[[NDArray[np.uint8]], Any]] = {
        "pipeline": lambda image: detector.predict(Frame(image, "benchmark", 0, time.perf_counter())),
        "bare": bare,
        "torch": torch_road,
    }
    times: dict[str, list[float]] = {name: [] for name in roads}
    for turn, order in enumerate([tuple(roads), *itertools.permutations(roads)]):
        for name in order:
            time.sleep(0.3)  # until the threads of the one before have come to rest
            for number, image in enumerate(frames):
                began = time.perf_counter()
                roads[name](image)
                if turn and number >= 3:  # the first round and the first frames only warm up
                    times[name].append(time.perf_counter() - began)
    boxes = sum(len(detector.detect(image)) for image in frames)
    median = {name: float(np.median(taken)) for name, taken in times.items()}
    yolo = yolo11n(frames, size, cores)
    figures: dict[str, Any] = {f"{name}_ms": seconds * 1e3 for name, seconds in median.items()}
    around = median["pipeline"] / median["bare"]
    against_torch = median["torch"] / median["pipeline"]
    against_yolo = yolo / median["pipeline"] if yolo else None
    print(f"from frame to result {median['pipeline'] * 1e3:.2f} ms, bare inference {median['bare'] * 1e3:.2f} ms")
    print(f"eager torch with torchvision's steps {median['torch'] * 1e3:.2f} ms: × {against_torch:.2f}")
    if yolo and against_yolo:
        print(f"YOLO11n's predict {yolo * 1e3:.2f} ms: × {against_yolo:.2f}")
    else:
        print("ultralytics is not installed (pip install ultralytics): nothing to compare with")
    report(
        "live_detection",
        ratio=around,
        peer="bare OpenVINO inference of the same network",
        limit=LIMIT_BARE,
        **figures,
        frames_per_second=1 / median["pipeline"],
        times_eager_torch=against_torch,
        limit_eager_torch=LIMIT_TORCH,
        yolo11n_ms=yolo * 1e3 if yolo else None,
        times_yolo11n=against_yolo,
        limit_yolo11n=LIMIT_YOLO,
        input_size=size,
        cores=cores,
        boxes_a_frame=boxes / len(frames),
        weights="random: no boxes to sort out" if random else card.name,
        within_limits=bool(
            around <= LIMIT_BARE
            and against_torch >= LIMIT_TORCH
            and (against_yolo is None or against_yolo >= LIMIT_YOLO)
        ),
    )


def on_two_cores() -> int:
    """Confine this process and its children to two cores, where the system can; returns how many there are."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def detector_card() -> ModelCard:
    """The bundled detector, or its architecture without weights."""
    from engine import EngineError, ModelCard, Preprocess, model_card

    try:
        return model_card("detector")
    except EngineError:
        print("There is no bundled detector: its architecture is measured with random weights, which find nothing.")
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return ModelCard(
        name="detector",
        title="Detector",
        task="detection",
        architecture="detector",
        classes=tuple(f"class {number}" for number in range(80)),
        preprocess=Preprocess("letterbox", 320, 3, mean, deviation),
        boxes="distances",
        strides=(8, 16, 32),
        origin="random",
    )


def pictures() -> NDArray[np.uint8]:
    """Frames (FRAMES, 480, 640, 3): of a video of people in a street, or discs that move over a grainy ground."""
    from engine import open_source
    from engine.opencv import cv2

    data = real_data()
    video = data / "videos" / "street_people.mp4" if data else None
    if video is not None and video.is_file():
        source = open_source(str(video))
        read = [frame.image for frame in (source.read() for _ in range(FRAMES)) if frame is not None]
        source.close()
        return np.stack([cv2.resize(image, (640, 480), interpolation=cv2.INTER_AREA) for image in read])
    random = np.random.default_rng(0)
    ground = random.integers(90, 160, (480, 640, 3), np.uint8)
    made = []
    for number in range(FRAMES):
        image = ground.copy()
        for disc in range(6):
            place = (60 + 100 * disc + 2 * number, 240 + round(150 * np.sin(disc + number / 9)))
            cv2.circle(image, place, 30 + 5 * disc, (40 * disc, 255 - 40 * disc, 120), -1, cv2.LINE_AA)
        made.append(image)
    return np.stack(made)


def bare_inference(detector: Detector) -> Callable[[NDArray[np.uint8]], Any]:
    """The network alone: OpenVINO's request, asked with an input that is ready."""
    request = getattr(detector.network, "_request", None)
    if request is None:
        raise SystemExit(f"The detector runs on {detector.network.device.title}: there is no OpenVINO to compare with.")
    asked = request("", pixels=True)
    side = detector.card.preprocess.size
    ready = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    return lambda _: asked.infer({0: ready}, share_inputs=True)


def in_torch(card: ModelCard, net: Any) -> Callable[[NDArray[np.uint8]], Any]:
    """The same network in eager torch, with torchvision's transforms before it and its suppression after it."""
    import torch
    from torchvision.ops import batched_nms
    from torchvision.transforms.v2 import functional as transforms

    from engine.networks.detector import cell_centres
    from engine.vision.detect import FLOOR, MOST

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else CORES)
    kind = card.preprocess
    centres, strides = cell_centres(kind.size, torch.device("cpu"))
    net = net.eval()

    @torch.inference_mode()
    def detect(image: NDArray[np.uint8]) -> Any:
        height, width = image.shape[:2]
        scale = kind.size / max(height, width)
        inner = [round(height * scale), round(width * scale)]
        picture = torch.from_numpy(image).permute(2, 0, 1)
        picture = transforms.resize(picture, inner, antialias=True)
        left, top = (kind.size - inner[1]) // 2, (kind.size - inner[0]) // 2
        right, bottom = kind.size - inner[1] - left, kind.size - inner[0] - top
        picture = transforms.pad(picture, [left, top, right, bottom], fill=114.0)
        picture = transforms.normalize(
            transforms.to_dtype(picture, torch.float32, scale=True), list(kind.mean), list(kind.std)
        )
        output = net(picture[None])[0]
        scores = output[:, 4:]
        rows, classes = torch.where(scores > FLOOR)
        sure = scores[rows, classes]
        reach = output[rows, :4] * strides[rows]
        boxes = torch.cat([centres[rows] - reach[:, :2], centres[rows] + reach[:, 2:]], dim=1)
        kept = batched_nms(boxes, sure, classes, 0.6)[:MOST]
        moved = torch.tensor([left, top, left, top])
        boxes = ((boxes[kept] - moved) / scale).clamp_(min=0)
        return boxes.numpy(), sure[kept].numpy(), classes[kept].numpy()

    return detect


def yolo11n(frames: NDArray[np.uint8], size: int, cores: int) -> float | None:
    """Median seconds of YOLO11n's `predict`, or None where ultralytics is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "frames.npy"
        np.save(stored, frames)
        done = subprocess.run(
            [sys.executable, "-c", _YOLO, str(stored), str(size), str(cores), str(2 * FRAMES)],
            cwd=folder,
            # It would install packages and report its use over the network.
            env={**os.environ, "YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": folder},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        if "No module named 'ultralytics'" not in done.stderr:
            print(done.stderr, file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
