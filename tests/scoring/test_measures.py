"""AUROC and precision at k by hand, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
from sklearn.metrics import roc_auc_score

from scoring.measures import auroc, precision_at


def test_auroc_by_hand():
    """Wrong ones at 0.9 and 0.4, right ones at 0.5 and 0.4: won 2 of 2, and half of one tie of 2."""
    assert auroc([0.9, 0.4, 0.5, 0.4], [True, True, False, False]) == (2 + 0.5) / 4
    assert math.isnan(auroc([1.0], [True])) and math.isnan(auroc([1.0], [False]))


def test_auroc_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    values, wrong = rng.integers(0, 30, 500), rng.random(500) < 0.3
    assert np.isclose(auroc(values, wrong), roc_auc_score(wrong, values))


def test_precision_at_by_hand():
    assert precision_at(2, [0.9, 0.8, 0.1], [True, False, True]) == 0.5
    assert precision_at(1, [0.5, 0.5], [True, False]) == 0.5, "a tie on the line counts with its mean share"
    assert precision_at(10, [0.5, 0.4], [True, True]) == 1.0
