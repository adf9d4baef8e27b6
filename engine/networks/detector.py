"""Our own detectors, `detector` and `face-detector`, and the classifier that their backbone begins as, `objects`.

`detector` is a one-stage, anchor-free network of plain convolutions: a backbone, a pyramid that carries what the deep
layers know back to the fine grids and down again (PANet, Liu et al. 2018), and on each of the three grids one head for
classes and boxes. A side of a box is a distribution over whole cells whose mean is taken (generalised focal loss, Li et
al. 2020, section 3.2).

Square pictures ``(N, 3, S, S)`` enter, S a multiple of 32. In training `Detector` gives raw columns for the loss; in
evaluation ``(N, A, 4 + classes + 2 * landmarks)``: the distances of the four sides from the centre of each cell, in
cells, the probabilities of the classes, and where each landmark lies from that centre, in cells, for the grids of
`STRIDES` one after the other, each row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.networks import register

STRIDES = (8, 16, 32)
"""Side of a cell of each grid, in pixels."""

BINS = 16
"""A side lies 0 to 15 cells from the centre of its cell."""


class Conv(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, maps_in: int, maps_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps_in, maps_out, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(maps_out)
        self.relu = nn.ReLU()


class Residual(nn.Module):
    """Two convolutions with a shortcut around them (He et al. 2015)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1 = Conv(maps, maps, 3)
        self.conv2 = Conv(maps, maps, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class Split(nn.Module):
    """Half of the maps goes through residual blocks, the other half past them (CSPNet, Wang et al. 2019)."""

    def __init__(self, maps_in: int, maps_out: int, depth: int) -> None:
        super().__init__()
        self.aside = maps_out // 2
        self.enter = Conv(maps_in, 2 * self.aside, 1)
        self.blocks = nn.Sequential(*(Residual(self.aside) for _ in range(depth)))
        self.leave = Conv(2 * self.aside, maps_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.leave(torch.cat([x[:, : self.aside], self.blocks(x[:, self.aside :])], dim=1))


class Pool(nn.Module):
    """Maxima over windows of 5, 9 and 13 cells beside the maps themselves (spatial pyramid pooling, He et al. 2014)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.enter = Conv(maps, maps // 2, 1)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.leave = Conv(2 * maps, maps, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        near = self.pool(x)
        middle = self.pool(near)
        return self.leave(torch.cat([x, near, middle, self.pool(middle)], dim=1))


class Backbone(nn.Module):
    """Pictures in, maps of the grids of 8, 16 and 32 pixels out.

    Attributes:
        maps: how many maps each of the three has.
    """

    def __init__(self, maps: Sequence[int]) -> None:
        """
        Args:
            maps: of the stem and of the stages. With three stages the stem goes to cells of 4 pixels in one step: fine
                cells with few maps take half of the time and see little (patches, Liu et al., ConvNeXt, 2022). With
                four it goes to cells of 2, for objects of few pixels.
        """
        super().__init__()
        stem, *first, two, three, four = maps
        self.maps = (two, three, four)
        if first:
            (one,) = first
            self.stem = Conv(3, stem, 3, stride=2)
            self.stage1: nn.Module = nn.Sequential(Conv(stem, one, 3, stride=2), Split(one, one, 1))
        else:
            one = stem
            self.stem = Conv(3, one, 7, stride=4)
            self.stage1 = nn.Identity()
        self.stage2 = nn.Sequential(Conv(one, two, 3, stride=2), Split(two, two, 2))
        self.stage3 = nn.Sequential(Conv(two, three, 3, stride=2), Split(three, three, 2))
        self.stage4 = nn.Sequential(Conv(three, four, 3, stride=2), Split(four, four, 1), Pool(four))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.stage2(self.stage1(self.stem(x)))
        middle = self.stage3(fine)
        return fine, middle, self.stage4(middle)


class Detector(nn.Module):
    """See the top of this file.

    Attributes:
        classes: how many.
        landmarks: how many places are found in each object.
    """

    def __init__(self, classes: int, backbone: Sequence[int], pyramid: Sequence[int], *, landmarks: int = 0) -> None:
        """
        Args:
            backbone: maps of its stem and its stages.
            pyramid: maps of the three grids, the fine one first.
        """
        super().__init__()
        self.classes, self.landmarks = classes, landmarks
        self.backbone = Backbone(backbone)
        fine, middle, coarse = pyramid
        self.from_fine = Conv(self.backbone.maps[0], fine, 1)
        self.from_middle = Conv(self.backbone.maps[1], middle, 1)
        self.from_coarse = Conv(self.backbone.maps[2], coarse, 1)
        self.up_to_middle = Split(coarse + middle, middle, 1)
        self.up_to_fine = Split(middle + fine, fine, 1)
        self.fine_down = Conv(fine, fine, 3, stride=2)
        self.down_to_middle = Split(fine + middle, middle, 1)
        self.middle_down = Conv(middle, middle, 3, stride=2)
        self.down_to_coarse = Split(middle + coarse, coarse, 1)
        self.heads = nn.ModuleList(Conv(maps, maps, 3) for maps in (fine, middle, coarse))
        self.boxes = nn.ModuleList(nn.Conv2d(maps, 4 * BINS, 1) for maps in (fine, middle, coarse))
        self.scores = nn.ModuleList(nn.Conv2d(maps, classes, 1) for maps in (fine, middle, coarse))
        if landmarks:
            self.places = nn.ModuleList(nn.Conv2d(maps, 2 * landmarks, 1) for maps in (fine, middle, coarse))
        self.register_buffer("cells", torch.arange(BINS, dtype=torch.float32), persistent=False)
        for module in self.boxes:
            assert isinstance(module, nn.Conv2d) and module.bias is not None
            nn.init.constant_(module.bias, 1.0)
        for module in self.scores:
            # Nearly all cells are background: a network that begins by saying so does not have to learn it first
            # (Lin et al., focal loss, 2017, section 3.3).
            assert isinstance(module, nn.Conv2d) and module.bias is not None
            nn.init.constant_(module.bias, -math.log(99.0))

    def raw(self, x: Tensor) -> Tensor:
        """``(N, A, 4 * BINS + classes + 2 * landmarks)``: logits of the distances, side by side, logits of the classes,
        then x and y of each landmark from the cell's centre, in cells."""
        fine, middle, coarse = self.backbone(x)
        coarse = self.from_coarse(coarse)
        middle = self.up_to_middle(torch.cat([_twice(coarse), self.from_middle(middle)], dim=1))
        fine = self.up_to_fine(torch.cat([_twice(middle), self.from_fine(fine)], dim=1))
        middle = self.down_to_middle(torch.cat([self.fine_down(fine), middle], dim=1))
        coarse = self.down_to_coarse(torch.cat([self.middle_down(middle), coarse], dim=1))
        columns = []
        for grid, maps in enumerate((fine, middle, coarse)):
            maps = self.heads[grid](maps)
            parts = [self.boxes[grid](maps), self.scores[grid](maps)]
            if self.landmarks:
                parts.append(self.places[grid](maps))
            columns.append(torch.cat(parts, dim=1).flatten(2))
        return torch.cat(columns, dim=2).transpose(1, 2)

    def distances(self, raw: Tensor) -> Tensor:
        """The mean of each side's distribution, ``(N, A, 4)`` in cells, from `raw`."""
        cells: Tensor = self.cells  # type: ignore[assignment]
        # On a GPU the whole network is put into half precision, its buffers with it; a place is computed in full.
        mean: Tensor = raw[..., : 4 * BINS].unflatten(-1, (4, BINS)).float().softmax(-1) @ cells.float()
        return mean

    def forward(self, x: Tensor) -> Tensor:
        raw = self.raw(x)
        if self.training:
            return raw
        return self.answer(raw)

    def answer(self, raw: Tensor) -> Tensor:
        """What is said in evaluation, from `raw`."""
        first, last = 4 * BINS, 4 * BINS + self.classes
        parts = [self.distances(raw), raw[..., first:last].float().sigmoid()]
        if self.landmarks:
            parts.append(raw[..., last:].float())
        return torch.cat(parts, dim=-1)


def cell_centres(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres ``(A, 2)`` of all cells in pixels of a square of `size`, and the stride ``(A, 1)`` of each one's grid."""
    centres, strides = [], []
    for stride in STRIDES:
        side = torch.arange(size // stride, device=device, dtype=torch.float32).add_(0.5).mul_(stride)
        y, x = torch.meshgrid(side, side, indexing="ij")
        centres.append(torch.stack([x.flatten(), y.flatten()], dim=1))
        strides.append(torch.full((len(centres[-1]), 1), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def _maps(width: float) -> list[int]:
    """Maps of the backbone's stem and stages."""
    return [_even(width * maps) for maps in (32, 64, 128, 256)]


def _even(maps: float) -> int:
    """A number of maps that a processor computes without a remainder."""
    return max(8, round(maps / 8) * 8)


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


@register(
    "detector",
    title="Detector: boxes on three grids",
    help="A one-stage detector of plain convolutions; it learns from pictures with boxes (a COCO folder).",
    task="detection",
)
def detector(
    *, classes: int, channels: int = 3, image_size: int = 320, width: float = 0.75, dropout: float = 0.0, **_: Any
) -> nn.Module:
    """The bundled detector's shape; `width` scales the number of maps of every layer."""
    return Detector(classes, _maps(width), [_even(width * maps) for maps in (64, 96, 128)])


@register(
    "face-detector",
    title="Face detector: boxes and five landmarks",
    help="The detector in small, which also finds eyes, nose and the corners of the mouth.",
    task="detection",
)
def face_detector(
    *, classes: int, channels: int = 3, image_size: int = 320, landmarks: int = 5, dropout: float = 0.0, **_: Any
) -> nn.Module:
    """Few maps where the grids are fine, since there they cost the most, and more where they are coarse."""
    return Detector(classes, (8, 16, 32, 64, 96), (24, 32, 48), landmarks=landmarks)


@register(
    "objects",
    title="Objects: the detector's backbone as a classifier",
    help="The convolutions of the detector under one answer for the whole picture; for colour pictures.",
)
def objects(
    *, classes: int, channels: int = 3, image_size: int = 128, width: float = 0.75, dropout: float = 0.0, **_: Any
) -> nn.Module:
    """The backbone, the mean of each of its deepest maps, and one fully connected layer."""
    return Objects(classes, channels, width, dropout)


class Objects(nn.Module):
    """The backbone of `Detector` as a classifier: ``(N, 3, S, S)`` in, ``(N, classes)`` logits out."""

    def __init__(self, classes: int, channels: int, width: float, dropout: float) -> None:
        super().__init__()
        self.backbone = Backbone(_maps(width))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.backbone.maps[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1:  # a grey picture has the same light in all three colours
            x = x.expand(-1, 3, -1, -1)
        return self.fc(self.dropout(self.flatten(self.average(self.backbone(x)[2]))))
