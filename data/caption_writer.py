"""Puts the values of slots into words: the same values always give the same caption.

write_caption(template, {"part": "bolt", "count": 2, …}, "en")   # "2 steel bolts with no defect, on the tray"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from data.caption_parser import ENGLISH_NUMBERS, fixed_forms, normalise, option_words, word_pattern
from data.caption_pattern import OWN, Group, all_holes, parse_pattern, render
from data.records import language_of
from data.template_schema import Forms, Language, Option, Slot, TemplateFields


@lru_cache(maxsize=4096)
def pattern_of(text: str) -> Group:
    """The parsed pattern; a text that a file has brought through its checks never raises."""
    return parse_pattern(text)


def write_caption(template: TemplateFields, values: Mapping[str, Any], language: Language) -> str:
    """The caption of values that validate (missing ones drop their group). "" when nothing is said at all."""
    text = render(
        pattern_of(template.caption_pattern[language]), lambda slot: phrase(template, slot, values, language)
    )
    text = re.sub(r"\s+([,.;:])", r"\1", " ".join(text.split()))
    return text[:1].upper() + text[1:] if language == "en" else text


def phrase(template: TemplateFields, slot_id: str, values: Mapping[str, Any], language: Language) -> str:
    """What the caption says for one slot; "" when it has no value, or a text in the other language."""
    slot, value = template.slot(slot_id), values.get(slot_id)
    if slot is None or value is None:
        return ""
    if slot.type == "choice":
        option = slot.option(value)
        return option_phrase(template, slot, option, values, language) if option else ""
    own = own_words(template, slot, values, language)
    return _fill(template, slot, slot.phrase.get(language, "{}"), own, values, language) if own else ""


def own_words(template: TemplateFields, slot: Slot, values: Mapping[str, Any], language: Language) -> str:
    """What `{}` stands for in the phrase of a slot that is no choice."""
    value = values[slot.id]
    if slot.type == "text":
        return standard_words(template, value, language) if said_in(value, language) else ""
    if slot.type == "multi":
        chosen = [option for option in slot.options if option.id in value]
        return join_words(
            [
                _fill(template, slot, o.phrase.get(language, "{}"), o.label[language], values, language)
                for o in chosen
            ],
            language,
        )
    return number_text(value, slot, language)


def option_phrase(
    template: TemplateFields, slot: Slot, option: Option, values: Mapping[str, Any], language: Language
) -> str:
    """An option's words: its own phrase, else its slot's, else its label."""
    pattern = option.phrase.get(language) or slot.phrase.get(language, "{}")
    return _fill(template, slot, pattern, option.label[language], values, language)


def _fill(
    template: TemplateFields,
    slot: Slot,
    pattern: str | Forms,
    own: str,
    values: Mapping[str, Any],
    language: Language,
) -> str:
    chosen = pattern if isinstance(pattern, str) else _form(pattern, values.get(slot.counted_by or ""))
    return render(
        pattern_of(chosen),
        lambda name: own if name == OWN else phrase(template, name, values, language),
    )


def _form(forms: Forms, count: float | None) -> str:
    """The form for a number; without a number the singular, as in "steel bolt on the tray"."""
    if count == 0 and forms.zero is not None:
        return forms.zero
    return forms.one if count in (1, None) and forms.one is not None else forms.other


def number_text(value: float, slot: Slot, language: Language) -> str:
    """3.0 -> "3", with its unit: "3 mm" / "3mm"; "three mm" where the slot says so."""
    if slot.in_words and language == "en" and value == int(value) and 0 <= value < len(ENGLISH_NUMBERS):
        text = ENGLISH_NUMBERS[int(value)]
    else:
        text = str(int(value)) if value == int(value) else repr(float(value))
    unit = slot.unit[language] if slot.unit else ""
    return f"{text} {unit}" if unit[:1].isalpha() and language == "en" else f"{text}{unit}"


def join_words(words: list[str], language: Language) -> str:
    """["a", "b", "c"] -> "a, b and c" / "a、b、c"."""
    if language == "ja" or len(words) < 2:
        return "、".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def standard_words(template: TemplateFields, text: str, language: Language) -> str:
    """A text that somebody typed, with the standard terms in place of the local words of the glossary.

    A word of the template that a local word is part of stays: "ひび" for ひび割れ leaves "ひび割れ" alone.
    """
    terms = {
        normalise(w, language): one.term for one in template.glossary.get(language, ()) for w in one.words
    }
    if not terms:
        return text
    words = {*terms.values(), *template.ignore.get(language, ())}
    words |= {word for one in template.glossary.get(language, ()) for word in one.words}
    words |= {
        word for slot in template.slots for option in slot.options for word in option_words(option, language)
    }
    found = word_pattern(words, language)
    assert found is not None
    return re.sub(
        found.pattern,
        lambda place: terms.get(normalise(place.group(), language), place.group()),
        text,
        flags=re.IGNORECASE,
    )


def said_in(text: str, language: Language) -> bool:
    """A text somebody typed is said in its own language only; a code such as "AB-12" in both."""
    if not re.search("[a-z]{2}", text) and language_of(text) != "ja":
        return True
    return language_of(text) == language


def slots_said(template: TemplateFields, language: Language) -> set[str]:
    """Slots that the caption can say; the others are recorded only."""
    said: set[str] = set()
    waiting = holes(template.caption_pattern[language])
    while waiting:
        slot = template.slot(waiting.pop())
        if slot is not None and slot.id not in said:
            said.add(slot.id)
            waiting.extend(holes_of_slot(slot, language))
    return said


def holes_of_slot(slot: Slot, language: Language) -> list[str]:
    """The other slots that the phrases of a slot name."""
    phrases = [slot.phrase.get(language), *(option.phrase.get(language) for option in slot.options)]
    return [name for one in phrases if one is not None for form in fixed_forms(one) for name in holes(form)]


def holes(pattern: str) -> list[str]:
    """The slots that a pattern names."""
    return [name for name in all_holes(pattern_of(pattern)) if name != OWN]
