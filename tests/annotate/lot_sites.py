"""Drafts in a pile of pairs (tests/annotate/piles.py), as a drafter would have left them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from data.site import Site
from data.store import now
from tests.annotate.piles import pair_name

NUT: dict[str, Any] = {"part": "nut", "count": 1, "material": "brass", "defect": "none", "background": "tray"}


def add_drafts(site: Site, numbers: Iterable[int], **given: Any) -> None:
    """Offered, measured drafts of high quality; `given` overrides columns."""
    template = site.template()
    slots = given.get("slots", NUT)
    captions = {one: template.caption(slots, one) for one in site.settings.site.languages}
    with site.connect() as db:
        db.insert("drafts", [
            {"draft_id": f"d{number:05d}", "pair_id": pair_name(number), "drafter": "zero-shot", "version": "1-abc",
             "template": template.id, "template_version": template.version, "slots": slots,
             "confidence": dict.fromkeys(slots, 0.99), "captions": captions, "cosine": 0.4, "old_cosine": 0.1,
             "quality": 0.97, "planted": False, "lot_id": None, "state": "offered", "drafted_at": now(),
             "calibrated": True, "language": "en", "is_right": None, "agreed": None, **given}
            for number in numbers
        ])  # fmt: skip
