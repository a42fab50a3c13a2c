"""Scores from vectors and words: each language by itself, and what cannot be looked at by its words alone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow
import pytest

from data.records import caption_id, language_of
from data.templates import load_template
from scoring.encoders import resolve_encoder
from scoring.ranking import Before, CaptionedPair, Ranked, by_language, captioned, codes, rank
from scoring.signals import SIGNALS
from scoring.vectors import Vectors
from tests.scoring.synthetic import right_and_wrong


@pytest.fixture(scope="module")
def source(tiny_encoder):
    return resolve_encoder(f"local-dir:{tiny_encoder}")


@dataclass(frozen=True)
class Score:
    """One row of the table `scores`, as a reader sees it."""

    pair_id: str
    encoder: str
    cosine: float | None
    signals: dict[str, float | None]
    risk: float
    priority: float
    reasons: list[dict[str, Any]]


def scores(found: Ranked) -> list[Score]:
    table = found.scores(0, len(found), "f" * 32, datetime(2026, 1, 1))
    return [
        Score(
            row["pair_id"], row["encoder"], row["cosine"], dict(row["signals"]), row["risk"], row["priority"],
            json.loads(row["reasons"]),
        )
        for row in table.to_pylist()
    ]  # fmt: skip


def ranked(rows: list[CaptionedPair], images, texts, source, template=None, **more) -> list[Score]:
    """In the order of the rows."""
    found = {
        one.pair_id: one
        for part in rank(captioned(rows), images, texts, source, template, **more)
        for one in scores(part)
    }
    return [found[row.pair_id] for row in rows if row.pair_id in found]


def pairs(captions: list[str], original: bool = True) -> list[CaptionedPair]:
    return [
        CaptionedPair(f"p{k}", f"i{k}", f"g{k}", caption_id(c), c, language_of(c), original)
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


# With the temperature of the encoder, 0.07, negCLIPLoss tells these cosines apart by more than the noise.
FITS = [0.2, 0.1, 0.15]


def test_worse_fit_higher_risk_and_every_signal_has_its_number(source):
    rows = pairs(["a bolt", "a nut", "a gear"])
    found = ranked(rows, *vectors(rows, FITS), source)
    assert [one.pair_id for one in found] == ["p0", "p1", "p2"]
    assert found[1].risk > found[2].risk > found[0].risk
    assert np.allclose([one.signals["cosine"] for one in found], FITS)
    assert np.allclose([one.cosine for one in found], FITS)
    assert all(list(one.signals) == list(SIGNALS) and one.priority == one.risk for one in found)
    assert found[0].signals["missing_slots"] is None, "no template"
    assert found[0].signals["site_fit"] is None, "three pairs teach nothing"
    assert found[0].encoder == source.id


def test_languages_are_ranked_each_by_itself(source):
    """Every Japanese cosine lies below every English one; half of the queue would be Japanese all the same."""
    rows = pairs(["a bolt", "a nut", "a gear", "ボルト", "ナット", "ねじ"])
    found = ranked(rows, *vectors(rows, [0.2, 0.15, 0.1, 0.06, 0.04, 0.02]), source)
    misfit = [max(one.risk for one in found[:3]) - one.risk for one in found]
    assert found[0].risk < found[1].risk < found[2].risk and misfit[2] == 0
    assert found[3].risk < found[4].risk < found[5].risk and found[3].risk < found[2].risk


def test_captions_without_letters_are_ranked_with_the_main_language(source):
    rows = pairs(["a bolt", "a nut", "a gear", "12345", "ボルト"])
    parts = list(rank(captioned(rows), *vectors(rows, [0.2, 0.15, 0.1, 0.01, 0.12]), source, None))
    assert {part.language: part.pair_ids.to_pylist() for part in parts} == {
        "en": ["p0", "p1", "p2", "p3"], "ja": ["p4"],
    }  # fmt: skip
    english = scores(parts[0])
    assert max(english, key=lambda one: one.risk).pair_id == "p3"


def test_the_main_language_is_that_of_the_original_captions(source):
    """Else Japanese corrections would move captions without letters, whose scores stand already."""
    languages = pyarrow.chunked_array([["en", "und", "ja", "ja", "ja"]])
    original = np.array([True, True, False, False, False])
    assert by_language(languages, source, original).tolist() == ["en", "en", "ja", "ja", "ja"]
    assert by_language(languages, source, np.zeros(5, dtype=bool)).tolist()[1] == "ja", "all, when none is"
    assert by_language(pyarrow.chunked_array([["und"]]), source, original[:1]).tolist() == ["und"]


def test_a_language_that_is_not_read_is_ranked_by_its_words(source):
    english = replace(source, languages=("en",))
    template = load_template("parts")
    rows = pairs(["a bolt", "トレーの上の鋼製ボルト2個。欠陥はありません。", "写真"])
    _, texts = vectors(rows[:1], [0.2])
    images = Vectors([row.image_id for row in rows], np.eye(3, 2, dtype=np.float32))
    read, right, vague = ranked(rows, images, texts, english, template)
    assert read.signals["cosine"] == pytest.approx(0.2)
    assert (
        right.signals["cosine"] is None and right.cosine is None and right.signals["unknown_tokens"] is None
    )
    assert (read.signals["language_unread"], right.signals["language_unread"]) == (0, 1)
    assert vague.risk > right.risk
    assert [reason["code"] for reason in right.reasons] == ["language_not_read"]
    assert vague.reasons[0] == {"code": "language_not_read", "language": "ja", "encoder": source.id}
    assert {"missing_slots", "vague_words", "short"} <= {reason["code"] for reason in vague.reasons}


def test_the_template_finds_what_is_missing(source):
    template = load_template("parts")
    rows = pairs(
        ["two steel bolts with a slight scratch at the left, on the tray", "two steel bolts on the tray"]
    )
    whole, short = ranked(rows, *vectors(rows, [0.1, 0.1]), source, template)
    assert (
        whole.signals["missing_slots"] == 0 and short.signals["missing_slots"] > 0 and short.risk > whole.risk
    )
    reason = next(reason for reason in short.reasons if reason["code"] == "missing_slots")
    assert "defect" in reason["slots"] and set(reason["labels"]) == {"ja", "en"}


def of_kinds(template: str = "parts") -> tuple[list[CaptionedPair], Vectors, Vectors]:
    """A site of 144 photos of six kinds of part (tests/scoring/synthetic.py), in the words of the template."""
    made = right_and_wrong()
    names = ["bolt", "nut", "washer", "gear", "bracket", "pipe"]
    rows, texts = [], {}
    for k in range(len(made)):
        said = names[made.stated[k, 0]]
        caption = f"{made.caption_of[k] + 3} steel {said}s on the tray"
        rows.append(
            CaptionedPair(
                f"p{k:03d}",
                f"i{made.image_of[k]}",
                f"g{made.group_of[k]}",
                caption_id(caption),
                caption,
                "en",
                True,
            )
        )
        texts[caption_id(caption)] = made.captions[made.caption_of[k]]
    images = Vectors([f"i{k}" for k in range(len(made.images))], made.images)
    return rows, images, Vectors(list(texts), np.stack(list(texts.values())))


def test_a_photo_that_shows_something_else_is_told_by_the_labels_of_the_template(source):
    rows, images, texts = of_kinds()
    found = ranked(rows, images, texts, source, load_template("parts"))
    told = next(one for one in found[1].reasons if one["code"] == "contradicts")
    assert told["slot"] == {"ja": "部品", "en": "Part"}
    assert told["stated"]["en"] == "washer" and told["seen"] == {"ja": "ナット", "en": "nut"}
    assert not any(one["code"] == "contradicts" for one in found[0].reasons)
    order = np.argsort([-one.risk for one in found])
    assert {1, 3, 4, 5, 6} <= set(order[:10].tolist())


def test_numbers_are_contradicted_as_numbers(source):
    """A template whose captions state how many: 1 or 2 by what the photo shows, one of them the other way round."""
    rows, images, texts = [], [], {}
    rng = np.random.default_rng(0)
    for k in range(120):
        count = 1 + k % 2
        images.append(np.eye(2, 8)[k % 2] + 0.05 * rng.normal(size=8))
        caption = f"{count if k else 3 - count} steel bolts on the tray"
        rows.append(CaptionedPair(f"p{k:03d}", f"i{k}", f"g{k}", caption_id(caption), caption, "en", True))
        texts.setdefault(caption_id(caption), np.eye(2, 8)[k % 2])
    array = np.array(images, dtype=np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    found = ranked(
        rows, Vectors([row.image_id for row in rows], array),
        Vectors(list(texts), np.array(list(texts.values()), dtype=np.float32)), source, load_template("parts"),
    )  # fmt: skip
    told = next(one for one in found[0].reasons if one["code"] == "contradicts")
    assert told["slot"]["en"] == "How many" and told["stated"]["en"] == "2" and told["seen"]["ja"] == "1"


def test_pairs_of_photos_without_a_vector_get_no_score(source):
    rows = pairs(["a bolt", "a nut"])
    images, texts = vectors(rows, [0.2, 0.1])
    found = ranked(rows, Vectors(["i1"], images.array[1:]), texts, source)
    assert [one.pair_id for one in found] == ["p1"]


def test_one_pair_and_all_captions_equal(source):
    one = pairs(["a bolt"])
    alone = ranked(one, *vectors(one, [0.2]), source)[0]
    assert (
        alone.signals["neg_clip_loss"] == pytest.approx(0, abs=1e-9) and alone.signals["caption_rank"] is None
    )
    same = pairs(["a bolt"] * 4)
    images = Vectors([row.image_id for row in same], np.eye(4, dtype=np.float32))
    texts = Vectors([same[0].caption_id], np.full((1, 4), 0.5, dtype=np.float32))
    found = ranked(same, images, texts, source)
    assert len({one.risk for one in found}) == 1 and found[0].signals["caption_reuse"] == 4
    assert list(rank(captioned([]), images, texts, source, None)) == []


def test_rows_asked_are_ranked_as_they_would_be_in_the_whole(source):
    """What an earlier run kept (reference and fit) and a few rows, against everything anew."""
    rows, images, texts = of_kinds()
    rows = [replace(row, original=k % 20 != 7) for k, row in enumerate(rows)]
    template = load_template("parts")
    (whole,) = rank(captioned(rows), images, texts, source, template)
    counted = np.array([row.original for row in rows])
    before = {"en": Before({name: of[counted] for name, of in whole.signals.items()}, whole.fit)}
    (some,) = rank(captioned(rows), images, texts, source, template, scored=counted, before=before)
    assert some.pair_ids.to_pylist() == [row.pair_id for row in rows if not row.original]
    expected = {one.pair_id: one for one in scores(whole)}
    for one in scores(some):
        assert one.risk == pytest.approx(expected[one.pair_id].risk, abs=1e-6)
        assert one.signals == pytest.approx(expected[one.pair_id].signals, abs=1e-6)
        assert one.reasons == expected[one.pair_id].reasons


def test_in_chunks_it_is_the_same_table(source):
    rows, images, texts = of_kinds()
    (found,) = rank(captioned(rows), images, texts, source, load_template("parts"))
    at = datetime(2026, 1, 1)
    whole = found.scores(0, len(found), "f", at)
    parts = [found.scores(start, start + 50, "f", at) for start in range(0, len(found), 50)]
    assert pyarrow.concat_tables(parts).to_pylist() == whole.to_pylist()


def test_codes_by_hand():
    code, texts = codes(pyarrow.chunked_array([["b", "a"], ["b"]]))
    assert code.tolist() == [0, 1, 0] and texts.to_pylist() == ["b", "a"]
