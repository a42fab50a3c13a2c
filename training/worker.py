"""The worker of a site: runs the jobs of the jobs table one at a time, and looks after what nobody asks for.

    genba worker SITE           # `genba up` starts it; run_worker(site, handlers)

The jobs table is the truth (data/jobs.py): a worker that is killed leaves its job "running", the next one queues it
again and runs it anew; every handler can be run twice. Every half minute, beside the jobs: sync with Label Studio when
it is up, fit the risk to new answers, compare everything once a night, score what is new, retrain when it is due.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from annotate import sync
from data import jobs, supervisor
from data.errors import GenbaError
from data.jobs import Job, JobCancelled, JobProgress, Progress, silent
from data.site import Site
from data.store import now
from scoring.score import learn
from training import policy, up
from training.policy import Decision, Standing

POLL_SECONDS = 1.0
CARE_SECONDS = 30.0
BEAT_SECONDS = 10.0  # a job that reports nothing still lives
SCORE_AGAIN_AFTER = timedelta(seconds=60)
STOP_SECONDS = 4.0  # after that a handler that does not come to an end is cut off: the job starts again later
MOST_ATTEMPTS = 5  # a job whose worker was killed so often is not tried again
NICE = 10
NIGHTLY = "30 2 * * *"  # by this machine's clock
SCORES = ("score",)  # and fits the risk at its end
TALKS_TO_LABEL_STUDIO = ("sync", "push", "demo-crew")
Handler = Callable[[Any, dict[str, Any], Progress], dict[str, Any]]
log = logging.getLogger("genba.worker")


def run_worker(site: Site, handlers: Mapping[str, Handler]) -> None:
    """Work until TERM, INT or HUP. Raises GenbaError when another worker runs this site."""
    guard = FileLock(str(site.root / "worker.lock"), timeout=STOP_SECONDS)
    try:
        guard.acquire()
    except Timeout:
        raise GenbaError(
            "A worker of this site is running already.", next="stop the other `genba up`"
        ) from None
    _log_to(site)
    _be_modest()
    worker = Worker(site.root, handlers)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, worker.stop)
    try:
        worker.work()
    except SystemExit:
        log.info("stopped")
    finally:
        guard.release()


def _log_to(site: Site) -> None:
    handler = logging.FileHandler(site.folder("logs") / "worker.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _be_modest() -> None:
    """Low priority: the web page comes first whenever it wants a core."""
    if sys.platform != "win32":
        os.nice(NICE)


@dataclass
class Worker:
    """A worker at work. `busy_with`: the name of the running job, "" between jobs."""

    root: Path
    handlers: Mapping[str, Handler]
    stopping: threading.Event = field(default_factory=threading.Event)
    busy_with: str = ""
    last_trouble: str = ""

    @property
    def site(self) -> Site:
        """Opened anew each time: settings that a person changes meanwhile count."""
        return Site.open(self.root)

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Signal handler. A job in the middle stays "running" and is found by the next worker."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        threading.Thread(target=_cut_off, daemon=True).start()
        raise SystemExit(0)

    def work(self) -> None:
        """Jobs one after the other; the care in a thread of its own, so that a long job does not hold it up."""
        with self.site.connect() as db:
            found = jobs.release_abandoned(db)
        log.info("started, pid %d; %d abandoned jobs queued again", os.getpid(), found)
        care = threading.Thread(target=self._care, daemon=True)
        care.start()
        try:
            while True:
                with self.site.connect() as db:
                    job = jobs.claim(db, os.getpid())
                if job:
                    self.run(job)
                else:
                    time.sleep(POLL_SECONDS)
        finally:
            self.stopping.set()
            care.join(STOP_SECONDS / 2)

    def run(self, job: Job) -> None:
        """Run one job and write how it ended. What it raises is recorded, never raised."""
        log.info("%s %s begins (attempt %d)", job.name, job.job_id, job.attempts)
        began = time.monotonic()
        state, result, error = "done", None, None
        self.busy_with = job.name
        done = threading.Event()
        threading.Thread(target=self._beat, args=(job.job_id, done), daemon=True).start()
        try:
            site = self.site
            result = self._handler(job)(site, job.arguments, JobProgress(site, job.job_id))
        except SystemExit:
            self._give_back(job)
            raise
        except JobCancelled:
            state = "cancelled"
        except GenbaError as problem:
            state, error = "failed", str(problem)
            log.exception("%s failed", job.name)
        except Exception as problem:  # one broken job must not end the worker; the log has it all
            state, error = "failed", f"{type(problem).__name__}: {problem} (logs/worker.log has the details)"
            log.exception("%s failed", job.name)
        finally:
            done.set()
            self.busy_with = ""
        with self.site.connect() as db:
            jobs.finish(db, job.job_id, state, result, error)
        log.info("%s %s %s after %.0f s", job.name, job.job_id, state, time.monotonic() - began)

    def _give_back(self, job: Job) -> None:
        """Stopped on purpose in the middle: it starts again with the next worker, and this time counts as none."""
        with self.site.connect() as db:
            db.execute("UPDATE jobs SET attempts = attempts - 1 WHERE job_id = ?", [job.job_id])

    def _handler(self, job: Job) -> Handler:
        if job.attempts > MOST_ATTEMPTS:
            raise GenbaError(f"The worker was killed {MOST_ATTEMPTS} times while it ran this job; see logs/worker.log "
                             "and the system's log (out of memory?).", next=f"genba doctor {self.root}")  # fmt: skip
        if job.name not in self.handlers:
            raise GenbaError(f"No job {job.name!r}.", choices=self.handlers)
        return self.handlers[job.name]

    def _beat(self, job_id: str, done: threading.Event) -> None:
        """Heartbeat of a job that does not report by itself."""
        while not done.wait(BEAT_SECONDS) and not self.stopping.is_set():
            with self.site.connect() as db:
                db.execute(
                    "UPDATE jobs SET heartbeat_at = ? WHERE job_id = ? AND state = 'running'", [now(), job_id]
                )

    def _care(self) -> None:
        while not self.stopping.wait(CARE_SECONDS):
            for care in (self._sync, self._learn, self._compare, self._score, self._retrain):
                try:
                    care()
                except Exception as trouble:  # tried again in half a minute; the same is said once
                    if str(trouble) != self.last_trouble:
                        log.exception("%s failed", care.__name__.strip("_"))
                    self.last_trouble = str(trouble)

    def _sync(self) -> None:
        """Send and fetch, without a row in the jobs table: it would drown the others."""
        if "sync" not in self.handlers or self.busy_with in TALKS_TO_LABEL_STUDIO:
            return
        site = self.site
        if supervisor.is_healthy(f"{up.label_studio_address(site)}/health"):
            self.handlers["sync"](site, {}, silent)

    def _learn(self) -> None:
        """The risk learns from new answers at once, whatever job runs: the queue is what people work on now."""
        if self.busy_with not in SCORES:
            learn(self.site)

    def _compare(self) -> None:
        """Queue a comparison of everything with Label Studio once a night, or at the first chance after that."""
        site = self.site
        if "sync" not in self.handlers or not supervisor.is_healthy(
            f"{up.label_studio_address(site)}/health"
        ):
            return
        with site.connect() as db:
            asked = db.value(COMPARED_SQL)
            done = sync.last_comparison(db)
            if policy.last_due(NIGHTLY, now()) > max(at for at in (asked, done, datetime.min) if at):
                jobs.enqueue(db, "sync", {"full": True}, requested_by="genba")

    def _score(self) -> None:
        """Queue a scoring when there are captions that the encoder in use has not scored, at most once a minute."""
        site = self.site
        encoder = site.encoder_id()
        with site.connect() as db:
            last = db.value("SELECT max(queued_at) FROM jobs WHERE name = 'score'") or datetime.min
            is_active = db.value(
                "SELECT count(*) FROM jobs WHERE name = 'score' AND state IN ('queued', 'running')"
            )
            if is_active or now() - last < SCORE_AGAIN_AFTER:
                return
            if db.value(UNSCORED_SQL, [last, encoder]):
                jobs.enqueue(db, "score", requested_by="genba")

    def _retrain(self) -> None:
        """Queue a retraining when the policy says so."""
        site = self.site
        decision = decide(site)
        if decision.due:
            with site.connect() as db:
                jobs.enqueue(db, "retrain", requested_by="genba")
                db.event("genba", "retrain.due", {"why": decision.why})
            log.info("retrain queued: %s", decision.why)


# Only captions that came after the last scoring was queued: a photo that cannot be scored does not ask for ever.
UNSCORED_SQL = """
SELECT count(*) FROM pairs p WHERE p.state = 'captioned' AND p.added_at > ?
  AND NOT EXISTS (SELECT 1 FROM scores s WHERE s.pair_id = p.pair_id AND s.encoder = ?)
