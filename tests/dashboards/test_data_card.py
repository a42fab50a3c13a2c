"""What the data card says of errors: from the blind audit, wherever there is one."""

from __future__ import annotations

import pytest

from annotate.estimate import Estimate
from dashboards import data_card, figures
from dashboards.data_card import Rate, Tally
from data.site import Site
from tests.dashboards.conftest import START


def test_a_share_of_all_captions_as_they_came() -> None:
    # 372 found and about 144.5 left of 1,190: 43.4 %
    estimate = Estimate(
        236, 102, 0.219, 0.148, 0.294, 660, 144.5, 97.9, 193.9, 372, 1190, 516.5, 469.9, 565.9
    )
    found = data_card._before(figures.Remaining(estimate, 0, 0))
    assert found == Rate(516.5 / 1190, 469.9 / 1190, 565.9 / 1190, 102, 236)
    assert data_card._before(figures.Missing("a blind audit")) is None


def test_an_export_of_corrected_captions_alone_tells_of_the_audit_too(worked: Site) -> None:
    with worked.connect() as db:
        pairs = db.rows(
            "SELECT old_pair_id FROM corrections WHERE verdict IN ('fix', 'ok') AND state = 'active'"
        )
        db.insert("audits", [{
            "pair_id": row["old_pair_id"], "draw": "draw", "stratum": "test", "inclusion_probability": 0.5,
            "drawn_at": START, "kind": "drawn",
        } for row in pairs])  # fmt: skip
    remaining = figures.remaining(worked)
    assert isinstance(remaining, figures.Remaining)
    tally = Tally()
    tally.statuses["corrected"] = 3
    card = data_card.collect(worked, tally, "csv", False, {}, "")
    of_all, of_untouched = card.as_they_came_in_need, card.untouched_in_need
    assert of_all is not None and of_all.share == pytest.approx(remaining.estimate.rate_before)
    assert of_untouched is not None and of_untouched.share == pytest.approx(remaining.estimate.rate)
    for language, said, unsaid in (
        ("en", "before anybody corrected one: about", "Untouched captions:"),
        ("ja", "修正前のサイト全体のキャプション：約", "未判定のキャプション："),
    ):
        text = data_card.markdown(card, language)
        assert said in text and unsaid not in text and data_card.percent(of_all.share, language) in text
