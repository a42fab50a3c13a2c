"""To decide: two answers that differ, side by side with the photo; a lead says which counts (annotate/adjudication.py).

Neither names nor which of the two counts now are shown: the caption is judged, not the colleague. Below stand the last
decisions, with names, each of which can be taken back.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate import adjudication, form
from annotate.adjudication import Case, Side
from annotate.pages import inputs
from annotate.pages.answers import verdict_name
from annotate.pages.elements import (
    Opened,
    empty,
    escaped,
    note,
    opened,
    photo_url,
    show_error,
    shows_errors,
)
from annotate.pages.work import Work
from annotate.roles import has_leads, is_lead
from data.errors import GenbaError
from data.messages import LANGUAGES, moment, number
from data.templates import SlotError, Template

PHOTO_WIDTH = 380
HISTORY = 10
LANGUAGE_WIDTH, ITEM_WIDTH = 64, 110
WHY_LENGTH = 300


@shows_errors
def page() -> None:
    """The page of leads on which one case after the other is decided."""
    at = opened()
    _ = at.translate
    waiting = adjudication.cases(at.site)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(_("To decide"), anchor=False, width="content")
        left = number(len(waiting), at.language)
        st.badge(
            _("Waiting: {n}").format(n=left), icon=":material/balance:", color="orange" if waiting else "gray"
        )
    if not may_decide(at):
        return
    if not st.session_state.get("name"):
        empty(
            _("Who are you?"),
            _("Enter your name at the left: it is kept with each decision."),
            ":material/person:",
        )
        return
    if failure := st.session_state.pop("adjudicate-failure", None):
        show_error(failure)
    later: set[str] = st.session_state.setdefault("adjudicate-later", set())
    case = next((one for one in waiting if one.case_id not in later), None)
    if case:
        _case(case, at)
    elif waiting:
        empty(_("The rest was put off"), _("Load the page again to see it."), ":material/schedule:",
              lambda: st.button(_("Show it again"), on_click=later.clear, icon=":material/replay:"))  # fmt: skip
    else:
        empty(_("Nothing to decide"), _("Two answers that differ appear here: of two people at the same time, or of a "
              "second person asked blind."), ":material/task_alt:")  # fmt: skip
    _history(at)


def may_decide(at: Opened) -> bool:
    """True for a lead; else the page says who is one. Where none are named, it says that anybody may."""
    _ = at.translate
    if is_lead(at.site, at.person):
        if not has_leads(at.site):
            note(_("No leads are named in genba.toml ([review] leads): anybody may decide."))
        return True
    names = ("、" if at.language == "ja" else ", ").join(at.site.settings.review.leads)
    empty(
        _("This page is for leads"), _("Leads of this site: {names}").format(names=names), ":material/lock:"
    )
    return False


def _hand(case: Case, at: Opened) -> Work:
    """The case in this session: the clock, and the lead's own answer where there is one."""
    held: Work | None = st.session_state.get("adjudicating")
    if held is None or held.row["case_id"] != case.case_id or held.annotator != at.person:
        shown = shuffled(case)[0][2]  # begun with what stands left: the form tells no more than the page
        held = Work(
            row={"pair_id": case.pair_id, "case_id": case.case_id, "state": case.state, "is_editing": False},
            annotator=at.person, values=dict(shown.slots),
        )  # fmt: skip
        st.session_state["adjudicating"] = held
    return held


def _case(case: Case, at: Opened) -> None:
    _ = at.translate
    hand = _hand(case, at)
    photo, answers = st.columns([4, 9], gap="medium")
    with photo:
        url = photo_url(at.site, case.image_id)
        st.image(url, width=PHOTO_WIDTH, link=url, alt=_("Photo"))
        with st.container(border=True, gap="xsmall"):
            note(_("Caption before"))
            if case.state == "missing":
                st.badge(_("No caption yet"), icon=":material/edit_note:", color="orange")
            else:
                st.text(case.caption)
        note(_("Answered at the same time by two people") if case.kind == "conflict" else
             _("A second person was asked, without seeing the first answer"))  # fmt: skip
    with answers:
        if case.first is None:
            note(_("The first answer was taken back; this one is left."))
        if at.person in {side.annotator for side in (case.first, case.second) if side}:
            st.badge(_("One of these answers is yours"), icon=":material/person:", color="orange")
        sides = shuffled(case)
        for column, (letter, decision, side) in zip(st.columns(len(sides)), sides, strict=True):
            with column:
                _side(letter, decision, side, case, hand, at)
        _rest(case, hand, at)


def shuffled(case: Case) -> list[tuple[str, str, Side]]:
    """Letter, decision and answer: which stands left is drawn by the case's id, so that no place means anything."""
    sides = [("first", case.first), ("second", case.second)]
    if int(case.case_id[-1:] or "0", 36) % 2:
        sides.reverse()
    there = [(decision, side) for decision, side in sides if side is not None]
    return [(letter, decision, side) for letter, (decision, side) in zip("AB", there, strict=False)]


def _side(letter: str, decision: str, side: Side, case: Case, hand: Work, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True, gap="xsmall", key=f"side-{letter}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{letter}**", width="content")
            st.badge(
                verdict_name(side.verdict, at), color="orange" if "verdict" in case.differing else "gray"
            )
        captions(side, at)
        _slots(side, case.differing, at)
        st.button(
            _("{letter} is right").format(letter=letter), key=f"choose-{letter}", type="primary", width="stretch",
            icon=":material/check:", on_click=_decide, args=(case, decision, hand),
        )  # fmt: skip


