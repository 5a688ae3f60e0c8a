"""From a painting to its code."""

import torch
from torch import Tensor, nn

from artmirror.train.networks.many_style import CODE_LENGTH

_FAINT = 0.01  # added before the logarithm: some filters are silent on some paintings


class StatisticsEncoder(nn.Module):
    """A code from the statistics of VGG-19's activations on the painting: means and deviations, filter by filter.

    Departure from Ghiasi et al. 2017, who train an Inception-v3 on the picture: the statistics already are what the
    style loss asks for, so a small network learns the rest in hours on two cores. It needs VGG-19 when a painting is
    looked at, never when a frame is painted.

    Args:
        statistics: How many numbers a painting has.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, statistics: int, hidden: int = 320) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(statistics))
        self.register_buffer("deviation", torch.ones(statistics))
        self.layers = nn.Sequential(
            nn.Linear(statistics, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, CODE_LENGTH), nn.Tanh()
        )
        with torch.no_grad():
            for layer in self.layers:
                if isinstance(layer, nn.Linear):
                    layer.weight.normal_(0, layer.in_features**-0.5)

    def fit(self, statistics: Tensor) -> None:  # (N, statistics)
        """Take the mean and the deviation of some paintings, so that the layers see numbers of order 1."""
        logarithms = (statistics + _FAINT).log()
        self.mean.copy_(logarithms.mean(0))
        self.deviation.copy_(logarithms.std(0).clamp(min=0.05))

    def hidden(self, statistics: Tensor) -> Tensor:  # (B, statistics) float32, none below 0
        """What the first layer says, (B, hidden): a `PictureEncoder` learns that too."""
        found: Tensor = self.layers[0]((((statistics + _FAINT).log() - self.mean) / self.deviation).clamp(-4, 4))
        return found

    def forward(self, statistics: Tensor) -> Tensor:  # (B, statistics) float32, none below 0
        """Return codes, (B, CODE_LENGTH) in [-1, 1]."""
        code: Tensor = self.layers[1:](self.hidden(statistics))
        return code
