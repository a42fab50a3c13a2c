"""Label Studio's JSON export: brush labels (its own run lengths) and polygon labels.

The newest annotation of a task counts; cancelled ones do not. A task nobody has annotated was not looked at, and is
passed over; an annotation that is empty says that there is nothing but background. Text, choices and ratings beside the
shapes are ignored; boxes, ellipses and points are no masks, and their task is rejected rather than half read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from data.mask_formats import Drawn, Shape, polygon_pixels
from data.photos import SUFFIXES, PhotoError
from data.told import Told, told

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]
NO_MASKS = {"rectangle", "ellipse", "keypoint"}  # with and without "labels" behind
PAINTED = 128  # of 255: half covered, at the soft edge of a stroke
UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file


def read_studio(tasks: Sequence[Row]) -> list[Drawn]:
    """One Drawn for each annotated task."""
    found = []
    for number, task in enumerate(tasks, start=1):
        annotations = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
        if annotations:
            newest = max(annotations, key=lambda one: (str(one.get("updated_at") or ""), one.get("id") or 0))
            found.append(_drawn(task, newest.get("result") or [], number))
    return found


def _drawn(task: Row, results: Sequence[Row], number: int) -> Drawn:
    photos = _photos(task["data"])
    item = f"task {task.get('id', number)}" + (f": {photos[0]}" if photos else "")
    try:
        regions = [one for one in _regions(results) if _kind(one)]
        sizes = {(one.get("original_width"), one.get("original_height")) for one in regions}
        if len(sizes) > 1:
            what = told(
                "Its regions say that the photo has different sizes: {sizes}.", sizes=str(sorted(sizes))
            )
            raise PhotoError("wrong_size", what)
        width, height = next(iter(sizes), (0, 0))
        shapes = [_shape(one, int(width or 0), int(height or 0)) for one in regions]
        return Drawn(item, photos, int(width or 0), int(height or 0), shapes)
    except PhotoError as error:
        return Drawn(item, photos, problem=(error.reason, error.what))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = told("It cannot be read: {error}", error=f"{type(error).__name__}: {error}")
        return Drawn(item, photos, problem=("damaged_shape", what))


def _photos(data: Row) -> tuple[PurePosixPath, ...]:
    """The task's photo, from its address: a path, a URL, a local file (?d=…) or an upload."""
    addresses = [value for key, value in sorted(data.items(), key=lambda one: one[0] != "image")
                 if isinstance(value, str)]  # fmt: skip
    for address in addresses:
        parts = urlsplit(address)
        named = parse_qs(parts.query).get("d") or [unquote(parts.path)]
        path = PurePosixPath(named[0].replace("\\", "/").lstrip("/"))
        if path.suffix.lower() in SUFFIXES:
            bare = path.with_name(UPLOADED.sub("", path.name))
            return (path,) if bare == path else (path, bare)
    return ()


def _regions(results: Iterable[Row]) -> list[Row]:
    """Results of one region share an id: a Brush tag gives the shape in one and its Labels in another."""
    found: dict[str, Row] = {}
    for place, one in enumerate(results):
        region = found.setdefault(str(one.get("id") or f"#{place}"), {"types": set(), "value": {}})
        region["types"].add(str(one.get("type", "")).lower())
        region["value"] |= one.get("value") or {}
        region |= {
            key: value for key, value in one.items() if key.startswith("original_") or key == "image_rotation"
        }
    return list(found.values())


def _kind(region: Row) -> str:
    """brush or polygon; "" for what is no shape. Raises PhotoError for a shape that is no mask."""
    value = region["value"]
    if "rle" in value:
        return "brush"
    if "points" in value:
        return "polygon"
    shapes = sorted({kind.removesuffix("labels") for kind in region["types"]} & NO_MASKS)
    if shapes:
        raise PhotoError("no_shape", told("A {shape} is no mask.", shape=shapes[0]))
    return ""


def _shape(region: Row, width: int, height: int) -> Shape:
    value = region["value"]
    if region.get("image_rotation"):
        what = told("It was drawn on a photo turned in Label Studio: turn it back there.")
        raise PhotoError("damaged_shape", what)
    if width <= 0 or height <= 0:
        raise PhotoError("damaged_shape", told("It does not say how large its photo is."))
    labels = value.get("brushlabels") or value.get("polygonlabels") or value.get("labels") or []
    if len(labels) != 1:
        what = told("A region has the labels {labels}; a mask takes one each.", labels=str(labels))
        raise PhotoError("unknown_class", what)
    if _kind(region) == "brush":
        return Shape(str(labels[0]), partial(decode_brush, value["rle"], width, height))
    points = [
        float(one) * side / 100 for pair in value["points"] for one, side in zip(pair, (width, height), strict=True)
    ]  # fmt: skip
    return Shape(str(labels[0]), partial(polygon_pixels, points, width, height))


def decode_brush(rle: Sequence[int], width: int, height: int) -> np.ndarray:
    """Label Studio's brush run lengths, a list of bytes -> (H, W) bool: where the brush covers half a pixel or more.

    The format is rle-pack's (thi.ng/umbrella). A stream of bits: 32 for the number of values; 5 for the bits of a
    value, less one; four times 4 for the lengths of a count, less one; then blocks: 1 bit (1: one value repeated, 0: as
    many values), 2 bits for which of the four lengths, the count less one, the value or values. The values are the RGBA
    bytes of the canvas, row by row; the last of four says how much is covered. Raises PhotoError for anything else.
    """
    import numpy as np

    total = width * height * 4
    try:
        stream = _Bits(bytes(rle))
        if stream.read(32) != total:
            raise ValueError(told("its mask has not {width} x {height} pixels", width=width, height=height))
        size = stream.read(5) + 1
        lengths = [stream.read(4) + 1 for _ in range(4)]
        found = np.zeros(total, np.uint32)
        at = 0
        while at < total:
            is_run = stream.read(1)
            count = stream.read(lengths[stream.read(2)]) + 1
            if at + count > total:
                raise ValueError(told("it has more values than pixels"))
            found[at : at + count] = stream.read(size) if is_run else stream.read_many(size, count)
            at += count
    except (ValueError, TypeError) as error:
        why = error.args[0] if error.args and isinstance(error.args[0], Told) else str(error)
        raise PhotoError(
            "damaged_shape", told("A brush stroke cannot be read: {error}.", error=why)
        ) from None
    return found.reshape(height, width, 4)[..., 3] >= PAINTED


class _Bits:
    """Bytes read bit by bit, the highest first. Raises ValueError behind the end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def read(self, bits: int) -> int:
        last = self.at + bits
        if last > 8 * len(self.content):
            raise ValueError(told("it ends too early"))
        number = int.from_bytes(self.content[self.at // 8 : (last + 7) // 8], "big")
        self.at = last
        return (number >> (-last % 8)) & ((1 << bits) - 1)

    def read_many(self, bits: int, count: int) -> np.ndarray:
        """(count,) numbers of so many bits each."""
        import numpy as np

        first, last = self.at, self.at + bits * count
        if last > 8 * len(self.content):
            raise ValueError(told("it ends too early"))
        block = np.unpackbits(np.frombuffer(self.content[first // 8 : (last + 7) // 8], np.uint8))
        wanted = block[first % 8 : first % 8 + bits * count].reshape(count, bits)
        self.at = last
        found: np.ndarray = wanted @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))
        return found
