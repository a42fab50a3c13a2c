"""What a model is measured by: one function a task, from (encoder, bench) to metrics with every item's part in them.

    bench = prepare(site, snapshot.contents, encoder, folder)       # photos decoded, labels read: once for all models
    found = [measured for task in TASKS.values() for measured in task(encoder, bench)]

A task without its labels raises TaskSkipped with the reason. To add a task, write the function and name it in TASKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoring.encoders import Encoder
from training.bench import IGNORED, Bench, Dense
from training.measures import Measured
from training.pixels import Pixels, batches, normalised
from training.probes import BATCH, features_of, fit, to_size

if TYPE_CHECKING:
    import numpy as np

TOP = (1, 5, 10)
DIRECTIONS = ("text_to_image", "image_to_text")
Row = dict[str, Any]
FEWEST_LABELLED = 10  # photos, on either side; fewer measure nothing


class TaskSkipped(Exception):
    """A task that has nothing to measure on this site; the text says why."""


@dataclass(frozen=True)
class Rank:
    """Where the first right answer to one query stands, counted from 1."""

    item: str
    cluster: str
    rank: int


def retrieval(encoder: Encoder, bench: Bench) -> list[Measured]:
    """recall_at_k: the share of queries whose first right answer is among the first k.

    text_to_image: each checked caption looks for its photo, among the photos with a checked caption in its language.
    image_to_text: each photo looks for its caption, among all different checked captions of one language; a photo with
    captions in two languages looks twice.
    """
    if not bench.items:
        raise TaskSkipped("no held-out photo has a checked caption")
    found = ranks(encoder, bench.items, bench.photos)
    return [
        _measured(f"recall_at_{k}_{direction}", found[direction], k) for direction in DIRECTIONS for k in TOP
    ]


def _measured(metric: str, found: list[Rank], k: int) -> Measured:
    import numpy as np

    statistics = np.array([[float(one.rank <= k), 1.0] for one in found])
    return Measured("retrieval", metric, "fraction", True, "ratio", [one.item for one in found],
                    [one.cluster for one in found], statistics)  # fmt: skip


@dataclass(frozen=True)
class Match:
    """All photos and all different captions of one language. similarity: (photos, captions) cosines; right: the same
    shape, whether the caption is right for the photo. row, column: places of photos (image_id) and captions in them."""

    items: list[Row]
    row: dict[str, int]
    column: dict[str, int]
    similarity: np.ndarray
    right: np.ndarray


def matches(encoder: Encoder, items: Sequence[Row], photos: Pixels) -> Iterator[Match]:
    """Language by language (docs/decisions/0003), so that no caption competes with its own translation."""
    import numpy as np

    image_ids = sorted({item["image_id"] for item in items})
    vectors = dict(zip(image_ids, image_vectors(encoder, photos, image_ids), strict=True))
    for language in sorted({item["language"] for item in items}):
        part = [item for item in items if item["language"] == language]
        captions = sorted({item["caption"] for item in part})
        row = {image_id: n for n, image_id in enumerate(sorted({item["image_id"] for item in part}))}
        column = {caption: n for n, caption in enumerate(captions)}
        similarity = np.stack([vectors[image_id] for image_id in row]) @ encoder.encode_texts(captions).T
        yield Match(part, row, column, similarity, right_answers(part, row, column))


def image_vectors(encoder: Encoder, photos: Pixels, image_ids: Sequence[str]) -> np.ndarray:
    """(n, D) float32, unit length."""
    import numpy as np
    import torch

    parts = [
        encoder.encode_images(normalised(torch.from_numpy(photos.of(ids)), encoder))
        for ids in batches(image_ids, 2 * BATCH)
    ]
    return np.concatenate(parts)


def ranks(encoder: Encoder, items: Sequence[Row], photos: Pixels) -> dict[str, list[Rank]]:
    """Ranks of all queries in both directions."""
    found: dict[str, list[Rank]] = {direction: [] for direction in DIRECTIONS}
    for match in matches(encoder, items, photos):
        by_photo = first_right(match.similarity, match.right)
        by_caption = first_right(match.similarity.T, match.right.T)
        cluster = {item["image_id"]: item["group_id"] for item in match.items}
        language = match.items[0]["language"]
        found["text_to_image"] += [
            Rank(item["item_id"], item["group_id"], int(by_caption[match.column[item["caption"]]]))
            for item in match.items
        ]
        found["image_to_text"] += [
            Rank(f"{image_id}-{language}", cluster[image_id], int(by_photo[place]))
            for image_id, place in match.row.items()
        ]
    return found


def right_answers(items: Sequence[dict[str, str]], row: dict[str, int], column: dict[str, int]) -> np.ndarray:
    """(photos, captions) bool: a caption is right for every photo that carries the same words or the same facts."""
    import numpy as np

    right = np.zeros((len(row), len(column)), dtype=bool)
    photos_of: dict[tuple[str, str], set[int]] = {}
    for item in items:
        for key in _keys(item):
            photos_of.setdefault(key, set()).add(row[item["image_id"]])
    for item in items:
        for key in _keys(item):
            right[list(photos_of[key]), column[item["caption"]]] = True
    return right


def _keys(item: Row) -> list[tuple[str, str]]:
    return [("caption", item["caption"])] + ([("facts", item["facts"])] if item["facts"] else [])


def first_right(similarity: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(queries,) ranks, from 1, of the best right answer. Both (queries, answers); each query has a right answer.

    A wrong answer that is exactly as similar counts as better: who cannot tell answers apart gets no credit.
    first_right([[0.9, 0.5, 0.1]], [[False, True, False]]) == [2]
    """
    import numpy as np

    best = np.where(right, similarity, -np.inf).max(1, keepdims=True)
    return 1 + ((similarity >= best) & ~right).sum(1)


