"""How far one is: what this person has answered today, and how much still waits."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import streamlit as st

from annotate import queue
from annotate.pages import narrowed
from annotate.pages.elements import Opened
from data.messages import number
from data.site import Site
from data.store import now


def answered_today(site: Site, person: str, zone: tzinfo | None = None) -> int:
    """Standing answers of this person since midnight. zone: of the calendar day; default: this machine's."""
    midnight = now().replace(tzinfo=UTC).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    since: datetime = midnight.astimezone(UTC).replace(tzinfo=None)
    with site.connect() as db:
        return int(
            db.value(
                "SELECT count(*) FROM corrections WHERE annotator = ? AND state IN ('active', 'conflict') "
                "AND created_at >= ?",
                [person, since],
            )
        )


def show(at: Opened, waiting: int | None = None) -> None:
    """Badges for the head of a page: answered today, waiting. waiting: where the page has counted already.

    Without it the page is the one that works through the slice, and the slice and its own count stand there.
    """
    _ = at.translate
    if waiting is None:
        narrowed.badge(at)
        waiting = queue.count(at.site, **narrowed.current().arguments)
    if st.session_state.get("name"):
        done = number(answered_today(at.site, at.person), at.language)
        st.badge(_("Today: {n}").format(n=done), icon=":material/task_alt:", color="green")
    left = number(waiting, at.language)
    st.badge(_("Waiting: {n}").format(n=left), icon=":material/pending_actions:", color="blue")
