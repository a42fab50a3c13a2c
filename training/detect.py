"""What a comparison can show at all, said before it runs: the smallest true effect that it finds four times in five.

    detectable(standard_error)                       # 80 % power, 5 % level, two-sided
    state(base, contrasts, seeds, earlier)           # a Statement for each metric and contrast

The standard error of a difference comes from the newest run of two seeds or more that compared the same two arms in the
same metric, brought to this test set's size and this number of seeds: the interval of a single seed holds no spread
between seeds. Before there is such a run, it comes from how much the base encoder's own metric varies over the test
items, and from an assumption (ALIKE). Where the base's metric does not vary (it finds nothing, or everything), nothing
can be told beforehand. After the run its own interval says better what it could show. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.compare import COVERED, RESAMPLES, draws_of, strata_of
from training.gate import SHARES
from training.measures import Measured, counted

POWER = 0.8
# How alike two models' results on the test items are, as a correlation, where both began as the same base. Measured
# on the demo site: 0.5 to 0.6 in recall@1 (corrected against original and base), 0.9 for original against reworded,
# 0.99 in mIoU of a linear probe. Assumed, the smaller one promises rather too little, until a run shows the site's own.
ALIKE = 0.5
FEWEST_SEEDS = 2  # of a run whose interval holds the spread between seeds
TIE = 1e-12  # of a standard error: sums of equal numbers
ASSUMED, UNKNOWN = "assumed", "cannot be told"
Row = Mapping[str, Any]
Contrast = tuple[str, str]


@dataclass(frozen=True)
class Statement:
    """The smallest effect of one metric and contrast that the run can detect, None where that cannot be told.

    basis: "earlier run RUN", "assumed" or "cannot be told".
    """

    task: str
    metric: str
    arm: str
    versus: str
    detectable: float | None
    unit: str
    n: int
    seeds: int
    basis: str


def told(one: Statement) -> str:
    """ "can detect 5.6 points of recall_at_1 between corrected and original (n = 338, 3 seeds, assumed)", or
    "cannot tell yet what it can detect of recall_at_1 between corrected and original (n = 338, 3 seeds)"."""
    if one.detectable is None:
        return (
            f"cannot tell yet what it can detect of {one.task}/{one.metric} between {one.arm} and {one.versus} "
            f"(n = {one.n}, {one.seeds} seeds)"
        )
    amount = (
        f"{100 * one.detectable:.1f} points" if one.unit in SHARES else f"{one.detectable:.3f} {one.unit}"
    )
    return (
        f"can detect {amount} of {one.task}/{one.metric} between {one.arm} and {one.versus} "
        f"(n = {one.n}, {one.seeds} seeds, {one.basis})"
    )


def detectable(standard_error: float) -> float:
    """(z(0.975) + z(0.8)) standard errors = 2.80 (Cohen 1988, section 2.2)."""
    from scipy.stats import norm

    return float((norm.ppf((1 + COVERED) / 2) + norm.ppf(POWER)) * standard_error)


def error_of(low: float, high: float) -> float:
    """The standard error behind a 95 % interval. error_of(-1.96, 1.96) is 1."""
    from scipy.stats import norm

    return float((high - low) / (2 * norm.ppf((1 + COVERED) / 2)))


def brought_to(error: float, n: int, seeds: int, now_n: int, now_seeds: int) -> float:
    """An earlier run's standard error, for a test set of another size and another number of seeds.

    It goes with 1 / sqrt(n). How much of it came from the seeds is not known, so fewer seeds make it larger, as if all
    of it did, and more of them do not make it smaller: the statement promises rather too little.
    brought_to(0.1, 100, 3, 400, 3) == 0.05; brought_to(0.1, 100, 4, 100, 1) == 0.2
    """
    return float(error * (n / now_n) ** 0.5 * max(1.0, seeds / now_seeds) ** 0.5)


def spread(one: Measured, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The standard deviation of one model's metric over draws of test items (as training/compare.py draws them)."""
    import numpy as np

    (parts,), summary = counted([one])
    names = sorted(set(one.clusters))
    place = {name: number for number, name in enumerate(names)}
    sums = np.zeros((len(names), parts.shape[1]))
    np.add.at(sums, [place[name] for name in one.clusters], parts)
    rng = np.random.default_rng(seed)
    values = np.concatenate(
        [summary(counts @ sums) for counts in draws_of(strata_of(one, names), resamples, rng)]
    )
    return float(np.std(values[np.isfinite(values)]))


def tells(seeds: int, low: float, high: float) -> bool:
    """Whether a run's interval says how widely such a difference varies. Not with one seed, and not where both arms
    were equal."""
    return seeds >= FEWEST_SEEDS and high > low


def state(
    base: Iterable[Measured], contrasts: Sequence[Contrast], seeds: int, earlier: Sequence[Row]
) -> list[Statement]:
    """What each contrast can detect in each metric that the base was measured in.

    earlier: rows of the effects table (with run_id), the newest first; the first one that fits and `tells` counts.
    """
    known: dict[tuple[str, str, str, str], Row] = {}
    for row in earlier:
        if tells(row["seeds"], row["low"], row["high"]):
            known.setdefault((row["task"], row["metric"], row["arm"], row["versus"]), row)
    found = []
    for one in base:
        assumed = spread(one) * (2 * (1 - ALIKE)) ** 0.5
        for arm, versus in contrasts:
            last = known.get((one.task, one.metric, arm, versus))
            if last is not None:
                error = brought_to(
                    error_of(last["low"], last["high"]), last["n"], last["seeds"], one.n, seeds
                )
                basis = f"earlier run {last['run_id']}"
            else:
                error, basis = assumed, ASSUMED if assumed > TIE else UNKNOWN
            smallest = None if basis == UNKNOWN else detectable(error)
            found.append(
                Statement(one.task, one.metric, arm, versus, smallest, one.unit, one.n, seeds, basis)
            )
    return found
