"""Models on the page Retrainings: the one in use, candidates, what the gate says, checklist, promotion, way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st

from annotate.pages.elements import Opened, escaped, heading, note, show_error
from annotate.roles import has_leads, is_lead
from dashboards import effects, run_figures, run_words, words
from dashboards.effects import Model
from dashboards.pages import run_exports, run_parts
from dashboards.pages.elements import how
from data.errors import GenbaError
from data.messages import moment, number
from training import checklist, gate, gate_words, registry
from training.gate import Check

SHOWN = 3
STATES = {
    "passed": (":material/check_circle:", "green"),
    "refused": (":material/cancel:", "red"),
    "not_measured": (":material/help:", "orange"),
    "not_asked": (":material/remove:", "gray"),
}


def models(at: Opened) -> None:
    """The model in use, the candidates, and the decisions that a person may take."""
    _ = at.translate
    heading(_("Models"))
    found = effects.models(at.site)
    champion = next((model for model in found if model.state == "champion"), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(_("in use"), color="green", icon=":material/check_circle:")
        st.text(name_of(champion, at) if champion else at.site.settings.site.encoder)
        if champion and st.button(_("Roll back"), key="rollback", icon=":material/undo:"):
            _confirm_rollback(at)
    candidates = [model for model in found if model.state == "candidate"]
    for model in candidates[:SHOWN]:
        _candidate(model, at)
    if not candidates:
        note(_("No candidate waits. A retraining makes one."))
    retired = [model for model in found if model.state == "retired"]
    if retired or candidates[SHOWN:]:
        older = len(retired) + len(candidates[SHOWN:])
        note(_("Older models kept: {n}").format(n=number(older, at.language)))
        with st.expander(_("Older models"), icon=":material/history:"):
            for model in (*candidates[SHOWN:], *retired):
                _candidate(model, at)
    if champion:
        _signatures(champion, at)
        run_exports.exports(champion, at)


def name_of(model: Model, at: Opened) -> str:
    return run_words.model_name(model.arm, model.created_at, at.language)


def _candidate(model: Model, at: Opened) -> None:
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center"):
        if model.state == "retired":
            st.badge(_("was in use"), color="gray", icon=":material/history:")
        else:
            st.badge(_("candidate"), color="blue", icon=":material/science:")
        st.text(name_of(model, at))
    with st.container(horizontal=True):
        if st.button(_("Checklist"), key=f"sign-{model.model_id}", icon=":material/signature:"):
            ask_to_sign(model, "promotion", at)
        if st.button(_("Promote"), key=f"promote-{model.model_id}", icon=":material/upgrade:"):
            _confirm_promotion(model, at)
    signed = run_figures.checklists(at.site, model.model_id)[:1]
    for one in signed:
        note(_signature(one, at))


def _signature(one: run_figures.Checklist, at: Opened) -> str:
    _ = at.translate
    refused = checklist.objections(one.answers)
    purpose = {"promotion": _("for the promotion"), "export": _("for an export")}[one.purpose]
    text = _("Checklist {purpose} signed by {name}, {when}").format(
        purpose=purpose, name=one.signed_by, when=moment(one.signed_at, at.language)
    )
    return text + (_("; {n} times no").format(n=len(refused)) if refused else "")


def _signatures(champion: Model, at: Opened) -> None:
    """Who signed what for the model in use, and a new checklist for an export of it."""
    _ = at.translate
    with st.expander(_("Checklists of the model in use"), icon=":material/signature:"):
        for one in run_figures.checklists(at.site, champion.model_id):
            note(_signature(one, at))
            show_answers(one, at)
        note(_("Every export to a device needs a checklist of its own."))
        if st.button(_("Sign for an export"), key="sign-export", icon=":material/signature:"):
            ask_to_sign(champion, "export", at)


def show_answers(one: run_figures.Checklist, at: Opened) -> None:
    import pandas

    _ = at.translate
    said = answer_names(at)
    asked = {question.key: question.text for question in checklist.questions(at.language)}
    rows = pandas.DataFrame(
        {_("Question"): asked.get(key, key), _("Answer"): said[given["answer"]], _("Notes"): given["note"]}
        for key, given in one.answers.items()
    )
    st.dataframe(rows, hide_index=True, width="stretch", key=f"answers-{one.checklist_id}")


def answer_names(at: Opened) -> dict[str, str]:
    _ = at.translate
    return {"yes": _("yes"), "no": _("no"), "not_applicable": _("not applicable")}


def show_checks(found: list[Check], at: Opened) -> None:
    """Every condition of the gate, each in a sentence."""
    named = partial(words.metric_name, labels=words.slot_labels(at.site.template(), at.language))
    for check in found:
        icon, colour = STATES[check.state]
        title, sentence = st.columns([2, 5], gap="small")
        title.badge(escaped(gate_words.title(check, at.language)), icon=icon, color=colour)  # type: ignore[arg-type]
        sentence.text(gate_words.sentence(_in_words(check, at), at.language, named))


def _in_words(check: Check, at: Opened) -> Check:
    """The parts of slices under the names of the page Retrainings; those of authors who are held back without them."""
    _ = at.translate
    if not any("slice" in row for row in check.falls):
        return check
    shown = {
        (gap.slice, gap.part)
        for group in run_figures.gaps(at.site, check.falls[0]["run_id"]).values()
        for gap in group
    }
    named = [
        {
            **row,
            "slice": run_words.slice_name(row["slice"], at.language),
            "part": run_words.part_value(row["slice"], row["part"], at.language)
            if (row["slice"], row["part"]) in shown
            else _("not shown by name"),
        }
        for row in check.falls
    ]
    return replace(check, falls=tuple(named))


def how_the_gate_decides(at: Opened) -> None:
    _ = at.translate
    settings = at.site.settings.retrain
    task, metric = settings.primary_metric
    formula = _(
        "The interval of “{metric}” must lie above zero against the original and the reworded captions. Nothing "
        "guarded may fall by more than {margin} (shares: points; other units: of the value): against the model in use, "
        "on the general set and on captions that were right before as measured; in slices and other measures where the "
        "interval excludes zero too. Then the weights are read back, and must score as when they were written."
    ).format(metric=words.metric_name(task, metric, at.language), margin=f"{100 * settings.guard_margin:g} %")
    how(
        _("How is this decided?"),
        formula,
        effects.EFFECTS_SQL,
        run_figures.GAPS_SQL,
        run_figures.CHECKLISTS_SQL,
    )


def _confirm_promotion(model: Model, at: Opened) -> None:
    """Says what the gate finds; the button is there only when nothing stands against the model."""
    _ = at.translate

    @st.dialog(_("Promote this model?"), width="large")
    def ask() -> None:
        st.text(name_of(model, at))
        try:
            found = registry.checks(at.site, model.model_id)
        except GenbaError as error:
            show_error(error)
            return
        show_checks(found, at)
        how_the_gate_decides(at)
        if not gate.allows(found):
            st.badge(_("Not promoted: the conditions marked above stand against it."), color="red",
                     icon=":material/block:")  # fmt: skip
            return
        st.text(
            _(
                "The site is then scored again with it, and the queue is ranked anew. You can roll back at any time."
            )
        )
        if st.button(_("Promote"), type="primary", key="promote-yes"):
            with st.spinner(_("Reading the weights back ...")):
                decide(lambda: registry.promote(at.site, model.model_id, at.person))

    ask()


def _confirm_rollback(at: Opened) -> None:
    _ = at.translate

    @st.dialog(_("Roll back to the model before?"))
    def ask() -> None:
        st.text(_("The model before this one ranks the queue again; its scores are still there."))
        if st.button(_("Roll back"), type="primary", key="rollback-yes"):
            decide(lambda: registry.rollback(at.site, at.person))

    ask()


def decide(act: Callable[[], object]) -> None:
    """Run a decision; a refusal is shown in the dialog, with its reason."""
    try:
        act()
    except GenbaError as error:
        show_error(error)
    else:
        st.rerun()


def ask_to_sign(model: Model, purpose: str, at: Opened) -> None:
    """The checklist: the gaps that were measured, then every question with a note."""
    _ = at.translate

    @st.dialog(_("Fairness, privacy and safety"), width="large")
    def ask() -> None:
        note(_("Model: {name}").format(name=name_of(model, at)))
        named = str(st.session_state.get("name") or "").strip()
        if not named:
            st.badge(
                _("Enter your name in the bar on the left first."), color="orange", icon=":material/person:"
            )
            return
        if not is_lead(at.site, named):
            leads = ", ".join(at.site.settings.review.leads)
            st.badge(
                _("Only a lead signs: {names}").format(names=escaped(leads)),
                color="orange",
                icon=":material/lock:",
            )
            return
        if not has_leads(at.site):
            note(_("The site names no leads ([review] leads in genba.toml), so anybody may sign."))
        _gaps_to_look_at(model.model_id, at)
        with st.form(f"checklist-{purpose}", border=False):
            answers = _questions(at)
            if st.form_submit_button(_("Sign as {name}").format(name=escaped(named)), type="primary"):
                decide(lambda: checklist.sign(at.site, model.model_id, purpose, answers, named))

    ask()


def _questions(at: Opened) -> dict[str, dict[str, str | None]]:
    """Each question with its answer and note, as they stand in the form."""
    _ = at.translate
    said = answer_names(at)
    parts = {"fairness": _("Fairness"), "privacy": _("Privacy"), "safety": _("Safety")}
    answers: dict[str, dict[str, str | None]] = {}
    part = ""
    for one in checklist.questions(at.language):
        if one.part != part:
            part = one.part
            heading(parts[part])
        left, right = st.columns([3, 2], vertical_alignment="bottom", gap="small")
        with left:
            answer = st.radio(
                escaped(one.text), list(said), format_func=said.__getitem__, index=None, horizontal=True,
                key=f"answer-{one.key}",
            )  # fmt: skip
        text = right.text_input(
            _("Note: what this rests on"), key=f"note-{one.key}", max_chars=checklist.LONGEST_NOTE
        )
        answers[one.key] = {"answer": answer, "note": text}
    return answers


def _gaps_to_look_at(model_id: str, at: Opened) -> None:
    """The widest gaps of the model's run, as they are kept with the signature."""
    import pandas

    _ = at.translate
    with at.site.connect() as db:
        worst, is_measured = checklist.gaps_to_look_at(at.site, db, model_id)
    if not worst:
        st.text(_("No part with enough captions is served worse than the rest.") if is_measured
                else _("The run measured no slices."))  # fmt: skip
        return
    note(_("The widest gaps that the run measured"))
    shown = [run_figures.Gap(**row) for row in worst]
    frame = pandas.DataFrame(
        {
            _("Slice"): run_words.part_name(gap, at.language),
            _("Measure"): words.metric_name(gap.task, gap.metric, at.language),
            _("There"): run_words.value(gap.value, gap.unit, at.language),
            _("Elsewhere"): run_words.value(gap.rest, gap.unit, at.language),
            _("Difference"): run_words.amount(gap.gap, gap.unit, at.language),
            _("95 % interval"): run_words.span(gap.low, gap.high, gap.unit, at.language),
            _("Test items"): gap.n,
        }
        for gap in shown
    )
    st.dataframe(frame, hide_index=True, width="stretch")
    how(_("How is this computed?"), run_parts.gaps_formula(at), run_figures.GAPS_SQL, where="dialog")
