"""The page Explore in a real Chromium, WebGL drawn in software: map, lasso, search by words and by photo, queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from annotate.explore_held import address
from data.demo.build import build_photos
from data.ingest import ingest
from data.messages import translator
from data.site import Site, init_site
from scoring import site_map
from scoring.score import score
from tests.annotate.conftest import free_port
from tests.browser import ARGUMENTS, chromium
from tests.test_app import WAIT_MS, Web, serving, speak, title, visit

SOFTWARE_GL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PHOTOS = 24


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Rendered photos, really embedded and scored; the map is made."""
    folder = tmp_path_factory.mktemp("explore")
    build_photos(folder / "source", scenes=PHOTOS, seed=7, workers=1)
    site = init_site(
        folder / "site", [folder / "source" / "photos"], "parts", "demo", name="第一工場", demo=True,
        web_port=free_port(),
    )  # fmt: skip
    ingest(site, folder / "source" / "captions.csv")
    score(site, device="cpu")
    site_map.make(Site.open(site.root))
    with serving(Site.open(site.root), cwd=folder) as running:
        yield running


@pytest.fixture(scope="module")
def started() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(started: Playwright) -> Iterator[Browser]:
    arguments = [one for one in ARGUMENTS if one != "--disable-gpu"]
    opened = started.chromium.launch(executable_path=chromium(), args=[*arguments, *SOFTWARE_GL])
    yield opened
    opened.close()


def open_map(page: Page, language: str) -> None:
    speak(page, language)
    name = translator(language)("Explore")
    page.locator("[data-testid=stSidebar] a").filter(has_text=name).click()
    expect(title(page)).to_have_text(name, timeout=WAIT_MS)
    expect(page.locator(".map")).to_have_attribute("data-points", str(PHOTOS), timeout=WAIT_MS)


