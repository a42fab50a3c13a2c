"""The page Retrainings: every part in both languages, what the gate says, and only claims that are proven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import run_charts, run_examples, run_figures, run_words, words
from dashboards.effects import Effect
from dashboards.run_examples import Example, examples, gain_of, most_changed
from data.messages import translator
from data.site import Site
from tests.dashboards.conftest import add_effect, add_model
from tests.dashboards.test_pages import LANGUAGES, NASTY, rerun, show, texts
from tests.training.gates import slice_gap
from training import runs
from training.label_efficiency import Equivalent
from training.measures import Measured

MAIN = "recall_at_1_text_to_image"


def efficiency_rows(run_id: str) -> list[dict[str, Any]]:
    return [
        {"run_id": run_id, "arm": arm, "seed": seed, "task": "segmentation", "metric": "miou", "share": share,
         "labels": round(share * 160), "value": 0.2 + 0.1 * share + 0.02 * (arm == "corrected") + 0.01 * seed,
         "unit": "fraction", "higher_is_better": True, "n": 40}
        for arm in ("original", "corrected") for seed in (0, 1) for share in (0.25, 0.5, 1.0)
    ]  # fmt: skip


def equivalent(**more: Any) -> dict[str, Any]:
    return {"task": "segmentation", "metric": "miou", "arm": "corrected", "versus": "original",
            "share": 0.5, "labels": 80, "equivalent": 112.0, "low": 90.0, "high": 150.0, "is_reached": True,
            **more}  # fmt: skip


def fill(site: Site) -> None:
    with site.connect() as db:
        db.insert("efficiency", efficiency_rows("run-1"))
        beyond = equivalent(share=1.0, labels=160, equivalent=None, low=140.0, high=None, is_reached=False)
        db.insert("label_equivalents", [{"run_id": "run-1", **one} for one in (equivalent(), beyond)])
        slot = {"run_id": "run-1", "slot": "defect", "task": "retrieval", "metric": MAIN, "value": 0.06, "low": 0.02,
                "high": 0.1, "unit": "fraction", "higher_is_better": True, "n": 90, "seeds": 2,
                "p_value": 0.01, "detectable": 0.05, "seconds": 4.5, "gain_per_second": 0.013}  # fmt: skip
        db.insert("slot_effects", [slot, {**slot, "slot": NASTY, "low": -0.02}])
        db.insert("slice_gaps", [
            slice_gap("run-1", 0.04), slice_gap("run-1", slice="line", part=NASTY, is_enough=False, arm="candidate"),
        ])  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_part_shows_what_the_run_wrote(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(worked)
    _ = translator(language)
    at = show("runs", worked, language, monkeypatch)

    def part(name: str) -> Any:
        next(control for control in at.get("button_group") if control.key == "part-run-1").set_value(name)
        return rerun(at)

    assert _("not reached with all labels (at least {low})").format(low=140) in texts(
        part("efficiency")
    ).replace("\\", "")
    assert len(at.get("vega_lite_chart")) == 2
    assert len(part("items").get("vega_lite_chart")) == 1
    page = texts(part("slices"))
    assert len(at.get("vega_lite_chart")) == 1 and _("* too few test items to say anything") in page.replace(
        "\\", ""
    )
    assert NASTY in at.dataframe[1].value.to_string() and NASTY not in "".join(e.value for e in at.markdown)
    assert "snap-run-1" in texts(part("lineage"))
    assert _("The model's files are gone") in "".join(element.value for element in at.markdown)
    gone = texts(part("examples"))
    assert "results.parquet" in gone, "an error in words, with the way on"


@pytest.mark.parametrize("language", LANGUAGES)
def test_parts_without_rows_say_what_brings_them(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("runs", worked, language, monkeypatch)
    for name, title in (("efficiency", _("No label efficiency")), ("items", _("No items compared")),
                        ("slices", _("No slices"))):  # fmt: skip
        next(control for control in at.get("button_group") if control.key == "part-run-1").set_value(name)
        assert title in "".join(element.value for element in rerun(at).markdown)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_gates_reasons_stand_in_the_dialog_in_words(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("runs", worked, language, monkeypatch)
    at.button(key="promote-model-1").click()
    page = texts(rerun(at))
    assert _("The first promotion needs a checklist that a lead has signed.") in page
    assert words.metric_name("retrieval", MAIN, language) in page
    assert [button for button in at.button if button.key == "promote-yes"] == []
    with worked.connect() as db:
        assert db.value("SELECT state FROM models WHERE model_id = 'model-1'") == "candidate"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lead_alone_sees_the_questions(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the form sends is signed: tests/test_app_runs.py, in a real browser."""
    from data.settings import set_value
    from training.checklist import question_names, questions

    fill(worked)
    _ = translator(language)
    set_value(worked.settings_path, "review", "leads", ["佐藤"])
    at = show("runs", worked, language, monkeypatch)  # as 田中
    at.button(key="sign-model-1").click()
    shown = "".join(element.value for element in rerun(at).markdown)
    assert _("Only a lead signs: {names}").format(names="佐藤") in shown and len(at.radio) == 0
    set_value(worked.settings_path, "review", "leads", ["田中"])
    at = show("runs", worked, language, monkeypatch)
    at.button(key="sign-model-1").click()
    rerun(at)
    assert [one.key for one in at.radio] == [f"answer-{name}" for name in question_names()]
    assert at.radio[0].label.replace("\\", "") == questions(language)[0].text
    assert all(one.value is None for one in at.radio), "nothing is answered beforehand"
    assert (
        run_words.part_name(run_figures.Gap(**slice_gap("r", 0.04)), language)
        in at.dataframe[-1].value.to_string()
    )


