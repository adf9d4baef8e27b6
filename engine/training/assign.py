"""The loss of a detector: which cells answer for which box, and how wrong they are.

A cell answers for a box if its own prediction fits it best, in class and in place together (task-aligned one-stage
detection, Feng et al. 2021, section 3.3). The class target of such a cell is how well it fits, so that a score comes
to say how good its box is. All boxes of a batch lie in one list, so that pictures with few of them cost little.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from engine.data.detection import Batch
from engine.networks.detector import BINS, Detector

_CELLS_A_BOX = 10
_ALPHA, _BETA = 1.0, 6.0  # weights of class and place in the alignment (Feng et al. 2021, equation 1)
_CLASS, _BOX, _SIDES = 0.5, 7.5, 1.5  # weights of the three losses
_PLACES = 5.0  # weight of the landmarks
_WING = 0.02  # of a box's side: below this a landmark's error counts more and more for its size
_LEAST_EXTENT = 12.0  # pixels: a smaller box would hold no cell's centre


def detection_loss(
    raw: Tensor, batch: Batch, *, centres: tuple[Tensor, Tensor], classes: int, model: Detector
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and the mean overlap (IoU) of the cells that answer with their boxes.

    Args:
        raw: ``(N, A, 4 * BINS + classes)`` as `Detector.raw` gives it.
        batch: the boxes that are there.
        centres: of the cells, from `cell_centres`.
    """
    points, strides = centres
    logits = raw[..., 4 * BINS : 4 * BINS + classes]
    distances = model.distances(raw) * strides
    found = torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)  # (N, A, 4)
    with torch.no_grad():
        picture, cell, box, fit = _assign(logits.sigmoid(), found, batch, points)
        target = torch.zeros_like(logits)
        target[picture, cell, batch.labels[box]] = fit
        weight = _known(batch, points) * ~_ignored(batch, points)[..., None]
        # A cell that answers for a box has a class, whatever the source labels elsewhere.
        weight[picture, cell, batch.labels[box]] = 1.0
    amount = fit.sum().clamp(min=1.0)
    wrong = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    class_loss = (wrong * weight).sum() / amount
    if not len(cell):
        return _CLASS * class_loss, torch.zeros((), device=raw.device)
    real, mine = batch.boxes[box], found[picture, cell]
    overlap, generalised = _overlap(mine, real)
    box_loss = ((1 - generalised) * fit).sum() / amount
    sides = torch.cat([points[cell] - real[:, :2], real[:, 2:] - points[cell]], dim=1) / strides[cell]
    side_loss = (_side_loss(raw[picture, cell, : 4 * BINS], sides) * fit).sum() / amount
    loss = _CLASS * class_loss + _BOX * box_loss + _SIDES * side_loss
    if model.landmarks:
        places = raw[picture, cell, 4 * BINS + classes :].unflatten(1, (-1, 2))
        wanted = (batch.landmarks[box] - points[cell][:, None]) / strides[cell][:, None]
        extent = (real[:, 2:] - real[:, :2]).clamp(min=1.0) / strides[cell]
        loss = loss + _PLACES * _place_loss(places, wanted, extent, fit)
    return loss, overlap.detach().mean()


