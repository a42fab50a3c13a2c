"""The real web process and a real Chromium: queue, form, store; languages; photos; what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import app
from annotate import form, queue
from data.demo.build import build_photos
from data.errors import GenbaError
from data.ingest import ingest
from data.served import photo_address
from data.settings import set_value
from data.sign_in import allowed_hosts
from data.site import Site, init_site
from data.store import now
from tests.annotate.conftest import free_port
from tests.annotate.sites import rows
from tests.browser import ARGUMENTS, chromium
from tests.conftest import CHECKOUT, until

NASTY = "<script>document.title = 'pwned'</script> **太字** [x](http://x) :red[y]"
WAIT_MS = 60_000
TEXTS = {
    "ja": {
        "queue": "キュー",
        "correct": "修正",
        "overview": "概要",
        "finder": "誤りの検出",
        "runs": "再学習",
        "jobs": "ジョブ",
    },
    "en": {
        "queue": "Queue",
        "correct": "Correct",
        "overview": "Overview",
        "finder": "Finder",
        "runs": "Retrainings",
        "jobs": "Jobs",
    },
}


@dataclass
class Web:
    """A site and the process that serves it."""

    site: Site
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()


def new_site(folder: Path) -> Site:
    """A site of eight rendered photos, scored by hand: the nasty caption first, then by name."""
    build_photos(folder / "source", scenes=8, seed=7, workers=1)
    site = init_site(
        folder / "site", [folder / "source" / "photos"], "parts", "demo", name="第一工場 <b>", demo=True,
        web_port=free_port(),
    )  # fmt: skip
    ingest(site, folder / "source" / "captions.csv")
    with site.connect() as db:
        found = db.rows("SELECT pair_id FROM pairs JOIN images USING (image_id) ORDER BY uri")
        db.execute("UPDATE pairs SET caption = ? WHERE pair_id = ?", [NASTY, found[0]["pair_id"]])
        db.insert(
            "scores",
            [{"pair_id": row["pair_id"], "encoder": "demo", "fingerprint": "f", "cosine": 0.1, "signals": {},
              "risk": 0.95 - 0.1 * place, "reasons": [], "scored_at": now()} for place, row in enumerate(found)],
        )  # fmt: skip
    return site


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    with serving(new_site(folder), cwd=folder) as running:
        yield running


@contextmanager
def serving(site: Site, cwd: Path) -> Iterator[Web]:
    """The process as `genba up` starts it, from a folder that is not the checkout's."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    path = site.folder("logs") / "web.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "genba", "web", str(site.root)], cwd=cwd, env=environment, stdout=log, stderr=log
        )  # fmt: skip
    running = Web(site, f"http://127.0.0.1:{site.settings.web.port}", process, path)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                running.get("/healthz")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(path.read_text(encoding="utf-8"))
                time.sleep(0.2)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:  # as genba up does (data/supervisor.py)
            process.kill()
            process.wait(timeout=30)
            warnings.warn("the web process did not end within 30 s of a signal", stacklevel=1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    assert path, "no Chromium: python -m tests.browser"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@contextmanager
def visit(browser: Browser, web: Web, complaints: list[str] | None = None) -> Iterator[Page]:
    """A new person's browser on the first page. complaints: what its console says, and requests to elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    if complaints is not None:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("request", lambda sent: None if sent.url.startswith((web.address, "ws://127.0.0.1", "data:", "blob:"))
                else complaints.append(sent.url))  # fmt: skip
    page.goto(web.address)
    expect(title(page)).to_be_visible(timeout=WAIT_MS)
    yield page
    context.close()


def title(page: Page) -> Any:
    return page.locator("[data-testid=stMain] h1").first


def speak(page: Page, language: str) -> None:
    """Switch the language in the sidebar."""
    page.locator(".st-key-language-switch").get_by_text({"ja": "日本語", "en": "English"}[language]).click()
    expect(page.locator(".st-key-language-switch button[aria-checked=true]")).to_have_text(
        {"ja": "日本語", "en": "English"}[language], timeout=WAIT_MS
    )


def go(page: Page, name: str, language: str) -> None:
    page.locator("[data-testid=stSidebar] a").filter(has_text=TEXTS[language][name]).click()
    expect(title(page)).to_have_text(TEXTS[language][name], timeout=WAIT_MS)


def enter_name(page: Page, name: str) -> None:
    page.locator(".st-key-who-name input").fill(name)
    page.locator(".st-key-who-name input").press("Enter")
    expect(page.locator(".st-key-form")).to_be_visible(timeout=WAIT_MS)


def pick(page: Page, slot: str, words: str) -> None:
    """Click one answer and wait until it stands as chosen."""
    answer = page.locator(f".st-key-row-{slot} button").get_by_text(words, exact=True)
    answer.click()
    chosen = page.locator(f".st-key-row-{slot} button[aria-checked=true]")
    expect(chosen).to_have_text(words, timeout=WAIT_MS)


def test_it_is_alive_and_says_so(web: Web) -> None:
    status, _headers, body = web.get("/healthz")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_a_correction_goes_from_the_queue_to_the_store(web: Web, browser: Browser) -> None:
    worst = queue.top(web.site, 1)[0]["pair_id"]
    answers = {"part": "bracket", "count": 1, "material": "brass", "defect": "chip", "place": "left",
               "severity": "severe", "background": "cloth"}  # fmt: skip
    made = form.compiled(web.site.template(), answers, ["ja", "en"])
    with visit(browser, web) as page:
        speak(page, "en")
        page.locator(f".st-key-open-{worst} button").click()
        enter_name(page, "佐藤")
        photo = page.locator(".st-key-viewer .viewer > .stage img")
        page.wait_for_function("img => img.complete && img.naturalWidth === 400", arg=photo.element_handle())
        page.locator(".st-key-row-count input").fill("1")
        for slot, words in (("part", "bracket"), ("material", "brass"), ("defect", "chip"), ("place", "left"),
                            ("severity", "severe"), ("background", "cloth")):  # fmt: skip
            pick(page, slot, words)
        for caption in made.values():
            expect(page.locator(".st-key-compiled")).to_contain_text(caption)
        page.keyboard.press("Enter")
        expect(page.locator(".st-key-saved")).to_contain_text(made["en"], timeout=WAIT_MS)
        assert page.locator("[data-testid=stMain]").evaluate("e => e.scrollHeight - e.clientHeight") <= 0, (
            "scrolls"
        )
    saved = rows(web.site, "SELECT * FROM corrections WHERE old_pair_id = ?", worst)
    assert [(row["verdict"], row["annotator"], row["slots"]) for row in saved] == [("fix", "佐藤", answers)]
    assert 0 < saved[0]["active_seconds"] < 300
    pairs = rows(web.site, "SELECT caption FROM pairs WHERE origin = 'correction' ORDER BY language DESC")
    assert [row["caption"] for row in pairs] == [made["ja"], made["en"]]


def test_a_reload_keeps_name_language_and_half_typed_answers(web: Web, browser: Browser) -> None:
    with visit(browser, web) as page:
        speak(page, "en")
        go(page, "correct", "en")
        enter_name(page, "鈴木")
        pick(page, "background", "conveyor")
        expect(page.locator(".st-key-compiled")).to_contain_text("conveyor")
        page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
        caption = page.locator(".st-key-old-caption").inner_text()
        page.reload()
        expect(page.locator(".st-key-row-background button[aria-checked=true]")).to_have_text(
            "conveyor", timeout=WAIT_MS
        )
        assert page.locator(".st-key-old-caption").inner_text() == caption
        assert page.locator(".st-key-name-field input").input_value() == "鈴木"
        chosen = page.locator(".st-key-row-background button[aria-checked=true]")
        assert chosen.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(11, 90, 120)", "style.css"


LABELS = """() => [...document.querySelectorAll('[aria-label]:not(svg *), [placeholder], [title]:not(svg *)')]
  .flatMap(node => ['aria-label', 'placeholder', 'title'].map(name => node.getAttribute(name))).filter(Boolean)"""


def english_labels(page: Page) -> set[str]:
    """Labels and hints for which nobody has found Japanese words: names of files and people count as none."""
    return {one for one in page.evaluate(LABELS) if re.fullmatch(r"[ -~]*[A-Za-z]{3}[ -~]*", one)}


def test_every_page_speaks_both_languages_and_complains_of_nothing(web: Web, browser: Browser) -> None:
    complaints: list[str] = []
    with visit(browser, web, complaints) as page:
        for language in ("en", "ja"):
            speak(page, language)
            for name in ("overview", "finder", "runs", "jobs", "queue"):
                go(page, name, language)
                expect(page.locator("[data-testid=stException]")).to_have_count(0)
                if language == "ja":  # Streamlit's own words too
                    until(lambda: not english_labels(page), WAIT_MS / 1000, f"no English label on {name}")
                else:
                    assert english_labels(page) & {"Collapse sidebar", "Navigate to home page"}
        assert page.title() == "キュー · 第一工場 <b>"
        expect(page.locator("[data-testid=stSidebar]")).to_contain_text("第一工場 <b>")
        expect(page.locator("[data-testid=stAppDeployButton], [data-testid=stMainMenu]")).to_have_count(0)
    assert complaints == []


def test_markup_in_a_caption_is_shown_as_it_is_written(web: Web, browser: Browser) -> None:
    with web.site.connect() as db:
        db.execute("UPDATE corrections SET state = 'withdrawn'")  # it waits again
    with visit(browser, web) as page:
        expect(page.get_by_text(NASTY, exact=True)).to_be_visible(timeout=WAIT_MS)
        assert "pwned" not in page.title()


def test_photos_need_a_valid_signature(web: Web) -> None:
    image_id = queue.top(web.site, 1)[0]["image_id"]
    status, headers, body = web.get(photo_address(web.site, image_id))
    assert status == 200 and body[:3] == b"\xff\xd8\xff" and headers["content-type"] == "image/jpeg"
    assert headers["cache-control"].startswith("private") and headers["x-content-type-options"] == "nosniff"
    assert web.get(f"/photos/{image_id}.jpg")[0] == 403
    assert web.get(photo_address(web.site, image_id)[:-1] + "x")[0] == 403
    assert web.get(photo_address(web.site, image_id, at=time.time() - 3 * 24 * 3600))[0] == 403
    assert web.get(photo_address(web.site, image_id).replace(image_id, "0" * 64))[0] == 403
    assert web.get(photo_address(web.site, "0" * 64))[0] == 404
    assert web.get("/photos/..%2f..%2fgenba.toml.jpg?e=9999999999&s=0")[0] in (400, 403, 404)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "evil.example@127.0.0.1", ""])
def test_another_name_for_this_machine_is_refused(web: Web, host: str) -> None:
    for path in ("/", "/healthz", photo_address(web.site, queue.top(web.site, 1)[0]["image_id"])):
        assert web.get(path, Host=host)[0] == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST:1234", "[::1]:8501"])
def test_loopback_names_are_answered(web: Web, host: str) -> None:
    assert web.get("/healthz", Host=host)[0] == 200


def test_a_page_elsewhere_cannot_open_the_websocket(web: Web) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    socket = web.address.replace("http", "ws") + "/_stcore/stream"
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
        with pytest.raises(InvalidStatus, match="403"):
            connect(socket, origin=origin)
    connect(socket, origin=web.address).close()


def test_each_browser_gets_its_own_cookie_once(web: Web) -> None:
    first = web.get("/", Accept="text/html")[1]["set-cookie"]
    assert "HttpOnly" in first and "SameSite=Lax" in first
    assert first != web.get("/", Accept="text/html")[1]["set-cookie"]
    assert "set-cookie" not in web.get("/", Accept="text/html", Cookie=first.split(";")[0])[1]
    assert "set-cookie" not in web.get("/healthz")[1]


def test_it_is_not_served_to_others_without_sign_in(web: Web) -> None:
    with pytest.raises(GenbaError, match=r"0\.0\.0\.0 can be reached by others"):
        app.serve(web.site, "0.0.0.0", 1)  # noqa: S104


def test_sign_in_needs_its_secrets_and_brings_its_host_name(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo", demo=True)
    set_value(site.settings_path, "web", "sign_in", "oidc")
    site = Site.open(site.root)
    with pytest.raises(GenbaError, match=r"secrets\.toml cannot be read"):
        allowed_hosts(site)
    secrets = site.root / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text('[auth]\nredirect_uri = "https://genba.example.com/oauth2callback"\nclient_id = "x"\n')
    with pytest.raises(GenbaError, match="lacks cookie_secret, client_secret, server_metadata_url"):
        allowed_hosts(site)


def test_with_sign_in_nothing_is_shown_to_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit.testing.v1 import AppTest

    (tmp_path / "photos").mkdir()
    site = init_site(
        tmp_path / "site", [tmp_path / "photos"], "parts", "demo", name="Secret plant", demo=True
    )
    set_value(site.settings_path, "web", "sign_in", "oidc")
    monkeypatch.setenv("GENBA_SITE", str(site.root))
    monkeypatch.setattr(app.person, "browser_key", lambda: None)
    at = AppTest.from_file(str(CHECKOUT / "app.py"), default_timeout=60)
    at.secrets["auth"] = {"redirect_uri": "http://localhost/oauth2callback", "cookie_secret": "x"}
    at.run()
    assert not at.exception
    assert [button.label for button in at.button] == ["サインイン"] and len(at.sidebar) == 0
    assert "pages" not in at.session_state


def test_no_setting_of_the_starting_folder_counts(web: Web) -> None:
    given = app.options(web.site, "127.0.0.1", 8501)
    assert given["browser.gatherUsageStats"] is False and given["server.enableXsrfProtection"] is True
    assert given["client.toolbarMode"] == "minimal"
    from streamlit import config

    assert [key for key in given if key not in config._config_options_template] == []


def test_it_stops_at_once_with_a_browser_connected(tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "photos").mkdir()
    site = init_site(
        tmp_path / "site", [tmp_path / "photos"], "parts", "demo", demo=True, web_port=free_port()
    )
    with serving(site, tmp_path) as running, visit(browser, running):
        began = time.monotonic()
        running.process.terminate()
        running.process.wait(timeout=30)
        assert time.monotonic() - began < 8
