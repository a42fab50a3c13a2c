"""Masks from other tools: the pixels are those that COCO's own code and Label Studio's SDK give; damage is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter import brush
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from data.dense_labels import IGNORED, REASONS, LabelsResult, class_names, ingest_labels, labelled, load_mask
from data.errors import GenbaError
from data.ingest import ingest
from data.mask_formats import Drawn, Shape, paint, polygon_pixels, read_drawn
from data.mask_formats_coco import shape_pixels, uncompressed
from data.mask_formats_studio import decode_brush
from data.mask_ingest import numbered
from data.photos import PhotoError
from data.site import Site
from genba import cli
from tests.data import makers
from tests.data.makers import photo

WIDTH, HEIGHT = 96, 72
SQUARE = [8, 8, 40, 8, 40, 40, 8, 40]  # polygon, x and y
masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Photos a and b, and two called c in different folders, 96 x 72 each."""
    photos = tmp_path / "photos"
    for seed, name in enumerate(("a.jpg", "b.jpg", "one/c.jpg", "two/c.jpg")):
        photo(photos / name, seed)
    made = makers.site(tmp_path / "site", [photos])
    ingest(made, photos)
    return made


def image_id(site: Site, uri: str) -> str:
    with site.connect() as db:
        return str(db.value("SELECT image_id FROM images WHERE uri = ?", [uri]))


def rejects(site: Site) -> dict[str, str]:
    with site.connect() as db:
        return {
            row["item"]: row["reason"]
            for row in db.rows("SELECT item, reason FROM rejects WHERE source LIKE '%json'")
        }


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


# COCO


@given(masks)
def test_run_lengths_of_both_kinds(drawn: NDArray[np.bool_]) -> None:
    height, width = drawn.shape
    packed = coco.encode(np.asfortranarray(drawn.astype(np.uint8)))
    compressed = {"size": [height, width], "counts": packed["counts"].decode()}
    assert np.array_equal(shape_pixels(compressed, width, height), drawn)
    plain = {"size": [height, width], "counts": uncompressed(compressed["counts"])}
    assert np.array_equal(shape_pixels(plain, width, height), drawn)
    assert sum(plain["counts"]) == height * width


@given(st.lists(st.tuples(st.floats(0, 12), st.floats(0, 9)), min_size=3, max_size=7))
def test_polygons_are_filled_as_coco_does(points: list[tuple[float, float]]) -> None:
    flat = [value for point in points for value in point]
    expected = coco.decode(coco.merge(coco.frPyObjects([flat, [0, 0, 4, 0, 4, 4]], 9, 12))).astype(bool)
    assert np.array_equal(shape_pixels([flat, [0, 0, 4, 0, 4, 4]], 12, 9), expected)


def test_a_square_by_hand() -> None:
    found = polygon_pixels([1, 1, 3, 1, 3, 3, 1, 3], 5, 4)
    assert found.astype(int).tolist() == [[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "outline",
    [
        [[1, 1, 2, 2]],  # a box, which pycocotools would take for one
        [[1, 1, 2, 2, 3]],
        [[1, 1, 2, float("nan"), 3, 3]],
        [[0, 0, 1e9, 0, 1e9, 1e9]],  # would take all memory
        [1, 1, 2, 2, 3, 3],
        {
            "size": [4, 4],
            "counts": [10, 2],
        },  # less than the photo: the rest would be whatever stood in memory
        {"size": [4, 4], "counts": [10, 20]},
        {"size": [4, 4], "counts": [-4, 20]},
        {"size": [4, 4], "counts": "PPYo1"},
        {"size": [4, 4], "counts": "oooo"},
        {"size": [4, 4], "counts": "0é"},
        {"size": [4, 4]},
        "61X13mN",
    ],
)
def test_damaged_outlines_of_coco(outline: Any) -> None:
    with pytest.raises(PhotoError) as caught:
        shape_pixels(outline, 4, 4)
    assert caught.value.reason == "damaged_shape"


def coco_file(folder: Path, **changed: Any) -> Path:
    """Photo a with a large scratch, a small dent on it, and b where there is nothing."""
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT},
                   {"id": 2, "file_name": "b.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {"image_id": 1, "category_id": 7, "segmentation": [[16, 16, 24, 16, 24, 24, 16, 24]]},
            {"image_id": 1, "category_id": 0, "segmentation": [SQUARE]},
        ],
        "categories": [{"id": 0, "name": "scratch"}, {"id": 7, "name": "dent"}],
        **changed,
    }  # fmt: skip
    return write(folder / "instances.json", content)


