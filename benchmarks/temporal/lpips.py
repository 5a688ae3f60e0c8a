"""LPIPS (Zhang et al. 2018, version 0.1 on AlexNet) between a painted frame and its warped successor.

The authors' package wants torchvision, which has no build beside torch's for processors; so the network is defined
here, as VGG is for training, and takes both published files. Torch is loaded when weights are opened.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.temporal.metric import Flow, Mask
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import warp_image
from artmirror.runtime.common.pixels import Pixels

if TYPE_CHECKING:
    from torch import Tensor

# Of torchvision's AlexNet: place among `features`, weights, stride, padding, whether pooling comes before.
_CONVOLUTIONS = (
    (0, (64, 3, 11, 11), 4, 2, False),
    (3, (192, 64, 5, 5), 1, 2, True),
    (6, (384, 192, 3, 3), 1, 1, True),
    (8, (256, 384, 3, 3), 1, 1, False),
    (10, (256, 256, 3, 3), 1, 1, False),
)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1], as the weights were trained
_WHERE = (
    "wanted torchvision's AlexNet (download.pytorch.org/models/alexnet-owt-7be5be79.pth), then alex.pth of the package "
    "lpips (in its wheel, lpips/weights/v0.1)"
)


class PerceptualDistance:
    """LPIPS with opened weights."""

    def __init__(self, alexnet: Path, linear: Path) -> None:
        """Open the network's weights, and those that weigh its channels.

        Raises:
            ArtmirrorError: torch is not installed, or a file does not hold them.
        """
        try:
            import torch
        except ImportError:
            raise ArtmirrorError(
                "LPIPS needs the package torch: install it with pip install 'artmirror[train]', or leave out --lpips"
            ) from None
        self._torch = torch
        network, heads = self._read(alexnet), self._read(linear)
        prefix = "features." if "features.0.weight" in network else ""
        shapes = [shape for _, shape, _, _, _ in _CONVOLUTIONS]
        places = [place for place, _, _, _, _ in _CONVOLUTIONS]
        self._weights = [
            _take(network, f"{prefix}{place}.weight", shape, alexnet)
            for place, shape in zip(places, shapes, strict=True)
        ]
        self._biases = [
            _take(network, f"{prefix}{place}.bias", shape[:1], alexnet)
            for place, shape in zip(places, shapes, strict=True)
        ]
        self._heads = [
            _take(heads, f"lin{index}.model.1.weight", (1, shape[0], 1, 1), linear)
            for index, shape in enumerate(shapes)
        ]

    def of_pair(self, earlier: Pixels, later: Pixels, flow: Flow, visible: Mask) -> float:
        """LPIPS of a painted frame and its warped successor, which shows the frame itself where M hides it.

        So nothing differs there, as in `metric.squared_error`, and the mean is over all places too.

        Args:
            earlier: (H, W, 3) uint8 BGR, H and W at least 64.
            later: (H, W, 3) uint8 BGR.
            flow: From the earlier to the later frame.
            visible: M.
        """
        first = earlier.astype(np.float32) / 255
        warped = warp_image(later.astype(np.float32) / 255, flow)
        warped[~visible] = first[~visible]
        return self.distance(first, warped)

    def distance(self, first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
        """LPIPS of two pictures, (H, W, 3) BGR in [0, 1]: eq. 1 of the paper, and its sum over layers."""
        total = 0.0
        with self._torch.inference_mode():
            activations = [self._activations(picture) for picture in (first, second)]
            for of_first, of_second, head in zip(*activations, self._heads, strict=True):
                total += float(((of_first - of_second) ** 2 * head).sum(dim=1).mean())
        return total

    def _activations(self, picture: NDArray[np.floating]) -> "list[Tensor]":
        """Those after each ReLU, (1, C, h, w), with the channels at every place scaled to a length of 1."""
        functional = self._torch.nn.functional
        normalised = (picture[..., ::-1] - np.asarray(_MEAN, np.float32)) / np.asarray(_STD, np.float32)
        x = self._torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1)[None], np.float32))
        found = []
        for weight, bias, (_, _, stride, padding, pooled) in zip(
            self._weights, self._biases, _CONVOLUTIONS, strict=True
        ):
            x = functional.max_pool2d(x, 3, 2) if pooled else x
            x = functional.relu(functional.conv2d(x, weight, bias, stride, padding))
            found.append(functional.normalize(x, dim=1, eps=1e-10))
        return found

    def _read(self, path: Path) -> Mapping[str, Any]:
        try:
            values = self._torch.load(path, map_location="cpu", weights_only=True)
        except OSError as error:
            raise ArtmirrorError(f"cannot read {path}: {error.strerror}; {_WHERE}") from None
        except Exception as error:  # a damaged file may raise nearly anything
            raise ArtmirrorError(f"{path} holds no weights ({type(error).__name__}); {_WHERE}") from None
        return values if isinstance(values, Mapping) else {}


def _take(values: Mapping[str, Any], name: str, shape: tuple[int, ...], path: Path) -> "Tensor":
    found: Tensor | None = values.get(name)
    if found is None or tuple(found.shape) != shape:
        raise ArtmirrorError(f"{path} does not hold {name} of shape {'x'.join(map(str, shape))}; {_WHERE}")
    return found.float()
