"""What was found of personal data and unwanted terms, and what a lead decides on it. Rows in, frozen records out.

    found = findings(site)                       # [Finding, …], those that still stand in the data
    open_findings(found)                         # {"name": 3, "face": 12}: what waits for a decision
    send(site, one.finding_id, "佐藤")            # a caption: its pairs go to the head of the queue
    exclude(site, one.finding_id, "佐藤")         # a photo: the verdict "private" takes it out of training and export
    dismiss(site, [one.finding_id], "佐藤")       # not personal
    undo(site, decision_id, "佐藤")

A caption counts while it is in force: once a person has replaced it, or called its photo private or unusable, its
findings are no longer listed. The photos themselves are never touched.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from annotate import corrections
from annotate.roles import require_lead
from dashboards.export_rows import BARRED
from dashboards.personal_scan import CAPTION, PHOTO
from data.errors import GenbaError
from data.site import Site
from data.store import Database, now

DISMISSED, SENT, EXCLUDED = "dismissed", "sent", "excluded"
DECIDED_SHOWN = 100

# One row a finding: how many pairs or photos it stands in, one of them to look at, the pair that a form opens, and the
# decision that stands. waits: pairs of it that the queue can hold.
FINDINGS_SQL = f"""
WITH barred AS ({BARRED}),
replaced AS (
    SELECT old_pair_id AS pair_id FROM corrections WHERE state = 'active' AND verdict = 'fix'
        AND NOT list_contains(CAST(new_pair_ids AS VARCHAR[]), old_pair_id)),
made AS (
    SELECT unnest(CAST(new_pair_ids AS VARCHAR[])) AS pair_id, old_pair_id FROM corrections
    WHERE state = 'active' AND verdict = 'fix'),
judged AS (SELECT old_pair_id AS pair_id FROM corrections WHERE state = 'active'),
standing AS (
    SELECT * FROM privacy_decisions WHERE undone_at IS NULL
    QUALIFY row_number() OVER (PARTITION BY finding_id ORDER BY decided_at DESC, decision_id) = 1),
places AS (
    SELECT f.finding_id, p.pair_id, p.image_id, p.caption, p.language,
           p.origin IN ('legacy', 'draft') AND p.pair_id NOT IN (SELECT pair_id FROM judged) AS waits,
           coalesce(m.old_pair_id, p.pair_id) AS form_pair_id
    FROM privacy_findings f JOIN pairs p ON p.caption_id = f.item LEFT JOIN made m ON m.pair_id = p.pair_id
    WHERE f.kind = 'caption' AND p.state = 'captioned' AND p.pair_id NOT IN (SELECT pair_id FROM replaced)
    UNION ALL
    SELECT f.finding_id, NULL, f.item, NULL, NULL, false, NULL FROM privacy_findings f WHERE f.kind = 'photo'),
here AS (
    SELECT finding_id, count(*) AS places, count(*) FILTER (waits) AS waits, min(image_id) AS image_id,
           arg_min(caption, image_id) AS caption, arg_min(language, image_id) AS language,
           coalesce(min(form_pair_id) FILTER (waits), min(form_pair_id)) AS form_pair_id
    FROM places WHERE image_id NOT IN (SELECT image_id FROM barred) GROUP BY finding_id)
SELECT f.finding_id, f.kind, f.what, f.text, f.detail, f.found_at, h.places, h.waits, h.image_id, i.uri AS image,
       h.caption, h.language, h.form_pair_id, d.decision_id, d.decision, d.decided_by, d.decided_at
FROM privacy_findings f JOIN here h USING (finding_id) JOIN images i ON i.image_id = h.image_id
LEFT JOIN standing d USING (finding_id)
ORDER BY f.kind, list_position(['term', 'name', 'phone', 'email', 'plate', 'face', 'gps'], f.what), h.places DESC,
         f.text, f.finding_id
"""
DECIDED_SQL = """
SELECT d.decision_id, d.decision, d.decided_by, d.decided_at, f.kind, f.what, f.text, i.uri AS image
FROM privacy_decisions d JOIN privacy_findings f USING (finding_id)
LEFT JOIN images i ON f.kind = 'photo' AND i.image_id = f.item
WHERE d.undone_at IS NULL ORDER BY d.decided_at DESC, d.decision_id LIMIT ?
"""
STAMP_SQL = """
SELECT (SELECT max(scanned_at) FROM privacy_scans) AS scanned,
       (SELECT count(*) FROM privacy_decisions) AS decisions,
       (SELECT count(*) FROM privacy_decisions WHERE undone_at IS NOT NULL) AS undone
"""
WAITING_SQL = """
SELECT p.pair_id FROM privacy_findings f JOIN pairs p ON p.caption_id = f.item
WHERE f.finding_id = ? AND f.kind = 'caption' AND p.state = 'captioned' AND p.origin IN ('legacy', 'draft')
  AND p.pair_id NOT IN (SELECT old_pair_id FROM corrections WHERE state = 'active')
