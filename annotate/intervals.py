"""A 95 % interval of a total over strata, from the exact distribution of its estimate. Pure; no store.

    total([Part(weight=500, size=500, judged=40, bad=3), Part(500, 500, 40, 0)])     # (37.5, 8.3, 100.9)

The total is the sum over the strata of weight * rate; it is estimated by T = sum of weight * bad / judged (Horvitz and
Thompson 1952). The interval holds the totals that a test does not reject. At each total the rates of the strata are
the most likely ones that give it (the profile likelihood), and the two tails of T are then summed exactly, from the
hypergeometric distribution of each stratum (the bad ones in a sample without replacement). Since those rates come from
the sample itself, the tails are taken a little smaller. One stratum of a large pile gives the interval of Clopper and
Pearson (1934); no bad one at all gives the exact worst case over all rates.

Measured against the usual intervals for stratified samples: docs/benchmarks/coverage.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CELLS = 2000  # T is rounded to so many steps; the rounded statistic is as valid a statistic as T
ENOUGH = 1e-6
TINY = 1e-300


@dataclass(frozen=True)
class Part:
    """One stratum: `bad` of `judged` random ones of its `size` pairs; a rate of 1 would add `weight` to the total."""

    weight: float
    size: float
    judged: int
    bad: int


def total(
    parts: Sequence[Part], confidence: float = 0.95, at_least: float = 0.0
) -> tuple[float, float, float]:
    """Estimate, low, high of the total. at_least: the total is known to be no less.

    An estimate below what is known is raised to it before the upper bound is taken, so that bad luck never looks
    like certainty that nothing is left.
    """
    if not parts or any(part.judged < 1 for part in parts):
        raise ValueError("every stratum needs a judged pair")
    known = Distribution(parts)
    estimate = sum(part.weight * part.bad / part.judged for part in parts)
    tail = known.narrowed((1 - confidence) / 2)
    low = known.bound(known.observed, tail, upper=False)
    high = known.bound(max(known.observed, known.cell(at_least)), tail, upper=True)
    return estimate, min(low, estimate), max(high, estimate)


class Distribution:
    """The distribution of T along the line of most likely rates, which `slope` (the multiplier) runs through."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.weight = np.array([part.weight for part in parts])
        self.judged = np.array([part.judged for part in parts])
        self.bad = np.array([part.bad for part in parts])
        sizes = np.array([max(round(part.size), part.judged) for part in parts])
        self.samples = Samples(self.judged, sizes)
        self.whole = float(self.weight.sum())
        self.likely = (self.bad + 1) / (self.judged + 2)  # never 0 and never 1
        one = self.weight / self.judged  # what one bad pair adds
        alike = np.allclose(one, one[0], rtol=1e-9)
        self.step = float(one[0]) if alike else self.whole / CELLS
        self.places = np.rint(self.samples.k * (one / self.step)[:, None]).astype(
            np.int64
        )  # (H, most judged + 1)
        ends = np.take_along_axis(self.places, self.judged[:, None], axis=1)
        self.length = int(ends.sum()) + 1
        self.observed = int(np.take_along_axis(self.places, self.bad[:, None], axis=1).sum())

    def cell(self, value: float) -> int:
        """The step that a value of T falls into."""
        return min(int(value / self.step + ENOUGH), self.length - 1)

    def rates(self, slope: float) -> Floats:
        """(H,) the most likely rates of the total that belongs to the slope: b/p - (n-b)/(1-p) = slope * weight."""
        a, n, b = slope * self.weight, self.judged.astype(float), self.bad.astype(float)
        root = np.sqrt(np.maximum((n + a) ** 2 - 4 * a * b, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(n + a > 0, 2 * b / (n + a + root), (n + a - root) / (2 * a))
        return np.clip(np.nan_to_num(found), 0.0, 1.0)

    def narrowed(self, tail: float) -> float:
        """The tail to be summed, so that `tail` is left beyond the bound.

        Rates that are taken from the sample itself make the variance within a stratum too small, by 1 part in
        judged - 1, as a mean does where the variance is divided by n; all but one of H strata are so. And what is left
        of the variance is itself uncertain: Student's quantile takes the place of the normal one, as Korn and Graubard
        (1998) do. One stratum needs nothing of this, its rate is the total's, and neither does a sample without any
        bad one, whose bound is exact.
        """
        from scipy.stats import norm, t

        strata = len(self.weight)
        if strata == 1 or not self.bad.any():
            return tail
        variance = self.weight**2 * self.likely * (1 - self.likely) / self.judged
        lost = float(variance @ (1 / np.maximum(self.judged - 1, 1))) / float(variance.sum())
        student = t.isf(tail, max(int(self.judged.sum()) - strata, 1))
        return float(norm.sf(student * math.sqrt(1 + (1 - 1 / strata) * lost)))

    def chances(self, slope: float) -> Floats:
        """(length,) the chance of each value of T at the rates of the slope."""
        size = 1 << (self.length - 1).bit_length()
        each = self.samples.chances(self.rates(slope))
        rows = np.arange(len(each))[:, None] * size
        cells = np.where(each > 0, rows + self.places, rows)  # beyond what was judged there is no chance
        spread = np.bincount(cells.ravel(), each.ravel(), minlength=len(each) * size).reshape(len(each), size)
        return np.asarray(np.fft.irfft(np.fft.rfft(spread).prod(axis=0), size)[: self.length])

    def tail(self, slope: float, observed: int, upper: bool) -> float:
        """P(T <= observed) where the upper bound is sought, else P(T >= observed)."""
        chances = self.chances(slope)
        return float((chances[: observed + 1] if upper else chances[observed:]).sum())

    def bound(self, observed: int, tail: float, upper: bool) -> float:
        """The total at which the tail at `observed` has that probability; 0 or the whole where there is none."""
        from scipy.optimize import brentq

        if (observed <= 0 and not upper) or (observed >= self.length - 1 and upper):
            return self.whole if upper else 0.0
        sign = -1.0 if upper else 1.0
        reach = 2.5 / math.sqrt(np.sum(self.weight**2 * self.likely * (1 - self.likely) / self.judged))

        def above(distance: float) -> float:
            """The logarithm is nearly a parabola, so few steps find where it is 0."""
            return math.log(max(self.tail(sign * distance, observed, upper), TINY) / tail)

        while above(reach) > 0:
            reach *= 2
        slope = sign * brentq(above, 0.0, reach, xtol=reach * 1e-5, rtol=1e-5) if above(0.0) > 0 else 0.0
        return float(self.weight @ self.rates(slope))


class Samples:
    """Samples without replacement: judged[h] of sizes[h] pairs in each of H strata."""

    def __init__(self, judged: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        self.judged, self.sizes = judged[:, None], sizes[:, None]
        self.k = np.arange(int(judged.max()) + 1)[None, :]
        self.logs = log_factorials(int(sizes.max()))
        rest = np.maximum(self.judged - self.k, 0)
        ways = self.logs[self.sizes] - self.logs[self.judged] - self.logs[self.sizes - self.judged]
        self.fixed = -self.logs[self.k] - self.logs[rest] - ways

    def chances(self, rates: Floats) -> Floats:
        """(H, most judged + 1) the chance of 0, 1, … bad ones in the sample, where rate * size pairs are bad.

        A fraction of a pair is shared between the two whole numbers beside it.
        """
        bad = np.clip(rates, 0.0, 1.0)[:, None] * self.sizes
        whole = np.minimum(bad.astype(np.int64), self.sizes - 1)
        share = bad - whole
        return np.asarray((1 - share) * self._hypergeometric(whole) + share * self._hypergeometric(whole + 1))

    def _hypergeometric(self, bad: NDArray[np.int64]) -> Floats:
        """C(bad, k) C(size - bad, judged - k) / C(size, judged); bad: (H, 1)."""
        bad_left, good_left = bad - self.k, self.sizes - bad - self.judged + self.k
        possible = (bad_left >= 0) & (good_left >= 0) & (self.k <= self.judged)
        log = self.logs[bad] + self.logs[self.sizes - bad] + self.fixed
        log = log - self.logs[np.maximum(bad_left, 0)] - self.logs[np.maximum(good_left, 0)]
        return np.asarray(np.where(possible, np.exp(np.minimum(log, 0.0)), 0.0))


def log_factorials(most: int) -> Floats:
    """(at least most + 1,) log n! for n = 0, 1, …"""
    return _log_factorials(max(most, 1).bit_length())


@lru_cache(maxsize=4)
def _log_factorials(bits: int) -> Floats:
    from scipy.special import gammaln

    return np.asarray(gammaln(np.arange(1 << bits) + 1.0))
