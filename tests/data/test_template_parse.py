"""What a caption states, what it leaves out, and which of its words say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from data.caption_parser import normalise
from data.caption_pattern import PatternError, parse_pattern, render
from data.errors import GenbaError
from data.template_file import parse_template
from data.templates import Template, load_template

PARTS = load_template("parts")
BEAM = parse_template(
    """
id: beams
version: 1
title: { ja: 梁, en: Beams }
rubric: { ja: [書く], en: [Say.] }
slots:
  - id: beam
    type: choice
    label: { ja: 梁, en: Beam }
    required: true
    counted_by: number
    phrase: { en: { zero: "{}s", one: "{}", other: "{}s" } }
    options:
      - { id: girder, label: { ja: 桁, en: girder }, synonyms: { en: [body, box girder] } }
      - { id: joist, label: { ja: 根太, en: joist }, prompt: { ja: 床を支える根太, en: a joist of a floor } }
  - { id: number, type: number, label: { ja: 数, en: Number }, required: false, min: 0, max: 99, step: 1,
      in_words: true, phrase: { ja: "{}本" }, unit_words: { ja: [本] } }
  - id: state
    type: choice
    label: { ja: 状態, en: State }
    required: true
    options:
      - { id: sound, label: { ja: 健全, en: sound } }
      - { id: cracked, label: { ja: ひび, en: cracked } }
  - { id: width, type: number, label: { ja: 幅, en: Width }, required: true, show_when: { slot: state, is: [cracked] },
      unit: { ja: mm, en: mm }, unit_words: { en: [millimetres], ja: [ミリ] }, min: 0, max: 50 }
  - { id: length, type: number, label: { ja: 長さ, en: Length }, required: false, unit: { ja: m, en: m }, min: 0 }
  - { id: age, type: number, label: { ja: 年数, en: Age }, required: false, min: 0, max: 200, step: 1 }
  - id: signs
    type: multi
    label: { ja: 印, en: Signs }
    required: false
    options:
      - { id: rust, label: { ja: 錆, en: rust } }
      - { id: moss, label: { ja: 苔, en: moss } }
      - { id: damp, label: { ja: 湿り, en: damp } }
  - { id: stars, type: rating, label: { ja: 評価, en: Rating }, required: true, max: 5 }
  - { id: note, type: text, label: { ja: 備考, en: Note }, required: true }
vague: { en: [{ word: thing, instead: the beam }, { word: body of water, instead: the beam }] }
ignore: { ja: [苔色], en: [rust red] }
glossary:
  ja: [{ term: 桁, words: [ガーダー, GDR] }, { term: ひび, words: [クラック, CR] }, { term: 打継目, words: [目地] }]
  en: [{ term: cracked girder, words: [cg] }, { term: bearing, words: [brg] },
    { term: joist, words: [jst, floor beam] }]
caption:
  ja: "[{number}の]{beam}[は{state}][、幅{width}][、長さ{length}][、{signs}][、{note}]"
  en: "[{number} ]{beam}[, {state}][, {width} wide][, {length} long][, {signs}][, {note}]"
