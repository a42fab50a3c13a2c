"""`genba score` on a real small site: all pairs, nothing twice, one at a time, the queue's encoder when it is whole."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest
from filelock import FileLock

from annotate.queue import in_words, top
from data.errors import GenbaError
from data.jobs import silent
from scoring import score as score_module
from scoring.score import score
from scoring.signals import SIGNALS
from scoring.vectors import VectorStore
from tests.scoring.conftest import CAPTIONS, add_pair, first_image, make_site, scores_of, write_tiny_encoder

NEW = "one brass gear with a severe dent at the top, on the conveyor"


def state(site, key: str):
    with site.connect() as db:
        return db.get_state(key)


@pytest.fixture
def no_model(monkeypatch):
    """From now on nobody may load an encoder."""

    def arm() -> None:
        monkeypatch.setattr(
            score_module, "load_source", lambda *_: pytest.fail("a model was loaded for nothing")
        )

    return arm


def test_every_captioned_pair_gets_a_score_and_missing_ones_none(site):
    result = score(site, device="cpu")
    assert (result.pairs, result.written, result.missing, result.unreadable_photos) == (11, 11, 1, 0)
    assert (result.images_embedded, result.captions_embedded, result.not_read) == (12, len(CAPTIONS), {})
    with site.connect() as db:
        captioned = db.rows("SELECT pair_id FROM pairs WHERE state = 'captioned'")
    rows = scores_of(site)
    assert set(rows) == {row["pair_id"] for row in captioned}
    for row in rows.values():
        assert row["encoder"] == result.encoder == site.encoder_id() and 0 <= row["risk"] <= 1
        assert set(row["signals"]) == set(SIGNALS) and row["signals"]["cosine"] == row["cosine"]
        assert row["reasons"] and len(row["fingerprint"]) == 32
    assert state(site, "scored_encoder") == result.encoder == site.queue_encoder()


def test_the_queue_reads_what_was_written(site):
    score(site, device="cpu")
    rows = top(site, 20)
    assert rows[0]["state"] == "missing" and len(rows) == 12
    assert [row["risk"] for row in rows[1:]] == sorted((row["risk"] for row in rows[1:]), reverse=True)
    vague = next(row for row in rows if row["caption"] == "photo")
    assert vague["missing_slots"] >= 3 and vague["risk"] > 0.8
    assert "Does not state: Part" in in_words([vague], "en")[0]["reasons"]
    assert "書かれていない項目：部品" in in_words([vague], "ja")[0]["reasons"]


def test_a_second_run_computes_nothing_and_loads_no_model(site, no_model):
    score(site, device="cpu")
    before = scores_of(site)
    no_model()
    result = score(site, device="cpu")
    assert (result.pairs, result.written, result.images_embedded, result.captions_embedded) == (11, 0, 0, 0)
    assert scores_of(site) == before


def test_a_correction_is_scored_and_the_others_keep_what_they_have(site):
    score(site, device="cpu")
    before = scores_of(site)
    key = add_pair(site, first_image(site), NEW)
    result = score(site, device="cpu")
    assert (result.pairs, result.written) == (12, 1)
    assert (result.images_embedded, result.captions_embedded) == (0, 1)
    after = scores_of(site)
    assert after.pop(key)["cosine"] is not None and after == before


def test_words_that_are_known_need_no_model_but_move_the_signals_of_the_whole_site(site, no_model):
    score(site, device="cpu")
    with site.connect() as db:
        carrier = db.value("SELECT image_id FROM pairs WHERE caption = ?", [CAPTIONS[1]])
    before = scores_of(site)
    key = add_pair(site, carrier, "photo", origin="legacy")
    no_model()
    assert score(site, device="cpu").written == 12
    after = scores_of(site)
    reuse = {k: row["signals"]["caption_reuse"] for k, row in after.items()}
    others = [k for k, row in before.items() if row["signals"]["vagueness"] == 1]
    assert others and all(reuse[k] == reuse[key] > before[k]["signals"]["caption_reuse"] for k in others)


def test_a_pair_that_went_away_loses_its_score(site):
    score(site, device="cpu")
    with site.connect() as db:
        db.execute("DELETE FROM pairs WHERE caption = 'photo'")
    assert score(site, device="cpu").pairs == 9


def test_photos_that_cannot_be_read_leave_their_pairs_unscored(site, no_model):
    with site.connect() as db:
        row = db.one("SELECT image_id, uri FROM images WHERE uri = '003.png'")
    path = site.photo_path(0, row["uri"])
    content = path.read_bytes()
    path.unlink()
    result = score(site, device="cpu")
    assert (result.pairs, result.unreadable_photos) == (10, 1)
    assert site.queue_encoder() == result.encoder and state(site, "scored_encoder") is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_module, "load_source", lambda *_: pytest.fail("a model was loaded for nothing"))
        again = score(site, device="cpu")
    assert (again.written, again.unreadable_photos) == (0, 1)
    path.write_bytes(content)
    assert score(site, device="cpu").pairs == 11


def test_lost_vectors_are_made_again(site):
    score(site, device="cpu")
    before = scores_of(site)
    shutil.rmtree(site.root / "vectors")
    result = score(site, device="cpu")
    assert result.images_embedded == 12 and scores_of(site) == before


def test_a_damaged_shard_does_not_change_the_result(site):
    score(site, device="cpu")
    before = scores_of(site)
    shard = next((site.root / "vectors").glob("*/images-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-40])
    result = score(site, device="cpu")
    assert (result.images_embedded, result.captions_embedded) == (12, 0) and scores_of(site) == before


def test_other_weights_under_the_same_name_are_another_encoder(tmp_path):
    encoder = write_tiny_encoder(tmp_path / "own", {"languages": ["en", "ja"]})
    site = make_site(tmp_path, encoder)
    score(site, device="cpu")
    before = scores_of(site)
    shutil.copy(
        write_tiny_encoder(tmp_path / "other", seed=1) / "open_clip_model.safetensors",
        encoder / "open_clip_model.safetensors",
    )
    assert score(site, device="cpu").images_embedded == 12
    after = scores_of(site)
    assert len(after) == 11 and all(after[key]["cosine"] != before[key]["cosine"] for key in before)


def test_a_promoted_model_is_scored_beside_the_old_one_and_rolled_back_without_work(site, tmp_path, no_model):
    old = score(site, device="cpu").encoder
    write_tiny_encoder(site.root / "models" / "m1", {"languages": ["en", "ja"]}, seed=2)
    with site.connect() as db:
        at = datetime.now(UTC).replace(tzinfo=None)
        db.insert("models", [{
            "model_id": "m1", "run_id": "r", "arm": "corrected", "state": "champion", "encoder": "local-dir:models/m1",
            "base_encoder": old, "meta": {}, "created_at": at,
        }])  # fmt: skip
    assert site.queue_encoder() == old, "until the new scores are there"
    result = score(site, device="cpu")
    assert result.encoder == "local-dir:models/m1" == site.queue_encoder()
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM scores") == 22
        db.execute("UPDATE models SET state = 'retired'")
    no_model()
    assert score(site, device="cpu").written == 0 and site.queue_encoder() == old


def test_only_one_scores_at_a_time(site):
    lock = site.root / ".score.lock"
    with (
        FileLock(str(lock)),
        pytest.raises(GenbaError, match=rf"Another scoring of .* is running \(lock file {lock}\)"),
    ):
        score(site, device="cpu")


def test_a_caption_that_comes_while_it_runs_is_scored_too(site):
    """The queue's encoder changes only when every pair has its score."""
    image = first_image(site)
    added = []

    def somebody_corrects(done: int, total: int | None, what: str) -> None:
        if what == "rank" and not added:
            assert state(site, "scored_encoder") is None
            added.append(add_pair(site, image, NEW))

    result = score(site, device="cpu", progress=somebody_corrects)
    assert (
        result.pairs == 12 and added[0] in scores_of(site) and state(site, "scored_encoder") == result.encoder
    )


