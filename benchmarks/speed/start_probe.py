"""A process that starts as st-run does, paints one frame, then some more, and tells when it did what.

`starts` runs it, with what it shall open as JSON in its only argument.
"""

import time

_FIRST_LINE_NS = time.monotonic_ns()  # before anything that takes time is imported

import json  # noqa: E402
import sys  # noqa: E402
from contextlib import closing  # noqa: E402
from dataclasses import asdict, dataclass  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from artmirror.runtime.engines.base import Engine


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be started."""

    path: str
    height: int
    width: int
    backend: str | None
    device: str | None
    threads: int | None
    full_precision: bool
    frames: int  # after the first


@dataclass(frozen=True, slots=True)
class Moments:
    """Values of `time.monotonic_ns`, which all processes of a machine share, and what was taken at the end."""

    first_line_ns: int
    imported_ns: int
    read_ns: int
    compiled_ns: int
    painted_ns: int
    peak_rss_bytes: int | None
    device_used_bytes: int | None  # on all GPUs, by whomever; None without a GPU


def start(request: Request) -> Moments:
    """Open the engine and paint.

    Raises:
        ArtmirrorError: as `engines.open_engine`.
    """
    import artmirror.runtime.cli
    import artmirror.runtime.sources.synthetic  # noqa: F401  # st-run imports a source when it opens it
    from artmirror.benchmarks.speed.gpu_sensors import open_gpus
    from artmirror.runtime.engines.base import stylize
    from artmirror.runtime.engines.open import choose_backend, open_engine
    from artmirror.runtime.run_statistics import peak_rss_bytes

    path = Path(request.path)
    choice = choose_backend(path, request.backend, request.device)
    # With its library, which is most of it. What `open_engine` imports on top takes no time any more.
    import_module(f"artmirror.runtime.engines.{choice.backend.partition('-')[0]}")
    imported_ns = time.monotonic_ns()
    _read(path)
    read_ns = time.monotonic_ns()
    engine = open_engine(
        path,
        size=(request.height, request.width),
        backend=request.backend,
        device=request.device,
        threads=request.threads,
        full_precision=request.full_precision,
    )
    compiled_ns = time.monotonic_ns()
    with closing(engine):
        (slot,) = engine.allocate(1)
        slot.frame[:] = 128
        stylize(engine, slot)
        painted_ns = time.monotonic_ns()
        _paint_more(engine, request)
        gpus = open_gpus() if choice.device == "cuda" else None
        return Moments(
            first_line_ns=_FIRST_LINE_NS,
            imported_ns=imported_ns,
            read_ns=read_ns,
            compiled_ns=compiled_ns,
            painted_ns=painted_ns,
            peak_rss_bytes=peak_rss_bytes(),
            device_used_bytes=None if gpus is None else gpus.used_bytes(),
        )


def _read(path: Path) -> None:
    """Read the file and its manifest, as opening it does first of all."""
    from artmirror.runtime.formats.kind import read_any_manifest

    read_any_manifest(path)


def _paint_more(engine: "Engine", request: Request) -> None:
    """Run the pipeline, so that the memory is what a running show has."""
    from artmirror.runtime.pipeline import Pipeline
    from artmirror.runtime.sinks.null import NullSink
    from artmirror.runtime.sources.open import open_source

    source = open_source(f"synthetic:{request.width}x{request.height}", size=None, max_frames=request.frames)
    pipeline = Pipeline(source, engine, [NullSink()])
    pipeline.run()
    if pipeline.failure is not None:
        raise pipeline.failure


def main() -> None:
    """Print the moments as one line of JSON, the last one; or a failure in one line."""
    from artmirror.runtime.common.errors import ArtmirrorError

    try:
        moments = start(Request(**json.loads(sys.argv[1])))
    except ArtmirrorError as error:
        sys.exit(error.message)
    sys.stdout.write(f"{json.dumps(asdict(moments))}\n")


if __name__ == "__main__":
    main()
