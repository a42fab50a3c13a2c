"""Masks drawn in other tools: COCO's instances and exports of Label Studio, as one map of class numbers for each photo.

    drawn = read_drawn(Path("instances.json"))      # COCO, or Label Studio's "JSON" export (brush and polygon labels)
    numbers = paint(drawn[0], {"scratch": 1})       # (H, W) class numbers

Instances of one class become one region. Where regions overlap, the smaller one lies on top. What nobody has drawn on
is background. Outlines are filled as COCO does (pycocotools), so that other tools get the same pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError, nearest
from data.photos import PhotoError
from data.told import told

if TYPE_CHECKING:
    import numpy as np

FORMATS = (
    "COCO instances (a JSON object with images, annotations and categories)",
    "Label Studio's JSON export (a list of tasks)",
)
FARTHEST = 1.0  # an outline may leave its photo by so many of its sides, no more


@dataclass(frozen=True)
class Shape:
    """A region of one class. pixels(): (H, W) bool, at the size of its Drawn. Raises PhotoError when it is damaged.
    number: the class's own in the file, where it has one."""

    label: str
    pixels: Callable[[], np.ndarray]
    number: int | None = None


@dataclass(frozen=True)
class Drawn:
    """What was drawn on one photo. item: how it is called in messages. photos: paths by which the photo may be known,
    the likeliest first. problem: why it cannot be used: a reason of dense_labels.REASONS, and the details."""

    item: str
    photos: tuple[PurePosixPath, ...]
    width: int = 0
    height: int = 0
    shapes: list[Shape] = field(default_factory=list)
    problem: tuple[str, str] | None = None


def read_drawn(path: Path) -> list[Drawn]:
    """All photos of an export, without decoding any mask. Raises GenbaError for a file of another kind."""
    from data.mask_formats_coco import read_coco
    from data.mask_formats_studio import read_studio

    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise GenbaError(f"{path} cannot be read as JSON: {error}.", choices=FORMATS) from None
    if isinstance(content, dict) and isinstance(content.get("annotations"), list) and "images" in content:
        return read_coco(content, path)
    if (
        isinstance(content, list)
        and content
        and all(isinstance(one, dict) and "data" in one for one in content)
    ):
        return read_studio(content)
    raise GenbaError(
        f"{path} holds no masks that are known here.",
        choices=FORMATS,
        next="genba ingest SITE FILE --as masks",
    )


def paint(drawn: Drawn, numbers: Mapping[str, int], unpainted: int = 0, hint: str = "") -> np.ndarray:
    """(H, W) int32 class numbers; `unpainted` where no shape is. Raises PhotoError for a damaged shape or a label
    without a number. hint: what to do about the latter.

    paint(two overlapping shapes): the one with fewer pixels is painted last, whatever their order in the file.
    """
    import numpy as np

    unknown = sorted({shape.label for shape in drawn.shapes} - numbers.keys())
    if unknown:
        guess = nearest(unknown[0].lower(), numbers)
        named = told(
            "Class {unknown} is not named; the names are {known}.",
            unknown=str(unknown),
            known=str(sorted(numbers)),
        )
        meant = told(" Did you mean {name!r}?", name=guess) if guess else ""
        raise PhotoError(
            "unknown_class", told("{first}{second}{third}", first=named, second=meant, third=hint)
        )
    found = np.full((drawn.height, drawn.width), unpainted, np.int32)
    filled = [(shape, shape.pixels()) for shape in drawn.shapes]
    for shape, pixels in sorted(filled, key=lambda one: -int(one[1].sum())):
        found[pixels] = numbers[shape.label]
    return found


def polygon_pixels(points: Sequence[Any], width: int, height: int) -> np.ndarray:
    """[x, y, x, y, …] in pixels -> (H, W) bool. Raises PhotoError for what is no polygon on this photo."""
    import numpy as np
    from pycocotools import mask

    if len(points) < 6 or len(points) % 2 or not all(_is_number(one) for one in points):
        raise PhotoError(
            "damaged_shape",
            told("A polygon takes three points or more, as x, y: {points}.", points=repr(list(points)[:8])),
        )
    x, y = np.array(points[0::2], float), np.array(points[1::2], float)
    for values, side in ((x, width), (y, height)):
        if values.min() < -FARTHEST * side or values.max() > (1 + FARTHEST) * side:
            what = told(
                "A polygon lies outside its photo of {width} x {height} pixels.", width=width, height=height
            )
            raise PhotoError("damaged_shape", what)
    flat = [float(one) for one in points]
    found: np.ndarray = mask.decode(mask.frPyObjects([flat], height, width)[0]).astype(bool)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
