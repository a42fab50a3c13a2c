"""Sends what waits in the outbox to Label Studio: each answer once, whatever is retried or killed in between.

An answer carries a UUID made of its correction's id, which Label Studio accepts once, and the id itself inside the
annotation: so after a kill between sending and recording, the next attempt finds what it had sent.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from annotate.corrections import STANDING
from annotate.label_studio import LabelStudioError
from annotate.labeling_config import mark_of, to_result
from annotate.projects import Exchange, stand
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site
from data.store import Database, now
from data.templates import Template

NAMESPACE = uuid.UUID("6b2f7c1e-3a64-4f0e-9d0b-5d1c8e0f5a11")
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
WAITING = """
SELECT o.action, o.attempts, o.tried_at, c.*, p.image_id, p.caption, p.language
FROM outbox o JOIN corrections c ON c.correction_id = o.correction_id JOIN pairs p ON p.pair_id = c.old_pair_id
WHERE o.done_at IS NULL ORDER BY o.queued_at, c.correction_id
"""


@dataclass(frozen=True)
class Sent:
    """Answers that reached Label Studio, answers taken away there, and those it refused (kept, tried again)."""

    sent: int = 0
    removed: int = 0
    failed: int = 0


def unique_id(name: str) -> str:
    """The UUID under which Label Studio accepts something once."""
    return str(uuid.uuid5(NAMESPACE, name))


def send(at: Exchange, progress: Progress = silent, clock: datetime | None = None) -> Sent:
    """Send what waits. What Label Studio refuses is recorded and stays; raises LabelStudioError when it is down.

    clock: the time now, UTC: answers that were refused are left out until their next try is due. None: try all.
    """
    with at.site.connect() as db:
        waiting = [row for row in db.rows(WAITING) if clock is None or is_due(row, clock)]
    counts = {"create": 0, "delete": 0, "failed": 0}
    tasks = _tasks(at, [row for row in waiting if row["action"] == "create" and row["state"] in STANDING])
    for number, row in enumerate(waiting, start=1):
        progress(number, len(waiting), "answers")
        try:
            if row["action"] == "delete":
                counts["delete"] += _remove(at, row)
            elif row["state"] in STANDING:
                _create(at, row, tasks)
                counts["create"] += 1
            else:  # withdrawn before it was sent
                _done(at.site, row)
        except GenbaError as error:
            if isinstance(error, LabelStudioError) and is_down(error):
                raise
            counts["failed"] += 1
            _failed(at.site, row, error, clock or now())
    return Sent(counts["create"], counts["delete"], counts["failed"])


def is_due(row: dict[str, Any], clock: datetime) -> bool:
    """Whether an answer may be tried now: half a minute after the first refusal, then twice as long each time.

    A server that was down refused nothing: what waited for it goes out as soon as it is back.
    """
    if row["tried_at"] is None:
        return True
    wait = FIRST_WAIT * 2 ** min(max(row["attempts"] - 1, 0), 16)
    return bool(clock >= row["tried_at"] + min(wait, LONGEST_WAIT))


def is_down(error: LabelStudioError) -> bool:
    """Whether nothing at all can be sent now, as against one answer that is refused."""
    return error.status is None or error.status >= 500 or error.status in (401, 403)


def note_failure(site: Site, error: GenbaError) -> None:
    """Nothing could be sent: every waiting answer has one more attempt behind it."""
    with site.connect() as db:
        db.execute(
            "UPDATE outbox SET attempts = attempts + 1, last_error = ? WHERE done_at IS NULL", [str(error)]
        )


def _tasks(at: Exchange, rows: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Task id by template version and pair, pushed in one go where there is none. No photo to show: no task."""
    found: dict[tuple[str, str], int] = {}
    for version in {_version(row) for row in rows}:
        template = at.template(version)
        known = at.tasks(template)
        missing = {row["old_pair_id"]: _pair(row) for row in rows
                   if _version(row) == version and row["old_pair_id"] not in known}  # fmt: skip
        known |= at.push(template, list(missing.values()))
        found |= {(version, pair_id): task for pair_id, task in known.items()}
    return found


