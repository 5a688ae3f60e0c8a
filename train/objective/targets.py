"""What the style loss wants of each painting, computed when it is first asked for and kept in files."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.networks.picture_encoder import colour_moments
from artmirror.train.objective.losses import gram
from artmirror.train.objective.vgg import STYLE_LAYERS, VggFeatures

WIDTHS = {"relu1_2": 64, "relu2_2": 128, "relu3_4": 256, "relu4_2": 512}  # filters of each style layer
STATISTICS = 2 * sum(WIDTHS.values())  # means and deviations
_HALF_SCALE = 16.0  # Gram matrices are kept in half precision, divided by this


class Target(NamedTuple):
    """A painting, as the losses and the encoder see it; batched along a leading B."""

    statistics: Tensor  # (STATISTICS,) float32: mean and deviation of every filter
    grams: Tensor  # (FLAT,) float32: upper triangles of the layers' Gram matrices
    colours: Tensor  # (12,) float32: mean and covariance of red, green and blue


FLAT = sum(width * (width + 1) // 2 for width in WIDTHS.values())


class StatisticsFiles:
    """Statistics by number in memory-mapped files below a folder; a number that is not there yet is computed.

    Args:
        folder: Made where it is missing. It belongs to one list of pictures.
        names: One for each number; they and the weights of VGG-19 tell whether the files are still right.

    Raises:
        ArtmirrorError: the folder cannot be written.
    """

    def __init__(self, folder: Path, names: Sequence[str], features: VggFeatures, device: torch.device) -> None:
        self._features, self._device = features, device
        with _told(folder):
            _forget_others(folder, names, features)
            self._statistics = _mapped(folder / "statistics.bin", np.float32, len(names), STATISTICS)
            self._done = _mapped(folder / "done.bin", np.uint8, len(names), 1)

    def is_there(self, number: int) -> bool:
        """Whether a number needs no computing."""
        return bool(self._done[number, 0])

    def statistics(self, number: int) -> Tensor:
        """Statistics that are there, (STATISTICS,) float32."""
        return torch.from_numpy(self._statistics[number].copy())

    def compute(self, number: int, rgb: Tensor) -> None:  # (1, 3, h, w) float32 RGB in [0, 1]
        """Look at a picture and keep what is seen."""
        with torch.no_grad():
            self._statistics[number] = moments(self._features(rgb.to(self._device)))[0].cpu().numpy()
        self._done[number] = 1  # last: a killed process leaves it at 0


class TargetFiles(StatisticsFiles):
    """The same of whole targets, which take a hundred times the space."""

    def __init__(self, folder: Path, names: Sequence[str], features: VggFeatures, device: torch.device) -> None:
        super().__init__(folder, names, features, device)
        with _told(folder):
            self._grams = _mapped(folder / "grams.bin", np.float16, len(names), FLAT)
            self._colours = _mapped(folder / "colours.bin", np.float32, len(names), 12)

    def target(self, number: int) -> Target:
        """A target that is there."""
        grams = torch.from_numpy(self._grams[number].astype(np.float32)) * _HALF_SCALE
        return Target(self.statistics(number), grams, torch.from_numpy(self._colours[number].copy()))

    def compute(self, number: int, rgb: Tensor) -> None:  # (1, 3, h, w) float32 RGB in [0, 1]
        """Look at a painting and keep its target."""
        found = look(self._features, rgb.to(self._device))
        self._grams[number] = (found.grams / _HALF_SCALE).clamp(max=65000).cpu().numpy()
        self._statistics[number] = found.statistics.cpu().numpy()
        self._colours[number] = found.colours.cpu().numpy()
        self._done[number] = 1  # last, as above


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtmirrorError(f"cannot write {folder}: {error.strerror}; free some space or name another") from None


def moments(activations: dict[str, Tensor]) -> Tensor:
    """Mean and deviation of every filter of the style layers: (B, STATISTICS) float32."""
    found = []
    for layer in STYLE_LAYERS:
        deviation, mean = torch.std_mean(activations[layer].float(), (2, 3))
        found += [mean, deviation]
    return torch.cat(found, 1)


def look(features: VggFeatures, rgb: Tensor) -> Target:  # (1, 3, h, w) float32 RGB in [0, 1]
    """A painting's target."""
    with torch.no_grad():
        activations = features(rgb)
        triangles = []
        for layer in STYLE_LAYERS:
            matrix = gram(activations[layer])[0]
            triangles.append(matrix[tuple(torch.triu_indices(*matrix.shape, device=matrix.device))])
        return Target(moments(activations)[0], torch.cat(triangles), colour_moments(rgb)[0])


def matrices(grams: Tensor) -> dict[str, Tensor]:  # (B, FLAT)
    """The Gram matrices of each layer, (B, C, C), from their upper triangles."""
    found, at = {}, 0
    for layer, width in WIDTHS.items():
        count = width * (width + 1) // 2
        rows, columns = torch.triu_indices(width, width, device=grams.device)
        matrix = grams.new_zeros(grams.shape[0], width, width)
        matrix[:, rows, columns] = grams[:, at : at + count]
        matrix[:, columns, rows] = grams[:, at : at + count]
        found[layer] = matrix
        at += count
    return found


def _forget_others(folder: Path, names: Sequence[str], features: VggFeatures) -> None:
    """Make the folder; take away what was computed of other pictures or by other weights."""
    weight = next(features.layers.parameters()).detach().float().cpu().numpy().tobytes()
    key = hashlib.sha256("\n".join(names).encode() + weight).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "key"
    if not mark.is_file() or mark.read_text() != key:
        for old in folder.glob("*.bin"):
            old.unlink()
        mark.write_text(key)


def _mapped(path: Path, dtype: type[np.generic], rows: int, columns: int) -> NDArray[Any]:
    size = rows * columns * np.dtype(dtype).itemsize
    if not path.is_file() or path.stat().st_size != size:
        with path.open("wb") as file:
            file.truncate(size)  # sparse: a row takes space when it is written
    return np.memmap(path, dtype=np.dtype(dtype), mode="r+", shape=(rows, columns))
