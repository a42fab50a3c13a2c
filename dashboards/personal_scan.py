"""Looks through captions and photos for personal data: the job "privacy". Incremental, resumed where it was cut off.

    counts = scan(site, with_photos=True, progress=progress)      # Scanned; a second call looks at nothing
    progress_of(site)                                             # Progress of both, for the page

Distinct captions are looked through once for each version of the rules (terms, regions, names are part of it),
photos once for each version of the detectors. What was found is written every few seconds; a finding has the same id
whenever it is found, so a decision on it stands after another scan.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from annotate.people import accounts
from dashboards import personal_data, personal_photos
from dashboards.personal_data import Rules, found_in
from dashboards.personal_names import known_names
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.photos import PhotoError
from data.site import Site
from data.store import Database, now

CAPTION, PHOTO = "caption", "photo"
FACE, PLACE = "face", "gps"
CAPTION_BATCH = 5000
WRITE_SECONDS = 5.0  # how much work a kill may cost

AUTHORS_SQL = """
SELECT DISTINCT json_extract_string(extra, '/author') AS name FROM (SELECT DISTINCT extra FROM pairs)
WHERE json_extract_string(extra, '/author') IS NOT NULL
UNION SELECT name FROM annotators WHERE NOT simulated
UNION SELECT annotator FROM corrections WHERE NOT simulated
UNION SELECT reviewer FROM reviews WHERE reviewer IS NOT NULL AND NOT coalesce(simulated, false)
"""
CAPTIONS_SQL = """
SELECT p.caption_id AS item, min(p.caption) AS caption FROM pairs p
LEFT JOIN privacy_scans s ON s.kind = 'caption' AND s.item = p.caption_id AND s.detector = $detector
WHERE p.state = 'captioned' AND s.item IS NULL GROUP BY p.caption_id ORDER BY p.caption_id
"""
PHOTOS_SQL = """
SELECT i.image_id AS item, i.root, i.uri FROM images i
LEFT JOIN privacy_scans s ON s.kind = 'photo' AND s.item = i.image_id AND s.detector = $detector
WHERE s.item IS NULL OR s.problem IS NOT NULL ORDER BY s.problem IS NOT NULL, i.image_id
"""
DONE_SQL = """
SELECT (SELECT count(DISTINCT caption_id) FROM pairs WHERE state = 'captioned') AS captions,
       (SELECT count(*) FROM images) AS photos,
       (SELECT count(*) FROM privacy_scans s WHERE kind = 'caption' AND detector = $captions
            AND item IN (SELECT caption_id FROM pairs)) AS captions_done,
       (SELECT count(*) FROM privacy_scans WHERE kind = 'photo' AND detector = $photos) AS photos_done,
       (SELECT count(*) FROM privacy_scans WHERE kind = 'photo' AND detector = $photos
            AND problem IS NOT NULL) AS unreadable,
       (SELECT max(scanned_at) FROM privacy_scans) AS at
