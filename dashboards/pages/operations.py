"""Operations: what runs, what waits, the disk, the GPU, the last backup, versions; each with what to do about it."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from annotate.pages import unusable
from annotate.pages.elements import Opened, heading, note, opened, shows_errors
from annotate.pages.jobs_strip import job_name
from dashboards import operations
from dashboards.operations import Operations
from dashboards.pages import rejected
from dashboards.pages.elements import how
from dashboards.pages.jobs import state_name
from data.messages import moment, number
from data.site import Site
from data.store import now

KEPT_SECONDS = 20
LOW_BYTES = 10 * 1000**3
OLD_BACKUP_DAYS = 7


@shows_errors
def page() -> None:
    """The page Operations."""
    at = opened()
    _ = at.translate
    st.title(_("Operations"), anchor=False)
    with st.spinner(_("Looking ...")):
        found, when = _looked(str(at.site.root))
    note(_("As of {when}").format(when=moment(when, at.language)))
    rows = ((_services, _jobs), (_disk, _backup), (_gpu, _versions))
    for row in rows:
        for column, show in zip(st.columns(len(row), gap="small"), row, strict=True):
            with column, st.container(border=True, height="stretch", gap="small"):
                show(found, at)
    rejected.show(at)
    formula = _(
        "Worker: whether it holds its lock, SITE/worker.lock. Label Studio: whether it answers at its address. Sizes: "
        "the bytes of all files below each folder of the site; free: as the system says. Last backup: the newest one "
        "that genba backup finished. GPU: what {command} answers; none where it does not. Versions: of the packages "
        "that are installed. Jobs and answers that wait are counted by the queries below."
    ).format(command=operations.GPU_QUERY[0])
    how(
        _("How is this computed?"), formula, operations.JOBS_SQL, operations.FAILED_SQL, operations.OUTBOX_SQL
    )


@st.cache_data(ttl=KEPT_SECONDS, show_spinner=False, max_entries=4)
def _looked(root: str) -> tuple[Operations, datetime]:
    return operations.look(Site.open(root)), now()


def _command(text: str) -> None:
    st.code(text, language=None, wrap_lines=True)


def _state(is_well: bool, well: str, ill: str) -> None:
    st.badge(
        well if is_well else ill, icon=":material/check_circle:" if is_well else ":material/error:",
        color="green" if is_well else "red",
    )  # fmt: skip


def _services(found: Operations, at: Opened) -> None:
    _ = at.translate
    heading(_("Services"))
    _state(found.worker, _("The worker runs"), _("No worker runs: jobs wait"))
    _state(found.studio, _("Label Studio answers"), _("Label Studio does not answer"))
    note(found.studio_address)
    if found.waiting:
        text = _(
            "{n} answers wait to be sent to Label Studio ({attempts} attempts). Nothing is lost meanwhile."
        )
        note(text.format(n=number(found.waiting, at.language), attempts=number(found.attempts, at.language)))
    if found.compared_at:
        note(_("Last full comparison: {when}").format(when=moment(found.compared_at, at.language)))
    unusable.show(at)
    if not (found.worker and found.studio):
        _command(f"genba up {at.site.root}")


def _jobs(found: Operations, at: Opened) -> None:
    _ = at.translate
    heading(_("Jobs"))
    if not found.jobs:
        note(_("No job yet"))
    for state, count in found.jobs.items():
        shown = number(count, at.language)
        st.text(_("{item}: {text}").format(item=state_name(state, at), text=shown))
    if found.last_failed:
        failed = found.last_failed
        note(
            _("Last failed: {job}, {when}").format(
                job=job_name(str(failed["name"]), at),
                when=moment(failed["finished_at"], at.language),  # type: ignore[arg-type]
            )
        )
        st.text(str(failed["error"] or ""))
    jobs = st.session_state.get("pages", {}).get("jobs")
    if jobs is not None:
        st.page_link(jobs, label=_("All jobs"), icon=":material/arrow_forward:")


def size(count: float, language: str) -> str:
    """Bytes for a person: 12,345,678 -> "12.3 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{number(count, language, 0 if unit == 'B' else 1)} {unit}"
        count /= 1000
    return f"{number(count, language, 1)} TB"


def _disk(found: Operations, at: Opened) -> None:
    _ = at.translate
    heading(_("Disk"))
    st.metric(_("Free"), size(found.free, at.language))
    if found.free < LOW_BYTES:
        _state(False, "", _("Little room: a retraining needs some gigabytes"))
    names = {"": _("store and settings")}
    rows = [
        {_("Folder"): names.get(name, name), _("Size"): size(count, at.language)}
        for name, count in found.folders.items()
    ]
    st.dataframe(rows, hide_index=True, width="stretch", key="folders")


def _backup(found: Operations, at: Opened) -> None:
    _ = at.translate
    heading(_("Backup"))
    if found.backup_at is None:
        _state(False, "", _("No backup yet"))
    else:
        days = (now() - found.backup_at).days
        st.metric(_("Last backup"), moment(found.backup_at, at.language))
        if days >= OLD_BACKUP_DAYS:
            _state(False, "", _("{n} days old").format(n=number(days, at.language)))
    note(_("One archive of everything but the photos, taken while people work:"))
    _command(f"genba backup {at.site.root} {at.site.root.name}-{now():%Y-%m-%d}.tar.gz")


def _gpu(found: Operations, at: Opened) -> None:
    _ = at.translate
    heading(_("GPU"))
    if not found.gpus:
        note(_("No NVIDIA GPU answers on this machine: scoring and retraining use the processor."))
    for gpu in found.gpus or []:
        st.text(gpu.name)
        text = _("{used} of {total} GiB in use, load {load} %")
        note(
            text.format(
                used=number(gpu.used / 1024, at.language, 1), total=number(gpu.total / 1024, at.language, 1),
                load=number(gpu.load, at.language),
            )
        )  # fmt: skip


def _versions(found: Operations, at: Opened) -> None:
    _ = at.translate
    heading(_("Installed versions"))
    rows = [{_("Package"): name, _("Version"): value or "—"} for name, value in found.versions.items()]
    st.dataframe(rows, hide_index=True, width="stretch", key="versions")
