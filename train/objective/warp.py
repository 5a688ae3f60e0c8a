"""The warp of the losses: differentiable sampling. The convention is that of `artmirror.runtime.common.flow`."""

import torch
from torch import Tensor
from torch.nn import functional as F


def warp(image: Tensor, flow: Tensor) -> Tensor:  # (B, C, H, W) float, (B, 2, H, W) float32 pixels
    """Sample `image` bilinearly where `flow` points, out(x) = image(x + flow(x)); beyond the border, its value."""
    return F.grid_sample(image, _grid(flow), mode="bilinear", padding_mode="border", align_corners=True)


def recall(picture: Tensor, flow: Tensor) -> Tensor:
    """Bring a network's earlier picture onto the present frame, as `runtime.engines.memory` does at show time.

    Sampled bicubically: bilinearly it would lose sharpness every time.

    Args:
        picture: (B, 3, H, W) float32 RGB in [0, 1].
        flow: (B, 2, h, w) float32 pixels of the full frame, from the present to the earlier one, at half the size.
    """
    grid = _grid(spread(flow, picture.shape[2:]))
    sampled = F.grid_sample(picture.float(), grid, mode="bicubic", padding_mode="border", align_corners=True)
    return sampled.clamp(0, 1)


def spread(small: Tensor, size: torch.Size) -> Tensor:
    """A half-size flow or mask at full size."""
    return F.interpolate(small.float(), size=tuple(size), mode="bilinear", align_corners=False)


def _grid(flow: Tensor) -> Tensor:  # (B, 2, H, W) pixels
    """Where `flow` points, (B, H, W, 2) in [-1, 1]."""
    _, _, height, width = flow.shape
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    return torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
