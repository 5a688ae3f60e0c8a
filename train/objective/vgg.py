"""VGG-19 as a judge of pictures. It owns normalisation: callers pass RGB in [0, 1], always."""

from http.client import HTTPException
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.tensor_file import load_tensors, told_of

TORCHVISION_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
TORCHVISION_SHA256 = "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
CACHED_WEIGHTS = Path("~/.cache/artmirror/vgg19-dcbb9e9d.pth").expanduser()

# Index of each ReLU in VGG-19's feature layers (Simonyan and Zisserman 2015, configuration E).
RELU_INDEX = {"relu1_2": 3, "relu2_2": 8, "relu3_4": 17, "relu4_2": 22}
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_4", "relu4_2")
CONTENT_LAYER = "relu4_2"
_WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512)  # up to relu4_2

InputScale = Literal["caffe", "torchvision"]


class VggFeatures(nn.Module):
    """The feature layers up to relu4_2, frozen.

    Args:
        input_scale: What the weights were trained on: "caffe" is 255 * RGB less the mean (123.68, 116.779, 103.939),
            "torchvision" is RGB less (.485, .456, .406) over (.229, .224, .225).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, input_scale: InputScale) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _WIDTHS:
            if isinstance(width, int):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        mean, std = (
            ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
            if input_scale == "torchvision"
            else ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)
        )
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:  # (B, 3, H, W) float RGB in [0, 1]
        """Return the activations at `RELU_INDEX`, by name, each (B, C, h, w)."""
        x = (rgb - self.mean) / self.std
        names = {index: name for name, index in RELU_INDEX.items()}
        found: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in names:
                found[names[index]] = x
        return found

    @torch.no_grad()
    def normalise(self, rgb: Tensor) -> None:  # (B, 3, H, W) float RGB in [0, 1]
        """Rescale every convolution to a mean activation of 1 over some photos (after Gatys et al. 2016, section 2).

        ReLU and pooling commute with a positive factor, so nothing but the scale of the activations changes, and loss
        weights mean the same for any weights file. Departure: one factor a layer, not one a filter; a few photos tell
        a layer's mean well, but would blow up every filter that happens to be silent on them.
        """
        x = (rgb - self.mean) / self.std
        taken_out = torch.ones(())
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                layer.weight *= taken_out  # what the layer before lost, so that biases keep their share
                taken_out = torch.relu(layer(x)).mean().clamp(min=1e-6)
                layer.weight /= taken_out
                layer.bias /= taken_out
            x = layer(x)


def load_vgg(path: Path | None, photos: Tensor | None) -> VggFeatures:
    """Open VGG-19 weights and normalise them on some photos.

    Args:
        path: A `.safetensors` file (Caffe's input scale) or torchvision's `.pth`, keys `0.weight` or
            `features.0.weight`; None for torchvision's published file, downloaded once and checked by its SHA-256.
        photos: (B, 3, H, W) float32 RGB in [0, 1], for `VggFeatures.normalise`; None takes the weights as they are.

    Raises:
        ArtmirrorError: no weights and no network, or a file that does not hold VGG-19.
    """
    path = published_weights() if path is None else path
    if not path.is_file():
        raise ArtmirrorError(f"VGG-19 weights {path} do not exist; {_where_to_get_them()}")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else load_tensors(path)
        state = {key.removeprefix("features."): value.float() for key, value in state.items()}
    except Exception as error:
        raise ArtmirrorError(
            f"{path} cannot be read as VGG-19 weights ({told_of(error)}); {_where_to_get_them()}"
        ) from error
    features = VggFeatures("caffe" if path.suffix == ".safetensors" else "torchvision")
    wanted = features.layers.state_dict()
    wrong = [key for key, value in wanted.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise ArtmirrorError(
            f"{path} is not VGG-19: {len(wrong)} of {len(wanted)} tensors are missing or of another shape, "
            f"the first is {wrong[0]}; {_where_to_get_them()}"
        )
    features.layers.load_state_dict({key: state[key] for key in wanted})
    if photos is not None:
        features.normalise(photos)
    return features.eval()


def published_weights() -> Path:
    """Torchvision's published file, downloaded once and checked by its SHA-256.

    Raises:
        ArtmirrorError: it is not there and cannot be fetched.
    """
    if not CACHED_WEIGHTS.is_file():
        try:
            CACHED_WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(TORCHVISION_URL, str(CACHED_WEIGHTS), hash_prefix=TORCHVISION_SHA256)
        except (OSError, HTTPException, RuntimeError) as error:  # URLError is an OSError, a wrong hash a RuntimeError
            raise ArtmirrorError(f"cannot fetch VGG-19 weights ({error}); {_where_to_get_them()}") from None
    return CACHED_WEIGHTS


def _where_to_get_them() -> str:
    return f"fetch {TORCHVISION_URL} (SHA-256 {TORCHVISION_SHA256}) to {CACHED_WEIGHTS}, or name a file with --vgg"
