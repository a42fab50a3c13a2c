"""Lots on a real store: the drawn sample decides, and only its decision makes captions of drafts."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from annotate import corrections, drafts, lots, queue
from annotate.draft_planting import spoil
from annotate.lots import Lot
from annotate.pages.progress import answered_today
from annotate.recent import recent
from data.errors import GenbaError
from data.settings import set_value
from data.site import Site
from data.snapshots import collect
from tests.annotate.lot_sites import NUT, add_drafts
from tests.annotate.piles import NEVER, Sure, pair_name, pile
from tests.annotate.sites import rows


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Sixty pairs of training photos with drafts, ten more that people have corrected."""
    made = pile(tmp_path, 70, split=lambda number: "train")
    for number in range(60, 70):
        corrections.submit(
            made, pair_id=pair_name(number), annotator="鈴木", verdict="fix", slots={**NUT, "part": "bolt"},
            active_seconds=9,
        )  # fmt: skip
    add_drafts(made, range(60))
    set_value(made.settings_path, "drafts", "wrong_share", 0.2)  # a small sample
    return Site.open(made.root)


def opened(site: Site, **given: Any) -> Lot:
    return lots.open_lot(site, "佐藤", rng=random.Random(3), **given)


def check_all(site: Site, lot: Lot, wrong: int = 0, lets_through: bool = False) -> None:
    """Judge the sample: planted ones as wrong (unless let through), and so many of the others."""
    planted = {row["draft_id"] for row in rows(site, "SELECT draft_id FROM drafts WHERE planted")}
    while check := lots.next_check(site, lot.lot_id):
        if check.draft_id in planted:
            is_right = lets_through
        else:
            is_right, wrong = wrong <= 0, wrong - 1
        assert lots.judge(site, lot.lot_id, check.draft_id, is_right, "高橋", 8.0)


def captions(site: Site) -> list[str]:
    """Every caption that a snapshot would hold: training rows old and new, and held-out items."""
    found = collect(site)
    new = [one["caption"] for row in found.train for one in row["new_captions"]]
    return [*new, *(row["caption"] for row in found.train), *(row["caption"] for row in found.items)]


DRAFTED = "1 brass nut with no defect, on the tray"


def test_an_accepted_lot_becomes_captions_with_lineage(site: Site) -> None:
    lot = opened(site)
    assert (lot.plan.size, lot.plan.accept_number, lot.planted) == (
        60,
        1,
        max(1, round(0.1 * lot.plan.sample)),
    )
    assert lot.to_check == lot.plan.sample + lot.planted
    assert queue.count(site) == 0  # its pairs wait for the lead, not for staff
    with pytest.raises(GenbaError, match="not checked yet"):
        lots.decide(site, lot.lot_id, True, "佐藤")
    check_all(site, lot, wrong=1)
    done = lots.decide(site, lot.lot_id, True, "佐藤")
    assert (done.state, done.approved, done.wrong) == ("accepted", 59, 1)
    assert queue.count(site) == 1  # what was called wrong
    made = rows(site, "SELECT * FROM corrections WHERE source = 'lot'")
    assert len(made) == 59
    one = made[0]
    assert (one["verdict"], one["annotator"], one["simulated"], one["state"]) == (
        "fix",
        "佐藤",
        False,
        "active",
    )
    assert one["draft"]["lot"] == lot.lot_id and one["draft"]["drafter"] == "zero-shot"
    assert one["draft"]["edit_distance"] == {"ja": 0, "en": 0} and one["draft"]["approver"] == "佐藤"
    assert one["active_seconds"] == pytest.approx(8.0 * lot.to_check / 60)
    pairs = rows(site, "SELECT language, caption, origin FROM pairs WHERE origin = 'lot_approved'")
    assert len(pairs) == 118 and DRAFTED in {row["caption"] for row in pairs}
    assert (
        rows(site, "SELECT 1 FROM labels WHERE correction_id = ?", one["correction_id"]) == []
    )  # nobody judged the old one
    assert captions(site).count(DRAFTED) == 59
    assert lots.settle(site) == 0  # doing it again makes nothing


def test_a_rejected_lot_goes_back_and_is_in_no_later_one(site: Site) -> None:
    lot = opened(site)
    check_all(site, lot, wrong=2)
    with pytest.raises(GenbaError, match="2 of the sample are wrong"):
        lots.decide(site, lot.lot_id, True, "佐藤")
    assert lots.decide(site, lot.lot_id, False, "佐藤").approved == 0
    assert queue.count(site) == 60
    assert rows(site, "SELECT 1 FROM corrections WHERE source = 'lot'") == []
    assert drafts.best_draft(site, pair_name(3)) is None
    with pytest.raises(GenbaError, match="No draft lies above the line"):
        opened(site)


def test_no_draft_reaches_a_snapshot_before_its_lot_is_approved(site: Site) -> None:
    assert drafts.best_draft(site, pair_name(3)) is not None
    before = captions(site)
    assert DRAFTED not in before
    lot = opened(site)
    assert captions(site) == before
    check_all(site, lot)
    assert captions(site) == before  # checked, not decided
    lots.decide(site, lot.lot_id, True, "佐藤")
    assert captions(site).count(DRAFTED) == 60


