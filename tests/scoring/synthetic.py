"""Made-up sites as arrays: vectors with a known meaning, so that what a signal must find is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.pairs import Pairs, Wordings

Array = NDArray[Any]


def unit(n: int, dim: int = 8, seed: int = 0) -> Array:
    """(n, dim) random directions."""
    return normalised(np.random.default_rng(seed).normal(size=(n, dim)))


def normalised(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def some_pairs(n: int = 80, photos: int = 40, captions: int = 25, seed: int = 0) -> Pairs:
    """Random in every respect; two photos a group, two choices in the template."""
    rng = np.random.default_rng(seed)
    image_of = rng.integers(0, photos, n)
    return Pairs(
        image_of=image_of,
        caption_of=rng.integers(0, captions, n),
        group_of=image_of // 2,
        images=unit(photos, seed=1),
        captions=unit(captions, seed=2),
        wordings=Wordings(
            length=rng.integers(1, 20, n).astype(float),
            missing_slots=rng.integers(0, 4, n).astype(float),
            vague_words=rng.integers(0, 2, n).astype(float),
            stated=rng.integers(-1, 3, (n, 2)),
        ),
        unknown_tokens=rng.random(n),
        original=np.arange(n) < max(n - 9, 1),
        temperature=0.05,
    )


def taken(pairs: Pairs, rows: Array) -> Pairs:
    """These pairs in this order; their photos and captions stay."""

    def of(values: Array | None) -> Any:
        return None if values is None else values[rows]

    words = pairs.wordings
    return replace(
        pairs, image_of=pairs.image_of[rows], caption_of=pairs.caption_of[rows], group_of=pairs.group_of[rows],
        unknown_tokens=of(pairs.unknown_tokens), original=of(pairs.original),
        wordings=words and Wordings(
            words.length[rows], of(words.missing_slots), of(words.vague_words), of(words.stated)
        ),
    )  # fmt: skip


def right_and_wrong(kinds: int = 6, per_kind: int = 24, dim: int = 16, seed: int = 0) -> Pairs:
    """A site whose photos show one of some kinds of part, two captions each, the first template choice names the kind.

    Pair 0 is right in every respect. Pair 1 is wrong in every respect: the photo is unlike the others, its caption
    stands on five photos of other kinds, states their kind, is short and vague and has unknown words.
    """
    rng = np.random.default_rng(seed)
    kind = np.tile(np.arange(kinds), per_kind)  # of each photo
    centres = np.eye(kinds, dim)
    images = normalised(centres[kind] + 0.05 * rng.normal(size=(len(kind), dim)))
    captions = normalised(centres[kind] + 0.05 * rng.normal(size=(len(kind), dim)))
    other = normalised(centres[kind] + 0.05 * rng.normal(size=(len(kind), dim)))
    images[1] = normalised(centres[None, kind[1]] + 0.8 * np.eye(1, dim, dim - 1))[0]
    n = len(kind)
    caption_of = np.concatenate([np.arange(n), np.arange(n, 2 * n)])
    said = np.concatenate([kind, kind])[:, None].copy()
    for wrong in (1, 3, 4, 5, 6):  # the words of a photo of kind 2 on photos of kinds 1, 3, 4, 5, 0
        caption_of[wrong], said[wrong, 0] = 2, kind[2]
    first = np.arange(2 * n)
    return Pairs(
        image_of=first % n, caption_of=caption_of, group_of=first % n, images=images,
        captions=np.concatenate([captions, other]),
        wordings=Wordings(
            np.where(first == 1, 1.0, 9.0), np.where(first == 1, 3.0, 0.0), np.where(first == 1, 1.0, 0.0), said
        ),
        unknown_tokens=np.where(first == 1, 0.5, 0.0),
    )  # fmt: skip
