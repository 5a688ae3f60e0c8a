"""How many live streams a card carries, and how many cards a number of streams needs: arithmetic on predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from artmirror.benchmarks.grid import Grid

BUSY = 0.8  # of a card's time that is planned with: above it frames wait for each other
_PCIE_BYTES_PER_S = 10e9  # that a PCIe 3.0 x16 slot gives in practice, each way
_PCIE_BUSY = 0.5


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one device carries."""

    name: str
    frames_per_s: float
    streams: int
    devices: int  # for all streams
    bound_by: str
    cost_per_hour: float | None  # for all streams


def capacity(
    name: str,
    frames_per_s: float,
    *,
    streams: int,
    stream_fps: float,
    size: tuple[int, int],
    price_per_hour: float | None = None,
    over_bus: bool = True,
) -> Capacity:
    """How many streams of `stream_fps` frames a second one device carries.

    Args:
        frames_per_s: That the device paints, alone.
        streams: That are wanted in all.
        size: (H, W) of the frames.
        price_per_hour: Of one device.
        over_bus: Frames go to a card and back, as raw pixels.
    """
    by_time = frames_per_s * BUSY / stream_fps
    bytes_per_s = size[0] * size[1] * 3 * stream_fps
    by_bus = _PCIE_BYTES_PER_S * _PCIE_BUSY / bytes_per_s if over_bus else float("inf")
    each = floor(min(by_time, by_bus))
    devices = ceil(streams / each) if each else 0
    cost = None if price_per_hour is None or not each else devices * price_per_hour
    return Capacity(name, frames_per_s, each, devices, "transfers" if by_bus < by_time else "painting", cost)


def network_bits_per_s(streams: int, megabit: float) -> float:
    """What all streams take, each way."""
    return streams * megabit * 1e6


def capacity_grid(title: str, rows: Sequence[Capacity]) -> Grid:
    """A row for each device."""
    priced = any(row.cost_per_hour is not None for row in rows)
    header = ("device", "FPS", "streams\neach", "devices", "bound by", *(("cost\nan hour",) if priced else ()))
    return Grid(
        title,
        header,
        tuple(
            (
                row.name,
                f"{row.frames_per_s:.0f}",
                str(row.streams),
                str(row.devices) if row.devices else "too slow",
                row.bound_by,
                *((f"{row.cost_per_hour:.2f}" if row.cost_per_hour is not None else "",) if priced else ()),
            )
            for row in rows
        ),
        texts=1,
    )
