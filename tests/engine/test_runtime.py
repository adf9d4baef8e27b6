"""Converted networks say what torch says, layer by layer, and torch is not needed a second time."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from engine import runtime, store, zoo
from engine.runtime import SOFTMAX, Device
from engine.types import Floats, ModelCard, Preprocess, Task

TORCH = Device("torch", "CPU · PyTorch", "asked for")
OPENVINO = Device("openvino", "CPU · OpenVINO", "asked for")
OWN = ("small", "digits", "detector", "objects", "face-detector", "faces")
KINDS: dict[Task, Literal["letterbox", "picture", "face"]] = {
    "detection": "letterbox",
    "classification": "picture",
    "faces": "face",
}


def open_on(device: Device, card: ModelCard) -> runtime.Network:
    return runtime.open_network(card, digest=zoo.weights_digest(card), build=lambda: zoo.network(card), device=device)


def batch(card: ModelCard, count: int) -> Floats:
    shape = (count, card.preprocess.channels, card.preprocess.size, card.preprocess.size)
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", ["tiny", "tiny-colour"])
def test_openvino_gives_what_torch_gives_for_any_batch(name: str, home: Path) -> None:
    import torch

    card = zoo.model_card(name)
    fast, net = open_on(OPENVINO, card), zoo.network(card)
    for count in (1, 3, 8):
        inputs = batch(card, count)
        with torch.inference_mode():
            expected = net(torch.from_numpy(inputs)).numpy()
        logits, maps = fast.run(inputs)
        assert maps is None
        assert np.allclose(logits, expected, atol=1e-5)


def test_every_layer_is_the_same_on_both_devices(home: Path) -> None:
    card = zoo.model_card("tiny")
    fast, slow = open_on(OPENVINO, card), open_on(TORCH, card)
    assert fast.layers == slow.layers
    for layer in fast.layers:
        assert (zoo.kernels(card, layer.name) is None) == (layer.weights == ""), layer.name
    inputs = batch(card, 2)
    plain, _ = fast.run(inputs)
    for layer in fast.layers[:-1]:
        logits, maps = fast.run(inputs, layer.name)
        _, expected = slow.run(inputs, layer.name)
        assert maps is not None
        assert expected is not None
        assert maps[0].size == np.prod(layer.shape)
        assert np.allclose(maps, expected, atol=1e-4), layer.name
        assert np.allclose(logits, plain, atol=1e-5), f"watching {layer.name} changes the answer"


def test_layers_read_like_chapters(home: Path) -> None:
    from collections import OrderedDict

    from torch import nn

    net = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 4, 5, padding=2),
            norm1=nn.BatchNorm2d(4),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            dropout=nn.Dropout(0.5),
            flatten=nn.Flatten(),
            fc1=nn.Linear(4 * 14 * 14, 20),
            relu2=nn.ReLU(),
            fc2=nn.Linear(20, 11),
        )
    )
    card = zoo.model_card("tiny")
    layers = runtime.open_network(card, digest="chapters", build=lambda: net.eval(), device=OPENVINO).layers
    assert [(layer.title, layer.shape, layer.weights) for layer in layers] == [
        ("conv1", (4, 28, 28), "conv1.weight"),
        ("batch norm", (4, 28, 28), ""),
        ("ReLU", (4, 28, 28), ""),
        ("pool1", (4, 14, 14), ""),
        ("flatten", (784, 1, 1), ""),
        ("fully connected 1", (20, 1, 1), "fc1.weight"),
        ("ReLU", (20, 1, 1), ""),
        ("fully connected 2", (11, 1, 1), "fc2.weight"),
        ("softmax", (11, 1, 1), ""),
    ]
    assert layers[-1].name == SOFTMAX


def test_an_activation_that_works_in_place_does_not_spoil_the_layer_before_it(own_home: Path) -> None:
    from torch import nn

    from tests.engine.conftest import write_network

    card = write_network("mine")
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 26 * 26, 11))
    network = runtime.open_network(card, digest="in place", build=lambda: net, device=TORCH)
    _, before = network.run(batch(card, 1), "0")
    assert before is not None
    assert before.min() < 0


def test_shortcuts_and_modules_used_twice_are_layers_of_their_own(own_home: Path) -> None:
    import torch
    from torch import nn

    from tests.engine.conftest import write_network

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)
            self.relu = nn.ReLU(inplace=True)
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(4 * 28 * 28, 11)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.relu(self.conv(x))
            y = y - 0.5
            y += x
            return self.fc(self.flatten(self.relu(y)))

    torch.manual_seed(0)
    card, net = write_network("mine"), Block().eval()
    fast = runtime.open_network(card, digest="block", build=lambda: net, device=OPENVINO)
    slow = runtime.open_network(card, digest="block", build=lambda: net, device=TORCH)
    assert [layer.name for layer in fast.layers] == ["conv", "relu", "relu_1", "flatten", "fc", SOFTMAX]
    inputs = batch(card, 2)
    for layer in ("conv", "relu", "relu_1"):
        maps, expected = fast.run(inputs, layer)[1], slow.run(inputs, layer)[1]
        assert maps is not None
        assert expected is not None
        assert np.allclose(maps, expected, atol=1e-5), layer


def test_second_start_needs_no_torch(home: Path) -> None:
    open_on(OPENVINO, zoo.model_card("tiny"))
    code = (
        "import sys, numpy as np; from engine import zoo; card = zoo.model_card('tiny'); net = zoo.open_network(card); "
        "net.run(np.zeros((1, 1, 28, 28), np.float32), 'conv1'); zoo.kernels(card, 'conv1'); "
        "print(net.device.kind, 'torch' in sys.modules, 'openvino_telemetry.main' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ},
        cwd=Path(zoo.__file__).parents[1],
    )
    assert done.stdout.split() == ["openvino", "False", "False"], done.stderr


def test_new_weights_are_converted_anew(own_home: Path) -> None:
    from tests.engine.conftest import write_network

    one, other = write_network("one", seed=1), write_network("other", seed=2)
    inputs = batch(one, 1)
    first = open_on(OPENVINO, one).run(inputs)[0]
    assert not np.allclose(first, open_on(OPENVINO, other).run(inputs)[0])
    assert one.weights is not None
    assert other.weights is not None
    one.weights.write_bytes(other.weights.read_bytes())
    assert np.allclose(open_on(OPENVINO, one).run(inputs)[0], open_on(OPENVINO, other).run(inputs)[0])
    assert len(list((store.cache_folder() / "networks").iterdir())) == 2


def test_cache_forgets_what_was_not_used_for_longest(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engine.conftest import write_network

    monkeypatch.setattr(runtime, "_KEPT_FOLDERS", 2)
    root = store.cache_folder() / "networks"
    for age, name in ((100, "old"), (200, "older")):
        (root / name).mkdir(parents=True)
        (root / name / "about.json").write_text("{}")
        then = (root / name / "about.json").stat().st_mtime - age
        os.utime(root / name / "about.json", (then, then))
    for age, name in ((60, ".now.12.tmp"), (7200, ".killed.13.tmp")):  # half converted
        (root / name).mkdir()
        then = (root / name).stat().st_mtime - age
        os.utime(root / name, (then, then))
    card = write_network("mine")
    open_on(OPENVINO, card)
    kept = {folder.name for folder in root.iterdir()}
    assert kept == {"old", ".now.12.tmp", runtime.converted_folder(card, zoo.weights_digest(card)).name}


def test_damaged_cache_is_made_again(own_home: Path) -> None:
    from tests.engine.conftest import write_network

    card = write_network("mine")
    expected = open_on(OPENVINO, card).run(batch(card, 1))[0]
    folder = runtime.converted_folder(card, zoo.weights_digest(card))
    (folder / "model.xml").write_text("<net")
    assert np.allclose(open_on(OPENVINO, card).run(batch(card, 1))[0], expected)


def test_network_without_weights_is_the_same_every_time(own_home: Path) -> None:
    from tests.engine.conftest import write_network

    card = dataclasses.replace(write_network("mine"), weights=None)
    inputs = batch(card, 1)
    assert np.array_equal(open_on(TORCH, card).run(inputs)[0], open_on(TORCH, card).run(inputs)[0])


def test_network_that_cannot_be_converted_runs_on_torch_and_says_why(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.engine.conftest import write_network

    card = write_network("mine")

    def refuse(*_: object, **__: object) -> Path:
        raise RuntimeError("an operation that is not known")

    monkeypatch.setattr(runtime, "convert", refuse)
    network = open_on(OPENVINO, card)
    assert network.device.kind == "torch"
    assert "OpenVINO" in network.device.why
    assert network.run(batch(card, 1))[0].shape == (1, 11)


def test_gpu_that_cannot_run_a_network_is_replaced_by_the_processor(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory")

    card = zoo.model_card("tiny")
    monkeypatch.setattr(runtime._TorchNetwork, "__init__", out_of_memory)
    network = open_on(Device("cuda", "A GPU · CUDA", "fastest device found"), card)
    assert network.device.kind == "openvino"
    assert "GPU" in network.device.why
    assert network.run(batch(card, 1))[0].shape == (1, 11)


def test_where_the_gpus_memory_runs_out_the_processor_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = zoo.model_card("tiny")
    network: Any = open_on(TORCH, card)
    asked = batch(card, 2)
    before = network.run(asked)[0]
    network.device = Device("cuda", "A GPU · CUDA", "fastest device found")
    real = network._tapped.forward
    answers = [RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), RuntimeError("a bug")]

    def forward(inputs: Any) -> Any:
        if answers:
            raise answers.pop(0)
        return real(inputs)

    monkeypatch.setattr(network._tapped, "forward", forward)
    with pytest.raises(RuntimeError, match="a bug"):
        network.run(asked)
    assert network.device.kind == "torch" and "memory" in network.device.why
    assert np.allclose(network.run(asked)[0], before, atol=1e-5)


def test_without_openvino_torch_is_used_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_openvino_version", lambda: "")
    monkeypatch.setattr(runtime, "_cuda_driver_sees_a_device", lambda: False)
    monkeypatch.setattr(runtime.sys, "platform", "linux")
    device = runtime.best_device()
    assert device.kind == "torch"
    assert "no CUDA device found" in device.why
    assert "OpenVINO is not installed" in device.why


def test_a_cache_that_cannot_be_written_to_is_no_obstacle(own_home: Path) -> None:
    from tests.engine.conftest import write_network

    card = write_network("mine")
    store.cache_folder().write_text("a file where the folder should be")
    network = zoo.open_network(card)
    assert network.device.kind == "torch"
    assert "stored" in network.device.why
    assert network.run(batch(card, 1))[0].shape == (1, 11)


def test_pictures_as_they_are_mean_the_same_as_normalised_ones(home: Path) -> None:
    card = zoo.model_card("tiny-colour")
    pixels = np.random.default_rng(4).integers(0, 256, (3, 32, 32, 3), np.uint8)
    mean, deviation = np.array(card.preprocess.mean), np.array(card.preprocess.std)
    normal = ((pixels / 255 - mean) / deviation).astype(np.float32).transpose(0, 3, 1, 2)
    for device in (OPENVINO, TORCH):
        network = open_on(device, card)
        expected, expected_maps = network.run(np.ascontiguousarray(normal), "conv1")
        logits, maps = network.run(pixels, "conv1")
        assert np.allclose(logits, expected, atol=1e-5), device.kind
        assert maps is not None
        assert expected_maps is not None
        assert maps.shape == expected_maps.shape == (3, *network.layers[0].shape)
        assert np.allclose(maps, expected_maps, atol=1e-5), device.kind


def test_a_detector_has_no_probabilities_of_the_whole_picture(home: Path) -> None:
    card = zoo.model_card("spots")
    for device in (OPENVINO, TORCH):
        network = open_on(device, card)
        assert [layer.name for layer in network.layers] == ["pool", "colour"]
        assert network.run(np.zeros((1, 64, 64, 3), np.uint8))[0].shape == (1, 64, 7)


@pytest.mark.parametrize("name", OWN)
def test_every_architecture_of_ours_says_on_openvino_what_it_says_on_torch(
    name: str, own_home: Path, full_precision: None
) -> None:
    """torchvision's are compared in `test_torchvision_networks`."""
    import torch

    from engine import networks

    known = networks.architectures()[name]
    kind = Preprocess(KINDS[known.task], 64, 3, (0.5,) * 3, (0.25,) * 3)
    card = ModelCard(name, name, known.task, name, ("a", "b", "c", "d", "e"), kind)
    net = known.build(classes=5, channels=3, image_size=64)
    with torch.no_grad():
        for module in net.modules():  # as different from picture to picture as after a training
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
                module.running_var.uniform_(0.2, 1.0)  # type: ignore[union-attr]
    network = runtime.open_network(card, digest="random", build=net.eval, device=OPENVINO)
    assert network.device == OPENVINO, "it was not converted, or not computed in full precision"
    inputs = batch(card, 2)
    with torch.inference_mode():
        expected = net(torch.from_numpy(inputs)).numpy()
    found, _ = network.run(inputs)
    assert expected.std() > 0
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", OWN)
def test_every_architecture_of_ours_runs_in_half_precision(name: str) -> None:
    """As on a GPU, where weights and buffers alike are halved."""
    import torch

    from engine import networks

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = networks.build(name, classes=5, channels=3, image_size=64).eval()
        inputs = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        exact = net(inputs)
        halved = net.half()(inputs.half())
    assert torch.allclose(halved.float(), exact, atol=0.02, rtol=0.02)


