"""Masks and depth maps: each finds its photo, or is rejected with its reason; what is loaded is what the files say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data.dense_labels import (
    IGNORED,
    REASONS,
    LabelsResult,
    class_names,
    ingest_labels,
    labelled,
    load_depth,
    load_mask,
)
from data.errors import GenbaError
from data.ingest import ingest
from data.site import Site
from tests.data import makers
from tests.data.makers import contents, exif, photo
from tests.data.test_readers import write_table

CLASSES = {"classes": {"0": "background", "1": "scratch", "2": "dent"}, "ignore": [9]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Photos a, b (turned by its EXIF: 72 x 96 upright) and c, and two called d in different folders."""
    photos = tmp_path / "photos"
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg", "one/d.jpg", "two/d.jpg")):
        photo(photos / name, seed, **({"exif": exif(6)} if name == "b.jpg" else {}))
    made = makers.site(tmp_path / "site", [photos])
    ingest(made, photos)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/classes.json").write_text(json.dumps(CLASSES))
    (tmp_path / "labels/depth.json").write_text('{"metres_per_unit": 0.001}')
    return tmp_path / "labels"


def mask(
    path: Path, width: int = 96, height: int = 72, values: tuple[int, ...] = (0, 1, 9)
) -> NDArray[np.uint8]:
    pixels = np.resize(np.array(values, np.uint8), (height, width))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def image_id(site: Site, uri: str) -> str:
    with site.connect() as db:
        return str(db.value("SELECT image_id FROM images WHERE uri = ?", [uri]))


def test_masks_are_loaded_as_they_were_drawn(site: Site, folder: Path) -> None:
    drawn = mask(folder / "a.png")
    mask(folder / "b.png", 72, 96, (2, 1))
    mask(folder / "two/d.png")
    assert ingest_labels(site, folder, "masks") == LabelsResult(3, 3, 0, {}, 0)
    found = load_mask(site, image_id(site, "a.jpg"))
    assert found.dtype == np.int32 and np.array_equal(found, np.where(drawn == 9, IGNORED, drawn.astype(int)))
    assert set(np.unique(load_mask(site, image_id(site, "b.jpg")))) == {1, 2}
    ids = sorted(image_id(site, uri) for uri in ("a.jpg", "b.jpg", "two/d.jpg"))
    with site.connect() as db:
        assert class_names(db) == {0: "background", 1: "scratch", 2: "dent"}
        assert labelled(db, "masks") == ids
        assert labelled(db, "depth") == []
        assert db.value("SELECT what FROM events ORDER BY occurred_at DESC LIMIT 1") == "ingest.masks"


@pytest.mark.parametrize("bits", [8, 16])
def test_depth_is_in_metres_and_nothing_measured_is_nan(site: Site, folder: Path, bits: int) -> None:
    units = np.resize(np.array([0, 1, 250], np.uint8 if bits == 8 else np.uint16), (72, 96))
    Image.fromarray(units).save(folder / "a.png")
    assert ingest_labels(site, folder, "depth").added == 1
    metres = load_depth(site, image_id(site, "a.jpg"))
    assert metres.dtype == np.float32 and metres.shape == (72, 96)
    assert np.array_equal(np.isnan(metres), units == 0)
    assert np.allclose(metres[units > 0], units[units > 0] * 0.001)
    assert (
        ingest_labels(site, folder, "depth", metres_per_unit=0.01, ignore=[250]).added == 1
    )  # said anew: replaced
    assert np.nanmax(load_depth(site, image_id(site, "a.jpg"))) == pytest.approx(0.01)


