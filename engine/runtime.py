"""Where a network runs, and why there: CUDA, Apple's GPU, or the processor through OpenVINO.

A card and its weights enter, a `Network` leaves: batches in, logits and the output of any layer out. On a
processor the torch network is converted once (`convert`, in a process of its own where torch is not loaded yet) and
kept in the cache folder; from then on only OpenVINO is imported, which starts in a tenth of the time that torch
needs and answers several times faster.

The one converted file has every layer as a named output. What is not asked for is cut off before it is compiled, so
that looking into a layer costs the prediction next to nothing. Networks for drawings take any number of digits at a
time, those for faces any number of faces; those for pictures are compiled for one picture. Pictures and faces enter as
they are, bytes and all: the normalisation is a part of the graph (measured on one core with a detector of 1.1 million
parameters at 320: 8.3 ms instead of 11.7).

A bundled network may bring its converted file along, with its multiplications in 8 bits (`ModelCard.quantised`). A
processor that has instructions for those runs that one, in half the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from engine import store
from engine.errors import EngineError
from engine.types import Floats, Image, Layer, ModelCard

if TYPE_CHECKING:
    import torch
    from torch import nn

_log = logging.getLogger(__name__)

SOFTMAX = "softmax"  # the last layer of every classifier: its probabilities

WEIGHTS_OF = ("convscope", "weights")  # where a graph in 8 bits says from which weights it was made

_LOGITS = "logits"
_FORMAT = 3  # of the converted networks; another number leaves the old ones unread
_SMALL = 100_000_000  # multiplications for an input up to which one thread is as fast as several, in full precision
_PROCESSOR = Path("/proc/cpuinfo")  # what Linux says of it
_KEPT_FOLDERS = 40  # converted networks kept on disk; every epoch of a run that is looked at makes one
_ABANDONED = 3600.0  # seconds after which nobody is still writing what lies half converted on disk
_KEPT_VARIANTS = 3  # compiled networks kept per model, so that going back to a layer is instant


@dataclass(frozen=True)
class Device:
    """Where networks run on this machine.

    Attributes:
        kind: what runs them.
        title: for people ("CPU · OpenVINO").
        why: why there and not elsewhere ("no CUDA device found").
    """

    kind: Literal["cuda", "mps", "openvino", "opencv", "torch"]
    title: str
    why: str


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in OpenVINO's form, before it is compiled.

    Attributes:
        model: an `openvino.Model` whose outputs are named "logits" and as the layers.
        layers: those that can be looked into, in the order of the outputs.
        parameters: number of its weights.
        work: multiplications for one input.
        exact: it must be computed in single precision: it calculates with places, not only with features.
    """

    model: Any
    layers: tuple[Layer, ...]
    parameters: int
    work: int
    exact: bool = False


class Network(Protocol):
    """A network that is ready to run. Use it from one thread at a time."""

    device: Device
    layers: tuple[Layer, ...]
    parameters: int

    def run(self, batch: Floats | Image, layer: str | None = None) -> tuple[Floats, Floats | None]:
        """Logits (N, classes) of a batch, and the output of `layer`: (N, ...) as the layer gives it.

        Of a detector the logits are its candidates, (N, A, 4 + classes), as `ModelCard.boxes` tells; of a network for
        faces they are embeddings (N, D), not yet of length 1.

        Args:
            batch: (N, C, H, W) float32, normalised as the card says, or (N, H, W, C) uint8, pictures as they are. The
                first is the shorter way for a network for drawings, the second for one for pictures or faces.
            layer: one of `layers` other than the softmax, or None.
        """
        ...


def best_device() -> Device:
    """The fastest device of this machine; torch is only imported where a GPU is likely."""
    if _cuda_driver_sees_a_device():
        import torch

        if torch.cuda.is_available():
            return Device("cuda", f"{torch.cuda.get_device_name(0)} · CUDA", "fastest device found")
        why = "a CUDA device is there, but this PyTorch cannot use it"
    elif sys.platform == "darwin" and platform.machine() == "arm64":
        import torch

        if torch.backends.mps.is_available():
            return Device("mps", "Apple GPU · MPS", "fastest device found")
        why = "this PyTorch cannot use the Apple GPU"
    else:
        why = "no CUDA device found"
    return processor(why)


