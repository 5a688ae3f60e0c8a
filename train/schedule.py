"""How a learning rate goes over a run."""

import math


def cosine(done: int, steps: int, *, low: float, warm_up: int = 0) -> float:
    """A factor of the peak: up evenly for some steps, and half a cosine from 1 down to `low`.

    Args:
        done: Steps before this one.
        warm_up: Steps; 0 begins at the peak.
    """
    along = min(1.0, done / steps)
    rise = min(1.0, (done + 1) / warm_up) if warm_up else 1.0
    return rise * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * along)))
