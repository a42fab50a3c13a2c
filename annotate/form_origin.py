"""What the form begins with, and where each answer comes from, so that a person knows what to look at twice.

    values, origins = begin(template, "rusty pipe on the belt", "en")
    values["part"], origins["part"]          # "pipe", Origin("words", 1.0): the old caption says so
    values["count"], origins["count"]        # 1, Origin("default", None): the template's default

Kinds: words (the old caption says it in words that the template knows), meaning (it says something like it), default
(of the template), draft (a drafter proposes it), person (somebody chose it here).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotate import form
from data.templates import Template
from scoring.slot_embedding import Found

SURE = 0.8  # below: the form asks to look twice
LIKELY = 0.5  # below a proposal is wrong more often than right: the question stays open


@dataclass(frozen=True)
class Origin:
    """confidence: in [0, 1], None where nothing measures it."""

    kind: str
    confidence: float | None = None

    @property
    def is_unsure(self) -> bool:
        """True where a look at the photo is asked for."""
        return self.kind in ("meaning", "draft") and (self.confidence or 0.0) < SURE


def begin(
    template: Template,
    caption: str,
    language: str,
    proposed: Mapping[str, Any] | None = None,
    confidence: Mapping[str, float] | None = None,
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """The first answers and their origins. proposed: what a drafter says, by slot; it counts before the old caption,
    but not where its confidence is below LIKELY: one key would save a guess that nobody has looked at."""
    values = form.prefill(template, caption, language)
    said = template.parse(caption, language) if caption else {}
    origins = {key: Origin("words", 1.0) if key in said else Origin("default") for key in values}
    known = {slot.id for slot in template.slots}
    for key, value in (proposed or {}).items():
        sure = (confidence or {}).get(key)
        if key in known and value not in form.EMPTY and (sure is None or sure >= LIKELY):
            values[key] = list(value) if isinstance(value, tuple) else value
            origins[key] = Origin("draft", sure)
    return values, origins


def add_meaning(
    values: Mapping[str, Any], origins: Mapping[str, Origin], found: Mapping[str, Found]
) -> tuple[dict[str, Any], dict[str, Origin]]:
    """What the old caption means fills what neither its words nor a drafter answered; a default gives way to it."""
    read = {
        key: one for key, one in found.items()
        if one.origin == "meaning" and (key not in origins or origins[key].kind == "default")
    }  # fmt: skip
    return (
        {**values, **{key: one.value for key, one in read.items()}},
        {**origins, **{key: Origin("meaning", one.confidence) for key, one in read.items()}},
    )


def since(
    origins: Mapping[str, Origin], first: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Origin]:
    """The origins of `values`, which began as `first`: what differs, a person has chosen."""
    changed = {key: Origin("person") for key in values if values[key] != first.get(key)}
    return {key: changed.get(key) or origins[key] for key in values if key in changed or key in origins}
