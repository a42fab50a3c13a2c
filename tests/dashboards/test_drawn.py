"""Charts are made once for equal records, and the browser is sent what Streamlit would have sent."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import altair
import numpy as np
import pandas
import pytest
from altair.utils.schemapi import SchemaValidationError
from hypothesis import given
from hypothesis import strategies as st
from streamlit.elements.vega_charts import _convert_altair_to_vega_lite_spec

from dashboards import charts, drawn, effects, figures
from data.site import Site

plain = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(-2, 2), st.text(max_size=2), st.dates()
)
records = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)


@dataclass(frozen=True)
class One:
    value: Any


@given(records, records)
def test_keys_are_equal_for_equal_records_only(first: Any, second: Any) -> None:
    """repr tells 1, 1.0 and True apart, and -0.0 from 0.0."""
    is_equal = drawn.frozen(One(first)) == drawn.frozen(One(second))
    assert hash(drawn.frozen(first)) == hash(drawn.frozen(first))
    assert is_equal is (repr(first) == repr(second)) or (0.0 == first == second), (first, second)


def test_keys_of_arrays_and_tables_are_their_values() -> None:
    rows = pandas.DataFrame({"name": ["a", "b"], "n": [1, 2]})
    assert drawn.frozen(rows) == drawn.frozen(rows.copy()) != drawn.frozen(rows.assign(n=[1, 3]))
    values = np.arange(4.0)
    assert drawn.frozen(values) == drawn.frozen(values.copy()) != drawn.frozen(values.reshape(2, 2))
    assert drawn.frozen([0.5] * 3) != drawn.frozen([0.5] * 4)
    with pytest.raises(TypeError, match="object"):
        drawn.frozen(object())


def test_a_chart_is_made_once_for_equal_records_and_anew_for_others(worked: Site) -> None:
    found, again = (effects.metrics(worked, "run-1")[0] for _ in range(2))
    first = charts.arms_chart(found, "en")
    assert found is not again and charts.arms_chart(again, "en") is first
    assert charts.arms_chart(found, "ja") is not first
    other = [replace(found[0], value=found[0].value + 0.01), *found[1:]]
    assert charts.arms_chart(other, "en") is not first


def test_only_the_newest_charts_are_kept() -> None:
    made: list[int] = []

    @drawn.made_once
    def double(value: int) -> int:
        made.append(value)
        return 2 * value

    for value in range(drawn.MOST + 1):
        double(value)
    assert double(drawn.MOST) == 2 * drawn.MOST and len(made) == drawn.MOST + 1
    assert double(0) == 0 and len(made) == drawn.MOST + 2, "the oldest is forgotten"


def test_the_browser_gets_what_streamlit_makes_of_the_chart(worked: Site) -> None:
    found = effects.effects(worked, "run-1")
    days = {date(2026, 11, 16): figures.Counted(2, 1)}
    for chart in (*charts.gain_chart(found, "ja"), charts.by_day_chart(days, "en"),
                  charts.risk_chart(figures.risk_distribution(worked), "ja", 0.3)):  # fmt: skip
        usual = _convert_altair_to_vega_lite_spec(chart)
        text = json.dumps({name: value for name, value in usual.items() if name != "datasets"})
        for place, name in enumerate(usual["datasets"]):
            text = text.replace(name, f"rows-{place}")
        ours = drawn.drawn(chart)
        assert without_counters(text) == without_counters(json.dumps(dict(ours.spec)))
        assert drawn.drawn(chart) is ours
        rows = json.loads(json.dumps([table.to_dict("records") for table in ours.tables.values()]))
        assert rows == list(chart.to_dict()["datasets"].values()), "and the chart itself has its rows still"


def without_counters(spec: str) -> Any:
    """Altair counts its views and parameters."""
    return json.loads(re.sub(r"(view|param)_\d+", "one", spec))


def test_charts_are_checked_here(worked: Site) -> None:
    """tests/dashboards/conftest.py: every chart of every page that a test shows."""
    chart = charts.look(altair.Chart(pandas.DataFrame({"n": [1]})).mark_bar().encode(x="n:Q"))
    chart.mark = {"type": "no such mark"}
    with pytest.raises(SchemaValidationError, match="no such mark"):
        drawn.drawn(chart)
