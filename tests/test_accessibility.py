"""Every page in a real Chromium, in both languages: axe-core finds no serious fault; the form fits where it is used.

axe-core comes with axe-playwright-python (requirements-dev.txt). No rule of WCAG 2.2 A and AA is switched off, and no
part of a page is left out: what Streamlit's own markup lacks is mended in annotate/pages/style.css and keys.js.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from data.demo.build import build_photos
from data.ingest import ingest
from data.messages import LANGUAGES
from data.settings import set_value
from data.site import Site, init_site
from scoring import site_map
from scoring.score import score
from tests.annotate.conftest import free_port
from tests.dashboards.conftest import add_effect, add_metric, add_model, add_run
from tests.guide_site import COLLEAGUES, NAMES, decide_one, open_a_lot, second_opinions, told_of
from tests.screenshots import AT_REST
from tests.test_app import WAIT_MS, Web, browser, enter_name, serving, speak
from tests.test_app_lots import draft

__all__ = ["browser"]  # the fixture
SERIOUS = ("serious", "critical")
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
PORTRAIT = (300, 400)
SMALL_TARGETS = """() => {
  const found = [];
  const look = (root) => {
    for (const one of root.querySelectorAll("button, a[href], input, select, textarea, [role=button], [role=radio]")) {
      const box = one.getBoundingClientRect();
      const isShown = box.width > 0 && box.height > 0 && getComputedStyle(one).visibility !== "hidden";
      if (isShown && (box.width < 44 || box.height < 44))
        found.push(`${one.tagName} ${one.ariaLabel || one.textContent} ${box.width} x ${box.height}`);
    }
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) look(one.shadowRoot);
  };
  look(document.querySelector("[data-testid=stMain]"));
  return found;
}"""
OVERFLOW = """() => {
  const main = document.querySelector("[data-testid=stMain]");
  return [main.scrollWidth - main.clientWidth, main.scrollHeight - main.clientHeight];
}"""
# What has the focus in the page's main part, and whether it looks otherwise than without the focus.
RING = """() => {
  let at = document.activeElement;
  if (!at || !at.closest("[data-testid=stMain]")) return null;
  while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  const look = (one) => {
    const style = getComputedStyle(one);
    return [style.outlineStyle, style.outlineWidth, style.boxShadow, style.borderColor, style.backgroundColor].join();
  };
  const around = [at, at.parentElement, at.parentElement?.parentElement].filter(Boolean);
  const before = around.map(look).join();
  at.blur();
  for (const animation of document.getAnimations()) animation.finish();
  const after = around.map(look).join();
  at.focus({ focusVisible: true });
  return { changed: before !== after, what: at.outerHTML.slice(0, 200) };
}"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A site on which each page has something to show; the riskiest photo stands upright."""
    folder = tmp_path_factory.mktemp("accessible")
    build_photos(folder / "source", scenes=24, seed=7, workers=1)
    for path in (folder / "source" / "photos").iterdir():
        with Image.open(path) as opened:
            upright = opened.convert("RGB").resize(PORTRAIT)
        upright.save(path)
    site = init_site(
        folder / "site", [folder / "source" / "photos"], "parts", "demo", name="第一工場", demo=True,
        web_port=free_port(),
    )  # fmt: skip
    ingest(site, folder / "source" / "captions.csv")
    score(site, device="cpu")
    site_map.make(site)
    set_value(site.settings_path, "review", "share", 1.0)
    set_value(site.settings_path, "drafts", "wrong_share", 0.3)  # a small sample
    site = Site.open(site.root)
    second_opinions(site, told_of(site, 6, 2), NAMES["ja"], COLLEAGUES["ja"][0], every=2)
    decide_one(site, "ja")
    draft(site)
    open_a_lot(site, size=10)
    with site.connect() as db:
        run = add_run(db, "run-1")
        for metric in ("t2i_recall@1", "i2t_recall@1"):
            add_effect(db, run, metric, 0.05, 0.01, 0.09)
            for arm in ("original", "corrected"):
                add_metric(db, run, arm, 0, metric, 0.5)
        add_model(db, "model-1", run)
    with serving(Site.open(site.root), cwd=folder) as running:
        yield running


