"""Photos on which a retraining changed most: from what each test item contributed, as the run wrote it.

    examples(site, run_id, "retrieval")      # the most improved and the most worsened captions, with their ranks
    examples(site, run_id, "segmentation")   # photos with the IoU of each arm, averaged over its seeds

before: the arm `original` (else `base`), after: the arm `corrected`: same photos, steps and seeds, so the difference
is what the corrections did. Ranks are compared by 1/rank: from 5 to 1 is a larger step than from 150 to 80. What the
two arms answered there was kept by the run itself (training/examples.py); `kept` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.map_pictures import keep_map_picture
from data.site import Site
from training import runs
from training.compare import BASE, CORRECTED, ORIGINAL
from training.examples import (
    FOLDER,
    INDEX,
    METRICS,
    MOST,
    Answer,
    best_and_worst,
    gain_of,
    mean_values,
    picture_name,
    values_of,
)

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
class Kept:
    """What a run kept of one task. items: item -> what was answered. classes: (name, colour) of those in the pictures.

    Of retrieval an item's value is arm -> Answer; of depth (nearest, farthest) metres of its pictures; of segmentation
    None. has_unlabelled: whether the truth has pixels without a label.
    """

    items: dict[str, Any]
    classes: list[tuple[str, str]]
    has_unlabelled: bool
    seed: int


@dataclass(frozen=True)
class Changed:
    """The items that changed most. versus: the arm that `before` is of. compared: how many items there are. kept: None
    where the run kept no answers; then `lacks` says why: "older" than that, or without one of the two "arms"."""

    better: list[Example]
    worse: list[Example]
    versus: str
    compared: int
    kept: Kept | None = None
    lacks: str = ""


BARRED_SQL = """
SELECT DISTINCT p.image_id FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id
WHERE c.verdict IN ('private', 'unusable') AND c.state IN ('active', 'conflict')
"""


def examples(site: Site, run_id: str, task: str) -> Changed | None:
    """None: the run did not measure the task item by item. Raises GenbaError when the run's files are gone or damaged.

    A photo that somebody has called private or unusable since is not shown.
    """
    values = read_values(runs.results_file(site, run_id), task)
    versus = ORIGINAL if ORIGINAL in values else BASE
    if CORRECTED not in values or versus not in values:
        return None
    with site.connect() as db:
        snapshot = db.value("SELECT snapshot_id FROM runs WHERE run_id = ?", [run_id])
        barred = {row["image_id"] for row in db.rows(BARRED_SQL)}
    items = _items(site, str(snapshot)) if task == "retrieval" else {}
    found = [
        Example(task, item, image_id, caption, values[versus][item], after, values.get(BASE, {}).get(item),
                gain_of(task, values[versus][item], after))
        for item, after in values[CORRECTED].items()
        for image_id, caption in [items.get(item, (item, ""))]
        if image_id not in barred
    ]  # fmt: skip
    answered = kept(site, run_id, task, barred)
    if answered is None:
        changed = most_changed(found, versus)
        has_index = (runs.folder(site, run_id) / FOLDER / INDEX).is_file()
        return replace(changed, lacks="" if has_index else "older" if versus == ORIGINAL else "arms")
    shown = [one for one in found if one.item in answered.items]
    return replace(most_changed(shown, versus), compared=len(found), kept=answered)


def kept(site: Site, run_id: str, task: str, barred: Container[str] = ()) -> Kept | None:
    """What the run kept, or None: it is older, lacks the arms, or did not measure the task. barred: photos that are not
    shown, also not as an answer."""
    path = runs.folder(site, run_id) / FOLDER / INDEX
    if not path.is_file():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GenbaError(f"{path} is damaged: {error}", next=f"genba doctor {site.root}") from None
    of_task = index["tasks"].get(task)
    if of_task is None:
        return None
    items = of_task["items"]
    if task == "retrieval":
        items = {
            item: {
                arm: Answer("" if one["photo"] in barred else one["photo"], one["caption"])
                for arm, one in arms.items()
            }
            for item, arms in items.items()
        }
    classes = [(str(name), str(colour)) for name, colour in of_task.get("classes", [])]
    return Kept(items, classes, bool(of_task.get("has_unlabelled")), int(index["seed"]))


def picture_key(site: Site, run_id: str, task: str, item: str, of: str) -> str:
    """The key of a kept map for a browser (data/heat_maps.py). of: an arm, or "truth". Raises GenbaError."""
    return keep_map_picture(site, runs.folder(site, run_id) / FOLDER / picture_name(task, item, of), item)


def most_changed(found: Sequence[Example], versus: str, most: int = MOST) -> Changed:
    """The best and the worst `most`. Pure."""
    better, worse = best_and_worst(found, lambda one: one.gain, lambda one: one.item, most)
    return Changed(better, worse, versus, len(found))


def read_values(path: Path, task: str) -> dict[str, dict[str, float]]:
    """arm -> item -> its value, the mean over the seeds (of ranks: the harmonic one, as they are compared)."""
    import numpy as np
    import pyarrow.parquet as parquet

    wanted = [("task", "=", task), ("metric", "=", METRICS[task])]
    table = parquet.read_table(path, columns=["arm", "seed", "item", "statistics"], filters=wanted)
    rows = table.to_pylist()
    if not rows:
        return {}
    values = values_of(task, np.array([row["statistics"] for row in rows]))
    found: dict[str, dict[int, dict[str, float]]] = {}
    for row, value in zip(rows, values, strict=True):
        if np.isfinite(value):
            found.setdefault(row["arm"], {}).setdefault(row["seed"], {})[row["item"]] = float(value)
    return {arm: mean_values(task, list(by_seed.values())) for arm, by_seed in found.items()}


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