def test_a_language_that_is_not_read_is_told_once_and_ranked_by_words(tmp_path, caplog):
    site = make_site(tmp_path, write_tiny_encoder(tmp_path / "english", {"languages": ["en"]}))
    result = score(site, device="cpu")
    assert result.not_read == {"ja": 3} and result.pairs == 11 and result.captions_embedded == 4
    told = [record.message for record in caplog.records if "does not read" in record.message]
    assert (
        len(told) == 1
        and "'ja'" in told[0]
        and "ViT-B-16-SigLIP2-256/webli" in told[0]
        and site.encoder_id() in told[0]
    )
    japanese = [row for row in top(site, 20) if row["language"] == "ja"]
    assert len(japanese) == 3 and all(row["cosine"] is None for row in japanese)
    assert all(row["reasons"][0]["code"] == "language_not_read" for row in japanese)
    with site.connect() as db:
        signals = db.value(
            "SELECT signals FROM scores s JOIN pairs p USING (pair_id) WHERE p.language = 'ja'"
        )
    assert signals["cosine"] is None and signals["language_unread"] == 1, "NULL, not NaN"


def test_nothing_to_score(tmp_path, tiny_encoder, no_model):
    site = make_site(tmp_path, tiny_encoder, photos=1)
    result = score(site, device="cpu")
    assert (result.pairs, result.written, result.missing) == (0, 0, 1)


