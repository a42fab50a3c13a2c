"""What must hold across a template file, beyond the shape of each record. Each finding names the place in the file.

for place, text in mistakes(fields): …        # (("slots", 4, "show_when"), "no slot 'defekt' stands before …")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from data.caption_parser import Vocabulary, fixed_forms, forms_of, normalise, option_words
from data.caption_pattern import OWN, PatternError, all_holes, parse_pattern
from data.caption_writer import holes, holes_of_slot, option_phrase, slots_said
from data.errors import nearest
from data.slot_values import SlotError, clean
from data.template_schema import Language, Option, Slot, TemplateFields
from data.told import Told, told

Place = tuple[str | int, ...]
Mistake = tuple[Place, Told]
RESERVED = ("verdict", "image", "caption")  # names of the form's own fields
WITH_OPTIONS = ("choice", "multi")


def mistakes(template: TemplateFields) -> list[Mistake]:
    """Everything that is wrong, in the order of the file. Later checks run only when the earlier ones find nothing."""
    for checks in (_ids, _texts, _slots, _patterns, _cycles, _caption, _glossary, _words, _defaults):
        found = list(checks(template))
        if found:
            return found
    return []


def _ids(template: TemplateFields) -> Iterator[Mistake]:
    yield from _doubles([slot.id for slot in template.slots], ("slots",))
    for number, slot in enumerate(template.slots):
        if slot.id in RESERVED:
            yield (
                ("slots", number, "id"),
                told("{id} is a field of every form: choose another id", id=repr(slot.id)),
            )
        yield from _doubles([option.id for option in slot.options], ("slots", number, "options"))


def _doubles(ids: list[str], place: Place) -> Iterator[Mistake]:
    for number, name in enumerate(ids):
        if name in ids[:number]:
            yield (*place, number, "id"), told("the id {id} stands twice", id=repr(name))


def _texts(template: TemplateFields) -> Iterator[Mistake]:
    """Every text stands in every language of the title, and in no other."""
    for place, words in _all_words(template):
        for language in template.languages:
            if language not in words:
                yield (
                    place,
                    told(
                        "the language {language} is missing (title has {known})",
                        language=repr(language),
                        known=", ".join(template.languages),
                    ),
                )
            elif isinstance(words[language], str) and not str(words[language]).strip():
                yield (*place, language), told("the text is empty")
    for place, by_language in _all_by_language(template):
        for name in by_language:
            if name not in template.languages:
                yield (
                    (*place, name),
                    told(
                        "title has no language {language}: {known}",
                        language=repr(name),
                        known=", ".join(template.languages),
                    ),
                )


def _all_words(template: TemplateFields) -> Iterator[tuple[Place, Mapping[Language, object]]]:
    yield ("title",), template.title
    yield ("rubric",), template.rubric
    yield ("caption",), template.caption_pattern
    for number, slot in enumerate(template.slots):
        place: Place = ("slots", number)
        yield (*place, "label"), slot.label
        if slot.help:
            yield (*place, "help"), slot.help
        if slot.unit:
            yield (*place, "unit"), slot.unit
        for which, option in enumerate(slot.options):
            yield (*place, "options", which, "label"), option.label


def _all_by_language(template: TemplateFields) -> Iterator[tuple[Place, Iterable[str]]]:
    yield from _all_words(template)
    yield from (
        (("vague",), template.vague),
        (("glossary",), template.glossary),
        (("ignore",), template.ignore),
        (("examples",), template.examples),
    )
    for number, slot in enumerate(template.slots):
        yield ("slots", number, "phrase"), slot.phrase
        yield ("slots", number, "unit_words"), slot.unit_words
        for which, option in enumerate(slot.options):
            for key in ("phrase", "prompt", "synonyms"):
                yield ("slots", number, "options", which, key), getattr(option, key)


def _slots(template: TemplateFields) -> Iterator[Mistake]:
    for number, slot in enumerate(template.slots):
        before = {other.id: other for other in template.slots[:number]}
        yield from (((("slots", number, key)), text) for key, text in _keys_of_type(slot))
        yield from (((("slots", number, "show_when")), text) for text in _show_when(slot, before))
        if slot.counted_by:
            counter = template.slot(slot.counted_by)
            if counter is None or counter.type != "number":
                numbers = [other.id for other in template.slots if other.type == "number"]
                yield ("slots", number, "counted_by"), _unknown(told("number slot"), slot.counted_by, numbers)


def _keys_of_type(slot: Slot) -> Iterator[tuple[str, Told]]:
    """Keys that the type of the slot needs or cannot have."""
    if slot.type in WITH_OPTIONS and len(slot.options) < 2:
        yield "options", told("a {type} slot needs at least two options", type=slot.type)
    if slot.type not in WITH_OPTIONS and slot.options:
        yield (
            "options",
            told(
                "a {type} slot has no options (types with options: {known})",
                type=slot.type,
                known=", ".join(WITH_OPTIONS),
            ),
        )
    for key in ("unit", "unit_words", "in_words", "min", "step"):
        if getattr(slot, key) and slot.type != "number":
            yield (
                key,
                told("a {type} slot has no {key}: only a number slot has", type=slot.type, key=repr(key)),
            )
    if slot.max is not None and slot.type not in ("number", "rating"):
        yield "max", told("a {type} slot has no 'max': only number and rating slots have", type=slot.type)
    if slot.type == "rating" and not 2 <= slot.stars <= 10:
        yield "max", told("a rating has 2 to 10 steps")
    if slot.min is not None and slot.max is not None and slot.min >= slot.max:
        yield "max", told("max {max} is not above min {min}", max=f"{slot.max:g}", min=f"{slot.min:g}")


def _show_when(slot: Slot, before: dict[str, Slot]) -> Iterator[Told]:
    if slot.show_when is None:
        return
    choices = [other.id for other in before.values() if other.type in WITH_OPTIONS]
    if slot.show_when.slot not in choices:
        yield _unknown(told("choice slot before this one"), slot.show_when.slot, choices)
        return
    if (slot.show_when.is_ is None) == (slot.show_when.is_not is None):
        yield told("write either 'is' or 'is_not'")
    known = [option.id for option in before[slot.show_when.slot].options]
    for name in (*(slot.show_when.is_ or ()), *(slot.show_when.is_not or ())):
        if name not in known:
            yield _unknown(told("option of {slot}", slot=repr(slot.show_when.slot)), name, known)


def _unknown(what: Told, value: str, known: list[str]) -> Told:
    near = nearest(value, known)
    hint = told(" (did you mean {near}?)", near=repr(near)) if near else told("")
    listed = ", ".join(known) or told("none")
    return told(
        "{value} is no {what}{hint}. Known: {known}", value=repr(value), what=what, hint=hint, known=listed
    )


def _patterns(template: TemplateFields) -> Iterator[Mistake]:
    """Every pattern can be read and names slots that there are."""
    known = [slot.id for slot in template.slots]
    for place, text, inside in _all_patterns(template):
        try:
            names = list(all_holes(parse_pattern(text)))
        except PatternError as error:
            yield place, error.told
            continue
        for name in names:
            if name == OWN and not inside:
                yield place, told("{{}} has no meaning here: name the slot, e.g. {{{slot}}}", slot=known[0])
            elif name != OWN and name not in known:
                yield place, _unknown(told("slot"), name, known)


def _all_patterns(template: TemplateFields) -> Iterator[tuple[Place, str, bool]]:
    """Place, pattern, and whether it is the phrase of a slot."""
    for language, caption in template.caption_pattern.items():
        yield ("caption", language), caption, False
    for number, slot in enumerate(template.slots):
        owners: list[tuple[Place, Slot | Option]] = [(("slots", number), slot)]
        owners += [(("slots", number, "options", which), option) for which, option in enumerate(slot.options)]
        for place, owner in owners:
            for language, phrase in owner.phrase.items():
                yield from (((*place, "phrase", language), form, True) for form in fixed_forms(phrase))


def _cycles(template: TemplateFields) -> Iterator[Mistake]:
    """No phrase names, by whatever way round, the slot it belongs to."""
    for language in template.languages:
        for number, slot in enumerate(template.slots):
            seen: set[str] = set()
            waiting = holes_of_slot(slot, language)
            while waiting:
                name = waiting.pop()
                if name == slot.id:
                    yield (
                        ("slots", number, "phrase"),
                        told(
                            "the phrase of {slot} leads back to {slot} ({language})",
                            slot=repr(slot.id),
                            language=language,
                        ),
                    )
                    break
                other = template.slot(name)
                if other is not None and name not in seen:
                    seen.add(name)
                    waiting.extend(holes_of_slot(other, language))


def _caption(template: TemplateFields) -> Iterator[Mistake]:
    said = {language: slots_said(template, language) for language in template.languages}
    for language in template.languages:
        if not holes(template.caption_pattern[language]):
            yield ("caption", language), told("the caption names no slot")
        for other in template.languages:
            for name in sorted(said[other] - said[language]):
                yield (
                    ("caption", language),
                    told(
                        "{slot} is said in {other} but not in {language}",
                        slot=repr(name),
                        other=other,
                        language=language,
                    ),
                )


def _glossary(template: TemplateFields) -> Iterator[Mistake]:
    """A local word stands for one term, is no term itself, and nothing else in the file gives it another meaning."""
    plain = template.model_copy(update={"glossary": {}})
    for language, entries in template.glossary.items():
        vocabulary = Vocabulary.of(plain, language)
        terms = {normalise(entry.term, language) for entry in entries}
        owner: dict[str, str] = {}
        for number, entry in enumerate(entries):
            states = vocabulary.find(entry.term)
            for which, word in enumerate(entry.words):
                place: Place = ("glossary", language, number, "words", which)
                form = forms_of(word, language)[0]
                first = owner.setdefault(form, entry.term)
                if first != entry.term:
                    yield (
                        place,
                        told(
                            "{word} already stands for {other}: one word, one term",
                            word=repr(word),
                            other=repr(first),
                        ),
                    )
                elif form in terms:
                    yield place, told("{word} is itself a standard term", word=repr(word))
                elif vocabulary.words.get(form) == ():
                    yield (
                        place,
                        told(
                            "{word} also stands under vague or ignore, where it says nothing", word=repr(word)
                        ),
                    )
                elif form in vocabulary.words and vocabulary.find(word) != states:
                    values = {
                        "word": repr(word),
                        "this": _states(vocabulary.find(word)),
                        "term": repr(entry.term),
                    }
                    yield (
                        place,
                        told("{word} states {this}, but {term} {other}", **values, other=_states(states)),
                    )


def _states(found: Mapping[str, object]) -> str | Told:
    return ", ".join(f"{slot}: {value}" for slot, value in found.items()) or told("nothing")


def _words(template: TemplateFields) -> Iterator[Mistake]:
    """A word states one option of a slot, and the caption's own words are recognised when they are read again."""
    for language in template.languages:
        vocabulary, said = Vocabulary.of(template, language), slots_said(template, language)
        for number, slot in enumerate(template.slots):
            owner: dict[str, str] = {}
            for which, option in enumerate(slot.options):
                place: Place = ("slots", number, "options", which)
                yield from (((*place, "label"), text) for text in _label_clash(slot, option, language))
                for word in option_words(option, language):
                    first = owner.setdefault(forms_of(word, language)[0], option.id)
                    if first != option.id:
                        values = {"word": repr(word), "language": language, "other": repr(first)}
                        yield (
                            place,
                            told(
                                "{word} ({language}) already stands for {other}: one word, one option",
                                **values,
                            ),
                        )
                if slot.id in said and slot.type == "choice":
                    text = option_phrase(template, slot, option, {slot.id: option.id}, language)
                    if vocabulary.find(text).get(slot.id) != option.id:
                        said_so = "the caption says {said} ({language}), which is not read as {option}: "
                        said_so += "put the word that states it under synonyms"
                        yield place, told(said_so, said=repr(text), language=language, option=repr(option.id))


def _label_clash(slot: Slot, option: Option, language: Language) -> Iterator[Told]:
    """Label Studio finds an option by label or by id, so that no label may be another option's id or label."""
    for other in slot.options:
        if other.id != option.id and option.label[language] in (other.id, other.label[language]):
            label = repr(option.label[language])
            yield told("the label {label} also names the option {option}", label=label, option=repr(other.id))


def _defaults(template: TemplateFields) -> Iterator[Mistake]:
    for number, slot in enumerate(template.slots):
        if slot.default is not None:
            alone = template.model_copy(update={"slots": (slot.model_copy(update={"show_when": None}),)})
            try:
                clean(alone, {slot.id: slot.default}, partial=True)
            except SlotError as error:
                problem = error.problems[0]
                yield ("slots", number, "default"), told(problem.text, **problem.values)
