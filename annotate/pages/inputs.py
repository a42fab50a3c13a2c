"""One question of the form as a row: its label, and the answers as buttons, a number or a text.

An answer changes `Work.values` in a callback, before the page is drawn again, so that items which the answer shows or
hides are right at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from annotate.form import Item
from annotate.pages.elements import Opened, escaped
from annotate.pages.work import Work
from data.slot_values import TEXT_LENGTH

LABEL_WIDTH = 92


def show(item: Item, hand: Work, at: Opened) -> None:
    """Draw one question. Its widget is made anew for each pair."""
    key = f"slot-{hand.token}-{item.id}"
    with st.container(
        horizontal=True, vertical_alignment="center", wrap=False, gap="small", key=f"row-{item.id}"
    ):
        with st.container(width=LABEL_WIDTH):
            st.text(item.label if item.required else at.translate("{item} (optional)").format(item=item.label),
                    help=escaped(item.help) if item.help else None)  # fmt: skip
        with st.container(width="stretch", gap=None):
            WIDGETS[item.type](item, key, partial(_answered, hand, item.id, key))
            if item.error:
                st.markdown(f":red[:material/error: {escaped(item.error)}]")


def _answered(hand: Work, slot_id: str, key: str) -> None:
    hand.touch()
    hand.values[slot_id] = st.session_state[key]
    hand.is_dirty = True


def _choice(item: Item, key: str, changed: Callable[[], None]) -> None:
    """One click an answer. A required one can be changed but not taken away."""
    words = dict(item.options)
    st.pills(
        escaped(item.label), list(words), key=key, default=item.value, required=item.required,
        format_func=lambda one: escaped(words[one]), on_change=changed, label_visibility="collapsed", wrap=True,
    )  # fmt: skip


def _multi(item: Item, key: str, changed: Callable[[], None]) -> None:
    words = dict(item.options)
    st.pills(
        escaped(item.label), list(words), selection_mode="multi", key=key, default=item.value,
        format_func=lambda one: escaped(words[one]), on_change=changed, label_visibility="collapsed", wrap=True,
    )  # fmt: skip


def _stars(item: Item, key: str, changed: Callable[[], None]) -> None:
    st.pills(
        escaped(item.label), list(range(1, int(item.high or 5) + 1)), key=key, default=item.value,
        required=item.required, on_change=changed, label_visibility="collapsed",
    )  # fmt: skip


def _number(item: Item, key: str, changed: Callable[[], None]) -> None:
    kind: Callable[[Any], Any] = int if item.whole else float
    low, high, step = (None if one is None else kind(one) for one in (item.low, item.high, item.step))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.number_input(
            escaped(item.label), low, high, None if item.value is None else kind(item.value), step, key=key,
            on_change=changed, label_visibility="collapsed", width=140,
        )  # fmt: skip
        if item.unit:
            st.text(item.unit)


def _text(item: Item, key: str, changed: Callable[[], None]) -> None:
    st.text_input(
        escaped(item.label), item.value or "", key=key, on_change=changed, label_visibility="collapsed",
        max_chars=TEXT_LENGTH,
    )  # fmt: skip


WIDGETS: dict[str, Callable[[Item, str, Callable[[], None]], None]] = {
    "choice": _choice,
    "multi": _multi,
    "rating": _stars,
    "number": _number,
    "text": _text,
}
