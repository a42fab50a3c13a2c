"""Pilot: which items of the template matter, what they cost to write, and where the site stands.

A manager decides here with which items to go on, and when the site leaves the pilot for the template, and the template
for automation. What is decided is kept with name and time (training/pilot.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import streamlit as st

from annotate.pages.elements import Opened, empty, heading, note, opened, show_error, shows_errors
from annotate.pages.jobs_strip import live_strip
from annotate.pages.lead import locked
from annotate.roles import is_lead
from dashboards import metric_words, run_charts, run_figures, run_words, words
from dashboards.effects import Effect
from dashboards.pages.elements import draw, how
from data import jobs
from data.errors import GenbaError
from data.messages import moment, number
from training.pilot import EFFECTS_SQL, STAGES, Item, Pilot, Stage, last_pilot, set_stage, stage
from training.writing_time import CORRECTIONS_SQL

Row = dict[str, Any]


@shows_errors
def page() -> None:
    """The page Pilot."""
    at = opened()
    _ = at.translate
    st.title(_("Pilot"), anchor=False)
    note(
        _(
            "Which items of a caption are worth writing? Try it with what has been corrected so far, then decide."
        )
    )
    stands, found = stage(at.site), last_pilot(at.site)
    _stages(stands, at)
    live_strip()
    if found is None:
        empty(
            _("No pilot yet"),
            _(
                "A pilot trains once with everything and once without each item, and compares them on held-out photos."
            ),
            icon=":material/science:",
        )
    else:
        _result(found, at)
    start, decide = st.columns(2, gap="small")
    with start, st.container(border=True, height="stretch"):
        _start(at)
    with decide, st.container(border=True, height="stretch"):
        _decide(stands, found, at)


def stage_name(name: str, at: Opened) -> str:
    """A stage in words."""
    _ = at.translate
    return {"pilot": _("Pilot"), "template": _("Template"), "automation": _("Automation")}[name]


def _stages(stands: Stage, at: Opened) -> None:
    """The three stages; the one where the site stands is marked, in words too."""
    _ = at.translate
    meaning = {
        "pilot": _("A few hundred captions are corrected in full, to learn which items matter."),
        "template": _("Everybody writes the chosen items; time goes where it brings something."),
        "automation": _("Machines draft, people approve; retraining runs by its policy."),
    }
    for place, (name, column) in enumerate(zip(STAGES, st.columns(3, gap="small"), strict=True), start=1):
        with column, st.container(border=True, height="stretch", gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(f"{place}  {stage_name(name, at)}")
                if name == stands.name:
                    st.badge(_("The site stands here"), icon=":material/location_on:", color="blue")
            note(meaning[name])
    if stands.by and stands.at:
        when = moment(datetime.fromisoformat(stands.at), at.language)
        note(_("Decided by {name}, {when}.").format(name=stands.by, when=when))


def proposal_name(proposal: str, at: Opened) -> str:
    """What is proposed for an item, in words."""
    _ = at.translate
    return {"keep": _("keep"), "leave_out": _("leave out"), "undecided": _("not shown either way")}[proposal]


def sentence(found: Pilot, at: Opened) -> str:
    """What the pilot showed, in words; "nothing shown" is said as plainly as a gain."""
    _ = at.translate
    names = _names(at)
    separator = "、" if at.language == "ja" else ", "

    def listed(proposal: str) -> str:
        return separator.join(
            names.get(item.slot, item.slot) for item in found.items if item.proposal == proposal
        )

    parts = []
    if listed("keep"):
        parts.append(_("Proven useful in at least one measure: {items}.").format(items=listed("keep")))
    if listed("leave_out"):
        parts.append(
            _("Proven harmful, or shown to bring next to nothing: {items}.").format(items=listed("leave_out"))
        )
    if listed("undecided"):
        parts.append(_("Nothing is shown either way for: {items}.").format(items=listed("undecided")))
    return words.joined(parts, at.language)


def _names(at: Opened) -> dict[str, str]:
    labels: dict[str, Mapping[Any, str]] = {slot.id: slot.label for slot in at.site.template().slots}
    return {name: label.get(at.language) or next(iter(label.values())) for name, label in labels.items()}


def _result(found: Pilot, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True):
        heading(_("What each item brings"))
        st.text(sentence(found, at))
        note(
            _("Pilot of {when}: {photos} photos with a corrected caption, seeds: {seeds}.").format(
                when=moment(found.finished_at, at.language), photos=number(found.corrected, at.language),
                seeds=found.seeds,
            )
        )  # fmt: skip
        by_metric = run_figures.slot_effects(at.site, found.run_id)
        headline = {name: group for name, group in by_metric.items() if metric_words.is_headline(name[1])}
        chosen = _metric(list(headline or by_metric), at)
        if chosen is not None:
            chart = run_charts.slots_chart(by_metric[chosen], _names(at), at.language)
            draw(chart, "pilot-chart", at)
            _table(found, chosen, at)
        formula = _(
            "Effect of an item: the metric of the model trained on the corrected captions minus that of one trained on "
            "the same captions without the item; same photos, steps, batches and seeds. Interval: 95 %, bootstrap over "
            "test items and seeds. Seconds: a regression of the active seconds of corrections on which items had to be "
            "written; not measurable where the item was written in nearly all or hardly any, always together with "
            "another, or where the interval reaches down to zero. A proposal rests on the primary measure where its "
            "interval lies off zero, and on others that lie off zero and also hold among all of the item's measures "
            "(Holm's correction, 5 %): of twenty measures without effect about one lies off zero by chance."
        )
        how(_("How is this computed?"), formula, EFFECTS_SQL, CORRECTIONS_SQL)


def _metric(names: list[tuple[str, str]], at: Opened) -> tuple[str, str] | None:
    """The measure that is shown: the primary one, or the one that a person chooses."""
    _ = at.translate
    if not names:
        return None
    primary = at.site.settings.retrain.primary_metric
    first = names.index(primary) if primary in names else 0
    place = st.selectbox(
        _("Measure"), range(len(names)), index=first, key="pilot-metric",
        format_func=lambda place: words.metric_name(names[place][0], names[place][1], at.language),
    )  # fmt: skip
    return names[place or 0]


def _effect(row: Row) -> Effect:
    """A row of the table slot_effects as the effect that it is: what it could show follows from its own interval."""
    known = {field.name for field in fields(Effect)}
    given = {name: value for name, value in row.items() if name in known}
    return Effect(**{"run_id": "", "arm": "", "versus": "", **given})


def _table(found: Pilot, chosen: tuple[str, str], at: Opened) -> None:
    import pandas

    _ = at.translate
    names = _names(at)
    separator = "、" if at.language == "ja" else ", "
    rows = []
    for item in found.items:
        row = next((one for one in item.effects if (one["task"], one["metric"]) == chosen), None)
        rows.append({
            _("Item"): names.get(item.slot, item.slot),
            _("Proposal"): proposal_name(item.proposal, at),
            _("Change by this item"): run_words.amount(row["value"], row["unit"], at.language) if row else "—",
            _("95 % interval"): run_words.span(row["low"], row["high"], row["unit"], at.language) if row else "—",
            _("Could detect"): run_words.could_detect(_effect(row), at.language) if row else "—",
            _("Seconds to write"): seconds_words(item, at),
            _("Gain per second"): _gain(row, at),
            _("Goes with it"): separator.join(names.get(one, one) for one in item.with_it) or "—",
        })  # fmt: skip
    st.dataframe(pandas.DataFrame(rows), hide_index=True, width="stretch", key="pilot-table")
    for item in found.items:
        if item.proven:
            by = separator.join(
                f"{words.metric_name(one['task'], one['metric'], at.language)} "
                f"{run_words.amount(one['value'], one['unit'], at.language)}"
                for one in item.proven
            )
            note(_("{item}, proven by: {measures}").format(item=names.get(item.slot, item.slot), measures=by))
    for why in dict.fromkeys(map(why_no_seconds, found.items)):
        if why:
            of = separator.join(
                names.get(one.slot, one.slot) for one in found.items if why_no_seconds(one) == why
            )
            note(_("Seconds to write, {items}: {why}").format(items=of, why=_reasons(at)[why]))


def seconds_words(item: Item, at: Opened) -> str:
    """The writing time with its interval, or that there is none."""
    _ = at.translate
    time = item.time
    if time is None or time.seconds is None or time.low is None or time.high is None:
        return _("not measurable")
    value, low, high = (number(one, at.language, 1) for one in (time.seconds, time.low, time.high))
    return _("{value} s ({low} to {high})").format(value=value, low=low, high=high)


def why_no_seconds(item: Item) -> str:
    """ "" where there is a time; else "few", "together" or "uncertain" (training/writing_time.py)."""
    return item.time.why if item.time is not None else "few"


def _reasons(at: Opened) -> dict[str, str]:
    _ = at.translate
    return {
        "few": _("not measurable: written in too few or nearly all corrections"),
        "together": _("not measurable: always written together with another item"),
        "uncertain": _("not measurable: the interval reaches down to zero"),
    }


def _gain(row: Row | None, at: Opened) -> str:
    if row is None or row["gain_per_second"] is None:
        return "—"
    return run_words.amount(row["gain_per_second"], row["unit"], at.language)


def _start(at: Opened) -> None:
    _ = at.translate
    heading(_("Start a pilot"))
    steps = max(1, at.site.settings.retrain.steps // 2)
    note(_("One training for each item, each with {steps} steps and two seeds. It shows only large effects.").format(
        steps=steps))  # fmt: skip
    if st.button(
        _("Start a pilot now"),
        type="primary",
        icon=":material/play_arrow:",
        key="pilot-start",
        disabled=locked(at),
    ):
        with at.site.connect() as db:
            jobs.enqueue(db, "pilot", requested_by=at.person)
            db.event(at.person, "job.queued", {"name": "pilot", "arguments": {}})
        st.toast(_("Queued. The progress appears on this page."), icon=":material/check:")
        st.rerun()


def _decide(stands: Stage, found: Pilot | None, at: Opened) -> None:
    """The manager's decision: the stage, and the items to go on with."""
    _ = at.translate
    heading(_("Decide how to go on"))
    names = _names(at)
    proposed = [slot for slot in names if slot not in _left_out(found)]
    with st.form("pilot-decide", border=False):
        name = st.segmented_control(
            _("Stage"), STAGES, default=stands.name, required=True, key="pilot-stage",
            format_func=lambda one: stage_name(one, at),
        )  # fmt: skip
        slots = st.multiselect(
            _("Items to go on with"), list(names), default=list(stands.slots) or proposed, key="pilot-slots",
            format_func=lambda slot: names.get(slot, slot),
        )  # fmt: skip
        if st.form_submit_button(
            _("Decide"), icon=":material/gavel:", disabled=not is_lead(at.site, at.person)
        ):
            try:
                set_stage(at.site, str(name), at.person, found.run_id if found else None, slots)
            except GenbaError as error:
                show_error(error)
            else:
                st.rerun()
    if not is_lead(at.site, at.person):
        note(_("Only a lead decides: [review] leads in genba.toml names who."))
    absent = [slot for slot in names if stands.slots and slot not in stands.slots]
    if absent:
        left = ("、" if at.language == "ja" else ", ").join(names[slot] for slot in absent)
        note(_("To be taken out of the template: {items}.").format(items=left))
        if pages := st.session_state.get("pages"):
            st.page_link(pages["template"], label=_("Go to the template"))


def _left_out(found: Pilot | None) -> set[str]:
    return {item.slot for item in found.items if item.proposal == "leave_out"} if found else set()
