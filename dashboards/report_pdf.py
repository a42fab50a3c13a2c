"""The meeting report as PDF: one page of A4, drawn with reportlab, no browser, no font file.

Japanese is set in HeiseiKakuGo-W5, one of the fonts that every PDF reader knows by name (docs/decisions/0011); Latin
letters and numbers in Helvetica, and the minus sign, which Helvetica's encoding lacks, in Symbol.
"""

from __future__ import annotations

import io
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dashboards.report import Figure, Report
from dashboards.report_spans import Axis, Span, axes, spans
from dashboards.words import joined
from data.messages import translator

if TYPE_CHECKING:
    from reportlab.lib.styles import ParagraphStyle

JAPANESE, LATIN, BOLD, SYMBOL = "HeiseiKakuGo-W5", "Helvetica", "Helvetica-Bold", "Symbol"
UNBROKEN = "\N{NO-BREAK SPACE}"
MISSING = "〓"  # what Japanese printers set for a character that their font lacks
INK, MUTED, LINE, BLUE, PALE, MARK = "#1f2933", "#5f6b7a", "#d7dde5", "#0072B2", "#eef5fa", "#6b2d66"
MARGIN_MM = 13
STROKE = 0.025  # of the size: how thick the edge of a bold Japanese letter is
SPAN_WIDTH, SPAN_HEIGHT, AXIS_HEIGHT = 112, 9, 10  # points


def pdf(report: Report) -> bytes:
    """The file's bytes. What does not fit at full size is shrunk, so that it is always one page."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase._cidfontdata import CIDFontInfo
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import Frame, KeepInFrame, PageTemplate
    from reportlab.platypus.doctemplate import BaseDocTemplate

    pdfmetrics.registerFont(UnicodeCIDFont(JAPANESE))
    # Readers without that very font choose a stand-in by the strength of its stems, and above 100 a bold one.
    CIDFontInfo[JAPANESE]["DescendantFonts"][0]["FontDescriptor"]["StemV"] = 80
    file = io.BytesIO()
    width, height = A4[0] - 2 * MARGIN_MM * mm, A4[1] - 2 * MARGIN_MM * mm
    document = BaseDocTemplate(
        file, pagesize=A4, title=report.title, author=report.subtitle, lang=report.language
    )
    frame = Frame(MARGIN_MM * mm, MARGIN_MM * mm, width, height, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[frame]))
    document.build([KeepInFrame(width, height, _content(report, width), mode="shrink")])
    return file.getvalue()


def markup(text: str, bold: bool = False) -> str:
    """Text as reportlab's own markup: escaped, each stretch in a font that has its characters."""
    from xml.sax.saxutils import escape

    pieces = []
    for font, characters in groupby(_readable(text), lambda c: _font(c, bold)):
        pieces.append(f'<font face="{font}">{escape("".join(characters))}</font>')
    return "".join(pieces)


def _readable(text: str) -> str:
    """Without control characters; a character beyond the font's plane becomes the printers' mark for a missing one."""
    text = text.replace(
        "￥", "¥"
    )  # after the full-width sign a line may break, before the number; not after this
    spaced = "".join(" " if c.isspace() and c != UNBROKEN else c for c in text)
    return "".join(c if ord(c) < 0x10000 else MISSING for c in spaced if c.isprintable() or c == UNBROKEN)


def _font(character: str, bold: bool) -> str:
    if character == "−":
        return SYMBOL
    try:
        character.encode("cp1252")
    except UnicodeEncodeError:
        return JAPANESE
    return BOLD if bold else LATIN


def _style(size: float, colour: str = INK, **more: Any) -> ParagraphStyle:
    from reportlab.lib.styles import ParagraphStyle

    return ParagraphStyle("", fontName=JAPANESE, fontSize=size, leading=size * 1.38, textColor=colour,
                          wordWrap=more.pop("wordWrap", None), **more)  # fmt: skip


