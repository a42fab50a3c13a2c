"""What speed may not cost: the ranking after decoding at a smaller scale. See scoring/rates.py, which runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.photos import open_photo
from scoring.benchmark_sets import BenchmarkSet, flickr8k, make_site, planted_pairs
from scoring.measures import auroc
from scoring.score import captioned_pairs

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from scoring.encoders import Encoder

SHARE, SEEDS = 0.3, (0, 1, 2)
BATCH = 8

Row = dict[str, Any]


def scaled_decoding(
    encoder: Encoder, shared: Path, folder: Path, photos: int, say: Callable[[str], None]
) -> Row:
    """12-megapixel copies of `photos` Flickr8k photos, decoded in full and as we do it: do both rank captions alike?

    Spearman's rho of the cosines of all pairs, and AUROC of planted errors (30 %, mean of three seeds).
    """
    from scipy.stats import spearmanr

    whole = flickr8k(shared)
    names = list(dict.fromkeys(image for image, _ in whole.pairs))[:photos]
    one = BenchmarkSet(
        whole.name,
        whole.folder,
        [pair for pair in whole.pairs if pair[0] in set(names)],
        whole.facts_of,
        None,
    )
    site = make_site(one, folder / "site", encoder.id)
    pairs = captioned_pairs(site)
    with site.connect() as db:
        files = {
            row["image_id"]: one.folder / row["uri"] for row in db.rows("SELECT image_id, uri FROM images")
        }
    full, scaled = both_ways(encoder, list(files.values()), folder, say)
    row_of = {image_id: row for row, image_id in enumerate(files)}
    aurocs = []
    for seed in SEEDS:
        planted = planted_pairs(pairs, one, SHARE, seed)
        texts = encoder.encode_texts([row.pair.caption for row in planted])
        at = [row_of[row.pair.image_id] for row in planted]
        wrong = [bool(row.kind) for row in planted]
        aurocs.append([auroc(-(images[at] * texts).sum(axis=1), wrong) for images in (full, scaled)])
    own = encoder.encode_texts([pair.caption for pair in pairs])
    at = [row_of[pair.image_id] for pair in pairs]
    cosines = [(images[at] * own).sum(axis=1) for images in (full, scaled)]
    in_full, at_scale = np.mean(aurocs, axis=0)
    return {
        "photos": len(files), "pairs": len(pairs), "megapixels": 12,
        "spearman": round(float(spearmanr(*cosines).statistic), 5),
        "largest_difference_of_cosine": round(float(np.abs(cosines[0] - cosines[1]).max()), 4),
        "auroc_full": round(float(in_full), 4), "auroc_scaled": round(float(at_scale), 4),
        "auroc_points": round(100 * float(at_scale - in_full), 3),
    }  # fmt: skip


def both_ways(
    encoder: Encoder, files: Sequence[Path], folder: Path, say: Callable[[str], None]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, D) vectors of a large copy of each photo, decoded in full and at the scale that is enough."""
    import torch

    from data.large_photos import open_plainly, write_large_copy

    full: list[NDArray[np.float32]] = []
    scaled: list[NDArray[np.float32]] = []
    large = folder / "large.jpg"
    for start in range(0, len(files), BATCH):
        pixels: list[list[torch.Tensor]] = [[], []]
        for number, path in enumerate(files[start : start + BATCH], start):
            write_large_copy(path, large, seed=number)
            pixels[0].append(encoder.preprocess(open_plainly(large)))
            pixels[1].append(encoder.preprocess(open_photo(large, shortest_side=encoder.image_size)))
        full.append(encoder.encode_images(torch.stack(pixels[0])))
        scaled.append(encoder.encode_images(torch.stack(pixels[1])))
        say(f"{min(start + BATCH, len(files))} of {len(files)} photos, both ways")
    return np.concatenate(full), np.concatenate(scaled)
