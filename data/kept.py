"""Aggregates over all captions of a large site: shown at once with their age, counted anew behind the page.

    waiting = value(site, "waiting", int, queue.count)    # as queue.count(site); on a large site as counted last
    oldest(site)                    # when the oldest of what this process has shown was counted (UTC), or None

A small site is counted each time. On a large one (the store's file passes SMALL_BYTES) what was counted is kept in
the process and, with its time, in SITE/kept.json, so that the first page after a start waits for nothing.
Once the store has been written to, the next page that asks shows what is kept and starts a new count behind it, at most
once a minute and every PATIENCE times as long as counting takes: it takes the processors from the pages. `renewed`
tells a waiting page when that is done. What is kept is read back through its own type: where that has changed, it is
counted anew.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.site import Site
from data.store import now

SMALL_BYTES = 64_000_000  # of the store's file: some 40,000 captions, which take no time
PATIENCE = 10
FILE = "kept.json"
AFTER_SECONDS = 3.0  # a count behind a page begins when the page is there: both read the same store
LEAST_SECONDS = 60.0  # between two counts of the same figure
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What was counted. at: when that began (UTC); written: the store's last writing then; seconds: how long."""

    value: Any
    at: datetime
    written: float
    seconds: float
    checked: float  # monotonic: no new count before PATIENCE * seconds from here


class Keeper:
    """Of one site: what is kept, what is being counted now, and how many counts have ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counting: dict[str, threading.Lock] = {}
        self.entries: dict[str, Entry] = {}
        self.busy: set[str] = set()
        self.behind = threading.Lock()  # one count at a time behind the pages
        self.stored: dict[str, Any] | None = None  # what stands in the file
        self.renewals = 0


_keepers: dict[Path, Keeper] = {}
_keepers_lock = threading.Lock()


def keeper(site: Site) -> Keeper:
    """The process's own for this site."""
    with _keepers_lock:
        return _keepers.setdefault(site.root, Keeper())


def is_small(site: Site) -> bool:
    """Whether everything is counted each time."""
    return (site.root / "genba.duckdb").stat().st_size < SMALL_BYTES


def value(site: Site, name: str, kind: Any, count: Callable[[Site], Any]) -> Any:
    """What `count` says of the site, now or a while ago. kind: its type; name: the same for the same count."""
    if is_small(site):
        return count(site)
    held = keeper(site)
    with held.lock:
        one_at_a_time = held.counting.setdefault(name, threading.Lock())
        entry = held.entries.get(name)
    if entry is None:
        with one_at_a_time:
            entry = (
                held.entries.get(name) or _stored(site, held, name, kind) or _count(site, name, kind, count)
            )
            held.entries[name] = entry
    if _is_due(site, entry):
        _behind(site, name, kind, count)
    return entry.value


def _is_due(site: Site, entry: Entry) -> bool:
    waits = max(PATIENCE * entry.seconds, LEAST_SECONDS)
    return _written(site) != entry.written and time.monotonic() - entry.checked > waits


def _written(site: Site) -> float:
    return (site.root / "genba.duckdb").stat().st_mtime


def _count(site: Site, name: str, kind: Any, count: Callable[[Site], Any]) -> Entry:
    written, at, began = _written(site), now(), time.monotonic()
    found = count(site)
    entry = Entry(found, at, written, time.monotonic() - began, time.monotonic())
    from pydantic import TypeAdapter

    told = {"at": at.isoformat(), "written": written, "seconds": entry.seconds,
            "value": json.loads(TypeAdapter(kind).dump_json(found))}  # fmt: skip
    held = keeper(site)
    with held.lock:
        stored = _read(site, held)
        stored[name] = told
        half_written = site.root / f".kept.{os.getpid()}.half"
        half_written.write_text(json.dumps(stored), encoding="utf-8")
        os.replace(half_written, site.root / FILE)
    return entry


def _stored(site: Site, held: Keeper, name: str, kind: Any) -> Entry | None:
    """As another process, or this one before it was started anew, has kept it."""
    from pydantic import TypeAdapter, ValidationError

    with held.lock:
        told = _read(site, held).get(name)
    if told is None:
        return None
    try:
        found = TypeAdapter(kind).validate_python(told["value"])
    except ValidationError as error:
        log.info("%s was kept by another version and is counted anew: %s", name, error)
        return None
    at = datetime.fromisoformat(told["at"])
    checked = time.monotonic() - (now() - at).total_seconds()
    return Entry(found, at, float(told["written"]), float(told["seconds"]), checked)


def _read(site: Site, held: Keeper) -> dict[str, Any]:
    """What the file holds; read once in a process, which is the only one that writes it. The lock is held."""
    if held.stored is None:
        try:
            held.stored = dict(json.loads((site.root / FILE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            held.stored = {}
        except ValueError as error:
            log.warning("%s is damaged, so everything is counted anew: %s", site.root / FILE, error)
            held.stored = {}
    return held.stored


def _behind(site: Site, name: str, kind: Any, count: Callable[[Site], Any]) -> None:
    """Start a count in a thread of its own, unless one is under way."""
    held = keeper(site)
    with held.lock:
        if name in held.busy:
            return
        held.busy.add(name)

    def renew() -> None:
        try:
            time.sleep(AFTER_SECONDS)
            with held.behind:
                held.entries[name] = _count(site, name, kind, count)
        except GenbaError as error:  # the page goes on with what is kept, whose age it shows
            log.warning("%s could not be counted anew: %s", name, error)
        finally:
            with held.lock:
                held.busy.discard(name)
                held.renewals += 1

    threading.Thread(target=renew, name=f"count {name}", daemon=True).start()


def oldest(site: Site) -> datetime | None:
    """When the oldest that is kept was counted (UTC); None: nothing is kept, all is of now."""
    if is_small(site):
        return None
    return min((entry.at for entry in list(keeper(site).entries.values())), default=None)


def renewed(site: Site) -> tuple[int, bool]:
    """How many counts have ended in this process, and whether one is under way."""
    held = keeper(site)
    return held.renewals, bool(held.busy)
