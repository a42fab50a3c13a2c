"""Photos and captions in: read rows, find and check each photo, group it, store it. Doing it again adds nothing.

    genba ingest SITE SOURCE [--format sidecar|csv|xlsx|jsonl|parquet] [--image-column NAME] [--caption-column NAME]

The source is read twice: once to count its rows and to find what makes no sense before anything is written, once to
take them in. Photos are hashed and decoded in two threads outside any transaction; each batch of rows is one short
transaction, so a killed ingest goes on where it stopped and ends as an uninterrupted one would.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import GenbaError
from data.ingest_store import Entry, SiteIndex
from data.jobs import Progress, silent
from data.photo_files import PhotoFile, PhotoFinder
from data.photos import DECODERS, PHOTO_REASONS, PhotoError, PhotoFacts, image_hash, read_photo_facts
from data.readers import READERS, BadRow, Row, find_table
from data.records import Reject, pair_id
from data.rejects import storable
from data.rows import place
from data.site import Site
from data.store import now
from data.told import told

BATCH_ROWS = 2000
MAX_CAPTION = (
    2000  # characters; an encoder reads some 77 tokens, so anything longer is a document, not a caption
)

REASONS = {
    **PHOTO_REASONS,
    "outside_root": "the file is there, but under no photo root",
    "empty_row": "a row without photo and caption",
    "bad_row": "a row that cannot be read",
    "duplicate": "the same stands earlier in the same source",
    "caption_too_long": told("the caption has more than {n} characters", n=MAX_CAPTION),
}


@dataclass(frozen=True)
class IngestResult:
    """rows = added + known + missing + all rejected."""

    rows: int
    added: int  # new pairs with a caption
    known: int  # rows whose pair the site had, or whose photo has a caption where the row has none
    missing: int  # new pairs of photos that have no caption yet
    rejected: dict[str, int]  # reason (a key of REASONS) -> rows; each stands in the table rejects
    images_added: int
    left: int = 0  # rows whose photo may still be written: not counted above, and read the next time


def ingest(
    site: Site,
    source: str | Path,
    format: str | None = None,
    image_column: str | None = None,
    caption_column: str | None = None,
    progress: Progress | None = None,
    leave: Callable[[Path], bool] | None = None,
) -> IngestResult:
    """Take in a table or a folder. Raises GenbaError before anything is written when the source makes no sense.

    leave: photos to be left out this time (data/watch.py: those that may still be written).
    """
    path, known_format = find_table(Path(source), format)
    roots = [Path(root).resolve() for root in site.settings.photos.roots]
    if known_format == "sidecar":
        _require_readable(path, roots)

    def rows() -> Iterator[Row | BadRow]:
        return READERS[known_format](path, image_column, caption_column)

    total = _count(rows(), path, "" if known_format == "sidecar" else site.settings.photos.group_by)
    finder = PhotoFinder(roots, (path if path.is_dir() else path.parent).resolve())
    with ingest_lock(site):
        run = _Run(
            SiteIndex.load(site), str(Path(source).resolve()), finder, total, progress or silent, leave
        )
        stream = rows()
        while batch := list(islice(stream, BATCH_ROWS)):
            run.take(batch)
        return run.finish()


@contextmanager
def ingest_lock(site: Site) -> Iterator[None]:
    """One ingest or relink at a time: groups are drawn from all photos that came before."""
    try:
        with FileLock(str(site.root / ".ingest.lock"), timeout=1):
            yield
    except Timeout:
        raise GenbaError(
            f"Another ingest into {site.root} is running.", next="wait for it: genba jobs SITE"
        ) from None


def clean_caption(caption: str) -> str:
    """As it is stored: stripped, without control characters; "" when nothing of it can be seen."""
    joiners = "\u200c\u200d"  # part of some scripts and of emoji
    kept = "".join(c for c in caption if c.isspace() or c.isprintable() or c in joiners).strip()
    return kept if any(c.isprintable() and not c.isspace() for c in kept) else ""


def _require_readable(folder: Path, roots: Sequence[Path]) -> None:
    real = folder.resolve()
    if not any(real.is_relative_to(root) or root.is_relative_to(real) for root in roots):
        raise GenbaError(
            f"The folder {real} lies under no photo root, and nothing else may be read.",
            choices=map(str, roots),
            next="add it to photos.roots in genba.toml",
        )


def _count(rows: Iterator[Row | BadRow], path: Path, group_by: str) -> int:
    """Rows of the source; on the way it is found out whether it can be read to its end."""
    total, columns = 0, {}
    for row in rows:
        total += 1
        if group_by and isinstance(row, Row):
            columns.update(dict.fromkeys(row.extra))
    if not total:
        raise GenbaError(
            f"{path} holds no {'photos' if path.is_dir() else 'rows'}.", next="genba ingest SITE SOURCE"
        )
    if group_by and group_by not in columns:
        raise GenbaError(
            f"{path} has no column {group_by!r}, which photos.group_by names.", choices=columns,
            next="correct photos.group_by in genba.toml, or make it empty",
        )  # fmt: skip
    return total


@dataclass
class _Run:
    """One ingest: what this run has met so far, and its counts."""

    index: SiteIndex
    source: str
    finder: PhotoFinder
    total: int
    progress: Progress
    leave: Callable[[Path], bool] | None
    started_at: datetime = field(default_factory=now)
    facts: dict[Path, PhotoFacts | PhotoError | str] = field(
        default_factory=dict
    )  # str: the id of a known photo
    met: dict[str, tuple[str, int]] = field(default_factory=dict)  # pair_id -> (its item, hash of its extra)
    missing: set[str] = field(default_factory=set)  # pairs without caption that this run added
    counts: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)  # of the batch at hand
    rejected: Counter[str] = field(default_factory=Counter)

    def take(self, rows: Sequence[Row | BadRow]) -> None:
        """One batch: everything slow first, then one transaction."""
        self.rejects = []
        files = list(self._find(rows))
        found = len(files)
        files = [(row, file) for row, file in files if not (self.leave and self.leave(file.path))]
        left = found - len(files)
        self._look_at(list(dict.fromkeys(file.path for _, file in files if file.path not in self.facts)))
        entries = [entry for row, file in files if (entry := self._entry(row, file))]
        photos: dict[str, tuple[PhotoFile, PhotoFacts | None]] = {}
        for _, file in files:
            facts = self.facts[file.path]
            if isinstance(facts, str):
                photos.setdefault(facts, (file, None))
            elif isinstance(facts, PhotoFacts):
                photos.setdefault(facts.image_id, (file, facts))
        with self.index.site.connect() as db:
            written = self.index.write(db, entries, photos, self.rejects)
        self.missing = (self.missing | written.missing) - written.no_longer_missing
        self.counts["rows"] += len(rows) - left
        self.counts["left"] += left
        self.counts["entries"] += len(entries)
        self.counts["added"] += len(written.pairs)
        self.counts["images_added"] += written.images
        self.progress(self.counts["rows"], self.total, "")

    def finish(self) -> IngestResult:
        """Forget what an earlier run of the same source rejected and this one did not."""
        counts, missing = self.counts, len(self.missing)
        result = IngestResult(
            counts["rows"], counts["added"], counts["entries"] - counts["added"] - missing, missing,
            dict(self.rejected.most_common()), counts["images_added"], counts["left"],
        )  # fmt: skip
        with self.index.site.connect() as db:
            db.execute(
                "DELETE FROM rejects WHERE source = ? AND rejected_at < ?", [self.source, self.started_at]
            )
            if result.added or result.missing:
                db.event("genba", "ingest", {"source": self.source, **vars(result)})
        return result

    def _reject(self, item: str, reason: str, detail: str) -> None:
        self.rejected[reason] += 1
        self.rejects.append(Reject(self.source, storable(item), reason, detail))

    def _find(self, rows: Sequence[Row | BadRow]) -> Iterator[tuple[Row, PhotoFile]]:
        for row in rows:
            if isinstance(row, BadRow):
                self._reject(row.item, row.reason, row.detail)
                continue
            try:
                yield row, self.finder.find(row.image)
            except PhotoError as error:
                self._reject(row.item, error.reason, error.what)

    def _look_at(self, paths: Sequence[Path]) -> None:
        """Hash files that this run has not seen; decode those whose hash the site does not know."""
        before, share = self.counts["rows"], min(BATCH_ROWS, self.total) / max(1, len(paths))
        pool = ThreadPoolExecutor(DECODERS)
        try:
            for done, (path, facts) in enumerate(zip(paths, pool.map(self._facts, paths), strict=True)):
                self.facts[path] = facts
                if done % 20 == 0:
                    self.progress(min(before + int(done * share), self.total), self.total, "")
        finally:
            pool.shutdown(cancel_futures=True)

    def _facts(self, path: Path) -> PhotoFacts | PhotoError | str:
        try:
            image_id = image_hash(path)
            if image_id in self.index.places:
                return image_id
            return read_photo_facts(path, self.index.site.settings.photos.max_megapixels, image_id)
        except PhotoError as error:
            return error

    def _entry(self, row: Row, file: PhotoFile) -> Entry | None:
        facts, caption = self.facts[file.path], clean_caption(row.caption)
        if isinstance(facts, PhotoError):
            self._reject(row.item, facts.reason, facts.what)
            return None
        if len(caption) > MAX_CAPTION:
            what = told("{n} characters: {start} ...", n=len(caption), start=caption[:60])
            self._reject(row.item, "caption_too_long", what)
            return None
        image_id = facts if isinstance(facts, str) else facts.image_id
        identity = pair_id(image_id, caption)
        extra = hash(json.dumps(row.extra, sort_keys=True))
        if identity in self.met:
            first, its_extra = self.met[identity]
            text = told("the same photo and caption as {item}", item=place(first))
            if extra != its_extra:
                text = told("{text}; other columns differ, and those of the first count", text=text)
            self._reject(row.item, "duplicate", text)
            return None
        self.met[identity] = (row.item, extra)
        return Entry(identity, image_id, caption, row.language, row.extra)
