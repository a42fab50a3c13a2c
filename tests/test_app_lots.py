"""The page Drafts in a real Chromium: a job is queued, a lot is formed, checked by keyboard, and accepted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from annotate import corrections, lots
from data.demo.build import build_photos
from data.ingest import ingest
from data.messages import translator
from data.settings import set_value
from data.site import Site, init_site
from data.store import now
from tests.annotate.conftest import free_port
from tests.annotate.lot_sites import NUT
from tests.annotate.sites import rows
from tests.test_app import WAIT_MS, Web, browser, serving, speak, title, visit

__all__ = ["browser"]  # the fixture
DRAFTED = 20


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Twenty-four photos; nothing is drafted yet, four captions are corrected."""
    folder = tmp_path_factory.mktemp("lots")
    build_photos(folder / "source", scenes=24, seed=7, workers=1)
    site = init_site(
        folder / "site", [folder / "source" / "photos"], "parts", "demo", name="第一工場", demo=True,
        web_port=free_port(),
    )  # fmt: skip
    ingest(site, folder / "source" / "captions.csv")
    set_value(site.settings_path, "drafts", "wrong_share", 0.3)  # a sample of ten
    set_value(site.settings_path, "review", "leads", ["佐藤"])
    site = Site.open(site.root)
    for row in rows(site, "SELECT pair_id FROM pairs ORDER BY pair_id OFFSET ?", DRAFTED):
        corrections.submit(
            site, pair_id=row["pair_id"], annotator="鈴木", verdict="fix", slots={**NUT, "part": "bolt"},
            active_seconds=9,
        )  # fmt: skip
    with serving(site, cwd=folder) as running:
        yield running


def draft(site: Site) -> None:
    """As the job leaves them."""
    template = site.template()
    pairs = rows(
        site,
        "SELECT pair_id FROM pairs WHERE origin = 'legacy' "
        "AND pair_id NOT IN (SELECT old_pair_id FROM corrections)",
    )
    made = {"version": "1", "drafted": DRAFTED, "offered": DRAFTED, "calibrated": True, "right": 38, "compared": 40,
            "slots": {"part": [39, 40]}}  # fmt: skip
    with site.connect() as db:
        db.insert("drafts", [
            {"draft_id": f"d{at:04d}", "pair_id": row["pair_id"], "drafter": "zero-shot", "version": "1",
             "template": template.id, "template_version": template.version, "slots": NUT, "confidence": {"part": 0.99},
             "captions": {one: template.caption(NUT, one) for one in ("ja", "en")}, "cosine": 0.4, "old_cosine": 0.1,
             "quality": 0.97, "planted": False, "state": "offered", "drafted_at": now(), "calibrated": True,
             "language": "en"}
            for at, row in enumerate(pairs)
        ])  # fmt: skip
        db.set_state("drafts_made", {"pairs": DRAFTED, "missing": 0, "answers": 40, "simulated": 0,
                                     "drafters": {"zero-shot": made}})  # fmt: skip


def open_page(page: Page, language: str, name: str) -> None:
    speak(page, language)
    words = translator(language)("Drafts")
    page.locator("[data-testid=stSidebar] a").filter(has_text=words).click()
    expect(title(page)).to_have_text(words, timeout=WAIT_MS)
    field = page.locator(".st-key-name-field input")
    field.fill(name)
    field.press("Enter")
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0, timeout=WAIT_MS)
    title(page).click()  # away from the field: keys are answers now


def test_a_lot_from_the_empty_page_to_its_captions(browser: Browser, web: Web) -> None:
    site = web.site
    _ = translator("ja")
    with visit(browser, web) as page:
        open_page(page, "ja", "佐藤")
        expect(page.get_by_text(_("Nothing is drafted yet")).first).to_be_visible(timeout=WAIT_MS)
        page.get_by_role("button", name=_("Draft now")).click()
        expect(page.get_by_role("button", name=_("Draft now"))).to_be_disabled(timeout=WAIT_MS)
        assert [row["name"] for row in rows(site, "SELECT name FROM jobs")] == ["draft"]
        with site.connect() as db:
            db.execute("UPDATE jobs SET state = 'done'")
        draft(site)
        page.reload()
        page.get_by_role("button", name=_("Form a lot")).click()
        expect(page.get_by_text("100件に約", exact=False)).to_be_visible(timeout=WAIT_MS)
        lot = lots.lots(site)[0]
        assert (lot.plan.size, lot.plan.sample, lot.planted) == (DRAFTED, 10, 1)
        for turn in range(lot.to_check):
            expect(
                page.get_by_text(_("{n} of {all} checked").format(n=turn, all=lot.to_check))
            ).to_be_visible(timeout=WAIT_MS)
            check = lots.next_check(site, lot.lot_id)
            assert check
            captions = page.locator(".st-key-draft-captions")
            for text in check.captions.values():
                expect(captions).to_contain_text(text, timeout=WAIT_MS)
            planted = rows(site, "SELECT planted FROM drafts WHERE draft_id = ?", check.draft_id)[0][
                "planted"
            ]
            page.keyboard.press("2" if planted else "1")
        expect(page.get_by_text(_("The sample passes."))).to_be_visible(timeout=WAIT_MS)
        page.get_by_role("button", name=_("Accept the lot: {n} captions").format(n=DRAFTED)).click()
        expect(page.get_by_text(_("Earlier lots"))).to_be_visible(timeout=WAIT_MS)
    assert len(rows(site, "SELECT 1 FROM corrections WHERE source = 'lot' AND annotator = '佐藤'")) == DRAFTED
    seconds = rows(site, "SELECT active_seconds, checked_by FROM lot_checks")
    assert all(0 < row["active_seconds"] < 60 and row["checked_by"] == "佐藤" for row in seconds)


def test_somebody_who_is_no_lead_sees_and_cannot_decide(browser: Browser, web: Web) -> None:
    _ = translator("en")
    with visit(browser, web) as page:
        open_page(page, "en", "Maria")
        expect(page.get_by_text(_("Leads of this site: {names}").format(names="佐藤"))).to_be_visible(
            timeout=WAIT_MS
        )
        expect(page.get_by_role("button", name=_("Draft now"))).to_have_count(0)
        page.get_by_text(_("Earlier lots")).click()
        expect(page.get_by_text("20 captions approved", exact=False)).to_be_visible(timeout=WAIT_MS)
