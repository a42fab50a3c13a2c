"""Every number that the managers' pages show: queries on the store, in; frozen records, out. No page, no words.

    work(site).fixed.people          # captions that people fixed
    remaining(site)                  # Remaining, or Missing that says what it needs

A number that is not there is a `Missing`, never a zero and never a guess. What the simulated crew of the demo did is
counted apart from what people did, everywhere. The queries are constants, so that a page can show the very text that
made its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from typing import TYPE_CHECKING

from annotate import audit
from dashboards import assumptions, labour
from data.settings import CostSection, set_value
from data.site import Site

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Missing:
    """A number that cannot be given yet. `needs`: what it needs, in English; `command`: what to run."""

    needs: str
    command: str = ""


@dataclass(frozen=True)
class Counted:
    """One quantity, people's and the simulated crew's apart."""

    people: float
    simulated: float

    @property
    def total(self) -> float:
        return self.people + self.simulated


@dataclass(frozen=True)
class Work:
    """What was judged: captions fixed, confirmed right, other verdicts (not sure, unusable, private); active hours."""

    fixed: Counted
    confirmed: Counted
    other: Counted
    hours: Counted

    def seconds_each(self, simulated: bool) -> float | None:
        """Mean active seconds for a judged caption, or None when nobody judged one."""
        side = "simulated" if simulated else "people"
        judged = sum(getattr(counted, side) for counted in (self.fixed, self.confirmed, self.other))
        return getattr(self.hours, side) * 3600 / judged if judged else None


# Captions count once each.
WORK_SQL = """
SELECT simulated, verdict, count(DISTINCT CASE WHEN state = 'active' THEN old_pair_id END) AS captions
FROM corrections
GROUP BY simulated, verdict
"""


def work(site: Site) -> Work:
    """Judged captions and active hours so far: of corrections, second opinions, leads' decisions and lot checks."""
    with site.connect() as db:
        rows = db.rows(WORK_SQL)
        spent = labour.seconds(db)

    def captions(*verdicts: str) -> Counted:
        people, simulated = (
            sum(r["captions"] for r in rows if bool(r["simulated"]) is side and r["verdict"] in verdicts)
            for side in (False, True)
        )
        return Counted(people, simulated)

    people, simulated = (
        sum(value for (_role, of_crew), value in spent.items() if of_crew is side) / 3600
        for side in (False, True)
    )
    return Work(
        fixed=captions("fix"),
        confirmed=captions("ok"),
        other=captions("not_sure", "unusable", "private"),
        hours=Counted(people, simulated),
    )


BY_DAY_SQL = """
SELECT time_bucket(INTERVAL 15 MINUTE, fixed_at) AS quarter_hour, simulated, count(*) AS captions
FROM (SELECT simulated, min(created_at) AS fixed_at FROM corrections
      WHERE state = 'active' AND verdict = 'fix' GROUP BY old_pair_id, simulated)
GROUP BY quarter_hour, simulated
"""


def fixed_by_day(site: Site, zone: tzinfo | None = None) -> dict[date, Counted]:
    """Captions fixed on each local calendar day that has any, oldest first. `zone`: default the machine's own.

    The store keeps UTC; quarter hours are summed to days here, because every time zone is a whole number of them.
    """
    with site.connect() as db:
        rows = db.rows(BY_DAY_SQL)
    days: dict[date, list[int]] = {}
    for row in rows:
        day = row["quarter_hour"].replace(tzinfo=UTC).astimezone(zone).date()
        days.setdefault(day, [0, 0])[bool(row["simulated"])] += row["captions"]
    return {day: Counted(*days[day]) for day in sorted(days)}


@dataclass(frozen=True)
class Cost:
    """Yen so far. `*_is_default`: nobody has confirmed the rate yet. Simulated hours are priced apart, never added."""

    hours: Counted
    wage_jpy_per_hour: float
    wage_is_default: bool
    compute_hours: float
    compute_jpy_per_hour: float
    compute_is_default: bool

    @property
    def people_jpy(self) -> float:
        return self.hours.people * self.wage_jpy_per_hour

    @property
    def compute_jpy(self) -> float:
        return self.compute_hours * self.compute_jpy_per_hour

    @property
    def total_jpy(self) -> float:
        return self.people_jpy + self.compute_jpy

    @property
    def simulated_jpy(self) -> float:
        """What the simulated hours would have cost, had people worked them."""
        return self.hours.simulated * self.wage_jpy_per_hour


# The demo's crew stands for people's work, so its job is no computing of the site's.
# Retrainings and pilots count by their runs, which also a person at a terminal starts; all else by its jobs.
# The trend of the cost (dashboards/trends.py) adds up the same rows by day.
COMPUTED = """
SELECT finished_at AS ended_at, epoch(finished_at - started_at) AS seconds FROM jobs
WHERE started_at IS NOT NULL AND finished_at IS NOT NULL AND name NOT IN ('demo-crew', 'retrain', 'pilot')
UNION ALL
SELECT coalesce(finished_at, created_at), seconds FROM runs WHERE seconds IS NOT NULL
"""
COMPUTE_SQL = f"SELECT coalesce(sum(seconds), 0) / 3600 AS hours FROM ({COMPUTED})"


