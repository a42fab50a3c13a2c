"""Differences and their intervals: by hand, on known data, and exactly zero where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.compare import (
    Comparison,
    bootstrap,
    claim,
    contrasts,
    effects,
    sign_flip,
    strata_of,
)
from training.measures import Measured, mean_iou, ratio, root_mean_square


def recall(hits: list[float], clusters: list[str] | None = None) -> Measured:
    items = [f"item-{number}" for number in range(len(hits))]
    statistics = np.array([[hit, 1.0] for hit in hits])
    return Measured(
        "retrieval", "recall_at_1", "fraction", True, "ratio", items, clusters or items, statistics
    )


def test_summaries_by_hand() -> None:
    assert ratio(np.array([[3.0, 4.0], [0.0, 2.0]])).tolist() == [0.75, 0.0]
    assert root_mean_square(np.array([[8.0, 2.0]])).tolist() == [2.0]
    # class 0: 3 right, 1 taken for class 1; class 1: 4 right. IoU 3/4 and 4/5.
    assert mean_iou(np.array([[3.0, 1.0, 0.0, 4.0]])).tolist() == [pytest.approx(0.775)]
    # class 1 never occurs: only class 0 counts, and what was taken for class 1 is its loss
    assert mean_iou(np.array([[3.0, 1.0, 0.0, 0.0]])).tolist() == [0.75]
    nine = np.array([[5.0, 0, 1, 2, 2, 0, 0, 0, 0]])  # IoU 5/8, 2/4; class 2 never occurs
    assert mean_iou(nine).tolist() == [pytest.approx((5 / 8 + 2 / 4) / 2)]


def test_contrasts_put_the_control_arm_first() -> None:
    assert contrasts(["original", "corrected"]) == [
        ("corrected", "original"), ("original", "base"), ("corrected", "base")
    ]  # fmt: skip
    assert contrasts(["corrected"]) == [("corrected", "base")]
    assert contrasts(["original", "corrected", "reworded"])[:3] == [
        ("corrected", "original"), ("reworded", "original"), ("corrected", "reworded")
    ]  # fmt: skip
    answers = contrasts(["original", "corrected", "random", "ranked"])
    assert ("ranked", "random") in answers and ("corrected", "random") not in answers


def test_a_gain_is_claimed_only_beyond_the_reworded_arm() -> None:
    def effect(versus: str, low: float, high: float) -> Comparison:
        return Comparison("retrieval", "recall", "corrected", versus, 0.1, low, high, "fraction", True, 9, 3)

    main = ("retrieval", "recall")
    assert claim([effect("original", 0.01, 0.2), effect("reworded", 0.01, 0.2)], *main) == "gain"
    assert claim([effect("original", 0.01, 0.2), effect("reworded", -0.1, 0.2)], *main) == "style"
    assert claim([effect("original", -0.01, 0.2), effect("reworded", 0.01, 0.2)], *main) == "none"
    assert claim([effect("original", -0.2, -0.1), effect("reworded", 0.01, 0.2)], *main) == "loss"
    assert claim([effect("original", 0.01, 0.2)], *main) == "none"  # without the arm nothing is claimed


def test_seeds_widen_the_interval_as_much_as_they_differ() -> None:
    """Items agree within a seed; three seeds that gain 0, 0.1 and 0.2: the mean's standard error is 0.1 / sqrt(3)."""
    n = 1000
    base = [recall([0.0] * n) for _ in range(3)]
    better = [recall([1.0] * share + [0.0] * (n - share)) for share in (0, 100, 200)]
    rng = np.random.default_rng(0)
    draws = bootstrap(better, base, rng, resamples=20_000)
    items = np.std([np.mean([one.value for one in better])]) + (0.1 * 0.9 / n) ** 0.5
    assert draws.mean() == pytest.approx(0.1, abs=0.002)
    assert draws.std() == pytest.approx((0.1**2 / 3 + items**2) ** 0.5, rel=0.05)
    alike = bootstrap([better[1]] * 3, base, np.random.default_rng(0), resamples=20_000)
    assert alike.std() == pytest.approx((0.1 * 0.9 / n) ** 0.5, rel=0.05)


