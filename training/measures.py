"""A measured metric with what each test item contributed to it, so that it can be computed again on any resample.

Every metric here is a function of sums over items: hits and tries for a recall, a confusion matrix for mIoU, squared
errors and pixels for RMSE, and for a median how many items have each rank. So a bootstrap or a permutation needs no
model: it sums the items' parts anew.

    parts, summary = counted([one, other])
    summary(counts @ parts[0])                    # (R,) values; counts (R, n): how often each item was drawn
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST_LEVELS = (
    1024  # different values that a median or a miss rate is counted on; more are brought to quantiles
)
MISSING = -1  # a slot that an item does not have, in the statistics of macro_f1 and mean_accuracy


@dataclass(frozen=True)
class Measured:
    """One metric of one model.

    summary: see `summary_of`. items: what was tested (captions or photos). clusters: the items' groups; items of one
    cluster (a photo's captions in two languages, near-duplicate photos) are not independent and are resampled together.
    statistics: (n items, k) float64. strata: kinds of items whose mix a resample keeps, one an item; [] where all are
    of one kind.
    """

    task: str
    metric: str
    unit: str
    higher_is_better: bool
    summary: str
    items: list[str]
    clusters: list[str]
    statistics: np.ndarray
    strata: list[str] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The metric over all items."""
        (parts,), summary = counted([self])
        return float(summary(parts.sum(0, keepdims=True))[0])

    @property
    def n(self) -> int:
        return len(self.items)

    def parts(self, grid: np.ndarray) -> np.ndarray:
        """(n items, K) whose sums the summary is a function of. grid: of all that is compared, see `grid_of`."""
        import numpy as np

        if self.summary == "median":
            return _one_hot(self.statistics[:, 0], grid)
        if self.summary.startswith("miss_rate"):
            counted = _one_hot(self.statistics[:, 0], grid)
            is_defect = self.statistics[:, 1:] > 0
            return np.concatenate([counted * is_defect, counted * ~is_defect], axis=1)
        if self.summary in ("macro_f1", "mean_accuracy"):
            return _confusions(self.statistics, grid)
        return self.statistics


def grid_of(measured: Sequence[Measured]) -> np.ndarray:
    """What the parts of these (one metric of several models) are counted on.

    Of a median and a miss rate: the different values, ascending. Of macro_f1: how many classes each slot has. Of all
    others: nothing.
    """
    import numpy as np

    summary = measured[0].summary
    if summary == "median" or summary.startswith("miss_rate"):
        values = np.unique(np.concatenate([one.statistics[:, 0] for one in measured]))
        if len(values) > MOST_LEVELS:
            values = np.unique(np.quantile(values, np.linspace(0, 1, MOST_LEVELS), method="nearest"))
        return values
    if summary in ("macro_f1", "mean_accuracy"):
        highest = np.max([one.statistics.max(0) for one in measured], axis=0)
        return np.maximum(highest.reshape(-1, 2).max(1) + 1, 1).astype(int)
    return np.zeros(0)


def _one_hot(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(n,) -> (n, len(grid)): each value at the first place of the grid that is not below it."""
    import numpy as np

    place = np.searchsorted(grid, values).clip(max=len(grid) - 1)
    return np.eye(len(grid))[place]


def _confusions(statistics: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(n, 2S) true and predicted class of S slots -> (n, sum of C * C): a confusion matrix for each slot."""
    import numpy as np

    blocks = []
    for slot, classes in enumerate(grid):
        true, predicted = statistics[:, 2 * slot].astype(int), statistics[:, 2 * slot + 1].astype(int)
        block = np.zeros((len(statistics), classes * classes))
        known = np.flatnonzero(true != MISSING)
        block[known, true[known] * classes + predicted[known]] = 1.0
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def ratio(sums: np.ndarray, grid: np.ndarray | None = None) -> np.ndarray:
    """(R, 2) sums of hits and tries -> (R,) shares, NaN where nothing was tried. ratio([[3, 4]]) == [0.75]"""
    import numpy as np

    with np.errstate(invalid="ignore"):  # a draw without any photo that shows the class
        found: np.ndarray = sums[:, 0] / sums[:, 1]
    return found


def root_mean_square(sums: np.ndarray, grid: np.ndarray | None = None) -> np.ndarray:
    """(R, 2) sums of squared errors and pixels -> (R,) RMSE. root_mean_square([[8, 2]]) == [2]"""
    import numpy as np

    return np.sqrt(sums[:, 0] / sums[:, 1])


def mean_iou(sums: np.ndarray, grid: np.ndarray | None = None) -> np.ndarray:
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


def median(sums: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(R, G) how many items have each value of the grid -> (R,) medians; of an even number the mean of the two middle
    ones. median([[1, 2, 1]], [1, 5, 9]) == [5]"""
    reached = sums.cumsum(1)
    total = reached[:, -1:]
    low = (reached > (total - 1) // 2).argmax(1)
    high = (reached > total // 2).argmax(1)
    found: np.ndarray = (grid[low] + grid[high]) / 2
    return found


def miss_rate(sums: np.ndarray, grid: np.ndarray, false_alarms: float) -> np.ndarray:
    """(R, 2G) how many defective items, then how many sound ones, have each score of the grid -> (R,) the share of the
    defective ones that raise no alarm, where the threshold lets at most the share `false_alarms` of the sound ones
    raise one. A score equal to the threshold raises none.

    miss_rate([[1, 1, 2, 1, 2, 1]], [1, 2, 3], 0.25): of four sound ones one may raise an alarm, so the threshold is 2
    and the defective ones at 1 and 2 are missed: two of four, 0.5.
    """
    import numpy as np

    levels = len(grid)
    defective, sound = sums[:, :levels], sums[:, levels:]
    above = sound[:, ::-1].cumsum(1)[:, ::-1] - sound  # sound ones with a higher score than each level
    allowed = above <= false_alarms * sound.sum(1, keepdims=True) + 1e-9
    threshold = allowed.argmax(1)  # the lowest level that is allowed
    missed = np.take_along_axis(defective.cumsum(1), threshold[:, None], axis=1)[:, 0]
    found: np.ndarray = missed / defective.sum(1)
    return found


def miss_rate_name(false_alarms: float) -> str:
    """The summary of a miss rate: its allowed share of false alarms is part of the name."""
    return f"miss_rate:{false_alarms:g}"


def macro_f1(sums: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(R, sum of C * C) confusion matrices of slots with `grid` classes each -> (R,) F1, the mean over the classes of a
    slot that occur (in truth or prediction; as torchmetrics' macro average), then over the slots."""
    import numpy as np

    found = []
    for matrix in _matrices(sums, grid):
        hit = np.einsum("rcc->rc", matrix)
        both = matrix.sum(2) + matrix.sum(1)  # 2 tp + fp + fn
        occurs = both > 0
        f1 = 2 * hit / np.where(occurs, both, 1)
        found.append((f1 * occurs).sum(1) / np.maximum(occurs.sum(1), 1))
    return np.mean(found, axis=0)


def mean_accuracy(sums: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """As macro_f1, with the share of right answers of each slot."""
    import numpy as np

    found = [
        np.einsum("rcc->r", matrix) / np.maximum(matrix.sum((1, 2)), 1) for matrix in _matrices(sums, grid)
    ]
    return np.mean(found, axis=0)


def _matrices(sums: np.ndarray, grid: np.ndarray) -> list[np.ndarray]:
    import numpy as np

    ends = np.cumsum(grid**2)
    blocks = np.split(sums, ends[:-1], axis=1)
    return [block.reshape(len(sums), c, c) for block, c in zip(blocks, grid, strict=True)]


SUMMARIES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ratio": ratio, "root_mean_square": root_mean_square, "mean_iou": mean_iou, "median": median,
    "macro_f1": macro_f1, "mean_accuracy": mean_accuracy,
}  # fmt: skip


def summary_of(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(sums, grid) -> values. A miss rate carries its share of false alarms in its name ("miss_rate:0.05")."""
    kind, _, share = name.partition(":")
    return partial(miss_rate, false_alarms=float(share)) if kind == "miss_rate" else SUMMARIES[name]


def counted(measured: Sequence[Measured]) -> tuple[list[np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """One metric of several models: each one's parts (n, K), and the function from their sums (R, K) to values (R,).

    All are counted alike, so that parts of one model may be summed with those of another.
    """
    grid = grid_of(measured)
    summary = summary_of(measured[0].summary)
    return [one.parts(grid) for one in measured], lambda sums: summary(sums, grid)