def test_coco_becomes_masks_and_nothing_is_added_twice(site: Site, tmp_path: Path) -> None:
    path = coco_file(tmp_path)
    assert ingest_labels(site, path, "masks") == LabelsResult(2, 2, 0, {}, 0)
    with site.connect() as db:
        assert class_names(db) == {
            0: "background",
            1: "scratch",
            7: "dent",
        }  # 0 is nobody's but the background's
    found = load_mask(site, image_id(site, "a.jpg"))
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[8:40, 8:40] = 1
    expected[16:24, 16:24] = 7  # the smaller lies on top, though it comes first in the file
    assert np.array_equal(found, expected)
    assert not load_mask(site, image_id(site, "b.jpg")).any()
    answer = CliRunner().invoke(cli, ["ingest", str(site.root), str(path), "--as", "masks", "--json"])
    assert answer.exit_code == 0, answer.output
    assert (json.loads(answer.output)["added"], json.loads(answer.output)["known"]) == (0, 2)


def test_a_copied_site_has_its_masks(site: Site, tmp_path: Path) -> None:
    ingest_labels(site, coco_file(tmp_path), "masks")
    with site.connect() as db:
        paths = [Path(row["path"]) for row in db.rows("SELECT path FROM dense_labels")]
    assert all(not path.is_absolute() and (site.root / path).is_file() for path in paths)
    site.root.rename(tmp_path / "elsewhere")
    moved = Site.open(tmp_path / "elsewhere")
    assert load_mask(moved, image_id(moved, "a.jpg")).max() == 7


def test_classes_json_decides_on_the_numbers(site: Site, tmp_path: Path) -> None:
    stated = {"classes": {"3": "dent", "4": "scratch", "0": "sound"}, "ignore": [4]}
    write(tmp_path / "classes.json", stated)
    assert ingest_labels(site, coco_file(tmp_path), "masks").added == 2
    assert set(np.unique(load_mask(site, image_id(site, "a.jpg")))) == {IGNORED, 0, 3}
    with site.connect() as db:
        assert class_names(db) == {0: "sound", 3: "dent", 4: "scratch"}


def test_what_is_not_drawn_has_no_label_where_class_0_is_drawn(site: Site, tmp_path: Path) -> None:
    write(tmp_path / "classes.json", ["scratch", "dent"])
    assert ingest_labels(site, coco_file(tmp_path), "masks").rejected == {
        "nothing_labelled": 1
    }  # b has no shape
    assert set(np.unique(load_mask(site, image_id(site, "a.jpg")))) == {IGNORED, 0, 1}


BAD_COCO: dict[str, tuple[str, dict[str, Any]]] = {
    "another size": ("wrong_size", {"images": [{"id": 1, "file_name": "a.jpg", "width": 50, "height": 50}]}),
    "too large": ("too_large", {"images": [{"id": 1, "file_name": "a.jpg", "width": 96000, "height": 72000}]}),
    "run lengths of another size": ("wrong_size", {"annotations": [
        {"image_id": 1, "category_id": 0, "segmentation": {"size": [10, 10], "counts": [100]}}]}),
    "no such photo": ("not_found", {"images": [{"id": 1, "file_name": "z.jpg", "width": 96, "height": 72}]}),
    "which photo": ("ambiguous", {"images": [{"id": 1, "file_name": "c.jpg", "width": 96, "height": 72}]}),
    "a category that is not there": ("unknown_class", {"categories": [{"id": 7, "name": "dent"}]}),
    "a box alone": ("no_shape", {"annotations": [{"image_id": 1, "category_id": 0, "bbox": [1, 1, 5, 5]}]}),
    "damaged": ("damaged_shape", {"annotations": [
        {"image_id": 1, "category_id": 0, "segmentation": [[1, 1, 2, 2]]}]}),
    "an image that is not there": ("not_found", {"images": []}),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_COCO)
def test_a_photo_of_coco_that_cannot_be_used_is_kept_with_its_reason(
    what: str, site: Site, tmp_path: Path
) -> None:
    reason, changed = BAD_COCO[what]
    assert reason in REASONS
    result = ingest_labels(site, coco_file(tmp_path, **changed), "masks")
    assert result.rejected == {reason: 1} and result.files == result.added + 1
    assert list(rejects(site).values()) == [reason]
    coco_file(tmp_path)
    assert ingest_labels(site, tmp_path / "instances.json", "masks").rejected == {} == rejects(site)


