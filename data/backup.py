"""A backup of a site while people work: one archive of everything but the photos.

    backup(site, Path("site-2026-11-26.tar.gz"))     # Backup(path, files, bytes)
    tar xzf site-2026-11-26.tar.gz                   # gives the site back: genba up site

The store is copied while nobody writes it, the embedded Label Studio's database by SQLite's own backup, which is whole
whatever is written meanwhile. What any process can make again is left out: locks, and the working files of retrainings.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from data import store
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site

EVENT = "backup.made"
ENDINGS = (".tar.gz", ".tgz")
DATABASES = (".sqlite3", ".db")
LEFT_OUT = (".lock", ".tmp", ".sqlite3-wal", ".sqlite3-shm", ".sqlite3-journal", ".wal")
COMPRESSION = 1  # photos and weights hardly shrink: speed counts


@dataclass(frozen=True)
class Backup:
    """What was written."""

    path: Path
    files: int
    bytes: int


def backup(site: Site, path: Path, by: str = "", progress: Progress = silent) -> Backup:
    """Write the archive, whole or not at all, and note it in the site. Raises GenbaError: it is there already, lies in
    the site, has another ending, its folder is not there, or it cannot be written."""
    path = path.resolve()
    if not path.name.endswith(ENDINGS):
        raise GenbaError(
            f"A backup cannot be written as '{path.name}'.",
            choices=ENDINGS,
            next=f"genba backup {site.root} FILE.tar.gz",
        )
    if path.exists():
        raise GenbaError(f"{path} is there already, so nothing was written.", next="choose another name")
    if path.is_relative_to(site.root):
        raise GenbaError(f"{path} lies inside the site that it is to keep.", next="choose a place outside")
    if not path.parent.is_dir():
        raise GenbaError(f"There is no folder {path.parent}.", next=f"mkdir -p {path.parent}")
    files = list(_files(site.root))
    half_written = path.with_name(path.name + ".tmp")
    try:
        with tarfile.open(half_written, "w:gz", compresslevel=COMPRESSION) as archive:
            for number, file in enumerate(files, start=1):
                _add(archive, site, file)
                progress(number, len(files), "files")
        os.replace(half_written, path)
    except OSError as error:
        half_written.unlink(missing_ok=True)
        raise GenbaError(f"{path} cannot be written: {error.strerror}.", next="df -h") from None
    except BaseException:
        half_written.unlink(missing_ok=True)
        raise
    size = path.stat().st_size
    with site.connect() as db:
        db.event(by or "genba", EVENT, {"path": str(path), "files": len(files), "bytes": size})
    return Backup(path, len(files), size)


def last_backup(site: Site) -> datetime | None:
    """When the newest backup was made (UTC); None: never."""
    with site.connect() as db:
        found: datetime | None = db.value("SELECT max(occurred_at) FROM events WHERE what = ?", [EVENT])
    return found


def _files(root: Path) -> Iterator[Path]:
    """Everything to keep, in order; a link is kept as what it points to only where that lies in the site."""
    for folder, names, found in os.walk(root):
        names[:] = sorted(
            name for name in names if not (name == "work" and Path(folder).parent.name == "runs")
        )
        for name in sorted(found):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink() and not name.endswith(LEFT_OUT):
                yield path


def _add(archive: tarfile.TarFile, site: Site, file: Path) -> None:
    name = str(Path(site.root.name) / file.relative_to(site.root))
    if file == site.root / "genba.duckdb" or file.suffix in DATABASES:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / file.name
            if file.suffix in DATABASES:
                with (
                    closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as old,
                    closing(sqlite3.connect(copy)) as new,
                ):
                    old.backup(new)
            else:
                store.copy(file, copy)
            archive.add(copy, name)
        return
    try:
        archive.add(file, name)
    except FileNotFoundError:
        if file.exists():
            raise  # else a working file that has done its work meanwhile
