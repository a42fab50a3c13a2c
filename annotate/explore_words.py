"""What the map's colours and points are called, in both languages."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from annotate.explore import NONE, OTHERS, RISK_EDGES, Colouring
from data.messages import number, translator

if TYPE_CHECKING:
    from data.templates import Template


def state_words(language: str) -> dict[str, str]:
    """Review state -> its name."""
    _ = translator(language)
    return {
        "missing": _("No caption yet"),
        "waiting": _("Waiting"),
        "under_audit": _("Under audit"),
        "not_sure": _("Not sure"),
        "corrected": _("Corrected"),
        "right": _("Already right"),
        "audited": _("Audited"),
        "lot": _("Approved in a lot"),
        "aside": _("Set aside"),
        NONE: _("No caption in force"),
    }


def risk_words(risk: float | None, language: str) -> str:
    """ "Risk 63 %"; "" where there is none."""
    if risk is None:
        return ""
    return translator(language)("Risk {n} %").format(n=number(int(100 * risk), language))


def label_words(colouring: Colouring, by: str, template: Template, language: str) -> list[str]:
    """The name of each colour. by: as the colouring was asked for, see annotate/explore_held.py."""
    _ = translator(language)
    special = {NONE: _("None"), OTHERS: _("Others")}
    kind, _sign, slot_id = by.partition(":")
    if by == "state":
        special |= state_words(language)
    elif by == "risk":
        edges = [0.0, *RISK_EDGES, 1.0]
        special |= {
            str(step): f"{100 * low:.0f}–{100 * high:.0f} %"
            for step, (low, high) in enumerate(pairwise(edges))
        }
        special[NONE] = _("No risk shown")
    elif kind == "slot":
        special[NONE] = _("Not stated")
        slot = template.slot(slot_id)
        names = (
            {option.id: {str(one): text for one, text in option.label.items()} for option in slot.options}
            if slot
            else {}
        )
        special |= {option: label.get(language, option) for option, label in names.items()}
    return [special.get(label, label) for label in colouring.labels]
