"""What the words of a caption alone say: by a template in both languages, and without one."""

from __future__ import annotations

import numpy as np
import pytest

from data.templates import Template, load_template, parse_template
from scoring.wording import SlotNames, Wording, Words, wordings

PARTS = load_template("parts")
WITHOUT_CHOICES = """
id: notes
version: 1
title: { en: Notes }
rubric: { en: [Say what is seen.] }
slots:
  - id: seen
    type: text
    label: { en: What is seen }
    required: true
caption: { en: "{seen}" }
"""


def of(caption: str, language: str = "en", template: Template | None = PARTS) -> Wording:
    return Wording.of(caption, language, template)


def test_length_is_words_or_japanese_characters():
    assert of("two  steel bolts\n", template=None).length == 3
    assert of("鋼の ボルト", "ja", None).length == 5
    assert of("", template=None) == Wording(0)


@pytest.mark.parametrize(
    ("caption", "language"),
    [
        ("2 steel bolts with slight scratch at the left, on the tray", "en"),
        ("トレーの上の鋼製ボルト2個。左側に軽度の傷があります。", "ja"),
    ],
)
def test_a_whole_caption_states_everything(caption, language):
    found = of(caption, language)
    assert found.missing == () and found.vague == ()
    assert found.stated == {
        "part": "bolt", "count": 2, "material": "steel", "defect": "scratch", "place": "left", "severity": "slight",
        "background": "tray",
    }  # fmt: skip


def test_a_vague_caption():
    found = of("photo of a defective item")
    assert [word for word, _ in found.vague] == ["photo", "item", "defective"] and found.vague[0][1]
    assert {"part", "count", "material", "defect", "background"} <= set(found.missing) and not found.stated


def test_numbers_of_values_and_their_labels():
    names = SlotNames(PARTS)
    assert names.ids == ["part", "count", "material", "defect", "place", "severity", "background"]
    assert names.code("part", "nut") == 1 and names.code("count", 12) == 12
    assert (
        names.code("part", None) == names.code("part", "no such part") == names.code("no such slot", 1) == -1
    )
    assert names.labels("background") == {"ja": "置き場所", "en": "Lies on"}
    assert names.value_labels("part", 1) == {"ja": "ナット", "en": "nut"}
    assert names.value_labels("count", 12) == {"ja": "12", "en": "12"}
    for option in PARTS.slot("defect").options:
        assert names.value_labels("defect", names.code("defect", option.id))["en"] == option.label["en"]


def test_as_arrays():
    found = wordings([of("2 steel bolts on the tray"), of("photo")], PARTS)
    assert found.length.tolist() == [6, 1] and found.vague_words.tolist() == [0, 1]
    assert found.missing_slots[0] < found.missing_slots[1]
    assert found.stated.tolist() == [[0, 2, 0, -1, -1, -1, 1], [-1] * 7]


def test_without_a_template_only_the_length_is_known():
    found = wordings([of("two bolts", template=None)], None)
    assert found.length.tolist() == [2] and found.missing_slots is found.vague_words is found.stated is None


def test_a_template_without_choices():
    template = parse_template(WITHOUT_CHOICES, "notes.yaml", Template)
    found = wordings([of("a bolt", template=template), of("", template=template)], template)
    assert found.stated.shape == (2, 0) and found.missing_slots.tolist() == [0, 0]
    assert wordings([], template).stated.shape == (0, 0)


def test_spread_over_the_pairs():
    """Pairs 1 and 3 of 4 were looked at, and carry the second and the first caption."""
    captions = [of("2 steel bolts on the tray"), of("photo")]
    words = Words(captions, np.array([1, 0]), wordings(captions, PARTS))
    assert words.of(0).vague and not words.of(1).vague
    found = words.spread(np.array([1, 3]), 4)
    assert np.array_equal(found.length, [np.nan, 1, np.nan, 6], equal_nan=True)
    assert np.array_equal(found.vague_words, [np.nan, 1, np.nan, 0], equal_nan=True)
    assert found.stated[:, 0].tolist() == [-1, -1, -1, 0]
    bare = Words([Wording(2)], np.array([0]), wordings([Wording(2)], None)).spread(np.array([0]), 1)
    assert bare.stated is None and bare.length.tolist() == [2]
