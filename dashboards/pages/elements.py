"""What the managers' pages share: opening the site, errors, "not yet measurable", and "how is this computed".

Names, captions and messages that people or jobs wrote are shown by st.text, st.code or st.dataframe, which take no
Markdown and no HTML.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from dashboards.figures import Missing
from data.errors import GenbaError
from data.messages import Translate, number, translator
from data.site import Site

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


@dataclass(frozen=True)
class Opened:
    """What a page needs: the site, the language that the person chose, its translator, and who the person is."""

    site: Site
    language: str
    translate: Translate
    person: str


def opened() -> Opened:
    """The site named by GENBA_SITE, in the session's language (default: the site's first)."""
    folder = os.environ.get("GENBA_SITE")
    if not folder:
        raise GenbaError(
            "No site is named: the environment variable GENBA_SITE is empty.", next="genba up SITE"
        )
    site = Site.open(folder)
    language = st.session_state.get("language") or site.language
    person = st.session_state.get("name") or st.session_state.get("annotator") or "web"
    return Opened(site, language, translator(language), str(person))


def shows_errors(page: Callable[[], None]) -> Callable[[], None]:
    """A page that shows a GenbaError in words, with the next command, in place of a traceback."""

    @functools.wraps(page)
    def guarded() -> None:
        try:
            page()
        except GenbaError as error:
            show_error(error)

    return guarded


def show_error(error: GenbaError) -> None:
    """What happened, the value, the choices; the next command apart, ready to copy."""
    _ = translator(st.session_state.get("language") or "en")
    with st.container(border=True):
        st.badge(_("This could not be done"), icon=":material/error:", color="red")
        st.text(error.what + (f" ({', '.join(error.choices)})" if error.choices else ""))
        if error.next:
            st.code(error.next, language=None)


def how(
    title: str, formula: str, *queries: str, popover: bool = False, more: Callable[[], None] | None = None
) -> DeltaGenerator:
    """ "How is this computed": the formula in words and the very queries. `more` adds lines between the two."""
    icon = ":material/help:"
    place = st.popover(title, type="tertiary", icon=icon) if popover else st.expander(title, icon=icon)
    with place:
        st.text(formula)
        if more:
            more()
        for query in queries:
            st.code(query.strip(), language="sql", wrap_lines=True)
    return place


def heading(title: str) -> None:
    """The title of a panel; smaller than a page's."""
    st.markdown(f"##### {title}", anchors=False)


def missing(label: str, found: Missing, at: Opened) -> None:
    """A number that cannot be given: what it needs, never a zero."""
    _ = at.translate
    st.metric(label, "—")
    note(_("Not yet measurable: needs {what}.").format(what=_(found.needs)))
    if found.command:
        st.code(found.command, language=None, wrap_lines=True)


def note(text: str) -> None:
    """A small muted line, shown as it is written: st.caption alone would read Markdown in a name."""
    st.caption(re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:])", r"\\\1", text))


def simulated_badge(at: Opened, included: int = 0) -> None:
    """Marks what the simulated crew of the demo did; `included`: so many of the corrections behind a number."""
    _ = at.translate
    text = _("includes {n} simulated").format(n=number(included, at.language)) if included else _("simulated")
    st.badge(text, icon=":material/smart_toy:", color="violet")


def empty(at: Opened, title: str, text: str) -> None:
    """A designed empty state: what will stand here, and what brings it."""
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.text(title, text_alignment="center")
        note(text)
        st.space("small")
