"""Exports of the model in use for devices, on the page Retrainings: start one, and what each was measured at."""

from __future__ import annotations

import streamlit as st

from annotate.pages.elements import Opened, escaped, note
from annotate.roles import is_lead
from dashboards import run_figures, run_words
from dashboards.effects import Model
from dashboards.pages.elements import how
from dashboards.run_figures import Export
from data import jobs
from data.messages import moment, number
from training import checklist
from training.edge import FORMATS
from training.edge_check import LIMITS
from training.edge_onnx import PRECISIONS

JOB = "export-model"


def exports(champion: Model, at: Opened) -> None:
    """Below the model in use."""
    _ = at.translate
    with st.expander(_("Exports for devices"), icon=":material/devices:"):
        _start(champion, at)
        found = run_figures.exports(at.site, champion.model_id)
        _failed(champion, found, at)
        for one in found:
            _shown(one, at)
        if not found:
            note(_("This model has not been exported yet."))
        how(_("How is this measured?"), _formula(at), run_figures.EXPORTS_SQL)


def _start(champion: Model, at: Opened) -> None:
    """Format and precision, and the button; what stands against it is said when it is pressed."""
    _ = at.translate
    precisions = {
        "fp32": _("fp32: as it was trained"),
        "fp16": _("fp16: half the size"),
        "int8": _("int8: a quarter of the size, differs most"),
    }
    with st.form("export-model", border=False):
        left, right = st.columns(2, gap="small")
        format_ = left.selectbox(_("Format"), FORMATS, format_func=str.upper)
        precision = right.selectbox(
            _("Precision"), PRECISIONS, format_func=lambda one: precisions.get(one, one)
        )
        asked = st.form_submit_button(_("Export the model in use"), icon=":material/file_export:")
    if not asked or precision is None or format_ is None:
        return
    named = str(st.session_state.get("name") or "").strip()
    if not named:
        st.badge(_("Enter your name in the bar on the left first."), color="orange", icon=":material/person:")
        return
    if not is_lead(at.site, named):
        leads = ", ".join(at.site.settings.review.leads)
        st.badge(_("Only a lead exports: {names}").format(names=escaped(leads)), color="orange",
                 icon=":material/lock:")  # fmt: skip
        return
    state, signed = checklist.for_export(at.site, champion.model_id)
    if state != "ready":
        why = {
            "unsigned": _("Every export needs a checklist that a lead has signed for it; none is signed."),
            "used": _(
                "Every export needs a checklist of its own; the last one was used for an earlier export."
            ),
            "refused": _("The checklist that {name} signed says no."),
        }[state]
        st.badge(_("Not exported"), color="red", icon=":material/block:")
        st.text(why.format(name=signed["signed_by"] if signed else ""))
        note(_("Sign it under “Checklists of the model in use”, then export again."))
        return
    arguments = {"model": champion.model_id, "format": format_, "precision": precision, "by": named}
    with at.site.connect() as db:
        jobs.enqueue(db, JOB, arguments, named)
        db.event(named, "job.queued", {"name": JOB, "arguments": arguments})
    st.toast(_("Queued. The progress appears on this page."), icon=":material/check:")
    st.rerun()


def _failed(champion: Model, found: list[Export], at: Opened) -> None:
    """Why the last try came to nothing, until one succeeds."""
    _ = at.translate
    with at.site.connect() as db:
        tried = [
            one
            for one in jobs.jobs(db)
            if one.name == JOB and one.arguments.get("model") == champion.model_id
        ]
    last = max((one for one in tried if one.finished_at), key=lambda one: one.queued_at, default=None)
    if last is None or last.state != "failed" or (found and found[0].exported_at > last.queued_at):
        return
    st.badge(_("The last export failed"), color="red", icon=":material/error:")
    st.text(last.error or _("The job left no error text."))


def _shown(one: Export, at: Opened) -> None:
    """What one export was measured at, against torch."""
    import pandas

    _ = at.translate
    told = one.report
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(f"{one.format.upper()} {one.precision}", color="blue", icon=":material/devices:")
            note(_("{name}, {when}").format(name=one.exported_by, when=moment(one.exported_at, at.language)))

        def digits(value: float, count: int) -> str:
            return number(value, at.language, count)

        def share(value: float | None) -> str:
            return "—" if value is None else run_words.value(value, "fraction", at.language)

        torch, here = told.speed_torch, told.speed_export
        both = told.megabytes_image + told.megabytes_text
        rows = [
            (_("Cosine to torch, photos: mean"), "1", digits(told.photo_cosine_mean, 4)),
            (_("Cosine to torch, photos: lowest"), "1", digits(told.photo_cosine_lowest, 4)),
            (_("Cosine to torch, texts: mean"), "1", digits(told.text_cosine_mean, 4)),
            (_("Equal answers to the items"), share(1.0), share(told.equal_answers)),
            (_("Accuracy of the items"), share(told.accuracy_torch), share(told.accuracy_export)),
            (_("Milliseconds for a photo"), digits(torch.photo_ms, 1), digits(here.photo_ms, 1)),
            (_("Milliseconds for a photo in a batch"), digits(torch.batched_photo_ms, 1),
             digits(here.batched_photo_ms, 1)),
            (_("Milliseconds for a text"), digits(torch.text_ms, 1), digits(here.text_ms, 1)),
            (_("Size of both towers, MB"), digits(told.megabytes_torch, 1), digits(both, 1)),
        ]  # fmt: skip
        frame = pandas.DataFrame(rows, columns=["", "torch", one.precision])
        st.dataframe(frame, hide_index=True, width="stretch", key=f"export-{one.export_id}")
        note(
            _(
                "{photos} held-out photos, {texts} texts, {threads} threads. The files on this machine:"
            ).format(
                photos=number(told.photos, at.language),
                texts=number(told.texts, at.language),
                threads=told.threads,
            )
        )
        st.code(one.path, language=None, wrap_lines=True)


def _formula(at: Opened) -> str:
    _ = at.translate
    limits = "; ".join(
        f"{name}: {limit.mean_cosine:g} / {limit.equal_answers:g}" for name, limit in LIMITS.items()
    )
    return _(
        "The exported files and the model get the same prepared held-out photos and texts. Cosine: between the two "
        "vectors of one photo or text. Equal answers: share of (photo, item) with the same answer. Milliseconds: "
        "median on this machine, both with as many threads. An export below its limits is refused, and nothing of it "
        "stays (mean cosine / equal answers at least: {limits})."
    ).format(limits=limits)
