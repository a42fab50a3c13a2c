"""Photos for the speed benchmark: what a phone or a camera gives, made of small real ones, and read the plain way.

Made larger, a small photo is smooth, and a smooth JPEG is decoded too easily. So grain is laid over it: the noise of a
sensor, pixel by pixel, and texture a few pixels wide. A 12-megapixel file then takes 4 to 5 MB, as a phone's do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEGAPIXELS = 12.0
QUALITY = 92
NOISE, TEXTURE = 4.0, 6.0  # standard deviations, of 255


def write_large_copy(source: Path, out: Path, seed: int, megapixels: float = MEGAPIXELS) -> None:
    """Write `out`, a JPEG (quality 92, 4:2:0) of about so many megapixels in the shape of the photo `source`."""
    import numpy as np

    rng = np.random.default_rng(seed)
    with Image.open(source) as photo:
        scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
        size = (round(photo.width * scale), round(photo.height * scale))
        large = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    grain = NOISE * rng.standard_normal(large.shape[:2], dtype=np.float32) + TEXTURE * _texture(size, rng)
    Image.fromarray((large + grain[..., None]).clip(0, 255).astype(np.uint8)).save(out, quality=QUALITY)


def _texture(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W) noise about three pixels wide, standard deviation 1."""
    import numpy as np

    coarse = rng.standard_normal((size[1] // 3, size[0] // 3), dtype=np.float32)
    wide: NDArray[np.float32] = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return np.divide(wide, wide.std(), dtype=np.float32)


def open_plainly(path: Path) -> Image.Image:
    """The photo as the usual recipe reads it: decoded in full, nothing else."""
    with Image.open(path) as photo:
        return photo.convert("RGB")