def test_a_class_that_classes_json_does_not_name_is_rejected(site: Site, tmp_path: Path) -> None:
    write(tmp_path / "classes.json", {"0": "background", "1": "scratch"})
    assert ingest_labels(site, coco_file(tmp_path), "masks").rejected == {"unknown_class": 1}
    assert rejects(site) == {"a.jpg": "unknown_class"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "holds no masks that are known here"),
        ("[]", "holds no masks that are known here"),
        ('{"images": [{"id": 1}], "annotations": []}', "no complete COCO file: KeyError 'file_name'"),
        ('{"images": [], "annotations": []}', "holds no annotated photo"),
        ('[{"data": {"image": "a.jpg"}}]', "holds no annotated photo"),
    ],
)
def test_files_of_another_kind(content: str, message: str, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    path.write_text(content)
    with pytest.raises(GenbaError, match=message):
        ingest_labels(site, path, "masks")


# Label Studio


def encoded(drawn: NDArray[np.bool_]) -> list[int]:
    """As the SDK does it: RGBA, all four bytes alike."""
    rgba = np.repeat((drawn.astype(np.uint8) * 255).ravel(), 4)
    return list(brush.encode_rle(rgba))


@given(masks)
@settings(max_examples=60)
def test_brush_as_the_sdk_encodes_and_decodes_it(drawn: NDArray[np.bool_]) -> None:
    height, width = drawn.shape
    rle = encoded(drawn)
    theirs = np.reshape(brush.decode_rle(rle), (height, width, 4))[..., 3] > 127
    assert np.array_equal(decode_brush(rle, width, height), drawn) and np.array_equal(theirs, drawn)


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(4))))
@settings(max_examples=60)
def test_brush_of_any_colour_and_soft_edges(rgba: NDArray[np.uint8]) -> None:
    """Values that all differ are written one by one; half covered counts as painted."""
    rle = list(brush.encode_rle(rgba.ravel()))
    assert np.array_equal(decode_brush(rle, *rgba.shape[1::-1]), rgba[..., 3] >= 128)


def test_brush_values_written_one_by_one() -> None:
    """The other kind of block, which the SDK's encoder never makes but the browser's does: four values of 8 bits."""
    bits = f"{8:032b}" + f"{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    bits += "0" + "00" + f"{3:03b}" + "".join(f"{n:08b}" for n in (9, 8, 7, 200))  # one pixel, painted
    bits += "1" + "00" + f"{3:03b}" + f"{0:08b}"  # one that is not
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]
    assert brush.decode_rle(rle).tolist() == [9, 8, 7, 200, 0, 0, 0, 0]
    assert decode_brush(rle, 2, 1).tolist() == [[True, False]]


@pytest.mark.parametrize("spoil", [lambda r: r[:-2], lambda r: r[:3], lambda r: [], lambda r: [999, *r[1:]],
                                   lambda r: ["a"], lambda r: None, lambda r: [0, 0, 0, 9, *r[4:]]])  # fmt: skip
def test_damaged_brush(spoil: Callable[[list[int]], Any]) -> None:
    drawn = np.eye(6, dtype=bool)
    with pytest.raises(PhotoError, match="A brush stroke cannot be read") as caught:
        decode_brush(spoil(encoded(drawn)), 6, 6)
    assert caught.value.reason == "damaged_shape"


def region(label: str, **value: Any) -> dict[str, Any]:
    kind = "brushlabels" if "rle" in value else "polygonlabels"
    if "rle" in value:
        value["format"] = "rle"
    return {"id": label, "type": kind, "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
            "value": {**value, kind: [label]}, "from_name": "tag", "to_name": "image"}  # fmt: skip


def task(image: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"image": image}, "annotations": [{"id": 1, "result": list(results)}], **more}


