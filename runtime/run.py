"""One run from a source into sinks, as `st-run` does it: options become objects, handed to one pipeline."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.progress import show_frames, show_share
from artmirror.runtime.engines.open import Opened, open_for_show
from artmirror.runtime.formats.kind import read_any_manifest
from artmirror.runtime.gallery.paintings import Choice
from artmirror.runtime.gallery.palette import Palette
from artmirror.runtime.gallery.quality import AUTO, DEFAULT_TARGET_FPS, open_best
from artmirror.runtime.gallery.variants import FULL, find_variant, quality_of, steady_name, steady_twin
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.run_statistics import free_memory_bytes
from artmirror.runtime.sinks.base import Sink, SinkFormat
from artmirror.runtime.sinks.open import is_one_file_a_frame, open_sink
from artmirror.runtime.sources.open import is_camera, open_source, open_sources

if TYPE_CHECKING:
    from artmirror.runtime.engines.base import EngineInfo
    from artmirror.runtime.run_statistics import RunStatistics
    from artmirror.runtime.sources.base import Source

ON, OFF = "on", "off"
CHOICES = (AUTO, ON, OFF)

_MEMORY_FOR_PICTURES = 2_000_000_000  # bytes


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is asked for; `st-run --help` says what each means."""

    choice: Choice
    input_uri: str
    output_uris: tuple[str, ...]
    named_engine: bool = False  # the user named a file, which is taken as it is
    strength: float = 1.0
    keep_colours: bool = False
    size: tuple[int, int] | None = None  # (H, W)
    mirror: bool = False
    denoise: str = AUTO
    live: bool = False
    max_frames: int | None = None
    most_pixels: int | None = None
    quality: str | None = None
    steady: str = AUTO
    target_fps: float | None = None
    backend: str | None = None
    device: str | None = None
    threads: int | None = None
    memory: int | None = None  # bytes
    rebuild: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went."""

    statistics: "RunStatistics"
    failure: ArtmirrorError | None
    path: Path  # of the network that painted
    info: "EngineInfo"


class Engines:
    """Engines that stay open from one run to the next, the latest few of them; closed together.

    Args:
        most: How many at a time.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._opened: dict[object, Opened] = {}

    def get(self, key: object, open_one: Callable[[], Opened]) -> Opened:
        """The one of this key, opened where it is not there."""
        found = self._opened.pop(key, None) or open_one()
        self._opened[key] = found  # the latest is last
        while len(self._opened) > self._most:
            self._opened.pop(next(iter(self._opened))).engine.close()
        return found

    def close(self) -> None:
        """Close all."""
        for opened in self._opened.values():
            opened.engine.close()
        self._opened.clear()


def run(
    options: RunOptions,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda line: None,
    engines: Engines | None = None,
    quiet: bool = False,
) -> Outcome:
    """Paint a source into sinks.

    Args:
        stop: Asked for every frame.
        tell: Gets lines for people: what was chosen, and why.
        engines: Kept open for further runs; None opens and closes what is needed.
        quiet: No bar.

    Raises:
        ArtmirrorError: something cannot be opened. What fails later is in the outcome.
    """
    with ExitStack() as stack:
        kept = engines
        if kept is None:
            kept = Engines()
            stack.callback(kept.close)
        show = _Show(options, stop, tell, quiet)
        opened = None
        for source in _until_failure(_parts(options), show):
            stack.enter_context(closing(source))
            key = (options.choice.engine, options.quality, source.size, source.live, source.rate is None)
            opened = kept.get(key, partial(open_network, options, source, tell))
            if options.strength != 1 and not opened.engine.has_strength:
                raise ArtmirrorError(f"{opened.path} has no strength input; leave out --strength, or export it again")
            show.run(source, opened)
        assert opened is not None
        assert show.statistics is not None
        return Outcome(show.statistics, show.failure, opened.path, opened.engine.describe())


def _parts(options: RunOptions) -> "Iterator[Source]":
    """The source; pictures of several sizes as several, where each becomes a file of its own."""
    if all(is_one_file_a_frame(uri) for uri in options.output_uris):
        sources = open_sources(
            options.input_uri,
            size=options.size,
            mirror=options.mirror,
            live=options.live,
            max_frames=options.max_frames,
            most_pixels=options.most_pixels,
        )
        return (_without_noise(source, options, options.input_uri) for source in sources)
    return iter([open_frames(options, options.input_uri, options.size)])


def open_frames(options: RunOptions, uri: str, size: tuple[int, int] | None) -> "Source":
    """The source that `uri` names, for frames of `size` (H, W), without noise where that is wanted.

    Raises:
        ArtmirrorError: it cannot be opened.
    """
    source = open_source(
        uri,
        size=size,
        mirror=options.mirror,
        live=options.live,
        max_frames=options.max_frames,
        most_pixels=options.most_pixels,
    )
    return _without_noise(source, options, uri)


def _without_noise(source: "Source", options: RunOptions, uri: str) -> "Source":
    if source.rate is None or not (options.denoise == ON or (options.denoise == AUTO and is_camera(uri))):
        return source
    from artmirror.runtime.sources.denoised import DenoisedSource  # on use: it loads OpenCV

    return DenoisedSource(source)


