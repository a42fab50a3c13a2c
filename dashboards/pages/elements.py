"""What the managers' pages share beyond annotate/pages/elements.py: "not yet measurable", "how is this computed"."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from textwrap import dedent
from typing import TYPE_CHECKING

import streamlit as st

from annotate.estimate import Estimate
from annotate.pages.elements import Opened, note, opened
from dashboards.figures import Missing
from dashboards.sparklines import WIDTH
from data import kept
from data.messages import moment, number

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


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
            st.code(dedent(query).strip(), language="sql", wrap_lines=True)
    return place


def missing(label: str, found: Missing, at: Opened) -> None:
    """A number that cannot be given: what it needs, never a zero."""
    _ = at.translate
    st.metric(label, "—")
    note(_("Not yet measurable: needs {what}.").format(what=_(found.needs)))
    if found.command:
        command = found.command.replace("SITE", shlex.quote(str(at.site.root)))
        st.code(command, language=None, wrap_lines=True)


def headed(label: str, value: str, drawn: str, said: str) -> None:
    """The number, and beside it how it moved. drawn: SVG, "" while there is nothing to see. said: the same in words."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"
    ):
        with st.container(width="content"):
            st.metric(label, value)
        if drawn:
            st.image(drawn, width=WIDTH, alt=said)
    if said:
        note(said)


def bad_left(label: str, found: Estimate, at: Opened, drawn: str = "", said: str = "") -> None:
    """How many bad captions are left, with the interval and what stands behind it. drawn, said: as in `headed`."""
    _ = at.translate
    headed(label, _("about {n}").format(n=number(found.bad_left, at.language)), drawn, said)
    note(
        _("95 % interval {low} to {high}; {bad} of {n} audited were wrong").format(
            low=number(found.bad_left_low, at.language), high=number(found.bad_left_high, at.language),
            bad=found.bad, n=found.judged,
        )
    )  # fmt: skip


def counted_at(at: Opened) -> None:
    """How old the figures of a large site are; once they are counted anew behind the page, it draws itself again."""
    if kept.oldest(at.site) is not None:
        _watch()


@st.fragment(run_every=2)
def _watch() -> None:
    at = opened()
    _ = at.translate
    since = kept.oldest(at.site)
    renewals, is_busy = kept.renewed(at.site)
    before = st.session_state.get("kept-renewals")
    st.session_state["kept-renewals"] = renewals
    if before is not None and renewals > before:
        st.rerun(scope="app")
    if since is None:
        return
    text = _("Figures over all captions as of {when}").format(when=moment(since, at.language))
    note(text + (" · " + _("being counted anew") if is_busy else ""))
