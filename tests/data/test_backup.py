"""A backup while people work, and a site that comes back out of it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from data.backup import backup, last_backup
from data.errors import GenbaError
from data.site import Site, init_site
from tests.conftest import CHECKOUT

WRITER = """
import sys
from data.site import Site
site = Site.open(sys.argv[1])
print("ready", flush=True)
for number in range(100000):
    with site.connect() as db:
        db.event("writer", "wrote", {"number": number})
        db.set_state("last", number)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    made = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo", demo=True)
    with closing(sqlite3.connect(made.folder("label-studio") / "label_studio.sqlite3")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE task (id INTEGER)")
        database.execute("INSERT INTO task VALUES (7)")
        database.commit()
    work = made.folder("runs") / "r1" / "work"
    work.mkdir(parents=True)
    (work / "photos.npy").write_bytes(b"0" * 1000)
    (made.folder("runs") / "r1" / "config.json").write_text("{}")
    return made


def test_a_site_comes_back_as_it_was_while_another_process_writes(site: Site, tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(site.root)], cwd=CHECKOUT, stdout=subprocess.PIPE
    )
    (tmp_path / "kept").mkdir()
    try:
        assert writer.stdout and writer.stdout.readline() == b"ready\n"
        made = backup(site, tmp_path / "kept" / "site.tar.gz", "佐藤")
    finally:
        writer.kill()
        writer.wait()
    assert made.bytes == made.path.stat().st_size > 0
    with tarfile.open(made.path) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "back", filter="data")
    assert "site/runs/r1/config.json" in names
    assert not [name for name in names if name.endswith(".lock") or "/work/" in name]
    again = Site.open(tmp_path / "back" / "site")
    with again.connect() as db:
        written = [
            row["detail"]["number"] for row in db.rows("SELECT detail FROM events WHERE what = 'wrote'")
        ]
        assert sorted(written) == list(range(len(written)))  # whole transactions, without a gap
        assert db.get_state("last") == (max(written) if written else None)
    with closing(sqlite3.connect(again.folder("label-studio") / "label_studio.sqlite3")) as database:
        assert database.execute("SELECT id FROM task").fetchall() == [(7,)]
    assert last_backup(site) is not None and last_backup(again) is None


def test_nothing_is_written_over_nor_into_the_site_nor_half(site: Site, tmp_path: Path) -> None:
    there = tmp_path / "there.tar.gz"
    there.write_bytes(b"mine")
    with pytest.raises(GenbaError, match="is there already"):
        backup(site, there)
    with pytest.raises(GenbaError, match="lies inside the site"):
        backup(site, site.root / "logs" / "x.tar.gz")
    with pytest.raises(GenbaError, match="There is no folder"):
        backup(site, there / "below-a-file.tar.gz")

    def stop(done: int, total: int | None = None, message: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(site, tmp_path / "cut.tar.gz", progress=stop)
    assert there.read_bytes() == b"mine" and not list(tmp_path.glob("cut*"))
    assert last_backup(site) is None


def test_a_full_disk_is_told_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom data.backup import backup\nfrom data.site import Site\n"
        "site = Site.open(sys.argv[1])\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "(site.root / 'models' / 'weights').write_bytes(__import__('os').urandom(4_000_000))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "backup(site, Path(sys.argv[2]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site.root), str(tmp_path / "full.tar.gz")], cwd=CHECKOUT,
        capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert done.returncode != 0 and "cannot be written: File too large" in done.stderr
    assert not list(tmp_path.glob("full*"))
