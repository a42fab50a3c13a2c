"""The worker as a process of its own: it runs jobs, survives what jobs do, and what is killed starts again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data.jobs import Job, cancel, claim, enqueue, jobs
from data.settings import set_value
from data.site import Site, init_site
from data.store import now
from tests.conftest import CHECKOUT
from tests.training.conftest import add_correction, add_pair, image_row
from training.worker import Worker, decide

PROGRAM = """
import sys, time
from pathlib import Path
from data.errors import GenbaError
from data.site import Site
from training import worker

worker.CARE_SECONDS, worker.BEAT_SECONDS, worker.POLL_SECONDS = 0.3, 0.2, 0.1
root = Path(sys.argv[1])

def note(site, given, progress):
    with (root / "notes.txt").open("a") as file:
        file.write(given["text"] + "\\n")
    return {"noted": given["text"]}

def slow(site, given, progress):
    note(site, {"text": "begun"}, progress)
    for step in range(given["steps"]):
        progress(step, given["steps"], f"step {step}")
        time.sleep(0.05)
    return note(site, {"text": "ended"}, progress)

def deaf(site, given, progress):
    note(site, {"text": "deaf"}, progress)
    time.sleep(given["seconds"])
    return {}

def stubborn(site, given, progress):
    note(site, {"text": "stubborn"}, progress)
    while True:
        try:
            time.sleep(30)
        except SystemExit:
            pass

def mistaken(site, given, progress):
    raise GenbaError("No template 'x'.", choices=["parts"], next="genba templates")

def broken(site, given, progress):
    return {"never": 1 / 0}

