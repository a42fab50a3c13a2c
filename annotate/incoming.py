"""Takes what was answered, edited or deleted in Label Studio's own page into the store.

    tally = take_in(at, "parts@1")                    # what has changed since the last visit
    tally = take_in(at, "parts@1", is_full=True)      # everything, and mend what differs

Label Studio has no record of changes but each task's time of the last one. So every visit reads the tasks changed since
the last, with an overlap, and compares each annotation with the correction that it is known as. One of ours is known by
its id, or by the mark that it carries; one that nobody knows becomes a correction; an edit supersedes. An annotation
that cannot be an answer stays where it is, told once as an event and named until it is mended (annotate/unusable.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from annotate import outbox
from annotate.corrections import STANDING, Annotation, Entry, prepare, queue_send, record, retire
from annotate.draft_record import Draft
from annotate.label_studio import is_shadow, shadow_email
from annotate.labeling_config import Refused, from_result, mark_of
from annotate.mending import mend
from annotate.people import known_as
from annotate.projects import Exchange, send_again, stand
from annotate.unusable import noted, reasons, renewed
from annotate.visit import Tally, Visit
from data.errors import GenbaError
from data.served import served_name
from data.store import Database

OVERLAP = timedelta(seconds=60)
READ_CHUNK = 200  # tasks compared at once
WRITE_CHUNK = 25  # tasks in one transaction: some 0.2 s
REFUSED = "label-studio.refused"


def take_in(at: Exchange, version: str, is_full: bool = False) -> Tally:
    """Compare a project with the store. `is_full` reads all of it and mends tasks and answers that are gone there."""
    template = at.template(version)
    project = at.project(template)
    cursor = at.known()[version].get("cursor")
    since = None if is_full or cursor is None else (_time(cursor) - OVERLAP).isoformat()
    visit = Visit(at, version, template, project, is_full)
    for chunk in _chunks(at.studio.changed_since(project, since), READ_CHUNK):
        visit.unusable = []
        _put_back(visit, chunk)
        for task in chunk:
            visit.see(task)
        different = _different(visit, chunk)
        _know_people(visit, different)
        for part in _chunks(different, WRITE_CHUNK):
            _take_tasks(visit, part)
        cursor = max([task["updated_at"] for task in chunk] + ([cursor] if cursor else []), key=_time)
        seen = [task["id"] for task in chunk]
        at.remember(version, cursor=cursor, unusable=renewed(_kept(visit), seen, visit.unusable))
    if is_full:
        there = {number for numbers in visit.seen.values() for number in numbers}
        at.remember(version, unusable=[one for one in _kept(visit) if one["task"] in there])
        mend(visit)
    return visit.tally


def _kept(visit: Visit) -> list[dict[str, Any]]:
    """The annotations that no answer could be made of, as of the last time that their tasks were read."""
    return visit.at.known()[visit.version].get("unusable") or []


def _chunks(tasks: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(tasks)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _put_back(visit: Visit, tasks: list[dict[str, Any]]) -> None:
    """A task of ours shows its pair, whatever somebody made of its data: else its answers would be another pair's."""
    with visit.at.site.connect() as db:
        rows = db.rows(
            "SELECT t.ls_task_id, p.pair_id, p.caption, p.image_id FROM tasks t JOIN pairs p USING (pair_id) "
            "WHERE t.ls_project_id = ? AND t.ls_task_id IN (SELECT unnest(?::INTEGER[]))",
            [visit.project, [task["id"] for task in tasks]],
        )
    meant, served = {row["ls_task_id"]: row for row in rows}, visit.at.site.folder("served")
    for task in tasks:
        if (row := meant.get(task["id"])) is None:
            continue
        caption = (
            row["caption"] or task["data"].get("caption") or ""
        )  # a missing one has the words of some language
        data = visit.at.data_of(row["pair_id"], caption, served / served_name(row["image_id"]))
        if any(task["data"].get(key) != value for key, value in data.items()):
            visit.at.studio.restore(task["id"], data)
            task |= {"pair_id": data["pair_id"], "data": data}
            visit.differs("task-changed", "put back", task)


