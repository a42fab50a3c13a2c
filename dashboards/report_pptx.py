"""The meeting report as three slides: conclusion, evidence, cost with risks and next step. Text stays text.

What is to be said stands in the speaker's notes too. Every text is measured before it is set, and gets the largest size
at which it fits its box.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards import words
from dashboards.report import Figure, Report
from dashboards.report_spans import Axis, Span, axes, spans
from dashboards.words import joined
from data.messages import translator

WIDTH, HEIGHT, EDGE = 13.333, 7.5, 0.6  # inches
INK, MUTED, BLUE, PALE, MARK = "1F2933", "5F6B7A", "0072B2", "EEF5FA", "6B2D66"
LATIN, JAPANESE = "Segoe UI", "Yu Gothic UI"
LINE_HEIGHT, WIDE, NARROW, POINTS = 1.32, 1.0, 0.56, 72  # of the size; points an inch
SMALLEST = 9  # points
ROW, AXIS = 0.44, 0.27  # inches, of the evidence and of the axis under the rows of one unit


@dataclass(frozen=True)
class Box:
    """A place on the slide, in inches."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """One paragraph."""

    text: str
    bold: bool = False
    colour: str = INK
    scale: float = 1.0  # of the size that fits


def pptx(report: Report) -> bytes:
    """The file's bytes."""
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(WIDTH), Inches(HEIGHT)
    deck.core_properties.title, deck.core_properties.author = readable(report.title), "Genba"
    deck.core_properties.language = report.language
    for make in (_conclusion, _evidence, _money):
        slide = deck.slides.add_slide(deck.slide_layouts[5])  # a title and nothing else
        make(slide, report)
        slide.notes_slide.notes_text_frame.text = readable("\n".join(report.sentences))
    file = io.BytesIO()
    deck.save(file)
    return file.getvalue()


def readable(text: str) -> str:
    """Without the control characters that XML has no room for."""
    kept = "\n\N{NO-BREAK SPACE}"
    return "".join(
        " " if c.isspace() and c not in kept else c for c in text if c.isspace() or c.isprintable()
    )


def _conclusion(slide: Any, report: Report) -> None:
    _ = translator(report.language)
    _title(slide, report.headline)
    under = [Line(report.subtitle, colour=MUTED), *(Line(mark, colour=MARK) for mark in report.marks)]
    write(slide, Box(EDGE, 1.15, WIDTH - 2 * EDGE, 0.75), under, 13)
    write(slide, Box(EDGE, 2.0, WIDTH - 2 * EDGE, 1.3), [Line(report.conclusion)], 18, PALE)
    width = (WIDTH - 2 * EDGE - 4 * 0.15) / 5
    for number, one in enumerate(report.figures):
        box = Box(EDGE + number * (width + 0.15), 3.5, width, 2.1)
        write(slide, box, _figure(one, _("simulated")), 13, "F5F7F9")
    step = [
        Line(_("{item}: {text}").format(item=_("What to do next"), text=report.next_what), True),
        Line(report.next_why),
    ]
    write(slide, Box(EDGE, 5.8, WIDTH - 2 * EDGE, 1.1), step, 16, PALE)


def _figure(one: Figure, simulated: str) -> list[Line]:
    mark = [Line(f"{simulated} {one.simulated}", colour=MARK)] if one.simulated else []
    notes = [Line(note, colour=MUTED, scale=0.85) for note in one.notes]
    return [Line(one.label, colour=MUTED), Line(one.value, True, scale=1.6), *mark, *notes]


