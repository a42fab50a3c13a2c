"""How fast the exchange with Label Studio is on a large site: push, pull of what changed, full comparison.

    python -m tests.load_studio --tasks 50000          # writes docs/benchmarks/label_studio.json and .md

The embedded server (SQLite) on this machine, small photos, captions prefilled as always. One run each: a lead, no law.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from annotate.incoming import OVERLAP
from annotate.projects import studio_of
from annotate.sync import pull, push, sync
from data.site import Site
from tests.annotate.conftest import started
from tests.annotate.exchange import SLOTS, answer, disagreements, task_of
from tests.annotate.sites import site_beside
from tests.annotate.test_labeling_config import page_of
from tests.conftest import CHECKOUT

CHANGES = 100
OUT = CHECKOUT / "docs" / "benchmarks" / "label_studio"


@dataclass(frozen=True)
class Measured:
    """Seconds, but for counts and rates."""

    tasks: int
    machine: str
    label_studio: str
    measured_at: str
    load_before: float
    push_s: float
    tasks_per_s: float
    push_again_s: float
    pull_100_changes_s: float
    pull_nothing_s: float
    sync_100_answers_s: float
    sync_nothing_s: float
    full_compare_s: float
    disagreements: int


def measure(site: Site, tasks: int) -> Measured:
    """Every figure on one site, in an order in which each starts from a state that is in step."""
    load = os.getloadavg()[0]
    pushed = _seconds(lambda: _expect(push(site, tasks).pushed, tasks, "pushed"))
    _say(f"pushed {tasks} in {pushed:.1f} s")
    again = _seconds(lambda: _expect(push(site, tasks).pushed, 0, "pushed again"))
    pull(site)
    # A visit reads again what had changed in the minute before the last change that it knew: here that was the push.
    time.sleep(OVERLAP.total_seconds())
    _answer_there(site, range(2 * CHANGES, 2 * CHANGES + 1))
    pull(site)
    _answer_there(site, range(CHANGES))
    pulled = _seconds(lambda: _expect(pull(site).new, CHANGES, "pulled"))
    nothing = _seconds(lambda: _expect(pull(site).new, 0, "pulled again"))
    _say(f"pulled {CHANGES} changes in {pulled:.2f} s, nothing in {nothing:.2f} s")
    for number in range(CHANGES, 2 * CHANGES):
        answer(site, number)
    sent = _seconds(lambda: _expect(sync(site).sent, CHANGES, "sent"))
    idle = _seconds(lambda: _expect(sync(site).sent, 0, "sent again"))
    _say(f"sent {CHANGES} answers in {sent:.2f} s; idle sync {idle:.2f} s")
    full = _seconds(lambda: _expect(len(sync(site, full=True).differences), 0, "differences"))
    _say(f"compared everything in {full:.1f} s")
    return Measured(
        tasks, f"{platform.machine()}, {os.cpu_count()} cores", version("label-studio"),
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), round(load, 1), round(pushed, 1),
        round(tasks / pushed, 1), round(again, 2), round(pulled, 2), round(nothing, 2), round(sent, 2), round(idle, 2),
        round(full, 1), len(disagreements(site)),
    )  # fmt: skip


def _answer_there(site: Site, numbers: range) -> None:
    """As many answers on Label Studio's own page."""
    studio, made = studio_of(site), [task_of(site, number) for number in numbers]

    def one(task: int) -> None:
        studio.sdk.annotations.create(id=task, result=page_of(**SLOTS), lead_time=9.0)

    with ThreadPoolExecutor(4) as hands:
        list(hands.map(one, made))


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise RuntimeError(f"{what}: {found}, not {wanted}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def page(found: Measured) -> str:
    """The figures as the page of docs/benchmarks."""
    n = f"{found.tasks:,}"
    lines = [
        (
            f"push {n} tasks, prefilled, with the copies of (small) photos for display",
            f"{found.push_s} s",
            f"{found.tasks_per_s} tasks/s",
        ),
        ("the same push again (all are there)", f"{found.push_again_s} s", ""),
        (f"incremental pull of {CHANGES} answers made in Label Studio", f"{found.pull_100_changes_s} s", ""),
        ("incremental pull of nothing", f"{found.pull_nothing_s} s", ""),
        (f"sync with {CHANGES} answers of the app to send", f"{found.sync_100_answers_s} s", ""),
        ("sync with nothing to do (every 30 s)", f"{found.sync_nothing_s} s", ""),
        ("full comparison (`genba sync --full`, once a night)", f"{found.full_compare_s} s", ""),
    ]
    table = "\n".join(f"| {what} | {seconds} | {more} |" for what, seconds, more in lines)
    return f"""# The exchange with Label Studio on a site of {n} tasks

Written by `python -m tests.load_studio --tasks {found.tasks}`. Embedded Label Studio {found.label_studio} (SQLite),
{found.machine}, load {found.load_before} when it began, {found.measured_at}. One run.
Disagreements afterwards: {found.disagreements}.

| what | time | |
|---|---|---|
{table}
"""


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.load_studio", description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, started(Path(folder) / "site") as running:
        captions = [f"steel bolt number {number}" for number in range(given.tasks)]
        found = measure(site_beside(running, captions=captions), given.tasks)
    OUT.with_suffix(".json").write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    OUT.with_suffix(".md").write_text(page(found), encoding="utf-8")
    print(page(found))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