def cost(site: Site, done: Work | None = None, priced: Rates | None = None) -> Cost:
    """People's active hours at the wage, and the hours of jobs and runs at the compute rate. done, priced: `work` and
    `rates`, if known."""
    priced = priced or rates(site)
    with site.connect() as db:
        compute_hours = float(db.value(COMPUTE_SQL))
    return Cost(
        hours=(done or work(site)).hours,
        wage_jpy_per_hour=priced.wage,
        wage_is_default=priced.wage_is_default,
        compute_hours=compute_hours,
        compute_jpy_per_hour=priced.compute,
        compute_is_default=priced.compute_is_default,
    )


@dataclass(frozen=True)
class Rates:
    """Yen for an hour of work and of computing; whether nobody has confirmed them yet."""

    wage: float
    wage_is_default: bool
    compute: float
    compute_is_default: bool


def rates(site: Site) -> Rates:
    """Those of the set of assumptions in use, as the page ROI counts; while none is saved, those of genba.toml.

    A set has a wage for each role: what is given is their mean, weighed by the hours that people worked in each."""
    assumed = assumptions.in_use(site)
    if assumed.set_id:
        unsure = any(assumed.is_default(f"wage_{role}") for role in labour.ROLES)
        return Rates(
            _mean_wage(site, assumed), unsure, assumed.values["compute"], assumed.is_default("compute")
        )
    given = site.settings.cost
    with site.connect() as db:
        confirmed = db.get_state("cost_confirmed") or {}

    def is_default(key: str) -> bool:
        value = getattr(given, key)
        return value == CostSection.model_fields[key].default and confirmed.get(key) != value

    return Rates(
        given.wage_jpy_per_hour, is_default("wage_jpy_per_hour"),
        given.compute_jpy_per_hour, is_default("compute_jpy_per_hour"),
    )  # fmt: skip


def _mean_wage(site: Site, assumed: assumptions.Assumptions) -> float:
    wages = {role: assumed.values[f"wage_{role}"] for role in labour.ROLES}
    if len(set(wages.values())) == 1:
        return wages["staff"]
    with site.connect() as db:
        spent = labour.seconds(db)
    by_role = {role: spent.get((role, False), 0.0) for role in wages}
    whole = sum(by_role.values())
    return sum(wages[role] * by_role[role] for role in wages) / whole if whole else wages["staff"]


def confirm_rates(site: Site, wage_jpy_per_hour: float, compute_jpy_per_hour: float, by: str) -> None:
    """Write both rates to genba.toml and remember that a person stands behind them. Raises GenbaError below zero."""
    rates = {"wage_jpy_per_hour": wage_jpy_per_hour, "compute_jpy_per_hour": compute_jpy_per_hour}
    for key, value in rates.items():
        set_value(site.settings_path, "cost", key, float(value))
    with site.connect() as db:
        db.set_state("cost_confirmed", rates)
        db.event(by, "cost.confirmed", rates)


@dataclass(frozen=True)
class Remaining:
    """The audit's estimate of what is still wrong (annotate/audit.py), and how much of it the simulated crew judged."""

    estimate: audit.Estimate
    simulated_judged: int
    waiting: int  # drawn pairs that nobody has judged yet


# What annotate/audit.py counts; shown beside the number.
VERDICTS_SQL = """
SELECT count(*) AS judged, count(*) FILTER (WHERE c.verdict = 'fix') AS bad
FROM audits a
JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active'
WHERE c.verdict IN ('ok', 'fix') AND a.kind <> 'selection'
"""
AUDIT_SQL = """
SELECT count(DISTINCT a.pair_id) AS drawn,
       count(DISTINCT CASE WHEN c.simulated AND c.verdict IN ('ok', 'fix') THEN a.pair_id END) AS simulated_judged
FROM audits a
LEFT JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active'
WHERE a.kind <> 'selection'
"""


def remaining(site: Site) -> Remaining | Missing:
    """Bad captions left, from blind audit draws alone: corrections from the queue are selected and say nothing."""
    with site.connect() as db:
        drawn = db.rows(AUDIT_SQL)[0]
    if not drawn["drawn"]:
        return Missing("a blind audit", "genba audit SITE draw 100")
    found = audit.estimate(site)
    if found is None:
        return Missing("verdicts on the drawn audit captions", "genba audit SITE estimate")
    return Remaining(found, drawn["simulated_judged"], audit.waiting(site))


RISK_SQL = """
SELECT least(floor(s.risk * 20), 19) / 20 AS risk_from, count(*) AS pairs,
       count(*) FILTER (WHERE c.old_pair_id IS NOT NULL) AS judged
FROM scores s
JOIN pairs p ON p.pair_id = s.pair_id AND p.origin IN ('legacy', 'draft')
LEFT JOIN (SELECT DISTINCT old_pair_id FROM corrections WHERE state = 'active') c ON c.old_pair_id = s.pair_id
WHERE s.encoder = ?
GROUP BY risk_from
ORDER BY risk_from
"""


def risk_distribution(site: Site) -> pandas.DataFrame:
    """Columns risk_from (in steps of 0.05), pairs, judged: how many captions lie in each step, how many are judged."""
    encoder = site.queue_encoder()
    with site.connect() as db:
        return db.frame(RISK_SQL, [encoder])


PAIRS_SQL = """
SELECT state, language, origin, count(*) AS pairs FROM pairs GROUP BY ALL ORDER BY pairs DESC, state, language, origin
"""


def pairs_by_kind(site: Site) -> pandas.DataFrame:
    """Columns state, language, origin, pairs."""
    with site.connect() as db:
        return db.frame(PAIRS_SQL)
