"""ROI: what it cost, what it brought, what that depends on, and what the next corrections bring."""

from __future__ import annotations

from datetime import datetime
from math import isfinite

import streamlit as st

from annotate.pages.elements import Opened, empty, heading, note, opened, shows_errors, simulated_badge
from dashboards import assumptions, effects, paper, roi, roi_charts, roi_evidence, roi_site, roi_words
from dashboards.assumptions import Assumptions
from dashboards.figures import COMPUTE_SQL, Missing
from dashboards.pages import roi_assumptions, roi_parts
from dashboards.pages.elements import how, missing, plot, table
from dashboards.roi import Benefit, Result
from dashboards.roi_evidence import Found, Side
from data.messages import moment
from data.site import Site
from data.store import now


@shows_errors
def page() -> None:
    """The page ROI."""
    at = opened()
    _ = at.translate
    st.title(_("ROI"), anchor=False)
    assumed = assumptions.in_use(at.site)
    side = _side(at)
    with st.spinner(_("Counting ...")):
        found, when = _found(str(at.site.root), side, assumed.error_task)
        result = roi.roi(found.evidence, assumed.values)
    note(
        _("As of {when} · assumptions: {name}").format(
            when=moment(when, at.language), name=roi_words.set_name(assumed, at.language)
        )
    )
    st.text(roi_words.net_words(result, at.language))
    if side == "simulated":
        note(_("Simulated: nobody has done this work, so nothing was spent on it."))
    if any(assumed.is_default(key) for key in assumptions.KEYS):
        st.badge(_("rests on defaults that nobody has confirmed"), icon=":material/info:", color="orange")
    _cards(result, found, at)
    first = (lambda: _cost(result, assumed, at), lambda: _benefit(result, at))
    second = (
        lambda: _depends(found, result, assumed, at),
        lambda: roi_parts.ahead(assumed, side, result, at),
    )
    for row in (first, second):
        for column, show in zip(st.columns(2, gap="small"), row, strict=True):
            with column, st.container(border=True, height="stretch", gap="small"):
                show()
    with st.container(border=True):
        roi_assumptions.show(assumed, found, at)
    with st.container(border=True):
        roi_parts.paper_panel(found, _compared(str(at.site.root), found.run_id), at)


@st.cache_data(show_spinner=False, max_entries=8)
def _compared(root: str, run_id: str | None) -> list[paper.Compared]:
    """Of a finished run, which never changes."""
    return paper.compared(Site.open(root), run_id)


@st.cache_data(ttl=roi_parts.KEPT_SECONDS, show_spinner=False, max_entries=8)
def _found(root: str, side: Side, error_task: str) -> tuple[Found, datetime]:
    return roi_evidence.found(Site.open(root), side, error_task, _kept_changes), now()


def _kept_changes(
    site: Site, run_id: str | None, side: Side, simulated: int, error_task: str
) -> roi_evidence.MeasuredChanges:
    return _changes(str(site.root), run_id, side, simulated, error_task)


@st.cache_data(show_spinner=False, max_entries=8)
def _changes(
    root: str, run_id: str | None, side: Side, simulated: int, error_task: str
) -> roi_evidence.MeasuredChanges:
    """The draws of a finished run, which never change: kept as long as the process lives."""
    return roi_evidence.changes(Site.open(root), run_id, side, simulated, error_task)


def _side(at: Opened) -> Side:
    """People's work; where the demo's crew has worked, its work is asked for apart and never added to people's."""
    _ = at.translate
    if not roi_evidence.has_simulated(at.site):
        return "people"
    names = {"people": _("People's work alone"), "simulated": _("As if people had done the simulated work")}
    sides: list[Side] = ["people", "simulated"]
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.segmented_control(
            _("Whose work"), sides, default=roi_site.default_side(at.site), format_func=lambda one: names[one],
            key="roi-side", label_visibility="collapsed",
        )  # fmt: skip
        side = chosen or "people"
        if side == "simulated":
            simulated_badge(at)
    return side


