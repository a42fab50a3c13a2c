"""Rows out of folders and tables."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from data.columns import choose_columns, language_code
from data.errors import GenbaError
from data.readers import READERS, BadRow, Row, find_table
from tests.data.makers import photo

ROWS = [
    {"画像": "あ.jpg", "キャプション": "銅のボルト、傷あり", "ライン": "3"},
    {"画像": "b.jpg", "キャプション": "ナット", "ライン": "4"},
]


def write_table(
    path: Path, rows: list[dict[str, Any]], encoding: str = "utf-8", separator: str = ","
) -> Path:
    ending = path.suffix
    if ending == ".jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    elif ending == ".xlsx":
        book = openpyxl.Workbook()
        book.active.append(list(rows[0]))
        for row in rows:
            book.active.append(list(row.values()))
        book.save(path)
    elif ending == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=separator)
        writer.writerows([list(rows[0]), *(row.values() for row in rows)])
        path.write_bytes(text.getvalue().encode(encoding))
    return path


def read(path: Path, **options: Any) -> list[Row | BadRow]:
    source, format = find_table(path, options.pop("format", None))
    return list(READERS[format](source, options.get("image_column"), options.get("caption_column")))


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx", "jsonl", "parquet"])
def test_japanese_columns_are_found_in_every_format(tmp_path: Path, ending: str) -> None:
    rows = read(write_table(tmp_path / f"t.{ending}", ROWS, separator="\t" if ending == "tsv" else ","))
    assert [(row.image, row.caption, row.extra) for row in rows] == [
        ("あ.jpg", "銅のボルト、傷あり", {"ライン": "3"}),
        ("b.jpg", "ナット", {"ライン": "4"}),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_encodings_and_separators(tmp_path: Path, encoding: str, separator: str) -> None:
    rows = read(write_table(tmp_path / "t.csv", ROWS * 3, encoding, separator))
    assert [row.caption for row in rows] == ["銅のボルト、傷あり", "ナット"] * 3


def test_damaged_utf8_is_not_taken_for_cp932(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", ROWS * 20)
    content = bytearray(path.read_bytes())
    at = content.index("傷".encode())
    del content[at]
    path.write_bytes(content)
    with pytest.raises(GenbaError, match=r"UTF-8 with \d+ damaged"):
        read(path)


@settings(max_examples=60, deadline=None)
@given(
    captions=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip), min_size=1
    ),
    separator=st.sampled_from(",;\t"),
)
def test_csv_round_trip(
    tmp_path_factory: pytest.TempPathFactory, captions: list[str], separator: str
) -> None:
    rows = [{"image": f"{n}.jpg", "caption": caption} for n, caption in enumerate(captions)]
    path = write_table(tmp_path_factory.mktemp("csv") / "t.csv", rows, separator=separator)
    assert [(row.image, row.caption) for row in read(path)] == [(r["image"], r["caption"]) for r in rows]


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,caption\na.jpg,"two\nlines"\nb.jpg,one\n')
    assert [row.item for row in read(tmp_path / "t.csv")] == ["line 2", "line 4"]


@pytest.mark.parametrize(
    ("columns", "image", "captions"),
    [
        (["id", "file", "text"], "file", {"text": None}),
        (["File Name", "Description"], "File Name", {"Description": None}),
        (["画像ファイル名", "説明"], "画像ファイル名", {"説明": None}),
        (["ＩＭＡＧＥ", "caption_ja", "caption_en"], "ＩＭＡＧＥ", {"caption_ja": "ja", "caption_en": "en"}),
        (["image", "キャプション(日本語)", "キャプション(英語)"], "image",
         {"キャプション(日本語)": "ja", "キャプション(英語)": "en"}),
        (["path", "image", "text", "caption"], "image", {"caption": None}),
        (["image", "caption", "caption_en"], "image", {"caption": None, "caption_en": "en"}),
        (["写真", "コメント", "撮影者"], "写真", {"コメント": None}),
    ],
)  # fmt: skip
def test_columns_by_name(columns: list[str], image: str, captions: dict[str, str | None]) -> None:
    found = choose_columns(columns, None, None, "t")
    assert (found.image, found.captions) == (image, captions)


def test_columns_as_given() -> None:
    found = choose_columns(["a", "b", "b_ja"], "a", "b,b_ja", "t")
    assert (found.image, found.captions) == ("a", {"b": None, "b_ja": "ja"})


@pytest.mark.parametrize(
    ("image", "caption", "message"),
    [
        (None, None, r"no column for the photo's file name\. Known: foto, legend\."),
        ("foto", None, r"no column for the caption\. Known: foto, legend\. Next: .*--caption-column"),
        (
            "fotto",
            None,
            r"no column 'fotto' \(--image-column\)\. Did you mean 'foto'\? Known: foto, legend\.",
        ),
        ("foto", "legends", r"no column 'legends' \(--caption-column\)\. Did you mean 'legend'\?"),
    ],
)
def test_an_unknown_column_is_named_with_those_there_are(
    image: str | None, caption: str | None, message: str
) -> None:
    with pytest.raises(GenbaError, match=message):
        choose_columns(["foto", "legend"], image, caption, "t.csv")


def test_two_columns_of_one_name() -> None:
    with pytest.raises(GenbaError, match="two columns 'caption'"):
        choose_columns(["image", "caption", "caption"], None, None, "t.csv")


def test_a_row_for_each_language(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "caption_ja": "ボルト", "caption_en": "a bolt"},
            {"image": "b.jpg", "caption_ja": "", "caption_en": "a nut"},
            {"image": "c.jpg", "caption_ja": "", "caption_en": ""}]  # fmt: skip
    found = read(write_table(tmp_path / "t.csv", rows))
    assert [(row.item, row.image, row.caption, row.language) for row in found] == [
        ("line 2 (caption_ja)", "a.jpg", "ボルト", "ja"), ("line 2 (caption_en)", "a.jpg", "a bolt", "en"),
        ("line 3", "b.jpg", "a nut", "en"), ("line 4", "c.jpg", "", None),
    ]  # fmt: skip


def test_a_language_column(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "caption": "M8", "language": "Japanese"},
        {"image": "b.jpg", "caption": "M8", "language": "?"},
    ]
    assert [(row.language, row.extra) for row in read(write_table(tmp_path / "t.jsonl", rows))] == [
        ("ja", {}),
        (None, {}),
    ]
    assert language_code("日本語") == "ja" and language_code("fr") is None


def test_jsonl_lists_nested_values_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        '{"image": "a.jpg", "captions": ["one", "two"], "boxes": [[1, 2, "x"]], "n": NaN, "deep": {"k": [1.5, NaN]}}\n'
    )
    found = read(tmp_path / "t.jsonl")
    assert [(row.item, row.caption) for row in found] == [("line 1 (1)", "one"), ("line 1 (2)", "two")]
    assert found[0].extra == {"boxes": [[1, 2, "x"]], "deep": {"k": [1.5, None]}}


def test_excel_values(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    hidden = book.active
    hidden.append(["image", "caption"])
    hidden.append(["hidden.jpg", "hidden"])
    sheet = book.create_sheet("Data")
    hidden.sheet_state = "hidden"
    for line in (
        [],
        ["image", "caption", "shift", "on"],
        ["a.jpg", 12.0, 3, datetime(2024, 1, 2)],
        [None, None],
        ["b.jpg", "x"],
    ):
        sheet.append(line)
    for number in range(50, 60):
        sheet.cell(number, 1, "").font = openpyxl.styles.Font(bold=True)
    book.save(tmp_path / "t.xlsx")
    found = read(tmp_path / "t.xlsx")
    assert [(row.item, getattr(row, "caption", getattr(row, "reason", ""))) for row in found] == [
        ("row 3", "12"), ("row 4", "empty_row"), ("row 5", "x")]  # fmt: skip
    assert found[0].extra == {"shift": 3, "on": "2024-01-02 00:00:00"}


def test_sidecar(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.PNG", "sub/c.jpg", "d.jpg", ".hidden/e.jpg", "._a.jpg"):
        photo(tmp_path / name) if not name.endswith("PNG") else photo(tmp_path / name, format="PNG")
    (tmp_path / "a.txt").write_bytes("銅のボルト\n".encode("cp932"))
    (tmp_path / "sub/b.PNG.txt").write_text("\ufeffnut", encoding="utf-8")
    (tmp_path / "sub/c.txt").write_text(" \n")
    (tmp_path / "alone.txt").write_text("no photo")
    found = {row.item: row for row in read(tmp_path)}
    assert {item: row.caption.strip() for item, row in found.items() if isinstance(row, Row)} == {
        "a.jpg": "銅のボルト", "d.jpg": "", "sub/b.PNG": "nut", "sub/c.jpg": ""}  # fmt: skip
    assert isinstance(found["alone.txt"], BadRow) and found["alone.txt"].reason == "not_found"


def test_a_folder_stands_for_its_only_table(tmp_path: Path) -> None:
    photo(tmp_path / "images/a.jpg")
    (tmp_path / "LICENSE.txt").write_text("about the photos")
    table = write_table(tmp_path / "t.jsonl", ROWS)
    assert find_table(tmp_path, None) == (table, "jsonl")
    assert find_table(tmp_path, "sidecar") == (tmp_path, "sidecar")
    (tmp_path / "images/a.txt").write_text("caption")
    assert find_table(tmp_path, None) == (tmp_path, "sidecar")


@pytest.mark.parametrize(
    ("make", "format", "message"),
    [
        (lambda p: p / "absent", None, "There is no"),
        (lambda p: (p / "t.doc").write_text("x") and p / "t.doc", None, "cannot be told from its name"),
        (lambda p: write_table(p / "t.csv", ROWS), "exel", "No format 'exel'. Known: sidecar, csv, xlsx"),
        (lambda p: write_table(p / "t.csv", ROWS), "sidecar", "is a file; --format sidecar reads a folder"),
        (lambda p: write_table(p / "u.csv", ROWS) and write_table(p / "t.csv", ROWS).parent, None,
         r"holds 2 tables. Known: t.csv, u.csv"),
        (lambda p: write_table(p / "t.csv", ROWS).parent, "xlsx", "holds 0 tables of format xlsx"),
    ],
    ids=["absent", "unknown ending", "unknown format", "file as folder", "two tables", "no such table"],
)  # fmt: skip
def test_a_source_that_makes_no_sense(tmp_path: Path, make: Any, format: str | None, message: str) -> None:
    with pytest.raises(GenbaError, match=message):
        find_table(make(tmp_path), format)
