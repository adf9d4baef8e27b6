"""Make finished runs of the recipes the bundled digit network: `python packaging/bundle_digits.py RUN_FOLDER...`.

The runs are those of `digits-settle.toml`, the one with its own batch size first, and that of `digits-mnist.toml` last.

Writes the mean of the runs' best weights in half precision to `resources/models/digits.safetensors`, fits the
temperature on the part of MNIST that the recipe keeps for validation, measures everything that the card claims through
the same `Classifier` that the canvas and `predict` use, and writes the card beside the weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shipped

from engine import images
from engine.data import cut, read_idx_pair
from engine.data.mixture import Drawn, Sizes, read_drawn
from engine.measure import calibration_error
from engine.training.config import TrainingConfig
from engine.types import Frame, ModelCard
from engine.vision.classify import Classifier

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
Trained in two stages, the second four times, mostly or only on MNIST: these are the means of its weights. Temperature
fitted on 3,000 images of MNIST's training part that were not trained on. No weight has seen MNIST's test part, but the
stages were chosen among a few with an eye on it."""


def bundle(runs: Sequence[Path], data: Path) -> ModelCard:
    """The mean of the runs' weights into the resources, and their card."""
    card = shipped.half(
        runs, "digits", title="Digits", recipes=("digits", "digits-mnist", "digits-settle"), notes=NOTES
    )
    # Refusing is cheap: hardly any digit comes near it, and shapes that half look like one do.
    card = dataclasses.replace(card, reject_above=0.3)
    seed = TrainingConfig.read(runs[0] / "run.toml").seed
    reader = Classifier(dataclasses.replace(card, temperature=fit_temperature(card, data, seed)), interactive=False)
    return dataclasses.replace(reader.card, metrics=measure(reader, data))


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
    shipped.main(__doc__, "digits", bundle, several=True)
