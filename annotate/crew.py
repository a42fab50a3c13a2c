"""The demo's simulated crew: answers the top of the queue and a blind audit through the real Label Studio.

    work(site, source / "truth.jsonl", progress)      # the job "demo-crew" of the demo site, and of no other

It stands for people whom a demo does not have, and is called simulated wherever its work shows: in its names, in the
column `simulated`, on every page. Its answers go the way of anybody's: a task, an annotation in a person's name, a
pull. It takes plausible times (recorded, not waited for) and makes mistakes. Every `LEAVE_EVERY`-th pair of the queue's
top is left for the person at the screen. What it answers is chosen once and kept, so that a killed crew goes on.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotate import audit, incoming, outbox, queue
from annotate.label_studio_server import is_healthy
from annotate.labeling_config import to_result
from annotate.projects import Exchange, exchange, studio_address, version_of
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site
from data.store import now
from data.templates import Template

CREW = ("crew-1 (simulated)", "crew-2 (simulated)", "crew-3 (simulated)")
FROM_QUEUE, FROM_AUDIT = 300, 240  # the audit is nearly all held-out photos: the retraining is tested on them
LEAVE_EVERY, FEWEST_LEFT = 8, 40
MISTAKES, NOT_SURE = 0.04, 0.02
MEDIAN_SECONDS, SPREAD = 24.0, 0.45  # of a log-normal
WAIT_SECONDS = 180.0
CHUNK = 50
HANDS = 4
STATE = "demo_crew"
Truth = Mapping[str, Mapping[str, Any]]  # uri -> a line of truth.jsonl


@dataclass(frozen=True)
class CrewWork:
    """What the crew was to answer, from the queue and from the audit, and what has reached the store of it."""

    from_queue: int
    from_audit: int
    answered: int
    left_in_queue: int


@dataclass(frozen=True)
class Answer:
    """One answer of one member of the crew."""

    annotator: str
    verdict: str
    slots: dict[str, Any]
    seconds: float


def work(site: Site, truth: Path, progress: Progress = silent) -> CrewWork:
    """Answer what was chosen and is not answered yet. Raises GenbaError on a real site, or without Label Studio."""
    if not site.settings.site.demo:
        raise GenbaError(f"{site.root} is no demo site: nobody's work is simulated there.")
    known = _read_truth(truth)
    _wait_for_label_studio(site, progress)
    chosen = _chosen(site)
    wanted = [*chosen["queue"], *chosen["audit"]]
    template = site.template()
    _introduce(site)
    rows = _open_pairs(site, wanted)
    for start in range(0, len(rows), CHUNK):
        before = len(wanted) - len(rows) + start

        def report(done: int, before: int = before) -> None:
            progress(before + done, len(wanted), "answers")

        report(0)
        with exchange(site) as at:  # given back between the parts, so that others exchange meanwhile
            _answer(at, template, rows[start : start + CHUNK], known, report)
    with site.connect() as db:
        answered = db.value(
            "SELECT count(*) FROM corrections WHERE simulated AND state = 'active' AND list_contains(?, old_pair_id)",
            [wanted],
        )
    return CrewWork(len(chosen["queue"]), len(chosen["audit"]), int(answered), queue.count(site))


def _read_truth(path: Path) -> Truth:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise GenbaError(f"The crew's {path} cannot be read: {error.strerror}.", next="genba demo") from None
    rows = [json.loads(line) for line in lines]
    return {Path(row["image"]).name: row for row in rows}


def _wait_for_label_studio(site: Site, progress: Progress) -> None:
    """It starts beside us, which takes half a minute the first time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_healthy(studio_address(site)):
        if time.monotonic() > deadline:
            raise GenbaError(
                f"Label Studio at {studio_address(site)} has not answered for {WAIT_SECONDS:.0f} seconds.",
                next=f"genba up {site.root}",
            )
        progress(0, None, "waiting for Label Studio")
        time.sleep(1.0)


