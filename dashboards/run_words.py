"""Sentences and names for the page Retrainings: what may be claimed, label equivalents, slices, lineage.

A gain is claimed only where it is proven against the original captions and, where the run has that arm, against the
reworded ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dashboards import effects as measured
from dashboards import words
from dashboards.effects import FRACTIONS, Effect
from dashboards.run_figures import Gap, Lineage
from data.messages import moment, number, translator
from training.label_efficiency import Equivalent

Row = dict[str, Any]


def claim(found: Sequence[Effect], language: str) -> str:
    """What may be said of the corrections' gain beyond style, in one sentence."""
    _ = translator(language)
    main, beyond = measured.main_effect(found), measured.beyond_wording(found)
    if main is None:
        return ""
    if beyond is None:
        return _("The run has no reworded arm: whether a gain is content or only wording cannot be told.")
    facts = {
        "value": words.difference(beyond.value, beyond, language),
        "interval": words.interval(beyond, language),
    }
    if measured.claim(found) == "gain":
        return _("It goes beyond the wording: {value} against the reworded captions ({interval}).").format(
            **facts
        )
    return _("Against the reworded captions: {value} ({interval}).").format(**facts)


def chance(effect: Effect, language: str) -> str:
    """The p-value: "0.013", "< 0.001", or "—" where the run gave none."""
    if effect.p_value is None:
        return "—"
    return "< 0.001" if effect.p_value < 0.001 else number(effect.p_value, language, 3)


def could_detect(effect: Effect, language: str) -> str:
    """The smallest effect that could have been detected, from the interval's width; "—" where it does not tell."""
    return _smallest(measured.detectable(effect), effect, language)


def stated_before(effect: Effect, language: str) -> str:
    """The same, as it was stated before the first arm trained. 0 was stated where nothing could be told."""
    return _smallest(effect.detectable or None, effect, language)


def _smallest(value: float | None, effect: Effect, language: str) -> str:
    return "—" if value is None else words.difference(value, effect, language).removeprefix("+")


def verdict_name(verdict: str, language: str) -> str:
    """In words; "no effect proven" stands as plainly as a gain."""
    _ = translator(language)
    return {"better": _("gain proven"), "worse": _("loss proven"), "undecided": _("no effect proven")}[
        verdict
    ]


def unit(name: str, language: str) -> str:
    _ = translator(language)
    return _("points") if name in FRACTIONS else words.unit_word(name, language)


def amount(value: float, unit_name: str, language: str, with_unit: bool = True) -> str:
    """A signed difference: +9.8 points, −0.021 m."""
    stand_in = Effect("", "", "", "", "", value, value, value, unit_name, True, 0, 0)
    return words.difference(value, stand_in, language, unit=with_unit)


def span(low: float, high: float, unit_name: str, language: str) -> str:
    """An interval of differences."""
    _ = translator(language)
    low_text, high_text = (amount(value, unit_name, language, with_unit=False) for value in (low, high))
    return _("{low} to {high}").format(low=low_text, high=high_text)


def value(number_: float, unit_name: str, language: str) -> str:
    """A metric: 45.2 %, 0.383 m, 3 places."""
    if unit_name in FRACTIONS:
        return f"{number(number_ * 100, language, 1)} %"
    space = "" if language == "ja" and unit_name == words.RANK else " "
    shown = number(number_, language, words.digits_of(number_, unit_name))
    return f"{shown}{space}{words.unit_word(unit_name, language)}"


def equivalent(found: Equivalent, language: str, fewest: int) -> str:
    """ "310 labels (240 to 420)", or that all labels do not reach it.

    fewest: labels of the curve's first point (training/label_efficiency.py); below it nothing was measured, so what
    equals it is that many or fewer.
    """
    _ = translator(language)

    def end(value: float | None) -> str:
        if value is None:
            return _("not reached")
        shown = number(value, language)
        return _("{n} or fewer").format(n=shown) if value <= fewest else shown

    if not found.is_reached or found.equivalent is None:
        if found.low is None:
            return _("not reached with all labels")
        if found.low <= fewest:
            text = _("not reached with all labels (95 % interval from {low})")
            return text.format(low=end(found.low))
        return _("not reached with all labels (at least {low})").format(low=number(found.low, language))
    n = number(found.equivalent, language)
    if found.equivalent > fewest:
        text = _("{n} labels (95 % interval {low} to {high})")
    elif found.high is not None and found.high <= fewest:
        return _("{n} labels or fewer (95 % interval likewise)").format(n=n)
    else:
        text = _("{n} labels or fewer (95 % interval {low} to {high})")
    return text.format(n=n, low=end(found.low), high=end(found.high))


