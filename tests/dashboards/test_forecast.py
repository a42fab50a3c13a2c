"""What the next corrections find: cases by hand, and histories whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annotate.estimate import Estimate
from annotate.seconds import Seconds
from dashboards import forecast
from dashboards.figures import Missing
from dashboards.forecast import Ahead, Curve

TIMES = Seconds(fix=30.0, ok=10.0, fixes=100, oks=100)


def audit(left: float, low: float, high: float) -> Estimate:
    return Estimate(100, 10, 0.1, 0.05, 0.2, 2000, left, low, high)


def fitted(needed: np.ndarray) -> Curve:
    found = forecast.fit(needed)
    assert isinstance(found, Curve)
    return found


def ahead(needed: np.ndarray, left: Estimate | None, worth: float | None = None) -> Ahead:
    found = forecast.look_ahead(fitted(needed), 500, TIMES, 1.0, left, worth)
    assert isinstance(found, Ahead)
    return found


def test_a_falling_history_is_found_again() -> None:
    rng = np.random.default_rng(1)
    true = 1 / (1 + np.exp(-(2 - np.arange(1000) / 250)))  # 0.88 falling to 0.12
    curve = fitted(rng.random(1000) < true)
    at = curve.chance(np.array([0, 500, 999]))
    low, high = np.quantile(at[1:], [0.025, 0.975], axis=0)
    assert (low < true[[0, 500, 999]]).all() and (true[[0, 500, 999]] < high).all()
    assert at[0][0] > at[0][1] > at[0][2]


def test_a_history_that_does_not_fall_is_taken_as_level() -> None:
    rising = np.concatenate([np.zeros(100, bool), np.ones(100, bool)])
    curve = fitted(rising)
    assert curve.fall == 0 and (curve.draws[:, 1] >= 0).all()
    assert curve.chance(np.array([0, 500]))[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_all_found_bad_or_none_stays_finite() -> None:
    for value in (True, False):
        chance = fitted(np.full(200, value)).chance(np.array([200]))
        assert np.isfinite(chance).all() and (chance[0] > 0.9) == value


def test_too_short_a_history_or_no_audit_is_no_number() -> None:
    assert isinstance(forecast.fit(np.ones(99, bool)), Missing)
    curve = fitted(np.ones(200, bool))
    assert isinstance(forecast.look_ahead(curve, 500, TIMES, 1.0, None, None), Missing)


def test_what_is_found_uses_up_what_is_left() -> None:
    assert forecast.found_in(100, np.array([0.5]), np.array([50.0]))[0] == pytest.approx(
        50 * (1 - 1 / math.e)
    )
    assert forecast.found_in(10**6, np.array([0.5]), np.array([50.0]))[0] == pytest.approx(50)
    assert forecast.found_in(100, np.array([0.5]), np.array([0.0]))[0] == 0


def test_the_next_five_hundred_and_their_cost() -> None:
    level = np.tile([True, False], 200)
    found = ahead(level, audit(300, 200, 400), 100.0)
    expected = 300 * (1 - math.exp(-500 * 0.5 / 300))  # 169.6
    assert found.bad.value == pytest.approx(expected, rel=0.01) and found.bad.low < expected < found.bad.high
    assert found.cost.value == pytest.approx(found.bad.value * 30 + (500 - found.bad.value) * 10)
    assert not isinstance(found.each, Missing) and found.each.low <= found.each.value <= found.each.high
    assert not isinstance(found.worth, Missing) and found.worth.value == pytest.approx(100 * found.bad.value)
    nothing_left = ahead(level, audit(0, 0, 0))
    assert nothing_left.bad.value == 0 and isinstance(nothing_left.each, Missing)
    assert isinstance(nothing_left.worth, Missing) and nothing_left.stop_after is None


def test_when_to_stop() -> None:
    # It pays while p > 10 / (worth - 20): at a worth of 120 from 0.1 on, so after (300 / 0.5) ln 5 = 966 more.
    now, left = np.full(5, 0.5), np.full(5, 300.0)
    found = forecast.stop_after(now, left, TIMES, 1.0, 120.0)
    assert found is not None and found.value == 966
    stop_now = forecast.stop_after(now, left, TIMES, 1.0, 15.0)  # less than the time of a fix alone
    assert stop_now is not None and stop_now.value == 0
    free = forecast.stop_after(now, left, TIMES, 0.0, 120.0)
    assert free is not None and math.isinf(free.value)
    assert forecast.stop_after(now, left, TIMES, 1.0, None) is None


def test_blocks_of_the_history() -> None:
    assert forecast.blocks(np.ones(60, bool)) == [(25, 25, 25), (60, 35, 35)]
    assert forecast.blocks(np.zeros(10, bool)) == [(10, 10, 0)]
