"""VGG-19 over a picture of any size, tile by tile: losses and their gradient as of the whole, with bounded memory.

The style loss joins all places of a picture, yet its gradient falls apart: with D = dL/dG, the gradient of what a tile
adds is that of <D, F F^T> / (h w). So one pass over the tiles sums the Gram matrices, and a second one, with D known,
gives each tile its gradient. Tiles overlap by as far as VGG-19 looks, so nothing is lost but rounding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, sqrt

import torch
from torch import Tensor

from artmirror.train.objective.losses import gram
from artmirror.train.objective.vgg import CONTENT_LAYER, STYLE_LAYERS, VggFeatures

_GRID = 8  # pixels: what one position of relu4_2 stands for
_REACH = 48  # pixels that it looks to either side, 42, on the grid
_SMALLEST = 4 * _REACH  # pixels of a tile's side: below, most of it is overlap
BYTES_PER_PIXEL = 3200  # that VGG-19 and its gradient take at work; 2,400 at 1024x1024 to 3,100 at 256x256, measured
_STRIDES = {"relu1_2": 1, "relu2_2": 2, "relu3_4": 4, "relu4_2": 8}

Grams = dict[str, Tensor]  # layer -> (C, C) float32


@dataclass(frozen=True, slots=True)
class _Tile:
    """A part of the picture: what VGG-19 sees, and which part of that is the tile's own, in pixels."""

    rows: slice
    columns: slice
    own_rows: slice  # from the tile's edge
    own_columns: slice


@dataclass(frozen=True, slots=True)
class Losses:
    """Of a whole picture."""

    content: float
    style: float  # weighted layer by layer


