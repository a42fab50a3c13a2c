"""The label-free risk by hand, and what must hold of it whatever the signals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.risk import PER_MISSING_SLOT, PER_VAGUE_WORD, REUSE, label_free, share_better
from scoring.signals import Pairs, compute_signals


def everything(n: int) -> np.ndarray:
    return np.ones(n, dtype=bool)


def signals(n: int, **given: list[float]) -> dict[str, np.ndarray]:
    base = {
        "cosine": 0.3,
        "neg_clip_loss": -0.1,
        "caption_reuse": 1.0,
        "missing_slots": 0.0,
        "vagueness": 0.0,
    }
    return {name: np.array(given.get(name, [value] * n), dtype=float) for name, value in base.items()}


def test_share_better_by_hand():
    assert share_better(np.array([1, 2, 2, 3]), everything(4)).tolist() == [0.125, 0.5, 0.5, 0.875]
    assert np.isnan(share_better(np.array([np.nan, 1.0]), everything(2))).tolist() == [True, False]
    assert share_better(np.array([7.0]), everything(1)).tolist() == [0.5]


def test_share_better_among_the_counted_only():
    """The last two are measured against the first two, and do not move them."""
    counted = np.array([True, True, False, False])
    assert share_better(np.array([1, 3, 2, 9]), counted).tolist() == [0.25, 0.75, 0.5, 1.0]


def test_differences_in_the_noise_are_none():
    assert share_better(np.array([0.3, 0.3 + 1e-9]), everything(2)).tolist() == [0.5, 0.5]


def test_misfit_is_the_rank_of_the_mean_rank():
    """Cosine ranks the four 1 2 3 4 (best first), negCLIPLoss 2 1 3 4: the first two are equal."""
    found = label_free(
        signals(4, cosine=[0.9, 0.8, 0.7, 0.6], neg_clip_loss=[-0.2, -0.1, -0.3, -0.4]), everything(4)
    )
    assert found.misfit.tolist() == [0.25, 0.25, 0.625, 0.875]
    assert np.allclose(found.risk, found.misfit), "nothing else speaks against them"


def test_each_missing_slot_halves_what_trust_is_left():
    found = label_free(signals(3, missing_slots=[0, 1, 3]), everything(3))
    assert np.allclose(
        found.risk, [1 - 0.5, 1 - 0.5 * (1 - PER_MISSING_SLOT), 1 - 0.5 * (1 - PER_MISSING_SLOT) ** 3]
    )


def test_vague_words_and_reuse_add_to_it():
    n = 10
    found = label_free(signals(n, vagueness=[1] + [0] * 9, caption_reuse=[1, 10] + [1] * 8), everything(n))
    assert np.isclose(found.risk[0], 1 - 0.5 * (1 - PER_VAGUE_WORD))
    assert np.isclose(found.risk[1], 1 - 0.5 * (1 - REUSE)), (
        "on every photo of the site: the most that reuse can say"
    )
    assert np.isclose(found.risk[2], 0.5)


def test_the_scale_of_the_cosine_does_not_matter():
    cosine = np.random.default_rng(0).normal(size=50)
    one, other = signals(50, cosine=list(cosine)), signals(50, cosine=list(0.01 * cosine + 0.9))
    assert np.array_equal(label_free(one, everything(50)).risk, label_free(other, everything(50)).risk)


def test_without_vectors_the_words_alone_rank():
    found = label_free(
        signals(2, cosine=[np.nan] * 2, neg_clip_loss=[np.nan] * 2, missing_slots=[0, 2]), everything(2)
    )
    assert np.isnan(found.misfit).all() and np.allclose(
        found.risk, [0.5, 1 - 0.5 * (1 - PER_MISSING_SLOT) ** 2]
    )


def test_one_pair_only():
    found = label_free(signals(1), everything(1))
    assert found.risk.tolist() == [0.5] and found.misfit.tolist() == [0.5]


def test_no_template_and_no_hits_leave_the_fit_alone():
    found = label_free(
        signals(2, cosine=[0.2, 0.4], missing_slots=[np.nan] * 2, vagueness=[np.nan] * 2), everything(2)
    )
    assert np.allclose(found.risk, found.misfit)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_risk_stays_in_bounds_and_never_falls_when_something_gets_worse(data):
    n = data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    base = signals(
        n, cosine=list(rng.normal(size=n)), neg_clip_loss=list(-rng.random(n)),
        caption_reuse=list(1 + 9 * rng.random(n)), missing_slots=list(rng.integers(0, 5, n)),
        vagueness=list(rng.integers(0, 3, n)),
    )  # fmt: skip
    name = data.draw(st.sampled_from(sorted(base)))
    worse = {**base, name: base[name].copy()}
    worse[name][0] += -0.5 if name in ("cosine", "neg_clip_loss") else 1
    before, after = (label_free(one, everything(n)).risk for one in (base, worse))
    assert ((before >= 0) & (before <= 1)).all() and after[0] >= before[0] - 1e-12


@pytest.mark.parametrize("added", [1, 30])
def test_corrections_do_not_move_what_waits(added):
    """The original pairs keep their ranks by cosine when people's captions join them."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(40, 6)).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    n = 20 + added
    rows = np.arange(n) % 40
    pairs = Pairs(rows, rows, rows, images, images[::-1].copy(), original=np.arange(n) < 20)
    alone = Pairs(rows[:20], rows[:20], rows[:20], images, images[::-1].copy())
    found, before = (label_free(compute_signals(p), p.counted) for p in (pairs, alone))
    assert np.array_equal(found.ranks["cosine"][:20], before.ranks["cosine"])
