"""The queue: the captions that most need a person, with their reasons; one click opens the form on one of them.

Pairs under audit never stand here (annotate/queue.py).
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate import queue
from annotate.pages import narrowed, progress, since_yesterday
from annotate.pages.elements import Opened, empty, go_to, note, opened, photo_url, shows_errors
from annotate.pages.jobs_strip import live_strip
from annotate.pages.narrowed import Narrowed
from data import jobs, kept
from data.messages import moment, number
from data.site import Site
from data.store import now

PAGE_ROWS = 8
REASONS_SHOWN = 3
PHOTO_WIDTH = 136
HIGH, MIDDLE = 0.66, 0.33  # where the risk's colour changes; the number stands beside it


@shows_errors
def page() -> None:
    """The page of the queue."""
    at = opened()
    _ = at.translate
    head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    chosen = narrowed.choose(at)
    # of a large site's whole queue as it was counted last (data/kept.py): people at work wait for nothing
    waiting = (
        queue.count(at.site, **chosen.arguments)
        if chosen
        else kept.value(at.site, "waiting", int, queue.count)
    )
    with head:
        st.title(_("Queue"), anchor=False, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            progress.show(at, waiting)
            if waiting and st.button(
                _("Start with the first"), type="primary", icon=":material/play_arrow:", key="start"
            ):
                _open(None, chosen)
    since_yesterday.show(at, kept.value(at.site, "waiting", int, queue.count))
    live_strip()
    if not waiting:
        nothing(at, bool(chosen))
        return
    number_of_pages = -(-waiting // PAGE_ROWS)
    page_number = min(st.session_state.get("queue-page", 1), number_of_pages)
    rows = queue.top(at.site, PAGE_ROWS, (page_number - 1) * PAGE_ROWS, **chosen.arguments)
    holders = _holders(at.site, [row["pair_id"] for row in rows])
    for row in rows:
        _row(row, holders.get(row["pair_id"]), chosen, at)
    if number_of_pages > 1:
        with st.container(horizontal_alignment="center"):
            st.session_state["queue-page"] = page_number  # a search may have left fewer pages
            st.pagination(number_of_pages, key="queue-page", persist_state="session")
    if since := kept.oldest(at.site):
        note(_("Figures over all captions as of {when}").format(when=moment(since, at.language)))


def _holders(site: Site, pair_ids: list[str]) -> dict[str, str]:
    """Pair -> who has it in work now."""
    with site.connect() as db:
        rows = db.rows(
            "SELECT pair_id, annotator FROM leases WHERE expires_at > ? AND list_contains(?, pair_id)",
            [now(), pair_ids],
        )
    return {row["pair_id"]: row["annotator"] for row in rows}


def _row(row: dict[str, Any], holder: str | None, chosen: Narrowed, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True, key=f"row-{row['pair_id'][:16]}"):
        photo, text, act = st.columns([1.3, 5, 1.9], vertical_alignment="center")
        url = photo_url(at.site, row["image_id"])
        photo.image(url, width=PHOTO_WIDTH, link=url, alt=_("Photo {name}").format(name=row["image"]))
        with text, st.container(gap="xsmall"):
            if row["state"] == "missing":
                st.badge(_("No caption yet"), icon=":material/edit_note:", color="orange")
            else:
                st.text(row["caption"])
            _reasons(row, at)
        with act:
            _risk(row, at)
            if holder and holder != at.person:
                st.text(_("In work: {name}").format(name=holder))
            elif st.button(
                _("Correct this"), key=f"open-{row['pair_id']}", width="stretch", icon=":material/edit:"
            ):
                _open(row["pair_id"], chosen)


def _reasons(row: dict[str, Any], at: Opened) -> None:
    from scoring.reasons import words

    with st.container(gap=None):
        for reason in row["reasons"][:REASONS_SHOWN]:
            note("• " + words(reason, at.language))


def _risk(row: dict[str, Any], at: Opened) -> None:
    _ = at.translate
    risk = float(row["risk"])
    color = "red" if risk >= HIGH else "orange" if risk >= MIDDLE else "green"
    percent = _("Risk {n} %").format(
        n=number(int(100 * risk), at.language)
    )  # 100 stands for a missing caption alone
    st.progress(min(max(risk, 0.0), 1.0), text=f":{color}[**{percent}**]")


def _open(pair_id: str | None, chosen: Narrowed) -> None:
    narrowed.start(chosen)
    st.session_state["open_pair"] = pair_id
    go_to("correct")


def nothing(at: Opened, is_filtered: bool = False) -> None:
    """Why nothing stands here, and what to do about it."""
    _ = at.translate
    with at.site.connect() as db:
        captions = db.value("SELECT count(*) FROM pairs")
        scored = db.value("SELECT count(*) FROM scores")
        active = {job.name for job in jobs.jobs(db, limit=20) if job.state in jobs.ACTIVE}
    if is_filtered:
        empty(
            _("No caption matches"),
            _("Choose another language, another slice or other words."),
            ":material/search_off:",
        )
    elif not captions:
        empty(
            _("No captions yet"), _("Read them in on the command line; they appear here once they are scored."),
            ":material/upload_file:",
            lambda: st.code(f"genba ingest {at.site.root} captions.csv", language=None, width="content"),
        )  # fmt: skip
    elif not scored and "score" in active:
        empty(
            _("The captions are being scored"), _("The worst appear here as soon as that is done."),
            ":material/hourglass_top:",
        )  # fmt: skip
    elif not scored:
        empty(
            _("Nothing scored yet"), _("Scoring finds the captions that most need a person."),
            ":material/insights:", lambda: _score_now(at),
        )  # fmt: skip
    else:
        empty(
            _("Nothing waits"), _("Every caption that was scored has its answer. Thank you."),
            ":material/task_alt:",
        )  # fmt: skip


def _score_now(at: Opened) -> None:
    if st.button(at.translate("Score the captions now"), type="primary", icon=":material/play_arrow:"):
        with at.site.connect() as db:
            jobs.enqueue(db, "score", requested_by=at.person)
            db.event(at.person, "job.queued", {"name": "score", "arguments": {}})
        st.rerun()
