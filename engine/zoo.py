"""The zoo: every model that can be used, each with its card.

A card is a JSON file beside its weights. Bundled ones lie in `resources/models`, a trained one in the folder of its
run, one that was downloaded or imported in a folder of the user's `models`; either takes the name of its folder.
Listing cards costs neither torch nor a look at the weights; a damaged card never hides the others.

The well-known networks that are a click away are in `catalogue`, with cards that have no weights yet. The official
files of torchvision's are pickles, which may carry code: their checksum is compared first, they are opened in a process
of its own that makes tensors and nothing else of them, and what is kept is safetensors, as everywhere. Those of OpenCV
are ONNX, which carries none, and are kept as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from engine import downloads, elsewhere, runtime, store
from engine.errors import Cancelled, EngineError
from engine.networks import onnx
from engine.types import BoxLayout, Download, Floats, Layer, ModelCard, Preprocess, Task

if TYPE_CHECKING:
    from torch import nn

_log = logging.getLogger(__name__)
_MODELS = store.RESOURCES / "models"
_CATALOGUE = store.RESOURCES / "catalogue.json"  # made by packaging/catalogue.py

ONNX = "onnx"  # the architecture of networks that were imported as they are, see `engine.networks.onnx`
OPENCV = ("opencv-yunet", "opencv-sface")  # those of networks that OpenCV runs, see `engine.networks.opencv_faces`

_USUAL_CALIBRATION = (20.0, -6.0)  # of networks like ArcFace: even odds at a cosine of 0.3
_USUAL_THRESHOLD = 0.42

_cards: dict[Path, tuple[int, ModelCard | EngineError]] = {}  # what was read, by path, with the file's time
_digests: dict[Path, tuple[int, int, str]] = {}


# ----------------------------------------------------------------------------------------------------- cards


def model_cards() -> list[ModelCard]:
    """All models that can run now: the bundled ones, those downloaded or imported, then trained runs, newest first.

    Damaged cards are left out (see `damaged`), and so is what is still to be downloaded (see `catalogue`).
    """
    return [card for card in _entries() if isinstance(card, ModelCard)]


def catalogue() -> list[ModelCard]:
    """The well-known models with what is published of them; none of these cards has weights.

    One that was downloaded is in `model_cards` as well, under the same name.
    """
    return list(_catalogue())


def available(card: ModelCard) -> bool:
    """Whether the weights of `card` are on this computer."""
    return card.weights is not None and card.weights.is_file()


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
        if name in (path.stem if origin == "bundled" else path.parent.name,):
            read = _read(path, origin)
            if isinstance(read, EngineError):
                raise read
    for card in catalogue():
        if card.name == name and card.download is not None:
            raise EngineError(
                f"“{card.title}” is not on this computer yet: {downloads.megabytes(card.download.size)} to download.",
                f"Get it on the Models page, or with “python main.py get {name}”.",
            )
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
    text = json.dumps(_values(card, path.parent), indent=2, ensure_ascii=False) + "\n"
    store.replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _values(card: ModelCard, folder: Path) -> dict[str, Any]:
    """A card as JSON has it, for a file in `folder`."""
    values = dataclasses.asdict(card)
    for name, file in (("weights", card.weights), ("quantised", card.quantised)):
        if file is not None:
            place = file.resolve()
            with contextlib.suppress(ValueError):
                place = place.relative_to(folder.resolve())
            values[name] = place.as_posix()
    return values


def _card_from(values: Any, folder: Path) -> ModelCard:
    """The card in what a JSON file held, with every field checked (ValueError), since anybody may have written it."""
    values = _checked(values, ModelCard, _CARD, "")
    kind = _checked(values["preprocess"], Preprocess, _PREPROCESS, "preprocess.")
    layers = [_checked(each, Layer, _LAYER, "layers.") for each in values.get("layers", ())]
    weights, quantised, download = values.get("weights"), values.get("quantised"), values.get("download")
    if download is not None:
        download = Download(**_checked(download, Download, _DOWNLOAD, "download."))
    card = ModelCard(
        **{
            **values,
            "classes": tuple(values["classes"]),
            "strides": tuple(values.get("strides", ())),
            "offered": tuple(values.get("offered", ())),
            "calibration": tuple(values.get("calibration", (1.0, 0.0))),
            "preprocess": Preprocess(**{**kind, "mean": tuple(kind["mean"]), "std": tuple(kind["std"])}),
            "layers": tuple(Layer(**{**layer, "shape": tuple(layer["shape"])}) for layer in layers),
            "weights": folder / weights if weights else None,
            "quantised": folder / quantised if quantised else None,
            "download": download,
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
    "many": lambda value: isinstance(value, bool),
    "boxes": lambda value: value in get_args(BoxLayout),
    "strides": _list_of(lambda value: _count(value, 1, 1024)),
    "offered": _list_of(_text),
    "min_score": _number,
    "landmarks": lambda value: _count(value, 0, 1000),
    "finder": _text,
    "calibration": lambda value: _list_of(_number)(value) and len(value) == 2,
    "threshold": lambda value: _number(value) and -1 <= value <= 1,
    "layers": _list_of(lambda value: isinstance(value, dict)),
    "weights": lambda value: value is None or _text(value),
    "quantised": lambda value: value is None or _text(value),
    "sha256": _text,
    "parameters": _count,
    "metrics": _table_of(_number),
    "published": _table_of(_number),
    "operations": lambda value: _number(value) and value >= 0,
    "download": lambda value: value is None or isinstance(value, dict),
    "notes": _text,
    "recipe": _text,
    "licence": _text,
    "origin": lambda value: value in ("bundled", "trained", "downloaded", "imported", "random"),
}
_DOWNLOAD: dict[str, Callable[[Any], bool]] = {
    "url": lambda value: _text(value) and value.startswith(("https://", "http://")) and not value.endswith("/"),
    "size": lambda value: _count(value, 1),
    "sha256": lambda value: _text(value) and 8 <= len(value) <= 64 and set(value) <= set("0123456789abcdef"),
}
_PREPROCESS: dict[str, Callable[[Any], bool]] = {
    "kind": lambda value: value in ("drawing", "picture", "letterbox", "face"),
    "size": lambda value: _count(value, 1, 4096),
    "channels": lambda value: _count(value) and value in (1, 3),
    "mean": _list_of(_number),
    "std": _list_of(_positive),
    "resize": lambda value: _count(value, 0, 4096),
    "digits": lambda value: isinstance(value, bool),
    "around": _positive,
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
    fetched = [(path, "fetched") for path in sorted(_models_folder().glob("*/model.json"))]
    trained: list[tuple[float, Path]] = []
    for path in store.runs_folder().glob("*/model.json"):
        with contextlib.suppress(OSError):  # a run that is being discarded
            trained.append((path.stat().st_mtime, path))
    return bundled + fetched + [(path, "trained") for _, path in sorted(trained, reverse=True)]


def _models_folder() -> Path:
    """Where models that were downloaded or imported are kept, each in a folder of its own."""
    return store.data_folder() / "models"


@functools.cache
def _catalogue() -> tuple[ModelCard, ...]:
    values = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    classes = values["classes"]
    cards = [{**model, "classes": classes[model["classes"]]} for model in values["models"]]
    return tuple(_card_from(card, _CATALOGUE.parent) for card in cards)


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
        # A graph in 8 bits has no checksum and is opened in this process, so only bundled ones are.
        card = read_card(path)
        if origin == "trained":
            card = dataclasses.replace(card, name=path.parent.name, origin="trained", quantised=None)
        elif origin == "fetched":
            known: Literal["downloaded", "imported"] = "downloaded" if card.origin == "downloaded" else "imported"
            card = dataclasses.replace(card, name=path.parent.name, origin=known, quantised=None)
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
            if card.name in taken:  # see `new_run` and `_new_name`, which take no such name
                what = "run" if origin == "trained" else "model"
                card = EngineError(
                    f"The {what} in {path.parent} has the name of another model.", "Rename its folder to use it."
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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights_digest(card)
    state = None
    if card.weights is not None:
        try:
            state = load_file(card.weights)
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged_weights(card) from error
    try:
        return _with_weights(card, state)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise EngineError(
            f"The weights of “{card.name}” do not fit its architecture “{card.architecture}”.",
            "Its card and its weights belong to different models; train it again or choose another one.",
        ) from error


def _with_weights(card: ModelCard, state: Mapping[str, Any] | None) -> nn.Module:
    """The network of `card` with these weights, or with random ones that are the same every time."""
    import torch

    from engine import networks

    with torch.random.fork_rng(devices=[]):
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
    if card.architecture in OPENCV:
        from engine.networks import opencv_faces

        return opencv_faces.open_network(card)
    if card.architecture == ONNX:
        device = runtime.processor("networks from ONNX files run on the processor")
    else:
        device = runtime.best_device()
    folder = runtime.converted_folder(card, digest)
    if device.kind == "openvino" and not (folder / "about.json").exists() and not runtime.loaded_torch():
        _convert_elsewhere(card, cancelled)
    return runtime.open_network(card, digest=digest, build=lambda: _built(card), interactive=interactive, device=device)


def _built(card: ModelCard) -> nn.Module | runtime.Graph:
    """What the runtime converts."""
    if card.architecture != ONNX:
        return network(card)
    return onnx.graph(card)


def _convert_elsewhere(card: ModelCard, cancelled: Callable[[], bool]) -> None:
    """Convert in another process. Where that fails, `runtime.open_network` tries (and explains) it in this one."""
    try:
        elsewhere.call(
            "engine.zoo:_convert", what="Loading the model", cancelled=cancelled, card=_values(card, Path("/"))
        )
    except Cancelled:
        raise
    except EngineError as error:
        _log.info("%s was not converted in another process: %s", card.name, error)


def _convert(card: dict[str, Any]) -> None:
    known = _from_values(card)
    runtime.convert(known, digest=weights_digest(known), build=lambda: _built(known))


def _from_values(values: dict[str, Any]) -> ModelCard:
    """A card that came from the window's process."""
    return _card_from(values, Path("/"))


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
    if card.weights is None or card.architecture in (ONNX, *OPENCV):
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


