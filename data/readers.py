"""Tables and folders in, rows out. A reader is a generator: (source, image column, caption column) -> Row or BadRow.

READERS holds them by format name. What cannot be read as a row comes out as a BadRow with its reason, in its place, so
that nothing is dropped silently; a table that makes no sense as a whole raises GenbaError.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from data.columns import Columns, choose_columns, language_code
from data.errors import GenbaError
from data.photos import SUFFIXES


@dataclass(frozen=True)
class Row:
    """One photo with one caption. `item` says where it stands: "line 17", "row 3 (caption_en)", "folder/photo.jpg"."""

    item: str
    image: str
    caption: str  # "" = none yet
    language: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRow:
    """A row that is none: empty_row, bad_row or not_found (a caption file without its photo)."""

    item: str
    reason: str
    detail: str


Rows = Iterator[Row | BadRow]
Cells = dict[str, Any]  # column -> value of one row


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
                yield BadRow(item, "bad_row", f"{text}: {error}")
        stems = {stem for photo in photos for stem in (photo, Path(photo).stem)}
        for stem, text in texts.items():
            if stem not in stems:
                item = Path(folder, text).relative_to(source).as_posix()
                yield BadRow(item, "not_found", "a text file without a photo of the same name")


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
        raise ValueError(f"the text is UTF-8 with {bad} damaged characters")
    if _damage(pieces, "cp932") == (0, 0):
        return "cp932"
    raise ValueError("the text is neither UTF-8 nor CP932 (Shift_JIS)")


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
        columns = choose_columns(names, image_column, caption_column, str(source))
        yield from _without_empty_end(
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
            yield line, [], str(error)
            continue
        yield line, cells, None


def _header_names(cells: Iterable[Any]) -> list[str]:
    return [_text(cell).strip() or f"column_{number}" for number, cell in enumerate(cells, start=1)]


def _csv_row(line: int, cells: list[str], error: str | None, names: list[str], columns: Columns) -> Rows:
    item = f"line {line}"
    if error:
        yield BadRow(item, "bad_row", f"the quotation marks do not match: {error}")
    elif any(cell.strip() for cell in cells[len(names) :]):
        yield BadRow(item, "bad_row", f"{len(cells)} cells but {len(names)} columns: quote a caption that holds "
                     "the separator")  # fmt: skip
    elif any(cell.strip() for cell in cells) and any(
        names.index(name) >= len(cells) for name in columns.used
    ):
        yield BadRow(item, "bad_row", f"only {len(cells)} cells for {len(names)} columns")
    else:
        yield from _rows_of(item, dict(zip(names, cells, strict=False)), columns)


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
        yield from _without_empty_end(
            row
            for number, cells in lines
            for row in _rows_of(f"row {number}", dict(zip(names, cells, strict=False)), columns)
        )
    finally:
        book.close()


def read_jsonl(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """One JSON object a line, UTF-8. A list of captions makes one row each."""
    parsed = _json_lines(source)
    head = list(islice(parsed, 100))
    names = list(dict.fromkeys(key for _, cells in head if isinstance(cells, dict) for key in cells))
    columns = choose_columns(names, image_column, caption_column, str(source))
    yield from _without_empty_end(
        row
        for item, cells in chain(head, parsed)
        for row in ([cells] if isinstance(cells, BadRow) else _rows_of(item, cells, columns))
    )


def _json_lines(source: Path) -> Iterator[tuple[str, Cells | BadRow]]:
    with source.open("rb") as file:
        for number, line in enumerate(file, start=1):
            item = f"line {number}"
            try:
                cells = json.loads(line.decode("utf-8-sig")) if line.strip() else {}
            except (ValueError, RecursionError) as error:
                yield item, BadRow(item, "bad_row", f"not JSON in UTF-8: {error}")
                continue
            wrong = BadRow(item, "bad_row", f"a JSON {type(cells).__name__}, not an object")
            yield item, cells if isinstance(cells, dict) else wrong


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
        yield from _without_empty_end(
            row
            for number, cells in enumerate(values, start=1)
            for row in _rows_of(f"row {number}", cells, columns)
        )


def _rows_of(item: str, cells: Cells, columns: Columns) -> Rows:
    """The rows of one line of a table: one for each caption in it, or one without."""
    extra = {name: plain for name, value in cells.items()
             if name not in columns.used and (plain := _plain(value)) not in (None, "")}  # fmt: skip
    image = cells.get(columns.image)
    captions = []
    for name, language in columns.captions.items():
        value = cells.get(name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, (dict, list, bytes)):
                yield BadRow(item, "bad_row", f"{name!r} is a {type(one).__name__}, not a text")
                return
            captions.append((name, language, _text(one)))
    filled = [one for one in captions if one[2].strip()]
    if not filled and not extra and not _text(image).strip():
        yield BadRow(item, "empty_row", "no photo and no caption")
    elif isinstance(image, (dict, list, bytes)) or not _text(image).strip():
        words = f"is a {type(image).__name__}" if isinstance(image, (dict, list, bytes)) else "is empty"
        yield BadRow(item, "bad_row", f"{columns.image!r} {words}, so there is no photo")
    else:
        given = language_code(_text(cells.get(columns.language))) if columns.language else None
        for number, (name, language, caption) in enumerate(filled or [("", None, "")], start=1):
            several = f" ({name})" if len(columns.captions) > 1 else f" ({number})"
            place = item + (several if len(filled) > 1 else "")
            yield Row(place, _text(image).strip(), caption, language or given, extra)


def _without_empty_end(rows: Rows) -> Rows:
    """Spreadsheets end in thousands of formatted empty rows: only an empty row before a filled one is worth a word."""
    empty: list[BadRow] = []
    for row in rows:
        if isinstance(row, BadRow) and row.reason == "empty_row":
            empty.append(row)
            continue
        yield from empty
        empty = []
        yield row


def _text(value: Any) -> str:
    """A cell as text: None and NaN are empty, 3.0 is "3"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _plain(value: Any) -> Any:
    """What JSON can hold: NaN becomes None, dates and numbers of other kinds text, bytes their length."""
    if isinstance(value, dict):
        return {str(_plain(str(key))): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if value is None or isinstance(value, (int, bool)):
        return value
    return (
        str(value).encode("utf-8", "replace").decode()
    )  # JSON can spell half a character, which nothing can store


READERS: dict[str, Callable[[Path, str | None, str | None], Rows]] = {
    "sidecar": read_sidecar,
    "csv": read_csv,
    "xlsx": read_xlsx,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}
TABLE_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".xlsx": "xlsx", ".xlsm": "xlsx", ".jsonl": "jsonl",
                  ".ndjson": "jsonl", ".parquet": "parquet"}  # fmt: skip


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
    known = format or TABLE_SUFFIXES.get(source.suffix.lower())
    if known is None:
        raise GenbaError(
            f"The format of {source} cannot be told from its name.", choices=READERS, next="--format NAME"
        )
    return source, known


