"""What the page Staff shows: how much is answered, how fast, how well two people agree, and how all that grows.

    found = staff(site)              # Staff: `people` by name, or one pooled row where there are fewer than FEWEST
    found.people[0].median_seconds

Numbers of few people are numbers of persons: with fewer than FEWEST of them nobody is shown by name, unless
[review] show_names in genba.toml allows it. The simulated crew of the demo stands apart, and counts no better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from data.site import Site
from training.slices import FEWEST_PEOPLE

FEWEST = FEWEST_PEOPLE  # fewer are not shown by name
STEP = 25  # answers of a step of the learning curve
FEWEST_REVIEWED = 5  # second opinions, before a share that agrees is shown
Row = dict[str, Any]

# The first version of every answer that was not taken back. Approvals of lots are not typed, and not counted here.
ANSWERS_SQL = """
SELECT annotator AS name, simulated, verdict, active_seconds AS seconds, created_at AS given_at
FROM corrections
WHERE state <> 'withdrawn' AND source <> 'lot' AND supersedes IS NULL
UNION ALL
SELECT reviewer, simulated, verdict, active_seconds, answered_at
FROM reviews WHERE answered_at IS NOT NULL AND reviewer IS NOT NULL
ORDER BY given_at
"""
# Of the first answers that a second person has answered blind: whether both said the same, or a lead took the first.
AGREED_SQL = """
SELECT c.annotator AS name, c.simulated, r.answered_at AS given_at,
       r.state = 'agreed' OR coalesce(a.decision IN ('first', 'both'), false) AS agreed
FROM reviews r JOIN corrections c ON c.correction_id = r.correction_id
LEFT JOIN adjudications a ON a.second_id = r.review_id AND a.state = 'decided'
WHERE r.state IN ('agreed', 'decided')
ORDER BY given_at
"""


@dataclass(frozen=True)
class Person:
    """One person, or several pooled (name None). Seconds are active ones of an answer; agreed is a share in [0, 1]."""

    name: str | None
    simulated: bool
    people: int
    answers: int
    fixed: int
    hours: float
    median_seconds: float
    low_seconds: float  # first quartile
    high_seconds: float  # third quartile
    reviewed: int
    agreed: float | None  # None: fewer than FEWEST_REVIEWED second opinions


@dataclass(frozen=True)
class Step:
    """Answers number `first` to `last` of a person (or of each of several): the median of their seconds."""

    name: str | None
    simulated: bool
    first: int
    last: int
    answers: int
    median_seconds: float
    low_seconds: float
    high_seconds: float


@dataclass(frozen=True)
class Staff:
    """people, curve: the real first. days: (local day, simulated) -> answers. is_pooled: names are held back."""

    people: list[Person]
    curve: list[Step]
    days: dict[tuple[date, bool], int]
    is_pooled: bool


def staff(site: Site, zone: tzinfo | None = None) -> Staff:
    """Everything on the page, from two queries. zone: of the days; default the machine's own."""
    with site.connect() as db:
        answers, agreed = db.rows(ANSWERS_SQL), db.rows(AGREED_SQL)
    return counted(answers, agreed, site.settings.review.show_names, zone)


def counted(
    answers: Sequence[Row], agreed: Sequence[Row], show_names: bool, zone: tzinfo | None = None
) -> Staff:
    """answers: name, simulated, verdict, seconds, given_at (UTC), oldest first. agreed: name, simulated, agreed."""
    names = {
        simulated: {row["name"] for row in answers if bool(row["simulated"]) is simulated}
        for simulated in (False, True)
    }
    pooled = {simulated: 0 < len(known) < FEWEST and not show_names for simulated, known in names.items()}
    people: list[Person] = []
    curve: list[Step] = []
    for simulated in (False, True):
        own = [row for row in answers if bool(row["simulated"]) is simulated]
        reviewed = [row for row in agreed if bool(row["simulated"]) is simulated]
        groups = [None] if pooled[simulated] else sorted(names[simulated])
        for name in groups:
            rows = [row for row in own if name is None or row["name"] == name]
            judged = [bool(row["agreed"]) for row in reviewed if name is None or row["name"] == name]
            people.append(_person(name, simulated, rows, judged))
            curve += _curve(name, simulated, rows)
    days: dict[tuple[date, bool], int] = {}
    for row in answers:
        day = _local(row["given_at"], zone), bool(row["simulated"])
        days[day] = days.get(day, 0) + 1
    people.sort(key=lambda one: (one.simulated, -one.answers, one.name or ""))
    return Staff(people, curve, days, pooled[False] or (pooled[True] and not names[False]))


def _local(at: datetime, zone: tzinfo | None) -> date:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


def _person(name: str | None, simulated: bool, rows: Sequence[Row], judged: Sequence[bool]) -> Person:
    seconds = [row["seconds"] for row in rows]
    low, middle, high = quartiles(seconds)
    share = sum(judged) / len(judged) if len(judged) >= FEWEST_REVIEWED else None
    return Person(
        name, simulated, len({row["name"] for row in rows}), len(rows), sum(row["verdict"] == "fix" for row in rows),
        sum(seconds) / 3600, middle, low, high, len(judged), share,
    )  # fmt: skip


def _curve(name: str | None, simulated: bool, rows: Sequence[Row]) -> list[Step]:
    """Several people are put together by how many answers each had given before."""
    given: dict[str, int] = {}
    steps: dict[int, list[float]] = {}
    for row in rows:
        place = given.get(row["name"], 0)
        given[row["name"]] = place + 1
        steps.setdefault(place // STEP, []).append(row["seconds"])
    found = []
    for step, seconds in sorted(steps.items()):
        low, middle, high = quartiles(seconds)
        found.append(
            Step(name, simulated, step * STEP + 1, (step + 1) * STEP, len(seconds), middle, low, high)
        )
    return found


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile; linear between values. quartiles([1, 2, 3, 4, 5]) == (2, 3, 4)."""
    import numpy as np

    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return low, middle, high
