"""Tables and folders in, rows out. A reader is a generator: (source, image column, caption column) -> Row or BadRow.

READERS holds them by format name. What cannot be read as a row comes out as a BadRow with its reason, in its place, so
that nothing is dropped silently; a table that makes no sense as a whole raises GenbaError.
"""

from __future__ import annotations

import codecs
import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from data.columns import Columns, choose_columns
from data.errors import GenbaError
from data.photos import SUFFIXES
from data.reader_sets import read_coco, read_label_studio, read_webdataset
from data.rows import OURS, BadRow, Cells, Row, Rows, rows_of, text_of, without_empty_end
from data.spreadsheet import unguarded
from data.told import Told, told

__all__ = ["READERS", "BadRow", "Row", "find_table"]


def read_sidecar(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """Every photo under the folder, its caption in the .txt beside it: bolt.jpg and bolt.txt (or bolt.jpg.txt).

    Hidden files and folders are left out. A photo without .txt has no caption yet; a .txt without photo is a BadRow.
    """
    if not source.is_dir():
        raise GenbaError(f"{source} is not a folder with photos.", next="genba ingest SITE FOLDER")
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        names = sorted(name for name in files if not name.startswith("."))
        texts = {name[:-4]: name for name in names if name.lower().endswith(".txt")}
        photos = [name for name in names if name.lower().endswith(SUFFIXES)]
        for photo in photos:
            path = Path(folder, photo)
            item = path.relative_to(source).as_posix()
            text = texts.get(photo) or texts.get(path.stem)
            try:
                yield Row(item, str(path), decode(Path(folder, text).read_bytes()) if text else "")
            except (ValueError, OSError) as error:
                yield BadRow(item, "bad_row", told("{file}: {error}", file=text, error=_why(error)))
        stems = {stem for photo in photos for stem in (photo, Path(photo).stem)}
        for stem, text in texts.items():
            if stem not in stems:
                item = Path(folder, text).relative_to(source).as_posix()
                yield BadRow(item, "not_found", told("a text file without a photo of the same name"))


def _why(error: Exception) -> str:
    """What it says; that of `decode` in either language."""
    return error.args[0] if error.args and isinstance(error.args[0], Told) else str(error)


def decode(content: bytes) -> str:
    """Text in UTF-8 (with or without mark), UTF-16 with mark, or CP932 (Shift_JIS). Raises ValueError."""
    return content.decode(_encoding([content]))


def _encoding(pieces: Iterable[bytes]) -> str:
    """The first encoding that takes all of the text. `pieces` are read several times."""
    first = next(iter(pieces), b"")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if _damage(pieces, "utf-8-sig") == (0, 0):
        return "utf-8-sig"
    good, bad = _damage(pieces, "utf-8-sig", count=True)
    if good > bad:  # CP932 would often take it too, and turn every caption into nonsense
        raise ValueError(told("the text is UTF-8 with {n} damaged characters", n=bad))
    if _damage(pieces, "cp932") == (0, 0):
        return "cp932"
    raise ValueError(told("the text is neither UTF-8 nor CP932 (Shift_JIS)"))


def _damage(pieces: Iterable[bytes], encoding: str, count: bool = False) -> tuple[int, int]:
    """(0, 0) when all of it decodes; else (characters beyond ASCII that do, places that do not), counted on request."""
    decoder = codecs.getincrementaldecoder(encoding)("replace" if count else "strict")
    good = bad = 0
    try:
        for piece in chain(pieces, [b""]):
            text = decoder.decode(piece, final=not piece)
            if count:
                bad += text.count("\ufffd")
                good += sum(not c.isascii() for c in text) - text.count("\ufffd")
    except UnicodeDecodeError:
        return 0, 1
    return good, bad


@dataclass(frozen=True)
class _Pieces:
    """The bytes of a file, a megabyte at a time, as often as asked for."""

    path: Path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece


def read_csv(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """Comma, semicolon or tab; UTF-8 (with or without mark), UTF-16 or CP932; the first line holds the names."""
    try:
        encoding = _encoding(_Pieces(source))
    except ValueError as error:
        raise GenbaError(
            f"{source}: {error}.", next="save it as 'CSV UTF-8' in the spreadsheet program"
        ) from None
    with source.open(encoding=encoding, newline="") as file:
        header = file.readline()
        separator = _separator(header)
        file.seek(0)
        lines = _csv_lines(csv.reader(file, delimiter=separator, strict=True), source)
        names = _header_names(next((cells for _, cells, _ in lines if any(cells)), []))
        if any(name.startswith(OURS) for name in names):  # an export: its guard against formulas comes off
            names = [unguarded(name) for name in names]
            lines = ((line, list(map(unguarded, cells)), error) for line, cells, error in lines)
        columns = choose_columns(names, image_column, caption_column, str(source))
        yield from without_empty_end(
            row for line, cells, error in lines for row in _csv_row(line, cells, error, names, columns)
        )


def _separator(header: str) -> str:
    return max(",;\t", key=lambda separator: (header.count(separator), -",;\t".index(separator)))


def _csv_lines(reader: Any, source: Path) -> Iterator[tuple[int, list[str], str | None]]:
    """(line where the record begins, cells, what is wrong with it)."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise GenbaError(
                    f"{source}: a quotation mark is opened on line {line} and never closed, so the lines up to "
                    f"{reader.line_num} cannot be read.",
                    next="close it, then ingest again",
                ) from None
            yield line, [], _csv_error(error)
            continue
        yield line, cells, None


def _csv_error(error: csv.Error) -> str:
    """What people get wrong, in either language; anything else in the words of the csv module."""
    return told("other text stands behind a closing one") if "expected after" in str(error) else str(error)


def _header_names(cells: Iterable[Any]) -> list[str]:
    return [text_of(cell).strip() or f"column_{number}" for number, cell in enumerate(cells, start=1)]


def _csv_row(line: int, cells: list[str], error: str | None, names: list[str], columns: Columns) -> Rows:
    item = f"line {line}"
    if error:
        yield BadRow(item, "bad_row", told("the quotation marks do not match: {error}", error=error))
    elif any(cell.strip() for cell in cells[len(names) :]):
        why = told(
            "{n} cells but {most} columns: quote a caption that holds the separator",
            n=len(cells),
            most=len(names),
        )
        yield BadRow(item, "bad_row", why)
    elif any(cell.strip() for cell in cells) and any(
        names.index(name) >= len(cells) for name in columns.used
    ):
        yield BadRow(
            item, "bad_row", told("only {n} cells for {most} columns", n=len(cells), most=len(names))
        )
    else:
        yield from rows_of(item, dict(zip(names, cells, strict=False)), columns)


def read_xlsx(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """The first visible sheet; its first row that is not empty holds the names."""
    import zipfile

    import openpyxl

    try:
        book = openpyxl.load_workbook(source, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, openpyxl.utils.exceptions.InvalidFileException):
        raise GenbaError(
            f"{source} is not an Excel workbook (.xlsx), or it is protected by a password.",
            next="save it as .xlsx without a password",
        ) from None
    try:
        sheet = next((s for s in book.worksheets if s.sheet_state == "visible"), book.worksheets[0])
        sheet.reset_dimensions()  # some programs write a wrong size, and rows would be lost
        lines = enumerate(sheet.iter_rows(values_only=True), start=1)
        names = _header_names(next((cells for _, cells in lines if any(c is not None for c in cells)), ()))
        columns = choose_columns(names, image_column, caption_column, f"{source} (sheet {sheet.title})")
        yield from without_empty_end(
            row
            for number, cells in lines
            for row in rows_of(f"row {number}", dict(zip(names, cells, strict=False)), columns)
        )
    finally:
        book.close()


def read_jsonl(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """One JSON object a line, UTF-8. A list of captions makes one row each."""
    parsed = _json_lines(source)
    head = list(islice(parsed, 100))
    names = list(dict.fromkeys(key for _, cells in head if isinstance(cells, dict) for key in cells))
    columns = choose_columns(names, image_column, caption_column, str(source))
    yield from without_empty_end(
        row
        for item, cells in chain(head, parsed)
        for row in ([cells] if isinstance(cells, BadRow) else rows_of(item, cells, columns))
    )


def _json_lines(source: Path) -> Iterator[tuple[str, Cells | BadRow]]:
    with source.open("rb") as file:
        for number, line in enumerate(file, start=1):
            item = f"line {number}"
            try:
                cells = json.loads(line.decode("utf-8-sig")) if line.strip() else {}
            except (ValueError, RecursionError) as error:
                yield (
                    item,
                    BadRow(item, "bad_row", told("not JSON in UTF-8: {error}", error=_json_error(error))),
                )
                continue
            wrong = BadRow(item, "bad_row", told("a JSON {kind}, not an object", kind=type(cells).__name__))
            yield item, cells if isinstance(cells, dict) else wrong


def _json_error(error: Exception) -> str:
    """With the place, where the json module tells one."""
    if isinstance(error, json.JSONDecodeError):
        return told("it goes wrong at character {n} ({error})", n=error.pos + 1, error=error.msg)
    return str(error)


def read_parquet(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """Named columns; the image column holds paths."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(source)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise GenbaError(
            f"{source} is not a Parquet file: {error}.", choices=READERS, next="--format NAME"
        ) from None
    with file:
        names = list(file.schema_arrow.names)
        columns = choose_columns(names, image_column, caption_column, str(source))
        kind = file.schema_arrow.field(columns.image).type
        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
            raise GenbaError(
                f"{source}: the column {columns.image!r} holds {kind}, not file names.", choices=names,
                next="write the photos to files and their names into the table, or --image-column NAME",
            )  # fmt: skip
        values = (cells for batch in file.iter_batches(1000) for cells in batch.to_pylist())
        yield from without_empty_end(
            row
            for number, cells in enumerate(values, start=1)
            for row in rows_of(f"row {number}", cells, columns)
        )


def read_hf(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """A Hugging Face image folder: one folder for each split, in it the photos and metadata.jsonl with file_name."""
    tables = [source] if source.is_file() else sorted(source.glob(f"*/{HF_TABLE}"))
    if not tables:
        raise GenbaError(f"{source} has no folder with {HF_TABLE}.", next="genba ingest SITE FOLDER")
    for table in tables:
        for row in read_jsonl(table, image_column, caption_column):
            item = f"{table.parent.name}/{row.item}"
            if isinstance(row, Row):
                yield replace(row, item=item, image=str(table.parent / row.image))
            else:
                yield replace(row, item=item)


HF_TABLE = "metadata.jsonl"
READERS: dict[str, Callable[[Path, str | None, str | None], Rows]] = {
    "sidecar": read_sidecar,
    "csv": read_csv,
    "xlsx": read_xlsx,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "coco": read_coco,
    "label-studio": read_label_studio,
    "webdataset": read_webdataset,
    "hf": read_hf,
}
TABLE_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".xlsx": "xlsx", ".xlsm": "xlsx", ".jsonl": "jsonl",
                  ".ndjson": "jsonl", ".parquet": "parquet", ".tar": "webdataset"}  # fmt: skip
FOLDERS = ("sidecar", "webdataset", "hf")  # formats that are a folder
CARD = "data-card.json"  # lies beside an export and is no table


def _kind(path: Path) -> str | None:
    """The format of a file, by its name; a .json is COCO when it is an object and Label Studio's when it is a list."""
    if path.suffix.lower() != ".json":
        return TABLE_SUFFIXES.get(path.suffix.lower())
    with path.open("rb") as file:
        start = file.read(1000).removeprefix(codecs.BOM_UTF8).lstrip()
    return {b"{": "coco", b"[": "label-studio"}.get(start[:1])


def find_table(source: Path, format: str | None) -> tuple[Path, str]:
    """(what to read, a key of READERS). A folder without .txt captions but with one table stands for it."""
    if not source.exists():
        raise GenbaError(f"There is no {source}.", next="genba ingest SITE SOURCE")
    if format is not None and format not in READERS:
        raise GenbaError(f"No format {format!r}.", choices=READERS, next="--format NAME")
    if source.is_dir():
        return _find_in_folder(source, format)
    if format == "sidecar":
        raise GenbaError(f"{source} is a file; --format sidecar reads a folder of photos.", choices=READERS)
    known = format or _kind(source)
    if known is None:
        raise GenbaError(
            f"The format of {source} cannot be told from its name.", choices=READERS, next="--format NAME"
        )
    return source, known


def _find_in_folder(source: Path, format: str | None) -> tuple[Path, str]:
    if format in FOLDERS:
        return source, format
    files = [path for path in sorted(source.iterdir()) if path.is_file() and path.name != CARD
             and not path.name.startswith((".", "~$"))]  # fmt: skip
    kinds = {path: kind for path in files if (kind := _kind(path)) and (format or kind) == kind}
    tables = [path for path, kind in kinds.items() if kind != "webdataset"]
    if len(tables) == 1 and (format or not _has_sidecar(source)):
        return tables[0], kinds[tables[0]]
    if format and len(tables) != 1:
        raise GenbaError(f"{source} holds {len(tables)} tables of format {format}.", choices=[t.name for t in tables],
                         next="genba ingest SITE FILE")  # fmt: skip
    if len(tables) > 1 and not _has_sidecar(source):
        raise GenbaError(f"{source} holds {len(tables)} tables.", choices=[t.name for t in tables],
                         next="genba ingest SITE FILE, or --format sidecar for the photos alone")  # fmt: skip
    if not tables and not _has_sidecar(source):
        if kinds:
            return source, "webdataset"
        if next(source.glob(f"*/{HF_TABLE}"), None):
            return source, "hf"
    return source, "sidecar"


def _has_sidecar(source: Path) -> bool:
    """Whether any photo under the folder has its caption in a .txt beside it."""
    for _, _, files in os.walk(source):
        texts = {name[:-4] for name in files if name.lower().endswith(".txt")}
        if texts and any(name in texts or Path(name).stem in texts for name in files
                         if name.lower().endswith(SUFFIXES)):  # fmt: skip
            return True
    return False