def _evidence(slide: Any, report: Report) -> None:
    _ = translator(report.language)
    _title(slide, _("Evidence"))
    write(slide, Box(EDGE, 1.15, WIDTH - 2 * EDGE, 0.45), [Line(report.contrast, colour=MUTED)], 13)
    widths = (4.1, 1.9, 2.2, 1.5)
    top, bars = 1.6, Box(EDGE + sum(widths) + 0.1, 0, WIDTH - 2 * EDGE - sum(widths) - 0.1, ROW)
    _row(slide, top, widths, [Line(name, True, MUTED) for name in report.columns])
    effects, at = [one.effect for one in report.evidence], top + ROW
    under = axes(effects, report.language)
    for number, (one, span) in enumerate(zip(report.evidence, spans(effects), strict=True)):
        verdict = span.colour.removeprefix("#") if one.effect.verdict != "undecided" else INK
        _row(slide, at, widths, [Line(one.metric), Line(one.change), Line(one.interval),
                                 Line(one.verdict, one.effect.verdict != "undecided", verdict)])  # fmt: skip
        _bar(slide, Box(bars.left, at, bars.width, ROW), span)
        at += ROW
        if number in under:
            write(
                slide,
                Box(EDGE + sum(widths[:2]), at, sum(widths[2:]), AXIS),
                [Line(under[number].title, colour=MUTED)],
                10,
            )
            _axis(slide, Box(bars.left, at, bars.width, AXIS), under[number])
            at += AXIS
    left = report.figures[1]
    text = _("{label}: {value} ({notes})")
    below = [
        Line(text.format(label=left.label, value=left.value, notes=words.listed(left.notes, report.language)))
    ]
    if report.more:
        below.append(Line(report.more, colour=MUTED))
    at = max(at + 0.05, 5.95)
    write(slide, Box(EDGE, at, WIDTH - 2 * EDGE, min(HEIGHT - 0.15 - at, 1.0)), below, 14, PALE)


def _row(slide: Any, top: float, widths: Sequence[float], cells: Sequence[Line]) -> None:
    left = EDGE
    for width, cell in zip(widths, cells, strict=True):
        write(slide, Box(left, top, width, ROW), [cell], 13)
        left += width


def _bar(slide: Any, box: Box, span: Span) -> None:
    """An interval with its point and the zero line, as shapes."""
    from pptx.enum.shapes import MSO_CONNECTOR, MSO_SHAPE
    from pptx.util import Inches, Pt

    def x(share: float) -> float:
        return box.left + share * box.width

    def line(left: float, top: float, right: float, bottom: float, colour: str, points: float) -> None:
        made = slide.shapes.add_connector(MSO_CONNECTOR.STRAIGHT, *map(Inches, (left, top, right, bottom)))
        made.line.color.rgb, made.line.width = _colour(colour), Pt(points)

    middle, colour = box.top + box.height / 2, span.colour.removeprefix("#")
    line(x(span.zero), box.top, x(span.zero), box.top + box.height, INK, 1)
    line(x(span.low), middle, x(span.high), middle, colour, 2.25)
    for end in (span.low, span.high):
        line(x(end), middle - 0.06, x(end), middle + 0.06, colour, 1.5)
    point = slide.shapes.add_shape(
        MSO_SHAPE.OVAL, *map(Inches, (x(span.value) - 0.06, middle - 0.06, 0.12, 0.12))
    )
    point.fill.solid()
    point.fill.fore_color.rgb = _colour(colour)
    point.line.fill.background()


def _axis(slide: Any, box: Box, axis: Axis) -> None:
    """The scale under the bars of one unit: a line, its ticks, their numbers."""
    from pptx.enum.shapes import MSO_CONNECTOR
    from pptx.util import Inches, Pt

    def line(left: float, top: float, right: float, bottom: float) -> None:
        made = slide.shapes.add_connector(MSO_CONNECTOR.STRAIGHT, *map(Inches, (left, top, right, bottom)))
        made.line.color.rgb, made.line.width = _colour(MUTED), Pt(0.75)

    line(box.left, box.top, box.left + box.width, box.top)
    wide = 0.7
    for share, text in axis.ticks:
        x = box.left + share * box.width
        line(x, box.top, x, box.top + 0.05)
        write(
            slide,
            Box(x - wide / 2, box.top + 0.01, wide, box.height),
            [Line(text, colour=MUTED)],
            10,
            centred=True,
        )


def _money(slide: Any, report: Report) -> None:
    _ = translator(report.language)
    _title(slide, _("Cost, risks and next step"))
    third = (WIDTH - 2 * EDGE - 2 * 0.2) / 3

    def column(number: int, title: str, items: Sequence[Line]) -> None:
        box = Box(EDGE + number * (third + 0.2), 1.2, third, 4.45)
        write(slide, box, [Line(title, True, BLUE, 1.15), *items], 14, "F5F7F9")

    assumed = _("{item}: {text}").format(
        item=_("Assumptions"), text=joined(list(report.assumptions), report.language)
    )
    column(
        0, _("Cost and benefit"), [*(Line(f"• {one}") for one in report.money), Line(assumed, colour=MUTED)]
    )
    column(1, _("Risks"), [Line(f"• {one}") for one in report.risks])
    column(2, _("To say in the meeting"), [Line(f"{n}. {one}") for n, one in enumerate(report.sentences, 1)])
    step = [
        Line(_("{item}: {text}").format(item=_("What to do next"), text=report.next_what), True),
        Line(report.next_why),
    ]
    write(slide, Box(EDGE, 5.85, WIDTH - 2 * EDGE, 1.05), step, 16, PALE)
    write(slide, Box(EDGE, 6.98, WIDTH - 2 * EDGE, 0.35), [Line(report.footer, colour=MUTED)], 10)


