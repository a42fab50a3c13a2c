"""Splits a caption into phrases that can be left out one at a time, in Japanese and English.

    split = Splitter(template)
    split("two steel bolts on the tray", "en")     # two | steel | bolts | on the tray
    split("トレーの上の鋼製ボルト2本", "ja")           # トレーの | 上の | 鋼製 | ボルト | 2本

Two rules. The words of the site's template stand as they are, the longest first ("conveyor belt" is one phrase).
What is between them is split where the kind of letter changes (kanji, katakana, hiragana, Latin, digits), and function
words go with the word that they belong to: Japanese particles, endings and suffixes of one kanji with the one before
them (about a 文節), English articles and prepositions with the one after. A Japanese word of mixed letters that the
template does not know may fall apart (焼き付き); a morphological analyser would know it, and weighs 50 MB.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from data.caption_parser import HYPHENS, Vocabulary
from data.records import normalise_caption

if TYPE_CHECKING:
    from data.templates import Template

KANJI = "\u3400-\u9fff\u3005\u3006\u3007"
KATAKANA = "\u30a1-\u30fa\u30fc"
HIRAGANA = "\u3041-\u3096"
WORD = re.compile(
    r"[a-z]+\d+(?:[.×-]?[a-z0-9]+)*"  # M12x1.5, SUS304
    rf"|\d+(?:[.,x×]\d+)*(?:[{KANJI}]|[a-z%]+)?"  # a number goes with its unit: 2本, 12mm
    rf"|[{KANJI}]+|[{KATAKANA}]+|[{HIRAGANA}]+(?:\u30fc[{HIRAGANA}]*)?"
    rf"|[^\W\d_{KANJI}{KATAKANA}{HIRAGANA}]+(?:['’-][^\W\d_{KANJI}{KATAKANA}{HIRAGANA}]+)*",
    re.IGNORECASE,
)
PARTICLE = re.compile(r"(?:から|まで|より|には|では|への|との|での|など|[のにがをはともへでや])(?=.{2})")
FUNCTION_WORDS = frozenset((
    "a", "an", "the", "this", "that", "its", "his", "her", "their", "is", "are", "was", "and", "or", "as",
    "while", "of", "on", "in", "at", "with", "by", "to", "from", "for", "near", "into", "onto", "over", "under",
    "through", "across", "along", "against", "around", "above", "below", "behind", "beside", "between",
))  # fmt: skip
SEPARATORS = " 、，,;:；：。．.・/／()（）「」[]"


@dataclass(frozen=True)
class Phrase:
    """A part of a normalised caption: text[start:end] is `words`."""

    words: str
    start: int
    end: int


@dataclass(frozen=True)
class Splitter:
    """Splits captions by the words of one template (None: by letters alone)."""

    template: Template | None = None

    def __call__(self, caption: str, language: str) -> list[Phrase]:
        """The phrases of a caption in their order. Offsets are those of `normalise_caption(caption)`."""
        text = normalise_caption(caption)
        parts: list[Phrase] = []
        known: set[int] = set()  # where words of the template begin
        end = 0
        for start, stop in [*self._known(text, language), (len(text), len(text))]:
            parts += _words(text, end, start)
            if stop > start:
                parts.append(Phrase(text[start:stop], start, stop))
                known.add(start)
            end = stop
        return _joined(text, parts, known)

    def _known(self, text: str, language: str) -> list[tuple[int, int]]:
        """Where words of the template stand: (start, end), from left to right, the longest at each place."""
        plain = HYPHENS.sub(
            "-", "".join(s if len(s := letter.casefold()) == 1 else letter for letter in text)
        )
        places = []
        for one, vocabulary in self._vocabularies.items():
            if vocabulary.pattern and (one == language or language not in self._vocabularies):
                # As Vocabulary.find sees it, but letter for letter, so that the places are those of the text.
                searched = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", plain) if one == "en" else plain
                places += [match.span() for match in vocabulary.pattern.finditer(searched)]
        found: list[tuple[int, int]] = []
        for start, end in sorted(places, key=lambda place: (place[0], -place[1])):
            if (not found or start >= found[-1][1]) and _is_whole(plain, start, end):
                found.append((start, end))
        return found

    @cached_property
    def _vocabularies(self) -> dict[str, Vocabulary]:
        template = self.template
        return {one: Vocabulary.of(template, one) for one in template.languages} if template else {}


def without(caption: str, phrase: Phrase) -> str:
    """The normalised caption with one phrase left out, and the separators that would then stand alone."""
    text = normalise_caption(caption)
    before, after = text[: phrase.start].rstrip(), text[phrase.end :].lstrip()
    if not before or before[-1] in SEPARATORS:
        after = after.lstrip(SEPARATORS)
    if not after:
        before = before.rstrip(SEPARATORS)
    needs_space = before and after and after[0] not in SEPARATORS and text[: phrase.start] != before
    return normalise_caption(before + (" " if needs_space else "") + after)


def _is_whole(text: str, start: int, end: int) -> bool:
    """A word of the template inside a longer run of katakana is another word: ギア in ギアボックス."""
    goes_on = re.match(rf"[{KATAKANA}]{{2}}", text[end - 1 : end + 1])
    began_before = start > 0 and re.match(rf"[{KATAKANA}]{{2}}", text[start - 1 : start + 1])
    return not goes_on and not began_before


def _words(text: str, start: int, end: int) -> list[Phrase]:
    """The words between two known ones; a run of hiragana is split behind the particle that it begins with."""
    found: list[Phrase] = []
    for match in WORD.finditer(text, start, end):
        first, last = match.span()
        particle = PARTICLE.match(match.group()) if _is_hiragana(match.group()) and first > 0 else None
        middle = first + particle.end() if particle and not text[first - 1].isspace() else first
        found += [Phrase(text[a:b], a, b) for a, b in ((first, middle), (middle, last)) if b > a]
    return found


def _is_hiragana(words: str) -> bool:
    return re.fullmatch(rf"[{HIRAGANA}\u30fc]+", words) is not None


def _joined(text: str, parts: Sequence[Phrase], known: Container[int]) -> list[Phrase]:
    """Particles, endings and suffixes go to the phrase before them, English function words to the one after."""
    found: list[Phrase] = []
    begins: int | None = None  # where function words began
    ending = -1  # up to here a phrase has its particle: what follows in hiragana is a word of its own
    for part in parts:
        if part.words.lower() in FUNCTION_WORDS:
            begins = part.start if begins is None else begins
            continue
        start = part.start if begins is None else begins
        follows = begins is None and found and found[-1].end == part.start != ending
        if follows and part.start not in known and _is_ending(part.words, found[-1].words):
            start = found.pop().start
            ending = part.end if _is_hiragana(part.words) else ending
        found.append(Phrase(text[start : part.end], start, part.end))
        begins = None
    if begins is not None:
        found.append(Phrase(text[begins : parts[-1].end], begins, parts[-1].end))
    return found


def _is_ending(words: str, before: str) -> bool:
    """Hiragana, or one kanji behind another letter: 鋼 + 製, 左 + 側, then + に."""
    is_suffix = re.fullmatch(rf"[{KANJI}]", words) is not None and not _is_hiragana(before[-1])
    return _is_hiragana(words) or is_suffix
