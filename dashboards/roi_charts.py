"""The charts of the page ROI, in the one look of dashboards/charts.py. Frozen records in, chart out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dashboards import roi_words
from dashboards.charts import (
    AXIS_HEIGHT,
    BLUE,
    INK,
    LABEL_WIDTH,
    LEGEND_HEIGHT,
    MUTED,
    ORANGE,
    PANEL_HEIGHT,
    ROW_HEIGHT,
    VERDICTS,
    look,
)
from dashboards.drawn import made_once
from dashboards.figures import Missing
from dashboards.forecast import Ahead, Curve
from dashboards.paper import Compared
from dashboards.roi import Bar, Benefit, Span
from data.messages import translator

if TYPE_CHECKING:
    from dashboards.charts import Chart

MOST_BARS = 8
EDGE = 14  # px between the outermost marker and the edge of the chart
YEN: dict[str, Any] = {"format": ",.0f", "tickCount": 4, "labelOverlap": "greedy"}  # 0.2k is no sum of yen
VERDICT_OF = {"gain": "better", "loss": "worse", "none": "undecided", "style": "undecided"}


def _names(altair: Any) -> Any:
    """The axis of names at the left."""
    return altair.Y(
        "name:N", sort=None, title=None,
        axis=altair.Axis(grid=False, ticks=False, domain=False, labelPadding=8, minExtent=LABEL_WIDTH),
    )  # fmt: skip


@made_once
def cost_chart(parts: Mapping[str, Span], language: str) -> Chart:
    """What each part cost, with its interval; parts without cost are left out."""
    import altair as alt
    import pandas

    _ = translator(language)
    shown = {name: part for name, part in parts.items() if part.high > 0}
    rows = pandas.DataFrame(
        {"name": roi_words.part_name(name, language), "value": part.value, "low": part.low, "high": part.high,
         "text": roi_words.amount(part.value, language), "interval": roi_words.between(part, language)}
        for name, part in shown.items()
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("name:N", title=_("Part")), alt.Tooltip("text:N", title=_("Cost")),
        alt.Tooltip("interval:N", title=_("95 % interval")),
    ]  # fmt: skip
    base, y = alt.Chart(rows), _names(alt)
    x = alt.X("value:Q", title=_("Cost (yen)"), axis=alt.Axis(**YEN), scale=alt.Scale(zero=True))
    bars = base.mark_bar(color=BLUE, opacity=0.55, height=16).encode(x=x, y=y, tooltip=tooltip)
    ends = base.mark_rule(color=INK, strokeWidth=2).encode(x="low:Q", x2="high:Q", y=y, tooltip=tooltip)
    return look(alt.layer(bars, ends).properties(height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT))


@made_once
def benefit_chart(benefits: Sequence[Benefit], language: str) -> Chart:
    """What each measured change is worth over the horizon; shape and colour say whether it is counted."""
    import altair as alt
    import pandas

    _ = translator(language)
    said = {"better": _("proven gain"), "undecided": _("not proven"), "worse": _("proven loss")}
    rows = pandas.DataFrame(
        {"name": roi_words.benefit_name(one.kind, language), "value": one.amount.value, "low": one.amount.low,
         "high": one.amount.high, "verdict": said[VERDICT_OF[one.change.claim]],
         "text": roi_words.amount(one.amount.value, language), "interval": roi_words.between(one.amount, language),
         "counted": roi_words.amount(one.counted, language)}
        for one in benefits
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("name:N", title=_("Benefit")), alt.Tooltip("text:N", title=_("Worth")),
        alt.Tooltip("interval:N", title=_("95 % interval")), alt.Tooltip("verdict:N", title=_("Verdict")),
        alt.Tooltip("counted:N", title=_("Counted")),
    ]  # fmt: skip
    domain = list(said.values())
    color = alt.Color("verdict:N", scale=alt.Scale(domain=domain, range=[VERDICTS[v][0] for v in said]))
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=domain, range=[VERDICTS[v][1] for v in said]))
    base, y = alt.Chart(rows), _names(alt)
    title = _("Worth over the months counted (yen)")
    x = alt.X("low:Q", title=title, axis=alt.Axis(**YEN), scale=alt.Scale(zero=True, padding=EDGE))
    zero = alt.Chart(pandas.DataFrame({"zero": [0.0]})).mark_rule(color=INK).encode(x="zero:Q")
    return look(alt.layer(
        zero, base.mark_rule(strokeWidth=3, opacity=0.75).encode(x=x, x2="high:Q", y=y, color=color, tooltip=tooltip),
        base.mark_point(filled=True, size=130, opacity=1).encode(x="value:Q", y=y, color=color, shape=shape,
                                                                 tooltip=tooltip),
    ).properties(height=ROW_HEIGHT * len(rows) + AXIS_HEIGHT + LEGEND_HEIGHT))  # fmt: skip


@made_once
def tornado_chart(bars: Sequence[Bar], is_net: bool, language: str) -> Chart:
    """What the net (or the cost) is at either end of each assumption's range; the line is the point itself."""
    import altair as alt
    import pandas

    _ = translator(language)
    ends = [_("at the low end"), _("at the high end")]
    rows = pandas.DataFrame(
        {"name": roi_words.assumption_name(bar.key, language), "end": end, "base": bar.base, "value": value,
         "assumed": roi_words.assumption_value(bar.key, assumed, language), "text": roi_words.amount(value, language)}
        for bar in bars[:MOST_BARS]
        for end, value, assumed in ((ends[0], bar.at_low, bar.low), (ends[1], bar.at_high, bar.high))
    )  # fmt: skip
    outcome = _("Net (yen)") if is_net else _("Cost (yen)")
    tooltip = [
        alt.Tooltip("name:N", title=_("Assumption")), alt.Tooltip("end:N", title=_("End of its range")),
        alt.Tooltip("assumed:N", title=_("Value there")), alt.Tooltip("text:N", title=outcome),
    ]  # fmt: skip
    x = alt.X("base:Q", title=outcome, axis=alt.Axis(**YEN), scale=alt.Scale(zero=False, padding=EDGE))
    color = alt.Color("end:N", scale=alt.Scale(domain=ends, range=[ORANGE, BLUE]))
    shape = alt.Shape("end:N", scale=alt.Scale(domain=ends, range=["circle", "square"]))
    base, y = alt.Chart(rows), _names(alt)
    line = alt.Chart(rows.head(1)).mark_rule(color=INK).encode(x="base:Q")
    return look(alt.layer(
        base.mark_bar(opacity=0.55, height=16).encode(x=x, x2="value:Q", y=y, color=color, tooltip=tooltip),
        base.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q", y=y, color=color, shape=shape,
                                                                tooltip=tooltip),
        line,
    ).properties(height=ROW_HEIGHT * rows["name"].nunique() + AXIS_HEIGHT + LEGEND_HEIGHT))  # fmt: skip


