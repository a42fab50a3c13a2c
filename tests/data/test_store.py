"""The store: an older site is brought up to date with what it holds; maps of numbers keep their nulls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import GenbaError
from data.migrations import MIGRATIONS
from data.store import connect, now


def older_site(path: Path) -> None:
    """A store of schema 1, with one score, as the first release wrote it."""
    import duckdb

    db = duckdb.connect(str(path))
    db.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
    db.execute(MIGRATIONS[0])
    db.execute("INSERT INTO schema_version VALUES (1)")
    signals = json.dumps({"cosine": 0.25, "missing_slots": None})
    db.execute("INSERT INTO scores VALUES ('p', 'e', 'f', 0.25, ?, 0.7, '[]', ?)", [signals, now()])
    db.execute("INSERT INTO audits VALUES ('p', 'first', 'test', 0.1, ?)", [now()])
    db.close()


def test_a_site_of_the_first_schema_is_migrated_with_its_scores(tmp_path: Path) -> None:
    older_site(tmp_path / "genba.duckdb")
    with connect(tmp_path / "genba.duckdb") as db:
        score = db.one("SELECT signals, risk, priority FROM scores")
        audit = db.one("SELECT kind, assigned_to FROM audits")
        version = db.value("SELECT max(version) FROM schema_version")
    assert score == {"signals": {"cosine": 0.25, "missing_slots": None}, "risk": 0.7, "priority": 0.7}
    assert audit == {"kind": "drawn", "assigned_to": None}
    assert version == len(MIGRATIONS)


@pytest.mark.parametrize("rows", [1, 200])  # one by one, and through Arrow
def test_a_map_of_numbers_keeps_its_nulls_and_is_read_by_key(tmp_path: Path, rows: int) -> None:
    with connect(tmp_path / "genba.duckdb") as db:
        given = [{
            "pair_id": str(n), "encoder": "e", "fingerprint": "f", "cosine": None, "signals": {"a": n / 8, "b": None},
            "risk": 0.5, "reasons": [], "scored_at": now(), "priority": 0.5,
        } for n in range(rows)]  # fmt: skip
        db.insert("scores", given)
        found = db.rows("SELECT pair_id, signals, signals['a'] AS a, signals['b'] AS b FROM scores")
    assert len(found) == rows
    assert all(row["signals"] == {"a": int(row["pair_id"]) / 8, "b": None} for row in found)
    assert all(row["a"] == int(row["pair_id"]) / 8 and row["b"] is None for row in found)


def seen_by_another_process(path: Path) -> int:
    """The number of remembered values; fails where this process still holds the file."""
    code = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('SELECT count(*) FROM state').fetchone()[0])"
    return int(subprocess.check_output([sys.executable, "-c", code, str(path)], text=True))


def test_the_file_is_free_after_a_transaction_however_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "genba.duckdb"
    with connect(path) as db:
        db.set_state("kept", 1)
    assert seen_by_another_process(path) == 1
    with pytest.raises(KeyError), connect(path) as db:
        db.set_state("taken back", 2)
        for _ in db.batches("SELECT * FROM state", rows=1):
            raise KeyError
    assert seen_by_another_process(path) == 1
    with connect(path) as db:
        assert db.get_state("taken back") is None


def test_a_forked_process_has_an_engine_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "genba.duckdb"
    for one in (path, *(tmp_path / f"other-{number}.duckdb" for number in range(5))):
        with connect(one) as db:
            db.set_state("parent", 1)
    child = os.fork()
    if child == 0:
        for number in range(5):  # more than are kept
            with connect(tmp_path / f"other-{number}.duckdb") as db:
                db.set_state("child", 1)
        with connect(path) as db:
            db.set_state("child", 2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with connect(path) as db:
        assert db.get_state("child") == 2


@pytest.mark.parametrize("damage", ["head", "cut", "middle"])
def test_a_damaged_store_says_so_and_names_the_backup(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "genba.duckdb"
    with connect(path) as db:
        db.execute("CREATE TABLE many AS SELECT i, md5(i::VARCHAR) AS text FROM range(200000) t(i)")
    with path.open("r+b") as file:
        if damage == "cut":
            file.truncate(100)
        else:
            file.seek(0 if damage == "head" else 12288)
            file.write(b"\xff" * (5000 if damage == "head" else path.stat().st_size - 12288))
    with pytest.raises(GenbaError, match=r"is damaged: .*last backup"), connect(path) as db:
        db.value("SELECT count(DISTINCT text) FROM many")
