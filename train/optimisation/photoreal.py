"""Luan et al. 2017, "Deep Photo Style Transfer": a photo takes on the light of another, and stays a photo.

    L = sum_l alpha_l L_c + Gamma sum_l beta_l L_s+ + lambda L_m   (eq. 4)
    L_m = sum_c V_c[O]^T M_I V_c[O]   (eq. 2)

M_I is the matting Laplacian (Levin et al. 2008) of the photo I: it costs nothing where each colour of the result O is,
in every 3x3 window, an affine function of the photo's colours; so edges stay where they are. L_s+ (eq. 3) compares Gram
matrices ground by ground, where maps say which.

The Laplacian is applied by sums over windows (He, Sun and Tang 2010, "Fast matting using large kernel matting Laplacian
matrices", section 3), so that no matrix of pixels by pixels is made.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from artmirror.train.objective.losses import gram
from artmirror.train.objective.vgg import CONTENT_LAYER, STYLE_LAYERS, VggFeatures
from artmirror.train.optimisation.descent import Cost, PaintWeights, pixels_cost
from artmirror.train.optimisation.gatys import at_short_side

_WINDOW = 3
_EVEN = 1e-7  # epsilon: how much an even window is held


class MattingLaplacian:
    """M of a photo, (1, 3, H, W) float32 RGB in [0, 1]; only windows that lie inside count, as in the paper."""

    def __init__(self, photo: Tensor, even: float = _EVEN) -> None:
        self._photo = photo.double()
        mean = _mean(self._photo)  # (1, 3, H - 2, W - 2)
        pairs = torch.stack([_mean(self._photo * self._photo[:, [c]]) - mean * mean[:, [c]] for c in range(3)], 2)
        covariance = pairs.permute(0, 3, 4, 1, 2)  # (1, H - 2, W - 2, 3, 3)
        count = _WINDOW**2
        self._inverse = torch.linalg.inv(covariance + even / count * torch.eye(3).to(covariance))
        self._mean = mean

    def __call__(self, values: Tensor) -> Tensor:
        """M V for each channel of (1, C, H, W), same shape, float64."""
        values = values.double()
        mean = _mean(values)  # (1, C, h, w)
        moments = torch.stack([_mean(values * self._photo[:, [c]]) - mean * self._mean[:, [c]] for c in range(3)], -1)
        slope = (moments.unsqueeze(-2) @ self._inverse.unsqueeze(1)).squeeze(-2)  # (1, C, h, w, 3)
        offset = mean - (slope * self._mean.permute(0, 2, 3, 1).unsqueeze(1)).sum(-1)
        explained = sum(_spread(slope[..., c]) * self._photo[:, [c]] for c in range(3)) + _spread(offset)
        return _spread(torch.ones_like(mean)) * values - explained

    def energy(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 2, the sum over channels of V^T M V, and its gradient 2 M V."""
        applied = self(values)
        return (values.double() * applied).sum(), 2 * applied


def _mean(values: Tensor) -> Tensor:
    """The mean of each window: (1, C, H, W) -> (1, C, H - 2, W - 2)."""
    return F.avg_pool2d(values, _WINDOW, stride=1)


def _spread(values: Tensor) -> Tensor:
    """What the windows of a pixel sum up to: (1, C, H - 2, W - 2) -> (1, C, H, W)."""
    around = _WINDOW - 1
    return F.avg_pool2d(F.pad(values, (around, around, around, around)), _WINDOW, stride=1) * _WINDOW**2


class PhotoLook:
    """A photo shall take on the light and the colours of another, and stay a photo.

    Args:
        other: The photo whose look is wanted, (1, 3, h, w) float32 RGB in [0, 1].
        masks: Of grounds, (1, N, H, W) in [0, 1] of both photos; None for one ground.
        realism: lambda, of the energy's mean over all values.
    """

    def __init__(
        self,
        other: Tensor,
        features: VggFeatures,
        weights: PaintWeights,
        *,
        masks: tuple[Tensor, Tensor] | None = None,
        realism: float = 3e4,
        painting_scale: float = 1.0,
    ) -> None:
        self._other, self._features, self._weights = other, features, weights
        self._masks, self._realism, self._scale = masks, realism, painting_scale

    def at(self, photo: Tensor) -> Cost:  # (1, 3, h, w) float32 RGB in [0, 1]
        """What a picture of this size costs."""
        weights, laplacian = self._weights, MattingLaplacian(photo)
        here, there = self._masks or (photo.new_ones(1, 1, 1, 1), photo.new_ones(1, 1, 1, 1))
        with torch.no_grad():
            plain = self._features(photo)
            seen = self._features(at_short_side(self._other, round(min(photo.shape[2:]) * self._scale)))
            wanted = {layer: _grams(seen[layer], there) for layer in STYLE_LAYERS}
            unit = {
                layer: float(_away(_grams(plain[layer], here), wanted[layer], here).clamp(min=1e-6))
                for layer in STYLE_LAYERS
            }
        content = plain[CONTENT_LAYER]

        def cost(pixels: Tensor) -> tuple[dict[str, float], Tensor]:
            free = pixels.detach().requires_grad_()
            activations = self._features(free)
            away = (activations[CONTENT_LAYER] - content).square().mean()
            style = torch.stack(
                [_away(_grams(activations[layer], here), wanted[layer], here) / unit[layer] for layer in STYLE_LAYERS]
            ).mean()
            (gradient,) = torch.autograd.grad(weights.content * away + weights.style * style, free)
            energy, pull = laplacian.energy(pixels.detach())
            scale = self._realism / pixels.numel()
            rest, slope = pixels_cost(pixels, weights)
            found = {"content": float(away.detach()), "style": float(style.detach())}
            total = weights.content * found["content"] + weights.style * found["style"] + scale * float(energy) + rest
            found["realism"] = float(energy) / pixels.numel()
            return {**found, "total": total}, gradient + slope + (scale * pull).float()

        return cost


def _grams(activations: Tensor, masks: Tensor) -> Tensor:
    """Eq. 3: the Gram matrix of each ground, (N, C, C), of activations (1, C, h, w)."""
    at = F.adaptive_avg_pool2d(masks, (activations.shape[2], activations.shape[3])) if masks.shape[2] > 1 else masks
    found: Tensor = torch.cat([gram(activations * mask.sqrt()) / mask.mean().clamp(min=1e-3) for mask in at.unbind(1)])
    return found


def _away(found: Tensor, wanted: Tensor, masks: Tensor) -> Tensor:
    """How far the Gram matrices are, each by its ground's share."""
    share = masks.mean((0, 2, 3))
    away: Tensor = (share * (found - wanted).square().mean((1, 2))).sum()
    return away
