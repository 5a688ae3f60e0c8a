"""`st-paint`: a picture, optimised: slow, and the best look that there is."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
import numpy as np
from rich.console import Console

from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input
from artmirror.runtime.common.option_types import BytesType, weighted
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES, WRITTEN_PICTURE_SUFFIXES
from artmirror.train.progress import shown_by, stop_after_step, training_bar

if TYPE_CHECKING:  # imports torch, which takes seconds that --help should not
    from torch import Tensor

    from artmirror.train.optimisation.gatys import Iteration

_KEPT_EVERY = 10  # iterations from one state to go on from to the next
_STATE_KIND = "artmirror painting in progress"


@cloup.command(
    "st-paint",
    cls=Command,
    extra="train",
    examples=(
        "st-paint photo.jpg --painting starry_night.jpg -o print.png",
        "st-paint photo.jpg --painting starry_night.jpg --start-from starry.onnx --size 2000 -o print.png",
        "st-paint photo.jpg --painting a.jpg:0.7 --painting b.jpg:0.3 --keep-colours luminance -o print.png",
    ),
)
@click.argument("photo", type=click.Path(path_type=Path))
@cloup.option_group(
    "Used first",
    cloup.option(
        "--painting",
        "paintings",
        multiple=True,
        metavar="FILE[:WEIGHT]",
        required=True,
        help="The painting. Several are mixed by their weights.",
    ),
    cloup.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Picture to write.  [default: PHOTO-painted.png]",
    ),
    cloup.option("--size", type=click.IntRange(64, 8192), default=512, help="Its longer side, pixels."),
    cloup.option(
        "--iterations", type=click.IntRange(1), default=200, help="Of all sizes from coarse to fine together."
    ),
    cloup.option(
        "--start-from",
        default="photo",
        metavar="photo|noise|FILE",
        help="What the first iteration begins with. A picture, or a network (.onnx, .plan) that paints it: then a few "
        "iterations are enough.",
    ),
    cloup.option("--resume", is_flag=True, help="Go on with an interrupted run of the same options."),
)
@cloup.option_group(
    "How it looks",
    cloup.option("--content-weight", type=click.FloatRange(0), default=1.0, help="How much of the photo."),
    cloup.option("--style-weight", type=click.FloatRange(0), default=100.0, help="How much of the painting."),
    cloup.option("--tv-weight", type=click.FloatRange(0), default=0.1, help="Higher is smoother."),
    cloup.option(
        "--painting-scale",
        type=click.FloatRange(0.05, 4),
        default=1.0,
        help="The painting's shorter side in units of the picture's: smaller gives finer strokes.",
    ),
    cloup.option(
        "--keep-colours",
        type=click.Choice(["luminance", "histogram"]),
        help="luminance: paint light and shade alone. histogram: the painting first takes the colours of the photo.",
    ),
    cloup.option(
        "--mask",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A picture of the same proportions: white is painted, black stays.",
    ),
)
@cloup.option_group(
    "The machine",
    cloup.option("--vgg", type=click.Path(path_type=Path), metavar="FILE", help="VGG-19 weights, as of st-train."),
    cloup.option("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, ... or auto."),
    cloup.option(
        "--memory", type=BytesType(), default="4G", metavar="SIZE", help="What it may take; larger ones go in tiles."
    ),
    cloup.option("--preview-every", type=click.IntRange(0), default=25, help="Iterations; 0 for none."),
    cloup.option("--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, help="Of the noise to start from."),
)
@common_options("st-paint")
def main(photo: Path, paintings: tuple[str, ...], output: Path | None, debug: bool, **options: Any) -> None:
    """Paint PHOTO as in a painting, by optimising its pixels (Gatys et al. 2016).

    It takes minutes, where st-run takes milliseconds, and has the best look that there is. Ctrl-C keeps the best so
    far; --resume goes on.
    """
    output = output or photo.with_name(f"{photo.stem}-painted.png")
    if output.suffix.lower() not in WRITTEN_PICTURE_SUFFIXES:
        raise click.UsageError(f"the output is {output}; wanted a name in {' '.join(WRITTEN_PICTURE_SUFFIXES)}")
    try:
        named = [(Path(name), 1.0 if weight is None else weight) for name, weight in map(weighted, paintings)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    check_not_input(output, [photo, *(path for path, _ in named)])
    if not output.parent.is_dir():
        raise ArtmirrorError(f"the folder of {output} does not exist; make it or name another with -o")
    _Work(photo, named, output, options).run()


@dataclass(slots=True)
class _Work:
    photo: Path
    paintings: list[tuple[Path, float]]
    output: Path
    options: dict[str, Any]

    def run(self) -> None:
        """Read, optimise, write."""

        from artmirror.runtime.common.pictures import save_picture
        from artmirror.train.checkpoint import load_plain, save_plain, state_path
        from artmirror.train.device import find_device
        from artmirror.train.objective.vgg import load_vgg
        from artmirror.train.optimisation.gatys import PaintWeights, paint, resized, with_colours_of
        from artmirror.train.pairs.base import read_rgb, to_tensor

        options = self.options
        device = find_device(options["device"])
        rgb = read_rgb(self.photo)
        size = _fitted_size(rgb.shape[:2], options["size"])
        whole = to_tensor(rgb)[None]
        frame = resized(whole, size).to(device)
        pictures = []
        for path, weight in self.paintings:
            painting = to_tensor(read_rgb(path))[None]
            if options["keep_colours"] == "histogram":
                painting = with_colours_of(painting, whole)
            pictures.append((painting.to(device), weight))
        mask = None
        if options["mask"] is not None:
            mask = resized(to_tensor(read_rgb(options["mask"]))[None].mean(1, keepdim=True), size).to(device)
        vgg: Path | None = options["vgg"]
        known = vgg is not None and vgg.suffix == ".safetensors"  # normalised already
        features = load_vgg(vgg, None if known else resized(whole, (224, 224))).to(device)
        state_file = state_path(self.output.with_suffix(".pt"))
        about: dict[str, Any] = {
            **{key: str(value) for key, value in options.items() if key not in _MACHINE},
            "photo": str(self.photo),
        }
        about |= {"paintings": [f"{path}:{weight}" for path, weight in self.paintings]}
        done, start = 0, None
        if options["resume"]:
            kept = load_plain(state_file, _STATE_KIND)
            if kept.get("about") != about:
                raise ArtmirrorError(f"{state_file} is of a run with other options; leave out --resume to begin anew")
            done, start = int(kept["done"]), kept["picture"].to(device)
        else:
            start = self._start(frame, size)

        def keep(iteration: "Iteration") -> None:
            picture = iteration.picture.cpu()
            save_plain(
                state_file,
                {"kind": _STATE_KIND, "format_version": 1, "about": about, "done": iteration.step, "picture": picture},
            )

        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        last = done
        with training_bar(console) as progress, stop_after_step(console) as stopping:
            show = shown_by(progress, options["iterations"])

            def observe(iteration: "Iteration") -> None:
                nonlocal last
                last = iteration.step
                show(iteration)
                if iteration.step % _KEPT_EVERY == 0 or stopping():
                    keep(iteration)
                every = options["preview_every"]
                if every and iteration.step % every == 0:
                    folder = self.output.with_name(f"{self.output.stem}.previews")
                    folder.mkdir(exist_ok=True)
                    save_picture(_to_pixels(iteration.picture), folder / f"iteration_{iteration.step:05d}.jpg")

            painted = paint(
                frame,
                pictures,
                features,
                weights=PaintWeights(options["content_weight"], options["style_weight"], options["tv_weight"]),
                iterations=options["iterations"],
                start=start,
                mask=mask,
                painting_scale=options["painting_scale"],
                memory_bytes=options["memory"],
                done=done,
                observe=observe,
                should_stop=stopping,
            )
        pixels = _to_pixels(painted)
        if options["keep_colours"] == "luminance":
            pixels = _with_chroma_of(pixels, _to_pixels(frame))
        save_picture(pixels, self.output)
        if last < options["iterations"]:
            click.echo(
                f"Stopped at iteration {last} of {options['iterations']}; {self.output} is the best so far. "
                "Go on with --resume.",
                err=True,
            )
            raise SystemExit(EXIT_INTERRUPTED)
        state_file.unlink(missing_ok=True)
        click.echo(f"{self.output}: {size[1]}x{size[0]}, {last} iterations")

    def _start(self, frame: "Tensor", size: tuple[int, int]) -> "Tensor | None":
        import torch

        from artmirror.train.optimisation.gatys import resized
        from artmirror.train.pairs.base import read_rgb, to_tensor

        wanted = self.options["start_from"]
        if wanted == "photo":
            return None
        if wanted == "noise":
            generator = torch.Generator().manual_seed(self.options["seed"])
            return (0.5 + 0.15 * torch.randn(frame.shape, generator=generator)).clamp(0, 1).to(frame)
        path = Path(wanted)
        if path.suffix.lower() in PICTURE_SUFFIXES:
            return resized(to_tensor(read_rgb(path))[None], size).to(frame)
        with tempfile.TemporaryDirectory() as folder:  # the runtime is another room: it paints by file
            painted = Path(folder) / "painted.png"
            command = [sys.executable, "-m", "artmirror.runtime.cli", "--engine", str(path), "--input", str(self.photo)]
            command += ["--size", f"{max(64, size[1])}x{max(64, size[0])}", "-o", str(painted)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                told = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("Error: ")
                raise ArtmirrorError(f"{path} cannot paint the start: {told}")
            return resized(to_tensor(read_rgb(painted))[None], size).to(frame)


_MACHINE = {"device", "memory", "preview_every", "resume", "vgg"}


def _fitted_size(shape: tuple[int, ...], longer: int) -> tuple[int, int]:
    """(H, W) in the photo's proportions, on the grid of VGG-19."""
    scale = longer / max(shape)
    height, width = (max(64, round(side * scale / 8) * 8) for side in shape)
    return height, width


def _to_pixels(picture: "Tensor") -> Any:
    rgb = (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(rgb[..., ::-1])


def _with_chroma_of(painted: Any, camera: Any) -> Any:
    """Gatys et al. 2017, section 5.2: luminance of the one, chroma of the other."""
    import cv2

    result = cv2.cvtColor(camera, cv2.COLOR_BGR2YCrCb)
    result[..., 0] = cv2.cvtColor(painted, cv2.COLOR_BGR2YCrCb)[..., 0]
    return cv2.cvtColor(result, cv2.COLOR_YCrCb2BGR)


if __name__ == "__main__":
    main()
