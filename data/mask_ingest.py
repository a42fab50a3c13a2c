"""Takes masks drawn in other tools into a site: each becomes a PNG of class numbers under SITE/labels.

    ingest_drawn(site, Path("instances.json"))      # what `genba ingest SITE FILE --as masks` calls

Class numbers come from classes.json beside the file, where there is one, and a class that it does not name is rejected.
Else a class keeps the number that the site's masks give its name already, and one that they do not name is rejected
too: it is a slip of the pen more often than a new class, and the reason says what to write into classes.json if it is
one. The first masks of a site name its classes, by the file's own numbers where it has any (COCO); so does the same
COCO file read again, whose categories say what is meant. 0 is the background, which tools do not draw. The PNG is
named by its content, so a snapshot that was frozen keeps the mask that it froze.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data.dense_labels import VOID, LabelsResult, class_names, mask_meta
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.label_run import Checked, Image, LabelRun
from data.mask_formats import Drawn, paint, read_drawn
from data.photos import PhotoError
from data.site import Site
from data.told import told

if TYPE_CHECKING:
    import numpy as np

FOLDER = "labels"  # of the site
BACKGROUND = "background"
BACKGROUND_NAMES = {BACKGROUND, "__background__", "_background_", "bg", "背景"}
MOST = 65535  # a PNG of 16 bits


def ingest_drawn(
    site: Site,
    path: Path,
    classes: Mapping[int, str] | None = None,
    ignore: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> LabelsResult:
    """Raises GenbaError for a file of another kind, without any photo, and for class numbers that a PNG cannot hold."""
    drawn = read_drawn(path)
    if not drawn:
        raise GenbaError(f"{path} holds no annotated photo.", next="genba ingest SITE FILE --as masks")
    meta = mask_meta(path.parent, classes, ignore)
    labels = {shape.label: shape.number for one in drawn for shape in one.shapes}
    hint = ""
    if not meta["classes"]:
        declared = (
            str(path) if any(shape.number is not None for one in drawn for shape in one.shapes) else None
        )
        with site.connect() as db:
            known, others = class_names(db), class_names(db, but=declared)
        meta["classes"], hint = _classes(labels, known, others, path)
    numbers = {name: number for number, name in meta["classes"].items()}
    if not all(0 <= number <= MOST for number in numbers.values()):
        raise GenbaError(f"Class numbers are 0 to {MOST}, not {sorted(numbers.values())}.",
                         next=f"edit {path.parent / 'classes.json'}")  # fmt: skip
    unpainted = _unpainted(meta["classes"], meta["ignore"], labels)
    run = LabelRun.begin(site, path, "masks", {**meta, "source": str(path)})

    def check(one: Drawn) -> Checked:
        if one.problem:
            return Checked(one.item, reason=one.problem[0], detail=one.problem[1])
        return run.check(one.item, one.photos, partial(_painted, site, one, numbers, unpainted, hint))

    return run.take(site, drawn, check, progress or silent)


def _classes(
    labels: Mapping[str, int | None], known: Mapping[int, str], others: Mapping[int, str], path: Path
) -> tuple[dict[int, str], str]:
    """The classes that a file's labels may have, and what to say of one that is not among them. others: those of
    masks that other files brought; while they name nothing but the background, the file names the classes."""
    every = numbered(labels, known)
    if not set(others) - {0} or set(labels) <= {*others.values(), every[0]}:
        return every, ""
    stated = json.dumps({str(number): name for number, name in every.items()}, ensure_ascii=False)
    hint = told(
        " If it is a new class: write {classes} to {file}.",
        classes=stated,
        file=str(path.parent / "classes.json"),
    )
    return {0: every[0], **known}, hint


def numbered(labels: Mapping[str, int | None], known: Mapping[int, str]) -> dict[int, str]:
    """Class number -> name, for the labels of a file (with the file's own number, if it has any) and a site's classes.

    numbered({"scratch": 3, "dent": 0}, {}) == {0: "background", 1: "dent", 3: "scratch"}: 0 is not dent's to have
    """
    found = dict(known)
    taken = {*found, VOID}
    if 0 not in found:
        found[0] = next((label for label in sorted(labels) if label.lower() in BACKGROUND_NAMES), BACKGROUND)
        taken.add(0)
    new = sorted(set(labels) - set(found.values()))
    own = {label: number for label in new if (number := labels[label]) is not None and 0 < number <= MOST}
    first = [label for label in new if own.get(label, 0) not in (*taken, 0)]  # those that may keep theirs
    for label in (*first, *(one for one in new if one not in first)):
        number = own.get(label, 0)
        if number in (*taken, 0):
            number = next(free for free in range(1, MOST) if free not in taken)
        found[number] = label
        taken.add(number)
    return dict(sorted(found.items()))


def _unpainted(classes: Mapping[int, str], ignore: Sequence[int], labels: Mapping[str, int | None]) -> int:
    """What a pixel is that nobody has drawn on: class 0, unless that is itself drawn and not called background."""
    zero = classes.get(0, BACKGROUND)
    if zero not in labels or zero.lower() in BACKGROUND_NAMES:
        return 0
    if VOID not in ignore:
        raise GenbaError(
            f"Class 0 is {zero!r}, which is drawn, and {VOID} is a class too: which number has what is not drawn?",
            next=f"take another number than {VOID} in classes.json, or 0 for the background",
        )
    return VOID


def _painted(
    site: Site, drawn: Drawn, numbers: Mapping[str, int], unpainted: int, hint: str, image: Image
) -> tuple[Path, np.ndarray]:
    """The mask's PNG and its numbers. Nothing drawn and no size given: the photo's. hint: for an unknown class."""
    import dataclasses

    if not drawn.shapes and not drawn.width:
        drawn = dataclasses.replace(drawn, width=image["width"], height=image["height"])
    megapixels = drawn.width * drawn.height / 1e6
    if megapixels > site.settings.photos.max_megapixels:
        raise PhotoError("too_large", told("A mask of {megapixels:.0f} megapixels.", megapixels=megapixels))
    if drawn.width < 1 or drawn.height < 1:
        raise PhotoError(
            "wrong_size", told("The mask is {width} x {height}.", width=drawn.width, height=drawn.height)
        )
    values = paint(drawn, numbers, unpainted, hint)
    return _write(site.root / FOLDER, values), values


def _write(folder: Path, values: np.ndarray) -> Path:
    """(H, W) -> a PNG of 8 bits where that is enough, else of 16, named by what it holds."""
    import numpy as np
    from PIL import Image as PillowImage

    folder.mkdir(exist_ok=True)
    made = values.astype(np.uint8 if values.max() < 256 else np.uint16)
    name = hashlib.sha256(str((made.shape, made.dtype)).encode() + made.tobytes()).hexdigest()[:32]
    path = folder / f"{name}.png"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            PillowImage.fromarray(made).save(file, format="PNG")
        os.replace(temporary, path)
    return path
