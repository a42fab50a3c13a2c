"""How an audit is laid out: bins of the risk, slices, how many pairs of each, and which. Pure; no store.

    edges = risk_edges(risk, 5)                       # (up to 4,) where one bin ends
    cells = cells_of(risk, slices, edges, ["A", "B"])  # (N,) number of the cell of each pair
    allocate([100, 100, 20], [1000, 900, 300], 60)     # [26, 25, 9]

Every stratum gets its share of the sample, so that each pair has nearly the same chance, and a few pairs at least.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 5
FEW = 4  # in every stratum: fewer say nothing of it
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stratum:
    """A part of the unjudged captions as it stood when the audit was drawn.

    pile: pairs in it. frame: those of them that could be drawn (the held-out photos). risk: from, to, or None where
    nothing was scored. by, value: the slice, "" without one; value None: all the values that are too rare for a
    stratum of their own.
    """

    pile: int
    frame: int
    risk: tuple[float, float] | None = None
    by: str = ""
    value: str | None = None

    @property
    def text(self) -> str:
        """As it stands in the table audits; `parse` reads it."""
        row: dict[str, Any] = {"pile": self.pile, "frame": self.frame, "risk": self.risk}
        if self.by:
            row |= {"by": self.by, "value": self.value}
        return json.dumps(row, ensure_ascii=False)

    @property
    def place(self) -> tuple[str, float]:
        """Orders strata so that neighbours are alike: by slice, then by risk; what is not scored comes last."""
        return self.value or "", self.risk[0] if self.risk else 2.0


def parse(text: str) -> Stratum | None:
    """The stratum of a row of audits; None for the plain word that older sites hold ("test": one draw, one stratum)."""
    if not text.startswith("{"):
        return None
    row = json.loads(text)
    risk = row["risk"]
    return Stratum(
        row["pile"], row["frame"], (risk[0], risk[1]) if risk else None, row.get("by", ""), row.get("value")
    )


def risk_edges(risk: Floats, bins: int) -> Floats:
    """Where to cut (N,) risks into `bins` parts of equal size: up to bins - 1 values, each once. NaN is not counted."""
    known = risk[~np.isnan(risk)]
    if bins < 2 or not len(known):
        return np.empty(0)
    return np.asarray(np.unique(np.quantile(known, np.arange(1, bins) / bins)))


def kept_values(values: Sequence[str | None], n: int) -> list[str]:
    """The slice's most frequent values that a sample of n can have a stratum for; the others make one together."""
    counted: dict[str, int] = {}
    for value in values:
        if value is not None:
            counted[value] = counted.get(value, 0) + 1
    ordered = sorted(counted, key=lambda value: (-counted[value], value))
    room = max(n // FEW, 1)
    has_rest = len(counted) > room or any(value is None for value in values)
    return ordered[: max(room - has_rest, 0)]


def cells_of(risk: Floats, values: Sequence[str | None], edges: Floats, kept: Sequence[str]) -> Ints:
    """(N,) the cell of each pair: slice * (len(edges) + 2) + bin. The last slice is the rest, the last bin NaN."""
    bins = np.searchsorted(edges, risk, side="right")
    bins[np.isnan(risk)] = len(edges) + 1
    place: dict[str | None, int] = {value: number for number, value in enumerate(kept)}
    rows = (
        np.fromiter((place.get(value, len(kept)) for value in values), np.int64, len(values)) if kept else 0
    )
    return np.asarray(rows * (len(edges) + 2) + bins, dtype=np.int64)


def allocate(frames: Sequence[int], piles: Sequence[int], n: int) -> list[int]:
    """How many of n pairs come from each stratum: in proportion to its pile, a few at least, its frame at most."""
    frame, pile = np.asarray(frames), np.asarray(piles, dtype=float)
    n = min(n, int(frame.sum()))
    least = np.minimum(frame, FEW) if n >= FEW * len(frame) else np.zeros_like(frame)
    low, high = 0.0, float((frame / pile).max())
    for _ in range(50):  # the share of every pile at which n are taken
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle * pile, least, frame).sum() < n else (low, middle)
    exact = np.clip(low * pile, least, frame)
    given = np.floor(exact + 1e-9).astype(int)
    while given.sum() < n:  # the largest fractions are rounded up
        given[int(np.argmax(np.where(given < frame, exact - given, -np.inf)))] += 1
    return [int(one) for one in given]


def spread_sample(groups: Sequence[str], n: int, rng: np.random.Generator) -> Ints:
    """(n,) indices of n of the N pairs, each with the chance n / N, and near-duplicates rarely together.

    Systematic sampling from the groups in random order: a step of N / n passes over the rest of a group.
    """
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    order = np.lexsort((rng.random(len(groups)), rng.permutation(len(names))[inverse]))
    places = np.floor((rng.random() + np.arange(n)) * len(groups) / n).astype(np.int64)
    return np.asarray(order[np.minimum(places, len(groups) - 1)], dtype=np.int64)
