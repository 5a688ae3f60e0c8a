"""Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks": a picture's pixels are optimised.

    L = alpha L_content + beta L_style   (eq. 7), by L-BFGS

Departures. The layers and the scale of VGG-19 are those of this project's training, so that distances compare; the
style counts in units of what the unpainted photo has, layer by layer. A penalty keeps pixels in
[0, 1], and a faint total variation is added.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from artmirror.train.objective.vgg import STYLE_LAYERS, VggFeatures
from artmirror.train.optimisation.descent import Cost, Iteration, PaintWeights, coarse_to_fine, pixels_cost, scaled
from artmirror.train.optimisation.tiles import BYTES_PER_PIXEL, Grams, TiledFeatures


class GramLook:
    """A picture shall have the content of the photo, and the Gram matrices of paintings."""

    def __init__(
        self,
        paintings: Sequence[tuple[Tensor, float]],
        features: VggFeatures,
        weights: PaintWeights,
        *,
        painting_scale: float = 1.0,
        memory_bytes: int = 4_000_000_000,
    ) -> None:
        """For the arguments see `paint`."""
        self._paintings, self._weights, self._scale = paintings, weights, painting_scale
        self._judge = TiledFeatures(features, max(1, memory_bytes // 2 // BYTES_PER_PIXEL))

    def at(self, photo: Tensor) -> Cost:  # (1, 3, h, w) float32 RGB in [0, 1]
        """What a picture of this size costs."""
        judge, weights = self._judge, self._weights
        wanted = self._mixed(round(min(photo.shape[2:]) * self._scale))
        content = judge.content(photo)
        unpainted = judge.grams(photo)
        # Each layer in its own unit: the sum of all would be the deepest one's, and colours would hardly count.
        shares_of = {
            layer: weights.style
            / len(STYLE_LAYERS)
            / max(float((unpainted[layer] - wanted[layer]).square().mean()), 1e-6)
            for layer in STYLE_LAYERS
        }

        def cost(pixels: Tensor) -> tuple[dict[str, float], Tensor]:
            losses, gradient = judge.gradient(pixels, wanted, content, weights.content, shares_of)
            rest, slope = pixels_cost(pixels, weights)
            style = losses.style / weights.style if weights.style else 0.0
            total = weights.content * losses.content + losses.style + rest
            return {"content": losses.content, "style": style, "total": total}, gradient + slope

        return cost

    def _mixed(self, short_side: int) -> Grams:
        total = sum(weight for _, weight in self._paintings)
        mixed: Grams = {}
        for painting, weight in self._paintings:
            for layer, matrix in self._judge.grams(at_short_side(painting, short_side)).items():
                mixed[layer] = mixed.get(layer, torch.zeros_like(matrix)) + matrix * (weight / total)
        return mixed


def at_short_side(painting: Tensor, short_side: int) -> Tensor:
    """A painting, (1, C, h, w), with so many pixels on its shorter side, 64 or more, on the grid of VGG-19."""
    scale = max(64, short_side) / min(painting.shape[2:])
    height, width = (max(8, round(side * scale / 8) * 8) for side in painting.shape[2:])
    return scaled(painting, (height, width))


def paint(
    photo: Tensor,
    paintings: Sequence[tuple[Tensor, float]],
    features: VggFeatures,
    *,
    weights: PaintWeights,
    iterations: int = 200,
    start: Tensor | None = None,
    mask: Tensor | None = None,
    painting_scale: float = 1.0,
    memory_bytes: int = 4_000_000_000,
    done: int = 0,
    observe: Callable[[Iteration], None] = lambda iteration: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Optimise.

    Args:
        photo: (1, 3, H, W) float32 RGB in [0, 1]; H and W multiples of 8.
        paintings: Of any sizes, (1, 3, h, w), and how much of each.
        painting_scale: The painting's shorter side in units of the picture's: smaller gives finer strokes.

    For the other arguments, what is returned and raised see `descent.coarse_to_fine`.
    """
    look = GramLook(paintings, features, weights, painting_scale=painting_scale, memory_bytes=memory_bytes)
    return coarse_to_fine(
        photo,
        look,
        iterations=iterations,
        start=start,
        mask=mask,
        memory_bytes=memory_bytes,
        done=done,
        observe=observe,
        should_stop=should_stop,
    )


def with_colours_of(rgb: Tensor, source: Tensor) -> Tensor:  # (1, 3, h, w) float32 RGB in [0, 1] each
    """A picture whose colours have the mean and the covariance of another one's, same shape and range as the first.

    Gatys et al. 2017, section 5.1: x' = A x + b with A Sigma A^T = Sigma_source, by A = R_source R^-1 of the symmetric
    roots.
    """
    (mean, root), (wanted, wanted_root) = _moments(rgb), _moments(source)
    change = wanted_root @ torch.linalg.inv(root)
    moved = change @ (rgb.double().flatten(2)[0] - mean) + wanted
    result: Tensor = moved.reshape(rgb.shape).clamp(0, 1).float()
    return result


def _moments(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3, 1), and the symmetric root of the covariance (3, 3)."""
    colours = rgb.double().flatten(2)[0]
    values, vectors = torch.linalg.eigh(torch.cov(colours) + 1e-6 * torch.eye(3, dtype=torch.float64))
    return colours.mean(1, keepdim=True), (vectors * values.sqrt()) @ vectors.T
