"""What a person entered in a form, made clean: types, ranges, required slots; hidden slots are dropped.

clean(template, {"part": "bolt", "count": 2.0, "defect": "none", "place": "left", …})   # no "place": it is hidden
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.errors import GenbaError
from data.messages import translator
from data.template_schema import Language, ShowWhen, Slot, TemplateFields

TEXT_LENGTH = 200


@dataclass(frozen=True)
class SlotProblem:
    """What is wrong with the value of one slot. `text` is English; `values` fill it, by language where they differ."""

    slot: str
    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def in_words(self, language: str) -> str:
        return translator(language)(self.text).format(
            **{
                key: value.get(language, "") if isinstance(value, dict) else value
                for key, value in self.values.items()
            }
        )


class SlotError(GenbaError):
    """Values that the template does not accept, slot by slot."""

    def __init__(self, template: TemplateFields, problems: list[SlotProblem]) -> None:
        self.problems = problems
        listed = "; ".join(f"{problem.slot}: {problem.in_words('en')}" for problem in problems)
        super().__init__(f"Not accepted by the template {template.id!r}: {listed}.")

    def messages(self, language: str) -> dict[str, str]:
        """Slot id -> what to mend, in "ja" or "en"."""
        return {problem.slot: problem.in_words(language) for problem in self.problems}


class _Refused(Exception):
    def __init__(self, text: str, **values: Any) -> None:
        self.text, self.values = text, values


def clean(template: TemplateFields, values: Mapping[str, Any], partial: bool = False) -> dict[str, Any]:
    """The values in the order of the form, without empty and hidden ones. Raises SlotError.

    partial: required slots may be absent (a form that is still being filled in, a prediction).
    """
    problems = [
        SlotProblem(name, "the template has no such item") for name in values if template.slot(name) is None
    ]
    cleaned: dict[str, Any] = {}
    for slot in template.slots:
        if not shown(slot.show_when, cleaned):
            continue
        try:
            value = clean_value(slot, values.get(slot.id))
            if value is not None:
                cleaned[slot.id] = value
            elif slot.required and not partial:
                raise _Refused("an answer is needed")
        except _Refused as refused:
            problems.append(SlotProblem(slot.id, refused.text, refused.values))
    if problems:
        raise SlotError(template, problems)
    return cleaned


def shown(show_when: ShowWhen | None, values: Mapping[str, Any]) -> bool:
    """Is a slot with this condition asked, given the values of the slots before it?"""
    if show_when is None:
        return True
    value = values.get(show_when.slot)
    chosen = set(value) if isinstance(value, (list, tuple)) else {value} - {None}
    if show_when.is_ is not None:
        return bool(chosen & set(show_when.is_))
    return bool(chosen - set(show_when.is_not or ()))


def clean_value(slot: Slot, value: Any) -> Any:
    """One value in its stored type, or None when it is empty. Raises _Refused."""
    if value is None or value == "" or value == [] or value == ():
        return None
    if slot.type == "choice":
        return _option(slot, value)
    if slot.type == "multi":
        if not isinstance(value, (list, tuple)):
            raise _Refused("a list of options is expected, not {value}", value=repr(value))
        chosen = {_option(slot, one) for one in value}
        return [option.id for option in slot.options if option.id in chosen]
    if slot.type == "text":
        return _text(value)
    return _number(slot, value)


def _option(slot: Slot, value: Any) -> str:
    if isinstance(value, str) and slot.option(value):
        return value
    raise _Refused(
        "{value} is none of the options: {options}",
        value=repr(value),
        options={
            language: ("、" if language == "ja" else ", ").join(
                option.label[language] for option in slot.options
            )
            for language in slot.label
        },
    )


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        raise _Refused("a text is expected, not {value}", value=repr(value))
    text = " ".join(value.split())
    if len(text) > TEXT_LENGTH:
        raise _Refused("at most {n} characters", n=TEXT_LENGTH)
    return text or None


def _number(slot: Slot, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _Refused("a number is expected, not {value}", value=repr(value))
    low, high = (1.0, float(slot.stars)) if slot.type == "rating" else (slot.min, slot.max)
    if (low is not None and value < low) or (high is not None and value > high):
        raise _outside(low, high, slot.unit)
    if slot.whole and value != int(value):
        raise _Refused("a whole number is expected")
    step = 1.0 if slot.type == "rating" else slot.step
    if step is not None:
        steps = (value - (low or 0)) / step
        if abs(steps - round(steps)) > 1e-6:
            raise _Refused("in steps of {step}", step=f"{step:.10g}")
        value = round((low or 0) + round(steps) * step, 9)
    return int(value) if slot.whole else float(value)


def _outside(low: float | None, high: float | None, unit: dict[Language, str] | None) -> _Refused:
    # "at most 5 mm", "5mm 以下": English sets a space before a unit of letters
    said = {
        name: f" {word}" if name == "en" and word[:1].isalpha() else word
        for name, word in (unit or {}).items()
    }
    values = {"low": f"{low or 0:.10g}", "high": f"{high or 0:.10g}", "unit": said or ""}
    if low is None:
        return _Refused("at most {high}{unit}", **values)
    return _Refused("at least {low}{unit}" if high is None else "from {low} to {high}{unit}", **values)
