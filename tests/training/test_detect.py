"""What a comparison can detect: by the formula, and by trying it."""

from __future__ import annotations

import numpy as np
import pytest

from training.compare import bootstrap
from training.detect import ALIKE, brought_to, detectable, error_of, spread, state, told
from training.measures import Measured


def recall(hits: list[float], metric: str = "recall") -> Measured:
    items = [f"item-{number}" for number in range(len(hits))]
    statistics = np.array([[hit, 1.0] for hit in hits])
    return Measured("retrieval", metric, "fraction", True, "ratio", items, items, statistics)


def test_the_formula_by_hand() -> None:
    """z(0.975) + z(0.8) = 1.960 + 0.842 standard errors."""
    assert detectable(1.0) == pytest.approx(2.8016, abs=1e-4)
    assert error_of(-1.95996, 1.95996) == pytest.approx(1.0, abs=1e-4)
    assert brought_to(0.1, n=100, seeds=3, now_n=400, now_seeds=3) == pytest.approx(0.05)
    assert brought_to(0.1, n=100, seeds=4, now_n=100, now_seeds=1) == pytest.approx(0.2)
    assert brought_to(0.1, n=100, seeds=1, now_n=100, now_seeds=9) == pytest.approx(
        0.1
    )  # no more is promised


def test_a_share_varies_as_a_binomial() -> None:
    one = recall([1.0] * 30 + [0.0] * 70)
    assert spread(one) == pytest.approx((0.3 * 0.7 / 100) ** 0.5, rel=0.06)


def test_an_effect_of_the_stated_size_is_found_four_times_in_five() -> None:
    """300 comparisons of 250 paired items whose true effect, 0.0726, is just what can be detected."""
    rng = np.random.default_rng(1)
    items, lost = 250, 0.05
    gained = 0.1226  # gained - lost = 2.80 sqrt((gained + lost - (gained - lost)^2) / items)
    error = ((gained + lost - (gained - lost) ** 2) / items) ** 0.5
    assert detectable(error) == pytest.approx(gained - lost, abs=0.001)
    found = 0
    for _ in range(300):
        luck = rng.random(items)
        change = np.where(luck < lost, -1.0, np.where(luck < lost + gained, 1.0, 0.0))
        old = np.where(change < 0, 1.0, np.where(change > 0, 0.0, rng.random(items) < 0.5))
        draws = bootstrap([recall((old + change).tolist())], [recall(old.tolist())], rng, 300)
        found += np.quantile(draws, 0.025) > 0
    assert found / 300 == pytest.approx(0.8, abs=0.06)


def test_an_earlier_run_counts_before_the_assumption() -> None:
    base = [recall([1.0] * 50 + [0.0] * 50), recall([1.0] * 50 + [0.0] * 50, "other")]
    earlier = [
        {"run_id": "new", "task": "retrieval", "metric": "recall", "arm": "a", "versus": "b", "low": -0.1, "high": 0.1,
         "n": 100, "seeds": 3},
        {"run_id": "old", "task": "retrieval", "metric": "recall", "arm": "a", "versus": "b", "low": -0.9, "high": 0.9,
         "n": 100, "seeds": 3},
    ]  # fmt: skip
    found = {one.metric: one for one in state(base, [("a", "b")], 3, earlier)}
    assert found["recall"].basis == "earlier run new"
    assert found["recall"].detectable == pytest.approx(2.8016 * 0.1 / 1.95996, rel=1e-3)
    assert found["other"].basis == "assumed"
    assert found["other"].detectable == pytest.approx(2.8016 * 0.05 * (2 * (1 - ALIKE)) ** 0.5, rel=0.06)
    assert (found["other"].n, found["other"].seeds, found["other"].unit) == (100, 3, "fraction")
    same = {**earlier[0], "low": 0.0, "high": 0.0}  # two equal arms tell nothing of the spread
    assert state(base[:1], [("a", "b")], 3, [same])[0].basis == "assumed"
    single = {**earlier[0], "run_id": "single", "seeds": 1, "low": -0.01, "high": 0.01}  # nor does one seed
    (again,) = state(base[:1], [("a", "b")], 3, [single, same, *earlier])
    assert (again.basis, again.detectable) == ("earlier run new", found["recall"].detectable)
    (one_seed,) = state(base[:1], [("a", "b")], 1, [single, *earlier])
    assert one_seed.detectable == pytest.approx(3**0.5 * 2.8016 * 0.1 / 1.95996, rel=1e-3)


@pytest.mark.parametrize("hit", [0.0, 1.0])
def test_a_base_that_does_not_vary_tells_nothing(hit: float) -> None:
    """Not that an effect of 0 can be detected."""
    (one,) = state([recall([hit] * 30)], [("a", "b")], 3, [])
    assert one.detectable is None and one.basis == "cannot be told"
    assert (
        told(one)
        == "cannot tell yet what it can detect of retrieval/recall between a and b (n = 30, 3 seeds)"
    )
