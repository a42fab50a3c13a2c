"""What changed since yesterday: one line above the queue, with details and links for whoever opens it."""

from __future__ import annotations

import streamlit as st

from annotate.pages.elements import Opened, escaped, note, simulated_badge
from annotate.roles import is_lead
from annotate.since_yesterday import LastDay, last_day
from data.messages import number


def show(at: Opened, waiting: int) -> None:
    """The panel; nothing on a site where nothing has happened. waiting: captions left in the queue."""
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
        if day.simulated:
            simulated_badge(at, day.simulated)


def headline(day: LastDay, waiting: int, at: Opened) -> str:
    """All that matters in one line."""
    _ = at.translate

    def said(n: int) -> str:
        return number(n, at.language)

    parts = [
        _("Corrections since yesterday: {n}").format(n=said(day.corrections)),
        _("people: {n}").format(n=said(day.people)),
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
        (day.reviewed, _("Second opinions: {n}, of which {m} differ.").format(
            n=said(day.reviewed), m=said(day.differed)), "review" if lead else None),
        (day.to_decide, _("Two answers differ and wait for a lead: {n}.").format(n=said(day.to_decide)),
         "adjudicate" if lead else None),
        (day.to_review, _("Second opinions that wait in the form: {n}.").format(n=said(day.to_review)), "correct"),
        (day.retrainings, _("Retrainings that ended: {n}.").format(n=said(day.retrainings)), "runs"),
        (day.failed_jobs, _("Jobs that failed: {n}.").format(n=said(day.failed_jobs)), "jobs"),
        (day.unsent, _("Answers that did not reach Label Studio yet: {n}. They are kept and sent again.").format(
            n=said(day.unsent)), "jobs"),
        (day.problems, _("Label Studio: {n} problems, or comparisons that mended something.").format(
            n=said(day.problems)), "jobs"),
    ]  # fmt: skip
    return [(text, page) for n, text, page in found if n]
