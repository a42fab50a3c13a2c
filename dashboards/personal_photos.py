"""Faces in a photo's pixels and a place in its EXIF: one photo in, what was found out. No store.

    faces, position = look_at(path)       # [Box, …] as shares of the upright photo, (35.68, 139.76) or None

Faces: Viola and Jones (2001) cascades that come inside opencv-python-headless, frontal and profile, on a copy of at
most SIDE pixels. Measured on 60 everyday photos of 192 px (docs/LOG.md, 2026-11-26) they find about a third of the
faces that a person recognises, and of ten boxes eight are faces: a box is a hint, no box says nothing. Helmets, masks,
backs of heads and faces smaller than about a twelfth of the photo's width are missed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.photos import open_photo, read_position

if TYPE_CHECKING:
    import numpy as np

VERSION = 1  # raised when a detector changes: photos are then looked at again
SIDE = 512  # px of the longer side on which faces are looked for; a smaller photo is enlarged to it
SMALLEST_FACE = 32  # px there
SCALE, NEIGHBOURS = 1.1, 4
CASCADES = ("haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml")
OVERLAP = 0.4  # intersection over union from which two boxes are one face


@dataclass(frozen=True)
class Box:
    """A face, as shares of the upright photo's width and height, in [0, 1]."""

    x: float
    y: float
    width: float
    height: float


def look_at(path: Path) -> tuple[list[Box], tuple[float, float] | None]:
    """Faces, and (latitude, longitude) in degrees or None. Raises PhotoError."""
    import numpy as np

    position = read_position(path)
    image = open_photo(path, max_side=SIDE, shortest_side=SIDE // 2).convert("L")
    return faces_in(np.asarray(image)), position


def faces_in(grey: np.ndarray) -> list[Box]:
    """grey: (H, W) uint8. Boxes of both cascades (profiles facing either way), the same face once."""
    import cv2

    scale = SIDE / max(grey.shape)
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else grey
    frontal, profile = _cascades()
    width = grey.shape[1]
    found = [*_detected(frontal, grey), *_detected(profile, grey)]
    found += [(width - x - w, y, w, h) for x, y, w, h in _detected(profile, grey[:, ::-1].copy())]
    kept: list[tuple[int, int, int, int]] = []
    for box in found:
        if all(_overlap(box, other) < OVERLAP for other in kept):
            kept.append(box)
    height = grey.shape[0]
    return [Box(x / width, y / height, w / width, h / height) for x, y, w, h in kept]


def _detected(cascade: Any, grey: np.ndarray) -> list[tuple[int, int, int, int]]:
    boxes = cascade.detectMultiScale(grey, SCALE, NEIGHBOURS, minSize=(SMALLEST_FACE, SMALLEST_FACE))
    return [(int(x), int(y), int(w), int(h)) for x, y, w, h in boxes]


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


@functools.cache
def _cascades() -> list[Any]:
    import cv2

    found = [cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name)) for name in CASCADES]
    if any(one.empty() for one in found):
        raise RuntimeError(f"opencv-python-headless came without {', '.join(CASCADES)}")
    return found
