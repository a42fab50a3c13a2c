"""A pair against a panel: up to DRAWS random batches of the site's own pairs, the same ones for every pair.

    found = contrast(pairs)        # Contrast: neg_clip_loss (M,), caption_rank (M,), image_rank (M,)

A cosine alone does not say whether a caption is special to its photo: "a photo of a part" fits everything fairly well.
Neither the same words nor near-duplicates of the photo are held against a pair: a factory has thousands of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.pairs import Floats, Pairs, once

BATCH = 1024  # pairs among which one pair is compared in one draw
DRAWS = 5
CELLS = 1 << 23  # similarities held at a time: 32 MiB
TIE = 1e-6  # cosines that differ by less are equal: finer differences are the noise of float32 sums


@dataclass(frozen=True)
class Contrast:
    """Each array: (M,) float64, for the rows asked."""

    neg_clip_loss: (
        Floats  # at most 0; lower = the caption fits other photos, or the photo other captions, as well
    )
    caption_rank: Floats  # share of other captions that fit the photo better, in [0, 1]; NaN without others
    image_rank: Floats  # share of other photos that fit the caption better, in [0, 1]; NaN without others


@once
def contrast(pairs: Pairs) -> Contrast:
    """Wang et al. 2024, arXiv 2405.19547, definition 1, averaged over the batches of the panel:

    cos(i,t) - T/2 [log sum_j exp(cos(i,t_j)/T) + log sum_j exp(cos(i_j,t)/T)], j over the batch and the pair itself.
    """
    drawn = pairs.sample(DRAWS * BATCH)
    batches = [batch for batch in np.array_split(drawn, max(1, -(-len(drawn) // BATCH))) if len(batch)]
    m = len(pairs.rows)
    loss, better, others = np.zeros(m), np.zeros((2, m)), np.zeros(m)
    for batch in batches:
        texts, photos = pairs.caption_vectors(batch), pairs.image_vectors(batch)
        size = max(1, CELLS // len(batch))
        for start in range(0, m, size):
            part = slice(start, start + size)
            rows = pairs.rows[part]
            same = (pairs.caption_of[rows, None] == pairs.caption_of[batch]) | (
                pairs.group_of[rows, None] == pairs.group_of[batch]
            )
            own = pairs.own_cosine(rows)
            to_texts = pairs.image_vectors(rows) @ texts.T
            to_photos = pairs.caption_vectors(rows) @ photos.T
            loss[part] += batch_loss(own, to_texts, to_photos, same, pairs.temperature)
            for side, found in enumerate((to_texts, to_photos)):
                better[side, part] += ((found > own[:, None] + TIE) & ~same).sum(axis=1)
            others[part] += (~same).sum(axis=1)
    share = np.divide(better, others, out=np.full_like(better, np.nan), where=others > 0)
    return Contrast(loss / max(len(batches), 1), share[0], share[1])


def batch_loss(
    own: Floats, to_texts: Floats, to_photos: Floats, same: NDArray[np.bool_], temperature: float
) -> Floats:
    """The formula for b pairs and one batch of B. own: (b,) cosines; to_texts, to_photos, same (no negatives): (b, B).

    batch_loss([0.5], [[0.1]], [[0.2]], [[False]], 0.1) = [-0.0033]
    """
    own = np.asarray(own, dtype=np.float64) / temperature
    sums = [
        _log_sum_exp(np.asarray(found), np.asarray(same), own, temperature) for found in (to_texts, to_photos)
    ]
    return temperature * (own - (sums[0] + sums[1]) / 2)


def _log_sum_exp(found: Floats, same: NDArray[np.bool_], own: Floats, temperature: float) -> Floats:
    """(b,) log of the sum over the batch and the pair itself."""
    highest = np.maximum(np.max(found, axis=1, initial=-np.inf, where=~same) / temperature, own)
    # In place and in float32, which is where the time goes; the sums are float64.
    logits = found / found.dtype.type(temperature)
    logits -= highest[:, None].astype(logits.dtype)
    logits[same] = -np.inf
    np.exp(logits, out=logits)
    return np.log(logits.sum(axis=1, dtype=np.float64) + np.exp(own - highest)) + highest
