"""`genba doctor SITE`: what a killed process, a moved folder or a full disk left behind; mends what is safe to mend.

Each check is a generator of findings. A finding that is mended has harmed nobody; the others name the next command.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from annotate import unusable
from annotate.projects import studio_address, task_address
from data.errors import GenbaError
from data.jobs import STALE_AFTER
from data.site import SUBFOLDERS, Site
from data.store import now
from training import examples, runs
from training.model_files import check_files
from training.retrain import is_running
from training.runs import give_up, killed

ENOUGH_DISK = 2 * 1024**3
TEMPORARY_AFTER_SECONDS = 600  # a younger temporary file may belong to a process that runs now
REPEATED_FAILURES = 5
NAMED = 10  # of a list; the page Operations has more


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong. mended: nothing more to do. next: the command for what could not be mended."""

    what: str
    mended: bool
    next: str = ""


def examine(site: Site) -> list[Finding]:
    """Run all checks."""
    return [finding for check in CHECKS for finding in check(site)]


def photo_roots(site: Site) -> Iterator[Finding]:
    """Every photo root is there, and photos are found in it."""
    with site.connect() as db:
        sample = db.rows("SELECT root, uri FROM images ORDER BY image_id LIMIT 5000")
    for number, root in enumerate(site.settings.photos.roots):
        if not Path(root).is_dir():
            yield Finding(
                f"The photo folder {root} is gone.",
                False,
                f"genba relink {site.root} NEW-FOLDER --old {root}",
            )
            continue
        mine = [row["uri"] for row in sample if row["root"] == number]
        gone = [uri for uri in mine if not site.photo_path(number, uri).exists()]
        if gone:
            yield Finding(
                f"{len(gone)} of {len(mine)} photos looked for in {root} are gone, e.g. {gone[0]}.",
                False,
                f"genba relink {site.root} NEW-FOLDER --old {root}",
            )


def folders(site: Site) -> Iterator[Finding]:
    """The site's own folders exist."""
    for name in SUBFOLDERS:
        if not (site.root / name).is_dir():
            site.folder(name)
            yield Finding(f"The folder {name}/ was missing and is made again.", True)


def leftovers(site: Site) -> Iterator[Finding]:
    """Temporary files of writers that were killed."""
    limit = time.time() - TEMPORARY_AFTER_SECONDS
    for name in ("vectors", "snapshots", "models", "served", "templates"):
        for path in (site.root / name).rglob("*"):
            is_temporary = path.name.endswith(".tmp") or (name == "served" and path.name.startswith("."))
            if is_temporary and path.is_file() and path.stat().st_mtime < limit:
                path.unlink()
                yield Finding(f"Removed the half-written file {path.relative_to(site.root)}.", True)


def model_files(site: Site) -> Iterator[Finding]:
    """A model folder without meta.json was never finished: no table names it. The others' files are as written."""
    with site.connect() as db:
        known = {row["model_id"]: row["state"] for row in db.rows("SELECT model_id, state FROM models")}
        active = db.value("SELECT count(*) FROM jobs WHERE name = 'retrain' AND state = 'running'")
    active = active or is_running(site)  # also one that a person started on the command line
    for path in (site.root / "models").iterdir():
        if path.is_dir() and path.name not in known and not active:
            shutil.rmtree(path)
            yield Finding(f"Removed the unfinished model {path.name}.", True)
    for model_id, state in known.items():
        try:
            check_files(site, model_id)
        except GenbaError as error:
            mend = f"genba models {site.root} rollback" if state == "champion" else error.next or ""
            yield Finding(error.what, False, mend)


def jobs(site: Site) -> Iterator[Finding]:
    """Jobs whose worker is gone start again; runs that nobody works on any more are marked as interrupted."""
    with site.connect() as db:
        stale = db.rows(
            "SELECT job_id, name FROM jobs WHERE state = 'running' AND heartbeat_at < ?",
            [now() - STALE_AFTER],
        )
        for row in stale:
            db.execute("UPDATE jobs SET state = 'queued', pid = NULL WHERE job_id = ?", [row["job_id"]])
            yield Finding(f"The job '{row['name']}' had lost its worker and is queued again.", True)
        is_busy = db.value("SELECT count(*) FROM jobs WHERE state = 'running'")
        waiting = {row["name"] for row in db.rows("SELECT name FROM jobs WHERE state = 'queued'")}
    if is_busy or is_running(site):
        return
    for row in killed(site):
        if give_up(site, row):
            yield Finding(f"The run {row['run_id']} had been interrupted and is marked so.", True)
        elif row["kind"] not in waiting:  # the job that waits goes on with it
            yield Finding(
                f"The {row['kind']} {row['run_id']} was interrupted. What it has finished is kept for a day.",
                False,
                f"genba {row['kind']} {site.root}, with the same settings: it goes on",
            )


