"""How an audit is laid out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from annotate.strata import FEW, Stratum, allocate, cells_of, kept_values, parse, risk_edges, spread_sample


@pytest.mark.parametrize(
    "stratum",
    [
        Stratum(120, 30, (0.0, 0.25)),
        Stratum(120, 30, None),
        Stratum(7, 7, (0.5, 1.0), "ライン", "第 1 ライン \"A\""),
        Stratum(7, 7, (0.5, 1.0), "line", None),
    ],
)  # fmt: skip
def test_a_stratum_stands_as_text_and_is_read_back(stratum: Stratum) -> None:
    assert parse(stratum.text) == stratum


def test_the_word_of_an_older_site_is_no_stratum() -> None:
    assert parse("test") is None


def test_bins_by_quantiles_of_the_known_risks() -> None:
    edges = risk_edges(np.array([0.1, 0.2, 0.3, 0.4, np.nan]), 2)
    assert edges.tolist() == [0.25]
    assert cells_of(np.array([0.1, 0.3, np.nan]), [None, None, None], edges, []).tolist() == [0, 1, 2]
    assert risk_edges(np.full(9, 0.5), 5).tolist() == [0.5], "equal risks make one bin"
    assert risk_edges(np.full(3, np.nan), 5).tolist() == []


def test_slices_that_are_too_rare_share_a_stratum() -> None:
    values = ["A"] * 50 + ["B"] * 30 + ["C"] * 3 + [None]
    assert kept_values(values, 3 * FEW) == ["A", "B"]
    assert kept_values(values[:80], 2 * FEW) == ["A", "B"], "nothing is left over, so no room is kept for it"
    assert kept_values(values, 1) == []
    cells = cells_of(np.zeros(3), ["A", "C", None], np.empty(0), ["A", "B"])
    assert cells[1] == cells[2] != cells[0]


def test_the_sample_goes_in_proportion_with_a_few_everywhere() -> None:
    assert allocate([100, 100, 100], [1000, 1000, 1000], 60) == [20, 20, 20]
    assert allocate([1000, 1000, 10], [9000, 990, 10], 100) == [86, 10, 4]
    assert allocate([2, 100], [2, 998], 50) == [2, 48], "no more than there are"
    assert allocate([5, 5], [50, 50], 99) == [5, 5]
    assert sum(allocate([100, 100, 100], [1, 1, 1], 2)) == 2


@given(
    some.lists(some.tuples(some.integers(1, 60), some.integers(0, 400)), min_size=1, max_size=12),
    some.integers(1, 300),
)
def test_no_stratum_gives_more_than_it_has_and_all_are_given(sizes: list[tuple[int, int]], n: int) -> None:
    frames = [frame for frame, _ in sizes]
    given_out = allocate(frames, [frame + more for frame, more in sizes], n)
    assert sum(given_out) == min(n, sum(frames))
    assert all(0 <= one <= frame for one, frame in zip(given_out, frames, strict=True))
    if n >= FEW * len(frames):
        assert all(one >= min(FEW, frame) for one, frame in zip(given_out, frames, strict=True))


def test_every_pair_has_the_same_chance_and_near_duplicates_are_not_drawn_together() -> None:
    """12 pairs in 4 groups of 3: of 4 drawn, each comes in a third of all samples, never two of a group."""
    groups = [f"g{number // 3}" for number in range(12)]
    rng = np.random.default_rng(0)
    times = np.zeros(12)
    for _ in range(3000):
        drawn = spread_sample(groups, 4, rng)
        assert len(set(drawn.tolist())) == 4 and len({groups[one] for one in drawn}) == 4
        times[drawn] += 1
    assert np.abs(times / 3000 - 1 / 3).max() < 0.04  # 4.6 standard errors
