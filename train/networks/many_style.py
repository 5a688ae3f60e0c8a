"""One network for many paintings: the stylizer with conditional instance normalisation.

Dumoulin et al. 2017: all that tells one painting from another are the scales and shifts behind the normalisations.
Ghiasi et al. 2017: these are predicted from the painting. Here a painting is a short code, and one linear map from the
code to all scales and shifts is a part of the network; so a mix of codes is a mix of scales and shifts.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from artmirror.train.config import NetworkConfig
from artmirror.train.networks.stylizer import Stylizer

CODE_LENGTH = 128  # numbers that stand for a painting


class ConditionalNorm(nn.Module):
    """Instance normalisation whose scale and shift are set from outside, for each frame of the batch its own."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.scale: Tensor | None = None  # (B, C)
        self.shift: Tensor | None = None  # (B, C)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, h, w)
        assert self.scale is not None
        assert self.shift is not None
        wide = x.float()  # sums of squares want it
        if len(self.scale) == 1:  # one painting: what exporters know as one operation
            return F.instance_norm(wide, weight=self.scale[0], bias=self.shift[0], eps=self.eps).to(x.dtype)
        variance, mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
        gain = self.scale[:, :, None, None] * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.shift[:, :, None, None] - mean * gain, wide, gain).to(x.dtype)


class ManyStyle(nn.Module):
    """A stylizer that paints in the style of a code.

    Args:
        config: Of the stylizer; its normalisation must be "instance".
    """

    first_bias: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.body = Stylizer(config)
        for module in list(self.body.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.InstanceNorm2d):
                    setattr(module, name, ConditionalNorm(child.num_features))
        self.affine = nn.Linear(CODE_LENGTH, 2 * sum(norm.channels for norm in self.norms()))
        with torch.no_grad():
            self.affine.weight.normal_(0, 0.02)
            self.affine.bias[: len(self.affine.bias) // 2] = 1
            self.affine.bias[len(self.affine.bias) // 2 :] = 0

    def norms(self) -> list[ConditionalNorm]:
        """The normalisations, in the order in which their scales and shifts lie in `affines`."""
        return [module for module in self.body.modules() if isinstance(module, ConditionalNorm)]

    def affines(self, code: Tensor) -> Tensor:  # (B, CODE_LENGTH) float
        """All scales, then all shifts: (B, 2 N) float32."""
        found: Tensor = self.affine(code)
        return found.float()

    @torch.no_grad()
    def with_one_style(self, style: NDArray[np.float32]) -> Stylizer:  # (style_length,) float32
        """A plain stylizer that paints as this one does in that style, in evaluation mode."""
        scales, shifts = self.affines_of(torch.from_numpy(style)[None])[0].chunk(2)
        weights = dict(self.body.state_dict())
        at = 0
        for name, module in self.body.named_modules():
            if isinstance(module, ConditionalNorm):
                weights[f"{name}.weight"] = scales[at : at + module.channels]
                weights[f"{name}.bias"] = shifts[at : at + module.channels]
                at += module.channels
        single = Stylizer(self.config)
        single.load_state_dict(weights)
        return single.eval()

    @property
    def style_length(self) -> int:
        """How many numbers `affines_of` takes."""
        return self.affine.in_features + self.affine.out_features

    def affines_of(self, style: Tensor) -> Tensor:  # (B, style_length) float
        """As `affines`, of codes behind which stands what is added to each scale and each shift; zeros add nothing."""
        length = self.affine.in_features
        return self.affines(style[:, :length]) + style[:, length:].float()

    def forward(
        self,
        rgb: Tensor,
        affines: Tensor,
        recalled: Tensor | None = None,
        trust: Tensor | None = None,
        *,
        colours_last: bool = False,
    ) -> Tensor:
        """Paint each frame with its own scales and shifts.

        Args:
            rgb: (B, 3, H, W) float RGB in [0, 1].
            affines: (B, 2 N) float32.
            recalled: As `Stylizer.forward` takes it.
            trust: The same.
            colours_last: The same.

        Returns:
            The shape and range of `rgb`, float32; with `colours_last` (B, H, W, 3).
        """
        scales, shifts = affines.chunk(2, 1)
        at = 0
        for norm in self.norms():
            norm.scale, norm.shift = scales[:, at : at + norm.channels], shifts[:, at : at + norm.channels]
            at += norm.channels
        painted: Tensor = self.body(rgb, recalled, trust, colours_last=colours_last)
        return painted

    @torch.no_grad()
    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a single painting's network of the same shapes: every code then paints nearly as it did.

        Raises:
            RuntimeError: the shapes differ.
        """
        left = dict(weights)
        names = [name for name, module in self.body.named_modules() if isinstance(module, ConditionalNorm)]
        scales = torch.cat([left.pop(f"{name}.weight") for name in names])
        shifts = torch.cat([left.pop(f"{name}.bias") for name in names])
        self.body.load_state_dict(left)
        self.affine.bias.copy_(torch.cat([scales, shifts]))
