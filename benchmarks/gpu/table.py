"""The table of a GPU session, and whether its goals were met."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from rich.console import Group

from artmirror.benchmarks.grid import Grid, markdown_grid, rich_grid
from artmirror.benchmarks.records.gpu import WITHOUT_GRAPH, GpuSession, Row

PSNR_FLOOR_DB = 38.0
END_TO_END_LIMIT = 1.15  # times the compute-only time of a frame
H200_FPS = 1500.0  # compute-only at 640x360


_MEASURED = (
    "network",
    "size",
    "engine",
    "PSNR dB",
    "compute ms p50/p95/p99",
    "FPS",
    "GB/s",
    "TFLOP/s",
    "of ceilings",
    "end to end ms p50/p95/p99",
    "FPS 1 slot",
    "FPS 2 slots",
    "FPS 3 slots",
    "asleep",
    "gain",
)
_PROGRAMS = ("network", "size", "engine", "FPS", "latency ms p50/p95/p99")


def render_record(record: GpuSession) -> Group:
    """A row for each that was measured, and below it those that were not, with their reasons; tests; goals."""
    return Group(*map(rich_grid, _grids(record)), *_notes(record))


def markdown_record(record: GpuSession) -> str:
    """The same as Markdown."""
    tables = [[f"## {grid.title}", "", *markdown_grid(grid), ""] for grid in _grids(record)]
    notes = _notes(record)
    return "\n".join(["# st-bench gpu", "", *chain(*tables), *(f"- {note}" for note in notes), ""])


def _grids(record: GpuSession) -> list[Grid]:
    rows = [row for row in record.rows if row.reason is None]
    measured = tuple(tuple(_cells(row, record.ceilings)) for row in rows if row.program_fps is None)
    programs = tuple(_program_cells(row) for row in rows if row.program_fps is not None)
    skipped = tuple((row.network, row.size, row.name, row.reason) for row in record.rows if row.reason is not None)
    grids = (
        Grid("Measured", _MEASURED, measured, texts=3),
        Grid("st-run, a test picture painted into nothing", _PROGRAMS, programs, texts=3),
        Grid("Not measured", ("network", "size", "engine", "because"), skipped, texts=4),
    )
    return [grid for grid in grids if grid.rows]


def _notes(record: GpuSession) -> list[str]:
    """What is no table: the ceilings (see `artmirror.benchmarks.gpu.pytorch`), the tests, and the goals."""
    best = [f"{name}: {value:.3g}" for name, value in record.ceilings.items()]
    notes = ["Measured ceilings: " + (", ".join(best) or "none, for want of a GPU")]
    if record.tests is not None:
        notes.append(f"pytest -m gpu: {record.tests.told}")
    words = {True: "met", False: "MISSED", None: "not measured"}
    return [*notes, *(f"{words[met]}: {goal} ({value})" for goal, met, value in check_goals(record.rows))]


def check_goals(rows: Sequence[Row]) -> list[tuple[str, bool | None, str]]:
    """The goals, whether each was met (None where nothing was measured), and the number that says so.

    The frame rate and the share of copies are asked of the network of the first row; those after it are lighter ones.
    Engines whose CUDA graph was left out are shown, and not judged.
    """
    done = [row for row in rows if row.reason is None and not row.name.endswith(WITHOUT_GRAPH)]
    ours = [row for row in done if row.name.startswith("TensorRT")]
    others = [row for row in done if not row.name.startswith(("TensorRT", "ONNX Runtime TensorRT"))]
    parity = [row.psnr_db for row in done if row.psnr_db is not None]
    # Copies and what a processor does for a frame take as long for a network that takes a fifth of the time.
    ratios = [
        row.compute_fps / row.best_end_to_end_fps
        for row in ours
        if row.network == rows[0].network and row.compute_fps and row.best_end_to_end_fps
    ]
    leads = [
        row.compute_fps / max(rates)
        for row in ours
        if row.compute_fps and (rates := [rate for rate in (_rate_of(row, other) for other in others) if rate])
    ]
    small = [
        row.compute_fps for row in ours if row.size == "640x360" and row.network == rows[0].network and row.compute_fps
    ]
    return [
        _goal(f"PSNR at least {PSNR_FLOOR_DB:.0f} dB", min(parity, default=None), lambda value: value >= PSNR_FLOOR_DB),
        _goal(
            f"end to end at most {END_TO_END_LIMIT} times compute-only",
            max(ratios, default=None),
            lambda value: value <= END_TO_END_LIMIT,
        ),
        _goal("TensorRT faster than every other row", min(leads, default=None), lambda value: value > 1),
        _goal(
            f"more than {H200_FPS:.0f} FPS compute-only at 640x360 (H200)",
            max(small, default=None),
            lambda value: value > H200_FPS,
        ),
    ]


def _rate_of(row: Row, other: Row) -> float | None:
    """Frames per second of `other`, if it ran the same network at the same size."""
    return other.compute_fps if (other.network, other.size) == (row.network, row.size) else None


def _goal(name: str, value: float | None, met: Any) -> tuple[str, bool | None, str]:
    return (name, None, "not measured") if value is None else (name, bool(met(value)), f"{value:.2f}")


def _cells(row: Row, ceilings: dict[str, float]) -> list[str]:
    bytes_per_s = (row.compute_fps or 0) * (row.frame_bytes or 0)
    flop_per_s = (row.compute_fps or 0) * (row.frame_flop or 0)
    kind = "fp32" if row.name.endswith("FP32") else "fp16"
    shares = [
        f"{achieved / ceilings[name]:.0%}"
        for achieved, name in ((bytes_per_s, "device_bytes_per_s"), (flop_per_s, f"{kind}_flop_per_s"))
        if name in ceilings
    ]
    return [
        row.network,
        row.size,
        row.name,
        _number(row.psnr_db, ".1f"),
        _percentiles(row.compute_ns),
        _number(row.compute_fps, ".0f"),
        _number(bytes_per_s / 1e9, ".0f"),
        _number(flop_per_s / 1e12, ".2f"),
        " / ".join(shares),
        _percentiles(row.end_to_end_ns),
        _number(row.end_to_end_fps_one_slot, ".0f"),
        _number(row.end_to_end_fps_two_slots, ".0f"),
        _number(row.end_to_end_fps_three_slots, ".0f"),
        _number(row.end_to_end_fps_asleep, ".0f"),
        _number(row.overlap_gain, ".2f"),
    ]


def _program_cells(row: Row) -> tuple[str, ...]:
    latencies = [f"{value:.2f}" for value in row.program_latency_ms.values()]
    return row.network, row.size, row.note, _number(row.program_fps, ".0f"), " / ".join(latencies)


def _percentiles(values_ns: Sequence[int]) -> str:
    if not values_ns:
        return "-"
    return " / ".join(f"{value / 1e6:.2f}" for value in np.percentile(values_ns, (50, 95, 99)))


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
