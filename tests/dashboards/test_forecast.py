"""What the next corrections find: cases by hand, and histories whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annotate.estimate import Estimate
from annotate.seconds import Seconds
from dashboards import forecast
from dashboards.figures import Missing
from dashboards.forecast import Ahead, Curve, Decline

TIMES = Seconds(fix=30.0, ok=10.0, fixes=100, oks=100)


def audit(left: float, low: float, high: float) -> Estimate:
    return Estimate(100, 10, 0.1, 0.05, 0.2, 2000, left, low, high)


def fitted(needed: np.ndarray) -> Curve:
    found = forecast.fit(needed)
    assert isinstance(found, Curve)
    return found


def decline(now: float, left: float, sure: float = 0.0) -> Decline:
    return Decline(*(np.full(5, value) for value in (now, left, sure)))


def ahead(
    needed: np.ndarray,
    left: Estimate | None,
    worth: float | None = None,
    first: tuple[int, float] | None = None,
) -> Ahead:
    found = forecast.look_ahead(fitted(needed), 500, TIMES, 1.0, left, worth, first)
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
    assert isinstance(forecast.look_ahead(curve, 500, TIMES, 1.0, None, None, None), Missing)


def test_what_is_found_uses_up_what_is_left() -> None:
    assert decline(0.5, 50).found_in(100)[0] == pytest.approx(50 * (1 - 1 / math.e))
    assert decline(0.5, 50).found_in(10**6)[0] == pytest.approx(50)
    assert decline(0.5, 0).found_in(100)[0] == 0
    sure = decline(1.0, 50, 20)  # 20 sure ones, then 30 (1 - 1/e) in the next 30
    assert sure.found_in(10)[0] == 10 and sure.found_in(50)[0] == pytest.approx(20 + 30 * (1 - 1 / math.e))
    assert sure.chance(np.array([0, 20, 50]))[0] == pytest.approx([1, 1, 1 / math.e])


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


def test_the_first_hundred_hold_what_the_stopping_rule_says() -> None:
    level = np.tile([True, False], 200)
    # p = -ln(1 - 40/200) 200/100 = .446; of the 160 then left a fifth again: 32, and so on: 200 (1 - .8^5) in 500
    found = ahead(level, audit(200, 150, 250), first=(100, 40.0))
    held = [found.decline.found_in(m)[0] for m in (100, 200, 500)]
    assert held == pytest.approx([40, 72, 200 * (1 - 0.8**5)]) and found.bad.value == pytest.approx(held[-1])
    assert found.decline.chance(np.array([0]))[0] == pytest.approx(-2 * math.log(0.8))
    assert found.bad.low < found.bad.value < found.bad.high
    # 80 of the next 100, 150 left: p would be 1.14, so some are sure, and 70 = (150 - s) exp(-(100 - s) / (150 - s))
    sure = ahead(level, audit(150, 100, 200), first=(100, 80.0)).decline
    s = sure.sure[0]
    assert 0 < s < 100 and (150 - s) * math.exp(-(100 - s) / (150 - s)) == pytest.approx(70)
    chance = sure.chance(np.arange(500))
    assert sure.found_in(100)[0] == pytest.approx(80) and chance.max() <= 1
    assert chance[0].sum() == pytest.approx(sure.found_in(500)[0], abs=1)


def test_the_stopping_rule_may_expect_all_or_nothing() -> None:
    level = np.tile([True, False], 200)
    nothing = ahead(level, audit(100, 50, 150), first=(100, 0.0))
    assert nothing.bad.value == 0 and isinstance(nothing.each, Missing)
    everything = ahead(
        level, audit(50, 20, 100), first=(100, 100.0)
    )  # more than the audit's word: its upper end
    assert everything.decline.found_in(100)[0] == pytest.approx(100, abs=0.01)
    assert everything.bad.value == pytest.approx(100, abs=0.01)


def test_the_table_goes_on_from_the_history_to_what_lies_ahead() -> None:
    level = np.tile([True, False], 200)
    curve, found = fitted(level), ahead(level, audit(200, 150, 250), first=(100, 40.0))
    rows = forecast.steps(forecast.blocks(level), curve, found)
    assert len(rows) == 400 / 25 + 500 / 25
    past, nearest = rows[15], rows[19]
    assert (past.corrections, past.judged, past.bad, past.expected) == (400, 25, 12, None)
    assert past.chance == pytest.approx(0.5, abs=0.01)
    assert (nearest.corrections, nearest.judged, nearest.bad) == (500, None, None)
    assert nearest.expected == pytest.approx(40) and nearest.chance == pytest.approx(-1.6 * math.log(0.8))
    assert all(row.low <= row.chance <= row.high for row in rows)  # type: ignore[operator]
    (alone,) = forecast.steps([(30, 30, 7)], Missing("answers"), Missing("answers"))
    assert (alone.corrections, alone.bad, alone.chance) == (30, 7, None)


def test_when_to_stop() -> None:
    # It pays while p > 10 / (worth - 20): at a worth of 120 from 0.1 on, so after (300 / 0.5) ln 5 = 966 more.
    falling = decline(0.5, 300)
    found = forecast.stop_after(falling, TIMES, 1.0, 120.0)
    assert found is not None and found.value == 966
    stop_now = forecast.stop_after(falling, TIMES, 1.0, 15.0)  # less than the time of a fix alone
    assert stop_now is not None and stop_now.value == 0
    free = forecast.stop_after(falling, TIMES, 0.0, 120.0)
    assert free is not None and math.isinf(free.value)
    assert forecast.stop_after(falling, TIMES, 1.0, None) is None


def test_blocks_of_the_history() -> None:
    assert forecast.blocks(np.ones(60, bool)) == [(25, 25, 25), (60, 35, 35)]
    assert forecast.blocks(np.zeros(10, bool)) == [(10, 10, 0)]
    many = forecast.blocks(np.arange(46_010) % 3 == 0)
    assert forecast.MOST_BLOCKS / 2 < len(many) <= forecast.MOST_BLOCKS
    assert many[-1][0] == 46_010 == sum(judged for _end, judged, _bad in many)
    assert sum(bad for _end, _judged, bad in many) == 15_337
