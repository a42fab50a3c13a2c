"""The page Operations: what it says is what the machine and the store say."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
import streamlit as st
from filelock import FileLock

from dashboards import operations
from dashboards.operations import Gpu, gpus_of
from dashboards.pages.operations import size
from data import dense_labels, ingest
from data.jobs import enqueue
from data.site import Site
from data.store import now
from data.supervisor import is_held
from tests.conftest import CHECKOUT
from tests.dashboards.test_pages import LANGUAGES, NASTY, show, texts


def test_sizes_are_those_of_the_files(site: Site) -> None:
    (site.folder("models") / "m" / "deep").mkdir(parents=True)
    (site.root / "models" / "m" / "deep" / "weights").write_bytes(b"0" * 1234)
    found = operations.sizes(site.root)
    assert found["models"] == 1234 and found["runs"] == 0
    assert found[""] >= (site.root / "genba.toml").stat().st_size
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert (size(999, "en"), size(12_345_678, "ja"), size(3.2e12, "en")) == ("999 B", "12.3 MB", "3.2 TB")


def test_a_lock_counts_while_its_process_lives(site: Site) -> None:
    path = site.root / "worker.lock"
    assert not is_held(path)
    code = (
        "import sys, filelock\nlock = filelock.FileLock(sys.argv[1])\nlock.acquire()\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=CHECKOUT, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    assert is_held(path)
    holder.kill()
    holder.wait()
    assert not is_held(path)
    with FileLock(str(path), timeout=1):  # and the look has left it free
        pass


def test_what_nvidia_smi_says() -> None:
    said = "NVIDIA H200, 512, 143771, 3\nNVIDIA A2, SXM, 10, 16, [N/A]\n"
    assert gpus_of(said) == [Gpu("NVIDIA H200", 512, 143771, 3), Gpu("NVIDIA A2, SXM", 10, 16, 0)]


def test_versions_are_the_installed_ones() -> None:
    found = operations.versions()
    assert found["duckdb"] == version("duckdb") and found["python"] == sys.version.split()[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page(worked: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with worked.connect() as db:
        job = enqueue(db, "score")
        db.execute(
            "UPDATE jobs SET state = 'failed', error = ?, finished_at = ? WHERE job_id = ?",
            [NASTY, now(), job],
        )
    st.cache_data.clear()
    at = show("operations", worked, language, monkeypatch)
    shown = texts(at)
    assert NASTY in [element.value for element in at.text]
    assert {"ja": "ワーカーが動いていません", "en": "No worker runs"}[language] in shown
    assert {"ja": "バックアップはまだありません", "en": "No backup yet"}[language] in shown
    assert f"genba backup {worked.root}" in shown
    assert version("streamlit") in str(at.dataframe[1].value)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_not_taken_in_stands_on_the_page_with_its_reason(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"ja": "読み込んだものはすべて取り込みました", "en": "Everything that was read was taken in"}[
        language
    ]
    assert nothing in texts(show("operations", worked, language, monkeypatch))
    reasons = sorted({**ingest.REASONS, **dense_labels.REASONS})
    rows = [{"source": "/x/table.csv", "item": f"row {number} {NASTY}", "reason": reason, "detail": "=1+1",
             "rejected_at": now()} for number, reason in enumerate(reasons)]  # fmt: skip
    with worked.connect() as db:
        db.insert("rejects", rows)
    at = show("operations", worked, language, monkeypatch)
    table = at.dataframe[-1].value
    assert nothing not in texts(at) and len(table) == len(reasons)
    assert not set(table.iloc[:, 0]) & set(reasons)  # every reason has its words
    assert set(table.iloc[:, 1]) == {str(row["item"]) for row in rows}
