"""Photos on which a retraining changed most: from what each test item contributed, as the run wrote it.

    examples(site, run_id, "retrieval")      # the most improved and the most worsened captions, with their ranks
    examples(site, run_id, "segmentation")   # photos with the IoU of each arm, averaged over its seeds

before: the arm `original` (else `base`), after: the arm `corrected`: same photos, steps and seeds, so the difference
is what the corrections did. Ranks are compared by 1/rank: from 5 to 1 is a larger step than from 150 to 80.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.site import Site
from training import runs
from training.measures import mean_iou

if TYPE_CHECKING:
    import numpy as np

AFTER, CONTROL, BASE = "corrected", "original", "base"
MOST = 4  # on either side
METRICS = {"retrieval": "median_rank_text_to_image", "segmentation": "miou", "depth": "rmse"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """One test item. before, after, base: rank (1 is best), IoU in [0, 1] or RMSE in metres; base: of the model in use
    before, None where it was not measured. caption: the truth for retrieval, "" for photos. gain: above 0 is better."""

    task: str
    item: str
    image_id: str
    caption: str
    before: float
    after: float
    base: float | None
    gain: float


@dataclass(frozen=True)
class Changed:
    """The items that changed most. versus: the arm that `before` is of. compared: how many items there are."""

    better: list[Example]
    worse: list[Example]
    versus: str
    compared: int


BARRED_SQL = """
SELECT DISTINCT p.image_id FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id
WHERE c.verdict IN ('private', 'unusable') AND c.state IN ('active', 'conflict')
"""


def examples(site: Site, run_id: str, task: str) -> Changed | None:
    """None: the run did not measure the task item by item. Raises GenbaError when the run's files are gone.

    A photo that somebody has called private or unusable since is not shown.
    """
    path = runs.folder(site, run_id) / "results.parquet"
    if not path.is_file():
        raise GenbaError(f"The results of the run {run_id} are gone: there is no {path}.",
                         next=f"genba retrain {site.root}")  # fmt: skip
    values = read_values(path, task)
    versus = CONTROL if CONTROL in values else BASE
    if AFTER not in values or versus not in values:
        return None
    with site.connect() as db:
        snapshot = db.value("SELECT snapshot_id FROM runs WHERE run_id = ?", [run_id])
        barred = {row["image_id"] for row in db.rows(BARRED_SQL)}
    items = _items(site, str(snapshot)) if task == "retrieval" else {}
    found = [
        Example(task, item, image_id, caption, values[versus][item], after, values.get(BASE, {}).get(item),
                gain_of(task, values[versus][item], after))
        for item, after in values[AFTER].items()
        for image_id, caption in [items.get(item, (item, ""))]
        if image_id not in barred
    ]  # fmt: skip
    return most_changed(found, versus)


def most_changed(found: Sequence[Example], versus: str, most: int = MOST) -> Changed:
    """The best and the worst `most`; equal ones by name, so that the choice does not flicker. Pure."""
    ordered = sorted(found, key=lambda one: (-one.gain, one.item))
    better = [one for one in ordered if one.gain > 0][:most]
    worse = [one for one in reversed(ordered) if one.gain < 0][:most]
    return Changed(better, worse, versus, len(found))


def gain_of(task: str, before: float, after: float) -> float:
    """gain_of("retrieval", 5, 1) == 0.8; gain_of("segmentation", 0.5, 0.75) == 0.25; gain_of("depth", 2, 1) == 1"""
    if task == "retrieval":
        return 1 / after - 1 / before
    return before - after if task == "depth" else after - before


def read_values(path: Path, task: str) -> dict[str, dict[str, float]]:
    """arm -> item -> its value, the mean over the seeds (of ranks: the harmonic one, as they are compared)."""
    import numpy as np
    import pyarrow.parquet as parquet

    wanted = [("task", "=", task), ("metric", "=", METRICS[task])]
    table = parquet.read_table(path, columns=["arm", "item", "statistics"], filters=wanted)
    rows = table.to_pylist()
    found: dict[str, dict[str, list[float]]] = {}
    if not rows:
        return {}
    values = VALUES[task](np.array([row["statistics"] for row in rows]))
    for row, value in zip(rows, values, strict=True):
        if np.isfinite(value):
            found.setdefault(row["arm"], {}).setdefault(row["item"], []).append(float(value))
    mean = _harmonic if task == "retrieval" else _mean
    return {arm: {item: mean(seeds) for item, seeds in items.items()} for arm, items in found.items()}


def _ranks(statistics: np.ndarray) -> np.ndarray:
    ranks: np.ndarray = statistics[:, 0]
    return ranks


def _iou(statistics: np.ndarray) -> np.ndarray:
    """The mean over the classes that the photo shows; NaN where nothing is labelled."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return mean_iou(statistics)


def _rmse(statistics: np.ndarray) -> np.ndarray:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.sqrt(statistics[:, 0] / statistics[:, 1])
    return found


VALUES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "retrieval": _ranks, "segmentation": _iou, "depth": _rmse,
}  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _harmonic(values: Sequence[float]) -> float:
    return len(values) / sum(1 / value for value in values)


def _items(site: Site, snapshot_id: str) -> dict[str, tuple[str, str]]:
    """item -> (image_id, caption). Read as they lie, whatever the snapshot's format."""
    import pyarrow.parquet as parquet

    path = site.folder("snapshots") / snapshot_id / "items.parquet"
    if not path.is_file():
        raise GenbaError(
            f"The snapshot {snapshot_id} is gone: there is no {path}.", next=f"genba retrain {site.root}"
        )
    rows = parquet.read_table(path, columns=["item_id", "image_id", "caption"]).to_pylist()
    return {row["item_id"]: (row["image_id"], row["caption"]) for row in rows}


MASK_SQL = "SELECT path, meta FROM dense_labels WHERE image_id = ? AND kind = ?"
MASK_SIDE = 240  # px that a mask is drawn with


def truth_key(site: Site, image_id: str, task: str) -> str | None:
    """The key of the photo with its mask or depth map over it (data/heat_maps.py); None when the label is gone."""
    import numpy as np

    from data.dense_labels import LabelFile, label_path, read_depth, read_mask
    from data.heat_maps import keep_heat_map

    kind = "masks" if task == "segmentation" else "depth"
    with site.connect() as db:
        row = db.one(MASK_SQL, [image_id, kind])
    if row is None:
        return None
    label = LabelFile(image_id, label_path(site, row["path"]), row["meta"])
    values = np.asarray(read_mask(label) if kind == "masks" else read_depth(label), dtype=np.float32)
    step = max(1, max(values.shape) // MASK_SIDE)
    small = values[::step, ::step]
    known = np.isfinite(small)
    return keep_heat_map(
        site, image_id, np.where(known, small, small[known].min() if known.any() else 0), (0, 0, 1, 1)
    )
