"""Lots: drafts above the line that a lead approves together, after a person has checked a drawn sample (抜取検査).

    lot = open_lot(site, by="佐藤")                     # the sample is drawn, planted drafts are mixed in
    while (check := next_check(site, lot.lot_id)):     # photo and captions, in a drawn order
        judge(site, lot.lot_id, check.draft_id, is_right=True, by="鈴木", active_seconds=6.2)
    decide(site, lot.lot_id, accept=True, by="佐藤")    # each draft becomes a correction, source "lot"

    genba draft SITE lot-open | lots | lot-accept LOT | lot-reject LOT

Only drafts whose quality was measured, which answer all that is required, and whose pair still waits enter a lot. While
it is open their pairs leave the queue. Accepted: every draft but those judged wrong becomes a pair of origin
"lot_approved" through annotate/corrections.py, in the lead's name. Rejected: all pairs wait again, none enters, and
those drafts are in no later lot. The plan (annotate/draft_plan.py) is fixed when the lot is opened.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from annotate import corrections, draft_planting
from annotate.draft_plan import Plan, plan_for
from annotate.drafts import draft_of
from annotate.roles import require_lead
from data.errors import GenbaError
from data.site import Site
from data.store import Database, now
from data.templates import SlotError, Template, load_template

MOST = 1000  # drafts in a lot
CHUNK = 50  # corrections in one transaction
NAME_LENGTH = 150


@dataclass(frozen=True)
class Check:
    """A draft of the sample, as the person who judges it sees it. captions: by language of the site."""

    draft_id: str
    image_id: str
    image: str
    captions: dict[str, str]
    old_caption: str


@dataclass(frozen=True)
class Lot:
    """A lot and how far its check is. `to_check` counts planted drafts too; `wrong` does not."""

    lot_id: str
    state: str  # open, accepted, rejected, withdrawn
    plan: Plan
    to_check: int
    checked: int
    wrong: int
    planted: int
    planted_checked: int
    let_through: int
    drawn_by: str
    drawn_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    approved: int

    @property
    def is_checked(self) -> bool:
        return self.checked == self.to_check

    @property
    def must_reject(self) -> bool:
        """More wrong ones than the plan accepts: the rest need not be checked."""
        return self.wrong > self.plan.accept_number

    @property
    def can_accept(self) -> bool:
        return self.state == "open" and self.is_checked and not self.must_reject


CANDIDATES = """
SELECT d.rowid AS place, d.* FROM drafts d JOIN pairs p ON p.pair_id = d.pair_id
WHERE d.state = 'offered' AND d.calibrated AND NOT d.planted AND d.quality >= $line
  AND d.template = $template AND d.template_version = $version
  AND NOT EXISTS (SELECT 1 FROM audits a WHERE a.pair_id = d.pair_id)
  AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.pair_id = d.pair_id AND l.expires_at > $now)
  AND NOT EXISTS (SELECT 1 FROM corrections c JOIN pairs o ON o.pair_id = c.old_pair_id WHERE c.state = 'active'
      AND (c.old_pair_id = d.pair_id OR (o.image_id = p.image_id AND c.verdict IN ('unusable', 'private'))))
  AND NOT EXISTS (SELECT 1 FROM drafts r WHERE r.pair_id = d.pair_id
      AND (r.state = 'in_lot' OR (r.state = 'rejected' AND r.slots = d.slots)))
