"""The correction form as data: which items it asks, with their words, values, and what is still to be answered.

    values = prefill(template, "rusty pipe on the belt", "en")   # {"part": "pipe", "count": 1, "defect": "rust", …}
    for item in items(template, values, "ja"):                   # the visible slots, in the order of the template
        item.label, item.options, item.value                     # "部品", (("bolt", "ボルト"), …), "pipe"
    compiled(template, values, ["ja", "en"])                     # the captions that these answers make

Nothing here draws or stores; annotate/pages/correct.py draws it, annotate/corrections.py stores the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.template_schema import Language
from data.templates import Slot, SlotError, Template

EMPTY: tuple[Any, ...] = (None, "", [], ())
IDLE_SECONDS = (
    60.0  # a longer pause between two actions counts as this much: a look at the photo, not the lunch break
)


@dataclass(frozen=True)
class Item:
    """One question of the form, in one language. `options`: (id, words) of a choice or multi slot."""

    id: str
    type: str
    label: str
    help: str | None
    required: bool
    options: tuple[tuple[str, str], ...]
    value: Any
    unit: str
    stars: int
    step: float | None
    whole: bool
    error: str | None

    @property
    def is_open(self) -> bool:
        """True when the template wants an answer and there is none yet."""
        return self.required and self.value is None


def items(
    template: Template, values: Mapping[str, Any], language: str, show_errors: bool = False
) -> list[Item]:
    """The questions that the form shows, given the answers so far. show_errors: say what is wrong with each; of a
    number that the item does not take it is said at once."""
    one = template.language(language)
    wrong = errors(template, values, language)
    return [
        _item(
            slot,
            values.get(slot.id),
            one,
            wrong.get(slot.id) if show_errors or _is_number(slot, values) else None,
        )
        for slot in template.visible(values)
    ]


def _is_number(slot: Slot, values: Mapping[str, Any]) -> bool:
    return slot.type == "number" and values.get(slot.id) not in EMPTY


def _item(slot: Slot, value: Any, language: Language, error: str | None) -> Item:
    return Item(
        id=slot.id,
        type=slot.type,
        label=slot.label[language],
        help=slot.help[language] if slot.help else None,
        required=slot.required,
        options=tuple((option.id, option.label[language]) for option in slot.options),
        value=_accepted(slot, value),
        unit=slot.unit[language] if slot.unit else "",
        stars=slot.stars,
        step=slot.step,
        whole=slot.whole,
        error=error,
    )


def _accepted(slot: Slot, value: Any) -> Any:
    """The value, or None where the slot does not take it (kept before the template was changed)."""
    if value in EMPTY:
        return None
    if slot.type == "choice":
        return value if slot.option(str(value)) else None
    if slot.type == "multi":
        return [one for one in value if slot.option(str(one))] or None
    if slot.type == "text":
        return str(value)
    if slot.type == "rating":
        return value if 1 <= value <= slot.stars else None
    return value  # a number out of range stays in its field, with what is wrong below it


def prefill(template: Template, caption: str, language: str) -> dict[str, Any]:
    """What the form begins with: what the old caption states, and the defaults of the items that it leaves open.

    A default of an item that is hidden so far is filled in too: it shows once the item does.
    """
    found = template.parse(caption, language) if caption else {}
    defaults = {slot.id: slot.default for slot in template.slots if slot.default is not None}
    known = {slot.id for slot in template.slots}
    return {key: _plain(value) for key, value in {**defaults, **found}.items() if key in known}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def answers(template: Template, values: Mapping[str, Any]) -> dict[str, Any]:
    """The answers without those of hidden items and without empty ones: what is to be submitted."""
    visible = {slot.id for slot in template.visible(values)}
    return {key: value for key, value in values.items() if key in visible and value not in EMPTY}


def missing(template: Template, values: Mapping[str, Any], language: str) -> list[str]:
    """The labels of the required items that still want an answer, in the order of the form."""
    return [item.label for item in items(template, values, language) if item.is_open]


def errors(template: Template, values: Mapping[str, Any], language: str) -> dict[str, str]:
    """Slot id -> what to mend, in words; {} when the answers can be submitted."""
    try:
        template.validate_slots(answers(template, values))
    except SlotError as error:
        return error.messages(language)
    return {}


def compiled(template: Template, values: Mapping[str, Any], languages: Sequence[str]) -> dict[str, str]:
    """Language -> the caption that the answers make so far. Languages that the template has not are left out.

    A value that the template does not accept is left out of the caption; `errors` names it.
    """
    given = answers(template, values)
    wrong = errors(template, values, languages[0])
    accepted = {key: value for key, value in given.items() if key not in wrong}
    return {one: template.caption(accepted, one) for one in languages if one in template.languages}


def add_active(total: float, last_action: float, at: float) -> float:
    """The active seconds so far plus those since the last action; a pause counts at most IDLE_SECONDS.

    >>> add_active(10.0, last_action=100.0, at=107.0), add_active(10.0, last_action=100.0, at=4000.0)
    (17.0, 70.0)
    """
    return total + min(max(at - last_action, 0.0), IDLE_SECONDS)
