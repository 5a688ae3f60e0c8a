"""Champandard 2016, "Semantic Style Transfer and Turning Two-Bit Doodles into Fine Artworks".

As Li and Wand 2016 (`mrf.py`), and each square also has to lie on the same ground: maps, drawn by hand or found by a
network, say what is sky, face, water. They are made smaller to each layer's size, weighted by gamma and added to the
activations as channels before squares are looked for (section 3). The painting's own maps are drawn likewise. With no
weight on the content and noise to begin with, a map alone becomes a painting.

A departure: gamma is in units of the activations' own length, so that one number fits every layer: at 1 a map that
disagrees weighs as much as all channels of VGG-19 together.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.objective.vgg import VggFeatures
from artmirror.train.optimisation.descent import PaintWeights
from artmirror.train.optimisation.mrf import PatchLook

_MOST_GROUNDS = 16
_SAME = 1 / 16  # of the full scale: shades of a map that are nearer than that are one ground


def ground_masks(photo_map: Tensor, painting_map: Tensor) -> tuple[Tensor, Tensor]:
    """Which ground each pixel lies on: a channel for each colour of the painting's map, 1 where it is.

    Args:
        photo_map: (1, 3, h, w) float32 RGB in [0, 1], a plain colour for each ground.
        painting_map: (1, 3, h', w'), the same colours.

    Raises:
        ArtmirrorError: the maps have too many colours, or none in common.
    """
    levels = (painting_map / (2 * _SAME)).round()
    found, counts = torch.unique(levels.flatten(2)[0].T, dim=0, return_counts=True)
    large = counts >= 0.002 * counts.sum()  # softened edges are no ground of their own
    if int(large.sum()) > _MOST_GROUNDS:
        raise ArtmirrorError(
            f"the painting's map has {int(large.sum())} colours; wanted at most {_MOST_GROUNDS} plain ones, as PNG"
        )
    colours = found[large] * (2 * _SAME)

    def masks(of: Tensor) -> Tensor:
        distance = torch.cdist(of.flatten(2)[0].T, colours)
        nearest = F.one_hot(distance.argmin(1), len(colours)).T.float()
        return nearest.view(1, len(colours), *of.shape[2:])

    here, there = masks(photo_map), masks(painting_map)
    if len(colours) < 2 or int((here.flatten(2).sum(2) > 0).sum()) < 2:
        raise ArtmirrorError("the maps share fewer than two colours; draw what belongs together in the same colour")
    return here, there


def semantic_look(
    painting: Tensor,
    features: VggFeatures,
    weights: PaintWeights,
    maps: tuple[Tensor, Tensor],
    *,
    gamma: float = 1.0,
    painting_scale: float = 1.0,
) -> PatchLook:
    """As `mrf.PatchLook`, with maps of the photo and of the painting, (1, 3, h, w) float32 RGB in [0, 1].

    Raises:
        ArtmirrorError: as `ground_masks`.
    """
    return PatchLook(
        painting, features, weights, painting_scale=painting_scale, grounds=grounds_of(*ground_masks(*maps), gamma)
    )


def grounds_of(
    here: Tensor, there: Tensor, gamma: float
) -> Callable[[tuple[int, int], tuple[int, int]], tuple[Tensor, Tensor]]:
    """Masks of both pictures, at the size of a layer, as channels beside its activations."""

    def at(size_here: tuple[int, int], size_there: tuple[int, int]) -> tuple[Tensor, Tensor]:
        return gamma * F.adaptive_avg_pool2d(here, size_here), gamma * F.adaptive_avg_pool2d(there, size_there)

    return at