# ------------------------------------------------------------------------------ downloaded, imported, and removed


def download_model(
    card: ModelCard,
    *,
    progress: downloads.Progress = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ModelCard:
    """Fetch the official weights of a card of the `catalogue` and keep them; the card of the model that can run now.

    Args:
        progress: told the bytes that are there and those that there will be.
        cancelled: asked often; what has arrived is kept for the next time.

    Raises:
        EngineError: no network (the hint says how to do without), no room, or another file; `Cancelled`.
    """
    record = _record(card)
    file = downloads.fetch(
        record.url,
        store.cache_folder() / "downloads" / record.file_name,
        checksum=f"sha256:{record.sha256}",
        size=record.size,
        otherwise=without_network(card),
        progress=progress,
        cancelled=cancelled,
    )
    kept = import_weights(file, card, cancelled=cancelled)
    with contextlib.suppress(OSError):
        file.unlink()
    return kept


def without_network(card: ModelCard) -> str:
    """How to get the weights of a card of the `catalogue` onto a computer without a network, for people."""
    record = _record(card)
    return (
        f"Without a network: load {record.file_name} ({downloads.megabytes(record.size)}) from {record.url} on another "
        f"computer, bring it here, and choose “Import a file…” (or: python main.py get {card.name} --file FILE)."
    )


def import_weights(path: Path, card: ModelCard, *, cancelled: Callable[[], bool] = lambda: False) -> ModelCard:
    """Take the official weights of a card of the `catalogue` from a file, whatever it is called.

    The file is recognised by its checksum, read in a process of its own as tensors and nothing else, compared with the
    architecture, and kept as safetensors.

    Raises:
        EngineError: the file cannot be read, is another one, or there is no room; `Cancelled`.
    """
    record = _record(card)
    try:
        digest = downloads.digest_of(path)
    except OSError as error:
        raise EngineError(
            f"{path.name} cannot be read: {error.strerror or error}.", "Choose a file that is on this computer."
        ) from error
    if not digest.startswith(record.sha256):
        raise _another_file(path, card, digest)
    elsewhere.call(
        "engine.zoo:_keep_weights",
        what=f"Reading {path.name}",
        hint="Close other programs if memory is short, and try again.",
        cancelled=cancelled,
        card=_values(card, Path("/")),
        file=str(path.absolute()),
    )
    return model_card(card.name)


def read_onnx(path: Path, *, cancelled: Callable[[], bool] = lambda: False) -> onnx.OnnxFound:
    """What the network in an ONNX file is, and what must be asked about it (`OnnxFound.questions`).

    Raises:
        EngineError: it is no ONNX file, or a damaged one, or neither a detector nor a network for faces of a known
            kind; `Cancelled`.
    """
    found = elsewhere.call(
        "engine.zoo:_inspect_onnx",
        what=f"Reading {path.name}",
        hint="The file may be damaged, or too large for this computer's memory.",
        cancelled=cancelled,
        file=str(path.absolute()),
    )
    return onnx.OnnxFound(
        found["facts"], tuple(found["unsure"]), found["made_by"], found["licence"], found["parameters"]
    )


def import_onnx(
    path: Path,
    found: onnx.OnnxFound,
    answers: Mapping[str, Any] | None = None,
    *,
    title: str = "",
    cancelled: Callable[[], bool] = lambda: False,
) -> ModelCard:
    """Make the detector, or the network for faces, in an ONNX file a model of the zoo; the file is copied.

    Args:
        answers: to the questions about it, by the name of the fact; what is missing is taken as found.
        title: for people; "" takes the file's name.

    Raises:
        EngineError: the answers do not fit the network, or there is no room; `Cancelled`.
    """
    facts = {**found.facts, **(answers or {})}
    classes = [str(name).strip() for name in facts.pop("classes") if str(name).strip()]
    count = found.count_with(facts)
    facts.pop("count")
    if not classes:
        classes = [f"class {number}" for number in range(1, count + 1)]
    if not classes:
        raise EngineError("A detector needs at least one class.", "Name its classes, or say how many there are.")
    mean, deviation = onnx.NORMALISATION[facts.pop("input")]
    square = facts.pop("square")
    said = f"Imported from {path.name}" + (f", made by {found.made_by}." if found.made_by else ".")
    if facts["form"] == onnx.EMBEDDING:
        special: dict[str, Any] = {
            "task": "faces",
            "preprocess": Preprocess("face", square, 3, mean, deviation),
            "finder": "face-detector",
            "calibration": _USUAL_CALIBRATION,
            "threshold": _USUAL_THRESHOLD,
            "notes": f"{said} How sure it is of a name is guessed from what networks of its kind are usually like, and "
            "was not measured; “python main.py evaluate” measures it on pairs of faces.",
        }
    else:
        kind = Preprocess("letterbox", square, 3, mean, deviation)
        special = {"task": "detection", "preprocess": kind, "boxes": "corners", "notes": said}
    name = _new_name(title or path.stem)
    folder = _models_folder() / name
    weights = folder / "model.onnx"
    try:
        store.replace_file(weights, lambda temporary: shutil.copyfile(path, temporary))
        card = ModelCard(
            name=name,
            title=title or path.stem,
            architecture=ONNX,
            arguments=facts,
            classes=tuple(classes),
            weights=weights,
            sha256=downloads.digest_of(weights),
            parameters=found.parameters,
            **special,
            licence=found.licence or "Not said in its file; ask whoever made it.",
            origin="imported",
        )
        elsewhere.call(
            "engine.zoo:_convert",
            what=f"Reading {path.name}",
            hint="The file may be too large for this computer's memory.",
            cancelled=cancelled,
            card=_values(card, Path("/")),
        )
        write_card(card, folder / "model.json")
    except EngineError:
        store.remove_folder(folder)
        raise
    return model_card(name)


def _inspect_onnx(file: str) -> dict[str, Any]:
    return dataclasses.asdict(onnx.inspect(Path(file)))


def _new_name(title: str) -> str:
    """A name for a new model that no other one has, good for a folder and for `--model`."""
    stem = re.sub(r"[^\w-]+", "-", title).strip("-").lower()[:60] or "imported"
    taken = taken_names() | {folder.name for folder in _models_folder().glob("*")}
    return next(name for name in (stem, *(f"{stem}-{number}" for number in range(2, 10**6))) if name not in taken)


def remove_model(card: ModelCard) -> None:
    """Delete a model that was downloaded or imported, with its card.

    Raises:
        EngineError: it is none of these, or the folder could not be deleted.
    """
    folder = own_folder(card)
    if folder is None:
        raise EngineError(f"“{card.title}” was neither downloaded nor imported.", "It cannot be deleted here.")
    store.remove_folder(folder)
    if folder.exists():
        raise EngineError(f"“{card.title}” could not be deleted.", f"Check that {folder} may be written to.")


def own_folder(card: ModelCard) -> Path | None:
    """The folder of a model that was downloaded or imported; None for every other."""
    if card.origin not in ("downloaded", "imported") or card.weights is None:
        return None
    folder = card.weights.parent
    return folder if folder.parent == _models_folder() else None


def taken_names() -> set[str]:
    """The names that a new model must not have."""
    return {card.name for card in (*model_cards(), *catalogue())}


def _record(card: ModelCard) -> Download:
    if card.download is None:
        raise EngineError(f"“{card.title}” is not to be had by a download.", "")
    return card.download


def _another_file(path: Path, card: ModelCard, digest: str) -> EngineError:
    record = _record(card)
    for other in catalogue():
        if other.download is not None and digest.startswith(other.download.sha256):
            return EngineError(
                f"{path.name} is the official file of “{other.title}”, not of “{card.title}”.",
                f"Import it there. For this model choose {record.file_name}.",
            )
    size = path.stat().st_size
    return EngineError(
        f"{path.name} is not the official file of “{card.title}”: its checksum begins with {digest[:8]}, not with "
        f"{record.sha256}.",
        f"Choose {record.file_name} ({downloads.megabytes(record.size)}; yours has {downloads.megabytes(size)}). If "
        "that is it, it is damaged: load it again.",
    )


def _keep_weights(card: dict[str, Any], file: str) -> None:
    """In a process of its own: an official file becomes a model of the zoo."""
    known, path = _from_values(card), Path(file)
    if known.architecture in OPENCV:
        _keep(known, "model.onnx", path.read_bytes(), path)
        return
    import torch
    from safetensors.torch import save

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is not what it seems makes of the reader
        raise EngineError(
            f"{path.name} holds something else than weights, or is damaged; nothing in it was run.",
            f"Load {_record(known).file_name} again.",
        ) from error
    try:
        net = _with_weights(known, state)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise EngineError(
            f"The weights in {path.name} do not fit “{known.title}”.",
            "This version of torchvision may build it otherwise; update ConvScope.",
        ) from error
    data = save({name: values.contiguous() for name, values in net.state_dict().items()})
    _keep(known, "model.safetensors", data, path)


def _keep(card: ModelCard, name: str, data: bytes, path: Path) -> None:
    """Write the weights that came from `path` and the card of a model that was downloaded.

    Raises:
        EngineError: there is no room, or OpenCV cannot run what it is to run.
    """
    folder = _models_folder() / card.name
    weights = folder / name
    kept = dataclasses.replace(
        card, weights=weights, sha256=hashlib.sha256(data).hexdigest(), origin="downloaded", layers=()
    )
    there = (folder / "model.json").exists()
    if not there:  # what a process that was ended in the middle has left
        store.remove_folder(folder)
    try:
        if card.architecture in OPENCV:
            from engine.networks import opencv_faces

            opencv_faces.open_network(dataclasses.replace(card, weights=path))
        store.replace_file(weights, lambda temporary: temporary.write_bytes(data))
        write_card(kept, folder / "model.json")
    except EngineError:
        if not there:  # otherwise the model that was here before is as good as it was
            store.remove_folder(folder)
        raise
