"""What stands in a template file: frozen records, unknown keys are errors. The first file to read before you edit one.

A template is one YAML file. From it come the form that staff fill in, the labeling config of Label Studio, the caption,
and what a caption is searched for. data/packs/parts.yaml is a commented example to copy.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

Language = Literal["ja", "en"]
SlotType = Literal["choice", "multi", "number", "text", "rating"]
Words = dict[Language, str]  # one text in each language of the template
WordLists = dict[Language, tuple[str, ...]]
Value = str | int | float | list[str]  # of a choice (option id), rating or number, multi (option ids), text


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Forms(Record):
    """A phrase that changes with a number, e.g. {one: bolt, other: bolts}. Patterns, see data/caption_pattern.py."""

    zero: str | None = None  # for 0; without it `other` stands
    one: str | None = None  # for 1; without it `other` stands
    other: str


Phrases = dict[Language, str | Forms]


class Option(Record):
    """One answer of a choice or multi slot."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")  # what is stored: never change it, change the label
    label: Words  # what staff read on the button
    phrase: Phrases = {}  # how the caption says it; without it the slot's phrase, without that the label
    prompt: Words = {}  # how an encoder is asked about this option alone; without it the phrase
    synonyms: WordLists = {}  # other words that state the option in a caption somebody wrote freely


class ShowWhen(Record):
    """The slot is asked only when the choice slot `slot` has (`is`) or has not (`is_not`) one of these options.

    Until `slot` is answered, the slot is hidden in both cases.
    """

    slot: str
    is_: tuple[str, ...] | None = Field(None, alias="is", min_length=1)
    is_not: tuple[str, ...] | None = Field(None, min_length=1)


class Slot(Record):
    """One item of the form."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: SlotType
    label: Words
    help: Words | None = None
    required: bool
    show_when: ShowWhen | None = None
    options: tuple[Option, ...] = ()  # choice and multi
    phrase: Phrases = {}  # how the caption says the slot; {} is the option's label or the number with its unit
    counted_by: str | None = (
        None  # the number slot that says how many of this there are: chooses zero, one, other
    )
    unit: Words | None = None  # number: written behind it
    unit_words: WordLists = {}  # number: other words that follow it in a caption somebody wrote freely
    in_words: bool = False  # number: the English caption writes 0 to 10 as words (two bolts)
    min: float | None = None  # number; rating: always from 1
    max: float | None = None  # number; rating: how many stars (5)
    step: float | None = Field(None, gt=0)  # number: 1 = whole numbers
    default: str | int | float | tuple[str, ...] | None = None  # what the form begins with

    @property
    def whole(self) -> bool:
        """True when only whole numbers are valid."""
        return self.type == "rating" or (
            self.step is not None and self.step % 1 == 0 and (self.min or 0) % 1 == 0
        )

    @property
    def stars(self) -> int:
        """The highest rating."""
        return int(self.max or 5)

    def option(self, option_id: str) -> Option | None:
        return next((option for option in self.options if option.id == option_id), None)


class VagueWord(Record):
    """A word that says nothing, and what to write instead."""

    word: str = Field(min_length=1)
    instead: str


class GlossaryTerm(Record):
    """The standard term, and the local words and abbreviations that people write for it."""

    term: str = Field(min_length=1)
    words: tuple[str, ...] = Field(min_length=1)


class BadExample(Record):
    caption: str
    why: str


class Examples(Record):
    good: tuple[str, ...] = ()
    bad: tuple[BadExample, ...] = ()


class TemplateFields(Record):
    """The file as a whole. Every text stands in every language that `title` has."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: int = Field(
        ge=1
    )  # raise it with every change: corrections remember the version they were made with
    title: Words = Field(min_length=1)
    rubric: WordLists  # what a good caption is, point by point
    slots: tuple[Slot, ...] = Field(min_length=1)
    vague: dict[Language, tuple[VagueWord, ...]] = {}
    glossary: dict[
        Language, tuple[GlossaryTerm, ...]
    ] = {}  # in a caption, a word states what its term states
    ignore: WordLists = {}  # words that contain an option's word but do not state it (分布 is no 布)
    caption_pattern: Words = Field(alias="caption")  # e.g. "{part}[ on the {background}]"
    examples: dict[Language, Examples] = {}
    _source: str = PrivateAttr("")

    @property
    def source(self) -> str:
        """The text of the file."""
        return self._source

    @property
    def languages(self) -> tuple[Language, ...]:
        return tuple(self.title)

    def slot(self, slot_id: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.id == slot_id), None)
