"""COCO's instances: polygons, and run lengths with and without compression (Lin et al. 2014; cocodataset.org).

An image of the file without an annotation is all background: in COCO it was looked at. Boxes alone are no masks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.mask_formats import Drawn, Shape, polygon_pixels
from data.photos import PhotoError
from data.told import told

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]


def read_coco(content: Row, path: Path) -> list[Drawn]:
    """One Drawn for each image, and one for each annotation of an image that the file does not have.

    Raises GenbaError for images, categories or annotations without the keys that make them such.
    """
    try:
        names = {int(one["id"]): str(one["name"]) for one in content.get("categories", [])}
        by_image: dict[Any, list[Row]] = defaultdict(list)
        for one in content["annotations"]:
            by_image[one["image_id"]].append(one)
        found = [_drawn(image, by_image.pop(image["id"], []), names) for image in content["images"]]
    except (KeyError, TypeError, ValueError) as error:
        raise GenbaError(
            f"{path} is no complete COCO file: {type(error).__name__} {error}.",
            next="images need id, file_name, width and height; annotations image_id, category_id and segmentation; "
            "categories id and name",
        ) from None
    return found + [
        Drawn(f"image {key}", (), problem=("not_found", told(
            "{n} annotations name the image {image}, which the file does not have.", n=len(rows), image=str(key))))
        for key, rows in by_image.items()
    ]  # fmt: skip


def _drawn(image: Row, annotations: Sequence[Row], names: dict[int, str]) -> Drawn:
    name = str(image["file_name"])
    photos = (PurePosixPath(name.replace("\\", "/")),)
    width, height = int(image["width"]), int(image["height"])
    shapes: list[Shape] = []
    for one in annotations:
        label = names.get(one["category_id"])
        outline = one.get("segmentation")
        if label is None:
            what = told("Category {number} is not among the file's: {known}.",
                        number=str(one["category_id"]), known=str(names))  # fmt: skip
            return Drawn(name, photos, width, height, problem=("unknown_class", what))
        if not outline:
            what = told("An annotation of {label!r} has no segmentation: a box is no mask.", label=label)
            return Drawn(name, photos, width, height, problem=("no_shape", what))
        shapes.append(Shape(label, partial(shape_pixels, outline, width, height), int(one["category_id"])))
    return Drawn(name, photos, width, height, shapes)


def shape_pixels(outline: Any, width: int, height: int) -> np.ndarray:
    """A segmentation (polygons, or {"size": [h, w], "counts": …}) -> (H, W) bool. Raises PhotoError."""
    import numpy as np

    if isinstance(outline, dict):
        return _run_lengths(outline, width, height)
    if not isinstance(outline, list) or not all(isinstance(one, list) for one in outline):
        raise PhotoError(
            "damaged_shape", told("A segmentation is neither a list of polygons nor run lengths.")
        )
    return np.any([polygon_pixels(one, width, height) for one in outline], axis=0)


def _run_lengths(outline: Row, width: int, height: int) -> np.ndarray:
    """Column by column from the top left, zeros first. Counts that do not fill the photo are damage, not a mask."""
    import numpy as np

    counts: Any = outline.get("counts")
    if list(outline.get("size") or []) != [height, width]:
        what = told("Run lengths of size {size} on a photo of height {height}, width {width}.",
                    size=str(outline.get("size")), height=height, width=width)  # fmt: skip
        raise PhotoError("wrong_size", what)
    if isinstance(counts, str):
        counts = uncompressed(counts)
    is_whole = isinstance(counts, list) and all(isinstance(one, int) and one >= 0 for one in counts)
    if not is_whole or sum(counts) != width * height:
        what = told(
            "Run lengths that do not add up to {width} x {height} pixels.", width=width, height=height
        )
        raise PhotoError("damaged_shape", what)
    runs = np.arange(len(counts)) % 2 == 1
    return np.repeat(runs, counts).reshape(width, height).T


def uncompressed(counts: str) -> list[int]:
    """COCO's compressed run lengths: characters from "0" on, 5 bits each, the 6th says that more follow, the last one's
    5th bit is the sign; from the third count on, each is a difference to the one two before it.

    uncompressed("61X13mN") == [6, 1, 40, 4, 5, 4]. Raises PhotoError for text that is none.
    """
    found: list[int] = []
    value, bits = 0, 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64 or bits > 40:
            what = told("{character!r} has no place in compressed run lengths.", character=character)
            raise PhotoError("damaged_shape", what)
        value |= (code & 31) << bits
        bits += 5
        if not code & 32:
            if code & 16:
                value -= 1 << bits
            found.append(value + found[-2] if len(found) > 2 else value)
            value, bits = 0, 0
    if bits:
        raise PhotoError("damaged_shape", told("Compressed run lengths end in the middle of a number."))
    return found