def _different(visit: Visit, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
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


def _take_tasks(visit: Visit, tasks: list[dict[str, Any]]) -> None:
    with visit.at.site.connect() as db:
        known = _known(db, [task["pair_id"] for task in tasks])
        visit.drafts = _began_with(db, visit, tasks)
        for task in tasks:
            _take_task(db, visit, task, known.get(task["pair_id"], []))


def _began_with(db: Database, visit: Visit, tasks: list[dict[str, Any]]) -> dict[str, Draft]:
    """The drafts that the pages of these tasks began with, by pair."""
    rows = db.rows(
        "SELECT pair_id, draft FROM tasks WHERE ls_project_id = ? AND draft IS NOT NULL AND list_contains(?, pair_id)",
        [visit.project, [task["pair_id"] for task in tasks]],
    )
    return {row["pair_id"]: Draft(**row["draft"]) for row in rows}


def _know_people(visit: Visit, chunk: list[dict[str, Any]]) -> None:
    """Names of those who answered: the annotator whom an account stands for, else the account's own name."""
    ids = {one[key] for task in chunk for one in task["annotations"] for key in ("person", "editor")}
    unknown = ids - {None} - set(visit.people)
    if not unknown:
        return
    users = visit.at.studio.users()
    with visit.at.site.connect() as db:
        rows = db.rows("SELECT name, simulated FROM annotators")
        shadows = {shadow_email(row["name"]): (row["name"], bool(row["simulated"])) for row in rows}
        for number in sorted(unknown):
            user = users.get(number)
            if user is None:
                visit.people[number] = (f"Label Studio user {number}", False)
            elif user["email"] in shadows:
                visit.people[number] = shadows[user["email"]]
            elif is_shadow(user["email"]):  # of a person whom the store has not met yet
                visit.people[number] = (user["name"], False)
            else:
                visit.people[number] = (
                    known_as(db, user["email"], user["name"], of_label_studio=True),
                    False,
                )


def _known(db: Database, pair_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Corrections of the pairs, by pair; those that stand first, then the newest."""
    rows = db.rows(
        "SELECT correction_id, old_pair_id, verdict, slots, state, active_seconds, lead_time, ls_task_id, "
        "ls_annotation_id, ls_updated_at FROM corrections WHERE old_pair_id IN (SELECT unnest(?::VARCHAR[])) "
        "ORDER BY CASE WHEN state IN ('active', 'conflict') THEN 0 ELSE 1 END, created_at DESC",
        [pair_ids],
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["old_pair_id"], []).append(row)
    return found


def _take_task(db: Database, visit: Visit, task: dict[str, Any], known: list[dict[str, Any]]) -> None:
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
    visit: Visit,
    task: dict[str, Any],
    annotation: dict[str, Any],
    row: dict[str, Any] | None,
) -> None:
    """Raises GenbaError when the annotation cannot be an answer."""
    if row is None:
        if db.value("SELECT 1 FROM pairs WHERE pair_id = ?", [task["pair_id"]]) is None:
            raise Refused("No pair '{pair}' in this site: the task is not Genba's.", pair=task["pair_id"])
        entry = _entry(visit, task, annotation, annotation["person"], annotation["seconds"], None)
        made = record(db, entry, visit.at.site.settings.review)
        visit.tally.new += 1
        visit.took("answer-new", "taken in", task, annotation, made)
    elif row["state"] not in STANDING:
        _take_away(db, visit, task, row)
    elif visit.is_full or row["ls_updated_at"] != annotation["updated_at"]:
        _take_change(db, visit, task, annotation, row)


def _take_change(
    db: Database, visit: Visit, task: dict[str, Any], annotation: dict[str, Any], row: dict[str, Any]
) -> None:
    """A known annotation was saved again: an edit, unless it says the same. Label Studio adds the times of edits up."""
    before = row["lead_time"] if row["lead_time"] is not None else row["active_seconds"]
    spent = annotation["seconds"] - before
    seconds = spent if spent >= 0 else annotation["seconds"]
    entry = _entry(visit, task, annotation, annotation["editor"], seconds, row["correction_id"])
    if (entry.verdict, entry.slots) != (row["verdict"], row["slots"]):
        made = record(db, entry, visit.at.site.settings.review)
        visit.tally.edited += 1
        visit.took("answer-edited", "new version", task, annotation, made)
    elif row["ls_updated_at"] != annotation["updated_at"]:
        stand(db, row["correction_id"], task["id"], annotation)


def _entry(
    visit: Visit,
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
        draft=visit.drafts.get(task["pair_id"]),
    )


def _take_away(db: Database, visit: Visit, task: dict[str, Any], row: dict[str, Any]) -> None:
    """The annotation of a correction that no longer counts is still there: have it deleted."""
    waits = db.value(
        "SELECT 1 FROM outbox WHERE correction_id = ? AND action = 'delete' AND done_at IS NULL",
        [row["correction_id"]],
    )
    if not waits:
        queue_send(db, row["correction_id"], "delete")
        visit.differs("answer-surplus", "deleted there", task, correction_id=row["correction_id"])


def _take_absence(db: Database, visit: Visit, task: dict[str, Any], row: dict[str, Any]) -> None:
    """A known annotation is not there: deleted by somebody, or the database is older than the annotation.

    A deletion moves the task's time past the annotation's; a task that is older than the annotation never held it.
    """
    if row["ls_updated_at"] and _time(task["updated_at"]) < _time(row["ls_updated_at"]):
        send_again(db, row["correction_id"])
        visit.differs("answer-missing", "sent again", task, correction_id=row["correction_id"])
        return
    retire(db, row["correction_id"], "deleted", in_label_studio=False)
    db.event(
        "Label Studio", "correction.deleted", {"correction": row["correction_id"], "pair": row["old_pair_id"]}
    )
    visit.tally.deleted += 1
    visit.differs("answer-deleted", "marked", task, correction_id=row["correction_id"])


def _refuse(
    db: Database, visit: Visit, task: dict[str, Any], annotation: dict[str, Any], error: GenbaError
) -> int:
    """Note that an annotation cannot be taken in, and tell it once as an event; 1 when it is told now."""
    why = reasons(error, visit.template)
    person, _ = visit.people.get(annotation["person"] or 0, ("Label Studio", False))
    visit.unusable.append(noted(task, annotation, person, why))
    name = f"{visit.version}:{annotation['id']}:{annotation['updated_at']}"
    told = db.value(
        "SELECT 1 FROM events WHERE what = ? AND json_extract_string(detail, '$.annotation') = ?",
        [REFUSED, name],
    )
    if visit.is_full or not told:
        visit.differs(
            "answer-refused", "left", task, annotation=annotation["id"], why=why[visit.at.site.language]
        )
    if told:
        return 0
    detail = {"annotation": name, "task": task["id"], "pair": task["pair_id"], "why": str(error)}
    db.event("Label Studio", REFUSED, detail)
    return 1


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
