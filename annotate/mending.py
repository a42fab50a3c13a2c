"""After a full reading of a project: what Label Studio has lost is made again, what it has twice is removed.

What the reading itself finds (answers new, changed, deleted) annotate/incoming.py has taken in by then.
"""

from __future__ import annotations

from typing import Any

from annotate.differences import Difference
from annotate.projects import keep_tasks, send_again
from annotate.visit import Visit
from data.store import Database


def mend(visit: Visit) -> None:
    """Tasks that are gone are made again, ids that differ are taken over, doubles removed, lost answers sent again."""
    at, known = visit.at, visit.at.tasks(visit.template)
    there = _without_doubles(visit)
    gone = [pair_id for pair_id in known if pair_id not in there]
    elsewhere = {pair_id: task for pair_id, task in there.items() if known.get(pair_id) != task}
    with at.site.connect() as db:
        ours = {row["pair_id"] for row in _pairs(db, list(elsewhere))}
        moved = {pair_id: task for pair_id, task in elsewhere.items() if pair_id in ours}
        keep_tasks(db, visit.project, visit.template, moved)
        db.execute(
            "DELETE FROM tasks WHERE ls_project_id = ? AND pair_id IN (SELECT unnest(?::VARCHAR[]))",
            [visit.project, gone],
        )
        lost = _lost(db, visit)
        for row in lost:
            send_again(db, row["correction_id"])
        rows = _pairs(db, gone)
    version = visit.version
    made = at.push(visit.template, rows)
    at.differences += [
        *(Difference("task-moved", "number kept", pair_id, task, version=version) for pair_id, task in moved.items()),
        *(Difference("task-missing", "made again", pair_id, task, version=version) for pair_id, task in made.items()),
        *(Difference("answer-missing", "sent again", row["old_pair_id"], correction_id=row["correction_id"],
                     version=version) for row in lost),
    ]  # fmt: skip


def _without_doubles(visit: Visit) -> dict[str, int]:
    """The one task of each pair that is there. Two tasks that both have answers stay: nobody's answer is deleted."""
    studio, there = visit.at.studio, {pair_id: ids[0] for pair_id, ids in visit.seen.items()}
    doubled = [pair_id for pair_id, ids in visit.seen.items() if len(ids) > 1]
    for pair_id in doubled:
        if studio.remove_doubles(visit.project, [pair_id]):
            visit.at.differences.append(
                Difference("task-doubled", "one kept", pair_id, version=visit.version)
            )
    return there | studio.existing(visit.project, doubled)


def _pairs(db: Database, pair_ids: list[str]) -> list[dict[str, Any]]:
    return db.rows(
        "SELECT pair_id, image_id, caption, language FROM pairs WHERE pair_id IN (SELECT unnest(?::VARCHAR[]))",
        [pair_ids],
    )


def _lost(db: Database, visit: Visit) -> list[dict[str, Any]]:
    """Standing corrections whose annotation the reading has not met, and that nothing is about to send."""
    name, number = visit.version.rsplit("@", 1)
    rows = db.rows(
        "SELECT correction_id, old_pair_id, ls_annotation_id FROM corrections c "
        "WHERE template = ? AND template_version = ? AND state IN ('active', 'conflict') "
        "AND NOT EXISTS (SELECT 1 FROM outbox o "
        "WHERE o.correction_id = c.correction_id AND o.action = 'create' AND o.done_at IS NULL)",
        [name, int(number)],
    )
    return [row for row in rows if row["ls_annotation_id"] not in visit.annotations]
