"""Where networks stand between an unpainted photo (1) and an optimised one (0) of equal content."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import cv2
import numpy as np

from artmirror.benchmarks.temporal.distances import Judge
from artmirror.benchmarks.temporal.painters import EnginePainter
from artmirror.runtime.common.pictures import read_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.gallery.paintings import choose

_JUDGED_EVERY = 10  # iterations; all of them at first, where the path is steep
_STEEP = 10
# Of the optimised picture. The first one's path passes the content of all networks, and ends nearest to the painting.
# But it hurries by where content is near: a network that stands there is compared with the others' paths too.
_STYLE_WEIGHTS = (300.0, 60.0, 12.0)


# Of a photo (H, W, 3) uint8 BGR and a style weight, told each iteration's number and picture, the last picture.
Optimise = Callable[[Pixels, float, Callable[[int, Pixels], None]], Pixels]


@dataclass(frozen=True, slots=True)
class Point:
    """How far a picture is from the painting, and from its photo."""

    style: float
    content: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A network's look on one photo."""

    network: str
    photo: str
    point: Point
    optimised_style: float  # of the optimised picture at the same content
    unpainted_style: float

    @property
    def score(self) -> float:
        """0 as good as optimised, 1 as the photo itself; below 0 better than what was optimised."""
        return (self.point.style - self.optimised_style) / (self.unpainted_style - self.optimised_style)


@dataclass(frozen=True, slots=True)
class PhotoLooks:
    """All pictures of one photo, the photo first and the optimised one last, and how they stand."""

    pictures: tuple[Pixels, ...]
    standings: tuple[Standing, ...]
    paths: tuple[tuple[Point, ...], ...]  # of the optimised picture, from the photo on, by style weight


def look_at_photo(
    photo: Path,
    networks: Sequence[Path],
    painting: Path,
    judge: Judge,
    optimise: Optimise,
    longer: int,
) -> PhotoLooks:
    """Paint a photo with each network, optimise it, and judge all.

    Args:
        optimise: As `optimiser` gives it.
        longer: Its longer side, pixels.

    Raises:
        ArtmirrorError: a file cannot be read, or a network failed.
    """
    frame = _fitted(read_picture(photo), longer)
    seen = judge.look(frame)

    def judged(picture: Pixels) -> Point:
        found = judge.distances(judge.look(picture), seen)
        return Point(found.style, found.content)

    painted = [_painted(path, painting, frame) for path in networks]
    unpainted, points = judged(frame), [judged(picture) for picture in painted]
    paths: list[list[Point]] = []
    ends: list[Pixels] = []

    def observe(number: int, picture: Pixels) -> None:
        if number <= _STEEP or number % _JUDGED_EVERY == 0:
            paths[-1].append(judged(picture))

    def optimised(content: float) -> float:
        return min(style_at(path, content) for path in paths)

    for weight in _STYLE_WEIGHTS:
        if paths and all(optimised(point.content) < point.style for point in points):
            break
        paths.append([unpainted])
        ends.append(optimise(frame, weight, observe))
        paths[-1].append(judged(ends[-1]))
    standings = [
        Standing(network.stem, photo.name, point, optimised(point.content), unpainted.style)
        for network, point in zip(networks, points, strict=True)
    ]
    return PhotoLooks((frame, *painted, ends[0]), tuple(standings), tuple(map(tuple, paths)))


def optimiser(vgg: Path, painting: Path, calibration: Sequence[Pixels], iterations: int) -> Optimise:
    """What optimises a photo, as `look_at_photo` takes it; VGG-19 is that of a `Judge` of the same arguments.

    Raises:
        ArtmirrorError: the weights or the painting cannot be read.
    """
    # The others of this room go without torch; that it is there, the judge has seen.
    import torch

    from artmirror.train.objective.vgg import load_vgg
    from artmirror.train.optimisation.descent import PaintWeights
    from artmirror.train.optimisation.gatys import paint
    from artmirror.train.pairs.base import read_rgb, to_bgr, to_tensor

    def tensor_of(bgr: Pixels) -> torch.Tensor:
        return to_tensor(np.ascontiguousarray(bgr[..., ::-1]))[None]

    wanted = to_tensor(read_rgb(painting))[None]
    known = vgg.suffix == ".safetensors"  # normalised already
    features = load_vgg(vgg, None if known else torch.cat([tensor_of(photo) for photo in calibration]))

    def optimise(frame: Pixels, style_weight: float, observe: Callable[[int, Pixels], None]) -> Pixels:
        best = paint(
            tensor_of(frame),
            [(wanted, 1.0)],
            features,
            weights=PaintWeights(style=style_weight),
            iterations=iterations,
            observe=lambda iteration: observe(iteration.step, to_bgr(iteration.picture)),
        )
        return to_bgr(best)

    return optimise


def style_at(path: Sequence[Point], content: float) -> float:
    """The smallest style distance on the path of an optimised picture at no more than this content distance.

    Between two points of the path the straight line counts. Beyond its end it is that of its end: so much content was
    not needed.
    """
    best = path[0].style
    for before, after in pairwise(path):
        if after.content <= content:
            best = min(best, after.style)
        elif before.content < content:
            share = (content - before.content) / (after.content - before.content)
            best = min(best, before.style + share * (after.style - before.style))
    return best


@dataclass(frozen=True, slots=True)
class Summary:
    """A network over all photos."""

    network: str
    score: float
    style: float
    content: float
    optimised_style: float


def summarised(looks: Sequence[PhotoLooks]) -> list[Summary]:
    """One row a network, the best first."""
    rows = []
    for standings in zip(*(look.standings for look in looks), strict=True):
        rows.append(
            Summary(
                standings[0].network,
                mean(entry.score for entry in standings),
                mean(entry.point.style for entry in standings),
                mean(entry.point.content for entry in standings),
                mean(entry.optimised_style for entry in standings),
            )
        )
    return sorted(rows, key=lambda row: row.score)


def as_record(looks: Sequence[PhotoLooks], painting: str) -> dict[str, Any]:
    """All values, as JSON has them."""
    return {
        "painting": painting,
        "standings": [{**asdict(entry), "score": entry.score} for look in looks for entry in look.standings],
        "optimised": [
            {"style_weight": weight, "path": [asdict(point) for point in path]}
            for look in looks
            for weight, path in zip(_STYLE_WEIGHTS, look.paths, strict=False)
        ],
    }


def sheet(looks: Sequence[PhotoLooks], height: int = 240) -> Pixels:
    """All pictures, a row for each photo."""
    width = round(height * max(look.pictures[0].shape[1] / look.pictures[0].shape[0] for look in looks))
    rows = []
    for look in looks:
        cells = []
        for picture in look.pictures:
            scale = min(height / picture.shape[0], width / picture.shape[1])
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            cell = np.full((height, width + 4, 3), 255, np.uint8)
            top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
            cell[top : top + small.shape[0], left : left + small.shape[1]] = small
            cells.append(cell)
        rows.append(np.hstack(cells))
    return np.vstack(rows)


def _painted(network: Path, painting: Path, frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    painter = EnginePainter(
        network, (height, width), None, None, 2, False, choose=lambda: choose(network, (), (painting,))
    )
    with closing(painter):
        return painter.paint(frame).pixels


def _fitted(picture: Pixels, longer: int) -> Pixels:
    from artmirror.train.optimisation.descent import fitted_size

    height, width = fitted_size(picture.shape[:2], longer)
    method = cv2.INTER_AREA if longer < max(picture.shape[:2]) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)
