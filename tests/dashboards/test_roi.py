"""The sum of cost and benefit: cases added up by hand, and what holds for all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dashboards import roi, roi_words
from dashboards.assumptions import KEYS
from dashboards.figures import Missing
from dashboards.roi import ROLES, Benefit, Change, Claim, Evidence, Span

NOTHING = Missing("a finished retraining with a control arm")
R = 200


def assumed(**other: float) -> dict[str, float]:
    return {key: value for key, (value, _) in KEYS.items()} | other


def change(value: float, spread: float = 0.0, claim: Claim = "gain") -> Change:
    draws = value + spread * np.linspace(-2, 2, R)
    return Change("retrieval", "recall_at_1_text_to_image", np.concatenate([[value], draws]), claim, 100, 3)


def evidence(hours: float = 10.0, compute: float = 0.0, **changes: Change) -> Evidence:
    by_role = {role: np.full(1 + R, hours if role == "staff" else 0.0) for role in ROLES}
    return Evidence(by_role, compute, {kind: changes.get(kind, NOTHING) for kind in roi.KINDS})


def span_of(found: Span | Missing) -> Span:
    assert isinstance(found, Span)
    return found


def test_a_sum_that_a_person_can_add_up() -> None:
    # 10 h x 2,000 + 5 h x 100 + 1,500 once = 22,000; 100 a month for 10 months: 23,000.
    # Search: 0.1 x 1,000 x 36 s / 3,600 x 2,000 = 2,000 a month. Errors: 0.05 x 200 x 300 = 3,000 a month.
    # Labels: 20 x 100 = 2,000 once. Benefit 52,000, net 29,000.
    given_ = assumed(wage_staff=2000, compute=100, fixed_once=1500, fixed_month=100, horizon=10, label=100, items=200,
                     error=300, searches=1000, search_seconds=36, wage_search=2000)  # fmt: skip
    found = roi.roi(evidence(10, 5, search=change(0.1), errors=change(0.05), labels=change(20)), given_)
    assert found.cost_so_far.value == pytest.approx(22_000) and found.cost.value == pytest.approx(23_000)
    assert span_of(found.net).value == pytest.approx(29_000)
    assert span_of(found.ratio).value == pytest.approx(52 / 23)
    assert span_of(found.payback_months).value == pytest.approx((22_000 - 2_000) / (5_000 - 100))
    assert found.break_even.value == pytest.approx((22_000 - 2_000) / 10 + 100)
    amounts = {kind: one.amount.value for kind, one in found.benefits.items() if isinstance(one, Benefit)}
    assert amounts == {
        "labels": pytest.approx(2000),
        "errors": pytest.approx(30_000),
        "search": pytest.approx(20_000),
    }


def test_without_evidence_or_without_a_price_there_is_no_number() -> None:
    priced = assumed(searches=1000, items=10, error=10, label=10)
    nothing = roi.roi(evidence(), priced)
    assert all(isinstance(one, Missing) for one in nothing.benefits.values())
    assert all(isinstance(one, Missing) for one in (nothing.net, nothing.ratio, nothing.payback_months))
    assert nothing.cost.value == 25_000, "what was spent is known all the same"
    free = roi.roi(evidence(search=change(0.1), errors=change(0.1), labels=change(5)), assumed())
    assert {
        kind: one.needs for kind, one in free.benefits.items() if isinstance(one, Missing)
    } == roi.PRICE_NEEDED
    assert isinstance(free.net, Missing)


@pytest.mark.parametrize("claim", ["none", "style"])
def test_what_is_not_proven_is_counted_as_nothing_and_widens_the_interval(claim: Claim) -> None:
    found = roi.roi(evidence(search=change(0.1, 0.1, claim)), assumed(searches=1000))
    benefit = found.benefits["search"]
    assert isinstance(benefit, Benefit) and benefit.counted == 0 and not benefit.is_counted
    assert benefit.amount.low < 0 < benefit.amount.high
    net = span_of(found.net)
    assert (
        net.value == -25_000 and net.low < -25_000 and net.high == pytest.approx(benefit.amount.high - 25_000)
    )
    assert math.isinf(span_of(found.payback_months).value) and span_of(found.ratio).value == 0
    for language in ("ja", "en"):
        said = roi_words.benefit_words(benefit, language)
        assert roi_words.amount(benefit.amount.value, language) not in said
        assert roi_words.between(benefit.amount, language) in said


def test_a_proven_loss_counts() -> None:
    found = roi.roi(evidence(search=change(-0.1, 0.01, "loss")), assumed(searches=1200, search_seconds=30))
    # -0.1 x 1,200 x 30 / 3,600 x 2,500 x 12 = -30,000
    assert span_of(found.net).value == pytest.approx(-55_000)
    assert "It does not pay" in roi_words.net_words(found, "en")


def test_hours_drawn_anew_keep_the_sum_and_vary_as_the_answers_do() -> None:
    rng = np.random.default_rng(0)
    drawn = roi.hours_drawn(np.array([50, 50]), np.array([36.0, 108.0]), rng, 4000)
    assert drawn[0] == pytest.approx(2.0) and drawn[1:].mean() == pytest.approx(2.0, rel=0.01)
    assert drawn[1:].std() == pytest.approx(36 * math.sqrt(100) / 3600, rel=0.05)  # each answer: 72 +- 36 s
    assert (roi.hours_drawn(np.array([], int), np.array([]), rng, 5) == 0).all()
    assert roi.hours_drawn(np.array([2]), np.array([1800.0]), rng, 3).tolist() == [1.0] * 4


def test_a_payback_that_never_comes_is_infinite_and_none_where_nothing_is_open() -> None:
    assert roi.months_to_pay(np.array([100, 100, -5]), np.array([50, 0, 1])).tolist() == [2, math.inf, 0]


def test_the_tornado_names_what_the_outcome_depends_on_most() -> None:
    given_ = assumed(searches=3000)
    bounds = {"wage_staff": (2000.0, 3000.0), "searches": (0.0, 6000.0), "search_seconds": (15.0, 45.0),
              "label": (0.0, 900.0)}  # fmt: skip
    found = roi.tornado(evidence(search=change(0.1, 0.02)), given_, bounds)
    assert [bar.key for bar in found] == ["search_seconds", "effect:search", "wage_staff"]
    assert found[2].width == pytest.approx(10_000), "10 h, 1,000 yen an hour more"
    assert found[0].at_low < found[0].base < found[0].at_high
    whole = [
        roi.roi(evidence(search=change(0.1, 0.02)), {**given_, "search_seconds": end}).net
        for end in (15.0, 45.0)
    ]
    assert [one.value for one in whole if isinstance(one, roi.Span)] == [found[0].at_low, found[0].at_high]
    only_cost = roi.tornado(evidence(), given_, bounds)
    assert [bar.key for bar in only_cost] == ["wage_staff"] and only_cost[0].base == 25_000


NUMBER = some.floats(0, 1e6, allow_nan=False)
PRICES = some.fixed_dictionaries(
    {key: NUMBER if unit != "months" else some.floats(1, 120) for key, (_, unit) in KEYS.items()}
)
CLAIMS: some.SearchStrategy[Claim] = some.sampled_from(["gain", "style", "none", "loss"])
CHANGES = some.builds(change, some.floats(-1, 1), some.floats(0, 1), CLAIMS)
EVIDENCE = some.builds(
    lambda hours, compute, changes: evidence(hours, compute, **changes),
    some.floats(0, 1e4), some.floats(0, 1e4), some.dictionaries(some.sampled_from(roi.KINDS), CHANGES),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(EVIDENCE, PRICES, some.sampled_from(ROLES), some.floats(0, 1e5))
def test_more_wage_never_raises_the_net(
    known: Evidence, prices: dict[str, float], role: str, more: float
) -> None:
    before, after = (
        roi.roi(known, prices),
        roi.roi(known, prices | {f"wage_{role}": prices[f"wage_{role}"] + more}),
    )
    assert after.cost.value >= before.cost.value
    if isinstance(before.net, Span):
        net = span_of(after.net)
        slack = 1e-6 * (1 + abs(before.net.value) + abs(before.net.low) + abs(before.net.high))
        assert net.value <= before.net.value + slack and net.low <= before.net.low + slack
        assert net.high <= before.net.high + slack


@settings(max_examples=60, deadline=None)
@given(EVIDENCE, PRICES)
def test_every_interval_contains_its_point_and_no_evidence_gives_no_number(
    known: Evidence, prices: dict[str, float]
) -> None:
    found = roi.roi(known, prices)
    spans = [found.cost, found.cost_so_far, found.break_even, *found.cost_parts.values()]
    spans += [one for one in (found.net, found.ratio, found.payback_months) if isinstance(one, Span)]
    for kind, one in found.benefits.items():
        if isinstance(one, Benefit):
            spans.append(one.amount)
            assert one.is_counted or one.counted == 0
        assert isinstance(one, Benefit) <= isinstance(known.changes[kind], Change)
    assert all(one.low <= one.value <= one.high for one in spans)
    is_measured = any(isinstance(one, Benefit) for one in found.benefits.values())
    assert isinstance(found.net, Span) is is_measured


@settings(max_examples=40, deadline=None)
@given(EVIDENCE, PRICES, some.floats(0.01, 100))
def test_in_another_currency_everything_scales(
    known: Evidence, prices: dict[str, float], rate: float
) -> None:
    amounts = {key for key, (_, unit) in KEYS.items() if unit.startswith("yen")}
    before = roi.roi(known, prices)
    after = roi.roi(known, {key: value * rate if key in amounts else value for key, value in prices.items()})
    close: Any = {"rel": 1e-6, "abs": 1e-3}
    assert after.cost.value == pytest.approx(before.cost.value * rate, **close)
    if isinstance(before.net, Span) and isinstance(after.net, Span):
        size = sum(abs(one.amount.value) for one in before.benefits.values() if isinstance(one, Benefit))
        slack = max(1e-3, 1e-6 * rate * (size + before.cost.value))
        assert after.net.value == pytest.approx(before.net.value * rate, abs=slack)


@settings(max_examples=60, deadline=None)
@given(EVIDENCE, PRICES)
def test_no_sentence_claims_a_profit_whose_interval_includes_zero(
    known: Evidence, prices: dict[str, float]
) -> None:
    found = roi.roi(known, prices)
    said = roi_words.net_words(found, "en")
    if not isinstance(found.net, Span) or found.net.low <= 0:
        assert "It pays" not in said
    for one in found.benefits.values():
        if isinstance(one, Benefit) and one.change.claim in ("none", "style"):
            assert "Counted: nothing" in roi_words.benefit_words(one, "en")


def test_minus_is_a_minus_as_in_the_other_words() -> None:
    assert roi_words.amount(-1234.4, "en") == "−¥1,234" and roi_words.amount(-0.2, "en") == "¥0"
    assert roi_words.change_text("search", -0.1, "en")[0] == "−"
