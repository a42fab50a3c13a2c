"""Times by this machine's clock: cron lines ("0 3 * * 6") and hours of the day ("08:00-18:00").

    last_due("0 3 * * 6", now())            # the last Saturday at three, as UTC without a zone
    next_due("0 3 * * 6", now())            # the next one
    Hours.parse("22:00-06:00").ends(now())  # the morning, when it is night now; None by day

All moments in and out are UTC without a zone, as the store keeps them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from data.errors import GenbaError

CRON_HINT = "e.g. '0 3 * * 6': minute, hour, day, month, weekday"
HOURS = re.compile(r"\s*([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)\s*")


def last_due(line: str, now: datetime) -> datetime:
    """The last time at or before `now` that a cron line names. Raises GenbaError for a line that is none."""
    return _due(line, now, reverse=True)


def next_due(line: str, now: datetime) -> datetime:
    """The first time after `now` that a cron line names. Raises GenbaError for a line that is none."""
    return _due(line, now, reverse=False)


def _due(line: str, now: datetime, reverse: bool) -> datetime:
    from cronsim import CronSim, CronSimError

    try:
        found = next(CronSim(line, _local(now), reverse=reverse))
    except (CronSimError, StopIteration):  # StopIteration: a date that never comes, as 30 February
        raise GenbaError(f"{line!r} is not a cron line.", next=CRON_HINT) from None
    return _utc(found)


def require_cron(line: str) -> str:
    """The line itself. Raises GenbaError for one that is none, or that names no time at all."""
    next_due(line, datetime(2026, 1, 1))
    return line


@dataclass(frozen=True)
class Hours:
    """A span of every day, from `start` up to but not including `end`; it may cross midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Raises GenbaError for what is not HH:MM-HH:MM with two different times."""
        match = HOURS.fullmatch(text)
        if match:
            first, second = (time(int(match[n]), int(match[n + 1])) for n in (1, 3))
            if first != second:
                return cls(first, second)
        raise GenbaError(f"{text!r} is not a span of hours.", next="e.g. '08:00-18:00', or '22:00-06:00'")

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def __contains__(self, moment: datetime) -> bool:
        at = _local(moment).time()
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

    def ends(self, moment: datetime) -> datetime | None:
        """When the span that `moment` lies in is over, or None when it lies in none."""
        if moment not in self:
            return None
        local = _local(moment)
        day = local.date() + timedelta(days=int(local.time() >= self.end))
        return _utc(datetime.combine(day, self.end).astimezone())


def _local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