def settled(page: Page) -> None:
    """Nothing is drawn anew, nothing computed."""
    page.wait_for_function(AT_REST, timeout=WAIT_MS)
    if page.locator(".st-key-form").count():  # the part that hears the keys comes last
        page.locator(".st-key-rubric-points[tabindex]").wait_for(timeout=WAIT_MS)
    page.wait_for_timeout(300)


def faults(page: Page, where: str) -> list[str]:
    """What axe-core calls serious or critical."""
    settled(page)
    return [
        f"{where}: {violation['id']} at {node['target']}: {node['html'][:200]}"
        for violation in Axe().run(page, options=RULES).response["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


def start(
    browser: Browser, web: Web, language: str, width: int = 1280, height: int = 800, **more: Any
) -> Page:
    """A new person on the form's page, who is still to give a name."""
    page = browser.new_context(viewport={"width": width, "height": height}, **more).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{web.address}/correct")
    expect(page.locator(".st-key-who-name input")).to_be_visible(timeout=WAIT_MS)
    speak(page, language)
    settled(page)
    return page


@pytest.mark.parametrize("language", ["ja", pytest.param("en", marks=pytest.mark.long)])
def test_axe_finds_no_serious_fault_on_any_page(web: Web, browser: Browser, language: str) -> None:
    page = start(browser, web, language)
    found = faults(page, "asks the name")
    enter_name(page, NAMES[language])
    links = page.locator("[data-testid=stSidebar] [data-testid=stPageLink] a")
    names = links.all_inner_texts()
    assert len(names) >= 19
    for number, name in enumerate(names):
        links.nth(number).click()
        title = name.split("\n")[-1]
        expect(page).to_have_title(f"{title} · {web.site.settings.site.name}", timeout=WAIT_MS)
        expect(page.locator("[data-testid=stMain] h1").first).to_be_visible(timeout=WAIT_MS)
        found += faults(page, title)
    page.locator("[data-testid=stSidebar] a[href$=correct]").click()
    expect(page.locator(".st-key-form")).to_be_visible(timeout=WAIT_MS)
    settled(page)
    for key in ("?", "W", "H", "G", "L", "S"):
        page.keyboard.press(key)
        expect(page.locator("[data-testid=stPopoverBody]")).to_be_visible(timeout=WAIT_MS)
        found += faults(page, f"after {key}")
        page.keyboard.press("Escape")
        expect(page.locator("[data-testid=stPopoverBody]")).to_have_count(0, timeout=WAIT_MS)
    page.context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_fits_a_screen_and_a_tablet(web: Web, browser: Browser, language: str) -> None:
    """1280 x 800 without scrolling, the photo upright; 1024 x 768 with a finger: no way sideways, all large enough."""
    page = start(browser, web, language)
    enter_name(page, NAMES[language])
    photo = page.locator(".st-key-viewer .viewer > .stage img")
    assert photo.evaluate("img => img.decode().then(() => img.naturalHeight > img.naturalWidth)")
    settled(page)
    assert page.evaluate(OVERFLOW) == [0, 0]
    page.context.close()
    page = start(browser, web, language, 1024, 768, has_touch=True)
    enter_name(page, COLLEAGUES[language][1])
    settled(page)
    assert page.evaluate(OVERFLOW)[0] == 0
    assert page.evaluate(SMALL_TARGETS) == []
    last = page.locator(".st-key-skip button").bounding_box()
    assert last and last["y"] + last["height"] <= 768, "what ends the form is in sight"
    assert page.locator("[data-testid=stSidebar]").evaluate("e => e.getBoundingClientRect().right") <= 0
    page.context.close()


def test_the_focus_is_seen_on_every_stop_of_the_form(web: Web, browser: Browser) -> None:
    page = start(browser, web, "en")
    enter_name(page, NAMES["en"])
    settled(page)
    seen = 0
    for _stop in range(40):
        page.keyboard.press("Tab")
        ring = page.evaluate(RING)
        if ring is None:
            continue
        seen += 1
        assert ring["changed"], ring["what"]
    page.context.close()
    assert seen >= 15
