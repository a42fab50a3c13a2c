"""What has changed since the last working day began, from the store alone: what a person wants to know first.

    day = last_day(site)
    day.corrections, day.people, day.to_decide, day.unsent        # 42, 3, 2, 0

The last working day is the last day before today, in the machine's time zone, on which a real person answered: on a
Monday it is the Friday. Where nobody has answered before, it is yesterday.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from annotate import adjudication, unusable
from annotate.reviews import ANSWERED
from data.site import Site
from data.store import Database, now

# Told by annotate/projects.py: what Label Studio has lost or would not take.
PROBLEMS = ("label-studio.project-gone", "label-studio.page-kept")
COMPARED = "label-studio.compared"  # by annotate/sync.py, with what differed: {} where nothing did


@dataclass(frozen=True)
class LastDay:
    """Since `since` (UTC): standing corrections (by simulated people: `simulated`; that changed the caption: `fixed`),
    by how many real people; drafts that came in by an approved lot; second opinions, how many of them differed, and
    decisions of leads; new photos; blind audit captions judged, how many of them were bad; retrainings that ended, how
    many of them failed; models promoted, and rolled back; jobs that failed; what Label Studio lost or would not take,
    and comparisons that found a difference.

    As of now: cases that wait for a lead, second opinions that wait for a person, answers that a try to send to Label
    Studio has failed for, annotations made there that cannot be an answer.
    """

    since: datetime
    corrections: int
    simulated: int
    fixed: int
    approved: int
    people: int
    reviewed: int
    differed: int
    decided: int
    photos: int
    audited: int
    audited_bad: int
    retrainings: int
    failed_retrainings: int
    promoted: int
    rolled_back: int
    failed_jobs: int
    problems: int
    to_decide: int
    to_review: int
    unsent: int
    unusable: int

    @property
    def is_quiet(self) -> bool:
        """Nobody did anything and nothing waits for a decision; photos may have come in."""
        return not (
            self.corrections
            or self.reviewed
            or self.decided
            or self.retrainings
            or self.promoted
            or self.rolled_back
            or self.to_decide
            or self.has_problem
        )

    @property
    def has_problem(self) -> bool:
        return bool(self.failed_jobs or self.problems or self.unsent or self.unusable)


SQL = """
    SELECT
        (SELECT count(*) FROM corrections WHERE state = 'active' AND created_at >= $since) AS corrections,
        (SELECT count(*) FROM corrections WHERE state = 'active' AND created_at >= $since AND simulated) AS simulated,
        (SELECT count(*) FROM corrections WHERE state = 'active' AND created_at >= $since AND verdict = 'fix'
            AND source <> 'lot') AS fixed,
        (SELECT count(*) FROM corrections WHERE state = 'active' AND created_at >= $since
            AND source = 'lot') AS approved,
        (SELECT count(DISTINCT who) FROM (
            SELECT annotator AS who FROM corrections WHERE state IN ('active', 'conflict') AND created_at >= $since
                AND NOT simulated
            UNION SELECT reviewer FROM reviews WHERE list_contains($answered, state) AND answered_at >= $since)
            ) AS people,
        (SELECT count(*) FROM reviews WHERE list_contains($answered, state) AND answered_at >= $since) AS reviewed,
        (SELECT count(*) FROM reviews WHERE list_contains($answered, state) AND answered_at >= $since
            AND json_array_length(differing) > 0) AS differed,
        (SELECT count(*) FROM adjudications WHERE state = 'decided' AND decided_at >= $since) AS decided,
        (SELECT count(*) FROM images WHERE added_at >= $since) AS photos,
        (SELECT count(*) FROM audits a JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active'
            WHERE a.kind <> 'selection' AND c.verdict IN ('ok', 'fix') AND c.created_at >= $since) AS audited,
        (SELECT count(*) FROM audits a JOIN corrections c ON c.old_pair_id = a.pair_id AND c.state = 'active'
            WHERE a.kind <> 'selection' AND c.verdict = 'fix' AND c.created_at >= $since) AS audited_bad,
        (SELECT count(*) FROM runs WHERE kind = 'retrain' AND finished_at >= $since) AS retrainings,
        (SELECT count(*) FROM runs WHERE kind = 'retrain' AND finished_at >= $since
            AND state <> 'done') AS failed_retrainings,
        (SELECT count(*) FROM events WHERE what = 'model.promoted' AND occurred_at >= $since) AS promoted,
        (SELECT count(*) FROM events WHERE what = 'model.rolled_back' AND occurred_at >= $since) AS rolled_back,
        (SELECT count(*) FROM jobs WHERE state = 'failed' AND finished_at >= $since) AS failed_jobs,
        (SELECT count(*) FROM events WHERE occurred_at >= $since AND (list_contains($problems, what)
            OR (what = $compared AND len(json_keys(detail)) > 0))) AS problems,
        (SELECT count(*) FROM reviews WHERE state IN ('open', 'claimed')) AS to_review,
        (SELECT count(*) FROM outbox WHERE done_at IS NULL AND last_error IS NOT NULL) AS unsent
"""


ANSWERED_BEFORE = """
    SELECT max(given_at) FROM (
        SELECT created_at AS given_at FROM corrections WHERE created_at < $today AND NOT simulated
        UNION ALL SELECT answered_at FROM reviews WHERE answered_at < $today AND NOT simulated)
"""


def working_day(db: Database, zone: tzinfo | None = None, at: datetime | None = None) -> datetime:
    """When the last working day before today began (UTC). zone: default the machine's own. at: now, UTC."""
    today = _midnight(at or now(), zone)
    last = db.value(ANSWERED_BEFORE, {"today": today})
    return _midnight(last or today - timedelta(hours=1), zone)


def _midnight(at: datetime, zone: tzinfo | None) -> datetime:
    """The beginning of the local day in which `at` lies; both UTC without a zone."""
    local = at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    begins = local.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = begins.astimezone() if zone is None else begins.replace(tzinfo=zone)
    return begins.astimezone(UTC).replace(tzinfo=None)


def last_day(site: Site, zone: tzinfo | None = None, at: datetime | None = None) -> LastDay:
    """One short reading of the store. zone: of the days, default the machine's own. at: now, UTC."""
    with site.connect() as db:
        since = working_day(db, zone, at)
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
        waiting, not_counting = adjudication.count(db), unusable.count(db)
    return LastDay(
        since=since,
        to_decide=waiting,
        unusable=not_counting,
        **{name: int(value) for name, value in row.items()},
    )
