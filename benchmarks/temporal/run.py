"""Paints sequences with several painters at once and compares neighbouring frames; few frames are kept."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.records.measuring import Stopped
from artmirror.benchmarks.records.temporal import PainterInfo, PainterRecord, Pair, SequenceRecord, SequenceValues
from artmirror.benchmarks.temporal.distances import Judge
from artmirror.benchmarks.temporal.lpips import PerceptualDistance
from artmirror.benchmarks.temporal.metric import (
    Flow,
    Mask,
    change_at,
    edge_energy,
    instability,
    squared_error,
    still_places,
)
from artmirror.benchmarks.temporal.painters import Painter
from artmirror.benchmarks.temporal.sequences import Frame, FrameSequence
from artmirror.runtime.common.flow import FlowEstimator, dense_flow, trusted
from artmirror.runtime.common.pixels import Pixels

WARMUP_FRAMES = 3  # of every painter at every size

INPUT = PainterInfo(label="input", kind="input")

OpenPainters = Callable[[tuple[int, int]], Sequence[Painter]]  # (H, W) -> the same painters in the same order, always


class SequenceWatcher(Protocol):
    """Sees what is painted of one sequence."""

    def keep_instability(self, index: int, maps: Sequence[NDArray[np.float32]]) -> None:
        """See how far a frame and its successor at the smallest step differ, (H, W) for each painter, input first."""
        ...

    def keep_frame(self, index: int, pictures: Sequence[Pixels], latencies_ns: Sequence[int]) -> None:
        """See a frame, (H, W, 3) for each painter, the input first, which has no time. Its pairs came before."""
        ...


class Watcher(Protocol):
    """Sees what is painted."""

    def sequence(self, index: int, sequence: FrameSequence) -> SequenceWatcher | None:
        """Whoever sees a sequence, or None where nobody does."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be compared."""

    steps: tuple[int, ...]  # frames between the two of a pair, ascending
    estimate: FlowEstimator
    judge: Judge | None
    judge_every: int  # frames; LPIPS is taken of the pairs that begin with them
    perception: PerceptualDistance | None = None


@dataclass(slots=True)
class _Values:
    """`SequenceValues` in the making."""

    squared_errors: list[float] = field(default_factory=list)
    latency_ns: list[int] = field(default_factory=list)
    style: list[float] = field(default_factory=list)
    style_layers: list[tuple[float, ...]] = field(default_factory=list)
    content: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)
    edges: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)

    def frozen(self) -> SequenceValues:
        return SequenceValues(**{entry.name: tuple(getattr(self, entry.name)) for entry in fields(self)})


def measure_temporal(
    sequences: Sequence[FrameSequence],
    open_painters: OpenPainters,
    comparison: Comparison,
    *,
    watchers: Sequence[Watcher] = (),
    should_stop: Callable[[], bool] = lambda: False,
    observe: Callable[[FrameSequence], None] = lambda sequence: None,
) -> tuple[tuple[SequenceRecord, ...], tuple[PainterRecord, ...]]:
    """Show every sequence to every painter, frame by frame.

    Each frame is painted by all painters in turn, and the turn begins with another one each time, so that a busy
    minute and what ran just before hit all alike.

    Args:
        open_painters: Called once for each size; closed before the next size.
        watchers: Get all pictures, and the instability of the pairs at the smallest step.
        observe: Called after every frame with its sequence.

    Returns:
        The sequences in their order, and the values of every painter, the input frames themselves first.

    Raises:
        ArtmirrorError: a frame cannot be read or a painter failed.
        Stopped: `should_stop` said so; it is asked for every frame.
    """
    records: dict[int, SequenceRecord] = {}
    values: dict[int, list[SequenceValues]] = {}
    infos: list[PainterInfo] = []
    warmups: list[list[int]] = []
    for size in dict.fromkeys(sequence.size for sequence in sequences):
        with ExitStack() as stack:
            painters = [stack.enter_context(closing(painter)) for painter in open_painters(size)]
            warmups = warmups or [[] for _ in painters]
            _warm_up(painters, size, warmups)
            for index, sequence in enumerate(sequences):
                if sequence.size == size:
                    told = _stoppable(sequence, should_stop, observe)
                    watching = [
                        found for watcher in watchers if (found := watcher.sequence(index, sequence)) is not None
                    ]
                    records[index], values[index] = _measure_sequence(sequence, told, painters, comparison, watching)
            infos = _merged(infos, [painter.describe() for painter in painters])
    order = range(len(sequences))
    rows = [(INPUT, []), *zip(infos, warmups, strict=True)]
    return (
        tuple(records[index] for index in order),
        tuple(
            PainterRecord(info, tuple(warmup_ns), tuple(values[index][row] for index in order))
            for row, (info, warmup_ns) in enumerate(rows)
        ),
    )


Measured = tuple[tuple[SequenceRecord, ...], tuple[PainterRecord, ...]]


def joined(parts: Sequence[Measured], names: Sequence[str]) -> Measured:
    """What was measured with several paintings as one: the same painters, each sequence once for each painting.

    Args:
        names: Of the paintings.
    """
    if len(parts) == 1:
        return parts[0]
    sequences = [
        replace(record, name=f"{record.name}, {name}")
        for (records, _), name in zip(parts, names, strict=True)
        for record in records
    ]
    painters = []
    for same in zip(*(painters for _, painters in parts), strict=True):
        values = tuple(entry for painter in same for entry in painter.values)
        warmup_ns = tuple(entry for painter in same for entry in painter.warmup_ns)
        painters.append(replace(same[0], warmup_ns=warmup_ns, values=values))
    return tuple(sequences), tuple(painters)


