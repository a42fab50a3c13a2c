"""Decoding photos: the only place where image files are opened.

`open_photo` gives pixels (RGB, upright, nothing but pixels), `read_photo_facts` what ingest wants to know of a file.
A file that cannot be shown whole raises PhotoError with one of PHOTO_REASONS: a half-decoded photo never passes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from data.errors import GenbaError
from data.told import told

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".jp2",
            ".heic", ".heif")  # fmt: skip  # the last two are found and refused by name, never overlooked
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

PHOTO_REASONS = {
    "not_found": "no such photo",
    "empty_file": "the file has 0 bytes",
    "not_an_image": "the file is not in a known image format",
    "unsupported_format": "a format that cannot be decoded here (HEIC)",
    "truncated": "the file ends before the photo does",
    "unreadable": "the file cannot be opened or its content is damaged",
    "too_large": "more megapixels than photos.max_megapixels",
}

DECODERS = min(
    os.cpu_count() or 1, 16
)  # threads that read photos at a time: most of it is done outside Python's lock

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> what makes it upright
ORIENTATION, EXIF_IFD, DATE_TIME, DATE_TIME_ORIGINAL = 0x0112, 0x8769, 0x0132, 0x9003
GPS_IFD = 0x8825  # 1, 3: N or S, E or W; 2, 4: degrees, minutes, seconds
EMPTY_TAIL = 256  # so many zero bytes after an unfinished JPEG: a copy that broke off on a preallocated disk

_limit_lock = threading.Lock()


class PhotoError(GenbaError):
    """A photo that cannot be used. `reason` is a key of PHOTO_REASONS."""

    def __init__(self, reason: str, what: str, next: str | None = None) -> None:
        self.reason = reason
        super().__init__(what, next=next)


@dataclass(frozen=True)
class PhotoFacts:
    """What a file is. Width and height are those of the upright photo."""

    image_id: str  # sha256 of the bytes
    width: int
    height: int
    taken_at: datetime | None  # the camera's clock, which has no time zone
    dhash: str  # 128 bits, hex: neighbouring columns, then neighbouring rows, compared on a small grey copy


def open_photo(
    path: Path,
    max_side: int | None = None,
    shortest_side: int | None = None,
    max_megapixels: float | None = None,
) -> Image.Image:
    """The photo as RGB, upright by its EXIF orientation, transparent parts on white, without any metadata.

    max_side: shrink so that the longer side is at most this. shortest_side: the caller needs no more than this, so a
    JPEG may be decoded at 1/2, 1/4 or 1/8 (3 to 8 times faster) as long as its shorter side stays at least this long;
    it is not resized any further. A smaller photo is never enlarged. max_megapixels: None, since ingest measured it.
    Raises PhotoError.
    """
    with _opened(path) as image:
        _require_size(image, path, max_megapixels)
        upright, _ = _decode(image, max_side, shortest_side)
    if max_side and max(upright.size) > max_side:
        upright.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    upright.info.clear()  # else a JPEG comment or a colour profile would follow the pixels into every copy
    return upright


def read_photo_facts(path: Path, max_megapixels: float, image_id: str | None = None) -> PhotoFacts:
    """Hash (unless the caller has), measure and decode the whole file. Raises PhotoError."""
    import imagehash

    image_id = image_id or image_hash(path)
    with _opened(path) as image:
        _require_size(image, path, max_megapixels)
        if image.format in ("JPEG", "MPO"):
            _require_ending(path)
        width, height = image.size
        small, orientation = _decode(image, None, 64)
        taken_at = _taken_at(image)
    if orientation >= 5:
        width, height = height, width
    dhash = f"{imagehash.dhash(small)}{imagehash.dhash_vertical(small)}"
    return PhotoFacts(image_id, width, height, taken_at, dhash)


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright photo from its header alone. Raises PhotoError."""
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if _orientation(image) >= 5 else (width, height)


def read_position(path: Path) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees from the file's EXIF, or None where it names no place. Raises PhotoError."""
    with _opened(path) as image:
        return _position(_exif(image))


def image_hash(path: Path) -> str:
    """The image_id of a file: sha256 of its bytes. Raises PhotoError."""
    try:
        with _open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise PhotoError("not_found", told("There is no photo {path}.", path=str(path))) from None
    except OSError as error:
        what = told("The photo {path} cannot be read: {error}.", path=str(path), error=str(error))
        raise PhotoError("unreadable", what) from error


def read_map(path: Path) -> np.ndarray:
    """(H, W) numbers of a label image with one channel, as they stand: class numbers (also of a palette) or depths.

    Raises PhotoError; "unreadable" too when the image has colours or an alpha channel.
    """
    import numpy as np

    with _opened(path) as image:
        image.load()
        if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
            what = told("{path} is not a map of numbers: its pixels are {mode}, not one channel.",
                        path=str(path), mode=image.mode)  # fmt: skip
            raise PhotoError("unreadable", what)
        values = np.array(image)
    return values.astype(np.uint8) if values.dtype == bool else values


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose header has been read. Whatever goes wrong inside the block becomes a PhotoError."""
    try:
        with _open_file(path) as file, _open_image(file, path) as image:
            yield image
    except GenbaError:
        raise
    except FileNotFoundError:
        raise PhotoError("not_found", told("There is no photo {path}.", path=str(path))) from None
    except Exception as error:  # decoders raise a dozen kinds on damaged bytes
        text = str(error) or type(error).__name__
        if isinstance(error, EOFError) or "truncated" in text or "broken data stream" in text:
            what = told("The photo {path} ends too early: {error}.", path=str(path), error=text)
            raise PhotoError("truncated", what) from error
        what = told("The photo {path} cannot be read: {error}.", path=str(path), error=text)
        raise PhotoError("unreadable", what) from error


def _open_file(path: Path) -> BufferedReader:
    """Refuses what would block (a pipe) or never end (a device)."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError("unreadable", told("{path} is not a file.", path=str(path)))
    if status.st_size == 0:
        raise PhotoError("empty_file", told("The photo {path} is empty (0 bytes).", path=str(path)))
    return path.open("rb")


