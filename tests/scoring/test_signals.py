"""Signals by hand on small arrays, and what holds of every one of them."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest

from scoring import lemon as lemon_module
from scoring import pairs as pairs_module
from scoring.pairs import Wordings
from scoring.signals import (
    SIGNALS,
    Pairs,
    caption_reuse,
    compute_signals,
    cosine,
    other_captions,
    out_of_domain,
)
from tests.scoring.synthetic import normalised, right_and_wrong, some_pairs, taken, unit

KNOWN_ALONE = {  # of one pair that nothing can be compared with
    "cosine", "neg_clip_loss", "lemon", "lemon_images", "caption_reuse", "missing_slots", "vagueness", "length",
    "language_unread", "unknown_tokens",
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNALS)
class TestEverySignal:
    def test_gives_one_number_or_none_a_pair(self, name):
        found = SIGNALS[name](some_pairs())
        assert found.shape == (80,) and found.dtype == np.float64
        assert not np.isinf(found).any() and np.isfinite(found).sum() > 40

    def test_does_not_depend_on_the_order_of_the_pairs(self, name, monkeypatch):
        for module in (pairs_module, lemon_module):  # where more are there than are looked at, a draw decides
            monkeypatch.setattr(module, "NEAREST", 200)
        pairs, order = some_pairs(), np.random.default_rng(3).permutation(80)
        found, expected = SIGNALS[name](taken(pairs, order)), SIGNALS[name](pairs)[order]
        assert np.allclose(found, expected, atol=1e-5, equal_nan=True)

    def test_is_the_same_every_time_and_leaves_its_input_alone(self, name):
        pairs = some_pairs()
        before = copy.deepcopy(pairs)
        first = SIGNALS[name](pairs)
        assert np.array_equal(first, SIGNALS[name](some_pairs()), equal_nan=True)
        for field in (
            "images",
            "captions",
            "image_of",
            "caption_of",
            "group_of",
            "unknown_tokens",
            "original",
        ):
            assert np.array_equal(getattr(before, field), getattr(pairs, field)), field
        for field in ("length", "missing_slots", "vague_words", "stated"):
            assert np.array_equal(getattr(before.wordings, field), getattr(pairs.wordings, field)), field

    @pytest.mark.parametrize("rows", [[5], [79, 3, 75, 40], list(range(79, -1, -1)), []])
    def test_some_rows_asked_give_the_numbers_of_all_rows(self, name, rows):
        """So a re-score after some corrections says what ranking the whole site would say."""
        whole, asked = some_pairs(), np.array(rows, dtype=np.int64)
        found = SIGNALS[name](replace(whole, asked=asked))
        assert found.shape == asked.shape
        assert np.allclose(found, SIGNALS[name](whole)[asked], atol=1e-6, equal_nan=True)

    def test_corrections_do_not_change_what_is_said_of_the_others(self, name):
        """The last nine are people's; without them the first ones get the same."""
        pairs = some_pairs()
        alone = taken(pairs, np.arange(71))
        assert np.allclose(SIGNALS[name](pairs)[:71], SIGNALS[name](alone), atol=1e-6, equal_nan=True)

    def test_no_pairs_give_no_numbers(self, name):
        assert SIGNALS[name](some_pairs(n=0)).shape == (0,)

    def test_one_pair_alone(self, name):
        found = SIGNALS[name](some_pairs(n=1))
        assert found.shape == (1,) and not np.isinf(found).any()
        assert np.isfinite(found).all() == (name in KNOWN_ALONE)

    def test_without_vectors_only_those_that_need_none_are_known(self, name):
        found = SIGNALS[name](replace(some_pairs(), images=None, captions=None))
        assert np.isnan(found).all() if SIGNALS[name].needs_encoder else np.isfinite(found).all()

    def test_all_captions_equal(self, name):
        same = Pairs(
            np.arange(60), np.zeros(60, dtype=int), np.arange(60), unit(60), unit(1, seed=9),
            Wordings(np.ones(60), np.zeros(60), np.zeros(60), np.zeros((60, 1), dtype=int)), np.zeros(60),
        )  # fmt: skip
        assert not np.isinf(SIGNALS[name](same)).any()

    def test_a_pair_that_is_worse_is_worse_by_its_direction(self, name):
        if name == "language_unread":
            good, bad = SIGNALS[name](some_pairs(1)), SIGNALS[name](replace(some_pairs(1), captions=None))
        else:
            good, bad = SIGNALS[name](right_and_wrong())[:2]
        assert bad < good if SIGNALS[name].bad_when == "low" else bad > good


def test_compute_signals_gives_all_of_them():
    found = compute_signals(some_pairs())
    assert list(found) == list(SIGNALS)
    assert np.array_equal(found["lemon"], SIGNALS["lemon"](some_pairs()))


