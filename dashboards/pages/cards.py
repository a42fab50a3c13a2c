"""The five cards of the overview: captions fixed, bad captions left, hours, cost, measured gain."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from annotate.pages.elements import Opened, note, simulated_badge
from dashboards import effects, figures, words
from dashboards.figures import Cost, Counted, Missing, Work
from dashboards.pages.elements import bad_left, how, missing
from data.messages import duration, number, yen

COLOURS = {"better": "green", "worse": "red", "undecided": "gray"}


def show(at: Opened) -> None:
    """The two that decide in the first row, what they rest on in the second."""
    done, spent = figures.work(at.site), figures.cost(at.site)
    rows = [
        [lambda: _gain(at), lambda: _left(at)],
        [lambda: _fixed(done, at), lambda: _hours(done, at), lambda: _cost(spent, at)],
    ]
    for row in rows:
        for column, card in zip(st.columns(len(row), gap="small"), row, strict=True):
            with column, st.container(border=True, height="stretch", gap="small"):
                card()


def _counted(label: str, counted: Counted, shown: Callable[[float], str], at: Opened) -> None:
    """People's number; the simulated crew's below it with its badge, never added up."""
    st.metric(label, shown(counted.people))
    if counted.simulated:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            simulated_badge(at)
            st.text(shown(counted.simulated))


def _fixed(done: Work, at: Opened) -> None:
    _ = at.translate
    _counted(_("Captions fixed"), done.fixed, lambda n: number(n, at.language), at)
    note(
        _("{ok} confirmed right, {other} set aside").format(
            ok=number(done.confirmed.total, at.language), other=number(done.other.total, at.language)
        )
    )
    formula = _(
        "Captions with a verdict in force that changed them, each counted once. "
        "Set aside: not sure, unusable or private photos."
    )
    how(_("How is this computed?"), formula, figures.WORK_SQL, popover=True)


def _left(at: Opened) -> None:
    _ = at.translate
    label, found = _("Bad captions left"), figures.remaining(at.site)
    if isinstance(found, Missing):
        missing(label, found, at)
    else:
        estimate = found.estimate
        bad_left(label, estimate, at)
        if found.simulated_judged:
            simulated_badge(at, found.simulated_judged)
    formula = _(
        "From blind random captions alone: share of wrong ones in each stratum of the draw, times the captions in it, "
        "less what has been found there since. Exact 95 % interval. Corrections from the queue are chosen by risk and "
        "are never counted in the share. More of it stands on the page Finder."
    )
    how(_("How is this computed?"), formula, figures.AUDIT_SQL, figures.VERDICTS_SQL, popover=True)


def _hours(done: Work, at: Opened) -> None:
    _ = at.translate
    _counted(_("Hours of work"), done.hours, lambda hours: duration(hours * 3600, at.language), at)
    for simulated in (False, True):
        seconds = done.seconds_each(simulated)
        if seconds is not None and (not simulated or done.seconds_each(False) is None):
            note(_("{time} for each caption judged").format(time=duration(seconds, at.language)))
    formula = _(
        "Sum of the active seconds of all answers, also of those replaced later. Time away from the form is left out."
    )
    how(_("How is this computed?"), formula, figures.WORK_SQL, popover=True)


def _cost(spent: Cost, at: Opened) -> None:
    _ = at.translate
    st.metric(_("Cost so far"), yen(spent.total_jpy, at.language))
    if spent.simulated_jpy:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            simulated_badge(at)
            st.text(yen(spent.simulated_jpy, at.language))
    if spent.wage_is_default or spent.compute_is_default:
        st.badge(_("default rates"), icon=":material/info:", color="orange")
    formula = _(
        "People: {hours} hours x {wage} an hour. Compute: {compute_hours} hours of jobs x {rate} an hour. "
        "Simulated hours are priced at the same wage, apart, and never added."
    ).format(
        hours=number(spent.hours.people, at.language, 2),
        wage=yen(spent.wage_jpy_per_hour, at.language),
        compute_hours=number(spent.compute_hours, at.language, 2),
        rate=yen(spent.compute_jpy_per_hour, at.language),
    )
    how(
        _("How is this computed?"), formula, figures.WORK_SQL, figures.COMPUTE_SQL,
        popover=True, more=lambda: _confirm_rates(spent, at),
    )  # fmt: skip


def _confirm_rates(spent: Cost, at: Opened) -> None:
    """The rates are defaults until somebody stands behind them."""
    _ = at.translate
    if spent.wage_is_default or spent.compute_is_default:
        st.text(_("These rates are defaults that nobody has confirmed yet."))
    with st.form("rates", border=False):
        wage = st.number_input(
            _("Yen for an hour of work"), 0.0, value=spent.wage_jpy_per_hour, step=100.0, format="%.0f"
        )
        rate = st.number_input(
            _("Yen for an hour of computing"), 0.0, value=spent.compute_jpy_per_hour, step=10.0, format="%.0f"
        )
        if st.form_submit_button(_("Confirm the rates"), type="primary"):
            figures.confirm_rates(at.site, wage, rate, at.person)
            st.rerun()


def _gain(at: Opened) -> None:
    _ = at.translate
    label, found = _("Effect of the last retraining"), effects.gain(at.site)
    if isinstance(found, Missing):
        missing(label, found, at)
    else:
        st.metric(label, words.difference(found.value, found, at.language))
        verdict = {"better": _("proven gain"), "worse": _("proven loss"), "undecided": _("not proven")}
        with st.container(horizontal=True, gap="small"):
            st.badge(verdict[found.verdict], color=COLOURS[found.verdict])  # type: ignore[arg-type]
            simulated = effects.simulated_share(at.site, found.run_id)[0]
            if simulated:
                simulated_badge(at, simulated)
        note(
            _("95 % interval {interval}; {metric}").format(
                interval=words.interval(found, at.language),
                metric=words.metric_name(found.task, found.metric, at.language),
            )
        )
    formula = _(
        "Metric of the arm with corrected captions minus metric of the control arm with the original ones: same "
        "photos, base, steps and seeds. Interval: paired bootstrap over the held-out test items. "
        "The measure was chosen before any run, not because it came out best."
    )
    how(_("How is this computed?"), formula, effects.EFFECTS_SQL, popover=True)
