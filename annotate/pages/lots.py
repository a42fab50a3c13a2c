"""Drafts: what machines propose, lots that a lead approves after a sample is checked, and signs of waving through."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from annotate import drafts, form, lots
from annotate.alarms import alarms
from annotate.draft_words import alarm_words, lot_words, plan_words
from annotate.lots import Check, Lot
from annotate.pages.elements import (
    Opened,
    empty,
    escaped,
    heading,
    note,
    opened,
    photo_url,
    show_error,
    shows_errors,
    simulated_badge,
)
from annotate.pages.jobs_strip import live_strip
from annotate.pages.review import slot_label
from annotate.roles import has_leads, is_lead
from data.errors import GenbaError
from data.jobs import ACTIVE, enqueue, jobs
from data.messages import LANGUAGES, moment, number

PHOTO_WIDTH = 520
LANGUAGE_WIDTH = 64
HISTORY = 10


@shows_errors
def page() -> None:
    """The page of leads on which drafts are made, checked by a sample, and decided on."""
    at = opened()
    _ = at.translate
    found = drafts.status(at.site)
    with at.site.connect() as db:
        above = len(lots.candidates(at.site, db))
        is_drafting = any(job.name == "draft" and job.state in ACTIVE for job in jobs(db, 20))
    _head(at, found["states"], above, is_drafting)
    live_strip()
    if failure := st.session_state.pop("lots-failure", None):
        show_error(failure)
    rows = lots.lots(at.site)
    current = next((lot for lot in rows if lot.state == "open"), None)
    if current:
        _open(current, at)
    elif not found["last"]:
        empty(_("Nothing is drafted yet"), _("Drafts come from the photo and from captions of photos like it. They are "
              "shown in the form where they fit better than the old caption; a person decides."),
              ":material/edit_note:")  # fmt: skip
    else:
        _offer(above, at)
    _alarms(at)
    if found["last"]:
        _drafters(found["last"], at)
    _history([lot for lot in rows if lot.state != "open"][:HISTORY], at)


def _head(at: Opened, states: dict[str, int], above: int, is_drafting: bool) -> None:
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(_("Drafts"), anchor=False, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            offered = number(states.get("offered", 0), at.language)
            st.badge(_("Offered: {n}").format(n=offered), icon=":material/edit_note:", color="blue")
            st.badge(
                _("Above the line: {n}").format(n=number(above, at.language)),
                icon=":material/vertical_align_top:",
                color="green" if above else "gray",
            )
            if is_lead(at.site, at.person):
                st.button(_("Draft now"), icon=":material/auto_awesome:", on_click=_start, disabled=is_drafting,
                          key="draft-now")  # fmt: skip
    if not is_lead(at.site, at.person):
        names = ("、" if at.language == "ja" else ", ").join(at.site.settings.review.leads)
        note(_("Leads of this site: {names}").format(names=names))
    elif not has_leads(at.site):
        note(_("No leads are named in genba.toml ([review] leads): anybody may decide."))


def _start() -> None:
    at = opened()
    with at.site.connect() as db:
        enqueue(db, "draft", requested_by=at.person)


def _offer(above: int, at: Opened) -> None:
    """A lot can be formed, or why none can."""
    _ = at.translate
    line = number(100 * at.site.settings.drafts.line, at.language)
    if not above:
        empty(
            _("No draft lies above the line"),
            _(
                "A lot is formed of drafts that are at least {line} % likely to be right, measured on people's "
                "answers. The others wait in the queue, with their drafts filled in."
            ).format(line=line),
            ":material/vertical_align_top:",
        )
        return
    with st.container(border=True):
        text = _(
            "{n} drafts are at least {line} % likely to be right. Together they form a lot: a drawn sample of it is "
            "checked, then a lead decides."
        )
        st.text(text.format(n=number(above, at.language), line=line))
        if is_lead(at.site, at.person):
            st.button(
                _("Form a lot"), type="primary", icon=":material/inventory_2:", key="lot-open",
                on_click=_act, args=("open",), disabled=not _named(at),
            )  # fmt: skip
            _who(at)


def _named(at: Opened) -> bool:
    return bool(st.session_state.get("name"))


def _who(at: Opened) -> None:
    if not _named(at):
        note(at.translate("Enter your name at the left: it is kept with each decision."))


def _open(lot: Lot, at: Opened) -> None:
    """The open lot: its plan, the draft to judge, and the decision."""
    _ = at.translate
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            heading(_("Sampling inspection of lot {lot}").format(lot=lot.lot_id))
            note(lot_words(lot, at.language))
        st.progress(lot.checked / lot.to_check)
        for line in plan_words(lot.plan, at.language):
            st.text(line)
        if lot.planted:
            share = number(100 * lot.planted / lot.to_check, at.language)
            told = _(
                "Told beforehand: about {n} in 100 of these drafts are known to be wrong and were mixed in."
            )
            st.badge(escaped(told.format(n=share)), icon=":material/visibility:", color="orange")
        _curve(lot, at)
    check = None if lot.must_reject else lots.next_check(at.site, lot.lot_id)
    if check and _named(at):
        _check(lot, check, at)
    elif check:
        empty(
            _("Who are you?"),
            _("Enter your name at the left: it is kept with each decision."),
            ":material/person:",
        )
    if lot.must_reject or check is None:  # the slip may be the last verdict of all
        _take_back_button(lot, at)
    if lot.must_reject or check is None or lot.checked == 0:
        _decision(lot, at)


def _curve(lot: Lot, at: Opened) -> None:
    _ = at.translate
    with st.expander(_("What passes? (operating characteristic)"), icon=":material/show_chart:"):
        st.dataframe(
            [
                {
                    _("Wrong drafts in the lot"): number(wrong, at.language),
                    _("Share"): f"{number(100 * wrong / lot.plan.size, at.language, 1)} %",
                    _("Chance that the lot passes"): f"{number(100 * chance, at.language, 1)} %",
                }
                for wrong, chance in lot.plan.curve()
            ],
            hide_index=True,
        )
        note(
            _("Exact, by the hypergeometric distribution: drawn without replacement from a lot of this size.")
        )


def _check(lot: Lot, check: Check, at: Opened) -> None:
    """Photo left, captions right, and the two answers."""
    _ = at.translate
    hand = st.session_state.get("lot-check")
    if not hand or hand["draft"] != check.draft_id or hand["person"] != at.person:
        st.session_state["lot-check"] = {"draft": check.draft_id, "person": at.person, "since": time.time()}
    photo, answer = st.columns([5, 6], gap="medium")
    with photo:
        url = photo_url(at.site, check.image_id)
        st.image(url, width=PHOTO_WIDTH, link=url, alt=_("Photo {name}").format(name=check.image))
    with answer:
        note(_("Does this draft say what the photo shows, all of it and nothing else?"))
        with st.container(border=True, gap="xsmall", key="draft-captions"):
            for language, text in check.captions.items():
                with st.container(horizontal=True, wrap=False, gap="small"):
                    with st.container(width=LANGUAGE_WIDTH):
                        note(LANGUAGES.get(language, language))
                    st.text(text, width="stretch")
        with st.container(horizontal=True, gap="small"):
            for is_right, label, icon, key in (
                (True, _("Right"), ":material/check:", "1"),
                (False, _("Wrong"), ":material/close:", "2"),
            ):
                st.button(
                    label, icon=icon, shortcut=key, key=f"judge-{key}", on_click=_judge,
                    args=(lot.lot_id, check.draft_id, is_right), width="stretch",
                )  # fmt: skip
        _take_back_button(lot, at)


def _take_back_button(lot: Lot, at: Opened) -> None:
    if lot.checked:
        st.button(
            at.translate("Take the last answer back"), icon=":material/undo:", shortcut="u", type="tertiary",
            key="judge-undo", on_click=_take_back, args=(lot.lot_id,),
        )  # fmt: skip


def _judge(lot_id: str, draft_id: str, is_right: bool) -> None:
    at = opened()
    hand = st.session_state.pop("lot-check", {"since": time.time()})
    seconds = form.add_active(0.0, hand["since"], time.time())
    try:
        lots.judge(at.site, lot_id, draft_id, is_right, at.person, seconds)
    except GenbaError as error:
        st.session_state["lots-failure"] = error


def _take_back(lot_id: str) -> None:
    at = opened()
    st.session_state.pop("lot-check", None)
    try:
        lots.take_back(at.site, lot_id, at.person)
    except GenbaError as error:
        st.session_state["lots-failure"] = error


def _decision(lot: Lot, at: Opened) -> None:
    """A lead's buttons, as far as the plan allows them."""
    _ = at.translate
    if not is_lead(at.site, at.person):
        note(_("A lead decides on the lot."))
        return
    with st.container(border=True, gap="small", key="lot-decision"):
        despite = False
        if lot.checked == 0:
            st.button(_("Dissolve the lot"), icon=":material/undo:", key="lot-withdraw", on_click=_act,
                      args=("withdraw", lot.lot_id), type="tertiary", disabled=not _named(at))  # fmt: skip
            return
        if lot.must_reject:
            st.badge(_("The sample holds too many wrong drafts: the lot is rejected."), color="red",
                     icon=":material/block:")  # fmt: skip
        elif lot.let_through:
            words = _("{n} of {all} planted wrong drafts were called right, so the check says little.")
            st.badge(
                escaped(words.format(n=lot.let_through, all=lot.planted)),
                color="red",
                icon=":material/warning:",
            )
            despite = st.checkbox(_("I accept the lot all the same"), key="lot-despite")
        else:
            st.badge(_("The sample passes."), color="green", icon=":material/check_circle:")
        with st.container(horizontal=True, gap="small"):
            if lot.can_accept:
                st.button(
                    _("Accept the lot: {n} captions").format(n=number(lot.plan.size - lot.wrong, at.language)),
                    type="primary", icon=":material/check:", key="lot-accept", on_click=_act,
                    args=("accept", lot.lot_id, despite),
                    disabled=not _named(at) or (lot.let_through > 0 and not despite),
                )  # fmt: skip
            st.button(_("Reject the lot"), icon=":material/close:", key="lot-reject", on_click=_act,
                      args=("reject", lot.lot_id), disabled=not _named(at))  # fmt: skip
        note(
            _(
                "Accepted: each draft but those called wrong becomes a caption, in your name. Rejected: all go back to "
                "the queue, none becomes a caption."
            )
        )


