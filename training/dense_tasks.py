"""Two tasks that look at places: masks (mIoU, IoU of each class) and depth (RMSE, abs-rel, delta < 1.25).

    found = segmentation(encoder, bench)        # list[Measured], at the model's size, over the held-out photos
    by_labels = predict(encoder, [masks_goal(bench)], bench.plan, [[40, 80]])   # with 40 and with 80 labelled photos

Both are done in one of two ways (retrain.dense): a linear probe on frozen features, or fine-tuning of the whole image
tower under a light decoder (training/decoder.py). They take an encoder, or a base without texts such as one trained on
masked images (training/dense_base.py). What a photo contributes to each metric is kept: confusion counts, errors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from training.bench import IGNORED, Bench, Dense
from training.decoder import Net, fine_tune
from training.dense_features import DenseEncoder, at_size, dense_maps
from training.dense_plan import FINE_TUNE, DensePlan
from training.measures import Measured
from training.pixels import batches, normalised
from training.probes import BATCH, PlacesFile, Probe, cell_means, class_shares, draw_places, fit, to_size
from training.vectors import TaskSkipped

if TYPE_CHECKING:
    import numpy as np
    import torch

FEWEST_LABELLED = 10  # photos, on either side; fewer measure nothing
SHALLOWEST_M = 1e-3  # predictions are cut there, as for NYUv2: a ratio to nothing has no value
CLOSE = 1.25  # Eigen, Puhrsch and Fergus 2014: max(predicted / true, true / predicted) below it is right


@dataclass(frozen=True)
class Goal:
    """What is predicted. K outputs a pixel; a photo's sums are what its pixels add to the metrics.

    targets(ids, G) -> (B, K, G, G) float32, NaN where a cell has no label: a probe's. loss(scores (B, K, S, S), ids): a
    decoder's. sums(true (S, S), scores (K, S, S)) -> (M,) float64. measured((n, M) sums of the test photos) -> metrics.
    """

    dense: Dense
    outputs: int
    is_balanced: bool
    targets: Callable[[Sequence[str], int], np.ndarray]
    loss: Callable[[torch.Tensor, Sequence[str]], torch.Tensor]
    sums: Callable[[np.ndarray, np.ndarray], np.ndarray]
    measured: Callable[[np.ndarray], list[Measured]]
    centre: float = 0.0  # of what a decoder predicts, and its spread
    scale: float = 1.0


def segmentation(encoder: DenseEncoder, bench: Bench) -> list[Measured]:
    """miou: the mean over the classes that the test photos show; iou_CLASS of each of them."""
    masks_goal(bench)
    return _with_all_labels(encoder, bench)["segmentation"]


def depth(encoder: DenseEncoder, bench: Bench) -> list[Measured]:
    """rmse in metres, abs_rel (mean of |predicted - true| / true), delta_1_25 (share of pixels within a factor 1.25).

    Over all measured pixels of all test photos together, each between 0 and the plan's depth_max_m.
    """
    depth_goal(bench)
    return _with_all_labels(encoder, bench)["depth"]


DENSE = "dense"  # of bench.memo
DENSE_TASKS = {"segmentation": segmentation, "depth": depth}


def _with_all_labels(encoder: DenseEncoder, bench: Bench) -> dict[str, list[Measured]]:
    """Both tasks at once. Kept in `bench.memo`, which belongs to one measuring of one model."""
    if DENSE not in bench.memo:
        goals = goals_of(bench)
        labels = [[len(goal.dense.train)] for goal in goals.values()]
        found = predict(encoder, list(goals.values()), bench.plan, labels)
        bench.memo[DENSE] = {task: by_labels[0] for task, by_labels in zip(goals, found, strict=True)}
    memo: dict[str, list[Measured]] = bench.memo[DENSE]
    return memo


def goals_of(bench: Bench) -> dict[str, Goal]:
    """By task; one that has nothing to measure is not among them."""
    found = {}
    for task, make in (("segmentation", masks_goal), ("depth", depth_goal)):
        with suppress(TaskSkipped):
            found[task] = make(bench)
    return found


def measure_dense(encoder: DenseEncoder, bench: Bench) -> tuple[list[Measured], dict[str, str]]:
    """Both tasks, and those that had nothing to measure, with the reason: all that a base without texts can do."""
    bench = replace(bench, memo={})
    found: list[Measured] = []
    skipped: dict[str, str] = {}
    for name, task in DENSE_TASKS.items():
        try:
            found += task(encoder, bench)
        except TaskSkipped as reason:
            skipped[name] = str(reason)
    return found, skipped


def masks_goal(bench: Bench) -> Goal:
    """Raises TaskSkipped where there is too little to measure."""
    import numpy as np

    dense = _require(bench.masks, "masks")
    classes = len(dense.classes)
    if classes < 2:
        raise TaskSkipped(f"all masks hold one class alone: {', '.join(dense.names)}")
    counts = np.ones(classes, dtype=np.int64)
    for ids in batches(dense.train, BATCH):
        labels = dense.labels(ids)
        counts += np.bincount(labels[labels != IGNORED], minlength=classes)
    rarity = (counts / counts.sum()) ** -0.5  # as the probe weighs places

    def shares(ids: Sequence[str], grid: int) -> np.ndarray:
        return class_shares(dense.labels(ids), classes, grid, IGNORED)

    def loss(scores: torch.Tensor, ids: Sequence[str]) -> torch.Tensor:
        import torch
        from torch.nn import functional

        labels = torch.from_numpy(dense.labels(ids).astype(np.int64)).to(scores.device)
        weight = torch.tensor(rarity, dtype=torch.float32, device=scores.device)
        return functional.cross_entropy(scores, labels, weight, ignore_index=IGNORED)

    def sums(true: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return confusion(true, scores.argmax(0), classes)

    return Goal(dense, classes, True, shares, loss, sums, lambda found: _masks_measured(dense, found))


def _masks_measured(dense: Dense, found: np.ndarray) -> list[Measured]:
    """found: (n, C * C) confusion counts of the test photos."""
    import numpy as np

    matrix = found.reshape(len(found), len(dense.classes), -1)
    hit = np.einsum("ncc->nc", matrix)
    union = matrix.sum(1) + matrix.sum(2) - hit
    shown = np.flatnonzero(matrix.sum((0, 2)))  # as in mIoU, a class that no test photo shows has no value
    return [dense.measured("segmentation", "miou", "fraction", True, "mean_iou", found)] + [
        dense.measured("segmentation", name, "fraction", True, "ratio", np.stack([hit[:, c], union[:, c]], 1))
        for c, name in zip(shown, _metric_names([dense.names[c] for c in shown]), strict=True)
    ]


def _metric_names(classes: Sequence[str]) -> list[str]:
    """["rust spot", "crack"] -> ["iou_rust_spot", "iou_crack"]; where two would be called alike, each gets a number."""
    import re

    made = ["iou_" + (re.sub(r"[^\w.-]+", "_", name).strip("_") or "class") for name in classes]
    return [f"{name}_{place}" if made.count(name) > 1 else name for place, name in enumerate(made)]


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(classes * classes,) float64 pixel counts, true class * classes + predicted class; IGNORED pixels left out.

    confusion([[0, 1], [1, -1]], [[0, 1], [0, 0]], 2) == [1, 0, 1, 1]
    """
    import numpy as np

    known = true != IGNORED
    index = true[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(index, minlength=classes * classes).astype(np.float64)


def depth_goal(bench: Bench) -> Goal:
    """Raises TaskSkipped where there is too little to measure."""
    import numpy as np

    dense = _require(bench.depth, "depth maps")
    deepest = bench.plan.depth_max_m

    def known(ids: Sequence[str]) -> np.ndarray:
        labels = dense.labels(ids)
        return np.where((labels > 0) & (labels <= deepest), labels, np.nan)

    count, total, squares = _sums_of(map(known, batches(dense.train, BATCH)))
    if not count or not _sums_of(map(known, batches(dense.test, BATCH)))[0]:
        raise TaskSkipped(f"no train or no test photo has a depth of at most {deepest:g} m")
    centre = total / count
    scale = max(max(squares / count - centre**2, 0.0) ** 0.5, SHALLOWEST_M)

    def loss(scores: torch.Tensor, ids: Sequence[str]) -> torch.Tensor:
        import torch
        from torch.nn import functional

        labels = torch.from_numpy(known(ids)).to(scores.device)
        there = ~labels.isnan()
        return functional.smooth_l1_loss((scores[:, 0] / scale)[there], labels[there] / scale)

    def sums(true: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return depth_sums(true, scores[0], deepest)

    def measured(found: np.ndarray) -> list[Measured]:
        return [
            dense.measured("depth", metric, unit, is_gain, summary, found[:, [column, 3]])
            for column, (metric, unit, is_gain, summary) in enumerate(DEPTH_METRICS)
        ]

    return Goal(
        dense, 1, False, lambda ids, grid: cell_means(known(ids), grid), loss, sums, measured, centre, scale
    )


def _sums_of(parts: Iterable[np.ndarray]) -> tuple[int, float, float]:
    """How many values there are that are not NaN, their sum, and the sum of their squares."""
    import numpy as np

    found = np.zeros(3)
    for values in parts:
        there = values[~np.isnan(values)].astype(np.float64)
        found += len(there), there.sum(), (there**2).sum()
    return int(found[0]), float(found[1]), float(found[2])


DEPTH_METRICS = [
    ("rmse", "m", False, "root_mean_square"),
    ("abs_rel", "fraction", False, "ratio"),
    ("delta_1_25", "fraction", True, "ratio"),
]


def depth_sums(true: np.ndarray, predicted: np.ndarray, deepest: float = 10.0) -> np.ndarray:
    """(4,) over the measured pixels: squared errors, |error| / true, how many within a factor 1.25, how many in all.

    Both in metres, NaN where nothing was measured; pixels that are deeper than `deepest` are left out.
    depth_sums([[2, 4]], [[3, 4]]) == [1, 0.5, 1, 2]: 3 / 2 is more than 1.25
    """
    import numpy as np

    known = (true > 0) & (true <= deepest)
    right = true[known].astype(np.float64)
    guess = predicted[known].astype(np.float64).clip(SHALLOWEST_M, deepest)
    close = np.maximum(guess / right, right / guess) < CLOSE
    return np.array(
        [((guess - right) ** 2).sum(), (np.abs(guess - right) / right).sum(), close.sum(), known.sum()], float
    )


def _require(dense: Dense | None, what: str) -> Dense:
    if dense is None:
        raise TaskSkipped(f"the site has no {what}")
    if min(len(dense.train), len(dense.test)) < FEWEST_LABELLED:
        raise TaskSkipped(
            f"{len(dense.train)} train and {len(dense.test)} test photos have {what}; "
            f"it takes {FEWEST_LABELLED} of each"
        )
    return dense


def label_order(image_ids: Iterable[str], seed: int = 0) -> list[str]:
    """The order in which labelled photos are used: the first n of it are "n labels". The same for every model."""
    return sorted(image_ids, key=lambda one: hashlib.sha256(f"{seed} {one}".encode()).digest())


def predict(
    encoder: DenseEncoder,
    goals: Sequence[Goal],
    plan: DensePlan,
    labels: Sequence[Sequence[int]],
    seed: int = 0,
    told: Callable[[int, Sequence[str], np.ndarray], None] | None = None,
) -> list[list[list[Measured]]]:
    """For each goal the metrics of its test photos, after training with so many labelled photos: for each number of
    `labels` (a list for each goal).

    The numbers are of photos in `label_order`, so that the smaller sets lie within the larger ones. Frozen features are
    computed once, for all goals and all numbers. told(goal, ids, scores (B, K, S, S)): what was predicted with
    the last number of labels.
    """
    import numpy as np

    sized = at_size(encoder, plan.size)
    make = _tuned if plan.way == FINE_TUNE else _probed
    found: list[list[dict[str, np.ndarray]]] = [[{} for _ in counts] for counts in labels]
    for number, ids, by_labels in make(sized, goals, plan, labels, seed):
        true = goals[number].dense.labels(ids)
        for place, (sums, scores) in enumerate(zip(found[number], by_labels, strict=True), start=1):
            values = scores.cpu().numpy()
            sums.update(zip(ids, map(goals[number].sums, true, values), strict=True))
            if told and place == len(labels[number]):
                told(number, ids, values)
    return [
        [goal.measured(np.stack([sums[image_id] for image_id in goal.dense.test])) for sums in of_goal]
        for goal, of_goal in zip(goals, found, strict=True)
    ]


# The number of a goal, a batch of its test photos, and their scores (B, K, S, S) for each number of labels
Predicted = Iterator[tuple[int, list[str], Iterator["torch.Tensor"]]]


def _probed(
    encoder: DenseEncoder, goals: Sequence[Goal], plan: DensePlan, labels: Sequence[Sequence[int]], seed: int
) -> Predicted:
    """By linear probes."""
    import torch

    def features(ids: Sequence[str], is_mirrored: bool = False) -> torch.Tensor:
        batch = _batch(encoder, goals[0], ids)
        return dense_maps(encoder, batch.flip(-1) if is_mirrored else batch, plan.blocks)

    drawn = [PlacesFile.begin(goal.dense.folder) for goal in goals]
    trains, tests = ([set(getattr(goal.dense, split)) for goal in goals] for split in ("train", "test"))
    for ids in batches(label_order({one for goal in goals for one in goal.dense.train}, seed), BATCH):
        maps = features(ids).cpu()
        for goal, kept, teaching in zip(goals, drawn, trains, strict=True):
            mine, places = _part(ids, teaching)
            targets = torch.from_numpy(goal.targets(mine, maps.shape[-1]))
            for place, image_id, target in zip(places, mine, targets, strict=True):
                kept.add(*draw_places(maps[place], target, image_id))
    probes = []
    for goal, kept, counts in zip(goals, drawn, labels, strict=True):
        found = kept.places()
        probes.append([fit(found, count, goal.is_balanced) for count in counts])
    for ids in batches(sorted({one for goal in goals for one in goal.dense.test}), BATCH):
        seen = [features(ids)] + ([features(ids, True)] if plan.is_flipped else [])
        for number, goal in enumerate(goals):
            mine, places = _part(ids, tests[number])
            if mine:
                yield number, mine, _scores(probes[number], [maps[places] for maps in seen], goal.dense.side)


def _part(ids: Sequence[str], of: Collection[str]) -> tuple[list[str], list[int]]:
    """Those ids that are among `of`, and their places."""
    places = [place for place, one in enumerate(ids) if one in of]
    return [ids[place] for place in places], places


def _scores(probes: Sequence[Probe], seen: Sequence[torch.Tensor], side: int) -> Iterator[torch.Tensor]:
    """seen: features (B, C, G, G) of photos, and of their mirror images where these count too."""
    for probe in probes:
        maps = probe.maps(seen[0])
        if len(seen) > 1:
            maps = (maps + probe.maps(seen[1]).flip(-1)) / 2
        yield to_size(maps, side)


def _tuned(
    encoder: DenseEncoder, goals: Sequence[Goal], plan: DensePlan, labels: Sequence[Sequence[int]], seed: int
) -> Predicted:
    """By a fine-tuned tower for each goal and each number of labels."""
    for number, goal in enumerate(goals):
        order = label_order(goal.dense.train, seed)
        batch_of = partial(_batch, encoder, goal)
        nets = [
            fine_tune(
                encoder, batch_of, order[:count], goal.loss, goal.outputs, plan, goal.centre, goal.scale
            )
            for count in labels[number]
        ]
        for ids in batches(sorted(goal.dense.test), BATCH):
            yield number, ids, _tuned_scores(nets, batch_of(ids), plan.is_flipped)


def _tuned_scores(nets: Sequence[Net], batch: torch.Tensor, is_flipped: bool) -> Iterator[torch.Tensor]:
    import torch

    for net in nets:
        with torch.no_grad():
            maps = net.scores(batch)
            if is_flipped:
                maps = (maps + net.scores(batch.flip(-1)).flip(-1)) / 2
        yield maps


def _batch(encoder: DenseEncoder, goal: Goal, ids: Sequence[str]) -> torch.Tensor:
    """(B, 3, S, S) as the tower wants them."""
    import torch

    return normalised(torch.from_numpy(goal.dense.pixels.of(ids)), encoder)  # type: ignore[arg-type]
