"""The network in PyTorch, timed on a GPU and painted in FP32: what the exported engines are compared with.

A process of its own, which `st-bench gpu` starts: what PyTorch keeps on the GPU is gone when it ends. It leaves one
JSON file, and for each size a picture and the same picture painted in FP32, as .npy.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click
import cv2
import numpy as np
import onnx
import torch
from torch import Tensor, nn

from artmirror.export.cost import graph_cost
from artmirror.export.parity import read_pictures
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.common.pixels import psnr_db
from artmirror.train.checkpoint import load_checkpoint
from artmirror.train.pairs.base import own_pictures

ROWS = ("PyTorch eager FP32", "PyTorch eager FP16", "torch.compile FP16")
_WARMUP = 10  # runs before the measured ones
_GIB = 1 << 30


class HalfInput(nn.Module):
    """A stylizer in FP16 for a filter that hands it FP32."""

    def __init__(self, stylizer: nn.Module) -> None:
        super().__init__()
        self.half_stylizer = stylizer.half()

    def forward(self, rgb: Tensor) -> Tensor:
        painted: Tensor = self.half_stylizer(rgb.half())
        return painted


@click.command(cls=Command)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--onnx", "onnx_path", type=click.Path(path_type=Path), required=True, help="Its export, for the costs.")
@click.option("--size", "sizes", type=SizeType(), multiple=True, required=True, help="Size of the frames.")
@click.option("--frames", type=click.IntRange(1), default=200, help="Measured runs of every kind.")
@click.option("--seconds", type=float, default=300.0, help="What is not begun by then is left out.")
@click.option("--ceilings/--no-ceilings", default=True, help="Measure what the card does at best too.")
@click.option("--skip", "skipped", nargs=2, multiple=True, metavar="ROW SIZE", help="Leave this row out.")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the files go.")
@common_options("pytorch_rows")
def main(
    checkpoint: Path,
    onnx_path: Path,
    sizes: tuple[tuple[int, int], ...],
    frames: int,
    seconds: float,
    ceilings: bool,
    skipped: tuple[tuple[str, str], ...],
    folder: Path,
    debug: bool,
) -> None:
    """Time CHECKPOINT in PyTorch and leave rows.json and the reference pictures in a folder.

    The pictures come first, and rows.json is written again after every row.
    """
    end_s = time.monotonic() + seconds
    trained = load_checkpoint(checkpoint)
    photo = read_pictures(own_pictures())[0]
    model = onnx.load(onnx_path)
    there = torch.cuda.is_available()
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if there else None,
        "ceilings": _measure_ceilings() if there and ceilings else {},
        "sizes": {},
        "rows": [],
    }
    pictures: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}  # size -> frame, and it painted
    for size in sizes:
        name = f"{size[1]}x{size[0]}"
        picture = np.ascontiguousarray(cv2.resize(photo, size[::-1], interpolation=cv2.INTER_AREA))
        painted = _paint(VideoFilter(trained.stylizer()), picture, "cuda" if there else "cpu")
        np.save(folder / f"{name}.frame.npy", picture)
        np.save(folder / f"{name}.painted.npy", painted)
        pictures[name] = picture, painted
        cost = graph_cost(model, size)
        found["sizes"][name] = {"flop": 2 * cost.macs, "bytes": cost.bytes_moved}
    reason = "the time was up; --minutes gives more" if there else f"PyTorch {torch.__version__} sees no CUDA GPU"
    wanted = [(row, name) for name in pictures for row in ROWS if (row, name) not in skipped]
    found["rows"] = [{"name": row, "size": name, "reason": reason} for row, name in wanted]
    _write(found, folder)
    for values in found["rows"] if there else ():
        if time.monotonic() < end_s:
            del values["reason"]
            values |= _try_row(values["name"], VideoFilter(trained.stylizer()), *pictures[values["size"]], frames)
            _write(found, folder)


def _write(found: dict[str, Any], folder: Path) -> None:
    write_whole(folder / "rows.json", json.dumps(found).encode())


def _try_row(
    row: str, video_filter: VideoFilter, picture: np.ndarray[Any, Any], painted: np.ndarray[Any, Any], frames: int
) -> dict[str, Any]:
    try:
        return _measure_row(row, video_filter, picture, painted, frames)
    except Exception as error:  # a compiler has many ways to fail; the other rows go on
        torch.cuda.empty_cache()
        return {"reason": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}


@torch.inference_mode()
def _measure_row(
    row: str, video_filter: VideoFilter, picture: np.ndarray[Any, Any], painted: np.ndarray[Any, Any], frames: int
) -> dict[str, Any]:
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if row.endswith("FP16"):
        video_filter.painter = HalfInput(cast(nn.Module, video_filter.painter))  # type: ignore[assignment]
    network: Any = video_filter.to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]
    if row.startswith("torch.compile"):
        network = torch.compile(network, mode="reduce-overhead", dynamic=False)  # with CUDA graphs, as our engine
    host_in = torch.from_numpy(picture)[None].pin_memory()
    host_out = torch.empty_like(host_in).pin_memory()
    frame, strength = host_in.cuda(), torch.ones(1, device="cuda")

    def compute() -> Tensor:
        result: Tensor = network(frame, strength)
        return result

    def whole() -> None:
        frame.copy_(host_in, non_blocking=True)
        host_out.copy_(compute(), non_blocking=True)

    whole()
    torch.cuda.synchronize()
    return {
        "psnr_db": psnr_db(host_out[0].numpy(), painted),
        "compute_ns": _time_each(compute, frames),
        "compute_fps": _rate(compute, frames),
        "end_to_end_ns": _time_each(whole, frames),
        "end_to_end_fps_one_slot": _rate(whole, frames, each=True),
    }


def _time_each(run: Callable[[], object], frames: int) -> list[int]:
    """Nanoseconds of each run by the host's clock, from its start until the GPU is idle again."""
    times_ns = []
    for index in range(_WARMUP + frames):
        start_ns = time.perf_counter_ns()
        run()
        torch.cuda.synchronize()
        if index >= _WARMUP:
            times_ns.append(time.perf_counter_ns() - start_ns)
    return times_ns


