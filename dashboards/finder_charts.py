"""The charts of the page Finder, in the one look of dashboards/charts.py. Frozen records in, chart out."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    SKY,
    VERMILLION,
    look,
)
from dashboards.drawn import made_once
from data.messages import moment, number, translator

if TYPE_CHECKING:
    from datetime import datetime

    from annotate.estimate import Estimate
    from dashboards.charts import Chart
    from scoring.learned import Bin, RiskFit

SMALL_HEIGHT = 170  # px


@made_once
def reliability_chart(curve: Sequence[Bin], language: str) -> Chart:
    """What the risk predicted against what was seen, with the 95 % interval of each; the diagonal is a perfect risk."""
    import altair as alt
    import pandas

    _ = translator(language)
    rows = pandas.DataFrame(
        {"predicted": b.predicted, "seen": b.seen, "low": b.low, "high": b.high, "answers": b.answers,
         "interval": f"{b.low:.0%} – {b.high:.0%}"} for b in curve
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("predicted:Q", format=".0%", title=_("Predicted")),
        alt.Tooltip("seen:Q", format=".0%", title=_("Seen")),
        alt.Tooltip("interval:N", title=_("95 % interval")), alt.Tooltip("answers:Q", title=_("Answers")),
    ]  # fmt: skip
    whole, axis = alt.Scale(domain=[0, 1]), alt.Axis(format=".0%", tickCount=6)
    x = alt.X("predicted:Q", title=_("Predicted share of bad captions"), scale=whole, axis=axis)
    y = alt.Y("low:Q", title=_("Share seen by people"), scale=whole, axis=axis)
    diagonal = alt.Chart(pandas.DataFrame({"predicted": [0.0, 1.0], "low": [0.0, 1.0]}))
    base = alt.Chart(rows)
    return look(alt.layer(
        diagonal.mark_line(color=MUTED, strokeDash=[5, 4], strokeWidth=1.5).encode(x=x, y=y),
        base.mark_rule(color=BLUE, strokeWidth=3, opacity=0.5).encode(x=x, y=y, y2="high:Q", tooltip=tooltip),
        base.mark_point(color=BLUE, filled=True, size=110, opacity=1).encode(x=x, y="seen:Q", tooltip=tooltip),
        data=rows,
    ).properties(height=PANEL_HEIGHT))  # fmt: skip


@made_once
def fits_chart(fits: Sequence[tuple[RiskFit, datetime]], language: str) -> Chart:
    """AUROC of each fit by the answers behind it, learned beside label-free. fits: the newest first."""
    import altair as alt
    import pandas

    _ = translator(language)
    names = [_("learned"), _("label-free")]
    rows = pandas.DataFrame(
        {"place": place, "answers": fit.answers, "fitted": moment(at, language), "which": name, "auroc": value}
        for place, (fit, at) in enumerate(reversed(fits))
        for name, value in zip(names, (fit.auroc, fit.auroc_label_free), strict=True)
    )  # fmt: skip
    least = min(
        math.floor(10 * rows["auroc"].min()) / 10, 0.9
    )  # a line needs no zero; the axis shows what it is
    color = alt.Color("which:N", scale=alt.Scale(domain=names, range=[BLUE, ORANGE]))
    shape = alt.Shape("which:N", scale=alt.Scale(domain=names, range=["circle", "square"]))
    line = alt.Chart(rows).encode(
        x=alt.X("answers:Q", title=_("Answers"), axis=COUNTS, scale=alt.Scale(zero=False, nice=False, padding=10)),
        y=alt.Y("auroc:Q", title="AUROC", scale=alt.Scale(domain=[least, 1]), axis=alt.Axis(tickCount=5)),
        color=color, order="place:Q",
        tooltip=[alt.Tooltip("which:N", title=_("Risk")), alt.Tooltip("auroc:Q", format=".3f", title="AUROC"),
                 alt.Tooltip("answers:Q", title=_("Answers")), alt.Tooltip("fitted:N", title=_("Fitted"))],
    )  # fmt: skip
    points = line.mark_point(filled=True, size=60, opacity=1).encode(shape=shape)
    return look(alt.layer(line.mark_line(strokeWidth=2), points).properties(height=SMALL_HEIGHT))


@made_once
def left_chart(found: Estimate, language: str) -> Chart:
    """Bad captions before anybody corrected and now, with their 95 % intervals, on one axis that begins at zero."""
    import altair as alt
    import pandas

    _ = translator(language)
    shown = [
        (_("at the beginning"), found.before, found.before_low, found.before_high, found.captions, ORANGE),
        (_("now"), found.bad_left, found.bad_left_low, found.bad_left_high, found.unjudged, BLUE),
    ]
    rows = pandas.DataFrame(
        {"when": when, "bad": bad, "low": low, "high": high, "of": of,
         "text": f"{number(low, language)} – {number(high, language)}"} for when, bad, low, high, of, _c in shown
    )  # fmt: skip
    color = alt.Color("when:N", legend=None,
                      scale=alt.Scale(domain=list(rows["when"]), range=[one[-1] for one in shown]))  # fmt: skip
    tooltip = [
        alt.Tooltip("when:N", title=_("When")), alt.Tooltip("bad:Q", format=",.0f", title=_("Bad captions")),
        alt.Tooltip("text:N", title=_("95 % interval")),
        alt.Tooltip("of:Q", format=",d", title=_("of so many captions")),
    ]  # fmt: skip
    y = alt.Y(
        "when:N", sort=None, title=None, axis=alt.Axis(grid=False, ticks=False, domain=False, labelPadding=12)
    )
    x = alt.X("low:Q", title=_("Bad captions"), scale=alt.Scale(zero=True), axis=COUNTS)
    base = alt.Chart(rows).encode(y=y, color=color, tooltip=tooltip)
    return look(alt.layer(
        base.mark_rule(strokeWidth=3, opacity=0.6).encode(x=x, x2="high:Q"),
        *(base.mark_tick(thickness=2, size=12).encode(x=f"{end}:Q") for end in ("low", "high")),
        base.mark_point(filled=True, size=130, opacity=1).encode(x="bad:Q"),
    ).properties(height=2 * ROW_HEIGHT + AXIS_HEIGHT))  # fmt: skip


@made_once
def leanings_chart(weighed: Sequence[tuple[str, float]], language: str) -> Chart:
    """(name of a signal, coefficient): which signals raise or lower the learned risk, the heaviest first."""
    import altair as alt
    import pandas

    _ = translator(language)
    names = [_("raises the risk"), _("lowers the risk")]
    rows = pandas.DataFrame(
        {"signal": name, "coefficient": weight, "which": names[weight < 0]} for name, weight in weighed
    )
    axis = alt.Axis(grid=False, ticks=False, domain=False, labelPadding=8, minExtent=LABEL_WIDTH)
    bars = alt.Chart(rows).mark_bar(height=16).encode(
        y=alt.Y("signal:N", sort=None, title=None, axis=axis),
        x=alt.X("coefficient:Q", title=_("Coefficient (log odds for one standard deviation)")),
        color=alt.Color("which:N", scale=alt.Scale(domain=names, range=[VERMILLION, SKY])),
        tooltip=[alt.Tooltip("signal:N", title=_("Signal")), alt.Tooltip("which:N", title=_("Effect on the risk")),
                 alt.Tooltip("coefficient:Q", format="+.3f", title=_("Coefficient"))],
    )  # fmt: skip
    return look(bars.properties(height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT + LEGEND_HEIGHT))
