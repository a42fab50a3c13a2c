"""Metrics as functions of sums: by hand, and as the libraries compute them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scoring.torchvision_ops import ensure_torchvision
from training.measures import MISSING, Measured, counted, macro_f1, median, miss_rate, miss_rate_name


def measured(summary: str, statistics: object, metric: str = "m") -> Measured:
    values = np.array(statistics, dtype=np.float64)
    items = [str(number) for number in range(len(values))]
    return Measured("task", metric, "fraction", True, summary, items, items, values)


def test_a_median_of_ranks() -> None:
    assert measured("median", [[1], [9], [2]]).value == 2
    assert measured("median", [[1], [9], [2], [4]]).value == 3  # the mean of the two middle ones
    assert median(np.array([[1.0, 2.0, 1.0]]), np.array([1, 5, 9])).tolist() == [5]
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, 60, 201).astype(float)
    one = measured("median", ranks[:, None])
    counts = rng.multinomial(201, np.full(201, 1 / 201), 50)
    (parts,), summary = counted([one])
    expected = [np.median(np.repeat(ranks, row)) for row in counts]
    assert summary(counts @ parts) == pytest.approx(expected)


def test_a_miss_rate_at_a_fixed_share_of_false_alarms() -> None:
    """Sound ones score 1, 2, 3, 4. A quarter may raise an alarm: the threshold is 3, what scores 3 raises none."""
    sound = [[1, 0], [2, 0], [3, 0], [4, 0]]
    assert measured("miss_rate:0.25", [*sound, [3.5, 1], [3, 1], [0, 1], [9, 1]]).value == 0.5
    assert measured("miss_rate:0.5", [*sound, [3.5, 1], [3, 1], [0, 1], [9, 1]]).value == 0.25
    assert measured("miss_rate:0.1", [*sound, [3.5, 1], [3, 1], [0, 1], [9, 1]]).value == 0.75  # none may
    assert miss_rate(np.array([[1.0, 1, 2, 1, 2, 1]]), np.array([1, 2, 3]), 0.25).tolist() == [0.5]
    assert miss_rate_name(0.05) == "miss_rate:0.05"


def test_the_miss_rate_is_a_point_of_the_roc_curve() -> None:
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(1)
    defect = rng.random(300) < 0.4
    score = np.round(rng.normal(size=300) + defect, 1)  # with ties
    false, true, _ = roc_curve(defect, score, drop_intermediate=False)
    for share in (0.01, 0.05, 0.1, 0.3):
        found = measured(miss_rate_name(share), np.stack([score, defect], 1)).value
        assert found == pytest.approx(1 - true[false <= share + 1e-9].max())


def test_f1_and_accuracy_agree_with_torchmetrics() -> None:
    ensure_torchvision()
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

    rng = np.random.default_rng(2)
    true, predicted = rng.integers(0, 4, 90), rng.integers(0, 5, 90)  # class 4 is never true
    one = measured("macro_f1", np.stack([true, predicted], 1))
    f1 = MulticlassF1Score(num_classes=5, average="macro")
    assert one.value == pytest.approx(float(f1(torch.from_numpy(predicted), torch.from_numpy(true))))
    accuracy = MulticlassAccuracy(num_classes=5, average="micro")
    same = measured("mean_accuracy", np.stack([true, predicted], 1))
    assert same.value == pytest.approx(float(accuracy(torch.from_numpy(predicted), torch.from_numpy(true))))


def test_slots_are_averaged_and_missing_ones_left_out() -> None:
    """Slot one: 0 0 1 1 guessed 0 1 1 1: F1 of class 0 is 2/3, of class 1 4/5. Slot two has two photos, both right."""
    rows = [[0, 0, MISSING, 1], [0, 1, 0, 0], [1, 1, 1, 1], [1, 1, MISSING, 0]]
    assert measured("macro_f1", rows).value == pytest.approx(((2 / 3 + 4 / 5) / 2 + 1) / 2)
    assert measured("mean_accuracy", rows).value == pytest.approx((3 / 4 + 1) / 2)
    assert macro_f1(np.zeros((1, 4)), np.array([2])).tolist() == [0.0]


def test_models_are_counted_on_one_grid() -> None:
    """So that the parts of one model may be summed with those of another, as a permutation does."""
    a, b = measured("median", [[1], [3]]), measured("median", [[2], [7]])
    parts, summary = counted([a, b])
    assert [one.shape for one in parts] == [(2, 4), (2, 4)]
    assert summary(np.stack([parts[0].sum(0), parts[0][0] + parts[1][1]])).tolist() == [2, 4]