"""
Row = dict[str, Any]


@dataclass(frozen=True)
class Scanned:
    """What one scan did. unreadable: photos that could not be opened; the next scan tries them again, last of all: a
    disk that was not there may be back."""

    captions: int
    photos: int
    findings: int
    unreadable: int


@dataclass(frozen=True)
class Done:
    """How much was looked through by the rules of now; `at`: the last time anything was, None: never."""

    captions: int
    captions_done: int
    photos: int
    photos_done: int
    unreadable: int
    at: datetime | None


def rules_of(site: Site, db: Database) -> Rules:
    """The rules of a site: its settings, and the names that its store knows."""
    names = {row["name"] for row in db.rows(AUTHORS_SQL)}
    names |= set(accounts(db).values()) | set(site.settings.review.leads)
    section = site.settings.privacy
    return Rules(
        tuple(section.forbidden_terms), tuple(section.phone_regions), known_names(one for one in names if one)
    )


def detector_of(rules: Rules) -> str:
    """Names the rules: captions that were looked through by others are looked through again."""
    parts = [
        personal_data.VERSION, rules.terms, rules.phone_regions, sorted(rules.known.japanese),
        sorted(rules.known.latin),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


PHOTO_DETECTOR = f"faces-{personal_photos.VERSION}"


def progress_of(site: Site) -> Done:
    """How far the scans have come."""
    with site.connect() as db:
        detectors = {"captions": detector_of(rules_of(site, db)), "photos": PHOTO_DETECTOR}
        row = db.rows(DONE_SQL, detectors)[0]
    return Done(**row)


def job(site: Site, given: Row, progress: Progress) -> Row:
    """The job "privacy": given {"photos": bool}."""
    return vars(scan(site, bool(given.get("photos")), progress))


def scan(site: Site, with_photos: bool = False, progress: Progress = silent) -> Scanned:
    """Look through all captions, and with_photos all photos, that were not yet. What `progress` raises is let through
    once what was found is written."""
    with site.connect() as db:
        rules = rules_of(site, db)
        detector = detector_of(rules)
        captions = db.table(CAPTIONS_SQL, {"detector": detector})
    written = _Writer(site, CAPTION, detector)
    with written:
        for done, (item, caption) in enumerate(_texts(captions)):
            written.add(item, [(hit.kind, hit.text, {}) for hit in found_in(caption, rules)])
            if done % 100 == 0:
                progress(done, len(captions), "captions")
    seen = _photos(site, progress) if with_photos else _Writer(site, PHOTO, PHOTO_DETECTOR)
    return Scanned(written.items, seen.items, written.findings + seen.findings, seen.problems)


def _texts(table: Any) -> Iterator[tuple[str, str]]:
    for batch in table.to_batches(CAPTION_BATCH):
        yield from zip(batch["item"].to_pylist(), batch["caption"].to_pylist(), strict=True)


def _photos(site: Site, progress: Progress) -> _Writer:
    with site.connect() as db:
        photos = db.table(PHOTOS_SQL, {"detector": PHOTO_DETECTOR})
    written = _Writer(site, PHOTO, PHOTO_DETECTOR)
    with written:
        for done, row in enumerate(photos.to_pylist()):
            progress(done, len(photos), "photos")
            try:
                faces, position = personal_photos.look_at(site.photo_path(row["root"], row["uri"]))
            except PhotoError as error:
                written.add(row["item"], [], error.reason)
                continue
            except GenbaError:  # its root is no longer in genba.toml
                written.add(row["item"], [], "not_found")
                continue
            found: list[tuple[str, str, Row]] = []
            if faces:
                found.append((FACE, "", {"boxes": [vars(box) for box in faces]}))
            if position:
                found.append((PLACE, "", {"latitude": position[0], "longitude": position[1]}))
            written.add(row["item"], found)
    return written


@dataclass
class _Writer:
    """Gathers results and writes them every few seconds, and at the end also when the work was broken off."""

    site: Site
    kind: str
    detector: str
    items: int = 0
    findings: int = 0
    problems: int = 0
    _scans: list[Row] = field(default_factory=list)
    _found: list[Row] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, item: str, found: Iterable[tuple[str, str, Row]], problem: str | None = None) -> None:
        """found: (what, text, detail) of each finding in the item."""
        at = now()
        self._scans.append(
            {
                "kind": self.kind,
                "item": item,
                "detector": self.detector,
                "problem": problem,
                "scanned_at": at,
            }
        )
        rows = [
            {"finding_id": finding_id(self.kind, item, what, text), "kind": self.kind, "item": item, "what": what,
             "text": text, "detail": detail, "found_at": at} for what, text, detail in found
        ]  # fmt: skip
        self._found += rows
        self.items += 1
        self.findings += len(rows)
        self.problems += problem is not None
        if time.monotonic() - self._written > WRITE_SECONDS or len(self._scans) >= CAPTION_BATCH:
            self._write()

    def _write(self) -> None:
        if self._scans:
            with self.site.connect() as db:
                # what an earlier version found in the same items is gone unless it is found again
                db.execute(
                    "DELETE FROM privacy_findings WHERE kind = ? AND item IN (SELECT unnest(?))",
                    [self.kind, [row["item"] for row in self._scans]],
                )
                db.insert("privacy_findings", self._found, on_conflict="replace")
                db.insert("privacy_scans", self._scans, on_conflict="replace")
        self._scans, self._found = [], []
        self._written = time.monotonic()


def finding_id(kind: str, item: str, what: str, text: str) -> str:
    """The same for the same finding, whenever it is found."""
    return hashlib.sha256("\x00".join((kind, item, what, text)).encode()).hexdigest()[:32]
