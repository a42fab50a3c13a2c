"""What models are measured on: photos decoded and labels brought to the model's size, once for all models of a run.

    bench = prepare(site, snapshot.contents, encoder, folder)

Labels are pressed into the model's square together with their photo, so that nothing is cut off. All labelled photos
teach, or as many as retrain.dense_train_photos says; they are measured on retrain.dense_test_photos: fixed samples. The
labels lie in files beside the decoded photos, as do the features that are drawn of them (training/row_files.py), so
that memory does not grow with their number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from data.dense_labels import LabelFile, label_path, read_depth, read_mask
from data.site import Site
from data.snapshots import Contents
from scoring.encoders import Encoder
from training.dense_features import at_size
from training.dense_plan import DensePlan
from training.measures import Measured
from training.pixels import Pixels, load_pixels
from training.row_files import RowFile

if TYPE_CHECKING:
    import numpy as np

    from training.caption_bench import CaptionBench
    from training.dense_base import DenseBase

IGNORED = -1
Row = dict[str, Any]


@dataclass(frozen=True)
class Dense:
    """Labelled photos. train, test: image_ids. values: (n, S, S), class places (int16, IGNORED) or metres (float32,
    NaN). classes: the class numbers behind the places, [] for depth; names: what they are called. clusters: image_id ->
    group. S: the plan's size, or the encoder's own. folder: where features are kept while a model is measured."""

    pixels: Pixels
    train: list[str]
    test: list[str]
    values: np.ndarray
    place: dict[str, int]
    classes: list[int]
    clusters: dict[str, str]
    names: list[str] = field(default_factory=list)
    folder: Path | None = None

    @property
    def side(self) -> int:
        """S."""
        return int(self.values.shape[-1])

    def labels(self, image_ids: Sequence[str]) -> np.ndarray:
        """(len(image_ids), S, S)."""
        found: np.ndarray = self.values[[self.place[image_id] for image_id in image_ids]]
        return found

    def measured(
        self, task: str, metric: str, unit: str, higher_is_better: bool, summary: str, statistics: np.ndarray
    ) -> Measured:
        """A metric over the test photos."""
        clusters = [self.clusters[image_id] for image_id in self.test]
        return Measured(task, metric, unit, higher_is_better, summary, self.test, clusters, statistics)


@dataclass(frozen=True)
class Bench:
    """items: checked captions of one split (rows of a snapshot). photos: theirs, as the encoder sees them. plan: how
    masks and depth are predicted."""

    items: list[Row]
    photos: Pixels
    masks: Dense | None
    depth: Dense | None
    captions: CaptionBench | None = None  # what the caption tasks ask (training/caption_bench.py)
    tasks: Mapping[str, Any] = field(default_factory=dict)  # the user's own, by name (training/user_tasks.py)
    memo: dict[str, Any] = field(default_factory=dict)  # what tasks share while one model is measured
    plan: DensePlan = field(default_factory=DensePlan)


def items_of(contents: Contents, split: str) -> list[Row]:
    """The checked captions of a split, "val" or "test"."""
    return [row for row in contents.items if row["split"] == split]


def prepare(
    site: Site,
    contents: Contents,
    encoder: Encoder | DenseBase,
    folder: Path,
    progress: Callable[[int], None] | None = None,
    plan: DensePlan | None = None,
) -> Bench:
    """Decode the test photos and read their labels. `folder`: where decoded photos are kept. plan: None, genba.toml's.

    A base without texts (training/dense_base.py) has masks and depth alone. Raises GenbaError for a label that is gone,
    and for a size (retrain.dense_size) that the encoder cannot take.
    """
    plan = plan or DensePlan.of(site.settings.retrain)
    seen = cast(Encoder, encoder)  # of a base without texts, decoding takes the size and the colours alone
    items = items_of(contents, "test") if isinstance(encoder, Encoder) else []
    photos = load_pixels(site, seen, items, folder, progress=progress)
    sampled = {kind: _sample(contents.labels, kind, plan) for kind in ("masks", "depth")}
    rows = [row for both in sampled.values() for row in both]
    pixels = load_pixels(site, at_size(seen, plan.size), rows, folder, squash=True, progress=progress)
    side = plan.size or encoder.image_size
    masks, depth = (_dense(site, sampled[kind], kind, pixels, side, folder) for kind in ("masks", "depth"))
    return Bench(items, photos, masks, depth, plan=plan)


def photos_to_decode(contents: Contents, plan: DensePlan) -> int:
    """How many photos `prepare` decodes: for a progress bar."""
    dense = {row["image_id"] for kind in ("masks", "depth") for row in _sample(contents.labels, kind, plan)}
    return len({row["image_id"] for row in items_of(contents, "test")}) + len(dense)


def _sample(labels: Sequence[Row], kind: str, plan: DensePlan) -> list[Row]:
    """At most the plan's numbers of photos; the order of image_ids is that of a hash, so the first are a sample."""
    found: list[Row] = []
    for split, most in (("train", plan.most_train), ("test", plan.most_test)):
        rows = [row for row in labels if row["kind"] == kind and row["split"] == split]
        found += sorted(rows, key=lambda row: row["image_id"])[: most or None]
    return found


def _dense(site: Site, rows: list[Row], kind: str, pixels: Pixels, side: int, folder: Path) -> Dense | None:
    import numpy as np

    if not rows:
        return None
    files = [_label_file(site, row) for row in rows]
    read = read_mask if kind == "masks" else read_depth
    kept, numbers = RowFile(folder, "labels"), set[int]()
    called: dict[str, str] = {}
    for one in files:
        values = shrink(read(one), side)
        kept.add(values[None])
        if kind == "masks":
            numbers.update(np.unique(values).tolist())
            called |= one.meta["classes"]
    classes = sorted(numbers - {IGNORED})
    array = _places(kept.array(), classes, folder) if kind == "masks" else kept.array()
    ids = {split: [row["image_id"] for row in rows if row["split"] == split] for split in ("train", "test")}
    return Dense(
        pixels, ids["train"], ids["test"], array, {row["image_id"]: n for n, row in enumerate(rows)}, classes,
        {row["image_id"]: row["group_id"] for row in rows}, [called.get(str(one), str(one)) for one in classes], folder,
    )  # fmt: skip


def _label_file(site: Site, row: Row) -> LabelFile:
    return LabelFile(row["image_id"], label_path(site, row["path"]), json.loads(row["meta"]))


def _places(values: np.ndarray, classes: list[int], folder: Path) -> np.ndarray:
    """Class numbers -> their places in `classes`, int16; IGNORED stays."""
    import numpy as np

    kept = RowFile(folder, "labels")
    for one in values:
        found = np.searchsorted(classes, one).astype(np.int16)
        found[one == IGNORED] = IGNORED
        kept.add(found[None])
    return kept.array()


def shrink(values: np.ndarray, side: int) -> np.ndarray:
    """(H, W) -> (side, side) by taking the value in the middle of each cell: labels are never averaged."""
    import numpy as np

    rows, columns = (((np.arange(side) + 0.5) * size / side).astype(int) for size in values.shape)
    found: np.ndarray = values[rows[:, None], columns[None]]
    return found
