"""Second opinions on a real store: which are drawn, who gets them, what is told to whom, how far people agree."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate import agreement, queue, review_draw, reviews
from annotate.corrections import Saved, submit, undo
from annotate.recent import recent
from annotate.review_board import leaderboard
from annotate.review_feedback import feedback
from annotate.reviews import differing
from dashboards import labour
from data.errors import GenbaError
from data.settings import ReviewSection, set_value
from data.site import Site, init_site
from data.store import now
from tests.annotate import sites
from tests.annotate.sites import BOLT, pair_of, rows

A, B, C = "佐藤", "Smith", "田中"
GEAR = {**BOLT, "part": "gear"}
COPIED = {"corrections": ["correction_id"], "reviews": ["review_id", "correction_id"]}


def set_review(site: Site, **values: Any) -> Site:
    for key, value in values.items():
        set_value(site.settings_path, "review", key, value)
    return Site.open(site.root)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Eight photos; every correction is drawn."""
    (tmp_path / "photos").mkdir()
    made = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo")
    sites.fill(made, tmp_path / "photos", [f"part {number}" for number in range(8)])
    return set_review(made, share=1.0)


def answer(
    site: Site, number: int = 0, who: str = A, slots: Any = BOLT, verdict: str = "fix", **more: Any
) -> Saved:
    given: dict[str, Any] = {"slots": slots if verdict == "fix" else {}, "active_seconds": 20.0, **more}
    return submit(site, pair_id=pair_of(site, number), annotator=who, verdict=verdict, **given)


def review(site: Site, number: int = 0, who: str = B, **more: Any) -> Saved:
    """A second opinion by way of the queue, as the page asks for it."""
    pair_id = pair_of(site, number)
    others = [row["pair_id"] for row in rows(site, "SELECT pair_id FROM reviews WHERE pair_id <> ?", pair_id)]
    with site.connect() as db:
        db.execute("DELETE FROM leases WHERE annotator = ?", [who])
        assert reviews.take(db, who, others) == pair_id
    assert queue.claim(site, who, pair_id=pair_id)
    return answer(site, number, who, **more)


def multiply(site: Site, times: int) -> None:
    """Copies of all corrections and reviews under other ids: what many like them would leave in the store."""
    with site.connect() as db:
        for copy in range(times):
            for table, names in COPIED.items():
                ids = ", ".join(f"{name} || '-{copy}' AS {name}" for name in names)
                original = f"NOT contains({names[0]}, '-')"
                db.execute(f"INSERT INTO {table} SELECT * REPLACE ({ids}) FROM {table} WHERE {original}")


def states(site: Site) -> list[str]:
    return [row["state"] for row in rows(site, "SELECT state FROM reviews ORDER BY drawn_at, review_id")]


# ---- the draw


def test_the_draw_is_a_fixed_share_of_all_ids() -> None:
    ids = [uuid.UUID(int=number).hex for number in range(20_000)]
    places = [review_draw.place(one) for one in ids]
    assert places == [review_draw.place(one) for one in ids] and all(0 <= at < 1 for at in places)
    tenth = {one for one, at in zip(ids, places, strict=True) if review_draw.reason_for(at, {"share": 0.1})}
    half = {one for one, at in zip(ids, places, strict=True) if review_draw.reason_for(at, {"share": 0.5})}
    assert tenth < half, "a higher share adds, and takes none away"
    # binomial: three standard deviations of 20,000 draws
    assert abs(len(tenth) / 20_000 - 0.1) < 3 * (0.09 / 20_000) ** 0.5
    assert abs(len(half) / 20_000 - 0.5) < 3 * (0.25 / 20_000) ** 0.5


def test_new_staff_poor_slots_and_valued_slices_are_drawn_more() -> None:
    section = ReviewSection(slices=["line=A", "rush=true"])

    def shares(answers: int = 99, slots: Any = (), low: Any = (), extra: Any = ()) -> dict[str, float]:
        return review_draw.shares_of(section, answers, dict.fromkeys(slots), list(low), dict(extra))

    assert shares() == {"share": 0.1}
    assert shares(answers=29) == {"share": 0.1, "new_staff": 0.5} and shares(answers=30) == {"share": 0.1}
    assert shares(slots=["defect"], low=["defect"]) == {"share": 0.1, "low_agreement": 0.3}
    assert shares(slots=["part"], low=["defect"]) == {"share": 0.1}
    assert shares(extra={"line": "A"}) == {"share": 0.1, "slice": 0.3} == shares(extra={"rush": True})
    assert shares(extra={"line": "B"}) == {"share": 0.1}
    with pytest.raises(ValueError, match="column=value"):
        ReviewSection(slices=["A"])


