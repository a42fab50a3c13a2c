"""Explanations by example: neighbours worked out by hand in the plane, words against one call a word."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import GenbaError
from data.records import caption_id, language_of, pair_id
from data.site import Site, init_site
from data.store import now
from scoring import neighbours
from scoring.encoder_files import slug
from scoring.encoders import load_encoder
from scoring.explain import Explanation, explain, leave_one_out, nearest_ids
from scoring.phrases import Splitter, without
from scoring.score import score
from scoring.vectors import Vectors, VectorStore

ENCODER, FINGERPRINT = "ViT-B-32/laion2b_s34b_b79k", "f" * 32  # its weights are not on this machine


def at(degrees: float) -> list[float]:
    """A unit vector of the plane; the cosine of two is that of the angle between them."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


# photo -> (angle, near-duplicate group, its caption, angle of the caption)
PLANE = {
    "own": (0, "g0", "a rusty pipe", 40),
    "double": (1, "g0", "the same pipe", 2),
    "near": (10, "g1", "a clean pipe", 10),
    "near-copy": (11, "g1", "a clean pipe again", 11),
    "far": (30, "g2", "two bolts", 30),
    "farther": (35, "g3", "a clean pipe", 10),
    "other": (51, "g4", "錆びた管", 50),
    "last": (80, "g5", "a nut", 80),
}


def plane_site(folder: Path, photos: dict[str, tuple[float, str, str, float]]) -> Site:
    """A site whose vectors stand in the plane; a caption "" is missing."""
    (folder / "photos").mkdir(parents=True)
    site = init_site(folder / "site", [folder / "photos"], "parts", ENCODER)
    images: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for name, (_, group, caption, _) in photos.items():
        key = pair_id(name, caption)
        images.append({"image_id": name, "uri": f"{name}.jpg", "root": 0, "width": 4, "height": 3, "group_id": group,
                       "split": "train", "added_at": now()})  # fmt: skip
        pairs.append({"pair_id": key, "image_id": name, "caption": caption, "caption_id": caption_id(caption),
                      "language": language_of(caption), "origin": "legacy", "extra": {},
                      "state": "captioned" if caption else "missing", "added_at": now()})  # fmt: skip
        if caption:
            scores.append({"pair_id": key, "encoder": ENCODER, "fingerprint": FINGERPRINT, "signals": {}, "risk": 0.5,
                           "cosine": None if language_of(caption) == "ja" else 0.1, "reasons": [],
                           "scored_at": now()})  # fmt: skip
    with site.connect() as db:
        for table, rows in (("images", images), ("pairs", pairs), ("scores", scores)):
            db.insert(table, rows)
        db.set_state("scored_encoder", ENCODER)
    store = VectorStore(site.folder("vectors") / slug(ENCODER), ENCODER, FINGERPRINT, 2)
    with store.writing():
        captions = {
            caption_id(caption): angle
            for _, _, caption, angle in photos.values()
            if language_of(caption) == "en"
        }
        store.append("images", list(photos), np.array([at(one[0]) for one in photos.values()], np.float32))
        store.append("captions", list(captions), np.array([at(one) for one in captions.values()], np.float32))
        store.write_manifest()
    return site


@pytest.fixture
def plane(tmp_path: Path) -> Site:
    return plane_site(tmp_path, PLANE)


def own(site: Site, name: str = "own") -> Explanation:
    key = pair_id(name, PLANE[name][2])
    return explain(site, [key])[key]


def test_photos_that_a_caption_fits_better(plane: Site) -> None:
    """The caption stands at 40°: photos at 35°, 30°, 51° are nearer to it than its own at 0°."""
    found = own(plane)
    assert found.cosine == pytest.approx(math.cos(math.radians(40)), abs=1e-6)
    assert [one.image for one in found.fits_better] == ["farther.jpg", "far.jpg", "other.jpg"]
    expected = [math.cos(math.radians(one)) for one in (5, 10, 11)]
    assert [one.cosine for one in found.fits_better] == pytest.approx(expected, abs=1e-6)


def test_captions_of_photos_like_it(plane: Site) -> None:
    """Not the double (its own group), one of a group, each wording once, no other language: 10°, 30°, 80°."""
    found = own(plane)
    assert [(one.caption, one.image) for one in found.like] == [
        ("a clean pipe", "near.jpg"), ("two bolts", "far.jpg"), ("a nut", "last.jpg"),
    ]  # fmt: skip
    expected = [math.cos(math.radians(one)) for one in (10, 30, 80)]
    assert [one.cosine for one in found.like] == pytest.approx(expected, abs=1e-6)
    assert found.words is None, "no encoder was given"


def test_a_caption_that_fits_its_own_photo_best(plane: Site) -> None:
    assert own(plane, "last").fits_better == ()
    assert [one.image for one in own(plane, "near").fits_better] == [], "its near-copy is no other photo"


def test_a_language_that_is_not_read_has_photos_like_it_only(plane: Site) -> None:
    found = own(plane, "other")
    assert (found.cosine, found.fits_better, found.like) == (None, (), ()), "no other caption is Japanese"


def test_a_photo_without_a_caption_gets_captions_in_any_language(tmp_path: Path) -> None:
    site = plane_site(tmp_path, {**PLANE, "bare": (50, "g9", "", 0)})
    key = pair_id("bare", "")
    found = explain(site, [key])[key]
    assert found.cosine is None and found.fits_better == ()
    assert [one.caption for one in found.like] == ["錆びた管", "a clean pipe", "two bolts"]


