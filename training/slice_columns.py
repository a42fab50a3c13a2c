"""Which part of each slice a test item belongs to: the extra columns of its caption (site, line, shift, author, …) and
its language, read from the store.

    slice_gaps(measured, slices_of(site, contents.items))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotate.slices import MOST_VALUES
from data.site import Site

LANGUAGE = "language"
Row = dict[str, Any]


def slices_of(site: Site, items: Sequence[Row]) -> dict[str, dict[str, str]]:
    """column -> item -> part, for the rows of a snapshot's items; see `parts`."""
    with site.connect() as db:
        rows = db.rows("SELECT pair_id, extra FROM pairs WHERE origin IN ('legacy', 'draft')")
    return parts(items, {row["pair_id"]: row["extra"] for row in rows})


def parts(items: Iterable[Row], extra: Mapping[str, Row]) -> dict[str, dict[str, str]]:
    """items: item_id (PAIR-LANGUAGE), image_id, language. extra: the extra columns of each pair. Pure.

    The tasks name their items in three ways, and each is found: a caption (item_id), a photo in a language
    (IMAGE-LANGUAGE), a photo (image_id). A photo whose captions lie in different parts is in none of that column. A
    column with one part, or with more than MOST_VALUES (free text, a serial number), is no slice.
    """
    votes: dict[str, dict[str, set[str]]] = {}
    for item in items:
        pair = item["item_id"].removesuffix(f"-{item['language']}")
        found = {key: text for key, value in extra.get(pair, {}).items() if (text := _text(value))}
        keys = (item["item_id"], f"{item['image_id']}-{item['language']}", item["image_id"])
        for column, part in {**found, LANGUAGE: item["language"]}.items():
            for key in keys:
                votes.setdefault(column, {}).setdefault(key, set()).add(part)
    slices = {
        column: {key: next(iter(found)) for key, found in by_key.items() if len(found) == 1}
        for column, by_key in votes.items()
    }
    return {
        column: by_key for column, by_key in slices.items() if 2 <= len(set(by_key.values())) <= MOST_VALUES
    }


def _text(value: Any) -> str:
    """A part's name as text, "" for what names none (nothing, a list, a mapping)."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
