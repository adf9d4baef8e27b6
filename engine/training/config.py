"""What a training run is told: one dataclass from which form, TOML file and command line are made.

A field's metadata holds its label, help, kind and range, so a new hyper-parameter is one field here and its use in
`fit`. Nothing here imports torch: the window builds its form before torch is loaded.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError


@dataclass(frozen=True)
class Field:
    """How one hyper-parameter is shown, explained and checked.

    Attributes:
        label: two or three words, as beside an input in a form.
        help: a sentence or two for a tooltip: what it does and when one changes it.
        group: heading under which the form shows it.
        choices: (value, title) pairs where only these values are allowed.
        low, high: inclusive range of a number.
        logarithmic: a number best changed by factors.
        path: the value names a folder.
        only_for: (field, values): the field matters only while that field has one of these values.
    """

    label: str
    help: str
    group: str
    choices: tuple[tuple[str, str], ...] = ()
    low: float | None = None
    high: float | None = None
    logarithmic: bool = False
    path: bool = False
    only_for: tuple[str, tuple[str, ...]] | None = None


def _field(default: Any, label: str, help: str, group: str, **details: Any) -> Any:
    return dataclasses.field(default=default, metadata={"field": Field(label, help, group, **details)})


@dataclass(frozen=True)
class TrainingConfig:
    """One run's hyper-parameters; validated at birth.

    Raises:
        EngineError: a value is outside its range or not among its choices (message names the field).
    """

    data: str = _field(
        "synthetic-digits",
        "Data set",
        "What the network learns from. Synthetic digits are drawn by ConvScope and need no download.",
        "Data",
        choices=(
            ("synthetic-digits", "Synthetic digits"),
            ("mnist", "MNIST"),
            ("fashion-mnist", "Fashion-MNIST"),
            ("folder", "A folder of pictures"),
            ("coco", "A folder of pictures with boxes (COCO)"),
            ("crops", "What is in the boxes of a COCO folder"),
            ("faces", "Faces in pictures (recipe of the bundled face detector)"),
            ("identities", "Faces by person (recipe of the bundled face network)"),
            ("digits", "All digits (recipe of the bundled network)"),
            ("digits-settle", "All digits, mostly MNIST (second stage of that recipe)"),
        ),
    )
    folder: str = _field(
        "",
        "Folder",
        "Pictures: one sub-folder per class. Pictures with boxes: train.json and val.json in COCO's format. "
        "Faces: identities.csv and its archives. MNIST and Fashion-MNIST: the folder with the IDX files; empty means "
        "download.",
        "Data",
        path=True,
        only_for=(
            "data",
            ("mnist", "fashion-mnist", "folder", "coco", "crops", "faces", "identities", "digits", "digits-settle"),
        ),
    )
    classes: str = _field(
        "",
        "Classes",
        "Names of the classes to learn, separated by commas; empty: all that the data have.",
        "Data",
        only_for=("data", ("folder", "coco", "crops")),
    )
    image_size: int = _field(
        0,
        "Picture size",
        "Side of the square that the network sees, in pixels; 0 takes what suits the data set "
        "(28 for digits, 64 for pictures and faces, 320 for pictures with boxes, 96 for what is in the boxes). "
        "With boxes it must be a multiple of 32.",
        "Data",
        low=0,
        high=640,
        only_for=("data", ("folder", "coco", "crops", "faces", "identities")),
    )
    augmentation: str = _field(
        "light",
        "Augmentation",
        "Random changes to every picture at every step, so that the network never sees the same one twice.",
        "Data",
        choices=(
            ("none", "None"),
            ("light", "Light: small shifts, turns and zooms"),
            ("handwriting", "Handwriting: gentle turns, bends, pen widths"),
            ("strong", "Strong: warps, pen widths, noise"),
            ("picture", "Pictures: flip, crop, colour"),
        ),
        # A detector has ways of its own, which move the boxes along.
        only_for=("data", ("synthetic-digits", "mnist", "fashion-mnist", "folder", "crops", "digits", "digits-settle")),
    )
    model: str = _field(
        "small",
        "Network",
        "The architecture to train.",
        "Network",
        choices=(
            ("small", "Small: two convolutions, fast"),
            ("digits", "Digits: six convolutions, accurate"),
            ("objects", "Objects: the detector's convolutions, for colour pictures"),
            ("detector", "Detector: finds boxes (needs pictures with boxes)"),
            ("face-detector", "Face detector: boxes and five landmarks"),
            ("faces", "Faces: an embedding that tells people apart"),
        ),
    )
    width: float = _field(
        0.75,
        "Width",
        "How many maps each layer has, as a share of the full network; twice the width takes four times as long.",
        "Network",
        low=0.25,
        high=2.0,
        only_for=("model", ("objects", "detector")),
    )
    start_from: str = _field(
        "",
        "Start from",
        "Weights of an earlier run (a .safetensors file) to go on from; layers that it has none for start with random "
        "ones. Empty starts with random ones everywhere.",
        "Network",
    )
    frozen: str = _field(
        "nothing",
        "Frozen",
        "What of the network stays as it started. With few pictures less of it can then be learnt by heart; it needs "
        "weights to start from.",
        "Network",
        choices=(
            ("nothing", "Nothing"),
            ("statistics", "Statistics: how the first layers scale what they see"),
            ("backbone", "Backbone: all layers but the last ones"),
        ),
        only_for=("model", ("detector", "face-detector")),
    )
    dropout: float = _field(
        0.1,
        "Dropout",
        "Share of the units before the last layer that are switched off at random in each step; "
        "more of it hinders overfitting.",
        "Network",
        low=0.0,
        high=0.9,
        only_for=("model", ("small", "digits", "objects", "faces")),
    )
    epochs: int = _field(
        3, "Epochs", "How often the network sees the whole training set.", "Training", low=1, high=10_000
    )
    repeats: int = _field(
        1,
        "Repetitions",
        "How often an epoch shows each picture. More than once where there are few: an epoch ends with measuring and "
        "saving, which would take longer than learning.",
        "Training",
        low=1,
        high=10_000,
        only_for=("data", ("folder", "coco", "crops")),
    )
    batch_size: int = _field(
        256,
        "Batch size",
        "How many pictures are averaged into one step of the weights.",
        "Training",
        low=1,
        high=65_536,
        logarithmic=True,
    )
    optimiser: str = _field(
        "adamw",
        "Optimiser",
        "The rule that turns gradients into a step of the weights.",
        "Training",
        choices=(("sgd", "SGD with momentum"), ("adam", "Adam"), ("adamw", "AdamW")),
    )
    learning_rate: float = _field(
        0.01,
        "Learning rate",
        "Size of a step. Too large and the loss jumps or becomes NaN, too small and nothing happens.",
        "Training",
        low=1e-7,
        high=100.0,
        logarithmic=True,
    )
    schedule: str = _field(
        "one-cycle",
        "Schedule",
        "How the learning rate changes over the run.",
        "Training",
        choices=(
            ("one-cycle", "One cycle: up, then down to zero"),
            ("cosine", "Cosine: down to zero"),
            ("step", "Step: a tenth, twice"),
            ("constant", "Constant"),
        ),
    )
    weight_decay: float = _field(
        0.01,
        "Weight decay",
        "Pulls every weight towards zero at each step; a little of it hinders overfitting.",
        "Training",
        low=0.0,
        high=10.0,
    )
    label_smoothing: float = _field(
        0.0,
        "Label smoothing",
        "Share of each answer's certainty that is spread over the other classes.",
        "Training",
        low=0.0,
        high=0.5,
        only_for=("model", ("small", "digits", "objects", "faces")),
    )
    average_weights: float = _field(
        0.0,
        "Weight averaging",
        "Decay of a moving average of the weights, which is what is validated and kept; 0 switches it off, "
        "0.999 suits long runs.",
        "Training",
        low=0.0,
        high=0.99999,
    )
    seed: int = _field(
        0,
        "Seed",
        "Start of every random choice; the same seed on the same machine gives the same curve.",
        "Machine",
        low=0,
        high=2**31 - 1,
    )
    device: str = _field(
        "auto",
        "Device",
        "Where the run computes.",
        "Machine",
        choices=(
            ("auto", "Best available"),
            ("cpu", "Processor"),
            ("cuda", "NVIDIA GPU"),
            ("mps", "Apple GPU"),
        ),
    )

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            info: Field = spec.metadata["field"]
            value: Any = getattr(self, spec.name)
            kind = {"str": str, "int": int, "float": float}[str(spec.type)]
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, spec.name, value := float(value))
            if not isinstance(value, kind) or isinstance(value, bool):
                raise EngineError(f"{info.label} must be {_KINDS[kind]}, not {value!r}.", info.help)
            if info.choices and value not in [choice for choice, _ in info.choices]:
                raise EngineError(
                    f"{info.label} cannot be {value!r}.",
                    f"Choose one of: {', '.join(choice for choice, _ in info.choices)}.",
                )
            if spec.name == "image_size" and value in range(1, 16):
                raise EngineError("Picture size must be 0 or at least 16.", info.help)
            number: Any = value  # comparable where the field has a range
            if (info.low is not None and not number >= info.low) or (info.high is not None and not number <= info.high):
                raise EngineError(
                    f"{info.label} must lie between {info.low:g} and {info.high:g}, not {value:g}.", info.help
                )

    @classmethod
    def describe(cls) -> dict[str, Field]:
        """The metadata of all fields by name, in the order of the form."""
        return {spec.name: spec.metadata["field"] for spec in dataclasses.fields(cls)}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """A config from plain values; what is missing takes its default.

        Raises:
            EngineError: a name is unknown or a value not allowed.
        """
        unknown = sorted(set(values) - set(cls.describe()))
        if unknown:
            raise EngineError(
                f"There is no training setting called “{unknown[0]}”.",
                f"The settings are: {', '.join(cls.describe())}.",
            )
        return cls(**values)

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """The config in a TOML file; a relative `folder` or `start_from` is looked up beside that file.

        Raises:
            EngineError: the file cannot be read, is not TOML or holds a wrong setting.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise EngineError(
                f"The recipe {path} cannot be read: {error.strerror}.", "Check the path of the TOML file."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise EngineError(f"The recipe {path.name} is not valid TOML: {error}.", "Correct that line.") from error
        for name in ("folder", "start_from"):
            if isinstance(values.get(name), str) and values[name]:
                place = Path(values[name]).expanduser()
                values[name] = str(place if place.is_absolute() else (path.resolve().parent / place))
        return cls.from_mapping(values)

    @classmethod
    def suited_to(cls, data: str) -> dict[str, Any]:
        """The settings to begin with on this data set: the defaults, and what else its pictures ask for."""
        return {**cls().values(), **_SUITED.get(data, {}), "data": data}

    def matters(self, name: str) -> bool:
        """Whether the other settings leave this one any say; a form hides one that has none."""
        only_for = self.describe()[name].only_for
        return only_for is None or getattr(self, only_for[0]) in only_for[1]

    def values(self) -> dict[str, Any]:
        """All settings by name, as plain values."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """The config as a TOML file that `read` takes back."""
        lines: list[str] = []
        group = ""
        for name, info in self.describe().items():
            if info.group != group:
                lines.append(f"{'' if not group else chr(10)}# {info.group}")
                group = info.group
            value = getattr(self, name)
            lines.append(f"{name} = {_quote(value) if isinstance(value, str) else repr(value)}")
        return "\n".join(lines) + "\n"


_SUITED: dict[str, dict[str, Any]] = {
    "faces": {
        "model": "face-detector",
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": 0.003,
        "weight_decay": 0.05,
        "average_weights": 0.999,
    },
    "identities": {
        "model": "faces",
        "epochs": 30,
        "batch_size": 256,
        "learning_rate": 0.003,
        "weight_decay": 0.1,
        "average_weights": 0.998,
        "dropout": 0.0,
    },
    # Large pictures need memory, so few go into a step, and smaller steps; boxes are learnt slowly.
    "coco": {
        "model": "detector",
        "epochs": 40,
        "batch_size": 16,
        "learning_rate": 0.0015,
        "weight_decay": 0.05,
        "average_weights": 0.999,
    },
    "crops": {
        "model": "objects",
        "augmentation": "picture",
        "epochs": 12,
        "batch_size": 128,
        "learning_rate": 0.004,
        "weight_decay": 0.05,
        "average_weights": 0.998,
    },
}
"""What differs from the defaults where a data set is chosen."""

_KINDS = {str: "text", int: "a whole number", float: "a number"}


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
