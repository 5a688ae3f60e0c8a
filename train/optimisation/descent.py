"""Down the slope of what a picture costs, by L-BFGS, from coarse to fine: what all optimised pictures share.

From coarse to fine as Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 6: each
size begins with the result of the one before, so that large strokes come into large pictures too.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.objective.losses import TotalVariationLoss

_COARSEST = 256  # pixels of the shorter side
_HISTORY = 10  # steps that L-BFGS remembers; each takes two pictures
_OUTSIDE = 5000.0  # weight of pixels outside of [0, 1]

# Of pixels (1, 3, h, w): the losses, unweighted, with their weighted "total", and the gradient of that, same shape.
Cost = Callable[[Tensor], tuple[dict[str, float], Tensor]]


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
    losses: dict[str, float]  # unweighted
    step_s: float
    picture: Tensor  # (1, 3, h, w) float32 RGB, about in [0, 1], of the size at work; the best so far


class Look(Protocol):
    """What a picture shall look like."""

    def at(self, photo: Tensor) -> Cost:
        """What a picture of the size of `photo`, (1, 3, h, w) float32 RGB in [0, 1], costs."""
        ...


class WithTerm:
    """A look, and one more term, which autograd can differentiate.

    Args:
        name: Of the term among the losses.
        weight: Its factor.
        term_at: For a photo (1, 3, h, w) the term of pixels of that size, a scalar.
    """

    def __init__(
        self, look: Look, name: str, weight: float, term_at: Callable[[Tensor], Callable[[Tensor], Tensor]]
    ) -> None:
        self._look, self._name, self._weight, self._term_at = look, name, weight, term_at

    def at(self, photo: Tensor) -> Cost:
        """What a picture of this size costs."""
        cost, term = self._look.at(photo), self._term_at(photo)

        def both(pixels: Tensor) -> tuple[dict[str, float], Tensor]:
            losses, gradient = cost(pixels)
            free = pixels.detach().requires_grad_()
            value = term(free)
            (slope,) = torch.autograd.grad(value, free)
            found = float(value.detach())
            losses = {**losses, self._name: found, "total": losses["total"] + self._weight * found}
            return losses, gradient + self._weight * slope

        return both


def pixels_cost(pixels: Tensor, weights: PaintWeights) -> tuple[float, Tensor]:
    """What is asked of the pixels themselves: to be smooth, and to lie in [0, 1]; weighted, and the gradient."""
    free = pixels.detach().requires_grad_()
    outside = (F.relu(free - 1) ** 2 + F.relu(-free) ** 2).mean()
    rest = weights.total_variation * TotalVariationLoss()(free) + _OUTSIDE * outside
    (slope,) = torch.autograd.grad(rest, free)
    return float(rest.detach()), slope


def fitted_size(shape: Sequence[int], longer: int) -> tuple[int, int]:
    """(H, W) in the proportions of `shape`, on VGG-19's grid of 8, 64 or more."""
    scale = longer / max(shape)
    height, width = (max(64, round(side * scale / 8) * 8) for side in shape)
    return height, width


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


def coarse_to_fine(
    photo: Tensor,
    look: Look,
    *,
    iterations: int = 200,
    start: Tensor | None = None,
    mask: Tensor | None = None,
    memory_bytes: int = 4_000_000_000,
    done: int = 0,
    finest_only: bool = False,
    observe: Callable[[Iteration], None] = lambda iteration: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Optimise.

    Args:
        photo: (1, 3, H, W) float32 RGB in [0, 1]; H and W multiples of 8.
        iterations: Of all sizes together.
        start: Where to begin, as the photo; None for the photo itself.
        mask: (1, 1, H, W) in [0, 1], where to paint; None for everywhere.
        memory_bytes: What this may take.
        done: Iterations that `start` has behind it.
        finest_only: Leave the smaller sizes out: `start` is a good one.

    Returns:
        The best picture of the last size, (1, 3, H, W) in [0, 1]; asked to stop, of the size that was at work,
        enlarged.

    Raises:
        ArtmirrorError: the loss is not finite.
    """
    whole = (photo.shape[2], photo.shape[3])
    plan = [whole] if finest_only else sizes(*whole)
    counts = shares(iterations, len(plan))
    picture = photo if start is None else start
    for number, size in enumerate(plan):
        count = sum(counts[: number + 1]) - done
        if count <= 0:
            continue
        cost = look.at(scaled(photo, size))
        picture, done = _descend(
            scaled(picture, size),
            cost,
            None if mask is None else scaled(mask, size),
            (done, count, iterations),
            memory_bytes,
            observe,
            should_stop,
        )
        if should_stop():
            break
    return resized(picture, whole)


def _descend(
    begin: Tensor,
    cost: Cost,
    mask: Tensor | None,
    steps: tuple[int, int, int],  # done, to do at this size, of all
    memory_bytes: int,
    observe: Callable[[Iteration], None],
    should_stop: Callable[[], bool],
) -> tuple[Tensor, int]:
    done, count, of_all = steps
    pixels = begin.clone().requires_grad_()
    history = int(min(_HISTORY, max(2, memory_bytes // 4 // (8 * pixels.numel()))))
    optimizer = torch.optim.LBFGS([pixels], lr=1.0, max_iter=1, history_size=history)
    best, best_total = begin, math.inf
    losses: dict[str, float] = {}

    def closure() -> float:
        nonlocal best, best_total, losses
        losses, gradient = cost(pixels.detach())
        pixels.grad = gradient if mask is None else gradient * mask
        total = losses["total"]
        if not math.isfinite(total):
            raise ArtmirrorError("the loss is not finite; use a lower --style-weight")
        if total < best_total:
            best, best_total = pixels.detach().clone(), total
        return total

    started_s = time.perf_counter()
    for _ in range(count):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        done += 1
        now_s = time.perf_counter()
        observe(Iteration(done, of_all, losses, now_s - started_s, best))
        started_s = now_s
        if should_stop():
            break
    return best, done


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, h, w) in [0, 1] at (H, W), in [0, 1]."""
    return scaled(picture, size).clamp(0, 1)


def scaled(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, h, w) at (H, W), bicubic: may leave its range a little."""
    if tuple(picture.shape[2:]) == tuple(size):
        return picture.detach()
    return F.interpolate(picture, size, mode="bicubic", antialias=True, align_corners=False).detach()
