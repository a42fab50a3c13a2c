"""What models are measured on: photos decoded and labels brought to the model's size, once for all models of a run.

    bench = prepare(site, snapshot.contents, encoder, folder)

Labels are pressed into the model's square together with their photo, so that nothing is cut off. Past MOST_TRAIN and
MOST_TEST labelled photos a fixed sample is taken: a linear probe learns no more from the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.dense_labels import LabelFile, read_depth, read_mask
from data.site import Site
from data.snapshots import Contents
from scoring.encoders import Encoder
from training.measures import Measured
from training.pixels import Pixels, load_pixels

if TYPE_CHECKING:
    import numpy as np

IGNORED = -1
MOST_TRAIN, MOST_TEST = 300, 300
Row = dict[str, Any]


@dataclass(frozen=True)
class Dense:
    """Labelled photos. train, test: image_ids. values: (n, S, S), class places (int16, IGNORED) or metres (float32,
    NaN). classes: the class numbers behind the places, [] for depth. clusters: image_id -> group."""

    pixels: Pixels
    train: list[str]
    test: list[str]
    values: np.ndarray
    place: dict[str, int]
    classes: list[int]
    clusters: dict[str, str]

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
    """items: checked captions of one split (rows of a snapshot). photos: theirs, as the encoder sees them."""

    items: list[Row]
    photos: Pixels
    masks: Dense | None
    depth: Dense | None


def items_of(contents: Contents, split: str) -> list[Row]:
    """The checked captions of a split, "val" or "test"."""
    return [row for row in contents.items if row["split"] == split]


def prepare(
    site: Site,
    contents: Contents,
    encoder: Encoder,
    folder: Path,
    progress: Callable[[int], None] | None = None,
) -> Bench:
    """Decode the test photos and read their labels. `folder`: where decoded photos are kept."""
    items = items_of(contents, "test")
    photos = load_pixels(site, encoder, items, folder, progress=progress)
    sampled = {kind: _sample(contents.labels, kind) for kind in ("masks", "depth")}
    rows = [row for both in sampled.values() for row in both]
    pixels = load_pixels(site, encoder, rows, folder, squash=True, progress=progress)
    return Bench(
        items, photos, *(_dense(sampled[kind], kind, pixels, encoder) for kind in ("masks", "depth"))
    )


def photos_to_decode(contents: Contents) -> int:
    """How many photos `prepare` decodes: for a progress bar."""
    dense = {row["image_id"] for kind in ("masks", "depth") for row in _sample(contents.labels, kind)}
    return len({row["image_id"] for row in items_of(contents, "test")}) + len(dense)


def _sample(labels: Sequence[Row], kind: str) -> list[Row]:
    """At most MOST_TRAIN and MOST_TEST photos; the order of image_ids is that of a hash, so the first are a sample."""
    found: list[Row] = []
    for split, most in (("train", MOST_TRAIN), ("test", MOST_TEST)):
        rows = [row for row in labels if row["kind"] == kind and row["split"] == split]
        found += sorted(rows, key=lambda row: row["image_id"])[:most]
    return found


def _dense(rows: list[Row], kind: str, pixels: Pixels, encoder: Encoder) -> Dense | None:
    import numpy as np

    if not rows:
        return None
    read = read_mask if kind == "masks" else read_depth
    maps = [shrink(read(_label_file(row)), encoder.image_size) for row in rows]
    values, classes = np.stack(maps), []
    if kind == "masks":
        classes = [int(number) for number in np.unique(values) if number != IGNORED]
        values = _places(values, classes)
    ids = {split: [row["image_id"] for row in rows if row["split"] == split] for split in ("train", "test")}
    return Dense(
        pixels, ids["train"], ids["test"], values, {row["image_id"]: n for n, row in enumerate(rows)}, classes,
        {row["image_id"]: row["group_id"] for row in rows},
    )  # fmt: skip


def _label_file(row: Row) -> LabelFile:
    return LabelFile(row["image_id"], Path(row["path"]), json.loads(row["meta"]))


def _places(values: np.ndarray, classes: list[int]) -> np.ndarray:
    """Class numbers -> their places in `classes`, int16; IGNORED stays."""
    import numpy as np

    found = np.searchsorted(classes, values).astype(np.int16)
    found[values == IGNORED] = IGNORED
    return found


def shrink(values: np.ndarray, side: int) -> np.ndarray:
    """(H, W) -> (side, side) by taking the value in the middle of each cell: labels are never averaged."""
    import numpy as np

    rows, columns = (((np.arange(side) + 0.5) * size / side).astype(int) for size in values.shape)
    found: np.ndarray = values[rows[:, None], columns[None]]
    return found
