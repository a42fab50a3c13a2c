"""Intervals for a share by a stratified sample, to be measured beside ours (annotate/coverage.py).

CANDIDATES: name -> function of the strata (weights that sum to 1) and a random generator, to (low, high), 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from annotate.intervals import Distribution, Part, total

Bounds = tuple[float, float]
Interval = Callable[[Sequence[Part], np.random.Generator], Bounds]
Floats = NDArray[np.float64]
TAIL = 0.025
DRAWS = 2000


def profile_exact(parts: Sequence[Part], rng: np.random.Generator) -> Bounds:
    """Ours: both tails exact, at the most likely rates."""
    return total(parts)[1:]


class _MidP(Distribution):
    def tail(self, slope: float, observed: int, upper: bool) -> float:
        chances = self.chances(slope)
        part = chances[:observed] if upper else chances[observed + 1 :]
        return float(part.sum() + chances[observed] / 2)


def profile_mid_p(parts: Sequence[Part], rng: np.random.Generator) -> Bounds:
    """The same with half of the observed value's own chance (Lancaster 1961)."""
    known = _MidP(parts)
    tail = known.narrowed(TAIL)
    low = known.bound(known.observed, tail, upper=False)
    return low, known.bound(known.observed, tail, upper=True)


def korn_graubard(parts: Sequence[Part], rng: np.random.Generator) -> Bounds:
    """Clopper-Pearson on the effective sample size (Korn and Graubard 1998)."""
    from scipy.stats import beta, t

    weight, n, _, rates, size = _columns(parts)
    rate = float(weight @ rates)
    variance = float(np.sum(weight**2 * rates * (1 - rates) / np.maximum(n - 1, 1) * (1 - n / size)))
    judged = float(n.sum())
    effective = rate * (1 - rate) / variance if variance > 0 else judged
    if judged > len(parts):
        effective *= float(t.ppf(1 - TAIL, judged - 1) / t.ppf(1 - TAIL, judged - len(parts))) ** 2
    x = rate * effective
    low = float(beta.ppf(TAIL, x, effective - x + 1)) if x > 0 else 0.0
    high = float(beta.ppf(1 - TAIL, x + 1, effective - x)) if x < effective else 1.0
    return low, high


def stratified_wilson(parts: Sequence[Part], rng: np.random.Generator) -> Bounds:
    """Wilson's interval in each stratum with a smaller z, so that the sum has the right width (Yan and Su 2010)."""
    from scipy.stats import norm

    weight, n, _, rates, _ = _columns(parts)
    z = float(norm.ppf(1 - TAIL))
    each = z
    for _ in range(20):
        middle = (rates + each**2 / (2 * n)) / (1 + each**2 / n)
        spread = np.sqrt(middle * (1 - middle) / n)
        each = z * float(np.sqrt(np.sum((weight * spread) ** 2)) / np.sum(weight * spread))
    middle = (rates + each**2 / (2 * n)) / (1 + each**2 / n)
    half = each / (1 + each**2 / n) * np.sqrt(rates * (1 - rates) / n + each**2 / (4 * n**2))
    return float(weight @ (middle - half)), float(weight @ (middle + half))


def jeffreys_by_strata(parts: Sequence[Part], rng: np.random.Generator) -> Bounds:
    """Beta(1/2, 1/2) in each stratum, what is not judged drawn from the posterior, quantiles of the whole."""
    weight, n, bad, _, size = _columns(parts)
    rates = rng.beta(bad + 0.5, n - bad + 0.5, size=(DRAWS, len(parts)))
    unseen = np.maximum(np.rint(size - n), 0).astype(int)
    shares = (bad + rng.binomial(unseen, rates)) / (n + unseen)
    low, high = np.quantile(shares @ weight, [TAIL, 1 - TAIL])
    return float(low), float(high)


def jeffreys_effective(parts: Sequence[Part], rng: np.random.Generator) -> Bounds:
    """Jeffreys' interval on the effective sample size (Franco, Little, Louis and Slud 2019)."""
    from scipy.stats import beta

    weight, n, _, rates, size = _columns(parts)
    rate = float(weight @ rates)
    variance = float(np.sum(weight**2 * rates * (1 - rates) / np.maximum(n - 1, 1) * (1 - n / size)))
    effective = rate * (1 - rate) / variance if variance > 0 else float(n.sum())
    x = rate * effective
    low = float(beta.ppf(TAIL, x + 0.5, effective - x + 0.5)) if x > 0 else 0.0
    high = float(beta.ppf(1 - TAIL, x + 0.5, effective - x + 0.5)) if x < effective else 1.0
    return low, high


def _columns(parts: Sequence[Part]) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Weight, judged, bad, rate and size of each stratum, (H,) each."""
    rows = np.array([(p.weight, p.judged, p.bad, p.bad / p.judged, p.size) for p in parts], dtype=float)
    weight, judged, bad, rate, size = rows.T
    return weight, judged, bad, rate, size


CANDIDATES: dict[str, Interval] = {
    "profile exact": profile_exact,
    "profile mid-p": profile_mid_p,
    "Korn-Graubard": korn_graubard,
    "stratified Wilson": stratified_wilson,
    "Jeffreys by strata": jeffreys_by_strata,
    "Jeffreys effective": jeffreys_effective,
}
