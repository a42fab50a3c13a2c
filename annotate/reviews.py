"""Second opinions: who gets one to give, what was answered, and whether it says the same as the first answer.

States of a review (table reviews; one for each correction that was drawn, annotate/review_draw.py):

    open      waits for a second person
    claimed   a second person has it in the form; when the lease runs out, another may take it
    agreed    both say the same
    differs   they do not: a lead decides (annotate/adjudication.py)
    decided   a lead has decided
    void      the first answer was taken back before anybody decided

The second person answers in the same form as always (annotate/queue.py hands it out between other pairs), sees photo
and old caption, and is told neither the first answer nor whose it was. The answer is no correction: it stands in the
table reviews alone and reaches Label Studio only when a lead decides for it. Its time is labour like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.records import normalise_caption
from data.store import Database

if TYPE_CHECKING:
    from annotate.corrections import Entry

UNDECIDED = ("open", "claimed", "agreed", "differs")
ANSWERED = ("agreed", "differs", "decided")
TOLERANCE = 0.1  # two measured numbers closer than this, relative to the larger, are the same

# What this person may give a second opinion on: not on an answer of their own, nor where they have ever answered.
FREE = """
    FROM reviews r JOIN corrections c ON c.correction_id = r.correction_id
    WHERE (r.state = 'open' OR (r.state = 'claimed' AND NOT EXISTS (
             SELECT 1 FROM leases l WHERE l.pair_id = r.pair_id AND l.annotator = r.reviewer)))
      AND c.state = 'active'
      AND NOT EXISTS (SELECT 1 FROM corrections m WHERE m.old_pair_id = r.pair_id AND m.annotator = $person)
      AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.pair_id = r.pair_id AND l.annotator <> $person)
"""


def differing(
    first: Mapping[str, Any], second: Mapping[str, Any], known: Collection[str] | None = None
) -> list[str]:
    """What two answers disagree on: "verdict", else slot ids. Each: verdict, slots. known: compare only these slots.

    Whole numbers must be equal, measured ones within a tenth; lists as sets; texts but for case and white space.

    >>> differing({"verdict": "fix", "slots": {"part": "bolt", "width": 2.0}},
    ...           {"verdict": "fix", "slots": {"part": "nut", "width": 2.1}})
    ['part']
    """
    if first["verdict"] != second["verdict"]:
        return ["verdict"]
    if first["verdict"] != "fix":
        return []
    one, other = first["slots"] or {}, second["slots"] or {}
    slots = [slot for slot in dict.fromkeys((*one, *other)) if known is None or slot in known]
    return [slot for slot in slots if not is_same(one.get(slot), other.get(slot))]


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of one slot say the same."""
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    if numbers and (isinstance(one, float) or isinstance(other, float)):
        return bool(abs(one - other) <= TOLERANCE * max(abs(one), abs(other)))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return set(one) == set(other)
    if isinstance(one, str) and isinstance(other, str):
        return normalise_caption(one).casefold() == normalise_caption(other).casefold()
    return bool(one == other)


def take(db: Database, person: str, skip: Collection[str] = ()) -> str | None:
    """Claim the oldest review that this person may answer; its pair, or None. The caller leases the pair."""
    rows = db.rows(
        f"SELECT r.review_id, r.pair_id {FREE} ORDER BY r.drawn_at, r.review_id", {"person": person}
    )
    row = next((row for row in rows if row["pair_id"] not in skip), None)
    if row is None:
        return None
    db.execute(
        "UPDATE reviews SET state = 'claimed', reviewer = ? WHERE review_id = ?", [person, row["review_id"]]
    )
    return str(row["pair_id"])


def waiting(db: Database, person: str) -> int:
    """How many second opinions this person could give now."""
    return int(db.value(f"SELECT count(*) {FREE}", {"person": person}))


def answers_given(db: Database, person: str) -> int:
    """Second opinions that this person has given."""
    return int(
        db.value(
            "SELECT count(*) FROM reviews WHERE reviewer = ? AND list_contains(?, state)",
            [person, list(ANSWERED)],
        )
    )


