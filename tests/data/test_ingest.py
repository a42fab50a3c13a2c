"""Ingest: what is wrong is named and counted, the rest is in the store, and doing it again changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from PIL import ImageEnhance

from data.errors import GenbaError
from data.ingest import MAX_CAPTION, REASONS, IngestResult, clean_caption, ingest, ingest_lock
from data.jobs import JobCancelled
from data.site import Site
from tests.conftest import CHECKOUT
from tests.data import makers
from tests.data.makers import contents, photo, picture
from tests.data.test_photos import BROKEN
from tests.data.test_readers import write_table


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photo root with a.jpg, b.jpg and c.jpg, which differ."""
    for seed, name in enumerate("abc"):
        photo(tmp_path / "photos" / f"{name}.jpg", seed)
    return tmp_path / "photos"


@pytest.fixture
def site(tmp_path: Path, photos: Path) -> Site:
    return makers.site(tmp_path / "site", [photos])


def table(photos: Path, *rows: tuple[str, str], name: str = "t.csv") -> Path:
    return write_table(photos / name, [{"image": image, "caption": caption} for image, caption in rows])


def text(photos: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = photos / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def link(at: Path, to: Path) -> str:
    at.symlink_to(to)
    return at.name


# --- rows that are rejected: name -> (expected reason, what makes the source); a good row always follows ------------

GOOD = ("c.jpg", "a good row")
BAD_ROWS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    **{f"photo {name}": (
        {"pipe.jpg": "not_found", "folder.jpg": "not_found"}.get(name, reason),
        lambda p, name=name, make=make: (make(p / name), table(p, (name, "x"), GOOD))[1])
       for name, (reason, make) in BROKEN.items()},
    "path above the root": ("outside_root", lambda p: (
        photo(p.parent / "out.jpg"), table(p, ("../out.jpg", "x"), GOOD))[1]),
    "absolute path outside": ("not_found", lambda p: table(p, ("/no/such/place/a.jpg", "x"), GOOD)),
    "system file": ("outside_root", lambda p: table(p, ("/etc/passwd", "x"), GOOD)),
    "link out of the root": ("outside_root", lambda p: table(
        p, (link(p / "l.jpg", photo(p.parent / "out.jpg")), "x"), GOOD)),
    "link to nothing": ("not_found", lambda p: table(p, (link(p / "l.jpg", p / "gone.jpg"), "x"), GOOD)),
    "address": ("not_found", lambda p: table(p, ("https://example.org/a.jpg", "x"), GOOD)),
    "very long name": ("not_found", lambda p: table(p, ("a" * 5000 + ".jpg", "x"), GOOD)),
    "zero byte in the name": ("not_found", lambda p: text(
        p, '{"image": "a\\u0000.jpg", "caption": "x"}\n{"image": "c.jpg", "caption": "y"}', "t.jsonl")),
    "caption of a novel": ("caption_too_long", lambda p: table(p, ("a.jpg", "word " * MAX_CAPTION), GOOD)),
    "same row twice": ("duplicate", lambda p: table(p, GOOD, GOOD)),
    "same caption but for spaces and width": ("duplicate", lambda p: table(
        p, ("c.jpg", "Ａ good  row "), ("c.jpg", "A good row"))),
    "same photo under two names": ("duplicate", lambda p: (
        (p / "copy.jpg").write_bytes((p / "c.jpg").read_bytes()), table(p, GOOD, ("copy.jpg", GOOD[1])))[1]),
    "no photo named": ("bad_row", lambda p: table(p, ("", "words without a photo"), GOOD)),
    "empty row between": ("empty_row", lambda p: table(p, ("", ""), GOOD)),
    "separator in a caption": ("bad_row", lambda p: text(p, "image,caption\na.jpg,steel, dented\nc.jpg,good\n")),
    "line break in a caption": ("bad_row", lambda p: text(p, "image,caption\nand dented\nc.jpg,good\n")),
    "quotation mark inside": ("bad_row", lambda p: text(p, 'image,caption\na.jpg,"a 5" pipe"\nc.jpg,good\n')),
    "half a JSON line": ("bad_row", lambda p: text(p, '{"image": "c.jpg", "caption": "y"}\n{"image": "a.j', "t.jsonl")),
    "JSON list": ("bad_row", lambda p: text(p, '{"image": "c.jpg", "caption": "y"}\n["a.jpg", "x"]', "t.jsonl")),
    "JSON number": ("bad_row", lambda p: text(p, '{"image": "c.jpg", "caption": "y"}\n17', "t.jsonl")),
    "JSON not UTF-8": ("bad_row", lambda p: text(
        p, b'{"image": "c.jpg", "caption": "y"}\n{"image": "a.jpg", "caption": "\xff"}', "t.jsonl")),
    "JSON photo is an object": ("bad_row", lambda p: text(
        p, '{"image": {"bytes": null}, "caption": "x"}\n{"image": "c.jpg", "caption": "y"}', "t.jsonl")),
    "JSON caption is an object": ("bad_row", lambda p: text(
        p, '{"image": "a.jpg", "caption": {"en": "x"}}\n{"image": "c.jpg", "caption": "y"}', "t.jsonl")),
}  # fmt: skip


