"""The gate: nothing is promoted without a proven gain, whatever the rest; every guard refuses what falls."""

from __future__ import annotations

import ast
import dataclasses
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.messages import LANGUAGES, catalogue
from tests.conftest import CHECKOUT
from training.checklist import question_names, questions
from training.gate import CHECKS, FORGETTING, GENERAL, Check, Evidence, allows, judge, proven_falls
from training.gate_words import against, change, sentence, title, told

PRIMARY, MARGIN = "retrieval/recall_at_1_text_to_image", 0.02
METRIC = "recall_at_1_text_to_image"


def effect(
    low: float, high: float, arm: str = "corrected", versus: str = "original", **more: Any
) -> dict[str, Any]:
    return {"task": "retrieval", "metric": METRIC, "arm": arm, "versus": versus, "value": (low + high) / 2, "low": low,
            "high": high, "higher_is_better": True, "unit": "fraction", "n": 100, "seeds": 3, **more}  # fmt: skip


def model_effect(low: float, high: float, task: str = "retrieval", **more: Any) -> dict[str, Any]:
    return effect(low, high, "candidate", "base", task=task, **more)


def gap(
    low: float, high: float, is_enough: bool = True, arm: str = "candidate", **more: Any
) -> dict[str, Any]:
    change = (low + high) / 2
    return {"task": "retrieval", "metric": METRIC, "arm": arm, "slice": "shift", "part": "night", "value": 0.5 + change,
            "rest": 0.6, "gap": change - 0.1, "low": -0.2, "high": 0.1, "n": 60, "is_enough": is_enough,
            "unit": "fraction", "higher_is_better": True, "change": change, "change_low": low, "change_high": high,
            **more}  # fmt: skip


GOOD = Evidence(
    arm="corrected", arms=("original", "corrected", "reworded", "base"),
    effects=[effect(0.01, 0.2), effect(0.01, 0.1, versus="reworded")],
    of_model=[model_effect(0.0, 0.1), model_effect(-0.01, 0.03, FORGETTING), model_effect(-0.03, 0.01, GENERAL)],
    gaps=[gap(-0.05, 0.1)], values={("depth", "rmse", "original"): 0.5, ("depth", "rmse", "base"): 0.5},
    measured_against="demo", in_use="demo", has_general_set=True, has_slices=True, needs_checklist=True, objections=(),
)  # fmt: skip


def judged(**changed: Any) -> dict[str, Check]:
    found = judge(dataclasses.replace(GOOD, **changed), PRIMARY, MARGIN)
    assert [check.name for check in found] == list(CHECKS)
    return {check.name: check for check in found}


def test_a_model_with_nothing_against_it_is_let_through() -> None:
    assert allows(judged().values()) and all(check.state == "passed" for check in judged().values())
    assert not allows([])


@pytest.mark.parametrize(
    ("changed", "name", "state"),
    [
        ({"effects": GOOD.effects[1:]}, "primary", "not_measured"),
        ({"effects": [effect(-0.01, 0.2), effect(0.01, 0.1, versus="reworded")]}, "primary", "refused"),
        ({"effects": [effect(0.0, 0.2), effect(0.01, 0.1, versus="reworded")]}, "primary", "refused"),
        ({"effects": [effect(-0.2, -0.1), effect(0.01, 0.1, versus="reworded")]}, "primary", "refused"),
        ({"effects": [effect(0.01, 0.2)]}, "reworded", "not_measured"),
        ({"effects": [effect(0.01, 0.2), effect(-0.01, 0.1, versus="reworded")]}, "reworded", "refused"),
        ({"in_use": "local-dir:models/m1"}, "in_use", "not_measured"),
        ({"of_model": GOOD.of_model[1:]}, "in_use", "not_measured"),
        ({"of_model": [model_effect(-0.1, 0.05), *GOOD.of_model[1:]]}, "in_use", "refused"),
        ({"of_model": GOOD.of_model[:2]}, "general", "not_measured"),
        ({"of_model": [*GOOD.of_model[:2], model_effect(-0.06, 0.01, GENERAL)]}, "general", "refused"),
        ({"of_model": [*GOOD.of_model[:2], model_effect(float("nan"), 0.01, GENERAL)]}, "general", "refused"),
        ({"of_model": [GOOD.of_model[0], GOOD.of_model[2]]}, "forgetting", "not_measured"),
        ({"of_model": [*GOOD.of_model, model_effect(-0.06, 0.01, FORGETTING, metric="recall_at_1_image_to_text")]},
         "forgetting", "refused"),
        ({"gaps": []}, "slices", "not_measured"),
        ({"gaps": [gap(-0.1, -0.01)]}, "slices", "refused"),
        ({"gaps": [gap(-0.1, -0.01, arm="corrected")]}, "slices", "refused"),
        ({"effects": [*GOOD.effects, effect(0.02, 0.04, task="depth", metric="rmse", unit="m",
                                            higher_is_better=False)]}, "others", "refused"),
        ({"effects": [*GOOD.effects, effect(-0.2, -0.1, versus="base", metric="miou")]}, "others", "refused"),
        ({"of_model": [*GOOD.of_model, model_effect(-0.2, -0.1, "slots", metric="accuracy")]}, "others", "refused"),
        ({"objections": None}, "checklist", "not_measured"),
        ({"objections": ("gaps",)}, "checklist", "refused"),
    ],
)  # fmt: skip
def test_one_condition_alone_stands_against_it(changed: dict[str, Any], name: str, state: str) -> None:
    found = judged(**changed)
    assert found[name].state == state and not allows(found.values())
    assert [check.name for check in found.values() if check.stands_against] == [name]


