"""The whole loop with real parts: `genba demo`, `genba up`, Label Studio, a Chromium, a retraining, the dashboard.

One small demo site is built and started for this file, as `make run` does it with a large one. The jobs that a person
would watch (scoring, the simulated crew, the first retraining) run while the tests wait for them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from annotate import label_studio_server
from annotate.label_studio import connect
from annotate.labeling_config import from_result
from dashboards import effects, figures, words
from data.messages import number, translator
from data.settings import set_value
from data.site import Site
from tests.browser import ARGUMENTS, chromium
from tests.conftest import CHECKOUT, ENVIRONMENT, free_port, genba, until

PHOTOS = 200
NAME = "佐藤 花子"
_ = translator("ja")


@dataclass
class Running:
    """The started site: its store and the supervisor's process."""

    site: Site
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.site.settings.web.port}"

    @property
    def studio(self) -> str:
        return label_studio_server.address(self.site.settings.label_studio.port)

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        with self.site.connect() as db:
            return db.rows(sql, list(parameters))

    def children(self) -> list[psutil.Process]:
        """The supervisor's living descendants."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in found if _command(child) is not None]

    def service(self, name: str) -> psutil.Process | None:
        """The process of one service: web, worker or label_studio_server. None while it is being started again."""
        return next((child for child in self.children() if name in (_command(child) or [])[2:5]), None)


def _command(process: psutil.Process) -> list[str] | None:
    """Its words, or None when it has ended, perhaps while it was being looked at."""
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("demo")
    site = Site.open(genba("demo", str(folder), "--photos", str(PHOTOS), "--json").json()["site"])
    for section, key, value in (
        ("web", "port", free_port()), ("label_studio", "port", free_port()),
        ("retrain", "steps", 6), ("retrain", "batch", 32), ("retrain", "seeds", 1),
    ):  # fmt: skip
        set_value(site.settings_path, section, key, value)
    site = Site.open(site.root)
    log = folder / "up.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "genba", "up", str(site.root)], cwd=CHECKOUT, stdout=file, stderr=file,
            env={**ENVIRONMENT, "CI": "true"}, start_new_session=True,
        )  # fmt: skip
    started = Running(site, process, log)
    try:
        until(lambda: _answers(f"{started.web}/healthz"), 60, f"the web page: {log.read_text()}")
        yield started
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _answers(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(address, timeout=2).status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def demo_done(running: Running) -> Running:
    """All three jobs of the demo have ended well."""

    def ended() -> bool:
        jobs = running.rows(
            "SELECT name, state, error FROM jobs WHERE name IN ('score', 'demo-crew', 'retrain')"
        )
        failed = [job for job in jobs if job["state"] in ("failed", "cancelled")]
        assert not failed, failed
        return {"score", "demo-crew", "retrain"} <= {job["name"] for job in jobs if job["state"] == "done"}

    until(ended, 300, "scoring, crew and retraining")
    return running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ja-JP")
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def test_the_page_opens_first_and_label_studio_follows(running: Running, page: Page) -> None:
    """The page works while nothing is scored yet, and says what is going on."""
    page.goto(running.web)
    expect(page.get_by_role("heading", name=_("Queue"))).to_be_visible()
    until(lambda: label_studio_server.is_healthy(running.studio), 120, "Label Studio")
    account = label_studio_server.credentials(running.site.folder("label-studio"))

    def is_told() -> bool:
        told = running.log.read_text()
        return all(text in told for text in (running.web, running.studio, account.email, account.password))

    until(is_told, 10, "addresses and sign-in in the terminal")


def test_the_crew_left_work_for_the_person_at_the_screen(demo_done: Running) -> None:
    judged = demo_done.rows("SELECT count(*) AS n, bool_and(simulated) AS simulated FROM corrections")[0]
    assert judged["n"] > 60 and judged["simulated"]
    names = demo_done.rows("SELECT DISTINCT annotator FROM corrections")
    assert all("simulated" in row["annotator"] for row in names)
    from annotate import queue

    assert queue.count(demo_done.site) >= 40
    doubles = demo_done.rows("SELECT pair_id FROM tasks GROUP BY pair_id HAVING count(*) > 1")
    assert doubles == []


def _sign_in(running: Running, page: Page) -> None:
    page.goto(f"{running.web}/correct")
    page.locator(".st-key-who-name input").fill(NAME)
    page.get_by_role("button", name=_("Start")).click()
    expect(page.get_by_text(_("Caption now"))).to_be_visible()


def test_a_correction_in_the_form_reaches_the_store_and_label_studio(demo_done: Running, page: Page) -> None:
    _sign_in(demo_done, page)
    photo = page.locator("img[src*='/photos/']").first
    expect(photo).to_be_visible()
    page.wait_for_function("image => image.naturalWidth > 100", arg=photo.element_handle())
    for row, answer in (("part", "ギア"), ("material", "ゴム"), ("defect", "なし"), ("background", "布")):
        option = (
            page.locator(f".st-key-row-{row}")
            .get_by_role("radio", name=answer, exact=True)
            .or_(page.locator(f".st-key-row-{row}").get_by_role("button", name=answer, exact=True))
        )
        if "Active" not in (
            option.first.get_attribute("kind") or option.first.get_attribute("data-testid") or ""
        ):
            option.first.click()
    count = page.locator(".st-key-row-count input")
    count.fill("3")
    count.press("Tab")
    expect(page.locator(".st-key-compiled")).to_contain_text("布の上のゴム製ギア3個。欠陥はありません。")
    page.locator(".st-key-fix button").click()
    expect(page.locator(".st-key-saved")).to_contain_text(_("Saved"))

    saved = demo_done.rows("SELECT * FROM corrections WHERE annotator = ?", NAME)
    assert len(saved) == 1 and saved[0]["verdict"] == "fix" and not saved[0]["simulated"]
    assert 0 < saved[0]["active_seconds"] < 120
    captions = demo_done.rows(
        "SELECT language, caption FROM pairs WHERE list_contains(?, pair_id) ORDER BY language",
        saved[0]["new_pair_ids"],
    )
    assert captions == [
        {"language": "en", "caption": "3 rubber gears with no defect, on the cloth"},
        {"language": "ja", "caption": "布の上のゴム製ギア3個。欠陥はありません。"},
    ]
    assert genba("sync", str(demo_done.site.root), "--json").json() is not None
    task = demo_done.rows("SELECT ls_task_id, ls_annotation_id FROM corrections WHERE annotator = ?", NAME)[0]
    client = connect(
        demo_done.studio, label_studio_server.credentials(demo_done.site.folder("label-studio")).token
    )
    there = client.annotations(task["ls_task_id"])
    assert there is not None and [one["id"] for one in there] == [task["ls_annotation_id"]]
    verdict, slots = from_result(demo_done.site.template(), there[0]["result"])
    assert verdict == "fix"
    assert slots == {
        "part": "gear",
        "count": 3,
        "material": "rubber",
        "defect": "none",
        "background": "cloth",
    }
    assert client.users()[there[0]["person"]]["name"] == NAME


def test_an_answer_of_label_studios_own_page_comes_back(demo_done: Running, page: Page) -> None:
    waiting = demo_done.rows(
        "SELECT t.* FROM tasks t WHERE NOT EXISTS (SELECT 1 FROM corrections c WHERE c.old_pair_id = t.pair_id) "
        "AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.pair_id = t.pair_id) LIMIT 1"
    )[0]
    account = label_studio_server.credentials(demo_done.site.folder("label-studio"))
    page.goto(f"{demo_done.studio}/user/login/")
    page.locator("input[name=email]").fill(account.email)
    page.locator("input[name=password]").fill(account.password)
    page.locator("input[name=password]").press("Enter")
    page.wait_for_url(lambda url: "/user/login" not in url)
    page.goto(f"{demo_done.studio}/projects/{waiting['ls_project_id']}/data?task={waiting['ls_task_id']}")
    photo = page.locator("img[src*='local-files']").first
    expect(photo).to_be_visible(timeout=60_000)
    page.wait_for_function("image => image.naturalWidth > 100", arg=photo.element_handle())
    page.get_by_text("このままで正しい").first.click()
    page.get_by_role("button", name=re.compile("submit", re.IGNORECASE)).first.click()

    def came_back() -> bool:
        genba("pull", str(demo_done.site.root), "--json").json()
        return bool(demo_done.rows("SELECT 1 FROM corrections WHERE old_pair_id = ?", waiting["pair_id"]))

    until(came_back, 60, "the annotation of Label Studio's page")
    found = demo_done.rows("SELECT * FROM corrections WHERE old_pair_id = ?", waiting["pair_id"])
    assert [(row["verdict"], row["source"], row["simulated"]) for row in found] == [
        ("ok", "label-studio", False)
    ]


def test_the_dashboard_shows_what_the_store_holds(demo_done: Running, page: Page) -> None:
    site = demo_done.site
    page.goto(f"{demo_done.web}/overview")
    expect(page.get_by_role("heading", name=_("Overview"))).to_be_visible()
    gain = effects.gain(site)
    assert isinstance(gain, effects.Effect)
    card = page.locator("[data-testid=stMetric]").filter(has_text=_("Effect of the last retraining"))
    expect(card.locator("[data-testid=stMetricValue]")).to_have_text(words.difference(gain.value, gain, "ja"))
    fixed = page.locator("[data-testid=stMetric]").filter(has_text=_("Captions fixed"))
    done = demo_done.rows(
        "SELECT count(DISTINCT old_pair_id) AS n FROM corrections "
        "WHERE state = 'active' AND verdict = 'fix' AND NOT simulated"
    )
    expect(fixed.locator("[data-testid=stMetricValue]")).to_have_text(number(done[0]["n"], "ja"))
    assert figures.work(site).fixed.people == done[0]["n"]
    page.locator("[data-testid=stSidebar]").get_by_text("English").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


@pytest.mark.parametrize("service", ["web", "worker", "annotate.label_studio_server"])
def test_a_killed_process_comes_back_and_nothing_saved_is_lost(demo_done: Running, service: str) -> None:
    before = demo_done.rows("SELECT correction_id FROM corrections ORDER BY 1")
    process = demo_done.service(service)
    assert process is not None
    process.kill()
    until(lambda: (again := demo_done.service(service)) and again.pid != process.pid, 30, "its return")
    until(lambda: _answers(f"{demo_done.web}/healthz"), 60, "the web page")
    until(lambda: label_studio_server.is_healthy(demo_done.studio), 60, "Label Studio")
    assert genba("doctor", str(demo_done.site.root), "--json").json()["clean"]
    assert demo_done.rows("SELECT correction_id FROM corrections ORDER BY 1") == before


def test_a_second_up_says_where_the_site_is_up(demo_done: Running) -> None:
    second = genba("up", str(demo_done.site.root))
    assert second.returncode == 1
    assert f"already up at http://127.0.0.1:{demo_done.site.settings.web.port}" in second.stderr


def test_interrupt_stops_all_and_the_site_is_clean(demo_done: Running) -> None:
    """Last in this file: afterwards nothing runs any more."""
    children = demo_done.children()
    assert len(children) >= 3
    demo_done.process.send_signal(signal.SIGINT)
    assert demo_done.process.wait(timeout=20) == 0
    gone = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert gone == []
    report = genba("doctor", str(demo_done.site.root), "--json").json()
    assert report["clean"], json.dumps(report)
