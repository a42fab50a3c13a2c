"""Where the intervals of the report's evidence lie when they are drawn as bars beside one another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.charts import VERDICTS
from dashboards.effects import Effect

MARGIN = 0.04  # of the width, so that nothing lies on the edge


@dataclass(frozen=True)
class Span:
    """An interval with its point and zero, as shares of the width: 0 the left edge, 1 the right one."""

    low: float
    value: float
    high: float
    zero: float
    colour: str  # "#0072B2"


def spans(effects: Sequence[Effect]) -> list[Span]:
    """One for each effect. Those of one unit share a scale, which always contains zero."""
    scales: dict[str, tuple[float, float]] = {}
    for effect in effects:
        unit = "" if effect.is_fraction else effect.unit
        low, high = scales.get(unit, (0.0, 0.0))
        scales[unit] = min(low, effect.low), max(high, effect.high)
    return [_span(effect, *scales["" if effect.is_fraction else effect.unit]) for effect in effects]


def _span(effect: Effect, low: float, high: float) -> Span:
    width = (high - low) or 1.0

    def place(value: float) -> float:
        return MARGIN + (1 - 2 * MARGIN) * (value - low) / width

    return Span(
        place(effect.low), place(effect.value), place(effect.high), place(0.0), VERDICTS[effect.verdict][0]
    )
