"""When to stop: what the next hundred are expected to find and to cost, and the advice in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from annotate import audit
from annotate.estimate import Estimate, estimate
from annotate.seconds import PRIOR
from annotate.stopping import TRUST, Ahead, next_hundred, sentences
from data.messages import translator
from data.site import Site
from data.store import now
from scoring import refit
from scoring.learned import RiskFit
from tests.annotate.piles import ENCODER, judge, pair_name, pile

MANY = Estimate(100, 30, 0.3, 0.2, 0.4, 5000, 1500.0, 1000.0, 2000.0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """300 pairs: the first 200 have a risk of 0.8, the rest 0.1, calibrated."""
    made = pile(tmp_path, 300, risk=lambda n: 0.8 if n < 200 else 0.1, demo=False)
    model = RiskFit("learned", 40, 20, 0.9, 0.8, {}, 0.0, 1.0, 0.0, []).as_json()
    with made.connect() as db:
        db.insert("risk_fits", [{"fit_id": "fit", "encoder": ENCODER, "fingerprint": "f", "kind": "learned",
                                 "labels": 40, "model": model, "curve": [], "fitted_at": now()}])  # fmt: skip
        db.set_state(refit.state_key(ENCODER), {"answers": "", "fitted": True})
    return made


@pytest.fixture
def uncalibrated(site: Site) -> Site:
    with site.connect() as db:
        db.execute("DELETE FROM risk_fits")
    return site


def test_a_risk_that_nobody_has_calibrated_promises_nothing(uncalibrated: Site) -> None:
    for left in (None, replace(MANY, judged=1, bad=0)):
        ahead = next_hundred(uncalibrated, left)
        assert (ahead.pairs, ahead.expected_bad, ahead.cost_jpy, ahead.advice) == (100, None, None, "audit")
        assert "30" in sentences(ahead, "en")[0] and "30" in sentences(ahead, "ja")[0]


def test_the_audit_calibrates_it_then(uncalibrated: Site) -> None:
    """Risks of 200 x 0.8 + 100 x 0.1 = 170 stand for the 85 that the audit leaves: half of each."""
    left = replace(MANY, unjudged=300, bad_left=85.0, bad_left_high=120.0)
    assert next_hundred(uncalibrated, left).expected_bad == pytest.approx(100 * 0.8 / 2)


def test_before_any_answer_a_calibrated_risk_is_taken_at_its_word(site: Site) -> None:
    ahead = next_hundred(site, MANY)
    assert (ahead.pairs, ahead.last_judged) == (100, 0) and ahead.expected_bad == pytest.approx(80)
    assert ahead.seconds == pytest.approx(80 * PRIOR["fix"] + 20 * PRIOR["ok"])
    assert ahead.cost_jpy == pytest.approx(ahead.seconds / 3600 * 2500)
    assert ahead.cost_each_jpy == pytest.approx(ahead.cost_jpy / 80) and ahead.advice == "weigh"


def test_what_the_last_hundred_found_corrects_the_risk(site: Site) -> None:
    judge(site, [pair_name(n) for n in range(40)], "fix", seconds=PRIOR["fix"])
    judge(site, [pair_name(n) for n in range(40, 100)], "ok", seconds=PRIOR["ok"])
    ahead = next_hundred(site, MANY)
    assert (ahead.last_judged, ahead.last_bad) == (100, 40) and ahead.last_risk == pytest.approx(80)
    assert ahead.expected_bad == pytest.approx(100 * 0.8 * (40 + TRUST) / (80 + TRUST))
    assert ahead.seconds == pytest.approx(
        ahead.expected_bad * PRIOR["fix"] + (100 - ahead.expected_bad) * PRIOR["ok"]
    )


def test_the_blind_audits_answers_do_not_correct_the_queues_risk(site: Site) -> None:
    audit.draw(site, 50, seed=1)
    with site.connect() as db:
        drawn = [row["pair_id"] for row in db.rows("SELECT pair_id FROM audits")]
    judge(site, drawn, "ok")
    assert next_hundred(site, MANY).last_judged == 0


def test_no_more_is_expected_than_the_audit_leaves(site: Site) -> None:
    few = replace(MANY, bad_left=3.0, bad_left_low=1.0, bad_left_high=7.0)
    assert next_hundred(site, few).expected_bad == pytest.approx(7.0)


def test_a_photo_without_a_caption_needs_one_for_sure(site: Site) -> None:
    with site.connect() as db:
        db.execute("UPDATE pairs SET state = 'missing', caption = '' WHERE pair_id < 'p00010'")
    nothing = replace(MANY, bad_left=0.0, bad_left_low=0.0, bad_left_high=0.0)
    assert next_hundred(site, nothing).expected_bad == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("left", "worth", "advice"),
    [(None, 50.0, "audit"), (MANY, None, "weigh"), (MANY, 100.0, "go_on"), (MANY, 5.0, "stop")],
)
def test_the_advice_weighs_a_find_against_what_a_bad_caption_costs(
    site: Site, left: Estimate | None, worth: float | None, advice: str
) -> None:
    ahead = next_hundred(site, left, worth)
    assert ahead.advice == advice and ahead.worth_jpy == worth


def test_where_nothing_is_expected_the_advice_is_to_stop(site: Site) -> None:
    nothing = replace(MANY, bad_left=0.0, bad_left_low=0.0, bad_left_high=0.0)
    ahead = next_hundred(site, nothing)
    assert (ahead.expected_bad, ahead.cost_each_jpy, ahead.advice) == (0.0, None, "stop")
    assert sentences(ahead, "en")[-1] == "Stop: no bad caption is expected among them."


def test_an_empty_queue_has_nothing_ahead(tmp_path: Path) -> None:
    site = pile(tmp_path, 2)
    judge(site, [pair_name(0), pair_name(1)])
    ahead = next_hundred(site, estimate(site))
    assert (ahead.pairs, ahead.advice, ahead.cost_jpy) == (0, "empty", 0.0)
    assert sentences(ahead, "en") == ["Nothing waits in the queue."]


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("advice", ["audit", "weigh", "go_on", "stop"])
def test_every_advice_has_words_with_its_numbers(language: str, advice: str) -> None:
    ahead = Ahead(100, 41.3, 1830.0, 1271.0, 31.0, 200.0, 100, 52, 70.0, advice)  # type: ignore[arg-type]
    first, second, third = sentences(ahead, language)
    assert "41" in first and "1,271" in first and "100" in first and "52" in second
    assert ("31" in third) is (advice != "audit") and ("200" in third) is (advice in ("go_on", "stop"))
    if language == "ja":
        assert third != translator("en")(third) or not third.isascii()
