"""One batch of an ingest, written in one transaction: photos with their groups, pairs, rejects, events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from data.near_duplicates import Groups, Newcomer, Placement
from data.photo_files import PhotoFile
from data.photos import PhotoFacts
from data.records import Reject, caption_id, language_of
from data.rejects import kept
from data.site import Site
from data.store import Database, now


@dataclass(frozen=True)
class Entry:
    """A row whose photo is good. caption "" = missing."""

    pair_id: str
    image_id: str
    caption: str
    language: str | None
    extra: dict[str, Any]


@dataclass(frozen=True)
class Written:
    """What one batch added."""

    pairs: frozenset[str]  # with a caption
    missing: frozenset[str]  # without
    no_longer_missing: frozenset[str]  # pairs without caption that went away, since their photo has one now
    images: int


@dataclass
class SiteIndex:
    """What the site has, in memory while one ingest runs.

    Within a batch photos are ordered by their id: a killed ingest loads them in that order, and goes on alike.
    """

    site: Site
    group_by: str
    groups: Groups = field(default_factory=Groups)
    places: dict[str, tuple[int, str]] = field(default_factory=dict)  # image_id -> (root, uri)
    group_of: dict[str, str] = field(default_factory=dict)  # image_id -> group_id when it came

    @classmethod
    def load(cls, site: Site) -> SiteIndex:
        index = cls(site, site.settings.photos.group_by)
        with site.connect() as db:
            rows = db.rows("SELECT * FROM images ORDER BY added_at, image_id")
            keys = _keys(db, index.group_by) if index.group_by else []
        index.places = {row["image_id"]: (row["root"], row["uri"]) for row in rows}
        index.group_of = {row["image_id"]: row["group_id"] for row in rows}
        index.groups.add([(row["dhash"], row["group_id"], row["split"]) for row in rows])
        for key, group_id in keys:
            index.groups.add_key(key, group_id)
        return index

    def write(
        self,
        db: Database,
        entries: Sequence[Entry],
        photos: Mapping[str, tuple[PhotoFile, PhotoFacts | None]],
        rejects: Iterable[Reject],
    ) -> Written:
        """entries: no pair_id twice. photos: image_id -> where it was found, and its facts unless the site knew it."""
        new = self._new(db, entries)
        images = self._write_images(db, new, photos)
        at = now()
        db.insert("pairs", [_pair_row(entry, at) for entry in new])
        removed = _drop_missing(db, [entry.image_id for entry in new if entry.caption])
        unique = {(one.item, one.reason): kept(one, at) for one in rejects}
        db.insert("rejects", unique.values(), on_conflict="replace")
        captioned = frozenset(entry.pair_id for entry in new if entry.caption)
        missing = frozenset(entry.pair_id for entry in new) - captioned
        return Written(captioned, missing, removed, images)

    def _new(self, db: Database, entries: Sequence[Entry]) -> list[Entry]:
        """Without what the site has, and without missing captions of photos that have one."""
        have = _among(db, "pair_id", "pairs", [entry.pair_id for entry in entries])
        captioned = _among(
            db, "image_id", "pairs WHERE state = 'captioned'", [e.image_id for e in entries if not e.caption]
        )
        captioned |= {entry.image_id for entry in entries if entry.caption}
        return [
            entry
            for entry in entries
            if entry.pair_id not in have and (entry.caption or entry.image_id not in captioned)
        ]

    def _write_images(
        self,
        db: Database,
        new: Sequence[Entry],
        photos: Mapping[str, tuple[PhotoFile, PhotoFacts | None]],
    ) -> int:
        self._follow_moved(db, photos)
        keys: dict[str, set[str]] = {entry.image_id: set() for entry in new}
        for entry in new:
            value = entry.extra.get(self.group_by) if self.group_by else None
            if value not in (None, ""):
                keys[entry.image_id].add(str(value))
        fresh = {
            i: facts
            for i, (_, facts) in sorted(photos.items())
            if facts and i in keys and i not in self.places
        }
        seen = [(key, self.group_of[i]) for i in keys if i not in fresh for key in sorted(keys[i])]
        newcomers = [Newcomer(i, facts.dhash, frozenset(keys[i])) for i, facts in fresh.items()]
        placement = self.groups.place(newcomers, seen)
        at = now()
        rows = [self._image_row(facts, photos[i][0], placement, at) for i, facts in fresh.items()]
        self._note_replaced(db, rows)
        db.insert("images", rows)
        self.places.update({row["image_id"]: (row["root"], row["uri"]) for row in rows})
        self.group_of.update(placement.group_of)
        _write_placement(db, placement)
        return len(rows)

    def _image_row(
        self, facts: PhotoFacts, file: PhotoFile, placement: Placement, at: datetime
    ) -> dict[str, Any]:
        group_id = placement.group_of[facts.image_id]
        return {
            **vars(facts), "uri": file.uri, "root": file.root, "group_id": group_id,
            "split": self.groups.split_of(group_id), "added_at": at,
        }  # fmt: skip

    def _follow_moved(self, db: Database, photos: Mapping[str, tuple[PhotoFile, PhotoFacts | None]]) -> None:
        """A photo that is found under another name, and no longer under the old one, was renamed."""
        roots = self.site.settings.photos.roots
        for image_id, (file, _) in photos.items():
            place = self.places.get(image_id)
            if place is None or place == (file.root, file.uri):
                continue
            if place[0] >= len(roots) or not self.site.photo_path(*place).is_file():
                self.places[image_id] = (file.root, file.uri)
                db.execute(
                    "UPDATE images SET root = ?, uri = ? WHERE image_id = ?", [file.root, file.uri, image_id]
                )

    def _note_replaced(self, db: Database, rows: Sequence[dict[str, Any]]) -> None:
        """Another photo under a name that the site knows: the old pairs' photo is gone, and doctor should say so."""
        at_place = {place: image_id for image_id, place in self.places.items()} if rows else {}
        for row in rows:
            old = at_place.get((row["root"], row["uri"]))
            if old:
                db.event("genba", "photo.replaced", {"uri": row["uri"], "old": old, "new": row["image_id"]})


