"""Feedback: what became of one's own answers, with examples. Everybody sees their own and nobody else's."""

from __future__ import annotations

import streamlit as st

from annotate.pages.adjudicate import captions, slot_words
from annotate.pages.answers import verdict_name
from annotate.pages.elements import Opened, empty, note, opened, photo_url, shows_errors
from annotate.review_feedback import Example, Feedback, feedback
from data.messages import number

PHOTO_WIDTH = 180


@shows_errors
def page() -> None:
    """The page of the person at this browser."""
    at = opened()
    _ = at.translate
    st.title(_("Feedback"), anchor=False)
    if not st.session_state.get("name"):
        empty(
            _("Who are you?"),
            _("Enter your name at the left: only you see your feedback."),
            ":material/person:",
        )
        return
    found = feedback(at.site, at.person)
    st.text(summary(found, at))
    if found.open:
        note(_("Waiting for a lead's decision: {n}.").format(n=number(found.open, at.language)))
    if not found.examples:
        empty(
            _("No examples yet"),
            _("Cases that a lead has decided appear here, with the reason."),
            ":material/forum:",
        )
        return
    for example in found.examples:
        _example(example, at)


def summary(found: Feedback, at: Opened) -> str:
    """One friendly, factual sentence."""
    _ = at.translate

    def said(n: int) -> str:
        return number(n, at.language)

    if not found.answers and not found.examples:
        return _("You have not answered anything in the last seven days.")
    if not found.reviewed:
        return _(
            "Your last seven days: {answers} answers. None of them was answered by a second person yet."
        ).format(answers=said(found.answers))
    return _(
        "Your last seven days: {answers} answers. A second person answered {reviewed} of them too; {differed} differed."
    ).format(answers=said(found.answers), reviewed=said(found.reviewed), differed=said(found.differed))


def _example(example: Example, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True, key=f"example-{example.own.answer_id[:16]}"):
        photo, text = st.columns([1.4, 6])
        url = photo_url(at.site, example.image_id)
        photo.image(url, width=PHOTO_WIDTH, link=url, alt=_("Photo"))
        with text, st.container(gap="xsmall"):
            if example.both_fine:
                st.badge(_("Both answers are fine"), icon=":material/handshake:", color="green")
            elif not example.differing:
                st.badge(_("Your answer stands"), icon=":material/check:", color="green")
            else:
                st.badge(_("Decided differently"), icon=":material/forum:", color="orange")
            _answers(example, at)
            if example.why:
                st.text(_("Why: {why}").format(why=example.why))


def _answers(example: Example, at: Opened) -> None:
    """One's own answer, and the decided one where it says something else."""
    _ = at.translate
    shown = [(_("Your answer"), example.own)]
    if example.differing and not example.both_fine:
        shown.append((_("Decided"), example.decided))
    for title, side in shown:
        note(_("{item}: {text}").format(item=title, text=verdict_name(side.verdict, at)))
        captions(side, at)
    template = at.site.template()
    own, decided = ({slot: (label, said) for slot, label, said in slot_words(template, side.slots, at)}
                    for side in (example.own, example.decided))  # fmt: skip
    for slot in example.differing if not example.both_fine else ():
        label = (own.get(slot) or decided.get(slot) or (None, None))[0]
        if label is not None:
            before, after = (side.get(slot, ("", "—"))[1] for side in (own, decided))
            note(_("{item}: {text}").format(item=label, text=f"{before} → {after}"))
