"""Readers of data sets as other programs write them: COCO captions, Label Studio tasks, WebDataset tars.

Each yields rows (data/rows.py). Photos are found by the names that stand in the set, under the photo roots or beside
it; those inside a tar are not taken out: unpack it, and the unpacked ones are read.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from data.columns import Columns, choose_columns
from data.errors import GenbaError
from data.rows import BadRow, Cells, Row, Rows, rows_of
from data.told import told

MOST_BYTES = 1 << 20  # of the text or the JSON of one sample
TEXTS = ("txt", "json")


def read_coco(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """COCO captions: {"images": [{"id", "file_name", …}], "annotations": [{"image_id", "caption", …}]}, UTF-8."""
    given = _json(source)
    if not (
        isinstance(given, dict) and all(isinstance(given.get(k), list) for k in ("images", "annotations"))
    ):
        raise GenbaError(f"{source} is no COCO file: it needs the lists 'images' and 'annotations'.",
                         next="--format NAME")  # fmt: skip
    photos = {one.get("id"): one.get("file_name") for one in given["images"] if isinstance(one, dict)}
    met = set()
    for number, one in enumerate(given["annotations"], start=1):
        item = f"annotation {number}"
        if not isinstance(one, dict) or one.get("image_id") not in photos:
            yield BadRow(item, "bad_row", told("names no photo of the list 'images'"))
            continue
        met.add(one["image_id"])
        cells = {key: value for key, value in one.items() if key not in ("id", "image_id")}
        columns = choose_columns(["file_name", *cells], "file_name", caption_column, str(source))
        yield from rows_of(item, {"file_name": photos[one["image_id"]], **cells}, columns)
    for key, name in photos.items():
        if key not in met and name:
            yield Row(f"image {key}", str(name), "")


def read_label_studio(
    source: Path, image_column: str | None = None, caption_column: str | None = None
) -> Rows:
    """Tasks as Label Studio exports them (JSON): the photo from `data`, captions from the text areas named "caption".

    A task whose annotations hold no caption has that of its `data`. Cancelled annotations do not count.
    """
    given = _json(source)
    if not isinstance(given, list):
        raise GenbaError(f"{source} is no list of Label Studio tasks.", next="--format NAME")
    for number, task in enumerate(given, start=1):
        item = f"task {number}"
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict):
            yield BadRow(item, "bad_row", told("a task without 'data'"))
            continue
        columns = choose_columns(list(data), image_column, caption_column or _caption(data), str(source))
        cells: Cells = dict(data)
        cells[columns.image] = local_file(cells.get(columns.image))
        if texts := list(_texts(task)):
            for name in columns.captions:
                cells[name] = texts
                texts = []
        yield from rows_of(item, cells, columns)


def _caption(data: Cells) -> str | None:
    return "caption" if "caption" in data else None


def _texts(task: Cells) -> Iterator[str]:
    for annotation in task.get("annotations") or []:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result") or []:
            if not isinstance(result, dict) or result.get("from_name") != "caption":
                continue
            value = result.get("value")
            text = value.get("text") if isinstance(value, dict) else None
            yield from (str(one) for one in (text if isinstance(text, list) else [text]) if one)


def local_file(address: Any) -> Any:
    """The path in an address of Label Studio's local files: /data/local-files/?d=a%20b.jpg -> "a b.jpg"."""
    if not isinstance(address, str) or not address.startswith("/data/local-files/"):
        return address
    return parse_qs(urlsplit(address).query).get("d", [address])[0]


def read_webdataset(source: Path, image_column: str | None = None, caption_column: str | None = None) -> Rows:
    """Tars of samples KEY.jpg, KEY.txt, KEY.json: the caption from the JSON, else the text; the photo by its name.

    The photo is KEY.jpg beside the tar where it was unpacked, else the `image` of the JSON under a photo root.
    """
    tars = [source] if source.is_file() else sorted(source.glob("*.tar"))
    if not tars:
        raise GenbaError(f"{source} holds no .tar.", next="genba ingest SITE FOLDER")
    for path in tars:
        for key, members in groupby(_members(path), key=lambda member: member[0]):
            yield from _sample(path, key, {ending: content for _, ending, content in members}, caption_column)


def _members(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """(key, ending, content) of each file; the content of photos is not read."""
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                key, _, ending = name.partition(".")
                ending = ending.lower()
                file = tar.extractfile(member) if ending in TEXTS and member.size <= MOST_BYTES else None
                yield f"{folder}/{key}".lstrip("/"), ending, file.read() if file else b""
    except (tarfile.TarError, EOFError) as error:
        raise GenbaError(f"{path} is not a whole tar: {error}.", next="write it again") from None


def _sample(path: Path, key: str, parts: dict[str, bytes], caption_column: str | None) -> Rows:
    item = f"{path.name}: {key}"
    photo = next((f"{key}.{ending}" for ending in parts if ending not in TEXTS), "")
    try:
        cells = json.loads(parts["json"]) if "json" in parts else {}
        text = parts.get("txt", b"").decode()
    except ValueError as error:
        yield BadRow(item, "bad_row", told("not JSON or text in UTF-8: {error}", error=str(error)))
        return
    if not isinstance(cells, dict):
        yield BadRow(item, "bad_row", told("a JSON {kind}, not an object", kind=type(cells).__name__))
        return
    name = caption_column or "caption"
    cells.setdefault(name, text)
    if photo and ((path.parent / photo).is_file() or "image" not in cells):
        cells["image"] = str(path.parent / photo) if (path.parent / photo).is_file() else photo
    columns = Columns("image", {name: None}, "language" if "language" in cells else None)
    yield from rows_of(item, cells, columns)


def _json(source: Path) -> Any:
    try:
        return json.loads(source.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise GenbaError(f"{source} is not JSON in UTF-8: {error}.", next="--format NAME") from None
