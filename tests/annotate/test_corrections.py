"""Saving answers, on a real store: pairs, labels, outbox, two people at once, undo."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from annotate import audit, queue
from annotate.corrections import Saved, submit, undo
from annotate.recent import recent
from data.errors import GenbaError
from data.records import caption_id, pair_id
from data.site import Site, init_site
from data.slot_values import SlotError
from data.store import now

BOLT = {
    "part": "bolt", "material": "steel", "defect": "scratch", "place": "left", "severity": "slight",
    "background": "tray", "count": 2,
}  # fmt: skip
OLD = ["ボルトの写真", "part 3", ""]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three photos: captions "ボルトの写真" (train), "part 3" (test), and one without."""
    (tmp_path / "photos").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo", demo=True)
    with site.connect() as db:
        for number, caption in enumerate(OLD):
            db.insert("images", [{
                "image_id": f"{number:064x}", "uri": f"{number}.jpg", "root": 0, "width": 4, "height": 3,
                "group_id": f"g{number}", "split": "test" if number == 1 else "train", "added_at": now(),
            }])  # fmt: skip
            db.insert("pairs", [{
                "pair_id": old(number), "image_id": f"{number:064x}", "caption": caption,
                "caption_id": caption_id(caption), "language": "ja", "origin": "legacy",
                "state": "captioned" if caption else "missing", "extra": {"line": "B"}, "added_at": now(),
            }])  # fmt: skip
            db.insert("scores", [{
                "pair_id": old(number), "encoder": "demo", "fingerprint": "f", "cosine": 0.1, "signals": {},
                "risk": 0.5, "reasons": [], "scored_at": now(),
            }])  # fmt: skip
    return site


def old(number: int) -> str:
    return pair_id(f"{number:064x}", OLD[number])


def answer(site: Site, number: int = 0, annotator: str = "佐藤", verdict: str = "fix", **more: Any) -> Saved:
    given = {"slots": BOLT if verdict == "fix" else {}, "active_seconds": 20.0} | more
    return submit(site, pair_id=old(number), annotator=annotator, verdict=verdict, **given)


