"""What a site's own pairs teach about photo and caption, asked of pairs that it was not learned from.

    fit = learn(pairs)             # SiteFit; some seconds, kept by scoring/score.py as long as the counted pairs stay
    site_fit(pairs)                # (M,) cosine after a linear map that makes the site's photos and captions agree
    contradicting_slots(pairs)     # (M,) how much likelier the photo is to show another option than the one stated

An encoder that has never seen a factory ranks its captions badly, yet the site holds thousands of pairs that are mostly
right. Learning from them what such photos are usually called, and asking that of photos left out of the learning
(near-duplicates always on the same side), is what confident learning does with classes (Northcutt et al. 2021,
doi 10.1613/jair.1.12125). Wrong captions among those learned from blur the answer and do not turn it.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.pairs import BLOCK, FOLDS, Floats, Ints, Pairs, Vectors2D, once

FEWEST = 50  # pairs from which a map is learned; with fewer the signal is not known
FIT_PAIRS = 20_000  # that many say what a linear map of some hundred dimensions needs
SLOT_PAIRS = 5_000
RIDGE = 0.3  # of the mean variance, added in each direction
FEWEST_STATED = 30  # captions that state the slot
LEAST_PROBABLE = 1e-3  # no photo contradicts a caption by more than these odds

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SiteFit:
    """What was learned, by name: `photo_mean/F`, `caption_mean/F` (D,), `photo_map/F`, `caption_map/F` (D, D) for fold
    F; `options/S/F` (K,), `weights/S/F` (K, D), `offsets/S/F` (K,) for slot S. What could not be learned is absent."""

    arrays: Arrays

    def save(self, path: Path, basis: str) -> None:
        """Keep it for the next run. basis: of which pairs it was learned."""
        half_written = path.with_suffix(".tmp")
        with half_written.open("wb") as file:
            np.savez(file, basis=np.array(basis), **self.arrays)  # type: ignore[arg-type]
        half_written.replace(path)

    @classmethod
    def load(cls, path: Path, basis: str) -> SiteFit | None:
        """None: there is none, it was learned from other pairs, or it is damaged; then it is learned again."""
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as found:
                if str(found["basis"]) != basis:
                    return None
                return cls({name: found[name] for name in found.files if name != "basis"})
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("%s is damaged (%s). What the site teaches is learned again.", path, error)
            return None


def learn(pairs: Pairs) -> SiteFit:
    """Everything that the counted pairs teach, each fold left out in turn. Vectors are needed."""
    arrays: Arrays = {}
    drawn = pairs.sample(len(pairs))
    for fold in range(FOLDS):
        others = drawn[pairs.folds[drawn] != fold]
        if len(others) >= FEWEST:
            arrays |= {f"{name}/{fold}": array for name, array in _maps(pairs, others[:FIT_PAIRS]).items()}
        stated = pairs.stated
        for slot in range(stated.shape[1]):
            usable = others[stated[others, slot] >= 0][:SLOT_PAIRS]
            options = np.unique(stated[usable, slot])
            if len(usable) >= FEWEST_STATED and len(options) > 1:
                found = discriminant(pairs.image_vectors(usable), stated[usable, slot], options)
                arrays |= {f"{name}/{slot}/{fold}": array for name, array in found.items()}
    return SiteFit(arrays)


def _maps(pairs: Pairs, learned: Ints) -> Arrays:
    """Regularised canonical correlation (Hotelling 1936; ridge as in Vinod 1976), directions weighted by their
    correlation."""
    photos, captions = pairs.image_vectors(learned), pairs.caption_vectors(learned)
    photo_mean, caption_mean = photos.mean(axis=0), captions.mean(axis=0)
    photos, captions = photos - photo_mean, captions - caption_mean
    photo_root, caption_root = _inverse_root(photos), _inverse_root(captions)
    left, correlation, right = np.linalg.svd(photo_root @ (photos.T @ captions / len(photos)) @ caption_root)
    return {"photo_mean": photo_mean, "photo_map": photo_root @ left * correlation,
            "caption_mean": caption_mean, "caption_map": caption_root @ right.T * correlation}  # fmt: skip


def _inverse_root(centred: Vectors2D) -> Vectors2D:
    """(D, D) inverse square root of the covariance, RIDGE added."""
    values, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    lifted = np.maximum(values, 0) + RIDGE * max(float(values.mean()), 1e-12)
    return np.asarray(directions / np.sqrt(lifted) @ directions.T, dtype=np.float32)


def discriminant(photos: Vectors2D, option: Ints, options: Ints) -> Arrays:
    """Linear discriminant with a shrunk covariance (Chen et al. 2010, doi 10.1109/TSP.2010.2053029).

    log P(option | photo) = weights @ photo + offsets, up to a constant.
    """
    from sklearn.covariance import oas

    of = np.searchsorted(options, option)
    count = np.bincount(of, minlength=len(options))
    means = np.zeros((len(options), photos.shape[1]))
    np.add.at(means, of, photos)
    means /= count[:, None]
    covariance, _ = oas(photos - means[of], assume_centered=True)
    weights = np.linalg.solve(covariance + 1e-9 * np.eye(len(covariance)), means.T).T
    offsets = np.log(count / count.sum()) - np.einsum("kd,kd->k", weights, means) / 2
    return {"options": options.astype(np.float32), "weights": weights.astype(np.float32),
            "offsets": offsets.astype(np.float32)}  # fmt: skip


def site_fit(pairs: Pairs) -> Floats:
    """(M,) in [-1, 1], by the maps learned without the fold of the pair; NaN where too few pairs were there."""
    arrays = _fit(pairs).arrays
    found = np.full(len(pairs.rows), np.nan)
    for fold, part in _by_fold(pairs):
        if f"photo_map/{fold}" in arrays:
            rows = pairs.rows[part]
            photo = pairs.image_vectors(rows) - arrays[f"photo_mean/{fold}"]
            caption = pairs.caption_vectors(rows) - arrays[f"caption_mean/{fold}"]
            mapped = (
                _unit(photo @ arrays[f"photo_map/{fold}"]),
                _unit(caption @ arrays[f"caption_map/{fold}"]),
            )
            found[part] = np.einsum("nd,nd->n", *mapped)
    return found


def contradicting_slots(pairs: Pairs) -> Floats:
    """(M,) log odds, at least 0: the worst of the slots that the caption states; NaN where none could be asked.

    For each choice of the template: log P(likeliest option | photo) - log P(stated option | photo).
    """
    _, odds = slot_odds(pairs)
    found = np.full(len(pairs.rows), np.nan)
    for slot in range(odds.shape[1]):
        found = np.fmax(found, odds[:, slot])
    return found


def slot_odds(pairs: Pairs) -> tuple[Ints, Floats]:
    """For each slot, (M, S): the option that the photo most likely shows, -1 = unknown, and the log odds for it against
    the stated one, NaN = not stated or unknown."""
    stated = pairs.stated
    slots = stated.shape[1]
    likeliest = np.full((len(pairs.rows), slots), -1, dtype=np.int32)
    odds = np.full((len(pairs.rows), slots), np.nan)
    if not slots or not pairs.has_vectors:
        return likeliest, odds
    arrays = _fit(pairs).arrays
    for fold, part in _by_fold(pairs):
        photos = pairs.image_vectors(pairs.rows[part]).astype(np.float64)  # logits can be thousands
        for slot in range(slots):
            if f"weights/{slot}/{fold}" not in arrays:
                continue
            options = arrays[f"options/{slot}/{fold}"].astype(np.int64)
            own = stated[pairs.rows[part], slot]
            probability = _softmax(
                photos @ arrays[f"weights/{slot}/{fold}"].T + arrays[f"offsets/{slot}/{fold}"]
            )
            likeliest[part, slot] = options[probability.argmax(axis=1)]
            place = np.minimum(np.searchsorted(options, own), len(options) - 1)
            of_own = probability[np.arange(len(part)), place]
            against = np.log(probability.max(axis=1)) - np.log(np.maximum(of_own, LEAST_PROBABLE))
            # What nobody else states, such as a number, was not learned: no photo can be said to contradict it.
            odds[part, slot] = np.where(options[place] == own, np.maximum(against, 0), np.nan)
    return likeliest, odds


def _fit(pairs: Pairs) -> SiteFit:
    return pairs.fit if pairs.fit is not None else _learned(pairs)


_learned = once(learn)


def _by_fold(pairs: Pairs) -> Iterator[tuple[int, Ints]]:
    """(fold, places among the rows asked), BLOCK places at a time."""
    fold_of = pairs.folds[pairs.rows]
    for fold in range(FOLDS):
        places = np.flatnonzero(fold_of == fold)
        for start in range(0, len(places), BLOCK):
            yield fold, places[start : start + BLOCK]


def _unit(vectors: Floats) -> Vectors2D:
    return np.asarray(
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32
    )


def _softmax(logits: Floats) -> Floats:
    """(b, K) rows that sum to 1, float64."""
    exponent = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))
