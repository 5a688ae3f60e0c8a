"""What `st-bench temporal` leaves behind: raw values of every pair and every frame, and their JSON.

As in `records/speed.py`, nothing here is computed from the values (see `temporal/summary.py`).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.json_file import fitted_record, read_text, write_text
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.plain_data import Duration, Pixels, Positive, Whole

KIND = "temporal"  # tells these files from those of `records/speed.py`
FORMAT_VERSION = 4  # the one that is read: nothing older was ever released

FlowKind = Literal["truth", "dis"]  # given with the frames; estimated on the input frames
PainterKind = Literal["input", "engine", "peer"]  # the frames themselves; one of our files; a foreign network


@dataclass(frozen=True, slots=True)
class PainterInfo:
    """What painted, and on what it ran. All but the label is None for the input itself."""

    label: str  # the file's name without its suffix
    kind: PainterKind
    style: str | None = None
    preset: str | None = None  # of the network
    sha256: str | None = None  # of the graph, or of a peer's file
    backend: str | None = None
    library: str | None = None  # name and version
    device: str | None = None
    precision: str | None = None  # in which it computes
    threads: Whole | None = None  # as asked for
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames of a sequence."""

    first: Whole  # index of the earlier frame
    step: Whole  # the later one comes so many frames after
    flow: FlowKind
    visible: Positive  # share of the pixels that count, in [0, 1]
    occlusions: bool  # whether what the later frame hides is known; it always is for an estimated flow
    still: Positive = 0.0  # share of the pixels where the input stands still, in [0, 1]


@dataclass(frozen=True, slots=True)
class SequenceRecord:
    """A sequence and its pairs."""

    name: str
    height: Pixels
    width: Pixels
    frames: Whole
    unrelated: bool  # photos, of which no two make a pair
    pairs: tuple[Pair, ...]
    judged: tuple[Whole, ...]  # indices of the frames whose distances were taken
    perceived: tuple[Whole, ...] = ()  # indices of the pairs whose LPIPS was taken


@dataclass(frozen=True, slots=True)
class SequenceValues:
    """What one painter did on one sequence."""

    squared_errors: tuple[Positive, ...]  # of each pair, see `metric.squared_error`
    latency_ns: tuple[Duration, ...]  # of each frame; none for the input
    style: tuple[Positive, ...]  # style distance of each judged frame
    content: tuple[Positive, ...]  # content distance of each judged frame
    lpips: tuple[Positive, ...] = ()  # of each perceived pair, see `lpips`
    edges: tuple[Positive, ...] = ()  # of each pair's earlier frame, see `metric.edge_energy`
    changes: tuple[Positive, ...] = ()  # of each pair where the input stands still, of 255, see `metric.change_at`
    style_layers: tuple[tuple[Positive, ...], ...] = ()  # what each layer of VGG-19 adds to `style`


@dataclass(frozen=True, slots=True)
class PainterRecord:
    """One painter on all sequences."""

    info: PainterInfo
    warmup_ns: tuple[Whole, ...]  # frames that were painted before any counted
    values: tuple[SequenceValues, ...]  # in the order of the sequences


@dataclass(frozen=True, slots=True)
class Judges:
    """How style and content distances were taken."""

    vgg: str  # name of the weights file
    normalised_on: Whole  # photos; 0 where the file was taken as it is
    painting: str  # file name, or how many
    painting_size: Whole  # the painting's short side, pixels
    every: Whole  # each so many-th frame of a sequence was judged


@dataclass(frozen=True, slots=True)
class LpipsWeights:
    """How LPIPS was taken."""

    alexnet: str  # names of the weights files
    linear: str
    every: Whole  # of the pairs whose first frame is each so many-th


@dataclass(frozen=True, slots=True)
class TemporalSession:
    """One call: where it ran, on what, and what it measured."""

    environment: Environment
    steps: tuple[Whole, ...]
    judges: Judges | None
    sequences: tuple[SequenceRecord, ...]
    painters: tuple[PainterRecord, ...]  # the input first
    lpips: LpipsWeights | None = None

    def to_json(self) -> str:
        """The session as one JSON object."""
        return json.dumps({"format_version": FORMAT_VERSION, "kind": KIND, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """Read a session.

        Args:
            source: The file's name, for errors.

        Raises:
            ArtmirrorError: the text is no such session, or of a version that is not read here.
        """
        found = fitted_record(text, source, KIND, FORMAT_VERSION, "st-bench temporal", cls)
        for painter in found.painters:
            if len(painter.values) != len(found.sequences) or not all(
                _belong(*both) for both in zip(found.sequences, painter.values, strict=True)
            ):
                raise ArtmirrorError(
                    f"{source} is a damaged record of st-bench (the values of {painter.info.label[:80]} are not those "
                    "of its sequences); measure again"
                )
        return found


def write_temporal(session: TemporalSession, path: Path) -> None:
    """Write a session's JSON whole or not at all.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    write_text(session.to_json(), path)


def read_temporal(path: Path) -> TemporalSession:
    """Read what `write_temporal` wrote.

    Raises:
        ArtmirrorError: the file is missing, or holds no session of this version.
    """
    return TemporalSession.from_json(read_text(path, "st-bench temporal"), str(path))


def _belong(sequence: SequenceRecord, values: SequenceValues) -> bool:
    """Whether there is a value for each pair and each frame that was judged."""
    pairs = len(sequence.pairs)
    return (
        len(values.squared_errors) == pairs
        and len(values.edges) in (0, pairs)
        and len(values.changes) in (0, pairs)
        and len(values.latency_ns) in (0, sequence.frames)
        and len(values.style) in (0, len(sequence.judged))
        and len(values.style_layers) in (0, len(sequence.judged))
        and len(values.content) in (0, len(sequence.judged))
        and len(values.lpips) in (0, len(sequence.perceived))
        and all(index < sequence.frames for index in sequence.judged)
        and all(place < pairs for place in sequence.perceived)
        and all(pair.first + pair.step < sequence.frames for pair in sequence.pairs)
    )
