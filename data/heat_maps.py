"""Photos with a heat map laid over them, for a browser: made on demand, signed, gone after a day.

    key = keep_heat_map(site, image_id, heat, box)     # heat (H, W) float, any range; box: the part that it covers
    address = heat_address(site, key)                  # for the page; app.py answers with heat_file(site, key)

The picture is a file behind a signed address that expires, as the photo itself is (data/served.py). The web framework's
own media store knows no signature, and a picture inside the page's HTML would need unsafe HTML.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from data.errors import GenbaError
from data.served import VALID_SECONDS, served_copy, signed
from data.site import Site

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "heat"  # under SITE/served
MAX_SIDE = 720
OPAQUE = 0.66  # of the hottest place
OUTSIDE = 0.45  # how bright the part stays that the encoder does not see
# From nothing over yellow to dark red, so that it also reads in grey and for colour-blind eyes.
STOPS = ((0.0, (255, 237, 140)), (0.5, (253, 141, 60)), (1.0, (177, 0, 38)))
FLAT = 1e-6  # a map whose values differ by less shows nothing


def ramps(width: int, height: int, only: int | None = None) -> Image.Image:
    """A photo whose red grows from left to right and green from top to bottom, blue full; or all of one value.

    Through an encoder's transform it shows which part of a photo the encoder sees, and where.
    """
    import numpy as np

    pixels = np.full((height, width, 3), 255 if only is None else only, dtype=np.float64)
    if only is None:
        pixels[:, :, 0] = 255 * (np.arange(width) + 0.5) / width
        pixels[:, :, 1] = 255 * ((np.arange(height) + 0.5) / height)[:, None]
    return Image.fromarray(np.round(pixels).astype(np.uint8))


def laid_over(
    photo: Image.Image, heat: NDArray[np.floating], box: tuple[float, float, float, float]
) -> Image.Image:
    """The photo with the map on the part that `box` (left, top, right, bottom, as shares) names; the rest is darkened.

    The coldest place stays as it is, the hottest is covered most. A map of equal values leaves the photo alone. Places
    are drawn as they are, not smoothed: three by three of them would look like more than an encoder knows.
    """
    import numpy as np

    width, height = photo.size
    left, top, right, bottom = (
        round(share * side) for share, side in zip(box, (width, height) * 2, strict=True)
    )
    span = float(heat.max() - heat.min())
    share = (heat - heat.min()) / span if span > FLAT else np.zeros_like(heat)
    small = Image.fromarray(np.asarray(share, dtype=np.float32), mode="F")
    whole = Image.new("F", (width, height), -1.0)
    whole.paste(
        small.resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.NEAREST), (left, top)
    )
    value = np.asarray(whole)[:, :, None]
    seen = np.clip(value, 0, 1)
    places, colours = [stop for stop, _ in STOPS], np.array([colour for _, colour in STOPS], dtype=np.float64)
    paint = np.stack([np.interp(seen[:, :, 0], places, colours[:, channel]) for channel in range(3)], axis=2)
    pixels = np.asarray(photo.convert("RGB"), dtype=np.float64)
    opaque = OPAQUE * seen
    mixed = np.where(value >= -0.5, pixels * (1 - opaque) + paint * opaque, pixels * OUTSIDE)
    return Image.fromarray(np.round(mixed).astype(np.uint8))


def keep_heat_map(
    site: Site, image_id: str, heat: NDArray[np.floating], box: tuple[float, float, float, float]
) -> str:
    """Write the picture, unless it is there, and return its key. Those of which every address has expired are removed.

    Raises GenbaError for a photo that cannot be shown.
    """
    key = hashlib.sha256(f"{image_id} {heat.shape} {box} {heat.tobytes().hex()}".encode()).hexdigest()

    def made() -> Image.Image:
        with Image.open(served_copy(site, image_id)) as photo:
            photo.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
            return laid_over(photo, heat, box)

    return keep_picture(site, key, made)


def keep_picture(site: Site, key: str, make: Callable[[], Image.Image]) -> str:
    """Write what `make` gives, unless it is there, and return its key: 64 hexadecimal digits that stand for it."""
    path = _path(site, key)
    if not path.exists():
        made = make()
        path.parent.mkdir(exist_ok=True)
        _remove_old(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
        made.save(temporary, format="JPEG", quality=85)
        os.replace(temporary, path)
    os.utime(path)
    return key


def heat_address(site: Site, key: str, at: float | None = None) -> str:
    """Signed address, valid for 12 to 24 hours."""
    return signed(site, f"{FOLDER}/{key}", f"/photos/{FOLDER}/{key}.jpg", at)


def heat_file(site: Site, key: str) -> Path:
    """The picture of a key. Raises GenbaError when there is none (any more)."""
    path = _path(site, key)
    if not path.exists():
        raise GenbaError(f"No heat map {key}: it has expired.", next="ask for it again")
    return path


def _path(site: Site, key: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{64}", key):
        raise GenbaError(f"{key!r} is not the key of a heat map.")
    return site.folder("served") / FOLDER / f"{key}.jpg"


def _remove_old(folder: Path) -> None:
    for path in folder.glob("*.jpg"):
        if path.stat().st_mtime < time.time() - 2 * VALID_SECONDS:
            path.unlink(missing_ok=True)
