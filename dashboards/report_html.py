"""The meeting report as one HTML file: styles and charts inside, nothing is fetched, prints on one page of A4."""

from __future__ import annotations

import re
from html import escape

from dashboards import charts
from dashboards.report import Figure, Report
from dashboards.words import joined
from data.messages import translator

CHART_WIDTH = 330  # px
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
.drawn { grid-template-columns: 56% 1fr; }
.two > * { min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 8.6pt; }
th, td { text-align: left; padding: 1.5px 6px 1.5px 0; border-bottom: 1px solid #e4e8ee; vertical-align: top; }
th { font-weight: 600; color: #5f6b7a; } td.n { white-space: nowrap; }
.better { color: #0072B2; font-weight: 600; } .worse { color: #B04A00; font-weight: 600; }
.chart svg { width: 100%; height: auto; display: block; }
footer { border-top: 1px solid #d7dde5; padding-top: 3px; }
@media print { .chart svg { max-height: 58mm; }
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
    if not report.evidence:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in report.columns)
    rows = "".join(
        f'<tr><td>{escape(one.metric)}</td><td class="n">{escape(one.change)}</td>'
        f'<td class="n">{escape(one.interval)}</td>'
        f'<td class="n {one.effect.verdict}">{escape(one.verdict)}</td></tr>'
        for one in report.evidence
    )
    more = f'<p class="muted">{escape(report.more)}</p>' if report.more else ""
    drawn = "".join(drawings(report))
    table = f"<div><table><tr>{head}</tr>{rows}</table>{more}</div>"
    return f'<div class="two drawn">{table}<div class="chart">{drawn}</div></div>'


def drawings(report: Report) -> list[str]:
    """The overview's chart of effects as SVG, one for each unit. Its texts are escaped by the renderer."""
    import vl_convert

    found = []
    for number, chart in enumerate(
        charts.gain_chart([one.effect for one in report.evidence], report.language)
    ):
        svg = vl_convert.vegalite_to_svg(chart.properties(width=CHART_WIDTH).to_dict())
        # two drawings in one document must not share the names of their parts
        found.append(re.sub(r'(id="|url\(#|href="#)', rf"\g<1>c{number}-", svg))
    return found
