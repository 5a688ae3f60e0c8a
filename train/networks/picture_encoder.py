"""From the pixels of a painting to its code, without VGG-19: the encoder that is shown with."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from artmirror.train.networks.style_encoder import StatisticsEncoder

# (channels, kernel, stride, whether its statistics are looked at); 0.28 GMAC for 256x256.
_LAYERS = (
    (24, 5, 2, True),
    (48, 3, 2, False),
    (48, 3, 1, True),
    (64, 3, 2, False),
    (96, 3, 1, True),
    (128, 3, 2, True),
    (128, 3, 2, True),
)
_COLOURS = 12
_FAINT = 0.05  # added before the logarithm


Width = Annotated[int, Meta(ge=1, le=4096)]


@dataclass(frozen=True, slots=True)
class PictureEncoderSize:
    """What its last layers are as wide as."""

    hidden: Width  # of its teacher
    code_length: Width


class PictureEncoder(nn.Module):
    """A code from means and deviations of small convolutions' activations, at five depths.

    It learns from a `StatisticsEncoder`, first of all that one's hidden numbers, and goes on with its last layer.
    """

    def __init__(self, size: PictureEncoderSize) -> None:
        super().__init__()
        self.size = size
        self.convolutions = nn.ModuleList()
        channels, seen = 3, _COLOURS
        for width, kernel, stride, looked_at in _LAYERS:
            convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
            self.convolutions.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU()))
            channels = width
            seen += 2 * width * looked_at
        self.guess = nn.Sequential(
            nn.BatchNorm1d(seen), nn.Linear(seen, 320), nn.LeakyReLU(0.1), nn.Linear(320, size.hidden)
        )
        self.last = nn.Sequential(nn.LeakyReLU(0.1), nn.Linear(size.hidden, size.code_length), nn.Tanh())

    @classmethod
    def of_teacher(cls, teacher: StatisticsEncoder) -> "PictureEncoder":
        """One that ends as its teacher does."""
        first, last = teacher.layers[0], teacher.layers[2]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        student = cls(PictureEncoderSize(first.out_features, last.out_features))
        student.end_as(teacher)
        return student

    def end_as(self, teacher: StatisticsEncoder) -> None:
        """Take the last layer of a teacher."""
        self.last[1].load_state_dict(teacher.layers[2].state_dict())

    def hidden(self, rgb: Tensor) -> Tensor:  # (B, 3, h, w) float32 RGB in [0, 1]
        """What the teacher's first layer would say: (B, hidden) float32."""
        seen = [colour_moments(rgb)]
        x = rgb - 0.5
        for convolution, (_, _, _, looked_at) in zip(self.convolutions, _LAYERS, strict=True):
            x = convolution(x)
            if looked_at:
                variance, mean = torch.var_mean(x.float(), (2, 3), correction=0)
                seen += [(mean + _FAINT).log(), (variance + _FAINT**2).log()]
        guess: Tensor = self.guess(torch.cat(seen, 1))
        return guess

    def forward(self, rgb: Tensor) -> Tensor:  # (B, 3, h, w) float32 RGB in [0, 1], short side 256
        """Return codes, (B, CODE_LENGTH) in [-1, 1]."""
        code: Tensor = self.last(self.hidden(rgb))
        return code


def colour_moments(rgb: Tensor) -> Tensor:  # (B, 3, H, W)
    """Mean and covariance of the colours: (B, 12) float32."""
    colours = rgb.float().flatten(2)
    mean = colours.mean(2)
    centred = colours - mean[:, :, None]
    covariance = centred @ centred.transpose(1, 2) / colours.shape[2]
    return torch.cat([mean, covariance.flatten(1)], 1)