def test_there_are_many_kinds_of_bad_rows() -> None:
    assert len(BAD_ROWS) >= 30
    assert {reason for reason, _ in BAD_ROWS.values()} == set(REASONS)


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_rejected_with_its_reason_and_the_good_one_taken(
    site: Site, photos: Path, name: str
) -> None:
    reason, make = BAD_ROWS[name]
    source = make(photos)
    result = ingest(site, source)
    assert (result.rows, result.added, result.rejected) == (2, 1, {reason: 1})
    (reject,) = contents(site)["rejects"]
    assert (reject["source"], reject["reason"]) == (str(source), reason)
    assert reject["item"].startswith("line ") and len(reject["detail"]) > 10
    again = ingest(site, source)
    assert (again.added, again.known, again.images_added, again.rejected) == (0, 1, 0, {reason: 1})
    assert contents(site)["rejects"] == [reject]


# --- sources that are refused as a whole, before anything is written -----------------------------------------------


def workbook(path: Path, *lines: list[Any]) -> Path:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)
    return path


BAD_SOURCES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "absent": ("There is no", lambda p: p / "absent.csv"),
    "empty folder": ("holds no photos", lambda p: (p / "new").mkdir() or p / "new"),
    "folder outside the roots": ("lies under no photo root", lambda p: photo(p.parent / "other/a.jpg").parent),
    "empty table": ("no column for the photo", lambda p: text(p, "")),
    "table without rows": ("holds no rows", lambda p: text(p, "image,caption\n")),
    "table without names": (r"no column for the photo.* Known: a\.jpg, a bolt", lambda p: text(p, "a.jpg,a bolt\n")),
    "no caption column": (r"no column for the caption\. Known: image, size", lambda p: text(
        p, "image,size\na.jpg,3\n")),
    "quote never closed": (r"opened on line 3 and never closed, so the lines up to 5", lambda p: text(
        p, 'image,caption\na.jpg,x\nb.jpg,"y\nc.jpg,z\nc.jpg,w\n')),
    "no encoding": ("neither UTF-8 nor CP932", lambda p: text(p, b"image,caption\na.jpg,\xff\xfe\xfd\xa0\x81\n")),
    "old Excel": ("not an Excel workbook", lambda p: text(p, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99, "t.xlsx")),
    "workbook without names": ("no column for the photo", lambda p: workbook(p / "t.xlsx", ["a.jpg", "x"])),
    "not Parquet": ("not a Parquet file", lambda p: text(p, "image,caption", "t.parquet")),
    "Parquet of bytes": (r"column 'image' holds binary, not file names", lambda p: write_table(
        p / "t.parquet", [{"image": b"\xff\xd8", "caption": "x"}])),
    "unknown ending": ("cannot be told from its name", lambda p: text(p, "x", "t.pdf")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_a_bad_source_is_refused_and_nothing_written(site: Site, photos: Path, name: str) -> None:
    message, make = BAD_SOURCES[name]
    source = make(photos)
    before = contents(site)
    with pytest.raises(GenbaError, match=message) as caught:
        ingest(site, source)
    assert caught.value.next or caught.value.choices
    assert contents(site) == before


# --- caption files beside the photos -------------------------------------------------------------------------------

BAD_SIDECARS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "caption without photo": ("not_found", lambda p: (p / "d.txt").write_text("a bolt")),
    "caption in no encoding": ("bad_row", lambda p: (
        photo(p / "d.jpg", 9), (p / "d.txt").write_bytes(b"\xff\xa0\x81"))),
    "caption of a novel": ("caption_too_long", lambda p: (
        photo(p / "d.jpg", 9), (p / "d.txt").write_text("word " * MAX_CAPTION))),
    "broken photo with a caption": ("not_an_image", lambda p: (
        (p / "d.jpg").write_text("x"), (p / "d.txt").write_text("a bolt"))),
    "link out of the root": ("outside_root", lambda p: link(p / "d.jpg", photo(p.parent / "out.jpg", 9))),
    "copy of another photo": ("duplicate", lambda p: (p / "d.jpg").write_bytes((p / "c.jpg").read_bytes())),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SIDECARS)
