"""Drafts of captions: made by drafters, scored like any caption, offered only where they beat the old one.

    made = make(site)                          # Made: how many are offered, by drafter, and how often they are right
    best_draft(site, pair_id)                  # Draft to begin the form with, or None

    genba draft SITE make        genba draft SITE status

Nothing here makes a caption: drafts stand in a table of their own until a person saves the form that began with one, or
a lead approves their lot (annotate/lots.py). States of a draft:

    offered    it beats the old caption, or there is none; forms and Label Studio begin with it, and it may enter a lot
    weaker     the old caption fits the photo at least as well          same    it says what the old caption says
    unread     the encoder does not read the old caption's language: nothing can be compared, so nothing is offered
    known      a person had answered before, without seeing it; kept to measure the drafter, never offered
    in_lot     waits for the decision on its lot        accepted, rejected    that decision
    planted    known to be wrong, mixed into a lot's sample (annotate/draft_planting.py); never offered or saved

A missing caption is drafted first. Pairs under the blind audit have no draft in their form: it would lead the answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from annotate import queue
from annotate.draft_calibration import (
    Calibration,
    Curve,
    agreed,
    fit_slots,
    fit_whole,
    is_right,
    joint,
    whole_features,
)
from annotate.draft_record import Draft
from annotate.draft_view import Case, Proposal, View, old_values, plain, stated
from annotate.drafters import DRAFTERS, require_drafters
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.records import normalise_caption
from data.site import Site
from data.store import Database, now
from data.templates import SlotError, Template, keep_version
from scoring.encoders import load_for_site

if TYPE_CHECKING:
    from scoring.encoders import Encoder

MOST_KNOWN = 2000  # answered pairs that a drafter is compared with, the newest
UNDECIDED = ("offered", "weaker", "same", "unread", "known")
STATE = "drafts_made"
ANSWERED = "EXISTS (SELECT 1 FROM corrections c WHERE c.old_pair_id = d.pair_id AND c.state = 'active')"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrafterMade:
    """What one drafter gave. slots: slot -> [right, compared] against answers of people who had not seen it."""

    version: str
    drafted: int
    offered: int
    calibrated: bool
    right: int
    compared: int
    slots: dict[str, list[int]]


@dataclass(frozen=True)
class Made:
    """One run: pairs that were asked, those of them without a caption, and each drafter by name."""

    pairs: int
    missing: int
    answers: int = 0  # of people who had not seen a draft, to measure with
    simulated: int = 0  # of these, of the demo's crew
    drafters: dict[str, DrafterMade] = field(default_factory=dict)


def make(
    site: Site,
    drafters: Sequence[str] | None = None,
    top: int | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    encoder: Encoder | None = None,
) -> Made:
    """Draft the top of the queue, and what people have answered, to measure with. Drafts made before go.

    options: model, device, prompt and batch of the drafter `model`. encoder: the one that ranks the queue, where the
    process has it. Raises GenbaError: an unknown drafter, nothing scored yet, no model.
    """
    names = require_drafters(drafters or site.settings.drafts.drafters)
    template = site.template()
    keep_version(template, site.folder("templates"))
    waiting = [_case(row) for row in queue.top(site, top or site.settings.drafts.top)]
    known = _known(site, template)
    encoder = encoder or load_for_site(site, site.queue_encoder())
    cases = [*waiting, *(case for case in known if case.pair_id not in {one.pair_id for one in waiting})]
    view = View.of(site, template, encoder, cases, {**(options or {}), "progress": progress})
    made = {}
    for turn, name in enumerate(names):
        progress(turn, len(names), "drafts")
        made[name] = _draft(view, name)
    missing = sum(case.state == "missing" and case.truth is None for case in view.cases)
    simulated = sum(case.is_simulated for case in view.cases)
    found = Made(sum(case.truth is None for case in view.cases), missing, len(known), simulated, made)
    with site.connect() as db:
        db.set_state(STATE, {"at": now().isoformat(), **json.loads(json.dumps(found, default=vars))})
    progress(len(names), len(names), "drafts")
    return found


def best_draft(site: Site, pair_id: str, within: Database | None = None) -> Draft | None:
    """The draft to begin a pair's form with: of those offered the likeliest. None: nothing is offered for this pair.

    within: an open transaction. A measured quality counts before one that is not measured.
    """
    return best_drafts(site, [pair_id], within).get(pair_id)


def best_drafts(site: Site, pair_ids: Sequence[str], within: Database | None = None) -> dict[str, Draft]:
    """The same for several pairs; those without a draft are left out."""
    template = site.template()
    with site.connect(within) as db:
        rows = db.rows(
            "SELECT * FROM drafts d WHERE list_contains(?, pair_id) AND state = 'offered' AND NOT planted "
            "AND template = ? AND template_version = ? "
            "AND NOT EXISTS (SELECT 1 FROM audits a WHERE a.pair_id = d.pair_id) "
            f"AND NOT {ANSWERED} "
            "ORDER BY calibrated, quality, drafted_at, draft_id",
            [list(pair_ids), template.id, template.version],
        )
    return {row["pair_id"]: draft_of(row) for row in rows}  # the last one of a pair counts


def draft_of(row: Mapping[str, Any]) -> Draft:
    """A row of table drafts."""
    return Draft(**{name: row[name] for name in Draft.__dataclass_fields__})


def status(site: Site) -> dict[str, Any]:
    """Drafts by state ("answered": of pairs that a person has answered since), and what the last run said, or None."""
    with site.connect() as db:
        counts = db.rows(
            f"SELECT CASE WHEN state IN ('offered', 'weaker', 'same', 'unread') AND {ANSWERED} THEN 'answered' "
            "ELSE state END AS state, count(*) AS n FROM drafts d GROUP BY ALL ORDER BY state"
        )
        last = db.get_state(STATE)
    return {"states": {row["state"]: row["n"] for row in counts}, "last": last}


def _case(row: Mapping[str, Any]) -> Case:
    return Case(row["pair_id"], row["image_id"], row["caption"] or "", row["language"], row["state"])


def _known(site: Site, template: Template) -> list[Case]:
    """Pairs that a person has answered without a draft before them, with what they said."""
    with site.connect() as db:
        rows = db.rows(
            "SELECT p.pair_id, p.image_id, p.caption, p.language, p.state, c.verdict, c.slots, c.simulated "
            "FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id "
            "WHERE c.state = 'active' AND c.verdict IN ('fix', 'ok') AND c.source <> 'lot' AND c.draft IS NULL "
            "ORDER BY c.created_at DESC, c.correction_id LIMIT ?",
            [MOST_KNOWN],
        )
    found = []
    for row in rows:
        if truth := stated(template, row):
            is_whole = row["verdict"] == "fix" or not template.missing(row["caption"], row["language"])
            found.append(replace(_case(row), truth=truth, is_whole=is_whole, is_simulated=row["simulated"]))
    return found


def _draft(view: View, name: str) -> DrafterMade:
    """Ask one drafter, calibrate, compare with the old captions, keep."""
    drafted = DRAFTERS[name](view)
    answered = [at for at, case in enumerate(view.cases) if case.truth is not None]
    calibration = fit_slots(
        view.template,
        [view.cases[at] for at in answered],
        [drafted.proposals[at] for at in answered],
    )
    written = [
        _Written.of(view, case, one, calibration)
        for case, one in zip(view.cases, drafted.proposals, strict=True)
    ]
    pairs = [(one, one.row(view, name, drafted.version)) for one in written if one.captions]
    _align(view, pairs)
    judged = [row for one, row in pairs if row["state"] == "offered" and one.right is not None]
    whole = fit_whole([row["quality"] for row in judged], [row["is_right"] for row in judged])
    kept = [
        _rated(one, row, whole) for one, row in pairs if one.case.truth is None or row["state"] == "offered"
    ]
    with view.site.connect() as db:
        _replace(db, name, kept)
        db.event("genba", "drafts.made", {"drafter": name, "version": drafted.version, "drafts": len(kept)})
    slots: dict[str, list[int]] = {}
    for one in written:
        for slot, is_same in one.agreed.items():
            count = slots.setdefault(slot, [0, 0])
            count[0] += is_same
            count[1] += 1
    states = Counter(row["state"] for row in kept)
    return DrafterMade(
        drafted.version, len(kept) - states["known"], states["offered"], whole is not None,
        sum(row["is_right"] for row in judged), len(judged), slots,
    )  # fmt: skip


def _rated(one: _Written, row: dict[str, Any], whole: Curve | None) -> dict[str, Any]:
    """The row with the chance that all of it is right, learned from drafts that would have been offered."""
    if whole is not None:
        row["quality"] = float(whole.at(whole_features(row["quality"])[None])[0])
    row["calibrated"] = whole is not None and one.is_measured
    row["state"] = row["state"] if one.case.truth is None else "known"
    return row


@dataclass(frozen=True)
class _Written:
    """A proposal in words. right, agreed: against the person's answer, where there is one."""

    case: Case
    slots: dict[str, Any]
    confidence: dict[str, float]
    captions: dict[str, str]
    is_measured: bool
    right: bool | None
    agreed: dict[str, bool]

    @classmethod
    def of(cls, view: View, case: Case, proposal: Proposal, calibration: Calibration) -> _Written:
        confidence = calibration.of(case, proposal)
        slots = accepted(view.template, proposal.slots)
        languages = [str(one) for one in view.site.settings.site.languages]
        captions = {one: view.template.caption(slots, one) for one in languages} if slots else {}
        return cls(
            case, slots, {slot: confidence[slot] for slot in slots},
            captions if all(captions.values()) else {}, calibration.covers(proposal),
            is_right(view.template, case, slots), agreed(case, slots),
        )  # fmt: skip

    def row(self, view: View, drafter: str, version: str) -> dict[str, Any]:
        """Of table drafts; state and cosines come with the comparison."""
        template = view.template
        named = json.dumps([self.case.pair_id, drafter, version, template.id, template.version, self.slots],
                           sort_keys=True)  # fmt: skip
        return {
            "draft_id": hashlib.sha256(named.encode()).hexdigest()[:32], "pair_id": self.case.pair_id,
            "drafter": drafter, "version": version, "template": template.id, "template_version": template.version,
            "slots": self.slots, "confidence": self.confidence, "captions": self.captions, "cosine": None,
            "old_cosine": None, "quality": joint(self.confidence), "planted": False, "lot_id": None,
            "state": "offered", "drafted_at": now(), "calibrated": False, "language": None, "is_right": self.right,
            "agreed": self.agreed or None,
        }  # fmt: skip


