"""What a run measures of itself, in memory of a fixed size: an installation runs for weeks."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_KEPT = 1 << 16  # latest values; at 30 FPS the last 36 minutes


class Series:
    """The latest values of a duration in nanoseconds, and the count of all."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._values = np.zeros(kept, np.int64)
        self.count = 0

    def add(self, value_ns: int) -> None:
        """Keep one more value."""
        self._values[self.count % len(self._values)] = value_ns
        self.count += 1

    @property
    def values_ns(self) -> NDArray[np.int64]:
        """The kept values, not in order once more came than are kept."""
        return self._values[: min(self.count, len(self._values))]


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """How a run of the pipeline went.

    `frames_in` = `frames_out` + `frames_dropped`, always.
    """

    frames_in: int  # frames that the source delivered
    frames_out: int  # frames that every sink got
    frames_dropped: int
    duration_s: float  # from the start of the threads to the last frame out
    engine_ns: NDArray[np.int64]  # time that the engine spent on each frame
    latency_ns: NDArray[np.int64]  # from capture to delivered to the sinks, each frame
    deepest_queue: int  # most frames that ever waited in front of the engine

    def followed_by(self, other: "RunStatistics") -> "RunStatistics":
        """Two runs, one after the other, as one."""
        return RunStatistics(
            frames_in=self.frames_in + other.frames_in,
            frames_out=self.frames_out + other.frames_out,
            frames_dropped=self.frames_dropped + other.frames_dropped,
            duration_s=self.duration_s + other.duration_s,
            engine_ns=np.concatenate([self.engine_ns, other.engine_ns]),
            latency_ns=np.concatenate([self.latency_ns, other.latency_ns]),
            deepest_queue=max(self.deepest_queue, other.deepest_queue),
        )

    @property
    def fps(self) -> float:
        """Frames out per second, of the whole pipeline."""
        return self.frames_out / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def engine_fps(self) -> float:
        """Frames per second that the engine alone would have reached at its mean time per frame."""
        return 1e9 / float(self.engine_ns.mean()) if self.engine_ns.size else 0.0

    def latency_ms(self) -> dict[str, float | None]:
        """Percentiles of the latency in milliseconds; None without frames."""
        if not self.latency_ns.size:
            return {"p50": None, "p95": None, "p99": None}
        return {f"p{q}": float(np.percentile(self.latency_ns, q)) / 1e6 for q in (50, 95, 99)}


def free_memory_bytes() -> int | None:
    """Memory that programs can have now, with caches that would be given up; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def peak_rss_bytes() -> int | None:
    """Largest resident memory of this process so far; None where the system does not tell."""
    try:
        # getrusage would include what a parent held before exec; VmHWM starts with the program.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
