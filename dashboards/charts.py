"""Charts, one look. Frozen records in, chart out; no query, no page. Those of the page Finder: finder_charts.py.

Colours are Okabe and Ito's, which colour-blind people can tell apart, and colour is never alone: shape, dash or
place says the same. Every interval is drawn, every axis has its unit, and hover gives the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from dashboards import words
from dashboards.alignment import Alignment
from dashboards.drawn import drawn, made_once
from dashboards.effects import Effect
from dashboards.figures import Counted
from data.messages import moment, number, translator
from data.records import Metric
from data.store import now

if TYPE_CHECKING:
    import altair
    import pandas

    Chart = altair.Chart | altair.LayerChart

BLUE, VERMILLION, ORANGE, GREEN, SKY, PURPLE = (
    "#0072B2",
    "#D55E00",
    "#E69F00",
    "#009E73",
    "#56B4E9",
    "#CC79A7",
)
INK, MUTED, GRID = "#1f2933", "#5f6b7a", "#e4e8ee"
VERDICTS = {
    "better": (BLUE, "triangle-up"),
    "undecided": ("#7b8794", "circle"),
    "worse": (VERMILLION, "triangle-down"),
}
FONT = (
    '"Source Sans", "Noto Sans JP", "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic UI", Meiryo, sans-serif'
)
COUNTS = {"tickMinStep": 1, "tickCount": 5, "format": ",d"}  # an axis of whole captions
DAYS_SHOWN = 14
ROW_HEIGHT = 34  # px for one metric or arm
AXIS_HEIGHT, LEGEND_HEIGHT, TITLE_HEIGHT = 58, 30, 30  # px: a chart's height contains all of them
PANEL_HEIGHT = 280
LABEL_WIDTH = 180  # px, so that charts of different units line up


def load(language: str) -> None:
    """Draw a chart that nobody sees: imports and first uses take half a second, which the first visitor would wait."""
    import pandas

    drawn(risk_chart(pandas.DataFrame({"risk_from": [0.0], "pairs": [1], "judged": [0]}), language))
    number(1234.5, language, 1)
    moment(now(), language)


def look(chart: Any) -> Chart:
    """The one look of all charts, set on the chart itself: each of Altair's configure_...() would copy the whole chart,
    which took as long as building it. Their own rows come first (`data` of a layered chart): Streamlit's button "Show
    data" in the corner shows the first data alone, which else is the line at zero.
    """
    import altair as alt

    chart.config = alt.Config(
        font=FONT, background="transparent", padding={"left": 4, "right": 12, "top": 6, "bottom": 4},
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelColor=INK, titleColor=MUTED, gridColor=GRID, domainColor="#b8c0cc", tickColor="#b8c0cc",
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelLimit=260, titlePadding=8,
        ),
        legend=alt.LegendConfig(
            labelColor=INK, titleColor=MUTED, labelFontSize=12, titleFontSize=12, orient="top", title=None,
            symbolStrokeWidth=2, labelLimit=300,
        ),
        title=alt.TitleConfig(fontSize=13, color=INK, fontWeight=600, anchor="start"),
    )  # fmt: skip
    return chart


def numbers(chart: Chart, language: str) -> pandas.DataFrame:
    """What hover shows, and the ends of what is drawn: one row for each mark, columns named as on the chart."""
    import pandas

    _ = translator(language)
    found = drawn(chart)
    ends = {"low": _("from"), "high": _("to"), "value": _("Value"), "rate": _("Value")}
    tables: dict[
        str, dict[str, str]
    ] = {}  # name of the data -> field -> column, of the layers that hover tells of
    for layer in found.spec.get("layer", [found.spec]):
        encoding = layer.get("encoding", {})
        told = encoding.get("tooltip", [])
        told = told if isinstance(told, list) else [told]
        if told:
            columns = tables.setdefault((layer.get("data") or found.spec["data"])["name"], {})
            columns |= {one["field"]: one.get("title") or one["field"] for one in told}
            drawn_at = (encoding.get(axis, {}).get("field") for axis in ("x", "x2", "y", "y2"))
            for field in filter(None, drawn_at):
                if field in ends:
                    columns.setdefault(field, ends[field])
    if not tables:
        return pandas.DataFrame()
    main = max(tables, key=lambda name: len(found.tables[name]))
    rows = [found.tables[name] for name in tables if tables[name] == tables[main]]
    return pandas.concat(rows, ignore_index=True)[list(tables[main])].rename(columns=tables[main])


def gain_chart(effects: Sequence[Effect], language: str) -> list[Chart]:
    """Point and 95 % interval of each metric with a zero line; one chart for each unit and direction, so that no axis
    mixes units, or gains to the left with gains to the right."""
    units: dict[tuple[str, bool], list[Effect]] = {}
    for effect in effects:
        key = ("" if effect.is_fraction else effect.unit, effect.higher_is_better)
        units.setdefault(key, []).append(effect)
    return [_gain_rows(group, language, place == 0) for place, group in enumerate(units.values())]


@made_once
def _gain_rows(effects: list[Effect], language: str, with_legend: bool) -> Chart:
    import altair as alt
    import pandas

    _ = translator(language)
    verdict = {"better": _("gain"), "worse": _("loss"), "undecided": _("undecided")}
    scale = 100 if effects[0].is_fraction else 1
    rows = pandas.DataFrame(
        {
            "metric": words.metric_name(e.task, e.metric, language),
            "contrast": f"{words.arm_name(e.arm, language)} − {words.arm_name(e.versus, language)}",
            "value": e.value * scale, "low": e.low * scale, "high": e.high * scale,
            "verdict": verdict[e.verdict], "n": e.n, "seeds": e.seeds,
            "value_text": words.difference(e.value, e, language), "interval_text": words.interval(e, language),
        }
        for e in effects
    )  # fmt: skip
    direction = _("larger is better") if effects[0].higher_is_better else _("smaller is better")
    unit = words.unit_name(effects[0], language)
    shown = [verdict[v] for v in VERDICTS]
    present = [text for text in shown if text in set(rows["verdict"])]
    legend = alt.Legend(values=present, columnPadding=8) if with_legend else None
    color = alt.Color(
        "verdict:N", legend=legend, scale=alt.Scale(domain=shown, range=[c for c, _s in VERDICTS.values()])
    )
    shape = alt.Shape(
        "verdict:N", legend=legend, scale=alt.Scale(domain=shown, range=[s for _c, s in VERDICTS.values()])
    )
    tooltip = [
        alt.Tooltip("metric:N", title=_("Measure")),
        alt.Tooltip("contrast:N", title=_("Difference")),
        alt.Tooltip("value_text:N", title=_("Change")),
        alt.Tooltip("interval_text:N", title=_("95 % interval")),
        alt.Tooltip("verdict:N", title=_("Verdict")),
        alt.Tooltip("n:Q", title=_("Test items")),
        alt.Tooltip("seeds:Q", title=_("Seeds")),
    ]
    y = alt.Y(
        "metric:N",
        sort=None,
        title=None,
        axis=alt.Axis(grid=False, ticks=False, domain=False, labelPadding=8, minExtent=LABEL_WIDTH),
    )
    title = _("Change in {unit} ({direction})").format(unit=unit, direction=direction)
    low, high = min(0.0, *rows["low"]), max(0.0, *rows["high"])
    margin = (high - low) * 0.06 or 1.0  # zero is always inside, never on the edge
    domain = alt.Scale(domain=[low - margin, high + margin], nice=False)
    x = alt.X("low:Q", title=title, scale=domain, axis=alt.Axis(tickCount=6))
    base = alt.Chart(rows)
    zero = (
        alt.Chart(pandas.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeWidth=1.2).encode(x="zero:Q")
    )
    bars = base.mark_rule(strokeWidth=3, opacity=0.75).encode(
        x=x, x2="high:Q", y=y, color=color, tooltip=tooltip
    )
    ends = [
        base.mark_tick(thickness=2, size=12).encode(x=f"{end}:Q", y=y, color=color) for end in ("low", "high")
    ]
    points = base.mark_point(size=130, filled=True, opacity=1).encode(
        x="value:Q", y=y, color=color, shape=shape, tooltip=tooltip
    )
    height = ROW_HEIGHT * len(rows) + AXIS_HEIGHT + LEGEND_HEIGHT * with_legend
    return look(alt.layer(zero, bars, *ends, points, data=rows).properties(height=height))


@made_once
def arms_chart(metrics: Sequence[Metric], language: str) -> Chart:
    """One metric: a mark for each seed of each arm, and the arm's mean, on one axis with its unit."""
    import altair as alt
    import pandas

    _ = translator(language)
    first = metrics[0]
    is_fraction = first.unit in ("", "1", "fraction", "share", "ratio")
    scale = 100 if is_fraction else 1
    rows = pandas.DataFrame(
        {"arm": words.arm_name(m.arm, language), "seed": m.seed, "value": m.value * scale, "n": m.n}
        for m in metrics
    )
    means = rows.groupby("arm", as_index=False, sort=False)["value"].mean()
    unit = "%" if is_fraction else words.unit_word(first.unit, language)
    x = alt.X(
        "value:Q", title=unit, scale=alt.Scale(zero=False, nice=True, padding=12), axis=alt.Axis(tickCount=5)
    )
    y = alt.Y(
        "arm:N", sort=None, title=None, axis=alt.Axis(grid=True, ticks=False, domain=False, labelPadding=8)
    )
    arms = list(dict.fromkeys(rows["arm"]))
    color = alt.Color("arm:N", legend=None, scale=alt.Scale(domain=arms, range=_arm_colours(metrics)))
    value = alt.Tooltip("value:Q", format=".1f" if is_fraction else ".4f", title=unit)
    seeds = alt.Chart(rows).mark_circle(size=70, opacity=0.55).encode(
        x=x, y=y, color=color,
        tooltip=[alt.Tooltip("arm:N", title=_("Arm")), alt.Tooltip("seed:Q", title=_("Seed")), value,
                 alt.Tooltip("n:Q", title=_("Test items"))],
    )  # fmt: skip
    mean = alt.Chart(means).mark_tick(thickness=3, size=22).encode(
        x=x, y=y, color=color,
        tooltip=[alt.Tooltip("arm:N", title=_("Arm")), alt.Tooltip("value:Q", format=".2f", title=_("Mean of seeds"))],
    )  # fmt: skip
    title = words.metric_name(first.task, first.metric, language)
    return look(
        alt.layer(mean, seeds, data=rows).properties(
            height=ROW_HEIGHT * len(arms) + AXIS_HEIGHT + TITLE_HEIGHT, title=title
        )
    )


