"""The measuring command itself, on a site of 300 captions: the site it makes, and one page opened in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annotate import queue
from dashboards import figures, quality
from data.site import Site
from tests import load_pages
from tests.dashboards.conftest import fill, new_site
from tests.large_site import grown


@pytest.fixture
def like(tmp_path: Path) -> Site:
    site = new_site(tmp_path / "like" / "site")
    with site.connect() as db:
        fill(db)
    return site


def test_the_site_has_what_was_asked_for(like: Site, tmp_path: Path) -> None:
    with like.connect() as db:
        once = db.value("SELECT count(*) FROM effects")
    site = grown(like, tmp_path, pairs=300, corrections=100)
    with site.connect() as db:
        counted = db.rows("SELECT origin, count(*) AS n FROM pairs GROUP BY origin")
        given = db.value("SELECT count(*) FROM corrections")
        runs, effects = (db.value(f"SELECT count(*) FROM {table}") for table in ("runs", "effects"))
        apart = db.value("SELECT count(*) FROM corrections c LEFT JOIN pairs p ON p.pair_id = c.old_pair_id "
                         "WHERE p.pair_id IS NULL")  # fmt: skip
        made = "SELECT unnest(CAST(new_pair_ids AS VARCHAR[])) AS id FROM corrections"
        unknown = db.value(f"SELECT count(*) FROM ({made}) WHERE id NOT IN (SELECT pair_id FROM pairs)")
    assert {row["origin"]: row["n"] for row in counted}["legacy"] == 300 and given == 100
    assert runs == 6 and effects == 6 * once and apart == 0
    assert unknown == 0, "every corrected caption is there"
    with pytest.raises(ValueError, match="ask for more"):
        grown(like, tmp_path / "again", pairs=12, corrections=100)
    assert queue.count(site) > 100 and isinstance(figures.remaining(site), figures.Remaining)
    assert quality.error_over_time(site) and quality.by_slice(site)["site"]


@pytest.mark.long
def test_a_page_is_measured_in_a_real_browser(like: Site, tmp_path: Path) -> None:
    out = tmp_path / "pages.json"
    words = [
        "--like",
        str(like.root),
        "--pairs",
        "300",
        "--corrections",
        "100",
        "--pages",
        "guide",
        "overview",
    ]
    assert load_pages.main([*words, "--json", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["pairs"] == 300 and [page["page"] for page in told["pages"]] == ["guide", "overview"]
    assert told["corrections"] == 102, "one more for each page"
    assert all(0 < page[kind] < 60 for page in told["pages"] for kind in ("first", "cold", "warm", "changed"))