def captions(side: Side, at: Opened) -> None:
    """The captions of an answer, one line a language."""
    for language, text in side.captions.items():
        with st.container(horizontal=True, wrap=False, gap="small"):
            with st.container(width=LANGUAGE_WIDTH):
                note(LANGUAGES.get(language, language))
            st.text(text, width="stretch")


def _slots(side: Side, differing: list[str], at: Opened) -> None:
    """What was answered, item by item; items on which the two differ are marked."""
    if side.verdict != "fix":
        return
    for slot, label, said in slot_words(at.site.template(), side.slots, at):
        with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
            with st.container(width=ITEM_WIDTH):
                note(label)
            if slot in differing:
                st.badge(escaped(said), icon=":material/difference:", color="orange")
            else:
                st.text(said)


def slot_words(template: Template, slots: dict[str, Any], at: Opened) -> list[tuple[str, str, str]]:
    """Slot, label and answer of each item that the form shows for these answers, in the reader's words."""
    language = at.language if at.language in template.languages else template.languages[0]
    found = []
    for item in form.items(template, slots, language):
        names = dict(item.options)
        given = item.value if isinstance(item.value, list) else [] if item.value is None else [item.value]
        said = ("、" if language == "ja" else ", ").join(str(names.get(one, one)) for one in given)
        found.append((item.id, item.label, f"{said} {item.unit}".strip() if said else "—"))
    return found


def _rest(case: Case, hand: Work, at: Opened) -> None:
    """Why, and the decisions that are not one of the two."""
    _ = at.translate
    st.text_input(
        _("Why? Both people will read it."), key=f"why-{case.case_id}", max_chars=WHY_LENGTH,
        placeholder=_("For example: a scratch has no depth; this is a crack."),
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if case.first:
            st.button(_("Both are fine"), key="choose-both", icon=":material/handshake:", on_click=_decide,
                      args=(case, "both", hand))  # fmt: skip
        if not hand.row["is_editing"]:
            st.button(
                _("Neither: answer it anew"), key="edit", icon=":material/edit:", on_click=_edit, args=(hand,)
            )
        st.button(
            _("Later"),
            key="later",
            icon=":material/skip_next:",
            type="tertiary",
            on_click=_later,
            args=(case,),
        )
    if hand.row["is_editing"]:
        _form(case, hand, at)


def _edit(hand: Work) -> None:
    hand.touch()
    hand.row["is_editing"] = True


def _later(case: Case) -> None:
    st.session_state["adjudicate-later"].add(case.case_id)


def _form(case: Case, hand: Work, at: Opened) -> None:
    """The lead's own answer, in the form that staff fill in."""
    _ = at.translate
    template = at.site.template()
    language = at.language if at.language in template.languages else template.languages[0]
    with st.container(border=True, gap="xsmall", key="own-answer"):
        for item in form.items(template, hand.values, language, hand.show_errors):
            inputs.show(item, hand, at)
        for one, text in form.compiled(template, hand.values, at.site.settings.site.languages).items():
            with st.container(horizontal=True, wrap=False, gap="small"):
                with st.container(width=LANGUAGE_WIDTH):
                    note(LANGUAGES[one])
                st.text(text or "…", width="stretch")
        st.button(
            _("Save this answer"), key="choose-edited", type="primary", icon=":material/check:", on_click=_decide,
            args=(case, "edited", hand),
        )  # fmt: skip


def _decide(case: Case, decision: str, hand: Work) -> None:
    """Runs before the page is drawn again: the next case is there at once."""
    at = opened()
    hand.touch()
    try:
        slots = form.answers(at.site.template(), hand.values) if decision == "edited" else None
        adjudication.decide(
            at.site, case.case_id, decision, by=at.person, seen=case.first_id, slots=slots,
            why=str(st.session_state.get(f"why-{case.case_id}", "")), active_seconds=hand.active_seconds,
        )  # fmt: skip
        st.session_state.pop("adjudicating", None)
    except SlotError:
        hand.show_errors = True
    except GenbaError as error:
        st.session_state["adjudicate-failure"] = error


def _history(at: Opened) -> None:
    """The last decisions: what was decided, by whom, why; each can be taken back while it counts."""
    _ = at.translate
    rows = adjudication.history(at.site, HISTORY)
    if not rows:
        return
    with st.expander(_("Last decisions"), icon=":material/history:"):
        for row in rows:
            _decided(row, at)


def _decided(row: dict[str, Any], at: Opened) -> None:
    _ = at.translate
    said = {
        "first": _("The first answer"),
        "second": _("The second answer"),
        "edited": _("A new answer"),
        "both": _("Both are fine"),
    }[row["decision"]]
    with st.container(
        horizontal=True, vertical_alignment="center", wrap=False, key=f"done-{row['adjudication_id']}"
    ):
        with st.container(gap=None, width="stretch"):
            st.text(_("{item}: {text}").format(item=said, text=row["why"]) if row["why"] else said)
            note(" · ".join((row["caption"] or _("No caption yet"), row["decided_by"],
                             moment(row["decided_at"], at.language))))  # fmt: skip
        if row["state"] == "undone":
            st.badge(_("Taken back"), icon=":material/undo:", color="gray")
        elif row["can_undo"]:
            st.button(_("Undo"), key=f"undo-{row['adjudication_id']}", icon=":material/undo:", on_click=_undo,
                      args=(row["adjudication_id"],))  # fmt: skip


def _undo(adjudication_id: str) -> None:
    at = opened()
    try:
        adjudication.undo(at.site, adjudication_id, at.person)
    except GenbaError as error:
        st.session_state["adjudicate-failure"] = error
