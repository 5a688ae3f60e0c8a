"""All that is to be measured on a GPU, in one call.

Exports and builds are `st-export`, PyTorch is `gpu/pytorch.py`: programs of their own, started here and read by file.
So one of them that fails is a row with a reason. The record is written again after every row: a run that is cut off
leaves what it has, and the next one can keep that.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from artmirror.benchmarks.gpu.marked_tests import run_marked_tests
from artmirror.benchmarks.gpu.rows import measure_engine
from artmirror.benchmarks.programs import run_program, run_st_run
from artmirror.benchmarks.records.environment import read_environment
from artmirror.benchmarks.records.gpu import WITHOUT_GRAPH, GpuSession, GpuTests, Row, write_gpu
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.cuda import CudaEngine
from artmirror.runtime.engines.cuda_device import open_device
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.tensorrt import CAPTURED

# Name -> (library that builds a plan, or None for the ONNX itself; back end)
_ENGINES = {
    "TensorRT FP16": ("tensorrt", "tensorrt"),
    "TensorRT-RTX FP16": ("tensorrt_rtx", "tensorrt"),
    "ONNX Runtime CUDA FP16": (None, "onnxruntime"),
    "ONNX Runtime TensorRT FP16": (None, "onnxruntime-tensorrt"),
}
_ST_RUN = "st-run"
_FOR_ST_RUN = ("TensorRT FP16", "TensorRT-RTX FP16", "ONNX Runtime CUDA FP16")  # the first of them that ran
_ST_RUN_S = 4.0
_TESTS_S = 120.0  # of nine minutes


def _key(row: Row) -> tuple[str, str, str]:
    return row.name, row.network, row.size


@dataclass(slots=True)
class _Session:
    """A record that grows row by row, and where it is written."""

    record: GpuSession
    path: Path | None
    kept: Sequence[Row]  # of the run before

    def find(self, name: str, network: str, size: str) -> Row | None:
        """The row that needs not be measured again."""
        return next((row for row in self.kept if _key(row) == (name, network, size)), None)

    def add(self, rows: Sequence[Row]) -> None:
        """Keep rows, tell them on stderr, and write all."""
        self.record = replace(self.record, rows=(*self.record.rows, *rows))
        for row in rows:
            fps, how = (row.compute_fps, " compute-only") if row.program_fps is None else (row.program_fps, "")
            told = row.reason or f"{fps:.0f} FPS{how}"
            click.echo(f"{row.network} {row.size} {row.name}: {told}", err=True)
        self._write()

    def set_tests(self, tests: GpuTests) -> None:
        """Keep what became of the tests, tell it on stderr, and write all."""
        self.record = replace(self.record, tests=tests)
        click.echo(f"pytest -m gpu: {tests.told}", err=True)
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            there = {_key(row) for row in self.record.rows}
            to_come = [row for row in self.kept if _key(row) not in there]  # else they are lost if this run is cut off
            write_gpu(replace(self.record, rows=(*self.record.rows, *to_come)), self.path)


@dataclass(frozen=True, slots=True)
class Clock:
    """How much of the time is left."""

    end_s: float  # of time.monotonic()

    @property
    def left_s(self) -> float:
        return self.end_s - time.monotonic()

    def need_time(self) -> None:
        """See to it that something may still begin.

        Raises:
            ArtmirrorError: the time is up.
        """
        if self.left_s < 0:
            raise ArtmirrorError("the time was up; --minutes gives more")

    def share(self, part: float) -> "Clock":
        """A clock with this part of the time that is left."""
        return Clock(time.monotonic() + part * max(self.left_s, 0))


@dataclass(frozen=True, slots=True)
class Network:
    """One of those that are compared, exported."""

    name: str
    checkpoint: Path
    folder: Path  # of its own, with network.onnx

    @property
    def onnx(self) -> Path:
        """In FP16."""
        return self.folder / "network.onnx"


def measure_gpu(
    checkpoints: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    frames: int,
    minutes: float,
    output: Path | None,
    before: GpuSession | None = None,
) -> GpuSession:
    """Export, test, build and measure; each row is told on stderr and written as soon as it is there.

    Args:
        checkpoints: Of different names; the speed goals are for the first.
        sizes: (H, W) of the frames; `st-run` is measured at the first.
        frames: Measured frames of every kind.
        minutes: What is not begun by then is left out.
        output: Gets the record after every row; None for nowhere.
        before: A record of the same networks on the same GPU, whose measured rows are kept; its tests too if all were
            run and none failed.

    Raises:
        ArtmirrorError: a checkpoint cannot be exported, the record cannot be written, or `before` is of another GPU.
    """
    clock = Clock(time.monotonic() + minutes * 60)
    record, kept = GpuSession(read_environment(), _describe_device()), []
    if before is not None:
        if before.device != record.device:
            raise ArtmirrorError(
                f"the record is of another GPU ({_told(before.device)}); measure again, without --resume"
            )
        kept = [row for row in before.rows if row.reason is None]
        passed = before.tests is not None and before.tests.reason is None and not before.tests.failed
        record = replace(record, ceilings=before.ceilings, tests=before.tests if passed else None)
    session = _Session(record, output, kept)
    click.echo(f"device: {_told(record.device)}", err=True)
    libraries = [f"{library} {version}" for library, version in record.environment.libraries.items()]
    click.echo(f"libraries: {', '.join(libraries)}", err=True)
    with tempfile.TemporaryDirectory(prefix="artmirror-gpu-") as name:
        # First of all: a file that is no checkpoint is told at once.
        networks = [_export(path, Path(name) / path.stem, clock) for path in checkpoints]
        if record.tests is None:
            session.set_tests(_run_tests(record, clock))
        for index, network in enumerate(networks):
            share = clock.share(1 / (len(networks) - index))
            # First, and in a process of its own: it leaves the reference pictures, and then the GPU to us.
            costs = _run_pytorch(session, network, sizes, frames, share)
            for size in sizes:
                for engine_name in _ENGINES:
                    for row in _measure(engine_name, network, size, frames, share, session):
                        session.add([replace(row, **costs[row.size])])
            row = _measure_st_run(network, sizes[0], share, session)
            session.add([replace(row, **costs[row.size])])
    return session.record


def _describe_device() -> dict[str, Any]:
    try:
        gpu = open_device(0)
    except ArtmirrorError as error:
        return {"reason": str(error.message)}
    return {"name": gpu.name, "compute_capability": list(gpu.compute_capability), "driver": gpu.driver}


def _told(device: dict[str, Any]) -> str:
    return ", ".join(str(value) for value in device.values())


def _run_tests(record: GpuSession, clock: Clock) -> GpuTests:
    if "reason" in record.device:
        return GpuTests(reason=record.device["reason"])
    return run_marked_tests(Path(__file__).resolve().parents[2], max(1.0, min(_TESTS_S, clock.left_s / 4)))


def _export(checkpoint: Path, folder: Path, clock: Clock) -> Network:
    folder.mkdir()
    network = Network(checkpoint.stem, checkpoint, folder)
    run_program(
        "artmirror.export.cli", ["--fp16", "--no-parity", "--no-plan", "-o", network.onnx, checkpoint], clock.left_s
    )
    return network


def _run_pytorch(
    session: _Session,
    network: Network,
    sizes: Sequence[tuple[int, int]],
    frames: int,
    clock: Clock,
) -> dict[str, dict[str, Any]]:
    """Add what PyTorch measured in half of the time.

    Returns:
        For each size, what all rows of this network have in common: its name, and the cost of a frame.
    """
    limit_s = clock.left_s / 2
    wanted = [word for height, width in sizes for word in ("--size", f"{width}x{height}")]
    numbers = ["--frames", frames, "--seconds", limit_s, "--onnx", network.onnx, "--folder", network.folder]
    if session.record.ceilings:
        numbers.append("--no-ceilings")
    labels = [f"{width}x{height}" for height, width in sizes]
    # None of ours, so of PyTorch: its names stand beside its code, which imports it.
    ours = {*_ENGINES, *(name + WITHOUT_GRAPH for name in _ENGINES), _ST_RUN}
    kept = [row for row in session.kept if row.network == network.name and row.size in labels and row.name not in ours]
    numbers += [word for row in kept for word in ("--skip", row.name, row.size)]
    rows_path = network.folder / "rows.json"
    try:
        # A compiler that hangs is killed; what was measured by then is in the file.
        run_program("artmirror.benchmarks.gpu.pytorch", [*wanted, *numbers, network.checkpoint], 1.25 * limit_s + 20)
    except ArtmirrorError as error:
        if not rows_path.exists():
            raise
        click.echo(f"PyTorch: {error.message}", err=True)
    found = json.loads(rows_path.read_text())
    environment = session.record.environment
    libraries = {**environment.libraries, "torch": found["torch"]}
    session.record = replace(
        session.record,
        ceilings=session.record.ceilings or found["ceilings"],
        environment=replace(environment, libraries=libraries),
    )
    costs = {
        size: {"network": network.name, "frame_flop": cost["flop"], "frame_bytes": cost["bytes"]}
        for size, cost in found["sizes"].items()
    }
    rows = [Row.from_json(values) for values in found["rows"]]
    session.add([*kept, *(replace(row, **costs[row.size]) for row in rows)])
    return costs


def _measure(
    name: str, network: Network, size: tuple[int, int], frames: int, clock: Clock, session: _Session
) -> Iterator[Row]:
    """The rows of an engine: one, or one with a CUDA graph and one without."""
    label = f"{size[1]}x{size[0]}"
    library, backend = _ENGINES[name]
    names = [name, name + WITHOUT_GRAPH] if library is not None else [name]
    rows = {each: row for each in names if (row := session.find(each, network.name, label)) is not None}
    if len(rows) == len(names):
        yield from rows.values()
        return
    try:
        clock.need_time()
        path = network.onnx if library is None else _build(network, library, label, clock)
        picture = np.load(network.folder / f"{label}.frame.npy")
        painted = np.load(network.folder / f"{label}.painted.npy")
        with closing(open_engine(path, size=size, backend=backend, device="cuda")) as engine:
            assert isinstance(engine, CudaEngine)
            while names:
                each = names[0]
                if each not in rows:
                    graphs = each == name
                    if not graphs and rows[name].note != CAPTURED:
                        raise ArtmirrorError(f"the row above is one without ({rows[name].note or 'nothing told'})")
                    rows[each] = measure_engine(each, engine, picture, painted, frames, graphs=graphs)
                yield rows[names.pop(0)]
    except ArtmirrorError as error:
        for each in names:
            yield rows.get(each) or Row(each, label, reason=str(error.message))


def _measure_st_run(network: Network, size: tuple[int, int], clock: Clock, session: _Session) -> Row:
    """The row of the real program, with the best engine that was measured at this size."""
    label = f"{size[1]}x{size[0]}"
    rows = {row.name: row for row in session.record.rows if (row.network, row.size) == (network.name, label)}
    rows = {name: row for name, row in rows.items() if row.reason is None}
    engine = next((name for name in _FOR_ST_RUN if name in rows), None)
    kept = session.find(_ST_RUN, network.name, label)
    if kept is not None and (engine in (None, kept.note) or clock.left_s < 0):
        return kept
    try:
        if engine is None:
            raise ArtmirrorError(f"it takes {', '.join(_FOR_ST_RUN[:-1])} or {_FOR_ST_RUN[-1]}, and none was measured")
        clock.need_time()
        library, backend = _ENGINES[engine]
        path = network.onnx if library is None else _build(network, library, label, clock)
        frames = max(1, round(_ST_RUN_S * (rows[engine].end_to_end_fps_two_slots or 0)))
        words = ["--engine", path, "--backend", backend, "--device", "cuda", "--input", f"synthetic:{label}"]
        found = run_st_run([*words, "--max-frames", frames], min(clock.left_s, 15 * _ST_RUN_S))
    except ArtmirrorError as error:
        return Row(_ST_RUN, label, reason=str(error.message))
    return Row(_ST_RUN, label, note=engine, program_fps=found["fps"], program_latency_ms=found["latency_ms"])


def _build(network: Network, library: str, label: str, clock: Clock) -> Path:
    """A plan for one size, built once.

    Raises:
        ArtmirrorError: the library is missing, refuses, or was not done in time.
    """
    onnx = network.folder / f"{library}-{label}.onnx"  # a plan gets its name from the ONNX
    if onnx.with_suffix(".plan").exists():
        return onnx.with_suffix(".plan")
    onnx.write_bytes(network.onnx.read_bytes())
    build = ["--plan", "--trt-library", library, "--size", label, onnx]
    run_program("artmirror.export.cli", build, clock.left_s)
    return onnx.with_suffix(".plan")
