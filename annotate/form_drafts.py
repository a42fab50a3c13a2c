"""Half-typed answers: kept in the store at every click, so that a reload or a crash loses none.

    save(site, pair_id, "佐藤", {"part": "bolt"}, active_seconds=12.5)
    load(site, pair_id, "佐藤")       # Draft(slots={"part": "bolt"}, active_seconds=12.5), or None

annotate/corrections.py removes a pair's drafts in the transaction that stores its correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.site import Site
from data.store import now


@dataclass(frozen=True)
class Draft:
    """What one person has answered for one pair so far, and how long they have worked on it."""

    slots: dict[str, Any]
    active_seconds: float


def save(site: Site, pair_id: str, annotator: str, slots: Mapping[str, Any], active_seconds: float) -> None:
    """Keep the answers, in place of those kept before. An item that was emptied is kept as empty (None)."""
    with site.connect() as db:
        db.insert(
            "form_drafts",
            [{"pair_id": pair_id, "annotator": annotator, "slots": dict(slots),
              "active_seconds": active_seconds, "updated_at": now()}],
            on_conflict="replace",
        )  # fmt: skip


def load(site: Site, pair_id: str, annotator: str) -> Draft | None:
    """What this person has kept for this pair, or None."""
    with site.connect() as db:
        row = db.one(
            "SELECT slots, active_seconds FROM form_drafts WHERE pair_id = ? AND annotator = ?",
            [pair_id, annotator],
        )
    return Draft(row["slots"], float(row["active_seconds"])) if row else None
