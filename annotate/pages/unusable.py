"""The annotations made in Label Studio that cannot be an answer: which, whose, why, and what to do.

annotate/unusable.py keeps them. Shown wherever somebody looks who could mend them; draws nothing where there is none.
"""

from __future__ import annotations

import streamlit as st

from annotate import unusable
from annotate.pages.elements import Opened, escaped, note
from annotate.projects import task_address
from annotate.unusable import Unusable
from data.messages import number

MOST = 20


def show(at: Opened, most: int = MOST) -> None:
    """How many, the way to mend them, and one line each, at most `most`."""
    _ = at.translate
    with at.site.connect() as db:
        found = unusable.standing(db)
    if not found:
        return
    text = _("Annotations made in Label Studio that do not count as answers: {n}.")
    st.badge(escaped(text.format(n=number(len(found), at.language))), icon=":material/error:", color="orange")
    note(
        _("Open each in Label Studio, choose a verdict, fill in every required item and save; or delete the annotation."
          " It leaves this list within a minute.")
    )  # fmt: skip
    for one in found[:most]:
        _line(one, at)
    if len(found) > most:
        note(_("and {n} more").format(n=number(len(found) - most, at.language)))
        operations = st.session_state.get("pages", {}).get("operations")
        if operations is not None and most < MOST:
            st.page_link(operations, width="content")


def _line(one: Unusable, at: Opened) -> None:
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(gap=None):
            st.text(" · ".join(filter(None, [one.photo or one.pair_id, one.caption])))
            note(_("{person}: {text}").format(person=one.person, text=one.why[at.language]))
        if url := task_address(at.site, one.project, one.task):
            st.link_button(
                _("Open in Label Studio"),
                url,
                icon=":material/open_in_new:",
                type="tertiary",
                width="content",
            )
