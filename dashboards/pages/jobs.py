"""Jobs: what the worker does now, waits for and has done; progress, rate, time left, cancel, retry, errors with log."""

from __future__ import annotations

import re

import streamlit as st

from annotate.pages import unusable
from annotate.pages.elements import Opened, empty, heading, note, opened, show_error, shows_errors
from annotate.pages.jobs_strip import job_name, message_words, progress_words
from annotate.pages.lead import locked
from annotate.roles import is_job_of_leads
from dashboards.pages import policy_form
from dashboards.pages.elements import how
from data import jobs as queue
from data.errors import GenbaError
from data.jobs import Job, log_path, log_tail
from data.messages import duration, moment

LOG_LINES = 60
STATES = {
    "running": ("blue", ":material/play_circle:"),
    "queued": ("gray", ":material/schedule:"),
    "done": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("orange", ":material/cancel:"),
    "interrupted": ("orange", ":material/pause_circle:"),
}


def state_name(state: str, at: Opened) -> str:
    """A state of a job or run in words."""
    _ = at.translate
    return {
        "running": _("running"),
        "queued": _("waiting"),
        "done": _("done"),
        "failed": _("failed"),
        "cancelled": _("cancelled"),
        "interrupted": _("interrupted"),
    }.get(state, state)


@shows_errors
def page() -> None:
    """The page of jobs."""
    at = opened()
    _ = at.translate
    st.title(_("Jobs"), anchor=False)
    note(_("What the worker does now and has done. This page renews itself every two seconds."))
    policy_form.show(at)
    _live()
    formula = _(
        "Took: from the start to the end by this machine's clock; after a kill from the last start. Result: what the "
        "job itself counted, zeros left out. Time left: what is still to do at the rate of the job so far."
    )
    how(_("How is this computed?"), formula, queue.JOBS_SQL)


@st.fragment(run_every=2)
def _live() -> None:
    at = opened()
    _ = at.translate
    try:
        with at.site.connect() as db:
            found = queue.jobs(db)
    except GenbaError as error:  # the store is busy: say so, and try again in two seconds
        show_error(error)
        return
    # The box above this list says when the next retraining starts: drawn anew once one begins or ends.
    retraining = [job.job_id for job in found if job.name == "retrain" and job.state in queue.ACTIVE]
    before, st.session_state["jobs-retraining"] = st.session_state.get("jobs-retraining"), retraining
    if before is not None and before != retraining:
        st.rerun(scope="app")
    if not found:
        empty(_("No job yet"), _("Scoring, retraining and audits appear here once somebody starts one."))
        return
    for job in found:
        if job.state in queue.ACTIVE:
            _active(job, at)
    for job in found:
        if job.state in ("failed", "cancelled"):
            _ended_badly(job, at)
    _done([job for job in found if job.state == "done"], at)