def test_planted_drafts_are_wrong_in_one_slot_and_never_saved(site: Site) -> None:
    lot = opened(site)
    planted = rows(site, "SELECT * FROM drafts WHERE planted")
    assert planted
    for row in planted:
        right = {**NUT, "part": "bolt"}
        assert len([key for key in right if row["slots"][key] != right[key]]) == 1
        assert row["slots"].keys() == right.keys()
        assert drafts.best_draft(site, row["pair_id"]) is None
    check_all(site, lot, lets_through=True)
    with pytest.raises(GenbaError, match="let through"):
        lots.decide(site, lot.lot_id, True, "佐藤")
    done = lots.decide(site, lot.lot_id, True, "佐藤", despite_alarms=True)
    assert (done.let_through, done.approved) == (lot.planted, 60)
    wrong = {text for row in planted for text in row["captions"].values()}
    assert not wrong & set(captions(site))
    assert not wrong & {row["caption"] for row in rows(site, "SELECT caption FROM pairs")}


def test_a_killed_approval_goes_on_and_an_answer_given_meanwhile_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = opened(site)
    check_all(site, lot)
    corrections.submit(
        site, pair_id=pair_name(5), annotator="田中", verdict="not_sure", slots={}, active_seconds=3
    )
    whole = lots._approve
    calls = []

    def dying(*given: Any) -> bool:
        calls.append(1)
        if len(calls) == 52:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(lots, "_approve", dying)
    with pytest.raises(KeyboardInterrupt):
        lots.decide(site, lot.lot_id, True, "佐藤")
    monkeypatch.undo()
    assert len(rows(site, "SELECT 1 FROM corrections WHERE source = 'lot'")) in (49, 50)  # one whole part
    lots.settle(site)
    made = rows(site, "SELECT old_pair_id FROM corrections WHERE source = 'lot' AND state = 'active'")
    assert len(made) == 59 and pair_name(5) not in {row["old_pair_id"] for row in made}
    assert lots.lot_of(site, lot.lot_id).approved == 59
    assert (
        recent(site, "佐藤") == [] and answered_today(site, "佐藤") == 0
    )  # nobody has answered them one by one


def test_who_may_and_when(site: Site) -> None:
    set_value(site.settings_path, "review", "leads", ["佐藤"])
    site = Site.open(site.root)
    with pytest.raises(GenbaError, match="may not decide"):
        lots.open_lot(site, "鈴木")
    lot = opened(site)
    with pytest.raises(GenbaError, match="is open"):
        opened(site)
    check = lots.next_check(site, lot.lot_id)
    assert check
    assert lots.judge(site, lot.lot_id, check.draft_id, True, "鈴木", 5.0)  # anybody may check
    assert not lots.judge(site, lot.lot_id, check.draft_id, False, "高橋", 5.0)  # the first one counts
    with pytest.raises(GenbaError, match="has begun"):
        lots.withdraw(site, lot.lot_id, "佐藤")
    with pytest.raises(GenbaError, match="may not decide"):
        lots.decide(site, lot.lot_id, False, "鈴木")
    assert lots.take_back(site, lot.lot_id, "鈴木") and not lots.take_back(site, lot.lot_id, "鈴木")
    assert lots.withdraw(site, lot.lot_id, "佐藤").state == "withdrawn"
    assert queue.count(site) == 60
    assert opened(site).plan.size == 60


def test_what_is_left_out_of_a_lot(site: Site) -> None:
    """Unmeasured, below the line, incomplete, under audit, or in somebody's hand."""
    rng = Sure(NEVER)
    held = queue.claim(site, "田中", rng=rng)
    assert held
    others = [n for n in range(60) if pair_name(n) != held["pair_id"]]
    with site.connect() as db:
        for at, change in enumerate((
            "calibrated = false", "quality = 0.5", """slots = '{"part": "nut"}'""", "template_version = 9",
        )):  # fmt: skip
            db.execute(f"UPDATE drafts SET {change} WHERE pair_id = ?", [pair_name(others[at])])
        db.insert("audits", [{"pair_id": pair_name(others[4]), "draw": "d", "stratum": "all",
                              "inclusion_probability": 0.1, "drawn_at": lots.now()}])  # fmt: skip
        found = {row["pair_id"] for row in lots.candidates(site, db)}
    assert found == {pair_name(n) for n in others[5:]}
    assert drafts.best_draft(site, pair_name(others[4])) is None  # a blind answer is not led


def test_spoiling_changes_what_every_caption_says(site: Site) -> None:
    template = site.template()
    for seed in range(20):
        changed = spoil(template, NUT, ["ja", "en"], random.Random(seed))
        assert changed and template.validate_slots(changed) == changed
        assert all(template.caption(changed, one) != template.caption(NUT, one) for one in ("ja", "en"))
