"""What the many-painting network is trained to do: each frame of a batch in the style of its own painting."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from artmirror.train.networks.picture_encoder import colour_moments
from artmirror.train.objective.losses import ContentLoss, TemporalLoss, TotalVariationLoss, gram
from artmirror.train.objective.targets import Target, matrices
from artmirror.train.objective.vgg import STYLE_LAYERS, VggFeatures

_COVARIANCE = 10.0  # weight of the colours' covariance beside that of their mean
_WHOLE = 0.15  # share of the style term that sums the layers; the rest counts each layer in its own unit
# What each layer's own term counts. The deep one has least: there style and content are at odds, and where content wins
# by a little, a face stays one; the sum of the layers is mostly the deep one already.
_LAYERED = {"relu1_2": 1.4, "relu2_2": 1.9, "relu3_4": 0.7, "relu4_2": 0.3}
_SMALLEST_UNIT = 1e-3


@dataclass(frozen=True, slots=True)
class ManyWeights:
    """Factors of the terms; see `LossWeights`."""

    content: float = 1.4
    style: float = 80.0
    colour: float = 400.0
    total_variation: float = 0.5
    temporal: float = 2400.0
    drift: float = 0.05  # of the scales and shifts away from those that all paintings share


class ManyObjective(nn.Module):
    """The weighted sum that training minimises, and its terms.

    The style term is that of `Objective`, for each painting in units of what unpainted photos score, and once more
    layer by layer. Above 1 it grows with the root: a few paintings that look like photos would outweigh all others.

    Args:
        features: VGG-19.
        photos: (B, 3, H, W) float32 RGB in [0, 1], some photos of the kind that is trained with.
    """

    def __init__(self, features: VggFeatures, photos: Tensor, weights: ManyWeights) -> None:
        super().__init__()
        self.features, self.weights = features, weights
        self.content, self.total_variation, self.temporal = ContentLoss(), TotalVariationLoss(), TemporalLoss()
        with torch.no_grad():
            seen = [features(photo[None]) for photo in photos]  # one by one: large ones fit too
            for layer in STYLE_LAYERS:
                found = torch.cat([gram(activations[layer]) for activations in seen])
                self.register_buffer(f"{layer}_mean", found.mean(0))
                self.register_buffer(f"{layer}_square", found.square().mean((1, 2)).mean())
        self.register_buffer("shares", torch.tensor([_LAYERED[layer] for layer in STYLE_LAYERS]))

    def units(self, wanted: dict[str, Tensor]) -> Tensor:
        """What unpainted photos score in each layer, on average, for each painting: (B, layers)."""
        columns = []
        for layer in STYLE_LAYERS:
            across = (self.get_buffer(f"{layer}_mean") * wanted[layer]).mean((1, 2))
            square = self.get_buffer(f"{layer}_square")
            columns.append(square - 2 * across + wanted[layer].square().mean((1, 2)))
        return torch.stack(columns, 1).clamp(min=_SMALLEST_UNIT)

    def style(self, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Style distance of each frame from its painting in units of an unpainted photo's: (B,), and (B, layers)."""
        distances = torch.stack(
            [(gram(found[layer]) - wanted[layer]).square().mean((1, 2)) for layer in STYLE_LAYERS], 1
        )
        units = self.units(wanted)
        return distances.sum(1) / units.sum(1), distances / units

    def forward(
        self,
        frames: Tensor,
        first: Tensor,
        second: Tensor,
        flow: Tensor,
        visible: Tensor,
        target: Target,
        drift: Tensor,
        temporal_share: float = 1.0,
        *,
        painted: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Judge painted pairs; arguments and result as of `Objective`.

        Args:
            target: Of each frame's painting, batched.
            drift: Mean square of the scales and shifts away from those that all paintings share.
        """
        with torch.no_grad():
            wanted = self.features(frames)
        painted = first if painted is None else painted
        found = self.features(painted)
        whole, layered = self.style(found, matrices(target.grams))
        away = (colour_moments(painted) - target.colours).square()
        terms = {
            "content": self.content(found, wanted),
            "style": whole.mean(),
            "style_by_layer": layered.mean(),
            "colour": (away[:, :3].sum(1) + _COVARIANCE * away[:, 3:].sum(1)).mean(),
            "total_variation": self.total_variation(painted),
            "temporal": self.temporal(first, second, flow, visible),
            "drift": drift,
        }
        weights = self.weights
        style = _WHOLE * _rooted(whole).mean() + (1 - _WHOLE) * (_rooted(layered) * self.get_buffer("shares")).mean()
        terms["total"] = (
            weights.content * terms["content"]
            + weights.style * style
            + weights.colour * terms["colour"]
            + weights.total_variation * terms["total_variation"]
            + weights.temporal * temporal_share * terms["temporal"]
            + weights.drift * drift
        )
        return terms


def _rooted(distance: Tensor) -> Tensor:
    return torch.where(distance < 1, distance, 2 * distance.clamp(min=1e-6).sqrt() - 1)
