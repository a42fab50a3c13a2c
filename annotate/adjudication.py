"""Where two answers on one pair differ, a lead decides: one of them counts afterwards, the other stays as history.

    for case in cases(site): case.first, case.second, case.differing       # what waits
    decide(site, case.case_id, "second", by="田中", why="錆ではなく汚れ", seen=case.first_id)
    undo(site, adjudication_id, by="田中")

A case is either a conflict (two people answered the same pair at the same time: a correction in state "conflict") or a
review that differs (annotate/reviews.py). Decisions:

    first    the answer that counts goes on counting
    second   the other one counts
    edited   neither: the lead's own answer counts
    both     both are fine; the one that counts goes on counting, and nobody was wrong

Cases are found, not kept: an answer that is taken back takes its case along. Each decision is one transaction, in which
labels and outbox follow (annotate/corrections.py): exactly one correction of the pair is active afterwards.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from annotate import reviews
from annotate.corrections import Entry, prepare, record, reinstate, retire
from annotate.roles import require_lead
from data.errors import GenbaError
from data.site import Site
from data.store import Database, now
from data.templates import keep_version

Decision = Literal["first", "second", "edited", "both"]
DECISIONS: tuple[Decision, ...] = ("first", "second", "edited", "both")

CONFLICTS = """
    SELECT c.correction_id AS case_id, 'conflict' AS kind, c.old_pair_id AS pair_id, c.created_at AS since,
           f.correction_id AS first_id
    FROM corrections c LEFT JOIN corrections f ON f.old_pair_id = c.old_pair_id AND f.state = 'active'
    WHERE c.state = 'conflict'
"""
DIFFERING = """
    SELECT r.review_id AS case_id, 'review' AS kind, r.pair_id, r.answered_at AS since, c.correction_id AS first_id
    FROM reviews r JOIN corrections c ON c.correction_id = r.correction_id AND c.state = 'active'
    WHERE r.state = 'differs'
"""
OPEN = f"({CONFLICTS} UNION ALL {DIFFERING})"


@dataclass(frozen=True)
class Side:
    """One of the two answers. captions: by language; {} for verdicts other than fix."""

    answer_id: str
    annotator: str
    simulated: bool
    verdict: str
    slots: dict[str, Any]
    captions: dict[str, str]
    template: str
    template_version: int


@dataclass(frozen=True)
class Case:
    """Two answers that differ. first: the one that counts now; None where it was taken back, after a conflict.

    differing: "verdict", or the slots. caption, language, state: of the old pair.
    """

    case_id: str
    kind: Literal["conflict", "review"]
    pair_id: str
    image_id: str
    caption: str
    language: str
    state: str
    since: datetime
    first: Side | None
    second: Side
    differing: list[str]

    @property
    def first_id(self) -> str | None:
        return self.first.answer_id if self.first else None


def count(db: Database) -> int:
    """How many cases wait."""
    return int(db.value(f"SELECT count(*) FROM {OPEN}"))


def cases(site: Site, limit: int = 50) -> list[Case]:
    """What waits for a decision, the oldest first."""
    with site.connect() as db:
        rows = db.rows(f"SELECT * FROM {OPEN} ORDER BY since, case_id LIMIT ?", [limit])
        return [_case(db, row, site.settings.site.languages) for row in rows]


def _case(db: Database, row: Mapping[str, Any], languages: list[Any]) -> Case:
    pair = (
        db.one("SELECT image_id, caption, language, state FROM pairs WHERE pair_id = ?", [row["pair_id"]])
        or {}
    )
    first = answer_of(db, row["first_id"], languages) if row["first_id"] else None
    second = answer_of(db, row["case_id"], languages, is_review=row["kind"] == "review")
    on = reviews.differing(_said(first), _said(second)) if first else []
    return Case(
        case_id=row["case_id"], kind=row["kind"], pair_id=row["pair_id"], since=row["since"], first=first,
        second=second, differing=on, **pair,
    )  # fmt: skip


def _said(side: Side) -> dict[str, Any]:
    return {"verdict": side.verdict, "slots": side.slots}


def answer_of(db: Database, answer_id: str, languages: list[Any], is_review: bool = False) -> Side:
    """A correction, or what the second person said in the review of this id. Raises GenbaError when there is none."""
    if is_review:
        row = db.one("SELECT *, reviewer AS annotator FROM reviews WHERE review_id = ?", [answer_id])
        captions = dict(row["captions"] or {}) if row else {}
    else:
        row = db.one("SELECT * FROM corrections WHERE correction_id = ?", [answer_id])
        captions = _captions(db, row, languages) if row else {}
    if row is None:
        raise GenbaError(f"No answer {answer_id!r}.")
    return Side(
        answer_id, row["annotator"], bool(row["simulated"]), row["verdict"], dict(row["slots"] or {}), captions,
        row["template"], row["template_version"],
    )  # fmt: skip


def _captions(db: Database, row: Mapping[str, Any], languages: list[Any]) -> dict[str, str]:
    """Of a correction's new pairs, by language. Two languages in which they are the same share a pair."""
    if row["verdict"] != "fix":
        return {}
    found = db.rows(
        "SELECT pair_id, caption FROM pairs WHERE list_contains(?, pair_id)", [row["new_pair_ids"]]
    )
    captions = {one["pair_id"]: one["caption"] for one in found}
    made = [captions[one] for one in row["new_pair_ids"] if one in captions]
    if len(made) < len(languages):
        made = made[:1] * len(languages)
    return dict(zip(languages, made, strict=False))


