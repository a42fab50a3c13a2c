"""Annotations made in Label Studio that cannot be an answer: no verdict, an item left out, an option that is not known.

    for one in standing(db):
        one.pair_id, one.person, one.why["ja"]

Label Studio takes them, so whoever made one thinks the work is done. They are named until they are mended or deleted
there; annotate/incoming.py notes them at each visit, beside what else it keeps of a project.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotate.labeling_config import Refused
from annotate.projects import STATE
from data.errors import GenbaError
from data.messages import LANGUAGES, translator
from data.slot_values import SlotError
from data.store import Database
from data.templates import Template


@dataclass(frozen=True)
class Unusable:
    """One such annotation. photo, caption: of its pair, "" for one that this site has not. why: by language."""

    pair_id: str
    project: int
    task: int
    annotation: int
    person: str
    why: Mapping[str, str]
    photo: str = ""
    caption: str = ""


def noted(
    task: dict[str, Any], annotation: dict[str, Any], person: str, why: Mapping[str, str]
) -> dict[str, Any]:
    """How one is kept."""
    return {"pair_id": task["pair_id"], "task": task["id"], "annotation": annotation["id"], "person": person,
            "why": dict(why)}  # fmt: skip


def renewed(
    before: Iterable[dict[str, Any]] | None, seen: Iterable[int], found: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What is kept after the tasks `seen` were read again: of these only what was `found` now."""
    again = set(seen)
    kept = [one for one in before or () if one["task"] not in again] + list(found)
    return sorted(kept, key=lambda one: (one["task"], one["annotation"]))


def count(db: Database) -> int:
    """How many there are."""
    return sum(len(entry.get("unusable") or ()) for entry in (db.get_state(STATE) or {}).values())


def standing(db: Database) -> list[Unusable]:
    """All of them."""
    kept = [
        one | {"project": entry["id"]}
        for entry in (db.get_state(STATE) or {}).values()
        for one in entry.get("unusable") or ()
    ]
    if not kept:
        return []
    rows = db.rows(
        "SELECT p.pair_id, i.uri AS photo, p.caption FROM pairs p JOIN images i USING (image_id) "
        "WHERE list_contains(?, p.pair_id)",
        [[one["pair_id"] for one in kept]],
    )
    pairs = {row["pair_id"]: {"photo": row["photo"], "caption": row["caption"] or ""} for row in rows}
    return [Unusable(**one, **pairs.get(one["pair_id"], {})) for one in kept]


def reasons(error: GenbaError, template: Template) -> dict[str, str]:
    """Why an annotation cannot be an answer, for a person, by language."""
    return {language: _reason(error, template, language) for language in LANGUAGES}


def _reason(error: GenbaError, template: Template, language: str) -> str:
    if isinstance(error, Refused):
        return error.in_words(language)
    if isinstance(error, SlotError):
        line, between = translator(language)("{item}: {text}"), "、" if language == "ja" else "; "
        return between.join(
            line.format(item=_label(template, slot, language), text=text)
            for slot, text in error.messages(language).items()
        )
    return translator(language)(error.what)


def _label(template: Template, slot_id: str, language: str) -> str:
    slot = template.slot(slot_id)
    label: Mapping[Any, str] = slot.label if slot else {}
    return label.get(language) or next(iter(label.values()), slot_id)
