"""The label-free risk by hand, and what must hold of it whatever the signals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.risk import (
    CONTRADICTION,
    MISFIT,
    PER_MISSING_SLOT,
    PER_VAGUE_WORD,
    REUSE,
    SHORTNESS,
    badness,
    label_free,
    share_better,
)
from scoring.signals import SIGNALS, compute_signals
from tests.scoring.synthetic import some_pairs, taken

Signals = dict[str, np.ndarray]
PLAIN = {
    "caption_reuse": 1.0,
    "missing_slots": 0.0,
    "vagueness": 0.0,
    "language_unread": 0.0,
    "unknown_tokens": 0.0,
}
UNKNOWN_HERE = ("other_captions", "contradicting_slots")


def signals(n: int, **given: list[float]) -> Signals:
    """Of n pairs that are all the same but in what is given."""
    return {
        name: np.array(
            given.get(name, [math.nan if name in UNKNOWN_HERE else PLAIN.get(name, 0.3)] * n), dtype=float
        )
        for name in SIGNALS
    }


def risk_of(found: Signals) -> np.ndarray:
    return label_free(found, found).risk


EQUAL = 1 - 0.5 * (1 - SHORTNESS / 2)  # misfit and length in the middle of all


def test_share_better_by_hand():
    four = np.array([1.0, 2, 2, 3])
    assert share_better(four, four).tolist() == [0.125, 0.5, 0.5, 0.875]
    assert np.isnan(share_better(np.array([np.nan, 1.0]), four)).tolist() == [True, False]
    assert share_better(np.array([7.0]), np.array([7.0])).tolist() == [0.5]


def test_share_better_counts_the_reference_only():
    assert share_better(np.array([1.0, 3, 2, 9]), np.array([1.0, 3])).tolist() == [0.25, 0.75, 0.5, 1.0]
    assert share_better(np.array([2.0]), np.array([np.nan, 1.0])).tolist() == [1.0], "not known is no rank"
    assert np.isnan(share_better(np.array([2.0]), np.array([np.nan]))).all()


def test_differences_in_the_noise_are_none():
    values = np.array([0.3, 0.3 + 1e-9])
    assert share_better(values, values).tolist() == [0.5, 0.5]


def test_badness_turns_every_signal_so_that_higher_is_worse():
    assert badness("cosine", np.array([0.3])).tolist() == [-0.3]
    assert badness("caption_reuse", np.array([3.0])).tolist() == [3.0]


def test_misfit_is_the_rank_of_the_weighted_mean_rank():
    """Best first, site_fit ranks the four 1 2 3 4 and negCLIPLoss 2 1 3 4: the first two are equal."""
    found = signals(
        4, site_fit=[0.9, 0.8, 0.7, 0.6], neg_clip_loss=[-0.2, -0.1, -0.3, -0.4], length=[np.nan] * 4
    )
    assert MISFIT["site_fit"] == MISFIT["neg_clip_loss"]
    told = label_free(found, found)
    assert told.misfit.tolist() == [0.25, 0.25, 0.625, 0.875]
    assert np.allclose(told.risk, told.misfit), "nothing else speaks against them"


def test_what_others_wrote_of_the_photo_outweighs_the_encoder():
    """negCLIPLoss says 0 is best, the other captions say it is worst."""
    found = signals(3, neg_clip_loss=[-0.1, -0.2, -0.3], other_captions=[0.1, 0.2, 0.3])
    assert np.argmax(label_free(found, found).misfit) == 0


def test_pairs_with_and_without_other_captions_are_ranked_apart():
    """Either kind has its best and its worst: 0 and 1 have other captions, 2 and 3 none."""
    found = signals(4, neg_clip_loss=[-0.1, -0.2, -0.3, -0.4], other_captions=[0.2, 0.1, np.nan, np.nan])
    assert label_free(found, found).misfit.tolist() == [0.25, 0.75, 0.25, 0.75]


def test_a_pair_unlike_the_reference_in_what_is_known_is_ranked_among_all():
    """A correction has other captions beside it where no counted pair has."""
    reference = signals(3, neg_clip_loss=[-0.1, -0.2, -0.3])
    one = signals(1, neg_clip_loss=[-0.15], other_captions=[0.5])
    assert np.isfinite(label_free(one, reference).misfit).all()


def test_each_missing_slot_takes_its_share_of_what_trust_is_left():
    found = risk_of(signals(3, missing_slots=[0, 1, 3]))
    left = (1 - EQUAL) * (1 - PER_MISSING_SLOT) ** np.array([0, 1, 3])
    assert np.allclose(found, 1 - left)


def test_items_that_nearly_all_captions_lack_say_nothing_of_one_of_them():
    base = risk_of(signals(20))[0]
    found = risk_of(signals(20, missing_slots=[5.0] * 20))
    assert found == pytest.approx([base] * 20), "all alike: nobody is worse"
    one_worse = risk_of(signals(20, missing_slots=[5.0] * 19 + [6.0]))
    assert one_worse[-1] == pytest.approx(1 - (1 - base) * (1 - PER_MISSING_SLOT))


def test_vague_words_reuse_and_contradiction_add_to_it():
    n = 10
    found = risk_of(
        signals(
            n,
            vagueness=[1] + [0] * 9,
            caption_reuse=[1, 10] + [1] * 8,
            contradicting_slots=[np.nan] * 2 + [50] + [0] * 7,
        )
    )
    trust = 1 - EQUAL
    assert np.isclose(found[0], 1 - trust * (1 - PER_VAGUE_WORD))
    assert np.isclose(found[1], 1 - trust * (1 - REUSE)), "on every photo: the most that reuse can say"
    assert np.isclose(found[2], 1 - trust * (1 - CONTRADICTION))
    assert np.allclose(found[3:], EQUAL)


def test_the_scale_of_what_makes_the_misfit_does_not_matter():
    values = np.random.default_rng(0).normal(size=50)
    for name in MISFIT:
        one, other = (signals(50, **{name: list(found)}) for found in (values, 0.01 * values + 0.9))
        assert np.array_equal(risk_of(one), risk_of(other)), name


def test_without_vectors_the_words_alone_rank():
    unknown = {name: [np.nan] * 2 for name, signal in SIGNALS.items() if signal.needs_encoder}
    found = signals(2, **unknown, missing_slots=[0, 2])
    told = label_free(found, found)
    assert np.isnan(told.misfit).all()
    assert np.allclose(told.risk, 1 - (1 - EQUAL) * np.array([1, (1 - PER_MISSING_SLOT) ** 2]))


def test_one_pair_only():
    found = signals(1)
    assert np.allclose(risk_of(found), EQUAL) and label_free(found, found).misfit.tolist() == [0.5]


def test_no_template_leaves_the_fit_alone():
    none = {name: [np.nan] * 2 for name in ("missing_slots", "vagueness", "length", "contradicting_slots")}
    found = signals(2, neg_clip_loss=[-0.2, -0.1], **none)
    told = label_free(found, found)
    assert np.allclose(told.risk, told.misfit) and told.risk[0] > told.risk[1]


USED = [*MISFIT, "missing_slots", "vagueness", "caption_reuse", "contradicting_slots", "length"]


def random_signals(n: int, seed: int) -> Signals:
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(size=n) for name in SIGNALS}
    found |= {
        "caption_reuse": 1 + 9 * rng.random(n), "missing_slots": rng.integers(0, 5, n).astype(float),
        "vagueness": rng.integers(0, 3, n).astype(float), "length": rng.integers(1, 20, n).astype(float),
        "contradicting_slots": 5 * rng.random(n), "unknown_tokens": rng.random(n),
    }  # fmt: skip
    if rng.random() < 0.5:
        found["other_captions"][rng.random(n) < 0.5] = np.nan
    return found


@settings(max_examples=150, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 9999), name=st.sampled_from(USED), step=st.floats(1e-3, 3))
def test_risk_stays_in_bounds_and_never_falls_when_something_gets_worse(n, seed, name, step):
    """Measured against the same pairs, or with them moving along: both."""
    base = random_signals(n, seed)
    worse = {**base, name: base[name].copy()}
    worse[name][0] += step if SIGNALS[name].bad_when == "high" else -step
    before = label_free(base, base).risk
    fixed, moving = label_free(worse, base).risk, label_free(worse, worse).risk
    assert ((before >= 0) & (before <= 1)).all() and np.isfinite(before).all()
    assert fixed[0] >= before[0] - 1e-12
    assert np.allclose(fixed[1:], before[1:]), "what is said of one does not change the others"
    if not (
        np.isnan(base["other_captions"]).any() and name in MISFIT
    ):  # they are ranked apart from each other
        assert moving[0] >= before[0] - 1e-12


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), rows=st.lists(st.integers(0, 19), min_size=1, max_size=5))
def test_some_pairs_alone_get_what_all_together_get(seed, rows):
    found = random_signals(20, seed)
    some = {name: values[rows] for name, values in found.items()}
    assert np.allclose(label_free(some, found).risk, label_free(found, found).risk[rows])


@pytest.mark.parametrize("added", [1, 9])
def test_corrections_do_not_move_what_waits(added):
    pairs = taken(some_pairs(), np.arange(71 + added))  # nine of some_pairs are people's
    alone = taken(pairs, np.arange(71))
    risks = []
    for one in (pairs, alone):
        found = compute_signals(one)
        risks.append(
            label_free(found, {name: values[one.counted] for name, values in found.items()}).risk[:71]
        )
    assert np.allclose(*risks, atol=1e-9)
