"""Records of st-bench whose figures are round."""

from dataclasses import fields, replace

from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.speed import Record, Round, Samples, Sensed, Start, StartRecord, Subject
from artmirror.benchmarks.records.temporal import (
    Judges,
    PainterInfo,
    PainterRecord,
    Pair,
    SequenceRecord,
    SequenceValues,
    TemporalSession,
)

_PAIRS = (Pair(0, 1, "dis", 1.0, True), Pair(1, 1, "dis", 1.0, True), Pair(0, 5, "dis", 1.0, True))


def make_round(frame_ms: float, latency_ms: list[float] | None = None, sensed: Sensed | None = None) -> Round:
    """Return a round of ten frames, `frame_ms` apart, after warm-up frames that took far longer."""
    latency_ns = tuple(round(value * 1e6) for value in latency_ms or [frame_ms] * 10)
    return Round(
        warmup=Samples(completed_ns=(900_000_000, 1_800_000_000), latency_ns=(900_000_000, 900_000_000)),
        measured=Samples(
            completed_ns=tuple(round(frame_ms * 1e6) * (index + 1) for index in range(10)), latency_ns=latency_ns
        ),
        sensed=sensed,
    )


def make_record(*rounds: Round, **changes: object) -> Record:
    """Return an engine-only record of `rounds`."""
    record = Record(
        engine="starry",
        style="starry",
        preset="tiny",
        graph_sha256="abc",
        backend="openvino",
        library="openvino 1",
        device="a processor",
        precision="bf16",
        height=360,
        width=640,
        threads=None,
        scenario="engine",
        source=None,
        rounds=rounds,
        peak_rss_bytes=200_000_000,
    )
    return replace(record, **changes)


def make_start(total_ms: int, **changes: object) -> Start:
    """Return a start whose stages take nothing, a tenth, two tenths, three and four of `total_ms`."""
    tenth_ns = total_ms * 100_000
    start = Start(0, tenth_ns, 2 * tenth_ns, 3 * tenth_ns, 4 * tenth_ns, 150_000_000, None)
    return replace(start, **changes)


def make_start_record(cold: tuple[Start, ...], cached: tuple[Start, ...], **changes: object) -> StartRecord:
    """Return the starts of the engine of `make_record`."""
    same = {entry.name: getattr(make_record(), entry.name) for entry in fields(Subject)}
    return replace(StartRecord(**same, frames=10, cache_bytes=1000, cold=cold, cached=cached), **changes)


def make_environment() -> Environment:
    """Return an environment that is nobody's."""
    return Environment(
        artmirror="0.1.0",
        commit=None,
        python="CPython 3.11.0",
        os="Linux",
        cpu="a processor",
        cores=2,
        libraries={"numpy": "2.0"},
        time="2026-01-01T00:00:00+00:00",
        load_average_1min=0.5,
    )


def make_painter(label: str, error: float, style: float) -> PainterRecord:
    """Return a painter with e_stab `error`, twice that at step 5, style `style` and a half, and content 5."""
    return PainterRecord(
        PainterInfo(label, "input" if label == "input" else "engine"),
        (),
        (SequenceValues((error**2, error**2, (2 * error) ** 2), (), (style, style + 1), (5.0, 5.0)),),
    )


def make_temporal(*painters: PainterRecord) -> TemporalSession:
    """Return a session of `painters` on one sequence."""
    return TemporalSession(
        environment=make_environment(),
        steps=(1, 5),
        judges=Judges("vgg", 0, "painting.jpg", 384, 24),
        sequences=(SequenceRecord("shot", 360, 640, 6, False, _PAIRS, (0, 5)),),
        painters=painters,
    )
