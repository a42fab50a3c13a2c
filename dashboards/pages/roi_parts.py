"""Parts of the page ROI: what the next corrections bring and when to stop; the paper beside the site."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from annotate import stopping
from annotate.pages.elements import Opened, empty, heading, note, simulated_badge
from dashboards import effects, forecast, roi_charts, roi_site, roi_words, run_figures
from dashboards.assumptions import Assumptions
from dashboards.figures import Missing
from dashboards.forecast import Ahead
from dashboards.pages.elements import download, how, plot, stop_words, table
from dashboards.paper import Compared
from dashboards.roi import Result, Span
from dashboards.roi_evidence import Found, Side
from dashboards.roi_site import Prospect
from data.messages import number
from data.site import Site

KEPT_SECONDS = 300  # the page says how old its numbers are


def ahead(assumed: Assumptions, side: Side, result: Result, at: Opened) -> None:
    """The history of finds, what it leads one to expect of the next 500, and the stopping rule's own word."""
    _ = at.translate
    heading(_("What the next corrections bring"))
    worth = at.site.settings.cost.bad_caption_jpy or None
    found = _prospect(str(at.site.root), side, roi_site.yen_a_second(assumed, result), worth)
    if isinstance(found.ahead, Missing):
        empty(_("Not yet measurable"), _("It needs {what}.").format(what=_(found.ahead.needs)))
    else:
        for sentence in expected(found.ahead, at):
            st.text(sentence)
    if found.answers:
        plot(roi_charts.forecast_chart(found.answers, found.curve, found.ahead, at.language), "roi-forecast")
        table(lambda: steps_table(found, at), "roi-forecast", at)
    note(
        _(
            "The stopping rule looks at the next hundred alone, the most doubtful captions, and at their own time. The "
            "forecast reaches further down the queue and adds second opinions and decisions, so finding one is usually "
            "dearer there."
        )
    )
    for sentence in stop_words(found.hundred, at):
        note(sentence)
    formula = _(
        "So far: the chance that an answer to the queue finds a bad caption, fitted to all answers, falling "
        "(logistic, maximum likelihood). Ahead: the next hundred of the queue hold what the stopping rule says "
        "(their risks, corrected by what the last hundred held; the queue is ranked anew, so this may lie above the "
        "history's end). From there it falls as the bad captions that the audit says are left are used up: "
        "p x exp(-m x p / left) after m more, never above 100 %. Cost: seconds for a bad and for a "
        "right caption x wage, with the share of second opinions and decisions so far. Interval: of the fit, of "
        "what is left, and of chance. What the model gains from them is not forecast: a retraining measures it."
    )
    how(_("How is this computed?"), formula, forecast.HISTORY_SQL, stopping.LAST)


@st.cache_data(ttl=KEPT_SECONDS, show_spinner=False, max_entries=8)
def _prospect(root: str, side: Side, yen_second: float, worth_jpy: float | None) -> Prospect:
    return roi_site.prospect(Site.open(root), side, yen_second, worth_jpy)


def expected(found: Ahead, at: Opened) -> list[str]:
    """Bad captions, cost and worth of the next corrections, and when to stop."""
    _ = at.translate
    bad, bad_interval = roi_words.count_text(found.bad, at.language)
    said = [
        _("The next {n} corrections are expected to find {bad} bad captions (95 % interval {interval}).").format(
            n=number(found.corrections, at.language), bad=bad, interval=bad_interval),
        _("They are expected to cost {value} (95 % interval {interval}).").format(
            value=roi_words.amount(found.cost.value, at.language), interval=roi_words.between(found.cost, at.language)),
    ]  # fmt: skip
    if isinstance(found.each, Span):
        said.append(_("Finding one bad caption then costs {value} (95 % interval {interval}).").format(
            value=roi_words.amount(found.each.value, at.language),
            interval=roi_words.between(found.each, at.language)))  # fmt: skip
    if isinstance(found.worth, Span):
        said.append(_("What they find is worth {value} (95 % interval {interval}).").format(
            value=roi_words.amount(found.worth.value, at.language),
            interval=roi_words.between(found.worth, at.language)))  # fmt: skip
    return [*said, roi_words.stop_words(found.stop_after, at.language)]


