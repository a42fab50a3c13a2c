"""Markup in a caption, an author, a slice or a set's name is text on every managers' page, in a real browser; each
chart gives its numbers and its picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards import assumptions, personal_scan
from data.settings import set_value
from data.site import Site
from tests.annotate.conftest import free_port
from tests.dashboards.conftest import fill, new_site
from tests.dashboards.test_figures import draw
from tests.screenshots import AT_REST
from tests.test_app import WAIT_MS, Web, browser, serving, visit
from tests.training.gates import slice_gap

__all__ = ["browser"]  # a fixture
MARKUP = "<script>document.title = 'pwned'</script><img src=x onerror=\"document.title = 'pwned'\">"
FORMULA = f"=1+1 {MARKUP}"
PAGES = ("overview", "quality", "staff", "finder", "runs", "pilot", "roi", "privacy", "jobs", "operations")
WITH_MARKUP = ("quality", "staff", "runs", "roi", "privacy")  # pages that show what people wrote
SEEN = """(text) => [...document.querySelectorAll("[data-testid=stMain] *")].some(
  (one) => one.children.length === 0 && one.textContent.includes(text))"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A site whose captions, authors, lines, staff, and set of assumptions all have markup in their names."""
    folder = tmp_path_factory.mktemp("markup")
    site = new_site(folder / "site")
    set_value(site.settings_path, "web", "port", free_port())
    set_value(site.settings_path, "review", "show_names", True)
    site = Site.open(site.root)
    with site.connect() as db:
        fill(db)
    draw(site, {"fix": 30, "ok": 34})
    with site.connect() as db:
        named = "concat(?, ' ', CAST(hash(pair_id) % 2 AS VARCHAR))"
        db.execute(
            f"UPDATE pairs SET extra = to_json({{line: {named}, author: {named}}})", [FORMULA, FORMULA]
        )
        db.execute(
            "UPDATE pairs SET caption = concat('田中さん ', caption, ?) WHERE origin = 'legacy'", [MARKUP]
        )
        db.execute("UPDATE corrections SET annotator = ? WHERE NOT simulated", [FORMULA])
        for part in ("A", FORMULA):
            db.insert("slice_gaps", [slice_gap("run-1", slice="author", part=part)])
    assumptions.save(site, FORMULA[:70], assumptions.in_use(site).ranges, [], FORMULA)
    personal_scan.scan(site)
    with serving(Site.open(site.root), cwd=folder) as running:
        yield running


def test_markup_is_text_on_every_page_and_every_chart_can_be_taken_along(
    web: Web, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, web) as page:
        for name in PAGES:
            page.goto(f"{web.address}/{name}")
            expect(page.locator("[data-testid=stMain] h1").first).to_be_visible(timeout=WAIT_MS)
            page.wait_for_function(AT_REST, timeout=WAIT_MS)
            if name == "runs":
                page.locator(".st-key-part-run-1").get_by_text("区分ごとの差", exact=True).click()
                expect(page.get_by_text("すべての区分", exact=True)).to_be_visible(timeout=WAIT_MS)
            unfold(page)
            page.wait_for_timeout(700)
            assert name not in WITH_MARKUP or page.evaluate(SEEN, MARKUP[:20]), f"{name} shows it as text"
            if name == "runs":
                hovered(page)
            taken_along(page, name, tmp_path)
            assert page.locator("img[src=x]").count() == 0, f"{name} makes an element of it"
            assert "pwned" not in page.title(), name


def unfold(page: Page) -> None:
    """Open everything that is folded: its content is made then."""
    closed = page.locator("[data-testid=stMain] [data-testid=stExpander] details:not([open]) > summary")
    for _ in range(closed.count()):
        closed.first.click()
        page.wait_for_timeout(150)
    page.wait_for_function(AT_REST, timeout=WAIT_MS)


def hovered(page: Page) -> None:
    """The mouse over a mark: the box with its numbers is HTML of the chart's own; the part's name is text in it."""
    chart = page.locator("[data-testid=stVegaLiteChart]").last
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    told = page.locator("#vg-tooltip-element.visible")
    for down in range(int(box["height"])):  # a mark is as thick as three points
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + down)
        if told.count() and MARKUP[:20] in told.inner_text():
            return
    pytest.fail("no mark of the part shows its numbers")


def taken_along(page: Page, name: str, folder: Path) -> None:
    """As many CSV files as charts that are no part of a larger figure, nothing in them runs; each chart has its PNG."""
    charts = page.locator("[data-testid=stVegaLiteChart]:visible")
    assert page.get_by_role("button", name=re.compile("^PNG でダウンロード")).count() == charts.count(), name
    buttons = page.locator("[data-testid=stDownloadButton] button:visible").filter(has_text="CSV")
    assert buttons.count() or not charts.count(), name
    for place in range(buttons.count()):
        with page.expect_download() as waiting:
            buttons.nth(place).click()
        waiting.value.save_as(folder / "taken.csv")
        text = (folder / "taken.csv").read_text(encoding="utf-8-sig")
        assert len(text.splitlines()) > 1, f"{name}: {waiting.value.suggested_filename} is empty"
        assert not [line for line in text.splitlines() if line.lstrip('"').startswith("=")], name