def _measure_sequence(
    sequence: FrameSequence,
    frames: Iterator[Frame],
    painters: Sequence[Painter],
    comparison: Comparison,
    watchers: Sequence[SequenceWatcher],
) -> tuple[SequenceRecord, list[SequenceValues]]:
    steps = () if sequence.unrelated else comparison.steps
    every = 1 if sequence.unrelated else comparison.judge_every
    results = [_Values() for _ in range(1 + len(painters))]
    pairs: list[Pair] = []
    judged: list[int] = []
    perceived: list[int] = []
    window: deque[tuple[Frame, list[Pixels]]] = deque(maxlen=1 + max(steps, default=0))
    count = 0
    for painter in painters:
        painter.forget()
    for index, frame in enumerate(frames):
        if sequence.unrelated:
            for painter in painters:
                painter.forget()
        pictures = [frame.pixels, *_paint(frame.pixels, painters, index, results[1:])]
        window.append((frame, pictures))
        for step in steps:
            if step < len(window):
                earlier, painted = window[-1 - step]
                pair, flow, visible = _relate(earlier, frame, index - step, step, comparison.estimate)
                still = still_places(earlier.pixels, frame.pixels)
                pairs.append(replace(pair, still=float(still.mean())))
                for result, first, second in zip(results, painted, pictures, strict=True):
                    result.squared_errors.append(squared_error(first, second, flow, visible))
                    result.edges.append(edge_energy(first, visible))
                    result.changes.append(change_at(first, second, still))
                if comparison.perception is not None and pair.first % every == 0:
                    perceived.append(len(pairs) - 1)
                    for result, first, second in zip(results, painted, pictures, strict=True):
                        result.lpips.append(comparison.perception.of_pair(first, second, flow, visible))
                if watchers and step == steps[0]:
                    maps = [instability(*pair, flow, visible) for pair in zip(painted, pictures, strict=True)]
                    for watcher in watchers:
                        watcher.keep_instability(index - step, maps)
        for watcher in watchers:
            watcher.keep_frame(index, pictures, [result.latency_ns[-1] for result in results[1:]])
        if comparison.judge is not None and index % every == 0:
            judged.append(index)
            _judge(comparison.judge, pictures, results)
        count = index + 1
    chosen = tuple(judged), tuple(perceived)
    record = SequenceRecord(sequence.name, *sequence.size, count, sequence.unrelated, tuple(pairs), *chosen)
    return record, [result.frozen() for result in results]


def _paint(frame: Pixels, painters: Sequence[Painter], index: int, results: Sequence[_Values]) -> list[Pixels]:
    pictures: dict[int, Pixels] = {}
    for turn in range(len(painters)):
        place = (index + turn) % len(painters)
        painted = painters[place].paint(frame)
        pictures[place] = painted.pixels
        results[place].latency_ns.append(painted.latency_ns)
    return [pictures[place] for place in range(len(painters))]


def _relate(earlier: Frame, later: Frame, first: int, step: int, estimate: FlowEstimator) -> tuple[Pair, Flow, Mask]:
    """The flow of a pair: given, or estimated on the input frames.

    Given flow leads one frame on. It is not chained over several: that needs interpolation, and is an estimate too.
    """
    truth = earlier.truth
    if truth is not None and step == 1:
        pair = Pair(first, step, "truth", float(truth.visible.mean()), truth.occlusions)
        return pair, truth.flow, truth.visible
    forward, backward = dense_flow(_rgb(earlier.pixels), _rgb(later.pixels), estimate)
    visible = trusted(forward, backward)
    return Pair(first, step, "dis", float(visible.mean()), True), forward, visible


def _judge(judge: Judge, pictures: Sequence[Pixels], results: Sequence[_Values]) -> None:
    frame = judge.look(pictures[0])
    for result, picture in zip(results, pictures, strict=True):
        found = judge.distances(frame if picture is pictures[0] else judge.look(picture), frame)
        result.style.append(found.style)
        result.style_layers.append(found.layers)
        result.content.append(found.content)


def _warm_up(painters: Sequence[Painter], size: tuple[int, int], warmups: Sequence[list[int]]) -> None:
    blank = np.full((*size, 3), 128, np.uint8)
    for painter, warmup_ns in zip(painters, warmups, strict=True):
        warmup_ns += [painter.paint(blank).latency_ns for _ in range(WARMUP_FRAMES)]


def _stoppable(
    sequence: FrameSequence, should_stop: Callable[[], bool], observe: Callable[[FrameSequence], None]
) -> Iterator[Frame]:
    for frame in sequence.frames():
        if should_stop():
            raise Stopped
        yield frame
        observe(sequence)


def _merged(before: list[PainterInfo], now: list[PainterInfo]) -> list[PainterInfo]:
    """The newest words of each painter, with the notes of all sizes."""
    if not before:
        return now
    return [
        replace(new, note="; ".join(dict.fromkeys(note for note in (old.note, new.note) if note)))
        for old, new in zip(before, now, strict=True)
    ]


def _rgb(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[..., ::-1])