def _arm_colours(metrics: Sequence[Metric]) -> list[str]:
    """The corrected arm is blue everywhere, the original one orange; others take the next colours."""
    fixed = {"corrected": BLUE, "original": ORANGE}
    spare = iter([GREEN, PURPLE, SKY, VERMILLION] * 5)
    return [fixed.get(arm) or next(spare) for arm in dict.fromkeys(m.arm for m in metrics)]


@made_once
def alignment_chart(found: Alignment, language: str, bins: int = 24) -> Chart:
    """Cosine before and after as two distributions on the same bins, their means as lines."""
    import altair as alt
    import numpy
    import pandas

    _ = translator(language)
    names = [_("before the correction"), _("after the correction")]
    values = [numpy.asarray(found.before), numpy.asarray(found.after)]
    edges = numpy.histogram_bin_edges(numpy.concatenate(values), bins=bins)
    rows = pandas.concat(
        pandas.DataFrame(
            {"which": name, "start": edges[:-1], "end": edges[1:], "captions": numpy.histogram(v, edges)[0]}
        )
        for name, v in zip(names, values, strict=True)
    )
    means = pandas.DataFrame({"which": names, "mean": [found.mean_before, found.mean_after]})
    color = alt.Color("which:N", scale=alt.Scale(domain=names, range=[ORANGE, BLUE]))
    axis = alt.Axis(tickCount=8)
    bars = alt.Chart(rows).mark_bar(opacity=0.5, binSpacing=0).encode(
        x=alt.X("start:Q", bin="binned", title=_("Alignment of photo and caption (cosine, no unit)"), axis=axis,
                scale=alt.Scale(zero=False, nice=False)),
        x2="end:Q", y=alt.Y("captions:Q", stack=None, title=_("Captions"), axis=COUNTS), color=color,
        tooltip=[alt.Tooltip("which:N", title=_("Caption")),
                 alt.Tooltip("start:Q", format=".3f", title=_("from (cosine)")),
                 alt.Tooltip("end:Q", format=".3f", title=_("to (cosine)")),
                 alt.Tooltip("captions:Q", title=_("Captions"))],
    )  # fmt: skip
    mean_tip = [
        alt.Tooltip("which:N", title=_("Caption")), alt.Tooltip("mean:Q", format=".3f", title=_("Mean"))
    ]  # fmt: skip
    lines = [
        alt.Chart(means[means["which"] == name])
        .mark_rule(strokeWidth=3, strokeDash=dash)
        .encode(x="mean:Q", color=color, tooltip=mean_tip)
        for name, dash in zip(names, ([5, 4], [1, 0]), strict=True)
    ]
    return look(alt.layer(bars, *lines).properties(height=PANEL_HEIGHT))


