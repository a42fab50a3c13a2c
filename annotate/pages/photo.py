"""The photo of the pair in hand: zoom, pan, full size, and over it, when asked, the heat map of a phrase."""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate.pages import keys, why
from annotate.pages.elements import Opened, note, opened, photo_url, show_error
from annotate.pages.work import Work
from data.errors import GenbaError


@st.fragment
def show() -> None:
    """The viewer and what stands under it. Alone renewed when a phrase is asked for."""
    hand: Work | None = st.session_state.get("work")
    if hand is None:
        return
    at = opened()
    stage = st.container()
    heat = None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        note(at.translate("File: {name}").format(name=hand.row["image"]))
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="small"):
            if not hand.is_blind:
                try:
                    heat = why.heat_panel(hand, at)
                except GenbaError as error:
                    show_error(error)
            if hand.task_url:
                st.link_button(
                    "Label Studio", hand.task_url, type="tertiary", icon=":material/open_in_new:",
                    help=at.translate("Open in Label Studio"),
                )  # fmt: skip
    with stage:
        _viewer(hand, at, heat)
        if heat:
            note(heat.said)


def _viewer(hand: Work, at: Opened, heat: why.Heat | None) -> None:
    _ = at.translate
    name = hand.row["image"]
    alt = (
        _("Where “{phrase}” fits in the photo").format(phrase=heat.phrase)
        if heat
        else _("Photo {name}").format(name=name)
    )
    data: dict[str, Any] = {
        "photo": hand.row["image_id"], "alt": alt,
        "url": heat.url if heat else photo_url(at.site, hand.row["image_id"]),
        "width": hand.width, "height": hand.height,
        "words": {"tools": _("Photo"), "in": _("Closer"), "out": _("Farther"), "whole": _("The whole photo"),
                  "full": _("Full size"), "close": _("Close"),
                  "broken": _(
                      "This photo cannot be shown: its file is gone or damaged. Skip it, and tell the person who runs "
                      "the site; “genba doctor” names such files."
                  )},
    }  # fmt: skip
    keys.component("viewer", "viewer", data)
