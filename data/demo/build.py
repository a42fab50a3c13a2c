"""Builds the demo's photos: folder/photos, exact labels beside them, captions.csv, and the truth that no scorer reads.

    build_photos(Path("demo-site/source"))                # 1,200 photos; the same for any number of workers

A build that was killed goes on where it stopped: each file is written under another name and renamed,
captions.csv last.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.demo.captions import LANGUAGES, WRONG_KINDS, legacy_caption, plain_caption, wrong_caption
from data.demo.flaws import CLASSES
from data.demo.render import render
from data.demo.scenes import SITE_DEFECTS, SITE_MATERIALS, Scene, sample_scene, second_shot, slots

PHOTO_SIZE = (400, 300)
METRES_PER_UNIT = 0.0001  # of the 16-bit depth files
SHARE_WRONG = 530 / 1200
SHARE_SECOND_SHOTS = 0.03
SHARE_JAPANESE = 0.55
LINES = ("A", "B", "C")
SHIFTS = ("day", "night")
AUTHORS = {"A": ("sato", "tanaka", "maria"), "B": ("suzuki", "nguyen"), "C": ("ito", "yamada", "john")}
Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Made = TypeVar("Made")


def build_photos(
    folder: Path, scenes: int = 1200, seed: int = 7, workers: int = 2, progress: Progress | None = None
) -> None:
    """Write photos/*.jpg, labels/masks/*.png, labels/depth/*.png (16 bit), labels/classes.json,
    labels/depth/depth.json, truth.jsonl, captions.csv (image, caption, language, line, shift, author). Photos that
    are there are not rendered again; a folder whose captions.csv is there is complete, and left alone."""
    if (folder / "captions.csv").exists():
        return
    for name in ("photos", "labels/masks", "labels/depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    drawn = site_scenes(scenes, seed)
    tasks = [(name, scene) for name, scene in zip(names(scenes), drawn, strict=True)]
    for done, _ in enumerate(in_processes(partial(_write_photo, folder), tasks, workers), start=1):
        if progress is not None:
            progress(done, scenes)
    _write(folder / "labels/classes.json", json.dumps(CLASSES, indent=1).encode())
    depth = {"metres_per_unit": METRES_PER_UNIT}
    _write(folder / "labels/depth/depth.json", json.dumps(depth).encode())
    rows = site_captions(drawn, seed)
    _write(folder / "truth.jsonl", _truth_text(rows, drawn).encode())
    _write(folder / "captions.csv", _captions_text(rows).encode())


def names(scenes: int) -> list[str]:
    """File names without suffix: p0000, p0001, …"""
    return [f"p{index:04d}" for index in range(scenes)]


def site_scenes(count: int, seed: int) -> list[Scene]:
    """The scenes of the site; three in a hundred are a second shot of the one before."""
    rng = np.random.default_rng([seed, 10])
    scenes: list[Scene] = []
    while len(scenes) < count:
        if scenes and rng.random() < SHARE_SECOND_SHOTS:
            scenes.append(second_shot(rng, scenes[-1]))
        else:
            scenes.append(sample_scene(rng, SITE_MATERIALS, SITE_DEFECTS))
    return scenes


def site_captions(scenes: Sequence[Scene], seed: int) -> list[dict[str, str]]:
    """One row for each photo: the columns of captions.csv, and `error`: a kind of wrong caption, or "none".

    Captions of the night shift and of line B are more often wrong, so that slices of the site differ.
    """
    rng = np.random.default_rng([seed, 20])
    kinds = _kinds(rng, len(scenes))
    rows = []
    weights = np.empty(len(scenes))
    for index, name in enumerate(names(len(scenes))):
        line, shift = LINES[int(rng.integers(3))], SHIFTS[int(rng.random() < 0.4)]
        author = AUTHORS[line][int(rng.integers(len(AUTHORS[line])))]
        language = LANGUAGES[0] if rng.random() < SHARE_JAPANESE else LANGUAGES[1]
        rows.append(
            {
                "image": f"photos/{name}.jpg",
                "caption": "",
                "language": language,
                "line": line,
                "shift": shift,
                "author": author,
            }
        )
        weights[index] = (1.5 if shift == "night" else 1.0) * (1.4 if line == "B" else 1.0)
    wrong = rng.choice(len(scenes), size=len(kinds), replace=False, p=weights / weights.sum())
    error = dict(zip(wrong.tolist(), kinds, strict=True))
    for index, (row, scene) in enumerate(zip(rows, scenes, strict=True)):
        row["error"] = error.get(index, "none")
        if row["error"] == "none":
            row["caption"] = legacy_caption(scene, row["language"], rng)
        else:
            row["caption"] = wrong_caption(row["error"], scene, scenes, row["language"], rng)
    return rows


def _kinds(rng: np.random.Generator, scenes: int) -> list[str]:
    """The kinds of the wrong captions, about equally many of each, in random order."""
    count = round(SHARE_WRONG * scenes)
    kinds = [list(WRONG_KINDS)[index % len(WRONG_KINDS)] for index in range(count)]
    return [kinds[index] for index in rng.permutation(count)]


def thumbnails(
    scenes: Sequence[Scene], side: int, workers: int, progress: Progress | None = None
) -> NDArray[np.uint8]:
    """Scenes rendered at 200 x 150 and squashed to squares, as the encoder sees photos: uint8 (n, side, side, 3)."""
    made = np.empty((len(scenes), side, side, 3), dtype=np.uint8)
    for index, picture in enumerate(in_processes(partial(_thumbnail, side), scenes, workers)):
        made[index] = picture
        if progress is not None:
            progress(index + 1, len(scenes))
    return made


def open_photo(path: Path) -> Image.Image:
    """A photo that build_photos wrote, decoded. For any other photo: data/photos.py."""
    with Image.open(path) as photo:
        return photo.convert("RGB")


def read_captions(folder: Path) -> list[dict[str, str]]:
    """The rows of captions.csv."""
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_truth(folder: Path) -> list[dict[str, Any]]:
    """The rows of truth.jsonl: image, slots, caption (right, by language), error (a kind of wrong caption, or "none").

    Only the demo's crew and its figures read it."""
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]


def _thumbnail(side: int, scene: Scene) -> NDArray[np.uint8]:
    photo = Image.fromarray(render(scene, 200, 150).image)
    return np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC))


def in_processes(make: Callable[[Item], Made], items: Sequence[Item], workers: int) -> Iterator[Made]:
    """`make` of each item, in order, in `workers` fresh processes; in this one when one worker is asked for."""
    if workers <= 1:
        yield from map(make, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of torch or DuckDB
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(make, items, chunksize=8)


def _write_photo(folder: Path, task: tuple[str, Scene]) -> None:
    name, scene = task
    photo = folder / "photos" / f"{name}.jpg"
    if photo.exists():  # written last, so its labels are there too
        return
    shot = render(scene, *PHOTO_SIZE)
    depth = np.round(shot.depth_m / METRES_PER_UNIT).astype(np.uint16)
    _write(folder / "labels/masks" / f"{name}.png", _encoded(shot.mask, "PNG"))
    _write(folder / "labels/depth" / f"{name}.png", _encoded(depth, "PNG"))
    _write(photo, _encoded(shot.image, "JPEG", quality=scene.jpeg_quality))


def _encoded(pixels: NDArray[Any], kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a reader, or the next run, never meets half a file."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_bytes(content)
    half.replace(path)


def _captions_text(rows: Iterable[dict[str, str]]) -> str:
    buffer = io.StringIO()
    columns = ("image", "caption", "language", "line", "shift", "author")
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _truth_text(rows: Iterable[dict[str, str]], scenes: Iterable[Scene]) -> str:
    lines = []
    for row, scene in zip(rows, scenes, strict=True):
        found = slots(scene)
        right = {language: plain_caption(found, language) for language in LANGUAGES}
        truth = {"image": row["image"], "slots": found, "caption": right, "error": row["error"]}
        lines.append(json.dumps(truth, ensure_ascii=False) + "\n")
    return "".join(lines)
