"""How far one is: what this person has answered today, and how much still waits."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import streamlit as st

from annotate import queue
from annotate.pages import narrowed
from annotate.pages.elements import Opened
from data.messages import number
from data.site import Site
from data.store import Database, now


def answered_today(
    site: Site, person: str, zone: tzinfo | None = None, within: Database | None = None
) -> int:
    """Standing answers that this person gave since midnight, each once.

    zone: of the calendar day; default: this machine's. within: an open transaction.
    """
    midnight = now().replace(tzinfo=UTC).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    since: datetime = midnight.astimezone(UTC).replace(tzinfo=None)
    with site.connect(within) as db:
        return int(
            db.value(
                "SELECT (SELECT count(*) FROM corrections c WHERE annotator = $person AND source <> 'lot' "
                "AND state IN ('active', 'conflict') AND created_at >= $since AND NOT EXISTS (SELECT 1 "
                "FROM adjudications a WHERE a.result_id = c.correction_id AND a.decision IN ('second', 'edited') "
                "AND a.kind = 'review')) + (SELECT count(*) FROM reviews "
                "WHERE reviewer = $person AND state IN ('agreed', 'differs', 'decided') AND answered_at >= $since)",
                {"person": person, "since": since},
            )
        )


def counted(at: Opened, db: Database) -> tuple[int, int]:
    """(answered today, waiting in the slice in which this person works). db: an open transaction."""
    waiting = queue.count(at.site, **narrowed.current().arguments, within=db)
    return answered_today(at.site, at.person, within=db), waiting


def show(at: Opened, waiting: int | None = None, counts: tuple[int, int] | None = None) -> None:
    """Badges for the head of a page: answered today, waiting.

    waiting: where the page has counted the whole queue. counts (`counted`): on the page that works through the slice,
    which stands there too.
    """
    _ = at.translate
    if counts is None:
        counts = answered_today(at.site, at.person), waiting if waiting is not None else queue.count(at.site)
    else:
        narrowed.badge(at)
    today, left = (number(count, at.language) for count in counts)
    if st.session_state.get("name"):
        st.badge(_("Today: {n}").format(n=today), icon=":material/task_alt:", color="green")
    st.badge(_("Waiting: {n}").format(n=left), icon=":material/pending_actions:", color="blue")
