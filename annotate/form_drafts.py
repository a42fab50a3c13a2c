"""Half-typed answers: kept in the store within half a second of each click, so that a reload or a crash loses none.

    save(site, pair_id, "佐藤", {"part": "bolt"}, active_seconds=12.5, template="parts@2")
    load(site, pair_id, "佐藤")       # Draft({"part": "bolt"}, 12.5, "parts@2"), or None
    forget(site, pair_id, "佐藤")     # the answer is saved: nothing more may be written

annotate/corrections.py removes a pair's drafts in the transaction that stores its correction.

A transaction costs 30 ms of a processor, and twenty people click ten times a second: so a click only notes what is to
be written, and one thread writes what all have answered since, in one transaction. Whoever reads sees what is noted.
"""

from __future__ import annotations

import atexit
import functools
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.site import Site
from data.store import Database, now

WRITE_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draft:
    """What one person has answered for one pair so far, and how long they have worked on it."""

    slots: dict[str, Any]
    active_seconds: float
    template: str | None = None  # name and version with which they began


def save(
    site: Site, pair_id: str, annotator: str, slots: Mapping[str, Any], active_seconds: float,
    template: str | None = None,
) -> None:  # fmt: skip
    """Keep the answers, in place of those kept before. An item that was emptied is kept as empty (None)."""
    _notes(site.root).add((pair_id, annotator), Draft(dict(slots), active_seconds, template))


def load(site: Site, pair_id: str, annotator: str, within: Database | None = None) -> Draft | None:
    """What this person has kept for this pair, or None. within: an open transaction."""
    if noted := _notes(site.root).get((pair_id, annotator)):
        return noted
    with site.connect(within) as db:
        row = db.one(
            "SELECT slots, active_seconds, template FROM form_drafts WHERE pair_id = ? AND annotator = ?",
            [pair_id, annotator],
        )
    return Draft(row["slots"], float(row["active_seconds"]), row["template"]) if row else None


def forget(site: Site, pair_id: str, annotator: str) -> None:
    """What is noted and not yet written is not written any more. Waits for a write that is going on."""
    _notes(site.root).drop((pair_id, annotator))


def flush(site: Site) -> None:
    """Write now what is noted."""
    _notes(site.root).write()


class _Notes:
    """What is to be written for one site, by (pair id, annotator). Safe to call from several threads."""

    def __init__(self, root: Path) -> None:
        self._site = Site.open(root)
        self._noted: dict[tuple[str, str], Draft] = {}
        self._lock = threading.Lock()  # of the notes
        self._writing = threading.Lock()  # one writes at a time
        self._timer: threading.Timer | None = None
        atexit.register(self.write)

    def add(self, key: tuple[str, str], draft: Draft) -> None:
        with self._lock:
            self._noted[key] = draft
            if self._timer is None:
                self._timer = threading.Timer(WRITE_SECONDS, self.write)
                self._timer.daemon = True  # at the end of the process `atexit` writes
                self._timer.start()

    def get(self, key: tuple[str, str]) -> Draft | None:
        with self._lock:
            return self._noted.get(key)

    def drop(self, key: tuple[str, str]) -> None:
        with self._writing, self._lock:
            self._noted.pop(key, None)

    def write(self) -> None:
        """One transaction. What could not be written stays noted, and is tried again with the next click."""
        with self._writing:
            with self._lock:
                self._timer = None
                taken = dict(self._noted)
            if not taken:
                return
            try:
                self._store(taken)
            except (GenbaError, OSError):
                log.exception("half-typed answers could not be written; they are tried again")
                return
            with self._lock:
                for key, draft in taken.items():
                    if self._noted.get(key) is draft:
                        del self._noted[key]

    def _store(self, taken: Mapping[tuple[str, str], Draft]) -> None:
        rows = [
            {"pair_id": pair_id, "annotator": annotator, "slots": draft.slots,
             "active_seconds": draft.active_seconds, "template": draft.template, "updated_at": now()}
            for (pair_id, annotator), draft in taken.items()
        ]  # fmt: skip
        with self._site.connect() as db:
            db.insert("form_drafts", rows, on_conflict="replace")


@functools.cache
def _notes(root: Path) -> _Notes:
    return _Notes(root)
