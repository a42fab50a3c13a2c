"""Embeds what a site has and the encoder has not seen yet: new photos, and new distinct captions in languages it reads.

    counts = embed_site(site, encoder)                        # EmbedCounts; a second call computes nothing
    images = image_vectors(site, encoder, image_ids)          # (n, D) float32, unit length
    texts = caption_vectors(site, encoder, caption_ids)       # (n, D)

Photos are decoded by threads ahead of the model, no larger than it needs them. Vectors go to disk every few seconds, in
whole batches of a fixed order, so that a killed run goes on where it stopped and ends with the same numbers. `encoder`
must be as it was loaded: vectors are kept under the fingerprint of its files.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.photos import PhotoError, open_photo, read_size
from data.records import normalise_caption
from scoring.vectors import SHARD_ROWS, Kind, Vectors, VectorStore

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from data.site import Site
    from scoring.encoder_files import EncoderSource
    from scoring.encoders import Encoder

PHOTO_BATCH = {"cpu": 32, "mps": 64, "cuda": 256}  # cpu: activations of larger ones cost page faults
CAPTION_BATCH = 128
BATCHES_AHEAD = 2
MAX_DECODERS = 16
SHARD_SECONDS = 15.0  # how much work a kill may cost
SHOWN_UNREADABLE = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """A photo of the site and its file."""

    image_id: str
    uri: str
    path: Path


@dataclass(frozen=True)
class Wanted:
    """What an encoder should have seen of a site."""

    photos: list[Photo]  # ordered by id
    captions: dict[str, str]  # caption_id -> words, ordered by id


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
        images = db.rows("SELECT image_id, uri, root FROM images ORDER BY image_id")
        captions = db.rows(
            "SELECT caption_id, min(caption) AS caption, list(DISTINCT language) AS languages FROM pairs "
            "WHERE state = 'captioned' GROUP BY caption_id ORDER BY caption_id"
        )
    photos = [Photo(row["image_id"], row["uri"], site.photo_path(row["root"], row["uri"])) for row in images]
    return Wanted(
        photos,
        {
            row["caption_id"]: normalise_caption(row["caption"])
            for row in captions
            if any(source.reads(language) for language in row["languages"])
        },
    )


def embed_wanted(
    store: VectorStore, load: Callable[[], Encoder], todo: Wanted, progress: Progress = silent
) -> Embedded:
    """Embed what the store has not. `load` gives the encoder; it is called only when something is new."""
    with store.writing():
        images, captions = store.load("images"), store.load("captions")
        photos = [photo for photo in todo.photos if photo.image_id not in images.place]
        texts = {id_: text for id_, text in todo.captions.items() if id_ not in captions.place}
        counts = EmbedCounts(
            images_known=len(todo.photos) - len(photos), captions_known=len(todo.captions) - len(texts)
        )
        if texts or any(is_readable(photo) for photo in photos):  # else the model would be loaded for nothing
            run = _Run(load(), store, len(photos) + len(texts), progress)
            new_images, unreadable = run.embed_photos(photos)
            new_captions = run.embed_captions(texts)
            images, captions = images.joined(new_images), captions.joined(new_captions)
            counts = replace(counts, images=len(new_images), captions=len(new_captions))
        else:
            unreadable = photos
        if unreadable:
            _warn_unreadable(unreadable)
        store.write_manifest()
    return Embedded(
        images,
        captions,
        replace(counts, unreadable=len(unreadable), discarded=store.discarded, damaged=store.damaged),
    )


def _by_id(
    site: Site, encoder: Encoder, kind: Kind, ids: Sequence[str], progress: Progress
) -> NDArray[np.float32]:
    with VectorStore.of(site, encoder.source).writing() as store:
        stored = store.load(kind)
        absent = [one for one in dict.fromkeys(ids) if one not in stored.place]
        if absent:
            run = _Run(encoder, store, len(absent), progress)
            if kind == "images":
                new, unreadable = run.embed_photos(_photos_of(site, absent))
                if unreadable:
                    photo = unreadable[0]
                    raise GenbaError(
                        f"The photo {photo.path} cannot be read any more.",
                        next=f"genba relink {site.root} DIR",
                    )
            else:
                new = run.embed_captions(_captions_of(site, absent))
            stored = stored.joined(new)
            store.write_manifest()
    return stored.take(ids)


def _photos_of(site: Site, image_ids: Sequence[str]) -> list[Photo]:
    with site.connect() as db:
        rows = db.rows(
            "SELECT image_id, uri, root FROM images WHERE list_contains(?, image_id) ORDER BY image_id",
            [list(image_ids)],
        )
    return [Photo(row["image_id"], row["uri"], site.photo_path(row["root"], row["uri"])) for row in rows]


def _captions_of(site: Site, caption_ids: Sequence[str]) -> dict[str, str]:
    with site.connect() as db:
        rows = db.rows(
            "SELECT caption_id, min(caption) AS caption FROM pairs WHERE list_contains(?, caption_id) "
            "GROUP BY caption_id ORDER BY caption_id",
            [list(caption_ids)],
        )
    return {row["caption_id"]: normalise_caption(row["caption"]) for row in rows}


@dataclass
class _Run:
    """One loaded encoder at work, with its progress."""

    encoder: Encoder
    store: VectorStore
    total: int
    progress: Progress
    done: int = 0

    def embed_photos(self, photos: Sequence[Photo]) -> tuple[Vectors, list[Photo]]:
        """(vectors, photos that cannot be read)."""
        shards = _Shards(self.store, "images")
        unreadable = []
        for batch in decoded_batches(self.encoder, photos):
            whole = [(photo, pixels) for photo, pixels in batch if pixels is not None]
            unreadable += [photo for photo, pixels in batch if pixels is None]
            if whole:
                names = [photo.uri for photo, _ in whole]
                vectors = self.encoder.encode_images(_stack(self.encoder, [pixels for _, pixels in whole]))
                _require_usable(vectors, self.encoder.id, "photo", names)
                shards.add([photo.image_id for photo, _ in whole], vectors)
            self._report(len(batch), "photos")
        return shards.finish(), unreadable

    def embed_captions(self, texts: dict[str, str]) -> Vectors:
        shards = _Shards(self.store, "captions")
        ids = list(texts)
        for start in range(0, len(ids), CAPTION_BATCH):
            batch = ids[start : start + CAPTION_BATCH]
            vectors = self.encoder.encode_texts([texts[one] for one in batch])
            _require_usable(vectors, self.encoder.id, "caption", [texts[one] for one in batch])
            shards.add(batch, vectors)
            self._report(len(batch), "captions")
        return shards.finish()

    def _report(self, count: int, what: str) -> None:
        self.done += count
        self.progress(self.done, self.total, what)


@dataclass
class _Shards:
    """Collects batches and writes them as shards: every SHARD_ROWS rows or SHARD_SECONDS seconds, and at the end."""

    store: VectorStore
    kind: Kind
    ids: list[str] = field(default_factory=list)
    parts: list[NDArray[np.float32]] = field(default_factory=list)
    written: int = 0  # ids that are on disk
    parts_written: int = 0
    written_at: float = field(default_factory=time.monotonic)

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self.ids += ids
        self.parts.append(vectors)
        late = time.monotonic() - self.written_at > SHARD_SECONDS
        if late or len(self.ids) - self.written >= SHARD_ROWS:
            self._write()

    def finish(self) -> Vectors:
        """Write the rest; everything that came, also what was on disk before the end."""
        import numpy as np

        if self.written < len(self.ids):
            self._write()
        empty = np.zeros((0, self.store.dim), dtype=np.float32)
        return Vectors(self.ids, np.concatenate([empty, *self.parts]))

    def _write(self) -> None:
        import numpy as np

        self.store.append(
            self.kind, self.ids[self.written :], np.concatenate(self.parts[self.parts_written :])
        )
        self.written, self.parts_written = len(self.ids), len(self.parts)
        self.written_at = time.monotonic()


def decoded_batches(
    encoder: Encoder, photos: Sequence[Photo]
) -> Iterator[list[tuple[Photo, torch.Tensor | None]]]:
    """Batches of preprocessed photos, in order, decoded by threads some batches ahead; None = cannot be read."""
    size = PHOTO_BATCH[encoder.device]
    waiting: deque[tuple[Sequence[Photo], Iterator[torch.Tensor | None]]] = deque()
    pool = ThreadPoolExecutor(min(MAX_DECODERS, os.cpu_count() or 1), thread_name_prefix="decode")
    try:
        for start in range(0, len(photos), size):
            group = photos[start : start + size]
            waiting.append((group, pool.map(partial(_prepare, encoder), group)))
            if len(waiting) > BATCHES_AHEAD:
                group, decoded = waiting.popleft()
                yield list(zip(group, decoded, strict=True))
        for group, decoded in waiting:
            yield list(zip(group, decoded, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(encoder: Encoder, photo: Photo) -> torch.Tensor | None:
    try:
        return encoder.preprocess(open_photo(photo.path, shortest_side=encoder.image_size))
    except PhotoError:
        return (
            None  # ingest has seen it whole; by now it is gone or damaged, which the caller counts and tells
        )


def is_readable(photo: Photo) -> bool:
    try:
        read_size(photo.path)
    except PhotoError:
        return False
    return True


def _stack(encoder: Encoder, pixels: Sequence[torch.Tensor | None]) -> torch.Tensor:
    import torch

    batch = torch.stack([one for one in pixels if one is not None])
    return batch.pin_memory() if encoder.device == "cuda" else batch  # pinned memory copies without waiting


def _require_usable(vectors: NDArray[np.float32], encoder_id: str, what: str, names: Sequence[str]) -> None:
    """Raises GenbaError that names the first photo or caption whose vector is NaN or zero."""
    import numpy as np

    norm = np.linalg.norm(vectors, axis=1)
    for row in np.flatnonzero(~(np.abs(norm - 1) < 0.01))[:1]:  # NaN compares as not smaller
        kind = "zero" if norm[row] == 0 else "not a number"
        raise GenbaError(
            f"The encoder {encoder_id!r} gave no usable vector for the {what} {names[row]!r}: it is {kind}. Its "
            "weights are damaged, or too large for the precision in use.",
            next="genba score SITE --device cpu, or another encoder: genba encoders",
        )


def _warn_unreadable(photos: Sequence[Photo]) -> None:
    shown = ", ".join(str(photo.path) for photo in photos[:SHOWN_UNREADABLE])
    more = ", …" if len(photos) > SHOWN_UNREADABLE else ""
    log.warning(
        "%d photos cannot be read any more (%s%s); their captions stay unscored. If the folder has moved: "
        "genba relink SITE DIR", len(photos), shown, more,
    )  # fmt: skip
