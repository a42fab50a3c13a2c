"""Reads a template file; every mistake in it comes back with its line, the value and the choices.

my.yaml, line 14, slots 2 (defect): unknown key 'lable' (did you mean 'label'?). Known: id, type, label, …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import SafeConstructor

from data.errors import GenbaError, nearest
from data.messages import catalogue
from data.template_checks import Mistake, Place, mistakes
from data.template_schema import (
    BadExample,
    Examples,
    Forms,
    GlossaryTerm,
    Option,
    ShowWhen,
    Slot,
    TemplateFields,
    VagueWord,
)
from data.told import Told, told

BYTES = 1_000_000
SHOWN = 12  # mistakes in one message
LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml, where PyYAML was built with it, is ten times faster
NEXT = "mend the file; data/packs/parts.yaml is a commented example"
T = TypeVar("T", bound=TemplateFields)


@dataclass(frozen=True)
class Row:
    """One mistake: its line (from 1), where that is in words (", slots 3 (defect), label"), and what is wrong."""

    line: int
    place: str
    text: Told

    def in_words(self, language: str) -> str:
        """In "ja" or "en", with the line."""
        return told("line {line}{place}: {text}", line=self.line, place=self.place, text=self.text).in_words(
            language
        )


class TemplateError(GenbaError):
    """A text that is no template, mistake by mistake."""

    def __init__(self, what: str, rows: list[Row]) -> None:
        self.rows = rows
        super().__init__(what, next=NEXT)


def read_text(path: Path) -> str:
    """The text of a template file. Raises GenbaError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise GenbaError(f"The template {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise GenbaError(f"The template {path} is not UTF-8 text (byte {error.start}).", next=NEXT) from error


def parse_template(text: str, name: str, model: type[T]) -> T:
    """The checked template of a text; `name` stands in messages. Raises GenbaError: the mistakes with their lines."""
    if len(text) > BYTES:
        raise _not_readable(
            name, told("has {n} characters; at most {most} are read.", n=len(text), most=BYTES)
        )
    data, lines = _load(text, name)
    try:
        template = model.model_validate(_tuples(data))
        found = mistakes(template)
    except ValidationError as error:
        found = [_in_words(one, data) for one in error.errors() if not _of_other_kind(one)]
    if found:
        raise _report(name, found, lines, data)
    template._source = text
    return template


def _load(text: str, name: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """The data of a YAML text, and the line of each key and item. Aliases and doubled keys are refused."""
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.AliasEvent):
                text = told("'*{name}' is not read: write it out.", name=event.anchor)
                raise _at_line(name, event.start_mark.line + 1, text)
        node = yaml.compose(text, Loader=LOADER)
        if not isinstance(node, yaml.MappingNode):
            raise _not_readable(name, told("is no template: it must begin with keys such as id: and slots:."))
        lines: dict[Place, int] = {}
        _mark(node, (), lines, name)
        return SafeConstructor().construct_document(node), lines
    except RecursionError:
        raise _not_readable(name, told("is no template: lists within lists without end.")) from None
    except yaml.YAMLError as error:
        raise _at_line(name, *_of_reader(error, text)) from error


def _of_reader(error: yaml.YAMLError, text: str) -> tuple[int, Told]:
    """The line, and what the YAML reader says: in words where data/ja.po has them, else in its own English."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    key = said.replace("{", "{{").replace("}", "}}")
    return line, told("no YAML: {problem}.", problem=told(key) if key in catalogue("ja") else said)


def _at_line(name: str, line: int, text: Told) -> TemplateError:
    return TemplateError(f"{name}, line {line}: {text}", [Row(line, "", text)])


def _not_readable(name: str, text: Told) -> TemplateError:
    return TemplateError(f"{name} {text}", [Row(1, "", text)])


def _mark(node: yaml.Node, place: Place, lines: dict[Place, int], name: str) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value if isinstance(key, yaml.ScalarNode) else "?")
            if inner in lines:
                text = told("the key {key} stands twice.", key=repr(key.value))
                raise _at_line(name, key.start_mark.line + 1, text)
            lines[inner] = key.start_mark.line + 1
            _mark(value, inner, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _mark(value, (*place, number), lines, name)


def _tuples(data: Any) -> Any:
    """Lists as tuples, as the frozen records have them."""
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    return tuple(_tuples(value) for value in data) if isinstance(data, list) else data


def _of_other_kind(error: Mapping[str, Any]) -> bool:
    """A phrase is a text or forms: that forms are no text is no mistake."""
    return error["loc"][-1] == "str" and isinstance(error["input"], Mapping)


def _in_words(error: Mapping[str, Any], data: Any) -> Mistake:
    """One finding of pydantic in plain words."""
    place: Place = tuple(part for part in error["loc"] if part not in ("[key]", "str", "Forms"))
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = nearest(str(place[-1]), known)
        hint = told(" (did you mean {near}?)", near=repr(near)) if near else told("")
        return place, told(
            "unknown key {key}{hint}. Known: {known}",
            key=_short(place[-1]),
            hint=hint,
            known=", ".join(known),
        )
    if kind == "missing":
        return place, told("the key {key} is missing", key=repr(place[-1]))
    if isinstance(value, bool) and kind != "bool_type":
        return place, told(
            "YAML reads a bare yes, no, on or off as {value}: put the word in quotes", value=value
        )
    if kind == "literal_error":
        return place, told("{value} is none of {known}", value=_short(value), known=context["expected"])
    if kind == "string_pattern_mismatch":
        sign = "-" if place == ("id",) else "_"
        return place, told(
            "{value}: small letters, digits and {sign} only, a letter first", value=_short(value), sign=sign
        )
    wanted = {
        "string_type": "a text is expected (put it in quotes)", "int_type": "a whole number is expected",
        "float_type": "a number is expected", "bool_type": "true or false is expected",
        "tuple_type": "a list is expected", "dict_type": "one text for each language is expected: {{ja: …, en: …}}",
        "model_type": "keys are expected here", "too_short": "at least one entry is needed",
    }.get(kind)  # fmt: skip
    said = told(wanted) if wanted else error["msg"]
    return place, told("{wanted}, not {value}", wanted=said, value=_short(value))


def _short(value: Any) -> str:
    """A value as it may stand in a sentence."""
    if value is None:
        return told("(empty)")
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _known_keys(place: Place) -> list[str]:
    """The keys of the record at a place of the file."""
    names = tuple(part for part in place if isinstance(part, str))
    record: type[BaseModel] = TemplateFields
    for key, found in (
        ("slots", Slot), ("options", Option), ("show_when", ShowWhen), ("phrase", Forms), ("vague", VagueWord),
        ("glossary", GlossaryTerm), ("examples", Examples), ("bad", BadExample),
    ):  # fmt: skip
        if key in names:
            record = found
    return [field.alias or name for name, field in record.model_fields.items()]


def _report(name: str, found: list[Mistake], lines: dict[Place, int], data: Any) -> TemplateError:
    """One row for each place of the file: the first of its mistakes."""
    first: dict[Place, Told] = {}
    for place, text in found:
        first.setdefault(_known_place(place, lines), text)
    rows = [Row(lines[place], _label(place, data), text) for place, text in first.items()]
    rest = f"\n… and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    head = f"The template {name} has {len(rows)} mistake{'s' if len(rows) > 1 else ''}:\n"
    return TemplateError(
        head + "\n".join(f"  {name}, {row.in_words('en')}" for row in rows[:SHOWN]) + rest, rows
    )


def _known_place(place: Place, lines: dict[Place, int]) -> Place:
    """The longest beginning of a place that stands in the file (a missing key has no line of its own)."""
    while place not in lines:
        place = place[:-1]
    return place


def _label(place: Place, data: Any) -> str:
    """`, slots 3 (defect), options 2 (scratch), label`: counted from one, with the ids that stand there."""
    words: list[str] = []
    here = data
    for part in place:
        here = here[part]
        if isinstance(part, int) and words:
            named = f" ({here['id']})" if isinstance(here, dict) and isinstance(here.get("id"), str) else ""
            words[-1] += f" {part + 1}{named}"
        else:
            words.append(str(part))
    return "".join(f", {word}" for word in words)
