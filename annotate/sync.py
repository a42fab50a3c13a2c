"""Keeps the store and Label Studio in step: push the queue, send answers, take in what was answered there.

    genba push SITE        genba pull SITE [--full]        genba sync SITE        (the worker syncs every 30 s)

The store is the truth for what counts, Label Studio for the raw annotations. Everything here may be killed at any point
and called again: each step finds out what is there before it adds, and one process at a time exchanges (a file lock).
With Label Studio down, answers stay in the outbox and staff notice nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from annotate import incoming, outbox, queue
from annotate.incoming import Tally
from annotate.label_studio import LabelStudioError
from annotate.projects import Exchange, exchange
from data.jobs import Progress, silent
from data.site import Site

PUSH_CHUNK = 100


@dataclass(frozen=True)
class Pushed:
    """Pairs at the top of the queue: those that got a task now, that had one, whose photo cannot be read."""

    pushed: int
    known: int
    unreadable: int


@dataclass(frozen=True)
class Pulled:
    """Answers taken in from Label Studio, and differences that were found and mended."""

    new: int
    edited: int
    deleted: int
    refused: int
    tasks_made_again: int
    tasks_found_again: int
    doubles_removed: int
    answers_sent_again: int


@dataclass(frozen=True)
class Synced:
    """One whole exchange: what went out, what came in, what differed and was mended."""

    sent: int
    removed: int
    failed: int
    pushed: int
    unreadable: int
    new: int
    edited: int
    deleted: int
    refused: int
    mended: int


def push(site: Site, top: int, progress: Progress = silent) -> Pushed:
    """Give each of the `top` pairs of the queue a task in Label Studio, prefilled with what its old caption states.

    Raises LabelStudioError when Label Studio is down or refuses.
    """
    with exchange(site) as at:
        _open_all(at)
        if at.has_lost:
            _pull(at, is_full=True)
        return _push(at, top, progress)


def pull(site: Site, full: bool = False) -> Pulled:
    """Take in what was answered, edited or deleted in Label Studio since the last time.

    full: compare everything, and mend: tasks and answers that are gone there are made again. Raises LabelStudioError.
    """
    with exchange(site) as at:
        _open_all(at)
        return Pulled(**vars(_pull(at, full or at.has_lost)))


def sync(site: Site) -> Synced:
    """Send what waits, take in what was answered in Label Studio, keep the top of the queue there.

    Raises LabelStudioError when it is down; every waiting answer then has that noted (outbox.attempts, last_error).
    """
    try:
        with exchange(site) as at:
            _open_all(at)
            tally = _pull(at, is_full=True) if at.has_lost else Tally()
            sent = outbox.send(at)
            tally.add(_pull(at, is_full=False))
            pushed = _push(at, site.settings.label_studio.push_top)
    except LabelStudioError as error:
        if outbox.is_down(error):
            outbox.note_failure(site, error)
        raise
    return Synced(
        sent.sent, sent.removed, sent.failed, pushed.pushed, pushed.unreadable,
        tally.new, tally.edited, tally.deleted, tally.refused, tally.mended,
    )  # fmt: skip


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
    return Pushed(made, len(rows) - len(missing), len(missing) - made)


def _pull(at: Exchange, is_full: bool) -> Tally:
    tally = Tally()
    for version in at.known():
        tally.add(incoming.take_in(at, version, is_full))
    if is_full:
        outbox.send(at)
    return tally
