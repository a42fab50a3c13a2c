"""The charts of the page Staff, in the one look of dashboards/charts.py. Frozen records in, chart out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from dashboards.charts import BLUE, COUNTS, GREEN, ORANGE, PANEL_HEIGHT, PURPLE, SKY, VERMILLION, look
from dashboards.drawn import made_once
from data.messages import translator

if TYPE_CHECKING:
    from dashboards.charts import Chart
    from dashboards.staff import Step

COLOURS = [BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
MOST_LINES = len(COLOURS)  # more lines than that nobody can tell apart
LEGEND_COLUMNS = 3


@made_once
def days_chart(days: Mapping[tuple[date, bool], int], language: str) -> Chart:
    """Answers by local day; the simulated crew's in another colour."""
    import altair as alt
    import pandas

    _ = translator(language)
    kinds = {False: _("people"), True: _("simulated")}
    rows = pandas.DataFrame(
        {"day": day.isoformat(), "who": kinds[simulated], "place": int(simulated), "answers": n}
        for (day, simulated), n in sorted(days.items())
    )
    bars = alt.Chart(rows).mark_bar().encode(
        x=alt.X("day:O", title=_("Day"), axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("answers:Q", title=_("Answers"), axis=COUNTS),
        color=alt.Color("who:N", scale=alt.Scale(domain=list(kinds.values()), range=[BLUE, PURPLE])),
        order=alt.Order("place:Q"),
        tooltip=[alt.Tooltip("day:O", title=_("Day")), alt.Tooltip("who:N", title=_("Who")),
                 alt.Tooltip("answers:Q", title=_("Answers"))],
    )  # fmt: skip
    return look(bars.properties(height=PANEL_HEIGHT))


def curve_chart(curve: Sequence[Step], called: Callable[[Step], str], language: str) -> Chart:
    """Median seconds of an answer, by how many were given before; bars from the first to the third quartile.

    called: the name of a step's line. Lines past MOST_LINES are left out, those with the fewest answers first.
    """
    import altair as alt
    import pandas

    _ = translator(language)
    total: dict[str, int] = {}
    for step in curve:
        total[called(step)] = total.get(called(step), 0) + step.answers
    shown = sorted(total, key=lambda name: -total[name])[:MOST_LINES]
    rows = pandas.DataFrame(
        {"who": called(step), "number": (step.first + step.last) / 2, "answers": step.answers,
         "which": f"{step.first} – {step.last}", "median": step.median_seconds, "low": step.low_seconds,
         "high": step.high_seconds} for step in curve if called(step) in shown
    )  # fmt: skip
    legend = alt.Legend(columns=LEGEND_COLUMNS, labelLimit=150, symbolOpacity=1)
    color = alt.Color("who:N", legend=legend, scale=alt.Scale(domain=shown, range=COLOURS[: len(shown)]))
    shape = alt.Shape("who:N", legend=legend, scale=alt.Scale(domain=shown, range=SHAPES[: len(shown)]))
    tooltip = [
        alt.Tooltip("who:N", title=_("Who")), alt.Tooltip("which:N", title=_("Answers so far")),
        alt.Tooltip("median:Q", title=_("Median, seconds"), format=".1f"), alt.Tooltip("answers:Q", title=_("Answers")),
    ]  # fmt: skip
    x = alt.X("number:Q", title=_("Answers so far"), axis=alt.Axis(tickCount=6, format=",d"))
    y = alt.Y("low:Q", title=_("Active seconds of an answer"), scale=alt.Scale(zero=True))
    base = alt.Chart(rows).encode(x=x, color=color)
    return look(alt.layer(
        base.mark_rule(strokeWidth=3, opacity=0.35).encode(y=y, y2="high:Q", tooltip=tooltip),
        base.mark_line(strokeWidth=2).encode(y="median:Q"),
        base.mark_point(filled=True, size=90, opacity=1).encode(y="median:Q", shape=shape, tooltip=tooltip),
    ).properties(height=PANEL_HEIGHT))  # fmt: skip