def test_one_pair_only(tmp_path, tiny_encoder):
    site = make_site(tmp_path, tiny_encoder, photos=2)
    assert score(site, device="cpu").pairs == 1
    (row,) = scores_of(site).values()
    assert row["signals"]["neg_clip_loss"] == pytest.approx(0) and row["signals"]["caption_reuse"] == 1


def test_unknown_engines_and_absent_devices_are_refused(site):
    with pytest.raises(GenbaError, match=r"No engine 'ray'.*local"):
        score(site, engine="ray")
    with pytest.raises(GenbaError, match="No device 'tpu'"):
        score(site, device="tpu")
    assert state(site, "scored_encoder") is None and scores_of(site) == {}


def test_a_cancelled_run_keeps_its_vectors(site):
    class Cancelled(Exception):
        pass

    def cancel_at_the_end(done: int, total: int | None, what: str) -> None:
        if what == "rank":
            raise Cancelled

    with pytest.raises(Cancelled):
        score(site, device="cpu", progress=cancel_at_the_end)
    assert scores_of(site) == {}
    result = score(site, device="cpu", progress=silent)
    assert (result.images_embedded, result.pairs) == (0, 11)


def test_the_vectors_lie_under_the_name_of_the_encoder(site):
    result = score(site, device="cpu")
    store = VectorStore.of(site, score_module.source_for_site(site))
    assert store.folder.parent == site.root / "vectors" and store.manifest()["encoder"] == result.encoder
    assert store.manifest()["counts"] == {"images": 12, "captions": len(CAPTIONS)}


def test_a_digest_does_not_depend_on_how_the_texts_lie_in_memory():
    import pyarrow

    from scoring.basis import digest

    texts = ["ボルト", "", "a", "nut", "ab", "c"]
    whole = pyarrow.chunked_array([texts])
    cut = pyarrow.chunked_array([texts[:1], texts[1:4], [], texts[4:]])
    sliced = pyarrow.chunked_array([["x", *texts, "y"]]).slice(1, 6)
    assert digest("r", [whole]) == digest("r", [cut]) == digest("r", [sliced])
    others = [texts[:-1], ["ボルト", "", "a", "nut", "a", "bc"], texts[::-1]]
    assert len({digest("r", [pyarrow.chunked_array([one])]) for one in [texts, *others]}) == 4
    assert digest("r", [pyarrow.chunked_array([], pyarrow.string())]) == digest(
        "r", [pyarrow.chunked_array([[]], pyarrow.string())]
    )
