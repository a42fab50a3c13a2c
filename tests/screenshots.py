"""Takes the pictures of the README and of the guides from the running app, in both languages.

python -m tests.screenshots demo-site/site            # docs/screenshots/PAGE-LANGUAGE.png
python -m tests.screenshots demo-site/site --guide    # docs/guide/AUDIENCE/pictures/PAGE-LANGUAGE.png

SITE is a demo site whose first retraining is done (`make run`); it may run meanwhile. The pictures are taken from a
copy of it (tests/guide_site.py), served by a process of its own.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from data.messages import LANGUAGES, translator
from data.site import Site
from tests.browser import ARGUMENTS, install
from tests.conftest import CHECKOUT
from tests.guide_site import NAMES, furnished
from tests.test_app import serving

FOLDER = CHECKOUT / "docs" / "screenshots"
GUIDES = CHECKOUT / "docs" / "guide"
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
    "quality": "Quality",
    "staff": "Staff",
    "finder": "Finder",
    "runs": "Retrainings",
    "pilot": "Pilot",
    "roi": "ROI",
    "privacy": "Fairness and privacy",
    "jobs": "Jobs",
    "operations": "Operations",
}
WIDTH, HEIGHT = 1280, 800
WAIT_MS = 120_000
AT_REST = """() => document.querySelector("[data-testid=stApp]").dataset.testScriptState === "notRunning"
  && !document.querySelector("[data-stale=true], [data-testid=stSkeleton]")"""
BLIND = "No reasons are shown for this one: judge it by the photo alone."  # of an audit or a second opinion
# The temporary folder of the copy says nothing to a reader.
WITHOUT_PATHS = """() => {
  const walker = document.createTreeWalker(document.querySelector("[data-testid=stMain]"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode())
    walker.currentNode.data = walker.currentNode.data.replace(/\\/\\S+\\/site(?= |$)/g, "demo-site/site");
}"""
MOST_BYTES = 120_000  # of a picture in a guide
MOST_OF_PAGE = 200_000
COLOURS = (256, 128, 64, 32)


def of_pages(browser: Browser, address: str, folder: Path) -> None:
    """One picture of each page and language, as it first shows."""
    for language in LANGUAGES:
        page = _visitor(browser)
        enter(page, address, language)
        for name in PAGES:
            show(page, address, name, language)
            (folder / f"{name}-{language}.png").write_bytes(small(page.screenshot(), MOST_OF_PAGE))
        page.context.close()


# ---- the guides: for whom -> name of a picture -> what it shows, once the page is there


def _name(page: Page, address: str, language: str) -> Locator:
    speak(page, address, language)
    page.set_viewport_size({"width": 860, "height": 560})
    page.wait_for_timeout(300)
    return page.locator("[data-testid=stApp]")


def _correct(page: Page, address: str, language: str) -> Locator:
    show(page, address, "correct", language)
    return page.locator("[data-testid=stApp]")


def _keys(page: Page, address: str, language: str) -> Locator:
    """The form while the keyboard is at one of its questions."""
    show(page, address, "correct", language)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(300)
    return page.locator(".st-key-form")


def _page(name: str, height: int = HEIGHT) -> Callable[[Page, str, str], Locator]:
    def shown(page: Page, address: str, language: str) -> Locator:
        page.set_viewport_size({"width": WIDTH, "height": height})
        show(page, address, name, language)
        return page.locator("[data-testid=stMainBlockContainer]")

    return shown


def _explore(page: Page, address: str, language: str) -> Locator:
    """Some photos are chosen by a lasso."""
    show(page, address, "explore", language)
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    for x, y in ((0.8, 0.3), (0.82, 0.6), (0.6, 0.62), (0.54, 0.3)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
    page.mouse.up()
    settled(page, translator(language)("Explore"))
    return page.locator("[data-testid=stMainBlockContainer]")


def _roi(page: Page, address: str, language: str) -> Locator:
    """As if people had done what the simulated crew did: then there are numbers to show."""
    page.set_viewport_size({"width": WIDTH, "height": 1180})
    show(page, address, "roi", language)
    _ = translator(language)
    page.locator(".st-key-roi-side").get_by_text(
        _("As if people had done the simulated work"), exact=True
    ).click()
    settled(page, _("ROI"))
    return page.locator("[data-testid=stMainBlockContainer]")


def _gate(page: Page, address: str, language: str) -> Locator:
    """What stands for and against the candidate."""
    page.set_viewport_size({"width": WIDTH, "height": 1000})
    show(page, address, "runs", language)
    _ = translator(language)
    page.get_by_role("button", name=_("Promote"), exact=True).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(_("How is this decided?"))).to_be_visible(timeout=WAIT_MS)
    page.wait_for_function(AT_REST, timeout=WAIT_MS)
    page.wait_for_timeout(500)
    return dialog


SCENES: dict[str, dict[str, Callable[[Page, str, str], Locator]]] = {
    "staff": {
        "name": _name,
        "queue": _page("queue", height=600),
        "correct": _correct,
        "keys": _keys,
        "lots": _page("lots"),
        "adjudicate": _page("adjudicate"),
        "feedback": _page("feedback"),
        "explore": _explore,
    },
    "manager": {
        "overview": _page("overview", height=1000),
        "quality": _page("quality", height=1000),
        "staff": _page("staff", height=920),
        "runs": _page("runs", height=1000),
        "gate": _gate,
        "roi": _roi,
        "privacy": _page("privacy", height=1000),
        "operations": _page("operations"),
    },
}


def of_guides(browser: Browser, address: str, folder: Path) -> None:
    """The pictures of each guide, small enough to travel with the checkout."""
    for audience, scenes in SCENES.items():
        (folder / audience / "pictures").mkdir(parents=True, exist_ok=True)
        for language in LANGUAGES:
            page = _visitor(browser)
            somebody = False
            for name, scene in scenes.items():
                page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
                if name != "name" and not somebody:
                    enter(page, address, language)
                    somebody = True
                shown = scene(page, address, language)
                path = folder / audience / "pictures" / f"{name}-{language}.png"
                path.write_bytes(small(_cut(page, shown)))
            page.context.close()


def _cut(page: Page, shown: Locator) -> bytes:
    """What of it lies in the window."""
    box = shown.bounding_box()
    assert box
    window = page.viewport_size or {"width": WIDTH, "height": HEIGHT}
    left, top = max(box["x"], 0), max(box["y"], 0)
    left += 2 if box["x"] > 0 else 0  # the edge of what stands left of it
    right, bottom = (
        min(box["x"] + box["width"], window["width"]),
        min(box["y"] + box["height"], window["height"]),
    )
    return page.screenshot(clip={"x": left, "y": top, "width": right - left, "height": bottom - top})


def small(png: bytes, most: int = MOST_BYTES) -> bytes:
    """The picture with a palette, as many colours as fit into `most` bytes."""
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    for colours in COLOURS:
        made = io.BytesIO()
        picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            made, "PNG", optimize=True
        )
        if made.tell() < most:
            break
    return made.getvalue()


# ---- a person at the app


def _visitor(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}).new_page()
    page.set_default_timeout(WAIT_MS)
    return page


def speak(page: Page, address: str, language: str) -> None:
    """Choose the language, as a person does, where a name is asked."""
    page.goto(f"{address}/correct")
    page.locator(".st-key-language-switch").get_by_text(LANGUAGES[language], exact=True).click()
    settled(page, translator(language)("Correct"))


def enter(page: Page, address: str, language: str) -> None:
    """Choose the language and give a name."""
    speak(page, address, language)
    page.locator(".st-key-who-name input").fill(NAMES[language])
    page.get_by_role("button", name=translator(language)("Start"), exact=True).click()
    expect(page.locator(".st-key-form")).to_be_visible(timeout=WAIT_MS)


def show(page: Page, address: str, name: str, language: str) -> None:
    """Open one of the pages and wait until it is drawn."""
    page.goto(f"{address}/{name}")
    settled(page, translator(language)(PAGES[name]))
    page.evaluate(WITHOUT_PATHS)
    if name == "explore":
        expect(page.locator(".map[data-points]")).to_be_visible(timeout=WAIT_MS)
        page.wait_for_timeout(500)
    if name == "correct":
        expect(page.locator(".st-key-form")).to_be_visible(timeout=WAIT_MS)
        meter, blind = page.locator(".st-key-meter"), page.get_by_text(translator(language)(BLIND))
        expect(meter.or_(blind)).to_be_visible(timeout=WAIT_MS)
        if blind.count():
            _from_the_queue(page, address, language)
        expect(meter).to_be_visible(timeout=WAIT_MS)  # the encoder is there
        page.wait_for_function(AT_REST, timeout=WAIT_MS)
        page.wait_for_timeout(1000)


def _from_the_queue(page: Page, address: str, language: str) -> None:
    """The form drew a caption that is judged blind: open the queue's first one in its place."""
    _ = translator(language)
    page.goto(address)
    settled(page, _("Queue"))
    page.get_by_role("button", name=_("Correct this"), exact=True).first.click()
    settled(page, _("Correct"))
    expect(page.locator(".st-key-form")).to_be_visible(timeout=WAIT_MS)


def settled(page: Page, title: str) -> None:
    """The page is drawn: its heading is there, nothing is being computed, every picture has arrived."""
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(500)
    page.wait_for_function(AT_REST, timeout=WAIT_MS)
    page.wait_for_timeout(1500)  # the first drawing of the charts
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.wait_for_timeout(500)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--guide", action="store_true", help="the pictures of the guides")
    parser.add_argument("--out", type=Path, help="another folder than the checkout's")
    given = parser.parse_args(words)
    folder = given.out or (GUIDES if given.guide else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as here, sync_playwright() as playwright:
        site = furnished(Site.open(given.site), Path(here))
        browser = playwright.chromium.launch(executable_path=install(), args=ARGUMENTS)
        with serving(site, cwd=Path(here)) as web:
            (of_guides if given.guide else of_pages)(browser, web.address, folder)
        browser.close()


if __name__ == "__main__":
    main()
