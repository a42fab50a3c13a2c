"""What the ROI reads from a site: hours by role, the draws of the run, labels, assumptions, the panel of the paper."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import numpy as np
import pytest
import streamlit as st

from annotate.pages.elements import Opened
from dashboards import (
    assumptions,
    effects,
    figures,
    labour,
    paper,
    report,
    roi_charts,
    roi_evidence,
    roi_site,
    roi_words,
    trends,
)
from dashboards.assumptions import KEYS, Range, spread
from dashboards.figures import Missing, confirm_rates
from dashboards.pages import roi_parts
from dashboards.pages.roi_assumptions import followed, refused
from dashboards.roi import PRICE_NEEDED, Change, Span
from data.errors import GenbaError
from data.messages import translator
from data.site import Site
from tests.dashboards.conftest import START, add_effect, add_metric, add_run
from tests.dashboards.test_pages import LANGUAGES, metric, show, texts
from training import compare, runs
from training.label_efficiency import Equivalent
from training.measures import Measured

MAIN = ("retrieval", "recall_at_1_text_to_image")
NASTY = "<script>alert(1)</script> 慎重"


def recall(arm: str, seed: int) -> Measured:
    """60 captions of 30 photos; the corrected arm finds 30 of the first 40, the others 15."""
    share = {"corrected": 30, "original": 15, "reworded": 15}[arm]
    items = [f"i{n}" for n in range(60)]
    hits = np.array([(n * 7 + seed) % 40 < share and n < 40 for n in range(60)], dtype=float)
    statistics = np.stack([hits, np.ones(60)], axis=1)
    strata = ["ja" if n % 2 else "en" for n in range(60)]
    return Measured(
        *MAIN, "fraction", True, "ratio", items, [f"g{n // 2}" for n in range(60)], statistics, strata
    )


def finished_run(site: Site, arms: tuple[str, ...] = ("corrected", "original", "reworded")) -> str:
    """A run as training/runs.py completes it, with everything that the items contributed."""
    measured = {(arm, seed): [recall(arm, seed)] for arm in arms for seed in (0, 1)}
    pairs = [pair for pair in compare.contrasts(arms, "base") if "base" not in pair]
    run_id = runs.begin(site, "snapshot", "demo", {"seeds": 2}, "retrain")
    runs.complete(site, run_id, {"seeds": 2}, measured, compare.effects(measured, pairs))
    return run_id


def measured_change(found: roi_evidence.Found, kind: str) -> Change:
    change = found.evidence.changes[kind]
    assert isinstance(change, Change)
    return change


def test_results_come_back_as_they_were_measured(site: Site) -> None:
    run_id = finished_run(site)
    path = runs.folder(site, run_id) / "results.parquet"
    back = runs.read_results(path, *MAIN, ["corrected", "original"])
    assert set(back) == {"corrected", "original"} and len(back["corrected"]) == 2
    for seed, one in enumerate(back["corrected"]):
        then = recall("corrected", seed)
        assert (one.items, one.clusters, one.strata, one.summary) == (
            then.items,
            then.clusters,
            then.strata,
            then.summary,
        )
        assert (one.statistics == then.statistics).all()
    path.unlink()
    with pytest.raises(GenbaError, match="gone"):
        runs.read_results(path, *MAIN, ["corrected"])


def test_the_draws_are_those_of_the_run(site: Site) -> None:
    finished_run(site)
    found = roi_evidence.found(site, "people", "inspection")
    change = measured_change(found, "search")
    effect = effects.gain(site)
    assert isinstance(effect, effects.Effect)
    assert (change.span.value, change.span.low, change.span.high) == pytest.approx(
        (effect.value, effect.low, effect.high), abs=0.01
    )
    assert change.claim == "gain" and change.n == 60
    errors = found.evidence.changes["errors"]
    assert isinstance(errors, Missing) and "checked for defects" in errors.needs


def test_without_the_reworded_arm_nothing_is_claimed(site: Site) -> None:
    finished_run(site, ("corrected", "original"))
    assert measured_change(roi_evidence.found(site, "people", "inspection"), "search").claim == "none"


def test_results_of_an_older_form_are_no_evidence(worked: Site) -> None:
    found = roi_evidence.found(worked, "simulated", "inspection")
    search = found.evidence.changes["search"]
    assert isinstance(search, Missing) and "results of each test item" in search.needs


def test_simulated_work_stays_apart(worked: Site) -> None:
    people, simulated = (roi_evidence.found(worked, side, "inspection") for side in ("people", "simulated"))
    # People: 3 fixes and a replaced one of 36 s, 2 of 18 s; the crew: 2 fixes of 36 s.
    assert people.evidence.hours["staff"][0] == pytest.approx((4 * 36 + 2 * 18) / 3600)
    assert simulated.evidence.hours["staff"][0] == pytest.approx((6 * 36 + 2 * 18) / 3600)
    change = people.evidence.changes["search"]
    assert isinstance(change, Missing) and "people alone" in change.needs
    assert roi_site.default_side(worked) == "people"


def test_hours_by_role(site: Site, worked: Site) -> None:
    with worked.connect() as db:
        pair = db.value("SELECT old_pair_id FROM corrections WHERE verdict = 'ok'")
        db.insert("audits", [{"pair_id": pair, "draw": "d", "stratum": "", "inclusion_probability": 0.1,
                              "drawn_at": START - timedelta(days=1), "kind": "drawn"}])  # fmt: skip
        db.insert("reviews", [{"review_id": f"r{n}", "pair_id": pair, "correction_id": "c", "reason": "share",
                               "state": "answered", "active_seconds": 20.0, "drawn_at": START,
                               "answered_at": START if n else None} for n in range(2)])  # fmt: skip
        db.insert("adjudications", [{"adjudication_id": "a", "pair_id": pair, "kind": "differ", "second_id": "r1",
                                     "decision": "first", "result_id": "c", "why": "", "decided_by": "鈴木",
                                     "active_seconds": 40.0, "state": "active", "decided_at": START}])  # fmt: skip
        db.insert("lot_checks", [{"lot_id": "l", "draft_id": "d", "is_right": True, "checked_by": "鈴木",
                                  "active_seconds": 5.0, "checked_at": START}])  # fmt: skip
        db.execute(
            "UPDATE corrections SET source = 'lot' WHERE verdict = 'unusable'"
        )  # repeats the check's time
    hours = roi_evidence.found(worked, "people", "inspection").evidence.hours
    seconds = {role: float(drawn[0]) * 3600 for role, drawn in hours.items()}
    assert seconds == pytest.approx({"staff": 4 * 36, "audit": 18, "review": 20, "lead": 45})
    everywhere = 4 * 36 + 18 + 20 + 45
    assert figures.work(worked).hours.people * 3600 == pytest.approx(everywhere), (
        "the overview's and the report's"
    )
    weeks = trends.work_weeks(worked, {}, UTC, at=START + timedelta(days=2))
    assert sum(weeks.hours) * 3600 == pytest.approx(everywhere), "the overview's weeks"


def equivalent(versus: str, value: float | None, low: float | None, high: float | None) -> list[Equivalent]:
    common: Any = ("segmentation", "miou", "corrected", versus)
    return [
        Equivalent(*common, 0.125, 10, 10.0, 10.0, 12.0, True),
        Equivalent(*common, 0.5, 40, value, low, high, value is not None),
        Equivalent(*common, 1.0, 80, None, 80.0, None, False),
    ]


def test_labels_saved_at_half_of_all_labels() -> None:
    sure = [*equivalent("original", 60.0, 48.0, 72.0), *equivalent("reworded", 55.0, 44.0, 70.0)]
    change = roi_evidence.labels_saved(sure)
    assert isinstance(change, Change) and change.claim == "gain"
    assert (change.span.value, change.span.low, change.span.high) == pytest.approx((20, 8, 32), abs=1.0)
    beyond = roi_evidence.labels_saved(
        [*equivalent("original", None, 50.0, None), *equivalent("reworded", 45, 30, 60)]
    )
    assert isinstance(beyond, Change) and beyond.claim == "style"
    assert beyond.draws.max() == pytest.approx(40), (
        "what lies beyond all labels counts as all of them, never more"
    )
    unsure = roi_evidence.labels_saved(
        [*equivalent("original", 50.0, 30.0, 70.0), *equivalent("reworded", 55, 44, 70)]
    )
    assert isinstance(unsure, Change) and unsure.claim == "none"
    loss = roi_evidence.labels_saved(equivalent("original", 20.0, 12.0, 35.0))
    assert isinstance(loss, Change) and loss.claim == "loss" and loss.span.high < 0
    assert isinstance(roi_evidence.labels_saved([]), Missing)


def given() -> dict[str, Range]:
    return {key: spread(value, unit) for key, (value, unit) in KEYS.items()}


def test_sets_are_kept_with_author_and_date_and_never_changed(site: Site) -> None:
    standing = assumptions.in_use(site)
    assert standing.set_id == "" and all(standing.is_default(key) for key in KEYS)
    first = assumptions.save(site, NASTY, given(), ["wage_staff"], NASTY)
    ranges = given() | {"wage_staff": Range(3000, 2800, 3500)}
    assumptions.save(site, NASTY, ranges, ["wage_staff", "compute"], "田中", "slots", "二回目")
    newest, oldest = assumptions.sets(site)
    assert (oldest.set_id, oldest.name, oldest.author) == (first, NASTY, NASTY)
    assert oldest.values["wage_staff"] == 2500, "a name saved again leaves the first as it was"
    assert assumptions.in_use(site) == newest and newest.bounds["wage_staff"] == (2800, 3500)
    assert newest.confirmed == {"wage_staff", "compute"} and newest.error_task == "slots" and newest.saved_at
    with site.connect() as db:
        assert len(db.rows("SELECT 1 FROM events WHERE what = 'assumptions.saved'")) == 2


def test_rates_confirmed_on_the_overview_are_confirmed_here(site: Site) -> None:
    confirm_rates(site, 3100.0, 100.0, "田中")
    found = assumptions.in_use(Site.open(site.root))
    assert (
        found.values["wage_lead"] == 3100
        and not found.is_default("wage_lead")
        and not found.is_default("compute")
    )
    assert found.is_default("wage_search") and found.is_default("label")


def test_rates_of_a_set_are_those_of_the_overview_and_the_report(worked: Site) -> None:
    """One number, one confirmation: what somebody stands behind on the page ROI is no default elsewhere."""
    dearer = given() | {"wage_lead": Range(9000, 9000, 9000), "compute": Range(50, 50, 50)}
    assumptions.save(worked, "2026", dearer, ["wage_staff", "compute"], "田中")
    assert figures.rates(worked).wage_is_default, "three of the wages are nobody's yet"
    wages = [f"wage_{role}" for role in labour.ROLES]
    assumptions.save(worked, "2026", dearer, [*wages, "compute"], "田中")
    with worked.connect() as db:  # a lead has worked as long as the staff: the mean of the two wages
        spent = db.value("SELECT sum(active_seconds) FROM corrections WHERE NOT simulated")
        db.insert("adjudications", [{"adjudication_id": "a", "pair_id": "p", "kind": "review", "second_id": "r",
                                     "decision": "first", "result_id": "c", "why": "", "decided_by": "田中",
                                     "active_seconds": spent, "state": "decided", "decided_at": START}])  # fmt: skip
    cost = figures.cost(worked)
    assert not cost.wage_is_default and not cost.compute_is_default
    assert cost.wage_jpy_per_hour == pytest.approx((dearer["wage_staff"].value + 9000) / 2)
    found = roi_site.gather(worked, assumptions.in_use(worked)).result
    assert cost.people_jpy == pytest.approx(sum(found.cost_parts[role].value for role in labour.ROLES))
    for language in ("ja", "en"):
        _ = translator(language)
        told = report.compose(report.gather(worked), language)
        assert _("default rates") not in str(told) and _("a default that nobody has confirmed") not in str(
            told
        )


@pytest.mark.parametrize(
    "name, change, task, words",
    [
        (" ", {}, "slots", "needs a name"),
        ("x" * 81, {}, "slots", "needs a name"),
        ("x", {"label": Range(5, 6, 7)}, "slots", "does not lie in its range"),
        ("x", {"label": Range(-1, -1, 7)}, "slots", "a number from 0"),
        ("x", {"label": Range(float("nan"), 0, 7)}, "slots", "a number from 0"),
        ("x", {"wage_lead": Range(2e6, 1, 2e6)}, "slots", "wage_lead: 2,000,000 is .* from 0 to 1,000,000 "),
        ("x", {"items": Range(1, 1, 1e12)}, "slots", "items: 1,000,000,000,000 is .* to 100,000,000 "),
        ("x", {"horizon": Range(601, 1, 700)}, "slots", "horizon: 601 is .* to 600 "),
        ("x", {"horizon": Range(1, 0.5, 2)}, "slots", "less than one"),
        ("x", {"wgae": Range(1, 1, 1)}, "slots", "wgae"),
        ("x", {}, "guess", "No task 'guess'"),
    ],
)
def test_bad_assumptions_are_refused_in_words(
    site: Site, name: str, change: dict[str, Range], task: str, words: str
) -> None:
    with pytest.raises(GenbaError, match=words):
        assumptions.save(site, name, given() | change, [], "田中", task)
    assert assumptions.sets(site) == []


def test_the_papers_figures_beside_the_sites(site: Site) -> None:
    with site.connect() as db:
        run = add_run(db, "r")
        add_effect(db, run, "miou", 0.02, 0.01, 0.03, task="segmentation")
        add_effect(db, run, "rmse", -0.01, -0.03, 0.01, task="depth", unit="m", higher_is_better=False)
        for seed in (0, 1):
            add_metric(db, run, "original", seed, "miou", 0.39 + 0.02 * seed, task="segmentation")
            add_metric(db, run, "original", seed, "rmse", 0.5, task="depth", unit="m")
    miou, rmse, labels = paper.compared(site, run)
    assert isinstance(miou.site, Span) and isinstance(rmse.site, Span)
    assert (miou.paper, miou.site.value, miou.site.low, miou.site.high) == pytest.approx(
        (0.12, 0.05, 0.025, 0.075)
    )
    assert miou.is_proven and not rmse.is_proven and rmse.site.value == pytest.approx(-0.02)
    assert isinstance(labels.site, Missing) and not labels.is_proven
    assert all(isinstance(row.site, Missing) for row in paper.compared(site, None))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_of_an_empty_site_says_what_each_number_needs(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_data.clear()
    _ = translator(language)
    at = show("roi", site, language, monkeypatch)
    needs = _("Not yet measurable: needs {what}.")
    page = texts(at).replace("\\", "")
    assert needs.format(what=_("at least one benefit that is measured and priced")) in page
    assert needs.format(what=_("a finished retraining with a control arm")) in page
    assert _("It needs {what}.").format(what=_("100 answers to captions of the queue")) in page
    assert _("No cost yet") in page and metric(at, _("Net")) == metric(at, _("Paid back on")) == "—"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_what_the_store_holds(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_data.clear()
    with worked.connect() as db:
        db.execute("DELETE FROM corrections WHERE simulated")
    finished_run(worked)
    assumptions.save(worked, NASTY, given() | {"searches": spread(3000)}, ["searches"], NASTY)
    at = show("roi", worked, language, monkeypatch)
    _ = translator(language)
    money = roi_site.gather(worked, assumptions.in_use(worked))
    assert isinstance(money.result.net, Span)
    assert metric(at, _("Net")) == roi_words.amount(money.result.net.value, language)
    page = texts(at).replace("\\", "")
    assert roi_words.net_words(money.result, language) in page and NASTY in page
    assert metric(at, _("Break-even a month")) == roi_words.amount(money.result.break_even.value, language)


def test_a_range_that_is_left_follows_its_value() -> None:
    before = Range(100, 50, 150)
    assert followed(before, Range(1000, 50, 150), "yen") == Range(1000, 500, 1500)
    assert followed(before, Range(120, 50, 150), "yen") == Range(120, 60, 180)
    assert followed(before, Range(1000, 900, 150), "yen") == Range(1000, 900, 150), (
        "typed, so it is refused later"
    )
    assert followed(Range(12, 6, 18), Range(1, 6, 18), "months").low == 1
    assert followed(Range(12, 6, 18), Range(500, 6, 18), "months") == Range(500, 250, 600), (
        "no more than the limit"
    )
    assert spread(601, "months").high == 601, "refused for its value"


@pytest.mark.parametrize("language", ["ja", "en"])
def test_what_is_allowed_is_said_and_numbers_are_shown_as_they_were_saved(language: str) -> None:
    assert [roi_words.exact(value, language) for value in (1234567.0, 123456.78, 0.5, 100.0, 0.1 * 3)] == [
        "1,234,567", "123,456.78", "0.5", "100", "0.3"]  # fmt: skip
    assert refused("x", {"label": Range(1, 0, 2)}, language) == []
    assert len(refused(" ", {}, language)) == 1
    for wrong in (Range(-5, -5, 2), Range(1e20, 0, 1e21), Range(5, 6, 7), Range(5, 1, 2)):
        (told,) = refused("x", {"label": wrong}, language)
        assert roi_words.assumption_name("label", language) in told
        assert {"en": "0 to 1,000,000,000,", "ja": "0〜1,000,000,000 "}[language] in told
    (told,) = refused("x", {"horizon": Range(1, 0.5, 2)}, language)
    assert "0.5" in told


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_change_for_the_worse_is_not_called_better(language: str) -> None:
    change = Change("segmentation", "miou", np.array([-14.0, -238.0, 169.0]), "none", 9, 2)
    told = roi_words.change_words("labels", change, language)
    assert "better by" not in told and "改善 " not in told and "−14" in told


@pytest.mark.parametrize(
    "language, sign, worse, better",
    [
        ("en", "+2.7 points", "worse, but not proven", "that is better"),
        ("ja", "+2.7ポイント", "悪化の傾向", "改善"),
    ],
)
def test_a_change_of_the_miss_rate_has_the_sign_of_the_miss_rate(
    language: str, sign: str, worse: str, better: str
) -> None:
    """2.7 points more defects missed, -4.9 to +8.3: as Retrainings and the report say it."""
    draws = np.array([-0.027, -0.083, 0.049])  # above zero is better
    told = roi_words.change_words(
        "errors", Change("inspection", "miss_rate", draws, "none", 60, 3, False), language
    )
    assert sign in told and worse in told and told.index("−4.9") < told.index("+8.3") and "−2.7" not in told
    fell = roi_words.change_words(
        "errors", Change("inspection", "miss_rate", -draws.clip(max=-0.01), "gain", 60, 3, False), language
    )
    assert sign.replace("+", "−") in fell and better in fell
    rose = roi_words.change_words("search", Change(*MAIN, -draws.clip(max=-0.01), "gain", 60, 3), language)
    assert sign in rose and better in rose, "of a share of finds more is better"


def test_the_papers_file_holds_numbers() -> None:
    rows = [
        paper.Compared("miou", 0.12, Span(0.05, 0.025, 0.075), True, 60),
        paper.Compared("rmse", -0.115, Missing("photos with depth, measured by a retraining"), False, 0),
        paper.Compared("labels", 10.0, Span(1.5, 1.0, 2.0), True, 104),
    ]
    opened = Opened(None, "en", translator("en"), "田中")  # type: ignore[arg-type]
    found = roi_parts.paper_numbers(rows, opened).iloc[:, 1:].to_numpy().tolist()  # type: ignore[attr-defined]
    assert found[0] == ["%", 12.0, 5.0, 2.5, 7.5, 60] and found[2] == ["times", 10.0, 1.5, 1.0, 2.0, 104]
    assert found[1][:2] == ["%", -11.5] and np.isnan(found[1][2:]).all()


def test_the_papers_marker_has_room_at_the_edge() -> None:
    drawn = roi_charts.paper_chart([paper.Compared("miou", 0.12, Span(0.0, -0.01, 0.01), True, 60)], "en")
    assert drawn is not None
    scales = [layer["encoding"]["x"].get("scale", {}) for layer in drawn.to_dict()["layer"]]
    assert {"zero": True, "padding": roi_charts.EDGE} in scales


def test_every_need_is_said_in_japanese() -> None:
    japanese = translator("ja")
    needs = [*PRICE_NEEDED.values(), "photos with masks, measured by a retraining",
             "photos with depth, measured by a retraining"]  # fmt: skip
    assert [text for text in needs if japanese(text) == text] == []