# what makes one bad file x.png of masks -> reason
BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no photo of that name": ("not_found", lambda f: mask(f / "x.png")),
    "two photos of that name": ("ambiguous", lambda f: mask(f / "d.png")),
    "other proportions": ("wrong_size", lambda f: mask(f / "c.png", 72, 72)),
    "size before rotation": ("wrong_size", lambda f: mask(f / "b.png", 96, 72)),
    "class without a name": ("unknown_class", lambda f: mask(f / "c.png", values=(0, 7))),
    "all ignored": ("nothing_labelled", lambda f: mask(f / "c.png", values=(9,))),
    "all void": ("nothing_labelled", lambda f: mask(f / "c.png", values=(255,))),
    "colours": ("unreadable", lambda f: photo(f / "c.png")),
    "half a file": ("truncated", lambda f: (
        mask(f / "c.png"), (f / "c.png").write_bytes((f / "c.png").read_bytes()[:60]))),
    "empty file": ("empty_file", lambda f: (f / "c.png").write_bytes(b"")),
    "no image": ("not_an_image", lambda f: (f / "c.png").write_text("x")),
    "second of a photo": ("duplicate", lambda f: mask(f / "again/a.png")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_label_is_rejected_and_the_good_one_taken(site: Site, folder: Path, name: str) -> None:
    reason, make = BAD[name]
    mask(folder / "a.png")
    make(folder)
    result = ingest_labels(site, folder, "masks")
    assert (result.files, result.added, result.rejected) == (2, 1, {reason: 1})
    (reject,) = contents(site)["rejects"]
    assert (reject["source"], reject["reason"]) == (str(folder), reason) and reason in REASONS
    assert len(reject["detail"]) > 10
    again = ingest_labels(site, folder, "masks")
    assert (again.added, again.known, again.rejected) == (0, 1, {reason: 1})
    assert contents(site)["rejects"] == [reject]


def test_a_smaller_label_of_the_same_proportions_is_taken_and_counted(site: Site, folder: Path) -> None:
    mask(folder / "a.png", 48, 36)
    mask(folder / "c.png", 96, 71)
    assert ingest_labels(site, folder, "masks") == LabelsResult(2, 2, 0, {}, 2)
    assert load_mask(site, image_id(site, "a.jpg")).shape == (36, 48)


def test_a_changed_label_is_replaced_and_a_mended_one_leaves_the_rejects(site: Site, folder: Path) -> None:
    mask(folder / "a.png")
    mask(folder / "c.png", values=(7,))
    ingest_labels(site, folder, "masks")
    mask(folder / "a.png", values=(2,))
    mask(folder / "c.png", values=(1,))
    assert ingest_labels(site, folder, "masks") == LabelsResult(2, 2, 0, {}, 0, replaced=1)
    assert contents(site)["rejects"] == []
    assert np.unique(load_mask(site, image_id(site, "a.jpg"))) == [2]


@pytest.mark.parametrize("stated", [
    ["background", "scratch"], {"0": "background", "1": "scratch"}, {"background": 0, "scratch": 1},
    {"classes": ["background", "scratch"], "ignore": []}, {"classes": {"background": 0, "scratch": 1}},
])  # fmt: skip
def test_the_ways_to_name_classes(site: Site, folder: Path, stated: Any) -> None:
    (folder / "classes.json").unlink()
    (folder.parent / "classes.json").write_text(json.dumps(stated))  # in the folder above
    mask(folder / "a.png", values=(0, 1, 255))
    ingest_labels(site, folder, "masks")
    with site.connect() as db:
        assert class_names(db) == {0: "background", 1: "scratch"}
    assert IGNORED in load_mask(site, image_id(site, "a.jpg"))  # 255 that nobody named


def test_classes_may_be_named_later_and_renamed(site: Site, folder: Path) -> None:
    (folder / "classes.json").unlink()
    mask(folder / "a.png", values=(0, 1))
    ingest_labels(site, folder, "masks")
    with site.connect() as db:
        assert class_names(db) == {0: "0", 1: "1"}
    for name in ("scrach", "scratch"):
        (folder / "classes.json").write_text(json.dumps(["background", name]))
        assert ingest_labels(site, folder, "masks").added == 1
        with site.connect() as db:
            assert class_names(db) == {0: "background", 1: name}


def test_masks_of_two_folders_must_agree_on_their_classes(site: Site, folder: Path) -> None:
    mask(folder / "a.png", values=(0, 1))
    ingest_labels(site, folder, "masks")
    mask(folder.parent / "other/c.png", values=(0, 1))
    with pytest.raises(
        GenbaError, match="Class 1 is 'rust' here, but 'scratch' in masks that the site has already"
    ):
        ingest_labels(site, folder.parent / "other", "masks", classes={0: "background", 1: "rust"})
    assert (
        ingest_labels(site, folder.parent / "other", "masks", classes={1: "scratch", 0: "background"}).added
        == 1
    )


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(("kind", "make", "message"), [
    ("mask", lambda f: None, "No kind of labels 'mask'. Known: masks, depth"),
    ("masks", lambda f: (f / "a.png").unlink(), "holds no PNG files"),
    ("masks", write("classes.json", "{"), "classes.json is not JSON"),
    ("masks", write("classes.json", '{"classes": {"one": "scratch"}}'), "does not name classes by number"),
    ("masks", write("classes.json", '{"classes": 3}'), "does not name classes by number"),
    ("masks", write("classes.json", '{"classes": ["a"], "ignore": "all"}'), "does not name classes by number"),
    ("depth", lambda f: (f / "depth.json").unlink(), "How many metres is one unit .* metres_per_unit is None"),
    ("depth", write("depth.json", "[1]"), "metres_per_unit is None"),
    ("depth", write("depth.json", '{"metres_per_unit": true}'), "metres_per_unit is True"),
    ("depth", write("depth.json", '{"metres_per_unit": -1}'), "metres_per_unit is -1"),
    ("depth", write("depth.json", '{"metres_per_unit": NaN}'), "metres_per_unit is nan"),
    ("depth", write("depth.json", '{"metres_per_unit": 1, "ignore": ["far"]}'), r"ignore is \['far'\]"),
])  # fmt: skip
def test_labels_that_make_no_sense_as_a_whole(
    site: Site, folder: Path, kind: str, make: Any, message: str
) -> None:
    mask(folder / "a.png")
    make(folder)
    before = contents(site)
    with pytest.raises(GenbaError, match=message) as caught:
        ingest_labels(site, folder, kind)
    assert caught.value.next
    assert contents(site) == before


def test_a_label_that_is_not_there_says_how_to_bring_it(site: Site, folder: Path) -> None:
    photo_id = image_id(site, "a.jpg")
    with pytest.raises(GenbaError, match=r"has no masks\. Next: genba ingest SITE FOLDER --as masks"):
        load_mask(site, photo_id)
    mask(folder / "a.png")
    ingest_labels(site, folder, "masks")
    (folder / "a.png").unlink()
    with pytest.raises(GenbaError, match=r"There is no .*Next: genba ingest"):
        load_mask(site, photo_id)


@pytest.mark.parametrize(("name", "photos", "labels", "kind", "top"), [
    ("steel", "images", "masks", "masks", 3), ("nyuv2", "rgb", "depth", "depth", 10)])  # fmt: skip
def test_real_labels(
    shared: Path, tmp_path: Path, name: str, photos: str, labels: str, kind: str, top: float
) -> None:
    """40 photos with class numbers, or with depth in 255ths of 9.9955 m."""
    folder = shared / "data" / name
    paths = sorted((folder / photos).iterdir())[:40]
    for path in paths:
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{path.stem}.png").symlink_to(folder / labels / f"{path.stem}.png")
    made = makers.site(tmp_path / "site", [folder / photos])
    ingest(made, write_table(tmp_path / "t.csv", [{"image": path.name, "caption": ""} for path in paths]))
    result = ingest_labels(made, tmp_path / "labels", kind, metres_per_unit=9.9955 / 255)
    assert (result.added, result.rejected, result.other_size) == (40, {}, 0)
    with made.connect() as db:
        first = labelled(db, kind)[0]
    found = load_mask(made, first) if kind == "masks" else load_depth(made, first)
    assert 0 <= np.nanmin(found) <= np.nanmax(found) <= top
