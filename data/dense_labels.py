"""Masks and depth maps that belong to photos, for the tasks that look at places in a photo rather than at the whole.

    genba ingest SITE FOLDER --as masks        PNG, a class number in each pixel; classes.json names them
    genba ingest SITE FILE --as masks          COCO or Label Studio's export, one JSON file (data/mask_ingest.py)
    genba ingest SITE FOLDER --as depth        PNG of 8 or 16 bits; depth.json says {"metres_per_unit": 0.001}

The .json stands in FOLDER or in the folder above it. A label belongs to the photo with the same path (without ending)
below a photo root, else to the only one with the same name. PNG files stay where they are, like photos. Tasks ask
`labelled(db, kind)`: without labels there is nothing to measure, and they say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.photos import PHOTO_REASONS, PhotoError, read_map
from data.site import Site
from data.store import Database

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["masks", "depth"]
KINDS: tuple[Kind, ...] = ("masks", "depth")
IGNORED = -1  # in a loaded mask
VOID = 255  # an unnamed class 255 is the usual way to say "not labelled"

REASONS = {
    **PHOTO_REASONS,
    "ambiguous": "several photos have this name, in different folders",
    "wrong_size": "neither the size nor the proportions of its photo",
    "unknown_class": "a class that neither classes.json nor the site's masks name",
    "nothing_labelled": "every pixel is to be ignored",
    "duplicate": "the same stands earlier in the same source",
    "no_shape": "an annotation that is neither polygon, brush nor run lengths, such as a box",
    "damaged_shape": "an outline or mask that cannot be read",
}


@dataclass(frozen=True)
class LabelsResult:
    """files = added + known + all rejected."""

    files: int
    added: int  # new, or other than the photo's label so far
    known: int
    rejected: dict[str, int]  # reason (a key of REASONS) -> files; each stands in the table rejects
    other_size: int  # of those taken: not the photo's size, but its proportions
    replaced: int = 0  # of those added: the photo had another label


@dataclass(frozen=True)
class LabelFile:
    """A row of dense_labels. meta: "size" [w, h], "ignore" [...], and "classes" with "present" or "metres_per_unit"."""

    image_id: str
    path: Path
    meta: dict[str, Any]


def ingest_labels(
    site: Site,
    folder: str | Path,
    kind: str,
    classes: Mapping[int, str] | None = None,
    ignore: Sequence[int] | None = None,
    metres_per_unit: float | None = None,
    progress: Progress | None = None,
) -> LabelsResult:
    """Take in a folder of PNG files, or masks in one JSON file. What is not given here stands in classes.json or
    depth.json.

    classes: {0: "background", 1: "scratch"}; without any, classes are called by their number. ignore: class numbers, or
    for depth the raw values that mean "not measured" (default 0). Doing it again replaces labels that changed.
    """
    if kind not in KINDS:
        raise GenbaError(
            f"No kind of labels {kind!r}.", choices=KINDS, next="genba ingest SITE FOLDER --as masks"
        )
    from data.label_run import Checked, LabelRun  # which builds on this file
    from data.mask_ingest import ingest_drawn

    root = Path(folder).resolve()
    if root.is_file() and kind == "masks":
        return ingest_drawn(site, root, classes, ignore, progress)
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".png") if root.is_dir() else []
    if not files:
        raise GenbaError(f"{root} holds no PNG files.", next=f"genba ingest SITE FOLDER --as {kind}")
    common = (
        mask_meta(root, classes, ignore) if kind == "masks" else _depth_meta(root, ignore, metres_per_unit)
    )

    def check(path: Path) -> Checked:
        item = path.relative_to(root)
        return run.check(item.as_posix(), [item], lambda image: (path, read_map(path)))

    run = LabelRun.begin(site, root, kind, common)
    return run.take(site, files, check, progress or silent)


def label_path(site: Site, path: str) -> Path:
    """Where a label lies: those that Genba wrote itself (data/mask_formats.py) are named relative to the site."""
    return site.root / path


def labelled(db: Database, kind: str) -> list[str]:
    """image_ids that have a label of this kind ("masks" or "depth"), sorted. Empty: the task has nothing to measure."""
    rows = db.rows("SELECT image_id FROM dense_labels WHERE kind = ? ORDER BY image_id", [kind])
    return [row["image_id"] for row in rows]


def label_files(site: Site, db: Database, kind: str) -> dict[str, LabelFile]:
    """image_id -> its label: read many with one transaction, then `read_mask` or `read_depth` each."""
    rows = db.rows("SELECT image_id, path, meta FROM dense_labels WHERE kind = ? ORDER BY image_id", [kind])
    return {
        row["image_id"]: LabelFile(row["image_id"], label_path(site, row["path"]), row["meta"])
        for row in rows
    }


def class_names(db: Database, but: str | None = None) -> dict[int, str]:
    """Class number -> name, over all masks of the site. but: a drawn file whose masks are left out."""
    names: dict[int, str] = {}
    for row in db.rows("SELECT DISTINCT meta -> '$.classes' AS classes, meta -> '$.present' AS present "
                       "FROM dense_labels WHERE kind = 'masks' AND (meta ->> '$.source') IS DISTINCT FROM ?",
                       [but or ""]):  # fmt: skip
        names.update({int(number): name for number, name in row["classes"].items()})
        for number in row["present"]:
            names.setdefault(int(number), str(number))
    return dict(sorted(names.items()))


def load_mask(site: Site, image_id: str) -> np.ndarray:
    """(H, W) int32 class numbers at the mask's own size, IGNORED (-1) where none is given. Raises GenbaError."""
    return read_mask(_label(site, image_id, "masks"))


