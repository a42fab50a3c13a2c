"""What can be said of a pair without asking anybody: one function a signal, arrays in, one number a pair out.

    signals = compute_signals(pairs)          # {"cosine": (M,) float64, "neg_clip_loss": …, …}; NaN = cannot be known
    SIGNALS["cosine"](pairs)

A new signal is a function of `Pairs` and a line in SIGNALS. Captions of different languages lie at different distances
from photos, so one `Pairs` holds the captions of one language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from scoring.lemon import lemon
from scoring.neighbours import members
from scoring.pairs import BLOCK, Floats, Ints, Pairs
from scoring.panel import contrast
from scoring.site_fit import contradicting_slots, site_fit

if TYPE_CHECKING:
    from scoring.rows import Rows

__all__ = ["SIGNALS", "Pairs", "Signal", "compute_signals"]

SPREAD_PHOTOS = 20_000  # say how alike the photos of a site are
OTHERS = 12  # captions of the same photo and its near-duplicates that one caption is held against


@dataclass(frozen=True)
class Signal:
    """Which end of its scale is the bad one, and whether it needs vectors of photos and captions."""

    compute: Callable[[Pairs], Floats]
    bad_when: Literal["low", "high"]
    needs_encoder: bool = True

    def __call__(self, pairs: Pairs) -> Floats:
        """(M,) float64, for the rows asked; NaN where it cannot be known."""
        if self.needs_encoder and not pairs.has_vectors:
            return np.full(len(pairs.rows), np.nan)
        return np.asarray(self.compute(pairs), dtype=np.float64)


def cosine(pairs: Pairs) -> Floats:
    """(M,) cosine of photo and caption, in [-1, 1]. CLIPScore (Hessel et al. 2021, arXiv 2104.08718, section 3) is
    2.5 max(cosine, 0): the same order."""
    return pairs.own_cosine(pairs.rows)


def other_captions(pairs: Pairs) -> Floats:
    """(M,) cosine with the other captions of the photo and its near-duplicates; NaN where there is none.

    The mean over the half that is nearest, because some of them may be wrong as well. The same words count once, as
    this caption: a copy is no second opinion.
    """
    others = members(pairs.group_of, OTHERS, pairs.counted)
    found = np.full(len(pairs.rows), np.nan)
    for start in range(0, len(found), BLOCK // OTHERS):
        part = slice(start, start + BLOCK // OTHERS)
        rows = pairs.rows[part]
        near = others[pairs.group_of[rows]]  # (b, OTHERS)
        there = (near >= 0) & (pairs.caption_of[np.maximum(near, 0)] != pairs.caption_of[rows, None])
        vectors = pairs.caption_vectors(np.maximum(near, 0).ravel()).reshape(*near.shape, -1)
        likeness = np.einsum("bd,bkd->bk", pairs.caption_vectors(rows), vectors, dtype=np.float64)
        likeness = -np.sort(-np.where(there, likeness, -np.inf), axis=1)
        half = (there.sum(axis=1) + 1) // 2
        nearest = np.where(np.arange(near.shape[1]) < half[:, None], likeness, 0).sum(axis=1)
        found[part] = np.divide(nearest, half, out=np.full(len(rows), np.nan), where=half > 0)
    return found


def caption_reuse(pairs: Pairs) -> Floats:
    """(M,) on how many unlike photos the same words stand, at least 1.

    Near-duplicates count as one photo. Where there are vectors, n photos count as n / (1 + (n - 1) rho), the effective
    number of a clustered sample (Kish, Survey Sampling, 1965), where rho, in [0, 1], is how much more alike these
    photos are than the site's photos are among each other. Words for one work step stand on many photos of that step,
    and that is right; "see photo" stands on photos that have nothing in common.
    """
    counted = pairs.counted
    keys = [pairs.caption_of[counted], pairs.group_of[counted], pairs.image_of[counted]]
    order = np.lexsort(keys[::-1])
    caption_of, group_of, image_of = (key[order] for key in keys)
    first = np.ones(len(order), dtype=bool)  # one photo of each group
    first[1:] = (caption_of[1:] != caption_of[:-1]) | (group_of[1:] != group_of[:-1])
    caption_of, image_of = caption_of[first], image_of[first]
    photos = np.bincount(caption_of, minlength=int(pairs.caption_of.max(initial=-1)) + 1).astype(np.float64)
    if pairs.images is not None:
        photos /= 1 + np.maximum(photos - 1, 0) * _likeness(pairs, image_of, caption_of, photos)
    return np.maximum(photos[pairs.caption_of[pairs.rows]], 1)


def _likeness(pairs: Pairs, image_of: Ints, caption_of: Ints, photos: Floats) -> Floats:
    """rho of each caption, (C,): 1 - (mean of 1 - cosine among its photos) / (the same among all photos of the site).

    image_of: (M,) photos, sorted by caption_of: (M,). photos: (C,) how many each caption has.
    """
    assert pairs.images is not None
    rho = np.zeros(len(photos))
    drawn = pairs.photos[:: 1 + len(pairs.photos) // SPREAD_PHOTOS]
    spread = 1 - float(_squared_sums(pairs.images, drawn, np.zeros(1, np.int64))[0]) / max(len(drawn) ** 2, 1)
    several = np.flatnonzero(photos[caption_of] > 1)
    if len(several) and spread > 1e-9:
        captions, start = np.unique(caption_of[several], return_index=True)
        n = photos[captions]
        cosine_among = (_squared_sums(pairs.images, image_of[several], start) - n) / (n * (n - 1))
        rho[captions] = np.clip(1 - (1 - cosine_among) / spread, 0, 1)
    return rho


def _squared_sums(vectors: NDArray[np.float32] | Rows, rows: Ints, start: Ints) -> Floats:
    """(len(start),) the squared length of the sum of the vectors of rows[start[i]:start[i + 1]]."""
    ends, found = np.append(start, len(rows)), np.zeros(len(start))
    for first in range(0, len(start), BLOCK):
        part = ends[first : first + BLOCK + 1]
        total = _sums(vectors, rows[part[0] : part[-1]], part[:-1] - part[0])
        found[first : first + BLOCK] = np.einsum("cd,cd->c", total, total)
    return found


def _sums(vectors: NDArray[np.float32] | Rows, rows: Ints, start: Ints) -> Floats:
    """(len(start), D) sums of the vectors of rows[start[i]:start[i + 1]]; rows are read in blocks."""
    which = np.repeat(np.arange(len(start)), np.diff(np.append(start, len(rows))))
    found = np.zeros((len(start), vectors.shape[1]))
    for first in range(0, len(rows), BLOCK):
        part = slice(first, first + BLOCK)
        begins, at = np.unique(which[part], return_index=True)
        found[begins] += np.add.reduceat(np.asarray(vectors[rows[part]]), at, axis=0, dtype=np.float64)
    return found


def out_of_domain(pairs: Pairs) -> Floats:
    """(M,) how unlike the site's other photos the photo is: 1 - mean cosine with the NEAR most alike; NaN without."""
    cosine_of = pairs.near_photos.cosine.astype(np.float64)
    there = cosine_of > -2
    total = np.where(there, cosine_of, 0).sum(axis=1)
    alone = np.full(len(total), np.nan)
    mean = np.divide(total, there.sum(axis=1), out=alone, where=there.any(axis=1))
    return (1 - mean)[pairs.asked_photos[1]]