""",
    "beams",
    Template,
)


@pytest.mark.parametrize(("caption", "found"), [
    ("two sound girders", {"beam": "girder", "number": 2, "state": "sound"}),
    ("A box girder", {"beam": "girder", "number": 1}),
    ("no girders here", {"beam": "girder", "number": 0}),
    ("12 old wooden joists", {"beam": "joist", "number": 12}),
    ("100 joists", {"beam": "joist"}),  # more than the template allows
    ("joists x 3", {"beam": "joist", "number": 3}),
    ("with two cracks in a girder", {"beam": "girder", "number": 1}),  # the two are not of the girders
    ("girder and joist", {"beam": "girder"}),  # the first one counts
    ("GIRDERS: Rust, damp", {"beam": "girder", "signs": ["rust", "damp"]}),
    ("damp and moss and rust on joists", {"beam": "joist", "signs": ["rust", "moss", "damp"]}),
    ("rust-red joist", {"beam": "joist"}),  # an ignored word states nothing
    ("girderless antibody", {}),  # words end where they end
    ("cracked girder, 0.5 mm wide", {"beam": "girder", "state": "cracked", "width": 0.5}),
    ("cracked girder, 3 millimetres, 4 m long", {"beam": "girder", "state": "cracked", "width": 3, "length": 4}),
    ("cracked girder, 60 mm", {"beam": "girder", "state": "cracked"}),  # out of range
    ("cracked girder, -3 mm", {"beam": "girder", "state": "cracked"}),
    ("sound girder, 0.5 mm", {"beam": "girder", "state": "sound"}),  # a sound girder has no width of a crack
    ("girder, 0.5 mm", {"beam": "girder", "width": 0.5}),  # unless that is open
    ("girder, aged 40", {"beam": "girder", "age": 40}),
    ("girder HEB240", {"beam": "girder"}),  # no number of its own
    ("two CGs", {"beam": "girder", "number": 2, "state": "cracked"}),  # a local word states all that its term states
    ("3 floor beams", {"beam": "joist", "number": 3}),
    ("brg, girder", {"beam": "girder"}),  # a standard term that is no answer of this form
    ("", {}),
])  # fmt: skip
def test_english(caption: str, found: dict[str, Any]) -> None:
    assert BEAM.parse(caption, "en") == found


@pytest.mark.parametrize(("caption", "found"), [
    ("２本の桁は健全", {"beam": "girder", "number": 2, "state": "sound"}),
    ("桁十二本", {"beam": "girder", "number": 12}),
    ("根太×三", {"beam": "joist", "number": 3}),
    ("根太二十本、苔", {"beam": "joist", "number": 20, "signs": ["moss"]}),
    ("百本の根太", {"beam": "joist"}),
    ("根太なし", {"beam": "joist", "number": 0}),
    ("苔色の根太", {"beam": "joist"}),
    ("桁に 幅 0.3 mm のひび", {"beam": "girder", "state": "cracked", "width": 0.3}),
    ("桁にひび3ミリ、長さ5m", {"beam": "girder", "state": "cracked", "width": 3, "length": 5}),
    ("ﾋﾋﾞのある桁", {"beam": "girder"}),  # half-width katakana is no hiragana
    ("ガーダーにクラックあり", {"beam": "girder", "state": "cracked"}),
    ("ＣＲ、ｶﾞｰﾀﾞｰ", {"beam": "girder", "state": "cracked"}),
    ("SCREWのある根太", {"beam": "joist"}),  # Latin letters end where they end
])  # fmt: skip
def test_japanese(caption: str, found: dict[str, Any]) -> None:
    assert {name: value for name, value in BEAM.parse(caption, "ja").items() if name != "age"} == found


def test_a_caption_of_unknown_language_is_searched_in_both() -> None:
    assert BEAM.parse("girder (桁), 健全", "und") == {"beam": "girder", "state": "sound"}
    assert BEAM.parse("桁, cracked", "und") == {"beam": "girder", "state": "cracked"}


def test_missing_asks_for_what_a_caption_can_say_and_must() -> None:
    assert BEAM.missing("", "en") == ["beam", "state"]
    assert BEAM.missing("cracked girder", "en") == [
        "width"
    ]  # not stars (not said), not note (cannot be searched for)
    assert BEAM.missing("sound girder", "en") == []
    assert BEAM.missing("桁はひび", "ja") == ["width"]
    assert BEAM.said("en") == ["beam", "number", "state", "width", "length", "signs", "note"]


def test_vague_words_count_only_where_they_state_nothing() -> None:
    assert [vague.word for vague in BEAM.vague_words("Things and a body of water", "en")] == [
        "thing",
        "body of water",
    ]
    assert BEAM.vague_words("something on the girder", "en") == []
    assert [vague.instead for vague in PARTS.vague_words("不良品の写真", "ja")] == [
        "写真に見えるもの", "欠陥の種類と位置（左側に傷など）"
    ]  # fmt: skip
    assert PARTS.parse("不良品", "ja") == {}  # and not 良品
    assert PARTS.vague_words("bolt on a parts tray", "en") == []
    assert PARTS.parse("部品トレーに保管したボルト", "ja") == {"part": "bolt", "background": "tray"}


def test_captions_of_what_is_not_a_choice() -> None:
    slots = {"beam": "joist", "number": 0, "signs": ["damp", "rust", "moss"], "length": 3.0, "note": "門型"}
    assert BEAM.caption(slots, "en") == "No joists, 3 m long, rust, moss and damp"  # the note is Japanese
    assert BEAM.caption(slots, "ja") == "0本の根太、長さ3m、錆、苔、湿り、門型"
    assert BEAM.caption({"beam": "joist", "number": 11, "note": "B-7"}, "en") == "11 joists, B-7"
    assert BEAM.caption({"beam": "girder", "number": 10}, "en") == "Ten girders"


@pytest.mark.parametrize(("note", "language", "said"), [
    ("クラックは目地の近く", "ja", "ひびは打継目の近く"),
    ("ひびの幅はCR計で", "ja", "ひびの幅はひび計で"),
    ("SCREWあり", "ja", "SCREWあり"),
    ("near the brg, see JST 4", "en", "near the bearing, see joist 4"),
    ("a brgx", "en", "a brgx"),
])  # fmt: skip
def test_a_free_text_is_said_with_the_standard_terms(note: str, language: str, said: str) -> None:
    slots = {"beam": "girder", "note": note}
    assert said in BEAM.caption(slots, language)
    assert BEAM.validate_slots(slots, partial=True)["note"] == note  # what was typed stays as it was typed


def test_prompts_ask_for_one_option_alone() -> None:
    assert BEAM.prompts("beam", "en") == {"girder": "girder", "joist": "a joist of a floor"}
    assert PARTS.prompts("defect", "ja")["none"] == "欠陥はありません"
    assert PARTS.prompts("defect", "ja")["scratch"] == "傷があります"
    assert PARTS.prompts("count", "en") == {}
    with pytest.raises(GenbaError, match=r"has no slot 'colour'. Known: beam, number, state"):
        BEAM.prompts("colour", "en")
    with pytest.raises(GenbaError, match=r"has no language 'fr'. Known: ja, en"):
        BEAM.caption({}, "fr")


def test_text_is_compared_without_width_case_and_hyphens() -> None:
    assert normalise(" Ｌ‑Bracket  x２ ", "en") == "l bracket x2"
    assert normalise("L字 金具 2 本 AB 12", "ja") == "l字金具2本ab 12"


def test_patterns() -> None:
    pattern = parse_pattern("[{count} ]{part}[ on the {place}[ ({zone})]] {[}ok{]} {{}}")
    assert render(pattern, {"part": "bolt"}.get) == "bolt [ok] {}"
    assert render(pattern, {"part": "bolts", "count": "2", "place": "tray", "zone": "A"}.get) == (
        "2 bolts on the tray (A) [ok] {}"
    )
    assert (
        render(pattern, {"part": "bolts", "zone": "A"}.get) == "bolts [ok] {}"
    )  # zone stands inside place's group
    assert render(pattern, {}.get) == ""
    with pytest.raises(PatternError, match="at character 3"):
        parse_pattern("ab]")
