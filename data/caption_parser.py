"""Finds the values of slots in a caption that somebody wrote freely: by dictionary, the longest word first.

    vocabulary = Vocabulary.of(template, "ja")
    vocabulary.find("作業台にキズのある鋼製ボルト2本")   # {"part": "bolt", "defect": "scratch", …, "count": 2}

Japanese is searched without word boundaries, English with them and with plurals. A word of the `ignore` list takes its
place in the text and states nothing; a local word of the `glossary` states what its term states. Where a caption names
two options of a choice, the first one counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from data.template_schema import Forms, Language, Option, Slot, TemplateFields

ENGLISH_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ENGLISH_ONE = ("single", "a single", "a", "an")
KANJI_DIGITS = "〇一二三四五六七八九"
KANJI = f"[{KANJI_DIGITS}十百千]"
KANJI_NUMBER = rf"(?<!{KANJI})(?:[二三四五六七八九]?十[{KANJI_DIGITS[1:]}]?|[{KANJI_DIGITS}])(?!{KANJI})"
NOT_THERE = "なし|無し|ない|無い|ありません|見当たらない|見当たりません"
PREPOSITIONS = "on|of|in|at|with|the|near|by|and|from|for|to|inside|holds?|without"
HYPHENS = re.compile("[\u2010-\u2015\u2212]")
COUNTED, STATED = "\ue000", "\ue001"  # what stands in place of a word found: one that is counted, any other
DIGITS = r"(?:(?<![0-9a-z])-)?\d+(?:\.\d+)?"


def normalise(text: str, language: Language) -> str:
    """The form in which words and captions are compared: NFKC, small letters, one kind of hyphen and space."""
    plain = HYPHENS.sub("-", unicodedata.normalize("NFKC", text).casefold())
    if language == "en":
        return " ".join(re.sub(r"(?<=[a-z])-(?=[a-z])", " ", plain).split())
    return re.sub(r"(?<![a-z0-9])\s+|\s+(?![a-z0-9])", "", plain.strip())


def plurals(word: str) -> tuple[str, ...]:
    """An English word and what may stand for it in the plural: ("box", "boxs", "boxes")."""
    ending = (word[:-1] + "ies",) if word.endswith("y") else ()
    return (word, word + "s", word + "es", *ending)


def option_words(option: Option, language: Language) -> Iterator[str]:
    """Label, synonyms, and the phrase where it is plain text."""
    yield option.label[language]
    yield from option.synonyms.get(language, ())
    phrase = option.phrase.get(language)
    if isinstance(phrase, str) and not set("{}[]") & set(phrase):
        yield phrase


def word_pattern(words: Iterable[str], language: Language) -> re.Pattern[str] | None:
    """Finds the longest of the (normalised) words at each place; None when there are no words.

    English words end where they end; so do the Latin letters and digits in Japanese ("cr" is not in "screw").
    """
    longest_first = sorted(words, key=len, reverse=True)
    if not longest_first:
        return None
    if language == "ja":
        return re.compile(
            "|".join(_edge(word[0], "<!") + re.escape(word) + _edge(word[-1], "!") for word in longest_first)
        )
    found = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![a-z0-9])(?:{found})(?![a-z0-9])")


def _edge(letter: str, side: str) -> str:
    """What a word that begins or ends with this letter must not stand beside: another letter, or another digit."""
    if not letter.isascii() or not letter.isalnum():
        return ""
    return rf"(?{side}[{'a-z' if letter.isalpha() else '0-9'}])"


@dataclass(frozen=True)
class Vocabulary:
    """The words of one template in one language, ready to be searched for."""

    language: Language
    slots: tuple[Slot, ...]
    words: dict[
        str, tuple[tuple[Slot, Option], ...]
    ]  # normalised word -> what it states; () for ignored, vague words
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, template: TemplateFields, language: Language) -> Vocabulary:
        words: dict[str, tuple[tuple[Slot, Option], ...]] = {}
        for slot in template.slots:
            for option in slot.options:
                for word in option_words(option, language):
                    for form in forms_of(word, language):
                        if (slot, option) not in words.get(form, ()):
                            words[form] = (*words.get(form, ()), (slot, option))
        known = word_pattern(words, language)
        for entry in template.glossary.get(language, ()):  # a local word states what its term states
            term = normalise(entry.term, language)
            places = known.finditer(term) if known else ()
            stated = tuple(one for place in places for one in words[place.group()])
            for word in entry.words:
                words.update((form, stated) for form in forms_of(word, language) if form not in words)
        for word in template.ignore.get(language, ()):
            words.update(dict.fromkeys(forms_of(word, language), ()))
        for vague in template.vague.get(language, ()):  # longer words hide shorter ones: 不良品 is no 良品
            for form in forms_of(vague.word, language):
                words.setdefault(form, ())
        return cls(language, template.slots, words, word_pattern(words, language))

    def find(self, caption: str) -> dict[str, Any]:
        """Slot id -> option id, list of option ids (multi) or number. Text and ratings are not searched for."""
        return {slot_id: values[0] for slot_id, values in self.find_all(caption).items()}

    def find_all(self, caption: str) -> dict[str, list[Any]]:
        """As `find`, with all the different values that the caption states for a slot; the first one counts."""
        found: dict[str, list[Any]] = {}
        rest = self._mask(normalise(caption, self.language), found)
        for slot in sorted((slot for slot in self.slots if slot.type == "number"), key=self._guesswork):
            numbers = self._numbers(slot, rest)
            if numbers:
                found[slot.id] = list(dict.fromkeys(value for value, _, _ in numbers))
                _, start, end = numbers[0]
                rest = rest[:start] + STATED * (end - start) + rest[end:]  # a number is one slot's only
        return {slot.id: found[slot.id] for slot in self.slots if slot.id in found}

    def _mask(self, text: str, found: dict[str, list[Any]]) -> str:
        """The normalised text with every word found (and ignored) blotted out; what they state goes into `found`."""
        if self.pattern is None:
            return text
        masked = text
        for match in self.pattern.finditer(text):
            stated = self.words[match.group()]
            for slot, option in stated:
                values = found.setdefault(slot.id, [[]] if slot.type == "multi" else [])
                if slot.type == "multi":
                    values[0] = [o.id for o in slot.options if o.id in values[0] or o.id == option.id]
                elif option.id not in values:
                    values.append(option.id)
            blot = COUNTED if any(slot.counted_by for slot, _ in stated) else STATED
            masked = masked[: match.start()] + blot * len(match.group()) + masked[match.end() :]
        return masked

    def stating_nothing(self, caption: str) -> set[str]:
        """The (normalised) ignored and vague words that stand in a caption, outside of words that state an option."""
        found = self.pattern.findall(normalise(caption, self.language)) if self.pattern else []
        return {word for word in found if not self.words[word]}

    def _guesswork(self, slot: Slot) -> int:
        """A unit is sure, a number before what it counts nearly so; any other number is the bare slot's."""
        return 0 if self._units(slot) else 1 if self._counts(slot) else 2

    def _units(self, slot: Slot) -> list[str]:
        return [*slot.unit_words.get(self.language, ())] + ([slot.unit[self.language]] if slot.unit else [])

    def _counts(self, slot: Slot) -> bool:
        return any(other.counted_by == slot.id for other in self.slots)

    def _numbers(self, slot: Slot, masked: str) -> list[tuple[int | float, int, int]]:
        """Numbers that the slot accepts, by the surest expression that finds any, with the places that state them."""
        for expression in self._expressions(slot):
            found = []
            for match in re.finditer(expression, masked):
                name = "n" if "n" in match.groupdict() else 0
                value = self._value(match[name]) if name else 0
                inside = (slot.min is None or value >= slot.min) and (slot.max is None or value <= slot.max)
                if inside and (not slot.whole or value == int(value)):
                    found.append(((int(value) if slot.whole else value), *match.span(name)))
            if found:
                return found
        return []

    def _expressions(self, slot: Slot) -> Iterator[str]:
        """Regular expressions whose group n is the number (none: the number is 0), the most certain first."""
        own = self._units(slot)
        if own:
            number = f"{DIGITS}|{KANJI_NUMBER}" if self.language == "ja" else _english_number(ENGLISH_NUMBERS)
            yield rf"(?P<n>{number})\s*(?:{_alternatives(own, self.language)})"
        if self._counts(slot):
            yield from self._counting()
        elif not own:
            taken = _alternatives(
                [COUNTED, *(unit for other in self.slots for unit in self._units(other))], self.language
            )
            yield rf"(?<![\w.{STATED}{COUNTED}])(?P<n>{DIGITS})(?![\w.]|\s*(?:{taken}))"

    def _counting(self) -> Iterator[str]:
        """A number beside the word for what it counts."""
        yield rf"(?<![a-z0-9])[x×]\s*(?P<n>\d+(?![\d.])|{KANJI_NUMBER})"
        if self.language == "ja":
            yield rf"{COUNTED}[がはも]?(?:{NOT_THERE})"
            yield rf"{COUNTED}(?P<n>\d+)(?![\d.a-z%])"
        else:
            between = rf"(?:\s+(?!(?:{PREPOSITIONS})\b)[^\s,.;:]+){{0,3}}?\s+{COUNTED}"
            yield rf"(?P<n>{_english_number(ENGLISH_NUMBERS)}){between}"
            yield rf"(?P<n>{_english_number(ENGLISH_ONE)}){between}"

    @staticmethod
    def _value(number: str) -> float:
        if number in ENGLISH_NUMBERS:
            return ENGLISH_NUMBERS.index(number)
        if number in ENGLISH_ONE:
            return 1
        if number[0] not in KANJI_DIGITS + "十":
            return float(number)
        tens, ten, ones = number.rpartition("十")
        return (KANJI_DIGITS.index(tens or "一") * 10 if ten else 0) + (
            KANJI_DIGITS.index(ones) if ones else 0
        )


def forms_of(word: str, language: Language) -> tuple[str, ...]:
    """A word as it may stand in a normalised text."""
    plain = normalise(word, language)
    return plurals(plain) if language == "en" else (plain,)


def _english_number(words: Iterable[str]) -> str:
    return rf"(?<![\w.])(?:{DIGITS}|{'|'.join(sorted(words, key=len, reverse=True))})(?![\w.])"


def _alternatives(words: Iterable[str], language: Language) -> str:
    """Units as alternatives, the longest first; one that ends in a letter ends there ("m" is not in "mm")."""
    plain = sorted((normalise(word, language) for word in words), key=len, reverse=True)
    return "|".join(
        re.escape(word) + ("(?![a-z])" if word[-1].isascii() and word[-1].isalpha() else "") for word in plain
    )


def fixed_forms(phrase: str | Forms) -> Iterator[str]:
    """The patterns of a phrase: one, or one for each grammatical number."""
    if isinstance(phrase, str):
        yield phrase
    else:
        yield from (form for form in (phrase.zero, phrase.one, phrase.other) if form is not None)
