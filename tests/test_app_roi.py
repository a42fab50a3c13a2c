"""The page ROI in a real browser, in both languages: assumptions given, saved, in use; nothing that is typed runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards import assumptions
from data.messages import translator
from tests.dashboards.test_roi_site import finished_run
from tests.test_app import WAIT_MS, Web, browser, new_site, serving, speak, title, visit

__all__ = ["browser"]  # a fixture
NASTY = "<script>document.title = 'pwned'</script> **慎重**"
AUTHOR = "<img src=x onerror=alert(1)> 佐藤"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A site with a retraining whose gain in search is proven, and nothing priced yet."""
    folder = tmp_path_factory.mktemp("web")
    site = new_site(folder)
    finished_run(site)
    with serving(site, cwd=folder) as running:
        yield running


def fill(page: Page, key: str, value: str) -> None:
    page.locator(f".st-key-{key} input").first.fill(value)


@pytest.mark.parametrize("language", ["ja", pytest.param("en", marks=pytest.mark.long)])
def test_assumptions_are_given_saved_and_used(web: Web, browser: Browser, language: str) -> None:
    _ = translator(language)
    with web.site.connect() as db:
        db.execute("DELETE FROM assumptions")
    complaints: list[str] = []
    with visit(browser, web, complaints) as page:
        speak(page, language)
        page.locator("[data-testid=stSidebar] .st-key-name-field input").fill(AUTHOR)
        page.locator("[data-testid=stSidebar] .st-key-name-field input").press("Enter")
        page.locator("[data-testid=stSidebar] a").filter(has_text=_("ROI")).click()
        expect(title(page)).to_have_text(_("ROI"), timeout=WAIT_MS)
        main = page.locator("[data-testid=stMain]")
        priced = _("how many searches a month there are and what one saves: give both among the assumptions")
        expect(main).to_contain_text(
            _("Not yet measurable: needs {what}.").format(what=priced), timeout=WAIT_MS
        )
        expect(main).to_contain_text(_("default until confirmed"))
        expect(main).to_contain_text(_("Compare with the paper"))

        page.locator(".st-key-roi-edit button").click()
        dialog = page.locator("[data-testid=stDialog]")
        expect(dialog.locator(".st-key-roi-horizon-confirmed")).to_be_visible(timeout=WAIT_MS)
        fill(page, "roi-name", NASTY)
        fill(page, "roi-searches-value", "1000")
        save = dialog.get_by_role("button", name=_("Save in the name of {name}").format(name=AUTHOR))
        fill(page, "roi-searches-high", "500")
        save.click()
        expect(dialog).to_contain_text({"ja": "範囲", "en": "is not allowed"}[language], timeout=WAIT_MS)
        expect(dialog.get_by_role("spinbutton", name=_("Searches")).first).to_be_visible()
        assert assumptions.sets(web.site) == []
        fill(page, "roi-searches-high", "2000")
        dialog.locator(".st-key-roi-searches-confirmed label").first.click()
        save.click()
        expect(dialog).to_have_count(0, timeout=WAIT_MS)

        (saved,) = assumptions.sets(web.site)
        assert (saved.name, saved.author) == (" ".join(NASTY.split()), AUTHOR)
        assert saved.ranges["searches"] == assumptions.Range(1000, 0, 2000) and saved.confirmed == {
            "searches"
        }
        expect(main).to_contain_text(_("In use: {name}").format(name=NASTY), timeout=WAIT_MS)
        expect(main).to_contain_text(AUTHOR)
        pays = {"ja": "採算がとれています", "en": "It pays: over 12 months"}[language]
        expect(main).to_contain_text(pays, timeout=WAIT_MS)
        # what it costs (the run's computing), what it brings, what it depends on
        expect(page.locator("[data-testid=stVegaLiteChart]")).to_have_count(3)
        assert "pwned" not in page.title()
        assert page.locator("[data-testid=stMain] img[src=x]").count() == 0
    assert complaints == []
