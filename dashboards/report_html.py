"""The meeting report as one HTML file: styles and charts inside, nothing is fetched, prints on one page of A4."""

from __future__ import annotations

from html import escape

from dashboards.charts import INK, MUTED
from dashboards.report import Figure, Report
from dashboards.report_spans import Axis, Span, axes, spans
from dashboards.words import joined
from data.messages import translator

BAR_WIDTH, BAR_HEIGHT, AXIS_HEIGHT = 240, 15, 17  # px
STYLE = """
@page { size: A4; margin: 9mm 11mm; }
* { box-sizing: border-box; }
body { font: 9.6pt/1.42 "Noto Sans", "Noto Sans JP", "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic UI", Meiryo,
  sans-serif; color: #1f2933; margin: 0 auto; padding: 14px; max-width: 188mm; overflow-wrap: anywhere; }
html[lang=ja] body { line-break: strict; font-size: 9.2pt; }
h1 { font-size: 15pt; line-height: 1.25; margin: 0; }
h2 { font-size: 10.5pt; margin: 0 0 3px; color: #0072B2; }
p, ul, ol { margin: 0 0 4px; } ul, ol { padding-left: 1.4em; }
.muted { color: #5f6b7a; font-size: 8.4pt; }
.mark { display: inline-block; background: #f0e6f2; color: #6b2d66; border-radius: 3px; padding: 0 6px;
  font-size: 8.4pt; }
.lead { border-left: 4px solid #0072B2; background: #eef5fa; padding: 7px 11px; margin: 7px 0; }
.lead strong { display: block; font-size: 12.5pt; line-height: 1.3; margin-bottom: 2px; }
.figures { display: grid; grid-template-columns: repeat(5, 1fr); gap: 6px; margin: 7px 0; }
.figures div { border: 1px solid #d7dde5; border-radius: 4px; padding: 5px 7px; }
.figures b { display: block; font-size: 12.5pt; line-height: 1.3; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; margin: 7px 0; }
.two > * { min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 8.6pt; }
th, td { text-align: left; padding: 1.5px 6px 1.5px 0; border-bottom: 1px solid #e4e8ee; vertical-align: top; }
th { font-weight: 600; color: #5f6b7a; } td.n { white-space: nowrap; }
.better { color: #0072B2; font-weight: 600; } .worse { color: #B04A00; font-weight: 600; }
.drawn td.bar { width: 240px; padding-right: 0; } .drawn td.unit { text-align: right; color: #5f6b7a; }
.drawn svg { display: block; font-size: 11px; }
footer { border-top: 1px solid #d7dde5; padding-top: 3px; }
@media print {
  body, html[lang=ja] body { padding: 0; max-width: none; font-size: 8.6pt; line-height: 1.34; }
  .muted, .mark, table { font-size: 7.6pt; } h1 { font-size: 13pt; } h2 { font-size: 9.5pt; }
  .lead, .figures, .two { margin: 5px 0; } .lead strong, .figures b { font-size: 11pt; }
  p, ul, ol { margin-bottom: 2px; } }
@media (max-width: 640px) { .two, .figures { grid-template-columns: 1fr; } }
"""


