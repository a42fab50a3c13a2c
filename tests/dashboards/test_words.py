"""Sentences and the next step: nothing is claimed that the interval does not carry."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import effects as measured
from dashboards import run_words, words
from dashboards.effects import Effect, detectable, main_effect, same_contrast
from dashboards.effects import claim as claim_of
from dashboards.figures import Missing
from dashboards.standing import Standing
from data.settings import set_value
from data.site import Site
from tests.dashboards.conftest import START, add_effect, add_run
from training import gate_words

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
        st.sampled_from(
            [
                ("corrected", "original"),
                ("corrected", "reworded"),
                ("dropped", "original"),
                ("corrected", "base"),
            ]
        )
    )
    return Effect("r", task, metric, arm, versus, value, low, high, unit, higher, draw(st.integers(1, 500)), 2,
                  is_primary=metric == "recall_at_1_text_to_image")  # fmt: skip


runs_of_effects = st.lists(
    effects(), min_size=1, max_size=12, unique_by=lambda e: (e.metric, e.arm, e.versus)
)


@given(runs_of_effects, st.sampled_from(["ja", "en"]))
def test_no_gain_and_no_loss_is_claimed_whose_interval_includes_zero(
    found: list[Effect], language: str
) -> None:
    text = words.effect_sentence(found, language)
    main = main_effect(found)
    if main is None:
        assert not any(word in text for pair in CLAIMS[language].values() for word in pair)
        return
    beyond = [e for e in found if (e.metric, e.arm, e.versus) == (main.metric, main.arm, "reworded")]
    others = [e for e in same_contrast(found) if e != main]
    for verdict, (of_main, of_others) in CLAIMS[language].items():
        # the main claim, from the numbers alone
        sure = main.low > 0 or main.high < 0
        up = (main.low > 0) == main.higher_is_better
        is_content = verdict == "worse" or any(e.low > 0 for e in beyond)
        assert (of_main in text) == (sure and up == (verdict == "better") and is_content)
        carried = [e for e in others if e.low > 0 or e.high < 0]
        count = sum(((e.low > 0) == e.higher_is_better) == (verdict == "better") for e in carried)
        assert (of_others in text.replace(of_main, "")) == (count > 0)


@given(runs_of_effects, st.sampled_from(["ja", "en"]))
def test_the_sentence_gives_the_interval(found: list[Effect], language: str) -> None:
    main = main_effect(found)
    said = words.effect_sentence(found, language)
    assert (words.interval(main, language) in said) if main else ("%" not in said)


def effect(value: float, low: float, high: float, **other: object) -> Effect:
    given: dict[str, object] = {"run_id": "r", "task": "retrieval", "metric": "recall_at_1_text_to_image",
                                "arm": "corrected", "versus": "original", "unit": "fraction",
                                "higher_is_better": True, "n": 180, "seeds": 2, "is_primary": True,
                                **other}  # fmt: skip
    return Effect(value=value, low=low, high=high, **given)  # type: ignore[arg-type]


def test_a_gain_in_both_languages() -> None:
    found = [effect(0.098, 0.041, 0.152), effect(0.06, 0.01, 0.11, versus="reworded")]
    assert words.effect_sentence(found, "en") == (
        "The last retraining brought a gain: “Photo found from words, top 1” changed by +9.8 points "
        "(95 % interval +4.1 to +15.2)."
    )
    assert words.effect_sentence(found, "ja") == (
        "最新の再学習で、「文から写真を検索（上位1件）」が+9.8ポイント変化し、向上が確認できました"
        "（95%信頼区間 +4.1〜+15.2）。"
    )


@pytest.mark.parametrize(
    "original, reworded, claim, badge, badge_ja",
    [
        ((0.04, 0.15), (0.01, 0.11), "gain", "proven gain", "向上を確認"),
        ((0.04, 0.15), (-0.02, 0.08), "style", "not proven beyond the wording", "言い回し以上の効果は未確認"),
        (
            (0.04, 0.15),
            (-0.08, -0.02),
            "style",
            "not proven beyond the wording",
            "言い回し以上の効果は未確認",
        ),
        ((0.04, 0.15), None, "untold", "wording not ruled out", "言い回しの効果の可能性あり"),
        ((-0.01, 0.15), (0.01, 0.11), "none", "not proven", "効果は未確認"),
        ((-0.15, -0.04), (0.01, 0.11), "loss", "proven loss", "低下を確認"),
        ((-0.15, -0.04), None, "loss", "proven loss", "低下を確認"),
    ],
)
@pytest.mark.parametrize("is_rising", [True, False])
def test_a_gain_is_claimed_only_beyond_the_reworded_arm(
    original: tuple[float, float], reworded: tuple[float, float] | None, claim: str, badge: str, badge_ja: str,
    is_rising: bool,
) -> None:  # fmt: skip
    """Of a measure that is better when larger, and of an error that is better when smaller."""

    def made(bounds: tuple[float, float], versus: str) -> Effect:
        low, high = bounds if is_rising else (-bounds[1], -bounds[0])
        return effect((low + high) / 2, low, high, versus=versus, higher_is_better=is_rising)

    found = [made(original, "original"), *([made(reworded, "reworded")] if reworded else [])]
    assert claim_of(found) == claim
    assert (words.claim_name(found, "en"), words.claim_name(found, "ja")) == (badge, badge_ja)


def test_what_the_gate_asks_for_is_spoken_of(worked: Site) -> None:
    """[retrain] primary in genba.toml is the one place; a run that did not measure it claims nothing."""
    set_value(worked.settings_path, "retrain", "primary", "depth/rmse")
    site = Site.open(worked.root)
    found = measured.effects(site, "run-1")
    main = main_effect(found)
    assert main and (main.task, main.metric) == ("depth", "rmse") and found[0] == main
    assert "(RMSE)" in words.run_sentence(site, "run-1", "en")
    gain = measured.gain(site)
    assert isinstance(gain, Effect) and gain.metric == "rmse"
    set_value(worked.settings_path, "retrain", "primary", "slots/macro_f1")
    site = Site.open(worked.root)
    missing = measured.gain(site)
    assert isinstance(missing, Missing) and "primary" in missing.needs
    assert "did not measure the primary metric" in words.run_sentence(site, "run-1", "en")


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


def test_the_smallest_detectable_effect() -> None:
    assert detectable(effect(0.0, -0.0196, 0.0196)) == pytest.approx(0.0280, abs=1e-4)
    assert "about 2.8 points" in words.detectable_sentence(effect(0.0, -0.0196, 0.0196), "en")
    assert detectable(effect(0.0, -0.0196, 0.0196, seeds=1)) is None, "one seed holds no spread between seeds"
    assert "cannot be told" in words.detectable_sentence(effect(0.0, -0.0196, 0.0196, seeds=1), "en")


def test_before_a_run_the_sentence_names_the_seeds_that_it_is_for() -> None:
    known = effect(0.0, -0.0196, 0.0196, seeds=4)
    assert "stated as it starts" in words.before_sentence(None, 3, "en")
    assert "seeds at 4 it shows effects from about 2.8 points in" in words.before_sentence(known, 4, "en")
    fewer = words.before_sentence(known, 1, "en")
    assert "seeds at 1 it shows effects from about 5.6 points, perhaps" in fewer and "seeds: 4" in fewer
    assert "シード9個なら、約2.8ポイント以上" in words.before_sentence(known, 9, "ja"), "more promise no more"


def test_an_unknown_metric_keeps_its_own_name() -> None:
    assert words.metric_name("retrieval", "mystery", "ja") == "retrieval: mystery"
    assert words.arm_name("lot-3", "en") == "lot-3"


@pytest.mark.parametrize("language, counted, shape, rank", [
    ("ja", "学習なしで項目を言い当てる（F1）：個数", "領域の検出：亀裂", "12位"),
    ("en", "Items named without training (F1): How many", "Regions found: crack", "12 places"),
])  # fmt: skip
def test_a_page_names_items_and_answers_as_the_template_does(
    site: Site, language: str, counted: str, shape: str, rank: str
) -> None:
    labels = words.slot_labels(site.template(), language)
    assert words.metric_name("slots", "macro_f1_count", language, labels) == counted
    assert words.metric_name("segmentation", "iou_crack", language, labels) == shape
    tiny = Effect("r", "depth", "rmse", "a", "b", -0.00012, -0.0003, 0.0002, "m", False, 9, 2)
    dash = {"ja": "〜", "en": " to "}[language]
    assert words.difference(tiny.value, tiny, language) == "−0.00012 m"
    assert words.interval(tiny, language) == f"−0.00030{dash}+0.00020", "no interval of zeros"
    assert run_words.value(12.0, "rank", language) == rank
    assert run_words.value(12.5, "rank", language) == rank.replace("12", "12.5")
    facts = {"slice": "line", "part": "A", "task": "slots", "metric": "macro_f1_count", "value": -2.0, "low": -3.0,
             "high": -1.5, "unit": "rank", "n": 9}  # fmt: skip
    told = gate_words.change(facts, language, partial(words.metric_name, labels=labels))
    assert counted in told and ("−2.0位" if language == "ja" else "−2.0 places") in told
    assert language == "en" or (": " not in told and "(" not in told)
