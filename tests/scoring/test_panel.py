"""A pair against a panel of the site's pairs: the formula and the ranks by hand, and what is not held against it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scoring import panel
from scoring.panel import batch_loss, contrast
from scoring.signals import Pairs
from tests.scoring.synthetic import some_pairs, unit


def test_batch_loss_by_hand():
    """arXiv 2405.19547, definition 1, T = 0.1:
    pair 0: 0.5 - 0.05 [log(e^5 + e^1) + log(e^5 + e^2)] = -0.00334
    pair 1: 0.6 - 0.05 [log(e^2 + e^6) + log(e^1 + e^6)] = -0.00124
    """
    cosines = np.array([[0.5, 0.1], [0.2, 0.6]])  # photos x captions
    found = batch_loss(np.diag(cosines), cosines, cosines.T, np.eye(2, dtype=bool), 0.1)
    e = math.e
    by_hand = [
        0.5 - 0.05 * (math.log(e**5 + e**1) + math.log(e**5 + e**2)),
        0.6 - 0.05 * (math.log(e**2 + e**6) + math.log(e**1 + e**6)),
    ]
    assert np.allclose(found, by_hand, atol=1e-12) and np.allclose(found, [-0.00334, -0.00124], atol=1e-5)


def test_the_example_of_the_docstring():
    found = batch_loss([0.5], [[0.1]], [[0.2]], [[False]], 0.1)
    assert np.allclose(found, [-0.0033], atol=5e-5)


def test_batch_loss_survives_a_cold_temperature():
    cosines = np.array([[1.0, -1.0], [1.0, 0.9]])
    assert np.isfinite(batch_loss(np.diag(cosines), cosines, cosines.T, np.eye(2, dtype=bool), 1e-4)).all()


def naive(pairs: Pairs) -> tuple[list[float], list[float], list[float]]:
    """One batch of all counted pairs, in plain loops over the formula."""
    cosine = pairs.images @ pairs.captions.T
    loss, caption_rank, image_rank = [], [], []
    for row in range(len(pairs)):
        photo, caption = pairs.image_of[row], pairs.caption_of[row]
        own = float(cosine[photo, caption])
        texts, photos = [own], [own]
        for other in np.flatnonzero(pairs.counted):
            if pairs.caption_of[other] != caption and pairs.group_of[other] != pairs.group_of[row]:
                texts.append(float(cosine[photo, pairs.caption_of[other]]))
                photos.append(float(cosine[pairs.image_of[other], caption]))
        t = pairs.temperature
        sums = [math.log(sum(math.exp(one / t) for one in found)) for found in (texts, photos)]
        loss.append(own - t / 2 * sum(sums))
        caption_rank.append(sum(one > own for one in texts) / (len(texts) - 1))
        image_rank.append(sum(one > own for one in photos) / (len(photos) - 1))
    return loss, caption_rank, image_rank


def test_contrast_is_the_formula_over_all_pairs_of_a_small_site():
    """With vectors and batch together: the same words and near-duplicates are no negatives, corrections neither."""
    pairs = some_pairs()
    found, (loss, caption_rank, image_rank) = contrast(pairs), naive(pairs)
    assert np.allclose(found.neg_clip_loss, loss, atol=1e-5)
    assert np.allclose(found.caption_rank, caption_rank) and np.allclose(found.image_rank, image_rank)


def test_in_blocks_it_is_the_same(monkeypatch):
    whole = contrast(some_pairs())
    monkeypatch.setattr(panel, "CELLS", 80 * 3)
    parts = contrast(some_pairs())
    for name in ("neg_clip_loss", "caption_rank", "image_rank"):
        assert np.allclose(getattr(parts, name), getattr(whole, name), atol=1e-6), name


def test_ranks_by_hand():
    """Photo 0 fits captions 1, 2 better than its own and caption 3 worse; caption 0 fits photo 3 better only."""
    images = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]], dtype=np.float32)
    captions = np.array([[0.6, 0.8, 0], [0.8, 0, 0.6], [0.8, 0, -0.6], [0, 1, 0]], dtype=np.float32)
    found = contrast(Pairs(np.arange(4), np.arange(4), np.arange(4), images, captions))
    assert math.isclose(found.caption_rank[0], 2 / 3) and math.isclose(found.image_rank[0], 1 / 3)
    assert found.caption_rank[3] == 0 == found.image_rank[3]


def test_captions_with_the_same_vector_are_not_better_by_a_rounding():
    """ "A bolt." and "a bolt" are different captions and one vector for many tokenizers: none fits better.

    200 such captions and photos; sums in another order differ in the last bit, which must not decide a rank.
    """
    image, caption = unit(1, 512, seed=1), unit(1, 512, seed=2)
    rows = np.arange(200)
    pairs = Pairs(rows, rows, rows, np.repeat(image, 200, axis=0), np.repeat(caption, 200, axis=0))
    found = contrast(pairs)
    assert (found.caption_rank == 0).all() and (found.image_rank == 0).all()


def test_one_pair_alone_has_no_loss_and_no_rank():
    found = contrast(some_pairs(n=1))
    assert np.allclose(found.neg_clip_loss, 0) and np.isnan([found.caption_rank, found.image_rank]).all()
    assert (contrast(some_pairs()).neg_clip_loss <= 1e-9).all()


def test_neither_the_same_words_nor_near_duplicates_count_against_a_pair():
    """Three photos with one caption: nobody is a negative of anybody. Two views of one photo: likewise."""
    same_words = Pairs(np.arange(3), np.zeros(3, dtype=int), np.arange(3), unit(3), unit(1))
    same_photo = Pairs(np.arange(3), np.arange(3), np.zeros(3, dtype=int), unit(3), unit(3, seed=5))
    for pairs in (same_words, same_photo):
        assert np.allclose(contrast(pairs).neg_clip_loss, 0) and np.isnan(contrast(pairs).caption_rank).all()


def test_a_caption_that_suits_every_photo_is_punished():
    """All captions lie at cosine 0.8 from their photo; the second one from every photo, so its column counts threefold:
    about -T/2 log 3, where the others, whose photo suits the second caption too, get -T/2 log 2."""
    images = np.array([[0.8, 0.6, 0], [0.8, 0, 0.6], [0.8, -0.6, 0]], dtype=np.float32)
    captions = np.array([[0.28, 0.96, 0], [1, 0, 0], [0.28, -0.96, 0]], dtype=np.float32)
    pairs = Pairs(np.arange(3), np.arange(3), np.arange(3), images, captions, temperature=0.05)
    found = contrast(pairs).neg_clip_loss
    assert np.allclose(found, [-0.025 * math.log(2), -0.025 * math.log(3), -0.025 * math.log(2)], atol=1e-5)


@pytest.mark.parametrize(("batch", "draws"), [(100, 4), (40, 5)])
def test_many_batches_are_near_one(monkeypatch, batch, draws):
    """Random batches estimate the whole: the order agrees, and it is seeded."""
    pairs = replace(some_pairs(n=400, photos=400, captions=300), original=None)
    whole = contrast(pairs).neg_clip_loss
    monkeypatch.setattr(panel, "BATCH", batch)
    monkeypatch.setattr(panel, "DRAWS", draws)
    parts = contrast(replace(pairs)).neg_clip_loss
    assert np.corrcoef(whole, parts)[0, 1] > 0.9 and not np.array_equal(whole, parts)
    assert np.array_equal(parts, contrast(replace(pairs)).neg_clip_loss)
    assert not np.array_equal(parts, contrast(replace(pairs, seed=1)).neg_clip_loss)
