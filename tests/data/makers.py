"""Small real files for tests: photos that look like something, broken photos, sites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.settings import set_value
from data.site import Site, init_site

GPS_IFD, EXIF_IFD, ORIENTATION, DATE_TIME_ORIGINAL = 0x8825, 0x8769, 0x0112, 0x9003


def picture(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    """Random blobs of colour: photos of different seeds are no near-duplicates, of the same seed they are."""
    cells = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def photo(path: Path, seed: int = 0, width: int = 96, height: int = 72, **options: Any) -> Path:
    """Write a photo; the ending says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, width, height).save(path, **options)
    return path


def exif(orientation: int = 1, taken_at: str | None = None, gps: bool = False) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION] = orientation
    if taken_at:
        made.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] = taken_at
    if gps:
        made.get_ifd(GPS_IFD).update({1: "N", 2: (35.0, 41.0, 22.0), 3: "E", 4: (139.0, 41.0, 30.0)})
    return made


def site(folder: Path, roots: Sequence[Path], **photo_settings: Any) -> Site:
    """A real site, with keys of [photos] as given."""
    made = init_site(folder, list(roots), "parts", "demo", name="test", demo=True)
    for key, value in photo_settings.items():
        set_value(made.settings_path, "photos", key, value)
    return Site.open(folder)


def contents(of: Site) -> dict[str, list[dict[str, Any]]]:
    """What an ingest leaves, without the times."""
    tables = {
        "images": "image_id",
        "pairs": "pair_id",
        "rejects": "source, item, reason",
        "dense_labels": "image_id, kind",
    }
    with of.connect() as db:
        return {
            table: [
                {key: value for key, value in row.items() if key not in ("added_at", "rejected_at")}
                for row in db.rows(f"SELECT * FROM {table} ORDER BY {key}")
            ]
            for table, key in tables.items()
        }
