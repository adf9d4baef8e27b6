"""The well-known detectors of everyday things, from torchvision, as networks with one output.

Each takes ``(N, 3, S, S)`` floats, normalised as its card says, and gives ``(N, A, 4 + classes)`` in eval mode: the
corners x0, y0, x1, y1 of a box in pixels of the square, clipped to it, and one probability for each class. That is
what torchvision computes before its non-maximum suppression, which is left to whoever shows the boxes. Names of the
weights are torchvision's own, so its files fit. What torchvision works out anew for every picture (its size, the
anchors) is constant here, because the square is; so the networks can be converted.

torchvision's detectors know 91 classes, of which the first is the background and ten were never used: `outputs` is
how many there are and `columns` which of them are the classes of the card.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d, roi_align

from engine.networks import register

_LOG_LONGEST = math.log(1000 / 16)  # a box is no more than this much larger than its anchor, as in torchvision
_FRACTION = 1024  # anchors are kept in whole parts of a pixel, so that a network in half precision has the same ones


class OneStage(nn.Module):
    """SSD, RetinaNet and FCOS: a box and its probabilities for every anchor of every grid.

    Of each grid only the `keep` anchors with the highest scores leave the network, as in torchvision, since nobody
    wants forty megabytes for a picture.
    """

    anchors: Tensor
    columns: Tensor

    def __init__(
        self, model: Any, *, size: int, columns: Sequence[int], kind: Literal["ssd", "retinanet", "fcos"]
    ) -> None:
        super().__init__()
        self.backbone: Any = model.backbone
        self.head: Any = model.head
        self.size, self.kind = size, kind
        self.keep = 0 if kind == "ssd" else int(model.topk_candidates)
        weights = (10.0, 10.0, 5.0, 5.0) if kind == "ssd" else (1.0, 1.0, 1.0, 1.0)
        self.code_weights = weights
        features, anchors = _anchors(model.eval(), model.anchor_generator, size)
        per_place = model.anchor_generator.num_anchors_per_location()
        self.counts = [each.shape[-2] * each.shape[-1] * count for each, count in zip(features, per_place, strict=True)]
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("columns", torch.tensor(list(columns)), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        found = self.head(list(self.backbone(inputs).values()))
        logits, codes = found["cls_logits"].float(), found["bbox_regression"].float()
        anchors = (self.anchors.float() / _FRACTION)[None]
        if self.kind == "ssd":
            scores = logits.softmax(-1).index_select(-1, self.columns)
            return torch.cat([self._boxes(codes, anchors), scores], -1)
        centred = found["bbox_ctrness"].float() if self.kind == "fcos" else None
        parts: list[Tensor] = []
        first = 0
        for count in self.counts:
            grid = slice(first, first + count)
            first += count
            mine, middle = logits[:, grid], None if centred is None else centred[:, grid]
            rank = mine.amax(-1) if middle is None else mine.amax(-1).sigmoid() * middle[..., 0].sigmoid()
            rows = rank.topk(min(self.keep, count), dim=1).indices
            scores = _rows(mine, rows).index_select(-1, self.columns).sigmoid()
            if middle is not None:  # torchvision's measure: the geometric mean of both
                scores = (scores * _rows(middle, rows).sigmoid()).sqrt()
            places = _rows(anchors[:, grid].expand(inputs.shape[0], -1, -1), rows)
            parts.append(torch.cat([self._boxes(_rows(codes[:, grid], rows), places), scores], -1))
        return torch.cat(parts, 1)

    def _boxes(self, codes: Tensor, anchors: Tensor) -> Tensor:
        if self.kind != "fcos":
            return decoded(codes, anchors, self.code_weights, self.size)
        low, high = anchors[..., :2], anchors[..., 2:]
        middle, side = (low + high) / 2, high - low
        return torch.cat([middle - codes[..., :2] * side, middle + codes[..., 2:] * side], -1).clamp(0, self.size)


class TwoStage(nn.Module):
    """Faster R-CNN: places worth a look first, then a class and a better box for each of them.

    Each class has a box of its own, so a row of the output is one pair of a place and a class; the `rows` most
    probable pairs leave the network. Fewer places than `proposals` (some overlap) are filled up with empty rows.
    """

    anchors: Tensor
    columns: Tensor
    exact = True  # rounded to half of their bits, places in a picture of 640 pixels would be off by some of them

    def __init__(self, model: Any, *, size: int, columns: Sequence[int], proposals: int = 0, rows: int = 1000) -> None:
        super().__init__()
        self.backbone: Any = model.backbone
        self.rpn: Any = model.rpn
        self.roi_heads: Any = model.roi_heads
        self.size, self.rows = size, rows
        features, anchors = _anchors(model.eval(), model.rpn.anchor_generator, size)
        per_place = model.rpn.anchor_generator.num_anchors_per_location()
        self.counts = [each.shape[-2] * each.shape[-1] * count for each, count in zip(features, per_place, strict=True)]
        self.before = int(model.rpn.pre_nms_top_n())
        self.proposals = proposals or int(model.rpn.post_nms_top_n())
        pool = model.roi_heads.box_roi_pool
        self.pooled, self.sampling = tuple(pool.output_size), int(pool.sampling_ratio)
        self.scales = [_scale(each.shape[-1], size) for each in features[: len(pool.featmap_names)]]
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("columns", torch.tensor(list(columns)), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        features = list(self.backbone(inputs).values())
        proposals, alive = self.propose(*self.rpn.head(features))
        count, classes = proposals.shape[1], self.columns.shape[0]
        seen = self.roi_heads.box_head(self._pool(features[: len(self.scales)], proposals))
        logits, codes = self.roi_heads.box_predictor(seen)
        outputs = logits.shape[-1]
        scores = logits.float().softmax(-1).index_select(-1, self.columns).view(-1, count, classes)
        scores = scores * alive[..., None]
        best, pairs = scores.flatten(1).topk(min(self.rows, count * classes), dim=1)
        place, kind = pairs // classes, pairs % classes
        of_pair = place * outputs + self.columns[kind]
        chosen = _rows(codes.float().view(-1, count * outputs, 4), of_pair)
        boxes = decoded(chosen, _rows(proposals, place), (10.0, 10.0, 5.0, 5.0), self.size)
        best = best * _larger(boxes, 1e-2)
        one_hot = kind[..., None] == torch.arange(classes, device=kind.device)
        return torch.cat([boxes, one_hot * best[..., None]], -1)

    def propose(self, logits: Sequence[Tensor], codes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Places worth a look, (N, P, 4) in pixels of the square, and which of them are more than filling (N, P)."""
        boxes, scores, levels = [], [], []
        first = 0
        for level, (count, logit, code) in enumerate(zip(self.counts, logits, codes, strict=True)):
            anchors = (self.anchors[first : first + count].float() / _FRACTION)[None]
            first += count
            score, rows = logit.float().permute(0, 2, 3, 1).flatten(1).topk(min(self.before, count), dim=1)
            flat = code.float().unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
            places = _rows(anchors.expand(logit.shape[0], -1, -1), rows)
            boxes.append(decoded(_rows(flat, rows), places, (1.0, 1.0, 1.0, 1.0), self.size))
            scores.append(score.sigmoid())
            levels.append(torch.full((rows.shape[1],), float(level), device=logit.device))
        all_boxes, all_scores = torch.cat(boxes, 1), torch.cat(scores, 1)
        sound = (all_scores >= self.rpn.score_thresh) & _larger(all_boxes, self.rpn.min_size)
        all_scores = torch.where(sound, all_scores, -1.0)  # last in line, so that they suppress nothing
        # Each grid of each picture is suppressed by itself: its boxes are moved to where no others are.
        pictures = torch.arange(logits[0].shape[0], device=all_boxes.device)[:, None]
        apart = (pictures * len(boxes) + torch.cat(levels)) * (self.size + 1.0)
        moved = (all_boxes + apart[..., None]).flatten(0, 1)
        kept = torchvision.ops.nms(moved, all_scores.flatten(), self.rpn.nms_thresh)
        mask = torch.zeros_like(all_scores).flatten().index_fill(0, kept, 1.0).view_as(all_scores)
        best, rows = torch.where(mask > 0, all_scores, -1.0).topk(min(self.proposals, all_scores.shape[1]), dim=1)
        return _rows(all_boxes, rows), best >= 0

    def _pool(self, features: Sequence[Tensor], proposals: Tensor) -> Tensor:
        """The features under each place, (N * P, C, h, w), from the grid whose cells suit its size (FPN, eq. 1)."""
        pictures = torch.arange(proposals.shape[0], device=proposals.device, dtype=proposals.dtype)
        of = pictures[:, None, None].expand(-1, proposals.shape[1], 1)
        places = torch.cat([of, proposals], -1).flatten(0, 1)
        side = ((places[:, 3] - places[:, 1]) * (places[:, 4] - places[:, 2])).sqrt()
        finest, coarsest = (-torch.tensor(self.scales[end]).log2().item() for end in (0, -1))
        level = (4 + (side / 224).log2() + 1e-6).floor().clamp(finest, coarsest) - finest
        result = None
        for number, (feature, scale) in enumerate(zip(features, self.scales, strict=True)):
            here = (level == number)[:, None]
            # What belongs to another grid shrinks to a point here, which costs next to nothing.
            mine = torch.cat([places[:, :1], places[:, 1:] * here], 1)
            part = roi_align(feature, mine.to(feature.dtype), self.pooled, scale, self.sampling)
            part = part * here[:, :, None, None].to(part.dtype)
            result = part if result is None else result + part
        assert result is not None
        return result


