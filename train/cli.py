"""`st-train`: options become one configuration, handed to one function."""

import json
import shlex
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import cloup
from click.core import ParameterSource
from rich.console import Console

from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, common_options
from artmirror.runtime.common.config_file import config_option, write_config
from artmirror.train.config import (
    NETWORK_PRESETS,
    FlowSource,
    LossWeights,
    MotionConfig,
    Precision,
    TrainConfig,
    parse_network,
)
from artmirror.train.progress import shown_by, stop_after_step, training_bar

if TYPE_CHECKING:  # imports torch, which takes seconds that --help should not
    from artmirror.train.loop import StepReport

_DEFAULTS = TrainConfig(painting_path="", photos_path="")
_NOT_OF_THE_RUN = ("save_config", "dry_run", "debug", "resume")
_OPTIONAL_PATHS = ("photos_path", "clips_path", "flow_weights_path", "vgg_path")


@cloup.command(
    "st-train",
    cls=Command,
    extra="train",
    examples=(
        "st-train --painting starry_night.jpg --photos photos/ -o starry.pt",
        "st-train --config starry.toml --steps 8000",
        "st-train --resume starry.pt",
        "st-train --base any.pt --painting mine.jpg -o mine.style --steps 300",
        "torchrun --nproc-per-node 2 --no-python st-train --painting starry_night.jpg --photos photos/",
    ),
)
@cloup.option_group(
    "Used first",
    cloup.option(
        "--painting", "painting_path", type=click.Path(path_type=Path), metavar="FILE", help="The painting, a picture."
    ),
    cloup.option(
        "--photos",
        "photos_path",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Photos to learn on, some hundred varied ones; folders in it are searched too.",
    ),
    cloup.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Checkpoint to write, NAME.pt.  [default: named after the painting]",
    ),
    cloup.option(
        "--vgg",
        "vgg_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="VGG-19 weights, .safetensors (Caffe's input scale) or torchvision's .pth.  "
        "[default: torchvision's, fetched once]",
    ),
    cloup.option("--steps", type=click.IntRange(1), default=_DEFAULTS.steps, help="Training steps."),
    cloup.option(
        "--preset", type=click.Choice(sorted(NETWORK_PRESETS)), default=_DEFAULTS.preset, help="Size of the network."
    ),
    cloup.option(
        "--start-from",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Begin with the weights of another checkpoint: a style then takes some hundred steps.",
    ),
    cloup.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Go on with the interrupted run of this checkpoint; it has its own configuration.",
    ),
    cloup.option("--title", default="", help="The painting's title, for captions.", show_default=False),
    cloup.option("--artist", default="", help="The painter.", show_default=False),
)
@cloup.option_group(
    "How it looks",
    cloup.option(
        "--painting-size",
        type=click.IntRange(64),
        default=_DEFAULTS.painting_size,
        help="The painting's short side, pixels: smaller gives finer strokes.",
    ),
    cloup.option(
        "--style-weight",
        type=click.FloatRange(0),
        default=_DEFAULTS.weights.style,
        help="How much of the painting.",
    ),
    cloup.option(
        "--content-weight",
        type=click.FloatRange(0),
        default=_DEFAULTS.weights.content,
        help="How much of the photo.",
    ),
    cloup.option(
        "--temporal-weight", type=click.FloatRange(0), default=_DEFAULTS.weights.temporal, help="Higher flickers less."
    ),
    cloup.option(
        "--temporal-ramp",
        type=click.FloatRange(0, 1),
        default=_DEFAULTS.temporal_ramp,
        help="Share of the steps in which the temporal weight grows from 0.",
    ),
    cloup.option(
        "--feature-weight",
        type=click.FloatRange(0),
        default=_DEFAULTS.weights.features,
        help="The temporal loss of the network's own features too, as ReCoNet has it.",
    ),
    cloup.option("--luminance", is_flag=True, help="Let the painting follow a change of light, as ReCoNet does."),
    cloup.option(
        "--tv-weight",
        type=click.FloatRange(0),
        default=_DEFAULTS.weights.total_variation,
        help="Total variation: higher is smoother.",
    ),
    cloup.option(
        "--network",
        "network_changes",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a number of the preset, as channels=16,24,32 or norm=batch. May be given more than once.",
    ),
)
@cloup.option_group(
    "One network for many paintings",
    cloup.option(
        "--paintings",
        "paintings_path",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Train one network for all paintings of a folder, thousands of them, in place of --painting.",
    ),
    cloup.option(
        "--encoder",
        "encoder_of",
        type=click.Path(path_type=Path),
        metavar="any.pt",
        help="Take the encoder of this network and leave it as it is: both then understand the same codes.",
    ),
    cloup.option(
        "--distil",
        type=click.Path(path_type=Path),
        metavar="any.pt",
        help="Let a small encoder learn from the one of any.pt, which looks through VGG-19; goes with --paintings.",
    ),
    cloup.option(
        "--base",
        type=click.Path(path_type=Path),
        metavar="any.pt",
        help="Tune a style of --painting for this network: NAME.style, in minutes.",
    ),
)
@cloup.option_group(
    "Memory from frame to frame",
    cloup.option(
        "--memory",
        is_flag=True,
        help="Give the network its own picture of an earlier frame: what stands still is not painted anew. "
        "Goes with --start-from a network without.",
    ),
    cloup.option(
        "--frames",
        type=click.IntRange(2, 16),
        default=_DEFAULTS.frames,
        help="Frames of a sequence that are learned from; --pairs is then the count of sequences a step.",
    ),
    cloup.option(
        "--lead",
        type=click.IntRange(0, 64),
        default=_DEFAULTS.lead,
        help="Frames before them, painted only so that what is remembered is as old as in a show.",
    ),
)
@cloup.option_group(
    "Clips with real motion",
    cloup.option(
        "--clips",
        "clips_path",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="A dataset that st-data prepare wrote; beside --photos or in their place.",
    ),
    cloup.option(
        "--clip-share",
        type=click.FloatRange(0, 1),
        default=_DEFAULTS.clip_share,
        help="Share of clips in the pairs, where photos and clips are given.",
    ),
    cloup.option(
        "--gap",
        "gaps",
        type=click.IntRange(1),
        multiple=True,
        default=_DEFAULTS.gaps,
        help="Frames from one of a pair to the other; several are drawn evenly.",
    ),
    cloup.option(
        "--flow",
        type=click.Choice(get_args(FlowSource)),
        default=_DEFAULTS.flow,
        help="Motion in clips: estimated as they are loaded, or stored by st-data prepare.",
    ),
    cloup.option(
        "--flow-weights",
        "flow_weights_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Weights for --flow raft, torchvision's .pth.  [default: torchvision's, fetched once]",
    ),
)
@cloup.option_group(
    "The training",
    cloup.option("--pairs", type=click.IntRange(1), default=_DEFAULTS.pairs, help="Pairs of frames a step."),
    cloup.option(
        "--crop", type=click.IntRange(64), default=_DEFAULTS.crop, help="Side of the training frames, pixels."
    ),
    cloup.option(
        "--noise",
        type=click.FloatRange(0, 1),
        default=_DEFAULTS.motion.noise_std,
        help="Noise on the moved twin, for pictures in [0, 1].",
    ),
    cloup.option(
        "--learning-rate",
        type=click.FloatRange(0, min_open=True),
        default=_DEFAULTS.peak_learning_rate,
        help="Peak of the one-cycle schedule.",
    ),
    cloup.option(
        "--ema",
        "ema_decay",
        type=click.FloatRange(0, 1, max_open=True),
        metavar="DECAY",
        default=_DEFAULTS.ema_decay,
        help="Keep a running average of the weights, for instance 0.99; 0 for none.",
    ),
    cloup.option(
        "--seed", type=click.IntRange(0, (1 << 32) - 1), default=_DEFAULTS.seed, help="Two runs of one seed are alike."
    ),
)
@cloup.option_group(
    "The machine",
    cloup.option("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, ... or auto."),
    cloup.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
        default="auto",
        help="auto: bf16 where the hardware has it, else fp16 on a GPU and fp32 on a CPU.",
    ),
    cloup.option("--workers", type=click.IntRange(0), default=1, help="Processes that load photos."),
)
@cloup.option_group(
    "Files",
    cloup.option("--name", help="Short name of the style.  [default: stem of --output]"),
    cloup.option("--year", default="", help="The painting's year.", show_default=False),
    cloup.option("--checkpoint-every", type=click.IntRange(1), default=250, help="Steps between checkpoints."),
    cloup.option(
        "--preview-every", type=click.IntRange(0), default=250, help="Steps between preview pictures; 0 for none."
    ),
    cloup.option(
        "--tensorboard",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Write what TensorBoard shows there.",
    ),
    config_option,
    cloup.option(
        "--save-config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the options as TOML, for --config, and stop.",
    ),
    cloup.option("--dry-run", is_flag=True, help="Print the configuration as JSON and stop."),
)
@common_options("st-train")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Train a painting into a small network that paints live video, without flicker.

    With --paintings FOLDER one network for many paintings is trained, and with --base any.pt a style for that one.

    Writes the checkpoint (NAME.pt), the state to resume from (NAME.state.pt) and preview pictures (NAME.previews/).
    Ctrl-C saves and says how to go on.
    """
    if options["paintings_path"] or options["base"] or options["resume"]:
        from artmirror.train.many_cli import run_for_many

        given = _given(ctx, ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
        if run_for_many(options, given, lambda fp16: _precision(options, fp16)):
            return
    config, style, output = _resumed(ctx, options) if options["resume"] else _configured(options)
    if options["save_config"]:
        ctx.params["precision"] = config.precision  # another machine would choose another one
        write_config(options["save_config"], ctx, leave_out=_NOT_OF_THE_RUN)
        click.echo(f"{options['save_config']}: go on with st-train --config {options['save_config']}")
        return
    if options["dry_run"]:
        click.echo(json.dumps({"style": style, "output": str(output), **config.to_dict()}, indent=2))
        return
    _run(config, style, output, options)


def _given(ctx: click.Context, *sources: ParameterSource) -> dict[str, str]:
    """The parameters that come from one of the sources, and how they are written on the command line."""
    return {
        parameter.name: parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name is not None and ctx.get_parameter_source(parameter.name) in sources
    }


def _configured(options: dict[str, Any]) -> tuple[TrainConfig, dict[str, str], Path]:
    wanted = {
        "--painting": options["painting_path"],
        "--photos or --clips": options["photos_path"] or options["clips_path"],
    }
    missing = [flag for flag, given in wanted.items() if not given]
    if missing:
        raise click.UsageError(
            f"{' and '.join(missing)} missing; wanted a painting, and a folder of photos or a dataset of clips; "
            "or --resume CHECKPOINT"
        )
    output = options["output"] or Path(f"{options['name'] or options['painting_path'].stem}.pt")
    if output.suffix != ".pt":
        raise click.UsageError(f"the output is {output}; wanted a name that ends in .pt")
    paths: dict[str, Any] = {key: None if options[key] is None else str(options[key]) for key in _OPTIONAL_PATHS}
    config = TrainConfig(
        painting_path=str(options["painting_path"]),
        **paths,
        clip_share=options["clip_share"],
        gaps=options["gaps"],
        flow=options["flow"],
        preset=options["preset"],
        network=parse_network(
            options["preset"], (*options["network_changes"], *(["memory=true"] if options["memory"] else []))
        ),
        weights=LossWeights(
            content=options["content_weight"],
            style=options["style_weight"],
            total_variation=options["tv_weight"],
            temporal=options["temporal_weight"],
            features=options["feature_weight"],
        ),
        motion=MotionConfig(noise_std=options["noise"]),
        steps=options["steps"],
        pairs=options["pairs"],
        frames=options["frames"],
        lead=options["lead"],
        crop=options["crop"],
        painting_size=options["painting_size"],
        peak_learning_rate=options["learning_rate"],
        temporal_ramp=options["temporal_ramp"],
        luminance=options["luminance"],
        precision=_precision(options),
        ema_decay=options["ema_decay"],
        seed=options["seed"],
    )
    style = {"name": options["name"] or output.stem, **{key: options[key] for key in ("title", "artist", "year")}}
    return config, style, output


def _precision(options: dict[str, Any], fp16: Precision = "fp16") -> Precision:
    """The one that was asked for, or the best here; `fp16` stands for that one where it cannot be used."""
    if options["precision"] != "auto":
        precision: Precision = options["precision"]
        return precision
    from artmirror.train.device import best_precision, find_device

    best = best_precision(find_device(options["device"]))
    return fp16 if best == "fp16" else best


def _resumed(ctx: click.Context, options: dict[str, Any]) -> tuple[TrainConfig, dict[str, str], Path]:
    from artmirror.train.checkpoint import load_state, state_path

    allowed = {"resume", "device", "workers", "checkpoint_every", "preview_every", "tensorboard", "dry_run", "debug"}
    # --config is one of them; what stands in its file is not.
    given = [flag for name, flag in _given(ctx, ParameterSource.COMMANDLINE).items() if name not in allowed]
    if given:
        raise click.UsageError(f"--resume takes the interrupted run's configuration; leave out {', '.join(given)}")
    style, config, _, _ = load_state(state_path(options["resume"]))
    return config, asdict(style), options["resume"]


def _run(config: TrainConfig, style: dict[str, str], output: Path, options: dict[str, Any]) -> None:
    from artmirror.train.checkpoint import StyleInfo
    from artmirror.train.distributed import PeerError, is_first_process
    from artmirror.train.loop import RunOptions, train
    from artmirror.train.tensorboard import EventLog

    run = RunOptions(
        output=output,
        device=options["device"],
        workers=options["workers"],
        checkpoint_every=options["checkpoint_every"],
        preview_every=options["preview_every"],
    )
    console = Console(stderr=True, quiet=not is_first_process(), soft_wrap=True, highlight=False, markup=False)
    with ExitStack() as stack:
        progress = stack.enter_context(training_bar(console))
        stopping = stack.enter_context(stop_after_step(console))
        observers: list[Callable[[StepReport], None]] = [shown_by(progress, config.steps)]
        if options["tensorboard"]:
            observers.append(stack.enter_context(closing(EventLog(options["tensorboard"], config.weights))))

        def tell_all(report: "StepReport") -> None:
            for observe in observers:
                observe(report)

        try:
            outcome = train(
                config,
                StyleInfo(**style),
                run,
                resume=bool(options["resume"]),
                start_from=options["start_from"],
                observe=tell_all,
                should_stop=stopping,
            )
        except PeerError:  # told by the process that failed, which torchrun would end as soon as this one fails too
            raise SystemExit(0) from None
    if console.quiet:
        return
    if not outcome.finished:
        again = f"st-train --resume {shlex.quote(str(output))}"
        click.echo(f"Stopped at step {outcome.step} of {config.steps}. Go on with: {again}", err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    terms = ", ".join(f"{name} {value:.4g}" for name, value in outcome.losses.items())
    click.echo(f"{output}: {outcome.step} steps; {terms}. Next: st-export --fp16 {shlex.quote(str(output))}")


if __name__ == "__main__":
    main()