ORDER BY d.quality DESC, d.draft_id
"""


def candidates(site: Site, db: Database) -> list[dict[str, Any]]:
    """Drafts that may form a lot now, the likeliest first, one a pair and photo."""
    template = site.template()
    rows = db.rows(
        CANDIDATES,
        {
            "line": site.settings.drafts.line,
            "template": template.id,
            "version": template.version,
            "now": now(),
        },
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if is_complete(template, row["slots"]):
            found.setdefault(row["pair_id"], row)
    return list(found.values())


def is_complete(template: Template, slots: dict[str, Any]) -> bool:
    """Whether the draft answers all that the template requires."""
    try:
        template.validate_slots(slots)
    except SlotError:
        return False
    return True


def open_lot(site: Site, by: str, size: int = MOST, rng: random.Random | None = None) -> Lot:
    """Form a lot of the likeliest `size` drafts above the line and draw its sample.

    Raises GenbaError: somebody who is no lead, a lot that is open already, nothing above the line.
    """
    by = named(by)
    require_lead(site, by)
    settle(site)
    section, rng = site.settings.drafts, rng or random.SystemRandom()
    with site.connect() as db:
        if other := db.value("SELECT lot_id FROM lots WHERE state = 'open' LIMIT 1"):
            raise GenbaError(
                f"The lot {other} is open: it is decided first.", next=f"genba draft {site.root} lots"
            )
        drafts = candidates(site, db)[:size]
        if not drafts:
            raise GenbaError(
                f"No draft lies above the line ({section.line:.0%} likely to be right, measured on people's answers).",
                next=f"genba draft {site.root} make",
            )
        plan = plan_for(len(drafts), section.wrong_share, section.consumer_risk, section.accept_number)
        lot_id = uuid.uuid4().hex[:12]
        sample = rng.sample([row["draft_id"] for row in drafts], plan.sample)
        share = section.planted_share
        wanted = max(1, round(share * plan.sample)) if share else 0
        extra = draft_planting.planted(site, db, wanted, rng, [row["pair_id"] for row in drafts])
        db.insert("drafts", [{**row, "lot_id": lot_id} for row in extra])
        order = [*sample, *(row["draft_id"] for row in extra)]
        rng.shuffle(order)
        db.execute(
            "UPDATE drafts SET state = 'in_lot', lot_id = ? WHERE rowid IN (SELECT unnest(?::BIGINT[]))",
            [lot_id, [row["place"] for row in drafts]],
        )
        db.insert("lots", [{
            "lot_id": lot_id, "size": plan.size, "sample": plan.sample, "accept_number": plan.accept_number,
            "plan": plan.fields(), "state": "open", "drawn_by": by, "drawn_at": now(), "decided_by": None,
            "decided_at": None,
        }])  # fmt: skip
        db.insert("lot_checks", [
            {"lot_id": lot_id, "draft_id": draft_id, "is_right": None, "checked_by": None, "active_seconds": None,
             "checked_at": None, "place": place}
            for place, draft_id in enumerate(order)
        ])  # fmt: skip
        db.event(
            by, "lot.opened", {"lot": lot_id, "size": plan.size, "sample": plan.sample, "planted": len(extra)}
        )
        return _lot(db, lot_id)


def next_check(site: Site, lot_id: str) -> Check | None:
    """The next draft of the sample that nobody has judged, in the drawn order; None: all are judged."""
    with site.connect() as db:
        row = db.one(
            "SELECT k.draft_id, p.image_id, i.uri AS image, d.captions, p.caption AS old_caption FROM lot_checks k "
            "JOIN drafts d ON d.draft_id = k.draft_id JOIN pairs p ON p.pair_id = d.pair_id "
            "JOIN images i ON i.image_id = p.image_id "
            "WHERE k.lot_id = ? AND k.is_right IS NULL ORDER BY k.place LIMIT 1",
            [lot_id],
        )
    return Check(**row) if row else None


def judge(site: Site, lot_id: str, draft_id: str, is_right: bool, by: str, active_seconds: float) -> bool:
    """A person's verdict on one draft of the sample. False: somebody else has judged it meanwhile, that one counts."""
    by = named(by)
    with site.connect() as db:
        _require_open(db, lot_id, site)
        row = db.one(
            "SELECT rowid AS place, is_right FROM lot_checks WHERE lot_id = ? AND draft_id = ?",
            [lot_id, draft_id],
        )
        if row is None:
            raise GenbaError(f"The draft {draft_id!r} is not in the sample of lot {lot_id!r}.")
        if row["is_right"] is not None:
            return False
        db.execute(
            "UPDATE lot_checks SET is_right = ?, checked_by = ?, active_seconds = ?, checked_at = ? WHERE rowid = ?",
            [is_right, by, float(active_seconds), now(), row["place"]],
        )
    return True


