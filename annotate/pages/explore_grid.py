"""The photos that are chosen on the map, some at a time: caption, review state, risk, and the next step under each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from annotate import explore
from annotate.explore_words import risk_words, state_words
from annotate.pages import narrowed
from annotate.pages.elements import Opened, empty, go_to, note, photo_url
from annotate.pages.explore_choice import choose_like

if TYPE_CHECKING:
    from annotate.explore import Ints, Photos

COLUMNS, LINES = 3, 2
CAPTION_LETTERS = 90


def show(photos: Photos, rows: Ints, choice: Mapping[str, Any], at: Opened) -> None:
    """One page of the chosen photos."""
    _ = at.translate
    if not len(rows):
        empty(
            _("No photo is chosen"), _("Draw around some points, search, or switch a colour on again."),
            ":material/gesture_select:",
        )  # fmt: skip
        return
    size = COLUMNS * LINES
    pages = -(-len(rows) // size)
    now = min(max(int(st.session_state.get("explore-page", 1)), 1), pages)
    found = explore.details(at.site, photos, rows[(now - 1) * size : now * size])
    fits = dict(
        zip(choice.get("ids", ()), choice.get("cosines", ()), strict=False)
    )  # no cosine of one clicked
    with st.container(key="explore-grid", gap="small"):
        for start in range(0, len(found), COLUMNS):
            for column, row in zip(
                st.columns(COLUMNS, gap="small"), found[start : start + COLUMNS], strict=False
            ):
                with column:
                    _card(row, fits.get(row["image_id"]), at)
    if pages > 1:
        with st.container(horizontal_alignment="center"):
            st.session_state["explore-page"] = now
            st.pagination(pages, max_visible_pages=5, key="explore-page", persist_state="session")


def _card(row: Mapping[str, Any], cosine: float | None, at: Opened) -> None:
    _ = at.translate
    url = photo_url(at.site, row["image_id"])
    with st.container(gap="xxsmall", key=f"photo-{row['image_id']}"):
        st.image(url, width="stretch", link=url, alt=_("Photo {name}").format(name=row["image"]))
        caption = row["caption"] or _("No caption yet")
        st.text(caption if len(caption) <= CAPTION_LETTERS else caption[:CAPTION_LETTERS] + "…")
        said = [state_words(at.language)[row["review"]], risk_words(row["risk"], at.language)]
        if cosine is not None:
            said.append(_("likeness {n}").format(n=f"{cosine:.2f}"))
        note(" · ".join(filter(None, said)))
        with st.container(horizontal=True, gap="small"):
            if st.button(_("Alike"), key=f"like-{row['image_id']}", help=_("Photos like this one")):
                choose_like(at, row["image_id"], row["image"])
                st.rerun()
            if row["review"] in ("waiting", "missing") and st.button(
                _("Correct"), key=f"correct-{row['pair_id']}", help=_("Correct this")
            ):
                narrowed.start(narrowed.Narrowed())
                st.session_state["open_pair"] = row["pair_id"]
                go_to("correct")