def decide(
    site: Site,
    case_id: str,
    decision: str,
    *,
    by: str,
    why: str = "",
    seen: str | None = None,
    verdict: str = "fix",
    slots: Mapping[str, Any] | None = None,
    active_seconds: float = 0.0,
) -> str:
    """Settle a case; the adjudication's id. Raises GenbaError for anybody who is no lead, and once it is settled.

    seen: the first answer's id as the lead saw it: where another counts meanwhile, nothing is decided. verdict, slots:
    the lead's own answer of an "edited" decision (SlotError as in corrections.submit). active_seconds: the lead's time;
    it stands in the adjudication alone, so that no second of work is counted twice.
    """
    by = " ".join(by.split())
    require_lead(site, by)
    if decision not in DECISIONS:
        raise GenbaError(f"No decision {decision!r}.", choices=DECISIONS)
    own = _own_answer(site, case_id, by, verdict, slots, why) if decision == "edited" else None
    with site.connect() as db:
        row = db.one(f"SELECT * FROM {OPEN} WHERE case_id = ?", [case_id])
        if row is None or row["first_id"] != seen:
            raise GenbaError("This case has changed or was decided meanwhile: look at it again.")
        if decision in ("first", "both") and row["first_id"] is None:
            raise GenbaError("The first answer was taken back: choose the second one, or answer anew.")
        settle = _settle_conflict if row["kind"] == "conflict" else _settle_review
        made = {
            "adjudication_id": uuid.uuid4().hex, "pair_id": row["pair_id"], "kind": row["kind"],
            "first_id": row["first_id"], "second_id": case_id, "decision": decision,
            "result_id": settle(db, row, decision, own), "why": " ".join(why.split()), "decided_by": by,
            "active_seconds": float(active_seconds), "state": "decided", "decided_at": now(), "undone_by": None,
            "undone_at": None,
        }  # fmt: skip
        db.insert("adjudications", [made])
        detail = {name: made[name] for name in ("adjudication_id", "kind", "decision", "result_id")}
        db.event(by, "adjudication.decided", detail | {"pair": made["pair_id"]})
    return str(made["adjudication_id"])


def _own_answer(
    site: Site, case_id: str, by: str, verdict: str, slots: Mapping[str, Any] | None, why: str
) -> Entry:
    """The lead's answer, checked. Its time stands in the adjudication."""
    with site.connect() as db:
        pair = db.value(f"SELECT pair_id FROM {OPEN} WHERE case_id = ?", [case_id])
    if pair is None:
        raise GenbaError("This case has changed or was decided meanwhile: look at it again.")
    template = site.template()
    entry = prepare(
        template, site.settings.site.languages, pair_id=pair, annotator=by, verdict=verdict, slots=slots or {},
        active_seconds=0.0, source="app", simulated=False, reason=why,
    )  # fmt: skip
    keep_version(template, site.folder("templates"))
    return entry


