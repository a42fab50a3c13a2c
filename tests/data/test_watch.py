"""A watched folder: what is still being written waits, what is ready is read in once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from data import watch
from data.site import Site, init_site
from data.watch import ingest_ready, is_unfinished, look
from tests.data.makers import photo


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "incoming"
    for number in range(3):
        photo(folder / f"{number}.jpg", seed=number)
        (folder / f"{number}.txt").write_text(f"a bolt number {number}", encoding="utf-8")
    return folder


@pytest.fixture
def site(tmp_path: Path, incoming: Path, tiny_encoder: Path) -> Site:
    return init_site(tmp_path / "site", [tmp_path / "photos"], "parts", f"local-dir:{tiny_encoder}")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch):
    """Lets time pass for the module: files' own times of change cannot be set back."""
    passed = [0.0]

    class Clock:
        @staticmethod
        def time() -> float:
            return time.time() + passed[0]

    monkeypatch.setattr(watch, "time", Clock)
    return lambda seconds: passed.__setitem__(0, passed[0] + seconds)


def captions(site: Site) -> set[str]:
    with site.connect() as db:
        return {row["caption"] for row in db.rows("SELECT caption FROM pairs WHERE state = 'captioned'")}


def test_a_file_that_changed_lately_waits_and_an_old_date_does_not_hide_it(incoming: Path, later) -> None:
    os.utime(incoming / "0.jpg", (1, 1))  # a copy that keeps the original's date
    assert look(incoming).ready == 0 and look(incoming).unfinished == 6 and look(incoming).fingerprint == ""
    later(61)
    assert look(incoming).ready == 6 and not is_unfinished(incoming / "0.jpg")


def test_what_is_ready_is_read_in_and_the_rest_the_next_time(site: Site, incoming: Path, later) -> None:
    later(61)
    before = look(incoming).fingerprint
    with (incoming / "1.txt").open("a", encoding="utf-8") as file:
        file.write(" with a scratch")
    now = time.time()
    os.utime(incoming / "1.txt", (now + 61, now + 61))  # somebody writes it now: its photo waits too
    found = ingest_ready(site, incoming)
    assert (found.rows, found.added, found.left, found.rejected) == (2, 2, 1, {})
    assert captions(site) == {"a bolt number 0", "a bolt number 2"}
    os.utime(incoming / "1.txt", (now, now))
    assert look(incoming).fingerprint != before
    found = ingest_ready(site, incoming)
    assert (found.rows, found.added, found.known, found.left) == (3, 1, 2, 0)
    assert "a bolt number 1 with a scratch" in captions(site)
    assert ingest_ready(site, incoming).added == 0  # idempotent


def test_a_table_that_is_being_written_waits_whole(site: Site, incoming: Path, later) -> None:
    for path in incoming.glob("*.txt"):
        path.unlink()
    table = incoming / "captions.csv"
    table.write_text("image,caption\n0.jpg,a bolt\n", encoding="utf-8")
    later(61)
    now = time.time() + 61
    os.utime(table, (now, now))
    assert ingest_ready(site, incoming).left == 1 and captions(site) == set()
    later(61)
    assert ingest_ready(site, incoming).added == 1
    assert ingest_ready(site, table).added == 0


def test_the_fingerprint_tells_new_changed_and_taken_away(incoming: Path, later) -> None:
    later(61)
    seen = [look(incoming).fingerprint]
    (incoming / "0.txt").write_text("another", encoding="utf-8")
    later(61)
    seen.append(look(incoming).fingerprint)
    (incoming / "0.txt").unlink()
    seen.append(look(incoming).fingerprint)
    photo(incoming / "9.jpg", seed=9)
    os.utime(incoming / "9.jpg", (time.time() + 122, time.time() + 122))
    seen.append(look(incoming).fingerprint)  # not ready yet: as before
    assert len(set(seen)) == 3 and seen[2] == seen[3]
    later(61)
    assert look(incoming).fingerprint not in seen
