"""The page Retrainings: every part in both languages, what the gate says, and only claims that are proven."""

from __future__ import annotations

from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from annotate.pages.elements import Opened
from dashboards import effects, run_charts, run_figures, run_words, words
from dashboards.effects import Effect
from dashboards.pages import run_parts
from data.messages import translator
from data.settings import set_value
from data.site import Site
from data.store import now
from tests.dashboards.conftest import add_model
from tests.dashboards.test_pages import LANGUAGES, NASTY, rerun, show, texts
from tests.training.gates import slice_gap
from training.arm_runs import lock
from training.checklist import gaps_to_look_at, question_names, questions, sign
from training.edge_check import Comparison, Speed
from training.label_efficiency import Equivalent

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
             "seeds": 3, "is_primary": True, **more}  # fmt: skip
    return Effect(**given)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_file_of_the_effects_holds_numbers(language: str) -> None:
    """Where the page says "+7.1 points (+2.3 to +12.2)"."""
    _ = translator(language)
    opened = Opened(None, language, translator(language), "田中")  # type: ignore[arg-type]
    share = an_effect(0.02, 0.12, p_value=0.004, detectable=0.0)
    metres = an_effect(-0.0002, 0.0001, task="depth", metric="rmse", unit="m", higher_is_better=False)
    rows = run_parts.effects_numbers([share, metres], opened)
    assert isinstance(rows, pandas.DataFrame)
    numbers = [
        _("Change"),
        _("from"),
        _("to"),
        "p",
        _("Could be shown"),
        _("Stated before"),
        _("Test items"),
        _("Seeds"),
    ]
    assert all(
        pandas.api.types.is_numeric_dtype(rows[name].dtype) or rows[name].isna().all() for name in numbers
    )
    assert rows.loc[0, [_("Change"), _("from"), _("to"), "p"]].tolist() == [7.0, 2.0, 12.0, 0.004]
    assert rows.loc[1, [_("Change"), _("from"), _("to")]].tolist() == [-0.00005, -0.0002, 0.0001]
    assert rows[_("Unit")].tolist() == [_("points"), "m"]
    assert rows[_("Stated before")].isna().all(), "0 was stated where nothing could be told"
    assert rows.loc[0, _("Could be shown")] == pytest.approx(7.146, abs=0.01)


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
    stated = an_effect(0.1, 0.2, detectable=0.031)  # its own interval says 2.8 * 0.1 / 3.92
    assert run_words.could_detect(stated, "en") == "7.1 points"
    assert run_words.stated_before(stated, "en") == "3.1 points"
    assert run_words.could_detect(an_effect(0.1, 0.2, seeds=1), "en") == "—"
    assert run_words.stated_before(an_effect(0.1, 0.2), "ja") == "—"
    assert run_words.verdict_name("undecided", "ja") == "効果は未確認"


def test_label_equivalents_in_words() -> None:
    found = Equivalent(**equivalent())
    assert run_words.equivalent(found, "en", 20) == "112 labels (95 % interval 90 to 150)"
    assert run_words.equivalent_sentence(found, "ja", 20).startswith(
        "修正後のキャプションでの 80 ラベルに相当するラベル数：112"
    )
    open_end = Equivalent(**equivalent(high=None))
    assert run_words.equivalent(open_end, "en", 20) == "112 labels (95 % interval 90 to not reached)"


def test_the_fewest_labels_stand_for_so_many_or_fewer() -> None:
    least = {"labels": 52, "equivalent": 52.0, "low": 52.0}
    assert run_words.equivalent(Equivalent(**equivalent(**least, high=61.0)), "en", 52) == (
        "52 labels or fewer (95 % interval 52 or fewer to 61)"
    )
    assert run_words.equivalent(Equivalent(**equivalent(**least, high=52.0)), "ja", 52) == (
        "52 ラベル以下（95%信頼区間も同じ）"
    )
    above = Equivalent(**equivalent(equivalent=60.0, low=52.0, high=None))
    assert run_words.equivalent(above, "ja", 52) == "60 ラベル（95%信頼区間 52 以下〜到達せず）"
    beyond = Equivalent(**equivalent(labels=104, equivalent=None, low=52.0, high=None, is_reached=False))
    assert (
        run_words.equivalent(beyond, "en", 52)
        == "not reached with all labels (95 % interval from 52 or fewer)"
    )


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