def an_effect(low: float, high: float, versus: str = "original", **more: Any) -> Effect:
    given = {"run_id": "r", "task": "retrieval", "metric": MAIN, "arm": "corrected", "versus": versus,
             "value": (low + high) / 2, "low": low, "high": high, "unit": "fraction", "higher_is_better": True, "n": 50,
             "seeds": 3, **more}  # fmt: skip
    return Effect(**given)


GAIN_WORDS = {
    "en": ("brought a gain", "goes beyond"),
    "ja": ("向上をもたらしました", "言い回しだけの効果ではありません"),
}
bounds = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(bounds, bounds, st.sampled_from(LANGUAGES))
def test_no_gain_is_claimed_that_does_not_go_beyond_the_wording(
    original: list[float], reworded: list[float], language: str
) -> None:
    found = [an_effect(*original), an_effect(*reworded, versus="reworded")]
    said = words.effect_sentence(found, language) + run_words.claim(found, language)
    is_proven = original[0] > 0 and reworded[0] > 0
    assert any(word in said for word in GAIN_WORDS[language]) == is_proven


def test_without_a_reworded_arm_the_claim_says_so() -> None:
    assert "no reworded arm" in run_words.claim([an_effect(0.1, 0.2)], "en")
    assert "言い換え群がない" in run_words.claim([an_effect(0.1, 0.2)], "ja")


def test_p_values_and_what_could_be_shown_are_told() -> None:
    assert run_words.chance(an_effect(0.1, 0.2, p_value=0.0002), "en") == "< 0.001"
    assert run_words.chance(an_effect(0.1, 0.2, p_value=0.0132), "ja") == "0.013"
    assert run_words.chance(an_effect(0.1, 0.2), "en") == "—"
    assert run_words.could_detect(an_effect(0.1, 0.2, detectable=0.031), "en") == "3.1 points"
    assert run_words.verdict_name("undecided", "ja") == "効果は証明されず"


def test_label_equivalents_in_words() -> None:
    found = Equivalent(**equivalent())
    assert run_words.equivalent(found, "en") == "112 labels (95 % interval 90 to 150)"
    assert run_words.equivalent_sentence(found, "ja").startswith(
        "修正後のキャプションでの 80 ラベルに相当するラベル数：112"
    )
    open_end = Equivalent(**equivalent(high=None))
    assert run_words.equivalent(open_end, "en") == "112 labels (95 % interval 90 to not reached)"


def test_the_curve_is_the_mean_of_the_seeds_with_their_range() -> None:
    points = [run_figures.Share(**row) for row in efficiency_rows("r") if row["share"] == 1.0]
    frame = run_charts.efficiency_frame(points, "en").set_index("arm")
    corrected = frame.loc["Corrected captions"]
    assert corrected["value"] == pytest.approx(32.5) and corrected["seeds"] == 2
    assert (corrected["low"], corrected["high"]) == pytest.approx((32, 33))


def test_gaps_of_too_few_items_decide_nothing() -> None:
    row = slice_gap("r", -0.1, low=-0.3, high=-0.1)
    assert run_figures.Gap(**row).verdict == "worse"
    assert run_figures.Gap(**{**row, "is_enough": False}).verdict == "undecided"