def test_a_bad_file_in_a_folder_is_rejected_and_the_others_taken(site: Site, photos: Path, name: str) -> None:
    reason, make = BAD_SIDECARS[name]
    (photos / "a.txt").write_text("a nut")
    make(photos)
    result = ingest(site, photos, "sidecar")
    assert (result.rows, result.added, result.missing, result.rejected) == (4, 1, 2, {reason: 1})
    (reject,) = contents(site)["rejects"]
    assert reject["reason"] == reason and reject["item"].startswith("d.")
    assert ingest(site, photos, "sidecar").rejected == {reason: 1}
    assert contents(site)["rejects"] == [reject]


# --- what goes in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.xlsx", "t.jsonl", "t.parquet"])
def test_every_format_gives_the_same_pairs(site: Site, photos: Path, name: str) -> None:
    rows = [
        {"画像": "a.jpg", "説明": " 銅のボルト ", "ライン": "L3"},
        {"画像": "b.jpg", "説明": "a nut", "ライン": ""},
    ]
    result = ingest(site, write_table(photos / name, rows, separator="\t" if name == "t.tsv" else ","))
    assert result == IngestResult(rows=2, added=2, known=0, missing=0, rejected={}, images_added=2)
    found = {pair["caption"]: pair for pair in contents(site)["pairs"]}
    assert set(found) == {"銅のボルト", "a nut"}
    assert found["銅のボルト"]["language"] == "ja" and found["a nut"]["language"] == "en"
    assert found["銅のボルト"]["extra"] == {"ライン": "L3"} and found["a nut"]["extra"] == {}
    assert {pair["origin"] for pair in found.values()} == {"legacy"}


def test_cp932_as_japanese_spreadsheets_write_it(site: Site, photos: Path) -> None:
    photo(photos / "写真①.jpg", 7)
    source = text(photos, '画像,キャプション\r\n写真①.jpg,"表面に㎜単位の傷、髙さ"\r\n'.encode("cp932"))
    assert ingest(site, source).added == 1
    assert contents(site)["pairs"][0]["caption"] == "表面に㎜単位の傷、髙さ"


