"""A measured metric with what each test item contributed to it, so that it can be computed again on any resample.

Every metric here is a function of sums over items: hits and tries for a recall, a confusion matrix for mIoU, squared
errors and pixels for RMSE. So a bootstrap needs no model: it sums the items' statistics anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Measured:
    """One metric of one model.

    summary: a key of SUMMARIES. items: what was tested (captions or photos). clusters: the items' groups; items of one
    cluster (a photo's captions in two languages, near-duplicate photos) are not independent and are resampled together.
    statistics: (n items, k) float64.
    """

    task: str
    metric: str
    unit: str
    higher_is_better: bool
    summary: str
    items: list[str]
    clusters: list[str]
    statistics: np.ndarray

    @property
    def value(self) -> float:
        """The metric over all items."""
        return float(SUMMARIES[self.summary](self.statistics.sum(0, keepdims=True))[0])

    @property
    def n(self) -> int:
        return len(self.items)


def ratio(sums: np.ndarray) -> np.ndarray:
    """(R, 2) sums of hits and tries -> (R,) shares. ratio([[3, 4]]) == [0.75]"""
    return sums[:, 0] / sums[:, 1]


def root_mean_square(sums: np.ndarray) -> np.ndarray:
    """(R, 2) sums of squared errors and pixels -> (R,) RMSE. root_mean_square([[8, 2]]) == [2]"""
    import numpy as np

    return np.sqrt(sums[:, 0] / sums[:, 1])


def mean_iou(sums: np.ndarray) -> np.ndarray:
    """(R, C * C) confusion matrices (true class * C + predicted class) -> (R,) mean over classes of intersection over
    union. A class that does not occur in the truth is left out of the mean.

    mean_iou([[3, 1, 0, 4]]): class 0 has 3 / (3 + 1), class 1 has 4 / (4 + 1), so 0.775.
    """
    import numpy as np

    classes = round(sums.shape[1] ** 0.5)
    matrix = sums.reshape(len(sums), classes, classes)
    hit = np.einsum("rcc->rc", matrix)
    true, predicted = matrix.sum(2), matrix.sum(1)
    occurs = true > 0
    iou = hit / np.where(occurs, true + predicted - hit, 1)
    return (iou * occurs).sum(1) / occurs.sum(1)


SUMMARIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ratio": ratio, "root_mean_square": root_mean_square, "mean_iou": mean_iou,
}  # fmt: skip
