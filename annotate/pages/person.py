"""Who sits at this browser, and in which language: remembered in the store under the browser's own random cookie.

A session of the web framework ends with a reload; a name in the address would travel with every link that is sent on.
So the server gives each browser a random cookie (app.py), and the store knows name and language of each.
"""

from __future__ import annotations

import re

import streamlit as st

from data.messages import LANGUAGES
from data.site import Site

COOKIE = "genba_browser"
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


def remember(site: Site, **changed: str) -> None:
    """Change name or language of this session, and keep both for this browser."""
    st.session_state.update(changed)
    if key := browser_key():
        with site.connect() as db:
            db.set_state(key, {field: st.session_state.get(field, "") for field in ("name", "language")})
