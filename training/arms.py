"""Arms of a retraining: which captions each training photo carries. Pure: rows of a snapshot in, captions out.

    captions_of(snapshot.contents.train, "corrected")     # {image_id: ["steel bolt with …", "鋼の…"]}

Every arm trains on the same photos in the same order; only the captions differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from data.errors import GenbaError
from data.records import normalise_caption

Row = dict[str, Any]


def _original(row: Row) -> list[str]:
    """The legacy caption, right or wrong: the control."""
    return [row["caption"]]


def _corrected(row: Row) -> list[str]:
    """The new captions, one in each language, where a person fixed the old one; else the old one."""
    return [one["caption"] for one in row["new_captions"]] or [row["caption"]]


ARMS: dict[str, Callable[[Row], list[str]]] = {"original": _original, "corrected": _corrected}


def require_arms(arms: Sequence[str]) -> list[str]:
    """The arms, each once, in the given order. Raises GenbaError for one that is not known."""
    for arm in arms:
        if arm not in ARMS:
            raise GenbaError(
                f"No arm {arm!r}.", choices=ARMS, next="genba retrain SITE --arms original,corrected"
            )
    return list(dict.fromkeys(arms))


def captions_of(rows: Iterable[Row], arm: str) -> dict[str, list[str]]:
    """image_id -> its captions in this arm, at least one each, no caption twice. Photos in order of their id."""
    choose = ARMS[arm]
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        photo = found.setdefault(row["image_id"], {})
        photo.update(dict.fromkeys(text for text in map(normalise_caption, choose(row)) if text))
    return {image_id: list(found[image_id]) for image_id in sorted(found)}
