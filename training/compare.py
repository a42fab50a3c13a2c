"""Did it help, and how sure is that: differences between arms, with intervals over seeds and test items, and p-values.

    effects(measured, [("corrected", "original")])      # measured: {(arm, seed): [Measured, …]}

value = metric of `arm` - metric of `versus`, each the mean over its seeds.

The interval is that of a paired, stratified, hierarchical bootstrap (Efron and Tibshirani 1993, chapters 8 and 13;
Davison and Hinkley 1997, section 3.8): 2,000 times, test items are drawn anew with replacement, whole clusters of them
within their stratum (see Measured), the same draw for both arms; and seeds are drawn anew, the same for both arms, as
they share their batches. A bootstrap of S seeds shows (S - 1) / S of their variance, so deviations between seeds are
widened by sqrt(S / (S - 1)). So it speaks of other test photos and of other seeds; with one seed of other photos alone.

The p-value is that of a permutation test: where the captions make no difference, an item's results of the two arms may
as well be exchanged. 2,000 times each cluster's are, or are not (a paired sign flip; Good 2005, section 3.2), in all
seeds alike; p = (1 + as large or larger) / (1 + 2,000) (Phipson and Smyth 2010). It speaks of these trained models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.measures import Measured, counted

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
PERMUTATIONS = 2000
COVERED = 0.95
BLOCK = 4_000_000  # numbers of a block of draws that are held at once
FEWEST_IN_STRATUM = 5  # clusters; smaller strata are drawn together: alone they would hardly vary
BASE, ORIGINAL, CORRECTED, REWORDED = "base", "original", "corrected", "reworded"
ANSWERS = ("ranked", "random")
ByArm = Mapping[tuple[str, int], Sequence[Measured]]


@dataclass(frozen=True)
class Comparison:
    """A row of the effects table, without the run. detectable: stated before the run (training/detect.py), or None."""

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
    p_value: float | None = None
    detectable: float | None = None


def contrasts(arms: Sequence[str], base: str = BASE) -> list[tuple[str, str]]:
    """Which arms are compared: each with the control arm `original`, the corrected one with all the others, each with
    the base. `random` and `ranked`, with equally many answers, are compared with each other: `corrected` has more.

    contrasts(["original", "corrected", "reworded"]) == [("corrected", "original"), ("reworded", "original"),
    ("corrected", "reworded"), ("original", "base"), ("corrected", "base"), ("reworded", "base")]
    """
    found = [(arm, ORIGINAL) for arm in arms if arm != ORIGINAL and ORIGINAL in arms]
    others = [arm for arm in arms if arm not in (CORRECTED, ORIGINAL, *ANSWERS)]
    found += [(CORRECTED, arm) for arm in others if CORRECTED in arms]
    found += [ANSWERS] if set(ANSWERS) <= set(arms) else []
    return found + [(arm, base) for arm in arms]


def by_metric(measured: ByArm) -> dict[tuple[str, str], dict[str, list[Measured]]]:
    """(task, metric) -> arm -> one Measured for each seed, in order of seeds."""
    found: dict[tuple[str, str], dict[str, list[Measured]]] = {}
    for (arm, _), measures in sorted(measured.items()):
        for one in measures:
            found.setdefault((one.task, one.metric), {}).setdefault(arm, []).append(one)
    return found


def effects(
    measured: ByArm,
    pairs: Sequence[tuple[str, str]],
    seed: int = 0,
    stated: Mapping[tuple[str, str, str, str], float | None] | None = None,
) -> list[Comparison]:
    """Every metric that both arms of a pair have, for every pair.

    stated: (task, metric, arm, versus) -> the smallest effect that could be detected, as said before the run.
    """
    kept: dict[bytes, np.ndarray] = {}
    return [
        _compare(arms[arm], arms[versus], (arm, versus), seed, (stated or {}).get((*name, arm, versus)), kept)
        for name, arms in by_metric(measured).items()
        for arm, versus in pairs
        if arm in arms and versus in arms
    ]


def _compare(
    arm: list[Measured],
    versus: list[Measured],
    names: tuple[str, str],
    seed: int,
    stated: float | None,
    kept: dict[bytes, np.ndarray],
) -> Comparison:
    import numpy as np

    first = arm[0]
    value = float(np.mean([one.value for one in arm]) - np.mean([one.value for one in versus]))
    draws = bootstrap(arm, versus, np.random.default_rng(seed), kept=kept)
    low, high = np.quantile(draws, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Comparison(
        first.task, first.metric, *names, value, float(low), float(high), first.unit, first.higher_is_better, first.n,
        max(len(arm), len(versus)), sign_flip(arm, versus, np.random.default_rng([seed, 1])), stated,
    )  # fmt: skip


@dataclass(frozen=True)
class _Sides:
    """Two arms' parts summed by cluster, (clusters, K) for each seed; one that has a single seed repeats it."""

    clusters: list[str]
    arm: list[np.ndarray]
    versus: list[np.ndarray]
    summary: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def of(cls, arm: Sequence[Measured], versus: Sequence[Measured]) -> _Sides:
        """Raises ValueError when they were not measured on the same items, or with other numbers of seeds."""
        first = arm[0]
        if any(one.items != first.items or one.clusters != first.clusters for one in (*arm, *versus)):
            raise ValueError(f"{first.task} {first.metric}: the arms were measured on different items")
        seeds = max(len(arm), len(versus))
        if any(len(side) not in (1, seeds) for side in (arm, versus)):
            raise ValueError(f"{first.task} {first.metric}: the arms have {len(arm)} and {len(versus)} seeds")
        parts, summary = counted([*arm, *versus])
        names = sorted(set(first.clusters))
        sums = [_by_cluster(one, first.clusters, names) for one in parts]
        one, other = sums[: len(arm)], sums[len(arm) :]
        return cls(names, one * (seeds // len(one)), other * (seeds // len(other)), summary)


def _by_cluster(parts: np.ndarray, clusters: Sequence[str], names: Sequence[str]) -> np.ndarray:
    import numpy as np

    place = {name: number for number, name in enumerate(names)}
    sums = np.zeros((len(names), parts.shape[1]))
    np.add.at(sums, [place[name] for name in clusters], parts)
    return sums


def bootstrap(
    arm: Sequence[Measured],
    versus: Sequence[Measured],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    kept: dict[bytes, np.ndarray] | None = None,
) -> np.ndarray:
    """(resamples,) differences of the two arms' means over seeds, on the same draws of clusters and of seeds.

    kept: draws of clusters that other metrics with the same strata may use again, where they are not too many to hold.
    Raises ValueError when the arms were not measured on the same items. Draws in which the metric has no value (no
    item of a kind) are left out.
    """
    import numpy as np

    sides = _Sides.of(arm, versus)
    parts = []
    for counts in _draws(strata_of(arm[0], sides.clusters), resamples, rng, kept):
        by_seed = np.stack([
            sides.summary(counts @ one) - sides.summary(counts @ other)
            for one, other in zip(sides.arm, sides.versus, strict=True)
        ])  # (S, R)  # fmt: skip
        parts.append(_over_seeds(by_seed, rng))
    found = np.concatenate(parts)
    return found[np.isfinite(found)]


def _over_seeds(by_seed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(S, R) differences of S seeds -> (R,) their mean over seeds drawn anew, as widely spread as S seeds' mean is."""
    import numpy as np

    seeds = len(by_seed)
    mean = by_seed.mean(0)
    if seeds == 1:
        return mean
    drawn = rng.integers(0, seeds, by_seed.shape)
    deviation = np.take_along_axis(by_seed - mean, drawn, axis=0).mean(0)
    found: np.ndarray = mean + (seeds / (seeds - 1)) ** 0.5 * deviation
    return found


def sign_flip(
    arm: Sequence[Measured], versus: Sequence[Measured], rng: np.random.Generator, flips: int = PERMUTATIONS
) -> float:
    """The two-sided p-value of the difference, in (0, 1]; 1 for equal arms."""
    import numpy as np

    sides = _Sides.of(arm, versus)
    clusters = len(sides.clusters)
    rows = max(1, BLOCK // clusters)
    observed = abs(_difference(sides, np.zeros((1, clusters)))[0])
    as_large = 0
    for start in range(0, flips, rows):
        swapped = rng.integers(0, 2, (min(rows, flips - start), clusters)).astype(np.float64)
        found = np.abs(_difference(sides, swapped))
        as_large += int((~(found < observed - 1e-12)).sum())  # what has no value speaks for no difference
    return (1 + as_large) / (1 + flips)


def _difference(sides: _Sides, swapped: np.ndarray) -> np.ndarray:
    """(R, clusters) of 0 and 1 -> (R,) the arms' difference after the clusters marked 1 were exchanged."""
    import numpy as np

    found = []
    for one, other in zip(sides.arm, sides.versus, strict=True):
        moved = swapped @ (other - one)
        found.append(sides.summary(one.sum(0) + moved) - sides.summary(other.sum(0) - moved))
    mean: np.ndarray = np.mean(found, axis=0)
    return mean


def strata_of(one: Measured, clusters: Sequence[str]) -> np.ndarray:
    """(clusters,) the number of each cluster's stratum: the kinds of its items; small strata are one."""
    import numpy as np

    kinds: dict[str, set[str]] = {name: set() for name in clusters}
    for name, kind in zip(one.clusters, one.strata or [""] * one.n, strict=True):
        kinds[name].add(kind)
    names = ["+".join(sorted(kinds[name])) for name in clusters]
    _, place, count = np.unique(names, return_inverse=True, return_counts=True)
    small = count[place] < FEWEST_IN_STRATUM
    found: np.ndarray = np.where(small, len(count), place)
    return found


def _draws(
    strata: np.ndarray, resamples: int, rng: np.random.Generator, kept: dict[bytes, np.ndarray] | None
) -> Iterator[np.ndarray]:
    """As `draws_of`, or what was kept of them."""
    if kept is None or len(strata) * resamples > BLOCK:
        yield from draws_of(strata, resamples, rng)
        return
    key = strata.tobytes()
    if key not in kept:
        (kept[key],) = draws_of(strata, resamples, rng)
    yield kept[key]


def draws_of(strata: np.ndarray, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each cluster was drawn, (rows, clusters) float64; `resamples` rows in blocks. strata: (clusters,)."""
    import numpy as np

    clusters = len(strata)
    rows = max(1, BLOCK // clusters)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for start in range(0, resamples, rows):
        found = np.zeros((min(rows, resamples - start), clusters))
        for these in members:
            share = np.full(len(these), 1 / len(these))
            found[:, these] = rng.multinomial(len(these), share, size=len(found))
        yield found


def verdict(effect: Comparison) -> str:
    """ "better", "worse", or "undecided" where the interval includes zero."""
    if effect.low <= 0 <= effect.high:
        return "undecided"
    return "better" if (effect.low > 0) == effect.higher_is_better else "worse"


def claim(found: Sequence[Comparison], task: str, metric: str) -> str:
    """What may be said of the corrections in one metric: "gain", "style", "none" or "loss".

    A gain only where the corrected arm is proven better than the original and than the reworded one: what it has beyond
    the original alone may be the template's wording ("style"). Where the reworded arm is missing, nothing is claimed.
    """
    of_metric = [one for one in found if (one.task, one.metric, one.arm) == (task, metric, CORRECTED)]
    verdicts = {one.versus: verdict(one) for one in of_metric}
    if verdicts.get(ORIGINAL) == "worse":
        return "loss"
    if verdicts.get(ORIGINAL) != "better" or REWORDED not in verdicts:
        return "none"
    return "gain" if verdicts[REWORDED] == "better" else "style"
