"""Networks for small pictures such as drawn digits: `digits`, which is bundled, and `small`, which learns in seconds.

Both take ``(N, channels, S, S)`` floats, normalised with the data set's mean and deviation, and give ``(N, classes)``
logits. Layers carry the names that the window lists like chapter titles: conv1, norm1, relu1, … flatten, fc1.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from engine.networks import register


@register(
    "small",
    title="Small: two convolutions, learns in seconds",
    help="Two convolutions and two fully connected layers: enough for 99 % on MNIST in seconds.",
)
def small(*, classes: int, channels: int = 1, image_size: int = 28, dropout: float = 0.0, **_: Any) -> nn.Module:
    """A network of about 57,000 parameters for 28 x 28; fast enough to be trained while one watches.

    The first convolution moves by two pixels instead of being pooled: a quarter of the work for the same 99 %.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(channels, 16, 5, stride=2, bias=False)
    layers["norm1"] = nn.BatchNorm2d(16)
    layers["relu1"] = nn.ReLU()
    layers["conv2"] = nn.Conv2d(16, 32, 3, bias=False)
    layers["norm2"] = nn.BatchNorm2d(32)
    layers["relu2"] = nn.ReLU()
    layers["pool1"] = nn.MaxPool2d(2)
    side = ((image_size - 5) // 2 + 1 - 2) // 2
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(dropout)
    layers["fc1"] = nn.Linear(32 * side * side, 64)
    layers["relu3"] = nn.ReLU()
    layers["fc2"] = nn.Linear(64, classes)
    return nn.Sequential(layers)


@register(
    "digits",
    title="Digits: six convolutions, reads almost everything",
    help="Six convolutions in three blocks and two fully connected layers; the bundled digit network has this shape.",
)
def digits(*, classes: int, channels: int = 1, image_size: int = 28, dropout: float = 0.0, **_: Any) -> nn.Module:
    """A network of about 363,000 parameters for 28 x 28 and a dozen classes.

    The first two convolutions are not padded: the outermost pixels of a centred digit are empty, and what is not
    computed takes no time.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    maps, side = channels, image_size
    shapes = ((32, 5, 0), (32, 3, 0), (64, 3, 1), (64, 3, 1), (128, 3, 1), (128, 3, 1))
    for number, (wide, kernel, padding) in enumerate(shapes, start=1):
        layers[f"conv{number}"] = nn.Conv2d(maps, wide, kernel, padding=padding, bias=False)
        layers[f"norm{number}"] = nn.BatchNorm2d(wide)
        layers[f"relu{number}"] = nn.ReLU()
        maps, side = wide, side - kernel + 1 + 2 * padding
        if number % 2 == 0:
            layers[f"pool{number // 2}"] = nn.MaxPool2d(2)
            side //= 2
    layers["flatten"] = nn.Flatten()
    layers["dropout1"] = nn.Dropout(dropout)
    layers["fc1"] = nn.Linear(maps * side * side, 128)
    layers["relu7"] = nn.ReLU()
    layers["dropout2"] = nn.Dropout(dropout)
    layers["fc2"] = nn.Linear(128, classes)
    return nn.Sequential(layers)
