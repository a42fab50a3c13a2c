"""The keys of the correction page: which there are, the panel that lists them, and the part that hears them.

    digits           choose an answer of the slot that has the focus; then the focus moves on
    Up, Down         from slot to slot;  Left, Right: look at an answer, Space takes it
    Enter            saves the correction;  a letter gives another verdict;  U takes the last answer back;  ? lists all

Digits belong to the answers alone, so that none ever gives a verdict by mistake.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from annotate.form import Item
from annotate.pages.elements import Opened, guide_link
from annotate.pages.work import Work
from data.templates import Template

# The key of a button (Streamlit's `key`, which stands in the page as a class) -> the key that clicks it.
KEYS = {
    "fix": "Enter", "ok": "A", "not_sure": "N", "unusable": "X", "private": "P", "skip": "S", "undo-last": "U",
    "rubric": "G", "why": "W", "heat": "H", "recent": "L", "keys": "?", "photo-in": "+", "photo-out": "-",
    "photo-whole": "Z", "photo-full": "F",
}  # fmt: skip
SUBMITTING = (
    "fix",
    "ok",
    "not_sure",
    "unusable",
    "private",
    "undo-last",
)  # what is typed meanwhile waits for the next pair


@functools.cache
def _component(name: str) -> Any:
    """A component of the page, made once a process. Its files stand beside this one."""
    here = Path(__file__).with_name(name)
    files = {kind: here.with_suffix(f".{kind}") for kind in ("js", "css", "html")}
    given: dict[str, Any] = {
        kind: path.read_text(encoding="utf-8") for kind, path in files.items() if path.exists()
    }
    return st.components.v2.component(f"genba_{name}", **given)


def component(name: str, key: str, data: dict[str, Any], **more: Any) -> Any:
    """Put the component of annotate/pages/NAME.js here. `data` goes to its script; `more`: as Streamlit takes it."""
    return _component(name)(key=key, data=data, **more)


def listen(hand: Work, asked: Sequence[Item], template: Template, at: Opened) -> None:
    """Hear the keyboard. asked: the items that are shown. Drawn last, so that the answers are there before."""
    hand.drawn += 1
    deciding = {slot.show_when.slot for slot in template.slots if slot.show_when}
    component("keys", "keys-listen", {
        "token": hand.token, "drawn": hand.drawn, "refused": hand.refused, "keys": KEYS, "submitting": SUBMITTING,
        "rows": [item.id for item in asked],
        "open": [item.id for item in asked if item.error or item.is_open],
        "required": [item.id for item in asked if item.required],
        "many": [item.id for item in asked if item.type == "multi"],
        "deciding": sorted(deciding),
        "chosen": {item.id: _place(item) for item in asked if item.id in deciding},
        "rubric": at.translate("What is a good caption?"),
        "lost": at.translate(
            "No connection. What you have chosen is kept; the page goes on by itself when it is back."
        ),
    }, width="content", height="content")  # fmt: skip


def _place(item: Item) -> int | None:
    """Which of its answers is chosen."""
    options = [one for one, _words in item.options]
    return options.index(item.value) if item.value in options else None


def show(at: Opened) -> None:
    """The panel that lists the keys."""
    _ = at.translate
    with st.container(key="keys"), st.popover(_("Keys"), icon=":material/keyboard:", type="tertiary"):
        for key, words in _listed(at):
            with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
                with st.container(width=110):
                    st.badge(key, color="gray")
                st.text(words)
        guide_link()


def _listed(at: Opened) -> list[tuple[str, str]]:
    _ = at.translate
    return [
        (_("1 to 9, 0"), _("Choose an answer; then on to the next question")),
        (_("Shift and a digit"), _("Answers 11 to 20")),
        ("↑ ↓", _("From question to question")),
        ("← →", _("Look at an answer; the space bar takes it")),
        ("Enter", _("Save the correction")),
        ("A", _("Already right")),
        ("N", _("Not sure")),
        ("X", _("Unusable photo")),
        ("P", _("Private content")),
        ("S", _("Skip, then a digit for the reason")),
        ("U", _("Take the last answer back")),
        ("+ − Z F", _("The photo: closer, farther, whole, full size")),
        ("H", _("Where in the photo does a phrase fit?")),
        ("G W L", _("What a good caption is, why this one is here, the last answers")),
        ("Esc", _("Close what is open")),
    ]
