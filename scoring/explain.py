"""Why a pair stands in the queue, by example: photos that its caption fits better, captions of photos like its own, and
the words that pull it down.

    found = explain(site, pair_ids)                    # from stored vectors; no model is loaded, none need be there
    found = explain(site, pair_ids, encoder)           # the words too: leave one out (Li et al. 2016, arXiv 1612.08220)
    rows = [{**row, **found[row["pair_id"]].fields()} for row in rows]

Pairs under the blind audit must not be explained to the person who judges them: that is up to the caller, who knows
why the pair is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.records import normalise_caption
from scoring.encoder_files import slug
from scoring.phrases import Splitter, without
from scoring.vectors import MANIFEST, Vectors, VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data.site import Site
    from data.store import Database
    from scoring.encoders import Encoder

SHOWN = 3
LISTED = (
    64,
    1024,
)  # nearest photos looked at; the second when the first give too few. Past it none is "like this one"


@dataclass(frozen=True)
class OtherPhoto:
    """A photo that the caption fits better than its own. `image`: its path; `cosine`: of the caption and this photo."""

    image_id: str
    image: str
    cosine: float


@dataclass(frozen=True)
class OtherCaption:
    """What stands on a photo like this one. `cosine`: of the two photos."""

    caption: str
    image_id: str
    image: str
    cosine: float


@dataclass(frozen=True)
class WordEffect:
    """`effect` = cosine with the word - cosine without it. Below 0 the word pulls the caption away from the photo."""

    word: str
    effect: float


@dataclass(frozen=True)
class Explanation:
    """What was found about one pair; the best fit first, words in the order of the caption."""

    pair_id: str
    cosine: (
        float | None
    )  # None: no caption, or one that the encoder does not read, or a photo that cannot be read
    fits_better: tuple[OtherPhoto, ...] = ()
    like: tuple[OtherCaption, ...] = ()
    words: tuple[WordEffect, ...] | None = None  # None: no encoder was given, or `cosine` is None

    def fields(self) -> dict[str, Any]:
        """The fields of a queue row; of the words the one that pulls down most comes first."""
        words = None if self.words is None else sorted(self.words, key=lambda one: one.effect)
        return {
            "fits_better_photos": [{"image": one.image, "cosine": one.cosine} for one in self.fits_better],
            "captions_of_like_photos": [
                {"caption": one.caption, "image": one.image, "cosine": one.cosine} for one in self.like
            ],
            "words": None if words is None else [{"word": one.word, "effect": one.effect} for one in words],
        }


def explain(
    site: Site, pair_ids: Sequence[str], encoder: Encoder | None = None, shown: int = SHOWN
) -> dict[str, Explanation]:
    """Explanations by pair, in the order of `pair_ids`. Encoder None: of the one that ranks the queue, without words.

    A pair without vectors has nothing to show, which is no error. Photos that somebody called private or unusable are
    never shown, nor captions that somebody has corrected. Raises GenbaError for a pair that the site has not.
    """
    pairs = _pairs(site, pair_ids, encoder)
    store = _store(site, encoder)
    if store is None:
        return {pair_id: Explanation(pair_id, None) for pair_id in pair_ids}
    images, captions = store.load("images", remove=False), store.load("captions", remove=False)
    photo = _stored(images, [pair["image_id"] for pair in pairs])
    caption = _stored(captions, [pair["caption_id"] if pair["is_read"] else "" for pair in pairs])
    found = [_Pair(*one) for one in zip(pairs, photo, caption, strict=True)]
    for listed in LISTED:
        if hungry := [one for one in found if one.is_hungry]:
            _look(site, hungry, images, listed, shown)
    if encoder is not None:
        _weigh_words(site, found, encoder)
    return {one.row["pair_id"]: one.told() for one in found}


def leave_one_out(
    captions: Sequence[tuple[str, str]], photos: NDArray[np.float32], encoder: Encoder, split: Splitter
) -> list[tuple[WordEffect, ...]]:
    """The effect of each phrase of each caption (text, language) on the cosine with its photo; photos: (N, D).

    All variants of all captions are one call to the text tower. A caption of one phrase has no word to leave out: ().
    """
    import numpy as np

    phrases = [split(text, language) for text, language in captions]
    phrases = [found if len(found) > 1 else [] for found in phrases]
    variants = [
        [normalise_caption(text), *(without(text, one) for one in found)]
        for (text, _), found in zip(captions, phrases, strict=True)
    ]
    texts = list(
        dict.fromkeys(text for row, found in zip(variants, phrases, strict=True) if found for text in row)
    )
    place = {text: row for row, text in enumerate(texts)}
    vectors = encoder.encode_texts(texts)
    effects = []
    for row, found, photo in zip(variants, phrases, photos, strict=True):
        cosines = vectors[[place[text] for text in row]] @ photo if found else np.zeros(1)
        effects.append(
            tuple(
                WordEffect(one.words, float(cosines[0] - one_less))
                for one, one_less in zip(found, cosines[1:], strict=True)
            )
        )
    return effects


@dataclass
class _Pair:
    """A pair on its way to its explanation."""

    row: dict[str, Any]
    photo: NDArray[np.float32] | None
    caption: NDArray[np.float32] | None
    fits_better: tuple[OtherPhoto, ...] = ()
    like: tuple[OtherCaption, ...] = ()
    words: tuple[WordEffect, ...] | None = None
    is_hungry: bool = False  # further down the list there may be more to show

    def __post_init__(self) -> None:
        self.is_hungry = self.photo is not None

    @property
    def cosine(self) -> float | None:
        return None if self.photo is None or self.caption is None else float(self.photo @ self.caption)

    def told(self) -> Explanation:
        return Explanation(self.row["pair_id"], self.cosine, self.fits_better, self.like, self.words)


def _pairs(site: Site, pair_ids: Sequence[str], encoder: Encoder | None) -> list[dict[str, Any]]:
    """`is_read`: the pair has a caption, in a language that the encoder reads (its score then has a cosine)."""
    name = site.queue_encoder()
    with site.connect() as db:
        rows = db.rows(
            "SELECT p.pair_id, p.image_id, p.caption_id, p.caption, p.language, p.state, i.group_id, "
            "s.cosine IS NOT NULL AS is_read FROM pairs p JOIN images i USING (image_id) "
            "LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = ? WHERE list_contains(?, p.pair_id)",
            [name, list(pair_ids)],
        )
    by_id = {row["pair_id"]: row for row in rows}
    absent = next((one for one in pair_ids if one not in by_id), None)
    if absent is not None:
        raise GenbaError(f"The site has no pair {absent!r}.", next=f"genba queue {site.root}")
    if encoder is not None:
        for row in rows:
            row["is_read"] = row["state"] != "missing" and encoder.source.reads(row["language"])
    return [by_id[one] for one in dict.fromkeys(pair_ids)]


def _store(site: Site, encoder: Encoder | None) -> VectorStore | None:
    """The vectors behind the queue. The scores say of which weights they are, so the weights need not be there."""
    if encoder is not None:
        return VectorStore.of(site, encoder.source)
    name = site.queue_encoder()
    with site.connect() as db:
        fingerprint = db.value("SELECT any_value(fingerprint) FROM scores WHERE encoder = ?", [name])
    folder = site.folder("vectors") / slug(name)
    if fingerprint is None or not (folder / MANIFEST).exists():
        return None
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return VectorStore(folder, name, str(fingerprint), int(manifest["dim"]))


def _stored(vectors: Vectors, ids: Sequence[str]) -> list[NDArray[np.float32] | None]:
    """The vector of each id, None where there is none."""
    rows = vectors.rows(ids)
    return [vectors.array[int(row)] if row >= 0 else None for row in rows]


def nearest_ids(vectors: Vectors, queries: NDArray[np.float32], k: int) -> list[list[tuple[str, float]]]:
    """For each query (Q, D) the k nearest vectors as (id, cosine), nearest first."""
    import numpy as np

    from scoring.neighbours import Streamed

    cosine, rows = Streamed(vectors.array, np.arange(len(vectors))).search(queries, min(k, len(vectors)))
    ids = vectors.keys.take(rows.reshape(-1)).to_pylist()
    width = rows.shape[1]
    return [
        list(zip(ids[q * width : (q + 1) * width], map(float, cosine[q]), strict=True))
        for q in range(len(queries))
    ]


def _look(site: Site, pairs: Sequence[_Pair], images: Vectors, listed: int, shown: int) -> None:
    """Fill `fits_better` and `like` of pairs whose photo has a vector, from the `listed` nearest photos."""
    import numpy as np

    by_photo = np.stack([one.photo for one in pairs if one.photo is not None])
    with_caption = [one for one in pairs if one.caption is not None]
    by_caption = np.stack(
        [by_photo[0] * 0, *(one.caption for one in with_caption if one.caption is not None)]
    )[1:]
    near = nearest_ids(images, np.concatenate([by_photo, by_caption]), listed)
    with site.connect() as db:
        known = _shown_photos(db, {image_id for row in near for image_id, _ in row})
        captions = _captions_of(
            db, {image_id for row in near[: len(pairs)] for image_id, _ in row} & set(known)
        )
    for one, row in zip(pairs, near, strict=False):
        one.like = _like(one, row, known, captions, shown)
        one.is_hungry = len(one.like) < shown and len(row) == listed
    for one, row in zip(with_caption, near[len(pairs) :], strict=True):
        one.fits_better = _fits_better(one, row, known, shown)
        more = len(one.fits_better) < shown and len(row) == listed and row[-1][1] > (one.cosine or 0.0)
        one.is_hungry = one.is_hungry or more


def _shown_photos(db: Database, image_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Photo -> (near-duplicate group, path), but those that somebody called private or unusable."""
    rows = db.rows(
        "SELECT i.image_id, i.group_id, i.uri FROM images i WHERE list_contains(?, i.image_id) AND NOT EXISTS ("
        "SELECT 1 FROM corrections c JOIN pairs o ON o.pair_id = c.old_pair_id WHERE o.image_id = i.image_id "
        "AND c.state = 'active' AND c.verdict IN ('private', 'unusable'))",
        [sorted(image_ids)],
    )
    return {row["image_id"]: (row["group_id"], row["uri"]) for row in rows}


