"""Scores from vectors and words: each language by itself, and what cannot be looked at by its words alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from data.records import caption_id, language_of
from data.templates import load_template
from scoring.encoders import resolve_encoder
from scoring.ranking import CaptionedPair, rank
from scoring.signals import SIGNALS
from scoring.vectors import Vectors


@pytest.fixture(scope="module")
def source(tiny_encoder):
    return resolve_encoder(f"local-dir:{tiny_encoder}")


def pairs(captions: list[str], **changes: object) -> list[CaptionedPair]:
    return [
        CaptionedPair(f"p{k}", f"i{k}", f"g{k}", caption_id(c), c, language_of(c), True, **changes)
        for k, c in enumerate(captions)
    ]


def vectors(rows: list[CaptionedPair], cosines: list[float]) -> tuple[Vectors, Vectors]:
    """Photos along axes of their own; each caption at the given cosine from its photo, else at right angles to all."""
    n = len(rows)
    images = np.eye(n, 2 * n, dtype=np.float32)
    texts = {}
    for k, (row, cosine) in enumerate(zip(rows, cosines, strict=True)):
        vector = np.zeros(2 * n, dtype=np.float32)
        vector[k], vector[n + k] = cosine, math.sqrt(1 - cosine**2)
        texts.setdefault(row.caption_id, vector)
    return Vectors([row.image_id for row in rows], images), Vectors(
        list(texts), np.stack(list(texts.values()))
    )


def test_worse_fit_higher_risk_and_every_signal_has_its_number(source):
    rows = pairs(["a bolt", "a nut", "a gear"])
    scores = rank(rows, *vectors(rows, [0.9, 0.1, 0.5]), source, None)
    assert [score.pair_id for score in scores] == ["p0", "p1", "p2"]
    assert scores[1].risk > scores[2].risk > scores[0].risk
    assert np.allclose([score.signals["cosine"] for score in scores], [0.9, 0.1, 0.5])
    assert all(list(score.signals) == list(SIGNALS) for score in scores)
    assert math.isnan(scores[0].signals["missing_slots"]), "no template"
    assert scores[0].encoder == source.id


def test_languages_are_ranked_each_by_itself(source):
    """Every Japanese cosine lies below every English one; half of the queue would be Japanese all the same."""
    rows = pairs(["a bolt", "a nut", "a gear", "ボルト", "ナット", "ギア"])
    scores = rank(rows, *vectors(rows, [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]), source, None)
    assert np.allclose([score.risk for score in scores[:3]], [score.risk for score in scores[3:]])


def test_captions_without_letters_are_ranked_with_the_main_language(source):
    rows = pairs(["a bolt", "a nut", "a gear", "12345", "ボルト"])
    scores = rank(rows, *vectors(rows, [0.9, 0.8, 0.7, 0.1, 0.5]), source, None)
    assert scores[3].risk == max(score.risk for score in scores), "alone it would have the middle rank"
    assert scores[4].risk == 0.5


def test_a_language_that_is_not_read_is_ranked_by_its_words(source):
    english = replace(source, languages=("en",))
    template = load_template("parts")
    rows = pairs(["a bolt", "鋼のボルト2個。傷なし。作業台の上", "写真"])
    images, texts = vectors(rows[:1], [0.9])
    images = Vectors([row.image_id for row in rows], np.eye(3, 2, dtype=np.float32))
    read, right, vague = rank(rows, images, texts, english, template)
    assert read.signals["cosine"] == pytest.approx(0.9) and math.isnan(right.signals["cosine"])
    assert vague.risk > right.risk and right.risk == 0.5
    assert [reason["code"] for reason in right.reasons] == ["language_not_read"]
    assert vague.reasons[0] == {"code": "language_not_read", "language": "ja", "encoder": source.id}
    assert {"missing_slots", "vague_words"} <= {reason["code"] for reason in vague.reasons}


def test_the_template_finds_what_is_missing(source):
    template = load_template("parts")
    rows = pairs(
        ["two steel bolts with a slight scratch at the left, on the tray", "two steel bolts on the tray"]
    )
    whole, short = rank(rows, *vectors(rows, [0.5, 0.5]), source, template)
    assert (
        whole.signals["missing_slots"] == 0 and short.signals["missing_slots"] > 0 and short.risk > whole.risk
    )
    reason = next(reason for reason in short.reasons if reason["code"] == "missing_slots")
    assert "defect" in reason["slots"] and set(reason["labels"]) == {"ja", "en"}


def test_pairs_of_photos_without_a_vector_get_no_score(source):
    rows = pairs(["a bolt", "a nut"])
    images, texts = vectors(rows, [0.5, 0.4])
    scores = rank(rows, Vectors(["i1"], images.array[1:]), texts, source, None)
    assert [score.pair_id for score in scores] == ["p1"]


def test_one_pair_and_all_captions_equal(source):
    one = pairs(["a bolt"])
    assert [score.risk for score in rank(one, *vectors(one, [0.5]), source, None)] == [0.5]
    same = pairs(["a bolt"] * 4)
    images = Vectors([row.image_id for row in same], np.eye(4, dtype=np.float32))
    texts = Vectors([same[0].caption_id], np.full((1, 4), 0.5, dtype=np.float32))
    scores = rank(same, images, texts, source, None)
    assert len({score.risk for score in scores}) == 1 and scores[0].signals["caption_reuse"] == 4
    assert rank([], images, texts, source, None) == []
