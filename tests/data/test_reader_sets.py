"""Data sets as other programs write them: COCO captions, Label Studio tasks, WebDataset tars, Hugging Face folders."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from data.errors import GenbaError
from data.ingest import ingest
from data.readers import READERS, BadRow, Row, find_table
from tests.data import makers
from tests.data.makers import contents, photo


def read(path: Path, format: str | None = None) -> list[Row | BadRow]:
    source, kind = find_table(path, format)
    return list(READERS[kind](source, None, None))


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def pack(path: Path, **members: bytes) -> Path:
    """A tar; `a__jpg=b"…"` is the member a.jpg."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_coco_as_it_is_published(tmp_path: Path) -> None:
    """Several captions of one photo, a photo without any, an annotation of no photo."""
    table = write(tmp_path / "captions_val2017.json", {
        "info": {}, "licenses": [],
        "images": [{"id": 7, "file_name": "a.jpg", "height": 3}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [{"id": 1, "image_id": 7, "caption": "a bolt "}, {"id": 2, "image_id": 7, "caption": "錆"},
                        {"id": 3, "image_id": 8, "caption": "x"}],
    })  # fmt: skip
    rows = read(table)
    good = [(row.image, row.caption) for row in rows if isinstance(row, Row)]
    assert good == [("a.jpg", "a bolt "), ("a.jpg", "錆"), ("b.jpg", "")]
    assert [row for row in rows if isinstance(row, BadRow)] == [
        BadRow("annotation 3", "bad_row", "names no photo of the list 'images'")
    ]


def test_label_studio_tasks(tmp_path: Path) -> None:
    """The caption that a person typed goes before that of the task; a cancelled annotation does not count."""
    typed = {"from_name": "caption", "to_name": "image", "type": "textarea", "value": {"text": ["two bolts"]}}
    other = {"from_name": "kind", "type": "choices", "value": {"choices": ["x"]}}
    address = "/data/local-files/?d=%E6%A3%9A%2Fa%20b%2B.jpg"
    rows = read(write(tmp_path / "tasks.json", [
        {"data": {"image": address, "caption": "old"}, "annotations": [{"result": [other, typed]}]},
        {"data": {"image": "b.jpg", "caption": "old"}, "annotations": [{"result": [typed], "was_cancelled": True}]},
        {"data": {"image": "c.jpg", "caption": "old", "line": "A"}, "annotations": []},
        {"image": "d.jpg"}, "text",
    ]))  # fmt: skip
    assert [(row.image, row.caption, row.extra) for row in rows[:3] if isinstance(row, Row)] == [
        ("棚/a b+.jpg", "two bolts", {}), ("b.jpg", "old", {}), ("c.jpg", "old", {"line": "A"})
    ]  # fmt: skip
    assert [row.reason for row in rows[3:] if isinstance(row, BadRow)] == ["bad_row", "bad_row"]


def test_a_webdataset_of_others_needs_its_photos_unpacked(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    content = photo(root / "x.jpg").read_bytes()
    tar = pack(root / "0000.tar", a__jpg=content, a__txt="ボルト".encode(), a__json=b'{"url": "u"}', b__jpg=content,
               b__txt=b"a nut", c__jpg=content, c__json=b"[1]", d__jpg=content, d__txt=b"\xff")  # fmt: skip
    rows = read(tar)
    assert [(row.image, row.caption) for row in rows if isinstance(row, Row)] == [
        ("a.jpg", "ボルト"),
        ("b.jpg", "a nut"),
    ]
    assert [row.item for row in rows if isinstance(row, BadRow)] == ["0000.tar: c", "0000.tar: d"]
    site = makers.site(tmp_path / "site", [root])
    result = ingest(site, tar)
    assert (result.added, result.rejected) == (0, {"not_found": 2, "bad_row": 2})
    with tarfile.open(tar) as opened:
        opened.extract("a.jpg", root, filter="data")
    assert ingest(site, tar).added == 1
    assert [pair["extra"] for pair in contents(site)["pairs"]] == [{"url": "u"}]


def test_a_name_in_a_tar_leads_nowhere(tmp_path: Path) -> None:
    """Nothing is taken out of a tar; a name above the root is no photo of the site."""
    root = tmp_path / "photos"
    photo(root / "x.jpg")
    photo(tmp_path / "out.jpg", 1)
    with tarfile.open(root / "0.tar", "w") as tar:
        for name, content in (("../out.jpg", b"x"), ("../out.txt", b"a bolt"), ("../new.txt", b"y")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    result = ingest(makers.site(tmp_path / "site", [root]), root / "0.tar")
    assert result.added == 0 and set(result.rejected) <= {"outside_root", "not_found", "bad_row"}
    assert not (tmp_path / "new.txt").exists()


@pytest.mark.parametrize(
    ("name", "content", "format", "message"),
    [
        ("t.json", b"{", None, "is not JSON in UTF-8"),
        ("t.json", b'{"images": {}}', None, "it needs the lists 'images' and 'annotations'"),
        ("t.json", b"{}", "label-studio", "no list of Label Studio tasks"),
        ("t.json", b"3", None, "cannot be told from its name"),
        ("t.tar", b"not a tar at all", None, "is not a whole tar"),
    ],
)
def test_a_set_that_makes_no_sense(
    tmp_path: Path, name: str, content: bytes, format: str | None, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenbaError, match=message):
        read(tmp_path / name, format)


def test_a_tar_that_ends_too_early_is_told(tmp_path: Path) -> None:
    whole = pack(tmp_path / "t.tar", a__jpg=b"x" * 5000, a__txt=b"a bolt", b__jpg=b"y" * 5000, b__txt=b"b")
    whole.write_bytes(whole.read_bytes()[:7300])
    with pytest.raises(GenbaError, match="is not a whole tar"):
        read(whole)


def test_folders_without_a_set_say_so(tmp_path: Path) -> None:
    for format in ("hf", "webdataset"):
        with pytest.raises(GenbaError, match=r"no folder with metadata\.jsonl|holds no \.tar"):
            read(tmp_path, format)
