"""Twenty people at work at once, in the app and in Label Studio, while a sync that is killed now and then goes on.

    python -m tests.load_people --seconds 300 [--people 20] [--pairs 1500]

At the end every answer that somebody was told is saved must stand in the store and in Label Studio exactly once. The
verdict is of counts alone: how many answers there are depends on the machine, whether they are all there must not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from annotate import corrections, form_drafts, queue
from annotate.labeling_config import to_result
from annotate.projects import studio_of
from annotate.sync import push, sync
from data.site import Site
from tests.annotate.conftest import RunningLabelStudio, started
from tests.annotate.exchange import disagreements
from tests.annotate.sites import BOLT, rows, site_beside
from tests.conftest import CHECKOUT

PAUSE = (1.0, 6.0)  # seconds that somebody looks at a photo: some four times as fast as people are
AT_LABEL_STUDIO = 5  # every so many-th person works on Label Studio's own page
SYNC_EVERY, KILL_EVERY = 1.0, 8.0  # seconds
SHARED = 0.05  # of the answers go to a pair that somebody else has just answered
WORKER = """
import sys, time
from annotate.sync import sync
from data.site import Site
while True:
    sync(Site.open(sys.argv[1]))
    time.sleep(float(sys.argv[2]))
"""


@dataclass
class Books:
    """What the people have been told, and how long they waited (seconds)."""

    saved: dict[str, str] = field(default_factory=dict)  # correction -> pair
    there: dict[int, int] = field(default_factory=dict)  # annotation made in Label Studio -> its task
    undone: set[str] = field(default_factory=set)
    answered: list[str] = field(default_factory=list)  # pairs
    claims: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    held_twice: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hands: dict[str, str] = field(default_factory=dict)  # pair -> who has it claimed now
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Result:
    """Counts that must agree, and waiting times in milliseconds."""

    people: int
    seconds: float
    saved: int
    undone: int
    second_opinions: int
    made_in_label_studio: int
    in_store: int
    in_label_studio: int
    states: dict[str, int]
    syncs_killed: int
    claim_ms_median: float
    claim_ms_p95: float
    submit_ms_median: float
    submit_ms_p95: float
    wrong: list[str]


def run(site: Site, people: int, seconds: float, seed: int = 7) -> Result:
    """Let them work for so long on a site with a running Label Studio; compare when all is quiet."""
    push(site, 200)
    books, end = Books(), time.monotonic() + seconds
    users = _accounts(site, people)
    threads = []
    for number in range(people):
        rng = random.Random(seed + number)
        if number % AT_LABEL_STUDIO == AT_LABEL_STUDIO - 1:
            threads.append(
                threading.Thread(target=_in_label_studio, args=(site, users[number], books, end, rng))
            )
        else:
            threads.append(
                threading.Thread(target=_in_app, args=(site, f"社員 {number:02}", books, end, rng))
            )
    for thread in threads:
        thread.start()
    killed = _sync_meanwhile(site, end, random.Random(seed))
    for thread in threads:
        thread.join()
    for _ in range(
        5
    ):  # the last of it; a sync that was killed may have left a lock to wait for, nothing else
        sync(site)
    return _compare(site, books, people, seconds, killed)


def _accounts(site: Site, people: int) -> dict[int, int]:
    """Users of Label Studio for those who work on its page."""
    sdk, made = studio_of(site).sdk, {}
    for number in range(AT_LABEL_STUDIO - 1, people, AT_LABEL_STUDIO):
        email = f"{site.root.name}-{number}@example.com"
        made[number] = int(sdk.users.create(username=email, email=email, first_name=f"応援 {number:02}").id)  # type: ignore[arg-type]
    return made


def _in_app(site: Site, name: str, books: Books, end: float, rng: random.Random) -> None:
    """Claim, keep a draft, submit; sometimes the form is sent twice, undone, or crosses somebody else's."""
    while time.monotonic() < end:
        try:
            _one_in_app(site, name, books, rng)
        except Exception as error:  # noqa: BLE001  (whatever goes wrong is in the result)
            books.failures.append(f"{name}: {type(error).__name__}: {error}")


def _one_in_app(site: Site, name: str, books: Books, rng: random.Random) -> None:
    began = time.monotonic()
    row = queue.claim(site, name)
    books.claims.append(time.monotonic() - began)
    if row is None:
        time.sleep(0.5)
        return
    pair_id = str(row["pair_id"])
    with books.lock:
        if books.hands.setdefault(pair_id, name) != name:
            books.held_twice.append(f"{pair_id}: {books.hands[pair_id]} and {name}")
    slots = BOLT | {"count": rng.randint(1, 9)}
    form_drafts.save(site, pair_id, name, slots, 1.0)
    time.sleep(rng.uniform(*PAUSE))
    if books.answered and rng.random() < SHARED:
        pair_id = rng.choice(books.answered)
    token = f"{rng.random()}"
    with books.lock:
        books.hands.pop(str(row["pair_id"]), None)  # before the lease ends, which it does with the answer
    began = time.monotonic()
    made = _submit(site, pair_id, name, slots, token)
    books.submits.append(time.monotonic() - began)
    if rng.random() < 0.1:  # the button pressed twice
        _submit(site, pair_id, name, slots, token)
    with books.lock:
        books.saved[made.correction_id] = pair_id
        books.answered.append(pair_id)
    if pair_id != row["pair_id"]:
        queue.release(site, name)
    if rng.random() < 0.05:
        corrections.undo(site, made.correction_id, name)
        books.undone.add(made.correction_id)


