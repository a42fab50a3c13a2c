"""Drafts on a rendered site, really embedded and scored, with answers that come from what is true of the photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotate import corrections, draft_job, drafts, queue
from annotate.draft_view import plain
from annotate.drafters import DRAFTERS
from annotate.labeling_config import prediction
from data.demo.build import build_photos
from data.errors import GenbaError
from data.ingest import ingest
from data.site import Site, init_site
from scoring.score import score
from tests.annotate.sites import rows

PHOTOS, ANSWERED = 90, 35
Truth = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Truth]:
    """The worst of the queue are answered."""
    folder = tmp_path_factory.mktemp("drafts")
    build_photos(folder / "source", scenes=PHOTOS, seed=7, workers=1)
    site = init_site(folder / "site", [folder / "source" / "photos"], "parts", "demo", demo=True)
    ingest(site, folder / "source" / "captions.csv")
    score(site, device="cpu")
    lines = (folder / "source" / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    truth = {Path(row["image"]).name: row["slots"] for row in map(json.loads, lines)}
    site = Site.open(site.root)
    template = site.template()
    for row in queue.top(site, ANSWERED):
        slots = truth[Path(row["image"]).name]
        said = template.parse(row["caption"], row["language"])
        is_right = {k: plain(v) for k, v in said.items()} == {k: plain(v) for k, v in slots.items()}
        corrections.submit(
            site, pair_id=row["pair_id"], annotator="佐藤", verdict="ok" if is_right else "fix", slots=slots,
            active_seconds=9,
        )  # fmt: skip
    return site, truth


@pytest.fixture(scope="module")
def drafted(made: tuple[Site, Truth]) -> drafts.Made:
    return drafts.make(made[0])


def test_both_drafters_say_more_that_is_right_than_chance(
    made: tuple[Site, Truth], drafted: drafts.Made
) -> None:
    """Against the truth of photos that nobody has answered; of eight parts one in eight would be right by chance."""
    site, truth = made
    for name in ("zero-shot", "near-photos"):
        found = rows(
            site,
            "SELECT d.slots, d.confidence, d.captions, i.uri FROM drafts d JOIN pairs p USING (pair_id) "
            "JOIN images i USING (image_id) WHERE drafter = ? AND d.state <> 'known'",
            name,
        )
        right = [row["slots"].get("part") == truth[Path(row["uri"]).name]["part"] for row in found]
        assert len(right) == PHOTOS - ANSWERED and sum(right) / len(right) > 0.5
        for row in found:
            assert site.template().validate_slots(row["slots"], partial=True) == row["slots"]
            assert all(0 <= one <= 1 for one in row["confidence"].values())
            assert row["captions"] == {
                one: site.template().caption(row["slots"], one) for one in ("ja", "en")
            }
        assert drafted.drafters[name].slots["part"][1] == ANSWERED  # each answer is compared


def test_only_what_beats_the_old_caption_is_offered(made: tuple[Site, Truth], drafted: drafts.Made) -> None:
    site, _ = made
    found = rows(site, "SELECT d.*, p.language AS old_language FROM drafts d JOIN pairs p USING (pair_id)")
    assert {"offered", "same"} <= {row["state"] for row in found}
    for row in found:
        assert row["language"] == row["old_language"]  # never compared by another language
        if row["state"] == "offered":
            assert row["cosine"] > row["old_cosine"]
        if row["state"] == "weaker":
            assert row["cosine"] <= row["old_cosine"]
    offered = {row["pair_id"] for row in found if row["state"] == "offered"}
    assert drafts.best_drafts(site, [row["pair_id"] for row in found]).keys() == offered
    assert not rows(site, "SELECT 1 FROM pairs WHERE origin NOT IN ('legacy', 'correction')")


def test_the_score_of_a_draft_is_that_of_any_caption(made: tuple[Site, Truth], drafted: drafts.Made) -> None:
    from scoring.live import LiveScorer

    site, _ = made
    scorer = LiveScorer(site)
    found = rows(
        site,
        "SELECT d.*, p.image_id FROM drafts d JOIN pairs p USING (pair_id) WHERE cosine IS NOT NULL LIMIT 5",
    )
    for row in found:
        live = scorer.score(row["image_id"], row["captions"][row["language"]])
        assert live and live.cosine == pytest.approx(row["cosine"], abs=1e-4)


def test_label_studio_begins_with_the_draft(made: tuple[Site, Truth], drafted: drafts.Made) -> None:
    site, _ = made
    row = rows(site, "SELECT pair_id FROM drafts WHERE state = 'offered' ORDER BY draft_id LIMIT 1")[0]
    draft = drafts.best_draft(site, row["pair_id"])
    assert draft
    found = prediction(site.template(), "", "en", draft)
    assert found["model_version"] == f"{draft.drafter}@{draft.version}" and found["score"] == draft.quality
    given = {one["from_name"]: one["value"] for one in found["result"]}
    assert given["part"] == {"choices": [draft.slots["part"]]} and "genba-verdict" not in given


def test_an_answer_that_saw_a_draft_measures_nothing(made: tuple[Site, Truth]) -> None:
    site, truth = made
    first = drafts.make(site, ["near-photos"])
    row = rows(
        site,
        "SELECT pair_id, i.uri FROM drafts JOIN pairs USING (pair_id) JOIN images i USING (image_id) "
        "WHERE drafts.state = 'offered' ORDER BY draft_id LIMIT 1",
    )[0]
    saved = corrections.submit(
        site, pair_id=row["pair_id"], annotator="佐藤", verdict="fix", slots=truth[Path(row["uri"]).name],
        active_seconds=9, draft=drafts.best_draft(site, row["pair_id"]),
    )  # fmt: skip
    kept = rows(site, "SELECT draft FROM corrections WHERE correction_id = ?", saved.correction_id)[0][
        "draft"
    ]
    assert (
        kept["drafter"] in DRAFTERS
        and kept["approver"] == "佐藤"
        and set(kept["edit_distance"]) == {"ja", "en"}
    )
    again = drafts.make(site, ["near-photos"])
    assert (again.pairs, first.pairs) == (PHOTOS - ANSWERED - 1, PHOTOS - ANSWERED)
    assert again.drafters["near-photos"].slots["part"][1] == ANSWERED
    assert drafts.best_draft(site, row["pair_id"]) is None
    corrections.undo(site, saved.correction_id, "佐藤")


def test_a_missing_caption_is_drafted_first_and_always_offered(made: tuple[Site, Truth]) -> None:
    site, _ = made
    gone = rows(
        site,
        "SELECT pair_id FROM pairs p WHERE origin = 'legacy' AND NOT EXISTS "
        "(SELECT 1 FROM corrections c WHERE c.old_pair_id = p.pair_id AND c.state = 'active') ORDER BY pair_id LIMIT 3",
    )
    names = [row["pair_id"] for row in gone]
    with site.connect() as db:
        kept = db.rows("SELECT pair_id, caption FROM pairs WHERE list_contains(?, pair_id)", [names])
        db.execute(
            "UPDATE pairs SET state = 'missing', caption = '' WHERE list_contains(?, pair_id)", [names]
        )
    found = drafts.make(site, top=3)
    assert (found.pairs, found.missing) == (3, 3)
    for name in names:
        draft = drafts.best_draft(site, name)
        assert draft and all(draft.captions.values())
    with site.connect() as db:
        for row in kept:
            db.execute(
                "UPDATE pairs SET state = 'captioned', caption = ? WHERE pair_id = ?",
                [row["caption"], row["pair_id"]],
            )


def test_the_job_and_the_verb(made: tuple[Site, Truth]) -> None:
    site, _ = made
    seen: list[tuple[int, int | None]] = []
    result = draft_job.job(site, {"top": 20}, lambda done, total=None, message="": seen.append((done, total)))
    assert result["pairs"] == 20 and seen[-1] == (2, 2)
    found, text = draft_job.run(site, "status", None, {}, lambda *given: None)
    assert "offered" in found["states"] and "above the line" in text
    with pytest.raises(GenbaError, match="No drafter 'zeroshot'") as refused:
        draft_job.job(site, {"drafters": ["zeroshot"]})
    assert "near-photos" in (refused.value.choices or [])
    with pytest.raises(GenbaError, match="Which lot"):
        draft_job.run(site, "lot-accept", None, {"by": "佐藤"}, lambda *given: None)