def _act(what: str, lot_id: str = "", despite: bool = False) -> None:
    at = opened()
    try:
        if what == "open":
            lots.open_lot(at.site, at.person)
        elif what == "withdraw":
            lots.withdraw(at.site, lot_id, at.person)
        else:
            lots.decide(at.site, lot_id, what == "accept", at.person, despite)
    except GenbaError as error:
        st.session_state["lots-failure"] = error


def _alarms(at: Opened) -> None:
    _ = at.translate
    seen = alarms(at.site)
    if not seen:
        return
    heading(_("To look at"))
    for one in seen:
        with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
            st.badge(_("Alarm"), icon=":material/warning:", color="red")
            st.text(alarm_words(one, at.language))
    note(_("An alarm asks for a talk; it proves nothing."))


def _drafters(last: dict[str, Any], at: Opened) -> None:
    """How often each drafter says what people had said without seeing its drafts."""
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        heading(_("How good the drafts are"))
        if last["simulated"]:
            simulated_badge(at, last["simulated"])
    template = at.site.template()
    rows = []
    for name, one in last["drafters"].items():
        row = {
            _("Drafter"): drafter_name(name, at),
            _("Offered"): number(one["offered"], at.language),
            _("All right"): _share(one["right"], one["compared"], at),
            _("Measured"): _("yes") if one["calibrated"] else _("not yet: too few answers"),
        }
        for slot in template.slots:
            if slot.id in one["slots"]:
                row[slot_label(slot.id, template, at)] = _share(
                    one["slots"][slot.id][0], one["slots"][slot.id][1], at
                )
        rows.append(row)
    st.dataframe(rows, hide_index=True, width="stretch")
    note(
        _(
            "Compared with answers of people who saw no draft. “All right” counts only drafts that would be offered: "
            "they differ from the old caption and fit the photo better. Until measured, a confidence is no probability."
        )
    )


def drafter_name(name: str, at: Opened) -> str:
    """A drafter in words."""
    _ = at.translate
    return {
        "zero-shot": _("the encoder"),
        "near-photos": _("captions of near photos"),
        "model": _("image-to-text model"),
    }.get(name, name)


def _share(right: int, of: int, at: Opened) -> str:
    if not of:
        return "—"
    return (
        f"{number(100 * right / of, at.language)} % ({number(right, at.language)}/{number(of, at.language)})"
    )


def _history(rows: list[Lot], at: Opened) -> None:
    _ = at.translate
    if not rows:
        return
    with st.expander(_("Earlier lots"), icon=":material/history:"):
        for lot in rows:
            st.text(f"{lot.lot_id}  {lot_words(lot, at.language)}")
            who = [lot.decided_by or "", moment(lot.decided_at, at.language) if lot.decided_at else ""]
            note(" · ".join(filter(None, who)))
