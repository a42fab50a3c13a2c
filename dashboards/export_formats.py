"""The formats of an export, as writers: made for a folder, given row after row, closed. FORMATS holds them by name.

    csv, parquet     one row for each caption; photos by their path under the photo root
    coco             COCO captions: images and annotations
    label-studio     tasks with the caption as an annotation of the text area "caption" (its Image Captioning template)
    webdataset       tars of KEY.jpg, KEY.txt, KEY.json, at most 1,000 pairs each, by split
    hf               Hugging Face image folder: one folder for each split with photos and metadata.jsonl

The columns are image, caption, language, the bookkeeping (genba_…) and the columns that came with the captions. Every
format is read back by `genba ingest` to the same captions, languages and columns; those without photos in them to the
very same pairs. webdataset and hf hold copies of the photos without their metadata, which are other files than the
photos, so their photos and pairs get other ids. The tars are written with Python's own tarfile: a WebDataset is
an ordinary tar whose members stand in order, and nothing else is needed for it.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from dashboards.export_rows import Exported
from data.columns import is_taken
from data.rows import OURS
from data.served import copy_size
from data.spreadsheet import guarded

if TYPE_CHECKING:
    import pyarrow

SHARD_PAIRS, SHARD_BYTES = 1000, 256 << 20
HF_SPLITS = {"train": "train", "val": "validation", "test": "test"}
LOCAL_FILES = "/data/local-files/?d="  # how Label Studio addresses photos of its local storage
Cell = str | int | bool | None


class Writer(Protocol):
    """Takes rows with the name of the photo, or with its copy where the format holds photos."""

    def write(self, row: Exported, image: str, copy: Path | None) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Columns:
    """Extra column -> the name under which it is written: one that would be read as photo or caption gets another."""

    names: dict[str, str]

    @classmethod
    def of(cls, extras: Sequence[str], left_out: Sequence[str] = ()) -> Columns:
        names: dict[str, str] = {}
        for extra in extras:
            name = extra
            while is_taken(name) or name.startswith(OURS) or name in names.values() or (
                name != extra and name in extras
            ):  # fmt: skip
                name = f"extra_{name}"
            if extra not in left_out:
                names[extra] = name
        return cls(names)

    def cells(self, row: Exported, image: str) -> dict[str, Any]:
        """A row with its extra columns as they came."""
        extra = {name: row.extra[key] for key, name in self.names.items() if key in row.extra}
        return self._own(row, image) | extra

    def flat(self, row: Exported, image: str) -> dict[str, Cell]:
        """A row for a table: every column, in the same order; an extra column is a text or None."""
        extra = {name: _text(row.extra.get(key)) for key, name in self.names.items()}
        return self._own(row, image) | extra

    def _own(self, row: Exported, image: str) -> dict[str, Any]:
        return {"image": image, "caption": row.caption, "language": row.language, **row.bookkeeping()}


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(cells: Mapping[str, Any]) -> bytes:
    return json.dumps(cells, ensure_ascii=False).encode()


@dataclass
class CsvWriter:
    """captions.csv: UTF-8 with mark; a cell that a spreadsheet program would run begins with an apostrophe."""

    folder: Path
    columns: Columns
    _file: IO[str] | None = None
    _csv: Any = None

    def write(self, row: Exported, image: str, copy: Path | None) -> None:
        cells = self.columns.flat(row, image)
        if self._file is None:
            self._file = (self.folder / "captions.csv").open("w", encoding="utf-8-sig", newline="")
            self._csv = csv.writer(self._file)
            self._csv.writerow([guarded(name) for name in cells])
        self._csv.writerow([guarded(_text(cell) or "") for cell in cells.values()])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass
class ParquetWriter:
    """captions.parquet, in groups of a thousand rows."""

    folder: Path
    columns: Columns
    _rows: list[dict[str, Cell]] = field(default_factory=list)
    _file: IO[bytes] | None = None
    _writer: Any = None

    def write(self, row: Exported, image: str, copy: Path | None) -> None:
        self._rows.append(self.columns.flat(row, image))
        if len(self._rows) == SHARD_PAIRS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        if not self._rows:
            return
        schema = self._schema(self._rows[0])
        if self._writer is None:
            self._file = (self.folder / "captions.parquet").open("wb")
            self._writer = parquet.ParquetWriter(self._file, schema)
        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=schema))
        self._rows = []

    def _schema(self, row: Mapping[str, Cell]) -> pyarrow.Schema:
        import pyarrow

        kinds = {"width": pyarrow.int32(), "height": pyarrow.int32(), "is_simulated": pyarrow.bool_()}
        return pyarrow.schema(
            [(name, kinds.get(name.removeprefix(OURS), pyarrow.string()) if name.startswith(OURS) else pyarrow.string())
             for name in row]
        )  # fmt: skip

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
        if self._file is not None:
            self._file.close()


@dataclass
class CocoWriter:
    """captions.json. Rows come photo by photo: images go to the file, annotations beside it until the end."""

    folder: Path
    columns: Columns
    _last: str = ""
    _images: int = 0
    _captions: int = 0

    def __post_init__(self) -> None:
        self._main = (self.folder / "captions.json").open("wb")
        self._main.write(
            b'{"info": {"description": "Corrected captions, written by genba export"},\n"images": ['
        )
        self._beside = (self.folder / "annotations.part").open("w+b")

    def write(self, row: Exported, image: str, copy: Path | None) -> None:
        if row.image_id != self._last:
            self._images, self._last = self._images + 1, row.image_id
            size = (row.width, row.height) if copy is None else copy_size(copy)
            about = {"id": self._images, "file_name": image, "width": size[0], "height": size[1],
                     OURS + "split": row.split}  # fmt: skip
            self._main.write((b",\n" if self._images > 1 else b"\n") + _line(about))
        self._captions += 1
        cells = {key: value for key, value in self.columns.cells(row, image).items()
                 if key not in ("image", "id", "image_id")}  # fmt: skip
        self._beside.write(b",\n" if self._captions > 1 else b"\n")
        self._beside.write(_line({"id": self._captions, "image_id": self._images, **cells}))

    def close(self) -> None:
        self._main.write(b'\n],\n"annotations": [')
        self._beside.seek(0)
        shutil.copyfileobj(self._beside, self._main)
        self._main.write(b"\n]}\n")
        self._beside.close()
        self._main.close()
        (self.folder / "annotations.part").unlink()


@dataclass
class LabelStudioWriter:
    """tasks.json for the import of Label Studio; photos through its local storage, rooted where the paths begin."""

    folder: Path
    columns: Columns
    _count: int = 0

    def __post_init__(self) -> None:
        self._file = (self.folder / "tasks.json").open("wb")

    def write(self, row: Exported, image: str, copy: Path | None) -> None:
        self._count += 1
        result = {"id": row.pair_id[:10], "from_name": "caption", "to_name": "image", "type": "textarea",
                  "value": {"text": [row.caption]}}  # fmt: skip
        data = self.columns.cells(row, LOCAL_FILES + quote(image))
        task = {"id": self._count, "data": data, "annotations": [{"result": [result]}]}
        self._file.write((b",\n" if self._count > 1 else b"[\n") + _line(task))

    def close(self) -> None:
        self._file.write(b"\n]\n" if self._count else b"[]\n")
        self._file.close()


@dataclass
class WebDatasetWriter:
    """SPLIT-000000.tar, …: one sample for each caption, its key the pair's id."""

    folder: Path
    columns: Columns
    _tar: tarfile.TarFile | None = None
    _split: str = ""
    _shard: int = 0
    _pairs: int = 0

    def write(self, row: Exported, image: str, copy: Path | None) -> None:
        assert copy is not None  # this format holds photos
        tar = self._tar_for(row.split)
        self._pairs += 1
        cells = self.columns.cells(row, image or f"{row.pair_id}.jpg")
        for ending, content in (
            ("jpg", copy.read_bytes()),
            ("txt", row.caption.encode()),
            ("json", _line(cells)),
        ):
            member = tarfile.TarInfo(f"{row.pair_id}.{ending}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    def _tar_for(self, split: str) -> tarfile.TarFile:
        is_new_split = split != self._split
        if self._tar is not None and (
            is_new_split or self._pairs >= SHARD_PAIRS or self._tar.offset >= SHARD_BYTES
        ):
            self.close()
        if self._tar is None:
            self._shard = 0 if is_new_split else self._shard + 1
            self._split, self._pairs = split, 0
            path = self.folder / f"{split}-{self._shard:06d}.tar"
            self._tar = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)
        return self._tar

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
        self._tar = None


