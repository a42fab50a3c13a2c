"""How fast are photos found among a million, and how many of the nearest? `python -m scoring.search_bench`

Writes docs/benchmarks/search.json and search.md. Vectors are made up: clusters of very different size, as photos of a
factory are. Two kinds of query are asked, each against all vectors compared exactly: one like a stored photo, and one
that lies apart from all photos, as the vector of a text does ("modality gap": Liang et al. 2022). A process of its own
opens the index and asks, as the web page does, so that its memory is counted alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring import search
from scoring.neighbours import Streamed
from scoring.vectors import SHARD_ROWS, Vectors, VectorStore

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
PHOTOS, WIDTH, ASKED, K = 1_000_000, 512, 200, 50
CLUSTERS, SPREAD = 2000, 0.9  # of the clusters, in lengths of their centres
GAP, OWN = 0.9, 0.45  # shares of a text's vector: what all texts have in common, what it says
Vectors2D = NDArray[np.float32]


def unit(vectors: NDArray[np.floating[Any]]) -> Vectors2D:
    """Rows of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def made_up(rows: int, width: int, seed: int) -> Vectors2D:
    """(rows, width) of clusters that are the same for every seed; their sizes fall off like 1 / rank."""
    centres = unit(np.random.default_rng(0).normal(size=(CLUSTERS, width)))
    rng = np.random.default_rng(seed + 1)
    weights = 1 / np.arange(1, CLUSTERS + 1)
    cluster = rng.choice(CLUSTERS, rows, p=weights / weights.sum())
    return unit(centres[cluster] + SPREAD * unit(rng.normal(size=(rows, width))))


def questions(vectors: Any, kind: str) -> Vectors2D:
    """(ASKED, width): "photo" or "text"."""
    rng = np.random.default_rng(7)
    rows = rng.choice(len(vectors), ASKED, replace=False)
    like = np.asarray(vectors[np.sort(rows)], dtype=np.float32)
    near = unit(like + 0.3 * unit(rng.normal(size=like.shape)))
    if kind == "photo":
        return near
    return unit(OWN * near + GAP * unit(rng.normal(size=(1, like.shape[1]))))


def write_store(folder: Path, photos: int, width: int) -> VectorStore:
    """A store of made-up vectors."""
    store = VectorStore(folder, "made-up", "made-up", width)
    with store.writing():
        for start in range(0, photos, SHARD_ROWS):
            rows = min(SHARD_ROWS, photos - start)
            store.append("images", [f"{start + n:064x}" for n in range(rows)], made_up(rows, width, start))
        store.write_manifest()
    return store


def measure(folder: Path, width: int) -> dict[str, Any]:
    """What a process that answers searches sees."""
    import psutil

    me = psutil.Process()
    store = VectorStore(folder, "made-up", "made-up", width)
    store.load("images", remove=False)  # the libraries are loaded, the files have been read once
    before, began = me.memory_info().rss, time.perf_counter()
    found = search.PhotoSearch.of(store)
    if found.index is None:
        raise RuntimeError(f"the index is not used: {found.trouble or 'it does not cover the photos'}")
    result: dict[str, Any] = {"open_seconds": round(time.perf_counter() - began, 2)}
    for kind in ("photo", "text"):
        asked = questions(found.images.array, kind)
        truth = _truth(found.images, asked)
        seconds, right = [], []
        for query, wanted in zip(asked, truth, strict=True):
            began = time.perf_counter()
            hits = found.nearest(query, K)
            seconds.append(1000 * (time.perf_counter() - began))
            right.append(len(wanted & set(hits.image_ids)) / K)
        p50, p95 = np.percentile(seconds, [50, 95])
        result[kind] = {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1),
                        "max_ms": round(max(seconds), 1), "recall_at_50": round(float(np.mean(right)), 4),
                        "least_recall": round(min(right), 2)}  # fmt: skip
    result["mb"] = round((me.memory_info().rss - before) / 1e6)
    return result


def _truth(images: Vectors, asked: Vectors2D) -> list[set[str]]:
    _, place = Streamed(images.array, np.arange(len(images))).search(asked, K)
    return [set(images.keys.take(rows).to_pylist()) for rows in place]


def run(photos: int, width: int, folder: Path) -> dict[str, Any]:
    """Make, build, measure."""
    store = write_store(folder, photos, width)
    began = time.perf_counter()
    path = search.build(store)
    if path is None:
        raise SystemExit(f"{photos} photos need no index: every vector is compared.")
    built = time.perf_counter() - began
    asked = subprocess.run(
        [sys.executable, "-m", "scoring.search_bench", "--measure", str(folder), "--width", str(width)],
        cwd=OUT.parent.parent, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return {"photos": photos, "numbers": width, "build_seconds": round(built, 1),
            "index_mb": round(path.stat().st_size / 1e6), "vectors_mb": round(photos * width * 4 / 1e6),
            **json.loads(asked.stdout), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "load": round(os.getloadavg()[0], 1), "date": f"{date.today():%Y-%m-%d}"}  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """search.md"""
    lines = [
        f"# Search among {found['photos']:,} photos",
        "",
        f"`python -m scoring.search_bench`, {found['machine']}, load {found['load']}, {found['date']}. "
        f"{found['numbers']} numbers a vector, made up in clusters; {ASKED} queries of each kind, the {K} nearest, "
        "against all vectors compared exactly. Encoding the words of a text comes on top (rates.md: 5 to 30 ms).",
        "",
        "| query | median | 95th percentile | slowest | recall@50 | worst query's recall |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind, words in (("photo", "like a photo"), ("text", "apart from all photos, as texts are")):
        one = found[kind]
        lines.append(
            f"| {words} | {one['p50_ms']} ms | {one['p95_ms']} ms | {one['max_ms']} ms | {one['recall_at_50']:.3f} "
            f"| {one['least_recall']:.2f} |"
        )
    lines += [
        "",
        f"Index: {found['index_mb']} MB on disk beside {found['vectors_mb']} MB of vectors, built in "
        f"{found['build_seconds']} s. Opened once a process in {found['open_seconds']} s, every byte checked; "
        f"{found['mb']} MB of memory after all queries, pages of the mapped index among them.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=PHOTOS)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--measure", type=Path, help="a folder that is ready: print what a search sees there")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.width)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = run(given.photos, given.width, Path(folder) / "vectors")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "search.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (given.out / "search.md").write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main()
