"""A caption that was just typed takes its place among the site's."""

from __future__ import annotations

import time

import numpy as np
import pytest

from data.records import caption_id
from data.settings import set_value
from data.site import Site
from scoring.encoders import load_for_site
from scoring.live import LiveScorer
from scoring.score import score
from scoring.vectors import VectorStore
from tests.scoring.conftest import make_site


@pytest.fixture
def scored(site):
    score(site, device="cpu")
    return site


def pairs(site, language: str) -> list[dict]:
    with site.connect() as db:
        return db.rows(
            "SELECT p.image_id, p.caption, s.cosine FROM pairs p JOIN scores s ON s.pair_id = p.pair_id "
            "WHERE p.language = ? ORDER BY s.cosine",
            [language],
        )


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_caption_of_the_site_takes_the_place_it_has(scored, language):
    scorer, rows = LiveScorer(scored), pairs(scored, language)
    cosines = np.array([row["cosine"] for row in rows])
    for row in rows:
        found = scorer.score(row["image_id"], f"  {row['caption']} ")
        assert found.cosine == pytest.approx(row["cosine"], abs=1e-5)
        assert found.place == pytest.approx((cosines < row["cosine"] - 1e-6).mean(), abs=1 / len(rows) + 1e-9)
    places = [scorer.score(row["image_id"], row["caption"]).place for row in rows]
    assert places == sorted(places) and places[-1] > 0.5


def test_a_typed_caption_is_scored_against_its_photo(scored):
    scorer, encoder = LiveScorer(scored), load_for_site(scored, device="cpu")
    row = pairs(scored, "en")[0]
    vector = VectorStore.of(scored, encoder.source).load("images").take([row["image_id"]])[0]
    found = scorer.score(row["image_id"], "the brass nut")
    assert found.cosine == pytest.approx(float(vector @ encoder.encode_texts(["the brass nut"])[0]), abs=1e-6)
    assert not found.is_truncated and scorer.score(row["image_id"], "bolt " * 40).is_truncated


def test_what_cannot_be_told_is_none(scored, tmp_path):
    scorer = LiveScorer(scored)
    image_id = pairs(scored, "en")[0]["image_id"]
    assert scorer.score("0" * 64, "a brass nut") is None
    assert scorer.score(image_id, "   ") is None
    assert scorer.score(image_id, "???").place is not None, "no letters: it stands among the main language"
    scorer.encoder.source = type(scorer.encoder.source)(
        **{**vars_of(scorer.encoder.source), "languages": ("en",)}
    )
    assert scorer.score(image_id, "鋼のナット") is None


def vars_of(source) -> dict:
    from dataclasses import fields

    return {field.name: getattr(source, field.name) for field in fields(source)}


def test_a_site_without_scores_has_no_places(site):
    from scoring.embed import embed_site

    embed_site(site, load_for_site(site, device="cpu"))
    found = LiveScorer(site).score(image_ids(site)[0], "a brass nut")
    assert found.place is None and -1 <= found.cosine <= 1


def image_ids(site) -> list[str]:
    with site.connect() as db:
        return [row["image_id"] for row in db.rows("SELECT image_id FROM images ORDER BY image_id")]


def test_it_says_when_it_is_out_of_date(scored):
    scorer = LiveScorer(scored)
    assert scorer.is_current()
    set_value(scored.settings_path, "site", "precision", "bf16")
    score(Site.open(scored.root), device="cpu")
    assert not scorer.is_current()


def test_it_waits_for_no_scoring_that_runs(scored):
    """The lock of the vectors is the writer's; a page only reads."""
    scorer = LiveScorer(scored)
    with VectorStore.of(scored, scorer.encoder.source).writing():
        assert len(LiveScorer(scored).images) == 12


def test_corrections_do_not_move_the_others(scored):
    row = pairs(scored, "en")[0]
    before = LiveScorer(scored).score(row["image_id"], "a steel bolt").place
    with scored.connect() as db:
        db.execute(
            "UPDATE pairs SET origin = 'correction' WHERE caption_id = ?", [caption_id(row["caption"])]
        )
    after = LiveScorer(scored)
    assert sum(map(len, after.cosines.values())) < len(pairs(scored, "en")) + len(pairs(scored, "ja"))
    assert before is not None and after.score(row["image_id"], "a steel bolt").place is not None


def test_one_caption_takes_less_than_a_tenth_of_a_second(tmp_path, small_encoder):
    """Warm, of this process's own time: other programs on the machine do not count. 95th percentile."""
    site = make_site(tmp_path, small_encoder)
    score(site, device="cpu")
    scorer, image_id, seconds = LiveScorer(site), image_ids(site)[0], []
    for number in range(40):
        started = time.process_time()
        assert scorer.score(image_id, f"a brass bolt with {number} scratches on the tray").place is not None
        seconds.append(time.process_time() - started)
    assert sorted(seconds)[37] < 0.1
