"""Random changes to a batch of pictures, made as tensors on the device where they lie.

In and out goes a batch ``(N, C, H, W)`` of floats in 0..1; there are no worker processes and no picture is touched
by itself. An augmentation takes a ``torch.Generator`` on the pictures' device, so a seed repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Augmentation:
    """A named recipe of changes.

    Attributes:
        title: as a list shows it.
        help: a sentence on what it does.
        apply: ``(images, generator) -> images``.
        calm: a gentler way that takes over at the end of a run, so that the network settles on pictures as they are
            (after YOLOX, Ge et al. 2021, section 2.1, which drops its strong augmentation for the last epochs).
        calm_from: the share of the run after which it does.
    """

    title: str
    help: str
    apply: Callable[[Tensor, Generator], Tensor]
    calm: Callable[[Tensor, Generator], Tensor] | None = None
    calm_from: float = 1.0

    def at(self, progress: float) -> Callable[[Tensor, Generator], Tensor]:
        """What to apply where ``progress`` (0..1) of all steps are done."""
        return self.calm if self.calm is not None and progress >= self.calm_from else self.apply

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        return self.apply(images, generator)


def warp(
    images: Tensor,
    generator: Generator,
    *,
    degrees: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    shift: float = 0.0,
    bend: float = 0.0,
) -> Tensor:
    """Every picture turned, zoomed, slanted, moved and bent at once, so that it is sampled only once.

    Args:
        images: ``(N, C, H, W)``.
        generator: on the same device.
        degrees: largest turn to either side.
        scale: largest change of width and of height, each by itself, as a share.
        shear: largest slant to either side, in widths per height.
        shift: largest movement, as a share of the side.
        bend: spread of the movement of the 5 x 5 points that the elastic sheet hangs on, as a share of the side
            (Simard et al., "Best Practices for Convolutional Neural Networks", 2003, with a spline for the Gauss).
    """
    count, device = images.shape[0], images.device
    chance = torch.rand((count, 6), generator=generator, device=device) * 2 - 1
    turn = chance[:, 0] * (degrees * torch.pi / 180)
    wide, high = 1 + chance[:, 1] * scale, 1 + chance[:, 2] * scale
    slant = chance[:, 3] * shear
    cos, sin = turn.cos(), turn.sin()
    theta = torch.empty((count, 2, 3), device=device)
    theta[:, 0, 0], theta[:, 0, 1], theta[:, 0, 2] = cos * wide, cos * slant - sin * high, chance[:, 4] * 2 * shift
    theta[:, 1, 0], theta[:, 1, 1], theta[:, 1, 2] = sin * wide, sin * slant + cos * high, chance[:, 5] * 2 * shift
    grid = F.affine_grid(theta, [count, 1, images.shape[2], images.shape[3]], align_corners=False)
    if bend:
        knots = torch.randn((count, 2, 5, 5), generator=generator, device=device) * (2 * bend)
        sheet = F.interpolate(knots, size=tuple(images.shape[2:]), mode="bicubic", align_corners=True)
        grid = grid + sheet.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)


def pen_width(images: Tensor, generator: Generator, *, strength: float = 0.8, share: float = 0.5) -> Tensor:
    """Strokes of white ink made thicker or thinner by up to ``strength`` pixels in about ``share`` of the pictures."""
    chosen = _some(images, generator, share)
    if chosen.numel() == 0:
        return images
    part = images[chosen]
    half = len(chosen) // 2
    amount = torch.rand((len(chosen), 1, 1, 1), generator=generator, device=images.device) * strength
    thicker = F.max_pool2d(part[:half], 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-part[half:], 3, stride=1, padding=1)
    return images.index_copy(0, chosen, torch.lerp(part, torch.cat([thicker, thinner]), amount))


def blur(images: Tensor, generator: Generator, *, share: float = 0.2) -> Tensor:
    """A soft lens (a binomial kernel of 3 x 3, mixed in at random) over about ``share`` of the pictures."""
    chosen = _some(images, generator, share)
    if chosen.numel() == 0:
        return images
    part = images[chosen]
    soft = F.avg_pool2d(F.avg_pool2d(part, 2, stride=1, padding=1), 2, stride=1)
    amount = torch.rand((len(chosen), 1, 1, 1), generator=generator, device=images.device)
    return images.index_copy(0, chosen, torch.lerp(part, soft, amount))


def contrast(images: Tensor, generator: Generator, *, strength: float = 0.3, share: float = 0.5) -> Tensor:
    """Grey levels bent (a random gamma) and dimmed in about ``share`` of the pictures; black stays black."""
    chosen = _some(images, generator, share)
    if chosen.numel() == 0:
        return images
    chance = torch.rand((2, len(chosen), 1, 1, 1), generator=generator, device=images.device)
    gamma = torch.exp((chance[0] * 2 - 1) * 2 * strength)
    changed = images[chosen].clamp(1e-4, 1).pow(gamma) * (1 - chance[1] * strength)
    return images.index_copy(0, chosen, changed)


def noise(images: Tensor, generator: Generator, *, strength: float = 0.1, share: float = 0.2) -> Tensor:
    """Grain over about ``share`` of the pictures."""
    chosen = _some(images, generator, share)
    if chosen.numel() == 0:
        return images
    part = images[chosen]
    amount = torch.rand((len(chosen), 1, 1, 1), generator=generator, device=images.device) * strength
    grain = torch.randn(part.shape, generator=generator, device=images.device)
    return images.index_copy(0, chosen, (part + grain * amount).clamp(0, 1))


def cut_out(images: Tensor, generator: Generator, *, side: float = 0.2, share: float = 0.25) -> Tensor:
    """A square of ``side`` of the picture made black in about ``share`` of them (DeVries and Taylor, 2017)."""
    count, _, height, width = images.shape
    chance = torch.rand((3, count, 1), generator=generator, device=images.device)
    rows = torch.arange(height, device=images.device).view(1, -1)
    columns = torch.arange(width, device=images.device).view(1, -1)
    tall, wide = max(1, round(height * side)), max(1, round(width * side))
    top, left = (chance[0] * (height - tall)).floor(), (chance[1] * (width - wide)).floor()
    inside = ((rows >= top) & (rows < top + tall)).unsqueeze(2) & (
        (columns >= left) & (columns < left + wide)
    ).unsqueeze(1)
    inside &= (chance[2] < share).unsqueeze(2)
    return images.masked_fill(inside.unsqueeze(1), 0.0)


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Left and right exchanged in half of the pictures."""
    chosen = torch.rand((images.shape[0], 1, 1, 1), generator=generator, device=images.device) < 0.5
    return torch.where(chosen, images.flip(3), images)


