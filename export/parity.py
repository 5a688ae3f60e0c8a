"""Does the exported file paint what PyTorch paints? Compared on real pictures, byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import picture_paths, read_picture
from artmirror.runtime.common.pixels import SMALLEST_SIDE, Pixels, decibels
from artmirror.runtime.common.style_file import Vector
from artmirror.runtime.engines.base import Look, stylize
from artmirror.runtime.engines.memory import Memory
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.vulkan_device import vulkan_devices
from artmirror.runtime.formats.kind import EngineKind, kind_of

PSNR_FLOOR_DB = {"fp32": 45.0, "fp16": 38.0, "int8": 30.0}


@dataclass(frozen=True, slots=True)
class ParityResult:
    """How far one engine is from PyTorch in FP32, over all pictures and strengths."""

    engine: str  # back end and precision
    psnr_db: float  # of all pixels together; infinite where all are equal
    worst: int  # largest difference of a channel, of 255
    floor_db: float  # below this PSNR the check fails

    @property
    def passed(self) -> bool:
        """Whether the PSNR reaches its floor."""
        return self.psnr_db >= self.floor_db


def read_pictures(folder: Path) -> list[Pixels]:
    """All pictures of a folder as (H, W, 3) uint8 BGR.

    Raises:
        ArtmirrorError: there is none, or one cannot be used.
    """
    return [read_large_picture(path) for path in picture_paths(folder)]


def read_large_picture(path: Path) -> Pixels:
    """One picture as (H, W, 3) uint8 BGR, large enough to be painted.

    Raises:
        ArtmirrorError: it cannot be used.
    """
    picture = read_picture(path)
    if min(picture.shape[:2]) < SMALLEST_SIDE:
        raise ArtmirrorError(f"{path} is smaller than {SMALLEST_SIDE}x{SMALLEST_SIDE}; take it away")
    return picture


def check_parity(
    video_filter: VideoFilter,
    path: Path,
    pictures: list[Pixels],
    precision: str,
    styles: Sequence[Vector] = (),
) -> list[ParityResult]:
    """Compare the file at `path` in the back ends that open it with the module it was exported from.

    An ONNX is run in ONNX Runtime and OpenVINO, ncnn's files on the processor and on Vulkan, where there is a device.
    OpenVINO is asked twice: in FP32, which judges the file, and as it runs by default, which on many processors is
    bf16 and is judged as FP16 is. So is Vulkan, which takes FP16 where the device has it.

    Args:
        precision: "fp32", "fp16" or "int8", as the file was exported.
        styles: (S,) float32 each, one a picture in turn, where the network paints many paintings.

    Raises:
        ArtmirrorError: a back end cannot run the file.
    """
    results: dict[str, ParityResult] = {}
    for backend, device, full_precision, floor_db in _variants(path, precision):
        squares, count, worst, name = 0.0, 0, 0, ""
        for picture, style in zip(pictures, cycle(styles or (None,)), strict=False):
            engine = open_engine(
                path,
                size=(picture.shape[0], picture.shape[1]),
                backend=backend,
                device=device,
                full_precision=full_precision,
            )
            name = f"{backend} {device} {engine.describe().precision}"
            slot = engine.allocate(1)[0]
            memory = Memory(engine.describe().size) if video_filter.has_memory else None
            for strength in (1.0, 0.5):  # the second of a network with memory with the first in mind
                look = Look(strength, style)
                np.copyto(slot.frame, picture)
                stylize(engine, slot, look)
                difference = slot.stylized.astype(np.int32) - _painted(video_filter, picture, look, memory)
                squares += float((difference**2).sum())
                count += difference.size
                worst = max(worst, int(np.abs(difference).max()))
            engine.close()
        results.setdefault(name, ParityResult(name, decibels(squares / count), worst, floor_db))
    return list(results.values())


def _variants(path: Path, precision: str) -> list[tuple[str, str, bool, float]]:
    """Back end, device, whether in full precision, and the PSNR to reach."""
    if kind_of(path) is EngineKind.NCNN:
        on_cpu = ("ncnn", "cpu", True, PSNR_FLOOR_DB[precision])
        return [on_cpu, ("ncnn", "vulkan", False, PSNR_FLOOR_DB["fp16"])] if vulkan_devices() else [on_cpu]
    return [
        ("onnxruntime", "cpu", True, PSNR_FLOOR_DB[precision]),
        ("openvino", "cpu", True, PSNR_FLOOR_DB[precision]),
        ("openvino", "cpu", False, min(PSNR_FLOOR_DB[precision], PSNR_FLOOR_DB["fp16"])),
    ]


@torch.no_grad()
def _painted(video_filter: VideoFilter, bgr: Pixels, look: Look, memory: Memory | None) -> Pixels:
    style = None if look.style is None else torch.from_numpy(look.style)
    frame, strength = torch.from_numpy(bgr)[None], torch.tensor([look.strength])
    if memory is None:
        return np.asarray(video_filter(frame, strength, style)[0].numpy(), np.uint8)
    memory.follow(bgr, look)
    memory.bring()
    stylized, painted = video_filter(frame, strength, style, *map(torch.from_numpy, memory.by_name().values()))
    np.copyto(memory.painted, painted.numpy())
    return np.asarray(stylized[0].numpy(), np.uint8)
