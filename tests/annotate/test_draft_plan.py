"""Sampling plans against counting by hand."""

from __future__ import annotations

from math import comb

import pytest

from annotate.draft_plan import plan_for, too_many
from data.errors import GenbaError


def passes(size: int, wrong: int, sample: int, accept: int) -> float:
    """By counting the samples."""
    return sum(comb(wrong, k) * comb(size - wrong, sample - k) for k in range(accept + 1)) / comb(
        size, sample
    )


@pytest.mark.parametrize("size", [1, 7, 20, 59, 400])
@pytest.mark.parametrize("accept", [0, 1, 3])
def test_the_sample_is_the_smallest_that_keeps_the_risk(size: int, accept: int) -> None:
    plan = plan_for(size, 0.05, 0.05, accept)
    bad = too_many(size, 0.05)
    assert plan.accept_number == min(accept, bad - 1)
    assert passes(size, bad, plan.sample, plan.accept_number) == pytest.approx(plan.risk)
    assert plan.risk <= 0.05
    if plan.sample > plan.accept_number + 1:
        assert passes(size, bad, plan.sample - 1, plan.accept_number) > 0.05


def test_worked_example() -> None:
    """Of 40 drafts 5 % are two, so three are too many; C(37, n) / C(40, n) <= 5 % first at n = 25."""
    plan = plan_for(40, 0.05, 0.05, 0)
    assert (plan.fewest_bad, plan.sample) == (3, 25)
    assert plan.passes(3) == pytest.approx(comb(37, 25) / comb(40, 25))
    assert plan.passes(0) == 1.0
    assert plan.curve()[0] == (0, 1.0) and [chance for _, chance in plan.curve()] == sorted(
        (chance for _, chance in plan.curve()), reverse=True
    )


def test_an_empty_lot_is_refused() -> None:
    with pytest.raises(GenbaError, match="at least one draft"):
        plan_for(0, 0.05, 0.05, 1)
