"""The chart of gaps in audited error, in the one look of dashboards/charts.py. Records in, chart out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboards import run_charts, run_words
from dashboards.drawn import made_once
from data.messages import number, translator

if TYPE_CHECKING:
    from dashboards.charts import Chart
    from dashboards.fairness import ErrorGap

UNIT = "fraction"


@made_once
def error_gaps_chart(column: str, gaps: Sequence[ErrorGap], language: str) -> Chart:
    """Each part's share of bad captions minus that of the rest, in points, with its interval; thin parts are marked."""
    _ = translator(language)
    rows = [
        {"row": run_words.part_value(column, one.part.value, language) + ("" if one.is_enough else " *"),
         "value": 100 * one.gap, "low": 100 * one.low, "high": 100 * one.high, "verdict": one.verdict,
         "text": run_words.amount(one.gap, UNIT, language),
         "interval": run_words.span(one.low, one.high, UNIT, language),
         "more": number(one.part.judged, language)}
        for one in gaps
    ]  # fmt: skip
    title = _("Share of bad captions: difference from the rest ({unit})").format(
        unit=run_words.unit(UNIT, language)
    )
    return run_charts.interval_rows(rows, title, (_("Slice"), _("Judged")), language)
