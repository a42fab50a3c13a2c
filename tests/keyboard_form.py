"""How long a typical correction takes by keyboard alone, with no time for thought: a real Chromium, real keys.

python -m tests.keyboard_form SITE --people 20 --seconds 60     # writes docs/benchmarks/form.json and form.md

The figures of tests/load_form.py are written beside it. The first correction is left out: the encoder is being loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from data.settings import set_value
from data.site import Site
from tests import load_form
from tests.browser import ARGUMENTS, install
from tests.conftest import CHECKOUT, free_port
from tests.test_app import WAIT_MS, enter_name, serving

FOLDER = CHECKOUT / "docs" / "benchmarks"
# What is open when the form appears -> the kind of correction, and what is typed before Enter.
KINDS = {
    "defect": ("the defect is missing", ["2", "3", "2"]),  # defect, place, severity
    "part": (
        "nothing is known",
        ["1", "1", "ArrowDown", "4", "2", "3", "2", "1"],
    ),  # of the number on by hand
}
# "TOKEN SLOT" of the question that the keyboard is at; each pair in hand has a token of its own.
AT = (
    "(document.activeElement?.closest('[class*=\"st-key-slot-\"]')?.className"
    ".match(/st-key-slot-(\\w+)-(\\w+)/)?.slice(1).join(' ') ?? '')"
)


def correct(page: Page, keys: list[str], token: str) -> tuple[list[float], float]:
    """Type one correction. Milliseconds of each key until the browser has taken it, and of all until the next pair."""
    began, each = time.perf_counter(), []
    for key in [*keys, "Enter"]:
        pressed = time.perf_counter()
        page.keyboard.press(key)
        each.append(1000 * (time.perf_counter() - pressed))
    page.wait_for_function(f"(before) => {AT} && !{AT}.startsWith(before)", arg=token, timeout=WAIT_MS)
    return each, 1000 * (time.perf_counter() - began)


def prepare(site: Site) -> None:
    """Nothing in work; of every second caption all is known but the defect, of the others nothing."""
    template = site.template()
    known = template.caption(
        {"part": "bolt", "count": 1, "material": "steel", "defect": "none", "background": "tray"}, "en"
    )
    assert " with no defect" in known
    with site.connect() as db:
        db.execute("DELETE FROM leases")
        db.execute("DELETE FROM audits")
        db.execute("DELETE FROM pairs WHERE state = 'missing'")
        db.execute(
            "UPDATE pairs SET language = 'en', caption = CASE WHEN rowid % 2 = 0 THEN ? ELSE 'sample' END || ' ' || "
            "left(pair_id, 4) WHERE origin = 'legacy'",
            [known.replace(" with no defect", "")],
        )


def by_keyboard(address: str, corrections: int) -> dict[str, Any]:
    """The figures by kind of correction."""
    found: dict[str, list[tuple[list[float], float]]] = {kind: [] for kind, _keys in KINDS.values()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=install(), args=ARGUMENTS)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{address}/correct")
        enter_name(page, "Keyboard")
        expect(page.locator(".st-key-meter")).to_be_visible(timeout=WAIT_MS)
        for _number in range(corrections + 1):
            token, first = page.wait_for_function(AT, timeout=WAIT_MS).json_value().split()
            kind, keys = KINDS[first]
            found[kind].append(correct(page, keys, token))
        browser.close()
    return {kind: _summary(times[1:]) for kind, times in found.items() if len(times) > 2}


def _summary(times: list[tuple[list[float], float]]) -> dict[str, Any]:
    totals = sorted(total for _each, total in times)
    return {
        "corrections": len(times),
        "keystrokes": len(times[0][0]),
        "total_ms_median": round(statistics.median(totals)),
        "total_ms_max": round(totals[-1]),
        "key_ms_median": round(statistics.median(ms for each, _total in times for ms in each), 1),
    }


def run(root: Path, people: int, seconds: float, corrections: int) -> dict[str, Any]:
    """Both measurements, each on a copy of the site."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "site"
        shutil.copytree(root, copy)
        set_value(copy / "genba.toml", "web", "port", free_port())
        site = Site.open(copy)
        prepare(site)
        with serving(site, cwd=Path(folder)) as web:
            keyboard = by_keyboard(web.address, corrections)
    return {
        "machine": {"processors": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)},
        "keyboard": keyboard,
        "crowd": load_form.measure(root, people, seconds),
    }


def page_of(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    crowd, lines = found["crowd"], []
    lines += [
        "# The correction page: figures",
        "",
        "Written by `python -m tests.keyboard_form`; by hand nothing.",
        "",
    ]
    lines += ["| correction by keyboard alone | keys | median ms | longest ms |", "|---|---|---|---|"]
    for kind, one in found["keyboard"].items():
        lines.append(f"| {kind} | {one['keystrokes']} | {one['total_ms_median']} | {one['total_ms_max']} |")
    lines += ["", "From the first key until the next pair stands there; nobody thinks meanwhile.", ""]
    lines += [f"| {crowd['people']} people at work | requests | median ms | p95 ms |", "|---|---|---|---|"]
    for what in ("click", "save", "all"):
        lines.append(
            f"| {what} | {crowd[what]['n']} | {crowd[what]['median_ms']} | {crowd[what]['p95_ms']} |"
        )
    machine, cpu = found["machine"], crowd["server_cpu_ms_per_request"]
    lines += [
        "",
        f"{machine['processors']} processors, load {machine['load_before']} before; the people run on the same",
    ]
    lines += [f"machine. {cpu} ms of a processor for a request."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--corrections", type=int, default=20)
    given = parser.parse_args()
    found = run(given.site, given.people, given.seconds, given.corrections)
    (FOLDER / "form.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (FOLDER / "form.md").write_text(page_of(found), encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
