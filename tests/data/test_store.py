"""The store: an older site is brought up to date with what it holds; maps of numbers keep their nulls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