def segmentation(encoder: Encoder, bench: Bench) -> list[Measured]:
    """mIoU of a linear probe on frozen features, at the model's size: fitted on train, measured on test photos."""
    import numpy as np

    dense = _require(bench.masks, "masks")
    classes = len(dense.classes)

    def one_hot(ids: Sequence[str]) -> np.ndarray:
        labels = dense.labels(ids)
        made = (labels[:, None] == np.arange(classes)[None, :, None, None]).astype(np.float32)
        made[np.broadcast_to(labels[:, None] == IGNORED, made.shape)] = np.nan
        return made

    probe = fit(encoder, dense.pixels, dense.train, one_hot, is_balanced=True)
    found = []
    for ids in batches(dense.test, BATCH):
        scores = to_size(probe.maps(features_of(encoder, dense.pixels, ids)), encoder.image_size)
        predicted = scores.argmax(1).cpu().numpy()
        found += [
            confusion(true, one, classes) for true, one in zip(dense.labels(ids), predicted, strict=True)
        ]
    return [dense.measured("segmentation", "miou", "fraction", True, "mean_iou", np.stack(found))]


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(classes * classes,) float64 pixel counts, true class * classes + predicted class; IGNORED pixels left out.

    confusion([[0, 1], [1, -1]], [[0, 1], [0, 0]], 2) == [1, 0, 1, 1]
    """
    import numpy as np

    known = true != IGNORED
    index = true[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(index, minlength=classes * classes).astype(np.float64)


def depth(encoder: Encoder, bench: Bench) -> list[Measured]:
    """RMSE in metres of a linear probe on frozen features, over all measured pixels of the test photos."""
    import numpy as np

    dense = _require(bench.depth, "depth maps")
    probe = fit(encoder, dense.pixels, dense.train, lambda ids: dense.labels(ids)[:, None])
    found = []
    for ids in batches(dense.test, BATCH):
        maps = to_size(probe.maps(features_of(encoder, dense.pixels, ids)), encoder.image_size)
        for true, one in zip(dense.labels(ids), maps[:, 0].cpu().numpy(), strict=True):
            known = ~np.isnan(true)
            found.append([float(((one - true)[known].astype(np.float64) ** 2).sum()), float(known.sum())])
    return [dense.measured("depth", "rmse", "m", False, "root_mean_square", np.array(found))]


def _require(dense: Dense | None, what: str) -> Dense:
    if dense is None:
        raise TaskSkipped(f"the site has no {what}")
    if min(len(dense.train), len(dense.test)) < FEWEST_LABELLED:
        raise TaskSkipped(
            f"{len(dense.train)} train and {len(dense.test)} test photos have {what}; "
            f"it takes {FEWEST_LABELLED} of each"
        )
    return dense


TASKS: dict[str, Callable[[Encoder, Bench], list[Measured]]] = {
    "retrieval": retrieval, "segmentation": segmentation, "depth": depth,
}  # fmt: skip


def measure(encoder: Encoder, bench: Bench) -> tuple[list[Measured], dict[str, str]]:
    """All tasks of one model, and the tasks that had nothing to measure, with the reason."""
    found: list[Measured] = []
    skipped: dict[str, str] = {}
    for name, task in TASKS.items():
        try:
            found += task(encoder, bench)
        except TaskSkipped as reason:
            skipped[name] = str(reason)
    return found, skipped
