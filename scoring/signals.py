"""What can be said of a pair without asking anybody: one function a signal, arrays in, one number a pair out.

    signals = compute_signals(pairs)          # {"cosine": (N,) float64, "neg_clip_loss": …, …}; NaN = cannot be known
    SIGNALS["cosine"](pairs)

A new signal is a function of `Pairs` and a line in SIGNALS. Captions of different languages lie at different distances
from photos, so one `Pairs` holds the captions of one language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

BATCH = 1024  # pairs among which one pair is compared in one draw
DRAWS = 5
BLOCK = 65536  # rows gathered at a time, so that memory stays bounded


@dataclass(frozen=True)
class Pairs:
    """N pairs of one language: which photo, which caption, and what the template finds in the caption.

    Vectors are kept once for each photo and each distinct caption. They are None where the encoder does not read the
    language, and what the template finds is None without a template; signals that need them are then NaN.
    """

    image_of: Ints  # (N,) which photo; with vectors: its row in `images`
    caption_of: Ints  # (N,) which words; with vectors: their row in `captions`
    group_of: Ints  # (N,) equal for near-duplicate photos
    images: NDArray[np.float32] | None = None  # (U, D), unit length
    captions: NDArray[np.float32] | None = None  # (C, D), unit length
    missing_slots: Floats | None = (
        None  # (N,) how many required items of the template the caption does not state
    )
    vague_words: Floats | None = None  # (N,) how many words of the template's list of vague ones it has
    original: NDArray[np.bool_] | None = (
        None  # (N,) False for what a person wrote as a correction; None = all True
    )
    temperature: float = 0.01  # the encoder's own: 1 / its logit scale
    seed: int = 0

    def __len__(self) -> int:
        return len(self.image_of)

    @property
    def has_vectors(self) -> bool:
        return self.images is not None and self.captions is not None

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(N,) the pairs that others are compared with: the original ones, or all when there is none.

        So a correction never changes the rank of what still waits.
        """
        if self.original is None or not self.original.any():
            return np.ones(len(self), dtype=bool)
        return self.original


@dataclass(frozen=True)
class Signal:
    """A function of Pairs, and which end of its scale is the bad one."""

    compute: Callable[[Pairs], Floats]
    bad_when: Literal["low", "high"]
    needs_encoder: bool

    def __call__(self, pairs: Pairs) -> Floats:
        """(N,) float64; NaN where it cannot be known."""
        if self.needs_encoder and not pairs.has_vectors:
            return np.full(len(pairs), np.nan)
        return self.compute(pairs)


def cosine(pairs: Pairs) -> Floats:
    """(N,) cosine of photo and caption, in [-1, 1]. CLIPScore (Hessel et al. 2021, arXiv 2104.08718, section 3) is
    2.5 max(cosine, 0): the same order."""
    assert pairs.images is not None and pairs.captions is not None
    found = np.empty(len(pairs), dtype=np.float64)
    for start in range(0, len(pairs), BLOCK):
        rows = slice(start, start + BLOCK)
        image, caption = pairs.images[pairs.image_of[rows]], pairs.captions[pairs.caption_of[rows]]
        found[rows] = np.einsum("nd,nd->n", image, caption, dtype=np.float64)
    return found


