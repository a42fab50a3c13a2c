"""The labeling page of a template and its answers, pure and against a real Label Studio."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.labeling_config import (
    PHOTO,
    VERDICT,
    Refused,
    from_result,
    labeling_config,
    lost_by,
    mark_of,
    prediction,
    to_result,
)
from data.errors import GenbaError
from data.records import VERDICTS
from data.slot_values import SlotError
from data.template_schema import Slot
from data.templates import Template, load_template, packs
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.sites import BOLT

ALL_TYPES = Path(__file__).parent / "all-types.yaml"


def all_types() -> Template:
    return load_template(ALL_TYPES)


def templates() -> list[Template]:
    return [*packs(), all_types()]


def values_of(slot: Slot) -> st.SearchStrategy[Any]:
    if slot.type == "choice":
        return st.sampled_from([option.id for option in slot.options])
    if slot.type == "multi":
        return st.lists(st.sampled_from([option.id for option in slot.options]), min_size=1, unique=True)
    if slot.type == "text":
        return st.text("aZ9番号 <&>'\"", min_size=1, max_size=20).filter(str.strip)
    if slot.type == "rating":
        return st.integers(1, slot.stars)
    low, high, step = slot.min or 0, slot.max or 99, slot.step or 1
    return st.integers(0, int((high - low) / step)).map(lambda n: low + n * step)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Template, str, dict[str, Any]]:
    """A template, a verdict and clean slots for it."""
    template = draw(st.sampled_from(templates()))
    verdict = draw(st.sampled_from(VERDICTS))
    if verdict != "fix":
        return template, verdict, {}
    slots = {
        slot.id: draw(values_of(slot)) for slot in template.slots if slot.required or draw(st.booleans())
    }
    return template, verdict, template.validate_slots(slots)


@given(answers())
def test_answers_come_back_as_they_went(given_answer: tuple[Template, str, dict[str, Any]]) -> None:
    template, verdict, slots = given_answer
    back = from_result(template, to_result(template, verdict, slots, "c1"))
    assert back == (verdict, slots)
    assert {key: type(value) for key, value in back[1].items()} == {
        key: type(value) for key, value in slots.items()
    }
    assert mark_of(to_result(template, verdict, slots, "c1")) == "c1"
    assert mark_of(to_result(template, verdict, slots)) is None


def page(template: Template, *languages: str) -> ElementTree.Element:
    return ElementTree.fromstring(labeling_config(template, languages or ["ja", "en"]))  # noqa: S314  (our own)


def region(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": PHOTO, "type": kind, "value": value}


def page_of(**slots: Any) -> list[dict[str, Any]]:
    """What Label Studio's own page submits, in its own order, with its own ids and provenance."""
    verdict = slots.pop("verdict", "fix")
    found = [
        region(name, "number", {"number": value}) if isinstance(value, (int, float))
        else region(name, "choices", {"choices": [value]})
        for name, value in slots.items()
    ]  # fmt: skip
    return [one | {"origin": "prediction"} for one in found] + [
        region(VERDICT, "choices", {"choices": [verdict]}) | {"id": "RDrJFtjlBa", "origin": "manual"}
    ]


