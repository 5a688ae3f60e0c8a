"""What `st-paint` does: reads, chooses the look, optimises, writes, and goes on where it was stopped."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from artmirror.runtime.common.command import EXIT_INTERRUPTED
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import read_picture, save_picture
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES
from artmirror.train.checkpoint import load_plain, save_plain, state_path
from artmirror.train.device import find_device
from artmirror.train.objective.vgg import VggFeatures, load_vgg
from artmirror.train.optimisation.descent import Iteration, Look, PaintWeights, coarse_to_fine, fitted_size, resized
from artmirror.train.optimisation.film import FilmPlan, paint_film
from artmirror.train.optimisation.gatys import GramLook, with_colours_of
from artmirror.train.optimisation.mrf import PatchLook
from artmirror.train.optimisation.photoreal import PhotoLook
from artmirror.train.optimisation.semantic import ground_masks, semantic_look
from artmirror.train.optimisation.texture import GRID, TextureNetwork, learn_texture, make_texture
from artmirror.train.optimisation.tiles import BYTES_PER_PIXEL
from artmirror.train.pairs.base import read_rgb, to_bgr, to_tensor
from artmirror.train.prepare.video import VideoReader, filled
from artmirror.train.progress import shown_by, stop_after_step, training_bar

Paintings = Sequence[tuple[Path, float]]
Options = dict[str, Any]  # of the command, by name

_KEPT_EVERY = 10  # iterations from one state to go on from to the next
_STATE_KIND, _TEXTURE_KIND = "artmirror painting in progress", "artmirror texture network"
_MACHINE = ("device", "memory", "preview_every", "resume", "vgg", "keep_frames")  # do not change the result
# Python, PyTorch and VGG-19 take 360 MB before there is any picture; the rest is for buffers that PyTorch keeps.
# Measured with it: 0.92 GB of 1 GB at 1200 pixels.
_PROGRAM_BYTES = 600_000_000
_LEAST_BYTES = 200_000_000  # with less, tiles would be mostly overlap
_TEXTURE_SIDE = 256  # pixels that a texture network learns with


def picture(photo: Path, paintings: Paintings, output: Path, options: Options) -> None:
    """Paint a picture.

    Raises:
        ArtmirrorError: a file cannot be read, or the picture is too large for the memory.
        SystemExit: it was interrupted.
    """
    device = find_device(options["device"])
    rgb = read_rgb(photo)
    size = fitted_size(rgb.shape[:2], options["size"])
    whole = to_tensor(rgb)[None]
    frame = resized(whole, size).to(device)
    mask = None
    if options["mask"] is not None:
        mask = resized(_read(options["mask"]).mean(1, keepdim=True), size).to(device)
    look = _look(paintings, whole, size, device, options)
    state_file = state_path(output.with_suffix(".pt"))
    about = _about(photo, paintings, options)
    done, start = 0, None
    if options["resume"]:
        kept = load_plain(state_file, _STATE_KIND)
        _check_same(kept.get("about"), about, state_file)
        done, start = int(kept["done"]), kept["picture"].to(device)
    else:
        start = _start(photo, frame, size, options)

    def keep(iteration: Iteration) -> None:
        state = {"about": about, "done": iteration.step, "picture": iteration.picture.cpu()}
        save_plain(state_file, {"kind": _STATE_KIND, "format_version": 1, **state})

    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    last = done
    with training_bar(console) as progress, stop_after_step(console) as stopping:
        show = shown_by(progress, options["iterations"])

        def observe(iteration: Iteration) -> None:
            nonlocal last
            last = iteration.step
            show(iteration)
            if iteration.step % _KEPT_EVERY == 0 or stopping():
                keep(iteration)
            every = options["preview_every"]
            if every and iteration.step % every == 0:
                folder = output.with_name(f"{output.stem}.previews")
                folder.mkdir(exist_ok=True)
                save_picture(to_bgr(iteration.picture), folder / f"iteration_{iteration.step:05d}.jpg")

        painted = coarse_to_fine(
            frame,
            look,
            iterations=options["iterations"],
            start=start,
            mask=mask,
            memory_bytes=_memory_bytes(options),
            done=done,
            observe=observe,
            should_stop=stopping,
        )
    save_picture(_coloured(painted, frame, options), output)
    if last < options["iterations"]:
        _interrupted(f"Stopped at iteration {last} of {options['iterations']}; {output} is the best so far.")
    state_file.unlink(missing_ok=True)
    click.echo(f"{output}: {size[1]}x{size[0]}, {last} iterations")


def film(source: Path, paintings: Paintings, output: Path, options: Options) -> None:
    """Paint a film; its sound and its times are kept by `st-run`, which puts it together.

    Raises:
        ArtmirrorError: a file cannot be read or written.
        SystemExit: it was interrupted.
    """
    device = find_device(options["device"])
    folder = _Folder(output.with_name(f"{output.stem}.frames"))
    about = _about(source, paintings, options)
    state_file = state_path(output.with_suffix(".pt"))
    if options["resume"]:
        kept = load_plain(state_file, _STATE_KIND)
        _check_same(kept.get("about"), about, state_file)
        count, size = int(kept["count"]), (int(kept["height"]), int(kept["width"]))
    else:
        shutil.rmtree(folder.path, ignore_errors=True)
        count, size = folder.take(source, options["size"], options["max_frames"])
        state = {"about": about, "count": count, "height": size[0], "width": size[1]}
        save_plain(state_file, {"kind": _STATE_KIND, "format_version": 1, **state})
    look = _look(paintings, to_tensor(folder.read(0, 0))[None], size, device, options)
    plan = FilmPlan(options["iterations"], options["frame_iterations"], options["passes"], options["temporal_weight"])
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    stopped = False
    with training_bar(console) as progress, stop_after_step(console) as stopping:
        show = shown_by(progress, count * plan.passes)

        def observe(number: int, frame: int, iteration: Iteration) -> None:
            nonlocal stopped
            stopped = stopping()
            done = (number - 1) * count + (frame if number % 2 else count - 1 - frame) + 1
            show(Iteration(done, count * plan.passes, iteration.losses, iteration.step_s, iteration.picture))

        paint_film(
            count,
            folder,
            look,
            plan,
            device=device,
            memory_bytes=_memory_bytes(options),
            observe=observe,
            should_stop=lambda: stopped,
        )
    if stopped:
        _interrupted(f"Stopped; {folder.path} holds what is painted.")
    painted = folder.path / f"pass_{plan.passes}"
    if options["keep_colours"] == "luminance":
        for number in range(count):
            frame, pixels = (to_tensor(folder.read(which, number))[None] for which in (0, plan.passes))
            folder.keep(plan.passes, number, _coloured(pixels, frame, options))
    words = ["--engine", f"frames:{painted}", "--input", str(source), "--size", f"{size[1]}x{size[0]}"]
    words += ["--max-frames", str(count)] if options["max_frames"] else []
    _run_runtime([*words, "-o", str(output)], f"{output} cannot be put together")
    if options["keep_frames"]:
        shutil.rmtree(folder.path / "pass_0")
    else:
        shutil.rmtree(folder.path)
    state_file.unlink(missing_ok=True)
    click.echo(f"{output}: {size[1]}x{size[0]}, {count} frames, {plan.passes} passes")


def texture(painting: Path, output: Path, options: Options) -> None:
    """Make a texture, and keep the network that makes it.

    Raises:
        ArtmirrorError: a file cannot be read.
    """
    device = find_device(options["device"])
    side = max(64, options["size"] // GRID * GRID)
    network = TextureNetwork()
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    if options["start_from"] in ("photo", "noise"):
        whole = _read(painting)
        features = _features(options, whole, device)
        with training_bar(console) as progress, stop_after_step(console) as stopping:
            network = learn_texture(
                whole.to(device),
                features,
                side=min(_TEXTURE_SIDE, side),
                iterations=options["iterations"],
                painting_scale=options["painting_scale"],
                seed=options["seed"],
                observe=shown_by(progress, options["iterations"]),
                should_stop=stopping,
            )
        weights = {name: value.cpu() for name, value in network.state_dict().items()}
        network_file = output.with_suffix(".texture.pt")
        save_plain(network_file, {"kind": _TEXTURE_KIND, "format_version": 1, "weights": weights})
    else:
        network_file = Path(options["start_from"])
        try:
            network.load_state_dict(load_plain(network_file, _TEXTURE_KIND)["weights"])
        except (RuntimeError, KeyError) as error:
            raise ArtmirrorError(f"{network_file} is no texture network of this version: {error}") from None
        network = network.to(device).eval()
    save_picture(to_bgr(make_texture(network, side, side, options["seed"])), output)
    click.echo(f"{output}: {side}x{side}, meets its own other side. More of it: --start-from {network_file}")


@dataclass(frozen=True, slots=True)
class _Folder:
    """The pictures of a film as files: `film.Pictures`."""

    path: Path

    def _file(self, number: int, frame: int) -> Path:
        return self.path / f"pass_{number}" / f"frame_{frame:06d}.png"

    def has(self, number: int, frame: int) -> bool:
        return self._file(number, frame).is_file()

    def read(self, number: int, frame: int) -> Pixels:
        return np.ascontiguousarray(read_picture(self._file(number, frame))[..., ::-1])

    def write(self, number: int, frame: int, picture: Tensor) -> None:
        self.keep(number, frame, to_bgr(picture))

    def keep(self, number: int, frame: int, pixels: Pixels) -> None:
        """`write`, of (H, W, 3) uint8 BGR."""
        file = self._file(number, frame)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_picture(pixels, file)

    def take(self, source: Path, longer: int, most: int | None) -> tuple[int, tuple[int, int]]:
        """Write the film's frames as pass 0: how many, and their (H, W)."""
        reader, count, size = VideoReader(source), 0, (0, 0)
        for frame in reader.frames():
            if count == most:
                break
            if not count:
                size = fitted_size(frame.shown, longer)
            self.keep(0, count, filled(frame, Size(*size)))
            count += 1
        if not count:
            raise ArtmirrorError(f"{source} holds no frame")
        return count, size


