"""What a site's own pairs teach: planted worlds, and the discriminant against densities written out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scoring import site_fit as module
from scoring.measures import auroc
from scoring.pairs import Wordings
from scoring.signals import Pairs, cosine
from scoring.site_fit import contradicting_slots, learn, site_fit, slot_odds
from tests.scoring.synthetic import normalised, unit


def rotated(n: int = 800, dim: int = 24, swapped: float = 0.2, seed: int = 0) -> tuple[Pairs, np.ndarray]:
    """Captions are a turn of their photos by 90 degrees, which no cosine sees; some carry another photo's words."""
    rng = np.random.default_rng(seed)
    images = unit(n, dim, seed=seed)
    axes, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    turn = axes @ np.kron(np.eye(dim // 2), [[0, 1], [-1, 0]]) @ axes.T
    captions = normalised(images @ turn + 0.05 * rng.normal(size=(n, dim)))
    wrong = rng.random(n) < swapped
    caption_of = np.arange(n)
    caption_of[wrong] = np.roll(np.flatnonzero(wrong), 1)
    return Pairs(np.arange(n), caption_of, np.arange(n), images, captions), wrong


def test_finds_swaps_where_the_cosine_is_chance():
    pairs, wrong = rotated()
    assert abs(auroc(-cosine(pairs), wrong) - 0.5) < 0.06
    assert auroc(-site_fit(pairs), wrong) > 0.95


def test_is_asked_of_photos_that_were_left_out_of_the_learning():
    """Photos and captions that have nothing to do with each other: learned by heart they would agree (about 1)."""
    rows = np.arange(100)
    pairs = Pairs(rows, rows, rows, unit(100, 64, seed=1), unit(100, 64, seed=2))
    assert abs(site_fit(pairs).mean()) < 0.1
    by_heart = replace(pairs, fold_of=np.where(rows < 99, 1, 0))  # one pair asked, the others learned from
    fit = {name.replace("/0", "/1"): array for name, array in learn(by_heart).arrays.items() if "/0" in name}
    assert site_fit(replace(by_heart, fit=module.SiteFit(fit)))[:99].mean() > 0.5, "so it does matter"


def test_near_duplicates_are_on_the_same_side():
    """Each photo twice, with captions that no map explains: the twin would give the answer away."""
    once = np.arange(150)
    twice = np.concatenate([once, once])
    images, captions = unit(150, 64, seed=1), unit(150, 64, seed=2)
    together = Pairs(np.arange(300), twice, twice, images[twice], captions)
    apart = replace(together, group_of=np.arange(300) + (np.arange(300) >= 150))  # in other folds
    assert abs(site_fit(together).mean()) < 0.1 < site_fit(apart).mean() - 0.1


def test_corrections_teach_nothing():
    """So what is said of the waiting pairs does not change with them."""
    pairs, _ = rotated(400)
    original = np.arange(400) < 300
    alone = Pairs(
        *(of[:300] for of in (pairs.image_of, pairs.caption_of, pairs.group_of)), pairs.images, pairs.captions
    )
    found = site_fit(replace(pairs, original=original))
    assert np.allclose(found[:300], site_fit(alone), atol=1e-5) and np.isfinite(found).all()


def test_too_few_pairs_teach_nothing():
    pairs, _ = rotated(module.FEWEST)
    assert np.isnan(site_fit(pairs)).all() and learn(pairs).arrays == {}


def test_what_was_learned_can_be_kept():
    pairs, _ = rotated(300)
    found = site_fit(pairs)
    again = site_fit(replace(pairs, fit=learn(pairs), asked=np.array([5, 250])))
    assert np.allclose(again, found[[5, 250]], atol=1e-6)


@pytest.mark.parametrize("vector", ["image", "caption"])
def test_vectors_that_are_all_equal(vector):
    pairs, _ = rotated(100)
    same = np.repeat(unit(1, 24, seed=5), 100, axis=0)
    pairs = replace(pairs, images=same) if vector == "image" else replace(pairs, captions=same)
    found = site_fit(pairs)
    assert np.isfinite(found).all() and np.abs(found).max() <= 1 + 1e-6


def two_kinds(n: int = 200, seed: int = 0) -> Pairs:
    """Photos of two kinds that are easily told apart; the captions state the kind, but the first one the other."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 2
    centres = np.eye(2, 6)
    images = normalised(centres[kind] + 0.1 * rng.normal(size=(n, 6)))
    stated = np.stack([kind, np.full(n, -1)], axis=1)
    stated[0, 0] = 1 - kind[0]
    stated[2, 0] = -1
    words = Wordings(np.ones(n), np.zeros(n), np.zeros(n), stated)
    return Pairs(np.arange(n), np.arange(n), np.arange(n), images, unit(n, 6, seed=9), words)


def test_a_caption_that_states_the_other_kind_is_contradicted():
    pairs = two_kinds()
    found = contradicting_slots(pairs)
    assert found[0] > math.log(100) and np.isnan(found[2]), "what is not stated cannot be contradicted"
    assert np.nanmax(np.delete(found, 0)) < math.log(2)
    likeliest, odds = slot_odds(pairs)
    assert likeliest.shape == odds.shape == (200, 2)
    assert np.array_equal(likeliest[:, 0], np.arange(200) % 2), (
        "also of a photo whose caption does not state it"
    )
    assert (likeliest[:, 1] == -1).all() and np.isnan(odds[:, 1]).all(), "nobody states the second choice"


def test_the_odds_are_those_of_two_normal_densities():
    """log P(k | x) from normal densities with one covariance, shrunk (Chen et al. 2010), and the kinds' shares."""
    from scipy.stats import multivariate_normal
    from sklearn.covariance import OAS

    pairs = two_kinds()
    rng = np.random.default_rng(1)
    pairs = replace(pairs, images=normalised(pairs.images + 0.4 * rng.normal(size=pairs.images.shape)))
    stated = pairs.stated[:, 0]
    _, odds = slot_odds(pairs)
    for fold in range(5):
        learned = np.flatnonzero((pairs.group_of % 5 != fold) & (stated >= 0))
        x, k = pairs.images[learned].astype(float), stated[learned]
        means = [x[k == kind].mean(axis=0) for kind in (0, 1)]
        covariance = OAS(assume_centered=True).fit(x - np.stack(means)[k]).covariance_
        for row in np.flatnonzero((pairs.group_of % 5 == fold) & (stated >= 0)):
            log_p = [
                multivariate_normal.logpdf(pairs.images[row], means[kind], covariance)
                + math.log((k == kind).mean())
                for kind in (0, 1)
            ]
            log_p = np.array(log_p) - np.logaddexp(*log_p)
            expected = log_p.max() - max(log_p[stated[row]], math.log(module.LEAST_PROBABLE))
            assert math.isclose(odds[row, 0], max(expected, 0), abs_tol=0.02)


def test_a_slot_with_one_option_or_hardly_stated_says_nothing():
    pairs = two_kinds()
    words = pairs.wordings
    for stated in (np.zeros((200, 1), int), np.where(np.arange(200) < 20, np.arange(200) % 2, -1)[:, None]):
        found = contradicting_slots(replace(pairs, wordings=replace(words, stated=stated)))
        assert np.isnan(found).all()


def test_no_choices_in_the_template():
    pairs = two_kinds()
    none = replace(pairs, wordings=replace(pairs.wordings, stated=np.zeros((200, 0), int)))
    assert np.isnan(contradicting_slots(none)).all() and slot_odds(none)[1].shape == (200, 0)


def test_an_option_that_nobody_else_states_is_not_contradicted():
    """ "17 bolts", once in the site: no photo of 17 was learned from, so it cannot be said what they look like."""
    pairs = two_kinds()
    stated = pairs.stated.copy()
    stated[4, 0] = 17
    likeliest, odds = slot_odds(replace(pairs, wordings=replace(pairs.wordings, stated=stated)))
    assert np.isnan(odds[4, 0]) and likeliest[4, 0] == 0 and np.isfinite(odds[5, 0])
