"""The risk that learns, in worlds where it is known which captions are wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from scoring.learned import (
    FEWEST_ANSWERS,
    FEWEST_OF_A_KIND,
    Answers,
    RiskFit,
    _weights,
    columns,
    fit_risk,
    probability,
    worth_a_look,
)
from scoring.measures import auroc
from scoring.risk import label_free, share_better
from scoring.signals import SIGNALS

Features = dict[str, np.ndarray]


def world(n: int = 6000, bad: float = 0.3, seed: int = 0, tell: str = "out_of_domain", strength: float = 2.0):
    """Features of n pairs, and which are wrong. The label-free risk ranks fairly; `tell` does too, unseen by it."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < bad
    ranks = {}
    for name in SIGNALS:
        noise = rng.normal(size=n) + (strength * wrong if name == tell else 0)
        ranks[name] = share_better(noise, noise)
    prior = share_better(wrong + rng.normal(size=n), wrong + rng.normal(size=n))
    signals = {name: np.zeros(n) for name in SIGNALS}
    return columns(ranks, signals, prior), wrong, prior


def rows_of(features: Features, rows: np.ndarray) -> Features:
    return {name: values[rows] for name, values in features.items()}


def answers(
    wrong: np.ndarray, audit: np.ndarray | bool = False, everything: int = 6000, inclusion: float = 1.0
) -> Answers:
    n = len(wrong)
    from_audit = np.broadcast_to(audit, n)
    return Answers(wrong, from_audit, np.where(from_audit, inclusion, 1.0), np.arange(n), everything)


def audited(features: Features, wrong: np.ndarray, n: int, seed: int = 1) -> tuple[np.ndarray, Answers]:
    """n drawn blind."""
    rows = np.random.default_rng(seed).choice(len(wrong), n, replace=False)
    return rows, answers(wrong[rows], True, len(wrong), n / len(wrong))


def test_columns_by_hand():
    ranks = {name: np.array([0.5, 1.0]) for name in SIGNALS}
    signals = {name: np.array([0.0, 5.0]) for name in SIGNALS}
    ranks["lemon"], signals["missing_slots"] = np.array([np.nan, 0.5]), np.array([np.nan, 9.0])
    signals["other_captions"] = np.array([np.nan, 0.3])
    found = columns(ranks, signals, np.array([0.5, 1.0]))
    assert found["label_free"][0] == 0 and found["label_free"][1] == pytest.approx(5 * math.log(99))
    assert found["rank_cosine"].tolist() == [0, 1.73] and found["rank_lemon"].tolist() == [0, 0]
    assert found["missing_slots"].tolist() == [0, 3] and found["vagueness"].tolist() == [0, 3]
    assert found["no_other_captions"].tolist() == [1, 0]
    assert all(np.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (0, 0),
        (0, 500),
        (500, 0),
        (500, FEWEST_OF_A_KIND - 1),
        (FEWEST_OF_A_KIND - 1, 500),
        (FEWEST_ANSWERS // 2 - 1,) * 2,
    ],
)
def test_too_few_answers_teach_nothing(right, wrong):
    features, _, _ = world(max(right + wrong, 1))
    said = np.arange(right + wrong) < wrong
    assert fit_risk(rows_of(features, np.arange(right + wrong)), answers(said)) is None


def test_enough_answers_of_either_kind_do():
    features, _, _ = world(FEWEST_ANSWERS)
    fit = fit_risk(features, answers(np.arange(FEWEST_ANSWERS) < FEWEST_OF_A_KIND))
    assert fit is not None and fit.answers == FEWEST_ANSWERS and fit.audited == 0


def test_learns_a_signal_that_the_label_free_risk_ignores():
    features, wrong, prior = world()
    rows, said = audited(features, wrong, 300)
    fit = fit_risk(rows_of(features, rows), said)
    risk = probability(fit, features)
    assert fit.kind == "learned" and fit.auroc > fit.auroc_label_free + 0.05
    assert 1 - auroc(risk, wrong) < 0.6 * (1 - auroc(prior, wrong)), "the errors of the order fall by 40 %"
    told = [name for name in fit.coefficients if name.startswith("rank_")]
    assert max(told, key=lambda name: fit.coefficients[name]) == "rank_out_of_domain"


