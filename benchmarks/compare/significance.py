"""Whether something changed between two records, by how much, and how sure that is. Pure functions.

Times and errors alike: less is better, and a change is a ratio, new over old. SciPy's tests are used, since it is the
library that statisticians read; it is heavy, so it is an extra of its own and imported where it is needed.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, exp, inf, nan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError

ALPHA = 0.01  # of a hundred rows in which nothing changed, one is called changed
RESAMPLES = 9999  # of the bootstrap
FEWEST_PAIRS = 10  # a bootstrap of less says more of those pairs than of the network

Verdict = Literal["better", "worse", "not significant", "too few values"]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """How many times the old value the new one is."""

    ratio: float
    low: float  # the interval that holds the ratio with a confidence of 1 - ALPHA; NaN where there is none
    high: float
    verdict: Verdict

    def is_regression(self, tolerated: float) -> bool:
        """Whether it got worse for sure, and by more than the part that is tolerated."""
        return self.verdict == "worse" and self.ratio > 1 + tolerated


def compare_rounds(old: Sequence[float], new: Sequence[float]) -> Change:
    """Compare times, one of each round, by Mann and Whitney's U test.

    A round and not a frame is one observation: neighbouring frames share the machine's mood, and tests that take them
    for independent see a change in everything. Ranks and not means, since what disturbs a machine only ever adds time.

    The ratio is the median of all ratios of a new to an old time (Hodges and Lehmann 1963). The interval holds the
    ratios that the same test would not reject, so it leaves out 1 exactly where the verdict is better or worse.

    Raises:
        ArtmirrorError: SciPy is not installed.
    """
    mannwhitneyu = _scipy_stats().mannwhitneyu
    before, after = np.log(np.asarray(old, np.float64)), np.log(np.asarray(new, np.float64))
    differences = np.subtract.outer(after, before).ravel()
    middle = float(np.median(differences))
    if 2 / comb(len(old) + len(new), len(old)) >= ALPHA:  # not even rounds that do not overlap would be significant
        return Change(exp(middle), nan, nan, "too few values")

    def plausible(shift: float) -> bool:
        return float(mannwhitneyu(after - shift, before).pvalue) >= ALPHA

    low, high = _interval(np.unique(differences), middle, plausible)
    return Change(exp(middle), exp(low), exp(high), "not significant" if plausible(0.0) else _direction(middle))


def compare_pairs(old: Sequence[float], new: Sequence[float]) -> Change:
    """Compare e_stab of the same pairs of frames by a paired bootstrap over the pairs.

    Args:
        old: Squared errors, see `metric.squared_error`.
        new: Those of the same pairs.

    Raises:
        ArtmirrorError: SciPy is not installed.
    """
    before, after = np.asarray(old, np.float64), np.asarray(new, np.float64)
    if np.array_equal(before, after):
        return Change(1.0, 1.0, 1.0, "not significant")
    ratio = float(_root_ratio(before, after)) if before.any() else inf
    if len(old) < FEWEST_PAIRS:
        return Change(ratio, nan, nan, "too few values")
    if not before.any():
        return Change(inf, inf, inf, "worse")
    found = _scipy_stats().bootstrap(
        (before, after),
        _root_ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=1 - ALPHA,
        method="percentile",
        rng=np.random.default_rng(0),  # the same records always get the same verdict
    )
    low, high = (float(value) for value in found.confidence_interval)
    return Change(ratio, low, high, "not significant" if low <= 1 <= high else _direction(ratio - 1))


def _interval(edges: Values, middle: float, plausible: Callable[[float], bool]) -> tuple[float, float]:
    """The edges around all plausible shifts. Whether a shift is plausible can only change at an edge."""
    between = (edges[1:] + edges[:-1]) / 2
    centre = int(np.searchsorted(between, middle))
    first = bisect_left(range(centre), True, key=lambda index: plausible(float(between[index])))
    after = range(centre, len(between))
    last = centre + bisect_left(after, True, key=lambda index: not plausible(float(between[index])))
    return float(edges[first]), float(edges[last])


def _root_ratio(before: Values, after: Values, axis: int = -1) -> Values:
    ratio: Values = np.sqrt(after.mean(axis=axis) / before.mean(axis=axis))
    return ratio


def _direction(change: float) -> Verdict:
    return "better" if change < 0 else "worse"


def _scipy_stats() -> Any:  # SciPy ships no types
    try:
        from scipy import stats
    except ImportError:
        raise ArtmirrorError(
            "comparing needs the package scipy; install it with pip install 'artmirror[bench]'"
        ) from None
    return stats