def take_back(site: Site, lot_id: str, by: str) -> bool:
    """Undo this person's last verdict in an open lot; False: there is none."""
    with site.connect() as db:
        _require_open(db, lot_id, site)
        place = db.value(
            "SELECT rowid FROM lot_checks WHERE lot_id = ? AND checked_by = ? AND is_right IS NOT NULL "
            "ORDER BY checked_at DESC, place DESC LIMIT 1",
            [lot_id, named(by)],
        )
        if place is None:
            return False
        db.execute(
            "UPDATE lot_checks SET is_right = NULL, checked_by = NULL, active_seconds = NULL, checked_at = NULL "
            "WHERE rowid = ?",
            [place],
        )
    return True


def decide(site: Site, lot_id: str, accept: bool, by: str, despite_alarms: bool = False) -> Lot:
    """A lead's decision. Raises GenbaError where the plan does not allow it: not all checked, too many wrong; and where
    planted drafts were let through and nobody says that it is accepted despite of that."""
    by = named(by)
    require_lead(site, by)
    with site.connect() as db:
        _require_open(db, lot_id, site)
        lot = _lot(db, lot_id)
        if accept and lot.must_reject:
            raise GenbaError(
                f"{lot.wrong} of the sample are wrong, {lot.plan.accept_number} are accepted: the lot is rejected.",
                next=f"genba draft {site.root} lot-reject {lot_id}",
            )
        if accept and not lot.is_checked:
            raise GenbaError(f"{lot.to_check - lot.checked} drafts of the sample are not checked yet.")
        if accept and lot.let_through and not despite_alarms:
            raise GenbaError(
                f"{lot.let_through} of {lot.planted} planted wrong drafts were let through, so the check says little.",
                next=f"genba draft {site.root} lot-accept {lot_id} --despite-alarms, or lot-reject",
            )
        state = "accepted" if accept else "rejected"
        db.execute(
            "UPDATE lots SET state = ?, decided_by = ?, decided_at = ? WHERE lot_id = ?",
            [state, by, now(), lot_id],
        )
        detail = {
            "lot": lot_id,
            "wrong": lot.wrong,
            "let_through": lot.let_through,
            "despite": despite_alarms,
        }
        db.event(by, f"lot.{state}", detail)
        wrong = (
            ""
            if not accept
            else (" AND draft_id IN (SELECT draft_id FROM lot_checks WHERE lot_id = $lot AND NOT is_right)")
        )
        db.execute(
            f"UPDATE drafts SET state = 'rejected' WHERE lot_id = $lot AND state = 'in_lot'{wrong}",
            {"lot": lot_id},
        )
    settle(site)
    return lot_of(site, lot_id)


def withdraw(site: Site, lot_id: str, by: str) -> Lot:
    """Dissolve a lot that nobody has begun to check; afterwards it is decided, never drawn again."""
    require_lead(site, by)
    with site.connect() as db:
        _require_open(db, lot_id, site)
        if _lot(db, lot_id).checked:
            raise GenbaError("Its check has begun, so the lot is accepted or rejected, not drawn again.")
        db.execute(
            "UPDATE lots SET state = 'withdrawn', decided_by = ?, decided_at = ? WHERE lot_id = ?",
            [named(by), now(), lot_id],
        )
        db.execute(
            "UPDATE drafts SET state = 'offered', lot_id = NULL WHERE lot_id = ? AND state = 'in_lot'",
            [lot_id],
        )
        db.event(named(by), "lot.withdrawn", {"lot": lot_id})
        return _lot(db, lot_id)


def settle(site: Site) -> int:
    """Turn the drafts of accepted lots into corrections, a part at a time; how many were. Called again after a kill it
    goes on: each has an id of its own. A pair that a person has answered meanwhile keeps that answer."""
    done = 0
    while True:
        with site.connect() as db:
            rows = db.rows(
                "SELECT d.rowid AS place, d.*, l.decided_by FROM drafts d JOIN lots l ON l.lot_id = d.lot_id "
                "WHERE l.state = 'accepted' AND d.state = 'in_lot' ORDER BY d.draft_id LIMIT ?",
                [CHUNK],
            )
            if not rows:
                return done
            shares = {row["lot_id"]: _seconds_each(db, row["lot_id"]) for row in rows}
            for row in rows:
                is_new = _approve(site, db, row, shares[row["lot_id"]])
                state = "accepted" if is_new else "overtaken"
                db.execute("UPDATE drafts SET state = ? WHERE rowid = ?", [state, row["place"]])
                done += is_new


