"""The plot of one retraining in docs/evidence: effects with their intervals, and what fewer labels give.

Effects of different metrics have different units, so each is drawn as a share of what its control arm reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.charts import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILLION, look
from dashboards.metric_words import is_headline

if TYPE_CHECKING:
    from dashboards.charts import Chart

Row = dict[str, Any]
WIDEST = 100.0  # percent of the control arm at the axis' ends; beside an arm at nearly 0 everything is wide
COLOURS = [BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, MUTED]


def effect_rows(found: Row) -> list[Row]:
    """Effects in percent of the control arm's mean, positive where better; left out where that is unknown or 0, and
    for single classes and items, which stand in the table."""
    means = {(row["task"], row["metric"], row["arm"]): row["value"] for row in found["metrics"]}
    rows = []
    for one in found["effects"]:
        base = means.get((one["task"], one["metric"], one["versus"]))
        if not base or not is_headline(one["metric"]):
            continue
        sign = 100 / abs(base) if one["higher_is_better"] else -100 / abs(base)
        low, high = sorted((sign * one["low"], sign * one["high"]))
        rows.append({
            "metric": f"{one['task']}: {one['metric']}", "against": f"{one['arm']} - {one['versus']}",
            "value": sign * one["value"], "low": low, "high": high,
            "shown": "gain" if low > 0 else "loss" if high < 0 else "no effect shown",
        })  # fmt: skip
    return rows


def run_plot(found: Row) -> Chart:
    """Above: the effects, one panel a contrast. Below: the efficiency curves, one panel a metric."""
    import altair as alt
    import pandas

    rows = pandas.DataFrame(effect_rows(found))
    kinds = ["gain", "no effect shown", "loss"]
    color = alt.Color("shown:N", title=None, scale=alt.Scale(domain=kinds, range=[BLUE, MUTED, VERMILLION]))
    shape = alt.Shape(
        "shown:N", title=None, scale=alt.Scale(domain=kinds, range=["circle", "square", "triangle-up"])
    )
    y = alt.Y("metric:N", title=None, sort=list(dict.fromkeys(rows["metric"])))
    base = alt.Chart(rows)
    widest = min(float(rows[["low", "high"]].abs().max().max()), WIDEST)
    span = alt.Scale(domain=[-widest, widest], clamp=True)
    x = alt.X("low:Q", title="Difference, % of the control arm (right: better), 95 % interval", scale=span)
    panel = alt.layer(
        base.mark_rule(color=INK, strokeDash=[4, 4]).encode(x=alt.XDatum(0)),
        base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", y=y, color=color),
        base.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q", y=y, color=color, shape=shape),
    ).properties(width=330, height=14 * rows["metric"].nunique() + 20)
    contrasts = list(dict.fromkeys(rows["against"]))
    panels: Any = panel.facet(facet=alt.Facet("against:N", sort=contrasts, title=None), columns=2)
    parts = [panels, *_curves(found)]
    return look(alt.vconcat(*parts, spacing=30).resolve_scale(color="independent", shape="independent"))


def _curves(found: Row) -> list[Any]:
    import altair as alt
    import pandas

    if not found["efficiency"]:
        return []
    rows = pandas.DataFrame(
        {"metric": f"{one['task']}: {one['metric']} ({one['unit']})", **{key: one[key] for key in
         ("arm", "labels", "value", "least", "most")}}
        for one in found["efficiency"]
    )  # fmt: skip
    arms = list(dict.fromkeys(rows["arm"]))
    color = alt.Color("arm:N", sort=arms, scale=alt.Scale(domain=arms, range=COLOURS[: len(arms)]))
    base = alt.Chart(rows).encode(
        x=alt.X("labels:Q", title="Labelled photos", scale=alt.Scale(type="log", nice=False)), color=color
    )
    y = alt.Y("value:Q", title="Mean over seeds; bar: least to most", scale=alt.Scale(zero=False))
    panel = alt.layer(
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_rule().encode(y="least:Q", y2="most:Q"),
        base.mark_point(filled=True, size=50, opacity=1).encode(
            y="value:Q", shape=alt.Shape("arm:N", sort=arms, scale=alt.Scale(domain=arms))
        ),
    ).properties(width=330, height=200)
    return [panel.facet(facet=alt.Facet("metric:N", title=None), columns=2).resolve_scale(y="independent")]