def processor(why: str) -> Device:
    """The processor, and why it is what is used."""
    if _openvino_version():
        return Device("openvino", "CPU · OpenVINO", why)
    return Device("torch", "CPU · PyTorch", f"{why}, and OpenVINO is not installed")


def open_network(
    card: ModelCard,
    *,
    digest: str,
    build: Callable[[], nn.Module | Graph],
    interactive: bool = True,
    device: Device | None = None,
) -> Network:
    """The network of `card`, ready to run on the best device (or `device`).

    Args:
        digest: names the weights; equal digests are taken to be equal weights.
        build: makes the torch network with its weights; only called where torch is needed.
        interactive: leave a core to the window; otherwise all cores are used.

    Raises:
        EngineError: the weights are damaged, or do not belong to this architecture.
    """
    device = device or best_device()
    if device.kind in ("cuda", "mps"):
        try:
            return _in_torch(card, build(), device, interactive=interactive)
        except RuntimeError as error:  # out of memory, or an operation that this GPU does not know
            _log.info("%s does not run on %s: %s", card.name, device.title, error)
            device = processor("the GPU could not run this network")
    if device.kind == "openvino":
        folder = converted_folder(card, digest)
        try:
            if (folder / "about.json").exists():
                try:
                    return _OpenVINONetwork(card, folder, device, digest=digest, interactive=interactive)
                except Exception as error:  # a damaged file in the cache, which is only a cache: make it again
                    _log.info("%s is converted again: %s", card.name, error)
                    store.remove_folder(folder)
            convert(card, digest=digest, build=build)
            return _OpenVINONetwork(card, folder, device, digest=digest, interactive=interactive)
        except EngineError:
            raise
        except Exception as error:
            kept = isinstance(error, OSError)
            why = "the converted network could not be stored" if kept else "OpenVINO cannot run this network"
            _log.info("%s runs on torch: %s", card.name, error)
            device = Device("torch", "CPU · PyTorch", why)
    return _in_torch(card, build(), device, interactive=interactive)


def _in_torch(card: ModelCard, built: nn.Module | Graph, device: Device, *, interactive: bool) -> Network:
    if isinstance(built, Graph):  # an imported one, which torch cannot run
        raise EngineError(
            f"“{card.title}” cannot run here: {device.why}.", "Install OpenVINO, or free some space for its files."
        )
    return _TorchNetwork(card, built, device, interactive=interactive)


def converted_folder(card: ModelCard, digest: str) -> Path:
    """Where the converted network of `card` is or will be."""
    shape = (card.preprocess.channels, card.preprocess.size, len(card.classes), _one_at_a_time(card))
    key = json.dumps(
        [_FORMAT, digest, card.architecture, dict(card.arguments), shape, _openvino_version()], default=str
    )
    return store.cache_folder() / "networks" / hashlib.sha256(key.encode()).hexdigest()[:24]


