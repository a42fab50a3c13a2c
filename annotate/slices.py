"""Slices of the captions: the extra columns that came with them (site, line, shift, …), to filter and to stratify by.

slices(site)                      # {"line": {"A": 120, "B": 80}, "shift": {"night": 50, …}}
where(site, ["line=A"])           # {"line": "A"}, checked, for queue.top(site, 20, extra=…)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from data.errors import GenbaError
from data.site import Site
from data.store import Database

MOST_VALUES = 50  # a column with more values is free text or a number, no slice

# A key's place in the JSON column, as a JSON pointer: keys may hold any character. $place is made by place_in_extra.
TEXT_VALUE = "json_extract_string(p.extra, $place)"
PLAIN = ("VARCHAR", "BIGINT", "UBIGINT", "DOUBLE", "BOOLEAN")


def place_in_extra(key: str) -> str:
    """place_in_extra("a/b") == "/a~1b" (RFC 6901)."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def condition(extra: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """SQL that keeps the pairs `p` with these values, and its parameters. {"line": "A"}; numbers compare as text."""
    where = ""
    parameters: dict[str, Any] = {}
    for number, (key, value) in enumerate((extra or {}).items()):
        where += f" AND json_extract_string(p.extra, $key_{number}) = $value_{number}"
        parameters |= {f"key_{number}": place_in_extra(key), f"value_{number}": _text(value)}
    return where, parameters


def _text(value: Any) -> str:
    """As JSON writes it: True is "true"."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def keys(db: Database) -> list[str]:
    """The extra columns that any caption of the archive has."""
    rows = db.rows(
        "SELECT DISTINCT unnest(json_keys(extra)) AS key FROM pairs WHERE origin IN ('legacy', 'draft') ORDER BY key"
    )
    return [row["key"] for row in rows]


def require_key(db: Database, key: str) -> None:
    """Raises GenbaError that names the columns there are."""
    known = keys(db)
    if key not in known:
        have = f"they have {', '.join(known)}" if known else "they have none"
        raise GenbaError(f"The captions have no column '{key}'; {have}.", choices=known)


def count_values(db: Database, waiting: str, parameters: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Slice -> value -> pairs, over the pairs of the SQL `waiting` (FROM … WHERE …), the most frequent value first."""
    rows = db.rows(
        f"""
        WITH alike AS (  -- JSON is slow to read, and a million captions have few different sets of values
            SELECT p.extra AS extra, count(*) AS pairs {waiting} GROUP BY p.extra),
        known AS (
            SELECT unnest(json_keys(extra)) AS key, extra, pairs FROM alike),
        placed AS (
            SELECT key, extra, pairs, '/' || replace(replace(key, '~', '~0'), '/', '~1') AS place FROM known),
        counted AS (
            SELECT key, json_extract_string(extra, place) AS value, sum(pairs)::BIGINT AS pairs FROM placed
            WHERE list_contains($plain, json_type(extra, place))
            GROUP BY key, value HAVING trim(value) <> '')
        SELECT key, value, pairs FROM counted
        WHERE key IN (SELECT key FROM counted GROUP BY key HAVING count(*) <= $most)
        ORDER BY key, pairs DESC, value
        """,
        {**parameters, "plain": list(PLAIN), "most": MOST_VALUES},
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["key"], {})[row["value"]] = row["pairs"]
    return found


def where(site: Site, texts: Iterable[str]) -> dict[str, str]:
    """["line=A", "shift=night"] as a filter. Raises GenbaError for a text without "=" and an unknown column."""
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise GenbaError(
                f"'{text}' does not say which value.", next=f"genba queue {site.root} --where line=A"
            )
        key, value = key.strip(), value.strip()
        if found.setdefault(key, value) != value:
            raise GenbaError(f"Two values for {key!r}: a caption has one.", choices=[found[key], value])
    with site.connect() as db:
        for key in found:
            require_key(db, key)
    return found