def test_cosine_by_hand():
    pairs = Pairs(
        np.array([0, 0, 1]), np.array([0, 1, 1]), np.arange(3),
        np.array([[1, 0], [0.6, 0.8]], dtype=np.float32), np.array([[1, 0], [0, 1]], dtype=np.float32),
    )  # fmt: skip
    assert np.allclose(cosine(pairs), [1.0, 0.0, 0.8])
    assert np.allclose(cosine(replace(pairs, asked=np.array([2]))), [0.8])


def test_cosine_in_blocks_is_the_same(monkeypatch):
    whole = cosine(some_pairs())
    monkeypatch.setattr(pairs_module, "BLOCK", 7)
    assert np.array_equal(cosine(some_pairs()), whole)


def test_other_captions_by_hand():
    """One photo and its near-duplicate with four captions at 0, 60, 90 and 180 degrees; another photo with one.

    Caption 0 has three others at cosine 0.5, 0, -1: the nearer half are two, mean 0.25. Caption at 60 degrees: 0.5,
    cos 30, -0.5 -> mean of the first two. The same words again are this caption, no second opinion.
    """
    at = np.radians([0, 60, 90, 180, 33])
    captions = np.stack([np.cos(at), np.sin(at)], axis=1).astype(np.float32)
    group_of, caption_of = np.array([7, 7, 7, 7, 3, 7]), np.array([0, 1, 2, 3, 4, 0])
    found = other_captions(Pairs(np.array([0, 0, 1, 1, 2, 1]), caption_of, group_of, unit(3, 2), captions))
    root = math.sqrt(3) / 2
    # For captions 1, 2, 3 the words of caption 0 stand there twice: four others, the nearer half are two.
    by_hand = [0.25, (root + 0.5) / 2, (root + 0) / 2, (0 - 0.5) / 2, np.nan, 0.25]
    assert np.allclose(found, by_hand, atol=1e-6, equal_nan=True)


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


def test_out_of_domain_by_hand():
    """1 - mean cosine with the ten most alike outside the near-duplicates. Photo 0 lies at cosine 0.8 from ten photos
    at one place, which are near-duplicates of nobody, at 0 from the eleventh; photo 12 is a near-duplicate of photo 0.
    """
    ten = np.tile([[1, 0, 0]], (10, 1))
    images = np.array([[0.8, 0.6, 0], *ten, [0, 0, 1], [0.8, 0.6, 0]], dtype=np.float32)
    rows = np.arange(13)
    group_of = np.where(rows == 12, 0, rows)
    found = out_of_domain(Pairs(rows, rows, group_of, images, unit(13, 3)))
    assert np.isclose(found[0], 1 - 0.8) and np.isclose(found[12], 1 - 0.8)
    assert np.isclose(found[1], 1 - (9 * 1 + 0.8) / 10)
    assert np.isclose(found[11], 1.0), "at right angles to all"


def test_out_of_domain_of_near_duplicates_only_is_not_known():
    pairs = Pairs(np.arange(3), np.arange(3), np.zeros(3, dtype=int), unit(3), unit(3))
    assert np.isnan(out_of_domain(pairs)).all()


def test_signals_do_not_care_whether_vectors_lie_in_memory(tmp_path):
    whole = some_pairs()
    for name in ("images", "captions"):
        np.save(tmp_path / f"{name}.npy", getattr(whole, name))
    mapped = replace(
        whole, images=np.load(tmp_path / "images.npy", mmap_mode="r"),
        captions=np.load(tmp_path / "captions.npy", mmap_mode="r"),
    )  # fmt: skip
    found, expected = compute_signals(mapped), compute_signals(whole)
    assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in SIGNALS)


def test_no_template_leaves_its_signals_unknown():
    found = compute_signals(Pairs(np.arange(3), np.arange(3), np.arange(3), unit(3), unit(3, seed=4)))
    assert all(
        np.isnan(found[name]).all()
        for name in ("missing_slots", "vagueness", "length", "contradicting_slots")
    )
    assert np.isfinite(found["cosine"]).all()


def test_signals_find_planted_swaps_in_their_own_ways():
    """A tenth of 400 photos carries the caption of a photo of another kind: all that looks at both finds them."""
    from scoring.measures import auroc

    rng = np.random.default_rng(0)
    kind = rng.integers(0, 8, 400)
    centres = rng.normal(size=(8, 32))
    images = normalised(centres[kind] + 0.6 * rng.normal(size=(400, 32)))
    captions = normalised(centres[kind] + 0.6 * rng.normal(size=(400, 32)))
    rows, wrong = np.arange(400), np.arange(400) < 40
    caption_of = rows.copy()
    for row in range(40):
        caption_of[row] = rng.choice(np.flatnonzero(kind != kind[row]))
    found = compute_signals(Pairs(rows, caption_of, rows, images, captions))
    for name in (
        "cosine",
        "neg_clip_loss",
        "caption_rank",
        "image_rank",
        "lemon",
        "lemon_images",
        "site_fit",
    ):
        badness = -found[name] if SIGNALS[name].bad_when == "low" else found[name]
        assert auroc(badness, wrong) > 0.95, name
