"""The four terms of Huang et al. 2017, each a module that returns a scalar, their weighted sum, and ReCoNet's two."""

from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artmirror.train.config import LossWeights
from artmirror.train.objective.vgg import CONTENT_LAYER, STYLE_LAYERS, VggFeatures
from artmirror.train.objective.warp import warp


def gram(activations: Tensor) -> Tensor:  # (B, C, h, w)
    """Correlations between filters (Gatys et al. 2016, eq. 3) by position, G = F F^T / (h w): (B, C, C) float32.

    Divided by positions only, not by C: mean activations of 1 then give entries of order 1 in every layer.
    """
    with torch.autocast(activations.device.type, enabled=False):  # sums over thousands of positions want float32
        f = activations.float().flatten(2)
        return f @ f.transpose(1, 2) / f.shape[2]


class ContentLoss(nn.Module):
    """Mean squared difference of relu4_2 activations (Huang et al. 2017, eq. 2)."""

    def forward(self, painted: dict[str, Tensor], frame: dict[str, Tensor]) -> Tensor:
        return F.mse_loss(painted[CONTENT_LAYER].float(), frame[CONTENT_LAYER].float())


class StyleLoss(nn.Module):
    """Mean squared difference of Gram matrices, summed over the layers (Huang et al. 2017, eq. 3)."""

    def __init__(self, painting: dict[str, Tensor]) -> None:
        super().__init__()
        for layer in STYLE_LAYERS:
            self.register_buffer(layer, gram(painting[layer]))  # (1, C, C)

    def by_layer(self, painted: dict[str, Tensor]) -> Tensor:
        """The term of each layer, in the order of `STYLE_LAYERS`."""
        terms = []
        for layer in STYLE_LAYERS:
            found = gram(painted[layer])
            terms.append(F.mse_loss(found, self.get_buffer(layer).expand_as(found)))
        return torch.stack(terms)

    def forward(self, painted: dict[str, Tensor]) -> Tensor:
        return self.by_layer(painted).sum()


class TotalVariationLoss(nn.Module):
    """Mean absolute difference of neighbouring pixels.

    Departure: the paper (eq. 4) takes squared differences to the power of a half over both axes; the sum of the
    absolute ones has the same minimum and no singular gradient at flat places.
    """

    def forward(self, painted: Tensor) -> Tensor:  # (B, 3, H, W) float32 RGB in [0, 1]
        return (painted[..., :, 1:] - painted[..., :, :-1]).abs().mean() + (
            painted[..., 1:, :] - painted[..., :-1, :]
        ).abs().mean()


class TemporalLoss(nn.Module):
    """Masked squared difference of a painted frame and its warped successor (Huang et al. 2017, eq. 5).

    The mean is over all pixels, those that the mask hides included.

    Departure: the paper warps the earlier frame onto the later one; here, as in the temporal error that is measured,
    the later frame is brought onto the earlier one by the flow from the earlier to the later.
    """

    def forward(
        self, first: Tensor, second: Tensor, flow: Tensor, visible: Tensor, light: Tensor | float = 0.0
    ) -> Tensor:
        # (B, 3, H, W) float32 twice, (B, 2, H, W) float32 pixels, (B, 1, H, W) float32 in {0, 1}, (B, 1, H, W) float32
        return (visible * (first - warp(second, flow) - light) ** 2).mean()


def change_of_light(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:  # (B, 3, H, W) twice, (B, 2, H, W) pixels
    """How much lighter the first frame is than the second, brought onto it: (B, 1, H, W).

    Relative luminance as ReCoNet has it (Gao et al. 2018, eq. 4): Y = 0.2126 R + 0.7152 G + 0.0722 B.
    """
    shares = first.new_tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)
    return ((first - warp(second, flow)) * shares).sum(1, keepdim=True)


class FeatureTemporalLoss(nn.Module):
    """Masked squared difference of a network's features and their warped successors (Gao et al. 2018, eq. 3)."""

    def forward(self, first: Tensor, second: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
        # (B, C, h, w) twice, (B, 2, H, W) float32 pixels of the frame, (B, 1, H, W) float32 in {0, 1}
        size = first.shape[2:]
        shrunk = flow.new_tensor([size[1] / flow.shape[3], size[0] / flow.shape[2]])
        scaled = F.interpolate(flow, size=tuple(size), mode="area") * shrunk.view(1, 2, 1, 1)
        seen = (F.interpolate(visible, size=tuple(size), mode="area") > 0.999).float()
        return (seen * (first.float() - warp(second.float(), scaled)) ** 2).mean()


class Objective(nn.Module):
    """The sum that training minimises, and its terms.

    Departure: the paper takes content and style of both frames. Here the second frame enters by the temporal term
    alone: it is the same photo, so VGG-19 (the most costly part of a step) sees another photo instead.

    Departure: the style term is in units of what photos score that nobody painted. Between the paintings of one gallery
    that score differs sixfold; in its units one style weight serves them all.

    Args:
        features: VGG-19.
        painting: (1, 3, h, w) float32 RGB in [0, 1].
        photos: (B, 3, H, W) float32 RGB in [0, 1], some photos of the kind that is trained with.
        weights: Factors of the terms.
    """

    style_unit: Tensor

    def __init__(self, features: VggFeatures, painting: Tensor, photos: Tensor, weights: LossWeights) -> None:
        super().__init__()
        self.features = features
        self.weights = weights
        self.content = ContentLoss()
        with torch.no_grad():
            self.style = StyleLoss(features(painting))
            unpainted = [self.style(features(photo[None])) for photo in photos]  # one by one: large ones fit too
            self.register_buffer("style_unit", torch.stack(unpainted).mean().clamp(min=1e-6))
        self.total_variation = TotalVariationLoss()
        self.temporal, self.feature_temporal = TemporalLoss(), FeatureTemporalLoss()

    def forward(
        self,
        frames: Tensor,
        first: Tensor,
        second: Tensor,
        flow: Tensor,
        visible: Tensor,
        temporal_share: float = 1.0,
        *,
        painted: Tensor | None = None,
        light: Tensor | float = 0.0,
        features: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Judge painted pairs.

        Args:
            frames: (N, 3, H, W) float32 RGB in [0, 1], those whose paintings are judged by their look.
            first: The painted first frames of all pairs, (B, 3, H, W).
            second: The painted second frames, same shape.
            flow: (B, 2, H, W) float32 pixels, from the first to the second frame.
            visible: (B, 1, H, W) float32, 1 where the flow holds.
            temporal_share: Of the temporal term's weight.
            painted: What `frames` became; None: they are the first frames of the pairs.
            light: (B, 1, H, W) float32, of `change_of_light`, that the painting may follow.
            features: The network's own of the first and of the second frames, (B, C, h, w), where they are judged too.

        Returns:
            Unweighted terms by name, and their weighted sum as `total`. A style of 1 is an unpainted photo's.
        """
        with torch.no_grad():
            wanted = self.features(frames)
        painted = first if painted is None else painted
        found = self.features(painted)
        terms = {
            "content": self.content(found, wanted),
            "style": self.style(found) / self.style_unit,
            "total_variation": self.total_variation(painted),
            "temporal": self.temporal(first, second, flow, visible, light),
        }
        if features is not None:
            terms["features"] = self.feature_temporal(*features, flow, visible)
        factors = asdict(self.weights)
        factors |= {name: temporal_share * factors[name] for name in ("temporal", "features")}
        terms["total"] = torch.stack([factors[name] * term for name, term in terms.items()]).sum()
        return terms
