"""The form as data: what it asks, what it begins with, what it makes of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate import form
from data.templates import Template, load_template
from tests.annotate.sites import BOLT

PARTS = load_template("parts")
ALL_TYPES = load_template(Path(__file__).with_name("all-types.yaml"))


def asked(template: Template, values: dict[str, Any]) -> list[str]:
    return [item.id for item in form.items(template, values, "en")]


def test_items_come_in_the_order_of_the_template_with_words_of_the_language() -> None:
    japanese, english = form.items(PARTS, {}, "ja"), form.items(PARTS, {}, "en")
    assert [item.label for item in japanese] == ["部品", "個数", "材質", "欠陥", "置き場所"]
    assert dict(english[0].options)["bolt"] == "bolt" and dict(japanese[0].options)["bolt"] == "ボルト"
    assert english[1].whole and english[1].step == 1
    assert japanese[3].help and "目立つ" in japanese[3].help


def test_an_answer_shows_and_hides_other_items() -> None:
    assert "place" not in asked(PARTS, {"defect": "none"})
    assert {"place", "severity"} <= set(asked(PARTS, {"defect": "rust"}))
    assert asked(ALL_TYPES, {"look": "bad", "faults": ["dirt"]}) == ["look", "faults", "severity", "photo"]
    assert "depth" in asked(ALL_TYPES, {"look": "bad", "faults": ["hole"]})


def test_the_form_begins_with_what_the_old_caption_says_and_with_defaults() -> None:
    found = form.prefill(PARTS, "トレーの上の鋼製ボルト2本、左端に軽微なキズ", "ja")
    assert found == BOLT
    assert form.prefill(PARTS, "rusty pipe on the belt", "en") == {
        "part": "pipe", "defect": "rust", "background": "conveyor",
    }  # fmt: skip
    assert form.prefill(PARTS, "", "und") == {}


def test_hidden_and_empty_answers_are_not_submitted() -> None:
    values = {**BOLT, "defect": "none", "material": None, "gone": "x"}
    assert form.answers(PARTS, values) == {
        "part": "bolt", "count": 2, "defect": "none", "background": "tray",
    }  # fmt: skip


def test_what_is_missing_is_told_in_the_language_and_in_order() -> None:
    values = {"part": "bolt", "count": 1, "defect": "rust"}
    assert form.missing(PARTS, values, "en") == ["Material", "Where it is", "Severity", "Lies on"]
    assert form.missing(PARTS, values, "ja") == ["材質", "欠陥の位置", "程度", "置き場所"]
    assert form.missing(PARTS, BOLT, "en") == []


def test_errors_are_words_beside_their_items() -> None:
    values = {**BOLT, "count": 120, "place": None}
    assert form.errors(PARTS, BOLT, "en") == {}
    assert set(form.errors(PARTS, values, "ja")) == {"count", "place"}
    shown = {item.id: item.error for item in form.items(PARTS, values, "ja", show_errors=True)}
    assert shown["place"] == "回答が必要です" and shown["part"] is None
    shown = {item.id: item for item in form.items(PARTS, values, "ja")}
    assert shown["count"].error and shown["count"].value == 120, "at once, and the number stays to be mended"
    assert all(item.error is None for item in shown.values() if item.id != "count")


def test_captions_are_compiled_from_half_a_form_in_each_known_language() -> None:
    made = form.compiled(PARTS, {"part": "bolt", "count": 2, "background": "tray"}, ["ja", "en"])
    assert made == {"ja": "トレーの上のボルト2個。", "en": "2 bolts, on the tray"}
    assert form.compiled(PARTS, {**BOLT, "count": 120}, ["en"]) == {
        "en": "Steel bolt with slight scratch at the left, on the tray"
    }


@pytest.mark.parametrize(
    ("slot", "value"),
    [("look", "gone"), ("faults", ["gone"]), ("severity", 9), ("photo", "")],
)
def test_an_answer_that_the_template_no_longer_takes_counts_as_none(slot: str, value: Any) -> None:
    values = {"look": "bad", "faults": ["hole"], slot: value}
    shown = {item.id: item.value for item in form.items(ALL_TYPES, values, "en")}
    assert shown.get(slot) is None


def test_active_seconds_count_a_pause_as_a_minute_at_most() -> None:
    assert form.add_active(10.0, last_action=100.0, at=107.0) == 17.0
    assert form.add_active(10.0, last_action=100.0, at=4000.0) == 10.0 + form.IDLE_SECONDS
    assert form.add_active(10.0, last_action=100.0, at=90.0) == 10.0  # the clock was set back


def option_ids(slot_id: str) -> st.SearchStrategy[str]:
    slot = PARTS.slot(slot_id)
    assert slot is not None
    return st.sampled_from([option.id for option in slot.options])


@given(
    st.fixed_dictionaries(
        {slot.id: option_ids(slot.id) for slot in PARTS.slots if slot.type == "choice"}
        | {"count": st.integers(1, 99)}
    ),
    st.sampled_from(["ja", "en"]),
)
@settings(max_examples=60)
def test_a_caption_made_by_the_form_fills_the_form_again(values: dict[str, Any], language: str) -> None:
    given_answers = form.answers(PARTS, values)
    assert form.errors(PARTS, values, language) == {} and form.missing(PARTS, values, language) == []
    caption = form.compiled(PARTS, values, [language])[language]
    assert form.prefill(PARTS, caption, language) == given_answers
