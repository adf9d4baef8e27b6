"""The zoo: every model that can be used, each with its card.

A card is a JSON file beside its weights. Bundled ones lie in `resources/models`, a trained one in the folder of its
run, whose name it takes. Listing cards costs neither torch nor a look at the weights; a damaged card never hides the
others. Weights are read as safetensors and nothing else, since a pickle may carry code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from engine import runtime, store
from engine.errors import Cancelled, EngineError
from engine.types import BoxLayout, Floats, Layer, ModelCard, Preprocess, Task

if TYPE_CHECKING:
    from torch import nn

_log = logging.getLogger(__name__)
_MODELS = store.RESOURCES / "models"

_cards: dict[Path, tuple[int, ModelCard | EngineError]] = {}  # what was read, by path, with the file's time
_digests: dict[Path, tuple[int, int, str]] = {}


# ----------------------------------------------------------------------------------------------------- cards


def model_cards() -> list[ModelCard]:
    """All models: the bundled ones, then trained runs, newest first. Damaged cards are left out (see `damaged`)."""
    return [card for card in _entries() if isinstance(card, ModelCard)]


def damaged() -> list[EngineError]:
    """What is wrong with each card that cannot be used."""
    return [card for card in _entries() if isinstance(card, EngineError)]


def model_card(name: str) -> ModelCard:
    """The card called `name`.

    Raises:
        EngineError: there is none; the hint lists similar names.
    """
    cards = model_cards()
    for card in cards:
        if card.name == name:
            return card
    for path, origin in _paths():
        if name in (path.parent.name if origin == "trained" else path.stem,):
            read = _read(path, origin)
            if isinstance(read, EngineError):
                raise read
    names = [card.name for card in cards]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif names:
        hint = f"There are: {', '.join(names)}."
    else:
        hint = "Train one first: the Train page, or “python main.py train RUN.toml”."
    raise EngineError(f"There is no model called “{name}”.", hint)


def read_card(path: Path) -> ModelCard:
    """The card in a JSON file; the path of its weights is taken relative to that file.

    Raises:
        EngineError: the file cannot be read or is no card.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(
            f"The model card {path} cannot be read: {error.strerror or error}.", "Check that the file is there."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged_card(path, "it is not valid JSON") from error
    try:
        return _card_from(values, path.parent)
    except ValueError as error:
        raise _damaged_card(path, str(error)) from error


def write_card(card: ModelCard, path: Path) -> None:
    """Write `card` as JSON with all of its fields; the path of the weights becomes relative to the file.

    Raises:
        EngineError: the folder cannot be written to or the disk is full.
    """
    values = dataclasses.asdict(card)
    if card.weights is not None:
        weights = card.weights.resolve()
        with contextlib.suppress(ValueError):
            weights = weights.relative_to(path.parent.resolve())
        values["weights"] = weights.as_posix()
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    store.replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _card_from(values: Any, folder: Path) -> ModelCard:
    """The card in what a JSON file held, with every field checked (ValueError), since anybody may have written it."""
    values = _checked(values, ModelCard, _CARD, "")
    kind = _checked(values["preprocess"], Preprocess, _PREPROCESS, "preprocess.")
    layers = [_checked(each, Layer, _LAYER, "layers.") for each in values.get("layers", ())]
    weights = values.get("weights")
    card = ModelCard(
        **{
            **values,
            "classes": tuple(values["classes"]),
            "strides": tuple(values.get("strides", ())),
            "offered": tuple(values.get("offered", ())),
            "preprocess": Preprocess(**{**kind, "mean": tuple(kind["mean"]), "std": tuple(kind["std"])}),
            "layers": tuple(Layer(**{**layer, "shape": tuple(layer["shape"])}) for layer in layers),
            "weights": folder / weights if weights else None,
        }
    )
    if not len(kind["mean"]) == len(kind["std"]) == kind["channels"]:
        raise ValueError("its “preprocess” needs a mean and a std for each channel")
    if card.reject and card.reject not in card.classes:
        raise ValueError(f"its class “{card.reject}” is not among its classes")
    return card


def _checked(values: Any, kind: type, rules: Mapping[str, Callable[[Any], bool]], where: str) -> dict[str, Any]:
    """Those of `values` that are fields of `kind`, all as its rules have them; a newer version may know more fields."""
    if not isinstance(values, dict):
        raise ValueError(f"its “{where.rstrip('.')}” is no table of names and values" if where else "it holds no card")
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name not in values:
            if optional:
                continue
            raise ValueError(f"its “{where}{field.name}” is missing")
        if not rules[field.name](values[field.name]):
            raise ValueError(f"its “{where}{field.name}” makes no sense")
        found[field.name] = values[field.name]
    return found


def _text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _name(value: Any) -> bool:
    return _text(value) and value != ""


def _number(value: Any) -> bool:
    # An integer of JSON may have more digits than any float, which isfinite does not survive.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e30 < value < 1e30


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _count(value: Any, low: int = 0, high: int = 10**15) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _list_of(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(rule, value))


def _table_of(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(rule, value.values()))


_CARD: dict[str, Callable[[Any], bool]] = {
    "name": _name,
    "title": _name,
    "task": lambda value: value in get_args(Task),
    "architecture": _name,
    "classes": lambda value: _list_of(_text)(value) and bool(value),
    "preprocess": lambda value: isinstance(value, dict),
    "arguments": lambda value: isinstance(value, dict),
    "reject": _text,
    "reject_above": _positive,
    "temperature": _positive,
    "boxes": lambda value: value in get_args(BoxLayout),
    "strides": _list_of(lambda value: _count(value, 1, 1024)),
    "offered": _list_of(_text),
    "min_score": _number,
    "layers": _list_of(lambda value: isinstance(value, dict)),
    "weights": lambda value: value is None or _text(value),
    "sha256": _text,
    "parameters": _count,
    "metrics": _table_of(_number),
    "notes": _text,
    "recipe": _text,
    "licence": _text,
    "origin": lambda value: value in ("bundled", "trained", "downloaded", "random"),
}
_PREPROCESS: dict[str, Callable[[Any], bool]] = {
    "kind": lambda value: value in ("drawing", "picture", "letterbox"),
    "size": lambda value: _count(value, 1, 4096),
    "channels": lambda value: _count(value) and value in (1, 3),
    "mean": _list_of(_number),
    "std": _list_of(_positive),
    "resize": lambda value: _count(value, 0, 4096),
    "digits": lambda value: isinstance(value, bool),
}
_LAYER: dict[str, Callable[[Any], bool]] = {
    "name": _name,
    "title": _text,
    "shape": lambda value: _list_of(lambda side: _count(side, 1))(value) and len(value) == 3,
    "weights": _text,
}


def _damaged_card(path: Path, cause: str) -> EngineError:
    _log.debug("card %s: %s", path, cause)
    return EngineError(f"The model card {path} is damaged: {cause}.", "Delete the file, or train the model anew.")


def _paths() -> list[tuple[Path, str]]:
    bundled = [(path, "bundled") for path in sorted(_MODELS.glob("*.json"))]
    trained: list[tuple[float, Path]] = []
    for path in store.runs_folder().glob("*/model.json"):
        with contextlib.suppress(OSError):  # a run that is being discarded
            trained.append((path.stat().st_mtime, path))
    return bundled + [(path, "trained") for _, path in sorted(trained, reverse=True)]


def _read(path: Path, origin: str) -> ModelCard | EngineError:
    """The card at `path`, read again only when the file has changed."""
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        stamp = 0
    if path in _cards and _cards[path][0] == stamp:
        return _cards[path][1]
    card: ModelCard | EngineError
    try:
        card = read_card(path)
        if origin == "trained":
            card = dataclasses.replace(card, name=path.parent.name, origin="trained")
    except EngineError as error:
        card = error
    _cards[path] = (stamp, card)
    return card


def _entries() -> list[ModelCard | EngineError]:
    entries: list[ModelCard | EngineError] = []
    taken: set[str] = set()
    for path, origin in _paths():
        card = _read(path, origin)
        if isinstance(card, ModelCard):
            if card.name in taken:  # only a run that was put into such a folder by hand (see `new_run`)
                card = EngineError(
                    f"The run in {path.parent} has the name of a bundled model.", "Rename its folder to use it."
                )
            else:
                taken.add(card.name)
        entries.append(card)
    return entries


# --------------------------------------------------------------------------------------------------- weights


def weights_digest(card: ModelCard) -> str:
    """SHA-256 of the weights file in hexadecimal, compared with the card's; "random" for a card without weights.

    Raises:
        EngineError: the file is missing, or is not the one that the card was written for.
    """
    if card.weights is None:
        return "random"
    try:
        status = card.weights.stat()
        known = _digests.get(card.weights)
        if known is None or known[:2] != (status.st_mtime_ns, status.st_size):
            with card.weights.open("rb") as file:
                known = (status.st_mtime_ns, status.st_size, hashlib.file_digest(file, "sha256").hexdigest())
            _digests[card.weights] = known
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise EngineError(
            f"The weights of “{card.name}” cannot be read: {getattr(error, 'strerror', None) or error}.",
            f"Check that {card.weights} is there, or choose another model.",
        ) from error
    if card.sha256 and known[2] != card.sha256:
        raise EngineError(
            f"The weights of “{card.name}” are damaged: their checksum is not the card's.",
            "Install ConvScope anew." if card.origin == "bundled" else "Train or download the model again.",
        )
    return known[2]


def network(card: ModelCard) -> nn.Module:
    """The torch network of `card` with its weights, ready for inference. Imports torch.

    Raises:
        EngineError: the architecture is unknown, or the weights are damaged or belong to another network.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from engine import networks

    weights_digest(card)
    state = None
    if card.weights is not None:
        try:
            state = load_file(card.weights)
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged_weights(card) from error
    try:
        with torch.random.fork_rng(devices=[]):  # a card without weights is the same network every time
            torch.manual_seed(0)
            net = networks.build(
                card.architecture,
                classes=len(card.classes),
                channels=card.preprocess.channels,
                image_size=card.preprocess.size,
                **card.arguments,
            )
        if state is not None:
            net.load_state_dict(state)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise EngineError(
            f"The weights of “{card.name}” do not fit its architecture “{card.architecture}”.",
            "Its card and its weights belong to different models; train it again or choose another one.",
        ) from error
    return net.eval()


def open_network(
    card: ModelCard, *, interactive: bool = True, cancelled: Callable[[], bool] = lambda: False
) -> runtime.Network:
    """The network of `card`, ready to run on this machine's best device.

    On a processor the first use of new weights converts them, which takes some seconds, in a process of its own
    unless torch is loaded here already: loading torch would make the window stutter.

    Args:
        interactive: leave a core to the window.
        cancelled: asked while a conversion runs whether it is still wanted.

    Raises:
        EngineError: weights or card are damaged; `Cancelled` when no longer wanted.
    """
    digest = weights_digest(card)
    device = runtime.best_device()
    folder = runtime.converted_folder(card, digest)
    if device.kind == "openvino" and not (folder / "about.json").exists() and not runtime.loaded_torch():
        _convert_elsewhere(card, cancelled)
    return runtime.open_network(
        card, digest=digest, build=lambda: network(card), interactive=interactive, device=device
    )


def _convert_elsewhere(card: ModelCard, cancelled: Callable[[], bool]) -> None:
    """Convert in another process. Where that fails, `runtime.open_network` tries (and explains) it in this one."""
    request = store.cache_folder() / "networks" / f"request-{os.getpid()}.json"
    try:
        write_card(card, request)
    except EngineError as error:  # no room for it; then there is none for a converted network either
        _log.info("%s", error)
        return
    root = str(Path(__file__).resolve().parents[1])
    others = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    try:
        process = subprocess.Popen(
            # -P, and no empty part above: what lies in the folder that this program was started from is not ours.
            [sys.executable, "-P", "-c", "import sys; from engine import zoo; zoo._convert(sys.argv[1])", str(request)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *others])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                code_of_exit = process.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                if cancelled():
                    process.kill()
                    process.wait()
                    raise Cancelled("Loading the model") from None
        if code_of_exit:
            _log.info("the process that converts %s ended with %d", card.name, code_of_exit)
    except OSError as error:
        _log.info("no process to convert %s: %s", card.name, error)
    finally:
        request.unlink(missing_ok=True)


def _convert(request: str) -> None:
    card = read_card(Path(request))
    runtime.convert(card, digest=weights_digest(card), build=lambda: network(card))


def _damaged_weights(card: ModelCard) -> EngineError:
    return EngineError(
        f"The weights of “{card.name}” are not a safetensors file, or a damaged one.",
        "Train or download the model again; other kinds of weight files are not opened because they may hold programs.",
    )


def kernels(card: ModelCard, layer: str) -> Floats | None:
    """The kernels of one layer, read from the weights file without torch.

    Returns:
        (out, in, h, w) of a convolution, (out, in, 1, 1) of a fully connected layer, float32; None if the layer has
        no such weights or the card has no weights file.

    Raises:
        EngineError: the weights are missing or damaged.
    """
    if card.weights is None:
        return None
    known = {each.name: each.weights for each in card.layers}
    key = known.get(layer, f"{layer}.weight")
    if not key:
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(card.weights, framework="numpy") as file:
            if key not in file.keys():  # noqa: SIM118 (it is no mapping)
                return None
            weights = np.asarray(file.get_tensor(key), dtype=np.float32)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise _damaged_weights(card) from error
    if weights.ndim == 2:
        return weights[:, :, None, None]
    return weights if weights.ndim == 4 else None
