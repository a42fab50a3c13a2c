"""The pair that one person has in hand: its answers so far, the clock, and where they are kept.

The browser's session holds a `Work`; the store holds the lease and the half-typed answers, so a reload or a restart of
the server goes on where the person was. The time is the browser's own where it reports any (annotate/clock.py), else
what lies between two clicks.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from annotate import corrections, drafts, form, form_drafts, queue, reviews
from annotate.clock import clocks
from annotate.draft_record import Draft
from annotate.form_origin import Origin, add_meaning, begin, since
from annotate.pages import narrowed
from annotate.pages.elements import Opened
from annotate.projects import task_address, version_of
from data.store import Database

if TYPE_CHECKING:
    from data.templates import Template
    from scoring.encoders import Encoder

RENEW_SECONDS = 60.0  # a lease lasts ten minutes


@dataclass
class Work:
    """A claimed pair. `values`: the answers, by slot; `active_seconds` up to `last_action` (Unix time).

    `first`, `origins`: what the form began with, and where that came from. `earlier_seconds`: of visits before.
    """

    row: dict[str, Any]
    annotator: str
    values: dict[str, Any]
    first: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    draft: Draft | None = None  # what a drafter proposed
    earlier_seconds: float = 0.0
    active_seconds: float = 0.0
    last_action: float = field(default_factory=time.time)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # one correction, however often it is sent
    show_errors: bool = False
    is_dirty: bool = False
    is_read: bool = False  # the old caption by its meaning
    drawn: int = 0  # how often the form was drawn
    refused: int = 0  # how often it could not be saved
    renewed_at: float = field(default_factory=time.time)  # the lease
    width: int = 4
    height: int = 3
    task_url: str | None = None
    template: str = ""  # the version that this person has seen last, "parts@1"

    @property
    def pair_id(self) -> str:
        return str(self.row["pair_id"])

    @property
    def is_missing(self) -> bool:
        """True when the photo has no caption yet."""
        return bool(self.row["state"] == "missing")

    @property
    def is_blind(self) -> bool:
        """True when it is judged for the audit: nothing may be shown of what the encoder makes of it."""
        return bool(self.row.get("audit", True)) or "risk" not in self.row

    def touch(self) -> None:
        """The person did something now."""
        now = time.time()
        measured = clocks().seconds(self.token, now)
        if measured is None:
            self.active_seconds = form.add_active(self.active_seconds, self.last_action, now)
        else:
            self.active_seconds = self.earlier_seconds + measured
        self.last_action = now

    def origin(self, slot_id: str) -> Origin | None:
        """Where the answer of a slot comes from; None for one that has none."""
        return since(self.origins, self.first, self.values).get(slot_id)


def in_hand(at: Opened, db: Database) -> Work | None:
    """The pair this person works on: the one they asked for, the one they had, or the next; None: nothing waits.

    db: an open transaction, so that a page asks the store once. Renews the lease. When somebody else holds the pair
    that was asked for, a note says so and the next one comes.
    """
    wanted = st.session_state.pop("open_pair", None)
    held: Work | None = st.session_state.get("work")
    if held and held.annotator != at.person:
        queue.release(at.site, held.annotator, within=db)
        held = None
    pair_id = wanted or (held.pair_id if held else None)
    skipped: set[str] = st.session_state.setdefault("skipped", set())
    row = None
    if pair_id is None or not _is_answered(at, db, pair_id):
        row = queue.claim(
            at.site, at.person, skip=skipped, pair_id=pair_id, **narrowed.current().arguments, within=db
        )
    if row is None and pair_id:
        st.session_state["notice"] = at.translate(
            "Somebody else has this caption in work or has answered it. Here is the next one."
        )
        row = queue.claim(at.site, at.person, skip=skipped, **narrowed.current().arguments, within=db)
    if row is None:
        st.session_state.pop("work", None)
    elif not held or held.pair_id != row["pair_id"]:
        st.session_state["work"] = _begin(row, at, db)
    return st.session_state.get("work")


def _is_answered(at: Opened, db: Database, pair_id: str) -> bool:
    """Whether somebody has answered it; not where this person is to answer it all the same, as a second one."""
    if reviews.claimed(db, pair_id, at.person):
        return False
    return bool(db.value("SELECT 1 FROM corrections WHERE old_pair_id = ? AND state = 'active'", [pair_id]))


def _begin(row: dict[str, Any], at: Opened, db: Database) -> Work:
    size = db.one("SELECT width, height FROM images WHERE image_id = ?", [row["image_id"]])
    task = db.one(
        "SELECT ls_project_id, ls_task_id FROM tasks WHERE pair_id = ? ORDER BY pushed_at DESC LIMIT 1",
        [row["pair_id"]],
    )
    kept = form_drafts.load(at.site, row["pair_id"], at.person, within=db)
    is_blind = bool(row.get("audit", True))  # judged by the photo alone
    draft = None if is_blind else drafts.best_draft(at.site, row["pair_id"], within=db)
    sure = draft.confidence if draft and draft.calibrated else {}  # uncalibrated it is no probability
    first, origins = begin(
        at.site.template(), row["caption"] or "", row["language"], draft.slots if draft else None, sure
    )
    seconds = kept.active_seconds if kept else 0.0
    seen = st.session_state.setdefault("template-seen", version_of(at.site.template()))
    template = (kept.template if kept else None) or seen
    work = Work(
        row=row, annotator=at.person, values=dict(kept.slots if kept else first), first=first, origins=origins,
        draft=draft, earlier_seconds=seconds, active_seconds=seconds,
        task_url=task_address(at.site, task["ls_project_id"], task["ls_task_id"])
        if task and not row.get("audit") else None,  # others' answers stand there
        template=template, **(size or {}),
    )  # fmt: skip
    clocks().begin(work.token, work.last_action)
    return work


def read_by_meaning(work: Work, encoder: Encoder, template: Template) -> None:
    """Fill what the old caption means and does not say, before the form is drawn for the first time.

    Not where it is judged by the photo alone, nor over answers that were kept from an earlier visit.
    """
    from scoring.slot_embedding import embedding_of, parse_with_origin

    if work.drawn or work.is_read or work.is_blind or work.is_missing or work.values != work.first:
        return
    work.is_read = True
    language = work.row["language"]
    found = parse_with_origin(template, work.row["caption"], language, embedding_of(encoder, language))
    work.first, work.origins = add_meaning(work.first, work.origins, found)
    work.values = dict(work.first)


def keep(work: Work, at: Opened) -> None:
    """Store the answers so far, and once a minute renew the lease."""
    form_drafts.save(at.site, work.pair_id, at.person, work.values, work.active_seconds, work.template)
    work.is_dirty = False
    if time.time() - work.renewed_at > RENEW_SECONDS:
        queue.renew(at.site, at.person)
        work.renewed_at = time.time()


def save(work: Work, verdict: str, at: Opened) -> None:
    """Submit an answer and remember it for the notice; the next full run takes the next pair.

    Raises GenbaError, SlotError for answers that the template does not accept; the work then stays in hand.
    """
    work.touch()
    slots = form.answers(at.site.template(), work.values) if verdict == "fix" else {}
    saved = corrections.submit(
        at.site, pair_id=work.pair_id, annotator=at.person, verdict=verdict, slots=slots,
        active_seconds=work.active_seconds, token=work.token, draft=work.draft,
    )  # fmt: skip
    st.session_state["saved"] = saved.correction_id
    _done(work, at)


def _done(work: Work, at: Opened) -> None:
    """Nothing is in hand any more; the next full run takes the next pair."""
    clocks().end(work.token)
    st.session_state["template-seen"] = version_of(at.site.template())
    st.session_state.pop("work", None)


def skip(work: Work, reason: str, at: Opened) -> None:
    """Leave a pair for others; it does not come back to this person in this sitting. The reason is kept as an event."""
    work.touch()
    st.session_state.setdefault("skipped", set()).add(work.pair_id)
    queue.release(at.site, at.person)
    with at.site.connect() as db:
        detail = {"pair": work.pair_id, "reason": reason, "active_seconds": round(work.active_seconds, 1)}
        db.event(at.person, "pair.skipped", detail)
    _done(work, at)
    st.session_state.pop("saved", None)


def undo(correction_id: str, pair_id: str, at: Opened) -> None:
    """Withdraw one's own answer and open that pair again, with the answers as they were."""
    slots = corrections.undo(at.site, correction_id, at.person)
    if slots:  # the time that they took stays with the answer that was withdrawn
        form_drafts.save(at.site, pair_id, at.person, slots, active_seconds=0.0)
    st.session_state.pop("saved", None)
    st.session_state.pop("work", None)
    st.session_state.setdefault("skipped", set()).discard(pair_id)
    st.session_state["open_pair"] = pair_id
