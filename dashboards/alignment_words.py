"""What corrections did to the alignment, in words. No better or worse is claimed whose interval includes zero."""

from __future__ import annotations

from datetime import date
from math import isfinite
from typing import TYPE_CHECKING

from dashboards.alignment import WEEK
from dashboards.quality_charts import interval, percent
from dashboards.run_words import part_value, slice_name
from dashboards.words import joined
from data.messages import number, translator

if TYPE_CHECKING:
    from dashboards.alignment import Alignment, Changed

DIGITS = 3  # of a cosine


def cosine(value: float, language: str) -> str:
    """0.368 -> "0.368", -0.03 -> "−0.030"."""
    shown = number(abs(value), language, DIGITS)
    return f"−{shown}" if round(value, DIGITS) < 0 else shown


def signed(change: float, language: str) -> str:
    """0.48 -> "+0.480", -0.0123 -> "−0.012"."""
    shown = round(change, DIGITS)
    sign = "+" if shown > 0 else "−" if shown < 0 else "±"
    return f"{sign}{number(abs(change), language, DIGITS)}"


def sentence(found: Alignment, language: str) -> str:
    """Whether corrected captions fit their photos better, by how much, and how many fit worse."""
    _ = translator(language)
    change = signed(found.change, language)
    if not isfinite(found.low):
        return _(
            "One corrected caption is scored before and after its correction: {change}. That says nothing of others."
        ).format(change=change)
    if round(found.low, DIGITS) > 0:
        text = _(
            "In the encoder's eyes, corrected captions fit their photos better than before: by {change} on average "
            "(95 % interval {low} to {high}, {n} captions)."
        )
    elif round(found.high, DIGITS) < 0:
        text = _(
            "In the encoder's eyes, corrected captions fit their photos worse than before: by {change} on average "
            "(95 % interval {low} to {high}, {n} captions)."
        )
    else:
        text = _(
            "Whether corrected captions fit their photos better is not proven: the mean change is {change} "
            "(95 % interval {low} to {high}, {n} captions)."
        )
    first = text.format(
        change=change,
        n=number(found.n, language),
        low=signed(found.low, language),
        high=signed(found.high, language),
    )
    return joined([first, worse_sentence(found, language)], language)


def worse_sentence(found: Alignment, language: str) -> str:
    """How many captions fit worse, with the interval of their share."""
    _ = translator(language)
    return _("{worse} of the {n} fit worse ({share}, 95 % interval {interval}).").format(
        worse=number(found.worse, language), n=number(found.n, language),
        share=percent(found.worse / found.n, language),
        interval=interval(found.worse_low, found.worse_high, language),
    )  # fmt: skip


def ends(part: Changed, language: str) -> str:
    """The interval of a part's change; "—" where one caption says nothing of the spread."""
    return "—" if part.low is None or part.high is None else span(part.low, part.high, language)


def span(low: float, high: float, language: str) -> str:
    """-0.012, 0.48 -> "−0.012 to +0.480"."""
    _ = translator(language)
    return _("{low} to {high}").format(low=signed(low, language), high=signed(high, language))


def column_name(column: str, language: str) -> str:
    """By what captions are told apart."""
    _ = translator(language)
    return _("week of the correction") if column == WEEK else slice_name(column, language)


def part_name(column: str, value: str, language: str) -> str:
    """A part in words; a week by its Monday."""
    if column != WEEK:
        return part_value(column, value, language)
    from babel.dates import format_date

    return str(format_date(date.fromisoformat(value), locale=language))


def encoder_notes(found: Alignment, language: str) -> list[str]:
    """Which encoder looked, and whether it flatters."""
    _ = translator(language)
    notes = [_("Encoder: {encoder}").format(encoder=found.encoder)]
    if found.knows_corrections:
        notes.append(_("This encoder was itself trained on corrections, so it flatters them."))
    return notes
