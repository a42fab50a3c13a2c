"""Retrainings: what each measured, arms side by side; start one; promote a model or roll back."""

from __future__ import annotations

from collections.abc import Callable

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
from annotate.pages.jobs_strip import live_strip
from dashboards import charts, effects, figures, words
from dashboards.effects import Effect, Model, Run
from dashboards.pages.elements import how
from dashboards.pages.jobs import STATES, state_name
from data import jobs
from data.errors import GenbaError
from data.messages import duration, moment, number


@shows_errors
def page() -> None:
    """The page of retrainings."""
    at = opened()
    _ = at.translate
    st.title(_("Retrainings"), anchor=False)
    live_strip()
    found = effects.runs(at.site)
    start, models = st.columns([2, 3], gap="small")
    with start, st.container(border=True, height="stretch"):
        _start(at)
    with models, st.container(border=True, height="stretch"):
        _models(at)
    if not found:
        empty(_("No retraining yet"), _("Each retraining appears here with its arms and their effects."))
        return
    _one(_choose(found, at), at)


def _start(at: Opened) -> None:
    """Start a retraining by hand, knowing beforehand how small an effect it can show."""
    _ = at.translate
    settings = at.site.settings.retrain
    heading(_("Start a retraining"))
    arms = " / ".join(words.arm_name(arm, at.language) for arm in settings.arms)
    note(
        _("Arms: {arms}. Same photos, base, steps ({steps}) and seeds.").format(
            arms=arms, steps=settings.steps
        )
    )
    last = effects.gain(at.site)
    note(words.detectable_sentence(last if isinstance(last, Effect) else None, at.language))
    since = figures.standing(at.site).since_last_run
    note(words.policy_sentence(settings, since, at.language))
    with st.form("retrain", border=False):
        seeds = st.number_input(
            _("Seeds for each arm"),
            1,
            20,
            settings.seeds,
            help=_("More seeds take longer and show smaller effects."),
        )
        if st.form_submit_button(_("Start now"), type="primary", icon=":material/play_arrow:"):
            arguments = {"arms": settings.arms, "seeds": int(seeds)}
            with at.site.connect() as db:
                jobs.enqueue(db, "retrain", arguments, at.person)
                db.event(at.person, "job.queued", {"name": "retrain", "arguments": arguments})
            st.toast(_("Queued. The progress appears on this page."), icon=":material/check:")
            st.rerun()