def crop(images: Tensor, generator: Generator, *, smallest: float = 0.6) -> Tensor:
    """A part of every picture, at least ``smallest`` of its sides, enlarged to the whole."""
    count, device = images.shape[0], images.device
    chance = torch.rand((count, 4), generator=generator, device=device)
    size = smallest + (1 - smallest) * chance[:, 0]
    tilt = torch.exp((chance[:, 1] * 2 - 1) * 0.15)
    wide, high = (size * tilt).clamp(max=1), (size / tilt).clamp(max=1)
    theta = torch.zeros((count, 2, 3), device=device)
    theta[:, 0, 0], theta[:, 1, 1] = wide, high
    theta[:, 0, 2], theta[:, 1, 2] = (chance[:, 2] * 2 - 1) * (1 - wide), (chance[:, 3] * 2 - 1) * (1 - high)
    grid = F.affine_grid(theta, [count, 1, images.shape[2], images.shape[3]], align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=False)


def colour(images: Tensor, generator: Generator, *, strength: float = 0.25) -> Tensor:
    """Brightness, contrast, saturation and the balance of the channels changed by up to ``strength``."""
    count, channels = images.shape[:2]
    chance = torch.rand((4 + channels, count, 1, 1, 1), generator=generator, device=images.device) * 2 - 1
    grey = images.mean(dim=1, keepdim=True)
    images = torch.lerp(grey.expand_as(images), images, 1 + chance[0] * strength)
    middle = grey.mean(dim=(2, 3), keepdim=True)
    images = torch.lerp(middle.expand_as(images), images, 1 + chance[1] * strength)
    balance = 1 + chance[4:].squeeze(-1).squeeze(-1).permute(1, 0, 2).unsqueeze(-1) * (strength / 3)
    return (images * balance * (1 + chance[2] * strength)).clamp(0, 1)


