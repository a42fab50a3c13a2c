"""What the page Quality shows: queries on the store in, frozen records out. No page, no words.

    error_over_time(site)        # [Point, …], the audited share of bad captions, oldest draw first
    by_slice(site)               # {"line": [Part, …], "language": […]}: where they are
    lacking(site)                # {"defect": 312, …}: items that waiting captions do not state

Only blind random captions count in a share: what was corrected from the queue was chosen for its risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from annotate import intervals, queue
from annotate.estimate import AUDITED, IN_A_ROW, cells_of
from annotate.slices import MOST_VALUES
from data.site import Site
from data.store import Database
from training.slices import AUTHOR, is_held_back

FEWEST = 30  # judged captions of a part; below, its share is drawn as uncertain
ENDLESS = 1_000_000
LANGUAGE = "language"
Row = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """The share of bad captions in the pile at one time, with its exact 95 % interval. kind: "drawn" or "mixed"."""

    at: datetime
    kind: str
    judged: int
    bad: int
    rate: float
    low: float
    high: float


def error_over_time(site: Site) -> list[Point]:
    """One point for each audit draw and for each twenty mixed-in captions of which any is judged, oldest first."""
    with site.connect() as db:
        return points(db.rows(AUDITED))


def points(rows: Sequence[Row]) -> list[Point]:
    """rows: draw, kind, stratum, drawn_at, bad (None: not judged), oldest first. Strata weigh as large as they are."""
    drawn: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] != "mixed":
            drawn.setdefault(row["draw"], []).append(row)
    mixed = iter([row for row in rows if row["kind"] == "mixed" and row["bad"] is not None])
    blocks = [("drawn", one) for one in drawn.values()]
    while block := list(islice(mixed, IN_A_ROW)):
        blocks.append(("mixed", [{**row, "stratum": ""} for row in block]))
    found = [point for kind, block in blocks if (point := _point(kind, block)) is not None]
    return sorted(found, key=lambda point: point.at)


def _point(kind: str, rows: Sequence[Row]) -> Point | None:
    cells = cells_of(rows)
    if not cells:
        return None
    whole = sum(cell.share for cell in cells)
    # Taken from a pile without end: a little wider than need be where much of a small pile was judged.
    parts = [
        intervals.Part(cell.share, ENDLESS * cell.share / whole, cell.judged, cell.bad) for cell in cells
    ]
    rate, low, high = (value / whole for value in intervals.total(parts))
    judged, bad = sum(cell.judged for cell in cells), sum(cell.bad for cell in cells)
    return Point(max(row["drawn_at"] for row in rows), kind, judged, bad, rate, low, high)


SLICES_SQL = """
SELECT p.language, p.extra, a.inclusion_probability, c.verdict = 'fix' AS bad
FROM audits a
JOIN pairs p ON p.pair_id = a.pair_id AND p.origin IN ('legacy', 'draft') AND p.state = 'captioned'
JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active' AND c.verdict IN ('ok', 'fix')
WHERE a.kind <> 'selection' AND a.inclusion_probability > 0
"""


@dataclass(frozen=True)
class Part:
    """One part of a slice: the share of bad captions in it, in [0, 1], with its 95 % interval."""

    value: str
    judged: int
    bad: int
    rate: float
    low: float
    high: float

    @property
    def is_enough(self) -> bool:
        """False: so few were judged that the share says little."""
        return self.judged >= FEWEST


def by_slice(site: Site) -> dict[str, list[Part]]:
    """The parts of each extra column and of the language, the worst first; columns of free text are left out. Those who
    wrote the captions come last: who is asked for the worst place first looks at places, not at people."""
    with site.connect() as db:
        return parts_of(db.rows(SLICES_SQL), site.settings.review.show_names)


def parts_of(rows: Sequence[Row], show_names: bool) -> dict[str, list[Part]]:
    """rows: language, extra, inclusion_probability, bad. A slice with a single part says nothing and is left out.

    show_names: authors are shown however few they are ([review] show_names)."""
    by_value: dict[str, dict[str, list[tuple[bool, float]]]] = {}
    for row in rows:
        answer = (bool(row["bad"]), 1 / row["inclusion_probability"])
        for column, value in {**row["extra"], LANGUAGE: row["language"]}.items():
            by_value.setdefault(column, {}).setdefault(str(value), []).append(answer)
    return {
        column: sorted(
            (share(value, answers) for value, answers in values.items()), key=lambda part: -part.rate
        )
        for column, values in sorted(by_value.items(), key=lambda one: (one[0] == AUTHOR, one[0]))
        if is_slice(column, len(values), show_names)
    }


def is_slice(column: str, values: int, show_names: bool) -> bool:
    """Whether the parts of a column are compared: more than one, no free text, and not a few authors by name."""
    return 1 < values <= MOST_VALUES and not is_held_back(column, values, show_names)


def share(value: str, answers: Sequence[tuple[bool, float]]) -> Part:
    """answers: whether the caption was bad, and how many it stands for (1 / its inclusion probability).

    The weighted share (Hajek 1971). Interval: Clopper and Pearson's with the effective number of answers
    (sum w)^2 / sum w^2 in place of the number (Kish 1965; Korn and Graubard 1998).
    """
    whole = sum(weight for _, weight in answers)
    rate = sum(weight for bad, weight in answers if bad) / whole
    n = whole**2 / sum(weight**2 for _, weight in answers)
    return Part(value, len(answers), sum(bad for bad, _ in answers), rate, *exact(rate * n, n))


def exact(k: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of k among n (Clopper and Pearson 1934); both may be effective numbers."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, k, n - k + 1)) if k > 0 else 0.0
    high = float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
    return low, high


# The item ids stand in the reasons of each score (scoring/reasons.py); only captions that wait are counted.
LACKING_SQL = f"""
SELECT slot, count(*) AS captions
FROM (SELECT unnest(json_extract_string(s.reasons, '$[*].slots[*]')) AS slot {queue.WAITING} AND p.state = 'captioned')
GROUP BY slot ORDER BY captions DESC, slot
"""


def lacking(site: Site) -> dict[str, int]:
    """Slot id -> waiting captions that do not state it, the most frequent first."""
    encoder = site.queue_encoder()
    with site.connect() as db:
        return _lacking(db, {"encoder": encoder})


def _lacking(db: Database, parameters: Mapping[str, Any]) -> dict[str, int]:
    return {row["slot"]: row["captions"] for row in db.rows(LACKING_SQL, parameters)}
