"""The page Fairness and privacy in a real browser, in both languages: a finding sent, one dismissed, nothing runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from annotate import queue
from dashboards import personal_findings, personal_scan
from data.messages import translator
from tests.dashboards.conftest import add_image, add_pair, add_score
from tests.test_app import WAIT_MS, Web, browser, new_site, serving, speak, title, visit

__all__ = ["browser"]  # a fixture
NASTY = "田中さんの部品 <script>document.title = 'pwned'</script> **太字**"
PLATE = "truck, number plate AB12 CDE <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A site whose captions were looked through: a name in one, a plate in another."""
    folder = tmp_path_factory.mktemp("web")
    site = new_site(folder)
    encoder = site.queue_encoder()
    with site.connect() as db:
        for n, caption in enumerate((NASTY, PLATE)):
            add_score(db, add_pair(db, add_image(db, 900 + n), caption), 0.2, encoder=encoder)
    personal_scan.scan(site)
    with serving(site, cwd=folder) as running:
        yield running


@pytest.mark.parametrize("language", ["ja", pytest.param("en", marks=pytest.mark.long)])
def test_a_finding_is_sent_and_another_dismissed(web: Web, browser: Browser, language: str) -> None:
    _ = translator(language)
    with web.site.connect() as db:
        db.execute("DELETE FROM privacy_decisions")
        db.execute("DELETE FROM queue_first")
    complaints: list[str] = []
    with visit(browser, web, complaints) as page:
        speak(page, language)
        page.locator("[data-testid=stSidebar] .st-key-name-field input").fill("佐藤 **A**")
        page.locator("[data-testid=stSidebar] .st-key-name-field input").press("Enter")
        page.locator("[data-testid=stSidebar] a").filter(has_text=_("Fairness and privacy")).click()
        expect(title(page)).to_have_text(_("Fairness and privacy"), timeout=WAIT_MS)
        main = page.locator("[data-testid=stMain]")
        expect(main).to_contain_text(NASTY, timeout=WAIT_MS)
        expect(main).to_contain_text(_("Not looked through yet"))  # the photos
        expect(main).to_contain_text(_("Gaps in audited error"))
        main.get_by_role("button", name=_("Send to correction")).first.click()
        expect(main).to_contain_text(_("Waits at the head of the queue"), timeout=WAIT_MS)
        assert queue.top(web.site, 1)[0]["caption"] == NASTY

        main.get_by_role("radio", name=_("Number plate")).or_(
            main.get_by_role("button", name=_("Number plate"))
        ).first.click()
        expect(main).to_contain_text(PLATE, timeout=WAIT_MS)
        main.get_by_role("button", name=_("Not personal")).first.click()
        decisions = _("Decisions ({n})").format(n=2)
        expect(main.get_by_text(decisions)).to_be_visible(timeout=WAIT_MS)
        main.get_by_text(decisions).click()
        expect(main.get_by_text("佐藤 **A**").first).to_be_visible(timeout=WAIT_MS)
        assert page.title() != "pwned" and page.locator("[data-testid=stMain] img[src=x]").count() == 0
    shown = [said for said in complaints if "/photos/" not in said and "404" not in said]  # no files here
    assert shown == []
    by_kind = {one.what: one.decision for one in personal_findings.findings(web.site)}
    assert by_kind == {"name": "sent", "plate": "dismissed"}
