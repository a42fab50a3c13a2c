"""The doctor finds what a killed process, a moved folder or a lost file leaves behind, and mends what is safe."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data.jobs import STALE_AFTER, enqueue
from data.site import Site
from data.store import now
from tests.data import makers
from training.doctor import Finding, examine
from training.retrain import lock

LONG_AGO = 3600


@pytest.fixture
def site(tmp_path: Path) -> Site:
    makers.photo(tmp_path / "photos" / "a.jpg")
    return makers.site(tmp_path / "site", [tmp_path / "photos"])


def old_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    os.utime(path, (time.time() - LONG_AGO, time.time() - LONG_AGO))
    return path


def add_image(site: Site, uri: str) -> None:
    with site.connect() as db:
        db.insert("images", [{
            "image_id": "a" * 64, "uri": uri, "root": 0, "width": 4, "height": 3, "group_id": "g", "split": "train",
            "added_at": now(),
        }])  # fmt: skip


def add_correction(site: Site, **given: Any) -> None:
    row = {"correction_id": "c1", "old_pair_id": "p1", "new_pair_ids": ["p2"], "verdict": "fix", "slots": {},
           "reason": "", "annotator": "佐藤", "simulated": False, "active_seconds": 3.0, "source": "app",
           "state": "active", "created_at": now(), **given}  # fmt: skip
    with site.connect() as db:
        db.insert("corrections", [row])


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_healthy_site_has_no_findings(site: Site) -> None:
    assert examine(site) == []


def test_a_missing_folder_is_made_again(site: Site) -> None:
    (site.root / "served").rmdir()
    assert only(examine(site)).mended
    assert (site.root / "served").is_dir() and examine(site) == []


def test_a_moved_photo_folder_names_relink(site: Site, tmp_path: Path) -> None:
    add_image(site, "a.jpg")
    assert examine(site) == []
    (tmp_path / "photos").rename(tmp_path / "moved")
    found = only(examine(site))
    assert not found.mended and "genba relink" in found.next


def test_a_lost_photo_is_named(site: Site) -> None:
    add_image(site, "lost.jpg")
    found = only(examine(site))
    assert "lost.jpg" in found.what and not found.mended


def test_half_written_files_go_and_young_ones_stay(site: Site) -> None:
    gone = old_file(site.root / "vectors" / "x" / "images-0.parquet.tmp")
    hidden = old_file(site.root / "served" / "ab" / ".photo.jpg.123.4")
    young = site.root / "vectors" / "x" / "images-1.parquet.tmp"
    young.write_bytes(b"being written")
    assert [one.mended for one in examine(site)] == [True, True]
    assert not gone.exists() and not hidden.exists() and young.exists()


def test_an_unfinished_model_goes_but_not_while_a_retraining_runs(site: Site) -> None:
    folder = site.folder("models") / "half"
    folder.mkdir()
    with site.connect() as db:
        enqueue(db, "retrain")
        db.execute("UPDATE jobs SET state = 'running', heartbeat_at = ?", [now()])
    assert examine(site) == [] and folder.exists()
    with site.connect() as db:
        db.execute("UPDATE jobs SET state = 'done'")
    assert only(examine(site)).mended and not folder.exists()


def test_a_job_without_its_worker_is_queued_again_and_its_run_marked(site: Site) -> None:
    with site.connect() as db:
        enqueue(db, "retrain")
        db.execute(
            "UPDATE jobs SET state = 'running', heartbeat_at = ?",
            [now() - STALE_AFTER - timedelta(seconds=1)],
        )
        db.insert("runs", [{"run_id": name, "kind": "retrain", "state": "running", "base_encoder": "demo",
                            "config": {}, "created_at": now() - timedelta(hours=hours)}
                           for name, hours in (("old", 30), ("young", 1))])  # fmt: skip
    assert [one.mended for one in examine(site)] == [True, True]
    with site.connect() as db:
        assert db.value("SELECT state FROM jobs") == "queued"
        states = {row["run_id"]: (row["state"], row["error"]) for row in db.rows("SELECT * FROM runs")}
        db.execute("DELETE FROM jobs")  # as after a kill at the command line: nothing goes on by itself
    assert states == {"old": ("failed", "interrupted"), "young": ("running", None)}
    told = only(examine(site))
    assert "kept" in told.what and not told.mended and "genba retrain" in told.next


def test_a_correction_without_its_pairs_is_not_mended_silently(site: Site) -> None:
    add_correction(site)
    found = only(examine(site))
    assert "c1" in found.what and not found.mended and found.next


def test_a_correction_that_label_studio_keeps_refusing_is_told(site: Site) -> None:
    with site.connect() as db:
        db.insert("outbox", [{"correction_id": "c9", "action": "create", "attempts": 6,
                              "last_error": "400 no such task", "queued_at": now()}])  # fmt: skip
    found = only(examine(site))
    assert "400 no such task" in found.what and "genba sync" in found.next


def test_a_lost_champion_names_the_way_back(site: Site) -> None:
    with site.connect() as db:
        db.insert("models", [{"model_id": "m1", "run_id": "r", "arm": "corrected", "state": "champion",
                              "encoder": "local-dir:models/m1", "base_encoder": "demo", "meta": {},
                              "created_at": now()}])  # fmt: skip
    found = examine(site)
    assert found and all(not one.mended and "rollback" in one.next for one in found)


def test_a_retraining_on_the_command_line_is_left_alone(site: Site) -> None:
    with site.connect() as db:
        db.insert("runs", [{"run_id": "r1", "kind": "retrain", "state": "running", "base_encoder": "demo",
                            "config": {}, "created_at": now()}])  # fmt: skip
    old_file(site.root / "models" / "r1-corrected" / "open_clip_config.json")
    old_file(site.root / "runs" / "r1" / "work" / "original-0.pt")
    with lock(site):
        assert examine(site) == []
    assert len(examine(site)) == 2
    assert not (site.root / "models" / "r1-corrected").exists()
    assert (site.root / "runs" / "r1" / "work").exists()  # the same retraining goes on with it


def test_files_of_a_retraining_that_cannot_be_read_are_named(site: Site) -> None:
    run = {
        "run_id": "r1",
        "kind": "retrain",
        "state": "done",
        "snapshot_id": "s",
        "base_encoder": "demo",
        "config": {},
    }
    with site.connect() as db:
        db.insert("runs", [{**run, "created_at": now(), "finished_at": now()}])
    assert examine(site) == [], "a site that came without the files of its runs"
    path = site.folder("runs") / "r1"
    (path / "examples").mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "results.parquet").write_bytes(b"PAR1 and then nothing")
    (path / "examples" / "index.json").write_text('{"tasks": {')
    found = examine(site)
    assert [one.mended for one in found] == [False, False]
    assert "results of the run r1 are gone or damaged" in found[0].what and "backup" in found[0].next
    assert "runs/r1/examples/index.json of a retraining cannot be read" in found[1].what
