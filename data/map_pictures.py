"""Maps of places (class numbers, depths) as small pictures with a palette, and how a page shows them.

write_map(path, places, colours)               # PNG, one byte a pixel, the palette in the file
key = keep_map_picture(site, path, image_id)   # in the proportions of its photo, behind a signed address
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from data.errors import GenbaError
from data.heat_maps import keep_picture
from data.served import served_copy
from data.site import Site

if TYPE_CHECKING:
    import numpy as np

SHOWN_SIDE = 360  # px of the longer side on a page
Colour = tuple[int, int, int]


def write_map(path: Path, places: np.ndarray, colours: Sequence[Colour]) -> None:
    """places: (H, W) uint8, each a place in `colours`, of which there are at most 256."""
    image = Image.fromarray(places)
    image.putpalette([channel for one in colours for channel in one])
    image.save(path, format="PNG", optimize=True)


def read_places(path: Path) -> np.ndarray:
    """What `write_map` wrote, (H, W) uint8."""
    import numpy as np

    with Image.open(path) as image:
        return np.asarray(image, dtype=np.uint8)


def keep_map_picture(site: Site, path: Path, image_id: str) -> str:
    """The key of the picture for a browser (data/heat_maps.py: heat_address). Raises GenbaError for a map that is gone
    or cannot be read, and for a photo that cannot be shown."""
    try:
        with Image.open(path) as image:
            colours = image.convert("RGB")
    except OSError as error:
        raise GenbaError(f"The picture {path} cannot be read: {error}.", next="genba retrain SITE") from None
    with Image.open(served_copy(site, image_id)) as photo:
        width, height = photo.size
    scale = SHOWN_SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shown = colours.resize(size, Image.Resampling.NEAREST)  # places are never mixed
    return keep_picture(
        site, hashlib.sha256(repr(size).encode() + shown.tobytes()).hexdigest(), lambda: shown
    )
