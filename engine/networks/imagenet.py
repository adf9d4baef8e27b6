"""The well-known classifiers of photographs, from torchvision, without weights.

Each takes ``(N, 3, S, S)`` floats, normalised as its card says, and gives ``(N, classes)`` logits. Names of the weights
are torchvision's own, so its files fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torchvision.models as models
from torch import nn

from engine.networks import register


def _enter(name: str, title: str, help: str, **fixed: Any) -> Callable[..., nn.Module]:
    make = getattr(models, name)

    @register(name, title=title, help=help, teachable=False)
    def build(
        *, classes: int = 1000, channels: int = 3, image_size: int = 224, dropout: float = 0.0, **_: Any
    ) -> nn.Module:
        if channels != 3:
            raise ValueError("these networks see colours")
        net: nn.Module = make(weights=None, num_classes=classes, **fixed)
        return net

    return build


vgg16 = _enter("vgg16", "VGG-16", "Thirteen convolutions of 3 × 3 and three huge layers (Simonyan and Zisserman 2014).")
resnet50 = _enter("resnet50", "ResNet-50", "50 layers with shortcuts around every three (He et al. 2015).")
# Of Inception's two habits in torchvision, the second head is kept, since its weights are in the file, and the input
# is not normalised a second time inside: the card says what it wants to see.
inception_v3 = _enter(
    "inception_v3",
    "Inception v3",
    "Several sizes of kernel side by side (Szegedy et al. 2015).",
    aux_logits=True,
    transform_input=False,
    init_weights=False,
)
efficientnet_b0 = _enter(
    "efficientnet_b0", "EfficientNet-B0", "Depth, width and picture size grown together (Tan and Le 2019)."
)
mobilenet_v3_large = _enter(
    "mobilenet_v3_large", "MobileNetV3", "Made for telephones: few sums, good answers (Howard et al. 2019)."
)
