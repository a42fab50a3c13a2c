"""AUROC and precision at k by hand, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scoring.measures import auroc, average_precision, precision_at


def test_auroc_by_hand():
    """Wrong ones at 0.9 and 0.4, right ones at 0.5 and 0.4: won 2 of 2, and half of one tie of 2."""
    assert auroc([0.9, 0.4, 0.5, 0.4], [True, True, False, False]) == (2 + 0.5) / 4
    assert (
        math.isnan(auroc([1.0], [True])) and math.isnan(auroc([1.0], [False])) and math.isnan(auroc([], []))
    )


def test_weighted_auroc_by_hand():
    """The wrong one at 0.9 counts threefold and beats both; the one at 0.4 ties with a right one of weight 4 of 5."""
    found = auroc([0.9, 0.4, 0.5, 0.4], [True, True, False, False], [3, 1, 1, 4])
    assert math.isclose(found, (3 * 1 + 1 * (0.5 * 4 / 5)) / 4)


@pytest.mark.parametrize("weighted", [False, True])
def test_auroc_agrees_with_scikit_learn(weighted):
    rng = np.random.default_rng(0)
    values, wrong = rng.integers(0, 30, 500), rng.random(500) < 0.3
    weight = rng.integers(1, 9, 500) if weighted else None
    assert np.isclose(auroc(values, wrong, weight), roc_auc_score(wrong, values, sample_weight=weight))


def test_a_weight_is_as_many_copies():
    values, wrong, copies = (
        np.array([3, 1, 2, 2, 5]),
        np.array([1, 0, 0, 1, 0]) > 0,
        np.array([2, 1, 3, 1, 2]),
    )
    assert np.isclose(
        auroc(values, wrong, copies), auroc(np.repeat(values, copies), np.repeat(wrong, copies))
    )


def test_precision_at_by_hand():
    assert precision_at(2, [0.9, 0.8, 0.1], [True, False, True]) == 0.5
    assert precision_at(1, [0.5, 0.5], [True, False]) == 0.5, "a tie on the line counts with its mean share"
    assert precision_at(10, [0.5, 0.4], [True, True]) == 1.0


def test_average_precision_by_hand():
    """Wrong ones at places 1 and 3: (1/1 + 2/3) / 2."""
    assert math.isclose(average_precision([0.9, 0.8, 0.7, 0.1], [True, False, True, False]), (1 + 2 / 3) / 2)
    assert math.isnan(average_precision([0.9], [False]))