worker.run_worker(Site.open(root), {
    "note": note, "slow": slow, "deaf": deaf, "stubborn": stubborn, "mistaken": mistaken, "broken": broken,
    "score": lambda site, given, progress: {"scored": 1}, "retrain": lambda site, given, progress: {"run": "r"},
})
"""


@pytest.fixture
def site(tmp_path: Path, tiny_encoder: Path) -> Site:
    (tmp_path / "photos").mkdir()
    return init_site(tmp_path / "site", [tmp_path / "photos"], "parts", f"local-dir:{tiny_encoder}")


@pytest.fixture
def start(site: Site) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(site.root)], cwd=CHECKOUT, stderr=subprocess.PIPE
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


def put(site: Site, name: str, **given: Any) -> str:
    with site.connect() as db:
        return enqueue(db, name, given, "佐藤")


def job(site: Site, job_id: str) -> Job:
    with site.connect() as db:
        return next(one for one in jobs(db, 500) if one.job_id == job_id)


def until(what: Callable[[], bool], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def ended(site: Site, job_id: str) -> bool:
    return job(site, job_id).state in ("done", "failed", "cancelled")


def notes(site: Site) -> list[str]:
    path = site.root / "notes.txt"
    return path.read_text().split() if path.exists() else []


def log(site: Site) -> str:
    return (site.root / "logs" / "worker.log").read_text()


def test_jobs_run_in_order_and_their_ends_are_written(site: Site, start: Callable[[], Any]) -> None:
    ids = [put(site, "note", text="a"), put(site, "mistaken"), put(site, "broken"), put(site, "absent"),
           put(site, "note", text="b")]  # fmt: skip
    process = start()
    until(lambda: ended(site, ids[-1]))
    found = [job(site, one) for one in ids]
    assert [one.state for one in found] == ["done", "failed", "failed", "failed", "done"]
    assert found[0].result == {"noted": "a"} and notes(site) == ["a", "b"]
    assert found[1].error == "No template 'x'. Known: parts. Next: genba templates"
    assert found[2].error and found[2].error.startswith("ZeroDivisionError: division by zero")
    assert found[3].error and "No job 'absent'. Known: note" in found[3].error
    assert "Traceback" in log(site) and "ZeroDivisionError: division by zero" in log(site)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= 10


def test_a_job_whose_worker_was_killed_is_run_again(site: Site, start: Callable[[], Any]) -> None:
    first = put(site, "slow", steps=200)
    after = put(site, "note", text="after")
    process = start()
    until(lambda: job(site, first).done > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = job(site, first)
    assert left.state == "running" and left.pid == process.pid
    with site.connect() as db:
        db.execute("UPDATE jobs SET arguments = '{\"steps\": 3}' WHERE job_id = ?", [first])
    start()
    until(lambda: ended(site, after))
    again = job(site, first)
    assert (again.state, again.attempts) == ("done", 2)
    assert notes(site) == ["begun", "begun", "ended", "after"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_the_job_waits_for_the_next(
    site: Site, start: Callable[[], Any], number: int
) -> None:
    first = put(site, "deaf", seconds=60)
    process = start()
    until(lambda: notes(site) == ["deaf"])
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 4
    left = job(site, first)
    assert (left.state, left.attempts) == ("running", 0)
    assert process.stderr.read() == b""


def test_a_handler_that_will_not_end_is_cut_off(site: Site, start: Callable[[], Any]) -> None:
    first = put(site, "stubborn")
    process = start()
    until(lambda: notes(site) == ["stubborn"])
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert job(site, first).state == "running"


def test_a_job_that_reports_nothing_keeps_its_heartbeat(site: Site, start: Callable[[], Any]) -> None:
    first = put(site, "deaf", seconds=3)
    start()
    until(lambda: notes(site) == ["deaf"])
    seen = set()
    until(lambda: seen.add(job(site, first).heartbeat_at) or len(seen) > 3)  # type: ignore[func-returns-value]
    until(lambda: ended(site, first))
    with site.connect() as db:
        assert claim(db, 1) is None


def test_a_cancelled_job_stops_at_its_next_report(site: Site, start: Callable[[], Any]) -> None:
    first = put(site, "slow", steps=2000)
    start()
    until(lambda: job(site, first).done > 0)
    with site.connect() as db:
        cancel(db, first)
    until(lambda: ended(site, first))
    assert job(site, first).state == "cancelled" and notes(site) == ["begun"]


def test_one_worker_a_site(site: Site, start: Callable[[], Any]) -> None:
    start()
    until(lambda: (site.root / "logs/worker.log").exists() and "started" in log(site))
    second = start()
    assert second.wait(30) == 1
    assert b"A worker of this site is running already" in second.stderr.read()


def test_what_is_new_is_scored_and_the_policy_is_kept_without_being_asked(
    site: Site, start: Callable[[], Any]
) -> None:
    with site.connect() as db:
        image_id = "1".ljust(64, "0")
        db.insert("images", [image_row(image_id, "1.png", "train")])
        old = add_pair(db, image_id, "a bolt")
    start()

    def found(name: str) -> list[Job]:
        with site.connect() as db:
            return [one for one in jobs(db) if one.name == name]

    until(lambda: [one.state for one in found("score")] == ["done"])
    set_value(site.settings_path, "retrain", "after_corrections", 1)  # read without a restart
    with site.connect() as db:
        new = add_pair(db, image_id, "a steel bolt", origin="correction")
        add_correction(db, old, "fix", [new])
    until(lambda: [one.state for one in found("retrain")] == ["done"])
    time.sleep(1)
    assert len(found("retrain")) == 1  # the same correction does not ask twice
    assert len(found("score")) == 1  # new captions wait until a minute has passed
    with site.connect() as db:
        db.execute("UPDATE jobs SET queued_at = queued_at - INTERVAL 2 MINUTE WHERE name = 'score'")
    until(lambda: len(found("score")) == 2)
    assert found("score")[0].requested_by == "genba"


def test_a_job_that_kills_its_worker_each_time_is_given_up(site: Site) -> None:
    first = put(site, "note", text="x")
    with site.connect() as db:
        db.execute("UPDATE jobs SET attempts = 5 WHERE job_id = ?", [first])
        taken = claim(db, 1)
    assert taken
    Worker(site.root, {"note": lambda site, given, progress: {}}).run(taken)
    assert (job(site, first).error or "").startswith("The worker was killed 5 times")


def test_what_the_policy_looks_at(site: Site) -> None:
    set_value(site.settings_path, "retrain", "after_corrections", 2)
    opened = Site.open(site.root)
    with site.connect() as db:
        for number in range(3):
            image_id = str(number).ljust(64, "0")
            db.insert("images", [image_row(image_id, f"{number}.png", "train")])
            pair = add_pair(db, image_id, f"caption {number}")
            add_correction(db, pair, "fix" if number < 2 else "ok", created_at=now() - timedelta(minutes=5))
    assert decide(opened).due
    with site.connect() as db:
        job_id = enqueue(db, "retrain")
    assert "running" in decide(opened).why
    with site.connect() as db:
        db.execute("UPDATE jobs SET state = 'failed' WHERE job_id = ?", [job_id])
    assert not decide(opened).due  # it failed: not again until more is fixed


def test_everything_is_compared_with_label_studio_once_a_night(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for once, however often it looks; not while Label Studio is down; not on the day a site is made."""
    up: list[bool] = [False]
    monkeypatch.setattr("data.supervisor.is_healthy", lambda address: up[0])
    worker = Worker(site.root, {"sync": lambda site, given, progress: {}})

    def asked() -> list[dict[str, Any]]:
        with site.connect() as db:
            return db.rows("SELECT job_id, arguments, state FROM jobs WHERE name = 'sync'")

    up[0] = True
    with site.connect() as db:
        db.execute("UPDATE events SET occurred_at = ?", [now() + timedelta(seconds=1)])
    worker._compare()
    assert asked() == []
    with site.connect() as db:
        db.execute("UPDATE events SET occurred_at = ?", [now() - timedelta(days=2)])
    up[0] = False
    worker._compare()
    assert asked() == []
    up[0] = True
    for _ in range(3):
        worker._compare()
    assert [job["arguments"] for job in asked()] == [{"full": True}]
    with site.connect() as db:
        db.execute("UPDATE jobs SET state = 'failed'")
    worker._compare()
    assert len(asked()) == 1, "a failed one waits for the next night"
    with site.connect() as db:
        db.execute("UPDATE jobs SET queued_at = ?", [now() - timedelta(days=2)])
        db.set_state("label_studio_compared", now().isoformat())
    worker._compare()
    assert len(asked()) == 1, "a person has compared since"
    with site.connect() as db:
        db.set_state("label_studio_compared", (now() - timedelta(days=1, minutes=1)).isoformat())
    worker._compare()
    assert len(asked()) == 2
