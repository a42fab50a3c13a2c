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