def test_what_is_saved_is_drawn_with_it_and_some_never_are(site: Site) -> None:
    made = answer(site)
    found = rows(site, "SELECT review_id, correction_id, pair_id, state, reason FROM reviews")
    assert found == [{"review_id": made.correction_id, "correction_id": made.correction_id, "pair_id": pair_of(site, 0),
                      "state": "open", "reason": "share"}]  # fmt: skip
    answer(site, 1, verdict="private")
    answer(site, 2, simulated=True)
    answer(site, 0, B)  # at the same time: a conflict, which a lead sees anyway
    assert len(states(site)) == 1
    none = set_review(site, share=0.0, new_staff_share=0.0)
    answer(none, 3)
    assert len(states(site)) == 1


def test_a_second_save_neither_escapes_nor_calls_a_second_opinion(site: Site) -> None:
    answer(site)
    again = answer(site, slots=GEAR)
    assert rows(site, "SELECT correction_id, state FROM reviews") == [
        {"correction_id": again.correction_id, "state": "open"}
    ]
    review(site, slots=GEAR)
    assert states(site) == ["agreed"]
    answer(site, slots=BOLT)
    assert states(site) == ["differs"], "the answer that stands is compared"
    undo(site, recent(site, A)[0]["correction_id"], A)
    assert states(site) == ["void"]


# ---- who gets it, and what they are told


def test_the_second_person_gets_it_blind_and_never_ones_own(site: Site) -> None:
    for number in range(8):
        answer(site, number)
    assert queue.count(site) == 0 and queue.claim(site, A) is None, "never one's own"
    row = queue.claim(site, B)
    assert row and row["pair_id"] == pair_of(site, 0)
    assert row["audit"] and not {"risk", "reasons", "signals"} & set(row)
    assert A not in str(row) and site.template().caption(BOLT, "en") not in str(row)
    assert queue.claim(site, B) == row, "a reload shows the same pair"
    other = queue.claim(site, C)
    assert other and other["pair_id"] == pair_of(site, 1), "one person each"


def test_second_opinions_come_between_the_others(site: Site) -> None:
    for number in range(4):
        answer(site, number)
    given = []
    for _ in range(4):
        row = queue.claim(site, B)
        assert row
        saved = submit(site, pair_id=row["pair_id"], annotator=B, verdict="fix", slots=BOLT, active_seconds=1)
        given.append(saved.state)
    assert given == ["active", "active", "active", "review"]


def test_a_lease_that_ran_out_lets_another_person_answer(site: Site) -> None:
    answer(site)
    queue.claim(site, B, skip=[pair_of(site, n) for n in range(1, 8)])
    assert states(site) == ["claimed"]
    assert queue.claim(site, C, skip=[pair_of(site, n) for n in range(1, 8)]) is None
    with site.connect() as db:
        db.execute("UPDATE leases SET expires_at = ?", [now() - timedelta(seconds=1)])
    assert queue.claim(site, C, skip=[pair_of(site, n) for n in range(1, 8)])
    late = answer(site, 0, B, slots=GEAR)
    assert late.state == "conflict", "nothing is lost: a lead sees it"