def html(report: Report) -> str:
    """The whole document. Everything that people wrote is escaped."""
    _ = translator(report.language)
    assumed = joined(list(report.assumptions), report.language)
    parts = [
        f'<!DOCTYPE html>\n<html lang="{report.language}"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f'<meta name="viewport" content="width=device-width"><title>{escape(report.title)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f'<h1>{escape(report.title)}</h1><p class="muted">{escape(report.subtitle)} ',
        *(f'<span class="mark">{escape(mark)}</span> ' for mark in report.marks), "</p>",
        f'<div class="lead"><strong>{escape(report.headline)}</strong><p>{escape(report.conclusion)}</p>',
        f"<p><b>{escape(_('{item}: {text}').format(item=_('What to do next'), text=report.next_what))}</b> "
        f"{escape(report.next_why)}</p></div>",
        '<div class="figures">', *(_figure(one, _("simulated")) for one in report.figures), "</div>",
        f"<h2>{escape(_('Evidence'))}</h2>", f'<p class="muted">{escape(report.contrast)}</p>', _evidence(report),
        '<div class="two"><section>', f"<h2>{escape(_('Cost and benefit'))}</h2>", _list(report.money),
        f'<p class="muted">{escape(_("{item}: {text}").format(item=_("Assumptions"), text=assumed))}</p></section>',
        f"<section><h2>{escape(_('Risks'))}</h2>", _list(report.risks), "</section></div>",
        f"<h2>{escape(_('To say in the meeting'))}</h2>", _list(report.sentences, "ol"),
        f'<footer class="muted">{escape(report.footer)}</footer></body></html>\n',
    ]  # fmt: skip
    return "".join(parts)


def _figure(one: Figure, simulated: str) -> str:
    notes = "".join(f'<span class="muted">{escape(note)}</span><br>' for note in one.notes)
    mark = (
        f'<span class="mark">{escape(simulated)}</span> {escape(one.simulated)}<br>' if one.simulated else ""
    )
    return f'<div><span class="muted">{escape(one.label)}</span><b>{escape(one.value)}</b>{mark}{notes}</div>'


def _list(items: tuple[str, ...], kind: str = "ul") -> str:
    return f"<{kind}>" + "".join(f"<li>{escape(item)}</li>" for item in items) + f"</{kind}>"


def _evidence(report: Report) -> str:
    """The table with each interval drawn beside its numbers, and under the rows of one unit their axis."""
    if not report.evidence:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in report.columns)
    effects = [one.effect for one in report.evidence]
    under, rows = axes(effects, report.language), []
    for place, (one, span) in enumerate(zip(report.evidence, spans(effects), strict=True)):
        rows.append(
            f'<tr><td>{escape(one.metric)}</td><td class="n">{escape(one.change)}</td>'
            f'<td class="n">{escape(one.interval)}</td><td class="n {one.effect.verdict}">{escape(one.verdict)}</td>'
            f'<td class="bar">{_bar(span)}</td></tr>'
        )
        if place in under:
            axis = under[place]
            rows.append(
                f'<tr><td class="unit" colspan="4">{escape(axis.title)}</td><td class="bar">{_axis(axis)}</td></tr>'
            )
    more = f'<p class="muted">{escape(report.more)}</p>' if report.more else ""
    return f'<table class="drawn"><tr>{head}<th></th></tr>{"".join(rows)}</table>{more}'


def _svg(height: int, inside: str) -> str:
    size = f'width="{BAR_WIDTH}" height="{height}" viewBox="0 0 {BAR_WIDTH} {height}"'
    return f'<svg {size} aria-hidden="true">{inside}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _bar(span: Span) -> str:
    """An interval as a bar with its point, and the zero line. Its numbers stand beside it as text."""
    low, value, high, zero = (share * BAR_WIDTH for share in (span.low, span.value, span.high, span.zero))
    middle = BAR_HEIGHT / 2
    return _svg(
        BAR_HEIGHT,
        _line(zero, 0, zero, BAR_HEIGHT, INK, 1) + _line(low, middle, high, middle, span.colour, 2.5)
        + "".join(_line(x, middle - 4, x, middle + 4, span.colour, 1.5) for x in (low, high))
        + f'<circle cx="{value:.1f}" cy="{middle}" r="3.5" fill="{span.colour}"/>',
    )  # fmt: skip


def _axis(axis: Axis) -> str:
    """The scale under the bars of one unit: a line, its ticks, their numbers."""
    parts = [_line(0, 0.5, BAR_WIDTH, 0.5, MUTED, 1)]
    for share, text in axis.ticks:
        x = share * BAR_WIDTH
        parts.append(_line(x, 0, x, 4, MUTED, 1))
        parts.append(f'<text x="{x:.1f}" y="14" text-anchor="middle" fill="{MUTED}">{escape(text)}</text>')
    return _svg(AXIS_HEIGHT, "".join(parts))
