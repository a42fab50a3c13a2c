"""Saves what a person said of a caption: one transaction, nothing lost, nothing twice.

    correction = submit(site, pair_id=…, annotator="佐藤", verdict="fix", slots={"part": "bolt", …}, active_seconds=21)
    undo(site, correction.correction_id, "佐藤")

A fix makes a new pair in each language of the site; the old pair stays as it is. States of a correction:

    active      counts
    conflict    somebody else's answer on the same pair was saved first; kept and shown, but it does not count
    superseded  replaced by a later answer of the same person, or by an edit in Label Studio
    withdrawn   undone by its author
    deleted     its annotation was deleted in Label Studio

The pair waits again once no correction of it is active. Its labels row, which scoring learns from, stands exactly as
long as the correction is active. What must reach Label Studio goes into the outbox in the same transaction; the sync
sends it (annotate/sync.py).
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from data.errors import GenbaError
from data.records import VERDICTS, Correction, caption_id
from data.records import pair_id as id_of_pair
from data.site import Site
from data.store import Database, now
from data.templates import Template, keep_version

NAME_LENGTH = 150
STANDING = ("active", "conflict")


@dataclass(frozen=True)
class Annotation:
    """Where an answer stands in Label Studio: ids, the server's time of the last change, its own clock in seconds."""

    task_id: int
    annotation_id: int
    updated_at: str
    lead_time: float


@dataclass(frozen=True)
class Entry:
    """A checked answer, ready to be saved. `captions`: what a fix says, by language; {} for other verdicts."""

    correction_id: str
    pair_id: str
    annotator: str
    verdict: str
    template: str
    template_version: int
    slots: dict[str, Any]
    captions: dict[str, str]
    active_seconds: float
    source: str
    simulated: bool
    reason: str = ""
    draft: Any = None
    created_at: datetime = field(default_factory=now)
    annotation: Annotation | None = None  # it was made in Label Studio: nothing has to be sent
    supersedes: str | None = None  # the version of the same annotation that this one replaces


@dataclass(frozen=True)
class Saved(Correction):
    """A correction as it stands in the store, with its state."""

    state: str


def submit(
    site: Site,
    *,
    pair_id: str,
    annotator: str,
    verdict: str,
    slots: Mapping[str, Any],
    active_seconds: float,
    source: str = "app",
    simulated: bool = False,
    reason: str = "",
    draft: Any = None,
    token: str | None = None,
) -> Saved:
    """Save one answer and queue it for Label Studio. Raises SlotError for slots that the template does not accept.

    The same person's earlier answer on the pair is superseded; where somebody else's stands, this one is kept in state
    "conflict". token: one for each form shown, so that a form sent twice is one correction.
    """
    template = site.template()
    entry = prepare(
        template, site.settings.site.languages, pair_id=pair_id, annotator=annotator, verdict=verdict, slots=slots,
        active_seconds=active_seconds, source=source, simulated=simulated, reason=reason, draft=draft, token=token,
    )  # fmt: skip
    keep_version(template, site.folder("templates"))
    with site.connect() as db:
        return record(db, entry)


def prepare(
    template: Template,
    languages: Sequence[str],
    *,
    pair_id: str,
    annotator: str,
    verdict: str,
    slots: Mapping[str, Any],
    active_seconds: float,
    source: str,
    simulated: bool,
    token: str | None = None,
    **more: Any,
) -> Entry:
    """Check an answer and put it into words; touches no store. `more`: the other fields of Entry."""
    annotator = " ".join(annotator.split())
    if not annotator or len(annotator) > NAME_LENGTH:
        raise GenbaError(f"An answer needs a name of 1 to {NAME_LENGTH} characters, not {annotator[:20]!r}.")
    if verdict not in VERDICTS:
        raise GenbaError(f"No verdict {verdict!r}.", choices=VERDICTS)
    if not math.isfinite(active_seconds) or active_seconds < 0:
        raise GenbaError(f"An answer cannot have taken {active_seconds} seconds.")
    is_fix = verdict == "fix"
    values = template.validate_slots(slots) if is_fix else {}
    captions = {language: template.caption(values, language) for language in languages} if is_fix else {}
    if is_fix and not all(captions.values()):
        raise GenbaError("These answers say nothing: the caption would be empty.")
    return Entry(
        correction_id=_correction_id(pair_id, annotator, token), pair_id=pair_id, annotator=annotator, verdict=verdict,
        template=template.id, template_version=template.version, slots=values, captions=captions,
        active_seconds=float(active_seconds), source=source, simulated=simulated, **more,
    )  # fmt: skip