def neg_clip_loss(pairs: Pairs) -> Floats:
    """(N,) at most 0; lower = the caption fits other photos, or the photo other captions, about as well.

    Wang et al. 2024, arXiv 2405.19547, definition 1:
    cos(i,t) - T/2 [log sum_j exp(cos(i,t_j)/T) + log sum_j exp(cos(i_j,t)/T)], the mean over DRAWS random batches; j
    runs over the batch, the pair itself included. Unlike the paper, the same words, and near-duplicates of the photo,
    are no negatives: a factory has thousands of both. Alone in its batch a pair gets 0.
    """
    assert pairs.images is not None and pairs.captions is not None
    n = len(pairs)
    batches = -(-n // BATCH)
    rng = np.random.default_rng(pairs.seed)
    draws = DRAWS if batches > 1 else 1  # one batch that holds all pairs is the same in every draw
    found = np.zeros(n, dtype=np.float64)
    for _ in range(draws if n else 0):
        for rows in np.array_split(rng.permutation(n), batches):
            caption_of, group_of = pairs.caption_of[rows], pairs.group_of[rows]
            same = (caption_of[:, None] == caption_of) | (group_of[:, None] == group_of)
            similarity = pairs.images[pairs.image_of[rows]] @ pairs.captions[caption_of].T
            found[rows] += contrast(similarity, same, pairs.temperature)
    return found / draws


def contrast(similarity: Floats, same: NDArray[np.bool_], temperature: float) -> Floats:
    """The formula of neg_clip_loss for one batch. similarity: (B, B), photos by captions; same: (B, B), no negatives.

    contrast([[0.5, 0.1], [0.2, 0.6]], eye(2), 0.1) = [-0.0028, -0.0011]
    """
    logits = np.where(same, -np.inf, similarity / temperature).astype(np.float64)
    own = np.diagonal(similarity).astype(np.float64) / temperature
    np.fill_diagonal(logits, own)
    both = _log_sum_exp(logits, axis=1) + _log_sum_exp(logits, axis=0)
    return temperature * (own - both / 2)


def _log_sum_exp(logits: Floats, axis: int) -> Floats:
    highest = logits.max(axis=axis, keepdims=True)
    return np.log(np.exp(logits - highest).sum(axis=axis)) + highest.squeeze(axis)


def caption_reuse(pairs: Pairs) -> Floats:
    """(N,) on how many unlike photos the same words stand, at least 1.

    Near-duplicates count as one photo. Where there are vectors, n photos count as n / (1 + (n - 1) rho), the effective
    number of a clustered sample (Kish, Survey Sampling, 1965), where rho, in [0, 1], is how much more alike these
    photos are than the site's photos are among each other. Words for one work step stand on many photos of that step,
    and that is right; "see photo" stands on photos that have nothing in common.
    """
    counted = pairs.counted
    keys = [pairs.caption_of[counted], pairs.group_of[counted], pairs.image_of[counted]]
    standing = np.unique(np.stack(keys, axis=1).astype(np.int64), axis=0)  # sorted by caption, group, photo
    _, first = np.unique(standing[:, :2], axis=0, return_index=True)
    caption_of, image_of = standing[first, 0], standing[first, 2]  # one photo of each group
    photos = np.bincount(caption_of, minlength=int(pairs.caption_of.max(initial=-1)) + 1).astype(np.float64)
    if pairs.images is not None:
        photos = photos / (
            1 + np.maximum(photos - 1, 0) * _likeness(pairs.images, image_of, caption_of, photos)
        )
    return np.maximum(photos[pairs.caption_of], 1)


def _likeness(images: NDArray[np.float32], rows: Ints, caption_of: Ints, photos: Floats) -> Floats:
    """rho of each caption, (C,): 1 - (mean of 1 - cosine among its photos) / (the same among all photos of the site).

    rows: (M,) photos, sorted by caption_of: (M,). photos: (C,) how many each caption has.
    """
    centre = images[np.unique(rows)].mean(axis=0, dtype=np.float64) if len(rows) else np.zeros(1)
    spread = 1 - float(centre @ centre)
    rho = np.zeros(len(photos))
    several = np.flatnonzero(photos[caption_of] > 1)
    if len(several) and spread > 1e-9:
        captions, start = np.unique(caption_of[several], return_index=True)
        total = np.add.reduceat(images[rows[several]], start, axis=0, dtype=np.float64)  # (C', D)
        n = photos[captions]
        cosine_among = (np.einsum("cd,cd->c", total, total) - n) / (n * (n - 1))
        rho[captions] = np.clip(1 - (1 - cosine_among) / spread, 0, 1)
    return rho


def missing_slots(pairs: Pairs) -> Floats:
    """(N,) how many required items of the template the caption does not state."""
    return _known(pairs.missing_slots, len(pairs))


def vagueness(pairs: Pairs) -> Floats:
    """(N,) how many words that say nothing (the template lists them) the caption has."""
    return _known(pairs.vague_words, len(pairs))


def _known(values: Floats | None, n: int) -> Floats:
    return np.full(n, np.nan) if values is None else np.asarray(values, dtype=np.float64)


SIGNALS: dict[str, Signal] = {
    "cosine": Signal(cosine, "low", needs_encoder=True),
    "neg_clip_loss": Signal(neg_clip_loss, "low", needs_encoder=True),
    "caption_reuse": Signal(caption_reuse, "high", needs_encoder=False),
    "missing_slots": Signal(missing_slots, "high", needs_encoder=False),
    "vagueness": Signal(vagueness, "high", needs_encoder=False),
}


def compute_signals(pairs: Pairs) -> dict[str, Floats]:
    """Every signal of every pair: name -> (N,) float64, NaN where it cannot be known."""
    return {name: signal(pairs) for name, signal in SIGNALS.items()}
