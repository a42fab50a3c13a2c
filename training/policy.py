"""When a retraining starts by itself. Pure: settings, counts and times in; whether it is due, and why, out.

[retrain]
after_corrections = 100            # after so many captions fixed since the last retraining
after_error_fell = 0.25            # once the audited share of bad captions fell by a quarter of itself since then
schedule = "0 3 * * 6"             # Saturdays at three, by this machine's clock, when something was fixed since
no_start_between = "08:00-18:00"   # what is due in these hours waits until they are over

Any rule that is met is enough; none starts one while another waits or runs. What a person asks for starts at once.

The audited error, exactly: annotate/estimate.py tells how many bad captions are left among those that nobody judged.
Those left, divided by the site's captions, is the error now; those left and those found since the last retraining
began (at first: all that were ever found), divided by the same, is what it was then. Both by today's audit: the fall
is what people mended, and the luck of an older audit is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from data.schedule import Hours, last_due, next_due
from data.settings_retrain import RetrainSection

Rule = Literal["corrections", "error", "schedule"]
State = Literal["due", "held", "active", "waits", "never"]


@dataclass(frozen=True)
class Audited:
    """Share of bad captions in [0, 1] by today's audit: when the last retraining began, and now."""

    then: float
    now: float

    @property
    def fell(self) -> float:
        """By what part of itself the share fell: 0.2 -> 0.15 is 0.25."""
        return 1 - self.now / self.then if self.then else 0.0


@dataclass(frozen=True)
class Standing:
    """What the policy looks at. Times are UTC without a zone. fixed_since: captions fixed since `last_started`, which
    is when the last retraining was asked for or began, however it ended (None: never)."""

    fixed_since: int
    last_started: datetime | None
    created: datetime  # when the site was made
    is_active: bool  # a retraining is waiting or running
    audited: Audited | None = None  # None: no audit has been judged


@dataclass(frozen=True)
class Decision:
    """Whether a retraining is due, and what stands behind it; training/policy_words.py says it.

    state: due; held (due, but not in the hours of no_start_between); active (one waits or runs); waits (no rule is met
    yet); never (no rule is set). met: the rules that are met. at: when it starts at the soonest, where a clock decides:
    now when due, the end of the hours when held, the next date of the schedule when it waits.
    """

    state: State
    met: tuple[Rule, ...]
    at: datetime | None
    settings: RetrainSection
    standing: Standing

    @property
    def due(self) -> bool:
        return self.state == "due"

    @property
    def hours(self) -> Hours | None:
        """When none starts by itself."""
        return Hours.parse(self.settings.no_start_between) if self.settings.no_start_between else None


def decide(settings: RetrainSection, at: Standing, now: datetime) -> Decision:
    """Apply the rules. A retraining that failed counts as one: it is not tried again until more was fixed."""
    met = _met(settings, at, now)
    hours = Hours.parse(settings.no_start_between) if settings.no_start_between else None

    def decision(state: State, when: datetime | None) -> Decision:
        return Decision(state, met, when, settings, at)

    if at.is_active:
        return decision("active", None)
    if met:
        ends = hours.ends(now) if hours else None
        return decision("held", ends) if ends else decision("due", now)
    if not (settings.after_corrections or settings.after_error_fell or settings.schedule):
        return decision("never", None)
    planned = next_due(settings.schedule, now) if settings.schedule else None
    return decision("waits", ((hours.ends(planned) if hours else None) or planned) if planned else None)


def _met(settings: RetrainSection, at: Standing, now: datetime) -> tuple[Rule, ...]:
    """Nothing fixed since the last one: it would train on the same captions again, so no rule is met."""
    if not at.fixed_since:
        return ()
    found: list[Rule] = []
    if settings.after_corrections and at.fixed_since >= settings.after_corrections:
        found.append("corrections")
    if settings.after_error_fell and at.audited and at.audited.fell >= settings.after_error_fell:
        found.append("error")
    if settings.schedule and last_due(settings.schedule, now) > (at.last_started or at.created):
        found.append("schedule")
    return tuple(found)