def test_label_studio_becomes_masks(site: Site, tmp_path: Path) -> None:
    """Brush and polygon together, from an upload; an empty annotation; cancelled ones and open tasks do not count."""
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    drawn[10:20, 30:60] = True
    points = [[25, 25], [50, 25], [50, 50], [25, 50]]  # per cent: 24 to 48, 18 to 36
    words = {"id": "w", "type": "choices", "value": {"choices": ["fine"]}}
    rust, dent = region("rust", rle=encoded(drawn)), region("dent", points=points)
    older = {"id": 1, "result": [dent], "updated_at": "2026-01-01"}
    newer = {"id": 2, "result": [rust, dent, words], "updated_at": "2026-02-01"}
    cancelled = {"id": 3, "result": [], "was_cancelled": True, "updated_at": "2026-03-01"}
    path = write(tmp_path / "export.json", [
        {"id": 1, "data": {"note": "x", "image": "/data/upload/3/1a2b3c4d-a.jpg"},
         "annotations": [newer, older, cancelled]},
        task("/data/local-files/?d=photos/b.jpg"),
        {"id": 9, "data": {"image": "one/c.jpg"}, "annotations": []},
    ])  # fmt: skip
    assert ingest_labels(site, path, "masks") == LabelsResult(2, 2, 0, {}, 0)
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[18:36, 24:48] = 1  # dent, by the alphabet
    expected[drawn] = 2  # rust has fewer pixels
    assert np.array_equal(load_mask(site, image_id(site, "a.jpg")), expected)
    assert not load_mask(site, image_id(site, "b.jpg")).any()
    ids = sorted(image_id(site, uri) for uri in ("a.jpg", "b.jpg"))
    with site.connect() as db:
        assert labelled(db, "masks") == ids
        assert class_names(db) == {0: "background", 1: "dent", 2: "rust"}


def test_a_second_file_keeps_the_numbers_of_the_first(site: Site, tmp_path: Path) -> None:
    ingest_labels(site, coco_file(tmp_path), "masks")
    path = write(
        tmp_path / "export.json", [task("one/c.jpg", region("dent", points=[[0, 0], [9, 0], [9, 9]]))]
    )
    assert ingest_labels(site, path, "masks").added == 1
    assert set(np.unique(load_mask(site, image_id(site, "one/c.jpg")))) == {0, 7}


def test_a_class_that_no_mask_of_the_site_has_is_asked_for_and_replaces_nothing(
    site: Site, tmp_path: Path
) -> None:
    """A slip of the pen in Label Studio, or in another COCO file; classes.json says that it is meant."""
    ingest_labels(site, coco_file(tmp_path), "masks")
    before = load_mask(site, image_id(site, "a.jpg"))
    drawn = [task("a.jpg", region("dent", points=[[0, 0], [9, 0], [9, 9]]),
                  region("bent", points=[[50, 50], [90, 50], [90, 90]]))]  # fmt: skip
    (tmp_path / "studio").mkdir()
    path = write(tmp_path / "studio" / "export.json", drawn)
    assert ingest_labels(site, path, "masks").rejected == {"unknown_class": 1}
    assert np.array_equal(load_mask(site, image_id(site, "a.jpg")), before)
    with site.connect() as db:
        assert class_names(db) == {0: "background", 1: "scratch", 7: "dent"}
        detail = str(db.value("SELECT detail FROM rejects"))
    stated = '{"0": "background", "1": "scratch", "2": "bent", "7": "dent"}'
    assert f"write {stated} to {path.parent / 'classes.json'}" in detail
    other = coco_file(
        tmp_path / "studio", categories=[{"id": 0, "name": "scratch"}, {"id": 7, "name": "alien"}]
    )
    assert ingest_labels(site, other, "masks").rejected == {"unknown_class": 1}
    (path.parent / "classes.json").write_text(stated)
    result = ingest_labels(site, path, "masks")
    assert (result.added, result.replaced, result.rejected) == (1, 1, {})
    assert set(np.unique(load_mask(site, image_id(site, "a.jpg")))) == {0, 2, 7}


def test_a_brush_region_whose_label_stands_in_a_second_result(site: Site, tmp_path: Path) -> None:
    """Tags Brush and Labels give two results of one id."""
    shape = region("x", rle=encoded(np.ones((HEIGHT, WIDTH), bool)))
    del shape["value"]["brushlabels"]
    label = {"id": "x", "type": "labels", "value": {"labels": ["rust"]}}
    path = write(tmp_path / "export.json", [task("a.jpg", {**shape, "type": "brush"}, label)])
    assert ingest_labels(site, path, "masks").added == 1
    assert set(np.unique(load_mask(site, image_id(site, "a.jpg")))) == {1}