def test_a_second_opinion_is_no_correction_and_is_not_sent(site: Site) -> None:
    first = answer(site)
    saved = review(site, slots=GEAR, token="form")
    assert saved.state == "review" and states(site) == ["differs"]
    assert answer(site, 0, B, slots=GEAR, token="form") == saved, "sent twice is once"
    assert [row["correction_id"] for row in rows(site, "SELECT correction_id FROM corrections")] == [
        first.correction_id
    ]
    assert len(rows(site, "SELECT * FROM outbox")) == 1 == len(rows(site, "SELECT * FROM labels"))
    assert rows(site, "SELECT differing, active_seconds FROM reviews") == [
        {"differing": ["part"], "active_seconds": 20.0}
    ]
    with site.connect() as db:
        assert labour.seconds(db)["review", False] == 20.0
    template = site.template()
    mine = recent(site, B)[0]
    assert mine["captions"] == [template.caption(GEAR, one) for one in ("ja", "en")]
    with pytest.raises(GenbaError, match="Smith's"):
        undo(site, mine["correction_id"], A)
    assert undo(site, mine["correction_id"], B) == GEAR and states(site) == ["claimed"]
    answer(site, 0, B, slots=BOLT)
    assert states(site) == ["agreed"]
    assert rows(site, "SELECT active_seconds FROM reviews") == [{"active_seconds": 40.0}], (
        "the time was spent"
    )


def test_what_counts_as_the_same_answer() -> None:
    def on(one: Any, other: Any) -> bool:
        return differing(
            {"verdict": "fix", "slots": {"x": one}}, {"verdict": "fix", "slots": {"x": other}}
        ) == ["x"]

    assert not on(2.0, 2.15) and on(2.0, 2.5) and not on(2, 2) and on(2, 3) and on(20, 21)
    assert not on(["a", "b"], ["b", "a"]) and on(["a"], ["a", "b"]) and on("a", None)
    assert not on("ＡＢ  c", "ab C") and on("bolt", "nut")
    both = {"verdict": "ok", "slots": {}}
    assert differing(both, both) == [] and differing(both, {"verdict": "fix", "slots": {"x": 1}}) == [
        "verdict"
    ]


# ---- agreement


def kappa_alpha(pairs: list[tuple[Any, Any]], scale: agreement.Scale = "nominal") -> agreement.Agreement:
    return agreement.measure("x", pairs, scale, 200, np.random.default_rng(0))


def test_kappa_of_the_textbook_table() -> None:
    """Fifty proposals, two readers: 20 both yes, 15 both no, 5 and 10 split: observed .7, by chance .5, kappa .4
    (https://en.wikipedia.org/wiki/Cohen%27s_kappa, "Simple example")."""
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    found = kappa_alpha(pairs)
    assert found.n == 50 and found.same == 0.7 and found.kappa == pytest.approx(0.4)
    assert found.low is not None and found.high is not None and found.low < 0.4 < found.high


def test_alpha_of_krippendorffs_own_examples() -> None:
    """Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, examples A (binary, .095), B (nominal, .692)."""
    binary = kappa_alpha(
        list(zip([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0], strict=True))
    )
    assert binary.alpha == pytest.approx(0.095, abs=5e-4)
    nominal = kappa_alpha(list(zip("aabbdcccedda", "babbbccceddd", strict=True)))
    assert nominal.alpha == pytest.approx(0.692, abs=5e-4)


def test_alpha_of_ranks_and_numbers_by_hand() -> None:
    """Nine units, of which one differs by one; the formulas of Krippendorff (2011), section D."""
    codes = np.array([[1, 2, 3, 3, 2, 1, 4, 1, 2], [1, 2, 3, 3, 2, 2, 4, 1, 2]], dtype=float)
    # N = 18 values, sum 39, sum of squares 101: spread 101 - 39^2 / 18
    assert agreement.alpha(codes, "interval") == pytest.approx(1 - 17 * 1 / (18 * (101 - 39**2 / 18)))
    # five ones, seven twos, four threes, two fours stand at 2.5, 8.5, 14, 17; one pair of nine is 6 apart
    places = np.repeat([2.5, 8.5, 14.0, 17.0], [5, 7, 4, 2])
    expected = ((places[:, None] - places) ** 2).sum() / (18 * 17)
    assert agreement.alpha(codes, "ordinal") == pytest.approx(1 - (36 / 9) / expected)


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_the_fast_alpha_is_the_librarys(scale: agreement.Scale) -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        first = rng.integers(1, 6, 25)
        codes = np.array([first, np.clip(first + rng.integers(-1, 2, 25), 1, 5)], dtype=float)
        assert agreement.fast_alpha(codes, scale) == pytest.approx(agreement.alpha(codes, scale))


