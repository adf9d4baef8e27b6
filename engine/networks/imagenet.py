"""The well-known ImageNet networks, from torchvision."""

from __future__ import annotations

from typing import Any

import torchvision.models as models
from torch import nn

from engine.networks import register


@register(
    "resnet50",
    title="ResNet-50",
    help="50 layers with shortcuts around every three (He et al. 2015).",
    teachable=False,
)
def resnet50(
    *, classes: int = 1000, channels: int = 3, image_size: int = 224, dropout: float = 0.0, **_: Any
) -> nn.Module:
    """ResNet-50 without weights; input (N, 3, 224, 224)."""
    return models.resnet50(weights=None, num_classes=classes)
