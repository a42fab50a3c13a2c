"""Photos by a vector: those that fit a text, or are like a photo. Fast at a million, from an index on disk.

    search = PhotoSearch.open(site, source)             # maps the index; some seconds at a million, once a process
    hits = search.nearest(encoder.encode_texts([words])[0], k=100)
    hits.image_ids, hits.cosines                        # the nearest first
    build(VectorStore.of(site, source))                 # writes SITE/vectors/ENCODER/search-….faiss; a job does it

Up to EXACT_ROWS photos every stored vector is compared. Past that FAISS looks into inverted lists of 4-bit codes
(scoring/neighbours.py), mapped from disk, and the exact stored vectors rank its candidates. Photos that came after the
index are compared one by one, so it need not be built anew for each; while there is none, or too many came, all vectors
are read: slower, and right. The name of an index holds what it covers and the CRC-32 of its bytes; it is written under
another name and renamed, so there is never half of one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.photos import PhotoError, open_photo
from scoring.encoders import require_usable
from scoring.neighbours import EXACT_ROWS, Streamed, inverted_lists
from scoring.vectors import VectorStore, checksum

if TYPE_CHECKING:
    from data.site import Site
    from scoring.encoder_files import EncoderSource
    from scoring.encoders import Encoder
    from scoring.vectors import Vectors

NAME = re.compile(r"search-(?P<rows>\d+)-(?P<digest>[0-9a-f]{16})-(?P<crc>[0-9a-f]{8})\.faiss")
HALF_WRITTEN, LOCK = "search.half", ".search.lock"
PROBED = 256  # inverted lists searched: docs/benchmarks/search.md
CANDIDATES = 10  # times k, ranked by their exact vectors
LEAST_CANDIDATES = 500
DIGESTED = 1 << 16  # ids put together at a time

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hits:
    """The nearest photos, nearest first; of equal ones the first that was embedded."""

    image_ids: list[str]
    cosines: NDArray[np.float32]


def photo_vector(encoder: Encoder, photo: bytes, name: str, max_megapixels: float) -> NDArray[np.float32]:
    """(1, D) of a photo from outside the site, decoded as those of the site are. Raises PhotoError with its name."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        path.write_bytes(photo)
        try:
            opened = open_photo(path, shortest_side=encoder.image_size, max_megapixels=max_megapixels)
        except PhotoError as error:
            raise PhotoError(error.reason, error.what.replace(str(path), name), next=error.next) from None
    vector = encoder.encode_images(encoder.preprocess(opened)[None])
    require_usable(vector, encoder.id, "photo", [name])
    return vector


