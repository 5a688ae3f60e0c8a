"""`st-train`: options become one configuration, handed to one function."""

import json
import shlex
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.console import Console

from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, common_options
from artmirror.train.config import (
    NETWORK_PRESETS,
    FlowSource,
    LossWeights,
    MotionConfig,
    Precision,
    TrainConfig,
    parse_network,
)
from artmirror.train.progress import StopAfterStep, shown_by, training_bar

if TYPE_CHECKING:  # imports torch, which takes seconds that --help should not
    from artmirror.train.loop import StepReport

_DEFAULTS = TrainConfig(style_path="", content_path="")
_OPTIONAL_PATHS = ("content_path", "clips_path", "flow_weights_path", "vgg_path")


@click.command(
    "st-train",
    cls=Command,
    extra="train",
    epilog="Example: st-train --style starry_night.jpg --content photos/ -o starry.pt",
)
@click.option("--style", "style_path", type=click.Path(path_type=Path), help="The painting, a picture file.")
@click.option(
    "--content", "content_path", type=click.Path(path_type=Path), help="Folder of photos, searched below too."
)
@click.option(
    "--clips",
    "clips_path",
    type=click.Path(path_type=Path),
    metavar="DATASET",
    help="Clips, a folder that st-data prepare wrote; beside --content or in its place.",
)
@click.option(
    "--clip-share",
    type=click.FloatRange(0, 1),
    default=_DEFAULTS.clip_share,
    help="Share of clips in the pairs, where photos and clips are given.",
)
@click.option(
    "--gap",
    "gaps",
    type=click.IntRange(1),
    multiple=True,
    default=_DEFAULTS.gaps,
    help="Frames from one of a pair to the other, in clips; several are drawn evenly.",
)
@click.option(
    "--flow",
    type=click.Choice(get_args(FlowSource)),
    default=_DEFAULTS.flow,
    help="Motion in clips: estimated as they are loaded, or stored by st-data prepare.",
)
@click.option(
    "--flow-weights",
    "flow_weights_path",
    type=click.Path(path_type=Path),
    help="Weights for --flow raft, torchvision's .pth.  [default: torchvision's, fetched once]",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Checkpoint to write.  [default: NAME.pt]")
@click.option(
    "--vgg",
    "vgg_path",
    type=click.Path(path_type=Path),
    help="VGG-19 weights, .safetensors (Caffe's input scale) or torchvision's .pth.  "
    "[default: torchvision's, fetched once]",
)
@click.option("--name", help="Short name of the style.  [default: stem of --output]")
@click.option("--title", default="", help="The painting's title, for captions.", show_default=False)
@click.option("--artist", default="", help="The painter.", show_default=False)
@click.option("--year", default="", help="The painting's year.", show_default=False)
@click.option("--preset", type=click.Choice(sorted(NETWORK_PRESETS)), default=_DEFAULTS.preset, help="Network.")
@click.option(
    "--network",
    "network_changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a number of the preset, as channels=16,24,32 or norm=batch. Repeatable.",
)
@click.option("--steps", type=click.IntRange(1), default=_DEFAULTS.steps)
@click.option("--pairs", type=click.IntRange(1), default=_DEFAULTS.pairs, help="Pairs of frames a step.")
@click.option("--crop", type=click.IntRange(64), default=_DEFAULTS.crop, help="Side of the training frames, pixels.")
@click.option(
    "--style-size",
    type=click.IntRange(64),
    default=_DEFAULTS.style_size,
    help="The painting's short side, pixels: smaller gives finer strokes.",
)
@click.option("--content-weight", type=click.FloatRange(0), default=_DEFAULTS.weights.content)
@click.option("--style-weight", type=click.FloatRange(0), default=_DEFAULTS.weights.style)
@click.option(
    "--tv-weight",
    type=click.FloatRange(0),
    default=_DEFAULTS.weights.total_variation,
    help="Total variation: higher is smoother.",
)
@click.option(
    "--temporal-weight", type=click.FloatRange(0), default=_DEFAULTS.weights.temporal, help="Higher flickers less."
)
@click.option(
    "--temporal-ramp",
    type=click.FloatRange(0, 1),
    default=_DEFAULTS.temporal_ramp,
    help="Share of the steps in which the temporal weight grows from 0.",
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    default=_DEFAULTS.motion.noise_std,
    help="Noise on the moved twin, for pictures in [0, 1].",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=_DEFAULTS.peak_learning_rate,
    help="Peak of the one-cycle schedule.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    help="auto: bf16 where the hardware has it, else fp16 on a GPU and fp32 on a CPU.",
)
@click.option(
    "--ema",
    "ema_decay",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="DECAY",
    default=_DEFAULTS.ema_decay,
    help="Keep a running average of the weights, for instance 0.99; 0 for none.",
)
@click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), default=_DEFAULTS.seed)
@click.option("--device", default="auto", help="cpu, cuda, cuda:1, ... or auto.")
@click.option("--workers", type=click.IntRange(0), default=1, help="Processes that load photos.")
@click.option("--checkpoint-every", type=click.IntRange(1), default=250, help="Steps between checkpoints.")
@click.option(
    "--preview-every", type=click.IntRange(0), default=250, help="Steps between preview pictures; 0 for none."
)
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), metavar="FOLDER", help="Write what TensorBoard shows there."
)
@click.option("--start-from", type=click.Path(path_type=Path), help="Begin with the weights of another checkpoint.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="Go on with an interrupted run; takes its own configuration.",
)
@click.option("--dry-run", is_flag=True, help="Print the configuration as JSON and stop.")
@common_options("st-train")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Train a painting into a small network that paints live video, without flicker.

    Writes the checkpoint (NAME.pt), the state to resume from (NAME.state.pt) and preview pictures (NAME.previews/).
    Ctrl-C saves and says how to go on. Several GPUs: torchrun --nproc-per-node 2 --no-python st-train ...
    """
    config, style, output = _resumed(ctx, options) if options["resume"] else _configured(options)
    if options["dry_run"]:
        click.echo(json.dumps({"style": style, "output": str(output), **config.to_dict()}, indent=2))
        return
    _run(config, style, output, options)


def _configured(options: dict[str, Any]) -> tuple[TrainConfig, dict[str, str], Path]:
    wanted = {
        "--style": options["style_path"],
        "--content or --clips": options["content_path"] or options["clips_path"],
    }
    missing = [flag for flag, given in wanted.items() if not given]
    if missing:
        raise click.UsageError(
            f"{' and '.join(missing)} missing; wanted a painting, and a folder of photos or a dataset of clips; "
            "or --resume CHECKPOINT"
        )
    output = options["output"] or Path(f"{options['name'] or options['style_path'].stem}.pt")
    if output.suffix != ".pt":
        raise click.UsageError(f"the output is {output}; wanted a name that ends in .pt")
    paths: dict[str, Any] = {key: None if options[key] is None else str(options[key]) for key in _OPTIONAL_PATHS}
    config = TrainConfig(
        style_path=str(options["style_path"]),
        **paths,
        clip_share=options["clip_share"],
        gaps=options["gaps"],
        flow=options["flow"],
        preset=options["preset"],
        network=parse_network(options["preset"], options["network_changes"]),
        weights=LossWeights(
            content=options["content_weight"],
            style=options["style_weight"],
            total_variation=options["tv_weight"],
            temporal=options["temporal_weight"],
        ),
        motion=MotionConfig(noise_std=options["noise"]),
        steps=options["steps"],
        pairs=options["pairs"],
        crop=options["crop"],
        style_size=options["style_size"],
        peak_learning_rate=options["learning_rate"],
        temporal_ramp=options["temporal_ramp"],
        precision=_precision(options),
        ema_decay=options["ema_decay"],
        seed=options["seed"],
    )
    style = {"name": options["name"] or output.stem, **{key: options[key] for key in ("title", "artist", "year")}}
    return config, style, output


def _precision(options: dict[str, Any]) -> Precision:
    if options["precision"] != "auto":
        precision: Precision = options["precision"]
        return precision
    from artmirror.train.device import best_precision, find_device

    return best_precision(find_device(options["device"]))


def _resumed(ctx: click.Context, options: dict[str, Any]) -> tuple[TrainConfig, dict[str, str], Path]:
    from artmirror.train.checkpoint import load_state, state_path

    allowed = {"resume", "device", "workers", "checkpoint_every", "preview_every", "tensorboard", "dry_run", "debug"}
    given = [
        parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name not in allowed
        and parameter.name is not None
        and ctx.get_parameter_source(parameter.name) == click.core.ParameterSource.COMMANDLINE
    ]
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
        stopping = stack.enter_context(StopAfterStep(console))
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
