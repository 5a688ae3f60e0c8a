"""Ulyanov et al. 2016, "Texture Networks": a small network learns to make a painting's texture out of noise.

It is trained once, on the Gram matrices of the painting alone (eq. 2 and 4); then it makes new texture of any size in
one pass. Section 4: noise at several sizes, each halved, goes through blocks of convolutions, and is joined with what
comes from the next smaller one. Convolutions pad in circles (section 4.1), so a texture meets its own other side and
tiles a wall without a seam.

Departures: instance normalisation in place of batch normalisation, as the authors' later paper; nearest neighbour
doubling as theirs.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artmirror.train.objective.losses import gram
from artmirror.train.objective.vgg import STYLE_LAYERS, VggFeatures
from artmirror.train.optimisation.descent import Iteration
from artmirror.train.optimisation.gatys import at_short_side

SIZES = 5  # of noise: the largest is the texture's
GRID = 2 ** (SIZES - 1)  # pixels that a side is a multiple of
_CHANNELS, _NOISE = 8, 3
_RATE = 0.02


class TextureNetwork(nn.Module):
    """Noise to texture."""

    def __init__(self) -> None:
        super().__init__()
        self.of_noise = nn.ModuleList([_block(_NOISE, _CHANNELS) for _ in range(SIZES)])
        self.joined = nn.ModuleList(
            [_block(_CHANNELS * (number + 1), _CHANNELS * (number + 1)) for number in range(1, SIZES)]
        )
        self.lined_up = nn.ModuleList(
            [nn.InstanceNorm2d(_CHANNELS * number, affine=True) for number in range(1, SIZES)]
        )
        self.head = nn.Conv2d(_CHANNELS * SIZES, 3, 1)

    def forward(self, noise: list[Tensor]) -> Tensor:
        """Noise of each size, (B, 3, h, w), the smallest first: (B, 3, H, W) RGB in [0, 1]."""
        x: Tensor = self.of_noise[0](noise[0])
        for number, (join, line_up) in enumerate(zip(self.joined, self.lined_up, strict=True), start=1):
            larger = F.interpolate(x, scale_factor=2, mode="nearest")
            x = join(torch.cat([line_up(larger), self.of_noise[number](noise[number])], 1))
        out: Tensor = torch.sigmoid(self.head(x))
        return out


def noise_of(height: int, width: int, generator: torch.Generator) -> list[Tensor]:
    """What a texture of (height, width), multiples of `GRID`, is made of."""
    return [
        torch.rand(1, _NOISE, height // scale, width // scale, generator=generator)
        for scale in (2**power for power in reversed(range(SIZES)))
    ]


def learn_texture(
    painting: Tensor,
    features: VggFeatures,
    *,
    side: int = 256,
    iterations: int = 300,
    painting_scale: float = 1.0,
    seed: int = 0,
    observe: Callable[[Iteration], None] = lambda iteration: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TextureNetwork:
    """Train on one painting, (1, 3, h, w) float32 RGB in [0, 1], `side` is a multiple of `GRID`."""
    torch.manual_seed(seed)
    network = TextureNetwork().to(painting.device)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        seen = features(at_short_side(painting, round(side * painting_scale)))
        wanted = {layer: gram(seen[layer]) for layer in STYLE_LAYERS}
        unit = {layer: max(float(matrix.square().mean()), 1e-6) for layer, matrix in wanted.items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=_RATE / 20)
    for step in range(1, iterations + 1):
        made = network([part.to(painting.device) for part in noise_of(side, side, generator)])
        activations = features(made)
        loss = torch.stack(
            [(gram(activations[layer]) - wanted[layer]).square().mean() / unit[layer] for layer in STYLE_LAYERS]
        ).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        style = float(loss.detach())
        observe(Iteration(step, iterations, {"style": style, "total": style}, 0.0, made.detach()))
        if should_stop():
            break
    return network.eval()


@torch.inference_mode()
def make_texture(network: TextureNetwork, height: int, width: int, seed: int = 0) -> Tensor:
    """A texture of (height, width), multiples of `GRID`: (1, 3, H, W) float32 RGB in [0, 1], without a seam."""
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    out: Tensor = network([part.to(device) for part in noise_of(height, width, generator)])
    return out


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, kernel in ((inputs, 3), (outputs, 3), (outputs, 1)):
        layers += [
            nn.Conv2d(before, outputs, kernel, padding=kernel // 2, padding_mode="circular"),
            nn.InstanceNorm2d(outputs, affine=True),
            nn.LeakyReLU(0.01),
        ]
    return nn.Sequential(*layers)
