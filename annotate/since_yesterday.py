"""What has changed in the last 24 hours, from the store alone: what a person wants to know first in the morning.

day = last_day(site)
day.corrections, day.people, day.to_decide, day.unsent        # 42, 3, 2, 0
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from annotate import adjudication
from annotate.reviews import ANSWERED
from data.site import Site
from data.store import now

DAY = timedelta(hours=24)
# Told by annotate/incoming.py and annotate/projects.py: what Label Studio could not give, has lost or would not take.
PROBLEMS = ("label-studio.refused", "label-studio.project-gone", "label-studio.page-kept")
COMPARED = "label-studio.compared"  # by annotate/sync.py, with what differed: {} where nothing did


@dataclass(frozen=True)
class LastDay:
    """Since `since` (UTC): standing corrections (by simulated people: `simulated`), by how many real people; second
    opinions, how many of them differed; retrainings that ended, failed ones among them; jobs that failed; what Label
    Studio refused, lost or would not take, and comparisons that found a difference.

    As of now: cases that wait for a lead, second opinions that wait for a person, answers that a try to send to Label
    Studio has failed for.
    """

    since: datetime
    corrections: int
    simulated: int
    people: int
    reviewed: int
    differed: int
    retrainings: int
    failed_jobs: int
    problems: int
    to_decide: int
    to_review: int
    unsent: int

    @property
    def is_quiet(self) -> bool:
        """Nothing happened and nothing waits for a decision."""
        return not (
            self.corrections or self.reviewed or self.retrainings or self.to_decide or self.has_problem
        )

    @property
    def has_problem(self) -> bool:
        return bool(self.failed_jobs or self.problems or self.unsent)


SQL = """
    SELECT
        (SELECT count(*) FROM corrections WHERE state = 'active' AND created_at >= $since) AS corrections,
        (SELECT count(*) FROM corrections WHERE state = 'active' AND created_at >= $since AND simulated) AS simulated,
        (SELECT count(DISTINCT who) FROM (
            SELECT annotator AS who FROM corrections WHERE state IN ('active', 'conflict') AND created_at >= $since
                AND NOT simulated
            UNION SELECT reviewer FROM reviews WHERE list_contains($answered, state) AND answered_at >= $since)
            ) AS people,
        (SELECT count(*) FROM reviews WHERE list_contains($answered, state) AND answered_at >= $since) AS reviewed,
        (SELECT count(*) FROM reviews WHERE list_contains($answered, state) AND answered_at >= $since
            AND json_array_length(differing) > 0) AS differed,
        (SELECT count(*) FROM runs WHERE kind = 'retrain' AND finished_at >= $since) AS retrainings,
        (SELECT count(*) FROM jobs WHERE state = 'failed' AND finished_at >= $since) AS failed_jobs,
        (SELECT count(*) FROM events WHERE occurred_at >= $since AND (list_contains($problems, what)
            OR (what = $compared AND len(json_keys(detail)) > 0))) AS problems,
        (SELECT count(*) FROM reviews WHERE state IN ('open', 'claimed')) AS to_review,
        (SELECT count(*) FROM outbox WHERE done_at IS NULL AND last_error IS NOT NULL) AS unsent
"""


def last_day(site: Site, period: timedelta = DAY) -> LastDay:
    """One short reading of the store."""
    since = now() - period
    with site.connect() as db:
        row = (
            db.one(
                SQL,
                {
                    "since": since,
                    "answered": list(ANSWERED),
                    "problems": list(PROBLEMS),
                    "compared": COMPARED,
                },
            )
            or {}
        )
        waiting = adjudication.count(db)
    return LastDay(since=since, to_decide=waiting, **{name: int(value) for name, value in row.items()})
