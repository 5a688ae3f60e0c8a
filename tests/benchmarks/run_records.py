"""What `st-bench temporal` writes of runs, with figures that are round."""

from artmirror.benchmarks.records.temporal import (
    Judges,
    PainterInfo,
    PainterRecord,
    Pair,
    SequenceRecord,
    SequenceValues,
    TemporalSession,
)
from tests.benchmarks.fakes import make_environment

_PAIRS = (Pair(0, 1, "dis", 1.0, True), Pair(1, 1, "dis", 1.0, True), Pair(0, 5, "dis", 1.0, True))


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
