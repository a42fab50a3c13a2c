"""A person's last answers, and which of them this person may take back."""

from __future__ import annotations

from typing import Any

from data.site import Site
from data.store import Database

# What its author may take back: not what a lead's decision rests on, nor what came in with a lot.
OWN = """c.source <> 'lot' AND NOT EXISTS (
    SELECT 1 FROM adjudications a WHERE a.result_id = c.correction_id AND a.state = 'decided')"""


def recent(
    site: Site, annotator: str, limit: int = 10, within: Database | None = None
) -> list[dict[str, Any]]:
    """A person's standing answers that can be taken back, newest first; second opinions among them, as nobody is told
    which they are.

    Each: correction_id, old_pair_id, caption (the old one), verdict, state (active or conflict), created_at, captions
    (the new ones, in the order of the site's languages; [] for verdicts other than fix), active_seconds by our own
    clock, lead_time in seconds by Label Studio's (None: not known). within: an open transaction.
    """
    languages = site.settings.site.languages
    with site.connect(within) as db:
        rows = db.rows(
            "SELECT c.correction_id, c.old_pair_id, p.caption, c.verdict, c.state, c.created_at, c.new_pair_ids, "
            "NULL::JSON AS said, c.active_seconds, c.lead_time FROM corrections c "
            "JOIN pairs p ON p.pair_id = c.old_pair_id "
            f"WHERE c.annotator = $me AND c.state IN ('active', 'conflict') AND {OWN} "
            "UNION ALL SELECT r.answer_id, r.pair_id, p.caption, r.verdict, 'active', r.answered_at, '[]'::JSON, "
            "r.captions, r.active_seconds, NULL FROM reviews r JOIN pairs p ON p.pair_id = r.pair_id "
            "WHERE r.reviewer = $me AND r.state IN ('agreed', 'differs') "
            "ORDER BY created_at DESC, correction_id LIMIT $limit",
            {"me": " ".join(annotator.split()), "limit": limit},
        )
        wanted = sorted({one for row in rows for one in row["new_pair_ids"]})
        found = db.rows("SELECT pair_id, caption FROM pairs WHERE list_contains(?, pair_id)", [wanted])
    captions = {row["pair_id"]: row["caption"] for row in found}

    def said(row: dict[str, Any]) -> list[str]:
        new_pair_ids, by_language = row.pop("new_pair_ids"), row.pop("said")
        if row["verdict"] != "fix":
            return []
        if by_language is not None:
            return [by_language[one] for one in languages if one in by_language]
        return [captions[one] for one in new_pair_ids]

    return [row | {"captions": said(row)} for row in rows]
