"""How far fewer labels go: masks and depth learned from a part of the labels, and how many labels better captions save.

    points = curve(encoder, bench, seed)                    # of one model: each metric at 1/16, 1/8, 1/4, 1/2 and all
    rows = label_equivalents({("original", 0): ..., ("corrected", 0): ...}, [("corrected", "original")])

The labelled photos are used in one order, drawn from the seed, so that the smaller sets lie within the larger ones and
all arms learn from the same. The paper's claim (Vasu et al. 2024: as good with a tenth of the labels) becomes a number:
how many labels the original arm would need to equal the corrected one. It is read off the original arm's curve, made
monotone (isotonic regression over the shares) and linear in log(labels) in between. Beyond all labels nothing is
guessed: then it is not reached. Below the fewest labels nothing is known either: that number stands for "so many or
fewer".

The interval: test photos are drawn anew (by their groups, the same for both arms and all shares) and seeds too, 2,000
times; an end that lies beyond all labels is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.bench import Bench
from training.compare import COVERED, RESAMPLES, draws_of, strata_of
from training.dense_features import DenseEncoder
from training.dense_tasks import goals_of, predict
from training.measures import Measured, counted

if TYPE_CHECKING:
    import numpy as np

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
TIE = 1e-9  # of a value: sums of the same numbers in another order are equal
FEWEST = 2  # photos: one to learn from, one to choose the probe's strength on
METRICS = {"miou", "rmse", "abs_rel", "delta_1_25"}  # not each class: a row for each would hide these


@dataclass(frozen=True)
class Point:
    """One metric of one model that learned from `labels` labelled photos, `share` of all."""

    task: str
    metric: str
    share: float
    labels: int
    measured: Measured


@dataclass(frozen=True)
class Equivalent:
    """A row of the table label_equivalents, without the run: what `arm` reaches with `labels` labels takes `versus`
    `equivalent` labels. None, of it or of an end of its interval: not reached with all labels."""

    task: str
    metric: str
    arm: str
    versus: str
    share: float
    labels: int
    equivalent: float | None
    low: float | None
    high: float | None
    is_reached: bool


Curves = Mapping[tuple[str, int], Sequence[Point]]  # (arm, seed) -> the model's curve


@dataclass(frozen=True)
class Curve:
    """points: each metric by the number of labels. with_all: by task, what the task itself gives, with all labels."""

    points: list[Point]
    with_all: dict[str, list[Measured]]


def curve(
    encoder: DenseEncoder,
    bench: Bench,
    seed: int = 0,
    told: Callable[[str, Sequence[str], np.ndarray], None] | None = None,
) -> Curve:
    """The dense tasks of one model by the number of labels. A task without its labels has no points.

    seed: of the order of the labels; give each arm's model of one seed the same. Shares that come to the same number of
    photos are counted once. told(task, image_ids, scores): what was predicted with all labels.
    """
    goals = goals_of(bench)
    counts = {task: label_counts(len(goal.dense.train)) for task, goal in goals.items()}
    labels = [list(one.values()) for one in counts.values()]

    def told_by_place(place: int, image_ids: Sequence[str], scores: np.ndarray) -> None:
        if told:
            told(list(goals)[place], image_ids, scores)

    found = predict(encoder, list(goals.values()), bench.plan, labels, seed, told_by_place) if goals else []
    points = [
        Point(one.task, one.metric, share, number, one)
        for task, by_count in zip(goals, found, strict=True)
        for (share, number), measured in zip(counts[task].items(), by_count, strict=True)
        for one in measured
        if one.metric in METRICS
    ]
    return Curve(points, {task: by_count[-1] for task, by_count in zip(goals, found, strict=True)})


def label_counts(labels: int) -> dict[float, int]:
    """share -> number of labels, rising. label_counts(20) == {1/8: 2, 1/4: 5, 1/2: 10, 1.0: 20}: a sixteenth is one."""
    found: dict[float, int] = {}
    for share in SHARES:
        count = round(share * labels)
        if count >= FEWEST and count not in found.values():
            found[share] = count
    return found


def efficiency_rows(curves: Curves) -> list[dict[str, object]]:
    """Rows of the table `efficiency`, without the run."""
    return [
        {"arm": arm, "seed": seed, "task": one.task, "metric": one.metric, "share": one.share, "labels": one.labels,
         "value": one.measured.value, "unit": one.measured.unit, "higher_is_better": one.measured.higher_is_better,
         "n": one.measured.n}
        for (arm, seed), points in curves.items()
        for one in points
    ]  # fmt: skip


def label_equivalents(
    curves: Curves, pairs: Sequence[tuple[str, str]], seed: int = 0, resamples: int = RESAMPLES
) -> list[Equivalent]:
    """For each pair (arm, versus), metric and share. Raises ValueError when arms were not measured on the same photos,
    with the same numbers of labels and seeds (one seed alone is paired with all)."""
    found: list[Equivalent] = []
    for name, arms in _by_metric(curves).items():
        for arm, versus in pairs:
            if arm in arms and versus in arms:
                found += _equivalents(name, (arm, arms[arm]), (versus, arms[versus]), seed, resamples)
    return found


BySeed = list[list[Point]]  # for each seed the curve of one metric, by rising labels


def _by_metric(curves: Curves) -> dict[tuple[str, str], dict[str, BySeed]]:
    found: dict[tuple[str, str], dict[str, BySeed]] = {}
    for (arm, _), points in sorted(curves.items()):
        of_model: dict[tuple[str, str], list[Point]] = {}
        for one in sorted(points, key=lambda point: point.labels):
            of_model.setdefault((one.task, one.metric), []).append(one)
        for name, line in of_model.items():
            found.setdefault(name, {}).setdefault(arm, []).append(line)
    return found


def fewest(found: Iterable[Equivalent], task: str, metric: str) -> int:
    """The fewest labels that a metric was learned from. An equivalent, or an end of its interval, that equals them says
    "so many or fewer". found: with all shares of that metric."""
    return min(one.labels for one in found if (one.task, one.metric) == (task, metric))


def _equivalents(
    name: tuple[str, str], arm: tuple[str, BySeed], versus: tuple[str, BySeed], seed: int, resamples: int
) -> list[Equivalent]:
    import numpy as np

    ours, theirs = _values(arm[1], versus[1], seed, resamples)  # (P, 1 + R): the first column as measured
    first = arm[1][0]
    if not first[0].measured.higher_is_better:
        ours, theirs = -ours, -theirs
    labels = np.array([point.labels for point in first], float)
    needed = labels_needed(monotone(theirs), labels, ours)  # (P, 1 + R)
    rows = []
    for place, point in enumerate(first):
        value, draws = needed[place, 0], needed[place, 1:]
        low, high = np.quantile(
            draws[~np.isnan(draws)], [(1 - COVERED) / 2, (1 + COVERED) / 2], method="inverted_cdf"
        )
        rows.append(Equivalent(*name, arm[0], versus[0], point.share, point.labels, _finite(value), _finite(low),
                               _finite(high), bool(np.isfinite(value))))  # fmt: skip
    return rows


def _finite(value: float) -> float | None:
    return float(value) if abs(value) != float("inf") else None


def _values(arm: BySeed, versus: BySeed, seed: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """The two arms' means over seeds at each of P points, (P, 1 + R): as measured, then on R draws of photos and seeds.

    Seeds are drawn in pairs; their spread is that of a mean of S seeds (times S / (S - 1), as in training/compare.py).
    """
    import numpy as np

    _require_alike(arm, versus)
    rng = np.random.default_rng(seed)
    flat = [point.measured for line in (*arm, *versus) for point in line]
    parts, summary = counted(flat)
    names = sorted(set(flat[0].clusters))
    place = {one: number for number, one in enumerate(names)}
    sums = np.zeros((len(flat), len(names), parts[0].shape[1]))
    for number, one in enumerate(parts):
        np.add.at(sums[number], [place[cluster] for cluster in flat[0].clusters], one)
    draws = np.concatenate([np.ones((1, len(names))), *draws_of(strata_of(flat[0], names), resamples, rng)])
    values = np.stack([summary(draws @ one) for one in sums])  # (lines * P, 1 + R)
    points, seeds = len(arm[0]), max(len(arm), len(versus))
    ours, theirs = (
        np.broadcast_to(side.reshape(-1, points, 1 + resamples), (seeds, points, 1 + resamples))
        for side in np.split(values, [len(arm) * points])
    )
    if seeds == 1:
        return ours[0], theirs[0]
    drawn = rng.integers(0, seeds, (seeds, 1, 1 + resamples))
    return _over_seeds(ours, drawn), _over_seeds(theirs, drawn)


def _over_seeds(by_seed: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(S, P, 1 + R) -> (P, 1 + R): the mean over seeds; but for the first column over seeds drawn anew."""
    import numpy as np

    seeds = len(by_seed)
    mean = by_seed.mean(0)
    deviation = np.take_along_axis(by_seed - mean, np.broadcast_to(drawn, by_seed.shape), axis=0).mean(0)
    deviation[:, 0] = 0.0
    found: np.ndarray = mean + (seeds / (seeds - 1)) ** 0.5 * deviation
    return found


