"""Did corrected captions fit their photos better: the alignment (cosine of photo and caption) before and after.

    found = compared(site)           # Alignment, or Missing: what it needs
    found.change, found.low          # mean of after - before with its 95 % interval
    found.parts["language"]          # [Changed("ja", 202, …), …]: the same of each part

Each corrected caption is compared with what replaced it, on the same photo and by the same encoder. The queue shows
what fits badly first, so the change says nothing about captions that nobody corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from math import inf, sqrt
from typing import Any

from dashboards.figures import Missing
from dashboards.quality import FEWEST, LANGUAGE, exact, is_slice
from data.site import Site
from training.slices import AUTHOR

WEEK = "week"  # of the correction, by its Monday; a column of that name in the site's table is left out
WEEKS = 26  # that are told apart: half a year, as many as a chart can show
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Changed:
    """Captions of one part: mean alignment before and after, and the mean change with its 95 % interval (paired t).

    value: of the part; a week is its Monday, "2026-11-23". worse: captions whose alignment fell. One caption alone says
    nothing of the spread: low and high are None.
    """

    value: str
    n: int
    worse: int
    before: float
    after: float
    change: float
    low: float | None
    high: float | None

    @property
    def is_enough(self) -> bool:
        """False: so few were corrected that the change says little."""
        return self.n >= FEWEST


@dataclass(frozen=True)
class Alignment:
    """Cosine of photo and caption before and after the correction, same photos, same encoder.

    `before`, `after`: one value for each corrected caption, same order. `change` is the mean of after - before, with
    its 95 % interval (paired t). `worse`: captions whose alignment fell, with the exact 95 % interval of their share.
    `parts`: by the week of the correction, the old caption's language and each column of the site.
    """

    encoder: str
    knows_corrections: bool  # the encoder was itself trained on corrections: the change flatters
    before: list[float]
    after: list[float]
    simulated: int
    change: float
    low: float
    high: float
    worse: int
    worse_low: float
    worse_high: float
    parts: dict[str, list[Changed]]

    @property
    def n(self) -> int:
        return len(self.before)

    @property
    def mean_before(self) -> float:
        return sum(self.before) / self.n

    @property
    def mean_after(self) -> float:
        return sum(self.after) / self.n


# The new caption in the old one's language; a caption of no known language is compared with the mean of its new ones.
ALIGNMENT_SQL = """
WITH fixed AS (
    SELECT old_pair_id, simulated, created_at, unnest(CAST(new_pair_ids AS VARCHAR[])) AS new_pair_id
    FROM corrections WHERE state = 'active' AND verdict = 'fix')
SELECT f.old_pair_id, bool_or(f.simulated) AS simulated, max(f.created_at) AS corrected_at,
       any_value(o.language) AS language, any_value(o.extra) AS extra, b.encoder,
       any_value(b.cosine) AS before, avg(a.cosine) AS after
FROM fixed f
JOIN pairs o ON o.pair_id = f.old_pair_id AND o.state = 'captioned'
JOIN pairs p ON p.pair_id = f.new_pair_id AND (p.language = o.language OR o.language = 'und')
JOIN scores b ON b.pair_id = o.pair_id AND b.cosine IS NOT NULL
JOIN scores a ON a.pair_id = p.pair_id AND a.encoder = b.encoder AND a.cosine IS NOT NULL
GROUP BY f.old_pair_id, b.encoder
ORDER BY f.old_pair_id
"""


def compared(site: Site, zone: tzinfo | None = None) -> Alignment | Missing:
    """By the encoder that has scored most corrected pairs; the base encoder wins a tie. zone: of the weeks; default:
    this machine's."""
    base = site.settings.site.encoder
    with site.connect() as db:
        rows = db.rows(ALIGNMENT_SQL)
    by_encoder: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_encoder.setdefault(row["encoder"], []).append(row)
    if not by_encoder:
        return Missing("corrections whose old and new captions are both scored", "genba score SITE")
    encoder = max(by_encoder, key=lambda name: (len(by_encoder[name]), name == base, name))
    chosen = by_encoder[encoder]
    before, after = [row["before"] for row in chosen], [row["after"] for row in chosen]
    change, low, high = paired_change(before, after)
    worse = _worse(chosen)
    return Alignment(
        encoder, encoder != base, before, after, sum(bool(row["simulated"]) for row in chosen), change, low, high,
        worse, *exact(worse, len(chosen)), parts_of(chosen, site.settings.review.show_names, zone),
    )  # fmt: skip


