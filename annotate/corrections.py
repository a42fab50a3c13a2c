"""Saves what a person said of a caption: one transaction, nothing lost, nothing twice.

    correction = submit(site, pair_id=…, annotator="佐藤", verdict="fix", slots={"part": "bolt", …}, active_seconds=21)
    undo(site, correction.correction_id, "佐藤")

A fix makes a new pair in each language of the site; the old pair stays as it is. States of a correction:

    active      counts
    conflict    somebody else's answer on the same pair was saved first; kept and shown, but it does not count
                until a lead decides for it (annotate/adjudication.py)
    superseded  replaced by a later answer of the same person, by an edit in Label Studio, or by a lead's decision
    withdrawn   undone by its author
    deleted     its annotation was deleted in Label Studio

The pair waits again once no correction of it is active. Its labels row, which scoring learns from, stands exactly as
long as the correction is active. What must reach Label Studio goes into the outbox in the same transaction; the sync
sends it (annotate/sync.py). Whether a second person answers too is drawn there as well (annotate/review_draw.py); what
that person answers comes through here like any answer and is kept as a review (annotate/reviews.py).
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from annotate import agreement, form_drafts, review_draw, reviews
from annotate.draft_record import Draft
from annotate.recent import OWN
from data.errors import GenbaError
from data.records import VERDICTS, Correction, caption_id
from data.records import pair_id as id_of_pair
from data.settings import ReviewSection
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
    supersedes: str | None = (
        None  # the correction that this one replaces: an earlier version, or decided against
    )


@dataclass(frozen=True)
class Saved(Correction):
    """A correction as it stands in the store, with its state; a second opinion has the state "review"."""

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
    form_drafts.forget(site, pair_id, entry.annotator)
    with site.connect() as db:
        saved = record(db, entry, site.settings.review)
    if saved.state == "review":
        agreement.remember_low(site)
    return saved


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
    """Check an answer and put it into words; touches no store. `more`: the other fields of Entry.

    draft: the Draft that the form began with; what became of it is kept with the answer.
    """
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
    if isinstance(draft := more.get("draft"), Draft):
        more["draft"] = draft.provenance(captions, values, active_seconds, annotator)
    return Entry(
        correction_id=_correction_id(pair_id, annotator, token), pair_id=pair_id, annotator=annotator, verdict=verdict,
        template=template.id, template_version=template.version, slots=values, captions=captions,
        active_seconds=float(active_seconds), source=source, simulated=simulated, **more,
    )  # fmt: skip


def _correction_id(pair_id: str, annotator: str, token: str | None) -> str:
    if token is None:
        return uuid.uuid4().hex
    return hashlib.sha256("\x00".join((pair_id, annotator, token)).encode()).hexdigest()[:32]


def record(db: Database, entry: Entry, drawing: ReviewSection | None = None) -> Saved:
    """Write a checked answer inside the caller's transaction. One that stands there already is returned as it is.

    drawing: the shares by which a second person gets the pair too; None: nobody does. An answer of somebody who has
    the pair in hand as a second person is kept as that review, and is no correction.
    """
    if known := _known(db, entry):
        return known
    old = db.one("SELECT * FROM pairs WHERE pair_id = ?", [entry.pair_id])
    if old is None:
        raise GenbaError(f"No pair {entry.pair_id!r} in this site.", next="genba queue SITE")
    if entry.verdict == "ok" and old["state"] == "missing":
        raise GenbaError("A photo without a caption has none to confirm: choose another verdict.")
    if review := reviews.claimed(db, entry.pair_id, entry.annotator) if entry.annotation is None else None:
        reviews.answer(db, review, entry)
        _tidy(db, entry)
        return _reviewed(entry)
    superseded, state = _make_way(db, entry)
    row = _row(db, entry, old, superseded, state)
    db.insert("corrections", [row])
    if state == "active":
        _label(db, row)
    if not reviews.follow(db, superseded, row) and drawing is not None:
        review_draw.draw(db, drawing, row, old["extra"])
    if entry.annotation is None:
        queue_send(db, entry.correction_id, "create")
    _tidy(db, entry)
    db.event(
        entry.annotator,
        "correction.saved",
        {"correction": entry.correction_id, "pair": entry.pair_id, "verdict": entry.verdict, "state": state},
    )
    return _saved(row)


def _known(db: Database, entry: Entry) -> Saved | None:
    """What was saved under this id already, as a correction or as a review."""
    row = db.one("SELECT * FROM corrections WHERE correction_id = ?", [entry.correction_id])
    if row:
        return _saved(row)
    review = reviews.answered(db, entry.correction_id)
    return replace(_reviewed(entry), created_at=review["answered_at"]) if review else None


def _reviewed(entry: Entry) -> Saved:
    given = {"old_pair_id": entry.pair_id, "new_pair_ids": [], "state": "review"}
    return _saved({**vars(entry), **given})


def _row(
    db: Database, entry: Entry, old: dict[str, Any], superseded: str | None, state: str
) -> dict[str, Any]:
    """The row of table corrections; makes the new pairs."""
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
    return row


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
        is_same_annotation = row["correction_id"] == entry.supersedes and entry.annotation is not None
        retire(db, row["correction_id"], "superseded", in_label_studio=not is_same_annotation)
    others = any(row["state"] == "active" for row in standing if row not in replaced)
    last = replaced[-1]["correction_id"] if replaced else None
    return entry.supersedes or last, "conflict" if others else "active"


def retire(db: Database, correction_id: str, state: str, in_label_studio: bool) -> None:
    """A correction no longer counts. in_label_studio: its annotation has to be deleted there too."""
    db.execute("UPDATE corrections SET state = ? WHERE correction_id = ?", [state, correction_id])
    db.execute("DELETE FROM labels WHERE correction_id = ?", [correction_id])
    if state in ("withdrawn", "deleted"):
        reviews.void(db, correction_id)
    if in_label_studio:
        queue_send(db, correction_id, "delete")


def reinstate(db: Database, correction_id: str, state: str) -> None:
    """A correction counts (again): "active", with its label, or "conflict". Label Studio gets it where it has it not.

    A deletion that was not sent yet is called off; an annotation that is gone there is made again.
    """
    before = db.one("SELECT * FROM corrections WHERE correction_id = ?", [correction_id])
    if before is None:
        raise GenbaError(f"No correction {correction_id!r}.")
    db.execute("UPDATE corrections SET state = ? WHERE correction_id = ?", [state, correction_id])
    if state == "active":
        _label(db, before)
    if before["state"] in STANDING:
        return
    pending = db.value(
        "SELECT 1 FROM outbox WHERE correction_id = ? AND action = 'delete' AND done_at IS NULL",
        [correction_id],
    )
    db.execute("DELETE FROM outbox WHERE correction_id = ? AND action = 'delete'", [correction_id])
    if not pending:
        db.execute(
            "UPDATE corrections SET ls_task_id = NULL, ls_annotation_id = NULL, ls_updated_at = NULL "
            "WHERE correction_id = ?",
            [correction_id],
        )
    if not pending or before["ls_annotation_id"] is None:
        queue_send(db, correction_id, "create")


def queue_send(db: Database, correction_id: str, action: str) -> None:
    """Put a correction into the outbox ("create" or "delete"), also when it was sent before."""
    row = {"correction_id": correction_id, "action": action, "attempts": 0, "last_error": None, "queued_at": now(),
           "done_at": None}  # fmt: skip
    db.insert("outbox", [row], on_conflict="replace")


def _new_pairs(db: Database, entry: Entry, old: dict[str, Any]) -> list[str]:
    """Ids of the corrected pairs, one for each language. A caption that the photo has already is that pair."""
    origin = "lot_approved" if entry.source == "lot" else "correction"
    rows = [
        {"pair_id": id_of_pair(old["image_id"], caption), "image_id": old["image_id"], "caption": caption,
         "caption_id": caption_id(caption), "language": language, "origin": origin, "state": "captioned",
         "slots": entry.slots, "extra": old["extra"], "added_at": entry.created_at}
        for language, caption in entry.captions.items()
    ]  # fmt: skip
    db.insert("pairs", rows, on_conflict="ignore")
    return list(dict.fromkeys(str(row["pair_id"]) for row in rows))


def _label(db: Database, row: dict[str, Any]) -> None:
    """What scoring learns: whether the caption needed a correction. A verdict that does not say so gives no label.

    Nor does a lot: nobody has looked at its old captions one by one.
    """
    if row["verdict"] not in ("fix", "ok") or row["source"] == "lot":
        return
    probability = db.value(
        "SELECT inclusion_probability FROM audits WHERE pair_id = ? AND kind <> 'selection'",
        [row["old_pair_id"]],
    )
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


def undo(site: Site, correction_id: str, annotator: str) -> dict[str, Any]:
    """Withdraw one's own answer: the pair waits again, its annotation in Label Studio goes. Twice is once.

    A second opinion is in hand again, as if it had not been given. Returns the answers that it held, by slot.
    """
    annotator = " ".join(annotator.split())
    with site.connect() as db:
        if review := reviews.answered(db, correction_id):
            reviews.take_back(db, review, annotator)
            return dict(review["slots"])
        row = db.one(
            f"SELECT annotator, state, slots, {OWN} AS own FROM corrections c WHERE correction_id = ?",
            [correction_id],
        )
        if row is None:
            raise GenbaError(f"No correction {correction_id!r}.")
        if row["annotator"] != annotator:
            raise GenbaError(f"This correction is {row['annotator']}'s; only {row['annotator']} can undo it.")
        if not row["own"]:
            raise GenbaError(
                "A lead has decided this, alone or with its lot: answer the caption anew instead."
            )
        if row["state"] in STANDING:
            retire(db, correction_id, "withdrawn", in_label_studio=True)
            db.event(annotator, "correction.undone", {"correction": correction_id})
    return dict(row["slots"])


def _saved(row: dict[str, Any]) -> Saved:
    return Saved(**{name: row[name] for name in Saved.__dataclass_fields__})
