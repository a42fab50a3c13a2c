"""Staff: how much is answered, how long an answer takes, how well two people agree, and how that grows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from annotate.pages.elements import Opened, empty, heading, note, opened, shows_errors
from dashboards import staff, staff_charts
from dashboards.pages.elements import draw, how
from dashboards.staff import Person, Staff, Step
from data.messages import duration, moment, number
from data.site import Site
from data.store import now

KEPT_SECONDS = 300
WIDTH_OF_NAMES = 150  # px: “All simulated” in Japanese


@shows_errors
def page() -> None:
    """The page Staff."""
    at = opened()
    _ = at.translate
    st.title(_("Staff"), anchor=False)
    with st.spinner(_("Counting ...")):
        found, when = _counted(str(at.site.root))
    note(_("As of {when}").format(when=moment(when, at.language)))
    if not found.people:
        empty(
            _("No correction yet"), _("Answers, seconds and agreement appear here with the first correction.")
        )
        return
    if found.is_pooled:
        note(
            _(
                "Fewer than {n} people: their figures are put together. [review] show_names in genba.toml allows names."
            ).format(n=number(staff.FEWEST, at.language))
        )
    with st.container(border=True, gap="small"):
        _people(found.people, at)
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, height="stretch", gap="small"):
        _days(found, at)
    with right, st.container(border=True, height="stretch", gap="small"):
        _curve(found.curve, at)


@st.cache_data(ttl=KEPT_SECONDS, show_spinner=False, max_entries=4)
def _counted(root: str) -> tuple[Staff, datetime]:
    return staff.staff(Site.open(root)), now()


def _called(one: Person | Step, at: Opened) -> str:
    _ = at.translate
    if one.name is not None:
        return one.name
    return _("All simulated") if one.simulated else _("All people")


def _people(people: list[Person], at: Opened) -> None:
    _ = at.translate
    heading(_("Who answers"))
    rows: list[dict[str, Any]] = [
        {
            _("Who"): _called(one, at), _("People"): one.people, _("Answers"): one.answers,
            _("Fixed"): f"{number(100 * one.fixed / one.answers, at.language)} %",
            _("Hours"): duration(one.hours * 3600, at.language),
            _("Median, seconds"): round(one.median_seconds, 1),
            _("Middle half, seconds"): " – ".join(
                number(seconds, at.language) for seconds in (one.low_seconds, one.high_seconds)
            ),
            _("Second opinions"): one.reviewed,
            _("Agreed"): "—" if one.agreed is None else f"{number(100 * one.agreed, at.language)} %",
        }
        for one in people
    ]  # fmt: skip
    names = {_("Who"): st.column_config.TextColumn(width=WIDTH_OF_NAMES, pinned=True)}
    st.dataframe(rows, hide_index=True, width="stretch", key="people", column_config=names)
    review = st.session_state.get("pages", {}).get("review")
    if review is not None:
        st.page_link(review, label=_("Agreement by item"), icon=":material/group:")
    formula = _(
        "Answers that were not taken back, each counted once, with second opinions and without approved lots. Seconds "
        "are the active ones of the labour clock. Agreed: of the answers that a second person gave again blind, those "
        "that said the same or that a lead preferred; shown from {n} on. Who is fast is not who is good: read both "
        "together."
    ).format(n=number(staff.FEWEST_REVIEWED, at.language))
    how(_("How is this computed?"), formula, staff.ANSWERS_SQL, staff.AGREED_SQL)


def _days(found: Staff, at: Opened) -> None:
    _ = at.translate
    heading(_("Answers by day"))
    draw(staff_charts.days_chart(found.days, at.language), "days", at)
    how(_("How is this computed?"), _("By the calendar day of this machine's time zone."), staff.ANSWERS_SQL)


def _curve(curve: list[Step], at: Opened) -> None:
    _ = at.translate
    heading(_("Learning curve"))
    chart = staff_charts.curve_chart(curve, lambda step: _called(step, at), at.language)
    draw(chart, "curve", at)
    most, lines = staff_charts.MOST_LINES, len({_called(step, at) for step in curve})
    if lines > most:
        note(
            _("Of {m} people the {n} with the most answers are drawn.").format(
                n=number(most, at.language), m=number(lines, at.language)
            )
        )
    formula = _(
        "The answers of each person in their order, {n} at a time: the median of their active seconds, and the middle "
        "half of them as a bar."
    ).format(n=number(staff.STEP, at.language))
    how(_("How is this computed?"), formula, staff.ANSWERS_SQL)