def lineage(site: Site) -> Iterator[Finding]:
    """Every correction's new pairs and every pair's photo are in the store."""
    with site.connect() as db:
        pairs = {row["pair_id"] for row in db.rows("SELECT pair_id FROM pairs")}
        orphans = db.value("SELECT count(*) FROM pairs WHERE image_id NOT IN (SELECT image_id FROM images)")
        corrections = db.rows("SELECT correction_id, new_pair_ids, old_pair_id FROM corrections")
    for row in corrections:
        lost = [pair for pair in [row["old_pair_id"], *row["new_pair_ids"]] if pair not in pairs]
        if lost:
            yield Finding(
                f"Correction {row['correction_id']} names the unknown pair {lost[0]}.",
                False,
                "restore a backup",
            )
    if orphans:
        yield Finding(f"{orphans} pairs have no photo in the store.", False, "restore a backup")


def outbox(site: Site) -> Iterator[Finding]:
    """Corrections that Label Studio keeps refusing."""
    with site.connect() as db:
        row = db.one(
            "SELECT count(*) AS n, any_value(last_error) AS error FROM outbox WHERE done_at IS NULL AND attempts >= ?",
            [REPEATED_FAILURES],
        )
    if row and row["n"]:
        yield Finding(
            f"{row['n']} saved corrections have not reached Label Studio in {REPEATED_FAILURES} tries: {row['error']}.",
            False,
            f"genba sync {site.root}",
        )


def not_counting(site: Site) -> Iterator[Finding]:
    """Annotations made in Label Studio that no answer can be made of: whoever made one thinks the work is done."""
    with site.connect() as db:
        found = unusable.standing(db)
    if not found:
        return
    named = "; ".join(
        f"{one.photo or one.pair_id} (task {one.task}, {one.person}): {one.why['en']}"
        for one in found[:NAMED]
    )
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    where = task_address(site, found[0].project, found[0].task) or studio_address(site)
    yield Finding(
        f"{len(found)} annotations made in Label Studio do not count as answers: {named}{more}.",
        False,
        f"open them there, choose a verdict and every required item, or delete them: {where}",
    )


def run_files(site: Site) -> Iterator[Finding]:
    """What finished runs keep beside their figures in the store can be read: pages show examples from it."""
    with site.connect() as db:
        done = [
            row["run_id"]
            for row in db.rows("SELECT run_id FROM runs WHERE state = 'done' ORDER BY created_at")
        ]
    for run_id in done:
        path = runs.folder(site, run_id)
        if not path.is_dir():
            continue  # a site that was made without them
        try:
            runs.results_file(site, run_id)
        except GenbaError as error:
            yield Finding(error.what, False, error.next or "")
        for file in (path / "config.json", path / examples.FOLDER / examples.INDEX):
            if file.parent.is_dir():
                try:
                    json.loads(file.read_text(encoding="utf-8"))
                except (OSError, ValueError) as error:
                    what = f"{file.relative_to(site.root)} of a retraining cannot be read: {error}."
                    yield Finding(
                        what, False, "restore a backup; the run's figures stand in the store all the same"
                    )


def vectors(site: Site) -> Iterator[Finding]:
    """Every shard that a manifest names is there."""
    for manifest in (site.root / "vectors").glob("*/manifest.json"):
        try:
            json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            manifest.unlink()  # `genba score` builds it again from the shards
            yield Finding(f"Removed the unreadable {manifest.relative_to(site.root)}: {error}.", True)


def champion(site: Site) -> Iterator[Finding]:
    """The encoder in use exists, and the queue is ranked by it."""
    encoder, ranked_by = site.encoder_id(), site.queue_encoder()
    if (
        encoder.startswith("local-dir:models/")
        and not (site.root / encoder.removeprefix("local-dir:")).is_dir()
    ):
        yield Finding(f"The promoted model {encoder} is gone.", False, f"genba models {site.root} rollback")
    elif encoder != ranked_by:
        with site.connect() as db:
            waiting = db.value(
                "SELECT count(*) FROM jobs WHERE name = 'score' AND state IN ('queued', 'running')"
            )
            scored = db.value("SELECT count(*) FROM scores")
        if scored and not waiting:
            yield Finding(
                f"The queue is still ranked by {ranked_by}, not by {encoder}.",
                False,
                f"genba score {site.root}",
            )


def disk(site: Site) -> Iterator[Finding]:
    """Room to work in."""
    free = shutil.disk_usage(site.root).free
    if free < ENOUGH_DISK:
        yield Finding(f"Only {free / 1024**3:.1f} GiB of disk are free.", False, "make room on the disk")


CHECKS: list[Callable[[Site], Iterator[Finding]]] = [
    folders, photo_roots, leftovers, model_files, run_files, jobs, lineage, outbox, not_counting, vectors, champion,
    disk,
]  # fmt: skip
