"""One engine measured on a GPU: painted right, how fast alone, and how fast with transfers."""

import time
from collections.abc import Sequence

from artmirror.benchmarks.records.gpu import Row
from artmirror.runtime.common.pixels import Pixels, psnr_db
from artmirror.runtime.engines.base import FULL_STYLE, stylize
from artmirror.runtime.engines.cuda import CudaEngine
from artmirror.runtime.frame import FrameSlot

_WARMUP = 10  # frames before the measured ones


def measure_engine(
    name: str, engine: CudaEngine, picture: Pixels, painted: Pixels, frames: int, *, graphs: bool = True
) -> Row:
    """Paint `picture` and compare, then measure.

    Args:
        painted: What PyTorch in FP32 makes of `picture`; (H, W, 3) uint8 BGR both.
        frames: Measured frames of every kind.
        graphs: Whether the network is captured as CUDA graphs, where the engine does so.

    Raises:
        ArtmirrorError: the engine failed.
    """
    slots = _slots(engine, picture, 3, asleep=False, graphs=graphs)
    slots_asleep = _slots(engine, picture, 2, asleep=True, graphs=graphs)
    stylize(engine, slots[0])
    psnr = psnr_db(slots[0].stylized, painted)
    for _ in range(_WARMUP):
        stylize(engine, slots[0])
    compute_ns, end_to_end_ns = [], []
    for _ in range(frames):
        start_ns = time.perf_counter_ns()
        engine.compute(slots[0], 1)
        compute_ns.append(time.perf_counter_ns() - start_ns)
    start_s = time.perf_counter()
    engine.compute(slots[0], frames)
    compute_fps = frames / (time.perf_counter() - start_s)
    for _ in range(frames):
        start_ns = time.perf_counter_ns()
        stylize(engine, slots[0])
        end_to_end_ns.append(time.perf_counter_ns() - start_ns)
    info = engine.describe()
    return Row(
        name=name,
        size=f"{info.size[1]}x{info.size[0]}",
        library=info.library,
        note=info.note if graphs else "its CUDA graph is left out",
        psnr_db=psnr,
        compute_ns=tuple(compute_ns),
        compute_fps=compute_fps,
        end_to_end_ns=tuple(end_to_end_ns),
        end_to_end_fps_one_slot=_throughput(engine, slots[:1], frames),
        end_to_end_fps_two_slots=_throughput(engine, slots[:2], frames),
        end_to_end_fps_three_slots=_throughput(engine, slots, frames),
        end_to_end_fps_asleep=_throughput(engine, slots_asleep, frames),
    )


def _slots(engine: CudaEngine, picture: Pixels, count: int, *, asleep: bool, graphs: bool) -> list[FrameSlot]:
    """Slots with the picture in them; whoever waits for them sleeps or spins."""
    device = engine.device
    chosen = device.waits_asleep, device.captures_graphs
    device.waits_asleep, device.captures_graphs = asleep, graphs
    try:
        slots = engine.allocate(count)
    finally:
        device.waits_asleep, device.captures_graphs = chosen
    for slot in slots:
        slot.frame[:] = picture
    return slots


def _throughput(engine: CudaEngine, slots: Sequence[FrameSlot], frames: int) -> float:
    """Frames per second with all the slots in flight."""
    start_s = time.perf_counter()
    for index in range(frames + len(slots)):
        slot = slots[index % len(slots)]
        if index >= len(slots):
            engine.wait(slot)
        if index < frames:
            engine.submit(slot, FULL_STYLE)
    return frames / (time.perf_counter() - start_s)