def _settle_conflict(db: Database, row: Mapping[str, Any], decision: str, own: Entry | None) -> str:
    """The id of the correction that counts now."""
    first, second = row["first_id"], row["case_id"]
    if decision in ("first", "both"):
        retire(db, second, "superseded", in_label_studio=True)
        return str(first)
    if own is not None:
        retire(db, second, "superseded", in_label_studio=True)
        return _replace(db, first, own)
    if first:
        retire(db, first, "superseded", in_label_studio=True)
        reviews.void(db, first)
    reinstate(db, second, "active")
    db.execute(
        "UPDATE corrections SET supersedes = coalesce(supersedes, ?) WHERE correction_id = ?", [first, second]
    )
    return str(second)


def _settle_review(db: Database, row: Mapping[str, Any], decision: str, own: Entry | None) -> str:
    """The id of the correction that counts now. A review that wins becomes a correction of the person who gave it."""
    first, review_id = str(row["first_id"]), row["case_id"]
    db.execute("UPDATE reviews SET state = 'decided' WHERE review_id = ?", [review_id])
    if decision in ("first", "both"):
        return first
    return _replace(db, first, own or _of_review(db, review_id))


def _of_review(db: Database, review_id: str) -> Entry:
    """A second opinion as an answer. Its time is counted with the review."""
    review = db.one("SELECT * FROM reviews WHERE review_id = ?", [review_id]) or {}
    return Entry(
        correction_id=uuid.uuid4().hex, pair_id=review["pair_id"], annotator=review["reviewer"],
        verdict=review["verdict"], template=review["template"], template_version=review["template_version"],
        slots=review["slots"], captions=review["captions"], active_seconds=0.0, source="app",
        simulated=bool(review["simulated"]),
    )  # fmt: skip


def _replace(db: Database, first: str | None, answer: Entry) -> str:
    """Save an answer in place of the one that counts."""
    if first:
        reviews.void(db, first)
    saved = record(db, replace(answer, supersedes=first))
    if saved.state != "active":
        raise GenbaError("This case has changed meanwhile: look at it again.")
    return saved.correction_id


def undo(site: Site, adjudication_id: str, by: str) -> None:
    """Take a decision back: both answers stand as before, and the case waits again. Twice is once.

    Raises GenbaError for anybody who is no lead, and where a later answer counts already.
    """
    require_lead(site, by)
    with site.connect() as db:
        made = db.one("SELECT * FROM adjudications WHERE adjudication_id = ?", [adjudication_id])
        if made is None:
            raise GenbaError(f"No decision {adjudication_id!r}.")
        if made["state"] == "undone":
            return
        state = db.value("SELECT state FROM corrections WHERE correction_id = ?", [made["result_id"]])
        if state != "active":
            raise GenbaError("Another answer counts meanwhile: this decision cannot be taken back any more.")
        _restore(db, made)
        db.execute(
            "UPDATE adjudications SET state = 'undone', undone_by = ?, undone_at = ? WHERE adjudication_id = ?",
            [" ".join(by.split()), now(), adjudication_id],
        )
        db.event(by, "adjudication.undone", {"adjudication_id": adjudication_id, "pair": made["pair_id"]})


def _restore(db: Database, made: Mapping[str, Any]) -> None:
    first, second, result = made["first_id"], made["second_id"], made["result_id"]
    if result not in (first, second):  # made by the decision
        retire(db, result, "withdrawn", in_label_studio=True)
    if made["kind"] == "review":
        db.execute("UPDATE reviews SET state = 'differs' WHERE review_id = ?", [second])
    else:
        if result == second:
            db.execute("DELETE FROM labels WHERE correction_id = ?", [second])
            db.execute(
                "UPDATE corrections SET supersedes = NULL WHERE correction_id = ? AND supersedes = ?",
                [second, first],
            )
        reinstate(db, second, "conflict")
    if first and result != first:
        reinstate(db, first, "active")


def history(site: Site, limit: int = 20) -> list[dict[str, Any]]:
    """Decisions, newest first, the undone ones too: rows of table adjudications with `image_id`, `caption` of the pair.

    `can_undo`: the decision stands and what it made counts still.
    """
    with site.connect() as db:
        return db.rows(
            "SELECT a.*, p.image_id, p.caption, a.state = 'decided' AND c.state = 'active' AS can_undo "
            "FROM adjudications a JOIN pairs p ON p.pair_id = a.pair_id "
            "JOIN corrections c ON c.correction_id = a.result_id ORDER BY a.decided_at DESC, a.adjudication_id LIMIT ?",
            [limit],
        )
