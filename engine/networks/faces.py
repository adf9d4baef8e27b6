"""The network that tells people apart: an upright face in, an embedding out.

Plain 3 x 3 convolutions with shortcuts (He et al. 2015), PReLU, and at the end each of the last maps weighed place by
place by a convolution of its own (global depthwise convolution, MobileFaceNets, Chen et al. 2018, section 3.2): of a
face that has been turned upright, every place means something of its own, so their mean would lose much.

``(N, 3, S, S)`` enter, ``(N, D)`` come out, not yet of length 1; faces of one person point the same way.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from engine.networks import register


class Conv(nn.Sequential):
    """Convolution, batch normalisation, PReLU."""

    def __init__(self, maps_in: int, maps_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps_in, maps_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(maps_out)
        self.relu = nn.PReLU(maps_out)


class Residual(nn.Module):
    """Two convolutions with a shortcut around them."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1 = Conv(maps, maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(maps)
        nn.init.zeros_(self.norm2.weight)  # begins as the shortcut alone (Goyal et al. 2017, section 5.1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.norm2(self.conv2(self.conv1(x)))
        return out


class Faces(nn.Module):
    """See the top of this file.

    Attributes:
        dimensions: of the embedding.
    """

    def __init__(self, image_size: int, dimensions: int, dropout: float) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.stem = Conv(3, 32, stride=2)
        self.stage1 = nn.Sequential(Conv(32, 64, stride=2), Residual(64))
        self.stage2 = nn.Sequential(Conv(64, 128, stride=2), Residual(128), Residual(128))
        self.stage3 = nn.Sequential(Conv(128, 256, stride=2), Residual(256))
        side = -(-image_size // 16)
        self.places = nn.Conv2d(256, 256, side, groups=256, bias=False)
        self.norm = nn.BatchNorm2d(256)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(256, dimensions, bias=False)
        self.settle = nn.BatchNorm1d(dimensions)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        out: Tensor = self.settle(self.fc(self.dropout(self.flatten(self.norm(self.places(x))))))
        return out


@register(
    "faces",
    title="Faces: an embedding that tells people apart",
    help="Learns from faces listed with their person; faces of one person come to point the same way.",
    task="faces",
)
def faces(
    *, classes: int, channels: int = 3, image_size: int = 64, dimensions: int = 256, dropout: float = 0.0, **_: Any
) -> nn.Module:
    """The bundled face network's shape."""
    return Faces(image_size, dimensions, dropout)
