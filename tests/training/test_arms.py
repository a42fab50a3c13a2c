"""Arms: which captions each photo carries, what the snapshot keeps for them, and what cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from data.errors import GenbaError
from data.snapshots import collect, freeze, load_snapshot
from data.store import now
from tests.training.conftest import Made, add_correction, add_pair, image_row
from training.arm_runs import Standing
from training.arms import (
    ARMS,
    Captions,
    captions_of,
    changed,
    check_arms,
    require_arms,
    stand_ins,
    with_original,
)

Small = Callable[..., Made]
NEW = [{"caption": "新", "language": "ja"}, {"caption": "new", "language": "en"}]
DRAFT = [{"caption": "a guess", "language": "en"}]


def row(photo: str, caption: str, verdict: str | None, **more: Any) -> dict[str, Any]:
    return {
        "pair_id": f"{photo}-{caption}", "image_id": photo, "caption": caption, "verdict": verdict,
        "new_captions": [], "reworded": [], "draft_captions": [], "inclusion": None, **more,
    }  # fmt: skip


def rows() -> list[dict[str, Any]]:
    return [
        row("b", "old  words", "fix", new_captions=NEW, draft_captions=DRAFT),
        row("a", "right", "ok", reworded=[{"caption": "Right", "language": "en"}]),
        row("a", "right ", None),
        row("c", "", "fix", new_captions=NEW[:1]),
        row("c", "also", None, draft_captions=DRAFT),
    ]


def test_arms_differ_in_captions_alone() -> None:
    found = {arm: captions_of(rows(), arm) for arm in ARMS if arm not in ("random", "ranked")}
    assert found["original"] == {"a": ["right"], "b": ["old words"], "c": ["also"]}
    assert found["corrected"] == {"a": ["right"], "b": ["新", "new"], "c": ["新", "also"]}
    assert found["reworded"] == {"a": ["Right", "right"], "b": ["old words"], "c": ["also"]}
    assert found["dropped"] == {"a": ["right"], "b": [], "c": ["also"]}
    assert found["drafts"] == {"a": ["right"], "b": ["a guess"], "c": ["also"]}
    assert changed(found, found["original"]) == {
        "original": 0, "corrected": 2, "reworded": 1, "dropped": 1, "drafts": 1
    }  # fmt: skip


def test_the_reworded_arm_always_trains_and_random_has_its_counterpart() -> None:
    assert require_arms(["original", "original"]) == ["original", "reworded"]
    assert require_arms(["reworded", "corrected"]) == ["reworded", "corrected"]
    assert require_arms(["random"]) == ["random", "ranked", "reworded"]
    with pytest.raises(
        GenbaError, match=r"No arm 'best'. Known: original, corrected, reworded, dropped, drafts"
    ):
        require_arms(["best"])


def test_random_spends_as_many_answers_as_ranked() -> None:
    drawn = [row(f"d{n}", "old", "fix" if n % 2 else "ok", new_captions=NEW[1:] if n % 2 else [], inclusion=0.1)
             for n in range(12)]  # fmt: skip
    offered = [row(f"q{n:02d}", "old", "fix", new_captions=NEW[1:]) for n in range(30)]
    unjudged = [row(f"u{n}", "old", None) for n in range(5)]
    given = [*drawn, *offered, *unjudged]
    random, ranked = captions_of(given, "random"), captions_of(given, "ranked")
    assert sum(texts == ["new"] for texts in random.values()) == 6  # twelve answers, of which six were fixes
    assert sum(texts == ["new"] for texts in ranked.values()) == 12
    assert all(texts == ["old"] for photo, texts in random.items() if not photo.startswith("d"))
    with pytest.raises(
        GenbaError, match=r"at least 10 training captions that a blind draw .* there are 9 and 30"
    ):
        captions_of([*drawn[:9], *offered], "random")


def test_a_photo_without_a_caption_is_stood_in_for_and_all_others_stay() -> None:
    captions: Captions = {"a": ["x"], "b": [], "c": ["y"], "d": []}
    place = stand_ins(captions)
    assert place[[0, 2]].tolist() == [0, 2] and set(place[[1, 3]]) <= {0, 2}
    assert stand_ins(captions).tolist() == place.tolist()
    array = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    seen = Standing(array, place)
    assert len(seen) == 4 and seen.shape == array.shape
    assert seen[np.array([2, 0])][:, 0, 0, 0].tolist() == [2, 0]
    assert seen[np.array([1])][0, 0, 0, 0] in (0, 2)


def test_the_original_caption_can_stay_in_a_share_of_the_turns() -> None:
    original: Captions = {"a": ["old"], "b": ["same"], "c": ["bad"]}
    texts, chances = with_original({"a": ["n1", "n2"], "b": ["same"], "c": []}, original, 0.2)
    assert texts == [["n1", "n2", "old"], ["same"], []]
    assert chances[0] == pytest.approx([0.4, 0.4, 0.2]) and chances[1:] == [[1.0], []]
    texts, chances = with_original({"a": ["n1"], "b": ["same"], "c": ["new"]}, original, 0.0)
    assert texts == [["n1"], ["same"], ["new"]] and chances == [[1.0]] * 3


def test_arms_that_cannot_be_compared_are_told() -> None:
    check_arms({"original": {"a": ["x"], "b": ["y"]}, "dropped": {"a": ["x"], "b": ["y"]}})
    with pytest.raises(GenbaError, match=r"no two photos in common .*photos: original 3, dropped 1.*--arms"):
        check_arms(
            {"original": {"a": ["x"], "b": ["y"], "c": ["z"]}, "dropped": {"a": ["x"], "b": [], "c": []}}
        )
    with pytest.raises(
        GenbaError, match=r"All 2 photos of the arm 'original' carry one and the same caption, 'x'"
    ):
        check_arms({"original": {"a": ["x"], "b": ["x"]}})
    with pytest.raises(
        GenbaError, match=r"'drafts' has no draft of any bad caption. Next: genba draft SITE make"
    ):
        captions_of(
            [row("a", "x", "fix", new_captions=NEW), row("b", "y", None, draft_captions=DRAFT)], "drafts"
        )


RIGHT = "2 steel bolts with slight rust at the left, on the tray"
LEGACY = "steel bolts x2, corroded (slight), left. Tray"


def test_the_snapshot_keeps_what_the_arms_need(small_site: Small) -> None:
    """Three photos: one right and read by the template, one wrong with two drafts and a planted one, one unjudged."""
    site = small_site(photos={"train": 0}).site
    ids = [letter * 64 for letter in "abc"]
    with site.connect() as db:
        db.insert("images", [image_row(one, f"{one[0]}.png", "train") for one in ids])
        ok = add_pair(db, ids[0], LEGACY)
        add_correction(db, ok, "ok")
        bad = add_pair(db, ids[1], "brass nut")
        new = [
            add_pair(db, ids[1], text, language, "correction")
            for text, language in ((RIGHT, "en"), ("鋼", "ja"))
        ]
        add_correction(db, bad, "fix", new, slots={"part": "bolt", "count": 2})
        add_pair(db, ids[2], "photo 3")
        db.insert("audits", [{"pair_id": ok, "draw": "mixed", "stratum": "", "inclusion_probability": 0.02,
                              "drawn_at": now(), "kind": "mixed"}])  # fmt: skip
        for number, (text, planted) in enumerate((("older", False), ("newer", False), ("planted", True))):
            db.insert("drafts", [{
                "draft_id": str(number), "pair_id": bad, "drafter": "zero-shot", "version": "1", "template": "parts",
                "template_version": 1, "slots": {}, "confidence": {}, "captions": {"en": text}, "planted": planted,
                "state": "known", "drafted_at": now()}])  # fmt: skip
    train = {one["image_id"][0]: one for one in collect(site).train}
    languages = [one["language"] for one in train["a"]["reworded"]]
    assert languages == site.settings.site.languages
    assert {one["caption"] for one in train["a"]["reworded"] if one["language"] == "en"} == {RIGHT}
    assert json.loads(train["a"]["slots"])["defect"] == "rust" and train["a"]["template"] == "parts@1"
    assert (train["a"]["inclusion"], train["b"]["inclusion"]) == (0.02, None)
    assert train["b"]["reworded"] == [] == train["c"]["reworded"]  # wrong ones are not mended, nor read into
    assert train["b"]["draft_captions"] == [{"caption": "newer", "language": "en"}]
    assert json.loads(train["b"]["slots"]) == {"part": "bolt", "count": 2} and train["c"]["slots"] is None
    snapshot = freeze(site)
    assert load_snapshot(site, snapshot.snapshot_id).contents == snapshot.contents
    assert snapshot.contents.read_by(lambda language: language == "en").train[0]["reworded"] == [
        {"caption": RIGHT, "language": "en"}
    ]
