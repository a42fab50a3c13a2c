"""LEMoN against its formula in plain loops, and what may not be a neighbour."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoring import lemon as lemon_module
from scoring import pairs as pairs_module
from scoring.lemon import lemon
from scoring.signals import Pairs
from tests.scoring.synthetic import some_pairs, unit


def formula(pairs: Pairs, row: int, k: int) -> tuple[float, float, float]:
    """arXiv 2407.18941, equations 1 to 3 with the constants of its label-free setting: s, s_n, s_m of one pair."""
    x, y = pairs.images[pairs.image_of], pairs.captions[pairs.caption_of]

    def d(a: np.ndarray, b: np.ndarray) -> float:
        return 1 - float(a @ b)

    others = [j for j in np.flatnonzero(pairs.counted) if pairs.group_of[j] != pairs.group_of[row]]
    like_photos = sorted(others, key=lambda j: d(x[row], x[j]))[:k]
    like_captions = sorted(others, key=lambda j: d(y[row], y[j]))[:k]
    s_n = sum(
        d(y[row], y[j]) * math.exp(-0.1 * d(x[row], x[j])) * math.exp(-5 * d(x[j], y[j])) for j in like_photos
    ) / len(like_photos)
    s_m = sum(
        d(x[row], x[j]) * math.exp(-0.1 * d(y[row], y[j])) * math.exp(-5 * d(x[j], y[j]))
        for j in like_captions
    ) / len(like_captions)
    return d(x[row], y[row]) + 5 * s_n + 5 * s_m, s_n, s_m


def agrees(pairs: Pairs, k: int) -> None:
    found = lemon(pairs)
    for row in range(len(pairs)):
        s, s_n, _ = formula(pairs, row, k)
        assert math.isclose(found.score[row], s, abs_tol=1e-5) and math.isclose(
            found.images[row], s_n, abs_tol=1e-5
        )


@pytest.mark.parametrize("k", [1, 4, 30])
def test_one_caption_a_photo(monkeypatch, k):
    """40 pairs, k neighbours, with corrections that nobody is compared with."""
    for module in (pairs_module, lemon_module):
        monkeypatch.setattr(module, "NEAREST", k)
    rows = np.arange(40)
    pairs = Pairs(rows, rows, rows // 2, unit(40, seed=1), unit(40, seed=2), original=rows < 36)
    agrees(pairs, k)


def test_five_captions_a_photo_make_no_fewer_neighbours(monkeypatch):
    """The other captions of the photo, which are the most alike, are left out, and the next ones take their place."""
    for module in (pairs_module, lemon_module):
        monkeypatch.setattr(module, "NEAREST", 5)
    photo = np.repeat(np.arange(12), 5)
    captions = unit(12, seed=2)[photo] + 0.1 * unit(60, seed=3)
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    agrees(Pairs(photo, np.arange(60), photo, unit(12, seed=1), captions), 5)


def test_photos_and_captions_that_repeat(monkeypatch):
    """Everybody is a neighbour, so that it does not matter who of equal ones is drawn."""
    for module in (pairs_module, lemon_module):
        monkeypatch.setattr(module, "NEAREST", 200)
    monkeypatch.setattr(lemon_module, "PER_ITEM", 80)
    agrees(some_pairs(), 200)


def test_of_words_that_stand_on_thousands_a_few_are_neighbours(monkeypatch):
    """50 photos with the same words and one with other words, which are the next: with at most ten of the same words,
    a pair's neighbours by words are ten of its own words and the other one."""
    rows = np.arange(51)
    caption_of = np.where(rows == 50, 1, 0)
    captions = np.array([[1, 0], [0.8, 0.6]], dtype=np.float32)
    pairs = Pairs(rows, caption_of, rows, unit(51, 2, seed=3), captions)
    near = lemon_module._pairs_of_like_captions(pairs)(slice(0, 1))[0]
    assert (near >= 0).sum() in (10, 11) and 50 in near, "ten drawn ones, of which one may be the pair itself"


def test_in_parts_it_is_the_same(monkeypatch):
    whole = lemon(some_pairs())
    monkeypatch.setattr(lemon_module, "ROWS", 7)
    parts = lemon(some_pairs())
    assert np.allclose(parts.score, whole.score, atol=1e-6)
    assert np.allclose(parts.images, whole.images, atol=1e-6)


def test_without_neighbours_the_distance_alone_is_left():
    pairs = some_pairs(n=1)
    assert np.allclose(lemon(pairs).score, 1 - pairs.own_cosine(pairs.rows))
    photo = Pairs(np.zeros(3, int), np.arange(3), np.zeros(3, int), unit(1), unit(3, seed=4))
    assert np.allclose(lemon(photo).images, 0), "its own captions are no neighbours"
