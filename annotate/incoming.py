"""Takes what was answered, edited or deleted in Label Studio's own page into the store.

    tally = take_in(at, "parts@1")                    # what has changed since the last visit
    tally = take_in(at, "parts@1", is_full=True)      # everything, and mend what differs

Label Studio has no record of changes but each task's time of the last one. So every visit reads the tasks changed since
the last, with an overlap, and compares each annotation with the correction that it is known as. One of ours is known by
its id, or by the mark that it carries; one that nobody knows becomes a correction; an edit supersedes. An annotation
that cannot be an answer is told once as an event, and stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from annotate import outbox
from annotate.corrections import STANDING, Annotation, Entry, prepare, queue_send, record, retire
from annotate.label_studio import shadow_email
from annotate.labeling_config import from_result, mark_of
from annotate.projects import Exchange, keep_tasks, send_again, stand
from data.errors import GenbaError
from data.store import Database
from data.templates import Template

OVERLAP = timedelta(seconds=60)
READ_CHUNK = 200  # tasks compared at once
WRITE_CHUNK = 25  # tasks in one transaction: some 0.2 s
REFUSED = "label-studio.refused"


@dataclass
class Tally:
    """What a visit found: answers new, edited, deleted there, refused for the first time; and what was mended."""

    new: int = 0
    edited: int = 0
    deleted: int = 0
    refused: int = 0
    tasks_made_again: int = 0
    tasks_found_again: int = 0
    doubles_removed: int = 0
    answers_sent_again: int = 0

    @property
    def mended(self) -> int:
        return self.tasks_made_again + self.tasks_found_again + self.doubles_removed + self.answers_sent_again

    def add(self, other: Tally) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass
class _Visit:
    """One reading of one project."""

    at: Exchange
    version: str
    template: Template
    is_full: bool
    tally: Tally = field(default_factory=Tally)
    seen: dict[str, list[int]] = field(default_factory=dict)  # pair_id -> ids of its tasks
    people: dict[int, tuple[str, bool]] = field(default_factory=dict)  # user id -> annotator, simulated


def take_in(at: Exchange, version: str, is_full: bool = False) -> Tally:
    """Compare a project with the store. `is_full` reads all of it and mends tasks and answers that are gone there."""
    template = at.template(version)
    project = at.project(template)
    cursor = at.known()[version].get("cursor")
    since = None if is_full or cursor is None else (_time(cursor) - OVERLAP).isoformat()
    visit = _Visit(at, version, template, is_full)
    for chunk in _chunks(at.studio.changed_since(project, since), READ_CHUNK):
        for task in chunk:
            visit.seen.setdefault(task["pair_id"], []).append(task["id"])
        different = _different(visit, chunk)
        _know_people(visit, different)
        for part in _chunks(different, WRITE_CHUNK):
            _take_tasks(visit, part)
        cursor = max([task["updated_at"] for task in chunk] + ([cursor] if cursor else []), key=_time)
        at.remember(version, cursor=cursor)
    if is_full:
        _mend(visit, project)
    return visit.tally


def _chunks(tasks: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(tasks)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _different(visit: _Visit, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks that hold anything that the store does not know: an idle visit writes nothing."""
    with visit.at.site.connect() as db:
        known = _known(db, [task["pair_id"] for task in tasks])
    return [task for task in tasks if visit.is_full or not _agrees(task, known.get(task["pair_id"], []))]


def _agrees(task: dict[str, Any], known: list[dict[str, Any]]) -> bool:
    standing = {
        (row["ls_annotation_id"], row["ls_updated_at"])
        for row in known
        if row["state"] in STANDING and row["ls_task_id"] == task["id"]
    }
    return standing == {(one["id"], one["updated_at"]) for one in task["annotations"]}


def _take_tasks(visit: _Visit, tasks: list[dict[str, Any]]) -> None:
    with visit.at.site.connect() as db:
        known = _known(db, [task["pair_id"] for task in tasks])
        for task in tasks:
            _take_task(db, visit, task, known.get(task["pair_id"], []))


def _know_people(visit: _Visit, chunk: list[dict[str, Any]]) -> None:
    """Names of those who answered: the annotator whom an account stands for, else the account's own name."""
    ids = {one[key] for task in chunk for one in task["annotations"] for key in ("person", "editor")}
    if ids - {None} <= set(visit.people):
        return
    with visit.at.site.connect() as db:
        rows = db.rows("SELECT name, simulated FROM annotators")
    shadows = {shadow_email(row["name"]): (row["name"], bool(row["simulated"])) for row in rows}
    users = visit.at.studio.users()
    visit.people = {
        number: shadows.get(user["email"], (user["name"], False)) for number, user in users.items()
    }
    for number in ids - {None} - set(visit.people):
        visit.people[number] = (f"Label Studio user {number}", False)


