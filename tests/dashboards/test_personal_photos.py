"""Faces and places in photos: files made here with a known place, and real photos of people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboards.personal_photos import Box, faces_in, look_at
from data.photos import PhotoError, open_photo, read_position

TOKYO = (35.681236, 139.767125)
GPS_IFD = 0x8825


def photo(path: Path, gps: dict[int, object] | None, side: int = 64) -> Path:
    image = Image.fromarray(np.full((side, side, 3), 120, dtype=np.uint8))
    exif = Image.Exif()
    if gps is not None:
        exif.get_ifd(GPS_IFD).update(gps)
    image.save(path, exif=exif)
    return path


def degrees(value: float) -> tuple[float, float, float]:
    whole, minutes = int(value), int(value * 60 % 60)
    return float(whole), float(minutes), round(value * 3600 % 60, 4)


@pytest.mark.parametrize(("ns", "ew", "signs"), [("N", "E", (1, 1)), ("S", "W", (-1, -1))])
def test_the_place_in_a_photo_is_read(tmp_path: Path, ns: str, ew: str, signs: tuple[int, int]) -> None:
    path = photo(tmp_path / "a.jpg", {1: ns, 2: degrees(TOKYO[0]), 3: ew, 4: degrees(TOKYO[1])})
    expected = tuple(sign * value for sign, value in zip(signs, TOKYO, strict=True))
    assert read_position(path) == pytest.approx(expected, abs=1e-6)
    faces, position = look_at(path)
    assert faces == [] and position == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "gps",
    [None, {}, {1: "N", 3: "E"}, {1: "N", 2: degrees(35.0), 3: "E"}, {2: (99.0, 0.0, 0.0), 4: degrees(1.0)}],
)
def test_half_a_place_is_none(tmp_path: Path, gps: dict[int, object] | None) -> None:
    assert read_position(photo(tmp_path / "a.jpg", gps)) is None


def test_a_broken_photo_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"no photo at all")
    with pytest.raises(PhotoError):
        look_at(path)


def test_faces_of_real_people_are_found_and_a_steel_surface_has_none(shared: Path) -> None:
    """Two of the photos that were looked at by hand (docs/LOG.md): a couple side by side, and one face."""
    folder = shared / "data" / "flickr8k" / "images"
    couple, one = (
        look_at(folder / name)[0] for name in ("1616016569_673de1d678.jpg", "2609847254_0ec40c1cce.jpg")
    )
    assert len(couple) == 2 and len(one) == 1
    left, right = sorted(couple, key=lambda box: box.x)
    assert left.x < 0.3 < 0.45 < right.x and all(0 <= box.y < 0.4 for box in couple)
    surface = np.asarray(open_photo(next((shared / "data" / "steel").rglob("*.jpg"))).convert("L"))
    assert faces_in(surface) == []


def test_a_box_is_a_share_of_the_photo_whatever_its_size(shared: Path) -> None:
    grey = open_photo(shared / "data" / "flickr8k" / "images" / "2609847254_0ec40c1cce.jpg").convert("L")
    (small,), (large,) = (
        faces_in(np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC))) for side in (192, 512)
    )
    assert isinstance(small, Box)
    assert (small.x, small.y, small.width) == pytest.approx((large.x, large.y, large.width), abs=0.05)
