"""The running jobs in brief, for every page on which somebody waits for one; dashboards/pages/jobs.py has them all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

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
        "privacy": _("Look for personal data"),
        "export-model": _("Export for devices"),
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
        "writing": _("writing the files"),
        "comparing": _("comparing with the model"),
        "done": _("done"),
    }
    if message in known:
        return known[message]
    if step := re.fullmatch(r"(?P<arm>[^,]+), seed (?P<seed>\d+), loss (?P<loss>[\d.]+)", message):
        text = _("{arm}, seed {seed}, loss {loss}")
        return text.format(arm=_arm(step["arm"], at), seed=step["seed"], loss=step["loss"])
    if measured := re.fullmatch(r"measur(?:ing|ed) (?P<what>[^,]+)(?:, seed (?P<seed>\d+))?", message):
        what = _arm(measured["what"], at)
        if measured["seed"] is not None:
            what = _("{arm}, seed {seed}").format(arm=what, seed=measured["seed"])
        return _("measuring: {what}").format(what=what)
    if stated := DETECTS.fullmatch(message):
        return _detects(stated, at)
    if unknown := UNKNOWN.fullmatch(message):
        text = _("how small an effect it can show in the primary metric cannot be told yet: {arm} against {versus} "
                 "(n = {n}, seeds: {seeds})")  # fmt: skip
        return text.format(
            arm=_arm(unknown["arm"], at),
            versus=_arm(unknown["versus"], at),
            n=unknown["n"],
            seeds=unknown["seeds"],
        )
    return message


# As training/detect.py says it of the primary metric.
DETECTS = re.compile(
    r"can detect (?P<amount>[\d.]+) (?P<unit>\S+) of (?P<metric>\S+) between (?P<arm>\S+) and (?P<versus>\S+) "
    r"\(n = (?P<n>\d+), (?P<seeds>\d+) seeds, (?:(?P<assumed>assumed)|earlier run (?P<run>\S+))\)"
)
UNKNOWN = re.compile(
    r"cannot tell yet what it can detect of (?P<metric>\S+) between (?P<arm>\S+) and (?P<versus>\S+) "
    r"\(n = (?P<n>\d+), (?P<seeds>\d+) seeds\)"
)


def _detects(stated: re.Match[str], at: Opened) -> str:
    """The smallest effect that a retraining can show, as it starts."""
    _ = at.translate
    text = _(
        "can show an effect from {amount} {unit} of the primary metric, {arm} against {versus} "
        "(n = {n}, {seeds} seeds, {basis})"
    )
    basis = _("assumed") if stated["assumed"] else _("judging by the run {run}").format(run=stated["run"])
    unit = _("points") if stated["unit"] == "points" else stated["unit"]
    return text.format(
        amount=stated["amount"], unit=unit, arm=_arm(stated["arm"], at),
        versus=_arm(stated["versus"], at), n=stated["n"], seeds=stated["seeds"], basis=basis,
    )  # fmt: skip


def _arm(name: str, at: Opened) -> str:
    """An arm, or what else is measured, in words; one that this page does not know keeps its own name."""
    _ = at.translate
    if name.startswith("without:"):  # of a pilot
        slot = at.site.template().slot(name.removeprefix("without:"))
        label: Mapping[Any, str] = slot.label if slot else {}
        item = label.get(at.language) or next(iter(label.values()), name.removeprefix("without:"))
        return _("without the item {item}").format(item=item)
    return {
        "original": _("original captions"),
        "corrected": _("corrected captions"),
        "reworded": _("reworded captions"),
        "dropped": _("without the bad captions"),
        "drafts": _("machine drafts"),
        "random": _("corrections drawn at random"),
        "ranked": _("corrections from the queue"),
        "base": _("before retraining"),
        "the model before": _("the model before"),
        "the candidate": _("the candidate"),
    }.get(name, name)


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
