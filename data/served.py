"""Copies of photos for display: rotated, metadata (GPS) removed, at most 1,600 px. All that a browser ever gets.

Addresses are signed and expire: the photo routes stand outside the web framework's sign-in.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from pathlib import Path

from data.errors import GenbaError
from data.site import Site

MAX_SIDE = 1600
VALID_SECONDS = 12 * 3600


def served_name(image_id: str) -> str:
    """File name of the copy under SITE/served: two-letter folders keep folders small at 100,000 photos."""
    return f"{image_id[:2]}/{image_id}.jpg"


def served_copy(site: Site, image_id: str, place: tuple[int, str] | None = None) -> Path:
    """Path of the copy, made on first use (atomically). Raises GenbaError for an unknown or unreadable photo.

    place: the photo's root and uri, for a caller that has looked them up for many at once.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", image_id):
        raise GenbaError(f"{image_id!r} is not the id of a photo.")
    path = site.folder("served") / served_name(image_id)
    if path.exists():
        return path
    if place is None:
        with site.connect() as db:
            row = db.one("SELECT root, uri FROM images WHERE image_id = ?", [image_id])
        if row is None:
            raise GenbaError(f"No photo {image_id}.", next=f"genba doctor {site.root}")
        place = row["root"], row["uri"]
    from data.photos import open_photo

    photo = open_photo(site.photo_path(*place), max_side=MAX_SIDE)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    photo.save(temporary, format="JPEG", quality=88)
    os.replace(temporary, path)
    return path


def copy_size(copy: Path) -> tuple[int, int]:
    """Width and height in px of a copy, from its header."""
    from PIL import Image

    with Image.open(copy) as image:
        return image.size


def photo_address(site: Site, image_id: str, at: float | None = None) -> str:
    """Signed address of a photo, valid for 12 to 24 hours.

    The expiry is rounded up to a whole period, so that the same photo keeps one address for a while and caches work.
    """
    return signed(site, image_id, f"/photos/{image_id}.jpg", at)


def signed(site: Site, name: str, path: str, at: float | None = None) -> str:
    """`path` with the expiry and the signature of `name`; see photo_address."""
    expires = (int((at or time.time()) // VALID_SECONDS) + 2) * VALID_SECONDS
    return f"{path}?e={expires}&s={_signature(site, name, expires)}"


def is_valid(site: Site, name: str, expires: str, signature: str, at: float | None = None) -> bool:
    """Whether the address of a photo (its id) or of what is `signed` belongs to this site and has not expired."""
    if (
        not expires.isascii()
        or not expires.isdigit()
        or len(expires) > 12
        or int(expires) < (at or time.time())
    ):
        return False
    return hmac.compare_digest(_signature(site, name, int(expires)).encode(), signature.encode())


def _signature(site: Site, name: str, expires: int) -> str:
    key = bytes.fromhex(site.secret("photos"))
    return hmac.new(key, f"{name}:{expires}".encode(), hashlib.sha256).hexdigest()[:32]
