"""How long a frame should take: every pass at the nearer of two roofs, at the share of it that libraries reach.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 52 (2009): a pass takes the
longer of its operations over the arithmetic's roof and its bytes over the memory's. Here each roof is taken at an
efficiency, a launch costs a fixed time, and the passes of a frame follow one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from artmirror.benchmarks.predict.passes import Pass

Bound = Literal["arithmetic", "memory"]


@dataclass(frozen=True, slots=True)
class Roofs:
    """What a machine can do at best in one precision."""

    flop_per_s: float  # two operations for each multiply-accumulate
    bytes_per_s: float  # read and written


@dataclass(frozen=True, slots=True)
class Efficiencies:
    """Which shares of the roofs a library reaches; above 1 where caches are faster than the memory's roof."""

    convolution: float  # of the arithmetic's roof
    memory: float  # of the memory's roof, all but conversions
    conversion: float  # of the memory's roof, between the frame's uint8 and numbers
    launch_s: float  # of one launch, whatever it does
    channel_step: int  # convolutions compute their output channels rounded up to it; stated, not fitted
    source: str


# Where a fit starts, and what it keeps where networks cannot tell: single layers in OpenVINO's own profile
# (f2-16-32x4 at 640x360, two cores with AVX-512), against a product of 390 GFLOP/s and a copy of 40 GB/s.
PROFILED = Efficiencies(
    convolution=0.85,
    memory=1.5,
    conversion=0.075,
    launch_s=5e-6,
    channel_step=16,  # fp32 values in a vector of AVX-512
    source="single layers in a profile of OpenVINO, not fitted",
)

# `fit_efficiencies` from there, both precisions of seven networks at once: median error 3.5 %, 4.2 % for each network
# from the others. The form of the model (these four shares, steps of 16 channels) was chosen on the same seven, after
# looking at their errors, so new networks have to be expected worse. `convolution` stands at the fit's upper bound.
PROCESSOR = Efficiencies(
    convolution=1.2,
    memory=1.94,
    conversion=0.084,
    launch_s=5.5e-6,
    channel_step=PROFILED.channel_step,
    source="fitted to OpenVINO on two cores with AVX-512: seven networks at 640x360 in fp32 and bf16, 2026-11, roofs "
    "measured on a busy machine; a start, to be fitted again on a quiet one",
)

# No card was at hand to fit to. Above 1, the processor's shares tell of its caches and of roofs measured low: a card
# keeps no picture in its cache, and its roofs are public figures, of which copies reach about three quarters.
CARD = Efficiencies(
    convolution=0.5 * min(PROCESSOR.convolution, 1),
    memory=0.75 * min(PROCESSOR.memory, 1),
    conversion=0.75 * min(PROCESSOR.memory, 1),  # one kernel; the processor takes five steps
    launch_s=PROCESSOR.launch_s,
    channel_step=8,  # the width of ncnn's largest packing and of half-precision tiles
    source="assumed, no card was at hand: of public figures, half of what the fit to OpenVINO reaches of a measured "
    "product, three quarters of what it reaches of a measured copy (both capped at 1)",
)


@dataclass(frozen=True, slots=True)
class PassTime:
    """One pass under two roofs."""

    one: Pass
    arithmetic_s: float
    memory_s: float
    launch_s: float

    @property
    def bound(self) -> Bound:
        """The roof that decides."""
        return "arithmetic" if self.arithmetic_s > self.memory_s else "memory"

    @property
    def total_s(self) -> float:
        """Of the whole pass."""
        return max(self.arithmetic_s, self.memory_s) + self.launch_s


def pass_times(passes: Sequence[Pass], roofs: Roofs, shares: Efficiencies) -> tuple[PassTime, ...]:
    """The time of each pass; a frame takes their sum."""
    return tuple(
        PassTime(
            one,
            _computed_flop(one, shares.channel_step) / roofs.flop_per_s / shares.convolution,
            one.bytes_moved / roofs.bytes_per_s / (shares.conversion if one.kind == "conversion" else shares.memory),
            one.launches * shares.launch_s,
        )
        for one in passes
    )


def frame_s(passes: Sequence[Pass], roofs: Roofs, shares: Efficiencies) -> float:
    """Seconds of one frame, without copying it to a card and back."""
    return sum(time.total_s for time in pass_times(passes, roofs, shares))


def _computed_flop(one: Pass, channel_step: int) -> float:
    """With the output channels that are only computed to fill a vector or a tile."""
    channels = one.shape[1]
    return one.flop * ceil(channels / channel_step) * channel_step / channels
