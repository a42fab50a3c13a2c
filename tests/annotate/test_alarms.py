"""Each alarm: raised when it should be, silent when it should be."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from annotate import alarms, corrections, lots
from annotate.alarms import Verdict, let_through, out_of_line, reading_seconds, too_fast
from annotate.draft_words import alarm_words
from annotate.drafts import best_draft
from data.settings import set_value
from data.site import Site
from data.store import now
from tests.annotate.lot_sites import NUT, add_drafts
from tests.annotate.piles import pair_name, pile

CAPTIONS = {
    "ja": "トレーの上の真鍮製ナット1個。欠陥はありません。",
    "en": "1 brass nut with no defect, on the tray",
}


def verdicts(
    person: str, right: int, wrong: int = 0, seconds: float = 8.0, planted: bool = False
) -> list[Verdict]:
    return [Verdict(person, at < right, CAPTIONS, seconds, planted) for at in range(right + wrong)]


def test_reading_time_is_that_of_the_quicker_language() -> None:
    assert reading_seconds(CAPTIONS) == pytest.approx(min(len(CAPTIONS["ja"]) / 10, len(CAPTIONS["en"]) / 25))
    assert reading_seconds({"ja": "あ" * 30}) == 3.0


def test_faster_than_reading() -> None:
    slow, limit = verdicts("佐藤", 20, seconds=2.0), reading_seconds(CAPTIONS)
    hasty = verdicts("鈴木", 3, seconds=limit - 0.1) + verdicts("鈴木", 10, seconds=5.0)
    slip = verdicts("高橋", 2, seconds=0.2)
    refusing = verdicts("田中", 0, wrong=10, seconds=0.3)  # a wrong one may be seen at once
    found = too_fast([*slow, *hasty, *slip, *refusing])
    assert [(one.person, one.n, one.of) for one in found] == [("鈴木", 3, 13)]
    assert "鈴木" in alarm_words(found[0], "ja") and "3 of 13" in alarm_words(found[0], "en")


def test_approvals_out_of_line_with_the_audit() -> None:
    """The audit finds 70 of 100 right: 95 % interval 60 to 79 %. 60 of 60 is more, 10 of 30 less, 24 of 30 in line."""
    given = verdicts("佐藤", 60) + verdicts("鈴木", 10, wrong=20) + verdicts("高橋", 24, wrong=6)
    found = out_of_line(given, 70, 100)
    assert {(one.person, one.kind) for one in found} == {("佐藤", "approves_more"), ("鈴木", "approves_less")}
    assert all(one.p is not None and one.p < alarms.ALPHA for one in found)
    assert out_of_line(given, 13, 19) == []  # an audit that says too little
    assert out_of_line(verdicts("佐藤", 9), 30, 100) == []  # too few verdicts
    assert out_of_line(verdicts("佐藤", 60, planted=True), 70, 100) == []  # planted ones are another alarm


def test_planted_drafts_let_through() -> None:
    given = (
        verdicts("佐藤", 2, wrong=3, planted=True)
        + verdicts("鈴木", 0, wrong=5, planted=True)
        + verdicts("佐藤", 9)
    )
    assert [(one.person, one.n, one.of) for one in let_through(given)] == [("佐藤", 2, 5)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = pile(tmp_path, 160, split=lambda number: "train")
    for number in range(150, 160):
        corrections.submit(
            made, pair_id=pair_name(number), annotator="鈴木", verdict="fix", slots={**NUT, "part": "bolt"},
            active_seconds=9,
        )  # fmt: skip
    add_drafts(made, range(80))
    set_value(made.settings_path, "drafts", "wrong_share", 0.2)  # a small sample
    return Site.open(made.root)


def test_all_three_from_the_store(site: Site) -> None:
    """Somebody waves a lot through in half a second a draft, while the audit found half of such drafts wrong."""
    with site.connect() as db:
        given = {"draw": "d", "stratum": "all", "inclusion_probability": 0.1, "drawn_at": now()}
        db.insert("audits", [{"pair_id": pair_name(number), **given} for number in range(100, 140)])
    add_drafts(site, range(100, 120), state="known", is_right=True)
    add_drafts(site, range(120, 140), state="known", is_right=False)
    lot = lots.open_lot(site, "佐藤", rng=random.Random(1))
    assert alarms.alarms(site) == []
    while check := lots.next_check(site, lot.lot_id):
        lots.judge(site, lot.lot_id, check.draft_id, True, "田中", 0.5)
    found = {one.kind: one for one in alarms.alarms(site, lot.lot_id)}
    assert set(found) == {"fast", "planted", "approves_more"}
    assert found["planted"].n == found["planted"].of == lot.planted
    assert found["approves_more"].expected == 0.5 and found["approves_more"].of == lot.plan.sample


def test_drafts_approved_in_the_form_are_watched_too(site: Site) -> None:
    for number in range(4):
        draft = best_draft(site, pair_name(number))
        corrections.submit(
            site, pair_id=pair_name(number), annotator="田中", verdict="fix", slots=NUT, active_seconds=0.4,
            draft=draft,
        )  # fmt: skip
    corrections.submit(
        site, pair_id=pair_name(9), annotator="田中", verdict="fix", slots={**NUT, "part": "gear"},
        active_seconds=0.4, draft=best_draft(site, pair_name(9)),
    )  # fmt: skip  # changed: somebody looked
    found = alarms.alarms(site)
    assert [(one.kind, one.n, one.of, one.where) for one in found] == [("fast", 4, 4, "form")]