def _paragraph(
    report: Report,
    text: str,
    size: float,
    colour: str = INK,
    bold: bool = False,
    bullet: str = "",
    **more: Any,
) -> Any:
    """bullet: what hangs before the text; the lines of the text begin under one another."""
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Paragraph

    class Outlined(Paragraph):
        """The Japanese font has one weight: its letters are filled and drawn along their edges, Latin ones too."""

        def draw(self) -> None:
            self.canv.saveState()
            self.canv.setStrokeColor(HexColor(colour))
            self.canv.setLineWidth(size * STROKE)
            self.canv._code.append("2 Tr")  # text render mode: fill, then stroke
            super().draw()
            self.canv.restoreState()

    is_ja = report.language == "ja"
    kind = Outlined if bold and is_ja else Paragraph
    style = _style(size, colour, wordWrap="CJK" if is_ja else None, bulletFontName=LATIN, bulletFontSize=size,
                   bulletColor=colour, **more)  # fmt: skip
    return kind(markup(text, bold and not is_ja), style, bulletText=bullet or None)


def _content(report: Report, width: float) -> list[Any]:
    from reportlab.platypus import Spacer

    _ = translator(report.language)

    def heading(text: str) -> Any:
        return _paragraph(report, text, 10.5, BLUE, True, spaceBefore=7, spaceAfter=2)

    def listed(items: tuple[str, ...], numbered: bool = False) -> list[Any]:
        where: Any = (
            {"leftIndent": 13, "bulletIndent": 0} if numbered else {"leftIndent": 11, "bulletIndent": 2}
        )
        return [_paragraph(report, item, 8.6, bullet=f"{number}." if numbered else "•", spaceAfter=1.5, **where)
                for number, item in enumerate(items, 1)]  # fmt: skip

    assumed = _("{item}: {text}").format(
        item=_("Assumptions"), text=joined(list(report.assumptions), report.language)
    )
    money = [heading(_("Cost and benefit")), *listed(report.money), _paragraph(report, assumed, 7.6, MUTED)]
    risks = [heading(_("Risks")), *listed(report.risks)]
    return [
        _paragraph(report, report.title, 15, INK, True),
        _paragraph(report, report.subtitle, 8, MUTED),
        *(_paragraph(report, mark, 8, MARK) for mark in report.marks),
        Spacer(1, 4), _lead(report, width), Spacer(1, 5), _figures(report, width),
        heading(_("Evidence")), _paragraph(report, report.contrast, 7.6, MUTED), *_evidence(report, width),
        # A cell of a table drops the space before its first paragraph: the row itself has to give it.
        _grid([[money, risks]], [width / 2] * 2, [
            ("LEFTPADDING", (1, 0), (1, 0), 8), ("TOPPADDING", (0, 0), (-1, 0), 8)]),
        heading(_("To say in the meeting")), *listed(report.sentences, numbered=True),
        Spacer(1, 3), _paragraph(report, report.footer, 7, MUTED),
    ]  # fmt: skip


def _grid(rows: list[list[Any]], widths: list[float], more: list[Any]) -> Any:
    from reportlab.platypus import Table, TableStyle

    plain = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0),
             ("RIGHTPADDING", (0, 0), (-1, -1), 4), ("TOPPADDING", (0, 0), (-1, -1), 1),
             ("BOTTOMPADDING", (0, 0), (-1, -1), 1)]  # fmt: skip
    return Table(rows, widths, style=TableStyle([*plain, *more]), hAlign="LEFT")


def _lead(report: Report, width: float) -> Any:
    _ = translator(report.language)
    step = joined([report.next_what, report.next_why], report.language)
    inside = [
        _paragraph(report, report.headline, 12.5, INK, True),
        _paragraph(report, report.conclusion, 9),
        _paragraph(report, _("{item}: {text}").format(item=_("What to do next"), text=step), 9, INK, True),
    ]
    return _grid([[inside]], [width], [
        ("BACKGROUND", (0, 0), (-1, -1), PALE), ("LINEBEFORE", (0, 0), (0, -1), 3, BLUE),
        ("LEFTPADDING", (0, 0), (-1, -1), 8), ("TOPPADDING", (0, 0), (-1, -1), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6)])  # fmt: skip


