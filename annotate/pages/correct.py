"""Correct: the photo at the left, the form at the right, filled in with what the old caption says; then the next pair.

Every click is kept in the store, and the time between two actions is summed (annotate/form.py: add_active).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate import corrections, form, queue
from annotate.pages import inputs, narrowed, person, progress, why, work
from annotate.pages import queue as queue_page
from annotate.pages.elements import (
    Opened,
    empty,
    escaped,
    go_to,
    note,
    opened,
    photo_url,
    show_error,
    shows_errors,
)
from annotate.pages.jobs_strip import live_strip
from annotate.pages.work import Work
from data.errors import GenbaError
from data.messages import LANGUAGES, moment
from data.templates import SlotError

PHOTO_WIDTH, PHOTO_HEIGHT = 440, 360
RECENT = 6


@shows_errors
def page() -> None:
    """The page on which one pair after the other is corrected."""
    at = opened()
    if not st.session_state.get("name"):
        _ask_name(at)
        return
    hand = work.in_hand(at)
    _head(at)
    if hand is None:
        _nothing(at)
        return
    left, right = st.columns([5, 8], gap="medium")
    with left:
        _photo(hand, at)
        _old_caption(hand, at)
    with right:
        _form()


def _ask_name(at: Opened) -> None:
    """Who works here must be known before the first answer; app.py remembers it for this browser."""
    _ = at.translate
    st.title(_("Correct"), anchor=False)
    with st.form("who", width=420):
        st.text(_("Who is correcting? Your name is kept with each answer."))
        name = st.text_input(_("Your name"), max_chars=corrections.NAME_LENGTH, key="who-name")
        if st.form_submit_button(_("Start"), type="primary", icon=":material/play_arrow:"):
            if name.strip():
                person.remember(at.site, name=" ".join(name.split()))
                st.rerun()
            note(_("Please enter your name."))


def _head(at: Opened) -> None:
    _ = at.translate
    last = corrections.recent(at.site, at.person, RECENT)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(_("Correct"), anchor=False, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            progress.show(at)
            with st.popover(_("What is a good caption?"), icon=":material/menu_book:", type="tertiary"):
                _rubric(at)
            with st.popover(_("Last answers"), icon=":material/history:", type="tertiary"):
                _recent(last, at)
    _notice(last, at)


def _rubric(at: Opened) -> None:
    """What a good caption is, with examples; the words come from the template."""
    _ = at.translate
    template = at.site.template()
    one = template.language(at.language) if at.language in template.languages else template.languages[0]
    for line in template.rubric[one]:
        st.text(f"• {line}")
    examples = template.examples.get(one)
    if examples is None:
        return
    for good in examples.good:
        with st.container(horizontal=True, wrap=False):
            st.badge(_("good"), icon=":material/check:", color="green")
            st.text(good)
    for bad in examples.bad:
        with st.container(horizontal=True, wrap=False):
            st.badge(_("poor"), icon=":material/close:", color="red")
            with st.container(gap=None):
                st.text(bad.caption)
                note(bad.why)


def _notice(answers: list[dict[str, Any]], at: Opened) -> None:
    """What was just saved, with its undo; or why another pair came than the one that was asked for."""
    _ = at.translate
    text = st.session_state.pop("notice", None)
    saved = st.session_state.get("saved")
    last = next((one for one in answers if one["correction_id"] == saved), None)
    if text:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="notice"):
            st.badge(_("Note"), icon=":material/info:", color="orange")
            st.text(text)
    if last:
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", gap="small", key="saved"
        ):
            if last["state"] == "conflict":
                st.badge(
                    _("Kept, but somebody else answered first"), icon=":material/call_split:", color="orange"
                )
            else:
                st.badge(_("Saved"), icon=":material/check_circle:", color="green")
            st.text(_said(last, at), width="stretch", wrap=False)
            if st.button(
                _("Undo"), key="undo-last", icon=":material/undo:", type="tertiary", shortcut="Alt+Z"
            ):
                work.undo(last["correction_id"], last["old_pair_id"], at)
                st.rerun()


def _said(answer: dict[str, Any], at: Opened) -> str:
    """An answer in one line: the new caption in the reader's language, else the verdict in words."""
    languages = at.site.settings.site.languages
    if answer["captions"]:
        by_language = dict(zip(languages, answer["captions"], strict=False))
        return str(by_language.get(at.language) or answer["captions"][0])
    return verdict_name(answer["verdict"], at)


def verdict_name(verdict: str, at: Opened) -> str:
    """A verdict in words."""
    _ = at.translate
    return {
        "fix": _("Corrected"),
        "ok": _("Already right"),
        "not_sure": _("Not sure"),
        "unusable": _("Unusable photo"),
        "private": _("Private content"),
    }[verdict]