def _rate(run: Callable[[], object], frames: int, *, each: bool = False) -> float:
    """Runs per second; `each` waits for every run, else they queue up."""
    start_s = time.perf_counter()
    for _ in range(frames):
        run()
        if each:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    return frames / (time.perf_counter() - start_s)


@torch.inference_mode()
def _paint(video_filter: VideoFilter, bgr: np.ndarray[Any, Any], device: str) -> np.ndarray[Any, Any]:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    painted = video_filter.to(device)(torch.from_numpy(bgr)[None].to(device), torch.ones(1, device=device))
    return np.asarray(painted[0].cpu().numpy(), np.uint8)


def _measure_ceilings() -> dict[str, float]:
    """What the card does at best: bytes per second of copies, FLOP per second of matrix products."""
    ceilings = _copy_rates()
    for name, kind, side in (("fp16", torch.float16, 8192), ("fp32", torch.float32, 4096)):
        ceilings[f"{name}_flop_per_s"] = _product_rate(kind, side)
    torch.cuda.empty_cache()
    return ceilings


def _copy_rates() -> dict[str, float]:
    source = torch.empty(_GIB, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    host = torch.empty(_GIB // 4, dtype=torch.uint8).pin_memory()
    part = source[: host.numel()]
    return {  # a copy on the device reads and writes every byte
        "device_bytes_per_s": 2 * _GIB * _rate(lambda: target.copy_(source), 20),
        "copy_in_bytes_per_s": host.numel() * _rate(lambda: part.copy_(host, non_blocking=True), 10),
        "copy_out_bytes_per_s": host.numel() * _rate(lambda: host.copy_(part, non_blocking=True), 10),
    }


def _product_rate(kind: torch.dtype, side: int) -> float:
    matrix = torch.randn(side, side, device="cuda").to(kind)
    torch.mm(matrix, matrix)
    torch.cuda.synchronize()
    return 2 * side**3 * _rate(lambda: torch.mm(matrix, matrix), 10)


if __name__ == "__main__":
    main()
