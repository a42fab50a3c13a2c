"""Vectors of photos and captions on disk, so that nothing is computed twice: SITE/vectors/ENCODER/.

    with VectorStore.of(site, source).writing() as store:     # one writer at a time
        stored = store.load("captions")                       # what is there, every byte checked
        store.append("captions", ids, vectors)                # one more shard
        store.write_manifest()                                # last: its presence means that nothing is missing
    stored.take(ids)                                          # (n, D) float32, unit length

A shard is a Parquet file (id, vector) that carries the encoder's fingerprint and is written under another name, then
renamed: a killed run leaves whole shards, which the next run uses. Shards of another fingerprint (a changed checkpoint)
and damaged ones are removed, counted, and made again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.errors import GenbaError

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
SHARD_ROWS = 4096
MANY_SMALL_SHARDS = 16  # so many are merged into one: each correction adds a shard of a few captions
LOCK_WAIT_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vectors:
    """N ids, none twice, with their vectors: (N, D) float32, unit length."""

    ids: list[str]
    array: NDArray[np.float32]

    @cached_property
    def place(self) -> dict[str, int]:
        """id -> row."""
        return {one: row for row, one in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """(n, D): the vectors of these ids, in their order. Raises GenbaError that names the first one it has not."""
        absent = next((one for one in ids if one not in self.place), None)
        if absent is not None:
            raise GenbaError(f"There is no vector for {absent!r}.", next="genba score SITE")
        return self.array[[self.place[one] for one in ids]]

    def joined(self, more: Vectors) -> Vectors:
        """These and more; the first one of an id counts."""
        import numpy as np

        new = [row for row, one in enumerate(more.ids) if one not in self.place]
        if not new:
            return self
        return Vectors(
            [*self.ids, *(more.ids[row] for row in new)], np.concatenate([self.array, more.array[new]])
        )


@dataclass
class VectorStore:
    """The vectors of one encoder in one site. `discarded` and `damaged` count what was removed since it was opened."""

    folder: Path
    encoder: str
    fingerprint: str
    dim: int
    discarded: int = field(default=0)  # vectors of another checkpoint
    damaged: int = field(default=0)  # shards

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

    def load(self, kind: Kind) -> Vectors:
        """Everything that is stored of one kind. Damaged shards and those of another checkpoint are removed."""
        import numpy as np

        found = Vectors([], np.zeros((0, self.dim), dtype=np.float32))
        parts: list[NDArray[np.float32]] = [found.array]
        place: dict[str, int] = {}
        for path in self.shards(kind):
            ids, vectors = self._read(path)
            fresh = [row for row, one in enumerate(ids) if one not in place]
            for row in fresh:
                place[ids[row]] = len(place)
            parts.append(vectors if len(fresh) == len(ids) else vectors[fresh])
        return Vectors(list(place), np.concatenate(parts))

    def _read(self, path: Path) -> tuple[list[str], NDArray[np.float32]]:
        """One shard; nothing of it when it cannot be used, and then it is gone."""
        import numpy as np
        import pyarrow
        import pyarrow.parquet

        nothing: tuple[list[str], NDArray[np.float32]] = ([], np.zeros((0, self.dim), dtype=np.float32))
        try:
            table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
            fits = (table.schema.metadata or {}).get(b"fingerprint") == self.fingerprint.encode()
            found = _columns(table, self.dim) if fits else nothing
        except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
            log.warning("%s is damaged (%s): removed, its vectors are computed again.", path, error)
            self.damaged += 1
            path.unlink()
            return nothing
        if not fits:
            self.discarded += len(table)
            path.unlink()
        return found

    def append(self, kind: Kind, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write one more shard. ids: n, vectors: (n, D) float32, unit length."""
        import pyarrow
        import pyarrow.parquet

        names = [path.stem for path in self.shards(kind)]
        number = int(names[-1].rsplit("-", 1)[1]) + 1 if names else 0
        flat = pyarrow.array(vectors.astype("float32", copy=False).reshape(-1))
        table = pyarrow.table(
            {"id": list(ids), "vector": pyarrow.FixedSizeListArray.from_arrays(flat, self.dim)},
            metadata={"encoder": self.encoder, "fingerprint": self.fingerprint},
        )
        path = self.folder / f"{kind}-{number:06d}.parquet"
        half_written = path.with_suffix(".tmp")
        pyarrow.parquet.write_table(
            table, half_written, compression="none", use_dictionary=False, write_page_checksum=True
        )
        os.replace(half_written, path)

    def write_manifest(self) -> None:
        """Say what there is; small shards are merged first. Its counts are distinct ids."""
        for kind in KINDS:
            self._merge_small(kind)
        counts = {kind: len({one for path in self.shards(kind) for one in _ids(path)}) for kind in KINDS}
        shards = {
            path.name: {"rows": _rows(path), "bytes": path.stat().st_size}
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
        small = [path for path in self.shards(kind) if _rows(path) < SHARD_ROWS // 2]
        if len(small) < MANY_SMALL_SHARDS:
            return
        group: list[Path] = []
        for path in small:
            group.append(path)
            if sum(map(_rows, group)) >= SHARD_ROWS or path == small[-1]:
                self._merge(kind, group)
                group = []

    def _merge(self, kind: Kind, group: Sequence[Path]) -> None:
        merged = Vectors(*self._read(group[0]))
        for path in group[1:]:
            merged = merged.joined(Vectors(*self._read(path)))
        self.append(kind, merged.ids, merged.array)
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


def _columns(table: pyarrow.Table, dim: int) -> tuple[list[str], NDArray[np.float32]]:
    """ids and (n, dim) vectors of a shard's table. Raises ValueError when the vectors have another width."""
    vectors = table["vector"].combine_chunks()
    if vectors.type.list_size != dim:
        raise ValueError(f"vectors of width {vectors.type.list_size}, not {dim}")
    return table["id"].to_pylist(), vectors.flatten().to_numpy().reshape(-1, dim)


def _rows(path: Path) -> int:
    import pyarrow.parquet

    return pyarrow.parquet.read_metadata(path).num_rows


def _ids(path: Path) -> list[str]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path, columns=["id"])["id"].to_pylist()
