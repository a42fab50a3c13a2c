"""Where the intervals of the report's evidence lie when they are drawn as bars beside one another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from dashboards.charts import VERDICTS
from dashboards.effects import Effect

MARGIN = 0.04  # of the width, so that nothing lies on the edge
LEAST = 0.02  # of the width, at either side of zero


@dataclass(frozen=True)
class Span:
    """An interval with its point and zero, as shares of the width: 0 the left edge, 1 the right one."""

    low: float
    value: float
    high: float
    zero: float
    colour: str  # "#0072B2"


def spans(effects: Sequence[Effect]) -> list[Span]:
    """One for each effect. Those of one unit share a scale; zero lies at one place for all, whatever their unit."""
    ends: dict[str, tuple[float, float]] = {}
    for effect in effects:
        low, high = ends.get(_unit(effect), (0.0, 0.0))
        ends[_unit(effect)] = min(low, effect.low), max(high, effect.high)
    lefts = [-low / (high - low) for low, high in ends.values() if high > low]
    zero = min(max(mean(lefts or [0.0]), LEAST), 1 - LEAST)
    return [_span(effect, zero, _width(*ends[_unit(effect)], zero)) for effect in effects]


def _unit(effect: Effect) -> str:
    return "" if effect.is_fraction else effect.unit


def _width(low: float, high: float, zero: float) -> float:
    """How much of the unit the whole width stands for, so that both ends have room beside zero."""
    needed = [part / room for part, room in ((-low, zero), (high, 1 - zero)) if part > 0]
    return max(needed, default=0.0) or 1.0


def _span(effect: Effect, zero: float, width: float) -> Span:
    def place(value: float) -> float:
        return MARGIN + (1 - 2 * MARGIN) * (zero + value / width)

    return Span(
        place(effect.low), place(effect.value), place(effect.high), place(0.0), VERDICTS[effect.verdict][0]
    )
