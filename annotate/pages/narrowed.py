"""The slice of the queue that a person works in: chosen on the queue's page, kept until they choose another.

slice_ = narrowed.choose(at)       # draws the filters
narrowed.start(slice_)             # from now on the next pair comes from it
narrowed.current().arguments       # for queue.claim, queue.count and queue.top
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from annotate import queue
from annotate.pages.elements import Opened, empty, escaped, note
from data import kept
from data.messages import LANGUAGES, number

EVERY = ""  # of the choices of a column: no value is chosen


@dataclass(frozen=True)
class Narrowed:
    """What the captions of the slice have in common; without anything it is the whole queue."""

    language: str | None = None
    words: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()  # picked on the map: annotate/pages/explore.py
    name: str = ""  # of what was picked

    def __bool__(self) -> bool:
        return bool(self.language or self.words or self.extra or self.pairs)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"language": self.language, "words": self.words, "extra": self.extra, "pairs": self.pairs}

    @property
    def text(self) -> str:
        """In one line, e.g. "日本語 · line: A · “bolt”"."""
        parts = [self.name] if self.name else []
        parts += [LANGUAGES[self.language]] if self.language else []
        parts += [f"{key}: {value}" for key, value in self.extra.items()]
        return " · ".join([*parts, *([f"“{self.words}”"] if self.words else [])])


def current() -> Narrowed:
    """The slice in which this person started; the whole queue for one who started without."""
    found: Narrowed = st.session_state.get("slice", Narrowed())
    return found


def start(chosen: Narrowed) -> None:
    """The next pairs come from this slice. The one in hand goes back, unless it lies in it; its answers are kept."""
    if chosen != current():
        st.session_state.pop("work", None)
    st.session_state["slice"] = chosen


def choose(at: Opened) -> Narrowed:
    """Draw the filters; what they say now."""
    _ = at.translate
    names = {"all": _("All languages"), **LANGUAGES}
    with st.container(horizontal=True, vertical_alignment="center"):
        language = st.segmented_control(
            _("Language of the caption"), list(names), format_func=lambda key: names[key], default="all",
            required=True, key="queue-language", label_visibility="collapsed", on_change=_first_page,
            persist_state="session",
        )  # fmt: skip
        words = st.text_input(
            _("Words in the caption"), key="queue-words", placeholder=_("Search in the captions"),
            label_visibility="collapsed", icon=":material/search:", on_change=_first_page, max_chars=100,
            persist_state="session",
        )  # fmt: skip
        extra = _choose_extra(at)
    return Narrowed(None if language in (None, "all") else str(language), words.strip(), extra)


def _choose_extra(at: Opened) -> dict[str, str]:
    """A choice for each extra column that tells captions apart."""
    _ = at.translate
    chosen: dict[str, str] = st.session_state.get("queue-extra", {})
    counts: dict[str, dict[str, int]] = kept.value(
        at.site, "queue slices", dict[str, dict[str, int]], queue.slices
    )
    known = {key: values for key, values in counts.items() if len(values) > 1 or key in chosen}
    if not known:
        return chosen
    label = _("Slice: {what}").format(what=Narrowed(extra=chosen).text) if chosen else _("Slice")
    with st.popover(escaped(label), icon=":material/filter_alt:"):
        for key, values in known.items():
            held = chosen.get(key, EVERY)
            options = list(dict.fromkeys([EVERY, *values, held]))
            names = {EVERY: _("All")} | {
                value: f"{value} ({number(values.get(value, 0), at.language)})" for value in options[1:]
            }
            st.selectbox(
                escaped(key), options, format_func=names.__getitem__, key=f"queue-extra-{key}",
                index=options.index(held), on_change=_chose, args=(key,),
            )  # fmt: skip
        note(_("A random part of what you get is judged blind and comes from everywhere."))
    return chosen


def _chose(key: str) -> None:
    """Kept apart from the widgets, which forget their value while another page is shown."""
    chosen = {**st.session_state.get("queue-extra", {}), key: st.session_state[f"queue-extra-{key}"]}
    st.session_state["queue-extra"] = {key: value for key, value in chosen.items() if value != EVERY}
    _first_page()


def _first_page() -> None:
    st.session_state["queue-page"] = 1


def badge(at: Opened) -> None:
    """Names the slice in which the person works, with the way out; draws nothing in the whole queue."""
    _ = at.translate
    if now := current():
        st.badge(
            escaped(_("Slice: {what}").format(what=now.text)), icon=":material/filter_alt:", color="gray"
        )
        if st.button(_("All captions"), key="leave-slice", icon=":material/filter_alt_off:", type="tertiary"):
            start(Narrowed())
            st.rerun()


def nothing_left(at: Opened) -> bool:
    """Say that nothing waits in this slice while something waits elsewhere; False: that is not so."""
    _ = at.translate
    now = current()
    if not now or queue.count(at.site, **now.arguments) or not queue.count(at.site):
        return False
    empty(
        _("Nothing waits in this slice"),
        _("{what}: every caption has its answer, or is in work elsewhere.").format(what=now.text),
        ":material/task_alt:",
    )
    return True