def test_few_answers_do_no_harm():
    """What is kept after 40 answers is about as good as the label-free risk, where there is nothing to learn."""
    lost = []
    for seed in range(8):
        features, wrong, prior = world(strength=0, seed=seed)
        rows, said = audited(features, wrong, 40, seed)
        fit = fit_risk(rows_of(features, rows), said)
        risk = prior if fit is None else probability(fit, features)
        lost.append(auroc(prior, wrong) - auroc(risk, wrong))
    assert np.mean(lost) < 0.03


def test_falls_back_to_the_label_free_order_when_there_is_nothing_to_learn():
    kinds = []
    for seed in range(6):
        features, wrong, prior = world(strength=0, seed=seed)
        rows, said = audited(features, wrong, 200, seed)
        fit = fit_risk(rows_of(features, rows), said)
        kinds.append(fit.kind)
        if fit.kind == "label_free":
            assert fit.auroc <= fit.auroc_label_free
            risk = probability(fit, features)
            assert (np.diff(risk[np.argsort(prior)]) >= 0).all(), "the same order"
            assert abs(risk.mean() - wrong.mean()) < 0.1, "calibrated all the same"
    assert kinds.count("label_free") >= 3


@pytest.mark.parametrize("audit", [150, 400])
def test_is_calibrated_although_the_queue_gave_bad_ones_only(audit):
    """The audit says that 30 % are bad; 500 answers from the top of the queue are all bad."""
    features, wrong, prior = world(strength=1.5)
    rows, _ = audited(features, wrong, audit)
    rest = np.setdiff1d(np.flatnonzero(wrong), rows)
    queue = rest[np.argsort(-prior[rest])][:500]
    both = np.concatenate([rows, queue])
    mixed = Answers(
        wrong[both], np.arange(len(both)) < audit, np.where(np.arange(len(both)) < audit, audit / 6000, 1.0),
        np.arange(len(both)), 6000,
    )  # fmt: skip
    fit = fit_risk(rows_of(features, both), mixed)
    risk = probability(fit, features)
    tolerance = 0.05 if audit == 400 else 0.08  # an audit of 150 itself is not surer than 7 points
    assert abs(risk.mean() - wrong.mean()) < tolerance
    assert (fit.answers, fit.audited) == (audit + 500, audit)
    naive = fit_risk(rows_of(features, both), replace(mixed, from_audit=np.zeros(len(both), dtype=bool)))
    assert probability(naive, features).mean() > max(risk.mean(), wrong.mean()) + 0.03, (
        "without the weights it would not be"
    )


def test_strata_drawn_with_other_probabilities_are_weighed():
    """The riskiest tenth is audited ten times as often: the mean stays true."""
    features, wrong, prior = world(20_000)
    rng = np.random.default_rng(3)
    inclusion = np.where(prior > 0.9, 0.2, 0.02)
    rows = np.flatnonzero(rng.random(20_000) < inclusion)
    said = Answers(wrong[rows], np.ones(len(rows), bool), inclusion[rows], np.arange(len(rows)), 20_000)
    risk = probability(fit_risk(rows_of(features, rows), said), features)
    assert wrong[rows].mean() > wrong.mean() + 0.05 and abs(risk.mean() - wrong.mean()) < 0.04


def test_pairs_mixed_into_the_queue_weigh_like_drawn_ones():
    """Each of them was drawn alone, with the probability 1 / 1,000: a draw of two hundred weighs no less."""
    inclusion = np.array([0.2, 0.2, 0.001, 0.001])
    said = Answers(
        np.zeros(4, bool),
        np.ones(4, bool),
        inclusion,
        np.arange(4),
        1000,
        np.array([False, False, True, True]),
    )
    assert np.allclose(_weights(said), 1)


def test_weights_by_hand():
    """1,000 pairs, 3 judged from the queue. Two audited, one of them ten times as likely to be drawn: they stand for
    the 997 others as 1 to 10. The mean weight is 1."""
    said = Answers(
        np.zeros(5, bool),
        np.array([True, True, False, False, False]),
        np.array([0.5, 0.05, 1, 1, 1]),
        np.arange(5),
        1000,
    )
    found = _weights(said)
    assert np.allclose(found / found[2], [997 / 11, 997 * 10 / 11, 1, 1, 1]) and np.isclose(found.mean(), 1)
    assert np.allclose(_weights(answers(np.zeros(4, bool))), 1), "no audit: everybody counts the same"