def _known(db: Database, pair_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Corrections of the pairs, by pair; those that stand first, then the newest."""
    rows = db.rows(
        "SELECT correction_id, old_pair_id, verdict, slots, state, active_seconds, lead_time, ls_task_id, "
        "ls_annotation_id, ls_updated_at FROM corrections WHERE list_contains(?, old_pair_id) "
        "ORDER BY CASE WHEN state IN ('active', 'conflict') THEN 0 ELSE 1 END, created_at DESC",
        [pair_ids],
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["old_pair_id"], []).append(row)
    return found


def _take_task(db: Database, visit: _Visit, task: dict[str, Any], known: list[dict[str, Any]]) -> None:
    for annotation in sorted(task["annotations"], key=lambda one: (_time(one["updated_at"]), one["id"])):
        row = _row_of(db, task, annotation, known)
        try:
            _take_annotation(db, visit, task, annotation, row)
        except GenbaError as error:
            visit.tally.refused += _refuse(db, visit, task, annotation, error)
    present = {annotation["id"] for annotation in task["annotations"]}
    for row in known:
        if (
            row["state"] in STANDING
            and row["ls_task_id"] == task["id"]
            and row["ls_annotation_id"] not in present
        ):
            _take_absence(db, visit, task, row)


def _row_of(
    db: Database, task: dict[str, Any], annotation: dict[str, Any], known: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The correction that an annotation is known as. One that was sent, but not recorded as sent, is recorded now."""
    for row in known:
        if row["ls_annotation_id"] == annotation["id"] and row["ls_task_id"] == task["id"]:
            return row
    mark = mark_of(annotation["result"])
    for row in known:
        if row["correction_id"] == mark and row["ls_annotation_id"] is None:
            stand(db, row["correction_id"], task["id"], annotation)
            outbox.mark_done(db, row["correction_id"], "create")
            return row | {"ls_task_id": task["id"], "ls_annotation_id": annotation["id"]}
    return None


def _take_annotation(
    db: Database,
    visit: _Visit,
    task: dict[str, Any],
    annotation: dict[str, Any],
    row: dict[str, Any] | None,
) -> None:
    """Raises GenbaError when the annotation cannot be an answer."""
    if row is None:
        record(db, _entry(visit, task, annotation, annotation["person"], annotation["seconds"], None))
        visit.tally.new += 1
    elif row["state"] not in STANDING:
        _take_away(db, row)
    elif visit.is_full or row["ls_updated_at"] != annotation["updated_at"]:
        _take_change(db, visit, task, annotation, row)


def _take_change(
    db: Database, visit: _Visit, task: dict[str, Any], annotation: dict[str, Any], row: dict[str, Any]
) -> None:
    """A known annotation was saved again: an edit, unless it says the same. Label Studio adds the times of edits up."""
    before = row["lead_time"] if row["lead_time"] is not None else row["active_seconds"]
    spent = annotation["seconds"] - before
    seconds = spent if spent >= 0 else annotation["seconds"]
    entry = _entry(visit, task, annotation, annotation["editor"], seconds, row["correction_id"])
    if (entry.verdict, entry.slots) != (row["verdict"], row["slots"]):
        record(db, entry)
        visit.tally.edited += 1
    elif row["ls_updated_at"] != annotation["updated_at"]:
        stand(db, row["correction_id"], task["id"], annotation)


def _entry(
    visit: _Visit,
    task: dict[str, Any],
    annotation: dict[str, Any],
    person: int | None,
    seconds: float,
    supersedes: str | None,
) -> Entry:
    """An annotation as an answer. Its time is Label Studio's own clock: it does not stop when nobody works."""
    name, simulated = visit.people.get(person or 0, ("Label Studio", False))
    skipped = annotation["skipped"]
    verdict, slots = ("not_sure", {}) if skipped else from_result(visit.template, annotation["result"])
    return prepare(
        visit.template,
        visit.at.site.settings.site.languages,
        pair_id=task["pair_id"],
        annotator=name,
        verdict=verdict,
        slots=slots,
        active_seconds=seconds,
        source="crew" if simulated else "label-studio",
        simulated=simulated,
        reason="skipped" if skipped else "",
        token=f"label-studio:{task['id']}:{annotation['id']}:{annotation['updated_at']}",
        created_at=_time(annotation["updated_at"]).astimezone(UTC).replace(tzinfo=None),
        annotation=Annotation(task["id"], annotation["id"], annotation["updated_at"], annotation["seconds"]),
        supersedes=supersedes,
    )


def _take_away(db: Database, row: dict[str, Any]) -> None:
    """The annotation of a correction that no longer counts is still there: have it deleted."""
    waits = db.value(
        "SELECT 1 FROM outbox WHERE correction_id = ? AND action = 'delete' AND done_at IS NULL",
        [row["correction_id"]],
    )
    if not waits:
        queue_send(db, row["correction_id"], "delete")


def _take_absence(db: Database, visit: _Visit, task: dict[str, Any], row: dict[str, Any]) -> None:
    """A known annotation is not there: deleted by somebody, or the database is older than the annotation.

    A deletion moves the task's time past the annotation's; a task that is older than the annotation never held it.
    """
    if row["ls_updated_at"] and _time(task["updated_at"]) < _time(row["ls_updated_at"]):
        send_again(db, row["correction_id"])
        visit.tally.answers_sent_again += 1
        return
    retire(db, row["correction_id"], "deleted", in_label_studio=False)
    db.event(
        "Label Studio", "correction.deleted", {"correction": row["correction_id"], "pair": row["old_pair_id"]}
    )
    visit.tally.deleted += 1


def _refuse(
    db: Database, visit: _Visit, task: dict[str, Any], annotation: dict[str, Any], error: GenbaError
) -> int:
    """Tell once that an annotation cannot be taken in; 1 when it is told now."""
    name = f"{visit.version}:{annotation['id']}:{annotation['updated_at']}"
    told = db.value(
        "SELECT 1 FROM events WHERE what = ? AND json_extract_string(detail, '$.annotation') = ?",
        [REFUSED, name],
    )
    if told:
        return 0
    detail = {"annotation": name, "task": task["id"], "pair": task["pair_id"], "why": str(error)}
    db.event("Label Studio", REFUSED, detail)
    return 1


def _mend(visit: _Visit, project: int) -> None:
    """After a full reading: tasks that are gone are made again, ids that differ are taken over, doubles removed."""
    at, tally = visit.at, visit.tally
    known = at.tasks(visit.template)
    doubled = [pair_id for pair_id, ids in visit.seen.items() if len(ids) > 1]
    tally.doubles_removed += at.studio.remove_doubles(project, doubled) if doubled else 0
    there = {pair_id: ids[0] for pair_id, ids in visit.seen.items()} | at.studio.existing(project, doubled)
    gone = [pair_id for pair_id in known if pair_id not in there]
    with at.site.connect() as db:
        ours = {
            row["pair_id"]
            for row in db.rows("SELECT pair_id FROM pairs WHERE list_contains(?, pair_id)", [list(there)])
        }
        moved = {
            pair_id: task for pair_id, task in there.items() if pair_id in ours and known.get(pair_id) != task
        }
        keep_tasks(db, project, visit.template, moved)
        db.execute("DELETE FROM tasks WHERE ls_project_id = ? AND list_contains(?, pair_id)", [project, gone])
        for correction_id in _unsent(db, visit, gone):
            send_again(db, correction_id)
            tally.answers_sent_again += 1
        rows = db.rows(
            "SELECT pair_id, image_id, caption, language FROM pairs WHERE list_contains(?, pair_id)", [gone]
        )
    tally.tasks_found_again += len(moved)
    tally.tasks_made_again += len(at.push(visit.template, rows))


def _unsent(db: Database, visit: _Visit, gone: list[str]) -> list[str]:
    """Standing corrections that Label Studio does not have and that nothing is about to send."""
    name, number = visit.version.rsplit("@", 1)
    rows = db.rows(
        "SELECT correction_id FROM corrections c WHERE template = ? AND template_version = ? "
        "AND state IN ('active', 'conflict') AND (ls_annotation_id IS NULL OR list_contains(?, old_pair_id)) "
        "AND NOT EXISTS (SELECT 1 FROM outbox o "
        "WHERE o.correction_id = c.correction_id AND o.action = 'create' AND o.done_at IS NULL)",
        [name, int(number), gone],
    )
    return [row["correction_id"] for row in rows]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
