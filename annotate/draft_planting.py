"""Drafts that are known to be wrong, mixed into the sample of a lot: who lets them through does not look.

    rows = planted(site, db, n=9, rng=rng)      # rows of table drafts, state "planted"

Each is a caption that a person has corrected, with the answer to one slot changed. Staff are told on the page, before
they begin, that there are some and how many in a hundred. They are judged like the others, count neither for nor
against the lot, are shown afterwards, and never become a caption.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import Any

from data.site import Site
from data.store import Database, now
from data.templates import SlotError, Template

PLANTED = "planted"


def planted(
    site: Site, db: Database, n: int, rng: random.Random, skip: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """At most n: fewer where people have corrected fewer captions. skip: pairs that must not be used."""
    template = site.template()
    rows = db.rows(
        "SELECT c.old_pair_id, c.slots FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id "
        "WHERE c.state = 'active' AND c.verdict = 'fix' AND c.source <> 'lot' AND (NOT c.simulated OR ?) "
        "AND c.template = ? AND NOT list_contains(?, c.old_pair_id) "
        "AND NOT EXISTS (SELECT 1 FROM corrections b JOIN pairs o ON o.pair_id = b.old_pair_id "
        "WHERE o.image_id = p.image_id AND b.state = 'active' AND b.verdict IN ('unusable', 'private')) "
        "ORDER BY c.old_pair_id",
        [site.settings.site.demo, template.id, list(skip)],
    )
    rng.shuffle(rows)
    languages = [str(one) for one in site.settings.site.languages]
    found: list[dict[str, Any]] = []
    for row in rows:
        if len(found) == n:
            break
        try:
            template.validate_slots(row["slots"])
        except SlotError:
            continue  # answers to an older version that the present one does not take
        spoiled = spoil(template, row["slots"], languages, rng)
        if spoiled is not None:
            found.append(_row(template, row["old_pair_id"], spoiled, languages))
    return found


def spoil(
    template: Template, slots: dict[str, Any], languages: Sequence[str], rng: random.Random
) -> dict[str, Any] | None:
    """The answers with that of one choice slot changed, so that every caption says something else; None: none can be.

    A change that would ask for further answers, or hide some, is not made: the draft must be wrong in one item alone.
    """
    choices = [slot for slot in template.slots if slot.type == "choice" and slots.get(slot.id) is not None]
    rng.shuffle(choices)
    before = {one: template.caption(slots, one) for one in languages}
    for slot in choices:
        options = [option.id for option in slot.options if option.id != slots[slot.id]]
        rng.shuffle(options)
        for option in options:
            try:
                changed = template.validate_slots({**slots, slot.id: option})
            except SlotError:
                continue
            same_items = changed.keys() == template.validate_slots(slots).keys()
            if same_items and all(template.caption(changed, one) != before[one] for one in languages):
                return changed
    return None


def _row(template: Template, pair_id: str, slots: dict[str, Any], languages: Sequence[str]) -> dict[str, Any]:
    return {
        "draft_id": uuid.uuid4().hex, "pair_id": pair_id, "drafter": PLANTED, "version": "1",
        "template": template.id, "template_version": template.version, "slots": slots, "confidence": {},
        "captions": {one: template.caption(slots, one) for one in languages}, "cosine": None, "old_cosine": None,
        "quality": 0.0, "planted": True, "lot_id": None, "state": PLANTED, "drafted_at": now(), "calibrated": False,
        "language": None, "is_right": False, "agreed": None,
    }  # fmt: skip
