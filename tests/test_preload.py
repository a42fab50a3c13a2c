"""What the web process does before it answers: nothing that the first page would wait for is left, and no more."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dashboards.pages import all_pages
from data.site import Site, init_site
from tests.conftest import CHECKOUT

SCRIPT = """
import sys, app
from dashboards.pages import all_pages
from data.messages import catalogue
from data.site import Site
all_pages.preload()
all_pages.open_store(Site.open(sys.argv[1]))
before = set(sys.modules)
pages = all_pages.modules()
assert sorted(set(sys.modules) - before) == [], "a page imports more"
assert catalogue.cache_info().currsize == 2, "both languages are read"
print(len(pages), *({"altair", "duckdb", "streamlit.emojis", "torch", "scipy", "sklearn"} & before))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    return init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo")


def test_pages_are_imported_and_no_heavy_library_is(site: Site) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(site.root)], cwd=CHECKOUT, capture_output=True, text=True,
                          timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, *found = done.stdout.split()
    assert int(count) == 19 and sorted(found) == ["altair", "duckdb", "streamlit.emojis"]


def test_a_damaged_store_does_not_keep_the_pages_from_saying_so(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (site.root / "genba.duckdb").write_bytes(b"no database" * 1000)
    all_pages.open_store(site)
    assert "is damaged" in caplog.text


def test_a_store_that_another_program_holds_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers, and its pages say what they wait for."""
    import asyncio

    import app

    begun, free = threading.Event(), threading.Event()

    def held(_: Site) -> None:
        begun.set()
        assert free.wait(60)

    async def answers() -> bool:
        async with app._made_ready(site, None):  # type: ignore[arg-type]
            return begun.wait(10) and not free.is_set()

    monkeypatch.setattr(all_pages, "open_store", held)
    assert asyncio.run(answers())
    free.set()