def _title(slide: Any, text: str) -> None:
    from pptx.util import Inches

    shape = slide.shapes.title
    shape.left, shape.top, shape.width, shape.height = map(Inches, (EDGE, 0.35, WIDTH - 2 * EDGE, 0.75))
    _fill(shape.text_frame, Box(EDGE, 0.35, WIDTH - 2 * EDGE, 0.75), [Line(text, True)], 30)


def write(
    slide: Any, box: Box, lines: Sequence[Line], largest: float, background: str = "", centred: bool = False
) -> None:
    """A text box with paragraphs, at the largest size up to `largest` points at which they fit."""
    from pptx.util import Inches

    shape = slide.shapes.add_textbox(*map(Inches, (box.left, box.top, box.width, box.height)))
    if background:
        shape.fill.solid()
        shape.fill.fore_color.rgb = _colour(background)
    _fill(shape.text_frame, box, lines, largest, centred)


def _fill(frame: Any, box: Box, lines: Sequence[Line], largest: float, centred: bool = False) -> None:
    from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
    from pptx.util import Inches, Pt

    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.TOP
    frame.margin_left = frame.margin_right = Inches(0.1)
    frame.margin_top = frame.margin_bottom = Inches(0.05)
    size = fitting(lines, box.width - 0.2, box.height - 0.1, largest)
    for number, line in enumerate(lines):
        paragraph = frame.paragraphs[0] if number == 0 else frame.add_paragraph()
        paragraph.alignment, paragraph.line_spacing = PP_ALIGN.CENTER if centred else PP_ALIGN.LEFT, 1.1
        run = paragraph.add_run()
        run.text = readable(line.text)
        run.font.size, run.font.bold = Pt(round(size * line.scale, 1)), line.bold
        run.font.color.rgb = _colour(line.colour)
        _faces(run)


def _faces(run: Any) -> None:
    """The Latin and the Japanese face; python-pptx sets only the Latin one."""
    from pptx.oxml.ns import qn

    run.font.name = LATIN
    face = run.font._element.makeelement(qn("a:ea"), {"typeface": JAPANESE})
    run.font._element.find(qn("a:latin")).addnext(face)


def _colour(text: str) -> Any:
    from pptx.dml.color import RGBColor

    return RGBColor.from_string(text)


def fitting(lines: Sequence[Line], width: float, height: float, largest: float) -> float:
    """The largest size in points, in halves down to SMALLEST, at which the lines fit. width, height: inches."""
    size = largest
    while size > SMALLEST and needed(lines, width, size) > height:
        size -= 0.5
    return size


def needed(lines: Sequence[Line], width: float, size: float) -> float:
    """Inches that the paragraphs take in height when they are broken at `width` inches."""
    return sum(
        _rows(line.text, width, size * line.scale) * size * line.scale * LINE_HEIGHT / POINTS
        for line in lines
    )


def _rows(text: str, width: float, size: float) -> int:
    """Lines of one paragraph: Japanese breaks anywhere, Latin words stay whole."""
    room, rows, used = width * POINTS / size, 1, 0.0
    for word in _words(text):
        taken = sum(WIDE if unicodedata.east_asian_width(c) in "WFA" else NARROW for c in word)
        if used and used + taken > room:
            rows, used = rows + 1, 0.0
        used += taken
        while used > room:  # a word longer than a line
            rows, used = rows + 1, used - room
    return rows


def _words(text: str) -> list[str]:
    words: list[str] = [""]
    for character in text:
        if unicodedata.east_asian_width(character) in "WF":
            words += [character, ""]
        elif character.isspace() and character != "\N{NO-BREAK SPACE}":
            words[-1] += character
            words.append("")
        else:
            words[-1] += character
    return [word for word in words if word]