def _cards(result: Result, found: Found, at: Opened) -> None:
    """Net, ratio, payback, break-even; each with its interval, or with what it needs."""
    _ = at.translate
    language = at.language
    with_net, with_ratio, with_payback, with_even = (
        column.container(border=True, height="stretch", gap="small") for column in st.columns(4, gap="small")
    )
    with with_net:
        if isinstance(result.net, Missing):
            _lacking(_("Net"), result.net, result, at)
        else:
            st.metric(_("Net"), roi_words.amount(result.net.value, language))
            _interval(roi_words.between(result.net, language), at)
        formula = _("Benefit over the months counted, less the cost. What is not proven counts nothing.")
        how(_("How is this computed?"), formula, effects.EFFECTS_SQL, popover=True)
    with with_ratio:
        if isinstance(result.ratio, Missing):
            _lacking(_("Benefit for each yen of cost"), result.ratio, result, at)
        else:
            value, interval = roi_words.ratio_words(result.ratio, language)
            st.metric(_("Benefit for each yen of cost"), value)
            _interval(interval, at)
        how(_("How is this computed?"), _("Benefit / cost, over the months counted."), popover=True)
    with with_payback:
        _payback(result, found, at)
    with with_even:
        st.metric(_("Break-even a month"), roi_words.amount(result.break_even.value, language))
        _interval(roi_words.between(result.break_even, language), at)
        note(_("So much must come in each month for the net to be zero."))
        formula = _("(Cost so far - labels saved) / months counted + running fixed cost.")
        how(_("How is this computed?"), formula, roi_evidence.ANSWERS_SQL, popover=True)


def _lacking(label: str, found: Missing, result: Result, at: Opened) -> None:
    """What the number needs, and where that is done: a retraining measures, a set of assumptions prices."""
    _ = at.translate
    missing(label, found, at)
    if found != roi.NO_BENEFIT:
        return
    lacking = [one.needs for one in result.benefits.values() if isinstance(one, Missing)]
    if any(needs in roi.PRICE_NEEDED.values() for needs in lacking):
        note(_("Prices are given below: “Edit and save as a set”."))
    runs = st.session_state.get("pages", {}).get("runs")
    if runs is not None and any(needs not in roi.PRICE_NEEDED.values() for needs in lacking):
        st.page_link(runs, label=_("Retrainings"), icon=":material/arrow_forward:")


def _interval(text: str, at: Opened) -> None:
    note(at.translate("95 % interval {interval}").format(interval=text))


def _payback(result: Result, found: Found, at: Opened) -> None:
    _ = at.translate
    months = result.payback_months
    if isinstance(months, Missing):
        _lacking(_("Paid back on"), months, result, at)
    else:
        value, interval = roi_words.payback_words(months, found.in_use_since, at.language)
        st.metric(_("Paid back on"), value)
        _interval(interval, at)
        if not isfinite(months.value):
            note(_("No proven monthly benefit exceeds the running cost."))
        if found.in_use_since is None:
            note(_("As if the retrained model came into use today: it has not been promoted."))
    formula = _(
        "(Cost so far - labels saved) / (errors avoided + search time saved - running fixed cost, each a month), "
        "counted from the day on which the model came into use."
    )
    how(_("How is this computed?"), formula, roi_evidence.PROMOTED_SQL, popover=True)