def equivalent_sentence(found: Equivalent, language: str, fewest: int) -> str:
    """One point of the label-equivalent in a sentence."""
    _ = translator(language)
    text = _("{labels} labels with corrected captions correspond to: {worth} ({arm}).")
    return text.format(
        labels=number(found.labels, language), worth=equivalent(found, language, fewest),
        arm=words.arm_name(found.versus, language),
    )  # fmt: skip


def slice_name(name: str, language: str) -> str:
    """A slice in words; a column of the site keeps its own name."""
    _ = translator(language)
    return {"language": _("language"), "line": _("line"), "shift": _("shift"), "author": _("author"),
            "site": _("site")}.get(name, name)  # fmt: skip


def part_name(gap: Gap, language: str) -> str:
    """line: A"""
    _ = translator(language)
    part = part_value(gap.slice, gap.part, language)
    return _("{item}: {text}").format(item=slice_name(gap.slice, language), text=part)


def part_value(column: str, value: str, language: str) -> str:
    """A part of a slice in words: languages have names, other columns keep the site's own values."""
    _ = translator(language)
    if column != "language":
        return value
    return {"ja": _("Japanese"), "en": _("English"), "und": _("no known language")}.get(value, value)


def model_name(arm: str, made_at: datetime, language: str) -> str:
    """A model as people tell it from others: "Corrected captions · 26 Nov 2026, 10:15"."""
    return f"{words.arm_name(arm, language)} · {moment(made_at, language)}"


def lineage_facts(found: Lineage, language: str) -> dict[str, str]:
    """Name -> value of everything that a model comes from, in the order in which it is asked."""
    _ = translator(language)
    config, meta = found.config, found.meta or {}
    code = meta.get("code") or config.get("code") or {}
    plan = config.get("plan", {})
    seeds = config.get("seeds")
    return {
        _("Run"): found.run_id,
        _("Model"): found.model_id or "—",
        _("Snapshot"): found.snapshot_id or "—",
        _("Base encoder"): found.base_encoder,
        _("Fingerprint of the base"): str(config.get("base_fingerprint") or "—"),
        _("Fingerprint of the model"): str(meta.get("fingerprint") or "—"),
        _("Code"): " · ".join(filter(None, (code.get("version"), code.get("describe"), code.get("content"))))
        or "—",
        _("Seeds"): ", ".join(map(str, range(seeds))) if isinstance(seeds, int) else "—",
        _("Compared with"): str(config.get("in_use") or "—"),
        _("Share of the retrained weights"): number(meta["share"], language, 2) if "share" in meta else "—",
        _("Settings"): words.listed(
            [plan_words(key, value, language) for key, value in plan.items()], language
        )
        or "—",
    }


def plan_words(key: str, value: object, language: str) -> str:
    """One setting of the training (training/plan.py) in words; one that this page does not know keeps its own name."""
    _ = translator(language)
    name = {
        "steps": _("steps"), "batch": _("photos a step"), "learning_rate": _("learning rate"), "seed": _("first seed"),
        "warmup": _("share of warm-up"), "weight_decay": _("weight decay"),
        "largest_gradient": _("largest gradient"), "layer_decay": _("learning rate from block to block"),
        "lock": _("tower that is not trained"), "ema": _("decay of the mean weights"),
        "accumulate": _("parts of a step"), "shift": _("augmentation: shift"), "light": _("augmentation: light"),
        "colour": _("augmentation: colour"), "save_every": _("steps between saves"),
    }.get(key, key)  # fmt: skip
    shown = _("none") if value == "none" else value
    return _("{item}: {text}").format(item=name, text=shown)