def _models(at: Opened) -> None:
    """The model in use, the candidates, and the two decisions a person may take."""
    _ = at.translate
    heading(_("Models"))
    found = effects.models(at.site)
    champion = next((model for model in found if model.state == "champion"), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(_("in use"), color="green", icon=":material/check_circle:")
        st.text(_model_name(champion, at) if champion else at.site.settings.site.encoder)
        if champion and st.button(_("Roll back"), key="rollback", icon=":material/undo:"):
            _confirm_rollback(at)
    candidates = [model for model in found if model.state == "candidate"]
    for model in candidates[:3]:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(_("candidate"), color="blue", icon=":material/science:")
            st.text(_model_name(model, at))
            if st.button(_("Promote"), key=f"promote-{model.model_id}", icon=":material/upgrade:"):
                _confirm_promotion(model, at)
    if not candidates:
        note(_("No candidate waits. A retraining makes one."))
    retired = [model for model in found if model.state == "retired"]
    if retired or candidates[3:]:
        note(_("Older models kept: {n}").format(n=number(len(retired) + len(candidates[3:]), at.language)))


def _model_name(model: Model, at: Opened) -> str:
    return f"{words.arm_name(model.arm, at.language)} · {moment(model.created_at, at.language)}"


def _confirm_promotion(model: Model, at: Opened) -> None:
    """Asks before the model ranks the queue; says what its run proved."""
    _ = at.translate

    @st.dialog(_("Promote this model?"))
    def ask() -> None:
        st.text(_model_name(model, at))
        found = effects.effects(at.site, model.run_id)
        if found:
            st.text(words.effect_sentence(found, at.language, is_last=False))
        st.text(
            _(
                "The site is then scored again with it, and the queue is ranked anew. You can roll back at any time."
            )
        )
        force = not words.promotable(found) and st.checkbox(_("Promote although no gain is proven"))
        if st.button(_("Promote"), type="primary", key="promote-yes"):
            import training.registry as registry

            _decide(lambda: registry.promote(at.site, model.model_id, at.person, force=bool(force)))

    ask()


def _confirm_rollback(at: Opened) -> None:
    _ = at.translate

    @st.dialog(_("Roll back to the model before?"))
    def ask() -> None:
        st.text(_("The model before this one ranks the queue again; its scores are still there."))
        if st.button(_("Roll back"), type="primary", key="rollback-yes"):
            import training.registry as registry

            _decide(lambda: registry.rollback(at.site, at.person))

    ask()


def _decide(act: Callable[[], object]) -> None:
    """Run a decision; a refusal is shown in the dialog, with its reason."""
    try:
        act()
    except GenbaError as error:
        show_error(error)
    else:
        st.rerun()


def _choose(found: list[Run], at: Opened) -> Run:
    """All runs as a table; the chosen one (the newest at first) is shown below."""
    import pandas

    _ = at.translate
    heading(_("All retrainings"))
    rows = pandas.DataFrame(
        {
            _("Started"): moment(run.created_at, at.language),
            _("State"): state_name(run.state, at),
            _("By"): run.requested_by or "",
            _("Seeds"): run.seeds,
            _("Took"): duration(run.seconds, at.language) if run.seconds is not None else "",
            _("Arms"): ", ".join(words.arm_name(arm, at.language) for arm in run.arms),
        }
        for run in found
    )
    picked = st.dataframe(
        rows, hide_index=True, width="stretch", on_select="rerun", selection_mode="single-row", key="runs",
    )  # fmt: skip
    chosen = picked["selection"]["rows"]
    note(_("Select a row to see that retraining; the newest is shown until then."))
    return found[chosen[0]] if chosen and chosen[0] < len(found) else found[0]


def _one(run: Run, at: Opened) -> None:
    """One retraining: its sentence, effects with intervals, and every seed of every arm."""
    _ = at.translate
    found = effects.effects(at.site, run.run_id)
    color, icon = STATES.get(run.state, ("gray", ":material/help:"))
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(state_name(run.state, at), color=color, icon=icon)  # type: ignore[arg-type]
            st.text(moment(run.created_at, at.language))
            simulated = effects.simulated_share(at.site, run.run_id)[0]
            if simulated:
                simulated_badge(at, simulated)
        if run.error:
            st.code(run.error, language=None, wrap_lines=True)
        if not found:
            st.text(_("This retraining has no effects to show."))
        else:
            st.text(words.run_sentence(at.site, run.run_id, at.language))
            _effects(found, at)
            _arms(run, at)
        facts = {
            _("Run"): run.run_id,
            _("Snapshot"): run.snapshot_id or "—",
            _("Base encoder"): run.base_encoder,
            _("By"): run.requested_by or "—",
        }
        with st.expander(_("How it was made"), icon=":material/account_tree:"):
            for name, value in facts.items():
                st.text(f"{name}: {value}")
            st.json(run.config)


def _effects(found: list[Effect], at: Opened) -> None:
    _ = at.translate
    for (arm, versus), group in _by_contrast(found):
        note(
            _("{arm} against {versus}").format(
                arm=words.arm_name(arm, at.language), versus=words.arm_name(versus, at.language)
            )
        )
        for place, chart in enumerate(charts.gain_chart(group, at.language)):
            st.altair_chart(chart, theme=None, key=f"effect-{arm}-{versus}-{place}",
                            alt=charts.alternative_text(group, at.language))  # fmt: skip
    formula = _(
        "Metric of one arm minus metric of the other, mean over the seeds. Interval: paired bootstrap over the "
        "held-out test items. An interval that includes zero proves nothing, whichever side the point lies on. "
        "Each interval stands alone: of twenty measures without any effect about one lies off zero by chance."
    )
    how(_("How is this computed?"), formula, effects.EFFECTS_SQL, more=lambda: _effects_table(found, at))


def _by_contrast(found: list[Effect]) -> list[tuple[tuple[str, str], list[Effect]]]:
    """Effects by the two arms they compare, in the order in which they come (the main contrast first)."""
    groups: dict[tuple[str, str], list[Effect]] = {}
    for effect in found:
        groups.setdefault((effect.arm, effect.versus), []).append(effect)
    return list(groups.items())


def _effects_table(found: list[Effect], at: Opened) -> None:
    import pandas

    _ = at.translate
    rows = pandas.DataFrame(
        {
            _("Arm"): words.arm_name(e.arm, at.language),
            _("Against"): words.arm_name(e.versus, at.language),
            _("Measure"): words.metric_name(e.task, e.metric, at.language),
            _("Change"): words.difference(e.value, e, at.language),
            _("95 % interval"): words.interval(e, at.language),
            _("Test items"): e.n,
            _("Seeds"): e.seeds,
        }
        for e in found
    )
    st.dataframe(rows, hide_index=True, width="stretch")


def _arms(run: Run, at: Opened) -> None:
    """Arms side by side, one small chart for each metric; every dot is one seed."""
    _ = at.translate
    groups = effects.metrics(at.site, run.run_id)
    if not groups:
        return
    heading(_("Arms side by side"))
    note(_("Each dot is one seed, the line is their mean. Values on held-out photos with checked captions."))
    for first in range(0, len(groups), 2):
        for column, group in zip(st.columns(2, gap="medium"), groups[first : first + 2], strict=False):
            key = f"arms-{group[0].task}-{group[0].metric}"
            column.altair_chart(charts.arms_chart(group, at.language), theme=None, key=key)
    how(
        _("How is this computed?"),
        _("The metric of each arm and seed, as the evaluation wrote it."),
        effects.METRICS_SQL,
    )