def _chosen(site: Site) -> dict[str, list[str]]:
    """The pairs that the crew answers, chosen once: {"queue": […], "audit": […]}."""
    with site.connect() as db:
        found = db.get_state(STATE)
        drawn = db.value("SELECT count(*) FROM audits")
    if found:
        return dict(found)
    if not queue.count(site):
        raise GenbaError(
            "Nothing waits in the queue that the crew could answer.", next=f"genba score {site.root}"
        )
    if not drawn:
        audit.draw(site, FROM_AUDIT, seed=7, actor=CREW[0])
    waiting = queue.count(site)
    top = queue.top(site, waiting)
    taken = [row["pair_id"] for number, row in enumerate(top, start=1) if number % LEAVE_EVERY]
    taken = taken[: max(0, min(FROM_QUEUE, waiting - FEWEST_LEFT))]
    with site.connect() as db:
        drawn_pairs = [row["pair_id"] for row in db.rows("SELECT pair_id FROM audits ORDER BY pair_id")]
        chosen = {"queue": taken, "audit": drawn_pairs[:FROM_AUDIT]}
        db.set_state(STATE, chosen)
    return chosen


def _introduce(site: Site) -> None:
    """The crew is in the books as simulated before its first answer comes back."""
    with site.connect() as db:
        db.insert(
            "annotators",
            [{"name": name, "simulated": True, "ls_user_id": None, "added_at": now()} for name in CREW],
            on_conflict="ignore",
        )


def _open_pairs(site: Site, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Those of the wanted pairs that have no answer yet, in the order wanted."""
    with site.connect() as db:
        rows = db.rows(
            "SELECT p.pair_id, p.image_id, p.caption, p.language, i.uri FROM pairs p "
            "JOIN images i ON i.image_id = p.image_id WHERE list_contains(?, p.pair_id) "
            "AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.old_pair_id = p.pair_id)",
            [list(wanted)],
        )
    found = {row["pair_id"]: row for row in rows}
    return [found[pair_id] for pair_id in wanted if pair_id in found]


def _answer(
    at: Exchange, template: Template, rows: list[dict[str, Any]], truth: Truth, report: Callable[[int], None]
) -> None:
    """Tasks, annotations in the crew's names, and back into the store. Label Studio takes an answer only once."""
    tasks = at.push(template, rows)
    people = {name: at.person(name) for name in CREW}

    def send(row: dict[str, Any]) -> None:
        answer = answer_of(template, row, truth)
        at.studio.submit(
            tasks[row["pair_id"]], to_result(template, answer.verdict, answer.slots), people[answer.annotator],
            outbox.unique_id(f"crew:{row['pair_id']}"), answer.seconds, skipped=False,
        )  # fmt: skip

    with ThreadPoolExecutor(HANDS) as hands:  # Label Studio takes half as many again from several as from one
        for done, _ in enumerate(hands.map(send, [row for row in rows if row["pair_id"] in tasks]), start=1):
            report(done)
    incoming.take_in(at, version_of(template))


def answer_of(template: Template, row: Mapping[str, Any], truth: Truth) -> Answer:
    """What the crew says of one pair: the truth, but for its mistakes. The same pair always gets the same answer.

    row: pair_id, caption, uri. A caption that states all the right things is called right, whatever its words.
    """
    rng = np.random.default_rng(int(row["pair_id"][:12], 16))
    name = CREW[int(rng.integers(len(CREW)))]
    seconds = round(float(rng.lognormal(math.log(MEDIAN_SECONDS), SPREAD)), 1)
    luck = rng.random()
    if luck < NOT_SURE:
        return Answer(name, "not_sure", {}, seconds)
    fact = truth[Path(row["uri"]).name]
    if fact["error"] == "none" and row["caption"]:
        return Answer(name, "ok", {}, round(seconds / 3, 1))  # reading takes less than writing
    slots = dict(fact["slots"])
    if luck < NOT_SURE + MISTAKES:
        slots = _mistaken(template, slots, rng)
    return Answer(name, "fix", slots, seconds)


def _mistaken(template: Template, slots: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The slots with another option in one of them; `none` stays out, because it would hide other slots."""
    choices = [
        slot for slot in template.slots if slot.type == "choice" and slots.get(slot.id) not in (None, "none")
    ]
    slot = choices[int(rng.integers(len(choices)))]
    others = [one.id for one in slot.options if one.id not in (slots[slot.id], "none")]
    return {**slots, slot.id: others[int(rng.integers(len(others)))]}
