"""The warp of the losses: differentiable sampling. The convention is that of `artmirror.runtime.common.flow`."""

import torch
from torch import Tensor
from torch.nn import functional as F


def warp(image: Tensor, flow: Tensor) -> Tensor:  # (B, C, H, W) float, (B, 2, H, W) float32 pixels
    """Sample `image` bilinearly where `flow` points, out(x) = image(x + flow(x)); beyond the border, its value."""
    _, _, height, width = image.shape
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)  # (B, H, W, 2) in [-1, 1]
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
