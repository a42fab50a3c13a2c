"""LEMoN: does a pair agree with the pairs of like photos and with the pairs of like captions?

    found = lemon(pairs)        # Lemon: score (M,), images (M,)

Zhang et al., ICML 2025, arXiv 2407.18941, in its setting without labels: k = 30, beta = gamma = 5, tau1 = 0.1,
tau2 = 5, cosine distances. Higher = worse:

    s   = d(x, y) + beta s_n + gamma s_m,                                             d(x, y) = 1 - cos(photo, caption)
    s_n = mean over the k pairs of like photos of   d(y, y_j) exp(-tau1 d(x, x_j)) exp(-tau2 d(x_j, y_j))
    s_m = mean over the k pairs of like captions of d(x, x_j) exp(-tau1 d(y, y_j)) exp(-tau2 d(x_j, y_j))

The pair itself, other captions of its photo, and its photo's near-duplicates are no neighbours. Unlike the paper, many
pairs here carry the same words; of each caption (and photo) at most PER_ITEM pairs are neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scoring.neighbours import members, nearest, standing
from scoring.pairs import NEAREST, Floats, Ints, Pairs, once

BETA = GAMMA = 5.0
TAU1, TAU2 = 0.1, 5.0
PER_ITEM = 10
ROWS = 512  # pairs at a time: 512 x 30 neighbours x 512 numbers are 32 MiB


@dataclass(frozen=True)
class Lemon:
    """(M,) float64 for the rows asked; 0 in a part that has no neighbours."""

    score: Floats
    images: Floats  # s_n alone: whether the captions of like photos say something like it


@once
def lemon(pairs: Pairs) -> Lemon:
    """See above. Vectors are needed."""
    own = 1 - pairs.own_cosine(pairs.rows)
    by_photo = _disagreements(pairs, _pairs_of_like_photos(pairs), of_text=True)
    by_caption = _disagreements(pairs, _pairs_of_like_captions(pairs), of_text=False)
    return Lemon(own + BETA * by_photo + GAMMA * by_caption, by_photo)


def _disagreements(pairs: Pairs, near: Callable[[slice], Ints], of_text: bool) -> Floats:
    """(M,) of all rows asked. One kind after the other: the lists of near pairs of both are not held at once."""
    found = np.zeros(len(pairs.rows))
    for start in range(0, len(found), ROWS):
        part = slice(start, start + ROWS)
        found[part] = _disagreement(pairs, pairs.rows[part], near(part), of_text)
    return found


def _disagreement(pairs: Pairs, rows: Ints, near: Ints, of_text: bool) -> Floats:
    """(b,) s_n (of_text) or s_m. near: (b, k) pairs, -1 = none."""
    there, chosen = near >= 0, np.maximum(near, 0)
    near_captions = pairs.caption_vectors(chosen.ravel()).reshape(*near.shape, -1)
    near_photos = pairs.image_vectors(chosen.ravel()).reshape(*near.shape, -1)
    texts = 1 - np.einsum("bd,bkd->bk", pairs.caption_vectors(rows), near_captions)
    photos = 1 - np.einsum("bd,bkd->bk", pairs.image_vectors(rows), near_photos)
    misfit = 1 - np.einsum("bkd,bkd->bk", near_photos, near_captions)
    disagreement, distance = (texts, photos) if of_text else (photos, texts)
    weighed = disagreement * np.exp(-TAU1 * distance) * np.exp(-TAU2 * misfit)
    return np.where(there, weighed, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def _pairs_of_like_photos(pairs: Pairs) -> Callable[[slice], Ints]:
    """slice of the rows asked -> (b, k) pairs that stand on the nearest photos."""
    near, (_, photo_of) = pairs.near_photos, pairs.asked_photos
    on_photo = members(pairs.image_of, PER_ITEM, pairs.counted)[pairs.photos]

    def of(part: slice) -> Ints:
        return standing(near.place[photo_of[part]], on_photo, NEAREST)

    return of


def _pairs_of_like_captions(pairs: Pairs) -> Callable[[slice], Ints]:
    """slice of the rows asked -> (b, k) pairs with the nearest captions, the same words first."""
    assert pairs.captions is not None
    used = np.unique(pairs.caption_of[pairs.counted])
    asked, caption_of = np.unique(pairs.caption_of[pairs.rows], return_inverse=True)
    # None is left out here: the same words on another photo are a neighbour.
    nobody, everybody = np.ones(len(asked), dtype=np.int64), np.zeros(len(used), dtype=np.int64)
    # Its own words are the nearest; the pairs of its own photo are left out below, so some more are looked at.
    near = nearest(pairs.captions, used, asked, NEAREST + PER_ITEM, everybody, nobody, pairs.device, 0)
    with_words = members(pairs.caption_of, PER_ITEM, pairs.counted)[used]

    def of(part: slice) -> Ints:
        items = near.place[caption_of[part]]
        candidates = np.where(items[:, :, None] >= 0, with_words[items], -1).reshape(len(items), -1)
        group = pairs.group_of[pairs.rows[part]]
        return standing(
            items, with_words, NEAREST, pairs.group_of[np.maximum(candidates, 0)] == group[:, None]
        )

    return of
