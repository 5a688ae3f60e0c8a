"""How good estimated flow is, against ground truth."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from artmirror.benchmarks.temporal.ground_truth import Scene, TruthFiles, find_scenes
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import (
    FlowEstimator,
    dense_flow,
    endpoint_error,
    read_flow,
    trusted,
    warp_error,
)
from artmirror.runtime.common.pictures import read_picture

NOTE = (
    "EPE: mean distance between where the estimated and the true flow end, pixels; then the same where the flow is "
    "trusted, and the share of pixels that are. Prec.: share of the distrusted pixels that are really hidden in the "
    "next frame (motion boundaries are distrusted too); recall: share of the hidden pixels that are distrusted. Warp: "
    "root mean square of frame - warped next frame, in [0, 1], over the pixels that are not known to be hidden, with "
    "the true and with the estimated flow. CPU ms: of all threads, for the flow there and back and the mask."
)


@dataclass(frozen=True, slots=True)
class PairScore:
    """One pair of frames under one method; NaN where the ground truth does not say."""

    epe_px: float
    epe_trusted_px: float
    trusted_share: float
    precision: float
    recall: float
    warp_truth: float
    warp_estimated: float
    cpu_ms: float


def score_pair(first: Path, second: Path, truth: TruthFiles, estimator: FlowEstimator) -> PairScore:
    """Estimate the flow of a pair and hold it against the ground truth.

    Raises:
        ArtmirrorError: a picture cannot be read, or it has another size than its flow.
        ArtmirrorError: the flow cannot be read, or the frames differ in size.
    """
    true_flow, known = read_flow(truth.flow)
    _, visible = truth.read()
    frames = [_read_rgb(path) for path in (first, second)]
    if frames[0].shape[:2] != known.shape:
        raise ArtmirrorError(
            f"{first} is {frames[0].shape[1]}x{frames[0].shape[0]}, {truth.flow} is {known.shape[1]}x{known.shape[0]}; "
            "wanted are frames of the flow's size"
        )
    started_s = time.process_time()
    flow, back = dense_flow(frames[0], frames[1], estimator)
    mask = trusted(flow, back)
    cpu_ms = 1e3 * (time.process_time() - started_s)
    error = endpoint_error(flow, true_flow)
    hidden, distrusted = (known & ~visible, known & ~mask) if truth.occlusions else (np.zeros_like(known),) * 2
    caught = float((hidden & distrusted).sum())
    return PairScore(
        epe_px=_mean(error, known),
        epe_trusted_px=_mean(error, known & mask),
        trusted_share=float(mask.mean()),
        precision=caught / distrusted.sum() if distrusted.any() else math.nan,
        recall=caught / hidden.sum() if hidden.any() else math.nan,
        warp_truth=warp_error(frames[0], frames[1], true_flow, visible),
        warp_estimated=warp_error(frames[0], frames[1], flow, visible),
        cpu_ms=cpu_ms,
    )


def score_scene(scene: Scene, estimator: FlowEstimator) -> PairScore:
    """Return the means over the pairs of a scene, each over those for which it is known."""
    following = dict(zip(scene.frames, scene.frames[1:], strict=False))
    scores = [score_pair(first, following[first], truth, estimator) for first, truth in scene.truths.items()]
    return PairScore(*(_known_mean([getattr(score, field.name) for score in scores]) for field in fields(PairScore)))


def find_all_scenes(folder: Path) -> list[Scene]:
    """The scenes of a data set, or of the folders that stand in `folder`.

    Raises:
        ArtmirrorError: there are none, or files are missing.
    """
    scenes = find_scenes(folder)
    if not scenes and folder.is_dir():
        scenes = [scene for entry in sorted(folder.iterdir()) if entry.is_dir() for scene in find_scenes(entry)]
    if not scenes:
        raise ArtmirrorError(
            f"{folder} holds no frames with flow beside them; wanted Sintel, Middlebury, KITTI or .flo"
        )
    return scenes


Row = tuple[str, int, str, PairScore]  # scene, its number of pairs, method, means

# Title and text of each column.
_COLUMNS: tuple[tuple[str, Callable[[PairScore], str]], ...] = (
    ("EPE", lambda score: f"{score.epe_px:.3f}"),
    ("EPE trusted", lambda score: f"{score.epe_trusted_px:.3f}"),
    ("trusted", lambda score: f"{score.trusted_share:.1%}"),
    ("prec.", lambda score: _percent(score.precision)),
    ("recall", lambda score: _percent(score.recall)),
    ("warp, true", lambda score: f"{score.warp_truth:.4f}"),
    ("warp, est.", lambda score: f"{score.warp_estimated:.4f}"),
    ("CPU ms", lambda score: f"{score.cpu_ms:.0f}"),
)


def render(rows: Sequence[Row]) -> Table:
    """A table for the terminal."""
    table = Table(box=SIMPLE_HEAD, padding=0)  # has to fit 80 columns
    table.add_column("scene", overflow="fold")
    table.add_column("method", no_wrap=True)
    for name, _ in _COLUMNS:
        table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    for scene, _, method, score in rows:
        table.add_row(scene, method, *(text(score) for _, text in _COLUMNS))
    return table


def markdown(rows: Sequence[Row]) -> str:
    """The same as Markdown, with the note that explains it."""
    titles = ["scene", "pairs", "method", *(name for name, _ in _COLUMNS)]
    lines = [titles, ["---"] * len(titles)]
    lines += [
        [scene, str(pairs), method, *(text(score) for _, text in _COLUMNS)] for scene, pairs, method, score in rows
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + f"\n\n{NOTE}\n"


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(read_picture(path)[..., ::-1])


def _mean(values: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean()) if where.any() else math.nan


def _known_mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