def _cost(result: Result, assumed: Assumptions, at: Opened) -> None:
    _ = at.translate
    heading(_("What it costs"))
    note(
        _("So far {value} (95 % interval {interval})").format(
            value=roi_words.amount(result.cost_so_far.value, at.language),
            interval=roi_words.between(result.cost_so_far, at.language),
        )
    )
    if not result.cost.high:
        empty(_("No cost yet"), _("Hours of work and of computing appear here as they are spent."))
    else:
        plot(roi_charts.cost_chart(result.cost_parts, at.language), "roi-cost")
    rows = [
        {_("Part"): roi_words.part_name(name, at.language), _("Cost (yen)"): round(part.value),
         _("from"): round(part.low), _("to"): round(part.high)}
        for name, part in result.cost_parts.items()
    ]  # fmt: skip
    table(rows, "roi-cost", at)
    formula = _(
        "Active seconds of each role x its wage, hours of finished jobs x the rate, and fixed cost. A caption "
        "drawn for an audit counts as audit. Interval: the answers of each role drawn anew 2,000 times. "
        "Simulated work is never added to people's."
    )
    how(_("How is this computed?"), formula, roi_evidence.ANSWERS_SQL, COMPUTE_SQL)


def _benefit(result: Result, at: Opened) -> None:
    _ = at.translate
    heading(_("What it brings"))
    measured = [one for one in result.benefits.values() if isinstance(one, Benefit)]
    if measured:
        plot(roi_charts.benefit_chart(measured, at.language), "roi-benefit")
    for kind, one in result.benefits.items():
        with st.container(gap=None):
            st.markdown(f"**{roi_words.benefit_name(kind, at.language)}**")
            if isinstance(one, Missing):
                note(_("Not yet measurable: needs {what}.").format(what=_(one.needs)))
            else:
                note(roi_words.change_words(kind, one.change, at.language))
                note(roi_words.benefit_words(one, at.language))
    rows = [
        {_("Benefit"): roi_words.benefit_name(one.kind, at.language), _("Counted (yen)"): round(one.counted),
         _("Measured (yen)"): round(one.amount.value), _("from"): round(one.amount.low),
         _("to"): round(one.amount.high)}
        for one in measured
    ]  # fmt: skip
    if rows:
        table(rows, "roi-benefit", at)
    formula = _(
        "Labels saved: labels that the original captions would need beyond those used, at half of all labels, x "
        "cost of a label. Errors avoided: fall of the task's error x items a month x cost of an error x months. "
        "Search time: rise of the share found first x searches a month x seconds x wage x months. The change is "
        "that of the last retraining, corrected against original captions; its interval is the run's bootstrap "
        "over test items and seeds. It counts only where it is proven, also against the same content in the "
        "template's words."
    )
    how(_("How is this computed?"), formula, effects.EFFECTS_SQL, roi_evidence.run_figures.EQUIVALENTS_SQL)


def _depends(found: Found, result: Result, assumed: Assumptions, at: Opened) -> None:
    _ = at.translate
    heading(_("What it depends on most"))
    bars = roi.tornado(found.evidence, assumed.values, assumed.bounds)
    is_net = not isinstance(result.net, Missing)
    if not bars:
        empty(
            _("Nothing to compare yet"),
            _("As soon as something was spent, this shows which assumption matters."),
        )
        return
    if not is_net:
        note(_("The net is not yet measurable, so this shows what the cost depends on."))
    plot(roi_charts.tornado_chart(bars, is_net, at.language), "roi-tornado")
    outcome = _("Net (yen)") if is_net else _("Cost (yen)")
    rows = [
        {_("Assumption"): roi_words.assumption_name(bar.key, at.language),
         _("Low end"): roi_words.assumption_value(bar.key, bar.low, at.language),
         f"{outcome}, {_('at the low end')}": round(bar.at_low),
         _("High end"): roi_words.assumption_value(bar.key, bar.high, at.language),
         f"{outcome}, {_('at the high end')}": round(bar.at_high)}
        for bar in bars
    ]  # fmt: skip
    table(rows, "roi-tornado", at)
    formula = _(
        "Each assumption alone goes to the low and to the high end of its range, and each counted effect to the "
        "ends of its 95 % interval, while the others stay. It says nothing of several that change together."
    )
    how(_("How is this computed?"), formula, assumptions.SETS_SQL)