def test_the_reliability_curve_tells_what_was_seen():
    features, wrong, _ = world()
    rows, said = audited(features, wrong, 1200)
    fit = fit_risk(rows_of(features, rows), said)
    assert sum(one.answers for one in fit.curve) == 1200 and len(fit.curve) == 8
    predicted = [one.predicted for one in fit.curve]
    assert predicted == sorted(predicted) and all(
        0 <= one.low <= one.seen <= one.high <= 1 for one in fit.curve
    )
    assert sum(one.low <= one.predicted <= one.high for one in fit.curve) >= 6


def test_wilson_by_hand():
    """3 of 10: Wilson 1927 gives 0.108 to 0.603 (Agresti and Coull 1998)."""
    from scoring.learned import _wilson

    assert np.allclose(_wilson(0.3, 10), (0.1078, 0.6032), atol=1e-4)
    assert _wilson(0.0, 20)[0] == 0 and _wilson(1.0, 20)[1] == pytest.approx(1)


def test_probabilities_whatever_the_features():
    features, wrong, _ = world()
    rows, said = audited(features, wrong, 300)
    fit = fit_risk(rows_of(features, rows), said)
    wild = {name: np.array([-1e6, 0.0, 1e6]) for name in features}
    found = probability(fit, wild)
    assert found.shape == (3,) and ((found >= 0) & (found <= 1)).all() and np.isfinite(found).all()
    assert probability(fit, {name: np.zeros(0) for name in features}).shape == (0,)


def test_near_duplicates_do_not_confirm_themselves():
    """Each answer stands there ten times, as near-duplicates, with features that say nothing: learned by heart, and
    asked of the copies, they would seem to say everything."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 10)
    features = {f"rank_{k}": rng.normal(size=30)[group] for k in range(40)}
    features["label_free"] = rng.normal(size=30)[group]
    wrong = (np.arange(30) % 2 == 0)[group]
    together = Answers(wrong, np.zeros(300, bool), np.ones(300), group, 300)
    assert fit_risk(features, together).auroc < 0.75
    assert fit_risk(features, replace(together, group_of=np.arange(300))).auroc > 0.95, "so it does matter"


@pytest.mark.parametrize("kind", [1.0, 0.0])
def test_all_near_duplicates_of_one_photo(kind):
    """No fold can be left out: the label-free order stays."""
    features, wrong, _ = world(60)
    said = replace(answers(wrong, everything=60), group_of=np.full(60, kind, dtype=int))
    fit = fit_risk(features, said)
    assert fit.kind == "label_free" and np.isfinite(probability(fit, features)).all()


def test_an_order_that_is_the_wrong_way_round_is_never_turned():
    """Where the label-free risk misleads and nothing else helps, all get the mean; nobody is ranked upside down."""
    features, wrong, _ = world(400, strength=0)
    upside_down = {**{name: np.zeros(400) for name in features}, "label_free": np.where(wrong, -5.0, 5.0)}
    fit = fit_risk(upside_down, answers(wrong, True, 400, 1.0))
    assert fit.slope > 0 or fit.kind == "learned"


def test_through_json_and_back():
    features, wrong, _ = world()
    rows, said = audited(features, wrong, 300)
    fit = fit_risk(rows_of(features, rows), said)
    again = RiskFit.from_json(json.loads(json.dumps(fit.as_json())))
    assert again == fit and np.array_equal(probability(again, features), probability(fit, features))


def test_the_same_answers_give_the_same_fit():
    features, wrong, _ = world()
    rows, said = audited(features, wrong, 300)
    assert fit_risk(rows_of(features, rows), said) == fit_risk(rows_of(features, rows), said)


def test_worth_a_look():
    """A look costs 30, a bad caption left 200: from 15 % on it pays."""
    assert worth_a_look(30, 200) == 0.15
    assert worth_a_look(30, 20) > 1, "nothing is worth it"
    assert worth_a_look(30, 0) == math.inf and worth_a_look(0, 200) == 0


def test_the_risk_it_stands_on_is_the_label_free_one():
    """Columns are made of what label_free gives."""
    signals = {name: np.random.default_rng(0).random(20) + 1 for name in SIGNALS}
    told = label_free(signals, signals)
    found = columns(told.ranks, signals, told.risk)
    assert set(found) == {"label_free", "no_other_captions", "missing_slots", "vagueness"} | {
        f"rank_{name}" for name in SIGNALS
    }
    assert all(values.shape == (20,) for values in found.values())
