"""Which corrections a second person answers too: drawn by the correction's id, so that nobody can steer the draw.

    place("4f0e…")                                   # in [0, 1), the same for ever
    chosen = reason_for(place(correction_id), shares) # "share", "new_staff", … or None: not drawn

A correction is drawn when its place lies below the share that applies to it. So a higher share adds corrections and
never takes one away, and those below the plain share are a random sample of all, whatever else is drawn on top.

The draw stands in the transaction that saves the correction, not in a later sweep: what is saved has its decision, a
kill in between loses none, and raising a share later does not bring up a pile of old answers. What it needs to know,
how many answers the person has and on which slots people agree poorly, is one count and one remembered list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from data.settings import ReviewSection
from data.store import Database

# Showing a photo with private content to one more person would be the harm that the verdict is there to stop.
DRAWN = ("fix", "ok", "not_sure", "unusable")
LOW_SLOTS = "review_low_slots"  # in the store's state: written by annotate/agreement.py


def place(correction_id: str) -> float:
    """A place in [0, 1): the first 52 bits of a hash of the id, whatever the id itself was made from."""
    digest = hashlib.sha256(f"second opinion\x00{correction_id}".encode()).hexdigest()
    return float(int(digest[:13], 16) / 16**13)


def reason_for(at: float, shares: Mapping[str, float]) -> str | None:
    """The first share that the place lies below. shares: reason -> share, the plain one first.

    >>> reason_for(0.05, {"share": 0.1, "new_staff": 0.5}), reason_for(0.3, {"share": 0.1, "new_staff": 0.5})
    ('share', 'new_staff')
    """
    return next((reason for reason, share in shares.items() if at < share), None)


def shares_of(
    section: ReviewSection,
    answers: int,
    slots: Mapping[str, Any],
    low_slots: list[str],
    extra: Mapping[str, Any],
) -> dict[str, float]:
    """The shares that apply to one correction, by reason.

    answers: how many corrections its author has saved before. slots: of the correction. extra: the pair's columns.
    """
    found = {"share": section.share}
    if answers < section.new_staff_corrections:
        found["new_staff"] = section.new_staff_share
    if any(slot in slots for slot in low_slots):
        found["low_agreement"] = section.low_agreement_share
    if any(_is_in(one, extra) for one in section.slices):
        found["slice"] = section.slice_share
    return found


def _is_in(written: str, extra: Mapping[str, Any]) -> bool:
    column, _, value = written.partition("=")
    have = extra.get(column.strip())
    text = str(have).lower() if isinstance(have, bool) else str(have)
    return have is not None and text == value.strip()


def draw(
    db: Database, section: ReviewSection, row: Mapping[str, Any], extra: Mapping[str, Any]
) -> str | None:
    """Draw one saved correction (a row of the table) or not, inside the caller's transaction; the reason, or None.

    What the simulated crew of a demo answered is never drawn: nobody would learn from it.
    """
    if row["simulated"] or row["verdict"] not in DRAWN or row["state"] != "active":
        return None
    answers = db.value(
        "SELECT count(*) FROM corrections WHERE annotator = ? AND correction_id <> ?",
        [row["annotator"], row["correction_id"]],
    )
    low_slots = db.get_state(LOW_SLOTS) or []
    shares = shares_of(section, int(answers), row["slots"], low_slots, extra)
    reason = reason_for(place(row["correction_id"]), shares)
    if reason:
        review = {
            "review_id": row["correction_id"], "pair_id": row["old_pair_id"], "correction_id": row["correction_id"],
            "reason": reason, "state": "open", "active_seconds": 0.0, "drawn_at": row["created_at"],
        }  # fmt: skip
        db.insert("reviews", [review])
    return reason