def claimed(db: Database, pair_id: str, person: str) -> dict[str, Any] | None:
    """The review that this person has in hand on a pair, as a row with its first answer's verdict, slots, versions."""
    return db.one(
        "SELECT r.*, c.verdict AS first_verdict, c.slots AS first_slots, c.template AS first_template, "
        "c.template_version AS first_version FROM reviews r JOIN corrections c ON c.correction_id = r.correction_id "
        "WHERE r.pair_id = ? AND r.reviewer = ? AND r.state = 'claimed' AND c.state = 'active'",
        [pair_id, person],
    )


def answer(db: Database, review: Mapping[str, Any], entry: Entry) -> str:
    """Keep a second opinion on a review that `claimed` gave; its state afterwards, "agreed" or "differs"."""
    first = {"verdict": review["first_verdict"], "slots": review["first_slots"]}
    second = {"verdict": entry.verdict, "slots": entry.slots}
    same_form = (review["first_template"], review["first_version"]) == (
        entry.template,
        entry.template_version,
    )
    on = differing(first, second, None if same_form else set(first["slots"]) & set(entry.slots))
    row = db.one("SELECT * FROM reviews WHERE review_id = ?", [review["review_id"]]) or {}
    row |= {
        "state": "differs" if on else "agreed", "differing": on, "simulated": entry.simulated,
        "answer_id": entry.correction_id, "verdict": entry.verdict, "slots": entry.slots, "captions": entry.captions,
        "template": entry.template, "template_version": entry.template_version,
        "active_seconds": row["active_seconds"] + entry.active_seconds, "answered_at": entry.created_at,
    }  # fmt: skip
    db.insert("reviews", [row], on_conflict="replace")
    db.event(entry.annotator, "review.answered", {"review": row["review_id"], "pair": entry.pair_id})
    return str(row["state"])


def answered(db: Database, answer_id: str) -> dict[str, Any] | None:
    """The review that was answered under this id: a form sent twice finds what it has sent."""
    return db.one("SELECT * FROM reviews WHERE answer_id = ?", [answer_id])


def take_back(db: Database, review: Mapping[str, Any], person: str) -> None:
    """The reviewer undoes an answer: the review is in hand again, its time stays. Raises GenbaError once decided."""
    if review["reviewer"] != person:
        raise GenbaError(f"This answer is {review['reviewer']}'s; only {review['reviewer']} can undo it.")
    if review["state"] not in ("agreed", "differs"):
        raise GenbaError(
            "A lead has decided on this caption meanwhile: the answer cannot be undone any more."
        )
    db.execute(
        "UPDATE reviews SET state = 'claimed', answer_id = NULL, verdict = NULL, slots = NULL, captions = NULL, "
        "differing = NULL, answered_at = NULL WHERE review_id = ?",
        [review["review_id"]],
    )


def follow(db: Database, superseded: str | None, row: Mapping[str, Any]) -> bool:
    """A correction replaces an earlier one: its review goes with it. True: there is one, so nothing has to be drawn.

    So saving again neither escapes a second opinion nor calls one, and what was answered already is compared anew.
    """
    review = db.one(
        "SELECT * FROM reviews WHERE correction_id = ? AND list_contains(?, state)",
        [superseded, list(UNDECIDED)],
    )
    if review is None:
        return False
    review["correction_id"] = row["correction_id"]
    if row["state"] != "active" or review["reviewer"] == row["annotator"]:
        review["state"] = "void"
    elif review["state"] in ("agreed", "differs"):
        review["differing"] = differing(row, review)
        review["state"] = "differs" if review["differing"] else "agreed"
    db.insert("reviews", [review], on_conflict="replace")
    return True


def void(db: Database, correction_id: str) -> None:
    """The first answer is taken back: what nobody has decided yet needs no second opinion any more."""
    db.execute(
        "UPDATE reviews SET state = 'void' WHERE correction_id = ? AND list_contains(?, state)",
        [correction_id, list(UNDECIDED)],
    )