@pytest.mark.parametrize(
    ("changed", "name", "state"),
    [
        ({"arms": ("original", "corrected", "base"), "effects": [effect(0.01, 0.2)]}, "reworded", "not_asked"),
        ({"has_general_set": False, "of_model": GOOD.of_model[:2]}, "general", "not_asked"),
        ({"gaps": [], "has_slices": False}, "slices", "not_asked"),
        ({"needs_checklist": False, "objections": None}, "checklist", "not_asked"),
        ({"gaps": [gap(-0.2, -0.1, is_enough=False)]}, "slices", "passed"),  # too few to say
        ({"gaps": [gap(-0.3, 0.1)]}, "slices", "passed"),  # by chance, one of many
        ({"gaps": [gap(-0.015, -0.01)]}, "slices", "passed"),  # within the margin
        ({"gaps": [gap(0.0, 0.1), gap(-0.2, -0.1, arm="original")]}, "slices", "passed"),  # the control's, not ours
        ({"effects": [*GOOD.effects, effect(-0.2, -0.1, arm="original", versus="base")]}, "others", "passed"),
        ({"of_model": [*GOOD.of_model, model_effect(-0.2, -0.1, "slots", metric="iou_rust")]}, "others", "passed"),
        ({"effects": [*GOOD.effects, effect(0.001, 0.008, task="depth", metric="rmse", unit="m",
                                            higher_is_better=False)]}, "others", "passed"),  # 0.0045 m of 0.5 m
    ],
)  # fmt: skip
def test_what_is_not_asked_or_not_proven_does_not(changed: dict[str, Any], name: str, state: str) -> None:
    found = judged(**changed)
    assert found[name].state == state and allows(found.values())


numbers = st.floats(-1, 1) | st.just(float("nan"))


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    """Whatever a run can measure, and more: any numbers, any of the parts missing."""
    names = st.sampled_from([METRIC, "recall_at_1_image_to_text", "rmse", "miou"])

    def row(arms: list[str], versus: list[str], tasks: list[str]) -> dict[str, Any]:
        value, low, high = draw(numbers), draw(numbers), draw(numbers)
        return {"task": draw(st.sampled_from(tasks)), "metric": draw(names), "arm": draw(st.sampled_from(arms)),
                "versus": draw(st.sampled_from(versus)), "value": value, "low": low, "high": high, "n": 9,
                "unit": draw(st.sampled_from(["fraction", "m"])), "higher_is_better": draw(st.booleans())}  # fmt: skip

    tasks = ["retrieval", "depth", GENERAL, FORGETTING]
    effects = [
        row(["corrected", "original"], ["original", "reworded", "base"], tasks)
        for _ in range(draw(st.integers(0, 5)))
    ]
    of_model = [row(["candidate"], ["base"], tasks) for _ in range(draw(st.integers(0, 4)))]
    gaps = [gap(draw(numbers), draw(numbers), draw(st.booleans())) for _ in range(draw(st.integers(0, 3)))]
    arms, coin = draw(st.sampled_from([("corrected",), ("corrected", "reworded")])), st.booleans()
    return Evidence("corrected", arms, effects, of_model, gaps, {}, "demo", draw(st.sampled_from(["demo", "other"])),
                    draw(coin), draw(coin), draw(coin), draw(st.sampled_from([None, (), ("gaps",)])))  # fmt: skip


@given(any_evidence(), st.floats(0, 0.5), numbers, numbers, numbers, st.booleans())
def test_no_promotion_with_an_interval_that_includes_zero_whatever_the_rest(
    at: Evidence, margin: float, value: float, one: float, other: float, higher: bool
) -> None:
    low, high = sorted((one, other), key=lambda bound: (bound != bound, bound))
    main = {**effect(0, 0), "value": value, "low": low, "high": high, "higher_is_better": higher}
    others = [
        e for e in at.effects if (e["task"], e["metric"], e["versus"]) != ("retrieval", METRIC, "original")
    ]
    proven = low > 0 if higher else high < 0
    found = judge(dataclasses.replace(at, effects=[*others, main]), PRIMARY, margin)
    assert found[0].state == ("passed" if proven else "refused")
    if not proven:
        assert not allows(found)
    perfect = judge(dataclasses.replace(GOOD, effects=[main, GOOD.effects[1]]), PRIMARY, margin)
    assert proven or not allows(perfect)


