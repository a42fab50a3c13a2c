"""The running jobs in brief, for every page on which somebody waits for one; dashboards/pages/jobs.py has them all."""

from __future__ import annotations

import re

import streamlit as st

from annotate.pages.elements import Opened, note, opened, show_error
from data import jobs as queue
from data.errors import GenbaError
from data.jobs import Job
from data.messages import duration, number
from data.store import now


def job_name(name: str, at: Opened) -> str:
    """A job in words; one that this page does not know keeps its own name."""
    _ = at.translate
    return {
        "ingest": _("Read in captions"),
        "score": _("Score the captions"),
        "map": _("Lay out the map"),
        "push": _("Send to Label Studio"),
        "sync": _("Compare with Label Studio"),
        "audit": _("Draw a blind audit"),
        "draft": _("Draft captions"),
        "retrain": _("Retraining"),
        "pilot": _("Pilot"),
        "demo-crew": _("Simulated crew at work"),
        "evaluate": _("Evaluate a model"),
    }.get(name, name)


def progress_words(job: Job, at: Opened) -> str:
    """ "120 of 1,200 · 34 a second · 32 s left", as much of it as can be said."""
    _ = at.translate
    parts = []
    if job.total:
        parts.append(
            _("{done} of {total}").format(
                done=number(job.done, at.language), total=number(job.total, at.language)
            )
        )
    elif job.done:
        parts.append(number(job.done, at.language))
    elapsed = (now() - job.started_at).total_seconds() if job.started_at else 0
    if job.done and elapsed > 0:
        rate = job.done / elapsed
        text = _("{n} a second") if rate >= 1 else _("{n} a minute")
        parts.append(text.format(n=number(rate if rate >= 1 else rate * 60, at.language, 1)))
    left = job.seconds_left()
    if left is not None:
        parts.append(_("{time} left").format(time=duration(left, at.language)))
    return " · ".join(parts)


def message_words(message: str, at: Opened) -> str:
    """What a job says of itself, in words; what this page does not know stays as it is."""
    _ = at.translate
    known = {
        "photos": _("photos"),
        "captions": _("captions"),
        "rank": _("ranking"),
        "load the encoder": _("loading the encoder"),
        "answers": _("answers"),
        "tasks": _("tasks"),
        "waiting for Label Studio": _("waiting for Label Studio"),
        "reading photos": _("reading photos"),
        "drafts": _("drafts"),
    }
    if message in known:
        return known[message]
    names = {
        "original": _("original captions"),
        "corrected": _("corrected captions"),
        "reworded": _("reworded captions"),
        "dropped": _("without the bad captions"),
        "drafts": _("machine drafts"),
        "random": _("corrections drawn at random"),
        "ranked": _("corrections from the queue"),
        "base": _("before retraining"),
        "the model before": _("the model before"),
    }
    if step := re.fullmatch(r"(?P<arm>[^,]+), seed (?P<seed>\d+), loss (?P<loss>[\d.]+)", message):
        text = _("{arm}, seed {seed}, loss {loss}")
        return text.format(arm=names.get(step["arm"], step["arm"]), seed=step["seed"], loss=step["loss"])
    if measured := re.fullmatch(r"measur(?:ing|ed) (?P<what>[^,]+)(?P<rest>.*)", message, re.DOTALL):
        return _("measuring: {what}").format(
            what=names.get(measured["what"], measured["what"]) + measured["rest"]
        )
    return message


@st.fragment(run_every=2)
def live_strip() -> None:
    """The running jobs in brief, for other pages; when one ends, the whole page renews itself once."""
    at = opened()
    try:
        with at.site.connect() as db:
            active = [job for job in queue.jobs(db, limit=20) if job.state in queue.ACTIVE]
    except GenbaError as error:
        show_error(error)
        return
    ids = {job.job_id for job in active}
    before = st.session_state.get("active_jobs")
    st.session_state["active_jobs"] = ids
    if before is not None and before - ids:
        st.rerun(scope="app")
    running = [job for job in active if job.state == "running"][:2]
    if not running:
        return
    with st.container(border=True, gap="small"):
        for job in running:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(job_name(job.name, at), color="blue", icon=":material/play_circle:")
                note(" · ".join(filter(None, [progress_words(job, at), message_words(job.message, at)])))
            st.progress(min(job.done / job.total, 1.0) if job.total else 0.0)
