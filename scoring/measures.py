"""How well a ranking finds wrong captions, when it is known which are wrong. Pure functions of arrays.

auroc([0.9, 0.4, 0.8], [True, False, False]) == 1.0
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auroc(badness: ArrayLike, wrong: ArrayLike) -> float:
    """Probability that a wrong caption is ranked above a right one; ties count half. 0.5 is chance, NaN without both.

    badness: (N,), higher = more likely wrong. wrong: (N,) bool.
    """
    values, is_wrong = np.asarray(badness, dtype=np.float64), np.asarray(wrong, dtype=bool)
    right = np.sort(values[~is_wrong])
    if not len(right) or len(right) == len(values):
        return float("nan")
    below = np.searchsorted(right, values[is_wrong], "left")
    up_to = np.searchsorted(right, values[is_wrong], "right")
    return float((below + up_to).mean() / 2 / len(right))


def precision_at(k: int, badness: ArrayLike, wrong: ArrayLike) -> float:
    """Share of wrong captions among the k worst. Where equal values straddle the line, their mean share counts.

    precision_at(1, [0.5, 0.5], [True, False]) == 0.5
    """
    values, is_wrong = np.asarray(badness, dtype=np.float64), np.asarray(wrong, dtype=bool)
    k = min(k, len(values))
    line = np.sort(values)[::-1][k - 1]
    above, on_line = values > line, values == line
    return float((is_wrong[above].sum() + (k - above.sum()) * is_wrong[on_line].mean()) / k)
