"""Who sits at this browser, and in which language: remembered in the store under the browser's own random cookie.

A session of the web framework ends with a reload; a name in the address would travel with every link that is sent on.
So the server gives each browser a random cookie (app.py), and the store knows name and language of each.
"""

from __future__ import annotations

import re
import unicodedata

import streamlit as st

from annotate.pages.elements import show_error
from data.errors import GenbaError
from data.messages import LANGUAGES, translator
from data.site import Site

COOKIE = "genba_browser"
SIMULATED = "(simulated)"  # ends the names of annotate/crew.py
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")  # 16 random bytes


def browser_key() -> str | None:
    """Under which this browser's choices stand in the store's state; None for one that has no cookie (yet)."""
    token = st.context.cookies.get(COOKIE, "")
    return f"browser:{token}" if TOKEN.fullmatch(token) else None


def recall(site: Site) -> None:
    """Put name and language into a new session: this browser's, else no name and the site's first language."""
    if "language" in st.session_state:
        return
    known: dict[str, str] = {}
    if key := browser_key():
        with site.connect() as db:
            known = db.get_state(key) or {}
    language = known.get("language")
    st.session_state["language"] = language if language in LANGUAGES else site.language
    st.session_state["name"] = known.get("name", "")


def is_recalled(site: Site) -> bool:
    """`recall`, which is the first to open the store. False, and said why, where that cannot be: then there is no page
    to show."""
    try:
        with st.spinner(translator(site.language)("Waiting for the store, which another program uses ...")):
            recall(site)
    except GenbaError as error:
        st.session_state["language"] = site.language
        show_error(error)
        del st.session_state["language"]  # not recalled yet: the next try asks again
        return False
    return True


def as_name(text: str) -> str:
    """What may stand as a name: no control or formatting characters (they could turn the text of a page around), one
    space between words, and not the mark of the demo's crew.

    >>> as_name(" 佐藤\u202e  一郎 (simulated)")
    '佐藤 一郎'
    """
    shown = "".join(
        " " if one.isspace() else one for one in text if one.isspace() or unicodedata.category(one)[0] != "C"
    )
    return " ".join(shown.replace(SIMULATED, " ").split())


def remember(site: Site, **changed: str) -> None:
    """Change name or language of this session, and keep both for this browser."""
    if "name" in changed:
        changed["name"] = as_name(changed["name"])
    st.session_state.update(changed)
    if key := browser_key():
        with site.connect() as db:
            db.set_state(key, {field: st.session_state.get(field, "") for field in ("name", "language")})
