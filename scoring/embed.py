"""Embeds what a site has and the encoder has not seen yet: new photos, and new distinct captions in languages it reads.

    counts = embed_site(site, encoder)                        # EmbedCounts; a second call computes nothing
    images = image_vectors(site, encoder, image_ids)          # (n, D) float32, unit length
    texts = caption_vectors(site, encoder, caption_ids)       # (n, D)

Photos are decoded by threads ahead of the model, no larger than it needs them (scoring/decode.py). Vectors go to disk
every few seconds, in whole batches of a fixed order, so that a killed run goes on where it stopped and ends with the
same numbers; what is on disk is not kept in memory. `encoder` must be as it was loaded: vectors are kept under the
fingerprint of its files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.photos import PhotoError, read_size
from data.records import normalise_caption
from scoring.decode import Photo, encoded_batches
from scoring.encoders import require_usable
from scoring.vectors import SHARD_ROWS, Kind, Vectors, VectorStore

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from data.site import Site
    from scoring.encoder_files import EncoderSource
    from scoring.encoders import Encoder

CAPTION_BATCH = 128
LOOKED_UP = 8192  # photos or captions that are read from the store at a time
SHARD_SECONDS = 15.0  # how much work a kill may cost
SHOWN_UNREADABLE = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What an encoder should have seen of a site: ids in their order, as Arrow text."""

    site: Site
    images: pyarrow.Array
    captions: pyarrow.Array

    @property
    def photos(self) -> list[Photo]:
        """All of them, with their files."""
        return list(photos_of(self.site, self.images))


@dataclass(frozen=True)
class EmbedCounts:
    """What one run did. `*_known`: those whose vectors were there already."""

    images: int = 0
    images_known: int = 0
    captions: int = 0
    captions_known: int = 0
    unreadable: int = 0  # photos whose file is gone or damaged since ingest
    discarded: int = 0  # vectors of another checkpoint under the same name
    damaged: int = 0  # shards that could not be read


@dataclass(frozen=True)
class Embedded:
    """The vectors after a run; photos that cannot be read have none."""

    images: Vectors
    captions: Vectors
    counts: EmbedCounts
    unreadable: list[Photo]


def embed_site(site: Site, encoder: Encoder, progress: Progress = silent) -> EmbedCounts:
    """Embed every photo and every caption in a language that the encoder reads, where that is not done yet.

    A photo that cannot be read any more is counted, not fatal. Raises GenbaError, which names the photo or caption,
    when the encoder gives NaN or zero.
    """
    todo = wanted(site, encoder.source)
    return embed_wanted(VectorStore.of(site, encoder.source), lambda: encoder, todo, progress).counts


def image_vectors(
    site: Site, encoder: Encoder, image_ids: Sequence[str], progress: Progress = silent
) -> NDArray[np.float32]:
    """(n, D) float32, unit length, in the order of the ids; computed and stored where they are not there yet.

    Raises GenbaError for an id that the site has not, and for a photo that cannot be read.
    """
    return _by_id(site, encoder, "images", image_ids, progress)


def caption_vectors(
    site: Site, encoder: Encoder, caption_ids: Sequence[str], progress: Progress = silent
) -> NDArray[np.float32]:
    """(n, D) float32, unit length, in the order of the ids; computed and stored where they are not there yet.

    Languages that the encoder does not read are embedded too. Raises GenbaError for an id that the site has not.
    """
    return _by_id(site, encoder, "captions", caption_ids, progress)


def wanted(site: Site, source: EncoderSource) -> Wanted:
    """All photos of the site, and its distinct captions in languages that the encoder reads."""
    with site.connect() as db:
        languages = [row["language"] for row in db.rows("SELECT DISTINCT language FROM pairs")]
        read = [one for one in languages if source.reads(one)]
        images = db.connection.sql("SELECT image_id FROM images ORDER BY image_id").to_arrow_table()
        captions = db.connection.sql(
            "SELECT DISTINCT caption_id FROM pairs WHERE state = 'captioned' AND language IN (SELECT unnest(?)) "
            "ORDER BY caption_id",
            params=[read],
        ).to_arrow_table()
    return Wanted(site, images[0].combine_chunks(), captions[0].combine_chunks())


def embed_wanted(
    store: VectorStore, load: Callable[[], Encoder], todo: Wanted, progress: Progress = silent
) -> Embedded:
    """Embed what the store has not. `load` gives the encoder; it is called only when something is new."""
    with store.writing():
        images, captions = store.load("images"), store.load("captions")
        photos, texts = _absent(todo.images, images), _absent(todo.captions, captions)
        counts = EmbedCounts(
            images_known=len(todo.images) - len(photos), captions_known=len(todo.captions) - len(texts)
        )
        if len(texts) or any(
            map(is_readable, photos_of(todo.site, photos))
        ):  # else the model is loaded for nothing
            run = _Run(load(), store, todo.site, len(photos) + len(texts), progress)
            unreadable = run.embed_photos(photos)
            counts = replace(counts, images=len(photos) - len(unreadable), captions=run.embed_captions(texts))
            images = store.load("images") if len(photos) else images
            captions = store.load("captions") if len(texts) else captions
        else:
            unreadable = list(photos_of(todo.site, photos))
        if unreadable:
            _warn_unreadable(unreadable)
        store.write_manifest()
    counts = replace(counts, unreadable=len(unreadable), discarded=store.discarded, damaged=store.damaged)
    return Embedded(images, captions, counts, unreadable)


