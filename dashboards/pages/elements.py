"""What the managers' pages share beyond annotate/pages/elements.py: "not yet measurable", "how is this computed"."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent
from typing import TYPE_CHECKING

import streamlit as st

from annotate.estimate import Estimate
from annotate.pages.elements import Opened, note
from dashboards.figures import Missing
from data.messages import number

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
        st.code(found.command, language=None, wrap_lines=True)


def bad_left(label: str, found: Estimate, at: Opened) -> None:
    """How many bad captions are left, with the interval and what stands behind it."""
    _ = at.translate
    st.metric(label, _("about {n}").format(n=number(found.bad_left, at.language)))
    note(
        _("95 % interval {low} to {high}; {bad} of {n} audited were wrong").format(
            low=number(found.bad_left_low, at.language), high=number(found.bad_left_high, at.language),
            bad=found.bad, n=found.judged,
        )
    )  # fmt: skip
