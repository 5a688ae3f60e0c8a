"""`st-run`: a source, an engine, sinks. Options become objects, handed to one pipeline."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, StopOnSignals, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.option_types import BytesType, CameraType, SizeType
from artmirror.runtime.common.progress import show_frames, show_share
from artmirror.runtime.engines.devices import list_devices
from artmirror.runtime.engines.open import BACKENDS, Opened, open_for_show
from artmirror.runtime.gallery.bundled import DEFAULT_STYLE, styles_folder
from artmirror.runtime.gallery.paintings import Choice, choose, listed
from artmirror.runtime.gallery.palette import Palette
from artmirror.runtime.gallery.quality import AUTO, DEFAULT_TARGET_FPS, MARGIN, open_best
from artmirror.runtime.gallery.variants import FULL, QUALITIES, find_variant, quality_of
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.run_statistics import free_memory_bytes, peak_rss_bytes
from artmirror.runtime.sinks.base import Sink, SinkFormat
from artmirror.runtime.sinks.open import PIPES, display_available, is_one_file_a_frame, open_sink
from artmirror.runtime.sources.open import open_source, open_sources

if TYPE_CHECKING:
    from artmirror.runtime.engines.base import EngineInfo
    from artmirror.runtime.run_statistics import RunStatistics
    from artmirror.runtime.sources.base import Source


_MEMORY_FOR_PICTURES = 2_000_000_000  # bytes


def _list_devices(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from rich.console import Console  # here and below on use: a show needs none of it
    from rich.table import Table

    rows, missing = list_devices()
    table = Table("--device", "name", "back ends")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    for reason in missing:
        click.echo(f"Vulkan: {reason}", err=True)
    ctx.exit()


def _list_styles(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("style", "title", "artist", "year", "quality")
    for style in listed():
        table.add_row(style.name, style.title, style.artist, style.year, " ".join(style.qualities))
    console = Console()
    console.print(table)
    console.print(f"What they paint: {styles_folder() / '*.jpg'}", highlight=False, soft_wrap=True)
    ctx.exit()


@cloup.command(
    "st-run",
    cls=Command,
    examples=(
        "st-run",
        "st-run --style wave --camera 1",
        "st-run --painting holiday.jpg --camera 0",
        "st-run --style starry --input clip.mp4 -o painted.mp4",
        "st-run --engine starry.onnx --input photos/ -o painted/ --strength 0.6",
    ),
)
@cloup.option_group(
    "Used first",
    cloup.option(
        "--camera",
        type=CameraType(),
        help="Camera number, or its device such as /dev/video0.  [default: 0, without --input]",
    ),
    cloup.option(
        "--input",
        "input_uri",
        metavar="URI",
        help="Video file, picture, folder of pictures, stream URL, - for what is piped in, or synthetic:640x360@60 "
        "for a test picture.",
    ),
    cloup.option(
        "-o",
        "--output",
        "output_uris",
        multiple=True,
        metavar="URI",
        help="Video file, picture, folder of pictures (ending in /), window:, null:, camera: (one that other programs "
        "see), a stream (rtsp://..., udp://..., NAME.m3u8), pipe: (Matroska to another "
        "program) or pipe:raw (its pixels); may be given more than once.  "
        "[default: window:]",
    ),
    cloup.option(
        "--painting",
        "paintings",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="PICTURE",
        help="Paint as in this picture, at once, without training. More of them, or a folder, are gone through with "
        "the keys n and p.",
    ),
    cloup.option(
        "--style",
        "styles",
        multiple=True,
        metavar="NAME|FILE",
        help="Bundled style, or FILE.style of st-train. With weights several are mixed: --style starry:0.7 --style "
        f"wave:0.3.  [default: {DEFAULT_STYLE}]",
    ),
    cloup.option("--engine", type=click.Path(path_type=Path), metavar="FILE", help="Network written by st-export."),
    cloup.option(
        "--strength", type=click.FloatRange(0, 1), default=1.0, help="0 is the camera picture, 1 the full style."
    ),
    cloup.option("--keep-colours", is_flag=True, help="Light and shade of the painting, colours of the camera."),
    cloup.option("--size", type=SizeType(), help="Size of the frames, cropped to fit.  [default: the source's own]"),
    cloup.option("--mirror", is_flag=True, help="Flip left and right, as a mirror does."),
    cloup.option(
        "--quality",
        type=click.Choice([*QUALITIES, AUTO]),
        help="Variant of the style, such as starry-lite.onnx beside starry.onnx.  auto: the best that holds the "
        "target FPS here.  [default: auto for a camera or a stream, full for files; an --engine FILE as it is]",
    ),
    cloup.option("--max-frames", type=click.IntRange(1), metavar="N", help="Stop after N frames of the source."),
)
@cloup.option_group(
    "Speed",
    cloup.option(
        "--target-fps",
        type=click.FloatRange(0, min_open=True),
        metavar="FPS",
        help=f"What --quality auto has to hold, with {MARGIN - 1:.0%} to spare.  "
        f"[default: {DEFAULT_TARGET_FPS:g}, or the rate of a slower camera or stream]",
    ),
    cloup.option("--live", is_flag=True, help="Play a file at its own rate and drop frames, as if it were a camera."),
    cloup.option(
        "--backend",
        type=click.Choice(BACKENDS),
        help="Library that runs the network.  [default: tensorrt for a .plan, ncnn for a .ncnn.param, else openvino, "
        "or onnxruntime on a GPU]",
    ),
    cloup.option(
        "--device",
        metavar="NAME",
        help="cpu, cuda, cuda:N, vulkan, vulkan:N or vulkan:PART-OF-NAME.  "
        "[default: cuda for a .plan, vulkan for a .ncnn.param, else cpu]",
    ),
    cloup.option(
        "--memory",
        type=BytesType(),
        metavar="SIZE",
        help="What the network may take; larger frames are painted in tiles.  [default: a quarter of what is free, and "
        "for pictures at most 2 GB]",
    ),
    cloup.option(
        "--max-megapixels",
        type=click.IntRange(1),
        help="Larger pictures are refused before they are decoded.  [default: 200]",
    ),
    cloup.option("--threads", type=click.IntRange(1), help="Processor threads.  [default: the library chooses]"),
    cloup.option("--rebuild", is_flag=True, help="Build a .plan that does not fit again, from the .onnx beside it."),
)
@cloup.option_group(
    "What there is, and figures",
    cloup.option(
        "--list-styles",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_list_styles,
        help="Show the bundled styles and stop.",
    ),
    cloup.option(
        "--list-devices",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_list_devices,
        help="Show what --device can name here and stop.",
    ),
    cloup.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout."),
)
@common_options("st-run")
def main(**options: Any) -> None:
    """Paint a camera, a video, or pictures in a style, live.

    Without options it opens the first camera, in the style of The Starry Night.

    In the window: q quits, f toggles full screen, h hides the line, s saves a picture; n and p go to the next and the
    previous painting, + and - change the strength.
    """
    source_uri, output_uris = _check_usage(options)
    choice_of_style = choose(options["engine"], options["styles"], options["paintings"])
    named = choice_of_style.engine
    with ExitStack() as stack, StopOnSignals() as signals:
        choice = {name: options[name] for name in ("size", "mirror", "live", "max_frames")}
        choice["most_pixels"] = options["max_megapixels"] and options["max_megapixels"] * 1_000_000
        # Each picture keeps its size where it becomes a file of its own.
        parted = all(is_one_file_a_frame(uri) for uri in output_uris)
        parts = open_sources(source_uri, **choice) if parted else iter([open_source(source_uri, **choice)])
        show = _Show(output_uris, options, signals, choice_of_style)
        for source in _until_failure(parts, show):
            stack.enter_context(closing(source))
            opened = show.engines.get(source.size) or _open(named, source, options)
            if source.size not in show.engines:
                stack.enter_context(closing(opened.engine))
                show.engines[source.size] = opened
            if options["strength"] != 1 and not opened.engine.has_strength:
                raise ArtmirrorError(f"{opened.path} has no strength input; leave out --strength, or export it again")
            show.run(source, opened)
        info = opened.engine.describe()
    statistics, failure = show.statistics, show.failure
    assert statistics is not None
    # What goes into a pipe must be the film alone.
    _report(statistics, opened.path, info, options, err=any(uri in PIPES for uri in output_uris))
    if failure is not None:
        raise failure
    if signals.asked:
        sys.exit(EXIT_INTERRUPTED)


def _check_usage(options: dict[str, Any]) -> tuple[str, list[str]]:
    """The source's and the sinks' URIs."""
    if options["camera"] is not None and options["input_uri"] is not None:
        raise click.UsageError("one source is wanted: --camera N or --input URI")
    if options["target_fps"] and options["quality"] not in (None, AUTO):
        raise click.UsageError(f"--target-fps is for --quality auto, not for {options['quality']}: leave out one")
    source_uri = f"camera:{options['camera'] or 0}" if options["input_uri"] is None else options["input_uri"]
    output_uris = list(options["output_uris"])
    if not output_uris:
        if not display_available():
            raise click.UsageError("there is no display for a window: name an --output, such as painted.mp4 or null:")
        output_uris = ["window:"]
    if options["as_json"] and any(uri in PIPES for uri in output_uris):
        raise click.UsageError("--json and a pipe both write to the standard output; leave out one")
    twice = [uri for place, uri in enumerate(output_uris) if _place(uri) in map(_place, output_uris[:place])]
    if twice:
        raise click.UsageError(f"{twice[0]} is named twice as an output; leave out one, or name another file")
    return source_uri, output_uris


def _place(uri: str) -> str:
    """What a sink's name leads to: two names of one file are the same."""
    if uri in PIPES:
        return PIPES[0]
    return uri if uri in ("null:", "window:") else str(Path(uri).expanduser().resolve())


