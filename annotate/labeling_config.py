"""A template as Label Studio's own labeling page, and answers to and from its annotations.

    labeling_config(template, ["ja", "en"])              # the XML of the project
    to_result(template, "fix", slots)                     # what is stored in Label Studio
    from_result(template, result)                         # ("fix", slots) again; Refused where it makes no sense

Stored are the ids of verdicts and options (`alias`), shown are their labels, the site's first language in the text and
the other as a hint. Label Studio checks nothing: its page submits prefilled answers that it has hidden since, and its
API takes any label. So hidden slots are dropped and the template checks the rest on the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, indent, tostring

from annotate.draft_record import Draft
from data.errors import GenbaError
from data.messages import translator
from data.records import VERDICTS
from data.template_schema import Slot
from data.templates import Template

# No id of a slot can hold a hyphen, so these never meet one.
PHOTO, CAPTION, VERDICT = "genba-photo", "genba-caption", "genba-verdict"
VERDICT_WORDS = {
    "fix": "Needs correction",
    "ok": "Already right",
    "not_sure": "Not sure",
    "unusable": "Unusable photo",
    "private": "Private content",
}
HEADINGS = ("Caption now", "Your verdict")
# Keys that Label Studio's page itself does not use; verdicts have 1 to 5.
HOTKEYS = "67890qwrtypasdfgjklzxcvbn"
TYPES = {"choice": "choices", "multi": "choices", "number": "number", "rating": "rating", "text": "textarea"}
MARK = "genba_correction"
HELP = "font-size: 13px; font-weight: normal; opacity: 0.8"


class Refused(GenbaError):
    """An annotation that cannot be an answer to this template. `values` fill the English text."""

    def __init__(self, text: str, choices: Iterable[str] | None = None, **values: Any) -> None:
        self.text, self.values = text, values
        super().__init__(text.format(**values), choices=choices)

    def in_words(self, language: str) -> str:
        return translator(language)(self.text).format(**self.values)


def labeling_config(template: Template, languages: Sequence[str]) -> str:
    """The XML. `languages`: of the site, the first is shown first; those that the template has not are left out."""
    told = [language for language in languages if language in template.languages] or list(template.languages)
    root = Element("View", style="display: flex; gap: 24px; align-items: flex-start")
    left = SubElement(root, "View", style="flex: 1 1 55%; position: sticky; top: 0")
    SubElement(left, "Image", name=PHOTO, value="$image", zoom="true", maxWidth="100%")
    right = SubElement(root, "View", style="flex: 1 1 45%")
    SubElement(right, "Header", value=_both(template.title, told), size="3")
    SubElement(right, "Header", value=_both(_translated(HEADINGS[0], told), told), size="5")
    SubElement(right, "Text", name=CAPTION, value="$caption")
    _verdicts(right, told)
    form = SubElement(
        right, "View", visibleWhen="choice-selected", whenTagName=VERDICT, whenChoiceValue="fix"
    )
    keys = HOTKEYS
    for slot in template.slots:
        fits = 0 < len(slot.options) <= len(keys)  # all options of a slot have a key, or none
        own = keys[: len(slot.options)] if fits else ""
        _slot(_place_of(form, template, slot), slot, told, own)
        keys = keys[len(own) :]
    indent(root)
    return tostring(root, encoding="unicode")


def lost_by(old: str, new: str) -> list[str]:
    """What the config `new` has no more that `old` has: controls with their kind, stored answers, fields shown.

    lost_by(old, new) == ["defect=rust", "note (TextArea)"]; words that are shown only do not count.
    """
    return sorted(_parts(old) - _parts(new))


def _parts(config: str) -> set[str]:
    found = set()
    for element in fromstring(config).iter():  # noqa: S314  (our own page, or what Label Studio parsed before)
        name, value = element.get("name"), element.get("value", "")
        if name and element.get("toName"):
            found.add(f"{name} ({element.tag})")
            found |= {f"{name}={one.get('alias') or one.get('value')}" for one in element.iter("Choice")}
        if value.startswith("$"):
            found.add(value)
    return found


def _verdicts(parent: Element, languages: Sequence[str]) -> None:
    SubElement(parent, "Header", value=_both(_translated(HEADINGS[1], languages), languages) + " *", size="5")
    choices = SubElement(
        parent,
        "Choices",
        name=VERDICT,
        toName=PHOTO,
        choice="single-radio",
        required="true",
        showInline="false",
    )
    for number, verdict in enumerate(VERDICTS, start=1):
        _choice(choices, verdict, _translated(VERDICT_WORDS[verdict], languages), languages, str(number))


def _place_of(form: Element, template: Template, slot: Slot) -> Element:
    """Where a slot stands: in the form itself, or in a box that is shown with certain answers of another slot.

    A box whose deciding slot is itself hidden is hidden by Label Studio too, so one box is enough for chains.
    """
    if slot.show_when is None:
        return form
    decider = template.slot(slot.show_when.slot)
    options = [option.id for option in decider.options] if decider else []
    wanted = slot.show_when.is_ or [one for one in options if one not in (slot.show_when.is_not or ())]
    return SubElement(
        form,
        "View",
        visibleWhen="choice-selected",
        whenTagName=slot.show_when.slot,
        whenChoiceValue=",".join(wanted),
    )


def _slot(parent: Element, slot: Slot, languages: Sequence[str], keys: str) -> None:
    unit = f" ({_both(slot.unit, languages)})" if slot.unit else ""
    heading = _both(slot.label, languages) + unit + (" *" if slot.required else "")
    SubElement(parent, "Header", value=heading, size="5")
    if slot.help:
        SubElement(parent, "Header", value=_both(slot.help, languages), style=HELP)
    common = {"name": slot.id, "toName": PHOTO, "required": str(slot.required).lower()}
    if slot.type in ("choice", "multi"):
        how = {"choice": "single-radio" if slot.type == "choice" else "multiple", "showInline": "true"}
        choices = SubElement(parent, "Choices", common | how)
        for option, key in zip(slot.options, keys or [""] * len(slot.options), strict=True):
            _choice(choices, option.id, option.label, languages, key)
    elif slot.type == "number":
        limits = {"min": slot.min, "max": slot.max, "step": slot.step}
        SubElement(
            parent, "Number", common | {key: f"{n:.12g}" for key, n in limits.items() if n is not None}
        )
    elif slot.type == "rating":
        SubElement(parent, "Rating", common | {"maxRating": str(slot.stars)})
    else:
        SubElement(parent, "TextArea", common | {"maxSubmissions": "1", "editable": "true", "rows": "1"})


def _choice(
    parent: Element, stored: str, words: Mapping[Any, str], languages: Sequence[str], hotkey: str
) -> None:
    choice = SubElement(parent, "Choice", value=words[languages[0]], alias=stored)
    if len(languages) > 1 and words[languages[1]] != words[languages[0]]:
        choice.set("hint", words[languages[1]])
    if hotkey:
        choice.set("hotkey", hotkey)


def _translated(text: str, languages: Iterable[str]) -> dict[str, str]:
    return {language: translator(language)(text) for language in languages}


def _both(words: Mapping[Any, str], languages: Sequence[str]) -> str:
    return " / ".join(dict.fromkeys(words[language] for language in languages))


def to_result(
    template: Template, verdict: str, slots: Mapping[str, Any], correction_id: str = ""
) -> list[dict[str, Any]]:
    """The regions of an annotation. `correction_id` is written into it: so our own are known when they come back."""
    first = _region(VERDICT, "choices", {"choices": [verdict]})
    if correction_id:
        first["meta"] = {MARK: [correction_id]}
    return [first, *_regions(template, slots if verdict == "fix" else {})]


def prediction(template: Template, caption: str, language: str, draft: Draft | None = None) -> dict[str, Any]:
    """What the form begins with: the defaults, over them what the old caption states, over that what a draft proposes.

    The model version names the drafter. Never a verdict: people give that.
    """
    begins = {slot.id: slot.default for slot in template.slots if slot.default is not None}
    stated = template.parse(caption, language) if caption else {}
    return {
        "model_version": draft.model_version if draft else f"{template.id}@{template.version} caption",
        "result": _regions(template, begins | stated | (draft.slots if draft else {})),
        **({"score": draft.quality} if draft else {}),
    }


def _regions(template: Template, slots: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        _region(slot.id, TYPES[slot.type], _value(slot, slots[slot.id]))
        for slot in template.slots
        if slots.get(slot.id) is not None
    ]


def _region(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": PHOTO, "type": kind, "value": value}


def _value(slot: Slot, value: Any) -> dict[str, Any]:
    if slot.type == "choice":
        return {"choices": [value]}
    if slot.type == "multi":
        return {"choices": list(value)}
    return {"text": [value]} if slot.type == "text" else {slot.type: value}


def mark_of(result: Sequence[Any]) -> str | None:
    """The id of the correction that an annotation was made from, or None when it was made in Label Studio."""
    for region in result:
        meta = region.get("meta") if isinstance(region, Mapping) else None
        marked = meta.get(MARK) if isinstance(meta, Mapping) else None
        if isinstance(marked, list) and marked:
            return str(marked[0])
    return None


def from_result(template: Template, result: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Verdict and slots of an annotation. Raises Refused (SlotError where the template does not accept a value).

    Slots that the answers hide, and all slots of a verdict other than fix, are dropped.
    """
    given: dict[str, Any] = {}
    for region in result:
        if not isinstance(region, Mapping):
            raise Refused("The annotation holds {value}, which is no answer.", value=repr(region))
        name, value = str(region.get("from_name", "")), region.get("value")
        slot = template.slot(name)
        if name in given:
            raise Refused("The annotation answers '{name}' twice.", name=name)
        if name != VERDICT and slot is None:
            known = [VERDICT, *(one.id for one in template.slots)]
            raise Refused(
                "The annotation answers '{name}', which the template has not.", choices=known, name=name
            )
        given[name] = _given("choice" if slot is None else slot.type, name, value)
    verdict = given.pop(VERDICT, None)
    if verdict is None:
        raise Refused("No verdict is chosen.")
    if verdict not in VERDICTS:
        raise Refused("The annotation has the verdict '{verdict}'.", choices=VERDICTS, verdict=verdict)
    return str(verdict), template.validate_slots(given) if verdict == "fix" else {}


def _given(slot_type: str, name: str, value: Any) -> Any:
    """The bare value of a region: exactly one for a choice and a text."""
    key = {"choice": "choices", "multi": "choices", "text": "text"}.get(slot_type, slot_type)
    found = value.get(key) if isinstance(value, Mapping) else None
    if slot_type in ("number", "rating", "multi"):
        return found
    many = found if isinstance(found, list) else [] if found is None else [found]
    if len(many) > 1:
        raise Refused(
            "The annotation gives {n} answers to '{name}', where one is expected: {many}.",
            n=len(many), name=name, many=repr(many),
        )  # fmt: skip
    return many[0] if many else None
