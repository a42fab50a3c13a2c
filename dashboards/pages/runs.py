"""Retrainings: what each measured, arms side by side; start one; sign, promote a model or roll back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from annotate.pages.elements import (
    Opened,
    empty,
    heading,
    note,
    opened,
    show_error,
    shows_errors,
    simulated_badge,
)
from annotate.pages.jobs_strip import job_name
from annotate.pages.lead import locked
from dashboards import effects, run_words, words
from dashboards.effects import Effect, Run
from dashboards.pages import run_models, run_parts, run_pictures
from dashboards.pages.elements import how
from dashboards.pages.jobs import STATES, show_progress, state_name
from data import jobs
from data.errors import GenbaError
from data.jobs import Job
from data.messages import duration, moment
from training.arms import require_arms
from training.policy_words import sentences
from training.when import decide

WATCHED = ("retrain", "pilot", "evaluate", "export-model")  # jobs of this page


@shows_errors
def page() -> None:
    """The page of retrainings."""
    at = opened()
    _ = at.translate
    st.title(_("Retrainings"), anchor=False)
    _going()
    found = effects.runs(at.site)
    start, models = st.columns([2, 3], gap="small")
    with start, st.container(border=True, height="stretch"):
        _start(at)
    with models, st.container(border=True, height="stretch"):
        run_models.models(at)
    if not found:
        empty(_("No retraining yet"), _("Each retraining appears here with its arms and their effects."))
        return
    _one(_choose(found, at), at)


@st.fragment(run_every=2)
def _going() -> None:
    """Retrainings that wait or run: progress, loss, rate, time left, cancel. When one ends, the page renews itself."""
    at = opened()
    try:
        with at.site.connect() as db:
            active = [j for j in jobs.jobs(db, limit=20) if j.state in jobs.ACTIVE and j.name in WATCHED]
    except GenbaError as error:  # the store is busy: say so, and try again in two seconds
        show_error(error)
        return
    ids = {job.job_id for job in active}
    before = st.session_state.get("active_runs")
    st.session_state["active_runs"] = ids
    if before is not None and before - ids:
        st.rerun(scope="app")
    for job in active:
        _job(job, at)


def _job(job: Job, at: Opened) -> None:
    _ = at.translate
    colour, icon = STATES[job.state]
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(job_name(job.name, at), color=colour, icon=icon)  # type: ignore[arg-type]
            stop = st.button(
                _("Cancel"), key=f"cancel-{job.job_id}", disabled=job.cancel_requested,
                icon=":material/stop_circle:",
            )  # fmt: skip
        show_progress(job, at)
    if stop:
        with at.site.connect() as db:
            jobs.cancel(db, job.job_id)
            db.event(at.person, "job.cancelled", {"job": job.job_id, "name": job.name})
        st.rerun()


def _start(at: Opened) -> None:
    """Start a retraining by hand, knowing beforehand how small an effect it can show."""
    _ = at.translate
    settings = at.site.settings.retrain
    heading(_("Start a retraining"))
    arms = " / ".join(words.arm_name(arm, at.language) for arm in require_arms(settings.arms))
    note(
        _("Arms: {arms}. Same photos, base, steps ({steps}) and seeds.").format(
            arms=arms, steps=settings.steps
        )
    )
    note(words.joined(sentences(decide(at.site), at.language), at.language))
    # No form: Enter in a form's field would start hours of work, and the sentence below follows the number.
    seeds = int(st.number_input(
        _("Seeds for each arm"), 1, 20, settings.seeds, key="retrain-seeds",
        help=_("More seeds take longer and show smaller effects."),
    ))  # fmt: skip
    known = effects.telling(at.site)
    note(words.before_sentence(known, seeds, at.language))
    if known:
        formula = _(
            "(1.96 + 0.84) x the standard error, which is the width of that retraining's interval / (2 x 1.96): found "
            "in four of five cases at the 5 % level (Cohen 1988). The newest retraining with two seeds or more counts: "
            "one seed does not show how much trainings differ. For fewer seeds than it had, times the root of its "
            "seeds / these; for more as it is, because how much they help is not known."
        )
        how(_("How is this computed?"), formula, effects.TELLING_SQL, popover=True)
    arguments = {"arms": settings.arms, "seeds": seeds}
    is_asked = _is_asked(arguments, at)
    if is_asked:
        note(_("An equal retraining waits or runs already; a second one would measure the same again."))
    start = st.button(
        _("Start now"), type="primary", icon=":material/play_arrow:", disabled=locked(at) or is_asked
    )
    if start and not is_asked:
        with at.site.connect() as db:
            jobs.enqueue(db, "retrain", arguments, at.person)
            db.event(at.person, "job.queued", {"name": "retrain", "arguments": arguments})
        st.toast(_("Queued. The progress appears on this page."), icon=":material/check:")
        st.rerun()


def _is_asked(arguments: dict[str, Any], at: Opened) -> bool:
    """Whether a retraining with the same arms and seeds waits or runs; one that names none takes those of the
    settings, as training/retrain.py does."""
    settings = at.site.settings.retrain
    with at.site.connect() as db:
        active = [
            job.arguments for job in jobs.jobs(db) if job.name == "retrain" and job.state in jobs.ACTIVE
        ]
    usual = {"arms": settings.arms, "seeds": settings.seeds}
    return any({**usual, **given} == arguments for given in active)


def _choose(found: list[Run], at: Opened) -> Run:
    """All runs as a table; the chosen one (the newest finished one at first) is shown below."""
    import pandas

    _ = at.translate
    heading(_("All retrainings"))
    kinds = {"retrain": _("Retraining"), "pilot": _("Pilot")}
    rows = pandas.DataFrame(
        {
            _("Started"): moment(run.created_at, at.language),
            _("Kind"): kinds.get(run.kind, run.kind),
            _("State"): state_name(run.state, at),
            _("By"): run.requested_by or "",
            _("Seeds"): run.seeds,
            _("Took"): duration(run.seconds, at.language) if run.seconds is not None else "",
            _("Arms"): len(run.arms),  # their names would not fit: they stand with the chosen run
        }
        for run in found
    )
    picked = st.dataframe(
        rows, hide_index=True, width="stretch", on_select="rerun", selection_mode="single-row", key="runs",
    )  # fmt: skip
    chosen = picked["selection"]["rows"]
    note(_("Select a row to see that retraining; the newest finished one is shown until then."))
    if chosen and chosen[0] < len(found):
        return found[chosen[0]]
    return next((run for run in found if run.state == "done"), found[0])


def _one(run: Run, at: Opened) -> None:
    """One retraining: its sentence, what may be claimed, and its parts, one at a time."""
    _ = at.translate
    found = effects.effects(at.site, run.run_id)
    color, icon = STATES.get(run.state, ("gray", ":material/help:"))
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(state_name(run.state, at), color=color, icon=icon)  # type: ignore[arg-type]
            st.text(moment(run.created_at, at.language))
            simulated = effects.simulated_share(at.site, run.run_id)
            if simulated[0]:
                simulated_badge(at, simulated[0])
        if run.arms:
            names = " / ".join(words.arm_name(arm, at.language) for arm in run.arms)
            note(_("{item}: {text}").format(item=_("Arms"), text=names))
        if run.error:
            st.code(run.error, language=None, wrap_lines=True)
        if found:
            is_last = run.run_id == effects.last_run(at.site)
            st.text(words.run_words(found, simulated, at.language, is_last))
            claim = run_words.claim(found, at.language) if run.kind == "retrain" else ""
            if claim:
                st.text(claim)
        elif run.state == "running":
            st.text(_("It has not finished yet."))
        elif run.state == "interrupted":
            text = _("It was interrupted. What it has finished is kept for a day: it goes on when a retraining with "
                     "the same settings is started.")  # fmt: skip
            st.text(text)
        else:
            st.text(_("This retraining has no effects to show."))
        _parts(run, found, at)


def _parts(run: Run, found: list[Effect], at: Opened) -> None:
    """Only the chosen part is computed: the page stays fast however many there are."""
    _ = at.translate
    parts: dict[str, tuple[str, Callable[[], None]]] = {
        "effects": (_("Effects"), lambda: run_parts.show_effects(run, found, at) if found else None),
        "efficiency": (_("Label efficiency"), lambda: run_parts.show_efficiency(run, at)),
        "items": (_("Items of the template"), lambda: run_parts.show_slots(run, at)),
        "slices": (_("Slices"), lambda: run_parts.show_slices(run, at)),
        "examples": (_("Examples"), lambda: run_pictures.show_examples(run, at)),
        "lineage": (_("Lineage"), lambda: run_parts.show_lineage(run, at)),
    }
    first = "effects" if found else "lineage"
    chosen = st.segmented_control(
        _("Section"), list(parts), default=first, required=True, format_func=lambda name: parts[name][0],
        key=f"part-{run.run_id}", label_visibility="collapsed",
    )  # fmt: skip
    parts[chosen or first][1]()
