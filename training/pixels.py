"""Photos decoded once, as the encoder sees them: uint8 at the model's size, in one file that is read by place.

    pixels = load_pixels(site, encoder, rows, folder / "pixels")     # rows with image_id, root, uri
    batch = normalised(torch.from_numpy(pixels.of(image_ids)), encoder)      # (B, 3, S, S) float32

The file is mapped, not read: 20,000 photos at 256 pixels are 4 GB, of which the system keeps in memory what it can. A
file that was finished is used again by a run that goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.photos import DECODERS, open_photo
from data.site import Site
from scoring.encoders import Encoder
from training.state import DiskFull

if TYPE_CHECKING:
    import numpy as np
    import torch

BATCH = 64
Row = dict[str, Any]


@dataclass(frozen=True)
class Pixels:
    """array: (n, 3, S, S) uint8, upright photos in RGB. place: image_id -> row of the array."""

    array: np.ndarray
    place: dict[str, int]

    def of(self, image_ids: Sequence[str]) -> np.ndarray:
        """(len(image_ids), 3, S, S) uint8, a copy."""
        return self.array[[self.place[image_id] for image_id in image_ids]]


def load_pixels(
    site: Site,
    encoder: Encoder,
    rows: Iterable[Row],
    folder: Path,
    squash: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Pixels:
    """Decode the photos of `rows`, or map what an earlier call decoded.

    squash: the whole photo pressed into the square, for tasks that look at places in it; else the encoder's own way,
    which may cut off its edges. progress(n): n more photos are done. Raises PhotoError for a photo that is gone,
    DiskFull.
    """
    import numpy as np

    photos = {row["image_id"]: row for row in rows}
    if not photos:
        return Pixels(np.zeros((0, 3, encoder.image_size, encoder.image_size), np.uint8), {})
    place = {image_id: number for number, image_id in enumerate(sorted(photos))}
    way = {"size": encoder.image_size, "squash": squash, "how": preprocessing(encoder)}
    name = hashlib.sha256(json.dumps([way, list(place)], sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{name}.npy"
    if path.exists():
        if progress:
            progress(len(place))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _decode(site, encoder, [photos[image_id] for image_id in place], path, squash, progress)
    return Pixels(np.load(path, mmap_mode="r"), place)


def preprocessing(encoder: Encoder) -> dict[str, Any]:
    """mean, std, resize_mode and interpolation of an open_clip encoder."""
    found: dict[str, Any] = encoder.model.visual.preprocess_cfg  # type: ignore[union-attr, assignment]
    return {key: found[key] for key in ("mean", "std", "interpolation", "resize_mode")}


def _decode(
    site: Site,
    encoder: Encoder,
    photos: list[Row],
    path: Path,
    squash: bool,
    progress: Callable[[int], None] | None,
) -> None:
    import numpy as np

    size = encoder.image_size
    temporary = path.with_suffix(".tmp")
    shape = (len(photos), 3, size, size)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    decode = _squashed if squash else _as_encoder
    # Written, not mapped: on a full disk a mapped file kills the process without a word
    with temporary.open("wb", buffering=0) as file, ThreadPoolExecutor(DECODERS) as pool:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            made = list(
                pool.map(lambda row: decode(encoder, site.photo_path(row["root"], row["uri"])), batch)
            )
            _write(file, np.stack(made).astype(np.uint8, copy=False), temporary, shape)
            if progress:
                progress(len(batch))
    os.replace(temporary, path)


def _write(file: FileIO, made: np.ndarray, path: Path, shape: tuple[int, ...]) -> None:
    """Raises DiskFull, and removes the file."""
    left = memoryview(made.tobytes())
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        path.unlink(missing_ok=True)
        raise DiskFull(
            f"The decoded photos, {math.prod(shape) / 1e9:.1f} GB, cannot be written to {path.parent}: "
            f"{error.strerror}.",
            next="free space on that disk, then start the same again",
        ) from None


def _as_encoder(encoder: Encoder, path: Path) -> np.ndarray:
    """The encoder's own preprocessing, whose last step (mean and std) is undone exactly: it began with bytes."""
    import torch

    how = preprocessing(encoder)
    mean, std = (torch.tensor(how[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    ready = encoder.preprocess(open_photo(path, shortest_side=encoder.image_size))
    return ((ready * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def _squashed(encoder: Encoder, path: Path) -> np.ndarray:
    import numpy as np

    size = encoder.image_size
    photo = open_photo(path, shortest_side=size).resize(
        (size, size)
    )  # bicubic, the library's default for RGB
    return np.asarray(photo).transpose(2, 0, 1)


def normalised(batch: torch.Tensor, encoder: Encoder) -> torch.Tensor:
    """(B, 3, S, S) uint8, or float in 0 to 255 -> float32 on the encoder's device, as its image tower wants it."""
    import torch

    from scoring.encoders import is_convolutional

    how = preprocessing(encoder)
    batch = batch.to(encoder.device, non_blocking=True).float() / 255
    mean, std = (torch.tensor(how[key], device=batch.device).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    ready = (batch - mean) / std
    is_last = encoder.device != "mps" and is_convolutional(encoder.model)
    return ready.contiguous(memory_format=torch.channels_last) if is_last else ready


def batches(image_ids: Sequence[str], size: int) -> Iterator[list[str]]:
    """Consecutive parts of at most `size`."""
    for start in range(0, len(image_ids), size):
        yield list(image_ids[start : start + size])