def _correction_id(pair_id: str, annotator: str, token: str | None) -> str:
    if token is None:
        return uuid.uuid4().hex
    return hashlib.sha256("\x00".join((pair_id, annotator, token)).encode()).hexdigest()[:32]


def record(db: Database, entry: Entry) -> Saved:
    """Write a checked answer inside the caller's transaction. One that stands there already is returned as it is."""
    known = db.one("SELECT * FROM corrections WHERE correction_id = ?", [entry.correction_id])
    if known:
        return _saved(known)
    old = db.one("SELECT * FROM pairs WHERE pair_id = ?", [entry.pair_id])
    if old is None:
        raise GenbaError(f"No pair {entry.pair_id!r} in this site.", next="genba queue SITE")
    if entry.verdict == "ok" and old["state"] == "missing":
        raise GenbaError("A photo without a caption has none to confirm: choose another verdict.")
    superseded, state = _make_way(db, entry)
    row = {
        "correction_id": entry.correction_id, "old_pair_id": entry.pair_id,
        "new_pair_ids": [entry.pair_id] if entry.verdict == "ok" else _new_pairs(db, entry, old),
        "verdict": entry.verdict, "template": entry.template, "template_version": entry.template_version,
        "slots": entry.slots, "reason": entry.reason, "annotator": entry.annotator, "simulated": entry.simulated,
        "active_seconds": entry.active_seconds, "lead_time": None, "source": entry.source, "draft": entry.draft,
        "ls_task_id": None, "ls_annotation_id": None, "ls_updated_at": None, "supersedes": superseded, "state": state,
        "created_at": entry.created_at,
    }  # fmt: skip
    if (there := entry.annotation) is not None:
        row |= {"ls_task_id": there.task_id, "ls_annotation_id": there.annotation_id}
        row |= {"ls_updated_at": there.updated_at, "lead_time": there.lead_time}
    db.insert("corrections", [row])
    if state == "active":
        _label(db, row)
    if entry.annotation is None:
        queue_send(db, entry.correction_id, "create")
    _tidy(db, entry)
    db.event(
        entry.annotator,
        "correction.saved",
        {"correction": entry.correction_id, "pair": entry.pair_id, "verdict": entry.verdict, "state": state},
    )
    return _saved(row)


def _make_way(db: Database, entry: Entry) -> tuple[str | None, str]:
    """Retire what the new answer replaces; its id, and the state that the new answer gets."""
    standing = db.rows(
        "SELECT correction_id, annotator, state FROM corrections "
        "WHERE old_pair_id = ? AND state IN ('active', 'conflict') ORDER BY created_at",
        [entry.pair_id],
    )
    replaced = [
        row
        for row in standing
        if row["annotator"] == entry.annotator or row["correction_id"] == entry.supersedes
    ]
    for row in replaced:
        is_same_annotation = row["correction_id"] == entry.supersedes
        retire(db, row["correction_id"], "superseded", in_label_studio=not is_same_annotation)
    others = any(row["state"] == "active" for row in standing if row not in replaced)
    last = replaced[-1]["correction_id"] if replaced else None
    return entry.supersedes or last, "conflict" if others else "active"


def retire(db: Database, correction_id: str, state: str, in_label_studio: bool) -> None:
    """A correction no longer counts. in_label_studio: its annotation has to be deleted there too."""
    db.execute("UPDATE corrections SET state = ? WHERE correction_id = ?", [state, correction_id])
    db.execute("DELETE FROM labels WHERE correction_id = ?", [correction_id])
    if in_label_studio:
        queue_send(db, correction_id, "delete")


