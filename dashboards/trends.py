"""How the five numbers of the overview move: weeks of work, the audited error by draw, the effect of each run.

    weeks = work_weeks(site, fixed)          # Weeks: captions fixed, hours, yen, of the last WEEKS times seven days
    weeks.fixed[-1], weeks.fixed[-2]         # the last seven days, and the seven before them
    audited(site)                            # [Reading, …]: the error share of each audit, with its interval
    run_effects(site)                        # [Reading, …]: the main effect of each retraining, with its interval

A week is seven local days, the last one ending with today. People's work alone; on a site where nobody but the
simulated crew has worked, the crew's captions and hours (never its cost).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from dashboards import effects, figures, kept
from dashboards.effects import Effect
from dashboards.figures import Counted, Missing
from dashboards.labour import SPENT
from data.site import Site
from data.store import now

WEEKS = 8
READINGS = 8  # audits and retrainings shown
Row = dict[str, Any]

# Quarter hours, because every time zone is a whole number of them; they are summed to local days here.
WORK_BY_DAY_SQL = f"""
SELECT time_bucket(INTERVAL 15 MINUTE, given_at) AS quarter_hour, simulated, sum(seconds) / 3600 AS hours
FROM ({SPENT})
WHERE given_at >= $since
GROUP BY quarter_hour, simulated
"""
COMPUTE_BY_DAY_SQL = f"""
SELECT time_bucket(INTERVAL 15 MINUTE, ended_at) AS quarter_hour, sum(seconds) / 3600 AS hours
FROM ({figures.COMPUTED})
WHERE ended_at >= $since
GROUP BY quarter_hour
"""


@dataclass(frozen=True)
class Weeks:
    """Sums of seven days, the oldest first, the last one ending today.

    simulated: captions and hours are the crew's, not people's; the cost never counts it."""

    ends: list[date]
    fixed: list[float]
    hours: list[float]
    cost_jpy: list[float]
    simulated: bool


@dataclass(frozen=True)
class Reading:
    """One measured value at one time (UTC), with its 95 % interval."""

    at: datetime
    value: float
    low: float
    high: float


def work_weeks(
    site: Site,
    fixed: Mapping[date, Counted],
    zone: tzinfo | None = None,
    at: datetime | None = None,
    priced: figures.Rates | None = None,
) -> Weeks:
    """fixed: of figures.fixed_by_day. zone: of the days; default the machine's own. at: now (UTC). priced:
    figures.rates, if known."""
    moment = at or now()
    since = {"since": moment - timedelta(days=7 * WEEKS + 2)}
    with site.connect() as db:
        work, compute = db.rows(WORK_BY_DAY_SQL, since), db.rows(COMPUTE_BY_DAY_SQL, since)
        has_people = db.value("SELECT count(*) FROM corrections WHERE NOT simulated") > 0
        has_crew = db.value("SELECT count(*) FROM corrections WHERE simulated") > 0
    rates, simulated = priced or figures.rates(site), has_crew and not has_people
    today = _local(moment, zone)
    side = "simulated" if simulated else "people"
    people, crew = (
        in_weeks(by_day([row for row in work if bool(row["simulated"]) is of_crew], zone), today)
        for of_crew in (False, True)
    )
    computed = in_weeks(by_day(compute, zone), today)
    return Weeks(
        [today - timedelta(days=7 * back) for back in reversed(range(WEEKS))],
        in_weeks({day: getattr(counted, side) for day, counted in fixed.items()}, today), crew if simulated else people,
        [worked * rates.wage + machine * rates.compute for worked, machine in zip(people, computed, strict=True)],
        simulated,
    )  # fmt: skip


def _local(at: datetime, zone: tzinfo | None) -> date:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


def by_day(rows: Sequence[Row], zone: tzinfo | None = None) -> dict[date, float]:
    """rows: quarter_hour (UTC), hours. Local day -> hours."""
    found: dict[date, float] = {}
    for row in rows:
        day = _local(row["quarter_hour"], zone)
        found[day] = found.get(day, 0.0) + row["hours"]
    return found


def in_weeks(days: Mapping[date, float], today: date, weeks: int = WEEKS) -> list[float]:
    """Sums of seven days, the last ending today: with one a day, [7, 7, …]. What is older or to come is left out."""
    found = [0.0] * weeks
    for day, amount in days.items():
        back = (today - day).days
        if 0 <= back < 7 * weeks:
            found[weeks - 1 - back // 7] += amount
    return found


def audited(site: Site, most: int = READINGS) -> list[Reading]:
    """The error share of the last audits, oldest first; as on the page Quality."""
    found = kept.error_over_time(site)
    drawn = [point for point in found if point.kind == "drawn"]
    chosen = drawn if len(drawn) > 1 else found
    return [Reading(point.at, point.rate, point.low, point.high) for point in chosen[-most:]]


RUN_EFFECTS_SQL = """
SELECT r.finished_at, e.value, e.low, e.high
FROM runs r JOIN effects e ON e.run_id = r.run_id
WHERE r.state = 'done' AND r.kind = 'retrain' AND e.task = $task AND e.metric = $metric
  AND e.arm = $arm AND e.versus = $versus
ORDER BY r.created_at
"""


def run_effects(site: Site, most: int = READINGS) -> list[Reading]:
    """The primary metric's effect, corrected against original captions, of the last retrainings, oldest first."""
    task, metric = site.settings.retrain.primary_metric
    arm, versus = effects.MAIN_CONTRAST
    with site.connect() as db:
        rows = db.rows(RUN_EFFECTS_SQL, {"task": task, "metric": metric, "arm": arm, "versus": versus})
    found = [Reading(row["finished_at"], row["value"], row["low"], row["high"]) for row in rows]
    return found[-most:]


CHAMPION_SQL = "SELECT run_id FROM models WHERE state = 'champion'"


def champion_effect(site: Site) -> Effect | Missing | None:
    """The measured effect of the model in use; None: no retrained model is in use."""
    with site.connect() as db:
        run_id = db.value(CHAMPION_SQL)
    if run_id is None:
        return None
    return effects.main_effect(effects.effects(site, run_id)) or Missing(
        "a finished retraining that measures the primary metric ([retrain] primary in genba.toml)",
        effects.RETRAIN,
    )
