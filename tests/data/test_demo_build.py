"""The built folder: the same for any number of workers, resumable, with exact labels and known errors."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.demo import build
from data.demo.build import METRES_PER_UNIT, build_photos, site_captions, site_scenes
from data.demo.captions import WRONG_KINDS
from data.demo.flaws import CLASSES
from data.demo.render import render

PHOTOS = 9


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    build_photos(folder, PHOTOS, workers=1)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_workers_write_the_same_bytes(built: Path, tmp_path: Path) -> None:
    build_photos(tmp_path, PHOTOS, workers=2)
    assert contents(tmp_path) == contents(built)


def test_a_killed_build_goes_on_and_renders_nothing_twice(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        build_photos(tmp_path, PHOTOS, workers=1, progress=stop)
    assert not (tmp_path / "captions.csv").exists()
    rendered = []
    monkeypatch.setattr(build, "render", lambda *args: rendered.append(1) or render(*args))
    build_photos(tmp_path, PHOTOS, workers=1)
    assert len(rendered) == PHOTOS - 4
    assert contents(tmp_path) == contents(built)
    build_photos(tmp_path, PHOTOS, workers=1)
    assert len(rendered) == PHOTOS - 4


def test_progress_counts_up_to_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    build_photos(tmp_path, 2, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_labels_are_those_of_the_renderer(built: Path) -> None:
    scene = site_scenes(PHOTOS, 7)[2]
    shot = render(scene, 400, 300)
    mask = np.asarray(Image.open(built / "labels/masks/p0002.png"))
    depth = np.asarray(Image.open(built / "labels/depth/p0002.png"))
    assert np.array_equal(mask, shot.mask)
    assert depth.dtype == np.uint16
    assert np.abs(depth * METRES_PER_UNIT - shot.depth_m).max() <= METRES_PER_UNIT
    assert json.loads((built / "labels/classes.json").read_text()) == CLASSES
    assert json.loads((built / "labels/depth/depth.json").read_text()) == {"metres_per_unit": METRES_PER_UNIT}
    photo = np.asarray(Image.open(built / "photos/p0002.jpg"), dtype=float)
    assert photo.shape == (300, 400, 3)
    assert np.abs(photo - shot.image).mean() < 8  # as far as JPEG keeps it


def test_one_caption_for_each_photo_and_no_truth_in_them(built: Path) -> None:
    with (built / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "caption", "language", "line", "shift", "author"]
    assert [row["image"] for row in rows] == [f"photos/p{index:04d}.jpg" for index in range(PHOTOS)]
    assert all((built / row["image"]).is_file() and row["caption"] for row in rows)
    truth = [json.loads(line) for line in (built / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["image"] for one in truth] == [row["image"] for row in rows]
    assert set(truth[0]["caption"]) == {"ja", "en"}


def test_the_site_has_530_wrong_captions_of_six_kinds() -> None:
    scenes = site_scenes(1200, 7)
    rows = site_captions(scenes, 7)
    errors = Counter(row["error"] for row in rows)
    assert errors["none"] == 670
    assert set(errors) == {"none", *WRONG_KINDS}
    assert all(errors[kind] in (88, 89) for kind in WRONG_KINDS)
    assert 0.5 < np.mean([row["language"] == "ja" for row in rows]) < 0.6
    shifts = {
        shift: np.mean([row["error"] != "none" for row in rows if row["shift"] == shift])
        for shift in ("day", "night")
    }
    assert shifts["night"] > shifts["day"] + 0.03
    second = [a.facts == b.facts and a.seed == b.seed for a, b in pairwise(scenes)]
    assert 20 <= sum(second) <= 55
