"""The exported module: uint8 BGR in, uint8 BGR out, so that a runtime only moves bytes."""

import copy

import torch
from torch import Tensor, nn

from artmirror.train.networks.stylizer import Stylizer


class VideoFilter(nn.Module):
    """A stylizer with its pre- and post-processing and a blend with the camera picture.

    The swap from BGR to RGB and back is folded into the first and last convolution. All arithmetic outside the
    network is on the scale 0 to 255, where even bf16 holds every camera value exactly.
    """

    def __init__(self, stylizer: Stylizer) -> None:
        super().__init__()
        self.stylizer = copy.deepcopy(stylizer)
        with torch.no_grad():
            for parameter, axis in self.stylizer.colour_parameters():
                parameter.copy_(parameter.flip(axis))
        self.eval()

    def forward(self, frame: Tensor, strength: Tensor) -> Tensor:
        """Paint one picture.

        Args:
            frame: (1, H, W, 3) uint8 BGR.
            strength: (1,) float32, 0 for the camera picture, 1 for the full style.

        Returns:
            (1, H, W, 3) uint8 BGR.
        """
        # TensorRT takes uint8 only right at a cast. Blending in this order too leaves the two transpositions beside the
        # network, where OpenVINO makes its own change of layout of them.
        picture = frame.float()
        painted = self.stylizer(picture.permute(0, 3, 1, 2) / 255).permute(0, 2, 3, 1) * 255
        blend = picture + strength * (painted - picture)
        return torch.round(blend).clamp(0, 255).to(torch.uint8)