def test_what_changed_most_by_hand() -> None:
    assert gain_of("retrieval", 5, 1) == pytest.approx(0.8) and gain_of("depth", 2, 1) == 1
    assert gain_of("segmentation", 0.5, 0.75) == 0.25
    made = [
        Example("retrieval", f"i{n}", f"m{n}", "c", 1, 1, None, gain)
        for n, gain in enumerate((0.1, 0, -0.3, 0.5))
    ]
    found = most_changed(made, "original", most=1)
    assert [one.item for one in found.better] == ["i3"] and [one.item for one in found.worse] == ["i2"]
    assert found.compared == 4


def ranks(values: list[float], items: list[str]) -> Measured:
    import numpy as np

    return Measured("retrieval", "median_rank_text_to_image", "rank", False, "median", items, items,
                    np.array(values)[:, None])  # fmt: skip


def test_examples_are_read_from_the_run_and_private_photos_are_left_out(worked: Site) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    with worked.connect() as db:
        old = db.rows(
            "SELECT pair_id, image_id, caption FROM pairs WHERE origin = 'legacy' ORDER BY image_id"
        )[:3]
    items = [
        {"item_id": f"{row['pair_id']}-ja", "image_id": row["image_id"], "caption": row["caption"]}
        for row in old
    ]
    folder = worked.folder("snapshots") / "snap-run-1"
    folder.mkdir()
    parquet.write_table(pa.Table.from_pylist(items), folder / "items.parquet")
    names = [item["item_id"] for item in items]
    measured = {("original", 0): [ranks([4, 1, 2], names)], ("original", 1): [ranks([4, 1, 2], names)],
                ("corrected", 0): [ranks([1, 2, 2], names)], ("corrected", 1): [ranks([1, 2, 2], names)],
                ("base", 0): [ranks([9, 9, 9], names)]}  # fmt: skip
    runs.write_results(runs.folder(worked, "run-1") / "results.parquet", measured)
    found = examples(worked, "run-1", "retrieval")
    assert found and found.versus == "original" and found.compared == 3
    (better,), (worse,) = found.better, found.worse
    assert (better.before, better.after, better.base, better.caption) == (4, 1, 9, old[0]["caption"])
    assert (worse.item, worse.gain) == (names[1], -0.5)
    assert examples(worked, "run-1", "segmentation") is None
    with worked.connect() as db:
        from tests.dashboards.conftest import add_correction

        add_correction(db, old[0]["pair_id"], "private")
    again = examples(worked, "run-1", "retrieval")
    assert again and again.better == [] and again.compared == 2


def test_regions_and_depth_by_hand(tmp_path: Path) -> None:
    """A confusion of 3, 1 / 0, 4 is 0.775 (training/measures.py); 8 squared metres over 2 pixels is 2 m."""
    import numpy as np

    path = tmp_path / "results.parquet"
    items = ["m1", "m2"]
    nothing = [0.0] * 4
    regions = Measured(
        "segmentation",
        "miou",
        "fraction",
        True,
        "mean_iou",
        items,
        items,
        np.array([[3.0, 1, 0, 4], nothing]),
    )
    depth = Measured(
        "depth", "rmse", "m", False, "root_mean_square", items, items, np.array([[8.0, 2], [0, 0]])
    )
    runs.write_results(path, {("corrected", 0): [regions, depth]})
    assert run_examples.read_values(path, "segmentation") == {"corrected": {"m1": pytest.approx(0.775)}}
    assert run_examples.read_values(path, "depth") == {"corrected": {"m1": 2.0}}


def test_a_running_retraining_shows_its_progress_and_is_cancelled(
    worked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.dashboards.test_pages import job

    with worked.connect() as db:
        db.insert(
            "jobs", [job("retrain", "running", done=10, total=40, message="corrected, seed 1, loss 2.31")]
        )
    at = show("runs", worked, "ja", monkeypatch)
    assert "10 / 40" in texts(at) or "40 件中 10" in texts(at) or "損失 2.31" in texts(at)
    at.button(key="cancel-retrain-running").click()
    rerun(at)
    with worked.connect() as db:
        assert db.value("SELECT cancel_requested FROM jobs") is True


def test_older_models_can_be_taken_up_again(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with worked.connect() as db:
        add_model(db, "model-0", "run-1", "retired")
        add_effect(db, "run-1", MAIN, 0.05, 0.01, 0.09, versus="reworded")
    at = show("runs", worked, "en", monkeypatch)
    assert [b.key for b in at.button if b.key and b.key.startswith("promote-")] == [
        "promote-model-1",
        "promote-model-0",
    ]
