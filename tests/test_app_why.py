"""Why is this here, in a real Chromium: the panel stands beside the form, the encoder comes when it is asked for, and
the heat map has a signed address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from annotate import audit
from data.demo.build import build_photos
from data.ingest import ingest
from data.messages import translator
from data.site import init_site
from scoring.score import score
from tests import test_app
from tests.annotate.sites import rows
from tests.conftest import free_port
from tests.test_app import WAIT_MS, Web, enter_name, go, serving, speak, visit

browser = test_app.browser  # the fixture


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Sixteen rendered photos, scored by the demo's encoder, all of the training split: none is drawn by chance."""
    folder = tmp_path_factory.mktemp("why")
    build_photos(folder / "source", scenes=16, seed=7, workers=1)
    site = init_site(
        folder / "site", [folder / "source" / "photos"], "parts", "demo", demo=True, web_port=free_port()
    )
    ingest(site, folder / "source" / "captions.csv")
    with site.connect() as db:
        db.execute("DELETE FROM pairs WHERE state = 'missing'")
    score(site)
    with serving(site, cwd=folder) as running:
        yield running


def tab(page: Page, words: str) -> None:
    page.get_by_role("tab", name=words).click()


def widths(page: Page, where: str) -> list[int]:
    """How wide each picture came over the wire: 0 for one that did not."""
    page.wait_for_function(f"[...document.querySelectorAll('{where} img')].every(image => image.complete)")
    return list(
        page.eval_on_selector_all(f"{where} img", "images => images.map(image => image.naturalWidth)")
    )


def at_rest(part: Locator) -> FloatRect | None:
    """Where it stands once it has not moved for half a second: what is above it is drawn."""
    seen: FloatRect | None = None
    while seen is None or seen != part.bounding_box():
        seen = part.bounding_box()
        part.page.wait_for_timeout(500)
    return seen


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_panel_beside_the_form(scored: Web, browser: Browser, language: str) -> None:
    _ = translator(language)
    complaints: list[str] = []
    with visit(browser, scored, complaints) as page:
        speak(page, language)
        go(page, "correct", language)
        enter_name(page, f"Watcher {language}")
        save = page.get_by_role("button", name=_("Save the correction"))
        expect(page.locator(".st-key-meter")).to_be_visible(
            timeout=WAIT_MS
        )  # it comes when the encoder is there
        before = at_rest(save)
        page.get_by_role("button", name=_("Why is this here?")).click()
        tab(page, _("Captions of photos like this one"))
        panel = page.locator(".st-key-why-panel")
        expect(panel.locator("img")).to_have_count(3, timeout=WAIT_MS)
        assert min(widths(page, ".st-key-why-panel")) > 0
        assert at_rest(save) == before, "the form has not moved"
        page.keyboard.press("Escape")
        page.get_by_role("button", name=_("Words and places")).click()
        panel = page.locator(".st-key-heat-panel")
        expect(panel.get_by_text(_("Where does a phrase fit?"))).to_be_visible(timeout=WAIT_MS)
        panel.locator("input").fill("真鍮" if language == "ja" else "brass")
        panel.locator("input").press("Enter")
        expect(page.get_by_text("3 × 3")).to_be_visible(timeout=WAIT_MS)
        photo = page.locator(".st-key-viewer .viewer > .stage img")
        expect(photo).to_have_attribute("src", re.compile("/photos/heat/"), timeout=WAIT_MS)
        page.wait_for_function("img => img.complete && img.naturalWidth > 0", arg=photo.element_handle())
        box = page.locator("[data-testid=stPopoverBody]").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 1280 and box["y"] + box["height"] <= 800
        address = str(photo.get_attribute("src"))
        panel.get_by_role("button", name=_("Show the plain photo")).click()
        expect(photo).not_to_have_attribute("src", re.compile("/photos/heat/"), timeout=WAIT_MS)
        path = address.removeprefix(scored.address)
        status, headers, body = scored.get(path)
        assert (status, headers["content-type"]) == (200, "image/jpeg") and body[:2] == b"\xff\xd8"
        assert scored.get(path.partition("?")[0])[0] == 403
        assert scored.get(re.sub(r"s=\w{8}", "s=00000000", path))[0] == 403
    assert [said for said in complaints if "_stcore" not in said and "404" not in said] == []


def test_a_pair_that_is_judged_blind_has_no_button(scored: Web, browser: Browser, tmp_path: Path) -> None:
    with scored.site.connect() as db:
        db.execute("UPDATE images SET split = 'test'")
    audit.draw(scored.site, 16, seed=1)
    taken = "SELECT pair_id FROM audits UNION SELECT pair_id FROM leases"
    assert rows(scored.site, f"SELECT 1 FROM pairs WHERE pair_id NOT IN ({taken})") == [], (
        "nothing else is left"
    )
    _ = translator("en")
    with visit(browser, scored) as page:
        speak(page, "en")
        go(page, "correct", "en")
        enter_name(page, "Auditor")
        expect(
            page.get_by_text(_("No reasons are shown for this one: judge it by the photo alone."))
        ).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_role("button", name=_("Why is this here?"))).to_have_count(0)
