"""Measuring a detector on pictures whose boxes are known: a file in COCO's format in, average precision out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.coco import read_coco
from engine.errors import EngineError
from engine.measure import Precision, Truth, average_precision
from engine.types import Detections
from engine.vision.detect import Detector

_FLOOR = 0.001  # least probability of what is measured: precision at high recall is made of unsure boxes


def evaluate(
    detector: Detector,
    path: Path,
    *,
    only: Sequence[str] = (),
    unreadable: Callable[[EngineError], object] = lambda _: None,
) -> Precision:
    """Average precision of the classes that both the detector and the file know.

    Args:
        path: a file in COCO's format, or a folder with a ``val.json``.
        only: measure these of the classes alone; empty: all that are shared.
        unreadable: is told of each picture that is left out because it cannot be read.

    Raises:
        EngineError: the file is missing or not in COCO's format, none of its pictures can be read, or a class of
            `only` is not shared.
    """
    path = path / "val.json" if path.is_dir() else path
    listed = read_coco(path)
    labels = _shared(detector.card.classes, listed.classes, path, only)
    of_detector = np.array([labels.index(name) if name in labels else -1 for name in detector.card.classes])
    of_file = np.array([labels.index(name) if name in labels else -1 for name in listed.classes])
    found: list[Detections] = []
    truth: list[Truth] = []
    for entry, image in listed.pictures(unreadable):
        everything = detector.detect(image, floor=_FLOOR)
        mine = everything[of_detector[everything.class_id] >= 0]
        found.append(Detections(mine.xyxy, mine.confidence, of_detector[mine.class_id], labels))
        real = entry.truth
        kept = of_file[real.class_id] >= 0
        known = None if real.known is None else frozenset(int(of_file[number]) for number in real.known) - {-1}
        truth.append(Truth(real.xyxy[kept], of_file[real.class_id[kept]], real.crowd[kept], known))
    if not found:
        raise EngineError(
            f"None of the pictures of {path} can be read.",
            "They must lie beside it, or in the tar files that it names.",
        )
    return average_precision(found, truth, labels=labels)


def _shared(known: tuple[str, ...], there: tuple[str, ...], path: Path, only: Sequence[str]) -> tuple[str, ...]:
    labels = tuple(name for name in known if name in there)
    for name in only:
        if name not in labels:
            whose = path.name if name in known else "The model"
            raise EngineError(f"{whose} has no class “{name}”.", f"Both have: {', '.join(labels)}.")
    if not labels:
        raise EngineError(
            f"None of the classes of {path.name} is one of the model's.", f"The model knows: {', '.join(known[:20])}."
        )
    return tuple(name for name in labels if name in only) if only else labels
