"""The interval of a total over strata: against published tables, against enumeration, at its ends."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from annotate.intervals import Part, Samples, total

LARGE = 10**7  # so that drawing without replacement makes no difference


@pytest.mark.parametrize(
    ("bad", "of", "low", "high"),
    [(0, 60, 0.0, 0.05962), (2, 10, 0.02521, 0.55610), (3, 300, 0.00207, 0.02894), (300, 300, 0.98778, 1.0)],
)
def test_one_stratum_gives_clopper_and_pearsons_interval(bad: int, of: int, low: float, high: float) -> None:
    """Clopper and Pearson (1934); the values stand in published tables."""
    found = total([Part(1.0, LARGE, of, bad)])
    assert found == (bad / of, pytest.approx(low, abs=2e-5), pytest.approx(high, abs=2e-5))


def test_equal_strata_with_equal_rates_are_nearly_one_stratum() -> None:
    """A little wider: that the rates are equal is not known."""
    _, low, high = total([Part(1.0, LARGE, 80, 8)])
    estimate, lower, higher = total([Part(0.5, LARGE, 40, 4), Part(0.5, LARGE, 40, 4)])
    assert estimate == pytest.approx(0.1) and lower < low < high < higher
    assert higher - lower == pytest.approx(high - low, rel=0.03)


def test_strata_that_differ_make_the_interval_narrower() -> None:
    """Bad ones in one stratum alone: what lies between the strata is known and needs no interval."""
    apart, alike = [Part(0.5, LARGE, 40, 0), Part(0.5, LARGE, 40, 20)], [Part(1.0, LARGE, 80, 20)]
    (_, low, high), (_, wide_low, wide_high) = total(apart), total(alike)
    assert high - low < 0.85 * (wide_high - wide_low)


def test_a_judged_pile_leaves_nothing_to_estimate() -> None:
    estimate, low, high = total([Part(100.0, 100, 100, 3)])
    assert estimate == pytest.approx(3.0) and 2.0 < low <= 3.0 <= high < 4.0
    assert total([Part(1.0, 1000, 500, 0)])[2] < 0.75 * total([Part(1.0, LARGE, 500, 0)])[2]


def test_without_any_bad_one_the_upper_bound_is_the_worst_case_over_all_rates() -> None:
    """Two strata, none bad: no pair of rates outside the bound leaves (1 - p)^n (1 - q)^m as high as 2.5 %."""
    parts = [Part(0.7, LARGE, 30, 0), Part(0.3, LARGE, 40, 0)]
    high = total(parts)[2]
    p, q = np.meshgrid(np.linspace(0, 0.3, 601), np.linspace(0, 0.3, 601))
    never_seen = (1 - p) ** 30 * (1 - q) ** 40
    assert float((0.7 * p + 0.3 * q)[never_seen >= 0.025].max()) == pytest.approx(high, abs=5e-4)


def test_an_estimate_below_what_is_known_never_looks_like_certainty() -> None:
    part = Part(100.0, 100, 20, 1)  # says 5 of 100; 30 are known already
    assert total([part])[2] < 30 < total([part], at_least=30.0)[2]
    assert total([part], at_least=4.0) == total([part])


def test_a_stratum_without_a_judged_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="judged"):
        total([Part(1.0, 10, 0, 0)])


def bad_in_sample(rate: float, judged: int, size: int) -> list[float]:
    return [float(one) for one in Samples(np.array([judged]), np.array([size])).chances(np.array([rate]))[0]]


def test_the_chance_of_a_sample_without_replacement() -> None:
    assert bad_in_sample(0.5, 1, 2) == pytest.approx([0.5, 0.5])
    assert bad_in_sample(0.25, 2, 4) == pytest.approx([0.5, 0.5, 0.0])
    assert bad_in_sample(0.375, 1, 4) == pytest.approx([0.625, 0.375]), "one and a half of four"
    assert bad_in_sample(1.0, 3, 9) == pytest.approx([0, 0, 0, 1])
    assert sum(bad_in_sample(0.1, 50, 20_000)) == pytest.approx(1.0)


def test_strata_of_unlike_size_are_each_their_own() -> None:
    both = Samples(np.array([1, 3]), np.array([2, 9])).chances(np.array([0.5, 1.0]))
    assert both.ravel().tolist() == pytest.approx([0.5, 0.5, 0, 0, 0, 0, 0, 1])


def coverage(
    rates: tuple[float, ...], weights: tuple[float, ...], judged: tuple[int, ...], size: int
) -> float:
    """The exact chance that the interval holds the truth: summed over every outcome of every stratum."""
    truth = sum(w * round(r * size) / size for w, r in zip(weights, rates, strict=True))
    chances = [bad_in_sample(round(r * size) / size, n, size) for r, n in zip(rates, judged, strict=True)]
    held = 0.0
    for outcome in product(*(range(n + 1) for n in judged)):
        chance = float(np.prod([each[k] for each, k in zip(chances, outcome, strict=True)]))
        if chance < 1e-7:
            continue
        _, low, high = total([Part(w, size, n, k) for w, n, k in zip(weights, judged, outcome, strict=True)])
        held += chance * (low - 1e-9 <= truth <= high + 1e-9)
    return held


@pytest.mark.parametrize(
    ("rates", "weights", "judged", "size"),
    [
        ((0.01, 0.05), (0.5, 0.5), (15, 15), 100),
        ((0.02, 0.3), (0.8, 0.2), (18, 12), 5000),
        ((0.1, 0.6), (0.5, 0.5), (15, 15), 5000),
        ((0.1, 0.6), (0.8, 0.2), (18, 12), 100),
        ((0.3, 0.3), (0.5, 0.5), (15, 15), 5000),
    ],
)
def test_the_interval_holds_the_truth_in_94_of_100_samples(
    rates: tuple[float, float], weights: tuple[float, float], judged: tuple[int, int], size: int
) -> None:
    assert coverage(rates, weights, judged, size) >= 0.94
