"""torchvision's networks in our form say what torchvision's own code says, on torch and on OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from torch import nn

from engine import networks, runtime
from engine.runtime import Device
from engine.types import ModelCard, Preprocess

CLASSIFIERS = ("vgg16", "resnet50", "inception_v3", "efficientnet_b0", "mobilenet_v3_large")
DETECTORS = (
    "ssdlite320_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
)
OUTPUTS = 91
SIZE = 128


def enliven(net: nn.Module, size: int, seed: int = 0) -> nn.Module:
    """Random weights with which every layer answers differently to every picture, as trained ones do."""
    generator = torch.Generator().manual_seed(seed)

    def scale(module: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
        spread = output.std(correction=0).clamp(min=0.01) / 1.5
        module.weight /= spread
        return output / spread

    hooks = []
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
                if module.bias is not None:
                    module.bias.zero_()
                hooks.append(module.register_forward_hook(scale))
        net.eval()(pictures(1, size))
    for hook in hooks:
        hook.remove()
    return net


def pictures(count: int, size: int = SIZE) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(7)) * 4 - 2


def detector(name: str, size: int = SIZE) -> nn.Module:
    columns = range(1, OUTPUTS)
    net = networks.build(name, classes=90, channels=3, image_size=size, outputs=OUTPUTS, columns=list(columns))
    return enliven(net, size)


def torchvisions_own(name: str, state: dict[str, torch.Tensor], size: int) -> Any:
    """torchvision's detector with these weights, for pictures that are normalised, all boxes kept."""
    own = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None, num_classes=OUTPUTS)
    own.load_state_dict(state)
    own.transform.image_mean, own.transform.image_std = [0.0] * 3, [1.0] * 3
    own.transform.min_size, own.transform.max_size = (size,), size
    if own.transform.fixed_size is not None:
        own.transform.fixed_size = (size, size)
    last = own.roi_heads if hasattr(own, "roi_heads") else own
    last.score_thresh, last.nms_thresh, last.detections_per_img = 0.0, 2.0, 10**9
    return own.eval()


def rows_of(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """The (A, 4 + C) answer of a picture as (score, class, box) rows, the surest first."""
    row, kind = np.nonzero(output[:, 4:])
    found = np.column_stack([output[row, 4 + kind], kind + 1, output[row, :4]])
    return found[np.argsort(-found[:, 0], kind="stable")]


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_and_probabilities_are_torchvisions_before_suppression(name: str) -> None:
    net = detector(name)
    inputs = pictures(2)
    own = torchvisions_own(name, net.state_dict(), SIZE)
    with torch.inference_mode():
        mine = net(inputs).numpy()
        theirs = own(list(inputs))
    assert mine.shape[0] == 2 and mine.shape[2] == 4 + 90
    assert mine[..., :4].min() >= 0 and mine[..., :4].max() <= SIZE
    for output, answer in zip(mine, theirs, strict=True):
        expected = np.column_stack([answer["scores"].numpy(), answer["labels"].numpy(), answer["boxes"].numpy()])
        expected = expected[np.argsort(-expected[:, 0], kind="stable")][:150]
        found = rows_of(output)[:400]
        assert len(expected) == 150
        for row in expected:  # by place, since equal scores may come in any order
            same = found[(found[:, 1] == row[1]) & (np.abs(found[:, 0] - row[0]) < 1e-4)]
            assert len(same) and np.abs(same[:, 2:] - row[2:]).max(axis=1).min() < 0.02, row


@pytest.mark.parametrize("name", DETECTORS)
def test_columns_that_are_no_class_are_left_out(name: str) -> None:
    whole = detector(name)
    with torch.inference_mode():
        expected = rows_of(whole(pictures(1)).numpy()[0])
    columns = [int(kind) for kind in dict.fromkeys(expected[:, 1])][1:4]
    fewer = networks.build(name, classes=3, channels=3, image_size=SIZE, outputs=OUTPUTS, columns=columns)
    fewer.load_state_dict(whole.state_dict())
    with torch.inference_mode():
        output = fewer.eval()(pictures(1)).numpy()[0]
    assert output.shape[1] == 7
    found = rows_of(output)
    expected = expected[np.isin(expected[:, 1], columns)][:20]
    assert len(expected) >= 3
    assert np.allclose(found[: len(expected), 0], expected[:, 0], atol=1e-6)
    assert [columns[int(kind) - 1] for kind in found[: len(expected), 1]] == expected[:, 1].tolist()


@pytest.mark.parametrize("name", (*CLASSIFIERS, *DETECTORS))
def test_as_many_weights_as_torchvision_says(name: str) -> None:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    count = len(weights.meta["categories"])
    more = {"outputs": count} if name in DETECTORS else {}
    with torch.device("meta") if name in CLASSIFIERS else torch.device("cpu"):
        net = networks.build(name, classes=count - bool(more), channels=3, image_size=320 if more else 224, **more)
    assert sum(weight.numel() for weight in net.parameters()) == weights.meta["num_params"]


def card_of(name: str, size: int, **more: Any) -> ModelCard:
    task = "detection" if name in DETECTORS else "classification"
    kind = "letterbox" if task == "detection" else "picture"
    arguments: dict[str, Any] = {"outputs": OUTPUTS, "columns": list(range(1, OUTPUTS))} if task == "detection" else {}
    if name == "fasterrcnn_resnet50_fpn_v2":
        arguments["proposals"] = 50
    return ModelCard(
        name=name,
        title=name,
        task=task,
        architecture=name,
        classes=tuple(f"class {i}" for i in range(90)),
        preprocess=Preprocess(kind, size, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        arguments=arguments,
        boxes="corners" if task == "detection" else "",
        **more,
    )


@pytest.mark.parametrize("name", (*CLASSIFIERS, *DETECTORS))
def test_openvino_gives_what_torch_gives(name: str, own_home: Path, full_precision: None) -> None:
    size = 96 if name in CLASSIFIERS else SIZE
    card = card_of(name, size)
    net = networks.build(name, classes=90, channels=3, image_size=size, **card.arguments)
    enliven(net, size)
    inputs = pictures(1, size)
    with torch.inference_mode():
        expected = net(inputs).numpy()
    fast = runtime.open_network(
        card, digest="lively", build=lambda: net, device=Device("openvino", "CPU · OpenVINO", "asked for")
    )
    assert fast.device.kind == "openvino", fast.device.why
    output, maps = fast.run(inputs.numpy())
    assert output.shape == expected.shape
    if name in CLASSIFIERS:
        assert np.allclose(output, expected, atol=1e-4 * np.abs(expected).max())
    else:
        first, second = rows_of(expected[0])[:100], rows_of(output[0])[:400]
        for row in first:
            same = second[(second[:, 1] == row[1]) & (np.abs(second[:, 0] - row[0]) < 1e-3)]
            assert len(same) and np.abs(same[:, 2:] - row[2:]).max(axis=1).min() < 0.1, row
    watched = fast.layers[len(fast.layers) // 2]
    _, maps = fast.run(inputs.numpy(), watched.name)
    assert maps is not None and maps[0].size == np.prod(watched.shape)
