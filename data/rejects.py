"""What was not taken in when photos, captions, masks or depth maps were read: which rows, and why.

    print(left_out(site, source, result.rejected, ingest.REASONS, "ja"))   # for a person at the command line
    rejects(site)                                  # every row, of every source, as it was last read

A row leaves the list when its source is read again and it can be taken. Why a row was left out is kept as what the text
was made from (data/told.py), so that whoever looks reads it in the own language: `in_words(one.detail, "ja")`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from data.records import Reject
from data.rows import place
from data.site import Site
from data.told import in_words, restored, stored, told

SHOWN = 3  # rows of each reason at the command line
# "line 9" comes before "line 10": first by the words, then by the last number, then by the whole
BY_PLACE = (
    r"regexp_replace(item, '\d+', '', 'g'), TRY_CAST(regexp_extract(item, '(\d+)\D*$', 1) AS UBIGINT), item"
)
FIRST_SQL = (
    f"SELECT item, detail, told FROM rejects WHERE source = ? AND reason = ? ORDER BY {BY_PLACE} LIMIT ?"
)
COUNTS_SQL = "SELECT reason, count(*) AS rows FROM rejects GROUP BY reason ORDER BY rows DESC, reason"
REJECTS_SQL = (
    f"SELECT source, item, reason, detail, told FROM rejects ORDER BY source, reason, {BY_PLACE} LIMIT ?"
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def counts(site: Site) -> dict[str, int]:
    """Reason -> rows, the most frequent first."""
    with site.connect() as db:
        return {row["reason"]: row["rows"] for row in db.rows(COUNTS_SQL)}


def rejects(site: Site, first: int | None = None) -> list[Reject]:
    """The rows that were not taken in, all or the first ones. Those of an older version have English details only."""
    with site.connect() as db:
        rows = db.rows(REJECTS_SQL, [first])
    return [Reject(row["source"], row["item"], row["reason"], _detail(row)) for row in rows]


def kept(reject: Reject, at: datetime) -> dict[str, Any]:
    """Its row of the table."""
    return {
        "source": reject.source, "item": storable(reject.item), "reason": reject.reason,
        "detail": storable(reject.detail), "told": _storable(stored(reject.detail)), "rejected_at": at,
    }  # fmt: skip


def storable(text: str) -> str:
    """File names may hold bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """On one line; what a terminal would take for a command is written out, as Python writes it."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _storable(one) for key, one in value.items()}
    return storable(value) if isinstance(value, str) else value


def _detail(row: Mapping[str, Any]) -> str:
    return restored(row["told"]) if row["told"] else str(row["detail"])


def left_out(
    site: Site, source: str | Path, rejected: Mapping[str, int], meanings: Mapping[str, str], language: str
) -> str:
    """What an ingest of this source left out: each reason with its number and its first rows. "" for none."""
    if not rejected:
        return ""
    lines = []
    with site.connect() as db:
        for reason, count in rejected.items():
            meaning = in_words(meanings[reason], language)
            lines.append(
                told("Not taken in, {n}: {meaning} ({reason})", n=count, meaning=meaning, reason=reason)
            )
            rows = db.rows(FIRST_SQL, [str(Path(source).resolve()), reason, SHOWN])  # fmt: skip
            for row in rows:
                item, why = place(row["item"]), _detail(row)
                lines.append(
                    told("  {item}: {why}", item=item, why=why) if why else told("  {item}", item=item)
                )
            if count > len(rows):
                lines.append(
                    told(
                        "  and {n} more: the page Operations lists them all, for download too",
                        n=count - len(rows),
                    )
                )
    return "\n".join(printable(line.in_words(language)) for line in lines)