def open_network(options: RunOptions, source: "Source", tell: Callable[[str], None]) -> Opened:
    """The named engine file, or the variant of its style that the quality asks for, for a source's frames.

    Raises:
        ArtmirrorError: it cannot be opened.
    """
    named = options.choice.engine

    def open_file(path: Path) -> Opened:
        return open_for_show(
            path,
            size=source.size,
            memory=options.memory or _memory_for(source),
            backend=options.backend,
            device=options.device,
            threads=options.threads,
            rebuild=options.rebuild,
        )

    quality = options.quality or _default_quality(options, source)
    if quality != AUTO:
        return open_file(_steady(find_variant(named, quality), options, source))
    rate = source.rate if source.live else None
    target_fps = options.target_fps or min(DEFAULT_TARGET_FPS, float(rate or DEFAULT_TARGET_FPS))
    wants_steady = _wants_steady(options, source)
    picked = open_best(named, open_file, target_fps=target_fps, live=source.live, steady=wants_steady)
    tell(picked.reason)
    return picked.opened


def _steady(path: Path, options: RunOptions, source: "Source") -> Path:
    """The file, or the one beside it that has a memory; pictures have nothing before them to remember."""
    twin = steady_twin(path)
    if options.steady == ON and twin is None and not read_any_manifest(path)[0].has_memory:
        raise ArtmirrorError(
            f"{path.name} has no memory from frame to frame, and there is no {steady_name(path)} beside it: "
            "take another style, leave out --steady on, or train one with st-train --memory"
        )
    return twin if twin is not None and _wants_steady(options, source) else path


def _wants_steady(options: RunOptions, source: "Source") -> bool:
    """By itself where a camera may stand: in a film that moves, a memory costs some of the style."""
    asked = options.steady == ON or (options.steady == AUTO and source.live and not options.named_engine)
    return asked and source.rate is not None


def _memory_for(source: "Source") -> int:
    """What a network may take: of what is free a quarter, and for single pictures, which have time, not much."""
    free = free_memory_bytes()
    share = _MEMORY_FOR_PICTURES if free is None else free // 4
    return min(share, _MEMORY_FOR_PICTURES) if source.rate is None else share


def _default_quality(options: RunOptions, source: "Source") -> str:
    """What was named; else a camera does not wait, while a file has time."""
    if options.target_fps:
        return AUTO
    named = quality_of(options.choice.engine)
    if options.named_engine or named != FULL:
        return named
    return AUTO if source.live else FULL


class _Show:
    """A source into the sinks, or several after each other, for pictures of several sizes."""

    def __init__(self, options: RunOptions, stop: Callable[[], bool], tell: Callable[[str], None], quiet: bool) -> None:
        self.statistics: RunStatistics | None = None
        self.failure: ArtmirrorError | None = None
        self.stop = stop
        self._options, self._tell, self._quiet = options, tell, quiet
        self._sinks: list[Sink] = []

    def run(self, source: "Source", opened: Opened) -> None:
        """Paint what the source gives."""
        engine = opened.engine
        if self._options.keep_colours:
            from artmirror.runtime.engines.keep_colours import KeepColours  # on use: it loads OpenCV

            engine = KeepColours(engine)
        palette = Palette(self._options.choice.paints(engine.manifest), self._options.strength)
        title = palette.title
        before = self.statistics
        try:
            if before is None:
                controls = palette if engine.has_strength or len(palette.titles) > 1 else None
                format = SinkFormat(
                    source.size,
                    source.rate,
                    source.frame_count,
                    source.tracks,
                    title,
                    source.files,
                    controls,
                    source.live,
                )
                for uri in self._options.output_uris:
                    self._sinks.append(open_sink(uri, format))
            first_id = 0 if before is None else before.frames_in
            pipeline = Pipeline(source, engine, self._sinks, look=palette.look, first_id=first_id)
        except ArtmirrorError:
            for sink in self._sinks:
                sink.discard()
            raise
        info = engine.describe()  # after the first run, which tells what the engine settled on
        height, width = info.size
        facts = ", ".join(filter(None, (info.library, info.device, info.precision, info.note)))
        if before is None or opened.tiled is not None:
            self._tell(f"{title} at {width}x{height} on {info.backend} ({facts}): {opened.reason}")
        if self._quiet:
            statistics = pipeline.run(should_stop=self.stop)
        else:
            with show_frames(source.frame_count) as observe, _show_share(source, opened) as observe_share:
                if opened.tiled is not None:
                    opened.tiled.observe = observe_share
                statistics = pipeline.run(should_stop=self.stop, observe=observe)
        self.statistics = statistics if before is None else before.followed_by(statistics)
        self.failure = self.failure or pipeline.failure


def _until_failure(sources: "Iterator[Source]", show: _Show) -> "Iterator[Source]":
    """The sources, as long as nobody stops; what cannot be opened after the first is a failure at the end."""
    while not (show.stop() and show.statistics is not None):
        try:
            source = next(sources, None)
        except ArtmirrorError as error:
            if show.statistics is None:
                raise
            show.failure = show.failure or error
            return
        if source is None:
            return
        yield source


def _show_share(source: "Source", opened: Opened) -> AbstractContextManager[Callable[[float], None]]:
    return show_share(opened.tiled is not None and source.frame_count == 1)