def _open(named: Path, source: "Source", options: dict[str, Any]) -> Opened:
    """The named engine file, or the variant of its style that `--quality` asks for."""

    def open_file(path: Path) -> Opened:
        choice = {name: options[name] for name in ("backend", "device", "threads", "rebuild")}
        return open_for_show(path, size=source.size, memory=options["memory"] or _memory_for(source), **choice)

    quality = options["quality"] or _default_quality(named, source, options)
    if quality != AUTO:
        return open_file(find_variant(named, quality))
    rate = source.rate if source.live else None
    target_fps = options["target_fps"] or min(DEFAULT_TARGET_FPS, float(rate or DEFAULT_TARGET_FPS))
    picked = open_best(named, open_file, target_fps=target_fps, live=source.live)
    click.echo(picked.reason, err=True)
    return picked.opened


def _memory_for(source: "Source") -> int:
    """What a network may take: of what is free a quarter, and for single pictures, which have time, not much."""
    free = free_memory_bytes()
    share = _MEMORY_FOR_PICTURES if free is None else free // 4
    return min(share, _MEMORY_FOR_PICTURES) if source.rate is None else share


def _default_quality(named: Path, source: "Source", options: dict[str, Any]) -> str:
    """What was named; else a camera does not wait, while a file has time."""
    if options["target_fps"]:
        return AUTO
    if options["engine"] or quality_of(named) != FULL:
        return quality_of(named)
    return AUTO if source.live else FULL