def _recent(answers: list[dict[str, Any]], at: Opened) -> None:
    """The person's last answers; each can be taken back."""
    _ = at.translate
    if not answers:
        note(_("Your answers appear here, and can be taken back."))
    for row in answers:
        with st.container(horizontal=True, vertical_alignment="center", wrap=False):
            with st.container(gap=None, width=340):
                st.text(_said(row, at), wrap=False)
                note(f"{verdict_name(row['verdict'], at)} · {moment(row['created_at'], at.language)}")
            if st.button(_("Undo"), key=f"undo-{row['correction_id']}", icon=":material/undo:"):
                work.undo(row["correction_id"], row["old_pair_id"], at)
                st.rerun()


def _photo(hand: Work, at: Opened) -> None:
    """The photo, as large as fits; a click opens it in full size."""
    url = photo_url(at.site, hand.row["image_id"])
    width = min(PHOTO_WIDTH, int(PHOTO_HEIGHT * hand.width / max(hand.height, 1)))
    alt = at.translate("Photo {name}").format(name=hand.row["image"])
    st.image(url, width=width, link=url, alt=alt)


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
            for reason in [] if hand.is_blind else hand.row["reasons"][: queue_page.REASONS_SHOWN]:
                note("• " + words(reason, at.language))
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        note(_("File: {name}").format(name=hand.row["image"]))
        if hand.task_url:
            st.link_button(
                _("Open in Label Studio"), hand.task_url, type="tertiary", icon=":material/open_in_new:"
            )


@st.fragment
def _form() -> None:
    """The questions, the captions that the answers make, the verdicts. Alone renewed at each click."""
    at = opened()
    hand: Work | None = st.session_state.get("work")
    if hand is None:  # the click that led here has submitted it: on to the next pair
        st.rerun()
        return
    try:
        with st.container(border=True, gap="xsmall", key="form"):
            _questions(hand, at)
        _compiled(hand, at)
        if failure := st.session_state.pop("failure", None):
            show_error(failure)
        _verdicts(hand, at)
        if hand.is_dirty:  # last, so that the person sees the click's effect before the store is asked
            work.keep(hand, at)
    except GenbaError as error:
        show_error(error)


def _questions(hand: Work, at: Opened) -> None:
    template = at.site.template()
    language = at.language if at.language in template.languages else template.languages[0]
    for item in form.items(template, hand.values, language, hand.show_errors):
        inputs.show(item, hand, at)


def _compiled(hand: Work, at: Opened) -> None:
    """The captions that will be saved, live, in each language of the site."""
    _ = at.translate
    template = at.site.template()
    made = form.compiled(template, hand.values, at.site.settings.site.languages)
    is_begun = form.answers(template, hand.values) != form.answers(
        template, form.prefill(template, "", "und")
    )
    language = at.language if at.language in template.languages else template.languages[0]
    left = form.missing(template, hand.values, language)
    with st.container(border=True, gap="xsmall", key="compiled"):
        note(_("New caption"))
        for one, text in made.items():
            with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
                with st.container(width=inputs.LABEL_WIDTH):
                    note(LANGUAGES[one])
                st.text((text if is_begun else "") or "…", width="stretch")
        if left:
            listed = ("、" if at.language == "ja" else ", ").join(left)
            text = escaped(_("Still to answer: {items}").format(items=listed))
            st.badge(text, icon=":material/pending:", color="orange")


def _verdicts(hand: Work, at: Opened) -> None:
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            _("Save the correction"), key="fix", type="primary", icon=":material/check:", shortcut="Ctrl+S",
            on_click=_save, args=("fix",),
        )  # fmt: skip
        for verdict, icon, shortcut in (
            ("ok", ":material/thumb_up:", "Alt+A"),
            ("not_sure", ":material/help:", "Alt+N"),
            ("unusable", ":material/no_photography:", "Alt+U"),
            ("private", ":material/lock:", "Alt+P"),
        ):
            if verdict != "ok" or not hand.is_missing:
                words = verdict_name(verdict, at)
                st.button(words, key=verdict, icon=icon, shortcut=shortcut, on_click=_save, args=(verdict,))
        with st.popover(_("Skip"), icon=":material/skip_next:", type="tertiary"):
            _skip(hand, at)


def _save(verdict: str) -> None:
    """Runs before the page is drawn again: what is wrong with the answers then stands beside them."""
    hand: Work | None = st.session_state.get("work")
    if hand is None:  # a second click on what the first one has saved
        return
    try:
        work.save(hand, verdict, opened())
    except SlotError:
        hand.show_errors = True
    except GenbaError as error:
        st.session_state["failure"] = error


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