def convert(card: ModelCard, *, digest: str, build: Callable[[], nn.Module | Graph]) -> Path:
    """Convert a network to OpenVINO's form and keep it; returns its folder. A network of torch imports torch.

    Raises:
        EngineError: the network cannot be built.
        OSError: the cache cannot be written to.
    """
    folder = converted_folder(card, digest)
    built = build()
    graph = built if isinstance(built, Graph) else _graph_of(built, card)
    about = {
        "layers": [dataclasses.asdict(layer) for layer in graph.layers],
        "parameters": graph.parameters,
        "work": graph.work,
        "exact": graph.exact,
    }
    making = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        import_openvino().save_model(graph.model, making / "model.xml", compress_to_fp16=False)
        (making / "about.json").write_text(json.dumps(about), encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # another process was faster: its files are as good
            _move(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    _forget_the_oldest(folder.parent)
    return folder


def _graph_of(net: nn.Module, card: ModelCard) -> Graph:
    """A torch network in OpenVINO's form."""
    import torch

    openvino = import_openvino()
    tapped = _tapped(net)
    side, channels = card.preprocess.size, card.preprocess.channels
    with torch.no_grad():
        layers, work = _layers_of(tapped, channels, side)
        if _one_at_a_time(card):
            program = torch.export.export(tapped, (torch.zeros(1, channels, side, side),), strict=False)
            count = 1
        else:
            any_number = torch.export.Dim("count", min=1, max=65536)
            example = (torch.zeros(2, channels, side, side),)
            program = torch.export.export(tapped, example, dynamic_shapes=({0: any_number},), strict=False)
            count = -1
    model = openvino.convert_model(program, extension=[_suppression()])
    model.reshape([count, channels, side, side])
    for name, output in zip([_LOGITS, *(layer.name for layer in layers)], model.outputs, strict=True):
        output.get_tensor().set_names({name})
    parameters = sum(weight.numel() for weight in net.parameters())
    return Graph(model, layers, parameters, work, exact=bool(getattr(net, "exact", False)))


def _suppression() -> Any:
    """The non-maximum suppression inside a two-stage detector, which OpenVINO knows but under another name."""
    from openvino import opset13 as operations
    from openvino.frontend.pytorch import ConversionExtension

    def convert(context: Any) -> list[Any]:
        boxes, scores, overlap = (context.get_input(number) for number in range(3))
        found = operations.non_max_suppression(
            operations.unsqueeze(boxes, operations.constant(0)),
            operations.unsqueeze(scores, operations.constant([0, 1])),
            operations.squeeze(operations.shape_of(scores), operations.constant(0)),
            overlap,
            operations.constant(np.float32(np.finfo(np.float32).min)),
            box_encoding="corner",
            sort_result_descending=False,
            output_type="i64",
        )
        rows = operations.gather(found.output(0), operations.constant(2), operations.constant(1))
        return [rows.output(0)]  # of (picture, class, box) the box

    return ConversionExtension("torchvision.nms.default", convert)


def _forget_the_oldest(root: Path) -> None:
    ages: list[tuple[float, Path]] = []
    for about in root.glob("*/about.json"):
        with contextlib.suppress(OSError):  # another process forgets, too
            ages.append((about.stat().st_mtime, about.parent))
    for _, folder in sorted(ages, reverse=True)[_KEPT_FOLDERS:]:
        store.remove_folder(folder)
    for making in root.glob(".*.tmp"):  # of a process that was ended in the middle, up to half a gigabyte each
        with contextlib.suppress(OSError):
            if time.time() - making.stat().st_mtime > _ABANDONED:
                store.remove_folder(making)


def _move(folder: Path, to: Path) -> None:
    try:
        folder.rename(to)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES) and (to / "about.json").exists():
            raise FileExistsError(to) from error
        raise


def import_openvino() -> Any:
    """OpenVINO without the package through which it reports its use over the network, and the thread of that."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _openvino_version() -> str:
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cuda_driver_sees_a_device() -> bool:
    """Ask NVIDIA's driver itself, which takes a millisecond; importing torch to ask takes a second or two."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL(name)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def _one_at_a_time(card: ModelCard) -> bool:
    """Whether the converted network takes one input at a time, which is quicker than one for any number."""
    return card.preprocess.kind not in ("drawing", "face")


def bfloat16_is_fast() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32, and the system lets programs use that.

    Intel's does with tiles (AMX); with AVX-512 BF16 alone it is slower (measured on one core: the detector at 320 took
    12.5 ms against 8.3, training digits 1,340 pictures a second against 1,730). On AMD's, AVX-512 BF16 is enough
    (detector 4.9 ms against 8.3, ResNet-50 37 against 74, training digits 1,570 pictures a second against 800).
    """
    instructions = _instructions()
    return "amx_bf16" in instructions or {"avx512_bf16", "AuthenticAMD"} <= instructions


def _instructions() -> set[str]:
    """What the processor can do besides, as Linux lists it; nothing where there is no such list."""
    try:
        return set(_PROCESSOR.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return set()


def _bytes_are_fast() -> bool:
    """Whether the processor has instructions that multiply and add bytes (Intel's and AMD's VNNI, or AMX).

    Older ones compute in 8 bits, too, but hardly faster, and the sums of pairs may be cut off.
    """
    return bool({"avx512_vnni", "avx_vnni", "amx_int8"} & _instructions())


def _threads(work: int, *, interactive: bool) -> int:
    """Threads for one prediction: a small network is not faster on several, and the window needs a core of its own."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not interactive:
        return cores
    return 1 if work <= _SMALL else max(1, cores - 1)