def _figures(report: Report, width: float) -> Any:
    cells = [_figure(report, one) for one in report.figures]
    return _grid([cells], [width / len(cells)] * len(cells), [
        ("BOX", (0, 0), (-1, -1), 0.6, LINE), ("INNERGRID", (0, 0), (-1, -1), 0.6, LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 5), ("BOTTOMPADDING", (0, 0), (-1, -1), 4)])  # fmt: skip


def _figure(report: Report, one: Figure) -> list[Any]:
    _ = translator(report.language)
    mark = [_paragraph(report, f"{_('simulated')} {one.simulated}", 7.6, MARK)] if one.simulated else []
    notes = [_paragraph(report, note, 7.2, MUTED) for note in one.notes]
    return [
        _paragraph(report, one.label, 7.6, MUTED),
        _paragraph(report, one.value, 12.5, INK, True),
        *mark,
        *notes,
    ]


def _evidence(report: Report, width: float) -> list[Any]:
    from reportlab.lib.enums import TA_RIGHT

    if not report.evidence:
        return []
    rows: list[list[Any]] = [[*(_paragraph(report, name, 7.8, MUTED, True) for name in report.columns), ""]]
    effects = [one.effect for one in report.evidence]
    under, merged = axes(effects, report.language), []
    for place, (one, span) in enumerate(zip(report.evidence, spans(effects), strict=True)):
        texts = (one.metric, one.change, one.interval, one.verdict)
        colours = (INK, INK, INK, span.colour if one.effect.verdict != "undecided" else INK)
        cells = [_paragraph(report, text, 8.2, colour) for text, colour in zip(texts, colours, strict=True)]
        rows.append([*cells, _drawing(span)])
        if axis := under.get(place):
            title = _paragraph(report, axis.title, 7, MUTED, alignment=TA_RIGHT)
            rows.append([title, "", "", "", _axis(axis)])
            merged.append(("SPAN", (0, len(rows) - 1), (3, len(rows) - 1)))
    fixed = [72, 84, 58, SPAN_WIDTH + 8]
    table = _grid(
        rows, [width - sum(fixed), *fixed],
        [("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE), ("VALIGN", (0, 0), (-1, -1), "MIDDLE"), *merged],
    )  # fmt: skip
    return [table, *([_paragraph(report, report.more, 7.6, MUTED)] if report.more else [])]


def _axis(axis: Axis) -> Any:
    """The scale under the bars of one unit: a line, its ticks, their numbers."""
    from reportlab.graphics.shapes import Drawing, Group, Line, String
    from reportlab.lib.colors import HexColor

    ink, high = HexColor(MUTED), AXIS_HEIGHT
    marks = [Line(0, high, SPAN_WIDTH, high, strokeColor=ink, strokeWidth=0.5)]
    for share, text in axis.ticks:
        x = share * SPAN_WIDTH
        marks.append(Line(x, high, x, high - 2, strokeColor=ink, strokeWidth=0.5))
        # Helvetica's encoding has no minus sign; its en dash looks the same.
        marks.append(String(x, high - 8.5, text.replace("−", "–"), fontName=LATIN, fontSize=6, fillColor=ink,
                            textAnchor="middle"))  # fmt: skip
    return Drawing(SPAN_WIDTH, high, Group(*marks))


def _drawing(span: Span) -> Any:
    """An interval as a bar with its point, and the zero line."""
    from reportlab.graphics.shapes import Circle, Drawing, Line
    from reportlab.lib.colors import HexColor

    def x(share: float) -> float:
        return share * SPAN_WIDTH

    middle, colour = SPAN_HEIGHT / 2, HexColor(span.colour)
    return Drawing(
        SPAN_WIDTH, SPAN_HEIGHT,
        Line(x(span.zero), -2, x(span.zero), SPAN_HEIGHT + 2, strokeColor=HexColor(INK), strokeWidth=0.8),
        Line(x(span.low), middle, x(span.high), middle, strokeColor=colour, strokeWidth=1.6),
        *(Line(x(end), middle - 2.5, x(end), middle + 2.5, strokeColor=colour, strokeWidth=1.2)
          for end in (span.low, span.high)),
        Circle(x(span.value), middle, 2.4, fillColor=colour, strokeColor=None),
    )  # fmt: skip