def _head(job: Job, at: Opened) -> None:
    color, icon = STATES.get(job.state, ("gray", ":material/help:"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(state_name(job.state, at), color=color, icon=icon)  # type: ignore[arg-type]
        st.text(job_name(job.name, at))
        note(moment(job.queued_at, at.language))
        if job.requested_by:
            st.text(at.translate("by {name}").format(name=job.requested_by))


def show_progress(job: Job, at: Opened) -> None:
    """The bar of a running job with its numbers and its own message."""
    _ = at.translate
    if job.state == "running":
        st.progress(min(job.done / job.total, 1.0) if job.total else 0.0)
    words = progress_words(job, at)
    if job.cancel_requested:
        words = _("Stopping at the next step ...")
    elif job.state == "queued":
        words = _("Waits for the worker")
    st.text(" · ".join(filter(None, [words or _("Starting ..."), message_words(job.message, at)])))


def _active(job: Job, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True):
        _head(job, at)
        bar, button = st.columns([5, 1], vertical_alignment="bottom")
        with bar:
            show_progress(job, at)
        stop = button.button(
            _("Cancel"), key=f"cancel-{job.job_id}", disabled=job.cancel_requested, width="stretch",
            icon=":material/stop_circle:",
        )  # fmt: skip
        if stop:
            with at.site.connect() as db:
                queue.cancel(db, job.job_id)
                db.event(at.person, "job.cancelled", {"job": job.job_id, "name": job.name})
            st.rerun()
        if job.state == "running":
            with st.expander(_("Log"), icon=":material/article:"):
                show_log(job, at)


def _ended_badly(job: Job, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True):
        _head(job, at)
        text, button = st.columns([5, 1], vertical_alignment="bottom")
        if job.error:
            text.text(re.sub(r"^[\w.]*GenbaError: ", "", job.error.strip().splitlines()[-1]))
        again = button.button(
            _("Try again"), key=f"retry-{job.job_id}", width="stretch", icon=":material/refresh:",
            disabled=is_job_of_leads(job.name) and locked(at),
        )  # fmt: skip
        if again:
            with at.site.connect() as db:
                queue.retry(db, job.job_id, at.person)
            st.rerun()
        if job.state == "failed":
            with st.expander(_("Error and log")):
                st.code(job.error or _("The job left no error text."), language=None, wrap_lines=True)
                show_log(job, at)


def show_log(job: Job, at: Opened) -> None:
    """The end of a job's own log, and the whole of it to take along."""
    _ = at.translate
    path = log_path(at.site, job.job_id)
    tail = log_tail(path, LOG_LINES)
    if not tail:
        note(_("This job has left no log."))
        return
    st.code(tail, language=None, wrap_lines=True, height=260)
    st.download_button(
        _("Download the log"), path.read_bytes, file_name=path.name, mime="text/plain", key=f"log-{job.job_id}",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _done(finished: list[Job], at: Opened) -> None:
    import pandas

    if not finished:
        return
    _ = at.translate
    heading(_("Done"))
    rows = pandas.DataFrame(
        {
            _("Job"): job_name(job.name, at),
            _("By"): job.requested_by,
            _("Finished"): moment(job.finished_at, at.language) if job.finished_at else "",
            _("Took"): _took(job, at),
            _("Result"): _result(job, at),
        }
        for job in finished
    )
    note(_("Choose a row to see its result and log."))
    chosen = st.dataframe(
        rows, hide_index=True, width="stretch", key="done", on_select="rerun", selection_mode="single-row"
    )
    for row in chosen.selection.rows:
        with st.container(border=True):
            _head(finished[row], at)
            if result := _result(finished[row], at):
                st.text(result)
            if finished[row].name == "sync":
                unusable.show(at)
            show_log(finished[row], at)


def _took(job: Job, at: Opened) -> str:
    if not job.started_at or not job.finished_at:
        return ""
    return duration((job.finished_at - job.started_at).total_seconds(), at.language)


def _result(job: Job, at: Opened) -> str:
    """The counts that the job returned, each under its name in words; zeros are left out."""
    found = job.result if isinstance(job.result, dict) else {}  # an older demo kept a text here
    simple = {
        key: value for key, value in found.items() if isinstance(value, (str, int, float)) and value != 0
    }
    comma = "、" if at.language == "ja" else ", "
    return comma.join(f"{result_name(key, at)} {_plain(value, at)}" for key, value in simple.items())


def _plain(value: str | float, at: Opened) -> str:
    _ = at.translate
    if isinstance(value, str):
        return {"learned": _("learned"), "label_free": _("label-free")}.get(value, value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def result_name(key: str, at: Opened) -> str:
    """A count of a job's result in words; one that this page does not know keeps its own name."""
    _ = at.translate
    return {
        "rows": _("rows"),
        "added": _("added"),
        "known": _("known already"),
        "missing": _("without caption"),
        "images_added": _("new photos"),
        "encoder": _("encoder"),
        "pairs": _("captions"),
        "written": _("newly scored"),
        "images_embedded": _("photos read"),
        "captions_embedded": _("captions read"),
        "captions_cut": _("captions cut to the encoder's length"),
        "risk": _("risk"),
        "answers": _("answers learned from"),
        "unreadable_photos": _("unreadable photos"),
        "unreadable": _("unreadable photos"),
        "captions": _("captions"),
        "photos": _("photos"),
        "findings": _("findings"),
        "seconds": _("seconds"),
        "load_seconds": _("seconds to load the encoder"),
        "pushed": _("sent as tasks"),
        "sent": _("answers sent"),
        "removed": _("answers withdrawn"),
        "failed": _("could not be sent"),
        "new": _("new answers"),
        "edited": _("edited answers"),
        "deleted": _("deleted answers"),
        "refused": _("refused answers"),
        "unusable": _("annotations that do not count"),
        "mended": _("mended"),
        "left": _("still being written"),
        "drawn": _("drawn"),
        "run": _("Run"),
        "export_id": _("Export"),
        "model": _("Model"),
        "precision": _("Precision"),
        "folder": _("Folder"),
        "from_queue": _("from the queue"),
        "from_audit": _("from the audit"),
        "answered": _("answered"),
        "left_in_queue": _("left in the queue"),
    }.get(key, key)
