"""Captions split into phrases in both languages, and what is left without one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.records import normalise_caption
from data.templates import load_template
from scoring.phrases import Splitter, without

PARTS = Splitter(load_template("parts"))


@pytest.mark.parametrize(
    ("caption", "language", "phrases"),
    [
        ("two steel bolts on the tray", "en", "two|steel|bolts|on the tray"),
        ("A rusty pipe on the conveyor belt.", "en", "A rusty|pipe|on the conveyor belt"),
        ("1 L-bracket, no defect", "en", "1|L-bracket|no defect"),
        ("A dog runs through the grass", "en", "A dog|runs|through the grass"),
        ("at the", "en", "at the"),
        ("", "en", ""),
        ("…!?", "und", ""),
        (
            "トレーの上の鋼製ボルト2本、左端に軽微なキズ",
            "ja",
            "トレーの|上の|鋼製|ボルト|2本|左端に|軽微な|キズ",
        ),
        ("作業台にキズのある鋼のねじ", "ja", "作業台に|キズの|ある|鋼の|ねじ"),
        ("ギアボックスが付いています", "ja", "ギアボックスが|付いています"),
        ("ＳＵＳ３０４ の M12x1.5 ボルト", "ja", "SUS304|の|M12x1.5|ボルト"),
    ],
)
def test_the_phrases_of_a_caption(caption: str, language: str, phrases: str) -> None:
    found = PARTS(caption, language)
    assert "|".join(one.words for one in found) == phrases
    text = normalise_caption(caption)
    assert all(text[one.start : one.end] == one.words for one in found)


def test_without_a_template_letters_alone_decide() -> None:
    assert [one.words for one in Splitter()("no defect on the conveyor belt", "en")] == [
        "no", "defect", "on the conveyor", "belt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "language", "left"),
    [
        ("A rusty pipe, no defect.", "en", ["pipe, no defect.", "A rusty, no defect.", "A rusty pipe"]),
        ("two steel bolts on the tray", "en",
         ["steel bolts on the tray", "two bolts on the tray", "two steel on the tray", "two steel bolts"]),
        ("左側に傷。トレイの上", "ja", ["傷。トレイの上", "左側に。トレイの上", "左側に傷。上", "左側に傷。トレイの"]),
    ],
)  # fmt: skip
def test_what_is_left_without_each(caption: str, language: str, left: list[str]) -> None:
    assert [without(caption, one) for one in PARTS(caption, language)] == left


@given(st.text(alphabet="aL- 上のキズ2本、.,がーABｶ½", max_size=30), st.sampled_from(["ja", "en", "und"]))
def test_phrases_stand_in_order_and_leave_no_letter_out(caption: str, language: str) -> None:
    found, text = PARTS(caption, language), normalise_caption(caption)
    assert all(one.end <= two.start for one, two in pairwise(found))
    kept = "".join(text[one.start : one.end] for one in found)
    assert [c for c in text if c.isalnum()] == [c for c in kept if c.isalnum()]
    for one in found:
        rest = without(caption, one)
        assert len(rest) < len(text)
        assert [c for c in rest if c.isalnum()] == [
            c for c in text[: one.start] + text[one.end :] if c.isalnum()
        ]
