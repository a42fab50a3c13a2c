"""The charts of the page Retrainings beyond its effects, in the look of dashboards/charts.py. Records in, chart out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dashboards import run_words, words
from dashboards.charts import (
    AXIS_HEIGHT,
    BLUE,
    GREEN,
    INK,
    LABEL_WIDTH,
    LEGEND_HEIGHT,
    MUTED,
    ORANGE,
    PANEL_HEIGHT,
    PURPLE,
    ROW_HEIGHT,
    SKY,
    VERDICTS,
    VERMILLION,
    look,
)
from dashboards.drawn import made_once
from dashboards.run_figures import Gap, Share, SlotEffect
from data.messages import number, translator
from training.label_efficiency import Equivalent

if TYPE_CHECKING:
    import pandas

    from dashboards.charts import Chart

ARM_COLOURS = {  # as in charts.arms_chart
    "original": ORANGE, "corrected": BLUE, "base": GREEN, "reworded": PURPLE, "dropped": SKY, "drafts": VERMILLION,
}  # fmt: skip
ARM_COLUMNS = 2  # of the legend: three names are wider than half a page
DASHES = {"original": [6, 3], "corrected": [1, 0], "reworded": [2, 2], "dropped": [8, 3, 2, 3]}


def arm_scale(arms: Sequence[str], language: str) -> tuple[list[str], list[str], list[list[int]]]:
    """Names, colours and dashes of arms: an arm has the same of each in every chart."""
    spare = iter([MUTED, INK] * 5)
    return (
        [words.arm_name(arm, language) for arm in arms],
        [ARM_COLOURS.get(arm) or next(spare) for arm in arms],
        [DASHES.get(arm, [4, 4]) for arm in arms],
    )


def efficiency_frame(points: Sequence[Share], language: str) -> pandas.DataFrame:
    """arm, labels, value (mean over the seeds), low, high (the lowest and the highest seed), seeds."""
    import pandas

    rows = pandas.DataFrame(
        {"arm": words.arm_name(p.arm, language), "labels": p.labels, "value": p.value * scale(p.unit)}
        for p in points
    )
    grouped = rows.groupby(["arm", "labels"], sort=False)["value"]
    return grouped.agg(value="mean", low="min", high="max", seeds="count").reset_index()


def scale(unit: str) -> int:
    """Shares are shown in per cent."""
    return 100 if unit in ("", "1", "fraction", "share", "ratio") else 1


@made_once
def efficiency_chart(points: Sequence[Share], language: str) -> Chart:
    """One metric against the number of labels (logarithmic), a line for each arm, a bar from its worst to best seed."""
    import altair as alt

    _ = translator(language)
    rows = efficiency_frame(points, language)
    arms = list(dict.fromkeys(p.arm for p in points))
    names, colours, dashes = arm_scale(arms, language)
    first = points[0]
    unit = "%" if scale(first.unit) == 100 else first.unit
    digits = ".1f" if unit == "%" else ".4f"
    x = alt.X("labels:Q", title=_("Labels used (photos, logarithmic)"),
              scale=alt.Scale(type="log", nice=False, padding=14),
              axis=alt.Axis(values=sorted({p.labels for p in points}), format=",d"))  # fmt: skip
    title = f"{words.metric_name(first.task, first.metric, language)} ({unit})"
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    legend = alt.Legend(columns=ARM_COLUMNS)
    colour = alt.Color("arm:N", legend=legend, scale=alt.Scale(domain=names, range=colours))
    dash = alt.StrokeDash("arm:N", legend=legend, scale=alt.Scale(domain=names, range=dashes))
    tooltip = [
        alt.Tooltip("arm:N", title=_("Arm")), alt.Tooltip("labels:Q", title=_("Labels"), format=",d"),
        alt.Tooltip("value:Q", title=unit, format=digits), alt.Tooltip("low:Q", title=_("Lowest seed"), format=digits),
        alt.Tooltip("high:Q", title=_("Highest seed"), format=digits), alt.Tooltip("seeds:Q", title=_("Seeds")),
    ]  # fmt: skip
    base = alt.Chart(rows)
    return look(alt.layer(
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash),
        base.mark_rule(strokeWidth=2, opacity=0.6).encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q",
                                                          color=colour),
        base.mark_point(filled=True, size=80, opacity=1).encode(x=x, y=y, color=colour, tooltip=tooltip),
    ).properties(height=PANEL_HEIGHT))  # fmt: skip


@made_once
def equivalents_chart(found: Sequence[Equivalent], language: str) -> Chart:
    """How many labels the other arm needs for what this one reaches: one panel's rows, point with 95 % interval.

    Above the diagonal the corrections save labels. "Not reached" stands at all labels, as a triangle.
    """
    import altair as alt
    import pandas

    _ = translator(language)
    most = max(e.labels for e in found)
    reached, beyond = _("reached"), _("not reached with all labels")
    rows = pandas.DataFrame(
        {"labels": e.labels, "equivalent": e.equivalent if e.is_reached else most,
         "low": _or(e.low, most), "high": _or(e.high, most), "state": reached if e.is_reached else beyond,
         "text": run_words.equivalent(e, language, min(one.labels for one in found))}
        for e in found
    )  # fmt: skip
    ends = sorted({*rows["labels"], most})
    log = alt.Scale(type="log", nice=False, padding=14)
    axis = alt.Axis(values=ends, format=",d")
    versus = words.arm_name(found[0].versus, language)
    x = alt.X("labels:Q", title=_("Labels used with corrected captions"), scale=log, axis=axis)
    needed = _("Labels needed: {arm}").format(arm=versus)
    y = alt.Y("equivalent:Q", title=needed, scale=log, axis=axis)
    domain = [reached, beyond]
    colour = alt.Color("state:N", scale=alt.Scale(domain=domain, range=[BLUE, VERMILLION]))
    shape = alt.Shape("state:N", scale=alt.Scale(domain=domain, range=["circle", "triangle-up"]))
    tooltip = [
        alt.Tooltip("labels:Q", title=_("Labels used"), format=",d"),
        alt.Tooltip("text:N", title=_("Needed")),
    ]
    diagonal = alt.Chart(pandas.DataFrame({"labels": ends, "equivalent": ends}))
    base = alt.Chart(rows)
    return look(alt.layer(
        diagonal.mark_line(color=MUTED, strokeDash=[5, 4], strokeWidth=1.5).encode(x=x, y=y),
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=x, y=alt.Y("low:Q", title=needed), y2="high:Q",
                                                          color=colour),
        base.mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        data=rows,
    ).properties(height=PANEL_HEIGHT))  # fmt: skip


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


@made_once
def slots_chart(found: Sequence[SlotEffect], names: dict[str, str], language: str) -> Chart:
    """What each item of the template brought to one metric: point and 95 % interval with a zero line. names: slot ->
    what it is called, in the order of the rows."""
    order = list(names)
    found = sorted(found, key=lambda e: order.index(e.slot) if e.slot in order else len(order))
    first = found[0]
    by = scale(first.unit)
    rows = [
        {"row": names.get(e.slot, e.slot), "value": e.value * by, "low": e.low * by, "high": e.high * by,
         "verdict": e.verdict,
         "text": run_words.amount(e.value, e.unit, language),
         "interval": run_words.span(e.low, e.high, e.unit, language),
         "more": number(e.seconds, language, 1) if e.seconds is not None else "—"}
        for e in found
    ]  # fmt: skip
    _ = translator(language)
    title = _("{metric}: change by this item ({unit})").format(
        metric=words.metric_name(first.task, first.metric, language),
        unit=run_words.unit(first.unit, language),
    )
    return interval_rows(rows, title, (_("Item"), _("Seconds to write")), language)


@made_once
def gaps_chart(found: Sequence[Gap], language: str) -> Chart:
    """One metric of one arm: each part of each slice against the rest, with 95 % interval; thin parts are marked."""
    _ = translator(language)
    first = found[0]
    by = scale(first.unit)
    rows = [
        {"row": run_words.part_name(g, language) + ("" if g.is_enough else " *"), "value": g.gap * by,
         "low": g.low * by, "high": g.high * by, "verdict": g.verdict,
         "text": run_words.amount(g.gap, g.unit, language),
         "interval": run_words.span(g.low, g.high, g.unit, language), "more": number(g.n, language)}
        for g in found
    ]  # fmt: skip
    title = _("{metric}: difference from the rest ({unit})").format(
        metric=words.metric_name(first.task, first.metric, language),
        unit=run_words.unit(first.unit, language),
    )
    return interval_rows(rows, title, (_("Slice"), _("Test items")), language)


def interval_rows(rows: list[dict[str, Any]], title: str, asked: tuple[str, str], language: str) -> Chart:
    """Rows with point and interval around zero; colour and shape both say the verdict."""
    import altair as alt
    import pandas

    _ = translator(language)
    said = {"better": _("better"), "worse": _("worse"), "undecided": _("undecided")}
    frame = pandas.DataFrame([{**row, "verdict": said[row["verdict"]]} for row in rows])
    shown = [said[verdict] for verdict in VERDICTS]
    legend = alt.Legend(values=[text for text in shown if text in set(frame["verdict"])], columnPadding=8)
    colour = alt.Color("verdict:N", legend=legend,
                       scale=alt.Scale(domain=shown, range=[c for c, _s in VERDICTS.values()]))  # fmt: skip
    shape = alt.Shape("verdict:N", legend=legend,
                      scale=alt.Scale(domain=shown, range=[s for _c, s in VERDICTS.values()]))  # fmt: skip
    low, high = min(0.0, *frame["low"]), max(0.0, *frame["high"])
    margin = (high - low) * 0.06 or 1.0
    x = alt.X("low:Q", title=title, axis=alt.Axis(tickCount=6),
              scale=alt.Scale(domain=[low - margin, high + margin], nice=False))  # fmt: skip
    y = alt.Y("row:N", sort=None, title=None,
              axis=alt.Axis(grid=False, ticks=False, domain=False, labelPadding=8, minExtent=LABEL_WIDTH))  # fmt: skip
    tooltip = [
        alt.Tooltip("row:N", title=asked[0]), alt.Tooltip("text:N", title=_("Change")),
        alt.Tooltip("interval:N", title=_("95 % interval")), alt.Tooltip("verdict:N", title=_("Verdict")),
        alt.Tooltip("more:N", title=asked[1]),
    ]  # fmt: skip
    base = alt.Chart(frame)
    zero = (
        alt.Chart(pandas.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeWidth=1.2).encode(x="zero:Q")
    )
    height = max(ROW_HEIGHT * 3 // 4, 20) * len(rows) + AXIS_HEIGHT + LEGEND_HEIGHT
    return look(alt.layer(
        zero,
        base.mark_rule(strokeWidth=3, opacity=0.75).encode(x=x, x2="high:Q", y=y, color=colour, tooltip=tooltip),
        base.mark_point(size=100, filled=True, opacity=1).encode(x="value:Q", y=y, color=colour, shape=shape,
                                                                 tooltip=tooltip),
        data=frame,
    ).properties(height=height))  # fmt: skip


LEGEND_COLUMNS, LEGEND_ROW, LEGEND_COLUMN = 5, 22, 190  # px
NO_LABEL = "#e2e5e9"  # as training/examples.py draws it


@made_once
def classes_legend(classes: Sequence[tuple[str, str]]) -> Chart:
    """A square in its colour and a name for each class, (name, colour), in rows."""
    import altair as alt
    import pandas

    rows = pandas.DataFrame(
        {"name": name, "colour": colour, "row": place // LEGEND_COLUMNS, "column": place % LEGEND_COLUMNS}
        for place, (name, colour) in enumerate(classes)
    )
    base = alt.Chart(rows).encode(
        x=alt.X("column:Q", axis=None, scale=alt.Scale(domain=[-0.05, LEGEND_COLUMNS])),
        y=alt.Y("row:O", axis=None), tooltip=alt.Tooltip("name:N", title=None),
    )  # fmt: skip
    squares = base.mark_square(size=160, opacity=1, stroke=MUTED, strokeWidth=0.5).encode(
        color=alt.Color("colour:N", scale=None)
    )
    names = base.mark_text(align="left", dx=12, color=INK, fontSize=12, limit=LEGEND_COLUMN - 26).encode(
        text="name:N"
    )
    height = LEGEND_ROW * (1 + (len(classes) - 1) // LEGEND_COLUMNS)
    width = LEGEND_COLUMN * LEGEND_COLUMNS
    return look(alt.layer(squares, names).properties(height=height + 10, width=width))
