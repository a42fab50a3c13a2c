"""What the page Operations shows: what runs, what waits, what fills the disk, and when it was kept last.

found = look(site)        # Operations; a second or two, most of it asking Label Studio and counting files
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from annotate.label_studio_server import is_healthy
from annotate.projects import studio_address
from annotate.sync import last_comparison
from data.backup import last_backup
from data.site import SUBFOLDERS, Site
from data.supervisor import is_held

# Packages whose version somebody asks for first when something is wrong.
PACKAGES = (
    "streamlit",
    "label-studio",
    "label-studio-sdk",
    "torch",
    "open_clip_torch",
    "transformers",
    "duckdb",
    "pandas",
)
GPU_QUERY = (
    "nvidia-smi",
    "--query-gpu=name,memory.used,memory.total,utilization.gpu",
    "--format=csv,noheader,nounits",
)
GPU_SECONDS = 5.0
JOBS_SQL = "SELECT state, count(*) AS jobs FROM jobs GROUP BY state ORDER BY state"
FAILED_SQL = (
    "SELECT name, error, finished_at FROM jobs WHERE state = 'failed' ORDER BY finished_at DESC LIMIT 1"
)
OUTBOX_SQL = "SELECT count(*) AS waiting, max(attempts) AS attempts FROM outbox WHERE done_at IS NULL"


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU. Memory in MiB, load in percent."""

    name: str
    used: int
    total: int
    load: int


@dataclass(frozen=True)
class Operations:
    """worker: whether one runs. studio: whether Label Studio answers, and where. waiting: answers not sent to it yet.
    folders: of the site, in bytes. gpus: None where nvidia-smi is not there. Times are UTC."""

    worker: bool
    studio: bool
    studio_address: str
    compared_at: datetime | None
    waiting: int
    attempts: int
    jobs: dict[str, int]
    last_failed: dict[str, object] | None
    folders: dict[str, int]
    free: int
    gpus: list[Gpu] | None
    backup_at: datetime | None
    versions: dict[str, str]


def look(site: Site) -> Operations:
    """Everything at once."""
    address = studio_address(site)
    with site.connect() as db:
        jobs = {row["state"]: row["jobs"] for row in db.rows(JOBS_SQL)}
        failed, outbox = db.one(FAILED_SQL), db.rows(OUTBOX_SQL)[0]
        compared = last_comparison(db)
    return Operations(
        is_held(site.root / "worker.lock"), is_healthy(address), address, compared, int(outbox["waiting"]),
        int(outbox["attempts"] or 0), jobs, failed, sizes(site.root), shutil.disk_usage(site.root).free, gpus(),
        last_backup(site), versions(),
    )  # fmt: skip


def sizes(root: Path) -> dict[str, int]:
    """Bytes by folder of a site, the largest first; "" is what lies in the site's own folder."""
    found = {name: _size(root / name) for name in SUBFOLDERS if (root / name).is_dir()}
    found[""] = sum(
        entry.stat().st_size for entry in os.scandir(root) if entry.is_file(follow_symlinks=False)
    )
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:  # a working file that has gone meanwhile
                continue
    return total


def gpus() -> list[Gpu] | None:
    """The NVIDIA GPUs of this machine; None: no driver answers."""
    if shutil.which(GPU_QUERY[0]) is None:
        return None
    try:
        done = subprocess.run(GPU_QUERY, capture_output=True, text=True, timeout=GPU_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return gpus_of(done.stdout)


def gpus_of(text: str) -> list[Gpu]:
    """gpus_of("NVIDIA H200, 512, 143771, 3") == [Gpu("NVIDIA H200", 512, 143771, 3)]; what it does not say is 0."""
    found = []
    for line in text.strip().splitlines():
        name, *numbers = (part.strip() for part in line.rsplit(",", 3))
        used, total, load = (int(number) if number.isdigit() else 0 for number in numbers)
        found.append(Gpu(name, used, total, load))
    return found


def versions() -> dict[str, str]:
    """Of Genba, Python, the system and PACKAGES; "" where a package is not installed."""
    found = {"genba": "", **dict.fromkeys(PACKAGES, "")}
    for name in found:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "python": sys.version.split()[0], "system": platform.platform(terse=True)}