def test_hidden_answers_of_label_studios_page_are_dropped() -> None:
    template = load_template("parts")
    assert from_result(template, page_of(**BOLT)) == ("fix", template.validate_slots(BOLT))
    assert from_result(template, page_of(verdict="ok", **BOLT)) == ("ok", {})
    sound = from_result(template, page_of(**(BOLT | {"defect": "none"})))[1]
    assert set(BOLT) - set(sound) == {"place", "severity"}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([], "No verdict is chosen"),
        (page_of(verdict="nonsense"), "the verdict 'nonsense'.*fix, ok"),
        ([region(VERDICT, "choices", {"choices": ["fix", "ok"]})], "2 answers to 'genba-verdict'"),
        ([*page_of(verdict="ok"), *page_of(verdict="ok")], "answers 'genba-verdict' twice"),
        (
            [*page_of(**BOLT), region("bogus", "choices", {"choices": ["x"]})],
            "answers 'bogus', which the template",
        ),
        (page_of(**(BOLT | {"part": "ボルト"})), "'ボルト' is none of the options"),
        (page_of(**(BOLT | {"count": 2.5})), "count: a whole number"),
        (
            page_of(**{key: value for key, value in BOLT.items() if key != "place"}),
            "place: an answer is needed",
        ),
        ([*page_of(), region("part", "choices", None)], "part: an answer is needed"),
        ([*page_of(), region("part", "choices", {"choices": [["bolt"]]})], "none of the options"),
        ([*page_of(), region("count", "number", {"number": "2"})], "count: a number is expected"),
        (["text"], "'text', which is no answer"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(result: list[Any], message: str) -> None:
    with pytest.raises((Refused, SlotError), match=message) as refused:
        from_result(load_template("parts"), result)
    assert isinstance(refused.value, GenbaError)


def test_the_first_language_is_shown_and_the_other_is_a_hint() -> None:
    for languages, shown, hint in (
        ("ja en", "ボルト", "bolt"),
        ("en ja", "bolt", "ボルト"),
        ("en", "bolt", None),
    ):
        bolt = page(load_template("parts"), *languages.split()).find(".//Choice[@alias='bolt']")
        assert bolt is not None and (bolt.get("value"), bolt.get("hint")) == (shown, hint)
    headers = [header.get("value") for header in page(load_template("parts")).iter("Header")]
    assert "部品 / Part *" in headers


@pytest.mark.parametrize("template", templates(), ids=lambda template: template.id)
def test_every_slot_stands_on_the_page(template: Template) -> None:
    root = page(template)
    tags = {
        "choice": "Choices",
        "multi": "Choices",
        "number": "Number",
        "rating": "Rating",
        "text": "TextArea",
    }
    for slot in template.slots:
        control = root.find(f".//*[@name='{slot.id}']")
        assert control is not None and control.tag == tags[slot.type]
        assert control.get("required") == str(slot.required).lower()
        assert [choice.get("alias") for choice in control] == [option.id for option in slot.options]
    names = [element.get("name") for element in root.iter() if element.get("name")]
    assert len(names) == len(set(names)) == len(template.slots) + 3
    hotkeys = [choice.get("hotkey") for choice in root.iter("Choice") if choice.get("hotkey")]
    assert len(hotkeys) == len(set(hotkeys)) and hotkeys[:5] == ["1", "2", "3", "4", "5"]
    # What Label Studio accepts although it cannot work:
    for choices in root.iter("Choices"):
        shown = [choice.get("value") for choice in choices]
        assert len(shown) == len(set(shown)) and all(shown)
    boxes = [view for view in root.iter("View") if view.get("visibleWhen")]
    assert {view.get("whenTagName") for view in boxes} <= set(names)
    assert {tag.tag for tag in root.iter()} <= {"View", "Image", "Text", "Header", "Choice", *tags.values()}


def test_what_a_changed_page_would_lose() -> None:
    template = load_template("parts")
    old = labeling_config(template, ["ja", "en"])
    assert lost_by(old, labeling_config(template, ["en"])) == [], "other words lose nothing"
    more = old.replace('alias="bolt"', 'alias="bolt"/><Choice value="rod" alias="rod"')
    assert lost_by(old, more) == [] and lost_by(more, old) == ["part=rod"]
    assert lost_by(old, old.replace('name="count"', 'name="number"')) == ["count (Number)"]
    assert lost_by(old, old.replace("$caption", "$text")) == ["$caption"]
    text = '<View><TextArea name="note" toName="genba-photo"/></View>'
    assert lost_by(text, text.replace("TextArea", "Rating")) == ["note (TextArea)"]


def test_conditions_become_boxes() -> None:
    root = page(all_types(), "en")
    found = {
        box.find("*[@name]").get("name"): (box.get("whenTagName"), box.get("whenChoiceValue"))  # type: ignore[union-attr]
        for box in root.iter("View")
        if box.get("visibleWhen") and box.get("whenTagName") != VERDICT
    }
    assert found == {
        "faults": ("look", "bad"),
        "depth": ("faults", "hole,bend"),
        "severity": ("look", "bad"),
    }


def test_the_prediction_says_what_the_old_caption_states_and_never_a_verdict() -> None:
    template = load_template("parts")
    made = prediction(template, "トレーの上の鋼製ボルト2本、左端に軽微なキズ", "ja")
    assert made["model_version"] == "parts@1 caption"
    values = {one["from_name"]: next(iter(one["value"].values())) for one in made["result"]}
    assert values == {key: value if key == "count" else [value] for key, value in BOLT.items()}
    empty = prediction(template, "", "und")["result"]
    assert empty == [], "nothing is guessed"


@pytest.mark.parametrize("template", templates(), ids=lambda template: template.id)
def test_label_studio_takes_the_page_and_what_we_send(
    label_studio: RunningLabelStudio, template: Template
) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    config = labeling_config(template, ["ja", "en"])
    studio = label_studio.client()
    project = studio.ensure_project(template.title["ja"], config, uuid.uuid4().hex)
    studio.update_config(project, labeling_config(template, ["en", "ja"]))
    interface = LabelInterface(config)
    caption = template.examples["ja"].good[0] if template.examples else "悪い、穴、深さ2.5mm"
    begins = prediction(template, caption, "ja")
    assert len(begins["result"]) > 1
    assert interface.validate_prediction(begins | {"score": 0.5}, return_errors=True) == []
    sent = {
        "model_version": "x",
        "score": 0.5,
        "result": to_result(template, "fix", template.parse(caption, "ja")),
    }
    assert interface.validate_prediction(sent, return_errors=True) == []
