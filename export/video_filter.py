"""The exported module: uint8 BGR in, uint8 BGR out, so that a runtime only moves bytes."""

import copy

import torch
from torch import Tensor, nn

from artmirror.train.networks.many_style import ManyStyle
from artmirror.train.networks.stylizer import Stylizer


class VideoFilter(nn.Module):
    """A stylizer with its pre- and post-processing and a blend with the camera picture.

    The swap from BGR to RGB and back is folded into the first and last convolution. All arithmetic outside the
    network is on the scale 0 to 255, where even bf16 holds every camera value exactly.
    """

    def __init__(self, painter: Stylizer | ManyStyle) -> None:
        super().__init__()
        self.painter = copy.deepcopy(painter)
        stylizer = self.painter.body if isinstance(self.painter, ManyStyle) else self.painter
        with torch.no_grad():
            for parameter, axis in stylizer.colour_parameters():
                parameter.copy_(parameter.flip(axis))
        self.eval()

    @property
    def style_length(self) -> int:
        """How many numbers `style` has; 0 where the network paints one painting."""
        return self.painter.style_length if isinstance(self.painter, ManyStyle) else 0

    @property
    def has_memory(self) -> bool:
        """Whether the network takes its own picture of an earlier frame, and gives one."""
        return self.painter.config.memory

    def forward(
        self,
        frame: Tensor,
        strength: Tensor,
        style: Tensor | None = None,
        previous: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Paint one picture.

        Args:
            frame: (1, H, W, 3) uint8 BGR.
            strength: (1,) float32, 0 for the camera picture, 1 for the full style.
            style: (S,) float32, where the network paints many: see `ManyStyle.affines_of`.
            previous: (1, H, W, 3) uint8 BGR, `painted` of the frame before, brought onto this one, where the network
                has a memory.
            mask: (1, H, W, 3) uint8, three times the same: how far that is to be trusted, 255 for fully; 0 everywhere
                where there is none.

        Returns:
            (1, H, W, 3) uint8 BGR; of a network with memory this and `painted`, the same at full strength.
        """
        # TensorRT takes uint8 only right at a cast. Blending in this order too leaves the two transpositions beside the
        # network, where OpenVINO makes its own change of layout of them.
        picture = frame.float()
        given: tuple[Tensor, ...] = (picture.permute(0, 3, 1, 2) / 255,)
        if isinstance(self.painter, ManyStyle):
            assert style is not None
            given = (*given, self.painter.affines_of(style[None]))
        if self.has_memory:
            assert previous is not None
            assert mask is not None
            given = (*given, previous.float() / 255, mask.float() / 255)
        painted = self.painter(*given, colours_last=True) * 255
        stylized = _to_bytes(picture + strength * (painted - picture))
        return (stylized, _to_bytes(painted)) if self.has_memory else stylized


def _to_bytes(picture: Tensor) -> Tensor:
    return torch.round(picture).clamp(0, 255).to(torch.uint8)
