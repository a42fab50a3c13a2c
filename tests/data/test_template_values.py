"""What a person enters: types, ranges, hidden slots, and the message in both languages."""

from __future__ import annotations

import ast
import math
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.messages import catalogue
from data.slot_values import TEXT_LENGTH
from data.templates import SlotError, load_template
from tests.conftest import CHECKOUT
from tests.data.test_template_parse import BEAM

PARTS = load_template("parts")
WHOLE = {"part": "bolt", "count": 2, "material": "steel", "defect": "rust", "place": "top", "severity": "slight",
         "background": "tray"}  # fmt: skip

# slot, value -> stored value
ACCEPTED: list[tuple[str, Any, Any]] = [
    ("beam", "joist", "joist"), ("beam", "", None), ("beam", None, None),
    ("number", 3.0, 3), ("number", 0, 0), ("number", 99, 99),
    ("width", 0.25, 0.25), ("width", 50, 50.0),
    ("stars", 5, 5), ("stars", 1.0, 1),
    ("signs", ["damp", "rust", "damp"], ["rust", "damp"]), ("signs", ("moss",), ["moss"]), ("signs", [], None),
    ("note", "  two\n lines ", "two lines"), ("note", "　", None), ("note", "x" * TEXT_LENGTH, "x" * TEXT_LENGTH),
]  # fmt: skip

# slot, value -> message in English, in Japanese
REFUSED: list[tuple[str, Any, str, str]] = [
    ("beam", "bolt", "'bolt' is none of the options: girder, joist", "'bolt' は選択肢にありません（桁、根太）"),
    ("beam", 3, "3 is none of the options: girder, joist", "3 は選択肢にありません（桁、根太）"),
    ("beam", ["girder"], "['girder'] is none of", "['girder'] は選択肢に"),
    ("number", "3", "a number is expected, not '3'", "数を入れてください（'3' ではありません）"),
    ("number", True, "a number is expected, not True", "数を入れてください（True ではありません）"),
    ("number", math.nan, "a number is expected, not nan", "数を入れてください（nan ではありません）"),
    ("number", math.inf, "a number is expected, not inf", "数を入れてください（inf ではありません）"),
    ("number", 100, "from 0 to 99", "0 から 99 の間で入れてください"),
    ("number", -1, "from 0 to 99", "0 から 99 の間で"),
    ("number", 1.5, "a whole number is expected", "整数を入れてください"),
    ("width", 51, "from 0 to 50 mm", "0 から 50mm の間で入れてください"),
    ("length", -0.5, "at least 0 m", "0m 以上で入れてください"),
    ("stars", 6, "from 1 to 5", "1 から 5 の間で入れてください"),
    ("stars", 2.5, "a whole number is expected", "整数を入れてください"),
    ("signs", "rust", "a list of options is expected, not 'rust'", "選択肢のリストを入れてください"),
    ("signs", ["dust"], "'dust' is none of the options: rust, moss, damp", "（錆、苔、湿り）"),
    ("note", 5, "a text is expected, not 5", "文字を入れてください（5 ではありません）"),
    ("note", "x" * (TEXT_LENGTH + 1), "at most 200 characters", "200 文字以内で入れてください"),
    ("colour", "red", "the template has no such item", "テンプレートにない項目です"),
]  # fmt: skip


def with_value(slot: str, value: Any) -> dict[str, Any]:
    return {"state": "cracked", slot: value}


@pytest.mark.parametrize(("slot", "value", "stored"), ACCEPTED)
def test_accepted(slot: str, value: Any, stored: Any) -> None:
    found = BEAM.validate_slots(with_value(slot, value), partial=True).get(slot)
    assert found == stored and type(found) is type(stored)


@pytest.mark.parametrize(("slot", "value", "english", "japanese"), REFUSED)
def test_refused(slot: str, value: Any, english: str, japanese: str) -> None:
    with pytest.raises(SlotError) as caught:
        BEAM.validate_slots(with_value(slot, value), partial=True)
    assert list(caught.value.messages("en")) == [slot]
    assert caught.value.messages("en")[slot].startswith(english)
    assert japanese in caught.value.messages("ja")[slot]
    assert "Not accepted by the template 'beams': " + slot in str(caught.value)