# -------------------------------------------------------------------------------------------- the processor


class _OpenVINONetwork:
    """A converted network, compiled once for each set of outputs that is asked for."""

    def __init__(self, card: ModelCard, folder: Path, device: Device, *, digest: str, interactive: bool) -> None:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        with contextlib.suppress(OSError):
            (folder / "about.json").touch()  # used: not to be forgotten
        work = int(about["work"])
        listed = tuple(Layer(**{**layer, "shape": tuple(layer["shape"])}) for layer in about["layers"])
        self.layers = _with_softmax(listed, card)
        self.parameters = int(about["parameters"])
        self._normalise = (
            [255 * mean for mean in card.preprocess.mean],
            [255 * deviation for deviation in card.preprocess.std],
        )
        self._takes_pixels = card.preprocess.kind != "drawing"
        self._core = import_openvino().Core()
        # No cache of compiled networks: it would load a ResNet-50 0.2 s sooner, for 100 MB of disk a watched layer.
        self._requests: OrderedDict[tuple[str, bool], Any] = OrderedDict()
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": _threads(work, interactive=interactive),
            "ENABLE_CPU_PINNING": False,  # the window's thread may be on that very core
        }
        full = self._core.read_model(folder / "model.xml")
        self._one_at_a_time = full.inputs[0].get_partial_shape()[0].is_static
        if card.quantised and _bytes_are_fast():
            why = f"{device.why}; the processor multiplies bytes in hardware"
            try:
                self._begin(
                    self._in_bytes(card.quantised, full, digest),
                    dataclasses.replace(device, title=f"{device.title} int8", why=why),
                )
                return
            except Exception as error:  # damaged, another network's, or nothing that this OpenVINO can compile
                _log.info("%s is not computed in bytes: %s", card.name, error)
        rounded = work > _SMALL and bfloat16_is_fast() and not about["exact"]
        if rounded:
            why = f"{device.why}; the processor multiplies numbers of half the bits in hardware"
            device = dataclasses.replace(device, title=f"{device.title} bf16", why=why)
        self._begin(full, device, precision="bf16" if rounded else "f32")

    def _begin(self, model: Any, device: Device, *, precision: str = "f32") -> None:
        self._model, self.device = model, device
        self._options["INFERENCE_PRECISION_HINT"] = precision
        self._request("", pixels=self._takes_pixels)

    def run(self, batch: Floats | Image, layer: str | None = None) -> tuple[Floats, Floats | None]:
        if self._one_at_a_time and len(batch) != 1:
            each = [self.run(batch[row : row + 1], layer) for row in range(len(batch))]
            maps = np.concatenate([maps for _, maps in each if maps is not None]) if layer else None
            return np.concatenate([logits for logits, _ in each]), maps
        request = self._request(layer or "", pixels=batch.dtype == np.uint8)
        request.infer({0: batch}, share_inputs=True)
        logits = request.get_tensor(_LOGITS).data.copy()
        return logits, request.get_tensor(layer).data.copy() if layer else None

    def _request(self, layer: str, *, pixels: bool) -> Any:
        """The network compiled for these outputs and for pictures as they are, or for normalised floats."""
        key = (layer, pixels)
        if key in self._requests:
            self._requests.move_to_end(key)
            return self._requests[key]
        wanted = {_LOGITS, layer}
        model = self._model.clone()
        for output in list(model.outputs):
            if not output.get_names() & wanted:
                model.remove_result(output.get_node())
        if pixels:
            model = self._taking_pixels(model)
        request = self._core.compile_model(model, "CPU", self._options).create_infer_request()
        self._requests[key] = request
        if len(self._requests) > _KEPT_VARIANTS:
            usual = ("", self._takes_pixels)
            del self._requests[next(each for each in self._requests if each != usual)]
        return request

    def _in_bytes(self, path: Path, full: Any, digest: str) -> Any:
        """The graph with multiplications in 8 bits that came with the weights.

        Raises:
            Exception: of whatever kind: it is damaged, or not the same network as `full`.
        """
        model = self._core.read_model(path)
        if model.get_rt_info(list(WEIGHTS_OF)).value != digest:
            raise ValueError("it was made from other weights")
        for mine, its in zip([*full.inputs, *full.outputs], [*model.inputs, *model.outputs], strict=True):
            if mine.get_partial_shape() != its.get_partial_shape() or mine.get_names() != its.get_names():
                raise ValueError(f"{its} is not {mine}")
        return model

    def _taking_pixels(self, model: Any) -> Any:
        """The network behind its own normalisation: (N, H, W, C) uint8 in."""
        openvino = import_openvino()
        from openvino.preprocess import PrePostProcessor

        mean, deviation = self._normalise
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(mean).scale(deviation)
        return steps.build()


