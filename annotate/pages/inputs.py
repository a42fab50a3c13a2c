"""One question of the form as a row: its label, and the answers as buttons, a number or a text.

An answer changes `Work.values` in a callback, before the page is drawn again, so that items which the answer shows or
hides are right at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import streamlit as st

from annotate.form import Item
from annotate.form_origin import Origin
from annotate.pages.elements import Opened, escaped
from annotate.pages.work import Work
from data.messages import number
from data.slot_values import TEXT_LENGTH

LABEL_WIDTH = 104


def show(item: Item, hand: Work, at: Opened) -> None:
    """Draw one question. Its widget is made anew for each pair."""
    key = f"slot-{hand.token}-{item.id}"
    with st.container(
        horizontal=True, vertical_alignment="center", wrap=False, gap="small", key=f"row-{item.id}"
    ):
        with st.container(
            width=LABEL_WIDTH, horizontal=True, vertical_alignment="center", wrap=False, gap="xxsmall"
        ):
            st.text(item.label if item.required else at.translate("{item} (optional)").format(item=item.label),
                    help=escaped(item.help) if item.help else None, width="stretch")  # fmt: skip
            _origin(item, hand, at)
        with st.container(width="stretch", gap=None):
            WIDGETS[item.type](item, key, partial(_answered, hand, item.id, key))
            if item.error:
                st.markdown(f":red[:material/error: {escaped(item.error)}]")


def _origin(item: Item, hand: Work, at: Opened) -> None:
    """A small mark: where the answer comes from, and how sure that is. The words are its tooltip."""
    origin = hand.origin(item.id) if item.value is not None else None
    if item.is_open:
        _mark("open", item.id, at.translate("Still to answer"), "orange")
    elif origin is not None and origin.kind != "person":
        color: Literal["orange", "gray"] = "orange" if origin.is_unsure else "gray"
        _mark(origin.kind, item.id, origin_words(origin, at), color)


def _mark(kind: str, slot_id: str, text: str, color: Literal["orange", "gray"]) -> None:
    with st.container(key=f"origin-{kind}-{slot_id}", width="content"):
        st.badge(escaped(text), icon=ICONS[kind], color=color, help=escaped(text))


def origin_words(origin: Origin, at: Opened) -> str:
    """Where an answer comes from, in words."""
    _ = at.translate
    said = {
        "words": _("The old caption says so"),
        "meaning": _("The old caption means something like it"),
        "default": _("Usual value"),
        "draft": _("Proposed by the machine"),
        "person": _("Chosen by you"),
    }[origin.kind]
    if origin.kind not in ("meaning", "draft") or origin.confidence is None:
        return said
    sure = number(100 * origin.confidence, at.language)
    return _("{origin}, {n} % sure").format(origin=said, n=sure)


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
        escaped(item.label), list(range(1, item.stars + 1)), key=key, default=item.value,
        required=item.required, on_change=changed, label_visibility="collapsed",
    )  # fmt: skip


def _number(item: Item, key: str, changed: Callable[[], None]) -> None:
    """Without bounds of its own: past them Streamlit keeps the number before, and the form would save that one."""
    kind: Callable[[Any], Any] = int if item.whole else float
    value, step = (None if one is None else kind(one) for one in (item.value, item.step))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.number_input(
            escaped(item.label), value=value, step=step, key=key, on_change=changed, label_visibility="collapsed",
            width=184,
        )  # fmt: skip
        if item.unit:
            st.text(item.unit)


def _text(item: Item, key: str, changed: Callable[[], None]) -> None:
    st.text_input(
        escaped(item.label), item.value or "", key=key, on_change=changed, label_visibility="collapsed",
        max_chars=10 * TEXT_LENGTH,  # past TEXT_LENGTH it is refused in words when saved; here it would be cut silently
    )  # fmt: skip


ICONS = {
    "words": ":material/notes:", "meaning": ":material/translate:", "default": ":material/radio_button_unchecked:",
    "draft": ":material/smart_toy:", "open": ":material/pending:",
}  # fmt: skip
WIDGETS: dict[str, Callable[[Item, str, Callable[[], None]], None]] = {
    "choice": _choice,
    "multi": _multi,
    "rating": _stars,
    "number": _number,
    "text": _text,
}
