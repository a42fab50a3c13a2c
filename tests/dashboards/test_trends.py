"""How the five numbers move: weeks added up by hand, audits and retrainings in order, what is drawn beside a number."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from dashboards import effects, figures, kept, trends
from dashboards.figures import Missing
from dashboards.sparklines import HEIGHT, bars, intervals
from dashboards.trends import Reading, by_day, in_weeks
from data.site import Site
from tests.dashboards.conftest import (
    START,
    add_correction,
    add_effect,
    add_image,
    add_model,
    add_pair,
    add_run,
)

MONDAY = date(2026, 11, 16)


def test_weeks_are_seven_days_that_end_today() -> None:
    days = {MONDAY: 5.0, MONDAY - timedelta(days=6): 2.0, MONDAY - timedelta(days=7): 1.0,
            MONDAY - timedelta(days=14): 9.0, MONDAY + timedelta(days=1): 100.0}  # fmt: skip
    assert in_weeks(days, MONDAY, weeks=2) == [1.0, 7.0]
    assert in_weeks({}, MONDAY) == [0.0] * trends.WEEKS


def test_hours_belong_to_the_local_day() -> None:
    rows = [{"quarter_hour": datetime(2026, 11, 15, hour), "hours": 1.0} for hour in (14, 15, 23)]
    japan = timezone(timedelta(hours=9))
    assert by_day(rows, japan) == {date(2026, 11, 15): 1.0, MONDAY: 2.0}
    assert by_day(rows, UTC) == {date(2026, 11, 15): 3.0}


def test_work_of_the_last_weeks(worked: Site) -> None:
    now = START + timedelta(days=7)  # people fixed two captions on day 0 and one on day 1
    with worked.connect() as db:
        add_correction(db, add_pair(db, add_image(db, 20), "部品"), "fix", at=now, seconds=72.0)
        for name, end, hours in (("score", now, 2), ("retrain", now, 3), ("demo-crew", now, 50),
                                 ("score", now - timedelta(days=7), 1)):  # fmt: skip
            db.insert("jobs", [{
                "job_id": f"{name} {hours}", "name": name, "arguments": {}, "state": "done", "requested_by": "x",
                "done": 0, "total": 0, "message": "", "attempts": 1, "cancel_requested": False, "queued_at": end,
                "started_at": end - timedelta(hours=hours), "finished_at": end,
            }])  # fmt: skip
        # The retraining's job lasted its run's three hours; the other run was started at a terminal and killed.
        for run, hours in (("of the job", 3), ("no job", 4)):
            add_run(db, run, at=now, state="failed")
            db.execute(
                "UPDATE runs SET seconds = ?, finished_at = ? WHERE run_id = ?", [hours * 3600, now, run]
            )
        db.execute("UPDATE runs SET seconds = 0 WHERE run_id = 'run-1'")
    weeks = trends.work_weeks(worked, figures.fixed_by_day(worked, UTC), UTC, at=now)
    assert not weeks.simulated and weeks.ends[-1] == now.date() and len(weeks.ends) == trends.WEEKS
    assert weeks.fixed[-2:] == [2.0, 2.0], "day 1 lies six days back, day 0 seven"
    first, last = weeks.hours[-2:]
    # 36 s each for two fixed captions and one that was replaced, 18 s each for an ok and an unusable one
    assert round(first * 3600) == 36 + 36 + 36 + 18 + 18 and round(last * 3600) == 36 + 72
    assert weeks.cost_jpy[-1] == pytest.approx(108 / 3600 * 2500 + (2 + 3 + 4) * 100)
    assert sum(weeks.cost_jpy) == pytest.approx(figures.cost(worked).total_jpy), "all lies in the weeks shown"
    assert weeks.fixed[0] == 0.0


def test_the_crews_weeks_stand_for_a_site_without_people(site: Site) -> None:
    with site.connect() as db:
        add_correction(db, add_pair(db, add_image(db, 1), "部品"), "fix", simulated=True, seconds=36.0)
    weeks = trends.work_weeks(site, figures.fixed_by_day(site, UTC), UTC, at=START)
    assert weeks.simulated and weeks.fixed[-1] == 1.0 and round(weeks.hours[-1], 4) == 0.01
    assert weeks.cost_jpy[-1] == 0.0, "simulated hours cost nothing"


def test_effects_of_the_runs_oldest_first_primary_metric_alone(worked: Site) -> None:
    with worked.connect() as db:
        later = add_run(db, "run-2", at=START + timedelta(days=9))
        task, metric = worked.settings.retrain.primary_metric
        add_effect(db, later, metric, 0.02, -0.01, 0.05, task=task)
        add_run(db, "failed", at=START + timedelta(days=10), state="failed")
        add_effect(db, "failed", metric, 0.9, 0.8, 1.0, task=task)
    found = trends.run_effects(worked)
    assert [(one.value, one.low, one.high) for one in found][-1] == (0.02, -0.01, 0.05)
    assert len(found) == 2 and found[0].at < found[1].at
    assert found[0].value == effects.main_effect(effects.effects(worked, "run-1")).value  # type: ignore[union-attr]


def test_the_gain_is_that_of_the_model_in_use(worked: Site) -> None:
    assert trends.champion_effect(worked) is None
    with worked.connect() as db:
        add_run(db, "run-2", at=START + timedelta(days=9))
        add_effect(db, "run-2", "recall_at_10_text_to_image", 0.02, -0.01, 0.05)  # not the primary one
        add_model(db, "model-2", "run-2", "champion")
    assert isinstance(trends.champion_effect(worked), Missing)
    with worked.connect() as db:
        db.execute(
            "UPDATE models SET state = CASE model_id WHEN 'model-1' THEN 'champion' ELSE 'retired' END"
        )
    assert trends.champion_effect(worked) == effects.main_effect(effects.effects(worked, "run-1"))


def test_audits_are_those_of_the_page_quality(worked: Site) -> None:
    with worked.connect() as db:
        pairs = db.rows(
            "SELECT old_pair_id, verdict FROM corrections WHERE verdict IN ('fix', 'ok') AND state = 'active'"
        )
        db.insert("audits", [{
            "pair_id": row["old_pair_id"], "draw": f"draw {place % 2}", "stratum": "test", "inclusion_probability": 0.5,
            "drawn_at": START + timedelta(days=place % 2), "kind": "drawn",
        } for place, row in enumerate(pairs)])  # fmt: skip
    found = trends.audited(worked)
    assert [(one.at, one.value) for one in found] == [(p.at, p.rate) for p in kept.error_over_time(worked)]
    assert len(found) == 2 and all(one.low <= one.value <= one.high for one in found)


def test_bars_are_as_tall_as_their_values() -> None:
    tall = [float(one) for one in re.findall(r'height="([\d.]+)" fill', bars([10, 20, 40]))]
    assert tall == [10.0, 20.0, 40.0] and HEIGHT == 46
    assert bars([]) == bars([0, 0]) == ""


def test_intervals_need_two_and_keep_zero_in_sight() -> None:
    one, other = (Reading(START, value, value - 0.1, value + 0.1) for value in (0.3, 0.5))
    assert intervals([one], zero=True) == ""
    assert intervals([one, Reading(START, 0.5, float("-inf"), float("inf"))], zero=True) == ""
    drawn = intervals([one, other], zero=True)
    assert drawn.count("<circle") == 2 and drawn.count("<line") == 3
    assert 'y1="43.0" y2="43.0"' in drawn, "no effect is the lowest line: 46 less the edge of 3"
    assert intervals([one, other], zero=False).count("<line") == 2
