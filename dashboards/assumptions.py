"""What the ROI assumes: given by the user, saved as named sets with author and date, never changed afterwards.

    current = in_use(site)                       # the set saved last, or the defaults
    save(site, "慎重", current.ranges, current.confirmed, "田中")

A number of nobody is a default and says so until a person stands behind it (`confirmed`). The wage and the compute rate
begin with those of genba.toml, which the overview uses. A price of zero means that nobody has said one.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from data.errors import GenbaError
from data.site import Site
from data.store import now

DEFAULTS_ID = ""
LONGEST_NAME = 80
ERROR_TASKS = ("inspection", "classification", "slots")


@dataclass(frozen=True)
class Range:
    """A value and the range that it may well have: low <= value <= high, none below zero."""

    value: float
    low: float
    high: float


# key -> (default, unit). Units: yen_hour, yen, yen_month, a_month, seconds, months.
KEYS: dict[str, tuple[float, str]] = {
    "wage_staff": (2500.0, "yen_hour"), "wage_review": (2500.0, "yen_hour"), "wage_audit": (2500.0, "yen_hour"),
    "wage_lead": (2500.0, "yen_hour"), "compute": (100.0, "yen_hour"), "fixed_once": (0.0, "yen"),
    "fixed_month": (0.0, "yen_month"), "label": (0.0, "yen"), "items": (0.0, "a_month"), "error": (0.0, "yen"),
    "searches": (0.0, "a_month"), "search_seconds": (30.0, "seconds"), "wage_search": (2500.0, "yen_hour"),
    "horizon": (12.0, "months"),
}  # fmt: skip
# The most of each unit: beyond it lies a slip of the keyboard. 3,600 s: a search of an hour; 600 months: fifty years.
LIMITS = {
    "yen_hour": 1e6, "yen": 1e9, "yen_month": 1e9, "a_month": 1e8, "seconds": 3600.0, "months": 600.0,
}  # fmt: skip
SPREAD = 0.5  # a range that nobody has given: so much of the value to either side


@dataclass(frozen=True)
class Assumptions:
    """A saved set, or the defaults (set_id ""). confirmed: keys that the author stands behind."""

    set_id: str
    name: str
    ranges: Mapping[str, Range]
    confirmed: frozenset[str] = field(default_factory=frozenset)
    error_task: str = ERROR_TASKS[0]
    note: str = ""
    author: str = ""
    saved_at: datetime | None = None

    @property
    def values(self) -> dict[str, float]:
        return {key: one.value for key, one in self.ranges.items()}

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return {key: (one.low, one.high) for key, one in self.ranges.items()}

    def is_default(self, key: str) -> bool:
        """Nobody stands behind this number yet."""
        return key not in self.confirmed


def spread(value: float, unit: str = "") -> Range:
    """The range of a number for which nobody has given one."""
    low, high = value * (1 - SPREAD), value * (1 + SPREAD)
    most = max(
        LIMITS.get(unit, high), value
    )  # a value beyond the limit is refused by itself, not for its range
    return Range(value, max(low, 1.0) if unit == "months" else low, min(high, most))


def limit(key: str) -> float:
    """The largest number that the assumption may be."""
    return LIMITS[KEYS[key][1]]


def defaults(site: Site) -> Assumptions:
    """The rates of genba.toml and the defaults of KEYS. Rates confirmed on the overview are confirmed here too."""
    with site.connect() as db:
        confirmed = db.get_state("cost_confirmed") or {}
    return _defaults(site, confirmed)


def _defaults(site: Site, confirmed: Mapping[str, float]) -> Assumptions:
    rates = site.settings.cost
    values = {key: value for key, (value, _) in KEYS.items()}
    stands: set[str] = set()
    of_toml = {key: "wage_jpy_per_hour" for key in KEYS if key.startswith("wage_") and key != "wage_search"}
    for key, name in {**of_toml, "compute": "compute_jpy_per_hour"}.items():
        values[key] = float(getattr(rates, name))
        if confirmed.get(name) == getattr(rates, name):
            stands.add(key)
    ranges = {key: spread(value, KEYS[key][1]) for key, value in values.items()}
    return Assumptions(DEFAULTS_ID, "", ranges, frozenset(stands))


SETS_SQL = "SELECT * FROM assumptions ORDER BY saved_at DESC, set_id"


def sets(site: Site) -> list[Assumptions]:
    """Every saved set, the newest first: a name saved again is there twice, with both dates."""
    return _known(site)[0]


def in_use(site: Site) -> Assumptions:
    """The set that was saved last, or the defaults."""
    found, standing = _known(site)
    return found[0] if found else standing


def _known(site: Site) -> tuple[list[Assumptions], Assumptions]:
    """Saved sets and the defaults, read at once."""
    with site.connect() as db:
        rows, confirmed = db.rows(SETS_SQL), db.get_state("cost_confirmed") or {}
    standing = _defaults(site, confirmed)
    return [_set(row, standing) for row in rows], standing


def _set(row: Mapping[str, Any], standing: Assumptions) -> Assumptions:
    """A key that came later than the set has its default, unconfirmed."""
    given = row["given"]
    ranges = {
        key: Range(*map(float, given["numbers"][key])) if key in given["numbers"] else standing.ranges[key]
        for key in KEYS
    }
    return Assumptions(
        row["set_id"], row["name"], ranges, frozenset(row["confirmed"]) & set(given["numbers"]), given["error_task"],
        row["note"], row["author"], row["saved_at"],
    )  # fmt: skip


def save(
    site: Site,
    name: str,
    ranges: Mapping[str, Range],
    confirmed: Collection[str],
    author: str,
    error_task: str = ERROR_TASKS[0],
    note: str = "",
) -> str:
    """Append a set and return its id. Raises GenbaError that names the assumption and what is wrong with it."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise GenbaError(f"A set of assumptions needs a name of 1 to {LONGEST_NAME} characters.")
    if error_task not in ERROR_TASKS:
        raise GenbaError(f"No task {error_task!r} has an error in this sum.", choices=ERROR_TASKS)
    unknown = sorted((set(ranges) | set(confirmed)) - set(KEYS))
    if unknown or set(ranges) != set(KEYS):
        wrong = unknown or sorted(set(KEYS) - set(ranges))
        raise GenbaError(f"These assumptions do not fit: {', '.join(wrong)}.", choices=KEYS)
    for key, one in ranges.items():
        require_range(key, one)
    set_id = f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    numbers = {key: [one.value, one.low, one.high] for key, one in ranges.items()}
    row = {
        "set_id": set_id, "name": name, "given": {"numbers": numbers, "error_task": error_task},
        "confirmed": sorted(confirmed), "note": note, "author": author, "saved_at": now(),
    }  # fmt: skip
    with site.connect() as db:
        db.insert("assumptions", [row])
        db.event(author, "assumptions.saved", {"set": set_id, "name": name})
    return set_id


def require_range(key: str, one: Range) -> None:
    """Raises GenbaError for a range that is none or goes beyond `limit`, or a horizon of less than a month."""
    most = limit(key)
    for end in (one.value, one.low, one.high):
        if not (math.isfinite(end) and 0 <= end <= most):
            raise GenbaError(f"{key}: {end:,.15g} is not a number from 0 to {most:,.15g} (the most allowed).")
    if not one.low <= one.value <= one.high:
        raise GenbaError(f"{key}: {one.value:g} does not lie in its range {one.low:g} to {one.high:g}.")
    if key == "horizon" and one.low < 1:
        raise GenbaError(f"{key}: {one.low:g} months are less than one.")