def test_all_architectures_are_compared_somewhere() -> None:
    from engine import networks
    from tests.engine import test_torchvision_networks as others

    assert set(OWN) | {*others.CLASSIFIERS, *others.DETECTORS} | {"spots", "rows"} >= set(networks.architectures())


def test_where_the_processor_gains_from_it_large_networks_take_half_the_bits(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = zoo.model_card("tiny-colour")
    exact = open_on(OPENVINO, card)
    monkeypatch.setattr(runtime, "bfloat16_is_fast", lambda: True)
    assert open_on(OPENVINO, card).device == OPENVINO  # too small to gain from it
    monkeypatch.setattr(runtime, "_SMALL", 0)
    fast = open_on(OPENVINO, card)
    assert fast.device.title == "CPU · OpenVINO bf16"
    assert fast.device.why.startswith("asked for; ")
    inputs = batch(card, 4)
    assert np.allclose(fast.run(inputs)[0], exact.run(inputs)[0], atol=0.1)


def test_half_the_bits_are_taken_where_the_processor_gains_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "cpuinfo"
    monkeypatch.setattr(runtime, "_PROCESSOR", listed)
    assert not runtime.bfloat16_is_fast()
    listed.write_text("flags : fpu avx512_bf16 amx_tile\n")
    assert not runtime.bfloat16_is_fast()
    listed.write_text("flags : fpu avx512_bf16 amx_bf16 amx_tile\n")
    assert runtime.bfloat16_is_fast()
    listed.write_text("vendor_id : AuthenticAMD\nflags : fpu avx512f\n")
    assert not runtime.bfloat16_is_fast()
    listed.write_text("vendor_id : AuthenticAMD\nflags : fpu avx512_bf16\n")
    assert runtime.bfloat16_is_fast()


def doubled(card: ModelCard, path: Path, *, named: str = "logits", of: str = "") -> Path:
    """A graph as a card may bring it along, told apart by its logits, which are twice those of the network."""
    from openvino import opset13 as operations

    openvino = runtime.import_openvino()
    converted = runtime.convert(card, digest=zoo.weights_digest(card), build=lambda: zoo.network(card))
    model = openvino.Core().read_model(converted / "model.xml")
    logits, *layers = model.outputs
    twice = operations.multiply(logits.get_node().input_value(0), operations.constant(np.float32(2)))
    other = openvino.Model([twice, *(layer.get_node() for layer in layers)], model.get_parameters())
    other.outputs[0].get_tensor().set_names({named})
    other.set_rt_info(of or zoo.weights_digest(card), list(runtime.WEIGHTS_OF))
    openvino.save_model(other, path, compress_to_fp16=False)
    return path


def test_a_network_in_bytes_is_run_where_the_processor_multiplies_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "cpuinfo"
    monkeypatch.setattr(runtime, "_PROCESSOR", listed)
    card = zoo.model_card("tiny-colour")
    plain = open_on(OPENVINO, card)
    side = card.preprocess.size
    picture = np.random.default_rng(2).integers(0, 256, (1, side, side, 3), np.uint8)
    layer = plain.layers[0].name
    expected, inside = plain.run(picture, layer)
    card = dataclasses.replace(card, quantised=doubled(card, tmp_path / "doubled.xml"))

    for flags in ("fpu avx2", "fpu avx512_bf16 amx_tile"):
        listed.write_text(f"flags : {flags}\n")
        usual = open_on(OPENVINO, card)
        assert usual.device == OPENVINO
        assert np.allclose(usual.run(picture)[0], expected, atol=1e-5)
    for flags in ("fpu avx512_vnni", "avx_vnni avx2", "fpu amx_int8 amx_bf16"):
        listed.write_text(f"flags : {flags}\n")
        fast = open_on(OPENVINO, card)
        assert fast.device.title == "CPU · OpenVINO int8"
        assert fast.device.why == "asked for; the processor multiplies bytes in hardware"
        assert np.allclose(fast.run(picture)[0], 2 * expected, atol=1e-4)
        logits, maps = fast.run(picture, layer)
        assert inside is not None and maps is not None
        assert np.allclose(logits, 2 * expected, atol=1e-4) and np.allclose(maps, inside, atol=1e-5)


DAMAGES = ("absent", "no weights", "no network", "another network", "other weights", "not to be compiled")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_network_in_bytes_that_is_damaged_or_another_one_is_left_alone(
    damage: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("flags : avx512_vnni")
    monkeypatch.setattr(runtime, "_PROCESSOR", listed)
    card = zoo.model_card("tiny-colour")
    side = card.preprocess.size
    plain = open_on(OPENVINO, card)
    file = tmp_path / "doubled.xml"
    if damage != "absent":
        named, of = "boxes" if damage == "another network" else "logits", "0123" if damage == "other weights" else ""
        doubled(card, file, named=named, of=of)
    if damage == "no weights":
        file.with_suffix(".bin").write_bytes(b"")
    elif damage == "no network":
        file.write_text("<net>")
    elif damage == "not to be compiled":
        usual, tried = runtime._OpenVINONetwork._request, list[str]()

        def refused(network: runtime._OpenVINONetwork, layer: str, *, pixels: bool) -> Any:
            tried.append(network.device.title)
            if network.device.title.endswith("int8"):
                raise RuntimeError("unsupported operation")
            return usual(network, layer, pixels=pixels)

        monkeypatch.setattr(runtime._OpenVINONetwork, "_request", refused)
    network = open_on(OPENVINO, dataclasses.replace(card, quantised=file))
    if damage == "not to be compiled":
        assert tried == ["CPU · OpenVINO int8", "CPU · OpenVINO"]  # and the converted file is as good as it was
    assert network.device == OPENVINO
    picture = np.random.default_rng(2).integers(0, 256, (1, side, side, 3), np.uint8)
    assert np.allclose(network.run(picture)[0], plain.run(picture)[0], atol=1e-5)


def test_a_network_that_openvino_cannot_compile_runs_on_torch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("unsupported operation")

    monkeypatch.setattr(runtime._OpenVINONetwork, "_request", broken)
    network = open_on(OPENVINO, zoo.model_card("tiny"))
    assert network.device.kind == "torch"
    assert "OpenVINO" in network.device.why
