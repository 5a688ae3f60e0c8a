"""Style and content distance of painted frames: training's own losses, so that both speak of the same thing.

Torch is loaded when a judge is made, not before: most measurements do without.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels

if TYPE_CHECKING:
    from torch import Tensor


class Distances(NamedTuple):
    """How far a painted frame is from the painting and from the frame; see `train/objective/losses.py` for both."""

    style: float
    content: float
    layers: tuple[float, ...]  # what each layer adds to the style distance


class Judge:
    """VGG-19 with a painting in mind."""

    def __init__(self, vgg: Path, painting: Path, painting_size: int, calibration: Sequence[Pixels]) -> None:
        """Open the weights and look at the painting.

        Args:
            vgg: Weights as `st-train --vgg` takes them. A `.safetensors` file is taken as it is: the one that training
                knows is normalised already. A `.pth` is normalised on `calibration`, as training does on its photos.
            painting_size: The painting's short side, pixels.
            calibration: Photos of one size, (H, W, 3) uint8 BGR.

        Raises:
            ArtmirrorError: torch is not installed, or a `.pth` comes without photos.
            ArtmirrorError: the weights or the painting cannot be read.
        """
        try:
            import torch

            from artmirror.train.objective.losses import ContentLoss, StyleLoss
            from artmirror.train.objective.vgg import load_vgg
            from artmirror.train.pairs.base import read_painting
        except ImportError as error:
            raise ArtmirrorError(
                f"style and content distances need the package {error.name}: install it with "
                "pip install 'artmirror[train]', or leave out --vgg and --painting"
            ) from None
        self.normalised_on = 0 if vgg.suffix == ".safetensors" else len(calibration)
        if vgg.suffix != ".safetensors" and not calibration:
            raise ArtmirrorError(f"{vgg} has to be normalised on photos: name a folder of varied ones with --photos")
        self._torch = torch
        self._features = load_vgg(
            vgg, torch.cat([self._tensor(photo) for photo in calibration]) if self.normalised_on else None
        )
        self._look_at: Callable[[Path], StyleLoss] = lambda painting: StyleLoss(
            self._features(read_painting(painting, painting_size))
        )
        self._content = ContentLoss()
        self.turn_to(painting)

    def turn_to(self, painting: Path) -> None:
        """Judge by this painting from now on.

        Raises:
            ArtmirrorError: it cannot be read.
        """
        with self._torch.inference_mode():
            self._style = self._look_at(painting)

    def look(self, frame: Pixels) -> "dict[str, Tensor]":
        """The activations of a frame, (H, W, 3) uint8 BGR, for `distances`; taken once for all painters."""
        with self._torch.inference_mode():
            found: dict[str, Tensor] = self._features(self._tensor(frame))
        return found

    def distances(self, painted: "dict[str, Tensor]", frame: "dict[str, Tensor]") -> Distances:
        """Compare a painted frame with the painting, and with the frame that it was painted from."""
        with self._torch.inference_mode():
            layers = tuple(map(float, self._style.by_layer(painted)))
            return Distances(sum(layers), float(self._content(painted, frame)), layers)

    def _tensor(self, frame: Pixels) -> "Tensor":
        rgb = np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)[None])
        return self._torch.from_numpy(rgb).float().div(255)  # (1, 3, H, W) float32 RGB in [0, 1]
