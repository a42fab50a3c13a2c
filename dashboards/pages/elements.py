"""What the managers' pages share beyond annotate/pages/elements.py: "not yet measurable", "how is this computed"."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import streamlit as st

from annotate import stopping
from annotate.estimate import Estimate
from annotate.pages.elements import Opened, note, opened
from annotate.stopping import Ahead
from dashboards import kept as kept_figures
from dashboards.charts import numbers
from dashboards.drawn import drawn
from dashboards.figures import Missing
from dashboards.quality_charts import percent
from dashboards.sparklines import WIDTH
from data import kept
from data.messages import moment, number
from data.spreadsheet import guarded


@st.fragment
def folded(title: str, icon: str, key: str, show: Callable[[], None], popover: bool = False) -> None:
    """An expander or a popover whose content is made once somebody opens it: the browser draws tables and charts in
    closed ones too, which took a third of a page's time."""
    if popover:
        place: Any = st.popover(title, type="tertiary", icon=icon, on_change="rerun", key=key)
    else:
        place = st.expander(title, icon=icon, on_change="rerun", key=key)
    if place.open:
        with place:
            show()


def table(frame: Any, name: str, at: Opened, title: str = "", file: Any = None) -> None:
    """The numbers of a chart, to read and to take along. frame: a pandas.DataFrame, or rows, or what makes one of them
    when somebody asks for it. name: of the file. file: what the CSV holds where that is not what is shown, such as
    numbers instead of words; as for `download`."""
    import pandas

    def rows() -> object:
        return pandas.DataFrame(frame() if callable(frame) else frame)

    def show() -> None:
        st.dataframe(rows(), hide_index=True, width="stretch", key=f"table-{name}")

    folded(title or at.translate("The numbers"), ":material/table:", f"numbers-{name}", show)
    download(rows if file is None else file, name, at)


def how(
    title: str, formula: str, *queries: str, popover: bool = False, more: Callable[[], object] | None = None,
    where: str = "",
) -> None:  # fmt: skip
    """ "How is this computed": the formula in words and the very queries. `more` adds lines between the two. where: a
    word that tells two of the same formula on one page apart."""

    def show() -> None:
        st.text(formula)
        if more:
            more()
        for query in queries:
            st.code(dedent(query).strip(), language="sql", wrap_lines=True)

    key = "how-" + hashlib.sha256("\n".join((where, formula, *queries)).encode()).hexdigest()[:16]
    folded(title, ":material/help:", key, show, popover)


def download(frame: object, name: str, at: Opened, label: str = "") -> None:
    """The figures behind a chart as CSV that a spreadsheet opens as text. frame: a pandas.DataFrame, or rows, or
    what makes one of them when somebody asks for the file."""
    _ = at.translate
    st.download_button(
        label or _("Download as CSV"), lambda: _csv(frame() if callable(frame) else frame), f"{name}.csv", "text/csv",
        icon=":material/download:", type="tertiary", key=f"csv-{name}", on_click="ignore",
    )  # fmt: skip


def _csv(frame: Any) -> bytes:
    """frame: a pandas.DataFrame, or rows."""
    import pandas

    safe = pandas.DataFrame(frame).map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
    safe.columns = [guarded(str(column)) for column in safe.columns]
    return bytes(safe.to_csv(index=False).encode("utf-8-sig"))


def plot(chart: Any, key: str, alt: str | None = None) -> None:
    """A chart of Altair, made into Vega-Lite once however often it is shown. alt: what it says, in words."""
    found = drawn(chart)
    st.vega_lite_chart({**found.spec, "datasets": dict(found.tables)}, theme=None, key=key, alt=alt)


def draw(chart: Any, name: str, at: Opened, alt: str | None = None) -> None:
    """A chart with its numbers as CSV below; the picture is the button "Download as PNG" that Streamlit shows in the
    chart's corner. name: of the chart, and of the file."""
    plot(chart, name, alt)
    download(lambda: numbers(chart, at.language), name, at)


def missing(label: str, found: Missing, at: Opened) -> None:
    """A number that cannot be given: what it needs, never a zero."""
    _ = at.translate
    st.metric(label, "—")
    note(_("Not yet measurable: needs {what}.").format(what=_(found.needs)))
    if found.command:
        show_command(found.command, at)


def show_command(command: str, at: Opened) -> None:
    """What to type, with the site's own folder, ready to copy."""
    text = command.replace("SITE", shlex.quote(str(at.site.root)))
    st.code(text, language=None, wrap_lines=True)


def stop_words(ahead: Ahead, at: Opened) -> list[str]:
    """What the next hundred hold, and whether to stop; an empty queue is no advice while nothing is scored."""
    if ahead.advice == "empty" and kept_figures.risk_distribution(at.site).empty:
        return [at.translate("Nothing is scored yet, so no caption waits in the queue.")]
    return stopping.sentences(ahead, at.language)


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
    note(
        _("{share} of the {n} captions that nobody has judged now").format(
            share=percent(found.rate, at.language), n=number(found.unjudged, at.language)
        )
    )


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