class TiledFeatures:
    """VGG-19, used on tiles of at most so many pixels."""

    def __init__(self, features: VggFeatures, most_pixels: int) -> None:
        self._features = features
        self._side = max(_SMALLEST, int(sqrt(most_pixels)) // _GRID * _GRID)

    def tiles(self, height: int, width: int) -> list[_Tile]:
        """Cover a picture."""
        return [
            _Tile(rows, columns, own_rows, own_columns)
            for rows, own_rows in _along(height, self._side)
            for columns, own_columns in _along(width, self._side)
        ]

    @torch.no_grad()
    def grams(self, rgb: Tensor) -> Grams:  # (1, 3, H, W) float32 RGB in [0, 1]
        """The Gram matrices of the whole picture, as `losses.gram`."""
        sums: dict[str, Tensor] = {}
        for _, own in self._seen(rgb):
            for layer in STYLE_LAYERS:
                flat = own[layer].float().flatten(2)[0]
                sums[layer] = sums.get(layer, torch.zeros((), device=rgb.device)) + flat @ flat.T
        return {layer: total / _positions(rgb, layer) for layer, total in sums.items()}

    @torch.no_grad()
    def content(self, rgb: Tensor) -> Tensor:
        """Activations of the content layer, (1, C, h, w) float32."""
        _, _, height, width = rgb.shape
        stride = _STRIDES[CONTENT_LAYER]
        whole: Tensor | None = None
        for tile, own in self._seen(rgb):
            part = own[CONTENT_LAYER].float()
            if whole is None:
                whole = part.new_empty(1, part.shape[1], height // stride, width // stride)
            top, left = tile.rows.start + tile.own_rows.start, tile.columns.start + tile.own_columns.start
            place = _place(top, left, part, stride)
            whole[:, :, place[0], place[1]] = part
        assert whole is not None
        return whole

    def gradient(
        self, rgb: Tensor, wanted: Grams, photo: Tensor, content_weight: float, style_weights: Mapping[str, float]
    ) -> tuple[Losses, Tensor]:
        """The losses, and the gradient of their weighted sum, (1, 3, H, W).

        Args:
            wanted: Gram matrices of the painting.
            photo: Of `content`.
        """
        tiles = self.tiles(rgb.shape[2], rgb.shape[3])
        if len(tiles) == 1:
            return self._gradient_at_once(rgb, wanted, photo, content_weight, style_weights)
        found = self.grams(rgb)
        away_by_layer = {layer: found[layer] - wanted[layer] for layer in STYLE_LAYERS}
        slopes = {layer: 2 * style_weights[layer] * away / away.numel() for layer, away in away_by_layer.items()}
        style = sum(style_weights[layer] * float(away.square().mean()) for layer, away in away_by_layer.items())
        gradient = torch.zeros_like(rgb)
        content = 0.0
        stride = _STRIDES[CONTENT_LAYER]
        for tile in tiles:
            part = rgb[:, :, tile.rows, tile.columns].detach().requires_grad_()
            own = _own(self._features(part), tile)
            top, left = tile.rows.start + tile.own_rows.start, tile.columns.start + tile.own_columns.start
            seen = own[CONTENT_LAYER].float()
            place = _place(top, left, seen, stride)
            away = (seen - photo[:, :, place[0], place[1]]).square().sum() / photo.numel()
            total = content_weight * away
            for layer in STYLE_LAYERS:
                flat = own[layer].float().flatten(2)[0]
                total = total + (slopes[layer] * (flat @ flat.T)).sum() / _positions(rgb, layer)
            (slope,) = torch.autograd.grad(total, part)
            gradient[:, :, tile.rows, tile.columns] += slope
            content += float(away.detach())
        return Losses(content, style), gradient

    def _gradient_at_once(
        self, rgb: Tensor, wanted: Grams, photo: Tensor, content_weight: float, style_weights: Mapping[str, float]
    ) -> tuple[Losses, Tensor]:
        """Where one tile is the whole: VGG-19 runs once, not twice."""
        whole = rgb.detach().requires_grad_()
        activations = self._features(whole)
        style = torch.stack(
            [
                style_weights[layer] * (gram(activations[layer])[0] - wanted[layer]).square().mean()
                for layer in STYLE_LAYERS
            ]
        )
        content = (activations[CONTENT_LAYER].float() - photo).square().mean()
        (slope,) = torch.autograd.grad(content_weight * content + style.sum(), whole)
        return Losses(float(content.detach()), float(style.detach().sum())), slope

    def _seen(self, rgb: Tensor) -> Iterator[tuple[_Tile, dict[str, Tensor]]]:
        for tile in self.tiles(rgb.shape[2], rgb.shape[3]):
            yield tile, _own(self._features(rgb[:, :, tile.rows, tile.columns]), tile)


def _own(activations: dict[str, Tensor], tile: _Tile) -> dict[str, Tensor]:
    found = {}
    for layer, stride in _STRIDES.items():
        rows, columns = (
            slice(part.start // stride, None if part.stop is None else part.stop // stride)
            for part in (tile.own_rows, tile.own_columns)
        )
        found[layer] = activations[layer][:, :, rows, columns]
    return found


def _place(top: int, left: int, part: Tensor, stride: int) -> tuple[slice, slice]:
    """Where a tile's own part lies in the whole layer."""
    row, column = top // stride, left // stride
    return slice(row, row + part.shape[2]), slice(column, column + part.shape[3])


def _positions(rgb: Tensor, layer: str) -> int:
    return (rgb.shape[2] // _STRIDES[layer]) * (rgb.shape[3] // _STRIDES[layer])


def _along(side: int, longest: int) -> list[tuple[slice, slice]]:
    """Pieces of one axis on the grid: what is seen, and its own part; the last one's own part goes on to its end."""
    if side <= longest:
        return [(slice(0, side), slice(0, None))]
    step = longest - 2 * _REACH
    count = ceil((side - 2 * _REACH) / step)
    pieces = []
    for number in range(count):
        start = number * step
        last = number == count - 1
        stop = side if last else start + longest
        first = 0 if number == 0 else _REACH
        pieces.append((slice(start, stop), slice(first, None if last else longest - _REACH)))
    return pieces
