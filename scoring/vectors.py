"""Vectors of photos and captions on disk, so that nothing is computed twice: SITE/vectors/ENCODER/.

    with VectorStore.of(site, source).writing() as store:     # one writer at a time
        stored = store.load("captions")                       # what is there, every byte checked
        store.append("captions", ids, vectors)                # one more shard
        store.write_manifest()                                # last: its presence means that nothing is missing
    stored.take(ids)                                          # (n, D) float32, unit length

A shard is a Parquet file (id, vector) that carries the encoder's fingerprint and, in its name, the CRC-32 of its bytes.
It is written under another name, then renamed: a killed run leaves whole shards, which the next run uses. Shards of
another fingerprint (a changed checkpoint) and damaged ones are removed, counted, and made again.

Vectors of a small site are read into a NumPy array; those of a large one stay on disk and are read by rows
(scoring/rows.py), so a million of them fit any machine. Parquet allows that when nothing is compressed and a column
stands in one page: plain values end the page, so row i lies at a known place.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.errors import GenbaError
from scoring.rows import FilePart, HeldPart, Part, Rows, joined

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from data.site import Site
    from scoring.encoder_files import EncoderSource

Kind = Literal["images", "captions"]
KINDS: tuple[Kind, ...] = ("images", "captions")
MANIFEST = "manifest.json"
LOCK = ".lock"
SHARD_ROWS = 16384  # each open shard holds one file: a million vectors are 62
MANY_SMALL_SHARDS = 16  # so many are merged into one: each correction adds a shard of a few captions
LOCK_WAIT_SECONDS = 30.0
HELD_BYTES = 256 << 20  # of each kind; more stay on disk
ONE_PAGE = 1 << 30  # bytes; no shard comes near it
CHECKERS = 2  # threads that read and check shards; the disk gives no more
LOOKS = 5
FEW = 8  # ids that are looked for one by one: a table of all ids takes longer to build
OTHER_CHECKPOINT, GONE = "of another checkpoint", "gone"

log = logging.getLogger(__name__)


class Vectors:
    """N ids, none twice, with their vectors: (N, D) float32, unit length."""

    def __init__(self, ids: Sequence[str] | pyarrow.Array, array: NDArray[np.float32] | Rows) -> None:
        import pyarrow

        self.keys = ids if isinstance(ids, pyarrow.Array) else pyarrow.array(list(ids), pyarrow.string())
        self.array = array  # a NumPy array, or rows on disk that are read like one

    @cached_property
    def ids(self) -> list[str]:
        """As Python text: 120 bytes each, where `keys` has 70."""
        return list(self.keys.to_pylist())

    @cached_property
    def place(self) -> dict[str, int]:
        """id -> row; for a few ids. `rows` finds many at once, and holds nothing."""
        return {one: row for row, one in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, ids: Sequence[str] | pyarrow.Array) -> NDArray[np.int64]:
        """(n,) the row of each id, -1 for one that is not there."""
        import numpy as np
        import pyarrow
        import pyarrow.compute

        if "place" in self.__dict__ and not isinstance(ids, pyarrow.Array):
            return np.array([self.place.get(one, -1) for one in ids], dtype=np.int64)
        asked = ids if isinstance(ids, pyarrow.Array) else pyarrow.array(list(ids), pyarrow.string())
        if len(asked) < FEW:
            return np.array([self.keys.index(one).as_py() for one in asked], dtype=np.int64)
        found = pyarrow.compute.index_in(asked, value_set=self.keys)  # type: ignore[attr-defined]
        rows: NDArray[np.int64] = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return rows

    def take(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """(n, D): the vectors of these ids, in their order. Raises GenbaError that names the first one it has not."""
        rows = self.rows(ids)
        if (rows < 0).any():
            raise GenbaError(
                f"There is no vector for {ids[int((rows < 0).argmax())]!r}.", next="genba score SITE"
            )
        return self.array[rows]

    def joined(self, more: Vectors) -> Vectors:
        """These and more; the first one of an id counts."""
        import numpy as np
        import pyarrow

        new = np.flatnonzero(self.rows(more.keys) < 0)
        if not len(new):
            return self
        keys = pyarrow.concat_arrays([self.keys, more.keys.take(pyarrow.array(new))])
        if isinstance(self.array, Rows):
            return Vectors(keys, joined(self.array, more.array[new], self.array.shape[1]))
        return Vectors(keys, np.concatenate([self.array, more.array[new]]))


@dataclass
class VectorStore:
    """The vectors of one encoder in one site. `discarded` and `damaged` count what was removed since it was opened."""

    folder: Path
    encoder: str
    fingerprint: str
    dim: int
    discarded: int = field(default=0)  # vectors of another checkpoint
    damaged: int = field(default=0)  # shards
    _whole: set[tuple[str, int]] = field(
        default_factory=set
    )  # name and time of shards whose bytes were checked

    @classmethod
    def of(cls, site: Site, source: EncoderSource) -> VectorStore:
        return cls(site.folder("vectors") / source.slug, source.id, source.fingerprint, source.dim)

    @contextmanager
    def writing(self) -> Iterator[VectorStore]:
        """Hold the folder's lock. Raises GenbaError when another process keeps it for half a minute."""
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(str(self.folder / LOCK), timeout=LOCK_WAIT_SECONDS):
                for half_written in self.folder.glob("*.tmp"):
                    half_written.unlink()
                yield self
        except Timeout:
            raise GenbaError(
                f"Another process is writing vectors of {self.encoder!r} (lock file {self.folder / LOCK}).",
                next="wait until it is done, then run the command again",
            ) from None

    def shards(self, kind: Kind) -> list[Path]:
        """Whole shards by age, those of other checkpoints too."""
        return sorted(self.folder.glob(f"{kind}-*.parquet"))

    def load(self, kind: Kind, remove: bool = True) -> Vectors:
        """Everything that is stored of one kind. Damaged shards and those of another checkpoint are removed.

        remove: False for a reader, who does not hold the lock: what cannot be used is passed over.
        """
        found = self._on_disk(kind, remove)
        return found if len(found) * self.dim * 4 > HELD_BYTES else Vectors(found.keys, found.array[:])

    def _on_disk(self, kind: Kind, remove: bool) -> Vectors:
        for _ in range(LOOKS):
            with ThreadPoolExecutor(CHECKERS) as pool:
                shards = list(pool.map(self._opened, self.shards(kind)))
            if not any(shard.reason == GONE for shard in shards):
                break  # else a writer has merged some meanwhile: the next look finds the shard that holds their rows
        if remove:
            self._remove([shard for shard in shards if shard.reason])
        return _distinct([shard for shard in shards if not shard.reason], self.dim)

    def _opened(self, path: Path) -> Shard:
        """One shard. Reads every byte of it the first time."""
        import pyarrow

        try:
            known = (path.name, path.stat().st_mtime_ns)
            if known not in self._whole and checksum(path) != path.stem.rsplit("-", 1)[-1]:
                return Shard(path, "damaged: its bytes are not those that were written")
            shard = _laid_out(path, self.fingerprint, self.dim)
        except FileNotFoundError:
            return Shard(path, GONE)  # merged by another process a moment ago
        except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
            return Shard(path, f"damaged: {error}")
        self._whole.add(known)
        return shard

    def _remove(self, shards: Sequence[Shard]) -> None:
        for shard in shards:
            if shard.reason == OTHER_CHECKPOINT:
                self.discarded += len(shard.keys or ())
            elif shard.reason != GONE:
                log.warning(
                    "%s is %s. It is removed, and its vectors are computed again.", shard.path, shard.reason
                )
                self.damaged += 1
            shard.path.unlink(missing_ok=True)

    def append(self, kind: Kind, ids: Sequence[str] | pyarrow.Array, vectors: NDArray[np.float32]) -> None:
        """Write one more shard. ids: n, vectors: (n, D) float32, unit length. Many small shards become one."""
        self._write(kind, ids, vectors)
        self._merge_small(kind)

    def _write(self, kind: Kind, ids: Sequence[str] | pyarrow.Array, vectors: NDArray[np.float32]) -> None:
        import pyarrow
        import pyarrow.parquet

        shards = self.shards(kind)
        number = int(shards[-1].stem.split("-")[1]) + 1 if shards else 0
        flat = pyarrow.array(vectors.astype("float32", copy=False).reshape(-1))
        keys = ids if isinstance(ids, pyarrow.Array) else pyarrow.array(list(ids), pyarrow.string())
        table = pyarrow.table(
            {"id": keys, "vector": pyarrow.FixedSizeListArray.from_arrays(flat, self.dim)},
            metadata={"encoder": self.encoder, "fingerprint": self.fingerprint},
        )
        half_written = self.folder / f"{kind}-{number:06d}.tmp"
        pyarrow.parquet.write_table(
            table, half_written, compression="none", use_dictionary=False, write_statistics=False,
            row_group_size=len(table), data_page_size=ONE_PAGE, max_rows_per_page=len(table),
        )  # fmt: skip
        written = _laid_out(half_written, self.fingerprint, self.dim).part
        if written is None or any(
            (written.copied(slice(at, at + 1)) != vectors[at]).any() for at in (0, len(vectors) - 1)
        ):
            raise RuntimeError("this pyarrow lays Parquet out in another way: rows cannot be found")
        path = self.folder / f"{kind}-{number:06d}-{checksum(half_written)}.parquet"
        os.replace(half_written, path)
        self._whole.add((path.name, path.stat().st_mtime_ns))

    def write_manifest(self) -> None:
        """Say what there is. Its counts are distinct ids."""
        counts = {kind: len(self._on_disk(kind, remove=True)) for kind in KINDS}
        shards = {
            path.name: {"rows": _row_count(path), "bytes": path.stat().st_size}
            for kind in KINDS
            for path in self.shards(kind)
        }
        manifest = {"encoder": self.encoder, "fingerprint": self.fingerprint, "dim": self.dim, "counts": counts,
                    "shards": shards}  # fmt: skip
        half_written = self.folder / f"{MANIFEST}.tmp"
        half_written.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        os.replace(half_written, self.folder / MANIFEST)

    def _merge_small(self, kind: Kind) -> None:
        """Killed in between, both stand there: the same ids with the same vectors, which does no harm."""
        small = [path for path in self.shards(kind) if _row_count(path) < SHARD_ROWS // 2]
        if len(small) < MANY_SMALL_SHARDS:
            return
        group: list[Path] = []
        for path in small:
            group.append(path)
            if sum(map(_row_count, group)) >= SHARD_ROWS or path == small[-1]:
                self._merge(kind, group)
                group = []

    def _merge(self, kind: Kind, group: Sequence[Path]) -> None:
        shards = [self._opened(path) for path in group]
        merged = _distinct([shard for shard in shards if not shard.reason], self.dim)
        self._write(kind, merged.keys, merged.array[:])
        self._remove([shard for shard in shards if shard.reason])
        for path in group:
            path.unlink(missing_ok=True)

    def manifest(self) -> dict[str, Any] | None:
        """The manifest, when it fits this checkpoint and every shard that it names is there; else None."""
        try:
            manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            sizes = {name: shard["bytes"] for name, shard in manifest["shards"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent or broken: the shards themselves are looked at instead
        there = {path.name: path.stat().st_size for kind in KINDS for path in self.shards(kind)}
        fits = manifest.get("fingerprint") == self.fingerprint and sizes == there
        return manifest if fits else None


@dataclass(frozen=True)
class Shard:
    """A file of vectors; `reason`: why it cannot be used, "" when it can."""

    path: Path
    reason: str = ""
    keys: pyarrow.Array | None = None
    part: FilePart | None = None


def _laid_out(path: Path, fingerprint: str, dim: int) -> Shard:
    """The ids of a shard, and where its vectors lie: they are the last bytes of the column's only page."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        ids = file.read(columns=["id"])["id"].combine_chunks()
        if (file.schema_arrow.metadata or {}).get(b"fingerprint") != fingerprint.encode():
            return Shard(path, OTHER_CHECKPOINT, ids)
        width = file.schema_arrow.field("vector").type.list_size
        column = file.metadata.row_group(0).column(1)
    if width != dim:
        raise ValueError(f"vectors of width {width}, not {dim}")
    end = column.data_page_offset + column.total_compressed_size
    return Shard(path, "", ids, FilePart(path, end - len(ids) * dim * 4, len(ids), dim))


def _distinct(shards: Sequence[Shard], dim: int) -> Vectors:
    """The vectors of all shards; the first one of an id counts."""
    import numpy as np
    import pyarrow

    if not shards:
        return Vectors([], Rows([], dim))
    keys = pyarrow.concat_arrays([shard.keys for shard in shards])
    codes = keys.dictionary_encode().indices.to_numpy()  # numbered as they first come
    seen = np.maximum.accumulate(np.concatenate([[-1], codes[:-1]]))
    first = codes > seen
    if first.all():
        return Vectors(keys, Rows([shard.part for shard in shards if shard.part], dim))
    parts: list[Part] = []  # a run that was killed while it merged has left some twice
    for part in (shard.part for shard in shards if shard.part):
        mine, first = first[: len(part)], first[len(part) :]
        parts.append(part if mine.all() else HeldPart(part.copied(slice(0, None))[mine]))
    return Vectors(keys.filter(pyarrow.array(codes > seen)), Rows(parts, dim))


def checksum(path: Path) -> str:
    """CRC-32 of a file, 8 hex digits: 4 GB a second, and what it finds is accidents, not forgery."""
    crc, block = 0, memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            crc = zlib.crc32(block[:count], crc)
    return f"{crc:08x}"


def _row_count(path: Path) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)