def load_depth(site: Site, image_id: str) -> np.ndarray:
    """(H, W) float32 metres at the map's own size, NaN where nothing was measured. Raises GenbaError."""
    return read_depth(_label(site, image_id, "depth"))


def read_mask(label: LabelFile) -> np.ndarray:
    """See load_mask."""
    import numpy as np

    values = _read(label).astype(np.int32)
    return np.where(np.isin(values, label.meta["ignore"]), IGNORED, values)


def read_depth(label: LabelFile) -> np.ndarray:
    """See load_depth."""
    import numpy as np

    values = _read(label)
    metres = values.astype(np.float32) * np.float32(label.meta["metres_per_unit"])
    metres[np.isin(values, label.meta["ignore"])] = np.nan
    return metres


def _read(label: LabelFile) -> np.ndarray:
    try:
        return read_map(label.path)
    except PhotoError as error:
        raise GenbaError(error.what, next=f"genba ingest SITE {label.path.parent} --as masks|depth") from None


def _label(site: Site, image_id: str, kind: str) -> LabelFile:
    with site.connect() as db:
        row = db.one("SELECT path, meta FROM dense_labels WHERE image_id = ? AND kind = ?", [image_id, kind])
    if row is None:
        raise GenbaError(f"The photo {image_id} has no {kind}.", next=f"genba ingest SITE FOLDER --as {kind}")
    return LabelFile(image_id, label_path(site, row["path"]), row["meta"])


def mask_meta(root: Path, classes: Mapping[int, str] | None, ignore: Sequence[int] | None) -> dict[str, Any]:
    """What classes.json says: ["background", "dent"], {"0": "background"}, {"background": 0}, or {"classes": any of
    them, "ignore": [39]}."""
    stated: Any = _json(root, "classes.json")
    if isinstance(stated, dict) and "classes" in stated:
        ignore = stated.get("ignore", []) if ignore is None else ignore
        stated = stated["classes"]
    if isinstance(stated, list):
        stated = dict(enumerate(stated))
    if isinstance(stated, dict) and stated and all(isinstance(number, int) for number in stated.values()):
        stated = {number: name for name, number in stated.items()}
    try:
        named = {int(number): str(name) for number, name in (classes or stated or {}).items()}
        void = [] if VOID in named else [VOID]
        return {"classes": named, "ignore": sorted({int(number) for number in ignore or []} | {*void})}
    except (ValueError, TypeError, AttributeError):
        raise GenbaError(
            f"{root / 'classes.json'} does not name classes by number.",
            next='write {"classes": {"0": "background", "1": "scratch"}, "ignore": [255]}',
        ) from None


def _depth_meta(root: Path, ignore: Sequence[int] | None, metres_per_unit: float | None) -> dict[str, Any]:
    stated = _json(root, "depth.json")
    stated = stated if isinstance(stated, dict) else {}
    scale = stated.get("metres_per_unit") if metres_per_unit is None else metres_per_unit
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < 1000:
        raise GenbaError(
            f"How many metres is one unit of the depth maps in {root}? metres_per_unit is {scale!r}.",
            next=f'write {{"metres_per_unit": 0.001, "ignore": [0]}} to {root / "depth.json"}',
        )
    values = stated.get("ignore", [0]) if ignore is None else ignore
    values = list(values) if isinstance(values, (list, tuple)) else [values]
    if not all(isinstance(value, int) for value in values):
        raise GenbaError(
            f"Which values of the depth maps in {root} mean that nothing was measured? ignore is {values!r}.",
            next=f'write "ignore": [0] to {root / "depth.json"}',
        )
    return {"metres_per_unit": float(scale), "ignore": values}


def _json(root: Path, name: str) -> Any:
    path = next((path for path in (root / name, root.parent / name) if path.exists()), None)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")) if path else None
    except ValueError as error:
        raise GenbaError(f"{path} is not JSON: {error}.", next=f"mend {path}") from None