@dataclass(frozen=True)
class PhotoIndex:
    """An index that was opened: it covers the first `rows` vectors of the store."""

    path: Path
    rows: int
    faiss: Any

    @classmethod
    def open(cls, path: Path) -> PhotoIndex:
        """Maps the file; reads every byte once. Raises GenbaError for one that is cut or changed."""
        import faiss

        found = NAME.fullmatch(path.name)
        if found is None:
            raise ValueError(f"{path.name} is no name of an index")
        if checksum(path) != found["crc"]:
            raise GenbaError(
                f"The search index {path.name} is damaged: its bytes are not those that were written.",
                next="genba map SITE",
            )
        index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        index.nprobe = PROBED
        return cls(path, int(found["rows"]), index)

    def candidates(self, query: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Rows of the k codes nearest to the query (D,), fewer where the lists hold fewer."""
        _, rows = self.faiss.search(query[None], min(k, self.rows))
        return np.asarray(rows[0][rows[0] >= 0], dtype=np.int64)


@dataclass(frozen=True)
class PhotoSearch:
    """The stored photos of a site, and their index where there is one. Safe to use from several threads."""

    images: Vectors
    index: PhotoIndex | None
    trouble: str = ""  # why an index that is there is not used
    stamp: tuple[str, ...] = ()

    @classmethod
    def open(cls, site: Site, source: EncoderSource) -> PhotoSearch:
        return cls.of(VectorStore.of(site, source))

    @classmethod
    def of(cls, store: VectorStore) -> PhotoSearch:
        stamp = stamp_of(store)
        images = store.load("images", remove=False)
        path = newest(store.folder)
        if path is None or len(images) <= EXACT_ROWS:
            return cls(images, None, "", stamp)
        try:
            index = PhotoIndex.open(path)
        except GenbaError as error:
            log.warning("%s Photos are compared one by one until it is built anew.", error.what)
            return cls(images, None, error.what, stamp)
        return cls(images, index if covers(path, images) else None, "", stamp)

    def is_current(self, store: VectorStore) -> bool:
        """False when photos were embedded or the index was built since: then open another."""
        return stamp_of(store) == self.stamp

    @property
    def is_due(self) -> bool:
        """Whether an index should be built: more photos are compared one by one than is quick."""
        return len(self.images) - (self.index.rows if self.index else 0) > EXACT_ROWS

    def nearest(self, query: NDArray[np.float32], k: int, without: str = "") -> Hits:
        """The k photos nearest to the query (D,), of unit length. without: a photo that is left out."""
        wanted = min(k + bool(without), len(self.images))
        query = np.ascontiguousarray(query, dtype=np.float32)
        rows: NDArray[np.int64] = np.empty(0, np.int64)
        first = 0
        if self.index is not None:
            rows, first = (
                self.index.candidates(query, max(CANDIDATES * wanted, LEAST_CANDIDATES)),
                self.index.rows,
            )
        cosines: NDArray[np.float32] = np.asarray(self.images.array[rows] @ query, dtype=np.float32)
        if first < len(self.images):
            rest = np.arange(first, len(self.images))
            near, place = Streamed(self.images.array, rest).search(query[None], min(wanted, len(rest)))
            rows, cosines = np.concatenate([rows, rest[place[0]]]), np.concatenate([cosines, near[0]])
        order = np.lexsort((rows, -cosines))[:wanted]
        ids = self.images.keys.take(rows[order]).to_pylist()
        kept = [place for place, one in enumerate(ids) if one != without][:k]
        return Hits([ids[place] for place in kept], cosines[order][kept])

    def like(self, image_id: str, k: int) -> Hits:
        """The k photos most like one of the site, itself left out. Raises GenbaError for one that has no vector."""
        return self.nearest(self.images.take([image_id])[0], k, without=image_id)


def build(store: VectorStore, progress: Progress = silent) -> Path | None:
    """Write the index of all stored photos, unless it is there; returns it. None: they are few enough without.

    Raises GenbaError when another process builds it.
    """
    from filelock import FileLock, Timeout

    images = store.load("images", remove=False)
    if len(images) <= EXACT_ROWS:
        return None
    try:
        with FileLock(str(store.folder / LOCK), timeout=1):
            path = newest(store.folder)
            if path is not None and is_whole(path) and covers(path, images, entirely=True):
                return path
            return _written(store.folder, images, progress)
    except Timeout:
        raise GenbaError(
            "Another process is building the search index.", next="wait until it is done"
        ) from None


def _written(folder: Path, images: Vectors, progress: Progress) -> Path:
    import faiss

    index = inverted_lists(images.array, np.arange(len(images)), progress)
    half_written = folder / HALF_WRITTEN
    faiss.write_index(index, str(half_written))
    with half_written.open("rb") as file:
        os.fsync(file.fileno())
    path = folder / f"search-{len(images)}-{digest(images, len(images))}-{checksum(half_written)}.faiss"
    os.replace(half_written, path)
    for other in folder.glob("search-*.faiss"):
        if other != path:
            other.unlink()  # a process that has it mapped keeps it until it looks again
    return path


def newest(folder: Path) -> Path | None:
    """The index of a folder of vectors, by its name alone."""
    found = [path for path in folder.glob("search-*.faiss") if NAME.fullmatch(path.name)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def is_whole(path: Path) -> bool:
    """Whether the bytes of an index are those that were written."""
    found = NAME.fullmatch(path.name)
    return found is not None and checksum(path) == found["crc"]


def covers(path: Path, images: Vectors, entirely: bool = False) -> bool:
    """Whether the index holds the first vectors of the store, in its order; entirely: all of them."""
    found = NAME.fullmatch(path.name)
    if found is None:
        return False
    rows = int(found["rows"])
    fits = rows == len(images) if entirely else len(images) - EXACT_ROWS <= rows <= len(images)
    return fits and digest(images, rows) == found["digest"]


def digest(images: Vectors, rows: int) -> str:
    """Of the first ids, in their order: 16 hex digits."""
    found = hashlib.sha256()
    for start in range(0, rows, DIGESTED):
        ids = images.keys.slice(start, min(DIGESTED, rows - start)).to_pylist()
        found.update("\n".join([*ids, ""]).encode())
    return found.hexdigest()[:16]


def stamp_of(store: VectorStore) -> tuple[str, ...]:
    """What changes when photos are embedded or an index is built: the names, which hold checksums."""
    files = [*store.shards("images"), *sorted(store.folder.glob("search-*.faiss"))]
    return (store.fingerprint, *(path.name for path in files))