def decoded(codes: Tensor, anchors: Tensor, weights: tuple[float, ...], size: int) -> Tensor:
    """Boxes (N, A, 4) as corners, from how they differ from their anchors (Girshick et al. 2014, appendix C)."""
    low, high = anchors[..., :2], anchors[..., 2:]
    sides, middle = high - low, (low + high) / 2
    x, y, w, h = weights
    middle = middle + codes[..., :2] / codes.new_tensor([x, y]) * sides
    half = (codes[..., 2:] / codes.new_tensor([w, h])).clamp(max=_LOG_LONGEST).exp() * sides / 2
    return torch.cat([middle - half, middle + half], -1).clamp(0, size)


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """Of each picture's (A, K) `values` the `rows` (N, k): (N, k, K)."""
    return values.gather(1, rows[..., None].expand(-1, -1, values.shape[-1]))


def _larger(boxes: Tensor, side: float) -> Tensor:
    return ((boxes[..., 2:] - boxes[..., :2]) >= side).all(-1)


def _scale(side: int, size: int) -> float:
    """Pixels of a grid for one of the picture, taken to be a power of two, as in torchvision."""
    return float(2.0 ** round(math.log2(side / size)))


def _anchors(model: Any, generator: Any, size: int) -> tuple[list[Tensor], Tensor]:
    """The grids of a square picture, and all their anchors (A, 4) as corners in parts of a pixel, int32."""
    with torch.no_grad():
        blank = torch.zeros(1, 3, size, size)
        features = list(model.backbone(blank).values())
        (anchors,) = generator(ImageList(blank, [(size, size)]), features)
    return features, (anchors * _FRACTION).round().to(torch.int32)


