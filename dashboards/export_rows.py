"""What an export holds: for each photo the best captions there are, with where they come from. One row for each.

    corrected   a person (or an approved lot) put it in place of the old one
    confirmed   a person said that it is right
    untouched   nobody has judged it, or somebody was not sure; only when asked for

A photo that somebody called unusable or private is never in it, whatever else was said of it, and neither is a caption
that a person replaced. The rows are copied out of the store in one short transaction and read from there, so that
memory stays bounded however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from data.rows import OURS
from data.site import Site
from data.store import Database

STATUSES = ("corrected", "confirmed", "untouched")
BATCH = 5000  # rows in memory

# Private counts also where another answer was saved first: one person's word is enough (as in data/snapshots.py).
BARRED = """
    SELECT p.image_id FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id
    WHERE (c.state = 'active' AND c.verdict = 'unusable')
       OR (c.state IN ('active', 'conflict') AND c.verdict = 'private')
"""
# A new caption that a person replaced in its turn is not the best one; a fix that ends in the old words is.
ROWS_SQL = f"""
WITH said AS (
    SELECT correction_id, old_pair_id, verdict, template, template_version, slots, annotator, simulated, source,
           created_at, unnest(CAST(new_pair_ids AS VARCHAR[])) AS pair_id, CAST(new_pair_ids AS VARCHAR[]) AS new_ids
    FROM corrections WHERE state = 'active' AND verdict IN ('fix', 'ok')),
replaced AS (SELECT DISTINCT old_pair_id AS pair_id FROM said
             WHERE verdict = 'fix' AND NOT list_contains(new_ids, old_pair_id)),
best AS (
    SELECT pair_id, CASE verdict WHEN 'fix' THEN 'corrected' ELSE 'confirmed' END AS status, correction_id,
           old_pair_id, verdict, template, template_version, slots, annotator, simulated, source, created_at
    FROM said
    UNION ALL
    SELECT p.pair_id, 'untouched', NULL, NULL, n.verdict, NULL, NULL, NULL, NULL, false, NULL, NULL
    FROM pairs p
    LEFT JOIN corrections n ON n.old_pair_id = p.pair_id AND n.state = 'active' AND n.verdict = 'not_sure'
    WHERE p.origin IN ('legacy', 'draft') AND NOT EXISTS (SELECT 1 FROM said s WHERE s.old_pair_id = p.pair_id))
SELECT b.*, p.image_id, p.caption, p.language, p.origin, p.slots AS pair_slots, CAST(p.extra AS VARCHAR) AS extra,
       CASE WHEN o.pair_id <> b.pair_id THEN o.caption END AS old_caption,
       i.root, i.uri, i.width, i.height, i.split
FROM best b
JOIN pairs p ON p.pair_id = b.pair_id AND p.state = 'captioned'
JOIN images i ON i.image_id = p.image_id
LEFT JOIN pairs o ON o.pair_id = b.old_pair_id
WHERE p.image_id NOT IN ({BARRED}) AND p.pair_id NOT IN (SELECT pair_id FROM replaced)
  AND (b.status <> 'untouched' OR $untouched)
QUALIFY row_number() OVER (
    PARTITION BY b.pair_id ORDER BY list_position(['corrected', 'confirmed', 'untouched'], b.status), b.created_at DESC,
    b.correction_id) = 1
ORDER BY i.split, p.image_id, p.language, p.pair_id
"""
EXTRAS_SQL = "SELECT DISTINCT unnest(json_keys(extra)) AS name FROM pairs ORDER BY name"


@dataclass(frozen=True)
class Exported:
    """One caption of one photo. slots: JSON text or None; extra: the columns that came with the caption."""

    pair_id: str
    image_id: str
    root: int
    uri: str
    width: int
    height: int
    split: str
    caption: str
    language: str
    origin: str
    status: str  # one of STATUSES
    verdict: str | None
    slots: str | None
    template: str | None  # "parts@1"
    correction_id: str | None
    old_pair_id: str | None
    old_caption: str | None  # None where it is the same
    annotator: str | None
    simulated: bool
    source: str | None  # app, label-studio, crew, lot
    corrected_at: datetime | None
    extra: dict[str, Any]

    def bookkeeping(self) -> dict[str, str | int | bool | None]:
        """Where the caption comes from, under names that reading back leaves out. No annotator's name."""
        found = {
            "pair_id": self.pair_id, "image_id": self.image_id, "status": self.status, "origin": self.origin,
            "verdict": self.verdict, "slots": self.slots, "template": self.template,
            "correction_id": self.correction_id, "old_pair_id": self.old_pair_id, "old_caption": self.old_caption,
            "is_simulated": self.simulated, "source": self.source,
            "corrected_at": self.corrected_at.isoformat() if self.corrected_at else None, "split": self.split,
            "width": self.width, "height": self.height,
        }  # fmt: skip
        return {OURS + name: value for name, value in found.items()}


def copy_rows(db: Database, untouched: bool, file: Path) -> int:
    """Write the rows of an export to a Parquet file; how many."""
    from pyarrow import parquet

    writer, count = None, 0
    with file.open("wb") as out:
        for batch in db.batches(ROWS_SQL, {"untouched": untouched}, BATCH):
            writer = writer or parquet.ParquetWriter(out, batch.schema)
            writer.write_batch(batch)
            count += batch.num_rows
        if writer is not None:
            writer.close()
    return count


def read_rows(file: Path) -> Iterator[Exported]:
    """The rows in order: by split, photo, language."""
    from pyarrow import parquet

    if not file.stat().st_size:
        return
    with parquet.ParquetFile(file) as found:
        for batch in found.iter_batches(BATCH):
            for row in batch.to_pylist():
                yield _exported(row)


def _exported(row: dict[str, Any]) -> Exported:
    version, created_at = row.pop("template_version"), row.pop("created_at")
    slots, of_pair = row.pop("slots"), row.pop("pair_slots")
    slots = of_pair if slots in (None, "{}") else slots
    return Exported(
        **{
            **row,
            "slots": None if slots in (None, "{}", "null") else slots,
            "template": f"{row['template']}@{version}" if row["template"] else None,
            "corrected_at": created_at,
            "extra": json.loads(row["extra"]),
        }
    )


def extra_names(site: Site) -> list[str]:
    """The extra columns that any caption has."""
    with site.connect() as db:
        return [str(row["name"]) for row in db.rows(EXTRAS_SQL)]
