"""What a review costs in seconds, from the site's own history."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate.seconds import LATEST, PRIOR, PRIOR_ANSWERS, Seconds, seconds_model, shrunk
from data.store import now
from tests.annotate.piles import judge, pair_name, pile


def test_a_new_site_goes_by_the_prior(tmp_path: Path) -> None:
    assert seconds_model(pile(tmp_path, 3)) == Seconds(PRIOR["fix"], PRIOR["ok"], 0, 0)


def test_the_median_takes_over_as_answers_come_in(tmp_path: Path) -> None:
    site = pile(tmp_path, 60, demo=False)
    for number, seconds in enumerate([60.0] * PRIOR_ANSWERS + [9000.0]):  # the last left the form open
        judge(site, [pair_name(number)], "fix", seconds=seconds)
    judge(site, [pair_name(40)], "ok", seconds=0.0)  # not measured
    judge(site, [pair_name(41)], "not_sure", seconds=500.0)
    judge(site, [pair_name(42)], "fix", seconds=1.0, state="withdrawn")
    found = seconds_model(site)
    assert (found.fixes, found.oks, found.ok) == (PRIOR_ANSWERS + 1, 0, PRIOR["ok"])
    assert found.fix == pytest.approx(shrunk(PRIOR["fix"], 60.0, PRIOR_ANSWERS + 1))
    assert 42 < found.fix < 44, "the form that stood open changes nothing"


def test_shrinking_is_a_mean_of_logarithms() -> None:
    assert shrunk(30.0, 60.0, PRIOR_ANSWERS) == pytest.approx((30 * 60) ** 0.5)
    assert shrunk(30.0, 60.0, 0) == pytest.approx(30.0) and shrunk(30.0, 60.0, 10**6) == pytest.approx(
        60.0, 1e-3
    )


def test_a_real_site_counts_real_people_alone(tmp_path: Path) -> None:
    site = pile(tmp_path, 40, demo=False)
    judge(site, [pair_name(n) for n in range(30)], "fix", seconds=3.0, simulated=True)
    assert seconds_model(site) == Seconds(PRIOR["fix"], PRIOR["ok"], 0, 0)


def test_on_a_demo_site_the_simulated_crew_stands_for_people(tmp_path: Path) -> None:
    site = pile(tmp_path, 40)
    judge(site, [pair_name(n) for n in range(30)], "fix", seconds=3.0, simulated=True)
    assert seconds_model(site).fixes == 30 and seconds_model(site).fix < 10


def test_only_the_latest_answers_count(tmp_path: Path) -> None:
    site = pile(tmp_path, LATEST + 100)
    names = [pair_name(n) for n in range(LATEST + 100)]
    judge(site, names[:100], "ok", seconds=500.0)
    judge(site, names[100:], "ok", seconds=5.0, at=now())
    assert seconds_model(site).oks == LATEST
    assert seconds_model(site).ok == pytest.approx(shrunk(PRIOR["ok"], 5.0, LATEST))


def test_the_gain_of_a_second_grows_with_the_risk() -> None:
    for model in (Seconds(30, 10, 0, 0), Seconds(10, 30, 0, 0)):
        gains = [model.gain_per_second(risk / 10) for risk in range(11)]
        assert gains == sorted(gains) and gains[0] == 0 and gains[10] == pytest.approx(1 / model.fix)
    assert Seconds(30, 10, 0, 0).expected(0.25) == 15