"""


@dataclass(frozen=True)
class Finding:
    """kind: caption or photo. what: term, name, phone, email, plate, face or gps. places: pairs with the caption, or 1.
    waits: pairs of them that nobody has judged. decision: None, dismissed or sent."""

    finding_id: str
    kind: str
    what: str
    text: str
    detail: dict[str, Any]
    found_at: datetime
    places: int
    waits: int
    image_id: str
    image: str
    caption: str | None
    language: str | None
    form_pair_id: str | None
    decision_id: str | None
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None


def findings(site: Site) -> list[Finding]:
    """Those that still stand in the data, decided ones too."""
    with site.connect() as db:
        return [Finding(**row) for row in db.rows(FINDINGS_SQL)]


def stamp(site: Site) -> str:
    """Changes with every scan and every decision: what a page has kept is old when this has changed."""
    with site.connect() as db:
        return str(db.rows(STAMP_SQL)[0])


def open_findings(found: Sequence[Finding]) -> dict[str, int]:
    """By what was found: how many wait for a decision, or, when sent to the queue, for their correction."""
    return dict(Counter(one.what for one in found if one.decision in (None, SENT)))


def decided(site: Site) -> list[dict[str, Any]]:
    """The decisions that stand, the newest first."""
    with site.connect() as db:
        return db.rows(DECIDED_SQL, [DECIDED_SHOWN])


def dismiss(site: Site, finding_ids: Sequence[str], by: str) -> int:
    """ "Not personal", or "may stay": the findings stay in the store with who said so. How many were dismissed."""
    by = _named(site, by)
    with site.connect() as db:
        rows = [_finding(db, one) for one in finding_ids]
        for row in rows:
            _decide(db, row, DISMISSED, by)
    return len(rows)


def send(site: Site, finding_id: str, by: str) -> int:
    """Put the pairs of a caption at the head of the queue with the reason; how many. Raises GenbaError where each of
    them has been judged: such a caption is changed in its form, and a lead decides between the two answers."""
    by = _named(site, by)
    with site.connect() as db:
        row = _finding(db, finding_id, CAPTION)
        pairs = [one["pair_id"] for one in db.rows(WAITING_SQL, [finding_id])]
        if not pairs:
            raise GenbaError(
                "Every photo with this caption has been judged, so it does not wait in the queue.",
                next="open the caption in the form",
            )
        db.insert(
            "queue_first",
            [{"pair_id": one, "reason": row["what"], "sent_by": by, "sent_at": now()} for one in pairs],
            on_conflict="replace",
        )
        _decide(db, row, SENT, by)
    return len(pairs)


def exclude(site: Site, finding_id: str, by: str) -> str:
    """The verdict "private" on the photo: no training, no export, no queue; the id of that answer.

    It is given on a pair that nobody has judged where there is one, so that no other answer is contradicted; where
    there is none it stands as a conflict, which bars the photo from training and export as well.
    """
    by = _named(site, by)
    with site.connect() as db:
        row = _finding(db, finding_id, PHOTO)
        pair = db.value(
            "SELECT pair_id FROM pairs WHERE image_id = ? ORDER BY pair_id IN "
            "(SELECT old_pair_id FROM corrections WHERE state = 'active'), origin IN ('correction', 'lot_approved'), "
            "pair_id LIMIT 1",
            [row["item"]],
        )
    answer = corrections.submit(
        site, pair_id=pair, annotator=by, verdict="private", slots={}, active_seconds=0.0,
        reason=f"privacy: {row['what']}",
    )  # fmt: skip
    with site.connect() as db:
        _decide(db, row, EXCLUDED, by, answer.correction_id)
    return answer.correction_id


def undo(site: Site, decision_id: str, by: str) -> None:
    """Take a decision back. An excluded photo comes back only through whoever excluded it, as any answer does."""
    by = _named(site, by)
    with site.connect() as db:
        row = db.one("SELECT * FROM privacy_decisions WHERE decision_id = ?", [decision_id])
    if row is None:
        raise GenbaError(f"No decision {decision_id!r}.")
    if row["correction_id"]:
        corrections.undo(site, row["correction_id"], by)
    with site.connect() as db:
        if row["decision"] == SENT:
            db.execute(
                "DELETE FROM queue_first WHERE pair_id IN (SELECT p.pair_id FROM privacy_findings f "
                "JOIN pairs p ON p.caption_id = f.item WHERE f.finding_id = ?)",
                [row["finding_id"]],
            )
        db.execute(
            "UPDATE privacy_decisions SET undone_by = ?, undone_at = ? WHERE decision_id = ? AND undone_at IS NULL",
            [by, now(), decision_id],
        )
        db.event(by, "privacy.undone", {"decision": decision_id})


def _named(site: Site, by: str) -> str:
    name = " ".join(by.split())
    if not name:
        raise GenbaError("A decision stands with a name: enter yours first.")
    require_lead(site, name)
    return name


def _finding(db: Database, finding_id: str, kind: str | None = None) -> dict[str, Any]:
    row = db.one("SELECT * FROM privacy_findings WHERE finding_id = ?", [finding_id])
    if row is None or kind not in (None, row["kind"]):
        raise GenbaError(f"No finding {finding_id!r}{f' in a {kind}' if kind else ''}.")
    return row


def _decide(
    db: Database, finding: dict[str, Any], decision: str, by: str, correction_id: str | None = None
) -> None:
    db.insert(
        "privacy_decisions",
        [{"decision_id": uuid.uuid4().hex, "finding_id": finding["finding_id"], "decision": decision,
          "correction_id": correction_id, "decided_by": by, "decided_at": now()}],
    )  # fmt: skip
    db.event(by, f"privacy.{decision}", {"finding": finding["finding_id"], "what": finding["what"]})
