"""Rows that are too many for memory: written one block behind the other, read back mapped.

    rows = RowFile(folder)
    for block in …: rows.add(block)          # (n, ...) of one shape and type
    array = rows.array()                      # (N, ...), of which the system holds in memory what it can

The file has no name, so nothing stays of it when the array is let go, or when the process is killed. It is written, not
mapped: on a full disk a mapped file kills the process without a word.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from training.state import DiskFull

if TYPE_CHECKING:
    import numpy as np


@dataclass
class RowFile:
    """folder: on which disk; None: the system's for temporary files. what: named when the disk is full."""

    folder: Path | None
    what: str = "features"
    count: int = 0
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    _file: IO[bytes] | None = field(default=None, repr=False)

    def add(self, rows: np.ndarray) -> None:
        """Raises DiskFull."""
        import numpy as np

        try:
            if self._file is None:
                if self.folder is not None:
                    self.folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115
                self.shape, self.dtype = rows.shape[1:], rows.dtype.str
            self._file.write(np.ascontiguousarray(rows).tobytes())
        except OSError as error:
            raise self._full(error) from None
        self.count += len(rows)

    def array(self) -> np.ndarray:
        """(N, ...), writable, though what is written to it is kept nowhere. Raises DiskFull."""
        import numpy as np

        if self._file is None or self.count == 0 or 0 in self.shape:
            return np.zeros((self.count, *self.shape), self.dtype)
        try:
            self._file.flush()
        except OSError as error:
            raise self._full(error) from None
        return np.memmap(self._file, self.dtype, mode="c", shape=(self.count, *self.shape))

    def _full(self, error: OSError) -> DiskFull:
        where = self.folder or tempfile.gettempdir()
        return DiskFull(
            f"The {self.what} cannot be written to {where}: {error.strerror}.",
            next="free space on that disk, then start the same again",
        )