def _require_alike(arm: BySeed, versus: BySeed) -> None:
    first = arm[0]
    for line in (*arm, *versus):
        if [point.labels for point in line] != [point.labels for point in first]:
            raise ValueError(
                f"{first[0].task} {first[0].metric}: the arms learned from other numbers of labels"
            )
        for point in line:
            if (point.measured.items, point.measured.clusters) != (
                first[0].measured.items,
                first[0].measured.clusters,
            ):
                raise ValueError(
                    f"{first[0].task} {first[0].metric}: the arms were measured on different items"
                )
    seeds = max(len(arm), len(versus))
    if any(len(side) not in (1, seeds) for side in (arm, versus)):
        raise ValueError(
            f"{first[0].task} {first[0].metric}: the arms have {len(arm)} and {len(versus)} seeds"
        )


def monotone(values: np.ndarray) -> np.ndarray:
    """(P, R) curves, one a column -> the nearest ones (least squares) that never fall: isotonic regression.

    By its min-max formula (Robertson, Wright and Dykstra 1988, theorem 1.4.4): the value at k is the largest over i <=
    k of the smallest over j >= k of the mean of i to j. monotone([[1], [3], [2], [4]]) == [[1], [2.5], [2.5], [4]]
    """
    import numpy as np

    points = len(values)
    before = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(0)])
    found = np.empty_like(values, dtype=float)
    for k in range(points):
        smallest = [
            np.min([(before[j + 1] - before[i]) / (j + 1 - i) for j in range(k, points)], axis=0)
            for i in range(k + 1)
        ]
        found[k] = np.max(smallest, axis=0)
    return found


def labels_needed(rising: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How many labels a curve needs for each wanted value, (Q, R); infinite where it never gets there.

    rising: (P, R), never falling; labels: (P,), rising; wanted: (Q, R). Linear in log(labels) between two points. What
    the curve has at its first point already takes that many labels (or fewer).
    labels_needed([[0.2], [0.4]], [10, 40], [[0.3], [0.1], [0.5]]) == [[20], [10], [inf]]
    """
    import numpy as np

    logs = np.log(labels)
    is_there = rising[None] >= (wanted - TIE * np.abs(wanted))[:, None]  # (Q, P, R)
    first = is_there.argmax(1)  # (Q, R)
    before = np.maximum(first - 1, 0)
    low, high = (np.take_along_axis(rising, place, axis=0) for place in (before, first))
    rise = high - low
    share = np.where(rise > 0, (wanted - low) / np.where(rise > 0, rise, 1), 1.0).clip(max=1.0)
    found = np.exp(logs[before] + share * (logs[first] - logs[before]))
    found = np.where(first == 0, labels[0], found)
    found = np.where(is_there.any(1), found, np.inf)
    return np.where(np.isnan(wanted) | np.isnan(rising).any(0), np.nan, found)
