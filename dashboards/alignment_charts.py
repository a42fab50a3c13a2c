"""The charts of the change in alignment, in the one look of dashboards/charts.py. Frozen records in, chart out.

The two distributions, before and after, that the Overview shows stand in dashboards/charts.py (alignment_chart).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dashboards import alignment_words as words
from dashboards.alignment import WEEK
from dashboards.charts import (
    AXIS_HEIGHT,
    BLUE,
    COUNTS,
    INK,
    LABEL_WIDTH,
    LEGEND_HEIGHT,
    MUTED,
    PANEL_HEIGHT,
    ROW_HEIGHT,
    VERMILLION,
    look,
)
from dashboards.drawn import made_once
from dashboards.quality_charts import percent
from data.messages import number, translator

if TYPE_CHECKING:
    import numpy as np

    from dashboards.alignment import Alignment, Changed
    from dashboards.charts import Chart

BINS = 24
STEPS = (1, 2, 5, 10)  # times a power of ten: widths of a bin that people read easily


def bin_edges(changes: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Ends of bins of one easy width, about so many, of which one is exactly zero.

    bin_edges([-0.3, 0.9], 6) -> [-0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    import numpy as np

    low, high = min(0.0, float(changes.min())), max(0.0, float(changes.max()))
    wanted = max(high - low, 1e-3) / bins
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(one * power for one in STEPS if one * power >= wanted * (1 - 1e-9))
    first, last = math.floor(low / step), math.floor(high / step) + 1
    first -= first * step > low  # the last digit of a division
    edges: np.ndarray = np.round(np.arange(first, last + 1) * step, 9)
    return edges


@made_once
def change_chart(found: Alignment, language: str) -> Chart:
    """How many captions changed by how much, worse ones left of zero; their mean with its 95 % interval as a band."""
    import altair as alt
    import numpy as np
    import pandas

    _ = translator(language)
    changes = np.asarray(found.after) - np.asarray(found.before)
    edges = bin_edges(changes)
    worse, better = _("fits worse"), _("fits better, or as well")
    counts = np.histogram(changes, edges)[0]
    rows = pandas.DataFrame(
        {"start": edges[:-1], "end": edges[1:], "captions": counts,
         "share": [percent(one / found.n, language) for one in counts],
         "side": [worse if end <= 1e-12 else better for end in edges[1:]]}
    )  # fmt: skip
    title = _("Change of the alignment, after − before (cosine, no unit)")
    form = f".{max(0, -math.floor(math.log10(edges[1] - edges[0]) + 1e-9))}f"
    bars = alt.Chart(rows).mark_bar(binSpacing=1).encode(
        x=alt.X("start:Q", bin="binned", title=title, axis=alt.Axis(tickCount=8), scale=alt.Scale(nice=False)),
        x2=alt.X2("end:Q"), y=alt.Y("captions:Q", title=_("Captions"), axis=COUNTS),
        color=alt.Color("side:N", scale=alt.Scale(domain=[worse, better], range=[VERMILLION, BLUE])),
        tooltip=[alt.Tooltip("side:N", title=_("Caption")),
                 alt.Tooltip("start:Q", format=f"+{form}", title=_("from (cosine)")),
                 alt.Tooltip("end:Q", format=f"+{form}", title=_("to (cosine)")),
                 alt.Tooltip("captions:Q", title=_("Captions"), format=",d"),
                 alt.Tooltip("share:N", title=_("Share"))],
    )  # fmt: skip
    zero = (
        alt.Chart(pandas.DataFrame({"zero": [0.0]}))
        .mark_rule(color=INK, strokeWidth=1.2)
        .encode(x=alt.X("zero:Q"))
    )
    return look(alt.layer(bars, zero, *_mean(found, language), data=rows).properties(height=PANEL_HEIGHT))


def _mean(found: Alignment, language: str) -> list[Any]:
    """The mean as a dashed line in the band of its interval; one caption alone has no band."""
    import altair as alt
    import pandas

    _ = translator(language)
    row = {"mean": found.change, "said": words.signed(found.change, language), "n": found.n}
    tooltip = [
        alt.Tooltip("said:N", title=_("Mean change")),
        alt.Tooltip("n:Q", title=_("Captions"), format=",d"),
    ]
    is_alone = not math.isfinite(found.low)
    if not is_alone:
        row |= {"low": found.low, "high": found.high, "ends": words.span(found.low, found.high, language)}
        tooltip.insert(1, alt.Tooltip("ends:N", title=_("95 % interval")))
    base = alt.Chart(pandas.DataFrame([row]))
    line = base.mark_rule(color=INK, strokeWidth=2, strokeDash=[5, 4]).encode(
        x=alt.X("mean:Q"), tooltip=tooltip
    )
    band = base.mark_rect(color=INK, opacity=0.22).encode(
        x=alt.X("low:Q"), x2=alt.X2("high:Q"), tooltip=tooltip
    )
    return [line] if is_alone else [band, line]


@made_once
def part_chart(column: str, parts: Sequence[Changed], language: str) -> Chart:
    """The mean change of each part with its interval and a line at zero: rows, or along the time where parts are weeks.
    Where few captions were corrected it is grey and a diamond."""
    import altair as alt
    import pandas

    _ = translator(language)
    enough, few = _("enough corrected"), _("too few corrected")
    rows = pandas.DataFrame(
        {"at": f"{p.value}T00:00:00" if column == WEEK else "", "change": p.change,
         "part": words.part_name(column, p.value, language), "low": p.low, "high": p.high, "n": p.n,
         "data": enough if p.is_enough else few,
         "said": words.signed(p.change, language), "ends": words.ends(p, language),
         "before": words.cosine(p.before, language), "after": words.cosine(p.after, language),
         "worse": f"{number(p.worse, language)} ({percent(p.worse / p.n, language)})"} for p in parts
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("part:N", title=words.column_name(column, language)),
        alt.Tooltip("said:N", title=_("Mean change")), alt.Tooltip("ends:N", title=_("95 % interval")),
        alt.Tooltip("before:N", title=_("Mean before")), alt.Tooltip("after:N", title=_("Mean after")),
        alt.Tooltip("n:Q", title=_("Captions"), format=",d"), alt.Tooltip("worse:N", title=_("Fit worse")),
    ]  # fmt: skip
    legend = alt.Scale(domain=[enough, few], range=[BLUE, MUTED])
    color = alt.Color("data:N", scale=legend)
    shape = alt.Shape("data:N", scale=alt.Scale(domain=[enough, few], range=["circle", "diamond"]))
    title = _("Mean change (cosine, no unit)")
    zero = alt.Chart(pandas.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeWidth=1.2)
    base = alt.Chart(rows)
    bars = base.mark_rule(strokeWidth=3, opacity=0.5)
    points = base.mark_point(filled=True, size=110, opacity=1)
    if column == WEEK:
        days = alt.Axis(format="%Y-%m-%d", tickCount=4, labelOverlap=True)
        x: Any = alt.X("at:T", title=_("Week of the correction"), axis=days, scale=alt.Scale(padding=12))
        y: Any = alt.Y("low:Q", title=title, axis=alt.Axis(tickCount=5))
        return look(alt.layer(
            zero.encode(y=alt.Y("zero:Q")), bars.encode(x=x, y=y, y2=alt.Y2("high:Q"), color=color, tooltip=tooltip),
            points.encode(x=x, y=alt.Y("change:Q"), color=color, shape=shape, tooltip=tooltip), data=rows,
        ).properties(height=PANEL_HEIGHT))  # fmt: skip
    x = alt.X("low:Q", title=title, axis=alt.Axis(tickCount=5), scale=alt.Scale(padding=12))
    y = alt.Y("part:N", sort=None, title=None,
              axis=alt.Axis(grid=False, ticks=False, minExtent=LABEL_WIDTH // 2))  # fmt: skip
    return look(alt.layer(
        zero.encode(x=alt.X("zero:Q")), bars.encode(x=x, x2=alt.X2("high:Q"), y=y, color=color, tooltip=tooltip),
        points.encode(x=alt.X("change:Q"), y=y, color=color, shape=shape, tooltip=tooltip), data=rows,
    ).properties(height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT + LEGEND_HEIGHT))  # fmt: skip
