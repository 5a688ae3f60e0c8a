"""The table of a GPU session, and whether its goals were met."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table

from artmirror.benchmarks.records.gpu import Row

PSNR_FLOOR_DB = 38.0
END_TO_END_LIMIT = 1.15  # times the compute-only time of a frame
H200_FPS = 1500.0  # compute-only at 640x360


def render_rows(rows: Sequence[Row], ceilings: dict[str, float]) -> Group:
    """One table: a row for each that was measured, and below it those that were not, with their reasons.

    Args:
        ceilings: What the card was measured to do at best, see `artmirror.benchmarks.gpu.pytorch`; may be empty.
    """
    columns = (
        "network",
        "size",
        "engine",
        "PSNR dB",
        "compute ms p50/p95/p99",
        "FPS",
        "GB/s",
        "TFLOP/s",
        "of ceilings",
    )
    table = Table(*columns, "end to end ms p50/p95/p99", "FPS 1 slot", "FPS 2 slots", "gain")
    for row in rows:
        if row.reason is None:
            table.add_row(*_cells(row, ceilings))
    skipped = Table("network", "size", "engine", "not measured, because", show_header=True)
    for row in rows:
        if row.reason is not None:
            skipped.add_row(row.network, row.size, row.name, row.reason)
    best = [f"{name}: {value:.3g}" for name, value in ceilings.items()]
    tables = [found for found in (table, skipped) if found.row_count]
    return Group(*tables, "Measured ceilings: " + (", ".join(best) or "none, for want of a GPU"))


def check_goals(rows: Sequence[Row]) -> list[tuple[str, bool | None, str]]:
    """The goals, whether each was met (None where nothing was measured), and the number that says so.

    The frame rate is asked of the network of the first row; those after it are lighter ones.
    """
    done = [row for row in rows if row.reason is None]
    ours = [row for row in done if row.name.startswith("TensorRT")]
    others = [row for row in done if not row.name.startswith(("TensorRT", "ONNX Runtime TensorRT"))]
    parity = [row.psnr_db for row in done if row.psnr_db is not None]
    ratios = [row.compute_fps / row.best_end_to_end_fps for row in ours if row.compute_fps and row.best_end_to_end_fps]
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
        _number(row.overlap_gain, ".2f"),
    ]


def _percentiles(values_ns: Sequence[int]) -> str:
    if not values_ns:
        return "-"
    return " / ".join(f"{value / 1e6:.2f}" for value in np.percentile(values_ns, (50, 95, 99)))


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
