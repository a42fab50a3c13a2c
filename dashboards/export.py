"""Corrected data, back out: photos with their best captions in a format that others read, and a data card beside it.

    genba export SITE OUT --format webdataset|csv|parquet|coco|hf|label-studio

Everything is written to a hidden folder beside OUT, which gets OUT's name once it is whole: a killed export leaves
nothing half under that name, and the next one removes what it left. Photos go out as the copies that a browser gets
(upright, no GPS, at most 1,600 px) where the format holds photos or `with_photos` asks for it; else as paths under the
photo root. Which captions: dashboards/export_rows.py.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dashboards import data_card
from dashboards.export_formats import FORMATS, Columns
from dashboards.export_rows import Exported, copy_rows, extra_names, read_rows
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.messages import translator
from data.photos import DECODERS, PhotoError
from data.served import served_copy, served_name
from data.site import Site

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AHEAD = 64  # rows whose photos are made ready before they are written


@dataclass(frozen=True)
class Choice:
    """What a person chooses. left_out: extra columns that stay here; licence: as it shall stand on the data card."""

    format: str
    untouched: bool = False
    with_photos: bool = False
    left_out: tuple[str, ...] = ()
    licence: str = ""
    language: str = ""  # of the data card; "": the site's first


@dataclass(frozen=True)
class Result:
    """captions = corrected + confirmed + untouched written; left_out: reason -> captions whose photo could not go."""

    folder: str
    format: str
    captions: int
    photos: int
    corrected: int
    confirmed: int
    untouched: int
    left_out: dict[str, int]
    seconds: float
    captions_per_second: float


def export(site: Site, out: str | Path, choice: Choice, progress: Progress = silent) -> Result:
    """Write the export. Raises GenbaError for a folder that is not empty, a full disk, or when there is nothing."""
    folder = Path(out).absolute()
    columns = _checked(site, folder, choice)
    started = time.monotonic()
    with _made_whole(folder) as part:
        rows_file = part / "rows.part"
        with site.connect() as db:
            total = copy_rows(db, choice.untouched, rows_file)
        if not total:
            raise _nothing(site, choice)
        tally = data_card.Tally()
        held = FORMATS[choice.format].holds_photos or choice.with_photos
        writer = FORMATS[choice.format].writer(part, columns)
        for done, ready in enumerate(_ready(site, rows_file, held), start=1):
            if ready.problem:
                tally.left_out[ready.problem] += 1
                continue
            image = _put(ready, part, choice) if ready.copy else ready.image
            writer.write(ready.row, image, ready.copy)
            tally.add(ready.row)
            if done % 200 == 0:
                progress(done, total, "")
        writer.close()
        rows_file.unlink()
        card = data_card.collect(site, tally, choice.format, held, columns.names, choice.licence)
        data_card.write(card, part, choice.language or site.language)
        progress(total, total, "")
    seconds = time.monotonic() - started
    with site.connect() as db:
        db.event(
            "genba", "export", {"folder": str(folder), "format": choice.format, "captions": tally.captions}
        )
    return Result(
        str(folder), choice.format, tally.captions, tally.photos, tally.statuses["corrected"],
        tally.statuses["confirmed"], tally.statuses["untouched"], dict(tally.left_out), round(seconds, 2),
        round(tally.captions / max(seconds, 1e-6), 1),
    )  # fmt: skip


def _checked(site: Site, folder: Path, choice: Choice) -> Columns:
    if choice.format not in FORMATS:
        raise GenbaError(f"No format {choice.format!r}.", choices=FORMATS, next="--format NAME")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GenbaError(
            f"{folder} is not an empty folder, so nothing was written.", next="choose another folder"
        )
    for root in site.settings.photos.roots:
        if folder.is_relative_to(Path(root).resolve()):
            raise GenbaError(f"{folder} lies inside the photo folder {root}, where Genba never writes.",
                             next="choose another folder")  # fmt: skip
    translator(choice.language or site.language)  # an unknown language fails before anything is written
    extras = extra_names(site)
    unknown = [name for name in choice.left_out if name not in extras]
    if unknown:
        raise GenbaError(f"The captions have no column {unknown[0]!r}.", choices=extras, next="--drop COLUMN")
    return Columns.of(extras, choice.left_out)


def _nothing(site: Site, choice: Choice) -> GenbaError:
    if choice.untouched:
        return GenbaError("There is no caption to export.", next=f"genba ingest {site.root} SOURCE")
    return GenbaError("Nobody has corrected or confirmed a caption yet, so there is nothing to export.",
                      next=f"genba export {site.root} OUT --untouched, for those that nobody has judged")  # fmt: skip


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the final one, renamed at the end; removed when the block raises."""
    _sweep(folder)
    part = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        part.mkdir(parents=True)
        yield part
        if folder.is_dir():
            folder.rmdir()  # empty, or it raises
        os.replace(part, folder)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise GenbaError(
                f"There is no room for {folder}: {error.strerror}. Nothing was left there.",
                next=f"make room, or choose a folder on another disk: df -h {folder.parent}",
            ) from error
        if isinstance(error, (PermissionError, FileNotFoundError, NotADirectoryError)) or error.errno in (
            errno.EROFS, errno.ENOTEMPTY
        ):  # fmt: skip
            raise GenbaError(f"{folder} cannot be written: {error.strerror}: {error.filename}.",
                             next="choose another folder") from error  # fmt: skip
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """What a killed export of the same name left: its process is gone."""
    import psutil

    for left in folder.parent.glob(f".{folder.name}.*.part"):
        owner = re.fullmatch(r"(\d+)-[0-9a-f]+\.part", left.name.removeprefix(f".{folder.name}."))
        if owner and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Ready:
    """A row that can be written, with the name of its photo or a copy of it; or why it cannot."""

    row: Exported
    image: str = ""
    copy: Path | None = None
    problem: str = ""


