"""What a caption states, with where each value was read: in the words of the template, or by their meaning.

    embed = embedding_of(encoder, "en")                      # None for an encoder that does not read the language
    found = parse_with_origin(template, "steel bolt, one fracture at the left", "en", embed)
    found["material"]        # Found("steel", "words", 1.0)
    found["defect"]          # Found("crack", "meaning", 0.86): the template has no word "fracture"

The dictionary comes first (data/caption_parser.py). What it leaves over is compared with the words of all options: a
left-over phrase is near one option (likeness) and less near the next one (margin). What these are worth is learned from
the template itself: each of its own words that the rest of the dictionary would not read is held out once alone, and
once with its whole option (then whatever is nearest is wrong); a logistic regression gives the chance that an answer is
right. Where too few held-out words are read, or too many wrongly, as with an encoder that does not know the language or
the field, nothing is read by meaning at all. docs/LOG.md has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data.caption_parser import Vocabulary, forms_of, normalise, option_words, word_pattern
from data.records import normalise_caption
from scoring.phrases import FUNCTION_WORDS, Splitter

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.linear_model import LogisticRegression

    from data.template_schema import Language
    from data.templates import Template
    from scoring.encoders import Encoder
    from scoring.phrases import Phrase

    Vectors = NDArray[np.float32]

Embed = Callable[[Sequence[str]], "Vectors"]  # n texts -> (n, D), rows of unit length
Origin = Literal["words", "meaning"]
ACCEPT = 0.7  # the least chance of being right at which an answer is given
PRECISION = 0.75  # of the held-out answers that would be given, at least this share must be right (5-fold)
LEAST = 8  # and there must be so many: fewer prove nothing
WINDOW = 3  # a left-over phrase is also tried together with its neighbours, so many at most
FIRST_WORD = re.compile(r"[A-Za-z]+\s+")


@dataclass(frozen=True)
class Found:
    """The value of a slot. confidence, in [0, 1]: by words 1 / how many different values the caption states for the
    slot; by meaning the chance that it is right."""

    value: Any
    origin: Origin
    confidence: float


def embedding_of(encoder: Encoder, language: str) -> Embed | None:
    """The text side of an encoder, where it reads the language."""
    return encoder.encode_texts if encoder.source.reads(language) else None


def parse_with_origin(
    template: Template, caption: str, language: str, embed: Embed | None = None
) -> dict[str, Found]:
    """Slot id -> what the caption states, in the order of the form; without `embed` by words alone.

    embed: of an encoder that reads the language (embedding_of). Only choice slots are read by meaning.
    """
    found = {
        slot_id: Found(values[0], "words", 1 / len(values))
        for slot_id, values in template.parse_all(caption, language).items()
    }
    asked = template.asked({name: one.value for name, one in found.items()})
    is_open = any(slot.type == "choice" and slot.id in asked - found.keys() for slot in template.slots)
    if embed is None or language not in template.languages or not is_open:
        return found
    reader = _reader(_Key(template, template.language(language), template.source), embed)
    for slot_id, option_id, chance in reader.read(caption):
        asked = template.asked({name: one.value for name, one in found.items()})
        if slot_id not in found and slot_id in asked:
            found[slot_id] = Found(option_id, "meaning", chance)
    return {slot.id: found[slot.id] for slot in template.slots if slot.id in found}


@dataclass(frozen=True)
class HeldOut:
    """2n readings of n held-out words: each without itself, then each without its whole option (always wrong)."""

    features: NDArray[np.float64]  # (2n, 2): likeness, margin
    right: NDArray[np.bool_]  # (2n,)
    word: NDArray[np.intp]  # (2n,)


@dataclass(frozen=True)
class Bank:
    """All words that state an option of a choice slot, and their vectors."""

    words: list[str]
    owner: list[frozenset[int]]  # the options that the word states, as places in `options`
    options: list[tuple[str, str]]  # slot id, option id
    vectors: Vectors  # (W, D)
    language: Language

    @classmethod
    def of(cls, template: Template, language: Language, embed: Embed) -> Bank:
        options: list[tuple[str, str]] = []
        owner: dict[str, set[int]] = {}
        for slot in template.slots:
            for option in slot.options if slot.type == "choice" else ():
                for word in (*option_words(option, language), option.prompt.get(language, "")):
                    owner.setdefault(normalise(word, language), set()).add(len(options))
                options.append((slot.id, option.id))
        for entry in template.glossary.get(language, ()):
            stated = owner.get(normalise(entry.term, language), set())
            for word in entry.words:
                owner.setdefault(normalise(word, language), set()).update(stated)
        words = [word for word, of in owner.items() if of and word]
        return cls(words, [frozenset(owner[word]) for word in words], options, embed(words), language)

    def likeness(self, vectors: Vectors, left_out: NDArray[np.bool_] | None = None) -> Vectors:
        """(Q, D) -> (Q, O): cosine of each query with the nearest word of each option, -1 where it has none.

        left_out: (Q, W) words that a query must not be compared with.
        """
        cosines = vectors @ self.vectors.T  # (Q, W)
        if left_out is not None:
            cosines = np.where(left_out, np.float32(-1), cosines)
        found = np.full((len(vectors), len(self.options)), -1.0, dtype=np.float32)
        for option in range(len(self.options)):
            mine = [place for place, of in enumerate(self.owner) if option in of]
            found[:, option] = cosines[:, mine].max(axis=1)
        return found

    def held_out(self) -> HeldOut:
        """How the n words fare that no other word of the template would read."""
        chosen = [i for i, of in enumerate(self.owner) if len(of) == 1 and not self._is_read_without(i)]
        alone = np.arange(len(self.words)) == np.array(chosen, dtype=int)[:, None]  # (n, W)
        with_option = np.array([[bool(self.owner[i] & of) for of in self.owner] for i in chosen], dtype=bool)
        truth = np.array([next(iter(self.owner[i])) for i in chosen], dtype=int)
        vectors = self.vectors[chosen]
        best, near, margin = nearest(self.likeness(vectors, alone))
        _, other_near, other_margin = nearest(self.likeness(vectors, with_option.reshape(alone.shape)))
        return HeldOut(
            np.stack([np.r_[near, other_near], np.r_[margin, other_margin]], axis=1),
            np.r_[best == truth, np.zeros(len(chosen), dtype=bool)],
            np.tile(np.arange(len(chosen)), 2),
        )

    def _is_read_without(self, i: int) -> bool:
        """Whether the dictionary would find another word inside this one ("bolt" in "hex bolt")."""
        for j, word in enumerate(self.words):
            if j != i and word in self.words[i]:
                pattern = word_pattern(forms_of(word, self.language), self.language)
                if pattern is not None and pattern.search(self.words[i]):
                    return True
        return False


def nearest(likeness: Vectors) -> tuple[NDArray[np.intp], Vectors, Vectors]:
    """(Q, O) -> the nearest option, how near it is, and by how much it is nearer than the next one; each (Q,)."""
    ranked = np.sort(likeness, axis=1)
    return likeness.argmax(axis=1), ranked[:, -1], ranked[:, -1] - ranked[:, -2]


@dataclass(frozen=True)
class Calibration:
    """The chance that an answer is right. precision, given: of held-out answers, by models that had not seen them."""

    model: LogisticRegression | None  # None: nothing can be learned
    precision: float
    given: int

    @classmethod
    def of(cls, held_out: HeldOut) -> Calibration:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold, cross_val_predict

        right = held_out.right
        if right.sum() < LEAST:
            return cls(None, 0.0, 0)
        model = LogisticRegression(C=100.0)
        chance = cross_val_predict(
            model, held_out.features, right, groups=held_out.word, cv=GroupKFold(5), method="predict_proba"
        )[:, 1]
        given = chance >= ACCEPT
        precision = float(right[given].mean()) if given.any() else 0.0
        return cls(model.fit(held_out.features, right), precision, int(given.sum()))

    @property
    def is_good(self) -> bool:
        """Whether to read by meaning at all."""
        return self.model is not None and self.given >= LEAST and self.precision >= PRECISION

    def chance(self, likeness: Vectors, margin: Vectors) -> NDArray[np.float64]:
        """(Q,) that an answer is right."""
        assert self.model is not None
        found: NDArray[np.float64] = self.model.predict_proba(np.stack([likeness, margin], axis=1))[:, 1]
        return found


@dataclass(frozen=True)
class Reader:
    """Reads by meaning what the dictionary of one template leaves over in one language."""

    template: Template
    language: Language
    embed: Embed
    bank: Bank
    calibration: Calibration

    @classmethod
    def of(cls, template: Template, language: Language, embed: Embed) -> Reader:
        bank = Bank.of(template, language, embed)
        return cls(template, language, embed, bank, Calibration.of(bank.held_out()))

    def read(self, caption: str) -> list[tuple[str, str, float]]:
        """(slot id, option id, chance) that left-over phrases state, the surest first; each word counts once."""
        windows = list(self._left_over(caption)) if self.calibration.is_good else []
        if not windows:
            return []
        text = normalise_caption(caption)
        best, likeness, margin = nearest(self.bank.likeness(self.embed([text[a:b] for a, b in windows])))
        chance = self.calibration.chance(likeness, margin)
        found: list[tuple[str, str, float]] = []
        used: list[tuple[int, int]] = []
        for row in np.argsort(-chance, kind="stable"):
            start, end = windows[row]
            if chance[row] >= ACCEPT and not any(start < b and a < end for a, b in used):
                used.append((start, end))
                found.append((*self.bank.options[best[row]], float(chance[row])))
        return found

    def _left_over(self, caption: str) -> Iterator[tuple[int, int]]:
        """Where phrases without a word of the template stand, alone and joined with their neighbours."""
        pattern = Vocabulary.of(self.template, self.language).pattern
        text = normalise_caption(caption)
        run: list[Phrase] = []
        for phrase in Splitter(self.template)(caption, self.language):
            if pattern is not None and pattern.search(normalise(phrase.words, self.language)):
                yield from _windows(text, run)
                run = []
            else:
                run.append(phrase)
        yield from _windows(text, run)


def _windows(text: str, run: Sequence[Phrase]) -> Iterator[tuple[int, int]]:
    """Up to WINDOW phrases that stand one after the other, without the function words they begin with."""
    for first in range(len(run)):
        start = run[first].start
        while (word := FIRST_WORD.match(text, start)) and word[0].strip().lower() in FUNCTION_WORDS:
            start = word.end()
        for last in run[first : first + WINDOW]:
            if start < last.end:
                yield start, last.end


@dataclass(frozen=True)
class _Key:
    """A template and a language as the key of a cache: the text of the file tells templates apart."""

    template: Template = field(compare=False)
    language: Language
    source: str


@lru_cache(maxsize=8)
def _reader(key: _Key, embed: Embed) -> Reader:
    """Embedding and holding out all words of a template takes a second or two, and a form asks with every pair."""
    return Reader.of(key.template, key.language, embed)