def _open_image(file: BufferedReader, path: Path) -> Image.Image:
    head = file.read(12)
    file.seek(0)
    Image.init()  # some formats are unknown until all plug-ins are loaded; does nothing the second time
    try:
        with (
            _limit_lock
        ):  # Pillow's own limit is one number for the whole process; ours is the site's setting
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(file, formats=FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except UnidentifiedImageError:
        if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS:
            raise PhotoError(
                "unsupported_format", told("The photo {path} is HEIC, which is not supported.", path=str(path)),
                next="convert it to JPEG, or set the phone's camera to 'Most compatible'",
            ) from None  # fmt: skip
        known = ", ".join(FORMATS)
        what = told("{path} is not a photo in a known format ({formats}).", path=str(path), formats=known)
        raise PhotoError("not_an_image", what) from None


def _require_size(image: Image.Image, path: Path, max_megapixels: float | None) -> None:
    megapixels = image.width * image.height / 1e6
    if max_megapixels is not None and megapixels > max_megapixels:
        raise PhotoError(
            "too_large",
            told("The photo {path} has {megapixels:.1f} megapixels; photos.max_megapixels is {most:g}.",
                 path=str(path), megapixels=megapixels, most=max_megapixels),
            next="raise photos.max_megapixels in genba.toml if the photo is meant to be that large",
        )  # fmt: skip


def _require_ending(path: Path) -> None:
    """A JPEG decoder takes a tail of zeros for grey pixels and says nothing: look for it."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
        tail = file.read()
    content = tail.rstrip(b"\0")
    if len(tail) - len(content) >= EMPTY_TAIL and not content.endswith(b"\xff\xd9"):
        what = told("The photo {path} ends too early: the rest of the file is zeros.", path=str(path))
        raise PhotoError("truncated", what)


def _decode(image: Image.Image, max_side: int | None, shortest_side: int | None) -> tuple[Image.Image, int]:
    """(upright RGB image, EXIF orientation); a JPEG at the smallest scale that is still enough."""
    enough = _enough(image.size, max_side, shortest_side)
    if enough is not None:
        image.draft(None, enough)
    image.load()
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    return (rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb), orientation


def _enough(size: tuple[int, int], max_side: int | None, shortest_side: int | None) -> tuple[int, int] | None:
    """The smallest size that a decoder may deliver: twice the copy that is wanted, or the shorter side as asked."""
    wanted = []
    if max_side:
        wanted.append(2 * max_side / max(size))
    if shortest_side:
        wanted.append(shortest_side / min(size))
    if not wanted or max(wanted) >= 1:
        return None
    width, height = size
    return -int(-width * max(wanted) // 1), -int(-height * max(wanted) // 1)  # rounded up


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _wide_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _wide_to_rgb(image: Image.Image) -> Image.Image:
    """More than 8 bits a pixel: 16 bits by their full range, wider ones by their own darkest and brightest pixel."""
    import numpy as np

    pixels = np.nan_to_num(np.asarray(image).astype(np.float64))
    low, high = (
        (0.0, 65535.0) if image.mode.startswith("I;16") else (float(pixels.min()), float(pixels.max()))
    )
    grey = (pixels - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")


def _exif(image: Image.Image) -> Image.Exif:
    """Damaged EXIF counts as none: the pixels are whole all the same."""
    try:
        return image.getexif()
    except (SyntaxError, ValueError, KeyError, TypeError, IndexError, OSError, struct.error):
        return Image.Exif()


def _orientation(image: Image.Image) -> int:
    value = _exif(image).get(ORIENTATION, 1)
    return value if value in UPRIGHT else 1


def _taken_at(image: Image.Image) -> datetime | None:
    exif = _exif(image)
    try:
        text = exif.get_ifd(EXIF_IFD).get(DATE_TIME_ORIGINAL) or exif.get(DATE_TIME)
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S") if text else None
    except (ValueError, KeyError, TypeError, SyntaxError, OSError, struct.error):
        return None  # a camera without a set clock writes 0000:00:00


def _position(exif: Image.Exif) -> tuple[float, float] | None:
    """A damaged or half-written place counts as none."""
    try:
        gps = exif.get_ifd(GPS_IFD)
        latitude, longitude = (
            sum(float(part) / 60**power for power, part in enumerate(gps[key])) for key in (2, 4)
        )
        found = (
            latitude * (-1 if str(gps.get(1)).startswith("S") else 1),
            longitude * (-1 if str(gps.get(3)).startswith("W") else 1),
        )
    except (KeyError, ValueError, TypeError, SyntaxError, OSError, ZeroDivisionError, struct.error):
        return None
    return found if abs(found[0]) <= 90 and abs(found[1]) <= 180 else None