def rows(site: Site, sql: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
    with site.connect() as db:
        return db.rows(sql, parameters or [])


def states(site: Site) -> list[str]:
    return [row["state"] for row in rows(site, "SELECT state FROM corrections ORDER BY created_at")]


def test_a_fix_makes_a_pair_in_each_language_and_keeps_the_old_one(site: Site) -> None:
    made = answer(site)
    template = site.template()
    captions = [template.caption(BOLT, language) for language in ("ja", "en")]
    found = rows(site, "SELECT * FROM pairs WHERE origin = 'correction' ORDER BY language DESC")
    assert [row["pair_id"] for row in found] == made.new_pair_ids
    assert [row["caption"] for row in found] == captions and [row["language"] for row in found] == [
        "ja",
        "en",
    ]
    assert all(row["slots"] == BOLT and row["extra"] == {"line": "B"} for row in found)
    assert all(row["image_id"] == f"{0:064x}" for row in found)
    assert rows(site, "SELECT caption FROM pairs WHERE pair_id = ?", [old(0)]) == [{"caption": OLD[0]}]
    assert (site.root / "templates" / "parts@1.yaml").is_file()


def test_a_site_of_one_language_gets_one_pair(tmp_path: Path, site: Site) -> None:
    text = site.settings_path.read_text().replace('languages = ["ja", "en"]', 'languages = ["en"]')
    site.settings_path.write_text(text)
    assert len(answer(Site.open(site.root)).new_pair_ids) == 1


@pytest.mark.parametrize(
    ("verdict", "label"),
    [("fix", True), ("ok", False), ("not_sure", None), ("unusable", None), ("private", None)],
)
def test_every_verdict_is_labelled_and_sent(site: Site, verdict: str, label: bool | None) -> None:
    made = answer(site, verdict=verdict, reason="ピンぼけ")
    labels = [row["needs_correction"] for row in rows(site, "SELECT needs_correction FROM labels")]
    assert labels == ([] if label is None else [label])
    assert rows(site, "SELECT action, done_at FROM outbox") == [{"action": "create", "done_at": None}]
    assert len(made.new_pair_ids) == {"fix": 2, "ok": 1}.get(verdict, 0)
    assert verdict != "ok" or made.new_pair_ids == [old(0)]
    assert rows(site, "SELECT reason, source FROM corrections") == [{"reason": "ピンぼけ", "source": "app"}]


def test_the_pair_leaves_the_queue_with_lease_and_draft(site: Site) -> None:
    queue.claim(site, "佐藤", pair_id=old(0))
    with site.connect() as db:
        draft = {"pair_id": old(0), "slots": {}, "active_seconds": 1.0, "updated_at": now()}
        db.insert("form_drafts", [draft | {"annotator": name} for name in ("佐藤", "Smith")])
    answer(site)
    assert rows(site, "SELECT * FROM leases") == []
    assert rows(site, "SELECT annotator FROM form_drafts") == [{"annotator": "Smith"}], "hers is hers"
    assert old(0) not in [row["pair_id"] for row in queue.top(site, 10)]
    assert [
        (row["actor"], row["what"]) for row in rows(site, "SELECT * FROM events WHERE actor = '佐藤'")
    ] == [("佐藤", "correction.saved")]


def test_an_audited_pair_is_labelled_with_its_probability(site: Site) -> None:
    audit.draw(site, 1)
    answer(site, 1)
    answer(site, 0)
    found = rows(site, "SELECT pair_id, source, inclusion_probability AS p FROM labels ORDER BY source")
    assert found == [
        {"pair_id": old(1), "source": "audit", "p": 1.0},
        {"pair_id": old(0), "source": "queue", "p": None},
    ]


def test_a_caption_that_is_there_already_is_that_pair(site: Site) -> None:
    caption = site.template().caption(BOLT, "en")
    with site.connect() as db:
        db.execute("UPDATE pairs SET pair_id = ?, caption = ? WHERE pair_id = ?",
                   [pair_id(f"{1:064x}", f" {caption} "), f" {caption} ", old(1)])  # fmt: skip
    same = pair_id(f"{1:064x}", caption)
    made = submit(site, pair_id=same, annotator="佐藤", verdict="fix", slots=BOLT, active_seconds=1)
    assert made.verdict == "fix" and made.new_pair_ids[1] == same
    assert rows(site, "SELECT origin FROM pairs WHERE pair_id = ?", [same]) == [{"origin": "legacy"}]


def test_the_same_form_sent_twice_is_one_correction(site: Site) -> None:
    first, second = answer(site, token="form-1"), answer(site, token="form-1", active_seconds=99.0)
    assert first == second and len(states(site)) == 1
    assert answer(site, token="form-2").correction_id != first.correction_id


def test_the_same_form_sent_by_threads_at_once_is_one_correction(site: Site) -> None:
    threads = [threading.Thread(target=answer, args=(site,), kwargs={"token": "form-1"}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(site) == ["active"]


def test_ones_own_second_answer_supersedes_the_first(site: Site) -> None:
    first = answer(site)
    second = answer(site, slots={**BOLT, "count": 3})
    assert states(site) == ["superseded", "active"]
    assert rows(
        site, "SELECT supersedes FROM corrections WHERE correction_id = ?", [second.correction_id]
    ) == [{"supersedes": first.correction_id}]
    assert len(rows(site, "SELECT * FROM labels")) == 1
    sent = rows(site, "SELECT correction_id, action FROM outbox ORDER BY queued_at")
    assert {"correction_id": first.correction_id, "action": "delete"} in sent and len(sent) == 3


def test_of_two_people_the_first_counts_and_nothing_is_lost(site: Site) -> None:
    answer(site)
    other = answer(site, annotator="Smith", verdict="ok")
    assert states(site) == ["active", "conflict"] and other.state == "conflict"
    assert len(rows(site, "SELECT * FROM labels")) == 1
    answer(site, annotator="Smith", verdict="not_sure")
    assert states(site) == ["active", "superseded", "conflict"]
    undo(
        site,
        rows(site, "SELECT correction_id FROM corrections WHERE state = 'active'")[0]["correction_id"],
        "佐藤",
    )
    answer(site, annotator="Smith", verdict="ok")
    assert states(site) == ["withdrawn", "superseded", "superseded", "active"]
    assert other.new_pair_ids == [old(0)]


def test_undo_brings_the_pair_back(site: Site) -> None:
    made = answer(site)
    with pytest.raises(GenbaError, match="佐藤's"):
        undo(site, made.correction_id, "Smith")
    undo(site, made.correction_id, "佐藤")
    undo(site, made.correction_id, "佐藤")
    assert states(site) == ["withdrawn"] and rows(site, "SELECT * FROM labels") == []
    assert old(0) in [row["pair_id"] for row in queue.top(site, 10)]
    assert len(rows(site, "SELECT * FROM events WHERE what = 'correction.undone'")) == 1
    with pytest.raises(GenbaError, match="No correction 'x'"):
        undo(site, "x", "佐藤")


def test_recent_shows_ones_own_work_newest_first(site: Site) -> None:
    answer(site, 0)
    answer(site, 1, verdict="ok")
    answer(site, 2, annotator="Smith")
    found = recent(site, "佐藤")
    template = site.template()
    assert [(row["old_pair_id"], row["verdict"], row["state"]) for row in found] == [
        (old(1), "ok", "active"),
        (old(0), "fix", "active"),
    ]
    assert found[0]["caption"] == "part 3" and found[0]["captions"] == []
    assert found[1]["captions"] == [template.caption(BOLT, language) for language in ("ja", "en")]
    assert len(recent(site, "佐藤", limit=1)) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"verdict": "wrong"}, r"No verdict 'wrong'.*fix, ok, not_sure"),
        ({"annotator": "  "}, "needs a name"),
        ({"annotator": "x" * 151}, "needs a name"),
        ({"active_seconds": float("nan")}, "nan seconds"),
        ({"active_seconds": -1.0}, r"-1\.0 seconds"),
        ({"number": 2, "verdict": "ok"}, "none to confirm"),
    ],
)  # fmt: skip
def test_wrong_answers_are_refused_whole(site: Site, given: dict[str, Any], message: str) -> None:
    with pytest.raises(GenbaError, match=message):
        answer(site, **given)
    assert states(site) == [] and rows(site, "SELECT * FROM annotators") == []


def test_unknown_pairs_and_bad_slots_are_refused(site: Site) -> None:
    with pytest.raises(GenbaError, match="No pair 'nothing'"):
        submit(site, pair_id="nothing", annotator="佐藤", verdict="ok", slots={}, active_seconds=1)
    with pytest.raises(SlotError) as refused:
        answer(site, slots={**BOLT, "part": "house"})
    assert set(refused.value.messages("ja")) == {"part"}
    assert rows(site, "SELECT * FROM pairs WHERE origin = 'correction'") == []


def test_hidden_slots_are_dropped(site: Site) -> None:
    answer(site, slots={**BOLT, "defect": "none"})
    assert set(rows(site, "SELECT slots FROM corrections")[0]["slots"]) == set(BOLT) - {"place", "severity"}
