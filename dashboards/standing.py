"""Where the loop of a site stands: what the managers' next step follows from (dashboards/words.py next_step)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dashboards import kept
from data.site import Site
from data.templates import Template
from training import registry
from training.gate import Check, proven_falls
from training.runs import LAST_RUN_SQL

Gate = Literal["none", "refused", "sign", "open"]  # sign: only the checklist is missing


@dataclass(frozen=True)
class Standing:
    """Where the loop stands: what the next step follows from."""

    site: str
    pairs: int  # legacy and draft pairs
    scored: int  # captions, corrections among them, by the encoder that ranks the queue
    waiting: int  # in the ranked queue
    judged: int
    drawn: int  # audit pairs
    audit_waiting: int
    since_last_run: int  # fixed captions since the last finished run began (all, when there is none)
    last_run: str | None
    candidate: str | None
    active_jobs: tuple[str, ...]
    after_corrections: int  # retrain.after_corrections of genba.toml; 0 = no policy
    gate: Gate = "none"  # what stands between the candidate and its promotion
    falls: tuple[dict[str, Any], ...] = ()  # proven ones of that model; nothing has to be promoted: none
    template: Template | None = None  # names the items of what fell; None: nothing fell


STANDING_SQL = """
SELECT (SELECT count(*) FROM pairs WHERE origin IN ('legacy', 'draft')) AS pairs,
       (SELECT count(*) FROM scores WHERE encoder = $encoder) AS scored,
       (SELECT count(DISTINCT old_pair_id) FROM corrections WHERE state = 'active') AS judged,
       (SELECT count(*) FROM audits) AS drawn
"""
SINCE_SQL = """
SELECT count(DISTINCT old_pair_id) FROM corrections WHERE state = 'active' AND verdict = 'fix' AND created_at > ?
"""


def standing(site: Site) -> Standing:
    """Count what the next step depends on."""
    waiting, audit_waiting = kept.waiting(site), kept.audit_waiting(site)
    with site.connect() as db:
        counts = db.rows(STANDING_SQL, {"encoder": site.queue_encoder(db)})[0]
        run = db.one(LAST_RUN_SQL)
        since = int(db.value(SINCE_SQL, [run["created_at"] if run else datetime.min]))
        candidate = db.value(
            "SELECT model_id FROM models WHERE state = 'candidate' AND run_id = ? ORDER BY created_at DESC, model_id",
            [run["run_id"] if run else ""],
        )
        active = db.rows("SELECT DISTINCT name FROM jobs WHERE state IN ('queued', 'running') ORDER BY name")
    checks = registry.checks(site, candidate) if candidate else []
    falls = proven_falls(checks)
    return Standing(
        site=str(site.root),
        waiting=waiting,
        audit_waiting=audit_waiting,
        since_last_run=since,
        last_run=run["run_id"] if run else None,
        candidate=candidate,
        active_jobs=tuple(row["name"] for row in active),
        after_corrections=site.settings.retrain.after_corrections,
        gate=_gate(checks),
        falls=falls,
        template=site.template() if falls else None,
        **counts,
    )


def _gate(checks: list[Check]) -> Gate:
    """checks: of the candidate; without one there are none."""
    if not checks:
        return "none"
    against = [check.name for check in checks if check.stands_against]
    return "open" if not against else "sign" if against == ["checklist"] else "refused"