def _look(paintings: Paintings, photo: Tensor, size: tuple[int, int], device: torch.device, options: Options) -> Look:
    weights = PaintWeights(options["content_weight"], options["style_weight"], options["tv_weight"])
    features = _features(options, photo, device)
    pictures = []
    for path, weight in paintings:
        painting = _read(path)
        if options["keep_colours"] == "histogram":
            painting = with_colours_of(painting, photo)
        pictures.append((painting.to(device), weight))
    scale, method = options["painting_scale"], options["method"]
    if method == "gatys":
        return GramLook(pictures, features, weights, painting_scale=scale, memory_bytes=_memory_bytes(options))
    need = size[0] * size[1] * BYTES_PER_PIXEL
    if need + _PROGRAM_BYTES > options["memory"]:
        raise ArtmirrorError(
            f"{size[1]}x{size[0]} takes {(need + _PROGRAM_BYTES) / 1e9:.1f} GB with --method {method}, which does not "
            f"go in tiles, and {options['memory'] / 1e9:.1f} GB may be taken: use a smaller --size or a larger --memory"
        )
    other = pictures[0][0]
    maps = None
    if options["photo_map"] is not None:
        maps = _read(options["photo_map"]).to(device), _read(options["painting_map"]).to(device)
    if method == "photo":
        masks = None if maps is None else ground_masks(*maps)
        return PhotoLook(other, features, weights, masks=masks, realism=options["realism"], painting_scale=scale)
    if maps is not None:
        return semantic_look(other, features, weights, maps, gamma=options["map_weight"], painting_scale=scale)
    return PatchLook(other, features, weights, painting_scale=scale)


