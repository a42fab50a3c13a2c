"""Takes the README's screenshots from a running site, in both languages: `make run`, then

python -m tests.screenshots demo-site/site          # writes docs/screenshots/PAGE-LANGUAGE.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from data.messages import LANGUAGES, translator
from data.site import Site
from tests.browser import ARGUMENTS, install
from tests.conftest import CHECKOUT
from training.up import web_address

FOLDER = CHECKOUT / "docs" / "screenshots"
PAGES = {
    "queue": "Queue",
    "correct": "Correct",
    "explore": "Explore",
    "feedback": "Feedback",
    "adjudicate": "To decide",
    "review": "Agreement",
    "template": "Template",
    "lots": "Drafts",
    "overview": "Overview",
    "finder": "Finder",
    "runs": "Retrainings",
    "jobs": "Jobs",
}
WIDTH, HEIGHT = 1280, 800
NAMES = {"ja": "佐藤", "en": "Maria"}


def take(site: Site, folder: Path = FOLDER) -> None:
    """One picture of each page and language; the managers' pages in full length."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=install(), args=ARGUMENTS)
        for language in LANGUAGES:
            page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}).new_page()
            _enter(page, web_address(site), language)
            for name, title in PAGES.items():
                page.goto(f"{web_address(site)}/{name}")
                _settled(page, translator(language)(title))
                page.screenshot(path=folder / f"{name}-{language}.png")
        browser.close()


def _enter(page: Page, address: str, language: str) -> None:
    """Choose the language and give a name, as a person does."""
    page.goto(f"{address}/correct")
    page.locator("[data-testid=stSidebar]").get_by_text(LANGUAGES[language], exact=True).click()
    _ = translator(language)
    expect(page.get_by_role("heading", name=_("Correct"))).to_be_visible(timeout=30_000)
    page.locator(".st-key-who-name input").fill(NAMES[language])
    page.get_by_role("button", name=_("Start")).click()
    expect(page.get_by_text(_("Caption now"))).to_be_visible(timeout=30_000)


def _settled(page: Page, title: str) -> None:
    """The page is drawn: its heading is there, nothing is being computed, every picture has arrived."""
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible(timeout=30_000)
    page.wait_for_timeout(1500)  # the first drawing of the charts
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0, timeout=30_000)
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.wait_for_timeout(500)


if __name__ == "__main__":
    take(Site.open(sys.argv[1]))