def test_little_says_nothing_and_one_answer_says_no_more() -> None:
    few = kappa_alpha([("a", "a")] * 8 + [("a", "b")])
    assert not few.is_enough and (few.n, few.kappa, few.alpha, few.low) == (9, None, None, None)
    same = kappa_alpha([("a", "a")] * 30)
    assert same.is_enough and same.same == 1 and same.alpha is None and same.kappa is None


def test_agreement_by_slot_and_confusions(site: Site) -> None:
    """Eleven pairs: seven scratches are called cracks; on the part all agree; one verdict differs."""
    found = []
    for number in range(11):
        first = {"verdict": "fix", "slots": {**BOLT, "part": ["bolt", "gear"][number % 2]}}
        second = {
            "verdict": "fix",
            "slots": {**first["slots"], "defect": "crack" if number < 7 else "scratch"},
        }  # type: ignore[dict-item]
        found.append(agreement.Opinion(first, second if number < 10 else {"verdict": "ok", "slots": {}}))
    measured = {one.slot: one for one in agreement.by_slot(found, site.template(), resamples=50)}
    assert measured["verdict"].n == 11 and measured["defect"].n == 10 == measured["part"].n
    assert measured["defect"].same == pytest.approx(0.3)
    assert measured["part"].alpha == 1.0 == measured["part"].kappa
    assert measured["defect"].alpha is not None and measured["defect"].alpha < 0
    assert measured["material"].alpha is None, "all the same: nothing to tell skill from chance by"
    shown = agreement.confusions(found, site.template())
    assert [(one.slot, {one.one, one.other}, one.times) for one in shown] == [
        ("defect", {"scratch", "crack"}, 7), ("verdict", {"fix", "ok"}, 1),
    ]  # fmt: skip


def test_what_only_one_was_asked_for_is_no_disagreement_of_its_own(site: Site) -> None:
    none = {key: value for key, value in BOLT.items() if key not in ("place", "severity")} | {
        "defect": "none"
    }
    found = [agreement.Opinion({"verdict": "fix", "slots": BOLT}, {"verdict": "fix", "slots": none})] * 10
    shown = {one.slot for one in agreement.by_slot(found, site.template(), resamples=20)}
    assert "defect" in shown and not {"place", "severity"} & shown


def test_a_slot_on_which_people_agree_poorly_is_drawn_more(site: Site) -> None:
    answer(site)
    review(site, slots={**BOLT, "defect": "crack"})
    multiply(site, 11)
    answer(site, 1)
    review(site, 1, slots=BOLT)  # the list is made anew with every second opinion
    with site.connect() as db:
        assert db.get_state(review_draw.LOW_SLOTS) == ["defect"]
    less = set_review(site, share=0.0, new_staff_share=0.0, low_agreement_share=1.0)
    answer(less, 7)
    assert rows(site, "SELECT reason FROM reviews ORDER BY drawn_at DESC LIMIT 1") == [
        {"reason": "low_agreement"}
    ]


# ---- feedback and leaderboard


def test_feedback_counts_ones_own_answers(site: Site) -> None:
    for number in range(4):
        answer(site, number)
    review(site, 0)
    review(site, 1, slots=GEAR)
    mine, theirs = feedback(site, A), feedback(site, B)
    assert (mine.answers, mine.reviewed, mine.differed, mine.open, mine.examples) == (4, 2, 1, 1, [])
    assert (theirs.answers, theirs.reviewed, theirs.examples) == (0, 0, [])


def test_the_leaderboard_is_off_by_default_and_knows_no_speed(site: Site) -> None:
    answer(site, 0)
    review(site, 0)
    answer(site, 1)
    review(site, 1, slots=GEAR)
    multiply(site, 4)
    answer(site, 7, C)
    assert leaderboard(site) == []
    board = leaderboard(set_review(site, leaderboard=True))
    assert [(one.name, one.answers) for one in board] == [(B, 10), (A, 10)], (
        "nobody on fewer than five answers"
    )
    assert {one.name: (one.reviewed, one.agreed) for one in board} == {A: (5, 1.0), B: (0, None)}, (
        "open ones wait"
    )
    assert not any("second" in name for name in board[0].__dataclass_fields__)
