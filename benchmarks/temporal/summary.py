"""What the records of `st-bench temporal` say: pure functions of saved values.

All return None where there is nothing to say something of: a 0 would be a claim.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, median

import numpy as np

from artmirror.benchmarks.records.temporal import FlowKind, PainterRecord, Pair, SequenceRecord, SequenceValues
from artmirror.benchmarks.temporal.metric import e_stab

Sequences = Sequence[SequenceRecord]


def temporal_error(
    painter: PainterRecord,
    sequences: Sequences,
    step: int,
    *,
    flow: FlowKind | None = None,
    only: int | None = None,
) -> float | None:
    """e_stab of one painter over all pairs at one step.

    Args:
        flow: Only pairs whose flow is of this kind.
        only: Only pairs of the sequence at this index.
    """
    errors = [
        error
        for index, (sequence, values) in enumerate(zip(sequences, painter.values, strict=True))
        if only in (None, index)
        for pair, error in zip(sequence.pairs, values.squared_errors, strict=True)
        if pair.step == step and flow in (None, pair.flow)
    ]
    return e_stab(errors) if errors else None


def edge_error(painter: PainterRecord, source: PainterRecord, sequences: Sequences, step: int) -> float | None:
    """The e_stab that the input's own error becomes at a painter's edges.

    The input's squared error of each pair, times how much more the painted frame varies from pixel to pixel. A painter
    whose strokes move exactly with what they lie on still has about so much: a flow that is off by part of a pixel
    costs more, the sharper the picture. No definition of a paper, and no bound: noise and even changes, as of light,
    leave an error in the input that has nothing to do with edges, and that a painter may leave out.

    Args:
        source: The input.

    Returns:
        None where there is no pair, or edges were not recorded.
    """
    errors = [
        error * painted / own if own else 0.0
        for sequence, before, after in zip(sequences, source.values, painter.values, strict=True)
        if before.edges
        for pair, error, own, painted in zip(
            sequence.pairs, before.squared_errors, before.edges, after.edges, strict=True
        )
        if pair.step == step
    ]
    return e_stab(errors) if errors else None


def ratio(value: float | None, floor: float | None) -> float | None:
    """How many times the floor a value is."""
    return value / floor if value is not None and floor else None


def pairs_at(sequences: Sequences, step: int, *, flow: FlowKind | None = None, only: int | None = None) -> list[Pair]:
    """The pairs that `temporal_error` pools."""
    return [
        pair
        for index, sequence in enumerate(sequences)
        if only in (None, index)
        for pair in sequence.pairs
        if pair.step == step and flow in (None, pair.flow)
    ]


def mean_style(painter: PainterRecord, sequences: Sequences, *, photos: bool) -> float | None:
    """Mean style distance over the judged frames of all clips, or over the photos."""
    return _mean(value for values in _of_kind(painter, sequences, photos) for value in values.style)


def normalised_style(
    painter: PainterRecord, source: PainterRecord, sequences: Sequences, *, by_layer: bool = False
) -> float | None:
    """Mean over the judged frames of all clips of the style distance in units of the unpainted frame's.

    Args:
        source: The input.
        by_layer: The mean of the layers' own quotients; the quotient of the sums is mostly the deepest layer's.
    """
    both = zip(_of_kind(painter, sequences, False), _of_kind(source, sequences, False), strict=True)
    return _mean(
        fmean(found / own for found, own in zip(layers, unpainted, strict=True) if own)
        if by_layer
        else sum(layers) / sum(unpainted)
        for values, before in both
        for layers, unpainted in zip(values.style_layers, before.style_layers, strict=True)
        if any(unpainted)
    )


def still_change(painter: PainterRecord, sequences: Sequences, step: int) -> float | None:
    """Flicker at rest: mean over pairs of the mean change where the input stands still, of 255."""
    return _mean(
        change
        for sequence, values in zip(sequences, painter.values, strict=True)
        for pair, change in zip(sequence.pairs, values.changes, strict=False)
        if pair.step == step and pair.still
    )


def mean_content(painter: PainterRecord, sequences: Sequences, *, photos: bool) -> float | None:
    """Mean content distance over the judged frames of all clips, or over the photos."""
    return _mean(value for values in _of_kind(painter, sequences, photos) for value in values.content)


def mean_lpips(painter: PainterRecord, sequences: Sequences, step: int) -> float | None:
    """Mean LPIPS over all pairs at one step of which it was taken."""
    return _mean(
        value
        for sequence, values in zip(sequences, painter.values, strict=True)
        for place, value in zip(sequence.perceived, values.lpips, strict=True)
        if sequence.pairs[place].step == step
    )


def timed_size(sequences: Sequences) -> tuple[int, int]:
    """The size (H, W) that most frames of clips have: times of different sizes are not averaged. (0, 0) without any."""
    frames: Counter[tuple[int, int]] = Counter()
    for sequence in sequences:
        if not sequence.unrelated:
            frames[sequence.height, sequence.width] += sequence.frames
    return max(frames, key=lambda size: frames[size], default=(0, 0))


def median_ms(painter: PainterRecord, sequences: Sequences) -> float | None:
    """Median time of a frame of `timed_size`, in milliseconds."""
    times_ns = _times_ns(painter, sequences)
    return median(times_ns) / 1e6 if times_ns else None


def times_spread(painter: PainterRecord, sequences: Sequences) -> float | None:
    """How wide the middle half of the same times is, as a part of their median."""
    times_ns = _times_ns(painter, sequences)
    if not times_ns:
        return None
    first, third = np.percentile(times_ns, (25, 75))
    return float(third - first) / median(times_ns)


def _times_ns(painter: PainterRecord, sequences: Sequences) -> list[int]:
    size = timed_size(sequences)
    return [
        value
        for sequence, values in zip(sequences, painter.values, strict=True)
        if (sequence.height, sequence.width) == size
        for value in values.latency_ns
    ]


def _of_kind(painter: PainterRecord, sequences: Sequences, photos: bool) -> Iterator[SequenceValues]:
    for sequence, values in zip(sequences, painter.values, strict=True):
        if sequence.unrelated == photos:
            yield values


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None