@made_once
def forecast_chart(
    points: Sequence[tuple[int, int, int]], curve: Curve | Missing, ahead: Ahead | Missing, language: str
) -> Chart:
    """Bad captions found for each correction, in blocks of the history; the fitted fall, and what lies ahead."""
    import altair as alt
    import numpy as np
    import pandas

    _ = translator(language)
    history = pandas.DataFrame(
        {"n": end - answers / 2, "share": bad / answers, "text": f"{bad} / {answers}"}
        for end, answers, bad in points
    )
    x = alt.X("n:Q", title=_("Corrections from the queue, in order"), axis=alt.Axis(format=",d", tickCount=6))
    y = alt.Y("share:Q", title=_("Bad ones for each correction"), scale=alt.Scale(domain=[0, 1]),
              axis=alt.Axis(format=".0%", tickCount=5))  # fmt: skip
    dots = alt.Chart(history).mark_point(filled=True, size=70, opacity=1, color=MUTED).encode(
        x=x, y=y,
        tooltip=[alt.Tooltip("n:Q", format=",.0f", title=_("Correction")),
                 alt.Tooltip("text:N", title=_("Bad / judged"))],
    )  # fmt: skip
    if isinstance(curve, Missing):
        return look(dots.properties(height=PANEL_HEIGHT))
    order = [_("so far"), _("expected ahead")]
    n = np.linspace(0, curve.answers, 50)
    parts = [(order[0], n, curve.chance(n))]
    if isinstance(ahead, Ahead):
        more = np.linspace(0, ahead.corrections, 50)
        parts.append((order[1], curve.answers + more, ahead.decline.chance(more)))
    fitted = pandas.concat(
        pandas.DataFrame({"n": at, "share": chance[0], "low": low, "high": high, "when": name})
        for name, at, chance in parts
        for low, high in [np.quantile(chance, [0.025, 0.975], axis=0)]
    )
    tooltip = [
        alt.Tooltip("n:Q", format=",.0f", title=_("Correction")),
        alt.Tooltip("share:Q", format=".1%", title=_("Expected share")),
        alt.Tooltip("low:Q", format=".1%", title=_("from")), alt.Tooltip("high:Q", format=".1%", title=_("to")),
    ]  # fmt: skip
    color = alt.Color("when:N", scale=alt.Scale(domain=order, range=[BLUE, ORANGE]))
    dash = alt.StrokeDash("when:N", scale=alt.Scale(domain=order, range=[[1, 0], [6, 4]]))
    base = alt.Chart(fitted)
    band = base.mark_area(opacity=0.2).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=color, tooltip=tooltip
    )
    line = base.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=color, strokeDash=dash, tooltip=tooltip)
    return look(alt.layer(band, line, dots).properties(height=PANEL_HEIGHT))