def _submit(site: Site, pair_id: str, name: str, slots: dict[str, Any], token: str) -> corrections.Saved:
    return corrections.submit(
        site, pair_id=pair_id, annotator=name, verdict="fix", slots=slots, active_seconds=1.0, token=token
    )


def _in_label_studio(site: Site, user: int, books: Books, end: float, rng: random.Random) -> None:
    """Answer tasks that nobody has, as Label Studio's page does: nothing of ours is asked or told."""
    studio, done = studio_of(site), set()
    while time.monotonic() < end:
        time.sleep(rng.uniform(*PAUSE))
        tasks = rows(site, "SELECT ls_task_id AS id FROM tasks t WHERE NOT EXISTS "
                     "(SELECT 1 FROM corrections c WHERE c.old_pair_id = t.pair_id)")  # fmt: skip
        free = [row["id"] for row in tasks if row["id"] not in done]
        if not free:
            continue
        task = rng.choice(free)
        done.add(task)
        result = to_result(site.template(), "fix", BOLT | {"count": rng.randint(1, 9)})
        try:
            made = studio.sdk.annotations.create(id=task, result=result, completed_by=user, lead_time=2.0)
        except Exception as error:  # noqa: BLE001
            books.failures.append(f"user {user}: {type(error).__name__}: {str(error)[:300]}")
            continue
        with books.lock:
            books.there[int(made.id)] = task  # type: ignore[arg-type]


def _sync_meanwhile(site: Site, end: float, rng: random.Random) -> int:
    """A worker that syncs all the time, killed and started again; how often it was."""
    killed = 0
    while time.monotonic() < end:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(site.root), str(SYNC_EVERY)],
            cwd=CHECKOUT,
            stderr=subprocess.PIPE,
        )
        lifetime = min(max(end - time.monotonic(), 0.1), KILL_EVERY * rng.uniform(0.5, 1.5))
        try:
            _, said = worker.communicate(timeout=lifetime)
            raise RuntimeError(f"the sync ended by itself: {said.decode()[-1500:]}")
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
            killed += 1
    return killed


def _compare(site: Site, books: Books, people: int, seconds: float, killed: int) -> Result:
    stored = {row["correction_id"]: row for row in rows(site, "SELECT * FROM corrections")}
    answered = rows(site, "SELECT answer_id FROM reviews WHERE answer_id IS NOT NULL")
    reviewed = Counter(row["answer_id"] for row in answered)  # second opinions are kept apart, and only here
    wrong = [*books.failures, *books.held_twice, *disagreements(site)]
    for one in books.saved:
        places = (one in stored) + reviewed[one]
        if places != 1 and not (one in books.undone and places == 0):
            wrong.append(f"saved, but {places} times in the store: {one}")
    for one in books.undone & set(stored):
        if stored[one]["state"] != "withdrawn":
            wrong.append(f"undone, but {stored[one]['state']}: {one}")
    for one in set(books.saved) & set(stored) - books.undone:
        if stored[one]["state"] not in ("active", "conflict", "superseded"):
            wrong.append(f"saved, but {stored[one]['state']}: {one}")
    by_annotation = Counter(
        row["ls_annotation_id"] for row in stored.values() if row["source"] == "label-studio"
    )
    wrong += [
        f"annotation {one} is stored {by_annotation[one]} times"
        for one in books.there
        if by_annotation[one] != 1
    ]
    surplus = (
        set(stored) - set(books.saved) - {c for c, row in stored.items() if row["source"] == "label-studio"}
    )
    wrong += [f"stored, but nobody was told: {one}" for one in surplus]
    there = rows(site, "SELECT count(*) AS n FROM corrections WHERE state IN ('active', 'conflict') "
                       "AND ls_annotation_id IS NOT NULL")[0]["n"]  # fmt: skip
    return Result(
        people, seconds, len(books.saved), len(books.undone), len(reviewed), len(books.there), len(stored), there,
        dict(Counter(row["state"] for row in stored.values())), killed,
        *_milliseconds(books.claims), *_milliseconds(books.submits), wrong,
    )  # fmt: skip


def _milliseconds(seconds: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    ranked = sorted(seconds) or [0.0]
    return round(1000 * statistics.median(ranked), 1), round(1000 * ranked[int(0.95 * (len(ranked) - 1))], 1)


def new_site(running: RunningLabelStudio, pairs: int) -> Site:
    """A site of that many pairs beside a running server."""
    return site_beside(running, captions=[f"steel bolt number {number}" for number in range(pairs)])


def main() -> int:
    """Command line; 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.load_people", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=6000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, started(Path(folder) / "site") as running:
        result = run(new_site(running, given.pairs), given.people, given.seconds)
    print(json.dumps(asdict(result), ensure_ascii=False, indent=2))
    sys.stdout.flush()
    return 1 if result.wrong else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
