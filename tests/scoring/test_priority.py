"""The order of the queue: near-duplicates apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scoring.priority import HELD_BACK, priority


def test_by_hand():
    found = priority(np.array([0.9, 0.8, 0.7]), np.array([1, 1, 2]))
    assert np.allclose(found, [0.9, 0.8 * HELD_BACK, 0.7])


def test_the_third_copy_waits_longer_than_the_second():
    found = priority(np.array([0.8, 0.6, 0.8, 0.7]), np.array([5, 5, 5, 9]))
    assert (
        np.allclose(np.sort(found[:3]), np.sort([0.8, 0.8 * HELD_BACK, 0.6 * HELD_BACK**2]))
        and found[3] == 0.7
    )


def test_nobody():
    assert priority(np.zeros(0), np.zeros(0, dtype=int)).shape == (0,)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=1, max_size=30))
def test_the_riskiest_of_each_group_keeps_its_place_and_the_order_within_a_group_stays(rows):
    risk, group = (np.array(column) for column in zip(*rows, strict=True))
    found = priority(risk, group)
    assert ((found >= 0) & (found <= risk)).all()
    for one in np.unique(group):
        mine = group == one
        assert found[mine].max() == risk[mine].max()
        best_first = np.lexsort((-found[mine], -risk[mine]))
        assert (np.diff(found[mine][best_first]) <= 0).all()


def test_distinct_errors_come_sooner_than_by_risk_alone():
    """30 near-duplicates of one error at the top, and 30 other errors a little below them."""
    risk = np.concatenate([np.linspace(0.95, 0.9, 30), np.linspace(0.85, 0.7, 30)])
    group = np.concatenate([np.zeros(30, dtype=int), np.arange(1, 31)])
    first = np.argsort(-priority(risk, group), kind="stable")[:30]
    assert len(set(group[first])) == 30 > len(set(group[np.argsort(-risk, kind="stable")[:30]]))
