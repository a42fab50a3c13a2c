"""When the next retraining of a site starts by itself: reads what the policy looks at (training/policy.py).

genba retrain SITE --when        decide(site), told by training/policy_words.py
"""

from __future__ import annotations

from datetime import datetime

from annotate.estimate import estimate
from data.site import Site
from data.store import now
from training import policy
from training.policy import Audited, Decision, Standing

STANDING_SQL = """
SELECT (SELECT max(created_at) FROM runs WHERE kind = 'retrain') AS last_run,
       (SELECT max(queued_at) FROM jobs WHERE name = 'retrain') AS last_job,
       (SELECT count(*) FROM jobs WHERE name = 'retrain' AND state IN ('queued', 'running')) AS active,
       (SELECT min(occurred_at) FROM events) AS created
"""
FIXED_SQL = """
SELECT count(DISTINCT old_pair_id) FROM corrections WHERE state = 'active' AND verdict = 'fix' AND created_at > ?
"""
# As annotate/estimate.py counts them: captions of the archive, found bad by their first answer after that moment.
FOUND_SQL = """
SELECT count(*)
FROM pairs p JOIN corrections c ON c.old_pair_id = p.pair_id AND c.state = 'active' AND c.verdict = 'fix'
WHERE p.origin IN ('legacy', 'draft') AND p.state = 'captioned'
  AND (SELECT min(e.created_at) FROM corrections e
       WHERE e.old_pair_id = p.pair_id AND e.state IN ('active', 'superseded')) > ?
"""


def decide(site: Site) -> Decision:
    """What the policy says now."""
    settings = site.settings.retrain
    with site.connect() as db:
        row = db.rows(STANDING_SQL)[0]
        last = max((at for at in (row["last_run"], row["last_job"]) if at), default=None)
        fixed, found = (int(db.value(sql, [last or datetime.min])) for sql in (FIXED_SQL, FOUND_SQL))
    audited = _audited(site, found) if settings.after_error_fell else None
    is_active = bool(row["active"]) or _runs_outside_the_worker(site)
    at = Standing(fixed, last, row["created"] or datetime.min, is_active, audited)
    return policy.decide(settings, at, now())


def _audited(site: Site, found_since: int) -> Audited | None:
    left = estimate(site)
    if left is None or not left.captions:
        return None
    return Audited((left.bad_left + found_since) / left.captions, left.bad_left / left.captions)


def _runs_outside_the_worker(site: Site) -> bool:
    """Somebody may have started one in a terminal: it holds the lock, and no job stands for it."""
    from training.arm_runs import is_running

    return is_running(site)
