"""Signals by hand on small arrays, and what holds of every one of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scoring import signals as signals_module
from scoring.signals import SIGNALS, Pairs, caption_reuse, compute_signals, contrast, cosine, neg_clip_loss


def unit(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def some_pairs(n: int = 60, photos: int = 40, captions: int = 25, seed: int = 0) -> Pairs:
    rng = np.random.default_rng(seed)
    image_of = rng.integers(0, photos, n)
    return Pairs(
        image_of=image_of,
        caption_of=rng.integers(0, captions, n),
        group_of=image_of // 2,
        images=unit(photos, seed=1),
        captions=unit(captions, seed=2),
        missing_slots=rng.integers(0, 4, n).astype(float),
        vague_words=rng.integers(0, 2, n).astype(float),
        temperature=0.05,
    )


def permuted(pairs: Pairs, order: np.ndarray) -> Pairs:
    return replace(
        pairs, image_of=pairs.image_of[order], caption_of=pairs.caption_of[order], group_of=pairs.group_of[order],
        missing_slots=pairs.missing_slots[order], vague_words=pairs.vague_words[order],
    )  # fmt: skip


@pytest.mark.parametrize("name", SIGNALS)
class TestEverySignal:
    def test_gives_one_finite_number_a_pair(self, name):
        found = SIGNALS[name](some_pairs())
        assert found.shape == (60,) and found.dtype == np.float64 and np.isfinite(found).all()

    def test_does_not_depend_on_the_order_of_the_pairs(self, name):
        pairs, order = some_pairs(), np.random.default_rng(3).permutation(60)
        assert np.allclose(SIGNALS[name](permuted(pairs, order)), SIGNALS[name](pairs)[order], atol=1e-9)

    def test_is_the_same_every_time_and_leaves_its_input_alone(self, name):
        pairs = some_pairs()
        before = pairs.images.copy(), pairs.image_of.copy()
        first = SIGNALS[name](pairs)
        assert np.array_equal(first, SIGNALS[name](pairs))
        assert np.array_equal(before[0], pairs.images) and np.array_equal(before[1], pairs.image_of)

    def test_no_pairs_give_no_numbers(self, name):
        none = some_pairs(n=0)
        assert SIGNALS[name](none).shape == (0,)

    def test_one_pair_alone_has_a_number(self, name):
        found = SIGNALS[name](some_pairs(n=1))
        assert found.shape == (1,) and np.isfinite(found).all()

    def test_without_vectors_only_those_that_need_none_are_known(self, name):
        found = SIGNALS[name](replace(some_pairs(), images=None, captions=None))
        assert np.isnan(found).all() if SIGNALS[name].needs_encoder else np.isfinite(found).all()

    def test_a_pair_that_is_worse_by_the_signal_is_worse_by_its_direction(self, name):
        """Pair 0 is right in every respect, pair 1 wrong in every respect."""
        images, captions = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
        worse = Pairs(
            image_of=np.array([0, 1, 2, 3]), caption_of=np.array([0, 2, 2, 2]), group_of=np.arange(4), images=images,
            captions=captions, missing_slots=np.array([0.0, 3, 0, 0]), vague_words=np.array([0.0, 1, 0, 0]),
        )  # fmt: skip
        good, bad = SIGNALS[name](worse)[:2]
        assert bad < good if SIGNALS[name].bad_when == "low" else bad > good


def test_compute_signals_gives_all_of_them():
    assert list(compute_signals(some_pairs())) == list(SIGNALS)


def test_cosine_by_hand():
    pairs = Pairs(
        np.array([0, 0, 1]), np.array([0, 1, 1]), np.arange(3),
        np.array([[1, 0], [0.6, 0.8]], dtype=np.float32), np.array([[1, 0], [0, 1]], dtype=np.float32),
    )  # fmt: skip
    assert np.allclose(cosine(pairs), [1.0, 0.0, 0.8])


def test_cosine_in_blocks_is_the_same(monkeypatch):
    whole = cosine(some_pairs())
    monkeypatch.setattr(signals_module, "BLOCK", 7)
    assert np.array_equal(cosine(some_pairs()), whole)


def test_contrast_by_hand():
    """arXiv 2405.19547, definition 1, T = 0.1:
    pair 0: 0.5 - 0.05 [log(e^5 + e^1) + log(e^5 + e^2)] = -0.00334
    pair 1: 0.6 - 0.05 [log(e^2 + e^6) + log(e^1 + e^6)] = -0.00124
    """
    found = contrast(np.array([[0.5, 0.1], [0.2, 0.6]]), np.eye(2, dtype=bool), 0.1)
    by_hand = [
        0.5 - 0.05 * (math.log(math.e**5 + math.e**1) + math.log(math.e**5 + math.e**2)),
        0.6 - 0.05 * (math.log(math.e**2 + math.e**6) + math.log(math.e**1 + math.e**6)),
    ]
    assert np.allclose(found, by_hand, atol=1e-12) and np.allclose(found, [-0.00334, -0.00124], atol=1e-5)


def test_contrast_survives_a_cold_temperature():
    assert np.isfinite(contrast(np.array([[1.0, -1.0], [1.0, 0.9]]), np.eye(2, dtype=bool), 1e-4)).all()


def test_neg_clip_loss_of_one_pair_is_zero_and_never_above():
    assert np.allclose(neg_clip_loss(some_pairs(n=1)), 0)
    assert (neg_clip_loss(some_pairs()) <= 1e-9).all()


def test_neg_clip_loss_does_not_count_the_same_words_or_near_duplicates_against_a_pair():
    """Three photos with one caption: nobody is a negative of anybody. Two views of one photo: likewise."""
    same_words = Pairs(np.arange(3), np.zeros(3, dtype=int), np.arange(3), unit(3), unit(1))
    same_photo = Pairs(np.arange(3), np.arange(3), np.zeros(3, dtype=int), unit(3), unit(3, seed=5))
    assert np.allclose(neg_clip_loss(same_words), 0) and np.allclose(neg_clip_loss(same_photo), 0)


def test_neg_clip_loss_punishes_a_caption_that_suits_every_photo():
    """All captions lie at cosine 0.8 from their photo; the second one from every photo, so its column counts threefold:
    about -T/2 log 3, where the others, whose photo suits the second caption too, get -T/2 log 2."""
    images = np.array([[0.8, 0.6, 0], [0.8, 0, 0.6], [0.8, -0.6, 0]], dtype=np.float32)
    captions = np.array([[0.28, 0.96, 0], [1, 0, 0], [0.28, -0.96, 0]], dtype=np.float32)
    pairs = Pairs(np.arange(3), np.arange(3), np.arange(3), images, captions, temperature=0.05)
    assert np.allclose(cosine(pairs), 0.8)
    found = neg_clip_loss(pairs)
    assert np.allclose(found, [-0.025 * math.log(2), -0.025 * math.log(3), -0.025 * math.log(2)], atol=1e-5)


def test_neg_clip_loss_over_many_batches_is_near_that_of_one(monkeypatch):
    """Random batches estimate the whole: the order agrees, and it is seeded."""
    pairs = some_pairs(n=400, photos=400, captions=300)
    whole = neg_clip_loss(pairs)
    monkeypatch.setattr(signals_module, "BATCH", 100)
    monkeypatch.setattr(signals_module, "DRAWS", 20)
    parts = neg_clip_loss(pairs)
    assert np.corrcoef(whole, parts)[0, 1] > 0.97 and not np.array_equal(whole, parts)
    assert np.array_equal(parts, neg_clip_loss(pairs))
    assert not np.array_equal(parts, neg_clip_loss(replace(pairs, seed=1)))


def test_caption_reuse_without_vectors_counts_groups_of_photos():
    """Caption 0 on photos of groups 0, 0, 1 and 2; caption 1 on one photo."""
    pairs = Pairs(np.arange(5), np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 2, 3]))
    assert caption_reuse(pairs).tolist() == [3, 3, 3, 3, 1]


def test_caption_reuse_counts_photos_that_are_alike_for_less():
    """Kish: n / (1 + (n - 1) rho). The site's photos point in three directions at right angles, two of each.

    Caption 0 stands on two photos of one direction: rho = 1, they count as one. Caption 1 on photos of two directions:
    as unlike as any (1 - cosine = 1, the site's mean is 1 - 1/3, so rho = 1 - 1.5 -> 0): they count as two.
    """
    images = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
    pairs = Pairs(np.arange(6), np.array([0, 0, 1, 2, 1, 3]), np.arange(6), images, unit(4, dim=3))
    assert np.allclose(caption_reuse(pairs), [1, 1, 2, 1, 2, 1])


def test_caption_reuse_between_alike_and_unlike():
    """Two photos at cosine 0.5 in a site whose photos are at right angles (30 of them): spread 1 - 1/31.x."""
    images = np.eye(32, dtype=np.float32)
    images[1] = 0
    images[1, 0], images[1, 31] = 0.5, math.sqrt(0.75)
    pairs = Pairs(
        np.arange(31), np.array([0, 0, *range(1, 30)]), np.arange(31), images[:31], unit(30, dim=32)
    )
    centre = images[:31].mean(axis=0)
    rho = 1 - 0.5 / (1 - float(centre @ centre))
    assert np.isclose(caption_reuse(pairs)[0], 2 / (1 + rho)) and 1.3 < caption_reuse(pairs)[0] < 1.4


def test_corrections_are_not_counted_as_reuse():
    """A template gives many right photos the same words; that is no reason to doubt an old caption."""
    pairs = Pairs(
        np.arange(4), np.zeros(4, dtype=int), np.arange(4), original=np.array([True, True, False, False])
    )
    assert caption_reuse(pairs).tolist() == [2, 2, 2, 2]


def test_all_captions_equal():
    pairs = Pairs(
        np.arange(6), np.zeros(6, dtype=int), np.arange(6), np.eye(6, dtype=np.float32), unit(1, dim=6)
    )
    assert np.allclose(neg_clip_loss(pairs), 0) and np.isfinite(cosine(pairs)).all()
    assert np.allclose(caption_reuse(pairs), 6)


def test_no_template_leaves_its_signals_unknown():
    found = compute_signals(Pairs(np.arange(3), np.arange(3), np.arange(3), unit(3), unit(3, seed=4)))
    assert np.isnan(found["missing_slots"]).all() and np.isnan(found["vagueness"]).all()
    assert np.isfinite(found["cosine"]).all()
