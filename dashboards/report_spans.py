"""Where the intervals of the report's evidence lie when they are drawn as bars beside one another. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from dashboards import words
from dashboards.charts import VERDICTS
from dashboards.effects import Effect
from data.messages import number, translator

MARGIN = 0.04  # of the width, so that nothing lies on the edge
LEAST = 0.02  # of the width, at either side of zero
TICKS = 4  # steps of an axis, at most: its labels must not touch


@dataclass(frozen=True)
class Span:
    """An interval with its point and zero, as shares of the width: 0 the left edge, 1 the right one."""

    low: float
    value: float
    high: float
    zero: float
    colour: str  # "#0072B2"


@dataclass(frozen=True)
class Axis:
    """The scale of one unit. title: what is measured, with the unit. ticks: (place as a share of the width, text)."""

    title: str
    ticks: tuple[tuple[float, str], ...]


def by_unit(effects: Sequence[Effect]) -> list[Effect]:
    """Those of one unit next to one another, else in their order."""
    units = list(dict.fromkeys(_unit(effect) for effect in effects))
    return sorted(effects, key=lambda effect: units.index(_unit(effect)))


def spans(effects: Sequence[Effect]) -> list[Span]:
    """One for each effect. Those of one unit share a scale; zero lies at one place for all, whatever their unit."""
    zero, widths = _scales(effects)
    return [_span(effect, zero, widths[_unit(effect)]) for effect in effects]


def axes(effects: Sequence[Effect], language: str) -> dict[int, Axis]:
    """Place of the last effect of each unit -> the axis that belongs under it. effects: as `by_unit` orders them."""
    zero, widths = _scales(effects)
    last = {_unit(effect): place for place, effect in enumerate(effects)}
    return {place: _axis(effects[place], zero, widths[unit], language) for unit, place in last.items()}


def _axis(of: Effect, zero: float, width: float, language: str) -> Axis:
    factor = 100 if of.is_fraction else 1
    shown = width * factor
    step = _step(shown / TICKS)
    digits = max(0, -math.floor(math.log10(step)))
    ticks = []
    for count in range(math.ceil(-zero * shown / step), math.floor((1 - zero) * shown / step) + 1):
        sign = "+" if count > 0 else "−" if count < 0 else ""
        ticks.append(
            (
                _place(count * step / factor, zero, width),
                f"{sign}{number(abs(count * step), language, digits)}",
            )
        )
    _ = translator(language)
    title = _("Change in {unit}").format(unit=words.unit_name(of, language))
    return Axis(title, tuple(ticks))


def _step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _scales(effects: Sequence[Effect]) -> tuple[float, dict[str, float]]:
    """Where zero lies, as a share of the width, and how much of each unit the whole width stands for."""
    ends: dict[str, tuple[float, float]] = {}
    for effect in effects:
        low, high = ends.get(_unit(effect), (0.0, 0.0))
        ends[_unit(effect)] = min(low, effect.low), max(high, effect.high)
    lefts = [-low / (high - low) for low, high in ends.values() if high > low]
    zero = min(max(mean(lefts or [0.0]), LEAST), 1 - LEAST)
    return zero, {unit: _width(*both, zero) for unit, both in ends.items()}


def _unit(effect: Effect) -> str:
    return "" if effect.is_fraction else effect.unit


def _width(low: float, high: float, zero: float) -> float:
    """How much of the unit the whole width stands for, so that both ends have room beside zero."""
    needed = [part / room for part, room in ((-low, zero), (high, 1 - zero)) if part > 0]
    return max(needed, default=0.0) or 1.0


def _place(value: float, zero: float, width: float) -> float:
    return MARGIN + (1 - 2 * MARGIN) * (zero + value / width)


def _span(effect: Effect, zero: float, width: float) -> Span:
    def place(value: float) -> float:
        return _place(value, zero, width)

    return Span(
        place(effect.low), place(effect.value), place(effect.high), place(0.0), VERDICTS[effect.verdict][0]
    )
