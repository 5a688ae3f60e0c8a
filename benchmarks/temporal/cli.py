"""`st-bench temporal`: how much painted clips flicker, beside style, content and time."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
import numpy as np
from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn

from artmirror.benchmarks.arguments import check_output, engine_path, outputs_option, split_outputs, write_report
from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, StopOnSignals, common_options
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.common.progress import bar
from artmirror.runtime.engines.open import BACKENDS
from artmirror.runtime.formats.kind import EngineKind, kind_of, read_any_manifest
from artmirror.runtime.gallery.bundled import DEFAULT_STYLE

if TYPE_CHECKING:
    from artmirror.benchmarks.records.temporal import Judges, LpipsWeights
    from artmirror.benchmarks.temporal.distances import Judge
    from artmirror.benchmarks.temporal.lpips import PerceptualDistance
    from artmirror.benchmarks.temporal.painters import Painter
    from artmirror.benchmarks.temporal.peers import ArbitraryPeerSpec, PeerSpec
    from artmirror.benchmarks.temporal.run import OpenPainters, Watcher
    from artmirror.benchmarks.temporal.sequences import FrameSequence, PictureSequence
    from artmirror.runtime.gallery.paintings import Choice

_CALIBRATION_PHOTOS = 16  # as training takes


@cloup.command(
    cls=Command,
    examples=(
        "st-bench temporal starry --sequence clips/",
        "st-bench temporal any --painting mine.jpg --against predict.onnx,transform.onnx --sequence clip.mp4",
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
        "--painting",
        "paintings",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="PICTURE",
        help="For style distance, and what networks for many paintings paint in. Of several, or a folder, each is "
        "measured with all sequences.",
    ),
    cloup.option(
        "--tuned",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="FOLDER",
        help="Styles of st-train --base, NAME.style for a painting NAME.jpg: measured beside the encoder's guess.",
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
        help="Somebody else's network, ONNX, float NCHW; white is 1 (FILE@1) or 255 (FILE@255). Of one for any "
        "painting the two files: PREDICT.onnx,TRANSFORM.onnx. Repeatable.",
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
    from artmirror.benchmarks.temporal.peers import ArbitraryPeerSpec, PeerSpec
    from artmirror.benchmarks.temporal.run import Comparison, joined, measure_temporal
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
    paintings = _find_paintings(options["paintings"])
    if (options["vgg"] and not paintings) or (options["photos"] and not options["vgg"]):
        raise click.UsageError("style and content distances need both --vgg and --painting; --photos adds to them")
    if len(paintings) > 1 and (options["video"] or options["keep_frames"]):
        raise click.UsageError("--video and --keep-frames are for one painting; leave out the others")
    specs: list[PeerSpec | ArbitraryPeerSpec] = [
        ArbitraryPeerSpec.parse(text) or PeerSpec.parse(text, options["against_range"], options["against_order"])
        for text in options["against"]
    ]
    paths = [engine_path(name) for name in options["engines"] or (() if specs else (DEFAULT_STYLE,))]
    many = [path for path in paths if path.is_file() and read_any_manifest(path)[0].style is not None]
    if paintings and not options["vgg"] and not many and not any(isinstance(spec, ArbitraryPeerSpec) for spec in specs):
        raise click.UsageError("style and content distances need both --vgg and --painting; --photos adds to them")
    if not paintings and any(isinstance(spec, ArbitraryPeerSpec) for spec in specs):
        raise click.UsageError("a network for any painting needs a --painting")
    sequences = [
        sequence
        for name in options["sequences"]
        for sequence in open_sequences(name, options["size"], options["max_frames"])
    ]
    photos = (
        open_photos(options["photos"], options["photo_count"], options["photo_size"]) if options["photos"] else None
    )
    judge, judges = _open_judge(photos, paintings, options)
    perception, lpips = _open_perception(options)
    if photos is not None:
        sequences.append(photos)
    steps = tuple(sorted(set(options["steps"])))
    environment = read_environment()

    def openers(painting: Path | None) -> "OpenPainters":
        return lambda size: _open_painters(paths, specs, painting, size, options)

    with ExitStack() as stack, StopOnSignals() as signals:
        watchers = _open_watchers(stack, paths, specs, environment.time, options)
        try:
            parts = []
            with _progress(sequences) as observe:
                for painting in paintings or (None,):
                    if judge is not None and painting is not None:
                        judge.turn_to(painting)
                    parts.append(
                        measure_temporal(
                            sequences,
                            openers(painting),
                            Comparison(steps, open_flow("dis"), judge, options["distance_every"], perception),
                            watchers=watchers,
                            should_stop=lambda: signals.asked,
                            observe=observe,
                        )
                    )
            records, painters = joined(parts, [painting.stem for painting in paintings])
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


def _find_paintings(named: Sequence[Path]) -> list[Path]:
    from artmirror.runtime.common.pictures import picture_paths

    return [path for name in named for path in (picture_paths(name) if name.is_dir() else [name])]


def _open_judge(
    photos: "PictureSequence | None", paintings: Sequence[Path], options: dict[str, Any]
) -> tuple["Judge | None", "Judges | None"]:
    from artmirror.benchmarks.records.temporal import Judges
    from artmirror.benchmarks.temporal.distances import Judge

    vgg, painting_size = options["vgg"], options["painting_size"]
    if vgg is None:
        return None, None
    calibration = [] if photos is None else [frame.pixels for frame in islice(photos.frames(), _CALIBRATION_PHOTOS)]
    judge = Judge(vgg, paintings[0], painting_size, calibration)
    by = paintings[0].name if len(paintings) == 1 else f"{len(paintings)} paintings"
    return judge, Judges(vgg.name, judge.normalised_on, by, painting_size, options["distance_every"])


def _open_perception(options: dict[str, Any]) -> tuple["PerceptualDistance | None", "LpipsWeights | None"]:
    from artmirror.benchmarks.records.temporal import LpipsWeights
    from artmirror.benchmarks.temporal.lpips import PerceptualDistance

    if options["lpips_paths"] is None:
        return None, None
    alexnet, linear = options["lpips_paths"]
    return PerceptualDistance(alexnet, linear), LpipsWeights(alexnet.name, linear.name, options["distance_every"])


def _open_watchers(
    stack: ExitStack,
    paths: Sequence[Path],
    specs: Sequence["PeerSpec | ArbitraryPeerSpec"],
    time: str,
    options: dict[str, Any],
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
        screen = SplitScreen(options["video"], ["input", *ours, *(spec.label for spec in specs)])
        watchers.append(stack.enter_context(screen))
    return watchers


def _open_painters(
    paths: Sequence[Path],
    specs: Sequence["PeerSpec | ArbitraryPeerSpec"],
    painting: Path | None,
    size: tuple[int, int],
    options: dict[str, Any],
) -> list["Painter"]:
    """Ours with each back end, then the others'. Those that were opened are closed if one cannot be."""
    from artmirror.benchmarks.temporal.painters import EnginePainter
    from artmirror.benchmarks.temporal.peers import ArbitraryPeer, ArbitraryPeerSpec, Peer
    from artmirror.runtime.common.fit import painting_view
    from artmirror.runtime.common.pictures import read_picture

    opened: list[Painter] = []
    try:
        for path in paths:
            for backend in _backends(path, options):
                how = backend, options["device"], options["threads"], options["full_precision"]
                for note, choose in _looks(path, painting, options["tuned"]):
                    opened.append(EnginePainter(path, size, *how, choose=choose, note=note))
        for spec in specs:
            if isinstance(spec, ArbitraryPeerSpec):
                assert painting is not None
                rgb = np.ascontiguousarray(painting_view(read_picture(painting))[..., ::-1])
                opened.append(ArbitraryPeer(spec, rgb, size, options["threads"]))
            else:
                opened.append(Peer(spec, size, options["threads"]))
    except BaseException:
        for painter in opened:
            painter.close()
        raise
    return opened


def _looks(path: Path, painting: Path | None, tuned: Path | None) -> list[tuple[str, "Callable[[], Choice]"]]:
    """What a network for many paints in, with a note that tells one from the other: the encoder's guess, and tuned."""
    from artmirror.runtime.gallery.paintings import choose

    looks: list[tuple[str, Callable[[], Choice]]] = [
        ("", lambda: choose(path, (), () if painting is None else (painting,)))
    ]
    if tuned is not None and painting is not None and read_any_manifest(path)[0].style is not None:
        style = str(tuned / f"{painting.stem}.style")
        looks.append(("tuned", lambda: choose(path, (style,), ())))
    return looks


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
