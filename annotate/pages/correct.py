"""Correct: the photo at the left, the form at the right, filled in with what the old caption says; then the next pair.

Every click is kept in the store. The keyboard alone is enough (annotate/pages/keys.py), and the time that somebody is
really at it is summed (annotate/clock.py).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate import corrections, form, queue
from annotate.pages import answers, inputs, keys, meter, narrowed, person, photo, progress, rubric, why, work
from annotate.pages import queue as queue_page
from annotate.pages.elements import (
    Opened,
    clock_url,
    empty,
    escaped,
    go_to,
    note,
    opened,
    show_error,
    shows_errors,
)
from annotate.pages.jobs_strip import live_strip
from annotate.pages.work import Work
from annotate.projects import version_of
from annotate.recent import recent
from annotate.template_versions import saved
from data.errors import GenbaError
from data.messages import LANGUAGES, moment
from data.templates import SlotError

LANGUAGE_WIDTH = 60
REASONS_SHOWN = 2  # the others stand under "Why is this here?"


@shows_errors
def page() -> None:
    """The page on which one pair after the other is corrected."""
    at = opened()
    if not st.session_state.get("name"):
        _ask_name(at)
        return
    with (
        at.site.connect() as db
    ):  # once for the page; nothing is drawn meanwhile, as a button may need the store
        hand = work.in_hand(at, db)
        last = recent(at.site, at.person, answers.RECENT, within=db)
        counts = progress.counted(at, db)
    if hand and (encoder := meter.warm_encoder(at.site)):
        work.read_by_meaning(hand, encoder, at.site.template())
    with st.container(key="correct", gap="small"):
        _head(last, counts, at)
        if hand is None:
            _nothing(at)
            return
        left, right = st.columns([5, 8], gap="medium")
        with left, st.container(gap="xsmall"):
            photo.show()
            _old_caption(hand, at)
            rubric.show(at)
        with right:
            _form()
        keys.component("clock", "clock", {"token": hand.token, "url": clock_url(at.site)})


def _ask_name(at: Opened) -> None:
    """Who works here must be known before the first answer; app.py remembers it for this browser."""
    _ = at.translate
    st.title(_("Correct"), anchor=False)
    with st.form("who", width=420):
        st.text(_("Who is correcting? Your name is kept with each answer."))
        name = st.text_input(_("Your name"), max_chars=corrections.NAME_LENGTH, key="who-name")
        if st.form_submit_button(_("Start"), type="primary", icon=":material/play_arrow:"):
            if person.as_name(name):
                person.remember(at.site, name=name)
                st.rerun()
            note(_("Please enter your name."))


def _head(last: list[dict[str, Any]], counts: tuple[int, int], at: Opened) -> None:
    _ = at.translate
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="head"
    ):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.title(_("Correct"), anchor=False, width="content")
            progress.show(at, counts=counts)
        with st.container(key="notices"):  # always there, so that what stands beside it never moves
            answers.notice(last, at)
        with st.container(
            horizontal=True, vertical_alignment="center", width="content", gap="xsmall", wrap=False
        ):
            with st.container(width="content", key="undo"):
                answers.undo_button(last, at)
            answers.panel(last, at)
            keys.show(at)


def _old_caption(hand: Work, at: Opened) -> None:
    """The caption as it stands and why it is asked about; without reasons when it is judged blind."""
    from scoring.reasons import words

    _ = at.translate
    with st.container(border=True, gap="xsmall", key="old-caption"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            note(_("Caption now"))
            why.show()
        if hand.is_missing:
            st.badge(_("No caption yet"), icon=":material/edit_note:", color="orange")
        else:
            st.text(hand.row["caption"])
        with st.container(gap=None):
            if hand.is_blind:
                note(_("No reasons are shown for this one: judge it by the photo alone."))
            for reason in [] if hand.is_blind else hand.row["reasons"][:REASONS_SHOWN]:
                note("• " + words(reason, at.language))


@st.fragment
def _form() -> None:
    """The questions, the captions that the answers make, the verdicts. Alone renewed at each click."""
    at = opened()
    hand: Work | None = st.session_state.get("work")
    if hand is None:  # the click that led here has submitted it: on to the next pair
        st.rerun()
        return
    try:
        template = at.site.template()
        language = at.language if at.language in template.languages else template.languages[0]
        _template_news(hand, version_of(template), at)
        asked = form.items(template, hand.values, language, hand.show_errors)
        with st.container(border=True, gap="xxsmall", key="form"):
            for item in asked:
                inputs.show(item, hand, at)
        made, fit = _compiled(hand, at)
        if failure := st.session_state.pop("failure", None):
            show_error(failure)
        _verdicts(hand, asked, at)
        if hand.is_dirty:  # late, so that the person sees the click's effect before the store is asked
            work.keep(hand, at)
        with fit:  # last: the encoder takes some milliseconds
            meter.show(hand, made, at)
    except GenbaError as error:
        show_error(error)


def _template_news(hand: Work, name: str, at: Opened) -> None:
    """The questions are others than those this person has seen last: until their next answer it says so."""
    if hand.template == name:
        return
    _ = at.translate
    told = saved(at.site, name)
    who = _(" ({person}, {when})").format(person=told[0], when=moment(told[1], at.language)) if told else ""
    text = _("The template is now {name}{who}; answers that still fit are kept.").format(name=name, who=who)
    with st.container(key="template-news"):
        st.markdown(f":small[:blue[:material/edit_document: {escaped(text)}]]")


def _compiled(hand: Work, at: Opened) -> tuple[dict[str, str], Any]:
    """The captions that will be saved, live, in each language of the site; and the place for the meter."""
    _ = at.translate
    template = at.site.template()
    made = form.compiled(template, hand.values, at.site.settings.site.languages)
    is_begun = form.answers(template, hand.values) != form.answers(
        template, form.prefill(template, "", "und")
    )
    with st.container(border=True, gap="xsmall", key="compiled"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            note(_("New caption"))
            fit = st.container(width="content")
        for one, text in made.items():
            with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
                with st.container(width=LANGUAGE_WIDTH):
                    note(LANGUAGES[one])
                st.text((text if is_begun else "") or "…", width="stretch")
    return made if is_begun else {}, fit


def _verdicts(hand: Work, asked: list[form.Item], at: Opened) -> None:
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="verdicts"):
        st.button(
            _("Save the correction"),
            key="fix",
            type="primary",
            icon=":material/check:",
            on_click=_save,
            args=("fix",),
        )
        for verdict, icon in (
            ("ok", ":material/thumb_up:"),
            ("not_sure", ":material/help:"),
            ("unusable", ":material/no_photography:"),
            ("private", ":material/lock:"),
        ):
            if verdict != "ok" or not hand.is_missing:
                words = answers.verdict_name(verdict, at)
                st.button(words, key=verdict, icon=icon, on_click=_save, args=(verdict,))
        with (
            st.container(key="skip", width="content"),
            st.popover(_("Skip"), icon=":material/skip_next:", type="tertiary"),
        ):
            _skip(hand, at)
        keys.listen(hand, asked, at.site.template(), at)


def _save(verdict: str) -> None:
    """Runs before the page is drawn again: what is wrong with the answers then stands beside them."""
    hand: Work | None = st.session_state.get("work")
    if hand is None:  # a second click on what the first one has saved
        return
    try:
        work.save(hand, verdict, opened())
    except SlotError:
        hand.show_errors = True
        hand.refused += 1
    except GenbaError as error:
        st.session_state["failure"] = error
        hand.refused += 1


def _skip(hand: Work, at: Opened) -> None:
    _ = at.translate
    note(_("Others will see it. Why do you skip it?"))
    reasons = {
        "later": _("Later"), "colleague": _("A colleague knows better"),
        "template": _("The form does not fit"), "other": _("Another reason"),
    }  # fmt: skip
    for reason, words in reasons.items():
        if st.button(words, key=f"skip-{reason}", width="stretch"):
            work.skip(hand, reason, at)
            st.rerun()


def _nothing(at: Opened) -> None:
    """Why no pair came: nothing waits at all, or only what others have in work and what this person skipped."""
    _ = at.translate
    live_strip()
    if narrowed.nothing_left(at):
        return
    if not queue.count(at.site):
        queue_page.nothing(at)
        return

    def again() -> None:
        if st.session_state.get("skipped") and st.button(
            _("Show the skipped ones again"), icon=":material/replay:"
        ):
            st.session_state["skipped"] = set()
            st.rerun()
        if st.button(_("To the queue"), icon=":material/arrow_back:"):
            go_to("queue")

    text = _("What is left has been skipped by you or is in work elsewhere.")
    empty(_("Nothing waits for you"), text, ":material/task_alt:", again)
