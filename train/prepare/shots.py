"""From the figures of a video to the stretches of it that are worth training on. Pure functions.

Every rule has a number, and what it drops is told with the number found. In their order:

    dark       a frame's mean luma is below `min_luma`: left out; a shot is dropped if most of its frames are
    flat       the same for the standard deviation of luma and `min_contrast`
    short      the shot has less than `min_frames`, or no stretch of so many is left
    static     it moves less than `still_px` a frame on average; of other shots, stretches of more than
               `max_still_frames` that move less are left out
    small      its picture would have to be enlarged more than `max_enlarging` times
    fast       it moves more than `max_motion_px` a frame
    untrusted  forward and backward flow agree on less than `min_trust` of the picture: no flow, no temporal loss
    blurred    the variance of the Laplacian is below `min_sharpness` of the picture's variance
    duplicate  a longer shot, or an earlier one of the same length, shows the same, or shows it mirrored
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.pixels import Size
from artmirror.train.prepare.measure import CUT_WINDOW, HASH_EVERY, SHARPNESS_EVERY, TRUST_EVERY, Measurement
from artmirror.train.prepare.video import NO_MARGINS, Margins, fill_scale

SAME_BITS = 48  # of 256; unrelated pictures differ in about 118 and seldom below 100, neighbouring frames in up to 40
_PROBES = 5  # pictures of a shot that are looked for in another; the median distance counts
_LEAST_BAR = 0.02  # of the height or width; less is an edge, not a bar
_LEAST_CHUNK = 8  # frames; a shorter rest at the end of a stretch is left out


@dataclass(frozen=True, slots=True)
class Rules:
    """What a shot must be; lengths in frames, motion in pixels of the dataset's size per frame."""

    min_frames: int = 16
    max_shot_frames: int = 240
    min_luma: float = 16.0
    min_contrast: float = 6.0
    still_px: float = 0.1
    max_still_frames: int = 24
    max_enlarging: float = 1.5
    max_motion_px: float = 40.0
    min_trust: float = 0.5
    min_sharpness: float = 0.002


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive frames of one shot: one sample of the dataset."""

    key: str  # "shot000012-003"
    source: int
    shot: int
    first_frame: int
    frames: int
    motion_px: float
    margins: Margins


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """What lies between two cuts, judged."""

    number: int
    source: int
    first_frame: int
    frames: int
    start_s: float
    end_s: float
    motion_px: float
    trust: float  # NaN where it could not be measured
    luma: float
    contrast: float
    sharpness: float
    margins: Margins  # black bars
    parts: tuple[tuple[int, int], ...]  # first frame and the one after the last
    dropped: str  # the rule, or "" if it is kept
    why: str  # with numbers
    frame_motion_px: NDArray[np.float32] = field(repr=False)  # (frames,) from the frame before
    hashes: NDArray[np.uint8] = field(repr=False)  # (n, 2, 32) packed: as it is, and mirrored
    thumbnail: bytes = field(repr=False)  # JPEG

    @property
    def usable_frames(self) -> int:
        """Frames that no rule leaves out; none of a shot that is dropped."""
        return 0 if self.dropped else sum(end - first for first, end in self.parts)


def find_shots(measured: Measurement, source: int, first_number: int, size: Size, rules: Rules) -> list[Shot]:
    """Cut one video into shots and judge each by itself; shots are numbered from `first_number`."""
    frames = len(measured.time_s)
    starts, ends = [0, *measured.cuts], [*measured.cuts, frames]
    return [
        _judged(measured, source, first_number + index, first, end, size, rules)
        for index, (first, end) in enumerate(zip(starts, ends, strict=True))
    ]


def without_duplicates(shots: Sequence[Shot]) -> list[Shot]:
    """Drop the shots that show what a longer one shows; of two equally long ones the first stays.

    Time grows with the square of the number of shots.
    """
    judged = list(shots)
    kept: list[int] = []
    for index in sorted((i for i, shot in enumerate(shots) if not shot.dropped), key=lambda i: (-shots[i].frames, i)):
        shot = shots[index]
        for other in kept:
            bits, mirrored = hash_distance(shot.hashes, shots[other].hashes)
            if bits <= SAME_BITS:
                how = "mirrored " if mirrored else ""
                why = (
                    f"shows {how}what shot {shots[other].number} shows: {bits} of 256 bits differ, at most {SAME_BITS}"
                )
                judged[index] = replace(shot, dropped="duplicate", why=why)
                break
        else:
            kept.append(index)
    return judged


def hash_distance(shorter: NDArray[np.uint8], longer: NDArray[np.uint8]) -> tuple[int, bool]:
    """How many bits the pictures of one shot differ from the most similar ones of another, and whether mirrored.

    Args:
        shorter, longer: (n, 2, 32) packed hashes, as `Shot` holds them.
    """
    picks = np.linspace(0, len(shorter) - 1, _PROBES).round().astype(int)
    words = longer[:, 0].copy().view(np.uint64)  # (n, 4)
    best = (257, False)
    for mirrored in (False, True):
        probes = shorter[picks, int(mirrored)].copy().view(np.uint64)  # (_PROBES, 4)
        bits = np.bitwise_count(probes[:, None] ^ words[None]).sum(axis=-1, dtype=np.int64)  # (_PROBES, n)
        best = min(best, (int(np.median(bits.min(axis=1))), mirrored))
    return best


def chunks_of(shot: Shot, rules: Rules, frames_per_chunk: int) -> list[Chunk]:
    """Cut what is usable of a shot into chunks; of a long shot, evenly spread ones are taken.

    A rest of 8 frames or more at the end of a part is a shorter chunk, a smaller rest is left out.
    """
    if shot.dropped:
        return []
    spans: list[tuple[int, int]] = []
    for first, end in shot.parts:
        spans += [(at, min(at + frames_per_chunk, end)) for at in range(first, end, frames_per_chunk)]
    spans = [(first, end) for first, end in spans if end - first >= min(_LEAST_CHUNK, frames_per_chunk)]
    most = max(1, rules.max_shot_frames // frames_per_chunk)
    if len(spans) > most:
        spans = [spans[(2 * i + 1) * len(spans) // (2 * most)] for i in range(most)]
    return [
        Chunk(
            key=f"shot{shot.number:06d}-{index:03d}",
            source=shot.source,
            shot=shot.number,
            first_frame=first,
            frames=end - first,
            motion_px=_rounded(
                float(shot.frame_motion_px[first + 1 - shot.first_frame : end - shot.first_frame].mean())
            ),
            margins=shot.margins,
        )
        for index, (first, end) in enumerate(spans)
    ]


def hold_out(frames_of_source: Sequence[int], order: Sequence[int], share: float) -> set[int]:
    """Choose whole sources with about `share` of all frames: those that still fit in, in the given order.

    At least one is held out and at least one is not, if two sources have frames.
    """
    usable = [source for source in order if frames_of_source[source]]
    if not share or len(usable) < 2:
        return set()
    wanted = share * sum(frames_of_source)
    held: set[int] = set()
    for source in usable:
        if frames_of_source[source] + sum(frames_of_source[other] for other in held) <= wanted:
            held.add(source)
    return held or {min(usable, key=lambda source: frames_of_source[source])}


def _judged(measured: Measurement, source: int, number: int, first: int, end: int, size: Size, rules: Rules) -> Shot:
    margins = _margins(measured.bars[first:end], measured.small)
    inner = (1 - margins.left - margins.right) * (1 - margins.top - margins.bottom)
    scale = fill_scale(measured.size, size, margins)
    # Bars do not move: they would make what moves between them look slower.
    motion_px = measured.motion[first:end] * np.float32(scale * measured.size.width / measured.small.width / inner)
    luma, contrast = measured.luma[first:end], measured.contrast[first:end]
    dark, flat = luma < rules.min_luma, contrast < rules.min_contrast
    usable = ~(dark | flat)
    # Beside a cut frames are often blended with the next shot's; near the file's ends no cut is seen.
    usable[: CUT_WINDOW if first == 0 else 1] = False
    usable[-CUT_WINDOW if end == len(measured.time_s) else -1 :] = False
    lit = usable.copy()
    for at, stop in _runs(motion_px < rules.still_px):
        if stop - at > rules.max_still_frames:
            usable[at:stop] = False
    parts = tuple((first + a, first + b) for a, b in _runs(usable) if b - a >= rules.min_frames)
    motion = float(motion_px[1:].mean()) if end - first > 1 else 0.0
    trust = _mean(measured.trust, first + 1, end, TRUST_EVERY)
    sharpness = _median(measured.sharpness, first, end, SHARPNESS_EVERY)
    failed = (
        (dark.mean() > 0.5, "dark", f"mean luma {luma.mean():.1f}, wanted {rules.min_luma:g}"),
        (flat.mean() > 0.5, "flat", f"contrast {contrast.mean():.1f}, wanted {rules.min_contrast:g}"),
        (end - first < rules.min_frames, "short", f"{end - first} frames, wanted {rules.min_frames}"),
        (motion < rules.still_px, "static", f"moves {motion:.3f} px a frame, wanted {rules.still_px:g}"),
        (
            not parts and lit.sum() >= rules.min_frames,
            "static",
            f"nothing but still stretches of more than {rules.max_still_frames} frames",
        ),
        (not parts, "short", f"no {rules.min_frames} frames are left without its ends, dark and still stretches"),
        (scale > rules.max_enlarging, "small", f"enlarged {scale:.2f} times, at most {rules.max_enlarging:g}"),
        (motion > rules.max_motion_px, "fast", f"moves {motion:.1f} px a frame, at most {rules.max_motion_px:g}"),
        (trust < rules.min_trust, "untrusted", f"flow is consistent on {trust:.0%}, wanted {rules.min_trust:.0%}"),
        (sharpness < rules.min_sharpness, "blurred", f"sharpness {sharpness:.4f}, wanted {rules.min_sharpness:g}"),
    )
    dropped, why = next(((rule, why) for fails, rule, why in failed if fails), ("", ""))
    seconds = measured.time_s
    return Shot(
        number=number,
        source=source,
        first_frame=first,
        frames=end - first,
        start_s=_rounded(float(seconds[first])),
        end_s=_rounded(float(seconds[end] if end < len(seconds) else seconds[end - 1] + 1 / measured.fps)),
        motion_px=_rounded(motion),
        trust=_rounded(trust),
        luma=_rounded(float(luma.mean())),
        contrast=_rounded(float(contrast.mean())),
        sharpness=_rounded(sharpness),
        margins=margins,
        parts=parts,
        dropped=dropped,
        why=why,
        frame_motion_px=motion_px,
        hashes=measured.hashes[-(-first // HASH_EVERY) : -(-end // HASH_EVERY)],
        thumbnail=measured.thumbnails[int(np.searchsorted(measured.cuts, first, side="right"))],
    )


def _margins(bars: NDArray[np.int16], small: Size) -> Margins:
    """Black bars that are there in every frame of a shot and equally wide on both sides, as letterboxes are."""
    left, top, right, bottom = (int(bars[:, side].min()) for side in range(4))
    across, down = min(left, right) / small.width, min(top, bottom) / small.height
    across, down = (
        share + 1 / length if _LEAST_BAR <= share < 0.4 else 0.0  # with the edge, which scaling has blurred
        for share, length in ((across, small.width), (down, small.height))
    )
    return Margins(across, down, across, down) if across or down else NO_MARGINS


def _runs(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index of every run of True, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _sampled(column: NDArray[np.float32], first: int, end: int, every: int) -> NDArray[np.float32]:
    return column[-(-first // every) : -(-end // every)]


def _mean(column: NDArray[np.float32], first: int, end: int, every: int) -> float:
    values = _sampled(column, first, end, every)
    return float(values.mean()) if values.size else math.nan


def _median(column: NDArray[np.float32], first: int, end: int, every: int) -> float:
    values = _sampled(column, first, end, every)
    return float(np.median(values)) if values.size else math.nan


def _rounded(value: float) -> float:
    return round(value, 4)