def test_steps() -> None:
    half = BEAM.model_copy(
        update={
            "slots": tuple(s.model_copy(update={"step": 0.1}) if s.id == "width" else s for s in BEAM.slots)
        }
    )
    assert half.validate_slots({"state": "cracked", "width": 0.1 + 0.2}, partial=True)["width"] == 0.3
    with pytest.raises(SlotError, match=r"width: in steps of 0\.1"):
        half.validate_slots({"state": "cracked", "width": 0.25}, partial=True)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SlotError) as caught:
        PARTS.validate_slots({"part": "bolt", "count": 0, "colour": "red", "defect": "dent"})
    assert caught.value.messages("en") == {
        "colour": "the template has no such item", "count": "from 1 to 99", "material": "an answer is needed",
        "place": "an answer is needed", "severity": "an answer is needed", "background": "an answer is needed",
    }  # fmt: skip
    assert caught.value.messages("ja")["material"] == "回答が必要です"


def test_values_of_hidden_slots_are_dropped() -> None:
    assert PARTS.validate_slots(WHOLE) == WHOLE
    sound = PARTS.validate_slots({**WHOLE, "defect": "none"})
    assert "place" not in sound and "severity" not in sound
    assert "place" not in PARTS.validate_slots({**WHOLE, "defect": None}, partial=True)
    assert (
        PARTS.validate_slots({**WHOLE, "defect": "none", "place": "nowhere"}) == sound
    )  # hidden: not even looked at


def test_visible_follows_the_answers() -> None:
    def ids(values: dict[str, Any]) -> list[str]:
        return [slot.id for slot in PARTS.visible(values)]

    without = ["part", "count", "material", "defect", "background"]
    assert ids({}) == ids({"defect": "none"}) == without
    assert ids({"defect": "rust"}) == [
        "part",
        "count",
        "material",
        "defect",
        "place",
        "severity",
        "background",
    ]
    assert ids({"place": "left"}) == without
    assert [slot.id for slot in BEAM.visible({"state": "cracked"})][3] == "width"


def test_order_is_that_of_the_form() -> None:
    assert list(PARTS.validate_slots(dict(reversed(WHOLE.items())))) == list(WHOLE)


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(
    st.text(max_size=5), max_size=3), st.sampled_from(["rust", "joist", "cracked"]))  # fmt: skip


@given(st.dictionaries(st.sampled_from([slot.id for slot in BEAM.slots]), anything))
@settings(max_examples=100, deadline=None)
def test_cleaning_twice_is_cleaning_once(values: dict[str, Any]) -> None:
    try:
        cleaned = BEAM.validate_slots(values, partial=True)
    except SlotError as error:
        assert set(error.messages("ja")) <= set(values)
        return
    assert BEAM.validate_slots(cleaned, partial=True) == cleaned
    assert BEAM.caption(values, "ja") == BEAM.caption(cleaned, "ja")


# file of data/ -> what is called there with an English text
CALLS = {
    "slot_values": ("_Refused", "SlotProblem"), "template_checks": ("told",), "template_file": ("told",),
    "caption_pattern": ("told",),
}  # fmt: skip


def texts_of(name: str) -> set[str]:
    """The first texts of those calls; of SlotProblem the second one."""
    tree = ast.parse((CHECKOUT / f"data/{name}.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        constant.value
        for call in calls
        if getattr(call.func, "id", "") in CALLS[name]
        for argument in call.args
        for constant in ast.walk(argument)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }


def test_every_message_has_a_japanese_entry_with_the_same_places() -> None:
    def places(text: str) -> set[str]:
        return {name for _before, name, _spec, _conversion in string.Formatter().parse(text) if name}

    texts = {name: texts_of(name) for name in CALLS}
    assert len(texts["slot_values"]) == 12 and len(texts["template_checks"]) > 20
    japanese = catalogue("ja")
    every = set().union(*texts.values()) - {""}
    assert {text for text in every if text not in japanese} == set()
    assert [text for text in every if places(text) != places(japanese[text])] == []
    translated = [
        path.name for path in (CHECKOUT / "data").glob("*.py") if "translator(" in path.read_text("utf-8")
    ]
    assert sorted(translated) == [
        "messages.py",
        "slot_values.py",
        "told.py",
    ]  # another one must be added to this test
