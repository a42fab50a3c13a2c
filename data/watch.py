"""A folder or table that is read in by itself: what of it is ready, and whether that is new.

[worker] watch = "/photos/incoming", watch_schedule = "*/10 * * * *"

A file that changed less than SETTLE_SECONDS ago may still be written: it is left for the next time, and so is a photo
whose caption file is. Reading in the same twice adds nothing (data/ingest.py), so a worker that is killed in between
just does it again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.ingest import IngestResult, ingest
from data.jobs import Progress, silent
from data.readers import find_table
from data.site import Site

SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class Look:
    """ready, unfinished: files. fingerprint: changes when a ready file comes, changes or goes; "" while none is."""

    ready: int
    unfinished: int
    fingerprint: str


def look(source: Path) -> Look:
    """What lies in the folder now (or what is true of the table), by names, sizes and times; no file is opened."""
    digest, counts = hashlib.sha256(), [0, 0]
    since = time.time() - SETTLE_SECONDS
    for path in _files(source):
        try:
            facts = path.stat()
        except FileNotFoundError:  # taken away in this moment
            continue
        is_ready = _changed_at(facts) <= since
        counts[is_ready] += 1
        if is_ready:
            digest.update(os.fsencode(path) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return Look(counts[1], counts[0], digest.hexdigest() if counts[1] else "")


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _changed_at(facts: os.stat_result) -> float:
    """A copy may keep the original's date; the time of the last change to the entry itself it cannot keep."""
    return max(facts.st_mtime, facts.st_ctime)


def is_unfinished(path: Path) -> bool:
    """Whether a photo, or the caption file beside it, changed so lately that it may still be written."""
    since = time.time() - SETTLE_SECONDS
    for one in (path, path.with_suffix(".txt"), path.with_name(f"{path.name}.txt")):
        try:
            if _changed_at(one.stat()) > since:
                return True
        except FileNotFoundError:
            continue
    return False


def ingest_ready(site: Site, source: str | Path, progress: Progress = silent) -> IngestResult:
    """Read in what is ready; what is not is counted as left. Raises GenbaError as ingest does."""
    table, _ = find_table(Path(source), None)
    if table.is_file() and is_unfinished(table):
        return IngestResult(0, 0, 0, 0, {}, 0, left=1)
    return ingest(site, source, progress=progress, leave=is_unfinished)
