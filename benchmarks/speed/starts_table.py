"""Shows starts and their memory: pure functions from records to a table and its notes."""

from collections.abc import Iterator, Sequence
from statistics import median

from artmirror.benchmarks.grid import Grid
from artmirror.benchmarks.records.measuring import BUSY_SPREAD
from artmirror.benchmarks.records.speed import Session, Start
from artmirror.benchmarks.speed.summary import STAGES, stage_ms, start_ms

_HEADS = {
    "interpreter": "Python",
    "import": "import",
    "read": "read",
    "compile": "compile",
    "first_frame": "first\nframe",
}


def starts_grid(session: Session) -> Grid:
    """Two rows for each engine: medians over its cold and its cached starts, and the most memory of any of them."""
    several = len({(record.height, record.width) for record in session.starts}) > 1
    gpu = any(_most(record.cold, "device_bytes") is not None for record in session.starts)
    rows = []
    for record in session.starts:
        for word, starts in (("cold", record.cold), ("cached", record.cached)):
            totals_ms = [start_ms(start) for start in starts]
            busy = (max(totals_ms) - min(totals_ms)) / median(totals_ms) > BUSY_SPREAD
            rows.append(
                (
                    record.engine,
                    f"{record.backend} {record.precision}",
                    *([f"{record.width}x{record.height}"] * several),
                    word,
                    f"{median(totals_ms):.0f}{'~' if busy else ''}",
                    *(f"{stage_ms(starts, stage):.0f}" for stage in STAGES),
                    _megabytes(_most(starts, "peak_rss_bytes")),
                    *([_megabytes(_most(starts, "device_bytes"))] if gpu else []),
                )
            )
    words = ("engine", "backend", *["size"] * several, "start")
    header = (*words, "ms", *_HEADS.values(), "MB", *["GPU\nMB"] * gpu)
    return Grid("Start-up and memory", header, tuple(rows), texts=len(words))


def start_notes(session: Session) -> Iterator[str]:
    """What a reader of the table has to know, a line each."""
    yield (
        "start: from a fresh process to its first painted frame, medians, ms; cold: nothing that was compiled before "
        "is at hand, cached: with what a cold start left; files may be in the system's memory both times"
    )
    keeps_none = dict.fromkeys(record.backend for record in session.starts if not record.cache_bytes)
    for backend in keeps_none:
        yield f"{backend} keeps nothing that it compiled: its cached starts are cold ones too"
    frames = session.starts[0].frames
    gpu = any(_most(record.cold, "device_bytes") is not None for record in session.starts)
    on_gpu = "what is in use on all GPUs then, less what was before" if gpu else "not available"
    yield (
        f"MB: peak memory of that process after {frames} frames more from a test picture to nowhere; "
        f"memory on a GPU: {on_gpu}"
    )


def _most(starts: Sequence[Start], name: str) -> int | None:
    return max((value for start in starts if (value := getattr(start, name)) is not None), default=None)


def _megabytes(value_bytes: int | None) -> str:
    return "-" if value_bytes is None else f"{value_bytes / 1e6:.0f}"