def _assign(scores: Tensor, found: Tensor, batch: Batch, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each cell that answers: its picture, its number, the row of its box, and how well it fits (0..1)."""
    boxes, owner = batch.boxes, batch.owner
    if not len(boxes):
        nothing = owner[:0]
        return nothing, nothing, nothing, scores.new_zeros(0)
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=_LEAST_EXTENT) / 2
    inside = ((points[None] - middle[:, None]).abs() < half[:, None]).all(dim=2)  # (K, A)
    overlap, _ = _overlap(found[owner], boxes[:, None].expand(-1, found.shape[1], -1))
    overlap = overlap.clamp(min=0)
    right = scores[owner, :, batch.labels]
    alignment = right.pow(_ALPHA) * overlap.pow(_BETA) + 1e-9  # where nothing fits yet, any cell inside will do
    alignment = alignment * inside
    best, cells = alignment.topk(min(_CELLS_A_BOX, alignment.shape[1]), dim=1)
    row, column = torch.nonzero(best > 0, as_tuple=True)
    cell = cells[row, column]
    # A cell that fits several boxes answers for the one that it overlaps most.
    fits = overlap[row, cell]
    place = owner[row] * found.shape[1] + cell
    most = torch.full((found.shape[0] * found.shape[1],), -1.0, device=fits.device)
    most.scatter_reduce_(0, place, fits, reduce="amax")
    first = torch.full_like(most, len(row), dtype=torch.long)
    number = torch.arange(len(row), device=row.device)
    winners = fits >= most[place]
    first.scatter_reduce_(0, place[winners], number[winners], reduce="amin")  # equal ones: the first
    kept = first[place] == number
    row, cell = row[kept], cell[kept]
    # The alignment, scaled so that a box's best cell is given that cell's overlap (section 3.3 of the paper).
    aligned, overlaps = alignment[row, cell], overlap[row, cell]
    zero = torch.zeros(len(boxes), device=fits.device)
    highest = zero.scatter_reduce(0, row, aligned, reduce="amax")
    widest = zero.scatter_reduce(0, row, overlaps, reduce="amax")
    return owner[row], cell, row, aligned / highest[row].clamp(min=1e-9) * widest[row]


def _known(batch: Batch, points: Tensor) -> Tensor:
    """``(N, A, C)``: 1 where the class is labelled at the place of the cell, otherwise 0."""
    right = (points[None, :, 0] >= batch.split[:, :1]).long()
    below = (points[None, :, 1] >= batch.split[:, 1:]).long()
    quarter = below * 2 + right  # (N, A)
    rows = torch.arange(len(quarter), device=quarter.device)[:, None]
    return batch.known[rows, quarter].float()


def _ignored(batch: Batch, points: Tensor) -> Tensor:
    """``(N, A) bool``: the centre of the cell lies in a place of which nothing is to be learnt."""
    boxes = batch.ignored[:, None]  # (N, 1, I, 4)
    at = points[None, :, None]
    return ((at >= boxes[..., :2]) & (at < boxes[..., 2:])).all(dim=3).any(dim=2)


def _place_loss(places: Tensor, wanted: Tensor, extent: Tensor, fit: Tensor) -> Tensor:
    """How far landmarks ``(P, K, 2)`` lie from where they are, in shares of the box's sides `extent` ``(P, 2)``.

    The wing loss (Feng et al. 2018, equation 5): errors of a few hundredths still count. Unknown ones do not.
    """
    known = wanted.isfinite()
    far = torch.where(known, (places - wanted.nan_to_num()) / extent[:, None], 0.0).abs()
    near = 0.1 * torch.log1p(far / _WING)
    loss = torch.where(far < 0.1, near, far - 0.1 + 0.1 * math.log1p(0.1 / _WING))
    share = (fit[:, None, None] * known).sum().clamp(min=1.0)
    return (loss * fit[:, None, None]).sum() / share


def _overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019) of boxes ``(..., 4)``."""
    shared = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    both = shared[..., 0] * shared[..., 1]
    first = (one[..., 2:] - one[..., :2]).clamp(min=0)
    second = (other[..., 2:] - other[..., :2]).clamp(min=0)
    union = first[..., 0] * first[..., 1] + second[..., 0] * second[..., 1] - both + 1e-7
    around = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    hull = around[..., 0] * around[..., 1] + 1e-7
    iou = both / union
    return iou, iou - (hull - union) / hull


def _side_loss(logits: Tensor, sides: Tensor) -> Tensor:
    """Distribution focal loss (Li et al. 2020, equation 6) of ``(P, 4 * BINS)`` against ``(P, 4)`` in cells."""
    sides = sides.clamp(0, BINS - 1.01)
    left = sides.floor().long()
    share = sides - left
    flat = logits.reshape(-1, BINS)
    low = functional.cross_entropy(flat, left.flatten(), reduction="none")
    high = functional.cross_entropy(flat, left.flatten() + 1, reduction="none")
    share = share.flatten()
    return (low * (1 - share) + high * share).view(-1, 4).mean(dim=1)
