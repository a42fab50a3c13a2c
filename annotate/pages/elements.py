"""What all pages share: opening the site, errors, empty states, photos, and text that is shown as it was written.

Names, captions and messages that people or jobs wrote are shown by st.text, st.code or st.dataframe, which take no
Markdown and no HTML.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import streamlit as st

from data.errors import GenbaError
from data.heat_maps import heat_address
from data.messages import Translate, number, translator
from data.served import photo_address
from data.site import Site
from data.told import in_words


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
    return Opened(site, language, translator(language), str(st.session_state.get("name") or "web"))


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
    language = st.session_state.get("language") or "en"
    _ = translator(language)
    with st.container(border=True):
        st.badge(_("This could not be done"), icon=":material/error:", color="red")
        what = in_words(error.what, language)
        st.text(what + (f" ({', '.join(error.choices)})" if error.choices else ""))
        if error.next:
            st.code(error.next, language=None)


def heading(title: str) -> None:
    """The title of a panel: next in rank to the page's, and much smaller (style.css)."""
    st.markdown(f"## {escaped(title)}", anchors=False)


def note(text: str) -> None:
    """A small muted line, shown as it is written: st.caption alone would read Markdown in a name."""
    st.caption(escaped(text))


def escaped(text: str) -> str:
    """Text for the places that read Markdown (labels, tooltips), so that it shows as it is written."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:])", r"\\\1", text)


def simulated_badge(at: Opened, included: int = 0) -> None:
    """Marks what the simulated crew of the demo did; `included`: so many of the corrections behind a number."""
    _ = at.translate
    text = _("includes {n} simulated").format(n=number(included, at.language)) if included else _("simulated")
    st.badge(text, icon=":material/smart_toy:", color="violet")


def empty(
    title: str, text: str, icon: str = ":material/inbox:", more: Callable[[], object] | None = None
) -> None:
    """A designed empty state: what will stand here, and what brings it. `more` adds what may be done now."""
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.badge(escaped(title), icon=icon, color="gray")
        with st.container(width="content"):
            note(text)
        if more:
            more()
        st.space("small")


def photo_url(site: Site, image_id: str) -> str:
    """The photo's signed address as the browser reaches it."""
    return _absolute(site, photo_address(site, image_id))


def heat_url(site: Site, key: str) -> str:
    """The signed address of a photo with a heat map (data/heat_maps.py)."""
    return _absolute(site, heat_address(site, key))


def clock_url(site: Site) -> str:
    """Where the browser reports its active seconds (annotate/clock.py)."""
    return _absolute(site, "/clock")


def map_url(site: Site, name: str, **query: str) -> str:
    """The signed address of a part of the map (annotate/explore_held.py)."""
    from annotate.explore_held import address

    return _absolute(site, address(site, name, **query))


def _absolute(site: Site, address: str) -> str:
    """Streamlit takes no relative ones."""
    url = urlsplit(st.context.url or f"http://{site.settings.web.host}:{site.settings.web.port}")
    return f"{url.scheme}://{url.netloc}{address}"


def guide_link() -> None:
    """Leads to the guide; draws nothing where a page is shown alone."""
    if guide := st.session_state.get("pages", {}).get("guide"):
        st.page_link(guide)


def go_to(page: str) -> None:
    """Open one of the pages that app.py has put into the session."""
    target = st.session_state.get("pages", {}).get(page)
    if target is not None:
        st.switch_page(target)