# ---------------------------------------------------------------------------------------------------- torch


class _TorchNetwork:
    """The torch network itself, on a GPU in half precision, or where there is no OpenVINO on the processor."""

    def __init__(self, card: ModelCard, net: nn.Module, device: Device, *, interactive: bool) -> None:
        import torch

        self.device = device
        self._tapped = _tapped(net)
        side, channels = card.preprocess.size, card.preprocess.channels
        with torch.inference_mode():
            listed, work = _layers_of(self._tapped, channels, side)
        self.layers = _with_softmax(listed, card)
        self.parameters = sum(weight.numel() for weight in net.parameters())
        self._where = torch.device("cpu" if device.kind == "torch" else device.kind)
        halved = device.kind == "cuda" and not getattr(net, "exact", False)
        self._kind = torch.float16 if halved else torch.float32
        self._threads = _threads(work, interactive=interactive)
        if device.kind == "torch":
            torch.set_num_threads(self._threads)
        # Apple's GPU gains nothing from pixels that lie together; the other devices do.
        self._order = torch.contiguous_format if device.kind == "mps" else torch.channels_last
        self._tapped.to(self._where, self._kind, memory_format=self._order)
        levels = torch.tensor((card.preprocess.mean, card.preprocess.std), device=self._where)[:, :, None, None] * 255
        self._mean, self._deviation = levels
        self._run(np.zeros((1, side, side, channels), np.uint8), None)

    def run(self, batch: Floats | Image, layer: str | None = None) -> tuple[Floats, Floats | None]:
        try:
            return self._run(batch, layer)
        except RuntimeError as error:
            if self.device.kind not in ("cuda", "mps") or "out of memory" not in str(error).lower():
                raise
            _log.info("%s: %s", self.device.title, error)
        self._leave_the_gpu()
        return self._run(batch, layer)

    def _leave_the_gpu(self) -> None:
        """Another program has taken the GPU's memory: this network goes on on the processor."""
        import torch

        self._where, self._kind = torch.device("cpu"), torch.float32
        self._tapped.to(self._where, self._kind, memory_format=self._order)
        self._mean, self._deviation = self._mean.to(self._where), self._deviation.to(self._where)
        torch.set_num_threads(self._threads)
        self.device = Device("torch", "CPU · PyTorch", "the GPU ran out of memory")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(self, batch: Floats | Image, layer: str | None) -> tuple[Floats, Floats | None]:
        import torch

        with torch.inference_mode():
            inputs = torch.from_numpy(np.ascontiguousarray(batch)).to(self._where)
            if batch.dtype == np.uint8:  # a quarter of the bytes crosses to a GPU
                inputs = (inputs.permute(0, 3, 1, 2) - self._mean) / self._deviation
            inputs = inputs.to(self._kind)
            self._tapped.wanted = {layer} if layer else set()
            logits, *maps = self._tapped(inputs.contiguous(memory_format=self._order))
            return self._to_numpy(logits), self._to_numpy(maps[0]) if maps else None

    @staticmethod
    def _to_numpy(tensor: torch.Tensor) -> Floats:
        array: Floats = tensor.float().cpu().contiguous().numpy()
        return array


