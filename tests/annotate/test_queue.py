"""The ranked queue, leases, and what the queue mixes in, on a real store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from annotate import audit, corrections, form_drafts, queue
from annotate.strata import Stratum, parse
from data.errors import GenbaError
from data.records import caption_id
from data.site import Site, init_site
from data.store import now
from tests.annotate import piles, sites
from tests.annotate.piles import ALWAYS, NEVER, Sure, audits

ENCODER = "demo"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Ten photos of split train with risks 0.0 to 0.9, ten of split test, one without a caption."""
    (tmp_path / "photos").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", ENCODER, demo=True)
    images, pairs, scores = [], [], []
    for number in range(21):
        missing = number == 20
        split = "train" if number < 10 or missing else "test"
        caption = "" if missing else f"caption {number}"
        images.append(
            {"image_id": f"{number:064x}", "uri": f"{number}.jpg", "root": 0, "width": 4, "height": 3,
             "group_id": f"g{number}", "split": split, "added_at": now()}
        )  # fmt: skip
        pairs.append(
            {"pair_id": f"p{number:02d}", "image_id": f"{number:064x}", "caption": caption,
             "caption_id": caption_id(caption), "language": "ja" if number % 2 else "en", "origin": "legacy",
             "state": "missing" if missing else "captioned", "extra": {}, "added_at": now()}
        )  # fmt: skip
        if not missing:
            scores.append(
                {"pair_id": f"p{number:02d}", "encoder": ENCODER, "fingerprint": "f", "cosine": 0.1,
                 "signals": {"cosine": 0.1}, "risk": number % 10 / 10, "reasons": [], "scored_at": now()}
            )  # fmt: skip
    with site.connect() as db:
        db.insert("images", images)
        db.insert("pairs", pairs)
        db.insert("scores", scores)
    return site


def judge(
    site: Site, pair_id: str, verdict: str = "fix", annotator: str = "佐藤", state: str = "active"
) -> None:
    row: dict[str, Any] = {
        "correction_id": f"c-{pair_id}-{state}", "old_pair_id": pair_id, "new_pair_ids": [], "verdict": verdict,
        "slots": {}, "reason": "", "annotator": annotator, "simulated": False, "active_seconds": 1.0, "source": "app",
        "state": state, "created_at": now(),
    }  # fmt: skip
    with site.connect() as db:
        db.insert("corrections", [row])


def test_missing_captions_come_first_then_the_riskiest(site: Site) -> None:
    rows = queue.top(site, 4)
    assert [row["pair_id"] for row in rows] == ["p20", "p09", "p19", "p08"]
    assert rows[0]["state"] == "missing" and rows[0]["risk"] == 1.0
    assert rows[1]["risk"] == 0.9 and rows[1]["cosine"] == 0.1 and rows[1]["image"] == "9.jpg"
    assert queue.count(site) == 21