def queue_send(db: Database, correction_id: str, action: str) -> None:
    """Put a correction into the outbox ("create" or "delete"), also when it was sent before."""
    row = {"correction_id": correction_id, "action": action, "attempts": 0, "last_error": None, "queued_at": now(),
           "done_at": None}  # fmt: skip
    db.insert("outbox", [row], on_conflict="replace")


def _new_pairs(db: Database, entry: Entry, old: dict[str, Any]) -> list[str]:
    """Ids of the corrected pairs, one for each language. A caption that the photo has already is that pair."""
    rows = [
        {"pair_id": id_of_pair(old["image_id"], caption), "image_id": old["image_id"], "caption": caption,
         "caption_id": caption_id(caption), "language": language, "origin": "correction", "state": "captioned",
         "slots": entry.slots, "extra": old["extra"], "added_at": entry.created_at}
        for language, caption in entry.captions.items()
    ]  # fmt: skip
    db.insert("pairs", rows, on_conflict="ignore")
    return list(dict.fromkeys(str(row["pair_id"]) for row in rows))


def _label(db: Database, row: dict[str, Any]) -> None:
    """What scoring learns: whether the caption needed a correction. A verdict that does not say so gives no label."""
    if row["verdict"] not in ("fix", "ok"):
        return
    probability = db.value("SELECT inclusion_probability FROM audits WHERE pair_id = ?", [row["old_pair_id"]])
    label = {
        "pair_id": row["old_pair_id"], "correction_id": row["correction_id"],
        "needs_correction": row["verdict"] == "fix", "source": "queue" if probability is None else "audit",
        "inclusion_probability": probability, "labelled_at": row["created_at"],
    }  # fmt: skip
    db.insert("labels", [label])


def _tidy(db: Database, entry: Entry) -> None:
    """The person is known from now on; the lease and the half-typed form are done with."""
    person = {"name": entry.annotator, "simulated": entry.simulated, "ls_user_id": None, "added_at": now()}
    db.insert("annotators", [person], on_conflict="ignore")
    for table in ("leases", "form_drafts"):
        db.execute(
            f"DELETE FROM {table} WHERE pair_id = ? AND annotator = ?", [entry.pair_id, entry.annotator]
        )


def undo(site: Site, correction_id: str, annotator: str) -> None:
    """Withdraw one's own correction: the pair waits again, its annotation in Label Studio goes. Twice is once."""
    with site.connect() as db:
        row = db.one("SELECT annotator, state FROM corrections WHERE correction_id = ?", [correction_id])
        if row is None:
            raise GenbaError(f"No correction {correction_id!r}.")
        if row["annotator"] != " ".join(annotator.split()):
            raise GenbaError(f"This correction is {row['annotator']}'s; only {row['annotator']} can undo it.")
        if row["state"] not in STANDING:
            return
        retire(db, correction_id, "withdrawn", in_label_studio=True)
        db.event(annotator, "correction.undone", {"correction": correction_id})


def recent(site: Site, annotator: str, limit: int = 10) -> list[dict[str, Any]]:
    """A person's standing corrections, newest first.

    Each: correction_id, old_pair_id, caption (the old one), verdict, state (active or conflict), created_at, captions
    (the new ones, in the order of the site's languages; [] for verdicts other than fix).
    """
    with site.connect() as db:
        rows = db.rows(
            "SELECT c.correction_id, c.old_pair_id, p.caption, c.verdict, c.state, c.created_at, c.new_pair_ids "
            "FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id "
            "WHERE c.annotator = ? AND c.state IN ('active', 'conflict') "
            "ORDER BY c.created_at DESC, c.correction_id LIMIT ?",
            [" ".join(annotator.split()), limit],
        )
        wanted = sorted({one for row in rows for one in row["new_pair_ids"]})
        found = db.rows("SELECT pair_id, caption FROM pairs WHERE list_contains(?, pair_id)", [wanted])
    captions = {row["pair_id"]: row["caption"] for row in found}
    return [
        row | {"captions": [captions[one] for one in new_pair_ids] if row["verdict"] == "fix" else []}
        for row in rows
        for new_pair_ids in [row.pop("new_pair_ids")]
    ]


def _saved(row: dict[str, Any]) -> Saved:
    return Saved(**{name: row[name] for name in Saved.__dataclass_fields__})