@made_once
def by_day_chart(days: dict[date, Counted], language: str) -> Chart:
    """Captions fixed on each of the last days; what the simulated crew did is stacked in its own colour."""
    import altair as alt
    import pandas
    from babel.dates import format_date, format_skeleton

    _ = translator(language)
    people, simulated = _("people"), _("simulated")
    last = max(days)
    span = max(min((last - min(days)).days + 1, 60), DAYS_SHOWN)
    shown = [last - timedelta(days=back) for back in reversed(range(span))]
    rows = pandas.DataFrame(
        {
            "day": format_skeleton("MMMd", day, locale=language), "date": format_date(day, locale=language),
            "who": who, "place": place, "captions": getattr(days.get(day, Counted(0, 0)), side),
        }
        for day in shown
        for place, (who, side) in enumerate(((people, "people"), (simulated, "simulated")))
    )  # fmt: skip
    order = list(dict.fromkeys(rows["day"]))
    chart = alt.Chart(rows).mark_bar().encode(
        x=alt.X("day:N", sort=order, title=None, scale=alt.Scale(paddingInner=0.25, paddingOuter=0.2),
                axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=8, grid=False)),
        y=alt.Y("captions:Q", title=_("Captions fixed a day"), axis=COUNTS),
        color=alt.Color("who:N", scale=alt.Scale(domain=[people, simulated], range=[BLUE, PURPLE])),
        order=alt.Order("place:Q"),
        tooltip=[alt.Tooltip("date:N", title=_("Day")), alt.Tooltip("who:N", title=_("Who")),
                 alt.Tooltip("captions:Q", title=_("Captions fixed"))],
    )  # fmt: skip
    return look(chart.properties(height=PANEL_HEIGHT))


