"""Every mistake in a template file is told with its line, the value and the choices."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import GenbaError
from data.messages import translator
from data.template_checks import RESERVED
from data.template_file import TemplateError, parse_template
from data.templates import Template, load_template
from data.told import Told

SMALL = """\
id: bridges
version: 2
title: { ja: 橋, en: Bridges }
rubric: { ja: [見えるものを書く。], en: [Say what you see.] }
slots:
  - id: part
    type: choice
    label: { ja: 部位, en: Part }
    required: true
    counted_by: count
    phrase: { en: { one: "{}", other: "{}s" } }
    options:
      - { id: girder, label: { ja: 桁, en: girder } }
      - { id: pier, label: { ja: 橋脚, en: pier }, synonyms: { ja: [ピア] } }
  - { id: count, type: number, label: { ja: 数, en: Count }, required: false, min: 1, max: 9, step: 1 }
  - id: crack
    type: choice
    label: { ja: ひび, en: Crack }
    required: true
    options:
      - { id: no_crack, label: { ja: ひびなし, en: no crack } }
      - { id: cracked, label: { ja: ひびあり, en: a crack } }
  - id: width
    type: number
    label: { ja: 幅, en: Width }
    required: false
    show_when: { slot: crack, is: [cracked] }
    unit: { ja: mm, en: mm }
  - { id: stars, type: rating, label: { ja: 評価, en: Rating }, required: false, max: 3 }
  - { id: note, type: text, label: { ja: 備考, en: Note }, required: false }
  - id: tags
    type: multi
    label: { ja: 札, en: Tags }
    required: false
    options: [{ id: wet, label: { ja: 濡れ, en: wet } }, { id: mossy, label: { ja: 苔, en: mossy } }]
vague:
  en: [{ word: stuff, instead: the part }]
ignore: { en: [pier review] }
caption:
  ja: "{part}[{count}]。[{crack}][、幅{width}]。[{tags}][（{note}）]"
  en: "[{count} ]{part}[ with {crack}][, {width} wide][, {tags}][ ({note})]"
examples: { en: { good: [A girder], bad: [{ caption: stuff, why: says nothing }] } }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "bridges.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) == 1, f"{old!r} stands {SMALL.count(old)} times"
    return SMALL.replace(old, new)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(GenbaError) as caught:
        load_template(write(folder, text))
    assert caught.value.next
    return caught.value.what


def test_the_small_template_is_right(tmp_path: Path) -> None:
    template = load_template(write(tmp_path, SMALL))
    slots = {
        "part": "pier",
        "count": 2,
        "crack": "cracked",
        "width": 0.5,
        "tags": ["mossy", "wet"],
        "note": "AB-12",
    }
    assert template.caption(slots, "en") == "2 piers with a crack, 0.5 mm wide, wet and mossy (AB-12)"
    assert template.caption(slots, "ja") == "橋脚2。ひびあり、幅0.5mm。濡れ、苔（AB-12）"


