"""Reasons as a field worker reads them, in both languages, the strongest first."""

from __future__ import annotations

import json

import pytest

from data.messages import catalogue
from scoring.reasons import WORDS, Findings, reasons, words

PLAIN = Findings(misfit=0.93, cosine_rank=0.93, neg_clip_loss_rank=0.9, unlike_photos=1.0)
PLACE = ("place", {"ja": "位置", "en": "Place"})
SEVERITY = ("severity", {"ja": "程度", "en": "Severity"})


def said(found: Findings, language: str = "en") -> list[str]:
    return [words(json.loads(json.dumps(reason)), language) for reason in reasons(found)]


def test_a_misfit_is_told_in_percent_of_the_captions():
    assert said(PLAIN) == ["Fits its photo worse than 93 % of the captions"]
    assert said(PLAIN, "ja") == ["写真との一致度が、全体の93％のキャプションより低いです"]


def test_a_good_fit_is_told_too():
    assert said(Findings(0.2, 0.2, 0.2, 1.0)) == ["Fits its photo better than 80 % of the captions"]


@pytest.mark.parametrize(("misfit", "percent"), [(0.9999, 99), (0.5, 50)])
def test_never_worse_than_all_of_them(misfit, percent):
    assert f"worse than {percent} %" in said(Findings(misfit, misfit, misfit, 1.0))[0]


def test_missing_items_by_the_labels_of_the_template():
    found = Findings(0.6, 0.6, 0.6, 1.0, missing=(PLACE, SEVERITY), doubts=(("missing_slots", 0.75),))
    assert said(found)[0] == "Does not state: Place, Severity"
    assert said(found, "ja")[0] == "書かれていない項目：位置、程度"


def test_labels_of_a_template_in_one_language_stand_for_the_other():
    found = Findings(
        0.6, 0.6, 0.6, 1.0, missing=(("place", {"ja": "位置"}),), doubts=(("missing_slots", 0.9),)
    )
    assert said(found)[0] == "Does not state: 位置"


def test_reuse_counts_photos():
    found = Findings(0.4, 0.4, 0.4, 41.3, doubts=(("caption_reuse", 0.2),))
    assert said(found)[0] == "The same words stand on 41 unlike photos"
    assert said(found, "ja")[0] == "似ていない41枚の写真に同じ文が付いています"
    assert len(said(Findings(0.4, 0.4, 0.4, 1.4))) == 1, "alike photos are no reason"


def test_vague_words_with_what_to_write_instead():
    found = Findings(
        0.6, 0.6, 0.6, 1.0, vague=(("photo", "what it shows"), ("thing", "")), doubts=(("vagueness", 0.7),)
    )
    assert said(found)[0] == "Says little: “photo” (better: what it shows), “thing”"
    assert said(found, "ja")[0] == "あいまいな言葉：「photo」（例：what it shows）、「thing」"


def test_a_caption_that_suits_other_photos():
    told = said(Findings(0.8, 0.6, 0.97, 1.0))
    assert told == [
        "Fits its photo worse than 80 % of the captions",
        "Would suit other photos too: says less of this one than 97 % of the captions",
    ]


def test_a_language_that_is_not_read_comes_first():
    found = Findings(
        None, None, None, 1.0, missing=(PLACE,), doubts=(("missing_slots", 0.5),), unread=("ja", "ViT-B-32/laion2b")
    )  # fmt: skip
    first, second = said(found)
    assert (
        first == "The encoder does not read Japanese: ranked by the words alone, without a look at the photo"
    )
    assert second == "Does not state: Place"
    assert said(found, "ja")[0].startswith("エンコーダーが日本語を読めない")


def test_the_strongest_reason_comes_first():
    found = Findings(
        0.9, 0.9, 0.9, 5.0, missing=(PLACE,), doubts=(("missing_slots", 0.5), ("caption_reuse", 0.1))
    )
    assert [reason["code"] for reason in reasons(found)] == ["fits_worse", "missing_slots", "caption_reuse"]


def test_every_code_has_japanese():
    """No English letters but names and numbers in the Japanese of this room."""
    examples = [
        *reasons(Findings(0.8, 0.6, 0.97, 3.0, missing=(PLACE,), vague=(("写真", ""),))),
        *reasons(Findings(0.2, 0.2, 0.2, 1.0)),
        *reasons(Findings(None, None, None, 1.0, unread=("en", "x"))),
    ]
    assert {reason["code"] for reason in examples} == set(WORDS)
    for reason in examples:
        japanese = words(reason, "ja")
        assert not any("a" <= letter <= "z" for letter in japanese.lower()), japanese
    assert catalogue("ja")["Does not state: {items}"]