@made_once
def risk_chart(rows: pandas.DataFrame, language: str, line: float | None = None) -> Chart:
    """How many captions lie in each step of risk: judged ones and those that wait. rows: figures.risk_distribution.

    line: the risk from which on a look pays, in [0, 1].
    """
    import altair as alt
    import pandas

    _ = translator(language)
    judged, waiting = _("judged"), _("not judged yet")
    wide = rows.assign(**{judged: rows["judged"], waiting: rows["pairs"] - rows["judged"]})
    wide["risk_to"] = wide["risk_from"] + 0.05
    long = wide.melt(["risk_from", "risk_to"], [judged, waiting], "which", "captions")
    long["range"] = [f"{a:.2f} – {b:.2f}" for a, b in zip(long["risk_from"], long["risk_to"], strict=True)]
    chart = alt.Chart(long).mark_bar(stroke="white", strokeWidth=0.5).encode(
        x=alt.X("risk_from:Q", bin=alt.BinParams(binned=True, step=0.05), scale=alt.Scale(domain=[0, 1]),
                title=_("Risk that the caption needs a correction (0 to 1)"), axis=alt.Axis(format=".1f")),
        x2="risk_to:Q", y=alt.Y("captions:Q", title=_("Captions"), axis=COUNTS),
        color=alt.Color("which:N", scale=alt.Scale(domain=[judged, waiting], range=[BLUE, "#b8c0cc"])),
        tooltip=[alt.Tooltip("range:N", title=_("Risk")), alt.Tooltip("which:N", title=_("State")),
                 alt.Tooltip("captions:Q", title=_("Captions"))],
    )  # fmt: skip
    if line is None:
        return look(chart.properties(height=PANEL_HEIGHT))
    text = _("a look pays from {line} on").format(line=f"{line:.2g}")
    marked = alt.Chart(pandas.DataFrame({"line": [line], "text": [text]}))
    is_right = line > 0.5
    rule = marked.mark_rule(color=VERMILLION, strokeWidth=2.5, strokeDash=[6, 4]).encode(
        x="line:Q", tooltip=alt.Tooltip("text:N", title=_("Line by cost"))
    )
    label = marked.mark_text(
        color=INK, fontSize=12, fontWeight=600, baseline="bottom", align="right" if is_right else "left",
        dx=-6 if is_right else 6,
    ).encode(x="line:Q", y=alt.value(-3), text="text:N")  # fmt: skip
    return look(alt.layer(chart, rule, label).properties(height=PANEL_HEIGHT))


@made_once
def alternative_text(effects: Sequence[Effect], language: str) -> str:
    """What the gain chart says, for people who cannot see it."""
    return "; ".join(
        f"{words.metric_name(e.task, e.metric, language)}: {words.difference(e.value, e, language)} "
        f"({words.interval(e, language)}, n = {number(e.n, language)})"
        for e in effects
    )
