"""`st-bench temporal`: how much painted clips flicker, beside style, content and time."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn

from artmirror.benchmarks.arguments import check_output, engine_path, outputs_option, split_outputs, write_report
from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, StopOnSignals, common_options
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.common.progress import bar
from artmirror.runtime.engines.open import BACKENDS
from artmirror.runtime.formats.kind import EngineKind, kind_of
from artmirror.runtime.gallery.bundled import DEFAULT_STYLE

if TYPE_CHECKING:
    from artmirror.benchmarks.records.temporal import Judges, LpipsWeights
    from artmirror.benchmarks.temporal.distances import Judge
    from artmirror.benchmarks.temporal.lpips import PerceptualDistance
    from artmirror.benchmarks.temporal.painters import Painter
    from artmirror.benchmarks.temporal.peers import PeerSpec
    from artmirror.benchmarks.temporal.run import Watcher
    from artmirror.benchmarks.temporal.sequences import FrameSequence, PictureSequence

_CALIBRATION_PHOTOS = 16  # as training takes


@cloup.command(
    cls=Command,
    examples=(
        "st-bench temporal starry --sequence clips/",
        "st-bench temporal a.onnx --against theirs.onnx@255 --sequence clip.mp4 -o report.md",
    ),
)
@click.argument("engines", nargs=-1, type=click.Path(), metavar="[ENGINE]...")
@cloup.option_group(
    "Used first",
    cloup.option(
        "--sequence",
        "sequences",
        multiple=True,
        required=True,
        metavar="PATH",
        help="One shot: a video or a folder of frames. Or a folder of those, a pattern in quotes, a data set with "
        "ground-truth flow (Sintel, Middlebury, KITTI, or .flo beside the frames). Repeatable.",
    ),
    cloup.option(
        "--step",
        "steps",
        type=click.IntRange(1, 100),
        multiple=True,
        default=(1, 5),
        help="Frames between two of a pair.",
    ),
    cloup.option("--size", type=SizeType(), help="Scale and crop to it; frames with given flow keep theirs."),
    cloup.option("--max-frames", type=click.IntRange(2), help="Frames of each sequence at most."),
)
@cloup.option_group(
    "Style and content",
    cloup.option(
        "--painting", "painting", type=click.Path(path_type=Path), metavar="PICTURE", help="For style distance."
    ),
    cloup.option("--painting-size", type=click.IntRange(64), default=384, help="Short side of the painting, pixels."),
    cloup.option("--vgg", type=click.Path(path_type=Path), metavar="FILE", help="VGG-19 weights, as for st-train."),
    cloup.option("--photos", type=click.Path(path_type=Path), metavar="FOLDER", help="Judge these photos too."),
    cloup.option("--photo-count", type=click.IntRange(1), default=32, help="So many of them, spread over the folder."),
    cloup.option("--photo-size", type=SizeType(), default="256x256", help="Scale and crop the photos to it."),
    cloup.option("--distance-every", type=click.IntRange(1), default=24, help="Judge each so many-th frame."),
    cloup.option(
        "--lpips",
        "lpips_paths",
        type=click.Path(path_type=Path),
        nargs=2,
        metavar="ALEXNET LINEAR",
        help="LPIPS of neighbours too, with torchvision's AlexNet (alexnet-owt-7be5be79.pth) and the weights on it "
        "(alex.pth of the package lpips).",
    ),
)
@cloup.option_group(
    "Networks of others",
    cloup.option(
        "--against",
        multiple=True,
        metavar="FILE[@255]",
        help="Somebody else's network, ONNX, float NCHW; white is 1 (FILE@1) or 255 (FILE@255). Repeatable.",
    ),
    cloup.option("--against-range", type=click.Choice(("1", "255")), help="White of those without @."),
    cloup.option("--against-order", type=click.Choice(("rgb", "bgr")), default="rgb", help="Order of their channels."),
)
@cloup.option_group(
    "How",
    cloup.option(
        "--backend",
        "backends",
        type=click.Choice(BACKENDS),
        multiple=True,
        help="Library that runs our networks; may be given more than once.  [default: as st-run chooses, and with "
        "--against onnxruntime too]",
    ),
    cloup.option("--device", metavar="NAME", help="cpu, cuda or cuda:N.  [default: cuda for a .plan, else cpu]"),
    cloup.option("--threads", type=click.IntRange(1), default=2, help="Processor threads of every network."),
    cloup.option("--full-precision", is_flag=True, help="FP32 where the processor would choose less by itself."),
)
@cloup.option_group(
    "What comes of it",
    outputs_option,
    cloup.option(
        "--keep-frames",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Keep all pictures there as JPEG, some 100 KB for each frame and network, for st-bench report --frames.",
    ),
    cloup.option(
        "--video",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the input and the first three networks beside each other as a video, with the figures burnt in. "
        "Its encoder takes time from the cores: take times from a run without it.",
    ),
)
@common_options("st-bench temporal")
def temporal(**options: Any) -> None:
    """Measure how much the picture flickers: the temporal error e_stab of painted clips.

    A painted frame is compared with its successor, warped back by the motion between the input frames; the input
    itself is measured too, as the floor. A network that copies its input scores well, so look at the style distance
    beside it: it needs --vgg and --painting.

    ENGINE is a file written by st-export or the name of a bundled style.
    """
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.records.environment import read_environment
    from artmirror.benchmarks.records.measuring import Stopped
    from artmirror.benchmarks.records.temporal import TemporalSession, write_temporal
    from artmirror.benchmarks.temporal.peers import PeerSpec
    from artmirror.benchmarks.temporal.run import Comparison, measure_temporal
    from artmirror.benchmarks.temporal.sequences import open_photos, open_sequences
    from artmirror.benchmarks.temporal.table import markdown_temporal, render_temporal
    from artmirror.runtime.common.errors import ArtmirrorError
    from artmirror.runtime.common.flow import open_flow
    from artmirror.runtime.common.suffixes import WRITTEN_VIDEO_SUFFIXES

    json_path, table_path = split_outputs(options["outputs"])
    check_output("--video", options["video"])
    if options["video"] is not None and options["video"].suffix.lower() not in WRITTEN_VIDEO_SUFFIXES:
        raise click.UsageError(
            f"--video {options['video']} is no video: wanted one of {' '.join(WRITTEN_VIDEO_SUFFIXES)}"
        )
    if (options["vgg"] is None) != (options["painting"] is None) or (options["photos"] and not options["vgg"]):
        raise click.UsageError("style and content distances need both --vgg and --painting; --photos adds to them")
    specs = [PeerSpec.parse(text, options["against_range"], options["against_order"]) for text in options["against"]]
    paths = [engine_path(name) for name in options["engines"] or (() if specs else (DEFAULT_STYLE,))]
    sequences = [
        sequence
        for name in options["sequences"]
        for sequence in open_sequences(name, options["size"], options["max_frames"])
    ]
    photos = (
        open_photos(options["photos"], options["photo_count"], options["photo_size"]) if options["photos"] else None
    )
    judge, judges = _open_judge(photos, options)
    perception, lpips = _open_perception(options)
    if photos is not None:
        sequences.append(photos)
    steps = tuple(sorted(set(options["steps"])))
    environment = read_environment()

    def open_painters(size: tuple[int, int]) -> Sequence["Painter"]:
        return _open_painters(paths, specs, size, options)

    with ExitStack() as stack, StopOnSignals() as signals:
        watchers = _open_watchers(stack, paths, specs, environment.time, options)
        try:
            with _progress(sequences) as observe:
                records, painters = measure_temporal(
                    sequences,
                    open_painters,
                    Comparison(steps, open_flow("dis"), judge, options["distance_every"], perception),
                    watchers=watchers,
                    should_stop=lambda: signals.asked,
                    observe=observe,
                )
        except Stopped:
            but = " but the pictures so far" if watchers else ""
            click.echo(f"stopped before the last frame; nothing was written{but}", err=True)
            sys.exit(EXIT_INTERRUPTED)
    if not any(record.pairs for record in records):
        raise ArtmirrorError(
            f"no two frames are {' or '.join(map(str, steps))} apart in what --sequence names; longer ones are wanted"
        )
    session = TemporalSession(environment, steps, judges, records, painters, lpips)
    Console(markup=False, highlight=False, emoji=False).print(render_temporal(session))
    if json_path is not None:
        write_temporal(session, json_path)
    if table_path is not None:
        write_report(table_path, markdown_temporal(session))


def _open_judge(photos: "PictureSequence | None", options: dict[str, Any]) -> tuple["Judge | None", "Judges | None"]:
    from artmirror.benchmarks.records.temporal import Judges
    from artmirror.benchmarks.temporal.distances import Judge

    vgg, painting, painting_size = options["vgg"], options["painting"], options["painting_size"]
    if vgg is None:
        return None, None
    calibration = [] if photos is None else [frame.pixels for frame in islice(photos.frames(), _CALIBRATION_PHOTOS)]
    judge = Judge(vgg, painting, painting_size, calibration)
    return judge, Judges(vgg.name, judge.normalised_on, painting.name, painting_size, options["distance_every"])


def _open_perception(options: dict[str, Any]) -> tuple["PerceptualDistance | None", "LpipsWeights | None"]:
    from artmirror.benchmarks.records.temporal import LpipsWeights
    from artmirror.benchmarks.temporal.lpips import PerceptualDistance

    if options["lpips_paths"] is None:
        return None, None
    alexnet, linear = options["lpips_paths"]
    return PerceptualDistance(alexnet, linear), LpipsWeights(alexnet.name, linear.name, options["distance_every"])


def _open_watchers(
    stack: ExitStack, paths: Sequence[Path], specs: Sequence["PeerSpec"], time: str, options: dict[str, Any]
) -> list["Watcher"]:
    """Whoever keeps pictures; `stack` finishes the video, with what there is of it where the run breaks off."""
    from artmirror.benchmarks.temporal.kept_frames import Keeper
    from artmirror.benchmarks.temporal.split_screen import SplitScreen

    watchers: list[Watcher] = []
    if options["keep_frames"] is not None:
        watchers.append(Keeper(options["keep_frames"], time))
    if options["video"] is not None:
        ours = [
            path.stem if backend is None else f"{path.stem} ({backend})"
            for path in paths
            for backend in _backends(path, options)
        ]
        screen = SplitScreen(options["video"], ["input", *ours, *(spec.path.stem for spec in specs)])
        watchers.append(stack.enter_context(screen))
    return watchers


def _open_painters(
    paths: Sequence[Path], specs: Sequence[Any], size: tuple[int, int], options: dict[str, Any]
) -> list["Painter"]:
    """Ours with each back end, then the others'. Those that were opened are closed if one cannot be."""
    from artmirror.benchmarks.temporal.painters import EnginePainter
    from artmirror.benchmarks.temporal.peers import Peer

    opened: list[Painter] = []
    try:
        for path in paths:
            for backend in _backends(path, options):
                opened.append(
                    EnginePainter(path, size, backend, options["device"], options["threads"], options["full_precision"])
                )
        opened += [Peer(spec, size, options["threads"]) for spec in specs]
    except BaseException:
        for painter in opened:
            painter.close()
        raise
    return opened


def _backends(path: Path, options: dict[str, Any]) -> Sequence[str | None]:
    """Those asked for; else the default, and beside peers the library that they run on, so that times compare."""
    if options["backends"]:
        return tuple(dict.fromkeys(options["backends"]))
    return (None, "onnxruntime") if options["against"] and kind_of(path) is not EngineKind.PLAN else (None,)


@contextmanager
def _progress(sequences: Sequence["FrameSequence"]) -> Iterator[Callable[["FrameSequence"], None]]:
    """Counts on stderr, drawn between frames only: drawing takes time from the cores that are measured."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), TextColumn("frame {task.completed:.0f}"), TimeElapsedColumn())
    with bar(console, *columns, auto_refresh=False) as progress:
        task = progress.add_task("opening")
        seen: list[FrameSequence] = []

        def observe(sequence: "FrameSequence") -> None:
            if not seen or seen[-1] is not sequence:
                seen.append(sequence)
                progress.reset(task, description=f"{sequence.name} ({len(seen)} of {len(sequences)})")
            progress.update(task, advance=1, refresh=True)

        yield observe