def _approve(site: Site, db: Database, row: dict[str, Any], seconds: float) -> bool:
    overtaken = db.value(
        "SELECT 1 FROM corrections c JOIN pairs o ON o.pair_id = c.old_pair_id "
        "JOIN pairs p ON p.pair_id = ? WHERE c.state = 'active' AND (c.old_pair_id = p.pair_id "
        "OR (o.image_id = p.image_id AND c.verdict IN ('unusable', 'private')))",
        [row["pair_id"]],
    )
    if overtaken:
        return False
    template = load_template(f"{row['template']}@{row['template_version']}", site.folder("templates"))
    draft = draft_of(row)
    told = draft.provenance(row["captions"], row["slots"], seconds, row["decided_by"])
    entry = corrections.prepare(
        template, site.settings.site.languages, pair_id=row["pair_id"], annotator=row["decided_by"], verdict="fix",
        slots=row["slots"], active_seconds=seconds, source="lot", simulated=False, token=row["lot_id"],
        draft={**told, "lot": row["lot_id"]},
    )  # fmt: skip
    return corrections.record(db, entry).state == "active"


def _seconds_each(db: Database, lot_id: str) -> float:
    """The time that the check took, shared by the drafts of the lot."""
    spent = db.value("SELECT sum(active_seconds) FROM lot_checks WHERE lot_id = ?", [lot_id]) or 0.0
    return float(spent) / int(db.value("SELECT size FROM lots WHERE lot_id = ?", [lot_id]))


def lot_of(site: Site, lot_id: str) -> Lot:
    """One lot. Raises GenbaError for one that is not there."""
    with site.connect() as db:
        return _lot(db, lot_id)


def lots(site: Site) -> list[Lot]:
    """All, the open one first, then the newest."""
    with site.connect() as db:
        ids = db.rows("SELECT lot_id FROM lots ORDER BY state <> 'open', drawn_at DESC, lot_id")
        return [_lot(db, row["lot_id"]) for row in ids]


def _lot(db: Database, lot_id: str) -> Lot:
    row = db.one("SELECT * FROM lots WHERE lot_id = ?", [lot_id])
    if row is None:
        known = [one["lot_id"] for one in db.rows("SELECT lot_id FROM lots ORDER BY drawn_at DESC LIMIT 20")]
        raise GenbaError(f"No lot {lot_id!r}.", choices=known, next="genba draft SITE lots")
    checks = db.rows(
        "SELECT k.is_right, d.planted FROM lot_checks k JOIN drafts d ON d.draft_id = k.draft_id WHERE k.lot_id = ?",
        [lot_id],
    )
    approved = db.value("SELECT count(*) FROM drafts WHERE lot_id = ? AND state = 'accepted'", [lot_id])
    names = ("size", "sample", "accept_number", "wrong_share", "consumer_risk")

    def count(keep: Callable[[dict[str, Any]], bool]) -> int:
        return sum(map(keep, checks))

    return Lot(
        lot_id=lot_id, state=row["state"], plan=Plan(**{name: row["plan"][name] for name in names}),
        to_check=len(checks), checked=count(lambda one: one["is_right"] is not None),
        wrong=count(lambda one: one["is_right"] is False and not one["planted"]),
        planted=count(lambda one: one["planted"]),
        planted_checked=count(lambda one: one["planted"] and one["is_right"] is not None),
        let_through=count(lambda one: one["planted"] and one["is_right"] is True),
        drawn_by=row["drawn_by"], drawn_at=row["drawn_at"], decided_by=row["decided_by"],
        decided_at=row["decided_at"], approved=int(approved),
    )  # fmt: skip


def _require_open(db: Database, lot_id: str, site: Site) -> None:
    lot = _lot(db, lot_id)
    if lot.state != "open":
        raise GenbaError(f"The lot {lot_id!r} is {lot.state}.", next=f"genba draft {site.root} lots")


def named(person: str) -> str:
    """The name, outer and repeated white space removed. Raises GenbaError for none."""
    name = " ".join(person.split())
    if not name or len(name) > NAME_LENGTH:
        raise GenbaError(f"A verdict needs a name of 1 to {NAME_LENGTH} characters.")
    return name
