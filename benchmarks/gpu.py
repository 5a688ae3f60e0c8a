"""All that is to be measured on a GPU in one call: `python -m artmirror.benchmarks.gpu starry.pt --json out.json`.

Exports and builds are `st-export`, PyTorch is `artmirror.export.pytorch_rows`: programs of their own, started here and
read by file, since the benchmarks import the runtime alone. So one of them that fails is a row with a reason.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from artmirror.benchmarks.environment import read_environment
from artmirror.benchmarks.gpu_report import check_goals, render_rows
from artmirror.benchmarks.gpu_rows import Row, measure_engine
from artmirror.runtime.command import Command, SizeType, common_options
from artmirror.runtime.cuda import open_device
from artmirror.runtime.engine_cuda import CudaEngine
from artmirror.runtime.engines import open_engine
from artmirror.runtime.errors import ArtmirrorError

_SIZES = ("640x360", "1280x720", "1920x1080")
# Name -> (library that builds a plan, or None for the ONNX itself; back end)
_ENGINES = {
    "TensorRT FP16": ("tensorrt", "tensorrt"),
    "TensorRT-RTX FP16": ("tensorrt_rtx", "tensorrt"),
    "ONNX Runtime CUDA FP16": (None, "onnxruntime"),
    "ONNX Runtime TensorRT FP16": (None, "onnxruntime-tensorrt"),
}


@dataclass(slots=True)
class Session:
    """What is written to the JSON file."""

    device: dict[str, Any]
    environment: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    sizes: dict[str, dict[str, float]] = field(default_factory=dict)  # flop and bytes of a frame
    ceilings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clock:
    """How much of the time is left."""

    end_s: float  # of time.monotonic()

    @property
    def left_s(self) -> float:
        return self.end_s - time.monotonic()


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--size", "sizes", type=SizeType(), multiple=True, default=_SIZES, help="Sizes of the frames.")
@click.option("--frames", type=click.IntRange(1), default=300, help="Measured frames of every kind.")
@click.option("--minutes", type=click.FloatRange(0.1), default=9.0, help="What is not begun by then is left out.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write all values there.")
@common_options("gpu")
def main(
    checkpoint: Path,
    sizes: tuple[tuple[int, int], ...],
    frames: int,
    minutes: float,
    json_path: Path | None,
    debug: bool,
) -> None:
    """Build engines of CHECKPOINT, compare what they paint with PyTorch in FP32, and time them beside PyTorch.

    A row that cannot be measured here is listed with its reason. The exit code is 1 if a goal was measured and missed.
    """
    clock = Clock(time.monotonic() + minutes * 60)
    session = Session(_describe_device(), asdict(read_environment()))
    click.echo(f"device: {session.device}", err=True)
    with tempfile.TemporaryDirectory(prefix="artmirror-gpu-") as name:
        folder = Path(name)
        onnx = folder / "network.onnx"
        _run_program(["artmirror.export.cli", "--fp16", "--no-parity", "--no-plan", "-o", onnx, checkpoint], clock)
        # First, and in a process of its own: it leaves the reference pictures, and then the GPU to us.
        _run_pytorch(session, checkpoint, onnx, sizes, frames, folder, clock)
        for size in sizes:
            for engine_name in _ENGINES:
                row = _measure(engine_name, onnx, size, frames, folder, clock)
                session.rows.append(row)
                click.echo(
                    f"{row.size} {row.name}: {row.reason or f'{row.compute_fps:.0f} FPS compute-only'}", err=True
                )
    if json_path is not None:
        json_path.write_text(json.dumps(asdict(session)))
    console = Console(width=200)
    console.print(render_rows(session.rows, session.sizes, session.ceilings))
    goals = check_goals(session.rows)
    for goal, met, value in goals:
        console.print(f"{'met' if met else 'not measured' if met is None else 'MISSED'}: {goal} ({value})")
    sys.exit(1 if any(met is False for _, met, _ in goals) else 0)


def _describe_device() -> dict[str, Any]:
    try:
        gpu = open_device(0)
    except ArtmirrorError as error:
        return {"reason": str(error.message)}
    return {"name": gpu.name, "compute_capability": gpu.compute_capability, "driver": gpu.driver}


def _run_pytorch(
    session: Session,
    checkpoint: Path,
    onnx: Path,
    sizes: tuple[tuple[int, int], ...],
    frames: int,
    folder: Path,
    clock: Clock,
) -> None:
    """Add what PyTorch measured."""
    wanted = [word for height, width in sizes for word in ("--size", f"{width}x{height}")]
    numbers = ["--frames", str(frames), "--onnx", onnx, "--folder", folder]
    _run_program(["artmirror.export.pytorch_rows", *wanted, *numbers, checkpoint], clock)
    found = json.loads((folder / "rows.json").read_text())
    session.sizes, session.ceilings = found["sizes"], found["ceilings"]
    session.environment["libraries"]["torch"] = found["torch"]
    session.rows += [Row.from_json(values) for values in found["rows"]]


def _measure(name: str, onnx: Path, size: tuple[int, int], frames: int, folder: Path, clock: Clock) -> Row:
    label = f"{size[1]}x{size[0]}"
    if clock.left_s < 0:
        return Row(name, label, reason="the time was up; --minutes gives more")
    library, backend = _ENGINES[name]
    path = onnx
    picture = np.load(folder / f"{label}.frame.npy")
    painted = np.load(folder / f"{label}.painted.npy")
    try:
        if library is not None:
            beside = folder / f"{library}-{label}.onnx"  # a plan gets its name from the ONNX
            beside.write_bytes(onnx.read_bytes())
            build = ["--plan", "--trt-library", library, "--size", label, beside]
            _run_program(["artmirror.export.cli", *build], clock)
            path = beside.with_suffix(".plan")
        with closing(open_engine(path, size=size, backend=backend, device="cuda")) as engine:
            assert isinstance(engine, CudaEngine)
            return measure_engine(name, engine, picture, painted, frames)
    except ArtmirrorError as error:
        return Row(name, label, reason=str(error.message))


def _run_program(command: list[Any], clock: Clock) -> None:
    """Run a module's `main` as a program.

    Raises:
        ArtmirrorError: it failed, with its last line; or the time was up.
    """
    code = f"import sys; from {command[0]} import main; main(sys.argv[1:])"
    words = [str(word) for word in command[1:]]
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=max(clock.left_s, 1),
        )
    except subprocess.TimeoutExpired:
        raise ArtmirrorError(f"{command[0]} was not done in time; --minutes gives more") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise ArtmirrorError(lines[-1].removeprefix("Error: "))


if __name__ == "__main__":
    main()