def _frozen(module: nn.Module) -> nn.Module:
    """`module` with its batch norms as torchvision has them where the weights are its own: constants."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=child.eps))
        else:
            _frozen(child)
    return module


def _columns(classes: int, outputs: int, columns: Sequence[int]) -> tuple[int, Sequence[int]]:
    chosen = columns or range(1, classes + 1)
    if len(chosen) != classes:
        raise ValueError(f"{classes} classes, but {len(chosen)} columns")
    return outputs or classes + 1, chosen


def _enter(
    name: str, title: str, help: str, wrap: Callable[..., nn.Module], *, frozen: bool, **fixed: Any
) -> Callable[..., nn.Module]:
    make = getattr(detection, name)

    @register(name, title=title, help=help, teachable=False, task="detection")
    def build(
        *,
        classes: int,
        channels: int = 3,
        image_size: int = 320,
        outputs: int = 0,
        columns: Sequence[int] = (),
        **arguments: Any,
    ) -> nn.Module:
        if channels != 3:
            raise ValueError("these networks see colours")
        outputs, columns = _columns(classes, outputs, columns)
        model = make(weights=None, weights_backbone=None, num_classes=outputs)
        if frozen:
            _frozen(model.backbone)
        return wrap(model, size=image_size, columns=columns, **fixed, **arguments)

    return build


ssdlite320_mobilenet_v3_large = _enter(
    "ssdlite320_mobilenet_v3_large",
    "SSDlite 320 · MobileNetV3",
    "The smallest of torchvision's detectors (Howard et al. 2019).",
    OneStage,
    frozen=False,
    kind="ssd",
)
fasterrcnn_mobilenet_v3_large_320_fpn = _enter(
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "Faster R-CNN 320 · MobileNetV3",
    "Looks for places first, then at each of them; with a small backbone (Ren et al. 2015).",
    TwoStage,
    frozen=True,
)
fasterrcnn_resnet50_fpn_v2 = _enter(
    "fasterrcnn_resnet50_fpn_v2",
    "Faster R-CNN · ResNet-50 v2",
    "Looks for places first, then at each of them; the best of torchvision's detectors (Li et al. 2021).",
    TwoStage,
    frozen=False,
)
retinanet_resnet50_fpn_v2 = _enter(
    "retinanet_resnet50_fpn_v2",
    "RetinaNet · ResNet-50 v2",
    "One stage with anchors and a loss for rare objects (Lin et al. 2017; Zhang et al. 2019).",
    OneStage,
    frozen=False,
    kind="retinanet",
)
fcos_resnet50_fpn = _enter(
    "fcos_resnet50_fpn",
    "FCOS · ResNet-50",
    "One stage without anchors: every place says how far the sides of its box are (Tian et al. 2019).",
    OneStage,
    frozen=True,
    kind="fcos",
)