def test_a_photo_without_caption_is_missing_until_one_comes(site: Site, photos: Path) -> None:
    text(photos, "a bolt", "a.txt")
    result = ingest(site, photos)
    assert (result.added, result.missing, result.rows) == (1, 2, 3)
    missing = [pair for pair in contents(site)["pairs"] if pair["state"] == "missing"]
    assert [(pair["caption"], pair["language"]) for pair in missing] == [("", "und")] * 2
    (photos / "a.txt").unlink()
    source = table(photos, ("b.jpg", "a nut"), ("b.jpg", ""), ("a.jpg", ""))
    result = ingest(site, source)
    assert (result.added, result.known, result.missing) == (1, 2, 0)
    assert Counter(pair["state"] for pair in contents(site)["pairs"]) == {"captioned": 2, "missing": 1}


def test_a_missing_caption_that_somebody_works_on_stays(site: Site, photos: Path) -> None:
    ingest(site, photos, "sidecar")
    with site.connect() as db:
        pair = db.value("SELECT pair_id FROM pairs JOIN images USING (image_id) WHERE uri = 'a.jpg'")
        db.execute("INSERT INTO leases VALUES (?, 'sato', now()::TIMESTAMP)", [pair])
    ingest(site, table(photos, ("a.jpg", "a bolt"), ("b.jpg", "a nut")))
    states = Counter(pair["state"] for pair in contents(site)["pairs"])
    assert states == {"captioned": 2, "missing": 2}  # a, which is leased, and c


