"""The aggregates over all captions that the managers' pages show, on a large site as they were counted last.

    left = kept.remaining(site)     # as figures.remaining(site)

How they are kept, for how long and how old they may be: data/kept.py. What depends on a person's click is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from annotate import audit, queue, stopping
from annotate.estimate import Estimate
from annotate.stopping import Ahead
from dashboards import alignment as aligned
from dashboards import figures, quality
from dashboards.alignment import Alignment
from dashboards.figures import Counted, Missing, Remaining, Work
from dashboards.quality import Part, Point
from data.kept import value
from data.site import Site

if TYPE_CHECKING:
    import pandas


def remaining(site: Site) -> Remaining | Missing:
    """figures.remaining"""
    found: Remaining | Missing = value(site, "remaining", Remaining | Missing, figures.remaining)
    return found


def waiting(site: Site) -> int:
    """queue.count of the whole queue."""
    return int(value(site, "waiting", int, queue.count))


def audit_waiting(site: Site) -> int:
    """audit.waiting, of everybody."""
    return int(value(site, "audit waiting", int, audit.waiting))


def work(site: Site) -> Work:
    """figures.work"""
    found: Work = value(site, "work", Work, figures.work)
    return found


def fixed_by_day(site: Site) -> dict[date, Counted]:
    """figures.fixed_by_day, in this machine's time zone."""
    found: dict[date, Counted] = value(site, "fixed by day", dict[date, Counted], figures.fixed_by_day)
    return found


def alignment(site: Site) -> Alignment | Missing:
    """alignment.compared"""
    name = f"alignment {site.settings.review.show_names}"
    found: Alignment | Missing = value(site, name, Alignment | Missing, aligned.compared)
    return found


def risk_distribution(site: Site) -> pandas.DataFrame:
    """figures.risk_distribution"""
    return _frame(site, "risk", figures.risk_distribution)


def pairs_by_kind(site: Site) -> pandas.DataFrame:
    """figures.pairs_by_kind"""
    return _frame(site, "pairs by kind", figures.pairs_by_kind)


def _frame(site: Site, name: str, count: Callable[[Site], pandas.DataFrame]) -> pandas.DataFrame:
    import pandas

    def rows(site: Site) -> list[dict[str, float | int | str]]:
        found: list[dict[str, float | int | str]] = count(site).to_dict("records")
        return found

    return pandas.DataFrame(value(site, name, list[dict[str, float | int | str]], rows))


def lacking(site: Site) -> dict[str, int]:
    """quality.lacking"""
    found: dict[str, int] = value(site, "lacking", dict[str, int], quality.lacking)
    return found


def error_over_time(site: Site) -> list[Point]:
    """quality.error_over_time"""
    found: list[Point] = value(site, "audits", list[Point], quality.error_over_time)
    return found


def by_slice(site: Site) -> dict[str, list[Part]]:
    """quality.by_slice"""
    found: dict[str, list[Part]] = value(
        site, f"slices {site.settings.review.show_names}", dict[str, list[Part]], quality.by_slice
    )
    return found


def next_hundred(site: Site, left: Estimate | None, worth_jpy: float | None) -> Ahead:
    """stopping.next_hundred; worth_jpy: what a bad caption costs that stays."""

    def count(site: Site) -> Ahead:
        return stopping.next_hundred(site, left, worth_jpy)

    found: Ahead = value(site, f"next hundred {worth_jpy}", Ahead, count)
    return found
