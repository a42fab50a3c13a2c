"""How long each page takes to load on a large site: in a real Chromium, from the address entered to a page at rest.

    python -m tests.load_pages --like demo-site/site --pairs 1000000 --corrections 50000 --json pages.json

The site is made of rows (tests/large_site.py) in a temporary folder, or named by --site when one was kept.

    first     before anything was counted (dashboards/kept.py): once in the life of a site
    cold      the first load after a start of the app, which is started anew for each page
    warm      the median of the next REPEATS, once what the start brought is done (the encoder is read, figures counted)
    changed   right after one more answer was written, as while people work
    app_cpu   processor time of the app for one warm load

A page is at rest when its script has ended, nothing on it is stale or still to be drawn, and that for QUIET_MS; the
time is that of the first moment of it, without the wait.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from data import kept
from data.site import Site
from data.store import now
from tests.browser import ARGUMENTS, install
from tests.large_site import grown
from tests.screenshots import HEIGHT, NAMES, WAIT_MS, WIDTH
from tests.test_app import serving

PAGES = ("queue", "correct", "explore", "feedback", "review", "adjudicate", "lots", "overview", "quality", "staff",
         "finder", "runs", "pilot", "roi", "privacy", "jobs", "operations", "template", "guide")  # fmt: skip
LIMIT = 1.5  # seconds, as asked
REPEATS = 3
IDLE_S, IDLE_SHARE = 60, 0.15
QUIET_MS = 300  # shorter than the time between two looks of a part that renews itself every two seconds
AT_REST = """quiet => {
  const app = document.querySelector("[data-testid=stApp]");
  const charts = [...document.querySelectorAll("[data-testid=stVegaLiteChart]")];
  const isInSight = one => {
    const box = one.getBoundingClientRect();
    return box.top < innerHeight && box.bottom > 0 && box.width > 0};
  const isBusy = !app || app.dataset.testScriptState !== "notRunning"
    || !document.querySelector("[data-testid=stMainBlockContainer] h1")
    || document.querySelector("[data-stale=true], [data-testid=stSkeleton], [data-testid=stSpinner]")
    || charts.some(one => !one.querySelector("canvas, svg"))
    || [...document.images].some(one => !one.complete && isInSight(one));  // last: it has the page laid out
  if (isBusy) { window.restingSince = null; return false; }
  window.restingSince ??= performance.now();
  return performance.now() - window.restingSince > quiet ? window.restingSince : false;
}"""


@dataclass(frozen=True)
class Load:
    """Seconds from the address entered to the page at rest."""

    page: str
    first: float
    cold: float
    warm: float
    changed: float
    app_cpu: float  # processor seconds of the app for one warm load: what a busy machine does not stretch

    @property
    def is_within(self) -> bool:
        return max(self.cold, self.warm, self.changed) <= LIMIT


def opened(page: Page, address: str, name: str) -> float:
    """Seconds of one load."""
    page.goto(f"{address}/{name}", wait_until="commit")
    since_start_ms = page.wait_for_function(AT_REST, arg=QUIET_MS, timeout=WAIT_MS, polling=20).json_value()
    return float(since_start_ms) / 1000


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far; what it does behind its pages counts too. Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(pid: int) -> None:
    """Until a process has used little of a processor for a second. Raises TimeoutError after IDLE_S."""
    time.sleep(kept.AFTER_SECONDS + 1)  # then the counts behind the page begin
    deadline = time.monotonic() + IDLE_S
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(1)
        if cpu_seconds(pid) - before < IDLE_SHARE:
            return
    raise TimeoutError(f"The app has not come to rest within {IDLE_S} s.")


def one_answer(site: Site) -> None:
    """One more answer, so that nothing that was counted before is of now."""
    with site.connect() as db:
        pair = db.value(
            "SELECT pair_id FROM pairs p WHERE origin = 'legacy' AND NOT EXISTS (SELECT 1 FROM corrections c "
            "WHERE c.old_pair_id = p.pair_id) ORDER BY pair_id LIMIT 1"
        )
        db.insert("corrections", [{
            "correction_id": f"one {pair}", "old_pair_id": pair, "new_pair_ids": [pair], "verdict": "ok",
            "template": "parts", "template_version": 1, "slots": {}, "reason": "", "annotator": "person 1",
            "simulated": False, "active_seconds": 9.0, "source": "app", "state": "active", "created_at": now(),
        }])  # fmt: skip


def measure(site: Site, names: Sequence[str], pictures: Path | None = None) -> list[Load]:
    """Every page, each in a process of its own. pictures: a folder for one screenshot of each."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=install(), args=ARGUMENTS)
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        with serving(
            site, cwd=site.root
        ) as web:  # the visitor gives a name, and the browser keeps the app's files
            page.goto(f"{web.address}/correct")
            page.locator(".st-key-who-name input").fill(NAMES["en"])
            page.locator(".st-key-who-name input").press("Enter")
            page.wait_for_function(AT_REST, arg=QUIET_MS, timeout=WAIT_MS)
            (site.root / kept.FILE).unlink(missing_ok=True)
            first = {name: opened(page, web.address, name) for name in names}
        for name in names:
            page.close()  # a renderer that has drawn many pages grows slow
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            with serving(site, cwd=site.root) as web:
                cold = opened(page, web.address, name)
                wait_until_idle(web.process.pid)
                before = cpu_seconds(web.process.pid)
                warm = median(opened(page, web.address, name) for _turn in range(REPEATS))
                app_cpu = (cpu_seconds(web.process.pid) - before) / REPEATS
                one_answer(site)
                changed = opened(page, web.address, name)
                if pictures:
                    page.screenshot(path=pictures / f"{name}.png")
                page.goto("about:blank")
            found.append(
                Load(
                    name,
                    round(first[name], 2),
                    round(cold, 2),
                    round(warm, 2),
                    round(changed, 2),
                    round(app_cpu, 2),
                )
            )
            print(found[-1], f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        browser.close()
    return found


def known_pages() -> list[str]:
    """Those of PAGES that this checkout has."""
    folders = ("dashboards.pages", "annotate.pages")
    also = {"template": "template_editor"}
    return [
        name for name in PAGES if any(find_spec(f"{folder}.{also.get(name, name)}") for folder in folders)
    ]


def main(words: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load_pages", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--like", type=Path, default=Path("demo-site/site"), help="what the site begins as")
    parser.add_argument("--site", type=Path, help="a site that stands already, in place of a new one")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--corrections", type=int, default=50_000)
    parser.add_argument("--pages", nargs="+", default=known_pages())
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        site = Site.open(given.site) if given.site else grown(
            Site.open(given.like), Path(folder), given.pairs, given.corrections)  # fmt: skip
        load = os.getloadavg()[0]
        found = measure(site, given.pages, given.pictures)
        with site.connect() as db:
            pairs = db.value("SELECT count(*) FROM pairs WHERE origin IN ('legacy', 'draft')")
            corrections = db.value("SELECT count(*) FROM corrections")
    told = {
        "pairs": pairs, "corrections": corrections, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_before": round(load, 1), "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "limit_s": LIMIT, "pages": [asdict(one) for one in found],
    }  # fmt: skip
    text = json.dumps(told, indent=1) + "\n"
    if given.json:
        given.json.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
