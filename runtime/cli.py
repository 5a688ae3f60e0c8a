"""`st-run`: a source, an engine, sinks."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, StopOnSignals, common_options
from artmirror.runtime.common.option_types import BytesType, CameraType, SizeType
from artmirror.runtime.engines.devices import list_devices
from artmirror.runtime.engines.open import BACKENDS
from artmirror.runtime.gallery.bundled import DEFAULT_STYLE, styles_folder
from artmirror.runtime.gallery.paintings import choose, listed
from artmirror.runtime.gallery.quality import AUTO, DEFAULT_TARGET_FPS, MARGIN
from artmirror.runtime.gallery.variants import QUALITIES, quality_of
from artmirror.runtime.run import CHOICES, RunOptions, run
from artmirror.runtime.run_statistics import peak_rss_bytes
from artmirror.runtime.sinks.open import PIPES, display_available

if TYPE_CHECKING:
    from artmirror.runtime.engines.base import EngineInfo
    from artmirror.runtime.run_statistics import RunStatistics


_AS_THEY_ARE = (  # options that a run takes as the command line has them
    *("strength", "keep_colours", "size", "mirror", "denoise", "live", "max_frames", "quality", "steady", "target_fps"),
    *("backend", "device", "threads", "memory", "rebuild"),
)


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
        "st-run --input rtsp://one/a --input rtsp://one/b -o rtsp://one/a-painted -o rtsp://one/b-painted",
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
        "input_uris",
        multiple=True,
        metavar="URI",
        help="Video file, picture, folder of pictures, stream URL, - for what is piped in, or synthetic:640x360@60 "
        "for a test picture. Several are painted at once, each into the --output of its place.",
    ),
    cloup.option(
        "-o",
        "--output",
        "output_uris",
        multiple=True,
        metavar="URI",
        help="Video file, picture, folder of pictures (ending in /), window:, null:, camera: (one that other programs "
        "see), ndi:NAME, a stream (rtsp://..., udp://..., NAME.m3u8), pipe: (Matroska to another "
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
    cloup.option(
        "--engine",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Network written by st-export; or strokes: for brush strokes without a network.",
    ),
    cloup.option(
        "--strength", type=click.FloatRange(0, 1), default=1.0, help="0 is the camera picture, 1 the full style."
    ),
    cloup.option("--keep-colours", is_flag=True, help="Light and shade of the painting, colours of the camera."),
    cloup.option("--size", type=SizeType(), help="Size of the frames, cropped to fit.  [default: the source's own]"),
    cloup.option("--mirror", is_flag=True, help="Flip left and right, as a mirror does."),
    cloup.option(
        "--denoise",
        type=click.Choice(CHOICES),
        default=AUTO,
        help="Take a sensor's noise out of what stands still. auto: of cameras.",
    ),
    cloup.option(
        "--quality",
        type=click.Choice([*QUALITIES, AUTO]),
        help="Variant of the style, such as starry-lite.onnx beside starry.onnx.  auto: the best that holds the "
        "target FPS here, in INT8 where only that does.  [default: auto for a camera or a stream, full for files; an "
        "--engine FILE as it is]",
    ),
    cloup.option(
        "--steady",
        type=click.Choice(CHOICES),
        default=AUTO,
        help="Paint with an earlier picture in mind, so that what stands still stands still. auto: of cameras and "
        "streams, where the style has such a file, NAME-steady.onnx.",
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
    source_uris, output_uris = _check_usage(options)
    most = options["max_megapixels"]
    asked = RunOptions(
        choice=choose(options["engine"], options["styles"], options["paintings"]),
        input_uri=source_uris[0],
        output_uris=tuple(output_uris),
        named_engine=options["engine"] is not None,
        most_pixels=most and most * 1_000_000,
        **{name: options[name] for name in _AS_THEY_ARE},
    )
    if len(source_uris) > 1:
        _run_several(asked, list(zip(source_uris, output_uris, strict=True)), options["as_json"])
        return
    with StopOnSignals() as signals:
        outcome = run(asked, stop=lambda: signals.asked, tell=lambda line: click.echo(line, err=True))
    # What goes into a pipe must be the film alone.
    _report(outcome.statistics, outcome.path, outcome.info, options, err=any(uri in PIPES for uri in output_uris))
    if outcome.failure is not None:
        raise outcome.failure
    if signals.asked:
        sys.exit(EXIT_INTERRUPTED)


def _run_several(asked: RunOptions, pairs: list[tuple[str, str]], as_json: bool) -> None:
    from artmirror.runtime.streams import run_streams

    with StopOnSignals() as signals:
        streams, info = run_streams(
            asked, pairs, stop=lambda: signals.asked, tell=lambda line: click.echo(line, err=True)
        )
    for stream in streams:
        statistics, latency_ms = stream.statistics, stream.statistics.latency_ms()
        if as_json:
            facts = {"input": stream.input_uri, "output": stream.output_uri, "backend": info.backend}
            counts = {name: getattr(statistics, name) for name in ("frames_in", "frames_out", "frames_dropped", "fps")}
            click.echo(json.dumps({**facts, **counts, "latency_ms": latency_ms}))
        else:
            told = "" if latency_ms["p50"] is None else f", latency {latency_ms['p50']:.0f} ms"
            click.echo(
                f"{stream.input_uri}: {statistics.frames_out} frames, {statistics.fps:.1f} FPS, "
                f"{statistics.frames_dropped} dropped{told}"
            )
        if stream.failure is not None:
            click.echo(f"Error: {stream.input_uri}: {stream.failure.message}", err=True)
    if any(stream.failure is not None for stream in streams):
        sys.exit(1)
    if signals.asked:
        sys.exit(EXIT_INTERRUPTED)


def _check_usage(options: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The sources' and the sinks' URIs."""
    if options["camera"] is not None and options["input_uris"]:
        raise click.UsageError("one source is wanted: --camera N or --input URI")
    if options["target_fps"] and options["quality"] not in (None, AUTO):
        raise click.UsageError(f"--target-fps is for --quality auto, not for {options['quality']}: leave out one")
    source_uris = list(options["input_uris"]) or [f"camera:{options['camera'] or 0}"]
    output_uris = list(options["output_uris"])
    several = len(source_uris) > 1
    if several and (len(output_uris) != len(source_uris) or {"window:", *PIPES} & {*output_uris}):
        raise click.UsageError(
            f"{len(source_uris)} inputs want as many outputs, each a file, a stream, camera:, ndi: or null:; "
            f"got {', '.join(output_uris) or 'none'}"
        )
    if not output_uris:
        if not display_available():
            raise click.UsageError("there is no display for a window: name an --output, such as painted.mp4 or null:")
        output_uris = ["window:"]
    if options["as_json"] and any(uri in PIPES for uri in output_uris):
        raise click.UsageError("--json and a pipe both write to the standard output; leave out one")
    named = [uri for uri in output_uris if uri != "null:" or not several]
    twice = [uri for place, uri in enumerate(named) if _place(uri) in map(_place, named[:place])]
    if twice:
        raise click.UsageError(f"{twice[0]} is named twice as an output; leave out one, or name another file")
    return source_uris, output_uris


def _place(uri: str) -> str:
    """What a sink's name leads to: two names of one file are the same."""
    if uri in PIPES:
        return PIPES[0]
    return uri if uri in ("null:", "window:") else str(Path(uri).expanduser().resolve())


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
