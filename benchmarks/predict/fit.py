"""The shares of the roofs that a library reaches, fitted to measured frames of several networks.

Least squares on the logarithm of the time, so that a fast network counts as much as a slow one. What the networks
cannot tell apart (at one size all have the same conversions) is held near where it starts:
each parameter's own deviation, in units of `_LOOSENESS`, is one residual more. Bounds keep all of them possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from artmirror.benchmarks.predict.passes import Pass
from artmirror.benchmarks.predict.roofline import Efficiencies, Roofs, frame_s
from artmirror.runtime.common.errors import ArtmirrorError

FEWEST_NETWORKS = 4
_NOISE = 0.05  # deviation of a measured time that says nothing: a residual of 1
# Of the logarithms of convolution, memory, conversion and launch_s.
_LOOSENESS = np.array([0.3, 0.5, 0.5, 0.5])
_LOWEST = np.array([0.05, 0.05, 0.005, 1e-7])
_HIGHEST = np.array([1.2, 5.0, 5.0, 1e-3])  # the roofs are measured too, and caches are faster than memory


@dataclass(frozen=True, slots=True)
class Measured:
    """One network's frame, measured."""

    name: str
    passes: tuple[Pass, ...]
    roofs: Roofs  # of the machine, measured, in the network's precision
    frame_s: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """Efficiencies, and how well they tell what they were fitted to."""

    efficiencies: Efficiencies
    predicted_s: tuple[float, ...]  # in the order of what was measured
    left_out_s: tuple[float, ...]  # each predicted from the fit to all others

    def errors(self, measured: Sequence[Measured]) -> list[float]:
        """Relative error of each prediction; positive where the real frame was faster."""
        return [found / one.frame_s - 1 for found, one in zip(self.predicted_s, measured, strict=True)]

    def left_out_errors(self, measured: Sequence[Measured]) -> list[float]:
        """The same where the network itself was left out of the fit."""
        return [found / one.frame_s - 1 for found, one in zip(self.left_out_s, measured, strict=True)]


def median_error(errors: Sequence[float]) -> float:
    """Median of their sizes."""
    return median(abs(error) for error in errors)


def fit_efficiencies(measured: Sequence[Measured], start: Efficiencies, source: str) -> Fitted:
    """Fit to all, and once more for each network without it.

    Args:
        start: Where the parameters begin, and where they stay if the networks do not tell.
        source: What the fitted ones say of themselves.

    Raises:
        ArtmirrorError: there are too few networks, or scipy is missing.
    """
    if len(measured) < FEWEST_NETWORKS:
        raise ArtmirrorError(
            f"got {len(measured)} measured networks; a fit wants at least {FEWEST_NETWORKS}, better eight: "
            "measure more with st-bench A.onnx B.onnx ... -o FILE.json, and name them all"
        )
    whole = _fit(measured, start, source)
    left_out = []
    for index, one in enumerate(measured):
        others = [*measured[:index], *measured[index + 1 :]]
        left_out.append(frame_s(one.passes, one.roofs, _fit(others, start, source)))
    return Fitted(whole, tuple(frame_s(one.passes, one.roofs, whole) for one in measured), tuple(left_out))


def _fit(measured: Sequence[Measured], start: Efficiencies, source: str) -> Efficiencies:
    first = np.log([start.convolution, start.memory, start.conversion, start.launch_s])

    def residuals(logarithms: Any) -> Any:
        found = _moved(start, logarithms, source)
        times = [frame_s(one.passes, one.roofs, found) / one.frame_s for one in measured]
        return np.concatenate([np.log(times) / _NOISE, (logarithms - first) / _LOOSENESS])

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    return _moved(start, _least_squares()(residuals, np.clip(first, *bounds), bounds=bounds).x, source)


def _moved(start: Efficiencies, logarithms: Any, source: str) -> Efficiencies:
    convolution, memory, conversion, launch_s = (float(value) for value in np.exp(logarithms))
    return Efficiencies(convolution, memory, conversion, launch_s, start.channel_step, source)


def _least_squares() -> Any:  # SciPy ships no types
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise ArtmirrorError(
            "fitting needs the package scipy; install it with pip install 'artmirror[bench]'"
        ) from None
    return least_squares