@dataclass
class _Photos:
    """Names and copies of photos, each looked for once while its rows pass."""

    site: Site
    held: bool
    roots: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.roots = [Path(root) for root in self.site.settings.photos.roots]

    def find(self, row: Exported) -> tuple[str, Path | None, str]:
        """(name, copy, problem)."""
        name = f"./{row.uri}" if row.uri != row.uri.strip() else row.uri
        if any((root / row.uri).is_file() for root in self.roots[: row.root]):
            name = ""  # it would be read as another photo
        if self.held:
            try:
                return name, served_copy(self.site, row.image_id, (row.root, row.uri)), ""
            except PhotoError as error:
                return "", None, error.reason
        if row.root >= len(self.roots) or not (self.roots[row.root] / row.uri).is_file():
            return "", None, "not_found"
        return name, None, "" if name else "name_in_two_roots"


def _ready(site: Site, rows_file: Path, held: bool) -> Iterator[Ready]:
    """Rows in order, their photos made ready in threads a little ahead."""
    photos = _Photos(site, held)
    waiting: deque[tuple[Exported, Future[tuple[str, Path | None, str]]]] = deque()
    last: tuple[str, Future[tuple[str, Path | None, str]]] | None = None
    pool = ThreadPoolExecutor(DECODERS)
    try:
        for row in read_rows(rows_file):
            if last is None or last[0] != row.image_id:
                last = row.image_id, pool.submit(photos.find, row)
            waiting.append((row, last[1]))
            if len(waiting) > AHEAD:
                yield _settled(*waiting.popleft())
        while waiting:
            yield _settled(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _settled(row: Exported, found: Future[tuple[str, Path | None, str]]) -> Ready:
    image, copy, problem = found.result()
    return Ready(row, image, copy, problem)


def _put(ready: Ready, part: Path, choice: Choice) -> str:
    """The name of a photo that goes out: as it was in the formats that hold photos themselves, else of a copy."""
    if ready.copy is None or FORMATS[choice.format].holds_photos:
        return ready.image
    path = part / "photos" / served_name(ready.row.image_id)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ready.copy, path)
    return path.relative_to(part).as_posix()