def missing_slots(pairs: Pairs) -> Floats:
    """(M,) how many required items of the template the caption does not state."""
    return _known(pairs.wordings.missing_slots if pairs.wordings else None, pairs)


def vagueness(pairs: Pairs) -> Floats:
    """(M,) how many words that say nothing (the template lists them) the caption has."""
    return _known(pairs.wordings.vague_words if pairs.wordings else None, pairs)


def length(pairs: Pairs) -> Floats:
    """(M,) words of the caption; in Japanese its characters."""
    return _known(pairs.wordings.length if pairs.wordings else None, pairs)


def language_unread(pairs: Pairs) -> Floats:
    """(M,) 1 where the encoder does not read the caption's language, else 0."""
    return np.full(len(pairs.rows), 0.0 if pairs.has_vectors else 1.0)


def unknown_tokens(pairs: Pairs) -> Floats:
    """(M,) share of the caption's tokens that the encoder does not know, in [0, 1]."""
    return _known(pairs.unknown_tokens, pairs)


def _known(values: Floats | None, pairs: Pairs) -> Floats:
    if values is None:
        return np.full(len(pairs.rows), np.nan)
    return np.asarray(values, dtype=np.float64)[pairs.rows]


SIGNALS: dict[str, Signal] = {
    "cosine": Signal(cosine, "low"),
    "neg_clip_loss": Signal(lambda pairs: contrast(pairs).neg_clip_loss, "low"),
    "caption_rank": Signal(lambda pairs: contrast(pairs).caption_rank, "high"),
    "image_rank": Signal(lambda pairs: contrast(pairs).image_rank, "high"),
    "lemon": Signal(lambda pairs: lemon(pairs).score, "high"),
    "lemon_images": Signal(lambda pairs: lemon(pairs).images, "high"),
    "site_fit": Signal(site_fit, "low"),
    "other_captions": Signal(other_captions, "low"),
    "contradicting_slots": Signal(contradicting_slots, "high"),
    "out_of_domain": Signal(out_of_domain, "high"),
    "caption_reuse": Signal(caption_reuse, "high", needs_encoder=False),
    "missing_slots": Signal(missing_slots, "high", needs_encoder=False),
    "vagueness": Signal(vagueness, "high", needs_encoder=False),
    "length": Signal(length, "low", needs_encoder=False),
    "language_unread": Signal(language_unread, "high", needs_encoder=False),
    "unknown_tokens": Signal(unknown_tokens, "high"),
}


def compute_signals(pairs: Pairs) -> dict[str, Floats]:
    """Every signal of every pair asked: name -> (M,) float64, NaN where it cannot be known."""
    return {name: signal(pairs) for name, signal in SIGNALS.items()}
