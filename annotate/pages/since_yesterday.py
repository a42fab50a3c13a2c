"""What changed since the last working day: one line above the queue and on the overview; details and links within.

The counts: annotate/since_yesterday.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from annotate.pages import unusable
from annotate.pages.elements import Opened, escaped, note, simulated_badge
from annotate.roles import is_lead
from annotate.since_yesterday import LastDay, last_day
from data.messages import number

UNUSABLE_SHOWN = 3  # the page Operations has more


def show(at: Opened, waiting: int, more: Callable[[], object] | None = None) -> None:
    """The panel; nothing where nothing has happened. waiting: captions left in the queue. more: drawn last."""
    _ = at.translate
    day = last_day(at.site)
    if day.is_quiet:
        return
    icon = ":material/error:" if day.has_problem else ":material/today:"
    with st.expander(escaped(headline(day, waiting, at)), icon=icon, key="since-yesterday"):
        for text, page in lines(day, at):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                note(text)
                target = st.session_state.get("pages", {}).get(page) if page else None
                if target is not None:
                    st.page_link(target, width="content")
        if day.unusable:
            unusable.show(at, UNUSABLE_SHOWN)
        if day.simulated:
            simulated_badge(at, day.simulated)
        if more:
            more()


def day_name(since: datetime, language: str) -> str:
    """The local day in which `since` (UTC) lies, e.g. "Wed, Nov 25"."""
    from babel.dates import format_skeleton

    return str(format_skeleton("MMMEd", since.replace(tzinfo=UTC).astimezone().date(), locale=language))


def headline(day: LastDay, waiting: int, at: Opened) -> str:
    """All that matters in one line."""
    _ = at.translate

    def said(n: int) -> str:
        return number(n, at.language)

    parts = [
        _("Corrections since {day}: {n}").format(
            day=day_name(day.since, at.language), n=said(day.corrections)
        ),
        *([_("of these simulated: {n}").format(n=said(day.simulated))] if day.simulated else []),
        *([_("people: {n}").format(n=said(day.people))] if day.people or not day.simulated else []),
        _("captions left: {n}").format(n=said(waiting)),
    ]
    if day.to_decide:
        parts.append(_("to decide: {n}").format(n=said(day.to_decide)))
    if day.has_problem:
        parts.append(_("something needs a look"))
    return " · ".join(parts)


def lines(day: LastDay, at: Opened) -> list[tuple[str, str | None]]:
    """What happened, each with the page on which more stands; only what there is."""
    _ = at.translate

    def said(n: int) -> str:
        return number(n, at.language)

    lead = is_lead(at.site, at.person)
    found: list[tuple[int, str, str | None]] = [
        (day.corrections, _("Captions corrected: {n}; confirmed right, set aside or approved: {m}.").format(
            n=said(day.fixed), m=said(day.corrections - day.fixed)), "staff"),
        (day.reviewed, _("Second opinions: {n}, of which {m} differ.").format(
            n=said(day.reviewed), m=said(day.differed)), "review" if lead else None),
        (day.to_decide, _("Two answers differ and wait for a lead: {n}.").format(n=said(day.to_decide)),
         "adjudicate" if lead else None),
        (day.to_review, _("Second opinions that wait in the form: {n}.").format(n=said(day.to_review)), "correct"),
        (day.decided, _("Cases that a lead decided: {n}.").format(n=said(day.decided)), "adjudicate" if lead else None),
        (day.approved, _("Drafts that came in with an approved lot: {n}.").format(n=said(day.approved)), "lots"),
        (day.audited, _("Blind audit: {n} judged, of which {m} were wrong.").format(
            n=said(day.audited), m=said(day.audited_bad)), "quality"),
        (day.photos, _("New photos: {n}.").format(n=said(day.photos)), "explore"),
        (day.retrainings, _("Retrainings that ended: {n}, of which {m} failed.").format(
            n=said(day.retrainings), m=said(day.failed_retrainings)), "runs"),
        (day.promoted, _("Models brought into use: {n}.").format(n=said(day.promoted)), "runs"),
        (day.rolled_back, _("Models rolled back: {n}.").format(n=said(day.rolled_back)), "runs"),
        (day.failed_jobs, _("Jobs that failed: {n}.").format(n=said(day.failed_jobs)), "jobs"),
        (day.unsent, _("Answers that did not reach Label Studio yet: {n}. They are kept and sent again.").format(
            n=said(day.unsent)), "jobs"),
        (day.problems, _("Label Studio: {n} problems, or comparisons that mended something.").format(
            n=said(day.problems)), "jobs"),
    ]  # fmt: skip
    return [(text, page) for n, text, page in found if n]
