"""Charts: what is drawn are the numbers given, with intervals, zero line, units and hover."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas
import pytest

from dashboards import alignment, charts, effects, figures
from dashboards.figures import Counted
from data.messages import translator
from data.site import Site

LANGUAGES = ["ja", "en"]


def data(chart: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of all layers."""
    return [row for rows in chart["datasets"].values() for row in rows]


def layers(chart: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from chart.get("layer", [chart])


def encodings(chart: dict[str, Any], channel: str) -> list[dict[str, Any]]:
    return [layer["encoding"][channel] for layer in layers(chart) if channel in layer["encoding"]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_gain_chart_draws_point_interval_and_zero_in_one_chart_for_each_unit(
    worked: Site, language: str
) -> None:
    found = effects.same_contrast(effects.effects(worked, "run-1"))
    shares, metres = (chart.to_dict() for chart in charts.gain_chart(found, language))
    drawn = [row for row in data(shares) if "value" in row]
    assert all({"low", "high", "n", "seeds", "verdict"} <= set(row) for row in drawn)
    values = [row["value"] for row in drawn]
    assert values == pytest.approx([9.8, 5.0, 2.0, 6.0, -0.4])  # shares in points, the main measure first
    assert [row["value"] for row in data(metres) if "value" in row] == [-0.021]
    for chart in (shares, metres):
        assert {"zero": 0.0} in data(chart)
        assert any(layer["encoding"].get("x2", {}).get("field") == "high" for layer in layers(chart))
        low, high = next(
            e["scale"]["domain"] for e in encodings(chart, "x") if e.get("scale", {}).get("domain")
        )
        assert low < 0 < high and all(
            low < row["low"] <= row["high"] < high for row in data(chart) if "low" in row
        )
    _ = translator(language)
    titles = [e["title"] for e in encodings(metres, "x") if e.get("title")]
    assert titles == [_("Change in {unit} ({direction})").format(unit="m", direction=_("smaller is better"))]


def test_a_gain_is_told_by_shape_and_not_by_colour_alone(worked: Site) -> None:
    chart = charts.gain_chart(effects.effects(worked, "run-1"), "en")[0].to_dict()
    shapes = [e["scale"] for e in encodings(chart, "shape")]
    assert shapes and len(set(shapes[0]["range"])) == len(shapes[0]["domain"]) == 3


def test_arms_stand_side_by_side_with_every_seed(worked: Site) -> None:
    group = effects.metrics(worked, "run-1")[0]
    chart = charts.arms_chart(group, "en").to_dict()
    seeds = sorted((row["arm"], row["seed"], round(row["value"], 3)) for row in data(chart) if "seed" in row)
    assert seeds == [("Corrected captions", 0, 34.8), ("Corrected captions", 1, 35.8),
                     ("Original captions (control)", 0, 25.0), ("Original captions (control)", 1, 26.0)]  # fmt: skip
    means = {row["arm"]: round(row["value"], 3) for row in data(chart) if "seed" not in row}
    assert means == {"Corrected captions": 35.3, "Original captions (control)": 25.5}
    assert encodings(chart, "x")[0]["title"] == "%"


@pytest.mark.parametrize("language", LANGUAGES)
def test_alignment_is_two_distributions_on_the_same_bins(worked: Site, language: str) -> None:
    found = alignment.compared(worked)
    assert isinstance(found, alignment.Alignment)
    chart = charts.alignment_chart(found, language, bins=4).to_dict()
    _ = translator(language)
    for name in (_("before the correction"), _("after the correction")):
        bins = [row for row in data(chart) if row.get("which") == name and "captions" in row]
        assert len(bins) == 4 and sum(row["captions"] for row in bins) == found.n
    means = sorted({row["mean"] for row in data(chart) if "mean" in row})
    assert means == pytest.approx([found.mean_before, found.mean_after])


def test_days_without_work_are_drawn_as_zero_and_simulated_work_apart() -> None:
    chart = charts.by_day_chart(
        {date(2026, 11, 16): Counted(2, 1), date(2026, 11, 18): Counted(4, 0)}, "en"
    ).to_dict()
    rows = data(chart)
    assert len(rows) == 2 * charts.DAYS_SHOWN
    by_day = {(row["day"], row["who"]): row["captions"] for row in rows}
    assert by_day[("Nov 16", "people")] == 2 and by_day[("Nov 16", "simulated")] == 1
    assert by_day[("Nov 17", "people")] == 0 and by_day[("Nov 18", "people")] == 4


def test_risk_chart_stacks_judged_and_waiting() -> None:
    rows = pandas.DataFrame({"risk_from": [0.0, 0.95], "pairs": [10, 4], "judged": [1, 4]})
    found = {
        (row["range"], row["which"]): row["captions"] for row in data(charts.risk_chart(rows, "en").to_dict())
    }
    assert found == {("0.00 – 0.05", "judged"): 1, ("0.00 – 0.05", "not judged yet"): 9,
                     ("0.95 – 1.00", "judged"): 4, ("0.95 – 1.00", "not judged yet"): 0}  # fmt: skip


def test_every_chart_has_hover_and_a_japanese_font(worked: Site) -> None:
    aligned = alignment.compared(worked)
    assert isinstance(aligned, alignment.Alignment)
    found = effects.effects(worked, "run-1")
    all_charts = [
        *charts.gain_chart(found, "ja"), charts.arms_chart(effects.metrics(worked, "run-1")[0], "ja"),
        charts.alignment_chart(aligned, "ja"), charts.by_day_chart(figures.fixed_by_day(worked), "ja"),
        charts.risk_chart(figures.risk_distribution(worked), "ja"),
    ]  # fmt: skip
    for chart in all_charts:
        spec = chart.to_dict()
        assert encodings(spec, "tooltip"), spec
        assert "JP" in spec["config"]["font"]


def test_the_gain_chart_in_words(worked: Site) -> None:
    text = charts.alternative_text(effects.effects(worked, "run-1")[:1], "en")
    assert text == "Photo found from words, top 1: +9.8 points (+4.1 to +15.2, n = 180)"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_numbers_of_a_chart_are_those_that_hover_shows_and_come_first(
    worked: Site, language: str
) -> None:
    """What is taken along as CSV; Streamlit's own button "Show data" gives the first data of the chart."""
    found = effects.same_contrast(effects.effects(worked, "run-1"))
    chart = charts.gain_chart(found, language)[0]
    _ = translator(language)
    table = charts.numbers(chart, language)
    assert next(iter(table)) == _("Measure") and list(table[_("Value")]) == pytest.approx(
        [9.8, 5.0, 2.0, 6.0, -0.4]
    )
    assert {_("95 % interval"), _("from"), _("to"), _("Test items")} <= set(table)
    first = next(iter(chart.to_dict()["datasets"].values()))
    assert [row["value"] for row in first] == list(table[_("Value")])