def _tapped(net: nn.Module) -> Any:
    """`net` as a module that returns (logits, output of each wanted layer in the order of the flow).

    A layer is a module without children; one that is used several times counts up ("relu", "relu_1"), as
    torchvision's feature extraction names them.
    """
    import torch
    from torch import nn

    class Tapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.wanted: set[str] | None = None  # None: all
            self.seen: dict[str, torch.Tensor] = {}
            self.modules_seen: dict[str, tuple[str, nn.Module]] = {}
            self._counts: dict[str, int] = {}

        def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            self.seen, self._counts = {}, {}
            logits = self.net(inputs)
            seen, self.seen = self.seen, {}
            return (logits, *seen.values())

        def keep(self, name: str, module: nn.Module, output: Any) -> None:
            count = self._counts.get(name, 0)
            self._counts[name] = count + 1
            key = f"{name}_{count}" if count else name
            if isinstance(output, torch.Tensor) and (self.wanted is None or key in self.wanted):
                # A product of its own, not the tensor itself: the next module may overwrite that in place, and
                # OpenVINO cannot name one tensor twice. Its compiler takes the product out again.
                self.seen[key] = output * 1.0
                self.modules_seen[key] = (name, module)

    tapped = Tapped().eval()
    for name, module in net.named_modules():
        if name and next(module.children(), None) is None:
            if getattr(module, "inplace", False):
                module.inplace = False
            module.register_forward_hook(lambda module, _, output, name=name: tapped.keep(name, module, output))
    return tapped


def _layers_of(tapped: Any, channels: int, side: int) -> tuple[tuple[Layer, ...], int]:
    """The layers that can be looked into, found by one run with an empty picture; sets `tapped.wanted` to them.

    The number beside them is the multiplications that this run took.
    """
    import torch
    from torch import nn

    tapped.wanted = None
    tapped.modules_seen.clear()
    outputs = tapped(torch.zeros(1, channels, side, side))[1:]
    found = list(zip(tapped.modules_seen.items(), outputs, strict=True))
    work = sum(
        output.numel() * module.weight[0].numel()
        for (_, (_, module)), output in found
        if isinstance(module, nn.Conv2d | nn.Linear)
    )
    unseen = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)  # they change nothing outside training
    found = [entry for entry in found if not isinstance(entry[0][1][1], unseen) and entry[1].dim() in (2, 4)]
    found = [entry for entry in found if len(entry[1]) == 1]  # what sees parts of the picture one by one is left out
    dense = sum(isinstance(module, nn.Linear) for (_, (_, module)), _ in found)
    layers: list[Layer] = []
    for (key, (path, module)), output in found:
        shape = tuple(output.shape[1:]) if output.dim() == 4 else (output.shape[1], 1, 1)
        own = isinstance(module, nn.Conv2d | nn.Linear)
        layers.append(Layer(key, _title(key, module, dense), shape, f"{path}.weight" if own else ""))
    tapped.wanted = {layer.name for layer in layers}
    return tuple(layers), work


def _title(name: str, module: nn.Module, dense: int) -> str:
    """The words of a chapter's headings; inside a block of a large network its own names are clearer."""
    from torch import nn

    if "." in name:
        return name
    number = name.lstrip("abcdefghijklmnopqrstuvwxyz_")
    match module:
        case nn.Linear():
            return f"fully connected {number}".strip() if dense > 1 else "fully connected"
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            return "batch norm"
        case nn.ReLU():
            return "ReLU"
        case nn.AdaptiveAvgPool2d():
            return "global average"
        case _:
            return name


def _with_softmax(layers: tuple[Layer, ...], card: ModelCard) -> tuple[Layer, ...]:
    """A classifier's layers with its probabilities as the last one; a detector has none for the whole picture."""
    if card.task != "classification":
        return layers
    title = "sigmoid" if card.many else SOFTMAX
    return (*layers, Layer(SOFTMAX, title, (len(card.classes), 1, 1)))


def loaded_torch() -> bool:
    """Whether this process has torch already, so that using it costs nothing more."""
    return "torch" in sys.modules
