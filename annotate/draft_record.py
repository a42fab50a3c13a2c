"""A draft of a caption, and what is kept of it once a person has decided.

    draft.slots, draft.confidence["part"]                     # {"part": "bolt", …}, 0.93
    draft.provenance({"en": "two steel bolts …"}, slots, seconds=12.0, approver="佐藤")     # for corrections.draft

A draft is a proposal only: it becomes a caption by a person's verdict on it, or on the lot that it is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Draft:
    """What a drafter proposes for one pair.

    confidence: by slot, in [0, 1]; measured against people's answers where `calibrated`, else the drafter's own number,
    which is no probability. quality: the chance that all of the draft is right, likewise. cosine, old_cosine: of the
    photo with the draft and with the old caption, both in `language`; None where there is none to compare.
    """

    draft_id: str
    pair_id: str
    drafter: str
    version: str
    slots: dict[str, Any]
    confidence: dict[str, float]
    captions: dict[str, str]
    quality: float
    calibrated: bool
    cosine: float | None = None
    old_cosine: float | None = None
    language: str | None = None

    @property
    def model_version(self) -> str:
        """The name under which its predictions stand in Label Studio."""
        return f"{self.drafter}@{self.version}"

    def provenance(
        self, captions: Mapping[str, str], slots: Mapping[str, Any], seconds: float, approver: str
    ) -> dict[str, Any]:
        """What stays with the caption: who drafted it, how far it was changed, in how many seconds, by whom.

        captions, slots: as they were saved. edit_distance: characters, by language (see edit_distance).
        """
        distance = {
            language: edit_distance(draft, captions[language])
            for language, draft in self.captions.items()
            if language in captions
        }
        changed = sorted(key for key in {*slots, *self.slots} if slots.get(key) != self.slots.get(key))
        return {
            "draft_id": self.draft_id, "drafter": self.drafter, "version": self.version, "quality": self.quality,
            "calibrated": self.calibrated, "edit_distance": distance, "changed": changed,
            "seconds": round(seconds, 2), "approver": approver,
        }  # fmt: skip


def edit_distance(one: str, other: str) -> int:
    """The fewest characters inserted, deleted or replaced that make one text the other (Levenshtein 1966).

    >>> edit_distance("steel bolt", "steel bolts"), edit_distance("鋼のボルト", "銅のボルト")
    (1, 1)
    """
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        now = [row]
        for column, wanted in enumerate(other, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (letter != wanted)))
        before = now
    return before[-1]
