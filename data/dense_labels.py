"""Masks and depth maps that belong to photos, for the tasks that look at places in a photo rather than at the whole.

    genba ingest SITE FOLDER --as masks        PNG, a class number in each pixel; classes.json names them
    genba ingest SITE FOLDER --as depth        PNG of 8 or 16 bits; depth.json says {"metres_per_unit": 0.001}

The .json stands in FOLDER or in the folder above it. A label belongs to the photo with the same path (without ending)
below a photo root, else to the only one with the same name. The files stay where they are, like photos. Tasks ask
`labelled(db, kind)`: without labels there is nothing to measure, and they say so.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.errors import GenbaError
from data.jobs import Progress, silent
from data.photos import PHOTO_REASONS, PhotoError, read_map
from data.site import Site
from data.store import Database, now

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["masks", "depth"]
KINDS: tuple[Kind, ...] = ("masks", "depth")
IGNORED = -1  # in a loaded mask
VOID = 255  # an unnamed class 255 is the usual way to say "not labelled"
ASPECT_TOLERANCE = 0.02
BATCH, DECODERS = 200, 2

REASONS = {
    **PHOTO_REASONS,
    "not_found": "no photo of the site has this name",
    "ambiguous": "several photos have this name, in different folders",
    "wrong_size": "neither the size nor the proportions of its photo",
    "unknown_class": "a class number that classes.json does not name",
    "nothing_labelled": "every pixel is to be ignored",
    "duplicate": "a second label of the same photo in the same folder",
}


@dataclass(frozen=True)
class LabelsResult:
    """files = added + known + all rejected."""

    files: int
    added: int
    known: int
    rejected: dict[str, int]  # reason (a key of REASONS) -> files; each stands in the table rejects
    other_size: int  # of those taken: not the photo's size, but its proportions


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
    """Take in a folder of PNG files. What is not given here stands in classes.json or depth.json.

    classes: {0: "background", 1: "scratch"}; without any, classes are called by their number. ignore: class numbers, or
    for depth the raw values that mean "not measured" (default 0). Doing it again replaces labels that changed.
    """
    if kind not in KINDS:
        raise GenbaError(
            f"No kind of labels {kind!r}.", choices=KINDS, next="genba ingest SITE FOLDER --as masks"
        )
    root = Path(folder).resolve()
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".png") if root.is_dir() else []
    if not files:
        raise GenbaError(f"{root} holds no PNG files.", next=f"genba ingest SITE FOLDER --as {kind}")
    common = (
        _mask_meta(root, classes, ignore) if kind == "masks" else _depth_meta(root, ignore, metres_per_unit)
    )
    with site.connect() as db:
        if kind == "masks":
            _require_same_names(db, common["classes"], root)
        images = db.rows("SELECT image_id, uri, width, height FROM images")
        known = label_files(db, kind)
    run = _Run(str(root), kind, common, _by_name(images), known)
    with ThreadPoolExecutor(DECODERS) as pool:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            checked = list(pool.map(lambda path: run.check(path, path.relative_to(root)), batch))
            with site.connect() as db:
                run.write(db, checked)
            (progress or silent)(start + len(batch), len(files), "")
    with site.connect() as db:
        return run.finish(db)


def labelled(db: Database, kind: str) -> list[str]:
    """image_ids that have a label of this kind ("masks" or "depth"), sorted. Empty: the task has nothing to measure."""
    rows = db.rows("SELECT image_id FROM dense_labels WHERE kind = ? ORDER BY image_id", [kind])
    return [row["image_id"] for row in rows]


def label_files(db: Database, kind: str) -> dict[str, LabelFile]:
    """image_id -> its label: read many with one transaction, then `read_mask` or `read_depth` each."""
    rows = db.rows("SELECT image_id, path, meta FROM dense_labels WHERE kind = ? ORDER BY image_id", [kind])
    return {row["image_id"]: LabelFile(row["image_id"], Path(row["path"]), row["meta"]) for row in rows}


def class_names(db: Database) -> dict[int, str]:
    """Class number -> name, over all masks of the site."""
    names: dict[int, str] = {}
    for row in db.rows("SELECT DISTINCT meta -> '$.classes' AS classes, meta -> '$.present' AS present "
                       "FROM dense_labels WHERE kind = 'masks'"):  # fmt: skip
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
    return LabelFile(image_id, Path(row["path"]), row["meta"])


def _mask_meta(root: Path, classes: Mapping[int, str] | None, ignore: Sequence[int] | None) -> dict[str, Any]:
    """["background", "dent"], {"0": "background"}, {"background": 0}, or {"classes": any of them, "ignore": [39]}."""
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


def _require_same_names(db: Database, classes: Mapping[int, str], root: Path) -> None:
    """Masks of other folders must call a class the same; those of this one are read again, by the new names."""
    for label in label_files(db, "masks").values():
        for number, name in () if label.path.is_relative_to(root) else label.meta["classes"].items():
            if classes.get(int(number), name) != name:
                raise GenbaError(
                    f"Class {number} is {classes[int(number)]!r} here, but {name!r} in masks that the site has "
                    f"already, e.g. {label.path}.",
                    next="use the same classes.json for all masks of a site",
                )


def _by_name(images: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Both "folder/bolt" and "bolt" -> the photos of that name."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for image in images:
        path = Path(image["uri"]).with_suffix("")
        for name in {path.as_posix(), path.name}:
            found[name].append(image)
    return found


@dataclass(frozen=True)
class _Checked:
    """A label file that may be taken, or why not."""

    item: str
    path: Path
    label: LabelFile | None = None
    other_size: bool = False
    reason: str = ""
    detail: str = ""


@dataclass
class _Run:
    source: str
    kind: str
    common: dict[str, Any]
    photos: dict[str, list[dict[str, Any]]]
    known: dict[str, LabelFile]
    started_at: datetime = field(default_factory=now)
    met: dict[str, str] = field(default_factory=dict)  # image_id -> item
    counts: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def check(self, path: Path, item: Path) -> _Checked:
        """Find the photo, read the file, compare sizes and classes."""
        try:
            image = self._photo(item)
            values = read_map(path)
            other_size = _compare_size(values.shape, image)
            meta = {**self.common, "size": [values.shape[1], values.shape[0]], **self._content(values)}
            return _Checked(item.as_posix(), path, LabelFile(image["image_id"], path, meta), other_size)
        except PhotoError as error:
            return _Checked(item.as_posix(), path, reason=error.reason, detail=error.what)

    def _photo(self, item: Path) -> dict[str, Any]:
        name = item.with_suffix("")
        found = self.photos.get(name.as_posix()) or self.photos.get(name.name) or []
        if not found:
            raise PhotoError("not_found", f"No photo of the site is called {name.name!r}.")
        if len(found) > 1:
            raise PhotoError("ambiguous", f"{len(found)} photos are called {name.name!r}: {found[0]['uri']}, "
                             f"{found[1]['uri']}. Put the labels into folders like the photos'.")  # fmt: skip
        return found[0]

    def _content(self, values: np.ndarray) -> dict[str, Any]:
        import numpy as np

        present = [int(value) for value in np.unique(values) if value not in self.common["ignore"]]
        if not present:
            raise PhotoError("nothing_labelled", f"Every pixel is one of {self.common['ignore']}.")
        if self.kind == "depth":
            return {}
        classes = self.common["classes"]
        unknown = [number for number in present if classes and number not in classes]
        if unknown:
            raise PhotoError("unknown_class", f"Class {unknown} is not named; the names are {classes}.")
        return {"present": present}

    def write(self, db: Database, checked: Sequence[_Checked]) -> None:
        """One batch."""
        rejects, rows = [], []
        for one in checked:
            self.counts["files"] += 1
            reason, detail = one.reason, one.detail
            if one.label and one.label.image_id in self.met:
                reason, detail = "duplicate", f"the same photo as {self.met[one.label.image_id]}"
            if reason or one.label is None:
                self.rejected[reason] += 1
                rejects.append({"source": self.source, "item": one.item, "reason": reason, "detail": detail,
                                "rejected_at": now()})  # fmt: skip
                continue
            self.met[one.label.image_id] = one.item
            self.counts["other_size"] += one.other_size
            is_known = _alike(self.known.get(one.label.image_id), one.label)
            self.counts["known" if is_known else "added"] += 1
            if not is_known:
                rows.append({"image_id": one.label.image_id, "kind": self.kind, "path": str(one.path),
                             "meta": one.label.meta, "added_at": now()})  # fmt: skip
        db.insert("dense_labels", rows, on_conflict="replace")
        db.insert("rejects", rejects, on_conflict="replace")

    def finish(self, db: Database) -> LabelsResult:
        """Forget what an earlier run rejected and this one did not."""
        db.execute("DELETE FROM rejects WHERE source = ? AND rejected_at < ?", [self.source, self.started_at])
        counts = self.counts
        result = LabelsResult(
            counts["files"], counts["added"], counts["known"], dict(self.rejected.most_common()), counts["other_size"]
        )  # fmt: skip
        if result.added:
            db.event("genba", f"ingest.{self.kind}", {"source": self.source, **vars(result)})
        return result


def _alike(old: LabelFile | None, new: LabelFile) -> bool:
    return old is not None and old.path == new.path and old.meta == json.loads(json.dumps(new.meta))


def _compare_size(shape: tuple[int, ...], image: dict[str, Any]) -> bool:
    """False for the photo's size, True for another size of the same proportions. Raises PhotoError (wrong_size)."""
    height, width = shape
    if (width, height) == (image["width"], image["height"]):
        return False
    if abs(width * image["height"] / (height * image["width"]) - 1) <= ASPECT_TOLERANCE:
        return True
    raise PhotoError(
        "wrong_size",
        f"The label is {width} x {height}, its photo (upright) {image['width']} x {image['height']}.",
    )
