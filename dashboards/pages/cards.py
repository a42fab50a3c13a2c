"""The five cards of the overview: captions fixed, bad captions left, hours, cost, measured gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

import streamlit as st

from annotate.pages.elements import Opened, note, simulated_badge
from annotate.pages.lead import locked
from dashboards import assumptions, effects, figures, kept, labour, sparklines, trends, words
from dashboards.effects import Effect
from dashboards.figures import Cost, Counted, Missing, Work
from dashboards.pages.elements import bad_left, headed, how, missing
from dashboards.quality_charts import interval, percent
from dashboards.trends import Reading, Weeks
from data.messages import duration, number, yen

COLOURS = {"gain": "green", "loss": "red"}  # of a claim; all others claim nothing


@dataclass(frozen=True)
class LastRun:
    """The newest finished retraining: its effects, and (simulated, all) corrections behind it; None: there is none."""

    run_id: str | None
    found: list[Effect]
    simulated: tuple[int, int]


def show(last: LastRun, fixed: Mapping[date, Counted], at: Opened) -> None:
    """The two that decide in the first row, what they rest on in the second. fixed: of figures.fixed_by_day."""
    done = kept.work(at.site)
    priced = figures.rates(at.site)
    spent = figures.cost(at.site, done, priced)
    weeks = trends.work_weeks(at.site, fixed, priced=priced)
    rows = [
        [lambda: _gain(last, at), lambda: _left(at)],
        [lambda: _fixed(done, weeks, at), lambda: _hours(done, weeks, at), lambda: _cost(spent, weeks, at)],
    ]
    for row in rows:
        for column, card in zip(st.columns(len(row), gap="small"), row, strict=True):
            with column, st.container(border=True, height="stretch", gap="small"):
                card()


def _of_weeks(
    values: Sequence[float], shown: Callable[[float], str], at: Opened, simulated: bool = False
) -> str:
    """The last week beside the one before."""
    if not any(values):
        return ""
    _ = at.translate
    text = _("Last 7 days {now}, the 7 before {before}")
    if simulated:
        text = _("Simulated, last 7 days {now}, the 7 before {before}")
    return text.format(now=shown(values[-1]), before=shown(values[-2]))


def _day(value: date, at: Opened) -> str:
    """A local date, or the local date of a time (UTC)."""
    from babel.dates import format_date

    local = value.replace(tzinfo=UTC).astimezone() if isinstance(value, datetime) else value
    return str(format_date(local, "medium", locale=at.language))


def _weeks_table(weeks: Weeks, values: Sequence[float], shown: Callable[[float], str], at: Opened) -> None:
    """The numbers behind the bars."""
    _ = at.translate
    note(_("The bars: weeks of seven days, the last one ending today."))
    if weeks.simulated and values is not weeks.cost_jpy:
        simulated_badge(at)
    rows = [{_("Week that ends on"): _day(end, at), _("Value"): shown(value)}
            for end, value in zip(weeks.ends, values, strict=True)]  # fmt: skip
    st.dataframe(rows, hide_index=True, width="stretch")


def _counted(
    label: str, counted: Counted, shown: Callable[[float], str], drawn: str, said: str, at: Opened
) -> None:
    """People's number; the simulated crew's below it with its badge, never added up."""
    headed(label, shown(counted.people), drawn, said)
    if counted.simulated:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            simulated_badge(at)
            st.text(shown(counted.simulated))


def _fixed(done: Work, weeks: Weeks, at: Opened) -> None:
    _ = at.translate

    def shown(n: float) -> str:
        return number(n, at.language)

    said = _of_weeks(weeks.fixed, shown, at, weeks.simulated)
    _counted(_("Captions fixed"), done.fixed, shown, sparklines.bars(weeks.fixed), said, at)
    note(
        _("{ok} confirmed right, {other} set aside").format(
            ok=number(done.confirmed.total, at.language), other=number(done.other.total, at.language)
        )
    )
    formula = _(
        "Captions with a verdict in force that changed them, each counted once. "
        "Set aside: not sure, unusable or private photos."
    )
    how(_("How is this computed?"), formula, figures.WORK_SQL, figures.BY_DAY_SQL, popover=True,
        more=lambda: _weeks_table(weeks, weeks.fixed, shown, at))  # fmt: skip


def _left(at: Opened) -> None:
    _ = at.translate
    label, found = _("Bad captions left"), kept.remaining(at.site)
    readings = trends.audited(at.site)
    if isinstance(found, Missing):
        missing(label, found, at)
    else:
        estimate = found.estimate
        bad_left(label, estimate, at, sparklines.intervals(readings, zero=False), _of_audits(readings, at))
        if found.simulated_judged:
            simulated_badge(at, found.simulated_judged)
    formula = _(
        "From blind random captions alone: share of wrong ones in each stratum of the draw, times the captions in it, "
        "less what has been found there since. Exact 95 % interval. Corrections from the queue are chosen by risk and "
        "are never counted in the share. More of it stands on the page Finder."
    )
    how(_("How is this computed?"), formula, figures.AUDIT_SQL, figures.VERDICTS_SQL, popover=True,
        more=lambda: _readings_table(readings, partial(percent, language=at.language), at))  # fmt: skip


def _of_audits(readings: Sequence[Reading], at: Opened) -> str:
    """The error share of the last audit beside the one before, each with its interval."""
    if len(readings) < 2:
        return ""
    _ = at.translate
    before, now = (
        f"{percent(one.value, at.language)} ({interval(one.low, one.high, at.language)})"
        for one in readings[-2:]
    )
    text = _("Bad among the unjudged at the draw: last audit {now}, the one before {before}")
    return text.format(now=now, before=before)


def _readings_table(readings: Sequence[Reading], shown: Callable[[float], str], at: Opened) -> None:
    """The numbers behind the points; nothing where there are fewer than two."""
    _ = at.translate
    if len(readings) < 2:
        return
    note(_("The points: one value for each time, with its 95 % interval."))
    rows = [{_("Day"): _day(one.at, at), _("Value"): shown(one.value), _("from"): shown(one.low),
             _("to"): shown(one.high)} for one in readings]  # fmt: skip
    st.dataframe(rows, hide_index=True, width="stretch")


def _hours(done: Work, weeks: Weeks, at: Opened) -> None:
    _ = at.translate

    def shown(hours: float) -> str:
        return duration(hours * 3600, at.language)

    said = _of_weeks(weeks.hours, shown, at, weeks.simulated)
    _counted(_("Hours of work"), done.hours, shown, sparklines.bars(weeks.hours), said, at)
    for simulated in (False, True):
        seconds = done.seconds_each(simulated)
        if seconds is not None and (not simulated or done.seconds_each(False) is None):
            note(_("{time} for each caption judged").format(time=duration(seconds, at.language)))
    formula = _(
        "Sum of the active seconds of corrections, audits, second opinions, leads' decisions and lot checks, also of "
        "answers replaced later. Time away from the form is left out."
    )
    how(_("How is this computed?"), formula, labour.HOURS_SQL, trends.WORK_BY_DAY_SQL, popover=True,
        more=lambda: _weeks_table(weeks, weeks.hours, shown, at))  # fmt: skip


def _cost(spent: Cost, weeks: Weeks, at: Opened) -> None:
    _ = at.translate

    def shown(value: float) -> str:
        return yen(value, at.language)

    said = _of_weeks(weeks.cost_jpy, shown, at)
    headed(_("Cost so far"), shown(spent.total_jpy), sparklines.bars(weeks.cost_jpy), said)
    if spent.simulated_jpy:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            simulated_badge(at)
            st.text(yen(spent.simulated_jpy, at.language))
    if spent.wage_is_default or spent.compute_is_default:
        st.badge(_("default rates"), icon=":material/info:", color="orange")
    formula = _(
        "People: {hours} hours x {wage} an hour. Compute: {compute_hours} hours of jobs x {rate} an hour. "
        "Simulated hours are priced at the same wage, apart, and never added. Fixed cost, such as licences, counts on "
        "the page ROI alone."
    ).format(
        hours=number(spent.hours.people, at.language, 2),
        wage=yen(spent.wage_jpy_per_hour, at.language),
        compute_hours=number(spent.compute_hours, at.language, 2),
        rate=yen(spent.compute_jpy_per_hour, at.language),
    )

    def more() -> None:
        _confirm_rates(spent, at)
        _weeks_table(weeks, weeks.cost_jpy, shown, at)

    how(
        _("How is this computed?"), formula, labour.HOURS_SQL, figures.COMPUTE_SQL, trends.WORK_BY_DAY_SQL,
        trends.COMPUTE_BY_DAY_SQL, popover=True, more=more,
    )  # fmt: skip


def _confirm_rates(spent: Cost, at: Opened) -> None:
    """The rates are defaults until somebody stands behind them: here, or, once a set is in use, on the page ROI."""
    _ = at.translate
    assumed = assumptions.in_use(at.site)
    if assumed.set_id:
        text = _(
            "The rates are those of the set “{name}” of {author}, on the page ROI; wages are weighed by hours."
        )
        st.text(text.format(name=assumed.name, author=assumed.author))
        roi = st.session_state.get("pages", {}).get("roi")
        if roi is not None:
            st.page_link(roi, label=_("ROI"), icon=":material/arrow_forward:")
        return
    if spent.wage_is_default or spent.compute_is_default:
        st.text(_("These rates are defaults that nobody has confirmed yet."))
    with st.form("rates", border=False):
        wage = st.number_input(
            _("Yen for an hour of work"), 0.0, value=spent.wage_jpy_per_hour, step=100.0, format="%.0f"
        )
        rate = st.number_input(
            _("Yen for an hour of computing"), 0.0, value=spent.compute_jpy_per_hour, step=10.0, format="%.0f"
        )
        if st.form_submit_button(_("Confirm the rates"), type="primary", disabled=locked(at)):
            figures.confirm_rates(at.site, wage, rate, at.person)
            st.rerun()


def _gain(last: LastRun, at: Opened) -> None:
    """Of the model in use; while none is, of the last retraining, and that says so."""
    _ = at.translate
    of_champion, readings = trends.champion_effect(at.site), trends.run_effects(at.site)
    found = of_champion or effects.main_effect(last.found) or effects.gain(at.site)
    label = _("Measured gain of the model in use") if of_champion else _("Effect of the last retraining")
    if isinstance(found, Missing):
        missing(label, found, at)
    else:
        value = words.difference(found.value, found, at.language)
        headed(label, value, sparklines.intervals(readings, zero=True), _of_runs(readings, found, at))
        if found.run_id != last.run_id:
            of_run = effects.effects(at.site, found.run_id)
            last = LastRun(found.run_id, of_run, effects.simulated_share(at.site, found.run_id))
        of_run, simulated = last.found, last.simulated[0]
        with st.container(horizontal=True, gap="small"):
            st.badge(words.claim_name(of_run, at.language), color=COLOURS.get(effects.claim(of_run), "gray"))  # type: ignore[arg-type]
            if simulated:
                simulated_badge(at, simulated)
        note(
            _("95 % interval {interval}; {metric}").format(
                interval=words.interval(found, at.language),
                metric=words.metric_name(found.task, found.metric, at.language),
            )
            + ("" if of_champion else " · " + _("no retrained model is in use yet"))
        )
    formula = _(
        "Metric of the arm with corrected captions minus metric of the control arm with the original ones: same "
        "photos, base, steps and seeds. Interval: paired bootstrap over the held-out test items. "
        "The measure ([retrain] primary in genba.toml) was chosen before any run, not because it came out best. "
        "A gain is claimed only where the interval against the reworded captions lies on the better side of zero too."
    )

    def shown(value: float) -> str:
        return words.difference(value, found, at.language) if isinstance(found, Effect) else ""

    how(_("How is this computed?"), formula, effects.EFFECTS_SQL, trends.CHAMPION_SQL, trends.RUN_EFFECTS_SQL,
        popover=True, more=lambda: _readings_table(readings, shown, at))  # fmt: skip


def _of_runs(readings: Sequence[Reading], found: Effect, at: Opened) -> str:
    """The effect of the retraining before the last one, with its interval."""
    if len(readings) < 2:
        return ""
    before = readings[-2]
    low, high = (words.difference(one, found, at.language, unit=False) for one in (before.low, before.high))
    spoken = at.translate("The retraining before the last one: {value} (95 % interval {low} to {high})")
    return spoken.format(value=words.difference(before.value, found, at.language), low=low, high=high)
