"""Reasons as a field worker reads them, in both languages, the strongest first."""

from __future__ import annotations

import json
import re

import pytest

from data.messages import catalogue
from scoring.reasons import FEW_WORDS, TELLING, WORDS, Findings, Reason, reasons, words

PLACE = ("place", {"ja": "位置", "en": "Place"})
SEVERITY = ("severity", {"ja": "程度", "en": "Severity"})
NUT = {
    "slot": {"ja": "部品", "en": "Part"},
    "stated": {"ja": "ボルト", "en": "bolt"},
    "seen": {"ja": "ナット", "en": "nut"},
}


def finding(misfit: float | None = 0.93, **more) -> Findings:
    return Findings("en", "tiny", misfit is not None, misfit, **more)


def told(found: Findings) -> list[Reason]:
    """As they come back from the store."""
    return list(json.loads(json.dumps(reasons(found))))


def said(found: Findings, language: str = "en") -> list[str]:
    return [words(reason, language) for reason in told(found)]


def test_a_misfit_is_told_in_percent_of_the_captions():
    assert said(finding()) == ["All signs together, fits its photo worse than 93 % of the captions"]
    assert said(finding(), "ja") == [
        "手がかりを総合すると、写真との合い方が全体の93%のキャプションより悪いです"
    ]


def test_a_good_fit_is_told_too():
    assert said(finding(0.2)) == ["All signs together, fits its photo better than 80 % of the captions"]


@pytest.mark.parametrize(("misfit", "percent"), [(0.9999, 99), (0.5, 50)])
def test_never_worse_than_all_of_them(misfit, percent):
    assert f"worse than {percent} %" in said(finding(misfit))[0]


def test_missing_items_by_the_labels_of_the_template():
    found = finding(0.6, missing=(PLACE, SEVERITY), doubts={"missing_slots": 0.75})
    assert said(found)[0] == "Does not state: Place, Severity"
    assert said(found, "ja")[0] == "書かれていない項目：位置、程度"


def test_labels_of_a_template_in_one_language_stand_for_the_other():
    found = finding(0.6, missing=(("place", {"ja": "位置"}),), doubts={"missing_slots": 0.9})
    assert said(found)[0] == "Does not state: 位置"
    slot = {name: {"ja": of["ja"]} for name, of in NUT.items()}
    assert "ボルト" in said(finding(0.6, contradictions=(slot,)))[1]


def test_reuse_counts_photos():
    found = finding(0.4, unlike_photos=41.3, doubts={"caption_reuse": 0.2})
    assert said(found)[0] == "The same words stand on 41 unlike photos"
    assert said(found, "ja")[0] == "似ていない41枚の写真に同じ文が付いています"
    assert len(said(finding(0.4, unlike_photos=1.4))) == 1, "alike photos are no reason"


def test_vague_words_with_what_to_write_instead():
    found = finding(0.6, vague=(("photo", "what it shows"), ("thing", "")), doubts={"vagueness": 0.7})
    assert said(found)[0] == "Says little: “photo” (better: what it shows), “thing”"
    assert said(found, "ja")[0] == "あいまいな言葉：「photo」（例：what it shows）、「thing」"


def test_a_caption_that_suits_other_photos():
    found = finding(0.8, ranks={"cosine": 0.6, "neg_clip_loss": 0.8})
    assert said(found) == [
        "All signs together, fits its photo worse than 80 % of the captions",
        "Would suit other photos too: says less of this one than 80 % of the captions",
    ]
    assert len(said(finding(0.8, ranks={"cosine": 0.75, "neg_clip_loss": 0.8}))) == 1, (
        "the cosine says it as well"
    )


@pytest.mark.parametrize(
    ("signal", "code"), [("other_captions", "unlike_other_captions"), ("site_fit", "unlike_site")]
)
def test_second_looks_are_told_when_they_tell_something(signal, code):
    for share, there in ((TELLING, True), (TELLING - 0.01, False)):
        codes = [one["code"] for one in told(finding(0.8, ranks={signal: share, "cosine": 0.5}))]
        assert (code in codes) == there and codes[0] == "fits_worse"
    assert [one["code"] for one in told(finding(0.3, ranks={signal: 0.99}))] == ["fits_better"]


