"""The charts of the page Quality, in the one look of dashboards/charts.py. Frozen records in, chart out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dashboards.charts import (
    AXIS_HEIGHT,
    BLUE,
    COUNTS,
    LABEL_WIDTH,
    LEGEND_HEIGHT,
    MUTED,
    ORANGE,
    PANEL_HEIGHT,
    ROW_HEIGHT,
    look,
)
from dashboards.drawn import made_once
from data.messages import moment, number, translator

if TYPE_CHECKING:
    from dashboards.charts import Chart
    from dashboards.quality import Part, Point


def percent(share: float, language: str) -> str:
    """0.434 -> "43.4 %"."""
    return f"{number(100 * share, language, 1)} %"


def interval(low: float, high: float, language: str) -> str:
    """0.39, 0.48 -> "39.0 – 48.0 %"."""
    return f"{number(100 * low, language, 1)} – {percent(high, language)}"


@made_once
def error_chart(points: Sequence[Point], language: str) -> Chart:
    """The audited share of bad captions by the time of the draw; shape and colour say how the captions were drawn."""
    import altair as alt
    import pandas

    _ = translator(language)
    kinds = {"drawn": _("audit draw"), "mixed": _("mixed into the queue")}
    rows = pandas.DataFrame(
        {"at": p.at, "when": moment(p.at, language), "kind": kinds[p.kind], "rate": p.rate, "low": p.low,
         "high": p.high, "judged": p.judged, "share": percent(p.rate, language),
         "interval": interval(p.low, p.high, language)} for p in points
    )  # fmt: skip
    names = list(kinds.values())
    color = alt.Color("kind:N", scale=alt.Scale(domain=names, range=[BLUE, ORANGE]))
    tooltip = [
        alt.Tooltip("when:N", title=_("Drawn")), alt.Tooltip("share:N", title=_("Share of bad captions")),
        alt.Tooltip("interval:N", title=_("95 % interval")), alt.Tooltip("judged:Q", title=_("Judged")),
    ]  # fmt: skip
    axis = alt.Axis(format=".0%", tickCount=5)
    y = alt.Y(
        "low:Q",
        title=_("Bad among the unjudged at the draw"),
        axis=axis,
        scale=alt.Scale(domainMin=0, zero=True),
    )
    days = alt.Axis(format="%Y-%m-%d", tickCount=4, labelOverlap=True)
    x = alt.X("at:T", title=_("Time of the draw"), axis=days)
    base = alt.Chart(rows)
    return look(alt.layer(
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=x, y=y, y2="high:Q", color=color, tooltip=tooltip),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            x=x, y="rate:Q", color=color, shape=alt.Shape("kind:N", scale=alt.Scale(domain=names)), tooltip=tooltip
        ),
    ).properties(height=PANEL_HEIGHT))  # fmt: skip


@made_once
def slice_chart(parts: Sequence[Part], language: str) -> Chart:
    """The share of each part of one slice with its interval; where too few were judged it is grey and hollow."""
    import altair as alt
    import pandas

    _ = translator(language)
    enough, few = _("enough judged"), _("too few judged")
    rows = pandas.DataFrame(
        {"part": p.value, "rate": p.rate, "low": p.low, "high": p.high, "judged": p.judged,
         "data": enough if p.is_enough else few, "share": percent(p.rate, language),
         "interval": interval(p.low, p.high, language)} for p in parts
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("part:N", title=_("Part")), alt.Tooltip("share:N", title=_("Share of bad captions")),
        alt.Tooltip("interval:N", title=_("95 % interval")), alt.Tooltip("judged:Q", title=_("Judged")),
    ]  # fmt: skip
    y = alt.Y(
        "part:N", sort=None, title=None, axis=alt.Axis(grid=False, ticks=False, minExtent=LABEL_WIDTH // 2)
    )
    axis = alt.Axis(format=".0%", tickCount=5)
    x = alt.X("low:Q", title=_("Share of bad captions"), axis=axis, scale=alt.Scale(domain=[0, 1]))
    color = alt.Color("data:N", scale=alt.Scale(domain=[enough, few], range=[BLUE, MUTED]))
    shape = alt.Shape("data:N", scale=alt.Scale(domain=[enough, few], range=["circle", "diamond"]))
    base = alt.Chart(rows)
    return look(alt.layer(
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=x, x2="high:Q", y=y, color=color, tooltip=tooltip),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            x="rate:Q", y=y, color=color, shape=shape, tooltip=tooltip
        ),
    ).properties(height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT + LEGEND_HEIGHT))  # fmt: skip


@made_once
def lacking_chart(counts: Mapping[str, int], language: str) -> Chart:
    """Items by how many waiting captions do not state them. counts: label -> captions."""
    import altair as alt
    import pandas

    _ = translator(language)
    rows = pandas.DataFrame({"item": label, "captions": n} for label, n in counts.items())
    tooltip = [
        alt.Tooltip("item:N", title=_("Item")),
        alt.Tooltip("captions:Q", title=_("Captions"), format=",d"),
    ]
    axis = alt.Axis(grid=False, ticks=False, minExtent=LABEL_WIDTH // 2)
    bars = alt.Chart(rows).mark_bar(color=BLUE, height=16).encode(
        x=alt.X("captions:Q", title=_("Waiting captions that do not state it"), axis=COUNTS),
        y=alt.Y("item:N", sort=None, title=None, axis=axis), tooltip=tooltip,
    )  # fmt: skip
    return look(bars.properties(height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT))