def _keys(db: Database, group_by: str) -> list[tuple[str, str]]:
    """(value of the group_by column, group_id), oldest first."""
    rows = db.rows(
        "SELECT p.extra, i.group_id FROM pairs p JOIN images i USING (image_id) ORDER BY p.added_at, p.pair_id"
    )
    return [
        (str(row["extra"][group_by]), row["group_id"])
        for row in rows
        if row["extra"].get(group_by) not in (None, "")
    ]


def _among(db: Database, column: str, table: str, values: Sequence[str]) -> set[str]:
    """Those of `values` that stand in the column."""
    if not values:
        return set()
    joined = "AND" if "WHERE" in table else "WHERE"
    rows = db.rows(
        f"SELECT DISTINCT {column} AS value FROM {table} {joined} {column} IN (SELECT unnest(?::VARCHAR[]))",
        [list(values)],
    )
    return {row["value"] for row in rows}


def _pair_row(entry: Entry, at: datetime) -> dict[str, Any]:
    return {
        "pair_id": entry.pair_id, "image_id": entry.image_id, "caption": entry.caption,
        "caption_id": caption_id(entry.caption),
        "language": (entry.language or language_of(entry.caption)) if entry.caption else "und",
        "origin": "legacy", "state": "captioned" if entry.caption else "missing",
        "extra": entry.extra, "added_at": at,
    }  # fmt: skip


def _drop_missing(db: Database, image_ids: Sequence[str]) -> frozenset[str]:
    """Take away the empty pairs of photos that have a caption now, unless somebody has begun to work on them."""
    rows = db.rows(
        "SELECT pair_id FROM pairs WHERE state = 'missing' AND image_id IN (SELECT unnest(?::VARCHAR[])) "
        "AND pair_id NOT IN (SELECT old_pair_id FROM corrections) AND pair_id NOT IN (SELECT pair_id FROM tasks) "
        "AND pair_id NOT IN (SELECT pair_id FROM leases) AND pair_id NOT IN (SELECT pair_id FROM form_drafts)",
        [list(image_ids)],
    )
    gone = [row["pair_id"] for row in rows]
    for table in ("scores", "pairs"):
        db.execute(f"DELETE FROM {table} WHERE pair_id IN (SELECT unnest(?::VARCHAR[]))", [gone])
    return frozenset(gone)


def _write_placement(db: Database, placement: Placement) -> None:
    for old, home in placement.merged.items():
        db.execute("UPDATE images SET group_id = ? WHERE group_id = ?", [home, old])
    for conflict in placement.conflicts:
        db.event("genba", "split.conflict", vars(conflict))