def test_a_photo_unlike_all_others():
    codes = [one["code"] for one in told(finding(0.8, ranks={"out_of_domain": 0.995}))]
    assert codes == ["fits_worse", "unlike_photos"]


@pytest.mark.parametrize("language", FEW_WORDS)
def test_a_very_short_caption(language):
    for count, there in ((FEW_WORDS[language], True), (FEW_WORDS[language] + 1, False), (0, False)):
        found = Findings(language, "tiny", True, 0.6, words=count, doubts={"length": 0.2})
        assert ({"code": "short", "words": count, "language": language} in told(found)) == there


def test_words_that_the_encoder_does_not_know():
    assert told(finding(0.4, unknown_tokens=0.25))[0] == {"code": "unknown_words", "percent": 25}
    assert told(finding(0.4, unknown_tokens=0.001))[0]["percent"] == 1


def test_what_the_photo_seems_to_show_instead():
    found = finding(
        0.6,
        contradictions=(NUT, {**NUT, "seen": {"ja": "管", "en": "pipe"}}),
        doubts={"contradicting_slots": 0.2},
    )
    assert said(found)[0] == "Part: the caption states “bolt”, the photo looks like “nut”"
    assert said(found, "ja")[0] == "部品：キャプションは「ボルト」、写真は「ナット」のように見えます"
    assert len([one for one in told(found) if one["code"] == "contradicts"]) == 1, "the surest one"


def test_a_language_that_is_not_read_comes_first():
    found = Findings("ja", "ViT-B-32/laion2b", False, missing=(PLACE,), doubts={"missing_slots": 0.5})
    first, second = said(found)
    assert (
        first == "The encoder does not read Japanese: ranked by the words alone, without a look at the photo"
    )
    assert second == "Does not state: Place"
    assert said(found, "ja")[0].startswith("エンコーダーが日本語を読めない")
    other = Findings("fr", "tiny", False)
    assert "does not read fr:" in said(other)[0]


def test_the_strongest_reason_comes_first():
    found = finding(
        0.9, unlike_photos=5.0, missing=(PLACE,), doubts={"missing_slots": 0.5, "caption_reuse": 0.1}
    )
    assert [reason["code"] for reason in told(found)] == ["fits_worse", "missing_slots", "caption_reuse"]


def test_there_is_always_a_reason():
    assert reasons(Findings("en", "tiny", False)) and reasons(finding(0.0)) and reasons(finding(1.0))


EVERYTHING = [
    *reasons(
        finding(
            0.97, ranks={"other_captions": 0.95, "site_fit": 0.95, "neg_clip_loss": 0.95, "out_of_domain": 1.0},
            unlike_photos=3.0, words=2, unknown_tokens=0.5, missing=(PLACE,), vague=(("写真", "ボルト"), ("物", "")),
            contradictions=(NUT,),
        )
    ),
    *reasons(finding(0.2)),
    *reasons(Findings("en", "x", False)),
    *reasons(Findings("ja", "x", False)),
    *({"code": "sent_by_lead", "what": what} for what in ("term", "name", "phone", "email", "plate")),
]  # fmt: skip


@pytest.mark.parametrize("code", WORDS)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_code_is_said_in_both_languages(code, language):
    """No English letters but names and numbers in Japanese, no Japanese in English but what a caption has."""
    mine = [words(reason, language) for reason in EVERYTHING if reason["code"] == code]
    assert mine, "an example of every code"
    for sentence in mine:
        assert sentence and not sentence.endswith((".", "。")) and "{" not in sentence
        if language == "ja":
            assert not re.search("[A-Za-z]", sentence), sentence
        elif code != "vague_words":
            assert not re.search("[ぁ-んァ-ヶ一-龥]", sentence), sentence


def test_the_japanese_stands_in_the_catalogue_of_this_room():
    assert catalogue("ja")["Does not state: {items}"]


def test_an_unknown_code_is_a_mistake():
    with pytest.raises(KeyError):
        words({"code": "no such code"}, "en")