def _create(at: Exchange, row: dict[str, Any], tasks: dict[tuple[str, str], int]) -> None:
    version, pair_id = _version(row), row["old_pair_id"]
    template = at.template(version)
    if pair_id in at.unreadable:
        raise at.unreadable[pair_id]
    task = tasks[version, pair_id]
    try:
        found = _submit(at, template, row, task)
    except LabelStudioError as error:
        if error.status != 404:
            raise
        # Somebody deleted the task: make it again and send once more.
        task = at.push(template, [_pair(row)])[pair_id]
        found = _submit(at, template, row, task)
    with at.site.connect() as db:
        stand(db, row["correction_id"], *found)
        mark_done(db, row["correction_id"], "create")


def _submit(at: Exchange, template: Template, row: dict[str, Any], task: int) -> tuple[int, dict[str, Any]]:
    """The task and the annotation that stand for the answer now, sent this time or an earlier one."""
    correction_id = row["correction_id"]
    made = at.studio.submit(
        task,
        to_result(template, row["verdict"], row["slots"], correction_id),
        at.person(row["annotator"]),
        unique_id(f"{at.project(template)}:{correction_id}"),
        row["active_seconds"],
        skipped=False,
    ) or _find(at, task, row)
    return (task, made) if made else _elsewhere(at, template, row)


def _elsewhere(at: Exchange, template: Template, row: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Label Studio took the answer earlier, but its task does not show it.

    It stands on another task of the pair, or somebody has edited it since, and its mark is gone: then it is the one
    that carries the person's name and is no other correction's, and the next pull takes the edit in (hence no time).
    """
    with at.site.connect() as db:
        known = db.rows(
            "SELECT ls_annotation_id AS id FROM corrections WHERE old_pair_id = ?", [row["old_pair_id"]]
        )
    others, person = {one["id"] for one in known}, at.person(row["annotator"])
    edited = None
    for _, task, _ in at.studio.tasks_of(at.project(template), [row["old_pair_id"]]):
        if annotation := _find(at, task, row):
            return task, annotation
        for annotation in at.studio.annotations(task) or []:
            is_nobodys = mark_of(annotation["result"]) is None and annotation["id"] not in others
            if annotation["person"] == person and is_nobodys:
                edited = task, annotation | {"updated_at": ""}
    if edited is None:
        raise LabelStudioError(
            f"Label Studio says that it has the answer to {row['old_pair_id']}, but shows it nowhere.", 409
        )
    return edited


def _remove(at: Exchange, row: dict[str, Any]) -> int:
    """Delete the annotation of a correction that no longer counts; 0 when there is none (any more)."""
    template = at.template(_version(row))
    task = row["ls_task_id"] or at.tasks(template).get(row["old_pair_id"])
    annotation = _find(at, task, row) if task else None
    removed = annotation is not None and at.studio.delete_annotation(annotation["id"])
    _done(at.site, row)
    return int(removed)


def _find(at: Exchange, task: int, row: dict[str, Any]) -> dict[str, Any] | None:
    """The annotation of a correction: by its id, or by the mark it carries."""
    for annotation in at.studio.annotations(task) or []:
        if (
            annotation["id"] == row["ls_annotation_id"]
            or mark_of(annotation["result"]) == row["correction_id"]
        ):
            return annotation
    return None


def _done(site: Site, row: dict[str, Any]) -> None:
    with site.connect() as db:
        mark_done(db, row["correction_id"], row["action"])


def mark_done(db: Database, correction_id: str, action: str) -> None:
    """The outbox is done with this."""
    db.execute(
        "UPDATE outbox SET done_at = ?, last_error = NULL WHERE correction_id = ? AND action = ? AND done_at IS NULL",
        [now(), correction_id, action],
    )


def _failed(site: Site, row: dict[str, Any], error: GenbaError, clock: datetime) -> None:
    with site.connect() as db:
        db.execute(
            "UPDATE outbox SET attempts = attempts + 1, last_error = ?, tried_at = ? "
            "WHERE correction_id = ? AND action = ?",
            [str(error), clock, row["correction_id"], row["action"]],
        )


def _version(row: dict[str, Any]) -> str:
    return f"{row['template']}@{row['template_version']}"


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    return {"pair_id": row["old_pair_id"], "image_id": row["image_id"], "caption": row["caption"],
            "language": row["language"]}  # fmt: skip
