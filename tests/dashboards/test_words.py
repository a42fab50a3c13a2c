"""Sentences and the next step: nothing is claimed that the interval does not carry."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import words
from dashboards.effects import Effect, detectable, main_effect, same_contrast
from dashboards.standing import Standing
from data.settings import RetrainSection
from data.site import Site
from tests.dashboards.conftest import START, add_effect, add_run

CLAIMS = {
    "en": {"better": ("gain:", "better"), "worse": ("loss:", "worse")},
    "ja": {"better": ("向上が確認できました", "件は向上"), "worse": ("低下が確認されました", "件は低下")},
}
finite = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 4))


@st.composite
def effects(draw: st.DrawFn) -> Effect:
    low, value, high = sorted(draw(st.tuples(finite, finite, finite)))
    task, metric, unit, higher = draw(
        st.sampled_from(
            [("retrieval", f"recall_at_{k}_{way}", "fraction", True)
             for k in (1, 5, 10) for way in ("text_to_image", "image_to_text")]
            + [("segmentation", "miou", "fraction", True), ("depth", "rmse", "m", False)]
        )
    )  # fmt: skip
    arm, versus = draw(
        st.sampled_from([("corrected", "original"), ("dropped", "original"), ("corrected", "base")])
    )
    return Effect(
        "r", task, metric, arm, versus, value, low, high, unit, higher, draw(st.integers(1, 500)), 2
    )


runs_of_effects = st.lists(
    effects(), min_size=1, max_size=12, unique_by=lambda e: (e.metric, e.arm, e.versus)
)


@given(runs_of_effects, st.sampled_from(["ja", "en"]))
def test_no_gain_and_no_loss_is_claimed_whose_interval_includes_zero(
    found: list[Effect], language: str
) -> None:
    text = words.effect_sentence(found, language)
    main = main_effect(found)
    assert main
    others = [e for e in same_contrast(found) if e != main]
    for verdict, (of_main, of_others) in CLAIMS[language].items():
        # the main claim, from the numbers alone
        sure = main.low > 0 or main.high < 0
        up = (main.low > 0) == main.higher_is_better
        assert (of_main in text) == (sure and up == (verdict == "better"))
        carried = [e for e in others if e.low > 0 or e.high < 0]
        count = sum(((e.low > 0) == e.higher_is_better) == (verdict == "better") for e in carried)
        assert (of_others in text.replace(of_main, "")) == (count > 0)


@given(runs_of_effects, st.sampled_from(["ja", "en"]))
def test_the_sentence_gives_the_interval(found: list[Effect], language: str) -> None:
    main = main_effect(found)
    assert main
    assert words.interval(main, language) in words.effect_sentence(found, language)


def effect(value: float, low: float, high: float, **other: object) -> Effect:
    given: dict[str, object] = {"run_id": "r", "task": "retrieval", "metric": "recall_at_1_text_to_image",
                                "arm": "corrected", "versus": "original", "unit": "fraction",
                                "higher_is_better": True, "n": 180, "seeds": 2, **other}  # fmt: skip
    return Effect(value=value, low=low, high=high, **given)  # type: ignore[arg-type]


def test_a_gain_in_both_languages() -> None:
    found = [effect(0.098, 0.041, 0.152)]
    assert words.effect_sentence(found, "en") == (
        "The last retraining brought a gain: “Photo found from words, top 1” changed by +9.8 points "
        "(95 % interval +4.1 to +15.2)."
    )
    assert words.effect_sentence(found, "ja") == (
        "最新の再学習で、「文から写真を検索（上位1件）」が+9.8ポイント変化し、向上が確認できました"
        "（95%信頼区間 +4.1〜+15.2）。"
    )


def test_no_effect_is_said_as_plainly() -> None:
    text = words.effect_sentence([effect(0.3, -0.001, 0.6)], "en")
    assert text.startswith("The last retraining proves no effect") and "includes zero" in text


def test_a_run_without_comparison() -> None:
    assert "no gain is measured" in words.effect_sentence([], "en")


@pytest.mark.parametrize(
    "value, text", [(0.0, "±0.0"), (-0.00001, "±0.0"), (0.1234, "+12.3"), (-0.05, "−5.0")]
)
def test_difference_of_a_share_is_in_points(value: float, text: str) -> None:
    assert words.difference(value, effect(value, -1, 1), "en") == f"{text} points"


def test_difference_of_another_unit_keeps_it() -> None:
    depth = effect(-0.021, -0.034, -0.008, task="depth", metric="rmse", unit="m", higher_is_better=False)
    assert words.difference(depth.value, depth, "en") == "−0.021 m"
    assert depth.verdict == "better"


def test_an_older_run_is_not_called_the_last(worked: Site) -> None:
    with worked.connect() as db:
        add_run(db, "run-0", START)
        add_effect(db, "run-0", "recall_at_1_text_to_image", 0.1, 0.05, 0.2)
    assert words.run_sentence(worked, "run-0", "en").startswith("This retraining")
    assert words.run_sentence(worked, "run-1", "en").startswith("The last retraining")
    assert words.run_sentence(worked, "run-0", "ja").startswith("この再学習")


def test_simulated_corrections_are_named_in_the_sentence(worked: Site) -> None:
    assert words.last_run_sentence(worked, "en").endswith("Of the 5 corrections behind it 2 are simulated.")
    assert words.last_run_sentence(worked, "ja").endswith("修正 5件のうち2件は模擬です。")


def test_without_a_run_no_gain_is_claimed(site: Site) -> None:
    assert words.last_run_sentence(site, "en") == "No retraining has finished yet, so no gain is measured."


AT = Standing("/site", pairs=500, scored=500, waiting=400, judged=100, drawn=100, audit_waiting=0, since_last_run=20,
              last_run="r", candidate=None, active_jobs=(), after_corrections=0)  # fmt: skip


@pytest.mark.parametrize(
    "changes, action, job",
    [
        ({"pairs": 0, "scored": 0, "waiting": 0}, "ingest", ""),
        ({"scored": 0}, "score", "score"),
        ({"scored": 0, "active_jobs": ("score",)}, "wait", ""),
        ({"active_jobs": ("retrain",)}, "wait", ""),
        ({"candidate": "m", "gate": "open"}, "promote", ""),
        ({"candidate": "m", "gate": "sign"}, "sign", ""),
        ({"candidate": "m", "gate": "refused"}, "correct", ""),
        ({"judged": 0, "drawn": 0, "since_last_run": 0}, "correct", ""),
        ({"drawn": 0}, "audit", "audit"),
        ({"since_last_run": 100}, "retrain", "retrain"),
        ({"since_last_run": 30, "after_corrections": 30}, "retrain", "retrain"),
        ({"audit_waiting": 7}, "judge", ""),
        ({}, "correct", ""),
        ({"waiting": 0}, "audit", "audit"),
    ],
)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_next_step(changes: dict[str, object], action: str, job: str, language: str) -> None:
    step = words.next_step(dataclasses.replace(AT, **changes), language)  # type: ignore[arg-type]
    assert (step.action, step.job) == (action, job)
    assert step.what and step.why and "{" not in step.what + step.why
    assert bool(step.button) == (action not in ("ingest", "wait"))


def test_the_audit_job_says_how_many() -> None:
    step = words.next_step(dataclasses.replace(AT, drawn=0), "en")
    assert step.arguments == {"n": words.AUDIT_SIZE}


def test_the_policy_in_words() -> None:
    never = RetrainSection()
    assert words.policy_sentence(never, 5, "en").startswith("Never starts by itself")
    both = RetrainSection(after_corrections=200, schedule="0 3 * * 6")
    text = words.policy_sentence(both, 5, "en")
    assert (
        text
        == "Starts by itself after 200 fixed captions; 5 so far. Starts by itself on the schedule 0 3 * * 6."
    )


def test_the_smallest_detectable_effect() -> None:
    assert detectable(effect(0.0, -0.0196, 0.0196)) == pytest.approx(0.0280, abs=1e-4)
    assert "about 2.8 points" in words.detectable_sentence(effect(0.0, -0.0196, 0.0196), "en")
    assert "stated as it starts" in words.detectable_sentence(None, "en")


def test_an_unknown_metric_keeps_its_own_name() -> None:
    assert words.metric_name("retrieval", "mystery", "ja") == "retrieval: mystery"
    assert words.arm_name("lot-3", "en") == "lot-3"
