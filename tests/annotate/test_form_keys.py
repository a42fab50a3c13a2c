"""The correction page in a real Chromium: by keyboard alone, with a finger, with a Japanese input method, after a
restart of the server; the photo, the meter and the labour clock."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from annotate import audit, form, queue
from data.demo.build import build_photos
from data.ingest import ingest
from data.messages import LANGUAGES, translator
from data.site import Site, init_site
from data.templates import PACKS
from scoring.score import score
from tests import test_app
from tests.annotate.sites import rows
from tests.conftest import free_port, until
from tests.test_app import WAIT_MS, Web, enter_name, go, serving, speak, title, visit

browser = test_app.browser  # the fixture
NOTE = """
  - id: note
    type: text
    label: { ja: 備考, en: Note }
    required: false
"""
FOCUS = "(document.activeElement?.closest('[class*=\"st-key-row-\"]')?.className.match(/st-key-row-(\\w+)/)?.[1] ?? '')"


def new_site(folder: Path, template: str) -> Site:
    """Twelve rendered photos, scored by the demo's encoder, all of the training split: none is drawn by chance."""
    build_photos(folder / "source", scenes=12, seed=7, workers=1)
    site = init_site(
        folder / "site", [folder / "source" / "photos"], template, "demo", demo=True, web_port=free_port()
    )
    ingest(site, folder / "source" / "captions.csv")
    with site.connect() as db:
        db.execute("DELETE FROM pairs WHERE state = 'missing'")
    score(site)
    return site


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """With the pack `parts` and a line for notes, so that there is a field to type into."""
    folder = tmp_path_factory.mktemp("keys")
    text = (PACKS / "parts.yaml").read_text(encoding="utf-8")
    before, mark, after = text.partition("\n# The caption.")
    (folder / "noted.yaml").write_text(before + NOTE + mark + after, encoding="utf-8")
    with serving(new_site(folder, str(folder / "noted.yaml")), cwd=folder) as running:
        yield running


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The pack `parts` as it is shipped."""
    folder = tmp_path_factory.mktemp("parts")
    with serving(new_site(folder, "parts"), cwd=folder) as running:
        yield running


def opened(page: Page, language: str, name: str) -> None:
    speak(page, language)
    go(page, "correct", language)
    enter_name(page, name)
    at(page, "part")


def at(page: Page, slot: str) -> None:
    """Wait until the keyboard is at this question."""
    page.wait_for_function(f"() => {FOCUS} === '{slot}'", timeout=WAIT_MS)


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def chosen(page: Page, slot: str) -> Any:
    return page.locator(f".st-key-row-{slot} button[aria-checked=true]")


def answered(web: Web, name: str) -> list[dict[str, Any]]:
    return rows(web.site, "SELECT * FROM corrections WHERE annotator = ? ORDER BY created_at", name)


def clear(web: Web) -> None:
    """Nobody has anything in work, every caption is vague: each form begins empty but for the number."""
    with web.site.connect() as db:
        for table in ("leases", "form_drafts"):
            db.execute(f"DELETE FROM {table}")
        db.execute("UPDATE pairs SET caption = 'sample ' || left(pair_id, 4) WHERE origin = 'legacy'")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_correction_by_keys_alone_typed_ahead_of_the_server(
    web: Web, browser: Browser, language: str
) -> None:
    clear(web)
    name = f"Keys {language}"
    wanted = {"part": "bolt", "count": 2, "material": "brass", "defect": "rust", "place": "left", "severity": "severe",
              "background": "tray"}  # fmt: skip
    made = form.compiled(web.site.template(), wanted, ["ja", "en"])
    complaints: list[str] = []
    with visit(browser, web, complaints) as page:
        opened(page, language, name)
        press(page, "1")
        at(page, "count")
        press(page, "2 ArrowDown 2 4 2 3 2")  # all at once: what comes after the defect is not there yet
        at(page, "note")
        for caption in made.values():
            expect(page.locator(".st-key-compiled")).to_contain_text(caption, timeout=WAIT_MS)
        press(page, "ArrowUp Enter")
        expect(page.locator(".st-key-saved")).to_contain_text(made[language], timeout=WAIT_MS)
        assert [(row["verdict"], row["slots"]) for row in answered(web, name)] == [("fix", wanted)]
        at(page, "part")  # of the next pair
        expect(chosen(page, "part")).to_have_count(0)
        press(page, "u")
        expect(chosen(page, "severity")).to_have_text(
            {"ja": "重度", "en": "severe"}[language], timeout=WAIT_MS
        )
        assert [row["state"] for row in answered(web, name)] == ["withdrawn"]
        press(page, "ArrowLeft")  # looks, but does not choose
        expect(chosen(page, "severity")).to_have_count(1)
        press(page, "a")
        expect(page.locator(".st-key-saved")).to_contain_text(translator(language)("Already right"))
        assert [row["verdict"] for row in answered(web, name)][-1] == "ok"
    assert [said for said in complaints if "404" not in said] == []


def test_enter_on_an_incomplete_form_leads_to_what_is_missing(web: Web, browser: Browser) -> None:
    clear(web)
    with visit(browser, web) as page:
        opened(page, "en", "Hasty")
        press(page, "ArrowDown ArrowDown 1 ArrowUp Enter")
        expect(page.locator(".st-key-row-part")).to_contain_text("an answer is needed", timeout=WAIT_MS)
        at(page, "part")
        assert answered(web, "Hasty") == []


def test_the_keys_are_listed_and_a_skip_tells_its_reason(web: Web, browser: Browser) -> None:
    clear(web)
    with visit(browser, web) as page:
        opened(page, "ja", "Reader")
        panel = page.locator("[data-testid=stPopoverBody]")
        press(page, "?")
        expect(panel).to_contain_text("直前の回答を取り消します")
        press(page, "1")  # answers nothing while it is open
        press(page, "Escape")
        expect(panel).to_have_count(0)
        expect(chosen(page, "part")).to_have_count(0)
        caption = page.locator(".st-key-old-caption").inner_text()
        press(page, "s")
        expect(panel).to_contain_text("あとで見る")
        press(page, "3")
        page.wait_for_function(
            "before => document.querySelector('.st-key-old-caption').innerText !== before", arg=caption
        )
    reasons = rows(web.site, "SELECT detail FROM events WHERE what = 'pair.skipped' AND actor = 'Reader'")
    assert [row["detail"]["reason"] for row in reasons] == ["template"]


def test_no_key_fires_while_somebody_types_or_an_input_method_composes(web: Web, browser: Browser) -> None:
    clear(web)
    with visit(browser, web) as page:
        opened(page, "ja", "入力")
        press(page, "1 1 ArrowDown 2 1")
        at(page, "background")
        press(page, "1")
        at(page, "note")
        field = page.locator(".st-key-row-note input")
        page.keyboard.type("3 au?")  # letters and digits go into the field
        expect(field).to_have_value("3 au?", timeout=WAIT_MS)
        browser_input = page.context.new_cdp_session(page)
        browser_input.send(
            "Input.imeSetComposition", {"text": "さび", "selectionStart": 2, "selectionEnd": 2}
        )
        for kind in ("keyDown", "keyUp"):  # the Enter that ends the composition, as Chromium sends it
            browser_input.send(
                "Input.dispatchKeyEvent",
                {"type": kind, "key": "Process", "code": "Enter", "windowsVirtualKeyCode": 229},
            )
        browser_input.send("Input.insertText", {"text": "錆"})
        page.evaluate(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
            "{key: 'Enter', isComposing: true, bubbles: true, composed: true, cancelable: true}))"
        )
        page.wait_for_timeout(800)
        assert answered(web, "入力") == []
        expect(field).to_have_value("3 au?錆", timeout=WAIT_MS)
        press(page, "Enter")
        expect(page.locator(".st-key-saved")).to_be_visible(timeout=WAIT_MS)
    assert [row["slots"]["note"] for row in answered(web, "入力")] == ["3 au?錆"]


def test_what_is_typed_is_kept_at_a_pause_and_by_leaving_the_page(web: Web, browser: Browser) -> None:
    clear(web)
    with visit(browser, web) as page:
        opened(page, "en", "Typist")
        press(page, "1 1")
        at(page, "count")
        press(page, "?")  # nobody types letters into a field for a number
        expect(page.locator("[data-testid=stPopoverBody]")).to_contain_text("Take the last answer back")
        press(page, "Escape")
        count = page.locator(".st-key-row-count input")
        count.fill("999")  # no other number is saved in its place
        count.press("Enter")
        expect(page.locator(".st-key-row-count")).to_contain_text("from 1 to 99", timeout=WAIT_MS)
        assert rows(web.site, "SELECT * FROM corrections WHERE annotator = 'Typist'") == []
        count.fill("1")
        title(page).click()  # an empty place: the keys are heard all the same
        press(page, "ArrowUp")
        at(page, "part")
        count.click()
        press(page, "ArrowDown 2 1")
        at(page, "background")
        press(page, "1")
        at(page, "note")
        field = page.locator(".st-key-row-note input")
        page.keyboard.type("typed")  # and not left
        kept = "SELECT slots FROM form_drafts WHERE annotator = 'Typist'"
        until(lambda: [row["slots"].get("note") for row in rows(web.site, kept)] == ["typed"], 30, "kept")
        page.context.set_offline(True)
        expect(page.locator(".genba-lost")).to_contain_text("No connection", timeout=WAIT_MS)
        page.context.set_offline(False)
        expect(page.locator(".genba-lost")).to_have_count(0, timeout=WAIT_MS)
        for typed, name in ((" on", "queue"), (" and on", "feedback")):
            field.click()
            page.keyboard.press("End")
            page.keyboard.type(typed)
            words = translator("en")({"queue": "Queue", "feedback": "Feedback"}[name])
            page.locator("[data-testid=stSidebar] a").filter(has_text=words).first.click()
            expect(title(page)).to_have_text(words, timeout=WAIT_MS)
            go(page, "correct", "en")
            expect(field).to_have_value(re.compile(f"{typed}$"), timeout=WAIT_MS)
        expect(field).to_have_value("typed on and on")


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_scrolls_and_nothing_is_too_small_for_a_finger(
    parts: Web, browser: Browser, language: str
) -> None:
    """With every question shown, at 1280 x 800; the targets on a ten-inch tablet too."""
    clear(parts)
    with visit(browser, parts) as page:
        opened(page, language, f"Finger {language}")
        press(page, "5 1 ArrowDown 4 4 3 2 4")
        at(page, "background")
        expect(page.locator(".st-key-meter")).to_be_visible(timeout=WAIT_MS)
        assert overflow(page) <= 0
        assert page.locator(".st-key-rubric-points").evaluate("e => e.scrollHeight - e.clientHeight") == 0
        press(page, "Enter")
        expect(page.locator(".st-key-saved")).to_be_visible(timeout=WAIT_MS)
        at(page, "part")
        press(page, "1 1 ArrowDown 4 4")
        at(page, "place")
        assert overflow(page) <= 0
        # with a mouse alone the answers of a long form are lower (annotate/pages/style.css)
        for width, height, least in ((1280, 800, 34), (1024, 768, 44)):
            page.set_viewport_size({"width": width, "height": height})
            small = page.evaluate(TARGETS, least)
            assert small == [], (width, small)
            assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "scrolls sideways"


def overflow(page: Page) -> int:
    """Pixels by which the page is too high for the window."""
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
    return int(
        page.evaluate(
            "Math.max(document.scrollingElement.scrollHeight - innerHeight, "
            "(main => main.scrollHeight - main.clientHeight)(document.querySelector('[data-testid=stMain]')))"
        )
    )


TARGETS = """(least) => {
  const all = [...document.querySelectorAll('.st-key-correct :is(button, a, input)')];
  if (innerWidth <= 1100) all.push(...document.querySelectorAll('[data-testid=stSidebarCollapseButton] button'));
  const shadow = [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')];
  for (const host of shadow) all.push(...host.shadowRoot.querySelectorAll('.viewer > .tools button'));
  const boxes = all.map((one) => [one.innerText || one.ariaLabel, one.getBoundingClientRect()]);
  return boxes.filter(([, box]) => box.width && (box.width < least || box.height < least))
    .map(([name, box]) => [name, box.width, box.height]);
}"""


def test_the_clock_stands_still_while_the_window_is_away(web: Web, browser: Browser) -> None:
    clear(web)
    with visit(browser, web) as page:
        began = time.monotonic()
        opened(page, "en", "Away")
        press(page, "x")
        expect(page.locator(".st-key-saved")).to_be_visible(timeout=WAIT_MS)
        at(page, "part")
        page.wait_for_timeout(1000)  # the clock of the new pair has begun
        shown = time.monotonic()
        page.evaluate("window.dispatchEvent(new Event('blur'))")
        page.wait_for_timeout(4000)
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        page.wait_for_timeout(500)
        press(page, "x")
        until(lambda: len(answered(web, "Away")) == 2, 60, "the second answer")
        ended = time.monotonic()
    first, second = (row["active_seconds"] for row in answered(web, "Away"))
    assert 0 < first < shown - began
    assert 0.4 < second < ended - shown + 1 - 3.5


def test_the_photo_comes_closer_moves_and_fills_the_window(web: Web, browser: Browser) -> None:
    clear(web)
    with visit(browser, web) as page:
        opened(page, "en", "Looker")
        stage = page.locator(".st-key-viewer .viewer > .stage")
        image = stage.locator("img")
        page.wait_for_function("e => e.complete && e.naturalWidth > 0", arg=image.element_handle())
        box = stage.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 10, box["y"] + 10)
        page.mouse.wheel(0, -300)
        expect(stage).not_to_have_attribute("data-scale", "1.00")
        assert image.bounding_box()["x"] == pytest.approx(box["x"] - 10 * (scale(stage) - 1), abs=2), (  # type: ignore[index]
            "stays under the pointer"
        )
        page.mouse.down()
        page.mouse.move(box["x"] - 60, box["y"] - 40, steps=4)
        page.mouse.up()
        assert image.bounding_box()["x"] < box["x"] - 60  # type: ignore[index]
        press(page, "z")
        expect(stage).to_have_attribute("data-scale", "1.00")
        press(page, "+ +")
        expect(stage).to_have_attribute("data-scale", "2.25")
        press(page, "f")
        large = page.locator(".st-key-viewer dialog")
        expect(large).to_be_visible()
        assert large.bounding_box() == {"x": 0, "y": 0, "width": 1280, "height": 800}
        press(page, "1 Escape")  # a digit answers nothing there
        expect(large).to_be_hidden()
        expect(chosen(page, "part")).to_have_count(0)
        broken = page.locator(".st-key-viewer .broken")
        expect(broken).to_be_hidden()
        page.route("**/photos/*.jpg*", lambda route: route.abort())
        press(page, "s 3")
        expect(broken).to_contain_text("cannot be shown", timeout=WAIT_MS)


def scale(stage: Any) -> float:
    return float(stage.get_attribute("data-scale"))


def test_the_meter_moves_with_the_answers_and_is_hidden_where_one_judges_blind(
    web: Web, browser: Browser
) -> None:
    clear(web)
    with visit(browser, web) as page:
        opened(page, "en", "Meter")
        meter = page.locator(".st-key-meter")
        expect(meter).to_contain_text("before", timeout=WAIT_MS)
        assert "English" not in meter.inner_text(), "there is no new caption yet"
        press(page, "1")
        expect(meter).to_contain_text("English", timeout=WAIT_MS)
        before = meter.inner_text()
        press(page, "1 ArrowDown 4 2")  # a number, a material and a defect
        page.wait_for_function("old => document.querySelector('.st-key-meter').innerText !== old", arg=before)
        clear(web)  # what somebody has in work is not drawn
        with web.site.connect() as db:
            db.execute("UPDATE images SET split = 'test'")
        audit.draw(web.site, 12, seed=1)
        try:
            page.reload()
            expect(page.get_by_text("judge it by the photo alone")).to_be_visible(timeout=WAIT_MS)
            expect(page.locator(".st-key-compiled")).to_be_visible(timeout=WAIT_MS)
            page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
            expect(meter).to_have_count(0)
        finally:
            with web.site.connect() as db:
                db.execute("UPDATE images SET split = 'train'")
                db.execute("DELETE FROM audits")
    assert queue.count(web.site) > 0


def test_a_half_typed_form_survives_a_restart_of_the_server(parts: Web, browser: Browser) -> None:
    """The last one: it ends the server."""
    clear(parts)
    with visit(browser, parts) as page:
        opened(page, "en", "Patient")
        press(page, "3 1 ArrowDown 5 1")
        at(page, "background")
        expect(page.locator(".st-key-compiled")).to_contain_text("plastic washer", timeout=WAIT_MS)
        page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
        kept = {"part": "washer", "count": 1, "material": "plastic", "defect": "none"}
        until(
            lambda: kept in [row["slots"] for row in rows(parts.site, "SELECT slots FROM form_drafts")],
            30,
            "kept",
        )
        parts.process.kill()
        parts.process.wait(timeout=30)
        with serving(parts.site, cwd=parts.site.root.parent):
            page.reload()
            at(page, "background")
            expect(chosen(page, "material")).to_have_text("plastic", timeout=WAIT_MS)
            press(page, "2 Enter")
            expect(page.locator(".st-key-saved")).to_be_visible(timeout=WAIT_MS)
    assert [row["slots"] for row in answered(parts, "Patient")] == [{**kept, "background": "tray"}]
