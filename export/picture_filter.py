"""The exported encoder: a painting as uint8 BGR in, its code out."""

import copy

import torch
from torch import Tensor, nn

from artmirror.train.networks.picture_encoder import PictureEncoder


class PictureFilter(nn.Module):
    """An encoder with its pre-processing.

    It takes a picture of any size, and sees other strokes in a larger copy of the same painting: it learned on pictures
    whose shorter side has `fit.PAINTING_SIDE` pixels, and whoever calls it scales to that, as the runtime does.
    """

    def __init__(self, encoder: PictureEncoder) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.register_buffer("to_rgb", torch.tensor([2, 1, 0]), persistent=False)
        self.eval()

    def forward(self, picture: Tensor) -> Tensor:
        """Return the code, (C,) float32 in [-1, 1], of (1, H, W, 3) uint8 BGR."""
        rgb = picture.float().index_select(3, self.get_buffer("to_rgb"))
        code: Tensor = self.encoder(rgb.permute(0, 3, 1, 2) / 255)
        return code[0]
