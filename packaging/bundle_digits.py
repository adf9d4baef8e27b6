"""Make a finished run of the recipe the bundled digit network: `python packaging/bundle_digits.py RUN_FOLDER`.

Copies the run's best weights to `resources/models/digits.safetensors`, fits the temperature on the part of MNIST that
the recipe keeps for validation, measures everything that the card claims through the same `Classifier` that the canvas
and `predict` use, and writes the card beside the weights. Needs the data of the recipe (see `engine/data/mixture.py`).
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import images, zoo  # noqa: E402
from engine.data import cut, read_idx_pair  # noqa: E402
from engine.data.mixture import Drawn, Sizes, read_drawn  # noqa: E402
from engine.measure import calibration_error  # noqa: E402
from engine.training.config import TrainingConfig  # noqa: E402
from engine.types import Frame, ModelCard  # noqa: E402
from engine.vision.classify import Classifier  # noqa: E402

MODELS = ROOT / "resources" / "models"
RECIPE = ROOT / "resources" / "recipes" / "digits.toml"

NOTES = """\
Eleven classes: the ten digits and "not a digit".
Trained on: 57,000 images of MNIST's training part; digits drawn from pen trajectories (UCI pendigits) of 23 writers;
digits drawn by our own code from stroke shapes; digits of the shared drawn set (hwd1000, mouse50, semeion, usps) that
are not held out; what is no digit, drawn by our own code (letters, signs, scribbles, silhouettes, digits side by
side, patterns, scenes) and cut from 19 photographs.
Never seen in training: MNIST's test part; all pen drawings of the shared drawn set and every trajectory of the pen
writers 5, 10, 15, 20, 25 and 30 (held out) and 7 (validation); semeion records from 600 on; every fourth file, in the
order of their names, of hwd1000, mouse50 and usps; Fashion-MNIST; photographs whose names begin with "in_"; the
photographs in imagefolder.
"held out" in a metric means these files alone, "all" the whole set with the files that were trained on.
Temperature fitted on 3,000 images of MNIST's training part that were not trained on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of the finished run; without it only measure")
    options = parser.parse_args()
    data = Path(os.environ.get("CONVSCOPE_DATA", ROOT.parent / "shared" / "data"))
    if options.run is not None:
        bundle(options.run, data)
    card = zoo.read_card(MODELS / "digits.json")
    for name, value in card.metrics.items():
        print(f"{name:48} {value:.4f}")


def bundle(run: Path, data: Path) -> None:
    """Weights and card of `run` into the resources, with measured figures."""
    weights = MODELS / "digits.safetensors"
    MODELS.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "model.safetensors", weights)
    config = TrainingConfig.read(RECIPE)
    card = dataclasses.replace(
        zoo.read_card(run / "model.json"),
        name="digits",
        title="Digits",
        weights=weights,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        notes=NOTES,
        recipe=RECIPE.read_text(encoding="utf-8"),
        licence="MIT",
        origin="bundled",
        metrics={},
        reject_above=0.3,  # refusing is cheap: hardly any digit comes near it, and shapes that half look like one do
        temperature=1.0,
    )
    card = dataclasses.replace(card, temperature=fit_temperature(card, data, config.seed))
    reader = Classifier(card, interactive=False)
    card = dataclasses.replace(reader.card, metrics=measure(reader, data))
    zoo.write_card(card, MODELS / "digits.json")


def fit_temperature(card: ModelCard, data: Path, seed: int) -> float:
    """The temperature with the smallest cross entropy on the pictures of MNIST kept for validation."""
    mnist = read_idx_pair(data / "MNIST", "train")
    assert mnist is not None
    _, kept = cut(mnist, Sizes().validation, seed)
    probabilities = Classifier(card, interactive=False).probabilities(kept.images[:, 0].numpy())
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    labels = kept.labels.numpy()

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]).mean())

    return round(float(min(np.exp(np.linspace(np.log(0.5), np.log(3.0), 120)), key=loss)), 3)


def measure(reader: Classifier, data: Path) -> dict[str, float]:
    """Everything the card claims, by name; shares are of 1."""
    figures: dict[str, float] = {}
    test = read_idx_pair(data / "MNIST", "t10k")
    fashion = read_idx_pair(data / "FashionMNIST", "t10k")
    assert test is not None and fashion is not None
    labels = test.labels.numpy()
    answers = list(read(reader, test.images[:, 0].numpy()))
    figures["MNIST test accuracy"] = share(a.text == str(y) for a, y in zip(answers, labels, strict=True))
    figures["MNIST test rejected"] = share(a.rejected for a in answers)
    probabilities = np.stack([a.probabilities for a in answers])
    figures["MNIST test expected calibration error"] = round(
        calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels), 5
    )
    drawn = read_drawn(data / "drawn_digits")
    answers = list(read(reader, (images.read_picture(digit.path) for digit in drawn)))
    right = [a.text == str(d.label) for a, d in zip(answers, drawn, strict=True)]
    for source in ("drawn digits", *sorted({digit.source for digit in drawn})):

        def mine(digit: Drawn, source: str = source) -> bool:
            return source in ("drawn digits", digit.source)

        held = [ok for ok, digit in zip(right, drawn, strict=True) if mine(digit) and digit.is_held_out]
        figures[f"{source} accuracy, held out ({len(held)})"] = share(held)
        every = [ok for ok, digit in zip(right, drawn, strict=True) if mine(digit)]
        figures[f"{source} accuracy, all ({len(every)})"] = share(every)
    figures["drawn digits rejected, held out"] = share(
        a.rejected for a, digit in zip(answers, drawn, strict=True) if digit.is_held_out
    )
    figures["drawn digits rejected, all"] = share(a.rejected for a in answers)
    figures["Fashion-MNIST test rejected"] = share(a.rejected for a in read(reader, fashion.images[:, 0].numpy()))
    for name, folder, pattern in (
        ("photographs rejected, not trained on (photos/in_*)", data / "photos", "in_*"),
        ("photographs rejected, not trained on (imagefolder)", data / "imagefolder", "*/val/*/*"),
    ):
        files = sorted(path for path in folder.glob(pattern) if path.suffix.lower() in images.PICTURES)
        if files:
            figures[name] = share(a.rejected for a in read(reader, map(images.read_picture, files)))
    return figures


@dataclasses.dataclass(frozen=True)
class Answer:
    text: str
    rejected: bool
    probabilities: npt.NDArray[np.float32]


def read(reader: Classifier, pictures: Iterable[npt.NDArray[np.uint8]]) -> Iterator[Answer]:
    """What `predict` says of each picture as a drawing."""
    for index, picture in enumerate(pictures):
        result = reader.predict(Frame(images.to_rgb(picture), "measure", index, 0.0, drawing=True))
        seen = result.classification
        refused = seen is None or any(region.classification.rejected for region in result.regions)
        empty = np.zeros(len(reader.card.classes), np.float32)
        yield Answer("" if refused else result.text, refused, empty if seen is None else seen.probabilities)


def share(answers: Iterable[bool]) -> float:
    return round(float(np.mean(list(answers))), 5)


if __name__ == "__main__":
    main()
