"""Several sources at once, each into its own sink, painted by one engine in turn."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import Engine, EngineInfo
from artmirror.runtime.engines.shared import SharedEngine
from artmirror.runtime.gallery.palette import Palette
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.run import OFF, RunOptions, open_frames, open_network
from artmirror.runtime.run_statistics import RunStatistics
from artmirror.runtime.sinks.base import Sink, SinkFormat
from artmirror.runtime.sinks.open import open_sink
from artmirror.runtime.sources.base import Source

_WATCH_S = 0.1


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """How one stream went."""

    input_uri: str
    output_uri: str
    statistics: RunStatistics
    failure: ArtmirrorError | None


def run_streams(
    options: RunOptions,
    pairs: Sequence[tuple[str, str]],
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[list[StreamOutcome], EngineInfo]:
    """Paint each source into its sink until all have ended. One that fails ends no other.

    Args:
        options: Of all alike; its input and outputs are not looked at. All frames get the size of the first source's
            where none is asked for.
        pairs: Input and output of each.

    Raises:
        ArtmirrorError: something cannot be opened; then nothing is painted.
    """
    with ExitStack() as stack:
        sources: list[Source] = []
        size = options.size
        for input_uri, _ in pairs:
            source = open_frames(options, input_uri, size)
            stack.enter_context(closing(source))
            sources.append(source)
            size = source.size
        # A memory knows one stream; each would need a network of its own.
        opened = open_network(replace(options, steady=OFF), sources[0], tell)
        if opened.engine.manifest.has_memory:
            opened.engine.close()
            raise ArtmirrorError(f"{opened.path.name} has a memory, which knows one stream: take the file without")
        shared = stack.enter_context(closing(SharedEngine(opened.engine)))
        palette = Palette(options.choice.paints(opened.engine.manifest), options.strength)
        sinks: list[Sink] = []
        pipelines = []
        try:
            for source, (_, output_uri) in zip(sources, pairs, strict=True):
                form = SinkFormat(
                    source.size,
                    source.rate,
                    source.frame_count,
                    source.tracks,
                    palette.title,
                    source.files,
                    live=source.live,
                )
                sinks.append(open_sink(output_uri, form))
                pipelines.append(Pipeline(source, _lane(shared, options), sinks[-1:], look=palette.look))
        except ArtmirrorError:
            for sink in sinks:
                sink.discard()
            raise
        info = opened.engine.describe()
        tell(
            f"{len(pairs)} streams in {palette.title} at {info.size[1]}x{info.size[0]} on {info.backend} "
            f"({info.device}, {info.precision}): {opened.reason}"
        )
        return _all_at_once(pipelines, pairs, stop), info


def _lane(shared: SharedEngine, options: RunOptions) -> Engine:
    if not options.keep_colours:
        return shared.lane()
    from artmirror.runtime.engines.keep_colours import KeepColours  # on use: it loads OpenCV

    return KeepColours(shared.lane())


def _all_at_once(
    pipelines: Sequence[Pipeline], pairs: Sequence[tuple[str, str]], stop: Callable[[], bool]
) -> list[StreamOutcome]:
    done: dict[int, RunStatistics] = {}
    ending = threading.Event()

    def work(place: int) -> None:
        done[place] = pipelines[place].run(should_stop=ending.is_set)

    threads = [threading.Thread(target=work, args=(place,), name=f"stream {place}") for place in range(len(pipelines))]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            if stop():
                ending.set()
            for thread in threads:
                thread.join(_WATCH_S / len(threads))
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    return [
        StreamOutcome(*pairs[place], done[place], pipeline.failure)
        for place, pipeline in enumerate(pipelines)
        if place in done
    ]