def _absent(ids: pyarrow.Array, stored: Vectors) -> pyarrow.Array:
    import pyarrow

    return ids.filter(pyarrow.array(stored.rows(ids) < 0))


def _by_id(
    site: Site, encoder: Encoder, kind: Kind, ids: Sequence[str], progress: Progress
) -> NDArray[np.float32]:
    import pyarrow

    with VectorStore.of(site, encoder.source).writing() as store:
        stored = store.load(kind)
        asked = pyarrow.array(sorted(set(ids)), pyarrow.string())
        absent = _absent(asked, stored)
        if len(absent):
            run = _Run(encoder, store, site, len(absent), progress)
            if kind == "captions":
                run.embed_captions(absent)
            elif unreadable := run.embed_photos(absent):
                raise GenbaError(
                    f"The photo {unreadable[0].path} cannot be read any more.",
                    next=f"genba relink {site.root} DIR",
                )
            stored = store.load(kind)
            store.write_manifest()
    return stored.take(ids)


def photos_of(site: Site, image_ids: pyarrow.Array) -> Iterator[Photo]:
    """The photos with these ids, in their order if they are sorted; read from the store in short transactions."""
    for start in range(0, len(image_ids), LOOKED_UP):
        with site.connect() as db:
            rows = db.rows(
                "SELECT image_id, uri, root FROM images WHERE image_id IN (SELECT unnest(?)) ORDER BY image_id",
                [image_ids[start : start + LOOKED_UP].to_pylist()],
            )
        for row in rows:
            yield Photo(row["image_id"], row["uri"], site.photo_path(row["root"], row["uri"]))


def captions_of(site: Site, caption_ids: pyarrow.Array) -> Iterator[tuple[str, str]]:
    """(caption_id, words) of the captions with these ids, likewise."""
    for start in range(0, len(caption_ids), LOOKED_UP):
        with site.connect() as db:
            rows = db.rows(
                "SELECT caption_id, min(caption) AS caption FROM pairs WHERE caption_id IN (SELECT unnest(?)) "
                "GROUP BY caption_id ORDER BY caption_id",
                [caption_ids[start : start + LOOKED_UP].to_pylist()],
            )
        for row in rows:
            yield row["caption_id"], normalise_caption(row["caption"])


@dataclass
class _Run:
    """One loaded encoder at work, with its progress."""

    encoder: Encoder
    store: VectorStore
    site: Site
    total: int
    progress: Progress
    done: int = 0

    def embed_photos(self, image_ids: pyarrow.Array) -> list[Photo]:
        """Embed and store; the photos that cannot be read."""
        if not len(image_ids):  # to make the model ready for photos takes seconds
            return []
        shards, unreadable = _Shards(self.store, "images"), []
        with closing(encoded_batches(self.encoder, photos_of(self.site, image_ids))) as batches:
            for batch, vectors in batches:
                unreadable += batch.unreadable
                require_usable(vectors, self.encoder.id, "photo", [photo.uri for photo in batch.photos])
                shards.add([photo.image_id for photo in batch.photos], vectors)
                self._report(len(batch), "photos")
        shards.write()
        return unreadable

    def embed_captions(self, caption_ids: pyarrow.Array) -> int:
        """Embed and store; how many."""
        shards = _Shards(self.store, "captions")
        captions = captions_of(self.site, caption_ids)
        while batch := dict(islice(captions, CAPTION_BATCH)):
            vectors = self.encoder.encode_texts(list(batch.values()))
            require_usable(vectors, self.encoder.id, "caption", list(batch.values()))
            shards.add(list(batch), vectors)
            self._report(len(batch), "captions")
        shards.write()
        return shards.count

    def _report(self, count: int, what: str) -> None:
        self.done += count
        self.progress(self.done, self.total, what)


@dataclass
class _Shards:
    """Collects batches and writes them as shards: every SHARD_ROWS rows or SHARD_SECONDS seconds, and at the end."""

    store: VectorStore
    kind: Kind
    count: int = 0
    ids: list[str] = field(default_factory=list)  # not yet written
    parts: list[NDArray[np.float32]] = field(default_factory=list)
    written_at: float = field(default_factory=time.monotonic)

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self.ids += ids
        self.parts.append(vectors)
        self.count += len(ids)
        if time.monotonic() - self.written_at > SHARD_SECONDS or len(self.ids) >= SHARD_ROWS:
            self.write()

    def write(self) -> None:
        import numpy as np

        if self.ids:
            self.store.append(self.kind, self.ids, np.concatenate(self.parts))
        self.ids, self.parts = [], []
        self.written_at = time.monotonic()


def is_readable(photo: Photo) -> bool:
    """Whether the file is there and begins as a photo does."""
    try:
        read_size(photo.path)
    except PhotoError:
        return False
    return True


def _warn_unreadable(photos: Sequence[Photo]) -> None:
    shown = ", ".join(str(photo.path) for photo in photos[:SHOWN_UNREADABLE])
    more = ", …" if len(photos) > SHOWN_UNREADABLE else ""
    log.warning(
        "%d photos cannot be read any more (%s%s); their captions stay unscored. If the folder has moved: "
        "genba relink SITE DIR", len(photos), shown, more,
    )  # fmt: skip
