"""Rows of numbers that need not fit into memory: an array of vectors whose parts lie on disk or in memory.

    rows = Rows([on_disk, in_memory], dim=512)
    rows[10:20], rows[[5, 3, 5]], rows[mask], rows[7]       # float32 copies, as of a NumPy array with the same rows
    np.asarray(rows)                                        # all of it: (N, D)

A million vectors of 512 numbers are 2 GB. So rows on disk are read when they are asked for, and nothing is kept: what
a process holds is what it asked for, however large the files are. Mapping the files would gather random rows twice as
fast, but what was touched would count as memory of the process, and a file cut short meanwhile would kill it (SIGBUS).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from data.errors import GenbaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPARSE = 8  # where fewer than one row in so many is asked for, rows are read one by one


class Part(Protocol):
    """(n, D) rows that can be copied out."""

    def __len__(self) -> int: ...

    def copied(self, key: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """The rows of a slice with step 1, or of row numbers in rising order; all exist."""


class FilePart:
    """(n, D) float32, row after row in a file, from byte `offset` on. It is kept open, so it may be unlinked."""

    def __init__(self, path: Path, offset: int, rows: int, dim: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._path, self._offset, self._rows, self._dim = path, offset, rows, dim

    def __len__(self) -> int:
        return self._rows

    def copied(self, key: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Raises GenbaError when the file is shorter than it was."""
        import numpy as np

        if isinstance(key, slice):
            start, stop, _ = key.indices(self._rows)
            found = np.empty((max(stop - start, 0), self._dim), dtype="<f4")
            self._read(found.data.cast("B") if len(found) else memoryview(b""), start)
            return found
        first, last = int(key[0]), int(key[-1])
        if last - first < SPARSE * len(key):
            return self.copied(slice(first, last + 1))[key - first]
        found = np.empty((len(key), self._dim), dtype="<f4")
        into, width = found.data.cast("B"), self._dim * 4
        for place, row in enumerate(key.tolist()):
            self._read(into[place * width : (place + 1) * width], row)
        return found

    def _read(self, into: memoryview, row: int) -> None:
        at = self._offset + row * self._dim * 4
        while into:
            count = os.preadv(self._file.fileno(), [into], at)
            if not count:
                raise GenbaError(
                    f"{self._path} has become shorter while it was read.", next="genba score SITE"
                )
            into, at = into[count:], at + count


class HeldPart:
    """(n, D) float32 in memory."""

    def __init__(self, array: NDArray[np.float32]) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def copied(self, key: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return self._array[key].copy()


class Rows:
    """(N, D) float32 in parts. Read like a NumPy array by rows: a number, a slice, numbers or a mask, nothing else."""

    ndim = 2

    def __init__(self, parts: Sequence[Part], dim: int) -> None:
        import numpy as np

        self.parts = [part for part in parts if len(part)]
        self.dtype = np.dtype(np.float32)
        self._starts = np.concatenate([[0], np.cumsum([len(part) for part in self.parts], dtype=np.int64)])
        self.shape = (int(self._starts[-1]), dim)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        """Raises IndexError for a row that does not exist, TypeError for anything that does not name rows."""
        import numpy as np

        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            return self._between(start, stop) if step == 1 else self._at(np.arange(start, stop, step))
        numbers: NDArray[Any] = np.asarray(key)
        if numbers.ndim == 0 and numbers.dtype.kind in "iu":
            one: NDArray[np.float32] = self._at(self._checked(numbers.reshape(1)))[0]
            return one
        if isinstance(key, tuple) or numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iub"):
            raise TypeError(f"rows are named by a number, a slice, numbers or a mask, not by {key!r}")
        if numbers.dtype.kind == "b":
            if len(numbers) != len(self):
                raise IndexError(f"a mask of {len(numbers)} for {len(self)} rows")
            return self._at(np.flatnonzero(numbers))
        return self._at(self._checked(numbers))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("rows on disk cannot be an array without a copy")
        whole: NDArray[Any] = self[:].astype(dtype or self.dtype, copy=False)
        return whole

    def __matmul__(self, other: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(N, D) @ (D,) or (D, K), part by part."""
        import numpy as np

        found = np.empty((len(self), *np.shape(other)[1:]), dtype=np.result_type(self.dtype, other))
        for start, stop in self.blocks():
            found[start:stop] = self[start:stop] @ other
        return found

    def blocks(self, rows: int = 8192) -> list[tuple[int, int]]:
        """(start, stop) of blocks that cover all rows in order."""
        return [(start, min(start + rows, len(self))) for start in range(0, len(self), rows)]

    def _checked(self, numbers: NDArray[Any]) -> NDArray[np.int64]:
        import numpy as np

        numbers = numbers.astype(np.int64, copy=False)
        wrong = (numbers < -len(self)) | (numbers >= len(self))
        if wrong.any():
            raise IndexError(f"there is no row {numbers[wrong][0]}: there are {len(self)}")
        return np.where(numbers < 0, numbers + len(self), numbers)

    def _between(self, start: int, stop: int) -> NDArray[np.float32]:
        import numpy as np

        found = np.empty((max(stop - start, 0), self.shape[1]), dtype=np.float32)
        for part, first in zip(self.parts, self._starts, strict=False):
            a, b = max(start, int(first)), min(stop, int(first) + len(part))
            if a < b:
                found[a - start : b - start] = part.copied(slice(a - int(first), b - int(first)))
        return found

    def _at(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """In the order of the files, so that each place is read once."""
        import numpy as np

        found = np.empty((len(numbers), self.shape[1]), dtype=np.float32)
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        edges = np.searchsorted(ordered, self._starts)
        for part, first, a, b in zip(self.parts, self._starts, edges, edges[1:], strict=False):
            if a < b:
                found[order[a:b]] = part.copied(ordered[a:b] - first)
        return found


def joined(first: Any, second: Any, dim: int) -> Rows:
    """The rows of two arrays or Rows, nothing copied."""
    parts: list[Part] = []
    for one in (first, second):
        parts += one.parts if isinstance(one, Rows) else [HeldPart(one)]
    return Rows(parts, dim)