def test_order_of_rows_does_not_matter_for_what_is_missing(
    site: Site, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ingest.BATCH_ROWS", 1)
    result = ingest(site, table(photos, ("a.jpg", ""), ("a.jpg", "a bolt"), ("a.jpg", ""), ("b.jpg", "")))
    assert (result.rows, result.added, result.missing, result.known, result.rejected) == (
        4,
        1,
        1,
        1,
        {"duplicate": 1},
    )
    assert Counter(pair["state"] for pair in contents(site)["pairs"]) == {"captioned": 1, "missing": 1}


def test_one_photo_under_two_names_keeps_all_its_captions(site: Site, photos: Path) -> None:
    (photos / "copy.jpg").write_bytes((photos / "a.jpg").read_bytes())
    result = ingest(
        site, table(photos, ("a.jpg", "a bolt"), ("copy.jpg", "a steel bolt"), ("copy.jpg", "ボルト"))
    )
    assert (result.added, result.images_added) == (3, 1)


def test_photos_are_found_under_roots_and_beside_the_source(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (
        photo(one / "x/a.jpg", 1),
        photo(two / "b.jpg", 2),
        photo(two / "deep/images/c.jpg", 3),
        photo(two / "deep/d.jpg", 4),
    )
    photo(one / unicodedata.normalize("NFD", "が.jpg"), 5)
    site = makers.site(tmp_path / "site", [one, two])
    names = ("x/a.jpg", "b.jpg", "c.jpg", "d.jpg", "が.jpg", r"x\a.jpg", str(two / "b.jpg"))
    source = table(two / "deep", *((name, f"caption {n}") for n, name in enumerate(names)))
    assert ingest(site, source).rejected == {}
    found = {
        (image["root"], unicodedata.normalize("NFC", image["uri"])) for image in contents(site)["images"]
    }
    assert found == {(0, "x/a.jpg"), (1, "b.jpg"), (1, "deep/images/c.jpg"), (1, "deep/d.jpg"), (0, "が.jpg")}
    for image in contents(site)["images"]:
        assert site.photo_path(image["root"], image["uri"]).is_file()


def test_rotated_photos_have_their_upright_size(site: Site, photos: Path) -> None:
    photo(photos / "turned.jpg", 9, 96, 72, exif=makers.exif(6, "2023:01:02 03:04:05", gps=True))
    ingest(site, table(photos, ("turned.jpg", "x")))
    (image,) = contents(site)["images"]
    assert (image["width"], image["height"], str(image["taken_at"])) == (72, 96, "2023-01-02 03:04:05")


@pytest.mark.parametrize(("given", "kept"), [
    (" a\u0000b\u0007 ", "ab"), ("\u200b\ufeff", ""), ("　", ""),
    ("two\nlines", "two\nlines"), ("👨\u200d🔧", "👨\u200d🔧")])  # fmt: skip
def test_captions_are_stripped_of_what_cannot_be_seen(given: str, kept: str) -> None:
    assert clean_caption(given) == kept


def test_a_mended_photo_leaves_the_rejects(site: Site, photos: Path) -> None:
    text(photos, "no photo", "d.jpg")
    source = table(photos, ("d.jpg", "x"), GOOD)
    assert ingest(site, source).rejected == {"not_an_image": 1}
    photo(photos / "d.jpg", 8)
    result = ingest(site, source)
    assert (result.added, result.known, result.rejected) == (1, 1, {})
    assert contents(site)["rejects"] == []


def test_a_renamed_photo_is_followed_and_a_replaced_one_noted(site: Site, photos: Path) -> None:
    ingest(site, table(photos, ("a.jpg", "a bolt"), ("b.jpg", "a nut")))
    (photos / "a.jpg").rename(photos / "new.jpg")
    photo(photos / "b.jpg", 99)
    result = ingest(site, table(photos, ("new.jpg", "a bolt"), ("b.jpg", "a nut")))
    assert (result.added, result.known, result.images_added) == (1, 1, 1)
    assert [image["uri"] for image in contents(site)["images"]].count("new.jpg") == 1
    with site.connect() as db:
        (event,) = db.rows("SELECT detail FROM events WHERE what = 'photo.replaced'")
    assert event["detail"]["uri"] == "b.jpg"


def test_only_one_ingest_at_a_time(site: Site, photos: Path) -> None:
    with ingest_lock(site), pytest.raises(GenbaError, match="Another ingest"):
        ingest(site, table(photos, GOOD))


def test_progress_is_told_and_may_stop_it(site: Site, photos: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    source = table(photos, *(("a.jpg", f"caption {n}") for n in range(50)))
    ingest(site, source, progress=lambda done, total=None, message="": seen.append((done, total)))
    assert seen[-1] == (50, 50) and seen == sorted(seen)

    def stop(done: int, total: int | None = None, message: str = "") -> None:
        raise JobCancelled("x")

    with pytest.raises(JobCancelled):
        ingest(site, source, progress=stop)
    assert ingest(site, source).known == 50


# --- groups and split ----------------------------------------------------------------------------------------------


def groups(site: Site) -> dict[str, tuple[str, str]]:
    return {image["uri"]: (image["group_id"], image["split"]) for image in contents(site)["images"]}


def test_copies_of_a_photo_share_group_and_split(site: Site, photos: Path) -> None:
    original = picture(1, 640, 480)
    original.save(photos / "o.jpg", quality=95)
    original.save(photos / "quality.jpg", quality=40)
    original.resize((320, 240)).save(photos / "small.png")
    ImageEnhance.Brightness(original).enhance(1.1).save(photos / "bright.jpg")
    original.save(photos / "turned.jpg", exif=makers.exif(3))
    photo(photos / "other.jpg", 1000, 640, 480)
    ingest(site, photos, "sidecar")
    found = groups(site)
    assert len({found[name] for name in ("o.jpg", "quality.jpg", "small.png", "bright.jpg", "b.jpg")}) == 1
    assert len({found[name][0] for name in ("o.jpg", "turned.jpg", "other.jpg", "a.jpg", "c.jpg")}) == 5


def test_a_later_copy_takes_the_split_of_its_group(site: Site, photos: Path) -> None:
    for seed in range(20, 60):
        photo(photos / f"{seed}.jpg", seed)
    ingest(site, photos, "sidecar")
    before = groups(site)
    for seed in range(20, 60):
        photo(photos / f"again{seed}.jpg", seed, quality=60)
    ingest(site, photos, "sidecar")
    after = groups(site)
    assert {split for _, split in before.values()} == {"train", "val", "test"}
    assert all(after[name] == where for name, where in before.items())
    assert all(after[f"again{seed}.jpg"] == before[f"{seed}.jpg"] for seed in range(20, 60))


def test_group_by_keeps_a_work_order_on_one_side(tmp_path: Path, photos: Path) -> None:
    site = makers.site(tmp_path / "site2", [photos], group_by="order")
    rows = []
    for seed in range(60):
        photo(photos / f"{seed}.jpg", seed + 100)
        rows.append({"image": f"{seed}.jpg", "caption": f"part {seed}", "order": f"W{seed % 6}"})
    ingest(site, write_table(photos / "t.csv", rows[:40]))
    ingest(site, write_table(photos / "u.csv", rows))
    found = groups(site)
    assert len(set(found.values())) == 6
    for order in range(6):
        assert len({found[f"{seed}.jpg"] for seed in range(order, 60, 6)}) == 1


def test_group_by_that_no_row_has_is_a_mistake(tmp_path: Path, photos: Path) -> None:
    site = makers.site(tmp_path / "site2", [photos], group_by="oder")
    rows = [{"image": "a.jpg", "caption": "x", "order": "1"}]
    with pytest.raises(GenbaError, match=r"no column 'oder', which photos\.group_by names\. Known: order"):
        ingest(site, write_table(photos / "t.csv", rows))


# --- killed half-way -----------------------------------------------------------------------------------------------

SLOW_INGEST = """
import sys, time
import data.ingest
from data.site import Site
data.ingest.BATCH_ROWS = 10
def progress(done, total=None, message=""):
    print(done, flush=True)
    time.sleep(0.05)
data.ingest.ingest(Site.open(sys.argv[1]), sys.argv[2], progress=progress)
"""  # fmt: skip


def test_killed_half_way_and_run_again_equals_uninterrupted(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for n in range(80):
        photo(photos / f"{n}.jpg", 200 + n % 60, quality=95 - n // 60 * 40)  # the last 20 are copies
        rows.append((f"{n}.jpg", f"caption {n % 70}"))
    source = table(photos, *rows, ("gone.jpg", "x"), rows[3])
    killed, whole = (makers.site(tmp_path / name, [photos]) for name in ("killed", "whole"))
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_INGEST, str(killed.root), str(source)], cwd=CHECKOUT, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    while int(process.stdout.readline()) < 35:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    half = len(contents(killed)["pairs"])
    assert 0 < half < 80
    monkeypatch.setattr("data.ingest.BATCH_ROWS", 10)
    result = ingest(killed, source)
    assert (result.added, result.known, result.rejected) == (
        80 - half,
        half,
        {"not_found": 1, "duplicate": 1},
    )
    ingest(whole, source)
    assert contents(killed) == contents(whole)


# --- real photos ---------------------------------------------------------------------------------------------------


def test_inspection_photos(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/inspection"
    site = makers.site(tmp_path / "site", [folder])
    started = time.monotonic()
    result = ingest(site, folder)
    seconds = time.monotonic() - started
    print(f"{result.rows / seconds:.0f} rows/s, {result.images_added / seconds:.0f} photos/s")
    # 407 records equal another one in every field, 424 more have the same photo and caption but, e.g., other boxes
    assert result == IngestResult(2788, 1957, 0, 0, {"duplicate": 831}, 1669)
    assert seconds < 60
    again = ingest(site, folder)
    assert (again.added, again.known, again.images_added) == (0, 1957, 0)
    sizes = Counter(image["group_id"] for image in contents(site)["images"])
    assert 400 < len(sizes) < 700 and max(sizes.values()) <= 15
    splits = Counter(image["split"] for image in contents(site)["images"])
    assert splits["train"] > splits["test"] > splits["val"] > 100


@pytest.mark.parametrize(("name", "photos"), [("steel/images", 1117), ("nyuv2/rgb", 725)])
def test_different_photos_are_not_grouped(shared: Path, tmp_path: Path, name: str, photos: int) -> None:
    folder = shared / "data" / name
    site = makers.site(tmp_path / "site", [folder])
    assert ingest(site, folder).missing == photos
    assert len({image["group_id"] for image in contents(site)["images"]}) >= photos - 2
