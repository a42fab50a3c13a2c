"""Image embeddings of the test photos, computed once for all tasks of a model; and how a task says it has no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoring.encoders import Encoder
from training.pixels import Pixels, batches, normalised
from training.probes import BATCH

if TYPE_CHECKING:
    import numpy as np

    from training.bench import Bench


class TaskSkipped(Exception):
    """A task that has nothing to measure on this site; the text says why."""


@dataclass(frozen=True)
class Vectors:
    """array: (n, D) float32, unit length. place: image_id -> row."""

    array: np.ndarray
    place: dict[str, int]


def test_vectors(encoder: Encoder, bench: Bench) -> Vectors:
    """Of all photos of `bench.photos`. Kept in `bench.memo`, which belongs to one measuring of one model."""
    if "vectors" not in bench.memo:
        image_ids = list(bench.photos.place)
        bench.memo["vectors"] = Vectors(
            image_vectors(encoder, bench.photos, image_ids), dict(bench.photos.place)
        )
    found: Vectors = bench.memo["vectors"]
    return found


def image_vectors(encoder: Encoder, photos: Pixels, image_ids: Sequence[str]) -> np.ndarray:
    """(n, D) float32, unit length."""
    import numpy as np
    import torch

    parts = [
        encoder.encode_images(normalised(torch.from_numpy(photos.of(ids)), encoder))
        for ids in batches(image_ids, 2 * BATCH)
    ]
    return np.concatenate(parts)
