"""Labels of one source on their way into a site: each finds its photo and is checked, or is rejected with a reason."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from data.dense_labels import LabelFile, LabelsResult, label_files
from data.errors import GenbaError
from data.jobs import Progress
from data.photos import DECODERS, PhotoError
from data.records import Reject
from data.rejects import kept
from data.rows import place
from data.site import Site
from data.store import Database, now
from data.told import told

if TYPE_CHECKING:
    import numpy as np

ASPECT_TOLERANCE = 0.02
BATCH = 200
Image = dict[str, Any]  # a row of images: image_id, uri, width, height


def _require_same_names(known: Mapping[str, LabelFile], classes: Mapping[int, str], root: Path) -> None:
    """Masks of other folders must call a class the same; those of this one are read again, by the new names."""
    for label in known.values():
        is_ours = label.path.is_relative_to(root) or label.meta.get("source") == str(root)
        for number, name in () if is_ours else label.meta["classes"].items():
            if classes.get(int(number), name) != name:
                raise GenbaError(
                    f"Class {number} is {classes[int(number)]!r} here, but {name!r} in masks that the site has "
                    f"already, e.g. {label.path}.",
                    next="use the same classes.json for all masks of a site",
                )


def _by_name(images: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """All of "folder/bolt", "bolt" and the image_id -> the photos of that name."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for image in images:
        path = Path(image["uri"]).with_suffix("")
        for name in {path.as_posix(), path.name, image["image_id"]}:
            found[name].append(image)
    return found


@dataclass(frozen=True)
class Checked:
    """A label that may be taken, or why not."""

    item: str
    label: LabelFile | None = None
    other_size: bool = False
    reason: str = ""
    detail: str = ""


@dataclass
class LabelRun:
    """Labels of one source on their way into the site. root: of the site."""

    source: str
    kind: str
    common: dict[str, Any]
    photos: dict[str, list[Image]]
    known: dict[str, LabelFile]
    root: Path
    started_at: datetime = field(default_factory=now)
    met: dict[str, str] = field(default_factory=dict)  # image_id -> item
    counts: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    @classmethod
    def begin(cls, site: Site, source: Path, kind: str, common: dict[str, Any]) -> LabelRun:
        """Raises GenbaError when masks of another source call a class otherwise."""
        with site.connect() as db:
            images = db.rows("SELECT image_id, uri, width, height FROM images")
            known = label_files(site, db, kind)
        if kind == "masks":
            _require_same_names(known, common["classes"], source)
        return cls(str(source), kind, common, _by_name(images), known, site.root)

    def take(
        self, site: Site, todo: Sequence[Any], check: Callable[[Any], Checked], progress: Progress
    ) -> LabelsResult:
        """Check all, write those that may be taken and what was rejected."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for start in range(0, len(todo), BATCH):
                checked = list(pool.map(check, todo[start : start + BATCH]))
                with site.connect() as db:
                    self._write(db, checked)
                progress(min(start + BATCH, len(todo)), len(todo), "")
        with site.connect() as db:
            return self._finish(db)

    def check(
        self, item: str, names: Sequence[PurePath], read: Callable[[Image], tuple[Path, np.ndarray]]
    ) -> Checked:
        """Find the photo by the first of the names that one has, read its label, compare sizes and classes."""
        try:
            image = self._photo(names)
            path, values = read(image)
            other_size = _compare_size(values.shape, image)
            meta = {**self.common, "size": [values.shape[1], values.shape[0]], **self._content(values)}
            return Checked(item, LabelFile(image["image_id"], path, meta), other_size)
        except PhotoError as error:
            return Checked(item, reason=error.reason, detail=error.what)

    def _photo(self, names: Sequence[PurePath]) -> Image:
        stems = [one.with_suffix("") for one in names]
        found = next(
            (self.photos[key] for one in stems for key in (one.as_posix(), one.name) if key in self.photos),
            [],
        )
        if not found:
            what = (
                told("No photo of the site is called {name!r}.", name=stems[0].name)
                if stems
                else told("No photo of the site is called anything that it names.")
            )
            raise PhotoError("not_found", what)
        if len(found) > 1:
            what = told(
                "{n} photos are called {name!r}: {first}, {second}. Put the labels into folders like the photos'.",
                n=len(found), name=stems[0].name, first=found[0]["uri"], second=found[1]["uri"],
            )  # fmt: skip
            raise PhotoError("ambiguous", what)
        return found[0]

    def _content(self, values: np.ndarray) -> dict[str, Any]:
        import numpy as np

        present = [int(value) for value in np.unique(values) if value not in self.common["ignore"]]
        if not present:
            raise PhotoError(
                "nothing_labelled",
                told("Every pixel is one of {ignored}.", ignored=str(self.common["ignore"])),
            )
        if self.kind == "depth":
            return {}
        classes = self.common["classes"]
        unknown = [number for number in present if classes and number not in classes]
        if unknown:
            what = told(
                "Class {unknown} is not named; the names are {known}.",
                unknown=str(unknown),
                known=str(classes),
            )
            raise PhotoError("unknown_class", what)
        return {"present": present}

    def _write(self, db: Database, checked: Sequence[Checked]) -> None:
        """One batch."""
        rejects, rows = [], []
        for one in checked:
            self.counts["files"] += 1
            reason, detail = one.reason, one.detail
            if one.label and one.label.image_id in self.met:
                first = place(self.met[one.label.image_id])
                reason, detail = "duplicate", told("the same photo as {item}", item=first)
            if reason or one.label is None:
                self.rejected[reason] += 1
                rejects.append(kept(Reject(self.source, one.item, reason, detail), now()))
                continue
            self.met[one.label.image_id] = one.item
            self.counts["other_size"] += one.other_size
            before = self.known.get(one.label.image_id)
            is_known = _alike(before, one.label)
            self.counts["known" if is_known else "added"] += 1
            self.counts["replaced"] += before is not None and not is_known
            if not is_known:
                rows.append({"image_id": one.label.image_id, "kind": self.kind, "path": self._kept(one.label.path),
                             "meta": one.label.meta, "added_at": now()})  # fmt: skip
        db.insert("dense_labels", rows, on_conflict="replace")
        db.insert("rejects", rejects, on_conflict="replace")

    def _kept(self, path: Path) -> str:
        """As the table has it: within the site relative to it, so that a copied site has its labels."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def _finish(self, db: Database) -> LabelsResult:
        """Forget what an earlier run rejected and this one did not."""
        db.execute("DELETE FROM rejects WHERE source = ? AND rejected_at < ?", [self.source, self.started_at])
        counts = self.counts
        result = LabelsResult(
            counts["files"], counts["added"], counts["known"], dict(self.rejected.most_common()), counts["other_size"],
            counts["replaced"],
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
        told("The label is {width} x {height}, its photo (upright) {w} x {h}.",
             width=width, height=height, w=image["width"], h=image["height"]),
    )  # fmt: skip