def _find_in_folder(source: Path, format: str | None) -> tuple[Path, str]:
    if format == "sidecar":
        return source, format
    tables = [path for path in sorted(source.iterdir()) if path.is_file() and not path.name.startswith((".", "~$"))
              and TABLE_SUFFIXES.get(path.suffix.lower()) in ((format,) if format else READERS)]  # fmt: skip
    if len(tables) == 1 and (format or not _has_sidecar(source)):
        return tables[0], TABLE_SUFFIXES[tables[0].suffix.lower()]
    if format and len(tables) != 1:
        raise GenbaError(f"{source} holds {len(tables)} tables of format {format}.", choices=[t.name for t in tables],
                         next="genba ingest SITE FILE")  # fmt: skip
    if len(tables) > 1 and not _has_sidecar(source):
        raise GenbaError(f"{source} holds {len(tables)} tables.", choices=[t.name for t in tables],
                         next="genba ingest SITE FILE, or --format sidecar for the photos alone")  # fmt: skip
    return source, "sidecar"


def _has_sidecar(source: Path) -> bool:
    """Whether any photo under the folder has its caption in a .txt beside it."""
    for _, _, files in os.walk(source):
        texts = {name[:-4] for name in files if name.lower().endswith(".txt")}
        if texts and any(name in texts or Path(name).stem in texts for name in files
                         if name.lower().endswith(SUFFIXES)):  # fmt: skip
            return True
    return False
