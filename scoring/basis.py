"""What scores follow from, as digests: a scoring that finds the same ones has nothing to compute anew."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scoring import risk

if TYPE_CHECKING:
    import pyarrow

    from data.templates import Template
    from scoring.encoders import EncoderSource


@dataclass(frozen=True)
class Basis:
    """Digests of what scores follow from. `counted`: of what all pairs are compared with; `pairs`: of all pairs."""

    counted: str
    pairs: str

    @classmethod
    def of(cls, pairs: pyarrow.Table, source: EncoderSource, template: Template) -> Basis:
        rules = f"{risk.VERSION} {source.fingerprint} {source.languages} {template.model_dump_json()}"
        names = ["pair_id", "group_id", "language"]
        return cls(
            digest(rules, [pairs[name].filter(pairs["original"]) for name in names]),
            digest(rules, [pairs[name] for name in names]),
        )


def digest(rules: str, columns: Sequence[pyarrow.ChunkedArray]) -> str:
    """Of texts, from the memory in which Arrow holds them: all lengths, then all letters. A million take no copies."""
    import pyarrow

    found = hashlib.sha256(rules.encode())
    for column in columns:
        number = np.dtype(np.int64 if pyarrow.types.is_large_string(column.type) else np.int32)
        chunks = [one for one in column.chunks if len(one)]
        ends = [
            np.frombuffer(one.buffers()[1], number, len(one) + 1, one.offset * number.itemsize)
            for one in chunks
        ]
        for at in ends:
            found.update(np.diff(at).astype(np.int64).tobytes())
        for one, at in zip(chunks, ends, strict=True):
            found.update(memoryview(one.buffers()[2] or b"")[at[0] : at[-1]])
    return found.hexdigest()[:32]