def paired_change(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """Mean of after - before with its 95 % interval: mean ± t(0.975, n-1) s / sqrt(n). One pair: no finite interval."""
    import numpy as np
    from scipy.stats import t

    differences = np.asarray(after) - np.asarray(before)
    change, n = float(differences.mean()), len(differences)
    if n < 2:
        return change, -inf, inf
    half = float(t.ppf(0.975, n - 1)) * float(differences.std(ddof=1)) / sqrt(n)
    return change, change - half, change + half


def parts_of(rows: Iterable[Row], show_names: bool, zone: tzinfo | None = None) -> dict[str, list[Changed]]:
    """rows: corrected_at (UTC), language, extra, before, after. Weeks come first, the oldest first; parts of the other
    slices by their change, the smallest first, authors last. Which slices there are: quality.is_slice. Of the weeks
    the newest WEEKS."""
    by_value: dict[str, dict[str, list[Row]]] = {WEEK: {}}
    for row in rows:
        parts = {**row["extra"], LANGUAGE: row["language"], WEEK: _monday(row["corrected_at"], zone)}
        for column, value in parts.items():
            by_value.setdefault(column, {}).setdefault(str(value), []).append(row)
    by_value[WEEK] = {week: by_value[WEEK][week] for week in sorted(by_value[WEEK])[-WEEKS:]}
    places = sorted(by_value, key=lambda column: (column != WEEK, column == AUTHOR, column))
    return {
        column: sorted(
            (_changed(value, part) for value, part in by_value[column].items()),
            key=lambda part: (part.value if column == WEEK else "", part.change),
        )
        for column in places
        if is_slice(column, len(by_value[column]), show_names)
    }


def _monday(at: datetime, zone: tzinfo | None) -> str:
    day = at.replace(tzinfo=UTC).astimezone(zone).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def _changed(value: str, rows: Sequence[Row]) -> Changed:
    before, after = [row["before"] for row in rows], [row["after"] for row in rows]
    n = len(rows)
    change, low, high = paired_change(before, after)
    ends = (low, high) if n > 1 else (None, None)
    return Changed(value, n, _worse(rows), sum(before) / n, sum(after) / n, change, *ends)


def _worse(rows: Sequence[Row]) -> int:
    return sum(row["after"] < row["before"] for row in rows)


WORSE_SQL = f"""
SELECT i.uri AS photo, o.caption AS old, string_agg(DISTINCT p.caption, ' / ') AS new, a.before, a.after
FROM ({ALIGNMENT_SQL}) a
JOIN pairs o ON o.pair_id = a.old_pair_id
JOIN images i ON i.image_id = o.image_id
JOIN (SELECT old_pair_id, unnest(CAST(new_pair_ids AS VARCHAR[])) AS new_pair_id
      FROM corrections WHERE state = 'active' AND verdict = 'fix') f ON f.old_pair_id = a.old_pair_id
JOIN pairs p ON p.pair_id = f.new_pair_id AND (p.language = o.language OR o.language = 'und')
WHERE a.encoder = $encoder AND a.after < a.before
GROUP BY a.old_pair_id, i.uri, o.caption, a.before, a.after
ORDER BY a.after - a.before, a.old_pair_id
LIMIT $n
"""


def fell_most(site: Site, encoder: str, n: int) -> list[dict[str, Any]]:
    """The captions whose alignment fell most: photo (its path), old and new caption, before, after."""
    with site.connect() as db:
        return db.rows(WORSE_SQL, {"encoder": encoder, "n": n})
