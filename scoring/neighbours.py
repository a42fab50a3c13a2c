"""The nearest photos and captions of each photo and caption, its own near-duplicates left out.

    near = nearest(vectors, rows, asked, k=30, groups=…, asked_groups=…)      # Neighbours: place (Q, k), cosine (Q, k)
    pairs = standing(near.place, members(image_of, 10, counted))              # pairs that stand on those neighbours

All are compared on a GPU, up to EXACT_ROWS, and when few are asked (a re-score after some corrections). Else FAISS
looks into inverted lists of 4-bit codes (Jégou et al. 2011, doi 10.1109/TPAMI.2010.57) for candidates, and their exact
vectors rank them. Vectors are read in blocks, so memory grows with the codes alone: half a byte for a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.jobs import Progress, silent

if TYPE_CHECKING:
    from scoring.rows import Rows

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

EXACT_ROWS = 30_000
FEW_ASKED = 2_000
READ = 8192  # vectors read, or asked, at a time
GPU_BLOCK = 1 << 28  # cosines on the GPU at a time: 1 GiB
RANKED = 1 << 23  # numbers of candidates' vectors held at a time: 32 MiB
SPARE = 34  # candidates past k, for near-duplicates that are left out
PROBED = 16  # inverted lists searched for each query
TRAINED_ON = 40  # vectors for each list
ROUNDS = 10  # of k-means


@dataclass(frozen=True)
class Neighbours:
    """The k nearest of each query, nearest first, by their place in `rows`; -1 (cosine -2) where there are fewer."""

    place: Ints  # (Q, k) int32
    cosine: Floats  # (Q, k) float32; of the nearest ones only, where no more were asked for


def nearest(
    vectors: NDArray[np.float32] | Rows,
    rows: Ints,
    asked: Ints,
    k: int,
    groups: Ints,
    asked_groups: Ints,
    device: str = "cpu",
    cosines: int | None = None,
) -> Neighbours:
    """vectors: (N, D), unit length. rows: (R,) among which to look, asked: (Q,) for which; both count in `vectors`.

    groups: (R,), asked_groups: (Q,). What is of the query's own group is never its neighbour. cosines: of how many of
    the nearest they are kept (a million rows of 30 take 120 MB); None: of all.
    """
    k = min(k, len(rows))
    place = np.full((len(asked), k), -1, np.int32)
    cosine = np.full((len(asked), k if cosines is None else min(k, cosines)), -2, np.float32)
    if k == 0 or not len(asked):
        return Neighbours(place, cosine)
    index, wanted = _index(vectors, rows, len(asked), device), min(len(rows), k + SPARE)
    crowd = (
        np.bincount(groups - groups.min())[groups - groups.min()].max() > SPARE
        and (groups != groups[0]).any()
    )
    for start in range(0, len(asked), READ):
        part = slice(start, start + READ)
        queries = np.ascontiguousarray(vectors[asked[part]], dtype=np.float32)
        _, candidates = index.search(queries, wanted)
        found = _ranked(vectors, rows, queries, candidates, groups, asked_groups[part], k)
        if crowd:  # a query may have found nothing but its own near-duplicates
            short = (found.place < 0).any(axis=1)
            for group in np.unique(asked_groups[part][short]):
                few = np.flatnonzero(short & (asked_groups[part] == group))
                others = np.flatnonzero(groups != group)
                _, at = Streamed(vectors, rows[others]).search(queries[few], min(k, len(others)))
                alone = _ranked(vectors, rows, queries[few], others[at], groups, asked_groups[part][few], k)
                found.place[few, : at.shape[1]], found.cosine[few, : at.shape[1]] = alone.place, alone.cosine
        place[part], cosine[part] = found.place, found.cosine[:, : cosine.shape[1]]
    return Neighbours(place, cosine)


def _index(vectors: NDArray[np.float32] | Rows, rows: Ints, asked: int, device: str) -> Any:
    """What answers search(queries, k) among the rows."""
    import faiss

    width = vectors.shape[1]
    index: Any
    if len(rows) <= EXACT_ROWS:
        index = faiss.IndexFlatIP(width)
    elif asked <= FEW_ASKED:
        return Streamed(vectors, rows)
    elif device == "cuda":
        return OnDevice(vectors, rows, device)
    else:
        return inverted_lists(vectors, rows)
    for start in range(0, len(rows), READ):
        index.add(np.ascontiguousarray(vectors[rows[start : start + READ]], dtype=np.float32))
    return index


def inverted_lists(vectors: NDArray[np.float32] | Rows, rows: Ints, progress: Progress = silent) -> Any:
    """A FAISS index of the rows: 2 sqrt(R) inverted lists of 4-bit numbers, the nearest PROBED searched."""
    import faiss

    lists = int(2 * np.sqrt(len(rows)))
    index: Any = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQ4", faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = ROUNDS
    index.nprobe = PROBED
    drawn = np.random.default_rng(0).choice(len(rows), min(len(rows), TRAINED_ON * lists), replace=False)
    index.train(np.ascontiguousarray(vectors[rows[np.sort(drawn)]], dtype=np.float32))
    for start in range(0, len(rows), READ):
        index.add(np.ascontiguousarray(vectors[rows[start : start + READ]], dtype=np.float32))
        progress(min(start + READ, len(rows)), len(rows), "photos")
    return index


@dataclass(frozen=True)
class Streamed:
    """Compares a few queries with all rows, read in blocks, for a site whose vectors do not fit into memory."""

    vectors: NDArray[np.float32] | Rows
    rows: Ints

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """(Q, k) cosines and places, nearest first; of equal ones the first, so that a second look shows the same."""
        import faiss

        near: Floats = np.full((len(queries), k), -2, np.float32)
        place: Ints = np.full((len(queries), k), -1, np.int64)
        for start in range(0, len(self.rows), READ * 4):
            block = np.ascontiguousarray(self.vectors[self.rows[start : start + READ * 4]], dtype=np.float32)
            more, at = faiss.knn(queries, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
            near, place = np.hstack([near, more]), np.hstack([place, at + start])
            order = np.lexsort((place, -near), axis=1)[:, :k]
            near, place = np.take_along_axis(near, order, axis=1), np.take_along_axis(place, order, axis=1)
        return near, place


class OnDevice:
    """Holds all rows on a GPU (a million of 512 numbers are 2 GB) and compares each query with each of them."""

    def __init__(self, vectors: NDArray[np.float32] | Rows, rows: Ints, device: str) -> None:
        import torch

        self._held = torch.empty((len(rows), vectors.shape[1]), dtype=torch.float32, device=device)
        for start in range(0, len(rows), READ):
            block = np.ascontiguousarray(vectors[rows[start : start + READ]], dtype=np.float32)
            self._held[start : start + READ] = torch.from_numpy(block).to(device)

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """(Q, k) cosines and places, nearest first."""
        import torch

        asked = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(self._held.device)
        near = torch.empty((len(asked), 0), device=asked.device)
        place = torch.empty((len(asked), 0), dtype=torch.int64, device=asked.device)
        size = max(k, GPU_BLOCK // max(len(asked), 1))
        for start in range(0, len(self._held), size):
            cosines = asked @ self._held[start : start + size].T
            more, at = cosines.topk(min(k, cosines.shape[1]), dim=1)
            near, place = torch.cat([near, more], dim=1), torch.cat([place, at + start], dim=1)
            near, best = near.topk(min(k, near.shape[1]), dim=1)
            place = place.gather(1, best)
        return near.cpu().numpy(), place.cpu().numpy()


def _ranked(
    vectors: NDArray[np.float32] | Rows,
    rows: Ints,
    queries: Floats,
    candidates: Ints,
    groups: Ints,
    asked_groups: Ints,
    k: int,
) -> Neighbours:
    """The k best of each query's candidates (Q, K), -1 = none, by their exact vectors; equal ones by place."""
    place = np.full((len(queries), min(k, candidates.shape[1])), -1, np.int32)
    cosine = np.full(place.shape, -2, np.float32)
    size = max(1, RANKED // (candidates.shape[1] * queries.shape[1]))
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        there = np.maximum(candidates[part], 0)
        found = np.asarray(vectors[rows[there.ravel()]], dtype=np.float32).reshape(*there.shape, -1)
        exact = np.einsum("qd,qkd->qk", queries[part], found)
        exact[(candidates[part] < 0) | (groups[there] == asked_groups[part, None])] = -2
        order = np.lexsort((there, -exact), axis=1)[:, : place.shape[1]]
        cosine[part] = np.take_along_axis(exact, order, axis=1)
        place[part] = np.where(cosine[part] > -2, np.take_along_axis(there, order, axis=1), -1)
    return Neighbours(place, cosine)


def members(item_of: Ints, at_most: int, counted: NDArray[np.bool_]) -> Ints:
    """(items, at_most) the counted pairs that stand on each photo (or carry each caption), -1 where there are fewer.

    item_of: (N,) the photo (or caption) of each pair, a number below `items`. Of more, a seeded draw chooses.
    """
    items = int(item_of.max(initial=-1)) + 1
    rows = np.flatnonzero(counted)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    rows = rows[np.argsort(item_of[rows], kind="stable")]
    item = item_of[rows]
    place = np.arange(len(rows)) - np.searchsorted(item, item, "left")
    found = np.full((items, at_most), -1, np.int32)
    kept = place < at_most
    found[item[kept], place[kept]] = rows[kept]
    return found


def standing(near_items: Ints, of_item: Ints, k: int, unwanted: NDArray[np.bool_] | None = None) -> Ints:
    """(Q, k) pairs that stand on the neighbours of each query, the nearest neighbour's first; -1 where there are fewer.

    near_items: (Q, K), -1 = none. of_item: (items, M), see members. unwanted: (Q, K * M) pairs to leave out.
    """
    pairs = np.where(near_items[:, :, None] >= 0, of_item[near_items], -1).reshape(len(near_items), -1)
    absent = pairs < 0 if unwanted is None else (pairs < 0) | unwanted
    order = np.argsort(absent, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(absent, order, axis=1), -1, np.take_along_axis(pairs, order, axis=1))