def steps_table(found: Prospect, at: Opened) -> object:
    """A pandas.DataFrame: the history in blocks, then what lies ahead, with the curve. Shares in per cent."""
    import pandas

    _ = at.translate

    def percent(share: float | None) -> float | None:
        return None if share is None else round(100 * share, 1)

    rows = [
        {
            _("When"): _("so far") if one.expected is None else _("expected ahead"),
            _("Corrections from the queue, in order"): one.corrections,
            _("Judged"): one.judged,
            _("Bad"): one.bad,
            _("Expected bad ones from now on"): None if one.expected is None else round(one.expected, 1),
            _("Expected share (%)"): percent(one.chance),
            _("from"): percent(one.low),
            _("to"): percent(one.high),
        }
        for one in forecast.steps(found.answers, found.curve, found.ahead)
    ]
    counts = [_("Judged"), _("Bad")]  # whole numbers with gaps
    return pandas.DataFrame(rows).astype(dict.fromkeys(counts, "Int64"))


def paper_numbers(rows: Sequence[Compared], at: Opened) -> object:
    """A pandas.DataFrame: the paper's table as numbers, for the file; relative changes in per cent, labels in times."""
    import pandas

    _ = at.translate

    def scaled(row: Compared, value: float) -> float:
        return round(value if row.measure == "labels" else 100 * value, 2)

    found = []
    for row in rows:
        ends: list[float | None] = [None] * 3
        if isinstance(row.site, Span):
            ends = [scaled(row, end) for end in (row.site.value, row.site.low, row.site.high)]
        found.append({
            _("Measure"): roi_words.paper_name(row.measure, at.language),
            _("Unit"): "%" if row.measure != "labels" else _("times"),
            _("the paper"): scaled(row, row.paper),
            _("this site"): ends[0], _("from"): ends[1], _("to"): ends[2],
            _("Test photos, or labels used"): row.n or None,
        })  # fmt: skip
    return pandas.DataFrame(found)


def paper_panel(found: Found, rows: Sequence[Compared], at: Opened) -> None:
    """The site's relative changes beside the paper's, and why they are not of one scale."""
    import pandas

    _ = at.translate
    heading(_("Compare with the paper"))
    if found.simulated:
        simulated_badge(at, found.simulated)
    st.text(
        _(
            "The paper compares two ways of pre-training a whole model on millions of photos, and says: better "
            "captions beat masked-image pre-training. This site compares the same short retraining on {n} "
            "corrected captions with one on the original captions. So do not expect the paper's figures from a "
            "few hundred corrections: they move the search first and most, regions and depth last and least."
        ).format(n=number(found.corrections, at.language))
    )
    chart = roi_charts.paper_chart(rows, at.language)
    if chart is not None:
        plot(chart, "roi-paper")
    frame = pandas.DataFrame(
        {
            _("Measure"): roi_words.paper_name(row.measure, at.language),
            _("the paper"): roi_words.paper_value(row.measure, row.paper, at.language),
            _("this site"): roi_words.paper_site(row, at.language),
            _("Test photos, or labels used"): number(row.n, at.language) if row.n else "—",
        }
        for row in rows
    )
    st.dataframe(frame, hide_index=True, width="stretch", key="roi-table-paper")
    download(lambda: paper_numbers(rows, at), "roi-paper", at)
    formula = _(
        "Vasu et al. 2024, CLIP with Quality Captions (arXiv 2405.08911): ViT-B/16 against masked-image "
        "pre-training, mIoU 48.1 to about 53.9 on ADE20k, RMSE 0.383 to about 0.339 m on NYUv2, up to ten times "
        "fewer labels. This site: effect of the corrected over the original captions / the mean of the original "
        "arm, interval likewise; labels: label equivalent / labels, at half of all labels."
    )
    how(
        _("How is this computed?"),
        formula,
        effects.METRICS_SQL,
        effects.EFFECTS_SQL,
        run_figures.EQUIVALENTS_SQL,
    )