def coarse(images: Tensor, generator: Generator, *, smallest: float = 0.35, share: float = 0.4) -> Tensor:
    """Made smaller and large again, as a face far away is seen, in about ``share`` of the pictures."""
    chosen = _some(images, generator, share)
    for part in chosen.chunk(3):  # each third by a factor of its own
        if part.numel():
            factor = smallest + (0.9 - smallest) * float(torch.rand((), generator=generator, device=images.device))
            side = max(4, round(images.shape[-1] * factor))
            small = F.interpolate(images[part], size=(side, side), mode="bilinear", antialias=True)
            large = F.interpolate(small, size=tuple(images.shape[2:]), mode="bilinear")
            images = images.index_copy(0, part, large)
    return images


def grey(images: Tensor, generator: Generator, *, share: float = 0.15) -> Tensor:
    """Without colour in about ``share`` of the pictures."""
    chosen = _some(images, generator, share)
    part = images[chosen]
    return images.index_copy(0, chosen, part.mean(dim=1, keepdim=True).expand_as(part))


def face(images: Tensor, generator: Generator, *, size: int) -> Tensor:
    """Upright faces mirrored, moved a little as landmarks err, seen from afar, in other light and partly hidden.

    Args:
        images: ``(N, 3, S, S)``, S at least ``size``: what is around the face is there to be moved into.
        size: side of the pictures that come back.
    """
    rim = (images.shape[-1] - size) // 2
    images = warp(flip(images, generator), generator, degrees=6, scale=0.05, shear=0.03, shift=0.025)
    images = images[:, :, rim : rim + size, rim : rim + size]
    images = blur(coarse(colour(images, generator, strength=0.3), generator), generator, share=0.15)
    return cut_out(noise(grey(images, generator), generator, strength=0.05), generator, side=0.3, share=0.3)


def _some(images: Tensor, generator: Generator, share: float) -> Tensor:
    """Indices of exactly ``share`` of the batch, in random order: a fixed count costs no wait for the device."""
    count = images.shape[0]
    order = torch.randperm(count, generator=generator, device=images.device)
    return order[: round(count * share)]


def _light(images: Tensor, generator: Generator) -> Tensor:
    return warp(images, generator, degrees=10, scale=0.1, shear=0.1, shift=0.05)


def _strong(images: Tensor, generator: Generator) -> Tensor:
    images = pen_width(images, generator, strength=0.7, share=0.4)
    images = warp(images, generator, degrees=13, scale=0.14, shear=0.2, shift=0.06, bend=0.022)
    images = contrast(images, generator, strength=0.25, share=0.3)
    images = blur(images, generator, share=0.15)
    images = noise(images, generator, strength=0.06, share=0.1)
    return cut_out(images, generator, side=0.18, share=0.12)


def _gentle(images: Tensor, generator: Generator) -> Tensor:
    images = pen_width(images, generator, strength=0.4, share=0.2)
    return warp(images, generator, degrees=7, scale=0.07, shear=0.1, shift=0.04, bend=0.012)


def _handwriting(images: Tensor, generator: Generator) -> Tensor:
    images = pen_width(images, generator, strength=0.6, share=0.35)
    return warp(images, generator, degrees=13, scale=0.14, shear=0.15, shift=0.07, bend=0.016)


def _picture(images: Tensor, generator: Generator) -> Tensor:
    return colour(crop(flip(images, generator), generator), generator)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation("None", "The pictures as they are.", lambda images, generator: images),
    "light": Augmentation("Light", "Small shifts, turns, zooms and slants.", _light),
    "handwriting": Augmentation(
        "Handwriting",
        "What another hand would do: turns, slants, bends and pen widths, none of them strong.",
        _handwriting,
    ),
    "strong": Augmentation(
        "Strong",
        "Warps, pen widths, contrast, blur, grain and small holes, for digits; calmer over the last quarter of a run.",
        _strong,
        calm=_gentle,
        calm_from=0.75,
    ),
    "picture": Augmentation("Pictures", "Flips, crops and colours, for photographs.", _picture),
}
"""What a recipe may name. Mirrors the choices of ``TrainingConfig.augmentation``."""
