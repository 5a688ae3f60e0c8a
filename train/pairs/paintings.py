"""Paintings to learn from: which there are, which are kept apart, and three ways of looking at each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import LONGEST, PAINTING_SIDE, painting_view
from artmirror.runtime.common.pictures import picture_paths
from artmirror.runtime.common.plain_data import fitted, read_json
from artmirror.train.pairs.base import read_rgb

VIEWS = 3  # of a painting: whole, a detail, whole and mirrored at a larger size
_LARGE_SIDE = 320
_HELD_OUT_EVERY = 17  # artists, by a checksum of their names: their paintings are never trained on


@dataclass(frozen=True, slots=True)
class Painting:
    """A picture file, and who painted it where that is known."""

    path: Path
    artist: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    file: str
    artist: str | None = None


def find_paintings(folder: Path) -> list[Painting]:
    """The pictures below a folder, with their artists where a `manifest.json` tells them.

    The manifest is a list of objects with `file` and `artist`; what is not in it has no artist.

    Raises:
        ArtmirrorError: there is none, or the manifest is damaged.
    """
    paths = picture_paths(folder, below=True)
    manifest = folder / "manifest.json"
    artists: dict[str, str] = {}
    if manifest.is_file():
        try:
            artists = {entry.file: entry.artist or "" for entry in fitted(read_json(manifest), list[_Entry])}
        except (OSError, ValueError) as error:
            raise ArtmirrorError(
                f"{manifest} is damaged ({error}); wanted a list of objects with file, artist"
            ) from None
    return [Painting(path, artists.get(path.relative_to(folder).as_posix(), "")) for path in paths]


def is_held_out(painting: Painting) -> bool:
    """Whether it is kept apart to judge by: all of an artist's are, or none; without an artist, by the file's name."""
    key = painting.artist or painting.path.name
    # The split of the milestone in benchmarks/networks: whoever goes on from it keeps the same artists apart.
    return int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest(), 16) % _HELD_OUT_EVERY == 0


def view_of(painting: Painting, view: int) -> NDArray[np.uint8]:
    """The painting as training sees it, (h, w, 3) uint8 RGB; the same at every call.

    Raises:
        ArtmirrorError: the file is missing or no picture.
    """
    rgb = read_rgb(painting.path)
    side = PAINTING_SIDE
    if view == 1:  # larger strokes
        rng = np.random.default_rng(list(hashlib.sha256(painting.path.name.encode()).digest()))
        height, width = rgb.shape[:2]
        detail = max(1, int(min(height, width) * rng.uniform(0.6, 0.85)))
        top, left = rng.integers(0, height - detail + 1), rng.integers(0, width - detail + 1)
        rgb = rgb[top : top + detail, left : left + detail]
    elif view == 2:
        rgb = rgb[:, ::-1]
        side = _LARGE_SIDE if min(rgb.shape[:2]) >= PAINTING_SIDE else PAINTING_SIDE
    return painting_view(np.ascontiguousarray(rgb), side)


def view_size(shape: tuple[int, int], view: int) -> tuple[int, int]:
    """(h, w) of what `view_of` returns.

    Args:
        shape: (h, w) of the painting's file.
    """
    height, width = shape
    if view == 1:
        return PAINTING_SIDE, PAINTING_SIDE
    shorter = min(height, width)
    side = _LARGE_SIDE if view == 2 and shorter >= PAINTING_SIDE else PAINTING_SIDE
    most = int(side * LONGEST)
    return min(most, round(height * side / shorter)), min(most, round(width * side / shorter))


def changed_view(painting: Painting, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A part of the painting in other light and other colours: (h, w, 3) uint8 RGB of the wanted (h, w).

    Raises:
        ArtmirrorError: the file is missing or no picture.
    """
    rgb = read_rgb(painting.path)
    height, width = shape
    scale = min(rgb.shape[0] / height, rgb.shape[1] / width) * rng.uniform(0.5, 1)
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    top, left = rng.integers(0, rgb.shape[0] - rows + 1), rng.integers(0, rgb.shape[1] - columns + 1)
    part = rgb[top : top + rows, left : left + columns]
    part = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC))
    colours = part.astype(np.float32) / 255
    grey = colours.mean(2, keepdims=True)
    colours = grey + (colours - grey) * rng.uniform(0.2, 1.6)
    colours = (colours - 0.5) * rng.uniform(0.6, 1.4) + 0.5 + rng.normal(0, 0.08, 3).astype(np.float32)
    if rng.random() < 0.3:
        colours = colours[:, :, rng.permutation(3)]
    return np.asarray((colours.clip(0, 1) * 255).round(), np.uint8)


def drawn(paintings: Sequence[Painting], count: int, rng: np.random.Generator) -> list[tuple[Painting, int]]:
    """Some paintings and views for a step; half of the views are whole paintings, as they come at show time."""
    chosen = rng.integers(0, len(paintings), count)
    views = rng.choice(VIEWS, count, p=(0.5, 0.25, 0.25))
    return [(paintings[int(index)], int(view)) for index, view in zip(chosen, views, strict=True)]
