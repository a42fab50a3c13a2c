"""What a changed template means, before it is saved: for the form, for old corrections, for Label Studio.

    for change in changes(old, new):
        change.in_words("ja")          # "「欠陥」の選択肢「焼け」がなくなります。"
    studio_change(old, new, ["ja", "en"]).lost      # ["defect=burn"]: stored in old annotations, not in the new page

Pure. What is stored are ids: a label may change at any time, an id that goes takes the meaning of old answers with it,
which is why each correction names the version that it was made with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from annotate.labeling_config import labeling_config, lost_by
from data.messages import translator
from data.template_schema import Option, Slot
from data.templates import Template

Labels = Mapping[Any, str]


@dataclass(frozen=True)
class Change:
    """One difference. `text` is English; `values` fill it, by language where they differ."""

    kind: str  # added, removed, renamed, changed
    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def in_words(self, language: str) -> str:
        """In "ja" or "en"; a template without that language shows its own words."""
        filled = {
            key: value.get(language) or next(iter(value.values())) if isinstance(value, Mapping) else value
            for key, value in self.values.items()
        }
        return translator(language)(self.text).format(**filled)


@dataclass(frozen=True)
class StudioChange:
    """What would differ on Label Studio's own page."""

    is_same_page: bool
    lost: list[str]  # controls, stored answers and shown fields of the old page that the new one has not

    @property
    def is_additive(self) -> bool:
        """True when every answer of the old page has its place on the new one."""
        return not self.lost


def studio_change(old: Template, new: Template, languages: list[str]) -> StudioChange:
    """Compare the two labeling pages, as a site with these languages shows them."""
    before, after = labeling_config(old, languages), labeling_config(new, languages)
    return StudioChange(before == after, lost_by(before, after))


def changes(old: Template, new: Template) -> list[Change]:
    """All differences, in the order of the new form; what was removed stands first."""
    found = [Change("removed", "The item “{slot}” goes.", {"slot": slot.label})
             for slot in old.slots if new.slot(slot.id) is None]  # fmt: skip
    for slot in new.slots:
        before = old.slot(slot.id)
        if before is None:
            found.append(Change("added", "The item “{slot}” is new.", {"slot": slot.label}))
        else:
            found.extend(_of_slot(before, slot))
    common = [slot.id for slot in old.slots if new.slot(slot.id)]
    if common != [slot.id for slot in new.slots if old.slot(slot.id)]:
        found.append(Change("changed", "The items stand in another order."))
    return [*found, *_of_words(old, new)]


def _of_slot(old: Slot, new: Slot) -> Iterator[Change]:
    if old.label != new.label:
        yield Change(
            "renamed", "The item “{old}” is now called “{slot}”.", {"old": old.label, "slot": new.label}
        )
    tests: tuple[tuple[str, Callable[[Slot], Any]], ...] = (
        ("“{slot}” is asked in another way: {now} in place of {was}.", lambda slot: slot.type),
        ("“{slot}” is asked under another condition.", lambda slot: slot.show_when),
        ("“{slot}” takes other numbers: {now} in place of {was}.", _range),
        ("“{slot}” begins with another answer.", lambda slot: slot.default),
        ("The help of “{slot}” reads differently.", lambda slot: slot.help),
    )
    for text, part in tests:
        was, now = part(old), part(new)
        if was != now:
            yield Change("changed", text, {"slot": new.label, "was": was, "now": now})
    if old.required != new.required:
        text = "“{slot}” must now be answered." if new.required else "“{slot}” may now be left open."
        yield Change("changed", text, {"slot": new.label})
    yield from _of_options(old, new)


def _range(slot: Slot) -> str:
    if slot.type == "rating":
        return f"1–{slot.stars}"
    if slot.type != "number":
        return ""
    low, high = ("" if end is None else f"{end:g}" for end in (slot.min, slot.max))
    return f"{low}–{high}" + (f" / {slot.step:g}" if slot.step else "")


def _of_options(old: Slot, new: Slot) -> Iterator[Change]:
    gone = [option for option in old.options if new.option(option.id) is None]
    for option in new.options:
        before = old.option(option.id)
        values = {"slot": new.label, "option": option.label}
        twin = next((one for one in gone if one.label == option.label), None)
        if before is not None and before.label != option.label:
            text = "The answer “{old}” of “{slot}” is now called “{option}”."
            yield Change("renamed", text, values | {"old": before.label})
        elif before is None and twin is not None:
            gone.remove(twin)
            text = "The answer “{option}” of “{slot}” is stored as {now}, before as {was}: old answers keep {was}."
            yield Change("changed", text, values | {"now": option.id, "was": twin.id})
        elif before is None:
            yield Change("added", "“{slot}” has a new answer “{option}”.", values)
    for option in gone:
        yield Change(
            "removed", "“{slot}” loses the answer “{option}”.", {"slot": new.label, "option": option.label}
        )
    kept = [option.id for option in old.options if new.option(option.id)]
    if kept != [option.id for option in new.options if old.option(option.id)]:
        yield Change("changed", "The answers of “{slot}” stand in another order.", {"slot": new.label})


def _of_words(old: Template, new: Template) -> Iterator[Change]:
    """What changes no answer: the wording of the caption, and what the captions of others are searched for."""
    if old.id != new.id:
        yield Change(
            "renamed", "The template is now called {now}, before {was}.", {"now": new.id, "was": old.id}
        )
    languages = (set(old.languages) - set(new.languages), set(new.languages) - set(old.languages))
    for text, names in zip(
        ("It no longer speaks {names}.", "It now speaks {names} too."), languages, strict=True
    ):
        if names:
            yield Change("changed", text, {"names": ", ".join(sorted(names))})
    kept = {slot.id for slot in old.slots if new.slot(slot.id)}
    answers = {(slot.id, option.id) for slot in old.slots for option in slot.options} & {
        (slot.id, option.id) for slot in new.slots for option in slot.options
    }

    def of_answers(part: Callable[[Option], Any]) -> Callable[[Template], Any]:
        """What the answers of both versions have."""
        return lambda one: {
            (s.id, o.id): part(o) for s in one.slots for o in s.options if (s.id, o.id) in answers
        }

    def of_items(part: Callable[[Slot], Any]) -> Callable[[Template], Any]:
        """What the items of both versions have."""
        return lambda one: {slot.id: part(slot) for slot in one.slots if slot.id in kept}

    told: tuple[tuple[str, tuple[Callable[[Template], Any], ...]], ...] = (
        ("The title reads differently.", (lambda one: one.title,)),
        ("Captions are worded differently.", (
            lambda one: one.caption_pattern, of_answers(lambda option: option.phrase),
            of_items(lambda slot: (slot.phrase, slot.counted_by, slot.in_words, slot.unit)),
        )),
        ("Other words are found in captions (synonyms, words that follow a number, ignored words).", (
            lambda one: one.ignore, of_answers(lambda option: option.synonyms), of_items(lambda slot: slot.unit_words),
        )),
        ("An encoder is asked with other words.", (of_answers(lambda option: option.prompt),)),
        ("The rubric reads differently.", (lambda one: one.rubric,)),
        ("Other words count as vague.", (lambda one: one.vague,)),
        ("The glossary has other words.", (lambda one: one.glossary,)),
        ("Other examples are shown.", (lambda one: one.examples,)),
    )  # fmt: skip
    for text, parts in told:
        if any(part(old) != part(new) for part in parts):
            yield Change("changed", text)
