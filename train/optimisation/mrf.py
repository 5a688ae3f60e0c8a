"""Li and Wand 2016, "Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis".

    E = E_s + alpha_1 E_c + alpha_2 Upsilon   (eq. 1)
    E_s = sum_i | Psi_i(x) - Psi_NN(i)(painting) |^2   (eq. 2), Psi: squares of 3x3 positions of a layer of VGG-19
    NN(i) = the square of the painting with the largest normalised cross-correlation   (eq. 3)

So a picture is put together from pieces of the painting, where Gram matrices only keep what is seen together.

Departures. The layers are relu3_4 and relu4_2, which this project's VGG-19 has, in place of relu3_1 and relu4_1.
Squares are looked for again every few iterations, not at each: they soon stay the same. The painting is neither turned
nor scaled. With maps (Champandard 2016) a square also has to lie on the same ground: see `semantic.py`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from artmirror.train.objective.vgg import CONTENT_LAYER, VggFeatures
from artmirror.train.optimisation.descent import Cost, PaintWeights, pixels_cost
from artmirror.train.optimisation.gatys import at_short_side

LAYERS = ("relu3_4", "relu4_2")
_SIDE = 3  # positions of a square
_STRIDE = {"relu3_4": 2, "relu4_2": 1}  # from one square of the painting to the next
_AGAIN_EVERY = 10  # costs, from one search to the next
_AT_ONCE = 2048  # squares that are looked for together: bounds the memory of the search


class PatchLook:
    """A picture shall have the content of the photo, and be put together from squares of a painting.

    Args:
        painting: (1, 3, h, w) float32 RGB in [0, 1].
        grounds: For a layer's size what else squares have to agree in: maps of the photo and of the painting,
            (1, M, h, w), at the sizes of the two that it is given, in units of the length of the layer's activations;
            None for nothing.
    """

    def __init__(
        self,
        painting: Tensor,
        features: VggFeatures,
        weights: PaintWeights,
        *,
        painting_scale: float = 1.0,
        grounds: Callable[[tuple[int, int], tuple[int, int]], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self._painting, self._features, self._weights = painting, features, weights
        self._scale, self._grounds = painting_scale, grounds

    def at(self, photo: Tensor) -> Cost:  # (1, 3, h, w) float32 RGB in [0, 1]
        """What a picture of this size costs."""
        weights = self._weights
        with torch.no_grad():
            content = self._features(photo)[CONTENT_LAYER]
            seen = self._features(at_short_side(self._painting, round(min(photo.shape[2:]) * self._scale)))
            here = self._features(photo)
        squares = {
            layer: Squares(seen[layer], *self._maps(here[layer], seen[layer]), stride=_STRIDE[layer])
            for layer in LAYERS
        }
        # In units of the unpainted photo, as the style of Gatys.
        unit = {layer: max(float(squares[layer].look_again(here[layer])(here[layer])), 1e-6) for layer in LAYERS}
        targets: dict[str, Callable[[Tensor], Tensor]] = {}
        costs = 0

        def cost(pixels: Tensor) -> tuple[dict[str, float], Tensor]:
            nonlocal costs
            free = pixels.detach().requires_grad_()
            activations = self._features(free)
            if costs % _AGAIN_EVERY == 0:
                targets.update({layer: squares[layer].look_again(activations[layer].detach()) for layer in LAYERS})
            costs += 1
            away = (activations[CONTENT_LAYER] - content).square().mean()
            style = torch.stack([targets[layer](activations[layer]) / unit[layer] for layer in LAYERS]).mean()
            (gradient,) = torch.autograd.grad(weights.content * away + weights.style * style, free)
            rest, slope = pixels_cost(pixels, weights)
            found = {"content": float(away.detach()), "style": float(style.detach())}
            total = weights.content * found["content"] + weights.style * found["style"] + rest
            return {**found, "total": total}, gradient + slope

        return cost

    def _maps(self, here: Tensor, seen: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self._grounds is None:
            return None, None
        length = float(seen.square().sum(1).mean().sqrt())
        ground_here, ground_there = self._grounds((here.shape[2], here.shape[3]), (seen.shape[2], seen.shape[3]))
        return length * ground_here, length * ground_there


class Squares:
    """Squares of a painting at one layer, to be looked for.

    Args:
        painting: (1, C, h, w) activations.
        ground_here: (1, M, h', w') of the picture, and `ground_there` (1, M, h, w) of the painting: looked at as if
            they were channels too, but not part of what is kept.
        stride: Positions from one square of the painting to the next.
    """

    def __init__(
        self,
        painting: Tensor,
        ground_here: Tensor | None = None,
        ground_there: Tensor | None = None,
        *,
        stride: int = 1,
    ) -> None:
        self._values = F.unfold(painting, _SIDE, stride=stride)[0]  # (9 C, N)
        self._here = ground_here
        known = painting if ground_there is None else torch.cat([painting, ground_there], 1)
        self._known = F.normalize(F.unfold(known, _SIDE, stride=stride)[0], dim=0)  # (9 (C + M), N)

    @torch.no_grad()
    def nearest(self, picture: Tensor) -> Tensor:
        """Eq. 3: for each square of the activations (1, C, h, w) the number of the painting's, ((h - 2) (w - 2),)."""
        looked = picture if self._here is None else torch.cat([picture, self._here], 1)
        wanted = F.unfold(looked, _SIDE)[0]  # its length is the same for all squares of the painting: no need to divide
        found = [(part.T @ self._known).argmax(1) for part in torch.split(wanted, _AT_ONCE, dim=1)]
        return torch.cat(found)

    @torch.no_grad()
    def look_again(self, picture: Tensor) -> Callable[[Tensor], Tensor]:
        """Find the squares, and give eq. 2 with them, as a mean over all values.

        All squares that cover a position pull at it, so they pull as their mean does: with n of them
        sum_i |x - t_i|^2 = n |x - mean t|^2 + sum_i |t_i - mean t|^2, and the last does not depend on x.
        """
        size = (picture.shape[2], picture.shape[3])
        values = self._values[:, self.nearest(picture)]
        covered = F.fold(torch.ones_like(values), size, _SIDE)
        mean = F.fold(values, size, _SIDE) / covered
        apart = float(values.square().sum() - (covered * mean.square()).sum())
        count = values.numel()

        def energy(activations: Tensor) -> Tensor:
            away: Tensor = ((covered * (activations - mean).square()).sum() + apart) / count
            return away

        return energy
