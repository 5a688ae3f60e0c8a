"""How a network with a memory remembers and forgets, beside its twin without:

    python -m artmirror.benchmarks.studies.steady starry.onnx starry-steady.onnx --photos photos/ -o steady.json

A still shot with a sensor's noise, a thing that passes, a cut, a light that is switched on: all made of photos, so that
what is right is known. With --clip and --strip it draws a film strip: input, twin, with memory.
"""

import json
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.arguments import engine_path
from artmirror.benchmarks.temporal.painters import EnginePainter
from artmirror.benchmarks.temporal.sequences import VideoSequence
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.denoise import Denoiser
from artmirror.runtime.common.pictures import picture_paths, read_picture, save_picture
from artmirror.runtime.common.pixels import Pixels

_SIZE = (360, 640)  # (H, W)
_FRAMES = 20
_EVENT = 10  # frame at which something happens
_NEAR = 0.05  # of what the event changed: then it is over
_NOISE_STD = 3.0  # levels
_STROKE_PX = 8.0  # sigma that strokes are smoothed away with
_THREADS = 2
_CELL_WIDTH_PX = 240


@click.command(cls=Command)
@click.argument("twin")
@click.argument("steady")
@click.option("--photos", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="What scenes are of.")
@click.option("--count", type=click.IntRange(1), default=6, help="Photos, spread over the folder.")
@click.option("--clip", type=click.Path(path_type=Path), metavar="FILE", help="A film for the strip.")
@click.option("--from", "first", type=click.IntRange(0), default=0, help="Its first frame on the strip.")
@click.option("--every", type=click.IntRange(1), default=1, help="Frames from one of the strip to the next.")
@click.option("--cells", type=click.IntRange(2), default=6, help="Frames on the strip.")
@click.option("--strip", type=click.Path(path_type=Path), metavar="FILE", help="The strip, JPEG or PNG.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The figures, JSON.")
@common_options("steady")
def main(twin: str, steady: str, photos: Path, count: int, output: Path | None, **options: Any) -> None:
    """Measure how long STEADY, a network with a memory, remembers what is gone, and how still it is beside TWIN."""
    paths = picture_paths(photos)
    chosen = [_scene(paths[place * len(paths) // count]) for place in range(count)]
    found = {}
    painters = [EnginePainter(engine_path(name), _SIZE, None, None, _THREADS, False) for name in (twin, steady)]
    with closing(painters[0]), closing(painters[1]):
        for name, painter in zip(("twin", "steady"), painters, strict=True):
            found[name] = _measured(painter, chosen)
            click.echo(f"{name}: " + ", ".join(f"{what} {value:.3g}" for what, value in found[name].items()))
        if options["clip"] is not None and options["strip"] is not None:
            places = [options["first"] + number * options["every"] for number in range(options["cells"])]
            save_picture(strip(options["clip"], painters, places), options["strip"], 88)
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n")


def _measured(painter: EnginePainter, scenes: list[Pixels]) -> dict[str, float]:
    others = scenes[1:] + scenes[:1]
    still = [_painted(painter, [_noisy(scene, number) for number in range(_FRAMES)]) for scene in scenes]
    denoised = [_painted(painter, _denoised([_noisy(scene, number) for number in range(_FRAMES)])) for scene in scenes]
    cuts = [_recovery(painter, [a] * _EVENT + [b] * (_FRAMES - _EVENT)) for a, b in zip(scenes, others, strict=True)]
    lights = [_recovery(painter, [a] * _EVENT + [_lit(a)] * (_FRAMES - _EVENT)) for a in scenes]
    passed = [_recovery(painter, _passing(a, b), [a] * _FRAMES) for a, b in zip(scenes, others, strict=True)]
    return {
        "change_at_rest": mean(_change(pictures) for pictures in still),
        "change_at_rest_denoised": mean(_change(pictures) for pictures in denoised),
        "first_to_last_of_still_shot": mean(_distance(pictures[0], pictures[-1]) for pictures in still),
        "frames_after_a_cut": median(cuts),
        "frames_after_light": median(lights),
        "frames_after_a_thing_passed": median(passed),
        "worst_frames": max(*cuts, *lights, *passed),
    }


def _scene(path: Path) -> Pixels:
    picture = read_picture(path)
    height, width = _SIZE
    scale = max(height / picture.shape[0], width / picture.shape[1])
    large = cv2.resize(picture, None, fx=scale * 1.001, fy=scale * 1.001, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[:height, :width])


def _noisy(scene: Pixels, number: int) -> Pixels:
    noise = np.random.default_rng(number).normal(0, _NOISE_STD, scene.shape)
    return np.asarray(np.clip(scene + noise, 0, 255), np.uint8)


def _denoised(frames: list[Pixels]) -> list[Pixels]:
    denoise = Denoiser(_SIZE)
    for frame in frames:
        denoise(frame)
    return frames


def _lit(scene: Pixels) -> Pixels:
    return np.asarray(np.clip(scene.astype(np.float32) * 1.5 + 25, 0, 255), np.uint8)


def _passing(scene: Pixels, thing: Pixels) -> list[Pixels]:
    """A square of another scene crosses, and is gone at the event."""
    frames = []
    for number in range(_FRAMES):
        frame = scene.copy()
        left = number * 50
        if number < _EVENT and left < _SIZE[1] - 150:
            frame[100:260, left : left + 150] = thing[100:260, left : left + 150]
        frames.append(frame)
    return frames


def _painted(painter: EnginePainter, frames: list[Pixels]) -> list[NDArray[np.int16]]:
    painter.forget()
    return [painter.paint(frame).pixels.astype(np.int16) for frame in frames]


def _recovery(painter: EnginePainter, frames: list[Pixels], undisturbed: list[Pixels] | None = None) -> int:
    """Frames from the event until the picture is what it should be, to a twentieth of what the event changed.

    That is what a fresh start at the event gives; or, where something passed, what is painted where nothing did. There
    strokes are smoothed away before: they may lie otherwise, and a ghost is what is left of the thing.
    """
    remembered = _painted(painter, frames)
    fresh = _painted(painter, frames[_EVENT:] if undisturbed is None else undisturbed)[-(_FRAMES - _EVENT) :]
    if undisturbed is not None:
        remembered, fresh = ([_smoothed(picture) for picture in pictures] for pictures in (remembered, fresh))
    # What a twentieth is of: how far the pictures before the event are from those after it, where they differ.
    places = np.abs(fresh[-1] - remembered[_EVENT - 1]).max(axis=2) > 24
    if not places.any():
        places[:] = True
    unit = float(np.abs(fresh[-1] - remembered[_EVENT - 1])[places].mean())
    for number, wanted in enumerate(fresh):
        if float(np.abs(remembered[_EVENT + number] - wanted)[places].mean()) <= _NEAR * unit:
            return number
    return len(fresh)


def _smoothed(picture: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _STROKE_PX), np.int16)


def _change(pictures: list[NDArray[np.int16]]) -> float:
    """Mean change from a frame to the next, of 255, once the memory is full."""
    return mean(float(np.abs(after - before).mean()) for before, after in pairwise(pictures[5:]))


def _distance(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    return float(np.abs(one - other).mean())


def strip(clip: Path, painters: list[EnginePainter], places: list[int]) -> Pixels:
    """Input, and what each painter makes of it, in rows; the frames of `places` beside each other.

    Raises:
        ArtmirrorError: the clip cannot be read.
    """
    rows: list[list[Pixels]] = [[] for _ in range(1 + len(painters))]
    for painter in painters:
        painter.forget()
    for number, frame in enumerate(VideoSequence(clip, _SIZE, places[-1] + 1).frames()):
        pictures = [frame.pixels, *(painter.paint(frame.pixels).pixels for painter in painters)]
        if number in places:
            for row, picture in zip(rows, pictures, strict=True):
                scale = _CELL_WIDTH_PX / picture.shape[1]
                small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                row.append(np.asarray(small, np.uint8))
    return np.vstack([np.hstack(row) for row in rows])


if __name__ == "__main__":
    main()
