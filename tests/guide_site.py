"""A copy of the demo site with more work in it, for pictures: drafts, a lot, second opinions, decisions, a map.

The site itself is only read. Everything is made by the functions that the pages call; the answers of the people named
here exist in the copy alone.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate import adjudication, corrections, drafts, lots, queue, reviews
from dashboards import assumptions, finder, personal_scan
from data.errors import GenbaError
from data.settings import set_value
from data.site import Site
from scoring import site_map
from tests.conftest import free_port

NAMES = {"ja": "佐藤", "en": "Maria"}  # the person at the screen
COLLEAGUES = {"ja": ("鈴木", "田中"), "en": ("Tom", "Lee")}  # gives second opinions; decides
WHY = {
    "ja": "キズではなく亀裂です。拡大すると深さが分かります。",
    "en": "This is a crack, not a scratch: seen from near it has depth.",
}
CREW = ("A", "B")  # simulated crews get no second opinions
LEFT_OUT = shutil.ignore_patterns("label-studio", "logs", "*.lock")
COUNT, BY_PERSON = 70, 4  # pairs that are answered twice; those of each person at the screen
SKIPPED = 40  # the queue's top stays for the pictures
LINE = 0.4  # the small encoder is rarely surer than that
CHECKED = 3  # of the lot
ASSUMED = {"searches": 2000.0, "search_seconds": 30.0, "items": 1000.0, "error": 500.0}  # of the ROI
BAD_CAPTION_YEN = 60.0
UNWANTED = ("要確認", "不良品", "defective")  # what the page on privacy finds


@dataclass(frozen=True)
class Told:
    """What the renderer drew, by pair."""

    pair_id: str
    slots: dict[str, Any]


def furnished(site: Site, folder: Path) -> Site:
    """The copy below `folder`, with a free port. Raises GenbaError for a site that is no demo."""
    if not site.settings.site.demo:
        raise GenbaError(f"{site.root} is no demo site: its pictures would show real photos.")
    with site.connect():  # nobody writes meanwhile
        shutil.copytree(site.root, folder / "site", ignore=LEFT_OUT)
    copy = _set(Site.open(folder / "site"), "web", port=free_port())
    (copy.root / "logs").mkdir(exist_ok=True)
    drafts.make(copy)
    site_map.make(copy)
    told = told_of(copy, COUNT, SKIPPED)
    copy = _set(copy, "review", share=1.0)
    for language, name in NAMES.items():
        cracks = [one for one in told if one.slots["defect"] == "crack"][:BY_PERSON]
        told = [one for one in told if one not in cracks]
        second_opinions(copy, cracks, name, COLLEAGUES[language][0], every=2)
        decide_one(copy, language)
    second_opinions(copy, told, *CREW)
    copy = _set(copy, "review", share=0.1)
    copy = _set(copy, "drafts", line=LINE)
    open_a_lot(copy)
    price(copy)
    copy = _set(copy, "privacy", forbidden_terms=list(UNWANTED))
    personal_scan.scan(copy)
    return copy


def _set(site: Site, section: str, **values: Any) -> Site:
    for key, value in values.items():
        set_value(site.settings_path, section, key, value)
    return Site.open(site.root)


def told_of(site: Site, count: int, skip: int = 0) -> list[Told]:
    """Pairs of the queue below its top `skip`, and what is true of their photos."""
    truth = Path(site.settings.photos.roots[0]).parent / "truth.jsonl"
    rows = map(json.loads, truth.read_text(encoding="utf-8").splitlines())
    slots = {Path(row["image"]).name: row["slots"] for row in rows}
    return [Told(row["pair_id"], slots[Path(row["image"]).name]) for row in queue.top(site, count, skip)]


def second_opinions(site: Site, told: list[Told], first: str, second: str, every: int = 6) -> None:
    """Both answer each pair, where [review] draws it; every so often they differ in the defect."""
    for number, one in enumerate(told):
        differs = number % every == every - 1
        mine = _otherwise(one.slots) if differs else one.slots
        common: dict[str, Any] = {"pair_id": one.pair_id, "verdict": "fix"}
        corrections.submit(site, annotator=first, slots=mine, active_seconds=14.0 + number % 9, **common)
        with site.connect() as db:
            open_ones = db.rows("SELECT pair_id FROM reviews WHERE state = 'open'")
            taken = reviews.take(
                db, second, [row["pair_id"] for row in open_ones if row["pair_id"] != one.pair_id]
            )
        if taken and queue.claim(site, second, pair_id=one.pair_id):
            seconds = 16.0 + number % 7
            corrections.submit(site, annotator=second, slots=one.slots, active_seconds=seconds, **common)


def _otherwise(slots: dict[str, Any]) -> dict[str, Any]:
    """The same answers with another defect."""
    if slots["defect"] == "none":
        return {**slots, "defect": "stain", "place": "centre", "severity": "slight"}
    return {**slots, "defect": "scratch" if slots["defect"] != "scratch" else "crack"}


def decide_one(site: Site, language: str) -> None:
    """A lead decides one case of the person at the screen; the others wait."""
    for case in adjudication.cases(site):
        if case.first and case.first.annotator == NAMES[language]:
            adjudication.decide(
                site,
                case.case_id,
                "second",
                by=COLLEAGUES[language][1],
                why=WHY[language],
                seen=case.first_id,
            )
            return


def price(site: Site) -> None:
    """A saved set of assumptions, and what a bad caption costs that stays."""
    known = assumptions.defaults(site)
    spread = {key: assumptions.spread(value, assumptions.KEYS[key][1]) for key, value in ASSUMED.items()}
    lead = COLLEAGUES["ja"][1]
    assumptions.save(site, "2026", {**known.ranges, **spread}, list(known.ranges), lead)
    finder.say_bad_caption_cost(site, BAD_CAPTION_YEN, lead)


def open_a_lot(site: Site, size: int = lots.MOST) -> None:
    """An open lot of which some are checked."""
    lot = lots.open_lot(site, by=COLLEAGUES["ja"][1], size=size, rng=random.Random(3))
    for _turn in range(CHECKED):
        check = lots.next_check(site, lot.lot_id)
        if check:
            lots.judge(site, lot.lot_id, check.draft_id, True, COLLEAGUES["ja"][0], 9.0)
