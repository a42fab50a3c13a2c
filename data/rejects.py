"""What was not taken in when photos, captions, masks or depth maps were read: which rows, and why.

    print(told(site, source, result.rejected, ingest.REASONS))     # for a person at the command line
    rejects(site)                                  # every row, of every source, as it was last read

A row leaves the list when its source is read again and it can be taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.records import Reject
from data.site import Site

SHOWN = 3  # rows of each reason at the command line
REJECTS_SQL = "SELECT source, item, reason, detail FROM rejects ORDER BY source, reason, item"


def rejects(site: Site) -> list[Reject]:
    """Every row that was not taken in."""
    with site.connect() as db:
        return [Reject(**row) for row in db.rows(REJECTS_SQL)]


def told(site: Site, source: str | Path, rejected: Mapping[str, int], meanings: Mapping[str, str]) -> str:
    """What an ingest of this source left out: each reason with its number and its first rows. "" for none."""
    if not rejected:
        return ""
    lines = []
    with site.connect() as db:
        for reason, count in rejected.items():
            lines.append(f"Not taken in, {count}: {meanings[reason]} ({reason})")
            rows = db.rows("SELECT item, detail FROM rejects WHERE source = ? AND reason = ? ORDER BY item LIMIT ?",
                           [str(Path(source).resolve()), reason, SHOWN])  # fmt: skip
            lines += [
                f"  {row['item']}: {row['detail']}" if row["detail"] else f"  {row['item']}" for row in rows
            ]
            if count > len(rows):
                lines.append(
                    f"  and {count - len(rows)} more: the page Operations lists them all, for download too"
                )
    return "\n".join(lines)
