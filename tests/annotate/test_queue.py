"""The ranked queue, leases and the blind audit, on a real store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from annotate import audit, queue
from data.errors import GenbaError
from data.records import caption_id
from data.site import Site, init_site
from data.store import now

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
    first, second = queue.claim(site, "佐藤"), queue.claim(site, "Smith")
    assert first["pair_id"] == "p20" and second["pair_id"] == "p09"
    assert queue.claim(site, "佐藤")["pair_id"] == "p20", "a reload shows the same pair"
    assert queue.claim(site, "Smith", pair_id="p20") is None
    queue.release(site, "佐藤")
    assert queue.claim(site, "Smith", pair_id="p20")["pair_id"] == "p20"


def test_a_lease_ends_by_itself(site: Site) -> None:
    queue.claim(site, "佐藤")
    with site.connect() as db:
        db.execute("UPDATE leases SET expires_at = ?", [now() - timedelta(seconds=1)])
    assert queue.claim(site, "Smith")["pair_id"] == "p20"


def test_skipped_pairs_do_not_come_back_in_this_sitting(site: Site) -> None:
    assert queue.claim(site, "佐藤", skip=["p20", "p09"])["pair_id"] == "p19"


def test_audit_pairs_come_blind_and_leave_the_ranked_queue(site: Site) -> None:
    assert audit.draw(site, 100, seed=1) == 10
    assert all(row["split"] == "train" for row in queue.top(site, 100))
    claimed = queue.claim(site, "佐藤", audit_every=1)
    assert claimed["audit"] and claimed["split"] == "test"
    assert not {"risk", "reasons", "cosine"} & set(claimed)


def test_an_audit_is_random_seeded_and_never_draws_twice(site: Site) -> None:
    assert audit.draw(site, 4, seed=3) == 4
    with site.connect() as db:
        first = {row["pair_id"] for row in db.rows("SELECT pair_id FROM audits")}
    assert audit.draw(site, 6, seed=3) == 6
    with pytest.raises(GenbaError, match="No unjudged caption of a held-out photo is left"):
        audit.draw(site, 1)
    assert len(first) == 4 and audit.waiting(site) == 10


def test_estimate_counts_audited_verdicts_only(site: Site) -> None:
    assert audit.estimate(site) is None
    audit.draw(site, 10, seed=0)
    judge(site, "p09")  # from the top of the queue: selected, so not counted
    for number in range(10, 15):
        judge(site, f"p{number}", "fix" if number == 10 else "ok")
    judge(site, "p15", "not_sure")
    found = audit.estimate(site)
    assert (found.judged, found.bad, found.rate) == (5, 1, 0.2)
    assert found.unjudged == 20 - 7
    assert found.low == pytest.approx(0.00505, abs=1e-5) and found.high == pytest.approx(0.71642, abs=1e-5)


@pytest.mark.parametrize(
    ("bad", "of", "high"),
    [(0, 60, 0.05962), (0, 150, 0.02429), (3, 300, 0.02894), (300, 300, 1.0)],
)
def test_clopper_pearson_against_known_values(bad: int, of: int, high: float) -> None:
    assert audit.clopper_pearson(bad, of)[1] == pytest.approx(high, abs=2e-5)


def test_clopper_pearson_covers() -> None:
    """At least 95 % of intervals hold the truth: exact by summing over all outcomes of n = 40, p = 0.1."""
    from scipy.stats import binom

    inside = [
        x for x in range(41) if audit.clopper_pearson(x, 40)[0] <= 0.1 <= audit.clopper_pearson(x, 40)[1]
    ]
    assert sum(binom.pmf(inside, 40, 0.1)) >= 0.95


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
