"""How many bad captions are left and were there: numbers that can be added up by hand, and the interval's coverage."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from annotate import audit, coverage, intervals
from annotate.estimate import Cell, Draw, cells_of, combine, estimate
from annotate.intervals import Part
from annotate.strata import Stratum
from data.site import Site
from data.store import now
from tests.annotate.piles import add, audits, judge, pair_name, pile


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """200 pairs, half of them held out."""
    return pile(tmp_path, 200, risk=lambda n: n / 200, split=lambda n: "test" if n % 2 else "train")


def answer(site: Site, bad: int, n: int | None = None) -> list[str]:
    """Judge the first n drawn pairs (default: all), the first `bad` of them to be fixed."""
    drawn = [row["pair_id"] for row in audits(site)][:n]
    judge(site, drawn[:bad], "fix")
    judge(site, drawn[bad:], "ok")
    return drawn


def left_in(site: Site, number: int) -> float:
    """What the strata of the only draw say by hand: sum of pile * bad / judged."""
    rows = audits(site)
    bad = {row["pair_id"] for row in rows[:number]}
    total = 0.0
    for text in {row["stratum"] for row in rows}:
        members = [row["pair_id"] for row in rows if row["stratum"] == text]
        frame = members_of(text)
        total += frame.pile * len(bad & set(members)) / len(members)
    return total


def members_of(text: str) -> Stratum:
    from annotate.strata import parse

    found = parse(text)
    assert found is not None
    return found


def test_without_a_verdict_there_is_no_number(site: Site) -> None:
    assert estimate(site) is None
    audit.draw(site, 20, seed=1)
    assert estimate(site) is None
    judge(site, [audits(site)[0]["pair_id"]], "not_sure")
    assert estimate(site) is None
    judge(site, [pair_name(0)])
    assert estimate(site) is None, "the queue's own are no sample"


def test_a_fresh_audit_speaks_of_what_is_not_judged(site: Site) -> None:
    audit.draw(site, 40, seed=1)
    answer(site, bad=10)
    found = estimate(site)
    assert found is not None
    by_hand = left_in(site, 10)
    assert (found.judged, found.bad, found.drawn, found.mixed) == (40, 10, 40, 0)
    assert (found.unjudged, found.found, found.captions) == (160, 10, 200)
    assert found.before == pytest.approx(by_hand) and found.bad_left == pytest.approx(by_hand - 10)
    assert found.rate == pytest.approx(found.bad_left / 160) and found.rate_before == found.before / 200
    assert found.bad_left_low < found.bad_left < found.bad_left_high <= 160
    assert (found.before_low, found.before_high) == (found.bad_left_low + 10, found.bad_left_high + 10)
    assert (found.low, found.high) == (found.bad_left_low / 160, found.bad_left_high / 160)


def test_what_is_found_afterwards_is_left_no_more_and_was_there_before(site: Site) -> None:
    audit.draw(site, 40, seed=1)
    drawn = set(answer(site, bad=10))
    fresh = estimate(site)
    others = [pair_name(n) for n in range(200) if pair_name(n) not in drawn]
    judge(site, others[:6], "fix")
    judge(site, others[6:20], "ok")
    later = estimate(site)
    assert fresh and later
    assert later.bad_left == pytest.approx(fresh.bad_left - 6) and later.unjudged == fresh.unjudged - 20
    assert later.bad_left_high == pytest.approx(fresh.bad_left_high - 6)
    assert later.before == pytest.approx(fresh.before), "correcting changes nothing of what there was"
    assert later.found == fresh.found + 6


def test_what_was_found_before_the_draw_is_not_taken_off_again(site: Site) -> None:
    judge(site, [pair_name(n) for n in range(0, 60, 2)], "fix")
    audit.draw(site, 40, seed=1)
    answer(site, bad=4)
    found = estimate(site)
    assert found and found.bad_left == pytest.approx(left_in(site, 4) - 4)
    assert found.before == pytest.approx(found.bad_left + 30 + 4)


def test_an_edited_answer_left_the_pile_with_its_first_version(site: Site) -> None:
    judge(site, [pair_name(0)], "fix", state="superseded", at=now() - timedelta(minutes=1))
    audit.draw(site, 40, seed=1)
    answer(site, bad=4)
    before = estimate(site)
    judge(site, [pair_name(0)], "fix")  # its newer version, after the draw
    after = estimate(site)
    # the pair was judged all the time: it stands in no pile, before and after
    assert before and after and after.found == before.found + 1
    assert after.bad_left == pytest.approx(left_in(site, 4) * 199 / 200 - 4)


def test_answers_that_decide_nothing_leave_the_pile(site: Site) -> None:
    audit.draw(site, 40, seed=1)
    drawn = answer(site, bad=10)
    others = [pair_name(n) for n in range(200) if pair_name(n) not in drawn]
    judge(site, others[:10], "not_sure")
    found = estimate(site)
    assert found and (found.unjudged, found.captions) == (150, 190)
    assert found.bad_left == pytest.approx(left_in(site, 10) * 190 / 200 - 10)


def test_the_captions_of_an_unusable_photo_are_no_longer_counted(site: Site) -> None:
    audit.draw(site, 40, seed=1)
    drawn = answer(site, bad=10)
    other = next(pair_name(n) for n in range(200) if pair_name(n) not in drawn)
    with site.connect() as db:
        db.execute(
            "UPDATE pairs SET image_id = (SELECT image_id FROM pairs WHERE pair_id = ?) WHERE pair_id = ?",
            [other, next(pair_name(n) for n in range(199, 0, -1) if pair_name(n) not in (*drawn, other))],
        )
    judge(site, [other], "unusable")
    found = estimate(site)
    assert found and found.unjudged == 158


def test_captions_read_in_after_the_draw_are_taken_to_be_like_the_rest(site: Site) -> None:
    audit.draw(site, 40, seed=1)
    answer(site, bad=10)
    before = estimate(site)
    add(site, range(200, 280))
    after = estimate(site)
    assert before and after and after.unjudged == 240
    assert after.bad_left == pytest.approx(before.bad_left * 240 / 160) and after.rate == pytest.approx(
        before.rate
    )


def test_an_older_sites_draw_is_one_simple_sample(site: Site) -> None:
    with site.connect() as db:
        db.insert("audits", [{"pair_id": pair_name(n), "draw": "2026-11-20T10:00:00", "stratum": "test",
                              "inclusion_probability": 0.5, "drawn_at": now()} for n in range(1, 61, 2)])  # fmt: skip
    answer(site, bad=3)
    found = estimate(site)
    assert found and found.before == pytest.approx(200 * 3 / 30)
    _, low, high = intervals.total([Part(200.0, 200, 30, 3)])
    assert (found.before_low, found.before_high) == (pytest.approx(low), pytest.approx(high))


def test_pairs_that_the_queue_mixed_in_count_as_drawn_from_the_pile_of_their_moment(site: Site) -> None:
    """Two, the first bad: 200 waited; then the first and five bad ones from the queue had gone."""
    start = now()
    with site.connect() as db:
        for number, minutes, waiting in ((0, 1, 200), (50, 3, 194)):
            db.insert("audits", [{"pair_id": pair_name(number), "draw": "mixed", "kind": "mixed",
                                  "stratum": Stratum(waiting, waiting).text, "inclusion_probability": 1 / waiting,
                                  "drawn_at": start + timedelta(minutes=minutes)}])  # fmt: skip
    judge(site, [pair_name(0)], "fix", at=start + timedelta(minutes=2))
    judge(site, [pair_name(n) for n in range(100, 105)], "fix", at=start + timedelta(minutes=2))
    judge(site, [pair_name(50)], "ok", at=start + timedelta(minutes=4))
    found = estimate(site)
    assert found and (found.judged, found.bad, found.drawn, found.mixed) == (2, 1, 0, 2)
    # the mean pile is 197, of which 6 and 0 have been found since: 197 / 2 - 3
    assert found.bad_left == pytest.approx(197 / 2 - 3) and found.found == 6


def test_when_everything_is_judged_nothing_is_left_to_estimate(tmp_path: Path) -> None:
    site = pile(tmp_path, 30)
    audit.draw(site, 10, seed=1)
    drawn = answer(site, bad=4)
    judge(site, [pair_name(n) for n in range(30) if pair_name(n) not in drawn], "fix")
    found = estimate(site)
    assert found and (found.unjudged, found.rate, found.high, found.bad_left_high) == (0, 0.0, 0.0, 0.0)
    assert found.before == found.before_low == found.before_high == 24


def test_a_stratum_in_which_nothing_is_judged_goes_to_its_neighbour() -> None:
    strata = [Stratum(100 * n, 10, (n / 10, n / 10 + 0.1)).text for n in (1, 2, 3, 4)]
    rows = [{"stratum": strata[0], "bad": None}, {"stratum": strata[1], "bad": True},
            {"stratum": strata[1], "bad": False}, {"stratum": strata[2], "bad": False},
            {"stratum": strata[3], "bad": None}]  # fmt: skip
    assert cells_of(rows) == (Cell(0.3, 2, 1), Cell(0.7, 1, 0))
    assert cells_of(rows[:1]) == ()


def test_an_old_draw_counts_less_once_much_has_been_found_since() -> None:
    """The same piles and sizes, but 900 bad ones were found since the first: it knows less of what is left."""
    old, new = Draw(10_000, 900, 1.0, (Cell(1.0, 200, 30),)), Draw(9_000, 0, 1.0, (Cell(1.0, 200, 4),))
    left, low, high = combine([old, new], 9_000)
    assert (old.left, new.left) == (pytest.approx(600), pytest.approx(180))
    assert 180 < left < 300 < 390, "much nearer to the new one than half-way"
    alone = combine([new], 9_000)
    assert high - low < alone[2] - alone[1], "but it helps"


def test_the_intervals_of_simulated_audits_hold_the_truth() -> None:
    """The short form of python -m annotate.coverage: 2,000 runs stand in docs/benchmarks/coverage.md."""
    for rate, n in ((0.02, 60), (0.1, 150), (0.3, 60)):
        found = coverage.one_draw(1_000, rate, n, runs=150, seed=1)["coverage"]
        assert found["profile exact"] >= 92.0, (rate, n, found)
    worked = coverage.working_site(1_500, 0.1, 80, corrections=300, runs=150, seed=1)
    assert worked["coverage"] >= 92.0 and abs(worked["bias"]) < 0.15 * worked["left"]


def test_the_simulated_populations_are_what_they_claim() -> None:
    from scoring.measures import auroc

    of = coverage.Population.make(4_000, 0.1, np.random.default_rng(0))
    assert of.bad.sum() == 400
    assert auroc(of.risk, of.bad) == pytest.approx(coverage.AUROC, abs=0.03)