def _captions_of(db: Database, image_ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Photo -> its captions, a person's own words first; without those that somebody has corrected."""
    rows = db.rows(
        "SELECT p.image_id, p.caption, p.caption_id, p.language FROM pairs p WHERE list_contains(?, p.image_id) "
        "AND p.state = 'captioned' AND NOT EXISTS (SELECT 1 FROM corrections c WHERE c.old_pair_id = p.pair_id "
        "AND c.state = 'active' AND c.verdict = 'fix') "
        "ORDER BY p.image_id, p.origin IN ('legacy', 'draft'), p.pair_id",
        [sorted(image_ids)],
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["image_id"], []).append(row)
    return found


def _fits_better(
    pair: _Pair, near: Sequence[tuple[str, float]], known: dict[str, tuple[str, str]], shown: int
) -> tuple[OtherPhoto, ...]:
    own = pair.cosine
    seen = {pair.row["group_id"]}
    found: list[OtherPhoto] = []
    for image_id, cosine in near:
        if own is None or cosine <= own or len(found) == shown:
            break
        group, uri = known.get(image_id, (pair.row["group_id"], ""))
        if group not in seen:
            seen.add(group)
            found.append(OtherPhoto(image_id, uri, cosine))
    return tuple(found)


def _like(
    pair: _Pair,
    near: Sequence[tuple[str, float]],
    known: dict[str, tuple[str, str]],
    captions: dict[str, list[dict[str, Any]]],
    shown: int,
) -> tuple[OtherCaption, ...]:
    """One caption for each group of near-duplicates, in the pair's language (a photo without a caption: in any)."""
    any_language = pair.row["language"] == "und" or pair.row["state"] == "missing"
    groups, words = {pair.row["group_id"]}, set()
    found: list[OtherCaption] = []
    for image_id, cosine in near:
        group, uri = known.get(image_id, (pair.row["group_id"], ""))
        for row in captions.get(image_id, ()) if group not in groups else ():
            if (any_language or row["language"] == pair.row["language"]) and row["caption_id"] not in words:
                groups.add(group)
                words.add(row["caption_id"])
                found.append(OtherCaption(row["caption"], image_id, uri, cosine))
                break
        if len(found) == shown:
            break
    return tuple(found)


def _weigh_words(site: Site, pairs: Sequence[_Pair], encoder: Encoder) -> None:
    import numpy as np

    read = [one for one in pairs if one.cosine is not None]
    if read:
        captions = [(one.row["caption"], one.row["language"]) for one in read]
        photos = np.stack([one.photo for one in read if one.photo is not None])
        effects = leave_one_out(captions, photos, encoder, Splitter(site.template()))
        for one, found in zip(read, effects, strict=True):
            one.words = found
