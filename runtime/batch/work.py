"""One task: one file painted in `st-run`'s own way, written beside its name and renamed."""

import os
import socket
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from artmirror.runtime.batch.storage import fetched, put_when_whole, stamp_of
from artmirror.runtime.batch.tasks import BatchSettings, Task
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.gallery.paintings import Choice, choose
from artmirror.runtime.run import Engines, RunOptions, run

_MOST_ENGINES = 4  # open at a time: files of the same size share one
_engines = Engines(_MOST_ENGINES)


@dataclass(frozen=True, slots=True)
class Done:
    """What a task left behind."""

    input_bytes: int
    input_mtime_ns: int
    input_sha256: str
    output_sha256: str
    frames: int
    began: float  # seconds since 1970
    seconds: float
    worker: str


def paint(task: Task, settings: BatchSettings, max_frames: int | None = None) -> Done:
    """Paint one file. Runs in a process of its own; engines stay open for the next task there.

    Raises:
        ArtmirrorError: the file cannot be read, painted or written; nothing is left that is not whole.
    """
    began, began_s = time.time(), time.monotonic()
    size_bytes, mtime_ns = stamp_of(task.input)
    with fetched(task.input) as source, put_when_whole(task.output) as target:
        outcome = run(
            RunOptions(
                choice=_choice(settings),
                input_uri=str(source),
                output_uris=(str(target),) if max_frames is None else ("null:",),
                named_engine=settings.engine is not None,
                strength=settings.strength,
                keep_colours=settings.keep_colours,
                size=settings.size,
                max_frames=max_frames,
                quality=settings.quality,
                backend=settings.backend,
                device=settings.device,
                threads=settings.threads,
                memory=settings.memory,
            ),
            engines=_engines,
            quiet=True,
        )
        if outcome.failure is not None:
            raise outcome.failure
        if not outcome.statistics.frames_out:
            raise ArtmirrorError(f"{task.name} holds no picture")
        return Done(
            input_bytes=size_bytes,
            input_mtime_ns=mtime_ns,
            input_sha256=file_sha256(source),
            output_sha256=file_sha256(target) if max_frames is None else "",
            frames=outcome.statistics.frames_out,
            began=began,
            seconds=time.monotonic() - began_s,
            worker=f"{socket.gethostname()}:{os.getpid()}",
        )


@cache
def _choice(settings: BatchSettings) -> Choice:
    """Paintings are encoded once a process."""
    engine = Path(settings.engine) if settings.engine else None
    return choose(engine, settings.styles, [Path(painting) for painting in settings.paintings])
