"""Small drawings beside a number: how it moved. SVG text, so that a page of numbers loads no charts for them.

st.image(bars([3, 5, 9]), alt=…)         # a bar for each week
st.image(intervals(readings, zero=True))  # a point with its interval for each audit or retraining
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from dashboards.charts import BLUE
from dashboards.trends import Reading

WIDTH, HEIGHT, EDGE = 118, 46, 3  # px
PALE = "#7f9bb0"


def bars(values: Sequence[float]) -> str:
    """An SVG of a bar for each value from zero up, the last one stronger; "" where there is nothing to see."""
    top = max(values, default=0.0)
    if not top > 0:
        return ""
    step = (WIDTH - 2 * EDGE) / len(values)
    drawn = []
    for place, value in enumerate(values):
        tall = max(value / top * (HEIGHT - 2 * EDGE), 1.0)
        color = BLUE if place == len(values) - 1 else PALE
        drawn.append(
            f'<rect x="{EDGE + place * step:.1f}" y="{HEIGHT - EDGE - tall:.1f}" width="{step * 0.72:.1f}" '
            f'height="{tall:.1f}" fill="{color}"/>'
        )
    return _svg(drawn)


def intervals(readings: Sequence[Reading], zero: bool) -> str:
    """An SVG of a point with its interval for each reading; "" for fewer than two. zero: draw the line of no effect."""
    known = [one for one in readings if isfinite(one.low) and isfinite(one.high)]
    if len(known) < 2:
        return ""
    low, high = min(one.low for one in known), max(one.high for one in known)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    span = (high - low) or 1.0

    def y(value: float) -> str:
        return f"{EDGE + (high - value) / span * (HEIGHT - 2 * EDGE):.1f}"

    drawn = []
    if zero:
        drawn.append(
            f'<line x1="0" x2="{WIDTH}" y1="{y(0.0)}" y2="{y(0.0)}" stroke="#666" stroke-width="1"/>'
        )
    step = (WIDTH - 4 * EDGE) / (len(known) - 1)
    for place, one in enumerate(known):
        x, color = f"{2 * EDGE + place * step:.1f}", BLUE if place == len(known) - 1 else PALE
        drawn.append(
            f'<line x1="{x}" x2="{x}" y1="{y(one.low)}" y2="{y(one.high)}" stroke="{color}" stroke-width="2"/>'
        )
        drawn.append(f'<circle cx="{x}" cy="{y(one.value)}" r="3" fill="{color}"/>')
    return _svg(drawn)


def _svg(drawn: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"{''.join(drawn)}</svg>"
    )