class _Show:
    """One run of the command: a source into the sinks, or several after each other, for pictures of several sizes."""

    def __init__(self, output_uris: list[str], options: dict[str, Any], signals: StopOnSignals, choice: Choice) -> None:
        self.engines: dict[tuple[int, int], Opened] = {}
        self.statistics: RunStatistics | None = None
        self.failure: ArtmirrorError | None = None
        self._output_uris, self._options, self.signals, self._choice = output_uris, options, signals, choice
        self._sinks: list[Sink] = []

    def run(self, source: "Source", opened: Opened) -> None:
        """Paint what the source gives."""
        engine = opened.engine
        if self._options["keep_colours"]:
            from artmirror.runtime.engines.keep_colours import KeepColours  # on use: it loads OpenCV

            engine = KeepColours(engine)
        palette = Palette(self._choice.paints(engine.manifest), self._options["strength"])
        title = palette.title
        before = self.statistics
        try:
            if before is None:
                controls = palette if engine.has_strength or len(palette.titles) > 1 else None
                format = SinkFormat(
                    source.size, source.rate, source.frame_count, source.tracks, title, source.files, controls
                )
                for uri in self._output_uris:
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
            click.echo(f"{title} at {width}x{height} on {info.backend} ({facts}): {opened.reason}", err=True)
        with show_frames(source.frame_count) as observe, _show_share(source, opened) as observe_share:
            if opened.tiled is not None:
                opened.tiled.observe = observe_share
            statistics = pipeline.run(should_stop=lambda: self.signals.asked, observe=observe)
        self.statistics = statistics if before is None else before.followed_by(statistics)
        self.failure = self.failure or pipeline.failure


def _until_failure(sources: "Iterator[Source]", show: _Show) -> "Iterator[Source]":
    """The sources, as long as nobody stops; what cannot be opened after the first is a failure at the end."""
    while not show.signals.asked:
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


def _report(
    statistics: "RunStatistics", engine_path: Path, info: "EngineInfo", options: dict[str, Any], *, err: bool
) -> None:
    latency_ms = statistics.latency_ms()
    memory = peak_rss_bytes()
    size = f"{info.size[1]}x{info.size[0]}"
    line = (
        f"{statistics.frames_out} frames at {size}: {statistics.fps:.1f} FPS "
        f"(engine alone {statistics.engine_fps:.1f}), {statistics.frames_dropped} dropped"
    )
    if latency_ms["p50"] is not None:
        line += f", latency {latency_ms['p50']:.0f} ms (p95 {latency_ms['p95']:.0f})"
    if memory is not None:
        line += f", {memory / 1e6:.0f} MB"
    click.echo(line, err=err)
    if options["as_json"]:
        record = {
            "frames_in": statistics.frames_in,
            "frames_out": statistics.frames_out,
            "frames_dropped": statistics.frames_dropped,
            "fps": statistics.fps,
            "engine_fps": statistics.engine_fps,
            "latency_ms": latency_ms,
            "deepest_queue": statistics.deepest_queue,
            "peak_rss_bytes": memory,
            "engine": str(engine_path),
            "quality": quality_of(engine_path),
            "backend": info.backend,
            "device": info.device,
            "precision": info.precision,
            "size": size,
        }
        click.echo(json.dumps(record))


if __name__ == "__main__":
    main()
