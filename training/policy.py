"""When a retraining starts by itself. Pure: settings, counts and times in; whether it is due, and why, out.

[retrain]
after_corrections = 100        # after so many captions fixed since the last retraining
schedule = "0 3 * * 6"         # Saturdays at three, by this machine's clock, when something was fixed since
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from data.errors import GenbaError
from data.settings import RetrainSection


@dataclass(frozen=True)
class Standing:
    """What the policy looks at. Times are UTC without a zone. fixed_since: captions fixed since `last_started`, which
    is when the last retraining was asked for or began, however it ended (None: never)."""

    fixed_since: int
    last_started: datetime | None
    created: datetime  # when the site was made
    is_active: bool  # a retraining is waiting or running


@dataclass(frozen=True)
class Decision:
    """Whether a retraining is due, and why (or why not), in words for the log."""

    due: bool
    why: str


def decide(settings: RetrainSection, at: Standing, now: datetime) -> Decision:
    """Apply both rules. A retraining that failed counts as one: it is not tried again until more was fixed."""
    if at.is_active:
        return Decision(False, "a retraining is waiting or running")
    if not at.fixed_since:
        return Decision(False, "nothing was fixed since the last retraining")
    if settings.after_corrections and at.fixed_since >= settings.after_corrections:
        return Decision(True, f"{at.fixed_since} captions were fixed since the last retraining "
                              f"(retrain.after_corrections = {settings.after_corrections})")  # fmt: skip
    if settings.schedule:
        due_at = last_due(settings.schedule, now)
        if due_at > (at.last_started or at.created):
            return Decision(
                True, f"scheduled for {due_at:%Y-%m-%d %H:%M} UTC (retrain.schedule = {settings.schedule!r})"
            )
    return Decision(False, "neither retrain.after_corrections nor retrain.schedule asks for one")


def last_due(schedule: str, now: datetime) -> datetime:
    """The last time at or before `now` (both UTC without a zone) that a cron line names, by this machine's clock.

    Raises GenbaError for a line that is none.
    """
    from cronsim import CronSim, CronSimError

    local = now.replace(tzinfo=UTC).astimezone()
    try:
        found = next(CronSim(schedule, local, reverse=True))
    except (CronSimError, StopIteration):
        raise GenbaError(f"retrain.schedule {schedule!r} is not a cron line.",
                         next="e.g. '0 3 * * 6': minute, hour, day, month, weekday") from None  # fmt: skip
    return found.astimezone(UTC).replace(tzinfo=None)