@made_once
def paper_chart(rows: Sequence[Compared], language: str) -> Chart | None:
    """Relative changes of mIoU and RMSE, the paper's beside the site's with its interval. None: nothing measured."""
    import altair as alt
    import pandas

    _ = translator(language)
    names = [_("the paper"), _("this site")]
    found: list[dict[str, Any]] = []
    for row in rows:
        if row.measure == "labels" or isinstance(row.site, Missing):
            continue
        name = _("mIoU, more is better") if row.measure == "miou" else _("RMSE, less is better")
        for who, value, low, high in (
            (names[0], row.paper, row.paper, row.paper), (names[1], row.site.value, row.site.low, row.site.high),
        ):  # fmt: skip
            found.append(
                {"name": name, "who": who, "value": 100 * value, "low": 100 * low, "high": 100 * high}
            )
    if not found:
        return None
    frame = pandas.DataFrame(found)
    color = alt.Color("who:N", scale=alt.Scale(domain=names, range=[ORANGE, BLUE]))
    shape = alt.Shape("who:N", scale=alt.Scale(domain=names, range=["diamond", "circle"]))
    tooltip = [
        alt.Tooltip("who:N", title=_("Whose")), alt.Tooltip("name:N", title=_("Measure")),
        alt.Tooltip("value:Q", format="+.2f", title=_("Relative change (%)")),
        alt.Tooltip("low:Q", format="+.2f", title=_("from")), alt.Tooltip("high:Q", format="+.2f", title=_("to")),
    ]  # fmt: skip
    base, y = alt.Chart(frame), _names(alt)
    offset = alt.YOffset("who:N", sort=names)
    x = alt.X("low:Q", title=_("Relative change (%)"), scale=alt.Scale(zero=True, padding=EDGE),
              axis=alt.Axis(tickCount=6))  # fmt: skip
    zero = alt.Chart(pandas.DataFrame({"zero": [0.0]})).mark_rule(color=INK).encode(x="zero:Q")
    return look(alt.layer(
        zero, base.mark_rule(strokeWidth=3, opacity=0.75).encode(x=x, x2="high:Q", y=y, yOffset=offset, color=color),
        base.mark_point(filled=True, size=110, opacity=1).encode(
            x="value:Q", y=y, yOffset=offset, color=color, shape=shape, tooltip=tooltip),
        data=frame,
    ).properties(height=2 * ROW_HEIGHT * frame["name"].nunique() + AXIS_HEIGHT + LEGEND_HEIGHT))  # fmt: skip