def judge(site: Site, name: str, verdict: str) -> None:
    with site.connect() as db:
        db.insert("corrections", [{
            "correction_id": name, "old_pair_id": pair_id(name, PLANE[name][2]), "new_pair_ids": [], "verdict": verdict,
            "slots": {}, "reason": "", "annotator": "a", "simulated": False, "active_seconds": 1.0, "source": "app",
            "state": "active", "created_at": now(),
        }])  # fmt: skip


@pytest.mark.parametrize("verdict", ["private", "unusable"])
def test_a_barred_photo_is_never_shown(plane: Site, verdict: str) -> None:
    judge(plane, "far", verdict)
    found = own(plane)
    assert [one.image for one in found.fits_better] == ["farther.jpg", "other.jpg", "near-copy.jpg"]
    assert [one.image for one in found.like] == ["near.jpg", "last.jpg"], "and 'a clean pipe' stands once"


def test_a_corrected_caption_is_no_example(plane: Site) -> None:
    judge(plane, "near", "fix")
    assert [one.caption for one in own(plane).like] == ["a clean pipe again", "two bolts", "a clean pipe"]


def test_it_looks_further_where_the_nearest_photos_are_copies(tmp_path: Path) -> None:
    """A burst of 70 copies fills the first list of 64."""
    burst = {f"copy-{n:02d}": (2 + n / 100, "g1", f"copy {n}", 40.0) for n in range(70)}
    site = plane_site(tmp_path, {"own": PLANE["own"], **burst, "far": PLANE["far"], "last": PLANE["last"]})
    found = explain(site, [pair_id("own", "a rusty pipe")])[pair_id("own", "a rusty pipe")]
    assert [one.image for one in found.like] == ["copy-00.jpg", "far.jpg", "last.jpg"]
    assert [one.image for one in found.fits_better] == ["far.jpg", "copy-69.jpg"]


def test_nothing_scored_yet_is_no_error(tmp_path: Path) -> None:
    site = plane_site(tmp_path, PLANE)
    with site.connect() as db:
        db.execute("DELETE FROM scores")
    found = own(site)
    assert (found.cosine, found.fits_better, found.like, found.words) == (None, (), (), None)
    assert found.fields() == {"fits_better_photos": [], "captions_of_like_photos": [], "words": None}


def test_vectors_that_are_gone_are_no_error(plane: Site) -> None:
    for path in (plane.folder("vectors") / slug(ENCODER)).glob("*.parquet"):
        path.unlink()
    assert own(plane).like == ()


def test_a_pair_that_is_not_there_is_an_error(plane: Site) -> None:
    with pytest.raises(GenbaError, match="has no pair 'x'"):
        explain(plane, ["x"])


def test_the_fields_of_a_queue_row(plane: Site) -> None:
    fields = own(plane).fields()
    assert set(fields) == {"fits_better_photos", "captions_of_like_photos", "words"}
    assert set(fields["fits_better_photos"][0]) == {"image", "cosine"}
    assert set(fields["captions_of_like_photos"][0]) == {"caption", "image", "cosine"}


def test_nearest_ids_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "READ", 2)
    random = np.random.default_rng(0)
    array = random.normal(size=(40, 5)).astype(np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    vectors = Vectors([str(row) for row in range(40)], array)
    queries = array[3:6]
    for k in (1, 9, 64):
        found = nearest_ids(vectors, queries, k)
        for query, row in zip(queries, found, strict=True):
            order = np.argsort(-(array @ query), kind="stable")[:k]
            assert [one for one, _ in row] == [str(place) for place in order]
            assert [one for _, one in row] == pytest.approx(list((array @ query)[order]), abs=1e-6)


def test_the_words_are_those_of_one_call_a_word(tiny_encoder: Path) -> None:
    encoder = load_encoder(f"local-dir:{tiny_encoder}", device="cpu")
    captions = [("two steel bolts on the tray", "en"), ("bolt", "en"), ("真鍮のボルト、傷", "ja")]
    photos = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    split = Splitter()
    found = leave_one_out(captions, photos, encoder, split)
    assert [len(one) for one in found] == [4, 0, 3], "a caption of one word has none to leave out"
    for (text, language), photo, effects in zip(captions, photos, found, strict=True):
        whole = float(encoder.encode_texts([text])[0] @ photo)
        for phrase, effect in zip(split(text, language), effects, strict=False):
            less = float(encoder.encode_texts([without(text, phrase)])[0] @ photo)
            assert (effect.word, effect.effect) == (phrase.words, pytest.approx(whole - less, abs=1e-6))


def test_a_site_scored_by_a_real_encoder(site: Site) -> None:
    """All three on one site, and the text tower is called once, whatever the number of pairs."""
    score(site)
    encoder = load_encoder(site.encoder_id(), device="cpu")
    calls: list[int] = []
    real = encoder.encode_texts

    def counted(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        return real(texts)

    encoder.encode_texts = counted  # type: ignore[method-assign]
    with site.connect() as db:
        rows = db.rows("SELECT p.pair_id, p.state, s.cosine FROM pairs p LEFT JOIN scores s USING (pair_id)")
    found = explain(site, [row["pair_id"] for row in rows], encoder)
    assert len(calls) == 1
    for row in rows:
        one = found[row["pair_id"]]
        assert len(one.like) == 3 or row["state"] != "missing"
        if row["state"] == "missing":
            assert (one.cosine, one.words, one.fits_better) == (None, None, ())
        else:
            assert one.cosine == pytest.approx(row["cosine"], abs=1e-5)
            assert one.words is not None
            assert all(other.cosine > one.cosine for other in one.fits_better)
    with_words = next(one for one in found.values() if one.words)
    effects = [word["effect"] for word in with_words.fields()["words"]]
    assert effects == sorted(effects), "the word that pulls down most comes first"
