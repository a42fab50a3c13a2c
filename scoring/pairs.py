"""N pairs as arrays: what the signals (scoring/signals.py) are computed from.

    pairs = Pairs(image_of, caption_of, group_of, images, captions)       # all rows asked
    some = replace(pairs, asked=np.array([7, 8]))                         # the same site, two rows asked

Rows that are asked are compared with the counted ones: the captions that were there before any person corrected. So a
correction never changes what is said of a pair that still waits, and after some corrections only their own rows have to
be computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.neighbours import Neighbours, nearest

if TYPE_CHECKING:
    from scoring.rows import Rows
    from scoring.site_fit import SiteFit

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Vectors2D = NDArray[np.float32]
T = TypeVar("T")

BLOCK = 16384  # rows gathered at a time, so that memory stays bounded
NEAREST = 30  # photos beside which a photo is looked at
NEAR = 10  # of them, those that say whether a photo is like anything else
FOLDS = 5  # what is learned from a site's captions is asked of photos that it was not learned from


@dataclass(frozen=True)
class Wordings:
    """What is found in the words of N captions; None = there is no template."""

    length: Floats  # (N,) words, in Japanese characters
    missing_slots: Floats | None = None  # (N,) required items of the template that are not stated
    vague_words: Floats | None = None  # (N,) words of the template's list of vague ones
    stated: Ints | None = None  # (N, S) which option of each of the template's choices is stated, -1 = none


@dataclass(frozen=True)
class Pairs:
    """N pairs of one language. Vectors stand once for each photo and each distinct caption.

    Vectors of captions are None where the encoder does not read the language. images: (U, D), captions: (C, D), unit
    length, any array that is indexed like numpy's (a memory map too).
    """

    image_of: Ints  # (N,) which photo; with vectors: its row in `images`
    caption_of: Ints  # (N,) which words; with vectors: their row in `captions`
    group_of: Ints  # (N,) equal for near-duplicate photos
    images: Vectors2D | Rows | None = None
    captions: Vectors2D | Rows | None = None
    wordings: Wordings | None = None
    unknown_tokens: Floats | None = None  # (N,) share of the caption's tokens that the encoder does not know
    original: NDArray[np.bool_] | None = None  # (N,) False: a person's correction. None = all True
    fold_of: Ints | None = None  # (N,) in [0, FOLDS), equal in a group; None = drawn from group_of
    asked: Ints | None = None  # (M,) rows that are wanted; None = all
    fit: SiteFit | None = None  # what the counted pairs taught before; None = it is learned when it is needed
    temperature: float = 0.01  # the encoder's own: 1 / its logit scale
    seed: int = 0
    device: str = "cpu"  # where neighbours are looked for

    def __len__(self) -> int:
        return len(self.image_of)

    @property
    def has_vectors(self) -> bool:
        return self.images is not None and self.captions is not None

    @cached_property
    def rows(self) -> Ints:
        """(M,) the rows that are asked."""
        return np.arange(len(self)) if self.asked is None else self.asked

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """(N,) the pairs that others are compared with: the original ones, or all when there is none."""
        if self.original is None or not self.original.any():
            return np.ones(len(self), dtype=bool)
        return self.original

    @cached_property
    def folds(self) -> Ints:
        """(N,) in [0, FOLDS)."""
        return self.group_of % FOLDS if self.fold_of is None else self.fold_of

    @property
    def stated(self) -> Ints:
        """(N, S) which option of each of the template's choices the caption states, -1 = none; S = 0 without one."""
        found = self.wordings.stated if self.wordings else None
        return np.zeros((len(self), 0), dtype=np.int64) if found is None else found

    def sample(self, at_most: int) -> Ints:
        """Counted rows by a seeded draw, in the order of the draw: the same ones whichever rows are asked."""
        counted = np.flatnonzero(self.counted)
        drawn = np.random.default_rng(self.seed).permutation(len(counted))
        return counted[drawn[:at_most]]

    def image_vectors(self, rows: Ints) -> Vectors2D:
        """(len(rows), D) of the photos of these pairs."""
        assert self.images is not None
        return np.asarray(self.images[self.image_of[rows]], dtype=np.float32)

    def caption_vectors(self, rows: Ints) -> Vectors2D:
        """(len(rows), D) of the captions of these pairs."""
        assert self.captions is not None
        return np.asarray(self.captions[self.caption_of[rows]], dtype=np.float32)

    def own_cosine(self, rows: Ints) -> Floats:
        """(len(rows),) float64, cosine of photo and caption."""
        found = np.empty(len(rows), dtype=np.float64)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            found[start : start + BLOCK] = np.einsum(
                "nd,nd->n", self.image_vectors(part), self.caption_vectors(part), dtype=np.float64
            )
        return found

    @cached_property
    def photos(self) -> Ints:
        """(P,) the photos of counted pairs, as rows of `images`."""
        return np.unique(self.image_of[self.counted])

    @cached_property
    def asked_photos(self) -> tuple[Ints, Ints]:
        """(Q,) the photos of the pairs asked, and for each pair asked (M,) which of them is its own."""
        return np.unique(self.image_of[self.rows], return_inverse=True)

    @cached_property
    def near_photos(self) -> Neighbours:
        """For each of asked_photos the NEAREST other photos, outside its group, and the cosines of the NEAR nearest;
        places count in `photos`."""
        assert self.images is not None
        group = np.full(int(self.image_of.max(initial=-1)) + 1, -1, dtype=np.int64)
        group[self.image_of] = self.group_of
        asked, _ = self.asked_photos
        return nearest(
            self.images, self.photos, asked, NEAREST, group[self.photos], group[asked], self.device, NEAR
        )


def once(function: Callable[[Pairs], T]) -> Callable[[Pairs], T]:
    """Signals that share their work share its result: it is kept as long as the pairs are."""

    @wraps(function)
    def kept(pairs: Pairs) -> T:
        found = pairs.__dict__
        if function.__name__ not in found:
            found[function.__name__] = function(pairs)
        return found[function.__name__]

    return kept
