"""What `st-train` does for the network of many paintings: train it, teach its small encoder, tune a style for it."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from artmirror.runtime.common.command import EXIT_INTERRUPTED
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.common.style_file import SUFFIX
from artmirror.train.checkpoint import StyleInfo
from artmirror.train.config import MANY_PRESETS, Precision, parse_network
from artmirror.train.distil import DistilConfig, distil, distil_config_of
from artmirror.train.distributed import is_first_process
from artmirror.train.many import ManyConfig, ManyStep, many_config_of, train_many
from artmirror.train.objective.many import ManyWeights
from artmirror.train.progress import Step, shown_by, stop_after_step, training_bar
from artmirror.train.tune import TuneConfig, tune

_FILES = {"paintings_path", "photos_path", "output", "vgg_path"}
_MACHINE = {"device", "config", "dry_run", "debug"}
_WEIGHTS = {"content_weight", "style_weight", "temporal_weight", "tv_weight"}
_OF_MANY = {
    *(_FILES | _MACHINE | _WEIGHTS),
    *("preset", "network_changes", "steps", "learning_rate", "seed", "temporal_ramp", "precision"),
    *("start_from", "checkpoint_every", "resume", "encoder_of", "memory"),
}
_OF_DISTIL = {*(_FILES | _MACHINE), "distil", "steps", "learning_rate", "seed", "start_from", "checkpoint_every"}
_OF_TUNING = {
    *(_MACHINE | _WEIGHTS | (_FILES - {"paintings_path"})),
    *("base", "painting_path", "steps", "learning_rate", "seed", "precision", "name", "title", "artist", "year"),
}
_WHILE_RESUMING = {"resume", "device", "checkpoint_every", "dry_run", "debug"}
_FIELDS = {"steps": "steps", "learning_rate": "peak_learning_rate", "seed": "seed", "temporal_ramp": "temporal_ramp"}

PrecisionHere = Callable[[Precision], Precision]  # given what stands for FP16


def run_for_many(options: dict[str, Any], given: Mapping[str, str], precision: PrecisionHere) -> bool:
    """Do what the options ask for; False where the run to resume is one of a single painting.

    Args:
        given: The options that do not have their defaults, and how each is written.
        precision: What `--precision` means here.
    """
    if options["resume"]:
        return _resume(options, given)
    if options["base"]:
        _tune(options, given, precision)
    elif options["distil"]:
        _distil(options, given)
    else:
        _train(options, given, precision)
    return True


def _resume(options: dict[str, Any], given: Mapping[str, str]) -> bool:
    output: Path = options["resume"]
    begun, distilled = many_config_of(output), distil_config_of(output)
    if begun is None and distilled is None:
        return False
    extra = [flag for key, flag in given.items() if key not in _WHILE_RESUMING]
    if extra:
        raise click.UsageError(f"--resume takes the interrupted run's configuration; leave out {', '.join(extra)}")
    if begun is not None:
        _run_training(begun, output, options)
    elif distilled is not None:
        _run_distilling(distilled, output, options)
    return True


def _train(options: dict[str, Any], given: Mapping[str, str], precision: PrecisionHere) -> None:
    _refuse(given, _OF_MANY, "the network of many paintings")
    _want_photos(options)
    preset = options["preset"] if "preset" in given else MANY_PRESETS[0]
    config = ManyConfig(
        paintings_path=str(options["paintings_path"].absolute()),
        photos_path=str(options["photos_path"].absolute()),
        vgg_path=None if options["vgg_path"] is None else str(options["vgg_path"].absolute()),
        encoder_of=None if options["encoder_of"] is None else str(options["encoder_of"].absolute()),
        network=parse_network(preset, (*options["network_changes"], *(["memory=true"] if options["memory"] else []))),
        weights=_weights(options, given, ManyWeights()),
        precision=precision("fp32"),
        **{field: options[key] for key, field in _FIELDS.items() if key in given},
    )
    _run_training(config, options["output"] or Path(f"{preset}.pt"), options)


def _run_training(config: ManyConfig, output: Path, options: dict[str, Any]) -> None:
    if options["dry_run"]:
        click.echo(json.dumps({"output": str(output), **asdict(config)}, indent=2))
        return

    def work(show: Callable[[Step], None], stopping: Callable[[], bool]) -> int:
        def show_all(step: ManyStep) -> None:
            more = {"code_variance": step.code_variance, "largest_scale": step.largest_scale}
            if step.held_out_style is not None:
                more["held_out_style"] = step.held_out_style
            show(replace(step, losses={**step.losses, **more}))

        return train_many(
            config,
            output,
            resume=bool(options["resume"]),
            start_from=options["start_from"],
            device=options["device"],
            checkpoint_every=options["checkpoint_every"],
            observe=show_all,
            should_stop=stopping,
        )

    done = _shown(config.steps, work)
    _told_where_stopped(done, config.steps, output)
    click.echo(f"{output}: {done} steps")


def _distil(options: dict[str, Any], given: Mapping[str, str]) -> None:
    _refuse(given, _OF_DISTIL | {"precision"}, "--distil")
    _want_photos(options)
    network: Path = options["distil"]
    config = DistilConfig(
        network_path=str(network.absolute()),
        network_sha256=file_sha256(network) if network.is_file() else "",
        paintings_path=str(options["paintings_path"].absolute()),
        photos_path=str(options["photos_path"].absolute()),
        vgg_path=None if options["vgg_path"] is None else str(options["vgg_path"].absolute()),
        **{field: options[key] for key, field in _FIELDS.items() if key in given},
    )
    _run_distilling(config, options["output"] or network.with_name(f"{network.stem}-small.pt"), options)


def _run_distilling(config: DistilConfig, output: Path, options: dict[str, Any]) -> None:
    if options["dry_run"]:
        click.echo(json.dumps({"output": str(output), **asdict(config)}, indent=2))
        return
    result = _shown(
        config.steps,
        lambda show, stopping: distil(
            config,
            output,
            resume=bool(options["resume"]),
            start_from=options["start_from"],
            device=options["device"],
            checkpoint_every=options["checkpoint_every"],
            observe=show,
            should_stop=stopping,
        ),
    )
    _told_where_stopped(result.steps, config.steps, output)
    click.echo(
        f"{output}: {result.steps} steps; in unseen paintings it paints {result.held_out_painted:.1%} otherwise. "
        f"Next: st-train --paintings FOLDER --photos FOLDER --start-from {shlex.quote(str(output))}"
    )


def _tune(options: dict[str, Any], given: Mapping[str, str], precision: PrecisionHere) -> None:
    _refuse(given, _OF_TUNING, "tuning a style with --base")
    painting: Path | None = options["painting_path"]
    if painting is None:
        raise click.UsageError("--painting missing; wanted the picture whose style is to be tuned")
    output: Path = options["output"] or Path(f"{options['name'] or painting.stem}{SUFFIX}")
    if output.suffix != SUFFIX:
        raise click.UsageError(f"the output is {output}; wanted a name that ends in {SUFFIX}")
    config = TuneConfig(options["base"], painting, options["photos_path"], options["vgg_path"])
    config = replace(config, weights=_weights(options, given, config.weights), precision=precision("fp32"))
    config = replace(config, **{key: options[key] for key in ("steps", "learning_rate", "seed") if key in given})
    info = StyleInfo(options["name"] or output.stem, options["title"], options["artist"], options["year"])
    if options["dry_run"]:
        click.echo(json.dumps({"output": str(output), **asdict(config)}, indent=2, default=str))
        return
    result = _shown(
        config.steps,
        lambda show, stopping: tune(config, info, output, device=options["device"], observe=show, should_stop=stopping),
    )
    if result.steps < config.steps:
        click.echo(f"Stopped at step {result.steps} of {config.steps}; {output} is what was reached.", err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    click.echo(
        f"{output}: {result.steps} steps, {output.stat().st_size / 1e3:.0f} kB; style distance "
        f"{result.style_before:.3f} -> {result.style_after:.3f} of an unpainted photo's. "
        f"Next: st-run --style {shlex.quote(str(output))} --camera 0"
    )


def _shown(steps: int, work: Callable[[Callable[[Step], None], Callable[[], bool]], Any]) -> Any:
    """Do the work under a bar that Ctrl-C can stop."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, quiet=not is_first_process())
    with training_bar(console) as progress, stop_after_step(console) as stopping:
        return work(shown_by(progress, steps), stopping)


def _told_where_stopped(done: int, steps: int, output: Path) -> None:
    if done < steps:
        again = f"st-train --resume {shlex.quote(str(output))}"
        click.echo(f"Stopped at step {done} of {steps}. Go on with: {again}", err=True)
        raise SystemExit(EXIT_INTERRUPTED)


def _refuse(given: Mapping[str, str], allowed: set[str], what: str) -> None:
    wrong = [flag for key, flag in given.items() if key not in allowed]
    if wrong:
        raise click.UsageError(f"{', '.join(wrong)}: not for {what}; leave out")


def _want_photos(options: dict[str, Any]) -> None:
    if not options["paintings_path"]:
        raise click.UsageError("--paintings missing; wanted the folder of paintings that the network was trained with")
    if not options["photos_path"]:
        raise click.UsageError("--photos missing; wanted a folder of photos beside the paintings")


def _weights(options: dict[str, Any], given: Mapping[str, str], defaults: ManyWeights) -> ManyWeights:
    names = {"content": "content", "style": "style", "temporal": "temporal", "tv": "total_variation"}
    changed = {field: options[f"{name}_weight"] for name, field in names.items() if f"{name}_weight" in given}
    return replace(defaults, **changed)
