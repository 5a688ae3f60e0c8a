"""Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks": a picture's pixels are optimised.

    L = alpha L_content + beta L_style   (eq. 7), by L-BFGS

Departures. The layers and the scale of VGG-19 are those of this project's training, so that distances compare; the
style counts in units of what the unpainted photo has, layer by layer. A penalty keeps pixels in
[0, 1], and a faint total variation is added. From coarse to fine, as Gatys et al. 2017 (section 6): each size begins
with the result of the one before, so that large strokes come into large pictures too.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.objective.losses import TotalVariationLoss
from artmirror.train.objective.vgg import STYLE_LAYERS, VggFeatures
from artmirror.train.optimisation.tiles import BYTES_PER_PIXEL, Grams, TiledFeatures

_COARSEST = 256  # pixels of the shorter side
_HISTORY = 10  # steps that L-BFGS remembers; each takes two pictures
_OUTSIDE = 5000.0  # weight of pixels outside of [0, 1]


@dataclass(frozen=True, slots=True)
class PaintWeights:
    """Factors of the terms."""

    content: float = 1.0
    style: float = 100.0
    total_variation: float = 0.1


@dataclass(frozen=True, slots=True)
class Iteration:
    """One iteration, told to whoever watches."""

    step: int  # of all sizes together, from 1
    steps: int
    losses: dict[str, float]  # unweighted; style in units of an unpainted photo's
    step_s: float
    picture: Tensor  # (1, 3, h, w) float32 RGB, about in [0, 1], of the size at work; the best so far


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """From coarse to fine: the wanted size at the end, each before it half of the next, on VGG-19's grid of 8."""
    found = [(height, width)]
    while min(found[0]) > 1.5 * _COARSEST:
        found.insert(0, tuple(max(8, round(side / 2 / 8) * 8) for side in found[0]))  # type: ignore[arg-type]
    return found


def shares(iterations: int, count: int) -> list[int]:
    """How many iterations each size has: most at the coarsest, where they are cheap and decide the look."""
    weights = [2.0**-number for number in range(count)]
    found = [max(1, round(iterations * weight / sum(weights))) for weight in weights]
    found[0] = max(1, found[0] + iterations - sum(found))
    return found


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
        iterations: Of all sizes together.
        start: Where to begin, as the photo; None for the photo itself.
        mask: (1, 1, H, W) in [0, 1], where to paint; None for everywhere.
        painting_scale: The painting's shorter side in units of the picture's: smaller gives finer strokes.
        memory_bytes: What this may take; larger pictures are looked at in tiles.
        done: Iterations that `start` has behind it.

    Returns:
        The best picture of the last size, (1, 3, H, W) in [0, 1]; asked to stop, of the size that was at work,
        enlarged.

    Raises:
        ArtmirrorError: the loss is not finite.
    """
    plan = sizes(photo.shape[2], photo.shape[3])
    counts = shares(iterations, len(plan))
    judge = TiledFeatures(features, max(1, memory_bytes // 2 // BYTES_PER_PIXEL))
    picture = photo if start is None else start
    for number, size in enumerate(plan):
        count = sum(counts[: number + 1]) - done
        if count <= 0:
            continue
        here = _scaled(photo, size)
        begin = _scaled(picture, size)
        place = None if mask is None else _scaled(mask, size)
        wanted = _mixed(judge, paintings, round(min(size) * painting_scale))
        picture, done = _at_one_size(
            here, begin, wanted, place, judge, weights, count, done, iterations, memory_bytes, observe, should_stop
        )
        if should_stop():
            break
    return resized(picture, (photo.shape[2], photo.shape[3]))


def _at_one_size(
    photo: Tensor,
    begin: Tensor,
    wanted: Grams,
    mask: Tensor | None,
    judge: TiledFeatures,
    weights: PaintWeights,
    count: int,
    done: int,
    steps: int,
    memory_bytes: int,
    observe: Callable[[Iteration], None],
    should_stop: Callable[[], bool],
) -> tuple[Tensor, int]:
    content = judge.content(photo)
    unpainted = judge.grams(photo)
    # Each layer in its own unit: the sum of all would be the deepest one's, and colours would hardly count.
    shares_of = {
        layer: weights.style / len(STYLE_LAYERS) / max(float((unpainted[layer] - wanted[layer]).square().mean()), 1e-6)
        for layer in STYLE_LAYERS
    }
    pixels = begin.clone().requires_grad_()
    history = int(min(_HISTORY, max(2, memory_bytes // 4 // (8 * pixels.numel()))))
    optimizer = torch.optim.LBFGS([pixels], lr=1.0, max_iter=1, history_size=history)
    variation = TotalVariationLoss()
    best, best_total = begin, math.inf
    terms: dict[str, float] = {}

    def closure() -> float:
        nonlocal best, best_total
        losses, gradient = judge.gradient(pixels.detach(), wanted, content, weights.content, shares_of)
        free = pixels.detach().requires_grad_()
        outside = (F.relu(free - 1) ** 2 + F.relu(-free) ** 2).mean()
        smooth = variation(free)
        rest = weights.total_variation * smooth + _OUTSIDE * outside
        (slope,) = torch.autograd.grad(rest, free)
        gradient = gradient + slope
        pixels.grad = gradient if mask is None else gradient * mask
        style = losses.style / weights.style if weights.style else 0.0
        total = weights.content * losses.content + losses.style + float(rest.detach())
        if not math.isfinite(total):
            raise ArtmirrorError("the loss is not finite; use a lower --style-weight")
        terms.update(content=losses.content, style=style, total=total)
        if total < best_total:
            best, best_total = pixels.detach().clone(), total
        return total

    started_s = time.perf_counter()
    for _ in range(count):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        done += 1
        now_s = time.perf_counter()
        observe(Iteration(done, steps, dict(terms), now_s - started_s, best))
        started_s = now_s
        if should_stop():
            break
    return best, done


def _mixed(judge: TiledFeatures, paintings: Sequence[tuple[Tensor, float]], short_side: int) -> Grams:
    total = sum(weight for _, weight in paintings)
    mixed: Grams = {}
    for painting, weight in paintings:
        scale = max(64, short_side) / min(painting.shape[2:])
        size = tuple(max(8, round(side * scale / 8) * 8) for side in painting.shape[2:])
        for layer, matrix in judge.grams(_scaled(painting, size)).items():  # type: ignore[arg-type]
            mixed[layer] = mixed.get(layer, torch.zeros_like(matrix)) + matrix * (weight / total)
    return mixed


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, h, w) in [0, 1] at (H, W), in [0, 1]."""
    return _scaled(picture, size).clamp(0, 1)


def _scaled(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[2:]) == tuple(size):
        return picture.detach()
    return F.interpolate(picture, size, mode="bicubic", antialias=True, align_corners=False).detach()


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
