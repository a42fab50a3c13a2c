"""The worker of a site: runs the jobs of the jobs table one at a time, and looks after what nobody asks for.

    genba worker SITE           # `genba up` starts it; run_worker(site, handlers)

The jobs table is the truth (data/jobs.py); the queue wakes the worker when a job comes (data/job_queue.py). A worker
that is killed leaves its job "running", the next one queues it again and runs it anew; every handler can be run twice.
Every half minute, beside the jobs: sync with Label Studio when it is up, fit the risk to new answers, compare
everything once a night, score what is new, look into the watched folder, retrain when it is due.

It runs at low priority and on all cores but one, so that the web page answers while it works.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
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
from data import jobs, supervisor, watch
from data.errors import GenbaError
from data.job_queue import LOOK_SECONDS, WakeQueue
from data.jobs import Job, JobCancelled, JobProgress, Progress, silent
from data.schedule import last_due
from data.site import Site
from data.store import now
from scoring.score import learn
from training import job_log, up, when
from training.job_log import LoggedProgress
from training.policy_words import sentences

CARE_SECONDS = 30.0
BEAT_SECONDS = 10.0  # a job that reports nothing still lives
SCORE_AGAIN_AFTER = timedelta(seconds=60)
STOP_SECONDS = 4.0  # after that a handler that does not come to an end is cut off: the job starts again later
REPEAT_SECONDS = 0.2
MOST_ATTEMPTS = 5  # a job whose worker was killed so often is not tried again
NICE = 10
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
QUIET_SECONDS = 60.0  # between two lines of the log about a queue that does not answer
NIGHTLY = "30 2 * * *"  # by this machine's clock
SCORES = ("score",)  # and fits the risk at its end
WATCHED = "watched"  # key in the table state
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
    be_modest()
    worker = Worker(site.root, handlers)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, worker.stop)
    _insist_on_stopping(worker)
    try:
        worker.work()
    except SystemExit:
        log.info("stopped")
    finally:
        guard.release()


def _log_to(site: Site) -> None:
    handler = logging.FileHandler(site.folder("logs") / "worker.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter(job_log.FORMAT))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    queue_log = logging.getLogger("huey")  # errors of the queue alone: it says each wake-up otherwise
    queue_log.setLevel(logging.ERROR)
    handler_of_queue = logging.FileHandler(site.folder("logs") / "worker.log", encoding="utf-8")
    handler_of_queue.setFormatter(logging.Formatter(job_log.FORMAT))
    handler_of_queue.addFilter(_OncePer(QUIET_SECONDS))
    queue_log.addHandler(handler_of_queue)
    queue_log.propagate = False


@dataclass
class _OncePer:
    """A filter for a logger that says the same every moment, as while the queue is down."""

    seconds: float
    said_at: float = -float("inf")

    def __call__(self, record: logging.LogRecord) -> bool:
        is_due = record.created - self.said_at >= self.seconds
        if is_due:
            self.said_at = record.created
        return is_due


def be_modest() -> int:
    """Low priority, and one core left to the web process; returns how many cores are used.

    Threads of torch and of the libraries under it are set before those are loaded, and in torch when it is. A system
    without affinity (macOS, Windows) still gets the smaller number of threads.
    """
    if sys.platform != "win32":
        os.nice(NICE)
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        mine = sorted(os.sched_getaffinity(0))
        if len(mine) > 1:
            os.sched_setaffinity(0, mine[1:])
        cores = len(mine)
    count = max(cores - 1, 1)
    for name in THREAD_VARIABLES:
        given = os.environ.get(name, "")
        os.environ[name] = str(min(int(given), count) if given.isdigit() and int(given) else count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return count


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
        raise SystemExit(0)

    def work(self) -> None:
        """Jobs one after the other; the care in a thread of its own, so that a long job does not hold it up."""
        with self.site.connect() as db:
            found = jobs.release_abandoned(db)
        log.info("started, pid %d; %d abandoned jobs queued again", os.getpid(), found)
        care = threading.Thread(target=self._care, daemon=True, name=job_log.CARE_THREAD)
        care.start()
        queue = WakeQueue.open(self.root, self.site.settings.worker.queue, self.stopping)
        looked_at = -LOOK_SECONDS
        try:
            while True:
                if queue.woken.is_set() or time.monotonic() - looked_at >= LOOK_SECONDS:
                    queue.woken.clear()  # before the look: what is queued during it wakes again
                    self.run_waiting()
                    looked_at = time.monotonic()
                queue.wait()
        finally:
            self.stopping.set()
            queue.close()
            care.join(STOP_SECONDS / 2)

    def run_waiting(self) -> None:
        """Every job that waits, one after the other."""
        while True:
            with self.site.connect() as db:
                job = jobs.claim(db, os.getpid())
            if job is None:
                return
            self.run(job)

    def run(self, job: Job) -> None:
        """Run one job and write how it ended. What it raises is recorded, never raised."""
        began = time.monotonic()
        self.busy_with = job.name
        done = threading.Event()
        beat = threading.Thread(target=self._beat, args=(job.job_id, done), daemon=True)
        beat.start()
        with job_log.logged(self.site, job):
            log.info("%s %s begins (attempt %d)", job.name, job.job_id, job.attempts)
            try:
                state, result, error = self._end_of(job)
            finally:
                done.set()
                beat.join(STOP_SECONDS / 4)
                self.busy_with = ""
            with self.site.connect() as db:
                jobs.finish(db, job.job_id, state, result, error)
            log.info("%s %s %s after %.0f s", job.name, job.job_id, state, time.monotonic() - began)

    def _end_of(self, job: Job) -> tuple[str, dict[str, Any] | None, str | None]:
        """Run the handler: (state, result, error)."""
        try:
            site = self.site
            progress = LoggedProgress(JobProgress(site, job.job_id))
            return "done", self._handler(job)(site, job.arguments, progress), None
        except SystemExit:
            self._give_back(job)
            raise
        except JobCancelled:
            return "cancelled", None, None
        except GenbaError as problem:
            log.exception("%s failed", job.name)
            return "failed", None, str(problem)
        except Exception as problem:  # one broken job must not end the worker; its log has it all
            log.exception("%s failed", job.name)
            return "failed", None, f"{type(problem).__name__}: {problem}"

    def _give_back(self, job: Job) -> None:
        """Stopped on purpose in the middle: it starts again with the next worker, and this time counts as none."""
        with self.site.connect() as db:
            db.execute("UPDATE jobs SET attempts = attempts - 1 WHERE job_id = ?", [job.job_id])

    def _handler(self, job: Job) -> Handler:
        if job.attempts > MOST_ATTEMPTS:
            raise GenbaError(f"The worker was killed {MOST_ATTEMPTS} times while it ran this job; see its log and "
                             "the system's (out of memory?).", next=f"genba doctor {self.root}")  # fmt: skip
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
            for care in (self._sync, self._learn, self._compare, self._score, self._watch, self._retrain):
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
            if last_due(NIGHTLY, now()) > max(at for at in (asked, done, datetime.min) if at):
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

    def _watch(self) -> None:
        """Queue a reading of the watched folder, at its times, when something in it is ready and new."""
        site = self.site
        watched = site.settings.worker.watch
        if not watched or "ingest" not in self.handlers:
            return
        with site.connect() as db:
            before = db.get_state(WATCHED) or {}
        looked_at = datetime.fromisoformat(before["at"]) if "at" in before else datetime.min
        if last_due(site.settings.worker.watch_schedule, now()) <= looked_at:
            return
        found = watch.look(Path(watched)) if Path(watched).exists() else None
        # A folder that is gone is told once, by a job that fails.
        seen = [watched, found.fingerprint if found else "gone"]
        with site.connect() as db:
            db.set_state(WATCHED, {"at": now().isoformat(), "seen": seen})
            if seen != before.get("seen") and (found is None or found.ready):
                jobs.enqueue(db, "ingest", {"source": watched, "ready_only": True}, requested_by="genba")

    def _retrain(self) -> None:
        """Queue a retraining when the policy says so."""
        site = self.site
        decision = when.decide(site)
        if decision.due:
            why = " ".join(sentences(decision, "en"))
            with site.connect() as db:
                jobs.enqueue(db, "retrain", requested_by="genba")
                db.event("genba", "retrain.due", {"why": why})
            log.info("retrain queued: %s", why)


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


def _insist_on_stopping(worker: Worker) -> None:
    """After a signal, see that the process ends.

    Python runs a signal's handler between two of its own steps: one that comes just before a wait is seen after it, and
    a handler may be deep in a library. So a thread is told by the system itself: it repeats the signal until the main
    thread has seen it, and ends the process when that takes too long; the store rolls back what was half done, as
    after a kill.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    main = threading.main_thread().ident or 0

    def insist() -> None:
        number = reader.recv(1)[0]
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            time.sleep(REPEAT_SECONDS)
            if not worker.stopping.is_set() and sys.platform != "win32":
                signal.pthread_kill(main, number)
        writer.close()
        os._exit(0)

    threading.Thread(target=insist, daemon=True).start()