"""
# When a full comparison was last asked for, else when the site was made.
COMPARED_SQL = """
SELECT coalesce((SELECT max(queued_at) FROM jobs WHERE name = 'sync' AND arguments ->> 'full' = 'true'),
                (SELECT min(occurred_at) FROM events))
"""
STANDING_SQL = """
SELECT (SELECT max(created_at) FROM runs) AS last_run,
       (SELECT max(queued_at) FROM jobs WHERE name = 'retrain') AS last_job,
       (SELECT count(*) FROM jobs WHERE name = 'retrain' AND state IN ('queued', 'running')) AS active,
       (SELECT min(occurred_at) FROM events) AS created
"""
FIXED_SQL = """
SELECT count(DISTINCT old_pair_id) FROM corrections WHERE state = 'active' AND verdict = 'fix' AND created_at > ?
"""


def decide(site: Site) -> Decision:
    """What the policy says now (training/policy.py)."""
    with site.connect() as db:
        row = db.rows(STANDING_SQL)[0]
        last = max((at for at in (row["last_run"], row["last_job"]) if at), default=None)
        fixed = db.value(FIXED_SQL, [last or datetime.min])
    at = Standing(int(fixed), last, row["created"] or datetime.min, bool(row["active"]))
    return policy.decide(site.settings.retrain, at, now())


def _cut_off() -> None:
    """End the process when it does not end by itself; the store rolls back what was half done, as after a kill."""
    time.sleep(STOP_SECONDS)
    os._exit(0)