def _memory_bytes(options: Options) -> int:
    """What pictures may take of the memory that the process may take."""
    return max(_LEAST_BYTES, int(options["memory"]) - _PROGRAM_BYTES)


def _features(options: Options, photo: Tensor, device: torch.device) -> VggFeatures:
    vgg: Path | None = options["vgg"]
    known = vgg is not None and vgg.suffix == ".safetensors"  # normalised already
    return load_vgg(vgg, None if known else resized(photo, (224, 224))).to(device)


def _start(photo: Path, frame: Tensor, size: tuple[int, int], options: Options) -> Tensor | None:
    wanted = options["start_from"]
    if wanted == "photo":
        return None
    if wanted == "noise":
        generator = torch.Generator().manual_seed(options["seed"])
        return (0.5 + 0.15 * torch.randn(frame.shape, generator=generator)).clamp(0, 1).to(frame)
    path = Path(wanted)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return resized(_read(path), size).to(frame)
    with tempfile.TemporaryDirectory() as folder:
        painted = Path(folder) / "painted.png"
        words = ["--engine", str(path), "--input", str(photo), "--size", f"{size[1]}x{size[0]}", "-o", str(painted)]
        _run_runtime(words, f"{path} cannot paint the start")
        return resized(_read(painted), size).to(frame)


def _run_runtime(words: Sequence[str], otherwise: str) -> None:
    """Let `st-run` do it: the runtime is another room, which this one does not enter."""
    command = [sys.executable, "-m", "artmirror.runtime.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("Error: ")
        raise ArtmirrorError(f"{otherwise}: {told}")


def _about(source: Path, paintings: Paintings, options: Options) -> dict[str, Any]:
    """What a run that goes on has to agree in."""
    chosen: dict[str, Any] = {key: str(value) for key, value in options.items() if key not in _MACHINE}
    return chosen | {"photo": str(source), "paintings": [f"{path}:{weight}" for path, weight in paintings]}


def _check_same(kept: object, about: dict[str, Any], state_file: Path) -> None:
    if kept != about:
        raise ArtmirrorError(f"{state_file} is of a run with other options; leave out --resume to begin anew")


def _interrupted(told: str) -> None:
    click.echo(f"{told} Go on with --resume.", err=True)
    raise SystemExit(EXIT_INTERRUPTED)


def _read(path: Path) -> Tensor:
    return to_tensor(read_rgb(path))[None]


def _coloured(painted: Tensor, frame: Tensor, options: Options) -> Pixels:
    """As pixels, BGR; Gatys et al. 2017, section 5.2: luminance of the one, chroma of the other, where asked for."""
    pixels = to_bgr(painted)
    if options["keep_colours"] != "luminance":
        return pixels
    result = cv2.cvtColor(to_bgr(frame), cv2.COLOR_BGR2YCrCb)
    result[..., 0] = cv2.cvtColor(pixels, cv2.COLOR_BGR2YCrCb)[..., 0]
    return np.asarray(cv2.cvtColor(result, cv2.COLOR_YCrCb2BGR), np.uint8)