@given(any_evidence(), st.floats(0, 0.5))
def test_a_wider_margin_never_refuses_more_and_every_check_has_words(at: Evidence, margin: float) -> None:
    narrow, wide = ({c.name: c for c in judge(at, PRIMARY, one)} for one in (margin, margin + 0.1))
    for name, check in wide.items():
        assert not (check.state == "refused" and narrow[name].state == "passed")
    for check in narrow.values():
        for language in LANGUAGES:
            assert sentence(check, language) and title(check, language)
    assert len(against(narrow.values(), "ja")) == sum(check.stands_against for check in narrow.values())


@given(st.sampled_from(["reworded", "in_use", "general", "forgetting"]), st.floats(-1, 1), st.floats(0, 0.3))
def test_a_measured_fall_beyond_the_margin_is_refused_and_one_within_is_not(
    name: str, value: float, margin: float
) -> None:
    if name == "reworded":
        found = judged(effects=[GOOD.effects[0], effect(value, value, versus="reworded")])
        assert found[name].stands_against is not (value > 0)
        return
    task = {"in_use": "retrieval", "general": GENERAL, "forgetting": FORGETTING}[name]
    rows = [e for e in GOOD.of_model if e["task"] != task] + [model_effect(value, value, task)]
    found = {c.name: c for c in judge(dataclasses.replace(GOOD, of_model=rows), PRIMARY, margin)}
    assert found[name].stands_against is (-value > margin)


def test_the_words_name_the_numbers() -> None:
    found = judged(effects=[effect(-0.01, 0.2), GOOD.effects[1]], gaps=[gap(-0.1, -0.02)])
    english, japanese = (against(found.values(), language) for language in ("en", "ja"))
    assert english == [
        "No gain over the original captions is proven: recall_at_1_text_to_image +9.5 points (95 % interval −1.0 to "
        "+20.0, n = 100).",
        "It is worse for some: shift = night: recall_at_1_text_to_image −6.0 points (95 % interval −10.0 to −2.0, "
        "n = 60).",
    ]  # fmt: skip
    assert (
        japanese[0].startswith("元のキャプションに対する向上は確認されていません：")
        and "−1.0〜+20.0" in japanese[0]
    )


def test_single_items_that_fell_are_told_though_they_do_not_decide() -> None:
    check = judged(of_model=[*GOOD.of_model, model_effect(-0.2, -0.1, "slots", metric="accuracy_count")])[
        "others"
    ]
    assert (
        "Single items that are worse, which do not decide: the model itself: accuracy_count −15.0"
        in sentence(check, "en")
    )


def test_what_of_the_model_is_proven_worse_is_known_whichever_check_says_so() -> None:
    """Of the model itself: not of the arms, not what is not proven, not the parts of slices."""
    item = model_effect(-0.2, -0.1, "slots", metric="accuracy_count")
    whole = model_effect(-0.2, -0.1, "slots", metric="accuracy")
    unproven = model_effect(-0.3, 0.1, FORGETTING)
    arm = effect(-0.2, -0.1, task="slots", metric="accuracy_part")
    checks = judged(of_model=[model_effect(0.0, 0.1), unproven, item, whole], effects=[*GOOD.effects, arm],
                    gaps=[gap(-0.3, -0.1)])  # fmt: skip
    assert checks["forgetting"].falls and checks["slices"].falls and arm in checks["others"].facts["details"]
    found = proven_falls(checks.values())
    assert [row["metric"] for row in found] == ["accuracy", "accuracy_count"]
    assert proven_falls(judged().values()) == ()


def test_names_in_words_stand_in_the_sentence_and_say_of_which_captions_they_are() -> None:
    row = model_effect(-0.1, -0.05, FORGETTING)
    assert "right before" in change(row, "en")
    named = change(row, "en", lambda task, metric, language: "Found, right ones")
    assert named.startswith("Found, right ones −7.5 points")
    check = Check("others", "refused", {"n": 1, "details": ()}, (row,))
    assert "Found it" in told(check, "en", lambda task, metric, language: "Found it")["text"]


def test_every_message_of_the_room_has_a_japanese_entry_with_the_same_placeholders() -> None:
    def places(text: str) -> set[str]:
        return {name for _before, name, _spec, _conversion in string.Formatter().parse(text) if name}

    found = [
        (path.name, node.args[0].value)
        for path in sorted((CHECKOUT / "training").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_" and node.args
        and isinstance(node.args[0], ast.Constant)
    ]  # fmt: skip
    japanese = catalogue("ja")
    assert len(found) > 30
    assert [(file, text) for file, text in found if text not in japanese] == []
    assert [text for _file, text in found if places(text) != places(japanese[text])] == []
    assert [one.key for one in questions("ja")] == question_names() and len(
        {one.part for one in questions("ja")}
    ) == 3