BOX = {"id": "b", "type": "rectanglelabels", "original_width": 96, "original_height": 72,
       "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["rust"]}}  # fmt: skip
TRIANGLE = [[1, 1], [9, 1], [9, 9]]
BAD_TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "a box": ("no_shape", task("a.jpg", BOX)),
    "no such photo": ("not_found", task("z.jpg", region("rust", points=TRIANGLE))),
    "no photo at all": ("not_found", task("no address", region("rust", points=TRIANGLE))),
    "which photo": ("ambiguous", task("c.jpg", region("rust", points=TRIANGLE))),
    "another size": ("wrong_size", task("a.jpg", {**region("rust", points=TRIANGLE), "original_width": 50})),
    "two sizes": ("wrong_size", task("a.jpg", region("rust", points=TRIANGLE),
                                     {**region("dent", points=TRIANGLE), "original_width": 50})),
    "turned": ("damaged_shape", task("a.jpg", {**region("rust", points=TRIANGLE), "image_rotation": 90})),
    "two points": ("damaged_shape", task("a.jpg", region("rust", points=TRIANGLE[:2]))),
    "damaged": ("damaged_shape", task("a.jpg", region("rust", rle=[1, 2, 3]))),
    "no label": ("unknown_class", task("a.jpg", {**region("rust", points=TRIANGLE), "value": {"points": TRIANGLE}})),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_TASKS)
def test_a_task_that_cannot_be_used_is_kept_with_its_reason(what: str, site: Site, tmp_path: Path) -> None:
    reason, bad = BAD_TASKS[what]
    path = write(tmp_path / "export.json", [bad, {**task("b.jpg", region("rust", points=TRIANGLE)), "id": 6}])
    result = ingest_labels(site, path, "masks")
    assert (result.added, result.rejected) == (1, {reason: 1})
    assert list(rejects(site).values()) == [reason] and next(iter(rejects(site))).startswith("task 5")


# Numbers and painting


def test_numbers_of_classes() -> None:
    assert numbered({"scratch": 3, "dent": 0}, {}) == {0: "background", 1: "dent", 3: "scratch"}
    assert numbered({"b": None, "a": None}, {}) == {0: "background", 1: "a", 2: "b"}
    assert numbered({"背景": 0, "傷": 1}, {}) == {0: "背景", 1: "傷"}
    assert numbered({"dent": 1, "rust": 255}, {0: "ground", 1: "rust"}) == {0: "ground", 1: "rust", 2: "dent"}
    assert numbered({"a": 2, "b": None}, {}) == {0: "background", 1: "b", 2: "a"}


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.none() | st.integers(-1, 300), max_size=8),
       st.dictionaries(st.integers(0, 254), st.text(min_size=1, max_size=3), max_size=4))  # fmt: skip
def test_every_class_has_one_number(labels: dict[str, int | None], known: dict[int, str]) -> None:
    found = numbered(labels, known)
    assert set(labels) <= set(found.values()) and all(found[number] == name for number, name in known.items())
    assert 0 in found and (255 not in found or 255 in known) and all(number >= 0 for number in found)


def test_many_classes_take_a_png_of_16_bits(site: Site, tmp_path: Path) -> None:
    write(tmp_path / "classes.json", {"0": "background", "1": "scratch", "300": "dent"})
    ingest_labels(site, coco_file(tmp_path), "masks")
    assert set(np.unique(load_mask(site, image_id(site, "a.jpg")))) == {0, 1, 300}
    write(tmp_path / "classes.json", {"0": "background", "1": "scratch", "70000": "dent"})
    with pytest.raises(GenbaError, match="Class numbers are 0 to 65535"):
        ingest_labels(site, tmp_path / "instances.json", "masks")


def test_a_label_without_a_number_is_not_painted() -> None:
    drawn = Drawn("x", (), 2, 2, [Shape("dent", lambda: np.ones((2, 2), bool))])
    with pytest.raises(PhotoError, match=r"Class \['dent'\] is not named"):
        paint(drawn, {"scratch": 1})
    assert paint(drawn, {"dent": 4}).tolist() == [[4, 4], [4, 4]]


def test_an_export_that_the_sdk_itself_made(tmp_path: Path) -> None:
    """Label Studio's own brush mask of a picture, through the file."""
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[5:9, 7:20] = 255
    Image.fromarray(picture).save(tmp_path / "mask.png")
    rle, width, height = brush.image2rle(str(tmp_path / "mask.png"))
    path = write(tmp_path / "export.json", [task("a.jpg", region("rust", rle=[int(one) for one in rle]))])
    (drawn,) = read_drawn(path)
    assert (width, height) == (WIDTH, HEIGHT)
    assert np.array_equal(drawn.shapes[0].pixels(), picture > 0)
