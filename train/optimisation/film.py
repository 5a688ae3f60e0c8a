"""Ruder et al. 2016, "Artistic Style Transfer for Videos": a film, optimised frame by frame, that holds still.

    L = alpha L_content + beta L_style + gamma L_temporal   (eq. 8)
    L_temporal(x, w, c) = 1/D sum_k c_k (x_k - w_k)^2   (eq. 7)

x is a frame's painting, w that of an earlier frame brought onto it by the flow between them, c where the flow can be
trusted: it agrees with the flow back, and no motion boundary is there (eq. 5 and 6, `runtime.common.flow.trusted`).
Each frame begins with the last painting, warped (section 4.1); the first one, and one after a cut, with the photo.

Long-term (eq. 9 and 10): frames further back count where no nearer one is trusted:
c_long^(i-j) = max(c^(i-j) - sum over nearer k of c^(i-k), 0).

More passes (section 4.3, eq. 11 and 12): over the film backward and forward in turn; each frame begins with its
painting of the last pass, half replaced by its neighbour's, warped. A departure: the first pass is the one described
above, not one of frames by themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from artmirror.runtime.common.flow import dense_flow, dis_flow, trusted, warp_image
from artmirror.runtime.common.pixels import Pixels
from artmirror.train.optimisation.descent import Iteration, Look, WithTerm, coarse_to_fine, scaled
from artmirror.train.pairs.base import to_tensor

_BLEND = 0.5  # delta of eq. 11: of the neighbour in what a later pass begins with


class Pictures(Protocol):
    """Where the pictures of a film lie: pass 0 is the film itself."""

    def has(self, number: int, frame: int) -> bool:
        """Whether it was written."""
        ...

    def read(self, number: int, frame: int) -> Pixels:
        """(H, W, 3) uint8 RGB."""
        ...

    def write(self, number: int, frame: int, picture: Tensor) -> None:
        """Keep a painting, (1, 3, H, W) float32 RGB in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """How a film is painted."""

    first_iterations: int = 200  # of the first frame, and after a cut
    iterations: int = 60  # of the others, which have a good start
    passes: int = 1
    temporal_weight: float = 2e3  # gamma; ten times more, and what is new gets all the strokes that the rest lacks
    history: tuple[int, ...] = (1, 2, 4)  # J: frames back


@dataclass(frozen=True, slots=True)
class Brought:
    """An earlier painting on a frame."""

    picture: Tensor  # (1, 3, H, W) float32 RGB in [0, 1]
    trust: Tensor  # (1, 1, H, W) float32 in [0, 1]


def paint_film(
    count: int,
    pictures: Pictures,
    look: Look,
    plan: FilmPlan,
    *,
    device: torch.device | None = None,
    memory_bytes: int = 4_000_000_000,
    observe: Callable[[int, int, Iteration], None] = lambda number, frame, iteration: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Paint all frames that are not there yet, pass by pass; what is there is taken as it is.

    Args:
        count: Of frames.
        device: Where the look computes; None for the processor.
        observe: Told the pass, from 1, the frame, from 0, and the iteration.
    """
    for number in range(1, plan.passes + 1):
        order = range(count) if number % 2 else range(count - 1, -1, -1)
        for frame in order:
            if pictures.has(number, frame):
                continue
            painting = _painted(number, frame, count, pictures, look, plan, device, memory_bytes, observe, should_stop)
            if should_stop():
                return
            pictures.write(number, frame, painting)


def _painted(
    number: int,
    frame: int,
    count: int,
    pictures: Pictures,
    look: Look,
    plan: FilmPlan,
    device: torch.device | None,
    memory_bytes: int,
    observe: Callable[[int, int, Iteration], None],
    should_stop: Callable[[], bool],
) -> Tensor:
    photo = to_tensor(pictures.read(0, frame))[None].to(device)
    towards = -1 if number % 2 else 1  # where the neighbour lies that is painted already
    history = plan.history if number == 1 else (1,)
    earlier = [frame + towards * step for step in history if 0 <= frame + towards * step < count]
    brought = long_term([bring(pictures, number, other, frame, device) for other in earlier])
    anew = not brought or float(brought[0].trust.mean()) < 0.1
    start = photo if anew else brought[0].picture
    if number > 1:
        start = to_tensor(pictures.read(number - 1, frame))[None].to(device)
        if brought:
            start = start + _BLEND * brought[0].trust * (brought[0].picture - start)
    return coarse_to_fine(
        photo,
        WithTerm(look, "temporal", plan.temporal_weight, lambda at: temporal_loss(brought, at)) if brought else look,
        iterations=plan.first_iterations if anew and number == 1 else plan.iterations,
        start=start,
        memory_bytes=memory_bytes,
        finest_only=not anew or number > 1,
        observe=lambda iteration: observe(number, frame, iteration),
        should_stop=should_stop,
    )


def bring(pictures: Pictures, number: int, other: int, frame: int, device: torch.device | None = None) -> Brought:
    """The painting of frame `other` in this pass, on frame `frame`, for a device; None for the processor."""
    here, there = pictures.read(0, frame), pictures.read(0, other)
    flow, back = dense_flow(here, there, dis_flow)
    warped = warp_image(pictures.read(number, other).astype(np.float32), flow) / 255
    trust = torch.from_numpy(trusted(flow, back).astype(np.float32))[None, None]
    return Brought(torch.from_numpy(warped.transpose(2, 0, 1).copy())[None].to(device), trust.to(device))


def long_term(brought: Sequence[Brought]) -> list[Brought]:
    """Eq. 10, nearest first: where a nearer frame is trusted, one further back does not count."""
    found: list[Brought] = []
    for number, entry in enumerate(brought):
        nearer = sum((other.trust for other in brought[:number]), torch.zeros_like(entry.trust))
        found.append(Brought(entry.picture, (entry.trust - nearer).clamp(min=0)))
    return found


def temporal_loss(brought: Sequence[Brought], photo: Tensor) -> Callable[[Tensor], Tensor]:
    """Eq. 7, summed over the earlier frames (eq. 9), at the size of `photo`."""
    size = (photo.shape[2], photo.shape[3])
    wanted = [(scaled(entry.picture, size), scaled(entry.trust, size).clamp(0, 1)) for entry in brought]

    def term(pixels: Tensor) -> Tensor:
        return torch.stack([(trust * (pixels - picture).square()).mean() for picture, trust in wanted]).sum()

    return term
