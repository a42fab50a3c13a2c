"""A log for each job: SITE/logs/jobs/ID.log, shown in the app beside the job (dashboards/pages/jobs.py).

It holds what the job said of its progress, warnings of the libraries, and the traceback of what failed. What the care
thread logs meanwhile belongs to no job and stays out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from data.jobs import Job, Progress, log_path
from data.site import Site

FORMAT = "%(asctime)s %(levelname)s %(message)s"
CARE_THREAD = "care"  # the worker's other thread
SAY_SECONDS = 10.0  # a message that changes at every step is written so often
KEPT = 500  # logs of older jobs are deleted
log = logging.getLogger("genba.job")
LOGGERS = ("", "genba.worker")  # the second does not propagate


@contextmanager
def logged(site: Site, job: Job) -> Iterator[None]:
    """Everything that is logged inside the block also goes into the job's log; a second attempt adds to it."""
    path = log_path(site, job.job_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(lambda record: record.threadName != CARE_THREAD)
    log.setLevel(logging.INFO)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)
        handler.close()
        _delete_old(site, job)


def _delete_old(site: Site, job: Job) -> None:
    found = sorted(log_path(site, job.job_id).parent.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for path in found[:-KEPT]:
        path.unlink(missing_ok=True)


@dataclass
class LoggedProgress:
    """A Progress that also writes its messages into the log, a new one at most every SAY_SECONDS."""

    report: Progress
    said: str = ""
    said_at: float = field(default=-SAY_SECONDS)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, done: int, total: int | None = None, message: str = "") -> None:
        with self.lock:  # handlers report from their own threads too
            is_new = message and message != self.said and time.monotonic() - self.said_at >= SAY_SECONDS
            if is_new:
                self.said, self.said_at = message, time.monotonic()
        if is_new:
            log.info("%s of %s: %s", done, total if total is not None else "?", message)
        self.report(done, total, message)
