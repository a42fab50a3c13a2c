"""Everything of the page ROI for one site, one side and one set of assumptions: what the page and the report read.

money = gather(site, assumptions.in_use(site))     # Money: result, evidence, forecast, dates
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import isfinite

from annotate.seconds import seconds_model
from annotate.stopping import Ahead as NextHundred
from dashboards import forecast, kept, roi, roi_evidence
from dashboards.assumptions import Assumptions
from dashboards.figures import Missing
from dashboards.forecast import Ahead, Curve
from dashboards.roi import ROLES, Result, Span
from dashboards.roi_evidence import Found, Side
from data.site import Site
from data.store import now

DAYS_IN_MONTH = 365.25 / 12
FARTHEST_MONTHS = 1200.0  # a payback in a hundred years is none


@dataclass(frozen=True)
class Prospect:
    """What lies ahead. answers: (answers so far, in the block, bad) of the history. hundred: the stopping rule's."""

    answers: list[tuple[int, int, int]]
    curve: Curve | Missing
    ahead: Ahead | Missing
    waiting: int
    hundred: NextHundred


@dataclass(frozen=True)
class Money:
    """The sum of one side under one set of assumptions."""

    side: Side
    found: Found
    result: Result
    assumed: Assumptions


def default_side(site: Site) -> Side:
    """People's work, but where nobody but the simulated crew has worked."""
    done = kept.work(site)
    return "simulated" if done.hours.simulated and not done.hours.people else "people"


def gather(site: Site, assumed: Assumptions, side: Side = "people") -> Money:
    """Read the evidence and do the sum. People alone, unless asked otherwise: the report speaks of that side."""
    found = roi_evidence.found(site, side, assumed.error_task)
    return Money(side, found, roi.roi(found.evidence, assumed.values), assumed)


def prospect(site: Site, side: Side, yen_second: float, worth_jpy: float | None) -> Prospect:
    """The history, the next 500 (or as many as wait), and the stopping rule's next hundred.

    yen_second: see `yen_a_second`. worth_jpy: what a bad caption costs that stays; None: nobody has said.
    """
    remaining = kept.remaining(site)
    left = None if isinstance(remaining, Missing) else remaining.estimate
    needed = forecast.history(site, with_simulated=side == "simulated")
    curve, waiting = forecast.fit(needed), kept.waiting(site)
    hundred = kept.next_hundred(site, left, worth_jpy)
    points = forecast.blocks(needed) if len(needed) else []
    ahead: Ahead | Missing
    if isinstance(curve, Missing):
        ahead = curve
    elif not waiting:
        ahead = Missing("captions that wait in the queue", "genba ingest SITE SOURCE")
    else:
        times = seconds_model(site)
        # Without a price: the rule then leaves out nothing of what comes first.
        whole = hundred if worth_jpy is None else kept.next_hundred(site, left, None)
        first = None if whole.expected_bad is None else (whole.pairs, whole.expected_bad)
        ahead = forecast.look_ahead(
            curve, min(forecast.NEXT, waiting), times, yen_second, left, worth_jpy, first
        )
    return Prospect(points, curve, ahead, waiting, hundred)


def yen_a_second(assumed: Assumptions, result: Result) -> float:
    """Of a second of staff's work, with its share of second opinions and decisions as the site has had them so far."""
    staff = result.cost_parts["staff"].value + result.cost_parts["audit"].value
    beside = sum(result.cost_parts[role].value for role in ROLES if role in ("review", "lead"))
    return assumed.values["wage_staff"] / 3600 * (1 + (beside / staff if staff else 0.0))


def payback_dates(months: Span, in_use_since: date | None) -> tuple[date | None, date | None, date | None]:
    """(value, low, high) as dates, counted from the day the model came into use, else from today. None: never."""
    start = in_use_since or now().date()

    def at(value: float) -> date | None:
        if not isfinite(value) or value > FARTHEST_MONTHS:
            return None
        return start + timedelta(days=round(value * DAYS_IN_MONTH))

    return at(months.value), at(months.low), at(months.high)
