"""Does a model serve everybody alike: each metric in every part of every slice, against the rest. Pure.

    slice_gaps(measured, {"line": {"item-1": "A", …}, "language": {…}})       # rows of the table slice_gaps

measured is as for training/compare.py: {(arm, seed): [Measured, …]}. slices: column -> item -> part; an item that a
column does not name is in no part of it (training/slice_columns.py reads both from a site).

    gap = metric in the part - metric in the rest           change = metric in the part - the same of the arm `base`

Each is the mean over the arm's seeds. Intervals: whole clusters of test items are drawn anew with replacement within
their strata, the same draw for both sides (Efron and Tibshirani 1993, chapter 13: percentile interval, 95 %); they
speak of other test photos for these trained models. A part of fewer than ENOUGH items, or with fewer than that in the
rest, says little: `is_enough` is False, and the gate looks past it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.compare import BASE, COVERED, ByArm, by_metric, draws_of, strata_of
from training.measures import Measured, counted

if TYPE_CHECKING:
    import numpy as np

ENOUGH = 30  # items in the part, and in the rest
AUTHOR = "author"  # the column of those who wrote the captions
FEWEST_PEOPLE = 5  # fewer are not compared by name unless the site allows it
RESAMPLES = 1000
Slices = Mapping[str, Mapping[str, str]]
Row = dict[str, Any]


def slice_gaps(measured: ByArm, slices: Slices, base: str = BASE, seed: int = 0) -> list[Row]:
    """Rows of the table slice_gaps without the run, in order of task, metric, slice, part, arm.

    A part that nobody is in, that everybody is in, or in which a metric has no value (no try, no pixel) gives no row.
    change, change_low, change_high are None for the arm `base`, and where there is none. Raises ValueError when two
    arms were measured on different items.
    """
    found: list[Row] = []
    for (task, metric), arms in sorted(by_metric(measured).items()):
        of = _Of.these(arms, seed)
        for column in sorted(slices):
            parts = [slices[column].get(item) for item in of.first.items]
            for part in sorted({part for part in parts if part is not None}):
                inside = [one == part for one in parts]
                outside = [one is not None and one != part for one in parts]
                names = {"task": task, "metric": metric, "slice": column, "part": part}
                found += [{**names, **row} for row in _part(of, inside, outside, base)]
    return found


def is_held_back(column: str, values: int, show_names: bool) -> bool:
    """Those who wrote the captions are persons: fewer than FEWEST_PEOPLE are not compared by name."""
    return column == AUTHOR and values < FEWEST_PEOPLE and not show_names


def shown_gaps(rows: Sequence[Row], show_names: bool) -> list[Row]:
    """rows: of the table slice_gaps. Without those of authors who are held back. show_names: of [review]."""
    people: dict[tuple[str, str, str], set[str]] = {}
    for row in rows:
        if row["slice"] == AUTHOR:
            people.setdefault((row["task"], row["metric"], row["arm"]), set()).add(row["part"])

    def held_back(row: Row) -> bool:
        authors = people.get((row["task"], row["metric"], row["arm"]), ())
        return is_held_back(row["slice"], len(authors), show_names)

    return [row for row in rows if not held_back(row)]


@dataclass(frozen=True)
class _Of:
    """One metric of all arms. parts: arm -> (n, K) for each seed. draws: how often each cluster was drawn, in blocks of
    (rows, clusters), RESAMPLES rows in all: the same for every arm and part."""

    first: Measured
    parts: dict[str, list[np.ndarray]]
    summary: Callable[[np.ndarray], np.ndarray]
    clusters: list[str]
    draws: list[np.ndarray]

    @classmethod
    def these(cls, arms: Mapping[str, Sequence[Measured]], seed: int) -> _Of:
        import numpy as np

        flat = [one for seeds in arms.values() for one in seeds]
        first = flat[0]
        if any(one.items != first.items or one.clusters != first.clusters for one in flat):
            raise ValueError(f"{first.task} {first.metric}: the arms were measured on different items")
        made, summary = counted(flat)
        left = iter(made)
        parts = {arm: [next(left) for _ in seeds] for arm, seeds in arms.items()}
        names = sorted(set(first.clusters))
        draws = draws_of(strata_of(first, names), RESAMPLES, np.random.default_rng(seed))
        return cls(first, parts, summary, names, list(draws))


@dataclass(frozen=True)
class _Side:
    """One arm in one part (or the rest): its value and (RESAMPLES,) values on the draws; NaN where there is none."""

    value: float
    draws: np.ndarray


def _part(of: _Of, inside: list[bool], outside: list[bool], base: str) -> Iterator[Row]:
    """A row for each arm that has a value on both sides."""
    import numpy as np

    if not any(inside) or not any(outside):
        return
    sides = {arm: (_side(of, arm, inside), _side(of, arm, outside)) for arm in of.parts}
    for arm, (part, rest) in sides.items():
        if not np.isfinite([part.value, rest.value]).all():
            continue
        low, high = _interval(part.draws - rest.draws)
        yield {
            "arm": arm, "value": part.value, "rest": rest.value, "gap": part.value - rest.value,
            "low": low, "high": high, "n": sum(inside), "is_enough": min(sum(inside), sum(outside)) >= ENOUGH,
            "unit": of.first.unit, "higher_is_better": of.first.higher_is_better,
            **_change(part, sides[base][0] if base in sides and arm != base else None),
        }  # fmt: skip


def _change(part: _Side, before: _Side | None) -> Row:
    import numpy as np

    if before is None or not np.isfinite(before.value):
        return {"change": None, "change_low": None, "change_high": None}
    low, high = _interval(part.draws - before.draws)
    return {"change": part.value - before.value, "change_low": low, "change_high": high}


def _interval(draws: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval; draws in which one side was empty say nothing and are left out."""
    import numpy as np

    usable = draws[np.isfinite(draws)]
    low, high = np.quantile(usable, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)


def _side(of: _Of, arm: str, chosen: list[bool]) -> _Side:
    """The metric over the chosen items alone, mean over seeds."""
    import numpy as np

    place = {name: number for number, name in enumerate(of.clusters)}
    kept = np.flatnonzero(chosen)
    rows = [place[of.first.clusters[number]] for number in kept]
    sums = []
    for parts in of.parts[arm]:
        made = np.zeros((len(place), parts.shape[1]))
        np.add.at(made, rows, parts[kept])
        sums.append(made)
    items = np.bincount(rows, minlength=len(place))
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # no try or no pixel: no value, left out by the callers
        value = float(np.mean([of.summary(one.sum(0, keepdims=True))[0] for one in sums]))
        found = [np.mean([of.summary(counts @ one) for one in sums], axis=0) for counts in of.draws]
    empty = (
        np.concatenate([counts @ items for counts in of.draws]) == 0
    )  # where a median would be the lowest value
    return _Side(value, np.where(empty, np.nan, np.concatenate(found)))
