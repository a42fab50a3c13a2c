"""The rows of a table or a folder: what readers yield, and how the cells of one line become rows.

Columns that begin with "genba_" are the bookkeeping of an export (dashboards/export.py) and no facts about the photo:
they are left out, so that what was written out comes back as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from data.columns import Columns, language_code
from data.told import told

OURS = "genba_"


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


PLACE = re.compile(r"(.*/)?(line|row|task|annotation|image) (\d+)( \(.*\)|: .*)?")
Rows = Iterator[Row | BadRow]
Cells = dict[str, Any]  # column -> value of one row


def place(item: str) -> str:
    """Where a row stands, for a person of either language: "line 17" is line 17; a file's name stays as it is."""
    found = PLACE.fullmatch(item)
    if found is None:
        return item
    before, kind, n, after = found.groups(default="")
    values = {"before": before, "n": n, "after": after}
    return {
        "line": told("{before}line {n}{after}", **values),
        "row": told("{before}row {n}{after}", **values),
        "task": told("{before}task {n}{after}", **values),
        "annotation": told("{before}annotation {n}{after}", **values),
        "image": told("{before}image {n}{after}", **values),
    }[kind]


def rows_of(item: str, cells: Cells, columns: Columns) -> Rows:
    """The rows of one line of a table: one for each caption in it, or one without."""
    extra = {name: kept for name, value in cells.items()
             if name not in columns.used and not name.startswith(OURS)
             and (kept := plain(value)) not in (None, "")}  # fmt: skip
    image = cells.get(columns.image)
    captions = []
    for name, language in columns.captions.items():
        value = cells.get(name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, (dict, list, bytes)):
                yield BadRow(
                    item,
                    "bad_row",
                    told("{column!r} is a {kind}, not a text", column=name, kind=type(one).__name__),
                )
                return
            captions.append((name, language, text_of(one)))
    filled = [one for one in captions if one[2].strip()]
    if not filled and not extra and not text_of(image).strip():
        yield BadRow(item, "empty_row", told("no photo and no caption"))
    elif isinstance(image, (dict, list, bytes)) or not text_of(image).strip():
        is_other = isinstance(image, (dict, list, bytes))
        why = (
            told(
                "{column!r} is a {kind}, so there is no photo",
                column=columns.image,
                kind=type(image).__name__,
            )
            if is_other
            else told("{column!r} is empty, so there is no photo", column=columns.image)
        )
        yield BadRow(item, "bad_row", why)
    else:
        given = language_code(text_of(cells.get(columns.language))) if columns.language else None
        for number, (name, language, caption) in enumerate(filled or [("", None, "")], start=1):
            several = f" ({name})" if len(columns.captions) > 1 else f" ({number})"
            place = item + (several if len(filled) > 1 else "")
            yield Row(place, text_of(image).strip(), caption, language or given, extra)


def without_empty_end(rows: Rows) -> Rows:
    """Spreadsheets end in thousands of formatted empty rows: only an empty row before a filled one is worth a word."""
    empty: list[BadRow] = []
    for row in rows:
        if isinstance(row, BadRow) and row.reason == "empty_row":
            empty.append(row)
            continue
        yield from empty
        empty = []
        yield row


def text_of(value: Any) -> str:
    """A cell as text: None and NaN are empty, 3.0 is "3"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def plain(value: Any) -> Any:
    """What JSON can hold: NaN becomes None, dates and numbers of other kinds text, bytes their length."""
    if isinstance(value, dict):
        return {str(plain(str(key))): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if value is None or isinstance(value, (int, bool)):
        return value
    return (
        str(value).encode("utf-8", "replace").decode()
    )  # JSON can spell half a character, which nothing can store
