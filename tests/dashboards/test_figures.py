"""Every figure against a small store whose numbers a person can add up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from annotate import audit
from annotate.strata import Stratum
from dashboards import effects, figures
from dashboards.figures import Counted, Missing
from dashboards.standing import standing
from data.errors import GenbaError
from data.site import Site
from tests.dashboards.conftest import (
    START,
    add_correction,
    add_effect,
    add_image,
    add_metric,
    add_model,
    add_pair,
    add_run,
)


def test_work_counts_verdicts_in_force_people_and_simulated_apart(worked: Site) -> None:
    found = figures.work(worked)
    assert found.fixed == Counted(3, 2)
    assert found.confirmed == Counted(1, 0)
    assert found.other == Counted(1, 0)


def test_hours_count_replaced_answers_too(worked: Site) -> None:
    # people: 3 x 36 s fixed, 18 s confirmed, 18 s set aside, 36 s replaced later = 180 s; crew: 2 x 36 s
    found = figures.work(worked)
    assert found.hours.people == pytest.approx(180 / 3600)
    assert found.hours.simulated == pytest.approx(72 / 3600)
    assert found.seconds_each(simulated=False) == pytest.approx(180 / 5)
    assert found.seconds_each(simulated=True) == pytest.approx(36)


def test_a_caption_that_two_people_fixed_is_one_caption(worked: Site) -> None:
    with worked.connect() as db:
        pair = db.value(
            "SELECT old_pair_id FROM corrections WHERE state = 'active' AND verdict = 'fix' AND NOT simulated"
        )
        add_correction(db, pair, "fix", at=START + timedelta(days=5))
    assert figures.work(worked).fixed.people == 3
    assert sum(day.people for day in figures.fixed_by_day(worked, UTC).values()) == 3


def test_an_empty_site_has_no_work_and_no_seconds_each(site: Site) -> None:
    found = figures.work(site)
    assert found.fixed.total == 0 and found.hours.total == 0
    assert found.seconds_each(simulated=False) is None
    assert figures.fixed_by_day(site) == {}


def test_fixed_by_day(worked: Site) -> None:
    # fixed at START + n // 2 days for n = 0..4, the crew's are n = 3, 4
    assert figures.fixed_by_day(worked, UTC) == {
        date(2026, 11, 16): Counted(2, 0),
        date(2026, 11, 17): Counted(1, 1),
        date(2026, 11, 18): Counted(0, 1),
    }


@pytest.mark.parametrize("zone, day", [("Asia/Tokyo", 17), ("UTC", 16), ("America/New_York", 16)])
def test_a_day_is_a_local_day(site: Site, zone: str, day: int) -> None:
    with site.connect() as db:
        pair = add_pair(db, add_image(db, 1), "部品")
        add_correction(db, pair, "fix", at=datetime(2026, 11, 16, 15, 5))  # 00:05 the next day in Japan
    assert list(figures.fixed_by_day(site, ZoneInfo(zone))) == [date(2026, 11, day)]


def test_cost_is_hours_times_wage_plus_compute(worked: Site) -> None:
    with worked.connect() as db:
        row = {"run_id": "typed", "kind": "retrain", "state": "done", "base_encoder": "demo", "config": {},
               "created_at": START, "seconds": 1800.0}  # fmt: skip
        db.execute("DELETE FROM runs")
        db.insert("runs", [row])  # at a terminal: no job knows of it
        for name, minutes in (("retrain", 30), ("score", 15), ("demo-crew", 600)):
            db.insert("jobs", [{"job_id": name, "name": name, "arguments": {}, "state": "done", "requested_by": "",
                                "done": 0, "message": "", "attempts": 1, "cancel_requested": False, "queued_at": START,
                                "started_at": START, "finished_at": START + timedelta(minutes=minutes)}])  # fmt: skip
    found = figures.cost(worked)
    assert found.people_jpy == pytest.approx(180 / 3600 * 2500)  # 125 yen
    assert found.compute_hours == pytest.approx(0.75)
    assert found.compute_jpy == pytest.approx(75)
    assert found.total_jpy == pytest.approx(200)
    assert found.simulated_jpy == pytest.approx(72 / 3600 * 2500)  # apart, not in the total


def test_rates_are_defaults_until_somebody_confirms_them(worked: Site) -> None:
    assert figures.cost(worked).wage_is_default and figures.cost(worked).compute_is_default
    figures.confirm_rates(worked, 2500.0, 100.0, "田中")
    again = figures.cost(Site.open(worked.root))
    assert not again.wage_is_default and not again.compute_is_default
    with worked.connect() as db:
        assert db.one("SELECT actor FROM events WHERE what = 'cost.confirmed'") == {"actor": "田中"}


def test_a_rate_that_somebody_wrote_into_the_settings_is_no_default(worked: Site) -> None:
    figures.confirm_rates(worked, 3200.0, 100.0, "田中")
    assert figures.cost(Site.open(worked.root)).wage_jpy_per_hour == 3200.0


def test_a_negative_rate_is_refused_and_nothing_is_written(worked: Site) -> None:
    before = worked.settings_path.read_text()
    with pytest.raises(GenbaError, match="wage_jpy_per_hour"):
        figures.confirm_rates(worked, -1.0, 100.0, "田中")
    assert worked.settings_path.read_text() == before


def draw(
    site: Site, judged: dict[str, int], waiting: int = 0, stratum: str = "test", simulated: bool = False
) -> None:
    """Draw pairs for the audit and judge some: judged = {"fix": 2, "ok": 8}."""
    with site.connect() as db:
        number = db.value("SELECT count(*) FROM images") + 1000
        for verdict in [v for v, n in judged.items() for _ in range(n)] + [""] * waiting:
            pair = add_pair(db, add_image(db, number, "test"), f"監査 {number}")
            db.insert("audits", [{"pair_id": pair, "draw": "d", "stratum": stratum, "inclusion_probability": 0.5,
                                  "drawn_at": START + timedelta(days=10)}])  # fmt: skip
            if verdict:
                add_correction(db, pair, verdict, at=START + timedelta(days=11), simulated=simulated)
            number += 1


def test_without_an_audit_there_is_no_number(worked: Site) -> None:
    assert figures.remaining(worked) == Missing("a blind audit", "genba audit SITE draw 100")


def test_with_draws_that_nobody_judged_there_is_no_number(worked: Site) -> None:
    draw(worked, {}, waiting=3)
    found = figures.remaining(worked)
    assert isinstance(found, Missing) and "verdicts" in found.needs


def test_an_audit_in_strata_counts_each_stratum_by_its_pile(worked: Site) -> None:
    draw(worked, {"fix": 1, "ok": 3}, stratum=Stratum(30, 8, (0.0, 0.5)).text)
    draw(worked, {"fix": 3, "ok": 1}, waiting=2, stratum=Stratum(10, 6, (0.5, 1.0)).text)
    found = figures.remaining(worked)
    assert isinstance(found, figures.Remaining) and (found.estimate.bad, found.estimate.judged) == (4, 8)
    # three quarters of the pile hold 1 in 4, one quarter 3 in 4: 3/8 of the 15 that were there, less the 4 found
    assert found.estimate.bad_left == pytest.approx(3 / 8 * (4 + 4 + 7) - 4)


def test_remaining_is_the_audits_rate_times_what_nobody_judged(worked: Site) -> None:
    draw(worked, {"fix": 2, "ok": 8, "not_sure": 1}, waiting=4)
    found = figures.remaining(worked)
    assert isinstance(found, figures.Remaining)
    assert (found.estimate.bad, found.estimate.judged) == (2, 10)
    assert found.estimate.rate == pytest.approx(0.2) and found.estimate == audit.estimate(worked)
    assert found.waiting == 4 and found.simulated_judged == 0
    unjudged = 12 - 7 + 4  # the fixture's captions without an active verdict, and the draws that wait
    assert found.estimate.bad_left == pytest.approx(0.2 * unjudged)


def test_corrections_from_the_queue_never_enter_the_audit(worked: Site) -> None:
    draw(worked, {"ok": 5})
    found = figures.remaining(worked)
    assert isinstance(found, figures.Remaining) and (found.estimate.bad, found.estimate.judged) == (0, 5)


def test_simulated_audit_verdicts_are_named(worked: Site) -> None:
    draw(worked, {"ok": 2}, simulated=True)
    found = figures.remaining(worked)
    assert isinstance(found, figures.Remaining) and found.simulated_judged == 2


def test_the_query_shown_beside_the_audit_gives_the_number_shown(worked: Site) -> None:
    draw(worked, {"fix": 2, "ok": 8, "not_sure": 1})
    estimate = audit.estimate(worked)
    assert estimate
    with worked.connect() as db:
        assert db.rows(figures.VERDICTS_SQL) == [{"judged": estimate.judged, "bad": estimate.bad}]


def test_risk_distribution_counts_all_and_judged(worked: Site) -> None:
    rows = figures.risk_distribution(worked)
    assert int(rows["pairs"].sum()) == 12  # the corrections' own captions are no part of the queue
    assert int(rows["judged"].sum()) == 7


def test_pairs_by_kind(worked: Site) -> None:
    rows = {(r.state, r.language, r.origin): r.pairs for r in figures.pairs_by_kind(worked).itertuples()}
    assert rows == {("captioned", "ja", "legacy"): 12, ("captioned", "ja", "correction"): 5,
                    ("captioned", "en", "correction"): 5}  # fmt: skip


def test_standing(worked: Site) -> None:
    at = standing(worked)
    assert (at.pairs, at.judged, at.waiting, at.drawn) == (12, 7, 5, 0)
    assert at.scored == 22
    assert at.since_last_run == 0 and at.last_run == "run-1" and at.candidate == "model-1"
    with worked.connect() as db:
        waiting = db.value("SELECT pair_id FROM pairs WHERE caption = '部品 9'")
        add_correction(db, waiting, "fix", at=START + timedelta(days=4))
    assert standing(worked).since_last_run == 1


def test_standing_of_a_site_without_a_run_counts_every_correction(site: Site) -> None:
    with site.connect() as db:
        add_correction(db, add_pair(db, add_image(db, 1), "部品"), "fix")
        add_run(db, "failed", state="failed")
    at = standing(site)
    assert at.since_last_run == 1 and at.last_run is None and at.candidate is None


def test_the_gain_is_the_measure_chosen_beforehand_not_the_best(worked: Site) -> None:
    with worked.connect() as db:
        add_effect(db, "run-1", "recall_at_10_text_to_image", 0.5, 0.4, 0.6)
    found = effects.gain(worked)
    assert isinstance(found, effects.Effect)
    assert (found.metric, found.arm, found.versus) == ("recall_at_1_text_to_image", "corrected", "original")
    assert (found.value, found.low, found.high) == (0.098, 0.041, 0.152)


def test_the_gain_needs_a_finished_run_with_effects(site: Site) -> None:
    with site.connect() as db:
        add_run(db, "r", state="running")
        add_effect(db, "r", "recall_at_1_text_to_image", 0.1, 0.05, 0.15)
        add_run(db, "empty")
    assert isinstance(effects.gain(site), Missing)
    assert effects.last_run(site) is None


@pytest.mark.parametrize(
    "low, high, higher_is_better, verdict",
    [
        (0.1, 0.2, True, "better"),
        (-0.2, -0.1, True, "worse"),
        (-0.2, -0.1, False, "better"),
        (0.1, 0.2, False, "worse"),
        (-0.1, 0.2, True, "undecided"),
        (0.0, 0.2, True, "undecided"),  # touching zero is no proof
        (-0.2, 0.0, False, "undecided"),
    ],
)
def test_verdict(low: float, high: float, higher_is_better: bool, verdict: str) -> None:
    effect = effects.Effect(
        "r", "t", "m", "a", "b", (low + high) / 2, low, high, "m", higher_is_better, 10, 2
    )
    assert effect.verdict == verdict


def test_metrics_come_by_metric_with_the_control_arm_first(worked: Site) -> None:
    with worked.connect() as db:
        add_metric(db, "run-1", "base", 0, "recall_at_1_text_to_image", 0.3)
    groups = effects.metrics(worked, "run-1")
    assert [group[0].metric for group in groups[:2]] == [
        "recall_at_1_text_to_image",
        "recall_at_1_image_to_text",
    ]
    assert list(dict.fromkeys(m.arm for m in groups[0])) == ["original", "corrected", "base"]


def test_top_5_stands_before_top_10(site: Site) -> None:
    primary = site.settings.retrain.primary_metric
    names = ["recall_at_1_text_to_image", "recall_at_5_text_to_image", "recall_at_10_text_to_image"]
    assert sorted(reversed(names), key=lambda one: effects.metric_place("retrieval", one, primary)) == names
    chosen = ("retrieval", names[2])
    assert min(names, key=lambda one: effects.metric_place("retrieval", one, chosen)) == names[2]


def test_runs_tell_who_asked_and_which_arms(worked: Site) -> None:
    with worked.connect() as db:
        db.insert("jobs", [{"job_id": "j", "name": "retrain", "arguments": {}, "state": "done", "requested_by": "田中",
                            "done": 0, "message": "", "attempts": 1, "cancel_requested": False, "queued_at": START,
                            "result": {"run": "run-1"}}])  # fmt: skip
        add_run(db, "run-2", START + timedelta(days=4), state="running")
    newest, first = effects.runs(worked)
    assert newest.run_id == "run-2" and newest.arms == () and newest.requested_by is None
    assert (first.requested_by, first.arms, first.seeds) == ("田中", ("corrected", "original"), 2)
    with worked.connect() as db:
        db.execute("UPDATE runs SET config = ? WHERE run_id = 'run-2'", ['{"asked": {"seeds": 3}}'])
        job = db.rows("SELECT * FROM jobs WHERE job_id = 'j'")[0]
        db.insert("jobs", [job | {"job_id": "k", "state": "running", "requested_by": "鈴木", "result": None}])
    newest, first = effects.runs(worked)
    assert (newest.requested_by, newest.seeds) == ("鈴木", 3), "while it runs: who asked, and for how many"
    assert (first.requested_by, first.seeds) == ("田中", 2)


def test_models_champion_first(worked: Site) -> None:
    with worked.connect() as db:
        add_model(db, "model-0", "run-0", "champion")
    assert [model.state for model in effects.models(worked)] == ["champion", "candidate"]


def test_simulated_share_of_a_run(worked: Site) -> None:
    assert effects.simulated_share(worked, "run-1") == (2, 5)


def test_a_figure_never_names_another_site(worked: Site, make_site: Callable[..., Site]) -> None:
    """Two sites side by side keep their own numbers: no figure is remembered between calls."""
    assert figures.work(worked).fixed.people == 3
    with worked.connect() as db:
        db.execute("DELETE FROM corrections")
    assert figures.work(worked).fixed.people == 0
