"""Long work, by name: any room enqueues a job here, the worker (training/worker.py) runs it, pages watch it.

The jobs table with its heartbeat is the truth; the queue only wakes the worker (data/job_queue.py). A job whose worker
was killed is found by its stale heartbeat and starts again: every handler is written so that doing it twice does no
harm.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.job_queue import wake
from data.site import Site
from data.store import Database, now

STALE_AFTER = timedelta(seconds=60)  # a heartbeat older than this means that the worker is gone
HEARTBEAT_SECONDS = 1.0
ACTIVE = ("queued", "running")


class JobCancelled(Exception):
    """Raised inside a handler, by its next progress report, after somebody asked for the job to stop."""


@dataclass(frozen=True)
class Job:
    """One row of the jobs table."""

    job_id: str
    name: str
    arguments: dict[str, Any]
    state: str  # queued, running, done, failed, cancelled
    requested_by: str
    done: int
    total: int | None
    message: str
    attempts: int
    pid: int | None
    result: dict[str, Any] | None
    error: str | None
    cancel_requested: bool
    queued_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None

    def seconds_left(self, at: datetime | None = None) -> float | None:
        """Time left at the rate so far, or None while nothing can be said."""
        if self.state != "running" or not self.total or not self.done or not self.started_at:
            return None
        elapsed = ((at or now()) - self.started_at).total_seconds()
        return elapsed * (self.total - self.done) / self.done


def enqueue(
    db: Database, name: str, arguments: dict[str, Any] | None = None, requested_by: str = "genba"
) -> str:
    """Queue a job inside the caller's transaction and return its id. The worker is woken when that is committed.

    The same job (name and arguments) that still waits is not queued twice: its id is returned.
    """
    arguments = arguments or {}
    for row in db.rows("SELECT job_id, arguments FROM jobs WHERE name = ? AND state = 'queued'", [name]):
        if row["arguments"] == arguments:
            return str(row["job_id"])
    job_id = uuid.uuid4().hex
    db.insert(
        "jobs",
        [{"job_id": job_id, "name": name, "arguments": arguments, "state": "queued", "requested_by": requested_by,
          "done": 0, "message": "", "attempts": 0, "cancel_requested": False, "queued_at": now()}],
    )  # fmt: skip
    db.after_commit["wake"] = partial(wake, db.path.parent)
    return job_id


JOBS_SQL = """
SELECT * FROM jobs
ORDER BY CASE state WHEN 'running' THEN 0 WHEN 'queued' THEN 1 ELSE 2 END,
         CASE WHEN state IN ('running', 'queued') THEN queued_at END, queued_at DESC
LIMIT ?
"""


def jobs(db: Database, limit: int = 50) -> list[Job]:
    """The running one, the waiting ones in the order in which they will run, then the others, the newest first."""
    return [Job(**row) for row in db.rows(JOBS_SQL, [limit])]


def claim(db: Database, pid: int) -> Job | None:
    """Take the next job: one that lost its worker first, then the oldest queued one. None when there is none."""
    row = db.one(
        "SELECT * FROM jobs WHERE state = 'queued' OR (state = 'running' AND heartbeat_at < ?) "
        "ORDER BY CASE state WHEN 'running' THEN 0 ELSE 1 END, queued_at LIMIT 1",
        [now() - STALE_AFTER],
    )
    if row is None:
        return None
    at = now()
    db.execute(
        "UPDATE jobs SET state = 'running', pid = ?, attempts = attempts + 1, started_at = ?, heartbeat_at = ?, "
        "done = 0, total = NULL, message = '' WHERE job_id = ?",
        [pid, at, at, row["job_id"]],
    )
    return Job(**{**row, "state": "running", "pid": pid, "attempts": row["attempts"] + 1, "started_at": at})


def release_abandoned(db: Database) -> int:
    """Queue again what a worker left running when it was killed. Called by a worker at its start, alone in its site."""
    count = db.value("SELECT count(*) FROM jobs WHERE state = 'running'")
    db.execute("UPDATE jobs SET state = 'queued', pid = NULL WHERE state = 'running'")
    return int(count)


def finish(
    db: Database, job_id: str, state: str, result: dict[str, Any] | None = None, error: str | None = None
) -> None:
    """Write the end of a job: done, failed or cancelled."""
    import json

    db.execute(
        "UPDATE jobs SET state = ?, result = ?, error = ?, finished_at = ?, heartbeat_at = ? WHERE job_id = ?",
        [state, json.dumps(result, default=str) if result is not None else None, error, now(), now(), job_id],
    )


def cancel(db: Database, job_id: str) -> None:
    """Ask a job to stop: a queued one is cancelled at once, a running one at its next progress report."""
    row = db.one("SELECT state FROM jobs WHERE job_id = ?", [job_id])
    if row is None:
        raise GenbaError(f"No job {job_id!r}.", next="genba jobs SITE")
    if row["state"] == "queued":
        finish(db, job_id, "cancelled")
    db.execute("UPDATE jobs SET cancel_requested = true WHERE job_id = ?", [job_id])


def retry(db: Database, job_id: str, requested_by: str) -> str:
    """Queue a finished or failed job again, as a new job with the same arguments."""
    row = db.one("SELECT name, arguments FROM jobs WHERE job_id = ?", [job_id])
    if row is None:
        raise GenbaError(f"No job {job_id!r}.", next="genba jobs SITE")
    return enqueue(db, row["name"], row["arguments"], requested_by)


Progress = Callable[[int, int | None, str], None]


@dataclass
class JobProgress:
    """Progress that a handler reports: `progress(done, total, message)`. Doubles as the job's heartbeat.

    Writes at most once a second, and raises JobCancelled when somebody asked the job to stop.
    """

    site: Site
    job_id: str
    written_at: float = field(default=0.0)

    def __call__(self, done: int, total: int | None = None, message: str = "") -> None:
        if time.monotonic() - self.written_at < HEARTBEAT_SECONDS:
            return
        self.written_at = time.monotonic()
        with self.site.connect() as db:
            db.execute(
                "UPDATE jobs SET done = ?, total = ?, message = ?, heartbeat_at = ? WHERE job_id = ?",
                [done, total, message, now(), self.job_id],
            )
            cancelled = db.value("SELECT cancel_requested FROM jobs WHERE job_id = ?", [self.job_id])
        if cancelled:
            raise JobCancelled(self.job_id)


LOGS, LOG_BYTES = "jobs", 65536


def log_path(site: Site, job_id: str) -> Path:
    """The log of one job: SITE/logs/jobs/ID.log, written by the worker (training/job_log.py)."""
    return site.root / "logs" / LOGS / f"{job_id}.log"


def log_tail(path: Path, lines: int) -> str:
    """The last lines of a log, or "" when there is none. Reads at most LOG_BYTES."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - LOG_BYTES, 0))
        return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-lines:])


def silent(done: int, total: int | None = None, message: str = "") -> None:
    """A Progress for callers that do not watch."""
