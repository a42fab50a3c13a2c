"""The photo folder has moved: check that the new one holds the same photos, then point the site to it.

genba relink SITE NEW_FOLDER [--old OLD_FOLDER]
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import GenbaError
from data.ingest import ingest_lock
from data.photos import PhotoError, image_hash, read_size
from data.settings import set_value
from data.site import Site

SAMPLE = 200  # photos compared byte by byte; of the others, the width and height


@dataclass(frozen=True)
class RelinkResult:
    """found + missing + different = the photos of the root."""

    old_root: str
    new_root: str
    found: int
    missing: int
    different: int
    hashed: int  # of those found, compared byte by byte


def relink(site: Site, new_root: str | Path, old_root: str | None = None) -> RelinkResult:
    """Change one photo root in genba.toml, after comparing. Open the site anew afterwards.

    Refuses (GenbaError) when no photo is found, or when more differ than agree (other photos, same names).
    """
    new = Path(new_root).resolve()
    if not new.is_dir():
        raise GenbaError(f"There is no folder {new}.", next="genba relink SITE FOLDER")
    with ingest_lock(site):
        roots = list(site.settings.photos.roots)
        place = _which(roots, old_root)
        with site.connect() as db:
            images = db.rows(
                "SELECT image_id, uri, width, height FROM images WHERE root = ? ORDER BY uri", [place]
            )
        result = _compare(images, roots[place], new)
        _require_match(result, images)
        set_value(site.settings_path, "photos", "roots", [*roots[:place], str(new), *roots[place + 1 :]])
        with site.connect() as db:
            db.event("genba", "relink", vars(result))
    return result


def _which(roots: Sequence[str], old_root: str | None) -> int:
    if old_root is None:
        if len(roots) == 1:
            return 0
        raise GenbaError(
            "The site has several photo roots: say which one moved.", choices=roots,
            next="genba relink SITE FOLDER --old ROOT",
        )  # fmt: skip
    wanted = Path(old_root).resolve()
    for place, root in enumerate(roots):
        if root == old_root or Path(root).resolve() == wanted:
            return place
    raise GenbaError(f"{old_root} is no photo root of this site.", choices=roots, next="--old ROOT")


def _compare(images: Sequence[dict[str, Any]], old: str, new: Path) -> RelinkResult:
    there = [image for image in images if (new / image["uri"]).is_file()]
    sample = random.Random(0).sample(there, min(SAMPLE, len(there)))
    hashed = {image["image_id"] for image in sample}
    different = sum(
        not _same(image, new / image["uri"], by_hash=image["image_id"] in hashed) for image in there
    )
    return RelinkResult(
        old, str(new), len(there) - different, len(images) - len(there), different, len(sample)
    )


def _same(image: dict[str, Any], path: Path, by_hash: bool) -> bool:
    try:
        if by_hash:
            return image_hash(path) == image["image_id"]
        return read_size(path) == (image["width"], image["height"])
    except PhotoError:
        return False  # counted as different


def _require_match(result: RelinkResult, images: Sequence[dict[str, Any]]) -> None:
    if not images:
        raise GenbaError(
            f"The site has no photos under {result.old_root} yet.", next="edit photos.roots in genba.toml"
        )
    if result.found > 0 and result.found >= result.different:
        return
    new = Path(result.new_root)
    if result.different:
        raise GenbaError(
            f"{new} holds other photos under the same names: {result.different} of {len(images)} differ, "
            f"{result.found} agree. Nothing was changed."
        )
    first = images[0]["uri"]
    near_by = [folder for folder in (new.parent, *_folders(new)) if (folder / first).is_file()]
    raise GenbaError(
        f"{new} holds none of the {len(images)} photos of {result.old_root}, e.g. {first!r}. Nothing was changed.",
        next=f"genba relink SITE {near_by[0]}" if near_by else "genba relink SITE FOLDER",
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())
