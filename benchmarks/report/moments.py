"""Which moments of a run a report shows, and their pictures as data that goes into a page."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from artmirror.benchmarks.records.temporal import TemporalSession
from artmirror.benchmarks.temporal.kept_frames import KeptFrames
from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.pixels import Pixels

_WORST = 4  # moments
_APART = 8  # frames between two of one sequence
_STRIP = 5  # frames of a film strip
_SHOWN = 6  # sequences side by side
_WIDTH = {"single": 480, "strip": 280}  # pixels
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture in a page."""

    label: str
    data: str  # a data: URL
    marked: bool = False  # what the moment is about


@dataclass(frozen=True, slots=True)
class Moment:
    """Pictures of one moment, a row for each painter or kind."""

    title: str
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]


def side_by_side(session: TemporalSession, kept: KeptFrames) -> list[Moment]:
    """The middle frame of each sequence by all painters, each with the instability to its successor."""
    found: list[Moment] = []
    for sequence, record in enumerate(session.sequences):
        frames = [pair.first for pair in record.pairs if pair.step == session.steps[0]]
        if not frames or len(found) == _SHOWN:
            continue
        middle = frames[len(frames) // 2]
        rows = []
        for painter in range(len(session.painters)):
            picture, heat = kept.frame(sequence, painter, middle), kept.instability(sequence, painter, middle)
            if picture is not None and heat is not None:
                pair = Picture("frame", _data(picture, "single")), Picture("instability", _data(_heat(heat), "single"))
                rows.append((_label(session, painter), pair))
        if rows:
            found.append(Moment(f"{record.name}, frame {middle}", tuple(rows)))
    return found


def worst_moments(session: TemporalSession, kept: KeptFrames) -> list[Moment]:
    """Film strips of the pairs where our networks flicker most, beside the input and the others."""
    found, step = [], session.steps[0]
    for painter, sequence, first in worst_pairs(session):
        last = session.sequences[sequence].frames - 1
        start = max(0, min(first - _STRIP // 2, last - _STRIP + 1))
        frames = range(start, min(start + _STRIP, last + 1))
        rows = []
        for index in range(len(session.painters)):
            strip = [
                Picture(f"frame {frame}", _data(picture, "strip"), frame in (first, first + step))
                for frame in frames
                if (picture := kept.frame(sequence, index, frame)) is not None
            ]
            rows.append((_label(session, index), tuple(strip)))
        maps = [
            Picture(f"{frame} to {frame + step}", _data(_heat(heat), "strip"), frame == first)
            for frame in frames
            if (heat := kept.instability(sequence, painter, frame)) is not None
        ]
        rows.append((f"instability of {_label(session, painter)}", tuple(maps)))
        error = _errors(session, painter, sequence)[first] ** 0.5
        title = f"{session.sequences[sequence].name}, frames {first} to {first + step}: {error:.3f}"
        found.append(Moment(title, tuple(row for row in rows if row[1])))
    return found


def worst_pairs(session: TemporalSession) -> list[tuple[int, int, int]]:
    """(painter, sequence, first frame) of our networks' largest errors at the smallest step, some way apart."""
    ours = [index for index, painter in enumerate(session.painters) if painter.info.kind == "engine"]
    ranked = sorted(
        (
            (error, painter, sequence, first)
            for painter in ours or range(1, len(session.painters))
            for sequence in range(len(session.sequences))
            for first, error in _errors(session, painter, sequence).items()
        ),
        reverse=True,
    )
    chosen: list[tuple[int, int, int]] = []
    for _, painter, sequence, first in ranked:
        if len(chosen) == _WORST:
            break
        if not any(other == sequence and abs(first - frame) < _APART for _, other, frame in chosen):
            chosen.append((painter, sequence, first))
    return chosen


def _errors(session: TemporalSession, painter: int, sequence: int) -> dict[int, float]:
    """Squared error of the pairs at the smallest step, by their first frame."""
    pairs, errors = session.sequences[sequence].pairs, session.painters[painter].values[sequence].squared_errors
    return {pair.first: error for pair, error in zip(pairs, errors, strict=True) if pair.step == session.steps[0]}


def _label(session: TemporalSession, index: int) -> str:
    info = session.painters[index].info
    return info.label if info.backend is None else f"{info.label} ({info.backend})"


def _heat(values: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> Pixels:
    return cv2.applyColorMap(values, cv2.COLORMAP_INFERNO).astype(np.uint8, copy=False)


def _data(picture: Pixels, kind: str) -> str:
    height, width = picture.shape[:2]
    scale = min(1.0, _WIDTH[kind] / width)
    size: Sequence[int] = (round(width * scale), round(height * scale))
    small = picture if scale == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return (
        "data:image/webp;base64,"
        + b64encode(encode_picture(small.astype(np.uint8, copy=False), ".webp", _QUALITY)).decode()
    )
