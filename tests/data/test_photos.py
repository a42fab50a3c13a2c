"""Decoding: upright, RGB, whole or refused with the reason."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.photos import PHOTO_REASONS, PhotoError, open_photo, read_map, read_photo_facts, read_size
from tests.data.makers import exif, photo, picture


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "LA", "RGBA", "PA", "I;16", "CMYK", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.tif" if mode in ("F", "PA") else "a.png")
    grey = np.asarray(picture(1).convert("L"))
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif mode == "F":
        Image.fromarray(grey.astype(np.float32) * 1000).save(path)
    else:
        picture(1).convert("RGBA" if mode == "PA" else mode).save(path)
    found = open_photo(path)
    assert (found.mode, found.size) == ("RGB", (96, 72))
    if mode in ("L", "I;16"):
        assert np.array_equal(np.asarray(found.convert("L")), grey)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert open_photo(tmp_path / "a.png").getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "bmp", "gif", "avif", "jp2"])
def test_every_format(tmp_path: Path, ending: str) -> None:
    assert open_photo(photo(tmp_path / f"a.{ending}")).size == (96, 72)
    assert read_photo_facts(tmp_path / f"a.{ending}", 1).width == 96


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    path = photo(tmp_path / "a.png", exif=exif(orientation))
    with Image.open(path) as raw:
        expected = ImageOps.exif_transpose(raw)
    found = open_photo(path)
    assert np.array_equal(np.asarray(found), np.asarray(expected))
    facts = read_photo_facts(path, 1)
    assert (facts.width, facts.height) == found.size == read_size(path)


@pytest.mark.parametrize("size", [(2400, 1800), (1801, 2399), (97, 1201), (640, 480)])
@pytest.mark.parametrize("asked", [32, 64, 224, 225, 480, 1800])
def test_a_scaled_jpeg_is_never_smaller_than_asked(tmp_path: Path, size: tuple[int, int], asked: int) -> None:
    path = photo(tmp_path / "a.jpg", 1, *size)
    found = open_photo(path, shortest_side=asked)
    assert min(found.size) >= min(asked, *size)
    too_large = min(found.size) > 2.1 * asked
    assert not too_large or min(found.size) == -(-min(size) // 8)  # no smaller scale than 1/8
    assert abs(found.width / found.height - size[0] / size[1]) < 0.1


def test_max_side_shrinks_and_never_enlarges(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", 1, 1000, 500, exif=exif(6))
    assert open_photo(path, max_side=100).size == (50, 100)
    assert open_photo(path, max_side=5000).size == (500, 1000)


def test_metadata_does_not_follow_the_pixels(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", exif=exif(gps=True), comment=b"secret", icc_profile=b"x" * 200)
    copy = tmp_path / "copy.jpg"
    open_photo(path).save(copy)
    with Image.open(copy) as saved:
        assert not saved.getexif() and "comment" not in saved.info and "icc_profile" not in saved.info
    assert b"secret" in path.read_bytes() and b"secret" not in copy.read_bytes()


def cut(path: Path, keep: float, tail: bytes = b"") -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)] + tail)


def huge_png(path: Path) -> None:
    """60,000 x 60,000 pixels in 200 bytes."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "empty.jpg": ("empty_file", lambda p: p.write_bytes(b"")),
    "text.jpg": ("not_an_image", lambda p: p.write_text("not a photo")),
    "page.png": ("not_an_image", lambda p: p.write_text("<html><body>404</body></html>")),
    "program.eps": ("not_an_image", lambda p: p.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")),
    "phone.heic": ("unsupported_format", lambda p: p.write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))),
    "half.jpg": ("truncated", lambda p: (photo(p), cut(p, 0.5))),
    "end.jpg": ("truncated", lambda p: (photo(p), cut(p, 0.999))),
    "half.png": ("truncated", lambda p: (photo(p), cut(p, 0.5))),
    "half.bmp": ("truncated", lambda p: (photo(p), cut(p, 0.5))),
    "half.gif": ("truncated", lambda p: (photo(p), cut(p, 0.5))),
    "half.tif": ("truncated", lambda p: (photo(p), cut(p, 0.5))),
    "zeros.jpg": ("truncated", lambda p: (photo(p, 1, 400, 300), cut(p, 0.5, bytes(60000)))),
    "damaged.webp": ("unreadable", lambda p: (photo(p), cut(p, 0.3, b"\xff" * 99))),
    "huge.png": ("too_large", huge_png),
    "pipe.jpg": ("unreadable", lambda p: os.mkfifo(p)),
    "folder.jpg": ("unreadable", lambda p: p.mkdir()),
    "absent.jpg": ("not_found", lambda p: None),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_photo_is_refused_with_its_reason(tmp_path: Path, name: str) -> None:
    reason, make = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(PhotoError) as caught:
        read_photo_facts(tmp_path / name, 200)
    assert caught.value.reason == reason and reason in PHOTO_REASONS
    assert name in str(caught.value)


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ("huge.png", "zeros.jpg")])
def test_open_photo_refuses_it_too(tmp_path: Path, name: str) -> None:
    BROKEN[name][1](tmp_path / name)
    with pytest.raises(PhotoError):
        open_photo(tmp_path / name, max_side=50)


def test_a_tail_of_zeros_passes_the_decoder_alone(tmp_path: Path) -> None:
    """Why the end of a JPEG is looked at: without that, its lower part would come in as grey."""
    path = photo(tmp_path / "a.jpg", 1, 400, 300)
    cut(path, 0.5, bytes(60000))
    assert open_photo(path).size == (400, 300)
    with pytest.raises(PhotoError, match="zeros"):
        read_photo_facts(path, 200)


def test_too_large_names_the_setting_and_decodes_nothing(tmp_path: Path) -> None:
    huge_png(tmp_path / "a.png")
    with pytest.raises(PhotoError, match=r"3600\.0 megapixels; photos\.max_megapixels is 200"):
        read_photo_facts(tmp_path / "a.png", 200)


def test_the_setting_counts_not_the_decoders_own_limit(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    Image.new("1", (14000, 14000)).save(tmp_path / "a.png")  # 196 megapixels
    assert read_size(tmp_path / "a.png") == (14000, 14000)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_facts(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", exif=exif(taken_at="2024:05:06 07:08:09"))
    facts = read_photo_facts(path, 1)
    assert facts.image_id == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts.taken_at == datetime(2024, 5, 6, 7, 8, 9)
    assert len(facts.dhash) == 32


@pytest.mark.parametrize("taken_at", ["0000:00:00 00:00:00", "yesterday", "    :  :     :  :  "])
def test_a_camera_without_a_clock(tmp_path: Path, taken_at: str) -> None:
    assert read_photo_facts(photo(tmp_path / "a.jpg", exif=exif(taken_at=taken_at)), 1).taken_at is None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_counts_as_none(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0garbage")
    assert read_photo_facts(path, 1).taken_at is None
    assert open_photo(path).size == (96, 72)


def test_a_palette_mask_keeps_its_class_numbers(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 4, (20, 30), dtype=np.uint8)
    mask = Image.fromarray(classes).convert("P")
    mask.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    mask.save(tmp_path / "a.png")
    assert np.array_equal(read_map(tmp_path / "a.png"), classes)