def test_a_killed_run_is_told_as_interrupted(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with worked.connect() as db:
        db.execute("UPDATE runs SET state = 'running', finished_at = NULL")
    assert "interrupted" in texts(show("runs", worked, "en", monkeypatch))
    with lock(worked):  # somebody is at work
        assert {run.state for run in effects.runs(worked)} == {"running"}


def test_older_models_can_be_taken_up_again(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with worked.connect() as db:
        add_model(db, "model-0", "run-1", "retired")
    at = show("runs", worked, "en", monkeypatch)
    assert [b.key for b in at.button if b.key and b.key.startswith("promote-")] == [
        "promote-model-1",
        "promote-model-0",
    ]


def pressed(at: AppTest, label: str) -> AppTest:
    (button,) = [one for one in at.button if one.label == label]
    button.click()
    return rerun(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_model_in_use_is_exported_once_a_lead_has_signed(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused with the reason, queued with what was chosen, shown with what it was measured at and where it lies."""
    _ = translator(language)
    with worked.connect() as db:
        db.execute("UPDATE models SET state = 'champion'")
    set_value(worked.settings_path, "review", "leads", ["佐藤"])
    at = pressed(show("runs", worked, language, monkeypatch), _("Export the model in use"))  # as 田中
    assert _("Only a lead exports: {names}").format(names="佐藤") in texts(at)
    set_value(worked.settings_path, "review", "leads", ["田中"])
    at = pressed(show("runs", worked, language, monkeypatch), _("Export the model in use"))
    assert _("Every export needs a checklist that a lead has signed for it; none is signed.") in texts(at)
    with worked.connect() as db:
        assert db.rows("SELECT name FROM jobs") == []
    answers = {name: {"answer": "yes", "note": "looked at"} for name in question_names()}
    sign(worked, "model-1", "export", answers, "田中")
    at = show("runs", worked, language, monkeypatch)
    (precision,) = [one for one in at.selectbox if one.label == _("Precision")]
    precision.select("int8")
    pressed(at, _("Export the model in use"))
    with worked.connect() as db:
        (job,) = db.rows("SELECT name, arguments, requested_by FROM jobs")
        db.execute("UPDATE jobs SET state = 'failed', error = ?, finished_at = ?", [NASTY, now()])
    assert job == {"name": "export-model", "requested_by": "田中",
                   "arguments": {"model": "model-1", "format": "onnx", "precision": "int8", "by": "田中"}}  # fmt: skip
    assert NASTY in texts(show("runs", worked, language, monkeypatch))
    speed = Speed(4.0, 3.0, 2.0)
    told = Comparison(236, 300, 0.9931, 0.98, 0.999, 0.99, 0.9647, 0.71, 0.705, 230, speed, Speed(1.5, 1.25, 1.0), 1,
                      13.9, 2.6, 1.2)  # fmt: skip
    with worked.connect() as db:
        db.insert("edge_exports", [{
            "export_id": "e1", "model_id": "model-1", "format": "onnx", "precision": "int8", "path": f"/x/{NASTY}",
            "report": {"report": told.fields(), "checklist": "c"}, "exported_by": NASTY,
            "exported_at": now()}])  # fmt: skip
    at = show("runs", worked, language, monkeypatch)
    (table,) = [one.value.set_index("") for one in at.dataframe if "int8" in one.value]
    assert table.loc[_("Cosine to torch, photos: mean"), "int8"] == "0.9931"
    assert tuple(table.loc[_("Accuracy of the items")]) == ("71.0 %", "70.5 %")
    assert tuple(table.loc[_("Milliseconds for a photo")]) == ("4.0", "1.5")
    assert tuple(table.loc[_("Size of both towers, MB")]) == ("13.9", "3.8")
    used = pressed(at, _("Export the model in use"))
    assert _(
        "Every export needs a checklist of its own; the last one was used for an earlier export."
    ) in texts(used)
    assert f"/x/{NASTY}" in [one.value for one in at.code] and _("The last export failed") not in texts(at)


def test_few_authors_are_nowhere_compared_by_name_unless_the_site_allows_it(
    worked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a run's slices, in the gate's sentence, and in what a lead looks at before signing: of the model alone."""
    of_model = {"arm": "candidate", "value": 0.3, "rest": 0.6, "low": -0.4, "high": -0.2}
    fell = {**of_model, "change_low": -0.3, "change_high": -0.1}
    with worked.connect() as db:
        db.insert("slice_gaps", [
            slice_gap("run-1", -0.2, slice="author", part="nguyen", gap=-0.3, **fell),
            slice_gap("run-1", -0.2, slice="author", part="ito", gap=-0.2, **fell),
            slice_gap("run-1", -0.2, slice="language", part="ja", gap=-0.1, **fell),
            slice_gap("run-1", -0.2, slice="language", part="en", gap=-0.9, **{**fell, "arm": "original"}),
        ])  # fmt: skip

    def seen(site: Site) -> tuple[set[str], list[str], str]:
        parts = {gap.part for group in run_figures.gaps(site, "run-1").values() for gap in group}
        with site.connect() as db:
            asked = [row["part"] for row in gaps_to_look_at(site, db, "model-1")[0]]
        at = show("runs", site, "en", monkeypatch)
        at.button(key="promote-model-1").click()
        return parts, asked, texts(rerun(at))

    parts, asked, page = seen(worked)
    assert parts == {"ja", "en"} and asked == ["ja"]
    assert "author = not shown by name: " in page and "language = Japanese: " in page
    assert "nguyen" not in page and "ito" not in page
    set_value(worked.settings_path, "review", "show_names", True)
    parts, asked, page = seen(Site.open(worked.root))
    assert parts == {"ja", "en", "nguyen", "ito"} and asked == ["nguyen", "ito", "ja"]
    assert "author = nguyen: " in page