@pytest.mark.parametrize("seed", range(6))
def test_the_front_of_the_queue_is_the_queue(site: Site, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    draw = Random(seed)
    names = [f"p{number:02d}" for number in range(21)]
    with site.connect() as db:
        for name in draw.sample(names, 5):
            db.execute("UPDATE pairs SET state = 'missing', caption = '' WHERE pair_id = ?", [name])
            db.execute("DELETE FROM scores WHERE pair_id = ?", [name])
        db.insert("queue_first", [{"pair_id": name, "reason": "r", "sent_by": "b", "sent_at": now()}
                                  for name in draw.sample(names, 2)])  # fmt: skip
    for name in draw.sample(names, 6):
        judge(site, name, verdict=draw.choice(["fix", "ok", "unusable", "private"]))

    def seen() -> list[list[str]]:
        asked: list[dict[str, Any]] = [
            {"n": n, "offset": offset, "language": language}
            for n in (1, 3, 8) for offset in (0, 2) for language in (None, "ja")
        ]  # fmt: skip
        return [[row["pair_id"] for row in queue.top(site, **one)] for one in asked]

    monkeypatch.setattr(queue, "FRONT_SIZE", 0)  # nothing is small enough: all pairs are looked at
    whole = seen()
    monkeypatch.setattr(queue, "FRONT_SIZE", 3)
    assert seen() == whole


def test_judged_pairs_leave_and_withdrawn_verdicts_bring_them_back(site: Site) -> None:
    judge(site, "p09")
    judge(site, "p08", state="withdrawn")
    waiting = [row["pair_id"] for row in queue.top(site, 100)]
    assert "p09" not in waiting and "p08" in waiting


def test_filters(site: Site) -> None:
    assert {row["language"] for row in queue.top(site, 100, language="ja")} == {"ja"}
    assert [row["pair_id"] for row in queue.top(site, 100, words="CAPTION 13")] == ["p13"]
    assert queue.count(site, words="' OR 1=1 --") == 0


def test_two_people_never_get_the_same_pair(site: Site) -> None:
    first, second = (queue.claim(site, person, rng=Sure(NEVER)) for person in ("佐藤", "Smith"))
    assert first["pair_id"] == "p20" and second["pair_id"] == "p09"
    assert queue.claim(site, "佐藤")["pair_id"] == "p20", "a reload shows the same pair"
    assert queue.claim(site, "Smith", pair_id="p20") is None
    queue.release(site, "佐藤")
    assert queue.claim(site, "Smith", pair_id="p20")["pair_id"] == "p20"


def test_a_lease_ends_by_itself(site: Site) -> None:
    queue.claim(site, "佐藤", rng=Sure(NEVER))
    with site.connect() as db:
        db.execute("UPDATE leases SET expires_at = ?", [now() - timedelta(seconds=1)])
    assert queue.claim(site, "Smith", rng=Sure(NEVER))["pair_id"] == "p20"


def test_skipped_pairs_do_not_come_back_in_this_sitting(site: Site) -> None:
    assert queue.claim(site, "佐藤", skip=["p20", "p09"], rng=Sure(NEVER))["pair_id"] == "p19"


def test_audit_pairs_come_in_between_and_leave_the_ranked_queue(site: Site) -> None:
    assert audit.draw(site, 100, seed=1) == 10
    assert all(row["split"] == "train" for row in queue.top(site, 100))
    came = []
    for _ in range(6):
        claimed = queue.claim(site, "佐藤", audit_every=3, rng=Sure(NEVER))
        assert claimed
        came.append(claimed["audit"])
        judge(site, claimed["pair_id"])
    assert came == [False, False, True, False, False, True]


def test_the_queue_goes_by_priority_where_it_differs_from_the_risk(site: Site) -> None:
    with site.connect() as db:
        db.execute("UPDATE scores SET priority = CASE WHEN pair_id = 'p03' THEN 2.0 END")
    assert [row["pair_id"] for row in queue.top(site, 3)] == ["p20", "p03", "p09"], "none known: the risk"
    queue.release(site, "佐藤")
    assert queue.claim(site, "佐藤", skip=["p20"], rng=Sure(NEVER))["pair_id"] == "p03"


def test_one_claim_in_twenty_is_drawn_from_all_that_waits_and_judged_blind(site: Site) -> None:
    claimed = queue.claim(site, "佐藤", rng=Sure(0.0499, seed=5))
    assert claimed and claimed["audit"] and claimed["state"] == "captioned"
    assert not {"risk", "reasons", "signals", "cosine"} & set(claimed)
    [row] = audits(site)
    assert (row["pair_id"], row["kind"], row["assigned_to"]) == (claimed["pair_id"], "mixed", None)
    assert row["inclusion_probability"] == 1 / 20 and parse(row["stratum"]) == Stratum(20, 20)
    assert row["pair_id"] not in {one["pair_id"] for one in queue.top(site, 100)}
    assert queue.claim(site, "佐藤", rng=Sure(ALWAYS))["pair_id"] == claimed["pair_id"], (
        "a reload draws no other"
    )
    assert queue.claim(site, "Smith", rng=Sure(0.05))["audit"] is False
    assert len(audits(site)) == 1


def test_few_that_wait_are_not_drawn_from(site: Site) -> None:
    judge(site, "p00")
    assert queue.claim(site, "佐藤", rng=Sure(ALWAYS))["audit"] is False and audits(site) == []


def test_the_answer_on_a_mixed_in_pair_is_a_label_of_the_audit(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", ENCODER, demo=True)
    sites.fill(site, tmp_path / "photos", [f"caption {number}" for number in range(25)])
    mixed = queue.claim(site, "佐藤", rng=Sure(ALWAYS))["pair_id"]
    corrections.submit(site, pair_id=mixed, annotator="佐藤", verdict="ok", slots={}, active_seconds=3.0)
    ranked = queue.claim(site, "佐藤", rng=Sure(NEVER))["pair_id"]
    corrections.submit(site, pair_id=ranked, annotator="佐藤", verdict="ok", slots={}, active_seconds=3.0)
    with site.connect() as db:
        labels = {row["pair_id"]: row for row in db.rows("SELECT * FROM labels")}
    assert (labels[mixed]["source"], labels[mixed]["inclusion_probability"]) == ("audit", 1 / 25)
    assert (labels[ranked]["source"], labels[ranked]["inclusion_probability"]) == ("queue", None)


def test_a_mixed_in_pair_that_is_skipped_waits_for_somebody_else(site: Site) -> None:
    mixed = queue.claim(site, "佐藤", rng=Sure(ALWAYS))["pair_id"]
    queue.release(site, "佐藤")
    assert queue.claim(site, "佐藤", skip=[mixed], rng=Sure(NEVER))["pair_id"] != mixed
    assert queue.claim(site, "Smith", audit_every=1, rng=Sure(NEVER))["pair_id"] == mixed


def test_what_a_person_has_had_in_hand_is_not_drawn_for_their_blind_eye(tmp_path: Path) -> None:
    """21 wait; this person has skipped one and begun another: too few others wait; later one of 22 comes."""
    made = piles.pile(tmp_path, 21)
    form_drafts.save(made, piles.pair_name(3), "佐藤", {"part": "bolt"}, 1.0)
    form_drafts.flush(made)
    assert queue.claim(made, "佐藤", skip=[piles.pair_name(4)], rng=Sure(ALWAYS))["audit"] is False, "too few"
    queue.release(made, "佐藤")
    piles.add(made, range(21, 24))
    mixed = queue.claim(made, "佐藤", skip=[piles.pair_name(4)], rng=Sure(ALWAYS))
    assert mixed["audit"] and mixed["pair_id"] not in (piles.pair_name(3), piles.pair_name(4))
    assert [row["inclusion_probability"] for row in audits(made)] == [pytest.approx(1 / 22)]


def test_a_twentieth_of_what_a_person_gets_comes_from_everywhere(tmp_path: Path) -> None:
    """100 claims by two people: 5 expected; a slice that somebody works in does not hold for these."""
    made = piles.pile(tmp_path, 400, split=lambda n: "test" if n % 5 == 0 else "train",
                      risk=lambda n: n / 400, extra=lambda n: {"line": "AB"[n % 2]})  # fmt: skip
    rng = Random(11)
    for _ in range(50):
        for person, line in (("佐藤", "A"), ("Smith", "B")):
            claimed = queue.claim(made, person, extra={"line": line}, audit_every=10**9, rng=rng)
            assert claimed and (claimed["audit"] or claimed["extra"]["line"] == line)
            piles.judge(made, [claimed["pair_id"]], "ok", annotator=person)
    mixed = audits(made)
    assert 2 <= len(mixed) <= 10 and {row["kind"] for row in mixed} == {"mixed"}
    for row in mixed:  # each from the pile of its moment
        assert 300 <= 1 / row["inclusion_probability"] <= 400
    places = [int(row["pair_id"][1:]) for row in mixed]
    assert min(places) < 200, "not only from the top, which is what the queue gives"


def test_two_people_at_once_never_get_the_same_pair_audits_or_not(tmp_path: Path) -> None:
    made = piles.pile(tmp_path, 80)
    audit.draw(made, 10, seed=1)

    def work(person: str) -> list[str]:
        rng, came = Random(person), []
        for _ in range(12):
            claimed = queue.claim(made, person, audit_every=3, rng=rng)
            assert claimed
            came.append(str(claimed["pair_id"]))
            piles.judge(made, [claimed["pair_id"]], "ok", annotator=person)
        return came

    with ThreadPoolExecutor(2) as hands:
        first, second = hands.map(work, ["佐藤", "Smith"])
    assert len(set(first)) == len(set(second)) == 12 and not set(first) & set(second)


@pytest.mark.parametrize("name", ["queue.csv", "queue.jsonl", "queue.parquet"])
def test_written_queues_can_be_read_again(site: Site, tmp_path: Path, name: str) -> None:
    import pandas

    queue.write(queue.in_words(queue.top(site, 5), "ja"), tmp_path / name)
    readers = {"csv": pandas.read_csv, "parquet": pandas.read_parquet}
    suffix = name.split(".")[1]
    path = tmp_path / name
    frame = pandas.read_json(path, lines=True) if suffix == "jsonl" else readers[suffix](path)
    assert {"pair_id", "image", "caption", "risk", "reasons", "cosine"} <= set(frame.columns)
    assert list(frame["pair_id"]) == ["p20", "p09", "p19", "p08", "p18"]


def test_an_unknown_file_type_names_the_choices(site: Site, tmp_path: Path) -> None:
    with pytest.raises(GenbaError, match=r"queue\.doc.*\.csv, \.jsonl, \.parquet"):
        queue.write(queue.in_words(queue.top(site, 5), "en"), tmp_path / "queue.doc")
    with pytest.raises(GenbaError, match=r"no folder .*nowhere"):
        queue.write(queue.in_words(queue.top(site, 5), "en"), tmp_path / "nowhere" / "queue.csv")


def test_a_caption_is_no_formula_for_a_spreadsheet(site: Site, tmp_path: Path) -> None:
    rows = [{**row, "caption": "=1+1"} for row in queue.in_words(queue.top(site, 1), "en")]
    queue.write(rows, tmp_path / "queue.CSV")
    queue.write(rows, tmp_path / "queue.jsonl")
    assert ",'=1+1," in (tmp_path / "queue.CSV").read_text(encoding="utf-8-sig")
    assert '"caption":"=1+1"' in (tmp_path / "queue.jsonl").read_text(encoding="utf-8")
