"""What a model is measured by: one function a task, from (encoder, bench) to metrics with every item's part in them.

    bench = prepare(site, snapshot.contents, encoder, folder)       # photos decoded, labels read: once for all models
    found = [measured for task in TASKS.values() for measured in task(encoder, bench)]

A task without its labels raises TaskSkipped with the reason. To add a task, write the function and name it in TASKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from scoring.encoders import Encoder
from training.bench import Bench
from training.caption_tasks import classification, inspection, slots
from training.dense_tasks import DENSE, depth, segmentation
from training.measures import Measured
from training.pixels import Pixels
from training.vectors import TaskSkipped, Vectors, image_vectors, test_vectors

if TYPE_CHECKING:
    import numpy as np

TOP = (1, 5, 10)
DIRECTIONS = ("text_to_image", "image_to_text")
LEGACY, TEMPLATE = "legacy", "template"
Row = dict[str, Any]


@dataclass(frozen=True)
class Rank:
    """Where the first right answer to one query stands, counted from 1. style: LEGACY, TEMPLATE, or both joined by "+"
    (a photo that has captions of both)."""

    item: str
    cluster: str
    rank: int
    language: str
    style: str


def retrieval(encoder: Encoder, bench: Bench) -> list[Measured]:
    """recall_at_k: the share of queries whose first right answer is among the first k; median_rank: the middle place.

    text_to_image: each checked caption looks for its photo, among the photos with a checked caption in its language.
    image_to_text: each photo looks for its caption, among all different checked captions of one language; a photo with
    captions in two languages looks twice.

    Each metric over all queries (task `retrieval`), and again by the style of their captions: `retrieval_legacy` for
    captions called right as they stand, `retrieval_template` for those that a person wrote with the template. Training
    on the template's words alone makes the latter easier to find. All search among the same answers.
    """
    if not bench.items:
        raise TaskSkipped("no held-out photo has a checked caption")
    if len({(item["language"], item["caption"]) for item in bench.items}) == len(
        {item["language"] for item in bench.items}
    ):
        raise TaskSkipped(
            f"all checked captions say the same, {bench.items[0]['caption'][:60]!r}: every search would find it"
        )
    found = ranks(encoder, bench.items, bench.photos, test_vectors(encoder, bench))
    measured = []
    for direction in DIRECTIONS:
        for style in ("", LEGACY, TEMPLATE):
            chosen = [one for one in found[direction] if not style or one.style == style]
            measured += _measured(chosen, direction, style) if chosen else []
    return measured


def _measured(found: list[Rank], direction: str, style: str) -> list[Measured]:
    import numpy as np

    items, clusters = [one.item for one in found], [one.cluster for one in found]
    strata = [f"{one.language}-{one.style}" for one in found]
    ranks = np.array([one.rank for one in found], dtype=np.float64)
    task = f"retrieval_{style}" if style else "retrieval"
    recall = [
        Measured(task, f"recall_at_{k}_{direction}", "fraction", True, "ratio", items, clusters,
                 np.stack([ranks <= k, np.ones_like(ranks)], axis=1).astype(np.float64), strata)
        for k in TOP
    ]  # fmt: skip
    median = Measured(
        task, f"median_rank_{direction}", "rank", False, "median", items, clusters, ranks[:, None], strata
    )
    return [*recall, median]


@dataclass(frozen=True)
class Match:
    """All photos and all different captions of one language. similarity: (photos, captions) cosines; right: the same
    shape, whether the caption is right for the photo. row, column: places of photos (image_id) and captions in them."""

    items: list[Row]
    row: dict[str, int]
    column: dict[str, int]
    similarity: np.ndarray
    right: np.ndarray


def matches(
    encoder: Encoder, items: Sequence[Row], photos: Pixels, known: Vectors | None = None
) -> Iterator[Match]:
    """Language by language (docs/decisions/0003), so that no caption competes with its own translation.

    known: embeddings of the photos, where they were computed before.
    """
    image_ids = sorted({item["image_id"] for item in items})
    array = image_vectors(encoder, photos, image_ids) if known is None else known.array
    place = {image_id: n for n, image_id in enumerate(image_ids)} if known is None else known.place
    for language in sorted({item["language"] for item in items}):
        part = [item for item in items if item["language"] == language]
        captions = sorted({item["caption"] for item in part})
        row = {image_id: n for n, image_id in enumerate(sorted({item["image_id"] for item in part}))}
        column = {caption: n for n, caption in enumerate(captions)}
        similarity = array[[place[image_id] for image_id in row]] @ encoder.encode_texts(captions).T
        yield Match(part, row, column, similarity, right_answers(part, row, column))


def ranks(
    encoder: Encoder, items: Sequence[Row], photos: Pixels, known: Vectors | None = None
) -> dict[str, list[Rank]]:
    """Ranks of all queries in both directions."""
    found: dict[str, list[Rank]] = {direction: [] for direction in DIRECTIONS}
    for match in matches(encoder, items, photos, known):
        by_photo = first_right(match.similarity, match.right)
        by_caption = first_right(match.similarity.T, match.right.T)
        cluster = {item["image_id"]: item["group_id"] for item in match.items}
        language = match.items[0]["language"]
        styles: dict[str, set[str]] = {}
        for item in match.items:
            styles.setdefault(item["image_id"], set()).add(style_of(item))
        found["text_to_image"] += [
            Rank(item["item_id"], item["group_id"], int(by_caption[match.column[item["caption"]]]), language,
                 style_of(item))
            for item in match.items
        ]  # fmt: skip
        found["image_to_text"] += [
            Rank(f"{image_id}-{language}", cluster[image_id], int(by_photo[place]), language,
                 "+".join(sorted(styles[image_id])))
            for image_id, place in match.row.items()
        ]  # fmt: skip
    return found


def style_of(item: Row) -> str:
    """LEGACY for a caption called right as it stands, TEMPLATE for one that was written with the template."""
    return LEGACY if item["verdict"] == "ok" else TEMPLATE


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


TASKS: dict[str, Callable[[Encoder, Bench], Sequence[Measured]]] = {
    "retrieval": retrieval, "slots": slots, "inspection": inspection, "classification": classification,
    "segmentation": segmentation, "depth": depth,
}  # fmt: skip


def measure(
    encoder: Encoder,
    bench: Bench,
    dense: Mapping[str, list[Measured]] | None = None,
    memo: dict[str, Any] | None = None,
) -> tuple[list[Measured], dict[str, str]]:
    """All tasks of one model, the user's own last, and the tasks that had nothing to measure, with the reason.

    dense: what the dense tasks of this model have given already (training/label_efficiency.py): half of the time. memo:
    an empty one that keeps what the tasks share, such as the embeddings of the test photos (training/vectors.py).
    Raises GenbaError where two tasks give a metric of the same name, or the user's own makes a mistake.
    """
    memo = {} if memo is None else memo
    if dense is not None:
        memo[DENSE] = dict(dense)
    bench = replace(bench, memo=memo)
    found: dict[tuple[str, str], Measured] = {}
    skipped: dict[str, str] = {}
    for name, task in {**TASKS, **bench.tasks}.items():
        try:
            for one in task(encoder, bench):
                if (one.task, one.metric) in found:
                    raise GenbaError(
                        f"The task {name!r} gives the metric {one.task}/{one.metric}, which there is already.",
                        next="give it another name, or take the task out of retrain.tasks in genba.toml",
                    )
                found[one.task, one.metric] = one
        except TaskSkipped as reason:
            skipped[name] = str(reason)
    return list(found.values()), skipped