def accepted(template: Template, slots: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the template does not accept: a number out of range, a slot that the others hide."""
    try:
        return template.validate_slots(slots, partial=True)
    except SlotError as error:
        wrong = {problem.slot for problem in error.problems}
        return template.validate_slots({k: v for k, v in slots.items() if k not in wrong}, partial=True)


def _align(view: View, pairs: list[tuple[_Written, dict[str, Any]]]) -> None:
    """How draft and old caption fit the photo, in the old caption's language, and what follows from it."""
    place = {case.pair_id: at for at, case in enumerate(view.cases)}
    old = _old_cosines(view, [one.case for one, _ in pairs])
    asked = [(row, language) for one, row in pairs if (language := _language(view, one.case))]
    vectors = view.encoder.encode_texts([normalise_caption(row["captions"][one]) for row, one in asked])
    photos = view.vectors(view.place[[place[row["pair_id"]] for row, _ in asked]])
    for (row, language), vector, photo in zip(asked, vectors, photos, strict=True):
        row |= {"cosine": float(vector @ photo), "language": language}
    for one, row in pairs:
        row["old_cosine"] = old.get(one.case.pair_id)
        row["state"] = _state(row, one.case, old_values(view.template, one.case))


def _old_cosines(view: View, cases: Sequence[Case]) -> dict[str, float]:
    """As they stand in the scores: the draft is measured with the same encoder."""
    with view.site.connect() as db:
        rows = db.rows(
            "SELECT pair_id, cosine FROM scores WHERE encoder = ? AND fingerprint = ? AND cosine IS NOT NULL "
            "AND pair_id IN (SELECT unnest(?::VARCHAR[]))",
            [view.encoder.id, view.encoder.fingerprint, [case.pair_id for case in cases]],
        )
    return {row["pair_id"]: float(row["cosine"]) for row in rows}


def _language(view: View, case: Case) -> str | None:
    """In which draft and old caption are compared: its own where the encoder reads it, never another in its place."""
    if case.state == "missing" or case.language == "und":
        return view.language
    return case.language if case.language in view.template.languages and view.encoder.source.reads(
        case.language
    ) and case.language in view.site.settings.site.languages else None  # fmt: skip


def _state(row: Mapping[str, Any], case: Case, said: Mapping[str, Any]) -> str:
    if case.state == "missing":
        return "offered"
    if said and {slot: plain(value) for slot, value in said.items()} == {
        slot: plain(value) for slot, value in row["slots"].items()
    }:
        return "same"
    if row["cosine"] is None or row["old_cosine"] is None:
        return "unread"
    return "offered" if row["cosine"] > row["old_cosine"] else "weaker"


def _replace(db: Database, drafter: str, rows: list[dict[str, Any]]) -> None:
    """Keep the new ones in place of this drafter's undecided ones. What a lot has decided stays decided."""
    db.execute(
        "DELETE FROM drafts WHERE drafter = ? AND NOT planted AND list_contains(?, state)",
        [drafter, list(UNDECIDED)],
    )
    db.insert("drafts", rows, on_conflict="ignore")


def require_made(site: Site) -> None:
    """Raises GenbaError when nothing was drafted yet."""
    with site.connect() as db:
        if not db.value("SELECT 1 FROM drafts LIMIT 1"):
            raise GenbaError("Nothing is drafted yet.", next=f"genba draft {site.root} make")