IGNORE = "ignore: { en: [pier review] }"
# what to change, into what -> what must stand in the message
MISTAKES: dict[str, tuple[str, str, str]] = {
    "unknown key": ("required: true\n    counted_by", "requird: true\n    counted_by",
                    "line 9, slots 1 (part), requird: unknown key 'requird' (did you mean 'required'?). Known: id, "),
    "unknown key of an option": ("synonyms: { ja: [ピア] }", "synonym: { ja: [ピア] }",
                                 "options 2 (pier), synonym: unknown key 'synonym' (did you mean 'synonyms'?)"),
    "unknown key at the top": ("vague:\n", "vage:\n", "unknown key 'vage' (did you mean 'vague'?). Known: id, version"),
    "unknown key of show_when": ("is: [cracked]", "are: [cracked]", "unknown key 'are'. Known: slot, is, is_not"),
    "unknown key of a form": ('other: "{}s"', 'others: "{}s"', "unknown key 'others' (did you mean 'other'?)"),
    "missing key": ("version: 2\n", "", "line 1: the key 'version' is missing"),
    "missing label": ("label: { ja: 評価, en: Rating }, ", "", "line 29, slots 5 (stars): the key 'label' is missing"),
    "type": ("type: rating", "type: rate", "'rate' is none of 'choice', 'multi', 'number', 'text' or 'rating'"),
    "YAML's yes": ("label: { ja: 札, en: Tags }", "label: { ja: 札, en: no }",
                   "YAML reads a bare yes, no, on or off as False: put the word in quotes"),
    "number for a text": ("label: { ja: 札, en: Tags }", "label: { ja: 札, en: 12 }",
                          "a text is expected (put it in quotes), not 12"),
    "text for a number": ("min: 1, ", "min: one, ", "a number is expected, not 'one'"),
    "infinite": ("min: 1, ", "min: .inf, ", "finite"),
    "version as text": ("version: 2", 'version: "2"', "a whole number is expected, not '2'"),
    "text for yes or no": ("required: false, max: 3", "required: maybe, max: 3", "true or false is expected"),
    "text for a list": ("ignore: { en: [pier review] }", "ignore: { en: pier review }",
                        "line 38, ignore, en: a list is expected, not 'pier review'"),
    "local word twice": (
        IGNORE, "glossary: { en: [{ term: girder, words: [gdr] }, { term: pier, words: [GDR] }] }",
        "glossary, en 2, words 1: 'GDR' already stands for 'girder'"),
    "local word is a term": (
        IGNORE, "glossary: { en: [{ term: girder, words: [pier] }, { term: pier, words: [pr] }] }",
        "'pier' is itself a standard term"),
    "local word of another answer": (
        IGNORE, "glossary: { en: [{ term: girder, words: [pier] }] }",
        "'pier' states part: pier, but 'girder' part: girder"),
    "local word that is vague": (
        IGNORE, "glossary: { en: [{ term: girder, words: [stuff] }] }",
        "'stuff' also stands under vague or ignore, where it says nothing"),
    "glossary without words": ("ignore: { en: [pier review] }", "glossary: { en: [{ term: girder, words: [] }] }",
                               "line 38, glossary, en 1, words: at least one entry is needed"),
    "unknown key of the glossary": ("ignore: { en: [pier review] }", "glossary: { en: [{ term: girder, word: [g] }] }",
                                    "unknown key 'word' (did you mean 'words'?). Known: term, words"),
    "text for words": ("title: { ja: 橋, en: Bridges }", "title: Bridges",
                       "one text for each language is expected: {ja: …, en: …}, not 'Bridges'"),
    "no slots": (SMALL[SMALL.index("slots:"):SMALL.index("vague:")], "slots: []\n", "at least one entry is needed"),
    "id of a slot": ("- id: width", "- id: Width", "'Width': small letters, digits and _ only, a letter first"),
    "id of the template": ("id: bridges", "id: Bridges!", "'Bridges!': small letters, digits and - only"),
    "language": ("title: { ja: 橋, en: Bridges }", "title: { ja: 橋, fr: Ponts }", "'fr' is none of 'ja' or 'en'"),
    "id twice": ("- id: width", "- id: crack", "the id 'crack' stands twice"),
    "option twice": ("id: pier,", "id: girder,", "options 2 (girder), id: the id 'girder' stands twice"),
    "reserved id": ("id: note,", f"id: {RESERVED[0]},", "'verdict' is a field of every form: choose another id"),
    "language missing": ("label: { ja: 札, en: Tags }", "label: { ja: 札 }",
                         "the language 'en' is missing (title has ja, en)"),
    "text empty": ("label: { ja: 札, en: Tags }", "label: { ja: 札, en: ' ' }", "label, en: the text is empty"),
    "language of no title": ("title: { ja: 橋, en: Bridges }", "title: { en: Bridges }",
                             "title has no language 'ja': en"),
    "one option": (", { id: mossy, label: { ja: 苔, en: mossy } }", "", "a multi slot needs at least two options"),
    "options of a number": ("unit: { ja: mm, en: mm }", "options: [{ id: a, label: { ja: あ, en: a } }]",
                            "a number slot has no options (types with options: choice, multi)"),
    "unit of a rating": ("required: false, max: 3", "required: false, unit: { ja: 点, en: points }",
                         "a rating slot has no 'unit': only a number slot has"),
    "max of a text": ("type: text, ", "type: text, max: 9, ", "a text slot has no 'max'"),
    "words of a choice": ("counted_by: count", "counted_by: count\n    in_words: true",
                          "a choice slot has no 'in_words'"),
    "stars": ("max: 3", "max: 11", "a rating has 2 to 10 steps"),
    "range": ("min: 1, max: 9", "min: 9, max: 1", "max 1 is not above min 9"),
    "step": ("step: 1", "step: 0", "greater than 0, not 0"),
    "show_when of a later slot": ("slot: crack, is", "slot: tags, is",
                                  "'tags' is no choice slot before this one. Known: part, crack"),
    "show_when misspelt": ("slot: crack, is", "slot: crak, is",
                           "'crak' is no choice slot before this one (did you mean 'crack'?). Known: part, crack"),
    "show_when of neither": (", is: [cracked]", "", "write either 'is' or 'is_not'"),
    "show_when of no option": ("is: [cracked]", "is: [craked]",
                               "'craked' is no option of 'crack' (did you mean 'cracked'?). Known: no_crack, cracked"),
    "counted_by": ("counted_by: count", "counted_by: crack", "'crack' is no number slot. Known: count, width"),
    "slot of the caption": ("{part}[ with", "{prat}[ with",
                            "line 41, caption, en: 'prat' is no slot (did you mean 'part'?). Known: part, count"),
    "bracket open": ("[ with {crack}]", "[ with {crack}", "is never closed (write '{[}' for the bracket itself)"),
    "bracket closed": ("[ with {crack}]", " with {crack}]", "closes no '[' (write '{]}' for the bracket itself)"),
    "brace alone": ("[ with {crack}]", "[ with {crack]", "'{' at character 24 has no partner (write '{{'"),
    "no slot in braces": ("[ with {crack}]", "[ with {crack!r}]", "'{crack!r}' at character 24 is no slot"),
    "group of nothing": ("[ with {crack}]", "[ with]{crack}", "has no {slot} in it"),
    "own words in the caption": ("[ with {crack}]", "[ with {}]", "{} has no meaning here: name the slot, e.g. {part}"),
    "phrase of no slot": ('other: "{}s"', 'other: "{}s {prt}"', "'prt' is no slot (did you mean 'part'?)"),
    "circle": ("unit: { ja: mm, en: mm }", 'phrase: { en: "{part}" }\n  - id: x\n    type: text\n    label: '
               '{ ja: x, en: x }\n    required: false\n    phrase: { en: "{y}" }\n  - id: y\n    type: text\n    '
               'label: { ja: x, en: x }\n    required: false\n    phrase: { en: "{x}" }',
               "the phrase of 'x' leads back to 'x' (en)"),
    "caption of nothing": ('"{part}[{count}]。[{crack}][、幅{width}]。[{tags}][（{note}）]"', "橋です",
                           "the caption names no slot"),
    "said in one language": ("[、幅{width}]", "", "line 40, caption, ja: 'width' is said in en but not in ja"),
    "one word for two": ("synonyms: { ja: [ピア] }", "synonyms: { ja: [桁] }",
                         "'桁' (ja) already stands for 'girder': one word, one option"),
    "label of another": ("en: pier }", "en: girder }", "the label 'girder' also names the option 'girder'"),
    "caption that is not understood": ("synonyms: { ja: [ピア] }", 'phrase: { en: { one: support, other: supports } }',
                                       "the caption says 'support' (en), which is not read as 'pier'"),
    "default": ("max: 9, step: 1", "max: 9, step: 1, default: 12", "line 15, slots 2 (count), default: from 1 to 9"),
    "alias": ("ignore: { en: [pier review] }", "ignore: &a { en: [pier review] }\nexamples: *a",
              "line 39: '*a' is not read: write it out"),
    "key twice": ("version: 2", "version: 2\nversion: 3", "line 3: the key 'version' stands twice"),
    "YAML": ("version: 2", "version: [2", "no YAML"),
    "program in YAML": ("version: 2", "version: !!python/object/apply:os.getcwd []", "no YAML: could not determine"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    old, new, message = MISTAKES[name]
    text = changed(old, new)
    told = refused(tmp_path, text)
    assert message in told
    assert "bridges.yaml, line " in told


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = refused(tmp_path, SMALL.replace("required: false", "required: maybe"))
    assert told.startswith("The template bridges.yaml has 5 mistakes:\n")
    assert [line.split(",")[1] for line in told.splitlines()[1:]] == [
        " line 15", " line 26", " line 29", " line 30", " line 34"
    ]  # fmt: skip


def test_a_list_of_many_mistakes_ends(tmp_path: Path) -> None:
    options = "\n".join(f"      - {{ id: o{n}, label: 12 }}" for n in range(40))
    told = refused(tmp_path, changed("      - { id: girder, label: { ja: 桁, en: girder } }", options))
    assert told.splitlines()[-1] == "… and 28 more" and len(told.splitlines()) == 14


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is no template: it must begin with keys"),
    (b"- a\n- b\n", "is no template: it must begin with keys"),
    (b"\xff\xfe\x00", "is not UTF-8 text"),
    (b"{? [a, b] : c}", "bridges.yaml"),
    (b"id: " + b"[" * 990 + b"]" * 990, "without end"),
    (b"- " * 100_000 + b"a", "no YAML"),
    (b"a" * 1_000_001, "at most 1000000 are read"),
    (b"id: \x07", "no YAML"),
])  # fmt: skip
def test_what_is_no_template_at_all(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bridges.yaml"
    path.write_bytes(content)
    with pytest.raises(GenbaError, match=message):
        load_template(path)


WHOLE = yaml.safe_load(SMALL)
STRANGE = st.sampled_from([
    None, True, 0, -1, 1e308, "", " ", "x", "{", "[{}]", "{part}", "{{{", [], ["x"], [[]], {}, {"ja": "x"}, {"en": {}},
    {"id": "x"}, "id", "none", "part", "1999-12-31", "!!float .nan",
])  # fmt: skip


def places(data: object, place: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place, *(found for key, value in inner for found in places(value, (*place, key)))]


@pytest.mark.parametrize(
    ("text", "japanese"),
    [
        ("id: a: b", "コロンを含む値"),
        ("id: [1", "「]」がありません"),
        ("id: {a: 1", "「}」がありません"),
        ("id: @x", "引用符で囲みます"),
        ("a: 1\nid: \x07", "2行目"),
        ("id: " + "x" * 1_000_000, "読めるのは1000000文字まで"),
        ("id: bridges\nversion:\n", "今は （空欄） です"),
        (f"id: {'x' * 9000} y\n", "…"),
    ],
)
def test_what_is_wrong_is_short_and_in_the_persons_language(text: str, japanese: str) -> None:
    with pytest.raises(TemplateError) as refused:
        parse_template(text, "t.yaml", Template)
    said = "\n".join(row.in_words("ja") for row in refused.value.rows)
    assert japanese in said and "None" not in said and len(said) < 1500, said


@given(place=st.sampled_from(places(WHOLE)), value=STRANGE, drop=st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_stands_in_a_file_it_loads_or_is_refused_in_words(
    place: tuple[object, ...], value: object, drop: bool
) -> None:
    data = copy.deepcopy(WHOLE) if place else value
    here = data
    for key in place[:-1]:
        here = here[key]
    if place and drop:
        del here[place[-1]]
    elif place:
        here[place[-1]] = value
    text = json.dumps(data, ensure_ascii=False, indent=1).replace('"!!float .nan"', ".nan")  # JSON is YAML
    try:
        assert isinstance(parse_template(text, "t.yaml", Template), Template)
    except GenbaError as error:
        assert "t.yaml" in error.what


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_told_in_japanese_too(mistake: str) -> None:
    old, new, _ = MISTAKES[mistake]
    with pytest.raises(TemplateError) as caught:
        parse_template(changed(old, new), "bridges.yaml", Template)
    for row in caught.value.rows:
        assert row.in_words("ja").startswith(f"{row.line}行目")
        assert row.in_words("en") in caught.value.what or len(caught.value.rows) > 12
        assert all(is_translated(row.text)), row.in_words("ja")


def is_translated(text: Told) -> Iterator[bool]:
    """For each text that is made of others: whether there is Japanese for it (an empty one needs none)."""
    yield text.text == "" or translator("ja")(text.text) != text.text
    for value in text.values.values():
        if isinstance(value, Told):
            yield from is_translated(value)
