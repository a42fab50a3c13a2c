"""Photos with a heat map: what is painted where, the file behind the signed address, and that it goes away again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import GenbaError
from data.heat_maps import heat_address, heat_file, keep_heat_map, laid_over, ramps
from data.ingest import ingest
from data.served import VALID_SECONDS, is_valid
from data.site import Site
from tests.data.makers import photo
from tests.data.makers import site as make_site

WHOLE = (0.0, 0.0, 1.0, 1.0)
HEAT = np.array([[0.0, 1.0], [0.5, 0.0]])


def grey(width: int = 40, height: int = 20) -> Image.Image:
    return Image.new("RGB", (width, height), (100, 100, 100))


def test_the_hottest_place_is_covered_most_and_the_coldest_not_at_all() -> None:
    made = np.asarray(laid_over(grey(), HEAT, WHOLE)).astype(int)
    changed = np.abs(made - 100).sum(axis=2)
    assert (changed[:10, :20] == 0).all() and (changed[10:, 20:] == 0).all()
    assert changed[:10, 20:].min() > changed[10:, :20].min() > 0
    assert (made[:10, 20:, 0] > made[:10, 20:, 2]).all(), "red"


def test_what_the_encoder_does_not_see_is_darkened() -> None:
    made = np.asarray(laid_over(grey(), HEAT, (0.25, 0.0, 0.75, 1.0)))
    assert (made[:, :10] == 45).all() and (made[:, 30:] == 45).all()
    assert (made[:10, 10:20] == 100).all() and (made[:10, 20:30] != 100).any()


def test_padding_around_the_photo_takes_no_part() -> None:
    """The square of a padded photo reaches past it: of four rows the middle two lie on the photo."""
    heat = np.array([[1.0], [0.0], [0.5], [1.0]])
    made = np.asarray(laid_over(grey(), heat, (0.0, -0.5, 1.0, 1.5)))
    assert (made[:10] == 100).all() and (made[10:] != 100).any()


def test_a_map_of_equal_values_leaves_the_photo_alone() -> None:
    assert (np.asarray(laid_over(grey(), np.full((3, 3), 0.7), WHOLE)) == 100).all()


def test_ramps() -> None:
    pixels = np.asarray(ramps(4, 2))
    assert pixels[0, :, 0].tolist() == [32, 96, 159, 223] and pixels[:, 1, 1].tolist() == [64, 191]
    assert (pixels[:, :, 2] == 255).all() and (np.asarray(ramps(3, 3, only=0)) == 0).all()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    photo(tmp_path / "photos" / "a.jpg", seed=1, width=1000, height=500)
    (tmp_path / "photos" / "captions.csv").write_text("image,caption\na.jpg,a bolt\n")
    made = make_site(tmp_path / "site", [tmp_path / "photos"])
    ingest(made, tmp_path / "photos" / "captions.csv")
    return made


def image_id(site: Site) -> str:
    with site.connect() as db:
        return str(db.value("SELECT image_id FROM images"))


def test_the_picture_is_made_once_and_stands_behind_a_signature(site: Site) -> None:
    key = keep_heat_map(site, image_id(site), HEAT, WHOLE)
    path = heat_file(site, key)
    with Image.open(path) as made:
        assert (made.size, made.format, dict(made.getexif())) == ((720, 360), "JPEG", {})
    written = path.stat().st_ino
    assert keep_heat_map(site, image_id(site), HEAT, WHOLE) == key and path.stat().st_ino == written
    assert keep_heat_map(site, image_id(site), HEAT * 2, WHOLE) != key
    address, _, query = heat_address(site, key).partition("?")
    expires, signature = (part.split("=")[1] for part in query.split("&"))
    assert address == f"/photos/heat/{key}.jpg"
    assert is_valid(site, f"heat/{key}", expires, signature)
    assert not is_valid(site, key, expires, signature), "not the signature of a photo of that name"
    assert not is_valid(site, f"heat/{key}", expires, signature, at=time.time() + 3 * VALID_SECONDS)


def test_pictures_whose_addresses_have_expired_are_removed(site: Site) -> None:
    old = heat_file(site, keep_heat_map(site, image_id(site), HEAT, WHOLE))
    os.utime(old, (0, time.time() - 2 * VALID_SECONDS - 60))
    young = heat_file(site, keep_heat_map(site, image_id(site), HEAT * 3, WHOLE))
    assert young.exists() and not old.exists()
    with pytest.raises(GenbaError, match="has expired"):
        heat_file(site, old.stem)


@pytest.mark.parametrize("key", ["../../genba.duckdb", "x", ""])
def test_a_key_is_no_path(site: Site, key: str) -> None:
    with pytest.raises(GenbaError, match="is not the key"):
        heat_file(site, key)