def test_the_interval_covers_what_other_seeds_and_photos_would_give() -> None:
    """150 experiments: five seeds whose true gain varies by 0.05 around 0.1, 150 items. About 95 % hold 0.1."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(150):
        old = rng.random(150) < 0.4
        news = [np.where(rng.random(150) < (0.1 + rng.normal(0, 0.05)) / 0.6, True, old) for _ in range(5)]
        arm = [recall(new.astype(float).tolist()) for new in news]
        draws = bootstrap(arm, [recall(old.astype(float).tolist())] * 5, rng, 400)
        low, high = np.quantile(draws, [0.025, 0.975])
        covered += low <= 0.1 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_strata_keep_their_share_of_the_items() -> None:
    """All legacy items hit, no template item does: within strata nothing varies, drawn together it would."""
    kinds = ["legacy"] * 20 + ["template"] * 20
    hits = [1.0] * 20 + [0.0] * 20
    one, zero = replace(recall(hits), strata=kinds), replace(recall([0.0] * 40), strata=kinds)
    assert np.ptp(bootstrap([one], [zero], np.random.default_rng(0))) == 0
    assert np.ptp(bootstrap([recall(hits)], [recall([0.0] * 40)], np.random.default_rng(0))) > 0.2
    few = replace(recall(hits), strata=["legacy"] * 38 + ["a", "b"])
    assert len(set(strata_of(few, few.items))) == 2  # two lone ones are one stratum


def test_the_p_value_of_a_sign_flip() -> None:
    """Ten items, all better: of 1,024 ways to exchange, the two that keep all signs alike are as large: 2/1024."""
    ten = sign_flip([recall([1.0] * 10)], [recall([0.0] * 10)], np.random.default_rng(0), flips=50_000)
    assert ten == pytest.approx(2 / 1024, rel=0.3)
    assert sign_flip([recall([1.0, 0.0])], [recall([1.0, 0.0])], np.random.default_rng(0)) == 1.0
    # half better, half worse: nothing is shown
    even = sign_flip([recall([1.0, 0.0] * 20)], [recall([0.0, 1.0] * 20)], np.random.default_rng(0))
    assert even > 0.9


def test_p_values_are_small_as_often_as_they_say() -> None:
    """Where two models are equally good, one p-value in twenty lies below 0.05."""
    rng = np.random.default_rng(7)
    found = [
        sign_flip([recall((rng.random(60) < 0.5).astype(float).tolist())],
                  [recall((rng.random(60) < 0.5).astype(float).tolist())], rng, flips=300)
        for _ in range(300)
    ]  # fmt: skip
    assert 0.02 <= np.mean([one < 0.05 for one in found]) <= 0.085


def test_other_numbers_of_seeds_are_refused() -> None:
    one = recall([1.0, 0.0])
    with pytest.raises(ValueError, match="2 and 3 seeds"):
        bootstrap([one] * 2, [one] * 3, np.random.default_rng(0))


def test_equal_arms_have_no_effect_at_all() -> None:
    rng = np.random.default_rng(0)
    hits = rng.integers(0, 2, 50).astype(float).tolist()
    found = effects({("a", 0): [recall(hits)], ("b", 0): [recall(hits)]}, [("a", "b")])
    assert [(one.value, one.low, one.high) for one in found] == [(0.0, 0.0, 0.0)]


def test_a_difference_is_the_mean_over_seeds() -> None:
    measured = {
        ("new", 0): [recall([1, 1, 0, 0])], ("new", 1): [recall([1, 1, 1, 1])],
        ("old", 0): [recall([0, 0, 0, 1])], ("old", 1): [recall([0, 1, 0, 1])],
    }  # fmt: skip
    (found,) = effects(measured, [("new", "old"), ("new", "absent")])
    assert found.value == pytest.approx(0.75 - 0.375)
    assert (found.arm, found.versus, found.n, found.seeds) == ("new", "old", 4, 2)
    assert found.low <= found.value <= found.high


def test_the_draws_are_paired() -> None:
    """Both arms have the same hard items; only one item differs. Unpaired, the interval would be many times as wide."""
    hits = [1.0, 0.0] * 100
    better = [1.0, *hits[1:]]
    better[1] = 1.0
    draws = bootstrap([recall(better)], [recall(hits)], np.random.default_rng(0))
    assert draws.min() >= 0
    assert np.quantile(draws, 0.975) <= 0.02
    assert draws.mean() == pytest.approx(1 / 200, abs=5e-4)


def test_the_bootstrap_of_a_share_has_the_known_spread() -> None:
    """Against an arm that never hits, the draws are binomial shares: standard deviation sqrt(p (1 - p) / n)."""
    hits = [1.0] * 30 + [0.0] * 70
    draws = bootstrap([recall(hits)], [recall([0.0] * 100)], np.random.default_rng(0), resamples=20_000)
    assert draws.mean() == pytest.approx(0.3, abs=0.003)
    assert draws.std() == pytest.approx((0.3 * 0.7 / 100) ** 0.5, rel=0.03)


def test_items_of_one_photo_are_drawn_together() -> None:
    """Ten photos with ten equal captions each know as much as ten captions, not as a hundred."""
    hits = [float(number % 2) for number in range(10) for _ in range(10)]
    clusters = [f"photo-{number}" for number in range(10) for _ in range(10)]
    zero = [0.0] * 100
    together = bootstrap([recall(hits, clusters)], [recall(zero, clusters)], np.random.default_rng(0))
    apart = bootstrap([recall(hits)], [recall(zero)], np.random.default_rng(0))
    assert together.std() == pytest.approx((0.25 / 10) ** 0.5, rel=0.06)
    assert apart.std() == pytest.approx((0.25 / 100) ** 0.5, rel=0.06)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """200 experiments of 120 paired items with a true difference of 0.1: about 95 % of the intervals hold it."""
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        old = rng.random(120) < 0.4
        new = np.where(rng.random(120) < 1 / 6, True, old)  # 0.4 + 0.6 / 6 = 0.5
        draws = bootstrap(
            [recall(new.astype(float).tolist())], [recall(old.astype(float).tolist())], rng, 400
        )
        low, high = np.quantile(draws, [0.025, 0.975])
        covered += low <= 0.1 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_ratios_of_sums_are_computed_anew_on_each_draw() -> None:
    """RMSE of a draw is not a mean of items' errors: photos with more pixels weigh more."""
    statistics = np.array([[90.0, 10.0], [0.0, 90.0]])
    items = ["a", "b"]
    one = Measured("depth", "rmse", "m", False, "root_mean_square", items, items, statistics)
    zero = Measured("depth", "rmse", "m", False, "root_mean_square", items, items, statistics * [[0.0, 1.0]])
    assert one.value == pytest.approx((90 / 100) ** 0.5)
    draws = bootstrap([one], [zero], np.random.default_rng(0))
    assert {round(value, 6) for value in draws} == {0.0, round(0.9**0.5, 6), 3.0}


def test_arms_that_were_measured_on_other_items_are_refused() -> None:
    other = recall([1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="different items"):
        bootstrap([recall([1.0, 0.0])], [other], np.random.default_rng(0))
