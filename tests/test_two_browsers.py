"""Two people, two real browsers, one pair: the second is told, and where both answer, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from annotate import queue
from data.messages import translator
from tests import test_app
from tests.annotate.sites import rows
from tests.test_app import WAIT_MS, Web, enter_name, new_site, serving, speak, title, visit

browser = test_app.browser  # the fixture


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with serving(new_site(tmp_path), cwd=tmp_path) as running:
        yield running


def test_two_browsers_on_one_pair(web: Web, browser: Browser) -> None:
    japanese, english = translator("ja"), translator("en")
    worst = queue.top(web.site, 1)[0]["pair_id"]
    with visit(browser, web) as first, visit(browser, web) as second:
        speak(first, "ja")
        speak(second, "en")
        first.locator(f".st-key-open-{worst} button").click()
        enter_name(first, "佐藤")
        # The second one's list is older and still offers the pair: it says now who has it, and she takes another.
        second.locator(f".st-key-open-{worst} button").click()
        expect(second.get_by_text(english("In work: {name}").format(name="佐藤"))).to_be_visible(
            timeout=WAIT_MS
        )
        second.locator(".st-key-start button").click()
        enter_name(second, "Smith")
        held = {row["annotator"]: row["pair_id"] for row in rows(web.site, "SELECT * FROM leases")}
        assert held["佐藤"] == worst != held["Smith"]
        # The first one goes for lunch, the lease runs out, the second takes the pair over.
        with web.site.connect() as db:
            db.execute("UPDATE leases SET expires_at = TIMESTAMP '2000-01-01' WHERE annotator = '佐藤'")
        second.goto(web.address)
        expect(title(second)).to_be_visible(timeout=WAIT_MS)
        second.locator(f".st-key-open-{worst} button").click()
        expect(second.locator(".st-key-old-caption")).to_contain_text("pwned", timeout=WAIT_MS)
        # Back at the desk, both answer.
        for page in (second, first):
            page.locator(".st-key-ok button").click()
            page.wait_for_function(
                "() => !document.querySelector('.st-key-old-caption')?.textContent.includes('pwned')",
                timeout=WAIT_MS,
            )
        kept = japanese("Kept, but somebody else answered first")
        expect(first.locator(".st-key-notices")).to_contain_text(kept, timeout=WAIT_MS)
    saved = rows(
        web.site, "SELECT annotator, state FROM corrections WHERE old_pair_id = ? ORDER BY state", worst
    )
    assert [(row["annotator"], row["state"]) for row in saved] == [("Smith", "active"), ("佐藤", "conflict")]
