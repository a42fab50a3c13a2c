"""Fairness and privacy: gaps between slices, terms and personal data that should not be there, each with an action."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from annotate.pages.elements import Opened, empty, heading, note, opened, shows_errors
from dashboards import fairness, fairness_charts, personal_findings, personal_scan, quality, run_charts, words
from dashboards import run_words as told
from dashboards.fairness import ErrorGap, ModelGaps
from dashboards.pages import privacy_findings
from dashboards.pages.elements import how, plot, table
from dashboards.pages.run_parts import gaps_formula, gaps_numbers, gaps_table
from data.messages import moment, number
from data.site import Site
from data.store import now

KEPT_SECONDS = 300


@shows_errors
def page() -> None:
    """The page "Fairness and privacy"."""
    at = opened()
    _ = at.translate
    st.title(_("Fairness and privacy"), anchor=False)
    with st.spinner(_("Counting ...")):
        found = _counted(str(at.site.root), personal_findings.stamp(at.site))
    note(_("As of {when}").format(when=moment(found["at"], at.language)))
    privacy_findings.show(found["findings"], found["done"], at)
    with st.container(border=True, gap="small"):
        _errors(found["errors"], at)
    with st.container(border=True, gap="small"):
        _models(found["models"], at)


@st.cache_data(ttl=KEPT_SECONDS, show_spinner=False, max_entries=4)
def _counted(root: str, stamp: str) -> dict[str, Any]:
    """stamp: changes with every decision and scan, so that an action shows at once."""
    site = Site.open(root)
    at: datetime = now()
    return {
        "at": at, "findings": personal_findings.findings(site), "done": personal_scan.progress_of(site),
        "errors": fairness.error_gaps(site), "models": fairness.model_gaps(site),
    }  # fmt: skip


def _errors(found: dict[str, list[ErrorGap]], at: Opened) -> None:
    _ = at.translate
    heading(_("Gaps in audited error"))
    if not found:
        empty(
            _("Not yet measurable"),
            _("It needs judged audit captions in at least two parts of a column, such as line or shift."),
        )
        return
    names = {column: told.slice_name(column, at.language) for column in found}
    chosen = st.segmented_control(
        _("Compare by"), list(found), default=next(iter(found)), format_func=lambda one: names[one],
        required=True, key="privacy-slice",
    )  # fmt: skip
    column = chosen or next(iter(found))
    shown = found[column]
    plot(fairness_charts.error_gaps_chart(column, shown, at.language), "privacy-error-gaps")
    if any(not one.is_enough for one in shown):
        note(
            _("* fewer than {n} judged in the part or in the rest: too few to say anything").format(
                n=number(fairness.ENOUGH, at.language)
            )
        )
    table(_error_table(column, shown, at), f"error-gaps-{column}", at, _("All parts"),
          lambda: _error_numbers(column, shown, at))  # fmt: skip
    formula = _(
        "Share of bad captions in the part minus the share in all other parts of the column. Blind audit captions "
        "alone, each weighed by 1 / its chance of being drawn (weights of Horvitz and Thompson 1952). Interval of the "
        "difference: Newcombe (1998), from the exact intervals of both shares. Enough: {n} judged in the part and "
        "{n} in the rest."
    ).format(n=number(fairness.ENOUGH, at.language))
    how(_("How is this computed?"), formula, quality.SLICES_SQL)


def _error_table(column: str, shown: list[ErrorGap], at: Opened) -> object:
    """A pandas.DataFrame, one row for each part."""
    import pandas

    _ = at.translate
    unit = fairness_charts.UNIT
    rows = [
        {
            told.slice_name(column, at.language): told.part_value(column, one.part.value, at.language),
            _("There"): told.value(one.part.rate, unit, at.language),
            _("Elsewhere"): told.value(one.rest.rate, unit, at.language),
            _("Difference"): told.amount(one.gap, unit, at.language),
            _("95 % interval"): told.span(one.low, one.high, unit, at.language),
            _("Judged"): one.part.judged,
            _("Enough data"): _("yes") if one.is_enough else _("no"),
        }
        for one in shown
    ]
    return pandas.DataFrame(rows)


def _error_numbers(column: str, shown: list[ErrorGap], at: Opened) -> object:
    """The same as numbers, for the file; shares in per cent, their difference in points."""
    import pandas

    _ = at.translate
    rows = [
        {
            told.slice_name(column, at.language): told.part_value(column, one.part.value, at.language),
            _("There (%)"): round(100 * one.part.rate, 2),
            _("Elsewhere (%)"): round(100 * one.rest.rate, 2),
            _("Difference (points)"): round(100 * one.gap, 2),
            _("from"): round(100 * one.low, 2),
            _("to"): round(100 * one.high, 2),
            _("Judged"): one.part.judged,
            _("Bad"): one.part.bad,
            _("Enough data"): _("yes") if one.is_enough else _("no"),
        }
        for one in shown
    ]
    return pandas.DataFrame(rows)


def _models(found: list[ModelGaps], at: Opened) -> None:
    _ = at.translate
    heading(_("Gaps in what the models measure"))
    measured = [one for one in found if one.by_metric]
    if not measured:
        empty(
            _("No slices"),
            _(
                "Captions need columns (site, line, shift, author) or two languages among the checked test captions."
            )
            if found
            else _("A finished retraining measures its model in every slice."),
            icon=":material/groups:",
        )
        return
    states = {"champion": _("Model in use"), "candidate": _("Newest candidate"),
              "retired": _("No longer in use")}  # fmt: skip
    if len(measured) > 1:
        chosen = st.segmented_control(
            _("Model"), [one.state for one in measured], default=measured[0].state, required=True,
            format_func=states.__getitem__, key="privacy-model",
        )  # fmt: skip
        model = next(one for one in measured if one.state == (chosen or measured[0].state))
    else:
        model = measured[0]
    name = told.model_name(model.arm, model.created_at, at.language)
    st.text(_("{item}: {text}").format(item=states[model.state], text=name))
    by_name = {
        words.metric_name(task, metric, at.language): group
        for (task, metric), group in model.by_metric.items()
    }
    picked = st.selectbox(_("Measure"), list(by_name), key="privacy-metric")
    shown = by_name.get(picked or "", next(iter(by_name.values())))
    plot(run_charts.gaps_chart(shown, at.language), "privacy-model-gaps")
    if any(not gap.is_enough for gap in shown):
        note(_("* too few test items to say anything"))
    table(gaps_table(shown, at), f"model-gaps-{model.model_id}", at, _("All parts"),
          lambda: gaps_numbers(shown, at))  # fmt: skip
    how(_("How is this computed?"), gaps_formula(at), fairness.MODELS_SQL, fairness.GAPS_SQL)
