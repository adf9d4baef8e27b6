"""How fast a network is on this machine: measured when asked for, and remembered with its weights and the device."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import store, zoo
from engine.errors import Cancelled, EngineError
from engine.types import ModelCard

PICTURES = 50
"""Pictures that are measured, fewer where they take long."""

_WARM = 3  # pictures before the first that counts: the first ones fill caches and wake the processor up
_LONG = 8.0  # seconds after which no further picture is begun, once there are enough for a median
_ENOUGH = 5


@dataclass(frozen=True)
class Speed:
    """What one measurement found: the network alone, one picture at a time, as live use runs it.

    Attributes:
        milliseconds: for one picture, the median.
        slowest: the same, exceeded by one picture in twenty.
        pictures: how many were measured.
        device: where it ran, for people ("CPU · OpenVINO").
        day: when, "2026-05-01".
    """

    milliseconds: float
    slowest: float
    pictures: int
    device: str
    day: str


def measure_speed(
    card: ModelCard,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Run the network of `card` on noise and remember how long a picture takes.

    Raises:
        EngineError: the model cannot be loaded, or the figure cannot be kept; `Cancelled`.
    """
    network = zoo.open_network(card, cancelled=cancelled)
    kind = card.preprocess
    picture = np.random.default_rng(0).integers(0, 256, (1, kind.size, kind.size, kind.channels), np.uint8)
    batch: Any = picture
    if kind.kind == "drawing":  # the shorter way of such a network, see `Network.run`
        mean, deviation = (np.array(each, np.float32)[:, None, None] for each in (kind.mean, kind.std))
        batch = (picture.transpose(0, 3, 1, 2).astype(np.float32) / 255 - mean) / deviation
    times: list[float] = []
    begun = clock()
    for number in range(_WARM + PICTURES):
        if cancelled():
            raise Cancelled("The measurement")
        if len(times) >= _ENOUGH and clock() - begun > _LONG:
            break
        before = clock()
        network.run(batch)
        if number >= _WARM:
            times.append(clock() - before)
            progress(len(times), PICTURES)
    found = Speed(
        milliseconds=float(np.median(times)) * 1000,
        slowest=float(np.quantile(times, 0.95)) * 1000,
        pictures=len(times),
        device=network.device.title,
        day=datetime.date.today().isoformat(),
    )
    kept = _kept()
    kept.setdefault(zoo.weights_digest(card), {})[found.device] = dataclasses.asdict(found)
    text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    store.replace_file(_file(), lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return found


def known_speeds(cards: Sequence[ModelCard]) -> dict[str, Speed]:
    """What was measured on this machine last of each of `cards`, by name."""
    kept = _kept()
    known: dict[str, Speed] = {}
    for card in cards:
        if card.weights is None or not kept:
            continue
        found = [speed for speed in map(_speed, kept.get(card.sha256 or _digest(card), {}).values()) if speed]
        if found:
            known[card.name] = max(found, key=lambda speed: speed.day)
    return known


def _digest(card: ModelCard) -> str:
    try:
        return zoo.weights_digest(card)
    except EngineError:  # said when the model is used
        return ""


def _file() -> Path:
    return store.data_folder() / "speeds.json"


def _kept() -> dict[str, dict[str, Any]]:
    """Figures by digest and device; a damaged file is as good as none."""
    try:
        values = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {digest: dict(devices) for digest, devices in values.items() if isinstance(devices, dict)}


def _speed(values: Any) -> Speed | None:
    kinds = {"milliseconds": float, "slowest": float, "pictures": int, "device": str, "day": str}
    if not isinstance(values, dict) or not all(isinstance(values.get(name), kind) for name, kind in kinds.items()):
        return None
    return Speed(**{name: values[name] for name in kinds})