@dataclass
class HfWriter:
    """train/, validation/, test/ with photos and metadata.jsonl; several captions of a photo name the same file."""

    folder: Path
    columns: Columns
    _table: IO[bytes] | None = None
    _split: str = ""
    _last: str = ""

    def write(self, row: Exported, image: str, copy: Path | None) -> None:
        assert copy is not None  # this format holds photos
        if row.split != self._split or self._table is None:
            self.close()
            (self.folder / HF_SPLITS[row.split]).mkdir()
            self._table = (self.folder / HF_SPLITS[row.split] / "metadata.jsonl").open("wb")
            self._split = row.split
        name = f"{row.image_id}.jpg"
        if row.image_id != self._last:
            shutil.copyfile(copy, self.folder / HF_SPLITS[row.split] / name)
            self._last = row.image_id
        cells = self.columns.cells(row, name)
        every = dict.fromkeys(
            self.columns.names.values()
        )  # the reader of that library wants the same columns
        self._table.write(_line({"file_name": cells.pop("image"), **every, **cells}) + b"\n")

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
        self._table = None


@dataclass(frozen=True)
class Format:
    """holds_photos: the copies go into the format's own files."""

    writer: Callable[[Path, Columns], Writer]
    holds_photos: bool


FORMATS: dict[str, Format] = {
    "webdataset": Format(WebDatasetWriter, True),
    "csv": Format(CsvWriter, False),
    "parquet": Format(ParquetWriter, False),
    "coco": Format(CocoWriter, False),
    "hf": Format(HfWriter, True),
    "label-studio": Format(LabelStudioWriter, False),
}
