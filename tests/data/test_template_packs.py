"""The packs that ship: what they say, what they read, and that the demo's encoder was taught the very same words."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.demo import scenes
from data.demo.captions import VAGUE, legacy_caption, plain_caption
from data.demo.words import WORDS
from data.template_schema import Slot
from data.templates import PACKS, Template, load_template, packs

PARTS, LAB = load_template("parts"), load_template("lab-inspection")
DEFECTS = scenes.DEFECTS + scenes.NEW_DEFECTS
MATERIALS = scenes.MATERIALS + scenes.NEW_MATERIALS
all_packs = pytest.mark.parametrize("template", packs(), ids=lambda template: template.id)
both_languages = pytest.mark.parametrize("language", ["ja", "en"])


@st.composite
def filled_in(draw: st.DrawFn, template: Template) -> dict[str, Any]:
    """What a person may enter in the form of a template: all that is required, some of the rest."""
    found: dict[str, Any] = {}
    for slot in template.slots:
        if slot in template.visible(found) and (slot.required or draw(st.booleans())):
            found[slot.id] = draw(values_of(slot))
    return found


def values_of(slot: Slot) -> st.SearchStrategy[Any]:
    if slot.type == "number":
        low, step = slot.min or 0, slot.step or 1
        steps = st.integers(0, round(((slot.max or 100) - low) / step))
        return steps.map(lambda n: int(low) + n if slot.whole else round(low + n * step, 9))
    ids = [option.id for option in slot.options]
    if slot.type == "multi":
        return st.sets(st.sampled_from(ids), min_size=1).map(lambda chosen: sorted(chosen, key=ids.index))
    return st.sampled_from(ids)


# --- what they say -------------------------------------------------------------------------------------------------


def facts(
    number: int, part: str, defect: str, place: str | None, severity: str | None
) -> dict[str, str | int]:
    """Slots of a scene; the others go round with the number."""
    found: dict[str, str | int] = {
        "part": part, "material": MATERIALS[number % 7], "defect": defect,
        "background": scenes.BACKGROUNDS[number % 5], "count": scenes.COUNTS[number % 4],
    }  # fmt: skip
    return found | {"place": place, "severity": severity} if place and severity else found


@both_languages
def test_parts_says_what_the_demos_encoder_was_taught(language: str) -> None:
    spoiled = [*product(DEFECTS[1:], scenes.PLACES, scenes.SEVERITIES), ("none", None, None)]
    for number, (part, (defect, place, severity)) in enumerate(product(scenes.PARTS, spoiled)):
        slots = facts(number, part, defect, place, severity)
        assert PARTS.caption(slots, language) == plain_caption(slots, language)


@given(filled_in(PARTS), st.sampled_from(["ja", "en"]))
@settings(max_examples=150, deadline=None)
def test_parts_says_the_same_whatever_is_entered(slots: dict[str, Any], language: str) -> None:
    slots["count"] = slots["count"] % 4 + 1  # more than four are not rendered
    assert PARTS.caption(slots, language) == plain_caption(slots, language)


def test_slots_of_parts_are_those_of_the_scenes() -> None:
    assert [slot.id for slot in PARTS.slots] == [
        "part", "count", "material", "defect", "place", "severity", "background"
    ]  # fmt: skip
    for slot in PARTS.slots:
        if slot.type == "choice":
            ids = {option.id for option in slot.options}
            assert ids - {"none"} == set(WORDS["en"][slot.id]), slot.id
    drawn = scenes.slots(scenes.sample_scene(np.random.default_rng(1), MATERIALS, DEFECTS))
    assert PARTS.validate_slots(drawn) == drawn


@pytest.mark.parametrize(("slots", "english", "japanese"), [
    ({"object": "mold", "location": "tray", "anomaly": "tipped_over", "count": 1},
     "One mold on the tray (tp): tipped over", "トレー(tp)の金型1個：転倒"),
    ({"object": "test_tube", "location": "oven", "anomaly": "none", "count": 3, "cap": "capped", "content": "empty"},
     "Three capped test tubes with no contents inside the vacuum drying oven (gzx): in order",
     "真空乾燥炉(gzx)のキャップ付きの試験管3個（空）：異常なし"),
    ({"object": "pigment_container", "location": "scale", "anomaly": "missing"},
     "Pigment container on the scale: missing", "電子天秤の顔料容器：欠品"),
    ({"object": "liquid", "location": "tray", "anomaly": "spill"}, "Liquid on the tray (tp): spilled liquid",
     "トレー(tp)の液体：液こぼれ"),
])  # fmt: skip
def test_captions_of_lab_inspection(slots: dict[str, Any], english: str, japanese: str) -> None:
    assert (LAB.caption(slots, "en"), LAB.caption(slots, "ja")) == (english, japanese)


@all_packs
@both_languages
def test_a_form_that_is_half_filled_has_a_caption(template: Template, language: str) -> None:
    first = template.slots[0]
    words = template.caption({first.id: first.options[0].id}, language)
    assert first.options[0].label[language].lower() in words.lower()
    assert not any(bracket in words for bracket in "[]{}")
    assert template.caption({}, language).strip("。") == ""


# --- what they read ------------------------------------------------------------------------------------------------


@all_packs
@both_languages
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_caption_reads_back_as_what_was_entered(
    template: Template, language: str, data: st.DataObject
) -> None:
    slots = data.draw(filled_in(template))
    caption = template.caption(slots, language)
    assert template.parse(caption, language) == slots
    assert template.missing(caption, language) == []
    assert template.parse(caption, "und") == slots


@both_languages
@given(slots=filled_in(PARTS), dropped=st.sampled_from([slot.id for slot in PARTS.slots]))
@settings(max_examples=80, deadline=None)
def test_what_was_left_out_is_missing(language: str, slots: dict[str, Any], dropped: str) -> None:
    # place and severity are asked only of a defect; an English number without a noun counts nothing
    unsaid = {"defect": {"place", "severity"}, "part": {"count"} if language == "en" else set()}.get(
        dropped, set()
    )
    kept = {name: value for name, value in slots.items() if name != dropped}
    caption = PARTS.caption(kept, language)
    assert PARTS.parse(caption, language) == {name: kept[name] for name in kept if name not in unsaid}
    expected = [dropped, *(unsaid - {"place", "severity"})] if dropped in slots else []
    assert PARTS.missing(caption, language) == expected


@both_languages
def test_free_captions_of_field_staff_are_understood(language: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        scene = scenes.sample_scene(rng, scenes.SITE_MATERIALS, scenes.SITE_DEFECTS)
        caption = legacy_caption(scene, language, rng)
        assert PARTS.parse(caption, language) == scenes.slots(scene), caption
        assert PARTS.missing(caption, language) == []


def test_the_examples_of_the_modules_hold() -> None:
    found = PARTS.parse("A rusty pipe on the conveyor belt", "en")
    assert found == {"part": "pipe", "count": 1, "defect": "rust", "background": "conveyor"}
    slots = {"part": "bolt", "count": 2, "material": "steel", "defect": "none", "background": "tray"}
    assert PARTS.caption(slots, "en") == "2 steel bolts with no defect, on the tray"
    assert PARTS.parse("作業台にキズのある鋼製ボルト2本", "ja") == {
        "part": "bolt", "count": 2, "material": "steel", "defect": "scratch", "background": "workbench"
    }  # fmt: skip


@both_languages
def test_vague_captions_are_called_vague(language: str) -> None:
    for caption in VAGUE[language]:
        assert PARTS.vague_words(caption, language), caption
        assert len(PARTS.missing(caption, language)) >= 4


def test_inspection_captions_are_understood(shared: Path) -> None:
    """What the 108 captions do not say is left open: whether a capped tube is wrong depends on the step."""
    lines = (shared / "data/inspection/records.jsonl").read_text(encoding="utf-8").splitlines()
    captions = {json.loads(line)["caption"] for line in lines}
    assert len(captions) == 108
    found = Counter(name for caption in captions for name in LAB.parse(caption, "en"))
    assert found["object"] == 108 and found["location"] >= 104 and found["anomaly"] >= 67
    assert LAB.parse("No mold is present on the workbench (czt).", "en") == {
        "object": "mold", "location": "workbench", "anomaly": "missing"
    }  # fmt: skip
    assert LAB.parse("Two green\u2011marked silicone containers sit on the workbench (czt).", "en") == {
        "object": "silicone_container", "location": "workbench", "anomaly": "none", "count": 2
    }  # fmt: skip


# --- what stands in the files --------------------------------------------------------------------------------------


@all_packs
@both_languages
def test_examples_are_good_and_bad(template: Template, language: str) -> None:
    examples = template.examples[language]
    assert len(examples.good) == 4 and len(examples.bad) == 4
    for caption in examples.good:
        assert template.caption(template.parse(caption, language), language) == caption
        assert template.missing(caption, language) == [] and template.vague_words(caption, language) == []
    for bad in examples.bad:
        assert template.missing(bad.caption, language) or template.vague_words(bad.caption, language), bad


@all_packs
def test_packs_are_complete(template: Template) -> None:
    assert template.languages == ("ja", "en")
    assert (PACKS / f"{template.id}.yaml").read_text(encoding="utf-8") == template.source
    for language in template.languages:
        assert len(template.rubric[language]) >= 3 and len(template.vague[language]) >= 5
        assert set(template.said(language)) == {slot.id for slot in template.slots}
        for slot in template.slots:
            if slot.options:
                assert len(set(template.prompts(slot.id, language).values())) == len(slot.options)


@all_packs
@both_languages
def test_a_local_word_states_what_its_term_states(template: Template, language: str) -> None:
    assert len(template.glossary[language]) >= 5
    for entry in template.glossary[language]:
        assert template.parse(entry.term, language), entry.term
        for word in entry.words:
            assert template.parse(word, language) == template.parse(entry.term, language), word
            assert template.vague_words(word, language) == []


@pytest.mark.parametrize("name", ["equipment", "infrastructure", "retail", "site-safety"])
def test_packs_of_a_field_are_filled_in(name: str) -> None:
    """Each answer has a prompt of its own, and other words that are found; sizes have a unit and a range."""
    template = load_template(name)
    assert any(slot.show_when for slot in template.slots) or name == "site-safety"
    for slot in template.slots:
        assert slot.type != "number" or (
            slot.min is not None and slot.max is not None and slot.step is not None
        )
        for option in slot.options:
            assert set(option.prompt) == {"ja", "en"} and option.synonyms, option.id
    for slot_id in (
        ("width", "length") if name == "infrastructure" else ("size",) if name == "equipment" else ()
    ):
        slot = template.slot(slot_id)
        assert slot is not None and slot.unit is not None and slot.show_when is not None


@pytest.mark.parametrize(("name", "caption", "language", "found"), [
    ("infrastructure", "P2橋脚の基部にクラック、幅0.3mm、局所的", "ja",
     {"member": "pier", "damage": "crack", "location": "base", "extent": "local", "width": 0.3}),
    ("infrastructure", "RC床版下面の広範囲に剥離・鉄筋露出", "ja",
     {"material": "concrete", "member": "deck", "damage": "exposed_rebar", "location": "underside",
      "extent": "widespread"}),
    ("infrastructure", "Efflo on the soffit of the RC deck, isolated", "en",
     {"material": "concrete", "member": "deck", "damage": "efflorescence", "location": "underside", "extent": "local"}),
    ("equipment", "BRGから油にじみ、P/P、軽微", "ja",
     {"machine": "pump", "component": "bearing", "condition": "oil_leak", "severity": "slight"}),
    ("equipment", "MCC terminal burnt, severe", "en",
     {"machine": "control_panel", "component": "cable", "condition": "burn", "severity": "severe"}),
    ("retail", "売り場の未開封カートン3個、角が潰れ、著しい", "ja",
     {"product": "box", "count": 3, "packaging": "unopened", "damage": "crush", "position": "corner",
      "degree": "severe", "place": "shelf"}),
    ("site-safety", "屋上で作業員2名、ユンボ使用の掘削、安全帯未使用、ヘルメット着用", "ja",
     {"work": "excavation", "people": 2, "place": "roof", "equipment": "excavator", "hazard": "no_harness",
      "ppe": ["helmet"]}),
    ("site-safety", "MEWP with three men, working at height, not tied off", "en",
     {"work": "height", "people": 3, "equipment": "aerial", "hazard": "no_harness"}),
])  # fmt: skip
def test_captions_as_inspectors_write_them(
    name: str, caption: str, language: str, found: dict[str, Any]
) -> None:
    assert load_template(name).parse(caption, language) == found


def test_packs_are_listed() -> None:
    assert [template.id for template in packs()] == [
        "equipment", "infrastructure", "lab-inspection", "parts", "retail", "site-safety"
    ]  # fmt: skip
