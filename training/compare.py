"""Did it help, and how sure is that: differences between arms with paired bootstrap intervals.

    effects(measured, [("corrected", "original")])      # measured: {(arm, seed): [Measured, …]}

value = metric of `arm` - metric of `versus`, each the mean over its seeds. The interval: test items are drawn anew
2,000 times with replacement (whole clusters of them, see Measured), the same draw for every arm and seed, and the
metrics computed again (Efron and Tibshirani 1993, chapter 13: percentile interval). It speaks of other test photos for
these trained models; what another seed would have given is only as well known as there are seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.measures import SUMMARIES, Measured

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
COVERED = 0.95
BLOCK = 4_000_000  # numbers of a block of draws that are held at once
ByArm = Mapping[tuple[str, int], Sequence[Measured]]


@dataclass(frozen=True)
class Comparison:
    """A row of the effects table, without the run."""

    task: str
    metric: str
    arm: str
    versus: str
    value: float
    low: float
    high: float
    unit: str
    higher_is_better: bool
    n: int
    seeds: int


def contrasts(arms: Sequence[str], base: str = "base") -> list[tuple[str, str]]:
    """Which arms are compared: each with the control arm `original`, then each with the base.

    contrasts(["original", "corrected"]) == [("corrected", "original"), ("original", "base"), ("corrected", "base")]
    """
    against = [(arm, "original") for arm in arms if arm != "original" and "original" in arms]
    return against + [(arm, base) for arm in arms]


def effects(measured: ByArm, pairs: Sequence[tuple[str, str]], seed: int = 0) -> list[Comparison]:
    """Every metric that both arms of a pair have, for every pair."""
    by_metric: dict[tuple[str, str], dict[str, list[Measured]]] = {}
    for (arm, _), found in sorted(measured.items()):
        for one in found:
            by_metric.setdefault((one.task, one.metric), {}).setdefault(arm, []).append(one)
    return [
        _compare(arms[arm], arms[versus], arm, versus, seed)
        for arms in by_metric.values()
        for arm, versus in pairs
        if arm in arms and versus in arms
    ]


def _compare(
    arm: list[Measured], versus: list[Measured], arm_name: str, versus_name: str, seed: int
) -> Comparison:
    import numpy as np

    first = arm[0]
    value = float(np.mean([one.value for one in arm]) - np.mean([one.value for one in versus]))
    draws = bootstrap(arm, versus, np.random.default_rng(seed))
    low, high = np.quantile(draws, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Comparison(
        first.task, first.metric, arm_name, versus_name, value, float(low), float(high), first.unit,
        first.higher_is_better, first.n, max(len(arm), len(versus)),
    )  # fmt: skip


def bootstrap(
    arm: Sequence[Measured], versus: Sequence[Measured], rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """(resamples,) differences of the two arms' means over seeds, on the same draws of clusters.

    Raises ValueError when the arms were not measured on the same items.
    """
    import numpy as np

    names = sorted(set(arm[0].clusters))
    sides = [[_by_cluster(one, arm[0], names) for one in side] for side in (arm, versus)]
    summary = SUMMARIES[arm[0].summary]
    parts = [
        np.mean([summary(counts @ one) for one in sides[0]], axis=0)
        - np.mean([summary(counts @ one) for one in sides[1]], axis=0)
        for counts in _draws(len(names), resamples, rng)
    ]
    return np.concatenate(parts)


def _by_cluster(one: Measured, first: Measured, names: list[str]) -> np.ndarray:
    """(clusters, k): the items' statistics summed within each cluster."""
    import numpy as np

    if one.items != first.items or one.clusters != first.clusters:
        raise ValueError(f"{one.task} {one.metric}: the arms were measured on different items")
    place = {name: number for number, name in enumerate(names)}
    sums = np.zeros((len(names), one.statistics.shape[1]))
    np.add.at(sums, [place[name] for name in one.clusters], one.statistics)
    return sums


def _draws(clusters: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each cluster was drawn, (rows, clusters) float64; `resamples` rows in blocks."""
    import numpy as np

    rows = max(1, BLOCK // clusters)
    share = np.full(clusters, 1 / clusters)
    for start in range(0, resamples, rows):
        yield rng.multinomial(clusters, share, size=min(rows, resamples - start)).astype(np.float64)
