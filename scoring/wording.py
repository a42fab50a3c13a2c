"""What is found in the words of captions alone: their length, and what the site's template says of them.

found = Wording.of("A bolt, NG", "en", template)
wordings(found_by_pair, template)                # scoring.pairs.Wordings: the same as arrays
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scoring.pairs import Floats, Ints, Wordings

if TYPE_CHECKING:
    from data.templates import Template

CHOICES = ("choice", "number")  # slots with one value: a photo can contradict it


NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Wording:
    """Of one caption."""

    length: int  # words; in a language without spaces characters
    missing: tuple[str, ...] = ()  # ids of required slots that are not stated
    vague: tuple[tuple[str, str], ...] = ()  # word, what to write instead
    stated: Mapping[str, Any] = field(default_factory=lambda: NOTHING)  # slot id -> value, of CHOICES

    @classmethod
    def of(cls, caption: str, language: str, template: Template | None) -> Wording:
        """template: None finds the length alone."""
        length = len("".join(caption.split())) if language == "ja" else len(caption.split())
        if template is None:
            return cls(length)
        single = {slot.id for slot in template.slots if slot.type in CHOICES}
        stated = {slot: value for slot, value in template.parse(caption, language).items() if slot in single}
        vague = tuple((one.word, one.instead) for one in template.vague_words(caption, language))
        return cls(length, tuple(template.missing(caption, language)), vague, stated)


@dataclass(frozen=True)
class SlotNames:
    """The slots with one value, and how their values are told to a person. Values of a slot are numbered in the order
    of the template, plain numbers by themselves."""

    template: Template

    @cached_property
    def ids(self) -> list[str]:
        return [slot.id for slot in self.template.slots if slot.type in CHOICES]

    def code(self, slot_id: str, value: Any) -> int:
        """The number of a value, -1 for none."""
        slot = self.template.slot(slot_id)
        if value is None or slot is None:
            return -1
        if slot.type == "number":
            return round(float(value))
        return next((place for place, option in enumerate(slot.options) if option.id == value), -1)

    @cached_property
    def _labels(self) -> dict[str, dict[str, str]]:
        return {slot.id: {str(one): text for one, text in slot.label.items()} for slot in self.template.slots}

    def labels(self, slot_id: str) -> dict[str, str]:
        """The slot's label by language."""
        return self._labels[slot_id]

    def value_labels(self, slot_id: str, code: int) -> dict[str, str]:
        """The label of a value by language."""
        slot = self.template.slot(slot_id)
        assert slot is not None
        if slot.type == "number":
            return {str(language): str(code) for language in slot.label}
        return {str(language): text for language, text in slot.options[code].label.items()}


@dataclass(frozen=True)
class Words:
    """What was found in the captions of n pairs: `distinct` captions, and which of them each pair carries."""

    distinct: list[Wording]
    code: Ints  # (n,)
    arrays: Wordings  # of the distinct ones

    def of(self, row: int) -> Wording:
        return self.distinct[self.code[row]]

    def stated(self, row: int) -> Ints:
        """(S,) see Wordings."""
        assert self.arrays.stated is not None
        return self.arrays.stated[self.code[row]]

    def spread(self, rows: Ints, n: int) -> Wordings:
        """The arrays of n pairs, of which these rows were looked at; the others are not known (NaN, -1)."""

        def at(values: Floats | None) -> Floats | None:
            if values is None:
                return None
            found = np.full(n, np.nan)
            found[rows] = values[self.code]
            return found

        of = self.arrays
        stated = None
        if of.stated is not None:
            stated = np.full((n, of.stated.shape[1]), -1, dtype=of.stated.dtype)
            stated[rows] = of.stated[self.code]
        length = at(of.length)
        assert length is not None
        return Wordings(length, at(of.missing_slots), at(of.vague_words), stated)


def joined(parts: Sequence[Wordings]) -> Wordings:
    """One after the other; at least one part."""

    def whole(arrays: list[Any]) -> Any:
        return None if any(one is None for one in arrays) else np.concatenate(arrays)

    names = Wordings.__dataclass_fields__
    return Wordings(**{name: whole([getattr(part, name) for part in parts]) for name in names})


def wordings(found: Sequence[Wording], template: Template | None) -> Wordings:
    """As arrays, one row for each of `found`."""
    length = np.array([one.length for one in found], dtype=np.float64)
    if template is None:
        return Wordings(length)
    names = SlotNames(template)
    stated: Ints = np.array(
        [[names.code(slot, one.stated.get(slot)) for slot in names.ids] for one in found], dtype=np.int32
    ).reshape(len(found), len(names.ids))
    return Wordings(
        length,
        np.array([len(one.missing) for one in found], dtype=np.float64),
        np.array([len(one.vague) for one in found], dtype=np.float64),
        stated,
    )
