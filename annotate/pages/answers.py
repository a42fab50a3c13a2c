"""What a person has answered: what was just saved, the last ten answers with their time, and taking them back."""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate.pages import work
from annotate.pages.elements import Opened, note
from data.messages import duration, moment

RECENT = 10
SAME_SECONDS = 2.0  # two clocks that differ by less say the same


def panel(answers: list[dict[str, Any]], at: Opened) -> None:
    """The person's last answers; each can be taken back."""
    _ = at.translate
    with (
        st.container(key="recent", width="content"),
        st.popover(_("Last answers"), icon=":material/history:", type="tertiary"),
    ):
        if not answers:
            note(_("Your answers appear here, and can be taken back."))
        for row in answers:
            with st.container(horizontal=True, vertical_alignment="center", wrap=False):
                with st.container(gap=None, width=360):
                    st.text(said(row, at), wrap=False)
                    note(
                        " · ".join(
                            [
                                verdict_name(row["verdict"], at),
                                moment(row["created_at"], at.language),
                                *_time(row, at),
                            ]
                        )
                    )
                if st.button(_("Undo"), key=f"undo-{row['correction_id']}", icon=":material/undo:"):
                    _take_back(row, at)


def _time(answer: dict[str, Any], at: Opened) -> list[str]:
    """Our own clock; Label Studio's beside it where it says something else (drafts make it count twice)."""
    ours, theirs = answer.get("active_seconds"), answer.get("lead_time")
    if ours is None:
        return []
    shown = [duration(ours, at.language)]
    if theirs is not None and abs(theirs - ours) > SAME_SECONDS:
        shown.append(at.translate("Label Studio: {time}").format(time=duration(theirs, at.language)))
    return shown


def undo_button(answers: list[dict[str, Any]], at: Opened) -> None:
    """Takes the last answer back; U does the same."""
    if answers and st.button(
        at.translate("Undo"), key="undo-last", icon=":material/undo:", type="tertiary",
        help=at.translate("Take the last answer back"),
    ):  # fmt: skip
        _take_back(answers[0], at)


def _take_back(answer: dict[str, Any], at: Opened) -> None:
    work.undo(answer["correction_id"], answer["old_pair_id"], at)
    st.rerun()


def notice(answers: list[dict[str, Any]], at: Opened) -> None:
    """What was just saved; or why another pair came than the one that was asked for."""
    _ = at.translate
    text = st.session_state.pop("notice", None)
    saved = st.session_state.get("saved")
    last = next((one for one in answers if one["correction_id"] == saved), None)
    if text:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="notice"):
            st.badge(_("Note"), icon=":material/info:", color="orange")
            st.text(text)
    if last:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False, key="saved"):
            if last["state"] == "conflict":
                st.badge(
                    _("Kept, but somebody else answered first"), icon=":material/call_split:", color="orange"
                )
            else:
                st.badge(_("Saved"), icon=":material/check_circle:", color="green")
            st.text(said(last, at), width="stretch", wrap=False)


def said(answer: dict[str, Any], at: Opened) -> str:
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
