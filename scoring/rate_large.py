"""What a large site takes: ranking all of it, and ranking it again after some corrections.

    large_site(1_000_000, encoder_id)         # Row; each of the two in a process of its own

The site is made up: captions as an inspector writes them, each standing on some five photos, every third photo a
near-duplicate of another, and vectors in clusters. So nothing is embedded but the corrected captions.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.records import caption_id, pair_id
from data.site import Site, init_site
from data.store import now
from scoring.encoders import source_for_site
from scoring.vectors import VectorStore

Row = dict[str, Any]
MEGABYTE = 1e6
CHUNK = 50_000
PHOTOS_A_CAPTION = 5
CLUSTERS, SPREAD = 200, 0.7
CORRECTIONS = 100
WORDS = (
    ("steel", "brass", "copper", "plastic", "rubber", "aluminium"),
    ("bolt", "nut", "washer", "gear", "bracket", "pipe"),
    ("slight", "moderate", "severe"),
    ("scratch", "dent", "crack", "rust", "stain"),
    ("left", "right", "top", "bottom"),
    ("tray", "workbench", "conveyor"),
)


def large_site(pairs: int, encoder_id: str) -> Row:
    """Seconds and peak memory of both; the peak is what the process held more than with its libraries alone."""
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(Path(folder), pairs, encoder_id)
        dim = source_for_site(site).dim
        found = {"pairs": pairs, "dim": dim, **_in_process(site)}
        correct(site)
        again = _in_process(site)
    return {**found, "corrections": CORRECTIONS, **{f"again_{key}": value for key, value in again.items()}}


def neighbour_search(rows: int, asked: int, devices: Sequence[str], k: int = 30, dim: int = 384) -> Row:
    """Seconds of `nearest` for so many of `rows` vectors on each device, its index built anew; and the share of the
    exact neighbours that inverted lists find, where both were run. The first search on a device, which warms it up, is
    a small one that does not count."""
    from scoring import neighbours

    if asked <= neighbours.FEW_ASKED or rows <= neighbours.EXACT_ROWS:
        raise ValueError(f"{asked} of {rows}: so few are compared with all on every device")
    vectors = np.concatenate([part for _, part in _clustered(rows, dim)])
    groups, all_rows = np.arange(rows), np.arange(rows)
    chosen = np.sort(np.random.default_rng(1).choice(rows, asked, replace=False))
    found, seconds = {}, {}
    for device in devices:
        few = neighbours.EXACT_ROWS + 1
        neighbours.nearest(vectors, all_rows[:few], all_rows[:few], k, groups[:few], groups[:few], device)
        started = time.monotonic()
        found[device] = neighbours.nearest(vectors, all_rows, chosen, k, groups, groups[chosen], device).place
        seconds[f"{device}_seconds"] = round(time.monotonic() - started, 1)
    row: Row = {"rows": rows, "asked": asked, "dim": dim, "k": k, **seconds}
    if {"cpu", "cuda"} <= found.keys():
        both = [len(np.intersect1d(*pair)) for pair in zip(found["cpu"], found["cuda"], strict=True)]
        row["recall_of_lists"] = round(float(np.mean(both)) / k, 4)
    return row


def make_site(folder: Path, pairs: int, encoder_id: str) -> Site:
    """A site with so many photos, each with one caption, and the vectors of both."""
    (folder / "photos").mkdir()
    site = init_site(folder / "site", [folder / "photos"], "parts", encoder_id, languages=["en"])
    draw = random.Random(0)
    captions = list({_caption(draw): None for _ in range(max(pairs // PHOTOS_A_CAPTION, CLUSTERS))})
    for start in range(0, pairs, CHUNK):
        images, rows = [], []
        for row in range(start, min(start + CHUNK, pairs)):
            caption = draw.choice(captions)
            group = _image_id(row - (row % 3 == 1))
            images.append({"image_id": _image_id(row), "uri": f"{row}.jpg", "root": 0, "width": 64, "height": 64,
                           "group_id": group, "split": "train", "added_at": now()})  # fmt: skip
            rows.append(_pair(_image_id(row), caption, "legacy"))
        with site.connect() as db:
            db.insert("images", images)
            db.insert("pairs", rows)
    store = VectorStore.of(site, source_for_site(site))
    with store.writing():
        for kind, ids in (("images", [_image_id(row) for row in range(pairs)]),
                          ("captions", [caption_id(one) for one in captions])):  # fmt: skip
            for start, vectors in _clustered(len(ids), store.dim):
                store.append(
                    "images" if kind == "images" else "captions", ids[start : start + CHUNK], vectors
                )
        store.write_manifest()
    return site


def _caption(draw: random.Random) -> str:
    material, part, severity, defect, place, background = (draw.choice(words) for words in WORDS)
    count, lot = draw.randint(1, 9), draw.randint(1, 10**7)
    return f"{count} {material} {part} with {severity} {defect} at the {place}, on the {background} lot {lot}"


def _image_id(row: int) -> str:
    """As long as ours, and scattered as hashes are: neighbours in a table are not neighbours on disk."""
    return f"{row * 0x9E3779B97F4A7C15 % (1 << 64):064x}"


def _pair(image_id: str, caption: str, origin: str) -> Row:
    return {"pair_id": pair_id(image_id, caption), "image_id": image_id, "caption": caption,
            "caption_id": caption_id(caption), "language": "en", "origin": origin, "state": "captioned",
            "slots": {}, "extra": {}, "added_at": now()}  # fmt: skip


def _clustered(count: int, dim: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((CLUSTERS, dim), dtype=np.float32)
    for start in range(0, count, CHUNK):
        of = draw.integers(0, CLUSTERS, min(CHUNK, count - start))
        vectors = centres[of] + SPREAD * draw.standard_normal((len(of), dim), dtype=np.float32)
        yield start, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def correct(site: Site, corrections: int = CORRECTIONS) -> None:
    """What people add: new captions, and labels of which a third says that the caption was right."""
    with site.connect() as db:
        rows = db.rows("SELECT pair_id, image_id FROM pairs ORDER BY pair_id LIMIT ?", [corrections])
        draw = random.Random(1)
        db.insert("pairs", [_pair(row["image_id"], _caption(draw), "correction") for row in rows])
        db.insert("labels", [
            {"pair_id": row["pair_id"], "correction_id": str(place), "needs_correction": place % 3 > 0,
             "source": "audit" if place % 2 else "queue", "labelled_at": now(),
             "inclusion_probability": 0.001 if place % 2 else None}
            for place, row in enumerate(rows)
        ])  # fmt: skip


def _in_process(site: Site) -> Row:
    child = [sys.executable, "-m", "scoring.rate_large", str(site.root)]
    done = subprocess.run(child, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def measured(site: Site) -> Row:
    """Score, in a process that does nothing else. Loading the encoder is counted apart."""
    from scoring.torchvision_ops import ensure_torchvision

    ensure_torchvision()
    import faiss  # noqa: F401  libraries are there before anything is counted
    import open_clip  # noqa: F401
    import sklearn.linear_model
    import sklearn.model_selection  # noqa: F401

    from scoring.score import score

    before = _held_bytes("VmRSS")
    found = score(site, device="cpu")
    return {"seconds": round(found.seconds - found.load_seconds, 1), "load_seconds": found.load_seconds,
            "ranked": found.written, "embedded": found.captions_embedded,
            "peak_megabytes": round((_held_bytes("VmHWM") - before) / MEGABYTE)}  # fmt: skip


def _held_bytes(field: str) -> int:
    """Memory of this process now (VmRSS) or at its peak (VmHWM), pages of mapped files included. Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def main(arguments: Sequence[str]) -> None:
    print(json.dumps(measured(Site.open(arguments[0]))))


if __name__ == "__main__":
    main(sys.argv[1:])
