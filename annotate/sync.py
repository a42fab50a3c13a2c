"""Keeps the store and Label Studio in step: push the queue, send answers, take in what was answered there.

    genba push SITE        genba pull SITE        genba sync SITE [--full]

The worker syncs every half minute, at once after a hint of Label Studio (annotate/hook.py), and compares everything
once a night: the times of the last change are the truth, hints only save waiting.

The store is the truth for what counts, Label Studio for the raw annotations. Everything here may be killed at any point
and called again: each step finds out what is there before it adds, and one process at a time exchanges (a file lock).
With Label Studio down, answers stay in the outbox and staff notice nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from annotate import incoming, outbox, queue
from annotate.differences import Difference
from annotate.label_studio import LabelStudioError
from annotate.projects import Exchange, exchange
from annotate.visit import Tally
from data.jobs import Progress, silent
from data.site import Site
from data.store import Database, now

PUSH_CHUNK = 500
COMPARED = "label_studio_compared"
TRAFFIC = ("answer-new", "answer-edited", "answer-deleted")
MOST_KEPT = 100


@dataclass(frozen=True)
class Pushed:
    """Pairs at the top of the queue: those that got a task now, that had one, whose photo cannot be read."""

    pushed: int
    known: int
    unreadable: int


@dataclass(frozen=True)
class Pulled:
    """Answers taken in from Label Studio, and differences that were mended. refused: annotations that no answer can be
    made of, met for the first time; unusable: all that stand there now (annotate/unusable.py)."""

    new: int
    edited: int
    deleted: int
    refused: int
    unusable: int
    mended: int


@dataclass(frozen=True)
class Synced:
    """One whole exchange: what went out, what came in, what differed and was mended, and each of these things."""

    sent: int
    removed: int
    failed: int
    pushed: int
    unreadable: int
    new: int
    edited: int
    deleted: int
    refused: int
    unusable: int
    mended: int
    differences: list[Difference]


def push(site: Site, top: int, progress: Progress = silent) -> Pushed:
    """Give each of the `top` pairs of the queue a task in Label Studio, prefilled with what its old caption states.

    Raises LabelStudioError when Label Studio is down or refuses.
    """
    with exchange(site) as at:
        _open_all(at)
        _recover(at)
        return _push(at, top, progress)


def pull(site: Site) -> Pulled:
    """Take in what was answered, edited or deleted in Label Studio since the last time. Raises LabelStudioError."""
    with exchange(site) as at:
        _open_all(at)
        tally = _recover(at) or _pull(at, is_full=False)
        return Pulled(**vars(tally), unusable=_unusable(at), mended=_mended(at))


def sync(site: Site, full: bool = False, clock: datetime | None = None) -> Synced:
    """Send what waits, take in what was answered in Label Studio, keep the top of the queue there.

    full: compare everything first, believe nothing that is remembered, and mend in both directions. clock: the time
    now, UTC; answers that were refused wait for their next try (annotate/outbox.py); None: all are tried. Raises
    LabelStudioError when it is down; every waiting answer then has that noted (outbox.attempts, last_error).
    """
    try:
        with exchange(site, is_full=full) as at:
            _open_all(at)
            tally = _pull(at, is_full=True) if full or at.has_lost else Tally()
            sent = outbox.send(at, clock=clock)
            tally.add(_pull(at, is_full=False))
            pushed = _push(at, site.settings.label_studio.push_top)
    except LabelStudioError as error:
        if outbox.is_down(error):
            outbox.note_failure(site, error)
        raise
    if full:
        _note_comparison(at)
    return Synced(
        sent.sent, sent.removed, sent.failed, pushed.pushed, pushed.unreadable,
        tally.new, tally.edited, tally.deleted, tally.refused, _unusable(at), _mended(at),
        at.differences,
    )  # fmt: skip


def job(site: Site, given: Mapping[str, Any]) -> dict[str, Any]:
    """The worker's job "sync"; given: {"full": True} compares everything. Of the differences the first hundred."""
    found = asdict(sync(site, full=bool(given.get("full")), clock=now()))
    return found | {"differences": found["differences"][:MOST_KEPT]}


def last_comparison(db: Database) -> datetime | None:
    """When everything was compared the last time (UTC), or None."""
    found = db.get_state(COMPARED)
    return datetime.fromisoformat(found) if found else None


def _note_comparison(at: Exchange) -> None:
    # what is left where it is is no news of every night: it is named until it is mended (annotate/unusable.py)
    kinds = Counter(one.what for one in at.differences if one.what != "answer-refused")
    with at.site.connect() as db:
        db.set_state(COMPARED, now().isoformat())
        db.event("genba", "label-studio.compared", dict(kinds))


def _recover(at: Exchange) -> Tally | None:
    """Where Label Studio has another database than we left it with: compare everything, send what it lacks."""
    if not at.has_lost:
        return None
    tally = _pull(at, is_full=True)
    outbox.send(at)
    return tally


def _mended(at: Exchange) -> int:
    """Differences that are no answers of people in Label Studio, and that are mended: lost, doubled, spoiled."""
    return sum(one.what not in TRAFFIC and one.done != "left" for one in at.differences)


def _unusable(at: Exchange) -> int:
    return sum(len(entry.get("unusable") or ()) for entry in at.known().values())


def _open_all(at: Exchange) -> None:
    """Find every project that we know, so that one which is gone is noticed before anything is compared or sent."""
    for version in at.known():
        at.project(at.template(version))


def _push(at: Exchange, top: int, progress: Progress = silent) -> Pushed:
    template = at.site.template()
    rows = queue.top(at.site, top)
    tasks = at.tasks(template)
    missing = [row for row in rows if row["pair_id"] not in tasks]
    made = 0
    for start in range(0, len(missing), PUSH_CHUNK):
        progress(start, len(missing), "tasks")
        made += len(at.push(template, missing[start : start + PUSH_CHUNK]))
    at.propose(template, [row for row in rows if row["pair_id"] in tasks])
    return Pushed(made, len(rows) - len(missing), len(missing) - made)


def _pull(at: Exchange, is_full: bool) -> Tally:
    tally = Tally()
    for version in at.known():
        tally.add(incoming.take_in(at, version, is_full))
    return tally
