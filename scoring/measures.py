"""How well a ranking finds wrong captions, when it is known which are wrong. Pure functions of arrays.

auroc([0.9, 0.4, 0.8], [True, False, False]) == 1.0
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auroc(badness: ArrayLike, wrong: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Probability that a wrong caption is ranked above a right one; ties count half. 0.5 is chance, NaN without both.

    badness: (N,), higher = more likely wrong. wrong: (N,) bool. weight: (N,), how many captions each stands for.
    """
    values, is_wrong = np.asarray(badness, dtype=np.float64), np.asarray(wrong, dtype=bool)
    heavy = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=np.float64)
    order = np.argsort(values[~is_wrong])
    right, mass = values[~is_wrong][order], np.append(0.0, np.cumsum(heavy[~is_wrong][order]))
    if not len(right) or len(right) == len(values):
        return float("nan")
    below = mass[np.searchsorted(right, values[is_wrong], "left")]
    up_to = mass[np.searchsorted(right, values[is_wrong], "right")]
    return float(np.average((below + up_to) / 2 / mass[-1], weights=heavy[is_wrong]))


def precision_at(k: int, badness: ArrayLike, wrong: ArrayLike) -> float:
    """Share of wrong captions among the k worst. Where equal values straddle the line, their mean share counts.

    precision_at(1, [0.5, 0.5], [True, False]) == 0.5
    """
    values, is_wrong = np.asarray(badness, dtype=np.float64), np.asarray(wrong, dtype=bool)
    k = min(k, len(values))
    line = np.sort(values)[::-1][k - 1]
    above, on_line = values > line, values == line
    return float((is_wrong[above].sum() + (k - above.sum()) * is_wrong[on_line].mean()) / k)


def average_precision(badness: ArrayLike, wrong: ArrayLike) -> float:
    """Area under precision over recall (scikit-learn's definition: a sum of steps). NaN without a wrong caption."""
    from sklearn.metrics import average_precision_score

    values, is_wrong = np.asarray(badness, dtype=np.float64), np.asarray(wrong, dtype=bool)
    return float(average_precision_score(is_wrong, values)) if is_wrong.any() else float("nan")