def lasso(page: Page, left: float, right: float) -> None:
    """Draw around the part of the map between two shares of its width."""
    box = page.locator("canvas").bounding_box()
    assert box
    x0, x1 = box["x"] + left * box["width"], box["x"] + right * box["width"]
    y0, y1 = box["y"] + 2, box["y"] + box["height"] - 2
    page.mouse.move(x0, y0)
    page.mouse.down()
    for x, y in ((x1, y0), (x1, y1), (x0, y1), (x0, y0 + 4)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def photo_of(web: Web, image_id: str) -> Path:
    with web.site.connect() as db:
        row = db.one("SELECT root, uri FROM images WHERE image_id = ?", [image_id])
    assert row
    return web.site.photo_path(row["root"], row["uri"])


def settled(page: Page) -> None:
    """Nothing is being drawn anew."""
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
    expect(page.locator(".st-key-explore-grid")).to_have_count(1, timeout=WAIT_MS)


def photos_chosen(page: Page) -> int:
    """How many the map says are in the selection."""
    return int(page.locator(".map").get_attribute("data-chosen") or 0)


@pytest.mark.parametrize("language", ["ja", pytest.param("en", marks=pytest.mark.long)])
def test_lasso_and_legend_filter_the_grid(web: Web, browser: Browser, language: str) -> None:
    _ = translator(language)
    complaints: list[str] = []
    with visit(browser, web, complaints) as page:
        open_map(page, language)
        expect(page.locator(".map")).to_have_attribute("data-painter", "webgl")
        grid = page.locator(".st-key-explore-grid [data-testid=stImage] img")
        expect(grid).to_have_count(6)
        lasso(page, 0.005, 0.5)
        chosen = page.get_by_text(_("picked on the map"))
        expect(chosen).to_be_visible(timeout=WAIT_MS)
        settled(page)
        count = photos_chosen(page)
        assert 0 < count < PHOTOS
        expect(chosen).to_have_text(_("{what}, {n} photos").format(what=_("picked on the map"), n=count))
        expect(grid).to_have_count(min(count, 6))
        assert grid.first.evaluate("img => img.decode().then(() => img.naturalWidth)") > 100
        page.locator(".legend button").filter(has_text=_("Waiting")).click()
        expect(chosen).not_to_have_text(
            _("{what}, {n} photos").format(what=_("picked on the map"), n=count), timeout=WAIT_MS
        )
        page.locator(".legend button").filter(has_text=_("Waiting")).click()
        expect(chosen).to_have_text(
            _("{what}, {n} photos").format(what=_("picked on the map"), n=count), timeout=WAIT_MS
        )
        page.locator("canvas").focus()
        page.keyboard.press("Escape")
        expect(
            page.get_by_text(_("{what}, {n} photos").format(what=_("all photos"), n=PHOTOS))
        ).to_be_visible(timeout=WAIT_MS)
        page.locator("canvas").focus()
        page.keyboard.press("Enter")  # what lies in the ring in the middle
        expect(chosen).to_be_visible(timeout=WAIT_MS)
    assert complaints == []


def test_search_by_words_then_by_photo_then_into_the_queue(web: Web, browser: Browser) -> None:
    with visit(browser, web) as page:
        open_map(page, "en")
        page.locator(".st-key-explore-words input").fill("a rusty brass bolt")
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_text("Found in")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_text("search “a rusty brass bolt”")).to_be_visible()
        settled(page)
        best = page.locator("[class*=st-key-like-]").first
        image_id = next(
            name.removeprefix("st-key-like-")
            for name in str(best.get_attribute("class")).split()
            if name.startswith("st-key-like-")
        )
        expect(page.locator(".st-key-explore-grid")).to_contain_text("likeness")
        best.locator("button").first.click()
        expect(page.get_by_text("like ", exact=False).first).to_be_visible(timeout=WAIT_MS)
        expect(page.locator(".st-key-explore-grid")).to_contain_text("likeness 1.00", timeout=WAIT_MS)
        settled(page)
        expect(page.locator(f".st-key-photo-{image_id}")).to_be_visible()
        mine = photo_of(web, image_id)
        page.get_by_role("button", name="By a photo").click()
        page.locator(".st-key-explore-upload input").set_input_files(mine)
        expect(page.get_by_text(f"like {mine.name}, ")).to_be_visible(timeout=WAIT_MS)
        expect(page.locator(".st-key-explore-grid")).to_contain_text("likeness 1.00", timeout=WAIT_MS)
        page.keyboard.press("Escape")
        settled(page)
        page.locator(".map").get_by_role("button", name="Whole map").click()
        lasso(page, 0.005, 0.6)
        expect(page.get_by_text("picked on the map")).to_be_visible(timeout=WAIT_MS)
        settled(page)
        page.locator(".st-key-explore-queue button").first.click()
        expect(title(page)).to_have_text("Correct", timeout=WAIT_MS)
        page.locator(".st-key-who-name input").fill("佐藤")
        page.locator(".st-key-who-name input").press("Enter")
        expect(page.get_by_text("Slice: picked on the map", exact=False)).to_be_visible(timeout=WAIT_MS)


def test_parts_of_the_map_need_a_valid_signature(web: Web) -> None:
    status, headers, body = web.get(address(web.site, "points"))
    assert status == 200 and len(body) == PHOTOS * 8 and headers["x-content-type-options"] == "nosniff"
    assert len(web.get(address(web.site, "colours", by="slot:defect"))[2]) == PHOTOS
    assert web.get("/map/points")[0] == 403
    assert web.get(address(web.site, "points").replace("s=", "s=0"))[0] == 403
    assert web.get(address(web.site, "photo", at=str(PHOTOS)))[0] == 404
    assert web.get(address(web.site, "colours", by="slot:none"))[0] == 404
    assert web.get(address(web.site, "elsewhere"))[0] == 404


def test_without_webgl_the_map_is_drawn_all_the_same(web: Web, started: Playwright) -> None:
    plain = started.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, "--disable-3d-apis"])
    with visit(plain, web) as page:
        open_map(page, "en")
        expect(page.locator(".map")).to_have_attribute("data-painter", "plain")
    plain.close()


def test_before_anything_is_embedded_the_page_says_what_brings_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.annotate.test_pages import rerun, show, texts

    (tmp_path / "photos").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo", demo=True)
    at = show("explore", site, "ja", monkeypatch)
    assert translator("ja")("No photo is embedded yet") in texts(at) and f"genba score {site.root}" in texts(
        at
    )
    rerun(at)
